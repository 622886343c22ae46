/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>
#include <unistd.h>

static int fail(struct buf *why, const char *path, const char *what)
{
    int err = errno;
    buf_printf(why, "%s: %s", path, what ? what : strerror(err));
    return what ? PM_EINVAL : err_from_errno(err);
}

static int make(const char *path, uint8_t secret[RELAY_SECRET], struct buf *why)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(why, path, NULL);
    bool ok = RAND_bytes(secret, RELAY_SECRET) == 1 && write(fd, secret, RELAY_SECRET) == RELAY_SECRET && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    return ok ? PM_OK : fail(why, path, NULL);
}

int relay_secret_load(const char *path, uint8_t secret[RELAY_SECRET], struct buf *why)
{
    uint8_t more;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? make(path, secret, why) : fail(why, path, NULL);
    bool whole = read(fd, secret, RELAY_SECRET) == RELAY_SECRET && read(fd, &more, 1) == 0;
    close(fd);
    return whole ? PM_OK : fail(why, path, "a relay key is a file of exactly 32 bytes");
}

static void derive(const uint8_t *secret, const void *label, size_t n, uint8_t out[RELAY_SECRET])
{
    unsigned size = RELAY_SECRET;
    HMAC(EVP_sha256(), secret, RELAY_SECRET, label, n, out, &size);
}

void relay_cookie_key(const uint8_t secret[RELAY_SECRET], struct siphash_key *out)
{
    uint8_t k[RELAY_SECRET];
    derive(secret, "cookie", 6, k);
    memcpy(out, k, sizeof *out);
}

void relay_share_key(const uint8_t secret[RELAY_SECRET], const uint8_t *salt, size_t n, uint8_t out[RELAY_SECRET])
{
    uint8_t shared[RELAY_SECRET];
    derive(secret, "share", 5, shared);
    derive(shared, salt, n, out);
}

void relay_tag_secret(const uint8_t secret[RELAY_SECRET], uint8_t out[RELAY_SECRET])
{
    derive(secret, "tag", 3, out);
}

uint32_t relay_tag_keys(const uint8_t tag_secret[RELAY_SECRET], uint64_t wall_ms, struct siphash_key out[HANDOFF_KEYS])
{
    uint64_t hour = wall_ms / 3600000;
    for (uint64_t h = hour - 1; h <= hour + 2; h++) {
        uint8_t k[RELAY_SECRET], label[8];
        for (int i = 0; i < 8; i++)
            label[i] = (uint8_t)(h >> (56 - 8 * i));
        derive(tag_secret, label, sizeof label, k);
        memcpy(&out[h % HANDOFF_KEYS], k, sizeof out[0]);
    }
    return (uint32_t)(hour % HANDOFF_KEYS);
}
