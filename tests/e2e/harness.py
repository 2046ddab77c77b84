"""What the end-to-end cases stand on: real programs, real web servers, real
Node processes, each as a user of its own, in a directory that goes away.

    Run      one test program: where things are, temporary directory, ports
    Site     podprof behind one web server: configuration, tokens, processes
    App      the sample app under one Node version
    Fake     one app of a site whose inspector is tests/fake/inspector.py
    Reply    what a request got

Every process is started by a Run and ended by its pid.
"""
import base64
import contextlib
import datetime
import errno
import hashlib
import http.client
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "fake"))
import inspector as fake_inspector  # noqa: E402
import openapi  # noqa: E402

# Users nobody else has: the pool's, the web server's, the app's; and the group
# of an exchange_dir.
SERVICE, WEB, APP, EXCHANGE = 20201, 20202, 20203, 20204
POD = "pod-1"
FINAL = ("succeeded", "failed", "canceled")
# Below those that the kernel gives to clients.
PORTS = range(20000, 28000)
# And some others: 64 apps are allowed.
FAKES, MEETINGS = 52, 8
# Bodies up to this are held against the document of the API.
DESCRIBED_BYTES = 1 << 20
APACHE_MODULES = "/usr/lib/apache2/modules"
WHOLE_FILE = re.compile(r"\.(heapsnapshot|cpuprofile|heapprofile)(\.zst)?$")
SANITIZER = re.compile(
    r"(ERROR: \w+Sanitizer|SUMMARY: \w+Sanitizer|runtime error:)")


class Failed(Exception):
    """A case has failed, and why."""


class Skipped(Exception):
    """A case cannot be had on this machine, and why."""


CASES = []


def api(title):
    """A case of the API: runs behind every web server, on a site that the
    cases share; gets the Site."""
    return lambda function: CASES.append(("api", title, function))


def once(title):
    """A case that makes what it needs; gets the Run."""
    return lambda function: CASES.append(("once", title, function))


def deploy(title):
    """As once(), in a part of its own: how it is installed and served; what
    is tried there is not podprof's own code in the first place."""
    return lambda function: CASES.append(("deploy", title, function))


def real(title):
    """As once(), in a part of its own: what real apps do, on each Node where
    that may differ."""
    return lambda function: CASES.append(("real", title, function))


def fork(title):
    """As once(), in a part of its own: real apps that are forked."""
    return lambda function: CASES.append(("fork", title, function))


def busy(title):
    """As fork(), in a part of its own: apps that work without pause."""
    return lambda function: CASES.append(("busy", title, function))


def activate(title):
    """As once(), in a part of its own: apps without --inspect, of podprof's
    own user."""
    return lambda function: CASES.append(("activate", title, function))


def page(title):
    """A case of the web page; gets the Stage of case_page.py, which they
    share."""
    return lambda function: CASES.append(("page", title, function))


def check(condition, message):
    if not condition:
        raise Failed(message)


def equal(got, wanted, what):
    check(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def matches(text, pattern, what):
    check(re.search(pattern, text or ""),
          f"{what}: {text!r} does not match {pattern!r}")


def error_is(job, kind, detail=None):
    """The job has failed with an error of that type."""
    equal(job["state"], "failed", "state")
    matches(job["error"]["type"], rf"(^|[/:#]){kind}$", "type")
    if detail is not None:
        matches(job["error"]["detail"], detail, "detail")


def until(condition, within, what, every=0.02):
    """What condition() returns once that is true; Failed after so long."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < deadline, f"not within {within} s: {what}")
        time.sleep(every)


def as_user(user, groups=()):
    """What, before a command, runs it as that user, in these groups too."""
    more = f"--groups={','.join(map(str, groups))}" if groups else \
        "--clear-groups"
    # By its path, as spawn-fcgi wants it.
    return [shutil.which("setpriv"), f"--reuid={user}", f"--regid={user}",
            more, "--"]


class Guard:
    """Ends what is left when this process has ended, whatever has ended it:
    see guard.py."""

    def __init__(self, directory):
        self.popen = subprocess.Popen(
            [sys.executable, TOP / "tests/e2e/guard.py", directory],
            stdin=subprocess.PIPE, start_new_session=True)

    def tell(self, pid):
        # In one piece, whoever else does.
        os.write(self.popen.stdin.fileno(), f"{pid}\n".encode())

    def close(self):
        self.popen.stdin.close()
        self.popen.wait()


class Process:
    """A child that is ended by its pid.

    guard   the Guard that is told of it
    """

    guard = None

    def __init__(self, args, log, user=None, groups=(), env=None, stdin=None,
                 cwd="/"):
        self.log = pathlib.Path(log)
        self.name = pathlib.Path(args[0]).name
        if user is not None:
            args = [*as_user(user, groups), *args]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8",
                       "ASAN_OPTIONS": "detect_leaks=1", **(env or {})}
        with open(self.log, "ab") as out:
            self.popen = subprocess.Popen(
                list(map(str, args)), stdout=out, stderr=out, cwd=cwd,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                env=environment, start_new_session=True)
        self.pid = self.popen.pid
        if Process.guard is not None:
            Process.guard.tell(self.pid)

    def alive(self):
        return self.popen.poll() is None

    def text(self):
        return self.log.read_text(errors="replace")

    def kill(self):
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def signal(self, number):
        if self.alive():
            os.kill(self.pid, number)

    def stop(self, within=30):
        """SIGTERM, then the exit status; SIGKILL and Failed after within."""
        self.signal(signal.SIGTERM)
        try:
            return self.popen.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.name} (pid {self.pid}) did not end within "
                         f"{within} s of SIGTERM") from None


class Run:
    def __init__(self, builddir, npm, nodes):
        self.builddir = pathlib.Path(builddir)
        self.npm = pathlib.Path(npm).resolve()
        self.nodes = {}
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="podprof-e2e."))
        self.dir.chmod(0o755)
        Process.guard = Guard(self.dir)
        self.held_ports = []
        self.numbers = itertools.count(1)
        self.install(nodes)

    def install(self, nodes):
        """The programs where all three users can execute them."""
        self.bin = self.dir / "bin"
        self.bin.mkdir()
        for name in ("podprof", "podprof.fcgi", "podprof-capture"):
            shutil.copy(self.builddir / name, self.bin / name)
        if (self.builddir / "podprof-fork.node").exists():
            shutil.copy(self.builddir / "podprof-fork.node", self.bin)
        for name in ("conf/sample-app.js", "conf/check-artifact.js",
                     "tests/e2e/leak-app.js", "tests/e2e/load-app.js"):
            shutil.copy(TOP / name, self.dir)
        # A Node below a home directory would be out of their reach.
        for name, path in nodes.items():
            self.nodes[name] = self.dir / f"node{name}"
            shutil.copy(path, self.nodes[name])
            self.nodes[name].chmod(0o755)
        self.node = self.nodes.get("20") or next(iter(self.nodes.values()))

    def port(self):
        """A free one of PORTS, ours until this process ends: other test
        processes are kept off by a socket in the abstract namespace."""
        for i in range(len(PORTS)):
            number = PORTS[(os.getpid() * 17 + i) % len(PORTS)]
            lock = socket.socket(socket.AF_UNIX)
            with contextlib.suppress(OSError):
                # In this order: nobody probes a port that is given away.
                lock.bind(f"\0podprof-e2e-{number}")
                # Without listen(): a child that is being started has it for
                # a moment still, and is in nobody's way then.
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", number))
                self.held_ports.append(lock)
                return number
            lock.close()
        raise Failed(f"no port of {PORTS} is free")

    def subdir(self, name, user=None, mode=0o755):
        # In one step: cases run side by side.
        path = self.dir / f"{next(self.numbers):03}-{name}"
        path.mkdir()
        if user is not None:
            os.chown(path, user, user)
        path.chmod(mode)
        return path

    def exchange_dir(self):
        """Where podprof and apps meet, as the manual wants it."""
        path = self.subdir("exchange")
        os.chown(path, 0, EXCHANGE)
        path.chmod(0o2770)
        return path

    def newest(self):
        """The newest Node that there is: what reads a file needs 22."""
        return self.nodes[max(self.nodes, key=int)]

    def promtool(self):
        """Where tests/prepare.sh has put it, or the system."""
        path = shutil.which("promtool", path=os.pathsep.join(
            (str(self.npm.parent), os.environ["PATH"])))
        if path is None:
            raise Skipped("there is no promtool")
        return path

    def programs(self, name):
        """(pid, argv) of every process that runs this program of ours."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if os.readlink(entry / "exe") == str(self.bin / name):
                    found.append((int(entry.name),
                                  (entry / "cmdline").read_bytes()))
        return found

    def close(self, keep):
        Process.guard.close()
        Process.guard = None
        if keep:
            print(f"# kept: {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


class App:
    """An app with its inspector on a loopback port.

    args    Node's own
    prefix  a command that starts Node's command, and changes to its user
    script  the sample app, or another of those that Run installs
    more    the script's own arguments
    """

    def __init__(self, run, node=None, heap_mb=4, port=None, args=(),
                 prefix=None, script="sample-app.js", more=(), env=None):
        self.run = run
        self.node = node or run.node
        self.dir = run.subdir("app", APP)
        self.port = port or run.port()
        self.address = f"127.0.0.1:{self.port}"
        self.process = Process(
            [*(prefix or as_user(APP, [EXCHANGE])), self.node,
             f"--inspect={self.address}", *args, run.dir / script,
             "--heap-mb", heap_mb, *more],
            self.dir / "log", cwd=self.dir, env=env)
        self.url = until(self.find_url, 60, f"{self.process.log} says where "
                         "it listens")
        self.pid = until(self.find_pid, 10, "Node's own process")

    def find_url(self):
        check(self.process.alive(), f"the app ended: {self.process.text()}")
        found = re.search(r"listening on (http://\S+)", self.process.text())
        return found and found.group(1)

    def find_pid(self):
        """Node's pid, which a prefix may have started as a child."""
        pids = [self.process.pid]
        while pids:
            pid = pids.pop()
            with contextlib.suppress(OSError):
                if os.path.samefile(f"/proc/{pid}/exe", self.node):
                    return pid
            pids += children(pid)
        return None

    def get(self, path, timeout=60):
        """What the app answers to a request of its own."""
        host = self.url.split("//")[1]
        connection = http.client.HTTPConnection(host, timeout=timeout)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            equal(response.status, 200, f"status of {self.url}{path}")
            return response.read()
        finally:
            connection.close()

    def stall_ms(self):
        return json.loads(self.get("/stall"))["longestStallMs"]

    def close(self):
        self.process.kill()


def children(pid):
    """The pids of a process's children; [] if it is gone."""
    found = []
    with contextlib.suppress(OSError):
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def has_open(process, path):
    """Has it this file or directory open?"""
    for entry in os.scandir(f"/proc/{process.pid}/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(entry) == str(path):
                return True
    return False


class Reply:
    def __init__(self, response, body, seconds):
        self.status = response.status
        self.headers = response.headers
        self.body = body
        self.seconds = seconds

    def __getitem__(self, name):
        return self.headers.get(name)

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Failed(f"{self.status} {self.text[:300]!r} is no JSON: "
                         f"{error}") from None

    def expect(self, status):
        check(self.status == status,
              f"status {self.status}, wanted {status}: {self.text[:400]}")
        return self

    def problem(self, status, kind=None, detail=None):
        """Check that this is a problem document, and return it."""
        self.expect(status)
        equal((self["Content-Type"] or "").split(";")[0],
              "application/problem+json", "Content-Type")
        document = self.json()
        for member in ("type", "title", "status", "detail", "instance"):
            check(document.get(member) not in (None, ""),
                  f"the problem has no {member}: {document}")
        equal(document["status"], status, "the problem's status")
        if kind is not None:
            matches(document["type"], rf"(^|[/:#]){kind}$", "type")
        if detail is not None:
            matches(document["detail"], detail, "detail")
        return document

    def papi_error(self, status, message, kind=None, detail=None):
        """A problem of one of the module's three endpoints."""
        document = self.problem(status, kind, detail)
        equal(document.get("resultCode"), "Error", "resultCode")
        if message is not None:
            equal(document.get("errorMessage"), message, "errorMessage")
        else:
            check(document.get("errorMessage"), "no errorMessage")
        return document


class Fake:
    """An app of a site with a scripted inspector."""

    def __init__(self, name, port):
        self.name = name
        self.hold = None
        self.inspector = fake_inspector.Inspector(port=port)

    def behave(self, behaviour="Behaviour", hold=False, **settings):
        """settings: the behaviour's own attributes."""
        self.hold = threading.Event() if hold else None
        made = fake_inspector.BEHAVIOURS[behaviour](self.hold)
        for name, value in settings.items():
            check(hasattr(made, name), f"{behaviour} has no {name}")
            setattr(made, name, value)
        self.inspector.behaviour = made
        return self

    @property
    def behaviour(self):
        return self.inspector.behaviour

    def release(self):
        if self.hold is not None:
            self.hold.set()

    def reopen(self):
        """Listen again, after inspector.close()."""
        def listen():
            # A child that is being started may have the old one still.
            with contextlib.suppress(OSError):
                return fake_inspector.Inspector(self.inspector.behaviour,
                                                self.inspector.port)
            return None
        self.inspector = until(listen, 20, "its port is free again")

    def methods(self):
        return [method for method, _ in self.inspector.commands]

    def parted(self):
        """Wait until a session has ended in order: the app is no longer to say
        when it exits, as Node may crash if a session ends just then."""
        last = ("NodeRuntime.notifyWhenWaitingForDisconnect",
                {"enabled": False})
        until(lambda: self.inspector.commands[-1] == last, 15,
              "the last that an inspector is asked")

    def started(self, within=15):
        """Wait until the capture has really begun."""
        check(self.inspector.behaviour.started.wait(within),
              f"no capture of {self.name} began within {within} s")

    def close(self):
        self.release()
        self.inspector.close()


def substitute(path, changes):
    """A shipped example with what is marked "adapt" replaced.  Each change
    must hit, so that no test runs a file that users do not get."""
    text = path.read_text()
    for old, new in changes.items():
        check(old in text, f"{path} has no {old!r} to adapt")
        text = text.replace(old, str(new))
    return text


class Site:
    """podprof behind one web server.

    front   nginx, lighttpd, apache-fcgi; apache-cgid and nginx-fcgiwrap, as
            plain CGI; apache-fcgid, which starts its pools by itself; or None:
            only the pool
    apps    {name: inspector address}
    conf    {section: {key: value}} that is added
    state   the state directory, if not below the site's own
    prefix  a command that starts the pool's command
    exchange  a directory of Run.exchange_dir(), for all apps but the fakes;
            where there is none only stream works
    service  the pool's user
    meetings  so many fakes more, which have it too
    sendfile  what the web server's example has for it is switched on; the
            group of artifacts/ is the web server's
    web_changes  {old: new} in the web server's example, for a case that shows
            what one of its lines is for
    """

    document = openapi.Document((TOP / "conf/openapi.json").read_text())

    def __init__(self, run, front="nginx", apps=None, conf=None, fakes=FAKES,
                 env=None, web_changes=None, state=None, prefix=(),
                 exchange=None, meetings=0, sendfile=False, service=SERVICE):
        self.run = run
        self.front = front
        self.env = env or {}
        self.web_changes = web_changes or {}
        self.sendfile = sendfile
        self.cgi = front in ("apache-cgid", "nginx-fcgiwrap")
        self.has_pool = not self.cgi and front != "apache-fcgid"
        self.service = service
        self.user = service if self.has_pool else WEB
        self.dir = run.subdir(front or "pool")
        self.pool_dir = run.subdir("socket", service)
        self.socket = self.pool_dir / "podprof.sock"
        self.state = state or self.dir / "state"
        self.prefix = list(prefix)
        self.exchange = exchange
        self.conf = self.dir / "podprof.conf"
        self.tokens_file = self.dir / "tokens"
        self.fakes = [Fake(f"fake{i}", run.port()) for i in range(fakes)]
        self.unused = list(self.fakes)
        self.meetings = [Fake(f"meeting{i}", run.port())
                         for i in range(meetings)]
        self.unmet = list(self.meetings)
        self.apps = {**{f.name: f.inspector.address
                        for f in self.fakes + self.meetings}, **(apps or {})}
        self.pool = self.server = self.wrapper = None
        self.port = None
        self.make_state()
        self.write_conf(conf or {})
        self.tokens = {role: self.new_token(role)
                       for role in ("viewer", "operator")}

    # What is on the disk.
    def make_state(self):
        self.state.mkdir()
        os.chown(self.state, self.user, self.user)
        self.state.chmod(0o711)
        if self.sendfile:
            artifacts = self.state / "artifacts"
            artifacts.mkdir()
            os.chown(artifacts, self.user, WEB)
            artifacts.chmod(0o2750)     # so that files get that group

    def write_conf(self, extra):
        sections = {
            "podprof": {"state_dir": self.state, "pod": POD},
            "auth": {"tokens": self.tokens_file},
            **{f"app {name}": {"inspector": address,
                               "exchange_dir": self.dir / "no-exchange"}
               for name, address in self.apps.items()}}
        lonely = {fake.name for fake in self.fakes}
        for name in self.apps.keys() - lonely if self.exchange else ():
            sections[f"app {name}"]["exchange_dir"] = self.exchange
        for section, keys in extra.items():
            sections.setdefault(section, {}).update(keys)
        self.conf.write_text("".join(
            f"[{section}]\n" + "".join(f"{key} = {value}\n"
                                       for key, value in keys.items())
            for section, keys in sections.items()))

    def tool(self, *args, status=0):
        """podprof, run by root."""
        done = subprocess.run(
            [self.run.bin / "podprof", "-c", self.conf, *args],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False)
        check(done.returncode == status,
              f"podprof {' '.join(args)}: exit {done.returncode}, wanted "
              f"{status}: {done.stdout}{done.stderr}")
        return done

    def new_token(self, role, name=None):
        secret = self.tool("token", "new", name or role, "--role",
                           role).stdout.strip()
        os.chown(self.tokens_file, 0, self.user)
        return secret

    # Processes.
    def start(self):
        if self.has_pool:
            self.start_pool()
        if self.front is not None:
            self.start_server()
        return self

    def start_pool(self):
        # spawn-fcgi knows no groups of a user that has no name.
        user = ["--", *as_user(self.service, [EXCHANGE])] if self.exchange \
            else ["-u", self.service, "-g", self.service, "--"]
        self.pool = Process(
            [*self.prefix, "spawn-fcgi", "-n", "-s", self.socket, "-M", "0660",
             "-U", self.service, "-G", WEB, *user,
             self.run.bin / "podprof.fcgi"],
            self.dir / "pool.log",
            env={"PODPROF_CONFIG": str(self.conf), **self.env})
        until(self.socket_answers, 20, "the pool's socket is there")

    def socket_answers(self):
        check(self.pool.alive(),
              f"the pool ended: {self.pool.text()[-2000:]}")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
        return True

    def start_server(self):
        self.web = self.run.subdir(self.front, WEB)
        self.port = self.run.port()
        if self.front == "nginx-fcgiwrap":
            self.start_wrapper()
        write, command = {
            "nginx": (self.write_nginx, [
                "nginx", "-p", self.web, "-e", "stderr", "-c",
                self.web / "nginx.conf"]),
            "lighttpd": (self.write_lighttpd, [
                "lighttpd", "-D", "-f", self.web / "lighttpd.conf"]),
            "apache": (self.write_apache, [
                "apache2", "-DFOREGROUND", "-f", self.web / "apache.conf"]),
        }[self.front.split("-")[0]]
        write()
        self.server = Process(
            command, self.web / "log", user=WEB, groups=self.web_groups(),
            env={"PATH": os.environ["PATH"] + ":/usr/sbin"})
        until(self.server_answers, 20, f"{self.front} answers")

    def web_groups(self):
        """Those that the web server, or fcgiwrap, needs to be podprof."""
        return [EXCHANGE] if self.user == WEB and self.exchange else ()

    def start_wrapper(self):
        """fcgiwrap, as nginx' example wants it."""
        self.wrapper = Process(
            ["spawn-fcgi", "-n", "-s", self.web / "fcgiwrap.sock", "-M",
             "0660", "--", "/usr/sbin/fcgiwrap", "-f", "-c", "32"],
            self.web / "fcgiwrap.log", user=WEB, groups=self.web_groups())
        until((self.web / "fcgiwrap.sock").exists, 20, "fcgiwrap's socket")

    def server_answers(self):
        check(self.server.alive(),
              f"{self.front} ended: {self.server.text()}")
        with contextlib.suppress(OSError):
            return self.request("GET", "/livez").status == 200
        return False

    def await_ready(self):
        """Until the pool has looked at its state for the first time."""
        until(lambda: self.request("GET", "/readyz").status == 200, 20,
              "ready")
        return self

    def switch_sendfile(self, pattern, name="podprof.conf"):
        """Take the comment signs off the lines of an example."""
        if not self.sendfile:
            return
        text = (self.web / name).read_text()
        check(re.search(pattern, text), f"{name} has no {pattern}")
        text = re.sub(pattern, lambda found: re.sub(
            r"(?m)^(\s*)#", r"\1", found.group()), text)
        (self.web / name).write_text(text.replace(
            "/var/lib/podprof/artifacts", str(self.state / "artifacts")))

    def write_nginx(self):
        (self.web / "podprof.conf").write_text(substitute(
            TOP / "conf/nginx/podprof.conf",
            {"127.0.0.1:8080": f"127.0.0.1:{self.port}"}))
        self.switch_sendfile(r"(?s)\t#location /podprof-artifacts/.*?\t#}\n")
        name, changes = "podprof-fastcgi.conf", {
            "/run/podprof/podprof.sock": self.socket}
        if self.wrapper is not None:
            name, changes = "podprof-fcgiwrap.conf", {
                "/run/fcgiwrap.socket": self.web / "fcgiwrap.sock",
                **self.program_paths()}
        (self.web / "podprof-fastcgi.conf").write_text(substitute(
            TOP / "conf/nginx" / name, {**changes, **self.web_changes}))
        temp = "".join(f"{name}_temp_path {self.web}/{name};\n" for name in
                       ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.web / "nginx.conf").write_text(
            f"daemon off;\npid {self.web}/pid;\nworker_processes 1;\n"
            "events { worker_connections 1024; }\n"
            f"http {{\naccess_log off;\n{temp}include podprof.conf;\n}}\n")

    def write_lighttpd(self):
        (self.web / "podprof.conf").write_text(substitute(
            TOP / "conf/lighttpd/podprof.conf",
            {"/run/podprof/podprof.sock": self.socket}))
        self.switch_sendfile(r'(?m)(^\s*#"x-sendfile.*\n)+')
        (self.web / "lighttpd.conf").write_text(
            'server.modules = ()\nserver.bind = "127.0.0.1"\n'
            f'server.port = {self.port}\n'
            f'server.document-root = "{self.web}"\n'
            f'server.upload-dirs = ( "{self.web}" )\n'
            'include "podprof.conf"\n')

    def program_paths(self):
        """What stands in examples that start the program."""
        return {"/usr/local/libexec/podprof": self.run.bin,
                "/usr/local/etc/podprof/podprof.conf": self.conf}

    def write_apache(self):
        name = self.front.split("-")[1]
        more = []
        if name == "fcgi":
            modules, name = ["proxy", "proxy_fcgi"], "proxy_fcgi"
            changes = {"/run/podprof/podprof.sock": self.socket}
        else:
            modules, changes = [name], self.program_paths()
            more = {"cgid": [f"ScriptSock {self.web}/cgisock\n"],
                    "fcgid": [f"FcgidIPCDir {self.web}/fcgid\n",
                              f"FcgidProcessTableFile {self.web}/shm\n"],
                    }[name]
        (self.web / "podprof.conf").write_text(substitute(
            TOP / f"conf/apache/{name}.conf", {**changes, **self.web_changes}))
        self.switch_sendfile(r"(?m)(^\s*#XSendFile.*\n)+")
        modules += ["mpm_event", "authz_core", "alias", "env"]
        if self.sendfile:
            modules.append("xsendfile")
        (self.web / "apache.conf").write_text(
            f"ServerRoot {self.web}\nPidFile {self.web}/pid\n"
            f"DefaultRuntimeDir {self.web}\nDocumentRoot {self.web}\n"
            f"Listen 127.0.0.1:{self.port}\nServerName localhost\n"
            # As nginx: what is closed sooner was not left to idle.
            "KeepAliveTimeout 75\n"
            f"ErrorLog {self.web}/error.log\n" +
            "".join(f"LoadModule {m}_module {APACHE_MODULES}/mod_{m}.so\n"
                    for m in modules) +
            "".join(more) +
            f"Include {self.web}/podprof.conf\n")

    def restart_pool(self):
        status = self.pool.stop()
        self.start_pool()
        return status

    def logs(self):
        files = [self.dir / "pool.log", self.state / "capture.log",
                 self.state / "capture.log.1"]
        if self.server is not None:
            files += [self.web / "log", self.web / "error.log",
                      self.web / "fcgiwrap.log"]
        return {path: path.read_text(errors="replace")
                for path in files if path.exists()}

    def sql(self, statement):
        """What sqlite3 prints of the database, as its owner."""
        done = subprocess.run(
            ["setpriv", f"--reuid={self.user}", f"--regid={self.user}",
             "--clear-groups", "--", "sqlite3", "-bail", "-cmd",
             ".timeout 5000", self.state / "podprof.db", statement],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=30, check=False)
        check(done.returncode == 0, f"{statement}: {done.stderr}")
        return done.stdout

    def captures(self, job_id=""):
        """Pids of podprof-capture processes of this site, or of a job."""
        return [pid for pid, args in self.run.programs("podprof-capture")
                if bytes(self.conf) in args and job_id.encode() in args]

    def watchdogs(self, job_id=""):
        """Pids of those that watch over them.  Not every one is told of an
        exchange_dir, but each has the site's environment."""
        ours = f"PODPROF_CONFIG={self.conf}".encode()
        found = []
        for pid, args in self.run.programs("podprof-capture"):
            if b"--watchdog" not in args or job_id.encode() not in args:
                continue
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/environ", "rb") as environment:
                    if ours in environment.read().split(b"\0"):
                        found.append(pid)
        return found

    def exchanged(self):
        """Names in exchange_dir, but for leases, which end by their age."""
        return sorted(name for name in os.listdir(self.exchange) if not
                      name.startswith("podprof-freeze-")
                      ) if self.exchange else []

    def files(self):
        """Names in artifacts/, but for what podprof tries the disk with."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(set(os.listdir(self.state / "artifacts")) -
                          {".write-test"})
        return []

    def files_of(self, job_id):
        return [name for name in self.files() if name.startswith(job_id)]

    def stored(self, job_id):
        """The path of the one file that a job has."""
        names = self.files_of(job_id)
        equal(len(names), 1, f"files of job {job_id}: {names}")
        return self.state / "artifacts" / names[0]

    def parts(self):
        """Files of the state directory that are no whole artifact."""
        return sorted(name for name in self.files()
                      if not WHOLE_FILE.search(name))

    def close(self):
        """End everything, and look for what should not be left."""
        for fake in self.fakes + self.meetings:
            fake.close()
        faults = []
        try:
            until(lambda: not self.captures() and not self.watchdogs(), 40,
                  "captures are over")
        except Failed as error:
            faults.append(str(error))
            for pid in self.captures() + self.watchdogs():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for process in (self.server, self.wrapper, self.pool):
            try:
                if process is not None:
                    process.stop()
            except Failed as error:
                faults.append(str(error))
        if self.parts():
            faults.append(f"left in artifacts: {self.parts()}")
        if self.exchanged():
            faults.append(f"left in exchange_dir: {self.exchanged()}")
        for path, text in self.logs().items():
            found = SANITIZER.search(text)
            if found:
                start = max(0, found.start() - 200)
                faults.append(f"{path}: {text[start:start + 4000]}")
        check(not faults, "\n".join(faults))

    # Requests.
    def request(self, method, path, token=None, headers=None, body=None,
                timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=timeout)
        send = dict(headers or {})
        if token is not None:
            send["Authorization"] = f"Bearer {self.tokens.get(token, token)}"
        began = time.monotonic()
        try:
            connection.request(method, path, body=body, headers=send)
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        reply = Reply(response, data, time.monotonic() - began)
        # Lists of a thousand jobs are nothing new; and a web server that was
        # set up wrongly may ask podprof for something else.
        if len(data) < DESCRIBED_BYTES and not self.web_changes:
            self.document.check(method, path, reply)
        return reply

    def papi(self, app, tail, method="GET", token="operator", **more):
        name = app.name if isinstance(app, Fake) else app
        return self.request(method, f"/{name}/private/papi/{tail}", token,
                            **more)

    def post_job(self, app, kind, **options):
        return self.papi(app, "jobs", "POST",
                         body=json.dumps({"kind": kind, **options}),
                         headers={"Content-Type": "application/json"})

    def job(self, app, job_id):
        return self.papi(app, f"jobs/{job_id}").expect(200).json()

    def jobs(self, app, query=""):
        return self.papi(app, f"jobs{query}").expect(200).json()["jobs"]

    def wait_job(self, app, job_id, within=60, states=FINAL):
        """The job once it is in one of the states, by Prefer: wait."""
        deadline = time.monotonic() + within
        while True:
            job = self.papi(app, f"jobs/{job_id}",
                            headers={"Prefer": "wait=5"}).expect(200).json()
            if job["state"] in states:
                return job
            check(time.monotonic() < deadline,
                  f"job not {'/'.join(states)} within {within} s: {job}")

    def held_job(self, app):
        """A heap snapshot that is held in its middle, and of which all has
        been recorded that will be until it is released; the job's id."""
        job_id = self.take(app)
        app.started()

        def rests():
            # Not by the time alone: on a busy machine any answer takes long.
            before = self.job(app, job_id)
            reply = self.papi(app, f"jobs/{job_id}",
                              headers={"Prefer": "wait=1"}).expect(200)
            return reply.seconds >= 1 and reply.json() == before and \
                before["phase"] == "writing" and \
                before["progress"]["bytes"]
        until(rests, 20, "nothing changes any more")
        return job_id

    def refusal(self, app, send, kind, detail=None):
        """What send() is answered by an order that is refused, and of which
        no job is left.  A busy machine may not know the reason in time: then
        it is the job's error, and the order is sent again."""
        def refused():
            reply = send()
            job_id = reply["X-Job-Id"]
            if job_id is None:
                return reply
            error_is(self.wait_job(app, job_id), kind, detail)
            until(lambda: self.papi(app, f"jobs/{job_id}", "DELETE").status ==
                  204, 10, "the job is removed")
            return None
        return until(refused, 60, "refused at once")

    def take(self, app, **more):
        """takeMemorySnapshot; the job's id."""
        reply = self.papi(app, "takeMemorySnapshot", **more).expect(200)
        return reply["X-Job-Id"]

    def take_forced(self, app):
        """takeMemorySnapshot, whatever the memory guard says."""
        return self.papi(app, "takeMemorySnapshot?force=1").expect(
            200)["X-Job-Id"]

    def take_free(self, app, within=60):
        """The same, once V8 is through with what it does not stop."""
        reply = until(lambda: (lambda r: r if r.status != 409 else None)(
            self.papi(app, "takeMemorySnapshot")), within, "the app is free")
        return reply.expect(200)["X-Job-Id"]

    def take_whole(self, app):
        """A heap snapshot from its order to its end; the job."""
        job = self.wait_job(app, self.take(app))
        equal(job["state"], "succeeded", f"state of {job['error']}")
        return job

    def fake(self, behaviour="Behaviour", hold=False, **settings):
        """An app of this site that no case has used yet."""
        check(self.unused, "more fakes are needed: see FAKES")
        return self.unused.pop(0).behave(behaviour, hold, **settings)

    def meeting(self, behaviour="Meeting", hold=False, **settings):
        """The same, one that podprof meets in exchange_dir."""
        check(self.unmet, "more meetings are needed: see MEETINGS")
        return self.unmet.pop(0).behave(behaviour, hold, **settings)


def seconds_between(first, second):
    """Of two times as the API tells them."""
    first, second = (datetime.datetime.fromisoformat(
        time.replace("Z", "+00:00")) for time in (first, second))
    return (second - first).total_seconds()


def unzstd(data):
    """What the zstd command makes of these bytes."""
    done = subprocess.run(["zstd", "-dcq"], input=data, capture_output=True,
                          timeout=60, check=False)
    check(done.returncode == 0, f"zstd -dc: {done.stderr.decode()}")
    return done.stdout


@contextlib.contextmanager
def tmpfs(path, options):
    """A file system of its own at path."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path],
                   check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def fill(file):
    """Write to the file, opened without a buffer, until its disk is full."""
    data = bytes(1 << 20)
    while data:
        try:
            file.write(data)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            data = data[:len(data) // 2]


@contextlib.contextmanager
def filled(path):
    """Not a byte is free on the file system of this directory."""
    filler = path / "filler"
    try:
        with open(filler, "wb", buffering=0) as file:
            fill(file)
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def kept_filled(path):
    """As filled(), and somebody takes at once whatever others give up."""
    filler = path / "filler"
    over = threading.Event()

    def run():
        with open(filler, "wb", buffering=0) as file:
            fill(file)
            began.set()
            while not over.wait(0.0005):
                fill(file)
    began = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    try:
        check(began.wait(20), f"{path} was not filled")
        yield
    finally:
        over.set()
        thread.join()
        filler.unlink()


def check_whole(reply, job):
    """A 200 brings exactly what its headers and the job promise."""
    digest = hashlib.sha256(reply.expect(200).body)
    equal(reply["Content-Length"], str(len(reply.body)), "Content-Length")
    equal(reply["Repr-Digest"],
          f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
          "Repr-Digest")
    stored = reply["Content-Encoding"] == "zstd"
    equal(digest.hexdigest(),
          job["artifact"]["storedSha256" if stored else "sha256"],
          f"digest of what was served of job {job['id']}")


def run_reader(run, script, *args):
    """What a reader that is not ours says of a file; None if it refuses."""
    done = subprocess.run(
        [run.newest(), TOP / "tests/e2e" / script, *args],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
        check=False)
    if done.returncode != 0:
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def check_artifact(run, data, suffix, *args):
    """Run the checker that users get over these bytes."""
    path = run.subdir("artifact") / f"a.{suffix}"
    path.write_bytes(data)
    done = subprocess.run(
        [run.node, run.dir / "check-artifact.js", path, *args],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        check=False)
    path.unlink()
    check(done.returncode in (0, 1), f"checker: {done.stderr}")
    return done.returncode == 0, done.stdout.strip()


def in_parallel(calls):
    """Results of the callables, run in threads at once; fails with all their
    failures.  A dictionary gives them names."""
    names = calls if isinstance(calls, dict) else range(len(calls))
    results, faults = {}, []

    def one(name):
        try:
            results[name] = calls[name]()
        except Exception as error:  # handed to the case's thread
            faults.append(f"{name}: {type(error).__name__}: {error}")

    threads = [threading.Thread(target=one, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not faults, "\n".join(faults))
    return [results[name] for name in names]
