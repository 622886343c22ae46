/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_geo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct geo_builder *b = geo_builder_new(NULL, NULL);
    fuzz_finish(b, geo_builder_rir(b, fuzz_file(data, size)));
    return 0;
}
