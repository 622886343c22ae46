#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The front end beside HAProxy and nginx: CPU per request, requests a second, p99.

    tests/bench/front.py [--sizes 1k,64k,1m] [--modes keep,close] [--seconds 2] [--rounds 5] [--connections 32]
                         [--proxies pointsman,haproxy,haproxy-splice,nginx] [--build DIR] [--json FILE]

All proxies run at the same time with one thread each, before the same two nginx servers; in every round each is measured
once, in an order that turns. CPU is the scheduler's time of all threads of the proxy, kernel work included, divided by
the requests wrk counts. Medians over the rounds; the ratio is to the better of the others. Every proxy keeps
connections to the servers, logs nothing, adds X-Forwarded-For, and has what its manual offers for speed:
HAProxy once with splicing and once without, nginx with buffers that hold the body.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/scenario"))
import lib  # noqa: E402
from cpu import family, ran_ns  # noqa: E402

SIZES = {"1k": 1024, "64k": 65536, "1m": 1 << 20}

NGINX_HEAD = """worker_processes 1; daemon off; pid {dir}/{name}.pid; error_log {dir}/{name}.err;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 60s; server_tokens off;
 client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4;
 scgi_temp_path {dir}/t5;
"""


def start_servers(s, ports):
    www = s.mkdir("www")
    for name, size in SIZES.items():
        with open(os.path.join(www, name), "wb") as f:
            f.write(os.urandom(size))
        os.chmod(os.path.join(www, name), 0o644)
    servers = "".join(f" server {{ listen 127.0.0.1:{p} backlog=4096; root {www}; sendfile on; tcp_nopush on;"
                      " open_file_cache max=100; }\n" for p in ports)
    conf = s.write("servers.conf", NGINX_HEAD.format(dir=s.dir, name="servers") + servers + "}\n")
    s.start("servers", ["nginx", "-c", conf])


def start_nginx(s, port, ports):
    upstream = "".join(f" server 127.0.0.1:{p};" for p in ports)
    conf = s.write("nginx.conf", NGINX_HEAD.format(dir=s.dir, name="nginx") + f"""
 upstream site {{ {upstream} keepalive 256; keepalive_requests 100000000; }}
 server {{ listen 127.0.0.1:{port} backlog=4096 deferred; tcp_nodelay on;
  location / {{ proxy_pass http://site; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
   proxy_set_header X-Forwarded-For $remote_addr; proxy_buffer_size 16k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;
   proxy_max_temp_file_size 0; }} }} }}
""")
    return s.start("nginx", ["nginx", "-c", conf])


def start_haproxy(s, port, ports, splice):
    name = "haproxy-splice" if splice else "haproxy"
    servers = "".join(f" server s{p} 127.0.0.1:{p}\n" for p in ports)
    conf = s.write(name + ".cfg", f"""global
 nbthread 1
 maxconn 4000
{" tune.pipesize 524288" if splice else ""}
defaults
 mode http
 timeout connect 3s
 timeout client 60s
 timeout server 60s
 timeout http-keep-alive 60s
 option http-keep-alive
 http-reuse always
 option forwardfor
{" option splice-auto" if splice else ""}
frontend f
 bind 127.0.0.1:{port} backlog 4096 defer-accept
 default_backend b
backend b
 balance roundrobin
{servers}""")
    return s.start(name, ["haproxy", "-f", conf, "-db"])


def start_pointsman(s, port, ports, build):
    lines = [f"service www mode=serve listen=127.0.0.1:{port} xff=1"] + [f"server 127.0.0.1:{p}" for p in ports] + ["publish"]
    fifo = s.path("front.in")
    os.mkfifo(fifo)
    process = s.start("pointsman", ["/bin/sh", "-c", f"exec {build}/tests/bench/front_main -t 1 <{fifo}"])
    s.front_in = open(fifo, "w")
    s.front_in.write("\n".join(lines) + "\n")
    s.front_in.flush()
    return process


def wrk(port, size, mode, args):
    close = ["-H", "Connection: close"] if mode == "close" else []
    got = subprocess.run(["wrk", "-t1", f"-c{args.connections}", f"-d{args.seconds}", "--latency", *close,
                          f"http://127.0.0.1:{port}/{size}"], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in got or re.search(r"Socket errors: connect [1-9]|read [1-9]|write [1-9]|timeout [1-9]", got):
        print(got, file=sys.stderr)
    number = {"us": 1, "ms": 1e3, "s": 1e6}
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", got)
    return (int(re.search(r"(\d+) requests in", got).group(1)), float(re.search(r"Requests/sec:\s+([\d.]+)", got).group(1)),
            float(p99.group(1)) * number[p99.group(2)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1k,64k,1m")
    parser.add_argument("--modes", default="keep,close")
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--proxies", default="pointsman,haproxy,haproxy-splice,nginx")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--json")
    args = parser.parse_args()
    s = lib.Scenario("front-bench")
    ports = [lib.free_port(), lib.free_port()]
    start_servers(s, ports)
    proxies = {}
    for name in args.proxies.split(","):
        port = lib.free_port()
        process = (start_pointsman(s, port, ports, os.path.abspath(args.build)) if name == "pointsman"
                   else start_nginx(s, port, ports) if name == "nginx"
                   else start_haproxy(s, port, ports, name == "haproxy-splice"))
        proxies[name] = (port, process)
    for name, (port, process) in proxies.items():
        if not lib.wait_until(lambda p=port: lib.listens(p)):
            sys.exit(f"{name} does not listen: {process.output()}")
    results = []
    for mode in args.modes.split(","):
        for size in args.sizes.split(","):
            seen = {name: [] for name in proxies}
            order = list(proxies)
            for _ in range(args.rounds):
                for name in order:
                    port, process = proxies[name]
                    pids = family(process.pid)
                    before = ran_ns(pids)
                    count, rate, p99 = wrk(port, size, mode, args)
                    time.sleep(0.05)
                    seen[name].append(((ran_ns(pids) - before) / 1000 / max(count, 1), rate, p99))
                order = order[1:] + order[:1]
            print(f"\n{mode} {size}: {args.rounds} rounds of {args.seconds} s, {args.connections} connections")
            best = min((statistics.median(x[0] for x in seen[n]) for n in proxies if n != "pointsman"), default=None)
            for name, runs in seen.items():
                cpu, rate, p99 = (statistics.median(x[i] for x in runs) for i in range(3))
                low, high = min(x[0] for x in runs), max(x[0] for x in runs)
                results.append({"mode": mode, "size": size, "proxy": name, "cpu_us": cpu, "rps": rate, "p99_us": p99,
                                "runs": runs})
                ratio = f"  {cpu / best:.2f} of the best other" if best and name == "pointsman" else ""
                print(f"  {name:15} {cpu:8.2f} us CPU/request ({low:.2f}-{high:.2f})  {rate:8.0f} /s  p99 {p99:8.0f} us{ratio}",
                      flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(results, f, indent=1)
    s.front_in.close() if "pointsman" in proxies else None
    s.cleanup()


if __name__ == "__main__":
    main()
