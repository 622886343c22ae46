/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that pass the relay, as measurements: events of the packet programs to samples, samples to the model. */
#include <netinet/in.h>
#include "main/farm_internal.h"

enum { SETTLE_MS = 5000 };

void farm_rtt_event(struct farm *f, const struct relay_event *e)
{
    struct addr client;
    addr_from_bytes(&client, ADDR_V6, e->flow.client); /* IPv4 comes mapped */
    (void)rtt_samples_add(f->samples, &client, ntohs(e->flow.client_port), e->rtt_us, clock_mono_ms(f->clock));
}

void farm_measured(struct farm *f, struct model *m)
{
    uint64_t now = clock_mono_ms(f->clock);
    if (now - f->settled_ms < SETTLE_MS)
        return;
    f->settled_ms = now;
    rtt_settle(model_rtt(m), f->samples, now);
}

void farm_rtt_metrics(const struct farm *f, const struct model *m, api_metric_fn *fn, void *fn_ctx)
{
    struct rtt *r = m ? model_rtt(m) : NULL;
    struct rtt_counters c = r ? *rtt_counters(r) : (struct rtt_counters){0};
    char labels[64];
    for (unsigned v = 0; v < RTT_VERDICT_COUNT; v++) {
        snprintf(labels, sizeof labels, "verdict=\"%s\"", rtt_verdict_name(v));
        fn(fn_ctx, "pointsman_rtt_samples_total", labels, "counter",
           "Round trips measured on relayed connections, by what became of them.",
           f ? (double)rtt_samples_count(f->samples, v) : 0);
    }
    fn(fn_ctx, "pointsman_rtt_prefixes", "", "gauge", "Prefixes of clients with samples of this balancer.",
       f ? (double)rtt_samples_prefixes(f->samples) : 0);
    fn(fn_ctx, "pointsman_rtt_known_prefixes", "", "gauge",
       "Prefixes of which any balancer is sure enough to decide by it.", r ? (double)rtt_prefixes(r) : 0);
    fn(fn_ctx, "pointsman_rtt_records_told_total", "", "counter", "Records of round trips written for other balancers.",
       (double)c.told);
    fn(fn_ctx, "pointsman_rtt_records_heard_total", "", "counter", "Records of round trips heard from other balancers.",
       (double)c.heard);
    fn(fn_ctx, "pointsman_rtt_refused_total", "", "counter", "Prefixes not kept because there are too many.",
       (double)c.refused);
}
