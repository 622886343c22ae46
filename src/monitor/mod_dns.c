/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns: asks the target one question, over UDP and, when the reply is truncated or so configured,
 * over TCP (RFC 7766). The socket is connected, so a closed port is refused at once, and replies to
 * another question are not ours.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "base/arena.h"
#include "monitor/conn.h"
#include "monitor/dns_ask.h"

static const char *const type_names[] = {"a",  "aaaa",  "ns",  "soa", "txt",
                                         "mx", "cname", "ptr", "srv", NULL};
static const uint16_t type_codes[] = {1, 28, 2, 6, 16, 15, 5, 12, 33};
static const char *const rcode_names[] = {"noerror", "formerr", "servfail", "nxdomain",
                                          "notimp",  "refused", NULL};
static const char *const transport_names[] = {"udp", "tcp", NULL};

struct dns_params {
    const char *name;
    int type, rcode, transport;
    bool recursion;
    struct addr answer;
};

static const struct conf_key keys[] = {
    {"name", CONF_NAME, offsetof(struct dns_params, name), .flags = CONF_REQUIRED,
     .doc = "Name to ask for."},
    {"type", CONF_ENUM, offsetof(struct dns_params, type), .def = "a", .sub = type_names,
     .doc = "Record type to ask for."},
    {"rcode", CONF_ENUM, offsetof(struct dns_params, rcode), .def = "noerror", .sub = rcode_names,
     .doc = "Response code that counts as good."},
    {"answer", CONF_ADDR, offsetof(struct dns_params, answer),
     .doc = "Address that must be among the answers."},
    {"recursion", CONF_BOOL, offsetof(struct dns_params, recursion), .def = "no",
     .doc = "Whether recursion is desired: yes to check a resolver."},
    {"transport", CONF_ENUM, offsetof(struct dns_params, transport), .def = "udp",
     .sub = transport_names, .doc = "udp turns to TCP for a truncated reply; tcp begins there."},
};

const struct conf_object monitor_dns_object = {
    .name = "dns",
    .doc = "Asks a name server one question.",
    .size = sizeof(struct dns_params),
    .shorthand = "name",
    CONF_KEYS(keys),
};

struct dns {
    uv_udp_t udp;
    bool has_udp, gone;
    struct probe *probe; /* not to be touched once gone */
    struct conn *conn;
    struct buf got;                    /* TCP */
    uint8_t question[2 + DNS_ASK_MAX]; /* after the two octets TCP wants */
    size_t len;
    char bytes[4096];
};

static void on_closed(uv_handle_t *h)
{
    free(h->data);
}

static void release(struct dns *t)
{
    t->probe->state = NULL;
    t->gone = true;
    conn_close(t->conn);
    buf_fini(&t->got);
    if (t->has_udp)
        uv_close((uv_handle_t *)&t->udp, on_closed);
    else
        free(t);
}

static void finish(struct dns *t, uint64_t bytes, struct probe_result r)
{
    struct probe *p = t->probe;
    r.bytes = bytes;
    release(t);
    probe_done(p, &r);
}

static void finish_errno(struct dns *t, int err, const char *what)
{
    finish(t, 0,
           probe_result_make(probe_status_from_errno(err), "%s: %s", what, strerror(abs(err))));
}

static void start_tcp(struct dns *t);

static void on_reply(struct dns *t, const uint8_t *msg, size_t len, bool tcp)
{
    const struct dns_params *params = t->probe->params;
    struct dns_ask_reply reply;
    const struct addr *want = params->answer.family ? &params->answer : NULL;
    enum dns_ask_verdict v = dns_ask_read(msg, len, t->question + 2, t->len, want, &reply);
    if (v == DNS_ASK_OTHER && !tcp)
        return; /* the right one may still come; the scheduler's timeout ends the wait */
    struct probe_result r = probe_result_make(PROBE_OK, "%s", "");
    if (v != DNS_ASK_OK)
        r = probe_result_make(PROBE_FAIL,
                              v == DNS_ASK_OTHER ? "reply to another question" : "malformed reply");
    else if (reply.truncated && !tcp) {
        uv_udp_recv_stop(&t->udp);
        start_tcp(t);
        return;
    } else if (reply.rcode != params->rcode)
        r = probe_result_make(PROBE_FAIL, "rcode %s instead of %s",
                              reply.rcode < 6 ? rcode_names[reply.rcode] : "of another kind",
                              rcode_names[params->rcode]);
    else if (want && !reply.found)
        r = probe_result_make(PROBE_FAIL, "address not among %u answers", reply.answers);
    r.code = reply.rcode;
    finish(t, len, r);
}

static void tcp_connected(void *owner)
{
    struct dns *t = owner;
    t->question[0] = (uint8_t)(t->len >> 8);
    t->question[1] = (uint8_t)t->len;
    conn_write(t->conn, t->question, t->len + 2);
    conn_read(t->conn);
}

static void tcp_data(void *owner, const char *bytes, size_t n)
{
    struct dns *t = owner;
    buf_add(&t->got, bytes, n);
    const uint8_t *p = (const uint8_t *)t->got.data;
    if (t->got.len < 2)
        return;
    size_t len = (size_t)p[0] << 8 | p[1];
    if (t->got.len >= 2 + len)
        on_reply(t, p + 2, len, true);
}

static void tcp_failed(void *owner, int err, const char *what)
{
    struct dns *t = owner;
    if (err == UV_EOF)
        finish(t, t->got.len, probe_result_make(PROBE_CLOSED, "closed before the reply"));
    else
        finish_errno(t, err, what);
}

static const struct conn_calls tcp_calls = {tcp_connected, tcp_data, tcp_failed};

static void start_tcp(struct dns *t)
{
    int err;
    t->conn = conn_open(t->probe->loop, &t->probe->target, &tcp_calls, t, &err);
    if (!t->conn)
        finish_errno(t, err, "connect");
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
    struct dns *t = h->data;
    *out = uv_buf_init(t->bytes, sizeof t->bytes);
}

static void on_udp(uv_udp_t *u, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
                   unsigned flags)
{
    struct dns *t = u->data;
    if (t->gone || (n == 0 && !from))
        return;
    if (n < 0)
        finish_errno(t, (int)n, "receive");
    else
        on_reply(t, (const uint8_t *)buf->base, (size_t)n, false);
}

static void start_udp(struct dns *t)
{
    struct sockaddr_storage sa;
    endpoint_to_sockaddr(&t->probe->target, &sa);
    uv_udp_init(t->probe->loop, &t->udp);
    t->has_udp = true;
    t->udp.data = t;
    int err = uv_udp_connect(&t->udp, (const struct sockaddr *)&sa);
    if (!err)
        err = uv_udp_recv_start(&t->udp, on_alloc, on_udp);
    uv_buf_t b = uv_buf_init((char *)t->question + 2, (unsigned)t->len);
    if (!err) {
        int sent = uv_udp_try_send(&t->udp, &b, 1, NULL);
        err = sent < 0 ? sent : 0;
    }
    if (err)
        finish_errno(t, err, "send");
}

static void dns_start(struct probe *p)
{
    const struct dns_params *params = p->params;
    struct dns *t = mem_alloc(sizeof *t);
    t->probe = p;
    p->state = t;
    uint16_t id = 0;
    if (getrandom(&id, sizeof id, 0) == sizeof id)
        t->len = dns_ask_make(t->question + 2, id, params->recursion, params->name,
                              type_codes[params->type]);
    if (!t->len) {
        finish(t, 0, probe_result_make(PROBE_LOCAL, "'%.60s' is not a domain name", params->name));
        return;
    }
    if (params->transport == 1)
        start_tcp(t);
    else
        start_udp(t);
}

static void dns_cancel(struct probe *p)
{
    release(p->state);
}

const struct monitor_module monitor_dns = {
    .object = &monitor_dns_object, .default_port = 53, .start = dns_start, .cancel = dns_cancel};
