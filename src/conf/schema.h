/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schema tables: one line describes one configuration key (type, place in the struct, default, range, unit, doc), and
 * that line is the parser, the checks, `pointsman check`'s effective configuration and the reference manual.
 *
 *     static const struct conf_key web_keys[] = {
 *         {"path", CONF_STRING, offsetof(struct web, path), .def = "/", .doc = "Path to ask for."},
 *         {"timeout", CONF_DURATION, offsetof(struct web, timeout_ms), .def = "2s", .min = 1, .max = 60000,
 *          .doc = "..."},
 *     };
 *     const struct conf_object web_object = {.name = "web", .size = sizeof(struct web), CONF_KEYS(web_keys), ...};
 *
 * A key with no default that is not CONF_REQUIRED leaves its field zero. Errors never stop the parse: they are
 * collected in struct conf_diag with file, line, column and source line, and returned together.
 *
 * Memory: values live in the arena given to conf_load and die with it. Thread: any, one load at a time per arena.
 */
#ifndef PM_CONF_SCHEMA_H
#define PM_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/err.h"

struct conf_ctx;  /* one load: arena, diagnostics, files */
struct conf_node; /* one YAML node with its position (conf/yaml.h) */
struct conf_object;

enum conf_type {
    CONF_BOOL,     /* bool: true/false yes/no on/off */
    CONF_INT,      /* int64_t */
    CONF_UINT,     /* uint32_t */
    CONF_DOUBLE,   /* double */
    CONF_STRING,   /* const char * */
    CONF_DURATION, /* uint64_t, ms; .min/.max in ms */
    CONF_SIZE,     /* uint64_t, bytes */
    CONF_ADDR,     /* struct addr */
    CONF_PREFIX,   /* struct prefix */
    CONF_ENDPOINT, /* struct endpoint; .min is the default port (0: port required) */
    CONF_NAME,     /* const char *: domain name, lower case, no final dot ("." for the root) */
    CONF_PATH,     /* const char *: relative paths are taken from the folder of the file that says them */
    CONF_ENUM,     /* int: index into .sub, a NULL-ended array of const char *; upper or lower case */
    CONF_OBJECT,   /* the struct itself, in place; .sub is its struct conf_object */
    CONF_MAP,      /* struct conf_list of objects; YAML map name -> object; .sub is the conf_object; each item's
                      .name_offset field receives the key */
    CONF_VARIANT,  /* struct conf_choice; .sub is a struct conf_registry: one of several named objects */
    CONF_CUSTOM,   /* .sub is a conf_custom_fn */
};

enum conf_flags {
    CONF_REQUIRED = 1,
    CONF_LIST = 2,   /* field is a struct conf_list of the type; a lone scalar or map counts as a list of one */
    CONF_SECRET = 4, /* printed as "(secret)" */
    CONF_OFF = 8,    /* `off`, `none` or "" are allowed too and leave the field zero */
    CONF_INLINE = 16, /* CONF_VARIANT only: its choice stands beside the object's keys, `{http: {..}, interval: 5s}` */
    CONF_ALIAS = 32, /* another spelling of the key before it, for the same field: read, never printed */
};

struct conf_list {
    void *items; /* array of the element type, contiguous */
    uint32_t count;
};

struct json_t; /* jansson */

struct conf_key {
    const char *name;
    enum conf_type type;
    size_t offset;
    const char *def; /* default as a user would write it; parsed by the same code */
    double min, max; /* inclusive, where min < max; of what is inside (ms, bytes, number) */
    const char *unit;
    const char *doc; /* one or two sentences, shown in the reference */
    const void *sub;
    unsigned flags;
    /* CONF_VARIANT whose kinds only a higher layer knows: the `what` of a registry given to the load (conf_use). */
    const char *registry;
    /* CONF_CUSTOM: the value as JSON for the effective configuration, readable by .sub again; NULL = leave out. */
    struct json_t *(*print)(const void *field);
    const char *type_name; /* CONF_CUSTOM: its type for the reference, "list of stages" */
};

struct conf_object {
    const char *name; /* for the reference and for choosing in a registry */
    const char *doc;
    size_t size;
    const struct conf_key *keys;
    size_t key_count;
    const char *shorthand;  /* a scalar or list in place of the map sets this key; NULL: not allowed */
    size_t name_offset;     /* for CONF_MAP: where the key's name (const char *) goes */
    size_t mark_offset;     /* where to put a struct conf_mark; 0 = none */
    const char *wants; /* chosen beside other keys (CONF_INLINE): the one of them it cannot do without; NULL = none */
    enum conf_type name_type; /* how the name of a CONF_MAP entry is read: CONF_STRING (default 0 = CONF_STRING) or CONF_NAME */
    /* Called when the object's keys are read, to check keys against each other; report with conf_error. */
    void (*check)(struct conf_ctx *ctx, const struct conf_node *node, void *object);
};
#define CONF_KEYS(table) .keys = (table), .key_count = PM_ARRAY_LEN(table)

/* A set of objects of which a configuration names one, as `http: {path: /}` or just `http`. */
struct conf_registry {
    const char *what; /* "check", "stage": for messages */
    const struct conf_object *const *kinds; /* NULL-ended */
};

struct conf_choice {
    const struct conf_object *kind;
    void *value; /* of kind->size */
};

typedef void conf_custom_fn(struct conf_ctx *ctx, const struct conf_node *node, void *field);

/* Where something stands in the configuration; file is in the arena. */
struct conf_mark {
    const char *file;
    uint32_t line, column; /* from 1 */
};

#endif
