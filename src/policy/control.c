/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/control.h"

#include <math.h>

static const float GAIN = 0.5f;       /* proportional: half of what the load asks for at once */
static const float LEAST = 0.01f;     /* some always go, or nobody would see it recover */
static const float DEAD_BAND = 0.03f; /* reported loads move in steps of 5 % */
static const float UNKNOWN = 0.25f;   /* as if there were this much room */

static float clamp(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

float control_step(struct control_state *s, const struct control_rule *r, float load, float dt_s)
{
    float floor = logf(LEAST);
    float x = isnan(load) ? UNKNOWN : clamp(logf(r->target / fmaxf(load, 1e-6f)), -1, 1);
    if (fabsf(x) < DEAD_BAND)
        x = 0;
    float step = clamp(dt_s / fmaxf(r->lag_s, 1), 0, 1);
    s->integral = clamp(s->integral + GAIN * x * step, floor, 0);
    return expf(clamp(s->integral + GAIN * x, floor, 0));
}
