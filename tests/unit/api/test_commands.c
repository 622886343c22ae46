/* SPDX-License-Identifier: Apache-2.0 */
/* Every command's answer and every way an argument can be wrong. */
#include "../cmocka_pm.h"

#include <string.h>
#include "api/commands.h"
#include "fake_world.h"

static json_t *ask(const char *line)
{
    return api_answer(&fake.host, line, strlen(line));
}

/* Data of an answer that must be good; put it back with json_decref. */
static json_t *good(const char *line)
{
    json_t *a = ask(line), *data = json_object_get(a, "data");
    if (!json_is_true(json_object_get(a, "ok")))
        fail_msg("%s -> %s", line, json_string_value(json_object_get(a, "message")));
    json_incref(data);
    json_decref(a);
    return data;
}

static void bad(const char *line, const char *error, const char *part)
{
    json_t *a = ask(line);
    const char *message = json_string_value(json_object_get(a, "message"));
    assert_true(json_is_false(json_object_get(a, "ok")));
    assert_string_equal(json_string_value(json_object_get(a, "error")), error);
    if (!message || !strstr(message, part))
        fail_msg("%s -> \"%s\", wanted \"%s\"", line, message, part);
    json_decref(a);
}

static json_t *at(json_t *o, const char *path)
{
    char word[64];
    while (o && *path) {
        size_t n = strcspn(path, ".");
        memcpy(word, path, n);
        word[n] = 0;
        o = word[0] >= '0' && word[0] <= '9' ? json_array_get(o, (size_t)atoi(word)) : json_object_get(o, word);
        path += n + (path[n] == '.');
    }
    return o;
}
#define INT(o, path)  ((long long)json_integer_value(at(o, path)))
#define TEXT(o, path) json_string_value(at(o, path))

static int setup(void **state)
{
    fake_world_init();
    return 0;
}
static int teardown(void **state)
{
    fake_world_fini();
    return 0;
}

static void test_status(void **state)
{
    json_t *d = good("{\"cmd\":\"status\"}");
    assert_string_equal(TEXT(d, "version"), PM_VERSION); /* the host's is not taken */
    assert_string_equal(TEXT(d, "listen.0"), "127.0.0.1:53");
    assert_int_equal(INT(d, "uptime-s"), 60);
    assert_int_equal(INT(d, "generation"), 7);
    assert_int_equal(INT(d, "vips.total"), 4);
    assert_int_equal(INT(d, "vips.unchecked"), 1);
    assert_int_equal(INT(d, "checks.total"), 3); /* the shared one counts once */
    assert_int_equal(INT(d, "checks.down"), 1);
    assert_true(json_number_value(at(d, "counters." API_QUERIES ".total")) == 120);
    assert_true(json_number_value(at(d, "counters." API_QUERIES ".per-second")) == 2);
    json_decref(d);
}

static void test_sites(void **state)
{
    fake_vips[1].override = OVERRIDE_DRAIN;
    json_t *d = good("{\"cmd\":\"sites\",\"args\":{}}");
    assert_int_equal(json_array_size(at(d, "sites")), 2);
    assert_string_equal(TEXT(d, "sites.0.override"), "none");
    assert_string_equal(TEXT(d, "sites.1.override"), "mixed");
    assert_int_equal(INT(d, "sites.0.services"), 2);
    assert_int_equal(INT(d, "sites.1.services"), 1);
    json_decref(d);
    d = good("{\"cmd\":\"sites\",\"args\":{\"site\":\"PARIS\"}}");
    assert_int_equal(json_array_size(at(d, "sites.0.service-names")), 2);
    json_decref(d);
    bad("{\"cmd\":\"sites\",\"args\":{\"site\":\"pariss\"}}", "not-found", "did you mean \"paris\"");
}

static void test_vips(void **state)
{
    json_t *d = good("{\"cmd\":\"vips\",\"args\":{\"service\":\"alias.example.com\",\"site\":\"tokyo\"}}");
    assert_int_equal(INT(d, "total"), 2);
    assert_string_equal(TEXT(d, "vips.0.why"), "connection refused");
    assert_true(json_is_null(at(d, "vips.0.seen-ms-ago")));
    assert_string_equal(TEXT(d, "vips.0.checks.0.module"), "tcp");
    json_decref(d);
    d = good("{\"cmd\":\"vips\",\"args\":{\"problems\":true,\"limit\":\"2\"}}");
    assert_int_equal(INT(d, "total"), 4);
    assert_string_equal(TEXT(d, "vips.0.health"), "down");
    assert_string_equal(TEXT(d, "vips.1.health"), "unknown");
    assert_int_equal(json_array_size(at(d, "vips")), 2);
    json_decref(d);
    d = good("{\"cmd\":\"vips\",\"args\":{\"address\":\"192.0.2.1\"}}");
    assert_int_equal(INT(d, "vips.0.checks.1.cert-expires-s"), 864000);
    assert_int_equal(INT(d, "vips.0.checks.1.next-in-ms"), 3000);
    assert_int_equal(INT(d, "vips.0.seen-ms-ago"), 2000);
    assert_true(json_is_null(at(d, "vips.0.checks.0.hops")));
    json_decref(d);
    bad("{\"cmd\":\"vips\",\"args\":{\"address\":\"192.0.2.77\"}}", "not-found", "192.0.2.77");
    bad("{\"cmd\":\"vips\",\"args\":{\"address\":\"x\"}}", "bad-argument", "address");
    bad("{\"cmd\":\"vips\",\"args\":{\"service\":\"ww.example.com\"}}", "not-found", "www.example.com");
    bad("{\"cmd\":\"vips\",\"args\":{\"limit\":0}}", "bad-argument", "from 1 to");
    bad("{\"cmd\":\"vips\",\"args\":{\"limit\":1.5}}", "bad-argument", "a number");
    bad("{\"cmd\":\"vips\",\"args\":{\"limit\":\"99999999999999999999999\"}}", "bad-argument", "from 1 to");
    bad("{\"cmd\":\"vips\",\"args\":{\"problems\":\"maybe\"}}", "bad-argument", "yes or no");
}

static void test_services(void **state)
{
    json_t *d = good("{\"cmd\":\"services\"}");
    assert_int_equal(INT(d, "total"), 2);
    assert_int_equal(INT(d, "services.0.usable"), 2); /* up, and unknown */
    assert_int_equal(INT(d, "services.0.ttl-s"), 12);
    assert_true(json_is_true(at(d, "services.0.ttl-auto")));
    assert_true(json_is_false(at(d, "services.1.ttl-auto")));
    json_decref(d);
    d = good("{\"cmd\":\"services\",\"args\":{\"limit\":1}}");
    assert_int_equal(json_array_size(at(d, "services")), 1);
    json_decref(d);
}

static void test_explain(void **state)
{
    json_t *d = good("{\"cmd\":\"explain\",\"args\":{\"name\":\"www.example.com\",\"client\":\"203.0.113.0/24\"}}");
    assert_string_equal(TEXT(d, "type"), "A");
    assert_string_equal(TEXT(d, "explain.address"), "203.0.113.0");
    assert_string_equal(TEXT(d, "answer.rcode"), "NOERROR");
    assert_int_equal(fake.answered_client.family, ADDR_V4);
    json_decref(d);
    /* Only IPv6 there; nobody to locate. */
    d = good("{\"cmd\":\"explain\",\"args\":{\"name\":\"mail.example.com\"}}");
    assert_string_equal(TEXT(d, "type"), "AAAA");
    assert_string_equal(TEXT(d, "explain.family"), "IPv6");
    assert_true(json_is_false(at(d, "explain.located")));
    assert_int_equal(fake.answered_client.family, 0);
    json_decref(d);
    d = good("{\"cmd\":\"explain\",\"args\":{\"name\":\"ns1.example.com\",\"type\":\"TXT\"}}");
    assert_true(json_is_null(at(d, "explain")));
    assert_true(json_is_object(at(d, "answer")));
    json_decref(d);
    d = good("{\"cmd\":\"explain\",\"args\":{\"name\":\"www.example.com\",\"at\":\"-10m\"}}");
    assert_true(json_is_null(at(d, "answer")));
    assert_string_equal(TEXT(d, "at"), "2025-12-31T23:50:00Z");
    json_decref(d);
    bad("{\"cmd\":\"explain\",\"args\":{\"name\":\"www.example.com\",\"at\":\"-2h\"}}", "not-found",
        "history begins at 2025");
    bad("{\"cmd\":\"explain\",\"args\":{\"name\":\"x.example.com\",\"at\":\"-2m\"}}", "not-found", "no service");
    bad("{\"cmd\":\"explain\",\"args\":{\"name\":\"www.example.com\",\"at\":\"2030-01-01T00:00:00Z\"}}",
        "bad-argument", "to come");
    bad("{\"cmd\":\"explain\",\"args\":{\"name\":\"www.example.com\",\"type\":\"BOGUS\"}}", "bad-argument", "BOGUS");
    bad("{\"cmd\":\"explain\",\"args\":{\"name\":\"www.example.com\",\"client\":\"192.0.2.1/24\"}}", "bad-argument",
        "client");
    bad("{\"cmd\":\"explain\",\"args\":{\"name\":\"www.example.com\",\"at\":\"yesterday\"}}", "bad-argument", "-10m");
    bad("{\"cmd\":\"explain\"}", "bad-argument", "a name or a url");
}

static void test_explain_url(void **state)
{
    json_t *d = good("{\"cmd\":\"explain\",\"args\":{\"url\":\"http://www.example.com/a/b?c#d\"}}");
    assert_string_equal(TEXT(d, "name"), "www.example.com");
    assert_string_equal(TEXT(d, "explain.service"), "www.example.com");
    assert_int_equal(INT(d, "relay.service"), 0);
    assert_string_equal(TEXT(d, "relay.method"), "GET");
    assert_string_equal(TEXT(d, "relay.target"), "/a/b?c");
    assert_int_equal(INT(d, "relay.port"), 80);
    assert_string_equal(TEXT(d, "relay.client"), "none");
    json_decref(d);
    /* The name may be another than the URL's: what the client asked DNS for. */
    d = good("{\"cmd\":\"explain\",\"args\":{\"name\":\"mail.example.com\",\"url\":\"https://[2001:db8::25]?x\",\"method\":\"POST\","
             "\"client\":\"203.0.113.9\"}}");
    assert_int_equal(INT(d, "relay.service"), 1);
    assert_string_equal(TEXT(d, "relay.host"), "2001:db8::25");
    assert_string_equal(TEXT(d, "relay.method"), "POST");
    assert_string_equal(TEXT(d, "relay.target"), "/?x");
    assert_int_equal(INT(d, "relay.port"), 443);
    assert_true(json_is_true(at(d, "relay.tls")));
    assert_string_equal(TEXT(d, "relay.client"), "203.0.113.9");
    json_decref(d);
    /* An address alone stands for the service that has it. */
    d = good("{\"cmd\":\"explain\",\"args\":{\"url\":\"192.0.2.9:8080/x\"}}");
    assert_string_equal(TEXT(d, "name"), "www.example.com");
    assert_int_equal(INT(d, "relay.port"), 8080);
    json_decref(d);
    d = good("{\"cmd\":\"explain\",\"args\":{\"name\":\"www.example.com\"}}");
    assert_true(json_is_null(at(d, "relay")));
    json_decref(d);
    d = good("{\"cmd\":\"explain\",\"args\":{\"name\":\"www.example.com\",\"url\":\"http://www.example.com/\",\"at\":\"-10m\"}}");
    assert_true(json_is_null(at(d, "relay"))); /* only the present has one */
    json_decref(d);
    bad("{\"cmd\":\"explain\",\"args\":{\"url\":\"http://203.0.113.1/\"}}", "not-found", "203.0.113.1");
    bad("{\"cmd\":\"explain\",\"args\":{\"url\":\"http://www.example.com/\",\"method\":\"G\\r\"}}", "bad-argument", "capital");
    static const char *const wrong[] = {"ftp://a.example/", "http://", "http:///x", "http://a.example:0/", "http://a.example:65536/",
                                        "http://a.example:/", "http://a.example:8x/", "http://u@a.example/", "http://a b/",
                                        "http://[2001:db8::1/", "http://[192.0.2.1]/", "http://[2001:db8::1]80/", "/x"};
    for (size_t i = 0; i < PM_ARRAY_LEN(wrong); i++) {
        char line[200];
        snprintf(line, sizeof line, "{\"cmd\":\"explain\",\"args\":{\"name\":\"www.example.com\",\"url\":\"%s\"}}", wrong[i]);
        bad(line, "bad-argument", "http://HOST/PATH");
    }
}

static void test_sessions(void **state)
{
    bad("{\"cmd\":\"sessions\"}", "not-found", "relay");
    fake.handoff = true;
    json_t *d = good("{\"cmd\":\"sessions\"}");
    assert_int_equal(INT(d, "total"), 2);
    assert_null(fake.sessions.q.client);
    assert_null(fake.sessions.q.server);
    assert_int_equal(fake.sessions.q.vip.addr.family, 0);
    assert_int_equal(fake.sessions.q.limit, 1000);
    json_decref(d);
    d = good("{\"cmd\":\"sessions\",\"args\":{\"client\":\"198.51.100.0/24\",\"server\":\"web1\",\"vip\":\"192.0.2.80\",\"limit\":5}}");
    assert_int_equal(fake.sessions.client.len, 24);
    assert_string_equal(fake.sessions.server, "web1");
    assert_int_equal(fake.sessions.q.vip.addr.family, ADDR_V4);
    assert_int_equal(fake.sessions.q.vip.port, 0);
    assert_int_equal(fake.sessions.q.limit, 5);
    json_decref(d);
    json_decref(good("{\"cmd\":\"sessions\",\"args\":{\"vip\":\"[2001:db8::80]:443\"}}"));
    assert_int_equal(fake.sessions.q.vip.addr.family, ADDR_V6);
    assert_int_equal(fake.sessions.q.vip.port, 443);
    json_decref(good("{\"cmd\":\"sessions\",\"args\":{\"server\":\"front-end\"}}"));
    bad("{\"cmd\":\"sessions\",\"args\":{\"server\":\"web9\"}}", "not-found", "web9");
    bad("{\"cmd\":\"sessions\",\"args\":{\"vip\":\"www.example.com\"}}", "bad-argument", "an address");
    bad("{\"cmd\":\"sessions\",\"args\":{\"client\":\"198.51.100.1/24\"}}", "bad-argument", "client");
    bad("{\"cmd\":\"sessions\",\"args\":{\"limit\":0}}", "bad-argument", "limit");
}

static void test_catalog(void **state)
{
    bad("{\"cmd\":\"catalog\"}", "not-found", "content directory");
    bad("{\"cmd\":\"catalog plan\"}", "not-found", "content directory");
    bad("{\"cmd\":\"catalog apply\"}", "not-found", "content directory");
    fake.handoff = true;
    json_decref(good("{\"cmd\":\"catalog\"}"));
    assert_null(fake.catalog.q.path);
    assert_int_equal(fake.catalog.q.top, 0);
    assert_int_equal(fake.catalog.q.limit, 1000);
    json_decref(good("{\"cmd\":\"catalog\",\"args\":{\"path\":\"/img/\",\"node\":\"web1\",\"top\":5,\"limit\":9}}"));
    assert_string_equal(fake.catalog.path, "/img/");
    assert_int_equal(fake.catalog.q.top, 5);
    assert_int_equal(fake.catalog.q.limit, 9);
    bad("{\"cmd\":\"catalog\",\"args\":{\"path\":\"img\"}}", "bad-argument", "a path");
    bad("{\"cmd\":\"catalog\",\"args\":{\"node\":\"web9\"}}", "not-found", "web9");
    bad("{\"cmd\":\"catalog\",\"args\":{\"top\":0}}", "bad-argument", "top");
    json_t *d = good("{\"cmd\":\"catalog plan\"}");
    assert_int_equal(INT(d, "plan"), 3);
    json_decref(d);
    d = good("{\"cmd\":\"catalog apply\",\"args\":{\"dry-run\":true,\"plan\":3}}");
    assert_int_equal(INT(d, "given"), 0);
    assert_true(fake.catalog.dry);
    assert_int_equal(fake.catalog.plan, 3);
    json_decref(d);
    d = good("{\"cmd\":\"catalog apply\"}");
    assert_int_equal(INT(d, "given"), 2);
    assert_int_equal(fake.catalog.plan, 0);
    json_decref(d);
    bad("{\"cmd\":\"catalog apply\",\"args\":{\"plan\":2}}", "busy", "lb1");
}

static void test_drain(void **state)
{
    json_t *d = good("{\"cmd\":\"drain\",\"args\":{\"target\":\"paris\",\"for\":\"2h\"}}");
    assert_int_equal(INT(d, "vips"), 2);
    assert_int_equal(INT(d, "services"), 2);
    assert_string_equal(TEXT(d, "state"), "drained");
    assert_string_equal(TEXT(d, "until"), "2026-01-01T02:00:00Z");
    assert_int_equal(INT(d, "ttl-s"), 120); /* an automatic TTL may have been at its upper bound */
    assert_string_equal(TEXT(d, "clients-until"), "2026-01-01T00:02:00Z");
    assert_int_equal(fake_vips[0].override, OVERRIDE_DRAIN);
    json_decref(d);
    d = good("{\"cmd\":\"overrides\"}");
    assert_string_equal(TEXT(d, "overrides.0.target"), "paris");
    assert_int_equal(INT(d, "overrides.0.vips"), 2);
    json_decref(d);
    bad("{\"cmd\":\"enable\",\"args\":{\"target\":\"pari\"}}", "not-found", "did you mean \"paris\"");
    bad("{\"cmd\":\"enable\",\"args\":{\"target\":\"192.0.2.1\"}}", "not-found", "another target");
    d = good("{\"cmd\":\"enable\",\"args\":{\"target\":\"paris\"}}");
    assert_string_equal(TEXT(d, "state"), "none");
    assert_true(json_is_null(at(d, "clients-until")));
    assert_int_equal(fake_vips[0].override, OVERRIDE_NONE);
    json_decref(d);
}

static void test_words(void **state)
{
    json_t *d;
    bad("{\"cmd\":\"disable\",\"args\":{\"target\":\"tokio\"}}", "not-found", "did you mean \"tokyo\"");
    bad("{\"cmd\":\"disable\",\"args\":{\"target\":\"tokyo\",\"for\":\"soon\"}}", "bad-argument", "duration");
    bad("{\"cmd\":\"disable\",\"args\":{\"target\":\"tokyo\",\"for\":\"0\"}}", "bad-argument", "duration");
    bad("{\"cmd\":\"disable\",\"args\":{\"target\":\"tokyo\",\"for\":\"900000d\"}}", "bad-argument", "hundred years");
    bad("{\"cmd\":\"disable\",\"args\":{\"target\":\"\"}}", "bad-argument", "empty");
    bad("{\"cmd\":\"enable\",\"args\":{\"target\":\"tokyo\",\"for\":\"1h\"}}", "bad-argument", "force");
    bad("{\"cmd\":\"enable\",\"args\":{\"target\":\"tokyo\"}}", "not-found", "tokyo");
    assert_int_equal(fake.overrides.count, 0);
    d = good("{\"cmd\":\"enable\",\"args\":{\"target\":\"*.example.com@tokyo\",\"force\":\"yes\",\"for\":60}}");
    assert_string_equal(TEXT(d, "state"), "enabled");
    assert_int_equal(fake_vips[1].override, OVERRIDE_FORCE);
    assert_true(fake.last_until_ms == clock_wall_ms(&fake.clock.clock) + 60000);
    json_decref(d);
    fake.override_err = PM_EIO; /* a full disk */
    d = good("{\"cmd\":\"disable\",\"args\":{\"target\":\"mail.example.com\"}}");
    assert_true(json_is_false(at(d, "saved")));
    assert_non_null(strstr(TEXT(d, "report"), "no space"));
    assert_int_equal(INT(d, "ttl-s"), 30);
    json_decref(d);
}

static void test_reload_and_checks(void **state)
{
    json_t *d = good("{\"cmd\":\"reload\"}");
    assert_int_equal(INT(d, "generation"), 8);
    json_decref(d);
    fake.reload_err = PM_ECONFIG;
    bad("{\"cmd\":\"reload\"}", "config", "p.yaml:3:7");
    d = good("{\"cmd\":\"check-now\",\"args\":{\"target\":\"tokyo\"}}");
    assert_int_equal(INT(d, "vips"), 2);
    assert_int_equal(INT(d, "checks"), 1);
    assert_int_equal(fake.checked, 1);
    json_decref(d);
    bad("{\"cmd\":\"check-now\",\"args\":{\"target\":\"nowhere\"}}", "not-found", "nowhere");
}

static void test_history(void **state)
{
    uint64_t now = clock_wall_ms(&fake.clock.clock);
    history_add(fake.history,
                &(struct history_change){now - 60000, 0, HISTORY_OVERRIDE, OVERRIDE_NONE, OVERRIDE_DRAIN});
    history_add(fake.history, &(struct history_change){now - 50000, 0, METRIC_RESPONSE, 10, 12.5F});
    history_add(fake.history, &(struct history_change){now - 1000, 1, HISTORY_HEALTH, HEALTH_UP, HEALTH_DOWN});
    json_t *d = good("{\"cmd\":\"history\"}");
    assert_int_equal(json_array_size(at(d, "changes")), 3);
    assert_string_equal(TEXT(d, "changes.0.vip"), "192.0.2.9");
    assert_string_equal(TEXT(d, "changes.0.before"), "up");
    assert_string_equal(TEXT(d, "changes.0.after"), "down");
    assert_string_equal(TEXT(d, "changes.1.what"), "response-time");
    assert_true(json_real_value(at(d, "changes.1.after")) == 12.5);
    assert_string_equal(TEXT(d, "changes.2.after"), "drained");
    json_decref(d);
    d = good("{\"cmd\":\"history\",\"args\":{\"site\":\"paris\",\"limit\":1}}");
    assert_int_equal(json_array_size(at(d, "changes")), 1);
    assert_string_equal(TEXT(d, "changes.0.site"), "paris");
    json_decref(d);
    d = good("{\"cmd\":\"history\",\"args\":{\"since\":\"-55s\"}}");
    assert_int_equal(json_array_size(at(d, "changes")), 2);
    json_decref(d);
}

static void test_lists(void **state)
{
    json_t *d = good("{\"cmd\":\"policies\"}");
    assert_int_equal(INT(d, "policies.0.services"), 2);
    assert_string_equal(TEXT(d, "stages.1.kind"), "group");
    assert_string_equal(TEXT(d, "presets.0.name"), "geo");
    json_decref(d);
    d = good("{\"cmd\":\"metrics\"}");
    size_t i, queries = 0;
    json_t *m;
    json_array_foreach (at(d, "metrics"), i, m)
        queries += strcmp(TEXT(m, "name"), API_QUERIES) == 0;
    assert_int_equal(queries, 1);
    json_decref(d);
}

/* Whatever the command: a wrong name is answered with the right one, and a wrong kind of value is refused. */
static void test_every_command(void **state)
{
    for (const struct api_command *c = api_commands; c->name; c++) {
        char line[512], wrong[64];
        snprintf(line, sizeof line, "{\"cmd\":\"%s\",\"args\":{\"bogus\":1}}", c->name);
        bad(line, "bad-argument", "has no argument \"bogus\"");
        for (size_t i = 0; i < c->arg_count; i++) {
            const struct api_arg *a = &c->args[i];
            snprintf(wrong, sizeof wrong, "%s%c", a->name, a->name[strlen(a->name) - 1]);
            snprintf(line, sizeof line, "{\"cmd\":\"%s\",\"args\":{\"%s\":1}}", c->name, wrong);
            bad(line, "bad-argument", "has no argument");
            snprintf(line, sizeof line, "{\"cmd\":\"%s\",\"args\":{\"%s\":[]}}", c->name, a->name);
            bad(line, "bad-argument", a->name);
            if (a->flags & API_REQUIRED) {
                snprintf(line, sizeof line, "{\"cmd\":\"%s\",\"args\":{\"%s\":null}}", c->name, a->name);
                bad(line, "bad-argument", "needs the argument");
            }
        }
        assert_true(c->field_count > 0);
    }
}

static void test_garbage(void **state)
{
    bad("", "parse", "JSON");
    bad("hello", "parse", "JSON");
    bad("[]", "parse", "object");
    bad("{\"cmd\":1}", "parse", "cmd");
    bad("{\"cmd\":\"status\",\"args\":[]}", "parse", "args");
    bad("{\"cmd\":\"status\",\"cmd\":\"status\"}", "parse", "duplicate");
    bad("{\"cmd\":\"status\",\"arg\":{}}", "parse", "arg");
    bad("{\"cmd\":\"statsu\"}", "unknown-command", "did you mean \"status\"");
    bad("{\"cmd\":\"sites\",\"args\":{\"site\":\"a\\u0000b\"}}", "parse", "");
}

static void test_time(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms; /* 0 = refused */
    } cases[] = {
        {"2026-01-01T00:00:00Z", 1767225600000},
        {"2026-01-01 00:00:00.250z", 1767225600250},
        {"2026-01-01T02:00:00+02:00", 1767225600000},
        {"2025-12-31T19:30:00-04:30", 1767225600000},
        {"-1h", 996400000},
        {"2026-02-30T00:00:00Z", 0},
        {"2026-01-01T24:00:00Z", 0},
        {"2026-01-01T00:00:00", 0},
        {"2026-01-01T00:00:00+25:00", 0},
        {"-", 0},
        {"", 0},
        {"2026-01-01T00:00:00Zx", 0},
        {"-999d", 0},
        {"2026-1-1T0:0:0Z", 0},
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        uint64_t ms = 0;
        int err = api_time_parse(cases[i].text, 1000000000, &ms);
        if ((err ? 0 : ms) != cases[i].ms)
            fail_msg("%s: %d, %llu", cases[i].text, err, (unsigned long long)ms);
    }
}

static void test_handoff(void **state)
{
    json_t *d = good("{\"cmd\":\"matrix\",\"args\":{\"service\":\"www.example.com\"}}");
    assert_string_equal(TEXT(d, "family"), "IPv4");
    assert_string_equal(TEXT(d, "sites.1.site"), "tokyo");
    assert_string_equal(TEXT(d, "sites.1.seen.0.from"), "paris");
    assert_string_equal(TEXT(d, "sites.1.seen.0.state"), "up");
    assert_true(json_real_value(at(d, "sites.1.seen.0.ms")) == 240);
    assert_string_equal(TEXT(d, "sites.1.seen.1.state"), "unknown");
    assert_string_equal(TEXT(d, "sites.0.seen.1.state"), "down");
    assert_true(json_is_null(at(d, "sites.0.seen.1.ms")));
    json_decref(d);
    d = good("{\"cmd\":\"matrix\",\"args\":{\"service\":\"mail.example.com\"}}");
    assert_string_equal(TEXT(d, "family"), "IPv6");
    json_decref(d);
    bad("{\"cmd\":\"matrix\",\"args\":{\"service\":\"www.example.com\",\"type\":\"MX\"}}", "bad-argument", "neither");
    bad("{\"cmd\":\"handoff\",\"args\":{\"service\":\"www.example.con\"}}", "not-found", "www.example.com");
    bad("{\"cmd\":\"handoff\",\"args\":{\"service\":\"www.example.com\"}}", "not-found", "no stage");
    bad("{\"cmd\":\"peers\"}", "not-found", "no other balancers");
    fake.handoff = true;
    d = good("{\"cmd\":\"peers\"}");
    assert_string_equal(TEXT(d, "peers.0.name"), "tokyo-1");
    json_decref(d);
    d = good("{\"cmd\":\"handoff\",\"args\":{\"service\":\"www.example.com\"}}");
    fake.handoff = false;
    assert_true(json_is_true(at(d, "in-force")));
    assert_int_equal(INT(d, "place-weights.1"), 2);
    assert_string_equal(TEXT(d, "orders.0.prefers.0"), "tokyo");
    assert_int_equal(json_array_size(at(d, "orders.1.prefers")), 0);
    assert_true(json_real_value(at(d, "sites.1.share")) == 1);
    /* Tokyo's only IPv4 VIP is down: this balancer sends nobody. */
    assert_true(json_is_false(at(d, "sites.1.usable")));
    assert_true(json_real_value(at(d, "sites.1.share-here")) == 0);
    json_decref(d);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_status),  TEST(test_sites), TEST(test_vips),          TEST(test_services),
        TEST(test_explain), TEST(test_drain), TEST(test_words),         TEST(test_reload_and_checks),
        TEST(test_history), TEST(test_lists), TEST(test_every_command), TEST(test_garbage),
        TEST(test_handoff), TEST(test_time),  TEST(test_explain_url),    TEST(test_sessions), TEST(test_catalog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
