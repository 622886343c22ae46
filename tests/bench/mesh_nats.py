#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a fleet over a real NATS cluster of three servers costs, and how soon an event is everywhere: also while a server
dies. All engines are in one process, the servers beside it, all on this machine's cores.

Usage: mesh_nats.py MESH_NATS [NODES [REGIONS [SECONDS]]]
"""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../scenario"))
from lib import Scenario, wait_until  # noqa: E402
from nats_cluster import Cluster  # noqa: E402


def main():
    program = os.path.abspath(sys.argv[1])
    nodes, regions, seconds = (int(x) for x in (sys.argv[2:] + ["100", "4", "30"][len(sys.argv) - 2:])[:3])
    s = Scenario("bench-mesh-nats")
    cluster = Cluster(s)
    start = time.monotonic()
    run = subprocess.Popen([program, s.mkdir("keys"), str(nodes), str(regions), "bench", cluster.urls()], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=open(s.path("log"), "w"), text=True)

    def ask(text):
        run.stdin.write(text + "\n")
        run.stdin.flush()
        return json.loads(run.stdout.readline())

    def all_same():
        got = ask("state")
        return got if got["same"] == nodes and got["writers"] == nodes and got["connected"] == nodes else None

    try:
        got = wait_until(all_same, 120, 0.2)
        s.check("%d nodes in %d regions hold the same after %.1f s" % (nodes, regions, time.monotonic() - start), got, ask("state"))
        print("#", got, flush=True)
        time.sleep(10)
        print("# steady:", ask("steady %d" % seconds), flush=True)
        got = ask("events 30 200")
        s.check("events reach everybody: %s" % got, got["never"] == 0 and got["max_ms"] < 2000)
        run.stdin.write("events 40 200\n")
        run.stdin.flush()
        time.sleep(2)
        cluster.process["nats-2"].popen.kill()
        got = json.loads(run.stdout.readline())
        s.check("events while a server is killed: %s" % got, got["never"] == 0)
        print("#", ask("state"), flush=True)
        s.check("all hold the same again", wait_until(all_same, 30, 0.5), ask("state"))
    finally:
        run.stdin.close()
        try:
            s.equal("it ends cleanly", run.wait(30), 0)
        except subprocess.TimeoutExpired:
            run.kill()
    s.finish()


if __name__ == "__main__":
    main()
