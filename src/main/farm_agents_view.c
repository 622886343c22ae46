/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "main/farm_agents_internal.h"

/*
 * How full the node is: its busiest resource, so that one that is short of anything gets less. Memory counts when less than
 * a tenth is left; processes that want to run count twofold processors as full.
 */
float farm_agent_full(const struct agent_load *l)
{
    double full = 0;
    if (l->known & AGENT_LOAD_CPU)
        full = fmax(full, 1 - l->cpu_idle);
    if (l->known & AGENT_LOAD_RUN && l->processors)
        full = fmax(full, fmin(1, l->running / (2.0 * l->processors)));
    if (l->known & AGENT_LOAD_SOCKETS && l->waiting_max)
        full = fmax(full, fmin(1, (double)l->pending / l->waiting_max));
    if (l->known & AGENT_LOAD_MEMORY && l->ram_total) {
        double left = (double)(l->ram_free + l->swap_free) / (double)l->ram_total;
        full = fmax(full, left < 0.1 ? 1 - 5 * left : 0);
    }
    return (float)full;
}

static json_t *findings_view(const struct farm_agent *g)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < g->finding_count; i++) {
        const struct farm_agent_finding *f = &g->finding[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i, s:s, s:s}", "severity", f->breaks ? "breaks" : "hurts", "setting",
                                              f->key, "value", f->value, "wanted", f->want, "why", f->why, "do", f->fix));
    }
    return list;
}

static json_t *load_view(const struct farm_agent *g)
{
    const struct agent_load *l = &g->load;
    if (!g->load_ms)
        return json_null();
    return json_pack("{s:f, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:f, s:i, s:i, s:f}", "full", (double)farm_agent_full(l), "connections",
                     (int)l->connections, "pending", (int)l->pending, "waiting", (int)l->waiting, "listeners", (int)l->listeners,
                     "ram-free", (json_int_t)l->ram_free, "ram-total", (json_int_t)l->ram_total, "swap-free", (json_int_t)l->swap_free,
                     "swap-total", (json_int_t)l->swap_total, "cpu-idle", l->cpu_idle, "running", (int)l->running, "processors",
                     (int)l->processors, "load1", l->load1);
}

static json_t *counters_view(const struct farm_agent *g)
{
    json_t *o = json_object();
    for (unsigned i = 0; i < g->counter_count; i++)
        if (g->counter[i])
            json_object_set_new(o, node_counter_name((enum node_counter)i), json_integer((json_int_t)g->counter[i]));
    return o;
}

json_t *farm_agents_view(const struct farm_agents *a)
{
    json_t *list = json_array();
    uint64_t now = a ? clock_mono_ms(a->farm->clock) : 0;
    for (unsigned i = 0; a && i < a->count; i++) {
        const struct farm_agent *g = &a->agent[i];
        char text[ADDR_TEXT];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:f, s:s, s:b, s:s, s:b, s:b, s:I, s:I, s:o, s:o, s:o}", "agent", g->name, "node",
                            addr_format(&a->farm->nodes[g->node].addr, text), "state",
                            g->link ? "connected" : g->since_ms ? "lost" : "never seen", "since",
                            g->since_ms ? (double)(now - g->since_ms) / 1000 : 0.0, "software", g->software, "adopts", g->adopts, "why",
                            g->why, "scanned", g->scanned, "writable", g->writable, "files", (json_int_t)g->files, "room",
                            (json_int_t)g->room, "load", load_view(g), "findings", findings_view(g), "counters", counters_view(g)));
    }
    return list;
}

void farm_agents_metrics(const struct farm_agents *a, api_metric_fn *fn, void *fn_ctx)
{
    unsigned connected = 0;
    for (unsigned i = 0; a && i < a->count; i++)
        connected += a->agent[i].link != NULL;
    fn(fn_ctx, "pointsman_agents", "", "gauge", "Agents that servers name.", a ? a->count : 0);
    fn(fn_ctx, "pointsman_agents_connected", "", "gauge", "Agents that are connected.", connected);
}
