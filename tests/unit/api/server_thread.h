/* SPDX-License-Identifier: Apache-2.0 */
/* The API's servers on a loop of their own thread, so that tests can be blocking clients. */
#ifndef PM_TESTS_SERVER_THREAD_H
#define PM_TESTS_SERVER_THREAD_H

#include <stdint.h>

struct server_thread;

/* A control socket in a fresh folder, and a metrics page on a free loopback port, answering for the fake world. */
struct server_thread *server_thread_start(uint64_t idle_ms);
const char *server_thread_path(const struct server_thread *s);
uint16_t server_thread_port(const struct server_thread *s);
void server_thread_stop(struct server_thread *s);

#endif
