/* SPDX-License-Identifier: Apache-2.0 */
#include "model/config.h"

#include <stdlib.h>
#include <string.h>
#include "conf/doc.h"
#include "model/config_build.h"

static void build_fini(struct config_build *b)
{
    conf_ctx_free(b->ctx);
    map_fini(&b->policy_names);
    map_fini(&b->check_names);
    map_fini(&b->policy_texts);
    map_fini(&b->check_texts);
    map_fini(&b->list_texts);
}

/* text NULL: path is a file. */
static int load(const char *path, const char *text, size_t len, const struct config_registries *reg,
                struct config **out, struct conf_diag *diag)
{
    struct arena *arena = arena_new();
    struct config *c = ARENA_NEW(arena, struct config);
    c->arena = arena;
    c->registries = reg;
    struct config_build b = {.config = c, .reg = reg};
    size_t errors = conf_diag_errors(diag);
    b.ctx = conf_ctx_new(arena, diag, &b);
    conf_use(b.ctx, reg->stages);
    conf_use(b.ctx, reg->checks);
    const struct conf_node *root =
        text ? conf_read_text(b.ctx, path, text, len) : conf_read_file(b.ctx, path);
    if (root) {
        c->files = conf_files(b.ctx);
        (void)conf_object_read(b.ctx, root, &config_object, c);
        config_finish(&b, root);
    }
    build_fini(&b);
    if (!root || conf_diag_errors(diag) != errors) {
        config_free(c);
        *out = NULL;
        return PM_ECONFIG;
    }
    *out = c;
    return PM_OK;
}

int config_load(const char *path, const struct config_registries *reg, struct config **out, struct conf_diag *diag)
{
    return load(path, NULL, 0, reg, out, diag);
}

int config_load_text(const char *name, const char *text, size_t len, const struct config_registries *reg,
                     struct config **out, struct conf_diag *diag)
{
    return load(name, text, len, reg, out, diag);
}

void config_free(struct config *c)
{
    if (!c)
        return;
    map_fini(&c->by_site);
    map_fini(&c->by_zone);
    map_fini(&c->by_service);
    arena_free(c->arena);
}

const struct cfg_site *config_site(const struct config *c, const char *name)
{
    return map_get_str(&c->by_site, name);
}

const struct cfg_service *config_service(const struct config *c, const char *name)
{
    return map_get_str(&c->by_service, name);
}

void config_print(const struct config *c, struct buf *out)
{
    conf_object_yaml(&config_object, c, out);
}

struct json_t *config_json(const struct config *c)
{
    return conf_object_json(&config_object, c);
}

static void presets_reference(const struct config_registries *reg, struct buf *out)
{
    buf_puts(out, "## Presets\n\nPolicies that are there by name, and the stages they stand for.\n\n"
                  "| Name | Stages | Meaning |\n|---|---|---|\n");
    for (const struct config_preset *p = reg->presets; p && p->name; p++)
        buf_printf(out, "| `%s` | `%s` | %s |\n", p->name, p->text, p->doc ? p->doc : "");
    buf_putc(out, '\n');
}

void config_reference(const struct config_registries *reg, struct buf *out)
{
    const struct conf_registry *const all[] = {reg->stages, reg->checks, NULL};
    struct conf_reference ref = {out, all};
    buf_puts(out, "# Configuration\n\nEvery key, made from the tables the program reads its configuration with.\n\n"
                  "Durations are written `250ms`, `5s`, `1h30m`; sizes `512`, `4k`, `1M`. A list of one may be written "
                  "without its brackets. YAML's anchors, aliases and `<<` work.\n\n");
    conf_reference_object(&ref, &config_object, "configuration", 2);
    conf_reference_object(&ref, &config_check_object, "checks.NAME", 2);
    conf_reference_registry(&ref, reg->checks, 3);
    buf_puts(out, "## Stages\n\nWhat a policy is a list of.\n\n");
    conf_reference_registry(&ref, reg->stages, 3);
    if (reg->presets)
        presets_reference(reg, out);
}
