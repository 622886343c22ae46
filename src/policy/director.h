/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The director: service + client -> ordered VIPs. Every way of sending a client somewhere asks here.
 *
 *   snapshot slot -> view: client -> class, scope -> decision of the class -> draw inside its tiers
 *
 * Thread: any reader of the snapshot; no lock, no allocation. Pointers in the answer live as long as the snapshot may
 * be used (the reader's next quiescent state).
 */
#ifndef PM_POLICY_DIRECTOR_H
#define PM_POLICY_DIRECTOR_H

#include "model/snapshot.h"

enum { DIRECTOR_TURNS = 1 << 16 };

/* What a reader thread brings along. */
struct director_thread {
    uint64_t random;                /* state of its generator; not zero */
    uint64_t phase;                 /* where its spreading begins */
    uint16_t turns[DIRECTOR_TURNS]; /* round robin, spread: whose turn it is, by service and family */
};

struct director_request {
    uint32_t service;
    unsigned family;    /* 0 = IPv4 VIPs wanted, 1 = IPv6 */
    struct addr client; /* the client's network (EDNS client subnet), or the resolver */
    bool located;       /* false: the client asked not to be located (source length 0): class of no place */
    bool all;           /* the whole order, however many addresses an answer has */
};

enum director_status { DIRECTOR_ADDRESSES, DIRECTOR_NODATA, DIRECTOR_SERVFAIL };

struct director_answer {
    enum director_status status;
    uint32_t ttl_s;
    uint8_t scope; /* how much of the client's address the choice depended on */
    uint8_t count;
    uint8_t fallen_back;                       /* enum snap_fallback */
    uint8_t cand[SNAP_CANDS_MAX];              /* index into family.cands; unset for fallback addresses */
    const uint8_t *address[SNAP_CANDS_MAX];    /* 4 or 16 bytes, best first */
    uint32_t class;
};

void director_thread_init(struct director_thread *t, uint64_t seed);
void director_choose(const struct snapshot *s, struct director_thread *t, const struct director_request *q,
                     struct director_answer *a);
/* The order inside the tiers for one query: out[] are indexes into d->choice, the first `want` of them. */
unsigned director_pick(const struct snap_decision *d, struct director_thread *t, uint32_t turn_key, const struct addr *client,
                       const struct snap_cand *cands, unsigned want, uint8_t *out);

#endif
