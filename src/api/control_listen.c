/* SPDX-License-Identifier: Apache-2.0 */
#include "api/control_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/arena.h"

enum { BACKLOG = 64, MODE_DEFAULT = 0660 };

static int failed(struct buf *problem, const char *path, const char *what)
{
    int e = errno;
    buf_printf(problem, "control socket %s: %s: %s", path, what, strerror(e));
    return err_from_errno(e);
}

/* Whether somebody accepts connections there. A full backlog (EAGAIN) means yes, too. */
static bool answered(const struct sockaddr_un *sa)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true;
    bool yes =
        connect(fd, (const struct sockaddr *)sa, sizeof *sa) == 0 || (errno != ECONNREFUSED && errno != ENOENT);
    close(fd);
    return yes;
}

static int remove_stale(const struct sockaddr_un *sa, struct buf *problem)
{
    struct stat st;
    if (lstat(sa->sun_path, &st))
        return errno == ENOENT ? PM_OK : failed(problem, sa->sun_path, "stat");
    if (!S_ISSOCK(st.st_mode)) {
        buf_printf(problem, "control socket %s: there is a file that is no socket", sa->sun_path);
        return PM_EEXISTS;
    }
    if (answered(sa)) {
        buf_printf(problem, "control socket %s: another daemon answers there", sa->sun_path);
        return PM_EINUSE;
    }
    if (unlink(sa->sun_path) && errno != ENOENT)
        return failed(problem, sa->sun_path, "cannot remove the one left behind");
    return PM_OK;
}

static int set_owner(const struct control_options *opt, struct buf *problem)
{
    char space[16384];
    struct group g, *found = NULL;
    if (opt->group) {
        if (getgrnam_r(opt->group, &g, space, sizeof space, &found) || !found) {
            buf_printf(problem, "control socket %s: there is no group \"%s\"", opt->path, opt->group);
            return PM_ENOTFOUND;
        }
        if (lchown(opt->path, (uid_t)-1, g.gr_gid))
            return failed(problem, opt->path, "cannot give it to the group");
    }
    if (chmod(opt->path, opt->mode ? opt->mode : MODE_DEFAULT))
        return failed(problem, opt->path, "cannot set its mode");
    return PM_OK;
}

/* Nobody gets in before owner and mode are right: the file is made closed to all others. */
static int bind_closed(int fd, const struct sockaddr_un *sa)
{
    mode_t was = umask(0177);
    int r = bind(fd, (const struct sockaddr *)sa, sizeof *sa);
    umask(was);
    return r;
}

int control_listen(const struct control_options *opt, struct control_file *file, int *out, struct buf *problem)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct stat st;
    if (strlen(opt->path) >= sizeof sa.sun_path) {
        buf_printf(problem, "control socket %s: the path is longer than %zu bytes", opt->path,
                   sizeof sa.sun_path - 1);
        return PM_ETOOBIG;
    }
    strcpy(sa.sun_path, opt->path);
    int err = remove_stale(&sa, problem);
    if (err)
        return err;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return failed(problem, opt->path, "socket");
    if (bind_closed(fd, &sa)) {
        err = failed(problem, opt->path, "cannot be made");
        close(fd);
        return err;
    }
    err = set_owner(opt, problem);
    if (!err && (listen(fd, BACKLOG) || lstat(opt->path, &st)))
        err = failed(problem, opt->path, "cannot listen");
    if (err) {
        unlink(opt->path);
        close(fd);
        return err;
    }
    *file = (struct control_file){mem_strdup(opt->path), st.st_dev, st.st_ino};
    *out = fd;
    return PM_OK;
}

void control_unlisten(struct control_file *file)
{
    struct stat st;
    /* Without the right to remove it (root dropped) it stays, and the next start finds that nobody answers. */
    if (file->path && lstat(file->path, &st) == 0 && st.st_dev == file->dev && st.st_ino == file->ino)
        (void)!unlink(file->path);
    free(file->path);
    file->path = NULL;
}
