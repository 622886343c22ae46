/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content directory's way to the front end (main/farm_catalog.h): numbers of servers that stay the same over reloads, in
 * which it says who holds what; what it files services under; and what it gets back, notes of answers.
 */
#include <stdlib.h>
#include <string.h>
#include "main/front_internal.h"

/* Without what number the front end has: several front ends of a service have the same servers. */
static size_t service_length(const char *service)
{
    return strcspn(service, "#");
}

static bool slot_is_of(const struct front_slot *s, const char *service)
{
    size_t n = service_length(service);
    return strlen(s->service) == n && memcmp(s->service, service, n) == 0;
}

uint32_t front_slot(const struct front *f, const char *service, const char *server)
{
    for (uint32_t i = 0; f && i < f->slot_count; i++)
        if (slot_is_of(&f->slots[i], service) && strcmp(f->slots[i].server, server) == 0)
            return f->slots[i].slot;
    return FRONT_SLOTS;
}

uint32_t front_slot_take(struct front *f, const char *service, const char *server)
{
    uint64_t used = 0;
    uint32_t slot = front_slot(f, service, server);
    if (slot < FRONT_SLOTS)
        return slot;
    for (uint32_t i = 0; i < f->slot_count; i++)
        if (slot_is_of(&f->slots[i], service))
            used |= 1ull << f->slots[i].slot;
    if (used == UINT64_MAX)
        return FRONT_SLOTS;
    slot = (uint32_t)__builtin_ctzll(~used);
    char *name = mem_strdup(service);
    name[service_length(name)] = 0;
    f->slots = mem_realloc(f->slots, (f->slot_count + 1) * sizeof *f->slots);
    f->slots[f->slot_count++] = (struct front_slot){name, mem_strdup(server), slot};
    return slot;
}

static bool wanted(const struct front *f, const struct front_slot *s)
{
    for (uint32_t i = 0; i < f->backend_count; i++)
        if (slot_is_of(s, f->backends[i].service) && strcmp(f->backends[i].server->name, s->server) == 0)
            return true;
    return false;
}

void front_slots_trim(struct front *f)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->slot_count; i++) {
        if (wanted(f, &f->slots[i])) {
            f->slots[n++] = f->slots[i];
            continue;
        }
        free(f->slots[i].service);
        free(f->slots[i].server);
    }
    f->slot_count = n;
}

void front_slots_fini(struct front *f)
{
    f->backend_count = 0;
    front_slots_trim(f);
    free(f->slots);
}

uint64_t front_scope(const char *service)
{
    return hash_bytes(service, service_length(service), 0);
}

struct front_known *front_known_of(const struct front *f)
{
    return f ? f->known : NULL;
}

void front_sure(const struct front *f, const char *service, bool sure)
{
    if (sure)
        front_known_set(f->known, front_scope(service), FRONT_SURE, "", 0, 1);
    else
        front_known_remove(f->known, front_scope(service), FRONT_SURE, "", 0);
}

void front_settle(const struct front *f)
{
    CONFIG_EACH(struct cfg_service, s, f->config->services) {
        const struct cfg_service_site *at = front_own_site(f->config, s);
        bool agents = false;
        if (at)
            CONFIG_EACH(struct cfg_server, v, at->servers)
                agents |= v->agent != NULL;
        if (at && !agents)
            front_sure(f, s->name, true);
    }
}

size_t front_notes(const struct front *f, front_note_fn *fn, void *ctx, size_t most)
{
    return f ? frontend_notes(f->f, fn, ctx, most) : 0;
}
