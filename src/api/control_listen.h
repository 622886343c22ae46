/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's file: made, replaced when stale, and removed. Inside of api/control.c. */
#ifndef PM_API_CONTROL_LISTEN_H
#define PM_API_CONTROL_LISTEN_H

#include <sys/types.h>
#include "api/control.h"

struct control_file {
    char *path;
    dev_t dev;
    ino_t ino;
};

/* A listening socket, non-blocking; *fd is the caller's. */
int control_listen(const struct control_options *opt, struct control_file *file, int *fd,
                   struct buf *problem) PM_MUST_CHECK;
/* Removes the file if it is still ours, and frees the path. */
void control_unlisten(struct control_file *file);

#endif
