/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views: how a policy sees clients. A view belongs to a set of sites and to what a policy reads of a client; it puts
 * two places into one class when every stage must treat them alike:
 *
 *   order of distances    equal ranks of the sites, however far
 *   within some percent   for each site equally many others that are within so much of its distance
 *   distances by value    equal distances to each site, in steps of 5 %
 *   geo level, match      equal for each site
 *   measured round trips  in steps, for each site: laid over the classes by place (policy/measured.h)
 *
 * Services with the same sites and equal needs share a view. The view's ranges are the geography's with places replaced
 * by classes, so their scope is the widest true one (RFC 7871 section 7.2.1).
 *
 * Thread: built on the control thread, then immutable.
 */
#ifndef PM_POLICY_VIEW_H
#define PM_POLICY_VIEW_H

#include "model/config.h"
#include "model/snapshot.h"

/* reads: enum stage_reads of the policy; percent: policy_within_percent. sites: ascending. The result is freed with view_free. */
struct snap_view *view_new(const struct config *config, const struct geo_db *geo, unsigned reads, float percent,
                           const uint16_t *sites, uint16_t site_count, bool by_place);
void view_free(struct snap_view *v);
/* The client-dependent part of enum stage_reads. */
unsigned view_needs(unsigned reads);
/* What a client in that place looks like to each of the view's sites, as decisions see it. */
void view_features(const struct snap_view *v, const struct config *config, const struct geo_place *place, unsigned reads,
                   struct snap_feature *out);

struct view_hit {
    uint32_t class;
    uint32_t place;    /* valid when by_place */
    uint32_t measured; /* number in view->measured, from 1; 0 = nothing is measured */
    uint8_t scope;
};
/* Class and true scope of a client. Answering path. */
struct view_hit view_find(const struct snap_view *v, const struct geo_db *geo, const struct addr *client);
/* What a client of that class looks like; NULL when that is not kept. */
const struct snap_feature *view_class(const struct snap_view *v, uint32_t class);
/* Adds what is measured of a client to what its place says. */
void view_join(const struct snap_view *v, const struct view_hit *hit, struct snap_feature *features);

#endif
