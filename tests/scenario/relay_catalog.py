#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Content that differs between nodes, and nobody has said who has what: agents report it, requests find it, everything gets a
second copy, and again when a node is lost.

Usage: relay_catalog.py [POINTSMAN] (or $POINTSMAN)
"""
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import relay_farm
from relay_farm import HOST, VIP4

BINARY = relay_farm.begin()
import lib


class Farm(relay_farm.Farm):
    """As it is, without `holds`; in two racks."""

    def config(self, balancer):
        return re.sub(r", holds: \[[^]]*\]", "", super().config(balancer))


    def agent_key(self, node):
        return super().agent_key(node) + f", rack: {rack(node.name)}"


def rack(name):
    return "a" if name in ("n1", "n2") else "b"


CATALOG = "catalog: {copies: 2, apply: %s, every: 1s, lost-for: 3s, cold: off, denied-for: 5s}\n"
s = lib.Scenario("relay_catalog")
relay_farm.SIZES = (0, 1, 1000, 65536)
farm = Farm(BINARY, agents=True, extra=CATALOG % "manual")
balancer = farm.balancers[0]
farm.daemon(balancer)


def catalog(*words):
    return json.loads(farm.cli(balancer, "catalog", *words, "--json"))


def plan(*words):
    return json.loads(farm.cli(balancer, "catalog", "plan", *words, "--json"))


def holders(path):
    """Who has it, as the catalog says."""
    got = [r for r in catalog(path)["resources"] if r["text"] == path]
    return {h["node"] for h in got[0]["holders"]} if got else set()


def on_disk(path):
    return {n.name for i, n in enumerate(farm.nodes) if os.path.exists(farm.root(i) + path)}


def surf(what, *words, paths=None):
    status, got = farm.surf("-c", 4, "-n", 400, *words, paths=paths)
    s.check(what, status == 0 and got.get("ok") == got.get("requests"), {k: got[k] for k in ("requests", "ok", "wrong_status", "wrong_bytes", "text", "reset") if got.get(k)})
    return got


def change_config(how):
    with open(farm.path(balancer.name + ".yaml")) as f:
        text = f.read()
    with open(farm.path(balancer.name + ".yaml"), "w") as f:
        f.write(how(text))
    farm.cli(balancer, "reload")


def reported():
    up = lib.wait_until(lambda: all(n["reported"] for n in catalog()["nodes"]), 20)
    s.check("all agents report what they have", up, catalog()["nodes"])
    s.check("the catalog says of each file who has it", lib.wait_until(lambda: all(holders(p) == on_disk(p) for p in farm.paths), 5),
            [(p, holders(p), on_disk(p)) for p in farm.paths if holders(p) != on_disk(p)][:2])
    time.sleep(0.3)
    before = farm.counters(balancer)
    surf("every file from a node that has it, on kept connections", "--keep", 20, "--random", 1)
    surf("and on connections of one request", "--random", 2)
    after = farm.counters(balancer)
    s.check("transferred, not served by the front end", after.get("request_front", 0) == before.get("request_front", 0) and
            after["request_open"] - before.get("request_open", 0) > 300, after)
    path = "/pair1/f2-1000.bin"
    r = json.loads(farm.cli(balancer, "explain", "--url", f"http://{HOST}{path}", "--json"))["relay"]
    s.equal("explain says whence it is known", {(h["node"], *h["sources"]) for h in r["directory"]["holders"]},
            {(n, "scanned") for n in on_disk(path)})
    s.equal("and who holds it", set(r["holders"]), on_disk(path))


def changes():
    farm.add(0, "/new/f0-1000.bin")
    s.check("a new file is known at once", lib.wait_until(lambda: holders("/new/f0-1000.bin") == {"n1"}, 5))
    time.sleep(0.3)
    surf("and found", paths=["/new/f0-1000.bin"])
    with open(farm.root(1) + "/index.html", "w") as f:
        f.write("here")
    lib.wait_until(lambda: holders("/") == {"n2"}, 5)
    got = farm.client.run("curl", "-s", "-m", "5", "-H", f"Host: {HOST}", f"http://{VIP4}/")
    s.equal("the folder of an index is where that is", got, "here")
    os.unlink(farm.root(1) + "/index.html")
    os.unlink(farm.root(0) + "/pair1/f2-1000.bin")
    s.check("a file that goes is known, too", lib.wait_until(lambda: holders("/pair1/f2-1000.bin") == {"n2"}, 5))
    time.sleep(0.3)
    surf("and comes from the other node", paths=["/pair1/f2-1000.bin"])


def denied():
    """A node without its agent loses a file: the front end asks the other one and remembers. (An escape is for the front end.)"""
    node = farm.nodes[2]
    node.agent.terminate()
    node.agent.wait()
    os.unlink(farm.root(2) + "/pair3/f2-1000.bin")
    codes = [farm.client.run("curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Host: {HOST}",
                             f"http://{VIP4}/p%61ir3/f2-1000.bin") for _ in range(6)]
    s.equal("the front end asks a server that has it", codes, ["200"] * 6)
    s.check("and has learned who has not", lib.wait_until(lambda: catalog()["summary"]["denied"] == 1, 5), catalog()["summary"])
    surf("so the kernel does not send anybody there", paths=["/pair3/f2-1000.bin"])
    farm.agent(2)
    s.check("until the agent says what is so", lib.wait_until(lambda: holders("/pair3/f2-1000.bin") == {"n4"}, 15),
            holders("/pair3/f2-1000.bin"))


def copied():
    lib.wait_until(lambda: plan()["total"] > 0, 20)
    first = plan()
    only = [p for p in farm.paths if len(on_disk(p)) == 1]
    s.check("the plan wants second copies of what one node has", {a["path"] for a in first["actions"]} >= set(only), first["figures"])
    s.check("a dry run does nothing", json.loads(farm.cli(balancer, "catalog", "apply", "--dry-run", "--json"))["given"] == 0)
    s.check("nothing happens unasked", all(len(on_disk(p)) == 1 for p in only))
    lib.wait_until(lambda: plan()["idle"] is None, 20)
    farm.cli(balancer, "catalog", "apply")
    s.check("applied: two copies of everything", lib.wait_until(lambda: all(len(on_disk(p)) >= 2 for p in farm.paths), 30),
            [(p, on_disk(p)) for p in farm.paths if len(on_disk(p)) < 2][:3])
    s.check("in both racks", lib.wait_until(lambda: all(len({rack(n) for n in on_disk(p)}) == 2 for p in farm.paths), 30),
            [(p, on_disk(p)) for p in farm.paths if len({rack(n) for n in on_disk(p)}) < 2][:3])
    s.check("the catalog knows", lib.wait_until(lambda: all(holders(p) == on_disk(p) for p in farm.paths), 10))
    surf("every byte right, from all of them", "--random", 3)
    s.check("then the plan is empty", lib.wait_until(lambda: plan()["total"] == 0, 20), plan()["actions"][:2])


def node_lost():
    change_config(lambda text: text.replace("apply: manual", "apply: auto"))
    node = farm.nodes[2]
    node.web.kill()
    node.agent.kill()
    node.web.wait()
    others = lambda p: on_disk(p) - {node.name}
    s.check("noticed within one check", lib.wait_until(lambda: node.name not in farm.up(balancer), 3))
    _, got = farm.surf("-c", 4, "-n", 400, "--random", 4)
    s.check("a node is lost: everything is there all the same", got["ok"] + got.get("reset", 0) == 400 and got.get("reset", 0) < 10, got)
    s.check("its content is copied again", lib.wait_until(lambda: all(len(others(p)) >= 2 for p in farm.paths), 40),
            [(p, others(p)) for p in farm.paths if len(others(p)) < 2][:3])
    surf("and right", "--random", 5)
    got = plan()
    s.check("no order has failed", not any(o["state"] == "given-up" for o in got["orders"]), got["orders"][:2])


def restarted():
    p = farm.daemons[balancer.name]
    p.kill()
    p.wait()
    farm.serve(2)
    farm.agent(2)
    farm.daemon(balancer, vip=False)
    lib.wait_until(lambda: farm.log(balancer).count(" answering ") == 2)
    surf("a balancer that has just begun sends nobody where it is not", "--random", 6)
    s.check("and hears all again", lib.wait_until(lambda: all(n["reported"] for n in catalog()["nodes"]), 20))
    surf("as before", "--random", 7)


for part in (reported, changes, denied, copied, node_lost, restarted):
    start = time.monotonic()
    part()
    print(f"# {part.__name__}: {time.monotonic() - start:.1f} s", flush=True)
s.finish()
