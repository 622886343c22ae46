#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two balancers, and no connection lost when one of them dies, restarts, is upgraded or configured anew: 200 downloads and
200 kept connections that ask for another node's file nearly each time, every byte checked.

First with keepalived (VRRP; each balancer has one address of the site and stands by for the other's), then with BIRD (BGP
and BFD; a router divides all addresses' packets among both).

Usage: relay_pair.py [POINTSMAN] (or $POINTSMAN)
"""
import json
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import relay_farm
from relay_lab import sh
from relay_farm import HOST, VIP4, VIP6

BINARY = relay_farm.begin("keepalived", "bird", "birdc", "tc")
import lib

VIP_B = "192.0.2.81"  # the second balancer's own
RESULT = ("requests", "ok", "hung", "reset", "closed_early", "bad_reply", "connect_failed", "wrong_status", "wrong_bytes", "text",
          "examples", "unfinished")


class Pair(relay_farm.Farm):
    """Two balancers that share connections; weights and absent change what the next configuration says of the nodes."""

    weights, absent, peers_v6 = {}, (), False

    def config(self, balancer):
        other = next(b for b in self.balancers if b is not balancer)
        self.relay_keys = f", peers: ['{other.v6 if self.peers_v6 else other.v4}']"
        text = super().config(balancer).replace(f"vips: [{VIP4}, ", f"vips: [{VIP4}, {VIP_B}, ")
        for name, weight in self.weights.items():
            text = re.sub(rf"( {name}: {{address: [^,]*)", rf"\1, weight: {weight}", text)
        return "".join(line for line in text.splitlines(True) if not any(line.startswith(f"          {n}: ") for n in self.absent))

    def up(self, balancer):
        return super().up(balancer) & {n.name for n in self.nodes}

    def write(self, balancer):
        with open(self.path(balancer.name + ".yaml"), "w") as f:
            f.write(self.config(balancer))

    def pid(self, balancer):
        """Of the daemon that runs now: an upgrade changes it."""
        for pid in sh("ip", "netns", "pids", balancer.ns).split():
            try:
                if os.readlink(f"/proc/{pid}/exe") == BINARY and b"run" in open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0"):
                    return int(pid)
            except OSError:
                pass
        return None

    def die(self, balancer, *others):
        """At one moment: no process says anything any more, and the machine is off the net."""
        for pid in sh("ip", "netns", "pids", balancer.ns).split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass  # went with its parent
        balancer.run("ip", "link", "set", "eth0", "down")


ECHO_SERVICE = f"""  echo.example.com:
    check: []
    front: {{mode: tcp, relay: packets, ports: [7], check: {{tcp: {{}}, port: 80, interval: 500ms}}}}
    sites:
      here:
        vips: ['{VIP4}']
        servers: {{e1: 192.0.2.21, e2: 192.0.2.22, e3: 192.0.2.23}}
"""
s = lib.Scenario("relay_pair")
farm = Pair(BINARY, balancers=2, extra=ECHO_SERVICE)
b1, b2 = farm.balancers
for node in farm.nodes:
    node.address("lo", f"{VIP_B}/32")
BIG = [f"/{kind}/big-3000000.bin" for kind in ("only1", "only2", "only3", "only4", "all")]
for i, node in enumerate(farm.nodes):
    farm.add(i, *[p for p in BIG if any(p.startswith(h) for h in farm.holds(i))])
SMALL = [p for p in farm.paths if p.endswith(("-1000.bin", "-1448.bin", "-20000.bin"))]


# ---- clients ----

PROBE = """
import socket, sys, time
to, seconds = sys.argv[1], float(sys.argv[2])
family = socket.AF_INET6 if ":" in to else socket.AF_INET
begin = time.time()
end, last, gap, at, good, bad = begin + seconds, begin, 0, 0, 0, 0
while time.time() < end:
    c = socket.socket(family)
    c.settimeout(0.3)
    try:
        c.connect((to, 80))
        c.sendall(b"GET /all/f2-1000.bin HTTP/1.1\\r\\nHost: %s\\r\\nConnection: close\\r\\n\\r\\n")
        ok = c.recv(12) == b"HTTP/1.1 200"
    except OSError:
        ok = False
    c.close()
    good, bad = good + ok, bad + (not ok)
    if ok:
        if time.time() - last > gap:
            gap, at = time.time() - last, last - begin
        last = time.time()
    time.sleep(0.01)
print(good, bad, int(1000 * max(gap, time.time() - last)), int(1000 * at))
""" % HOST


ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 7))
while True:
    _, who = s.recvfrom(100)
    s.sendto(sys.argv[2].encode(), who)
"""
TALK = """
import select, socket, sys, time
flows = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(60)]
heard = {}
for f in flows:
    f.connect((sys.argv[1], 7))
end = time.time() + float(sys.argv[2])
while time.time() < end:
    for f in flows:
        try:
            f.send(b"?")
        except OSError:
            pass
    time.sleep(0.1)
    for f in select.select(flows, [], [], 0)[0]:
        heard.setdefault(f, []).append((f.recv(100).decode(), time.time()))
print(sum(len({n for n, _ in h}) == 1 for h in heard.values()), len(heard), sum(h[-1][1] > end - 1 for h in heard.values()),
      sum(h[0][0] == "n1" for h in heard.values()))
"""


class Clients:
    """Downloads, kept connections and, for the time without service, new ones; all at the same time."""

    def __init__(self, target, seconds, paths=None, big=None, downloads=200):
        v = f"[{target}]:80" if ":" in target else f"{target}:80"
        self.running = {}
        self.start("downloads", v, big or BIG, "-c", 200, "-n", downloads, "--random", 1, "--keep", 2, "--connecting", 50)
        self.start("kept", v, paths or SMALL, "-c", 200, "-t", seconds, "--keep", 100000, "--idle", 100, "--random", 2)
        self.start("posts", v, paths or SMALL, "-c", 20, "-t", seconds, "--keep", 100000, "--idle", 50, "--post", "60000:0.5",
                   "--random", 3)
        self.probe = farm.client.start(sys.executable, "-c", PROBE, target, str(seconds), stdout=subprocess.PIPE, text=True)

    def start(self, name, target, paths, *words):
        p = farm.client.start(farm.binary("surf"), "--host", HOST, "--timeout", "30", *map(str, words), "--paths", "-", target,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        p.stdin.write("\n".join(paths))
        p.stdin.close()
        self.running[name] = p

    def under_way(self):
        return self.running["downloads"].poll() is None

    def finish(self, what):
        """Checks that nothing was lost; milliseconds without service to new connections."""
        totals = {}
        for name, p in self.running.items():
            text = p.stdout.read()
            status = p.wait()
            try:
                got = json.loads(text)
            except ValueError:
                got = {"text": text}
            totals[name] = got.get("ok")
            s.check(f"{what}: {name}, every byte right, nothing lost", status == 0 and got["ok"] == got["requests"] > 0,
                    {k: got[k] for k in RESULT if got.get(k)})
        good, bad, gap, at = map(int, self.probe.communicate()[0].split())
        print(f"# {what}: {totals}, new connections {good} served, {bad} not within 0.3 s, "
              f"longest time without {gap} ms (from {at} ms on)", flush=True)
        return gap


def slow(host, device, rate):
    """Downloads take long enough to be interrupted."""
    host.run("tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", rate, "burst", "256k", "latency", "40ms")


def tell(counters):
    shown = ("shared", "find", "reset", "dropped", "moved")
    print("#", json.dumps({k: v for k, v in counters.items() if k.startswith(shown)}), flush=True)


# ---- keepalived ----

def keepalived(balancer, number):
    """number: 0: VIP4 and VIP6 are its own, 1: VIP_B."""
    folder = farm.path("vrrp-" + balancer.name)
    os.makedirs(folder, exist_ok=True)

    def instance(name, router, prior, *addresses):
        return (f"vrrp_instance {name} {{\n  interface eth0\n  virtual_router_id {router}\n  priority {prior}\n  advert_int 0.2\n"
                f"  virtual_ipaddress {{\n" + "".join(f"    {a}\n" for a in addresses) + "  }\n  track_script { ready }\n}\n")
    first, second = (150, 100) if number == 0 else (100, 150)
    with open(os.path.join(folder, "keepalived.conf"), "w") as f:
        f.write("global_defs {\n  vrrp_version 3\n  script_user root\n  enable_script_security\n  vrrp_garp_master_repeat 2\n}\n"
                f"vrrp_script ready {{\n  script \"{BINARY} ready --socket {farm.socket(balancer)}\"\n  interval 1\n  timeout 1\n"
                "  fall 3\n  rise 1\n}\n"
                + instance("a4", 51, first, f"{VIP4}/24") + instance("a6", 51, first, "fe80::80/64", f"{VIP6}/64")
                + instance("b4", 52, second, f"{VIP_B}/24"))
    with open(farm.path(f"vrrp-{balancer.name}.log"), "ab") as log:
        balancer.start("/usr/sbin/keepalived", "-n", "-l", "-P", "-f", os.path.join(folder, "keepalived.conf"), "-p",
                       os.path.join(folder, "pid"), "-r", os.path.join(folder, "vrrp.pid"), stdout=log, stderr=log)


def has(balancer, address):
    return f" {address}/" in balancer.run("ip", "addr", "show", "dev", "eth0")


def by_vrrp():
    farm.daemon(b1, vip=False)
    farm.daemon(b2, vip=False)
    keepalived(b1, 0)
    keepalived(b2, 1)
    s.check("VRRP: each has its own address", lib.wait_until(
        lambda: has(b1, VIP4) and has(b1, VIP6) and not has(b1, VIP_B) and has(b2, VIP_B) and not has(b2, VIP4), 10),
        b1.run("ip", "addr") + b2.run("ip", "addr") + open(farm.path("vrrp-b1.log")).read()[-1500:])
    status, got = farm.surf("-n", 300, "-c", 10, "--keep", 10, "--random", 1, paths=SMALL)
    s.check("served over IPv4", status == 0, got)
    for node in farm.nodes:
        node.start(sys.executable, "-c", ECHO, VIP4, node.name)
        slow(node, "eth0", "150mbit")
    clients = Clients(VIP4, 9)
    time.sleep(0.5)
    talk = farm.client.start(sys.executable, "-c", TALK, VIP4, "8", stdout=subprocess.PIPE, text=True)
    time.sleep(2)
    farm.cli(b2, "drain", "e1")  # who takes over would send what is new elsewhere
    time.sleep(0.5)
    s.check("200 downloads are under way", clients.under_way())
    farm.die(b1)
    gap = clients.finish("VRRP, primary killed")
    s.check("VRRP: new connections are served within two seconds", gap < 2000, gap)
    s.check("the backup has all addresses", has(b2, VIP4) and has(b2, VIP6) and has(b2, VIP_B))
    same, heard, until, drained = map(int, talk.communicate()[0].split())
    s.check("60 clients of UDP: each heard one server, before and after", same == heard == until == 60 and drained > 0, (same, heard, until, drained))
    farm.cli(b2, "enable", "e1")
    counters = farm.counters(b2)
    s.check("connections were known from sharing", counters.get("shared_kept", 0) > 100, counters)
    tell(counters)


# ---- one balancer, which is changed ----

def changed():
    """b2 has everything now; b1 is off the net."""
    def signal_to(number):
        os.kill(farm.pid(b2), number)

    def upgrade(count):
        before = farm.pid(b2)
        signal_to(signal.SIGUSR2)
        s.check(f"upgrade {count}: another process has taken over", lib.wait_until(lambda: farm.pid(b2) not in (None, before) and ready(b2), 10),
                farm.log(b2)[-1500:])

    def restart():
        pid = farm.pid(b2)
        signal_to(signal.SIGTERM)
        s.check("restart: the process has ended", lib.wait_until(lambda: farm.pid(b2) != pid, 10))
        time.sleep(0.5)
        farm.daemon(b2, vip=False)
        s.check("restart: ready again", lib.wait_until(lambda: ready(b2), 5), farm.log(b2)[-1500:])

    def reload(what, **changes):
        for key, value in changes.items():
            setattr(farm, key, value)
        farm.write(b2)
        loaded = farm.log(b2).count("configuration loaded")
        signal_to(signal.SIGHUP)
        s.check("reload: " + what, lib.wait_until(lambda: farm.log(b2).count("configuration loaded") > loaded, 5), farm.log(b2)[-1500:])

    # n3 is taken out of the configuration: only what others hold, too, is asked for; what it sends already it sends to the end.
    shared, big = ([p for p in paths if not p.startswith("/only3")] for paths in (SMALL, BIG))
    clients = Clients(VIP4, 16, paths=shared, big=big, downloads=300)  # some twelve seconds of them
    time.sleep(1)
    upgrade(1)
    upgrade(2)
    reload("another weight", weights={"n1": 7})
    restart()
    s.check("200 downloads are under way", clients.under_way())
    reload("a server less", absent=("n3",))
    time.sleep(1)
    reload("and back, with another weight", absent=(), weights={"n2": 3})
    clients.finish("upgrade twice, restart, three reloads")


def ready(balancer):
    p = subprocess.run(balancer.command(BINARY, "ready", "--socket", farm.socket(balancer)), capture_output=True, text=True)
    return p.returncode == 0


# ---- BIRD ----

BFD = """protocol device {{ scan time 1; }}
protocol bfd {{ interface "{0}" {{ min rx interval 200 ms; min tx interval 200 ms; multiplier 5; }}; }}
"""


def bird(host, text):
    config, control = farm.path(f"bird-{host.name}.conf"), farm.path(f"bird-{host.name}.ctl")
    with open(config, "w") as f:
        f.write(text)
    with open(farm.path(f"bird-{host.name}.log"), "ab") as log:
        host.start("/usr/sbin/bird", "-f", "-c", config, "-s", control, "-P", config + ".pid", stdout=log, stderr=log)


def bird_balancer(b):
    """Announces the site's addresses to the router."""
    bird(b, f"router id {b.v4};\n" + BFD.format("eth0") + f"""
protocol static vips4 {{ ipv4; route {VIP4}/32 blackhole; route {VIP_B}/32 blackhole; }}
protocol static vips6 {{ ipv6; route {VIP6}/128 blackhole; }}
protocol bgp router4 {{
  local {b.v4} as 65001; neighbor 192.0.2.1 as 65000; bfd on; connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 {{ import none; export where source = RTS_STATIC; next hop self; }};
}}
protocol bgp router6 {{
  local {b.v6} as 65001; neighbor 2001:db8:1::1 as 65000; bfd on; connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv6 {{ import none; export where source = RTS_STATIC; next hop self; }};
}}
""")


def bird_router():
    """All of a VIP's routes at once, the kernel divides by ports, too."""
    for family in ("ipv4", "ipv6"):
        farm.router.sysctl(f"net.{family}.fib_multipath_hash_policy", 1)
    text = "router id 192.0.2.1;\n" + BFD.format("eth0")
    for family in ("ipv4", "ipv6"):
        text += f"protocol kernel {{ {family} {{ import none; export all; }}; merge paths yes limit 8; }}\n"
    for b in (b1, b2):
        text += (f"protocol bgp {b.name}_4 {{ local 192.0.2.1 as 65000; neighbor {b.v4} as 65001; bfd on; passive on; error wait time 1, 2; "
                 "ipv4 { import all; export none; }; }\n"
                 f"protocol bgp {b.name}_6 {{ local 2001:db8:1::1 as 65000; neighbor {b.v6} as 65001; bfd on; passive on; error wait time 1, 2; "
                 "ipv6 { import all; export none; }; }\n")
    bird(farm.router, text)


def ways(family, address):
    """How many balancers the router sends packets to the address to."""
    text = farm.router.run("ip", family, "route", "show", address)
    return len(set(re.findall(r"via (\S+)", text)))


def comes_back(b):
    b.run("ip", "link", "set", "eth0", "up")
    b.address("eth0", f"{b.v6}/64")
    farm.routes(b, "192.0.2.1", "2001:db8:1::1")
    farm.daemon(b, vip=False)


def by_ecmp():
    for pid in sh("ip", "netns", "pids", b2.ns).split():
        if "keepalived" in os.readlink(f"/proc/{pid}/exe"):
            os.kill(int(pid), signal.SIGTERM)
    s.check("VRRP has ended", lib.wait_until(lambda: not has(b2, VIP4) and not has(b2, VIP_B), 10))
    farm.peers_v6 = True
    farm.write(b2)
    os.kill(farm.pid(b2), signal.SIGHUP)
    comes_back(b1)
    s.check("ready", lib.wait_until(lambda: ready(b1), 10), farm.log(b1)[-1500:])
    s.check("the other one is back, and each has heard of the other over IPv6", lib.wait_until(
        lambda: all(farm.relay_view(b)["peers"][0]["heard-ms-ago"] is not None for b in (b1, b2)), 10), farm.relay_view(b2)["peers"])
    bird_router()
    for b in (b1, b2):
        b.vip_on_lo()
        b.address("lo", f"{VIP_B}/32")
        bird_balancer(b)
    s.check("BGP: the router divides among two", lib.wait_until(
        lambda: ways("-4", VIP4) == ways("-6", VIP6) == 2, 15), farm.router.run("ip", "route") + farm.log(b1)[-300:])
    clients = Clients(VIP4, 8)
    time.sleep(3)
    s.check("200 downloads are under way", clients.under_way())
    counters = [farm.counters(b).get("syn_cookie", 0) for b in (b1, b2)]
    s.check("both are active", min(counters) > 20, counters)
    before = farm.counters(b2)
    farm.die(b1)
    gap = clients.finish("BGP and BFD, one of two killed")
    s.check("BFD: new connections are served within three seconds", gap < 3000, gap)
    counters = {k: v - before.get(k, 0) for k, v in farm.counters(b2).items()}
    s.check("connections were known from sharing", counters.get("shared_kept", 0) > 50, counters)
    tell(counters)


def divided_anew():
    """A balancer comes back: the router gives it connections that have begun at the other."""
    clients = Clients(VIP6, 10)
    time.sleep(1)
    comes_back(b1)
    bird_balancer(b1)
    s.check("BGP: two again", lib.wait_until(lambda: ways("-4", VIP4) == ways("-6", VIP6) == 2, 15),
            farm.router.run("birdc", "-s", farm.path("bird-r.ctl"), "show", "protocols"))
    clients.finish("a balancer comes back, IPv6")
    counters = farm.counters(b1)
    s.check("it knew connections that had begun at the other", counters.get("shared_kept", 0) > 50, counters)
    tell(counters)


for part in (by_vrrp, changed, by_ecmp, divided_anew):
    start = time.monotonic()
    part()
    print(f"# {part.__name__}: {time.monotonic() - start:.1f} s", flush=True)
s.finish()
