/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protocols of lines and replies (FTP, SMTP, POP3, IMAP, NNTP): wait for the greeting, then send a line and wait for the
 * reply, a few times, then leave politely. A module is a function that says what to send next and how to read a reply;
 * the rest, with STARTTLS and TLS from the start, is here.
 *
 * Thread: control. Bounds: lines of 4 KiB, 200 lines a reply.
 */
#ifndef PM_MONITOR_DIALOG_H
#define PM_MONITOR_DIALOG_H

#include "monitor/stream.h"

struct dialog;

/* What to do after a reply (step 0: the greeting). */
enum dialog_next {
    DIALOG_SEND,     /* out was filled with the next line, without CR LF */
    DIALOG_STARTTLS, /* the reply allows TLS to begin; the next step comes when it stands */
    DIALOG_GOOD,     /* out may hold a parting line */
    DIALOG_BAD       /* the reply is not what it should be */
};

struct dialog_protocol {
    /* How a line counts: 0 = more lines follow, else the reply is complete and this is its code (1 = positive, for
     * protocols without codes; negative = refused). line has no CR LF. */
    int (*line)(const struct dialog *d, const char *line);
    /* After the complete reply of step `step`: out is for the next line. */
    enum dialog_next (*step)(const struct dialog *d, unsigned step, int code, struct buf *out);
};

/* Parameters every protocol has; first in each module's own struct. */
struct dialog_params {
    const char *user, *password, *ca;
    int tls; /* enum dialog_tls */
    bool verify;
};
enum dialog_tls { DIALOG_PLAIN, DIALOG_STARTTLS_MODE, DIALOG_TLS };

struct dialog {
    struct probe *probe;
    const struct dialog_protocol *protocol;
    struct stream *stream;
    unsigned step, lines;
    int64_t cert_expiry_s;
    size_t bytes;
    int code;
    char reply[80]; /* the last line of the last reply, for reasons */
};

extern const char *const dialog_tls_names[];

#define DIALOG_KEYS(type)                                                                                                     \
    {"user", CONF_STRING, offsetof(type, dialog.user), .doc = "Log in as this user; not given: no login."},                   \
        {"password", CONF_STRING, offsetof(type, dialog.password), .flags = CONF_SECRET, .doc = "Password for user."},        \
        {"tls", CONF_ENUM, offsetof(type, dialog.tls), .def = "no", .sub = dialog_tls_names,                                  \
         .doc = "no; starttls: upgrade the connection; yes: TLS from the start (set the port accordingly)."},                 \
        {"ca", CONF_PATH, offsetof(type, dialog.ca), .doc = "File of certificates to trust instead of the system's."},        \
        {"verify", CONF_BOOL, offsetof(type, dialog.verify), .def = "yes", .doc = "Whether the certificate must be valid for the host."}

/* For the modules' start and cancel. params begin with struct dialog_params. */
void dialog_start(struct probe *p, const struct dialog_protocol *protocol);
void dialog_cancel(struct probe *p);
/* Refuses values that could end a line. For the modules' check functions. */
struct conf_ctx;
void dialog_check(struct conf_ctx *ctx, const struct conf_node *node, const struct dialog_params *p);
/* Three digits and a space: the code; three digits and '-': 0 (RFC 959 4.2, RFC 5321 4.2.1, RFC 3977 3.2). */
int dialog_code_line(const struct dialog *d, const char *line);
static inline const struct dialog_params *dialog_params(const struct dialog *d)
{
    return d->probe->params;
}

#endif
