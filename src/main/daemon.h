/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon: boots in one explicit order, runs the control loop, reloads, stops.
 *
 *   configuration -> listen sockets -> monitors -> API sockets -> give up root -> state from disk -> generation
 *   -> serving threads -> loop
 *
 * Control loop (libuv): checks end -> wiring -> model -> dirty services -> (2 ms later, together) compile -> publish ->
 * one grace period. Timers: state to disk, overrides running out, geography files changing.
 */
#ifndef PM_MAIN_DAEMON_H
#define PM_MAIN_DAEMON_H

#include "main/generation.h"

struct daemon_options {
    struct config_source config;
    const char *inherit; /* sockets of the process before us (respond_listen_export), or NULL */
    void (*started)(void *ctx); /* called when answering has begun, may be NULL */
    void (*report)(void *ctx, const char *line); /* the demo's: one line per event, may be NULL */
    void *ctx;
};

/* Returns the process's exit code: 0 stopped on request, 1 could not start. */
int daemon_run(const struct daemon_options *o);

#endif
