/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "fake_registries.h"

#define BASE                                                                                       \
    "zones: {example.com: {ns: [ns1.example.com]}}\n"                                              \
    "sites:\n  paris: {location: [48.9, 2.3], country: fr, weight: 3}\n  tokyo: {cost: 2.5}\n"

static struct config *load_ok(const char *text)
{
    struct conf_diag *d = conf_diag_new();
    struct config *c = NULL;
    int err = config_load_text("t.yaml", text, strlen(text), &fake_reg, &c, d);
    struct buf b = BUF_INIT;
    conf_diag_print(d, &b);
    if (err)
        print_error("%s", buf_str(&b));
    assert_int_equal(err, 0);
    assert_int_equal(b.len, 0);
    buf_fini(&b);
    conf_diag_free(d);
    return c;
}

static void test_small(void **state)
{
    struct config *c = load_ok(BASE "checks:\n  web: {http: /health, interval: 5s}\n"
                                    "policies: {mine: [up, {near: {within: 0.5}}, pick]}\n"
                                    "services:\n"
                                    "  WWW.Example.COM.:\n"
                                    "    check: web\n    policy: mine\n    aliases: [w.example.com]\n"
                                    "    sites: {tokyo: 192.0.2.1, paris: [192.0.2.2, '2001:db8::2']}\n"
                                    "  b.example.com:\n    ttl: 30s\n    addresses: all\n    fallback: 192.0.2.9\n"
                                    "    policy: [up, pick]\n"
                                    "    check: [tcp, {http: /x}]\n"
                                    "    sites:\n      paris:\n        cost: 7\n        vips:\n"
                                    "          - {address: 192.0.2.3, weight: 2, check: web}\n"
                                    "  c.example.com: {policy: [up,   pick], check: [tcp, http: /x],"
                                    " sites: {tokyo: 192.0.2.4}}\n");
    const struct cfg_service *w = config_service(c, "www.example.com"), *b = config_service(c, "b.example.com");
    assert_non_null(w);
    assert_ptr_equal(config_service(c, "w.example.com"), w);
    assert_string_equal(w->zone->name, "example.com");
    assert_string_equal(w->policy->name, "mine");
    assert_int_equal(w->policy->stages.count, 3);
    const struct conf_choice *stage = w->policy->stages.items;
    assert_ptr_equal(stage[1].kind, &fake_near);
    assert_true(((const struct fake_near *)stage[1].value)->within == 0.5);
    assert_int_equal(w->checks->count, 1);
    assert_int_equal(w->checks->items[0]->interval_ms, 5000);
    assert_int_equal(w->checks->items[0]->timeout_ms, 3000);
    assert_string_equal(((const struct fake_http *)w->checks->items[0]->module.value)->path, "/health");
    assert_int_equal(w->ttl_s, CFG_TTL_AUTO);
    assert_int_equal(w->max_ttl_s, 60);
    assert_int_equal(w->addresses, 1);
    const struct cfg_service_site *s = w->sites.items;
    assert_string_equal(s[0].name, "tokyo");
    assert_int_equal(s[0].priority, 1);
    assert_true(s[0].cost == 2.5);
    assert_string_equal(s[1].site->country, "FR");
    assert_true(s[1].weight == 3);
    assert_int_equal(s[1].vips.count, 2);
    assert_int_equal(s[1].mark.line, 13);
    assert_int_equal(s[1].mark.column, 31);

    assert_int_equal(b->ttl_s, 30);
    assert_int_equal(b->addresses, CFG_ADDRESSES_ALL);
    assert_int_equal(b->all_down, CFG_ALL_DOWN_FALLBACK);
    s = b->sites.items;
    assert_true(s->cost == 7);
    const struct cfg_vip *v = s->vips.items;
    assert_ptr_equal(v->checks->items[0], w->checks->items[0]);
    assert_true(v->weight == 2);
    /* what is equal as text is one object */
    const struct cfg_service *d = config_service(c, "c.example.com");
    assert_ptr_equal(d->policy, b->policy);
    assert_ptr_equal(d->checks, b->checks);
    assert_int_equal(c->dns.udp_size, 1232);
    const struct endpoint *e = c->dns.listen.items;
    assert_int_equal(c->dns.listen.count, 2);
    assert_int_equal(e[1].port, 53);
    assert_int_equal(c->api.socket_mode, 0660);
    assert_string_equal(((const struct cfg_zone *)c->zones.items)->mbox, "hostmaster.example.com");
    config_free(c);
}

static void test_presets_and_defaults(void **state)
{
    struct config *c = load_ok(BASE "node: {state: '', name: n1}\nmonitor: {save-interval: 0}\napi: {metrics: off}\n"
                                    "defaults: {check: tcp, ttl: 10, policy: any}\n"
                                    "services:\n  a.example.com: {sites: {paris: 192.0.2.1}}\n"
                                    "  '*.x.example.com': {policy: closest, check: [], sites: {paris: 192.0.2.1}}\n");
    const struct cfg_service *a = c->services.items;
    assert_string_equal(a[0].policy->name, "any");
    assert_int_equal(a[0].policy->source, CFG_PRESET);
    assert_int_equal(a[0].ttl_s, 10);
    assert_string_equal(a[0].checks->items[0]->name, "tcp");
    assert_int_equal(a[1].checks->count, 0);
    assert_int_equal(a[1].policy->stages.count, 3);
    assert_null(c->node.state);
    assert_int_equal(c->api.metrics.addr.family, 0);
    config_free(c);
}

static char *printed(const struct config *c)
{
    struct buf b = BUF_INIT;
    config_print(c, &b);
    return b.data;
}

static void test_round_trip(void **state)
{
    struct config *c = load_ok(
        BASE "geo:\n  sources: [mmdb: /a.mmdb, csv: {path: b.csv, columns: [prefix, '-', country]}]\n"
             "  overrides: [{prefix: 10.0.0.0/8, country: de, location: [1, -2.25]}]\n"
             "checks:\n  web: {http: {path: \"/a: b # \\\"q\\\" \\u00e9\", password: geheim}, interval: 5s}\n"
             "policies: {mine: [up, {near: 0.3333333333333333}]}\n"
             "services:\n  a.example.com: {policy: mine, check: [web, tcp], sites: {paris: 192.0.2.1}}\n"
             "  b.example.com: {policy: [up, near: 1], check: {tcp: {}, port: 25}, all-down: servfail,"
             " sites: {paris: {vips: [{address: '2001:db8::1', max-connections: 10}], disabled: yes}}}\n");
    char *one = printed(c);
    assert_non_null(strstr(one, "(secret)"));
    assert_null(strstr(one, "geheim"));
    struct config *again = load_ok(one);
    char *two = printed(again);
    assert_string_equal(one, two);
    assert_int_equal(again->services.count, 2);
    const struct cfg_service *s = config_service(again, "b.example.com");
    assert_int_equal(s->checks->items[0]->port, 25);
    assert_int_equal(s->all_down, CFG_ALL_DOWN_SERVFAIL);
    json_t *j = config_json(again);
    assert_string_equal(json_string_value(json_object_get(json_object_get(j, "dns"), "version")), "pointsman");
    json_decref(j);
    free(one);
    free(two);
    config_free(c);
    config_free(again);
}

#define SVC BASE "services:\n" /* the services' first line is 6 */

static void test_mistakes(void **state)
{
    static const struct {
        const char *text;
        unsigned line, column;
        const char *says;
    } cases[] = {
        {"dns: {udp-size: 100}\n", 1, 17, "must be from 512 bytes to 4096 bytes"},
        {"dns: {udp-size: big}\n", 1, 17, "'big' is not a whole number"},
        {"dns:\n  thread: 2\n", 2, 3, "unknown key 'thread', did you mean 'threads'?"},
        {"dns: [a]\n", 1, 6, "expected a map of keys for dns, not a list"},
        {"dns:\n  ecs: maybe\n", 2, 8, "'maybe' is not true or false"},
        {"dns:\n  listen: [\"1.2.3.4:99999\"]\n", 2, 12, "is not an address"},
        {"dns: {tcp: {idle: 10x}}\n", 1, 19, "'10x' is not a duration"},
        {"dns: {tcp: {idle: 1ms}}\n", 1, 19, "must be from 1s to 1h"},
        {"node: {log-level: loud}\n", 1, 19, "expected one of error, warn, notice, info, debug"},
        {"geo: {sources: [mdb: x]}\n", 1, 17, "unknown geo source 'mdb', did you mean 'mmdb'?"},
        {"geo: {sources: [mmdb]}\n", 1, 17, "the key 'path' is missing"},
        {"geo: {sources: [csv: {path: a, columns: [country]}]}\n", 1, 41, "the columns need 'prefix'"},
        {"geo: {overrides: [{prefix: 10.0.0.1/8}]}\n", 1, 28, "has bits set beyond its length"},
        {"geo: {overrides: [{prefix: 10.0.0.0/8, prefixes: []}]}\n", 1, 20, "are the same key"},
        {"sites:\n  a: {location: [91, 0]}\n", 2, 18, "must be from -90 degrees to 90 degrees"},
        {"sites:\n  a: {location: here}\n", 2, 17, "a location is [latitude, longitude]"},
        {"sites:\n  a: {country: FRA}\n", 2, 16, "'FRA' is no country code"},
        {"sites:\n  a: {serves: {continents: [EU, XX]}}\n", 2, 33, "'XX' is no continent"},
        {"sites:\n  a: {}\n  a: {}\n", 3, 3, "key 'a' is here twice, first in line 2"},
        {"zones: {example.com: {ttl: 1h}}\n", 1, 9, "zone 'example.com' needs a 'file', or 'ns'"},
        {"zones: {a..b: x}\n", 1, 9, "has an empty label"},
        {"policies: {p: [up, nearr]}\n", 1, 20, "unknown stage 'nearr', did you mean 'near'?"},
        {"policies: {p: []}\n", 1, 15, "a policy needs at least one stage"},
        {"policies: {any: [up]}\n", 1, 12, "'any' is the name of a preset"},
        {"policies: {p: [{up: {}, near: 1}]}\n", 1, 25, "a stage has one name, 'near' is a second"},
        {"checks: {c: {interval: 5s}}\n", 1, 13, "this says no check: one of http, tcp, raw is needed"},
        {"node: {site: pari}\nsites: {paris: {}}\n", 1, 14, "unknown site 'pari', did you mean 'paris'?"},
        {"sites: {paris: {}}\nmesh: {peers: {t: {site: x}}}\n", 2, 26, "unknown site 'x'"},
        {"mesh: {update: 1ms}\n", 1, 16, "must be from 1s to 2h"},
        {"checks: {c: {interval: 5s, raw: {}}}\n", 1, 28, "'raw' wants the key 'port' beside it"},
        {"checks: {c: {tcp: {}, http: /}}\n", 1, 23, "'http' is a second check here, after 'tcp'"},
        {"checks: {c: {htp: /}}\n", 1, 14, "unknown key 'htp', did you mean 'http'?"},
        {"checks: {c: {tcp: {}, flap-limit: 1}}\n", 1, 35, "a single change is no flapping"},
        {"a: [1\nb: 2\n", 0, 0, ""},
        {"a: *b\n", 1, 4, "alias '*b' has no anchor"},
        {"? [a]\n: b\n", 1, 3, "a key must be a plain word, not a list"},
        {"api: {socket-mode: 0999}\n", 1, 20, "'0999' is not an octal mode"},
        {SVC "  a.example.com: {sites: {paris: 192.0.2.1}}\ndefaults: {ttl: 9h}\n", 7, 17, "must be from 0s to 4h15m"},
        {SVC "  www.example.com: {}\n", 6, 20, "the key 'sites' is missing"},
        {SVC "  www.example.org: {sites: {paris: 192.0.2.1}}\n", 6, 3,
         "'www.example.org' is under no zone: add `example.org: {ns: [...]}` to `zones`"},
        {SVC "  a.example.com:\n    chek: tcp\n    sites: {paris: 192.0.2.1}\n", 7, 5,
         "unknown key 'chek', did you mean 'check'?"},
        {SVC "  a.example.com: {sites: {pariss: 192.0.2.1}}\n", 6, 27, "unknown site 'pariss', did you mean 'paris'?"},
        {SVC "  a.example.com: {sites: {paris: 192.0.2.256}}\n", 6, 34, "'192.0.2.256' is not an IPv4 or IPv6"},
        {SVC "  a.example.com: {sites: {paris: []}}\n", 6, 27, "no address at site 'paris'"},
        {SVC "  a.example.com: {sites: {paris: [192.0.2.1, 192.0.2.1]}}\n", 6, 27, "192.0.2.1 is here twice"},
        {SVC "  a.example.com: {policy: closet, sites: {paris: 192.0.2.1}}\n", 6, 27,
         "unknown policy 'closet', did you mean 'closest'?"},
        {SVC "  a.example.com: {check: htp, sites: {paris: 192.0.2.1}}\n", 6, 26,
         "unknown check 'htp', did you mean 'http'?"},
        {SVC "  a.example.com: {ttl: 256m, sites: {paris: 192.0.2.1}}\n", 6, 24, "must be from 0s to 4h15m"},
        {SVC "  a.example.com: {ttl: 1500ms, sites: {paris: 192.0.2.1}}\n", 6, 24, "not a whole number of seconds"},
        {SVC "  a.example.com: {min-ttl: 2m, sites: {paris: 192.0.2.1}}\n", 6, 28, "is greater than max-ttl"},
        {SVC "  a.example.com: {all-down: fallback, sites: {paris: 192.0.2.1}}\n", 6, 29, "has no address"},
        {SVC "  a.example.com: {sites: {paris: 192.0.2.1}}\n  A.example.com: {sites: {paris: 192.0.2.1}}\n", 7, 3,
         "is taken by the service at t.yaml:6:3"},
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        struct conf_diag *d = conf_diag_new();
        struct config *c = NULL;
        assert_int_equal(config_load_text("t.yaml", cases[i].text, strlen(cases[i].text), &fake_reg, &c, d), PM_ECONFIG);
        assert_null(c);
        const struct conf_problem *p = conf_diag_at(d, 0);
        assert_non_null(p);
        if (conf_diag_errors(d) != 1 || (cases[i].line && (p->line != cases[i].line || p->column != cases[i].column)) ||
            !strstr(p->message, cases[i].says)) {
            struct buf b = BUF_INIT;
            conf_diag_print(d, &b);
            print_error("case %zu wants %u:%u %s\n%s%s", i, cases[i].line, cases[i].column, cases[i].says,
                        cases[i].text, buf_str(&b));
            buf_fini(&b);
            fail();
        }
        conf_diag_free(d);
    }
}

static void test_all_at_once(void **state)
{
    static const char text[] = "services:\n\tx: 1\n";
    static const char many[] = "services:\n  a: {ttl: x, sites: {q: 1.2.3.4}}\ndns: {ecs: 7, nsid: 8}\n";
    struct conf_diag *d = conf_diag_new();
    struct config *c;
    assert_int_equal(config_load_text("t.yaml", many, strlen(many), &fake_reg, &c, d), PM_ECONFIG);
    assert_int_equal(conf_diag_errors(d), 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(conf_diag_at(d, i)->line, i < 2 ? 2 : 3); /* sorted, though dns is read first */
    conf_diag_free(d);
    d = conf_diag_new();
    assert_int_equal(config_load_text("t.yaml", text, strlen(text), &fake_reg, &c, d), PM_ECONFIG);
    assert_int_equal(conf_diag_at(d, 0)->line, 2);
    conf_diag_free(d);
    d = conf_diag_new();
    assert_int_equal(config_load("/nonexistent/x.yaml", &fake_reg, &c, d), PM_ECONFIG);
    assert_non_null(strstr(conf_diag_at(d, 0)->message, "cannot read '/nonexistent/x.yaml': not found"));
    conf_diag_free(d);
}

static void test_reference(void **state)
{
    struct buf b = BUF_INIT;
    config_reference(&fake_reg, &b);
    assert_non_null(strstr(buf_str(&b), "| `udp-size` | whole number | `1232` | 512 - 4096 | bytes |"));
    assert_non_null(strstr(buf_str(&b), "check `http`"));
    assert_non_null(strstr(buf_str(&b), "stage `near`"));
    assert_non_null(strstr(buf_str(&b), "| `closest` |"));
    assert_non_null(strstr(buf_str(&b), "geo source `csv`"));
    buf_fini(&b);
}

static void test_scale(void **state)
{
    enum { SERVICES = 100000, SITES = 5 };
    struct buf b = BUF_INIT;
    buf_puts(&b, "zones: {example.com: {ns: [ns1.example.com]}}\nsites:\n");
    for (int j = 0; j < SITES; j++)
        buf_printf(&b, "  site%d: {}\n", j);
    buf_puts(&b, "checks: {web: {http: /}}\nservices:\n");
    for (int i = 0; i < SERVICES; i++) {
        buf_printf(&b, "  s%d.example.com:\n    check: web\n    policy: [up, pick]\n    sites:\n", i);
        for (int j = 0; j < SITES; j++)
            buf_printf(&b, "      site%d: 10.%d.%d.%d\n", j, i >> 16, (i >> 8) & 255, i & 255);
    }
    uint64_t start = clock_mono_ms(&clock_system);
    struct config *c = load_ok(buf_str(&b));
    uint64_t took = clock_mono_ms(&clock_system) - start;
    size_t bytes = arena_size(c->arena);
    print_message("# %d services x %d sites: %zu bytes of YAML, %llu ms, %zu bytes kept\n", SERVICES, SITES, b.len,
                  (unsigned long long)took, bytes);
    assert_int_equal(c->services.count, SERVICES);
    assert_int_equal(c->policy_count, 2); /* the default and one for all */
    assert_int_equal(c->check_count, 1);
    assert_true(bytes < (size_t)150 << 20);
    config_free(c);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small),      cmocka_unit_test(test_presets_and_defaults),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_all_at_once), cmocka_unit_test(test_reference),
        cmocka_unit_test(test_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
