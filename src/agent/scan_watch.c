/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/scan_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/arena.h"

enum { EVENTS_BYTES = 64 * 1024 };

/* Not IN_MODIFY: a file is looked at when its writer has closed it. IN_ATTRIB: its time may have been set. */
#define WATCHED                                                                                                        \
    (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF |               \
     IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK)

void scan_watch_open(struct agent_scan *s)
{
    s->fd = -1;
    if (s->config.no_inotify)
        return;
    s->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (s->fd < 0) {
        scan_notice(s, "no inotify (%s): all folders are looked through every %llu s", strerror(errno),
                    (unsigned long long)(s->config.rescan_ms / 1000));
        return;
    }
    s->events = mem_alloc(EVENTS_BYTES);
}

void scan_watch_close(struct agent_scan *s)
{
    if (s->fd >= 0)
        close(s->fd);
    map_fini(&s->watches);
    free(s->events);
}

/* ---- watches ---- */

static void unwatched(struct agent_scan *s, struct scan_dir *d)
{
    d->wd = -1;
    s->stats.unwatched++;
}

void scan_watch_add(struct agent_scan *s, struct scan_dir *d, int fd)
{
    char path[32];
    if (s->fd < 0 || d->wd >= 0)
        return;
    /* The folder we have open, whatever its name leads to by now. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int wd = inotify_add_watch(s->fd, path, WATCHED);
    if (wd < 0) {
        s->watch_failed |= errno == ENOSPC || errno == ENOMEM;
        return;
    }
    /* The same folder under another name: renamed, and its old name is not yet dropped; or bound to two places. */
    struct scan_dir *other = map_get(&s->watches, &wd, sizeof wd);
    if (other) {
        map_del(&s->watches, &other->wd, sizeof other->wd);
        unwatched(s, other);
        if (other->node.parent)
            scan_look(s, other->node.parent, -1, other->node.name, SCAN_LISTED);
    }
    d->wd = wd;
    s->stats.unwatched--;
    map_put(&s->watches, &d->wd, sizeof d->wd, d);
}

void scan_watch_remove(struct agent_scan *s, struct scan_dir *d)
{
    if (d->wd < 0)
        return;
    map_del(&s->watches, &d->wd, sizeof d->wd);
    (void)inotify_rm_watch(s->fd, d->wd);
    unwatched(s, d);
}

/* ---- events ---- */

static void on_overflow(struct agent_scan *s)
{
    s->stats.overflows++;
    scan_notice(s, "more changes than inotify could tell: all folders are looked through again");
    s->rescan_wanted = true;
}

static void on_event(struct agent_scan *s, const struct inotify_event *e)
{
    if (e->mask & IN_Q_OVERFLOW) {
        on_overflow(s);
        return;
    }
    struct scan_dir *d = map_get(&s->watches, &e->wd, sizeof e->wd);
    if (!d)
        return; /* of a watch that we have ended */
    if (e->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) {
        if (e->mask & IN_IGNORED) {
            map_del(&s->watches, &d->wd, sizeof d->wd);
            unwatched(s, d);
        }
        if (d->node.parent)
            scan_look(s, d->node.parent, -1, d->node.name, SCAN_LISTED); /* whether it is still there */
        else
            s->check_roots = true;
        return;
    }
    if (e->len)
        scan_look(s, d, -1, e->name, e->mask & (IN_CLOSE_WRITE | IN_MOVED_TO) ? SCAN_WRITTEN : SCAN_CREATED);
}

bool scan_watch_event(struct agent_scan *s)
{
    struct inotify_event head;
    if (s->events_at >= s->events_len) {
        if (s->fd < 0 || s->fd_dry)
            return false;
        ssize_t n = read(s->fd, s->events, EVENTS_BYTES);
        s->events_at = 0;
        s->events_len = n > 0 ? (size_t)n : 0;
        s->fd_dry = n <= 0 && errno != EINTR;
        if (n <= 0)
            return false;
    }
    const char *at = s->events + s->events_at;
    memcpy(&head, at, sizeof head);
    s->events_at += sizeof head + head.len;
    on_event(s, (const void *)at);
    return true;
}
