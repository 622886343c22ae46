/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/plan_internal.h"

/* The node has nothing under this key, and it fits. */
static bool takes(const struct planner *p, const struct farm_node *n, uint64_t size)
{
    return n->target && n->mark != p->stamp && n->free >= size &&
           (!p->may || p->may(p->may_ctx, &p->key, (uint16_t)(n - p->nodes)));
}

uint32_t places(const struct planner *p, uint64_t size, uint32_t need)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < p->target_count && found < need; i++) {
        const struct farm_node *n = &p->nodes[p->targets[i]];
        if (n->free < size)
            break; /* so have all that follow */
        found += takes(p, n, size);
    }
    return found;
}

static bool takes_elsewhere(const struct planner *p, const struct sight *s, uint16_t node)
{
    return p->nodes[node].domain != s->domain && takes(p, &p->nodes[node], s->content.size);
}

/*
 * The emptiest node of each domain tells, as a rule: many resources are asked about in vain, again and again. Not where
 * nodes are told apart by what they may take.
 */
bool place_elsewhere(const struct planner *p, const struct sight *s)
{
    bool held = p->may != NULL; /* that node has something under this key already: look at the others */
    for (uint32_t i = 0; i < p->best_count; i++) {
        if (takes_elsewhere(p, s, p->best[i]))
            return true;
        held |= p->nodes[p->best[i]].domain != s->domain && p->nodes[p->best[i]].mark == p->stamp;
    }
    for (uint32_t i = 0; i < p->target_count && held; i++)
        if (takes_elsewhere(p, s, p->targets[i]))
            return true;
    return false;
}

/* Counts the copies in each domain, planned ones or only usable ones; returns how many domains that are. */
static uint32_t count_domains(struct planner *p, const struct sight *s, bool usable_only)
{
    uint32_t domains = 0;
    p->domain_stamp++;
    for (uint32_t i = 0; i < s->copies + s->coming; i++) {
        bool copy = i < s->copies;
        if (copy ? !(usable_only ? p->copies[i].usable : p->copies[i].counts) : usable_only)
            continue;
        struct domain *in = &p->domains[p->nodes[copy ? p->copies[i].node : p->coming[i - s->copies]].domain];
        domains += in->mark != p->domain_stamp;
        in->copies = in->mark == p->domain_stamp ? in->copies + 1 : 1;
        in->mark = p->domain_stamp;
    }
    return domains;
}

static uint32_t copies_in(const struct planner *p, uint32_t domain)
{
    return p->domains[domain].mark == p->domain_stamp ? p->domains[domain].copies : 0;
}

uint16_t choose_target(struct planner *p, const struct sight *s, unsigned class)
{
    uint16_t best = PLAN_NOBODY;
    uint32_t best_near = 0;
    double best_score = 0;
    count_domains(p, s, false);
    for (uint32_t i = 0; i < p->target_count; i++) {
        const struct farm_node *n = &p->nodes[p->targets[i]];
        uint32_t near = p->policy.spread ? copies_in(p, n->domain) : 0;
        if (!takes(p, n, s->content.size) || (class == CLASS_DOMAIN && near))
            continue;
        /* Dividing by what it got already shares a plan's copies out in proportion (as seats to parties, d'Hondt). */
        double score = class == CLASS_HOT ? n->weight / (n->heat + per_copy_of(s, s->counts + 1))
                                          : (double)n->weight * ((double)n->free + 1) / (n->in + 1);
        if (best != PLAN_NOBODY && (near > best_near || (near == best_near && score < best_score)))
            continue;
        if (best != PLAN_NOBODY && near == best_near && score == best_score && p->targets[i] > best)
            continue;
        best = p->targets[i];
        best_near = near;
        best_score = score;
    }
    return best;
}

uint16_t choose_source(const struct planner *p, const struct sight *s)
{
    uint16_t best = PLAN_NOBODY;
    unsigned best_rank = 0;
    double best_score = 0;
    for (uint32_t i = 0; i < s->copies; i++) {
        const struct copy *c = &p->copies[i];
        const struct farm_node *n = &p->nodes[c->node];
        if (!c->known || c->leaving || !n->present)
            continue;
        unsigned rank = n->up ? c->doubted : 2; /* a draining node may be gone before the copy is made */
        double score = (n->out + 1.0) / (n->weight ? n->weight : 1);
        if (best != PLAN_NOBODY && (rank > best_rank || (rank == best_rank && score >= best_score)))
            continue;
        best = c->node;
        best_rank = rank;
        best_score = score;
    }
    return best;
}

uint16_t choose_removal(struct planner *p, const struct sight *s)
{
    uint16_t best = PLAN_NOBODY;
    uint32_t best_near = 0;
    uint64_t best_space = 0;
    bool two_left = count_domains(p, s, true) == 2 && p->policy.copies_min >= 2;
    for (uint32_t i = 0; i < s->copies; i++) {
        const struct copy *c = &p->copies[i];
        const struct farm_node *n = &p->nodes[c->node];
        if (!c->usable || c->fixed || !n->allowed)
            continue;
        uint32_t near = p->policy.spread ? copies_in(p, n->domain) : 0;
        uint64_t space = n->free + n->relief;
        if (two_left && near == 1)
            continue; /* all others would be in one domain, and one of it would be copied again */
        if (best != PLAN_NOBODY && (near < best_near || (near == best_near && space > best_space)))
            continue;
        best = c->node;
        best_near = near;
        best_space = space;
    }
    return best;
}
