# SPDX-License-Identifier: Apache-2.0
"""Servers to measure side by side: how each is configured, started, asked once, and stopped.

All serve the same world: zone bench.test with a thousand static hosts, `geo` (the nearest of three sites by the
client's network) and `app` (nearest site, then one of its addresses by weight). Who cannot do a workload says so in
`can`. A server is a class with configure(); the rest is shared:

    world = World(directory, prefixes=1000)
    with Knot(world, threads=2) as server:
        server.port, server.pids()

Each runs with as many answering threads or processes as `threads`, in the foreground as our child, on a free loopback
port, with its files under the world's directory, and is killed with us.
"""
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import time

ADDRESS = "127.0.0.1"
ZONE = "bench.test"
HOSTS = 1000
SITES = ("paris", "tokyo", "lima")
# One address a site for geo; (address, weight) for app.
GEO = {"paris": "192.0.2.1", "tokyo": "192.0.2.2", "lima": "192.0.2.3"}
APP = {site: [(f"198.51.100.{10 * i + 1}", 60), (f"198.51.100.{10 * i + 2}", 30), (f"198.51.100.{10 * i + 3}", 10)]
       for i, site in enumerate(SITES, 1)}
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin"
START_SECONDS = 30


class PeerError(Exception):
    pass


def free_port():
    """A port that is free for UDP and TCP now."""
    for _ in range(100):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind((ADDRESS, 0))
            try:
                tcp.bind(udp.getsockname())
            except OSError:
                continue
            return udp.getsockname()[1]
    raise PeerError("no free port")


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def ordered(site):
    """This site first, the others after it: whom to take when it is down."""
    at = SITES.index(site)
    return SITES[at:] + SITES[:at]


class World:
    """The data all servers serve, and the queries to ask: the same for the same arguments."""

    def __init__(self, directory, prefixes=1000, queries=20000):
        self.directory = directory
        rng = random.Random(1)
        blocks = rng.sample(range(0x0B0000, 0x7F0000), prefixes)  # 11.0.0.0 to 126.255.255.0
        self.nets = [(f"{b >> 16}.{b >> 8 & 255}.{b & 255}.0/24", SITES[i % len(SITES)])
                     for i, b in enumerate(sorted(blocks))]
        self.query_files = {
            "static": self._queries("static", [f"h{rng.randrange(HOSTS)}.{ZONE} A" for _ in range(queries)]),
            "geo": self._queries("geo", [f"geo.{ZONE} A {rng.choice(self.nets)[0]}" for _ in range(queries)]),
            "app": self._queries("app", [f"app.{ZONE} A {rng.choice(self.nets)[0]}" for _ in range(queries)]),
        }

    def _queries(self, name, lines):
        path = os.path.join(self.directory, f"queries-{name}")
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
        return path

    def zone(self, *more):
        lines = ["$TTL 60", f"@ SOA ns.{ZONE}. hostmaster.{ZONE}. 1 3600 600 86400 60", f"@ NS ns.{ZONE}.",
                 "ns A 127.0.0.1", *(f"h{i} A 203.0.113.{i % 256}" for i in range(HOSTS)), *more]
        return "\n".join(lines) + "\n"

    def check(self):
        """What to ask once, and which answers are right: {workload: (name, subnet or None, allowed addresses)}."""
        net, site = self.nets[len(self.nets) // 2]
        return {"static": (f"h7.{ZONE}", None, {"203.0.113.7"}),
                "geo": (f"geo.{ZONE}", net, {GEO[site]}),
                "app": (f"app.{ZONE}", net, {a for a, _ in APP[site]})}


class Server:
    name = "?"
    can = ("static", "geo", "app")

    def __init__(self, world, threads=None):
        self.world = world
        self.threads = threads or len(os.sched_getaffinity(0))
        self.directory = os.path.join(world.directory, self.name.replace(" ", "-"))
        self.port = None
        self.process = None

    def available(self):
        """None, or why it cannot be run here."""
        program = self.program()
        return None if shutil.which(program, path=PATH) else f"{program} is not installed"

    def program(self):
        raise NotImplementedError

    def configure(self):
        """Writes the files; returns the command."""
        raise NotImplementedError

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.directory)
        self.port = free_port()
        command = self.configure()
        with open(os.path.join(self.directory, "log"), "wb") as log:
            # A session of its own: what it forks is found and ended by that.
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                            cwd=self.directory, env={**os.environ, "PATH": PATH},
                                            start_new_session=True, preexec_fn=die_with_parent)
        try:
            self.wait_until_right()
        except BaseException:
            self.stop()
            raise

    def stop(self):
        if not self.process:
            return
        pids = self.pids()
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in pids:
            try:
                if os.getsid(pid) == self.process.pid:
                    os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process = None

    def pids(self):
        """The server's processes: those of its session."""
        found = []
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and os.getsid(int(name)) == self.process.pid:
                    found.append(int(name))
            except ProcessLookupError:
                pass
        return found

    def log(self):
        with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def ask(self, name, subnet):
        command = ["dig", "+short", "+tries=1", "+time=1", f"@{ADDRESS}", "-p", str(self.port), name, "A"]
        if subnet:
            command.append(f"+subnet={subnet}")
        got = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": PATH})
        return set(got.stdout.split()) if got.returncode == 0 else None

    def wait_until_right(self):
        """Every workload it can do is asked once, and must be answered as the world says."""
        deadline = time.monotonic() + START_SECONDS
        for workload, (name, subnet, allowed) in self.world.check().items():
            if workload not in self.can:
                continue
            while True:
                if self.process.poll() is not None:
                    raise PeerError(f"{self.name} ended with {self.process.returncode}:\n{self.log()[-2000:]}")
                got = self.ask(name, subnet)
                if got and got <= allowed:
                    break
                if time.monotonic() > deadline:
                    raise PeerError(f"{self.name}: {name} for {subnet}: {got}, not in {allowed}\n{self.log()[-2000:]}")
                time.sleep(0.1)


class Gdnsd(Server):
    """plugin_geoip with a nets map; app goes on from there to plugin_weighted."""
    name = "gdnsd"

    def program(self):
        return "gdnsd"

    def configure(self):
        nets = "".join(f"  {net} => [ {', '.join(ordered(site))} ]\n" for net, site in self.world.nets)
        self.write("config/geoip/nets", nets)
        self.write(f"config/zones/{ZONE}", self.world.zone("geo DYNA geoip!geo", "app DYNA geoip!app"))
        datacenters = ", ".join(SITES)
        geo = ", ".join(f"{site} => {GEO[site]}" for site in SITES)
        app = ", ".join(f"{site} => %weighted!{site}" for site in SITES)
        weighted = "".join(
            f"    {site} => {{ " + ", ".join(f"a{i} => [ {address}, {weight} ]" for i, (address, weight)
                                             in enumerate(APP[site])) + " }\n" for site in SITES)
        self.write("config/config", f"""options => {{
  listen => [ {ADDRESS} ]
  dns_port => {self.port}
  udp_threads => {self.threads}
  tcp_threads => 1
  run_dir => {self.directory}/run
  state_dir => {self.directory}/state
}}
plugins => {{
  weighted => {{
{weighted}  }}
  geoip => {{
    maps => {{ world => {{ datacenters => [ {datacenters} ], nets => nets }} }}
    resources => {{
      geo => {{ map => world, dcmap => {{ {geo} }} }}
      app => {{ map => world, dcmap => {{ {app} }} }}
    }}
  }}
}}
""")
        return ["gdnsd", "-c", f"{self.directory}/config", "start"]


class Knot(Server):
    """A static zone only."""
    name = "knot"
    can = ("static",)
    module = ""
    zone_module = ""

    def program(self):
        return "knotd"

    def configure(self):
        self.write(f"{ZONE}.zone", self.world.zone())
        config = self.write("knot.conf", f"""server:
    rundir: {self.directory}
    listen: {ADDRESS}@{self.port}
    udp-workers: {self.threads}
    tcp-workers: 1
    background-workers: 1
    edns-client-subnet: on
control:
    listen: {self.directory}/control
database:
    storage: {self.directory}/db
log:
  - target: stderr
    any: warning
{self.module.format(directory=self.directory)}zone:
  - domain: {ZONE}
    storage: {self.directory}
    file: {ZONE}.zone
{self.zone_module}""")
        return ["knotd", "-c", config]


class KnotGeo(Knot):
    """mod-geoip with networks; it has either geography or weights, not one after the other."""
    name = "knot geoip"
    can = ("static", "geo")
    module = """mod-geoip:
  - id: world
    config-file: {directory}/geo.conf
    ttl: 60
    mode: subnet
"""
    zone_module = "    module: mod-geoip/world\n"

    def configure(self):
        entries = "".join(f"  - net: {net}\n    A: {GEO[site]}\n" for net, site in self.world.nets)
        self.write("geo.conf", f"geo.{ZONE}:\n{entries}")
        return super().configure()

    def available(self):
        for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"):
            if os.path.isdir(f"{folder}/knot"):
                for base, _, files in os.walk(f"{folder}/knot"):
                    if "geoip.so" in files:
                        return super().available()
        return "knot-module-geoip is not installed"


class Nsd(Server):
    """A static zone only. Its rate limit would answer a benchmark with silence: off for all and for the whitelist."""
    name = "nsd"
    can = ("static",)

    def program(self):
        return "nsd"

    def configure(self):
        zone = self.write(f"{ZONE}.zone", self.world.zone())
        config = self.write("nsd.conf", f"""server:
    ip-address: {ADDRESS}@{self.port}
    server-count: {self.threads}
    reuseport: yes
    username: ""
    chroot: ""
    zonesdir: "{self.directory}"
    database: ""
    pidfile: "{self.directory}/nsd.pid"
    xfrdfile: "{self.directory}/xfrd.state"
    xfrdir: "{self.directory}"
    zonelistfile: "{self.directory}/zone.list"
    cookie-secret-file: "{self.directory}/cookies"
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
    round-robin: no
remote-control:
    control-enable: no
zone:
    name: {ZONE}
    zonefile: "{zone}"
""")
        return ["nsd", "-d", "-c", config]


class Echo(Server):
    """What the socket path alone costs: every query goes back as it came."""
    name = "echo"

    def __init__(self, world, threads=None, program="build/tests/bench/udpecho"):
        super().__init__(world, threads)
        self.path = os.path.abspath(program)

    def program(self):
        return self.path

    def configure(self):
        return [self.path, "-t", str(self.threads), f"{ADDRESS}:{self.port}"]

    def wait_until_right(self):
        deadline = time.monotonic() + START_SECONDS
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            s.connect((ADDRESS, self.port))
            while time.monotonic() < deadline and self.process.poll() is None:
                try:
                    s.send(b"is anybody there")
                    if len(s.recv(512)) == len(b"is anybody there"):  # it sets the answer bit of the third byte
                        return
                except OSError:
                    time.sleep(0.05)
        raise PeerError(f"{self.name} does not answer:\n{self.log()[-2000:]}")


class Pointsman(Server):
    """This project: nearest site by a prefix map (geo), then weights (app), every VIP with a health check of its own."""
    name = "pointsman"
    binary = "pointsman"

    def program(self):
        return self.binary

    def configure(self):
        self.write("bench.zone", self.world.zone())
        place = dict(zip(SITES, ("48.85, 2.35", "35.68, 139.69", "-12.05, -77.04")))
        self.write("nets.csv", "prefix,lat,lon\n" + "".join("%s,%s\n" % (net, place[site]) for net, site in self.world.nets))
        sites = "".join("  %s: {location: [%s]}\n" % (site, place[site]) for site in SITES)
        app = ", ".join("%s: {vips: [%s]}" % (site, ", ".join("{address: %s, weight: %d}" % v for v in APP[site])) for site in SITES)
        geo = ", ".join("%s: %s" % (site, GEO[site]) for site in SITES)
        self.write("pointsman.yaml", f"""
node: {{state: '', user: '', log-level: error}}
dns: {{listen: ['{ADDRESS}:{self.port}'], threads: {self.threads}}}
api: {{socket: '{self.directory}/control.sock', metrics: off}}
geo: {{sources: [{{csv: {{path: nets.csv}}}}]}}
zones: {{{ZONE}: {{file: bench.zone}}}}
sites:
{sites}checks: {{alive: {{exec: {{command: /bin/true}}, interval: 60s}}}}
defaults: {{check: alive, ttl: 60s, addresses: 1}}
services:
  geo.{ZONE}: {{policy: nearest, sites: {{{geo}}}}}
  app.{ZONE}: {{policy: [up, near, {{within: 10}}, weighted], sites: {{{app}}}}}
""")
        return [self.binary, "run", "-c", f"{self.directory}/pointsman.yaml"]


PEERS = (Gdnsd, Knot, KnotGeo, Nsd)
