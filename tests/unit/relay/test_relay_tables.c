/* SPDX-License-Identifier: Apache-2.0 */
/* What is read back of the relay's tables: choices with what made them, members, flows. Skipped where the kernel refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "relay/choose.h"

enum { FLOWS = 30000, ANY = 1, IMAGES = 2, SCRIPTS = 3, PAGE = 4, FARM = 80, WWW = 7, MANY = 5 };

static struct relay *relay;

static struct relay_flow_key flow_key(const char *vip, uint16_t port)
{
    struct relay_flow_key k;
    struct endpoint client, to;
    assert_int_equal(endpoint_parse("198.51.100.7:1", 0, &client), 0);
    assert_int_equal(endpoint_parse(vip, 0, &to), 0);
    client.port = port;
    relay_flow_key_make(&k, &client, &to, IPPROTO_TCP);
    return k;
}

static struct relay_choice choice(const char *vip, const char *request)
{
    struct relay_flow_key k = flow_key(vip, 1);
    struct relay_request q;
    struct relay_choice c;
    assert_int_equal(relay_request_read(request, strlen(request), &q), RELAY_READ_WHOLE);
    relay_choose(relay, &k, &q, &c);
    assert_int_equal(c.set, relay_set_for(relay, &k, &q));
    return c;
}

static void put_service(void)
{
    struct endpoint at;
    struct relay_vip vip = {.set = ANY, .all = 0, .flags = RELAY_VIP_DELAYED, .farm = FARM};
    assert_int_equal(endpoint_parse("192.0.2.1:80", 0, &at), 0);
    assert_int_equal(relay_set_vip(relay, &at, IPPROTO_TCP, &vip), 0);
    assert_int_equal(relay_set_host(relay, FARM, "www.example.com", &(struct relay_host){WWW, ANY}), 0);
    assert_int_equal(relay_set_host(relay, FARM, NULL, &(struct relay_host){WWW + 1, PAGE}), 0);
    assert_int_equal(relay_set_resource(relay, WWW, RELAY_RESOURCE_PREFIX, "/img/", IMAGES, 0), 0);
    assert_int_equal(relay_set_resource(relay, WWW, RELAY_RESOURCE_PREFIX, "/img/old/", IMAGES, RELAY_RESOURCE_FRONT),
                     0);
    assert_int_equal(relay_set_resource(relay, WWW, RELAY_RESOURCE_SUFFIX, ".php", SCRIPTS, 0), 0);
    assert_int_equal(relay_set_resource(relay, WWW, RELAY_RESOURCE_PATH, "/img/a.php", PAGE, 0), 0);
}

static void test_choice(void **state)
{
    static const struct {
        const char *request;
        bool named, found, front;
        enum relay_resource_kind kind;
        const char *text;
        uint32_t set;
    } cases[] = {
        {"GET /x HTTP/1.1\r\nHost: www.example.com\r\n\r\n", true, false, false, 0, NULL, ANY},
        {"GET /img/a.png HTTP/1.1\r\nHost: WWW.example.com:80\r\n\r\n", true, true, false, RELAY_RESOURCE_PREFIX,
         "/img/", IMAGES},
        {"GET /img/old/a.php HTTP/1.1\r\nHost: www.example.com\r\n\r\n", true, true, true, RELAY_RESOURCE_PREFIX,
         "/img/old/", RELAY_SETS_MAX},
        {"GET /img/a.php?q=1 HTTP/1.1\r\nHost: www.example.com\r\n\r\n", true, true, false, RELAY_RESOURCE_PATH,
         "/img/a.php", PAGE},
        {"GET /b.php HTTP/1.1\r\nHost: www.example.com\r\n\r\n", true, true, false, RELAY_RESOURCE_SUFFIX, ".php",
         SCRIPTS},
        {"GET /b.php HTTP/1.1\r\nHost: other.example.com\r\n\r\n", false, false, false, 0, NULL, PAGE},
    };
    put_service();
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        struct relay_choice c = choice("192.0.2.1:80", cases[i].request);
        assert_true(c.relayed);
        assert_int_equal(c.named, cases[i].named);
        assert_int_equal(c.host, cases[i].named ? WWW : WWW + 1);
        assert_int_equal(c.resource, cases[i].found);
        assert_int_equal(c.front, cases[i].front);
        assert_int_equal(c.set, cases[i].set);
        if (cases[i].found) {
            assert_int_equal(c.kind, cases[i].kind);
            assert_true(c.text == relay_text_hash(cases[i].text, false));
        }
    }
    struct relay_choice none = choice("192.0.2.2:80", cases[0].request);
    assert_false(none.relayed);
    assert_int_equal(none.set, RELAY_SETS_MAX);
}

/* The packet program's list of members ends at RELAY_MEMBERS_MAX; what is said outside of it must end there, too. */
static void test_members(void **state)
{
    uint32_t places[RELAY_MEMBERS_MAX * 2];
    const uint32_t *ring;
    for (uint32_t i = 0; i < PM_ARRAY_LEN(places); i++)
        places[i] = 100 + i;
    assert_int_equal(relay_set_ring(relay, MANY, places, PM_ARRAY_LEN(places)), 0);
    assert_true(relay_set_has(relay, MANY, 100 + RELAY_MEMBERS_MAX - 1));
    assert_false(relay_set_has(relay, MANY, 100 + RELAY_MEMBERS_MAX));
    assert_int_equal(relay_places(relay, MANY, &ring), PM_ARRAY_LEN(places));
    assert_int_equal(ring[RELAY_MEMBERS_MAX], 100 + RELAY_MEMBERS_MAX);
    assert_int_equal(relay_set_ring(relay, MANY, NULL, 0), 0);
    assert_false(relay_set_has(relay, MANY, 100));
    assert_int_equal(relay_places(relay, MANY, &ring), 0);
    assert_int_equal(relay_places(relay, RELAY_SETS_MAX, &ring), 0);
}

struct seen {
    uint8_t times[FLOWS + 1];
    uint32_t count, most;
};

static bool see(void *arg, const struct relay_flow_key *k, const struct relay_flow *f)
{
    struct seen *s = arg;
    assert_int_equal(ntohs(k->client_port), f->packets);
    s->times[f->packets]++;
    return ++s->count < s->most;
}

static void test_flows(void **state)
{
    struct seen *all = calloc(1, sizeof *all), *some = calloc(1, sizeof *some);
    assert_non_null(all);
    assert_non_null(some);
    for (uint32_t i = 1; i <= FLOWS; i++) {
        struct relay_flow_key k = flow_key("192.0.2.1:80", (uint16_t)i);
        assert_int_equal(relay_set_flow(relay, &k, &(struct relay_flow){.packets = i}), 0);
    }
    all->most = UINT32_MAX;
    relay_flows(relay, see, all);
    assert_int_equal(all->count, FLOWS);
    for (uint32_t i = 1; i <= FLOWS; i++)
        assert_int_equal(all->times[i], 1);
    some->most = 5000; /* in the middle of a batch */
    relay_flows(relay, see, some);
    assert_int_equal(some->count, 5000);
    free(all);
    free(some);
}

static int set_up(void **state)
{
    struct buf why = BUF_INIT;
    if (relay_open(&(struct relay_options){0}, &relay, &why) != 0)
        print_message("skipped: %s\n", buf_str(&why));
    buf_fini(&why);
    return 0;
}

static int tear_down(void **state)
{
    relay_close(relay);
    return 0;
}

static int need(void **state)
{
    if (!relay)
        skip();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_choice, need),
        cmocka_unit_test_setup(test_members, need),
        cmocka_unit_test_setup(test_flows, need),
    };
    return cmocka_run_group_tests_name("relay_tables", tests, set_up, tear_down);
}
