/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int file_read(const char *path, size_t max, struct buf *out)
{
    char chunk[65536];
    size_t total = 0, before = out->len;
    int fd = open(path, O_RDONLY | O_CLOEXEC), err = PM_OK;
    if (fd < 0)
        return err_from_errno(errno);
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            err = err_from_errno(errno);
        if (n <= 0)
            break;
        total += (size_t)n;
        if (total > max) {
            err = PM_ETOOBIG;
            break;
        }
        buf_add(out, chunk, (size_t)n);
    }
    close(fd);
    if (err && out->data) {
        out->len = before;
        out->data[before] = 0;
    }
    return err;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_from_errno(errno);
        data += n;
        len -= (size_t)n;
    }
    return PM_OK;
}

int file_replace(const char *path, const void *data, size_t len, unsigned mode)
{
    char tmp[PATH_MAX];
    if ((size_t)snprintf(tmp, sizeof tmp, "%s.tmp", path) >= sizeof tmp)
        return PM_ETOOBIG;
    /* Created by us, with our mode and owner: never through a link that somebody left there. */
    if (unlink(tmp) != 0 && errno != ENOENT)
        return err_from_errno(errno);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return err_from_errno(errno);
    int err = write_all(fd, data, len);
    if (!err && fsync(fd) != 0)
        err = err_from_errno(errno);
    if (close(fd) != 0 && !err)
        err = err_from_errno(errno);
    if (!err && rename(tmp, path) != 0)
        err = err_from_errno(errno);
    if (err)
        unlink(tmp);
    return err;
}

struct file_stamp file_stamp(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return (struct file_stamp){0, 0, 0};
    return (struct file_stamp){(uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec,
                               (uint64_t)st.st_size, st.st_ino};
}
