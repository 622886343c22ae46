/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When our packet program takes the place of one before, and that it stays there. A program serves by the tables of the
 * process that loaded it, also after that process has ended; so ours is put in its place only when our own tables are filled
 * and the servers have been looked at, and no packet is judged by half of them.
 *
 * From then on the interfaces are looked after: those that are not there yet, that go and come back under another number, or
 * that somebody has taken the program from or put another one at. What cannot be now is tried again every second, and said
 * once.
 */
#include <net/if.h>
#include <string.h>
#include "base/log.h"
#include "main/farm_internal.h"
#include "main/front_internal.h"

enum {
    SETTLE_MS = 3000,    /* what has not been looked at by then waits no longer: less than relay.takeover */
    SUCCESSOR_MS = 5000, /* who takes over puts its program in our place, and then tells us to end: if that does not come, we go on */
    SURE_MS = 500,       /* so long it takes a successor to mark its program as ours */
};

/* ---- nodes keep their numbers ---- */

void farm_nodes_adopt(struct farm *f)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, none[16];
    for (uint32_t i = 0; i < FARM_SELF; i++) {
        struct relay_node n;
        if (relay_node(f->relay, i, &n) != PM_OK || n.mode == RELAY_NODE_NONE || memcmp(n.addr, none, 16) == 0)
            continue;
        struct farm_node *to = &f->nodes[i];
        bool v4 = memcmp(n.addr, mapped, sizeof mapped) == 0;
        *to = (struct farm_node){.via = FARM_VIA_ANY, .load = NAN, .reached = true, .now = n};
        addr_from_bytes(&to->addr, v4 ? ADDR_V4 : ADDR_V6, v4 ? n.addr + 12 : n.addr);
        f->node_count = i + 1;
    }
}

/* ---- the interfaces ---- */

static void leave(struct farm *f, struct farm_interface *i)
{
    (void)!relay_detach(f->relay, i->index);
    node_detach(f->node, i->index);
    i->index = 0;
}

static int put(struct farm *f, struct farm_interface *i, unsigned index, struct buf *why)
{
    int err = index ? PM_OK : PM_ENOTFOUND;
    if (!index)
        buf_printf(why, "there is no interface %s", i->name);
    if (!err && i->taken && relay_at(f->relay, index) == RELAY_AT_OTHER) {
        buf_printf(why, "another packet program has taken its place at %s", i->name);
        err = PM_EINUSE;
    }
    if (!err)
        err = node_attach(f->node, index, why);
    if (!err)
        err = relay_attach(f->relay, index, &i->native, why);
    return err;
}

/* Nothing is to be done: it is as we left it, or as a successor wants it. */
static bool in_order(struct farm *f, struct farm_interface *i, enum relay_at at)
{
    uint64_t now = clock_mono_ms(f->clock);
    if (at == RELAY_AT_KIN || at == RELAY_AT_OTHER) {
        i->replaced_ms = i->replaced_ms ? i->replaced_ms : now;
        return now - i->replaced_ms < (at == RELAY_AT_KIN ? SUCCESSOR_MS : SURE_MS);
    }
    i->replaced_ms = 0;
    /* Connections live by the balancer's program: it is not taken off for the sake of the node's. */
    return at == RELAY_AT_OWN && (node_is_attached(f->node, i->index) || node_attach(f->node, i->index, NULL) == PM_OK);
}

static void look_after(struct farm *f, struct farm_interface *i)
{
    struct buf why = BUF_INIT;
    unsigned index = if_nametoindex(i->name);
    enum relay_at at = index ? relay_at(f->relay, index) : RELAY_AT_NONE;
    bool was = i->index, same = was && index == i->index;
    if (same && in_order(f, i, at))
        return;
    i->taken = at == RELAY_AT_OTHER && (i->taken || same); /* whoever did that meant it */
    i->replaced_ms = 0;
    if (was)
        leave(f, i);
    if (put(f, i, index, &why) == PM_OK) {
        i->index = index;
        i->why[0] = 0;
        log_notice("relay attached", "interface", i->name, "in", i->native ? "the driver" : "the generic path, slower");
    } else if (was || strncmp(i->why, buf_str(&why), sizeof i->why - 1) != 0) {
        snprintf(i->why, sizeof i->why, "%s", buf_str(&why));
        log_warn("the relay is not at an interface, front ends serve what comes there", "interface", i->name, "why", i->why);
    }
    buf_fini(&why);
}

static bool named(const char *const *names, uint32_t count, const char *name)
{
    for (uint32_t k = 0; k < count; k++)
        if (strcmp(names[k], name) == 0)
            return true;
    return false;
}

void farm_interfaces(struct farm *f, const struct config *c)
{
    const char *const *names = c->relay.interfaces.items;
    unsigned kept = 0;
    for (unsigned i = 0; i < f->interface_count; i++) {
        if (named(names, c->relay.interfaces.count, f->interface[i].name))
            f->interface[kept++] = f->interface[i];
        else if (f->interface[i].index)
            leave(f, &f->interface[i]);
    }
    f->interface_count = kept;
    for (uint32_t k = 0; k < c->relay.interfaces.count; k++) {
        bool there = false;
        for (unsigned i = 0; i < f->interface_count; i++)
            there |= strcmp(f->interface[i].name, names[k]) == 0;
        if (there || f->interface_count == FARM_INTERFACES_MAX)
            continue;
        struct farm_interface *i = &f->interface[f->interface_count++];
        *i = (struct farm_interface){.index = 0};
        snprintf(i->name, sizeof i->name, "%s", names[k]);
    }
}

static void look(struct farm *f)
{
    for (unsigned i = 0; i < f->interface_count; i++)
        look_after(f, &f->interface[i]);
}

bool farm_interfaces_any(const struct farm *f)
{
    for (unsigned i = 0; i < f->interface_count; i++)
        if (f->interface[i].index)
            return true;
    return false;
}

bool farm_interfaces_heard(const struct farm *f)
{
    for (unsigned i = 0; i < f->interface_count; i++)
        if (f->interface[i].replaced_ms)
            return false;
    return farm_interfaces_any(f);
}

/* ---- when ---- */

static bool replaces(const struct farm *f)
{
    for (unsigned i = 0; i < f->interface_count; i++)
        if (relay_is_at(if_nametoindex(f->interface[i].name)))
            return true;
    return false;
}

/* Every server was looked at, and is reached or known not to be. */
static bool settled(const struct farm *f)
{
    for (uint32_t i = 0; i < f->plan.service_count; i++) {
        const struct farm_service *s = &f->plan.services[i];
        for (uint32_t k = 0; k < s->server_count; k++) {
            uint8_t health, word;
            front_server_state(f->front, s->name, s->servers[k].config->name, &health, &word);
            if (health == HEALTH_UNKNOWN || (health != HEALTH_DOWN && !f->nodes[s->servers[k].node].reached))
                return false;
        }
    }
    return true;
}

const char *farm_unready(const struct farm *f)
{
    /* Where the kernel cannot relay, the front ends serve, here as at the other one. */
    return f->attached || !f->relay ? NULL : "the relay's tables are being filled";
}

/* Programs of processes before us, which had other interfaces, go. */
static void take_off_others(struct farm *f)
{
    unsigned keep[FARM_INTERFACES_MAX], n = 0;
    for (unsigned i = 0; i < f->interface_count; i++)
        if (f->interface[i].index)
            keep[n++] = f->interface[i].index;
    relay_take_off(f->config->relay.pin, keep, n);
}

void farm_attach(struct farm *f)
{
    uint64_t now = clock_mono_ms(f->clock);
    if (!f->relay)
        return;
    if (f->attached) {
        look(f);
        return;
    }
    if (!f->attach_by_ms)
        f->attach_by_ms = now + SETTLE_MS;
    if (now < f->attach_by_ms && replaces(f) && !settled(f))
        return;
    f->attached = true;
    look(f);
    take_off_others(f);
    /* The daemon's own segments to its own front end come in there. */
    if (node_attach(f->node, if_nametoindex("lo"), &f->why) != PM_OK)
        farm_off(f);
}
