/* SPDX-License-Identifier: Apache-2.0 */
/* `pointsman explain` for people: from the client, over every stage, to the bytes of the answer. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "main/cli.h"

enum { LABEL = 10, BAR = 20 };

static void title(struct text *t, const char *s)
{
    text_line(t);
    text_add(t, TEXT_BOLD, "%s", s);
    text_line(t);
}

static void label(struct text *t, const char *name)
{
    text_add(t, TEXT_DIM, "  %-*s", LABEL - 2, name);
}

/* "Paris, US-CA, FR, EU, AS64500, 48.86 N 2.35 E" */
static void place_text(const json_t *place, struct buf *out)
{
    static const char *const words[] = {"city", "region", "country", "continent"};
    const json_t *location = json_object_get(place, "location");
    for (size_t i = 0; i < PM_ARRAY_LEN(words); i++)
        if (json_has(place, words[i]))
            buf_printf(out, "%s%s", out->len ? ", " : "", json_text(place, words[i]));
    if (json_has(place, "asn"))
        buf_printf(out, "%sAS%lld", out->len ? ", " : "", (long long)json_int(place, "asn"));
    if (json_array_size(location) == 2) {
        double lat = json_number_value(json_array_get(location, 0)),
               lon = json_number_value(json_array_get(location, 1));
        buf_printf(out, "%s%.2f° %c %.2f° %c", out->len ? ", " : "", fabs(lat), lat < 0 ? 'S' : 'N', fabs(lon),
                   lon < 0 ? 'W' : 'E');
    }
    if (!out->len)
        buf_puts(out, "place unknown");
}

static void client(struct text *t, const json_t *e)
{
    const json_t *c = json_object_get(e, "client");
    struct buf place = BUF_INIT;
    label(t, "client");
    if (json_flag(c, "located")) {
        place_text(json_object_get(c, "place"), &place);
        text_add(t, TEXT_BOLD, "%s", json_text(c, "address"));
        text_add(t, TEXT_PLAIN, "  %s", buf_str(&place));
        text_add(t, TEXT_DIM, "  (known for its /%lld)", (long long)json_int(c, "place-scope"));
        buf_fini(&place);
    } else {
        text_add(t, TEXT_PLAIN, "not located: counts as being in no place");
    }
    text_line(t);
    label(t, "service");
    text_add(t, TEXT_NAME, "%s", json_text(e, "service"));
    const char *policy = json_text(e, "policy");
    text_add(t, TEXT_PLAIN, "  %s, policy %s", json_text(e, "family"), *policy ? policy : "(written at the service)");
    text_line(t);
    label(t, "class");
    text_add(t, TEXT_PLAIN, "%lld, scope /%lld: all clients in that prefix are treated alike%s",
             (long long)json_int(e, "class"), (long long)json_int(e, "scope"),
             json_flag(e, "compiled") ? "" : "; decided per query");
    text_line(t);
}

static void metric_cell(struct table *tb, const json_t *c, const char *key, const char *unit)
{
    double v = json_num(c, key, NAN);
    if (isnan(v))
        table_cell(tb, TEXT_PLAIN, "%s", "");
    else
        table_cell(tb, TEXT_PLAIN, "%.4g%s", v, unit);
}

static void override_cell(struct table *tb, const json_t *o)
{
    const char *word = json_text(o, "override");
    table_cell(tb, style_of_override(word), "%s", strcmp(word, "none") == 0 ? "" : word);
}

static void candidates(struct text *t, const json_t *e)
{
    static const char *const heads[] = {"ADDRESS", "SITE",     "HEALTH", "WORD", "RESPONSE", "LOAD", "HOPS",
                                        "CONNS",   "DISTANCE", "WEIGHT", "COST", "SEEN",     "WHY"};
    struct table tb;
    size_t i;
    const json_t *c;
    char age[AGE_TEXT];
    title(t, "Candidates");
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.indent = 2;
    tb.right = 0xff0; /* numbers, and the age */
    tb.elastic = 1u << 12 | 1u << 1;
    json_array_foreach (json_object_get(e, "candidates"), i, c) {
        const char *health = json_text(c, "health");
        table_cell(&tb, TEXT_BOLD, "%s", json_text(c, "address"));
        table_cell(&tb, TEXT_NAME, "%s", json_text(c, "site"));
        table_cell(&tb, style_of_health(health), "%s%s", health, json_flag(c, "flapping") ? ", unstable" : "");
        override_cell(&tb, c);
        metric_cell(&tb, c, "response-time", " ms");
        metric_cell(&tb, c, "load", "");
        metric_cell(&tb, c, "hops", "");
        metric_cell(&tb, c, "connections", "");
        metric_cell(&tb, c, "distance-km", " km");
        metric_cell(&tb, c, "weight", "");
        metric_cell(&tb, c, "cost", "");
        table_cell(&tb, TEXT_DIM, "%s",
                   json_has(c, "seen-ms-ago") ? age_text(json_num(c, "seen-ms-ago", 0), age) : "");
        table_cell(&tb, TEXT_DIM, "%s", json_text(c, "why"));
    }
    if (!tb.count) {
        text_add(t, TEXT_WARN, "  none of this family");
        text_line(t);
    }
    table_print(&tb, t);
}

static void effects(struct text *t, const json_t *list)
{
    struct table tb;
    size_t i;
    const json_t *f;
    table_init(&tb, 4, NULL);
    tb.indent = 6;
    tb.elastic = 1u << 3 | 1u << 1;
    json_array_foreach (list, i, f) {
        const char *did = json_text(f, "did");
        bool removed = strcmp(did, "removed") == 0;
        table_cell(&tb, removed ? TEXT_DIM : TEXT_PLAIN, "%s", json_text(f, "address"));
        table_cell(&tb, removed ? TEXT_DIM : TEXT_NAME, "%s", json_text(f, json_has(f, "server") ? "server" : "site"));
        table_cell(&tb, removed ? TEXT_BAD : strcmp(did, "kept") == 0 ? TEXT_GOOD : TEXT_PLAIN, "%s", did);
        table_cell(&tb, TEXT_PLAIN, "%s", json_text(f, "why"));
    }
    table_print(&tb, t);
}

void cli_render_passes(struct text *t, const json_t *e, const char *heading)
{
    const json_t *list = json_object_get(e, "passes"), *p, *s;
    size_t i, k;
    json_array_foreach (list, i, p) {
        char with_pass[200];
        const char *pass = json_text(p, "pass");
        snprintf(with_pass, sizeof with_pass, "%s: %s", heading, pass);
        title(t, json_array_size(list) > 1 || strcmp(pass, "normal") != 0 ? with_pass : heading);
        json_array_foreach (json_object_get(p, "stages"), k, s) {
            const char *name = json_text(s, "stage");
            text_add(t, TEXT_BOLD, "  %2zu  %s", k + 1, name);
            text_add(t, TEXT_PLAIN, "  ");
            unsigned column = 8 + text_columns(name);
            text_wrap(t, TEXT_DIM, column, column, json_text(s, "doc"));
            text_line(t);
            effects(t, json_object_get(s, "effects"));
        }
    }
}

static void order(struct text *t, const json_t *e)
{
    const json_t *list = json_object_get(e, "order"), *o;
    const char *fallback = json_text(e, "fallback");
    struct table tb;
    size_t i;
    title(t, "Order");
    table_init(&tb, 6, NULL);
    tb.indent = 2;
    tb.right = 1u << 0 | 1u << 4;
    tb.elastic = 1u << 2;
    json_array_foreach (list, i, o) {
        double share = json_num(o, "share", 0);
        char bar[BAR * 3 + 1] = "";
        for (int n = 0; n < (int)(share * BAR + 0.5) && n < BAR; n++)
            strcat(bar, "█");
        table_cell(&tb, TEXT_DIM, "%zu", i + 1);
        table_cell(&tb, TEXT_BOLD, "%s", json_text(o, "address"));
        table_cell(&tb, TEXT_NAME, "%s", json_text(o, "site"));
        table_cell(&tb, TEXT_PLAIN, "tier %lld", (long long)json_int(o, "tier"));
        table_cell(&tb, TEXT_PLAIN, share > 0 ? "%.1f %%" : "-", share * 100);
        table_cell(&tb, TEXT_GOOD, "%s", bar);
    }
    table_print(&tb, t);
    if (strcmp(fallback, "none") != 0) {
        text_add(t, TEXT_WARN, "  nothing was usable: answered by the all-down choice \"%s\"", fallback);
        text_line(t);
    }
    label(t, "pick");
    text_add(t, TEXT_PLAIN, "%s; the share is of queries in which it comes first", json_text(e, "pick"));
    text_line(t);
    const json_t *ttl = json_object_get(e, "ttl");
    label(t, "TTL");
    text_add(t, TEXT_PLAIN, "%lld s: ", (long long)json_int(ttl, "seconds"));
    text_wrap(t, TEXT_PLAIN, 20, LABEL, json_text(ttl, "why"));
    text_line(t);
}

/* What this site's front end would do with the client. */
static void front(struct text *t, const json_t *data)
{
    const json_t *list = json_object_get(data, "front"), *f, *s;
    size_t i, k;
    json_array_foreach (list, i, f) {
        struct table tb;
        const char *to = json_text(f, "to");
        title(t, "Front end here");
        label(t, json_text(f, "mode"));
        text_add(t, TEXT_BOLD, "%s", json_text(f, "does"));
        text_add(t, TEXT_NAME, "%s%s", *to ? " to " : "", to);
        text_add(t, TEXT_PLAIN, ": %s", json_text(f, "why"));
        text_line(t);
        label(t, "in use");
        if (json_int(f, "max-connections"))
            text_add(t, TEXT_PLAIN, "%lld of %lld", (long long)json_int(f, "active"), (long long)json_int(f, "max-connections"));
        else
            text_add(t, TEXT_PLAIN, "%lld", (long long)json_int(f, "active"));
        text_line(t);
        table_init(&tb, 4, NULL);
        tb.indent = 6;
        json_array_foreach (json_object_get(f, "servers"), k, s) {
            bool usable = json_flag(s, "usable");
            table_cell(&tb, TEXT_NAME, "%s", json_text(s, "server"));
            table_cell(&tb, usable ? TEXT_GOOD : TEXT_BAD, "%s", json_text(s, "why"));
            table_cell(&tb, TEXT_PLAIN, "%lld in use", (long long)json_int(s, "active"));
            table_cell(&tb, TEXT_DIM, "%.1f ms", json_num(s, "response-ms", 0));
        }
        table_print(&tb, t);
    }
}

static void section(struct text *t, const json_t *answer, const char *key, const char *heading)
{
    const json_t *list = json_object_get(answer, key), *r;
    struct table tb;
    size_t i;
    if (!json_array_size(list))
        return;
    text_add(t, TEXT_DIM, "  ;; %s", heading);
    text_line(t);
    table_init(&tb, 5, NULL);
    tb.indent = 2;
    tb.right = 1u << 1;
    json_array_foreach (list, i, r) {
        table_cell(&tb, TEXT_NAME, "%s", json_text(r, "name"));
        table_cell(&tb, TEXT_PLAIN, "%lld", (long long)json_int(r, "ttl"));
        table_cell(&tb, TEXT_PLAIN, "%s", json_text(r, "class"));
        table_cell(&tb, TEXT_PLAIN, "%s", json_text(r, "type"));
        table_cell(&tb, TEXT_BOLD, "%s", json_text(r, "data"));
    }
    table_print(&tb, t);
}

static void answer_bytes(struct text *t, const json_t *data)
{
    const json_t *a = json_object_get(data, "answer"), *flag;
    size_t i;
    if (!json_is_object(a))
        return;
    const char *rcode = json_text(a, "rcode");
    title(t, "Answer");
    text_add(t, TEXT_DIM, "  ;; status: ");
    text_add(t, strcmp(rcode, "NOERROR") == 0 ? TEXT_GOOD : TEXT_BAD, "%s", rcode);
    text_add(t, TEXT_DIM, ", flags:");
    json_array_foreach (json_object_get(a, "flags"), i, flag)
        text_add(t, TEXT_DIM, " %s", json_string_value(flag) ? json_string_value(flag) : "?");
    text_add(t, TEXT_DIM, "; %zu bytes", strlen(json_text(a, "bytes")) / 2);
    text_line(t);
    text_add(t, TEXT_DIM, "  ;; QUESTION");
    text_line(t);
    text_add(t, TEXT_PLAIN, "  %s  IN  %s", json_text(data, "name"), json_text(data, "type"));
    text_line(t);
    section(t, a, "answer", "ANSWER");
    section(t, a, "authority", "AUTHORITY");
    section(t, a, "additional", "ADDITIONAL");
}

void cli_render_explain(struct text *t, const json_t *data)
{
    const json_t *e = json_object_get(data, "explain");
    text_add(t, TEXT_BOLD, "%s %s", json_text(data, "name"), json_text(data, "type"));
    if (json_has(data, "at"))
        text_add(t, TEXT_WARN, "  as of %s", json_text(data, "at"));
    text_line(t);
    if (json_is_object(e)) {
        client(t, e);
        candidates(t, e);
        cli_render_passes(t, e, "Stages");
        order(t, e);
    } else {
        text_add(t, TEXT_DIM, "  no decision here: the name is no service, or the type is no address");
        text_line(t);
    }
    cli_render_explain_relay(t, json_object_get(data, "relay"));
    front(t, data);
    answer_bytes(t, data);
}
