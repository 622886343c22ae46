/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model: what is believed now of every VIP, and who said so. Monitors, and later agents, peers and operators, only
 * write here; the compiler reads it and makes snapshots. Every VIP of every service has a number (the configuration's
 * order); a change marks its service dirty, and only dirty services are compiled again.
 *
 *   observation (vip, vantage) ──> sights ──combine──> health, metrics ──┐
 *   operator: target, drain|disable|enable ──matches──> override ────────┴─> candidate of a snapshot
 *
 * Own sight decides; other vantages' "down" counts when at least mesh.quorum of them say so (0: they are only shown), or
 * when it is the word of the site itself.
 *
 * Thread: control. Memory: the model belongs to one configuration generation; model_adopt carries state into the next.
 */
#ifndef PM_MODEL_MODEL_H
#define PM_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/clock.h"
#include "model/config.h"
#include "model/health.h"
#include "model/metric.h"
#include "model/rtt.h"
#include "model/sights.h"

/* What one vantage point saw of one VIP. */
struct observation {
    uint32_t vip;
    uint16_t vantage; /* VANTAGE_SELF, or a number from sights_vantage */
    uint8_t health;   /* enum health */
    bool flapping;
    bool restored;    /* from disk, not confirmed yet */
    float metric[METRIC_COUNT]; /* NaN = not measured */
    uint64_t when_ms;   /* monotonic */
    uint64_t stable_ms; /* from `when`, the state cannot change earlier; UINT64_MAX = never */
    const char *why;    /* reason of a failure, copied; may be NULL */
};

/* What is believed of one VIP. */
struct model_vip {
    const struct cfg_vip *config;
    const struct cfg_service_site *at;
    uint32_t service;
    uint16_t site; /* number in the configuration */
    uint8_t health, override;
    bool flapping, restored, last_good;
    bool kept; /* down, but keeps its clients for now (model/guard.h) */
    float metric[METRIC_COUNT];
    float admit, admit_integral; /* of the closed loop (policy/control.h): part of those who come that it takes */
    uint64_t changed_ms, observed_ms; /* monotonic; 0 = never */
    uint64_t stable_ms;
    uint64_t moved_ms; /* down: when its clients were moved away */
    char *why; /* owned; NULL = nothing to say */
};

struct model;

/* All VIPs start unknown (unchecked when their service has no check). config must outlive the model. */
struct model *model_new(const struct config *config, const struct clock *clock);
void model_free(struct model *m);
/* Takes over state, overrides and vantages of an earlier generation, VIP by VIP (service, site, address). */
void model_adopt(struct model *m, const struct model *old);
/* The number here of each of old's VIPs (UINT32_MAX = gone): to_new has model_vip_count(old) places. */
void model_renumber(const struct model *m, const struct model *old, uint32_t *to_new);
const struct config *model_config(const struct model *m);
const struct clock *model_clock(const struct model *m);

uint32_t model_vip_count(const struct model *m);
const struct model_vip *model_vip(const struct model *m, uint32_t vip);
/* The VIPs of a service are [first, first + count). */
uint32_t model_service_first_vip(const struct model *m, uint32_t service, uint32_t *count);

/* The checks that judge a VIP: its own, or its service's. */
const struct cfg_checks *model_vip_checks(const struct model *m, uint32_t vip);

/* What is measured of the ways to clients, by all vantage points. */
struct rtt *model_rtt(const struct model *m);
/* What other vantage points see; write with model_observe and model_forget. */
struct sights *model_sights(const struct model *m);
/* Stores the sight, combines, marks the service dirty if anything changed that its policy reads. True if health changed. */
bool model_observe(struct model *m, const struct observation *o);
/* Called when what we tell of a VIP has changed (VANTAGE_OWN); health: its state, not only its time. */
void model_on_own_sight(struct model *m, void (*fn)(void *ctx, uint32_t vip, bool health), void *ctx);
/* A sight that is no longer kept up (peer gone). */
void model_forget(struct model *m, uint32_t vip, uint16_t vantage);

/* A metric from elsewhere than this balancer's checks: a peer, an agent, the front end; NaN = not known any more. */
void model_report(struct model *m, uint32_t vip, enum metric metric, float value);
/* What the closed loop says; the service is compiled again when it moved by more than a hundredth. */
void model_set_admit(struct model *m, uint32_t vip, float admit, float integral);

/* Once a second: others outvote us when they have called a VIP down for mesh.quorum-delay, and what the guard keeps is let go as far as
 * there is room; calls changed for each VIP. */
void model_second(struct model *m, void (*changed)(void *ctx, uint32_t vip), void *ctx);

/* The operator's word for a VIP (model/overrides.h works it out). */
void model_set_override(struct model *m, uint32_t vip, enum override what);

/* Which metrics a service's policy reads (bits of enum metric, and MODEL_READS_SIGHTS): others may move without
 * compiling it again. Set by the compiler. */
enum { MODEL_READS_SIGHTS = 0x80 };
void model_set_metric_mask(struct model *m, uint32_t service, unsigned metrics);
/* Next service to compile; false when there is none. */
bool model_dirty_pop(struct model *m, uint32_t *service);
void model_dirty_clear(struct model *m);
size_t model_dirty_count(const struct model *m);
/* The compiler's note that a service has usable VIPs now: remembers which for the all-down choice `last-good`. */
void model_note_compiled(struct model *m, uint32_t service);

#endif
