/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiler: model + policies -> snapshot. A generation (configuration, geography) is compiled whole; after that one
 * changed VIP compiles one service, whatever the number of others.
 *
 * Thread: control.
 */
#ifndef PM_POLICY_COMPILE_H
#define PM_POLICY_COMPILE_H

#include "model/config.h"
#include "model/model.h"
#include "model/snapshot.h"
#include "model/world.h"
#include "policy/policy.h"

enum { DECISION_BYTES = sizeof(struct snap_decision) + SNAP_CANDS_MAX * sizeof(struct snap_choice) };

struct dns_zones;

/* All services of a generation. config, geo and zones stay the caller's and must outlive the snapshot. Sets the model's
 * metric masks, and clears its dirty marks. */
struct snapshot *compile_snapshot(struct model *m, const struct config *config, const struct geo_db *geo,
                                  const struct dns_zones *zones, uint64_t generation);
void compile_snapshot_free(struct snapshot *s);
/*
 * The measured round trips have changed: views whose policies read them are laid anew and their services compiled, all at
 * once, so that classes and decisions fit. Not more often than every few seconds; does nothing when nobody asks or no class
 * is different. True: something is waste now, for world_reap.
 */
bool compile_measured(struct world *w, struct model *m);
/* One service again, from what the model says now; to be given to world_publish_service. */
struct snap_service *compile_service(const struct snapshot *s, struct model *m, uint32_t service);

/*
 * The pipeline with its all-down passes, for one class: writes the decision (DECISION_BYTES at most) and returns its
 * size. run->cands, features and trace are set by the caller. stage_begin also hears of each pass: no stage, and its name as
 * params. Used by the compiler, by views without compiled
 * decisions at query time, and by explain.
 */
size_t decide(const struct cfg_service *service, const struct cfg_policy *policy, struct policy_run *run,
              uint16_t fallback_count, struct snap_decision *out,
              void (*stage_begin)(void *ctx, const struct stage *s, const void *params), void *ctx);

#endif
