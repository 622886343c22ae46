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
import hashlib
import io
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tools")]
TRIES = 253  # a protocol for experiments (RFC 3692)
VIPS = {"web": ("192.0.2.80", "2001:db8:1::80"), "clients": ("192.0.2.81", "2001:db8:1::81"),
        "far": ("192.0.2.82", "2001:db8:1::82"), "late": ("192.0.2.83", "2001:db8:1::83")}
RESET = b"RESET"


# ---- what runs on the nodes ----

def tcp_serve(sock, name):
    def one(c):
        with c, c.makefile("rb") as lines:
            c.sendall(name + b"\n")
            for line in lines:
                word, *rest = line.split()
                if word == b"UP":
                    c.sendall(hashlib.sha256(lines.read(int(rest[0]))).hexdigest().encode() + b"\n")
                elif word == b"DOWN":
                    c.sendall(b"x" * int(rest[0]))
                else:
                    c.sendall(name + b"\n")

    def quietly(c):
        with contextlib.suppress(OSError):
            one(c)
    while True:
        threading.Thread(target=quietly, args=(sock.accept()[0],), daemon=True).start()


def quic_serve(sock, name, server_id):
    """server_id: what is put into connection ids; empty: they are random."""
    known = set()
    while True:
        data, client = sock.recvfrom(2000)
        if data[0] & 0x80:
            length = data[5]
            if data[0] >> 4 & 3 == 0:  # Initial: an id of our choice
                cid = bytes([0x0b]) + server_id + os.urandom(8) if server_id else os.urandom(18)
                known.add(cid[:8])
                sock.sendto(bytes([0xc0]) + b"\0\0\0\1" + bytes([0, len(cid)]) + cid + name, client)
                continue
            cid = data[6:6 + length]
        else:
            cid = data[1:20]
        if cid[:8] not in known:
            sock.sendto(RESET, client)
        elif b"NEXT" in data:  # another id for the same connection (NEW_CONNECTION_ID)
            cid = os.urandom(18)
            known.add(cid[:8])
            sock.sendto(b"\x43" + cid, client)
        else:
            sock.sendto(b"\x43" + name, client)


def echo_serve(sock, name, raw4):
    while True:
        data, client = sock.recvfrom(65536)
        skip = (data[0] & 15) * 4 if raw4 else 0
        sock.sendto(name + b" %d" % (len(data) - skip), client)


def serve(name, server_id):
    def start(fn, *args):
        threading.Thread(target=fn, args=args, daemon=True).start()

    name = name.encode()
    for port in (80, 443, 4433):
        start(tcp_serve, socket.create_server(("::", port), family=socket.AF_INET6, backlog=500, dualstack_ipv6=True), name)
    for service, vips in VIPS.items():
        for vip in vips:
            family = socket.AF_INET6 if ":" in vip else socket.AF_INET
            for port in (443, 4433, 7):
                s = socket.socket(family, socket.SOCK_DGRAM)
                s.bind((vip, port))
                if port == 7:
                    start(echo_serve, s, name, False)
                else:
                    start(quic_serve, s, name, bytes.fromhex(server_id) if port == 443 else b"")
            if service == "clients":
                s = socket.socket(family, socket.SOCK_RAW, TRIES)
                s.bind((vip, 0))
                start(echo_serve, s, name, family == socket.AF_INET)
    print("ready", flush=True)
    threading.Event().wait()


# ---- clients ----

def enter(ns):
    """This process's sockets are made there from now on."""
    import ctypes
    fd = os.open(f"/run/netns/{ns}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


class Talk:
    def __init__(self, vip, source=None, port=80, timeout=8):
        self.sock = socket.create_connection((vip, port), timeout, (source, 0) if source else None)
        self.lines = self.sock.makefile("rb")
        self.name = self.lines.readline().strip().decode()

    def say(self, line):
        self.sock.sendall(line + b"\n")
        return self.lines.readline().strip().decode()

    def alive(self):
        try:
            return self.say(b"PING") == self.name
        except OSError:
            return False

    def upload(self, n):
        data = os.urandom(n)
        self.sock.sendall(b"UP %d\n" % n + data)
        return self.lines.readline().strip().decode() == hashlib.sha256(data).hexdigest()

    def download(self, n):
        self.sock.sendall(b"DOWN %d\n" % n)
        return self.lines.read(n) == b"x" * n

    def close(self):
        self.lines.close()
        self.sock.close()


def many(n, make):
    """n at once; what make(i) gave, or its exception."""
    got = [None] * n

    def one(i):
        try:
            got[i] = make(i)
        except OSError as e:
            got[i] = e
    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return got


class Datagrams:
    def __init__(self, vip, port, source=None, kind=socket.SOCK_DGRAM, proto=0):
        self.family = socket.AF_INET6 if ":" in vip else socket.AF_INET
        self.sock = socket.socket(self.family, kind, proto)
        if source:
            self.sock.bind((source, 0))
        self.raw4 = kind == socket.SOCK_RAW and self.family == socket.AF_INET
        self.sock.connect((vip, port))

    def ask(self, data, tries=3):
        for _ in range(tries):
            self.sock.send(data)
            if select.select([self.sock], [], [], 0.7)[0]:
                got = self.sock.recv(65536)
                return got[20:] if self.raw4 else got
        return b""


class Quic:
    """A client whose address may change."""

    def __init__(self, vip, port):
        self.vip, self.port, self.first = vip, port, os.urandom(8)
        self.d = Datagrams(vip, port)
        got = self.d.ask(self.long(0))
        self.cid, self.name = got[7:7 + got[6]], got[7 + got[6]:].decode()
        self.d.ask(self.long(2))
        self.address = self.d.sock.getsockname()

    def long(self, kind):
        cid = self.cid if kind else self.first
        return bytes([0xc0 | kind << 4]) + b"\0\0\0\1" + bytes([len(cid)]) + cid + b"\x08" + os.urandom(8) + b"\0" * 1000

    def move(self, source=None):
        self.d.sock.close()
        self.d = Datagrams(self.vip, self.port, source)

    def say(self, data=b"hello"):
        got = self.d.ask(b"\x43" + self.cid + data)
        return got if got == RESET else got[1:]

    def stays(self):
        return self.say() == self.name.encode()

    def next_id(self):
        self.cid = self.say(b"NEXT")


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
        p = n.start(sys.executable, os.path.abspath(__file__), "--serve", n.name, "0a%02x" % (i + 1), stdout=subprocess.PIPE, text=True)
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
        check = "check: {tcp: {}, interval: 300ms, timeout: 200ms, fall: 2}"
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
            self.b.start(self.binary, "run", "-c", self.path("b1.yaml"), stdout=log, stderr=log)
        end = time.time() + 15
        while time.time() < end:
            with contextlib.suppress(ValueError, RuntimeError):
                if all(n["via"] in ("lan", "hops") for n in self.view()["nodes"]) and self.view()["nodes"]:
                    break
            time.sleep(0.1)
        time.sleep(0.7)  # checks have a verdict

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
    with site.rises("quic_unknown", "random ids, a new one from a new address: counted as unknown", 30):
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
            out = [site.c.run("ping", "-c", "3", "-i", "0.1", "-W", "1", "-s", str(size), "-I", sources[0], vip, check=False)
                   for size in (56, 4000)]
        s.check(f"{vip}: ping, whole and in fragments", all("3 received" in o for o in out), out)
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


def df_echo(vip, size):
    """(refused sends, answer's size) of datagrams that may not be fragmented on the way."""
    d = Datagrams(vip, 7)
    level, option = (socket.IPPROTO_IPV6, 23) if ":" in vip else (socket.IPPROTO_IP, 10)  # IP(V6)_MTU_DISCOVER
    d.sock.setsockopt(level, option, 1)  # WANT: by what is known of the path
    refused = 0
    for _ in range(6):
        with contextlib.suppress(OSError):
            got = d.ask(b"d" * size, 1)
            if got:
                return refused, int(got.split()[1])
            continue
        refused += 1
    return refused, 0


def too_big(site):
    s = site.s
    for vip in VIPS["far"]:
        v6 = ":" in vip
        with site.rises("too_big_v6" if v6 else "too_big_v4", f"{vip}: the client is told that the tunnel is narrower"):
            s.check(f"{vip}: 1 MB up over two hops, by path MTU discovery", Talk(vip).upload(1000000))
        site.c.run("ip", *(["-6"] if v6 else []), "route", "flush", "cache")
        with site.rises("too_big_v6" if v6 else "too_big_v4", f"{vip}: the same for UDP"):
            refused, size = df_echo(vip, 1452 if v6 else 1472)
        s.equal(f"{vip}: a full datagram, first refused, then fragmented, arrives whole", (refused > 0, size), (True, 1452 if v6 else 1472))
        site.c.run("ip", *(["-6"] if v6 else []), "route", "flush", "cache")
    # A narrow link between the site and its client: a router's "too big" must find the node.
    site.lab.router.run("ip", "link", "set", "cl", "mtu", "1300")
    for family in (0, 1):
        with site.rises("icmp_relayed", f"IPv{4 + 2 * family}: errors from the way to the client are relayed", 3):
            jobs = [(service, VIPS[service][family]) for service in ("web", "web", "web", "clients", "far")]
            got = many(len(jobs), lambda i: Talk(jobs[i][1]).download(400000))
            s.check(f"IPv{4 + 2 * family}: downloads over a narrower link, plain, by client, and from two hops away", got == [True] * len(jobs), got)
        host = f"[{VIPS['late'][1]}]" if family else VIPS["late"][0]
        with site.rises("icmp_relayed", f"IPv{4 + 2 * family}: errors about delayed connections are relayed"):
            p = [site.c.start("curl", "-sS", "-m", "10", "-w", "%{size_download} %{errormsg}", "-o", "/dev/null",
                              f"http://{host}:8080/big", stdout=subprocess.PIPE, text=True) for _ in range(8)]
            out = [x.communicate()[0] for x in p]
        s.check(f"IPv{4 + 2 * family}: the same for delayed connections, at near and far nodes", all(o.startswith("400000 ") for o in out), out)
    site.lab.router.run("ip", "link", "set", "cl", "mtu", "1500")
    for n in site.lab.nodes:
        n.run("ip", "route", "flush", "cache")
        n.run("ip", "-6", "route", "flush", "cache")


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
    for scene in (spread, mss, quic, clients, second_chance, drain, too_big):
        began = time.monotonic()
        try:
            scene(site)
        except Exception as e:  # pylint: disable=broad-except
            s.check(f"{scene.__name__} comes to its end", False, repr(e))
        if os.environ.get("PM_TIMES"):
            print("# %s %.1f s" % (scene.__name__, time.monotonic() - began), flush=True)
    if s.failed:
        with open(site.path("b1.log"), errors="replace") as f:
            print("".join("# " + line for line in f.readlines()[-30:]))
        print("#", {k: v for k, v in site.counters().items() if v})
    site.lab.close()
    s.finish()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
    missing = [t for t in ("vsftpd", "nginx", "curl", "ip", "ping", "unshare") if not shutil.which(t, path="/usr/sbin:/usr/bin:/sbin:/bin")]
    if os.getuid() != 0 or missing:
        print("skipped: needs root" if os.getuid() else "skipped: not installed: " + ", ".join(missing))
        sys.exit(77)
    default = os.path.join(os.path.dirname(os.path.dirname(HERE)), "build/src/main/pointsman")
    main(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("POINTSMAN", default)))
