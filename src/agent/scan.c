/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/scan_internal.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/arena.h"

enum { BLOCK_BYTES = 256 * 1024, RESCAN_MS = 60 * 1000, ROOT_CHECK_MS = 2000, SETTLE_MS = 1000 };

void scan_notice(struct agent_scan *s, const char *fmt, ...)
{
    struct buf text = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    if (s->config.events.notice)
        s->config.events.notice(s->config.events.ctx, buf_str(&text));
    buf_fini(&text);
}

/* ---- roots ---- */

static void root_open(struct agent_scan *s, struct scan_root *r)
{
    struct stat st;
    int fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &st) != 0) {
        close(fd);
        return;
    }
    r->fd = fd;
    r->dev = r->top.dev = st.st_dev;
    r->ino = r->top.ino = st.st_ino;
    s->stats.folders++;
    s->stats.unwatched++;
    s->stats.roots_missing--;
    s->pass_active = true;
    scan_queue_dir(s, &r->top);
}

static void root_lose(struct agent_scan *s, struct scan_root *r)
{
    scan_doom_children(s, &r->top);
    close(r->fd);
    r->fd = -1;
    s->stats.folders--;
    s->stats.unwatched--;
    s->stats.roots_missing++;
    scan_notice(s, "the document root %s is gone, and all that was in it", r->dir);
}

/* By name, as the web server finds it: a root may be replaced, covered by a mount, or one of its parents renamed. */
static void check_roots(struct agent_scan *s)
{
    s->check_roots = false;
    s->roots_checked_ms = clock_mono_ms(s->clock);
    for (size_t i = 0; i < s->root_count; i++) {
        struct scan_root *r = &s->roots[i];
        struct stat st;
        bool there = stat(r->dir, &st) == 0 && S_ISDIR(st.st_mode);
        if (r->fd >= 0 && (!there || st.st_dev != r->dev || st.st_ino != r->ino)) {
            root_lose(s, r);
            s->check_roots |= there; /* when what was in it has been told gone */
        } else if (r->fd < 0 && there && !r->top.doomed) {
            root_open(s, r);
        }
    }
}

/* ---- passes ---- */

void scan_begin_pass(struct agent_scan *s)
{
    s->pass++;
    s->pass_active = true;
    s->rescan_wanted = s->incomplete = s->watch_failed = false;
    s->unreadable = 0;
    for (size_t i = 0; i < s->root_count; i++)
        if (s->roots[i].fd >= 0)
            scan_queue_dir(s, &s->roots[i].top);
}

static void tell_unwatched(struct agent_scan *s)
{
    bool unwatched = s->fd >= 0 && s->stats.unwatched > 0;
    if (unwatched && !s->told_unwatched)
        scan_notice(s, "%llu of %llu folders cannot be watched%s: all are looked through every %llu s",
                    (unsigned long long)s->stats.unwatched, (unsigned long long)s->stats.folders,
                    s->watch_failed ? " (raise fs.inotify.max_user_watches)" : "",
                    (unsigned long long)(s->config.rescan_ms / 1000));
    if (!unwatched && s->told_unwatched)
        scan_notice(s, "all folders are watched again");
    s->told_unwatched = unwatched;
}

static void end_pass(struct agent_scan *s)
{
    s->pass_active = false;
    s->pass_end_ms = clock_mono_ms(s->clock);
    s->stats.passes++;
    s->stats.unreadable = s->unreadable;
    tell_unwatched(s);
    if (s->config.events.pass)
        s->config.events.pass(s->config.events.ctx, &s->stats);
}

/* From the end of the last pass to the next one; 0: none is due. */
static uint64_t rescan_interval(const struct agent_scan *s)
{
    if (s->fd < 0 || s->stats.unwatched > 0 || s->incomplete)
        return s->config.rescan_ms;
    return s->config.always_rescan_ms;
}

static uint64_t ms_left(uint64_t now, uint64_t since, uint64_t interval)
{
    return now - since >= interval ? 0 : interval - (now - since);
}

/* ---- steps ---- */

static bool has_work(const struct agent_scan *s)
{
    return !TAILQ_EMPTY(&s->doomed) || s->events_at < s->events_len || s->listed || !TAILQ_EMPTY(&s->to_list) ||
           s->reading || !TAILQ_EMPTY(&s->now) || s->rescan_wanted || s->check_roots;
}

/* One thing, of the most urgent kind; false: nothing is left that the budget allows. */
static bool work(struct agent_scan *s, size_t *files, uint64_t *bytes)
{
    if (!TAILQ_EMPTY(&s->doomed)) {
        scan_doom_step(s);
    } else if (s->check_roots) {
        check_roots(s);
    } else if (scan_watch_event(s) || scan_list_step(s)) {
        ;
    } else if (s->rescan_wanted) {
        scan_begin_pass(s);
    } else {
        if (!*bytes || !scan_read_step(s, bytes))
            return false;
        *files += s->reading != NULL; /* more of the same file costs only bytes */
    }
    --*files;
    return true;
}

bool agent_scan_step(struct agent_scan *s, size_t budget_files, uint64_t budget_bytes)
{
    uint64_t now = clock_mono_ms(s->clock), interval = rescan_interval(s);
    size_t files = budget_files ? budget_files : 1;
    uint64_t bytes = budget_bytes ? budget_bytes : 1;
    s->fd_dry = false;
    if (ms_left(now, s->roots_checked_ms, s->config.root_check_ms) == 0)
        s->check_roots = true;
    /* A folder that is still to be listed is not watched yet. */
    if (!s->pass_active && !has_work(s) && interval && ms_left(now, s->pass_end_ms, interval) == 0)
        s->rescan_wanted = true;
    while (files > 0 && work(s, &files, &bytes))
        ;
    bool more = has_work(s);
    if (!more && s->pass_active && files > 0)
        end_pass(s);
    return more || s->pass_active;
}

uint64_t agent_scan_wait_ms(const struct agent_scan *s)
{
    uint64_t now = clock_mono_ms(s->clock), interval = rescan_interval(s);
    if (has_work(s) || s->pass_active)
        return 0;
    uint64_t wait = ms_left(now, s->roots_checked_ms, s->config.root_check_ms);
    uint64_t rescan = interval ? ms_left(now, s->pass_end_ms, interval) : UINT64_MAX;
    const struct scan_file *f = TAILQ_FIRST(&s->later);
    uint64_t later = !f ? UINT64_MAX : f->due_ms > now ? f->due_ms - now : 0;
    wait = rescan < wait ? rescan : wait;
    return later < wait ? later : wait;
}

void agent_scan_rescan(struct agent_scan *s)
{
    s->rescan_wanted = true;
}

int agent_scan_fd(const struct agent_scan *s)
{
    return s->fd;
}

void agent_scan_stats(const struct agent_scan *s, struct agent_scan_stats *out)
{
    *out = s->stats;
}

static void each_in(struct agent_scan *s, const struct scan_dir *d, void (*fn)(void *, const struct agent_resource *),
                    void *ctx)
{
    const struct scan_node *n;
    TAILQ_FOREACH(n, &d->children, sibling) {
        const struct scan_file *f = (const void *)n;
        struct agent_resource r;
        if (n->is_dir) {
            each_in(s, (const void *)n, fn, ctx);
        } else if (f->announced) {
            scan_resource(s, f, &r);
            fn(ctx, &r);
        }
    }
}

void agent_scan_each(struct agent_scan *s, void (*fn)(void *ctx, const struct agent_resource *r), void *ctx)
{
    for (size_t i = 0; i < s->root_count; i++)
        each_in(s, &s->roots[i].top, fn, ctx);
}

/* ---- new, free ---- */

static void root_init(struct agent_scan *s, struct scan_root *r, const struct agent_scan_root *c)
{
    size_t n = strlen(c->prefix);
    r->host = mem_strdup(c->host);
    r->dir = mem_strdup(c->dir);
    r->prefix = mem_alloc(n + 2);
    memcpy(r->prefix, c->prefix, n);
    if (r->prefix[n - 1] != '/')
        r->prefix[n] = '/';
    r->number = (size_t)(r - s->roots);
    r->fd = -1;
    scan_dir_init(&r->top, r);
    s->stats.roots_missing++;
}

static void defaults(struct agent_scan_config *c)
{
    c->rescan_ms = c->rescan_ms ? c->rescan_ms : RESCAN_MS;
    c->root_check_ms = c->root_check_ms ? c->root_check_ms : ROOT_CHECK_MS;
    c->settle_ms = c->settle_ms < 0 ? 0 : c->settle_ms ? c->settle_ms : SETTLE_MS;
}

int agent_scan_new(const struct agent_scan_config *config, struct agent_scan **out)
{
    for (size_t i = 0; i < config->root_count; i++) {
        const struct agent_scan_root *r = &config->roots[i];
        if (!r->host || !*r->host || !r->dir || r->dir[0] != '/' || !r->prefix || r->prefix[0] != '/')
            return PM_EINVAL;
    }
    struct agent_scan *s = mem_alloc(sizeof *s);
    s->config = *config;
    defaults(&s->config);
    s->clock = config->clock ? config->clock : &clock_system;
    s->cache = agent_hash_cache_new();
    s->hash = agent_hash_new();
    s->block = mem_alloc(BLOCK_BYTES);
    TAILQ_INIT(&s->to_list);
    TAILQ_INIT(&s->doomed);
    TAILQ_INIT(&s->now);
    TAILQ_INIT(&s->later);
    scan_watch_open(s);
    s->root_count = config->root_count;
    s->roots = mem_alloc((s->root_count + 1) * sizeof *s->roots);
    for (size_t i = 0; i < s->root_count; i++)
        root_init(s, &s->roots[i], &config->roots[i]);
    s->check_roots = s->pass_active = true; /* a pass over nothing ends too */
    *out = s;
    return 0;
}

void agent_scan_free(struct agent_scan *s)
{
    if (!s)
        return;
    scan_list_stop(s);
    scan_read_stop(s);
    scan_tree_free(s);
    for (size_t i = 0; i < s->root_count; i++) {
        if (s->roots[i].fd >= 0)
            close(s->roots[i].fd);
        free(s->roots[i].host);
        free(s->roots[i].dir);
        free(s->roots[i].prefix);
    }
    scan_watch_close(s);
    agent_hash_cache_free(s->cache);
    agent_hash_free(s->hash);
    buf_fini(&s->path);
    buf_fini(&s->url);
    free(s->block);
    free(s->roots);
    free(s);
}
