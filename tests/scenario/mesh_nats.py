#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Links over a real NATS cluster of three servers: they come up by themselves, prove names, survive a server's death, and a
node that does not read costs the others nothing.

Usage: mesh_nats.py POINTSMAN (or $POINTSMAN); mesh_node is found in the same build.
"""
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Scenario, wait_until  # noqa: E402
from nats_cluster import Cluster, available  # noqa: E402

SUBJECT = "test.mesh"


class Node:
    """A mesh_node whose standard output is a file of JSON lines."""

    def __init__(self, s, program, name, argv):
        self.name, self.log, self.fifo = name, s.path(name + ".log"), s.path(name + ".in")
        if not os.path.exists(self.fifo):
            os.mkfifo(self.fifo)
        with open(self.fifo + ".json", "w"):
            pass
        self.process = s.start(name, ["sh", "-c", 'exec "$@" <"$0" >>"$0.json"', self.fifo, program] + argv)
        self.write_end = os.open(self.fifo, os.O_WRONLY)

    def lines(self, since=0):
        with open(self.fifo + ".json") as f:
            return [json.loads(x) for x in f.read().splitlines(True)[since:] if x.endswith("\n")]

    def mark(self):
        return len(self.lines())

    def last(self):
        lines = self.lines()
        return lines[-1] if lines else {"peers": {}}

    def up(self):
        return sorted(n for n, p in self.last()["peers"].items() if p["up"])

    def downs(self, peer):
        return self.last()["peers"].get(peer, {}).get("downs", 0)

    def stop(self):
        os.close(self.write_end)
        try:
            return self.process.popen.wait(10)
        except subprocess.TimeoutExpired:
            return self.process.stop()

    def kill(self):
        self.process.popen.kill()
        self.process.popen.wait()
        os.close(self.write_end)


class World:
    def __init__(self, s, pointsman):
        self.s = s
        self.program = os.path.join(os.path.dirname(pointsman), "../../tests/scenario/mesh_node")
        self.keys, self.other = s.path("keys"), s.path("other")
        for folder in (self.keys, self.other):
            subprocess.run([pointsman, "keys", "init", folder, "--name", "a"], check=True, stdout=subprocess.DEVNULL)
            for name in ("b", "c.x", "d", "e"):
                subprocess.run([pointsman, "keys", "issue", name, "--dir", folder], check=True, stdout=subprocess.DEVNULL)
        with open(self.program, "rb") as f:
            self.slack = 16 if b"__asan_init" in f.read() else 1  # it keeps what is freed for a while
        self.cluster = Cluster(s)
        self.nodes = {}

    # Each is given one server; the others it learns from that.
    def start(self, name, server, region="r", more=(), keys=None, label=None):
        label = label or name
        self.nodes[label] = Node(self.s, self.program, label, ["nats", keys or self.keys, name, region, SUBJECT,
                                                               self.cluster.url(server)] + list(more))
        return self.nodes[label]

    def all_up(self, *names):
        return all(set(names) - {n} <= set(self.nodes[n].up()) for n in names)

    def worst(self, node, peer, since):
        return max((x["peers"][peer]["p99"] for x in node.lines(since) if x["peers"].get(peer, {}).get("n")), default=1e9) / 1000


def joins(w):
    s = w.s
    start = time.monotonic()
    for name, server in (("a", "nats-1"), ("b", "nats-2"), ("c.x", "nats-3")):
        w.start(name, server)
    ok = wait_until(lambda: w.all_up("a", "b", "c.x"), 10)
    s.check("three nodes at three servers find each other (%.1f s)" % (time.monotonic() - start), ok,
            [n.last() for n in w.nodes.values()])
    mark = w.nodes["a"].mark()
    time.sleep(1.5)
    worst = w.worst(w.nodes["a"], "b", mark + 1)
    s.check("messages go at once (p99 %.1f ms)" % worst, worst < 50)


def server_dies(w, how):
    s, a, b, c = w.s, w.nodes["a"], w.nodes["b"], w.nodes["c.x"]
    downs = [a.downs("b"), a.downs("c.x"), b.downs("c.x")]
    losses = b.last()["losses"]
    name = w.cluster.at(b.last()["server"])
    w.cluster.process[name].signal(signal.SIGKILL if how == "killed" else signal.SIGSTOP)
    start = time.monotonic()
    moved = wait_until(lambda: b.last()["losses"] > losses and b.last()["connected"], 20)
    took = time.monotonic() - start
    mark = b.mark()
    again = wait_until(lambda: any(x["peers"].get("a", {}).get("n") and x["peers"].get("c.x", {}).get("n") for x in b.lines(mark)), 10)
    s.check("a server is %s: its node goes to another one (%.1f s) and hears its peers" % (how, took), moved and again, b.last())
    if how == "killed":
        s.equal("no link was lost with it", [a.downs("b"), a.downs("c.x"), b.downs("c.x")], downs)
        w.cluster.process[name].popen.wait()
        w.cluster.start(name)
    else:
        s.check("the links are there", wait_until(lambda: w.all_up("a", "b", "c.x"), 20))
        w.cluster.process[name].signal(signal.SIGCONT)
    time.sleep(1)


def restart(w):
    s = w.s
    for name in ("c.x", "a"):
        others = [n for n in ("a", "b", "c.x") if n != name]
        ups = w.nodes[others[0]].last()["peers"][name]["ups"]
        w.nodes[name].kill()
        start = time.monotonic()
        w.start(name, "nats-3")
        ok = wait_until(lambda: w.all_up("a", "b", "c.x") and w.nodes[others[0]].last()["peers"][name]["ups"] > ups, 10)
        s.check("%s is killed and back: links again (%.1f s)" % (name, time.monotonic() - start), ok,
                [n.last()["peers"] for n in w.nodes.values()])
    w.nodes["c.x"].kill()
    start = time.monotonic()
    gone = wait_until(lambda: "c.x" not in w.nodes["a"].up() and "c.x" not in w.nodes["b"].up(), 12)
    s.check("a dead node's links end (%.1f s)" % (time.monotonic() - start), gone)
    w.start("c.x", "nats-3")
    s.check("and come again", wait_until(lambda: w.all_up("a", "b", "c.x"), 10))


def slow_reader(w):
    """d floods e; e is stopped by a signal, so it takes nothing from its server."""
    s, a = w.s, w.nodes["a"]
    d = w.start("d", "nats-1", more=["--flood", "e"])
    e = w.start("e", "nats-2")
    s.check("two more join", wait_until(lambda: w.all_up("a", "b", "c.x", "d", "e"), 10), [n.up() for n in w.nodes.values()])
    mark = d.mark()
    time.sleep(2)
    lines = d.lines(mark)
    rate = (lines[-1]["bytes_out"] - lines[0]["bytes_out"]) / max(1, len(lines) - 1) * 2 / 1e6 if len(lines) > 1 else 0
    s.check("a flood of long messages flows (%.0f MB/s)" % rate, rate > 5, lines[-1:])
    rss, mark, amark = d.last()["rss_kb"], d.mark(), a.mark()
    downs = a.downs("b")
    e.process.signal(signal.SIGSTOP)
    ended = wait_until(lambda: "e" not in d.up(), 20)
    most = max(x["rss_kb"] for x in d.lines(mark)) - rss
    s.check("a node that does not read loses its link", ended, d.last()["peers"].get("e"))
    s.check("and costs at most 8 MB (%d KB)" % most, most < 8192 * w.slack)
    s.check("the others' links stay, their round trips too (p99 %.1f ms)" % w.worst(a, "b", amark),
            a.downs("b") == downs and w.worst(a, "b", amark) < 500)
    e.process.signal(signal.SIGCONT)
    s.check("it reads again and is back", wait_until(lambda: w.all_up("d", "e") and w.all_up("a", "e"), 20), d.last()["peers"])
    s.equal("d ends cleanly", d.stop(), 0)
    s.equal("e ends cleanly", e.stop(), 0)
    for name in ("d", "e"):
        del w.nodes[name]


def strangers(w):
    s, a = w.s, w.nodes["a"]
    refused = {n: w.nodes[n].last()["refused"] for n in ("a", "b")}
    m = w.start("d", "nats-1", keys=w.other, label="mallory")
    seen = wait_until(lambda: m.last().get("refused", 0) >= 2, 10)
    s.check("a node with another authority's certificate is refused", seen and a.last()["refused"] > refused["a"], m.last())
    s.equal("and gets no link", [m.up(), "d" in a.up(), "d" in w.nodes["b"].up()], [[], False, False])
    s.equal("it ends cleanly", m.stop(), 0)
    del w.nodes["mallory"]
    with open(a.log) as f:
        told = [x for x in f if "made no link" in x]
    s.check("said about once (%d lines)" % len(told), 1 <= len(told) <= 2, told)


def forged(w):
    """Anybody who may publish: junk, calls without end, presence of thousands."""
    s, a = w.s, w.nodes["a"]
    mark, downs, last = a.mark(), a.downs("b"), a.last()
    sock = socket.create_connection(("127.0.0.1", w.cluster.port["nats-1"]))
    sock.sendall(b'CONNECT {"verbose":false}\r\n')

    def publish(to, data):
        sock.sendall(b"PUB %s.%s %d\r\n%s\r\n" % (SUBJECT.encode(), to, len(data), data))

    def head(kind, link, seq=0):
        return b"DN" + struct.pack(">BBQII", 1, kind, link, seq, 0)

    for i in range(3000):
        publish(b"to.b", os.urandom(i % 100))
        publish(b"to.b", head(1, i + 1) + b"\1a" + os.urandom(50))
        publish(b"to.a", head(2, i + 1, i) + os.urandom(50))
        name = b"x%d" % i
        publish(b"here", head(6, 0) + struct.pack(">QB", i + 1, i & 1) + bytes([len(name)]) + name + b"\1r")
    wait_until(lambda: a.last()["messages_in"] - last["messages_in"] >= 6000, 10)
    time.sleep(2)
    b = w.nodes["b"].last()
    s.check("junk is counted (%d)" % b["malformed"], b["malformed"] >= 2900, b)
    s.check("calls without end are bounded (%d let in, %d not)" % (b["calls_in"], b["calls_over"]), b["calls_over"] > 1000)
    s.check("invented nodes are bounded (%d)" % b["nodes"], b["nodes"] <= 4096)
    s.check("honest links stay (worst p99 %.1f ms)" % w.worst(a, "b", mark), a.downs("b") == downs and w.worst(a, "b", mark) < 200)
    grown = a.last()["rss_kb"] - last["rss_kb"]
    s.check("memory is bounded (%d KB more)" % grown, grown < 65536 * w.slack)
    sock.close()


def run(w):
    s = w.s
    joins(w)
    strangers(w)
    server_dies(w, "killed")
    server_dies(w, "stopped")
    restart(w)
    slow_reader(w)
    forged(w)
    for n in w.nodes.values():
        s.equal("node %s ends cleanly" % n.name, n.stop(), 0)


def main():
    if not available():
        print("SKIP: there is no nats-server")
        sys.exit(77)
    s = Scenario("mesh-nats")
    run(World(s, os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ["POINTSMAN"])))
    s.finish()


if __name__ == "__main__":
    main()
