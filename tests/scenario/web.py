#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""web.py PORT ADDRESS...: says hello over HTTP on each address, v4 and v6."""
import http.server
import socket
import sys
import threading


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"hello\n")

    def log_message(self, *args):
        pass


class Server6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


def main():
    servers = [(Server6 if ":" in a else http.server.ThreadingHTTPServer)((a, int(sys.argv[1])), Hello) for a in sys.argv[2:]]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
