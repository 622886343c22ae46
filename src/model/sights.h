/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What other vantage points see of the VIPs: for the quorum, and for the matrix of times that hand-off tables are made
 * from. A vantage is a balancer (by name), which stands at a site or at none.
 *
 * This balancer is in here, too (VANTAGE_OWN), with what it tells the others: the matrix must hold for everybody the
 * very same numbers.
 *
 * Thread: control. Memory: belongs to the model; sights_adopt copies what still has a VIP into the next generation.
 */
#ifndef PM_MODEL_SIGHTS_H
#define PM_MODEL_SIGHTS_H

#include <stdbool.h>
#include <stdint.h>
#include "model/config.h"
#include "model/health.h"

/* VANTAGE_SELF is what this balancer believes right now, kept in the model; VANTAGE_OWN is what it tells: kept here, its times
 * in steps. */
enum { VANTAGE_SELF = 0, VANTAGE_OWN = 1, VANTAGE_MAX = 4096, VANTAGE_NOWHERE = UINT16_MAX };

/* One vantage point's view of one VIP; a list hangs from the VIP, in no order. */
struct sight {
    struct sight *next;
    uint16_t vantage;
    uint8_t health;    /* enum health */
    float response_ms; /* NaN = not measured */
    uint64_t when_ms;  /* monotonic: when it was heard */
};

struct sights;

/* Knows one vantage: VANTAGE_OWN, config's node. config must outlive it: its sites give vantages their places. */
struct sights *sights_new(const struct config *config, uint32_t vip_count);
void sights_free(struct sights *s);
/* to_new[old VIP] as model_renumber gives it; UINT32_MAX = gone. */
void sights_adopt(struct sights *s, const struct sights *old, const uint32_t *to_new);

/* A number for a vantage point; the same for the same name. site: where it stands, NULL or unknown here = nowhere. */
uint16_t sights_vantage(struct sights *s, const char *name, const char *site);
const char *sights_vantage_name(const struct sights *s, uint16_t vantage);
/* The site's number in the configuration, or VANTAGE_NOWHERE. */
uint16_t sights_vantage_site(const struct sights *s, uint16_t vantage);
uint16_t sights_vantage_count(const struct sights *s); /* numbers are VANTAGE_OWN .. count - 1 */

/* True if it says something else than before: another health, or a time that has moved. */
bool sights_set(struct sights *s, uint32_t vip, const struct sight *what);
bool sights_forget(struct sights *s, uint32_t vip, uint16_t vantage);
const struct sight *sights_find(const struct sights *s, uint32_t vip, uint16_t vantage); /* NULL = none */
const struct sight *sights_of(const struct sights *s, uint32_t vip);
/* Whether the balancers that stand at that site themselves call it down, and none of them calls it up. */
bool sights_site_down(const struct sights *s, uint32_t vip, uint16_t site);
/* How many others call it down. */
unsigned sights_down(const struct sights *s, uint32_t vip);

#endif
