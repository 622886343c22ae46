/* SPDX-License-Identifier: Apache-2.0 */
/* What is heard of content, and where it goes: the kernel's table, the front end, what is shown. */
#include "catalog_lab.h"

#define THREE "a: {address: 10.0.0.1}, b: {address: 10.0.0.2}, c: {address: 10.0.0.3}"

static void test_configured(void **state)
{
    lab_open("a: {address: 10.0.0.1, holds: [/img/, /only.html, x.test/alias.html, elsewhere.test/no.html]}, "
             "b: {address: 10.0.0.2, holds: [/img/, '*.php']}, c: {address: 10.0.0.3}",
             "");
    assert_string_equal(lab_kernel(), "*.php b, /alias.html a, /img/ ab, /only.html a");
    assert_string_equal(lab_known("/img/x"), "ab");
    assert_string_equal(lab_known("/q/x.php"), "b");
    assert_string_equal(lab_known("/only.html"), "a");
    assert_string_equal(lab_known("/else"), "-");
    lab_close();
}

static void test_scanned(void **state)
{
    lab_open(THREE, "");
    lab_agents("abc");
    lab_file("ab", "www.x.test", "/a.html", 10, 1);
    lab_file("c", "X.TEST", "/b%20c.html", 10, 1); /* by an alias; the path is not one that the kernel reads */
    lab_file("c", "strange.test", "/z", 10, 1);
    lab_file("c", "www.x.test", "/bad%2fpath", 10, 1);
    lab_file("c", "www.x.test", "/dir/.hidden", 10, 1);
    lab_turns();
    assert_string_equal(lab_kernel(), "/a.html ab");
    assert_string_equal(lab_known("/a.html"), "ab");
    assert_string_equal(lab_known("/b c.html"), "c");
    assert_int_equal(lab.c->strange_hosts, 1);
    assert_int_equal(lab.c->bad_paths, 1);
    lab_gone('a', "www.x.test", "/a.html");
    lab_turns();
    assert_string_equal(lab_kernel(), "/a.html b");
    assert_string_equal(lab_known("/a.html"), "b");
    /* A new report of b, without it. */
    const struct farm_agent_events *e = farm_catalog_events(lab.c);
    e->begin(e->ctx, 1);
    lab_file("b", "www.x.test", "/new.html", 10, 1);
    lab_turns();
    assert_string_equal(lab_kernel(), "/a.html b, /new.html b"); /* until it is whole */
    e->end(e->ctx, 1);
    lab_turns();
    assert_string_equal(lab_kernel(), "/new.html b");
    assert_string_equal(lab_known("/a.html"), "-");
    lab_close();
}

static void test_index(void **state)
{
    lab_open(THREE, "index: [index.html, home.htm]");
    lab_agents("abc");
    lab_file("a", "www.x.test", "/index.html", 10, 1);
    lab_file("b", "www.x.test", "/d/index.html", 10, 1);
    lab_file("c", "www.x.test", "/d/home.htm", 10, 1);
    lab_turns();
    assert_string_equal(lab_kernel(), "/ a, /d/ bc, /d/home.htm c, /d/index.html b, /index.html a");
    lab_gone('b', "www.x.test", "/d/index.html");
    lab_gone('a', "www.x.test", "/index.html");
    lab_turns();
    assert_string_equal(lab_kernel(), "/d/ c, /d/home.htm c");
    lab_reload(THREE, "", "index: [index.html]");
    lab_file("c", "www.x.test", "/d/x", 10, 1);
    lab_gone('c', "www.x.test", "/d/home.htm");
    lab_turns();
    assert_string_equal(lab_kernel(), "/d/ c, /d/x c"); /* an old folder goes with the next sweep */
    lab_reload("a: {address: 10.0.0.1}, c: {address: 10.0.0.3}", "", "index: [index.html]");
    assert_string_equal(lab_kernel(), "/d/x c");
    lab_close();
}

/* Numbers of servers change with a reload; what is said of them must not. */
static void test_reload(void **state)
{
    lab_open(THREE, "");
    lab_agents("abc");
    lab_file("ab", "www.x.test", "/ab", 10, 1);
    lab_file("c", "www.x.test", "/c", 10, 1);
    lab_file("a", "other.x.test", "/o", 10, 1);
    lab_turns();
    uint32_t sets = lab.f->sets_used, count = lab.kernel_count;
    assert_string_equal(lab_kernel(), "/ab ab, /c c");
    lab_reload("c: {address: 10.0.0.3, holds: /h}, b: {address: 10.0.0.2}, a: {address: 10.0.0.1}", "", "");
    assert_string_equal(lab_kernel(), "/ab ba, /c c, /h c");
    assert_string_equal(lab_known("/ab"), "ab");
    assert_int_equal(lab.f->sets_used, sets); /* {c} was there */
    /* b is gone: what it had is not there any more. */
    lab_reload("c: {address: 10.0.0.3}, a: {address: 10.0.0.1}", "", "");
    assert_string_equal(lab_kernel(), "/ab a, /c c");
    assert_int_equal(lab.kernel_count, count);
    /* What has moved is the front end's. */
    lab_file("c", "www.x.test", "/old/f", 10, 1);
    lab_reload("c: {address: 10.0.0.3}, a: {address: 10.0.0.1}", ", rewrites: [{match: /old/, to: /new/}]", "");
    assert_string_equal(lab_kernel(), "/ab a, /c c, /old/ FRONT, /old/f FRONT");
    lab_reload("c: {address: 10.0.0.3}, a: {address: 10.0.0.1}", "", "");
    assert_string_equal(lab_kernel(), "/ab a, /c c, /old/f c");
    /* Not relayed any more: out of the table; and back. */
    lab.f->plan.service_count = 0;
    farm_catalog_publish(lab.c);
    lab_turns();
    assert_int_equal(lab.kernel_count, 0);
    assert_int_equal(lab.f->sets_used, 0);
    assert_string_equal(lab_known("/ab"), "-");
    lab_close();
}

static void test_denied(void **state)
{
    lab_open("a: {address: 10.0.0.1, holds: /img/}, b: {address: 10.0.0.2, holds: /img/}", "denied-for: 10s");
    lab_note("/img/x.png", 404, 'a', true);
    assert_string_equal(lab_kernel(), "/img/ ab, /img/x.png b");
    assert_string_equal(lab_known("/img/x.png"), "b");
    assert_string_equal(lab_known("/img/y.png"), "ab");
    lab_note("/img/x.png", 404, 'b', false);
    assert_string_equal(lab_kernel(), "/img/ ab, /img/x.png ");
    lab_note("/img/fine.png", 200, 'b', false);
    lab_note("/other", 404, 'b', false); /* it was not said to have that */
    assert_int_equal(lab.c->denied, 2);
    lab_seconds(11);
    assert_string_equal(lab_kernel(), "/img/ ab");
    for (int i = 0; i < 300; i++) {
        char path[32];
        snprintf(path, sizeof path, "/img/%d", i);
        lab_note(path, 404, 'a', true);
    }
    assert_int_equal(lab.c->denied, 2 + CATALOG_DENIALS);
    assert_int_equal(lab.c->denials_over, 300 - CATALOG_DENIALS);
    lab_close();
}

static bool default_front(void)
{
    return lab.f->plan.services[0].default_front;
}

static void test_does_not_fit(void **state)
{
    char path[32];
    lab_open("a: {address: 10.0.0.1, holds: /many/}, b: {address: 10.0.0.2}", "table: 17");
    lab_agents("ab");
    for (int i = 0; i < 16; i++) {
        snprintf(path, sizeof path, "/%02d", i);
        lab_file("a", "www.x.test", path, 10, 1);
    }
    lab_turns();
    assert_int_equal(lab.kernel_count, 17);
    assert_false(default_front());
    lab_gone('a', "www.x.test", "/00");
    lab_turns();
    lab_file("b", "www.x.test", "/one", 10, 1), lab_file("b", "www.x.test", "/two", 10, 1);
    lab_turns();
    assert_true(default_front());
    assert_true(lab.hosts_put > 0);
    assert_non_null(strstr(lab_kernel(), "/many/ FRONT")); /* it would hide what is left out */
    assert_string_equal(lab_known("/one"), "b");
    assert_string_equal(lab_known("/two"), "b");
    lab_gone('a', "www.x.test", "/01"), lab_gone('a', "www.x.test", "/02"), lab_gone('a', "www.x.test", "/03");
    lab_turns();
    assert_false(default_front());
    assert_non_null(strstr(lab_kernel(), "/many/ a"));
    assert_non_null(strstr(lab_kernel(), "/one b"));
    assert_non_null(strstr(lab_kernel(), "/two b"));
    /* The kernel itself says no. */
    lab.kernel_max = lab.kernel_count;
    lab_reload("a: {address: 10.0.0.1, holds: /many/}, b: {address: 10.0.0.2}", "", "table: 1000");
    lab_file("b", "www.x.test", "/three", 10, 1);
    lab_turns();
    assert_true(default_front());
    lab_close();
}

/* At the beginning, what no entry names need not be missing. */
static void test_not_reported(void **state)
{
    lab_open(THREE, "");
    lab_turns();
    assert_true(!default_front() && lab.sure);
    lab_agent(0), lab_agent(1);
    lab_turns();
    assert_true(default_front() && !lab.sure);
    lab_agents("a");
    lab_turns();
    assert_true(default_front() && !lab.sure);
    lab_agents("b");
    lab_turns();
    assert_true(!default_front() && lab.sure);
    lab_agent(2);
    lab_turns();
    assert_true(default_front() && !lab.sure);
    lab_seconds(61); /* it is not waited for any longer */
    assert_true(!default_front() && lab.sure);
    lab_close();
}

/* The kernel has taken no programs: the front end is told all the same. */
static void test_no_kernel(void **state)
{
    lab_open(THREE, "");
    lab.f->relay = NULL;
    lab_agents("abc");
    lab_file("b", "www.x.test", "/x", 10, 1);
    lab_turns();
    assert_string_equal(lab_known("/x"), "b");
    assert_int_equal(lab.kernel_count, 0);
    lab_close();
}

static json_t *catalog(struct api_catalog q)
{
    q.limit = q.limit ? q.limit : 100;
    json_t *o = farm_catalog_view(lab.c, &q);
    assert_non_null(o);
    return o;
}

static const char *first(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(json_array_get(json_object_get(o, "resources"), 0), key));
}

static void test_shown(void **state)
{
    lab_open("a: {address: 10.0.0.1, holds: /img/}, b: {address: 10.0.0.2}", "");
    lab_agents("ab");
    lab_file("ab", "www.x.test", "/a.html", 10, 255);
    lab_file("b", "www.x.test", "/b.html", 10, 1);
    lab_file("b", "www.x.test", "/%FF", 10, 1); /* no UTF-8 */
    lab_note("/b.html", 200, 'b', false), lab_note("/b.html", 200, 'b', false), lab_note("/a.html", 200, 'a', false);
    json_t *o = catalog((struct api_catalog){.path = NULL});
    assert_int_equal(json_integer_value(json_object_get(o, "total")), 0);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(o, "summary"), "paths")), 3);
    assert_int_equal(json_array_size(json_object_get(o, "nodes")), 2);
    json_decref(o);
    o = catalog((struct api_catalog){.path = "/a.html", .host = "x.test"});
    assert_int_equal(json_integer_value(json_object_get(o, "total")), 1);
    assert_string_equal(first(o, "text"), "/a.html");
    const json_t *holders = json_object_get(json_array_get(json_object_get(o, "resources"), 0), "holders");
    assert_int_equal(json_array_size(holders), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(holders, 0), "hash")), "00000000000000ff");
    json_decref(o);
    o = catalog((struct api_catalog){.top = 1});
    assert_string_equal(first(o, "text"), "/b.html");
    json_decref(o);
    o = catalog((struct api_catalog){.node = "b"});
    assert_int_equal(json_integer_value(json_object_get(o, "total")), 3);
    json_decref(o);
    o = catalog((struct api_catalog){.path = "/img/deep/x"}); /* what speaks of it */
    assert_string_equal(first(o, "text"), "/img/");
    assert_string_equal(first(o, "kind"), "prefix");
    json_decref(o);
    o = catalog((struct api_catalog){.path = "/", .limit = 1});
    assert_int_equal(json_integer_value(json_object_get(o, "total")), 4);
    assert_int_equal(json_array_size(json_object_get(o, "resources")), 1);
    json_decref(o);
    o = farm_catalog_holders(lab.c, lab.f->plan.services, "/img/../a.html?q");
    assert_string_equal(json_string_value(json_object_get(o, "text")), "/a.html");
    json_decref(o);
    struct farm_resource r;
    char text[FARM_RESOURCE_TEXT];
    assert_true(farm_catalog_resource(lab.c, lab.f->plan.services, RELAY_RESOURCE_PREFIX,
                                      relay_text_hash("/img/", false), "/img/deep/x?y", &r, text));
    assert_string_equal(r.text, "/img/");
    assert_false(r.front);
    assert_int_equal(farm_catalog_count(lab.c, lab.f->plan.services), 4);
    lab_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configured),   cmocka_unit_test(test_scanned),   cmocka_unit_test(test_index),
        cmocka_unit_test(test_reload),       cmocka_unit_test(test_denied),    cmocka_unit_test(test_does_not_fit),
        cmocka_unit_test(test_not_reported), cmocka_unit_test(test_no_kernel), cmocka_unit_test(test_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
