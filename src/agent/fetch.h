/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of content made and removed as a plan says: the part of an agent that writes below the document roots.
 *
 *   COPY    look -> receive <-> (wait) -> finish      REMOVE  look and take away
 *
 *   look     (worker) what is there now? the wanted content: done. Else may it be replaced, is there room, how much of
 *            it did an earlier try leave?
 *   receive  (loop) HTTP/1.1 from the web server of a node that has it, a plain GET of the same host and path. The
 *            answer is written to NAME.pm-part beside the target, mode 0600. A part is continued by Range; where it
 *            came from the same source, with If-Range, so a source that has changed sends all of it anew.
 *   finish   (worker) the whole part is read again and hashed. Only the order's content goes on: mode 0644, owner of
 *            the folder, the source's Last-Modified (so that all nodes tell clients the same), fsync, rename, fsync of
 *            the folder.
 *
 * What always holds:
 *   - Nothing is written where the configuration does not allow it, nor outside of the root: no link is followed.
 *   - The target is the old file or the new one, whole. A file with another content than the order expects there is
 *     neither replaced nor removed, even if it comes at the last moment (it is renamed aside, looked at, and put back).
 *   - A part belongs to one content (an extended attribute says which, and where from) and is locked while in use. It
 *     outlives the process; the next order for that content goes on with it. A wrong one, and one of a cancelled order,
 *     is removed. Of file systems without such attributes it is the hash at the end that tells.
 *   - Every order that agent_fetch_add takes ends with one `done` or `failed`, unless it is cancelled.
 *
 * A source that fails in passing (cannot be reached, slow, cut, 5xx) is tried again after the others: rounds, with a
 * pause that doubles. One that has not got this content (404, another length, wrong bytes, a redirect) is not asked
 * again for the order; when none is left it fails at once. Sources that could not be reached lately are asked last.
 *
 * Memory: agent_fetch_new copies the configuration; orders are copied too. Thread: the loop's, all of it; disk work
 * runs in libuv's pool. Callbacks come from the loop, and from agent_fetch_tick; they may add and cancel, not free.
 * Failure: see `failed`.
 */
#ifndef PM_AGENT_FETCH_H
#define PM_AGENT_FETCH_H

#include <uv.h>
#include "agent/scan.h"
#include "base/addr.h"
#include "base/buf.h"

enum { AGENT_SOURCES_MAX = 16 };

struct agent_fetch_root {
    struct agent_scan_root at; /* the longest prefix of those that fit has the file */
    bool writable;
};

enum agent_order_kind { AGENT_COPY, AGENT_REMOVE };

struct agent_order {
    uint64_t id;
    enum agent_order_kind kind;
    const char *host, *path; /* as in struct agent_resource */
    uint64_t size, hash;     /* of the content; see agent/hash.h */
    bool replaces;           /* COPY: a file of old_hash may be there; else no file of another content may */
    uint64_t old_hash;
    const struct endpoint *sources; /* COPY: web servers that have it, by preference */
    size_t source_count;
};

struct agent_fetch_events {
    void *ctx; /* each may be NULL */
    void (*started)(void *ctx, uint64_t id);
    /* bytes: so much of it is here, what an earlier try has left included. */
    void (*progress)(void *ctx, uint64_t id, uint64_t bytes, uint64_t size);
    void (*done)(void *ctx, uint64_t id);
    /*
     * text: one line. PM_ESPACE: no room above the reserve. PM_EEXISTS: another content is there. PM_EPERM: a link, no
     * regular file, or the system forbids. PM_ENOTFOUND: no source has it. PM_EPROTO: sources send something else.
     * PM_ETIMEOUT, PM_EREFUSED, PM_ERESET, PM_EUNREACH: as the last source failed. PM_EBUSY: somebody else writes the
     * same file or part. PM_EIO: the disk; the root is missing.
     */
    void (*failed)(void *ctx, uint64_t id, int err, const char *text);
};

/* Of numbers, 0 is the default. */
struct agent_fetch_config {
    const struct agent_fetch_root *roots;
    size_t root_count;
    struct agent_fetch_events events;
    const struct clock *clock;   /* NULL: the system's */
    uint64_t rate;               /* bytes/s of all together; 0: no limit */
    uint64_t reserve;            /* bytes of each file system that stay free; 0: none */
    unsigned at_once;            /* orders in work; 4 */
    size_t queue_max;            /* orders waiting and in work; 10,000 */
    uint64_t connect_ms;         /* 5 s */
    uint64_t slow_ms;            /* less than slow_bytes in so long, and the source has failed; 20 s */
    uint64_t slow_bytes;         /* 4 KiB; not counted against a source that was held back by `rate` */
    unsigned rounds;             /* without progress, until the order fails; 4 */
    uint64_t pause_ms;           /* after the first round; doubles up to 64 times; 1 s */
    uint64_t progress_ms;        /* 2 s */
};

struct agent_fetch_stats {
    size_t waiting, working;      /* orders */
    uint64_t received;            /* bytes of content from sources, thrown away ones too */
    uint64_t copied, removed;     /* orders done */
    uint64_t found;               /* COPY orders done without a transfer: it was there */
    uint64_t failed;              /* orders */
    uint64_t resumed;             /* transfers that went on with a part */
    uint64_t restarted;           /* parts thrown away and begun anew */
};

struct agent_fetch;

/* PM_EINVAL: a root that agent_scan_new would not take, or with a host that cannot stand in a Host header. */
int agent_fetch_new(uv_loop_t *loop, const struct agent_fetch_config *config, struct agent_fetch **out) PM_MUST_CHECK;
/*
 * Ends all work without callbacks; parts stay. The loop has to run on until its handles are closed, and for the moment
 * that a worker needs to stop. NULL is allowed.
 */
void agent_fetch_free(struct agent_fetch *f);

/*
 * Takes an order, or refuses it with a line in why (appended; NULL is allowed): PM_EPERM: the root is not writable.
 * PM_ENOTFOUND: no root. PM_EINVAL: no such path, or no source. PM_EBUSY: the queue is full. PM_EEXISTS: an order with
 * this id is waiting or in work; it goes on as it is.
 */
int agent_fetch_add(struct agent_fetch *f, const struct agent_order *o, struct buf *why) PM_MUST_CHECK;
/*
 * No callback follows. What is at its last step may still happen. The part is removed. PM_ENOTFOUND: no such order.
 */
int agent_fetch_cancel(struct agent_fetch *f, uint64_t id) PM_MUST_CHECK;
/* Does what is due by the clock. The object's own timer calls it; so does a test that scripts the clock. */
void agent_fetch_tick(struct agent_fetch *f);
void agent_fetch_stats(const struct agent_fetch *f, struct agent_fetch_stats *out);

#endif
