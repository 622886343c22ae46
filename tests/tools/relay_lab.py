# SPDX-License-Identifier: Apache-2.0
"""A site in network namespaces, for tests of the relay:

    client ── router ──┬── LAN bridge ──┬── balancer b1 (b2)
    198.51.100.0/24    │ 192.0.2.0/24   ├── nodes n1 n2 n3
    2001:db8:c::/64    │ 2001:db8:1::/64└── ...
                       └── router2 ── far node n4, the last one (203.0.113.0/24, 2001:db8:f::/64): two hops away

The VIP is 192.0.2.80 and 2001:db8:1::80; nodes answer the client through the router, never through the balancer. All
names bear the process id; close() takes everything away, and so does atexit.
"""
import atexit
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import world

TOOLS = os.path.dirname(os.path.abspath(__file__))
VIP4, VIP6 = "192.0.2.80", "2001:db8:1::80"


def sh(*command, check=True):
    return subprocess.run(command, check=check, capture_output=True, text=True).stdout


class Host:
    """One namespace and the processes in it."""

    def __init__(self, lab, name, of=None):
        """of: a file of the namespace, if there is one already."""
        self.lab, self.name, self.ns = lab, name, f"pm{os.getpid()}{name}"
        self.macs, self.processes = {}, []
        if of:
            open(f"/run/netns/{self.ns}", "w").close()
            sh("mount", "--bind", of, f"/run/netns/{self.ns}")
        else:
            sh("ip", "netns", "add", self.ns)
        self.run("ip", "link", "set", "lo", "up")
        for key, value in {"net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.default.rp_filter": 0,
                           "net.ipv4.tcp_syncookies": 1, "net.ipv6.conf.all.accept_dad": 0,
                           "net.ipv6.conf.default.accept_dad": 0}.items():
            self.sysctl(key, value)

    def sysctl(self, key, value):
        self.run("sh", "-c", f"echo {value} > /proc/sys/{key.replace('.', '/')}")

    def command(self, *command):
        return ["ip", "netns", "exec", self.ns, *command]

    def run(self, *command, check=True, timeout=60):
        p = subprocess.run(self.command(*command), capture_output=True, text=True, timeout=timeout)
        if check and p.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(command)}: {p.stdout}{p.stderr}")
        return p.stdout

    def start(self, *command, **options):
        p = subprocess.Popen(self.command(*command), **options)
        self.processes.append(p)
        return p

    def steer(self, device, cpu):
        """What comes in at a device is handled by that CPU (receive packet steering); None: by the one it comes in on."""
        mask = 0 if cpu is None else 1 << cpu
        self.run("sh", "-c", f"for q in /sys/class/net/{device}/queues/rx-*; do echo {mask:x} > $q/rps_cpus; done")

    def address(self, device, *addresses):
        for a in addresses:
            self.run("ip", "addr", "add", a, "dev", device, *(["nodad"] if ":" in a else []))

    def vip_on_lo(self):
        """The VIP without answering ARP or neighbour discovery for it."""
        self.sysctl("net.ipv4.conf.all.arp_ignore", 1)
        self.sysctl("net.ipv4.conf.all.arp_announce", 2)
        self.address("lo", f"{VIP4}/32", f"{VIP6}/128")

    def tool(self, mode, *args):
        return Tool(self, mode, *args)


class Tool:
    """relay_tool in a namespace: one line asked, one answered."""

    def __init__(self, host, mode, *args):
        self.p = host.start(host.lab.binary("relay_tool"), mode, *args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        first = self.p.stdout.readline().strip()
        if first != "ready":
            raise RuntimeError(f"{host.name}: relay_tool: {first}")

    def __call__(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()
        answer = self.p.stdout.readline().strip()
        if answer.startswith("error") or not answer:
            raise RuntimeError(f"{line}: {answer}")
        return json.loads(answer) if answer[0] in "{[" else answer

    def counters(self, node=False):
        return self("node-counters" if node else "counters")


def checksums_off(ns, device):
    """No offloaded checksums: packet programs on a veth see them unfinished (SIOCETHTOOL, ETHTOOL_STXCSUM)."""
    libc = ctypes.CDLL(None, use_errno=True)
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{ns}", os.O_RDONLY)
    try:
        if libc.setns(there, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            value = ctypes.create_string_buffer(struct.pack("II", 0x17, 0))
            request = struct.pack("16sP", device.encode(), ctypes.addressof(value))
            fcntl.ioctl(s, 0x8946, request)
    finally:
        libc.setns(here, 0)
        os.close(here)
        os.close(there)


class Lab:
    def __init__(self, nodes=3, balancers=1, far=False, tools=None, wan=False, vips=True):
        """wan: the emulator is between client and router: self.wan(\"link client site delay=20ms loss=2%\")."""
        self.tools = tools or os.path.join(os.path.dirname(os.path.dirname(TOOLS)), "build", "tests", "tools")
        self.dir = tempfile.mkdtemp(prefix="pm-relay-")
        os.chmod(self.dir, 0o755)  # web servers drop root
        self.hosts = {}
        self.bpf = os.path.join(self.dir, "bpf")
        os.mkdir(self.bpf)
        sh("mount", "-t", "bpf", "bpf", self.bpf)
        atexit.register(self.close)
        signal.signal(signal.SIGTERM, lambda *_: exit(1))
        self.lan = self.host("lan")
        self.lan.run("ip", "link", "add", "br0", "type", "bridge")
        self.lan.run("ip", "link", "set", "br0", "up")
        if wan:
            self.wan_between()
        else:
            self.client, self.router = self.host("c"), self.host("r")
            self.link(self.client, "eth0", self.router, "cl")
            self.client.address("eth0", "198.51.100.7/24", "2001:db8:c::7/64")
            self.router.address("cl", "198.51.100.1/24", "2001:db8:c::1/64")
            self.routes(self.client, "198.51.100.1", "2001:db8:c::1")
        self.router.sysctl("net.ipv4.ip_forward", 1)
        self.router.sysctl("net.ipv6.conf.all.forwarding", 1)
        self.join(self.router, 1, gateway=False)
        self.balancers = [self.join(self.host(f"b{i}"), 10 + i) for i in range(1, balancers + 1)]
        self.nodes = []
        for i in range(1, nodes + 1):
            n = self.join(self.host(f"n{i}"), 20 + i)
            if vips:
                n.vip_on_lo()
            self.nodes.append(n)
        if far:
            self.far_node(vips)
        for b in self.balancers:
            self.stub(b)

    def binary(self, name):
        return os.path.join(self.tools, name)

    def host(self, name, of=None):
        self.hosts[name] = Host(self, name, of)
        return self.hosts[name]

    def wan_between(self):
        clients, site = ("198.51.100.0/24", "2001:db8:c::/64"), ("192.0.2.0/24", "203.0.113.0/24", "2001:db8:1::/64", "2001:db8:e::/63")
        self.wan = world.Wan(self.binary("wan"), os.path.join(self.dir, "wan.log"))
        for name, short, prefixes, others in (("client", "c", clients, site), ("site", "r", site, clients)):
            said = self.wan(f"site {name} {' '.join(prefixes)}")
            number = next(w[3:] for line in said for w in line.split() if w.startswith("ns="))
            host = self.host(short, f"/proc/{self.wan.popen.pid}/fd/{number}")
            host.run("ip", "link", "set", "wan0", "up")
            for p in others if name == "site" else ("0.0.0.0/0", "::/0"):
                host.run("ip", "route", "add", p, "dev", "wan0")
        self.client, self.router = self.hosts["c"], self.hosts["r"]
        self.client.address("wan0", "198.51.100.7/24", "2001:db8:c::7/64")

    def lossy(self, thousandth):
        """Loss on the LAN, in both directions of every port, and before the far node."""
        ports = [h.name for h in (*self.balancers, *self.nodes) if h.v4.startswith("192.0.2.")]
        self.lan.run(self.binary("relay_tool"), "lossy", str(thousandth), *ports)
        if "r2" in self.hosts:
            self.hosts["r2"].run(self.binary("relay_tool"), "lossy", str(thousandth), "lan")

    def link(self, a, a_dev, b, b_dev):
        sh("ip", "link", "add", a_dev, "netns", a.ns, "type", "veth", "peer", "name", b_dev, "netns", b.ns)
        for h, d in ((a, a_dev), (b, b_dev)):
            checksums_off(h.ns, d)
            h.run("ip", "link", "set", d, "up")
            h.macs[d] = h.run("cat", f"/sys/class/net/{d}/address").strip()

    def join(self, host, number, gateway=True):
        """Onto the LAN, as 192.0.2.NUMBER."""
        self.link(host, "eth0", self.lan, host.name)
        self.lan.run("ip", "link", "set", host.name, "master", "br0")
        host.v4, host.v6 = f"192.0.2.{number}", f"2001:db8:1::{number}"
        host.address("eth0", f"{host.v4}/24", f"{host.v6}/64")
        if gateway:
            self.routes(host, "192.0.2.1", "2001:db8:1::1")
        return host

    def routes(self, host, v4, v6):
        host.run("ip", "route", "add", "default", "via", v4)
        host.run("ip", "-6", "route", "add", "default", "via", v6)

    def far_node(self, vips=True):
        r2, n = self.host("r2"), self.host(f"n{len(self.nodes) + 1}")
        r2.sysctl("net.ipv4.ip_forward", 1)
        r2.sysctl("net.ipv6.conf.all.forwarding", 1)
        self.link(self.router, "wan", r2, "wan")
        self.router.address("wan", "203.0.113.1/25", "2001:db8:e::1/64")
        r2.address("wan", "203.0.113.2/25", "2001:db8:e::2/64")
        self.link(r2, "lan", n, "eth0")
        r2.address("lan", "203.0.113.129/25", "2001:db8:f::1/64")
        n.v4, n.v6 = "203.0.113.130", "2001:db8:f::2"
        n.address("eth0", n.v4 + "/25", n.v6 + "/64")
        self.routes(r2, "203.0.113.1", "2001:db8:e::1")
        self.routes(n, "203.0.113.129", "2001:db8:f::1")
        self.router.run("ip", "route", "add", "203.0.113.128/25", "via", "203.0.113.2")
        self.router.run("ip", "-6", "route", "add", "2001:db8:f::/64", "via", "2001:db8:e::2")
        if vips:
            n.vip_on_lo()
        self.nodes.append(n)

    def divide(self, ends, network):
        """What clients and nodes receive is handled by one CPU, all other packets by another; None: as they come."""
        for host in self.hosts.values():
            for device in host.macs:
                host.steer(device, ends if host in (self.client, *self.nodes) else network)

    def stub(self, host):
        """What comes back out of a veth needs a packet program at its other end."""
        self.lan.run(self.binary("relay_tool"), "pass", host.name)

    def close(self):
        for h in self.hosts.values():
            for p in h.processes:
                p.kill()
        if hasattr(self, "wan"):
            self.wan.popen.kill()
        for h in self.hosts.values():
            for pid in sh("ip", "netns", "pids", h.ns, check=False).split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            sh("ip", "netns", "del", h.ns, check=False)
        self.hosts = {}
        sh("umount", self.bpf, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- web servers ----

    def nginx(self, host, root, extra="", port=80, listen_options=""):
        folder = os.path.join(self.dir, "nginx-" + host.name)
        os.makedirs(folder, exist_ok=True)
        config = os.path.join(folder, "nginx.conf")
        with open(config, "w") as f:
            f.write(f"""daemon off; user root; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log info;
worker_rlimit_nofile 40000;
events {{ worker_connections 20000; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; client_max_body_size 200m; client_body_temp_path {folder};
 default_type application/octet-stream; types {{ text/html html; text/css css; text/javascript js; image/svg+xml svg; }} add_header X-Node {host.name} always;
 server {{ listen 0.0.0.0:{port} backlog=8192 {listen_options}; listen [::]:{port} backlog=8192 {listen_options}; root {root};
  error_page 405 =200 $uri; # a POST to a file
  location /post {{ return 200 "{host.name} $http_content_length\\n"; }}
  location /whoami {{ return 200 "{host.name} $remote_addr $remote_port\\n"; }} {extra} }} }}
""")
        p = host.start("/usr/sbin/nginx", "-c", config, "-p", folder, stderr=subprocess.DEVNULL)
        self.listening(host, port)
        return p

    def listening(self, host, port, seconds=10):
        end = time.time() + seconds
        while f":{port} " not in host.run("ss", "-Hltn"):
            if time.time() > end:
                raise RuntimeError(f"{host.name}: nothing listens on port {port}")
            time.sleep(0.05)


MOVES = {"l2": 0, "hops": 1}


def wire(lab, balancer, mode="l2", far_mode="hops", mss4=1360, mss6=1320):
    """The balancer's and the nodes' programs, all nodes known as 0, 1, ..., the balancer itself as 100."""
    for n in lab.nodes:
        if not hasattr(n, "relay"):
            n.relay = n.tool("node", "eth0")
        n.relay(f"trust {balancer.v4}")
        n.relay(f"trust {balancer.v6}")
    b = balancer.relay = balancer.tool("balance", "eth0", "--", "eth0", "lo")
    b(f"trust {balancer.v4}")
    b(f"trust {balancer.v6}")
    b(f"settings 100 {mss4} {mss6}")
    own = balancer.macs["eth0"]
    for i, n in enumerate(lab.nodes):
        near = n.v4.startswith("192.0.2.")
        mac = n.macs["eth0"] if near else lab.router.macs["eth0"]
        b(f"node {i} {mode if near else far_mode} {n.v4} {balancer.v4} {mac} {own} eth0 1500")
    b(f"node 100 self {balancer.v4} {balancer.v4} {own} {own} eth0 1500")
    return b
