/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fetch_internal.h"

enum { DOUBLINGS = 6 };

static bool endpoint_eq(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && addr_eq(&a->addr, &b->addr);
}

/* Its place among those that could not be reached; else that of the one avoided the longest, and *known is false. */
static struct fetch_peer *peer_find(struct agent_fetch *f, const struct endpoint *at, bool *known)
{
    struct fetch_peer *oldest = &f->peers[0];
    for (size_t i = 0; i < FETCH_PEERS; i++) {
        struct fetch_peer *p = &f->peers[i];
        *known = p->failures > 0 && endpoint_eq(&p->at, at);
        if (*known)
            return p;
        if (p->until_ms < oldest->until_ms)
            oldest = p;
    }
    return oldest;
}

static bool avoided(struct agent_fetch *f, const struct endpoint *at)
{
    bool known;
    const struct fetch_peer *p = peer_find(f, at, &known);
    return known && p->until_ms > clock_mono_ms(f->clock);
}

bool fetch_source_next(struct fetch_job *j)
{
    for (int all = 0; all < 2; all++)
        for (size_t i = 0; i < j->source_count; i++) {
            const struct fetch_try *t = &j->sources[i];
            if (t->asked || t->out || (!all && avoided(j->fetch, &t->at)))
                continue;
            j->source = i;
            return true;
        }
    return false;
}

void fetch_source_note(struct fetch_job *j, enum fetch_fault fault)
{
    struct agent_fetch *f = j->fetch;
    struct fetch_try *t = &j->sources[j->source];
    bool known;
    struct fetch_peer *p = peer_find(f, &t->at, &known);
    t->asked = fault != FETCH_AGAIN;
    t->out = t->out || fault == FETCH_LASTING;
    if (fault != FETCH_UNREACHED) {
        if (known && fault != FETCH_LOCAL)
            *p = (struct fetch_peer){0};
        return;
    }
    if (!known)
        *p = (struct fetch_peer){.at = t->at};
    unsigned doublings = p->failures < DOUBLINGS ? p->failures : DOUBLINGS;
    p->failures++;
    p->until_ms = clock_mono_ms(f->clock) + (f->config.pause_ms << doublings);
}

bool fetch_source_round(struct fetch_job *j)
{
    bool any = false;
    for (size_t i = 0; i < j->source_count; i++) {
        j->sources[i].asked = false;
        any |= !j->sources[i].out;
    }
    return any;
}
