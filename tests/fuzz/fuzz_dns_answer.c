/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a query against zones with every kind of node. The first byte chooses the surroundings (TCP, subnet, what the
 * service hook says); the rest is the packet. What comes out must be a well-formed response to what went in.
 */
#include <stdlib.h>
#include "dns/answer.h"
#include "dns/zone_data.h"

#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

static uint8_t mode;
static const uint8_t bytes[16] = {1, 2, 3, 4};

static void service(void *ctx, const struct dns_service_query *q, struct dns_service_answer *a)
{
    (void)ctx;
    MUST(q->qtype == DNS_TYPE_A || q->qtype == DNS_TYPE_AAAA);
    MUST(q->client.family == ADDR_V4 || q->client.family == ADDR_V6);
    MUST(q->client_len <= addr_bits(&q->client));
    a->status = (mode >> 2) % 3;
    a->scope = mode;
    a->count = mode & 0x80 ? DNS_SERVICE_ADDRS_MAX : 3;
    for (int i = 0; i < a->count; i++)
        a->rdata[i] = bytes;
}

static void add(struct dns_zones_builder *b, const uint8_t *origin, const char *owner, unsigned type, const char *rdata,
                size_t len)
{
    uint8_t name[DNS_NAME_MAX];
    MUST(dns_name_parse(owner, origin, name) > 0);
    MUST(dns_zone_add_rr(b, name, (uint16_t)type, 60, (const uint8_t *)rdata, len) == 0);
}
#define ADD(owner, type, rdata) add(b, origin, owner, DNS_TYPE_##type, rdata, sizeof(rdata) - 1)

static struct dns_zones *make(void)
{
    struct dns_zones_builder *b = dns_zones_builder_new(NULL, NULL);
    struct dns_zones *z = NULL;
    static const uint8_t origin[] = "\1z", ns[] = "\2ns\1z", other[] = "\1o\1z";
    const uint8_t *servers[1] = {ns};
    struct dns_apex apex = {ns, ns, 1, 2, 3, 4, 5, 60, servers, 1};
    MUST(dns_zone_begin(b, origin) == 0 && dns_zone_generate_apex(b, &apex) == 0);
    ADD("ns", A, "\1\2\3\4");
    ADD("w", A, "\1\2\3\4");
    ADD("*.x", TXT, "\1t");
    ADD("*.c", CNAME, "\1s\1z\0");
    ADD("l", CNAME, "\1l\1z\0");
    ADD("k", CNAME, "\1a\1x\1z\0");
    ADD("d", DNAME, "\1c\1z\0");
    ADD("e", DNAME, "\1f\1z\0");
    ADD("f", DNAME, "\1e\1z\0");
    ADD("g", DNAME, "\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1g\1z\0");
    ADD("q", NS, "\2ns\1q\1z\0");
    ADD("q", NS, "\2ns\1z\0");
    ADD("ns.q", A, "\1\2\3\4");
    ADD("m.n", MX, "\0\1\2ns\1z\0");
    ADD("v", SRV, "\0\1\0\1\0\1\1w\1z\0");
    MUST(dns_zone_begin(b, other) == 0 && dns_zone_generate_apex(b, &apex) == 0);
    MUST(dns_zone_add_service(b, (const uint8_t *)"\1s\1z", 0) == 0);
    MUST(dns_zone_add_service(b, (const uint8_t *)"\1*\1s\1o\1z", 1) == 0);
    MUST(dns_zones_build(b, &z) == 0);
    dns_zones_builder_free(b);
    return z;
}

static void check(const uint8_t *in, size_t in_len, const uint8_t *out, size_t len, bool tcp)
{
    uint8_t name[DNS_NAME_MAX];
    size_t at = DNS_HEADER_SIZE;
    MUST(in_len >= DNS_HEADER_SIZE && len >= DNS_HEADER_SIZE && len <= (tcp ? 65535 : 1232));
    MUST(memcmp(in, out, 2) == 0 && out[2] & 0x80 && !(in[2] & 0x80));
    MUST((in[2] & 0x79) == (out[2] & 0x79)); /* opcode, RD */
    if (dns_get16(out + 4)) {
        MUST(dns_name_unpack(out, len, &at, name) > 0);
        at += 4;
        MUST(at <= len && memcmp(in + 12, out + 12, at - 12) == 0);
    }
    unsigned all = dns_get16(out + 6) + dns_get16(out + 8) + dns_get16(out + 10);
    for (; all; all--) {
        unsigned before, names;
        MUST(dns_name_unpack(out, len, &at, name) > 0 && at + 10 <= len);
        unsigned type = dns_get16(out + at);
        size_t end = at + 10 + dns_get16(out + at + 8);
        MUST(end <= len);
        if (dns_rdata_names(type, &before, &names)) {
            at += 10 + before;
            for (; names; names--)
                MUST(dns_name_unpack(out, len, &at, name) > 0);
            MUST(at + (type == DNS_TYPE_SOA ? 20 : 0) == end);
        }
        at = end;
    }
    MUST(at == len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_zones *z;
    static uint8_t out[65535];
    struct dns_answer_info info;
    if (!z)
        z = make();
    if (!size)
        return 0;
    mode = data[0];
    struct dns_answer_env env = {.tcp = mode & 1,
                                 .ecs = !(mode & 2),
                                 .udp_max = 1232,
                                 .keepalive = 300,
                                 .version = "v",
                                 .nsid_len = 4,
                                 .nsid = bytes,
                                 .service = service,
                                 .client = {.family = mode & 0x40 ? ADDR_V6 : ADDR_V4}};
    /* Its own allocation, so that reading past the packet is seen. */
    uint8_t *packet = malloc(size - 1 ? size - 1 : 1);
    memcpy(packet, data + 1, size - 1);
    size_t len = dns_answer(z, packet, size - 1, &env, out, sizeof out, &info);
    if (len)
        check(packet, size - 1, out, len, env.tcp);
    free(packet);
    return 0;
}
