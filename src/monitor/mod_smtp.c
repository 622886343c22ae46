/* SPDX-License-Identifier: Apache-2.0 */
/* smtp: greeting, EHLO, STARTTLS and login if asked, NOOP, QUIT (RFC 5321). */
#include "monitor/line_params.h"

static void smtp_start(struct probe *p)
{
    const struct line_params *l = p->params;
    char path[512];
    snprintf(path, sizeof(path), "/%s", l->argument ? l->argument : ""); /* curl says EHLO with the path */
    struct curlm_job *job = line_job_new(p, "smtp", path);
    if (!job)
        return;
    curl_easy_setopt(job->easy, CURLOPT_CUSTOMREQUEST, "NOOP");
    curlm_job_start(job);
}

static const struct conf_key keys[] = {
    LINE_KEYS,
    LINE_LOGIN_KEYS,
    {.name = "helo", .type = CONF_NAME, .offset = offsetof(struct line_params, argument),
     .doc = "The name to say EHLO with; without it, this host's own."},
};

const struct conf_object monitor_smtp_object = {
    .name = "smtp",
    .doc = "A mail server: good when it greets and answers EHLO and NOOP.",
    .size = sizeof(struct line_params),
    CONF_KEYS(keys),
    .check = line_params_check,
};

const struct monitor_module monitor_smtp = {
    .object = &monitor_smtp_object, .uses_host = true,
    .default_port = 25,
    .start = smtp_start,
    .cancel = curlm_cancel,
    .open = curlm_open,
    .close = curlm_close,
};
