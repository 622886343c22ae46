/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/share.h"

#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

/* What only its own balancer knows of a connection stays there. SHARED: who tells has it from somebody else. */
enum {
    FLAGS_TOLD = RELAY_FLOW_REPLACEABLE | RELAY_FLOW_PINNED | RELAY_FLOW_PIPELINES | RELAY_FLOW_GUESS | RELAY_FLOW_SHARED
};
enum { FLAGS_ONCE = RELAY_FLOW_REPLACEABLE | RELAY_FLOW_PINNED | RELAY_FLOW_PIPELINES /* set, they stay set */ };

/* ---- bytes, in network order ---- */

static uint8_t *put(uint8_t *at, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(v >> (8 * (bytes - 1 - i)));
    return at + bytes;
}

static uint64_t get(const uint8_t **at, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | *(*at)++;
    return v;
}

static uint8_t *put_bytes(uint8_t *at, const void *from, size_t n)
{
    memcpy(at, from, n);
    return at + n;
}

static void get_bytes(const uint8_t **at, void *to, size_t n)
{
    memcpy(to, *at, n);
    *at += n;
}

static uint8_t *put_record(uint8_t *at, const struct share_record *r)
{
    const struct relay_flow *f = &r->flow;
    at = put_bytes(at, r->key.client, 16);
    at = put_bytes(at, r->key.vip, 16);
    at = put_bytes(at, &r->key.client_port, 2);
    at = put_bytes(at, &r->key.vip_port, 2);
    at = put(at, r->key.proto, 1);
    at = put(at, r->what, 1);
    at = put(at, f->state, 1);
    at = put(at, f->flags & FLAGS_TOLD, 1);
    at = put_bytes(at, r->node, 16);
    at = put(at, r->set, 8);
    at = put(at, f->first, 4);
    at = put(at, f->start, 4);
    at = put(at, f->ack, 4);
    at = put(at, f->next, 4);
    at = put(at, f->packets, 4);
    at = put(at, r->age_ms, 4);
    at = put(at, f->tcp.mss, 2);
    at = put(at, f->tcp.options, 1);
    at = put(at, f->tcp.wscale, 1);
    at = put(at, f->moves, 2);
    return put(put(at, 0, 8), 0, 2);
}

static bool get_record(const uint8_t **at, struct share_record *r)
{
    struct relay_flow *f = &r->flow;
    memset(r, 0, sizeof *r);
    get_bytes(at, r->key.client, 16);
    get_bytes(at, r->key.vip, 16);
    get_bytes(at, &r->key.client_port, 2);
    get_bytes(at, &r->key.vip_port, 2);
    r->key.proto = (uint8_t)get(at, 1);
    r->what = (uint8_t)get(at, 1);
    f->state = (uint8_t)get(at, 1);
    f->flags = get(at, 1) & FLAGS_TOLD;
    get_bytes(at, r->node, 16);
    r->set = get(at, 8);
    f->first = (uint32_t)get(at, 4);
    f->start = (uint32_t)get(at, 4);
    f->ack = (uint32_t)get(at, 4);
    f->next = (uint32_t)get(at, 4);
    f->packets = (uint32_t)get(at, 4);
    r->age_ms = (uint32_t)get(at, 4);
    f->tcp.mss = (uint16_t)get(at, 2);
    f->tcp.options = (uint8_t)get(at, 1);
    f->tcp.wscale = (uint8_t)get(at, 1);
    f->moves = (uint16_t)get(at, 2);
    *at += 10;
    return r->what <= SHARE_GONE && f->state <= RELAY_FLOW_SYN && f->state != RELAY_FLOW_ASSIST;
}

/* ---- sealing ---- */

static void nonce_of(uint64_t number, uint8_t nonce[12])
{
    put(put(nonce, 0, 4), number, 8);
}

int share_sender_init(struct share_sender *s, const uint8_t secret[RELAY_SECRET], uint64_t wall_ms)
{
    *s = (struct share_sender){.started_ms = wall_ms};
    if (RAND_bytes(s->salt, SHARE_SALT) != 1)
        return PM_EIO;
    relay_share_key(secret, s->salt, SHARE_SALT, s->key);
    return PM_OK;
}

static bool seal(const uint8_t *key, uint64_t number, uint8_t *datagram, size_t body)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    uint8_t nonce[12], *text = datagram + SHARE_HEAD;
    int n;
    nonce_of(number, nonce);
    bool ok = c && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
              EVP_EncryptUpdate(c, NULL, &n, datagram, SHARE_HEAD) == 1 &&
              EVP_EncryptUpdate(c, text, &n, text, (int)body) == 1 && EVP_EncryptFinal_ex(c, text + n, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, SHARE_TAG, text + body) == 1;
    EVP_CIPHER_CTX_free(c);
    return ok;
}

static bool unseal(const uint8_t *key, uint64_t number, const uint8_t *datagram, size_t body, uint8_t *text)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    uint8_t nonce[12], tag[SHARE_TAG];
    const uint8_t *sealed = datagram + SHARE_HEAD;
    int n;
    nonce_of(number, nonce);
    memcpy(tag, sealed + body, SHARE_TAG);
    bool ok = c && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
              EVP_DecryptUpdate(c, NULL, &n, datagram, SHARE_HEAD) == 1 &&
              EVP_DecryptUpdate(c, text, &n, sealed, (int)body) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, SHARE_TAG, tag) == 1 && EVP_DecryptFinal_ex(c, text + n, &n) == 1;
    EVP_CIPHER_CTX_free(c);
    return ok;
}

size_t share_seal(struct share_sender *s, uint64_t wall_ms, enum share_kind kind, const struct share_record *records,
                  uint32_t count, uint8_t out[SHARE_DATAGRAM])
{
    if (count > SHARE_RECORDS_MAX)
        return 0;
    uint8_t *at = put(put(out, SHARE_VERSION, 1), 0, 7);
    at = put_bytes(at, s->salt, SHARE_SALT);
    at = put(at, ++s->number, 8);
    at = put(put(at, s->started_ms, 8), wall_ms, 8);
    at = put(put(put(at, kind, 1), 0, 1), count, 2);
    for (uint32_t i = 0; i < count; i++)
        at = put_record(at, &records[i]);
    size_t body = (size_t)(at - out) - SHARE_HEAD;
    return seal(s->key, s->number, out, body) ? SHARE_HEAD + body + SHARE_TAG : 0;
}

/* ---- opening ---- */

/* Each number once, and none that is far behind. */
static bool first_time(struct share_receiver *r, uint64_t number)
{
    if (number > r->highest) {
        uint64_t by = number - r->highest;
        r->window = by < 64 ? r->window << by | 1 : 1;
        r->highest = number;
        return true;
    }
    uint64_t behind = r->highest - number;
    if (behind >= 64 || r->window >> behind & 1)
        return false;
    r->window |= 1ull << behind;
    return true;
}

static int read_body(const uint8_t *at, const uint8_t *end, struct share_message *out)
{
    uint64_t kind = get(&at, 1), zero = get(&at, 1), count = get(&at, 2);
    if (kind > SHARE_FLOWS || zero || count > SHARE_RECORDS_MAX || (size_t)(end - at) != count * SHARE_RECORD)
        return PM_EPARSE;
    out->kind = (enum share_kind)kind;
    out->count = 0;
    for (uint64_t i = 0; i < count; i++)
        out->count += get_record(&at, &out->record[out->count]);
    return PM_OK;
}

int share_open(struct share_receiver *r, const uint8_t secret[RELAY_SECRET], uint64_t wall_ms, const uint8_t *bytes,
               size_t length, struct share_message *out)
{
    uint8_t text[SHARE_DATAGRAM], key[RELAY_SECRET], salt[SHARE_SALT];
    const uint8_t *at = bytes + 8, *body = text;
    if (length < SHARE_HEAD + SHARE_BODY + SHARE_TAG || length > SHARE_DATAGRAM || bytes[0] != SHARE_VERSION)
        return PM_EPARSE;
    get_bytes(&at, salt, SHARE_SALT);
    uint64_t number = get(&at, 8);
    size_t size = length - SHARE_HEAD - SHARE_TAG;
    out->begun = !r->started_ms || memcmp(salt, r->salt, SHARE_SALT) != 0;
    if (out->begun)
        relay_share_key(secret, salt, SHARE_SALT, key);
    if (!unseal(out->begun ? key : r->key, number, bytes, size, text))
        return PM_EPERM;
    uint64_t started = get(&body, 8), now = get(&body, 8);
    if (now + SHARE_CLOCKS_MS < wall_ms || now > wall_ms + SHARE_CLOCKS_MS || (out->begun && started <= r->started_ms))
        return PM_EEXISTS;
    if (out->begun) {
        *r = (struct share_receiver){.started_ms = started};
        memcpy(r->key, key, sizeof key);
        memcpy(r->salt, salt, sizeof salt);
    }
    return first_time(r, number) ? read_body(body, text + size, out) : PM_EEXISTS;
}

/* ---- which is newer ---- */

/* What tells a connection from another on the same addresses and ports; 0: not known. */
static uint32_t identity(const struct relay_flow *f)
{
    return f->state == RELAY_FLOW_PLAIN || f->state == RELAY_FLOW_SYN ? f->start : f->first;
}

/* The record in the table's form: its node has the last word. */
static void take(const struct share_record *r, uint32_t node, uint32_t set, uint64_t now_ns, struct relay_flow *out)
{
    uint64_t age = (uint64_t)r->age_ms * 1000000;
    *out = r->flow;
    out->node = node;
    out->set = set;
    out->flags |= RELAY_FLOW_SHARED;
    out->seen_ns = now_ns > age ? now_ns - age : 0;
}

/* Its client's packets came to the sender after they came here, and with them maybe requests that nobody told of. */
static bool came_there_since(const struct relay_flow *mine, const struct share_record *r, uint64_t mine_ms)
{
    bool read = mine->state == RELAY_FLOW_OPENING || mine->state == RELAY_FLOW_BOUND;
    return read && !(mine->flags & RELAY_FLOW_PINNED) && !(r->flow.flags & RELAY_FLOW_SHARED) &&
           r->age_ms <= mine_ms + SHARE_TOGETHER_MS;
}

bool share_takes(const struct relay_flow *mine, const struct share_record *r, uint32_t node, uint32_t set, uint64_t now_ns,
                 struct relay_flow *out)
{
    const struct relay_flow *f = &r->flow;
    take(r, node, set, now_ns, out);
    if (!mine)
        return true;
    uint64_t mine_ms = now_ns > mine->seen_ns ? (now_ns - mine->seen_ns) / 1000000 : 0;
    if (r->key.proto != IPPROTO_TCP)
        return r->age_ms < mine_ms;
    uint32_t theirs = identity(f), ours = identity(mine);
    if (theirs && theirs != ours) /* or ours was only found, and may have been another on the same ports */
        return r->age_ms < mine_ms;
    int16_t moves = (int16_t)(f->moves - mine->moves);
    if (theirs && moves > 0)
        return true;
    uint8_t flags = mine->flags | (came_there_since(mine, r, mine_ms) ? RELAY_FLOW_SHARED : 0);
    if (!theirs && node != mine->node && r->age_ms < SHARE_FOUND_MS && r->age_ms < mine_ms) {
        /* A node has just said that it has the connection: so it is, wherever it was before. */
        out->first = mine->first;
        out->moves = mine->moves > f->moves ? mine->moves : f->moves;
        return true;
    }
    if (theirs && moves == 0 && node == mine->node) {
        flags |= f->flags & FLAGS_ONCE;
        if ((int32_t)(f->next - mine->next) > 0 || (f->state == RELAY_FLOW_ENDED && mine->state != RELAY_FLOW_ENDED)) {
            out->flags |= flags;
            return true;
        }
    }
    *out = *mine;
    out->flags = flags;
    return flags != mine->flags;
}
