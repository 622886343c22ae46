# SPDX-License-Identifier: Apache-2.0
"""A small internet on loopback: a root (Knot), a parent zone (NSD), two balancers, two sites, and resolvers.

  .              192.0.2.1    2001:db8::1     delegates example.test
  example.test   192.0.2.2    2001:db8::2     delegates gslb.example.test; www and mail are CNAMEs into it
  ns1, ns2       192.0.2.11f  2001:db8::11f   the balancers, nodes of paris and newyork
  paris          198.51.100.1 2001:db8:1::1   web servers on port 80
  newyork        203.0.113.1  2001:db8:2::1
  clients        10.1.1.0/24 and 2001:db8:a::/48 near paris, 10.2.2.0/24 and 2001:db8:b::/48 near newyork
"""
import os
import shutil
import subprocess
import sys

SITES = {"paris": ("198.51.100.1", "2001:db8:1::1"), "newyork": ("203.0.113.1", "2001:db8:2::1")}
NODES = {"paris": ("192.0.2.11", "2001:db8::11"), "newyork": ("192.0.2.12", "2001:db8::12")}
# Per place and family two neighbours.
CLIENTS = {"paris": ("10.1.1.10", "10.1.1.11", "2001:db8:a::10", "2001:db8:a::11"),
           "newyork": ("10.2.2.10", "10.2.2.11", "2001:db8:b::10", "2001:db8:b::11")}
RESOLVERS = {"unbound": "192.0.2.21", "named": "192.0.2.22", "kresd": "192.0.2.23", "unbound-ecs": "192.0.2.24"}
RESOLVER6 = "2001:db8::24"  # unbound-ecs too, for clients over IPv6
ROOT, PARENT = ("192.0.2.1", "2001:db8::1"), ("192.0.2.2", "2001:db8::2")
METRICS = {"paris": 9353, "newyork": 9354}
MANY_V4 = ["192.0.2.%d" % n for n in range(101, 161)]
MANY_V6 = ["2001:db8:3::%x" % n for n in range(1, 61)]
TTL = 2          # of what changes in a test
SCOPED_TTL = 60  # of what must still be cached when it is asked for again

ROOT_ZONE = """$TTL 3600
. IN SOA a.root. hostmaster.root. 1 3600 600 86400 2
. NS a.root.
a.root. A {0[0]}
a.root. AAAA {0[1]}
example.test. NS ns.example.test.
ns.example.test. A {1[0]}
ns.example.test. AAAA {1[1]}
""".format(ROOT, PARENT)

PARENT_ZONE = """$ORIGIN example.test.
$TTL 3600
@ IN SOA ns hostmaster 1 3600 600 86400 2
@ NS ns
ns A {0[0]}
ns AAAA {0[1]}
www 2 CNAME web.gslb
gslb NS ns1.gslb
gslb NS ns2.gslb
ns1.gslb A {1[0]}
ns1.gslb AAAA {1[1]}
ns2.gslb A {2[0]}
ns2.gslb AAAA {2[1]}
""".format(PARENT, NODES["paris"], NODES["newyork"])

# The balancers' own zone: what the parent says about the delegation, said with authority.
CHILD_ZONE = """$ORIGIN gslb.example.test.
$TTL 3600
@ IN SOA ns1 hostmaster 1 3600 600 86400 2
@ NS ns1
@ NS ns2
ns1 A {0[0]}
ns1 AAAA {0[1]}
ns2 A {1[0]}
ns2 AAAA {1[1]}
""".format(NODES["paris"], NODES["newyork"])


def daemon_config(s, node):
    site = "  {0}: {{location: {1}}}\n"
    both = "{paris: ['%s', '%s'], newyork: ['%s', '%s']}" % (SITES["paris"] + SITES["newyork"])
    near = "    - {{prefixes: [{0}, '{1}'], location: {2}}}\n"
    return (
        "node: {name: %s, state: '', user: '', log-level: info}\n" % node
        + "dns: {listen: ['%s:53', '[%s]:53'], nsid: on, threads: 1}\n" % NODES[node]
        + "api: {socket: '%s', metrics: '127.0.0.1:%d'}\n" % (s.path(node + ".sock"), METRICS[node])
        + "zones:\n  gslb.example.test: {file: '%s'}\n" % s.path("gslb.zone")
        + "geo:\n  overrides:\n" + near.format("10.1.1.0/24", "2001:db8:a::/48", "[48.85, 2.35]")
        + near.format("10.2.2.0/24", "2001:db8:b::/48", "[40.71, -74.01]")
        + "sites:\n" + site.format("paris", "[48.85, 2.35]") + site.format("newyork", "[40.71, -74.01]")
        + "checks:\n"
        "  web: {http: {path: /, body: hello}, port: 80, interval: 200ms, timeout: 150ms, rise: 2, fall: 2}\n"
        "  port: {tcp: {}, port: 80, interval: 200ms, timeout: 150ms, rise: 2, fall: 2}\n"
        "services:\n"
        "  web.gslb.example.test: {policy: [up, order], check: web, ttl: %ds, sites: %s}\n" % (TTL, both)
        + "  four.gslb.example.test: {policy: [up, order], check: port, ttl: %ds, sites: {paris: %s, newyork: %s}}\n"
        % (TTL, SITES["paris"][0], SITES["newyork"][0])
        + "  near.gslb.example.test: {policy: nearest, check: [], ttl: %ds, sites: %s}\n" % (SCOPED_TTL, both)
        + "  many.gslb.example.test: {policy: [up], check: [], addresses: all, ttl: %ds, sites: {paris: {vips: [%s]}}}\n"
        % (TTL, ", ".join("'%s'" % a for a in MANY_V4 + MANY_V6)))


def forbidden():
    """Why there cannot be a network of our own: root of a container may not be allowed one. None if there can."""
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True)
    return tried.stderr.strip() or "no network namespace" if tried.returncode else None


def own_network():
    """Starts this program again in a network of its own, where port 53 of every address is free; returns there only."""
    if os.environ.get("PM_SCENARIO_NETNS") != "yes":
        os.environ["PM_SCENARIO_NETNS"] = "yes"
        os.execvp("unshare", ["unshare", "--net", "--", sys.executable] + sys.argv)
    run = lambda *a: subprocess.run(["ip"] + list(a), check=True)
    run("link", "set", "lo", "up")
    addresses = [ROOT, PARENT] + list(SITES.values()) + list(NODES.values()) + list(CLIENTS.values())
    for address in [a for group in addresses for a in group] + list(RESOLVERS.values()) + [RESOLVER6]:
        if ":" in address:
            run("-6", "addr", "add", address + "/128", "dev", "lo", "nodad")
        else:
            run("addr", "add", address + "/32", "dev", "lo")


def tool(name):
    return shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", ""))


def start_web(s, site):
    return s.start("web-" + site, [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "web.py"), "80",
                                   *SITES[site]])


def write_shared(s):
    """Files that several servers read, written before the first of them starts: none may see one half written."""
    s.write("gslb.zone", CHILD_ZONE)
    s.write("hints", ". 3600 NS a.root.\na.root. 3600 A %s\na.root. 3600 AAAA %s\n" % ROOT)


def start_root(s):
    s.write("root.zone", ROOT_ZONE)
    s.mkdir("knot")
    config = s.write("knot.conf", """server:
    rundir: "{d}/knot"
    listen: [ {a[0]}@53, {a[1]}@53 ]
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "{d}/knot"
zone:
  - domain: .
    file: "{d}/root.zone"
    storage: "{d}/knot"
    zonefile-sync: -1
    journal-content: none
""".format(d=s.dir, a=ROOT))
    return s.start("knotd", [tool("knotd"), "-c", config])


def start_parent(s):
    s.write("parent.zone", PARENT_ZONE)
    config = s.write("nsd.conf", """server:
    ip-address: {a[0]}
    ip-address: {a[1]}
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "{d}"
    database: ""
    pidfile: "{d}/nsd.pid"
    xfrdfile: "{d}/xfrd.state"
    xfrdir: "{d}"
    zonelistfile: "{d}/zone.list"
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: example.test
    zonefile: "{d}/parent.zone"
""".format(d=s.dir, a=PARENT))
    return s.start("nsd", [tool("nsd"), "-d", "-c", config])


def start_node(s, binary, node):
    config = s.write(node + ".yaml", daemon_config(s, node))
    return s.start("node-" + node, [binary, "run", "-c", config])


def start_resolver(s, name):
    """Every one iterates from our root, asks with a small EDNS buffer and does not ask for signatures we do not have."""
    hints, address = s.path("hints"), RESOLVERS[name]
    if name.startswith("unbound"):
        subnet = "".join("    send-client-subnet: %s\n" % a for group in NODES.values() for a in group)
        config = s.write(name + ".conf", """server:
    interface: {a}
{i}    access-control: 0.0.0.0/0 allow
    access-control: ::0/0 allow
    username: ""
    chroot: ""
    directory: "{d}"
    pidfile: "{d}/{n}.pid"
    use-syslog: no
    verbosity: 1
    num-threads: 1
    root-hints: "{h}"
    module-config: "{m}"
    local-zone: "test." nodefault
    edns-buffer-size: 512
{s}remote-control:
    control-enable: no
""".format(a=address, d=s.dir, n=name, h=hints, m="subnetcache iterator" if name == "unbound-ecs" else "iterator",
           i="    interface: %s\n" % RESOLVER6 if name == "unbound-ecs" else "", s=subnet if name == "unbound-ecs" else ""))
        return s.start(name, [tool("unbound"), "-d", "-p", "-c", config])
    if name == "named":
        config = s.write("named.conf", """options {{
    directory "{d}"; pid-file "{d}/named.pid"; session-keyfile "{d}/session.key"; managed-keys-directory "{d}";
    listen-on {{ {a}; }}; listen-on-v6 {{ none; }}; recursion yes; allow-query {{ any; }}; allow-recursion {{ any; }};
    dnssec-validation no; empty-zones-enable no; edns-udp-size 512; max-udp-size 512; lock-file none; max-cache-size 16m;
}};
controls {{ }};
zone "." {{ type hint; file "{h}"; }};
""".format(a=address, d=s.dir, h=hints))
        return s.start(name, [tool("named"), "-g", "-n", "1", "-c", config])
    s.mkdir("kresd")
    config = s.write("kresd.conf", """net.listen('{a}', 53, {{ kind = 'dns' }})
trust_anchors.remove('.')
modules = {{ 'hints > iterate' }}
hints.root({{ ['a.root.'] = {{ '{r[0]}', '{r[1]}' }} }})
-- 'test.' is a name kresd denies by itself (RFC 6761)
policy.add(policy.suffix(policy.PASS, policy.todnames({{ 'test.' }})))
net.bufsize(4096, 512)
cache.open(10 * MB, 'lmdb://{d}/kresd/cache')
log_level('notice')
""".format(a=address, r=ROOT, d=s.dir))
    return s.start(name, [tool("kresd"), "-n", "-q", "-c", config, s.path("kresd")])
