#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Servers side by side: queries a second, latency, CPU time per query, each also beside a bare echo.

    tests/bench/run.py [--workload app] [--servers echo,gdnsd,...] [--seconds 3] [--rounds 5] [--rate 20000]

In every round each server runs once, in an order that turns, so that whatever else the machine does hits all alike.
Only the measured server runs. A round has a run that saturates the server (q/s, CPU per query) and one at a fixed rate
(latency of a server that is not overloaded). Medians over the rounds are printed, with the spread (lowest and
highest), and the ratio of CPU per query to the echo's in the same run; --json FILE keeps every single figure.

CPU per query is the scheduler's time of all threads and processes of the server, kernel work included, divided by the
answers. On loopback the kernel runs part of the receiving side in the sender's time: it is the same for all.

A server of one's own is one more class like those in peers.py, listed in SERVERS.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peers  # noqa: E402
from cpu import ran_ns  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVERS = [peers.Echo, peers.Pointsman, *peers.PEERS]
COLUMNS = [("qps", "q/s", 0), ("cpu_us", "CPU us/query", 2), ("p50_us", "p50 us", 0), ("p99_us", "p99 us", 0),
           ("p999_us", "p99.9 us", 0)]


def load(args, server, queries, seconds, rate=None):
    command = [os.path.join(args.build, "tests/bench/dnsload"), "-q", queries, "-d", str(seconds), "--json",
               "-s", str(args.sockets), "-w", str(args.window)]
    if rate:
        command += ["-r", str(rate)]
    before, pids = ran_ns(server.pids()), server.pids()
    got = subprocess.run(command + [f"{peers.ADDRESS}:{server.port}"], capture_output=True, text=True, check=False,
                         timeout=seconds + 60)
    if got.returncode:
        raise peers.PeerError(f"dnsload ended with {got.returncode}: {got.stderr.strip()}")
    result = json.loads(got.stdout)
    if server.pids() != pids:
        raise peers.PeerError(f"{server.name}: processes came or went while it was measured")
    result["cpu_us"] = (ran_ns(pids) - before) / 1000 / max(result["answered"], 1)
    return result


def measure(args, server, queries):
    """One run of one server: saturated, then at the fixed rate."""
    with server:
        load(args, server, queries, min(1, args.seconds))  # warm
        full = load(args, server, queries, args.seconds)
        calm = load(args, server, queries, args.seconds, args.rate) if args.rate else full
    wrong = full["answered"] - full["noerror"] if server.name != "echo" else 0
    if wrong or not full["answered"]:
        raise peers.PeerError(f"{server.name}: {wrong} of {full['answered']} answers are not NOERROR")
    figures = {key: full[key] for key in ("qps", "cpu_us", "lost")}
    figures.update({key: calm[key] for key in ("p50_us", "p90_us", "p99_us", "p999_us", "max_us")})
    figures.update({"lost_at_rate": calm["lost"], "full": full, "calm": calm})
    return figures


def summarize(runs):
    keys = [k for k, v in runs[0].items() if not isinstance(v, dict)]
    return {k: {"median": statistics.median(r[k] for r in runs), "min": min(r[k] for r in runs),
                "max": max(r[k] for r in runs)} for k in keys}


def show(name, digits):
    return f"{name['median']:,.{digits}f} ({name['min']:,.{digits}f}-{name['max']:,.{digits}f})"


def table(results):
    rows = [["server", *(title for _, title, _ in COLUMNS), "lost (most)", "CPU / echo"]]
    echo = results.get("echo")
    for name, result in results.items():
        s = result["summary"]
        ratio = f"{s['cpu_us']['median'] / echo['summary']['cpu_us']['median']:.3f}" if echo else "-"
        rows.append([name, *(show(s[key], digits) for key, _, digits in COLUMNS),
                     f"{s['lost']['max']:.0f} + {s['lost_at_rate']['max']:.0f}", ratio])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                               for i, (cell, w) in enumerate(zip(row, widths))) for row in rows)


def machine():
    model = "?"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"cpu": model, "cpus": len(os.sched_getaffinity(0)), "kernel": platform.release(),
            "load_before": os.getloadavg()[0]}


def choose(args, world):
    by_name = {cls.name: cls for cls in SERVERS}
    peers.Pointsman.binary = os.path.abspath(f"{args.build}/src/main/pointsman")
    chosen = []
    for name in args.servers.split(",") if args.servers else by_name:
        if name not in by_name:
            sys.exit(f"run.py: no server '{name}'; there are: {', '.join(by_name)}")
        cls = by_name[name]
        server = cls(world, args.threads, f"{args.build}/tests/bench/udpecho") if cls is peers.Echo else cls(
            world, args.threads)
        why = server.available()
        if args.workload not in server.can:
            why = f"cannot do '{args.workload}'"
        if why:
            print(f"{name}: left out: {why}", file=sys.stderr)
        else:
            chosen.append(server)
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--workload", default="static,geo,app", help="static, geo, app (geography, then weights)")
    parser.add_argument("--servers", help="names, separated by commas; default: all that can")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=20000, help="q/s of the latency run; 0: none")
    parser.add_argument("--prefixes", type=int, default=1000, help="client networks in the map")
    parser.add_argument("--threads", type=int, help="of each server; default: one per CPU")
    parser.add_argument("--sockets", type=int, default=16)
    # More in flight than a default receive buffer holds (about 270 small packets) would be lost, and the load tool
    # would measure its own waiting for them.
    parser.add_argument("--window", type=int, default=8, help="queries in flight on each socket")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--json", metavar="FILE", help="every single figure")
    parser.add_argument("--check", action="store_true", help="start each, ask it once, measure nothing")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    output = {"machine": machine(), "arguments": vars(args), "workloads": {}}
    print(f"{output['machine']['cpus']} x {output['machine']['cpu']}, Linux {output['machine']['kernel']}")

    for workload in args.workload.split(","):
        args.workload = workload
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            world = peers.World(directory, args.prefixes)
            if workload not in world.query_files:
                sys.exit(f"run.py: no workload '{workload}'; there are: {', '.join(world.query_files)}")
            servers = choose(args, world)
            if args.check:
                for server in servers:
                    started = time.monotonic()
                    with server:
                        print(f"{workload}: {server.name}: right after {time.monotonic() - started:.1f} s, "
                              f"{len(server.pids())} processes")
                continue
            runs = {server.name: [] for server in servers}
            for number in range(args.rounds):
                turn = number % len(servers)
                for server in servers[turn:] + servers[:turn]:
                    runs[server.name].append(measure(args, server, world.query_files[workload]))
        results = {name: {"summary": summarize(r), "runs": r} for name, r in runs.items()}
        output["workloads"][workload] = results
        print(f"\n{workload}: {args.rounds} rounds of {args.seconds:g} s, median (lowest-highest); "
              f"latency at {args.rate} q/s\n{table(results)}", flush=True)
    output["arguments"].pop("workload")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(output, f, indent=1)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except peers.PeerError as e:
        sys.exit(f"run.py: {e}")
