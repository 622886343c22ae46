# SPDX-License-Identifier: Apache-2.0
"""A web farm behind the relay, for scenarios: relay_lab's namespaces with unmodified nginx, Apache httpd and lighttpd on the
nodes, each holding other files, with overlap, and the real daemon on each balancer.

Everything runs in a mount and a process namespace of its own (alone()), so that nothing outlives the test, however it
ends.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from relay_lab import Lab, TOOLS, VIP4, VIP6

SERVERS = ("nginx", "apache", "lighttpd", "nginx")
HOST = "www.example.com"
SIZES = (0, 1, 1000, 1447, 1448, 1449, 20000, 65536, 300000)


def impossible(*tools):
    if os.getuid() != 0:
        return "needs root"
    missing = [t for t in ("nginx", "apache2", "lighttpd", "ip", "unshare", *tools) if not shutil.which(t, path="/usr/sbin:/usr/bin:/sbin:/bin")]
    return "not installed: " + ", ".join(missing) if missing else None


def alone():
    """Starts the program again in namespaces that end with it. Its process ids, mounts and files are its own."""
    if os.environ.get("PM_ALONE") != str(os.getppid()) and os.getpid() != 1:
        os.environ["PM_ALONE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, *sys.argv])
    os.makedirs("/run/netns", exist_ok=True)
    for folder in ("/run/netns", "/mnt"):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    subprocess.run(["mount", "--make-shared", "/run/netns"], check=True)
    tempfile.tempdir = "/mnt"


def begin(*tools, why=None):
    """For a scenario, before it imports lib: the binary it is about. Where it cannot run it is skipped, else it begins again, alone."""
    binary = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ["POINTSMAN"])
    why = impossible(*tools) or why
    if why:
        print("skipped: " + why)
        sys.exit(77)
    alone()
    return binary


class Farm(Lab):
    """Files: each node has /only<i>/ for itself, /pair<i>/ together with the next one, and /all/."""

    def __init__(self, binary, nodes=3, balancers=1, far=True, relay="", front="", server="", extra="",
                 wan=False, interval="500ms", fall=2, agents=False):
        """agents: `pointsman agent` on each node; else relay_tool takes the connections over."""
        self.daemon_binary = binary
        super().__init__(nodes, balancers, far, os.path.join(os.path.dirname(binary), "../../tests/tools"), wan, not agents)
        self.extra, self.front_keys, self.server_keys, self.relay_keys = extra, front, server, relay
        self.under = []
        self.daemons, self.paths, self.interval, self.fall = {}, [], interval, fall
        self.files()
        with open(self.path("relay.key"), "wb") as f:
            f.write(bytes(range(32)))
        self.agents = agents
        if agents:
            self.keys()
        for i, n in enumerate(self.nodes):
            self.serve(i)
            if agents:
                self.agent(i)
                continue
            n.relay = n.tool("node", "eth0")
            for b in self.balancers:
                n.relay(f"trust {b.v4} {self.path('relay.key')}")
                n.relay(f"trust {b.v6} {self.path('relay.key')}")

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    # ---- content ----

    def root(self, i):
        return self.path(f"root{i + 1}")

    def holds(self, i):
        count = len(self.nodes)
        return [f"/only{i + 1}/", f"/pair{i + 1}/", f"/pair{(i - 1) % count + 1}/", "/all/"]

    def files(self):
        for folder in sorted({h for i in range(len(self.nodes)) for h in self.holds(i)}):
            self.paths += [f"{folder}f{k}-{size}.bin" for k, size in enumerate(SIZES)]
        for i in range(len(self.nodes)):
            mine = [p for p in self.paths if any(p.startswith(h) for h in self.holds(i))]
            subprocess.run([self.binary("content"), "write", self.root(i), "-"], input="\n".join(mine).encode(), check=True)

    def add(self, i, *paths):
        subprocess.run([self.binary("content"), "write", self.root(i), *paths], check=True)

    # ---- web servers ----

    def serve(self, i):
        kind = SERVERS[i % len(SERVERS)]
        self.nodes[i].kind = kind
        self.nodes[i].web = getattr(self, kind)(self.nodes[i], self.root(i))

    def apache(self, host, root, port=80, extra=""):
        folder = self.path("apache-" + host.name)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "httpd.conf"), "w") as f:
            f.write(f"""ServerRoot {folder}
PidFile {folder}/pid
ErrorLog {folder}/error.log
Mutex file:{folder}
ServerName {HOST}
Listen 0.0.0.0:{port}
Listen [::]:{port}
ListenBacklog 8192
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
User www-data
Group www-data
StartServers 8
MinSpareThreads 64
MaxSpareThreads 2048
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
ThreadsPerChild 64
ServerLimit 16
MaxRequestWorkers 1024
AsyncRequestWorkerFactor 64
DocumentRoot {root}
Header always set X-Node {host.name}
<Directory {root}>
  Require all granted
</Directory>
<FilesMatch "\.svg$">
  ForceType image/svg+xml
</FilesMatch>
<FilesMatch "\.css$">
  ForceType text/css
</FilesMatch>
<FilesMatch "\.js$">
  ForceType text/javascript
</FilesMatch>
{extra}
""")
        p = host.start("/usr/sbin/apache2", "-d", folder, "-f", "httpd.conf", "-DFOREGROUND", stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env={**os.environ, "APACHE_RUN_DIR": folder})
        self.listening(host, port)
        return p

    def lighttpd(self, host, root, port=80):
        folder = self.path("lighttpd-" + host.name)
        os.makedirs(folder, exist_ok=True)
        config = os.path.join(folder, "lighttpd.conf")
        with open(config, "w") as f:
            f.write(f"""server.document-root = "{root}"
server.port = {port}
server.bind = "0.0.0.0"
server.max-fds = 40000
server.max-connections = 16000
server.max-keep-alive-requests = 1000000000
server.max-keep-alive-idle = 60
server.listen-backlog = 8192
server.errorlog = "{folder}/error.log"
server.upload-dirs = ( "{folder}" )
server.modules = ( "mod_setenv" )
mimetype.assign = ( ".svg" => "image/svg+xml", ".css" => "text/css", ".js" => "text/javascript", ".html" => "text/html" )
setenv.set-response-header = ( "X-Node" => "{host.name}" )
$SERVER["socket"] == "[::]:{port}" {{ }}
""")
        p = host.start("/usr/sbin/lighttpd", "-D", "-f", config, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.listening(host, port)
        return p

    # ---- agents ----

    def keys(self):
        names = [h.name for h in (*self.balancers, *self.nodes)]
        subprocess.run([self.daemon_binary, "keys", "init", self.path("keys"), "--name", names[0]], check=True, capture_output=True)
        for name in names[1:]:
            subprocess.run([self.daemon_binary, "keys", "issue", name, "--dir", self.path("keys")], check=True, capture_output=True)

    def agent_config(self, i):
        n = self.nodes[i]
        balancers = ", ".join(f"{b.name}: '{b.v4}'" for b in self.balancers)
        return (f"name: {n.name}\nca: {self.path('keys/ca.pem')}\nbalancers: {{{balancers}}}\ninterfaces: [eth0]\n"
                f"roots: {{{self.root(i)}: {{host: {HOST}, writable: yes}}}}\nreserve: 1M\n")

    def agent(self, i):
        n = self.nodes[i]
        with open(self.path(n.name + ".yaml"), "w") as f:
            f.write(self.agent_config(i))
        with open(self.path(n.name + ".log"), "ab") as log:
            n.agent = n.start(self.daemon_binary, "agent", "-c", self.path(n.name + ".yaml"), stdout=log, stderr=log)

    # ---- balancers ----

    def config(self, balancer):
        servers = "".join(f"          {n.name}: {{address: {n.v4}, holds: {json.dumps(self.holds(i))}{self.agent_key(n)}{self.server_keys}}}\n"
                          for i, n in enumerate(self.nodes))
        return f"""
node: {{name: {balancer.name}, site: here, state: {self.path('state-' + balancer.name)}}}
dns: {{listen: ['127.0.0.1:5353']}}
api: {{socket: {self.socket(balancer)}}}
zones: {{example.com: {{ns: [ns.example.com]}}}}
sites: {{here: {{}}}}
relay: {{interfaces: [eth0], key: {self.path('relay.key')}, pin: {self.bpf}/{balancer.name}{self.agents_key(balancer)}{self.relay_keys}}}
{self.mesh()}
services:
  {HOST}:
    check: []
    front: {{relay: transfer, check: {{tcp: {{}}, port: 0, interval: {self.interval}, timeout: 3s, fall: {self.fall}}}{self.front_keys}}}
    sites:
      here:
        vips: [{VIP4}, '{VIP6}']
        servers:
{servers}{self.extra}"""

    def agent_key(self, node):
        return f", agent: {node.name}" if self.agents else ""

    def agents_key(self, balancer):
        return f", agents: ['{balancer.v4}']" if self.agents else ""

    def mesh(self):
        return f"mesh: {{ca: {self.path('keys/ca.pem')}}}" if self.agents else ""

    def socket(self, balancer):
        return self.path("control-" + balancer.name)

    def daemon(self, balancer, vip=True, wait=True):
        """wait: until all servers are up. self.under: a command it is run by."""
        if vip:
            balancer.address("eth0", f"{VIP4}/24", f"{VIP6}/64")
        config, log = self.path(balancer.name + ".yaml"), open(self.path(balancer.name + ".log"), "ab")
        with open(config, "w") as f:
            f.write(self.config(balancer))
        os.makedirs(f"{self.bpf}/{balancer.name}", exist_ok=True)
        p = balancer.start(*self.under, self.daemon_binary, "run", "-c", config, stdout=log, stderr=log)
        log.close()
        self.daemons[balancer.name] = p
        if not wait:
            for _ in range(100):
                if self.cli(balancer, "relay", "--json", check=False):
                    break
                time.sleep(0.1)
            return p
        end = time.time() + 20
        while time.time() < end:
            if len(self.up(balancer)) == len(self.nodes):
                return p
            time.sleep(0.1)
        raise RuntimeError("not all servers are up:\n" + self.log(balancer)[-3000:])

    def up(self, balancer):
        """Names of the servers that are up."""
        try:
            servers = json.loads(self.cli(balancer, "servers", "--json"))["servers"]
        except (RuntimeError, ValueError):
            return set()
        return {v["server"] for v in servers if v["health"] == "up"}

    def cli(self, balancer, *words, check=True):
        return balancer.run(self.daemon_binary, *words, "--socket", self.socket(balancer), check=check)

    def relay_view(self, balancer):
        return json.loads(self.cli(balancer, "relay", "--json"))

    def counters(self, balancer):
        return {k: v for k, v in self.relay_view(balancer)["counters"].items() if v}

    def log(self, balancer):
        with open(self.path(balancer.name + ".log"), errors="replace") as f:
            return f.read()

    # ---- clients ----

    def surf(self, *words, host=None, paths=None, seconds=120, v6=False):
        """(exit status, what surf found); paths to stdin."""
        target = f"[{VIP6}]:80" if v6 else f"{VIP4}:80"
        host = host or self.client
        p = subprocess.run(host.command(self.binary("surf"), "--host", HOST, "--count-header", "x-node", *map(str, words), "--paths", "-",
                                        target), input="\n".join(paths or self.paths), capture_output=True, text=True,
                           timeout=seconds)
        try:
            return p.returncode, json.loads(p.stdout)
        except ValueError:
            return p.returncode, {"text": p.stdout + p.stderr}
