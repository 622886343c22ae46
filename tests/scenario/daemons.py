#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each status module against the real server it is for: good while it runs, down when stopped, good again.

First by one module alone (the program probe_once, built beside the daemon), then by the whole daemon: every server is a
service, seen down in the configured time, up again, its DNS answers following, nothing flapping.

Usage: daemons.py [POINTSMAN] (or $POINTSMAN); packages are unpacked in $PM_CACHE, or beside probe_once.
"""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Scenario, free_port, wait_until  # noqa: E402
import real_daemons  # noqa: E402

HOST = "www.example.test"


class ByModule:
    """Sees servers by running a module once (the program probe_once)."""

    def __init__(self, program):
        self.program = program
        self.modules = subprocess.run([program, "--list"], capture_output=True, text=True).stdout.split()

    def knows(self, module):
        return module in self.modules

    def look(self, module, port, params, host=HOST):
        got = subprocess.run([self.program, module, "127.0.0.1:%d" % port, params, host, "5000"], capture_output=True,
                             text=True, timeout=20)
        facts = dict(line.split("=", 1) for line in got.stdout.splitlines() if "=" in line)
        return facts or {"status": "crash", "code": "", "why": got.stderr[-500:]}

    def is_up(self, module, port, params):
        return self.look(module, port, params)["status"] == "ok"

    def is_down(self, module, port, params):
        return self.look(module, port, params)["status"] in ("refused", "timeout")


def cycle(s, seen, daemon):
    """up, stopped, down, started, up: as `seen` sees it."""
    checks = [c for c in daemon.checks if seen.knows(c[0])]
    for c in daemon.checks:
        if c not in checks:
            s.check("%s has a module %s" % (daemon.name, c[0]), False)
    for state, act in (("running", daemon.start), ("stopped", daemon.stop), ("running again", daemon.start)):
        act()
        for c in checks:
            look = seen.is_down if state == "stopped" else seen.is_up
            # what has just started may listen before it serves
            ok = wait_until(lambda: look(*c), 10, 0.2)
            s.check("%s %s: %s %s" % (daemon.name, state, c[0], c[2]), ok, "" if ok else seen.look(*c))


def details(s, seen, made):
    """What a module says about a server that answers, but not as wanted."""
    nginx, dovecot = made.get("nginx"), made.get("dovecot")
    if nginx:
        https = lambda params, host=HOST: seen.look("https", nginx.https, params, host)
        cert = s.path("cert.pem")
        s.equal("nginx: status 500", seen.look("http", nginx.http, "{path: /broken}")["why"], "status 500")
        s.equal("nginx: another host is another site", seen.look("http", nginx.http, "{}", "other.test")["code"], "404")
        s.equal("nginx: the redirect itself is good by default", seen.look("http", nginx.http, "{path: /moved}")["code"], "302")
        s.equal("nginx: an unknown authority", https("{}")["status"], "tls")
        s.equal("nginx: a certificate for another name", https("{ca-file: %s}" % cert, "other.test")["status"], "tls")
        s.equal("nginx: unverified", https("{verify: no}", "www.example.test")["status"], "ok")
        s.check("nginx: certificate expiry",
                28 * 86400 < int(https("{verify: no}").get("cert_expiry_s", 0)) <= 30 * 86400)
        s.equal("nginx: expires too soon", https("{verify: no, min-cert-days: 60}")["status"], "fail")
        s.equal("nginx: http to a TLS port", seen.look("http", nginx.https, "{status: 2xx}")["status"], "fail")
        s.equal("nginx: TLS to an http port", seen.look("https", nginx.http, "{verify: no}")["status"], "tls")
    if dovecot:
        for module, port in (("imap", dovecot.imap), ("pop3", dovecot.pop3)):
            s.equal("dovecot: %s with a wrong password" % module,
                    seen.look(module, port, "{user: joe, password: wrong}")["status"], "fail")


class ByDaemon:
    """All servers at once as services of one `pointsman run`: site `real` first, `spare` (unchecked) behind it."""
    INTERVAL, TIMEOUT, FALL = 1.0, 2.0, 2

    def __init__(self, s, binary, made):
        self.s, self.binary, self.dns, self.socket = s, binary, free_port(), s.path("daemon.sock")
        self.names = {}
        services = ""
        for daemon in made.values():
            for i, (module, port, params) in enumerate(daemon.checks):
                name = "%s-%s-%d.gslb.test" % (daemon.name, module, i)
                self.names.setdefault(daemon.name, []).append(name)
                services += ("  %s:\n    aliases: []\n    check: {%s: %s, port: %d, host: %s, interval: 1s, timeout: 2s, rise: 2, fall: 2}\n"
                             "    sites: {real: 127.0.0.1, spare: {vips: [{address: 192.0.2.1, check: []}]}}\n"
                             % (name, module, params, port, HOST))
        s.write("daemon.yaml", "node: {name: t, state: '', user: ''}\ndns: {listen: ['127.0.0.1:%d']}\n"
                "api: {socket: '%s', metrics: off}\nzones: {gslb.test: {ns: [ns.gslb.test]}}\nsites: {real: {}, spare: {}}\n"
                "defaults: {policy: failover, ttl: 1s}\nservices:\n%s" % (self.dns, self.socket, services))
        self.process = s.start("pointsman", [binary, "run", "-c", s.path("daemon.yaml")])

    def vips(self):
        got = subprocess.run([self.binary, "vips", "--json", "--socket", self.socket], capture_output=True, text=True, timeout=20)
        try:
            return {v["service"]: v for v in json.loads(got.stdout)["vips"] if v["site"] == "real"}
        except (ValueError, KeyError):
            return {}

    def health(self, daemon):
        vips = self.vips()
        return {vips.get(name, {}).get("health") for name in self.names[daemon.name]}

    def answers(self, daemon):
        return {a for name in self.names[daemon.name] for a in subprocess.run(
            ["dig", "@127.0.0.1", "-p", str(self.dns), name, "+short", "+tries=1"], capture_output=True, text=True).stdout.split()}


def by_daemon(s, binary, made):
    d = ByDaemon(s, binary, made)
    if not s.check("the daemon takes them all as services", wait_until(lambda: len(d.vips()) > 0, 10)):
        print("\n".join(d.process.output().splitlines()[:20]))
        return
    for daemon in made.values():
        daemon.start()
    for daemon in made.values():
        s.check("%s is up for the daemon" % daemon.name, wait_until(lambda: d.health(daemon) == {"up"}, 15), d.health(daemon))
    allowed = d.FALL * (d.INTERVAL * 1.1 + d.TIMEOUT) + 0.5
    for daemon in made.values():
        daemon.stop()
        start = time.time()
        s.check("%s stopped is down" % daemon.name, wait_until(lambda: d.health(daemon) == {"down"}, 15), d.health(daemon))
        s.check("%s within the configured time" % daemon.name, time.time() - start <= allowed, "%.1f s" % (time.time() - start))
        s.equal("%s: answers follow" % daemon.name, d.answers(daemon), {"192.0.2.1"})
    for daemon in made.values():
        daemon.start()
    for daemon in made.values():
        s.check("%s started is up again" % daemon.name, wait_until(lambda: d.health(daemon) == {"up"}, 15), d.health(daemon))
        s.equal("%s: answers come back" % daemon.name, d.answers(daemon), {"127.0.0.1"})
    time.sleep(3)
    got = subprocess.run([binary, "history", "--json", "--limit", "1000", "--socket", d.socket], capture_output=True, text=True)
    changes = {}
    for h in json.loads(got.stdout)["changes"]:
        if h["what"] == "health":
            changes[h["service"]] = changes.get(h["service"], 0) + 1
    most = max(changes.values(), default=0)
    # down at the start, up, down, up
    s.check("nothing flapped", 0 < most <= 4, {k: v for k, v in changes.items() if v > 4})


def main():
    binary = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ["POINTSMAN"])
    probe_once = os.path.join(os.path.dirname(binary), "../../tests/scenario/probe_once")
    s = Scenario("daemons")
    seen = ByModule(probe_once)
    cache = os.environ.get("PM_CACHE") or os.path.join(os.path.dirname(probe_once), "inn2")
    if os.getuid() != 0:
        s.skip("all", "these servers are started as root")
        s.cleanup()
        sys.exit(77)
    why = real_daemons.Innd.fetch(cache)
    made = {}
    for kind in real_daemons.ALL:
        why_not = (why if kind is real_daemons.Innd else None) or kind.missing()
        if why_not:
            s.skip(kind.__name__.lower(), why_not)
            continue
        try:
            daemon = kind(s)
            made[daemon.name] = daemon
            cycle(s, seen, daemon)
        except RuntimeError as e:
            s.check("%s runs" % kind.__name__.lower(), False, e)
    details(s, seen, made)
    for daemon in made.values():
        daemon.stop()
    by_daemon(s, binary, made)
    s.finish()


if __name__ == "__main__":
    main()
