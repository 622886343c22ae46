/* SPDX-License-Identifier: Apache-2.0 */
/* The scan of real folders, with real inotify: whatever is done to the tree, what is announced is what is there. */
#include "../cmocka_pm.h"
#include "tree.h"
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/wait.h>
#include <time.h>
#include "agent/beneath.h"
#include "agent/hash.h"
#include "agent/scan.h"
#include "base/arena.h"
#include "base/map.h"

struct bench {
    struct tree tree;
    struct agent_scan *scan;
    struct map present; /* path -> struct agent_resource, all on the heap */
    unsigned presents, gones, passes;
    char notices[2048];
    size_t steps, budget_files;
    uint64_t budget_bytes;
};

/* ---- what is announced ---- */

static void on_gone(void *ctx, const char *host, const char *path)
{
    struct bench *b = ctx;
    char *key = NULL;
    struct agent_resource *r = map_get_str(&b->present, path);
    assert_non_null(r);
    assert_string_equal(host, "www.example.com");
    key = (char *)(uintptr_t)r->path;
    map_del_str(&b->present, path);
    free(key);
    free(r);
    b->gones++;
}

static void on_present(void *ctx, const struct agent_resource *r)
{
    struct bench *b = ctx;
    assert_string_equal(r->host, "www.example.com");
    if (map_get_str(&b->present, r->path))
        on_gone(ctx, r->host, r->path), b->gones--;
    struct agent_resource *copy = mem_alloc(sizeof *copy);
    *copy = *r;
    copy->path = mem_strdup(r->path);
    copy->file = copy->host = NULL;
    map_put_str(&b->present, copy->path, copy);
    b->presents++;
}

static void on_pass(void *ctx, const struct agent_scan_stats *s)
{
    struct bench *b = ctx;
    b->passes++;
    assert_int_equal(s->files, b->present.count);
}

static void on_notice(void *ctx, const char *text)
{
    struct bench *b = ctx;
    size_t n = strlen(b->notices);
    snprintf(b->notices + n, sizeof b->notices - n, "%s\n", text);
}

/* ---- running it ---- */

static uint64_t now_ms(void)
{
    return clock_mono_ms(&clock_system);
}

static struct agent_scan_config config_of(struct bench *b, const struct agent_scan_root *root)
{
    return (struct agent_scan_config){.roots = root,
                                      .root_count = 1,
                                      .events = {b, on_present, on_gone, on_pass, on_notice},
                                      .rescan_ms = 200,
                                      .root_check_ms = 50,
                                      .settle_ms = -1};
}

static void open_scan(struct bench *b, bool no_inotify, int64_t settle_ms)
{
    char dir[128];
    snprintf(dir, sizeof dir, "%s/www", b->tree.dir);
    struct agent_scan_root root = {"www.example.com", dir, "/s"};
    struct agent_scan_config c = config_of(b, &root);
    c.no_inotify = no_inotify;
    c.settle_ms = settle_ms;
    assert_int_equal(agent_scan_new(&c, &b->scan), 0);
}

static void bench_init(struct bench *b)
{
    memset(b, 0, sizeof *b);
    b->budget_files = 7;
    b->budget_bytes = 1 << 20;
    tree_make(&b->tree);
}

static void close_scan(struct bench *b)
{
    struct map_slot slot;
    size_t at = 0;
    agent_scan_free(b->scan);
    b->scan = NULL;
    while (map_next(&b->present, &at, &slot)) {
        struct agent_resource *r = slot.value;
        free((char *)(uintptr_t)r->path);
        free(r);
    }
    map_fini(&b->present);
}

static void bench_fini(struct bench *b)
{
    close_scan(b);
    tree_remove(&b->tree, ".");
}

/* Until nothing has happened for that long. */
static void run(struct bench *b, uint64_t quiet_ms)
{
    uint64_t end = now_ms() + quiet_ms;
    while (now_ms() < end) {
        struct pollfd p = {agent_scan_fd(b->scan), POLLIN, 0};
        uint64_t wait = agent_scan_wait_ms(b->scan), left = end - now_ms();
        if (poll(&p, p.fd >= 0, (int)(wait < left ? wait : left)) > 0)
            end = now_ms() + quiet_ms;
        unsigned before = b->presents + b->gones + b->passes;
        while (agent_scan_step(b->scan, b->budget_files, b->budget_bytes))
            b->steps++;
        if (before != b->presents + b->gones + b->passes)
            end = now_ms() + quiet_ms;
    }
}

static bool has(const struct bench *b, const char *path)
{
    return map_get_str(&b->present, path) != NULL;
}

static void has_text(const struct bench *b, const char *path, const char *text)
{
    const struct agent_resource *r = map_get_str(&b->present, path);
    if (!r)
        fail_msg("%s is not there", path);
    assert_int_equal(r->size, strlen(text));
    assert_int_equal(r->hash, agent_hash_of(text, strlen(text)));
}

/* Fresh files are read again when in doubt; these are not fresh. */
static void age(const struct bench *b, const char *name, int s)
{
    struct timespec t[2] = {{.tv_sec = time(NULL) - s}, {.tv_sec = time(NULL) - s}};
    assert_int_equal(utimensat(AT_FDCWD, tree_path(&b->tree, name), t, 0), 0);
}

/* ---- tests ---- */

static void test_first_pass(void **state)
{
    struct bench b;
    bench_init(&b);
    tree_write(&b.tree, "www/index.html", "hello");
    tree_write(&b.tree, "www/a/b/c/deep.txt", "deep");
    tree_write(&b.tree, "www/a/empty", "");
    tree_write(&b.tree, "www/.git/config", "hidden");
    tree_write(&b.tree, "www/.htaccess", "hidden");
    tree_write(&b.tree, "www/.x.pm-part", "part");
    tree_write(&b.tree, "www/x.pm-part", "part");
    tree_write(&b.tree, "www/a b%?#\xc3\xa9.txt", "odd");
    assert_int_equal(mkfifo(tree_path(&b.tree, "www/pipe"), 0644), 0);
    open_scan(&b, false, -1);
    run(&b, 50);
    assert_int_equal(b.passes, 1);
    assert_int_equal(b.present.count, 4);
    has_text(&b, "/s/index.html", "hello");
    has_text(&b, "/s/a/b/c/deep.txt", "deep");
    has_text(&b, "/s/a/empty", "");
    has_text(&b, "/s/a%20b%25%3F%23%C3%A9.txt", "odd");
    struct agent_scan_stats st;
    agent_scan_stats(b.scan, &st);
    assert_int_equal(st.files, 4);
    assert_int_equal(st.bytes, 5 + 4 + 3);
    assert_int_equal(st.folders, 4);
    assert_int_equal(st.unwatched, 0);
    assert_string_equal(b.notices, "");
    bench_fini(&b);
}

static void test_changes(void **state)
{
    struct bench b;
    bench_init(&b);
    tree_write(&b.tree, "www/a", "one");
    tree_write(&b.tree, "www/keep", "keep");
    open_scan(&b, false, -1);
    run(&b, 50);
    tree_write(&b.tree, "www/a", "two"); /* same size, within the same tick perhaps */
    run(&b, 50);
    has_text(&b, "/s/a", "two");
    tree_write(&b.tree, "www/new", "new");
    run(&b, 50);
    has_text(&b, "/s/new", "new");
    tree_write(&b.tree, "www/.new.pm-part", "newer");
    assert_int_equal(rename(tree_path(&b.tree, "www/.new.pm-part"), tree_path(&b.tree, "www/new")), 0);
    run(&b, 50);
    has_text(&b, "/s/new", "newer");
    unlink(tree_path(&b.tree, "www/a"));
    run(&b, 50);
    assert_false(has(&b, "/s/a"));
    assert_int_equal(link(tree_path(&b.tree, "www/keep"), tree_path(&b.tree, "www/hard")), 0);
    run(&b, 50);
    has_text(&b, "/s/hard", "keep");
    age(&b, "www/keep", 100); /* its time is part of the resource */
    run(&b, 50);
    const struct agent_resource *r = map_get_str(&b.present, "/s/keep");
    assert_true(r->mtime_ns / 1000000000u <= (uint64_t)time(NULL) - 99);
    assert_int_equal(rename(tree_path(&b.tree, "www/keep"), tree_path(&b.tree, "www/.keep")),
                     0); /* hidden by a rename */
    run(&b, 50);
    assert_false(has(&b, "/s/keep"));
    /* A file becomes a folder, and back. */
    unlink(tree_path(&b.tree, "www/new"));
    tree_write(&b.tree, "www/new/in", "in");
    run(&b, 50);
    assert_true(has(&b, "/s/new/in") && !has(&b, "/s/new"));
    tree_remove(&b.tree, "www/new");
    tree_write(&b.tree, "www/new", "file");
    run(&b, 50);
    assert_true(has(&b, "/s/new") && !has(&b, "/s/new/in"));
    assert_int_equal(b.passes, 1); /* all by events */
    bench_fini(&b);
}

/* Folders that come full, by mkdir and by rename; renames of folders within and out of the root. */
static void test_folders(void **state)
{
    struct bench b;
    char name[64];
    bench_init(&b);
    tree_write(&b.tree, "www/x", "x");
    open_scan(&b, false, -1);
    run(&b, 50);
    for (int i = 0; i < 50; i++) { /* made, filled, and only then seen */
        snprintf(name, sizeof name, "www/d%d/e/f%d", i, i);
        tree_write(&b.tree, name, "deep");
        if (i % 10 == 0)
            agent_scan_step(b.scan, 1, 1);
    }
    run(&b, 50);
    assert_int_equal(b.present.count, 51);
    tree_write(&b.tree, "outside/in/y", "y");
    assert_int_equal(rename(tree_path(&b.tree, "outside"), tree_path(&b.tree, "www/came")), 0);
    run(&b, 50);
    has_text(&b, "/s/came/in/y", "y");
    age(&b, "www/came/in/y", 100);
    run(&b, 50);
    assert_int_equal(rename(tree_path(&b.tree, "www/came"), tree_path(&b.tree, "www/went")), 0);
    run(&b, 50);
    assert_true(has(&b, "/s/went/in/y") && !has(&b, "/s/came/in/y"));
    tree_write(&b.tree, "www/went/in/z", "z"); /* still watched, under its new name */
    run(&b, 50);
    assert_true(has(&b, "/s/went/in/z") && !has(&b, "/s/came/in/z"));
    assert_int_equal(rename(tree_path(&b.tree, "www/went"), tree_path(&b.tree, "gone")), 0);
    tree_write(&b.tree, "gone/in/z2", "z");
    run(&b, 50);
    assert_int_equal(b.present.count, 51);
    /* Turned inside out. */
    tree_write(&b.tree, "www/A/B/f", "f");
    run(&b, 50);
    assert_int_equal(rename(tree_path(&b.tree, "www/A/B"), tree_path(&b.tree, "www/B")), 0);
    assert_int_equal(rename(tree_path(&b.tree, "www/A"), tree_path(&b.tree, "www/B/A")), 0);
    tree_write(&b.tree, "www/B/A/g", "g");
    run(&b, 50);
    assert_true(has(&b, "/s/B/f") && has(&b, "/s/B/A/g"));
    assert_int_equal(b.present.count, 53);
    assert_int_equal(b.passes, 1);
    struct agent_scan_stats st;
    agent_scan_stats(b.scan, &st);
    assert_int_equal(st.unwatched, 0);
    bench_fini(&b);
}

static void test_links(void **state)
{
    struct bench b;
    bench_init(&b);
    tree_write(&b.tree, "secret", "secret");
    tree_write(&b.tree, "secrets/s", "secret");
    tree_write(&b.tree, "www/real", "real");
    tree_write(&b.tree, "www/dir/f", "f");
    assert_int_equal(symlink("real", tree_path(&b.tree, "www/inside")), 0);
    assert_int_equal(symlink("../real", tree_path(&b.tree, "www/dir/up")), 0);
    assert_int_equal(symlink("../secret", tree_path(&b.tree, "www/out")), 0);
    assert_int_equal(symlink("/etc/hostname", tree_path(&b.tree, "www/absolute")), 0);
    assert_int_equal(symlink("../secrets", tree_path(&b.tree, "www/outdir")), 0);
    assert_int_equal(symlink(".", tree_path(&b.tree, "www/loop")), 0);
    assert_int_equal(symlink("self", tree_path(&b.tree, "www/self")), 0);
    assert_int_equal(symlink("nothing", tree_path(&b.tree, "www/dangling")), 0);
    open_scan(&b, false, -1);
    run(&b, 50);
    assert_int_equal(b.present.count, 4);
    has_text(&b, "/s/inside", "real");
    has_text(&b, "/s/dir/up", "real");
    /* A folder is put away and a link to the outside in its place. */
    tree_write(&b.tree, "www/dir/s", "mine");
    run(&b, 50);
    assert_int_equal(rename(tree_path(&b.tree, "www/dir"), tree_path(&b.tree, "put-away")), 0);
    assert_int_equal(symlink("../secrets", tree_path(&b.tree, "www/dir")), 0);
    run(&b, 50);
    assert_int_equal(b.present.count, 2);
    bench_fini(&b);
    /* The same rules where openat2 is missing; but no link is followed there. */
    tree_make(&b.tree);
    tree_write(&b.tree, "a/b/f", "f");
    assert_int_equal(symlink("b", tree_path(&b.tree, "a/l")), 0);
    int root = open(b.tree.dir, O_RDONLY | O_DIRECTORY), fd = agent_open_walk(root, "a/b/f", O_RDONLY);
    assert_true(fd >= 0);
    close(fd);
    assert_true(agent_open_walk(root, "a/l/f", O_RDONLY) < 0);
    assert_int_equal(agent_open_walk(root, "a/../a/b/f", O_RDONLY), PM_EINVAL);
    assert_int_equal(agent_open_walk(root, "/etc/hostname", O_RDONLY), PM_EINVAL);
    assert_true(agent_open_beneath(root, "a/../../etc", O_RDONLY, AGENT_LINKS_INSIDE) < 0);
    close(root);
    tree_remove(&b.tree, ".");
}

static void test_rescan_reads_nothing(void **state)
{
    struct bench b;
    struct agent_scan_stats before, after;
    bench_init(&b);
    for (int i = 0; i < 30; i++) {
        char name[64];
        snprintf(name, sizeof name, "www/d%d/f%d", i % 5, i);
        tree_write(&b.tree, name, name);
        age(&b, name, 100);
    }
    open_scan(&b, false, -1);
    run(&b, 50);
    agent_scan_stats(b.scan, &before);
    assert_true(before.read_bytes > 0);
    unsigned presents = b.presents;
    agent_scan_rescan(b.scan);
    run(&b, 50);
    assert_int_equal(b.passes, 2);
    assert_int_equal(b.presents, presents);
    /* Neither does a rename, or a root that goes and comes back. */
    assert_int_equal(rename(tree_path(&b.tree, "www/d1"), tree_path(&b.tree, "www/e1")), 0);
    run(&b, 50);
    assert_int_equal(b.present.count, 30);
    assert_true(has(&b, "/s/e1/f1"));
    assert_int_equal(rename(tree_path(&b.tree, "www"), tree_path(&b.tree, "old")), 0);
    run(&b, 150);
    assert_int_equal(b.present.count, 0);
    assert_non_null(strstr(b.notices, "is gone"));
    assert_int_equal(rename(tree_path(&b.tree, "old"), tree_path(&b.tree, "www")), 0);
    run(&b, 150);
    assert_int_equal(b.present.count, 30);
    assert_int_equal(b.passes, 3);
    agent_scan_stats(b.scan, &after);
    assert_int_equal(after.read_bytes, before.read_bytes);
    bench_fini(&b);
}

/* Roots that are missing at first, deleted, replaced. */
static void test_root_returns(void **state)
{
    struct bench b;
    struct agent_scan_stats st;
    bench_init(&b);
    open_scan(&b, false, -1);
    run(&b, 80);
    assert_int_equal(b.passes, 1);
    agent_scan_stats(b.scan, &st);
    assert_int_equal(st.roots_missing, 1);
    assert_int_equal(st.unwatched, 0); /* nothing to watch: no reason to look again */
    tree_write(&b.tree, "www/a/one", "one");
    run(&b, 150);
    has_text(&b, "/s/a/one", "one");
    tree_remove(&b.tree, "www");
    run(&b, 150);
    assert_int_equal(b.present.count, 0);
    tree_write(&b.tree, "www/a/two", "two");
    run(&b, 150);
    has_text(&b, "/s/a/two", "two");
    assert_int_equal(b.present.count, 1);
    tree_write(&b.tree, "next/three", "three"); /* replaced at once */
    assert_int_equal(rename(tree_path(&b.tree, "www"), tree_path(&b.tree, "last")), 0);
    assert_int_equal(rename(tree_path(&b.tree, "next"), tree_path(&b.tree, "www")), 0);
    tree_write(&b.tree, "last/four", "four");
    run(&b, 150);
    assert_int_equal(b.present.count, 1);
    has_text(&b, "/s/three", "three");
    tree_write(&b.tree, "www/five", "five"); /* and watched */
    run(&b, 50);
    has_text(&b, "/s/five", "five");
    bench_fini(&b);
}

/* More events than the kernel keeps for us; real ones. */
static void test_overflow(void **state)
{
    struct bench b;
    struct agent_scan_stats st;
    char name[64];
    bench_init(&b);
    b.budget_files = 1000;
    tree_write(&b.tree, "www/stays", "old");
    tree_write(&b.tree, "www/goes/x", "x");
    open_scan(&b, false, -1);
    run(&b, 50);
    for (int i = 0; i < 12000; i++) {
        snprintf(name, sizeof name, "www/f%d", i % 7);
        tree_write(&b.tree, name, "flood");
        unlink(tree_path(&b.tree, name));
    }
    tree_write(&b.tree, "www/stays", "new"); /* nobody will tell */
    tree_write(&b.tree, "www/more/y", "y");
    tree_remove(&b.tree, "www/goes");
    run(&b, 100);
    agent_scan_stats(b.scan, &st);
    assert_true(st.overflows >= 1);
    assert_non_null(strstr(b.notices, "more changes than"));
    has_text(&b, "/s/stays", "new");
    has_text(&b, "/s/more/y", "y");
    assert_int_equal(b.present.count, 2);
    assert_int_equal(b.passes, 1 + st.overflows);
    tree_write(&b.tree, "www/more/z", "z"); /* and watched as before */
    run(&b, 50);
    has_text(&b, "/s/more/z", "z");
    bench_fini(&b);
}

static void test_without_inotify(void **state)
{
    struct bench b;
    bench_init(&b);
    tree_write(&b.tree, "www/a/one", "one");
    open_scan(&b, true, -1);
    assert_int_equal(agent_scan_fd(b.scan), -1);
    run(&b, 50);
    tree_write(&b.tree, "www/a/one", "two");
    tree_write(&b.tree, "www/b/three", "three");
    for (unsigned i = 0; i < 40 && b.present.count < 2; i++)
        run(&b, 50);
    has_text(&b, "/s/a/one", "two");
    tree_remove(&b.tree, "www/a");
    for (unsigned i = 0; i < 40 && b.present.count > 1; i++)
        run(&b, 50);
    assert_true(b.present.count == 1 && b.passes >= 3);
    bench_fini(&b);
}

/* In a user namespace of its own, the process has a limit of its own. */
static void few_watches(void **state)
{
    struct bench b;
    bench_init(&b);
    for (int i = 0; i < 6; i++) {
        char name[64];
        snprintf(name, sizeof name, "www/d%d/f", i);
        tree_write(&b.tree, name, "f");
    }
    if (unshare(CLONE_NEWUSER) != 0)
        _exit(77);
    int fd = open("/proc/sys/user/max_inotify_watches", O_WRONLY);
    if (fd < 0 || write(fd, "4", 1) != 1)
        _exit(77);
    open_scan(&b, false, -1);
    run(&b, 50);
    assert_int_equal(b.present.count, 6);
    assert_non_null(strstr(b.notices, "3 of 7 folders cannot be watched (raise fs.inotify.max_user_watches)"));
    for (int i = 0; i < 6; i++) {
        char name[64];
        snprintf(name, sizeof name, "www/d%d/g", i);
        tree_write(&b.tree, name, "g");
    }
    for (unsigned i = 0; i < 40 && b.present.count < 12; i++)
        run(&b, 50);
    assert_int_equal(b.present.count, 12); /* those not watched, by looking again */
    assert_true(b.passes >= 2);
    assert_int_equal(pwrite(fd, "400", 3, 0), 3);
    for (unsigned i = 0; i < 40 && !strstr(b.notices, "watched again"); i++)
        run(&b, 50);
    assert_non_null(strstr(b.notices, "all folders are watched again"));
    close(fd);
    bench_fini(&b);
}

static void test_few_watches(void **state)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO); /* its results are not ours */
        execl("/proc/self/exe", "test_agent_scan", "few-watches", (char *)NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

/* A file is not announced while it is written, and is when it is closed or quiet. */
static void test_being_written(void **state)
{
    struct bench b;
    bench_init(&b);
    tree_write(&b.tree, "www/x", "x");
    age(&b, "www/x", 100);
    open_scan(&b, false, 300);
    run(&b, 30);
    assert_int_equal(b.presents, 1);
    int fd = open(tree_path(&b.tree, "www/slow"), O_WRONLY | O_CREAT, 0644);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(write(fd, "part ", 5), 5);
        run(&b, 5);
        assert_false(has(&b, "/s/slow"));
    }
    close(fd);
    run(&b, 30);
    assert_int_equal(b.presents, 2); /* once, whole */
    assert_int_equal(((struct agent_resource *)map_get_str(&b.present, "/s/slow"))->size, 50);
    fd = open(tree_path(&b.tree, "www/open"), O_WRONLY | O_CREAT, 0644); /* written, never closed */
    assert_int_equal(write(fd, "log", 3), 3);
    run(&b, 20);
    assert_false(has(&b, "/s/open"));
    for (unsigned i = 0; i < 40 && !has(&b, "/s/open"); i++)
        run(&b, 50);
    has_text(&b, "/s/open", "log");
    close(fd);
    bench_fini(&b);
}

/* A file that changes while it is read is not announced with a hash of both. */
static void test_changed_while_read(void **state)
{
    enum { BIG = 1 << 20 };
    struct bench b;
    bench_init(&b);
    char *old = mem_alloc(BIG), *new = mem_alloc(BIG);
    memset(new, 'n', BIG);
    tree_write_bytes(&b.tree, "www/big", old, BIG);
    age(&b, "www/big", 100);
    open_scan(&b, true, -1);
    for (int i = 0; i < 4; i++)
        assert_true(agent_scan_step(b.scan, 100, 100 * 1024)); /* in the middle of it */
    assert_int_equal(b.presents, 0);
    tree_write_bytes(&b.tree, "www/big", new, BIG);
    for (unsigned i = 0; i < 80 && !b.presents; i++)
        run(&b, 50);
    assert_int_equal(b.presents, 1);
    assert_int_equal(((struct agent_resource *)map_get_str(&b.present, "/s/big"))->hash, agent_hash_of(new, BIG));
    free(old);
    free(new);
    bench_fini(&b);
}

static void count_each(void *ctx, const struct agent_resource *r)
{
    ++*(unsigned *)ctx;
}

/* Steps keep to their budget, whatever is to be done: listing, reading, a folder of thousands that goes at once. */
static void test_bounded(void **state)
{
    enum { MANY = 3000 };
    struct bench b;
    char name[64];
    unsigned each = 0, steps = 0;
    bench_init(&b);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "www/d/f%d", i);
        tree_write(&b.tree, name, "0123456789");
    }
    open_scan(&b, false, -1);
    while (agent_scan_step(b.scan, 50, 1000)) {
        unsigned before = b.presents;
        steps++;
        agent_scan_step(b.scan, 50, 100);
        assert_true(b.presents - before <= 11);
    }
    assert_true(steps >= MANY / 100);
    agent_scan_each(b.scan, count_each, &each);
    assert_int_equal(each, MANY);
    assert_int_equal(rename(tree_path(&b.tree, "www/d"), tree_path(&b.tree, "d")), 0);
    for (steps = 0; agent_scan_step(b.scan, 50, 1000); steps++)
        assert_true(b.gones <= 50 * (steps + 1));
    assert_int_equal(b.gones, MANY);
    assert_true(steps >= MANY / 50 - 1);
    bench_fini(&b);
}

/* Anything at random, then compared with what a scan from nothing finds. */
static void test_random(void **state)
{
    static const char *const names[] = {"www/a",   "www/b", "www/d/a", "www/d/b", "www/d/e/a",
                                        "www/d/e", "www/d", "www/e/a", "www/e"};
    struct bench b, fresh;
    unsigned seed = 12345;
    bench_init(&b);
    tree_write(&b.tree, "www/x", "x");
    open_scan(&b, false, -1);
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 20; i++) {
            const char *one = names[(unsigned)rand_r(&seed) % PM_ARRAY_LEN(names)];
            const char *two = names[(unsigned)rand_r(&seed) % PM_ARRAY_LEN(names)];
            char text[16];
            snprintf(text, sizeof text, "%d", rand_r(&seed) % 1000);
            struct stat st;
            switch (rand_r(&seed) % 5) {
            case 0:
            case 1:
                tree_dirs(&b.tree, one);
                if (stat(tree_path(&b.tree, one), &st) != 0) {
                    int fd = open(tree_path(&b.tree, one), O_WRONLY | O_CREAT | O_TRUNC, 0644);
                    if (fd >= 0)
                        (void)!write(fd, text, strlen(text)), close(fd);
                }
                break;
            case 2:
                tree_remove(&b.tree, one);
                break;
            case 3:
                (void)rename(tree_path(&b.tree, one), tree_path(&b.tree, two));
                break;
            default:
                agent_scan_step(b.scan, (size_t)(rand_r(&seed) % 5), 10);
            }
        }
        run(&b, 5);
        memset(&fresh, 0, sizeof fresh);
        fresh.tree = b.tree;
        fresh.budget_files = fresh.budget_bytes = 1000;
        open_scan(&fresh, true, -1);
        run(&fresh, 1);
        struct map_slot slot;
        size_t at = 0;
        assert_int_equal(b.present.count, fresh.present.count);
        while (map_next(&fresh.present, &at, &slot)) {
            const struct agent_resource *want = slot.value, *got = map_get_str(&b.present, want->path);
            assert_true(got && got->hash == want->hash && got->size == want->size);
        }
        close_scan(&fresh);
    }
    struct agent_scan_stats st;
    agent_scan_stats(b.scan, &st);
    assert_int_equal(st.unwatched, 0);
    bench_fini(&b);
}

static void test_refused(void **state)
{
    static const struct agent_scan_root roots[] = {{"a", "relative", "/"}, {"a", "/tmp", "x"}, {"", "/tmp", "/"}};
    struct agent_scan *s;
    for (size_t i = 0; i < PM_ARRAY_LEN(roots); i++)
        assert_int_equal(agent_scan_new(&(struct agent_scan_config){.roots = &roots[i], .root_count = 1}, &s),
                         PM_EINVAL);
    assert_true(agent_path_valid("a/b.html") && !agent_path_valid("a//b") && !agent_path_valid("/a") &&
                !agent_path_valid("a/../b") && !agent_path_valid("a/.b/c") && !agent_path_valid("") &&
                !agent_path_valid("a/") && !agent_path_valid("x.pm-part"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest limited[] = {cmocka_unit_test(few_watches)};
    if (argc > 1 && strcmp(argv[1], "few-watches") == 0)
        return cmocka_run_group_tests(limited, NULL, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_pass), cmocka_unit_test(test_changes), cmocka_unit_test(test_folders),
        cmocka_unit_test(test_links), cmocka_unit_test(test_rescan_reads_nothing), cmocka_unit_test(test_root_returns),
        cmocka_unit_test(test_overflow), cmocka_unit_test(test_without_inotify), cmocka_unit_test(test_few_watches),
        cmocka_unit_test(test_being_written), cmocka_unit_test(test_changed_while_read), cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_random), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
