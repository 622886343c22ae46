/* SPDX-License-Identifier: Apache-2.0 */
/* catalog, catalog plan, catalog apply. */
#include "api/facts.h"

static const char no_relay[] = "no front end at this balancer's site has `relay`, so it has no content directory";

json_t *api_catalog(struct api_call *c)
{
    const struct api_host *h = c->host;
    struct api_catalog q = {.path = api_value(c, "path")->text,
                            .host = api_value(c, "host")->text,
                            .node = api_value(c, "node")->text,
                            .top = api_given(c, "top") ? (uint32_t)api_value(c, "top")->count : 0,
                            .limit = (uint32_t)api_value(c, "limit")->count};
    if (q.path && *q.path != '/' && *q.path != '.')
        return api_fail(c, "bad-argument", "path \"%.80s\": a path, a /folder/ or a .suffix is wanted", q.path);
    if (q.node && !h->server_count(h->ctx, q.node))
        return api_fail(c, "not-found", "no server of this site is called \"%.253s\"", q.node);
    json_t *catalog = h->catalog(h->ctx, &q);
    return catalog ? catalog : api_fail(c, "not-found", no_relay);
}

json_t *api_catalog_plan(struct api_call *c)
{
    json_t *plan = c->host->catalog_plan(c->host->ctx);
    return plan ? plan : api_fail(c, "not-found", no_relay);
}

json_t *api_catalog_apply(struct api_call *c)
{
    const char *error = "not-found";
    struct buf why = BUF_INIT;
    uint64_t plan = api_given(c, "plan") ? (uint64_t)api_value(c, "plan")->count : 0;
    json_t *done = c->host->catalog_apply(c->host->ctx, api_value(c, "dry-run")->flag, plan, &error, &why);
    if (!done)
        api_fail(c, error, "%s", why.len ? buf_str(&why) : no_relay);
    buf_fini(&why);
    return done;
}
