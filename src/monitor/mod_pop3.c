/* SPDX-License-Identifier: Apache-2.0 */
/* pop3: greeting, perhaps STLS, perhaps a login with STAT, QUIT (RFC 1939, RFC 2595). */
#include <string.h>
#include "monitor/dialog.h"

struct pop3_params {
    struct dialog_params dialog;
};

static const struct conf_key keys[] = {DIALOG_KEYS(struct pop3_params)};

static int line(const struct dialog *d, const char *text)
{
    return strncmp(text, "+OK", 3) == 0 ? 1 : -1;
}

static enum dialog_next step(const struct dialog *d, unsigned n, int code, struct buf *out)
{
    const struct dialog_params *p = dialog_params(d);
    if (p->tls == DIALOG_STARTTLS_MODE) {
        if (n == 0) {
            buf_puts(out, "STLS");
            return DIALOG_SEND;
        }
        if (n == 1)
            return DIALOG_STARTTLS;
        n -= 2;
    }
    if (n == 0 && p->user)
        buf_printf(out, "USER %s", p->user);
    else if (n == 1)
        buf_printf(out, "PASS %s", p->password);
    else if (n == 2)
        buf_puts(out, "STAT");
    else
        buf_puts(out, "QUIT");
    return strcmp(buf_str(out), "QUIT") == 0 ? DIALOG_GOOD : DIALOG_SEND;
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

const struct conf_object monitor_pop3_object = {.name = "pop3",
                                                .doc = "POP3 greeting, and with a user the login and STAT (A3).",
                                                .size = sizeof(struct pop3_params),
                                                CONF_KEYS(keys),
                                                .check = check};
const struct monitor_module monitor_pop3 = {.object = &monitor_pop3_object, .default_port = 110, .uses_host = true, .start = start,
                                            .cancel = dialog_cancel};
