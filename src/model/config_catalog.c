/* SPDX-License-Identifier: Apache-2.0 */
/* The table of `catalog`: which content is on which node of the farm, and how many copies there should be. */
#include <string.h>
#include "model/config_build.h"

#define AT(type, field) offsetof(struct type, field)

enum { DAY_MS = 86400000, YEAR = 365 };

static const char *const applies[] = {"manual", "auto", NULL};

static const struct conf_key catalog_keys[] = {
    {"copies", CONF_UINT, AT(cfg_catalog, copies), .def = "2", .min = 2, .max = 64,
     .doc = "On how many nodes everything should be at least; with two, nothing is gone when a node is."},
    {"most", CONF_UINT, AT(cfg_catalog, most), .def = "0", .min = 0, .max = 64,
     .doc = "On how many at most; 0: on all, if it is asked for so often."},
    {"hot", CONF_DOUBLE, AT(cfg_catalog, hot), .def = "100", .min = 0, .max = 1e9, .unit = "requests per second",
     .doc = "What one copy should carry: who is asked for more often gets more copies, and when half of it would do "
            "for one copy less, "
            "one goes. 0: it makes no difference how often something is asked for."},
    {"cold", CONF_DURATION, AT(cfg_catalog, cold_ms), .def = "1h", .min = 1000, .max = (double)DAY_MS * YEAR,
     .flags = CONF_OFF,
     .doc =
         "How long there must have been more copies than are needed, until one is removed; off: none is ever removed."},
    {"lost-for", CONF_DURATION, AT(cfg_catalog, lost_ms), .def = "10m", .min = 0, .max = (double)DAY_MS * YEAR,
     .doc = "How long a node must have been down, until what it had is copied again from the others."},
    {"drained-for", CONF_DURATION, AT(cfg_catalog, drained_ms), .def = "24h", .min = 0, .max = (double)DAY_MS * YEAR,
     .doc = "The same for a node that an operator has drained or disabled."},
    {"every", CONF_DURATION, AT(cfg_catalog, every_ms), .def = "10s", .min = 1000, .max = DAY_MS,
     .doc = "How often a plan is made."},
    {"apply", CONF_ENUM, AT(cfg_catalog, apply), .def = "manual", .sub = applies,
     .doc = "manual: plans are shown by `pointsman catalog plan` and carried out by `pointsman catalog apply`. auto: "
            "they are carried "
            "out as they are made, by one of the site's balancers."},
    {"actions", CONF_UINT, AT(cfg_catalog, actions), .def = "1000", .min = 1, .max = 65536,
     .doc = "Copies and removals of one plan at most; the most urgent come first, the rest follows."},
    {"at-once", CONF_UINT, AT(cfg_catalog, at_once), .def = "4", .min = 1, .max = 1000,
     .doc = "Orders that a node has at once; the others wait here. What a node may receive in a second, its agent's "
            "configuration says."},
    {"tries", CONF_UINT, AT(cfg_catalog, tries), .def = "5", .min = 1, .max = 100,
     .doc = "How often an order is given, with pauses that double from 10s to 10m, until it is given up."},
    {"given-up-for", CONF_DURATION, AT(cfg_catalog, given_up_ms), .def = "1h", .min = 1000,
     .max = (double)DAY_MS * YEAR,
     .doc = "How long no such order is given again after that; another node may get the copy."},
    {"denied-for", CONF_DURATION, AT(cfg_catalog, denied_ms), .def = "1m", .min = 1000, .max = DAY_MS,
     .doc = "How long a server that answered 404 to the front end is not asked for that path again, or until its agent "
            "reports the "
            "file."},
    {"counters", CONF_UINT, AT(cfg_catalog, counters), .def = "10000", .min = 16, .max = 1 << 20,
     .doc = "Resources whose requests are counted, the most asked for ones; 400 bytes each."},
    {"table", CONF_UINT, AT(cfg_catalog, table), .def = "1048576", .min = 16, .max = 1 << 20,
     .doc = "Entries of the packet program's table. When there are more resources, the most asked for ones are in it, "
            "and all others "
            "of the service are left to the front end, which knows them all."},
    {"index", CONF_STRING, AT(cfg_catalog, index), .def = "[index.html]", .flags = CONF_LIST,
     .doc = "Files that web servers answer with when a folder is asked for: who has one has the folder's own path."},
};

static void catalog_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    const struct cfg_catalog *c = object;
    const char *const *name = c->index.items;
    if (c->most && c->most < c->copies)
        conf_error(ctx, node, "'most' is less than 'copies'");
    for (uint32_t i = 0; i < c->index.count; i++)
        if (!*name[i] || strchr(name[i], '/'))
            conf_error(ctx, node, "'%s' is no file's name, as 'index' wants", name[i]);
}

const struct conf_object config_catalog_object = {.name = "catalog",
                                                  .doc =
                                                      "Content that is not the same on all nodes: who has what, as "
                                                      "servers' `holds`, their agents and the front end tell; and how "
                                                      "many copies there should be.",
                                                  .size = sizeof(struct cfg_catalog),
                                                  CONF_KEYS(catalog_keys),
                                                  .check = catalog_check};
