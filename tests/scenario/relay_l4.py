#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Plain relaying by the real daemon, in namespaces: draining, second chances, QUIC clients that move, all of a client's
packets (with vsftpd), too big packets both ways, and the lowered MSS of a node that is two hops away.

Usage: relay_l4.py [POINTSMAN] (or $POINTSMAN, or the build's); needs root, else it is skipped (77).
There is no QUIC server in Debian 12: ours speaks its headers, and nothing behind them.
"""
import collections
import contextlib
import ftplib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tools")]
from relay_peer import Datagrams, Quic, RESET, TRIES, Talk, enter, many, ping  # noqa: E402

VIPS = {"web": ("192.0.2.80", "2001:db8:1::80"), "clients": ("192.0.2.81", "2001:db8:1::81"),
        "far": ("192.0.2.82", "2001:db8:1::82"), "late": ("192.0.2.83", "2001:db8:1::83")}
PEER = os.path.join(os.path.dirname(HERE), "tools/relay_peer.py")


# ---- the site ----

class Site:
    def __init__(self, scenario, binary):
        from relay_lab import Lab
        self.s, self.binary = scenario, binary
        self.lab = Lab(3, 1, True, os.path.join(os.path.dirname(binary), "../../tests/tools"))
        self.b, self.c = self.lab.balancers[0], self.lab.client
        self.socket = self.path("control")
        with open(self.path("relay.key"), "wb") as f:
            f.write(bytes(range(32)))
        os.makedirs(self.path("root"))
        with open(self.path("root", "big"), "wb") as f:
            f.write(b"y" * 400000)
        for i, n in enumerate(self.lab.nodes):
            self.node(i, n)
        self.b.address("eth0", *(a + ("/64" if ":" in a else "/24") for v in VIPS.values() for a in v))
        self.c.address("eth0", *(f"198.51.100.{i}/24" for i in range(10, 40)), *(f"2001:db8:c::{i}/64" for i in range(10, 40)))
        self.daemon()

    def path(self, *parts):
        return os.path.join(self.lab.dir, *parts)

    def node(self, i, n):
        n.address("lo", *(a + ("/128" if ":" in a else "/32") for v in VIPS.values() for a in v if a not in VIPS["web"]))
        n.relay = n.tool("node", "eth0")
        for a in (self.b.v4, self.b.v6):
            n.relay(f"trust {a} {self.path('relay.key')}")
        p = n.start(sys.executable, PEER, n.name, "0a%02x" % (i + 1), *(a + "+" * (v == "clients") for v in VIPS for a in VIPS[v]),
                    stdout=subprocess.PIPE, text=True)
        if p.stdout.readline().strip() != "ready":
            raise RuntimeError(n.name + " does not serve")
        self.lab.nginx(n, self.path("root"), port=8080)
        folder = self.path("ftp-" + n.name)
        os.makedirs(os.path.join(folder, "up"))
        shutil.chown(os.path.join(folder, "up"), "ftp")
        with open(os.path.join(folder, "who"), "w") as f:
            f.write(n.name)
        with open(os.path.join(folder, "big"), "wb") as f:
            f.write(b"z" * 2000000)
        os.makedirs(self.path("empty-" + n.name))
        conf = self.path("vsftpd-" + n.name)
        with open(conf, "w") as f:
            f.write("\n".join(["listen=NO", "listen_ipv6=YES", "background=NO", "anonymous_enable=YES", "local_enable=NO",
                               f"anon_root={folder}", "anon_upload_enable=YES", "write_enable=YES", "anon_umask=022",
                               f"secure_chroot_dir={self.path('empty-' + n.name)}", "port_enable=YES", "connect_from_port_20=YES",
                               "xferlog_enable=NO", "seccomp_sandbox=NO", f"ftpd_banner={n.name}"]) + "\n")
        n.start("vsftpd", conf, stderr=subprocess.DEVNULL)
        self.lab.listening(n, 21)

    def servers(self, nodes, port, extra=lambda i: ""):
        return ", ".join(f"{n.name}: {{address: '{n.v4}:{port}'{extra(i)}}}" for i, n in enumerate(self.lab.nodes) if n.name in nodes)

    def service(self, name, front, servers):
        return f"""  {name}.example.com:
    check: []
    front: {front}
    sites: {{here: {{vips: ['{VIPS[name][0]}', '{VIPS[name][1]}'], servers: {{{servers}}}}}}}
"""

    def daemon(self):
        check = "check: {tcp: {}, port: 0, interval: 300ms, timeout: 200ms, fall: 2}"
        near, everybody = ("n1", "n2", "n3"), ("n1", "n2", "n3", "n4")
        text = f"""
node: {{name: b1, site: here, state: {self.path('state')}}}
dns: {{listen: ['127.0.0.1:5353']}}
api: {{socket: {self.socket}}}
zones: {{example.com: {{ns: [ns.example.com]}}}}
sites: {{here: {{}}}}
relay: {{interfaces: [eth0], key: {self.path('relay.key')}, pin: {self.lab.bpf}/b1}}
services:
""" + self.service("web", f"[{{mode: tcp, relay: packets, ports: [80, 443], quic-ids: 2, {check}}}, "
                   f"{{mode: tcp, relay: packets, ports: [4433], quic: on, {check}}}]",
                   self.servers(everybody, 80, lambda i: f", quic-id: '0a{i + 1:02x}'")) \
             + self.service("clients", f"{{mode: tcp, relay: clients, ports: [21], {check}}}",
                            self.servers(near, 21, lambda i: f", weight: {(3, 1, 0)[i]}")) \
             + self.service("far", f"{{mode: tcp, relay: packets, ports: [80, 7], {check}}}", self.servers(("n4",), 80)) \
             + self.service("late", f"{{mode: serve, relay: transfer, ports: [8080], {check}}}", self.servers(everybody, 8080))
        with open(self.path("b1.yaml"), "w") as f:
            f.write(text)
        with open(self.path("b1.log"), "wb") as log:
            p = self.b.start(self.binary, "run", "-c", self.path("b1.yaml"), stdout=log, stderr=log)
        end = time.time() + 15
        while time.time() < end and p.poll() is None:
            with contextlib.suppress(ValueError, RuntimeError):
                if all(n["via"] in ("lan", "hops") for n in self.view()["nodes"]) and self.view()["nodes"]:
                    break
            time.sleep(0.1)
        if p.poll() is not None:
            raise RuntimeError(self.log())
        time.sleep(0.7)  # checks have a verdict

    def log(self):
        with open(self.path("b1.log"), errors="replace") as f:
            return "".join("# " + line for line in f.readlines()[-30:])

    def cli(self, *words):
        return self.b.run(self.binary, *words, "--socket", self.socket)

    def view(self):
        return json.loads(self.cli("relay", "--json"))

    def counters(self):
        return collections.Counter(self.view()["counters"])

    def rises(self, name, what, at_least=1):
        """A check that the counters rise while something is done."""
        @contextlib.contextmanager
        def around():
            before = self.counters()
            yield
            after = self.counters()
            self.s.check(what, after[name] - before[name] >= at_least, {k: v for k, v in (after - before).items()})
        return around()


# ---- scenes ----

def spread(site):
    s = site.s
    for vip in VIPS["web"]:
        names = [t.name for t in many(60, lambda i: Talk(vip)) if isinstance(t, Talk)]
        s.check(f"{vip}: connections go to all four nodes, one of them two hops away", len(names) == 60 and len(set(names)) == 4,
                collections.Counter(names))


def drain(site):
    s, vip = site.s, VIPS["web"][0]
    talks = many(60, lambda i: Talk(vip))
    on = [t for t in talks if t.name == "n1"]
    udp = [q for q in many(30, lambda i: Quic(vip, 4433)) if q.name == "n1"]
    s.check("some are on n1", on and udp)
    site.cli("drain", "n1")
    time.sleep(0.3)
    s.check("drained: its connections go on", all(t.alive() for t in on))
    s.check("drained: its QUIC connections go on", all(q.stays() for q in udp))
    names = collections.Counter(t.name for t in many(60, lambda i: Talk(vip)))
    s.check("drained: no new connections", "n1" not in names and sum(names.values()) == 60, names)
    site.cli("disable", "n1")
    time.sleep(0.3)
    with site.rises("reset_sent", "disabled: resets are sent", len(on)):
        s.check("disabled: its connections end", not any(t.alive() for t in on))
    s.check("disabled: its QUIC connections get an end from another node", all(q.say() == RESET for q in udp), len(udp))
    s.check("the others' connections never noticed", all(t.alive() for t in talks if t not in on))
    site.cli("enable", "n1")
    time.sleep(0.3)
    names = collections.Counter(t.name for t in many(60, lambda i: Talk(vip)))
    s.check("enabled: it gets connections again", names["n1"] > 0, names)


def judged(site):
    """Checks of n1 fail everywhere, though it serves clients on; then an operator says that it is well."""
    s, vip, n1 = site.s, VIPS["web"][0], site.lab.nodes[0]

    def verdict(via):
        end = time.monotonic() + 5
        while time.monotonic() < end and {n["node"]: n["via"] for n in site.view()["nodes"]}["n1"] != via:
            time.sleep(0.1)
        time.sleep(0.2)
    talks = many(60, lambda i: Talk(vip))
    on = [t for t in talks if t.name == "n1"]
    n1.run("ip", "route", "add", "blackhole", site.b.v4)
    verdict("down")
    s.check("down: its connections end, and only those", on and not any(t.alive() for t in on) and
            all(t.alive() for t in talks if t not in on))
    names = collections.Counter(t.name for t in many(60, lambda i: Talk(vip)))
    s.check("down: it gets nothing", "n1" not in names and sum(names.values()) == 60, names)
    site.cli("enable", "n1", "--force")
    verdict("lan")
    names = collections.Counter(t.name for t in many(60, lambda i: Talk(vip)))
    s.check("forced: it gets connections, whatever the checks say", names["n1"] > 0, names)
    n1.run("ip", "route", "del", "blackhole", site.b.v4)
    site.cli("enable", "n1")
    time.sleep(1)


def second_chance(site):
    """n2's answers to clients vanish, while checks find it well."""
    s, n2 = site.s, site.lab.nodes[1]
    n2.run("ip", "route", "add", "blackhole", "198.51.100.0/24")
    n2.run("ip", "-6", "route", "add", "blackhole", "2001:db8:c::/64")
    time.sleep(0.2)
    for vip in VIPS["web"]:
        with site.rises("second_chance", f"{vip}: second chances are counted"):
            began = time.monotonic()
            got = many(40, lambda i: Talk(vip, timeout=6))
            took = time.monotonic() - began
        talks = [t for t in got if isinstance(t, Talk)]
        s.check(f"{vip}: all are connected although one node does not answer", len(talks) == 40 and all(t.alive() for t in talks)
                and "n2" not in {t.name for t in talks} and 0.9 < took < 5, [took, got])
    n2.run("ip", "route", "del", "blackhole", "198.51.100.0/24")
    n2.run("ip", "-6", "route", "del", "blackhole", "2001:db8:c::/64")


def quic(site):
    s = site.s
    for vip, other in zip(VIPS["web"], ("198.51.100.33", "2001:db8:c::33")):
        for port, what in ((443, "ids with the server's"), (4433, "random ids")):
            conns = [q for q in many(30, lambda i: Quic(vip, port)) if isinstance(q, Quic)]
            names = {q.name for q in conns}
            s.check(f"{vip}, {what}: connections are spread and stay", len(conns) == 30 and len(names) > 2 and
                    all(q.stays() for q in conns), names)
            for q in conns:
                q.move()
            with site.rises("quic_id" if port == 443 else "quic_kept", f"{vip}, {what}: moved connections are counted", 20):
                s.check(f"{vip}, {what}: another port, the same node", all(many(30, lambda i: conns[i].stays())))
            for q in conns:
                q.move(other)
            s.check(f"{vip}, {what}: another address, the same node", all(many(30, lambda i: conns[i].stays())))
    # Migration (RFC 9000 9.5): a new id from a new address.
    conns = many(30, lambda i: Quic(VIPS["web"][0], 4433))
    many(30, lambda i: conns[i].next_id())
    for q in conns:
        q.move()
    with site.rises("quic_unknown", "random ids, a new one from a new address: counted as unknown", 20):
        stayed = sum(many(30, lambda i: conns[i].stays()))
    s.check("... by hash: some are lost, and told so", 0 < stayed < 30, stayed)


def ftp(site, vip, passive):
    f = ftplib.FTP()
    f.connect(vip, 21, timeout=8)
    banner = f.getwelcome()[4:]
    f.login()
    f.set_pasv(passive)
    who, got, data = [], io.BytesIO(), os.urandom(300000)
    f.retrlines("RETR who", who.append)
    f.retrbinary("RETR big", got.write)
    name = "up/" + os.urandom(6).hex()
    f.storbinary("STOR " + name, io.BytesIO(data))
    f.voidcmd("TYPE I")
    ok = got.getvalue() == b"z" * 2000000 and f.size(name) == len(data) and who == [banner]
    f.quit()
    return banner if ok else "bad"


def clients(site):
    s = site.s
    for vip, prefix in zip(VIPS["clients"], ("198.51.100.", "2001:db8:c::")):
        seen, bad = collections.Counter(), []
        sources = [prefix + str(i) for i in range(10, 34)]

        def all_of(i):
            source = sources[i]
            big = b"b" * 4000  # in fragments
            return [Talk(vip, source).name, Datagrams(vip, 7, source).ask(b"x").split()[0].decode(),
                    *(x.decode() for x in Datagrams(vip, 7, source).ask(big).split()), Talk(vip, source, 443).name,
                    Datagrams(vip, 0 if ":" in vip else 7, source, socket.SOCK_RAW, TRIES).ask(b"raw").split()[0].decode()]
        for i, got in enumerate(many(len(sources), all_of)):
            if not isinstance(got, list) or got.pop(3) != "4000" or len(set(got)) != 1:
                bad.append((sources[i], got))
            else:
                seen[got[0]] += 1
        s.check(f"{vip}: TCP, UDP, fragments and an unknown protocol of each client go to one node", not bad, bad)
        s.check(f"{vip}: clients are spread by the director's weights, 3, 1 and 0", seen["n1"] > seen["n2"] > 0 and not seen["n3"], seen)
        with site.rises("flow_hit", f"{vip}: pings go to the client's node", 6):
            s.equal(f"{vip}: ping, whole and in fragments", [ping(vip, sources[0], size) for size in (56, 4000)], [3, 3])
        for passive in (True, False):
            names = many(4, lambda i: ftp(site, vip, passive))
            s.check(f"{vip}: FTP, {'passive' if passive else 'active'}: control and data at one node",
                    len(set(names)) == 1 and names[0] in ("n1", "n2"), names)
    stay = Talk(VIPS["clients"][0], "198.51.100.10")
    site.cli("drain", stay.name)
    time.sleep(0.3)
    s.check("a client stays at its drained node, with new connections too", stay.alive() and
            Talk(VIPS["clients"][0], "198.51.100.10").name == stay.name)
    site.cli("enable", stay.name)


def df_echo(vip, size, how=1):
    """(refused sends, answer's size) of datagrams that may not be fragmented on the way; how=0: that may."""
    d = Datagrams(vip, 7)
    level, option = (socket.IPPROTO_IPV6, 23) if ":" in vip else (socket.IPPROTO_IP, 10)  # IP(V6)_MTU_DISCOVER
    d.sock.setsockopt(level, option, how)  # 1: by what is known of the path
    refused = 0
    for _ in range(6):
        with contextlib.suppress(OSError):
            got = d.ask(b"d" * size, 1)
            if got:
                return refused, int(got.split()[1])
            continue
        refused += 1
    return refused, 0


def forget_paths(hosts):
    for h in hosts:
        h.run("ip", "route", "flush", "cache")
        h.run("ip", "-6", "route", "flush", "cache")


def too_big(site):
    s = site.s
    for vip in VIPS["far"]:
        v6 = ":" in vip
        with site.rises("too_big_v6" if v6 else "too_big_v4", f"{vip}: the client is told that the tunnel is narrower"):
            s.check(f"{vip}: 1 MB up over two hops, by path MTU discovery", Talk(vip).upload(1000000))
        forget_paths([site.c])
        with site.rises("too_big_v6" if v6 else "too_big_v4", f"{vip}: the same for UDP"):
            refused, size = df_echo(vip, 1452 if v6 else 1472)
        s.equal(f"{vip}: a full datagram, first refused, then fragmented, arrives whole", (refused > 0, size), (True, 1452 if v6 else 1472))
        forget_paths([site.c])
    s.equal("a datagram that may be fragmented on the way is cut by its sender, once told", df_echo(VIPS["far"][0], 1472, 0)[1], 1472)
    # A narrow link between the site and its client: a router's "too big" must find the node.
    site.lab.router.run("ip", "link", "set", "cl", "mtu", "1300")
    for family in (0, 1):
        with site.rises("icmp_relayed", f"IPv{4 + 2 * family}: errors from the way to the client are relayed", 3):
            jobs = [(service, VIPS[service][family]) for service in ("web", "web", "web", "clients", "far")]
            got = many(len(jobs), lambda i: Talk(jobs[i][1]).download(400000))
            s.check(f"IPv{4 + 2 * family}: downloads over a narrower link, plain, by client, and from two hops away", got == [True] * len(jobs), got)
        forget_paths(site.lab.nodes)
        host = f"[{VIPS['late'][1]}]" if family else VIPS["late"][0]
        with site.rises("icmp_relayed", f"IPv{4 + 2 * family}: errors about delayed connections are relayed"):
            p = [site.c.start("curl", "-sS", "-m", "10", "-w", "%{size_download} %{errormsg}", "-o", "/dev/null",
                              f"http://{host}:8080/big", stdout=subprocess.PIPE, text=True) for _ in range(8)]
            out = [x.communicate()[0] for x in p]
        s.check(f"IPv{4 + 2 * family}: the same for delayed connections, at near and far nodes", all(o.startswith("400000 ") for o in out), out)
    site.lab.router.run("ip", "link", "set", "cl", "mtu", "1500")
    forget_paths(site.lab.nodes)


def mss(site):
    s, far = site.s, site.lab.nodes[3]
    for vip in VIPS["far"]:
        far.relay(f"clamp eth0 {vip} 1500")
        before = site.counters()
        t = Talk(vip)
        told = t.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        s.check(f"{vip}: 1 MB up over two hops", t.upload(1000000))
        rise = site.counters() - before
        s.check(f"{vip}: without a single ICMP", not rise["too_big_v4"] + rise["too_big_v6"] + rise["dropped_icmp_limit"], rise)
        s.check(f"{vip}: because of the lowered MSS", int(str(far.relay(f"clamped {vip}"))) >= 1 and
                told <= (1364 if ":" in vip else 1384), told)
        s.check(f"{vip}: and down again", t.download(1000000))


def main(binary):
    from lib import Scenario
    from relay_farm import alone
    alone()
    s = Scenario("relay_l4")
    site = Site(s, binary)
    view = site.view()
    if not view["on"]:
        print("skipped: " + view["why"])
        sys.exit(77)
    enter(site.c.ns)
    for scene in (spread, too_big, mss, quic, clients, second_chance, drain, judged):
        began = time.monotonic()
        try:
            scene(site)
        except Exception as e:  # pylint: disable=broad-except
            s.check(f"{scene.__name__} comes to its end", False, repr(e))
        if os.environ.get("PM_TIMES"):
            print("# %s %.1f s" % (scene.__name__, time.monotonic() - began), flush=True)
    if s.failed:
        print(site.log(), "#", {k: v for k, v in site.counters().items() if v})
    site.lab.close()
    s.finish()


if __name__ == "__main__":
    missing = [t for t in ("vsftpd", "nginx", "curl", "ip", "unshare") if not shutil.which(t, path="/usr/sbin:/usr/bin:/sbin:/bin")]
    if os.getuid() != 0 or missing:
        print("skipped: needs root" if os.getuid() else "skipped: not installed: " + ", ".join(missing))
        sys.exit(77)
    default = os.path.join(os.path.dirname(os.path.dirname(HERE)), "build/src/main/pointsman")
    main(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("POINTSMAN", default)))
