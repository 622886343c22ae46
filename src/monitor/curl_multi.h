/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl on the libuv loop, shared by the modules that speak through it (http, https, ftp, smtp, pop3, imap): one curl
 * multi handle per loop, counted by module->open and module->close.
 *
 *   curl's sockets -> one epoll set -> one uv_poll -> curl_multi_socket_action -> finished jobs -> judge -> probe_done
 *
 * The epoll set between them spares a uv_poll handle, its allocation and three system calls for every connection.
 *
 * What always holds:
 *   - every check is a connection of its own: no reuse, no TLS session, no cookie, no proxy, no .netrc, no DNS (the
 *     target's address is given by CONNECT_TO, so the name is only for Host, SNI and the certificate);
 *   - probe_done is never called from inside a curl callback, so whoever hears it may start and cancel other probes;
 *   - curl never blocks the loop. For FTP, SMTP, POP3 and IMAP it says QUIT at the end and would wait for the answer
 *     with the whole thread; the job closes its reading side as the QUIT leaves, so there is nothing to wait for.
 *
 * Memory: a job belongs to its probe (p->state); easy handles are kept in a pool. Thread: control. Failure: a probe that
 * cannot be started ends PROBE_LOCAL.
 */
#ifndef PM_MONITOR_CURL_MULTI_H
#define PM_MONITOR_CURL_MULTI_H

#include <curl/curl.h>
#include "base/buf.h"
#include "monitor/probe.h"

struct curlm;

/* What each check that may use TLS can say about it; CURLM_TLS_KEYS are its keys. */
struct curlm_tls {
    bool verify;
    const char *ca_file; /* NULL = the system's */
    uint32_t cert_days;  /* fewer days left is a failure; 0 = not asked */
};
#define CURLM_TLS_KEYS(owner, field)                                                                                    \
    {.name = "verify", .type = CONF_BOOL, .offset = offsetof(owner, field.verify), .def = "yes",                        \
     .doc = "Verify the certificate chain and that it is made out to the host."},                                      \
    {.name = "ca-file", .type = CONF_PATH, .offset = offsetof(owner, field.ca_file),                                    \
     .doc = "PEM file of the authorities to trust; without it, the system's."},                                        \
    {.name = "min-cert-days", .type = CONF_UINT, .offset = offsetof(owner, field.cert_days), .def = "0", .min = 0,      \
     .max = 3650, .unit = "days", .doc = "Fail when the certificate expires sooner than this; 0: do not ask."}

/* How a text protocol comes to TLS. */
enum curlm_use_tls { CURLM_TLS_OFF, CURLM_TLS_STARTTLS, CURLM_TLS_IMPLICIT };
extern const char *const curlm_use_tls_names[];

struct curlm_job {
    struct curlm *multi;
    struct probe *probe;
    CURL *easy;
    /* Looks at a transfer that curl calls good, or that it ended with `code`, and may change the verdict in r. */
    void (*judge)(struct curlm_job *job, CURLcode code, struct probe_result *r);
    const struct curlm_tls *tls; /* NULL = TLS plays no part */
    struct curl_slist *connect_to;
    struct buf body;       /* filled when keep_body */
    bool keep_body;
    bool too_big;          /* ended because size_max was passed */
    uint64_t size_max;     /* of the body; 0 = no limit but keep nothing */
    uint64_t bytes, head_bytes;
    int64_t cert_expiry_s; /* INT64_MIN until a certificate is seen */
    bool asks_quit;        /* the first QUIT is the job's own command, whose answer counts */
    int fd;                /* the (control) connection, for the QUIT rule above; -1 = none */
    char error[CURL_ERROR_SIZE];
};

/* Modules' open and close. */
int curlm_open(uv_loop_t *loop, void **shared);
void curlm_close(void *shared);

/*
 * A job for p with everything set that all protocols share, for scheme://host[:port]path; path starts with '/'. NULL:
 * the probe has been ended with PROBE_LOCAL.
 */
struct curlm_job *curlm_job_new(struct probe *p, const char *scheme, const char *host, const char *path,
                                const struct curlm_tls *tls);
/* For protocols that end with a QUIT. */
void curlm_job_quits(struct curlm_job *job);
void curlm_job_start(struct curlm_job *job);
/* Modules' cancel. */
void curlm_cancel(struct probe *p);

/* What a failed transfer says about the target; os_errno as of CURLINFO_OS_ERRNO. */
enum probe_status curlm_status(CURLcode code, long os_errno);

#endif
