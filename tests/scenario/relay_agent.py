#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`pointsman agent` on four nodes: it puts the services' addresses up, takes connections over, reports load, host and content;
what happens when it is killed, started again, not allowed, or gone.

Usage: relay_agent.py [POINTSMAN] (or $POINTSMAN)
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import relay_farm
from relay_farm import VIP4, VIP6

BINARY = relay_farm.begin()
import lib

s = lib.Scenario("relay_agent")
farm = relay_farm.Farm(BINARY, agents=True)
balancer = farm.balancers[0]
node = farm.nodes[0]
SMALL = [p for p in farm.paths if "-1000.bin" in p]
FILES = sum(1 for p in farm.paths if any(p.startswith(h) for h in farm.holds(0)))


def agents():
    return {a["agent"]: a for a in json.loads(farm.cli(balancer, "agents", "--json"))["agents"]}


def log_of(n):
    with open(farm.path(n.name + ".log"), errors="replace") as f:
        return f.read()


def served(what, *words, **options):
    status, got = farm.surf(*words, **options)
    return s.check(what, status == 0 and got["ok"] == got["requests"] > 0, {k: v for k, v in got.items() if v and k != "examples"})


def addresses(n):
    return n.run("ip", "-br", "addr", "show", "lo")


def established(n):
    return [line for line in n.run("ss", "-Htn", "state", "established", "sport", "=", ":80").splitlines() if "198.51.100." in line or "2001:db8:c:" in line]


def start():
    farm.daemon(balancer)
    s.check("all agents connect", lib.wait_until(lambda: all(a["state"] == "connected" for a in agents().values()), 10), agents())
    s.check("they put the services' addresses on lo",
            lib.wait_until(lambda: all(VIP4 in addresses(n) and VIP6 in addresses(n) for n in farm.nodes), 5), addresses(node))
    s.check("nobody hears of them by ARP", node.run("cat", "/proc/sys/net/ipv4/conf/eth0/arp_ignore").strip() == "1" and
            node.run("cat", "/proc/sys/net/ipv4/conf/eth0/arp_announce").strip() == "2")
    s.check("all files are known", lib.wait_until(lambda: all(a["scanned"] and a["files"] == FILES for a in agents().values()), 10),
            {k: a["files"] for k, a in agents().items()})
    s.check("they take connections over", all(a["adopts"] for a in agents().values()), agents())
    for v6 in (False, True):
        served(f"IPv{6 if v6 else 4}: 1,000 requests on kept connections", "-c", 10, "-n", 1000, "--keep", 20, "--random", 1, v6=v6)
        served(f"IPv{6 if v6 else 4}: 1,000 connections", "-c", 10, "-n", 1000, "--random", 2, paths=SMALL, v6=v6)
    s.check("sockets were kept for connections that came back, and none is left",
            lib.wait_until(lambda: sum(a["counters"].get("came_back", 0) for a in agents().values()) and
                           not any(established(n) for n in farm.nodes), 6), {n.name: established(n) for n in farm.nodes})
    s.check("counters of the nodes arrive", lib.wait_until(lambda: all(a["counters"].get("adopted") for a in agents().values()), 4))


def load():
    before = agents()[node.name]["load"]
    s.check("load: memory, processors, listening web server", before["ram-total"] > 0 and before["processors"] > 0 and
            before["listeners"] > 0, before)
    many = subprocess.Popen(farm.client.command(sys.executable, "-c", """
import socket, time
l = []
for i in range(300):
    s = socket.create_connection((%r, 80)); l.append(s)
    s.sendall(b"GET /only1/f2-1000.bin HTTP/1.1\\r\\nHost: www.example.com\\r\\n\\r\\n"); s.recv(4096)
time.sleep(20)""" % VIP4))
    farm.hosts["c"].processes.append(many)
    seen = lib.wait_until(lambda: agents()[node.name]["load"]["connections"] >= 290, 6)
    s.check("300 open connections are reported within seconds", seen, agents()[node.name]["load"])
    many.kill()
    many.wait()
    s.check("and their end", lib.wait_until(lambda: agents()[node.name]["load"]["connections"] < 20, 6),
            agents()[node.name]["load"])


def content():
    farm.add(0, "/only1/new-5000.bin")
    s.check("a new file is reported", lib.wait_until(lambda: agents()[node.name]["files"] == FILES + 1, 6))
    os.unlink(farm.root(0) + "/only1/new-5000.bin")
    s.check("a removed one, too", lib.wait_until(lambda: agents()[node.name]["files"] == FILES, 6))


def settings():
    node.agent.kill()
    node.agent.wait()
    s.check("a killed agent is missed", lib.wait_until(lambda: agents()[node.name]["state"] == "lost", 10))
    served("connections are taken over without it", "-c", 10, "-n", 500, "--random", 3, paths=SMALL)
    s.check("its addresses stay", VIP4 in addresses(node))
    node.sysctl("net.ipv4.tcp_timestamps", 0)
    farm.agent(0)
    s.check("the next one takes over", lib.wait_until(lambda: agents()[node.name]["state"] == "connected", 10))
    found = lib.wait_until(lambda: [f for f in agents()[node.name]["findings"] if f["setting"] == "net.ipv4.tcp_timestamps"], 3)
    s.check("it says which setting is wrong and what to do", found and found[0]["do"] == "sysctl -w net.ipv4.tcp_timestamps=1", found)
    check = node.run(BINARY, "agent", "-c", farm.path(node.name + ".yaml"), "--check", check=False)
    s.check("so does `agent --check`", "sysctl -w net.ipv4.tcp_timestamps=1" in check, check)
    node.sysctl("net.ipv4.tcp_timestamps", 1)
    served("and it serves", "-c", 10, "-n", 500, "--keep", 10, paths=SMALL)


def program_taken():
    node.run("tc", "filter", "del", "dev", "eth0", "ingress")
    s.check("somebody clears the filters: the agent puts the program back",
            lib.wait_until(lambda: "relay_node" in node.run("tc", "filter", "show", "dev", "eth0", "ingress"), 6), log_of(node)[-500:])
    served("and it serves", "-c", 10, "-n", 300, "--keep", 10, paths=SMALL)


def strangers():
    """A certificate of another authority, and one whose name no server has."""
    other = farm.path("otherkeys")
    subprocess.run([BINARY, "keys", "init", other, "--name", "n1"], check=True, capture_output=True)
    subprocess.run([BINARY, "keys", "issue", "stranger", "--dir", farm.path("keys")], check=True, capture_output=True)
    before = agents()
    for name, ca in (("n1", other), ("stranger", farm.path("keys"))):
        config = farm.path("evil.yaml")
        with open(config, "w") as f:
            f.write(f"name: {name}\nca: {ca}/ca.pem\nbalancers: {{b1: '{balancer.v4}'}}\naddresses: no\n")
        p = farm.client.start(BINARY, "agent", "-c", config, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        lib.wait_until(lambda: False, 1.5)
        p.kill()
        p.wait()
    after = agents()
    s.check("strangers are refused and nobody is disturbed", {k: a["state"] for k, a in after.items()} ==
            {k: "connected" for k in before}, after)
    s.check("the log says so", "refused" in farm.log(balancer))


def bad_config():
    config = farm.path("bad.yaml")
    with open(config, "w") as f:
        f.write("name: n1\nbalancer: {b1: 192.0.2.11}\nroots: {www: {host: a}, /srv: {prefix: x, host: b}}\nrate: fast\n")
    p = subprocess.run([BINARY, "agent", "-c", config], capture_output=True, text=True, check=False)
    s.check("all mistakes at once, with their places", p.returncode == 1 and p.stderr.count("bad.yaml:") >= 4 and
            "balancers" in p.stderr and "absolute" in p.stderr, p.stderr)


def clean():
    last = farm.nodes[3]
    last.agent.terminate()
    last.agent.wait(10)
    s.check("a stopped agent leaves everything in its place", VIP4 in addresses(last))
    last.run(BINARY, "agent", "-c", farm.path(last.name + ".yaml"), "--clean")
    s.check("--clean takes it away", VIP4 not in addresses(last) and VIP6 not in addresses(last), addresses(last))
    s.check("programs, too", "bpf" not in last.run("tc", "filter", "show", "dev", "eth0", "ingress"))


for part in (start, load, content, settings, program_taken, strangers, bad_config, clean):
    part()
s.finish()
