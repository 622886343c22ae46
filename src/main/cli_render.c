/* SPDX-License-Identifier: Apache-2.0 */
/* The views of every command's answer but explain's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conf/doc.h"
#include "main/cli.h"

static const char *or_dash(const char *s)
{
    return *s ? s : "-";
}

static void count_cell(struct table *tb, const json_t *counts, const char *key, enum text_style style)
{
    json_int_t n = json_int(counts, key);
    table_cell(tb, n ? style : TEXT_DIM, "%lld", (long long)n);
}

static void counts(struct text *t, const json_t *o, const char *what)
{
    const char *key;
    json_t *n;
    bool first = true;
    text_add(t, TEXT_DIM, "  %-11s", what);
    text_add(t, TEXT_BOLD, "%lld", (long long)json_int(o, "total"));
    json_object_foreach ((json_t *)(uintptr_t)o, key, n) {
        if (strcmp(key, "total") == 0 || !json_integer_value(n))
            continue;
        text_add(t, TEXT_PLAIN, first ? ": " : ", ");
        enum text_style style =
            strcmp(key, "enabled") == 0 || strcmp(key, "drained") == 0 || strcmp(key, "disabled") == 0
                ? style_of_override(key)
                : style_of_health(key);
        text_add(t, style, "%lld %s", (long long)json_integer_value(n), key);
        first = false;
    }
    text_line(t);
}

static void status(struct text *t, const json_t *d)
{
    char age[AGE_TEXT];
    const char *key;
    json_t *v;
    text_add(t, TEXT_BOLD, "pointsman %s", json_text(d, "version"));
    text_add(t, TEXT_PLAIN, "  up %s, generation %lld", age_text(json_num(d, "uptime-s", 0) * 1000, age),
             (long long)json_int(d, "generation"));
    text_line(t);
    if (json_flag(d, "hold")) {
        text_add(t, TEXT_BAD,
                 "  all states are held: nearly every check failed at once, so the fault is near this node");
        text_line(t);
    }
    text_add(t, TEXT_DIM, "  %-11s", "sites");
    text_add(t, TEXT_BOLD, "%lld", (long long)json_int(d, "sites"));
    text_line(t);
    text_add(t, TEXT_DIM, "  %-11s", "services");
    text_add(t, TEXT_BOLD, "%lld", (long long)json_int(d, "services"));
    text_line(t);
    counts(t, json_object_get(d, "vips"), "VIPs");
    counts(t, json_object_get(d, "checks"), "checks");
    text_add(t, TEXT_DIM, "  %-11s", "overrides");
    text_add(t, json_int(d, "overrides") ? TEXT_WARN : TEXT_BOLD, "%lld", (long long)json_int(d, "overrides"));
    text_line(t);
    static const char *const heads[] = {"COUNTER", "TOTAL", "PER SECOND SINCE START"};
    struct table tb;
    table_init(&tb, 3, heads);
    tb.indent = 2;
    tb.right = 6;
    json_object_foreach (json_object_get(d, "counters"), key, v) {
        table_cell(&tb, TEXT_PLAIN, "%s", key);
        table_cell(&tb, TEXT_PLAIN, "%.0f", json_num(v, "total", 0));
        table_cell(&tb, TEXT_PLAIN, "%.2f", json_num(v, "per-second", 0));
    }
    if (tb.count)
        text_line(t);
    table_print(&tb, t);
}

static void sites(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"SITE", "WHERE", "VIPS", "UP", "DOWN", "UNKNOWN", "WORD", "SERVICES"};
    struct table tb;
    size_t i, k;
    const json_t *s, *name;
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.right = 0xbc;
    tb.elastic = 3;
    json_array_foreach (json_object_get(d, "sites"), i, s) {
        const json_t *v = json_object_get(s, "vips");
        const char *word = json_text(s, "override"), *country = json_text(s, "country"),
                   *region = json_text(s, "region");
        table_cell(&tb, TEXT_NAME, "%s", json_text(s, "name"));
        table_cell(&tb, TEXT_PLAIN, "%s%s%s", region, *region && *country ? ", " : "", country);
        table_cell(&tb, TEXT_PLAIN, "%lld", (long long)json_int(v, "total"));
        table_cell(&tb, TEXT_GOOD, "%lld", (long long)(json_int(v, "up") + json_int(v, "unchecked")));
        count_cell(&tb, v, "down", TEXT_BAD);
        count_cell(&tb, v, "unknown", TEXT_WARN);
        table_cell(&tb, style_of_override(word), "%s", strcmp(word, "none") == 0 ? "" : word);
        table_cell(&tb, TEXT_PLAIN, "%lld", (long long)json_int(s, "services"));
    }
    table_print(&tb, t);
    json_array_foreach (json_object_get(d, "sites"), i, s)
        json_array_foreach (json_object_get(s, "service-names"), k, name) {
            text_add(t, TEXT_PLAIN, "  %s", json_string_value(name));
            text_line(t);
        }
}

static void response_cell(struct table *tb, double ms)
{
    if (isnan(ms))
        table_cell(tb, TEXT_PLAIN, "%s", "");
    else
        table_cell(tb, TEXT_PLAIN, "%.4g ms", ms);
}

static void check_row(struct table *tb, const json_t *c)
{
    char age[AGE_TEXT], next[AGE_TEXT], expiry[AGE_TEXT];
    const char *state = json_text(c, "state");
    double expires = json_num(c, "cert-expires-s", NAN), ms = json_num(c, "response-ms", NAN);
    table_cell(tb, TEXT_DIM, "%s", "");
    table_cell(tb, TEXT_DIM, "└ %s", json_text(c, "module"));
    table_cell(tb, TEXT_DIM, "%s", "");
    table_cell(tb, style_of_health(state), "%s%s", state,
               json_flag(c, "held")             ? ", held"
               : json_has(c, "restored-age-ms") ? ", restored"
                                                : "");
    table_cell(tb, TEXT_PLAIN, "%s", "");
    response_cell(tb, ms);
    table_cell(tb, TEXT_DIM, "%s",
               json_has(c, "checked-ms-ago") ? age_text(json_num(c, "checked-ms-ago", 0), age) : "");
    table_cell(tb, TEXT_DIM, "%s", age_text(json_num(c, "next-in-ms", 0), next));
    struct buf why = BUF_INIT;
    buf_puts(&why, json_text(c, "why"));
    if (!isnan(expires))
        buf_printf(&why, "%scertificate %s %s", why.len ? "; " : "", expires < 0 ? "expired, by" : "for",
                   age_text(fabs(expires) * 1000, expiry));
    if (json_has(c, "hops"))
        buf_printf(&why, "%s%lld hops", why.len ? "; " : "", (long long)json_int(c, "hops"));
    table_cell(tb, TEXT_DIM, "%s", buf_str(&why));
    buf_fini(&why);
}

static void vips(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"ADDRESS",  "SERVICE", "SITE", "HEALTH", "WORD",
                                        "RESPONSE", "SEEN",    "NEXT", "WHY"};
    const json_t *list = json_object_get(d, "vips"), *v, *c;
    struct table tb;
    size_t i, k;
    char age[AGE_TEXT];
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.right = 0xe0;
    tb.elastic = 0x106;
    json_array_foreach (list, i, v) {
        const char *health = json_text(v, "health"), *word = json_text(v, "override");
        double ms = json_num(v, "response-time", NAN);
        table_cell(&tb, TEXT_BOLD, "%s", json_text(v, "address"));
        table_cell(&tb, TEXT_PLAIN, "%s", json_text(v, "service"));
        table_cell(&tb, TEXT_NAME, "%s", json_text(v, "site"));
        table_cell(&tb, style_of_health(health), "%s%s%s", health, json_flag(v, "flapping") ? ", unstable" : "",
                   json_flag(v, "restored") ? ", restored" : "");
        table_cell(&tb, style_of_override(word), "%s", strcmp(word, "none") == 0 ? "" : word);
        response_cell(&tb, ms);
        table_cell(&tb, TEXT_DIM, "%s",
                   json_has(v, "seen-ms-ago") ? age_text(json_num(v, "seen-ms-ago", 0), age) : "");
        table_cell(&tb, TEXT_DIM, "%s", "");
        table_cell(&tb, TEXT_DIM, "%s", json_text(v, "why"));
        json_array_foreach (json_object_get(v, "checks"), k, c)
            check_row(&tb, c);
    }
    table_print(&tb, t);
    if (json_int(d, "total") > (json_int_t)json_array_size(list)) {
        text_add(t, TEXT_WARN, "%lld more; see --limit, --site, --service",
                 (long long)json_int(d, "total") - (long long)json_array_size(list));
        text_line(t);
    }
}

static void services(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"SERVICE", "POLICY", "TTL", "USABLE", "VIPS", "DOWN"};
    const json_t *list = json_object_get(d, "services"), *s;
    struct table tb;
    size_t i;
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.right = 0x3c;
    tb.elastic = 3;
    json_array_foreach (list, i, s) {
        const json_t *v = json_object_get(s, "vips");
        table_cell(&tb, TEXT_NAME, "%s", json_text(s, "name"));
        table_cell(&tb, TEXT_PLAIN, "%s", or_dash(json_text(s, "policy")));
        table_cell(&tb, TEXT_PLAIN, "%lld s%s", (long long)json_int(s, "ttl-s"),
                   json_flag(s, "ttl-auto") ? " auto" : "");
        table_cell(&tb, json_int(s, "usable") ? TEXT_GOOD : TEXT_BAD, "%lld", (long long)json_int(s, "usable"));
        table_cell(&tb, TEXT_PLAIN, "%lld", (long long)json_int(v, "total"));
        count_cell(&tb, v, "down", TEXT_BAD);
    }
    table_print(&tb, t);
    if (json_int(d, "total") > (json_int_t)json_array_size(list)) {
        text_add(t, TEXT_WARN, "%lld more; see --limit",
                 (long long)json_int(d, "total") - (long long)json_array_size(list));
        text_line(t);
    }
}

static void word(struct text *t, const json_t *d)
{
    const char *state = json_text(d, "state");
    bool back = strcmp(state, "none") == 0;
    text_add(t, TEXT_NAME, "%s", json_text(d, "target"));
    text_add(t, TEXT_PLAIN, back ? ": taken back; the checks decide again" : " is ");
    if (!back)
        text_add(t, style_of_override(state), "%s", state);
    if (json_int(d, "vips") || !json_int(d, "servers"))
        text_add(t, TEXT_PLAIN, " (%lld VIPs of %lld services)", (long long)json_int(d, "vips"),
                 (long long)json_int(d, "services"));
    if (json_int(d, "servers"))
        text_add(t, TEXT_PLAIN, " (%lld server%s of this site)", (long long)json_int(d, "servers"), json_int(d, "servers") > 1 ? "s" : "");
    if (json_has(d, "until"))
        text_add(t, TEXT_PLAIN, " until %s", json_text(d, "until"));
    text_line(t);
    if (json_has(d, "clients-until") && json_int(d, "vips")) {
        text_add(t, TEXT_PLAIN, "Clients with an earlier answer may come until %s (TTL %lld s).",
                 json_text(d, "clients-until"), (long long)json_int(d, "ttl-s"));
        text_line(t);
    }
    if (!json_flag(d, "saved")) {
        text_add(t, TEXT_WARN, "In force, but not written to disk: a restart forgets it.");
        text_line(t);
    }
    text_lines(t, json_text(d, "report"));
}

static void overrides(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"TARGET", "WORD", "VIPS", "SINCE", "UNTIL", "FOR", "BY"};
    struct table tb;
    size_t i;
    const json_t *o;
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.right = 4;
    json_array_foreach (json_object_get(d, "overrides"), i, o) {
        const char *state = json_text(o, "state");
        table_cell(&tb, TEXT_NAME, "%s", json_text(o, "target"));
        table_cell(&tb, style_of_override(state), "%s", state);
        table_cell(&tb, json_int(o, "vips") ? TEXT_PLAIN : TEXT_BAD, "%lld", (long long)json_int(o, "vips"));
        table_cell(&tb, TEXT_PLAIN, "%s", json_text(o, "since"));
        table_cell(&tb, TEXT_PLAIN, "%s", json_has(o, "until") ? json_text(o, "until") : "taken back");
        table_cell(&tb, TEXT_DIM, "%s", json_text(o, "scope"));
        table_cell(&tb, TEXT_DIM, "%s", json_text(o, "by"));
    }
    if (!tb.count)
        text_add(t, TEXT_DIM, "no operator has said anything");
    if (!tb.count)
        text_line(t);
    table_print(&tb, t);
}

static void reload(struct text *t, const json_t *d)
{
    text_add(t, TEXT_GOOD, "reloaded");
    text_add(t, TEXT_PLAIN, ", generation %lld", (long long)json_int(d, "generation"));
    text_line(t);
    text_lines(t, json_text(d, "report"));
}

static void check_now(struct text *t, const json_t *d)
{
    text_add(t, TEXT_PLAIN, "%lld checks of %lld VIPs started", (long long)json_int(d, "checks"),
             (long long)json_int(d, "vips"));
    text_line(t);
}

static void change_cell(struct table *tb, const json_t *v)
{
    if (json_is_string(v))
        table_cell(tb, style_of_health(json_string_value(v)), "%s", json_string_value(v));
    else if (json_is_number(v))
        table_cell(tb, TEXT_PLAIN, "%.4g", json_number_value(v));
    else
        table_cell(tb, TEXT_PLAIN, "%s", json_is_true(v) ? "yes" : json_is_false(v) ? "no" : "-");
}

static void history(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"WHEN", "VIP", "SERVICE", "SITE", "WHAT", "BEFORE", "", "AFTER"};
    struct table tb;
    size_t i;
    const json_t *c;
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.elastic = 1u << 2;
    json_array_foreach (json_object_get(d, "changes"), i, c) {
        table_cell(&tb, TEXT_PLAIN, "%s", json_text(c, "when"));
        table_cell(&tb, TEXT_BOLD, "%s", json_text(c, "vip"));
        table_cell(&tb, TEXT_PLAIN, "%s", json_text(c, "service"));
        table_cell(&tb, TEXT_NAME, "%s", json_text(c, "site"));
        table_cell(&tb, TEXT_PLAIN, "%s", json_text(c, "what"));
        change_cell(&tb, json_object_get(c, "before"));
        table_cell(&tb, TEXT_DIM, "→");
        change_cell(&tb, json_object_get(c, "after"));
    }
    table_print(&tb, t);
    text_add(t, TEXT_DIM, "remembered since %s", json_text(d, "since"));
    text_line(t);
}

static void policies(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"POLICY", "SERVICES", "STAGES"}, *const preset_heads[] = {"PRESET", "STAGES",
                                                                                                  "WHAT"};
    static const char *const stage_heads[] = {"STAGE", "KIND", "WHAT"};
    struct table tb;
    size_t i;
    const json_t *p;
    table_init(&tb, 3, heads);
    tb.right = 2;
    json_array_foreach (json_object_get(d, "policies"), i, p) {
        char *stages = json_dumps(json_object_get(p, "stages"), JSON_ENCODE_ANY);
        table_cell(&tb, TEXT_NAME, "%s", or_dash(json_text(p, "name")));
        table_cell(&tb, TEXT_PLAIN, "%lld", (long long)json_int(p, "services"));
        table_cell(&tb, TEXT_PLAIN, "%s", stages ? stages : "");
        free(stages);
    }
    table_print(&tb, t);
    text_line(t);
    table_init(&tb, 3, preset_heads);
    tb.elastic = 6;
    json_array_foreach (json_object_get(d, "presets"), i, p) {
        table_cell(&tb, TEXT_NAME, "%s", json_text(p, "name"));
        table_cell(&tb, TEXT_PLAIN, "%s", json_text(p, "stages"));
        table_cell(&tb, TEXT_DIM, "%s", json_text(p, "doc"));
    }
    table_print(&tb, t);
    text_line(t);
    table_init(&tb, 3, stage_heads);
    tb.elastic = 4;
    json_array_foreach (json_object_get(d, "stages"), i, p) {
        table_cell(&tb, TEXT_NAME, "%s", json_text(p, "name"));
        table_cell(&tb, TEXT_PLAIN, "%s", json_text(p, "kind"));
        table_cell(&tb, TEXT_DIM, "%s", json_text(p, "doc"));
    }
    table_print(&tb, t);
}

static void metrics(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"METRIC", "TYPE", "WHAT"};
    struct table tb;
    size_t i;
    const json_t *m;
    table_init(&tb, 3, heads);
    tb.elastic = 4;
    json_array_foreach (json_object_get(d, "metrics"), i, m) {
        table_cell(&tb, TEXT_NAME, "%s", json_text(m, "name"));
        table_cell(&tb, TEXT_PLAIN, "%s", json_text(m, "type"));
        table_cell(&tb, TEXT_DIM, "%s", json_text(m, "help"));
    }
    table_print(&tb, t);
}

static const struct view {
    const char *command;
    void (*render)(struct text *t, const json_t *data);
} views[] = {
    {"status", status},   {"sites", sites},         {"vips", vips},
    {"servers", cli_render_servers}, {"services", services},   {"drain", word},
    {"disable", word},    {"enable", word},         {"reload", reload},
    {"history", history}, {"overrides", overrides}, {"check-now", check_now},
    {"metrics", metrics}, {"policies", policies},   {"explain", cli_render_explain},
    {"peers", cli_render_peers},    {"matrix", cli_render_matrix}, {"handoff", cli_render_handoff},
    {"relay", cli_render_relay}, {"agents", cli_render_agents}, {"ready", cli_render_ready}, {"sessions", cli_render_sessions},
    {"catalog", cli_render_catalog}, {"catalog plan", cli_render_catalog_plan}, {"catalog apply", cli_render_catalog_apply},
};

void cli_render(struct text *t, const char *command, const json_t *data)
{
    for (size_t i = 0; i < PM_ARRAY_LEN(views); i++) {
        if (strcmp(views[i].command, command) == 0) {
            views[i].render(t, data);
            return;
        }
    }
    conf_json_yaml(data, &t->out);
}
