/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { AGAIN_MAX = 16 };

bool agent_name_hidden(const char *name)
{
    size_t n = strlen(name), end = strlen(AGENT_PART_SUFFIX);
    return name[0] == '.' || (n >= end && strcmp(name + n - end, AGENT_PART_SUFFIX) == 0);
}

bool agent_path_valid(const char *path)
{
    char name[NAME_MAX + 1];
    if (strlen(path) >= AGENT_PATH_MAX)
        return false;
    for (;;) {
        size_t n = strcspn(path, "/");
        if (n == 0 || n > NAME_MAX)
            return false;
        memcpy(name, path, n);
        name[n] = 0;
        if (agent_name_hidden(name))
            return false;
        if (!path[n])
            return true;
        path += n + 1;
    }
}

static int fd_or_error(int fd)
{
    if (fd >= 0)
        return fd;
    /* Out of the root, or a link where none is followed. */
    return errno == EXDEV || errno == ELOOP ? PM_EPERM : err_from_errno(errno);
}

static bool is_link(int at, const char *name)
{
    struct stat st;
    return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) == 0 && S_ISLNK(st.st_mode);
}

/* Opens the next name of a path and closes where we were. To the kernel a link in a folder's place is no folder. */
static int step(int at, int root_fd, const char *name, int flags)
{
    int next = fd_or_error(openat(at, name, flags | O_NOFOLLOW | O_CLOEXEC));
    if (next == PM_ENOTFOUND && is_link(at, name))
        next = PM_EPERM;
    if (next >= 0 && flags & O_PATH && is_link(next, "")) {
        close(next);
        next = PM_EPERM;
    }
    if (at != root_fd)
        close(at);
    return next;
}

int agent_open_walk(int root_fd, const char *path, int flags)
{
    char name[NAME_MAX + 1];
    int at = root_fd;
    if (!*path)
        return fd_or_error(openat(root_fd, ".", flags | O_CLOEXEC));
    for (;;) {
        size_t n = strcspn(path, "/");
        if (n == 0 || n > NAME_MAX || (n == 1 && path[0] == '.') || (n == 2 && path[0] == '.' && path[1] == '.')) {
            if (at != root_fd)
                close(at);
            return PM_EINVAL;
        }
        memcpy(name, path, n);
        name[n] = 0;
        at = step(at, root_fd, name, path[n] ? O_PATH | O_DIRECTORY : flags);
        if (at < 0 || !path[n])
            return at;
        path += n + 1;
    }
}

int agent_open_beneath(int root_fd, const char *path, int flags, enum agent_links links)
{
    struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (links == AGENT_LINKS_NONE ? RESOLVE_NO_SYMLINKS : 0),
    };
    if (!*path)
        return agent_open_walk(root_fd, path, flags);
    /* EAGAIN: something was renamed meanwhile, and the kernel cannot tell whether ".." led outside. */
    for (int i = 0; i < AGAIN_MAX; i++) {
        long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof how);
        if (fd >= 0)
            return (int)fd;
        if (errno == ENOSYS || errno == EPERM) /* an old kernel; a filter that does not know the call */
            return agent_open_walk(root_fd, path, flags);
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return fd_or_error(-1);
}

/* One folder further, made if it is missing: as a web server can read it, and its owner's who has the folder above. */
static int step_made(int at, const char *folder)
{
    struct stat above, st;
    if (mkdirat(at, folder, 0755) != 0) {
        int err = errno == EEXIST ? 0 : err_from_errno(errno);
        if (!err)
            return step(at, -1, folder, O_RDONLY | O_DIRECTORY);
        close(at);
        return err;
    }
    bool known = fstat(at, &above) == 0;
    (void)fsync(at);
    int fd = step(at, -1, folder, O_RDONLY | O_DIRECTORY);
    /* It might be another by now, if not one of ours. A umask has kept the world out; the set-group bit stays. */
    if (fd >= 0 && known && fstat(fd, &st) == 0 && st.st_uid == geteuid()) {
        (void)!fchown(fd, above.st_uid, above.st_gid);
        (void)!fchmod(fd, 0755 | (st.st_mode & S_ISGID));
    }
    return fd;
}

int agent_open_parent(int root_fd, const char *path, bool make, const char **name)
{
    char folder[NAME_MAX + 1];
    if (!agent_path_valid(path))
        return PM_EINVAL;
    int at = fd_or_error(openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (const char *slash; at >= 0 && (slash = strchr(path, '/')) != NULL; path = slash + 1) {
        memcpy(folder, path, (size_t)(slash - path));
        folder[slash - path] = 0;
        at = make ? step_made(at, folder) : step(at, -1, folder, O_RDONLY | O_DIRECTORY);
    }
    *name = path;
    return at;
}
