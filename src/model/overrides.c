/* SPDX-License-Identifier: Apache-2.0 */
#include "model/overrides.h"

#include <fnmatch.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/file.h"

enum { FILE_MAX = 64 << 20 };

const char *override_scope_name(enum override_scope s)
{
    static const char *const names[] = {"fleet", "region", "site", "here"};
    return s < OVERRIDE_SCOPES ? names[s] : "unknown";
}

void overrides_init(struct overrides *o)
{
    *o = (struct overrides){NULL, 0, false};
}

static void remove_at(struct overrides *o, size_t i)
{
    free(o->items[i].target);
    free(o->items[i].by);
    memmove(&o->items[i], &o->items[i + 1], (o->count - i - 1) * sizeof *o->items);
    o->count--;
}

void overrides_fini(struct overrides *o)
{
    while (o->count)
        remove_at(o, o->count - 1);
    free(o->items);
    overrides_init(o);
}

struct override_entry *overrides_find(const struct overrides *o, const char *target)
{
    for (size_t i = 0; i < o->count; i++)
        if (strcmp(o->items[i].target, target) == 0)
            return &o->items[i];
    return NULL;
}

static struct override_entry *find_or_add(struct overrides *o, const char *target)
{
    struct override_entry *e = overrides_find(o, target);
    if (e)
        return e;
    o->items = mem_realloc(o->items, (o->count + 1) * sizeof *o->items);
    e = &o->items[o->count++];
    *e = (struct override_entry){.target = mem_strdup(target)};
    return e;
}

int overrides_set(struct overrides *o, const char *target, enum override what, uint64_t now_ms, uint64_t until_ms)
{
    struct override_entry *e = overrides_find(o, target);
    if (what == OVERRIDE_NONE && (!e || e->what == OVERRIDE_NONE))
        return PM_ENOTFOUND;
    if (what == OVERRIDE_NONE && !o->remember) {
        remove_at(o, (size_t)(e - o->items));
        return PM_OK;
    }
    e = find_or_add(o, target);
    free(e->by);
    e->by = NULL;
    e->what = what;
    e->since_ms = now_ms;
    e->until_ms = what == OVERRIDE_NONE ? now_ms + OVERRIDE_FORGET_MS : until_ms;
    return PM_OK;
}

bool overrides_hear(struct overrides *o, const struct override_entry *e)
{
    struct override_entry *have = overrides_find(o, e->target);
    if (have && have->since_ms >= e->since_ms)
        return false;
    have = find_or_add(o, e->target);
    free(have->by);
    have->by = e->by ? mem_strdup(e->by) : NULL;
    have->what = e->what;
    have->scope = e->scope;
    have->since_ms = e->since_ms;
    have->until_ms = e->until_ms;
    return true;
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

size_t overrides_match(const struct model *m, const char *target, overrides_match_fn *fn, void *ctx)
{
    struct target t;
    size_t n = 0;
    target_parse(target, &t);
    for (uint32_t v = 0; v < model_vip_count(m); v++) {
        if (!target_matches(&t, m, model_vip(m, v)))
            continue;
        n++;
        if (fn)
            fn(ctx, v);
    }
    return n;
}

size_t overrides_match_count(const struct model *m, const char *target)
{
    return overrides_match(m, target, NULL, NULL);
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
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:s, s:s*}", "target", e->target, "state",
                                              override_name(e->what), "since_ms", (json_int_t)e->since_ms, "until_ms",
                                              (json_int_t)e->until_ms, "scope", override_scope_name(e->scope), "by", e->by));
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
    const char *target, *state, *by = NULL, *scope = "fleet";
    json_int_t since, until;
    if (json_unpack(item, "{s:s, s:s, s:I, s:I, s?s, s?s}", "target", &target, "state", &state, "since_ms", &since, "until_ms",
                    &until, "scope", &scope, "by", &by) != 0)
        return PM_EPARSE;
    struct override_entry e = {.target = (char *)(uintptr_t)target, .by = (char *)(uintptr_t)by, .scope = OVERRIDE_SCOPES,
                               .since_ms = (uint64_t)since, .until_ms = (uint64_t)until};
    for (unsigned s = 0; s < OVERRIDE_SCOPES; s++)
        if (strcmp(scope, override_scope_name((enum override_scope)s)) == 0)
            e.scope = (uint8_t)s;
    for (unsigned w = OVERRIDE_NONE; w <= OVERRIDE_DISABLE; w++) {
        if (strcmp(state, override_name((enum override)w)) != 0 || e.scope == OVERRIDE_SCOPES)
            continue;
        e.what = (enum override)w;
        (void)overrides_hear(o, &e);
        return PM_OK;
    }
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
        fresh.remember = o->remember;
        overrides_fini(o);
        *o = fresh;
    }
    json_decref(root);
    buf_fini(&text);
    return err;
}
