/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema tables the other way round: a loaded struct back to JSON or YAML with every default filled in, and the
 * reference manual of all keys as Markdown.
 *
 * Secrets print as "(secret)"; apart from them, what is printed loads again to the same struct.
 * Memory: the caller's buf, or a new JSON reference. Thread: any. Never fails.
 */
#ifndef PM_CONF_DOC_H
#define PM_CONF_DOC_H

#include <jansson.h>
#include "base/buf.h"
#include "conf/schema.h"

json_t *conf_object_json(const struct conf_object *object, const void *value);
json_t *conf_choice_json(const struct conf_choice *choice); /* "up" or {"http": {"path": "/"}} */
json_t *conf_choices_json(const struct conf_list *list);
/* As YAML in block style. Maps of a top-level object are written item by item: 100,000 services need no big tree. */
void conf_object_yaml(const struct conf_object *object, const void *value, struct buf *out);
void conf_json_yaml(const json_t *value, struct buf *out); /* any JSON value as YAML */

/* The registries that keys with .registry mean; NULL-ended, may be NULL. */
struct conf_reference {
    struct buf *out;
    const struct conf_registry *const *registries;
};
/* A heading (level '#'s), the object's doc, its keys as a table, then the objects inside it. */
void conf_reference_object(const struct conf_reference *ref, const struct conf_object *object, const char *heading,
                           int level);
/* Every kind of a registry. */
void conf_reference_registry(const struct conf_reference *ref, const struct conf_registry *registry, int level);

#endif
