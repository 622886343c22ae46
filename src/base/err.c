/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>

static const struct {
    const char *name, *text;
} errors[] = {
#define X(sym, n, t) {n, t},
    PM_ERRORS(X)
#undef X
};

const char *err_name(int err)
{
    if (err == PM_OK)
        return "ok";
    if (err <= PM_ERR_BASE_ || err >= PM_ERR_END_)
        return "unknown";
    return errors[err - PM_ERR_BASE_ - 1].name;
}

const char *err_text(int err)
{
    if (err == PM_OK)
        return "success";
    if (err <= PM_ERR_BASE_ || err >= PM_ERR_END_)
        return "unknown error";
    return errors[err - PM_ERR_BASE_ - 1].text;
}

int err_from_errno(int errnum)
{
    switch (errnum) {
    case 0:
        return PM_OK;
    case ENOMEM:
    case ENOBUFS:
        return PM_ENOMEM;
    case ENOENT:
    case ENOTDIR:
        return PM_ENOTFOUND;
    case EEXIST:
        return PM_EEXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return PM_EPERM;
    case EADDRINUSE:
        return PM_EINUSE;
    case ETIMEDOUT:
        return PM_ETIMEOUT;
    case ECONNREFUSED:
        return PM_EREFUSED;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
        return PM_ERESET;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL:
        return PM_EUNREACH;
    case EPROTO:
        return PM_EPROTO;
    case EMSGSIZE:
    case ENAMETOOLONG:
        return PM_ETOOBIG;
    case EBUSY:
        return PM_EBUSY;
    case ECANCELED:
        return PM_ECANCELED;
    case EOPNOTSUPP:
    case EAFNOSUPPORT: /* a kernel without IPv6 */
    case EPROTONOSUPPORT:
    case ENOSYS:
        return PM_EUNSUPPORTED;
    case EAGAIN:
        return PM_EAGAIN;
    case EINVAL:
        return PM_EINVAL;
    default:
        return PM_EIO;
    }
}
