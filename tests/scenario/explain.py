#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""explain and the wire agree: 10,000 random clients of real networks (Debian's country table), both families.

Usage: explain.py POINTSMAN (or $POINTSMAN).
"""
import ipaddress
import json
import os
import random
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Scenario, free_port, wait_until  # noqa: E402

BINARY = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ["POINTSMAN"])
TABLES = ["/usr/share/tor/geoip", "/usr/share/tor/geoip6"]
CLIENTS = 10000
SITES = {"paris": ("FR", 48.85, 2.35, 3), "dallas": ("US", 32.78, -96.8, 1), "tokyo": ("JP", 35.68, 139.69, 4),
         "saopaulo": ("BR", -23.55, -46.63, 2), "sydney": ("AU", -33.87, 151.21, 2.5)}
POLICIES = {"nearest": "nearest", "within": "[up, near, {within: 30}, cost, first]", "geo": "[up, match, geo, near, first]",
            "hash": "consistent-hash", "failover": "failover"}


def config(s, dns, control):
    sites = "".join("  %s: {country: %s, location: [%s, %s], cost: %s}\n" % ((n,) + v) for n, v in SITES.items())
    vips = ", ".join("%s: [198.51.100.%d, '2001:db8::%d']" % (n, i + 1, i + 1) for i, n in enumerate(SITES))
    services = "".join("  %s.gslb.test: {policy: %s, check: [], addresses: 1, sites: {%s}}\n" % (n, p, vips) for n, p in POLICIES.items())
    return s.write("explain.yaml", """
node: {name: test, state: '', user: '', log-level: warn}
dns: {listen: ['127.0.0.1:%d']}
api: {socket: '%s', metrics: off}
zones: {gslb.test: {ns: [ns1.gslb.test]}}
geo: {sources: [%s]}
sites:
%sservices:
%s""" % (dns, control, ", ".join("{csv: {path: %s, columns: [first, last, country]}}" % t for t in TABLES), sites, services))


class Wire:
    """Queries with client subnet, by hand: name, type, network -> (addresses, ttl, scope)."""

    def __init__(self, port):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.connect(("127.0.0.1", port))
        self.sock.settimeout(2)

    def ask(self, name, v6, net):
        raw = net.network_address.packed[:(net.prefixlen + 7) // 8]
        option = struct.pack("!HHHBB", 8, 4 + len(raw), 1 if net.version == 4 else 2, net.prefixlen, 0) + raw
        question = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0" + struct.pack("!HH", 28 if v6 else 1, 1)
        number = random.randrange(65536)
        self.sock.send(struct.pack("!HHHHHH", number, 0, 1, 0, 0, 1) + question + struct.pack("!BHHIH", 0, 41, 1232, 0, len(option)) + option)
        while True:
            data = self.sock.recv(2048)
            if struct.unpack_from("!H", data)[0] == number:
                break
        at, size, addresses, ttl = 12 + len(question), 16 if v6 else 4, [], None
        for _ in range(struct.unpack_from("!H", data, 6)[0]):
            ttl = struct.unpack_from("!I", data, at + 6)[0]
            addresses.append(str(ipaddress.ip_address(data[at + 12:at + 12 + size])))
            at += 12 + size
        scope = data[at + 11 + 4 + 3]
        return addresses, ttl, scope


class Control:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.file = self.sock.makefile("rw")

    def explain(self, name, kind, client):
        self.file.write(json.dumps({"cmd": "explain", "args": {"name": name, "type": kind, "client": client}}) + "\n")
        self.file.flush()
        return json.loads(self.file.readline())


def networks():
    rng = random.Random(7)
    v4 = [line.split(",")[0] for line in open(TABLES[0], encoding="ascii") if line[0] != "#"]
    v6 = [line.split(",")[0] for line in open(TABLES[1], encoding="ascii") if line[0] != "#"]
    for i in range(CLIENTS):
        kind = i % 4
        if kind == 0:
            yield ipaddress.ip_network((rng.getrandbits(32) & 0xffffff00, 24))
        elif kind == 1:
            yield ipaddress.ip_network((int(rng.choice(v4)) & 0xffffff00, 24))
        elif kind == 2:
            yield ipaddress.ip_network((int(ipaddress.ip_address(rng.choice(v6))) >> 72 << 72, 56))
        else:
            yield ipaddress.ip_network((int(rng.choice(v4)), 32))


def main():
    s = Scenario("explain")
    if not all(os.path.exists(t) for t in TABLES):
        s.skip("all", "the package tor-geoipdb is not installed")
        s.cleanup()
        sys.exit(77)
    dns, control = free_port(), s.path("control.sock")
    daemon = s.start("pointsman", [BINARY, "run", "-c", config(s, dns, control)])
    if not s.check("starts with the world's networks", wait_until(lambda: os.path.exists(control) and "answering" or
                                                                  daemon.running() is False, 20) and daemon.running()):
        print(daemon.output()[-2000:])
        s.finish()
    wire = Wire(dns)

    def answers():
        try:
            return wire.ask("nearest.gslb.test", False, ipaddress.ip_network("192.0.2.0/24"))
        except OSError:
            return None
    s.check("answers", wait_until(answers, 10))
    ctl = Control(control)
    names, wrong, seen = list(POLICIES), {}, {}
    for i, net in enumerate(networks()):
        name, v6 = names[i % len(names)], i % 3 == 0
        got = wire.ask(name + ".gslb.test", v6, net)
        reply = ctl.explain(name + ".gslb.test", "AAAA" if v6 else "A", str(net))
        data = reply.get("data", {})
        data.update(data.get("explain") or {})
        told = [r["data"] for r in data.get("answer", {}).get("answer", []) if r["type"] == ("AAAA" if v6 else "A")]
        first = [o["address"] for o in data.get("order", [])][:1]
        ok = got[0] == told and got[1] == data.get("ttl", {}).get("seconds")
        if name != "hash":  # the hash is of the client, within one tier
            ok = ok and got[0] == first and got[2] == data.get("scope")
        seen.setdefault(name, set()).add(tuple(got[0]))
        if not ok:
            wrong.setdefault(name, []).append((str(net), got, told, first, data.get("scope")))
    for name in names:
        s.check("%s: explain and the wire agree for every client" % name, name not in wrong,
                "%d differ, first %r" % (len(wrong.get(name, [])), wrong.get(name, [None])[0]))
    for name in ("nearest", "within", "geo", "hash"):
        s.check("%s sends clients to different sites" % name, len(seen[name]) >= 8, len(seen[name]))
    s.finish()


main()
