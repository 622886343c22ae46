/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a client's first words to the relay: an HTTP head or a ClientHello. What the relay calls whole no other
 * reader may understand otherwise (tests/unit/relay/heads.h); cut short it is never whole; what follows changes nothing.
 */
#include <stdlib.h>
#include "../unit/relay/heads.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct relay_request q, other;
    bool strict;
    if (!size || size > RELAY_REQUEST_MAX - 64)
        return 0;
    char *bytes = malloc(size + 40); /* its own, so that reading past the end is seen */
    memcpy(bytes, data, size);
    const char *what = heads_disagree(bytes, size, &strict);
    if (what) {
        fprintf(stderr, "another reader differs in %s\n", what);
        abort();
    }
    if (relay_request_read(bytes, size, &q) == RELAY_READ_WHOLE) {
        bool hello = bytes[0] == 22 || (q.h2c && !q.prefixes);
        must(q.head <= size && q.prefixes <= RELAY_PREFIXES_MAX && (q.prefixes || hello));
        if (!hello) {
            must(relay_request_read(bytes, q.head - 1, &other) == RELAY_READ_PART);
            memset(bytes + size, 'x', 40);
            must(relay_request_read(bytes, size + 40, &other) == RELAY_READ_WHOLE);
            must(memcmp(&other, &q, sizeof q) == 0);
        }
    }
    free(bytes);
    return 0;
}
