/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/dns_reply.h"

#include <string.h>
#include "dns/name.h"

enum { HEADER = 12 };

int dns_reply_parse(const uint8_t *data, size_t len, const uint8_t *query, size_t query_len, struct dns_reply *out)
{
    uint8_t name[DNS_NAME_MAX];
    size_t at = HEADER;
    *out = (struct dns_reply){0};
    if (len < HEADER || memcmp(data, query, 2) != 0 || !(data[2] & 0x80))
        return PM_ENOTFOUND;
    out->rcode = data[3] & 15;
    out->truncated = data[2] & 2;
    out->authoritative = data[2] & 4;
    if (data[4] == 0 && data[5] == 0)
        return out->rcode ? PM_OK : PM_EPROTO; /* an error may come without the question */
    if (data[4] != 0 || data[5] != 1)
        return PM_EPROTO;
    int n = dns_name_unpack(data, len, &at, name);
    if (n < 0)
        return n;
    if (at + 4 > len)
        return PM_ESHORT;
    if (!dns_name_eq(name, query + HEADER) || memcmp(data + at, query + query_len - 4, 4) != 0)
        return PM_ENOTFOUND;
    return PM_OK;
}

bool dns_reply_has_address(const uint8_t *data, size_t len, const struct addr *wanted, size_t n)
{
    size_t at = HEADER;
    unsigned questions = len >= HEADER ? data[4] * 256u + data[5] : 0, answers = len >= HEADER ? data[6] * 256u + data[7] : 0;
    for (unsigned i = 0; i < questions; i++) {
        if (dns_name_skip(data, len, &at) < 0)
            return false;
        at += 4;
    }
    for (unsigned i = 0; i < answers; i++) {
        if (at > len || dns_name_skip(data, len, &at) < 0 || at + 10 > len)
            return false;
        unsigned type = data[at] * 256u + data[at + 1], size = data[at + 8] * 256u + data[at + 9];
        at += 10;
        if (at + size > len)
            return false;
        for (size_t k = 0; k < n; k++)
            if (((type == 1 && size == 4 && wanted[k].family == ADDR_V4) || (type == 28 && size == 16 && wanted[k].family == ADDR_V6)) &&
                memcmp(data + at, wanted[k].bytes, size) == 0)
                return true;
        at += size;
    }
    return false;
}
