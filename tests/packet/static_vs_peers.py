#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Serves example.zone by this project, Knot and NSD on loopback ports, and asks all three the same 1,000 queries.

A query passes if our answer is that of both peers, or if each difference falls under one of RULES below; differences.md
says for every rule which RFC decides. Queries are seeded: the same number means the same queries.

  static_vs_peers.py --binary build/tests/packet/answer_server     starts our test server too
  static_vs_peers.py --server PORT                                  asks one that runs already (UDP and TCP, 127.0.0.1)
"""
import argparse, collections, os, random, shutil, socket, struct, subprocess, sys, tempfile, time
import dns.edns, dns.exception, dns.flags, dns.message, dns.name, dns.opcode, dns.rcode, dns.rdataclass, dns.rdatatype

HERE = os.path.dirname(os.path.abspath(__file__))
ZONE = os.path.join(HERE, "example.zone")
ORIGIN = "example.test."
SEED, WELL_FORMED, HOSTILE = 20260101, 800, 200
TYPES = ["A", "AAAA", "NS", "SOA", "CNAME", "MX", "TXT", "SRV", "PTR", "DS", "DNAME", "CAA", "HTTPS", "SVCB", "LOC", "NAPTR",
         "TLSA", "APL", "CERT", "RP", "AFSDB", "URI", "HINFO", "SSHFP", "EUI48", "TYPE65400", "TYPE65401", "ANY"]


def free_port():
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as t, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
            t.bind(("127.0.0.1", 0))
            try:
                u.bind(t.getsockname())
            except OSError:
                continue
            return t.getsockname()[1]


class Server:
    def __init__(self, name, port, argv=None, cwd=None):
        self.name, self.port, self.proc = name, port, None
        if argv:
            self.log = open(os.path.join(cwd, name + ".log"), "w")
            self.proc = subprocess.Popen(argv, cwd=cwd, stdout=self.log, stderr=subprocess.STDOUT)

    def wait(self):
        query = dns.message.make_query(ORIGIN, "SOA").to_wire()
        for _ in range(200):
            if self.proc and self.proc.poll() is not None:
                break
            reply = ask(self.port, query, False, 0.2)
            if reply and len(reply) > 12 and reply[3] & 15 == 0 and reply[7]:
                return
            time.sleep(0.05)
        sys.exit("%s does not answer on port %d" % (self.name, self.port))

    def stop(self):
        if self.proc:
            self.proc.terminate()
            try:
                self.proc.wait(5)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()


def start_knot(tmp):
    port, path = free_port(), os.path.join(tmp, "knot")
    os.mkdir(path)
    with open(os.path.join(path, "knot.conf"), "w") as f:
        f.write("""server:
    rundir: "%s"
    listen: 127.0.0.1@%d
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "%s"
zone:
  - domain: %s
    file: "%s"
    storage: "%s"
    zonefile-sync: -1
    journal-content: none
    semantic-checks: off
""" % (path, port, path, ORIGIN, ZONE, path))
    return Server("knot", port, [shutil.which("knotd", path="/usr/sbin:/usr/bin:/sbin"), "-c", path + "/knot.conf"], path)


def start_nsd(tmp):
    port, path = free_port(), os.path.join(tmp, "nsd")
    os.mkdir(path)
    with open(os.path.join(path, "nsd.conf"), "w") as f:
        f.write("""server:
    ip-address: 127.0.0.1
    port: %d
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "%s"
    database: ""
    pidfile: "%s/nsd.pid"
    xfrdfile: "%s/xfrd.state"
    xfrdir: "%s"
    zonelistfile: "%s/zone.list"
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: %s
    zonefile: "%s"
""" % (port, path, path, path, path, path, ORIGIN, ZONE))
    return Server("nsd", port, [shutil.which("nsd", path="/usr/sbin:/usr/bin:/sbin"), "-d", "-c", path + "/nsd.conf"], path)


def ask(port, wire, tcp, timeout=1.5):
    """The reply's bytes; b"" if the connection was closed, None if nothing came."""
    try:
        if not tcp:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(timeout)
                s.connect(("127.0.0.1", port))
                s.send(wire)
                return s.recv(65535)
        with socket.create_connection(("127.0.0.1", port), timeout) as s:
            s.sendall(struct.pack("!H", len(wire)) + wire)
            data = b""
            while len(data) < 2 or len(data) < 2 + struct.unpack("!H", data[:2])[0]:
                part = s.recv(65536)
                if not part:
                    return b""
                data += part
            return data[2:]
    except (socket.timeout, ConnectionError):
        return None


# --- queries -----------------------------------------------------------------------------------------------------------

def zone_names():
    names, origin = {"example.test."}, ORIGIN
    for line in open(ZONE):
        word = line.split()
        if line.startswith("$ORIGIN"):
            origin = word[1]
        elif word and line[0] not in " ;$@\n":
            names.add(word[0] + "." + origin)
    return sorted(names)


def random_name(r, names):
    name = r.choice(names)
    kind = r.random()
    if kind < 0.45:
        pass
    elif kind < 0.70:
        name = ".".join(r.choice(["x", "a", "b", "*", "www", "ns", "1", "_tcp", "ghost", "long" * 12]) for _ in range(r.randint(1, 3))) + "." + name
    elif kind < 0.85:
        name = name.split(".", 1)[1] or "."
    elif kind < 0.95:
        name = r.choice(["nothing.", "wildx.", "a.b.", "www.wild.", "ent2."]) + ORIGIN
    else:
        name = r.choice([".", "test.", "other.test.", "xexample.test.", "example.org.", "com."])
    try:
        dns.name.from_text(name)
    except dns.exception.DNSException:
        return ORIGIN
    return "".join(c.upper() if r.random() < 0.3 and not c == "\\" else c for c in name)


def well_formed(r, names):
    name = random_name(r, names)
    rdtype = r.choice(["A", "A", "A", "AAAA", "MX", "TXT", "NS", "DS", "ANY", "CNAME"] + TYPES)
    if r.random() < 0.25:
        name = r.choice(["types.", "https.", "_srv._tcp.", "many.", "lots."]) + ORIGIN
        rdtype = r.choice(TYPES)
    query = dns.message.make_query(name, rdtype)
    query.flags = dns.flags.RD if r.random() < 0.5 else 0
    if r.random() < 0.6:
        query.use_edns(0, dns.flags.DO if r.random() < 0.3 else 0, r.choice([512, 1232, 1232, 4096]))
    query.id = r.randrange(65536)
    return query.to_wire(), r.random() < 0.25, "%s %s" % (name, rdtype)


def header(r, flags=0, qd=1, an=0, ns=0, ar=0):
    return struct.pack("!6H", r.randrange(65536), flags, qd, an, ns, ar)


def hostile(r):
    qname = dns.name.from_text("www." + ORIGIN).to_wire()
    question = qname + b"\0\1\0\1"
    opt = lambda rdata=b"", version=0, owner=b"\0", size=1232: (
        owner + struct.pack("!HHBBHH", 41, size, 0, version, 0, len(rdata)) + rdata)
    option = lambda code, data: struct.pack("!HH", code, len(data)) + data
    cases = [
        ("short", lambda: bytes(r.randrange(256) for _ in range(r.randrange(1, 12)))),
        ("response", lambda: header(r, 0x8000) + question),
        ("opcode", lambda: header(r, r.choice([1, 2, 3, 6, 7, 15]) << 11) + question),
        ("qdcount 0", lambda: header(r, 0, 0)),
        ("qdcount 2", lambda: header(r, 0, 2) + question * 2),
        ("qname cut", lambda: header(r) + qname[:r.randrange(1, len(qname))]),
        ("no class", lambda: header(r) + qname + b"\0\1"),
        ("pointer qname", lambda: header(r) + b"\xc0\x0c\0\1\0\1"),
        ("pointer inside", lambda: header(r) + b"\3www\xc0\x0c\0\1\0\1"),
        ("label type", lambda: header(r) + b"\x41abc\0\0\1\0\1"),
        ("long name", lambda: header(r) + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1"),
        ("longest name", lambda: header(r) + (b"\x3f" + b"a" * 63) * 3 + b"\x2e" + b"b" * 46 + b"\7example\4test\0\0\1\0\1"),
        ("many labels", lambda: header(r) + b"\1a" * 115 + b"\7example\4test\0\0\1\0\1"),
        ("binary label", lambda: header(r) + b"\4\0\xff.\\" + b"\7example\4test\0\0\1\0\1"),
        ("garbage behind", lambda: header(r) + question + b"garbage"),
        ("arcount lies", lambda: header(r, ar=1) + question),
        ("arcount huge", lambda: header(r, ar=65535) + question + opt()),
        ("answer in query", lambda: header(r, an=1) + question + b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\1\2\3\4"),
        ("authority in query", lambda: header(r, ns=1) + question + b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\1\2\3\4"),
        ("edns version", lambda: header(r, ar=1) + question + opt(version=r.randrange(1, 256))),
        ("two opt", lambda: header(r, ar=2) + question + opt() + opt()),
        ("opt owner", lambda: header(r, ar=1) + question + opt(owner=b"\1a\0")),
        ("option overruns", lambda: header(r, ar=1) + question + opt(b"\0\3\0\x20ab")),
        ("option cut", lambda: header(r, ar=1) + question + opt(b"\0\3\0")),
        ("unknown option", lambda: header(r, ar=1) + question + opt(option(65001, b"hello"))),
        ("tiny edns size", lambda: header(r, ar=1) + question + opt(size=r.randrange(0, 512))),
        ("class", lambda: header(r) + qname + struct.pack("!HH", 1, r.choice([2, 4, 254, 17, 65535]))),
        ("class any", lambda: header(r) + qname + b"\0\1\0\xff"),
        ("qtype meta", lambda: header(r) + qname + struct.pack("!HH", r.choice([0, 41, 249, 250]), 1)),
        ("qtype 128-248", lambda: header(r) + qname + struct.pack("!HH", r.randrange(128, 249), 1)),
        ("maila mailb", lambda: header(r) + qname + struct.pack("!HH", r.choice([253, 254]), 1)),
        ("transfer", lambda: header(r) + b"\7example\4test\0" + struct.pack("!HH", 252, 1)),
        ("flags", lambda: header(r, r.randrange(0x10000) & 0x07ff) + question),
        ("ad cd z", lambda: header(r, r.choice([0x20, 0x10, 0x40, 0x70])) + question),
    ]
    name, make = r.choice(cases)
    return make(), r.random() < 0.2, "hostile: " + name


# --- comparing -----------------------------------------------------------------------------------------------------------

Reply = collections.namedtuple("Reply", "rcode aa tc rd answer authority additional edns qd")


def normal(section):
    out = set()
    for rrset in section:
        for rd in rrset:
            out.add((rrset.name.canonicalize().to_text(), dns.rdatatype.to_text(rrset.rdtype),
                     dns.rdataclass.to_text(rrset.rdclass), rrset.ttl, rd.to_digestable(dns.name.root)))
    return frozenset(out)


def decode(wire):
    if not wire:
        return None
    if len(wire) == 12:
        flags = struct.unpack("!H", wire[2:4])[0]
        return Reply(flags & 15, bool(flags & 0x400), bool(flags & 0x200), bool(flags & 0x100), *[frozenset()] * 3, False, 0)
    wire = wire[:2] + bytes([wire[2] & 0x87]) + wire[3:]  # dnspython refuses opcodes it does not know
    m = dns.message.from_wire(wire, ignore_trailing=False, one_rr_per_rrset=False)
    return Reply(int(m.rcode()), bool(m.flags & dns.flags.AA), bool(m.flags & dns.flags.TC), bool(m.flags & dns.flags.RD),
                 normal(m.answer), normal(m.authority), normal(m.additional), m.edns >= 0, len(m.question))


def types(section):
    return {r[1] for r in section}


def differences(us, peer):
    """Names of what differs; of a truncated answer the sections do not count (RFC 2181 9)."""
    if us is None or peer is None:
        return {"silence"} if us is not peer else set()
    found = {f for f in ("rcode", "aa", "tc", "rd", "edns", "qd") if getattr(us, f) != getattr(peer, f)}
    if not (us.tc or peer.tc):
        found |= {f for f in ("answer", "authority", "additional") if getattr(us, f) != getattr(peer, f)}
    return found


from static_rules import RULES  # noqa: E402


def explain(what, us, peer, name, found):
    """The differences no rule covers, and the rules used."""
    used = []
    for rule in RULES:
        if rule.peer in (name, "any") and found & rule.covers and rule.applies(what, us, peer):
            found = found - rule.covers
            used.append(rule.name)
    return found, used


def describe(reply):
    if reply is None:
        return "silence"
    sections = ["%s: %s" % (f, sorted((r[0], r[1], r[3]) for r in getattr(reply, f))) for f in ("answer", "authority", "additional")]
    return "%s len(an)=%d aa=%d tc=%d rd=%d edns=%d qd=%d %s" % (dns.rcode.to_text(reply.rcode), len(reply.answer), reply.aa, reply.tc, reply.rd, reply.edns,
                                               reply.qd, "; ".join(sections))


def compare(servers, wire, tcp, what, used):
    replies = {}
    for s in servers:
        timeout = 0.4 if what.startswith("hostile") else 2
        reply = ask(s.port, wire, tcp, timeout)
        try:
            replies[s.name] = decode(reply)
        except (dns.exception.DNSException, struct.error) as e:
            if s.name == "us":
                print("FAIL %s: our answer cannot be read: %r" % (what, e))
                return False
            replies[s.name] = None
        if s.name == "us" and reply and (reply[:2] != wire[:2] or (reply[2] ^ wire[2]) & 0xf9 != 0x80):
            print("FAIL %s: id, QR, opcode or RD" % what)
            return False
    good = True
    for peer in servers[1:]:
        found = differences(replies["us"], replies[peer.name])
        left, rules = explain(what, replies["us"], replies[peer.name], peer.name, found)
        used.update((peer.name, r) for r in rules)
        if left:
            good = False
            print("FAIL %s%s [%s] differs from %s in %s" % (what, " over TCP" if tcp else "", wire.hex(), peer.name, ", ".join(sorted(left))))
            print("     us:   " + describe(replies["us"]))
            print("     peer: " + describe(replies[peer.name]))
    return good


def main():
    parser = argparse.ArgumentParser()
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--binary", help="answer_server to start")
    group.add_argument("--server", type=int, help="port of a server that runs already")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    r = random.Random(args.seed)
    tmp = tempfile.mkdtemp(prefix="static_vs_peers.")
    servers, passed, failed, used = [], 0, 0, collections.Counter()
    try:
        if args.server:
            servers.append(Server("us", args.server))
        else:
            port = free_port()
            servers.append(Server("us", port, [os.path.abspath(args.binary), str(port), ORIGIN + "=" + ZONE], tmp))
        servers += [start_knot(tmp), start_nsd(tmp)]
        for s in servers:
            s.wait()
        names = zone_names()
        for i in range(WELL_FORMED + HOSTILE):
            good = compare(servers, *(well_formed(r, names) if i < WELL_FORMED else hostile(r)), used)
            passed, failed = passed + good, failed + (not good)
    finally:
        for s in servers:
            s.stop()
        shutil.rmtree(tmp, ignore_errors=True)
    for (peer, rule), n in sorted(used.items()):
        print("difference accepted: %-5s %-28s %d times" % (peer, rule, n))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
