/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/scan_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "agent/beneath.h"

enum { BLOCK_BYTES = 256 * 1024, TRUST_MS = 2000, LATER_MS = 1000 };

static uint64_t mtime_ns(const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
}

/* Changed within the last so many ms; a time in the future is just wrong, and stays so. */
static bool changed_within(const struct agent_scan *s, const struct stat *st, int64_t ms)
{
    int64_t age = (int64_t)clock_wall_ms(s->clock) - (int64_t)(mtime_ns(st) / 1000000u);
    return age < ms && age > -ms;
}

/* ---- what is announced ---- */

void scan_resource(struct agent_scan *s, const struct scan_file *f, struct agent_resource *out)
{
    const struct scan_root *root = f->node.parent->root;
    *out = (struct agent_resource){.host = root->host, .path = scan_url(s, &f->node), .file = buf_str(&s->path),
                                   .root = root->number, .size = f->size, .hash = f->hash, .mtime_ns = f->mtime_ns};
}

static void announce(struct agent_scan *s, struct scan_file *f, const struct stat *st, uint64_t hash, bool untrusted)
{
    uint64_t size = (uint64_t)st->st_size, mtime = mtime_ns(st);
    struct agent_stamp stamp = agent_stamp_of(st);
    bool same = f->announced && f->hash == hash && f->size == size && f->mtime_ns == mtime;
    s->stats.files += !f->announced;
    s->stats.bytes += size - (f->announced ? f->size : 0);
    f->announced = true;
    f->untrusted = untrusted;
    f->stamp = stamp.low;
    f->size = size;
    f->hash = hash;
    f->mtime_ns = mtime;
    if (!untrusted)
        agent_hash_cache_put(s->cache, stamp, hash, s->nodes);
    if (!same && s->config.events.present) {
        struct agent_resource r;
        scan_resource(s, f, &r);
        s->config.events.present(s->config.events.ctx, &r);
    }
}

void scan_gone(struct agent_scan *s, struct scan_file *f)
{
    if (!f->announced)
        return;
    f->announced = false;
    s->stats.files--;
    s->stats.bytes -= f->size;
    if (s->config.events.gone)
        s->config.events.gone(s->config.events.ctx, f->node.parent->root->host, scan_url(s, &f->node));
}

/* ---- queues ---- */

void scan_unqueue_file(struct agent_scan *s, struct scan_file *f)
{
    if (f->queue == SCAN_NOW)
        TAILQ_REMOVE(&s->now, f, link);
    else if (f->queue == SCAN_LATER)
        TAILQ_REMOVE(&s->later, f, link);
    f->queue = SCAN_NOT_QUEUED;
}

static void queue_file(struct agent_scan *s, struct scan_file *f, enum scan_queue queue)
{
    if (s->reading == f)
        scan_read_stop(s);
    if (f->queue == SCAN_NOW)
        return;
    scan_unqueue_file(s, f);
    f->queue = queue;
    if (queue == SCAN_NOW) {
        TAILQ_INSERT_TAIL(&s->now, f, link);
        return;
    }
    f->due_ms = clock_mono_ms(s->clock) + (s->config.settle_ms > 0 ? (uint64_t)s->config.settle_ms : LATER_MS);
    TAILQ_INSERT_TAIL(&s->later, f, link);
}

void scan_check_file(struct agent_scan *s, struct scan_file *f, const struct stat *st, enum scan_why why)
{
    struct agent_stamp stamp = agent_stamp_of(st);
    uint64_t hash;
    if (f->announced && !f->untrusted && f->stamp == stamp.low && f->queue == SCAN_NOT_QUEUED && s->reading != f)
        return;
    if (agent_hash_cache_get(s->cache, stamp, &hash)) {
        if (s->reading == f)
            scan_read_stop(s);
        scan_unqueue_file(s, f);
        announce(s, f, st, hash, false);
        return;
    }
    queue_file(s, f, why == SCAN_WRITTEN || !changed_within(s, st, s->config.settle_ms) ? SCAN_NOW : SCAN_LATER);
}

/* ---- reading ---- */

void scan_read_stop(struct agent_scan *s)
{
    if (!s->reading)
        return;
    close(s->reading_fd);
    s->reading = NULL;
}

static void cannot_read(struct agent_scan *s, struct scan_file *f, int err)
{
    s->unreadable += err != PM_ENOTFOUND;
    if (err == PM_ENOTFOUND || err == PM_EPERM || err == PM_EIO)
        scan_gone(s, f);
    else
        queue_file(s, f, SCAN_LATER); /* out of descriptors or memory */
}

static void read_start(struct agent_scan *s, struct scan_file *f)
{
    struct stat *st = &s->reading_st;
    uint64_t hash;
    /* O_NONBLOCK: it may have become a pipe. */
    int fd = agent_open_beneath(f->node.parent->root->fd, scan_path(s, &f->node), O_RDONLY | O_NONBLOCK | O_NOCTTY,
                                AGENT_LINKS_INSIDE);
    if (fd < 0) {
        cannot_read(s, f, fd);
        return;
    }
    if (fstat(fd, st) != 0 || !S_ISREG(st->st_mode)) {
        close(fd);
        scan_gone(s, f);
        return;
    }
    if (agent_hash_cache_get(s->cache, agent_stamp_of(st), &hash)) {
        close(fd);
        announce(s, f, st, hash, false);
        return;
    }
    s->reading = f;
    s->reading_fd = fd;
    s->reading_at = 0;
    agent_hash_reset(s->hash);
}

/* All read: if it is still what it was, it is announced; else nobody knows what it is until it has been quiet. */
static void read_end(struct agent_scan *s)
{
    struct scan_file *f = s->reading;
    struct stat before = s->reading_st, after;
    bool same = fstat(s->reading_fd, &after) == 0 && agent_stamp_of(&before).low == agent_stamp_of(&after).low &&
                s->reading_at == (uint64_t)before.st_size;
    scan_read_stop(s);
    if (same) {
        announce(s, f, &before, agent_hash_digest(s->hash), changed_within(s, &before, TRUST_MS));
        return;
    }
    scan_gone(s, f);
    queue_file(s, f, SCAN_LATER);
}

static void read_block(struct agent_scan *s, uint64_t *bytes)
{
    uint64_t left = (uint64_t)s->reading_st.st_size - s->reading_at;
    uint64_t want = left < BLOCK_BYTES ? left : BLOCK_BYTES;
    ssize_t n = want ? read(s->reading_fd, s->block, want < *bytes ? want : *bytes) : 0;
    if (n < 0 && errno == EINTR)
        return;
    if (n < 0) {
        struct scan_file *f = s->reading;
        scan_read_stop(s);
        cannot_read(s, f, PM_EIO);
        return;
    }
    agent_hash_update(s->hash, s->block, (size_t)n);
    s->reading_at += (uint64_t)n;
    s->stats.read_bytes += (uint64_t)n;
    *bytes -= (uint64_t)n;
    if (n == 0 || s->reading_at == (uint64_t)s->reading_st.st_size)
        read_end(s);
}

bool scan_read_step(struct agent_scan *s, uint64_t *bytes)
{
    struct scan_file *f;
    while ((f = TAILQ_FIRST(&s->later)) != NULL && f->due_ms <= clock_mono_ms(s->clock)) {
        scan_unqueue_file(s, f);
        queue_file(s, f, SCAN_NOW);
    }
    if (!s->reading) {
        f = TAILQ_FIRST(&s->now);
        if (!f)
            return false;
        scan_unqueue_file(s, f);
        read_start(s, f);
    }
    if (s->reading)
        read_block(s, bytes);
    return true;
}
