/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durations and sizes as people write them, both ways.
 *   durations: "250ms" "5s" "1m" "2h" "1d", sums "1h30m", or a bare number of seconds; "0". Unit inside: ms.
 *   sizes:     "64" "4k" "1M" "2G" (powers of 1024, optional B). Unit inside: bytes.
 */
#ifndef PM_BASE_UNITS_H
#define PM_BASE_UNITS_H

#include <stdint.h>
#include "base/err.h"

enum { UNITS_TEXT = 32 };

int duration_parse(const char *text, uint64_t *ms) PM_MUST_CHECK; /* PM_EPARSE, PM_ERANGE */
const char *duration_format(uint64_t ms, char out[UNITS_TEXT]);   /* "1h30m", "250ms", "0s" */
int size_parse(const char *text, uint64_t *bytes) PM_MUST_CHECK;
const char *size_format(uint64_t bytes, char out[UNITS_TEXT]); /* exact: "4k", "1500" */

#endif
