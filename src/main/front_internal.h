/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by front.c (what is served, health, words) and front_view.c (what is shown). */
#ifndef PM_MAIN_FRONT_INTERNAL_H
#define PM_MAIN_FRONT_INTERNAL_H

#include "base/arena.h"
#include "frontend/frontend.h"
#include "main/front.h"

enum { FRONT_URL_MAX = 1024, FRONT_SLOTS = 64 };

/* A server of the configuration in force, with what checks and operators say of it. */
struct backend {
    const char *service; /* the front service's name: it may have several front ends */
    const struct cfg_service *config;
    const struct cfg_server *server;
    uint8_t health, word;
};

/* A server's number in what is known of holders; it keeps it as long as it is configured. */
struct front_slot {
    char *service, *server;
    uint32_t slot;
};

struct front {
    struct frontend *f;
    const struct world *world;
    const struct config *config;
    struct arena *arena; /* of what was published last */
    struct backend *backends;
    struct wire_server *checked;
    uint32_t backend_count;
    struct front_slot *slots;
    uint32_t slot_count;
    struct front_known *known; /* the content directory's part for the front end (main/farm_catalog.h) */
};

/* The service at this node's site; NULL = it is not here. */
const struct cfg_service_site *front_own_site(const struct config *c, const struct cfg_service *s);
/* Its ports, or the usual one. */
const uint32_t *front_ports(const struct cfg_front *cf, uint32_t *n);
/* front_holds.c: whether the front end goes by the name in TLS greetings. */
bool front_reads_hello(const struct cfg_front *cf);
/* TLS: servers that have all of the host: those that say so of it, else those that say it of none. Bit i: i-th server. */
uint64_t front_name_holders(const struct cfg_service_site *at, const char *name);
/* Servers that are there for the protocol; NULL: for any that nobody names. */
uint64_t front_alpn_holders(const struct cfg_service_site *at, const char *protocol);
/* Every protocol that a server names, once. */
const char *const *front_alpn(struct arena *a, const struct cfg_service_site *at, uint32_t *count);
void front_make_holdings(struct arena *a, const struct cfg_service *s, const struct cfg_service_site *at,
                         struct front_service *out);
/* What checks (enum health) and operators (enum override) say of a server of the front service. */
void front_server_state(const struct front *f, const char *service, const char *server, uint8_t *health, uint8_t *word);
/* Where clients of another site are sent: its own URL, or one made from its first address. */
void front_site_url(const struct cfg_service_site *at, const struct cfg_front *cf, char out[FRONT_URL_MAX]);
/* The capacity of the site's addresses is the front end's; 0 = not limited. */
uint32_t front_max_connections(const struct cfg_service_site *at);

/* Servers hold different things, or may: the content directory is asked about them, too. */
bool front_differ(const struct cfg_service_site *at, const struct cfg_front *cf);

/* front_slots.c. FRONT_SLOTS: it has no number, and counts as one that has everything. */
uint32_t front_slot(const struct front *f, const char *service, const char *server);
uint32_t front_slot_take(struct front *f, const char *service, const char *server);
void front_slots_trim(struct front *f); /* those of servers that are not configured any more */
void front_slots_fini(struct front *f);
/* What a service's texts are filed under in front_known; all its front ends have the same. */
uint64_t front_scope(const char *service);
/* All that is ever known of who has what in the service is known now; or not yet. */
void front_sure(const struct front *f, const char *service, bool sure);
/* Services without agents: what the configuration says is all. */
void front_settle(const struct front *f);
struct front_known *front_known_of(const struct front *f); /* NULL is allowed, and answered by it */
size_t front_notes(const struct front *f, front_note_fn *fn, void *ctx, size_t most);

#endif
