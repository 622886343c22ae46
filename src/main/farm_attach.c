/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay's programs at their interfaces, as long as the daemon runs: interfaces that are not there yet, that go and come
 * back under another number, or that somebody has taken the program from or put another one at. What cannot be now is tried
 * again every second, and said once.
 */
#include <net/if.h>
#include <string.h>
#include "base/log.h"
#include "main/farm_internal.h"

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

static void look_after(struct farm *f, struct farm_interface *i)
{
    struct buf why = BUF_INIT;
    unsigned index = if_nametoindex(i->name);
    enum relay_at at = index ? relay_at(f->relay, index) : RELAY_AT_NONE;
    bool was = i->index;
    if (index && index == i->index && at == RELAY_AT_OWN && node_is_attached(f->node, index))
        return;
    i->taken = at == RELAY_AT_OTHER && (i->taken || (was && index == i->index)); /* whoever did that meant it */
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
    farm_interfaces_look(f);
}

void farm_interfaces_look(struct farm *f)
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
