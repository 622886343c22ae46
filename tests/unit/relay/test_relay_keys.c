/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../cmocka_pm.h"
#include "relay/keys.h"

enum { HOUR_MS = 3600000 };

static char folder[] = "/tmp/pm-relay-keys-XXXXXX", path[64];

static void write_file(const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    close(fd);
}

static void test_secret(void **state)
{
    uint8_t first[RELAY_SECRET] = {0}, again[RELAY_SECRET], other[RELAY_SECRET];
    struct buf why = BUF_INIT;
    struct stat st;
    assert_int_equal(relay_secret_load(path, first, &why), 0); /* made */
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, RELAY_SECRET);
    assert_int_equal(relay_secret_load(path, again, &why), 0); /* and read */
    assert_memory_equal(first, again, RELAY_SECRET);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(relay_secret_load(path, other, &why), 0); /* another one each time */
    assert_memory_not_equal(first, other, RELAY_SECRET);
    buf_fini(&why);
}

static void test_secret_that_is_none(void **state)
{
    static const uint8_t bytes[RELAY_SECRET + 1] = {1};
    static const size_t sizes[] = {0, 1, RELAY_SECRET - 1, RELAY_SECRET + 1};
    uint8_t secret[RELAY_SECRET];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct buf why = BUF_INIT;
        write_file(bytes, sizes[i]);
        assert_int_equal(relay_secret_load(path, secret, &why), PM_EINVAL);
        assert_non_null(strstr(buf_str(&why), path));
        assert_non_null(strstr(buf_str(&why), "exactly 32 bytes"));
        buf_fini(&why);
    }
    struct buf why = BUF_INIT;
    write_file(bytes, RELAY_SECRET);
    assert_int_equal(relay_secret_load(path, secret, &why), 0);
    assert_memory_equal(secret, bytes, RELAY_SECRET);
    assert_int_equal(relay_secret_load("/proc/no/such/folder", secret, &why), PM_ENOTFOUND);
    assert_true(buf_str(&why)[0]);
    buf_fini(&why);
}

/* HMAC-SHA-256 of the label under the secret, as its first 16 bytes: computed by another program. */
static void test_derived(void **state)
{
    static const uint8_t secret[RELAY_SECRET] = {1, 2, 3, 4};
    static const uint8_t cookie[16] = {0x8c, 0x3f, 0xea, 0x12, 0x1f, 0x48, 0xf2, 0x78,
                                       0x15, 0x44, 0x83, 0xe3, 0x89, 0x96, 0x18, 0xa8};
    static const uint8_t tag[RELAY_SECRET] = {0x82, 0xd8, 0x84, 0x84, 0xce, 0x66, 0x40, 0xd3, 0x62, 0xaf, 0x0f,
                                              0xf0, 0x26, 0xa6, 0xb6, 0x37, 0xe2, 0xf6, 0x96, 0x53, 0x2e, 0x50,
                                              0x79, 0xdf, 0x16, 0x94, 0x9c, 0x10, 0x4b, 0x9d, 0xd9, 0x21};
    static const uint8_t hour[16] = {0xf6, 0x1b, 0x0a, 0x3c, 0x06, 0x8e, 0xab, 0x19,
                                     0x06, 0x9a, 0xba, 0xda, 0x7e, 0xd1, 0xae, 0x71};
    struct siphash_key key, keys[HANDOFF_KEYS];
    uint8_t out[RELAY_SECRET];
    relay_cookie_key(secret, &key);
    assert_memory_equal(&key, cookie, 16);
    relay_tag_secret(secret, out);
    assert_memory_equal(out, tag, RELAY_SECRET);
    assert_int_equal(relay_tag_keys(out, 486123ull * HOUR_MS + 17, keys), 486123 % HANDOFF_KEYS);
    assert_memory_equal(&keys[486123 % HANDOFF_KEYS], hour, 16);
}

/* Whoever is an hour behind or ahead has the key that we send with, and we have theirs. */
static void test_hours(void **state)
{
    static const uint8_t secret[RELAY_SECRET] = {9};
    struct siphash_key now[HANDOFF_KEYS], then[HANDOFF_KEYS];
    for (uint64_t h = 486000; h < 486010; h++) {
        uint32_t sent = relay_tag_keys(secret, h * HOUR_MS, now);
        assert_int_equal(relay_tag_keys(secret, h * HOUR_MS + HOUR_MS - 1, then), sent);
        assert_memory_equal(now, then, sizeof now);
        for (int away = -1; away <= 1; away += 2) {
            uint32_t theirs = relay_tag_keys(secret, (h + (uint64_t)(int64_t)away) * HOUR_MS, then);
            assert_int_not_equal(theirs, sent);
            assert_memory_equal(&then[sent], &now[sent], sizeof now[0]);
            assert_memory_equal(&then[theirs], &now[theirs], sizeof now[0]);
        }
        for (int i = 0; i < HANDOFF_KEYS; i++) /* no two alike */
            for (int j = 0; j < i; j++)
                assert_memory_not_equal(&now[i], &now[j], sizeof now[0]);
        (void)relay_tag_keys(secret, (h + HANDOFF_KEYS) * HOUR_MS, then); /* an old key is forgotten */
        assert_memory_not_equal(&then[sent], &now[sent], sizeof now[0]);
    }
}

static int set_up(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/key", folder);
    return 0;
}

static int tear_down(void **state)
{
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secret),
        cmocka_unit_test(test_secret_that_is_none),
        cmocka_unit_test(test_derived),
        cmocka_unit_test(test_hours),
    };
    return cmocka_run_group_tests_name("relay_keys", tests, set_up, tear_down);
}
