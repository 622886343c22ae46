/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TCP connection of one probe: connect, write, read, close. The callbacks belong to the probe's
 * module; after conn_close none is called again, and the memory goes when the loop has closed the
 * handle, whatever happened to the probe meanwhile. Thread: control.
 */
#ifndef PM_MONITOR_CONN_H
#define PM_MONITOR_CONN_H

#include "base/buf.h"
#include "monitor/probe.h"

struct conn;

struct conn_calls {
    void (*connected)(void *owner);
    void (*data)(void *owner, const char *bytes, size_t n);
    /* err: UV_EOF, or what connect, write or read said; what names the step. Not called after
     * conn_close. */
    void (*failed)(void *owner, int err, const char *what);
};

/* NULL: could not even start; *err says why. */
struct conn *conn_open(uv_loop_t *loop, const struct endpoint *to, const struct conn_calls *calls,
                       void *owner, int *err);
void conn_read(struct conn *c);
/* The bytes are copied. */
void conn_write(struct conn *c, const void *data, size_t n);
void conn_close(struct conn *c); /* NULL is allowed */

#endif
