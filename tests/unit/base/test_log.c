/* SPDX-License-Identifier: Apache-2.0 */
/* A log line is one line, whatever is in the values. */
#include "../cmocka_pm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"

static int ends[2];
static char text[65536];

static int set_up(void **state)
{
    unsetenv("JOURNAL_STREAM");
    if (pipe(ends) != 0)
        return -1;
    log_init(LOG_INFO, ends[1]);
    return 0;
}

static int tear_down(void **state)
{
    close(ends[0]);
    close(ends[1]);
    log_init(LOG_INFO, -1);
    return 0;
}

/* What was logged so far. */
static const char *logged(void)
{
    log_init(LOG_INFO, -1);
    close(ends[1]);
    size_t len = 0;
    for (ssize_t n; (n = read(ends[0], text + len, sizeof text - 1 - len)) > 0;)
        len += (size_t)n;
    text[len] = 0;
    ends[1] = dup(ends[0]);
    return text;
}

static void expect_end(const char *line, const char *end)
{
    size_t n = strlen(line), m = strlen(end);
    if (n < m || strcmp(line + n - m, end) != 0)
        fail_msg("\"%s\" does not end with \"%s\"", line, end);
}

static void values_are_quoted_when_needed(void **state)
{
    log_info("site down", "site", "paris", "why", "connection refused", "n", LOG_U(7), "x", LOG_F(0.25));
    expect_end(logged(), " site down site=paris why=\"connection refused\" n=7 x=0.25\n");
}

static void values_cannot_break_the_line(void **state)
{
    log_info("m", "a", "x\ny=1", "b", "say \"hi\"", "c", "back\\slash", "d", "", "e", "\x1b[31m\x7f", "f", "k=v", "g", "caf\xc3\xa9");
    expect_end(logged(), " m a=\"x\\x0ay=1\" b=\"say \\\"hi\\\"\" c=\"back\\\\slash\" d=\"\" e=\"\\x1b[31m\\x7f\" f=\"k=v\" "
                         "g=caf\xc3\xa9\n");
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

/* Too long for a line: cut, but still one line with its quotes closed and no half escape. */
static void long_values_are_cut_cleanly(void **state)
{
    char value[6001];
    for (size_t pad = 0; pad < 5; pad++) {
        memset(value, '\n', sizeof value - 1);
        memset(value, 'x', pad);
        value[sizeof value - 1] = 0;
        log_info("long", "v", value);
    }
    char *line = strtok((char *)(uintptr_t)logged(), "\n");
    for (size_t pad = 0; pad < 5; pad++, line = strtok(NULL, "\n")) {
        assert_non_null(line);
        assert_true(strlen(line) < 2048);
        expect_end(line, "\\x0a\"");
    }
    assert_null(line);
}

static void levels_are_kept(void **state)
{
    log_debug("hidden");
    assert_false(log_enabled(LOG_DEBUG));
    log_set_level(LOG_ERROR);
    log_warn("hidden too");
    log_error("shown");
    expect_end(logged(), "error  shown\n");
    assert_null(strstr(text, "hidden"));
}

/* The loop is one call site: ten lines, and the eleventh second says how many were lost. */
static void floods_are_limited_and_counted(void **state)
{
    for (unsigned i = 0; i < 26; i++) {
        if (i == 25)
            usleep(1050000);
        log_info("flood", "i", LOG_U(i));
    }
    unsigned lines = 0;
    for (const char *p = logged(); (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(lines, 11);
    expect_end(text, "flood i=25 suppressed=15\n");
}

/* The variable is inherited by whatever a service starts; only the stream it names is the journal. */
static void priorities_only_for_the_journal(void **state)
{
    struct stat st;
    char stream[64];
    assert_int_equal(fstat(ends[1], &st), 0);
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + 1);
    setenv("JOURNAL_STREAM", stream, 1);
    log_init(LOG_INFO, ends[1]);
    log_info("other");
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_init(LOG_INFO, ends[1]);
    log_warn("here");
    expect_end(logged(), "info   other\n<4>here\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_are_quoted_when_needed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_cannot_break_the_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_values_are_cut_cleanly, set_up, tear_down),
        cmocka_unit_test_setup_teardown(levels_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(floods_are_limited_and_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(priorities_only_for_the_journal, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
