#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ten cities and the sea between them: network namespaces joined by the emulator `wan`, each with a balancer, two web
servers, a resolver, and a place for clients. To import (tests) or to play with:

  world.py [POINTSMAN [WAN]]     `make world`; needs root

Addresses of city number i (its place in cities.csv, from 0); all are on the lo of the city's namespace:
  IPv4  a /26 of the documentation prefixes, IPv6 2001:db8:(i+1)::/48; in both .1 is the router, .2 the balancer,
        .3 the resolver, .10 and .11 the web servers, .20 the client (whose address everything else sends from)
  anycast 203.0.113.129 and 2001:db8:ffff::53: every balancer listens there, and the nearest one is reached

How a city's resolver comes to the nearest site, in two ways that need nothing but this:
  www.world.test   by response time as the answering balancer measures it. That is right for the resolver because it
                   asks the anycast address: the balancer that answers is in its own city (or the next one, when that
                   one is gone and its route withdrawn).
  www.geo.test     by the place of the resolver's address (geo.csv, made from cities.csv), whichever of the ten
                   balancers it asks. As good as distance stands for latency.
few.world.test and few.geo.test are the same with FEW of the sites.

Everything dies with this program, also by SIGKILL: namespaces without names, processes in a process namespace of
their own (own_processes), files on a tmpfs that only they see.
"""
import contextlib
import csv
import ctypes
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(TESTS, "scenario"))
from lib import Process, Scenario, wait_until  # noqa: E402

CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWNS = 0x40000000, 0x20000000, 0x00020000
MS_REC, MS_PRIVATE = 16384, 1 << 18
ANYCAST = ("203.0.113.129", "2001:db8:ffff::53")
FEW = ("washington", "madrid", "tokyo", "sao-paulo")
_libc = ctypes.CDLL(None, use_errno=True)


def _must(rc, what):
    if rc != 0:
        raise OSError(ctypes.get_errno(), "%s: %s" % (what, os.strerror(ctypes.get_errno())))


def own_processes():
    """Goes on in a child that is process 1 of a namespace of its own, with a tmpfs of its own for temporary files; the
    parent passes signals on and ends as the child does. Whatever ends the parent or the child ends all processes."""
    _must(_libc.unshare(CLONE_NEWPID | CLONE_NEWNS), "unshare")
    child = os.fork()
    if child:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda n, frame: os.kill(child, n))
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to both
        status = os.waitpid(child, 0)[1]
        os._exit(os.waitstatus_to_exitcode(status) & 0xff)
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    _must(_libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount")
    _must(_libc.mount(b"proc", b"/proc", b"proc", 0, None), "mount /proc")
    _must(_libc.mount(b"tmpfs", b"/mnt", b"tmpfs", 0, None), "mount /mnt")
    tempfile.tempdir = "/mnt"


def impossible():
    """Why there cannot be a world here; None if there can."""
    if os.getuid() != 0:
        return "needs root"
    missing = [t for t in ("unbound", "nginx", "ip", "nsenter", "dig", "curl") if not tool(t)]
    if missing:
        return "not installed: " + ", ".join(missing)
    if not os.path.exists("/dev/net/tun"):
        return "no /dev/net/tun"
    tried = subprocess.run(["unshare", "--net", "--pid", "--fork", "--mount-proc", "true"], capture_output=True, text=True)
    return tried.stderr.strip() or "no namespaces" if tried.returncode else None


def tool(name):
    return shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", ""))


class WanError(Exception):
    pass


class Wan:
    """The emulator: wan("pair tokyo london loss=1%") says a line and returns the lines of the answer."""

    def __init__(self, binary, log):
        self._lock = threading.Lock()
        parent = os.getpid()

        def before_exec():
            _libc.prctl(1, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

        with open(log, "ab") as out:
            self.popen = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, text=True,
                                          bufsize=1, start_new_session=True, preexec_fn=before_exec)

    def __call__(self, line):
        with self._lock:
            self.popen.stdin.write(line + "\n")
            said = []
            for answer in self.popen.stdout:
                if answer.startswith(" "):
                    said.append(answer.strip())
                elif answer.startswith("ok"):
                    return said
                else:
                    raise WanError("%s: %s" % (line, answer.strip()))
        raise WanError("the emulator has ended")

    def set(self, a, b, **words):
        """Both ways; values as the emulator writes them: set("tokyo", "london", loss="1%"). One way: wan("pair ...")."""
        self("link %s %s %s" % (a, b, " ".join("%s=%s" % w for w in words.items())))

    def partition(self, *groups):
        self("partition " + "|".join(g if isinstance(g, str) else ",".join(g) for g in groups))

    def heal(self, *sites):
        self("heal " + " ".join(sites))

    def stats(self):
        """{"total": {...}, "tokyo": {...}, ("tokyo", "london"): {...}}; pairs only once they were used."""
        found = {}
        for line in self("stats"):
            words = line.split()
            plain = [w for w in words[1:] if "=" not in w]
            key = "total" if words[0] == "total" else plain[0] if len(plain) == 1 else tuple(plain)
            found[key] = dict(w.split("=", 1) for w in words if "=" in w)
        return found

    def stop(self):
        self.popen.terminate()
        self.popen.wait()


class City:
    def __init__(self, world, index, row):
        self.world, self.index, self.name = world, index, row["city"]
        self.latitude, self.longitude = float(row["latitude"]), float(row["longitude"])
        self.country, self.continent = row["country"], row["continent"]
        self.block4 = ("192.0.2.", "198.51.100.", "203.0.113.")[index // 4]
        self.net4 = "%s%d/26" % (self.block4, index % 4 * 64)
        self.net6 = "2001:db8:%x::/48" % (index + 1)
        self.router, self.balancer, self.resolver = self.address(1), self.address(2), self.address(3)
        self.web, self.client = [self.address(10), self.address(11)], self.address(20)
        self.extra = []       # (IPv4, IPv6) pairs for what tests add: set before World.start
        self.processes = {}   # by role: "balancer", "resolver", "web0", "web1", and what tests start
        self.ns = -1

    def address(self, n):
        """Number n of this city, 2 to 62: (IPv4, IPv6)."""
        return "%s%d" % (self.block4, self.index % 4 * 64 + n), "2001:db8:%x::%d" % (self.index + 1, n)

    @contextlib.contextmanager
    def inside(self):
        """In this thread, sockets made within belong to this city, and stay there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _must(_libc.setns(self.ns, CLONE_NEWNET), "setns")
        try:
            yield self
        finally:
            _must(_libc.setns(home, CLONE_NEWNET), "setns")
            os.close(home)

    def enter(self, argv):
        """The command line that runs argv in this city."""
        return [tool("nsenter"), "--net=/proc/%d/fd/%d" % (os.getpid(), self.ns), "--"] + list(argv)

    def run(self, *argv, timeout=30, **kw):
        return subprocess.run(self.enter(argv), capture_output=True, text=True, timeout=timeout, **kw)

    def start(self, role, argv, **kw):
        """Starts a process here that the world stops at its end. Its log is world.dir/CITY/ROLE.log."""
        name = self.name + "/" + role
        process = Process(name, self.enter(argv), self.world.scenario.path(name + ".log"), **kw)
        self.world.scenario.processes.append(process)
        self.processes[role] = process
        return process

    def log(self, role):
        return self.processes[role].output()

    def dig(self, name, rdtype="A", at=None, *options):
        """What this city's resolver (or the address `at`) says: the lines of dig +short."""
        got = self.run("dig", "+short", "+tries=2", "+time=3", *options, "@" + (at or self.resolver[0]), name, rdtype)
        return [line for line in got.stdout.split("\n") if line and not line.startswith(";")]

    def curl(self, url, *options):
        """Fetches a URL by names as this city's resolver has them; returns (status, body)."""
        host, port = re.match(r"https?://([^/:]+)(?::(\d+))?", url).groups()
        address = self.dig(host)
        resolve = ["--resolve", "%s:%s:%s" % (host, port or 80, address[-1])] if address else []
        got = self.run("curl", "-s", "-m", "10", "-w", "\n%{http_code}", *resolve, *options, url)
        body, _, status = got.stdout.rpartition("\n")
        return int(status or 0), body

    def rtt(self, other, count=5, v6=False, gap=0.01):
        """Round-trip times to another city's router... its kernel, in ms; ICMP echo with the kernel's time of arrival. Lost ones are
        left out."""
        return rtts(self, other.client[v6], count, gap)

    def __repr__(self):
        return self.name


def rtts(city, address, count, gap):
    v6 = ":" in address
    with city.inside():
        sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW,
                             socket.getprotobyname("ipv6-icmp" if v6 else "icmp"))
    sock.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
    sock.settimeout(0.01)
    ident, sent, times = os.urandom(2), {}, {}
    next_at, end = time.monotonic(), None
    while len(times) < count:
        now = time.monotonic()
        if len(sent) < count and now >= next_at:
            head = (bytes([128 if v6 else 8, 0]), ident + struct.pack("!H", len(sent)))
            total = 0 if v6 else sum(struct.unpack("!4H", head[0] + b"\0\0" + head[1]))
            checksum = ~((total & 0xffff) + (total >> 16)) & 0xffff
            sent[len(sent)] = time.time_ns()
            sock.sendto(head[0] + struct.pack("!H", 0 if v6 else checksum) + head[1], (address, 0))
            next_at, end = next_at + gap, now + 2
        elif now > (end or now):
            break
        try:
            data, ancillary, _, _ = sock.recvmsg(2048, 256)
        except TimeoutError:
            continue
        data = data if v6 else data[(data[0] & 15) * 4:]
        if data[0] == (129 if v6 else 0) and data[4:6] == ident and ancillary:
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2][:16])
            n = struct.unpack("!H", data[6:8])[0]
            times.setdefault(n, (seconds * 10**9 + nanoseconds - sent[n]) / 1e6)
    sock.close()
    return [times[n] for n in sorted(times)]


def read_csv(name):
    with open(os.path.join(TESTS, "data", name), newline="") as f:
        return list(csv.DictReader(line for line in f if not line.startswith("#")))


class World:
    """World(binary, wan).start(); then world["tokyo"].dig(...), world.kill("tokyo", "web"), world.wan.partition(...).

    Before start() a test may change: services (YAML lines by name), extra_config (text added to each balancer's file, or
    a function of the city), City.extra (more addresses). Later: city.start(role, argv) for processes of its own."""

    def __init__(self, binary, wan_binary=None, scenario=None, cities=None):
        self.binary = os.path.abspath(binary)
        self.wan_binary = wan_binary or os.path.join(os.path.dirname(self.binary), "../../tests/tools/wan")
        self.scenario = scenario or Scenario("world")
        self.dir = self.scenario.dir
        rows = [r for r in read_csv("cities.csv") if not cities or r["city"] in cities]
        self.cities = {r["city"]: City(self, i, r) for i, r in enumerate(rows)}
        matrix = {r["from"]: r for r in read_csv("city-rtt.csv")}
        self.one_way = {(a, b): float(matrix[a][b]) / 2 for a in self.cities for b in self.cities}
        few = [c for c in FEW if c in self.cities]
        self.services = {"%s.%s.test" % (name, zone): (policy, sites)
                         for zone, policy in (("world", "[up, response-time, first]"), ("geo", "nearest"))
                         for name, sites in (("www", list(self.cities)), ("few", few))}
        # By the times that the balancer of the client's own city (or the nearest there is) has told the others.
        self.services["lat.world.test"] = ("[up, latency, near, first]", list(self.cities))
        self.mesh = True
        self.extra_config = ""

    def __getitem__(self, name):
        return self.cities[name]

    def __iter__(self):
        return iter(self.cities.values())

    def latency(self, a, b):
        """Round-trip time in ms as configured: each way is half of what the table says for that direction."""
        return self.one_way[a, b] + self.one_way[b, a]

    def by_latency(self, city, sites):
        return sorted(sites, key=lambda site: self.latency(city, site))

    def site_of(self, address):
        """Which city an address is in; None for none."""
        if ":" in address:
            m = re.match(r"2001:db8:([0-9a-f]+):", address)
            return next((c.name for c in self if m and int(m.group(1), 16) == c.index + 1), None)
        return next((c.name for c in self if address.startswith(c.block4) and
                     int(address.rsplit(".", 1)[1]) // 64 == c.index % 4), None)

    # --- start -----------------------------------------------------------------------------------------------------

    def start(self, balancers=True):
        self.wan = Wan(self.wan_binary, self.scenario.path("wan.log"))
        for city in self:
            self.start_network(city)
        for (a, b), delay in self.one_way.items():
            if a != b:
                self.wan("pair %s %s delay=%.3fms" % (a, b, delay))
        self.write_shared()
        if self.mesh:
            self.make_keys()
        for city in self:
            self.start_web(city)
            self.start_resolver(city)
            if balancers:
                self.start_balancer(city)
        return self

    def start_network(self, city):
        said = self.wan("site %s router=%s router=%s %s %s" % (city.name, *city.router, city.net4, city.net6))
        fd = int(re.search(r"ns=(\d+)", said[0]).group(1))
        city.ns = os.open("/proc/%d/fd/%d" % (self.wan.popen.pid, fd), os.O_RDONLY)
        self.scenario.mkdir(city.name)
        pairs = [city.balancer, city.resolver, *city.web, city.client, *city.extra]
        lines = ["link set lo up", "link set wan0 txqueuelen 10000 up"]
        lines += ["addr add %s/32 dev lo" % v4 for v4, _ in pairs]
        lines += ["-6 addr add %s/128 dev lo nodad" % v6 for _, v6 in pairs]
        lines += ["route add default dev wan0 src " + city.client[0], "-6 route add default dev wan0 src " + city.client[1]]
        self.ip(city, *lines)
        self.announce(city)

    def ip(self, city, *lines):
        for family in ("-4", "-6"):
            chosen = [line[3:] if line.startswith("-6 ") else line for line in lines if line.startswith("-6 ") == (family == "-6")]
            got = city.run(tool("ip"), family, "-batch", "-", input="\n".join(chosen) + "\n")
            if got.returncode:
                raise RuntimeError("%s: ip: %s" % (city, got.stderr))

    def announce(self, city):
        """The balancer's anycast addresses are here too, as a BGP speaker beside it would announce them."""
        self.ip(city, "addr add %s/32 dev lo" % ANYCAST[0], "-6 addr add %s/128 dev lo nodad" % ANYCAST[1])
        for address in ANYCAST:
            self.wan("announce %s %s" % (city, address))

    def withdraw(self, city):
        self.ip(city, "addr del %s/32 dev lo" % ANYCAST[0], "-6 addr del %s/128 dev lo" % ANYCAST[1])
        for address in ANYCAST:
            self.wan("withdraw %s %s" % (city, address))

    def write_shared(self):
        def zone(name, servers):
            lines = ["$ORIGIN %s.test." % name, "$TTL 3600", "@ SOA %s hostmaster 1 3600 600 86400 2" % servers[0][0]]
            for label, (v4, v6) in servers:
                lines += ["@ NS " + label, "%s A %s" % (label, v4), "%s AAAA %s" % (label, v6)]
            self.scenario.write(name + ".zone", "\n".join(lines) + "\n")
        zone("world", [("ns", ANYCAST)])
        zone("geo", [("ns-" + c.name, c.balancer) for c in self])
        rows = ["%s,%.2f,%.2f,%s,%s,%s" % (net, c.latitude, c.longitude, c.country, c.continent, c.name)
                for c in self for net in (c.net4, c.net6)]
        self.scenario.write("geo.csv", "prefix,lat,lon,country,continent,city\n" + "\n".join(rows) + "\n")

    def balancer_config(self, city):
        listen = ", ".join("'%s:53'" % (a if "." in a else "[%s]" % a) for a in city.balancer + ANYCAST)
        text = (
            "node: {name: %s, site: %s, state: '', user: '', log-level: info}\n" % (city.name, city.name)
            + "dns: {listen: [%s], nsid: on, threads: 1}\n" % listen
            + "api: {socket: '%s', metrics: '127.0.0.1:9353'}\n" % self.socket(city)
            + "zones: {world.test: '%s', geo.test: '%s'}\n" % (self.scenario.path("world.zone"), self.scenario.path("geo.zone"))
            + "geo: {sources: [{csv: '%s'}]}\n" % self.scenario.path("geo.csv")
            # the longest way is 327 ms, and a check takes two of them: connect, then ask
            + "checks:\n  web: {http: {path: /, body: here}, port: 80, interval: 1s, down-interval: 300ms, timeout: 900ms,"
            " rise: 2, fall: 2, average: 10s}\n"
            + "sites:\n")
        for c in self:
            text += "  %s: {location: [%.2f, %.2f], country: %s, continent: %s}\n" % (
                c.name, c.latitude, c.longitude, c.country, c.continent)
        text += "services:\n"
        for name, (policy, sites) in self.services.items():
            vips = ", ".join("%s: [%s]" % (site, ", ".join("'%s'" % a for pair in self[site].web for a in pair))
                             for site in sites)
            text += "  %s: {policy: %s, check: web, ttl: 1s, sites: {%s}}\n" % (name, policy, vips)
        if self.mesh:
            text += self.mesh_config(city)
        more = self.extra_config
        return text + (more(city) if callable(more) else more)

    def make_keys(self):
        self.scenario.mkdir("keys")
        for n, city in enumerate(self):
            words = ["init", "--name", city.name] if n == 0 else ["issue", city.name]
            subprocess.run([self.binary, "keys", *words, "--dir", self.scenario.path("keys")], check=True, stdout=subprocess.DEVNULL)

    def mesh_config(self, city):
        """Odd cities call by IPv6, even ones by IPv4."""
        def at(c):
            return "[%s]" % c.balancer[1] if city.index % 2 else c.balancer[0]
        peers = ", ".join("%s: {address: '%s', site: %s}" % (c.name, at(c), c.name) for c in self)
        listen = ", ".join("'%s'" % (a if "." in a else "[%s]" % a) for a in city.balancer)
        return "mesh: {listen: [%s], ca: '%s', update: 1s, expire: 2m, peers: {%s}}\n" % (listen, self.scenario.path("keys/ca.pem"), peers)

    def socket(self, city):
        return self.scenario.path(city.name, "control.sock")

    def start_balancer(self, city):
        config = self.scenario.write(city.name + "/balancer.yaml", self.balancer_config(city))
        return city.start("balancer", [self.binary, "run", "-c", config])

    def start_web(self, city):
        for n, pair in enumerate(city.web):
            self.start_nginx(city, n, pair)

    def start_nginx(self, city, n, pair):
        place = self.scenario.mkdir(city.name, "web%d" % n)
        config = self.scenario.write("%s/web%d/nginx.conf" % (city.name, n), """daemon off;
master_process off;
pid {d}/pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {d}/body; proxy_temp_path {d}/proxy; fastcgi_temp_path {d}/fcgi;
    uwsgi_temp_path {d}/uwsgi; scgi_temp_path {d}/scgi;
    server {{
        listen {a[0]}:80; listen [{a[1]}]:80;
        add_header X-City {c};
        location / {{ return 200 "here is {c}, server {n}\\n"; }}
    }}
}}
""".format(d=place, a=pair, c=city.name, n=n))
        return city.start("web%d" % n, [tool("nginx"), "-e", "stderr", "-p", place, "-c", config])

    def start_resolver(self, city):
        """Resolves world.test at the anycast address and geo.test at any of the ten, as it likes."""
        stub = "stub-zone:\n    name: %s.test\n%s"
        all_ten = "".join("    stub-addr: %s\n" % a for c in self for a in c.balancer)
        config = self.scenario.write(city.name + "/unbound.conf", """server:
    interface: {r[0]}
    interface: {r[1]}
    outgoing-interface: {r[0]}
    outgoing-interface: {r[1]}
    access-control: 0.0.0.0/0 allow
    access-control: ::0/0 allow
    do-not-query-localhost: no
    username: ""
    chroot: ""
    directory: "{d}"
    pidfile: "{d}/unbound.pid"
    use-syslog: no
    num-threads: 1
    outgoing-range: 64
    msg-cache-size: 512k
    rrset-cache-size: 512k
    infra-host-ttl: 20
    module-config: "iterator"
    local-zone: "test." nodefault
remote-control:
    control-enable: no
""".format(r=city.resolver, d=self.scenario.path(city.name))
            + stub % ("world", "".join("    stub-addr: %s\n" % a for a in ANYCAST)) + stub % ("geo", all_ten))
        return city.start("resolver", [tool("unbound"), "-d", "-p", "-c", config])

    # --- what can be done to it --------------------------------------------------------------------------------------

    def pointsman(self, city, *words):
        """A pointsman command to a city's balancer: its output, or what it complained about."""
        got = subprocess.run([self.binary, *words, "--socket", self.socket(self[str(city)])], capture_output=True, text=True)
        return got.stdout or got.stderr

    def kill(self, name, what="site"):
        """web: SIGKILL to both web servers; web0, balancer, resolver or any other role: to that one; site: the cable is
        cut, nothing goes in or out. The balancer's anycast route goes with it."""
        city = self[name]
        if what == "site":
            self.wan("down " + name)
            return
        if what == "balancer":
            self.withdraw(city)
        for role in ("web0", "web1") if what == "web" else (what,):
            process = city.processes[role]
            process.signal(signal.SIGKILL)
            process.popen.wait()

    def revive(self, name, what="site"):
        city = self[name]
        if what == "site":
            self.wan("up " + name)
        elif what == "web":
            self.start_web(city)
        elif what in ("web0", "web1"):
            self.start_nginx(city, int(what[3]), city.web[int(what[3])])
        elif what == "balancer":
            self.announce(city)
            self.start_balancer(city)
        elif what == "resolver":
            self.start_resolver(city)

    def ready(self, seconds=30):
        """Waits until every balancer has judged every address; returns those that have not."""
        def missing():
            return [c.name for c in self if '"health":"up"' not in self.vips(c) or '"unknown"' in self.vips(c)]
        wait_until(lambda: not missing(), seconds, 0.3)
        return missing()

    def vips(self, city):
        return re.sub(r"\s", "", self.pointsman(city, "vips", "--json"))

    def stop(self):
        self.scenario.cleanup()
        self.wan.stop()


if __name__ == "__main__":
    import world_play
    sys.exit(world_play.main(sys.argv[1:]))
