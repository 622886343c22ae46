/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct mnemonic {
    const char *name;
    uint16_t number;
};

#define X(name, number) {#name, number},
static const struct mnemonic types[] = {DNS_TYPES(X)};
static const struct mnemonic classes[] = {DNS_CLASSES(X)};
static const struct mnemonic rcodes[] = {DNS_RCODES(X)};
#undef X

static const char *name_of(const struct mnemonic *table, size_t n, const char *generic,
                           unsigned number, char out[DNS_TYPE_TEXT])
{
    for (size_t i = 0; i < n; i++) {
        if (table[i].number == number)
            return table[i].name;
    }
    snprintf(out, DNS_TYPE_TEXT, "%s%u", generic, number & 0xffff);
    return out;
}

static int number_of(const struct mnemonic *table, size_t n, const char *generic, const char *text,
                     uint16_t *number)
{
    size_t prefix = strlen(generic);
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(table[i].name, text) == 0) {
            *number = table[i].number;
            return PM_OK;
        }
    }
    if (strncasecmp(text, generic, prefix) != 0 || text[prefix] < '0' || text[prefix] > '9')
        return PM_EPARSE;
    char *end;
    unsigned long v = strtoul(text + prefix, &end, 10);
    if (*end || v > 65535)
        return PM_EPARSE;
    *number = (uint16_t)v;
    return PM_OK;
}

const char *dns_type_name(unsigned type, char out[DNS_TYPE_TEXT])
{
    return name_of(types, PM_ARRAY_LEN(types), "TYPE", type, out);
}

int dns_type_parse(const char *text, uint16_t *type)
{
    return number_of(types, PM_ARRAY_LEN(types), "TYPE", text, type);
}

const char *dns_class_name(unsigned class_, char out[DNS_TYPE_TEXT])
{
    return name_of(classes, PM_ARRAY_LEN(classes), "CLASS", class_, out);
}

int dns_class_parse(const char *text, uint16_t *class_)
{
    return number_of(classes, PM_ARRAY_LEN(classes), "CLASS", text, class_);
}

const char *dns_rcode_name(unsigned rcode, char out[DNS_TYPE_TEXT])
{
    return name_of(rcodes, PM_ARRAY_LEN(rcodes), "RCODE", rcode, out);
}
