/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/curl_multi.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include "base/arena.h"
#include "monitor/text.h"

enum { POOL_MAX = 512, EVENTS_MAX = 64, HEAD_MAX = 128 * 1024, RECEIVE_BUFFER = 16 * 1024 };

struct curlm {
    struct curlm *next; /* of all loops */
    uv_loop_t *loop;
    CURLM *multi;
    uv_poll_t poll; /* of epoll_fd */
    uv_timer_t timer;
    int epoll_fd;
    unsigned refs, closing;
    CURL *pool[POOL_MAX];
    unsigned pooled;
};

const char *const curlm_use_tls_names[] = {"off", "starttls", "implicit", NULL};

static struct curlm *all_loops;

/* ---- between curl and the loop ---- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
    struct curlm *m = ctx;
    struct epoll_event ev = {.data.fd = fd};
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(m->epoll_fd, EPOLL_CTL_DEL, fd, &ev);
        return 0;
    }
    if (what & CURL_POLL_IN)
        ev.events |= EPOLLIN;
    if (what & CURL_POLL_OUT)
        ev.events |= EPOLLOUT;
    if (epoll_ctl(m->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) != 0) {
        /* curl remembers a socket it once told of, even when its number has meanwhile been another connection's */
        int again = errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
        if (epoll_ctl(m->epoll_fd, again, fd, &ev) != 0)
            return -1;
    }
    if (!known)
        curl_multi_assign(m->multi, fd, m); /* any pointer: "known" */
    return 0;
}

static void job_finish(struct curlm_job *job, CURLcode code);
static void job_free(struct curlm_job *job);
static void curlm_release(struct curlm *m);

/* Ends what curl has finished. Those who hear of it may start, cancel and close, so nothing is kept across. */
static void finish_all(struct curlm *m)
{
    CURLMsg *msg;
    int left;
    m->refs++;
    while ((msg = curl_multi_info_read(m->multi, &left)) != NULL) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURLcode code = msg->data.result;
        char *private = NULL;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
        job_finish((struct curlm_job *)(void *)private, code);
    }
    curlm_release(m);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct curlm *m = poll->data;
    struct epoll_event ev[EVENTS_MAX];
    int running;
    int n = epoll_wait(m->epoll_fd, ev, EVENTS_MAX, 0);
    for (int i = 0; i < n; i++) {
        int what = (ev[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) | (ev[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0);
        if (ev[i].events & (EPOLLERR | EPOLLHUP))
            what |= CURL_CSELECT_ERR;
        curl_multi_socket_action(m->multi, ev[i].data.fd, what, &running);
    }
    finish_all(m);
}

static void on_timer(uv_timer_t *timer)
{
    struct curlm *m = timer->data;
    int running;
    curl_multi_socket_action(m->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    finish_all(m);
}

static int on_timeout(CURLM *multi, long ms, void *ctx)
{
    struct curlm *m = ctx;
    if (m->closing)
        return 0;
    if (ms < 0)
        uv_timer_stop(&m->timer);
    else
        uv_timer_start(&m->timer, on_timer, (uint64_t)ms, 0);
    return 0;
}

/* ---- one per loop ---- */

static struct curlm *curlm_new(uv_loop_t *loop)
{
    static bool global;
    if (!global && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return NULL;
    global = true;
    struct curlm *m = mem_alloc(sizeof(*m));
    m->loop = loop;
    m->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    m->multi = curl_multi_init();
    if (m->epoll_fd < 0 || !m->multi || uv_poll_init(loop, &m->poll, m->epoll_fd) != 0) {
        if (m->multi)
            curl_multi_cleanup(m->multi);
        if (m->epoll_fd >= 0)
            close(m->epoll_fd);
        free(m);
        return NULL;
    }
    uv_timer_init(loop, &m->timer);
    m->poll.data = m->timer.data = m;
    uv_poll_start(&m->poll, UV_READABLE, on_poll);
    curl_multi_setopt(m->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(m->multi, CURLMOPT_SOCKETDATA, m);
    curl_multi_setopt(m->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(m->multi, CURLMOPT_TIMERDATA, m);
    m->next = all_loops;
    all_loops = m;
    return m;
}

static void on_closed(uv_handle_t *h)
{
    struct curlm *m = h->data;
    if (--m->closing == 0)
        free(m);
}

static void curlm_release(struct curlm *m)
{
    if (--m->refs > 0)
        return;
    struct curlm **at = &all_loops;
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    m->closing = 2;
    while (m->pooled > 0)
        curl_easy_cleanup(m->pool[--m->pooled]);
    curl_multi_cleanup(m->multi);
    uv_close((uv_handle_t *)&m->poll, on_closed);
    uv_close((uv_handle_t *)&m->timer, on_closed);
    close(m->epoll_fd);
}

int curlm_open(uv_loop_t *loop, void **shared)
{
    struct curlm *m = all_loops;
    while (m && m->loop != loop)
        m = m->next;
    if (!m)
        m = curlm_new(loop);
    if (!m)
        return PM_ENOMEM;
    m->refs++;
    *shared = m;
    return 0;
}

void curlm_close(void *shared)
{
    curlm_release(shared);
}

/* ---- callbacks of a transfer ---- */

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct curlm_job *job = ctx;
    n *= size;
    job->bytes += n;
    if (job->size_max && job->bytes > job->size_max) {
        job->too_big = true;
        return n ? 0 : 1; /* another number than n ends the transfer */
    }
    if (job->keep_body)
        buf_add(&job->body, data, n);
    return n;
}

/* Asks the connection for the peer's certificate while it is there. */
static void note_certificate(struct curlm_job *job)
{
    struct curl_tlssessioninfo *info = NULL;
    if (curl_easy_getinfo(job->easy, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK || !info || !info->internals ||
        info->backend != CURLSSLBACKEND_OPENSSL)
        return;
    X509 *cert = SSL_get0_peer_certificate((SSL *)info->internals);
    struct tm tm;
    if (cert && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1)
        job->cert_expiry_s = (int64_t)timegm(&tm) - (int64_t)time(NULL);
}

static size_t on_head(char *data, size_t size, size_t n, void *ctx)
{
    struct curlm_job *job = ctx;
    n *= size;
    job->head_bytes += n;
    if (job->head_bytes > HEAD_MAX) {
        job->too_big = true;
        return n ? 0 : 1;
    }
    if (job->tls && job->cert_expiry_s == INT64_MIN)
        note_certificate(job);
    return n;
}

static int on_sockopt(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
    struct curlm_job *job = ctx;
    if (job->fd < 0)
        job->fd = fd;
    return CURL_SOCKOPT_OK;
}

static bool is_goodbye(const char *data, size_t n)
{
    static const char quit[] = "QUIT\r\n", logout[] = " LOGOUT\r\n";
    if (n == sizeof(quit) - 1)
        return memcmp(data, quit, n) == 0;
    return n > sizeof(logout) - 1 && memcmp(data + n - (sizeof(logout) - 1), logout, sizeof(logout) - 1) == 0;
}

/* curl has sent its goodbye and goes on to wait for the answer, blocking: let it meet the end of the stream instead. */
static int on_debug(CURL *easy, curl_infotype type, char *data, size_t n, void *ctx)
{
    struct curlm_job *job = ctx;
    if (type != CURLINFO_HEADER_OUT || job->fd < 0 || !is_goodbye(data, n))
        return 0;
    if (!job->asks_quit)
        shutdown(job->fd, SHUT_RD);
    job->asks_quit = false;
    return 0;
}

/* ---- jobs ---- */

static void job_fail_local(struct probe *p, const char *why)
{
    struct probe_result r = probe_result_make(PROBE_LOCAL, "%s", why);
    p->state = NULL;
    probe_done(p, &r);
}

static CURL *easy_get(struct curlm *m)
{
    return m->pooled > 0 ? m->pool[--m->pooled] : curl_easy_init();
}

/* The URL. The port is left out when it is the scheme's own or part of the host text: it shows in the Host header. */
static bool job_url(struct curlm_job *job, const char *scheme, const char *host, const char *path)
{
    const struct probe *p = job->probe;
    struct addr literal;
    char url[2048], port[8] = "";
    bool v6 = strchr(host, ':') && addr_parse(host, &literal) == 0;
    if ((v6 || !strrchr(host, ':')) && p->target.port != p->module->default_port)
        snprintf(port, sizeof(port), ":%u", p->target.port);
    int n = snprintf(url, sizeof(url), "%s://%s%s%s%s%s", scheme, v6 ? "[" : "", host, v6 ? "]" : "", port, path);
    return n > 0 && (size_t)n < sizeof(url) && curl_easy_setopt(job->easy, CURLOPT_URL, url) == CURLE_OK;
}

static bool job_common(struct curlm_job *job, const char *scheme)
{
    CURL *e = job->easy;
    char to[ENDPOINT_TEXT + 2] = "::";
    endpoint_format(&job->probe->target, to + 2);
    job->connect_to = curl_slist_append(NULL, to);
    if (!job->connect_to)
        return false;
    curl_easy_setopt(e, CURLOPT_CONNECT_TO, job->connect_to);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, scheme);
    curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, scheme);
    curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "pointsman/" PM_VERSION);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, job->error);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, job);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, job);
    curl_easy_setopt(e, CURLOPT_PRIVATE, job);
    return true;
}

static void job_tls(struct curlm_job *job)
{
    CURL *e = job->easy;
    curl_easy_setopt(e, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, job->tls->verify ? 1L : 0L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, job->tls->verify ? 2L : 0L);
    /* With a folder of authorities curl would read the whole bundle again for every connection. */
    curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    if (job->tls->ca_file)
        curl_easy_setopt(e, CURLOPT_CAINFO, job->tls->ca_file);
}

struct curlm_job *curlm_job_new(struct probe *p, const char *scheme, const char *host, const char *path,
                                const struct curlm_tls *tls)
{
    struct curlm_job *job = mem_alloc(sizeof(*job));
    job->multi = p->shared;
    job->probe = p;
    job->tls = tls;
    job->cert_expiry_s = INT64_MIN;
    job->fd = -1;
    p->state = job;
    job->easy = easy_get(job->multi);
    /* host may come from a name the peer of another protocol chose: it must not become another URL */
    if (job->easy && monitor_text_ok(host, false) && !strpbrk(host, "/?#@\\%") && job_common(job, scheme) &&
        job_url(job, scheme, host, path)) {
        if (tls)
            job_tls(job);
        return job;
    }
    job_free(job);
    job_fail_local(p, "cannot set up the request");
    return NULL;
}

void curlm_job_quits(struct curlm_job *job)
{
    curl_easy_setopt(job->easy, CURLOPT_SOCKOPTFUNCTION, on_sockopt);
    curl_easy_setopt(job->easy, CURLOPT_SOCKOPTDATA, job);
    curl_easy_setopt(job->easy, CURLOPT_DEBUGFUNCTION, on_debug);
    curl_easy_setopt(job->easy, CURLOPT_DEBUGDATA, job);
    curl_easy_setopt(job->easy, CURLOPT_VERBOSE, 1L);
}

void curlm_job_start(struct curlm_job *job)
{
    struct probe *p = job->probe;
    CURLMcode rc = curl_multi_add_handle(job->multi->multi, job->easy);
    if (rc == CURLM_OK)
        return;
    job_free(job);
    job_fail_local(p, curl_multi_strerror(rc));
}

static void job_free(struct curlm_job *job)
{
    struct curlm *m = job->multi;
    if (job->easy) {
        curl_easy_reset(job->easy);
        if (m->pooled < POOL_MAX)
            m->pool[m->pooled++] = job->easy;
        else
            curl_easy_cleanup(job->easy);
    }
    curl_slist_free_all(job->connect_to);
    buf_fini(&job->body);
    free(job);
}

void curlm_cancel(struct probe *p)
{
    struct curlm_job *job = p->state;
    if (!job)
        return;
    p->state = NULL;
    curl_multi_remove_handle(job->multi->multi, job->easy);
    job_free(job);
}

static const char *job_why(const struct curlm_job *job, CURLcode code, enum probe_status s, long os_errno)
{
    if (os_errno != 0 && (s == PROBE_REFUSED || s == PROBE_RESET || s == PROBE_UNREACH || s == PROBE_LOCAL))
        return strerror((int)os_errno);
    if (s == PROBE_CLOSED)
        return code == CURLE_GOT_NOTHING ? "closed without an answer" : "closed before the answer was complete";
    return job->error[0] ? job->error : curl_easy_strerror(code);
}

static void judge_common(const struct curlm_job *job, CURLcode code, struct probe_result *r)
{
    long os_errno = 0;
    if (code == CURLE_OK)
        return;
    curl_easy_getinfo(job->easy, CURLINFO_OS_ERRNO, &os_errno);
    if (job->too_big) {
        r->status = PROBE_FAIL;
        snprintf(r->why, sizeof(r->why), "%s",
                 job->head_bytes > HEAD_MAX ? "header too large" : "answer larger than size-max");
        return;
    }
    if (code == CURLE_OUT_OF_MEMORY && r->connect_ns > 0) {
        /* so curl calls a line of header beyond its own limit; want of memory would have ended us before */
        r->status = PROBE_FAIL;
        snprintf(r->why, sizeof(r->why), "header too large");
        return;
    }
    r->status = curlm_status(code, os_errno);
    if (r->status == PROBE_LOCAL && r->code > 0)
        r->status = PROBE_FAIL; /* it has answered: what could not be done came from the answer, as a bad redirect */
    snprintf(r->why, sizeof(r->why), "%.*s", (int)sizeof(r->why) - 1, job_why(job, code, r->status, os_errno));
}

static void judge_certificate(const struct curlm_job *job, struct probe_result *r)
{
    r->cert_expiry_s = job->cert_expiry_s;
    if (r->status != PROBE_OK || !job->tls || !job->tls->cert_days || r->cert_expiry_s == INT64_MIN)
        return;
    if (r->cert_expiry_s >= (int64_t)job->tls->cert_days * 86400)
        return;
    r->status = PROBE_FAIL;
    if (r->cert_expiry_s < 0)
        snprintf(r->why, sizeof(r->why), "certificate has expired");
    else
        snprintf(r->why, sizeof(r->why), "certificate expires in %lld days, wanted %u",
                 (long long)(r->cert_expiry_s / 86400), job->tls->cert_days);
}

static void job_finish(struct curlm_job *job, CURLcode code)
{
    struct probe *p = job->probe;
    struct probe_result r = probe_result_make(PROBE_OK, "%s", "");
    curl_off_t connect_us = 0, total_us = 0;
    long response = 0;
    curl_easy_getinfo(job->easy, CURLINFO_CONNECT_TIME_T, &connect_us);
    curl_easy_getinfo(job->easy, CURLINFO_TOTAL_TIME_T, &total_us);
    curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &response);
    r.connect_ns = (uint64_t)connect_us * 1000;
    r.duration_ns = (uint64_t)total_us * 1000;
    r.code = (int32_t)response;
    r.bytes = job->bytes;
    judge_common(job, code, &r);
    if (job->judge && !job->too_big)
        job->judge(job, code, &r);
    judge_certificate(job, &r);
    curl_multi_remove_handle(job->multi->multi, job->easy);
    job_free(job);
    p->state = NULL;
    probe_done(p, &r);
}

/* ---- small rules ---- */

static enum probe_status status_of_code(CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return PROBE_TIMEOUT;
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR: /* without an errno: the end of the stream where more was due */
    case CURLE_SEND_ERROR:
        return PROBE_CLOSED;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_USE_SSL_FAILED:
        return code == CURLE_SSL_CACERT_BADFILE ? PROBE_LOCAL : PROBE_TLS;
    case CURLE_COULDNT_CONNECT:
        return PROBE_UNREACH;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
    case CURLE_URL_MALFORMAT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_SSL_ENGINE_INITFAILED:
        return PROBE_LOCAL;
    default:
        return PROBE_FAIL;
    }
}

enum probe_status curlm_status(CURLcode code, long os_errno)
{
    bool transport = code == CURLE_COULDNT_CONNECT || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
                     code == CURLE_SSL_CONNECT_ERROR;
    if (code == CURLE_OK)
        return PROBE_OK;
    if (transport && os_errno != 0 && os_errno != EAGAIN && os_errno != EINPROGRESS) {
        enum probe_status s = probe_status_from_errno((int)os_errno);
        if (code != CURLE_SSL_CONNECT_ERROR || s == PROBE_RESET || s == PROBE_TIMEOUT)
            return s;
    }
    return status_of_code(code);
}
