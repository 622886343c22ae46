/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pointsman demo`: three sites on loopback, each with a small web server of its own temper, one embedded configuration,
 * and a watcher that prints whenever an answer changes. The servers and the watcher are child processes that end
 * with the demo, however it ends.
 */
#ifndef PM_MAIN_DEMO_H
#define PM_MAIN_DEMO_H

#include <stdint.h>

enum { DEMO_SITES = 3, DEMO_HTTP_PORT = 8053 };

struct demo_site {
    const char *name, *address; /* of its web server */
    const char *client;         /* a client that is near to it */
    unsigned delay_ms;          /* before it answers */
    unsigned up_s, down_s;      /* works for so long, then refuses connections for so long; 0 = always works */
};
extern const struct demo_site demo_sites[DEMO_SITES];

int demo_main(int argc, char **argv);
/* Child processes; they return the exit code. */
int demo_origins(void);
int demo_watch(const char *address, uint16_t port);

#endif
