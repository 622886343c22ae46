#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real resolvers find the balancers through a real delegation (delegation.py), and believe what they say.

  resolvers.py build/src/main/pointsman      or the binary in $POINTSMAN; needs root, for a network of its own
"""
import json
import os
import re
import subprocess
import sys
import time
import urllib.request

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import delegation as net  # noqa: E402
from lib import Scenario, listens, wait_until  # noqa: E402

ZONE = "gslb.example.test."
PLAIN = ("unbound", "named", "kresd")


def ask(address, name, rdtype, source=None, tcp=False):
    query = dns.message.make_query(name, rdtype)
    try:
        return (dns.query.tcp if tcp else dns.query.udp)(query, address, timeout=5, source=source)
    except (OSError, EOFError, dns.exception.DNSException) as e:
        print("# %s %s at %s: %r" % (name, rdtype, address, e))
        return None


def addresses(reply):
    """What the answer says of A and AAAA, sorted; None when there is no good answer."""
    if reply is None or reply.rcode() != 0:
        return None
    return sorted(rd.address for rrset in reply.answer for rd in rrset if rrset.rdtype in (1, 28))


def told(resolver, name, rdtype, **kw):
    return addresses(ask(net.RESOLVERS[resolver], name, rdtype, **kw))


def queries(proto, nodes=net.NODES):
    """DNS messages that came to the balancers so far."""
    count = 0
    for node in nodes:
        page = urllib.request.urlopen("http://127.0.0.1:%d/metrics" % net.METRICS[node], timeout=5).read().decode()
        found = re.findall(r'^\w*queries_total\{proto="%s",family="[46]"\} ([0-9.e+]+)' % proto, page, re.M)
        if not found:
            raise RuntimeError("no count of %s queries on the metrics page" % proto)
        count += sum(int(float(n)) for n in found)
    return count


def wants(site, rdtype):
    return [net.SITES[site][rdtype == "AAAA"]]


def by_name(s, resolver):
    for rdtype in ("A", "AAAA"):
        for name in ("web." + ZONE, "www.example.test."):
            s.equal("%s: %s of %s" % (resolver, rdtype, name), told(resolver, name, rdtype), wants("paris", rdtype))
    s.equal("%s: A of a service without IPv6" % resolver, told(resolver, "four." + ZONE, "A"), wants("paris", "A"))


def negative(s, resolver):
    cases = [("four." + ZONE, "AAAA", dns.rcode.NOERROR), ("web." + ZONE, "MX", dns.rcode.NOERROR),
             (ZONE, "A", dns.rcode.NOERROR), ("nothing." + ZONE, "A", dns.rcode.NXDOMAIN),
             ("below.web." + ZONE, "AAAA", dns.rcode.NXDOMAIN)]
    for name, rdtype, rcode in cases:
        reply = ask(net.RESOLVERS[resolver], name, rdtype)
        what = "%s: %s %s is %s, with the zone's SOA" % (resolver, name, rdtype, "NXDOMAIN" if rcode else "NODATA")
        soa = reply and [r.name.to_text() for r in reply.authority if r.rdtype == 6]
        s.equal(what, reply and (reply.rcode(), len(reply.answer), soa), (rcode, 0, [ZONE]))


def truncated(s, resolver):
    """The resolver offers 512 bytes: 60 addresses come with TC, and it must have come back over TCP."""
    for rdtype, all_of_them in (("A", net.MANY_V4), ("AAAA", net.MANY_V6)):
        before = queries("tcp")
        got = told(resolver, "many." + ZONE, rdtype, tcp=True)
        s.check("%s: all 60 of %s" % (resolver, rdtype), got == sorted(all_of_them), got)
        s.check("%s: it asked for them over TCP" % resolver, queries("tcp") > before)


def health(s, web):
    """Paris stops: all resolvers say New York once the TTL is over; and back."""
    web["paris"].stop()
    changed_everywhere(s, "newyork", "paris is down")
    web["paris"] = net.start_web(s, "paris")
    changed_everywhere(s, "paris", "paris is back")


def changed_everywhere(s, site, why):
    # 2 checks of 200 ms and their timeout, the TTL, and as much again for a busy machine
    end = time.monotonic() + 4 * net.TTL
    for resolver in PLAIN:
        for rdtype in ("A", "AAAA"):
            look = lambda: told(resolver, "www.example.test.", rdtype)
            got = wait_until(lambda: look() == wants(site, rdtype), max(0.1, end - time.monotonic()), 0.2) and wants(site, rdtype)
            s.equal("%s: %s, %s is %s's" % (resolver, why, rdtype, site), got or look(), wants(site, rdtype))


def scoped(s):
    """Client subnets: the answer of the near site, and kept by the resolver for that subnet and no other."""
    name = "near." + ZONE
    for rdtype, resolver, first in (("A", net.RESOLVERS["unbound-ecs"], 0), ("AAAA", net.RESOLVERS["unbound-ecs"], 0),
                                    ("A", net.RESOLVER6, 2), ("AAAA", net.RESOLVER6, 2)):
        for again in (0, 1):
            for site, clients in net.CLIENTS.items():
                client = clients[first + again]
                before = queries("udp")
                got = addresses(ask(resolver, name, rdtype, source=client))
                came = queries("udp") - before
                s.equal("client %s: %s of the near site" % (client, rdtype), got, wants(site, rdtype))
                if again:
                    s.equal("client %s: from the cache, where its neighbour's answer is" % client, came, 0)
                else:
                    s.check("client %s: no other subnet's answer would do" % client, came > 0)


def one_node_less(s, nodes):
    """Any name server of the delegation will do: with one gone, names that are not cached are still found."""
    s.equal("a balancer ends cleanly", nodes["paris"].stop(), 0)
    for resolver in PLAIN:
        got = wait_until(lambda: told(resolver, "four." + ZONE, "A") == wants("paris", "A"), 10, 0.5)
        s.check("%s: resolves by the other balancer alone" % resolver, got)
    s.check("and that one is still there", nodes["newyork"].running(), nodes["newyork"].output())


def ups(s, binary, node):
    """How many of a balancer's addresses with a check are up."""
    told = subprocess.run([binary, "vips", "--json", "--socket", s.path(node + ".sock")], capture_output=True, text=True)
    vips = json.loads(told.stdout)["vips"] if told.returncode == 0 else []
    return sum(vip["health"] == "up" for vip in vips if vip["checks"])


def answering(s, servers):
    for address in servers:
        if not s.check("a server at " + address, wait_until(lambda: listens(53, address), 15)):
            logs(s)
            s.finish()


def logs(s):
    for process in s.processes:
        print("--- %s\n%s" % (process.name, process.output()))


def start_all(s, binary):
    web = {site: net.start_web(s, site) for site in net.SITES}
    for address in [a for pair in net.SITES.values() for a in pair]:
        s.check("a web server at " + address, wait_until(lambda: listens(80, address), 10))
    net.write_shared(s)
    net.start_root(s)
    net.start_parent(s)
    nodes = {node: net.start_node(s, binary, node) for node in net.NODES}
    authorities = [net.ROOT, net.PARENT] + list(net.NODES.values())
    answering(s, [a for pair in authorities for a in pair])
    for name in net.RESOLVERS:
        net.start_resolver(s, name)
    answering(s, list(net.RESOLVERS.values()) + [net.RESOLVER6])
    for node in net.NODES:  # before that, answers are those of services that are not all known
        s.check("%s has found all 6 addresses with a check up" % node,
                wait_until(lambda: ups(s, binary, node) == 6, 10), nodes[node].output())
    return web, nodes


def main():
    binary = os.environ.get("POINTSMAN") or (sys.argv[1] if len(sys.argv) > 1 else None)
    if not binary:
        sys.exit("resolvers.py: say where the daemon is, as first argument or in POINTSMAN")
    missing = [t for t in ("unshare", "ip", "knotd", "nsd", "unbound", "named", "kresd") if not net.tool(t)]
    why = "not installed: " + ", ".join(missing) if missing else "needs root" if os.getuid() != 0 else net.forbidden()
    if why:
        print("skipped - resolvers: " + why)
        print("0 passed, 0 failed")
        sys.exit(77)
    net.own_network()
    s = Scenario("resolvers")
    web, nodes = start_all(s, os.path.abspath(binary))
    for resolver in PLAIN:
        by_name(s, resolver)
        negative(s, resolver)
        truncated(s, resolver)
    scoped(s)
    health(s, web)
    one_node_less(s, nodes)
    if s.failed:
        logs(s)
    s.finish()


if __name__ == "__main__":
    main()
