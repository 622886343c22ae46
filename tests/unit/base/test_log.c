/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/log.h"

static int out[2];
static char said[1 << 20];

static int set_up(void **state)
{
    if (pipe2(out, O_NONBLOCK) != 0)
        return -1;
    unsetenv("JOURNAL_STREAM");
    log_init(LOG_INFO, out[1]);
    return 0;
}

static int tear_down(void **state)
{
    log_init(LOG_INFO, -1);
    close(out[0]);
    return close(out[1]);
}

/* Everything logged since the last call. */
static const char *lines(void)
{
    size_t n = 0;
    for (ssize_t got; (got = read(out[0], said + n, sizeof said - 1 - n)) > 0;)
        n += (size_t)got;
    said[n] = 0;
    assert_int_equal(strlen(said), n);
    return said;
}

static unsigned count_lines(const char *s)
{
    unsigned n = 0;
    for (; (s = strchr(s, '\n')) != NULL; s++)
        n++;
    return n;
}

static void line_ends_with(const char *want)
{
    const char *line = lines();
    size_t n = strlen(line), w = strlen(want);
    if (n < w || strcmp(line + n - w, want) != 0)
        fail_msg("\"%s\" does not end with \"%s\"", line, want);
    assert_int_equal(count_lines(line), 1);
}

static void test_time_level_message_pairs(void **state)
{
    struct tm tm;
    log_warn("site down", "site", "paris", "why", "refused");
    const char *line = lines();
    char *rest = strptime(line, "%Y-%m-%dT%H:%M:%S.", &tm);
    assert_non_null(rest);
    assert_string_equal(rest + strspn(rest, "0123456789"), "Z warn   site down site=paris why=refused\n");
    log_info("started");
    line_ends_with(" info   started\n");
}

static void test_values_are_quoted_and_escaped(void **state)
{
    log_info("m", "k", "connection refused");
    line_ends_with(" k=\"connection refused\"\n");
    log_info("m", "k", "");
    line_ends_with(" k=\"\"\n");
    log_info("m", "k", "a=b");
    line_ends_with(" k=\"a=b\"\n");
    log_info("m", "k", "say \"x\" \\");
    line_ends_with(" k=\"say \\\"x\\\" \\\\\"\n");
    log_info("m", "k", "two\nlines\tand\x7f\x1b[31m");
    line_ends_with(" k=\"two\\x0alines\\x09and\\x7f\\x1b[31m\"\n");
    log_info("m", "k", "\xc3\xa9t\xc3\xa9");
    line_ends_with(" k=\xc3\xa9t\xc3\xa9\n");
    log_info("m", "k", (const char *)NULL, "site", "paris");
    line_ends_with(" k=\"\" site=paris\n");
}

static void test_numbers(void **state)
{
    log_info("m", "n", LOG_U(UINT64_MAX), "x", LOG_F(0.25), "y", LOG_U(7));
    line_ends_with(" n=18446744073709551615 x=0.25 y=7\n");
}

static void test_a_long_value_is_cut_but_one_line(void **state)
{
    char *big = mem_alloc(100000);
    memset(big, 'x', 99999);
    log_info("m", "k", big, "after", "lost");
    const char *line = lines();
    assert_int_equal(count_lines(line), 1);
    assert_in_range(strlen(line), 1000, 2048);
    memset(big, '\n', 99999);
    for (size_t start = 0; start < 4; start++) { /* the cut falls on every byte of an escape */
        log_info("m", start ? "kkk" + start - 1 : "kkkk", big);
        line = lines();
        assert_int_equal(count_lines(line), 1);
        assert_in_range(strlen(line), 1000, 2048);
        assert_string_equal(line + strlen(line) - 6, "\\x0a\"\n");
    }
    free(big);
}

static void test_levels(void **state)
{
    log_debug("quiet");
    assert_string_equal(lines(), "");
    assert_false(log_enabled(LOG_DEBUG));
    log_set_level(LOG_ERROR);
    log_warn("quiet");
    assert_string_equal(lines(), "");
    log_error("loud");
    line_ends_with(" error  loud\n");
    log_set_level(LOG_DEBUG);
    log_debug("loud");
    line_ends_with(" debug  loud\n");
}

static void repeat(const char *msg)
{
    log_info(msg);
}

static void test_a_call_site_may_print_ten_lines_a_second(void **state)
{
    for (int i = 0; i < 1000; i++)
        repeat("again");
    assert_int_equal(count_lines(lines()), 10);
    log_info("another place");
    line_ends_with("another place\n");
    nanosleep(&(struct timespec){1, 50000000}, NULL);
    repeat("later");
    line_ends_with(" info   later suppressed=990\n");
    repeat("and then");
    line_ends_with(" info   and then\n");
}

enum { THREADS = 4 };

static void *log_much(void *arg)
{
    struct log_site *site = arg;
    for (int i = 0; i < 5000; i++)
        log_write(site, LOG_INFO, "thread", "k", "v v", (const char *)0, (const char *)0);
    return NULL;
}

static void test_threads_share_the_limit(void **state)
{
    static struct log_site site;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_much, &site), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    unsigned n = count_lines(lines());
    assert_in_range(n, 10, 100); /* 10 a second; a slow machine may take some */
    for (const char *line = said, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        assert_non_null(memmem(line, (size_t)(end - line), " info   thread k=\"v v\"", 22));
}

static void test_the_journal_gets_priorities(void **state)
{
    struct stat st;
    char stream[64];
    assert_int_equal(fstat(out[1], &st), 0);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_init(LOG_INFO, out[1]);
    log_error("broken");
    assert_string_equal(lines(), "<3>broken\n");
    /* Inherited from a unit, but this is not its stream. */
    setenv("JOURNAL_STREAM", "1:1", 1);
    log_init(LOG_INFO, out[1]);
    log_error("broken");
    line_ends_with("Z error  broken\n");
    assert_int_equal(said[0], '2');
}

static void test_a_stream_that_is_full_blocks_nobody(void **state)
{
    static struct log_site site;
    while (write(out[1], "x", 1) == 1)
        ;
    log_write(&site, LOG_INFO, "lost", (const char *)0, (const char *)0);
    assert_null(strchr(lines(), '\n'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_time_level_message_pairs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_values_are_quoted_and_escaped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_numbers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_long_value_is_cut_but_one_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_levels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_call_site_may_print_ten_lines_a_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads_share_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_journal_gets_priorities, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_stream_that_is_full_blocks_nobody, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
