/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fetch_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "agent/beneath.h"
#include "agent/names.h"
#include "base/arena.h"
#include "http/uri.h"

enum { HOST_MAX = 255 };

/* ---- orders ---- */

static int refuse(struct buf *why, int err, const char *text)
{
    if (why)
        buf_puts(why, text);
    return err;
}

/* The root whose prefix is the longest that fits, or NULL. */
static const struct fetch_root *root_find(const struct agent_fetch *f, const char *host, const char *path)
{
    const struct fetch_root *best = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < f->root_count; i++) {
        const struct fetch_root *r = &f->roots[i];
        size_t n = strlen(r->at.prefix);
        if (n <= longest || strcasecmp(r->at.host, host) != 0 || strncmp(path, r->at.prefix, n) != 0)
            continue;
        best = r;
        longest = n;
    }
    return best;
}

static int order_check(const struct agent_fetch *f, const struct agent_order *o, struct buf *why)
{
    if (map_get(&f->by_id, &o->id, sizeof o->id))
        return refuse(why, PM_EEXISTS, "this order is in work");
    if (f->queued + f->working_count >= f->config.queue_max)
        return refuse(why, PM_EBUSY, "too many orders");
    if (o->size > INT64_MAX)
        return refuse(why, PM_EINVAL, "no file is that large");
    if (o->kind == AGENT_REMOVE)
        return 0;
    if (o->source_count == 0 || o->source_count > AGENT_SOURCES_MAX)
        return refuse(why, PM_EINVAL, "no source, or too many");
    for (size_t i = 0; i < o->source_count; i++)
        if (!o->sources[i].addr.family || !o->sources[i].port)
            return refuse(why, PM_EINVAL, "a source without address or port");
    return 0;
}

int agent_fetch_add(struct agent_fetch *f, const struct agent_order *o, struct buf *why)
{
    struct buf below = BUF_INIT;
    int err = order_check(f, o, why);
    if (err)
        return err;
    const struct fetch_root *root = root_find(f, o->host, o->path);
    if (!root)
        return refuse(why, PM_ENOTFOUND, "no document root is configured for it");
    if (!root->writable)
        return refuse(why, PM_EPERM, "the configuration does not allow to write below this document root");
    if (agent_name_decode(o->path + strlen(root->at.prefix), &below) != 0 || !agent_path_valid(buf_str(&below))) {
        buf_fini(&below);
        return refuse(why, PM_EINVAL, "such a path cannot be a resource's");
    }
    struct fetch_job *j = mem_alloc(sizeof *j);
    j->fetch = f;
    j->id = o->id;
    j->kind = o->kind;
    j->root = root;
    j->path = mem_strdup(o->path);
    j->below = mem_strdup(buf_str(&below));
    buf_fini(&below);
    j->size = o->size;
    j->hash = o->hash;
    j->replaces = o->replaces;
    j->old_hash = o->old_hash;
    j->source_count = o->kind == AGENT_COPY ? o->source_count : 0;
    for (size_t i = 0; i < j->source_count; i++)
        j->sources[i].at = o->sources[i];
    fetch_file_init(&j->file);
    atomic_init(&j->stop, false);
    j->state = JOB_WAITING;
    TAILQ_INSERT_TAIL(&f->waiting, j, link);
    f->queued++;
    map_put(&f->by_id, &j->id, sizeof j->id, j);
    uv_timer_start(&f->timer, fetch_on_timer, 0, 0); /* nothing is called back from here */
    return 0;
}

int agent_fetch_cancel(struct agent_fetch *f, uint64_t id)
{
    struct fetch_job *j = map_del(&f->by_id, &id, sizeof id);
    if (!j)
        return PM_ENOTFOUND;
    j->cancelled = true;
    if (fetch_job_queued(j->state) && j->kind == AGENT_REMOVE) {
        fetch_job_leave(j);
        fetch_job_free(j);
    } else if (fetch_job_queued(j->state)) {
        /* An earlier process may have left a part; before a new order for the same. */
        fetch_job_leave(j);
        j->state = JOB_WAITING;
        TAILQ_INSERT_HEAD(&f->waiting, j, link);
        f->queued++;
    } else if (j->state == JOB_RECEIVING) {
        fetch_transfer_stop(j);
        fetch_job_work(j, JOB_DROPPING);
    } else {
        atomic_store(&j->stop, true);
    }
    uv_timer_start(&f->timer, fetch_on_timer, 0, 0);
    return 0;
}

void agent_fetch_stats(const struct agent_fetch *f, struct agent_fetch_stats *out)
{
    *out = f->stats;
    out->waiting = f->queued;
    out->working = f->working_count;
}

/* ---- new, free ---- */

static void root_init(struct fetch_root *r, const struct agent_fetch_root *c)
{
    size_t n = strlen(c->at.prefix);
    char *prefix = mem_alloc(n + 2);
    memcpy(prefix, c->at.prefix, n);
    if (prefix[n - 1] != '/')
        prefix[n] = '/';
    r->texts[0] = mem_strdup(c->at.host);
    r->texts[1] = mem_strdup(c->at.dir);
    r->texts[2] = prefix;
    r->at = (struct agent_scan_root){.host = r->texts[0], .dir = r->texts[1], .prefix = r->texts[2]};
    r->writable = c->writable;
}

static bool root_ok(const struct agent_scan_root *r)
{
    struct buf name = BUF_INIT;
    bool ok = r->host && strlen(r->host) <= HOST_MAX && http_authority_valid(r->host, strlen(r->host)) && r->dir &&
              r->dir[0] == '/' && r->prefix && r->prefix[0] == '/' && agent_name_decode(r->prefix, &name) == 0;
    buf_fini(&name);
    return ok;
}

static void defaults(struct agent_fetch_config *c)
{
    c->at_once = c->at_once ? c->at_once : 4;
    c->queue_max = c->queue_max ? c->queue_max : 10000;
    c->connect_ms = c->connect_ms ? c->connect_ms : 5000;
    c->slow_ms = c->slow_ms ? c->slow_ms : 20000;
    c->slow_bytes = c->slow_bytes ? c->slow_bytes : 4096;
    c->rounds = c->rounds ? c->rounds : 4;
    c->pause_ms = c->pause_ms ? c->pause_ms : 1000;
    c->progress_ms = c->progress_ms ? c->progress_ms : 2000;
}

int agent_fetch_new(uv_loop_t *loop, const struct agent_fetch_config *config, struct agent_fetch **out)
{
    for (size_t i = 0; i < config->root_count; i++)
        if (!root_ok(&config->roots[i].at))
            return PM_EINVAL;
    struct agent_fetch *f = mem_alloc(sizeof *f);
    int err = fetch_curl_new(loop, f, &f->curl);
    if (err) {
        free(f);
        return err;
    }
    f->loop = loop;
    f->config = *config;
    defaults(&f->config);
    f->clock = config->clock ? config->clock : &clock_system;
    f->root_count = config->root_count;
    f->roots = mem_alloc((f->root_count + 1) * sizeof *f->roots);
    for (size_t i = 0; i < f->root_count; i++)
        root_init(&f->roots[i], &config->roots[i]);
    TAILQ_INIT(&f->waiting);
    TAILQ_INIT(&f->pausing);
    TAILQ_INIT(&f->working);
    f->pause_due_ms = UINT64_MAX;
    map_init(&f->by_id);
    agent_pace_init(&f->pace, f->config.rate, clock_mono_ns(f->clock));
    uv_timer_init(loop, &f->timer);
    f->timer.data = f;
    *out = f;
    return 0;
}

/* When the timer is closed and the last worker is back. */
void fetch_release(struct agent_fetch *f)
{
    if (!f->timer_closed || f->working_count > 0)
        return;
    for (size_t i = 0; i < f->root_count; i++)
        for (size_t k = 0; k < PM_ARRAY_LEN(f->roots[i].texts); k++)
            free(f->roots[i].texts[k]);
    map_fini(&f->by_id);
    free(f->roots);
    free(f);
}

static void on_closed(uv_handle_t *h)
{
    struct agent_fetch *f = h->data;
    f->timer_closed = true;
    fetch_release(f);
}

static void free_queued(struct fetch_jobs *list)
{
    struct fetch_job *j;
    while ((j = TAILQ_FIRST(list)) != NULL) {
        fetch_job_unlink(j);
        fetch_job_free(j);
    }
}

void agent_fetch_free(struct agent_fetch *f)
{
    struct fetch_job *j, *next;
    if (!f)
        return;
    f->closing = true;
    free_queued(&f->waiting);
    free_queued(&f->pausing);
    for (j = TAILQ_FIRST(&f->working); j; j = next) {
        next = TAILQ_NEXT(j, link);
        atomic_store(&j->stop, true);
        if (j->state == JOB_RECEIVING) {
            fetch_job_unlink(j);
            fetch_job_free(j);
        } else {
            (void)!uv_cancel((uv_req_t *)&j->work); /* else it ends by itself */
        }
    }
    fetch_curl_free(f->curl);
    uv_close((uv_handle_t *)&f->timer, on_closed);
}
