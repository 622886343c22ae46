/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What servers send to checks: a DNS reply, lines of NNTP, ICMP packets; and the escapes of a
 * configuration. The first byte chooses the parser. Besides not crashing: lines keep to their
 * limits, nothing that is read is longer than what was given, and a reply with another id is never
 * taken.
 */
#include <stdlib.h>
#include <string.h>
#include "monitor/dns_ask.h"
#include "monitor/icmp_wire.h"
#include "monitor/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void fuzz_dns(const uint8_t *data, size_t size)
{
    uint8_t question[DNS_ASK_MAX];
    size_t n = dns_ask_make(question, 0x1234, true, "www.example", 1);
    must(n == 12 + 13 + 4);
    struct addr want = {.family = ADDR_V4, .bytes = {192, 0, 2, 1}};
    struct dns_ask_reply r;
    enum dns_ask_verdict v = dns_ask_read(data, size, question, n, &want, &r);
    must(v == DNS_ASK_OTHER || (data[0] == 0x12 && data[1] == 0x34));
    must(!r.found || v != DNS_ASK_OTHER);
    char name[300];
    size_t len = size < sizeof name - 1 ? size : sizeof name - 1;
    memcpy(name, data, len);
    name[len] = '\0';
    must(dns_ask_make(question, 1, false, name, 1) <= sizeof question);
}

static void fuzz_lines(const uint8_t *data, size_t size)
{
    struct buf b = BUF_INIT;
    char line[512];
    buf_add(&b, data, size);
    while (monitor_text_line(&b, 512, line, sizeof line) == 1) {
        must(strlen(line) < sizeof line && !strchr(line, '\n'));
        int code = monitor_text_reply_code(line);
        must(code >= -1 && code <= 999);
    }
    buf_fini(&b);
}

static void fuzz_escapes(const uint8_t *data, size_t size)
{
    char *s = malloc(size + 1);
    struct buf b = BUF_INIT;
    memcpy(s, data, size);
    s[size] = '\0';
    if (monitor_text_unescape(s, &b))
        must(b.len <= size);
    buf_fini(&b);
    free(s);
}

static void fuzz_icmp(const uint8_t *data, size_t size, unsigned family, bool ip_header)
{
    struct icmp_seen seen;
    icmp_read(data, size, family, ip_header, &seen);
    if (seen.kind == ICMP_REPLY)
        must(seen.payload + seen.payload_len == data + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    /* A copy of exactly the size, so that reading beyond it is seen. */
    uint8_t *copy = malloc(size - 1);
    memcpy(copy, data + 1, size - 1);
    switch (data[0] % 6) {
    case 0:
        fuzz_dns(copy, size - 1);
        break;
    case 1:
        fuzz_lines(copy, size - 1);
        break;
    case 2:
        fuzz_escapes(copy, size - 1);
        break;
    default:
        fuzz_icmp(copy, size - 1, data[0] % 6 == 5 ? ADDR_V6 : ADDR_V4, data[0] % 6 == 4);
    }
    free(copy);
    return 0;
}
