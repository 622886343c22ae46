/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client asks for, read with the packet program's own code (bpf/request.h) from more than one segment, and from more
 * than one TLS record. Pure.
 */
#ifndef PM_RELAY_REQUEST_H
#define PM_RELAY_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "relay/bpf/shared.h"

enum { RELAY_REQUEST_MAX = 32768 };

enum relay_reading { RELAY_READ_WHOLE, RELAY_READ_PART, RELAY_READ_ODD };

struct relay_request {
    uint64_t host, path, suffix; /* hashes (ring.h); suffix 0: none */
    uint64_t prefix[RELAY_PREFIXES_MAX];
    uint64_t label[RELAY_LABELS_MAX]; /* of the host from each dot on, shortest first */
    uint64_t alpn[RELAY_ALPN_MAX];    /* protocols a ClientHello offers, first ones */
    uint32_t prefixes, labels, alpns;
    uint32_t head; /* bytes of the head */
    uint64_t body; /* bytes that follow it */
    bool named;    /* there is a host */
    bool stream;   /* no requests after it: TLS, HTTP/2, Upgrade */
    bool h2c;      /* HTTP/2 in clear text is spoken, or asked for */
};

enum relay_reading relay_request_read(const void *bytes, size_t len, struct relay_request *out);

#endif
