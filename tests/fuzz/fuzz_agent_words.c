/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message between agent and balancer that says anything. What is read must lie in the message, and what was read is
 * written and read again the same.
 */
#include <stdlib.h>
#include <string.h>
#include "mesh/agent_words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(const void *p, size_t n, const uint8_t *data, size_t size)
{
    const uint8_t *at = p;
    if (n && (at < data || at + n > data + size))
        abort();
}

static void files(struct mesh_reader *r, bool gone, const uint8_t *data, size_t size)
{
    static uint8_t space[MESH_MESSAGE_MAX];
    struct agent_file_word f, g;
    while ((gone ? agent_get_gone(r, &f) : agent_get_file(r, &f)) == PM_OK) {
        inside(f.host.p, f.host.n, data, size);
        inside(f.path.p, f.path.n, data, size);
        struct mesh_writer w = mesh_writer(space, sizeof space);
        agent_put_file(&w, &f);
        struct mesh_reader again = mesh_reader(space, w.len);
        if (w.full || agent_get_file(&again, &g) != PM_OK || !mesh_str_eq(f.host, g.host) || f.path.n != g.path.n || f.size != g.size)
            abort();
    }
}

static void order(struct mesh_reader *r, const uint8_t *data, size_t size)
{
    struct agent_order_word o;
    struct endpoint e;
    if (agent_get_order(r, &o) != PM_OK)
        return;
    inside(o.path.p, o.path.n, data, size);
    for (unsigned i = 0; i < o.sources && agent_get_endpoint(r, &e) == PM_OK; i++)
        if (e.addr.family != ADDR_V4 && e.addr.family != ADDR_V6)
            abort();
}

static void task(struct mesh_reader *r, const uint8_t *data, size_t size)
{
    struct agent_task_word t;
    struct agent_place_word p;
    struct addr a;
    if (agent_get_task(r, &t) != PM_OK)
        return;
    inside(t.secret, AGENT_SECRET, data, size);
    for (unsigned i = 0; i < t.sources && agent_get_source(r, &a) == PM_OK; i++)
        ;
    while (agent_get_place(r, &p) == PM_OK)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mesh_reader r = mesh_reader(data, size);
    struct agent_hello_word h;
    struct agent_report_word p;
    struct agent_result_word a;
    struct agent_finding_word f;
    uint8_t word;
    if (agent_open(&r, &word) != PM_OK)
        return 0;
    switch (word) {
    case AGENT_HELLO:
        if (agent_get_hello(&r, &h) == PM_OK)
            inside(h.why.p, h.why.n, data, size);
        break;
    case AGENT_REPORT:
        if (agent_get_report(&r, &p) == PM_OK && p.counter_count > AGENT_COUNTERS_MAX)
            abort();
        break;
    case AGENT_FINDINGS:
        while (agent_get_finding(&r, &f) == PM_OK)
            inside(f.fix.p, f.fix.n, data, size);
        break;
    case AGENT_FILES:
    case AGENT_GONE:
        files(&r, word == AGENT_GONE, data, size);
        break;
    case AGENT_RESULT:
        if (agent_get_result(&r, &a) == PM_OK)
            inside(a.text.p, a.text.n, data, size);
        break;
    case AGENT_TASK:
        task(&r, data, size);
        break;
    case AGENT_ORDER:
        order(&r, data, size);
        break;
    }
    return 0;
}
