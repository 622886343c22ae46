/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ftp: greeting, AUTH TLS if asked, USER and PASS, and for a file its SIZE; no data connection (RFC 959, RFC 3659).
 * Without a user the check says USER anonymous, and a server that refuses anonymous guests is as alive as one that
 * lets them in.
 */
#include <string.h>
#include "monitor/line_params.h"

enum { FTP_NOT_AVAILABLE = 421, FTP_NOT_LOGGED_IN = 530 };

static void ftp_judge(struct curlm_job *job, CURLcode code, struct probe_result *r)
{
    const struct line_params *l = job->probe->params;
    if (code == CURLE_LOGIN_DENIED && r->code == FTP_NOT_LOGGED_IN && !l->user && !l->argument) {
        r->status = PROBE_OK;
        r->why[0] = '\0';
    } else if (code == CURLE_OPERATION_TIMEDOUT && r->code == FTP_NOT_AVAILABLE) {
        r->status = PROBE_FAIL; /* curl calls it a timeout, but the server has spoken */
        snprintf(r->why, sizeof(r->why), "service not available (421)");
    }
}

static void ftp_start(struct probe *p)
{
    const struct line_params *l = p->params;
    struct curlm_job *job;
    char *escaped = l->argument ? curl_easy_escape(NULL, l->argument, 0) : NULL;
    char path[1600];
    /* slashes become %2F and stay the file's own: no CWD, and "/a" is not "a" */
    snprintf(path, sizeof(path), "/%s", escaped ? escaped : "");
    curl_free(escaped);
    job = line_job_new(p, "ftp", path);
    if (!job)
        return;
    job->judge = ftp_judge;
    curl_easy_setopt(job->easy, CURLOPT_FTP_FILEMETHOD, (long)CURLFTPMETHOD_NOCWD);
    curlm_job_start(job);
}

static const struct conf_key keys[] = {
    LINE_KEYS,
    LINE_LOGIN_KEYS,
    {.name = "file", .type = CONF_STRING, .offset = offsetof(struct line_params, argument),
     .doc = "A file whose size the server must know."},
};

const struct conf_object monitor_ftp_object = {
    .name = "ftp",
    .doc = "An FTP server: good when it greets and answers a login; with a user or a file, when the login works.",
    .size = sizeof(struct line_params),
    CONF_KEYS(keys),
    .check = line_params_check,
};

const struct monitor_module monitor_ftp = {
    .object = &monitor_ftp_object, .uses_host = true,
    .default_port = 21,
    .start = ftp_start,
    .cancel = curlm_cancel,
    .open = curlm_open,
    .close = curlm_close,
};
