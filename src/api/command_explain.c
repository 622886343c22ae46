/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "api/facts.h"
#include "api/url.h"
#include "policy/explain.h"

/* A, or AAAA where the service has nothing else. */
static const char *default_type(const struct api_host *h, int64_t service)
{
    if (service < 0)
        return "A";
    const struct snap_service *s = h->snapshot(h->ctx)->services[service];
    return !s->family[0].cand_count && s->family[1].cand_count ? "AAAA" : "A";
}

static int explain_decision(struct api_call *c, int64_t service, const char *type, json_t **out)
{
    const struct api_host *h = c->host;
    const union api_value *client = api_value(c, "client");
    struct explain_query q = {.service = (uint32_t)service,
                              .family = strcasecmp(type, "AAAA") == 0,
                              .located = api_given(c, "client"),
                              .at_ms = api_value(c, "at")->ms};
    char since[API_TIME_TEXT];
    *out = NULL;
    if (service < 0 || (!q.family && strcasecmp(type, "A") != 0))
        return PM_OK;
    if (q.located)
        q.client = client->client.addr;
    else
        addr_from_bytes(&q.client, ADDR_V4, (const uint8_t[4]){0});
    int err = explain(h->snapshot(h->ctx), h->model(h->ctx), h->history(h->ctx), &q, out);
    if (err == PM_ENOTFOUND)
        api_fail(c, "not-found", "the history begins at %s: what was before is not remembered",
                 api_time_format(history_since(h->history(h->ctx)), since));
    else if (err)
        api_fail(c, err_name(err), "explain: %s", err_text(err));
    return err;
}

/* ---- the name, from the URL where it is not said ---- */

/* The service that has the address. */
static const char *name_at(const struct api_host *h, const struct addr *address)
{
    const struct model *m = h->model(h->ctx);
    for (uint32_t v = 0; v < model_vip_count(m); v++)
        if (addr_eq(&model_vip(m, v)->config->addr, address))
            return facts_service(m, model_vip(m, v)->service)->name;
    return NULL;
}

/* What is asked: c's URL into q, and the name it is about; NULL after api_fail. */
static const char *read_what(struct api_call *c, struct api_request *q)
{
    const char *name = api_value(c, "name")->text, *url = api_value(c, "url")->text,
               *method = api_value(c, "method")->text;
    char address[ADDR_TEXT];
    q->method = method ? method : "GET";
    for (const char *m = q->method; *m; m++) {
        if ((*m >= 'A' && *m <= 'Z') || *m == '-')
            continue;
        api_fail(c, "bad-argument", "method \"%.40s\": capital letters are wanted, as in GET", q->method);
        return NULL;
    }
    if (api_given(c, "client"))
        q->client = api_value(c, "client")->client.addr;
    if (url && api_url_read(url, q)) {
        api_fail(c, "bad-argument", "url \"%.80s\": http://HOST/PATH is wanted, or https://", url);
        return NULL;
    }
    if (name || !url) {
        if (!name)
            api_fail(c, "bad-argument", "explain needs a name or a url");
        return name;
    }
    if (!q->address.family)
        return q->host;
    name = name_at(c->host, &q->address);
    if (!name)
        api_fail(c, "not-found", "no service has the address %s", addr_format(&q->address, address));
    return name;
}

/* ---- the answer ---- */

static json_t *or_null(json_t *j)
{
    return j ? j : json_null();
}

/* By its name, or as one below the star of a name. */
static int64_t service_named(const struct api_host *h, const char *name)
{
    char wild[256];
    int64_t found = h->service_of(h->ctx, name);
    for (const char *dot = strchr(name, '.'); found < 0 && dot; dot = strchr(dot + 1, '.')) {
        snprintf(wild, sizeof wild, "*%s", dot);
        found = h->service_of(h->ctx, wild);
    }
    return found;
}

static json_t *explained(struct api_call *c, const char *name, const struct api_request *q)
{
    const struct api_host *h = c->host;
    const struct prefix *client = api_given(c, "client") ? &api_value(c, "client")->client : NULL;
    uint64_t at = api_value(c, "at")->ms;
    int64_t service = service_named(h, name);
    const char *type = api_value(c, "type")->text ? api_value(c, "type")->text : default_type(h, service);
    json_t *decision, *answer = NULL, *front = NULL, *relay = NULL;
    if (at && service < 0)
        return api_fail(c, "not-found", "\"%.253s\" is no service: only services have a past to explain", name);
    if (explain_decision(c, service, type, &decision))
        return NULL;
    if (!at) {
        answer = h->answer(h->ctx, name, type, client ? &client->addr : NULL, client ? client->len : 0);
        if (!answer) {
            json_decref(decision);
            return api_fail(c, "bad-argument", "\"%.253s\" %.20s: no domain name, or no record type", name, type);
        }
    }
    if (decision && !at)
        front = h->front(h->ctx, (uint32_t)service, json_object_get(decision, "order"), q->url);
    if (q->url && !at)
        relay = h->relay_explain(h->ctx, service, q);
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "name", name, "type", type, "at", api_time_json(at),
                     "url", q->url ? json_string(q->url) : json_null(), "explain", or_null(decision), "relay",
                     or_null(relay), "front", or_null(front), "answer", or_null(answer));
}

json_t *api_explain(struct api_call *c)
{
    struct api_request q = {.url = NULL};
    json_t *out = NULL;
    if (api_value(c, "at")->ms > clock_wall_ms(c->host->clock))
        return api_fail(c, "bad-argument", "at: that time is still to come");
    const char *name = read_what(c, &q);
    if (name)
        out = explained(c, name, &q);
    buf_fini(&q.target);
    return out;
}
