#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""TLS connections transferred by the name and the protocols in their greeting, HTTP/2 with and without TLS, and a browser
whose page has its parts on four nodes: unmodified nginx, Apache httpd and lighttpd, each node with a certificate of its
own, every byte checked.

Usage: relay_tls.py [POINTSMAN] (or $POINTSMAN)
"""
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import relay_farm
from relay_farm import HOST, VIP4, VIP6

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools/tls_client.py")
BINARY = relay_farm.begin("h2load", "wrk", "openssl", "curl")
import lib

# Who has which name at port 443; the certificates are for these.
NAMES = {"tls.example.com": "n1", "img.example.com": "n2", "js.example.com": "n3", "a.wild.example.com": "n5", "b.c.wild.example.com": "n5"}
PLAIN = ("n1", "n3", "n4")  # those of proto.example.com: n1 for any, n3 for h2, n4 for acme-tls/1
PAGE = "/only1/page.html"


class TlsFarm(relay_farm.Farm):
    relays = True

    def __init__(self, binary):
        super().__init__(binary, nodes=4)
        hosts = self.path("hosts")
        with open(hosts, "w") as f:
            names = [HOST, "plain.example.com", "proto.example.com", "unknown.example.com", *NAMES]
            f.write(f"127.0.0.1 localhost\n{VIP4} {' '.join(names)}\n{VIP6} v6.example.com\n")
        subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)

    def certificate(self, name):
        """The key and the certificate of a node, which is for its own names only: a browser would take a connection for
        every name of its certificate."""
        base = self.path("cert-" + name)
        names = [n for n, node in NAMES.items() if node == name] + ["proto.example.com"] * (name in PLAIN)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", f"/O=test/CN={name}", "-addext", "subjectAltName=" + ",".join("DNS:" + n for n in names),
                        "-keyout", base + ".key", "-out", base + ".pem"], check=True, capture_output=True)
        return base + ".key", base + ".pem"

    def serve(self, i):
        host, root = self.nodes[i], self.root(i)
        key, pem = self.certificate(host.name)
        tls = f"""ssl_certificate {pem}; ssl_certificate_key {key}; add_header Access-Control-Allow-Origin * always;
 listen 0.0.0.0:443 ssl http2 backlog=8192; listen [::]:443 ssl http2 backlog=8192;"""
        if i == 1:
            modules = "/usr/lib/apache2/modules"
            host.web = self.apache(host, root, extra=f"""LoadModule ssl_module {modules}/mod_ssl.so
LoadModule socache_shmcb_module {modules}/mod_socache_shmcb.so
LoadModule http2_module {modules}/mod_http2.so
Protocols h2 h2c http/1.1
Header always set Access-Control-Allow-Origin *
Listen 0.0.0.0:443 https
Listen [::]:443 https
<VirtualHost *:443>
  SSLEngine on
  Protocols h2 http/1.1
  SSLCertificateFile {pem}
  SSLCertificateKeyFile {key}
</VirtualHost>""")
        elif i == 2:
            host.web = self.lighttpd(host, root)
            self.nginx(host, root, tls, port=8443)
        elif i == 3:
            host.web = self.nginx(host, root)
            host.start("openssl", "s_server", "-accept", "443", "-key", key, "-cert", pem, "-alpn", "acme-tls/1", "-www", "-quiet",
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        else:
            host.web = self.nginx(host, root, tls)
        self.listening(host, 443)

    def servers(self, keys, only=None):
        return "".join(f"          {n.name}: {{address: {n.v4}{keys.get(n.name, '')}}}\n" for n in self.nodes if not only or n.name in only)

    def config(self, balancer):
        check = "check: {tcp: {}, port: 0, interval: 500ms, timeout: 500ms, fall: 2}"
        tls = f"front: {{mode: tcp, relay: transfer, ports: 443, {check}}}"
        vips = f"vips: [{VIP4}, '{VIP6}']"
        paths = {n.name: f", holds: {json.dumps(self.holds(i))}" for i, n in enumerate(self.nodes)}
        for name in ("n2", "n3"):
            paths[name] += ", h2c: yes"
        whole = {node: f", holds: [{name}/]" for name, node in NAMES.items()}
        return f"""
node: {{name: {balancer.name}, site: here, state: {self.path(f'state-{balancer.name}-{self.relays}')}}}
dns: {{listen: ['127.0.0.1:5353']}}
api: {{socket: {self.socket(balancer)}}}
zones: {{example.com: {{ns: [ns.example.com]}}}}
sites: {{here: {{}}}}
relay: {{interfaces: [{'eth0' if self.relays else ''}], key: {self.path('relay.key')}, pin: {self.bpf}/{balancer.name}}}
services:
  {HOST}:
    check: []
    front: {{relay: transfer, {check}}}
    sites:
      here:
        {vips}
        servers:
{self.servers(paths)}
  plain.example.com:
    check: []
    front: {{relay: transfer, ports: 8080, server-port: 80, {check}}}
    sites:
      here:
        {vips}
        servers:
{self.servers({}, ("n1",))}
  tls.example.com:
    check: []
    aliases: [img.example.com, js.example.com]
    {tls}
    sites:
      here:
        {vips}
        servers:
{self.servers(whole, ("n1", "n2", "n3"))}
  '*.wild.example.com':
    check: []
    {tls}
    sites:
      here:
        {vips}
        servers:
{self.servers({}, ("n5",))}
  proto.example.com:
    check: []
    {tls}
    sites:
      here:
        {vips}
        servers:
{self.servers({"n3": ", alpn: [h2]", "n4": ", alpn: [acme-tls/1]"}, PLAIN)}"""

    def up(self, balancer):
        """Nodes that are up in all services; a server that is up from the first check on is not in the log."""
        try:
            rows = json.loads(self.cli(balancer, "servers", "--json"))["servers"]
        except (RuntimeError, ValueError):
            return set()
        return {n.name for n in self.nodes if all(r["health"] == "up" for r in rows if r["server"] == n.name)}

    def greet(self, name, *words, address=VIP4, path=None):
        out = self.client.run(CLIENT, address, "443", name, *([path] if path else []), *map(str, words))
        return json.loads(out)


s = lib.Scenario("relay_tls")
farm = TlsFarm(BINARY)
balancer = farm.balancers[0]
farm.daemon(balancer)


def count(name):
    return farm.counters(balancer).get(name, 0)


def front_served():
    return farm.relay_view(balancer)["served"]["front-end"]


def daemon_decided():
    return farm.relay_view(balancer)["served"]["transferred-by-daemon"]


def sum_of(path):
    return subprocess.run([farm.binary("content"), "sum", path], capture_output=True, check=True, text=True).stdout.split()[0]


def holder(node):
    """Files that every node has, and one that only this one has."""
    return [f"/all/f{k}-{size}.bin" for k, size in enumerate(relay_farm.SIZES)] + [f"/only{node[1:]}/f8-300000.bin"]


def curl(*words):
    return subprocess.run(farm.client.command("curl", "-sk", "-m", "10", *words), capture_output=True, check=False).stdout


def by_name():
    before = front_served(), count("request_open")
    for name, node in NAMES.items():
        for v in ("--http1.1", "--http2"):
            urls = [f"https://{name}{p}" for p in holder(node)]
            wrong = [u for u in urls if hashlib.sha256(curl(v, u)).hexdigest() != sum_of(u.split(name)[1])]
            s.check(f"curl {v} https://{name}: every byte right", not wrong, wrong)
        got = curl(*(f"https://{name}{p}" for p in holder(node)))
        s.equal(f"{name}: all of them on one kept connection", len(got), sum(relay_farm.SIZES) + 300000)
        s.equal(f"{name}: the node's own certificate", farm.greet(name)["certificate"], node)
    s.equal("over IPv6, too", farm.greet("img.example.com", address=VIP6)["certificate"], "n2")
    s.equal("in any case of letters", farm.greet("Img.EXAMPLE.com")["certificate"], "n2")
    s.equal("no name: the first service there", farm.greet("")["certificate"], "n1")
    s.equal("an unknown name, too", farm.greet("unknown.example.com")["certificate"], "n1")
    s.equal("the name itself is not below the star", farm.greet("wild.example.com")["certificate"], "n1")
    s.equal("the front end was not needed", front_served(), before[0])
    s.check("the packet program has read the greetings", count("request_open") - before[1] > 100)


def by_protocol():
    for alpn, node, agreed in (("", "n1", None), ("http/1.1", "n1", "http/1.1"), ("h2,http/1.1", "n3", "h2"), ("http/1.1,h2", "n3", "h2"),
                               ("acme-tls/1", "n4", "acme-tls/1"), ("x,y,acme-tls/1", "n4", "acme-tls/1")):
        got = farm.greet("proto.example.com", *(["--alpn", alpn] if alpn else []))
        s.equal(f"offers '{alpn}': {node}", (got.get("certificate"), got.get("protocol")) if "error" not in got else got, (node, agreed))
    said = farm.cli(balancer, "explain", "--url", "https://proto.example.com/", "--json")
    r = json.loads(said)["relay"]
    s.equal("explain: as a browser would get it", (r["node"], r["pinned"], r["resource"]["kind"], r["resource"]["text"]),
            ("n3", True, "protocol", "proto.example.com h2"))
    r = json.loads(farm.cli(balancer, "explain", "--url", "https://b.c.wild.example.com/", "--json"))["relay"]
    s.equal("explain: a name below a star", (r["host"]["matched"], r["host"]["service"], r["node"]), ("name", "*.wild.example.com", "n5"))
    r = json.loads(farm.cli(balancer, "explain", "--url", "https://js.example.com/", "--json"))["relay"]
    s.equal("explain: a name", (r["node"], r["resource"]["kind"], r["resource"]["text"], r["holders"]), ("n3", "name", "js.example.com", ["n3"]))


def greetings():
    """In pieces and in records: by the daemon; slowly: by the front end, which reads names, too."""
    path = "/only2/f8-300000.bin"
    want = {"certificate": "n2", "protocol": "http/1.1", "length": 300000, "sha256": sum_of(path)}
    before = daemon_decided()
    for words in (("--pieces", "1,200", "--pause", "1"), ("--pieces", "50"), ("--pieces", "100,1000"), ("--pieces", "43,40"), ("--records", "1,1000"),
                  ("--records", "3"), ("--records", "100,50"), ("--records", "200", "--pieces", "150")):
        s.equal("greeting " + " ".join(words), farm.greet("img.example.com", "--alpn", "http/1.1", *words, path=path), want)
    # One more or less: on a busy machine even these take longer than the daemon waits.
    s.check("the daemon has put them together", daemon_decided() - before >= 6, daemon_decided() - before)
    opened = front_served()
    for words in (("--pieces", "100", "--pause", "200"), ("--pieces", "1,400", "--pause", "200"), ("--records", "100", "--pieces", "150", "--pause", "200")):
        s.equal("slow greeting " + " ".join(words), farm.greet("img.example.com", "--alpn", "http/1.1", *words, path=path), want)
    got = farm.greet("proto.example.com", "--alpn", "acme-tls/1", "--pieces", "100", "--pause", "200")
    s.equal("slow greeting, by its protocol", got, {"certificate": "n4", "protocol": "acme-tls/1"})
    got = farm.greet("x.wild.example.com", "--pieces", "100", "--pause", "200")
    s.equal("slow greeting, below a star", got.get("certificate"), "n5")
    s.check("the front end has passed those on", front_served() - opened >= 5, front_served() - opened)
    long = ",".join(f"protocol-{i:02}" for i in range(60)) + ",http/1.1"
    got = subprocess.run(farm.client.command("openssl", "s_client", "-connect", f"{VIP4}:443", "-servername", "js.example.com",
                                             "-max_send_frag", "512", "-alpn", long), stdin=subprocess.DEVNULL, capture_output=True,
                         text=True, check=False).stdout
    s.check("openssl s_client, its greeting in records of 512 bytes", re.search(r"subject=.*CN ?= ?n3\b", got), got[:300])
    before = count("request_front")
    got = farm.client.run(sys.executable, "-c", "import socket; s=socket.create_connection(('%s',443),5); s.sendall(b'GET / HTTP/1.1\\r\\n"
                          "Host: none\\r\\n\\r\\n'); print(s.recv(100))" % VIP4)
    s.check("no greeting at all: a server of the first service answers", b"400" in got.encode(), got)


def load(what, *words, **options):
    p = subprocess.run(farm.client.command(*words), capture_output=True, text=True, check=False, timeout=60)
    return p.stdout + p.stderr


def loads():
    before = front_served()
    for name, node in list(NAMES.items())[:4]:
        got = load("h2load", "h2load", "-n", "400", "-c", "8", "-m", "5", *(f"https://{name}{p}" for p in holder(node)[1:8]))
        s.check(f"h2load https://{name}", "400 succeeded, 0 failed, 0 errored" in got and "400 2xx" in got and "Application protocol: h2\n" in got, got[-600:])
    for name in ("tls.example.com", "img.example.com"):
        got = load("wrk", "wrk", "-t1", "-c8", "-d1s", f"https://{name}/all/f2-1000.bin")
        s.check(f"wrk https://{name}", re.search(r"[1-9]\d+ requests in", got) and "Non-2xx" not in got and "Socket errors" not in got, got)
    s.equal("the front end was not needed", front_served(), before)


def clear_text():
    """HTTP/2 without TLS: only at n2 and n3, which say that they speak it."""
    before = front_served()
    paths = [f"/all/f{k}-{size}.bin" for k, size in enumerate(relay_farm.SIZES)]
    for v in ("--http2-prior-knowledge", "--http2"):
        for v6 in (False, True):
            base = f"http://[{VIP6}]" if v6 else f"http://{HOST}"
            # curl 7.88 cannot upgrade if much of the answer comes at once, from whomever.
            some = paths[:7] if v == "--http2" else paths
            wrong = [p for p in some if hashlib.sha256(curl(v, "-g", "-H", f"Host: {HOST}", base + p)).hexdigest() != sum_of(p)]
            s.check(f"curl {v} {base}: every byte right", not wrong, wrong)
        heads = [curl(v, "-I", f"http://{HOST}{p}").decode(errors="replace") for p in paths]
        s.check(f"curl {v}: HTTP/2", all("HTTP/2 200" in h for h in heads), heads[:1])
        served = {n for h in heads for n in re.findall(r"x-node: (\w+)", h, re.I)}
        s.check(f"curl {v}: by nodes that speak it", served and served <= {"n2", "n3"}, served)
    got = load("h2load", "h2load", "-n", "1000", "-c", "10", "-m", "5", *(f"http://{HOST}{p}" for p in paths[1:8]))
    s.check("h2load h2c", "1000 succeeded, 0 failed, 0 errored" in got and "1000 2xx" in got and "h2c" in got, got[-600:])
    s.equal("the front end was not needed", front_served(), before)
    got = farm.client.run(sys.executable, "-c", "import socket; s=socket.create_connection(('%s',8080),5); s.sendall(b'PRI * HTTP/2.0\\r\\n\\r\\n"
                          "SM\\r\\n\\r\\n' + bytes(9)); print(s.recv(100))" % VIP4)
    s.check("nobody speaks it there: an answer of HTTP/1.1", re.match(r"b'HTTP/1.1 (400|505) ", got), got)
    body = curl("--http2", "http://plain.example.com:8080/all/f4-1448.bin")
    s.equal("asked to upgrade, it goes on with HTTP/1.1", hashlib.sha256(body).hexdigest(), sum_of("/all/f4-1448.bin"))
    s.check("both by the front end", front_served() - before >= 2)


# --- a browser -----------------------------------------------------------------------------------------------------

SCRIPT = """
async function sum(bytes) {
  let h = 0x811c9dc5;
  for (const b of bytes) h = Math.imul(h ^ b, 0x01000193) >>> 0;
  let sha = null;
  if (window.isSecureContext)
    sha = Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)), b => b.toString(16).padStart(2, '0')).join('');
  return [h, sha];
}
async function part(url) {
  try {
    const r = await fetch(url, {cache: 'no-store'});
    const bytes = new Uint8Array(await r.arrayBuffer());
    const [fnv, sha] = await sum(bytes);
    return {url, status: r.status, length: bytes.length, fnv, sha};
  } catch (e) { return {url, error: String(e)}; }
}
addEventListener('load', async () => {
  const got = await Promise.all(parts.map(part));
  const images = Array.from(document.images).filter(i => i.complete && i.naturalWidth == 8).length;
  const styles = parts.filter(p => p.endsWith('.css')).filter((p, i) =>
    getComputedStyle(document.getElementById('style' + i)).color == 'rgb(1, 2, 3)').length;
  document.getElementById('result').textContent = JSON.stringify({got, images, styles, scripts: window.loaded || 0});
});
"""


def fnv(data):
    h = 0x811c9dc5
    for b in data:
        h = (h ^ b) * 0x01000193 & 0xffffffff
    return h


def write(node, path, data):
    full = farm.root(int(node[1:]) - 1) + path
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "wb") as f:
        f.write(data)


def picture(i):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><!-- {"x" * (i * 997 % 9000)} -->'
            f'<rect width="8" height="8" fill="#0{i % 10}0"/></svg>').encode()


def make_page(where):
    """where: base URL and node of each place; returns what each part must be."""
    parts, page, styles = {}, [], 0
    for i in range(40):
        base, node = where[i % len(where)]
        kind = ("svg", "svg", "js", "css")[i // len(where) % 4]
        path = f"/only{node[1:]}/part{i}.{kind}"
        data = {"svg": picture(i), "js": f"window.loaded = (window.loaded || 0) + 1; //{'y' * (i * 331 % 5000)}\n".encode(),
                "css": f"#style{styles} {{ color: rgb(1, 2, 3) }} /*{'z' * (i * 77)}*/".encode()}[kind]
        url = base + path
        write(node, path, data)
        parts[url] = data
        if kind == "svg":
            page.append(f'<img src="{url}">')
        elif kind == "js":
            page.append(f'<script src="{url}"></script>')
        else:
            page.append(f'<link rel="stylesheet" href="{url}"><p id="style{styles}">')
            styles += 1
    for path in (f"/pair{n[1:]}/f7-65536.bin" for _, n in where):
        base = next(b for b, n in where if n[1:] == path[5])
        parts[base + path] = subprocess.run([farm.binary("content"), "cat", path], capture_output=True, check=True).stdout
    write("n1", PAGE, ("<!DOCTYPE html><html><head><meta charset=utf-8><link rel=icon href=data:,><script>const parts = " + json.dumps(list(parts)) + ";" + SCRIPT +
                       "</script></head><body>" + "\n".join(page) + "<pre id=result></pre></body></html>").encode())
    return parts


def browse(url):
    p = subprocess.run(farm.client.command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                                           "--disable-background-networking", "--disable-component-update", "--disable-sync",
                                           "--disable-features=HttpsUpgrades,HttpsFirstBalancedMode,HttpsFirstBalancedModeAutoEnable",
                                           "--user-data-dir=" + farm.path("chromium"), "--ignore-certificate-errors",
                                           f"--host-resolver-rules=MAP *.example.com {VIP4}, EXCLUDE localhost",
                                           "--virtual-time-budget=20000", "--dump-dom", url),
                       capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "HOME": farm.path("home")})
    m = re.search(r'<pre id="?result"?>(.*?)</pre>', p.stdout, re.S)
    return json.loads(html.unescape(m[1])) if m and m[1] else {"got": [], "text": (p.stdout + p.stderr)[-1500:]}


def judge(what, got, parts, secure):
    wrong = [g for g in got["got"] if g.get("status") != 200 or g["fnv"] != fnv(parts[g["url"]]) or
             g["sha"] != (hashlib.sha256(parts[g["url"]]).hexdigest() if secure else None)]
    s.check(f"{what}: {len(parts)} parts, every byte right", len(got["got"]) == len(parts) and not wrong, (wrong[:3], got.get("text")))
    kinds = {k: sum(1 for u in parts if u.endswith(k)) for k in (".svg", ".css", ".js")}
    s.equal(f"{what}: images shown, styles applied, scripts run", (got.get("images"), got.get("styles"), got.get("scripts")),
            (kinds[".svg"], kinds[".css"], kinds[".js"]))


def browser():
    if not shutil.which("chromium"):
        print("# skipped: not installed: chromium")
        return
    os.makedirs(farm.path("home"), exist_ok=True)
    before, moved = front_served(), count("moved")
    parts = make_page([(f"http://{HOST}", f"n{i}") for i in (1, 2, 3, 4, 5)])
    judge("Chromium over HTTP, one name", browse(f"http://{HOST}{PAGE}"), parts, False)
    s.check("its connections moved between the nodes", count("moved") - moved > 20, count("moved") - moved)
    parts = make_page([("https://" + name, node) for name, node in list(NAMES.items())[:4]])
    opened = daemon_decided()
    judge("Chromium over HTTPS, four names", browse(f"https://tls.example.com{PAGE}"), parts, True)
    s.check("its greetings are longer than a segment", daemon_decided() - opened >= 4, daemon_decided() - opened)
    s.equal("the front end was not needed", front_served(), before)


def without_relay():
    """The front end alone: slower, and nobody can tell otherwise."""
    daemon = farm.daemons[balancer.name]
    daemon.terminate()
    daemon.wait()
    os.unlink(farm.path(balancer.name + ".log"))
    farm.relays = False
    farm.daemon(balancer, vip=False)
    for name, node in NAMES.items():
        path = f"/only{node[1:]}/f8-300000.bin"
        for address in (VIP4, VIP6):
            got = farm.greet(name, "--alpn", "http/1.1", address=address, path=path)
            s.equal(f"front end, {name} at {address}", got, {"certificate": node, "protocol": "http/1.1", "length": 300000, "sha256": sum_of(path)})
    for alpn, node in (("", "n1"), ("http/1.1", "n1"), ("h2,http/1.1", "n3"), ("acme-tls/1", "n4")):
        got = farm.greet("proto.example.com", *(["--alpn", alpn] if alpn else []))
        s.equal(f"front end, offers '{alpn}'", got.get("certificate"), node)
    for name in ("", "unknown.example.com"):
        s.equal(f"front end, '{name}': the first service", farm.greet(name)["certificate"], "n1")
    got = load("h2load", "h2load", "-n", "400", "-c", "8", "-m", "5", "https://img.example.com/all/f2-1000.bin")
    s.check("front end, h2load", "400 succeeded, 0 failed, 0 errored" in got, got[-600:])


for part in (by_name, by_protocol, greetings, loads, clear_text, browser, without_relay):
    start = time.monotonic()
    part()
    print(f"# {part.__name__}: {time.monotonic() - start:.1f} s", flush=True)
s.finish()
