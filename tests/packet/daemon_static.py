#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The whole daemon, with example.zone as its only zone, through the queries of static_vs_peers.py.

answer_server.c tests the answering alone; here configuration, zone loading, threads and sockets are the real ones.

  daemon_static.py build/src/main/pointsman [arguments for static_vs_peers.py]      or the binary in $POINTSMAN
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "scenario"))
from lib import Scenario, free_port, listens, wait_until  # noqa: E402

CONFIG = """node: {name: static, state: '', user: '', log-level: warn}
dns: {listen: ['127.0.0.1:%d'], nsid: off}
api: {socket: '', metrics: ''}
zones:
  example.test: {file: %s}
"""


def main():
    arguments = sys.argv[1:]
    binary = os.environ.get("POINTSMAN") or (arguments.pop(0) if arguments else None)
    if not binary:
        sys.exit("daemon_static.py: say where the daemon is, as first argument or in POINTSMAN")
    s, port = Scenario("daemon-static"), free_port()
    config = s.write("pointsman.yaml", CONFIG % (port, os.path.join(HERE, "example.zone")))
    daemon = s.start("pointsman", [os.path.abspath(binary), "run", "-c", config])
    if not wait_until(lambda: listens(port) or not daemon.running()) or not daemon.running():
        sys.exit("daemon_static.py: the daemon does not listen:\n" + daemon.output())
    result = subprocess.run([sys.executable, os.path.join(HERE, "static_vs_peers.py"), "--server", str(port)] + arguments)
    code = result.returncode
    if not daemon.running():
        print("the daemon has ended with %r:\n%s" % (daemon.popen.returncode, daemon.output()))
        code = 1
    elif daemon.stop() != 0:
        print("the daemon ended with %r when asked to stop:\n%s" % (daemon.popen.returncode, daemon.output()))
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
