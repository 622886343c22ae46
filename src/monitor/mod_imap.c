/* SPDX-License-Identifier: Apache-2.0 */
/* imap: greeting, CAPABILITY, STARTTLS and login if asked, NOOP, LOGOUT (RFC 9051). */
#include "monitor/line_params.h"

static void imap_start(struct probe *p)
{
    struct curlm_job *job = line_job_new(p, "imap", "/");
    if (!job)
        return;
    curl_easy_setopt(job->easy, CURLOPT_CUSTOMREQUEST, "NOOP");
    curlm_job_start(job);
}

static const struct conf_key keys[] = {LINE_KEYS, LINE_LOGIN_KEYS};

const struct conf_object monitor_imap_object = {
    .name = "imap",
    .doc = "An IMAP server: good when it greets and answers NOOP; with a user, when the login works.",
    .size = sizeof(struct line_params),
    CONF_KEYS(keys),
    .check = line_params_check,
};

const struct monitor_module monitor_imap = {
    .object = &monitor_imap_object, .uses_host = true,
    .default_port = 143,
    .start = imap_start,
    .cancel = curlm_cancel,
    .open = curlm_open,
    .close = curlm_close,
};
