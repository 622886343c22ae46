/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/map.h"
#include "policy/policy.h"

enum { SIGNATURE_MAX = 5 }; /* bytes of a signature per site */

unsigned view_needs(unsigned reads)
{
    return reads & (READS_DISTANCE | READS_DISTANCE_VALUE | READS_DISTANCE_WITHIN | READS_GEO_LEVEL | READS_MATCH | READS_RTT |
                    0xffu << READS_MATCH_SHIFT);
}

/* Steps of 5 % from 10 km on; nearer is all the same to an address database. */
static unsigned distance_step(float km)
{
    return km <= 10 ? 0 : (unsigned)lrintf(logf(km / 10) / logf(1.05f));
}

static bool list_has_word(const struct conf_list *l, const char *word)
{
    const char *const *items = l->items;
    for (uint32_t i = 0; i < l->count && *word; i++)
        if (strcasecmp(items[i], word) == 0)
            return true;
    return false;
}

static uint8_t match_bits(const struct cfg_site *site, uint32_t index, const struct geo_place *p)
{
    const uint32_t *asn = site->serves.asns.items;
    uint8_t bits = 0;
    if (list_has_word(&site->serves.countries, p->country))
        bits |= MATCH_COUNTRY;
    if (list_has_word(&site->serves.continents, p->continent))
        bits |= MATCH_CONTINENT;
    if (list_has_word(&site->serves.regions, p->region))
        bits |= MATCH_REGION;
    for (uint32_t i = 0; i < site->serves.asns.count && p->asn; i++)
        if (asn[i] == p->asn)
            bits |= MATCH_ASN;
    if (p->tag == index + 1)
        bits |= MATCH_PREFIX;
    return bits;
}

static uint8_t geo_level(const struct cfg_site *site, const struct geo_place *p)
{
    if (*p->region && site->region && strcasecmp(site->region, p->region) == 0)
        return 0;
    if (*p->country && site->country && strcasecmp(site->country, p->country) == 0)
        return 1;
    if (*p->continent && site->continent && strcasecmp(site->continent, p->continent) == 0)
        return 2;
    return 3;
}

void view_features(const struct snap_view *v, const struct config *config, const struct geo_place *place, unsigned reads,
                   struct snap_feature *out)
{
    const struct cfg_site *sites = config->sites.items;
    for (unsigned i = 0; i < v->site_count; i++) {
        const struct cfg_site *site = &sites[v->sites[i]];
        float km = NAN;
        if (place->has_location && site->location.known)
            km = (float)geo_distance_km((double)place->lat, (double)place->lon, site->location.lat, site->location.lon);
        if (reads & READS_DISTANCE_VALUE && !isnan(km))
            km = roundf(10 * powf(1.05f, (float)distance_step(km)));
        out[i] = (struct snap_feature){km, NAN, 0, geo_level(site, place), match_bits(site, v->sites[i], place)};
    }
}

/* Equal bytes = same class. */
static void signature(const struct snap_feature *f, unsigned n, unsigned reads, float percent, uint8_t *out)
{
    for (unsigned i = 0; i < n; i++, out += SIGNATURE_MAX) {
        unsigned distance = 0, near = 0;
        if (!(reads & (READS_DISTANCE | READS_DISTANCE_VALUE)))
            distance = 0;
        else if (isnan(f[i].distance_km))
            distance = 0xffff;
        else if (reads & READS_DISTANCE_VALUE)
            distance = distance_step(f[i].distance_km) + 1;
        else
            for (unsigned j = 0; j < n; j++)
                distance += f[j].distance_km < f[i].distance_km;
        /* With the ranks, how many follow within the percent says which: they come next in order. */
        for (unsigned j = 0; reads & READS_DISTANCE_WITHIN && j < n; j++)
            near += f[j].distance_km >= f[i].distance_km && run_joins(f[i].distance_km, f[j].distance_km, percent);
        out[4] = (uint8_t)near;
        out[0] = (uint8_t)(distance >> 8);
        out[1] = (uint8_t)distance;
        out[2] = reads & READS_GEO_LEVEL ? f[i].geo_level : 0;
        out[3] = (uint8_t)(f[i].match & reads >> READS_MATCH_SHIFT);
    }
}

static void view_classes(struct snap_view *v, const struct config *config, const struct geo_db *geo, unsigned reads,
                         float percent)
{
    uint32_t places = geo_place_count(geo);
    uint32_t *class_of = mem_alloc(places * sizeof *class_of);
    struct arena *keys = arena_new();
    struct map seen = MAP_INIT;
    struct snap_feature *features = NULL, *now = mem_alloc(v->site_count * sizeof *now);
    size_t cap = 0, len = (size_t)v->site_count * SIGNATURE_MAX;
    uint8_t *sig = mem_alloc(len);
    for (uint32_t p = 0; p < places; p++) {
        view_features(v, config, geo_place_at(geo, p), reads, now);
        signature(now, v->site_count, reads, percent, sig);
        uintptr_t class = (uintptr_t)map_get(&seen, sig, len); /* class + 1 */
        if (!class) {
            class = ++v->class_count;
            map_put(&seen, memcpy(arena_bytes(keys, len), sig, len), len, (void *)class);
            if (v->class_count > cap) {
                cap = cap ? cap * 2 : 64;
                features = mem_realloc(features, cap * v->site_count * sizeof *features);
            }
            memcpy(features + (class - 1) * v->site_count, now, v->site_count * sizeof *now);
        }
        class_of[p] = (uint32_t)class - 1;
    }
    v->features = features;
    v->ranges = ranges_map(geo_db_ranges(geo), class_of, places);
    free(sig);
    free(now);
    map_fini(&seen);
    arena_free(keys);
    free(class_of);
}

struct snap_view *view_new(const struct config *config, const struct geo_db *geo, unsigned reads, float percent,
                           const uint16_t *sites, uint16_t site_count, bool by_place)
{
    struct snap_view *v = mem_alloc(sizeof *v);
    uint16_t *own = mem_alloc(site_count * sizeof *own);
    v->site_count = site_count;
    v->sites = memcpy(own, sites, site_count * sizeof *own);
    if (!view_needs(reads))
        v->class_count = 1;
    else if (by_place)
        v->by_place = true;
    else
        view_classes(v, config, geo, reads, percent);
    v->place_classes = v->class_count;
    return v;
}

void view_free(struct snap_view *v)
{
    if (!v)
        return;
    ranges_free((struct ranges *)(uintptr_t)v->ranges);
    free((void *)(uintptr_t)v->features);
    free((void *)(uintptr_t)v->sites);
    free(v);
}

struct view_hit view_find(const struct snap_view *v, const struct geo_db *geo, const struct addr *client)
{
    struct view_hit hit = {0};
    if (v->measured) {
        struct ranges_hit h = ranges_find(v->measured->ranges, client);
        hit = (struct view_hit){.measured = h.value, .scope = h.scope};
        if (h.value && v->measured->whole) {
            hit.class = v->place_classes + h.value - 1;
            return hit;
        }
    }
    if (v->ranges) {
        struct ranges_hit h = ranges_find(v->ranges, client);
        hit.class = h.value;
        hit.scope = h.scope > hit.scope ? h.scope : hit.scope;
    } else if (v->by_place) {
        struct geo_lookup g = geo_find(geo, client);
        hit.place = g.place;
        hit.scope = g.scope > hit.scope ? g.scope : hit.scope;
    }
    return hit;
}

const struct snap_feature *view_class(const struct snap_view *v, uint32_t class)
{
    if (class >= v->place_classes && v->measured && v->measured->whole)
        return v->measured->features + (size_t)(class - v->place_classes) * v->site_count;
    return v->features ? v->features + (size_t)class * v->site_count : NULL;
}

void view_join(const struct snap_view *v, const struct view_hit *hit, struct snap_feature *features)
{
    if (!hit->measured)
        return;
    const struct snap_feature *m = v->measured->features + (size_t)(hit->measured - 1) * v->site_count;
    for (unsigned i = 0; i < v->site_count; i++) {
        features[i].rtt_ms = m[i].rtt_ms;
        features[i].rtt_tenths = m[i].rtt_tenths;
    }
}
