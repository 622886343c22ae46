/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/stages.h"

struct within {
    double percent;
};

static const struct conf_key within_keys[] = {
    {"percent", CONF_DOUBLE, offsetof(struct within, percent), .def = "10", .min = 0, .max = 1000, .unit = "%",
     .doc = "How far from the best of a group its other members may be."},
};

static void within_run(const void *params, struct policy_run *r)
{
    run_group_within(r, (float)((const struct within *)params)->percent);
}

static float within_percent(const void *params)
{
    return (float)((const struct within *)params)->percent;
}

static unsigned within_reads(const void *params)
{
    return 0; /* but what it makes of the score before it is worked out in: policy_reads() */
}

const struct stage stage_within = {
    .object = {.name = "within",
               .doc = "Groups candidates whose last score is within some percent of the best of their group; later stages "
                      "choose inside the first group, and the next groups follow (H5).",
               .size = sizeof(struct within), CONF_KEYS(within_keys), .shorthand = "percent"},
    .kind = STAGE_GROUP,
    .reads = within_reads,
    .percent = within_percent,
    .run = within_run,
};
