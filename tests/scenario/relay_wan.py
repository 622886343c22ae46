#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Transferred connections on bad paths: between client and site 2 % loss, reordering, duplication and 1 to 100 ms of delay
(tests/tools/wan), and 2 % loss in each direction of each port of the LAN. 7,800 requests, another node for
most (SCALE=4 moves 10,000 times and more): all right to the byte, none hung.

Usage: relay_wan.py [POINTSMAN] (or $POINTSMAN); $SCALE times as many requests (1)
"""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import relay_farm

BINARY = relay_farm.begin(why=None if os.path.exists("/dev/net/tun") else "no /dev/net/tun")
import lib

s = lib.Scenario("relay_wan")
# Patient checks: with so much lost on the LAN, a node must not be called down for it.
farm = relay_farm.Farm(BINARY, wan=True, interval="3s", fall=4)
balancer = farm.balancers[0]
farm.daemon(balancer)
RESULT = ("requests", "ok", "hung", "reset", "closed_early", "bad_reply", "connect_failed", "wrong_status", "wrong_bytes", "text",
          "examples")
SCALE = int(os.environ.get("SCALE") or 1)
FAULTS = "loss=2% dup=2% reorder=2%"


def all_right(what, *words, **options):
    words = [w * SCALE if words[i - 1] == "-n" else w for i, w in enumerate(words)]
    start = time.monotonic()
    status, got = farm.surf("--timeout", 60, *words, seconds=200 * SCALE, **options)
    s.check(what, status == 0 and got["ok"] == got["requests"] > 0, {k: got[k] for k in RESULT if got.get(k)})
    if "request_us" in got:
        us = got["request_us"]
        print(f"# {time.monotonic() - start:.1f} s; a request took {us['p50'] / 1000:.0f} ms (p50), {us['p99'] / 1000:.0f} (p99)", flush=True)


farm.wan(f"link client site delay=1ms jitter=5ms {FAULTS}")
all_right("near clients, 2 % loss on the way: requests", "-c", 100, "-n", 1500, "--keep", 20, "--random", 1)
farm.lossy(20)
farm.wan(f"link client site delay=20ms jitter=30ms {FAULTS}")
all_right("and 2 % on the LAN, IPv4: requests", "-c", 200, "-n", 2500, "--keep", 20, "--random", 2)
all_right("IPv6: requests", "-c", 200, "-n", 1500, "--keep", 20, "--random", 3, v6=True)
all_right("connections of one request", "-c", 200, "-n", 1000, "--random", 4)
all_right("POSTs among them", "-c", 100, "-n", 500, "--keep", 10, "--post", "20000:0.5", "--random", 5)
all_right("requests in two segments", "-c", 100, "-n", 300, "--keep", 5, "--split", "30:20", "--random", 6)
farm.wan(f"link client site delay=50ms jitter=50ms {FAULTS}")
all_right("far clients", "-c", 200, "-n", 500, "--keep", 10, "--random", 7)
counters = farm.counters(balancer)
s.check("connections moved between nodes", counters.get("moved", 0) > 2500 * SCALE, counters)
nodes = [n.relay.counters(node=True) for n in farm.nodes]
came_back = sum(n["came_back"] for n in nodes)
s.check("and came back to sockets that waited", came_back > 100 * SCALE, nodes)
print("# came back:", came_back)
print("#", json.dumps(counters))
s.finish()
