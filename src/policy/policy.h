/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy is a pipeline of stages; it turns the candidates of a service (its VIPs of one family) into an ordered
 * list. What travels through the pipeline is an ordered partition: tiers, best first, and candidates in each.
 *
 *   filter   takes candidates out                                            up, not-full, only, match
 *   score    splits every tier by a value, best first; equals stay together  near, geo, response-time, hops, cost ...
 *   group    merges tiers again where the last score was nearly equal        within
 *   weight   sets the candidates' weights                                    weight, capacity, handoff
 *   choose   says how a query picks inside a tier (at most one, last)        first, weighted, spread, spill, hash ...
 *
 * So the first score named matters most, and each later one decides among those still equal; `within` says what
 * "equal" means. An answer of several addresses goes through the tiers in order.
 *
 * Each stage is one struct stage in one table (policy/stages.c) and one function; it is pure: it reads the run's inputs
 * and changes the run. The same function runs when a snapshot is compiled, per query for views with too many
 * classes, and in explain, where a trace hears what every stage did to every candidate.
 *
 * Thread: any; a run lives on its caller's stack. No allocation, no failure.
 */
#ifndef PM_POLICY_POLICY_H
#define PM_POLICY_POLICY_H

#include <math.h>
#include "conf/schema.h"
#include "model/config.h"
#include "model/snapshot.h"
#include "policy/control.h"
#include "policy/handoff.h"

enum stage_kind { STAGE_FILTER, STAGE_SCORE, STAGE_GROUP, STAGE_WEIGHT, STAGE_CHOOSE };

/* What a stage looks at: decides what a view's classes must tell apart, and when a service must be compiled again. */
enum stage_reads {
    READS_HEALTH = 1,
    READS_METRICS = 2,        /* which ones: stage->metrics */
    READS_CONFIG = 4,         /* weight, cost, order, limits */
    READS_DISTANCE = 8,       /* order of distances */
    READS_DISTANCE_VALUE = 16, /* distances themselves (in steps, see view.h) */
    READS_GEO_LEVEL = 32,
    READS_MATCH = 64,
    READS_REQUEST = 128, /* the query itself: hash */
    READS_DISTANCE_WITHIN = 256, /* which distances are within some percent of which */
    READS_RTT = 512, /* what is measured of the way from the site to the client's prefix */
    READS_MATCH_SHIFT = 16, /* from here on: which MATCH_* bits */
};

struct policy_run;

struct stage {
    struct conf_object object; /* name, parameters, doc; first, so that a choice's kind is its stage */
    enum stage_kind kind;
    unsigned (*reads)(const void *params);   /* enum stage_reads */
    unsigned (*metrics)(const void *params); /* bit set of enum metric, MODEL_READS_SIGHTS; NULL = none */
    float (*percent)(const void *params);    /* STAGE_GROUP: how far from the best; else NULL */
    void (*run)(const void *params, struct policy_run *r);
};

/* A candidate on its way through the pipeline. */
struct run_cand {
    uint8_t cand; /* index into inputs */
    uint8_t tier;
    uint8_t outer; /* its tier before the last score split it: `within` merges only inside that */
    float score;   /* last score; NaN = had none */
    float weight;
};

/* What a stage did to one candidate, for explain. text is one short phrase. */
enum trace_verb { TRACE_KEPT, TRACE_REMOVED, TRACE_SCORED, TRACE_WEIGHED };
typedef void policy_trace_fn(void *ctx, unsigned cand, enum trace_verb verb, const char *text);

struct policy_run {
    /* inputs */
    const struct snap_cand *cands;
    unsigned cand_count;
    const struct snap_feature *features; /* by index into view->sites; NULL: no client facts */
    const uint16_t *feature_of;          /* candidate -> index into features */
    const struct snap_seen *seen;        /* NULL unless the policy reads MODEL_READS_SIGHTS */
    const char *const *measured;         /* by index into view->sites, for people: where a round trip is from; NULL, or some */
    const uint64_t *holders;             /* bit i: candidate i has the resource asked for; NULL: none is */
    unsigned relax;                      /* RELAX_*: set by the all-down passes */
    /* state */
    struct run_cand list[SNAP_CANDS_MAX]; /* in order of preference; tiers never decrease */
    unsigned count;
    enum snap_pick pick;
    uint8_t hash_v4, hash_v6;
    /* explain only */
    policy_trace_fn *trace;
    void *trace_ctx;
};

/* Which rules are let go when nothing is left (policy/decide.c: in which order, by the service's all-down choice). */
enum {
    RELAX_DRAINED = 1,
    RELAX_DOWN = 2,
    RELAX_LAST_GOOD = 4,
    RELAX_FILTERS = 8, /* every filter but `up` keeps everything */
};

extern const struct stage *const policy_stages[]; /* NULL-ended */
extern const struct conf_registry policy_stage_registry;
/* The stage a configuration chose from policy_stage_registry. */
static inline const struct stage *policy_stage_for(const struct conf_choice *choice)
{
    return (const struct stage *)choice->kind;
}

extern const struct config_preset policy_presets[]; /* ended by a NULL name */

/* What all stages of a policy read together. */
unsigned policy_reads(const struct cfg_policy *p);
unsigned policy_metrics(const struct cfg_policy *p);
/* What its hand-off stage says of places; false when it has none. */
bool policy_handoff_places(const struct cfg_policy *p, struct handoff_places *out);
/* What its spill stage says, for answers with this TTL; false when it has none. */
bool policy_spill_rule(const struct cfg_policy *p, uint32_t ttl_s, struct control_rule *out);
/* The percent that READS_DISTANCE_WITHIN is about; 0 without. */
float policy_within_percent(const struct cfg_policy *p);

/* Puts every candidate into the first tier, with its configured weight. */
void policy_run_init(struct policy_run *r);
/* One stage after the other. `stage_done` (may be NULL) is called after each, for explain. */
void policy_run_stages(const struct cfg_policy *p, struct policy_run *r,
                       void (*stage_begin)(void *ctx, const struct stage *s, const void *params), void *ctx);

/* For stages. */
/* Removes candidates for which keep() is false; keep says why with run_why. A strict
 * filter is not let go by RELAX_FILTERS. */
typedef bool run_keep_fn(const void *params, const struct policy_run *r, const struct run_cand *c, char *why);
void run_filter(struct policy_run *r, const void *params, run_keep_fn *keep, bool strict);
/* Splits tiers by value, lower first; NaN after all numbers. unit NULL: the stage has said in the trace what it is. */
typedef float run_value_fn(const void *params, const struct policy_run *r, const struct run_cand *c);
void run_score(struct policy_run *r, const void *params, run_value_fn *value, const char *unit);
/* Merges tiers: a tier's members may be up to percent above (or below, for negative scores) its best score. */
/* Whether a score belongs to a group with that best one. */
static inline bool run_joins(float best, float score, float percent)
{
    return isnan(score) ? isnan(best) : score - best <= fabsf(best) * percent / 100.0f;
}
void run_group_within(struct policy_run *r, float percent);
void run_weigh(struct policy_run *r, const void *params, run_value_fn *value);
/* Writes a filter's reason; why is NULL unless somebody traces. */
void run_why(char *why, const char *fmt, ...) PM_PRINTF(2, 3);
const struct snap_feature *run_feature(const struct policy_run *r, const struct run_cand *c);
static inline const struct snap_cand *run_input(const struct policy_run *r, const struct run_cand *c)
{
    return &r->cands[c->cand];
}
void run_trace(const struct policy_run *r, const struct run_cand *c, enum trace_verb verb, const char *fmt, ...)
    PM_PRINTF(4, 5);

#endif
