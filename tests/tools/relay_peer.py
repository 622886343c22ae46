#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Both ends of plainly relayed services, for scenarios: servers that say their name by TCP, UDP, another protocol, and in
datagrams with QUIC's headers (RFC 9000 17) and nothing behind them; and clients that may change their address.

Usage: relay_peer.py NAME SERVERID VIP...   serves: TCP 80, 443, 4433; UDP 443 (ids with SERVERID), 4433 (random ids), 7 (echo)
"""
import contextlib
import hashlib
import os
import select
import socket
import struct
import sys
import threading
import time

TRIES = 253  # a protocol for experiments (RFC 3692)
RESET = b"RESET"


# ---- what runs on the nodes ----

def tcp_serve(sock, name):
    def one(c):
        with c, c.makefile("rb") as lines:
            c.sendall(name + b"\n")
            for line in lines:
                word, *rest = line.split()
                if word == b"UP":
                    c.sendall(hashlib.sha256(lines.read(int(rest[0]))).hexdigest().encode() + b"\n")
                elif word == b"DOWN":
                    c.sendall(b"x" * int(rest[0]))
                else:
                    c.sendall(name + b"\n")

    def quietly(c):
        with contextlib.suppress(OSError):
            one(c)
    while True:
        threading.Thread(target=quietly, args=(sock.accept()[0],), daemon=True).start()


def quic_serve(sock, name, server_id):
    """server_id: what is put into connection ids; empty: they are random."""
    known = set()
    while True:
        data, client = sock.recvfrom(2000)
        if data[0] & 0x80:
            length = data[5]
            if data[0] >> 4 & 3 == 0:  # Initial: an id of our choice
                cid = bytes([0x0b]) + server_id + os.urandom(8) if server_id else os.urandom(18)
                known.add(cid[:8])
                sock.sendto(bytes([0xc0]) + b"\0\0\0\1" + bytes([0, len(cid)]) + cid + name, client)
                continue
            cid = data[6:6 + length]
        else:
            cid = data[1:20]
        if cid[:8] not in known:
            sock.sendto(RESET, client)
        elif b"NEXT" in data:  # another id for the same connection (NEW_CONNECTION_ID)
            cid = os.urandom(18)
            known.add(cid[:8])
            sock.sendto(b"\x43" + cid, client)
        else:
            sock.sendto(b"\x43" + name, client)


def echo_serve(sock, name, raw4):
    while True:
        data, client = sock.recvfrom(65536)
        skip = (data[0] & 15) * 4 if raw4 else 0
        sock.sendto(name + b" %d" % (len(data) - skip), client)


def serve(name, server_id, *vips):
    """vips: addresses; behind one a `+` where packets of the protocol for experiments are answered."""
    def start(fn, *args):
        threading.Thread(target=fn, args=args, daemon=True).start()

    name = name.encode()
    for port in (80, 443, 4433):
        start(tcp_serve, socket.create_server(("::", port), family=socket.AF_INET6, backlog=500, dualstack_ipv6=True), name)
    for vip in vips:
        address, family = vip.rstrip("+"), socket.AF_INET6 if ":" in vip else socket.AF_INET
        for port in (443, 4433, 7):
            s = socket.socket(family, socket.SOCK_DGRAM)
            s.bind((address, port))
            if port == 7:
                start(echo_serve, s, name, False)
            else:
                start(quic_serve, s, name, bytes.fromhex(server_id) if port == 443 else b"")
        if vip.endswith("+"):
            s = socket.socket(family, socket.SOCK_RAW, TRIES)
            s.bind((address, 0))
            start(echo_serve, s, name, family == socket.AF_INET)
    print("ready", flush=True)
    threading.Event().wait()


# ---- clients ----

def enter(ns):
    """This process's sockets are made there from now on."""
    import ctypes
    fd = os.open(f"/run/netns/{ns}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


class Talk:
    def __init__(self, vip, source=None, port=80, timeout=8):
        self.sock = socket.create_connection((vip, port), timeout, (source, 0) if source else None)
        self.lines = self.sock.makefile("rb")
        self.name = self.lines.readline().strip().decode()

    def say(self, line):
        self.sock.sendall(line + b"\n")
        return self.lines.readline().strip().decode()

    def alive(self):
        try:
            return self.say(b"PING") == self.name
        except OSError:
            return False

    def upload(self, n):
        data = os.urandom(n)
        self.sock.sendall(b"UP %d\n" % n + data)
        return self.lines.readline().strip().decode() == hashlib.sha256(data).hexdigest()

    def download(self, n):
        self.sock.sendall(b"DOWN %d\n" % n)
        return self.lines.read(n) == b"x" * n

    def close(self):
        self.lines.close()
        self.sock.close()


def many(n, make):
    """n at once; what make(i) gave, or its exception."""
    got = [None] * n

    def one(i):
        try:
            got[i] = make(i)
        except OSError as e:
            got[i] = e
    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return got


class Datagrams:
    def __init__(self, vip, port, source=None, kind=socket.SOCK_DGRAM, proto=0):
        self.family = socket.AF_INET6 if ":" in vip else socket.AF_INET
        self.sock = socket.socket(self.family, kind, proto)
        if source:
            self.sock.bind((source, 0))
        self.raw4 = kind == socket.SOCK_RAW and self.family == socket.AF_INET
        self.sock.connect((vip, port))
        while kind == socket.SOCK_RAW and select.select([self.sock], [], [], 0)[0]:
            self.sock.recv(65536)  # others' packets, from before it was bound

    def ask(self, data, tries=3):
        for _ in range(tries):
            self.sock.send(data)
            if select.select([self.sock], [], [], 0.7)[0]:
                got = self.sock.recv(65536)
                return got[20:] if self.raw4 else got
        return b""


def ping(vip, source, size, times=3):
    """Echo replies that are right."""
    v6 = ":" in vip
    sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP)
    sock.bind((source, 0))
    sock.connect((vip, 0))
    good = 0
    for i in range(times):
        rest = struct.pack("!HH", os.getpid() & 0xffff, i) + os.urandom(size)
        words = struct.unpack("!%dH" % (len(rest) // 2), rest)
        check = 0x800 + sum(words)
        while check >> 16:
            check = (check & 0xffff) + (check >> 16)
        sock.send(struct.pack("!BBH", 128 if v6 else 8, 0, check ^ 0xffff) + rest)  # for IPv6 the kernel sums up
        end = time.monotonic() + 1
        while select.select([sock], [], [], max(0, end - time.monotonic()))[0]:
            got = sock.recv(65536)[0 if v6 else 20:]
            if got[0] == (129 if v6 else 0) and got[4:] == rest:
                good += 1
                break
    return good


class Quic:
    """A client whose address may change."""

    def __init__(self, vip, port):
        self.vip, self.port, self.first = vip, port, os.urandom(8)
        self.d = Datagrams(vip, port)
        got = self.d.ask(self.long(0))
        self.cid, self.name = got[7:7 + got[6]], got[7 + got[6]:].decode()
        self.d.ask(self.long(2))
        self.address = self.d.sock.getsockname()

    def long(self, kind):
        cid = self.cid if kind else self.first
        return bytes([0xc0 | kind << 4]) + b"\0\0\0\1" + bytes([len(cid)]) + cid + b"\x08" + os.urandom(8) + b"\0" * 1000

    def move(self, source=None):
        self.d.sock.close()
        self.d = Datagrams(self.vip, self.port, source)

    def say(self, data=b"hello"):
        got = self.d.ask(b"\x43" + self.cid + data)
        return got if got == RESET else got[1:]

    def stays(self):
        return self.say() == self.name.encode()

    def next_id(self):
        self.cid = self.say(b"NEXT")


if __name__ == "__main__":
    serve(*sys.argv[1:])
