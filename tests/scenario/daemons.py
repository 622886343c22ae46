#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each status module against the real server it is for: good while it runs, down when stopped, good again.

Usage: daemons.py PROBE_ONCE [POINTSMAN]; the cache for unpacked packages is beside PROBE_ONCE, or $PM_CACHE.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Scenario, wait_until  # noqa: E402
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


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    s = Scenario("daemons")
    seen = ByModule(os.path.abspath(sys.argv[1]))
    cache = os.environ.get("PM_CACHE") or os.path.join(os.path.dirname(os.path.abspath(sys.argv[1])), "inn2")
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
    s.finish()


if __name__ == "__main__":
    main()
