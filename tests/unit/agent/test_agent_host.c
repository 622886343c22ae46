/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Findings from a /proc/sys of our own making; VIPs in a network namespace of our own, with a neighbour behind a cable
 * that asks for them by ARP and neighbour discovery. Without root, or without ip(8), the second half is skipped.
 */
#include "../cmocka_pm.h"
#include "tree.h"
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "agent/host.h"
#include "agent/vip.h"
#include "agent/vip_netlink.h"

/* ---- findings ---- */

static void set(const struct tree *t, const char *path, int value)
{
    char name[128], text[16];
    snprintf(name, sizeof name, "sys/%s", path);
    snprintf(text, sizeof text, "%d\n", value);
    tree_write(t, name, text);
}

static void all_right(const struct tree *t)
{
    set(t, "net/ipv4/tcp_syncookies", 2);
    set(t, "net/ipv4/tcp_timestamps", 1);
    set(t, "net/ipv4/tcp_sack", 1);
    set(t, "net/ipv4/tcp_window_scaling", 1);
    set(t, "net/ipv4/conf/all/rp_filter", 0);
    set(t, "net/ipv4/conf/eth0/rp_filter", 0);
    set(t, "net/ipv4/conf/all/arp_ignore", 1);
    set(t, "net/ipv4/conf/eth0/arp_ignore", 0);
    set(t, "net/ipv4/conf/all/arp_announce", 0);
    set(t, "net/ipv4/conf/eth0/arp_announce", 2);
}

static const struct wrong {
    const char *path;
    int value;
    bool breaks;
    const char *key, *fix; /* NULL: no finding */
} wrongs[] = {
    {"net/ipv4/tcp_syncookies", 0, true, "net.ipv4.tcp_syncookies", "sysctl -w net.ipv4.tcp_syncookies=1"},
    {"net/ipv4/tcp_syncookies", 1, true, NULL, NULL},
    {"net/ipv4/tcp_timestamps", 0, false, "net.ipv4.tcp_timestamps", "sysctl -w net.ipv4.tcp_timestamps=1"},
    {"net/ipv4/tcp_timestamps", 2, false, NULL, NULL},
    {"net/ipv4/tcp_sack", 0, false, "net.ipv4.tcp_sack", "sysctl -w net.ipv4.tcp_sack=1"},
    {"net/ipv4/tcp_window_scaling", 0, false, "net.ipv4.tcp_window_scaling", "sysctl -w net.ipv4.tcp_window_scaling=1"},
    {"net/ipv4/conf/all/rp_filter", 1, true, "net.ipv4.conf.eth0.rp_filter",
     "sysctl -w net.ipv4.conf.eth0.rp_filter=2"},
    {"net/ipv4/conf/eth0/rp_filter", 1, true, "net.ipv4.conf.eth0.rp_filter",
     "sysctl -w net.ipv4.conf.eth0.rp_filter=2"},
    {"net/ipv4/conf/eth0/rp_filter", 2, true, NULL, NULL},
    {"net/ipv4/conf/all/arp_ignore", 0, true, "net.ipv4.conf.eth0.arp_ignore",
     "sysctl -w net.ipv4.conf.eth0.arp_ignore=1"},
    {"net/ipv4/conf/eth0/arp_announce", 1, true, "net.ipv4.conf.eth0.arp_announce",
     "sysctl -w net.ipv4.conf.eth0.arp_announce=2"},
};

static void test_findings(void **state)
{
    static const char *const interfaces[] = {"eth0", "gone0", "../../evil"};
    struct agent_host_finding f[8];
    struct tree t;
    tree_make(&t);
    struct agent_host_needs needs = {
        .proc = t.dir, .interfaces = interfaces, .interface_count = 3, .adopts = true, .vip_v4 = true};
    all_right(&t);
    assert_int_equal(agent_host_check(&needs, f, 8), 0);
    for (size_t i = 0; i < PM_ARRAY_LEN(wrongs); i++) {
        const struct wrong *w = &wrongs[i];
        all_right(&t);
        set(&t, w->path, w->value);
        size_t n = agent_host_check(&needs, f, 8);
        if (n != (w->key ? 1u : 0u))
            fail_msg("%s=%d: %zu findings", w->path, w->value, n);
        if (!n)
            continue;
        assert_string_equal(f[0].key, w->key);
        assert_string_equal(f[0].fix, w->fix);
        assert_int_equal(f[0].severity, w->breaks ? AGENT_HOST_BREAKS : AGENT_HOST_HURTS);
        assert_int_equal(f[0].value, w->value);
        assert_null(strchr(f[0].why, '\n'));
    }
    tree_remove(&t, ".");
}

static void test_needs(void **state)
{
    static const char *const interfaces[] = {"eth0.100"};
    struct agent_host_finding f[2];
    struct tree t;
    tree_make(&t);
    struct agent_host_needs needs = {.proc = t.dir, .interfaces = interfaces, .interface_count = 1};
    all_right(&t);
    set(&t, "net/ipv4/tcp_syncookies", 0);
    set(&t, "net/ipv4/tcp_sack", 0);
    set(&t, "net/ipv4/conf/all/arp_ignore", 0);
    set(&t, "net/ipv4/conf/eth0.100/arp_ignore", 0);
    assert_int_equal(agent_host_check(&needs, f, 2), 0); /* nothing needed, nothing found */
    needs.vip_v4 = true;
    assert_int_equal(agent_host_check(&needs, f, 2), 1);
    assert_string_equal(f[0].fix, "sysctl -w net.ipv4.conf.eth0/100.arp_ignore=1"); /* a dot in the name */
    needs.adopts = true;
    assert_int_equal(agent_host_check(&needs, f, 2), 3); /* counted beyond the array, the worst first */
    assert_string_equal(f[0].key, "net.ipv4.tcp_syncookies");
    set(&t, "net/ipv4/tcp_syncookies", 1);
    tree_write(&t, "sys/net/ipv4/tcp_sack", "what\n");
    assert_int_equal(agent_host_check(&needs, f, 2), 1); /* what cannot be read is passed over */
    tree_remove(&t, ".");
}

/* ---- VIPs ---- */

#define VIP4 "10.9.0.77"
#define VIP6 "fd00:9::77"

static bool isolated;   /* in a namespace of our own */
static pid_t neighbour; /* a process in another one, at the other end of the cable; 0: none */

static int run(const char *command)
{
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int run_there(const char *command)
{
    char text[512];
    snprintf(text, sizeof text, "nsenter -t %d -n %s", (int)neighbour, command);
    return run(text);
}

static void neighbour_start(void)
{
    char command[128];
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    neighbour = fork();
    if (neighbour == 0) {
        char ok = unshare(CLONE_NEWNET) == 0;
        (void)!write(ready[1], &ok, 1);
        for (;;)
            pause();
    }
    char ok = 0;
    assert_int_equal(read(ready[0], &ok, 1), 1);
    close(ready[0]);
    close(ready[1]);
    snprintf(command, sizeof command, "ip link add pm0 type veth peer name pm1 netns %d 2>/dev/null", (int)neighbour);
    if (!ok || run(command) != 0 || run_there("ip link set pm1 up") != 0) {
        kill(neighbour, SIGKILL);
        waitpid(neighbour, NULL, 0);
        neighbour = 0;
        return;
    }
    assert_int_equal(run("ip link set pm0 up; ip link set lo up; ip addr add 10.9.0.2/24 dev pm0;"
                         "ip addr add fd00:9::2/64 dev pm0 nodad"), 0);
    assert_int_equal(run_there("ip addr add 10.9.0.1/24 dev pm1"), 0);
    assert_int_equal(run_there("ip addr add fd00:9::1/64 dev pm1 nodad"), 0);
}

static int set_up(void **state)
{
    isolated = geteuid() == 0 && unshare(CLONE_NEWNET) == 0;
    if (isolated && run("ip link show lo > /dev/null 2>&1 && nsenter --version > /dev/null 2>&1") == 0)
        neighbour_start();
    return 0;
}

static int tear_down(void **state)
{
    if (neighbour) {
        kill(neighbour, SIGKILL);
        waitpid(neighbour, NULL, 0);
    }
    return 0;
}

struct seen {
    struct addr addr;
    bool there, marked;
};

static void see(void *ctx, const struct addr *a, bool marked)
{
    struct seen *s = ctx;
    if (addr_eq(a, &s->addr)) {
        s->there = true;
        s->marked = marked;
    }
}

static struct seen on_lo(const char *text)
{
    struct seen s = {0};
    struct agent_netlink n;
    assert_int_equal(addr_parse(text, &s.addr), 0);
    assert_int_equal(agent_netlink_open(&n), 0);
    assert_int_equal(agent_netlink_list(&n, if_nametoindex("lo"), see, &s), 0);
    agent_netlink_close(&n);
    return s;
}

static struct agent_vips *open_vips(void)
{
    struct agent_vips *v;
    struct buf why = BUF_INIT;
    assert_int_equal(agent_vips_open(NULL, NULL, &v, &why), 0);
    buf_fini(&why);
    return v;
}

static void add(struct agent_vips *v, const char *text)
{
    struct addr a;
    struct buf why = BUF_INIT;
    assert_int_equal(addr_parse(text, &a), 0);
    int err = agent_vips_add(v, &a, &why);
    if (err)
        fail_msg("%s", buf_str(&why));
    buf_fini(&why);
}

static void test_vip(void **state)
{
    static const char *const both[] = {VIP4, VIP6};
    if (!isolated)
        skip();
    for (int i = 0; i < 2; i++) {
        struct agent_vips *v = open_vips();
        assert_false(on_lo(both[i]).there);
        add(v, both[i]);
        add(v, both[i]);
        assert_true(on_lo(both[i]).there && on_lo(both[i]).marked);
        struct addr a;
        assert_int_equal(addr_parse(both[i], &a), 0);
        struct endpoint e = {a, 0};
        struct sockaddr_storage sa;
        socklen_t n = endpoint_to_sockaddr(&e, &sa);
        int fd = socket(sa.ss_family, SOCK_STREAM, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0); /* at once: no duplicate detection to wait for */
        close(fd);
        struct buf why = BUF_INIT;
        assert_int_equal(agent_vips_remove(v, &a, &why), 0);
        assert_int_equal(agent_vips_remove(v, &a, &why), 0);
        assert_false(on_lo(both[i]).there);
        add(v, both[i]);
        agent_vips_close(v);
        assert_false(on_lo(both[i]).there);
        buf_fini(&why);
    }
}

static void test_vip_of_others(void **state)
{
    if (!isolated || run("ip addr add 10.9.0.78/32 dev lo && ip addr add fd00:9::78/128 dev lo") != 0)
        skip();
    struct agent_vips *v = open_vips();
    struct addr a;
    struct buf why = BUF_INIT;
    add(v, "10.9.0.78");
    add(v, "fd00:9::78");
    assert_int_equal(addr_parse("10.9.0.78", &a), 0);
    assert_int_equal(agent_vips_remove(v, &a, &why), 0);
    assert_int_equal(agent_vips_sweep(v, &why), 0);
    agent_vips_close(v);
    assert_true(on_lo("10.9.0.78").there && !on_lo("10.9.0.78").marked);
    assert_true(on_lo("fd00:9::78").there && !on_lo("fd00:9::78").marked);
    buf_fini(&why);
}

/* A process that was killed has left its addresses: the next takes one over and sweeps the other. */
static void test_vip_left(void **state)
{
    if (!isolated)
        skip();
    struct agent_vips *v = open_vips();
    struct buf why = BUF_INIT;
    add(v, VIP4);
    add(v, VIP6);
    add(v, "10.9.0.79");
    agent_vips_leave(v);
    v = open_vips();
    add(v, VIP4);
    add(v, VIP6);
    assert_int_equal(agent_vips_sweep(v, &why), 0);
    assert_true(on_lo(VIP4).there && on_lo(VIP6).there && !on_lo("10.9.0.79").there);
    agent_vips_close(v);
    assert_false(on_lo(VIP4).there || on_lo(VIP6).there);
    buf_fini(&why);
}

/* A datagram from the neighbour, so that it asks for the address. */
static void poke(const char *text)
{
    pid_t pid = fork();
    if (pid == 0) {
        char path[64];
        struct endpoint e = {.port = 9};
        struct sockaddr_storage sa;
        snprintf(path, sizeof path, "/proc/%d/ns/net", (int)neighbour);
        int ns = open(path, O_RDONLY);
        if (ns < 0 || setns(ns, CLONE_NEWNET) != 0 || addr_parse(text, &e.addr) != 0)
            _exit(1);
        socklen_t n = endpoint_to_sockaddr(&e, &sa);
        int fd = socket(sa.ss_family, SOCK_DGRAM, 0);
        _exit(sendto(fd, "x", 1, 0, (struct sockaddr *)&sa, n) == 1 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static bool answers(const char *vip)
{
    char command[256];
    bool answered = false;
    assert_int_equal(run_there("ip neigh flush dev pm1"), 0);
    poke(vip);
    snprintf(command, sizeof command, "sh -c 'ip neigh show %s dev pm1 | grep -q lladdr'", vip);
    for (int i = 0; i < 20 && !answered; i++) {
        usleep(50000);
        answered = run_there(command) == 0;
    }
    return answered;
}

static void test_quiet(void **state)
{
    if (!neighbour)
        skip();
    struct agent_vips *v = open_vips();
    struct buf why = BUF_INIT;
    int value;
    add(v, VIP4);
    add(v, VIP6);
    assert_true(answers("10.9.0.2"));
    assert_true(answers("fd00:9::2"));
    assert_true(answers(VIP4)); /* what must not be: the test can tell */
    assert_int_equal(agent_vips_quiet(v, "pm0", &why), 0);
    assert_int_equal(agent_vips_quiet(v, "pm0", &why), 0);
    assert_false(answers(VIP4));
    assert_false(answers(VIP6));
    assert_true(answers("10.9.0.2"));
    const char *const interfaces[] = {"pm0"};
    struct agent_host_needs needs = {.interfaces = interfaces, .interface_count = 1, .vip_v4 = true};
    struct agent_host_finding f;
    assert_int_equal(agent_host_check(&needs, &f, 1), 0);
    agent_vips_close(v);
    assert_int_equal(agent_sysctl_read(NULL, "net/ipv4/conf/pm0/arp_ignore", &value), 0);
    assert_int_equal(value, 0); /* as it was */
    assert_int_equal(agent_host_check(&needs, &f, 1), 2);
    buf_fini(&why);
}

static void test_refused(void **state)
{
    struct agent_vips *v;
    struct buf why = BUF_INIT;
    struct tree t;
    assert_int_equal(agent_vips_open(NULL, "nosuch0", &v, &why), PM_ENOTFOUND);
    assert_int_equal(agent_vips_open("/nowhere", NULL, &v, &why), 0);
    assert_int_equal(agent_vips_quiet(v, "../evil", &why), PM_EINVAL);
    buf_clear(&why);
    assert_int_equal(agent_vips_quiet(v, "eth0", &why), PM_ENOTFOUND);
    assert_non_null(strstr(buf_str(&why), "sysctl -w net.ipv4.conf.eth0.arp_ignore=1"));
    agent_vips_close(v);
    tree_make(&t); /* a setting that somebody has changed since stays */
    set(&t, "net/ipv4/conf/eth0/arp_ignore", 0);
    set(&t, "net/ipv4/conf/eth0/arp_announce", 0);
    assert_int_equal(agent_vips_open(t.dir, NULL, &v, &why), 0);
    assert_int_equal(agent_vips_quiet(v, "eth0", &why), 0);
    set(&t, "net/ipv4/conf/eth0/arp_ignore", 2);
    agent_vips_close(v);
    int value;
    assert_int_equal(agent_sysctl_read(t.dir, "net/ipv4/conf/eth0/arp_ignore", &value), 0);
    assert_int_equal(value, 2);
    assert_int_equal(agent_sysctl_read(t.dir, "net/ipv4/conf/eth0/arp_announce", &value), 0);
    assert_int_equal(value, 0);
    tree_remove(&t, ".");
    buf_fini(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_findings), cmocka_unit_test(test_needs), cmocka_unit_test(test_vip),
        cmocka_unit_test(test_vip_of_others), cmocka_unit_test(test_vip_left), cmocka_unit_test(test_quiet),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
