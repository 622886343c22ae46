/* SPDX-License-Identifier: Apache-2.0 */
/* The MSS in a node's SYN and SYN/ACK, through the program. Skipped where the kernel or our privileges do not allow it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "packet_make.h"
#include "relay/clamp.h"

static struct clamp *clamp;
static struct made out;

static uint16_t sum(const uint8_t *p, size_t n, uint32_t s)
{
    for (size_t i = 0; i < n; i++)
        s += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)s;
}

/* Of the TCP segment with its pseudo header: 0xffff when its checksum is right. */
static uint16_t tcp_sum(const struct made *f)
{
    bool v4 = f->data[f->l3] >> 4 == 4;
    uint32_t n = f->len - f->l4;
    return sum(f->data + f->l4, n, sum(f->data + f->l3 + (v4 ? 12 : 8), v4 ? 8 : 32, n + IPPROTO_TCP));
}

static void segment(struct made *f, const char *from, uint8_t flags, const void *options, size_t n)
{
    bool v4 = from[0] != '[';
    uint8_t head[20] = {0, 80, 0x10, 0, 1, 2, 3, 4, 5, 6, 7, 8, (uint8_t)((5 + n / 4) << 4), flags, 0xff, 0xff};
    make_ip(f, from, v4 ? "198.51.100.7:4096" : "[2001:db8:c::7]:4096", IPPROTO_TCP, 0);
    add(f, head, 20);
    add(f, options, n);
    make_done(f);
    uint16_t check = (uint16_t)~tcp_sum(f);
    f->data[f->l4 + 16] = (uint8_t)(check >> 8);
    f->data[f->l4 + 17] = (uint8_t)check;
    assert_int_equal(tcp_sum(f), 0xffff);
}

static void lowered(const struct made *f, size_t mss_at, unsigned mss)
{
    out = *f;
    assert_int_equal(clamp_try(clamp, f->data, f->len, out.data), 0);
    assert_int_equal(tcp_sum(&out), 0xffff);
    const uint8_t *o = out.data + out.l4 + 20 + mss_at;
    assert_int_equal(o[0] << 8 | o[1], mss);
    for (uint32_t i = 0; i < f->len; i++) /* nothing else is touched */
        if (i - f->l4 - 16 > 1 && i - f->l4 - 20 - mss_at > 1)
            assert_int_equal(out.data[i], f->data[i]);
}

static void same(const struct made *f)
{
    out = *f;
    assert_int_equal(clamp_try(clamp, f->data, f->len, out.data), 0);
    assert_memory_equal(out.data, f->data, f->len);
}

#define MSS_1460 "\x02\x04\x05\xb4"

static void test_lowered(void **state)
{
    static const char *const from[] = {"192.0.2.80:80", "[2001:db8:1::80]:80"};
    uint64_t n = 0;
    struct addr vip = place(from[0]).addr;
    for (int v = 0; v < 2; v++) {
        struct made f;
        unsigned limit = v ? 1364 : 1404;
        segment(&f, from[v], TH_S | TH_A, MSS_1460 "\x01\x01\x04\x02", 8);
        lowered(&f, 2, limit);
        segment(&f, from[v], TH_S, "\x01" MSS_1460 "\x01\x04\x02", 8); /* at an odd place */
        lowered(&f, 3, limit);
        segment(&f, from[v], TH_S | TH_A, "\x04\x02\x08\x0a\1\2\3\4\5\6\7\x08\x01\x03\x03\x07" MSS_1460, 20);
        lowered(&f, 18, limit);
        segment(&f, from[v], TH_S | TH_A, "\x02\x04\x05\x00", 4); /* small enough */
        same(&f);
        segment(&f, from[v], TH_A, MSS_1460, 4); /* no beginning */
        same(&f);
        segment(&f, from[v], TH_S | TH_A, "", 0); /* nothing said: 536 or 1220 */
        same(&f);
        segment(&f, from[v], TH_S | TH_A, "\x02\x03\x05\xb4", 4); /* malformed */
        same(&f);
        segment(&f, from[v], TH_S | TH_A, "\x01\x01\x02\x08", 4); /* reaches beyond the header */
        same(&f);
    }
    struct made f;
    segment(&f, "192.0.2.81:80", TH_S | TH_A, MSS_1460, 4); /* not a VIP */
    same(&f);
    make_udp(&f, "192.0.2.80:80", "198.51.100.7:4096", MSS_1460, 4);
    same(&f);
    segment(&f, "192.0.2.80:80", TH_S, MSS_1460, 4);
    f.len -= 4; /* cut */
    same(&f);
    assert_int_equal(clamp_count(clamp, &vip, &n), 0);
    assert_int_equal(n, 3);
    assert_int_equal(clamp_set(clamp, &vip, 1000), 0);
    segment(&f, "192.0.2.80:80", TH_S, MSS_1460, 4);
    lowered(&f, 2, 1000);
    assert_int_equal(clamp_count(clamp, &vip, &n), 0);
    assert_int_equal(n, 4);
    assert_int_equal(clamp_set(clamp, &vip, 0), 0);
    same(&f);
    assert_int_not_equal(clamp_count(clamp, &vip, &n), 0);
}

static void test_sizes(void **state)
{
    assert_int_equal(clamp_mss(1500, false, ADDR_V4), 1404);
    assert_int_equal(clamp_mss(1500, false, ADDR_V6), 1384);
    assert_int_equal(clamp_mss(1500, true, ADDR_V4), 1384);
    assert_int_equal(clamp_mss(1500, true, ADDR_V6), 1364);
    assert_int_equal(clamp_mss(50, true, ADDR_V6), 0);
}

static int set_up(void **state)
{
    struct buf why = BUF_INIT;
    if (clamp_open(&clamp, &why) != 0) {
        fprintf(stderr, "# %s\n", buf_str(&why));
        buf_fini(&why);
        clamp = NULL;
        return 0;
    }
    struct addr v4 = place("192.0.2.80:80").addr, v6 = place("[2001:db8:1::80]:80").addr;
    assert_int_equal(clamp_set(clamp, &v4, 1404), 0);
    assert_int_equal(clamp_set(clamp, &v6, 1364), 0);
    return 0;
}

static int tear_down(void **state)
{
    clamp_close(clamp);
    return 0;
}

static int need(void **state)
{
    if (!clamp)
        skip();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_lowered, need), cmocka_unit_test(test_sizes)};
    return cmocka_run_group_tests_name("relay_clamp", tests, set_up, tear_down);
}
