/* SPDX-License-Identifier: Apache-2.0 */
/* Files are replaced whole or not at all. */
#include "../cmocka_pm.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"

static char dir[64], path[96], tmp[112];

static int set_up(void **state)
{
    strcpy(dir, "/tmp/pm-file-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/file", dir);
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    return 0;
}

static int tear_down(void **state)
{
    unlink(path);
    unlink(tmp);
    return rmdir(dir);
}

static void expect_content(const char *want)
{
    struct buf b = BUF_INIT;
    assert_int_equal(file_read(path, 1 << 20, &b), PM_OK);
    assert_string_equal(buf_str(&b), want);
    buf_fini(&b);
}

static void replace_and_read(void **state)
{
    struct buf b = BUF_INIT;
    struct stat st;
    assert_int_equal(file_read(path, 10, &b), PM_ENOTFOUND);
    assert_int_equal(file_replace(path, "old", 3, 0600), PM_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    expect_content("old");
    struct file_stamp before = file_stamp(path);
    assert_int_equal(file_replace(path, "newer", 5, 0600), PM_OK);
    expect_content("newer");
    struct file_stamp after = file_stamp(path);
    assert_memory_not_equal(&before, &after, sizeof before);
    assert_int_equal(access(tmp, F_OK), -1);
    assert_int_equal(file_read(path, 5, &b), PM_OK);
    assert_int_equal(file_read(path, 4, &b), PM_ETOOBIG);
    buf_fini(&b);
    assert_int_equal(file_replace(path, "", 0, 0600), PM_OK);
    expect_content("");
}

/* A limit on file size stands for the full disk: the write comes back short, then with an error. */
static void a_full_disk_keeps_the_old_content(void **state)
{
    static char big[100000];
    struct rlimit old, small;
    memset(big, 'z', sizeof big);
    assert_int_equal(file_replace(path, "old", 3, 0600), PM_OK);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){50000, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int err = file_replace(path, big, sizeof big, 0600);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_true(err < 0);
    expect_content("old");
    assert_int_equal(access(tmp, F_OK), -1);
    assert_int_equal(file_replace(path, big, sizeof big, 0600), PM_OK);
}

/* A process that died left its temporary file: its mode must not become the mode of a secret. */
static void a_leftover_does_not_lend_its_mode(void **state)
{
    struct stat st;
    FILE *f = fopen(tmp, "w");
    assert_non_null(f);
    fputs("half a", f);
    fclose(f);
    assert_int_equal(chmod(tmp, 0666), 0);
    assert_int_equal(file_replace(path, "secret", 6, 0600), PM_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    expect_content("secret");
}

/* Nor may a link planted under that name make us write to another file. */
static void a_link_is_not_followed(void **state)
{
    char victim[96];
    struct buf b = BUF_INIT;
    snprintf(victim, sizeof victim, "%s/victim", dir);
    assert_int_equal(file_replace(victim, "mine", 4, 0600), PM_OK);
    assert_int_equal(symlink(victim, tmp), 0);
    assert_int_equal(file_replace(path, "data", 4, 0600), PM_OK);
    assert_int_equal(file_read(victim, 100, &b), PM_OK);
    assert_string_equal(buf_str(&b), "mine");
    expect_content("data");
    buf_fini(&b);
    assert_int_equal(unlink(victim), 0);
}

static void what_cannot_be_written_is_said(void **state)
{
    char far[128];
    snprintf(far, sizeof far, "%s/none/file", dir);
    assert_int_equal(file_replace(far, "x", 1, 0600), PM_ENOTFOUND);
    struct file_stamp s = file_stamp(far);
    assert_true(s.mtime_ns == 0 && s.size == 0 && s.inode == 0);
    /* A directory in the way: the rename fails, and the temporary file goes. */
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(file_replace(path, "x", 1, 0600) < 0);
    assert_int_equal(access(tmp, F_OK), -1);
    assert_int_equal(rmdir(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replace_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_keeps_the_old_content, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_leftover_does_not_lend_its_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_link_is_not_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_written_is_said, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
