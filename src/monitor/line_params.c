/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/line_params.h"

#include <string.h>
#include "conf/load.h"
#include "monitor/text.h"

enum { ARGUMENT_MAX = 500 };

void line_params_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    const struct line_params *l = object;
    if (l->user && !monitor_text_ok(l->user, true))
        conf_error(ctx, node, "user must not be empty or have control characters");
    if (l->password && *l->password && !monitor_text_ok(l->password, true))
        conf_error(ctx, node, "password must not have control characters");
    if (l->password && !l->user)
        conf_error(ctx, node, "password without user");
    if (l->argument && (!monitor_text_ok(l->argument, true) || strlen(l->argument) > ARGUMENT_MAX))
        conf_error(ctx, node, "'%.40s' must be one line of at most %d characters", l->argument, ARGUMENT_MAX);
}

struct curlm_job *line_job_new(struct probe *p, const char *scheme, const char *path)
{
    const struct line_params *l = p->params;
    char full[8];
    snprintf(full, sizeof(full), "%s%s", scheme, l->use_tls == CURLM_TLS_IMPLICIT ? "s" : "");
    struct curlm_job *job = curlm_job_new(p, full, p->host, path, l->use_tls != CURLM_TLS_OFF ? &l->tls : NULL);
    if (!job)
        return NULL;
    curlm_job_quits(job);
    curl_easy_setopt(job->easy, CURLOPT_NOBODY, 1L);
    if (l->use_tls == CURLM_TLS_STARTTLS)
        curl_easy_setopt(job->easy, CURLOPT_USE_SSL, (long)CURLUSESSL_ALL);
    if (l->user) {
        curl_easy_setopt(job->easy, CURLOPT_USERNAME, l->user);
        curl_easy_setopt(job->easy, CURLOPT_PASSWORD, l->password ? l->password : "");
    }
    return job;
}
