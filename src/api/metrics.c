/* SPDX-License-Identifier: Apache-2.0 */
/* The page itself. The server is metrics_http.c. */
#include "api/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "api/facts.h"
#include "base/arena.h"
#include "base/map.h"

const struct metrics_info metrics_table[] = {
#define X(sym, name, type, help) {name, type, help},
    METRICS_TABLE(X)
#undef X
        {NULL, NULL, NULL}};

/* A family is gathered whole before it is printed: its values must stand together. */
struct family {
    char *name;
    struct buf text;
};

struct page {
    struct map by_name;
    struct family **families; /* in order of appearance */
    size_t count, cap;
    struct buf labels; /* scratch */
};

static bool name_ok(const char *name)
{
    if (!*name || (*name >= '0' && *name <= '9'))
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:") == strlen(name);
}

/* HELP escapes backslash and line feed only; label values the double quote, too. */
static void escaped(struct buf *out, const char *text, bool quotes)
{
    for (; *text; text++) {
        if (*text == '\n')
            buf_puts(out, "\\n");
        else if (*text == '\\' || (quotes && *text == '"'))
            buf_printf(out, "\\%c", *text);
        else
            buf_putc(out, *text);
    }
}

void metrics_label(struct buf *out, const char *value)
{
    escaped(out, value, true);
}

static struct family *family_of(struct page *p, const char *name, const char *type, const char *help)
{
    struct family *f = map_get_str(&p->by_name, name);
    if (f)
        return f;
    f = mem_alloc(sizeof *f);
    f->name = mem_strdup(name);
    if (p->count == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 64;
        p->families = mem_realloc(p->families, p->cap * sizeof(struct family *));
    }
    p->families[p->count++] = f;
    map_put_str(&p->by_name, f->name, f);
    buf_printf(&f->text, "# HELP %s ", name);
    escaped(&f->text, help, false);
    buf_printf(&f->text, "\n# TYPE %s %s\n", name, type);
    return f;
}

static void add_value(struct buf *out, double v)
{
    if (isnan(v))
        buf_puts(out, "NaN\n");
    else if (isinf(v))
        buf_puts(out, v > 0 ? "+Inf\n" : "-Inf\n");
    else
        buf_printf(out, fabs(v) < 1e15 && v == floor(v) ? "%.0f\n" : "%.9g\n", v);
}

static void add(void *ctx, const char *name, const char *labels, const char *type, const char *help, double value)
{
    struct page *p = ctx;
    if (!name_ok(name))
        return;
    struct family *f = family_of(p, name, type, help);
    if (*labels)
        buf_printf(&f->text, "%s{%s} ", name, labels);
    else
        buf_printf(&f->text, "%s ", name);
    add_value(&f->text, value);
}

static void put(struct page *p, enum metrics_id id, double value)
{
    add(p, metrics_table[id].name, buf_str(&p->labels), metrics_table[id].type, metrics_table[id].help, value);
}

static void label(struct page *p, const char *name, const char *value)
{
    buf_printf(&p->labels, "%s%s=\"", p->labels.len ? "," : "", name);
    metrics_label(&p->labels, value);
    buf_putc(&p->labels, '"');
}

static void daemon_metrics(struct page *p, const struct api_host *h)
{
    const struct model *m = h->model(h->ctx);
    uint64_t now = clock_wall_ms(h->clock);
    struct facts_checks checks;
    label(p, "version", PM_VERSION);
    put(p, METRICS_BUILD, 1);
    buf_clear(&p->labels);
    put(p, METRICS_UPTIME, now > h->started_wall_ms ? (double)(now - h->started_wall_ms) / 1000 : 0);
    put(p, METRICS_GENERATION, (double)h->snapshot(h->ctx)->generation);
    put(p, METRICS_HOLD, monitor_held(h->monitor));
    put(p, METRICS_OVERRIDES, (double)h->overrides->count);
    put(p, METRICS_SERVICES, model_config(m)->services.count);
    facts_checks(h, &checks);
    for (unsigned i = 0; i < PM_ARRAY_LEN(checks.state); i++) {
        label(p, "state", check_state_name((enum check_state)i));
        put(p, METRICS_CHECKS, checks.state[i]);
        buf_clear(&p->labels);
    }
}

static void site_metrics(struct page *p, const struct model *m)
{
    uint32_t count = model_config(m)->sites.count;
    struct facts_vips *f = mem_alloc((count + 1) * sizeof *f);
    for (uint32_t v = 0; v < model_vip_count(m); v++)
        facts_count_vip(&f[model_vip(m, v)->site], model_vip(m, v));
    for (uint32_t i = 0; i < count; i++) {
        for (unsigned k = 0; k < FACTS_HEALTH + FACTS_OVERRIDE; k++) {
            bool health = k < FACTS_HEALTH;
            if (k == FACTS_HEALTH) /* no word at all */
                continue;
            label(p, "site", facts_site(m, i)->name);
            if (health)
                label(p, "health", health_name((enum health)k));
            else
                label(p, "override", override_name((enum override)(k - FACTS_HEALTH)));
            put(p, health ? METRICS_SITE_VIPS : METRICS_SITE_OVERRIDDEN,
                health ? f[i].health[k] : f[i].override[k - FACTS_HEALTH]);
            buf_clear(&p->labels);
        }
    }
    free(f);
}

static void vip_metrics(struct page *p, const struct model *m, uint32_t limit)
{
    static const double up[FACTS_HEALTH] = {
        [HEALTH_UNKNOWN] = NAN, [HEALTH_UP] = 1, [HEALTH_DOWN] = 0, [HEALTH_UNCHECKED] = 1};
    uint32_t count = model_vip_count(m);
    put(p, METRICS_VIPS_OMITTED, count > limit ? count : 0);
    for (uint32_t i = 0; count <= limit && i < count; i++) {
        const struct model_vip *v = model_vip(m, i);
        char address[ADDR_TEXT];
        label(p, "service", facts_service(m, v->service)->name);
        label(p, "site", facts_site(m, v->site)->name);
        label(p, "address", addr_format(&v->config->addr, address));
        put(p, METRICS_VIP_UP, up[v->health]);
        put(p, METRICS_VIP_OVERRIDE, v->override);
        put(p, METRICS_VIP_FLAPPING, v->flapping);
        if (isfinite(v->metric[METRIC_RESPONSE]))
            put(p, METRICS_VIP_RESPONSE, (double)v->metric[METRIC_RESPONSE] / 1000);
        buf_clear(&p->labels);
    }
}

void metrics_page(const struct api_host *h, uint32_t vip_limit, struct buf *out)
{
    struct page p = {.by_name = MAP_INIT, .labels = BUF_INIT};
    const struct model *m = h->model(h->ctx);
    daemon_metrics(&p, h);
    site_metrics(&p, m);
    vip_metrics(&p, m, vip_limit);
    h->metrics(h->ctx, add, &p);
    for (size_t i = 0; i < p.count; i++) {
        buf_add(out, p.families[i]->text.data, p.families[i]->text.len);
        buf_fini(&p.families[i]->text);
        free(p.families[i]->name);
        free(p.families[i]);
    }
    free(p.families);
    map_fini(&p.by_name);
    buf_fini(&p.labels);
}
