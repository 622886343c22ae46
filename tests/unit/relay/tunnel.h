/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hand-off packets in tests: reads what the balancer sends, byte by byte, and makes what it or a node would send. Keys
 * are test_key(n), the one to send with is number SEND_KEY.
 */
#ifndef PM_TESTS_RELAY_TUNNEL_H
#define PM_TESTS_RELAY_TUNNEL_H

#include "frames.h"

enum { SEND_KEY = 2, OVER_V4 = HANDOFF_OVER_V4, OVER_V6 = HANDOFF_OVER_V6 };

static inline struct siphash_key test_key(uint32_t n)
{
    return (struct siphash_key){0x1111111111111111ull * (n + 1), 0xfeedfacecafebeefull - n};
}

static inline uint64_t tag_of(const struct handoff *h, const uint8_t to[16], const uint8_t *inner, uint32_t length)
{
    struct siphash_key key = test_key(h->key % HANDOFF_KEYS);
    __u64 words[HANDOFF_INNER_V6 / 8] = {0};
    uint32_t covered = handoff_covered(inner[0] >> 4 == 4, length);
    memcpy(words, inner, covered < length ? covered : length);
    return handoff_tag(&key, h, to, words);
}

/*
 * `out` is `in` in a tunnel to that node: every byte of the outer headers is looked at, the inner packet must be
 * untouched. What the hand-off header says is left in *h, for the caller to judge.
 */
static inline void tunnel_read(const struct frame *in, const struct frame *out, const struct relay_node *n,
                               struct handoff *h)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool v4 = memcmp(n->addr, mapped, 12) == 0, self = n->mode == RELAY_NODE_SELF;
    uint32_t over = v4 ? OVER_V4 : OVER_V6, inner = in->len - in->l3, l3 = in->l3, udp = l3 + (v4 ? 20 : 40);
    uint8_t ip[40] = {0};
    assert_int_equal(out->len, in->len + over);
    assert_memory_equal(out->data, self ? in->data : n->mac, 6);
    assert_memory_equal(out->data + 6, self ? in->data + 6 : n->own_mac, 6);
    assert_memory_equal(out->data + 12, in->data + 12, l3 - 14); /* VLAN tags */
    assert_int_equal(load16(out, l3 - 2), v4 ? 0x0800 : 0x86dd);
    if (v4) {
        const uint8_t fixed[12] = {
            0x45, 0, (uint8_t)((inner + over) >> 8), (uint8_t)(inner + over), 0, 0, 0x40, 0, 64, IPPROTO_UDP};
        memcpy(ip, fixed, 12);
        memcpy(ip + 12, n->source + 12, 4);
        memcpy(ip + 16, n->addr + 12, 4);
        uint16_t sum = fold16(sum16(ip, 20, 0));
        ip[10] = (uint8_t)(sum >> 8);
        ip[11] = (uint8_t)sum;
        assert_memory_equal(out->data + l3, ip, 20);
    } else {
        const uint8_t fixed[8] = {
            0x60, 0, 0, 0, (uint8_t)((inner + over - 40) >> 8), (uint8_t)(inner + over - 40), IPPROTO_UDP, 64};
        memcpy(ip, fixed, 8);
        memcpy(ip + 8, n->source, 16);
        memcpy(ip + 24, n->addr, 16);
        assert_memory_equal(out->data + l3, ip, 40);
    }
    assert_true(load16(out, udp) >= 0xc000);
    assert_int_equal(load16(out, udp + 2), 6080);
    assert_int_equal(load16(out, udp + 4), inner + 36);
    assert_int_equal(load16(out, udp + 6), 0);
    const uint8_t gue[4] = {6, in->data[l3] >> 4 == 4 ? IPPROTO_IPIP : IPPROTO_IPV6, 0, 0};
    assert_memory_equal(out->data + udp + 8, gue, 4);
    memcpy(h, out->data + udp + 12, sizeof *h);
    assert_int_equal(h->version, 1);
    assert_int_equal(h->key % HANDOFF_KEYS, SEND_KEY);
    assert_int_equal(h->tries, 0);
    assert_memory_equal(out->data + l3 + over, in->data + l3, inner);
    assert_true(h->tag == tag_of(h, n->addr, in->data + l3, inner));
}

/* `in` inside a hand-off packet between these outer addresses, with a true tag; *h is completed. */
static inline void tunnel_build(struct frame *f, const struct frame *in, const char *from, const char *to,
                                struct handoff *h)
{
    struct endpoint a = at(from), b = at(to);
    bool v4 = in->data[in->l3] >> 4 == 4;
    uint32_t inner = in->len - in->l3;
    link_head(f, a.addr.family == ADDR_V4 ? 0x0800 : 0x86dd, in->l3 == 22 ? 2 : in->l3 == 18);
    ip_head(f, &a.addr, &b.addr, IPPROTO_UDP);
    put16(f, 50000);
    put16(f, RELAY_PORT);
    put16(f, (uint16_t)(inner + HANDOFF_HEADS));
    put16(f, 0);
    put(f, (const uint8_t[]){GUE_WORDS, v4 ? IPPROTO_IPIP : IPPROTO_IPV6, 0, 0}, 4);
    h->version = HANDOFF_VERSION;
    uint8_t mapped[16];
    relay_addr(mapped, &b.addr);
    h->tag = tag_of(h, mapped, in->data + in->l3, inner);
    put(f, h, sizeof *h);
    put(f, in->data + in->l3, inner);
    set_lengths(f);
    if (a.addr.family == ADDR_V4)
        store16(f, f->l3 + 10, fold16(sum16(f->data + f->l3, 20, 0)));
}

#endif
