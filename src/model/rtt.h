/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is believed of the way from sites to clients: round trip by prefix and vantage (model/sights.h), measured on
 * real connections. This balancer's own (VANTAGE_OWN) come from its samples, others' over the mesh; all are held
 * alike, in steps, so that every balancer decides from the same numbers.
 *
 *   own connections ──> rtt_samples ──rtt_settle──> own beliefs ──due parts──> other balancers
 *   other balancers ────────────────rtt_replace──> their beliefs
 *                                    both ──> classes of clients (policy/measured.h)
 *
 * A belief moves only when its time moves by 5 % and 0.5 ms, or its confidence by a tenth; rtt_changes counts that, so
 * who compiles sees whether there is reason to. Prefixes are told in parts (by hash), so that one that moves does not
 * cost all.
 *
 * Memory: the model's; bounded by RTT_OWN_MAX, RTT_HEARD_MAX. Thread: control. Time is passed in (monotonic ms).
 */
#ifndef PM_MODEL_RTT_H
#define PM_MODEL_RTT_H

#include "model/rtt_samples.h"

enum {
    RTT_PARTS = 16,       /* of what one balancer tells */
    RTT_PART_MAX = 400,   /* prefixes in one */
    RTT_OWN_MAX = 4096,   /* prefixes one balancer tells of: those with most connections */
    RTT_HEARD_MAX = 1 << 17, /* beliefs of all */
    RTT_KEEP_MS = 20 * 60 * 1000, /* of own ones, when they are not settled any more */
};
#define RTT_LEAST 0.3f  /* confidence from which a prefix is told of, */
#define RTT_FORGET 0.2f /* and below which it is not any more */

struct rtt_belief {
    struct prefix prefix;
    uint16_t vantage;
    uint8_t part;
    uint8_t confidence; /* of 255 */
    uint32_t us, spread_us, connections;
    uint64_t when_ms;  /* last connection */
    uint64_t until_ms; /* forgotten then */
    uint64_t round;    /* the table's own: when it was last said */
    struct rtt_belief *next; /* of the same prefix, in no order */
    struct rtt_belief *mate; /* of the same vantage and part */
};

/* What is believed of one prefix. */
struct rtt_prefix {
    struct prefix prefix;
    struct rtt_belief *beliefs; /* never NULL */
};

struct rtt_counters {
    uint64_t told, heard, refused; /* records; prefixes beyond RTT_HEARD_MAX */
};

struct rtt;

struct rtt *rtt_new(void);
void rtt_free(struct rtt *r);
/* All of old's, under the new numbers of its vantages: vantage[old number]. */
void rtt_adopt(struct rtt *r, const struct rtt *old, const uint16_t *vantage);

static inline float rtt_confidence(const struct rtt_belief *b)
{
    return (float)b->confidence / 255.0f;
}
const struct rtt_prefix *rtt_find(const struct rtt *r, const struct prefix *p); /* NULL */
/* In no order: *at = 0 to begin. */
const struct rtt_prefix *rtt_next(const struct rtt *r, size_t *at);
size_t rtt_prefixes(const struct rtt *r);
size_t rtt_beliefs(const struct rtt *r);
/* Grows with every change that a decision could see. */
uint64_t rtt_changes(const struct rtt *r);
struct rtt_counters *rtt_counters(struct rtt *r);
/* A vantage stands elsewhere than was thought. */
void rtt_moved(struct rtt *r);

/* The estimates as they are now become the own beliefs. */
void rtt_settle(struct rtt *r, const struct rtt_samples *s, uint64_t now_ms);
/* Bit i: part i has moved since the last call. */
uint32_t rtt_take_due(struct rtt *r);
/* The own beliefs of a part; out has RTT_PART_MAX places. */
unsigned rtt_own_part(const struct rtt *r, unsigned part, const struct rtt_belief **out);

/* All that a vantage believes of a part: what it said of it before and does not say now is forgotten. */
void rtt_replace(struct rtt *r, uint16_t vantage, uint8_t part, const struct rtt_belief *list, unsigned n);
/* Forgets what has run out; looks every 10 s, however often it is called. */
void rtt_expire(struct rtt *r, uint64_t now_ms);

#endif
