/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP services that share an address, or whose servers are not all for the same, told apart by the TLS greeting. It is
 * only looked at: the server gets it unchanged, and has the keys. What is no greeting goes to the default service.
 */
#include "frontend/internal.h"
#include "http/hello.h"

static void choose(struct thread *t, struct client *c, const struct http_hello *hello)
{
    const struct front_listener *l = c->sock->listener;
    const struct front_service *s = l ? l->fallback : NULL;
    front_count(t, hello ? FRONT_HELLOS : FRONT_HELLO_ODD);
    if (hello && l && *hello->name)
        s = front_table_route(l, hello->name, hello->name_len);
    if (s && hello)
        c->held = front_holders_hello(s, hello);
    front_client_tunnel(t, c, s);
}

void front_hello_begin(struct thread *t, struct client *c)
{
    c->state = CLIENT_HELLO;
    front_timer_set(t, &c->c.timer, c->sock->listener->fallback->times.head);
    front_hello_run(t, c); /* it has often come already */
}

void front_hello_run(struct thread *t, struct client *c)
{
    for (;;) {
        struct chunk *in = c->c.in;
        struct http_hello hello;
        int rc = in ? http_hello_read(in->data + in->start, in->end - in->start, &hello) : PM_EAGAIN;
        if (rc != PM_EAGAIN) {
            choose(t, c, rc == PM_OK ? &hello : NULL);
            return;
        }
        if (!(c->c.io & IO_READ)) {
            if (c->c.io & IO_EOF)
                front_client_close(t, c);
            return;
        }
        int n = front_conn_recv(t, &c->c, UINT32_MAX);
        if (n == PM_EAGAIN)
            return;
        if (n == PM_ESPACE) {
            choose(t, c, NULL);
            return;
        }
        if (n <= 0) {
            front_client_close(t, c);
            return;
        }
    }
}
