/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/zone_data.h"

#include <stdlib.h>

void dns_zones_free(struct dns_zones *z)
{
    if (!z)
        return;
    free(z->slots);
    free(z->nodes);
    free(z->sets);
    free(z->zones);
    free(z->names);
    free(z->data);
    free(z);
}

struct dns_zones_stats dns_zones_stats(const struct dns_zones *z)
{
    return z->stats;
}

const uint8_t *dns_zone_origin(const struct dns_zones *z, size_t i)
{
    return z->names + z->nodes[z->zones[i].apex].name + 1;
}

uint32_t dns_zone_serial(const struct dns_zones *z, size_t i)
{
    const struct dns_set *soa = &z->sets[z->zones[i].soa];
    return dns_get32(z->data + soa->data + soa->size - 20);
}

uint32_t dns_zones_service_at(const struct dns_zones *z, const uint8_t *name)
{
    struct dns_name n;
    uint64_t hashes[DNS_LABELS_MAX + 1];
    dns_name_set(&n, name);
    dns_name_hashes(&n, z->seed, hashes);
    const struct dns_node *node = dns_node_at(z, &n, 0, hashes[0]);
    return node ? node->service : DNS_SERVICE_NONE;
}
