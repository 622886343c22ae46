/* SPDX-License-Identifier: Apache-2.0 */
#include "model/health.h"

#include "model/snapshot.h"

const char *health_name(enum health h)
{
    static const char *const names[] = {"unknown", "up", "down", "unchecked"};
    return names[h];
}

const char *override_name(enum override o)
{
    static const char *const names[] = {"none", "enabled", "drained", "disabled"};
    return names[o];
}

const char *snap_fallback_name(enum snap_fallback f)
{
    static const char *const names[] = {"none", "drained", "all", "last-good", "fallback", "servfail"};
    return names[f];
}
