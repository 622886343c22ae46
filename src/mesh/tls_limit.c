/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/tls_limit.h"

#include <string.h>
#include "base/map.h"

enum { NET_V6_BITS = 64, BURST = 2 };

static struct addr net_of(const struct addr *a)
{
    struct prefix p;
    prefix_make(&p, a, a->family == ADDR_V6 ? NET_V6_BITS : addr_bits(a));
    return p.addr;
}

void tls_limit_init(struct tls_limit *l, uint64_t now_ms)
{
    l->open = 0;
    l->tokens = BURST * (double)l->rate;
    l->at_ms = now_ms;
    l->seed = hash_seed();
    memset(l->addresses, 0, sizeof l->addresses);
    memset(l->log, 0, sizeof l->log);
}

static struct tls_limit_address *set_of(struct tls_limit *l, const struct addr *net)
{
    uint64_t h = hash_bytes(net, sizeof *net, l->seed);
    return &l->addresses[h % (TLS_LIMIT_ADDRESSES / TLS_LIMIT_WAYS) * TLS_LIMIT_WAYS];
}

static struct tls_limit_address *find(struct tls_limit *l, const struct addr *net)
{
    struct tls_limit_address *set = set_of(l, net);
    for (unsigned i = 0; i < TLS_LIMIT_WAYS; i++)
        if (set[i].net.family && addr_eq(&set[i].net, net))
            return &set[i];
    return NULL;
}

static struct tls_limit_address *find_or_take(struct tls_limit *l, const struct addr *net, uint64_t now_ms)
{
    struct tls_limit_address *e = find(l, net), *set = set_of(l, net);
    for (unsigned i = 0; !e && i < TLS_LIMIT_WAYS; i++)
        if (!set[i].net.family)
            e = &set[i];
    if (e && e->net.family)
        return e;
    for (unsigned i = 0; !(e && !e->net.family) && i < TLS_LIMIT_WAYS; i++)
        if (!set[i].open && (!e || set[i].at_ms < e->at_ms))
            e = &set[i];
    if (e)
        *e = (struct tls_limit_address){.net = *net, .tokens = BURST * (double)l->rate_per_address, .at_ms = now_ms};
    return e;
}

static void refill(double *tokens, uint64_t *at_ms, unsigned rate, uint64_t now_ms)
{
    double most = BURST * (double)rate;
    if (now_ms > *at_ms)
        *tokens += (double)(now_ms - *at_ms) * rate / 1000;
    *at_ms = now_ms;
    if (*tokens > most)
        *tokens = most;
}

enum tls_admit tls_limit_enter(struct tls_limit *l, const struct addr *from, bool known, uint64_t now_ms)
{
    struct addr net = net_of(from);
    struct tls_limit_address *e = find_or_take(l, &net, now_ms);
    if (!e || e->open >= l->open_per_address || (!known && l->open >= l->open_max))
        return TLS_ADMIT_LIMIT;
    refill(&e->tokens, &e->at_ms, l->rate_per_address, now_ms);
    refill(&l->tokens, &l->at_ms, l->rate, now_ms);
    if (e->tokens < 1 || (!known && l->tokens < 1))
        return TLS_ADMIT_RATE;
    e->tokens -= 1;
    e->open++;
    if (!known) {
        l->tokens -= 1;
        l->open++;
    }
    return TLS_ADMIT;
}

void tls_limit_leave(struct tls_limit *l, const struct addr *from, bool known)
{
    struct addr net = net_of(from);
    struct tls_limit_address *e = find(l, &net); /* it is there: one with an open connection is never given away */
    if (e && e->open)
        e->open--;
    if (!known && l->open)
        l->open--;
}

bool tls_limit_log(struct tls_limit *l, const struct addr *from, unsigned cause, uint64_t now_ms, unsigned *times)
{
    struct addr net = net_of(from);
    struct tls_log_entry *e = NULL;
    for (unsigned i = 0; i < TLS_LOG_ENTRIES; i++) {
        struct tls_log_entry *at = &l->log[i];
        if (at->net.family && at->cause == cause && addr_eq(&at->net, &net)) {
            at->seen_ms = now_ms;
            at->times++;
            if (now_ms - at->told_ms < TLS_LOG_AGAIN_MS)
                return false;
            *times = at->times;
            at->times = 0;
            at->told_ms = now_ms;
            return true;
        }
        if (!e || (e->net.family && (!at->net.family || at->seen_ms < e->seen_ms)))
            e = at;
    }
    *e = (struct tls_log_entry){.net = net, .cause = cause, .told_ms = now_ms, .seen_ms = now_ms};
    *times = 1;
    return true;
}
