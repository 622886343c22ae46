/* SPDX-License-Identifier: Apache-2.0 */
/* smtp: greeting, EHLO, perhaps STARTTLS, perhaps MAIL and RCPT for an address that must be taken, QUIT (RFC 5321, 3207). */
#include <string.h>
#include "conf/load.h"
#include "monitor/dialog.h"

struct smtp_params {
    struct dialog_params dialog;
    const char *helo, *recipient;
};

static const struct conf_key keys[] = {
    {"helo", CONF_STRING, offsetof(struct smtp_params, helo), .def = "pointsman.invalid", .doc = "Name given with EHLO."},
    {"recipient", CONF_STRING, offsetof(struct smtp_params, recipient),
     .doc = "Address that the server must be ready to take mail for; no mail is sent."},
    {"tls", CONF_ENUM, offsetof(struct smtp_params, dialog.tls), .def = "no", .sub = dialog_tls_names,
     .doc = "no; starttls: upgrade the connection; yes: TLS from the start (set the port accordingly)."},
    {"ca", CONF_PATH, offsetof(struct smtp_params, dialog.ca), .doc = "File of certificates to trust instead of the system's."},
    {"verify", CONF_BOOL, offsetof(struct smtp_params, dialog.verify), .def = "yes",
     .doc = "Whether the certificate must be valid for the host."},
};

static enum dialog_next step(const struct dialog *d, unsigned n, int code, struct buf *out)
{
    const struct smtp_params *p = d->probe->params;
    if (p->dialog.tls == DIALOG_STARTTLS_MODE) {
        if (n == 0) {
            buf_printf(out, "EHLO %s", p->helo);
            return code == 220 ? DIALOG_SEND : DIALOG_BAD;
        }
        if (n == 1) {
            buf_puts(out, "STARTTLS");
            return code == 250 ? DIALOG_SEND : DIALOG_BAD;
        }
        if (n == 2)
            return code == 220 ? DIALOG_STARTTLS : DIALOG_BAD;
        n -= 3;
        code = n == 0 ? 220 : code;
    }
    switch (n) {
    case 0:
        buf_printf(out, "EHLO %s", p->helo);
        return code == 220 ? DIALOG_SEND : DIALOG_BAD;
    case 1:
        buf_puts(out, p->recipient ? "MAIL FROM:<>" : "QUIT");
        if (code != 250)
            return DIALOG_BAD;
        return p->recipient ? DIALOG_SEND : DIALOG_GOOD;
    case 2:
        buf_printf(out, "RCPT TO:<%s>", p->recipient);
        return code == 250 ? DIALOG_SEND : DIALOG_BAD;
    default:
        buf_puts(out, "QUIT");
        return code == 250 || code == 251 ? DIALOG_GOOD : DIALOG_BAD;
    }
}

static const struct dialog_protocol protocol = {dialog_code_line, step};

static void start(struct probe *p)
{
    dialog_start(p, &protocol);
}

static void check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    const struct smtp_params *p = object;
    if (strpbrk(p->helo, "\r\n ") || (p->recipient && strpbrk(p->recipient, "\r\n<> ")))
        conf_error(ctx, node, "helo and recipient cannot hold spaces, angle brackets or line ends");
}

const struct conf_object monitor_smtp_object = {.name = "smtp",
                                                .doc = "SMTP greeting and EHLO, with a recipient also whether mail for it would be taken (A3).",
                                                .size = sizeof(struct smtp_params),
                                                CONF_KEYS(keys),
                                                .check = check};
const struct monitor_module monitor_smtp = {.object = &monitor_smtp_object, .default_port = 25, .uses_host = true, .start = start,
                                            .cancel = dialog_cancel};
