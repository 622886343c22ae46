/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this node can serve: the files below its document roots, as resources with the hash of their content, and every
 * later change of them.
 *
 *   roots --list--> folders --stat--> files --read--> hash --> present
 *     ^ watched (inotify) before they are listed, so nothing slips in between
 *
 * Work is done in steps of bounded size: agent_scan_step handles at most so many names and reads so many bytes. Call it
 * when agent_scan_fd is readable, again while it returns true, and no later than agent_scan_wait_ms from then.
 *
 * Every event only says where to look; what is found there counts. So lost, doubled or late events do no harm. When the
 * kernel drops events (IN_Q_OVERFLOW) or has no watch left for a folder, all is looked through again: at once, or every
 * rescan_ms; `notice` says so. A hash is not read again while a file's device, inode, size and time of change are the
 * same; a file that has changed within the last two seconds before it was read is not trusted so far (two changes may
 * have the same time).
 *
 * Skipped: hidden names, "*.pm-part", what is no regular file. Symbolic links to files count when they stay below the
 * root; links to folders are not entered (a change behind a link is seen at the next pass only). A file being written
 * is announced when it is closed, or has been quiet for settle_ms. A root that is missing has no files; it is looked
 * for every root_check_ms, and taken for another when another folder stands in its place.
 *
 * Memory: the scan owns all it hands to callbacks; texts are valid during the call. About 250 bytes for each file.
 * Thread: one at a time; callbacks come from within agent_scan_step, and may call agent_scan_rescan and
 * agent_scan_stats only. Failure: what cannot be read is not present; nothing here ends the scan.
 */
#ifndef PM_AGENT_SCAN_H
#define PM_AGENT_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/clock.h"
#include "base/err.h"

struct agent_scan_root {
    const char *host;   /* "www.example.com" */
    const char *dir;    /* absolute */
    const char *prefix; /* of the URL path: "/", "/static/" */
};

struct agent_resource {
    const char *host;
    const char *path; /* of the URL: prefix and name, percent-encoded */
    const char *file; /* below root's dir */
    size_t root;      /* its number in the configuration */
    uint64_t size, hash;
    uint64_t mtime_ns; /* since 1970 */
};

struct agent_scan_stats {
    uint64_t files, bytes;        /* announced and not gone */
    uint64_t folders, unwatched;  /* that no event will come from */
    uint64_t unreadable;          /* files and folders in the last pass */
    uint64_t read_bytes;          /* for hashing, since the start */
    uint64_t passes, overflows;
    uint64_t roots_missing;
};

struct agent_scan_events {
    void *ctx;
    /* New, or its content, size or time has changed. */
    void (*present)(void *ctx, const struct agent_resource *r);
    void (*gone)(void *ctx, const char *host, const char *path);
    /* All has been looked through, at first, after a root's return, in a rescan: what was announced is all there is. */
    void (*pass)(void *ctx, const struct agent_scan_stats *s);
    /* One line for the log. */
    void (*notice)(void *ctx, const char *text);
};

struct agent_scan_config {
    const struct agent_scan_root *roots;
    size_t root_count;
    struct agent_scan_events events; /* NULL: not wanted */
    const struct clock *clock;       /* NULL: the system's */
    uint64_t rescan_ms;              /* while not all is watched; 0 = 60 s */
    uint64_t always_rescan_ms;       /* even when all is watched; 0 = never */
    uint64_t root_check_ms;          /* 0 = 2 s */
    int64_t settle_ms;               /* 0 = 1 s, negative = files are read at once */
    bool no_inotify;
};

struct agent_scan;

/* PM_EINVAL: a root without host, with a relative dir, or a prefix that does not begin with "/". */
int agent_scan_new(const struct agent_scan_config *config, struct agent_scan **out) PM_MUST_CHECK;
void agent_scan_free(struct agent_scan *s); /* no callbacks; NULL is allowed */
/* Readable when there is something to do; -1 without inotify. */
int agent_scan_fd(const struct agent_scan *s);
/* True: there is more to do now. Budgets of 0 are taken as the least that goes on. */
bool agent_scan_step(struct agent_scan *s, size_t budget_files, uint64_t budget_bytes);
/* When to call agent_scan_step though nothing is readable: 0 = now. */
uint64_t agent_scan_wait_ms(const struct agent_scan *s);
/* Looks through everything again. */
void agent_scan_rescan(struct agent_scan *s);
void agent_scan_stats(const struct agent_scan *s, struct agent_scan_stats *out);
/* All that is announced, in no order: for a session that begins anew. Not from within a callback. */
void agent_scan_each(struct agent_scan *s, void (*fn)(void *ctx, const struct agent_resource *r), void *ctx);

#endif
