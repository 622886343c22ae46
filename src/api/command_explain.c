/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "api/facts.h"
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

json_t *api_explain(struct api_call *c)
{
    const struct api_host *h = c->host;
    const char *name = api_value(c, "name")->text;
    const struct prefix *client = api_given(c, "client") ? &api_value(c, "client")->client : NULL;
    uint64_t at = api_value(c, "at")->ms;
    if (at > clock_wall_ms(h->clock))
        return api_fail(c, "bad-argument", "at: that time is still to come");
    int64_t service = h->service_of(h->ctx, name);
    const char *type = api_value(c, "type")->text ? api_value(c, "type")->text : default_type(h, service);
    json_t *decision, *answer = NULL;
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
    json_t *name_json = json_string(name), *type_json = json_string(type), *front = NULL;
    if (decision && !at)
        front = h->front(h->ctx, (uint32_t)service, json_object_get(decision, "order"), api_value(c, "url")->text);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "name", name_json, "type", type_json, "at", api_time_json(at),
                     "explain", decision ? decision : json_null(), "front", front ? front : json_null(), "answer",
                     answer ? answer : json_null());
}
