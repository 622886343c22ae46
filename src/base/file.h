/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole files: read at once, and replaced so that a crash or a full disk leaves the old content in place.
 */
#ifndef PM_BASE_FILE_H
#define PM_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

/* Appends the file's content to out; on error out is as before. PM_ENOTFOUND, PM_EPERM, PM_ETOOBIG (more than max bytes), PM_EIO. */
int file_read(const char *path, size_t max, struct buf *out) PM_MUST_CHECK;
/*
 * Replaces path by data: writes path.tmp (anew: what lies there from a crash is removed), fsync, rename. On error (PM_EIO for a full disk, PM_EPERM ...) the file keeps
 * its old content and path.tmp is gone. mode as for open(2).
 */
int file_replace(const char *path, const void *data, size_t len, unsigned mode) PM_MUST_CHECK;

/* What tells that a file has changed. All zero when it does not exist. */
struct file_stamp {
    uint64_t mtime_ns, size, inode;
};
struct file_stamp file_stamp(const char *path);

#endif
