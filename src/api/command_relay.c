/* SPDX-License-Identifier: Apache-2.0 */
/* relay, agents, ready, sessions. */
#include <string.h>
#include "api/facts.h"

static const char no_relay[] = "no front end at this balancer's site has `relay`, or `relay.interfaces` names none";

json_t *api_relay(struct api_call *c)
{
    json_t *relay = c->host->relay(c->host->ctx);
    return relay ? relay : api_fail(c, "not-found", no_relay);
}

json_t *api_ready(struct api_call *c)
{
    const char *why = c->host->unready ? c->host->unready(c->host->ctx) : NULL;
    return why ? api_fail(c, "not-ready", "%s", why) : json_pack("{s:b}", "ready", 1);
}

/* An address, with or without a port. */
static int vip_read(struct api_call *c, const char *text, struct endpoint *out)
{
    *out = (struct endpoint){0};
    if (addr_parse(text, &out->addr) == PM_OK || endpoint_parse(text, 0, out) == PM_OK)
        return PM_OK;
    api_fail(c, "bad-argument", "vip \"%.80s\": an address is wanted, with or without a port", text);
    return PM_EINVAL;
}

json_t *api_agents(struct api_call *c)
{
    json_t *agents = c->host->agents(c->host->ctx);
    return agents ? agents : api_fail(c, "not-found", no_relay);
}

json_t *api_sessions(struct api_call *c)
{
    const struct api_host *h = c->host;
    const char *vip = api_value(c, "vip")->text;
    struct api_sessions q = {.client = api_given(c, "client") ? &api_value(c, "client")->client : NULL,
                             .server = api_value(c, "server")->text,
                             .limit = (uint32_t)api_value(c, "limit")->count};
    if (vip && vip_read(c, vip, &q.vip))
        return NULL;
    json_t *sessions = h->sessions(h->ctx, &q);
    if (!sessions)
        return api_fail(c, "not-found", no_relay);
    /* A wrong name would look as a server without clients. */
    if (!json_integer_value(json_object_get(sessions, "total")) && q.server && strcmp(q.server, API_FRONT_END) != 0 &&
        !h->server_count(h->ctx, q.server)) {
        json_decref(sessions);
        return api_fail(c, "not-found", "no server of this site is called \"%.253s\"", q.server);
    }
    return sessions;
}
