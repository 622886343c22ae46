/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay without the daemon, for tests of the packet path: commands on standard input, one per line; each is answered
 * with "ok", a line of JSON, or "error: ...".
 *
 *   relay_tool balance IF... [-- IF...]        attach the balancer's program (behind --: also as a node, for its own front end)
 *     settings SELF MSS4 MSS6                  key set 1 is used
 *     node INDEX l2|hops|self|down ADDR SOURCE MAC OWNMAC IF MTU
 *     ring SET NODE[*WEIGHT]...                vip ADDR:PORT tcp|udp|all SET ALL FLAGS FARM
 *     host FARM NAME|* ID SET                   resource HOST path|prefix|suffix TEXT SET FLAGS
 *     forget                                   drops every flow
 *     counters                                 flows
 *   relay_tool node IF...
 *     trust ADDR [KEYBYTE|SECRETFILE]            counters
 *     clamp IF ADDR MTU                          lowers the MSS told from that VIP to what fits, at the interface's egress
 *     clamped ADDR                               how often it did
 *   relay_tool pass IF...                      an XDP program that passes everything (the other end of a veth needs one)
 */
#include <errno.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "relay/clamp.h"
#include "relay/keys.h"
#include "relay/maglev.h"
#include "relay/node.h"
#include "relay/relay.h"

enum { WORDS = 64, RING = 1021 };

static struct relay *relay;
static struct node *node;
static uint8_t key_byte = 1;

static struct siphash_key key_of(uint8_t byte)
{
    return (struct siphash_key){0x0101010101010101ull * byte, 0xfedcba9876543210ull};
}

static int say(int err)
{
    if (err)
        printf("error: %s\n", err_text(err));
    else
        printf("ok\n");
    return err;
}

static int do_settings(char **w, int n)
{
    struct relay_settings s = {.find_rate = 5000, .icmp_rate = 1000};
    if (n < 4)
        return PM_EINVAL;
    s.self = (uint32_t)atoi(w[1]);
    s.mss_v4 = (uint32_t)atoi(w[2]);
    s.mss_v6 = (uint32_t)atoi(w[3]);
    s.cookie = key_of(77);
    for (int i = 0; i < HANDOFF_KEYS; i++)
        s.tag[i] = key_of(key_byte);
    s.epoch = (uint32_t)(time(NULL) / 64);
    return relay_set_settings(relay, &s);
}

static void mac_read(const char *text, uint8_t mac[6])
{
    unsigned b[6] = {0};
    sscanf(text, "%x:%x:%x:%x:%x:%x", b, b + 1, b + 2, b + 3, b + 4, b + 5);
    for (int i = 0; i < 6; i++)
        mac[i] = (uint8_t)b[i];
}

static int do_node(char **w, int n)
{
    struct relay_node v = {0};
    struct addr at, from;
    if (n < 9 || addr_parse(w[3], &at) != 0 || addr_parse(w[4], &from) != 0)
        return PM_EINVAL;
    v.mode = !strcmp(w[2], "l2") ? RELAY_NODE_L2 : !strcmp(w[2], "hops") ? RELAY_NODE_HOPS
                                               : !strcmp(w[2], "self")   ? RELAY_NODE_SELF
                                                                         : RELAY_NODE_DOWN;
    relay_addr(v.addr, &at);
    relay_addr(v.source, &from);
    mac_read(w[5], v.mac);
    mac_read(w[6], v.own_mac);
    v.ifindex = if_nametoindex(w[7]);
    v.mtu = (uint32_t)atoi(w[8]);
    return relay_set_node(relay, (uint32_t)atoi(w[1]), &v);
}

static int do_ring(char **w, int n)
{
    static uint32_t places[RING];
    struct maglev_node in[WORDS];
    char names[WORDS][8];
    for (int i = 2; i < n; i++) {
        char *star = strchr(w[i], '*');
        snprintf(names[i], sizeof names[i], "n%d", atoi(w[i]));
        in[i - 2] = (struct maglev_node){names[i], star ? (uint32_t)atoi(star + 1) : 1, (uint32_t)atoi(w[i])};
    }
    maglev_build(in, (size_t)n - 2, places, RING);
    return relay_set_ring(relay, (uint32_t)atoi(w[1]), places, n > 2 ? RING : 0);
}

static int do_vip(char **w, int n)
{
    struct endpoint at;
    if (n < 7 || endpoint_parse(w[1], 0, &at) != 0)
        return PM_EINVAL;
    struct relay_vip vip = {.set = (uint32_t)atoi(w[3]), .all = (uint32_t)atoi(w[4]), .flags = (uint32_t)atoi(w[5]),
                            .farm = (uint32_t)atoi(w[6])};
    return relay_set_vip(relay, &at, !strcmp(w[2], "tcp") ? IPPROTO_TCP : !strcmp(w[2], "udp") ? IPPROTO_UDP : 0, &vip);
}

static int do_resource(char **w, int n)
{
    if (n < 6)
        return PM_EINVAL;
    enum relay_resource_kind kind = !strcmp(w[2], "path")     ? RELAY_RESOURCE_PATH
                                    : !strcmp(w[2], "prefix") ? RELAY_RESOURCE_PREFIX
                                                              : RELAY_RESOURCE_SUFFIX;
    return relay_set_resource(relay, (uint32_t)atoi(w[1]), kind, w[3], (uint32_t)atoi(w[4]), (uint32_t)atoi(w[5]));
}

static int do_trust(char **w, int n)
{
    struct addr from;
    struct siphash_key keys[HANDOFF_KEYS];
    if (n < 2 || addr_parse(w[1], &from) != 0)
        return PM_EINVAL;
    if (n > 2 && w[2][0] == '/') {
        uint8_t secret[RELAY_SECRET], tag[RELAY_SECRET];
        struct buf why = BUF_INIT;
        int err = relay_secret_load(w[2], secret, &why);
        buf_fini(&why);
        if (err)
            return err;
        relay_tag_secret(secret, tag);
        relay_tag_keys(tag, (uint64_t)time(NULL) * 1000, keys);
        return node_trust(node, &from, keys);
    }
    for (int i = 0; i < HANDOFF_KEYS; i++)
        keys[i] = key_of(n > 2 ? (uint8_t)atoi(w[2]) : key_byte);
    return node_trust(node, &from, keys);
}

static struct clamp *clamp;

static int do_clamp(char **w, int n)
{
    struct addr vip;
    struct buf why = BUF_INIT;
    if (n < 4 || addr_parse(w[2], &vip) != 0)
        return PM_EINVAL;
    int err = clamp ? PM_OK : clamp_open(&clamp, &why);
    if (!err)
        err = clamp_attach(clamp, if_nametoindex(w[1]), &why);
    buf_fini(&why);
    return err ? err : clamp_set(clamp, &vip, clamp_mss((uint32_t)atoi(w[3]), true, vip.family));
}

static void show_clamped(char **w, int n)
{
    struct addr vip;
    uint64_t lowered = 0;
    if (n < 2 || !clamp || addr_parse(w[1], &vip) != 0 || clamp_count(clamp, &vip, &lowered) != 0)
        say(PM_EINVAL);
    else
        printf("%llu\n", (unsigned long long)lowered);
}

static bool show_flow(void *arg, const struct relay_flow_key *k, const struct relay_flow *f)
{
    int *n = arg;
    printf("%s{\"port\":%u,\"node\":%u,\"state\":%u,\"flags\":%u,\"moves\":%u,\"packets\":%u}", (*n)++ ? "," : "",
           ntohs(k->client_port), f->node, f->state, f->flags, f->moves, f->packets);
    return *n < 100000;
}

static bool drop_flow(void *arg, const struct relay_flow_key *k, const struct relay_flow *f)
{
    struct buf *b = arg;
    (void)f;
    buf_add(b, k, sizeof *k);
    return true;
}

static int do_forget(void)
{
    struct buf keys = BUF_INIT;
    relay_flows(relay, drop_flow, &keys);
    for (size_t at = 0; at < keys.len; at += sizeof(struct relay_flow_key))
        (void)!relay_remove_flow(relay, (const void *)(keys.data + at));
    buf_fini(&keys);
    return PM_OK;
}

static void show_counters(void)
{
    struct relay_count c[RELAY_COUNTER_COUNT + NODE_COUNTER_COUNT];
    int shown = 0;
    if (relay)
        relay_counters(relay, c);
    else
        node_counters(node, c);
    printf("{");
    for (int i = 0; i < (relay ? (int)RELAY_COUNTER_COUNT : (int)NODE_COUNTER_COUNT); i++)
        if (c[i].packets)
            printf("%s\"%s\":%llu", shown++ ? "," : "",
                   relay ? relay_counter_name((enum relay_counter)i) : node_counter_name((enum node_counter)i),
                   (unsigned long long)c[i].packets);
    printf("}\n");
}

static void command(char *line)
{
    char *w[WORDS], *save = NULL;
    int n = 0, count = 0;
    for (char *p = strtok_r(line, " \n", &save); p && n < WORDS; p = strtok_r(NULL, " \n", &save))
        w[n++] = p;
    if (!n)
        return;
    if (!strcmp(w[0], "counters")) {
        show_counters();
    } else if (relay && !strcmp(w[0], "flows")) {
        printf("[");
        relay_flows(relay, show_flow, &count);
        printf("]\n");
    } else if (!relay && !strcmp(w[0], "clamped")) {
        show_clamped(w, n);
    } else if (relay) {
        say(!strcmp(w[0], "settings")   ? do_settings(w, n)
            : !strcmp(w[0], "node")     ? do_node(w, n)
            : !strcmp(w[0], "ring")     ? do_ring(w, n)
            : !strcmp(w[0], "vip")      ? do_vip(w, n)
            : !strcmp(w[0], "forget")   ? do_forget()
            : !strcmp(w[0], "resource") ? do_resource(w, n)
            : !strcmp(w[0], "host") && n == 5
                ? relay_set_host(relay, (uint32_t)atoi(w[1]), strcmp(w[2], "*") ? w[2] : NULL,
                                 &(struct relay_host){(uint32_t)atoi(w[3]), (uint32_t)atoi(w[4])})
                : PM_EINVAL);
    } else {
        say(!strcmp(w[0], "trust") ? do_trust(w, n) : !strcmp(w[0], "clamp") ? do_clamp(w, n) : PM_EINVAL);
    }
}

static int pass(char **names, int n)
{
    struct bpf_insn code[] = {{.code = 0xb7, .dst_reg = 0, .imm = XDP_PASS}, {.code = 0x95}};
    int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", code, 2, NULL);
    for (int i = 0; i < n; i++) {
        int err = bpf_xdp_attach((int)if_nametoindex(names[i]), fd, XDP_FLAGS_DRV_MODE, NULL);
        if (err) {
            fprintf(stderr, "%s: %s\n", names[i], strerror(-err));
            return 1;
        }
    }
    return 0;
}

/* Of packets that come and go by the interfaces, so many in a thousand are lost. */
static int lossy(const char *share, char **names, int n)
{
    struct bpf_insn code[] = {
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_prandom_u32},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 1, .imm = 0},
        {.code = BPF_ALU | BPF_MOV | BPF_K, .dst_reg = 1, .imm = (int)(UINT32_MAX / 1000 * (unsigned)atoi(share))},
        {.code = BPF_JMP | BPF_JGT | BPF_X, .dst_reg = 1, .src_reg = 0, .off = 2},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = TC_ACT_OK},
        {.code = BPF_JMP | BPF_EXIT},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = TC_ACT_SHOT},
        {.code = BPF_JMP | BPF_EXIT},
    };
    int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "lossy", "GPL", code, sizeof code / sizeof *code, NULL);
    for (int i = 0; i < 2 * n; i++) {
        LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)if_nametoindex(names[i / 2]),
                    .attach_point = i % 2 ? BPF_TC_EGRESS : BPF_TC_INGRESS);
        LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1, .priority = 1, .flags = BPF_TC_F_REPLACE, .prog_fd = fd);
        int err = bpf_tc_hook_create(&hook);
        err = err && err != -EEXIST ? err : bpf_tc_attach(&hook, &opts);
        if (err) {
            fprintf(stderr, "%s: %s\n", names[i / 2], strerror(-err));
            return 1;
        }
    }
    return 0;
}

static int attach(char **names, int n, bool both, struct buf *why)
{
    bool native, behind = false;
    for (int i = 0; i < n; i++) {
        if (!strcmp(names[i], "--")) {
            behind = true;
            continue;
        }
        unsigned index = if_nametoindex(names[i]);
        if (both && !behind && relay_attach(relay, index, &native, why) != 0)
            return 1;
        if ((!both || behind) && node_attach(node, index, why) != 0)
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct buf why = BUF_INIT;
    char line[1024];
    int err = 0;
    if (argc < 3)
        return 2;
    if (!strcmp(argv[1], "pass"))
        return pass(argv + 2, argc - 2);
    if (!strcmp(argv[1], "lossy"))
        return lossy(argv[2], argv + 3, argc - 3);
    bool balance = !strcmp(argv[1], "balance");
    if (balance)
        err = relay_open(&(struct relay_options){0}, &relay, &why);
    if (!err)
        err = node_open(true, &node, &why);
    if (err || attach(argv + 2, argc - 2, balance, &why) != 0) {
        printf("error: %s\n", buf_str(&why));
        return 1;
    }
    struct relay *r = relay;
    setvbuf(stdout, NULL, _IOLBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    printf("ready\n");
    for (;;) {
        struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
        int ready = poll(&p, 1, 100);
        node_sweep(node, clock_mono_ns(&clock_system));
        if (ready <= 0)
            continue;
        if (!fgets(line, sizeof line, stdin))
            break;
        /* A balancer is a node for its own front end: words of both. */
        relay = balance && strncmp(line, "trust", 5) != 0 && strncmp(line, "node-counters", 13) != 0 ? r : NULL;
        command(!strncmp(line, "node-counters", 13) ? line + 5 : line);
    }
    relay_close(r);
    node_close(node);
    clamp_close(clamp);
    return 0;
}
