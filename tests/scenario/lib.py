# SPDX-License-Identifier: Apache-2.0
"""What every scenario needs: ports, a place for files, processes that never outlive the test, and a count.

Every process is started in a session of its own and told to die with its parent (PR_SET_PDEATHSIG), so that a killed
test leaves nothing behind; at the end, whichever it is, they are ended by their own ids and the directory is removed.
"""
import atexit
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_given = set()


def free_port(kind=None):
    """A loopback port free for TCP and UDP just now, and not given before by this process."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port


def wait_until(what, seconds=10.0, step=0.05):
    """Calls what() until it returns something true; returns that, or the last thing it returned when time is up."""
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got or time.monotonic() > end:
            return got
        time.sleep(step)


def listens(port, address="127.0.0.1"):
    try:
        socket.create_connection((address, port), 0.5).close()
        return True
    except OSError:
        return False


class Process:
    def __init__(self, name, argv, log, user=None, env=None, cwd=None):
        self.name, self.log = name, log
        account = pwd.getpwnam(user) if user and os.getuid() == 0 else None
        parent = os.getpid()

        def before_exec():
            if account:  # before prctl: a change of user takes the death signal away
                os.initgroups(user, account.pw_gid)
                os.setgid(account.pw_gid)
                os.setuid(account.pw_uid)
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        with open(log, "ab") as out:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd,
                                          env={**os.environ, **(env or {})}, preexec_fn=before_exec,
                                          start_new_session=True)

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.running():
            self.popen.send_signal(number)

    def stop(self, seconds=5):
        """Asks, then insists; what it started and left in its group goes as well."""
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        return self.popen.returncode

    def output(self):
        with open(self.log, errors="replace") as f:
            return f.read()


class Scenario:
    def __init__(self, name):
        self.name, self.passed, self.failed, self.skipped = name, 0, 0, 0
        self.processes = []
        self.dir = tempfile.mkdtemp(prefix="pm-" + name + "-")
        os.chmod(self.dir, 0o755)  # daemons that drop root read their files here
        self._owner = os.getpid()
        atexit.register(self.cleanup)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda n, frame: sys.exit(128 + n))

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def mkdir(self, *parts, user=None):
        os.makedirs(self.path(*parts), exist_ok=True)
        if user and os.getuid() == 0:
            shutil.chown(self.path(*parts), user)
        return self.path(*parts)

    def write(self, name, text, user=None):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w") as f:
            f.write(text)
        if user and os.getuid() == 0:
            shutil.chown(self.path(name), user)
        return self.path(name)

    def start(self, name, argv, **kw):
        process = Process(name, argv, self.path(name + ".log"), **kw)
        self.processes.append(process)
        return process

    def check(self, what, ok, detail=""):
        if ok:
            self.passed += 1
            print("ok - " + what, flush=True)
        else:
            self.failed += 1
            print("not ok - %s%s" % (what, ": %s" % (detail,) if detail != "" else ""), flush=True)
        return bool(ok)

    def equal(self, what, got, wanted):
        return self.check(what, got == wanted, "got %r, wanted %r" % (got, wanted))

    def skip(self, what, why):
        self.skipped += 1
        print("skipped - %s: %s" % (what, why), flush=True)

    def cleanup(self):
        if os.getpid() != self._owner:
            return
        for process in reversed(self.processes):
            process.stop(2)
        self.processes.clear()
        shutil.rmtree(self.dir, ignore_errors=True)

    def finish(self):
        self.cleanup()
        if self.skipped:
            print("%d skipped" % self.skipped)
        print("%d passed, %d failed" % (self.passed, self.failed), flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)
