#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three balancers at three sites that know each other over TLS: events, the matrix, quorum, operators' words, restart.

Usage: fleet.py POINTSMAN (or $POINTSMAN).
"""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Scenario, free_port, wait_until  # noqa: E402
import nats_cluster  # noqa: E402

BINARY = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ["POINTSMAN"])
SITES = ["london", "paris", "tokyo", "lima"]
ORIGIN = """
import http.server, sys, time
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(float(sys.argv[3]))
        self.send_response(200); self.send_header("Content-Length", "6"); self.end_headers(); self.wfile.write(b"hello\\n")
    def log_message(self, *a): pass
class S(http.server.ThreadingHTTPServer):
    request_queue_size = 100
S((sys.argv[1], int(sys.argv[2])), H).serve_forever()
"""


class Fleet:
    def __init__(self, s, family):
        self.s, self.family = s, family
        self.cluster = nats_cluster.Cluster(s) if family == "nats" else None
        self.http = free_port()
        self.dns = {n: free_port() for n in SITES}
        self.mesh = {n: free_port() for n in SITES}
        self.vip = {n: "127.0.31.%d" % (i + 1) for i, n in enumerate(SITES)}
        self.daemons, self.origins = {}, {}
        for i, n in enumerate(SITES):
            self.origin(n, 0.02 * i)

    def origin(self, site, delay=0.0):
        self.origins[site] = self.s.start("origin-" + site, [sys.executable, "-c", ORIGIN, self.vip[site], str(self.http), str(delay)])

    def start(self, site):
        host = "[::1]" if self.family == 6 else "127.0.0.1"
        peers = ", ".join("%s-1: {address: '%s:%d', site: %s}" % (n, host, self.mesh[n], n) for n in SITES)
        how = "listen: '%s:%d'" % (host, self.mesh[site])
        if self.cluster:  # nobody needs to know anybody's address
            peers = ", ".join("%s-1: {site: %s}" % (n, n) for n in SITES)
            how = "nats: {servers: [%s], subject: gslb}" % self.cluster.urls()
        self.s.mkdir("state-" + site)
        path = self.s.write(site + ".yaml", """
node: {name: %s-1, site: %s, state: '%s', user: '', log-level: info}
dns: {listen: ['127.0.0.1:%d']}
api: {socket: '%s', metrics: off}
mesh:
  %s
  ca: '%s'
  update: 1s
  expire: 20s
  peers: {%s}
zones: {gslb.test: {ns: [ns1.gslb.test]}}
sites: {london: {}, paris: {}, tokyo: {}, lima: {}}
checks: {web: {http: {path: /, body: hello}, port: %d, interval: 2s, timeout: 1s, rise: 1, fall: 3}}
services:
  www.gslb.test: {check: web, ttl: 1s, policy: [up, handoff, spread], sites: {%s}}
""" % (site, site, self.s.path("state-" + site), self.dns[site], self.s.path(site + ".sock"), how,
            self.s.path("keys", "ca.pem"), peers, self.http, ", ".join("%s: %s" % (n, self.vip[n]) for n in SITES)))
        self.daemons[site] = self.s.start("pointsman-" + site, [BINARY, "run", "-c", path])

    def ctl(self, site, *argv):
        got = subprocess.run([BINARY] + list(argv) + ["--json", "--socket", self.s.path(site + ".sock")], capture_output=True, text=True,
                             timeout=20)
        try:
            return json.loads(got.stdout)
        except ValueError:
            return {"failed": got.returncode, "text": got.stderr}

    def health(self, at):
        return {v["site"]: v["health"] for v in self.ctl(at, "vips").get("vips", [])}

    def links(self, at):
        return self.ctl(at, "peers").get("links", 0)

    def table(self, at):
        return {x["site"]: x["weight"] for x in self.ctl(at, "handoff", "www.gslb.test").get("sites", [])}


def joins(f):
    s = f.s
    for n in SITES:
        f.start(n)
    for n in SITES:
        s.check(n + " has all links", wait_until(lambda: f.links(n) == 3, 15), f.ctl(n, "peers"))
        s.check(n + " sees all sites up", wait_until(lambda: set(f.health(n).values()) == {"up"}, 15), f.health(n))

    def complete():
        m = f.ctl("london", "matrix", "www.gslb.test").get("sites", [])
        return len(m) == 4 and all(c["state"] == "up" for row in m for c in row["seen"])

    s.check("the matrix is complete", wait_until(complete, 15), f.ctl("london", "matrix", "www.gslb.test"))
    s.check("all compute the same hand-off table",
            wait_until(lambda: all(f.table(n) == f.table("london") for n in SITES) and sum(f.table("london").values()) == 28, 15),
            [f.table(n) for n in SITES])
    t = f.table("london")
    s.check("the quickest site has the most weight, the slowest the least", t["london"] == max(t.values()) and t["lima"] == min(t.values()), t)


def event(f):
    """A site dies: whoever notices first tells the others, and one look of their own is enough. Alone it takes up to 3 x 2 s + 1 s."""
    s = f.s
    f.origins["paris"].stop()
    start = time.monotonic()
    down = {}

    def all_down():
        for n in SITES:
            if n not in down and f.health(n).get("paris") == "down":
                down[n] = time.monotonic() - start
        return len(down) == len(SITES)

    s.check("all balancers see it down", wait_until(all_down, 12, 0.02), down)
    s.check("nearly at once", down and max(down.values()) - min(down.values()) < 2, down)  # by itself each would take up to 7 s
    f.origin("paris")
    s.check("and up again", wait_until(lambda: all(f.health(n).get("paris") == "up" for n in SITES), 15), [f.health(n) for n in SITES])


def words(f):
    s = f.s
    s.check("an operator's word", "failed" not in f.ctl("tokyo", "disable", "paris"))
    state = lambda n: {o["target"]: (o["state"], o["by"]) for o in f.ctl(n, "overrides").get("overrides", [])}
    s.check("is heard everywhere", wait_until(lambda: all(state(n).get("paris", ("",))[0] == "disabled" for n in SITES), 3), [state(n) for n in SITES])
    s.equal("with who said it", state("lima").get("paris"), ("disabled", "tokyo-1"))
    f.daemons["tokyo"].stop()
    s.check("it holds when its balancer is gone", state("london").get("paris", ("",))[0] == "disabled")
    s.check("another takes it back", "failed" not in f.ctl("lima", "enable", "paris"))
    s.check("everywhere", wait_until(lambda: "paris" not in state("london"), 3), state("london"))
    f.start("tokyo")
    s.check("whoever said it comes back", wait_until(lambda: f.links("tokyo") == 3, 15))
    s.check("and obeys the later word", wait_until(lambda: "paris" not in state("tokyo"), 5), state("tokyo"))
    time.sleep(1)
    s.check("which stays", all("paris" not in state(n) for n in SITES), [state(n) for n in SITES])
    f.ctl("london", "drain", "lima", "--scope", "here")
    time.sleep(0.5)
    s.check("a word for here alone stays here", "lima" in state("london") and "lima" not in state("paris"), state("paris"))
    f.ctl("london", "enable", "lima")


def changed(f):
    """Another configuration of the mesh, and a renewed certificate, by reload."""
    s = f.s
    with open(s.path("london.yaml")) as file:
        text = file.read()
    s.write("london.yaml", text.replace("expire: 20s", "expire: 21s"))
    s.check("reload with another mesh", "failed" not in f.ctl("london", "reload"), f.ctl("london", "reload"))
    s.check("has its links again", wait_until(lambda: f.links("london") == 3 and all(f.links(n) == 3 for n in SITES), 10), f.ctl("london", "peers"))
    time.sleep(1.1)
    got = subprocess.run([BINARY, "keys", "renew", "paris-1", "--force", "--dir", s.path("keys")], capture_output=True, text=True)
    s.check("a renewed certificate", got.returncode == 0 and "failed" not in f.ctl("paris", "reload"), got.stderr)
    s.check("is taken", wait_until(lambda: f.links("paris") == 3, 10), f.ctl("paris", "peers"))
    f.ctl("paris", "drain", "tokyo")
    s.check("and believed", wait_until(lambda: "tokyo" in {o["target"] for o in f.ctl("lima", "overrides").get("overrides", [])}, 5))
    f.ctl("paris", "enable", "tokyo")


def quorum(f):
    """London can reach lima, two others say they cannot: iptables is not ours, so the others look at a wrong port."""
    s = f.s
    for n in ("paris", "tokyo"):
        with open(s.path(n + ".yaml")) as file:
            text = file.read()
        s.write(n + ".yaml", text.replace("lima: %s}" % f.vip["lima"],
                                          "lima: {vips: {address: %s, check: {http: {path: /}, port: 9, interval: 1s, timeout: 500ms, fall: 1}}}}" % f.vip["lima"]))
        s.check(n + " looks elsewhere", "failed" not in f.ctl(n, "reload"), f.ctl(n, "reload"))
    s.check("two vantages outvote London's own view", wait_until(lambda: f.health("london").get("lima") == "down", 10), f.health("london"))
    f.daemons["paris"].stop()
    s.check("one is no quorum: after its record has run out", wait_until(lambda: f.health("london").get("lima") == "up", 40), f.health("london"))


def keys(s):
    s.mkdir("keys")
    for i, n in enumerate(SITES):
        got = subprocess.run([BINARY, "keys"] + (["init", "--name", n + "-1"] if i == 0 else ["issue", n + "-1"]) +
                             ["--dir", s.path("keys")], capture_output=True, text=True)
        s.check("keys for " + n, got.returncode == 0, got.stderr)


def main():
    s = Scenario("fleet")
    keys(s)
    for family in (4, 6) + (("nats",) if nats_cluster.available() else ()):
        f = Fleet(s, family)
        joins(f)
        event(f)
        if family == 4:
            words(f)
            changed(f)
            quorum(f)
        if f.cluster:
            used = f.cluster.at(f.ctl("london", "peers")["cluster"]["server"])
            f.cluster.process[used].stop()
            f.ctl("tokyo", "drain", "lima")
            s.check("a server of the cluster dies, words still arrive", wait_until(
                lambda: all("lima" in {o["target"] for o in f.ctl(n, "overrides").get("overrides", [])} for n in SITES), 10))
        for n, d in f.daemons.items():
            running = d.running()
            s.check(n + " ends well", d.stop(15) == 0 or not running, d.output()[-300:])
        for o in f.origins.values():
            o.stop()
    s.finish()


main()
