/* SPDX-License-Identifier: Apache-2.0 */
/* Measured round trips among balancers: own ones as records by part, others' into the model. */
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/log.h"
#include "main/fleet_internal.h"

enum {
    RETELL_MS = 5 * 60 * 1000, /* counts and ages go stale */
    LIFETIME_MS = RTT_KEEP_MS,
};

static void tell_part(struct fleet *f, unsigned part)
{
    static uint8_t value[MESH_VALUE_MAX];
    static struct mesh_round_trip list[MESH_ROUND_TRIPS_MAX];
    const struct rtt_belief *own[RTT_PART_MAX];
    struct rtt *r = model_rtt(f->host.model(f->host.ctx));
    uint64_t now = clock_mono_ms(f->host.clock);
    unsigned n = rtt_own_part(r, part, own);
    char subject[8];
    bool said = f->rtt_said & 1u << part;
    snprintf(subject, sizeof subject, "%u", part);
    f->rtt_told_ms[part] = now;
    if (!n && !said)
        return;
    for (unsigned i = 0; i < n; i++)
        list[i] = (struct mesh_round_trip){.prefix = own[i]->prefix,
                                           .us = own[i]->us,
                                           .spread_us = own[i]->spread_us,
                                           .confidence = own[i]->confidence,
                                           .connections = own[i]->connections,
                                           .age_ms = now - own[i]->when_ms};
    struct mesh_writer w = mesh_writer(value, sizeof value);
    mesh_put_round_trips(&w, list, n);
    int err = n ? mesh_put(f->mesh, MESH_KIND_ROUND_TRIPS, subject, w.p, w.len, LIFETIME_MS, 0)
                : mesh_remove(f->mesh, MESH_KIND_ROUND_TRIPS, subject, false);
    if (err && err != PM_ENOTFOUND) /* it had run out by itself */
        log_warn("cannot tell the other balancers", "what", mesh_kind_name(MESH_KIND_ROUND_TRIPS), "why",
                 err_text(err));
    f->rtt_said = n ? f->rtt_said | 1u << part : f->rtt_said & ~(1u << part);
    rtt_counters(r)->told++;
}

void tell_round_trips(struct fleet *f)
{
    uint64_t now = clock_mono_ms(f->host.clock);
    f->rtt_due |= rtt_take_due(model_rtt(f->host.model(f->host.ctx)));
    for (unsigned part = 0; part < RTT_PARTS; part++)
        if (f->rtt_due & 1u << part || (f->rtt_said & 1u << part && now - f->rtt_told_ms[part] >= RETELL_MS))
            tell_part(f, part);
    f->rtt_due = 0;
}

static bool part_of(struct mesh_str subject, uint8_t *part)
{
    unsigned n = 0;
    for (unsigned i = 0; i < subject.n; i++) {
        if (subject.p[i] < '0' || subject.p[i] > '9' || subject.n > 3)
            return false;
        n = n * 10 + (unsigned)(subject.p[i] - '0');
    }
    *part = (uint8_t)n;
    return subject.n && n <= UINT8_MAX;
}

void hear_round_trips(struct fleet *f, const struct mesh_stored *s, uint16_t vantage, bool gone)
{
    static struct mesh_round_trip list[MESH_ROUND_TRIPS_MAX];
    static struct rtt_belief beliefs[MESH_ROUND_TRIPS_MAX];
    struct rtt *r = model_rtt(f->host.model(f->host.ctx));
    uint64_t now = clock_mono_ms(f->host.clock), age = mesh_age(f->mesh, s);
    unsigned n = 0;
    uint8_t part;
    if (!part_of(s->rec.subject, &part) ||
        (!gone && mesh_get_round_trips(&s->rec, list, MESH_ROUND_TRIPS_MAX, &n) != 0))
        return;
    for (unsigned i = 0; i < n; i++)
        beliefs[i] = (struct rtt_belief){.prefix = list[i].prefix,
                                         .us = list[i].us,
                                         .spread_us = list[i].spread_us,
                                         .confidence = list[i].confidence,
                                         .connections = list[i].connections,
                                         .when_ms = now > age + list[i].age_ms ? now - age - list[i].age_ms : 0,
                                         .until_ms = now + s->rec.lifetime_ms - age};
    rtt_counters(r)->heard++;
    rtt_replace(r, vantage, part, beliefs, n);
}
