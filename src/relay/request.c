/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/request.h"

#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "relay/bpf/request.h"
#pragma GCC diagnostic pop

enum relay_reading relay_request_read(const void *bytes, size_t len, struct relay_request *out)
{
    if (len == 0 || len >= RELAY_REQUEST_MAX)
        return RELAY_READ_ODD;
    struct scratch *s = mem_alloc(sizeof *s);
    memcpy(s->data, bytes, len);
    enum reading reading = request_read(s, (uint32_t)len);
    *out = (struct relay_request){.host = s->r.host,
                                  .path = s->r.path,
                                  .suffix = s->r.suffix,
                                  .prefixes = s->r.prefixes,
                                  .head = s->r.head,
                                  .body = s->r.body,
                                  .stream = s->r.flags & REQUEST_STREAM};
    memcpy(out->prefix, s->r.prefix, sizeof out->prefix);
    free(s);
    return reading == READING_WHOLE ? RELAY_READ_WHOLE : reading == READING_PART ? RELAY_READ_PART : RELAY_READ_ODD;
}
