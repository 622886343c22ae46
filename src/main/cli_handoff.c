/* SPDX-License-Identifier: Apache-2.0 */
/* `pointsman peers`, `servers`, `matrix` and `handoff` as text. */
#include <math.h>
#include <string.h>
#include "main/cli.h"
#include "main/cli_text.h"

static void head(struct text *t, const json_t *d, const char *what)
{
    text_add(t, TEXT_BOLD, "%s", json_text(d, "service"));
    text_add(t, TEXT_DIM, "  %s, %s", json_text(d, "family"), what);
    text_line(t);
}

static enum text_style cell_text(const json_t *cell, const char *site, char *out, size_t size)
{
    const char *state = json_text(cell, "state");
    double ms = json_num(cell, "ms", NAN);
    bool up = strcmp(state, "up") == 0, own = strcmp(json_text(cell, "from"), site) == 0;
    if (up)
        snprintf(out, size, ms < 10 ? "%.1f" : "%.0f", ms);
    else
        snprintf(out, size, "%s", strcmp(state, "down") == 0 ? "down" : "-");
    return !up && *out == 'd' ? TEXT_BAD : !up || own ? TEXT_DIM : TEXT_PLAIN;
}

/* A row per line of words, for more sites than a table has columns. */
static void matrix_list(struct text *t, const json_t *rows)
{
    size_t i, k;
    const json_t *row, *cell;
    char ms[32];
    json_array_foreach(rows, i, row) {
        struct buf words = BUF_INIT;
        text_add(t, TEXT_NAME, "%s: ", json_text(row, "site"));
        json_array_foreach(json_object_get(row, "seen"), k, cell) {
            (void)cell_text(cell, json_text(row, "site"), ms, sizeof ms);
            buf_printf(&words, "%s%s %s", k ? ", " : "", json_text(cell, "from"), ms);
        }
        text_wrap(t, TEXT_PLAIN, text_columns(json_text(row, "site")) + 2, 4, buf_str(&words));
        text_line(t);
        buf_fini(&words);
    }
}

void cli_render_matrix(struct text *t, const json_t *d)
{
    const json_t *rows = json_object_get(d, "sites"), *row, *cell;
    const char *heads[TABLE_COLUMNS] = {"SITE"};
    size_t n = json_array_size(rows), i, k;
    head(t, d, "ms to reach the site of the row from the site of the column");
    if (n >= TABLE_COLUMNS) {
        matrix_list(t, rows);
        return;
    }
    json_array_foreach(rows, i, row)
        heads[i + 1] = json_text(row, "site");
    struct table tb;
    table_init(&tb, (unsigned)n + 1, heads);
    tb.right = (1u << TABLE_COLUMNS) - 2;
    json_array_foreach(rows, i, row) {
        table_cell(&tb, TEXT_NAME, "%s", json_text(row, "site"));
        json_array_foreach(json_object_get(row, "seen"), k, cell) {
            char ms[32];
            enum text_style style = cell_text(cell, json_text(row, "site"), ms, sizeof ms);
            table_cell(&tb, style, "%s", ms);
        }
    }
    table_print(&tb, t);
}

static void orders(struct text *t, const json_t *d)
{
    size_t i, k;
    const json_t *order, *name;
    json_array_foreach(json_object_get(d, "orders"), i, order) {
        struct buf words = BUF_INIT;
        const char *site = json_text(order, "site");
        json_array_foreach(json_object_get(order, "prefers"), k, name)
            buf_printf(&words, "%s%s", k ? ", " : "", json_string_value(name));
        text_add(t, TEXT_NAME, "%s", site);
        text_add(t, TEXT_DIM, " prefers ");
        text_wrap(t, TEXT_PLAIN, text_columns(site) + 9, 4,
                  words.len ? buf_str(&words) : "nobody yet: nothing measured");
        text_line(t);
        buf_fini(&words);
    }
}

void cli_render_handoff(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"SITE", "WEIGHT", "SHARE", "HERE", ""};
    const json_t *site;
    struct table tb;
    size_t i;
    head(t, d, json_flag(d, "in-force") ? "hand-off table in force" : "no table in force: spare capacity decides");
    orders(t, d);
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.right = 0xe;
    json_array_foreach(json_object_get(d, "sites"), i, site) {
        bool usable = json_flag(site, "usable");
        table_cell(&tb, TEXT_NAME, "%s", json_text(site, "site"));
        table_cell(&tb, TEXT_PLAIN, "%.0f", json_num(site, "weight", 0));
        table_cell(&tb, TEXT_PLAIN, "%.1f %%", json_num(site, "share", 0) * 100);
        table_cell(&tb, TEXT_BOLD, "%.1f %%", json_num(site, "share-here", 0) * 100);
        table_cell(&tb, TEXT_BAD, "%s", usable ? "" : "not usable here");
    }
    table_print(&tb, t);
}

/* ---- peers ---- */

static const char *size_text(double bytes, char out[32])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    unsigned u = 0;
    for (; bytes >= 1000 && u < 4; u++)
        bytes /= 1000;
    snprintf(out, 32, u && bytes < 10 ? "%.1f %s" : "%.0f %s", bytes, units[u]);
    return out;
}

void cli_render_peers(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"BALANCER", "SITE", "REGION", "LINK", "SINCE", "TRIP",
                                        "RECORDS",  "IN",   "OUT",    "LOAD", "WHY"};
    const json_t *list = json_object_get(d, "peers"), *p;
    char age[AGE_TEXT], in[32], out[32];
    struct table tb;
    size_t i;
    text_add(t, TEXT_BOLD, "%s", json_text(d, "node"));
    text_add(t, TEXT_DIM, "  region %s, %lld links over %s, %lld records of %lld balancers", json_text(d, "region"),
             (long long)json_int(d, "links"), json_text(d, "transport"), (long long)json_int(d, "records"),
             (long long)json_int(d, "writers"));
    if (json_has(d, "certificate-left-s"))
        text_add(t, TEXT_DIM, ", certificate for %s more",
                 age_text((double)json_int(d, "certificate-left-s") * 1000, age));
    text_line(t);
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.right = 0x3f0;
    tb.elastic = 0x400;
    json_array_foreach(list, i, p) {
        bool up = json_flag(p, "up");
        const json_t *r = json_object_get(p, "resources");
        table_cell(&tb, TEXT_NAME, "%s", json_text(p, "name"));
        table_cell(&tb, TEXT_PLAIN, "%s", json_text(p, "site"));
        table_cell(&tb, TEXT_DIM, "%s", json_text(p, "region"));
        table_cell(&tb, up ? TEXT_GOOD : TEXT_BAD, "%s",
                   up                       ? json_flag(p, "slow") ? "slow" : "up"
                   : json_flag(p, "needed") ? "down"
                                            : "not needed");
        table_cell(&tb, TEXT_DIM, "%s", up ? age_text(json_num(p, "up-ms", 0), age) : "");
        table_cell(&tb, TEXT_PLAIN, json_has(p, "round-trip-ms") ? "%.1f ms" : "", json_num(p, "round-trip-ms", 0));
        table_cell(&tb, TEXT_PLAIN, "%lld", (long long)json_int(p, "records"));
        table_cell(&tb, TEXT_DIM, "%s", size_text((double)json_int(p, "bytes-in"), in));
        table_cell(&tb, TEXT_DIM, "%s", size_text((double)json_int(p, "bytes-out"), out));
        table_cell(&tb, TEXT_DIM, json_is_object(r) ? "%.0f %%" : "", json_num(r, "load", 0) * 100);
        table_cell(&tb, TEXT_DIM, "%s", up ? "" : json_text(p, "why"));
    }
    table_print(&tb, t);
}

/* ---- servers ---- */

void cli_render_servers(struct text *t, const json_t *d)
{
    static const char *const heads[] = {"SERVER", "SERVICE",  "ADDRESS",  "STATE",  "WORD",    "ACTIVE",
                                        "IDLE",   "RESPONSE", "REQUESTS", "ERRORS", "EMPTY IN"};
    const json_t *s;
    char age[AGE_TEXT];
    struct table tb;
    size_t i;
    table_init(&tb, PM_ARRAY_LEN(heads), heads);
    tb.right = 0x3e0;
    tb.elastic = 2;
    json_array_foreach(json_object_get(d, "servers"), i, s) {
        bool up = json_flag(s, "up"), draining = json_flag(s, "draining");
        const char *word = json_text(s, "override");
        table_cell(&tb, TEXT_NAME, "%s", json_text(s, "server"));
        table_cell(&tb, TEXT_PLAIN, "%s", json_text(s, "service"));
        table_cell(&tb, TEXT_DIM, "%s", json_text(s, "address"));
        table_cell(&tb, up ? draining ? TEXT_WARN : TEXT_GOOD : TEXT_BAD, "%s",
                   !up        ? "down"
                   : draining ? "draining"
                              : "up");
        table_cell(&tb, style_of_override(word), "%s", strcmp(word, "none") == 0 ? "" : word);
        table_cell(&tb, TEXT_PLAIN, "%lld", (long long)json_int(s, "active"));
        table_cell(&tb, TEXT_DIM, "%lld", (long long)json_int(s, "idle"));
        table_cell(&tb, TEXT_PLAIN, "%.1f ms", json_num(s, "response-ms", 0));
        table_cell(&tb, TEXT_PLAIN, "%lld", (long long)json_int(s, "requests"));
        table_cell(&tb, TEXT_PLAIN, "%lld",
                   (long long)(json_int(s, "connect_errors") + json_int(s, "closed_early") + json_int(s, "timeouts") +
                               json_int(s, "bad_responses")));
        table_cell(&tb, TEXT_WARN, "%s", draining ? age_text(json_num(s, "empty-in-ms", 0), age) : "");
    }
    table_print(&tb, t);
    text_add(t, TEXT_DIM, "%lld clients", (long long)json_int(d, "clients"));
    text_line(t);
}
