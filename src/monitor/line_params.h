/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What checks of the text protocols (ftp, smtp, pop3, imap) have in common: how they come to TLS, who logs in. The
 * modules add a key or two and say what they ask.
 *
 * Memory: the arena of the configuration. Thread: control.
 */
#ifndef PM_MONITOR_LINE_PARAMS_H
#define PM_MONITOR_LINE_PARAMS_H

#include "monitor/curl_multi.h"

struct line_params {
    int use_tls; /* enum curlm_use_tls */
    struct curlm_tls tls;
    const char *user, *password;
    const char *argument; /* ftp: file; smtp: the name to say EHLO with */
};

#define LINE_KEYS                                                                                                      \
    {.name = "tls", .type = CONF_ENUM, .offset = offsetof(struct line_params, use_tls), .def = "off",                  \
     .sub = curlm_use_tls_names,                                                                                       \
     .doc = "off: in the clear; starttls: the protocol's command for it must work; implicit: TLS from the first "      \
            "byte (give the port)."},                                                                                  \
    CURLM_TLS_KEYS(struct line_params, tls)
#define LINE_LOGIN_KEYS                                                                                                \
    {.name = "user", .type = CONF_STRING, .offset = offsetof(struct line_params, user),                                \
     .doc = "Log in as this user; without it, the check does not log in."},                                            \
    {.name = "password", .type = CONF_STRING, .offset = offsetof(struct line_params, password),                        \
     .flags = CONF_SECRET, .doc = "The user's password."}

/* The objects' check: no control characters in what becomes a command; a password only with a user. */
void line_params_check(struct conf_ctx *ctx, const struct conf_node *node, void *object);
/* A job with TLS and login set; scheme "smtp" becomes "smtps" with implicit TLS. NULL: the probe has ended. */
struct curlm_job *line_job_new(struct probe *p, const char *scheme, const char *path);

extern const struct monitor_module monitor_ftp, monitor_smtp, monitor_pop3, monitor_imap;
extern const struct conf_object monitor_ftp_object, monitor_smtp_object, monitor_pop3_object, monitor_imap_object;

#endif
