/* SPDX-License-Identifier: Apache-2.0 */
/* The packet program's decisions made outside of it (relay/choose.h); test_relay_request compares the two at random. */
#include "delayed.h"
#include "relay/choose.h"
#include "relay/maglev.h"

static uint32_t set_for(const char *vip, const char *head)
{
    struct endpoint from = at("198.51.100.7:4000"), to = at(vip);
    struct relay_flow_key k;
    struct relay_request q;
    relay_flow_key_make(&k, &from, &to, IPPROTO_TCP);
    assert_int_equal(relay_request_read(head, strlen(head), &q), RELAY_READ_WHOLE);
    return relay_set_for(relay, &k, &q);
}

#define GET(host, target) "GET " target " HTTP/1.1\r\nHost: " host "\r\n\r\n"

static void test_set_for(void **state)
{
    static const struct {
        const char *vip, *head;
        uint32_t set;
    } table[] = {
        {"192.0.2.1:80", GET("www.example.com", "/"), SET_V4},
        {"192.0.2.1:80", GET("WWW.example.com:80", "/six?q"), SET_V6},
        {"192.0.2.1:80", GET("www.example.com", "/lan/a/b"), SET_LAN},
        {"192.0.2.1:80", GET("www.example.com", "/lan/deep/b"), SET_V6},
        {"192.0.2.1:80", GET("www.example.com", "/lan/deep/four.html"), SET_V4},
        {"192.0.2.1:80", GET("www.example.com", "/lan/x.php"), SET_LAN},
        {"192.0.2.1:80", GET("www.example.com", "/x.php"), SET_V6},
        {"192.0.2.1:80", GET("www.example.com", "/moved"), RELAY_SETS_MAX},
        {"192.0.2.1:80", GET("lan.example.com", "/six"), SET_LAN},
        {"192.0.2.1:80", GET("unknown.example", "/six"), SET_V6},
        {"[2001:db8::1]:80", GET("www.example.com", "/six"), SET_V6},
        {"192.0.2.2:80", GET("www.example.com", "/six"), SET_LAN}, /* a farm without hosts */
        {"192.0.2.77:80", GET("www.example.com", "/six"), RELAY_SETS_MAX},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(set_for(table[i].vip, table[i].head), table[i].set);
}

/* What changes in the tables changes what is chosen; a resource's hits are counted by the packet program alone. */
static void test_changes(void **state)
{
    static const char head[] = GET("www.example.com", "/new/x.html");
    uint64_t hits;
    assert_int_equal(set_for("192.0.2.1:80", head), SET_V4);
    assert_int_equal(relay_set_resource(relay, 1, RELAY_RESOURCE_SUFFIX, ".html", SET_LAN, 0), 0);
    assert_int_equal(set_for("192.0.2.1:80", head), SET_LAN);
    assert_int_equal(relay_set_resource(relay, 1, RELAY_RESOURCE_PREFIX, "/new/", SET_BOTH, 0), 0);
    assert_int_equal(set_for("192.0.2.1:80", head), SET_BOTH);
    assert_int_equal(relay_set_resource(relay, 1, RELAY_RESOURCE_PATH, "/new/x.html", SET_V6, 0), 0);
    assert_int_equal(set_for("192.0.2.1:80", head), SET_V6);
    assert_int_equal(relay_resource_hits(relay, 1, RELAY_RESOURCE_PATH, "/new/x.html", &hits), 0);
    assert_int_equal(hits, 0);
    struct client c = client_open("192.0.2.1:80");
    struct frame f, out;
    assert_int_equal(say_text(&c, &f, &out, head), XDP_TX);
    assert_int_equal(relay_resource_hits(relay, 1, RELAY_RESOURCE_PATH, "/new/x.html", &hits), 0);
    assert_int_equal(hits, 1);
    assert_int_equal(relay_set_resource(relay, 1, RELAY_RESOURCE_PATH, "/new/x.html", SET_V4, 0), 0);
    assert_int_equal(relay_resource_hits(relay, 1, RELAY_RESOURCE_PATH, "/new/x.html", &hits), 0);
    assert_int_equal(hits, 1); /* kept */
    assert_int_equal(relay_remove_resource(relay, 1, RELAY_RESOURCE_PATH, "/new/x.html"), 0);
    assert_int_equal(relay_remove_resource(relay, 1, RELAY_RESOURCE_PATH, "/new/x.html"), PM_ENOTFOUND);
    assert_int_equal(relay_resource_hits(relay, 1, RELAY_RESOURCE_PATH, "/new/x.html", &hits), PM_ENOTFOUND);
    assert_int_equal(set_for("192.0.2.1:80", head), SET_BOTH);
    assert_int_equal(relay_remove_resource(relay, 1, RELAY_RESOURCE_PREFIX, "/new/"), 0);
    assert_int_equal(relay_remove_resource(relay, 1, RELAY_RESOURCE_SUFFIX, ".html"), 0);
    assert_int_equal(set_for("192.0.2.1:80", head), SET_V4);
    assert_int_equal(relay_set_resource(relay, 1, RELAY_RESOURCE_PATH, "/x", RELAY_SETS_MAX, 0), PM_ERANGE);
    assert_int_equal(relay_remove_host(relay, 1, "lan.example.com"), 0);
    assert_int_equal(set_for("192.0.2.1:80", GET("lan.example.com", "/")), SET_V6); /* now any other */
    assert_int_equal(relay_remove_host(relay, 1, NULL), 0);
    assert_int_equal(set_for("192.0.2.1:80", GET("lan.example.com", "/")), SET_V4); /* now nobody's */
    farm_fill();
}

static void test_pick(void **state)
{
    const uint32_t places[4] = {NODE_V4, NODE_V6, NODE_V4, NODE_LAN};
    set_of(SET_EMPTY, 4, places);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(relay_pick(relay, SET_EMPTY, i), places[i % 4]);
    assert_true(relay_set_has(relay, SET_EMPTY, NODE_LAN));
    assert_false(relay_set_has(relay, SET_EMPTY, SELF));
    set_of(SET_EMPTY, 2, (const uint32_t[]){MAGLEV_NOBODY, MAGLEV_NOBODY});
    assert_int_equal(relay_pick(relay, SET_EMPTY, 7), RELAY_NODES_MAX);
    set_of(SET_EMPTY, 0, NULL);
    assert_int_equal(relay_pick(relay, SET_EMPTY, 7), RELAY_NODES_MAX);
    assert_false(relay_set_has(relay, SET_EMPTY, NODE_V4));
    assert_int_equal(relay_pick(relay, RELAY_SETS_MAX, 0), RELAY_NODES_MAX);
    assert_false(relay_set_has(relay, RELAY_SETS_MAX, 0));
    assert_int_equal(relay_self(relay), SELF);
}

static void test_endpoints(void **state)
{
    static const struct {
        uint32_t node;
        const char *at;
    } table[] = {{NODE_V4, "203.0.113.4:6080"},  {NODE_V6, "[2001:db8:f::6]:6080"},
                 {NODE_LAN, "192.0.2.130:6080"}, {SELF, "127.0.0.1:6080"},
                 {NODE_GONE_DOWN, NULL},         {NODE_NEVER, NULL},
                 {RELAY_NODES_MAX, NULL}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct endpoint e;
        char text[ENDPOINT_TEXT];
        int err = relay_node_endpoint(relay, table[i].node, &e);
        assert_int_equal(err, table[i].at ? 0 : PM_ENOTFOUND);
        if (!err)
            assert_string_equal(endpoint_format(&e, text), table[i].at);
    }
}

/* The tag on what the daemon sends on is the one the packet program would have made. */
static void test_tag(void **state)
{
    for (int v6 = 0; v6 <= 1; v6++) {
        struct client c = client_open(v6 ? "[2001:db8::1]:80" : "192.0.2.1:80");
        struct frame f, out;
        struct handoff kernel, ours;
        assert_int_equal(say_text(&c, &f, &out, GET("www.example.com", "/")), XDP_TX);
        tunnel_read(&f, &out, &nodes[NODE_V4], &kernel);
        ours = (struct handoff){.kind = kernel.kind, .target = kernel.target, .start = kernel.start, .tcp = kernel.tcp};
        struct addr to = relay_addr_of(nodes[NODE_V4].addr), other = relay_addr_of(nodes[NODE_V6].addr);
        relay_tag(relay, &ours, &other, f.data + f.l3, f.len - f.l3);
        assert_true(ours.tag != kernel.tag); /* to somebody else */
        relay_tag(relay, &ours, &to, f.data + f.l3, f.len - f.l3);
        assert_memory_equal(&ours, &kernel, sizeof ours);
        for (uint32_t n = 0; n < 60; n++) { /* cut short: never beyond the end, and another tag */
            uint8_t *cut = malloc(n ? n : 1);
            memcpy(cut, f.data + f.l3, n);
            relay_tag(relay, &ours, &to, cut, n);
            if (n < (v6 ? 56u : 40u))
                assert_true(ours.tag != kernel.tag);
            free(cut);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_set_for, need_relay), cmocka_unit_test_setup(test_changes, need_relay),
        cmocka_unit_test_setup(test_pick, need_relay),    cmocka_unit_test_setup(test_endpoints, need_relay),
        cmocka_unit_test_setup(test_tag, need_relay),
    };
    return cmocka_run_group_tests_name("relay_choose", tests, farm_begin, farm_end);
}
