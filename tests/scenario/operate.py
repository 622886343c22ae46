#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Operating the daemon: health followed, overrides, reload, restart, bad input; dnsperf throughout loses nothing.

Usage: operate.py POINTSMAN (or $POINTSMAN).
"""
import json
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Scenario, free_port, listens, wait_until  # noqa: E402

BINARY = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ["POINTSMAN"])
SITES = {"paris": "127.0.20.1", "london": "127.0.20.2", "newyork": "127.0.20.3"}
ORIGIN = """
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "6"); self.end_headers(); self.wfile.write(b"hello\\n")
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), H).serve_forever()
"""


class World:
    def __init__(self):
        self.s = Scenario("operate")
        self.dns, self.http = free_port(), free_port()
        self.sock = self.s.path("control.sock")
        self.s.mkdir("state")
        self.origins = {}
        for site in SITES:
            self.start_origin(site)
        for address in SITES.values():
            wait_until(lambda a=address: listens(self.http, a))
        self.config("")

    def start_origin(self, site):
        self.origins[site] = self.s.start("origin-" + site, [sys.executable, "-c", ORIGIN, SITES[site], str(self.http)])

    def config(self, more, policy="failover", name="pointsman.yaml"):
        services = "".join("  %s.gslb.test: {policy: %s, sites: {paris: %s, london: %s, newyork: %s}}\n"
                           % ((n, policy) + tuple(SITES.values())) for n in ("www", "shop"))
        return self.s.write(name, """
node: {name: test, state: '%s', user: '', log-level: info}
dns: {listen: ['127.0.0.1:%d', '[::1]:%d']}
api: {socket: '%s', metrics: off}
zones: {gslb.test: {ns: [ns1.gslb.test]}}
sites: {paris: {country: FR}, london: {country: GB}, newyork: {country: US}}
checks: {web: {http: {path: /, body: hello}, port: %d, interval: 500ms, timeout: 400ms, rise: 2, fall: 2}}
defaults: {check: web, ttl: auto, min-ttl: 1s}
services:
%s%s""" % (self.s.path("state"), self.dns, self.dns, self.sock, self.http, services, more))

    def run(self, *argv, ok=True):
        got = subprocess.run([BINARY] + list(argv), capture_output=True, text=True, timeout=20)
        return got

    def ctl(self, *argv):
        got = self.run(*argv, "--json", "--socket", self.sock)
        try:
            return json.loads(got.stdout)
        except ValueError:
            return {"failed": got.returncode, "text": got.stderr}

    def ask(self, name="www.gslb.test", kind="A", server="127.0.0.1", more=()):
        got = subprocess.run(["dig", "@" + server, "-p", str(self.dns), name, kind, "+short", "+tries=1", "+time=1"] + list(more),
                             capture_output=True, text=True)
        return got.stdout.split()

    def health(self):
        vips = self.ctl("vips").get("vips", [])
        return {v["site"]: v["health"] for v in vips if v["service"] == "www.gslb.test"}

    def start(self):
        self.daemon = self.s.start("pointsman", [BINARY, "run", "-c", self.s.path("pointsman.yaml")])
        return wait_until(lambda: len(self.ask()) > 0, 10)


def follow_health(w):
    s = w.s
    s.check("all sites come up", wait_until(lambda: set(w.health().values()) == {"up"}, 5), w.health())
    s.equal("first site answers", w.ask(), [SITES["paris"]])
    s.equal("the same over IPv6", w.ask(server="::1"), [SITES["paris"]])
    s.equal("the same over TCP", w.ask(more=["+tcp"]), [SITES["paris"]])
    w.origins["paris"].stop()
    start = time.time()
    s.check("stopped site is down in time", wait_until(lambda: w.health().get("paris") == "down", 5), w.health())
    s.check("within interval x fall + timeout", time.time() - start < 2.5, "%.1f s" % (time.time() - start))
    s.check("the answer follows", wait_until(lambda: w.ask() == [SITES["london"]], 1), w.ask())
    w.start_origin("paris")
    s.check("started site is up again", wait_until(lambda: w.health().get("paris") == "up", 5), w.health())
    s.check("the answer comes back", wait_until(lambda: w.ask() == [SITES["paris"]], 1), w.ask())
    changes = [h for h in w.ctl("history").get("changes", []) if h["service"] == "www.gslb.test" and h["what"] == "health"]
    s.check("nothing flapped", len(changes) <= 5, len(changes))


def overrides(w):
    s = w.s
    w.ctl("disable", "paris")
    s.check("disable takes effect at once", wait_until(lambda: w.ask() == [SITES["london"]], 1), w.ask())
    w.ctl("drain", "www.gslb.test@london")
    s.check("drain of one service's site", wait_until(lambda: w.ask() == [SITES["newyork"]], 1), w.ask())
    s.equal("the other service keeps it", w.ask("shop.gslb.test"), [SITES["london"]])
    s.check("unknown target is an error", "failed" in w.ctl("disable", "prais"))
    w.daemon.stop()
    s.check("restarts", w.start())
    s.equal("overrides survive a restart", w.ask(), [SITES["newyork"]])
    s.check("health is warm after a restart", w.health().get("newyork") == "up", w.health())
    w.ctl("enable", "paris")
    w.ctl("enable", "www.gslb.test@london")
    s.check("enable takes the words back", wait_until(lambda: w.ask() == [SITES["paris"]], 1), w.ask())
    w.ctl("disable", "paris", "--for", "1s")
    s.check("for a time", wait_until(lambda: w.ask() == [SITES["london"]], 1), w.ask())
    s.check("and it runs out", wait_until(lambda: w.ask() == [SITES["paris"]], 4), w.ask())


def explain_agrees(w):
    s = w.s
    got = w.ctl("explain", "www.gslb.test", "--client", "192.0.2.1")
    answer = [r["data"] for r in got.get("answer", {}).get("answer", [])]
    s.equal("explain's answer bytes are the wire's", answer, w.ask())


def bad_input(w):
    s = w.s
    with open(s.path("pointsman.yaml")) as f:
        good = f.read()
    s.write("pointsman.yaml", good.replace("policy: failover", "polciy: failover").replace("country: GB", "country: GBR"))
    got = w.run("reload", "--socket", w.sock)
    text = got.stdout + got.stderr
    s.check("a bad reload is refused", got.returncode == 1, got.returncode)
    s.check("with every error and its place", "did you mean 'policy'" in text and len(re.findall(r"pointsman.yaml:\d+:\d+: error", text)) >= 3,
            text[:400])
    s.equal("and changes nothing", w.ask(), [SITES["paris"]])
    s.write("pointsman.yaml", good + "  new.gslb.test: {policy: failover, sites: {newyork: %s}}\n" % SITES["newyork"])
    s.check("a good one is taken", "failed" not in w.ctl("reload"))
    s.equal("with what is new", w.ask("new.gslb.test"), [SITES["newyork"]])
    s.check("and known health", w.health().get("paris") == "up")
    s.check("what happened before a reload is remembered", any(h["what"] == "override" for h in w.ctl("history").get("changes", [])))
    then = w.ctl("explain", "www.gslb.test", "--client", "192.0.2.1", "--at", "-1s")
    s.check("explain for a moment before it", "failed" not in then and (then.get("explain") or {}).get("order"), str(then)[:300])
    second = w.run("run", "-c", s.path("pointsman.yaml"))
    s.check("a second daemon says what is in use", second.returncode == 1 and "in use" in second.stderr and str(w.dns) in second.stderr,
            second.stderr[-300:])
    s.write("geo.yaml", good.replace("zones:", "geo: {sources: [{mmdb: {path: /nonexistent/city.mmdb}}]}\nzones:"))
    got = w.run("check", "-c", s.path("geo.yaml"))
    s.check("a missing MMDB is named", got.returncode == 1 and "/nonexistent/city.mmdb" in got.stderr, got.stderr[-300:])
    s.write("bad.zone", "$TTL 60\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.300\nwww A 192.0.2.1\nwww CNAME ns1\n")
    s.write("zone.yaml", good.replace("gslb.test: {ns: [ns1.gslb.test]}", "gslb.test: {file: bad.zone}"))
    got = w.run("check", "-c", s.path("zone.yaml"))
    s.check("a zone's errors have file and line", got.returncode == 1 and "bad.zone:4" in got.stderr and "bad.zone:" in got.stderr,
            got.stderr[-400:])


def full_disk(w):
    s = w.s
    if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", s.path("state")]).returncode:
        s.skip("full disk", "needs root and mount")
        return
    try:
        w.ctl("disable", "london")
        kept = open(s.path("state", "overrides.json")).read()
        with open(s.path("state", "filler"), "wb") as f:
            try:
                f.write(b"x" * (1 << 20))
                f.flush()
            except OSError:
                pass
        got = w.run("disable", "paris", "--socket", w.sock)
        s.check("a full disk is said", "disk" in got.stdout + got.stderr, got.stdout + got.stderr)
        s.check("the word holds all the same", wait_until(lambda: w.ask() == [SITES["newyork"]], 1), w.ask())
        s.equal("and the old file is whole", open(s.path("state", "overrides.json")).read(), kept)
        w.ctl("enable", "paris")
        w.ctl("enable", "london")
    finally:
        subprocess.run(["umount", "-l", s.path("state")])


def lose_nothing(w):
    """dnsperf while everything an operator can do is done."""
    s = w.s
    seconds = 14
    s.write("queries", "".join("%s.gslb.test %s\n" % (n, t) for n in ("www", "shop") for t in ("A", "AAAA")))
    load = subprocess.Popen(["dnsperf", "-s", "127.0.0.1", "-p", str(w.dns), "-d", s.path("queries"), "-l", str(seconds), "-Q", "3000",
                             "-c", "20", "-t", "3"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    tcp = subprocess.Popen(["dnsperf", "-m", "tcp", "-s", "127.0.0.1", "-p", str(w.dns), "-d", s.path("queries"), "-l", "5", "-Q", "300",
                            "-c", "4", "-t", "3"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with open(s.path("pointsman.yaml")) as f:
        good = f.read()
    for i in range(5):
        s.write("pointsman.yaml", good.replace("max", "max") + "  extra%d.gslb.test: {policy: failover, sites: {london: %s}}\n"
                % (i, SITES["london"]))
        w.daemon.signal(signal.SIGHUP)
        time.sleep(0.4)
        w.ctl("disable", "paris")
        time.sleep(0.2)
        w.ctl("enable", "paris")
    s.check("the last reload is in force", wait_until(lambda: w.ask("extra4.gslb.test") == [SITES["london"]], 2))
    w.origins["london"].stop()
    time.sleep(1)
    w.start_origin("london")
    tcp_text = tcp.communicate()[0]  # TCP clients stay with the old process, so they end before the restarts
    for i in range(2):
        before = w.ctl("status").get("uptime-s", w.ctl("status"))
        old = w.daemon_pid()
        os.kill(old, signal.SIGUSR2)
        s.check("restart %d: a new process answers" % (i + 1), wait_until(lambda: w.daemon_pid() not in (0, old), 8), before)
        time.sleep(0.5)
    text = load.communicate()[0]
    for what, out in (("UDP", text), ("TCP", tcp_text)):
        sent, lost = (re.search(r"Queries %s:\s+(\d+)" % k, out) for k in ("sent", "lost"))
        s.check("%s: queries were sent" % what, sent and int(sent.group(1)) > 1000, out[-600:])
        s.check("%s: none was lost" % what, lost and int(lost.group(1)) == 0, out[-900:])
        s.check("%s: no SERVFAIL, no other error" % what, re.search(r"Response codes:\s+NOERROR \d+ \(100.00%\)", out), out[-900:])


def main():
    w = World()
    # After a restart by SIGUSR2 the process is another: found by its control socket's peer is not portable, so by /proc.
    def daemon_pid():
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid) as f:
                    words = f.read().split("\0")
                with open("/proc/%s/stat" % pid) as f:
                    state = f.read().rsplit(")", 1)[1].split()[0]
            except OSError:
                continue
            if words[:2] == [BINARY, "run"] and s_path in words and state != "Z" and os.path.exists(w.sock):
                newest.append(int(pid))
        found = sorted(set(newest))
        newest.clear()
        return found[-1] if len(found) == 1 else 0
    newest, s_path = [], w.s.path("pointsman.yaml")
    w.daemon_pid = daemon_pid
    s = w.s
    try:
        if not s.check("the daemon starts and answers", w.start()):
            print(w.daemon.output())
            s.finish()
        follow_health(w)
        overrides(w)
        explain_agrees(w)
        bad_input(w)
        full_disk(w)
        lose_nothing(w)
        pid = daemon_pid()
        if pid:
            os.kill(pid, signal.SIGTERM)
            s.check("ends on request", wait_until(lambda: daemon_pid() == 0, 5))
    except Exception as e:  # a broken scenario is a failed one, with its log
        s.check("the scenario runs through", False, repr(e))
    if s.failed:
        print(w.daemon.output()[-4000:])
    s.finish()


main()
