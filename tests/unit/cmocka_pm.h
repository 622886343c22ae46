/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka wants these before itself, in this order. */
#ifndef PM_TESTS_CMOCKA_PM_H
#define PM_TESTS_CMOCKA_PM_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#endif
