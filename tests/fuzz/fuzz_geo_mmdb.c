/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_geo.h"

const char *__lsan_default_suppressions(void);

/* libmaxminddb 1.7 loses a list when MMDB_open refuses damaged metadata; nobody can free it from
 * outside. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libmaxminddb";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct geo_builder *b = geo_builder_new(NULL, NULL);
    fuzz_finish(b, geo_builder_mmdb(b, fuzz_file(data, size)));
    return 0;
}
