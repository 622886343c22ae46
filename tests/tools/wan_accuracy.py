#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How exact the emulator is: round-trip times beside the configured ones, its own lateness, loss, rate, throughput.

  wan_accuracy.py [WAN]      default build/tests/tools/wan; needs root
"""
import os
import socket
import sys
import threading
import time

import world as w


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def delays(world):
    print("delay: 600 echoes per pair, 3 ms apart; added to the configured round trip, in microseconds")
    for a, b in (("osaka", "tokyo"), ("london", "frankfurt"), ("toronto", "washington"), ("london", "tokyo"),
                 ("sydney", "sao-paulo")):
        for v6 in (False, True):
            world.wan("reset")
            got = [1000 * (t - world.latency(a, b)) for t in world[a].rtt(world[b], 600, v6, 0.003)]
            total = world.wan.stats()["total"]
            print("  %-10s %-10s IPv%d %6.1f ms  min %5.0f  median %5.0f  p99 %6.0f  max %6.0f   emulator late p99 < %s"
                  % (a, b, 6 if v6 else 4, world.latency(a, b), min(got), quantile(got, .5), quantile(got, .99), max(got),
                     total["late_p99_us"]))


def loss(world):
    world.wan("pair osaka tokyo loss=5%")
    got = len(world["osaka"].rtt(world["tokyo"], 4000, False, 0.0005))
    print("loss 5 %% one way: %d of 4000 lost (%.2f %%)" % (4000 - got, (4000 - got) / 40))
    world.wan("pair osaka tokyo loss=0")


def stream(world, a, b, seconds):
    """TCP from a to b; Mbit/s at the receiver."""
    with world[b].inside():
        listener = socket.create_server((world[b].client[0], 5001))
    with world[a].inside():
        sender = socket.socket()
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        sender.connect((world[b].client[0], 5001))
    taken = [0]

    def receive():
        peer = listener.accept()[0]
        while data := peer.recv(1 << 18):
            taken[0] += len(data)

    def send():
        try:
            while True:
                sender.send(b"x" * (1 << 18))
        except OSError:
            pass

    threads = [threading.Thread(target=f, daemon=True) for f in (receive, send)]
    for t in threads:
        t.start()
    time.sleep(1)
    before, start = taken[0], time.monotonic()
    time.sleep(seconds)
    rate = (taken[0] - before) * 8e-6 / (time.monotonic() - start)
    sender.shutdown(socket.SHUT_RDWR)
    listener.close()
    return rate


def main():
    binary = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(w.TESTS, "../build/tests/tools/wan"))
    if os.getuid() != 0:
        sys.exit("wan_accuracy.py: needs root")
    w.own_processes()
    world = w.World("pointsman", binary)
    world.wan = w.Wan(binary, world.scenario.path("wan.log"))
    for city in world:
        world.start_network(city)
    for (a, b), delay in world.one_way.items():
        if a != b:
            world.wan("pair %s %s delay=%.3fms" % (a, b, delay))
    delays(world)
    loss(world)
    for rate in (10, 100):
        world.wan("link osaka tokyo rate=%dmbit limit=256k" % rate)
        print("rate %d Mbit/s, 9 ms: TCP carries %.1f Mbit/s" % (rate, stream(world, "osaka", "tokyo", 4)))
    world.wan("link osaka tokyo rate=0 delay=0ms")
    print("no rate, no delay: TCP carries %.0f Mbit/s" % stream(world, "osaka", "tokyo", 3))
    print("load average meanwhile: %.1f on %d cores" % (os.getloadavg()[0], os.cpu_count()))
    print(" ".join("%s=%s" % item for item in world.wan.stats()["total"].items()))
    world.wan.stop()
    world.scenario.cleanup()


if __name__ == "__main__":
    main()
