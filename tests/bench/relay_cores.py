# SPDX-License-Identifier: Apache-2.0
"""A site on two cores that does not take the network's and the middle's work from the servers: clients and servers have one
core, everything between them the other, whichever way is measured. Packets go from one to the other by receive packet
steering (RPS), as from a network card's interrupt; what the balancer's packet programs do is done by a thread (threaded NAPI)
and so has a clock.
"""
import glob
import json
import os

import relay_lab
from cpu import family, ran_ns

VARIABLE = "PM_KERNEL_THREADS"


def kernel_threads():
    """{process id: name} of those that packets are handled in."""
    found = {}
    for file in glob.glob("/proc/[0-9]*/comm"):
        try:
            with open(file, encoding="ascii", errors="replace") as f:
                name = f.read().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name.startswith(("ksoftirqd/", "napi/")):
            found[int(file.split("/")[2])] = name
    return found


def serve(asked, answers):
    """The child's part: one request a line, one answer a line, until the other end is closed."""
    for line in asked:
        what, *args = json.loads(line)
        if what == "find":
            answer = kernel_threads()
        elif what == "ran":
            answer = ran_ns(args or kernel_threads())
        else:
            os.sched_setaffinity(args[0], args[1:])
            answer = True
        print(json.dumps(answer), file=answers, flush=True)


class KernelThreads:
    """Kernel threads as a child sees them that has been left where the machine's processes are seen: a program that is alone()
    does not see them itself. The child ends with the program."""

    @staticmethod
    def leave_child():
        """To be called before alone(), which begins the program anew; then it does nothing."""
        if VARIABLE in os.environ:
            return
        (asked, ask), (answer, answers) = os.pipe(), os.pipe()
        if os.fork() == 0:
            os.close(ask)
            os.close(answer)
            with os.fdopen(asked) as lines, os.fdopen(answers, "w") as out:
                serve(lines, out)
            os._exit(0)
        os.close(asked)
        os.close(answers)
        os.set_inheritable(ask, True)
        os.set_inheritable(answer, True)
        os.environ[VARIABLE] = f"{ask} {answer}"

    def __init__(self):
        ask, answer = map(int, os.environ[VARIABLE].split())
        self.ask, self.answer = os.fdopen(ask, "w"), os.fdopen(answer)

    def __call__(self, *request):
        print(json.dumps(request), file=self.ask, flush=True)
        return json.loads(self.answer.readline())

    def find(self):
        return {int(pid): name for pid, name in self("find").items()}

    def ran_us(self, *pids):
        """Of all of them, if none are named."""
        return self("ran", *pids) / 1000

    def pin(self, pid, cpu):
        self("pin", pid, cpu)


class Cores:
    """Gives the site's processes and devices their cores, and takes them back."""

    def __init__(self, site, kernel):
        self.site, self.kernel = site, kernel
        self.all = sorted(os.sched_getaffinity(0))
        self.threads = []  # of the balancer's device and of the port it is at

    def separate(self):
        servers, network = self.all[:2]
        self.processes({servers}, {network})
        self.site.divide(servers, network)
        self.site.lan.steer(self.site.balancer.name, None)  # its thread sees to that
        before = self.kernel.find()
        self.threaded(1)
        self.threads = [pid for pid in self.kernel.find() if pid not in before]
        for pid in self.threads:
            self.kernel.pin(pid, network)

    def client_apart(self):
        self.share()
        client, rest = self.all[:2]
        self.processes({rest}, {rest})
        os.sched_setaffinity(0, {client})

    def one(self):
        self.share()
        self.processes({self.all[0]}, {self.all[0]})

    def share(self):
        self.processes(set(self.all), set(self.all))
        self.site.divide(None, None)
        self.threaded(0)
        self.threads = []

    def processes(self, servers, network):
        """What this program starts from now on, clients, is where the servers are."""
        os.sched_setaffinity(0, servers)
        for host in self.site.hosts.values():
            for pid in relay_lab.sh("ip", "netns", "pids", host.ns).split():
                for task in os.listdir(f"/proc/{pid}/task"):
                    os.sched_setaffinity(int(task), network if host in (self.site.balancer, self.site.proxy) else servers)

    def threaded(self, on):
        for host, device in ((self.site.balancer, "eth0"), (self.site.lan, self.site.balancer.name)):
            host.run("sh", "-c", f"echo {on} > /sys/class/net/{device}/threaded")

    def middle_us(self, way):
        """CPU time of who is in the middle: of its processes, and of what passes on the balancer's packets, to the next host's queue."""
        if way == "direct":
            return 0.0
        own = ran_ns(family(self.site.middle[way].pid)) / 1000
        return own + (self.kernel.ran_us(*self.threads) if way == "transferred" and self.threads else 0)
