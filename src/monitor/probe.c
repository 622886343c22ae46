/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/probe.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const status_names[PROBE_STATUS_COUNT] = {
    [PROBE_OK] = "ok",           [PROBE_FAIL] = "fail",     [PROBE_REFUSED] = "refused",
    [PROBE_RESET] = "reset",     [PROBE_CLOSED] = "closed", [PROBE_TIMEOUT] = "timeout",
    [PROBE_UNREACH] = "unreach", [PROBE_TLS] = "tls",       [PROBE_LOCAL] = "local",
};

const char *probe_status_name(enum probe_status s)
{
    return (unsigned)s < PROBE_STATUS_COUNT ? status_names[s] : "unknown";
}

void probe_done(struct probe *p, const struct probe_result *r)
{
    p->done(p, r);
}

/* Reasons come from the other side's bytes too: whatever would break a line of log or table becomes
 * '?'. */
static void make_printable(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c >= 0x7f)
            *c = '?';
}

struct probe_result probe_result_make(enum probe_status s, const char *fmt, ...)
{
    struct probe_result r = {.status = s, .cert_expiry_s = INT64_MIN, .hops = -1};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r.why, sizeof r.why, fmt, ap);
    va_end(ap);
    make_printable(r.why);
    return r;
}

enum probe_status probe_status_from_errno(int err)
{
    if (err == UV_EOF)
        return PROBE_CLOSED;
    switch (abs(err)) {
    case 0:
        return PROBE_OK;
    case ECONNREFUSED:
        return PROBE_REFUSED;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
        return PROBE_RESET;
    case ETIMEDOUT:
        return PROBE_TIMEOUT;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case ENONET:
        return PROBE_UNREACH;
    /* Nothing of the target is in these: our limits, our rights, our addresses. */
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EAGAIN:
    case EACCES:
    case EPERM:
    case EADDRNOTAVAIL:
    case EADDRINUSE:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case ENOSYS:
        return PROBE_LOCAL;
    default:
        return PROBE_FAIL;
    }
}

void probe_done_errno(struct probe *p, int err, const char *what)
{
    const char *text = err == UV_EOF ? "closed early" : strerror(abs(err));
    struct probe_result r = probe_result_make(probe_status_from_errno(err), "%s: %s", what, text);
    probe_done(p, &r);
}
