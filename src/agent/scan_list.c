/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/scan_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent/beneath.h"

/* ---- one name ---- */

/* What the name stands for: a regular file (behind a link, too) or a folder. */
static bool entry_stat(struct agent_scan *s, const struct scan_dir *d, int folder_fd, const char *name, struct stat *st)
{
    if (fstatat(folder_fd, name, st, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    if (!S_ISLNK(st->st_mode))
        return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
    (void)scan_path(s, &d->node);
    buf_printf(&s->path, "%s%s", s->path.len ? "/" : "", name);
    int fd = agent_open_beneath(d->root->fd, buf_str(&s->path), O_PATH, AGENT_LINKS_INSIDE);
    if (fd < 0)
        return false;
    bool ok = fstat(fd, st) == 0 && S_ISREG(st->st_mode);
    close(fd);
    return ok;
}

static void look_dir(struct agent_scan *s, struct scan_dir *parent, struct scan_node *n, const char *name,
                     const struct stat *st, enum scan_why why)
{
    struct scan_dir *d = (struct scan_dir *)(void *)n;
    if (n && (!n->is_dir || d->ino != st->st_ino || d->dev != st->st_dev)) {
        scan_drop(s, n);
        d = NULL;
    }
    bool known = d != NULL;
    if (!d)
        d = scan_add_dir(s, parent, name, st);
    /* What was known is entered again in a pass, or when something was done to the folder itself. */
    if (!known || why != SCAN_LISTED || (s->pass_active && d->pass != s->pass))
        scan_queue_dir(s, d);
    scan_seen(s, &d->node);
}

static void look_file(struct agent_scan *s, struct scan_dir *parent, struct scan_node *n, const char *name,
                      const struct stat *st, enum scan_why why)
{
    if (n && n->is_dir) {
        scan_drop(s, n);
        n = NULL;
    }
    struct scan_file *f = n ? (struct scan_file *)(void *)n : scan_add_file(s, parent, name);
    scan_seen(s, &f->node);
    scan_check_file(s, f, st, why);
}

static void look_at(struct agent_scan *s, struct scan_dir *d, int folder_fd, const char *name, enum scan_why why)
{
    struct stat st;
    struct scan_node *n = scan_find(d, name);
    scan_path(s, &d->node);
    if (s->path.len + 1 + strlen(name) >= AGENT_PATH_MAX) {
        s->unreadable++;
        return;
    }
    if (!entry_stat(s, d, folder_fd, name, &st)) {
        if (n)
            scan_drop(s, n);
    } else if (S_ISDIR(st.st_mode)) {
        look_dir(s, d, n, name, &st, why);
    } else {
        look_file(s, d, n, name, &st, why);
    }
}

void scan_look(struct agent_scan *s, struct scan_dir *d, int folder_fd, const char *name, enum scan_why why)
{
    struct stat st;
    if (agent_name_hidden(name) || d->root->fd < 0)
        return;
    if (folder_fd >= 0) {
        look_at(s, d, folder_fd, name, why);
        return;
    }
    int fd = agent_open_beneath(d->root->fd, scan_path(s, &d->node), O_PATH | O_DIRECTORY, AGENT_LINKS_NONE);
    if (fd < 0)
        return;
    /* Another folder by now: the event that says so will come. */
    if (fstat(fd, &st) == 0 && st.st_ino == d->ino && st.st_dev == d->dev)
        look_at(s, d, fd, name, why);
    close(fd);
}

/* ---- a folder ---- */

void scan_list_stop(struct agent_scan *s)
{
    if (s->stream)
        closedir(s->stream);
    s->stream = NULL;
    s->listed = NULL;
}

/* Gone, or closed to us: nothing in it can be served. Anything else may pass. */
static void list_failed(struct agent_scan *s, struct scan_dir *d, int err)
{
    if (err == PM_ENOTFOUND || err == PM_EPERM) {
        s->unreadable += err == PM_EPERM;
        s->listed = d;
        return;
    }
    scan_notice(s, "cannot list %s/%s: %s", d->root->dir, scan_path(s, &d->node), err_text(err));
    s->unreadable++;
    s->incomplete = true;
}

static void list_start(struct agent_scan *s, struct scan_dir *d)
{
    struct stat st;
    s->listing++;
    if (d->root->fd < 0)
        return;
    int fd = agent_open_beneath(d->root->fd, scan_path(s, &d->node), O_RDONLY | O_DIRECTORY, AGENT_LINKS_NONE);
    if (fd < 0) {
        list_failed(s, d, fd);
        return;
    }
    if (fstat(fd, &st) == 0 && (st.st_ino != d->ino || st.st_dev != d->dev)) {
        scan_watch_remove(s, d);
        d->ino = st.st_ino;
        d->dev = st.st_dev;
    }
    /* First the watch: what comes into the folder after this is told, what came before is listed. */
    scan_watch_add(s, d, fd);
    s->stream = fdopendir(fd);
    if (!s->stream) {
        list_failed(s, d, err_from_errno(errno));
        close(fd);
        return;
    }
    s->listed = d;
}

static void list_name(struct agent_scan *s)
{
    errno = 0;
    const struct dirent *e = readdir(s->stream);
    if (e) {
        scan_look(s, s->listed, dirfd(s->stream), e->d_name, SCAN_LISTED);
        return;
    }
    if (errno) {
        struct scan_dir *d = s->listed;
        int err = err_from_errno(errno);
        scan_list_stop(s);
        list_failed(s, d, err);
        return;
    }
    closedir(s->stream);
    s->stream = NULL;
}

bool scan_list_step(struct agent_scan *s)
{
    if (s->listed && s->stream) {
        list_name(s);
        return true;
    }
    if (s->listed) {
        struct scan_node *n = TAILQ_FIRST(&s->listed->children);
        if (n && n->seen != s->listing)
            scan_drop(s, n);
        else
            s->listed = NULL;
        return true;
    }
    struct scan_dir *d = TAILQ_FIRST(&s->to_list);
    if (!d)
        return false;
    TAILQ_REMOVE(&s->to_list, d, link);
    d->queued = false;
    list_start(s, d);
    return true;
}
