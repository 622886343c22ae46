/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include "base/err.h"

static void test_every_code_has_its_own_name_and_text(void **state)
{
    for (int i = PM_ERR_BASE_ + 1; i < PM_ERR_END_; i++) {
        assert_true(i < 0);
        assert_string_not_equal(err_name(i), "unknown");
        for (const char *p = err_name(i); *p; p++)
            assert_true(islower((unsigned char)*p) || *p == '-');
        for (int j = PM_ERR_BASE_ + 1; j < i; j++) {
            assert_string_not_equal(err_name(i), err_name(j));
            assert_string_not_equal(err_text(i), err_text(j));
        }
    }
    assert_string_equal(err_name(PM_ENOTFOUND), "not-found");
    assert_string_equal(err_text(PM_ECANCELED), "canceled");
}

static void test_codes_outside_the_table(void **state)
{
    assert_string_equal(err_name(PM_OK), "ok");
    static const int odd[] = {PM_ERR_BASE_, PM_ERR_END_, 1, -1, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < PM_ARRAY_LEN(odd); i++) {
        assert_string_equal(err_name(odd[i]), "unknown");
        assert_string_equal(err_text(odd[i]), "unknown error");
    }
}

static void test_errno(void **state)
{
    static const struct {
        int errnum, err;
    } cases[] = {
        {0, PM_OK},
        {ENOENT, PM_ENOTFOUND},
        {ENOTDIR, PM_ENOTFOUND},
        {EACCES, PM_EPERM},
        {EROFS, PM_EPERM},
        {EADDRINUSE, PM_EINUSE},
        {ETIMEDOUT, PM_ETIMEOUT},
        {ECONNREFUSED, PM_EREFUSED},
        {EPIPE, PM_ERESET},
        {ECONNABORTED, PM_ERESET},
        {EHOSTUNREACH, PM_EUNREACH},
        {EAFNOSUPPORT, PM_EUNSUPPORTED},
        {EAGAIN, PM_EAGAIN},
        {EWOULDBLOCK, PM_EAGAIN},
        {EMSGSIZE, PM_ETOOBIG},
        {ENOSPC, PM_EIO},
        {EDQUOT, PM_EIO},
        {12345, PM_EIO},
        {-1, PM_EIO},
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++)
        assert_int_equal(err_from_errno(cases[i].errnum), cases[i].err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_has_its_own_name_and_text),
        cmocka_unit_test(test_codes_outside_the_table),
        cmocka_unit_test(test_errno),
    };
    return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
