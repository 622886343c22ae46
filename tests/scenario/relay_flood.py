#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Floods from strangers against a transferred service, while real clients ask: they get their answers, nothing that comes
from an unproven address comes back larger, the daemon stays responsive, small and silent. And forged hand-off packets on the
LAN: refused and counted.

Usage: relay_flood.py [POINTSMAN] (or $POINTSMAN)
"""
import contextlib
import ctypes
import errno
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import relay_farm
from relay_farm import VIP4, VIP6
from relay_peer import enter

BINARY = relay_farm.begin()
import lib

CPUS = sorted(os.sched_getaffinity(0))
CPU = str(CPUS[-1])  # the flood's, the network's and the balancer's packets'; all that runs otherwise has the other
os.sched_setaffinity(0, CPUS[:1])
s = lib.Scenario("relay_flood")
farm = relay_farm.Farm(BINARY, far=False)
balancer, router = farm.balancers[0], farm.router
SMALL = [p for p in farm.paths if "-1000.bin" in p]
FROM = {False: "198.18.0.0/15", True: "2001:db8:bad::/48"}
VIP = {False: f"{VIP4}:80", True: f"[{VIP6}]:80"}

stranger = farm.host("x")
farm.link(stranger, "eth0", router, "st")
stranger.address("eth0", "203.0.113.2/30", "2001:db8:e::2/64")
router.address("st", "203.0.113.1/30", "2001:db8:e::1/64")
router.run("ip", "route", "add", FROM[False], "via", "203.0.113.2")
router.run("ip", "-6", "route", "add", FROM[True], "via", "2001:db8:e::2")
neighbour = farm.join(farm.host("z"), 30)  # on the LAN, and of no farm
farm.client.sysctl("net.ipv4.tcp_tw_reuse", 1)  # it closes first, and else would look for free ports for milliseconds
process = farm.daemon(balancer)
farm.divide(CPUS[0], CPUS[-1])


# ---- measuring ----

def octets(host, device, way):
    return int(host.run("cat", f"/sys/class/net/{device}/statistics/{way}_bytes"))


def status(pid, key):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key))


class Flood:
    """With: a flood is on. Afterwards: what was sent and came back, and what the balancer has counted."""

    def __init__(self, kind, seconds=1.0, v6=False, rate=0, to=None, host=stranger, mac=None, more=()):
        self.command = ["taskset", "-c", CPU, *host.command(
            farm.binary("flood"), kind, "--dev", "eth0", "--mac", mac or router.macs["st"], "--to", to or VIP[v6], "--from", FROM[v6],
            "--seconds", str(seconds), "--rate", str(rate), *more)]
        self.seconds = seconds

    def octets(self):
        """In and out. With what ARP and neighbour discovery say now and then."""
        return [octets(router, "st", "rx"), octets(router, "st", "tx")]

    def __enter__(self):
        self.before, self.counters = self.octets(), farm.counters(balancer)
        self.p = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        time.sleep(0.2)
        return self

    def __exit__(self, *error):
        self.sent = json.loads(self.p.communicate(timeout=30)[0])
        time.sleep(0.1)
        self.there, self.back = (a - b for a, b in zip(self.octets(), self.before))
        after = farm.counters(balancer)
        self.counters = {k: v - self.counters.get(k, 0) for k, v in after.items() if v != self.counters.get(k, 0)}


def clients(seconds, v6=False):
    return farm.surf("-c", 4, "-t", seconds, "-n", 1000000, "--keep", 10, "--random", 1, paths=SMALL, v6=v6)


def right(got):
    return got.get("ok", 0) == got.get("requests", 0) > 0


def seen(got):
    return {k: v for k, v in got.items() if v and k in ("requests", "ok", "hung", "reset", "closed_early", "bad_reply", "connect_failed",
                                                        "wrong_status", "unfinished", "resent", "connections", "seconds", "examples", "text")}


# ---- floods ----

# Kinds whose senders have proved nothing, and what must have counted them.
UNPROVEN = {"syn": "syn_cookie", "synopt": "dropped_syn", "ack": "find_limit", "data": "find_limit", "rst": "find_limit",
            "fragment": "fragment_miss", "icmp": "icmp_unknown", "handoff": "dropped_tag", "junk": "passed_malformed"}


def unproven():
    for v6 in (False, True):
        for kind, counter in UNPROVEN.items():
            if v6 and kind in ("data", "rst"):
                continue
            for _ in range(2):  # a busy machine
                with Flood(kind, 1.4, v6) as f:
                    _, got = clients(0.9, v6)
                    asked = time.monotonic()
                    farm.cli(balancer, "relay")
                    asked = time.monotonic() - asked
                if right(got) and asked < 2:
                    break
            name = f"{kind}{' over IPv6' if v6 else ''}, {f.sent['sent'] / f.sent['seconds'] / 1000:.0f},000/s"
            s.check(f"{name}: real clients succeed, {got.get('requests')} requests", right(got), seen(got))
            s.check(f"{name}: the daemon answers", asked < 2, asked)
            s.check(f"{name}: not more comes back than was sent", f.back <= f.there * 1.001 + 1000, (f.back, f.there, f.counters))
            s.check(f"{name}: counted", f.counters.get(counter, 0) > f.sent["sent"] / 20, f.counters)
            if kind == "ack":
                s.check(f"{name}: nodes are asked no more than is allowed",
                        f.counters.get("find_asked", 0) <= (5000 * 3 + 3) * os.cpu_count() * (f.sent["seconds"] + 1), f.counters)


def latency():
    """99th percentiles, in microseconds; a machine that others use may need a second look."""
    for kind in ("syn", "ack"):
        for attempt in range(3):
            with Flood(kind, 2.2) as f:
                _, got = clients(1.7)
            p99 = {what: got[what + "_us"]["p99"] for what in ("request", "connect")}
            print(f"# {kind} flood of {f.sent['sent'] / f.sent['seconds'] / 1000:.0f},000/s: p50 {got['request_us']['p50']} us, p99 {p99}", flush=True)
            ok = right(got) and max(p99.values()) < 10000
            if ok:
                break
        s.check(f"{kind} flood of all one core can send: p99 under 10 ms, of requests and of connecting", ok, p99)


def proven():
    """Who completes handshakes has an address; he may cost something, but not others their service."""
    for kind, least in (("connect", "handshake"), ("slow", "request_assist"), ("part", "request_assist"), ("whole", "request_open")):
        for attempt in range(2):
            with Flood(kind, 1.6) as f:
                _, got = clients(1)
                up = farm.up(balancer)
                split = farm.surf("-c", 2, "-n", 20, "--split", "30:5", "--timeout", 20, paths=SMALL)[1] if kind == "part" else got
            if right(got) and right(split):
                break
        name = f"{kind}, {f.sent['connected']} connections"
        s.check(f"{name}: real clients succeed, {got.get('requests')} requests", right(got), seen(got))
        if kind == "part":
            s.check(f"{name}: real clients with requests in pieces as well", right(split), seen(split))
        s.check(f"{name}: all servers are still up", len(up) == len(farm.nodes), up)
        s.check(f"{name}: counted", f.counters.get(least, 0) > 1000, f.counters)
        s.check(f"{name}: descriptors are left", len(os.listdir(f"/proc/{process.pid}/fd")) < limit() - 500)


def limit():
    with open(f"/proc/{process.pid}/limits") as f:
        return next(int(line.split()[3]) for line in f if line.startswith("Max open files"))


def daemon_asleep():
    """It does not read what it is told: that is dropped and counted, all else goes on, and it recovers."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        p = subprocess.run(Flood("part", 1, rate=20000).command, capture_output=True, text=True, check=True)
        _, got = clients(0.5)
        s.check("the daemon does not run: requests in one piece are served", right(got), seen(got))
        was = json.loads(p.stdout)["connected"]
    finally:
        os.kill(process.pid, signal.SIGCONT)
    lib.wait_until(lambda: farm.counters(balancer), 5)
    s.check("what it was not told is counted", farm.counters(balancer).get("assist_full", 0) > 0, (was, farm.counters(balancer)))
    _, got = farm.surf("-c", 4, "-n", 100, "--split", "30:10", paths=SMALL)
    s.check("awake again, it gathers requests", right(got), seen(got))


def blind():
    """Resets, FINs, "too big" by somebody who knows the client's address, but not its connections."""
    ports = ("--ports", "32768-60999")
    for kind in ("rst", "icmp", "ack", "data"):
        for attempt in range(3):
            flood = Flood(kind, 2.4, more=ports)
            flood.command[flood.command.index("--from") + 1] = "198.51.100.7/32"
            with flood as f:
                _, got = farm.surf("-c", 50, "-t", 1.9, "-n", 1000000, "--keep", 30, "--idle", 20, "--random", 2, paths=SMALL)
            if right(got):
                break
        s.check(f"{kind} with the client's address, ports at random: no connection breaks, {f.sent['sent']} guesses", right(got), seen(got))


# ---- hand-off packets on the LAN ----

def on_the_lan():
    """Addresses of balancer and node as sources, the header right but for its tag."""
    for what, to, source, mac in (("a node", farm.nodes[0].v4, balancer.v4, farm.nodes[0].macs["eth0"]),
                                  ("the balancer", balancer.v4, farm.nodes[0].v4, balancer.macs["eth0"])):
        before, at_node = farm.counters(balancer), farm.nodes[0].relay.counters(True)
        with Flood("handoff", 1.4, to=f"{to}:80", host=neighbour, mac=mac, more=("--node", source)) as f:
            _, got = clients(0.9)
        at_node = {k: v - at_node.get(k, 0) for k, v in farm.nodes[0].relay.counters(True).items()}
        s.check(f"forged for {what}: real clients succeed", right(got), seen(got))
        if what == "a node":
            s.check("refused and counted at the node, by address and by tag", at_node.get("dropped_untrusted", 0) > f.sent["sent"] / 3 and
                    at_node.get("dropped_tag", 0) > f.sent["sent"] / 3, (f.sent, at_node))
        else:
            s.check("refused and counted at the balancer", f.counters.get("dropped_tag", 0) > f.sent["sent"] / 2, (f.sent, f.counters))
        s.check("nobody adopted anything of it", farm.counters(balancer).get("front_adopted", 0) == before.get("front_adopted", 0))


HANDOFF = 14 + 20 + 8 + 4  # in a frame: behind link, IPv4, UDP and GUE
OPEN = 2


def packets(host, device):
    """A socket for whole frames there."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        enter(host.ns)
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        sock.bind((device, 0))
    finally:
        ctypes.CDLL(None).setns(here, 0)
        os.close(here)
    return sock


def hand_offs(port, what, most=2000):
    """Hand-off packets that pass that port of the bridge while what() goes on."""
    with packets(farm.lan, port) as sock:
        sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        what()
        sock.setblocking(False)
        got = []
        with contextlib.suppress(BlockingIOError):
            while len(got) < most:
                frame = sock.recv(2048)
                if frame[12:14] == b"\x08\0" and frame[23] == 17 and frame[36:38] == b"\x17\xc0":
                    got.append(frame)
        return got


def send(frames):
    """From the neighbour's own link address."""
    own = bytes.fromhex(neighbour.macs["eth0"].replace(":", ""))
    with packets(neighbour, "eth0") as sock:
        for f in frames:
            until = time.monotonic() + 2
            while True:
                try:
                    sock.send(f[:6] + own + f[12:])
                    break
                except OSError as e:  # the queue of a busy machine's link is full
                    if e.errno != errno.ENOBUFS or time.monotonic() > until:
                        raise
                    time.sleep(0.001)
            time.sleep(0.0005)
    time.sleep(0.2)


def readdressed(frame, host):
    """To another host of the LAN, with the IPv4 header's checksum that it needs to get there."""
    head = bytearray(frame[14:24] + b"\0\0" + frame[26:30] + socket.inet_aton(host.v4))
    total = sum(struct.unpack("!10H", head))
    head[10:12] = struct.pack("!H", ~(total % 0xffff) & 0xffff)
    return bytes.fromhex(host.macs["eth0"].replace(":", "")) + frame[6:14] + bytes(head) + frame[34:]


def at_node(node, before=None):
    now = node.relay.counters(True)
    return {k: v - (before or {}).get(k, 0) for k, v in now.items() if v != (before or {}).get(k, 0)}


def heard_and_changed():
    """Hand-offs as they are on the wire, with one bit changed: refused. As they are, when their connections have ended: too."""
    node = farm.nodes[0]
    only = [p for p in SMALL if p.startswith("/only1/")]
    frames = hand_offs(node.name, lambda: farm.surf("-c", 2, "-n", 80, "--rst", 0.5, "--source-port", "61000-61079", paths=only))
    opens = [f for f in frames if f[HANDOFF + 1] == OPEN and f[HANDOFF + 3] == 0][:50]
    s.check("hand-offs were heard", len(opens) > 10, len(frames))
    wrong = []
    for i in [*range(HANDOFF - 4, HANDOFF + 3), *range(HANDOFF + 4, HANDOFF + 24 + 40)]:
        f = bytearray(opens[i % len(opens)])
        f[i] ^= 1 << i % 8
        wrong.append(bytes(f))
    before = at_node(node)
    send(wrong)
    got = at_node(node, before)
    refused = got.get("dropped_tag", 0) + got.get("dropped_malformed", 0)
    s.check("with a bit changed anywhere: refused and counted", refused >= len(wrong) and not got.get("adopted") and
            not got.get("replayed"), (len(wrong), got))
    other = farm.nodes[1]
    before = at_node(other)
    send([readdressed(f, other) for f in opens])
    got = at_node(other, before)
    s.check("sent to another node: refused and counted", got.get("dropped_tag", 0) >= len(opens) and not got.get("adopted"), got)
    time.sleep(max(0, 3.2 - len(wrong) * 0.001))
    before = at_node(node)
    send(opens)
    got = at_node(node, before)
    # Some are still in TIME_WAIT: their kernel has them, as it has late copies of any segment.
    s.check("repeated when their connections have ended: not taken over again", got.get("replayed", 0) > 0 and
            not got.get("adopted"), (len(opens), got))
    answers = hand_offs(balancer.name, lambda: farm.surf("-c", 2, "-n", 200, "--keep", 20, "--random", 3, paths=SMALL), 5000)
    answers = [f for f in answers if f[HANDOFF + 1] >= 16]
    result = []
    t = threading.Thread(target=lambda: result.append(clients(1.5)[1]))
    t.start()
    send(answers * 3)
    t.join()
    s.check(f"{len(answers)} answers of nodes repeated: every request is right", len(answers) > 10 and right(result[0]), seen(result[0]))


began = {"memory": status(process.pid, "VmRSS"), "log": farm.log(balancer).count("\n")}
for part in (unproven, latency, proven, daemon_asleep, blind, on_the_lan, heard_and_changed):
    if sys.argv[2:] and part.__name__ not in sys.argv[2:]:
        continue
    start = time.monotonic()
    part()
    print(f"# {part.__name__}: {time.monotonic() - start:.1f} s", flush=True)
grown = status(process.pid, "VmHWM") - began["memory"]
s.check("the daemon has grown by less than 600 MB at its most", grown < 600000, grown)
lines = farm.log(balancer).count("\n") - began["log"]
s.check("and its log by less than 60 lines", lines < 60, farm.log(balancer)[-3000:])
s.check("it is the same process", process.poll() is None)
_, last = farm.surf("-c", 10, "-n", 1000, "--keep", 10, paths=farm.paths)
s.check("afterwards every byte is right", right(last), seen(last))
s.finish()
