/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sched.h>
#include "../../scenario/probe_run.h"
#include "one_probe.h"
#include "base/log.h"

/* As the modules' files define them. */
struct exec_params {
    struct conf_list command;
};
struct dns_params {
    const char *name;
    int type, rcode, transport;
    bool recursion;
    struct addr answer;
};
struct icmp_params {
    uint64_t size;
};
struct hops_params {
    uint32_t max, port;
    uint64_t batch_wait_ms;
};
extern const struct monitor_module monitor_tcp, monitor_nntp, monitor_exec, monitor_dns,
    monitor_icmp, monitor_hops;

static void serve_silent(int fd)
{
    char b[64];
    while (get(fd, b, sizeof b) > 0)
        ;
}

static void serve_echo(int fd)
{
    char b[64];
    if (get(fd, b, sizeof b) > 0) {
        put(fd, "you said ");
        usleep(5000);
        put(fd, b);
    }
    get(fd, b, sizeof b);
}

static void serve_reset(int fd)
{
    char b[64];
    get(fd, b, sizeof b);
    reset(fd);
}

static void serve_close(int fd)
{
    put(fd, "bye");
}

static void serve_flood(int fd)
{
    char b[1000];
    memset(b, 'a', sizeof b);
    while (write(fd, b, sizeof b) > 0)
        ;
}

/* One iteration against v6 or v4 loopback, parameters as a configuration has them. */
static struct probe_result ask(const struct monitor_module *module, serve_fn *serve, bool v6, const char *yaml)
{
    struct server s;
    struct buf errors = BUF_INIT;
    struct arena *arena = arena_new();
    void *params = probe_run_params(module, yaml, arena, &errors);
    assert_string_equal(buf_str(&errors), "");
    server_start(&s, v6, serve);
    struct probe_result r = run_one(module, params, loopback(v6, s.port), "h", 300);
    server_stop(&s);
    arena_free(arena);
    buf_fini(&errors);
    return r;
}

static void refused_text(const struct monitor_module *module, const char *yaml, const char *expected)
{
    struct buf errors = BUF_INIT;
    struct arena *arena = arena_new();
    assert_null(probe_run_params(module, yaml, arena, &errors));
    if (!strstr(buf_str(&errors), expected))
        fail_msg("'%s' is not in: %s", expected, buf_str(&errors));
    arena_free(arena);
    buf_fini(&errors);
}

static void test_tcp(void **state)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct probe_result r = ask(&monitor_tcp, serve_silent, v6, "{}");
        assert_int_equal(r.status, PROBE_OK);
        assert_in_range(r.connect_ns, 1, 300000000);
        r = ask(&monitor_tcp, serve_echo, v6, "{send: 'A\\r\\n\\x42', expect: 'said A\\r\\nB'}");
        assert_int_equal(r.status, PROBE_OK);
        assert_int_equal(r.bytes, 13);
        r = ask(&monitor_tcp, serve_echo, v6, "{send: AAAB, expect-regex: 'd A+B$'}");
        assert_int_equal(r.status, PROBE_OK);
        assert_int_equal(ask(&monitor_tcp, serve_silent, v6, "{expect: x}").status, PROBE_TIMEOUT);
        assert_int_equal(ask(&monitor_tcp, serve_reset, v6, "{send: x, expect: x}").status, PROBE_RESET);
        assert_int_equal(ask(&monitor_tcp, serve_close, v6, "{expect: hello}").status, PROBE_CLOSED);
        r = ask(&monitor_tcp, serve_flood, v6, "{expect: b, read-max: 5000}");
        assert_int_equal(r.status, PROBE_FAIL);
        assert_string_equal(r.why, "expected text is not in the first 5000 bytes");
        r = ask(&monitor_tcp, serve_flood, v6, "{expect-regex: '^(a+)+[bc]', read-max: 1M}");
        assert_int_equal(r.status, PROBE_FAIL);
        assert_string_equal(r.why, "expect-regex takes too long on this answer");
        uint16_t port;
        close(bound_socket(v6, SOCK_STREAM, &port));
        struct arena *arena = arena_new();
        struct buf errors = BUF_INIT;
        r = run_one(&monitor_tcp, probe_run_params(&monitor_tcp, "{}", arena, &errors), loopback(v6, port), "h", 300);
        assert_int_equal(r.status, PROBE_REFUSED);
        assert_int_equal(r.connect_ns, 0);
        arena_free(arena);
        buf_fini(&errors);
    }
    refused_text(&monitor_tcp, "{expect: '\\q'}", "expect '\\q' has a broken escape");
    refused_text(&monitor_tcp, "{send: '\\x4'}", "send '\\x4' has a broken escape");
    refused_text(&monitor_tcp, "{expect-regex: 'a('}", "expect-regex, at character 3: missing closing parenthesis");
    refused_text(&monitor_tcp, "{expect: a, expect-regex: b}", "exclude each other");
}

static void serve_news(int fd)
{
    char b[128];
    put(fd, "200 ne");
    usleep(2000);
    put(fd, "ws\r\n");
    while (get(fd, b, sizeof b) > 0) {
        if (strcmp(b, "GROUP misc.test\r\n") == 0)
            put(fd, "211 3 1 3 misc.test\r\n");
        else if (strncmp(b, "GROUP", 5) == 0)
            put(fd, "411 no such group\r\n");
        else if (strcmp(b, "QUIT\r\n") == 0) {
            put(fd, "205 bye\r\n");
            return;
        }
    }
}

static void serve_news_busy(int fd)
{
    char b[64];
    put(fd, "400 too many\r\n");
    get(fd, b, sizeof b);
}

static void serve_news_rude(int fd)
{
    char b[64];
    put(fd, "201 read only\r\n");
    get(fd, b, sizeof b);
}

static void serve_garbage(int fd)
{
    char b[64];
    put(fd, "SSH-2.0-x\r\n");
    get(fd, b, sizeof b);
}

static struct probe_result nntp(serve_fn *serve, const char *group)
{
    char yaml[64];
    snprintf(yaml, sizeof yaml, "{group: %s}", group ? group : "");
    return ask(&monitor_nntp, serve, false, group ? yaml : "{}");
}

static void test_nntp(void **state)
{
    struct probe_result r = nntp(serve_news, NULL);
    assert_int_equal(r.status, PROBE_OK);
    assert_int_equal(r.code, 200);
    r = nntp(serve_news, "misc.test");
    assert_int_equal(r.status, PROBE_OK);
    assert_int_equal(r.code, 211);
    r = nntp(serve_news, "misc.none");
    assert_int_equal(r.status, PROBE_FAIL);
    assert_string_equal(r.why, "GROUP answered by 411 no such group");
    assert_int_equal(nntp(serve_news_busy, NULL).code, 400);
    assert_int_equal(nntp(serve_news_busy, NULL).status, PROBE_FAIL);
    assert_int_equal(nntp(serve_news_rude, NULL).status, PROBE_OK);
    assert_int_equal(nntp(serve_garbage, NULL).status, PROBE_FAIL);
    assert_int_equal(nntp(serve_close, NULL).status, PROBE_CLOSED);
    assert_int_equal(nntp(serve_flood, NULL).status, PROBE_FAIL);
    assert_int_equal(nntp(serve_silent, NULL).status, PROBE_TIMEOUT);
    refused_text(&monitor_nntp, "{group: \"a\\r\\nPOST\"}", "is not the name of a newsgroup");
    refused_text(&monitor_nntp, "{group: 'a b'}", "group 'a b' is not the name of a newsgroup");
}

static struct probe_result run_exec(const char *script, uint64_t timeout_ms)
{
    const char *argv[] = {"sh", "-c", script};
    struct exec_params params = {{argv, 3}};
    return run_one(&monitor_exec, &params, loopback(true, 8080), "www.example", timeout_ms);
}

static void test_exec(void **state)
{
    struct probe_result r = run_exec("exit 0", 2000);
    assert_int_equal(r.status, PROBE_OK);
    r = run_exec("echo \"$POINTSMAN_ADDR $POINTSMAN_PORT $POINTSMAN_HOST $POINTSMAN_TIMEOUT\"; "
                 "echo two; exit 3",
                 2000);
    assert_int_equal(r.status, PROBE_FAIL);
    assert_int_equal(r.code, 3);
    assert_string_equal(r.why, "::1 8080 www.example 2.000");
    assert_string_equal(run_exec("exit 4", 2000).why, "exit status 4");
    assert_string_equal(run_exec("kill -9 $$", 2000).why, "killed by signal 9");
    assert_int_equal(run_exec("head -c 1000000 /dev/zero | tr '\\0' x; exit 1", 5000).status,
                     PROBE_FAIL);
    /* A grandchild with the pipe open keeps nobody waiting and does not survive. */
    char path[] = "/tmp/test_mod_XXXXXX", script[128];
    close(mkstemp(path));
    snprintf(script, sizeof script, "sleep 77 & echo $! > %s; exit 0", path);
    uint64_t begin = uv_hrtime();
    assert_int_equal(run_exec(script, 5000).status, PROBE_OK);
    assert_true(uv_hrtime() - begin < 3000000000u);
    /* Cancelled: the group is killed; run_one sees to it that the child is reaped. */
    snprintf(script, sizeof script, "sleep 78 & echo $! >> %s; sleep 79", path);
    assert_int_equal(run_exec(script, 200).status, PROBE_TIMEOUT);
    FILE *f = fopen(path, "r");
    int pid, n = 0;
    while (fscanf(f, "%d", &pid) == 1) {
        char proc[64], stat = 'X';
        snprintf(proc, sizeof proc, "/proc/%d/stat", pid);
        usleep(20000);
        FILE *p = fopen(proc, "r");
        if (p) { /* nobody may have reaped it yet; running it must not be */
            (void)!fscanf(p, "%*d %*s %c", &stat);
            fclose(p);
        }
        assert_true(stat == 'X' || stat == 'Z');
        n++;
    }
    assert_int_equal(n, 2);
    fclose(f);
    unlink(path);
    const char *argv[] = {"/nonexistent/program"};
    struct exec_params params = {{argv, 1}};
    r = run_one(&monitor_exec, &params, loopback(false, 1), "h", 1000);
    assert_int_equal(r.status, PROBE_LOCAL);
}

/* Answers one UDP question with what the mode says, and a TCP one in full. */
enum { DNS_GOOD, DNS_NX, DNS_FORGED_FIRST, DNS_TRUNCATED, DNS_BROKEN, DNS_SILENT };
static int dns_mode;
static int dns_udp;

static size_t dns_reply(uint8_t *m, size_t n, bool tcp)
{
    m[2] |= 0x84;
    if (dns_mode == DNS_NX)
        m[3] |= 3;
    if (dns_mode == DNS_TRUNCATED && !tcp)
        m[2] |= 2;
    if (dns_mode == DNS_NX || (m[2] & 2))
        return n;
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7};
    m[7] = 1;
    memcpy(m + n, record, sizeof record);
    return n + sizeof record - (dns_mode == DNS_BROKEN);
}

static void *dns_udp_main(void *arg)
{
    uint8_t m[600];
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    ssize_t n = recvfrom(dns_udp, m, 500, 0, (struct sockaddr *)&sa, &len);
    if (n <= 0 || dns_mode == DNS_SILENT)
        return NULL;
    size_t out = dns_reply(m, (size_t)n, false);
    if (dns_mode == DNS_FORGED_FIRST) {
        m[0] ^= 1;
        sendto(dns_udp, m, out, 0, (struct sockaddr *)&sa, len);
        m[0] ^= 1;
    }
    sendto(dns_udp, m, out, 0, (struct sockaddr *)&sa, len);
    return NULL;
}

static void serve_dns_tcp(int fd)
{
    uint8_t m[600];
    ssize_t n = read(fd, m, 500);
    if (n <= 2)
        return;
    size_t out = dns_reply(m + 2, (size_t)n - 2, true);
    m[0] = (uint8_t)(out >> 8);
    m[1] = (uint8_t)out;
    (void)!write(fd, m, 1); /* in pieces */
    usleep(2000);
    (void)!write(fd, m + 1, out + 1);
    (void)!read(fd, m, 1);
}

static struct probe_result dns(int mode, struct dns_params params)
{
    struct server s;
    pthread_t thread;
    dns_mode = mode;
    server_start(&s, false, serve_dns_tcp);
    struct endpoint e = loopback(false, s.port);
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(&e, &sa);
    dns_udp = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(dns_udp, (struct sockaddr *)&sa, len), 0);
    struct timeval limit = {1, 0};
    setsockopt(dns_udp, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    pthread_create(&thread, NULL, dns_udp_main, NULL);
    struct probe_result r = run_one(&monitor_dns, &params, e, "h", 300);
    pthread_join(thread, NULL);
    close(dns_udp);
    server_stop(&s);
    return r;
}

static void test_dns(void **state)
{
    struct addr a, other;
    assert_int_equal(addr_parse("192.0.2.7", &a), 0);
    assert_int_equal(addr_parse("192.0.2.8", &other), 0);
    struct dns_params p = {.name = "www.example", .answer = a}, q = p;
    assert_int_equal(dns(DNS_GOOD, p).status, PROBE_OK);
    q.answer = other;
    assert_int_equal(dns(DNS_GOOD, q).status, PROBE_FAIL);
    struct probe_result r = dns(DNS_NX, p);
    assert_int_equal(r.status, PROBE_FAIL);
    assert_int_equal(r.code, 3);
    assert_string_equal(r.why, "rcode nxdomain instead of noerror");
    q = (struct dns_params){.name = "www.example", .rcode = 3};
    assert_int_equal(dns(DNS_NX, q).status, PROBE_OK);
    assert_int_equal(dns(DNS_FORGED_FIRST, p).status, PROBE_OK);
    assert_int_equal(dns(DNS_TRUNCATED, p).status, PROBE_OK);
    assert_int_equal(dns(DNS_BROKEN, p).status, PROBE_FAIL);
    assert_int_equal(dns(DNS_SILENT, p).status, PROBE_TIMEOUT);
    q = p;
    q.transport = 1;
    dns_mode = DNS_GOOD;
    struct server s;
    server_start(&s, true, serve_dns_tcp);
    assert_int_equal(run_one(&monitor_dns, &q, loopback(true, s.port), "h", 300).status, PROBE_OK);
    server_stop(&s);
    uint16_t port;
    close(bound_socket(true, SOCK_DGRAM, &port));
    assert_int_equal(run_one(&monitor_dns, &p, loopback(true, port), "h", 300).status,
                     PROBE_REFUSED);
    p.name = "a..b";
    assert_int_equal(run_one(&monitor_dns, &p, loopback(true, port), "h", 300).status, PROBE_LOCAL);
}

static void test_icmp(void **state)
{
    void *shared;
    uv_loop_t loop;
    uv_loop_init(&loop);
    int err = monitor_icmp.open(&loop, &shared);
    if (!err)
        monitor_icmp.close(shared);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    if (err)
        skip(); /* neither CAP_NET_RAW nor ping_group_range */
    struct icmp_params p = {56}, big = {4000};
    for (int v6 = 0; v6 < 2; v6++) {
        struct probe_result r = run_one(&monitor_icmp, &p, loopback(v6, 9), "h", 500);
        assert_int_equal(r.status, PROBE_OK);
        assert_int_equal(r.bytes, 56);
        assert_in_range(r.duration_ns, 1, 500000000);
        assert_int_equal(run_one(&monitor_icmp, &big, loopback(v6, 0), "h", 500).bytes, 4000);
    }
    struct endpoint nowhere = {0};
    assert_int_equal(addr_parse("240.0.0.1", &nowhere.addr), 0);
    struct probe_result r = run_one(&monitor_icmp, &p, nowhere, "h", 200);
    assert_int_not_equal(r.status, PROBE_OK);
}

static void test_hops(void **state)
{
    struct hops_params p = {.max = 30, .port = 33434, .batch_wait_ms = 100};
    for (int v6 = 0; v6 < 2; v6++) {
        struct probe_result r = run_one(&monitor_hops, &p, loopback(v6, 0), "h", 1000);
        assert_int_equal(r.status, PROBE_OK);
        assert_int_equal(r.hops, 0);
    }
}

/* here - r1 - r2 - far, in namespaces of their own: two routers between. */
static bool make_chain(const char *tag)
{
    char cmd[4096];
    snprintf(cmd, sizeof cmd,
             "set -e; T=%s; for n in a b c d; do ip netns add $T$n; ip -n $T$n link set lo up; "
             "ip netns exec $T$n sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 "
             "net.ipv6.conf.default.accept_dad=0; done; "
             "link() { ip link add v$3 netns $T$1 type veth peer name w$3 netns $T$2; "
             "ip -n $T$1 addr add 10.9.$3.1/24 dev v$3; ip -n $T$2 addr add 10.9.$3.2/24 dev w$3; "
             "ip -n $T$1 addr add fd09:$3::1/64 dev v$3 nodad; ip -n $T$2 addr add fd09:$3::2/64 "
             "dev w$3 nodad; "
             "ip -n $T$1 link set v$3 up; ip -n $T$2 link set w$3 up; }; "
             "link a b 1; link b c 2; link c d 3; "
             "ip -n ${T}a route add default via 10.9.1.2; ip -n ${T}a -6 route add default via "
             "fd09:1::2; "
             "ip -n ${T}b route add default via 10.9.2.2; ip -n ${T}b -6 route add default via "
             "fd09:2::2; "
             "ip -n ${T}c route add 10.9.1.0/24 via 10.9.2.1; ip -n ${T}c -6 route add fd09:1::/64 "
             "via fd09:2::1; "
             "ip -n ${T}d route add default via 10.9.3.1; ip -n ${T}d -6 route add default via "
             "fd09:3::1; ",
             tag);
    char quiet[4200];
    snprintf(quiet, sizeof quiet, "{ %s } >/dev/null 2>&1", cmd);
    return system(quiet) == 0;
}

static void test_hops_chain(void **state)
{
    char tag[32], cmd[256], path[64];
    snprintf(tag, sizeof tag, "pm%d", (int)getpid());
    bool made = geteuid() == 0 && make_chain(tag);
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/var/run/netns/%sa", tag);
    int there = made ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    bool inside = there >= 0 && setns(there, CLONE_NEWNET) == 0;
    struct probe_result r4 = {0}, r6 = {0}, none = {0}, ping = {0};
    if (inside) {
        struct hops_params p = {.max = 12, .port = 33434, .batch_wait_ms = 200};
        struct icmp_params size = {56};
        struct endpoint e = {0};
        assert_int_equal(addr_parse("10.9.3.2", &e.addr), 0);
        usleep(1500000); /* until the links are up */
        r4 = run_one(&monitor_hops, &p, e, "h", 3000);
        ping = run_one(&monitor_icmp, &size, e, "h", 1000);
        assert_int_equal(addr_parse("fd09:3::2", &e.addr), 0);
        r6 = run_one(&monitor_hops, &p, e, "h", 3000);
        assert_int_equal(addr_parse("10.99.0.1", &e.addr), 0); /* the third has no route there */
        none = run_one(&monitor_hops, &p, e, "h", 3000);
        assert_int_equal(setns(home, CLONE_NEWNET), 0);
        close(there);
    }
    close(home);
    snprintf(cmd, sizeof cmd, "for n in a b c d; do ip netns del %s$n; done >/dev/null 2>&1", tag);
    (void)!system(cmd);
    if (!inside)
        skip(); /* not root, or no ip(8) */
    assert_string_equal(r4.why, "");
    assert_int_equal(r4.hops, 2);
    assert_int_equal(ping.status, PROBE_OK);
    assert_string_equal(r6.why, "");
    assert_int_equal(r6.hops, 2);
    assert_int_equal(none.status, PROBE_UNREACH);
}

int main(void)
{
    log_init(LOG_ERROR - 1, -1);
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),        cmocka_unit_test(test_nntp), cmocka_unit_test(test_exec),
        cmocka_unit_test(test_dns),        cmocka_unit_test(test_icmp), cmocka_unit_test(test_hops),
        cmocka_unit_test(test_hops_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
