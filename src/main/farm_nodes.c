/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "base/log.h"
#include "main/farm_internal.h"
#include "relay/route.h"

/* Connections may be at it yet; where there is no other place for a new node, they end. */
static uint32_t unwanted(const struct farm *f)
{
    for (uint32_t i = 0; i < f->node_count; i++)
        if (!f->nodes[i].wanted)
            return i;
    return RELAY_NODES_MAX;
}

uint32_t farm_node_at(struct farm *f, const struct addr *addr, int via)
{
    uint32_t free_place = RELAY_NODES_MAX;
    for (uint32_t i = 0; i < f->node_count; i++) {
        if (!f->nodes[i].addr.family)
            free_place = i;
        else if (addr_eq(&f->nodes[i].addr, addr) && (f->nodes[i].via == via || f->nodes[i].via == FARM_VIA_ANY)) {
            f->nodes[i].via = via;
            return i;
        }
    }
    if (free_place == RELAY_NODES_MAX && f->node_count < FARM_SELF)
        free_place = f->node_count++;
    if (free_place == RELAY_NODES_MAX)
        free_place = unwanted(f);
    if (free_place < RELAY_NODES_MAX)
        f->nodes[free_place] = (struct farm_node){.addr = *addr, .via = via, .load = NAN};
    return free_place;
}

static uint8_t mode_of(const struct farm_node *n, const struct route_to *to)
{
    if (to->self)
        return RELAY_NODE_SELF;
    if (n->via == CFG_VIA_AUTO || n->via == FARM_VIA_ANY)
        return to->neighbour ? RELAY_NODE_L2 : RELAY_NODE_HOPS;
    return n->via == CFG_VIA_LAN ? RELAY_NODE_L2 : RELAY_NODE_HOPS;
}

static void reach(struct farm *f, uint32_t index)
{
    struct farm_node *n = &f->nodes[index];
    struct relay_node fresh = n->now;
    struct route_to to;
    char text[ADDR_TEXT];
    int err = route_resolve(&n->addr, &to);
    if (!err) {
        memset(&fresh, 0, sizeof fresh);
        relay_addr(fresh.addr, &n->addr);
        relay_addr(fresh.source, &to.source);
        memcpy(fresh.mac, to.mac, 6);
        memcpy(fresh.own_mac, to.own_mac, 6);
        fresh.mode = mode_of(n, &to);
        fresh.ifindex = to.ifindex;
        fresh.mtu = to.mtu < f->config->relay.mtu ? to.mtu : f->config->relay.mtu;
        if (fresh.mode == RELAY_NODE_L2 && !to.neighbour)
            err = PM_EUNREACH; /* `via: lan`, but there is a router between */
    }
    /* What cannot be asked for now stays as it was: an old link address is better than none. */
    bool reached = !err || (n->reached && err == PM_EAGAIN);
    if (reached != n->reached)
        log_notice(reached ? "node can be reached" : "node cannot be reached", "address", addr_format(&n->addr, text), "why",
                   reached ? "" : err_text(err));
    n->reached = reached;
    if (!reached)
        fresh.mode = RELAY_NODE_NONE;
    else if ((n->down || (n->silent && fresh.mode == RELAY_NODE_HOPS)) && fresh.mode != RELAY_NODE_SELF)
        fresh.mode = RELAY_NODE_DOWN; /* out of a tunnel nobody takes anything without the program */
    fresh.silent = n->silent;
    if (memcmp(&fresh, &n->now, sizeof fresh) == 0)
        return;
    n->now = fresh;
    err = relay_set_node(f->relay, index, &fresh);
    if (err)
        log_error("the relay does not take a node", "address", addr_format(&n->addr, text), "why", err_text(err));
}

/* ---- whether their programs live ---- */

enum { UNANSWERED_MAX = 3, COPIES = 2 /* of each question: two are rarely lost together */ };

static void listen_to(struct farm *f, uint32_t index)
{
    struct farm_node *n = &f->nodes[index];
    struct relay_heard last;
    char text[ADDR_TEXT];
    if (relay_heard(f->relay, index, &last) != PM_OK)
        return;
    /* Whoever repeats old answers is not heard. */
    bool answered = last.answers != n->answers && f->probes - last.number < UNANSWERED_MAX;
    n->answers = last.answers;
    n->unanswered = answered ? 0 : n->unanswered + 1;
    bool silent = n->silent ? !answered : n->unanswered > UNANSWERED_MAX;
    if (silent != n->silent && silent)
        log_warn("node takes no hand-off packets, others serve instead: does its agent run, with the same key?", "address",
                 addr_format(&n->addr, text));
    else if (silent != n->silent)
        log_notice("node takes hand-off packets again", "address", addr_format(&n->addr, text));
    n->silent = silent;
}

void farm_nodes_ask(struct farm *f)
{
    if (!f->assist || !farm_interfaces_heard(f))
        return;
    for (uint32_t i = 0; i < f->node_count; i++) {
        struct farm_node *n = &f->nodes[i];
        bool needs = n->handed || n->now.mode == RELAY_NODE_HOPS || n->silent;
        if (n->addr.family && n->wanted && n->reached && n->now.mode != RELAY_NODE_SELF && needs)
            listen_to(f, i);
        else
            n->silent = false, n->unanswered = 0;
    }
    f->probes++;
    for (uint32_t i = 0; i < f->node_count; i++)
        for (int k = 0; k < COPIES && f->nodes[i].wanted && f->nodes[i].reached; k++)
            assist_probe(f->assist, &f->nodes[i].addr, i, f->probes);
}

unsigned farm_nodes_silent(const struct farm *f)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < f->node_count; i++)
        n += f->nodes[i].silent;
    return n;
}

void farm_nodes_reach(struct farm *f)
{
    for (uint32_t i = 0; i < f->node_count; i++) {
        if (!f->nodes[i].addr.family)
            continue;
        if (f->relay)
            reach(f, i); /* of one that is configured no longer, too: what has begun there may end there */
    }
}
