/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/ring.h"

#include <arpa/inet.h>
#include <string.h>

static uint32_t mix(uint32_t h, uint32_t v)
{
    h ^= v * 0xcc9e2d51u;
    h = (h << 13 | h >> 19) * 5 + 0xe6546b64u;
    return h;
}

static uint32_t mix_addr(uint32_t h, const uint8_t addr[16])
{
    uint32_t word[4];
    memcpy(word, addr, 16);
    for (int i = 0; i < 4; i++)
        h = mix(h, word[i]);
    return h;
}

static uint32_t mixed(uint32_t h)
{
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h *= 0xc2b2ae35u;
    return h ^ h >> 16;
}

uint32_t relay_flow_hash(const struct relay_flow_key *k, bool by_client)
{
    uint32_t h = mix_addr(0x9747b28c, k->client);
    if (!by_client) {
        h = mix_addr(h, k->vip);
        h = mix(h, (uint32_t)k->client_port << 16 | k->vip_port);
        h = mix(h, k->proto);
    }
    return mixed(h);
}

uint32_t relay_cid_hash(const uint8_t *cid, size_t length)
{
    uint32_t h = 0x9747b28c, word[RELAY_QUIC_CID_MAX / 4] = {0};
    memcpy(word, cid, length < sizeof word ? length : sizeof word);
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        h = mix(h, word[i]);
    return mixed(mix(h, (uint32_t)length));
}

uint64_t relay_text_hash(const char *text, bool lower)
{
    uint64_t h = RELAY_HASH_START;
    for (; *text; text++) {
        uint8_t c = (uint8_t)*text;
        if (lower && c >= 'A' && c <= 'Z')
            c |= 0x20;
        h = (h ^ c) * RELAY_HASH_PRIME;
    }
    return h;
}

uint64_t relay_text_hash_back(const char *text)
{
    uint64_t h = RELAY_HASH_START;
    for (size_t n = strlen(text); n > 0; n--) {
        uint8_t c = (uint8_t)text[n - 1];
        h = (h ^ (c >= 'A' && c <= 'Z' ? c | 0x20u : c)) * RELAY_HASH_PRIME;
    }
    return h;
}

void relay_addr(uint8_t out[16], const struct addr *a)
{
    memset(out, 0, 16);
    if (a->family == ADDR_V6) {
        memcpy(out, a->bytes, 16);
    } else {
        out[10] = out[11] = 0xff;
        memcpy(out + 12, a->bytes, 4);
    }
}

struct addr relay_addr_of(const uint8_t in[16])
{
    static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};
    struct addr a = {.family = memcmp(in, v4, sizeof v4) == 0 ? ADDR_V4 : ADDR_V6};
    memcpy(a.bytes, a.family == ADDR_V4 ? in + 12 : in, a.family == ADDR_V4 ? 4 : 16);
    return a;
}

void relay_flow_key_make(struct relay_flow_key *k, const struct endpoint *client, const struct endpoint *vip, uint8_t proto)
{
    memset(k, 0, sizeof *k);
    relay_addr(k->client, &client->addr);
    relay_addr(k->vip, &vip->addr);
    k->client_port = htons(client->port);
    k->vip_port = htons(vip->port);
    k->proto = proto;
}
