# SPDX-License-Identifier: Apache-2.0
"""A NATS cluster of real nats-servers on loopback, for scenarios and benchmarks."""
import os
import shutil

from lib import free_port, listens, wait_until


def available():
    return shutil.which("nats-server") or (os.path.exists("/usr/sbin/nats-server") and "/usr/sbin/nats-server")


class Cluster:
    """Servers that know each other; `more` is added to each one's configuration ("%s" in it is the server's name)."""

    def __init__(self, s, size=3, more=""):
        self.s, self.more = s, more
        self.names = ["nats-%d" % (i + 1) for i in range(size)]
        self.port = {n: free_port() for n in self.names}
        self.route = {n: free_port() for n in self.names}
        self.process = {}
        for n in self.names:
            self.start(n)
        for n in self.names:
            wait_until(lambda: listens(self.port[n]), 10)

    def start(self, name):
        routes = ", ".join('"nats://127.0.0.1:%d"' % self.route[n] for n in self.names if n != name)
        path = self.s.write(name + ".conf", """
server_name: %s
listen: "127.0.0.1:%d"
cluster: {name: test, listen: "127.0.0.1:%d", routes: [%s]}
%s
""" % (name, self.port[name], self.route[name], routes, self.more.replace("%s", name)))
        self.process[name] = self.s.start(name, [available(), "-c", path])

    def url(self, name, scheme="nats", user=""):
        return "%s://%s127.0.0.1:%d" % (scheme, user, self.port[name])

    def at(self, url):
        """The name of the server with this URL."""
        return next(n for n in self.names if url.endswith(":%d" % self.port[n]))

    def urls(self, first=None):
        """All of them, the named one in front."""
        return ",".join(self.url(n) for n in sorted(self.names, key=lambda n: n != first))
