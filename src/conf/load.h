/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a file to typed structs: reads YAML with its includes (conf/yaml.h), walks the schema tables (conf/schema.h) and
 * reports every mistake it meets (conf/diag.h).
 *
 *     struct conf_ctx *ctx = conf_ctx_new(arena, diag, user);
 *     const struct conf_node *root = conf_read_file(ctx, path);
 *     if (root)
 *         conf_object_read(ctx, root, &web_object, &web);
 *     conf_ctx_free(ctx);             // the tree is gone, the structs stay in the arena
 *     if (conf_diag_errors(diag)) ...
 *
 * An object's keys are read in the order of its table, whatever the order in the file: a key may rely on what keys
 * before it in the table have made. Equal strings of one load are one string.
 *
 * Memory: results in the given arena; the tree with the ctx. Thread: one at a time. Failure: in the diag; fields with
 * errors keep their zero.
 */
#ifndef PM_CONF_LOAD_H
#define PM_CONF_LOAD_H

#include "conf/diag.h"
#include "conf/schema.h"
#include "conf/yaml.h"

/* user is for custom functions and checks: conf_user. */
struct conf_ctx *conf_ctx_new(struct arena *arena, struct conf_diag *diag, void *user);
void conf_ctx_free(struct conf_ctx *ctx);
/* Makes a registry known under its .what, for keys with .registry. */
void conf_use(struct conf_ctx *ctx, const struct conf_registry *registry);

struct arena *conf_arena(struct conf_ctx *ctx);
void *conf_user(struct conf_ctx *ctx);
struct conf_tree *conf_tree(struct conf_ctx *ctx);

/*
 * Reads a file and what its top-level `include` names: files and glob patterns, relative to the including file. Maps
 * under the same top-level key are joined; anything said twice is an error. NULL when nothing usable came out.
 */
const struct conf_node *conf_read_file(struct conf_ctx *ctx, const char *path);
const struct conf_node *conf_read_text(struct conf_ctx *ctx, const char *name, const char *text, size_t len);
/* The names of all sources so far, copied into the arena: struct conf_list of const char *. */
struct conf_list conf_files(struct conf_ctx *ctx);

/* ---- values; all report their own errors and return false then ---- */

/* Fills object (zeroed, object->size) from a map, from what its shorthand allows, or from nothing (node NULL). */
bool conf_object_read(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_object *object, void *out);
/* One value of a key's type into field, without CONF_LIST. */
bool conf_value_read(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_key *key, void *field);
/* `http`, `{http: {..}}` or `{http: shorthand}`. */
bool conf_choice_read(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_registry *registry,
                      struct conf_choice *out);
/* A list of them; a lone one counts as a list. */
bool conf_choices_read(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_registry *registry,
                       struct conf_list *out);
/* A scalar's text, or NULL after an error that says what was expected ("a duration"). */
const char *conf_scalar(struct conf_ctx *ctx, const struct conf_node *node, const char *expected);
/* A domain name as CONF_NAME reads it. */
bool conf_name_read(struct conf_ctx *ctx, const struct conf_node *node, const char **out);

/* ---- for custom functions and checks ---- */

/* Errors at a node; "the file" when node is NULL. */
void conf_error(struct conf_ctx *ctx, const struct conf_node *node, const char *fmt, ...) PM_PRINTF(3, 4);
void conf_warn(struct conf_ctx *ctx, const struct conf_node *node, const char *fmt, ...) PM_PRINTF(3, 4);
/* The same at a mark, for what the tables have already read. */
void conf_error_mark(struct conf_ctx *ctx, const struct conf_mark *mark, const char *fmt, ...) PM_PRINTF(3, 4);
struct conf_mark conf_mark_of(struct conf_ctx *ctx, const struct conf_node *node);
/* A path relative to the folder of the file the node is in; in the arena. */
const char *conf_path(struct conf_ctx *ctx, const struct conf_node *node, const char *path);
/* Copies a string into the arena once; equal strings give the same pointer. */
const char *conf_intern(struct conf_ctx *ctx, const char *text, size_t len);

/* The candidate nearest to a misspelt word, or NULL when none is near. Feed it all candidates, then ask. */
struct conf_nearest {
    const char *word, *best;
    size_t distance;
};
void conf_nearest_init(struct conf_nearest *n, const char *word);
void conf_nearest_try(struct conf_nearest *n, const char *candidate);
/* ", did you mean 'x'?" or "". */
const char *conf_nearest_hint(struct conf_ctx *ctx, const struct conf_nearest *n);
const struct conf_registry *conf_registry_of(struct conf_ctx *ctx, const struct conf_key *key);
const struct conf_object *conf_registry_find(const struct conf_registry *r, const char *name);

/* Size of a field of a type, for arrays of it. */
size_t conf_type_size(const struct conf_key *key);

#endif
