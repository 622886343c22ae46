#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Connections transferred to unmodified nginx, Apache httpd and lighttpd on three nodes of the LAN and one two hops away, each
with other files: every byte checked, with all kinds of clients, over IPv4 and IPv6, and what goes wrong on purpose.

Usage: relay_transfer.py [POINTSMAN] (or $POINTSMAN)
"""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import relay_farm
from relay_farm import HOST, VIP4, VIP6

BINARY = relay_farm.begin()
import lib

s = lib.Scenario("relay_transfer")
farm = relay_farm.Farm(BINARY)
balancer = farm.balancers[0]
farm.daemon(balancer)
SMALL = [p for p in farm.paths if "-1000.bin" in p]
RESULT = ("requests", "ok", "hung", "reset", "closed_early", "bad_reply", "connect_failed", "wrong_status", "wrong_bytes", "text",
          "examples")


def all_right(what, *words, **options):
    status, got = farm.surf(*words, **options)
    s.check(what, status == 0 and got["ok"] + got["aborted"] == got["requests"] > 0, {k: got[k] for k in RESULT if got.get(k)})
    return got


def moved(counters=None):
    return farm.counters(balancer).get("moved", 0)


def options_of_clients():
    """Every combination of what a client's TCP can offer, over both families, on kept and on closed connections."""
    for stamps in (1, 0):
        for sack in (1, 0):
            for scale in (1, 0):
                for key, value in (("timestamps", stamps), ("sack", sack), ("window_scaling", scale)):
                    farm.client.sysctl("net.ipv4.tcp_" + key, value)
                bad = []
                for v6 in (False, True):
                    for words in (("--keep", 30, "-c", 4, "-n", 200, "--random", 1), ("-c", 4, "-n", 100, "--random", 2)):
                        status, got = farm.surf(*words, v6=v6)
                        if status:
                            bad.append({k: got[k] for k in RESULT if got.get(k)})
                s.check(f"timestamps {stamps}, SACK {sack}, window scale {scale}: every byte right", not bad, bad[:1])
    for key in ("timestamps", "sack", "window_scaling"):
        farm.client.sysctl("net.ipv4.tcp_" + key, 1)


def usual_clients():
    before = farm.counters(balancer)
    for v6 in (False, True):
        family = "IPv6" if v6 else "IPv4"
        all_right(f"{family}: 3,000 requests on kept connections, to another node nearly each time", "-c", 20, "-n", 3000, "--keep", 50,
                  "--random", 1, v6=v6)
        got = all_right(f"{family}: 5,000 connections of one request", "-c", 20, "-n", 5000, "--random", 2, paths=SMALL, v6=v6)
        s.check(f"{family}: all nodes have served", set(got["headers"]) == {n.name for n in farm.nodes}, got["headers"])
    after = farm.counters(balancer)
    s.check("connections moved between nodes", after.get("moved", 0) - before.get("moved", 0) > 3000, after)
    s.check("the front end was not needed", after.get("request_front", 0) == before.get("request_front", 0), after)
    all_right("1,000 source ports, 10,000 connections", "-c", 10, "-n", 10000, "--source-port", "20000-20999", paths=SMALL)
    # Apache closes kept connections when its workers are all busy, just as the next request comes: not those, then.
    patient = [p for p in SMALL if p.startswith(("/only1/", "/only3/", "/only4/", "/pair3/"))]
    all_right("1,000 connections at a time", "-c", 1000, "-n", 10000, "--keep", 10, "--random", 5, paths=patient)
    all_right("segments of 536 bytes", "-c", 10, "-n", 500, "--keep", 10, "--mss", 536)


def curl():
    for target, option in ((VIP4, []), (f"[{VIP6}]", ["--globoff"])):
        wrong = []
        for path in [p for p in farm.paths if "/f7-" in p or "/f8-" in p]:
            got = subprocess.run(farm.client.command("curl", "-s", "-m", "10", *option, "-H", f"Host: {HOST}", f"http://{target}{path}"),
                                 capture_output=True, check=False).stdout
            sums = subprocess.run(["sha256sum"], input=got, capture_output=True, check=True).stdout.split()[0]
            if sums != subprocess.run([farm.binary("content"), "sum", path], capture_output=True, check=True).stdout.split()[0]:
                wrong.append(path)
        s.check(f"curl {target}: SHA-256 of files that only one node has", not wrong, wrong)


def bodies():
    for size, count in ((0, 300), (1, 300), (1000, 300), (20000, 300), (1000000, 30), (100000000, 2)):
        all_right(f"POST of {size} bytes among GETs on kept connections", "-c", 4, "-n", count, "--keep", 10, "--post", f"{size}:0.5",
                  "--random", size)


def unusual_clients():
    all_right("byte by byte", "-c", 20, "-n", 60, "--slow", "4:1", "--keep", 3)
    all_right("requests in two segments, a pause between", "-c", 10, "-n", 200, "--split", "30:20", "--keep", 5)
    all_right("the pause longer than the relay waits", "-c", 10, "-n", 100, "--split", "30:80")
    all_right("four requests sent at once", "-c", 10, "-n", 1000, "--pipeline", 4, "--keep", 40)
    all_right("pauses between requests", "-c", 20, "-n", 200, "--keep", 10, "--idle", 100)
    # nginx gives up when its client has shut down its side, whoever sends it the packets.
    patient = [p for p in farm.paths if p.startswith(("/only2/", "/only3/", "/pair2/"))]
    all_right("half-closed connections", "-c", 10, "-n", 1000, "--half-close", paths=patient)
    all_right("half-closed after five requests", "-c", 10, "-n", 1000, "--half-close", "--keep", 5, paths=patient)
    all_right("a fifth of the requests aborted by RST somewhere", "-c", 20, "-n", 3000, "--keep", 20, "--rst", "0.2", "--random", 3)
    all_right("and after that", "-c", 20, "-n", 1000, "--keep", 20, "--random", 4)


def raw(request, seconds=3):
    """The answer to bytes that no client should send."""
    program = ("import socket,sys\ns=socket.create_connection((%r,80),3)\ns.settimeout(%r)\ns.sendall(%r)\nd=b''\n"
               "try:\n  while True:\n    x=s.recv(65536)\n    if not x: break\n    d+=x\nexcept OSError as e: d+=repr(e).encode()\n"
               "print(ascii(d[:300])[2:])" % (VIP4, seconds, request))
    return farm.client.run(sys.executable, "-c", program, check=False)


def odd_requests():
    before = farm.counters(balancer).get("request_front", 0)
    odd = [b"GET / HTTP/1.1\r\n\r\n", b"NONSENSE\r\n\r\n", b"GET /only1/f2-1000.bin HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
           b"GET /only1/../only2/f2-1000.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
           b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"]
    answers = [raw(x) for x in odd]
    s.check("unusual requests get an answer of HTTP", all(a.startswith("HTTP/1.1 ") for a in answers), [a[:60] for a in answers])
    s.check("from the front end", farm.counters(balancer).get("request_front", 0) > before)


def node_dies():
    node = farm.nodes[2]
    node.web.kill()
    node.web.wait()
    only = [p for p in SMALL if p.startswith("/only3/")]
    s.check("noticed within one check", lib.wait_until(lambda: node.name not in farm.up(balancer), 2))
    rest = [p for p in SMALL if not p.startswith("/only3/")]
    before = farm.counters(balancer)
    all_right("a web server has died: what others have as well comes from them", "-c", 10, "-n", 1000, "--keep", 10, paths=rest)
    after = farm.counters(balancer)
    print("#", {k: v - before.get(k, 0) for k, v in after.items() if v != before.get(k)})
    status, got = farm.surf("-n", 3, "--status", 503, paths=only)
    s.check("what only it had: 503 from the front end", got.get("ok") == 3 or got.get("wrong_status") == {}, got)
    farm.serve(2)
    lib.wait_until(lambda: node.name in farm.up(balancer), 5)
    all_right("it is back", "-c", 10, "-n", 500, "--keep", 10, paths=SMALL)


def concurrent():
    farm.client.sysctl("net.ipv4.ip_local_port_range", "'10000 60999'")
    patient = [p for p in SMALL if p.startswith(("/only1/", "/only3/", "/only4/", "/pair3/"))]
    all_right("10,000 connections at the same time", "-c", 10000, "-n", 20000, "--keep", 2, "--random", 6, "--timeout", 60,
              paths=patient)


for part in (usual_clients, curl, options_of_clients, bodies, unusual_clients, odd_requests, node_dies, concurrent):
    start = time.monotonic()
    part()
    print(f"# {part.__name__}: {time.monotonic() - start:.1f} s", flush=True)
print("#", json.dumps(farm.counters(balancer)))
s.finish()
