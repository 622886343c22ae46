#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What `explain --url` says of the relay, against where real requests end: a daemon, five machines in namespaces, curl.

Usage: relay_explain.py [POINTSMAN] (or $POINTSMAN). Needs root and a kernel that takes the packet programs; else exit 77.
"""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import lib  # noqa: E402
import relay_lab  # noqa: E402

BINARY = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ["POINTSMAN"])
TOOLS = os.path.join(os.path.dirname(BINARY), "../../tests/tools")
HOLDS = {"n1": ["/img/", "/only.html"], "n2": ["/img/", "*.php"], "n3": [], "n4": ["/far/"]}
NAME = "www.relay.test"
CLIENT = "198.51.100.7"
VIP_CLIENTS = "192.0.2.81"  # all of a client's packets go to one node


def skip(why):
    print("skipped: " + why)
    sys.exit(77)


class Site:
    def __init__(self):
        self.lab = relay_lab.Lab(nodes=3, far=True, tools=TOOLS)
        self.b = self.lab.balancers[0]
        self.b.address("eth0", relay_lab.VIP4 + "/32", relay_lab.VIP6 + "/128", VIP_CLIENTS + "/32")
        self.key, self.sock = os.path.join(self.lab.dir, "relay.key"), os.path.join(self.lab.dir, "control.sock")
        with open(self.key, "wb") as f:
            f.write(os.urandom(32))
        for n in self.lab.nodes:
            n.address("lo", VIP_CLIENTS + "/32")
            self.lab.nginx(n, "/var/empty", f'listen 0.0.0.0:8081; location / {{ return 200 "{n.name} $remote_addr\\n"; }}')
            n.relay = n.tool("node", "eth0")
            for address in (self.b.v4, self.b.v6):
                n.relay(f"trust {address} {self.key}")
        self.log = open(os.path.join(self.lab.dir, "daemon.log"), "w+")
        self.daemon = self.b.start(BINARY, "run", "-c", self.config(), stdout=self.log, stderr=self.log)
        lib.wait_until(lambda: self.tell("status"), 10)

    def config(self):
        servers = ", ".join("%s: {address: '%s', holds: [%s]%s}" %
                            (n.name, n.v4, ", ".join("'%s'" % h for h in HOLDS[n.name]), ", via: hops" if n.name == "n2" else "")
                            for n in self.lab.nodes)
        plain = ", ".join("%s: {address: '%s:8081'%s}" % (n.name, n.v4, ", via: hops" if n.name == "n2" else "") for n in self.lab.nodes)
        path = os.path.join(self.lab.dir, "daemon.yaml")
        with open(path, "w") as f:
            f.write(f"""
node: {{name: b1, site: here, state: '', user: '', log-level: info}}
dns: {{listen: ['127.0.0.1:5353']}}
api: {{socket: '{self.sock}', metrics: off}}
zones: {{relay.test: {{ns: [ns1.relay.test]}}}}
relay: {{interfaces: [eth0], key: '{self.key}', pin: '{self.lab.bpf}/pm'}}
sites: {{here: {{}}}}
services:
  {NAME}:
    check: []
    aliases: [alias.relay.test]
    front:
      ports: [80, 443]
      relay: transfer
      rewrites: [{{match: /moved/, to: 'http://elsewhere.test/', status: 302}}]
      check: {{tcp: {{}}, port: 80, interval: 300ms, timeout: 200ms, rise: 1, fall: 2}}
    sites:
      here: {{vips: ['{relay_lab.VIP4}', '{relay_lab.VIP6}'], servers: {{{servers}}}}}
  packets.relay.test:
    check: []
    front: {{mode: tcp, ports: 8081, relay: packets}}
    sites: {{here: {{vips: '{relay_lab.VIP4}', servers: {{{plain}}}}}}}
  clients.relay.test:
    check: []
    front: {{mode: tcp, ports: 8081, relay: clients}}
    sites: {{here: {{vips: '{VIP_CLIENTS}', servers: {{{plain}}}}}}}
""")
        return path

    def show_log(self):
        self.log.seek(0)
        print(self.log.read())

    def text(self, *argv):
        return subprocess.run([BINARY, *argv, "--socket", self.sock], capture_output=True, text=True, timeout=20)

    def tell(self, *argv):
        got = self.text(*argv, "--json")
        return json.loads(got.stdout) if not got.returncode else None

    def explain(self, url, *more):
        return self.tell("explain", "--url", url, "--client", CLIENT, *more)["relay"]

    def curl(self, *argv):
        return self.lab.client.run("curl", "-s", "-m", "5", "--resolve", f"{NAME}:80:{relay_lab.VIP4}", "--resolve",
                                   f"alias.relay.test:80:{relay_lab.VIP4}", "--resolve", f"other.test:80:{relay_lab.VIP4}",
                                   *argv, check=False)


def ended(answer):
    """(node, whether the client itself was there), as nginx saw it."""
    words = answer.split()
    return (words[0], words[1] in (CLIENT, "2001:db8:c::7")) if len(words) == 2 else ("", False)


def one_request(s, site, what, url, options=(), explain=(), holders=None):
    said = site.explain(url, *explain)
    at, direct = ended(site.curl(*options, url))
    shares = {n["server"]: n["share"] for n in said.get("nodes", [])}
    if said["goes-to"] == "node":
        s.check(what + ": the request ends where explain says", direct and shares.get(at, 0) > 0, (said, at, direct))
        s.check(what + ": explain knows the one node, or that several may be drawn",
                said["node"] == at if said["node"] else sum(1 for x in shares.values() if x > 0) > 1, (said, at))
        s.check(what + ": the shares are whole", abs(sum(shares.values()) - 1) < 1e-9, shares)
    else:
        s.check(what + ": the front end has it, as explain says", said["goes-to"] == "front end" and not direct, (said, at, direct))
    if holders is not None:
        s.equal(what + ": who holds it", sorted(said["holders"]), holders)
    return said


def requests(s, site):
    base = "http://" + NAME
    r = one_request(s, site, "a path", base + "/only.html", holders=["n1"])
    s.equal("a path: which entry", (r["resource"]["kind"], r["resource"]["text"]), ("path", "/only.html"))
    s.equal("a path: how it travels", [n["via"] for n in r["nodes"] if n["share"] > 0], ["lan"])
    r = one_request(s, site, "a prefix", base + "/img/a/b.png?c=d", holders=["n1", "n2"])
    s.equal("a prefix: which entry", (r["resource"]["kind"], r["resource"]["text"]), ("prefix", "/img/"))
    s.check("a prefix: the policy's stages are told", {"up", "holds"} <= {x["stage"] for x in r["passes"][0]["stages"]})
    removed = {e["server"] for x in r["passes"][0]["stages"] if x["stage"] == "holds" for e in x["effects"] if e["did"] == "removed"}
    s.equal("a prefix: whom the stage `holds` takes out", removed, {"n3", "n4"})
    r = one_request(s, site, "a suffix", base + "/a/b.php", holders=["n2"])
    s.equal("a suffix: how it travels", [n["via"] for n in r["nodes"] if n["share"] > 0], ["hops"])
    r = one_request(s, site, "what nobody names", base + "/x", holders=["n3"])
    s.equal("what nobody names: no entry", r["resource"], None)
    one_request(s, site, "through routers", base + "/far/x", holders=["n4"])
    one_request(s, site, "an alias", "http://alias.relay.test/only.html", explain=("--method", "GET"), holders=["n1"])
    one_request(s, site, "POST", base + "/only.html", ("-d", "x=1"), ("--method", "POST"), ["n1"])
    one_request(s, site, "an escape", base + "/img/a%20b")
    one_request(s, site, "an unusual method", base + "/img/a", ("-X", "OPTIONS"), ("--method", "OPTIONS"))
    one_request(s, site, "IPv6", base + "/only.html", ("--resolve", f"{NAME}:80:[{relay_lab.VIP6}]"), holders=["n1"])
    r = one_request(s, site, "a bare IPv4 address", f"http://{relay_lab.VIP4}/only.html", holders=["n1"])
    s.equal("a bare IPv4 address: as for the first service", r["host"]["matched"], "default")
    r = one_request(s, site, "a bare IPv6 address is unusual", f"http://[{relay_lab.VIP6}]/only.html", ("-g",))
    s.equal("a bare IPv6 address: the front end", r["goes-to"], "front end")
    r = site.explain(base + "/moved/x")
    s.equal("rewritten", (r["goes-to"], r["resource"]["text"]), ("front end", "/moved/"))
    s.check("rewritten: the front end answers", "elsewhere.test" in site.curl("-i", base + "/moved/x"))
    r = site.tell("explain", NAME, "--url", f"http://other.test/only.html")["relay"]
    at, direct = ended(site.curl("http://other.test/only.html"))
    s.equal("another name: as for the first service", (r["host"]["matched"], r["node"], at), ("default", "n1", "n1"))
    r = site.explain(f"http://{NAME}:8080/")
    s.equal("another port", r["goes-to"], "kernel")


def later_requests(s, site):
    """Each pair on one connection."""
    of = {"/img/1": "/img/", "/only.html": "/only.html", "/a.php": "*.php", "/x": "*", "/far/1": "/far/", "/moved/1": "/moved/"}
    for first, second in [("/only.html", "/img/1"), ("/only.html", "/only.html"), ("/x", "/img/1"), ("/a.php", "/far/1"),
                          ("/far/1", "/x"), ("/img/1", "/only.html")]:
        said = {x["resource"]: x for x in site.explain("http://" + NAME + first)["later"]}
        row = said[of[second]]
        answer = site.curl("-w", "%{num_connects} ", f"http://{NAME}{first}", f"http://{NAME}{second}").split()
        s.equal(f"{first}, {second}: one connection", (answer[2], answer[5]), ("1", "0"))
        stays = answer[0] == answer[3]
        s.check(f"{first}, {second}: explain says {row['then']}",
                {"stay": stays, "move": not stays and answer[3] in row["moves-to"],
                 "either": stays if answer[0] in row["stays-at"] else answer[3] in row["moves-to"]}.get(row["then"], False), (row, answer))
    said = {x["resource"]: x["then"] for x in site.explain("http://" + NAME + "/x")["later"]}
    s.equal("what has moved goes to the front end later, too", said["/moved/"], "front end")


def tls(s, site):
    r = site.explain(f"https://{NAME}/whatever")
    s.equal("TLS: read by the name in its greeting", (r["request"]["kind"], r["host"]["matched"], r["pinned"], r["node"]),
            ("tls", "name", True, "n3"))
    site.curl("-k", "--resolve", f"{NAME}:443:{relay_lab.VIP4}", f"https://{NAME}/")
    got = site.tell("sessions", "--vip", relay_lab.VIP4 + ":443")["sessions"]
    s.equal("TLS: nothing listens at that node, so the front end has it", [(x["node"], x["pinned"]) for x in got], [("(front end)", True)])


def plain(s, site):
    """Services whose requests nobody reads."""
    url = "http://packets.relay.test:8081/x"
    said = site.explain(url)
    at, direct = ended(site.curl("--resolve", f"packets.relay.test:8081:{relay_lab.VIP4}", url))
    shares = {n["server"]: n["share"] for n in said["nodes"]}
    s.equal("packets: a node, drawn", (said["goes-to"], said["node"], direct), ("node", None, True))
    s.check("packets: each by its weight", all(0.2 < x < 0.3 for x in shares.values()) and at in shares, (shares, at))
    s.check("packets: nothing is said of requests", "request" not in said and "later" not in said, said)
    url = f"http://{VIP_CLIENTS}:8081/x"
    of = [site.tell("explain", "--url", url, "--client", f"198.51.100.{i}")["relay"]["node"] for i in range(40)]
    s.equal("clients: not all at one node", set(of), {"n1", "n2", "n3", "n4"})
    one = site.explain(url)["node"]
    s.equal("clients: the very node, from the client's address", [ended(site.curl(url)) for _ in range(3)], [(one, True)] * 3)
    s.equal("clients: of nobody in particular nothing is certain", site.tell("explain", "--url", url)["relay"]["node"], None)
    got = site.tell("sessions", "--client", CLIENT)["sessions"]
    s.equal("sessions: all of a client is one", [(x["node"], x["vip"]) for x in got if x["protocol"] == "ip"], [(one, "*")])


def sessions(s, site):
    everything = site.tell("sessions")
    s.check("sessions: all of the table", everything["complete"] and everything["total"] == len(everything["sessions"]) > 10, everything)
    ages = [x["seen-ms-ago"] for x in everything["sessions"]]
    s.check("sessions: the latest first", ages == sorted(ages), ages)
    few = site.tell("sessions", "--limit", "3")
    s.equal("sessions: a limit keeps the latest", [x["client"] for x in few["sessions"]],
            [x["client"] for x in everything["sessions"][:3]])
    s.equal("sessions: and says how many there are", few["total"], everything["total"])
    for server in ("n1", "n4"):
        got = site.tell("sessions", "--server", server)["sessions"]
        s.check(f"sessions --server {server}", got and {x["node"] for x in got} == {server}, got)
    got = site.tell("sessions", "--server", "front-end")["sessions"]
    s.check("sessions --server front-end", got and all(x["node"] == "(front end)" and x["pinned"] for x in got), got)
    got = site.tell("sessions", "--vip", relay_lab.VIP6)["sessions"]
    s.check("sessions --vip", got and all(x["client"].startswith("[2001:db8:c::7]") for x in got), got)
    s.equal("sessions --client: nobody else", site.tell("sessions", "--client", "203.0.113.0/24")["total"], 0)
    s.check("sessions: moves are counted", any(x["moves"] for x in everything["sessions"]))
    got = [x["for"] for x in site.tell("sessions", "--server", "n4")["sessions"]]
    s.check("sessions: what for", "/far/" in got, got)
    refused = site.text("sessions", "--server", "n9")
    s.check("sessions: a server that is none", refused.returncode == 1 and "n9" in refused.stderr, refused)


def shown(s, site):
    r = site.tell("relay")
    s.equal("relay: nodes and how they are reached", {n["node"]: (n["via"], n["state"]) for n in r["nodes"]},
            {"n1": ("lan", "up"), "n2": ("hops", "up"), "n3": ("lan", "up"), "n4": ("hops", "up")})
    s.check("relay: transferred, moved and by the front end are counted",
            all(r["served"][k] for k in ("transferred", "stayed", "moved", "front-end")), r["served"])
    out = site.text("relay").stdout
    s.check("relay, as text", all(x in out for x in ("relay on", "eth0 in ", "*.php", "anything else", "front end: it has moved",
                                                     "request_open", "First requests decided")) and "syn_cookie " in out, out)
    s.check("relay, as text: nothing of what is 0", "dropped_tag" not in out, out)
    out = site.text("sessions", "--limit", "2").stdout
    s.check("sessions, as text", out.startswith("CLIENT") and "more, seen less recently" in out, out)
    out = site.text("explain", "--url", f"http://{NAME}/img/a").stdout
    s.check("explain, as text", all(x in out for x in ("Relay here", "prefix /img/", "n1, n2", "by the shares below",
                                                       "A later request on the same connection")), out)


def down(s, site):
    """What only a dead node holds, the front end answers; explain says why."""
    site.tell("disable", "n4")
    r = lib.wait_until(lambda: (lambda x: x if x["goes-to"] == "front end" else None)(site.explain(f"http://{NAME}/far/x")), 5)
    s.check("a disabled holder: the front end", r and "no node" in r["why"], r)
    s.check("a disabled holder: every pass is told", r and {e["why"] for p in r["passes"] for x in p["stages"] for e in x["effects"]
                                                              if e["server"] == "n4" and e["did"] == "removed"} == {"disabled"}, r)
    at, direct = ended(site.curl(f"http://{NAME}/far/x"))
    s.check("a disabled holder: and so it is", not direct, (at, direct))


def main():
    if os.geteuid() != 0:
        skip("namespaces and packet programs need root")
    if not os.path.exists(os.path.join(TOOLS, "relay_tool")):
        skip("no relay_tool beside the daemon")
    s = lib.Scenario("relay_explain")
    try:
        site = Site()
    except (RuntimeError, subprocess.CalledProcessError, OSError) as e:
        skip(str(e))
    relay = site.tell("relay")
    if not s.check("the daemon runs", relay):
        site.show_log()
        s.finish()
    if not relay["on"]:
        skip("the kernel does not take the packet program: " + relay["why"])
    up = lib.wait_until(lambda: all(n["via"] in ("lan", "hops") and n["state"] == "up" for n in site.tell("relay")["nodes"]), 10)
    if not s.check("all nodes are reached", up, site.tell("relay")):
        site.show_log()
    for part in (requests, later_requests, tls, plain, sessions, shown, down):
        part(s, site)
    site.lab.close()
    s.finish()


if __name__ == "__main__":
    main()
