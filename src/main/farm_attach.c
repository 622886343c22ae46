/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When our packet program takes the place of one before, and who goes on when we do not. A program serves by the tables of
 * the process that loaded it, also after that process has ended; so ours is put in its place only when our own tables are
 * filled and the servers have been looked at, and no packet is judged by half of them.
 */
#include <net/if.h>
#include "base/log.h"
#include "main/farm_internal.h"
#include "main/front_internal.h"

enum { SETTLE_MS = 3000 /* what has not been looked at by then waits no longer: less than relay.takeover */ };

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

static bool replaces(const struct farm *f)
{
    for (unsigned i = 0; i < f->interface_count; i++)
        if (relay_is_at(f->interface[i].index))
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

int farm_interfaces(struct farm *f, const struct config *c)
{
    const char *const *names = c->relay.interfaces.items;
    for (uint32_t i = 0; i < c->relay.interfaces.count && i < FARM_INTERFACES_MAX; i++) {
        unsigned index = if_nametoindex(names[i]);
        if (!index) {
            buf_printf(&f->why, "there is no interface %s", names[i]);
            return PM_ENOTFOUND;
        }
        snprintf(f->interface[i].name, sizeof f->interface[i].name, "%s", names[i]);
        f->interface[i].index = index;
        f->interface_count++;
    }
    return PM_OK;
}

static int attach(struct farm *f)
{
    unsigned keep[FARM_INTERFACES_MAX];
    int err = PM_OK;
    for (unsigned i = 0; i < f->interface_count && !err; i++) {
        keep[i] = f->interface[i].index;
        err = node_attach(f->node, keep[i], &f->why);
        if (!err)
            err = relay_attach(f->relay, keep[i], &f->interface[i].native, &f->why);
        if (!err)
            log_notice("relay attached", "interface", f->interface[i].name, "in",
                       f->interface[i].native ? "the driver" : "the generic path, slower");
    }
    if (!err)
        relay_take_off(f->config->relay.pin, keep, f->interface_count);
    /* The daemon's own segments to its own front end come in there. */
    return err ? err : node_attach(f->node, if_nametoindex("lo"), &f->why);
}

const char *farm_unready(const struct farm *f)
{
    /* Where the kernel cannot relay, the front ends serve, here as at the other one. */
    return f->attached || !f->relay ? NULL : "the relay's tables are being filled";
}

void farm_attach(struct farm *f)
{
    uint64_t now = clock_mono_ms(f->clock);
    if (f->attached || !f->relay)
        return;
    if (!f->attach_by_ms)
        f->attach_by_ms = now + SETTLE_MS;
    if (now < f->attach_by_ms && replaces(f) && !settled(f))
        return;
    f->attached = true;
    if (attach(f) != PM_OK)
        farm_off(f);
}
