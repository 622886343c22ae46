/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/table.h"

#include <stdlib.h>
#include <string.h>
#include "base/arena.h"

enum { NONE, IN, OUT };
enum { HOTTEST = 64, PLACES_MAX = 255, EXCHANGE_MS = 5000 };
/* What comes in must be asked for so much more than what goes, lest they take turns. */
static const double much_more = 2;

struct place {
    uint8_t state, places;
};

struct catalog_table {
    struct catalog_table_calls call;
    struct catalog_table_figures f;
    struct place *at; /* by entry */
    uint32_t count;
    struct usage_meter *meter;
    uint32_t sweep_at, fill_at, victim_at, read_at;
    uint64_t exchange_due;
};

struct catalog_table *catalog_table_new(const struct catalog_table_calls *calls, uint32_t max, uint32_t meter_max)
{
    struct catalog_table *t = mem_alloc(sizeof *t);
    t->call = *calls;
    t->f.max = max;
    t->meter = usage_meter_new(meter_max);
    return t;
}

void catalog_table_free(struct catalog_table *t)
{
    if (!t)
        return;
    usage_meter_free(t->meter);
    free(t->at);
    free(t);
}

void catalog_table_limit(struct catalog_table *t, uint32_t max)
{
    t->f.max = max;
}

static struct place *place_of(struct catalog_table *t, uint32_t id)
{
    if (id >= t->count) {
        uint32_t count = id + 1 < 2 * t->count ? 2 * t->count : id + 1;
        t->at = mem_realloc(t->at, count * sizeof *t->at);
        memset(t->at + t->count, 0, (count - t->count) * sizeof *t->at);
        t->count = count;
    }
    return &t->at[id];
}

static void become(struct catalog_table *t, struct place *p, const struct directory_entry *e, uint8_t state,
                   uint8_t places)
{
    bool was_out = p->state == OUT, is_out = state == OUT;
    t->f.in += (state == IN) - (uint32_t)(p->state == IN);
    t->f.out += is_out - (uint32_t)was_out;
    t->f.places += (uint32_t)places - p->places;
    *p = (struct place){state, places};
    if (was_out != is_out)
        t->call.left(t->call.ctx, e, is_out);
}

static void put(struct catalog_table *t, uint32_t id, const struct directory_entry *e)
{
    struct place *p = place_of(t, id);
    int n = t->call.put(t->call.ctx, id, e);
    t->f.refused += n < 0;
    if (n > 0 && p->state != IN)
        (void)!usage_meter_base(t->meter, id, 0, 0); /* beyond its end nothing is counted */
    become(t, p, e, n < 0 ? OUT : n ? IN : NONE, n > PLACES_MAX ? PLACES_MAX : n < 0 ? 0 : (uint8_t)n);
}

static void take(struct catalog_table *t, uint32_t id, const struct directory_entry *e, uint8_t state)
{
    struct place *p = place_of(t, id);
    if (p->state == IN)
        t->call.take(t->call.ctx, id, e);
    become(t, p, e, state, 0);
}

static bool fits(const struct catalog_table *t, const struct directory_entry *e)
{
    return e->key.kind != DIRECTORY_EXACT || t->f.places < t->f.max;
}

void catalog_table_change(struct catalog_table *t, uint32_t id, const struct directory_entry *e)
{
    struct place *p = place_of(t, id);
    t->call.seen(t->call.ctx, id, e);
    if (e->set == SETS_NONE)
        take(t, id, e, NONE);
    else if (p->state == IN || fits(t, e))
        put(t, id, e);
    else
        become(t, p, e, OUT, 0);
}

void catalog_table_sweep(struct catalog_table *t)
{
    t->f.sweeping = true;
    t->sweep_at = 0;
}

/* ---- turns ---- */

/* Of those not in it, only put says whether they belong there: for a moment, one may be over the limit. */
static void sweep_one(struct catalog_table *t, uint32_t id, const struct directory_entry *e)
{
    t->call.seen(t->call.ctx, id, e);
    put(t, id, e);
    if (place_of(t, id)->state == IN && e->key.kind == DIRECTORY_EXACT && t->f.places > t->f.max)
        take(t, id, e, OUT);
}

static uint32_t sweep(struct catalog_table *t, const struct directory *d, uint32_t budget)
{
    struct directory_entry e;
    uint32_t id;
    for (; budget; budget--) {
        if (!directory_next(d, &t->sweep_at, &id, &e)) {
            t->f.sweeping = false;
            return budget;
        }
        if (e.set != SETS_NONE)
            sweep_one(t, id, &e);
    }
    return 0;
}

/* What is left out comes in, as long as there is room. True: there may be more. */
static bool fill(struct catalog_table *t, const struct directory *d, uint32_t budget)
{
    struct directory_entry e;
    for (; budget && t->f.out && t->f.places < t->f.max; budget--, t->fill_at++) {
        if (t->fill_at >= t->count) {
            t->fill_at = 0;
            return false; /* those that put refused wait for the next time */
        }
        if (t->at[t->fill_at].state == OUT && directory_get(d, t->fill_at, &e) && e.set != SETS_NONE)
            put(t, t->fill_at, &e);
    }
    return t->f.out && t->f.places < t->f.max;
}

/* Takes out an entry that is asked for much less than `rate`; false: none was found within the budget. */
static bool make_room(struct catalog_table *t, const struct directory *d, const struct usage *u, uint64_t now,
                      double rate, uint32_t *budget)
{
    struct directory_entry e;
    for (uint32_t looked = 0; *budget && looked < t->count; looked++, (*budget)--) {
        uint32_t id = t->victim_at = t->victim_at + 1 < t->count ? t->victim_at + 1 : 0;
        if (t->at[id].state != IN || !directory_get(d, id, &e) || e.key.kind != DIRECTORY_EXACT)
            continue;
        if (usage_rate(u, &e.key, now).at_most * much_more > rate)
            continue;
        take(t, id, &e, OUT);
        return true;
    }
    return false;
}

static void exchange(struct catalog_table *t, const struct directory *d, const struct usage *u, uint64_t now,
                     uint32_t budget)
{
    struct usage_item top[HOTTEST];
    size_t n = usage_top(u, now, top, HOTTEST);
    for (size_t i = 0; i < n && budget; i++) {
        struct directory_entry e;
        uint32_t id = top[i].cut ? DIRECTORY_NONE : directory_find(d, &top[i].key);
        if (top[i].rate.at_least <= 0)
            break;
        if (id == DIRECTORY_NONE || id >= t->count || t->at[id].state != OUT || !directory_get(d, id, &e) ||
            e.set == SETS_NONE || !make_room(t, d, u, now, top[i].rate.at_least, &budget))
            continue;
        put(t, id, &e);
        t->f.exchanged += t->at[id].state == IN;
    }
}

bool catalog_table_turn(struct catalog_table *t, const struct directory *d, const struct usage *u, uint64_t now,
                        uint32_t budget)
{
    if (t->f.sweeping) {
        budget = sweep(t, d, budget);
        return t->f.sweeping || budget == 0;
    }
    if (!t->f.out || !budget)
        return false;
    if (t->f.places < t->f.max)
        return fill(t, d, budget);
    if (u && now >= t->exchange_due) {
        exchange(t, d, u, now, budget);
        t->exchange_due = now + EXCHANGE_MS;
    }
    return false;
}

void catalog_table_read(struct catalog_table *t, const struct directory *d, struct usage *u, uint64_t now,
                        uint32_t budget)
{
    struct directory_entry e;
    uint64_t hits;
    for (uint32_t looked = 0; budget && looked < t->count; looked++) {
        uint32_t id = t->read_at = t->read_at + 1 < t->count ? t->read_at + 1 : 0;
        if (t->at[id].state != IN || !directory_get(d, id, &e))
            continue;
        budget--;
        struct directory_key as = e.key;
        if (t->call.hits(t->call.ctx, id, &e, &hits, &as))
            (void)!usage_meter_read(t->meter, u, id, &as, hits, 0, now);
    }
}

void catalog_table_figures(const struct catalog_table *t, struct catalog_table_figures *out)
{
    *out = t->f;
}

bool catalog_table_has(const struct catalog_table *t, uint32_t id)
{
    return id < t->count && t->at[id].state == IN;
}
