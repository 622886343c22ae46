/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/probe.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

const char *probe_status_name(enum probe_status s)
{
    static const char *const names[PROBE_STATUS_COUNT] = {"ok",      "fail",        "refused", "reset", "closed",
                                                          "timeout", "unreachable", "tls",     "local"};
    return s < PROBE_STATUS_COUNT ? names[s] : "unknown";
}

struct probe_result probe_result_make(enum probe_status s, const char *fmt, ...)
{
    struct probe_result r = {.status = s, .cert_expiry_s = INT64_MIN, .hops = -1};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r.why, sizeof r.why, fmt, ap);
    va_end(ap);
    return r;
}

enum probe_status probe_status_from_errno(int err)
{
    switch (err < 0 ? -err : err) {
    case ECONNREFUSED:
        return PROBE_REFUSED;
    case ECONNRESET:
    case EPIPE:
        return PROBE_RESET;
    case ETIMEDOUT:
        return PROBE_TIMEOUT;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL:
        return PROBE_UNREACH;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EPERM:
    case EACCES:
    case EAFNOSUPPORT:
        return PROBE_LOCAL;
    default:
        return PROBE_FAIL;
    }
}
