/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket's requests: whatever comes, there is one answer, and it is JSON. The commands really run,
 * against the small world of the unit tests.
 */
#include <stdlib.h>
#include <string.h>
#include "../unit/api/fake_world.c"
#include "api/commands.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fake_world_init();
    json_t *answer = api_answer(&fake.host, (const char *)data, size);
    const json_t *ok = json_object_get(answer, "ok");
    char *text = json_dumps(answer, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (!json_is_boolean(ok) || !text || strchr(text, '\n'))
        abort();
    if (json_is_false(ok) && (!json_string_length(json_object_get(answer, "message")) ||
                              strcmp(json_string_value(json_object_get(answer, "error")), "io") == 0))
        abort(); /* an error that says nothing */
    free(text);
    json_decref(answer);
    fake_world_fini();
    return 0;
}
