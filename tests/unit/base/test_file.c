/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/file.h"

static char dir[64], path[96], tmp[104];

static int set_up(void **state)
{
    strcpy(dir, "/tmp/pm-file-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/state", dir);
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    return 0;
}

static int tear_down(void **state)
{
    unlink(path);
    unlink(tmp);
    rmdir(tmp);
    return rmdir(dir);
}

static void content_is(const char *want)
{
    struct buf b = BUF_INIT;
    assert_int_equal(file_read(path, 1 << 20, &b), PM_OK);
    assert_string_equal(buf_str(&b), want);
    buf_fini(&b);
}

static void test_replace_and_read(void **state)
{
    struct stat st;
    assert_int_equal(file_replace(path, "one", 3, 0600), PM_OK);
    content_is("one");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(file_replace(path, "longer than one", 15, 0644), PM_OK);
    content_is("longer than one");
    assert_int_equal(file_replace(path, "", 0, 0644), PM_OK);
    content_is("");
    assert_int_equal(access(tmp, F_OK), -1);
}

static void test_reading_appends_or_changes_nothing(void **state)
{
    struct buf b = BUF_INIT;
    char *big = mem_alloc(200000);
    memset(big, 'x', 199999);
    assert_int_equal(file_replace(path, big, 199999, 0600), PM_OK);
    buf_puts(&b, "before ");
    assert_int_equal(file_read(path, 199998, &b), PM_ETOOBIG);
    assert_string_equal(buf_str(&b), "before ");
    assert_int_equal(file_read(dir, 1000, &b), PM_EIO);
    assert_int_equal(file_read("/nonexistent/file", 1000, &b), PM_ENOTFOUND);
    assert_string_equal(buf_str(&b), "before ");
    assert_int_equal(file_read("/dev/zero", 1 << 20, &b), PM_ETOOBIG);
    assert_int_equal(b.len, 7);
    assert_int_equal(file_read(path, 199999, &b), PM_OK);
    assert_int_equal(b.len, 7 + 199999);
    assert_memory_equal(b.data + 7, big, 199999);
    buf_fini(&b);
    free(big);
}

static void test_errors_leave_the_old_content(void **state)
{
    char long_path[PATH_MAX + 10];
    memset(long_path, 'a', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = 0;
    assert_int_equal(file_replace(long_path, "x", 1, 0600), PM_ETOOBIG);
    assert_int_equal(file_replace("/nonexistent/file", "x", 1, 0600), PM_ENOTFOUND);
    assert_int_equal(file_replace("/proc/version", "x", 1, 0600), PM_ENOTFOUND); /* no new files there */
    /* A directory stands where the file or its temporary should be. */
    assert_int_not_equal(file_replace(dir, "x", 1, 0600), PM_OK);
    assert_int_equal(file_replace(path, "old", 3, 0600), PM_OK);
    assert_int_equal(mkdir(tmp, 0700), 0);
    assert_int_not_equal(file_replace(path, "new", 3, 0600), PM_OK);
    content_is("old");
    char beside[80];
    snprintf(beside, sizeof beside, "%s.tmp", dir);
    assert_int_equal(access(beside, F_OK), -1);
}

static void test_a_temporary_left_by_a_crash(void **state)
{
    char victim[96];
    struct stat st;
    snprintf(victim, sizeof victim, "%s/victim", dir);
    assert_int_equal(file_replace(victim, "precious", 8, 0600), PM_OK);
    assert_int_equal(symlink(victim, tmp), 0);
    assert_int_equal(file_replace(path, "new", 3, 0640), PM_OK);
    content_is("new");
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    struct buf b = BUF_INIT;
    assert_int_equal(file_read(victim, 100, &b), PM_OK);
    assert_string_equal(buf_str(&b), "precious");
    buf_fini(&b);
    unlink(victim);
    /* A half-written one with another mode. */
    int fd = open(tmp, O_WRONLY | O_CREAT, 0444);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "half of something longer", 24), 24);
    close(fd);
    assert_int_equal(file_replace(path, "newer", 5, 0600), PM_OK);
    content_is("newer");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* In a child, so that limits and mounts end with it. Its exit status: 0, or the line of what was not as it should. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            _exit(__LINE__ % 200 + 10);                                                            \
    } while (0)
enum { NOT_POSSIBLE = 1 };

static int in_child(void (*run)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        run();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect_old(const char *old)
{
    char have[64] = "";
    int fd = open(path, O_RDONLY);
    MUST(fd >= 0);
    MUST(read(fd, have, sizeof have - 1) == (ssize_t)strlen(old));
    close(fd);
    MUST(strcmp(have, old) == 0);
    MUST(access(tmp, F_OK) == -1);
}

static void file_size_limit(void)
{
    char *big = mem_alloc(100000);
    MUST(file_replace(path, "old", 3, 0600) == PM_OK);
    signal(SIGXFSZ, SIG_IGN);
    MUST(setrlimit(RLIMIT_FSIZE, &(struct rlimit){50000, 50000}) == 0);
    MUST(file_replace(path, big, 100000, 0600) == PM_EIO);
    expect_old("old");
    MUST(file_replace(path, "new", 3, 0600) == PM_OK);
    free(big);
}

static void full_disk(void)
{
    char *big = mem_alloc(200000);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", dir, "tmpfs", 0, "size=64k") != 0)
        _exit(NOT_POSSIBLE);
    MUST(file_replace(path, "old", 3, 0600) == PM_OK);
    MUST(file_replace(path, big, 200000, 0600) == PM_EIO);
    expect_old("old");
    /* Full to the last byte, by somebody else: not even an empty page is left. */
    char fill[128];
    snprintf(fill, sizeof fill, "%s/fill", dir);
    int fd = open(fill, O_WRONLY | O_CREAT, 0600);
    MUST(fd >= 0);
    while (write(fd, big, 4096) > 0)
        ;
    MUST(errno == ENOSPC);
    MUST(file_replace(path, "new", 3, 0600) == PM_EIO);
    expect_old("old");
    MUST(ftruncate(fd, 0) == 0);
    close(fd);
    MUST(file_replace(path, "new", 3, 0600) == PM_OK);
    MUST(mount("none", dir, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
    MUST(file_replace(path, "newer", 5, 0600) == PM_EPERM);
    free(big);
}

static void test_a_file_that_may_not_grow(void **state)
{
    assert_int_equal(in_child(file_size_limit), 0);
    content_is("new");
}

static void test_a_full_and_a_read_only_disk(void **state)
{
    int status = in_child(full_disk);
    if (status == NOT_POSSIBLE)
        skip(); /* mounting needs root */
    assert_int_equal(status, 0);
}

static void test_stamps_tell_changes(void **state)
{
    struct file_stamp none = file_stamp(path), a, b;
    assert_true(none.mtime_ns == 0 && none.size == 0 && none.inode == 0);
    assert_int_equal(file_replace(path, "one", 3, 0600), PM_OK);
    a = file_stamp(path);
    b = file_stamp(path);
    assert_int_equal(a.size, 3);
    assert_true(a.mtime_ns == b.mtime_ns && a.inode == b.inode);
    /* The same size in the same tick of the clock: the inode tells. */
    assert_int_equal(file_replace(path, "two", 3, 0600), PM_OK);
    b = file_stamp(path);
    assert_true(a.mtime_ns != b.mtime_ns || a.inode != b.inode);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_replace_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reading_appends_or_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors_leave_the_old_content, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_temporary_left_by_a_crash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_file_that_may_not_grow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_full_and_a_read_only_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stamps_tell_changes, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
