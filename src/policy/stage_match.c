/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/stages.h"

enum { BY_ANY, BY_COUNTRY, BY_CONTINENT, BY_REGION, BY_ASN, BY_PREFIX };
static const char *const by_names[] = {"any", "country", "continent", "region", "asn", "prefix", NULL};
static const uint8_t by_bits[] = {0xff, MATCH_COUNTRY, MATCH_CONTINENT, MATCH_REGION, MATCH_ASN, MATCH_PREFIX};

struct match {
    int by;
    bool require;
};

static const struct conf_key match_keys[] = {
    {"by", CONF_ENUM, offsetof(struct match, by), .def = "any", .sub = by_names,
     .doc = "Which lists of the site's `serves` to look at."},
    {"require", CONF_BOOL, offsetof(struct match, require), .def = "no",
     .doc = "Take out sites that do not serve the client, instead of putting them behind those that do."},
};

static const char *match_text(uint8_t bits)
{
    return bits & MATCH_PREFIX      ? "serves the client's prefix"
           : bits & MATCH_ASN       ? "serves the client's AS"
           : bits & MATCH_REGION    ? "serves the client's region"
           : bits & MATCH_COUNTRY   ? "serves the client's country"
           : bits & MATCH_CONTINENT ? "serves the client's continent"
                                    : "does not serve this client";
}

static bool match_keep(const void *params, const struct policy_run *r, const struct run_cand *c, char *why)
{
    const struct match *p = params;
    uint8_t bits = run_feature(r, c)->match & by_bits[p->by];
    run_why(why, "%s", match_text(bits));
    return bits != 0;
}

/* The more particular the match, the better: prefix, AS, region, country, continent, none. */
static float match_rank(const void *params, const struct policy_run *r, const struct run_cand *c)
{
    const struct match *p = params;
    uint8_t bits = run_feature(r, c)->match & by_bits[p->by];
    return bits & MATCH_PREFIX ? 0 : bits & MATCH_ASN ? 1 : bits & MATCH_REGION ? 2
           : bits & MATCH_COUNTRY ? 3 : bits & MATCH_CONTINENT ? 4 : 5;
}

static void match_run(const void *params, struct policy_run *r)
{
    const struct match *p = params;
    if (p->require)
        run_filter(r, params, match_keep, false);
    else
        run_score(r, params, match_rank, "(0 prefix, 1 AS, 2 region, 3 country, 4 continent, 5 none)");
}

static unsigned match_reads(const void *params)
{
    return READS_MATCH;
}

const struct stage stage_match = {
    .object = {.name = "match",
               .doc = "Puts sites first whose `serves` list names the client's prefix, AS, region, country or continent.",
               .size = sizeof(struct match), CONF_KEYS(match_keys), .shorthand = "by"},
    .kind = STAGE_SCORE,
    .reads = match_reads,
    .run = match_run,
};
