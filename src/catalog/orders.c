/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/orders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/map.h"

struct order {
    struct plan_action action; /* its texts are the order's */
    uint64_t id, since, due, key;
    uint32_t tries;
    enum order_state state;
    char why[ORDERS_WHY];
};

struct orders {
    struct orders_policy policy;
    struct order **list; /* by id */
    size_t count, cap;
    struct order *given_up[ORDERS_GIVEN_UP_MAX]; /* a ring */
    size_t given_up_at, given_up_count;
    struct map by_key; /* of the list: one order for a path at a node */
    struct plan_action *pending;
    uint32_t sent_to[CATALOG_NODES_MAX];
    uint64_t next_id;
    struct orders_figures f;
};

static const char *const state_names[] = {"waiting", "sent", "settling", "given-up"};

const char *order_state_name(enum order_state s)
{
    return (unsigned)s < PM_ARRAY_LEN(state_names) ? state_names[s] : "unknown";
}

/* Who carries it out. */
static uint16_t node_of(const struct plan_action *a)
{
    return a->kind == PLAN_COPY ? a->to : a->from;
}

static uint64_t key_of(const char *host, const char *path, size_t len, uint16_t node)
{
    return hash_bytes(path, len, hash_seed() ^ hash_bytes(host, strlen(host), node));
}

struct orders *orders_new(uint64_t first_id)
{
    struct orders *o = mem_alloc(sizeof *o);
    map_init(&o->by_key);
    o->next_id = first_id;
    o->policy = (struct orders_policy){.at_once = 4,
                                       .tries = 5,
                                       .first_pause_ms = 10000,
                                       .last_pause_ms = 600000,
                                       .answer_ms = 3600000,
                                       .settle_ms = 60000,
                                       .given_up_ms = 3600000};
    return o;
}

static void order_free(struct order *r)
{
    if (!r)
        return;
    free((char *)(uintptr_t)r->action.host);
    free((char *)(uintptr_t)r->action.path);
    free(r);
}

void orders_free(struct orders *o)
{
    if (!o)
        return;
    for (size_t i = 0; i < o->count; i++)
        order_free(o->list[i]);
    for (size_t i = 0; i < ORDERS_GIVEN_UP_MAX; i++)
        order_free(o->given_up[i]);
    map_fini(&o->by_key);
    free(o->list);
    free(o->pending);
    free(o);
}

void orders_policy(struct orders *o, const struct orders_policy *p)
{
    o->policy = *p;
}

static bool given_up_lately(const struct orders *o, const struct order *r, uint64_t now)
{
    return r && now - r->since < o->policy.given_up_ms;
}

bool orders_gave_up(const struct orders *o, const char *host, const char *path, size_t len, uint16_t node, uint64_t now)
{
    uint64_t key = o->given_up_count ? key_of(host, path, len, node) : 0;
    for (size_t i = 0; i < o->given_up_count; i++)
        if (o->given_up[i]->key == key && o->given_up[i]->action.kind == PLAN_COPY &&
            given_up_lately(o, o->given_up[i], now))
            return true;
    return false;
}

static bool gave_up_same(const struct orders *o, const struct plan_action *a, uint64_t key, uint64_t now)
{
    for (size_t i = 0; i < o->given_up_count; i++)
        if (o->given_up[i]->key == key && o->given_up[i]->action.kind == a->kind &&
            o->given_up[i]->action.hash == a->hash && given_up_lately(o, o->given_up[i], now))
            return true;
    return false;
}

int orders_take(struct orders *o, const struct plan_action *a, uint64_t now)
{
    uint64_t key = key_of(a->host, a->path, a->len, node_of(a));
    if (map_get(&o->by_key, &key, sizeof key) || gave_up_same(o, a, key, now))
        return PM_EEXISTS;
    if (o->count == ORDERS_MAX)
        return PM_EBUSY;
    struct order *r = mem_alloc(sizeof *r);
    char *path = mem_alloc(a->len + 1);
    memcpy(path, a->path, a->len);
    r->action = *a;
    r->action.host = mem_strdup(a->host);
    r->action.path = path;
    r->key = key;
    r->since = r->due = now;
    if (o->count == o->cap) {
        o->cap = o->cap ? 2 * o->cap : 64;
        o->list = mem_realloc(o->list, o->cap * sizeof(struct order *));
    }
    r->id = o->next_id++;
    o->list[o->count++] = r;
    map_put(&o->by_key, &r->key, sizeof r->key, r);
    return PM_OK;
}

static void become(struct orders *o, struct order *r, enum order_state state, uint64_t now, uint64_t due)
{
    uint32_t *sent = &o->sent_to[node_of(&r->action)];
    *sent -= r->state == ORDER_SENT;
    *sent += state == ORDER_SENT;
    r->state = state;
    r->since = now;
    r->due = due;
}

static void give_up(struct orders *o, struct order *r)
{
    struct order **place = &o->given_up[o->given_up_at];
    order_free(*place);
    *place = r;
    o->given_up_at = (o->given_up_at + 1) % ORDERS_GIVEN_UP_MAX;
    o->given_up_count += o->given_up_count < ORDERS_GIVEN_UP_MAX;
    o->f.abandoned++;
}

static void failed(struct orders *o, struct order *r, const char *why, uint64_t now)
{
    uint64_t pause = o->policy.first_pause_ms;
    for (uint32_t i = 0; i < r->tries && pause < o->policy.last_pause_ms; i++)
        pause *= 2;
    snprintf(r->why, sizeof r->why, "%s", why ? why : "");
    r->tries++;
    o->f.failed++;
    pause = pause < o->policy.last_pause_ms ? pause : o->policy.last_pause_ms;
    become(o, r, r->tries < o->policy.tries ? ORDER_WAITING : ORDER_GIVEN_UP, now, now + pause);
}

static void try_to_send(struct orders *o, struct order *r, uint64_t now, orders_send_fn *send, void *ctx)
{
    uint16_t node = node_of(&r->action);
    if (o->sent_to[node] >= o->policy.at_once)
        return;
    int err = send(ctx, r->id, &r->action);
    if (!err)
        become(o, r, ORDER_SENT, now, now + o->policy.answer_ms);
    else if (err == PM_EAGAIN || err == PM_EUNREACH || err == PM_ENOTFOUND)
        r->due = now + 1000;
    else
        failed(o, r, err_text(err), now);
}

/* Takes those out of the list that have come to an end. */
static void tidy(struct orders *o)
{
    size_t n = 0;
    for (size_t i = 0; i < o->count; i++) {
        struct order *r = o->list[i];
        bool over = r->state == ORDER_SETTLING && !r->due;
        if (!over && r->state != ORDER_GIVEN_UP) {
            o->list[n++] = r;
            continue;
        }
        map_del(&o->by_key, &r->key, sizeof r->key);
        if (over)
            order_free(r);
        else
            give_up(o, r);
    }
    o->count = n;
}

void orders_run(struct orders *o, uint64_t now, orders_send_fn *send, void *ctx)
{
    for (size_t i = 0; i < o->count; i++) {
        struct order *r = o->list[i];
        if (now < r->due)
            continue;
        if (r->state == ORDER_SENT)
            failed(o, r, "no answer", now);
        else if (r->state == ORDER_SETTLING)
            r->due = 0;
        else if (r->state == ORDER_WAITING)
            try_to_send(o, r, now, send, ctx);
    }
    tidy(o);
}

static struct order *find(const struct orders *o, uint64_t id)
{
    size_t low = 0, high = o->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (o->list[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < o->count && o->list[low]->id == id ? o->list[low] : NULL;
}

bool orders_result(struct orders *o, uint64_t id, int err, const char *why, uint64_t now)
{
    struct order *r = find(o, id);
    if (!r || r->state == ORDER_SETTLING)
        return false;
    if (err) {
        failed(o, r, why && *why ? why : err_text(err), now);
        tidy(o);
        return true;
    }
    o->f.copied += r->action.kind == PLAN_COPY;
    o->f.copied_bytes += r->action.kind == PLAN_COPY ? r->action.size : 0;
    o->f.removed += r->action.kind == PLAN_REMOVE;
    become(o, r, ORDER_SETTLING, now, now + o->policy.settle_ms);
    return true;
}

void orders_lost(struct orders *o, uint16_t node, uint64_t now)
{
    for (size_t i = 0; i < o->count; i++)
        if (o->list[i]->state == ORDER_SENT && node_of(&o->list[i]->action) == node)
            become(o, o->list[i], ORDER_WAITING, now, now + o->policy.first_pause_ms);
}

/* It may be seen before the agent's answer is: the order stays until that has come. */
void orders_seen(struct orders *o, uint16_t node, const char *host, const char *path, size_t len, bool has)
{
    if (!o->count)
        return;
    uint64_t key = key_of(host, path, len, node);
    struct order *r = map_get(&o->by_key, &key, sizeof key);
    if (r && r->state == ORDER_SETTLING && has == (r->action.kind == PLAN_COPY))
        r->due = 0;
}

void orders_drop_waiting(struct orders *o)
{
    for (size_t i = 0; i < o->count; i++)
        if (o->list[i]->state == ORDER_WAITING) {
            o->list[i]->state = ORDER_SETTLING;
            o->list[i]->due = 0;
        }
    tidy(o);
}

const struct plan_action *orders_pending(struct orders *o, size_t *count)
{
    o->pending = mem_realloc(o->pending, (o->count + 1) * sizeof *o->pending);
    for (size_t i = 0; i < o->count; i++)
        o->pending[i] = o->list[i]->action;
    *count = o->count;
    return o->pending;
}

bool orders_view(const struct orders *o, size_t i, struct order_view *out)
{
    const struct order *r = i < o->count ? o->list[i] : NULL;
    if (!r && i - o->count < o->given_up_count)
        r = o->given_up[(o->given_up_at + ORDERS_GIVEN_UP_MAX - 1 - (i - o->count)) % ORDERS_GIVEN_UP_MAX];
    if (!r)
        return false;
    *out = (struct order_view){.id = r->id,
                               .state = r->state,
                               .action = &r->action,
                               .tries = r->tries,
                               .since = r->since,
                               .due = r->state == ORDER_GIVEN_UP ? r->since + o->policy.given_up_ms : r->due,
                               .why = r->why};
    return true;
}

void orders_figures(const struct orders *o, struct orders_figures *out)
{
    *out = o->f;
    for (size_t i = 0; i < o->count; i++) {
        out->waiting += o->list[i]->state == ORDER_WAITING;
        out->sent += o->list[i]->state == ORDER_SENT;
        out->settling += o->list[i]->state == ORDER_SETTLING;
    }
    out->given_up = o->given_up_count;
}
