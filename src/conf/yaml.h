/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML text as a compact tree of nodes with positions, built from libfyaml's events (its document tree would cost
 * about a kilobyte per node). Anchors, aliases and merge keys are resolved: an aliased subtree is shared, not copied.
 *
 *   list  first -> item -> item         map  first -> key -> value -> key -> value
 *
 * What always holds: keys of a map are scalars and no key is there twice; depth, nodes and the nodes a walk would meet
 * through aliases are bounded, so a walk of the tree ends soon however the file is written.
 *
 * Memory: nodes and texts are in the arena of the tree; the source text stays with its conf_source until
 * conf_sources_free. Thread: one at a time. Failure: NULL, with the error in the conf_diag.
 */
#ifndef PM_CONF_YAML_H
#define PM_CONF_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "conf/diag.h"

enum conf_node_type { CONF_NODE_SCALAR, CONF_NODE_LIST, CONF_NODE_MAP };

struct conf_node {
    struct conf_node *next;
    union {
        const char *text; /* scalar; NUL-terminated, never holds a NUL inside */
        struct conf_node *first;
    };
    uint32_t line, column; /* from 1 */
    uint32_t count;        /* items of a list, pairs of a map, bytes of a scalar */
    uint16_t source;       /* which conf_source */
    uint8_t type;          /* enum conf_node_type */
    bool quoted;           /* a scalar in quotes or a block scalar: never null */
};

/* One text that was read. */
struct conf_source {
    char *name; /* as messages say it */
    char *dir;  /* where relative paths start */
    struct buf text;
    size_t *lines; /* offset of each line; made when the first error needs it */
    size_t line_count;
};

enum { CONF_SOURCES_MAX = 4096 };

struct conf_sources {
    struct conf_source **items;
    uint32_t count;
};

struct conf_limits {
    uint32_t depth;     /* nesting, default 64 */
    uint32_t nodes;     /* of all sources, default 50 million */
    uint32_t expanded;  /* met through aliases and merges, default 10 million */
    size_t bytes;       /* of one source, default 512 MB */
};
extern const struct conf_limits conf_limits_default;

struct conf_tree {
    struct arena *arena;
    struct conf_diag *diag;
    struct conf_limits limits;
    struct conf_sources sources;
    uint64_t nodes, expanded; /* so far, over all sources */
};

void conf_tree_init(struct conf_tree *t, struct conf_diag *diag);
void conf_tree_fini(struct conf_tree *t);

/* Adds a source without parsing it; it takes the text over. NULL when there are too many. */
struct conf_source *conf_source_add(struct conf_tree *t, const char *name, struct buf *text, uint16_t *index);
/* Parses a source: its one document. An empty one is an empty map. NULL: errors are in the diag. */
struct conf_node *conf_parse(struct conf_tree *t, uint16_t source) PM_MUST_CHECK;

/* Reports at line and column of a source, with the source line. line 0 = the file as a whole. */
void conf_report(struct conf_tree *t, enum conf_severity severity, uint16_t source, uint32_t line, uint32_t column,
                 const char *fmt, ...) PM_PRINTF(6, 7);
void conf_reportv(struct conf_tree *t, enum conf_severity severity, uint16_t source, uint32_t line, uint32_t column,
                  const char *fmt, va_list ap) PM_PRINTF(6, 0);

/* The value of a key; NULL when the node is no map or lacks it. */
const struct conf_node *conf_child(const struct conf_node *map, const char *key);
/* The key's own node, for its position. */
const struct conf_node *conf_child_key(const struct conf_node *map, const char *key);
/* A plain empty, `~` or `null`: counts as not said. */
bool conf_is_null(const struct conf_node *n);
const char *conf_node_type_name(const struct conf_node *n); /* "a map" */
/* The subtree as canonical flow text: equal trees give equal texts, whatever their layout. */
void conf_node_text(const struct conf_node *n, struct buf *out);

#define CONF_EACH_ITEM(var, list)                                                                  \
    for (const struct conf_node *var = (list)->first; var; var = var->next)
/* Each pair of a map: key is a scalar. */
#define CONF_EACH_PAIR(key, value, map)                                                            \
    for (const struct conf_node *key = (map)->first, *value; key && (value = key->next, true); key = value->next)

#endif
