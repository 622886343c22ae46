/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/stages.h"

#include <math.h>

/*
 * Where nothing is measured, a round trip is taken to be 7 ms and 1.5 ms more for every 100 km: what comes nearest
 * (least sum of errors) to the times between ten cities in tests/data/city-rtt.csv.
 */
static const float estimate_ms = 7, estimate_ms_per_km = 0.015f;

struct rtt {
    double confidence;
    uint64_t within_ms, at_most_ms;
    bool estimate;
};

static const struct conf_key rtt_keys[] = {
    {"confidence", CONF_DOUBLE, offsetof(struct rtt, confidence), .def = "0.5", .min = 0, .max = 1,
     .doc =
         "How sure a measurement must be to count, from 0 to 1: it grows with the clients it comes from and with their "
         "agreement, and fades with age. Measurements below 0.3 are not kept at all."},
    {"within", CONF_DURATION, offsetof(struct rtt, within_ms), .def = "0ms", .min = 0, .max = 10000,
     .doc = "Sites so near to the quickest one are as good as it; later stages choose among them."},
    {"at-most", CONF_DURATION, offsetof(struct rtt, at_most_ms), .def = "off", .min = 1, .max = 10000,
     .flags = CONF_OFF, .doc = "Take out sites for which more is measured; an estimate takes nobody out."},
    {"estimate", CONF_BOOL, offsetof(struct rtt, estimate), .def = "yes",
     .doc = "Estimate from the distance where nothing is measured: 7 ms, and 1.5 ms for every 100 km. `no`: such sites "
            "come "
            "last, equal."},
};

static bool measured(const struct rtt *p, const struct policy_run *r, const struct run_cand *c)
{
    const struct snap_feature *f = run_feature(r, c);
    return !isnan(f->rtt_ms) && (float)f->rtt_tenths >= floorf((float)p->confidence * 10 + 0.001f);
}

static float value(const struct rtt *p, const struct policy_run *r, const struct run_cand *c)
{
    const struct snap_feature *f = run_feature(r, c);
    if (measured(p, r, c))
        return f->rtt_ms;
    return p->estimate ? estimate_ms + f->distance_km * estimate_ms_per_km : NAN; /* NaN without a distance */
}

static bool keep(const void *params, const struct policy_run *r, const struct run_cand *c, char *why)
{
    const struct rtt *p = params;
    float ms = run_feature(r, c)->rtt_ms;
    if (!measured(p, r, c))
        return true;
    run_why(why, "measured %.3g ms", (double)ms);
    return ms <= (float)p->at_most_ms;
}

/* As explain shows it: where from, of whom, how long ago. */
static void say(const struct rtt *p, const struct policy_run *r, const struct run_cand *c)
{
    const char *from = r->measured ? r->measured[r->feature_of[c->cand]] : NULL;
    const struct snap_feature *f = run_feature(r, c);
    const char *not = isnan(f->rtt_ms) ? "not measured" : "measured, but not surely enough";
    double ms = (double)value(p, r, c);
    if (measured(p, r, c))
        run_trace(r, c, TRACE_SCORED, "measured %.3g ms%s%s", ms, from ? " " : "", from ? from : "");
    else if (isnan(ms))
        run_trace(r, c, TRACE_SCORED, "%s", not );
    else
        run_trace(r, c, TRACE_SCORED, "%s, estimated %.3g ms from %.4g km", not, ms, (double)f->distance_km);
}

/* The best of each tier, for `within`. */
struct scoring {
    const struct rtt *p;
    float best[SNAP_CANDS_MAX];
};

static float score(const void *params, const struct policy_run *r, const struct run_cand *c)
{
    const struct scoring *s = params;
    float ms = value(s->p, r, c), best = s->best[c->tier];
    return ms - best <= (float)s->p->within_ms ? best : ms;
}

static void rtt_run(const void *params, struct policy_run *r)
{
    struct scoring s = {.p = params};
    if (s.p->at_most_ms)
        run_filter(r, params, keep, false);
    for (unsigned i = 0; i < SNAP_CANDS_MAX; i++)
        s.best[i] = NAN;
    for (unsigned i = 0; i < r->count; i++) {
        float *best = &s.best[r->list[i].tier];
        *best = fminf(*best, value(s.p, r, &r->list[i])); /* of a number and NaN the number */
        say(s.p, r, &r->list[i]);
    }
    run_score(r, &s, score, NULL);
}

static unsigned rtt_reads(const void *params)
{
    return READS_RTT | (((const struct rtt *)params)->estimate ? READS_DISTANCE_VALUE : 0u);
}

const struct stage stage_rtt = {
    .object = {.name = "rtt",
               .doc = "Shortest round trip between site and client first, as measured at the sites on connections of "
                      "the client's "
                      "own prefix, or of a wider one around it; estimated from the distance where nothing is measured.",
               .size = sizeof(struct rtt),
               CONF_KEYS(rtt_keys)},
    .kind = STAGE_SCORE,
    .reads = rtt_reads,
    .run = rtt_run,
};
