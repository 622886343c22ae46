/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What strangers send: a bounded generator of unwelcome packets, for tests of the relay in network namespaces. Frames go out
 * of an AF_PACKET socket, so sources can be anybody's.
 *
 *   flood KIND --dev IF --mac NEXTHOP --to ADDR:PORT --from PREFIX [--ports LOW-HIGH] [--rate PACKETS] [--seconds S]
 *         [--node ADDR]
 *
 *   syn        SYNs with the options of a usual client          synopt     SYNs with options of IP, or extension headers
 *   ack        acknowledgements of nothing                      data       the same with a whole request in them
 *   rst        resets of connections that may exist             fragment   first, later and single fragments, with SYNs in them
 *   icmp       "too big" and "unreachable" about connections    handoff    UDP to the hand-off port with forged headers
 *   junk       frames with random headers behind the link's
 *   connect    handshakes that are completed, and no more       slow       ... and one byte of a request
 *   part       ... and a request's beginning in tiny segments    whole      ... and a whole request, whose answer nobody takes
 *
 * --from: sources are drawn from it; --node: a source for hand-off packets that would be believed. --rate 0: all it can.
 * Prints one line of JSON: what was sent, and what came back.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LEN(a) (sizeof(a) / sizeof *(a))

enum { BATCH = 64, FRAME = 512, HANDOFF_PORT = 6080 };
enum { F = 1, S = 2, R = 4, P = 8, A = 16 };

struct frame {
    uint8_t data[FRAME];
    uint32_t len;
};

static struct {
    const char *kind;
    int family;
    unsigned bits; /* of --from that are its own */
    uint8_t to[16], from[16], node[16], mac[6], own[6];
    bool has_node;
    uint16_t port, low, high;
    double seconds;
    uint64_t rate;
    int fd;
} o = {.low = 1024, .high = 65535, .seconds = 1};

static struct {
    uint64_t sent, bytes, refused, answers, answer_bytes, connected, resets;
} did;

static const char request[] = "GET /only1/f2-1000.bin HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
static uint64_t state;

static uint64_t draw(void) /* SplitMix64 */
{
    uint64_t z = state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- building ---- */

static void put16(uint8_t *at, uint32_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

static void put32(uint8_t *at, uint32_t v)
{
    put16(at, v >> 16);
    put16(at + 2, v);
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint64_t sum(const uint8_t *p, size_t n, uint64_t s)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        s += (uint32_t)p[i] << 8 | p[i + 1];
    return n % 2 ? s + ((uint32_t)p[n - 1] << 8) : s;
}

static uint16_t fold(uint64_t s)
{
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)~s;
}

static size_t width(void)
{
    return o.family == AF_INET ? 4 : 16;
}

static uint32_t ip_head(void)
{
    return o.family == AF_INET ? 20 : 40;
}

static void somebody(uint8_t addr[16])
{
    uint64_t random[2] = {draw(), draw()};
    const uint8_t *r = (const uint8_t *)random;
    for (unsigned i = 0; i < width(); i++) {
        unsigned own = o.bits > i * 8 ? o.bits - i * 8 : 0;
        uint8_t mask = own >= 8 ? 0xff : (uint8_t)~(0xffu >> own);
        addr[i] = (uint8_t)((o.from[i] & mask) | (r[i] & ~mask));
    }
}

static uint16_t some_port(void)
{
    return (uint16_t)(o.low + draw() % (o.high - o.low + 1u));
}

/* Link and IP headers; options: bytes of them behind the IPv4 header, or an extension header. Returns where they end. */
static uint32_t begin(struct frame *f, const uint8_t *from, const uint8_t *to, uint8_t proto, uint32_t options)
{
    uint8_t *ip = f->data + ETH_HLEN;
    memset(f->data, 0, sizeof f->data);
    memcpy(f->data, o.mac, 6);
    memcpy(f->data + 6, o.own, 6);
    put16(f->data + 12, o.family == AF_INET ? ETH_P_IP : ETH_P_IPV6);
    if (o.family == AF_INET) {
        ip[0] = (uint8_t)(0x45 + options / 4);
        put16(ip + 4, (uint32_t)draw());
        ip[6] = 0x40;
        ip[8] = 64;
        ip[9] = proto;
        memcpy(ip + 12, from, 4);
        memcpy(ip + 16, to, 4);
        memset(ip + 20, 1, options); /* no-operation */
    } else {
        ip[0] = 0x60;
        ip[6] = options ? IPPROTO_DSTOPTS : proto;
        ip[7] = 64;
        memcpy(ip + 8, from, 16);
        memcpy(ip + 24, to, 16);
        if (options) {
            ip[40] = proto;
            ip[42] = 1; /* PadN */
            ip[43] = 4;
        }
    }
    return ETH_HLEN + ip_head() + options;
}

static void end(struct frame *f, uint32_t len)
{
    uint8_t *ip = f->data + ETH_HLEN;
    f->len = len;
    put16(ip + (o.family == AF_INET ? 2 : 4), len - ETH_HLEN - (o.family == AF_INET ? 0 : 40));
    if (o.family != AF_INET)
        return;
    put16(ip + 10, 0);
    put16(ip + 10, fold(sum(ip, (ip[0] & 15u) * 4, 0)));
}

/* The checksum of what is behind the address header, at `place`. */
static void checksum(struct frame *f, uint32_t l4, uint32_t len, uint8_t proto, uint32_t place)
{
    const uint8_t *addresses = f->data + ETH_HLEN + (o.family == AF_INET ? 12 : 8);
    uint64_t s = proto == IPPROTO_ICMP ? 0 : sum(addresses, 2 * width(), (uint64_t)proto + (len - l4));
    put16(f->data + l4 + place, 0);
    put16(f->data + l4 + place, fold(sum(f->data + l4, len - l4, s)));
}

struct tcp {
    uint8_t from[16];
    uint16_t port;
    uint32_t seq, ack;
    uint8_t flags;
    const void *data;
    uint32_t data_len, ip_options;
};

static void tcp(struct frame *f, const struct tcp *t)
{
    static const uint8_t offers[] = {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0, 1, 3, 3, 7};
    uint32_t l4 = begin(f, t->from, o.to, IPPROTO_TCP, t->ip_options), options = t->flags == S ? sizeof offers : 0;
    uint8_t *h = f->data + l4;
    put16(h, t->port);
    put16(h + 2, o.port);
    put32(h + 4, t->seq);
    put32(h + 8, t->ack);
    h[12] = (uint8_t)((20 + options) << 2);
    h[13] = t->flags;
    put16(h + 14, 0xffff);
    memcpy(h + 20, offers, options);
    if (t->data_len)
        memcpy(h + 20 + options, t->data, t->data_len);
    end(f, l4 + 20 + options + t->data_len);
    checksum(f, l4, f->len, IPPROTO_TCP, 16);
}

static struct tcp stranger(uint8_t flags)
{
    struct tcp t = {.port = some_port(), .seq = (uint32_t)draw(), .ack = flags & A ? (uint32_t)draw() : 0, .flags = flags};
    somebody(t.from);
    return t;
}

/* ---- kinds without a connection ---- */

static void make_syn(struct frame *f)
{
    struct tcp t = stranger(S);
    tcp(f, &t);
}

static void make_synopt(struct frame *f)
{
    struct tcp t = stranger(S);
    t.ip_options = 8;
    tcp(f, &t);
}

static void make_ack(struct frame *f)
{
    struct tcp t = stranger(A);
    tcp(f, &t);
}

static void make_data(struct frame *f)
{
    struct tcp t = stranger(P | A);
    t.data = request;
    t.data_len = sizeof request - 1;
    tcp(f, &t);
}

static void make_rst(struct frame *f)
{
    struct tcp t = stranger(draw() & 1 ? R : R | A);
    tcp(f, &t);
}

/* Offsets, "more follow" and lengths at random. A fragment header goes between for IPv6. */
static void make_fragment(struct frame *f)
{
    struct tcp t = stranger(draw() & 1 ? S : draw() & 1 ? A : R);
    uint32_t more = draw() & 1, offset = draw() & 3 ? 0 : (uint32_t)(draw() % 64), id = (uint32_t)draw();
    t.ip_options = o.family == AF_INET ? 0 : 8;
    t.data = request;
    t.data_len = (uint32_t)(draw() % (sizeof request));
    tcp(f, &t);
    uint8_t *ip = f->data + ETH_HLEN;
    if (o.family == AF_INET) {
        put16(ip + 6, more << 13 | offset);
        end(f, f->len);
    } else {
        ip[6] = IPPROTO_FRAGMENT;
        ip[41] = 0;
        put16(ip + 42, offset << 3 | more);
        put32(ip + 44, id);
    }
}

static void make_icmp(struct frame *f)
{
    uint8_t from[16], client[16];
    bool v4 = o.family == AF_INET;
    somebody(from);
    somebody(client);
    uint32_t l4 = begin(f, from, o.to, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 0);
    uint8_t *h = f->data + l4, *ip = h + 8, *l = ip + ip_head();
    h[0] = v4 ? 3 : draw() & 1 ? 2 : 1;
    h[1] = v4 ? (draw() & 1 ? 4 : 1) : 0;
    put32(h + 4, (uint32_t)(draw() & 1 ? 68 : 1280));
    ip[0] = v4 ? 0x45 : 0x60;
    ip[v4 ? 8 : 7] = 64;
    ip[v4 ? 9 : 6] = IPPROTO_TCP;
    put16(ip + (v4 ? 2 : 4), 1000);
    memcpy(ip + (v4 ? 12 : 8), o.to, width());
    memcpy(ip + (v4 ? 16 : 24), client, width());
    put16(l, o.port);
    put16(l + 2, some_port());
    put32(l + 4, (uint32_t)draw());
    end(f, l4 + 8 + ip_head() + 8 + (v4 ? 0 : 40));
    checksum(f, l4, f->len, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 2);
}

/* A header that could be right but for its tag, in one of ten with a random byte; and another packet in it. */
static void make_handoff(struct frame *f)
{
    static const uint8_t kinds[] = {1, 2, 3, 4, 5, 16, 17, 18, 19, 20};
    uint8_t from[16], outer[28];
    struct frame inner;
    struct tcp t = stranger(P | A);
    t.data = request;
    t.data_len = sizeof request - 1;
    tcp(&inner, &t);
    somebody(from);
    uint32_t inside = inner.len - ETH_HLEN, l4 = begin(f, o.has_node && draw() & 1 ? o.node : from, o.to, IPPROTO_UDP, 0);
    uint8_t *h = f->data + l4;
    put16(h, some_port());
    put16(h + 2, HANDOFF_PORT);
    put16(h + 4, 8 + sizeof outer + inside);
    for (size_t i = 0; i < sizeof outer; i++)
        outer[i] = (uint8_t)draw();
    outer[0] = 6;
    outer[1] = o.family == AF_INET ? IPPROTO_IPIP : IPPROTO_IPV6;
    outer[2] = outer[3] = 0;
    outer[4] = 1;
    outer[5] = kinds[draw() % sizeof kinds];
    outer[6] &= 3;
    outer[7] = 0;
    memcpy(outer + 12, inner.data + ETH_HLEN + ip_head() + 4, 4); /* start: its sequence number */
    if (draw() % 10 == 0)
        outer[draw() % sizeof outer] = (uint8_t)draw();
    memcpy(h + 8, outer, sizeof outer);
    memcpy(h + 8 + sizeof outer, inner.data + ETH_HLEN, inside);
    end(f, l4 + 8 + sizeof outer + inside);
}

static void make_junk(struct frame *f)
{
    uint8_t from[16];
    static const uint8_t protos[] = {0, 1, 6, 6, 17, 43, 44, 58, 60, 132};
    somebody(from);
    uint32_t l4 = begin(f, from, o.to, protos[draw() % sizeof protos], 0), len = (uint32_t)(draw() % 100);
    for (uint32_t i = 0; i < len; i++)
        f->data[l4 + i] = (uint8_t)draw();
    if (draw() & 1)
        put16(f->data + l4 + 2, o.port);
    end(f, l4 + len);
}

/* ---- sending ---- */

static struct frame frames[BATCH];
static unsigned waiting;

static void flush(void)
{
    struct mmsghdr m[BATCH] = {{{0}, 0}};
    struct iovec v[BATCH];
    for (unsigned i = 0; i < waiting; i++) {
        v[i] = (struct iovec){frames[i].data, frames[i].len};
        m[i].msg_hdr.msg_iov = &v[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
    for (unsigned at = 0; at < waiting;) {
        int n = sendmmsg(o.fd, m + at, waiting - at, 0);
        if (n <= 0) { /* no room, or a frame that the device does not take */
            did.refused++;
            at++;
            continue;
        }
        for (int i = 0; i < n; i++, at++) {
            did.sent++;
            did.bytes += frames[at].len;
        }
    }
    waiting = 0;
}

static struct frame *room(void)
{
    if (waiting == BATCH)
        flush();
    return &frames[waiting++];
}

/* ---- connections ---- */

/* Their number is in the client's sequence number, so that nothing needs to be remembered. */
static void answer_syn(const uint8_t *client, uint16_t port, uint32_t seq, uint32_t ack)
{
    bool part = !strcmp(o.kind, "part");
    uint32_t pieces = part ? 6 : 1, size = !strcmp(o.kind, "slow") ? 1 : part ? 3 : sizeof request - 1;
    struct tcp t = {.port = port, .seq = ack, .ack = seq + 1, .flags = A};
    memcpy(t.from, client, width());
    did.connected++;
    tcp(room(), &t);
    if (!strcmp(o.kind, "connect"))
        return;
    for (uint32_t i = 0; i < pieces; i++) {
        t.flags = P | A;
        t.seq = ack + i * size;
        t.data = request + i * size;
        t.data_len = size;
        tcp(room(), &t);
    }
}

static void hear(const uint8_t *frame, size_t n, bool talks)
{
    const uint8_t *ip = frame + ETH_HLEN, *t = ip + ip_head();
    bool v4 = o.family == AF_INET;
    if (n < ETH_HLEN + ip_head() + 20u || ip[v4 ? 9 : 6] != IPPROTO_TCP || memcmp(ip + (v4 ? 12 : 8), o.to, width()) != 0)
        return;
    did.answers++;
    did.answer_bytes += n;
    did.resets += !!(t[13] & R);
    if (talks && (t[13] & (S | A)) == (S | A))
        answer_syn(ip + (v4 ? 16 : 24), (uint16_t)(t[2] << 8 | t[3]), get32(t + 4), get32(t + 8));
}

static void listen_a_while(bool talks)
{
    uint8_t frame[2048];
    for (int i = 0; i < BATCH; i++) {
        struct sockaddr_ll from;
        socklen_t size = sizeof from;
        ssize_t n = recvfrom(o.fd, frame, sizeof frame, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
        if (n <= 0)
            return;
        if (from.sll_pkttype != PACKET_OUTGOING)
            hear(frame, (size_t)n, talks);
    }
}

/* ---- command line ---- */

static const struct {
    const char *name;
    void (*make)(struct frame *f);
    bool talks;
} kinds[] = {{"syn", make_syn, false},           {"synopt", make_synopt, false}, {"ack", make_ack, false},
             {"data", make_data, false},         {"rst", make_rst, false},       {"fragment", make_fragment, false},
             {"icmp", make_icmp, false},         {"handoff", make_handoff, false}, {"junk", make_junk, false},
             {"connect", make_syn, true},        {"slow", make_syn, true},       {"part", make_syn, true},
             {"whole", make_syn, true}};

static bool address(const char *text, uint8_t out[16])
{
    o.family = strchr(text, ':') ? AF_INET6 : AF_INET;
    return inet_pton(o.family, text, out) == 1;
}

static bool option(const char *name, char *value)
{
    unsigned a, b;
    if (!strcmp(name, "--to")) {
        char *colon = strrchr(value, ':');
        if (!colon)
            return false;
        *colon = 0;
        o.port = (uint16_t)atoi(colon + 1);
        if (value[0] == '[') {
            value[strlen(value) - 1] = 0;
            value++;
        }
        return address(value, o.to);
    }
    if (!strcmp(name, "--from")) {
        char *slash = strchr(value, '/');
        if (slash)
            *slash = 0;
        o.bits = slash ? (unsigned)atoi(slash + 1) : 128;
        return address(value, o.from);
    }
    if (!strcmp(name, "--node"))
        return o.has_node = address(value, o.node);
    if (!strcmp(name, "--mac"))
        return sscanf(value, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", o.mac, o.mac + 1, o.mac + 2, o.mac + 3, o.mac + 4, o.mac + 5) == 6;
    if (!strcmp(name, "--ports")) {
        if (sscanf(value, "%u-%u", &a, &b) != 2 || a > b || b > 65535)
            return false;
        o.low = (uint16_t)a;
        o.high = (uint16_t)b;
        return true;
    }
    if (!strcmp(name, "--rate"))
        o.rate = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--seconds"))
        o.seconds = atof(value);
    else
        return false;
    return true;
}

static bool open_device(const char *name)
{
    struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(name)};
    socklen_t size = sizeof ll;
    int on = 1, room_bytes = 8 << 20;
    ll.sll_protocol = htons(ETH_P_ALL);
    o.fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (o.fd < 0 || !ll.sll_ifindex || bind(o.fd, (struct sockaddr *)&ll, sizeof ll) != 0 ||
        getsockname(o.fd, (struct sockaddr *)&ll, &size) != 0)
        return false;
    memcpy(o.own, ll.sll_addr, 6);
    (void)setsockopt(o.fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
    (void)setsockopt(o.fd, SOL_SOCKET, SO_RCVBUFFORCE, &room_bytes, sizeof room_bytes);
    return true;
}

int main(int argc, char **argv)
{
    size_t k = 0;
    const char *dev = NULL;
    bool ok = argc > 2;
    for (int i = 2; ok && i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--dev"))
            dev = argv[i + 1];
        else
            ok = option(argv[i], argv[i + 1]);
    }
    while (ok && k < LEN(kinds) && strcmp(argv[1], kinds[k].name) != 0)
        k++;
    if (!ok || k == LEN(kinds) || !dev || !o.port || !open_device(dev)) {
        fprintf(stderr, "flood: wrong words, or the device cannot be used: %s\n", strerror(errno));
        return 2;
    }
    o.kind = argv[1];
    uint64_t start = now_ns(), stop = start + (uint64_t)(o.seconds * 1e9), made = 0;
    state = start;
    for (uint64_t now = start; now < stop; now = now_ns()) {
        uint64_t due = o.rate ? (uint64_t)((double)(now - start) / 1e9 * (double)o.rate) + 1 : made + BATCH;
        unsigned n = due - made > BATCH ? BATCH : (unsigned)(due - made);
        for (unsigned i = 0; i < n; i++)
            kinds[k].make(room());
        made += n;
        flush();
        listen_a_while(kinds[k].talks);
        flush();
        if (!n)
            usleep(100);
    }
    double took = (double)(now_ns() - start) / 1e9;
    printf("{\"kind\":\"%s\",\"sent\":%llu,\"bytes\":%llu,\"seconds\":%.3f,\"refused\":%llu,\"answers\":%llu,\"answer_bytes\":%llu,"
           "\"resets\":%llu,\"connected\":%llu}\n",
           o.kind, (unsigned long long)did.sent, (unsigned long long)did.bytes, took, (unsigned long long)did.refused,
           (unsigned long long)did.answers, (unsigned long long)did.answer_bytes, (unsigned long long)did.resets,
           (unsigned long long)did.connected);
    return 0;
}
