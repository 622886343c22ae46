#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A TLS client whose greeting comes as no library would send it: in segments with pauses, in many records, slowly.

Usage: tls_client.py ADDRESS PORT NAME [--alpn a,b] [--pieces 100,1,200] [--pause MS] [--records 50,1] [PATH]

Prints one line of JSON: the common name of the server's certificate, the protocol agreed on, and the length and SHA-256
of what PATH gave (HTTP/1.1).
"""
import argparse
import hashlib
import json
import socket
import ssl
import subprocess
import time


def numbers(text):
    return [int(n) for n in text.split(",")] if text else []


def cut(data, sizes):
    """The pieces; the last size goes on to the end."""
    parts, at = [], 0
    while at < len(data):
        n = sizes[min(len(parts), len(sizes) - 1)] if sizes else len(data)
        parts.append(data[at:at + n])
        at += n
    return parts


def in_records(hello, sizes):
    """The same message in records of these sizes."""
    message = b""
    while hello:
        n = int.from_bytes(hello[3:5], "big")
        message, hello = message + hello[5:5 + n], hello[5 + n:]
    return b"".join(b"\x16\x03\x01" + len(p).to_bytes(2, "big") + p for p in cut(message, sizes))


class Connection:
    def __init__(self, address, port, name, alpn):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(alpn.split(","))
        self.inward, self.outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.inward, self.outward, server_hostname=name or None)
        self.socket = socket.create_connection((address, port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def until(self, what):
        while True:
            try:
                done = what()
            except ssl.SSLWantReadError:
                done = None
            data = self.outward.read()
            if data:
                self.socket.sendall(data)
            if done is not None:
                return done
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("closed")
            self.inward.write(data)

    def greet(self, pieces, pause, records):
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        hello = self.outward.read()
        for part in cut(in_records(hello, records) if records else hello, pieces):
            self.socket.sendall(part)
            time.sleep(pause / 1000)
        self.until(lambda: self.tls.do_handshake() or True)

    def get(self, name, path):
        self.tls.write(f"GET {path} HTTP/1.1\r\nHost: {name or 'none'}\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += self.until(lambda: self.tls.read(65536))
        head, body = got.split(b"\r\n\r\n", 1)
        length = next(int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length:"))
        while len(body) < length:
            body += self.until(lambda: self.tls.read(65536))
        return body

    def common_name(self):
        text = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-subject", "-nameopt", "multiline"],
                              input=self.tls.getpeercert(True), capture_output=True, check=True).stdout.decode()
        return next(line.split("= ")[1] for line in text.splitlines() if "commonName" in line)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("address")
    p.add_argument("port", type=int)
    p.add_argument("name")
    p.add_argument("path", nargs="?")
    p.add_argument("--alpn", default="")
    p.add_argument("--pieces", type=numbers, default=[])
    p.add_argument("--pause", type=float, default=0)
    p.add_argument("--records", type=numbers, default=[])
    a = p.parse_args()
    try:
        c = Connection(a.address, a.port, a.name, a.alpn)
        c.greet(a.pieces, a.pause, a.records)
        said = {"certificate": c.common_name(), "protocol": c.tls.selected_alpn_protocol()}
        if a.path:
            body = c.get(a.name, a.path)
            said.update(length=len(body), sha256=hashlib.sha256(body).hexdigest())
    except (OSError, ConnectionError) as e:
        said = {"error": repr(e)}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
