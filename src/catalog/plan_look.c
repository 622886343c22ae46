/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/plan_internal.h"

#include <math.h>

/* The directory's holders, into planner.copies; false: nobody reported it. */
static bool look_holders(struct planner *p, uint32_t id, struct sight *s)
{
    struct directory_holder h;
    bool scanned = false;
    for (uint32_t i = 0; directory_holder(p->directory, id, i, &h); i++) {
        if (h.sources == DIRECTORY_LEARNED) { /* comes right behind the holder it is about, if that still is one */
            if (s->copies && p->copies[s->copies - 1].node == h.node)
                p->copies[s->copies - 1].doubted = true;
            continue;
        }
        p->nodes[h.node].mark = p->stamp;
        p->copies[s->copies++] = (struct copy){
            .node = h.node,
            .known = h.known && (h.sources & DIRECTORY_SCANNED),
            .fixed = h.sources & DIRECTORY_CONFIGURED,
            .content = h.content,
        };
        scanned |= (h.sources & DIRECTORY_SCANNED) != 0;
    }
    return scanned;
}

/* What is under way: copies that leave, and nodes that get one. One that has arrived is a copy already. */
static void look_moves(struct planner *p, uint32_t id, struct sight *s)
{
    for (uint32_t i = p->heads[id & p->heads_mask]; i; i = p->moves[i - 1].next) {
        const struct move *m = &p->moves[i - 1];
        if (m->entry != id)
            continue;
        for (uint32_t c = 0; c < s->copies && m->removal; c++) {
            bool it = p->copies[c].node == m->node;
            p->copies[c].leaving |= it;
            s->leaving |= it;
        }
        struct farm_node *to = &p->nodes[m->node];
        if (m->removal || to->mark == p->stamp)
            continue;
        to->mark = p->stamp;
        s->making = true;
        if (to->up || to->back)
            p->coming[s->coming++] = m->node;
    }
}

/* What those who are there agree on. */
static void look_content(const struct planner *p, struct sight *s)
{
    for (uint32_t i = 0; i < s->copies; i++) {
        const struct copy *c = &p->copies[i];
        if (!c->known || c->leaving || !p->nodes[c->node].present)
            continue;
        if (s->any && (c->content.hash != s->content.hash || c->content.size != s->content.size))
            s->divergent = true;
        if (!s->any)
            s->content = c->content;
        s->any = true;
    }
}

static void count_domain(struct sight *s, uint32_t domain)
{
    if (!s->counts)
        s->domain = domain;
    s->one_domain = domain == s->domain && (s->one_domain || !s->counts);
    s->counts++;
}

bool look(struct planner *p, uint32_t id, const struct directory_entry *e, struct sight *s)
{
    *s = (struct sight){.rate = {.at_most = INFINITY}};
    p->stamp++;
    p->key = e->key;
    if (!look_holders(p, id, s))
        return false;
    look_moves(p, id, s);
    look_content(p, s);
    for (uint32_t i = 0; i < s->copies; i++) {
        struct copy *c = &p->copies[i];
        const struct farm_node *n = &p->nodes[c->node];
        bool same = c->known && !c->leaving &&
                    (!s->any || (c->content.hash == s->content.hash && c->content.size == s->content.size));
        c->usable = same && n->up;
        c->counts = c->usable || (same && n->back);
        s->usable += c->usable;
        s->verified += c->usable && !c->doubted;
        if (c->counts)
            count_domain(s, n->domain);
    }
    for (uint32_t i = 0; i < s->coming; i++)
        count_domain(s, p->nodes[p->coming[i]].domain);
    s->waiting = s->counts - s->usable;
    if (p->usage)
        s->rate = usage_rate(p->usage, &e->key, p->now);
    return true;
}

double per_copy_of(const struct sight *s, uint32_t copies)
{
    return s->rate.at_least / (copies ? copies : 1);
}

/* How many copies its heat asks for. */
static uint32_t copies_for_heat(const struct plan_policy *policy, double rate)
{
    double copies = policy->per_copy > 0 ? ceil(rate / policy->per_copy) : 0;
    uint32_t most = policy->copies_max ? policy->copies_max : CATALOG_NODES_MAX;
    return copies < most ? (uint32_t)copies : most;
}

struct wish wish_of(const struct planner *p, const struct sight *s)
{
    const struct plan_policy *policy = &p->policy;
    struct wish w = {.under = s->counts < policy->copies_min ? policy->copies_min - s->counts : 0};
    uint32_t want = copies_for_heat(policy, s->rate.at_least);
    if (s->divergent)
        return (struct wish){.under = 0};
    if (want > s->counts + w.under)
        w.hot = want - s->counts - w.under;
    w.one_domain = policy->spread && policy->copies_min >= 2 && s->one_domain && !w.under && !w.hot;
    if (s->verified <= policy->copies_min || s->making)
        return w;
    bool cold = policy->per_copy > 0 && s->rate.at_most <= (s->usable - 1) * policy->per_copy / 2;
    bool over = policy->copies_max && s->usable > policy->copies_max;
    w.surplus = cold || over;
    w.surplus_reason = over ? PLAN_SURPLUS : PLAN_COLD;
    return w;
}
