/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot: everything the answering threads read, immutable once published.
 *
 *   struct world ──RCU──> struct snapshot            one per configuration (or geography) generation
 *                            ├─ zones                names -> static data, or a service number
 *                            ├─ geo                  address -> place
 *                            ├─ views[]              (policy, sites) -> classes of clients
 *                            └─ services[] ──RCU──>  struct snap_service, replaced one by one when something changes
 *
 * A class is a set of clients that every decision of a view treats alike; its ranges give class and true scope of an
 * address in one lookup. For each class a service holds a ready decision: an ordered list of candidates in tiers.
 * What is left for the query is one draw. Views with too many classes are not compiled ahead: their services keep
 * only the inputs, and the same policy code runs per query (`compiled` is false).
 *
 * Writer: the control thread alone. Readers: threads registered with liburcu-qsbr; a pointer read from here is valid
 * until the reader's next quiescent state. Old objects are freed after a grace period (model/world.h).
 */
#ifndef PM_MODEL_SNAPSHOT_H
#define PM_MODEL_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"
#include "geo/geo.h"
#include "geo/ranges.h"
#include "model/health.h"
#include "model/metric.h"

enum {
    SNAP_CANDS_MAX = 64,     /* VIPs of one family that one service can have */
    SNAP_SITES_MAX = 2 * SNAP_CANDS_MAX, /* sites of one service: each family may have its own */
    SNAP_CLASSES_MAX = 4096, /* classes a view may have before its services decide per query */
};

/* What a policy knows of one VIP when it decides. Frozen: explain reads the same numbers as the answer. */
struct snap_cand {
    uint32_t vip;  /* number in the model */
    uint16_t site; /* number in the configuration */
    uint16_t order; /* the site's priority in the service, lower first */
    uint8_t health;   /* enum health */
    uint8_t override; /* enum override */
    bool flapping;
    bool kept;      /* down, but keeps its clients for now */
    bool last_good; /* was usable when the service last had a usable VIP */
    float metric[METRIC_COUNT];
    float weight, cost;
    float admit;      /* part of those who come that it takes, by the closed loop */
    uint8_t seen_row; /* of its site in snap_seen */
    uint32_t max_connections; /* 0 = no limit */
    uint8_t address[16];
};

/* Facts of a client that stages may ask for, per site; what a class is made of. */
struct snap_feature {
    float distance_km;  /* client to site; NaN = one of them has no location */
    float rtt_ms;       /* round trip from the site to the client's prefix, measured; NaN = it is not */
    uint8_t rtt_tenths; /* how sure that is, of 10 */
    uint8_t geo_level;  /* 0 same region, 1 same country, 2 same continent, 3 elsewhere or unknown */
    uint8_t match;      /* MATCH_* bits: what the site's `serves` says of this client */
};
enum { MATCH_COUNTRY = 1, MATCH_CONTINENT = 2, MATCH_REGION = 4, MATCH_ASN = 8, MATCH_PREFIX = 16 };

/* How the last stage picks inside a tier. */
enum snap_pick { PICK_FIRST, PICK_WEIGHTED, PICK_SPREAD, PICK_SPILL, PICK_ROUND_ROBIN, PICK_HASH };

/* An ordered list in tiers: candidate i belongs to tier tier_end says; earlier tiers come first in the answer. */
struct snap_decision {
    uint8_t count;
    uint8_t pick;       /* enum snap_pick */
    uint8_t first_tier; /* candidates in the first tier */
    uint8_t fallen_back; /* enum snap_fallback: how it came to be when nothing was usable */
    uint8_t hash_v4, hash_v6; /* PICK_HASH: prefix lengths that are hashed; 0 = family not split */
    struct snap_choice {
        uint8_t cand; /* index into snap_family.cands */
        uint8_t tier;
        uint16_t admit; /* of 65535: PICK_SPILL */
        uint32_t weight; /* 0 = never drawn before the others of its tier */
    } choice[];
};

enum { DECISION_WEIGHTS = 1 << 29 }; /* sum of the weights of a tier, within rounding */

enum snap_fallback { FALLBACK_NONE, FALLBACK_DRAINED, FALLBACK_ALL, FALLBACK_LAST_GOOD, FALLBACK_ADDRESSES, FALLBACK_SERVFAIL };
const char *snap_fallback_name(enum snap_fallback f);

/*
 * What the balancers of a service's sites see of each other's VIPs: the matrix of times, and the hand-off table made
 * from it (policy/handoff.h). Sites stand in the order of their names, so that all balancers hold the same.
 */
struct snap_seen {
    uint16_t count;
    const uint16_t *site;  /* numbers in the configuration */
    const float *ms;       /* [count * count], row = site looked at, column = site that looks; NaN, INFINITY: see there */
    const uint32_t *total; /* hand-off weight; NULL when the policy has no hand-off stage */
    uint32_t sum;          /* 0 = nobody has measured anything */
};

/* One address family of a service. */
struct snap_family {
    uint16_t cand_count;
    uint16_t fallback_count;
    bool compiled;               /* decision[] holds one entry per class of the view */
    const struct snap_cand *cands;
    const struct snap_seen *seen;   /* NULL when the policy does not look at it */
    const uint8_t (*fallbacks)[16]; /* addresses of the all-down choice `fallback` */
    const struct snap_decision *const *decision; /* [class], shared where equal */
};

/* What is measured of clients, laid over the classes by place (policy/measured.h). */
struct snap_measured {
    const struct ranges *ranges;         /* address -> number of a set of measurements, from 1; 0 = nothing is measured */
    const struct snap_feature *features; /* [(number - 1) * site_count + i] */
    uint32_t count;
    bool whole;     /* each is a class, behind those by place; else only rtt_* counts, to be joined with the place */
    uint64_t stamp; /* equal for equal contents */
};

struct snap_view {
    uint32_t class_count;
    uint32_t place_classes;       /* of these, by place alone: they come first */
    uint16_t site_count;
    bool by_place;                /* classes are the geo db's places: no merged ranges, features on demand */
    const struct ranges *ranges;  /* address -> class; NULL when the policy does not look at the client */
    const uint16_t *sites;        /* site numbers, ascending */
    const struct snap_feature *features; /* [class * site_count + i] of classes by place; NULL if by_place or no ranges */
    const struct snap_measured *measured; /* NULL: the policy does not ask, or this is only the base of views that do */
};

struct cfg_policy;
struct cfg_service;

struct snap_service {
    const struct snap_view *view;
    const struct cfg_service *config;
    const struct cfg_policy *policy;
    unsigned reads;     /* what the policy reads (policy/policy.h) */
    uint32_t ttl_s;
    uint16_t addresses; /* how many go into an answer, 0 = all */
    struct snap_family family[2]; /* 0 = IPv4, 1 = IPv6 */
    uint64_t compiled_ms;         /* monotonic: when, for explain */
    uint32_t ttl_cand;            /* VIP whose possible change gave the TTL, UINT32_MAX = configured or a bound */
    uint32_t bytes;               /* size of this allocation */
};

/* A view and, where its policies ask for measurements, the one laid over it that services use. */
struct snap_views {
    struct snap_view *base, *laid; /* laid: NULL where nobody asks */
    uint32_t users;                /* services */
    bool ahead;                    /* their decisions are compiled ahead */
};

struct config;
struct dns_zones;

struct snapshot {
    uint64_t generation;
    const struct config *config;
    const struct geo_db *geo;
    const struct dns_zones *zones;
    struct snap_views *views;
    size_t view_count;
    uint64_t rtt_changes, measured_ms; /* of the model, as the views hold them; when that was looked at */
    uint32_t service_count;
    struct snap_service **services; /* RCU pointers */
};

#endif
