/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http and https through curl. A lean client of our own for plain http is not worth its code: measured with
 * tests/bench/httpcheck.c a check costs 38 us of CPU, of which 28 us are what the bare system calls of one connection
 * cost as well.
 */
#include <string.h>
#include "monitor/http_params.h"

static void judge(struct curlm_job *job, CURLcode code, struct probe_result *r)
{
    const struct http_params *w = job->probe->params;
    long version = 0;
    if (code != CURLE_OK)
        return;
    curl_easy_getinfo(job->easy, CURLINFO_HTTP_VERSION, &version);
    if (w->version == HTTP_VERSION_2 && version != CURL_HTTP_VERSION_2_0) {
        r->status = PROBE_FAIL;
        snprintf(r->why, sizeof(r->why), "answered in HTTP/1, wanted HTTP/2");
        return;
    }
    http_judge(w, r->code, &job->body, r);
}

static void set_method(CURL *e, const char *method)
{
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    } else if (strcmp(method, "POST") == 0) {
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, 0L);
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, "");
    } else if (strcmp(method, "GET") != 0) {
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, method);
    }
}

static long curl_version_of(const struct http_params *w, bool tls)
{
    if (w->version == HTTP_VERSION_2)
        return tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
    return CURL_HTTP_VERSION_1_1;
}

static void start(struct probe *p, bool tls)
{
    const struct http_params *w = p->params;
    const char *host = w->host ? w->host : p->host;
    struct curlm_job *job = curlm_job_new(p, tls ? "https" : "http", host, w->path, tls ? &w->tls : NULL);
    if (!job)
        return;
    job->judge = judge;
    job->size_max = w->size_max;
    job->keep_body = w->body || w->regex;
    set_method(job->easy, w->method);
    curl_easy_setopt(job->easy, CURLOPT_HTTP_VERSION, curl_version_of(w, tls));
    curl_easy_setopt(job->easy, CURLOPT_PATH_AS_IS, 1L);
    if (w->header_list)
        curl_easy_setopt(job->easy, CURLOPT_HTTPHEADER, w->header_list);
    if (w->follow) {
        curl_easy_setopt(job->easy, CURLOPT_FOLLOWLOCATION, 1L);
        curl_easy_setopt(job->easy, CURLOPT_MAXREDIRS, 5L);
    }
    curlm_job_start(job);
}

static void http_start(struct probe *p)
{
    start(p, false);
}

static void https_start(struct probe *p)
{
    start(p, true);
}

static const char *const versions[] = {"1.1", "2", NULL};

#define HTTP_KEYS                                                                                                      \
    {.name = "path", .type = CONF_STRING, .offset = offsetof(struct http_params, path), .def = "/",                    \
     .doc = "What to ask for, with the query."},                                                                       \
    {.name = "method", .type = CONF_STRING, .offset = offsetof(struct http_params, method), .def = "GET",              \
     .doc = "The request method: GET, HEAD, POST, OPTIONS ..."},                                                       \
    {.name = "host", .type = CONF_STRING, .offset = offsetof(struct http_params, host),                                \
     .doc = "The name for the Host header (and, with TLS, for SNI and the certificate); without it, the name of the "  \
            "service."},                                                                                               \
    {.name = "headers", .type = CONF_STRING, .offset = offsetof(struct http_params, headers), .flags = CONF_LIST,      \
     .doc = "More request headers, each as 'Name: value'."},                                                           \
    {.name = "status", .type = CONF_STRING, .offset = offsetof(struct http_params, status), .flags = CONF_LIST,        \
     .def = "200-399", .doc = "Which answers are good: codes (200), classes (2xx) and ranges (200-299)."},             \
    {.name = "body", .type = CONF_STRING, .offset = offsetof(struct http_params, body),                                \
     .doc = "A text that must be in the body."},                                                                       \
    {.name = "body-regex", .type = CONF_STRING, .offset = offsetof(struct http_params, regex),                         \
     .doc = "A regular expression (PCRE2, ^ and $ at lines) that the body must match. One that takes too long on a "   \
            "page is a failed check."},                                                                                \
    {.name = "size-max", .type = CONF_SIZE, .offset = offsetof(struct http_params, size_max), .def = "64k", .min = 1,  \
     .max = 64.0 * 1024 * 1024,                                                                                        \
     .doc = "A body larger than this is a failed check, whatever was found in it before."},                            \
    {.name = "version", .type = CONF_ENUM, .offset = offsetof(struct http_params, version), .def = "1.1",              \
     .sub = versions, .doc = "The version of HTTP; with 2, an answer in another one is a failed check."},              \
    {.name = "follow-redirects", .type = CONF_BOOL, .offset = offsetof(struct http_params, follow), .def = "no",       \
     .doc = "Follow up to five redirects. Every step goes to the target's own address and port, whatever host the "    \
            "redirect names."}

static const struct conf_key http_keys[] = {HTTP_KEYS};
static const struct conf_key https_keys[] = {HTTP_KEYS, CURLM_TLS_KEYS(struct http_params, tls)};

const struct conf_object monitor_http_object = {
    .name = "http",
    .doc = "Asks for a page. Good when it comes back whole, with a wanted status and, if asked, a text in its body.",
    .size = sizeof(struct http_params),
    CONF_KEYS(http_keys),
    .shorthand = "path",
    .check = http_params_check,
};

const struct conf_object monitor_https_object = {
    .name = "https",
    .doc = "As http, over TLS; also tells when the certificate expires.",
    .size = sizeof(struct http_params),
    CONF_KEYS(https_keys),
    .shorthand = "path",
    .check = http_params_check,
};

const struct monitor_module monitor_http = {
    .object = &monitor_http_object, .uses_host = true,
    .default_port = 80,
    .start = http_start,
    .cancel = curlm_cancel,
    .open = curlm_open,
    .close = curlm_close,
};

const struct monitor_module monitor_https = {
    .object = &monitor_https_object, .uses_host = true,
    .default_port = 443,
    .start = https_start,
    .cancel = curlm_cancel,
    .open = curlm_open,
    .close = curlm_close,
};
