/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of one load, shared by the files of this folder that make up the loader; others use conf/load.h. */
#ifndef PM_CONF_CTX_H
#define PM_CONF_CTX_H

#include "base/map.h"
#include "conf/load.h"

enum { CONF_REGISTRIES_MAX = 16 };

struct conf_ctx {
    struct arena *arena;
    struct conf_diag *diag;
    struct conf_tree tree;
    void *user;
    const struct conf_registry *registries[CONF_REGISTRIES_MAX];
    uint32_t registry_count;
    struct map interned; /* text -> itself, in the arena */
    struct map defaults; /* "text" of a default -> its node */
    const char **marks;  /* source names in the arena, by source index; made on first use */
    uint32_t mark_count;
};

/* The node of a default value; scalars, lists and maps as a user would write them. */
const struct conf_node *ctx_default_node(struct conf_ctx *ctx, const char *text);
/* Scalar types, in value.c. */
bool value_scalar_read(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_key *key, void *field);

#endif
