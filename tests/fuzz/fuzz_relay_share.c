/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A datagram between balancers that says anything. The input's first byte even: the datagram as it is, which nobody has
 * sealed. Odd: what a peer with the right key has sealed, behind its two times; what was read of it is sealed and read again
 * the same.
 */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include "relay/share.h"

enum { TIMES = 16, ROOM = SHARE_DATAGRAM - SHARE_HEAD - SHARE_TAG };
static const uint64_t NOW = 1700000000000;
static const uint8_t secret[RELAY_SECRET] = {1, 2, 3}, salt[SHARE_SALT] = {4, 5, 6};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put64(uint8_t *at, uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        at[i] = (uint8_t)v;
}

/* The first datagram of a process that began NOW. */
static size_t seal(const uint8_t *body, size_t size, uint8_t out[SHARE_DATAGRAM])
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    uint8_t key[RELAY_SECRET], nonce[12] = {[11] = 1}, *text = out + SHARE_HEAD;
    int n;
    memset(out, 0, SHARE_HEAD);
    out[0] = SHARE_VERSION;
    memcpy(out + 8, salt, sizeof salt);
    out[SHARE_HEAD - 1] = 1;
    put64(text, NOW);
    put64(text + 8, NOW);
    memcpy(text + TIMES, body, size);
    relay_share_key(secret, salt, sizeof salt, key);
    size += TIMES;
    if (!c || EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) != 1 ||
        EVP_EncryptUpdate(c, NULL, &n, out, SHARE_HEAD) != 1 || EVP_EncryptUpdate(c, text, &n, text, (int)size) != 1 ||
        EVP_EncryptFinal_ex(c, text + n, &n) != 1 || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, SHARE_TAG, text + size) != 1)
        abort();
    EVP_CIPHER_CTX_free(c);
    return SHARE_HEAD + size + SHARE_TAG;
}

static void same_again(const struct share_message *m)
{
    struct share_sender s;
    struct share_receiver r = {0};
    struct share_message again;
    struct relay_flow flow, next;
    uint8_t datagram[SHARE_DATAGRAM];
    if (m->count > SHARE_RECORDS_MAX || share_sender_init(&s, secret, NOW) != PM_OK)
        abort();
    size_t n = share_seal(&s, NOW, m->kind, m->record, m->count, datagram);
    if (!n || share_open(&r, secret, NOW, datagram, n, &again) != PM_OK || again.count != m->count || again.kind != m->kind ||
        memcmp(again.record, m->record, m->count * sizeof m->record[0]) != 0)
        abort();
    for (uint32_t i = 0; i < m->count; i++) {
        if (!share_takes(i ? &flow : NULL, &m->record[i], 1, 2, NOW, &next))
            continue;
        if (next.node != 1 || next.set != 2)
            abort();
        flow = next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct share_receiver r = {0};
    struct share_message m;
    uint8_t datagram[SHARE_DATAGRAM];
    if (!size)
        return 0;
    if (data[0] % 2 == 0) {
        if (share_open(&r, secret, NOW, data + 1, size - 1, &m) == PM_OK)
            abort();
        return 0;
    }
    if (size - 1 > ROOM - TIMES)
        return 0;
    size_t n = seal(data + 1, size - 1, datagram);
    if (share_open(&r, secret, NOW, datagram, n, &m) != PM_OK)
        return 0;
    same_again(&m);
    if (share_open(&r, secret, NOW, datagram, n, &m) != PM_EEXISTS) /* once is enough */
        abort();
    return 0;
}
