/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file: {"version": 1, "wall_ms": W, "checks": {KEY: {"state": "up", ...}}}. Times in it are
 * ages in ms at W, so neither clock has to agree between two lives of the process; how long it lay
 * on disk is now - W on the wall clock (at least 0: a clock that went backwards makes nothing
 * younger).
 *
 * Written by hand, not through a JSON tree: a hundred thousand checks would need a gigabyte of
 * nodes for a moment.
 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "monitor/engine.h"

enum { FILE_MAX = 512 * 1024 * 1024, VERSION = 1 };

/* What the file says of one key; the wall clock's time stands for every age in it. */
struct saved {
    uint8_t state;
    double response_ms, last_ms, throughput_bps;
    int32_t hops;
    int64_t cert_expiry_s;
    uint64_t wall_ms, checked_age_ms, changed_age_ms, good_age_ms;
    uint32_t count[PROBE_STATUS_COUNT];
    uint8_t last_status;
    char why[96];
    char key[];
};

static void put_string(struct buf *b, const char *s)
{
    buf_putc(b, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else if (c < 0x20)
            buf_printf(b, "\\u%04x", c);
        else
            buf_putc(b, (char)c);
    }
    buf_putc(b, '"');
}

/* A key that is not UTF-8 would make the whole file unreadable, so that check is not kept. */
static bool storable(const char *key)
{
    json_t *v = json_string(key);
    bool ok = v != NULL;
    json_decref(v);
    return ok;
}

static void put_double(struct buf *b, const char *name, double v)
{
    if (isfinite(v))
        buf_printf(b, ",\"%s\":%.6g", name, v);
}

static void put_age(struct buf *b, const char *name, uint64_t now_ms, uint64_t at_ms)
{
    if (at_ms)
        buf_printf(b, ",\"%s\":%llu", name,
                   (unsigned long long)(now_ms > at_ms ? now_ms - at_ms : 0));
}

static void put_check(struct buf *b, const struct monitor *m, const struct monitor_check *c)
{
    uint64_t now = monitor_now_ms(m);
    /* What was restored and not confirmed is still as old as it was. */
    uint64_t older = c->restored ? c->restored_age_ms : 0;
    put_string(b, c->spec.key);
    buf_printf(b, ":{\"state\":\"%s\"", check_state_name((enum check_state)c->raw));
    put_double(b, "response_ms", c->response_ms);
    put_double(b, "last_ms", (double)c->last_ms);
    put_double(b, "throughput_bps", (double)c->throughput_bps);
    if (c->hops >= 0)
        buf_printf(b, ",\"hops\":%d", c->hops);
    if (c->cert_at_s != INT64_MIN)
        buf_printf(b, ",\"cert_expiry_s\":%lld", (long long)(c->cert_at_s - (int64_t)(now / 1000)));
    if (c->restored && !c->checked_ms)
        buf_printf(b, ",\"checked_age_ms\":%llu", (unsigned long long)older);
    put_age(b, "checked_age_ms", now, c->checked_ms);
    put_age(b, "changed_age_ms", now, c->changed_ms);
    put_age(b, "good_age_ms", now, c->good_ms);
    buf_printf(b, ",\"last_status\":\"%s\"", probe_status_name((enum probe_status)c->last_status));
    if (c->why && storable(c->why)) {
        buf_puts(b, ",\"why\":");
        put_string(b, c->why);
    }
    buf_puts(b, ",\"count\":{");
    const char *sep = "";
    for (int i = 0; i < PROBE_STATUS_COUNT; i++) {
        if (!c->count[i])
            continue;
        buf_printf(b, "%s\"%s\":%u", sep, probe_status_name((enum probe_status)i), c->count[i]);
        sep = ",";
    }
    buf_puts(b, "}}");
}

void monitor_save_text(const struct monitor *m, struct buf *b)
{
    buf_printf(b, "{\"version\":%d,\"wall_ms\":%llu,\"checks\":{", VERSION,
               (unsigned long long)clock_wall_ms(m->clock));
    size_t at = 0;
    struct map_slot s;
    const char *sep = "\n";
    while (map_next(&m->checks, &at, &s)) {
        const struct monitor_check *c = s.value;
        /* Nothing known is nothing to keep. */
        if ((c->raw == CHECK_UNKNOWN && !c->checked_ms) || !storable(c->spec.key))
            continue;
        buf_puts(b, sep);
        put_check(b, m, c);
        sep = ",\n";
    }
    buf_puts(b, "\n}}\n");
}

int monitor_save(const struct monitor *m, const char *path)
{
    struct buf b = BUF_INIT;
    monitor_save_text(m, &b);
    int err = file_replace(path, buf_str(&b), b.len, MONITOR_FILE_MODE);
    buf_fini(&b);
    return err;
}

static int index_of(const json_t *v, const char *(*name)(int), int n)
{
    const char *text = json_string_value(v);
    for (int i = 0; text && i < n; i++)
        if (strcmp(text, name(i)) == 0)
            return i;
    return -1;
}

static const char *state_name(int i)
{
    return check_state_name((enum check_state)i);
}

static const char *status_name(int i)
{
    return probe_status_name((enum probe_status)i);
}

/* Absent = the default stays; present and not a number within bounds = broken. */
static bool get_int(const json_t *o, const char *name, int64_t min, int64_t max, int64_t *out)
{
    const json_t *v = json_object_get(o, name);
    if (!v)
        return true;
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
        return false;
    *out = json_integer_value(v);
    return true;
}

static bool get_double(const json_t *o, const char *name, double *out)
{
    const json_t *v = json_object_get(o, name);
    *out = NAN;
    if (!v)
        return true;
    if (!json_is_number(v) || json_number_value(v) < 0)
        return false;
    *out = json_number_value(v);
    return true;
}

static bool get_counts(const json_t *o, struct saved *s)
{
    json_t *counts = json_object_get(o, "count");
    if (!counts)
        return true;
    if (!json_is_object(counts))
        return false;
    for (int i = 0; i < PROBE_STATUS_COUNT; i++) {
        int64_t n = 0;
        if (!get_int(counts, status_name(i), 0, UINT32_MAX, &n))
            return false;
        s->count[i] = (uint32_t)n;
    }
    return true;
}

static struct saved *parse_check(const char *key, const json_t *o, uint64_t wall_ms)
{
    size_t len = strlen(key) + 1;
    struct saved *s = mem_alloc(sizeof *s + len);
    memcpy(s->key, key, len);
    int64_t hops = -1, cert = INT64_MIN, checked = 0, changed = 0, good = 0;
    const int64_t age_max = INT64_MAX / 4;
    int state = index_of(json_object_get(o, "state"), state_name, 3);
    int status = index_of(json_object_get(o, "last_status"), status_name, PROBE_STATUS_COUNT);
    const json_t *why = json_object_get(o, "why");
    bool ok =
        json_is_object(o) && state >= 0 && status >= 0 && (!why || json_is_string(why)) &&
        get_double(o, "response_ms", &s->response_ms) && get_double(o, "last_ms", &s->last_ms) &&
        get_double(o, "throughput_bps", &s->throughput_bps) && get_int(o, "hops", 0, 255, &hops) &&
        get_int(o, "cert_expiry_s", -age_max, age_max, &cert) &&
        get_int(o, "checked_age_ms", 0, age_max, &checked) &&
        get_int(o, "changed_age_ms", 0, age_max, &changed) &&
        get_int(o, "good_age_ms", 0, age_max, &good) && get_counts(o, s);
    if (!ok) {
        free(s);
        return NULL;
    }
    s->state = (uint8_t)state;
    s->last_status = (uint8_t)status;
    s->hops = (int32_t)hops;
    s->cert_expiry_s = cert;
    s->wall_ms = wall_ms;
    s->checked_age_ms = (uint64_t)checked;
    s->changed_age_ms = (uint64_t)changed;
    s->good_age_ms = (uint64_t)good;
    if (why)
        strncpy(s->why, json_string_value(why), sizeof s->why - 1);
    return s;
}

static void free_saved(struct map *map)
{
    size_t at = 0;
    struct map_slot slot;
    while (map_next(map, &at, &slot))
        free(slot.value);
    map_fini(map);
}

void save_fini(struct monitor *m)
{
    free_saved(&m->restored);
}

static int parse(const json_t *root, struct map *out)
{
    json_t *checks = json_object_get(root, "checks");
    int64_t version = 0, wall = -1;
    if (!json_is_object(checks) || !get_int(root, "version", 1, INT32_MAX, &version) ||
        !get_int(root, "wall_ms", 0, INT64_MAX / 4, &wall) || version != VERSION || wall < 0)
        return PM_EPARSE;
    const char *key;
    json_t *value;
    json_object_foreach(checks, key, value)
    {
        struct saved *s = parse_check(key, value, (uint64_t)wall);
        if (!s)
            return PM_EPARSE;
        free(map_put_str(out, s->key, s));
    }
    return 0;
}

int monitor_load(struct monitor *m, const char *path)
{
    struct buf text = BUF_INIT;
    int err = file_read(path, FILE_MAX, &text);
    if (err) {
        buf_fini(&text);
        return err;
    }
    json_error_t why;
    json_t *root = json_loadb(buf_str(&text), text.len, JSON_REJECT_DUPLICATES, &why);
    buf_fini(&text);
    struct map fresh;
    map_init(&fresh);
    err = root ? parse(root, &fresh) : PM_EPARSE;
    json_decref(root);
    if (err) {
        free_saved(&fresh);
        log_error("cannot use the kept states", "file", path, "why",
                  root ? "not as we write it" : why.text);
        return err;
    }
    free_saved(&m->restored);
    m->restored = fresh;
    return 0;
}

/* A moment before now on the monotonic clock, which may not have run for so long: then its
 * beginning, never 0. */
static uint64_t ago(uint64_t now_ms, uint64_t age_ms)
{
    return now_ms > age_ms ? now_ms - age_ms : 1;
}

void save_restore(struct monitor *m, struct monitor_check *c)
{
    struct saved *s = map_del_str(&m->restored, c->spec.key);
    if (!s)
        return;
    uint64_t now = monitor_now_ms(m), wall = clock_wall_ms(m->clock);
    uint64_t lay = wall > s->wall_ms ? wall - s->wall_ms : 0;
    c->state = c->raw = s->state;
    c->last_status = s->last_status;
    c->response_ms = s->response_ms;
    c->last_ms = (float)s->last_ms;
    c->throughput_bps = (float)s->throughput_bps;
    c->hops = s->hops;
    if (s->cert_expiry_s != INT64_MIN)
        c->cert_at_s = (int64_t)(now / 1000) + s->cert_expiry_s - (int64_t)(lay / 1000);
    c->changed_ms = ago(now, s->changed_age_ms + lay);
    if (!isnan(s->response_ms))
        c->good_ms = ago(now, s->good_age_ms + lay);
    memcpy(c->count, s->count, sizeof c->count);
    state_set_why(c, s->why);
    c->restored = true;
    c->restored_age_ms = s->checked_age_ms + lay;
    free(s);
}
