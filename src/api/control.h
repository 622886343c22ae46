/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: a Unix stream socket on which each line in is a request and each line out its answer, in order
 * (api/commands.h says which). Who may use it is a matter of the socket's file mode and group alone.
 *
 * A socket left behind by a daemon that died is replaced; one that somebody answers on is not (PM_EINUSE). When it
 * stops, the file is removed if it is still the one it made.
 *
 * Limits: CONTROL_REQUEST_MAX per line, CONTROL_CLIENTS connections, CONTROL_IDLE_MS without a request and
 * without an answer that was taken to its end, CONTROL_QUEUE_MAX of answers waiting; while more than
 * CONTROL_QUEUE_PAUSE wait, no further request of that client is read. Who breaks a limit hears why, if possible, and
 * is disconnected.
 *
 * Thread: control. Memory: owned by struct control; control_stop closes its handles, which the loop must still run
 * for.
 */
#ifndef PM_API_CONTROL_H
#define PM_API_CONTROL_H

#include "api/api.h"

enum {
    CONTROL_REQUEST_MAX = 64 << 10,
    CONTROL_CLIENTS = 64,
    CONTROL_IDLE_MS = 30000,
    CONTROL_QUEUE_MAX = 64 << 20,
    CONTROL_QUEUE_PAUSE = 1 << 20,
};

struct control_options {
    const char *path;
    unsigned mode;     /* of the socket file; 0 = 0660 */
    const char *group; /* NULL = the process's */
    uint64_t idle_ms;  /* 0 = CONTROL_IDLE_MS */
};

struct control;

/* PM_EINUSE, PM_EPERM, PM_ENOTFOUND (folder or group missing), PM_ETOOBIG (path too long); problem says it in words.
 * host must outlive it. Call it before dropping root if the folder or group wants that. */
int control_start(uv_loop_t *loop, const struct api_host *host, const struct control_options *opt,
                  struct control **out, struct buf *problem) PM_MUST_CHECK;
void control_stop(struct control *c); /* NULL is allowed */
unsigned control_clients(const struct control *c);

#endif
