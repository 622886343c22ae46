/* SPDX-License-Identifier: Apache-2.0 */
/* dns: asks the target for a name over UDP, over TCP when the answer is truncated, and judges rcode and addresses. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "base/arena.h"
#include "conf/load.h"
#include "conf/yaml.h"
#include "dns/name.h"
#include "dns/types.h"
#include "monitor/dns_reply.h"
#include "monitor/stream.h"

enum { QUERY_MAX = 12 + DNS_NAME_MAX + 4, REPLY_MAX = 4096 };

struct dns_params {
    const char *name, *type, *rcode;
    bool recursion, authoritative;
    struct conf_list address; /* struct addr */
    uint16_t type_code, rcode_code;
};

static const struct conf_key keys[] = {
    {"name", CONF_NAME, offsetof(struct dns_params, name), .flags = CONF_REQUIRED, .doc = "Name to ask for."},
    {"type", CONF_STRING, offsetof(struct dns_params, type), .def = "A", .doc = "Record type to ask for."},
    {"rcode", CONF_STRING, offsetof(struct dns_params, rcode), .def = "NOERROR", .doc = "Response code that is good."},
    {"recursion", CONF_BOOL, offsetof(struct dns_params, recursion), .def = "no", .doc = "Ask for recursion: for checking resolvers."},
    {"authoritative", CONF_BOOL, offsetof(struct dns_params, authoritative), .def = "no", .doc = "The answer must be authoritative (AA)."},
    {"address", CONF_ADDR, offsetof(struct dns_params, address), .flags = CONF_LIST,
     .doc = "Addresses of which one must be in the answer."},
};

static int rcode_parse(const char *text)
{
    char name[DNS_TYPE_TEXT];
    for (unsigned r = 0; r < 16; r++)
        if (strcasecmp(text, dns_rcode_name(r, name)) == 0)
            return (int)r;
    return -1;
}

static void check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    struct dns_params *p = object;
    int rcode = rcode_parse(p->rcode);
    if (dns_type_parse(p->type, &p->type_code) != PM_OK)
        conf_error(ctx, conf_child(node, "type") ? conf_child(node, "type") : node, "'%s' is no record type", p->type);
    if (rcode < 0)
        conf_error(ctx, conf_child(node, "rcode") ? conf_child(node, "rcode") : node, "'%s' is no response code", p->rcode);
    p->rcode_code = (uint16_t)rcode;
}

struct question {
    struct probe *probe;
    uv_poll_t poll;
    int fd;
    bool polling;
    struct stream *stream;
    uint16_t id;
    size_t len;
    uint8_t query[2 + QUERY_MAX]; /* TCP's length first */
};

static void on_poll_closed(uv_handle_t *h)
{
    free(h->data);
}

/* Lets go of sockets and memory; the poll handle goes with the loop's next round. */
static void release(struct question *q)
{
    if (q->stream)
        stream_close(q->stream, true);
    q->stream = NULL;
    if (!q->polling) {
        free(q);
        return;
    }
    uv_poll_stop(&q->poll);
    uv_close((uv_handle_t *)&q->poll, on_poll_closed);
    close(q->fd);
}

static void finish(struct question *q, const struct probe_result *r)
{
    struct probe *p = q->probe;
    p->state = NULL;
    release(q);
    probe_done(p, r);
}

static bool judge(struct question *q, const uint8_t *data, size_t len, struct probe_result *out)
{
    const struct dns_params *p = q->probe->params;
    struct dns_reply reply;
    int err = dns_reply_parse(data, len, q->query + 2, q->len, &reply);
    if (err == PM_ENOTFOUND)
        return false; /* not the answer to our question: someone else's, or forged */
    *out = probe_result_make(PROBE_OK, "%s", "");
    if (err) {
        *out = probe_result_make(PROBE_FAIL, "the reply cannot be parsed");
    } else if (reply.rcode != p->rcode_code) {
        char name[DNS_TYPE_TEXT];
        *out = probe_result_make(PROBE_FAIL, "response code %s", dns_rcode_name(reply.rcode, name));
    } else if (p->authoritative && !reply.authoritative) {
        *out = probe_result_make(PROBE_FAIL, "the answer is not authoritative");
    } else if (p->address.count && !dns_reply_has_address(data, len, p->address.items, p->address.count)) {
        *out = probe_result_make(PROBE_FAIL, "none of the wanted addresses is in the answer");
    }
    out->code = reply.rcode;
    out->bytes = len;
    return true;
}

/* ---- TCP, after a truncated answer (RFC 7766 section 5) ---- */

static void tcp_opened(void *ctx)
{
    struct question *q = ctx;
    stream_send(q->stream, q->query, q->len + 2);
}

static void tcp_data(void *ctx)
{
    struct question *q = ctx;
    const struct buf *in = stream_in(q->stream);
    const uint8_t *d = (const uint8_t *)in->data;
    struct probe_result r;
    size_t want = in->len >= 2 ? (size_t)d[0] << 8 | d[1] : SIZE_MAX;
    if (in->len < 2 || in->len - 2 < want)
        return;
    if (!judge(q, d + 2, want, &r))
        r = probe_result_make(PROBE_FAIL, "the reply is to another question");
    finish(q, &r);
}

static void tcp_ended(void *ctx, enum probe_status how, const char *why)
{
    struct probe_result r = probe_result_make(how, "over TCP: %s", why);
    finish(ctx, &r);
}

static const struct stream_handler tcp_handler = {tcp_opened, tcp_data, tcp_ended};

static void ask_by_tcp(struct question *q)
{
    enum probe_status status;
    char why[96];
    q->stream = stream_open(q->probe->loop, &q->probe->target, NULL, &tcp_handler, q, &status, why);
    if (!q->stream) {
        struct probe_result r = probe_result_make(status, "over TCP: %s", why);
        finish(q, &r);
    }
}

/* ---- UDP ---- */

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct question *q = poll->data;
    uint8_t data[REPLY_MAX];
    ssize_t n = recv(q->fd, data, sizeof data, 0);
    struct probe_result r;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        uv_poll_start(&q->poll, UV_READABLE, on_readable); /* libuv stops after an error */
        return;
    }
    if (n < 0) {
        r = probe_result_make(probe_status_from_errno(errno), "%s", strerror(errno));
        finish(q, &r);
        return;
    }
    /* Truncated, and to our question: again over TCP. */
    struct dns_reply reply;
    if (dns_reply_parse(data, (size_t)n, q->query + 2, q->len, &reply) == PM_OK && reply.truncated) {
        uv_poll_stop(&q->poll);
        ask_by_tcp(q);
        return;
    }
    if (judge(q, data, (size_t)n, &r))
        finish(q, &r);
}

static size_t write_query(struct question *q, const struct dns_params *p)
{
    uint8_t *at = q->query + 2;
    if (getrandom(&q->id, sizeof q->id, GRND_NONBLOCK) != sizeof q->id)
        q->id = (uint16_t)(uintptr_t)q;
    memset(at, 0, 12);
    at[0] = (uint8_t)(q->id >> 8);
    at[1] = (uint8_t)q->id;
    at[2] = p->recursion ? 1 : 0;
    at[5] = 1;
    int n = dns_name_parse(p->name, NULL, at + 12);
    if (n < 0)
        return 0;
    size_t len = 12 + (size_t)n;
    at[len++] = (uint8_t)(p->type_code >> 8);
    at[len++] = (uint8_t)p->type_code;
    at[len++] = 0;
    at[len++] = 1;
    q->query[0] = (uint8_t)(len >> 8);
    q->query[1] = (uint8_t)len;
    return len;
}

static void start(struct probe *p)
{
    struct question *q = mem_alloc(sizeof *q);
    struct sockaddr_storage sa;
    socklen_t sa_len = endpoint_to_sockaddr(&p->target, &sa);
    q->probe = p;
    p->state = q;
    q->len = write_query(q, p->params);
    /* Connected, so that a refusal by ICMP is heard and strangers' packets are not. */
    q->fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (q->fd < 0 || connect(q->fd, (struct sockaddr *)&sa, sa_len) != 0 || send(q->fd, q->query + 2, q->len, 0) < 0) {
        struct probe_result r = probe_result_make(q->fd < 0 ? PROBE_LOCAL : probe_status_from_errno(errno), "%s", strerror(errno));
        if (q->fd >= 0)
            close(q->fd);
        finish(q, &r);
        return;
    }
    uv_poll_init(p->loop, &q->poll, q->fd);
    q->poll.data = q;
    q->polling = true;
    uv_poll_start(&q->poll, UV_READABLE, on_readable);
}

static void cancel(struct probe *p)
{
    if (p->state)
        release(p->state);
    p->state = NULL;
}

const struct conf_object monitor_dns_object = {.name = "dns",
                                               .doc = "Asks for a name and judges the response code, and addresses in the answer (A3).",
                                               .size = sizeof(struct dns_params),
                                               CONF_KEYS(keys),
                                               .check = check,
                                               .shorthand = "name"};
const struct monitor_module monitor_dns = {.object = &monitor_dns_object, .default_port = 53, .start = start, .cancel = cancel};
