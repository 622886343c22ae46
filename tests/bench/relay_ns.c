/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the balancer's packet program costs: ns per packet of bpf_prog_test_run, for flows known and not, IPv4 and IPv6.
 * Usage: relay_ns [REPEAT]; needs CAP_BPF.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "relay/maglev.h"
#include "relay/relay.h"

enum { SIZE = 16381, NODES = 16 };

static uint32_t frame(uint8_t *f, bool v6, bool syn)
{
    static const uint8_t v4_head[] = {0x45, 0, 0, 49, 0, 1, 0x40, 0, 64, IPPROTO_TCP, 0, 0, 198, 51, 100, 7, 192, 0, 2, 1};
    static const uint8_t v6_head[40] = {0x60, 0, 0, 0, 0, 29, IPPROTO_TCP, 64, 0x20, 1, 0xd, 0xb8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9,
                                        0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    uint8_t tcp[29] = {0x10, 0, 0, 80};
    tcp[12] = 5 << 4;
    tcp[13] = syn ? 2 | 4 : 16; /* what a RST begins is not kept: each time anew */
    memset(f, 0, 14);
    f[12] = v6 ? 0x86 : 0x08;
    f[13] = v6 ? 0xdd : 0;
    uint32_t n = 14, h = v6 ? sizeof v6_head : sizeof v4_head;
    memcpy(f + n, v6 ? v6_head : v4_head, h);
    memcpy(f + n + h, tcp, sizeof tcp);
    return n + h + (uint32_t)sizeof tcp;
}

int main(int argc, char **argv)
{
    uint32_t repeat = argc > 1 ? (uint32_t)atoi(argv[1]) : 1000000;
    static const char *const vips[] = {"192.0.2.1:80", "[2001:db8::1]:80"};
    static uint32_t ring[SIZE];
    struct maglev_node nodes[NODES];
    char names[NODES][8];
    struct relay *r;
    struct buf why = BUF_INIT;
    if (relay_open(&(struct relay_options){0}, &r, &why) != 0) {
        fprintf(stderr, "relay_ns: %s\n", buf_str(&why));
        return 77;
    }
    for (uint32_t i = 0; i < NODES; i++) {
        snprintf(names[i], sizeof names[i], "n%u", i);
        nodes[i] = (struct maglev_node){names[i], 1, i};
        if (relay_set_node(r, i, &(struct relay_node){.mode = RELAY_NODE_L2, .ifindex = 1, .mtu = 1500}) != 0)
            return 1;
    }
    maglev_build(nodes, NODES, ring, SIZE);
    int err = relay_set_ring(r, 0, ring, SIZE);
    for (int v6 = 0; v6 < 2; v6++) {
        struct endpoint e;
        uint8_t f[128], out[256];
        if (err || endpoint_parse(vips[v6], 0, &e) != 0 || relay_set_vip(r, &e, IPPROTO_TCP, &(struct relay_vip){0}) != 0)
            return 1;
        for (int syn = 1; syn >= 0; syn--) {
            uint32_t len = frame(f, v6, syn), size = sizeof out, verdict, ns;
            if (relay_try(r, f, len, repeat, out, &size, &verdict, &ns) != 0)
                return 1;
            printf("%s %-22s %4u ns per packet, verdict %u\n", v6 ? "IPv6" : "IPv4", syn ? "of no flow (ring)" : "of a known flow", ns, verdict);
        }
    }
    relay_close(r);
    buf_fini(&why);
    return 0;
}
