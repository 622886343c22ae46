/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Error codes. A function that can fail returns int: 0, or one of these negative codes. One line in PM_ERRORS adds
 * a code; its symbol is what programs see (`--json`, the control socket), its text what people see.
 *
 * Thread: any (constant data). Ownership: the strings are static.
 */
#ifndef PM_BASE_ERR_H
#define PM_BASE_ERR_H

/* symbol, name for programs, text for people */
#define PM_ERRORS(X)                                                                               \
    X(NOMEM, "no-memory", "out of memory")                                                         \
    X(INVAL, "invalid", "invalid argument")                                                        \
    X(RANGE, "out-of-range", "value out of range")                                                 \
    X(PARSE, "parse", "cannot be parsed")                                                          \
    X(NOTFOUND, "not-found", "not found")                                                          \
    X(EXISTS, "exists", "already exists")                                                          \
    X(TOOBIG, "too-big", "too large")                                                              \
    X(SHORT, "truncated", "input ends too early")                                                  \
    X(SPACE, "no-space", "output does not fit")                                                    \
    X(IO, "io", "input/output error")                                                              \
    X(PERM, "permission", "permission denied")                                                     \
    X(INUSE, "in-use", "address already in use")                                                   \
    X(TIMEOUT, "timeout", "timed out")                                                             \
    X(REFUSED, "refused", "refused")                                                               \
    X(RESET, "reset", "connection reset")                                                          \
    X(UNREACH, "unreachable", "unreachable")                                                       \
    X(PROTO, "protocol", "protocol violation")                                                     \
    X(TLS, "tls", "TLS failure")                                                                   \
    X(CONFIG, "config", "configuration has errors")                                                \
    X(UNSUPPORTED, "unsupported", "not supported on this system")                                  \
    X(BUSY, "busy", "busy, try again")                                                             \
    X(AGAIN, "again", "would block")                                                               \
    X(CANCELED, "canceled", "canceled")

enum pm_err {
    PM_OK = 0,
    PM_ERR_BASE_ = -1000,
#define X(sym, name, text) PM_E##sym,
    PM_ERRORS(X)
#undef X
    PM_ERR_END_
};

#define PM_MUST_CHECK __attribute__((warn_unused_result))
#define PM_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define PM_NONNULL(...) __attribute__((nonnull(__VA_ARGS__)))
#define PM_LIKELY(x) __builtin_expect(!!(x), 1)
#define PM_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PM_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define PM_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* Name for programs ("not-found"); "unknown" for a code not in the table. */
const char *err_name(int err);
/* Text for people ("not found"). */
const char *err_text(int err);
/* The code for an errno value (ENOENT -> PM_ENOTFOUND ...); PM_EIO when nothing fits better. */
int err_from_errno(int errnum) PM_MUST_CHECK;

#endif
