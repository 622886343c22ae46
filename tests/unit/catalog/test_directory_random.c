/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory against a model that is too simple to be wrong: tables of every key and node, answers found by trying
 * everything. Thousands of random changes, in turns more that add and more that remove, so that hosts and entries
 * come and go; after each, every path of every host is looked up. A table is compiled from what directory_changes
 * tells (with callbacks that fail now and then); it must answer the same and be empty in the end.
 */
#include "../cmocka_pm.h"
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "catalog/directory.h"

enum { NODES = 7, HOSTS = 4, KNOWN_HOSTS = 3, TEXTS = 17, PATHS = 9, KEYS = KNOWN_HOSTS * TEXTS, IDS = 4096 };
enum { WORDS = HOSTS * PATHS * NODES }; /* that a node has not got a path */

static const char *const hosts[HOSTS] = {"*", "a.example", "b.example", "nobody.example"};
/* The first PATHS are paths, then prefixes (to be cut at "*"), then suffixes. */
static const char *const texts[TEXTS] = {"/",    "/a/x.php", "/a/b/x.tar.gz", "/a/b/", "/c.gz",  "/a/b/c/d.php",
                                         "/a/.", "/z",       "/.gz",          "/*",    "/a/*",   "/a/b/*",
                                         "//*",  "/a/b/c/*", ".php",          ".gz",   ".tar.gz"};

struct model {
    struct {
        bool configured, scanned, marked;
        struct directory_content content;
    } holder[KEYS][NODES];
    uint64_t learned[HOSTS][PATHS][NODES]; /* expires; 0: not */
    bool scanning[NODES];
    struct {
        unsigned count[WORDS]; /* how often each word was learned anew */
        int word[WORDS];       /* in the order in which they were learned, around */
        unsigned nth[WORDS];
        unsigned at, size;
    } ring;
};

/* What a compiler has: sets by index, entries by id. */
struct table {
    bool set_used[IDS];
    size_t set_count[IDS];
    uint16_t set_nodes[IDS][NODES];
    struct {
        int host;
        enum directory_kind kind;
        char text[20];
        size_t len;
        uint32_t set;
    } entry[IDS];
    unsigned fail; /* one callback of this many fails */
};

static struct directory_key key_at(unsigned i)
{
    const char *text = texts[i % TEXTS];
    size_t len = strlen(text);
    enum directory_kind kind = i % TEXTS < PATHS ? DIRECTORY_EXACT : text[0] == '/' ? DIRECTORY_PREFIX : DIRECTORY_SUFFIX;
    return (struct directory_key){hosts[i / TEXTS], kind, text, len - (kind == DIRECTORY_PREFIX)};
}

static bool matches(const struct directory_key *key, const char *path)
{
    size_t len = strlen(path);
    if (key->kind == DIRECTORY_EXACT)
        return len == key->len && memcmp(path, key->text, len) == 0;
    if (key->kind == DIRECTORY_PREFIX)
        return len >= key->len && memcmp(path, key->text, key->len) == 0;
    return len >= key->len && memcmp(path + len - key->len, key->text, key->len) == 0;
}

/* Better ones are greater: host, kind, length. */
static long rank(int host, enum directory_kind kind, size_t len)
{
    return (host ? 1000000 : 0) + (DIRECTORY_KINDS - (long)kind) * 10000 + (long)len;
}

/* The nodes as bits, or -1: nobody is known. */
static int model_lookup(const struct model *m, int host, int path, bool subtract)
{
    long best = -1;
    int nodes = -1;
    for (unsigned i = 0; i < KEYS; i++) {
        struct directory_key key = key_at(i);
        int of = (int)(i / TEXTS), bits = 0;
        for (int n = 0; n < NODES; n++)
            bits |= (m->holder[i][n].configured || m->holder[i][n].scanned) << n;
        if (bits && (of == 0 || of == host) && matches(&key, texts[path]) && rank(of, key.kind, key.len) > best) {
            best = rank(of, key.kind, key.len);
            nodes = bits;
        }
    }
    for (int n = 0; n < NODES && nodes > 0 && subtract; n++)
        if (m->learned[host][path][n])
            nodes &= ~(1 << n);
    return nodes;
}

static int directory_bits(const struct directory *d, int host, int path)
{
    struct directory_match match;
    int bits = 0;
    if (!directory_lookup(d, hosts[host], texts[path], strlen(texts[path]), &match))
        return -1;
    for (size_t i = 0; i < match.count; i++)
        bits |= 1 << match.nodes[i];
    return bits;
}

/* ---- the compiler ---- */

static int fails(struct table *t)
{
    return t->fail && (unsigned)rand() % t->fail == 0 ? PM_ENOMEM : 0;
}

static int on_set(void *ctx, uint32_t set, const uint16_t *nodes, size_t count)
{
    struct table *t = ctx;
    if (fails(t))
        return PM_ENOMEM;
    assert_in_range(set, 0, IDS - 1);
    assert_false(t->set_used[set]);
    t->set_used[set] = true;
    t->set_count[set] = count;
    memcpy(t->set_nodes[set], nodes, count * sizeof *nodes);
    return 0;
}

static int on_entry(void *ctx, uint32_t id, const struct directory_entry *e)
{
    struct table *t = ctx;
    if (fails(t))
        return PM_ENOMEM;
    assert_in_range(id, 0, IDS - 1);
    assert_true(e->set == SETS_NONE || t->set_used[e->set]);
    assert_true(e->set != SETS_NONE || t->entry[id].set != SETS_NONE);
    t->entry[id].host = 0;
    while (strcmp(hosts[t->entry[id].host], e->key.host) != 0)
        t->entry[id].host++;
    t->entry[id].kind = e->key.kind;
    memcpy(t->entry[id].text, e->key.text, e->key.len);
    t->entry[id].len = e->key.len;
    t->entry[id].set = e->set;
    return 0;
}

static int on_gone(void *ctx, uint32_t set)
{
    struct table *t = ctx;
    if (fails(t))
        return PM_ENOMEM;
    assert_true(t->set_used[set]);
    for (int i = 0; i < IDS; i++)
        assert_true(t->entry[i].set != set);
    t->set_used[set] = false;
    return 0;
}

static int table_lookup(const struct table *t, int host, int path)
{
    long best = -1;
    int bits = 0;
    uint32_t set = SETS_NONE;
    for (int i = 0; i < IDS; i++) {
        if (t->entry[i].set == SETS_NONE || (t->entry[i].host && t->entry[i].host != host))
            continue;
        struct directory_key key = {"", t->entry[i].kind, t->entry[i].text, t->entry[i].len};
        if (matches(&key, texts[path]) && rank(t->entry[i].host, key.kind, key.len) > best) {
            best = rank(t->entry[i].host, key.kind, key.len);
            set = t->entry[i].set;
        }
    }
    for (size_t i = 0; set != SETS_NONE && i < t->set_count[set]; i++)
        bits |= 1 << t->set_nodes[set][i];
    return set == SETS_NONE ? -1 : bits;
}

/* ---- one random change ---- */

static void change_add(struct directory *d, struct model *m, unsigned key, uint16_t node)
{
    struct directory_key k = key_at(key);
    struct directory_content content = {(uint64_t)rand() % 3, 7};
    if (rand() % 2) {
        assert_int_equal(directory_add(d, &k, node, DIRECTORY_CONFIGURED, NULL), 0);
        m->holder[key][node].configured = true;
        return;
    }
    assert_int_equal(directory_add(d, &k, node, DIRECTORY_SCANNED, &content), 0);
    m->holder[key][node].scanned = m->holder[key][node].marked = true;
    m->holder[key][node].content = content;
    if (key % TEXTS < PATHS)
        m->learned[key / TEXTS][key % TEXTS][node] = 0;
}

static void change_remove(struct directory *d, struct model *m, unsigned key, uint16_t node)
{
    struct directory_key k = key_at(key);
    enum directory_source source = rand() % 2 ? DIRECTORY_CONFIGURED : DIRECTORY_SCANNED;
    bool *had = source == DIRECTORY_SCANNED ? &m->holder[key][node].scanned : &m->holder[key][node].configured;
    assert_int_equal(directory_remove(d, &k, node, source), *had ? 0 : PM_ENOTFOUND);
    *had = false;
}

static void change_remove_node(struct directory *d, struct model *m, uint16_t node)
{
    size_t had = 0;
    for (int i = 0; i < KEYS; i++) {
        had += m->holder[i][node].configured || m->holder[i][node].scanned;
        m->holder[i][node].configured = m->holder[i][node].scanned = false;
    }
    for (int i = 0; i < HOSTS * PATHS; i++)
        m->learned[i / PATHS][i % PATHS][node] = 0;
    m->scanning[node] = false;
    assert_int_equal(directory_remove_node(d, node), had);
}

static void change_scan(struct directory *d, struct model *m, uint16_t node)
{
    int swept = 0;
    if (!m->scanning[node] || rand() % 4 == 0) {
        for (int i = 0; i < KEYS; i++)
            m->holder[i][node].marked = false;
        m->scanning[node] = true;
        assert_int_equal(directory_scan_begin(d, node), 0);
        return;
    }
    m->scanning[node] = false;
    if (rand() % 4 == 0) {
        directory_scan_abort(d, node);
        return;
    }
    for (int i = 0; i < KEYS; i++) {
        if (m->holder[i][node].scanned && !m->holder[i][node].marked) {
            m->holder[i][node].scanned = false;
            swept++;
        }
    }
    assert_int_equal(directory_scan_end(d, node), swept);
}

/* The word that was learned so many words ago makes room, if it is still that one. */
static void model_ring(struct model *m, int host, int path, uint16_t node)
{
    int word = (host * PATHS + path) * NODES + node, old = m->ring.word[m->ring.at];
    if (m->ring.count[old] && m->ring.nth[m->ring.at] == m->ring.count[old])
        m->learned[old / NODES / PATHS][old / NODES % PATHS][old % NODES] = 0;
    m->ring.word[m->ring.at] = word;
    m->ring.nth[m->ring.at] = ++m->ring.count[word];
    m->ring.at = (m->ring.at + 1) % m->ring.size;
}

/* Only when settled: before, the directory may refuse to learn what an older word hides. */
static void change_learn(struct directory *d, struct model *m, uint16_t node, uint64_t now)
{
    int host = 1 + rand() % (HOSTS - 1), path = rand() % PATHS;
    uint64_t expires = now + 1 + (uint64_t)rand() % 300;
    int named = model_lookup(m, host, path, true);
    bool known = m->learned[host][path][node] || (named > 0 && named >> node & 1);
    int err = directory_learn(d, hosts[host], texts[path], strlen(texts[path]), node, expires);
    assert_int_equal(err, known ? 0 : PM_ENOTFOUND);
    if (known && !m->learned[host][path][node])
        model_ring(m, host, path, node);
    if (known)
        m->learned[host][path][node] = expires;
}

static void settle(struct directory *d, struct model *m, uint64_t now)
{
    for (int i = 0; i < HOSTS * PATHS * NODES; i++) {
        uint64_t *expires = &m->learned[i / NODES / PATHS][i / NODES % PATHS][i % NODES];
        *expires = *expires <= now ? 0 : *expires;
    }
    directory_settle(d, now);
}

static void check_holders(const struct directory *d, const struct model *m, unsigned key)
{
    struct directory_key k = key_at(key);
    struct directory_holder h;
    uint32_t id = directory_find(d, &k), seen = 0, want = 0;
    for (int n = 0; n < NODES; n++)
        want += m->holder[key][n].configured || m->holder[key][n].scanned;
    for (uint32_t i = 0; id != DIRECTORY_NONE && directory_holder(d, id, i, &h); i++) {
        if (h.sources == DIRECTORY_LEARNED) {
            assert_true(h.expires == m->learned[key / TEXTS][key % TEXTS][h.node]);
            continue;
        }
        seen++;
        assert_int_equal(!!(h.sources & DIRECTORY_CONFIGURED), m->holder[key][h.node].configured);
        assert_int_equal(!!(h.sources & DIRECTORY_SCANNED), m->holder[key][h.node].scanned);
        assert_int_equal(h.known, m->holder[key][h.node].scanned);
        if (h.known)
            assert_memory_equal(&h.content, &m->holder[key][h.node].content, sizeof h.content);
    }
    assert_int_equal(seen, want);
}

static void change(struct directory *d, struct model *m, uint64_t now)
{
    unsigned key = (unsigned)rand() % KEYS;
    uint16_t node = (uint16_t)(rand() % NODES);
    int what = rand() % 100, adds = now / 300 % 2 ? 20 : 50; /* of 70 */
    if (what < adds)
        change_add(d, m, key, node);
    else if (what < 70)
        change_remove(d, m, key, node);
    else if (what < 90)
        change_learn(d, m, node, now);
    else if (what < 98)
        change_scan(d, m, node);
    else
        change_remove_node(d, m, node);
    check_holders(d, m, key);
}

static void check_end(struct directory *d, struct table *t, bool compile)
{
    const struct directory_watch watch = {on_set, on_entry, on_gone};
    struct directory_figures f;
    for (uint16_t node = 0; node < NODES; node++)
        directory_remove_node(d, node);
    t->fail = 0;
    if (compile)
        assert_int_equal(directory_changes(d, &watch, t), 0);
    for (int i = 0; i < IDS; i++)
        assert_true(!t->set_used[i] && t->entry[i].set == SETS_NONE);
    directory_figures(d, &f);
    assert_int_equal(f.sets + f.subtracting + f.learned + (uint32_t)f.text, 0);
    assert_int_equal(f.hosts, 1);
}

/* learned_max: words that are kept, or 0: as many as there can be. */
static void run(unsigned seed, int steps, bool compile, uint32_t learned_max)
{
    static struct model m;
    static struct table t;
    const struct directory_watch watch = {on_set, on_entry, on_gone};
    struct directory *d = directory_new(seed, learned_max);
    memset(&m, 0, sizeof m);
    memset(&t, 0, sizeof t);
    m.ring.size = learned_max ? learned_max : WORDS;
    for (int i = 0; i < IDS; i++)
        t.entry[i].set = SETS_NONE;
    srand(seed);
    for (int step = 0; step < steps; step++) {
        change(d, &m, (uint64_t)step);
        for (int i = 0; i < HOSTS * PATHS; i++) { /* not settled: at least nobody who is no holder */
            int bits = directory_bits(d, i / PATHS, i % PATHS), all = model_lookup(&m, i / PATHS, i % PATHS, false);
            assert_int_equal(bits < 0, all < 0);
            assert_true(bits < 0 || (bits & ~all) == 0);
        }
        settle(d, &m, (uint64_t)step);
        for (int i = 0; i < HOSTS * PATHS; i++)
            assert_int_equal(directory_bits(d, i / PATHS, i % PATHS), model_lookup(&m, i / PATHS, i % PATHS, true));
        t.fail = step % 5 ? 5 : 0;
        if (compile && rand() % 4 == 0 && directory_changes(d, &watch, &t) == 0)
            for (int i = 0; i < HOSTS * PATHS; i++)
                assert_int_equal(table_lookup(&t, i / PATHS, i % PATHS), model_lookup(&m, i / PATHS, i % PATHS, true));
    }
    check_end(d, &t, compile);
    directory_free(d);
}

static void test_random(void **state)
{
    for (unsigned seed = 1; seed <= 5; seed++)
        run(seed, 2000, seed % 2, 0);
}

static void test_little_room(void **state)
{
    for (unsigned seed = 11; seed <= 14; seed++)
        run(seed, 1200, seed % 2, 1 + seed % 4 * 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_little_room)};
    return cmocka_run_group_tests_name("directory random", tests, NULL, NULL);
}
