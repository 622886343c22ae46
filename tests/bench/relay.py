#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Transferred connections beside direct ones and beside HAProxy and nginx as proxies, over the same links in one run.

    tests/bench/relay.py [--build DIR] [--sizes 1k,64k,1m,10m] [--modes keep,close] [--spreads one,four-stay,four,four-once]
                         [--settings links,cores,shared] [--rounds 5] [--seconds 0.7] [--connections 32] [--patience 50] [--quick]
                         [--json FILE]

A client behind a router, four nodes with unmodified nginx on a LAN, and on that LAN the balancer and a host with the
proxies. `one`: all files asked for are one node's. `four`: files are on two of the four nodes each, as the content plan keeps
them, and each request is for any of them: every second moves a kept connection. `four-once`: each file is on one node, and three
of four requests move. Who asks the nodes directly has a connection to each in each client, and knows where everything is
(askers.c). `four-stay`: each client asks one node only, whatever the way (as in `one`, with wrk).

Settings. `shared`: all that anybody does is done by the same cores and taken from the servers, which a machine of its own would
not do. `cores`: clients and servers have one core, the network and who is in the middle another (relay_cores.py).
`links`: links of 500 Mbit/s at every node and at the proxies (files of 64 KB and more), so that servers have a link to fill,
as they do where it matters that answers do not pass the one in the middle.

In every round each way is measured once per case, in an order that turns; medians over the rounds. "by direct" is the
median of the rounds' ratios, "by proxy" is to the better of the two. All share the machine with whatever else it
has to do. Where that is much, the report says so: then p99 says nothing, and instead of requests/s believe
"by CPU", what requests/s would be by direct if only CPU time counted; goals do.

CPU per request: the scheduler's time of all processes of the site, client and servers included, and of the softirq
threads; packets between namespaces are processed in the time of whoever sends them, so it is the whole cost. Beside it,
as a check, the busy time of the whole machine; what it has more is others'. A run with too much of that is made again.
Of both the lowest of the rounds: who disturbs can only add to them. In `cores` it is always the machine's, as
what is done while a core sleeps is in nobody's time.
In the middle: CPU per request of who is in the middle alone, where that can be told (`cores`): a proxy's process, the balancer's
with the threads that its packets pass.
Through: bytes in and out of the one in the middle by bytes the clients have read.
New connections: connect, ask for 1 KB, read it: one after the other, each way in turn, so that they see the same machine.
Either the client has a core of its own, so that with every packet one that sleeps has to be woken, or there is one core for all:
left to the scheduler it would be now this, now that. Also where nodes do not listen with TCP_DEFER_ACCEPT: who asks directly then has his connection accepted while he writes his request.
"""
import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import relay_site  # noqa: E402
import run  # noqa: E402
from relay_cores import Cores, KernelThreads  # noqa: E402
from relay_site import NODES, PLAINLY, SIZES, path  # noqa: E402

WAYS = ("direct", "transferred", "haproxy", "nginx")
SETTINGS = ("links", "cores", "shared")
MBITS = 500  # of links where they are what is filled
KEYS = ("rps", "cpu_us", "machine_us", "middle_us", "p50_us", "p99_us", "through", "others")

OTHERS = 0.25  # CPUs that others may use while we measure


# ---- one run ----

def clients(site, way, spread, size, mode, connections):
    """Commands for load()."""
    close, count = mode == "close", 1 if spread == "one" else NODES
    if spread in ("four", "four-once"):
        return [site.askers(way, size, 2 if spread == "four" else 1, close, connections // NODES)] * NODES
    return [site.wrk(way, i, path(i, size), close, connections // count) for i in range(count)]


def once(site, clock, cores, way, case, args):
    spread, size, mode = case
    wrks = clients(site, way, spread, size, mode, args.connections)
    own, machine, middle, through = clock.own_us(), clock.machine_us(), cores.middle_us(way), site.middle_bytes(way)
    begin = time.monotonic()
    got = site.load(wrks, args.seconds)
    time.sleep(0.03)
    own, machine, middle = clock.own_us() - own + got["cpu_us"], clock.machine_us() - machine, cores.middle_us(way) - middle
    if cores.threads:
        own = machine
    # Of files so large a part that was read counts as that part of a request: many are under way when the run ends.
    count = max(got["bytes"] / SIZES[size] if SIZES[size] >= SIZES["1m"] else got["requests"], 1)
    return {"requests": count, "rps": count / got["seconds"], "p50_us": got["p50_us"], "p99_us": got["p99_us"], "cpu_us": own / count,
            "machine_us": machine / count, "middle_us": middle / count, "others": max(machine - own, 0) / (time.monotonic() - begin) / 1e6,
            "through": (site.middle_bytes(way) - through) / max(got["bytes"], 1), "bad": got["bad"]}


class Patience:
    """Measures again, as long as there are seconds left for that, when others were using the machine meanwhile."""

    def __init__(self, seconds):
        self.left = seconds

    def calm(self, one):
        best = one()
        while best["others"] > OTHERS and self.left > 0:
            begin = time.monotonic()
            time.sleep(0.5)
            best = min(best, one(), key=lambda x: x["others"])
            self.left -= time.monotonic() - begin
        return best


def cases(args, setting):
    """A new connection for each request never moves."""
    return [(spread, size, mode) for mode in args.modes.split(",") for spread in args.spreads.split(",") for size in args.sizes.split(",")
            if (mode == "keep" or spread in ("one", "four")) and (setting != "links" or SIZES[size] >= SIZES["64k"])]


def measure(site, clock, cores, args, setting):
    site.limit(MBITS if setting == "links" else 0)
    (cores.separate if setting == "cores" else cores.share)()
    runs = {case: {way: [] for way in WAYS} for case in cases(args, setting)}
    patience = Patience(args.patience)
    for r in range(args.rounds):
        for case, ways in runs.items():
            for way in WAYS[r % len(WAYS):] + WAYS[:r % len(WAYS)]:
                ways[way].append(patience.calm(lambda w=way, c=case: once(site, clock, cores, w, c, args)))
        print(f"# {setting}, round {r + 1} of {args.rounds}, {max(patience.left, 0):.0f} s of patience left", file=sys.stderr, flush=True)
    results = []
    for (spread, size, mode), ways in runs.items():
        for way, all_runs in ways.items():
            result = {"spread": spread, "size": size, "mode": mode, "setting": setting, "way": way, "runs": all_runs}
            calm = [x for x in all_runs if x["others"] <= OTHERS] or all_runs
            result.update({k: statistics.median(x[k] for x in calm) for k in KEYS})
            result["cpu_us"], result["machine_us"] = (min(x[k] for x in all_runs) for k in ("cpu_us", "machine_us"))
            result["by_direct"] = statistics.median(x["rps"] / d["rps"] for x, d in zip(all_runs, ways["direct"]))
            result["bad"] = next((x["bad"] for x in all_runs if x["bad"]), "")
            results.append(result)
    return results


# ---- new connections, one after the other ----

def ask(sock, request):
    sock.sendall(request)
    have, want = b"", None
    while want is None or len(have) < want:
        got = sock.recv(65536)
        if not got:
            raise OSError("closed early")
        have += got
        if want is None and b"\r\n\r\n" in have:
            want = have.index(b"\r\n\r\n") + 4 + int(re.search(rb"content-length: *(\d+)", have, re.I).group(1))


def probe(job):
    """In the client's namespace: microseconds of each way, new connections and requests on kept ones."""
    request = {way: f"GET {job['path']} HTTP/1.1\r\nHost: {host}\r\n".encode() for way, host in job["hosts"].items()}
    seen = {way: {"new": [], "kept": []} for way in job["targets"]}
    kept = {way: socket.create_connection(tuple(t), 5) for way, t in job["targets"].items()}
    order = list(job["targets"])
    for i in range(job["times"]):
        for way in order:
            begin = time.perf_counter_ns()
            with socket.create_connection(tuple(job["targets"][way]), 5) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                ask(sock, request[way] + b"Connection: close\r\n\r\n")
                seen[way]["new"].append((time.perf_counter_ns() - begin) / 1000)
            begin = time.perf_counter_ns()
            ask(kept[way], request[way] + b"\r\n")
            seen[way]["kept"].append((time.perf_counter_ns() - begin) / 1000)
        order = order[1:] + order[:1]
    json.dump({way: {f"{kind}_p{share}": statistics.quantiles(t[20:], n=100)[share - 1] for kind, t in times.items() for share in (50, 99)}
               for way, times in seen.items()}, sys.stdout)


def connection_times(site, cores, times):
    hosts = {w: relay_site.relay_farm.HOST for w in WAYS} | {w + PLAINLY: relay_site.PLAIN_HOST for w in ("direct", "transferred")}
    job = {"path": path(0, "1k"), "hosts": hosts, "times": times, "targets": {w: site.target(w) for w in hosts}}
    found = {}
    for place, arrange in (("client apart", cores.client_apart), ("one core", cores.one)):
        arrange()
        found[place] = json.loads(site.client.run(sys.executable, os.path.abspath(__file__), "--probe", json.dumps(job)))
    cores.share()
    return found


# ---- packet programs ----

def programs(site, args):
    """In real traffic: ns per packet, packets per request."""
    found = []
    with relay_site.Programs(site) as counted:
        for spread, size, mode in (("one", "1k", "keep"), ("one", "1k", "close"), ("four-once", "1k", "keep"), ("one", "1m", "keep")):
            before = counted.read()
            got = site.load(clients(site, "transferred", spread, size, mode, args.connections), args.seconds)
            after = counted.read()
            row = {"spread": spread, "size": size, "mode": mode}
            for kind in after:
                runs, ns = (after[kind][i] - before[kind][i] for i in range(2))
                row[kind] = {"ns": ns / max(runs, 1), "packets": runs / max(got["requests"], 1)}
            found.append(row)
    return found


def test_runs(args):
    """What relay_ns says: {"IPv4 what": ns}"""
    text = subprocess.run([os.path.join(args.build, "tests/bench/relay_ns"), "300000" if args.quick else "1000000"], capture_output=True,
                          text=True, check=False).stdout
    return {f"{m[0]} {m[1]}": int(m[2]) for m in re.findall(r"^(IPv\d)\s+(.*?)\s+(\d+) ns", text, re.M)}


# ---- report ----

def find(results, **what):
    return next((r for r in results if all(r[k] == v for k, v in what.items())), None)


def case_of(r):
    return r["spread"], r["size"], r["mode"], r["setting"]


def case_name(r):
    return f"{r['size']} {r['mode']}, {r['spread']}, {r['setting']}"


def goals(report):
    """(what, goal, measured, met) of the goals that what was measured can tell of."""
    out, results = [], report["results"]
    for case in sorted({case_of(r) for r in results}, key=str):
        ways = {r["way"]: r for r in results if case_of(r) == case}
        name = case_name(ways["direct"])
        if SIZES[case[1]] >= SIZES["64k"]:
            ratio, cpu = ways["transferred"]["by_direct"], ways["direct"]["cpu_us"] / ways["transferred"]["cpu_us"]
            if case[3] != "shared":
                out.append((f"requests/s by direct, {name}", ">= 0.95", f"{ratio:.2f}", ratio >= 0.95))
            else:
                out.append((f"requests/s by direct, {name}", ">= 0.95", f"{ratio:.2f} (by CPU {cpu:.2f})",
                            (cpu if max(w["others"] for w in ways.values()) > OTHERS else ratio) >= 0.95))
        if case[:3] == ("one", "1k", "keep") and case[3] != "links":
            key, what = ("middle_us", "CPU in the middle") if case[3] == "cores" else ("cpu_us", "CPU of all")
            ratio = ways["transferred"][key] / min(ways[w][key] for w in ("haproxy", "nginx"))
            out.append((f"{what} by the better proxy's, {name}", "<= 0.50", f"{ratio:.2f}", ratio <= 0.5))
        if case[1] == "1m":
            share = ways["transferred"]["through"]
            out.append((f"bytes through the balancer, {name}", "< 1 %", f"{share:.2%}", share < 0.01))
    for place, times in report["connections"].items():
        for where in ("", PLAINLY):
            added = times["transferred" + where]["new_p50"] - times["direct" + where]["new_p50"]
            out.append((f"added p50 per new connection, {place}{where}", "< 15 us", f"{added:.1f} us", added < 15))
    for family in ("IPv4", "IPv6"):
        ns = report["test_runs"].get(f"{family} plain: flow known")
        if ns is not None:
            out.append((f"plain relay, flow known, {family}", "< 100 ns", f"{ns} ns", ns < 100))
    return out


def table(rows, left=1):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip() for row in rows)


def show(report):
    rows = [["case", "way", "requests/s", "by direct", "CPU us/req", "added", "by proxy", "(machine)", "in the middle", "p50 us", "p99 us", "through"]]
    for r in report["results"]:
        case = {k: r[k] for k in ("spread", "size", "mode", "setting")}
        ways = {w: find(report["results"], way=w, **case) for w in WAYS}
        best = min(ways[w]["cpu_us"] for w in ("haproxy", "nginx"))
        rows.append([case_name(r) if r["way"] == "direct" else "", r["way"], f"{r['rps']:,.0f}",
                     f"{r['by_direct']:.2f}", f"{r['cpu_us']:.1f}", f"{r['cpu_us'] - ways['direct']['cpu_us']:.1f}",
                     f"{r['cpu_us'] / best:.2f}", f"{r['machine_us']:.1f}",
                     f"{r['middle_us']:.2f}" if r["setting"] == "cores" and r["way"] != "direct" else "-", f"{r['p50_us']:,.0f}", f"{r['p99_us']:,.0f}",
                     f"{r['through']:.2%}" if r["way"] != "direct" else "-"])
        if r["bad"]:
            rows[-1][1] += " ! " + r["bad"]
    print(table(rows, 2))
    rows = [["one after the other", "new connection p50 us", "p99 us", "kept p50 us", "p99 us"]]
    rows += [[f"{place}: {way}", *(f"{c[k]:.1f}" for k in ("new_p50", "new_p99", "kept_p50", "kept_p99"))]
             for place, ways in report["connections"].items() for way, c in ways.items()]
    print("\n" + table(rows))
    rows = [["packet programs in this traffic", "balancer ns/packet", "packets/request", "node ns/packet", "packets/request"]]
    for p in report["programs"]:
        rows.append([f"{p['size']} {p['mode']}, {p['spread']}", *(f"{p[k][v]:.{d}f}" for k in ("balancer", "node")
                                                                 for v, d in (("ns", 0), ("packets", 1)))])
    print("\n" + table(rows))
    print("\n" + table([["packet program alone (bpf_prog_test_run)", "ns"]] + [[k, str(v)] for k, v in report["test_runs"].items()]))
    busy = max(r["others"] for r in report["results"])
    if busy > OTHERS:
        print(f"\nothers used the machine meanwhile, up to {busy:.1f} of its {report['machine']['cpus']} CPUs: do not believe requests/s")
    rows = [["goal", "", "measured", ""]] + [[g["what"], g["goal"], g["measured"], "met" if g["met"] else "NOT MET"] for g in report["goals"]]
    print("\n" + table(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(relay_site.ROOT, "build-bench"))
    parser.add_argument("--sizes", default="1k,64k,1m,10m")
    parser.add_argument("--modes", default="keep,close")
    parser.add_argument("--spreads", default="one,four-stay,four,four-once")
    parser.add_argument("--settings", default=",".join(SETTINGS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.7)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--patience", type=float, default=50, help="seconds for runs made again because others used the machine")
    parser.add_argument("--quick", action="store_true", help="1 KB and 1 MB, one short round: to see that it works")
    parser.add_argument("--json", help="every single figure into that file")
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.probe:
        return probe(json.loads(args.probe))
    if args.quick:
        args.sizes, args.settings, args.rounds, args.seconds, args.patience = "1k,1m", "cores,shared", 1, 0.4, 5
    args.build = os.path.abspath(args.build)
    why = relay_site.impossible()
    if why:
        print("relay.py: left out: " + why, file=sys.stderr)
        return 0
    KernelThreads.leave_child()
    relay_site.relay_farm.alone()
    kernel = KernelThreads()
    report = {"machine": run.machine(), "command": sys.argv}
    site = relay_site.Site(args.build)
    try:
        clock, cores = relay_site.Clock(kernel), Cores(site, kernel)
        report["results"] = [r for setting in args.settings.split(",") for r in measure(site, clock, cores, args, setting)]
        report["connections"] = connection_times(site, cores, 400 if args.quick else 3000)
        report["programs"] = programs(site, args)
    finally:
        site.close()
    report["test_runs"] = test_runs(args)
    report["goals"] = [dict(zip(("what", "goal", "measured", "met"), g)) for g in goals(report)]
    show(report)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(report, f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
