#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What becomes of a transferred service when parts of the relay fail: a node's program is gone, tables are full, interfaces go,
other programs take their place, the kernel takes no programs. It is said in the log, by `pointsman relay` and in the metrics;
front ends serve; every byte that comes is right.

Usage: relay_failures.py [POINTSMAN] (or $POINTSMAN)
"""
import os
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import relay_farm
from relay_farm import HOST, VIP4, VIP6

BINARY = relay_farm.begin()
import lib

s = lib.Scenario("relay_failures")
farm = relay_farm.Farm(BINARY, nodes=2)  # and the far one
balancer = farm.balancers[0]
SMALL = [p for p in farm.paths if "-1000.bin" in p]


def right(what, *words, **options):
    options.setdefault("paths", SMALL)
    for _ in range(2):
        _, got = farm.surf(*words, **options)
        if not got.get("hung"):  # on a busy machine surf itself does not run for seconds
            break
    return s.check(what, got.get("ok", 0) == got.get("requests", 0) > 0,
                   {k: v for k, v in got.items() if v and k not in ("connect_us", "request_us", "headers")})


def via():
    return {n["node"]: n["via"] for n in farm.relay_view(balancer)["nodes"]}


def metric(name):
    text = balancer.run("curl", "-s", "http://127.0.0.1:9353/metrics", check=False)
    got = re.search(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M)
    return float(got.group(1)) if got else None


broken = []  # what went wrong while something else was waited for


def relaying():
    """Whether requests go through the packet program."""
    before = farm.counters(balancer).get("request_open", 0)
    _, got = farm.surf("-c", 4, "-n", 200, "--keep", 10, paths=SMALL)
    if got.get("ok") != 200:
        broken.append({k: v for k, v in got.items() if v and k not in ("connect_us", "request_us", "headers")})
    return farm.counters(balancer).get("request_open", 0) > before


def said(text):
    return text in farm.log(balancer)


def restart(*, wait=True, **keys):
    p = farm.daemons.get(balancer.name)
    if p:
        p.terminate()
        p.wait()
        os.truncate(farm.path(balancer.name + ".log"), 0)
    for k, v in keys.items():
        setattr(farm, k, v)
    return farm.daemon(balancer, vip=not p, wait=wait)


# ---- nodes ----

def node_program_gone():
    """Downloads that have begun go on where there is a LAN; what comes then is served by others, or by the front end."""
    node, far = farm.nodes[0], farm.nodes[2]
    s.check("all nodes answer", set(via().values()) == {"lan", "hops"}, via())
    farm.add(0, "/only1/big-30000000.bin")
    slow = []
    t = threading.Thread(target=lambda: slow.append(farm.client.run(
        "curl", "-s", "--limit-rate", "4M", "-o", farm.path("big"), "-w", "%{http_code} %{size_download}", "-H", f"Host: {HOST}",
        f"http://{VIP4}/only1/big-30000000.bin", check=False)))
    t.start()
    time.sleep(1)
    for n in (node, far):
        n.run("tc", "filter", "del", "dev", "eth0", "ingress")
    s.check("two nodes without their program are called silent", lib.wait_until(lambda: [*via().values()].count("silent") == 2, 8), via())
    s.check("the log says it", said("node takes no hand-off packets"))
    s.equal("the metrics, too", metric("pointsman_relay_silent_nodes"), 2)
    right("what only they have comes by the front end, the rest by the third", "-c", 4, "-n", 400, "--keep", 10)
    right("over IPv6", "-c", 4, "-n", 100, "--keep", 5, v6=True)
    s.check("the third still gets connections", farm.counters(balancer).get("request_open", 0) > 0)
    t.join()
    sums = subprocess.run(["sha256sum", farm.path("big")], capture_output=True, text=True, check=False).stdout.split()[:1]
    wanted = subprocess.run([farm.binary("content"), "sum", "/only1/big-30000000.bin"], capture_output=True, text=True, check=True).stdout
    s.check("a download that had begun on the LAN is whole", slow == ["200 30000000"] and sums == wanted.split()[:1], (slow, sums))
    for n in (node, far):
        n.processes = [p for p in n.processes if p is not n.relay.p]
        n.relay.p.kill()
        n.relay = n.tool("node", "eth0")
        for a in (balancer.v4, balancer.v6):
            n.relay(f"trust {a} {farm.path('relay.key')}")
    s.check("with it they are nodes again", lib.wait_until(lambda: "silent" not in via().values(), 4), via())
    s.check("and get connections", relaying())


def wrong_key():
    node = farm.nodes[1]
    for a in (balancer.v4, balancer.v6):
        node.relay(f"trust {a} 9")
    s.check("a node with another key is silent", lib.wait_until(lambda: via()[node.name] == "silent", 8), via())
    right("others and the front end serve", "-c", 4, "-n", 200, "--keep", 10)
    s.check("it has counted why", node.relay.counters(True).get("dropped_tag", 0) > 0, node.relay.counters(True))
    for a in (balancer.v4, balancer.v6):
        node.relay(f"trust {a} {farm.path('relay.key')}")
    s.check("with the key it is back", lib.wait_until(lambda: via()[node.name] == "lan", 4), via())


# ---- interfaces ----

def view():
    v = farm.relay_view(balancer)
    return v["on"], v["interfaces"][0]["in"]


def interface():
    balancer.run("ip", "link", "set", "dev", "eth0", "xdp", "off")
    s.check("the packet program is taken from the interface: put back", lib.wait_until(lambda: relaying(), 4))
    balancer.run("tc", "filter", "del", "dev", "eth0", "ingress")
    s.check("the front end's, too",
            lib.wait_until(lambda: "relay_node" in balancer.run("tc", "filter", "show", "dev", "eth0", "ingress"), 4))
    balancer.run("ip", "link", "set", "dev", "eth0", "xdp", "off")
    balancer.run(farm.binary("relay_tool"), "pass", "eth0")
    s.check("another program in its place is left alone, and said", lib.wait_until(lambda: view() == (False, "nowhere"), 4), view())
    s.equal("the metrics say that front ends serve", metric("pointsman_relay_on"), 0)
    right("and they do", "-c", 4, "-n", 200, "--keep", 10)
    balancer.run("ip", "link", "set", "dev", "eth0", "xdp", "off")
    s.check("when it goes, ours is back", lib.wait_until(lambda: view() == (True, "driver"), 4), view())
    balancer.run("ip", "link", "del", "eth0")
    s.check("without the interface: said", lib.wait_until(lambda: said("there is no interface eth0"), 4))
    new_interface()
    s.check("it comes back as another: taken again", lib.wait_until(lambda: view() == (True, "driver"), 4), view())
    s.check("the servers come back", lib.wait_until(lambda: len(farm.up(balancer)) == len(farm.nodes) and "silent" not in via().values(), 10))
    s.check("relayed again", relaying())


def programs():
    """At eth0: the balancer's and the node's, by number."""
    text = balancer.run("ip", "-d", "link", "show", "dev", "eth0")
    for way in ("ingress", "egress"):
        text += balancer.run("tc", "filter", "show", "dev", "eth0", way)
    return set(re.findall(r"prog/xdp id (\d+)| id (\d+) name", text))


def successor():
    """Who takes over puts the same programs there before it tells the one before it to end."""
    own = programs()
    for mode in ("balance", "node"):
        other = balancer.tool(mode, "eth0")
        other.p.kill()
        balancer.processes.remove(other.p)
    theirs = programs()
    s.check("another process has put its programs there", len(own) == len(theirs) == 3 and not own & theirs, (own, theirs))
    time.sleep(3)
    s.equal("they are left alone, it may be taking over", programs(), theirs)
    s.check("it does not: ours are there again", lib.wait_until(lambda: programs() and not programs() & theirs, 5), programs())
    s.check("nothing was said of front ends", view() == (True, "driver"), view())
    s.check("and relayed", relaying())


def new_interface():
    farm.link(balancer, "eth0", farm.lan, balancer.name)
    farm.lan.run("ip", "link", "set", balancer.name, "master", "br0")
    balancer.address("eth0", f"{balancer.v4}/24", f"{balancer.v6}/64", f"{VIP4}/24", f"{VIP6}/64")
    farm.routes(balancer, "192.0.2.1", "2001:db8:1::1")
    farm.stub(balancer)
    for h in (farm.router, *farm.nodes):  # nobody tells them the new link address
        h.run("ip", "neigh", "flush", "all", check=False)


def missing_at_the_start():
    balancer.run("ip", "link", "set", "eth0", "name", "later")
    restart(wait=False)
    s.check("an interface that is not there: it starts, and says so", lib.wait_until(lambda: said("there is no interface eth0"), 5))
    s.check("nothing is relayed", not farm.relay_view(balancer)["on"])
    s.check("front ends serve", lib.wait_until(lambda: farm.surf("-n", 1, "--timeout", 2, paths=SMALL[:1])[1].get("ok"), 10))
    balancer.run("ip", "link", "set", "later", "down")
    balancer.run("ip", "link", "set", "later", "name", "eth0")
    balancer.run("ip", "link", "set", "eth0", "up")
    balancer.address("eth0", f"{balancer.v6}/64", f"{VIP6}/64")
    farm.routes(balancer, "192.0.2.1", "2001:db8:1::1")
    s.check("there it is", lib.wait_until(lambda: view() == (True, "driver"), 4), farm.relay_view(balancer)["interfaces"])
    s.check("relayed", lib.wait_until(lambda: relaying(), 8))


def others_at_the_start():
    p = farm.daemons[balancer.name]
    p.terminate()
    p.wait()
    balancer.run(farm.binary("relay_tool"), "pass", "eth0")
    restart(wait=False)
    s.check("another packet program is there: named", lib.wait_until(lambda: said("another packet program is at eth0 (pass"), 5))
    right("front ends serve", "-c", 4, "-n", 100, "--keep", 10)
    balancer.run("ip", "link", "set", "dev", "eth0", "xdp", "off")
    s.check("taken away: relayed", lib.wait_until(lambda: relaying(), 6))


# ---- tables ----

def few_flows():
    """A table of connections that is much too small: those that are pushed out are found again at their nodes, or here."""
    restart(relay_keys=", flows: 1024, find-rate: 200000", wait=False)
    s.check("relayed with a small table", lib.wait_until(relaying, 8))
    farm.client.sysctl("net.ipv4.ip_local_port_range", "'10000 60999'")
    # Apache closes kept connections when it has many, whether somebody is asking or not.
    calm = [p for p in SMALL if p.startswith(("/only1/", "/only3/", "/pair3/"))]
    right("5,000 connections at a time in a table for 1,024", "-c", 5000, "-n", 15000, "--keep", 3, "--random", 1, "--timeout", 30,
          paths=calm)
    right("the same with pauses between requests", "-c", 3000, "-n", 9000, "--keep", 3, "--idle", 300, "--random", 2, "--timeout", 30,
          paths=calm)
    counters = farm.counters(balancer)
    s.check("connections were found again", counters.get("find_found", 0) > 100, counters)
    restart(relay_keys="", wait=False)


def many_names():
    """More names than the table takes: the service behind that door is the front end's, the other is relayed as before."""
    names = ", ".join(f"n{i}.example.com" for i in range(66000))
    holds = "".join(f"          {n.name}: {{address: {n.v4}}}\n" for n in farm.nodes)
    more = f"""  many.example.com:
    check: []
    aliases: [{names}]
    front: {{relay: transfer, ports: 81, server-port: 80}}
    sites:
      here:
        vips: [{VIP4}]
        servers:
{holds}"""
    restart(extra=more, wait=False)
    s.check("a service with too many names: the log says so",
            lib.wait_until(lambda: said("a service does not fit into the relay's tables"), 20), farm.log(balancer)[-1000:])
    views = {v["service"]: v["left-out"] for v in farm.relay_view(balancer)["services"]}
    s.check("`pointsman relay` as well", views[HOST] is None and views["many.example.com"], views)
    s.equal("and the metrics", metric("pointsman_relay_left_out_services"), 1)
    s.check("the other service is relayed", lib.wait_until(relaying, 10))
    code = farm.client.run("curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: n65999.example.com",
                           f"http://{VIP4}:81/all/f2-1000.bin", check=False)
    s.equal("this one is served by the front end, whichever name", code, "200")
    s.check("and was", farm.counters(balancer).get("front_adopted", 0) > 0)
    lines = farm.log(balancer).count("\n")
    time.sleep(3)
    s.check("the log does not grow by it", farm.log(balancer).count("\n") - lines < 3, farm.log(balancer)[-1000:])
    restart(extra="", wait=False)


# ---- the kernel ----

def kernel_refuses():
    """Without the right to load programs at all, and with that, but not to what the verifier needs to follow sockets."""
    farm.daemons[balancer.name].terminate()
    farm.daemons[balancer.name].wait()
    balancer.run("ip", "link", "set", "dev", "eth0", "xdp", "off")  # as after a start of the machine
    for what, lost in (("no right to load programs", "-bpf,-sys_admin,-net_admin,-perfmon"), ("the verifier's refusal", "-perfmon,-sys_admin")):
        farm.under = ["setpriv", "--bounding-set", lost, "--inh-caps", lost]
        restart(wait=False)
        s.check(f"{what}: one line says why", lib.wait_until(lambda: farm.log(balancer).count("the relay is off, front ends serve instead why=") == 1, 5),
                farm.log(balancer)[-1500:])
        v = farm.relay_view(balancer)
        s.check(f"{what}: `pointsman relay` as well", not v["on"] and "packet program" in v["why"], v)
        s.equal(f"{what}: and the metrics", metric("pointsman_relay_on"), 0)
        right(f"{what}: front ends serve", "-c", 4, "-n", 200, "--keep", 10)
    farm.under = []
    restart(wait=False)
    s.check("allowed again: relayed", lib.wait_until(lambda: relaying(), 8))


for part in (node_program_gone, wrong_key, successor, interface, missing_at_the_start, others_at_the_start, few_flows, many_names, kernel_refuses):
    if sys.argv[2:] and part.__name__ not in sys.argv[2:]:
        continue
    if balancer.name not in farm.daemons:
        farm.daemon(balancer)
    start = time.monotonic()
    part()
    s.check(f"{part.__name__}: no connection broke on the way", not broken, broken[:1])
    broken.clear()
    print(f"# {part.__name__}: {time.monotonic() - start:.1f} s", flush=True)
s.finish()
