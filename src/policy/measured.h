/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is measured of clients (model/rtt.h), laid over a view, so that prefixes with measurements are classes of their
 * own:
 *
 *   view by place   2001:db8::/32   ─ class 4
 *   laid over it    2001:db8:7::/48 ─ class 31 = class 4 and 23 ms from paris
 *
 * A narrow prefix has what is known of the wider ones around it, where it is not known itself. Times are in steps of 5
 * %, confidence in tenths: prefixes that look alike from every site share a class. Of views that are decided per query
 * only the measurements are kept, and joined with the place when asked.
 *
 * Bounds: MEASURED_PREFIXES_MAX, those with most connections; one view's classes as the caller says. What is beyond
 * them counts as not measured.
 *
 * Thread: built on the control thread, then immutable.
 */
#ifndef PM_POLICY_MEASURED_H
#define PM_POLICY_MEASURED_H

#include "model/model.h"
#include "model/snapshot.h"

enum {
    MEASURED_PREFIXES_MAX = 8192,
    MEASURED_BLOCKS_MAX = 256, /* pieces into which places may cut one prefix; with more of them it is left out */
};

/*
 * A view with base's places and the measurements of now; it borrows from base, which must outlive it. whole: classes
 * are compiled ahead; at most `most` are added. NULL: the same as in `now` (which may be NULL).
 */
struct snap_view *measured_view(const struct snap_view *base, const struct snap_view *now, const struct model *m,
                                bool whole, uint32_t most);
void measured_free(struct snap_view *v); /* not base; NULL is allowed */

/* What decides of the way from a site to this client; NULL: nothing is measured. */
const struct rtt_belief *measured_of(const struct model *m, uint16_t site, const struct addr *client);

#endif
