/* SPDX-License-Identifier: Apache-2.0 */
/* What balancers hear of this node. */
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include "base/arena.h"
#include "base/log.h"
#include "main/agent_internal.h"

enum { REPORT_MS = 2000, WORD_BYTES = 16 * 1024, ORDER_BITS = 56 };

static bool tell(struct agent_peer *p, const struct mesh_writer *w)
{
    if (!p->link || p->behind || w->full)
        return false;
    int err = mesh_link_send(p->link, w->p, w->len);
    if (err)
        log_warn("a balancer does not take what it is told", "balancer", p->name, "why", err_text(err));
    p->behind = err != PM_OK;
    return !err;
}

/* ---- files ---- */

static void flush(struct agent_peer *p)
{
    if (p->in)
        (void)tell(p, &p->files);
    p->in = 0;
}

void agent_tell_flush(struct agent *a)
{
    for (unsigned i = 0; i < a->peer_count; i++)
        flush(&a->peer[i]);
}

static void word(struct agent_peer *p, enum agent_word what)
{
    uint8_t space[16];
    struct mesh_writer w = mesh_writer(space, sizeof space);
    flush(p);
    agent_start(&w, what);
    (void)tell(p, &w);
}

static void add_file(struct agent_peer *p, enum agent_word what, const struct agent_file_word *f)
{
    if (!p->link || f->path.n > AGENT_TEXT_MAX)
        return;
    if (p->in != what || p->files.len + f->host.n + f->path.n + 32u > MESH_MESSAGE_MAX) {
        flush(p);
        if (!p->space)
            p->space = mem_alloc(MESH_MESSAGE_MAX);
        p->files = mesh_writer(p->space, MESH_MESSAGE_MAX);
        agent_start(&p->files, what);
        p->in = what;
    }
    if (what == AGENT_FILES)
        agent_put_file(&p->files, f);
    else
        agent_put_gone(&p->files, f);
}

static struct agent_file_word file_word(const char *host, const char *path)
{
    size_t n = strlen(path);
    return (struct agent_file_word){.host = mesh_str(host), .path = {path, n > UINT16_MAX ? UINT16_MAX : (uint16_t)n}};
}

static void on_present(void *ctx, const struct agent_resource *r)
{
    struct agent *a = ctx;
    struct agent_file_word f = file_word(r->host, r->path);
    f.size = r->size;
    f.hash = r->hash;
    for (unsigned i = 0; i < a->peer_count; i++)
        add_file(&a->peer[i], AGENT_FILES, &f);
}

static void on_gone(void *ctx, const char *host, const char *path)
{
    struct agent *a = ctx;
    struct agent_file_word f = file_word(host, path);
    for (unsigned i = 0; i < a->peer_count; i++)
        add_file(&a->peer[i], AGENT_GONE, &f);
}

static void on_pass(void *ctx, const struct agent_scan_stats *s)
{
    struct agent *a = ctx;
    if (a->passed)
        return;
    a->passed = true;
    log_notice("all document roots were looked through", "files", LOG_U(s->files), "bytes", LOG_U(s->bytes));
    for (unsigned i = 0; i < a->peer_count; i++)
        if (a->peer[i].link)
            word(&a->peer[i], AGENT_END);
}

static void on_notice(void *ctx, const char *text)
{
    log_warn("the scan of document roots", "says", text);
}

const struct agent_scan_events agent_scan_tells = {.present = on_present, .gone = on_gone, .pass = on_pass, .notice = on_notice};

static void tell_one(void *ctx, const struct agent_resource *r)
{
    struct agent_file_word f = file_word(r->host, r->path);
    f.size = r->size;
    f.hash = r->hash;
    add_file(ctx, AGENT_FILES, &f);
}

/* ---- the node ---- */

static uint64_t room(const struct agent *a)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < a->root_count; i++) {
        struct statvfs v;
        if (!a->fetch_root[i].writable || statvfs(a->root[i].dir, &v) != 0)
            continue;
        uint64_t free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
        if (free_bytes < least)
            least = free_bytes;
    }
    if (least == UINT64_MAX)
        return 0;
    return least > a->config->reserve ? least - a->config->reserve : 0;
}

static void put_report(struct agent *a, struct mesh_writer *w)
{
    const struct agent_load *l = &a->now;
    struct relay_count counts[NODE_COUNTER_COUNT] = {0};
    struct agent_report_word r = {.known = l->known,
                                  .connections = l->connections,
                                  .waiting = l->waiting,
                                  .waiting_max = l->waiting_max,
                                  .unread = l->unread,
                                  .pending = l->pending,
                                  .listeners = l->listeners,
                                  .ram_free = l->ram_free,
                                  .ram_total = l->ram_total,
                                  .swap_free = l->swap_free,
                                  .swap_total = l->swap_total,
                                  .idle_permille = (uint32_t)(l->cpu_idle * 1000),
                                  .running = l->running,
                                  .blocked = l->blocked,
                                  .processors = l->processors,
                                  .load_percent = (uint32_t)(l->load1 * 100),
                                  .room = room(a)};
    _Static_assert((int)NODE_COUNTER_COUNT <= (int)AGENT_COUNTERS_MAX, "a report has room for the node's counters");
    if (a->node) {
        node_counters(a->node, counts);
        r.counter_count = NODE_COUNTER_COUNT;
        for (unsigned i = 0; i < NODE_COUNTER_COUNT; i++)
            r.counter[i] = counts[i].packets;
    }
    agent_start(w, AGENT_REPORT);
    agent_put_report(w, &r);
}

void agent_tell_load(struct agent *a, bool now)
{
    uint64_t ms = clock_mono_ms(a->clock);
    int err = a->load ? agent_load_read(a->load, ms * 1000000, &a->now) : PM_ENOTFOUND;
    if (err && !a->load)
        return;
    if (!now && ms - a->sent_ms < REPORT_MS && !agent_load_changed_much(&a->sent, &a->now))
        return;
    uint8_t space[1024];
    struct mesh_writer w = mesh_writer(space, sizeof space);
    put_report(a, &w);
    for (unsigned i = 0; i < a->peer_count; i++)
        (void)tell(&a->peer[i], &w);
    a->sent = a->now;
    a->sent_ms = ms;
}

static void findings_to(struct agent *a, struct agent_peer *p)
{
    uint8_t *space = mem_alloc(WORD_BYTES);
    struct mesh_writer w = mesh_writer(space, WORD_BYTES);
    agent_start(&w, AGENT_FINDINGS);
    for (size_t i = 0; i < a->finding_count && w.len + 3 * 256u < WORD_BYTES; i++) {
        const struct agent_host_finding *f = &a->finding[i];
        agent_put_finding(&w, &(struct agent_finding_word){.severity = (uint8_t)f->severity,
                                                           .value = f->value,
                                                           .want = f->want,
                                                           .key = mesh_str(f->key),
                                                           .why = mesh_str(f->why),
                                                           .fix = mesh_str(f->fix)});
    }
    (void)tell(p, &w);
    free(space);
}

void agent_tell_findings(struct agent *a)
{
    for (unsigned i = 0; i < a->peer_count; i++)
        findings_to(a, &a->peer[i]);
}

void agent_tell_all(struct agent_peer *p)
{
    struct agent *a = p->agent;
    uint8_t space[1024];
    struct mesh_writer w = mesh_writer(space, sizeof space);
    struct agent_hello_word h = {.software = mesh_str("pointsman " PM_VERSION),
                                 .flags = (a->node ? AGENT_ADOPTS : 0) | (a->writable ? AGENT_WRITABLE : 0),
                                 .why = mesh_str(buf_str(&a->node_why))};
    p->in = 0;
    agent_start(&w, AGENT_HELLO);
    agent_put_hello(&w, &h);
    if (!tell(p, &w))
        return;
    findings_to(a, p);
    word(p, AGENT_BEGIN);
    if (a->scan)
        agent_scan_each(a->scan, tell_one, p);
    if (a->passed || !a->scan)
        word(p, AGENT_END);
    flush(p);
}

/* ---- orders ---- */

void agent_tell_result(struct agent_peer *p, uint64_t order, int err, const char *text)
{
    uint8_t space[512];
    struct mesh_writer w = mesh_writer(space, sizeof space);
    flush(p);
    agent_start(&w, AGENT_RESULT);
    agent_put_result(&w, &(struct agent_result_word){order, err, mesh_str(text)});
    (void)tell(p, &w);
}

/* Who gave an order stands in the upper bits of its number here. */
static void result(struct agent *a, uint64_t id, int err, const char *text)
{
    unsigned i = (unsigned)(id >> ORDER_BITS);
    if (i < a->peer_count)
        agent_tell_result(&a->peer[i], id & ((1ull << ORDER_BITS) - 1), err, text);
}

static void on_done(void *ctx, uint64_t id)
{
    result(ctx, id, 0, "done");
}

static void on_failed(void *ctx, uint64_t id, int err, const char *text)
{
    result(ctx, id, err, text);
}

const struct agent_fetch_events agent_fetch_tells = {.done = on_done, .failed = on_failed};
