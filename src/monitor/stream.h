/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP connection of a check, with or without TLS, on the control loop. Everything a check needs and no more: connect,
 * send, receive into a bounded buffer, end with a probe status that says how it ended (refused, reset, closed early,
 * unreachable, TLS).
 *
 * Owner: the check's module; stream_close ends it at any time, from callbacks too, and no callback comes afterwards.
 * The memory goes when the loop has closed the handle. Thread: control.
 */
#ifndef PM_MONITOR_STREAM_H
#define PM_MONITOR_STREAM_H

#include <uv.h>
#include "base/addr.h"
#include "base/buf.h"
#include "monitor/probe.h"
#include "monitor/tls_client.h"

enum { STREAM_IN_MAX = 1 << 20 };

struct stream;

struct stream_handler {
    void (*opened)(void *ctx); /* connected, and TLS shaken hands if asked for; after stream_starttls again */
    void (*data)(void *ctx);   /* new bytes in stream_in; not called at the end of the stream */
    /* The other side is done (PROBE_CLOSED) or it broke. Call stream_close when finished with what is buffered. */
    void (*ended)(void *ctx, enum probe_status how, const char *why);
};

/* NULL with *status and why (96 bytes) when it fails at once. tls may be NULL. */
struct stream *stream_open(uv_loop_t *loop, const struct endpoint *to, const struct tls_wish *tls,
                           const struct stream_handler *handler, void *ctx, enum probe_status *status, char *why) PM_MUST_CHECK;
void stream_send(struct stream *s, const void *data, size_t len);
/* Begins TLS on the plain connection; opened comes again. False with why when it cannot. */
bool stream_starttls(struct stream *s, const struct tls_wish *tls, char *why) PM_MUST_CHECK;
struct buf *stream_in(struct stream *s); /* consume what is used; full = STREAM_IN_MAX stops reading */
uint64_t stream_connect_ns(const struct stream *s); /* from open to the established connection */
SSL *stream_ssl(const struct stream *s);            /* NULL without TLS */
/* hard: reset instead of FIN, so that no TIME_WAIT stays behind on our side. */
void stream_close(struct stream *s, bool hard);

#endif
