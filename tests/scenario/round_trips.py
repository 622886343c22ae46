#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a site's relay measures of clients decides at another site: two balancers, one of them with a packet relay, and clients
that answer its SYN/ACK as late as if they were far away. Needs root, for namespaces and packet programs.

Usage: round_trips.py POINTSMAN (or $POINTSMAN).
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))
from lib import Scenario, wait_until  # noqa: E402
from relay_lab import Lab, VIP4, VIP6  # noqa: E402

BINARY = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ["POINTSMAN"])
TOOLS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(BINARY))), "tests", "tools")
ELSEWHERE4, ELSEWHERE6 = "192.0.2.99", "2001:db8:1::99"
NEAR = ["198.51.100.%d" % i for i in range(100, 112)]      # one network, twelve clients
NEAR6 = ["2001:db8:c:%x::1" % i for i in range(1, 13)]     # one /48, twelve /64
LIAR = "198.51.100.66"

# In the client's namespace: reads [address, port, ms] lines, does that handshake, prints how many were answered.
CLIENT = r'''
import heapq, json, select, socket, struct, sys, time
vip4, vip6, mac, gateway = sys.argv[1:5]
raw = lambda m: bytes.fromhex(m.replace(":", ""))
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("eth0", 0))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
def total(b):
    if len(b) % 2: b += b"\0"
    n = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while n >> 16: n = (n & 0xffff) + (n >> 16)
    return ~n & 0xffff
def send(source, port, seq, ack, flags, echo):
    v6 = ":" in source
    family, vip = (socket.AF_INET6, vip6) if v6 else (socket.AF_INET, vip4)
    a, b = socket.inet_pton(family, source), socket.inet_pton(family, vip)
    options = struct.pack("!BBHBBBBIIBBBB", 2, 4, 1460, 4, 2, 8, 10, 4711, echo, 1, 3, 3, 7) if flags == 2 else \
        struct.pack("!BBBBII", 1, 1, 8, 10, 4711, echo)
    tcp = struct.pack("!HHIIBBHHH", port, 80, seq, ack, (20 + len(options)) // 4 << 4, flags, 65535, 0, 0) + options
    pseudo = a + b + (struct.pack("!IHBB", len(tcp), 0, 0, 6) if v6 else struct.pack("!BBH", 0, 6, len(tcp)))
    tcp = tcp[:16] + struct.pack("!H", total(pseudo + tcp)) + tcp[18:]
    if v6:
        ip = struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + a + b
    else:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0) + a + b
        ip = ip[:10] + struct.pack("!H", total(ip)) + ip[12:]
    s.send(raw(gateway) + raw(mac) + (b"\x86\xdd" if v6 else b"\x08\x00") + ip + tcp)
def answer(frame):
    if frame[12:14] == b"\x86\xdd" and frame[20] == 6:
        to, tcp = socket.inet_ntop(socket.AF_INET6, frame[38:54]), frame[54:]
    elif frame[12:14] == b"\x08\x00" and frame[23] == 6:
        to, tcp = socket.inet_ntop(socket.AF_INET, frame[30:34]), frame[34:]
    else:
        return None
    sport, dport, seq, ack, off, flags = struct.unpack("!HHIIBB", tcp[:14])
    if sport != 80 or flags & 0x12 != 0x12:
        return None
    options, at = tcp[20:off >> 2 & ~3], 0
    while at < len(options) and options[at]:
        if options[at] == 1: at += 1; continue
        if options[at] == 8: return to, dport, seq, ack, struct.unpack("!I", options[at + 2:at + 6])[0]
        at += options[at + 1]
wanted = {(a, p): ms for a, p, ms in json.loads(sys.stdin.read())}
todo, later, done, end = list(wanted), [], 0, time.time() + 10
while (todo or done < len(wanted)) and time.time() < end:
    for a, p in todo[:20]:
        send(a, p, 1000, 0, 2, 0)
    todo = todo[20:]
    pause = time.time() + 0.01
    while True:
        now = time.time()
        while later and later[0][0] <= now:
            _, (a, p, seq, ack, value) = heapq.heappop(later)
            send(a, p, ack, (seq + 1) & 0xffffffff, 0x10, value)
            done += 1
        soonest = min([pause] + [later[0][0]] if later else [pause])
        if now >= pause: break
        if select.select([s], [], [], max(0, soonest - now))[0]:
            got = answer(s.recv(2000))
            if got and got[:2] in wanted:
                heapq.heappush(later, (time.time() + wanted[got[:2]] / 1000, got))
print(done)
'''


class Site:
    def __init__(self, s, lab, name, number, relay):
        self.s, self.name, self.host = s, name, lab.balancers[0]
        self.dns = 5300 + number
        s.mkdir("state-" + name)
        path = s.write(name + ".yaml", f"""
node: {{name: {name}-1, site: {name}, state: '{s.path("state-" + name)}', user: '', log-level: info}}
dns: {{listen: ['127.0.0.1:{self.dns}']}}
api: {{socket: '{s.path(name + ".sock")}', metrics: '127.0.0.1:{9100 + number}'}}
mesh:
  listen: '127.0.0.1:{7000 + number}'
  ca: '{s.path("keys", "ca.pem")}'
  update: 1s
  peers: {{paris-1: {{address: '127.0.0.1:7001', site: paris}}, london-1: {{address: '127.0.0.1:7002', site: london}}}}
{relay}
zones: {{gslb.test: {{ns: [ns1.gslb.test]}}}}
sites: {{london: {{}}, paris: {{}}}}
services:
  www.gslb.test:
    ttl: 1s
    addresses: 1
    policy: [up, rtt, first]
    sites:
      london: ['{ELSEWHERE4}', '{ELSEWHERE6}']
      paris: {{vips: ['{VIP4}', '{VIP6}'], servers: {{n1: {{address: '{lab.nodes[0].v4}:80'}}}}}}
    front: {{mode: serve, relay: transfer}}
""")
        self.process = s.start("pointsman-" + name, self.host.command(BINARY, "run", "-c", path))
        self.number = number

    def ctl(self, *argv):
        got = subprocess.run([BINARY] + list(argv) + ["--json", "--socket", self.s.path(self.name + ".sock")],
                             capture_output=True, text=True, timeout=20)
        try:
            return json.loads(got.stdout)
        except ValueError:
            return {"failed": got.returncode, "text": got.stderr}

    def explain(self, client, kind="A"):
        return self.ctl("explain", "www.gslb.test", "--type", kind, "--client", client).get("explain", {})

    def measured(self, client, kind="A"):
        """{site: measurement} as the site believes."""
        return {m["site"]: m for m in self.explain(client, kind).get("measured", [])}

    def why(self, client, site, kind="A"):
        stages = (self.explain(client, kind).get("passes") or [{"stages": []}])[0]["stages"]
        return next((e["why"] for st in stages if st["stage"] == "rtt" for e in st["effects"] if e["site"] == site), "")

    def dig(self, subnet, kind="A"):
        return self.host.run("dig", "+short", "+tries=1", "+time=2", "+subnet=" + subnet, "@127.0.0.1", "-p", str(self.dns),
                             "www.gslb.test", kind, check=False).strip()

    def metric(self, name):
        text = self.host.run("curl", "-s", f"http://127.0.0.1:{9100 + self.number}/metrics", check=False)
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def clients(lab, connections):
    p = subprocess.run(lab.client.command(sys.executable, "-c", CLIENT, VIP4, VIP6, lab.client.macs["eth0"], lab.router.macs["cl"]),
                       input=json.dumps(connections), capture_output=True, text=True, timeout=30)
    return int(p.stdout) if p.stdout.strip().isdigit() else p.stderr


def far_clients(lab):
    """Addresses that no kernel has: what is for them reaches our socket alone."""
    mac = lab.client.macs["eth0"]
    for a in NEAR + [LIAR]:
        lab.router.run("ip", "neigh", "replace", a, "lladdr", mac, "dev", "cl", "nud", "permanent")
    lab.router.run("ip", "-6", "route", "add", "2001:db8:c::/48", "dev", "cl")
    for a in NEAR6:
        lab.router.run("ip", "neigh", "replace", a, "lladdr", mac, "dev", "cl", "nud", "permanent")


def tests(s, lab):
    for name in ("paris-1", "london-1"):
        got = subprocess.run([BINARY, "keys"] + (["init", "--name", name] if name == "paris-1" else ["issue", name]) +
                             ["--dir", s.path("keys")], capture_output=True, text=True)
        s.check("keys for " + name, got.returncode == 0, got.stderr)
    b = lab.balancers[0]
    b.address("eth0", VIP4 + "/32", VIP6 + "/128")
    paris = Site(s, lab, "paris", 1, f"relay: {{interfaces: [eth0], key: '{s.path('relay.key')}', pin: '{lab.bpf}'}}")
    london = Site(s, lab, "london", 2, "")
    s.check("the relay is on", wait_until(lambda: paris.ctl("relay").get("on"), 10), paris.ctl("relay"))
    s.check("both know each other", wait_until(lambda: london.ctl("peers").get("links") == 1, 10), london.ctl("peers"))
    s.equal("before: nothing is measured", (london.measured(NEAR[0]), london.why(NEAR[0], "paris")), ({}, "not measured"))
    s.equal("before: the service's order", london.dig("198.51.100.0/24"), ELSEWHERE4)

    far_clients(lab)
    far = [[a, 20000 + i, 23] for a in NEAR for i in range(3)] + [[a, 20000, 41] for a in NEAR6]
    s.equal("clients connect", clients(lab, far), len(far))
    s.check("each connection is a sample", wait_until(lambda: paris.metric('pointsman_rtt_samples_total{verdict="taken"}') == len(far), 5),
            paris.metric("pointsman_rtt_samples_total"))

    m = wait_until(lambda: london.measured(NEAR[0]).get("paris"), 15) or {}
    s.check("the other site hears of it", 22 <= m.get("ms", 0) <= 35, m)
    s.equal("of the client's network, by those who came", (m.get("prefix"), m.get("by"), m.get("connections")),
            ("198.51.100.0/24", "paris-1", 36))
    s.check("and is sure", m.get("confidence", 0) > 0.7, m)
    m = london.measured(NEAR6[0], "AAAA").get("paris", {})
    s.check("of IPv6 as well", 40 <= m.get("ms", 0) <= 60 and m.get("prefix") == "2001:db8:c::/48", m)
    s.check("its answers follow", wait_until(lambda: london.dig("198.51.100.0/24") == VIP4, 8), london.dig("198.51.100.0/24"))
    s.equal("IPv6, too", london.dig("2001:db8:c:7::/64", "AAAA"), VIP6)
    s.equal("those of other networks do not", (london.dig("198.51.101.0/24"), london.dig("2001:db8:d::/48", "AAAA")),
            (ELSEWHERE4, ELSEWHERE6))
    s.check("both sites decide alike", wait_until(lambda: paris.dig("198.51.100.0/24") == VIP4, 8), paris.dig("198.51.100.0/24"))
    why = london.why(NEAR[0], "paris")
    s.check("explain says from where, of whom, by how many, when",
            why.startswith("measured ") and " ms from paris for 198.51.100.0/24 by 36 connections, " in why and why.endswith(" s ago"), why)
    s.equal("and what is not measured", london.why(NEAR[0], "london"), "not measured")
    s.equal("the scope is the network", london.explain(NEAR[0]).get("scope"), 24)

    lies = [[LIAR, 30000 + i, 0.2] for i in range(300)]
    s.equal("one client connects 300 times", clients(lab, lies), len(lies))
    wait_until(lambda: paris.measured(NEAR[0]).get("paris", {}).get("connections", 0) > 300, 10)
    m = paris.measured(NEAR[0]).get("paris", {})
    s.check("it is one voice of many", m.get("connections", 0) > 300 and 20 <= m.get("ms", 0) <= 35, m)

    s.check("a reload forgets nothing", "failed" not in london.ctl("reload") and "failed" not in paris.ctl("reload"))
    s.equal("at either", (london.dig("198.51.100.0/24"), paris.dig("198.51.100.0/24")), (VIP4, VIP4))
    s.check("records are counted", paris.metric("pointsman_rtt_records_told_total") >= 1 and
            london.metric("pointsman_rtt_records_heard_total") >= 1 and london.metric("pointsman_rtt_known_prefixes") >= 2)
    for site in (london, paris):
        s.check(site.name + " ends well", site.process.stop(15) == 0, site.process.output()[-500:])


def main():
    s = Scenario("round-trips")
    if os.getuid() != 0:
        print("needs root: namespaces and packet programs")
        sys.exit(77)
    lab = Lab(nodes=1, tools=TOOLS)
    try:
        tests(s, lab)
    finally:
        for p in s.processes:  # they run in the lab's namespaces: first
            p.stop()
        lab.close()
    s.finish()


main()
