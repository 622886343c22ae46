/* SPDX-License-Identifier: Apache-2.0 */
/* ftp: greeting, perhaps a login and the size of a file, QUIT (RFC 959, RFC 3659, RFC 4217 for TLS). */
#include <string.h>
#include "monitor/dialog.h"

struct ftp_params {
    struct dialog_params dialog;
    const char *file;
};

static const struct conf_key keys[] = {
    DIALOG_KEYS(struct ftp_params),
    {"file", CONF_STRING, offsetof(struct ftp_params, file), .doc = "File whose SIZE must be told; needs a user."},
};

/* The states of the dialogue by what was sent last; AUTH TLS shifts them by two. */
static enum dialog_next step(const struct dialog *d, unsigned n, int code, struct buf *out)
{
    const struct ftp_params *p = d->probe->params;
    if (p->dialog.tls == DIALOG_STARTTLS_MODE) {
        if (n == 0) {
            buf_puts(out, "AUTH TLS");
            return code == 220 ? DIALOG_SEND : DIALOG_BAD;
        }
        if (n == 1)
            return code == 234 ? DIALOG_STARTTLS : DIALOG_BAD;
        n -= 2;
        code = n == 0 ? 220 : code;
    }
    switch (n) {
    case 0:
        if (code != 220)
            return DIALOG_BAD;
        if (!p->dialog.user) {
            buf_puts(out, "QUIT");
            return DIALOG_GOOD;
        }
        buf_printf(out, "USER %s", p->dialog.user);
        return DIALOG_SEND;
    case 1:
        buf_printf(out, "PASS %s", p->dialog.password);
        return code == 331 ? DIALOG_SEND : DIALOG_BAD;
    case 2:
        buf_printf(out, p->file ? "SIZE %s" : "NOOP", p->file);
        return code == 230 ? DIALOG_SEND : DIALOG_BAD;
    default:
        buf_puts(out, "QUIT");
        return code == (p->file ? 213 : 200) ? DIALOG_GOOD : DIALOG_BAD;
    }
}

static const struct dialog_protocol protocol = {dialog_code_line, step};

static void start(struct probe *p)
{
    dialog_start(p, &protocol);
}

static void check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    dialog_check(ctx, node, object);
}

const struct conf_object monitor_ftp_object = {.name = "ftp",
                                               .doc = "FTP greeting, and with a user the login and a file's size (A3).",
                                               .size = sizeof(struct ftp_params),
                                               CONF_KEYS(keys),
                                               .check = check};
const struct monitor_module monitor_ftp = {.object = &monitor_ftp_object, .default_port = 21, .uses_host = true, .start = start,
                                           .cancel = dialog_cancel};
