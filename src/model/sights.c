/* SPDX-License-Identifier: Apache-2.0 */
#include "model/sights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"

struct vantage {
    char *name, *site;
    uint16_t site_number;
};

struct sights {
    const struct config *config;
    uint32_t vip_count;
    struct sight **of;        /* [vip_count]; NULL until somebody speaks */
    struct vantage *vantages; /* [VANTAGE_OWN ..] */
    uint16_t vantage_count;
};

struct sights *sights_new(const struct config *config, uint32_t vip_count)
{
    struct sights *s = mem_alloc(sizeof *s);
    s->config = config;
    s->vip_count = vip_count;
    s->vantage_count = VANTAGE_OWN;
    (void)sights_vantage(s, config->node.name, config->node.site);
    return s;
}

void sights_free(struct sights *s)
{
    if (!s)
        return;
    for (uint32_t v = 0; s->of && v < s->vip_count; v++) {
        for (struct sight *at = s->of[v], *next; at; at = next) {
            next = at->next;
            free(at);
        }
    }
    for (uint16_t i = VANTAGE_OWN; i < s->vantage_count; i++) {
        free(s->vantages[i].name);
        free(s->vantages[i].site);
    }
    free(s->of);
    free(s->vantages);
    free(s);
}

/* ---- vantage points ---- */

static void stand(const struct sights *s, struct vantage *v, const char *site)
{
    const struct cfg_site *at = site ? config_site(s->config, site) : NULL;
    free(v->site);
    v->site = site ? mem_strdup(site) : NULL;
    v->site_number = at ? (uint16_t)at->index : VANTAGE_NOWHERE;
}

uint16_t sights_vantage(struct sights *s, const char *name, const char *site)
{
    for (uint16_t i = VANTAGE_OWN; i < s->vantage_count; i++) {
        if (strcmp(s->vantages[i].name, name) != 0)
            continue;
        if (site)
            stand(s, &s->vantages[i], site);
        return i;
    }
    if (s->vantage_count >= VANTAGE_MAX)
        return VANTAGE_MAX - 1;
    s->vantages = mem_realloc(s->vantages, (s->vantage_count + 1u) * sizeof *s->vantages);
    struct vantage *v = &s->vantages[s->vantage_count];
    *v = (struct vantage){.name = mem_strdup(name)};
    stand(s, v, site);
    return s->vantage_count++;
}

const char *sights_vantage_name(const struct sights *s, uint16_t vantage)
{
    return vantage && vantage < s->vantage_count ? s->vantages[vantage].name : "self";
}

uint16_t sights_vantage_site(const struct sights *s, uint16_t vantage)
{
    return vantage && vantage < s->vantage_count ? s->vantages[vantage].site_number : VANTAGE_NOWHERE;
}

uint16_t sights_vantage_count(const struct sights *s)
{
    return s->vantage_count;
}

/* ---- sights ---- */

static struct sight **find(const struct sights *s, uint32_t vip, uint16_t vantage)
{
    struct sight **at = &s->of[vip];
    while (*at && (*at)->vantage != vantage)
        at = &(*at)->next;
    return at;
}

bool sights_set(struct sights *s, uint32_t vip, const struct sight *what)
{
    if (!s->of)
        s->of = mem_alloc((s->vip_count + 1) * sizeof(struct sight *));
    struct sight **at = find(s, vip, what->vantage), *next = *at ? (*at)->next : NULL;
    bool changed = !*at || (*at)->health != what->health || isnan((*at)->response_ms) != isnan(what->response_ms) ||
                   (!isnan(what->response_ms) && (*at)->response_ms != what->response_ms);
    if (!*at)
        *at = mem_alloc(sizeof **at);
    **at = *what;
    (*at)->next = next;
    return changed;
}

bool sights_forget(struct sights *s, uint32_t vip, uint16_t vantage)
{
    struct sight **at = s->of ? find(s, vip, vantage) : NULL;
    if (!at || !*at)
        return false;
    struct sight *gone = *at;
    *at = gone->next;
    free(gone);
    return true;
}

const struct sight *sights_find(const struct sights *s, uint32_t vip, uint16_t vantage)
{
    return s->of ? *find(s, vip, vantage) : NULL;
}

const struct sight *sights_of(const struct sights *s, uint32_t vip)
{
    return s->of ? s->of[vip] : NULL;
}

bool sights_site_down(const struct sights *s, uint32_t vip, uint16_t site)
{
    bool down = false;
    for (const struct sight *at = sights_of(s, vip); at; at = at->next) {
        if (at->vantage == VANTAGE_OWN || s->vantages[at->vantage].site_number != site)
            continue;
        if (at->health == HEALTH_UP)
            return false;
        down |= at->health == HEALTH_DOWN;
    }
    return down;
}

unsigned sights_down(const struct sights *s, uint32_t vip)
{
    unsigned n = 0;
    for (const struct sight *at = sights_of(s, vip); at; at = at->next)
        n += at->health == HEALTH_DOWN && at->vantage != VANTAGE_OWN;
    return n;
}

void sights_adopt(struct sights *s, const struct sights *old, const uint32_t *to_new)
{
    uint16_t *number = mem_alloc(old->vantage_count * sizeof *number);
    number[VANTAGE_OWN] = VANTAGE_OWN;
    for (uint16_t i = VANTAGE_OWN + 1; i < old->vantage_count; i++)
        number[i] = sights_vantage(s, old->vantages[i].name, old->vantages[i].site);
    for (uint32_t v = 0; old->of && v < old->vip_count; v++) {
        for (const struct sight *at = old->of[v]; at && to_new[v] != UINT32_MAX; at = at->next) {
            struct sight moved = *at;
            moved.vantage = number[at->vantage];
            (void)sights_set(s, to_new[v], &moved);
        }
    }
    free(number);
}
