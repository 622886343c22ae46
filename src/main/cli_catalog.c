/* SPDX-License-Identifier: Apache-2.0 */
/* `pointsman catalog`, `catalog plan` and `catalog apply` as text. */
#include <string.h>
#include "main/cli.h"

static void title(struct text *t, const char *s)
{
    text_line(t);
    text_add(t, TEXT_BOLD, "%s", s);
    text_line(t);
}

static void size_text(double bytes, char out[32])
{
    static const char units[] = " KMGTP";
    unsigned u = 0;
    for (; bytes >= 1024 && u < 5; u++)
        bytes /= 1024;
    snprintf(out, 32, bytes < 10 && u ? "%.1f%c" : "%.0f%c", bytes, units[u]);
    if (!u)
        out[strlen(out) - 1] = 0;
}

static void size_cell(struct table *tb, const json_t *o, const char *key)
{
    char text[32];
    size_text(json_num(o, key, 0), text);
    table_cell(tb, json_has(o, key) ? TEXT_PLAIN : TEXT_DIM, "%s", json_has(o, key) ? text : "-");
}

/* ---- catalog ---- */

static void summary(struct text *t, const json_t *d)
{
    const json_t *s = json_object_get(d, "summary");
    long long out = json_int(s, "left-out"), denied = json_int(s, "denied");
    char bytes[32];
    size_text(json_num(s, "bytes", 0), bytes);
    text_add(t, TEXT_BOLD, "%lld", (long long)json_int(s, "paths"));
    text_add(t, TEXT_PLAIN, " paths, %lld folders, %lld suffixes; %lld sets of servers; %sB of memory",
             (long long)json_int(s, "prefixes"), (long long)json_int(s, "suffixes"), (long long)json_int(s, "sets"),
             bytes);
    text_line(t);
    text_add(t, TEXT_PLAIN, "%lld of them in the packet program's table", (long long)json_int(s, "in-table"));
    if (out)
        text_add(t, TEXT_WARN, ", %lld left out: the front end serves what is not in it", out);
    text_line(t);
    if (denied) {
        text_add(t, TEXT_WARN, "%lld denied: a server that should have them answered 404", denied);
        text_line(t);
    }
}

static void nodes(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"NODE", "STATE", "FOR", "AGENT", "FILES", "COPIES", "ROOM"};
    const json_t *n;
    struct table tb;
    size_t i;
    title(t, "Nodes");
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.indent = 2;
    tb.right = 1u << 2 | 1u << 6;
    json_array_foreach(json_object_get(d, "nodes"), i, n) {
        const char *state = json_text(n, "state");
        bool agent = json_has(n, "agent"), on = json_flag(n, "connected");
        char age[AGE_TEXT];
        table_cell(&tb, TEXT_NAME, "%s", json_text(n, "node"));
        table_cell(&tb,
                   strcmp(state, "up") == 0     ? TEXT_GOOD
                   : strcmp(state, "down") == 0 ? TEXT_BAD
                                                : TEXT_WARN,
                   "%s", state);
        table_cell(&tb, TEXT_DIM, "%s", age_text(json_num(n, "state-ms", 0), age));
        table_cell(&tb,
                   !agent ? TEXT_DIM
                   : on   ? TEXT_PLAIN
                          : TEXT_BAD,
                   "%s%s", agent ? json_text(n, "agent") : "none", agent && !on ? ", not connected" : "");
        table_cell(&tb, json_flag(n, "reported") ? TEXT_GOOD : TEXT_DIM, "%s",
                   json_flag(n, "reported") ? "reported" : "not reported");
        table_cell(&tb, TEXT_PLAIN, "%s", json_flag(n, "writable") ? "yes" : "no");
        size_cell(&tb, n, "free-bytes");
    }
    table_print(&tb, t);
}

/* "a scanned, b configured+scanned, c denied" */
static void holders_text(const json_t *list, struct buf *out)
{
    const json_t *h, *source;
    size_t i, k;
    json_array_foreach(list, i, h) {
        buf_printf(out, "%s%s", i ? ", " : "", json_text(h, "node"));
        json_array_foreach(json_object_get(h, "sources"), k, source)
            buf_printf(out, "%s%s", k ? "+" : " ", json_string_value(source));
    }
}

static void resources(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"HOST", "RESOURCE", "COPIES", "SIZE", "RATE", "HELD BY"};
    const json_t *list = json_object_get(d, "resources"), *r;
    struct table tb;
    size_t i;
    title(t, "Resources");
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.indent = 2;
    tb.right = 7u << 2;
    tb.elastic = 1u << 1 | 1u << 5;
    json_array_foreach(list, i, r) {
        struct buf words = BUF_INIT;
        long long copies = json_int(r, "copies");
        const json_t *first = json_array_get(json_object_get(r, "holders"), 0);
        holders_text(json_object_get(r, "holders"), &words);
        table_cell(&tb, TEXT_NAME, "%s", json_text(r, "host"));
        table_cell(&tb, TEXT_BOLD, "%s%s", strcmp(json_text(r, "kind"), "suffix") == 0 ? "*" : "",
                   json_text(r, "text"));
        table_cell(&tb, copies > 1 ? TEXT_PLAIN : TEXT_WARN, "%lld", copies);
        size_cell(&tb, first, "size");
        table_cell(&tb, TEXT_PLAIN, "%.3g/s", json_num(r, "rate", 0));
        table_cell(&tb, TEXT_PLAIN, "%s", words.len ? buf_str(&words) : "nobody");
        buf_fini(&words);
    }
    table_print(&tb, t);
    if (json_int(d, "total") > (json_int_t)json_array_size(list)) {
        text_add(t, TEXT_WARN, "  %lld more; see --limit",
                 (long long)json_int(d, "total") - (long long)json_array_size(list));
        text_line(t);
    }
}

void cli_render_catalog(struct text *t, const json_t *d)
{
    summary(t, d);
    nodes(t, d);
    if (json_int(d, "total"))
        resources(t, d);
}

/* ---- plan ---- */

static void action_row(struct table *tb, const json_t *a, bool order)
{
    bool copy = strcmp(json_text(a, "do"), "copy") == 0;
    const char *failed = json_text(a, "failed");
    table_cell(tb, copy ? TEXT_GOOD : TEXT_WARN, "%s", json_text(a, "do"));
    table_cell(tb, TEXT_BOLD, "%s%s", json_text(a, "host"), json_text(a, "path"));
    size_cell(tb, a, "size");
    table_cell(tb, TEXT_NAME, "%s", json_text(a, "node"));
    table_cell(tb, TEXT_PLAIN, "%s", json_text(a, "from"));
    if (!order)
        table_cell(tb, TEXT_PLAIN, "%s", json_text(a, "why"));
    else
        table_cell(tb, *failed ? TEXT_WARN : TEXT_PLAIN, "%s%s%s", json_text(a, "state"), *failed ? ": " : "", failed);
}

static void actions(struct text *t, const json_t *list, const char *heading, bool order)
{
    const char *const heads[] = {"DO", "WHAT", "SIZE", "AT", "FROM", order ? "STATE" : "BECAUSE"};
    const json_t *a;
    struct table tb;
    size_t i;
    if (!json_array_size(list))
        return;
    title(t, heading);
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.indent = 2;
    tb.right = 1u << 2;
    tb.elastic = 1u << 1 | 1u << 5;
    json_array_foreach(list, i, a)
        action_row(&tb, a, order);
    table_print(&tb, t);
}

static void reports(struct text *t, const json_t *list, const char *heading)
{
    const json_t *r;
    struct table tb;
    size_t i;
    if (!json_array_size(list))
        return;
    title(t, heading);
    table_init(&tb, 2, NULL);
    tb.indent = 2;
    tb.elastic = 3;
    json_array_foreach(list, i, r) {
        table_cell(&tb, TEXT_BOLD, "%s%s", json_text(r, "host"), json_text(r, "path"));
        table_cell(&tb, TEXT_WARN, "%s", json_text(r, "why"));
    }
    table_print(&tb, t);
}

static void figures(struct text *t, const json_t *d)
{
    static const struct {
        const char *key, *text;
        enum text_style style;
    } shown[] = {{"under-copied", "with too few copies", TEXT_WARN},
                 {"lost", "on no node that is there", TEXT_BAD},
                 {"waiting", "whose copies are on their way or will be back", TEXT_PLAIN},
                 {"hot", "asked for too often for their copies", TEXT_PLAIN},
                 {"surplus", "with more copies than needed", TEXT_PLAIN},
                 {"divergent", "that differ between nodes", TEXT_WARN}};
    const json_t *f = json_object_get(d, "figures");
    text_add(t, TEXT_PLAIN, "%lld files, %lld copies", (long long)json_int(f, "resources"),
             (long long)json_int(f, "copies"));
    text_line(t);
    for (size_t i = 0; i < PM_ARRAY_LEN(shown); i++) {
        if (!json_int(f, shown[i].key))
            continue;
        text_add(t, shown[i].style, "  %lld %s", (long long)json_int(f, shown[i].key), shown[i].text);
        text_line(t);
    }
}

void cli_render_catalog_plan(struct text *t, const json_t *d)
{
    char age[AGE_TEXT];
    if (!json_int(d, "plan")) {
        text_add(t, TEXT_DIM, "no plan was made yet");
        text_line(t);
        return;
    }
    text_add(t, TEXT_BOLD, "plan %lld", (long long)json_int(d, "plan"));
    text_add(t, TEXT_PLAIN, ", %s old, carried out %s by ", age_text(json_num(d, "age-ms", 0), age),
             strcmp(json_text(d, "apply"), "auto") == 0 ? "as it is made" : "when `catalog apply` says so");
    text_add(t, TEXT_NAME, "%s", json_text(d, "leader"));
    text_line(t);
    if (json_has(d, "idle")) {
        text_add(t, TEXT_WARN, "no orders are given now: %s", json_text(d, "idle"));
        text_line(t);
    }
    figures(t, d);
    actions(t, json_object_get(d, "actions"), "To do", false);
    if (json_int(d, "total") > (json_int_t)json_array_size(json_object_get(d, "actions"))) {
        text_add(t, TEXT_WARN, "  and more, %lld in all", (long long)json_int(d, "total"));
        text_line(t);
    }
    if (!json_int(d, "total")) {
        text_add(t, TEXT_GOOD, "nothing to do");
        text_line(t);
    }
    reports(t, json_object_get(d, "conflicts"), "Left alone: contents differ");
    reports(t, json_object_get(d, "cannot"), "Cannot be done");
    actions(t, json_object_get(d, "orders"), "Orders", true);
}

void cli_render_catalog_apply(struct text *t, const json_t *d)
{
    if (json_flag(d, "dry-run"))
        text_add(t, TEXT_BOLD, "would order ");
    text_add(t, TEXT_BOLD, "%lld", (long long)json_int(d, json_flag(d, "dry-run") ? "total" : "given"));
    text_add(t, TEXT_PLAIN, "%s", json_flag(d, "dry-run") ? "" : " orders given");
    text_line(t);
    actions(t, json_object_get(d, "actions"), "Plan", false);
}
