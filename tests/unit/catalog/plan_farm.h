/* SPDX-License-Identifier: Apache-2.0 */
/* A small farm, and what the planner says about it in one line, for the tests of its rules. */
#ifndef PM_TESTS_PLAN_FARM_H
#define PM_TESTS_PLAN_FARM_H

#include "../cmocka_pm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "catalog/plan.h"

enum { NODES = 6, FIRST = 1 }; /* ids FIRST .. NODES, all up and empty; a test changes what it is about */

struct farm {
    struct directory *d;
    struct usage *u; /* its rates are those of now */
    struct planner *p;
    struct plan_node nodes[NODES];
    struct plan_action pending[4];
    struct plan_input in;
    struct buf text;
};

static inline void farm_open(struct farm *f)
{
    *f = (struct farm){.d = directory_new(1, 0), .p = planner_new(1)};
    f->in = (struct plan_input){
        .nodes = f->nodes,
        .node_count = NODES,
        .pending = f->pending,
        .policy =
            {.copies_min = 2, .down_for_ms = 60000, .cold_after_ms = 3600000, .max_actions = 100, .max_reports = 100},
        .now = 1000000000,
    };
    for (uint16_t i = 0; i < NODES; i++)
        f->nodes[i] = (struct plan_node){.id = FIRST + i, .free = 1000000, .weight = 1, .allowed = true};
}

static inline void farm_close(struct farm *f)
{
    buf_fini(&f->text);
    usage_free(f->u);
    planner_free(f->p);
    directory_free(f->d);
}

static inline struct plan_node *node(struct farm *f, uint16_t id)
{
    return &f->nodes[id - FIRST];
}

static inline struct directory_key key_of(const char *path)
{
    return (struct directory_key){"h", DIRECTORY_EXACT, path, strlen(path)};
}

/* The path is on these nodes ("123"), all with this content. */
static inline void has_content(struct farm *f, const char *path, const char *nodes, uint64_t size, uint64_t hash)
{
    struct directory_key key = key_of(path);
    struct directory_content content = {size, hash};
    for (; *nodes; nodes++)
        assert_int_equal(directory_add(f->d, &key, (uint16_t)(*nodes - '0'), DIRECTORY_SCANNED, &content), 0);
}

static inline void has(struct farm *f, const char *path, const char *nodes)
{
    has_content(f, path, nodes, 1000, 7);
}

static inline void lacks(struct farm *f, const char *path, uint16_t id)
{
    struct directory_key key = key_of(path);
    assert_int_equal(directory_remove(f->d, &key, id, DIRECTORY_SCANNED), 0);
}

/* From now on the path has this many requests per second, as others that were given one at the same time. */
static inline void rate(struct farm *f, const char *path, uint64_t per_second)
{
    struct directory_key key = key_of(path);
    usage_add(f->u, &key, per_second, 0, f->in.now - 1000);
}

static inline void rates_anew(struct farm *f)
{
    usage_free(f->u);
    f->u = usage_new(1, 16, 1ull << 40, f->in.now - 1000);
}

/* "copy /a 1>2 hot; remove /b 3 cold; no-room /c 1; divergent /d 2" */
static inline const char *plan_with(struct farm *f, uint32_t step, struct plan_figures *figures)
{
    assert_int_equal(plan_begin(f->p, f->d, f->u, &f->in), 0);
    while (plan_step(f->p, step))
        ;
    const struct plan *plan = plan_end(f->p);
    buf_clear(&f->text);
    for (size_t i = 0; i < plan->action_count; i++) {
        const struct plan_action *a = &plan->actions[i];
        assert_string_equal(a->host, "h");
        assert_int_equal(strlen(a->path), a->len);
        buf_printf(&f->text, a->kind == PLAN_COPY ? "copy %s %u>%u %s; " : "remove %s %u%.0u %s; ", a->path, a->from,
                   a->kind == PLAN_COPY ? a->to : 0u, plan_reason_name(a->reason));
    }
    for (size_t i = 0; i < plan->cannot_count; i++)
        buf_printf(&f->text, "%s %s %u; ", plan_reason_name(plan->cannots[i].reason), plan->cannots[i].path,
                   plan->cannots[i].copies);
    for (size_t i = 0; i < plan->conflict_count; i++)
        buf_printf(&f->text, "%s %s %u; ", plan_reason_name(plan->conflicts[i].reason), plan->conflicts[i].path,
                   plan->conflicts[i].copies);
    if (figures)
        *figures = plan->figures;
    return buf_str(&f->text);
}

static inline const char *plan(struct farm *f)
{
    return plan_with(f, 3, NULL);
}

#endif
