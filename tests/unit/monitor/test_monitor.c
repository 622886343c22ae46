/* SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>
#include <time.h>
#include "fake.h"

static void one(struct world *w, struct monitor_spec s)
{
    assert_int_equal(monitor_apply(w->m, &s, 1), 0);
}

/* Runs the check once, now. */
static struct check_view once(struct world *w, const char *key, enum probe_status status)
{
    struct monitor_check *c = monitor_find(w->m, key);
    answers[monitor_check_spec(c)->target.addr.bytes[3]].status = status;
    monitor_check_now(w->m, c);
    while (monitor_tick(w->m))
        ;
    return view(w, key);
}

static void test_thresholds(void **state)
{
    struct world w;
    world_init(&w);
    one(&w, spec_of("a", 1, 1));
    assert_int_equal(view(&w, "a").state, CHECK_UNKNOWN);
    assert_int_equal(once(&w, "a", PROBE_OK).state, CHECK_UP);
    assert_int_equal(once(&w, "a", PROBE_FAIL).state, CHECK_UP);
    assert_int_equal(once(&w, "a", PROBE_FAIL).state, CHECK_UP);
    assert_int_equal(once(&w, "a", PROBE_LOCAL).bad_row, 2);
    assert_int_equal(once(&w, "a", PROBE_OK).bad_row, 0);
    once(&w, "a", PROBE_RESET);
    once(&w, "a", PROBE_RESET);
    struct check_view v = once(&w, "a", PROBE_REFUSED);
    assert_int_equal(v.state, CHECK_DOWN);
    assert_string_equal(v.why, "as told");
    assert_int_equal(once(&w, "a", PROBE_OK).state, CHECK_DOWN);
    v = once(&w, "a", PROBE_OK);
    assert_int_equal(v.state, CHECK_UP);
    assert_string_equal(v.why, "");
    assert_int_equal(v.count[PROBE_OK], 4);
    assert_int_equal(v.count[PROBE_FAIL], 2);
    assert_int_equal(v.count[PROBE_RESET], 2);
    assert_int_equal(v.count[PROBE_REFUSED], 1);
    assert_int_equal(v.count[PROBE_LOCAL], 1);
    assert_int_equal(w.changes, 3);
    /* Down from unknown takes `fall` as well. */
    one(&w, spec_of("b", 2, 1));
    once(&w, "b", PROBE_FAIL);
    assert_int_equal(once(&w, "b", PROBE_FAIL).state, CHECK_UNKNOWN);
    assert_int_equal(once(&w, "b", PROBE_FAIL).state, CHECK_DOWN);
    world_fini(&w);
}

/* Another balancer says "down": one bad check of our own is enough then, a good one refutes it. */
static void test_verify(void **state)
{
    struct world w;
    world_init(&w);
    one(&w, spec_of("a", 1, 1));
    struct monitor_check *c = monitor_find(w.m, "a");
    once(&w, "a", PROBE_OK);
    monitor_verify(w.m, c);
    assert_int_equal(once(&w, "a", PROBE_OK).state, CHECK_UP);
    assert_int_equal(once(&w, "a", PROBE_FAIL).state, CHECK_UP); /* refuted: back to `fall` */
    once(&w, "a", PROBE_OK);
    monitor_verify(w.m, c);
    assert_int_equal(once(&w, "a", PROBE_LOCAL).state, CHECK_UP); /* says nothing either way */
    assert_int_equal(once(&w, "a", PROBE_FAIL).state, CHECK_DOWN);
    once(&w, "a", PROBE_OK);
    assert_int_equal(once(&w, "a", PROBE_OK).state, CHECK_UP);
    /* A check that was under way does not count; the next follows at once. */
    answers[1].silent = true;
    monitor_check_now(w.m, c);
    monitor_tick(w.m);
    clock_manual_advance_ms(&w.clock, 10);
    monitor_verify(w.m, c);
    struct probe_result r = probe_result_make(PROBE_OK, "%s", "");
    answers[1].silent = false;
    answers[1].status = PROBE_FAIL;
    probe_done(open_probes[--open_count], &r);
    while (monitor_tick(w.m))
        ;
    assert_int_equal(view(&w, "a").state, CHECK_DOWN);
    world_fini(&w);
}

static void test_average(void **state)
{
    struct world w;
    world_init(&w);
    one(&w, spec_of("a", 1, 1));
    answers[1].took_ms = 100;
    answers[1].bytes = 1000;
    struct check_view v = once(&w, "a", PROBE_OK);
    assert_true(fabs(v.response_ms - 100) < 0.01);
    assert_true(fabs(v.throughput_bps - 10000) < 1);
    clock_manual_advance_ms(&w.clock, 5000);
    answers[1].took_ms = 200;
    v = once(&w, "a", PROBE_OK);
    double weight = exp(-5000.0 / 60000);
    assert_true(fabs(v.response_ms - (100 * weight + 200 * (1 - weight))) < 0.01);
    assert_true(fabs(v.last_ms - 200) < 0.01);
    /* Failures do not touch it. */
    double before = v.response_ms;
    answers[1].took_ms = 5000;
    assert_true(fabs(once(&w, "a", PROBE_FAIL).response_ms - before) < 1e-9);
    world_fini(&w);
}

static void test_iterations_and_timeout(void **state)
{
    struct world w;
    world_init(&w);
    struct monitor_spec s = spec_of("a", 1, 1);
    s.timing.iterations = 4;
    one(&w, s);
    answers[1].took_ms = 40;
    struct check_view v = once(&w, "a", PROBE_OK);
    assert_int_equal(started, 4);
    assert_int_equal(v.count[PROBE_OK], 4);
    assert_true(fabs(v.last_ms - 40) < 0.01);
    assert_int_equal(w.observed, 1);
    answers[1].silent = true;
    monitor_check_now(w.m, monitor_find(w.m, "a"));
    advance(&w, 1999);
    assert_int_equal(open_count, 1);
    advance(&w, 1);
    advance(&w, 0);
    v = view(&w, "a");
    assert_int_equal(cancelled, 1);
    assert_int_equal(v.last_status, PROBE_TIMEOUT);
    assert_string_equal(v.why, "no answer within 2s");
    assert_int_equal(v.count[PROBE_TIMEOUT], 1);
    world_fini(&w);
}

/* After a stall of the loop nothing is given up before the sockets were polled once. */
static void test_stall(void **state)
{
    struct world w;
    world_init(&w);
    one(&w, spec_of("a", 1, 1));
    answers[1].silent = true;
    monitor_check_now(w.m, monitor_find(w.m, "a"));
    monitor_tick(w.m);
    assert_int_equal(open_count, 1);
    clock_manual_advance_ms(&w.clock, 7000);
    assert_true(monitor_tick(w.m));
    assert_int_equal(open_count, 1);
    struct probe_result r = probe_result_make(PROBE_OK, "%s", "");
    struct probe *p = open_probes[--open_count];
    probe_done(p, &r);
    probe_done(p, &r); /* a second end is nobody's */
    monitor_tick(w.m);
    assert_int_equal(view(&w, "a").state, CHECK_UP);
    assert_int_equal(w.observed, 1);
    assert_int_equal(cancelled, 0);
    world_fini(&w);
}

static void test_intervals(void **state)
{
    struct world w;
    world_init(&w);
    struct monitor_spec s = spec_of("a", 1, 1);
    s.timing.down_interval_ms = 1000;
    one(&w, s);
    advance(&w, 100000);
    unsigned before = started;
    advance(&w, 1000000);
    assert_in_range(started - before, 95, 105);
    /* The first failure makes it undecided: looked at more often. */
    answers[1].status = PROBE_REFUSED;
    advance(&w, 11000 + 2 * 1100 + 1);
    assert_int_equal(view(&w, "a").state, CHECK_DOWN);
    before = started;
    advance(&w, 100000);
    assert_in_range(started - before, 90, 111);
    world_fini(&w);
}

static void test_can_change(void **state)
{
    struct world w;
    world_init(&w);
    one(&w, spec_of("a", 1, 1));
    advance(&w, 60000);
    struct check_view v = view(&w, "a");
    uint64_t now = clock_mono_ms(&w.clock.clock);
    assert_int_equal(v.can_change_in_ms, v.next_ms - now + 2 * 9000);
    /* It never promises more than what then happens. */
    uint64_t promised = now + v.can_change_in_ms;
    answers[1].status = PROBE_FAIL;
    while (view(&w, "a").state == CHECK_UP)
        advance(&w, 10);
    assert_true(clock_mono_ms(&w.clock.clock) >= promised);
    v = view(&w, "a");
    now = clock_mono_ms(&w.clock.clock);
    assert_int_equal(v.can_change_in_ms, v.next_ms - now + 9000);
    world_fini(&w);
}

static void test_flap(void **state)
{
    struct world w;
    world_init(&w);
    struct monitor_spec s = spec_of("a", 1, 1);
    s.timing.rise = s.timing.fall = 1;
    s.timing.flap_limit = 4;
    s.timing.flap_window_ms = 60000;
    s.timing.flap_hold_ms = 30000;
    one(&w, s);
    for (int i = 0; i < 2; i++) {
        once(&w, "a", PROBE_OK);
        clock_manual_advance_ms(&w.clock, 5000);
        assert_int_equal(once(&w, "a", PROBE_FAIL).state, CHECK_DOWN);
        clock_manual_advance_ms(&w.clock, 5000);
    }
    /* Fourth change: damped, shown down although it answers. */
    struct check_view v = once(&w, "a", PROBE_OK);
    assert_true(v.flapping);
    assert_int_equal(v.state, CHECK_DOWN);
    assert_true(v.can_change_in_ms > 20000);
    clock_manual_advance_ms(&w.clock, 29999);
    assert_int_equal(once(&w, "a", PROBE_OK).state, CHECK_DOWN);
    clock_manual_advance_ms(&w.clock, 1);
    v = once(&w, "a", PROBE_OK);
    assert_false(v.flapping);
    assert_int_equal(v.state, CHECK_UP);
    world_fini(&w);
}

static void apply_many(struct world *w, unsigned n, unsigned groups, uint32_t fall)
{
    static char keys[TARGETS][8];
    struct monitor_spec specs[TARGETS];
    for (unsigned i = 0; i < n; i++) {
        snprintf(keys[i], sizeof keys[i], "k%u", i);
        specs[i] = spec_of(keys[i], i, i % groups);
        specs[i].timing.fall = fall;
    }
    assert_int_equal(monitor_apply(w->m, specs, n), 0);
}

static unsigned count_state(struct world *w, unsigned n, enum check_state s)
{
    unsigned k = 0;
    for (unsigned i = 0; i < n; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%u", i);
        k += view(w, key).state == s;
    }
    return k;
}

static void hold_world(struct world *w, unsigned n, unsigned groups, uint32_t fall)
{
    world_init(w);
    monitor_free(w->m);
    w->opt.hold_share = 0.9;
    w->m = monitor_new(&w->loop, &w->clock.clock, &w->opt);
    apply_many(w, n, groups, fall);
    advance(w, 60000);
    assert_int_equal(count_state(w, n, CHECK_UP), n);
}

static void all_answer(unsigned n, bool silent, enum probe_status s)
{
    for (unsigned i = 0; i < n; i++) {
        answers[i].silent = silent;
        answers[i].status = s;
    }
}

static void test_hold(void **state)
{
    for (uint32_t fall = 1; fall <= 3; fall++) {
        struct world w;
        hold_world(&w, 20, 4, fall);
        all_answer(20, true, PROBE_OK);
        advance(&w, 60000);
        assert_true(monitor_held(w.m));
        assert_int_equal(count_state(&w, 20, CHECK_UP), 20);
        assert_true(view(&w, "k3").held);
        /* Back again: let go soon, nobody turns down for what was measured meanwhile. */
        all_answer(20, false, PROBE_OK);
        advance(&w, 13000);
        assert_false(monitor_held(w.m));
        advance(&w, 60000);
        assert_int_equal(count_state(&w, 20, CHECK_UP), 20);
        assert_int_equal(w.holds, 1);
        if (fall > 1)
            assert_int_equal(
                w.changes,
                20); /* the first verdicts; with fall 1 the first few moved and came back */
        world_fini(&w);
    }
}

static void test_hold_ends_in_truth(void **state)
{
    struct world w;
    hold_world(&w, 20, 4, 3);
    all_answer(20, false, PROBE_UNREACH);
    advance(&w, 60000);
    assert_true(w.held);
    advance(&w, 300000);
    assert_false(w.held);
    assert_int_equal(count_state(&w, 20, CHECK_DOWN), 20);
    advance(&w, 600000);
    assert_int_equal(w.holds, 1); /* not again until something has answered */
    all_answer(20, false, PROBE_OK);
    advance(&w, 60000);
    assert_int_equal(count_state(&w, 20, CHECK_UP), 20);
    all_answer(20, false, PROBE_UNREACH);
    advance(&w, 60000);
    assert_int_equal(w.holds, 2);
    world_fini(&w);
}

/* No hold: refusals are answers, one group shares a fate, a third of the checks answers. */
static void test_no_hold(void **state)
{
    struct world w;
    hold_world(&w, 20, 4, 3);
    all_answer(20, false, PROBE_REFUSED);
    advance(&w, 60000);
    assert_int_equal(w.holds, 0);
    assert_int_equal(count_state(&w, 20, CHECK_DOWN), 20);
    world_fini(&w);
    hold_world(&w, 20, 1, 3);
    all_answer(20, false, PROBE_TIMEOUT);
    advance(&w, 60000);
    assert_int_equal(w.holds, 0);
    world_fini(&w);
    hold_world(&w, 20, 4, 3);
    all_answer(14, false, PROBE_TIMEOUT);
    advance(&w, 60000);
    assert_int_equal(w.holds, 0);
    assert_int_equal(count_state(&w, 20, CHECK_DOWN), 14);
    world_fini(&w);
    hold_world(&w, 2, 2, 3);
    all_answer(2, false, PROBE_TIMEOUT);
    advance(&w, 60000);
    assert_int_equal(w.holds, 0);
    world_fini(&w);
}

/* Two thirds are dead and looked at ten times as often: that is no reason to hold, now or again and
 * again. */
static void test_no_hold_quick_rechecks(void **state)
{
    struct world w;
    world_init(&w);
    monitor_free(w.m);
    w.opt.hold_share = 0.9;
    w.m = monitor_new(&w.loop, &w.clock.clock, &w.opt);
    static char keys[30][8];
    struct monitor_spec specs[30];
    for (unsigned i = 0; i < 30; i++) {
        snprintf(keys[i], sizeof keys[i], "k%u", i);
        specs[i] = spec_of(keys[i], i, i % 5);
        specs[i].timing.down_interval_ms = 1000;
    }
    assert_int_equal(monitor_apply(w.m, specs, 30), 0);
    advance(&w, 60000);
    all_answer(20, false, PROBE_TIMEOUT);
    advance(&w, 120000);
    assert_int_equal(w.holds, 0);
    assert_int_equal(count_state(&w, 30, CHECK_DOWN), 20);
    world_fini(&w);
}

static int open_fails(uv_loop_t *loop, void **shared)
{
    return PM_EPERM;
}

static void test_module_cannot_open(void **state)
{
    struct world w;
    world_init(&w);
    struct monitor_module no = fake;
    no.open = open_fails;
    struct monitor_spec s = spec_of("a", 1, 1);
    s.module = &no;
    one(&w, s);
    advance(&w, 60000);
    struct check_view v = view(&w, "a");
    assert_int_equal(v.state, CHECK_UNKNOWN);
    assert_int_equal(v.last_status, PROBE_LOCAL);
    assert_string_equal(v.why, "fake checks cannot run here: permission denied");
    assert_int_equal(started, 0);
    world_fini(&w);
}

static void test_reload(void **state)
{
    struct world w;
    world_init(&w);
    struct monitor_spec s[2] = {spec_of("a", 1, 1), spec_of("b", 2, 1)};
    assert_int_equal(monitor_apply(w.m, s, 2), 0);
    answers[1].took_ms = 70;
    advance(&w, 30000);
    struct check_view before = view(&w, "a");
    struct monitor_check *handle = monitor_find(w.m, "a");
    answers[2].silent = true;
    monitor_check_now(w.m, monitor_find(w.m, "b"));
    advance(&w, 1);
    assert_int_equal(open_count, 1);
    /* New strings, same words: state stays. b is gone while it runs. */
    char key[] = "a";
    struct monitor_spec next[2] = {spec_of(key, 1, 1), spec_of("c", 3, 1)};
    assert_int_equal(monitor_apply(w.m, next, 2), 0);
    assert_int_equal(cancelled, 1);
    assert_ptr_equal(monitor_find(w.m, "a"), handle);
    assert_null(monitor_find(w.m, "b"));
    assert_int_equal(view(&w, "a").count[PROBE_OK], before.count[PROBE_OK]);
    assert_int_equal(view(&w, "a").state, CHECK_UP);
    assert_int_equal(monitor_count(w.m), 2);
    /* A set with a key twice changes nothing. */
    struct monitor_spec twice[3] = {spec_of("d", 1, 1), spec_of("a", 2, 1), spec_of("d", 3, 1)};
    assert_int_equal(monitor_apply(w.m, twice, 3), PM_EEXISTS);
    assert_int_equal(monitor_count(w.m), 2);
    assert_non_null(monitor_find(w.m, "c"));
    /* New parameters while it runs: the old iteration is stopped, a new one starts. */
    answers[1].silent = true;
    monitor_check_now(w.m, handle);
    advance(&w, 1);
    next[0].params = "new";
    unsigned n = started;
    assert_int_equal(monitor_apply(w.m, next, 2), 0);
    assert_int_equal(cancelled, 2);
    advance(&w, 1);
    assert_true(started > n);
    world_fini(&w);
}

static void test_max_running(void **state)
{
    struct world w;
    world_init(&w);
    monitor_free(w.m);
    w.opt.max_running = 5;
    w.m = monitor_new(&w.loop, &w.clock.clock, &w.opt);
    all_answer(TARGETS, true, PROBE_OK);
    apply_many(&w, 40, 4, 3);
    advance(&w, 30000);
    assert_int_equal(most_open, 5);
    /* Fair: with room for 5 in 2 s and 40 wanting a turn, each got as many as the others, +-1. */
    uint64_t least = UINT64_MAX, most = 0;
    for (unsigned i = 0; i < 40; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%u", i);
        uint64_t n = view(&w, key).count[PROBE_TIMEOUT];
        least = n < least ? n : least;
        most = n > most ? n : most;
    }
    assert_true(least >= 1 && most - least <= 1);
    apply_many(&w, 3, 1, 3); /* drops running, waiting and sleeping ones alike */
    assert_int_equal(monitor_count(w.m), 3);
    advance(&w, 30000);
    world_fini(&w);
}

static void test_save(void **state)
{
    char path[] = "/tmp/test_monitor_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct world w;
    world_init(&w);
    struct monitor_spec s[3] = {spec_of("a \"q\" \\ \xc3\xa9", 1, 1), spec_of("b", 2, 1),
                                spec_of("bad\xff", 3, 1)};
    assert_int_equal(monitor_apply(w.m, s, 3), 0);
    answers[1].took_ms = 123;
    answers[2].status = PROBE_REFUSED;
    advance(&w, 100000);
    struct check_view a = view(&w, s[0].key);
    uint64_t checked = clock_mono_ms(&w.clock.clock) - a.checked_ms;
    assert_int_equal(monitor_save(w.m, path), 0);
    world_fini(&w);

    world_init(&w);
    clock_manual_advance_ms(&w.clock, 100000 + 3600000); /* an hour later */
    assert_int_equal(monitor_load(w.m, path), 0);
    assert_int_equal(monitor_apply(w.m, s, 3), 0);
    struct check_view v = view(&w, s[0].key);
    assert_int_equal(v.state, CHECK_UP);
    assert_true(v.restored);
    assert_int_equal(v.restored_age_ms, 3600000 + checked);
    assert_true(fabs(v.response_ms - a.response_ms) < 0.01);
    assert_int_equal(v.count[PROBE_OK], a.count[PROBE_OK]);
    v = view(&w, "b");
    assert_int_equal(v.state, CHECK_DOWN);
    assert_string_equal(v.why, "as told");
    assert_int_equal(view(&w, "bad\xff").state, CHECK_UNKNOWN);
    /* Not yet confirmed, saved again: as old as ever. */
    assert_int_equal(monitor_save(w.m, path), 0);
    advance(&w, 10000);
    assert_false(view(&w, s[0].key).restored);
    /* A full disk keeps what was there. */
    assert_int_not_equal(monitor_save(w.m, "/dev/full/x"), 0);
    assert_int_not_equal(monitor_save(w.m, "/nonexistent/x"), 0);
    assert_int_equal(monitor_load(w.m, path), 0);
    assert_int_equal(monitor_load(w.m, "/nonexistent/x"), PM_ENOTFOUND);
    static const char *const broken[] = {
        "",
        "{",
        "[]",
        "{\"version\":1,\"wall_ms\":5}",
        "{\"version\":2,\"wall_ms\":5,\"checks\":{}}",
        "{\"version\":1,\"wall_ms\":5,\"checks\":{\"a\":{\"state\":\"up\"}}}",
        "{\"version\":1,\"wall_ms\":5,\"checks\":{\"a\":{\"state\":\"so\",\"last_status\":\"ok\"}}"
        "}",
        "{\"version\":1,\"wall_ms\":5,\"checks\":{\"a\":{\"state\":\"up\",\"last_status\":\"ok\","
        "\"hops\":-7}}}",
        "{\"version\":1,\"wall_ms\":5,\"checks\":{\"a\":7}}",
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(broken); i++) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(broken[i], f);
        fclose(f);
        assert_int_equal(monitor_load(w.m, path), PM_EPARSE);
    }
    unlink(path);
    world_fini(&w);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void test_scale(void **state)
{
    enum { N = 100000 };
    struct world w;
    world_init(&w);
    static char keys[N][24];
    struct monitor_spec *specs = mem_alloc(N * sizeof *specs);
    for (unsigned i = 0; i < N; i++) {
        snprintf(keys[i], sizeof keys[i], "http/%u", i);
        specs[i] = spec_of(keys[i], i % TARGETS, i % 100);
    }
    size_t used = mallinfo2().uordblks + mallinfo2().hblkhd;
    double t = seconds();
    assert_int_equal(monitor_apply(w.m, specs, N), 0);
    double apply = seconds() - t;
    size_t bytes = mallinfo2().uordblks + mallinfo2().hblkhd - used;
    advance(&w, 50000);
    unsigned before = started;
    t = seconds();
    advance(&w, 10000);
    double tick = seconds() - t;
    unsigned ran = started - before;
    t = seconds();
    assert_int_equal(monitor_apply(w.m, specs, N), 0);
    double again = seconds() - t;
    print_message("# 100k checks: apply %.0f ms, again %.0f ms, %zu bytes each, %u checks in %.0f "
                  "ms (%.2f us each)\n",
                  apply * 1e3, again * 1e3, bytes / N, ran, tick * 1e3, tick * 1e6 / ran);
    assert_in_range(ran, N * 9 / 10, N * 11 / 10);
    assert_true(bytes / N < 450);
    char path[] = "/tmp/test_monitor_XXXXXX";
    close(mkstemp(path));
    t = seconds();
    assert_int_equal(monitor_save(w.m, path), 0);
    double save = seconds() - t;
    t = seconds();
    assert_int_equal(monitor_load(w.m, path), 0);
    print_message("# save %.0f ms, load %.0f ms\n", save * 1e3, (seconds() - t) * 1e3);
    unlink(path);
    /* Everybody in the line at once, then all dropped: one walk, not one per check. */
    all_answer(TARGETS, true, PROBE_OK);
    clock_manual_advance_ms(&w.clock, 60000);
    monitor_tick(w.m);
    t = seconds();
    assert_int_equal(monitor_apply(w.m, specs, 1), 0);
    assert_true(seconds() - t < 2);
    world_fini(&w);
    free(specs);
}

int main(void)
{
    log_init(LOG_ERROR - 1, -1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_verify), cmocka_unit_test(test_average),
        cmocka_unit_test(test_iterations_and_timeout),
        cmocka_unit_test(test_stall),
        cmocka_unit_test(test_intervals),
        cmocka_unit_test(test_can_change),
        cmocka_unit_test(test_flap),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_hold_ends_in_truth),
        cmocka_unit_test(test_no_hold),
        cmocka_unit_test(test_no_hold_quick_rechecks),
        cmocka_unit_test(test_module_cannot_open),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_max_running),
        cmocka_unit_test(test_save),
        cmocka_unit_test(test_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
