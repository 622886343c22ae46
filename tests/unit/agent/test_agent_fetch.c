/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders carried out for real: from an unmodified nginx, and from a server that does everything a source should not.
 * The clock is the test's: pauses, slowness and the limit of speed are counted by it, not waited for.
 */
#include "../cmocka_pm.h"
#include "fetch_bench.h"
#include "fake_server.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { SIZE = 300000 };

/* ---- one order, one source that may misbehave ---- */

struct one {
    struct bench bench;
    struct fake fake;
    uint8_t *data;
    struct agent_order order;
};

static void one_init(struct one *o, enum fake_mode mode)
{
    bench_init(&o->bench);
    bench_open(&o->bench);
    o->data = bytes_make(SIZE, 7);
    fake_start(&o->fake, o->data, SIZE, mode);
    o->order = order_of(1, "/a/file", o->data, SIZE, &o->fake.at);
}

static void one_fini(struct one *o)
{
    bench_fini(&o->bench);
    fake_stop(&o->fake);
    free(o->data);
}

static void assert_copied(struct one *o)
{
    assert_string_equal(o->bench.text, "");
    assert_int_equal(o->bench.done, 1);
    assert_true(same_bytes(&o->bench, "www/a/file", o->data, SIZE));
    assert_false(there(&o->bench, "www/a/file.pm-part"));
}

static void assert_failed(struct one *o, int err, const char *word)
{
    assert_int_equal(o->bench.failed, 1);
    assert_string_equal(err_name(o->bench.err), err_name(err));
    assert_non_null(strstr(o->bench.text, word));
    assert_false(there(&o->bench, "www/a/file"));
}

static void test_copy(void **state)
{
    struct one o;
    struct stat st;
    one_init(&o, FAKE_SERVE);
    bench_copy(&o.bench, &o.order);
    assert_copied(&o);
    assert_int_equal(o.bench.started, 1);
    assert_non_null(strstr(o.fake.last, "GET /a/file HTTP/1.1\r\n"));
    assert_non_null(strstr(o.fake.last, "\r\nHost: www.example.com\r\n"));
    assert_non_null(strstr(o.fake.last, "\r\nAccept-Encoding: identity\r\n"));
    assert_null(strstr(o.fake.last, "Range"));
    assert_int_equal(lstat(tree_path(&o.bench.tree, "www/a/file"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_true(getxattr(tree_path(&o.bench.tree, "www/a/file"), "user.pointsman.part", NULL, 0) < 0);
    /* The same again finds it there. */
    o.order.id = 2;
    bench_copy(&o.bench, &o.order);
    assert_int_equal(o.bench.done, 2);
    assert_int_equal(o.fake.requests, 1);
    assert_int_equal(bench_stats(&o.bench).found, 1);
    one_fini(&o);
}

static void test_owner_and_umask(void **state)
{
    struct one o;
    struct stat st;
    if (geteuid() != 0)
        skip();
    one_init(&o, FAKE_SERVE);
    mode_t umask_before = umask(077);
    assert_int_equal(chown(tree_path(&o.bench.tree, "www"), 12345, 23456), 0);
    bench_copy(&o.bench, &o.order);
    umask(umask_before);
    assert_copied(&o);
    for (const char *const *p = (const char *const[]){"www/a", "www/a/file", NULL}; *p; p++) {
        assert_int_equal(lstat(tree_path(&o.bench.tree, *p), &st), 0);
        assert_int_equal(st.st_uid, 12345);
        assert_int_equal(st.st_gid, 23456);
        assert_int_equal(st.st_mode & 07777, S_ISDIR(st.st_mode) ? 0755 : 0644);
    }
    one_fini(&o);
}

static void test_cut_goes_on(void **state)
{
    struct one o;
    one_init(&o, FAKE_CUT);
    o.fake.then = FAKE_SERVE;
    bench_copy(&o.bench, &o.order);
    assert_copied(&o);
    assert_int_equal(o.fake.requests, 2);
    assert_int_equal(o.fake.ranged, 1);
    assert_int_equal(o.fake.if_ranged, 1);
    assert_int_equal(bench_stats(&o.bench).resumed, 1);
    assert_int_equal(bench_stats(&o.bench).received, SIZE);
    one_fini(&o);
}

/* Always half of the rest: as long as it goes forward, rounds do not count. */
static void test_cut_again_and_again(void **state)
{
    struct one o;
    one_init(&o, FAKE_CUT);
    o.bench.config.rounds = 2;
    bench_close(&o.bench);
    bench_open(&o.bench);
    bench_copy(&o.bench, &o.order);
    assert_failed(&o, PM_ERESET, "closed after");
    assert_true(o.fake.requests >= 3);
    /* What is there stays for the next order, of another process. */
    assert_true(size_at(&o.bench, "www/a/file.pm-part") > SIZE / 2);
    bench_close(&o.bench);
    bench_open(&o.bench);
    o.bench.failed = 0;
    o.bench.text[0] = 0;
    o.fake.then = FAKE_SERVE;
    bench_copy(&o.bench, &o.order);
    assert_copied(&o);
    assert_int_equal(bench_stats(&o.bench).resumed, 1);
    assert_true(bench_stats(&o.bench).received < SIZE / 2);
    one_fini(&o);
}

static void test_range_ignored(void **state)
{
    struct one o;
    one_init(&o, FAKE_CUT);
    o.fake.then = FAKE_NO_RANGE;
    bench_copy(&o.bench, &o.order);
    assert_copied(&o);
    assert_int_equal(bench_stats(&o.bench).restarted, 1);
    assert_int_equal(bench_stats(&o.bench).resumed, 0);
    one_fini(&o);
}

/* Cut each time at the same place is no progress. */
static void test_no_progress_ends(void **state)
{
    struct one o;
    one_init(&o, FAKE_CUT_NO_RANGE);
    bench_copy(&o.bench, &o.order);
    assert_failed(&o, PM_ERESET, "closed after");
    assert_int_equal(o.fake.requests, 5); /* one that came further than before, and four rounds */
    one_fini(&o);
}

/* Whatever is refused for good leaves nothing behind, and is asked for once. */
static void refused(enum fake_mode mode, int err, const char *word, unsigned requests)
{
    struct one o;
    one_init(&o, mode);
    bench_copy(&o.bench, &o.order);
    assert_failed(&o, err, word);
    assert_int_equal(o.fake.requests, requests);
    assert_false(there(&o.bench, "www/a/file.pm-part"));
    one_fini(&o);
}

static void test_refused(void **state)
{
    refused(FAKE_WRONG, PM_EPROTO, "hash", 1);
    refused(FAKE_TOO_MUCH, PM_EPROTO, "more than 300000 bytes", 1);
    refused(FAKE_LONGER, PM_EPROTO, "has 300001 bytes", 1);
    refused(FAKE_ENCODED, PM_EPROTO, "encoding", 1);
    refused(FAKE_REDIRECT, PM_EPROTO, "answers 302", 1);
    refused(FAKE_MISSING, PM_ENOTFOUND, "answers 404", 1);
    refused(FAKE_NONSENSE, PM_EPROTO, "", 1);
    refused(FAKE_BROKEN, PM_EPROTO, "answers 500", 4);
}

static void test_chunked(void **state)
{
    struct one o;
    one_init(&o, FAKE_CHUNKED);
    bench_copy(&o.bench, &o.order);
    assert_copied(&o);
    one_fini(&o);
}

static void test_wrong_range(void **state)
{
    struct one o;
    one_init(&o, FAKE_CUT);
    o.fake.then = FAKE_OTHER_RANGE;
    bench_copy(&o.bench, &o.order);
    assert_failed(&o, PM_EPROTO, "another range");
    one_fini(&o);
}

static void test_unsatisfied_range(void **state)
{
    struct one o;
    one_init(&o, FAKE_CUT);
    o.fake.then = FAKE_UNSATISFIED; /* refuses each range, serves all else */
    bench_copy(&o.bench, &o.order);
    assert_copied(&o);
    assert_int_equal(o.fake.requests, 3);
    one_fini(&o);
}

/* The part is another version of the same length: the source says so by its tag, and sends all. */
static void test_source_changed(void **state)
{
    struct one o;
    one_init(&o, FAKE_CUT);
    o.fake.then = FAKE_SERVE;
    uint8_t *older = bytes_make(SIZE, 8);
    o.fake.data = older;
    assert_int_equal(agent_fetch_add(o.bench.fetch, &o.order, NULL), 0);
    bench_until(&o.bench, bench_has_received, SIZE / 2);
    o.fake.data = o.data;
    o.fake.etag = "\"two\"";
    bench_results(&o.bench, 1);
    assert_copied(&o);
    assert_int_equal(o.fake.if_ranged, 1);
    assert_int_equal(o.fake.requests, 2);
    one_fini(&o);
    free(older);
}

/* The tag lies: only the hash tells, and the source may send all of it once. */
static void test_source_changed_in_secret(void **state)
{
    struct one o;
    one_init(&o, FAKE_CUT);
    o.fake.then = FAKE_SERVE;
    uint8_t *older = bytes_make(SIZE, 8);
    o.fake.data = older;
    assert_int_equal(agent_fetch_add(o.bench.fetch, &o.order, NULL), 0);
    bench_until(&o.bench, bench_has_received, SIZE / 2);
    o.fake.data = o.data;
    bench_results(&o.bench, 1);
    assert_copied(&o);
    assert_int_equal(o.fake.requests, 3);
    assert_int_equal(bench_stats(&o.bench).restarted, 1);
    one_fini(&o);
    free(older);
}

/* ---- several sources ---- */

/* One that never answers. Where there is no IPv6, nobody can be there. */
static int listener_at(const struct endpoint *at)
{
    struct sockaddr_storage sa;
    socklen_t n = endpoint_to_sockaddr(at, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&sa, n) == 0)
        assert_int_equal(listen(fd, 4), 0);
    return fd;
}

static void test_next_source(void **state)
{
    static const enum fake_mode bad[] = {FAKE_WRONG, FAKE_MISSING, FAKE_BROKEN, FAKE_CUT, FAKE_REDIRECT};
    for (size_t i = 0; i < PM_ARRAY_LEN(bad); i++) {
        struct one o;
        struct fake second;
        one_init(&o, bad[i]);
        fake_start(&second, o.data, SIZE, FAKE_SERVE);
        struct endpoint nobody = o.fake.at;
        assert_int_equal(addr_parse("::1", &nobody.addr), 0); /* nobody has that port there */
        struct endpoint sources[] = {nobody, o.fake.at, second.at};
        o.order.sources = sources;
        o.order.source_count = 3;
        bench_copy(&o.bench, &o.order);
        assert_copied(&o);
        assert_int_equal(o.fake.requests, 1);
        assert_int_equal(second.requests, 1);
        /* A part is gone on with elsewhere; the tag means nothing there. */
        assert_int_equal(second.ranged, bad[i] == FAKE_CUT);
        assert_int_equal(second.if_ranged, 0);
        /* The one that was not there is not asked first the next time, though somebody is there now. */
        int late = listener_at(&nobody);
        o.order.id = 2;
        o.order.path = "/b";
        o.fake.then = FAKE_SERVE;
        bench_copy(&o.bench, &o.order);
        assert_int_equal(o.bench.done, 2);
        assert_int_equal(o.fake.requests, 2);
        assert_true(accept(late, NULL, NULL) < 0);
        close(late);
        bench_close(&o.bench);
        fake_stop(&second);
        one_fini(&o);
    }
}

static void test_nobody_there(void **state)
{
    struct one o;
    one_init(&o, FAKE_SERVE);
    struct endpoint nobody = o.fake.at;
    assert_int_equal(addr_parse("::1", &nobody.addr), 0);
    o.order.sources = &nobody;
    bench_copy(&o.bench, &o.order);
    assert_int_equal(o.bench.failed, 1);
    assert_true(o.bench.err == PM_EREFUSED || o.bench.err == PM_EUNREACH || o.bench.err == PM_EUNSUPPORTED);
    assert_false(there(&o.bench, "www/a/file.pm-part"));
    one_fini(&o);
}

static void test_slow(void **state)
{
    struct one o;
    struct fake second;
    one_init(&o, FAKE_HANGS);
    fake_start(&second, o.data, SIZE, FAKE_SERVE);
    struct endpoint sources[] = {o.fake.at, second.at};
    o.order.sources = sources;
    o.order.source_count = 2;
    assert_int_equal(agent_fetch_add(o.bench.fetch, &o.order, NULL), 0);
    bench_until(&o.bench, bench_has_received, SIZE / 2);
    bench_advance(&o.bench, 20000); /* enough came in this one */
    assert_int_equal(second.requests, 0);
    bench_advance(&o.bench, 19999);
    assert_int_equal(bench_stats(&o.bench).working, 1);
    bench_advance(&o.bench, 1); /* nothing came in this one */
    bench_results(&o.bench, 1);
    assert_copied(&o);
    assert_int_equal(second.ranged, 1);
    bench_close(&o.bench);
    fake_stop(&second);
    one_fini(&o);
}

/* ---- speed ---- */

/* Turns the loop for a while in which the clock stands. */
static void turn(struct bench *b)
{
    uint64_t before = bench_stats(b).received;
    for (int quiet = 0; quiet < 20; quiet++) {
        uv_run(&b->loop, UV_RUN_ONCE);
        agent_fetch_tick(b->fetch);
        uint64_t now = bench_stats(b).received;
        quiet = now != before ? 0 : quiet;
        before = now;
    }
}

static void test_rate(void **state)
{
    enum { RATE = 100000, BLOCKS = 2 * 16384, STEP_MS = 100 };
    struct one o;
    one_init(&o, FAKE_SERVE);
    o.bench.config.rate = RATE;
    o.bench.config.progress_ms = 500;
    bench_close(&o.bench);
    bench_open(&o.bench);
    assert_int_equal(agent_fetch_add(o.bench.fetch, &o.order, NULL), 0);
    o.order.id = 2;
    o.order.path = "/b";
    assert_int_equal(agent_fetch_add(o.bench.fetch, &o.order, NULL), 0);
    uint64_t ms = 0;
    for (; o.bench.done < 2; ms += STEP_MS) {
        turn(&o.bench);
        /* An eighth of a second is saved up; each of the two may be a block ahead. */
        assert_true(bench_stats(&o.bench).received <= RATE / 8 + RATE * ms / 1000 + BLOCKS);
        /* Both are about equally far. */
        size_t a = size_at(&o.bench, "www/a/file.pm-part"), b = size_at(&o.bench, "www/b.pm-part");
        if (a && b && ms > 1000)
            assert_true(a < 2 * b && b < 2 * a);
        bench_advance(&o.bench, STEP_MS);
        assert_int_equal(o.bench.failed, 0);
        assert_true(ms < 60000);
    }
    /* And not slower than it need be, give or take the turns in which a disk was waited for. */
    assert_true(ms >= (2 * SIZE - RATE / 8 - BLOCKS) / (RATE / 1000));
    assert_true(o.bench.progressed >= 4 && o.bench.progressed <= 2 * (ms / 500 + 1));
    assert_true(same_bytes(&o.bench, "www/b", o.data, SIZE));
    one_fini(&o);
}

/* Held back by the limit for longer than a slow source is borne with. */
static void test_rate_is_no_slowness(void **state)
{
    struct one o;
    one_init(&o, FAKE_SERVE);
    o.bench.config.rate = 1000;
    o.bench.config.slow_ms = 1000;
    bench_close(&o.bench);
    bench_open(&o.bench);
    assert_int_equal(agent_fetch_add(o.bench.fetch, &o.order, NULL), 0);
    bench_until(&o.bench, bench_has_received, 1);
    for (int s = 0; s < 400 && !o.bench.done; s++) {
        for (int i = 0; i < 3; i++)
            uv_run(&o.bench.loop, UV_RUN_ONCE);
        bench_advance(&o.bench, 1000);
    }
    bench_results(&o.bench, 1);
    assert_copied(&o);
    assert_int_equal(o.fake.requests, 1);
    one_fini(&o);
}

/* ---- nginx ---- */

struct nginx {
    pid_t pid;
    struct endpoint v4, v6;
};

static uint16_t free_port(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
    close(fd);
    return ntohs(sa.sin_port);
}

static bool answers(const struct endpoint *at)
{
    struct sockaddr_storage sa;
    socklen_t n = endpoint_to_sockaddr(at, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&sa, n) == 0;
    close(fd);
    return ok;
}

static bool nginx_start(struct nginx *n, const struct tree *t)
{
    char text[2048], dir[128];
    uint16_t port = free_port();
    if (access("/usr/sbin/nginx", X_OK) != 0) {
        print_message("# skipped: nginx is not installed (apt-get install nginx-light)\n");
        return false;
    }
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    assert_int_equal(endpoint_parse(text, 0, &n->v4), 0);
    snprintf(text, sizeof text, "[::1]:%u", port);
    assert_int_equal(endpoint_parse(text, 0, &n->v6), 0);
    snprintf(text, sizeof text,
             "user root; daemon off; master_process off; pid nginx.pid; error_log stderr crit;\n"
             "events {}\n"
             "http {\n"
             "  access_log off; client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path "
             "tmp;\n"
             "  scgi_temp_path tmp; gzip on; gzip_types *; gzip_min_length 1;\n"
             "  server { listen 127.0.0.1:%u; listen [::1]:%u; return 404; }\n"
             "  server { listen 127.0.0.1:%u; listen [::1]:%u; server_name www.example.com; root %s/source; }\n"
             "}\n",
             port, port, port, port, t->dir);
    tree_write(t, "nginx/nginx.conf", text);
    tree_dirs(t, "source/");
    snprintf(dir, sizeof dir, "%s/nginx", t->dir);
    n->pid = fork();
    if (n->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails does not stop it */
        execl("/usr/sbin/nginx", "nginx", "-p", dir, "-c", "nginx.conf", "-e", "stderr", NULL);
        _exit(127);
    }
    for (int i = 0; i < 2000 && !(answers(&n->v4) && answers(&n->v6)); i++)
        usleep(5000);
    assert_true(answers(&n->v4));
    return true;
}

static void nginx_stop(struct nginx *n)
{
    int status;
    kill(n->pid, SIGTERM);
    assert_int_equal(waitpid(n->pid, &status, 0), n->pid);
}

static void test_nginx(void **state)
{
    static const struct {
        const char *path, *file;
        size_t len;
    } of[] = {{"/empty", "empty", 0},
              {"/one", "one", 1},
              {"/a/b/c/page.html", "a/b/c/page.html", 100000},
              {"/with%20space%25and%3Fmark/%C3%BC+%23.txt", "with space%and?mark/\xc3\xbc+#.txt", 4097},
              {"/big.bin", "big.bin", 20000000}};
    struct bench b;
    struct nginx nginx;
    struct stat from, to;
    char name[256];
    bench_init(&b);
    if (!nginx_start(&nginx, &b.tree)) {
        bench_fini(&b);
        skip();
    }
    bench_open(&b);
    uint8_t *data[PM_ARRAY_LEN(of)];
    for (size_t i = 0; i < PM_ARRAY_LEN(of); i++) {
        const struct timespec long_ago[2] = {{.tv_sec = 1600000000}, {.tv_sec = 1600000000 + (time_t)i}};
        data[i] = bytes_make(of[i].len, (uint32_t)i);
        snprintf(name, sizeof name, "source/%s", of[i].file);
        tree_write_bytes(&b.tree, name, data[i], of[i].len);
        assert_int_equal(utimensat(AT_FDCWD, tree_path(&b.tree, name), long_ago, 0), 0);
        struct agent_order o = order_of(i, of[i].path, data[i], of[i].len, i % 2 ? &nginx.v6 : &nginx.v4);
        assert_int_equal(agent_fetch_add(b.fetch, &o, NULL), 0);
    }
    bench_results(&b, PM_ARRAY_LEN(of));
    assert_string_equal(b.text, "");
    for (size_t i = 0; i < PM_ARRAY_LEN(of); i++) {
        snprintf(name, sizeof name, "source/%s", of[i].file);
        assert_int_equal(lstat(tree_path(&b.tree, name), &from), 0);
        snprintf(name, sizeof name, "www/%s", of[i].file);
        assert_true(same_bytes(&b, name, data[i], of[i].len));
        assert_int_equal(lstat(tree_path(&b.tree, name), &to), 0);
        if (of[i].len)
            assert_int_equal(from.st_mtime, to.st_mtime);
        free(data[i]);
    }
    bench_close(&b);
    nginx_stop(&nginx);
    bench_fini(&b);
}

/* Freed half way, made anew: the part goes on. Then the source changes: it is sent from the start. */
static void test_nginx_resumes(void **state)
{
    enum { BIG = 5000000, RATE = 1000000 };
    struct bench b;
    struct nginx nginx;
    bench_init(&b);
    if (!nginx_start(&nginx, &b.tree)) {
        bench_fini(&b);
        skip();
    }
    uint8_t *data = bytes_make(BIG, 3);
    struct agent_order o = order_of(9, "/big", data, BIG, &nginx.v4);
    tree_write_bytes(&b.tree, "source/big", data, BIG);
    for (int round = 0; round < 2; round++) {
        b.config.rate = RATE;
        bench_open(&b);
        assert_int_equal(agent_fetch_add(b.fetch, &o, NULL), 0);
        bench_until(&b, bench_has_received, RATE / 8);
        bench_close(&b);
        assert_int_equal(b.done + b.failed, (unsigned)round);
        size_t have = size_at(&b, round ? "www/new.pm-part" : "www/big.pm-part");
        assert_true(have >= RATE / 8 && have < BIG);
        if (round) { /* the same length, another time: another tag */
            data[BIG - 1] ^= 1;
            tree_write_bytes(&b.tree, "source/new", data, BIG);
            const struct timespec later[2] = {{.tv_sec = 1900000000}, {.tv_sec = 1900000000}};
            assert_int_equal(utimensat(AT_FDCWD, tree_path(&b.tree, "source/new"), later, 0), 0);
        }
        b.config.rate = 0;
        bench_open(&b);
        bench_copy(&b, &o);
        struct agent_fetch_stats s = bench_stats(&b);
        assert_int_equal(s.resumed, !round);
        assert_int_equal(s.restarted, round);
        assert_int_equal(s.received, round ? BIG : BIG - have);
        bench_close(&b);
        if (!round) {
            assert_int_equal(b.done, 1);
            assert_true(same_bytes(&b, "www/big", data, BIG));
            tree_write_bytes(&b.tree, "source/new", data, BIG);
            o.path = "/new";
        }
    }
    assert_int_equal(b.failed, 1);
    assert_non_null(strstr(b.text, "hash"));
    assert_false(there(&b, "www/new"));
    assert_false(there(&b, "www/new.pm-part"));
    nginx_stop(&nginx);
    free(data);
    bench_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),           cmocka_unit_test(test_owner_and_umask),
        cmocka_unit_test(test_cut_goes_on),    cmocka_unit_test(test_cut_again_and_again),
        cmocka_unit_test(test_range_ignored),  cmocka_unit_test(test_no_progress_ends),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_chunked),
        cmocka_unit_test(test_wrong_range),    cmocka_unit_test(test_unsatisfied_range),
        cmocka_unit_test(test_source_changed), cmocka_unit_test(test_source_changed_in_secret),
        cmocka_unit_test(test_next_source),    cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_slow),           cmocka_unit_test(test_rate),
        cmocka_unit_test(test_rate_is_no_slowness),
        cmocka_unit_test(test_nginx),          cmocka_unit_test(test_nginx_resumes),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
