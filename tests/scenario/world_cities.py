#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ten cities as far apart as they are: each with a balancer, web servers and a resolver. Every city's resolver comes to the
nearest site, to the next when that dies, and how long that takes at every balancer; events; two continents cut apart.

Usage: world_cities.py [POINTSMAN] (or $POINTSMAN); needs root and namespaces, else it is skipped.
"""
import os
import re
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "../tools"))
import world as w  # noqa: E402
import dns.edns  # noqa: E402
import dns.message  # noqa: E402
from lib import Scenario, wait_until  # noqa: E402

SKIPPED = 77
# The goals are 3 s and 50 ms; the lines say what was measured. A busy machine may add this, and no test fails for it.
BUSY_S, BUSY_MS = 2, 150
AMERICAS = ("dallas", "toronto", "washington", "sao-paulo")


class Asker:
    """A client in one city that asks one balancer again and again, on behalf of a client network, and notes what changes."""

    def __init__(self, world, city, name, client, rdtype="A", every=0.02):
        self.world, self.city, self.name, self.rdtype, self.every = world, city, name, rdtype, every
        self.client, self.seen, self.lost, self.stopping = client, [], 0, False
        with city.inside():
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.settimeout(0.5)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def ask(self):
        ecs = dns.edns.ECSOption(self.client, 32 if "." in self.client else 64)
        q = dns.message.make_query(self.name, self.rdtype, use_edns=0, options=[ecs])
        self.sock.sendto(q.to_wire(), (self.city.balancer[0], 53))
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            r = dns.message.from_wire(self.sock.recv(4096))
            if r.id == q.id:
                return sorted(self.world.site_of(x.to_text()) for rr in r.answer for x in rr)
        return None

    def run(self):
        while not self.stopping:
            now = time.monotonic()
            try:
                got = self.ask()
            except OSError:
                got = None
            if got is None:
                self.lost += 1
            elif not self.seen or self.seen[-1][1] != got:
                self.seen.append((now, got, now))
            elif got:
                self.seen[-1] = (self.seen[-1][0], got, now)
            time.sleep(self.every)

    def last_at(self, site):
        """When it was last sent there."""
        return max([last for _, got, last in self.seen if got == [site]], default=None)

    def first_at(self, site, since):
        return min([first for first, got, _ in self.seen if got == [site] and first >= since], default=None)

    def stop(self):
        self.stopping = True
        self.thread.join()
        self.sock.close()
        return self


def nearest(s, world):
    for rdtype in ("A", "AAAA"):
        for name, sites in (("www.world.test", list(world.cities)), ("few.world.test", [c for c in w.FEW]), ("lat.world.test", list(world.cities))):
            wanted = {c.name: world.by_latency(c.name, sites)[0] for c in world}
            got = {}

            def right():
                got.update({c.name: [world.site_of(a) for a in c.dig(name, rdtype)] for c in world})
                return all(got[c] == [wanted[c]] for c in wanted)

            s.check("%s %s: all ten resolvers are sent to the site with the lowest latency" % (name, rdtype), wait_until(right, 20, 0.5),
                    {c: (got[c], wanted[c], world.pointsman(c, "matrix", name)) for c in wanted if got[c] != [wanted[c]]})


def joined(s, world):
    def links():
        return {c.name: int((re.findall(r'"links":(\d+)', re.sub(r"\s", "", world.pointsman(c, "peers", "--json"))) or [0])[0]) for c in world}
    s.check("every balancer has a link with every other", wait_until(lambda: set(links().values()) == {len(world.cities) - 1}, 30, 0.5), links())


def event(s, world):
    """An operator's word said in Tokyo: when does each balancer act on it?"""
    for where, site in (("tokyo", "frankfurt"), ("dallas", "sydney")):
        askers = {c.name: Asker(world, c, "lat.world.test", world[site].client[0], every=0.004) for c in world}
        time.sleep(1.5)
        said = time.monotonic()
        world.pointsman(where, "disable", site)
        done = time.monotonic()
        time.sleep(1.5)
        after = {n: a.stop() for n, a in askers.items()}
        world.pointsman(where, "enable", site)
        late = {}
        for c in world:
            left = after[c.name].last_at(site)
            late[c.name] = 1000 * (left - done) - world.latency(where, c.name) if left else 1e9
        s.check("a word in %s holds at every balancer within one round trip + 50 ms (said in %.0f ms; over the round trip: %s)" %
                (where, 1000 * (done - said), ", ".join("%s %+.0f" % x for x in sorted(late.items(), key=lambda x: -x[1])[:3])),
                all(v <= 50 + BUSY_MS for v in late.values()), late)
        time.sleep(0.7)


def site_dies(s, world, name, how):
    """Each balancer is asked for clients of the city that dies."""
    askers = {c.name: Asker(world, c, "lat.world.test", world[name].client[0]) for c in world if c.name != name or how == "web"}
    time.sleep(1.5)
    killed = time.monotonic()
    world.kill(name, how)
    following = world.by_latency(name, [c for c in world.cities if c != name])[0]
    wait_until(lambda: all(a.seen and a.seen[-1][1] == [following] for a in askers.values()), 10, 0.05)
    time.sleep(0.5)
    late = {}
    for n, a in askers.items():
        a.stop()
        last = a.last_at(name)
        late[n] = last - killed if last else None
    s.check("%s dies (%s): the next is %s, at every balancer" % (name, how, following), all(a.seen and a.seen[-1][1] == [following] for a in askers.values()),
            {n: a.seen[-2:] for n, a in askers.items() if not a.seen or a.seen[-1][1] != [following]})
    good = [v for v in late.values() if v is not None]
    s.check("%s dies (%s): last wrong answer after %.2f s at worst (median %.2f)" % (name, how, max(good), sorted(good)[len(good) // 2]),
            good and max(good) < 3 + BUSY_S, late)
    world.revive(name, how)
    s.check("%s is back" % name, wait_until(lambda: world_up(world), 20, 0.5), states(world))


def states(world):
    return {c.name: sorted(set(re.findall(r'"site":"([a-z-]+)","health":"(?:down|unknown)"', world.vips(c)))) for c in world}


def world_up(world):
    return not any(states(world).values())


def changes(world, city):
    """How many changes of health a balancer remembers, by site."""
    text = re.sub(r"\s", "", world.pointsman(city, "history", "100000", "--json"))
    found = re.findall(r'"service":"lat.world.test","site":"([a-z-]+)","what":"health"', text)
    return {site: found.count(site) for site in set(found)}


def partition(s, world):
    others = tuple(c for c in world.cities if c not in AMERICAS)
    before = {c.name: changes(world, c) for c in world}
    askers = {c.name: Asker(world, c, "lat.world.test", c.client[0], every=0.05) for c in world}
    world.wan.partition(AMERICAS, others)
    time.sleep(8)
    for half in (AMERICAS, others):
        far = [c for c in world.cities if c not in half]
        s.check("cut off, %s and its half see the others down, themselves up" % half[0],
                wait_until(lambda: all(states(world)[c] == sorted(far) for c in half), 10, 0.5), {c: states(world)[c] for c in half})
        # A client of the other half: whoever is asked answers with what can be reached from here.
        got = {c: [world.site_of(a) for a in world[c].dig("lat.world.test", "A", world[c].balancer[0], "+subnet=" + world[far[0]].client[0])] for c in half}
        s.check("and answer with what they can reach", all(x and x[0] in half for x in got.values()), got)
    world.wan.heal()
    healed = time.monotonic()
    s.check("healed without a restart", wait_until(lambda: world_up(world), 20, 0.3), states(world))
    took = time.monotonic() - healed
    joined(s, world)
    for a in askers.values():
        a.stop()
    s.check("own clients were served from their own city throughout", all(len(a.seen) == 1 and a.lost == 0 for a in askers.values()),
            {n: (a.seen, a.lost) for n, a in askers.items() if len(a.seen) != 1 or a.lost})
    flaps = {}
    for c in world:
        half = AMERICAS if c.name in AMERICAS else others
        now = changes(world, c)
        for site in world.cities:
            n = now.get(site, 0) - before[c.name].get(site, 0)
            vips = 4
            if n > (0 if site in half else 2 * vips):
                flaps[c.name, site] = n
    s.check("nothing flapped: what was cut went down and up once (healed after %.1f s)" % took, not flaps, flaps)


def main():
    why = w.impossible()
    if why:
        print("skipped: " + why)
        sys.exit(SKIPPED)
    w.own_processes()
    binary = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ["POINTSMAN"])
    s = Scenario("world")
    world = w.World(binary, scenario=s)
    world.start()
    s.check("the world is up", not world.ready(40), states(world))
    joined(s, world)
    nearest(s, world)
    event(s, world)
    site_dies(s, world, "tokyo", "web")
    site_dies(s, world, "london", "site")
    partition(s, world)
    for c in world:
        s.check("%s runs on" % c, c.processes["balancer"].running(), c.log("balancer")[-500:])
    world.stop()
    s.finish()


main()
