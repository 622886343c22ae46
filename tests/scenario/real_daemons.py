# SPDX-License-Identifier: Apache-2.0
"""Real servers from Debian on free loopback ports, each with its files in the scenario's directory.

A daemon is made with make(scenario) and can then be started and stopped any number of times, always on its port.
"""
import glob
import os
import shutil
import subprocess

from lib import free_port, listens, wait_until

SBIN = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
PASSWORD = "correct horse"


def find(program):
    return shutil.which(program, path=os.pathsep.join(SBIN)) or shutil.which(program)


class Daemon:
    """checks: (module, port, parameters as YAML) of each thing a module can look at here."""
    program = None
    user = None
    env = None

    def __init__(self, scenario):
        self.s, self.process, self.checks = scenario, None, []
        self.name = type(self).__name__.lower()
        self.prepare()

    @classmethod
    def missing(cls):
        return None if find(cls.program) else cls.program + " is not installed"

    def prepare(self):
        raise NotImplementedError

    def argv(self):
        raise NotImplementedError

    def ports(self):
        return sorted({port for _, port, _ in self.checks})

    def start(self):
        self.process = self.s.start(self.name, self.argv(), user=self.user, env=self.env)
        up = wait_until(lambda: not self.process.running() or all(listens(p) for p in self.ports()), 15)
        if not up or not self.process.running():
            raise RuntimeError("%s does not start:\n%s" % (self.name, self.process.output()[-3000:]))

    def stop(self):
        self.process.stop()
        self.s.processes.remove(self.process)
        self.process = None


def certificate(s, name="www.example.test"):
    """A certificate of its own making; the same file is the authority that vouches for it."""
    if not os.path.exists(s.path("cert.pem")):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj",
                        "/CN=" + name, "-addext", "subjectAltName=DNS:" + name, "-keyout", s.path("key.pem"), "-out",
                        s.path("cert.pem")], check=True, capture_output=True)
    return s.path("cert.pem"), s.path("key.pem")


class Nginx(Daemon):
    program = "nginx"

    def prepare(self):
        cert, key = certificate(self.s)
        http, https = free_port(), free_port()
        temp = self.s.mkdir("nginx")
        temps = "".join("%s_temp_path %s/%s;\n" % (t, temp, t) for t in ("client_body", "proxy", "fastcgi", "uwsgi",
                                                                        "scgi"))
        # one process: a master killed by force would leave its workers behind
        self.s.write("nginx/nginx.conf", """
daemon off; master_process off; pid %(t)s/pid; error_log stderr;
events {}
http {
  access_log off; %(temps)s
  server {
    listen 127.0.0.1:%(http)d; listen 127.0.0.1:%(https)d ssl http2; server_name www.example.test;
    ssl_certificate %(cert)s; ssl_certificate_key %(key)s;
    location / { return 200 "health: green\\n"; }
    location /broken { return 500 "no\\n"; }
    location /moved { return 302 /; }
  }
  server { listen 127.0.0.1:%(http)d default_server; return 404; }
}
""" % {"t": temp, "temps": temps, "http": http, "https": https, "cert": cert, "key": key})
        good = "body: 'health: green'"
        self.checks = [("http", http, "{%s}" % good), ("http", http, "{path: /moved, follow-redirects: yes, %s}" % good),
                       ("https", https, "{%s, ca-file: %s, min-cert-days: 20}" % (good, cert)),
                       ("https", https, "{version: 2, %s, ca-file: %s}" % (good, cert))]
        self.http, self.https = http, https

    def argv(self):
        return [find("nginx"), "-c", self.s.path("nginx/nginx.conf"), "-p", self.s.path("nginx")]


class Vsftpd(Daemon):
    program = "vsftpd"

    def prepare(self):
        port, root = free_port(), self.s.mkdir("ftp/root")
        self.s.mkdir("ftp/empty")
        self.s.write("ftp/root/motd.txt", "0123456789")
        os.chmod(root, 0o555)
        self.s.write("ftp/vsftpd.conf", "listen=YES\nlisten_ipv6=NO\nlisten_address=127.0.0.1\nlisten_port=%d\n"
                     "background=NO\nanonymous_enable=YES\nlocal_enable=NO\nanon_root=%s\nsecure_chroot_dir=%s\n"
                     "xferlog_enable=NO\n" % (port, root, self.s.path("ftp/empty")))
        self.checks = [("ftp", port, "{}"), ("ftp", port, "{file: motd.txt}")]

    def argv(self):
        return [find("vsftpd"), self.s.path("ftp/vsftpd.conf")]


class Exim(Daemon):
    program = "exim4"

    def prepare(self):
        cert, key = certificate(self.s)
        port = free_port()
        for folder in ("exim", "exim/spool", "exim/log"):
            self.s.mkdir(folder, user="Debian-exim")
        os.chmod(key, 0o644)  # a key for a test, read after exim has dropped root
        self.s.write("exim/exim.conf", """
exim_user = Debian-exim
exim_group = Debian-exim
primary_hostname = mail.example.test
spool_directory = %(d)s/spool
log_file_path = %(d)s/log/%%slog
pid_file_path = %(d)s/spool/pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = %(port)d
tls_advertise_hosts = *
tls_certificate = %(cert)s
tls_privatekey = %(key)s
host_lookup =
rfc1413_hosts =
""" % {"d": self.s.path("exim"), "port": port, "cert": cert, "key": key})
        self.checks = [("smtp", port, "{}"), ("smtp", port, "{helo: probe.example.test}"),
                       ("smtp", port, "{tls: starttls, ca-file: %s}" % cert)]

    def argv(self):
        return [find("exim4"), "-C", self.s.path("exim/exim.conf"), "-bdf"]


class Dovecot(Daemon):
    program = "dovecot"

    def prepare(self):
        cert, key = certificate(self.s)
        pop3, imap, imaps = free_port(), free_port(), free_port()
        self.s.mkdir("dovecot/run")
        self.s.mkdir("dovecot/mail", user="mail")
        self.s.write("dovecot/dovecot.conf", """
base_dir = %(d)s/run
state_dir = %(d)s/run
log_path = /dev/stderr
protocols = pop3 imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <%(cert)s
ssl_key = <%(key)s
disable_plaintext_auth = no
mail_location = maildir:%(d)s/mail/%%u
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
passdb {
  driver = static
  args = password=%(password)s
}
userdb {
  driver = static
  args = uid=mail gid=mail home=%(d)s/mail/%%u
}
service pop3-login {
  inet_listener pop3 {
    port = %(pop3)d
  }
  inet_listener pop3s {
    port = 0
  }
}
service imap-login {
  inet_listener imap {
    port = %(imap)d
  }
  inet_listener imaps {
    port = %(imaps)d
  }
}
""" % {"d": self.s.path("dovecot"), "cert": cert, "key": key, "pop3": pop3, "imap": imap, "imaps": imaps,
            "password": PASSWORD.replace(" ", "-")})
        login = "user: joe, password: %s" % PASSWORD.replace(" ", "-")
        trust = "ca-file: %s" % cert
        self.checks = [("pop3", pop3, "{}"), ("pop3", pop3, "{%s}" % login),
                       ("pop3", pop3, "{tls: starttls, %s, %s}" % (trust, login)), ("imap", imap, "{}"),
                       ("imap", imap, "{%s}" % login), ("imap", imap, "{tls: starttls, %s}" % trust),
                       ("imap", imaps, "{tls: implicit, %s, %s}" % (trust, login))]
        self.imap, self.pop3 = imap, pop3

    def argv(self):
        return [find("dovecot"), "-F", "-c", self.s.path("dovecot/dovecot.conf")]


class Named(Daemon):
    program = "named"

    def prepare(self):
        port, folder = free_port(), self.s.mkdir("named")
        self.s.write("named/zone", "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"
                     "www A 192.0.2.80\n")
        self.s.write("named/named.conf", """
options { directory "%s"; listen-on port %d { 127.0.0.1; }; listen-on-v6 { none; }; pid-file "%s/pid";
  session-keyfile "%s/session.key"; managed-keys-directory "%s"; recursion no; dnssec-validation no; };
controls {};
zone "example.test" { type primary; file "%s/zone"; };
""" % (folder, port, folder, folder, folder, folder))
        self.checks = [("dns", port, "{name: www.example.test, type: A}")]

    def argv(self):
        return [find("named"), "-g", "-n", "1", "-c", self.s.path("named/named.conf")]


class Innd(Daemon):
    """INN, run from where its package was unpacked when it is not installed: the package's own set-up refuses to work
    on hosts without a domain."""
    program = "innd"
    user = "news"
    home = "/usr/lib/news"

    @classmethod
    def fetch(cls, cache):
        """Finds or unpacks INN; returns None, or why that failed."""
        if os.path.exists("/usr/lib/news/bin/innd"):
            return None
        cls.home = os.path.join(os.path.abspath(cache), "usr/lib/news")
        if os.path.exists(os.path.join(cls.home, "bin/innd")):
            return None
        os.makedirs(cache, exist_ok=True)
        packages = ("inn2-inews", "inn2")  # the first has the shared library
        got = subprocess.run(["apt-get", "download", *packages], cwd=cache, capture_output=True, text=True)
        if got.returncode != 0:
            return "inn2 is neither installed nor to be had: " + got.stderr.strip()[-200:]
        for package in packages:
            subprocess.run(["dpkg-deb", "-x", glob.glob(os.path.join(cache, package + "_*.deb"))[0], cache], check=True)
        return None

    @classmethod
    def missing(cls):
        return None if os.path.exists(os.path.join(cls.home, "bin/innd")) else "innd is not installed"

    def prepare(self):
        port, d = free_port(), self.s.mkdir("inn", user="news")
        # the news user may not be able to reach the cache: give it a copy of what it runs
        home = self.s.path("inn/home")
        shutil.copytree(self.home, home)
        for folder in ("etc", "run", "db", "spool", "log", "tmp", "filter"):
            self.s.mkdir("inn", folder, user="news")
        paths = "".join("path%s: %s/%s\n" % (key, d, folder) for key, folder in (
            ("filter", "filter"), ("etc", "etc"), ("run", "run"), ("db", "db"), ("spool", "spool"), ("articles", "spool"),
            ("overview", "spool"), ("incoming", "spool"), ("outgoing", "spool"), ("archive", "spool"), ("log", "log"),
            ("tmp", "tmp"), ("http", "log")))
        self.s.write("inn/etc/inn.conf", "mta: \"/bin/true %%s\"\norganization: Test\npathhost: news.example.test\n"
                     "domain: example.test\nfromhost: example.test\nserver: 127.0.0.1\novmethod: tradindexed\n"
                     "hismethod: hisv6\nrunasuser: news\nrunasgroup: news\npathnews: %s\npathbin: %s/bin\n"
                     "pathcontrol: %s/bin/control\nport: %d\nbindaddress: 127.0.0.1\n%s"
                     % (home, home, home, port, paths), user="news")
        files = {"db/active": "".join("%s 0000000000 0000000001 %s\n" % g for g in (
                     ("control", "n"), ("control.cancel", "n"), ("junk", "y"), ("local.test", "y"))),
                 "db/newsgroups": "", "db/active.times": "", "db/history": "",
                 "etc/storage.conf": "method tradspool {\n newsgroups: *\n class: 0\n}\n", "etc/newsfeeds": "ME:*::\n",
                 "etc/incoming.conf": "peer ME {\n hostname: \"127.0.0.1\"\n}\n", "etc/control.ctl": "",
                 "etc/readers.conf": "auth a {\n hosts: \"*\"\n default: \"<user>\"\n}\n"
                                     "access a {\n users: \"*\"\n newsgroups: \"*\"\n}\n",
                 "etc/expire.ctl": "/remember/:10\n", "etc/cycbuff.conf": "", "etc/nnrpd.track": ""}
        for name, text in files.items():
            self.s.write("inn/" + name, text, user="news")
        self.env = {"INNCONF": d + "/etc/inn.conf", "LD_LIBRARY_PATH": home}
        made = self.s.start("makedbz", [home + "/bin/makedbz", "-i", "-o"], user="news", env=self.env)
        if made.popen.wait(20) != 0:
            raise RuntimeError("makedbz: " + made.output())
        self.s.processes.remove(made)
        self.bin, self.checks = home + "/bin/innd", [("nntp", port, "{}")]

    def argv(self):
        return [self.bin, "-d", "-f", "-P", str(self.checks[0][1])]


ALL = [Nginx, Vsftpd, Exim, Dovecot, Named, Innd]
