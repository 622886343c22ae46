#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`pointsman keys` as an operator uses it, and certificates renewed under running links.

Usage: keys.py POINTSMAN (or $POINTSMAN); mesh_node is found in the same build.
"""
import json
import os
import stat
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Scenario, free_port, wait_until  # noqa: E402
from mesh_nats import Node  # noqa: E402


class Keys:
    def __init__(self, s, pointsman):
        self.s, self.pointsman, self.dir = s, pointsman, s.path("keys")
        self.program = os.path.join(os.path.dirname(pointsman), "../../tests/scenario/mesh_node")

    def run(self, *argv, folder=None, umask=0o022):
        argv = [self.pointsman, "keys"] + list(argv) + ["--dir", folder or self.dir]
        return subprocess.run(argv, capture_output=True, text=True, umask=umask, timeout=20)

    def refused(self, what, argv, text, code=1, **kw):
        got = self.run(*argv, **kw)
        self.s.check("%s: refused, and why" % what,
                     got.returncode == code and text in got.stderr and got.stderr.count("\n") == 1 and not got.stdout, got)

    def mode(self, name):
        return stat.S_IMODE(os.stat(os.path.join(self.dir, name)).st_mode)

    def listed(self, **kw):
        return {e["name"]: e for e in json.loads(self.run("show", "--json", **kw).stdout)}


def commands(k):
    s = k.s
    k.refused("a certificate without an authority", ["issue", "paris"], "ca.pem")
    k.refused("an authority without a node's name", ["init"], "--name")
    k.refused("a name that is none", ["init", "--name", "../paris"], "cannot be a node's name")
    s.check("nothing was made", not os.path.exists(os.path.join(k.dir, "ca.key")))
    got = k.run("init", "--name", "paris", umask=0)
    s.check("init says what it made", got.returncode == 0 and "ca.key" in got.stdout and "paris.pem" in got.stdout, got)
    s.equal("modes, whatever the umask", [oct(x) for x in (k.mode(""), k.mode("ca.key"), k.mode("paris.pem"), k.mode("ca.pem"))],
            ["0o700", "0o600", "0o600", "0o644"])
    before = k.listed()
    for what, argv in (("a second authority", ["init", "--name", "lima"]), ("a second certificate", ["issue", "paris"])):
        k.refused(what, argv, "already exists (--force replaces it)")
    s.equal("nothing has changed", k.listed(), before)
    s.equal("issue", k.run("issue", "lima", "--days", "30").returncode, 0)
    k.refused("days that are none", ["issue", "oslo", "--days", "0"], "--days", code=2)
    k.refused("renewal of nobody", ["renew", "oslo"], "oslo.pem")
    for argv in (["shred"], ["issue"], ["show", "a", "b"]):
        got = k.run(*argv)
        s.check("keys %s: usage" % " ".join(argv), got.returncode == 2 and "keys" in got.stderr, got)
    listed = k.listed()
    s.equal("show lists all, the authority first", list(listed), ["Pointsman fleet", "lima", "paris"])
    s.equal("days are kept to", round((listed["lima"]["until"] - listed["lima"]["from"]) / 86400), 30)
    got = k.run("renew")
    s.check("renew leaves what is good", got.returncode == 0 and got.stdout.count("still good") == 2 and k.listed() == listed, got)
    got = k.run("renew", "lima")
    s.check("a named one is renewed", got.returncode == 0 and k.listed()["lima"]["fingerprint"] != listed["lima"]["fingerprint"], got)
    text = k.run("show").stdout
    s.check("show is a table", "lima" in text and "authority" in text and "SHA-256" in text, text)
    s.check("no private key is shown", "PRIVATE" not in text)
    got = subprocess.run(["openssl", "verify", "-purpose", "sslserver", "-CAfile", k.dir + "/ca.pem", k.dir + "/lima.pem"],
                         capture_output=True, text=True)
    s.check("openssl agrees", got.returncode == 0, got)
    os.rename(os.path.join(k.dir, "ca.key"), os.path.join(k.dir, "away"))
    k.refused("renewal where the authority's key is not", ["renew", "lima"], "ca.key")
    os.rename(os.path.join(k.dir, "away"), os.path.join(k.dir, "ca.key"))


def renewal(k):
    """New files under running links: links stay, new ones use the new files; another authority ends them."""
    s, ports = k.s, {n: free_port() for n in ("paris", "lima")}
    nodes = {n: Node(s, k.program, n, ["tls", k.dir, n, "127.0.0.1:%d" % ports[n], "%s=127.0.0.1:%d" % (o, ports[o])])
             for n, o in (("paris", "lima"), ("lima", "paris"))}
    up = lambda: all(n.up() for n in nodes.values())  # noqa: E731
    s.check("two nodes have a link", wait_until(up, 10), [n.last() for n in nodes.values()])
    k.run("renew", "paris", "lima")
    for n in nodes.values():
        os.write(n.write_end, b"reload\n")
    mark = nodes["paris"].mark()
    wait_until(lambda: nodes["paris"].mark() >= mark + 3, 5)
    s.check("renewed and reloaded: the link is the same one", up() and not nodes["paris"].downs("lima"))
    nodes["lima"].kill()
    nodes["lima"] = Node(s, k.program, "lima", ["tls", k.dir, "lima", "127.0.0.1:%d" % ports["lima"],
                                                "paris=127.0.0.1:%d" % ports["paris"]])
    s.check("new links with the new certificates", wait_until(lambda: up() and nodes["paris"].last()["peers"]["lima"]["ups"] == 2, 10))
    k.run("init", "--name", "paris", "--force")
    os.write(nodes["paris"].write_end, b"reload\n")
    gone = wait_until(lambda: not nodes["paris"].up(), 10)
    s.check("another authority: the link of the old one ends", gone and "authority" in nodes["paris"].last()["peers"]["lima"]["why"],
            nodes["paris"].last())
    with open(k.dir + "/paris.pem", "w") as f:
        f.write("junk")
    os.write(nodes["paris"].write_end, b"reload\n")
    s.check("files that cannot be read: the reload fails and says which",
            wait_until(lambda: "paris.pem" in open(nodes["paris"].log).read(), 5), open(nodes["paris"].log).read()[-500:])
    s.check("and the node goes on", nodes["paris"].process.running())
    for n in nodes.values():
        s.equal("node %s ends cleanly" % n.name, n.stop(), 0)


def main():
    s = Scenario("keys")
    k = Keys(s, os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ["POINTSMAN"]))
    commands(k)
    renewal(k)
    s.finish()


if __name__ == "__main__":
    main()
