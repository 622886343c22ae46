/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of virtual hosts and of what they have. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include "relay/relay_internal.h"

/* ---- hosts ---- */

static struct relay_host_key host_key(uint32_t farm, const char *name, uint32_t kind)
{
    struct relay_host_key key = {.farm = farm, .kind = kind};
    if (name && strncmp(name, "*.", 2) == 0) {
        key.kind |= RELAY_HOST_BELOW;
        key.name = relay_text_hash_back(name + 1);
    } else if (name) {
        key.name = relay_text_hash(name, true);
    }
    return key;
}

int relay_set_host(struct relay *r, uint32_t farm, const char *name, const struct relay_host *host)
{
    struct relay_host_key key = host_key(farm, name, 0);
    return relay_map_set(r->skel->maps.hosts, &key, host);
}

int relay_remove_host(struct relay *r, uint32_t farm, const char *name)
{
    struct relay_host_key key = host_key(farm, name, 0);
    return relay_map_unset(r->skel->maps.hosts, &key);
}

int relay_set_h2c(struct relay *r, uint32_t farm, const char *name, const struct relay_host *host)
{
    struct relay_host_key key = host_key(farm, name, RELAY_HOST_H2C);
    return relay_map_set(r->skel->maps.hosts, &key, host);
}

int relay_remove_h2c(struct relay *r, uint32_t farm, const char *name)
{
    struct relay_host_key key = host_key(farm, name, RELAY_HOST_H2C);
    return relay_map_unset(r->skel->maps.hosts, &key);
}

/* ---- resources ---- */

static struct relay_resource_key resource_key(uint32_t host, enum relay_resource_kind kind, const char *text)
{
    return (struct relay_resource_key){.text = relay_text_hash(text, false), .host = host, .kind = kind};
}

int relay_set_resource(struct relay *r, uint32_t host, enum relay_resource_kind kind, const char *text, uint32_t index,
                       uint32_t flags)
{
    struct relay_resource_key key = resource_key(host, kind, text);
    struct relay_resource value = {0};
    if (index >= RELAY_SETS_MAX)
        return PM_ERANGE;
    (void)!bpf_map_lookup_elem(bpf_map__fd(r->skel->maps.resources), &key, &value); /* its hits */
    value.set = index;
    value.flags = flags;
    return relay_map_set(r->skel->maps.resources, &key, &value);
}

int relay_remove_resource(struct relay *r, uint32_t host, enum relay_resource_kind kind, const char *text)
{
    struct relay_resource_key key = resource_key(host, kind, text);
    return relay_map_unset(r->skel->maps.resources, &key);
}

int relay_resource_hits(const struct relay *r, uint32_t host, enum relay_resource_kind kind, const char *text,
                        uint64_t *hits)
{
    struct relay_resource_key key = resource_key(host, kind, text);
    struct relay_resource value;
    int err = bpf_map_lookup_elem(bpf_map__fd(r->skel->maps.resources), &key, &value);
    if (!err)
        *hits = value.hits;
    return err ? err_from_errno(-err) : PM_OK;
}

/* ---- of a process before ---- */

void relay_names_used(const struct relay *r, uint32_t *farm, uint32_t *host)
{
    int fd = bpf_map__fd(r->skel->maps.hosts);
    struct relay_host_key key, *last = NULL;
    struct relay_host value;
    *farm = *host = 0;
    while (bpf_map_get_next_key(fd, last, &key) == 0) {
        last = &key;
        *farm = key.farm > *farm ? key.farm : *farm;
        if (bpf_map_lookup_elem(fd, &key, &value) == 0)
            *host = value.id > *host ? value.id : *host;
    }
}

/* A key that has been taken away has no next one, so the next is asked for before. */
void relay_names_forget(struct relay *r, uint32_t farm, uint32_t host)
{
    int fd = bpf_map__fd(r->skel->maps.hosts);
    struct relay_host_key name, next_name;
    bool more = bpf_map_get_next_key(fd, NULL, &name) == 0;
    while (more) {
        more = bpf_map_get_next_key(fd, &name, &next_name) == 0;
        if (name.farm < farm)
            (void)!bpf_map_delete_elem(fd, &name);
        name = next_name;
    }
    struct relay_resource_key key, next;
    fd = bpf_map__fd(r->skel->maps.resources);
    more = bpf_map_get_next_key(fd, NULL, &key) == 0;
    while (more) {
        more = bpf_map_get_next_key(fd, &key, &next) == 0;
        if (key.host < host)
            (void)!bpf_map_delete_elem(fd, &key);
        key = next;
    }
}
