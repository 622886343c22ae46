/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference manual out of the tables: `pointsman docs DIR` writes DIR/commands.md, stages.md, metrics.md,
 * configuration.md and checks.md; `pointsman docs --man` prints pointsman(8). Nothing in them is written twice.
 *
 * Thread: the one of main. Failure: an exit code (main/cli.h) after one line on stderr; a file is whole or as before.
 */
#ifndef PM_MAIN_DOCS_H
#define PM_MAIN_DOCS_H

#include "api/api.h"
#include "model/config.h"

/* What of the manual is not in the tables that docs.c sees by itself. */
struct docs_input {
    const struct config_registries *registries;
    /* As host->metrics, with whatever values: names, types and help of the other layers' metrics. May be NULL. */
    void (*metrics)(void *ctx, api_metric_fn *fn, void *fn_ctx);
    void *metrics_ctx;
};

int docs_main(int argc, char **argv, const struct docs_input *in);

void docs_commands(struct buf *out);
void docs_stages(struct buf *out);
void docs_metrics(const struct docs_input *in, struct buf *out);
void docs_checks(const struct docs_input *in, struct buf *out);
void docs_man(struct buf *out);

#endif
