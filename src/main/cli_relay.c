/* SPDX-License-Identifier: Apache-2.0 */
/* `pointsman relay` and `sessions` as text. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#include "main/cli.h"
#include "relay/bpf/shared.h"

enum { LABEL = 14 };

static void title(struct text *t, const char *s)
{
    text_line(t);
    text_add(t, TEXT_BOLD, "%s", s);
    text_line(t);
}

/* ---- relay ---- */

static void interfaces(struct text *t, const json_t *d)
{
    const json_t *list = json_object_get(d, "interfaces"), *i;
    size_t k;
    text_add(t, TEXT_BOLD, "relay ");
    if (!json_flag(d, "on")) {
        text_add(t, TEXT_BAD, "off");
        text_add(t, TEXT_PLAIN, ": ");
        text_wrap(t, TEXT_PLAIN, 11, 2, json_text(d, "why"));
        text_line(t);
        text_add(t, TEXT_DIM, "  front ends serve everything");
        text_line(t);
        return;
    }
    text_add(t, TEXT_GOOD, "on");
    json_array_foreach(list, k, i) {
        bool driver = strcmp(json_text(i, "in"), "driver") == 0;
        bool nowhere = strcmp(json_text(i, "in"), "nowhere") == 0;
        text_add(t, TEXT_PLAIN, "%s ", k ? "," : " ");
        text_add(t, TEXT_NAME, "%s", json_text(i, "interface"));
        if (nowhere)
            text_add(t, TEXT_BAD, ": %s", json_text(i, "why"));
        else
            text_add(t, driver ? TEXT_PLAIN : TEXT_WARN, "%s", driver ? " in the driver" : " in the generic path, slower");
    }
    if (json_is_false(json_object_get(d, "attached")))
        text_add(t, TEXT_WARN, ", not yet: the program of the process before goes on until the servers were looked at");
    text_line(t);
}

static enum text_style style_of_state(const char *state)
{
    bool word = strcmp(state, "drained") == 0 || strcmp(state, "disabled") == 0;
    return word ? style_of_override(state) : style_of_health(state);
}

static enum text_style style_of_way(const char *via)
{
    return strcmp(via, "not reached") == 0 || strcmp(via, "silent") == 0 || strcmp(via, "down") == 0 ? TEXT_BAD : TEXT_PLAIN;
}

static void nodes(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"NODE", "ADDRESS", "STATE", "WAY", "VIA", "MTU", "LOAD"};
    const json_t *n;
    struct table tb;
    size_t i;
    title(t, "Nodes");
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.indent = 2;
    tb.right = 3u << 5;
    tb.elastic = 1;
    json_array_foreach(json_object_get(d, "nodes"), i, n) {
        const char *state = json_text(n, "state"), *way = json_text(n, "via");
        double load = json_num(n, "load", NAN);
        table_cell(&tb, TEXT_NAME, "%s", json_text(n, "node"));
        table_cell(&tb, TEXT_PLAIN, "%s", json_text(n, "address"));
        table_cell(&tb, style_of_state(state), "%s", state);
        table_cell(&tb, style_of_way(way), "%s", way);
        table_cell(&tb, TEXT_DIM, "%s", json_text(n, "configured"));
        table_cell(&tb, TEXT_PLAIN, "%lld", (long long)json_int(n, "mtu"));
        if (isnan(load))
            table_cell(&tb, TEXT_DIM, "-");
        else
            table_cell(&tb, load > 1 ? TEXT_WARN : TEXT_PLAIN, "%.2f", load);
    }
    if (!tb.count) {
        text_add(t, TEXT_WARN, "  none");
        text_line(t);
    }
    table_print(&tb, t);
}

static void names(const json_t *list, struct buf *out)
{
    const json_t *name;
    size_t i;
    json_array_foreach(list, i, name)
        buf_printf(out, "%s%s", i ? ", " : "", json_string_value(name));
}

static void holders_cell(struct table *tb, const json_t *holders)
{
    struct buf words = BUF_INIT;
    names(holders, &words);
    table_cell(tb, TEXT_PLAIN, "%s", buf_str(&words));
    buf_fini(&words);
}

static void shares_cell(struct table *tb, const json_t *shares, bool front)
{
    struct buf words = BUF_INIT;
    const char *name;
    json_t *share;
    json_object_foreach((json_t *)(uintptr_t)shares, name, share)
        buf_printf(&words, "%s%s %.0f %%", words.len ? ", " : "", name, json_number_value(share) * 100);
    if (words.len)
        table_cell(tb, TEXT_GOOD, "%s", buf_str(&words));
    else
        table_cell(tb, TEXT_WARN, "%s", front ? "front end: it has moved" : "front end: no node");
    buf_fini(&words);
}

static void service_head(struct text *t, const json_t *s)
{
    struct buf vips = BUF_INIT;
    const char *name = json_text(s, "service"), *relay = json_text(s, "relay");
    text_line(t);
    text_add(t, TEXT_NAME, "%s", name);
    text_add(t, TEXT_PLAIN, "  %s at ", relay);
    names(json_object_get(s, "vips"), &vips);
    text_wrap(t, TEXT_BOLD, text_columns(name) + text_columns(relay) + 6, 4, buf_str(&vips));
    text_line(t);
    buf_fini(&vips);
    if (json_is_string(json_object_get(s, "left-out"))) {
        text_add(t, TEXT_BAD, "  does not fit into the tables (%s), the front end serves it", json_text(s, "left-out"));
        text_line(t);
    }
}

static void service(struct text *t, const json_t *s)
{
    static const char *const heads[] = {"RESOURCE", "HELD BY", "REQUESTS", "SHARES NOW"};
    const json_t *list = json_object_get(s, "resources"), *r;
    struct table tb;
    size_t i;
    service_head(t, s);
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.indent = 2;
    tb.right = 4;
    tb.elastic = 3;
    json_array_foreach(list, i, r) {
        bool suffix = strcmp(json_text(r, "kind"), "suffix") == 0, front = json_flag(r, "front");
        table_cell(&tb, TEXT_BOLD, "%s%s", suffix ? "*" : "", json_text(r, "resource"));
        holders_cell(&tb, json_object_get(r, "holders"));
        table_cell(&tb, TEXT_PLAIN, "%lld", (long long)json_int(r, "requests"));
        shares_cell(&tb, json_object_get(r, "shares"), front);
    }
    table_cell(&tb, TEXT_DIM, "%s", json_array_size(list) ? "anything else" : "anything");
    table_cell(&tb, TEXT_PLAIN, "%s", "");
    table_cell(&tb, TEXT_PLAIN, "%s", "");
    shares_cell(&tb, json_object_get(s, "otherwise"), false);
    table_print(&tb, t);
    if (json_int(s, "resource-count") > (json_int_t)json_array_size(list)) {
        text_add(t, TEXT_WARN, "  %lld more resources",
                 (long long)json_int(s, "resource-count") - (long long)json_array_size(list));
        text_line(t);
    }
}

static void path(struct text *t, const char *name, json_int_t n, const char *what)
{
    text_add(t, TEXT_DIM, "  %-*s", LABEL, name);
    text_add(t, n ? TEXT_BOLD : TEXT_DIM, "%lld", (long long)n);
    text_add(t, TEXT_PLAIN, " %s", what);
}

static void served(struct text *t, const json_t *d)
{
    const json_t *s = json_object_get(d, "served");
    json_int_t by_daemon = json_int(s, "transferred-by-daemon"), kernel = json_int(s, "transferred");
    title(t, "Which path served");
    path(t, "transferred", kernel + by_daemon, "connections to a node");
    if (by_daemon)
        text_add(t, TEXT_PLAIN, ", %lld of them by the daemon: their request came in pieces", (long long)by_daemon);
    text_line(t);
    path(t, "  later", json_int(s, "stayed"), "requests that stayed at their node, ");
    text_add(t, json_int(s, "moved") ? TEXT_BOLD : TEXT_DIM, "%lld", (long long)json_int(s, "moved"));
    text_add(t, TEXT_PLAIN, " that moved");
    text_line(t);
    path(t, "front end", json_int(s, "front-end"), "connections given to our own");
    text_line(t);
    path(t, "plain", json_int(s, "plain"), "flows sent on from their first packet");
    text_line(t);
}

static const char *counter_text(const char *name)
{
    static const struct {
        const char *name, *text;
    } known[] = {
#define X(sym, name, text) {name, text},
        RELAY_COUNTERS(X)
#undef X
            {"front_adopted", "Connections taken by our own front end"},
        {"front_refused", "Connections our own front end did not take: nothing listens, or an old one is in the way"},
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(known); i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].text;
    return "";
}

static void counters(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"COUNTER", "", "WHAT"};
    struct table tb;
    const char *name;
    json_t *n;
    title(t, "Counted so far");
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.indent = 2;
    tb.right = 2;
    tb.elastic = 4;
    json_object_foreach(json_object_get(d, "counters"), name, n)
    {
        if (!json_integer_value(n))
            continue;
        bool lost = strncmp(name, "dropped", 7) == 0 || strcmp(name, "front_refused") == 0;
        table_cell(&tb, lost ? TEXT_WARN : TEXT_PLAIN, "%s", name);
        table_cell(&tb, TEXT_BOLD, "%lld", (long long)json_integer_value(n));
        table_cell(&tb, TEXT_DIM, "%s", counter_text(name));
    }
    if (!tb.count) {
        text_add(t, TEXT_DIM, "  nothing yet");
        text_line(t);
    }
    table_print(&tb, t);
}

static void peers(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"PEER", "HEARD", "SENT", "NOT SENT", "RECEIVED", "NEWS", "TOLD ALL", "REFUSED"};
    const json_t *list = json_object_get(d, "peers"), *p;
    struct table tb;
    size_t i;
    if (!json_array_size(list))
        return;
    title(t, "Balancers it shares connections with");
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.indent = 2;
    tb.right = 0xfe;
    json_array_foreach(list, i, p)
    {
        static const char *const counts[] = {"records-sent", "records-not-sent", "records-received", "records-taken", "dumps",
                                             "datagrams-refused"};
        char age[AGE_TEXT];
        double ms = json_num(p, "heard-ms-ago", -1);
        table_cell(&tb, TEXT_NAME, "%s", json_text(p, "peer"));
        table_cell(&tb, ms < 0 || ms > 5000 ? TEXT_BAD : TEXT_GOOD, "%s", ms < 0 ? "never" : age_text(ms, age));
        for (size_t k = 0; k < PM_ARRAY_LEN(counts); k++) {
            long long n = json_int(p, counts[k]);
            bool lost = n && (k == 1 || k == 5);
            table_cell(&tb, lost ? TEXT_WARN : TEXT_PLAIN, "%lld", n);
        }
    }
    table_print(&tb, t);
}

void cli_render_ready(struct text *t, const json_t *d)
{
    (void)d; /* who is not, fails */
    text_add(t, TEXT_GOOD, "ready");
    text_add(t, TEXT_PLAIN, ": new connections are welcome here");
    text_line(t);
}

void cli_render_relay(struct text *t, const json_t *d)
{
    const json_t *s;
    size_t i;
    interfaces(t, d);
    if (!json_flag(d, "on"))
        return;
    nodes(t, d);
    json_array_foreach(json_object_get(d, "services"), i, s)
        service(t, s);
    peers(t, d);
    served(t, d);
    counters(t, d);
}

/* ---- agents ---- */

static void load_cells(struct table *tb, const json_t *load)
{
    if (!json_is_object(load)) {
        for (int i = 0; i < 4; i++)
            table_cell(tb, TEXT_DIM, "-");
        return;
    }
    double full = json_number_value(json_object_get(load, "full")), total = json_number_value(json_object_get(load, "ram-total"));
    table_cell(tb, full > 0.9 ? TEXT_WARN : TEXT_PLAIN, "%.2f", full);
    table_cell(tb, TEXT_PLAIN, "%lld", (long long)json_integer_value(json_object_get(load, "connections")));
    table_cell(tb, TEXT_PLAIN, "%lld", (long long)json_integer_value(json_object_get(load, "pending")));
    table_cell(tb, TEXT_PLAIN, "%.0f %%", total > 0 ? 100 * json_number_value(json_object_get(load, "ram-free")) / total : 0);
}

static void findings(struct text *t, const json_t *agent)
{
    const json_t *f;
    size_t i;
    json_array_foreach(json_object_get(agent, "findings"), i, f) {
        bool breaks = strcmp(json_text(f, "severity"), "breaks") == 0;
        text_line(t);
        text_add(t, breaks ? TEXT_BAD : TEXT_WARN, "%s: ", json_text(agent, "agent"));
        text_wrap(t, TEXT_PLAIN, 4, 4, json_text(f, "why"));
        text_line(t);
        text_add(t, TEXT_NAME, "    %s", json_text(f, "do"));
    }
    if (!json_flag(agent, "adopts") && *json_text(agent, "why")) {
        text_line(t);
        text_add(t, TEXT_BAD, "%s takes no connections over: ", json_text(agent, "agent"));
        text_wrap(t, TEXT_PLAIN, 4, 4, json_text(agent, "why"));
    }
}

void cli_render_agents(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"AGENT", "NODE", "STATE", "FULL", "OPEN", "PENDING", "RAM FREE", "FILES", "MAY COPY"};
    const json_t *list = json_object_get(d, "agents"), *a;
    struct table tb;
    size_t i;
    if (!json_array_size(list)) {
        text_add(t, TEXT_DIM, "no server names an agent");
        text_line(t);
        return;
    }
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    json_array_foreach(list, i, a) {
        bool up = strcmp(json_text(a, "state"), "connected") == 0;
        table_cell(&tb, TEXT_NAME, "%s", json_text(a, "agent"));
        table_cell(&tb, TEXT_PLAIN, "%s", json_text(a, "node"));
        table_cell(&tb, up ? TEXT_GOOD : TEXT_BAD, "%s", json_text(a, "state"));
        load_cells(&tb, json_object_get(a, "load"));
        table_cell(&tb, json_flag(a, "scanned") ? TEXT_PLAIN : TEXT_DIM, "%lld",
                   (long long)json_integer_value(json_object_get(a, "files")));
        table_cell(&tb, TEXT_PLAIN, "%s", json_flag(a, "writable") ? "yes" : "no");
    }
    table_print(&tb, t);
    json_array_foreach(list, i, a)
        findings(t, a);
}

/* ---- sessions ---- */

/* "www.example.com/img/", "www.example.com *.php"; what no resource is about needs no word. */
static void for_cell(struct table *tb, const json_t *s)
{
    const char *what = json_text(s, "for");
    table_cell(tb, TEXT_PLAIN, "%s%s%s", json_text(s, "service"), *what == '*' && what[1] ? " " : "",
               strcmp(what, "*") == 0 ? "" : what);
}

static void state_cell(struct table *tb, const json_t *s)
{
    static const char *const flags[][2] = {{"closing", "closing"},
                                           {"pinned", "stays there"},
                                           {"found", "found at its node"},
                                           {"pipelines", "does not wait for answers"}};
    struct buf words = BUF_INIT;
    const char *state = json_text(s, "state");
    buf_puts(&words, state);
    for (size_t i = 0; i < PM_ARRAY_LEN(flags); i++)
        if (json_flag(s, flags[i][0]))
            buf_printf(&words, ", %s", flags[i][1]);
    table_cell(tb, strcmp(state, "answering") == 0 ? TEXT_GOOD : TEXT_PLAIN, "%s", buf_str(&words));
    buf_fini(&words);
}

static void session_row(struct table *tb, const json_t *s)
{
    char age[AGE_TEXT];
    long long moves = json_int(s, "moves");
    table_cell(tb, TEXT_BOLD, "%s", json_text(s, "client"));
    table_cell(tb, TEXT_PLAIN, "%s%s", json_text(s, "vip"), strcmp(json_text(s, "protocol"), "udp") == 0 ? "/udp" : "");
    for_cell(tb, s);
    table_cell(tb, TEXT_NAME, "%s", json_text(s, "node"));
    table_cell(tb, TEXT_DIM, "%s", age_text(json_num(s, "seen-ms-ago", 0), age));
    table_cell(tb, moves ? TEXT_WARN : TEXT_DIM, "%lld", moves);
    table_cell(tb, TEXT_PLAIN, "%lld", (long long)json_int(s, "packets"));
    state_cell(tb, s);
}

void cli_render_sessions(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"CLIENT", "VIP", "FOR", "NODE", "SEEN", "MOVES", "PACKETS", "STATE"};
    const json_t *list = json_object_get(d, "sessions"), *s;
    struct table tb;
    size_t i;
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.right = 7u << 4;
    tb.elastic = 1u << 2 | 1u << 7;
    json_array_foreach(list, i, s)
        session_row(&tb, s);
    if (!tb.count) {
        text_add(t, TEXT_DIM, "no connections%s", json_flag(d, "complete") ? "" : " among those looked at");
        text_line(t);
    }
    table_print(&tb, t);
    if (json_int(d, "total") > (json_int_t)json_array_size(list)) {
        text_add(t, TEXT_WARN, "%lld more, seen less recently; see --limit, --client, --server, --vip",
                 (long long)json_int(d, "total") - (long long)json_array_size(list));
        text_line(t);
    }
    if (!json_flag(d, "complete")) {
        text_add(t, TEXT_WARN, "the table has more: only %lld of its connections were looked at",
                 (long long)json_int(d, "looked-at"));
        text_line(t);
    }
}
