/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/dns_ask.h"

#include <string.h>

enum {
    HEADER = 12,
    QR = 0x80,
    AA = 0x04,
    TC = 0x02,
    RD = 0x01,
    TYPE_A = 1,
    TYPE_AAAA = 28,
    CLASS_IN = 1
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

size_t dns_ask_make(uint8_t out[DNS_ASK_MAX], uint16_t id, bool recursion, const char *name,
                    uint16_t type)
{
    memset(out, 0, HEADER);
    put16(out, id);
    out[2] = recursion ? RD : 0;
    put16(out + 4, 1);
    size_t at = HEADER;
    if (strcmp(name, ".") == 0)
        name++;
    while (*name) {
        size_t n = strcspn(name, ".");
        /* One octet for this length, one for the root's (RFC 1035 3.1: 255 in all). */
        if (n == 0 || n > 63 || at + 1 + n + 1 > HEADER + 255)
            return 0;
        out[at++] = (uint8_t)n;
        memcpy(out + at, name, n);
        at += n;
        name += n;
        if (*name == '.')
            name++;
    }
    out[at++] = 0;
    put16(out + at, type);
    put16(out + at + 2, CLASS_IN);
    return at + 4;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool same_question(const uint8_t *msg, const uint8_t *question, size_t question_len)
{
    /* Length octets are below 'A', so folding them too does no harm. */
    for (size_t i = HEADER; i < question_len - 4; i++)
        if (lower(msg[i]) != lower(question[i]))
            return false;
    return memcmp(msg + question_len - 4, question + question_len - 4, 4) == 0;
}

/* Steps over a name, compressed or not; 0 = broken. */
static size_t skip_name(const uint8_t *msg, size_t len, size_t at)
{
    while (at < len) {
        uint8_t n = msg[at];
        if (n >= 0xc0)
            return at + 2 <= len ? at + 2 : 0;
        if (n > 63)
            return 0;
        at += 1 + n;
        if (n == 0)
            return at <= len ? at : 0;
    }
    return 0;
}

enum dns_ask_verdict dns_ask_read(const uint8_t *msg, size_t len, const uint8_t *question,
                                  size_t question_len, const struct addr *want,
                                  struct dns_ask_reply *out)
{
    *out = (struct dns_ask_reply){0};
    if (len < HEADER || memcmp(msg, question, 2) != 0 || !(msg[2] & QR) || (msg[2] & 0x78))
        return DNS_ASK_OTHER;
    out->rcode = msg[3] & 15;
    out->truncated = msg[2] & TC;
    out->authoritative = msg[2] & AA;
    out->answers = get16(msg + 6);
    /* A server that could not read the question may leave it out (FORMERR); the id is all there is
     * then. */
    if (get16(msg + 4) == 0 && out->rcode && out->answers == 0)
        return DNS_ASK_OK;
    if (get16(msg + 4) != 1 || len < question_len || !same_question(msg, question, question_len))
        return DNS_ASK_OTHER;
    if (out->truncated)
        return DNS_ASK_OK;
    size_t at = question_len;
    for (unsigned i = 0; i < out->answers; i++) {
        at = skip_name(msg, len, at);
        if (!at || at + 10 > len)
            return DNS_ASK_BROKEN;
        uint16_t type = get16(msg + at), size = get16(msg + at + 8);
        at += 10;
        if (at + size > len)
            return DNS_ASK_BROKEN;
        if (want && ((type == TYPE_A && size == 4 && want->family == ADDR_V4) ||
                     (type == TYPE_AAAA && size == 16 && want->family == ADDR_V6)))
            out->found |= memcmp(msg + at, want->bytes, size) == 0;
        at += size;
    }
    return DNS_ASK_OK;
}
