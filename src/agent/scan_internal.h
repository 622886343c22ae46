/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside agent/scan: the tree of what is known, and who does what to it.
 *
 *   scan.c        configuration, roots, passes, the order of work
 *   scan_tree.c   nodes: made, found, dropped
 *   scan_watch.c  inotify: watches, events
 *   scan_list.c   looks at names: in a folder that is listed, or as an event says
 *   scan_read.c   files to be hashed, what is announced of them
 *
 * What is dropped is doomed first: a folder is detached from its parent at once, but taken apart in steps, before
 * anything else is done. So no event meets a doomed node, and "gone" comes before a new "present" of the same path.
 */
#ifndef PM_AGENT_SCAN_INTERNAL_H
#define PM_AGENT_SCAN_INTERNAL_H

#include <dirent.h>
#include <sys/inotify.h>
#include <sys/queue.h>
#include "agent/hash.h"
#include "agent/scan.h"
#include "base/buf.h"
#include "base/map.h"

struct scan_dir;
struct scan_root;

/* What a file and a folder have in common; first in both. */
struct scan_node {
    struct scan_dir *parent; /* NULL: a root */
    TAILQ_ENTRY(scan_node) sibling;
    char *name;
    uint32_t seen; /* number of the listing that has last seen it */
    bool is_dir;
};
TAILQ_HEAD(scan_nodes, scan_node);

enum scan_queue { SCAN_NOT_QUEUED, SCAN_NOW, SCAN_LATER };

struct scan_file {
    struct scan_node node;
    TAILQ_ENTRY(scan_file) link; /* of the queue it is in */
    enum scan_queue queue;
    bool announced;
    bool untrusted; /* read so soon after a change that another one may have the same stamp */
    uint64_t due_ms; /* in SCAN_LATER */
    uint64_t stamp; /* of what was announced */
    uint64_t size, mtime_ns, hash;
};
TAILQ_HEAD(scan_files, scan_file);

struct scan_dir {
    struct scan_node node;
    struct scan_root *root;
    struct map entries; /* name -> node */
    struct scan_nodes children; /* the longest unseen first */
    TAILQ_ENTRY(scan_dir) link; /* to be listed, or doomed */
    bool queued, doomed;
    uint32_t pass; /* it was last queued in */
    int wd;        /* -1: not watched */
    dev_t dev;
    ino_t ino;
};
TAILQ_HEAD(scan_dirs, scan_dir);

struct scan_root {
    char *host, *dir, *prefix; /* prefix ends in "/" */
    size_t number;
    int fd; /* -1: missing */
    dev_t dev;
    ino_t ino;
    struct scan_dir top;
};

struct agent_scan {
    struct agent_scan_config config;
    const struct clock *clock;
    struct scan_root *roots;
    size_t root_count;
    struct agent_hash_cache *cache;

    struct scan_dirs to_list, doomed;
    struct scan_files now, later; /* later: in the order they are due */
    size_t nodes;

    /* The folder being listed. */
    struct scan_dir *listed;
    DIR *stream; /* NULL: read to the end, what was not seen goes */
    uint32_t listing;

    /* The file being read. */
    struct scan_file *reading;
    int reading_fd;
    struct stat reading_st;
    struct agent_hash *hash;
    uint64_t reading_at;
    uint8_t *block;

    /* inotify */
    int fd;
    struct map watches; /* wd -> folder */
    char *events;
    size_t events_len, events_at;
    bool fd_dry; /* nothing more to read, when last tried in this step */
    bool watch_failed;

    /* passes */
    bool pass_active, rescan_wanted, incomplete, told_unwatched, check_roots;
    uint32_t pass;
    uint64_t pass_end_ms, roots_checked_ms;

    struct agent_scan_stats stats;
    uint64_t unreadable; /* so far in this pass */
    struct buf path, url;
};

/* scan_tree.c */
/* Path below the root, "" for the root itself; valid until the next call. */
const char *scan_path(struct agent_scan *s, const struct scan_node *n);
const char *scan_url(struct agent_scan *s, const struct scan_node *n);
struct scan_node *scan_find(const struct scan_dir *d, const char *name);
struct scan_file *scan_add_file(struct agent_scan *s, struct scan_dir *parent, const char *name);
struct scan_dir *scan_add_dir(struct agent_scan *s, struct scan_dir *parent, const char *name, const struct stat *st);
void scan_seen(struct agent_scan *s, struct scan_node *n);
void scan_dir_init(struct scan_dir *d, struct scan_root *root);
/* Files go at once; folders are doomed. */
void scan_drop(struct agent_scan *s, struct scan_node *n);
void scan_doom_children(struct agent_scan *s, struct scan_dir *root);
/* One node less of what is doomed. */
void scan_doom_step(struct agent_scan *s);
void scan_queue_dir(struct agent_scan *s, struct scan_dir *d);
/* Frees all, saying nothing. */
void scan_tree_free(struct agent_scan *s);

/* scan_watch.c */
void scan_watch_open(struct agent_scan *s);
void scan_watch_close(struct agent_scan *s);
/* Watches the folder that is open as fd. */
void scan_watch_add(struct agent_scan *s, struct scan_dir *d, int fd);
void scan_watch_remove(struct agent_scan *s, struct scan_dir *d);
/* Handles one event; false: there is none. */
bool scan_watch_event(struct agent_scan *s);

/* scan_list.c */
enum scan_why { SCAN_LISTED, SCAN_CREATED, SCAN_WRITTEN };
/* Looks at one name of a folder; folder_fd -1: it is not open. */
void scan_look(struct agent_scan *s, struct scan_dir *d, int folder_fd, const char *name, enum scan_why why);
bool scan_list_step(struct agent_scan *s); /* false: nothing to list */
void scan_list_stop(struct agent_scan *s);

/* scan_read.c */
void scan_check_file(struct agent_scan *s, struct scan_file *f, const struct stat *st, enum scan_why why);
void scan_unqueue_file(struct agent_scan *s, struct scan_file *f);
void scan_gone(struct agent_scan *s, struct scan_file *f);
/* Reads up to *bytes of one file; false: none to read. */
bool scan_read_step(struct agent_scan *s, uint64_t *bytes);
void scan_read_stop(struct agent_scan *s);
void scan_resource(struct agent_scan *s, const struct scan_file *f, struct agent_resource *out);

/* scan.c */
void scan_notice(struct agent_scan *s, const char *fmt, ...) PM_PRINTF(2, 3);
void scan_begin_pass(struct agent_scan *s);

#endif
