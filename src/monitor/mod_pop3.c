/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pop3: greeting, CAPA, STLS and login if asked, then a command that changes nothing (RFC 1939). NOOP exists only after
 * a login; before it, QUIT is the one command without arguments that every server must know.
 */
#include "monitor/line_params.h"

static void pop3_start(struct probe *p)
{
    const struct line_params *l = p->params;
    struct curlm_job *job = line_job_new(p, "pop3", "/");
    if (!job)
        return;
    curl_easy_setopt(job->easy, CURLOPT_CUSTOMREQUEST, l->user ? "NOOP" : "QUIT");
    job->asks_quit = !l->user;
    curlm_job_start(job);
}

static const struct conf_key keys[] = {LINE_KEYS, LINE_LOGIN_KEYS};

const struct conf_object monitor_pop3_object = {
    .name = "pop3",
    .doc = "A POP3 server: good when it greets and answers; with a user, when the login works.",
    .size = sizeof(struct line_params),
    CONF_KEYS(keys),
    .check = line_params_check,
};

const struct monitor_module monitor_pop3 = {
    .object = &monitor_pop3_object, .uses_host = true,
    .default_port = 110,
    .start = pop3_start,
    .cancel = curlm_cancel,
    .open = curlm_open,
    .close = curlm_close,
};
