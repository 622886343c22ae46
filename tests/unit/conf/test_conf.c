/* SPDX-License-Identifier: Apache-2.0 */
/* The engine below the daemon's own tables: every type, YAML's harder parts, includes, diagnostics. */
#include "../cmocka_pm.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/addr.h"
#include "base/file.h"
#include "conf/load.h"

struct all {
    bool b;
    int64_t i;
    uint32_t u;
    double d;
    const char *s, *name, *path, *off;
    uint64_t ms, bytes;
    struct addr addr;
    struct prefix prefix;
    struct endpoint ep;
    int e;
    struct conf_list list;
};
static const char *const words[] = {"red", "green", NULL};
static const struct conf_key all_keys[] = {
    {"b", CONF_BOOL, offsetof(struct all, b), .def = "yes"},
    {"i", CONF_INT, offsetof(struct all, i), .def = "-5"},
    {"u", CONF_UINT, offsetof(struct all, u), .def = NULL},
    {"d", CONF_DOUBLE, offsetof(struct all, d), .def = "1.5"},
    {"s", CONF_STRING, offsetof(struct all, s), .def = "x"},
    {"name", CONF_NAME, offsetof(struct all, name), .def = NULL},
    {"path", CONF_PATH, offsetof(struct all, path), .def = NULL},
    {"off", CONF_STRING, offsetof(struct all, off), .def = "there", .flags = CONF_OFF},
    {"ms", CONF_DURATION, offsetof(struct all, ms), .def = "1m"},
    {"bytes", CONF_SIZE, offsetof(struct all, bytes), .min = 1024, .max = 1 << 20},
    {"addr", CONF_ADDR, offsetof(struct all, addr), .def = NULL},
    {"prefix", CONF_PREFIX, offsetof(struct all, prefix), .def = NULL},
    {"ep", CONF_ENDPOINT, offsetof(struct all, ep), .def = NULL},
    {"e", CONF_ENUM, offsetof(struct all, e), .sub = words, .def = "green"},
    {"list", CONF_INT, offsetof(struct all, list), .flags = CONF_LIST, .def = "[1, 2]"},
};
static const struct conf_object all_object = {.name = "all", .size = sizeof(struct all), CONF_KEYS(all_keys)};

struct load {
    struct arena *arena;
    struct conf_diag *diag;
    struct conf_ctx *ctx;
    const struct conf_node *root;
    struct all v;
};

static void load_init(struct load *l, const char *name, const char *text)
{
    memset(l, 0, sizeof *l);
    l->arena = arena_new();
    l->diag = conf_diag_new();
    l->ctx = conf_ctx_new(l->arena, l->diag, NULL);
    l->root = text ? conf_read_text(l->ctx, name, text, strlen(text)) : conf_read_file(l->ctx, name);
    if (l->root)
        (void)conf_object_read(l->ctx, l->root, &all_object, &l->v);
}

static void load_fini(struct load *l)
{
    conf_ctx_free(l->ctx);
    conf_diag_free(l->diag);
    arena_free(l->arena);
}

static void test_types(void **state)
{
    struct load l;
    load_init(&l, "dir/x.yaml",
              "b: OFF\ni: -9223372036854775808\nu: 4294967295\nd: 1e3\ns: 'a b'\nname: A.b.\npath: f\noff: none\n"
              "ms: 1h30m\nbytes: 4k\naddr: 2001:db8::1\nprefix: 10.0.0.0/8\nep: '[::1]:53'\ne: red\nlist: 7\n");
    assert_int_equal(conf_diag_count(l.diag), 0);
    assert_false(l.v.b);
    assert_true(l.v.i == INT64_MIN);
    assert_true(l.v.u == UINT32_MAX);
    assert_true(l.v.d == 1000);
    assert_string_equal(l.v.s, "a b");
    assert_string_equal(l.v.name, "a.b");
    assert_string_equal(l.v.path, "dir/f");
    assert_null(l.v.off);
    assert_int_equal(l.v.ms, 5400000);
    assert_int_equal(l.v.bytes, 4096);
    assert_int_equal(l.v.addr.family, ADDR_V6);
    assert_int_equal(l.v.prefix.len, 8);
    assert_int_equal(l.v.ep.port, 53);
    assert_int_equal(l.v.e, 0);
    assert_int_equal(l.v.list.count, 1);
    load_fini(&l);
    load_init(&l, "x.yaml", "");
    assert_int_equal(conf_diag_count(l.diag), 0);
    assert_true(l.v.b);
    assert_int_equal(l.v.i, -5);
    assert_string_equal(l.v.off, "there");
    assert_int_equal(l.v.list.count, 2);
    assert_int_equal(((const int64_t *)l.v.list.items)[1], 2);
    load_fini(&l);
}

static void test_bad_values(void **state)
{
    static const char *const bad[] = {
        "b: 2", "i: 1.5", "i: 99999999999999999999", "u: -1", "u: 4294967296", "d: nan", "d: 0x10", "d: ''",
        "name: a b", "name: ''", "name: ü.de", "name: a.*.b", "path: ''", "ms: 5 s", "ms: 99999999999999999999d",
        "bytes: 4x", "bytes: 2M", "addr: 1.2.3", "prefix: 1.2.3.4/33", "ep: 1.2.3.4", "e: blue", "list: [1, ]\nb: [",
        "list: [1, ~]", "s: {a: b}", "s: [a]", "b: \"\\0\""};
    for (size_t i = 0; i < PM_ARRAY_LEN(bad); i++) {
        struct load l;
        load_init(&l, "x.yaml", bad[i]);
        if (conf_diag_errors(l.diag) != 1)
            fail_msg("%s: %zu errors", bad[i], conf_diag_errors(l.diag));
        load_fini(&l);
    }
}

static void test_alias_and_merge(void **state)
{
    struct load l;
    load_init(&l, "x.yaml", "<<: {s: merged, u: 3}\ni: &n 12\nlist: [*n, 1, *n]\nu: 4\n");
    assert_int_equal(conf_diag_count(l.diag), 0);
    assert_string_equal(l.v.s, "merged");
    assert_int_equal(l.v.u, 4);
    assert_int_equal(((const int64_t *)l.v.list.items)[2], 12);
    load_fini(&l);
    static const char *const bad[] = {"s: &a [*a]\n", "<<: 3\n", "a: 1\n---\nb: 2\n", "s: *nowhere\n", "s: \xc5*\n", "%YAML 1.2\n---\n"};
    for (size_t i = 0; i < PM_ARRAY_LEN(bad); i++) {
        load_init(&l, "x.yaml", bad[i]);
        assert_int_equal(conf_diag_errors(l.diag), 1);
        load_fini(&l);
    }
}

static void test_bomb(void **state)
{
    struct buf b = BUF_INIT;
    buf_puts(&b, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 30; i++) {
        buf_printf(&b, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            buf_printf(&b, "*a%d, ", i - 1);
        buf_puts(&b, "]\n");
    }
    struct load l;
    load_init(&l, "x.yaml", buf_str(&b));
    assert_null(l.root);
    assert_non_null(strstr(conf_diag_at(l.diag, 0)->message, "aliases stand for more than"));
    load_fini(&l);
    buf_clear(&b);
    for (int i = 0; i < 5000; i++)
        buf_putc(&b, '[');
    load_init(&l, "x.yaml", buf_str(&b));
    assert_non_null(strstr(conf_diag_at(l.diag, 0)->message, "nested deeper"));
    load_fini(&l);
    buf_fini(&b);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(file_replace(path, text, strlen(text), 0600), 0);
}

static void test_include(void **state)
{
    char dir[] = "/tmp/pm-conf-XXXXXX", path[300];
    static const char *const names[] = {"main.yaml", "1.inc", "2.inc", "loop.yaml"};
    assert_non_null(mkdtemp(dir));
    write_file(dir, "main.yaml", "include: ['*.inc', 'none*.x']\ni: 3\n");
    write_file(dir, "1.inc", "u: 5\npath: p\n");
    write_file(dir, "2.inc", "s: two\n");
    snprintf(path, sizeof path, "%s/main.yaml", dir);
    struct load l;
    load_init(&l, path, NULL);
    assert_int_equal(conf_diag_count(l.diag), 0);
    assert_int_equal(l.v.u, 5);
    assert_string_equal(l.v.s, "two");
    assert_int_equal(conf_files(l.ctx).count, 3);
    load_fini(&l);

    write_file(dir, "2.inc", "u: 6\n"); /* said in 1.inc too: names both places */
    load_init(&l, path, NULL);
    assert_int_equal(conf_diag_errors(l.diag), 1);
    const struct conf_problem *p = conf_diag_at(l.diag, 0);
    assert_non_null(strstr(p->file, "2.inc"));
    assert_non_null(strstr(p->message, "'u' is said twice, first at "));
    assert_non_null(strstr(p->message, "1.inc:1:1"));
    load_fini(&l);

    write_file(dir, "loop.yaml", "include: [loop.yaml, missing.yaml]\n");
    snprintf(path, sizeof path, "%s/loop.yaml", dir);
    load_init(&l, path, NULL);
    assert_int_equal(conf_diag_errors(l.diag), 2);
    assert_non_null(strstr(conf_diag_at(l.diag, 0)->message, "includes itself"));
    assert_int_equal(conf_diag_at(l.diag, 1)->column, 22);
    load_fini(&l);
    for (size_t i = 0; i < PM_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

/* Sections shared by an alias stay two when an included file adds to one of them. */
static void test_include_shared(void **state)
{
    char dir[] = "/tmp/pm-conf-XXXXXX", path[300];
    assert_non_null(mkdtemp(dir));
    write_file(dir, "m.yaml", "include: i.yaml\na: &m {x: 1}\nc: *m\n");
    write_file(dir, "i.yaml", "a: {y: 2}\n");
    snprintf(path, sizeof path, "%s/m.yaml", dir);
    struct arena *arena = arena_new();
    struct conf_diag *d = conf_diag_new();
    struct conf_ctx *ctx = conf_ctx_new(arena, d, NULL);
    const struct conf_node *root = conf_read_file(ctx, path);
    assert_int_equal(conf_child(root, "a")->count, 2);
    assert_non_null(conf_child(conf_child(root, "a"), "y"));
    assert_int_equal(conf_child(root, "c")->count, 1);
    assert_null(conf_child(conf_child(root, "c"), "y"));
    conf_ctx_free(ctx);
    conf_diag_free(d);
    arena_free(arena);
    unlink(path);
    snprintf(path, sizeof path, "%s/i.yaml", dir);
    unlink(path);
    rmdir(dir);
}

static void test_diag(void **state)
{
    struct load l;
    struct buf b = BUF_INIT;
    load_init(&l, "x.yaml", "s: \"é\t\"\t# c\nlist: [é,\t1]\nlst: 1\n");
    conf_diag_print(l.diag, &b);
    assert_string_equal(buf_str(&b), "x.yaml:2:8: error: 'é' is not a whole number\n"
                                     "    list: [é,\t1]\n"
                                     "           ^\n"
                                     "x.yaml:3:1: error: unknown key 'lst', did you mean 'list'?\n"
                                     "    lst: 1\n"
                                     "    ^\n");
    json_t *j = conf_diag_json(l.diag);
    assert_int_equal(json_integer_value(json_object_get(j, "errors")), 2);
    assert_int_equal(json_array_size(json_object_get(j, "problems")), 2);
    json_decref(j);
    load_fini(&l);
    buf_clear(&b);
    buf_puts(&b, "list:\n");
    for (int i = 0; i < 5000; i++)
        buf_puts(&b, "- x\n");
    load_init(&l, "x.yaml", buf_str(&b));
    assert_int_equal(conf_diag_errors(l.diag), 5000);
    assert_int_equal(conf_diag_count(l.diag), CONF_DIAG_KEEP);
    buf_clear(&b);
    conf_diag_print(l.diag, &b);
    assert_non_null(strstr(buf_str(&b), "\nand 4900 more\n"));
    load_fini(&l);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),   cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_alias_and_merge), cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_include), cmocka_unit_test(test_include_shared),
        cmocka_unit_test(test_diag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
