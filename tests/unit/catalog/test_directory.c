/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "catalog/directory.h"

static struct directory_key key_of(const char *host, const char *text)
{
    size_t len = strlen(text);
    enum directory_kind kind = text[0] == '.' ? DIRECTORY_SUFFIX : text[len - 1] == '*' ? DIRECTORY_PREFIX : DIRECTORY_EXACT;
    return (struct directory_key){host, kind, text, len - (kind == DIRECTORY_PREFIX)}; /* "/a/" + "*": a prefix */
}

static int add(struct directory *d, const char *host, const char *text, uint16_t node)
{
    struct directory_key key = key_of(host, text);
    return directory_add(d, &key, node, DIRECTORY_CONFIGURED, NULL);
}

static int scanned(struct directory *d, const char *host, const char *text, uint16_t node, uint64_t size, uint64_t hash)
{
    struct directory_key key = key_of(host, text);
    struct directory_content content = {size, hash};
    return directory_add(d, &key, node, DIRECTORY_SCANNED, &content);
}

static int removed(struct directory *d, const char *host, const char *text, uint16_t node, enum directory_source source)
{
    struct directory_key key = key_of(host, text);
    return directory_remove(d, &key, node, source);
}

static int learn(struct directory *d, const char *host, const char *path, uint16_t node, uint64_t expires)
{
    return directory_learn(d, host, path, strlen(path), node, expires);
}

/* "1,2": who is named; "-": nobody is known; "": all who were are learned away. */
static const char *who(const struct directory *d, const char *host, const char *path)
{
    static char text[200];
    struct directory_match m;
    size_t at = 0;
    if (!directory_lookup(d, host, path, strlen(path), &m))
        return "-";
    text[0] = 0;
    for (size_t i = 0; i < m.count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%u", i ? "," : "", m.nodes[i]);
    return text;
}

static void test_precedence(void **state)
{
    struct directory *d = directory_new(1, 0);
    struct directory_match m;
    assert_string_equal(who(d, "a", "/"), "-");
    assert_int_equal(add(d, "*", ".php", 1), 0);
    assert_int_equal(add(d, "*", "/*", 2), 0);
    assert_int_equal(add(d, "*", "/x/y.php", 3), 0);
    assert_int_equal(add(d, "a", ".php", 4), 0);
    assert_int_equal(add(d, "a", ".tar.gz", 5), 0);
    assert_int_equal(add(d, "a", ".gz", 6), 0);
    assert_int_equal(add(d, "A", "/x/*", 7), 0);
    assert_int_equal(add(d, "a", "/x/deep/er/*", 8), 0);
    assert_int_equal(add(d, "a", "/x/one", 9), 0);
    assert_string_equal(who(d, "b", "/q.php"), "2"); /* prefix before suffix */
    assert_string_equal(who(d, "b", "/x/y.php"), "3");
    assert_string_equal(who(d, "", "/x/y.php"), "3");
    assert_string_equal(who(d, "a", "/x/y.php"), "7"); /* what the host has comes before "*" */
    assert_string_equal(who(d, "a", "/y.php"), "4");
    assert_string_equal(who(d, "a", "/y.tar.gz"), "5");
    assert_string_equal(who(d, "a", "/y.zip.gz"), "6");
    assert_string_equal(who(d, "a", "/y.gz/z"), "2"); /* only the last segment has an extension */
    assert_string_equal(who(d, "a", "/x/deep/er/f"), "8");
    assert_string_equal(who(d, "a", "/x/deep/er"), "7");
    assert_string_equal(who(d, "a", "/x/one"), "9");
    assert_string_equal(who(d, "a", "/x/one/"), "7");
    assert_string_equal(who(d, "a", "/x"), "2");
    assert_string_equal(who(d, "AA", "/x"), "2");
    assert_true(directory_lookup(d, "a", "/x/y.php", 8, &m));
    assert_int_equal(m.kind, DIRECTORY_PREFIX);
    assert_false(m.any_host);
    struct directory_entry e;
    assert_true(directory_get(d, m.entry, &e));
    assert_string_equal(e.key.host, "a");
    assert_int_equal(e.key.len, 3);
    assert_memory_equal(e.key.text, "/x/", 3);
    assert_true(directory_lookup(d, "b", "/x/y.php", 8, &m));
    assert_true(m.any_host);
    directory_free(d);
    directory_free(NULL);
}

static void test_keys(void **state)
{
    struct directory *d = directory_new(1, 0);
    char *deep = mem_alloc(3 * DIRECTORY_TEXT_MAX), host[300];
    memset(host, 'h', sizeof host);
    host[256] = 0;
    const struct directory_key bad[] = {
        {"a", DIRECTORY_EXACT, "x", 1},  {"a", DIRECTORY_EXACT, "", 0},    {"a", DIRECTORY_PREFIX, "/a", 2},
        {"a", DIRECTORY_PREFIX, "a/", 2}, {"a", DIRECTORY_SUFFIX, "php", 3}, {"a", DIRECTORY_SUFFIX, ".", 1},
        {"a", DIRECTORY_SUFFIX, ".a/", 3}, {"a", DIRECTORY_KINDS, "/", 1},
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(bad); i++)
        assert_int_equal(directory_add(d, &bad[i], 1, DIRECTORY_CONFIGURED, NULL), PM_EINVAL);
    memset(deep, '/', 3 * DIRECTORY_TEXT_MAX);
    struct directory_key key = {"a", DIRECTORY_EXACT, deep, DIRECTORY_TEXT_MAX + 1};
    assert_int_equal(directory_add(d, &key, 1, DIRECTORY_CONFIGURED, NULL), PM_ETOOBIG);
    key = (struct directory_key){"a", DIRECTORY_PREFIX, deep, DIRECTORY_DEPTH_MAX + 1};
    assert_int_equal(directory_add(d, &key, 1, DIRECTORY_CONFIGURED, NULL), PM_ETOOBIG);
    key.len--;
    assert_int_equal(directory_add(d, &key, 1, DIRECTORY_CONFIGURED, NULL), 0);
    key.host = host;
    assert_int_equal(directory_add(d, &key, 1, DIRECTORY_CONFIGURED, NULL), PM_ETOOBIG);
    assert_int_equal(add(d, "a", "/", CATALOG_NODES_MAX), PM_ERANGE);
    assert_int_equal(add(d, "a", "/", CATALOG_NODES_MAX - 1), 0);
    assert_string_equal(who(d, "a", "/"), "4095");
    assert_string_equal(who(d, host, "/"), "-");
    struct directory_match m; /* longer than any path: prefixes still know it */
    assert_true(directory_lookup(d, "a", deep, 3 * DIRECTORY_TEXT_MAX, &m));
    assert_int_equal(m.kind, DIRECTORY_PREFIX);
    free(deep);
    directory_free(d);
}

static void test_sources(void **state)
{
    struct directory *d = directory_new(1, 0);
    struct directory_key key = key_of("a", "/f");
    struct directory_holder h;
    assert_int_equal(add(d, "a", "/f", 1), 0);
    assert_int_equal(scanned(d, "a", "/f", 1, 10, 77), 0);
    assert_int_equal(scanned(d, "a", "/f", 2, 11, 78), 0);
    assert_int_equal(scanned(d, "a", "/f", 3, 11, 78), 0);
    uint32_t id = directory_find(d, &key);
    assert_true(directory_holder(d, id, 0, &h));
    assert_int_equal(h.sources, DIRECTORY_CONFIGURED | DIRECTORY_SCANNED);
    assert_int_equal(h.content.hash, 77);
    assert_true(directory_holder(d, id, 2, &h));
    assert_int_equal(h.content.size, 11);
    assert_int_equal(scanned(d, "a", "/f", 1, 11, 78), 0); /* the first content has no holder now */
    assert_true(directory_holder(d, id, 0, &h));
    assert_true(h.known && h.content.hash == 78);
    assert_int_equal(removed(d, "a", "/f", 1, DIRECTORY_SCANNED), 0);
    assert_true(directory_holder(d, id, 0, &h));
    assert_int_equal(h.sources, DIRECTORY_CONFIGURED);
    assert_false(h.known);
    assert_int_equal(removed(d, "a", "/f", 1, DIRECTORY_SCANNED), PM_ENOTFOUND);
    assert_int_equal(removed(d, "a", "/f", 1, DIRECTORY_CONFIGURED), 0);
    assert_string_equal(who(d, "a", "/f"), "2,3");
    assert_int_equal(directory_remove_node(d, 2), 1);
    assert_int_equal(removed(d, "a", "/f", 3, DIRECTORY_SCANNED), 0);
    assert_string_equal(who(d, "a", "/f"), "-");
    struct directory_figures f;
    directory_figures(d, &f);
    assert_int_equal(f.entries[DIRECTORY_EXACT], 0);
    assert_int_equal(f.sets, 0);
    assert_int_equal(f.hosts, 1); /* "*" */
    assert_int_equal(f.text, 0);
    directory_free(d);
}

static void test_scan(void **state)
{
    struct directory *d = directory_new(1, 0);
    assert_int_equal(directory_scan_end(d, 1), PM_EINVAL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(scanned(d, "a", "/1", (uint16_t)i, 1, 1), 0);
        assert_int_equal(scanned(d, "a", "/2", (uint16_t)i, 1, 1), 0);
        assert_int_equal(add(d, "a", "/c", (uint16_t)i), 0);
        assert_int_equal(scanned(d, "a", "/c", (uint16_t)i, 1, 1), 0);
    }
    assert_int_equal(directory_scan_begin(d, 1), 0);
    assert_int_equal(scanned(d, "a", "/2", 1, 1, 1), 0);
    assert_int_equal(scanned(d, "a", "/3", 1, 1, 1), 0);
    assert_string_equal(who(d, "a", "/1"), "0,1");
    assert_int_equal(directory_scan_end(d, 1), 2);
    assert_string_equal(who(d, "a", "/1"), "0");
    assert_string_equal(who(d, "a", "/2"), "0,1");
    assert_string_equal(who(d, "a", "/3"), "1");
    assert_string_equal(who(d, "a", "/c"), "0,1"); /* configured all the same */
    /* A scan that broke off leaves no traces in the next one, however often. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(directory_scan_begin(d, 1), 0);
        assert_int_equal(scanned(d, "a", "/2", 1, 1, 1), 0);
        if (i == 1)
            directory_scan_abort(d, 1);
    }
    assert_string_equal(who(d, "a", "/3"), "1");
    assert_int_equal(directory_scan_end(d, 1), 1);
    assert_string_equal(who(d, "a", "/3"), "-");
    assert_string_equal(who(d, "a", "/2"), "0,1");
    directory_free(d);
}

static void test_learned(void **state)
{
    struct directory *d = directory_new(1, 0);
    struct directory_match m;
    assert_int_equal(add(d, "*", "/img/*", 1), 0);
    assert_int_equal(add(d, "*", "/img/*", 2), 0);
    assert_int_equal(scanned(d, "a", "/f", 5, 1, 1), 0);
    assert_int_equal(learn(d, "*", "/img/x", 1, 100), PM_EINVAL);
    assert_int_equal(learn(d, "a", "/img/x", 3, 100), PM_ENOTFOUND); /* nobody said it had it */
    assert_int_equal(learn(d, "a", "/else", 1, 100), PM_ENOTFOUND);
    assert_int_equal(learn(d, "a", "/img/x", 1, 100), 0);
    assert_int_equal(learn(d, "a", "/img/x", 1, 150), 0);
    assert_int_equal(learn(d, "a", "/f", 5, 90), 0);
    assert_string_equal(who(d, "a", "/img/x"), "2");
    assert_string_equal(who(d, "a", "/img/y"), "1,2");
    assert_string_equal(who(d, "b", "/img/x"), "1,2");
    assert_string_equal(who(d, "a", "/f"), "");
    assert_true(directory_lookup(d, "a", "/img/x", 6, &m));
    assert_int_equal(m.kind, DIRECTORY_PREFIX);
    assert_int_not_equal(m.learned, DIRECTORY_NONE);
    /* Another holder comes: what was learned follows once settled, and until then nobody wrong is named. */
    assert_int_equal(add(d, "*", "/img/*", 3), 0);
    directory_settle(d, 99);
    assert_string_equal(who(d, "a", "/img/x"), "2,3");
    assert_string_equal(who(d, "a", "/f"), "5");
    assert_int_equal(directory_remove_node(d, 2), 1);
    assert_string_equal(who(d, "a", "/img/x"), "1,3");
    directory_settle(d, 99);
    assert_string_equal(who(d, "a", "/img/x"), "3");
    directory_settle(d, 150);
    assert_string_equal(who(d, "a", "/img/x"), "1,3");
    /* A scan knows better. */
    assert_int_equal(learn(d, "a", "/f", 5, 900), 0);
    assert_int_equal(scanned(d, "a", "/f", 5, 1, 1), 0);
    assert_string_equal(who(d, "a", "/f"), "5");
    directory_free(d);
}

/* Requests for what nobody has fill the ring, and no more. */
static void test_learned_is_bounded(void **state)
{
    struct directory *d = directory_new(1, 100);
    struct directory_figures f;
    char path[32], host[32];
    assert_int_equal(add(d, "*", "/*", 1), 0);
    for (int i = 0; i < 5000; i++) {
        snprintf(path, sizeof path, "/%d", i);
        snprintf(host, sizeof host, "h%d", i % 777);
        assert_int_equal(learn(d, host, path, 1, 1000), 0);
        assert_string_equal(who(d, host, path), "");
    }
    directory_figures(d, &f);
    assert_int_equal(f.learned, 100);
    assert_int_equal(f.subtracting, 100);
    assert_int_equal(f.hosts, 101);
    assert_true(f.bytes < 200000);
    assert_string_equal(who(d, "h0", "/0"), "1");
    directory_settle(d, 1000);
    directory_figures(d, &f);
    assert_int_equal(f.learned, 0);
    assert_int_equal(f.entries[DIRECTORY_EXACT] + f.subtracting, 0);
    assert_int_equal(f.hosts, 1);
    directory_free(d);
}

/* A million resources, two holders each, size and hash known: at most 100 bytes beside the text. */
static void test_million(void **state)
{
    enum { MANY = 1000000 };
    struct directory *d = directory_new(1, 0);
    struct directory_figures f;
    struct directory_match m;
    char path[80];
    for (uint32_t i = 0; i < MANY; i++) {
        int len = snprintf(path, sizeof path, "/files/%u/%u/document-%u.html", i % 100, i / 100 % 100, i);
        struct directory_key key = {"www.example", DIRECTORY_EXACT, path, (size_t)len};
        struct directory_content content = {i, i * 7919ull};
        for (uint32_t k = 0; k < 2; k++)
            assert_int_equal(directory_add(d, &key, (uint16_t)((i + k * 7) % 40), DIRECTORY_SCANNED, &content), 0);
    }
    directory_figures(d, &f);
    assert_int_equal(f.entries[DIRECTORY_EXACT], MANY);
    assert_int_equal(f.sets, 40);
    assert_true((f.bytes - f.text) / MANY <= 100);
    for (uint32_t i = 0; i < MANY; i += 997) {
        int len = snprintf(path, sizeof path, "/files/%u/%u/document-%u.html", i % 100, i / 100 % 100, i);
        assert_true(directory_lookup(d, "www.example", path, (size_t)len, &m));
        assert_int_equal(m.count, 2);
    }
    assert_int_equal(directory_remove_node(d, 0), MANY / 20);
    for (uint16_t node = 1; node < 40; node++)
        directory_remove_node(d, node);
    directory_figures(d, &f);
    assert_int_equal(f.entries[DIRECTORY_EXACT], 0);
    assert_int_equal(f.text, 0);
    directory_free(d);
}

/* ---- the table that a compiler keeps ---- */

struct seen {
    int news, entries, gone, fail_at;
    uint32_t last_set, last_entry_set;
};

static int seen_new(void *ctx, uint32_t set, const uint16_t *nodes, size_t count)
{
    struct seen *s = ctx;
    s->last_set = set;
    s->news++;
    return 0;
}

static int seen_entry(void *ctx, uint32_t id, const struct directory_entry *entry)
{
    struct seen *s = ctx;
    if (s->entries == s->fail_at)
        return PM_ENOMEM;
    s->last_entry_set = entry->set;
    s->entries++;
    return 0;
}

static int seen_gone(void *ctx, uint32_t set)
{
    ((struct seen *)ctx)->gone++;
    return 0;
}

static void test_changes(void **state)
{
    const struct directory_watch watch = {seen_new, seen_entry, seen_gone};
    struct directory *d = directory_new(1, 0);
    struct seen s = {.fail_at = 1};
    assert_int_equal(add(d, "a", "/1", 1), 0);
    assert_int_equal(add(d, "a", "/2", 1), 0);
    assert_int_equal(add(d, "a", "/3", 1), 0);
    assert_int_equal(removed(d, "a", "/3", 1, DIRECTORY_CONFIGURED), 0); /* never seen: no word about it */
    assert_int_equal(directory_changes(d, &watch, &s), PM_ENOMEM);
    s.fail_at = -1;
    assert_int_equal(directory_changes(d, &watch, &s), 0);
    assert_int_equal(s.news, 1);
    assert_int_equal(s.entries, 2);
    assert_int_equal(s.gone, 0);
    uint32_t first = s.last_set;
    uint64_t version = directory_version(d);
    assert_int_equal(scanned(d, "a", "/1", 1, 5, 5), 0); /* content alone changes no set */
    assert_int_equal(directory_version(d), version);
    assert_int_equal(directory_changes(d, &watch, &s), 0);
    assert_int_equal(s.entries, 2);
    /* Set {1} is left by all; its index is not given to {2} before the compiler has heard of its end. */
    s = (struct seen){.fail_at = -1};
    for (const char *path = "/1"; path; path = strcmp(path, "/1") ? NULL : "/2")
        assert_int_equal(add(d, "a", path, 2), 0);
    assert_int_equal(directory_remove_node(d, 1), 2);
    assert_int_equal(directory_changes(d, &watch, &s), 0);
    assert_int_equal(s.news, 1);
    assert_int_equal(s.entries, 2);
    assert_int_equal(s.gone, 1);
    assert_int_not_equal(s.last_set, first);
    assert_int_equal(s.last_entry_set, s.last_set);
    assert_int_equal(directory_remove_node(d, 2), 2);
    assert_int_equal(directory_changes(d, &watch, &s), 0);
    assert_int_equal(s.last_entry_set, SETS_NONE);
    assert_int_equal(s.entries, 4);
    assert_int_equal(s.gone, 2);
    directory_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_learned),
        cmocka_unit_test(test_learned_is_bounded),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_million),
    };
    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
