#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attacks on the links between balancers, over real TLS: each is refused for the right cause, said once in the log, and
an honest link on the same listener keeps its round-trip time meanwhile.

Two honest nodes (the program mesh_node, built beside this) ping each other all the time; the attackers use Python's ssl.
Strangers come from 127.0.0.2 and up, since the addresses of configured peers are not limited by what strangers do.

Usage: mesh_attacks.py [POINTSMAN] (or $POINTSMAN); mesh_node is found in the same build.
"""
import json
import os
import random
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Scenario, free_port, wait_until  # noqa: E402

# A round trip on loopback takes some 100 us; the machine may be busy, so the test is for stalls, not for speed.
MAX_P99_MS = 50
STRANGER = "127.0.0.2"


class Node:
    """A mesh_node whose standard output is a file of JSON lines."""

    def __init__(self, s, program, name, argv):
        self.name, self.log = name, s.path(name + ".log")
        self.fifo = s.path(name + ".in")
        os.mkfifo(self.fifo)
        # The end of standard input stops it; lib makes it die with this test whatever happens.
        self.process = s.start(name, ["sh", "-c", 'exec "$@" <"$0" >"$0.json"', self.fifo, program] + argv)
        self.write_end = os.open(self.fifo, os.O_WRONLY)
        s.nodes.append(self)

    def lines(self, since=0):
        with open(self.fifo + ".json") as f:
            return [json.loads(x) for x in f.read().splitlines(True)[since:] if x.endswith("\n")]

    def mark(self):
        return len(self.lines())

    def last(self):
        lines = self.lines()
        return lines[-1] if lines else {"peers": {}, "refused": {}}

    def refused(self, cause):
        return self.last()["refused"].get(cause, 0)

    def logged(self, cause):
        with open(self.log, errors="replace") as f:
            return [x for x in f if "mesh connection refused" in x and "cause=%s " % cause in x]

    def command(self, text):
        os.write(self.write_end, text.encode() + b"\n")

    def stop(self):
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1
        try:
            return self.process.popen.wait(5)
        except subprocess.TimeoutExpired:
            return self.process.stop()


def context(keys, name=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    if name:
        c.load_cert_chain(os.path.join(keys, name + ".pem"))
    return c


def connect(port, source=STRANGER, timeout=5):
    v6 = ":" in source
    sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
    sock.settimeout(timeout)
    sock.bind((source, 0))
    sock.connect(("::1" if v6 else "127.0.0.1", port))
    return sock


def attempt(port, ctx, frames=b"\0\0\0\0", source=STRANGER):
    """Shakes hands, sends, and returns what came until the other side ended it (or a second passed)."""
    got = b""
    try:
        sock = connect(port, source)
        with ctx.wrap_socket(sock) as tls:
            tls.sendall(frames)
            tls.settimeout(1)
            while True:
                piece = tls.recv(65536)
                if not piece:
                    return got + b"<end>"
                got += piece
    except (ssl.SSLError, ConnectionError) as e:
        return got + ("<%s>" % e).encode()
    except (TimeoutError, socket.timeout):
        return got + b"<open>"


class Attacks:
    def __init__(self, s, pointsman, program):
        self.s, self.pointsman, self.program = s, pointsman, program
        self.keys, self.other = s.path("keys"), s.path("other")
        self.ports = {n: free_port() for n in ("a", "b", "c")}
        for argv in (["init", self.keys, "--name", "a"], ["init", self.other, "--name", "b"]):
            subprocess.run([pointsman, "keys"] + argv, check=True, stdout=subprocess.DEVNULL)
        for name in ("b", "c", "slow", "mallory"):
            subprocess.run([pointsman, "keys", "issue", name, "--dir", self.keys], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([program, "past", self.keys, "late"], check=True)
        self.a = Node(s, program, "a", ["tls", self.keys, "a", "127.0.0.1:%d,[::1]:%d" % (self.ports["a"], self.ports["a"]),
                                        "--flood", "slow", "b=127.0.0.1:%d" % self.ports["b"], "c", "slow", "late"])
        self.b = Node(s, program, "b", ["tls", self.keys, "b", "127.0.0.1:%d" % self.ports["b"],
                                        "a=127.0.0.1:%d" % self.ports["a"]])
        self.port = self.ports["a"]

    def up(self, node, peer):
        return node.last()["peers"].get(peer, {}).get("up", 0)

    def honest(self, what, since):
        """Since then the honest link was never down, and its round trips were as ever, but for one second that the machine
        may have had other things to do; what an attack holds up, it holds up for longer."""
        windows = [x["peers"]["b"] for x in self.a.lines(since) if "b" in x["peers"]]
        windows = [w for w in windows if w["n"]]
        longest = sorted((w["p99"] for w in windows), reverse=True)
        worst = longest[1 if len(longest) > 2 else 0] / 1000.0 if longest else 1e6
        ok = windows and all(w["up"] and not w["downs"] for w in windows) and worst <= MAX_P99_MS
        self.s.check("%s: the honest link is untouched (worst p99 %.1f ms, max %.1f ms)" % (
            what, worst, max((w["max"] for w in windows), default=0) / 1000.0), ok, windows[-3:])

    def expect(self, what, cause, attack, times=20):
        since, before, lines = self.a.mark(), self.a.refused(cause), len(self.a.logged(cause))
        answers = [attack() for _ in range(times)]
        seen = wait_until(lambda: self.a.refused(cause) >= before + times, 8)
        self.s.check("%s: %d times refused as %s" % (what, times, cause), seen, (self.a.last()["refused"], answers[-1]))
        self.s.equal("%s: one line in the log" % what, len(self.a.logged(cause)) - lines, 1)
        self.honest(what, since)

    # ---- single attacks ----

    def certificates(self):
        for what, cause, ctx in (("no certificate", "no-certificate", context(self.keys)),
                                 ("another authority's certificate", "untrusted", context(self.other, "b")),
                                 ("an expired certificate", "expired", context(self.keys, "late")),
                                 ("a certificate of nobody's peer", "stranger", context(self.keys, "mallory"))):
            self.expect(what, cause, lambda: attempt(self.port, ctx))
            time.sleep(1)  # 20 handshakes a second and address are let in
        got = attempt(self.port, context(self.other, "b"), b"\0\0\0\1x")
        self.s.check("a refused client hears why and nothing else", b"alert" in got and b"<open>" not in got, got)

    def not_tls(self):
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        random.seed(1)
        junk = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"SSH-2.0-x\r\n" * 10, bytes(64), b"\x16\x03\x01\xff\xff" + bytes(70000)]

        def garbage():
            sock = connect(self.port)
            data = random.choice(junk + [random.randbytes(random.randint(16, 4000))])
            try:
                sock.sendall(data)
                return sock.recv(100)
            except (ConnectionError, TimeoutError) as e:
                return str(e)
            finally:
                sock.close()
        self.expect("garbage instead of TLS", "not-tls", garbage)
        time.sleep(1)
        before = self.a.refused("not-tls")
        got = attempt(self.port, old)
        self.s.check("TLS 1.2 is refused", wait_until(lambda: self.a.refused("not-tls") > before, 5), got)

    def hello(self):
        """The first bytes of a handshake."""
        out = ssl.MemoryBIO()
        tls = context(self.keys).wrap_bio(ssl.MemoryBIO(), out)
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return out.read()

    def truncated(self):
        hello = self.hello()

        def cut():
            sock = connect(self.port)
            sock.sendall(hello[:random.randint(1, len(hello) - 1)])
            sock.close()
            time.sleep(0.02)  # not to be taken for many at once
        self.expect("a handshake cut off", "closed", cut)
        time.sleep(1)

    def replay(self):
        """What an honest client said once, said again by somebody else."""
        said, (inn, out) = [], (ssl.MemoryBIO(), ssl.MemoryBIO())
        ctx = context(self.keys, "c")
        tls, sock = ctx.wrap_bio(inn, out), connect(self.port)
        state = "shake"
        for _ in range(10):
            try:
                if state == "shake":
                    tls.do_handshake()
                    state = "up"
                    tls.write(b"\0\0\0\0" + b"\0\0\0\5hello")
                if state == "up":
                    state = "done"
            except ssl.SSLWantReadError:
                pass
            data = out.read()
            if data:
                said.append(data)
                sock.sendall(data)
            if state == "done":
                break
            inn.write(sock.recv(65536))
        up = wait_until(lambda: self.up(self.a, "c") or self.a.last()["peers"].get("c", {}).get("ups"), 5)
        self.s.check("an honest client of our authority gets a link", up, self.a.last()["peers"])
        ups = self.a.last()["peers"].get("c", {}).get("ups")
        sock.close()
        wait_until(lambda: not self.up(self.a, "c"), 5)
        before = sum(self.a.last()["refused"].values())
        for _ in range(3):
            again = connect(self.port)
            try:
                for data in said:
                    again.sendall(data)
                    time.sleep(0.05)
                again.recv(65536)
            except ConnectionError:
                pass
            again.close()
        self.s.check("a replay is refused", wait_until(lambda: sum(self.a.last()["refused"].values()) >= before + 3, 5),
                     self.a.last()["refused"])
        self.s.equal("a replay makes no link", self.a.last()["peers"].get("c", {}).get("ups"), ups)

    def huge_frames(self):
        ctx = context(self.keys, "c")
        frames = [b"\0\0\0\0" + struct.pack(">I", n) + b"x" * 100 for n in (0xffffffff, 0x80000000, 65537)]
        self.expect("a frame longer than allowed", "frame", lambda: attempt(self.port, ctx, random.choice(frames)), 9)
        since = self.a.mark()
        sock = connect(self.port)
        tls = ctx.wrap_socket(sock)
        tls.sendall(b"\0\0\0\0" + struct.pack(">I", 65536) + b"half")
        tls.settimeout(0.5)
        sock.close()
        time.sleep(1)
        self.honest("a frame cut off in the middle", since)

    def over_ipv6(self):
        self.expect("another authority's certificate over IPv6", "untrusted",
                    lambda: attempt(self.port, context(self.other, "b"), source="::1"))
        time.sleep(1)
        ups = self.a.last()["peers"].get("c", {}).get("ups", 0)
        got = attempt(self.port, context(self.keys, "c"), source="::1")
        self.s.check("an honest client over IPv6 gets a link",
                     wait_until(lambda: self.a.last()["peers"].get("c", {}).get("ups", 0) == ups + 1, 5), got)
        since, before = self.a.mark(), self.a.refused("rate") + self.a.refused("limit")
        for _ in range(200):
            try:
                connect(self.port, "::1", 0.2).close()
            except OSError:
                pass
        self.s.check("a flood over IPv6 is limited", wait_until(
            lambda: self.a.refused("rate") + self.a.refused("limit") > before + 100, 5), self.a.last()["refused"])
        self.honest("a flood over IPv6", since)

    # ---- many at once ----

    def slow_loris(self):
        since, socks, hello = self.a.mark(), [], self.hello()
        slow = self.a.refused("slow") + self.a.refused("limit")
        for i in range(600):
            sock = socket.socket()
            sock.setblocking(False)
            sock.bind(("127.0.%d.%d" % (1 + i // 200, 2 + i % 200), 0))
            sock.connect_ex(("127.0.0.1", self.port))
            socks.append([sock, 0])
            if i % 10 == 9:
                time.sleep(0.05)  # below the rate limit: the handshakes are to hang
        most = 0
        end = time.monotonic() + 5
        c = Node(self.s, self.program, "c", ["tls", self.keys, "c", "127.0.0.1:%d" % self.ports["c"],
                                             "a=127.0.0.1:%d" % self.port])
        joined = None
        start = time.monotonic()
        while time.monotonic() < end:
            for entry in socks:
                try:
                    entry[0].send(hello[entry[1]:entry[1] + 1])
                    entry[1] += 1
                except OSError:
                    pass
            most = max(most, self.a.last().get("half_open", 0))
            if joined is None and self.up(self.a, "c"):
                joined = time.monotonic() - start
            time.sleep(0.3)
        for sock, _ in socks:
            sock.close()
        refused = self.a.refused("slow") + self.a.refused("limit") - slow
        self.s.check("slow handshakes: %d of 600 refused" % refused, refused >= 590, self.a.last())
        self.s.check("slow handshakes: never more than 256 at once (%d)" % self.a.last()["half_open_most"],
                     100 < self.a.last()["half_open_most"] <= 256)
        self.s.check("a new honest peer joins meanwhile (%s s)" % joined, joined is not None and joined < 3)
        self.s.check("slow handshakes: few lines in the log (%d)" % len(self.a.logged("slow")),
                     len(self.a.logged("slow")) + len(self.a.logged("limit")) <= 120)
        self.honest("slow handshakes", since)
        c.stop()
        wait_until(lambda: not self.up(self.a, "c"), 5)

    def flood(self, what, each, seconds=3):
        since, stop, counts = self.a.mark(), time.monotonic() + seconds, [0, 0]
        cpu = self.a.last()["cpu_ms"]

        def run(k):
            while time.monotonic() < stop:
                try:
                    each(k, counts[k])
                except OSError:
                    pass
                counts[k] += 1
        threads = [threading.Thread(target=run, args=(k,)) for k in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        time.sleep(0.6)
        used = self.a.last()["cpu_ms"] - cpu
        print("# %s: %d in %d s, %d ms of CPU" % (what, sum(counts), seconds, used), flush=True)
        self.s.check("%s: many came" % what, sum(counts) > 100, counts)
        self.honest(what, since)

    def floods(self):
        def plain(k, n):
            sock = socket.socket()
            sock.settimeout(0.2)
            sock.bind(("127.0.%d.%d" % (10 + n % 50, 2 + n // 50 % 200), 0))
            sock.connect(("127.0.0.1", self.port))
            sock.close()

        ctx = context(self.keys)

        def handshake(k, n):
            sock = connect(self.port, "127.0.%d.%d" % (60 + k, 2 + n % 200), 0.5)
            try:
                ctx.wrap_socket(sock).recv(1)
            finally:
                sock.close()
        self.flood("a flood of connections", plain)
        self.flood("a flood of handshakes without a certificate", handshake)
        self.s.check("the limit of handshakes a second held", self.a.refused("rate") > 0, self.a.last()["refused"])

    def slow_reader(self):
        """A peer with a good certificate that never reads what it is sent."""
        since, rss = self.a.mark(), self.a.last()["rss_kb"]
        sock = connect(self.port, "127.0.0.3")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        tls = context(self.keys, "slow").wrap_socket(sock)
        tls.sendall(b"\0\0\0\0")
        ended = wait_until(lambda: self.a.last()["peers"].get("slow", {}).get("downs"), 15, 0.3)
        most = max(x["rss_kb"] for x in self.a.lines(since)) - rss
        self.s.check("a peer that does not read is let go (%s)" % self.a.last()["peers"].get("slow", {}).get("why"), ended)
        self.s.check("a peer that does not read costs at most 8 MB (%d KB)" % most, most < 8192)
        self.honest("a peer that does not read", since)
        tls.close()

    def impostor(self):
        """Somebody with a good certificate sits where another peer is called."""
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(os.path.join(self.keys, "mallory.pem"))
        listener = socket.create_server(("127.0.0.1", self.ports["c"]))
        listener.settimeout(5)
        d = Node(self.s, self.program, "d", ["tls", self.keys, "b", "127.0.0.1:%d" % free_port(),
                                             "c=127.0.0.1:%d" % self.ports["c"]])
        try:
            server.wrap_socket(listener.accept()[0], server_side=True).recv(100)
        except (OSError, ssl.SSLError):
            pass
        self.s.check("an impostor at a peer's address is refused by name", wait_until(lambda: d.refused("name"), 5),
                     d.last())
        self.s.equal("an impostor gets no link", d.last()["peers"], {})
        listener.close()
        d.stop()

    def run(self):
        ok = wait_until(lambda: self.up(self.a, "b") and self.up(self.b, "a"), 10)
        if not self.s.check("two nodes with certificates of one authority have a link", ok, self.a.last()):
            return
        time.sleep(1.5)
        self.honest("in peace", 1)
        for attack in (self.certificates, self.not_tls, self.truncated, self.replay, self.huge_frames, self.over_ipv6,
                       self.impostor, self.slow_reader, self.slow_loris, self.floods):
            attack()
        for node in (self.a, self.b):
            self.s.equal("node %s ends cleanly" % node.name, node.stop(), 0)
            with open(node.log, errors="replace") as f:
                text = f.read()
            self.s.check("node %s: no complaint of a sanitizer" % node.name,
                         "Sanitizer" not in text and "runtime error" not in text, text[-2000:])


def main():
    s = Scenario("mesh-attacks")
    s.nodes = []
    binary = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ["POINTSMAN"])
    Attacks(s, binary, os.path.join(os.path.dirname(binary), "../../tests/scenario/mesh_node")).run()
    s.finish()


if __name__ == "__main__":
    main()
