/* SPDX-License-Identifier: Apache-2.0 */
/* The choosers: they only say how a query picks inside a tier; policy/director.c does it. */
#include "policy/stages.h"

#define CHOOSER(symbol, how, stage_name, stage_doc)                                                \
    static void symbol##_run(const void *params, struct policy_run *r)                             \
    {                                                                                              \
        r->pick = how;                                                                             \
    }                                                                                              \
    const struct stage stage_##symbol = {.object = {.name = stage_name, .doc = stage_doc},         \
                                         .kind = STAGE_CHOOSE,                                     \
                                         .reads = reads_config,                                    \
                                         .run = symbol##_run};

CHOOSER(first, PICK_FIRST, "first", "The best candidate always comes first.")
CHOOSER(weighted, PICK_WEIGHTED, "weighted", "Draws at random inside each tier, in proportion to the weights.")
CHOOSER(pick, PICK_WEIGHTED, "pick", "Another name of `weighted`.")
CHOOSER(spread, PICK_SPREAD, "spread",
        "As `weighted`, but evenly instead of at random: who got the last hand-offs waits until its share is due again (A9).")
CHOOSER(round_robin, PICK_ROUND_ROBIN, "round-robin", "Each query starts at the next candidate of the first tier.")

struct hash {
    uint32_t v4, v6;
};

static const struct conf_key hash_keys[] = {
    {"v4", CONF_UINT, offsetof(struct hash, v4), .def = "24", .min = 1, .max = 32, .unit = "bits",
     .doc = "How many bits of an IPv4 client address are hashed."},
    {"v6", CONF_UINT, offsetof(struct hash, v6), .def = "48", .min = 1, .max = 128, .unit = "bits",
     .doc = "How many bits of an IPv6 client address are hashed."},
};

static void hash_run(const void *params, struct policy_run *r)
{
    const struct hash *p = params;
    r->pick = PICK_HASH;
    r->hash_v4 = (uint8_t)p->v4;
    r->hash_v6 = (uint8_t)p->v6;
}

static unsigned hash_reads(const void *params)
{
    return READS_REQUEST | READS_CONFIG;
}

const struct stage stage_hash = {
    .object = {.name = "hash",
               .doc = "Consistent (weighted rendezvous) hash of the client's prefix inside each tier: the same clients stay "
                      "with the same VIP, and when one goes only its clients move.",
               .size = sizeof(struct hash), CONF_KEYS(hash_keys)},
    .kind = STAGE_CHOOSE,
    .reads = hash_reads,
    .run = hash_run,
};
