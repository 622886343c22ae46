#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""surf and content (tests/tools) themselves: whether they see what they are for, with a real nginx, and with servers that
misbehave on purpose or look closely at how surf sends.

Usage: surf_self.py [POINTSMAN] (or $POINTSMAN); surf and content are found in the same build.
"""
import hashlib
import json
import os
import resource
import socket
import struct
import subprocess
import sys
import threading
import time

import lib

BINARY = sys.argv[1] if len(sys.argv) > 1 else os.environ["POINTSMAN"]
TOOLS = os.path.join(os.path.dirname(BINARY), "../../tests/tools")
SURF, CONTENT = os.path.join(TOOLS, "surf"), os.path.join(TOOLS, "content")
s = lib.Scenario("surf_self")
PATHS = ["/a/%d-%d.bin" % (i, (i * 7919 * i) % 60000) for i in range(1, 40)] + ["/a/empty-0.bin", "/b/one-1.bin"]


def content(*args, stdin=None):
    return subprocess.run([CONTENT, *args], input=stdin, stdout=subprocess.PIPE, check=True).stdout


def surf(*args, stdin=None, peak=None, stop_after=None):
    """(exit status, the JSON). peak: a list that gets the most memory it had, in KiB; stop_after: seconds until SIGTERM."""
    out = s.path("surf.out")
    with open(out, "wb") as f:
        process = subprocess.Popen([SURF, *map(str, args)], stdin=subprocess.PIPE, stdout=f, stderr=subprocess.STDOUT)
        process.stdin.write((stdin or "").encode())
        process.stdin.close()
        timer = threading.Timer(stop_after or 30, process.terminate if stop_after else process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    if peak is not None:
        peak.append(usage.ru_maxrss)
    with open(out) as f:
        text = f.read()
    try:
        return process.returncode, json.loads(text)
    except ValueError:
        return process.returncode, {"text": text}


FAULTS = ["bad_reply", "hung", "closed_early", "reset", "connect_failed", "unfinished", "reset_idle", "unclosed", "surplus"]


def faults(got):
    """What is not zero among what should be."""
    out = {k: got[k] for k in FAULTS if got.get(k)}
    if got.get("wrong_status"):
        out["wrong_status"] = got["wrong_status"]
    if got.get("wrong_bytes", {}).get("count"):
        out["wrong_bytes"] = got["wrong_bytes"]["count"]
    return out if "requests" in got else got


def good(what, result, condition=lambda got: True):
    status, got = result
    right = status == 0 and got.get("good") and not faults(got) and condition(got)
    return s.check(what, right, "status %d, %s" % (status, json.dumps(got)))


def bad(what, result, wanted, condition=lambda got: True):
    """Status 1, exactly these faults."""
    status, got = result
    right = status == 1 and not got.get("good") and faults(got) == wanted and condition(got)
    return s.check(what, right, "status %d, wanted %s: %s" % (status, wanted, json.dumps(got)))


# --- nginx ---------------------------------------------------------------------------------------------------------

def nginx(port, port6):
    headers = ("add_header X-Node $server_name always; add_header X-Peer $remote_addr:$remote_port;"
               " add_header X-From $remote_addr;")
    conf = s.write("nginx.conf", f"""worker_processes 1; daemon off; pid {s.dir}/nginx.pid; error_log {s.dir}/nginx.err;
worker_rlimit_nofile 20000; events {{ worker_connections 12000; }}
http {{ access_log off; keepalive_requests 1000000; client_max_body_size 1g; client_body_temp_path {s.dir}/b;
 proxy_temp_path {s.dir}/p; fastcgi_temp_path {s.dir}/f; uwsgi_temp_path {s.dir}/u; scgi_temp_path {s.dir}/s;
 server {{ listen 127.0.0.1:{port} backlog=4096; listen [::1]:{port6}; server_name one; root {s.dir}/www; {headers}
  location /length/ {{ return 200 "$content_length"; }} location /seven/ {{ return 200 "7"; }} }}
 server {{ listen 127.0.0.1:{port}; server_name two; root {s.dir}/two; {headers} }}
}}
""")
    s.start("nginx", ["nginx", "-c", conf])
    return lib.wait_until(lambda: lib.listens(port))


def files():
    s.write("paths", "# a list\n" + "\n".join(PATHS) + "\n")
    content("write", s.path("www"), "-", "/big/1-100000000.bin", *["/w/%d-100000.bin" % i for i in range(5)],
            stdin="\n".join(PATHS).encode())
    content("write", s.path("two"), "/t/1-5000.bin")
    sums = content("sum", *PATHS).decode().split("\n")[:-1]
    read = []
    for path in PATHS:
        with open(s.path("www") + path, "rb") as f:
            body = f.read()
        read.append("%s  %s" % (hashlib.sha256(body).hexdigest(), path) if len(body) == int(path.split("-")[1][:-4]) else path)
    s.equal("content: sizes as the names say, sums as of the files", sums, read)
    s.check("content: different paths, different bytes", len(set(sums)) == len(sums) and len({x[:64] for x in sums}) == len(sums))
    s.equal("content cat: the same bytes", content("cat", PATHS[5]), open(s.path("www") + PATHS[5], "rb").read())


def with_nginx(to, to6):
    total = sum(int(p.split("-")[1][:-4]) for p in PATHS)
    good("each path once", surf(to, "--paths", s.path("paths"), "--count-header", "X-Node"),
         lambda g: g["ok"] == g["connections"] == len(PATHS) and g["bytes"] == total and g["headers"] == {"one": len(PATHS)})
    good("IPv6", surf(to6, PATHS[0]), lambda g: g["ok"] == 1)
    good("kept connections, in order", surf(to, "--paths", s.path("paths"), "-n", 410, "--keep", 41, "-c", 2),
         lambda g: 10 <= g["connections"] <= 11 and g["bytes"] == 10 * total)
    good("pipelined, at random, small segments", surf(to, "--paths", s.path("paths"), "-n", 2000, "-c", 20, "--keep", 50,
         "--pipeline", 8, "--random", 3, "--mss", 536), lambda g: g["ok"] == 2000 and g["connections"] <= 60)
    peak = []
    good("100 MB twice at a time, not stored", surf(to, "/big/1-100000000.bin", "-c", 2, "-n", 2, peak=peak),
         lambda g: g["bytes"] == 200000000 and peak[0] < 40000)
    good("hosts", surf(to, "--paths", "-", "-n", 6, "--count-header", "X-Node", stdin="one %s\ntwo /t/1-5000.bin\n" % PATHS[3]),
         lambda g: g["headers"] == {"one": 3, "two": 3})
    good("--host", surf(to, "--host", "two", "/t/1-5000.bin", "--count-header", "X-Node"), lambda g: g["headers"] == {"two": 1})
    bad("another host's file", surf(to, "--host", "one", "/t/1-5000.bin"), {"wrong_status": {"404": 1}})
    good("a status that is expected", surf(to, "--status", 404, "/missing/1-0.bin", "--post", "0", "--post-expect", "none"))
    for manner in (["--slow", "0.2:9"], ["--split", "20:5"], ["--half-close"], ["--half-close", "--keep", "3"]):
        good("nginx and " + " ".join(manner), surf(to, "--paths", s.path("paths"), "-c", 10, "-n", 120, *manner),
             lambda g: g["ok"] == 120)
    good("POST and GET, length told", surf(to, "--paths", "-", "-n", 100, "-c", 4, "--keep", 10, "--post", "300000", "--post-expect",
         "echo-length", stdin="/length/x\n"), lambda g: g["bytes_sent"] > 30000000)
    bad("POST, another length told", surf(to, "/seven/x", "--post", 10, "--post-expect", "echo-length"), {"wrong_bytes": 1})
    half = surf(to, PATHS[2], "-n", 300, "-c", 4, "--keep", 10, "--post", "10:0.5", "--post-expect", "none")[1]
    s.check("--post with a share: nginx refuses POSTs to files", 100 < half["ok"] < 200
            and half["wrong_status"] == {"405": 300 - half["ok"]}, half)
    good("RSTs are expected", surf(to, "--paths", s.path("paths"), "-n", 500, "-c", 10, "--keep", 5, "--rst", 0.4, "--random", 1),
         lambda g: g["rst_by_us"] > 50 and g["aborted"] > 20 and g["ok"] + g["aborted"] == 500)
    port = lib.free_port()
    good("one source port, again and again", surf(to, PATHS[1], "-n", 200, "--source-port", port, "--count-header", "X-Peer"),
         lambda g: g["headers"] == {"127.0.0.1:%d" % port: 200} and g["connections"] == 200)
    good("addresses and ports", surf(to, PATHS[1], "-n", 100, "-c", 4, "--bind", "127.0.0.20-127.0.0.21", "--source-port",
         "%d-%d" % (port, port + 1), "--count-header", "X-Peer"), lambda g: set(g["headers"]) <= {
             "127.0.0.%d:%d" % (a, p) for a in (20, 21) for p in (port, port + 1)} and len(g["headers"]) == 4)
    good("--bind", surf(to, PATHS[1], "-n", 100, "-c", 10, "--bind", "127.0.0.20-127.0.0.24", "--count-header", "X-From"),
         lambda g: g["headers"] == {"127.0.0.%d" % a: 20 for a in range(20, 25)})
    good("--rate and -t", surf(to, PATHS[1], "-c", 8, "--keep", 1000, "--rate", 200, "-t", 0.5),
         lambda g: 80 <= g["ok"] <= 110 and 0.45 < g["seconds"] < 1 and g["connections"] == 8)
    good("--idle", surf(to, PATHS[1], "-n", 5, "--keep", 5, "--idle", 60), lambda g: g["connections"] == 1 and g["seconds"] > 0.24)
    good("SIGTERM ends it early and well", surf(to, PATHS[1], "-t", 20, "-c", 10, "--keep", 5, "--idle", 15000, stop_after=0.3),
         lambda g: g["ok"] == 10 and g["seconds"] < 2)
    status, got = surf(to, PATHS[1], "-n", 1000, "--keep", 1000, "--idle", 20, "-t", 0.2)
    s.check("less than -n within -t is no success", status == 1 and got["requests"] < 20 and not faults(got), got)


def with_wrong_files(to):
    www = s.path("www")
    with open(www + "/w/1-100000.bin", "r+b") as f:  # one bit
        f.seek(77777)
        byte = f.read(1)[0]
        f.seek(77777)
        f.write(bytes([byte ^ 4]))
    bad("one wrong bit", surf(to, "-n", 20, "--keep", 20, *["/w/%d-100000.bin" % i for i in range(5)]), {"wrong_bytes": 4},
        lambda g: g["ok"] == 16 and g["wrong_bytes"]["path"] == "/w/1-100000.bin" and g["wrong_bytes"]["offset"] == 77777)
    with open(www + "/w/2-100000.bin", "wb") as f:
        f.write(content("cat", "/w/3-100000.bin"))
    bad("another file's bytes, and whose", surf(to, "/w/3-100000.bin", "/w/2-100000.bin"), {"wrong_bytes": 1},
        lambda g: g["wrong_bytes"]["offset"] == 0 and g["wrong_bytes"]["detail"].endswith(": bytes of /w/3-100000.bin"))
    body = content("cat", "/w/4-100000.bin")
    with open(www + "/w/4-100000.bin", "wb") as f:
        f.write(body[:50000] + body[40000:90000])
    bad("a part twice, and which", surf(to, "/w/4-100000.bin"), {"wrong_bytes": 1},
        lambda g: g["wrong_bytes"]["offset"] == 50000 and "this body's offset 40000" in g["wrong_bytes"]["detail"])
    os.truncate(www + "/w/0-100000.bin", 60000)
    bad("a short file", surf(to, "/w/0-100000.bin"), {"wrong_bytes": 1}, lambda g: g["wrong_bytes"]["offset"] == 60000)
    bad("a missing file", surf(to, "/w/5-1.bin", PATHS[0]), {"wrong_status": {"404": 1}}, lambda g: g["ok"] == 1)


def many(to):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = 10000 if hard > 12000 or os.getuid() == 0 else hard // 2
    good("%d connections at a time" % count, surf(to, PATHS[0], "-c", count, "-n", count * 2, "--keep", 2, "--idle", 700, "--bind",
         "127.0.0.30-127.0.0.33", "--timeout", 20), lambda g: g["concurrent_max"] == count and g["connect_us"]["max"] > 0)


# --- servers of our own --------------------------------------------------------------------------------------------

class Peer:
    """The server's end of a connection: reads requests, and remembers in what pieces they came."""

    def __init__(self, sock, address):
        self.sock, self.address, self.have, self.pieces = sock, address, b"", []

    def more(self):
        piece = self.sock.recv(1 << 20)
        self.pieces.append((time.monotonic(), len(piece)))
        self.have += piece
        return piece

    def request(self):
        """(head, body), or None at the end."""
        while b"\r\n\r\n" not in self.have:
            if not self.more():
                return None
        head, self.have = self.have.split(b"\r\n\r\n", 1)
        length = [int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length:")]
        while length and len(self.have) < length[0]:
            if not self.more():
                return None
        body, self.have = (self.have[:length[0]], self.have[length[0]:]) if length else (b"", self.have)
        return head.decode(), body

    def send(self, data):
        self.sock.sendall(data)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def closed(self, seconds=2):
        """Waits for the other side's end: "fin", "reset" or None."""
        self.sock.settimeout(seconds)
        try:
            while self.sock.recv(65536):
                pass
            return "fin"
        except ConnectionResetError:
            return "reset"
        except socket.timeout:
            return None


def against(handler, *args):
    """surf's result when it asks a server that gives each connection to handler(peer)."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        def accept():
            while True:
                try:
                    sock, address = listener.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(sock, address), daemon=True).start()

        def one(sock, address):
            with sock:
                try:
                    handler(Peer(sock, address))
                except OSError:
                    pass
        threading.Thread(target=accept, daemon=True).start()
        result = surf("127.0.0.1:%d" % listener.getsockname()[1], *args)
        listener.shutdown(socket.SHUT_RDWR)
    return result


BODIES = {p: content("cat", p) for p in ("/x/1-1000.bin", "/x/2-300000.bin", "/x/3-1000.bin")}
P1, P2, P3 = BODIES


def ok(body, *headers):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (len(body), b"".join(h + b"\r\n" for h in headers)) + body


def whole(peer, *headers):
    """An honest server."""
    while (got := peer.request()) is not None:
        peer.send(ok(BODIES[got[0].split()[1]], *headers))
        if "connection: close" in got[0].lower():
            return


def once(*data, after=None):
    """Answers each connection's first request with these pieces."""
    def handler(peer):
        peer.request()
        for piece in data:
            peer.send(piece)
            time.sleep(0.02 if len(data) > 1 else 0)
        if after:
            after(peer)
    return handler


def answers():
    b1, b2 = BODIES[P1], BODIES[P2]
    good("honest", against(whole, P1, P2, P3))
    chunks = b"".join(b"%x;x=y\r\n%s\r\n" % (len(c), c) for c in (b1[:1], b1[1:300], b1[300:]))
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    good("chunked", against(once(start + chunks + b"0\r\nA: b\r\n\r\n"), P1))
    every = start + chunks + b"0\r\n\r\n"
    good("chunked, in small pieces", against(once(*[every[i:i + 1] for i in range(80)], every[80:]), P1))
    good("until the end", against(once(b"HTTP/1.0 200 OK\r\n\r\n" + b2), P2))
    good("1xx", against(once(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok(b1)), P1))
    bad("truncated", against(once(ok(b2)[:-1]), P2), {"closed_early": 1}, lambda g: g["examples"][0]["offset"] == 299999)
    bad("truncated, until the end", against(once(b"HTTP/1.1 200 OK\r\n\r\n" + b1[:500]), P1), {"closed_early": 1})
    bad("chunked, ended too early", against(once(start + b"5\r\n" + b1[:5] + b"\r\n0\r\n\r\n"), P1), {"wrong_bytes": 1},
        lambda g: g["wrong_bytes"]["offset"] == 5)
    bad("chunked, too long", against(once(start + b"3ea\r\n" + b1 + b"xx\r\n0\r\n\r\n"), P1), {"wrong_bytes": 1},
        lambda g: g["wrong_bytes"]["offset"] == 1000)
    bad("chunked, cut", against(once(start + b"3e8\r\n" + b1), P1), {"closed_early": 1})
    bad("closed without a word", against(once(), P1), {"closed_early": 1})
    bad("not HTTP", against(once(b"220 smtp\r\n"), P1), {"bad_reply": 1})
    bad("both lengths", against(once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"), P1),
        {"bad_reply": 1})
    bad("a reset within the body", against(once(ok(b2)[:5000], after=lambda p: (time.sleep(0.1), p.reset())), P2), {"reset": 1},
        lambda g: 4000 < g["examples"][0]["offset"] < 5000)
    bad("bytes too many", against(once(ok(b1) + b"x"), P1), {"surplus": 1}, lambda g: g["ok"] == 1)
    bad("left open", against(once(ok(b1), after=lambda p: p.closed()), P1, "--timeout", 0.3), {"unclosed": 1}, lambda g: g["ok"] == 1)
    bad("hung", against(once(after=lambda p: p.closed()), P1, P1, "-c", 2, "--timeout", 0.3), {"hung": 2},
        lambda g: 0.28 < g["seconds"] < 2)
    bad("hung within the body", against(once(ok(b1)[:500], after=lambda p: p.closed()), P1, "--timeout", 0.3), {"hung": 1})
    good("slow, but not hung", against(once(*[ok(b1)[i:i + 20] for i in range(0, 1100, 20)]), P1, "--timeout", 0.3),
         lambda g: g["seconds"] > 0.5)
    bad("refused", surf("127.0.0.1:%d" % lib.free_port(), P1, "-n", 3), {"connect_failed": 3},
        lambda g: g["connect_errors"] == {"ECONNREFUSED": 3})
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        bad("no answer to the SYN", surf("127.0.0.1:%d" % full.getsockname()[1], P1, "--timeout", 0.3), {"connect_failed": 1},
            lambda g: g["connect_errors"] == {"ETIMEDOUT": 1} and g["seconds"] > 0.29)


def kept():
    b1 = BODIES[P1]
    served = []

    def says_close(peer):
        """The third response is a connection's last."""
        for i in range(3):
            head, _ = peer.request()
            served.append(head.split()[1])
            peer.send(ok(BODIES[served[-1]], *([b"Connection: close"] if i == 2 else [])))
        peer.sock.shutdown(socket.SHUT_WR)
        peer.closed()
    good("pipelined behind Connection: close: asked again", against(says_close, P1, P2, P3, "-n", 9, "--keep", 9, "--pipeline", 5),
         lambda g: g["ok"] == 9 and g["resent"] >= 2 and g["requests"] == 9 + g["resent"])
    s.equal("each path as often as it should be", sorted(served), sorted([P1, P2, P3] * 3))

    def swapped(peer):
        one, two = peer.request()[0].split()[1], peer.request()[0].split()[1]
        peer.send(ok(BODIES[two]) + ok(BODIES[one]))
        peer.closed()
    bad("responses in the wrong order", against(swapped, P1, P3, "--keep", 2, "--pipeline", 2), {"wrong_bytes": 2},
        lambda g: g["wrong_bytes"]["detail"].endswith("bytes of " + P3))
    idle = ["--keep", "2", "-n", "2", "--idle", "150"]
    good("closed while idle", against(once(ok(b1)), P1, *idle), lambda g: g["closed_idle"] == 1 and g["connections"] == 2)
    bad("reset while idle", against(once(ok(b1), after=lambda p: (time.sleep(0.05), p.reset())), P1, *idle), {"reset_idle": 1},
        lambda g: g["ok"] == 2)


def posts():
    def summed(peer):
        while (got := peer.request()) is not None:
            peer.send(ok(b"%d %s" % (len(got[1]), hashlib.sha256(got[1]).hexdigest().encode())))

    def echo(peer, wrong=-1):
        while (got := peer.request()) is not None:
            body = bytearray(got[1])
            if wrong >= 0:
                body[wrong] ^= 1
            peer.send(ok(body))
    post = ["/p", "/q", "-n", "6", "--keep", "3", "--post", "200001", "--post-expect"]
    good("POST, summed", against(summed, *post, "echo-sum"))
    good("POST, echoed", against(echo, *post, "echo"), lambda g: g["bytes"] == 6 * 200001)
    bad("POST, one byte wrong", against(lambda p: echo(p, 200000), *post, "echo"), {"wrong_bytes": 6},
        lambda g: g["wrong_bytes"]["offset"] == 200000)
    got = []
    against(lambda p: got.append(p.request()[1]), "/p", "--post", 5000)
    s.equal("content post: the bytes of a POST", got[0], content("post", "/p", "5000"))

    def early(peer):
        """Answers before it has read; reads later."""
        peer.more()
        peer.send(ok(b"early"))
        time.sleep(0.1)
        head, body = peer.request()
        peer.send(ok(b"") if peer.request() else b"")
    good("an answer before the POST's end", against(early, "/p", "-n", 2, "--keep", 2, "--post", 5000000, "--post-expect", "none"),
         lambda g: g["connections"] == 1 and g["bytes_sent"] > 10000000)
    bad("refused before the POST's end", against(
        lambda p: (p.more(), p.send(b"HTTP/1.1 413 x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), p.closed()),
        "/p", "--post", 50000000), {"wrong_status": {"413": 1}}, lambda g: g["bytes_sent"] < 40000000)


# --- how it sends --------------------------------------------------------------------------------------------------

def manners():
    seen = []

    def watch(peer):
        peer.mss = peer.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        seen.append(peer)
        peer.heads = []
        while (got := peer.request()) is not None:
            peer.heads.append(got[0])
            peer.send(ok(BODIES[got[0].split()[1]]))
            if "connection: close" in got[0].lower():
                return
        peer.ended = True

    def watched(*args):
        seen.clear()
        result = against(watch, *args)
        time.sleep(0.02)
        return result
    good("--split", watched(P1, P3, "--split", "15:60"))
    s.check("each request in two segments, with a pause", [[n for _, n in p.pieces][0] for p in seen] == [15, 15]
            and all(len(p.pieces) == 2 and p.pieces[1][0] - p.pieces[0][0] > 0.05 for p in seen), [p.pieces for p in seen])
    good("--slow", watched(P1, "--slow", "4:10"))
    p = seen[0].pieces
    s.check("ten bytes at a time", all(n == 10 for _, n in p[:-1]) and len(p) > 5 and p[-1][0] - p[0][0] > 0.003 * len(p), p)
    good("--pipeline", watched(P1, P3, "-n", 4, "--keep", 4, "--pipeline", 4))
    s.check("four requests in one segment", len(seen) == 1 and len(seen[0].heads) == 4 and seen[0].pieces[1][1] == 0, seen[0].pieces)
    s.check("a kept connection is not said to close", not any("close" in h.lower() for h in seen[0].heads), seen[0].heads)
    good("close each", watched(P1, P3))
    s.check("each says so", [h.lower().count("connection: close") for p in seen for h in p.heads] == [1, 1], seen[0].heads)
    good("--mss", watched(P1, "--mss", "700"))
    s.check("the server may send no more", seen[0].mss <= 700, seen[0].mss)

    ends = []

    def half(peer):
        got = peer.request(), peer.request()
        ends.append(peer.closed(1))  # before anything was answered
        for head, _ in got:
            peer.send(ok(BODIES[head.split()[1]]))
    good("--half-close", against(half, P1, P3, "--keep", 2, "--pipeline", 2, "--half-close"))
    s.equal("our FIN comes before the answers", ends, ["fin"])

    rst = []

    def resets(peer):
        while True:
            try:
                if (got := peer.request()) is None:
                    rst.append("fin")
                    return
                peer.send(ok(BODIES[got[0].split()[1]]))
            except OSError:
                rst.append("reset")
                return
    good("--rst 1", against(resets, P1, P2, "-n", 60, "-c", 3, "--keep", 2, "--rst", 1, "--random", 5),
         lambda g: g["rst_by_us"] == g["connections"] == 60 and g["aborted"] > 10)
    lib.wait_until(lambda: len(rst) == 60, 2)
    s.equal("the server sees as many", (rst.count("reset"), len(rst)), (60, 60))


def usage():
    wrong = [[], ["127.0.0.1"], ["127.0.0.1:80"], ["127.0.0.1:80", "/no-size"], ["127.0.0.1:80", "/../1-1"], ["127.0.0.1:80", P1, "-c", "x"],
             ["127.0.0.1:80", P1, "--pipeline", "2"], ["127.0.0.1:80", P1, "-c", "2", "--source-port", "5000"],
             ["127.0.0.1:80", P1, "--bind", "::1"], ["127.0.0.1:80", P1, "--post", "1", "--post-expect", "what"]]
    s.equal("mistakes are refused", [surf(*w)[0] for w in wrong], [2] * len(wrong))


def main():
    port, port6 = lib.free_port(), lib.free_port()
    to, to6 = "127.0.0.1:%d" % port, "[::1]:%d" % port6
    files()
    if not s.check("nginx runs", nginx(port, port6), s.processes[-1].output()):
        s.finish()
    with_nginx(to, to6)
    with_wrong_files(to)
    answers()
    kept()
    posts()
    manners()
    usage()
    many(to)
    s.finish()


if __name__ == "__main__":
    main()
