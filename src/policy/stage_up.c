/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/stages.h"

struct up {
    bool avoid_unknown;
};

static const struct conf_key up_keys[] = {
    {"avoid-unknown", CONF_BOOL, offsetof(struct up, avoid_unknown), .def = "no",
     .doc = "Use VIPs that no check has judged yet only when nothing is known to be up. By default they count as up, "
            "so that a cold start answers at once."},
};

static bool operator_keeps(const struct policy_run *r, const struct snap_cand *in, char *why, bool *keep)
{
    switch ((enum override)in->override) {
    case OVERRIDE_DISABLE:
        run_why(why, "disabled");
        *keep = false;
        return true;
    case OVERRIDE_DRAIN:
        *keep = r->relax & RELAX_DRAINED;
        run_why(why, *keep ? "drained by operator, but nothing else is left" : "drained by operator");
        return !*keep;
    case OVERRIDE_FORCE:
        run_why(why, "enabled by operator");
        *keep = true;
        return true;
    case OVERRIDE_NONE:
        break;
    }
    return false;
}

static bool up_keep(const void *params, const struct policy_run *r, const struct run_cand *c, char *why)
{
    const struct snap_cand *in = run_input(r, c);
    bool keep;
    if (operator_keeps(r, in, why, &keep))
        return keep;
    if (in->health != HEALTH_DOWN) {
        run_why(why, in->flapping ? "%s (flapped recently)" : "%s", health_name((enum health)in->health));
        return true;
    }
    if (in->kept) {
        run_why(why, "down, but keeps its clients for now: too many have been moved within a minute");
        return true;
    }
    if (r->relax & RELAX_DOWN) {
        run_why(why, "down, but so is everything (all-down: all)");
        return true;
    }
    if (r->relax & RELAX_LAST_GOOD && in->last_good) {
        run_why(why, "down, but was last good (all-down: last-good)");
        return true;
    }
    run_why(why, in->flapping ? "down (held down: flapping)" : "down");
    return false;
}

static float known_first(const void *params, const struct policy_run *r, const struct run_cand *c)
{
    return run_input(r, c)->health == HEALTH_UNKNOWN ? 1 : 0;
}

static void up_run(const void *params, struct policy_run *r)
{
    const struct up *p = params;
    run_filter(r, params, up_keep, true);
    if (p->avoid_unknown)
        run_score(r, params, known_first, "(1 = not judged yet)");
}

const struct stage stage_up = {
    .object = {.name = "up",
               .doc = "Keeps VIPs that are up, or not judged yet; takes out those that are down, drained or disabled.",
               .size = sizeof(struct up),
               CONF_KEYS(up_keys)},
    .kind = STAGE_FILTER,
    .reads = reads_health,
    .run = up_run,
};
