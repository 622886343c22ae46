/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte chooses the options; the rest is the file. */
#include "fuzz_geo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct geo_csv_options all[] = {{.columns = NULL},
                                                 {.columns = "prefix,country,lat,lon,city"},
                                                 {.columns = "start,end,asn,region,continent"},
                                                 {.separator = ';'}};
    if (size == 0)
        return 0;
    struct geo_builder *b = geo_builder_new(NULL, NULL);
    fuzz_finish(b, geo_builder_csv(b, fuzz_file(data + 1, size - 1), &all[data[0] % 4]));
    return 0;
}
