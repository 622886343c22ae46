/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The closed loop against simulated clients: resolvers that keep answers for their TTL, sessions that last, loads
 * reported late and in steps, and at every site a balancer that decides for itself. Virtual time.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include "../cmocka_pm.h"
#include "base/err.h"
#include "policy/control.h"

enum { SITES = 5, RESOLVERS = 400 };

struct world {
    float ttl_s, session_s, believed_session_s;
    double capacity[SITES], demand[SITES]; /* connections; new connections per second of the clients nearest to it */
    bool lost[SITES];
    double open[SITES];
    float reported[SITES];
    struct control_state control[SITES][SITES]; /* [balancer][site] */
    float admit[SITES][SITES];
    struct {
        unsigned site;
        double until;
    } resolver[SITES][RESOLVERS];
    double now, over[SITES]; /* worst load seen since watch began */
    double low[SITES], high[SITES];
};

static uint64_t rng = 11;
static double uniform(void)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (double)(rng >> 11) / 9007199254740992.0;
}

/* Sites stand on a ring: nearest first, alternately right and left. */
static unsigned preference(unsigned from, unsigned n)
{
    return (from + (n % 2 ? (n + 1) / 2 : SITES - n / 2)) % SITES;
}

/* What the stage `spill` does. */
static unsigned choose(const struct world *w, unsigned balancer)
{
    unsigned nearest = SITES;
    for (unsigned n = 0; n < SITES; n++) {
        unsigned site = preference(balancer, n);
        if (w->lost[site])
            continue;
        if (uniform() < (double)w->admit[balancer][site])
            return site;
        if (nearest == SITES)
            nearest = site;
    }
    return nearest;
}

static void report(struct world *w)
{
    for (unsigned i = 0; i < SITES; i++) {
        float load = (float)(w->open[i] / w->capacity[i]);
        if (fabsf(load - w->reported[i]) > 0.05f * w->reported[i])
            w->reported[i] = load;
    }
}

static void control(struct world *w, double dt)
{
    struct control_rule r = {.target = 0.8f, .lag_s = w->ttl_s + w->believed_session_s};
    for (unsigned b = 0; b < SITES; b++)
        for (unsigned i = 0; i < SITES; i++)
            w->admit[b][i] = control_step(&w->control[b][i], &r, w->lost[i] ? NAN : w->reported[i], (float)dt);
}

static void run(struct world *w, double seconds)
{
    const double dt = 0.5;
    for (unsigned i = 0; i < SITES; i++) {
        w->low[i] = 1e9;
        w->high[i] = 0;
    }
    for (double end = w->now + seconds; w->now < end; w->now += dt) {
        for (unsigned from = 0; from < SITES; from++) {
            for (unsigned r = 0; r < RESOLVERS; r++) {
                if (w->resolver[from][r].until <= w->now || w->lost[w->resolver[from][r].site]) {
                    w->resolver[from][r].site = choose(w, from);
                    w->resolver[from][r].until = w->now + (double)w->ttl_s * (0.9 + 0.1 * uniform());
                }
                w->open[w->resolver[from][r].site] += w->demand[from] * dt / RESOLVERS;
            }
        }
        for (unsigned i = 0; i < SITES; i++) {
            w->open[i] = w->lost[i] ? 0 : w->open[i] * exp(-dt / (double)w->session_s);
            double load = w->open[i] / w->capacity[i];
            w->low[i] = fmin(w->low[i], load);
            w->high[i] = fmax(w->high[i], load);
        }
        if (fmod(w->now, 2) == 0)
            report(w);
        if (fmod(w->now, 1) == 0)
            control(w, 1);
    }
}

/* Demand as connections that would be open at the nearest site alone, in parts of its capacity. */
static void setup(struct world *w, float ttl_s, float session_s, float believed_s)
{
    *w = (struct world){.ttl_s = ttl_s, .session_s = session_s, .believed_session_s = believed_s};
    for (unsigned i = 0; i < SITES; i++) {
        w->capacity[i] = 1000;
        w->demand[i] = 0.5 * w->capacity[i] / (double)session_s;
        for (unsigned b = 0; b < SITES; b++)
            w->admit[b][i] = 1;
        for (unsigned r = 0; r < RESOLVERS; r++)
            w->resolver[i][r].until = uniform() * (double)ttl_s, w->resolver[i][r].site = i;
    }
}

static const struct {
    float ttl_s, session_s, believed_s;
} cases[] = {
    {5, 30, 30},
    {30, 30, 30},
    {60, 30, 30},
    {300, 30, 30},
    /* Sessions are not what was believed: ten times shorter, ten times longer. */
    {5, 3, 30},
    {60, 3, 30},
    {5, 300, 30},
    {60, 300, 30},
};

static double lag(size_t i)
{
    return (double)(cases[i].ttl_s + fmaxf(cases[i].session_s, cases[i].believed_s));
}

/* Quiet: nobody is moved who need not be. */
static void test_nothing_to_do(void **state)
{
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        struct world w;
        setup(&w, cases[i].ttl_s, cases[i].session_s, cases[i].believed_s);
        run(&w, 20 * lag(i));
        for (unsigned b = 0; b < SITES; b++)
            for (unsigned s = 0; s < SITES; s++)
                assert_true(w.admit[b][s] == 1);
    }
}

/* After the step has settled, no site's load may swing by more than steps of reporting and of whole resolvers explain. */
static void assert_settled(struct world *w, size_t i, const char *what)
{
    run(w, 6 * lag(i));
    for (unsigned s = 0; s < SITES; s++) {
        if (w->lost[s])
            continue;
        if (w->high[s] > 0.93)
            fail_msg("%s, TTL %.0f, sessions %.0f: site %u at %.2f", what, (double)cases[i].ttl_s,
                     (double)cases[i].session_s, s, w->high[s]);
        if (w->high[s] - w->low[s] > 0.17)
            fail_msg("%s, TTL %.0f, sessions %.0f: site %u swings %.2f..%.2f", what, (double)cases[i].ttl_s,
                     (double)cases[i].session_s, s, w->low[s], w->high[s]);
    }
}

static void test_demand_step(void **state)
{
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        struct world w;
        setup(&w, cases[i].ttl_s, cases[i].session_s, cases[i].believed_s);
        run(&w, 5 * lag(i));
        w.demand[0] *= 3; /* 1.5 times what the site can hold */
        run(&w, 12 * lag(i));
        assert_settled(&w, i, "step up");
        /* What must move goes to the neighbours: those beyond them see nothing. */
        assert_in_range((int)(w.high[1] * 100) + (int)(w.high[4] * 100), 120, 190);
        w.demand[0] /= 3;
        run(&w, 12 * lag(i));
        assert_settled(&w, i, "step down");
        for (unsigned b = 0; b < SITES; b++)
            assert_true(w.admit[b][0] == 1);
    }
}

static void test_site_lost(void **state)
{
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        struct world w;
        setup(&w, cases[i].ttl_s, cases[i].session_s, cases[i].believed_s);
        run(&w, 5 * lag(i));
        w.lost[2] = true;
        run(&w, 12 * lag(i));
        assert_settled(&w, i, "site lost");
        w.lost[2] = false;
        run(&w, 12 * lag(i));
        assert_settled(&w, i, "site back");
    }
}

/* More than all can hold: everybody is equally over, nothing swings. */
static void test_too_much(void **state)
{
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        struct world w;
        setup(&w, cases[i].ttl_s, cases[i].session_s, cases[i].believed_s);
        for (unsigned s = 0; s < SITES; s++)
            w.demand[s] *= 2; /* 1.0 everywhere, target 0.8 */
        run(&w, 20 * lag(i));
        run(&w, 6 * lag(i));
        for (unsigned s = 0; s < SITES; s++)
            assert_true(w.high[s] < 1.25 && w.low[s] > 0.75);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_demand_step),
        cmocka_unit_test(test_site_lost),
        cmocka_unit_test(test_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
