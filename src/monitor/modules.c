/* SPDX-License-Identifier: Apache-2.0 */
/* Every status module: one line each. */
#include "monitor/module.h"

#include <stddef.h>

#define MONITOR_MODULES(X) X(tcp) X(tls) X(http) X(https) X(ftp) X(smtp) X(pop3) X(imap) X(nntp) X(dns) X(icmp) X(hops) X(exec)

#define X(name)                                                                                    \
    extern const struct monitor_module monitor_##name;                                             \
    extern const struct conf_object monitor_##name##_object;
MONITOR_MODULES(X)
#undef X

const struct monitor_module *const monitor_modules[] = {
#define X(name) &monitor_##name,
    MONITOR_MODULES(X)
#undef X
        NULL};

static const struct conf_object *const objects[] = {
#define X(name) &monitor_##name##_object,
    MONITOR_MODULES(X)
#undef X
        NULL};

const struct conf_registry monitor_check_registry = {.what = "check", .kinds = objects};

const struct monitor_module *monitor_module_for(const struct conf_object *object)
{
    for (size_t i = 0; monitor_modules[i]; i++)
        if (objects[i] == object)
            return monitor_modules[i];
    return NULL;
}
