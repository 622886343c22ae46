#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""FTP through the front end to two real vsftpd: control and data on one server, passive and active, IPv4 and IPv6; what
an attacker tries with it.

Usage: front_ftp.py [POINTSMAN] (or $POINTSMAN); needs root, else it is skipped.
"""
import ftplib
import hashlib
import io
import os
import random
import shutil
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Scenario, free_port, listens, wait_until  # noqa: E402

BINARY = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ["POINTSMAN"])
VIP4, VIP6 = "127.0.43.1", "::1"
SIZES = {"empty": 0, "small": 1000, "big": 20_000_000}


def servers(s, port_of):
    for n in (1, 2):
        root = s.mkdir("ftp%d" % n)
        for name, size in SIZES.items():
            with open(os.path.join(root, name), "wb") as f:
                f.write(random.Random(name).randbytes(size))
        with open(os.path.join(root, "who"), "w") as f:
            f.write("server %d" % n)
        os.makedirs(os.path.join(root, "up"), exist_ok=True)
        shutil.chown(os.path.join(root, "up"), "ftp")
        conf = s.write("vsftpd%d.conf" % n, "\n".join([
            "listen=YES", "listen_ipv6=NO", "listen_address=127.0.0.1", "listen_port=%d" % port_of[n], "background=NO",
            "anonymous_enable=YES", "anon_root=%s" % root, "anon_upload_enable=YES", "write_enable=YES", "anon_umask=022",
            "local_enable=NO", "secure_chroot_dir=%s" % s.mkdir("empty%d" % n), "port_enable=YES", "connect_from_port_20=NO",
            "xferlog_enable=NO", "ftpd_banner=server %d" % n]) + "\n")
        s.start("vsftpd%d" % n, ["vsftpd", conf])
        wait_until(lambda: listens(port_of[n]), 5)


def session(s, vip, port, passive):
    """Everything a client does; the names of the servers of control and data must be one."""
    f = ftplib.FTP()
    f.connect(vip, port, timeout=10)
    banner = f.getwelcome()[4:]
    f.login()
    f.set_pasv(passive)
    what = "%s, %s" % ("IPv6" if ":" in vip else "IPv4", "passive" if passive else "active")
    got = {}
    for name, size in SIZES.items():
        h = hashlib.sha256()
        f.retrbinary("RETR " + name, h.update, 65536)
        got[name] = h.hexdigest() == hashlib.sha256(random.Random(name).randbytes(size)).hexdigest()
    s.check("%s: every byte is right" % what, all(got.values()), got)
    who = []
    f.retrlines("RETR who", who.append)
    s.equal("%s: data come from the server of the control connection" % what, who, [banner])
    s.check("%s: list" % what, set(SIZES) <= {os.path.basename(x) for x in f.nlst()}, None)
    data = os.urandom(3_000_000)
    name = "up/%s" % os.urandom(6).hex()  # nobody may write over what is there
    f.storbinary("STOR " + name, io.BytesIO(data))
    s.equal("%s: upload" % what, f.size(name) if f.voidcmd("TYPE I") else 0, len(data))
    f.quit()
    return banner


def raw(vip, port):
    sock = socket.create_connection((vip, port), 5)
    f = sock.makefile("rb")
    f.readline()

    def say(line):
        sock.sendall(line.encode())
        return f.readline().decode()
    return sock, f, say


def hostile(s, port):
    sock, f, say = raw(VIP4, port)
    say("USER ftp\r\n")
    if "331" in say("NOOP\r\n"):
        pass
    say("PASS x\r\n")
    answer = say("PORT 192,0,2,9,31,64\r\n")
    s.check("an address that is not the client's own is the server's to refuse", answer.startswith("500"), answer)
    answer = say("AUTH TLS\r\n")
    s.check("encryption of the control connection is refused", answer.startswith("500"), answer)
    for chunk in ("P", "A", "S", "V", "\r", "\n"):
        sock.sendall(chunk.encode())
        time.sleep(0.02)
    answer = f.readline().decode()
    s.check("byte by byte", answer.startswith("227"), answer)
    n = [int(x) for x in answer[answer.index("(") + 1:answer.index(")")].split(",")]
    s.equal("the data address is the VIP", n[:4], [127, 0, 43, 1])
    thief = socket.socket()
    thief.bind(("127.0.0.77", 0))
    thief.connect((VIP4, n[4] * 256 + n[5]))
    thief.settimeout(3)
    s.equal("a stranger at the data port gets nothing", thief.recv(10), b"")
    sock.sendall(b"RETR who\r\n")
    mine = socket.create_connection((VIP4, n[4] * 256 + n[5]), 5)
    s.check("the client is not locked out by him", mine.makefile("rb").read().startswith(b"server"))
    sock.close()
    sock, f, say = raw(VIP4, port)
    try:
        sock.sendall(b"X" * 100000)
        sock.settimeout(5)
        ended = f.read(1 << 20) is not None
    except OSError:
        ended = True
    s.check("a line without end ends the session", ended)


def main():
    if os.getuid() != 0:
        print("skipped: needs root")
        sys.exit(77)
    s = Scenario("front-ftp")
    port, dns, port_of = free_port(), free_port(), {1: free_port(), 2: free_port()}
    servers(s, port_of)
    s.write("p.yaml", """
node: {name: a, site: here, state: '', user: ''}
dns: {listen: ['127.0.0.1:%d']}
api: {socket: '%s', metrics: off}
zones: {gslb.test: {ns: [ns1.gslb.test]}}
sites: {here: {}}
services:
  ftp.gslb.test:
    policy: failover
    front: {mode: ftp, ports: %d, check: {ftp: {}, interval: 1s, timeout: 3s}}
    sites: {here: {vips: ['%s', '%s'], servers: {one: '127.0.0.1:%d', two: '127.0.0.1:%d'}}}
""" % (dns, s.path("sock"), port, VIP4, VIP6, port_of[1], port_of[2]))
    daemon = s.start("pointsman", [BINARY, "run", "-c", s.path("p.yaml")])
    wait_until(lambda: listens(port, VIP4), 5)
    seen = set()
    for _ in range(2):
        for vip in (VIP4, VIP6):
            for passive in (True, False):
                seen.add(session(s, vip, port, passive))
    s.equal("both servers had sessions", seen, {"server 1", "server 2"})
    hostile(s, port)
    errors = []

    def many():
        try:
            f = ftplib.FTP()
            f.connect(VIP4, port, timeout=20)
            f.login()
            for _ in range(10):
                out = io.BytesIO()
                f.retrbinary("RETR small", out.write)
                if len(out.getvalue()) != 1000:
                    errors.append(len(out.getvalue()))
            f.quit()
        except Exception as e:
            errors.append(repr(e))
    threads = [threading.Thread(target=many) for _ in range(30)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    s.check("thirty sessions at once, ten files each", not errors, errors[:5])
    s.equal("ends well", daemon.stop(15), 0)
    s.finish()


main()
