/* SPDX-License-Identifier: Apache-2.0 */
/* What a front end with `relay: transfer` needs: a client that says first what it wants, and servers that can be told apart. */
#include <string.h>
#include "model/config_build.h"

enum { ALPN_MAX = 255 };

/* Protocols whose server has the first word (R12): its client waits for it, and nothing says which server is meant. */
static const struct {
    uint16_t port;
    const char *name;
} server_first[] = {
    {20, "FTP data"}, {21, "FTP"},         {22, "SSH"},  {23, "telnet"}, {25, "SMTP"},    {110, "POP3"},
    {119, "NNTP"},    {143, "IMAP"},       {587, "SMTP"},  {2525, "SMTP"},  {3306, "MySQL"},
    {4190, "ManageSieve"}, {5900, "VNC"},
};

static const char *speaks_first(uint32_t port)
{
    for (size_t i = 0; i < PM_ARRAY_LEN(server_first); i++)
        if (server_first[i].port == port)
            return server_first[i].name;
    return NULL;
}

void config_transfer_check(struct conf_ctx *ctx, const struct conf_node *node, const struct cfg_front *f)
{
    const uint32_t *ports = f->ports.items;
    if (f->mode == CFG_FRONT_FTP)
        conf_error(ctx, node,
                   "an FTP server speaks first, so nothing says which one a connection is for: leave 'relay' out, or use mode tcp "
                   "with 'relay: clients', which keeps a client's data connections with its session");
    else if (f->mode != CFG_FRONT_SERVE && f->mode != CFG_FRONT_TCP)
        conf_error(ctx, node, "connections are transferred by the modes serve (HTTP) and tcp (TLS)");
    for (uint32_t i = 0; f->mode == CFG_FRONT_TCP && i < f->ports.count; i++) {
        const char *name = speaks_first(ports[i]);
        if (name)
            conf_error(ctx, node,
                       "at port %u (%s) the server speaks first, so nothing says which one a connection is for: use 'relay: packets'",
                       (unsigned)ports[i], name);
    }
}

static bool transfers(const struct cfg_service *s, int mode)
{
    bool any = false;
    CONFIG_EACH(struct cfg_front, f, s->fronts)
        any |= f->relay == CFG_RELAY_TRANSFER && f->mode == mode;
    return any;
}

void config_transfer_servers_check(struct conf_ctx *ctx, const struct cfg_service *s, const struct cfg_service_site *at)
{
    bool http = transfers(s, CFG_FRONT_SERVE), tls = transfers(s, CFG_FRONT_TCP);
    CONFIG_EACH(struct cfg_server, v, at->servers) {
        if (v->alpn.count && !tls)
            conf_error_mark(ctx, &v->mark, "'alpn' needs a front end with 'mode: tcp' and 'relay: transfer'");
        if (v->h2c && !http)
            conf_error_mark(ctx, &v->mark, "'h2c' needs a front end with 'mode: serve' and 'relay: transfer'");
        for (uint32_t i = 0; i < v->alpn.count; i++) {
            size_t n = strlen(((const char *const *)v->alpn.items)[i]);
            if (!n || n > ALPN_MAX)
                conf_error_mark(ctx, &v->mark, "the name of a protocol has 1 to 255 bytes");
        }
    }
}
