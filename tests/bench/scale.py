#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Large worlds: load time, memory, publication, tail latency while health changes, many real checks.

    tests/bench/scale.py [--build build-bench] [--services 100000] [--prefixes 1000000] [--json FILE]

Everything talks to loopback only and ends by itself. Latencies come from a fixed rate, idle and under changes in turn.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peers  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SITES = {"paris": (48.85, 2.35), "tokyo": (35.68, 139.69), "lima": (-12.05, -77.04), "dallas": (32.78, -96.80), "sydney": (-33.87, 151.21)}


class Daemon:
    def __init__(self, args, directory, name, text):
        self.binary = os.path.join(args.build, "src/main/pointsman")
        self.port, self.socket = peers.free_port(), os.path.join(directory, name + ".sock")
        path = os.path.join(directory, name + ".yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write("node: {state: '', user: '', log-level: error}\n"
                    f"dns: {{listen: ['127.0.0.1:{self.port}']}}\napi: {{socket: '{self.socket}', metrics: off}}\n" + text)
        self.start = time.monotonic()
        self.process = subprocess.Popen([self.binary, "run", "-c", path], preexec_fn=peers.die_with_parent)
        while subprocess.run([self.binary, "status", "--json", "--socket", self.socket], capture_output=True, check=False).returncode:
            if self.process.poll() is not None or time.monotonic() - self.start > 120:
                sys.exit("the daemon did not start")
            time.sleep(0.05)
        self.load_s = time.monotonic() - self.start

    def status(self):
        return json.loads(subprocess.run([self.binary, "status", "--json", "--socket", self.socket], capture_output=True,
                                         check=True, text=True).stdout)

    def memory(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            fields = dict(line.split(":", 1) for line in f)
        return {k: int(fields[v].split()[0]) // 1024 for k, v in (("rss_mb", "VmRSS"), ("peak_mb", "VmHWM"))}

    def cpu_s(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def latency(args, daemon, queries, seconds):
    got = subprocess.run([os.path.join(args.build, "tests/bench/dnsload"), "-q", queries, "-d", str(seconds), "-r", str(args.rate), "-s", "8",
                          "--json", f"127.0.0.1:{daemon.port}"], capture_output=True, text=True, check=True)
    return json.loads(got.stdout)


def write_prefixes(path, count):
    rng = random.Random(1)
    with open(path, "w", encoding="ascii") as f:
        f.write("prefix,lat,lon\n")
        for _ in range(count):
            f.write("%d.%d.%d.0/24,%d,%d\n" % (rng.randrange(1, 223), rng.randrange(256), rng.randrange(256),
                                               rng.randrange(-55, 75), rng.randrange(-180, 180)))


def world(args, directory, changing, port):
    """services x 5 sites; the first `changing` of them have a check of their own that flips every second."""
    out = ["zones: {scale.test: {ns: [ns.scale.test]}}\n", f"geo: {{sources: [{{csv: {{path: {directory}/prefixes.csv}}}}]}}\nsites:\n"]
    out += ["  %s: {location: [%f, %f]}\n" % (site, *at) for site, at in SITES.items()]
    out.append("checks: {flip: {http: {path: /}, port: %d, interval: 1s, timeout: 500ms, rise: 1, fall: 1}}\n" % port)
    out.append("monitor: {hold-share: 0}\ndefaults: {check: [], policy: nearest, ttl: 30s}\nservices:\n")
    for i in range(args.services):
        sites = ", ".join("%s: 198.%d.%d.%d" % (site, 18 + (i & 1), (i >> 1) & 255, (i >> 9) % 250 + 1) for site in SITES)
        if i < changing:
            out.append("  s%d.scale.test: {check: flip, sites: {paris: 127.0.0.1, tokyo: {vips: [{address: 198.51.100.1, check: []}]}}}\n" % i)
        else:
            out.append("  s%d.scale.test: {sites: {%s}}\n" % (i, sites))
    return "".join(out)


def many(args, directory, result):
    stub_port = peers.free_port()
    write_prefixes(os.path.join(directory, "prefixes.csv"), args.prefixes)
    queries = os.path.join(directory, "queries")
    rng = random.Random(2)
    with open(queries, "w", encoding="ascii") as f:
        for _ in range(20000):
            f.write("s%d.scale.test A %d.%d.%d.0/24\n" % (rng.randrange(args.services), rng.randrange(1, 223), rng.randrange(256),
                                                          rng.randrange(256)))
    stub = subprocess.Popen([os.path.join(args.build, "tests/bench/httpstub"), str(stub_port), "600", "flip"],
                            preexec_fn=peers.die_with_parent)
    quiet = Daemon(args, directory, "quiet", world(args, directory, 0, stub_port))
    result["load_s"], result["memory"] = round(quiet.load_s, 2), quiet.memory()
    print("%d services x %d sites, %d prefixes: answering after %.1f s, %d MB (peak %d MB)" % (
        args.services, len(SITES), args.prefixes, quiet.load_s, result["memory"]["rss_mb"], result["memory"]["peak_mb"]))
    subprocess.run([quiet.binary, "disable", "s7.scale.test", "--socket", quiet.socket], capture_output=True, check=True)
    time.sleep(0.2)
    result["republish_one_ms"] = quiet.status()["publish-last-ms"]
    print("one service changed: compiled and published in %.3f ms, grace period included" % result["republish_one_ms"])
    busy = Daemon(args, directory, "busy", world(args, directory, args.changes, stub_port))
    time.sleep(3)
    runs = {"idle": [], "changing": []}
    for _ in range(args.rounds):
        runs["idle"].append(latency(args, quiet, queries, args.seconds))
        before, start = busy.status()["published"], time.monotonic()
        runs["changing"].append(latency(args, busy, queries, args.seconds))
        runs["changing"][-1]["changes_per_s"] = (busy.status()["published"] - before) / (time.monotonic() - start)
    for kind, got in runs.items():
        result[kind] = {k: statistics.median(r[k] for r in got) for k in ("p50_us", "p99_us", "p999_us")}
        result[kind]["lost"] = sum(r["lost"] for r in got)
    result["changes_per_s"] = round(statistics.median(r["changes_per_s"] for r in runs["changing"]))
    result["publish_under_load_ms"] = busy.status()["publish-last-ms"]
    print("at %d q/s: idle p50 %.0f p99 %.0f p99.9 %.0f us; with %d services published a second p50 %.0f p99 %.0f p99.9 %.0f us; lost %d + %d"
          % (args.rate, *(result["idle"][k] for k in ("p50_us", "p99_us", "p999_us")), result["changes_per_s"],
             *(result["changing"][k] for k in ("p50_us", "p99_us", "p999_us")), result["idle"]["lost"], result["changing"]["lost"]))
    quiet.stop()
    busy.stop()
    stub.terminate()


def checks(args, directory, result):
    """args.checks real HTTP checks a second: one service and check for each connection of a second."""
    port = peers.free_port()
    stub = subprocess.Popen([os.path.join(args.build, "tests/bench/httpstub"), str(port), "600"], preexec_fn=peers.die_with_parent)
    text = "zones: {scale.test: {ns: [ns.scale.test]}}\nsites: {here: {}}\nmonitor: {hold-share: 0}\n" \
           "checks: {web: {http: {path: /}, port: %d, interval: 1s, timeout: 900ms}}\ndefaults: {check: web, policy: failover}\nservices:\n" % port
    text += "".join("  c%d.scale.test: {sites: {here: 127.0.0.1}}\n" % i for i in range(args.checks))
    daemon = Daemon(args, directory, "checks", text)
    time.sleep(9)  # new checks start over some seconds

    def seen():
        vips = json.loads(subprocess.run([daemon.binary, "vips", "--json", "--limit", "100000", "--socket", daemon.socket],
                                         capture_output=True, check=True, text=True).stdout)["vips"]
        return sum(sum(c["count"].values()) for v in vips for c in v["checks"]), sum(v["health"] == "up" for v in vips), time.monotonic()
    first, _, first_at = seen()
    time.sleep(1)
    before_cpu, start = daemon.cpu_s(), time.monotonic()
    time.sleep(10)
    took, cpu = time.monotonic() - start, daemon.cpu_s() - before_cpu
    last, up, last_at = seen()
    rate = (last - first) / (last_at - first_at)
    result["checks"] = {"per_s": round(rate), "cpu_share": round(cpu / took, 3), "us_per_check": round(cpu / took / rate * 1e6, 1), "up": up}
    print("%d HTTP checks a second of real connections: %.0f %% of one CPU, %.0f us each; %d of %d up" % (
        rate, 100 * cpu / took, result["checks"]["us_per_check"], up, args.checks))
    daemon.stop()
    stub.terminate()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    for name, default in (("services", 100000), ("prefixes", 1000000), ("changes", 1000), ("checks", 10000), ("rate", 5000), ("rounds", 3)):
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--build", default=os.path.join(ROOT, "build-bench"))
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    result = {}
    with tempfile.TemporaryDirectory(prefix="pm-scale-") as directory:
        if args.services:
            many(args, directory, result)
        if args.checks:
            checks(args, directory, result)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(result, f, indent=1)


main()
