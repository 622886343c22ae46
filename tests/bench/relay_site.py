# SPDX-License-Identifier: Apache-2.0
"""The site that relay.py measures: relay_farm's namespaces with nginx on all nodes and the daemon on the balancer, and
beside the balancer, on the same LAN, a host with HAProxy and nginx as proxies. All of them listen with TCP_DEFER_ACCEPT, as
docs/guide/transfer.md advises for nodes; at another port, and behind it on the VIP, the nodes do not.

The proxies have a host of their own because a packet program on a virtual link takes segmentation offload away from the
other end: on the balancer they would be slower than they are. Links keep their offloads, as real ones do, but for the one
port before the packet program, which must see finished checksums.
"""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/tools"))
import relay_farm  # noqa: E402
import relay_lab  # noqa: E402
from cpu import ran_ns  # noqa: E402
from relay_lab import VIP4  # noqa: E402

SIZES = {"1k": 1024, "64k": 65536, "1m": 1 << 20, "10m": 10 << 20}
NODES, HAPROXY_PORT, NGINX_PORT, PLAIN_PORT, PLAIN_HOST = 4, 8001, 8002, 81, "plain.example.com"
PLAINLY = ", not deferred"  # direct and transferred, to the port where nodes do not defer
relay_farm.SERVERS = ("nginx",)


def impossible():
    if os.getuid() != 0:
        return "needs root"
    if len(os.sched_getaffinity(0)) < 2:
        return "needs two CPUs"
    folders = "/usr/sbin:/usr/bin:/sbin:/bin"
    missing = [t for t in ("nginx", "haproxy", "wrk", "ip", "tc", "unshare", "bpftool", "curl") if not shutil.which(t, path=folders)]
    return "not installed: " + ", ".join(missing) if missing else None


def path(node, size, copies=1):
    """A file of that node's; of two copies the other is with the next node."""
    return f"/{'n' if copies == 1 else 'd'}{node + 1}/f-{SIZES[size]}.bin"


def holders():
    """{folder: nodes}"""
    return {f"/n{i + 1}/": [i] for i in range(NODES)} | {f"/d{i + 1}/": [i, (i + 1) % NODES] for i in range(NODES)}


class Site(relay_farm.Farm):
    """Node i has /n<i+1>/ and nobody else has; /d<i+1>/ it has together with the next."""

    def __init__(self, build):
        super().__init__(os.path.join(build, "src/main/pointsman"), nodes=NODES, far=False)
        self.balancer = self.balancers[0]
        self.extra = self.plain_service()
        self.proxy = self.join(self.host("p"), 40)
        self.middle = {"transferred": self.daemon(self.balancer), "haproxy": self.haproxy(), "nginx": self.proxy_nginx()}
        self.scripts = {}
        self.watch = self.lan.start("sleep", "infinity")
        # HAProxy's clients are those who close: a port must not be missing where one was used a minute ago.
        self.client.sysctl("net.ipv4.ip_local_port_range", "1024 65535")
        self.client.sysctl("net.ipv4.tcp_tw_reuse", 1)
        self.warm()

    def host(self, name, of=None):
        """With congestion control that a namespace may always have, and that sets no timers: BBR's pacing would be what is seen."""
        host = super().host(name, of)
        host.sysctl("net.ipv4.tcp_congestion_control", "reno")
        return host

    def link(self, a, a_dev, b, b_dev):
        relay_lab.sh("ip", "link", "add", a_dev, "netns", a.ns, "type", "veth", "peer", "name", b_dev, "netns", b.ns)
        for host, device in ((a, a_dev), (b, b_dev)):
            if host is self.lan and device.startswith("b"):
                relay_lab.checksums_off(host.ns, device)
            host.run("ip", "link", "set", device, "up")
            host.macs[device] = host.run("cat", f"/sys/class/net/{device}/address").strip()

    def holds(self, i):
        return [folder for folder, nodes in holders().items() if i in nodes]

    def files(self):
        self.paths = [path(i, size, copies) for i in range(NODES) for size in SIZES for copies in (1, 2)]
        for i in range(NODES):
            mine = [p for p in self.paths if p.startswith(tuple(self.holds(i)))]
            subprocess.run([self.binary("content"), "write", self.root(i), *mine], check=True)

    def nginx(self, host, root, extra="", port=80):
        return super().nginx(host, root, f"open_file_cache max=100; listen 0.0.0.0:{PLAIN_PORT} backlog=8192;", port, "deferred")

    def plain_service(self):
        servers = ", ".join(f"{n.name}: {{address: {n.v4}, holds: {json.dumps(self.holds(i))}}}" for i, n in enumerate(self.nodes))
        return f"""  {PLAIN_HOST}:
    check: []
    front: {{relay: transfer, ports: {PLAIN_PORT}, server-port: {PLAIN_PORT}}}
    sites: {{here: {{vips: {VIP4}, servers: {{{servers}}}}}}}
"""

    # ---- proxies ----

    def haproxy(self):
        backends, rules = "", ""
        for held, nodes in holders().items():
            name = held.strip("/")
            backends += f"backend {name}\n" + "".join(f" server s{i} {self.nodes[i].v4}:80\n" for i in nodes)
            rules += f" use_backend {name} if {{ path_beg {held} }}\n"
        with open(self.path("haproxy.cfg"), "w", encoding="ascii") as f:
            f.write(f"""global
 nbthread 1
 maxconn 4000
 tune.pipesize 524288
defaults
 mode http
 timeout connect 3s
 timeout client 60s
 timeout server 60s
 timeout http-keep-alive 60s
 option http-keep-alive
 http-reuse always
 option forwardfor
 option splice-response
frontend f
 bind 0.0.0.0:{HAPROXY_PORT} backlog 4096 defer-accept
{rules} default_backend n1
{backends}""")
        p = self.proxy.start("/usr/sbin/haproxy", "-f", self.path("haproxy.cfg"), "-db", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.listening(self.proxy, HAPROXY_PORT)
        return p

    def proxy_nginx(self):
        folder = self.path("proxy")
        os.makedirs(folder)
        upstreams, places = "", ""
        for held, nodes in holders().items():
            name, servers = held.strip("/"), " ".join(f"server {self.nodes[i].v4}:80;" for i in nodes)
            upstreams += f" upstream {name} {{ {servers} keepalive 256; keepalive_requests 100000000; }}\n"
            places += f"  location {held} {{ proxy_pass http://{name}; }}\n"
        with open(os.path.join(folder, "nginx.conf"), "w", encoding="ascii") as f:
            f.write(f"""worker_processes 1; daemon off; user root; pid {folder}/pid; error_log {folder}/error.log;
worker_rlimit_nofile 40000;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 60s; server_tokens off; client_body_temp_path {folder}/t1;
 proxy_temp_path {folder}/t2;
{upstreams} server {{ listen 0.0.0.0:{NGINX_PORT} backlog=4096 deferred; tcp_nodelay on;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-For $remote_addr; proxy_buffer_size 16k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;
  proxy_max_temp_file_size 0;
{places} }} }}
""")
        p = self.proxy.start("/usr/sbin/nginx", "-c", os.path.join(folder, "nginx.conf"), "-p", folder, stderr=subprocess.DEVNULL)
        self.listening(self.proxy, NGINX_PORT)
        return p

    def target(self, way, node=0):
        """Where the client goes for a node's files."""
        return {"direct": (self.nodes[node].v4, 80), "transferred": (VIP4, 80), "haproxy": (self.proxy.v4, HAPROXY_PORT),
                "nginx": (self.proxy.v4, NGINX_PORT), "direct" + PLAINLY: (self.nodes[node].v4, PLAIN_PORT),
                "transferred" + PLAINLY: (VIP4, PLAIN_PORT)}[way]

    def middle_bytes(self, way):
        """Bytes in and out of what is in the middle."""
        return 0 if way == "direct" else port_bytes(self.watch.pid, "b1" if way == "transferred" else "p")

    def limit(self, mbits):
        """What nodes and proxies send goes no faster; 0: as fast as can be. Behind it Linux's queue of network cards: three bands."""
        for host in (*self.nodes, self.proxy):
            host.run("tc", "qdisc", "del", "dev", "eth0", "root", check=False)
            if mbits:
                host.run("ip", "link", "set", "eth0", "txqueuelen", "100")
                host.run("tc", "qdisc", "add", "dev", "eth0", "root", "handle", "1:", "tbf", "rate", f"{mbits}mbit", "burst", "256k", "limit", "4m")
                host.run("tc", "qdisc", "add", "dev", "eth0", "parent", "1:1", "handle", "10:", "pfifo_fast")

    def warm(self):
        """Every byte of every file by way of the VIP, once; addresses of the LAN are known from then on."""
        status, got = self.surf("-c", 4, "-n", 3 * len(self.paths), "--keep", 4)
        if status:
            raise RuntimeError(f"wrong bytes from the VIP: {got}")
        for way in ("direct", "haproxy", "nginx"):
            for node in range(NODES):
                address, port = self.target(way, node)
                got = self.client.run("curl", "-s", "-o", self.path("got"), "-w", "%{http_code} %{size_download}",
                                      f"http://{address}:{port}{path(node, '1k')}", check=False)
                if got != "200 1024":
                    raise RuntimeError(f"{way} to node {node + 1}: {got}")

    # ---- load ----

    def script(self, file, close):
        key = (file, close)
        if key not in self.scripts:
            name = self.scripts[key] = self.path(f"load{len(self.scripts)}.lua")
            with open(name, "w", encoding="ascii") as f:
                f.write(f'''local ready
function init(args)
  wrk.headers["Host"] = "{relay_farm.HOST}"
  {'wrk.headers["Connection"] = "close"' if close else ""}
  ready = wrk.format("GET", "{file}")
end
function request() return ready end
''')
        return self.scripts[key]

    def wrk(self, way, node, file, close, connections):
        """For load(): asks for one file of that node's. (-d takes whole seconds: it is ended before.)"""
        address, port = self.target(way, node)
        return ["/usr/bin/wrk", "-t1", f"-c{connections}", "-d60", "--latency", "-s", self.script(file, close), f"http://{address}:{port}"]

    def askers(self, way, size, copies, close, clients):
        """For load(): asks for any file of any node's, and knows who has it, should there be a choice."""
        words = []
        for folder, nodes in holders().items():
            if len(nodes) == copies:
                for node in nodes:
                    words += ["{}:{}".format(*self.target(way, node)), f"{folder}f-{SIZES[size]}.bin"]
        return [self.binary("../bench/askers"), str(clients), "close" if close else "keep", relay_farm.HOST, *words]

    def load(self, commands, seconds):
        """What all of them, at once, say after SIGINT."""
        for _ in range(5):
            running = [self.client.start(*c, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for c in commands]
            time.sleep(seconds)
            texts, cpu_us = [], 0.0
            for p in running:
                p.send_signal(signal.SIGINT)
            for p in running:
                texts.append(p.stdout.read())
                _, p.returncode, usage = os.wait4(p.pid, 0)
                cpu_us += (usage.ru_utime + usage.ru_stime) * 1e6
                self.client.processes.remove(p)
            if all(texts):
                return {**read_wrk(texts), "cpu_us": cpu_us}
            # On a machine so busy that it had not even begun when it was ended: once more.
        raise RuntimeError("wrk says nothing")


TIMES = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}
BYTES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


def read_wrk(texts):
    """What several said together; latencies are their means."""
    total = {"requests": 0, "bytes": 0.0, "seconds": 0.0, "p50_us": 0.0, "p99_us": 0.0, "bad": ""}
    for text in texts:
        done = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m), ([\d.]+)(B|KB|MB|GB) read", text)
        if not done:
            raise RuntimeError("wrk: " + text)
        errors = re.search(r"Socket errors:.*|Non-2xx.*", text)
        if errors:
            total["bad"] = errors.group(0).strip()
        total["requests"] += int(done.group(1))
        total["seconds"] += float(done.group(2)) * TIMES[done.group(3)] / 1e6 / len(texts)
        total["bytes"] += float(done.group(4)) * BYTES[done.group(5)]
        for key, share in (("p50_us", 50), ("p99_us", 99)):
            value, unit = re.search(str(share) + r"%\s+([\d.]+)(us|ms|s|m)\b", text).groups()
            total[key] += float(value) * TIMES[unit] / len(texts)
    return total


# ---- counting ----

class Clock:
    """CPU time: of the farm's processes (all there are in this /proc) with the softirq threads, and of the whole machine."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.tick_us = 1e6 / os.sysconf("SC_CLK_TCK")

    def own_us(self):
        """Those that have ended are not in it: wait4 tells of them. Ours neither."""
        pids = (int(name.split("/")[2]) for name in glob.glob("/proc/[0-9]*/stat"))
        return ran_ns(pid for pid in pids if pid != os.getpid()) / 1000 + self.kernel.ran_us()

    def machine_us(self):
        with open("/proc/stat", encoding="ascii") as f:
            user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, f.readline().split()[1:])
        return (user + nice + system + irq + softirq) * self.tick_us


def port_bytes(watch_pid, port):
    """Both directions of a port of the LAN's bridge: it counts what packet programs send and receive, too."""
    with open(f"/proc/{watch_pid}/net/dev", encoding="ascii") as f:
        for line in f:
            name, _, rest = line.partition(":")
            if name.strip() == port:
                fields = rest.split()
                return int(fields[0]) + int(fields[8])
    raise RuntimeError("no such port: " + port)


class Programs:
    """Runs and nanoseconds of the site's packet programs, as the kernel counts them while kernel.bpf_stats_enabled is set."""

    def __init__(self, site):
        links = json.loads(site.balancer.run("ip", "-j", "link", "show", "dev", "eth0"))
        self.ids = {"balancer": [links[0]["xdp"]["prog"]["id"]], "node": []}
        for n in site.nodes:
            shown = n.run("tc", "filter", "show", "dev", "eth0", "ingress")
            self.ids["node"] += [int(i) for i in re.findall(r"\bid (\d+)", shown)]

    def read(self):
        """{kind: (runs, ns)}"""
        shown = {p["id"]: p for p in json.loads(subprocess.run(["/usr/sbin/bpftool", "-j", "prog", "show"], capture_output=True, check=True).stdout)}
        return {kind: tuple(sum(shown[i].get(key, 0) for i in set(ids)) for key in ("run_cnt", "run_time_ns"))
                for kind, ids in self.ids.items()}

    def __enter__(self):
        with open("/proc/sys/kernel/bpf_stats_enabled", encoding="ascii") as f:
            self.before = f.read()
        return self.set("1")

    def __exit__(self, *_):
        self.set(self.before)

    def set(self, value):
        with open("/proc/sys/kernel/bpf_stats_enabled", "w", encoding="ascii") as f:
            f.write(value)
        return self
