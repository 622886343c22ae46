/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an http or https check asks for and expects; and how an answer is judged. The first part is what a configuration writes; the second is made from it once, by the
 * objects' check, so that starting a probe parses nothing.
 *
 * Memory: the arena of the configuration. Thread: control, read only after loading.
 */
#ifndef PM_MONITOR_HTTP_PARAMS_H
#define PM_MONITOR_HTTP_PARAMS_H

#include "monitor/body_match.h"
#include "monitor/curl_multi.h"

enum http_version { HTTP_VERSION_11, HTTP_VERSION_2 };

struct http_codes {
    uint16_t low, high; /* inclusive */
};

struct http_params {
    const char *method, *path, *host;
    struct conf_list headers; /* const char *: "Name: value" */
    struct conf_list status;  /* const char * */
    const char *body, *regex;
    uint64_t size_max;
    int version; /* enum http_version */
    bool follow;
    struct curlm_tls tls; /* https only */

    struct http_codes *codes;
    uint32_t code_count;
    struct body_regex *compiled;
    struct curl_slist *header_list; /* for curl, which only reads it */
};

void http_params_check(struct conf_ctx *ctx, const struct conf_node *node, void *object);
/* Compares what came back with what was expected; a difference goes to r. */
void http_judge(const struct http_params *w, int32_t code, const struct buf *body, struct probe_result *r);

extern const struct monitor_module monitor_http, monitor_https;
extern const struct conf_object monitor_http_object, monitor_https_object;

#endif
