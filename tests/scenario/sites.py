#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three sites with a balancer, a front end and real nginx servers each: reload, drain, a killed server and a restart in place
under load lose no request; a full site redirects to the right next one; nothing loops.

Usage: sites.py [POINTSMAN] (or $POINTSMAN).
"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Scenario, free_port, listens, wait_until  # noqa: E402

BINARY = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ["POINTSMAN"])
SITES = ["paris", "london", "tokyo"]
VIP = {n: "127.0.41.%d" % (i + 1) for i, n in enumerate(SITES)}


class World:
    def __init__(self, s):
        self.s = s
        self.port, self.dns = free_port(), {n: free_port() for n in SITES}
        self.mesh = {n: free_port() for n in SITES}
        self.servers = {n: {"%s-%d" % (n, i): free_port() for i in (1, 2)} for n in SITES}
        self.nginx, self.daemons = {}, {}
        keys = s.mkdir("keys")
        for i, n in enumerate(SITES):
            subprocess.run([BINARY, "keys"] + (["init", "--name", n] if i == 0 else ["issue", n]) + ["--dir", keys], check=True,
                           stdout=subprocess.DEVNULL)
        for n in SITES:
            for server in self.servers[n]:
                self.serve(n, server)
            self.config(n)
            self.start(n)

    def serve(self, site, server):
        port = self.servers[site][server]
        root = self.s.mkdir("www", server)
        self.s.write("www/%s/who" % server, server + "\n")
        self.s.write("www/%s/slow" % server, "x" * 100000)
        conf = self.s.write(server + ".conf", """
daemon off; master_process off; pid %s; error_log stderr error; worker_processes 1;
events { worker_connections 1024; }
http {
  access_log off; client_body_temp_path %s; proxy_temp_path %s; fastcgi_temp_path %s; uwsgi_temp_path %s; scgi_temp_path %s;
  keepalive_requests 1000000;
  server { listen 127.0.0.1:%d backlog=1024; root %s; location /slow { limit_rate 2k; } }
}
""" % ((self.s.path(server + ".pid"),) + (self.s.mkdir("tmp-" + server),) * 5 + (port, root)))
        self.nginx[server] = self.s.start(server, ["nginx", "-c", conf, "-e", "stderr", "-p", self.s.dir])
        wait_until(lambda: listens(port), 5)

    def config(self, site, extra="", limit=40):
        sites = "\n".join("      %s: {vips: {address: %s, max-connections: %d}, url: 'http://%s.test:%d'%s}" %
                          (n, VIP[n], limit, n, self.port,
                           ", servers: {%s}" % ", ".join("%s: '127.0.0.1:%d'" % x for x in self.servers[n].items()) if n == site else "")
                          for n in SITES)
        peers = ", ".join("%s: {address: '127.0.0.1:%d', site: %s}" % (n, self.mesh[n], n) for n in SITES)
        return self.s.write(site + ".yaml", """
node: {name: %s, site: %s, state: '', user: '', log-level: info}
dns: {listen: ['127.0.0.1:%d']}
api: {socket: '%s', metrics: off}
mesh: {listen: '127.0.0.1:%d', ca: '%s', update: 1s, expire: 30s, peers: {%s}}
zones: {gslb.test: {ns: [ns1.gslb.test]}}
sites: {paris: {}, london: {}, tokyo: {}}
services:
  www.gslb.test:
    policy: [up, not-full, order, first]
    check: {http: {path: /who}, port: %d, interval: 500ms, timeout: 400ms, rise: 1, fall: 2}
    ttl: 1s
    front: {ports: %d, balance: least-connections, forwarded-for: no, check: {http: {path: /who}, interval: 300ms, timeout: 250ms, rise: 1, fall: 2}}
    sites:
%s
%s""" % (site, site, self.dns[site], self.s.path(site + ".sock"), self.mesh[site], self.s.path("keys", "ca.pem"), peers, self.port, self.port, sites, extra))

    def start(self, site):
        self.daemons[site] = self.s.start("pointsman-" + site, [BINARY, "run", "-c", self.s.path(site + ".yaml")])
        wait_until(lambda: listens(self.port, VIP[site]), 5)

    def ctl(self, site, *argv):
        got = subprocess.run([BINARY] + list(argv) + ["--json", "--socket", self.s.path(site + ".sock")], capture_output=True, text=True, timeout=20)
        try:
            return json.loads(got.stdout)
        except ValueError:
            return {"failed": got.returncode, "text": got.stderr}

    def servers_up(self, site):
        return {x["server"]: x["up"] for x in self.ctl(site, "servers").get("servers", [])}

    def curl(self, url, *more):
        """Body, final URL, redirects; the sites' names lead to their addresses."""
        names = [x for n in SITES for x in ("--resolve", "%s.test:%d:%s" % (n, self.port, VIP[n]))]
        got = subprocess.run(["curl", "-sS", "-m", "10", "-w", "\n%{http_code} %{num_redirects} %{url_effective}"] + names + list(more) + [url],
                             capture_output=True, text=True)
        body, _, last = got.stdout.rpartition("\n")
        return body, (last.split() + [""] * 3)[:3], got.stderr


class Load:
    """Requests over keep-alive connections until stopped; every answer is looked at."""

    def __init__(self, address, port, threads=8):
        self.at, self.stopping, self.good, self.bad = (address, port), False, 0, []
        self.who = {}
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(threads)]
        for t in self.threads:
            t.start()

    def connect(self):
        sock = socket.create_connection(self.at, 5)
        return sock, sock.makefile("rb")

    def run(self):
        sock = None
        while not self.stopping:
            try:
                if sock is None:
                    sock, stream = self.connect()
                sock.sendall(b"GET /who HTTP/1.1\r\nHost: www.gslb.test\r\n\r\n")
                status = stream.readline()
                if not status:  # an idle connection may be closed: nothing of an answer was lost, but our request was sent
                    raise EOFError("closed without an answer")
                length, close = 0, False
                for line in iter(stream.readline, b"\r\n"):
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                    close |= name.lower() == b"connection" and b"close" in value
                body = stream.read(length)
                if b" 200 " not in status:
                    raise ValueError(status)
                self.good += 1
                self.who[body] = self.who.get(body, 0) + 1
                if close:
                    sock.close()
                    sock = None
            except (OSError, ValueError, EOFError) as e:
                self.bad.append("%.2f %r" % (time.monotonic(), e))
                sock = None

    def stop(self):
        self.stopping = True
        for t in self.threads:
            t.join(10)


def under_load(w):
    s = w.s
    s.check("servers come up", wait_until(lambda: all(set(w.servers_up(n).values()) == {True} for n in SITES), 10), [w.servers_up(n) for n in SITES])
    load = Load(VIP["paris"], w.port)
    time.sleep(1)
    s.check("both servers get requests", len(load.who) == 2, load.who)
    w.config("paris", "  shop.gslb.test: {policy: failover, front: {ports: %d}, sites: {paris: {vips: %s, servers: {a: '127.0.0.1:%d'}}}}\n"
             % (w.port, VIP["paris"], list(w.servers["paris"].values())[0]))
    s.check("reload with another service", "failed" not in w.ctl("paris", "reload"))
    time.sleep(0.7)
    s.check("drain of a server", "failed" not in w.ctl("paris", "drain", "paris-1"))
    time.sleep(0.5)
    before = load.who.get(b"paris-1\n", 0)
    time.sleep(0.7)
    s.check("it gets nothing more", load.who.get(b"paris-1\n", 0) - before <= 1, load.who)
    s.check("and is said to be empty", any(x["server"] == "paris-1" and x["draining"] and x["active"] == 0 for x in w.ctl("paris", "servers")["servers"]))
    w.ctl("paris", "enable", "paris-1")
    time.sleep(0.5)
    os.kill(w.nginx["paris-2"].pid, signal.SIGKILL)
    s.check("a killed server is seen", wait_until(lambda: w.servers_up("paris").get("paris-2") is False, 5), w.servers_up("paris"))
    w.serve("paris", "paris-2")
    s.check("and back", wait_until(lambda: w.servers_up("paris").get("paris-2") is True, 5), w.servers_up("paris"))
    pid = w.daemons["paris"].pid
    w.daemons["paris"].signal(signal.SIGUSR2)
    s.check("a restart in place", wait_until(lambda: w.daemons["paris"].popen.poll() is not None, 20))
    s.check("by another process", wait_until(lambda: w.ctl("paris", "servers").get("servers") and True, 5), pid)
    time.sleep(1)
    load.stop()
    s.check("no request was lost: reload, drain, killed server, restart (%d good)" % load.good, not load.bad and load.good > 500, load.bad[:5])


def overload(w):
    s = w.s
    s.check("all sites up again", wait_until(lambda: all(set(w.servers_up(n).values()) == {True} for n in ("london", "tokyo")), 10))
    url = "http://www.gslb.test:%d/who?q=1" % w.port
    resolve = ["--resolve", "www.gslb.test:%d:%s" % (w.port, VIP["london"])]
    body, (code, redirects, _), err = w.curl(url, "-L", *resolve)
    s.check("with room a site serves itself", code == "200" and redirects == "0" and body.startswith("london"), (body, code, err))
    for n in ("london", "tokyo"):
        w.config(n, limit=3)
        w.ctl(n, "reload")
    slow = [socket.create_connection((VIP["london"], w.port)) for _ in range(3)]
    for c in slow:
        c.sendall(b"GET /slow HTTP/1.1\r\nHost: www.gslb.test\r\n\r\n")
    time.sleep(0.3)
    _, (code, _, _), _ = w.curl(url, *resolve)
    s.equal("a full site redirects", code, "307")
    said = w.ctl("london", "explain", "www.gslb.test", "--client", "127.0.0.1", "--url", url)["front"][0]
    s.check("explain says so, why, and where to", said["does"] == "redirect 307" and said["to"] == "http://paris.test:%d/who?q=1" % w.port and
            said["why"] == "max-connections is reached", said)
    body, (code, redirects, final), err = w.curl(url, "-L", *resolve)
    # The restarted Paris is the first of the order; Tokyo would be the third.
    s.check("to the next of the director's order, path and query kept", code == "200" and redirects == "1" and
            final == "http://paris.test:%d/who?q=1" % w.port and body.startswith("paris"), (body, code, redirects, final, err))
    s.check("the model knows that it is full", wait_until(
        lambda: any(v["site"] == "london" and (v.get("connections") or 0) >= 3 for v in w.ctl("london", "vips")["vips"]), 3), w.ctl("london", "vips"))
    s.check("so do the other sites", wait_until(
        lambda: "london" not in [x["site"] for x in w.ctl("paris", "explain", "www.gslb.test")["explain"]["order"]], 4),
        w.ctl("paris", "explain", "www.gslb.test").get("explain", {}).get("order"))
    # Whoever came by a site's own name was sent there: he stays, and hears that it is full.
    body, (code, redirects, _), _ = w.curl("http://london.test:%d/who" % w.port, "-L")
    said = w.ctl("london", "explain", "www.gslb.test", "--url", "http://london.test:%d/who" % w.port)["front"][0]
    s.check("explain knows the loop guard", said["does"] == "503" and "loop guard" in said["why"], said)
    s.check("nothing loops", code == "503" and redirects == "0", (code, redirects))
    wrk = subprocess.run(["wrk", "-t1", "-c20", "-d2s", "-H", "Host: www.gslb.test", "http://%s:%d/who" % (VIP["london"], w.port)], capture_output=True, text=True)
    requests = int(re.search(r"(\d+) requests in", wrk.stdout).group(1))
    s.check("wrk: every request has an answer (%d)" % requests, requests > 200 and "Socket errors" not in wrk.stdout, wrk.stdout)
    for c in slow:
        c.close()
    s.check("room again, served here again", wait_until(lambda: w.curl(url, *resolve)[1][0] == "200", 8))
    w.nginx["london-1"].stop()
    w.nginx["london-2"].stop()
    s.check("without a healthy server: redirected, too", wait_until(lambda: w.curl(url, *resolve)[1][0] == "307", 5))
    s.check("and the site is down for everybody", wait_until(
        lambda: all({v["site"]: v["health"] for v in w.ctl(n, "vips")["vips"]}.get("london") == "down" for n in SITES), 5),
        [w.ctl(n, "vips") for n in SITES])


def main():
    s = Scenario("sites")
    w = World(s)
    under_load(w)
    overload(w)
    # The process that took over after the restart in place is nobody's child: it goes by its own word.
    subprocess.run(["pkill", "-f", s.path("paris.yaml")])
    s.finish()


main()
