/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/module.h"

/* clang-format off */
/*
 * The one list. A line X(name) needs `const struct monitor_module monitor_name` and its
 * configuration `const struct conf_object monitor_name_object`, both with external linkage.
 */
#define MODULES(X)                                                                                 \
    X(tcp)                                                                                         \
    X(tls)                                                                                         \
    X(icmp)                                                                                        \
    X(hops)                                                                                        \
    X(exec)                                                                                        \
    X(dns)                                                                                         \
    X(nntp)                                                                                        \
    X(http)                                                                                        \
    X(https)                                                                                       \
    X(ftp)                                                                                         \
    X(smtp)                                                                                        \
    X(pop3)                                                                                        \
    X(imap)

/* clang-format on */

#define X(name)                                                                                    \
    extern const struct monitor_module monitor_##name;                                             \
    extern const struct conf_object monitor_##name##_object;
MODULES(X)
#undef X

const struct monitor_module *const monitor_modules[] = {
#define X(name) &monitor_##name,
    MODULES(X)
#undef X
        NULL,
};

static const struct conf_object *const kinds[] = {
#define X(name) &monitor_##name##_object,
    MODULES(X)
#undef X
        NULL,
};

const struct conf_registry monitor_check_registry = {.what = "check", .kinds = kinds};

const struct monitor_module *monitor_module_for(const struct conf_object *object)
{
    for (size_t i = 0; kinds[i]; i++)
        if (kinds[i] == object)
            return monitor_modules[i];
    return NULL;
}
