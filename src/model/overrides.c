/* SPDX-License-Identifier: Apache-2.0 */
#include "model/overrides.h"

#include <fnmatch.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/file.h"

enum { FILE_MAX = 64 << 20 };

void overrides_init(struct overrides *o)
{
    *o = (struct overrides){NULL, 0};
}

void overrides_fini(struct overrides *o)
{
    for (size_t i = 0; i < o->count; i++)
        free(o->items[i].target);
    free(o->items);
    overrides_init(o);
}

static void remove_at(struct overrides *o, size_t i)
{
    free(o->items[i].target);
    memmove(&o->items[i], &o->items[i + 1], (o->count - i - 1) * sizeof *o->items);
    o->count--;
}

int overrides_set(struct overrides *o, const char *target, enum override what, uint64_t now_ms, uint64_t until_ms)
{
    for (size_t i = 0; i < o->count; i++) {
        if (strcmp(o->items[i].target, target) != 0)
            continue;
        if (what == OVERRIDE_NONE) {
            remove_at(o, i);
        } else {
            o->items[i].what = what;
            o->items[i].since_ms = now_ms;
            o->items[i].until_ms = until_ms;
        }
        return PM_OK;
    }
    if (what == OVERRIDE_NONE)
        return PM_ENOTFOUND;
    o->items = mem_realloc(o->items, (o->count + 1) * sizeof *o->items);
    o->items[o->count++] = (struct override_entry){mem_strdup(target), what, now_ms, until_ms};
    return PM_OK;
}

bool overrides_expire(struct overrides *o, uint64_t now_ms)
{
    bool any = false;
    for (size_t i = o->count; i-- > 0;) {
        if (o->items[i].until_ms && o->items[i].until_ms <= now_ms) {
            remove_at(o, i);
            any = true;
        }
    }
    return any;
}

uint64_t overrides_next_expiry(const struct overrides *o)
{
    uint64_t next = 0;
    for (size_t i = 0; i < o->count; i++)
        if (o->items[i].until_ms && (!next || o->items[i].until_ms < next))
            next = o->items[i].until_ms;
    return next;
}

/* A target taken apart: SERVICE@PLACE, or one word that may be any of site, service and address. */
struct target {
    char service[256];
    const char *place; /* site or address; NULL for a lone word */
    bool glob;
};

static void target_parse(const char *text, struct target *t)
{
    const char *at = strrchr(text, '@');
    size_t n = at ? (size_t)(at - text) : strlen(text);
    if (n >= sizeof t->service)
        n = sizeof t->service - 1;
    memcpy(t->service, text, n);
    t->service[n] = 0;
    t->place = at ? at + 1 : NULL;
    t->glob = strpbrk(text, "*?[") != NULL;
}

static bool word_matches(const struct target *t, const char *pattern, const char *word)
{
    return t->glob ? fnmatch(pattern, word, FNM_CASEFOLD) == 0 : strcasecmp(pattern, word) == 0;
}

static bool target_matches(const struct target *t, const struct model *m, const struct model_vip *v)
{
    const struct config *config = model_config(m);
    const char *site = ((const struct cfg_site *)config->sites.items)[v->site].name;
    const char *service = ((const struct cfg_service *)config->services.items)[v->service].name;
    const char *place = t->place ? t->place : t->service;
    char address[ADDR_TEXT];
    if (t->place && !word_matches(t, t->service, service))
        return false;
    if (!t->place && word_matches(t, t->service, service))
        return true;
    return word_matches(t, place, site) || word_matches(t, place, addr_format(&v->config->addr, address));
}

size_t overrides_match_count(const struct model *m, const char *target)
{
    struct target t;
    size_t n = 0;
    target_parse(target, &t);
    for (uint32_t v = 0; v < model_vip_count(m); v++)
        n += target_matches(&t, m, model_vip(m, v));
    return n;
}

void overrides_apply(const struct overrides *o, struct model *m)
{
    struct target *targets = mem_alloc((o->count + 1) * sizeof *targets);
    for (size_t i = 0; i < o->count; i++)
        target_parse(o->items[i].target, &targets[i]);
    for (uint32_t v = 0; v < model_vip_count(m); v++) {
        const struct model_vip *vip = model_vip(m, v);
        enum override strongest = OVERRIDE_NONE;
        for (size_t i = 0; i < o->count; i++)
            if (o->items[i].what > strongest && target_matches(&targets[i], m, vip))
                strongest = o->items[i].what;
        model_set_override(m, v, strongest);
    }
    free(targets);
}

int overrides_save(const struct overrides *o, const char *path)
{
    json_t *list = json_array();
    for (size_t i = 0; i < o->count; i++) {
        const struct override_entry *e = &o->items[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I}", "target", e->target, "state", override_name(e->what),
                                              "since_ms", (json_int_t)e->since_ms, "until_ms", (json_int_t)e->until_ms));
    }
    json_t *root = json_pack("{s:i, s:o}", "version", 1, "overrides", list);
    char *text = json_dumps(root, JSON_INDENT(2));
    int err = text ? file_replace(path, text, strlen(text), 0640) : PM_ENOMEM;
    free(text);
    json_decref(root);
    return err;
}

static int entry_load(struct overrides *o, json_t *item)
{
    const char *target, *state;
    json_int_t since, until;
    if (json_unpack(item, "{s:s, s:s, s:I, s:I}", "target", &target, "state", &state, "since_ms", &since, "until_ms",
                    &until) != 0)
        return PM_EPARSE;
    for (enum override w = OVERRIDE_FORCE; w <= OVERRIDE_DISABLE; w++)
        if (strcmp(state, override_name(w)) == 0)
            return overrides_set(o, target, w, (uint64_t)since, (uint64_t)until);
    return PM_EPARSE;
}

int overrides_load(struct overrides *o, const char *path)
{
    struct buf text = BUF_INIT;
    int err = file_read(path, FILE_MAX, &text);
    json_t *root = err ? NULL : json_loadb(buf_str(&text), text.len, 0, NULL);
    json_t *list = json_object_get(root, "overrides");
    struct overrides fresh;
    overrides_init(&fresh);
    if (!err && !json_is_array(list))
        err = PM_EPARSE;
    for (size_t i = 0; !err && i < json_array_size(list); i++)
        err = entry_load(&fresh, json_array_get(list, i));
    if (err) {
        overrides_fini(&fresh);
    } else {
        overrides_fini(o);
        *o = fresh;
    }
    json_decref(root);
    buf_fini(&text);
    return err;
}
