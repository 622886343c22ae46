/* SPDX-License-Identifier: Apache-2.0 */
/* The relay's part of `pointsman explain --url` for people: from the request to the node, and what comes after it. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "main/cli.h"

enum { LABEL = 12, BAR = 20 };

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

static void request(struct text *t, const json_t *r)
{
    const json_t *q = json_object_get(r, "request");
    const char *by = json_text(q, "read-by");
    if (!json_is_object(q))
        return;
    label(t, "request");
    if (strcmp(json_text(q, "kind"), "tls") == 0)
        text_add(t, TEXT_BOLD, "TLS for %s", json_text(q, "host"));
    else
        text_add(t, TEXT_BOLD, "%s %s", json_text(q, "method"), json_text(q, "target"));
    text_add(t, TEXT_PLAIN, ", %lld bytes and what the client adds", (long long)json_int(q, "bytes"));
    if (*by)
        text_add(t, TEXT_DIM,
                 strcmp(by, "daemon") == 0 ? "; several segments: read by the daemon" : "; read by the packet program");
    text_line(t);
}

static void names(const json_t *list, struct buf *out)
{
    const json_t *name;
    size_t i;
    json_array_foreach(list, i, name)
        buf_printf(out, "%s%s", i ? ", " : "", json_string_value(name));
}

/* Whence it is known: "a scanned, b configured"; who said no. */
static void directory(struct text *t, const json_t *r)
{
    const json_t *d = json_object_get(r, "directory"), *h, *source;
    struct buf words = BUF_INIT;
    size_t i, k;
    if (!json_is_object(d))
        return;
    json_array_foreach(json_object_get(d, "holders"), i, h) {
        buf_printf(&words, "%s%s", i ? ", " : "", json_text(h, "node"));
        json_array_foreach(json_object_get(h, "sources"), k, source)
            buf_printf(&words, "%s%s", k ? "+" : " ", json_string_value(source));
    }
    json_array_foreach(json_object_get(d, "denied-here"), i, h)
        buf_printf(&words, ", %s answered 404", json_text(h, "node"));
    label(t, "known by");
    text_wrap(t, TEXT_PLAIN, LABEL, LABEL, buf_str(&words));
    text_line(t);
    buf_fini(&words);
}

static void tables(struct text *t, const json_t *r)
{
    const json_t *host = json_object_get(r, "host"), *res = json_object_get(r, "resource");
    const char *matched = json_text(host, "matched"), *kind = json_text(res, "kind");
    struct buf holders = BUF_INIT;
    if (!json_is_object(host))
        return;
    label(t, "host");
    if (strcmp(matched, "name") == 0)
        text_add(t, TEXT_PLAIN, "known by its name: ");
    else
        text_add(t, TEXT_WARN,
                 strcmp(matched, "default") == 0 ? "not known, so it is as for " : "none is known there: ");
    text_add(t, TEXT_NAME, "%s", json_text(host, "service"));
    text_line(t);
    label(t, "resource");
    names(json_object_get(r, "holders"), &holders);
    if (json_is_object(res)) {
        text_add(t, TEXT_PLAIN, "%s ", kind);
        text_add(t, TEXT_BOLD, "%s%s", strcmp(kind, "suffix") == 0 ? "*" : "", json_text(res, "text"));
        text_add(t, TEXT_DIM, ", asked for %lld times", (long long)json_int(res, "requests"));
    } else {
        text_add(t, TEXT_PLAIN, "none is about it");
    }
    text_line(t);
    if (json_is_object(res) && json_flag(res, "front")) {
        buf_fini(&holders);
        return;
    }
    label(t, "held by");
    text_wrap(t, holders.len ? TEXT_PLAIN : TEXT_BAD, LABEL, LABEL, holders.len ? buf_str(&holders) : "nobody");
    text_line(t);
    buf_fini(&holders);
    directory(t, r);
}

static void verdict(struct text *t, const json_t *r)
{
    const char *to = json_text(r, "goes-to");
    bool node = strcmp(to, "node") == 0;
    label(t, "goes to");
    if (node && json_has(r, "node"))
        text_add(t, TEXT_GOOD, "%s", json_text(r, "node"));
    else
        text_add(t, node ? TEXT_GOOD : TEXT_WARN, "%s", node ? "a node drawn by the shares below" : to);
    text_line(t);
    label(t, "why");
    text_wrap(t, TEXT_PLAIN, LABEL, LABEL, json_text(r, "why"));
    text_line(t);
}

/* Of the one node it goes to. */
static void travels(struct text *t, const json_t *r)
{
    const json_t *n;
    size_t i;
    json_array_foreach(json_object_get(r, "nodes"), i, n) {
        const char *way = json_text(n, "via");
        if (!json_has(r, "node") || strcmp(json_text(n, "server"), json_text(r, "node")) != 0)
            continue;
        label(t, "travels");
        text_add(t, TEXT_PLAIN, "%s",
                 strcmp(way, "lan") == 0    ? "over the LAN, to its link address"
                 : strcmp(way, "hops") == 0 ? "in UDP, through routers"
                 : strcmp(way, "self") == 0 ? "not at all: it is this machine"
                                            : way);
        text_line(t);
    }
}

static void word_cell(struct table *tb, const json_t *n)
{
    const char *word = json_text(n, "override");
    table_cell(tb, style_of_override(word), "%s", strcmp(word, "none") == 0 ? "" : word);
}

static void share_cells(struct table *tb, double share)
{
    char bar[BAR * 3 + 1] = "";
    for (int n = 0; n < (int)(share * BAR + 0.5) && n < BAR; n++)
        strcat(bar, "█");
    table_cell(tb, TEXT_PLAIN, share > 0 ? "%.1f %%" : "-", share * 100);
    table_cell(tb, TEXT_GOOD, "%s", bar);
}

static void nodes(struct text *t, const json_t *r)
{
    static const char *const heads[] = {"SERVER",   "ADDRESS", "HEALTH", "WORD",  "LOAD",
                                        "HOLDS IT", "WAY",     "MTU",    "SHARE", ""};
    const json_t *list = json_object_get(r, "nodes"), *n;
    struct table tb;
    size_t i;
    if (!json_array_size(list))
        return;
    title(t, "Nodes, and their part of the ring in force");
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.indent = 2;
    tb.right = 1u << 4 | 1u << 7 | 1u << 8;
    tb.elastic = 1;
    json_array_foreach(list, i, n) {
        const char *health = json_text(n, "health"), *way = json_text(n, "via");
        bool lost = strcmp(way, "down") == 0 || strcmp(way, "not reached") == 0;
        table_cell(&tb, TEXT_NAME, "%s", json_text(n, "server"));
        table_cell(&tb, TEXT_PLAIN, "%s", json_text(n, "address"));
        table_cell(&tb, style_of_health(health), "%s", health);
        word_cell(&tb, n);
        if (json_has(n, "load"))
            table_cell(&tb, TEXT_PLAIN, "%.2f", json_num(n, "load", NAN));
        else
            table_cell(&tb, TEXT_DIM, "%s", "");
        table_cell(&tb, TEXT_PLAIN, "%s", json_flag(n, "holds") ? "yes" : "no");
        table_cell(&tb, lost ? TEXT_BAD : TEXT_PLAIN, "%s", way);
        table_cell(&tb, TEXT_PLAIN, "%lld", (long long)json_int(n, "mtu"));
        share_cells(&tb, json_num(n, "share", 0));
    }
    table_print(&tb, t);
}

static void later_row(struct table *tb, const json_t *o)
{
    const char *then = json_text(o, "then"), *resource = json_text(o, "resource"), *name;
    struct buf where = BUF_INIT;
    json_t *share;
    bool either = strcmp(then, "either") == 0;
    if (either) {
        buf_puts(&where, "stays at ");
        names(json_object_get(o, "stays-at"), &where);
        buf_puts(&where, "; else to ");
    }
    if (either || strcmp(then, "move") == 0) {
        size_t before = where.len;
        json_object_foreach(json_object_get(o, "moves-to"), name, share)
            buf_printf(&where, "%s%s %.0f %%", where.len > before ? ", " : "", name, json_number_value(share) * 100);
    }
    table_cell(tb, TEXT_BOLD, "%s", strcmp(resource, "*") == 0 ? "anything else" : resource);
    table_cell(tb, strcmp(then, "stay") == 0 ? TEXT_GOOD : TEXT_WARN, "%s",
               strcmp(then, "move") == 0   ? "moves"
               : strcmp(then, "stay") == 0 ? "stays"
               : either                    ? "stays or moves"
                                           : "moves to the front end");
    table_cell(tb, TEXT_PLAIN, "%s", buf_str(&where));
    buf_fini(&where);
}

static void later(struct text *t, const json_t *r)
{
    const json_t *list = json_object_get(r, "later"), *o;
    struct table tb;
    size_t i;
    if (json_flag(r, "pinned") && strcmp(json_text(r, "goes-to"), "kernel") != 0) {
        label(t, "later");
        text_add(t, TEXT_PLAIN, "stays there, whatever the connection asks for");
        text_line(t);
    }
    if (!json_array_size(list))
        return;
    title(t, "A later request on the same connection");
    table_init(&tb, 3, NULL);
    tb.indent = 2;
    tb.elastic = 1u << 0 | 1u << 2;
    json_array_foreach(list, i, o)
        later_row(&tb, o);
    table_print(&tb, t);
    text_add(t, TEXT_DIM, "  sent before the last one is answered, it moves to the front end");
    text_line(t);
}

void cli_render_explain_relay(struct text *t, const json_t *r)
{
    const char *policy = json_text(r, "policy");
    char heading[120];
    if (!json_is_object(r))
        return;
    title(t, "Relay here");
    if (json_has(r, "vip")) {
        label(t, "comes to");
        text_add(t, TEXT_BOLD, "%s", json_text(r, "vip"));
        text_line(t);
    }
    request(t, r);
    tables(t, r);
    verdict(t, r);
    travels(t, r);
    if (!json_has(r, "later"))
        later(t, r);
    snprintf(heading, sizeof heading, "Relay's policy%s%s", *policy ? " " : "", policy);
    cli_render_passes(t, r, heading);
    nodes(t, r);
    if (json_has(r, "later"))
        later(t, r);
}
