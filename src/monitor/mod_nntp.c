/* SPDX-License-Identifier: Apache-2.0 */
/* nntp: greeting, perhaps AUTHINFO, perhaps a GROUP that must be there, QUIT (RFC 3977, RFC 4643, RFC 4642). */
#include <string.h>
#include "conf/load.h"
#include "monitor/dialog.h"

struct nntp_params {
    struct dialog_params dialog;
    const char *group;
};

static const struct conf_key keys[] = {
    DIALOG_KEYS(struct nntp_params),
    {"group", CONF_STRING, offsetof(struct nntp_params, group), .doc = "Newsgroup that the server must carry."},
};

static enum dialog_next after_login(const struct nntp_params *p, struct buf *out)
{
    buf_printf(out, p->group ? "GROUP %s" : "QUIT", p->group);
    return p->group ? DIALOG_SEND : DIALOG_GOOD;
}

static enum dialog_next step(const struct dialog *d, unsigned n, int code, struct buf *out)
{
    const struct nntp_params *p = d->probe->params;
    if (p->dialog.tls == DIALOG_STARTTLS_MODE) {
        if (n == 0) {
            buf_puts(out, "STARTTLS");
            return code == 200 || code == 201 ? DIALOG_SEND : DIALOG_BAD;
        }
        if (n == 1)
            return code == 382 ? DIALOG_STARTTLS : DIALOG_BAD;
        n -= 2;
        code = n == 0 ? 200 : code;
    }
    if (n == 0) {
        if (code != 200 && code != 201)
            return DIALOG_BAD;
        if (!p->dialog.user)
            return after_login(p, out);
        buf_printf(out, "AUTHINFO USER %s", p->dialog.user);
        return DIALOG_SEND;
    }
    if (p->dialog.user && n == 1) {
        buf_printf(out, "AUTHINFO PASS %s", p->dialog.password);
        return code == 381 ? DIALOG_SEND : DIALOG_BAD;
    }
    if (p->dialog.user && n == 2)
        return code == 281 ? after_login(p, out) : DIALOG_BAD;
    buf_puts(out, "QUIT");
    return code == 211 ? DIALOG_GOOD : DIALOG_BAD;
}

static const struct dialog_protocol protocol = {dialog_code_line, step};

static void start(struct probe *p)
{
    dialog_start(p, &protocol);
}

static void check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    const struct nntp_params *p = object;
    dialog_check(ctx, node, &p->dialog);
    if (p->group && strpbrk(p->group, "\r\n "))
        conf_error(ctx, node, "a group's name has no spaces or line ends");
}

const struct conf_object monitor_nntp_object = {.name = "nntp",
                                                .doc = "NNTP greeting, and with a group whether the server carries it (A3).",
                                                .size = sizeof(struct nntp_params),
                                                CONF_KEYS(keys),
                                                .check = check};
const struct monitor_module monitor_nntp = {.object = &monitor_nntp_object, .default_port = 119, .uses_host = true, .start = start,
                                            .cancel = dialog_cancel};
