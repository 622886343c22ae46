/* SPDX-License-Identifier: Apache-2.0 */
/* Health on disk: one JSON file, written by hand for speed, read by jansson. Times on disk are wall clock. */
#include <jansson.h>
#include <math.h>
#include <string.h>
#include "base/buf.h"
#include "base/file.h"
#include "monitor/check.h"

enum { FILE_MAX = 1 << 30 };

static void put_string(struct buf *b, const char *s)
{
    buf_putc(b, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else if (c < ' ' || c > 126)
            buf_printf(b, "\\u%04x", c);
        else
            buf_putc(b, (char)c);
    }
    buf_putc(b, '"');
}

static void put_number(struct buf *b, const char *name, double v)
{
    if (!isnan(v))
        buf_printf(b, ",\"%s\":%.6g", name, v);
}

static void put_check(struct buf *b, const struct monitor_check *c, uint64_t mono_ms, uint64_t wall_ms)
{
    put_string(b, c->spec.key);
    buf_printf(b, ":{\"state\":\"%s\"", check_state_name((enum check_state)c->raw));
    put_number(b, "response", c->response_ms);
    put_number(b, "throughput", c->throughput_bps);
    if (c->hops >= 0)
        buf_printf(b, ",\"hops\":%d", c->hops);
    if (c->changed_ms)
        buf_printf(b, ",\"changed\":%llu", (unsigned long long)(wall_ms - (mono_ms - c->changed_ms)));
    /* What was restored and never confirmed keeps its own age. */
    uint64_t age = c->restored ? c->restored_age_ms : mono_ms - c->checked_ms;
    buf_printf(b, ",\"checked\":%llu,\"count\":[", (unsigned long long)(wall_ms - age));
    for (unsigned i = 0; i < PROBE_STATUS_COUNT; i++)
        buf_printf(b, i ? ",%u" : "%u", c->count[i]);
    buf_puts(b, "]");
    if (c->why) {
        buf_puts(b, ",\"why\":");
        put_string(b, c->why);
    }
    buf_puts(b, "}");
}

int monitor_save(const struct monitor *m, const char *path)
{
    struct buf b = BUF_INIT;
    uint64_t mono = clock_mono_ms(m->clock), wall = clock_wall_ms(m->clock);
    bool first = true;
    buf_printf(&b, "{\"version\":1,\"saved\":%llu,\"checks\":{", (unsigned long long)wall);
    for (size_t i = 0; i < m->count; i++) {
        if (m->all[i]->raw == CHECK_UNKNOWN)
            continue;
        buf_puts(&b, first ? "\n" : ",\n");
        first = false;
        put_check(&b, m->all[i], mono, wall);
    }
    buf_puts(&b, "\n}}\n");
    int err = file_replace(path, b.data, b.len, 0640);
    buf_fini(&b);
    return err;
}

int monitor_load(struct monitor *m, const char *path)
{
    struct buf text = BUF_INIT;
    int err = file_read(path, FILE_MAX, &text);
    json_t *root = err ? NULL : json_loadb(buf_str(&text), text.len, 0, NULL);
    buf_fini(&text);
    if (err)
        return err;
    if (json_integer_value(json_object_get(root, "version")) != 1 || !json_is_object(json_object_get(root, "checks"))) {
        json_decref(root);
        return PM_EPARSE;
    }
    json_decref(m->restored);
    m->restored = root;
    return PM_OK;
}

static uint64_t age_of(const json_t *item, const char *name, uint64_t wall_ms)
{
    json_int_t v = json_integer_value(json_object_get(item, name));
    return v > 0 && (uint64_t)v < wall_ms ? wall_ms - (uint64_t)v : 0;
}

void save_restore(struct monitor_check *c)
{
    struct monitor *m = c->monitor;
    json_t *item = json_object_get(json_object_get(m->restored, "checks"), c->spec.key);
    const char *state = json_string_value(json_object_get(item, "state"));
    json_t *count = json_object_get(item, "count"), *v;
    uint64_t wall = clock_wall_ms(m->clock), mono = clock_mono_ms(m->clock);
    if (!state)
        return;
    for (enum check_state s = CHECK_UP; s <= CHECK_DOWN; s++)
        if (strcmp(state, check_state_name(s)) == 0)
            c->raw = c->state = (uint8_t)s;
    if (json_is_number(v = json_object_get(item, "response")))
        c->response_ms = json_number_value(v);
    if (json_is_number(v = json_object_get(item, "throughput")))
        c->throughput_bps = json_number_value(v);
    if (json_is_integer(v = json_object_get(item, "hops")))
        c->hops = (int32_t)json_integer_value(v);
    for (unsigned i = 0; i < PROBE_STATUS_COUNT && i < json_array_size(count); i++)
        c->count[i] = (uint32_t)json_integer_value(json_array_get(count, i));
    if (json_is_string(v = json_object_get(item, "why")))
        verdict_why(c, json_string_value(v));
    uint64_t changed = age_of(item, "changed", wall);
    c->changed_ms = changed && changed < mono ? mono - changed : 0;
    c->restored = true;
    c->restored_age_ms = age_of(item, "checked", wall);
}
