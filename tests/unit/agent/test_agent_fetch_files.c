/* SPDX-License-Identifier: Apache-2.0 */
/* What orders may do to files, and what they must not; and the small parts: names, limit of speed, putting in place. */
#include "../cmocka_pm.h"
#include "fetch_bench.h"
#include "fake_server.h"
#include <sys/mount.h>
#include "agent/beneath.h"
#include "agent/fetch_internal.h"
#include "agent/names.h"

enum { SIZE = 200000 };

struct one {
    struct bench bench;
    struct fake fake;
    uint8_t *data;
    struct agent_order order;
};

static int one_init(void **state)
{
    struct one *o = mem_alloc(sizeof *o);
    bench_init(&o->bench);
    bench_open(&o->bench);
    o->data = bytes_make(SIZE, 7);
    fake_start(&o->fake, o->data, SIZE, FAKE_SERVE);
    o->order = order_of(1, "/a/file", o->data, SIZE, &o->fake.at);
    *state = o;
    return 0;
}

static int one_fini(void **state)
{
    struct one *o = *state;
    (void)umount2(o->bench.dirs[0], MNT_DETACH); /* left by test_disk_full if it failed */
    bench_fini(&o->bench);
    fake_stop(&o->fake);
    free(o->data);
    free(o);
    return 0;
}

/* The order fails so, and `name` is as it was. */
static void fails(struct one *o, int err, const char *word, const char *name, const char *content)
{
    unsigned before = o->bench.failed;
    bench_copy(&o->bench, &o->order);
    assert_int_equal(o->bench.failed, before + 1);
    assert_string_equal(err_name(o->bench.err), err_name(err));
    assert_non_null(strstr(o->bench.text, word));
    if (name)
        assert_true(same_bytes(&o->bench, name, content, strlen(content)));
    o->order.id++;
}

static void succeeds(struct one *o)
{
    o->bench.text[0] = 0;
    unsigned before = o->bench.done;
    bench_copy(&o->bench, &o->order);
    assert_string_equal(o->bench.text, "");
    assert_int_equal(o->bench.done, before + 1);
    o->order.id++;
}

/* ---- where nothing may be written ---- */

static void assert_outside_untouched(const struct one *o)
{
    assert_true(same_bytes(&o->bench, "outside/file", "theirs", 6));
    assert_false(there(&o->bench, "outside/new"));
    assert_false(there(&o->bench, "outside/file.pm-part"));
    assert_false(there(&o->bench, "outside/new.pm-part"));
}

static void test_links_refused(void **state)
{
    struct one *o = *state;
    const struct bench *b = &o->bench;
    tree_write(&b->tree, "outside/file", "theirs");
    tree_write(&b->tree, "www/x", "");
    assert_int_equal(symlink("../outside", tree_path(&b->tree, "www/link")), 0);
    assert_int_equal(symlink("../outside/file", tree_path(&b->tree, "www/file")), 0);
    assert_int_equal(symlink("../outside/new", tree_path(&b->tree, "www/new")), 0);
    o->order.path = "/link/file";
    fails(o, PM_EPERM, "a link", NULL, NULL);
    o->order.path = "/link/new";
    fails(o, PM_EPERM, "a link", NULL, NULL);
    o->order.path = "/link/deep/new";
    fails(o, PM_EPERM, "a link", NULL, NULL);
    for (int replaces = 0; replaces < 2; replaces++) {
        o->order.replaces = replaces;
        o->order.old_hash = agent_hash_of("theirs", 6);
        o->order.path = "/file";
        fails(o, PM_EPERM, "no regular file", NULL, NULL);
        o->order.path = "/new";
        fails(o, PM_EPERM, "no regular file", NULL, NULL);
    }
    assert_int_equal(o->fake.requests, 0);
    o->order = order_of(50, "/file", "theirs", 6, NULL);
    o->order.kind = AGENT_REMOVE;
    fails(o, PM_EPERM, "no regular file", NULL, NULL);
    o->order.path = "/link/file";
    fails(o, PM_EPERM, "a link", NULL, NULL);
    assert_outside_untouched(o);
}

/* Links and others' files in the part's place are cleared away, not followed. */
static void test_part_planted(void **state)
{
    struct one *o = *state;
    const struct bench *b = &o->bench;
    tree_write(&b->tree, "outside/file", "theirs");
    tree_write(&b->tree, "www/a/x", "");
    assert_int_equal(symlink("../../outside/new", tree_path(&b->tree, "www/a/file.pm-part")), 0);
    succeeds(o);
    o->order.path = "/a/two";
    assert_int_equal(link(tree_path(&b->tree, "outside/file"), tree_path(&b->tree, "www/a/two.pm-part")), 0);
    succeeds(o);
    o->order.path = "/a/three";
    assert_int_equal(mkfifo(tree_path(&b->tree, "www/a/three.pm-part"), 0600), 0);
    succeeds(o);
    assert_true(same_bytes(b, "www/a/file", o->data, SIZE));
    assert_true(same_bytes(b, "www/a/two", o->data, SIZE));
    assert_true(same_bytes(b, "www/a/three", o->data, SIZE));
    assert_outside_untouched(o);
}

static void test_orders_refused(void **state)
{
    static const char *const bad[] = {"/../outside/new", "/%2e%2e/outside/new", "/a/..%2Fb", "/a%2Fb", "/a%00", "/a b",
                                      "/a?b", "/a#b", "/a%", "/a%4", "/", "/a/", "//a", "/.hidden", "/a/./b",
                                      "/x.pm-part", "/a\r\nHost: x", "/\xc3\xbc"};
    struct one *o = *state;
    struct buf why = BUF_INIT;
    for (size_t i = 0; i < PM_ARRAY_LEN(bad); i++) {
        o->order.path = bad[i];
        assert_int_equal(agent_fetch_add(o->bench.fetch, &o->order, &why), PM_EINVAL);
        assert_true(why.len > 0);
        buf_clear(&why);
    }
    o->order.path = "a";
    assert_int_equal(agent_fetch_add(o->bench.fetch, &o->order, &why), PM_ENOTFOUND);
    o->order.path = "/locked/file";
    buf_clear(&why);
    assert_int_equal(agent_fetch_add(o->bench.fetch, &o->order, &why), PM_EPERM);
    assert_non_null(strstr(buf_str(&why), "does not allow"));
    o->order.kind = AGENT_REMOVE;
    assert_int_equal(agent_fetch_add(o->bench.fetch, &o->order, NULL), PM_EPERM);
    o->order.kind = AGENT_COPY;
    o->order.path = "/locked-not";
    o->order.host = "www.example.net";
    assert_int_equal(agent_fetch_add(o->bench.fetch, &o->order, NULL), PM_ENOTFOUND);
    o->order.host = "WWW.example.com";
    o->order.source_count = 0;
    assert_int_equal(agent_fetch_add(o->bench.fetch, &o->order, NULL), PM_EINVAL);
    o->order.source_count = 1;
    succeeds(o);
    assert_true(there(&o->bench, "www/locked-not"));
    assert_false(there(&o->bench, "locked/file"));
    buf_fini(&why);
}

static void test_roots_checked(void **state)
{
    struct one *o = *state;
    struct agent_fetch *f = NULL;
    o->bench.roots[0].at.host = "www.example.com\r\nX: y";
    assert_int_equal(agent_fetch_new(&o->bench.loop, &o->bench.config, &f), PM_EINVAL);
    o->bench.roots[0].at.host = "www.example.com";
    o->bench.roots[0].at.dir = "relative";
    assert_int_equal(agent_fetch_new(&o->bench.loop, &o->bench.config, &f), PM_EINVAL);
    assert_null(f);
}

/* ---- what is there already ---- */

static void test_replace(void **state)
{
    struct one *o = *state;
    tree_write(&o->bench.tree, "www/a/file", "before");
    fails(o, PM_EEXISTS, "not the one to be replaced", "www/a/file", "before");
    o->order.replaces = true;
    o->order.old_hash = agent_hash_of("Before", 6);
    fails(o, PM_EEXISTS, "not the one to be replaced", "www/a/file", "before");
    assert_int_equal(o->fake.requests, 0);
    o->order.old_hash = agent_hash_of("before", 6);
    succeeds(o);
    assert_true(same_bytes(&o->bench, "www/a/file", o->data, SIZE));
    assert_false(there(&o->bench, "www/a/file.pm-part"));
    /* A file that is to be replaced and is not there does not hinder. */
    tree_remove(&o->bench.tree, "www/a/file");
    succeeds(o);
    assert_true(same_bytes(&o->bench, "www/a/file", o->data, SIZE));
}

static bool half_is_here(struct bench *b, uint64_t arg)
{
    return size_at(b, "www/a/file.pm-part") >= arg;
}

/* Somebody writes the file while the copy is under way. */
static void test_comes_meanwhile(void **state)
{
    struct one *o = *state;
    o->fake.mode = FAKE_CUT;
    o->fake.then = FAKE_SERVE;
    for (int replaces = 0; replaces < 2; replaces++) {
        o->fake.requests = 0;
        if (replaces)
            tree_write(&o->bench.tree, "www/a/file", "before");
        o->order.replaces = replaces;
        o->order.old_hash = agent_hash_of("before", 6);
        assert_int_equal(agent_fetch_add(o->bench.fetch, &o->order, NULL), 0);
        bench_until(&o->bench, half_is_here, SIZE / 2);
        tree_write(&o->bench.tree, "www/a/file", "theirs");
        bench_results(&o->bench, (unsigned)replaces + 1);
        assert_int_equal(o->bench.err, PM_EEXISTS);
        assert_true(same_bytes(&o->bench, "www/a/file", "theirs", 6));
        tree_remove(&o->bench.tree, "www/a");
        o->order.id++;
    }
    assert_int_equal(o->bench.failed, 2);
}

static void test_remove(void **state)
{
    struct one *o = *state;
    o->order = order_of(1, "/a/file", "mine", 4, NULL);
    o->order.kind = AGENT_REMOVE;
    tree_write(&o->bench.tree, "www/a/file", "mina");
    fails(o, PM_EEXISTS, "not the one to be removed", "www/a/file", "mina");
    tree_write(&o->bench.tree, "www/a/file", "mine!");
    fails(o, PM_EEXISTS, "not the one to be removed", "www/a/file", "mine!");
    tree_write(&o->bench.tree, "www/a/file", "mine");
    tree_write(&o->bench.tree, "www/a/other", "mine");
    succeeds(o);
    assert_false(there(&o->bench, "www/a/file"));
    assert_false(there(&o->bench, "www/a/file.pm-part"));
    assert_true(there(&o->bench, "www/a/other"));
    succeeds(o); /* it is not there: as wanted */
    o->order.path = "/no/such/folder";
    succeeds(o);
    assert_false(there(&o->bench, "www/no"));
    /* Without its root nothing can be said. */
    tree_remove(&o->bench.tree, "www");
    fails(o, PM_EIO, "document root", NULL, NULL);
}

/* ---- orders and their number ---- */

static void test_queue(void **state)
{
    struct one *o = *state;
    o->bench.config.queue_max = 3;
    o->bench.config.at_once = 1;
    bench_close(&o->bench);
    bench_open(&o->bench);
    struct agent_order remove = o->order, back = o->order;
    remove.id = 2;
    remove.kind = AGENT_REMOVE;
    back.id = 3;
    assert_int_equal(agent_fetch_add(o->bench.fetch, &o->order, NULL), 0);
    assert_int_equal(agent_fetch_add(o->bench.fetch, &o->order, NULL), PM_EEXISTS);
    assert_int_equal(agent_fetch_add(o->bench.fetch, &remove, NULL), 0);
    assert_int_equal(agent_fetch_add(o->bench.fetch, &back, NULL), 0);
    back.id = 4;
    assert_int_equal(agent_fetch_add(o->bench.fetch, &back, NULL), PM_EBUSY);
    assert_int_equal(bench_stats(&o->bench).waiting, 3);
    bench_results(&o->bench, 3);
    assert_int_equal(o->bench.done, 3);
    assert_int_equal(o->bench.started, 3);
    assert_int_equal(o->fake.requests, 2);
    struct agent_fetch_stats s = bench_stats(&o->bench);
    assert_int_equal(s.copied, 2);
    assert_int_equal(s.removed, 1);
    assert_int_equal(s.waiting + s.working, 0);
}

/* Orders for one file wait for each other, however many may run. */
static void test_same_file_in_turn(void **state)
{
    struct one *o = *state;
    for (uint64_t id = 1; id <= 20; id++) {
        struct agent_order next = o->order;
        next.id = id;
        next.kind = id % 2 ? AGENT_COPY : AGENT_REMOVE;
        assert_int_equal(agent_fetch_add(o->bench.fetch, &next, NULL), 0);
    }
    bench_results(&o->bench, 20);
    assert_int_equal(o->bench.done, 20);
    assert_int_equal(o->fake.requests, 10);
    assert_false(there(&o->bench, "www/a/file"));
}

static bool idle(struct bench *b, uint64_t arg)
{
    struct agent_fetch_stats s = bench_stats(b);
    return s.waiting + s.working == 0;
}

static void cancel_it(struct bench *b, uint64_t id)
{
    assert_int_equal(agent_fetch_cancel(b->fetch, id), 0);
}

static void test_cancel(void **state)
{
    struct one *o = *state;
    struct bench *b = &o->bench;
    assert_int_equal(agent_fetch_cancel(b->fetch, 1), PM_ENOTFOUND);
    /* Waiting, with a part that another process has left. */
    tree_write(&b->tree, "www/a/file.pm-part", "left");
    assert_int_equal(agent_fetch_add(b->fetch, &o->order, NULL), 0);
    assert_int_equal(agent_fetch_cancel(b->fetch, 1), 0);
    assert_int_equal(agent_fetch_cancel(b->fetch, 1), PM_ENOTFOUND);
    bench_until(b, idle, 0);
    assert_false(there(b, "www/a/file.pm-part"));
    /* Just begun; in a worker. */
    b->on_start = cancel_it;
    assert_int_equal(agent_fetch_add(b->fetch, &o->order, NULL), 0);
    bench_until(b, idle, 0);
    assert_int_equal(b->started, 1);
    b->on_start = NULL;
    /* While bytes come. */
    o->fake.mode = FAKE_HANGS;
    assert_int_equal(agent_fetch_add(b->fetch, &o->order, NULL), 0);
    bench_until(b, half_is_here, SIZE / 2);
    assert_int_equal(agent_fetch_cancel(b->fetch, 1), 0);
    /* The same number, at once: another order. */
    o->fake.mode = FAKE_SERVE;
    assert_int_equal(agent_fetch_add(b->fetch, &o->order, NULL), 0);
    bench_results(b, 1);
    assert_int_equal(b->done, 1);
    assert_true(same_bytes(b, "www/a/file", o->data, SIZE));
    assert_int_equal(bench_stats(b).resumed, 0);
}

static void test_freed_at_any_moment(void **state)
{
    struct one *o = *state;
    o->fake.mode = FAKE_CUT;
    for (int turns = 0; turns < 40; turns++) {
        assert_int_equal(agent_fetch_add(o->bench.fetch, &o->order, NULL), 0);
        struct agent_order other = o->order;
        other.id = 1000;
        other.path = "/b";
        assert_int_equal(agent_fetch_add(o->bench.fetch, &other, NULL), 0);
        for (int i = 0; i < turns % 10; i++)
            uv_run(&o->bench.loop, UV_RUN_ONCE);
        unsigned ended = o->bench.done + o->bench.failed;
        bench_close(&o->bench);
        assert_int_equal(o->bench.done + o->bench.failed, ended);
        if (there(&o->bench, "www/a/file"))
            assert_true(same_bytes(&o->bench, "www/a/file", o->data, SIZE));
        bench_open(&o->bench);
    }
}

/* ---- room ---- */

static void test_reserve(void **state)
{
    struct one *o = *state;
    tree_write(&o->bench.tree, "www/a/other", "");
    o->bench.config.reserve = UINT64_MAX / 2;
    bench_close(&o->bench);
    bench_open(&o->bench);
    fails(o, PM_ESPACE, "no room", NULL, NULL);
    assert_int_equal(o->fake.requests, 0);
    assert_false(there(&o->bench, "www/a/file.pm-part"));
}

static void test_disk_full(void **state)
{
    struct one *o = *state;
    char dir[128];
    snprintf(dir, sizeof dir, "%s/www", o->bench.tree.dir);
    if (geteuid() != 0 || mount("pm-test", dir, "tmpfs", 0, "size=128k") != 0)
        skip();
    fails(o, PM_ESPACE, "no room", NULL, NULL);
    bool left = there(&o->bench, "www/a/file.pm-part");
    assert_int_equal(umount(dir), 0);
    assert_false(left);
}

/* ---- small parts ---- */

/* The file changes between the look and the last step: what was there is put back. */
static void test_last_moment(void **state)
{
    struct one *o = *state;
    const struct tree *t = &o->bench.tree;
    struct fetch_file f;
    struct fetch_found found;
    struct fetch_origin origin = {.size = 3, .hash = agent_hash_of("new", 3)};
    struct buf why = BUF_INIT;
    uint64_t have;
    fetch_file_init(&f);
    tree_write(t, "www/name", "before");
    assert_int_equal(fetch_file_open(&f, &o->bench.roots[0].at, "name", false, &why), 0);
    assert_int_equal(fetch_part_open(&f, &origin, &have, &why), 0);
    assert_int_equal(fetch_part_write(&f, "new", 3, 0, &why), 0);
    assert_int_equal(fetch_file_look(&f, FETCH_ANY_SIZE, &found, NULL, &why), 0);
    assert_true(found.hashed && found.hash == agent_hash_of("before", 6));
    tree_write(t, "www/name", "theirs, longer");
    assert_int_equal(fetch_part_place(&f, &why), PM_EAGAIN);
    assert_int_equal(fetch_file_remove(&f, &why), PM_EAGAIN);
    assert_true(same_bytes(&o->bench, "www/name", "theirs, longer", 14));
    /* Removing has cleared the part away; it is noticed that it is not ours any more. */
    tree_write(t, "www/name.pm-part", "other");
    assert_int_equal(fetch_part_place(&f, &why), PM_EBUSY);
    fetch_file_close(&f);
    buf_fini(&why);
    assert_true(same_bytes(&o->bench, "www/name", "theirs, longer", 14));
}

/* The same where there was nothing. */
static void test_last_moment_of_a_new_one(void **state)
{
    struct one *o = *state;
    struct fetch_file f;
    struct fetch_found found;
    struct fetch_origin origin = {.size = 3};
    struct buf why = BUF_INIT;
    uint64_t have;
    fetch_file_init(&f);
    assert_int_equal(fetch_file_open(&f, &o->bench.roots[0].at, "new/name", true, &why), 0);
    assert_int_equal(fetch_part_open(&f, &origin, &have, &why), 0);
    assert_int_equal(fetch_file_look(&f, FETCH_ANY_SIZE, &found, NULL, &why), 0);
    assert_false(found.there);
    tree_write(&o->bench.tree, "www/new/name", "theirs");
    assert_int_equal(fetch_part_place(&f, &why), PM_EAGAIN);
    assert_true(same_bytes(&o->bench, "www/new/name", "theirs", 6));
    fetch_file_close(&f);
    buf_fini(&why);
}

/* As when all files are given one time: two versions must not look like one to the scan. */
static void test_times_differ(void **state)
{
    struct one *o = *state;
    struct buf why = BUF_INIT;
    struct stat st[2];
    for (uint64_t i = 0; i < 2; i++) {
        struct fetch_file f;
        struct fetch_origin origin = {.size = 3};
        uint64_t have;
        fetch_file_init(&f);
        assert_int_equal(fetch_file_open(&f, &o->bench.roots[0].at, i ? "b" : "a", false, &why), 0);
        assert_int_equal(fetch_part_open(&f, &origin, &have, &why), 0);
        assert_int_equal(fetch_part_dress(&f, 1, agent_hash_of(&i, sizeof i), &why), 0);
        assert_int_equal(fstat(f.part, &st[i]), 0);
        assert_int_equal(st[i].st_mtime, 1);
        fetch_file_close(&f);
    }
    assert_int_not_equal(st[0].st_mtim.tv_nsec, st[1].st_mtim.tv_nsec);
    buf_fini(&why);
}

/* A part that has all bytes: right ones are not asked for again, wrong ones are. */
static void test_complete_part(void **state)
{
    struct one *o = *state;
    for (int wrong = 0; wrong < 2; wrong++) {
        struct fetch_file f;
        struct fetch_origin origin = {.size = SIZE, .hash = o->order.hash};
        struct buf why = BUF_INIT;
        uint64_t have;
        fetch_file_init(&f);
        assert_int_equal(fetch_file_open(&f, &o->bench.roots[0].at, wrong ? "b" : "a", true, &why), 0);
        assert_int_equal(fetch_part_open(&f, &origin, &have, &why), 0);
        assert_int_equal(fetch_part_write(&f, o->data, SIZE, 0, &why), 0);
        assert_int_equal(fetch_part_write(&f, "x", (size_t)wrong, 0, &why), 0);
        fetch_part_note(&f, &origin);
        fetch_file_close(&f);
        o->order.path = wrong ? "/b" : "/a";
        succeeds(o);
        assert_true(same_bytes(&o->bench, wrong ? "www/b" : "www/a", o->data, SIZE));
        assert_int_equal(o->fake.requests, wrong);
        buf_fini(&why);
    }
    /* One of another content is not asked about. */
    tree_write(&o->bench.tree, "www/c.pm-part", "no note");
    o->order.path = "/c";
    succeeds(o);
    assert_int_equal(o->fake.ranged, 0);
}

static void test_part_is_locked(void **state)
{
    struct one *o = *state;
    struct fetch_file a, b;
    struct fetch_origin origin = {.size = 3};
    struct buf why = BUF_INIT;
    uint64_t have;
    fetch_file_init(&a);
    fetch_file_init(&b);
    assert_int_equal(fetch_file_open(&a, &o->bench.roots[0].at, "name", false, &why), 0);
    assert_int_equal(fetch_file_open(&b, &o->bench.roots[0].at, "name", false, &why), 0);
    assert_int_equal(fetch_part_open(&a, &origin, &have, &why), 0);
    assert_int_equal(fetch_part_open(&b, &origin, &have, &why), PM_EBUSY);
    fetch_file_close(&a);
    assert_int_equal(fetch_part_open(&b, &origin, &have, &why), 0);
    fetch_file_close(&b);
    buf_fini(&why);
}

static void test_long_name(void **state)
{
    struct one *o = *state;
    char path[300] = "/", file[300] = "www/";
    memset(path + 1, 'n', 255);
    memset(file + 4, 'n', 255);
    o->order.path = path;
    o->fake.mode = FAKE_CUT;
    o->fake.then = FAKE_SERVE;
    succeeds(o);
    assert_true(same_bytes(&o->bench, file, o->data, SIZE));
    assert_int_equal(bench_stats(&o->bench).resumed, 1);
}

static void test_names(void **state)
{
    struct buf url = BUF_INIT, back = BUF_INIT;
    char all[256];
    for (int i = 1; i < 256; i++)
        all[i - 1] = (char)(i == '/' ? 'x' : i);
    all[255] = 0;
    agent_name_encode(all, &url);
    assert_int_equal(agent_name_decode(buf_str(&url), &back), 0);
    assert_string_equal(buf_str(&back), all);
    for (const char *p = buf_str(&url); *p; p++)
        assert_true(*p > ' ' && *p < 0x7f && *p != '?' && *p != '#');
    buf_fini(&url);
    buf_fini(&back);
}

static void test_pace(void **state)
{
    static const uint64_t rates[] = {1, 7, 1000, 1000000, UINT64_C(10) << 30};
    for (size_t i = 0; i < PM_ARRAY_LEN(rates); i++) {
        struct agent_pace p;
        uint64_t ns = 12345, taken = 0, rate = rates[i];
        agent_pace_init(&p, rate, ns);
        assert_int_equal(agent_pace_wait_ms(&p, ns), 0);
        /* Asked at odd times, in odd amounts: the average is the rate. */
        for (int k = 0; k < 200000; k++) {
            uint64_t block = rate / 100 + 1;
            if (agent_pace_may(&p, ns)) {
                agent_pace_take(&p, block);
                taken += block;
            }
            ns += 777777;
        }
        double expected = (double)rate * (double)(ns - 12345) / 1e9;
        assert_true((double)taken >= 0.99 * expected - 1 && (double)taken <= 1.01 * expected + (double)rate / 4 + 4);
        /* After the wait it says, there is credit, and not long before. */
        agent_pace_take(&p, rate * 3);
        uint64_t ms = agent_pace_wait_ms(&p, ns);
        assert_true(ms > 2500 && ms < 4100);
        assert_false(agent_pace_may(&p, ns + (ms - 3) * 1000000));
        assert_true(agent_pace_may(&p, ns + ms * 1000000));
    }
}

int main(void)
{
#define ONE(f) cmocka_unit_test_setup_teardown(f, one_init, one_fini)
    const struct CMUnitTest tests[] = {
        ONE(test_links_refused), ONE(test_part_planted),      ONE(test_orders_refused), ONE(test_roots_checked),
        ONE(test_replace),       ONE(test_comes_meanwhile),   ONE(test_remove),         ONE(test_queue),
        ONE(test_same_file_in_turn), ONE(test_cancel),        ONE(test_freed_at_any_moment), ONE(test_reserve),
        ONE(test_disk_full),     ONE(test_last_moment),       ONE(test_part_is_locked), ONE(test_long_name),
        ONE(test_last_moment_of_a_new_one), ONE(test_complete_part),
        ONE(test_times_differ),
        cmocka_unit_test(test_names), cmocka_unit_test(test_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
