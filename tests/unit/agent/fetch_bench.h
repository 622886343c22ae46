/* SPDX-License-Identifier: Apache-2.0 */
/* One agent_fetch on a loop with a clock that the test moves, below a folder of its own. */
#ifndef PM_TESTS_AGENT_FETCH_BENCH_H
#define PM_TESTS_AGENT_FETCH_BENCH_H

#include "tree.h"
#include <sys/xattr.h>
#include "agent/fetch.h"
#include "agent/hash.h"
#include "base/arena.h"

enum { GIVE_UP_S = 60 };

struct bench {
    struct tree tree;
    uv_loop_t loop;
    uv_timer_t turn;
    struct clock_manual clock;
    struct agent_fetch_config config;
    struct agent_fetch_root roots[2];
    char dirs[2][128];
    struct agent_fetch *fetch;
    unsigned started, progressed, done, failed;
    uint64_t last_id, last_bytes[8]; /* told of order id % 8 */
    int err;
    char text[512];
    void (*on_start)(struct bench *b, uint64_t id);
};

static inline void bench_started(void *ctx, uint64_t id)
{
    struct bench *b = ctx;
    b->started++;
    if (b->on_start)
        b->on_start(b, id);
}

static inline void bench_progress(void *ctx, uint64_t id, uint64_t bytes, uint64_t size)
{
    struct bench *b = ctx;
    assert_true(bytes <= size && bytes > b->last_bytes[id % 8]);
    b->progressed++;
    b->last_bytes[id % 8] = bytes;
}

static inline void bench_done(void *ctx, uint64_t id)
{
    struct bench *b = ctx;
    b->done++;
    b->last_id = id;
}

static inline void bench_failed(void *ctx, uint64_t id, int err, const char *text)
{
    struct bench *b = ctx;
    b->failed++;
    b->last_id = id;
    b->err = err;
    snprintf(b->text, sizeof b->text, "%s", text);
    assert_true(text[0] && !strchr(text, '\n'));
}

static inline void bench_turn(uv_timer_t *t)
{
}

static inline void bench_open(struct bench *b)
{
    assert_int_equal(agent_fetch_new(&b->loop, &b->config, &b->fetch), 0);
}

static inline void bench_init(struct bench *b)
{
    memset(b, 0, sizeof *b);
    tree_make(&b->tree);
    tree_dirs(&b->tree, "www/");
    tree_dirs(&b->tree, "locked/");
    assert_int_equal(uv_loop_init(&b->loop), 0);
    uv_timer_init(&b->loop, &b->turn);
    uv_timer_start(&b->turn, bench_turn, 2, 2); /* the object's own timer runs by another clock */
    clock_manual_init(&b->clock);
    snprintf(b->dirs[0], sizeof b->dirs[0], "%s/www", b->tree.dir);
    snprintf(b->dirs[1], sizeof b->dirs[1], "%s/locked", b->tree.dir);
    b->roots[0] = (struct agent_fetch_root){{"www.example.com", b->dirs[0], "/"}, true};
    b->roots[1] = (struct agent_fetch_root){{"www.example.com", b->dirs[1], "/locked"}, false};
    b->config = (struct agent_fetch_config){.roots = b->roots, .root_count = 2, .clock = &b->clock.clock,
                                            .events = {b, bench_started, bench_progress, bench_done, bench_failed}};
}

static inline void bench_close(struct bench *b)
{
    agent_fetch_free(b->fetch);
    b->fetch = NULL;
    /* Its handles close, and workers come back. */
    uv_unref((uv_handle_t *)&b->turn);
    while (uv_run(&b->loop, UV_RUN_DEFAULT))
        ;
    uv_ref((uv_handle_t *)&b->turn);
}

static inline void bench_fini(struct bench *b)
{
    bench_close(b);
    uv_close((uv_handle_t *)&b->turn, NULL);
    while (uv_run(&b->loop, UV_RUN_DEFAULT))
        ;
    assert_int_equal(uv_loop_close(&b->loop), 0);
    tree_remove(&b->tree, ".");
}

static inline void bench_advance(struct bench *b, uint64_t ms)
{
    clock_manual_advance_ms(&b->clock, ms);
    agent_fetch_tick(b->fetch);
}

static inline struct agent_fetch_stats bench_stats(const struct bench *b)
{
    struct agent_fetch_stats s;
    agent_fetch_stats(b->fetch, &s);
    return s;
}

/* Turns the loop until `until` says so. The clock moves only while all wait for it. */
static inline void bench_until(struct bench *b, bool (*until)(struct bench *b, uint64_t arg), uint64_t arg)
{
    uint64_t end = uv_hrtime() + (uint64_t)GIVE_UP_S * 1000000000;
    while (!until(b, arg)) {
        uv_run(&b->loop, UV_RUN_ONCE);
        struct agent_fetch_stats s = bench_stats(b);
        if (s.waiting > 0 && s.working == 0)
            bench_advance(b, 500);
        assert_true(uv_hrtime() < end);
    }
}

static inline bool bench_has_results(struct bench *b, uint64_t n)
{
    return b->done + b->failed >= n;
}

static inline void bench_results(struct bench *b, unsigned n)
{
    bench_until(b, bench_has_results, n);
    assert_int_equal(b->done + b->failed, n);
}

static inline bool bench_has_received(struct bench *b, uint64_t bytes)
{
    return bench_stats(b).received >= bytes;
}

static inline struct agent_order order_of(uint64_t id, const char *path, const void *data, size_t len,
                                          const struct endpoint *from)
{
    return (struct agent_order){.id = id, .kind = AGENT_COPY, .host = "www.example.com", .path = path, .size = len,
                                .hash = agent_hash_of(data, len), .sources = from, .source_count = 1};
}

/* What is expected of one COPY order for /file, alone. */
static inline void bench_copy(struct bench *b, const struct agent_order *o)
{
    unsigned before = b->done + b->failed;
    assert_int_equal(agent_fetch_add(b->fetch, o, NULL), 0);
    bench_results(b, before + 1);
    assert_int_equal(b->last_id, o->id);
}

static inline bool there(const struct bench *b, const char *name)
{
    struct stat st;
    return lstat(tree_path(&b->tree, name), &st) == 0;
}

static inline size_t size_at(const struct bench *b, const char *name)
{
    struct stat st;
    return lstat(tree_path(&b->tree, name), &st) == 0 ? (size_t)st.st_size : 0;
}

static inline bool same_bytes(const struct bench *b, const char *name, const void *data, size_t len)
{
    int fd = open(tree_path(&b->tree, name), O_RDONLY);
    if (fd < 0)
        return false;
    uint8_t *got = mem_alloc(len + 1);
    size_t n = 0;
    for (ssize_t more; n <= len && (more = read(fd, got + n, len + 1 - n)) > 0;)
        n += (size_t)more;
    bool same = n == len && memcmp(got, data, len) == 0;
    free(got);
    close(fd);
    return same;
}

static inline uint8_t *bytes_make(size_t len, uint32_t seed)
{
    uint8_t *data = mem_alloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        data[i] = (uint8_t)(seed >> 24);
    }
    return data;
}

#endif
