/* SPDX-License-Identifier: Apache-2.0 */
/* imap: greeting, perhaps STARTTLS, NOOP or a login with a mailbox's STATUS, LOGOUT (RFC 9051). */
#include <string.h>
#include "conf/load.h"
#include "monitor/dialog.h"

struct imap_params {
    struct dialog_params dialog;
};

static const struct conf_key keys[] = {DIALOG_KEYS(struct imap_params)};

/* Untagged lines belong to the reply; our tag, "p", ends it. The greeting is untagged. */
static int line(const struct dialog *d, const char *text)
{
    if (d->step == 0)
        return strncasecmp(text, "* OK", 4) == 0 || strncasecmp(text, "* PREAUTH", 9) == 0 ? 1 : -1;
    if (text[0] == '*')
        return strncasecmp(text, "* BYE", 5) == 0 ? -1 : 0;
    return strncasecmp(text, "p OK", 4) == 0 ? 1 : -1;
}

/* A quoted string (RFC 9051 section 4.3); the check function refuses what cannot be quoted. */
static void put_quoted(struct buf *out, const char *s)
{
    buf_putc(out, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_putc(out, '\\');
        buf_putc(out, *s);
    }
    buf_putc(out, '"');
}

static enum dialog_next step(const struct dialog *d, unsigned n, int code, struct buf *out)
{
    const struct dialog_params *p = dialog_params(d);
    if (p->tls == DIALOG_STARTTLS_MODE) {
        if (n == 0) {
            buf_puts(out, "p STARTTLS");
            return DIALOG_SEND;
        }
        if (n == 1)
            return DIALOG_STARTTLS;
        n -= 2;
    }
    if (n == 0 && p->user) {
        buf_puts(out, "p LOGIN ");
        put_quoted(out, p->user);
        buf_putc(out, ' ');
        put_quoted(out, p->password);
        return DIALOG_SEND;
    }
    if (n == 0 || (n == 1 && p->user)) {
        buf_puts(out, p->user ? "p STATUS INBOX (MESSAGES)" : "p NOOP");
        return DIALOG_SEND;
    }
    buf_puts(out, "p LOGOUT");
    return DIALOG_GOOD;
}

static const struct dialog_protocol protocol = {line, step};

static void start(struct probe *p)
{
    dialog_start(p, &protocol);
}

static void check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    dialog_check(ctx, node, object);
}

const struct conf_object monitor_imap_object = {.name = "imap",
                                                .doc = "IMAP greeting and NOOP, with a user the login and the state of INBOX.",
                                                .size = sizeof(struct imap_params),
                                                CONF_KEYS(keys),
                                                .check = check};
const struct monitor_module monitor_imap = {.object = &monitor_imap_object, .default_port = 143, .uses_host = true, .start = start,
                                            .cancel = dialog_cancel};
