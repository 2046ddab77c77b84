"""podprof, the tool, as people use it at night: each command far away and on
this machine, links that are cut, Ctrl-C, terminals, what it refuses."""
import contextlib
import hashlib
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time

from case_methods import POOR
from harness import (SERVICE, App, Failed, Site, check, equal, error_is,
                     filled, matches, once, seconds_between, tmpfs, until)

ESCAPE = "\033"
CUT = 100, 1 << 20, 3 << 20
MIB = 1 << 20


class Desk:
    """A directory with the tool before it, and a service for it."""

    def __init__(self, site, app, url=None, token="operator"):
        self.site = site
        self.app = app
        self.dir = site.run.subdir("desk")
        self.env = {"PATH": os.environ["PATH"], "TERM": "xterm"}
        self.more = ["-c", site.conf]
        if url is not None:
            self.more = []
            self.env["PODPROF_URL"] = url
            if token is not None:
                self.env["PODPROF_TOKEN"] = site.tokens.get(token, token)

    def command(self, *args):
        app = self.app if isinstance(self.app, str) else self.app.name
        more = self.more if "sweep" in args else ["--app", app, *self.more]
        return [str(arg) for arg in (self.site.run.bin / "podprof", *args,
                                     *more)]

    def run(self, *args, status=0, timeout=120):
        done = subprocess.run(
            self.command(*args), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout, cwd=self.dir,
            env=self.env, check=False)
        check(done.returncode == status,
              f"podprof {' '.join(map(str, args))}: exit {done.returncode}, "
              f"wanted {status}: {done.stdout}{done.stderr}")
        check(ESCAPE not in done.stdout + done.stderr,
              f"escape codes without a terminal: {done}")
        return done

    def json(self, *args, **more):
        done = self.run(*args, "--json", **more)
        equal(done.stdout.count("\n"), 1, "lines")
        return json.loads(done.stdout)

    def refused(self, status, text, *args):
        """It ends so, and says this; nothing is on standard output."""
        done = self.run(*args, status=status)
        matches(done.stderr, text, "what it says")
        equal(done.stdout, "", "standard output")

    def file(self, name):
        return self.dir / name.strip()


def far(site, app, path="", **more):
    return Desk(site, app, f"http://127.0.0.1:{site.port}{path}", **more)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Terminal:
    """The tool on a terminal of so many columns."""

    def __init__(self, desk, *args, columns=80, env=None):
        self.text = ""
        pid, self.fd = pty.fork()
        if pid == 0:
            try:
                os.chdir(desk.dir)
                os.execve(desk.command()[0], desk.command(*args), {
                    **desk.env, **(env or {}), "COLUMNS": str(columns)})
            finally:
                os._exit(127)
        self.pid = pid

    def read(self, within=0.05):
        """What it has shown so far; False once it has ended."""
        if not select.select([self.fd], [], [], within)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.text += data.decode()
        return bool(data)

    def shows(self, pattern, within=30):
        until(lambda: self.read() is None or re.search(pattern, self.text),
              within, f"{pattern!r} is shown; there is {self.text!r}",
              every=0)

    def press(self, key):
        os.write(self.fd, key)

    def end(self, within=60):
        """Its exit status."""
        deadline = time.monotonic() + within
        while self.read():
            check(time.monotonic() < deadline, f"no end: {self.text!r}")
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def lines(self):
        """As they stay: without what was drawn over."""
        return [re.sub(rf"{ESCAPE}\[[0-9;]*[mK]", "", line).split("\r")[-1]
                for line in self.text.replace("\r\n", "\n").split("\n")]


class Cutter:
    """A link to a port on which the first connections break off, each after so
    many bytes of answers.

    passed  bytes, both ways
    """

    def __init__(self, port, cuts):
        self.to = port
        self.cuts = list(cuts)
        self.passed = 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.server.accept()[0]
                budget = self.cuts.pop(0) if self.cuts else None
                threading.Thread(target=self.pass_on, daemon=True,
                                 args=(client, budget)).start()

    def pass_on(self, client, budget):
        with client, socket.create_connection(
                ("127.0.0.1", self.to)) as server, contextlib.suppress(
                    OSError):
            while True:
                for one in select.select([client, server], [], [])[0]:
                    data = one.recv(65536)
                    if not data:
                        return
                    if one is server and budget is not None:
                        data = data[:budget]
                        budget -= len(data)
                    self.passed += len(data)
                    (server if one is client else client).sendall(data)
                    if budget == 0:
                        return

    def close(self):
        self.server.close()


@contextlib.contextmanager
def started(run, apps=None, **more):
    site = Site(run, "nginx", apps=apps, **more)
    try:
        site.start().await_ready()
        yield site
    finally:
        site.close()


def without_links(job):
    """The address of a service is not the same on the machine itself."""
    return {**job, "links": None,
            "artifact": {**job["artifact"], "href": None}}


def bring_each_kind(desk):
    """take of each kind; the ids."""
    ids = []
    for kind, *options in (("heap-snapshot",),
                           ("cpu-profile", "--duration", "200ms",
                            "--interval", "500"),
                           ("heap-profile", "--duration", "200ms",
                            "--sampling-bytes", "4K")):
        done = desk.run("take", kind, *options)
        job = desk.json("jobs", "--limit", 1)["jobs"][0]
        equal(job["kind"], kind, "kind of the newest")
        equal(sha256(desk.file(done.stdout)), job["artifact"]["sha256"],
              "digest")
        equal(done.stdout.strip(), job["artifact"]["name"], "name")
        matches(done.stderr, "DevTools", "how to open it")
        matches(done.stderr, r"(?m)^podprof: [a-z]+$", "phases")
        ids.append(job["id"])
    equal(job["options"], {"durationMs": 200, "samplingBytes": 4096},
          "options")
    return ids


@once("the tool: every command, far away and on this machine")
def _(run):
    app = App(run)
    with started(run, {"sample": app.address}, fakes=0) as site:
        there, here = far(site, "sample"), Desk(site, "sample")
        ids = bring_each_kind(there) + bring_each_kind(here)
        who = [job["requestedBy"] for job in site.jobs("sample")]
        equal(who, ["local:0"] * 3 + ["operator"] * 3, "who asked")
        for path in (site.state / "artifacts").iterdir():
            equal(path.stat().st_uid, SERVICE, f"owner of {path}")
        equal([job["id"] for job in here.json("jobs")["jobs"]], ids[::-1],
              "jobs")
        equal([job["id"] for job in there.json(
            "jobs", "--kind", "cpu-profile", "--state", "succeeded")["jobs"]],
            [ids[4], ids[1]], "jobs of a kind")
        # By its beginning, which has the time of its making.
        short, last = ids[0][:23], ids[3]
        equal(without_links(there.json("show", short)),
              without_links(here.json("show", ids[0].upper())), "show")
        summary = there.json("summary", short)
        equal(summary, here.json("summary", short), "summary")
        equal(sum(c["count"] for c in summary["classes"]), summary["nodes"],
              "nodes of all classes")
        equal(len(here.json("summary", short, "--limit", 2)["classes"]), 2,
              "classes")
        equal(there.json("diff", last, short), here.json("diff", last, short),
              "diff")
        for desk in there, here:
            text = desk.run("summary", short).stdout
            matches(text, r"^[0-9,]+ nodes, [0-9,]+ edges, [0-9,]+ bytes",
                    "totals")
            matches(text, r"\n *[0-9,]+ +[0-9,]+ +[0-9.]+  \(string\)\n",
                    "a class")
            matches(desk.run("diff", last, short).stdout,
                    r"\n *[+-][0-9,]+ +[+-][0-9,]+ ", "a class that changed")
            matches(desk.run("show", short).stdout,
                    r"(?m)^kind +heap-snapshot$", "show")
            # On a busy machine a look may be too late to tell anything.
            equal(until(lambda d=desk: d.json("target")["pid"], 30,
                        "the pid is known", 0.2), app.pid, "pid")
            until(lambda d=desk: re.search(
                r"(?m)^method +stream: would", d.run("target").stdout), 30,
                "target tells of the methods", 0.2)
            matches(desk.run("jobs").stdout.split("\n")[1],
                    rf"^{ids[-1]}  heap-profile +succeeded .*  -  ",
                    "the newest")
            check(not re.search("(?m)^method", desk.run("show",
                                                        ids[-1]).stdout),
                  "a method of a profile")
        # Into a directory, over a file, to standard output; never over a
        # file that was not named.
        there.file("sub").mkdir()
        equal(there.run("get", ids[0], "-o", "sub").stdout.split("/")[0],
              "sub", "its place")
        there.refused(4, "there already", "get", ids[0])
        there.file("x").write_text("old")
        equal(there.json("get", ids[0], "-o", "x")["file"], "x", "file")
        digest = there.json("show", ids[0])["artifact"]["sha256"]
        equal(sha256(there.file("x")), digest, "digest")
        equal(hashlib.sha256(here.run(
            "get", ids[0], "-o", "-").stdout.encode()).hexdigest(), digest,
            "standard output")
        job_id = here.run("take", "cpu-profile", "--duration", "100ms",
                          "--no-wait").stdout.strip()
        there.run("get", job_id, "-o", "y")
        equal(there.json("rm", job_id), {"removed": job_id}, "rm")
        here.refused(3, "no job", "rm", job_id)
    app.close()


@once("the tool: a snapshot over a link that is cut again and again is whole")
def _(run):
    with started(run, fakes=1) as site:
        app = site.fake("Big", size=8 * MIB, noise=True)
        # The answer to the order is lost, too, and then the file twice.
        link = Cutter(site.port, CUT)
        desk = Desk(site, app, f"http://127.0.0.1:{link.port}"
                    f"/{app.name}/private/papi/")
        done = desk.run("take", "heap-snapshot", "-o", "whole")
        equal(link.cuts, [], "cuts that were not met")
        equal(len(site.jobs(app)), 1, "jobs of one order")
        equal(sha256(desk.file("whole")), app.behaviour.sha256(), "digest")
        equal(sorted(os.listdir(desk.dir)), ["whole"], "files")
        check(done.stderr.count("trying again") >= 2, done.stderr)
        matches(done.stderr, app.behaviour.sha256(), "the digest is told")
        # What somebody's earlier try has left is not loaded again.
        link.passed = 0
        desk.file("again.part").write_bytes(
            desk.file("whole").read_bytes()[:6 * MIB])
        desk.run("get", site.jobs(app)[0]["id"], "-o", "again")
        link.close()
        equal(sha256(desk.file("again")), app.behaviour.sha256(), "digest")
        check(link.passed < desk.file("again").stat().st_size - 5 * MIB,
              f"{link.passed} bytes passed")
        equal(sorted(os.listdir(desk.dir)), ["again", "whole"], "files")


@once("the tool: a bar that moves, Ctrl-C, and the way back")
def _(run):
    with started(run, fakes=2) as site:
        app = site.fake("Stepwise", size=5 * MIB)
        desk = far(site, app)
        screen = Terminal(desk, "take", "heap-snapshot", "-o", "a b", "--url",
                          desk.env["PODPROF_URL"])
        screen.shows(r"job [0-9a-f-]{36}")
        app.started()
        screen.shows(r"\rstarting .*frozen [0-9.]+m?s")
        app.behaviour.steps.release(2)
        screen.shows(r"\rwriting +\[=*>? *\] +50%")
        app.behaviour.steps.release(1)
        screen.shows(r"\rwriting +\[=*>? *\] +66%")
        screen.press(b"\x03")
        equal(screen.end(), 1, "exit status")
        lines = screen.lines()
        check(max(map(len, re.split("[\r\n]", screen.text))) < 200, lines)
        job_id = site.jobs(app)[0]["id"]
        check(any(f"job {job_id} goes on" in line for line in lines), lines)
        back = f"  podprof get {job_id} --url {desk.env['PODPROF_URL']} " \
            f"--app {app.name} -o 'a b'"
        check(back in lines, f"no {back!r} in {lines}")
        equal(site.job(app, job_id)["state"], "running", "state")
        # SIGTERM to one that waits without a terminal is the same.
        waiting = subprocess.Popen(desk.command("get", job_id),
                                   env=desk.env, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, cwd=desk.dir,
                                   text=True)
        equal(waiting.stderr.readline(), "podprof: writing\n", "phase")
        waiting.send_signal(signal.SIGTERM)
        out, err = waiting.communicate(timeout=60)
        equal((waiting.returncode, out), (1, ""), "exit status, output")
        matches(err, f"(?m)^  podprof get {job_id}", "the way back")
        # And back.
        screen = Terminal(desk, "get", job_id, "-o", "a b")
        screen.shows(r"\rwriting")
        app.behaviour.steps.release(1000)
        equal(screen.end(), 0, "exit status")
        equal(sha256(desk.file("a b")), app.behaviour.sha256(), "digest")
        equal(screen.lines()[-2], "a b", "the last line")


@once("the tool: what fits a terminal, and colours where there are some")
def _(run):
    with started(run, fakes=2) as site:
        good, bad = site.fake(), site.fake("CloseMidChunk")
        site.take_whole(good)
        site.wait_job(bad, site.take(bad))
        for app, state, colour in (good, "succeeded", 32), (bad, "failed", 31):
            desk = far(site, app)
            for columns in 30, 45, 80, 200:
                screen = Terminal(desk, "jobs", columns=columns)
                equal(screen.end(), 0, "exit status")
                check(f"{ESCAPE}[{colour}m{state}" in screen.text,
                      screen.text)
                check(all(len(line) <= max(columns, 37)
                          for line in screen.lines()), screen.lines())
            for env in {"NO_COLOR": "1"}, {"TERM": "dumb"}:
                screen = Terminal(desk, "jobs", columns=80, env=env)
                equal(screen.end(), 0, "exit status")
                check(ESCAPE not in screen.text, screen.text)
        job_id = site.jobs(bad)[0]["id"]
        screen = Terminal(far(site, bad), "show", job_id, columns=50)
        equal(screen.end(), 0, "exit status")
        check(all(len(line) <= 50 or "-" in line
                  for line in screen.lines()), screen.lines())
        # On a terminal that cannot draw there are lines, not a bar.
        screen = Terminal(far(site, good), "take", "cpu-profile",
                          "--duration", "100ms", env={"TERM": "dumb"})
        equal(screen.end(), 0, "exit status")
        # Of the phases of a capture that short some may not be seen.
        check("podprof: loading" in screen.lines(), screen.lines())
        check(ESCAPE not in screen.text, screen.text)


def has_refused(desk):
    """A snapshot that the memory guard does not allow.  A busy machine may
    not know that in time: then it is the error of a job, which is removed."""
    site, app = desk.site, desk.app
    try:
        desk.refused(4, "(?s)limit of 200 MB.*take ... --force", "take",
                     "heap-snapshot")
        return True
    except Failed:
        left = site.jobs(app)
        if not left:
            raise
    for job in left:
        error_is(site.wait_job(app, job["id"]), "space", "limit of 200 MB")
        until(lambda i=job["id"]: site.papi(app, f"jobs/{i}", "DELETE").status
              == 204, 10, "the job is removed")
    return False


@once("the tool: what is refused, and what went wrong, each with its status")
def _(run):
    with started(run, fakes=4) as site:
        app, poor, bad = (site.fake(hold=True), site.fake(**POOR),
                          site.fake("CloseMidChunk"))
        desk = far(site, app)
        far(site, app, token=None).refused(4, "PODPROF_TOKEN is not set",
                                           "jobs")
        far(site, app, token="podprof_wrong").refused(
            4, "it was sent from PODPROF_TOKEN", "jobs")
        far(site, app, token="viewer").refused(4, "operator", "take",
                                               "heap-snapshot")
        far(site, "other").refused(3, "no app", "jobs")
        far(site, app, path="/elsewhere").refused(3, "podprof", "jobs")
        # Nothing listens there: it is said at once, not tried again.
        began = time.monotonic()
        Desk(site, app, "http://127.0.0.1:1").refused(1, "reached", "take",
                                                      "heap-snapshot")
        check(time.monotonic() - began < 20, "it was waited for")
        Desk(site, app, "ftp://h").refused(2, "http", "jobs")
        desk.refused(2, "--duration: a heap-snapshot has", "take",
                     "heap-snapshot", "--duration", "1s")
        desk.refused(2, "--duration: must be from 100ms to 2m", "take",
                     "cpu-profile", "--duration", "3m")
        desk.refused(2, "--state: ", "jobs", "--state", "bad")
        desk.refused(2, "--limit: ", "jobs", "--limit", "0")
        desk.refused(3, "no job", "show", "0" * 8)
        desk.refused(2, "ID", "show", "0" * 7)
        desk.refused(3, "no job", "get", "0198c0de-7b1e-7c3a-9f00-"
                     "5d2e6a1b4c77")
        # One that is in the way is named, with what to do.
        job_id = desk.run("take", "heap-snapshot", "--no-wait").stdout.strip()
        desk.refused(4, f"\n  podprof get {job_id}", "take", "heap-snapshot")
        desk.refused(4, "", "summary", job_id)
        matches(desk.run("rm", job_id).stderr, "canceled", "rm")
        desk.refused(1, "canceled", "get", job_id)
        app.release()
        matches(far(site, site.fake("CloseList")).run("target").stdout,
                r"(?m)^inspector .*, does not answer: does the app run, .*"
                "podprof check", "target")
        desk = far(site, poor)
        until(lambda: has_refused(desk), 60, "refused at once")
        equal(site.jobs(poor), [], "jobs")
        desk.run("take", "heap-snapshot", "--force", "-o", "forced")
        desk = far(site, bad)
        desk.refused(1, "the capture failed: ", "take", "heap-snapshot")
        job = desk.json("take", "heap-snapshot", status=1)
        equal(job["state"], "failed", "state")
        # A place that cannot be written is told before anything is captured.
        desk.refused(1, "no-dir", "take", "heap-snapshot", "-o", "no-dir/x")
        equal(len(site.jobs(bad)), 2, "jobs")


@once("the tool: no room for the file is told, and get brings it later")
def _(run):
    with started(run, fakes=1) as site:
        app = site.fake("Big", size=4 * MIB, noise=True)
        desk = far(site, app)
        disk = run.subdir("disk")
        with tmpfs(disk, "size=6m"):
            with filled_but(disk, 2 * MIB):
                desk.refused(1, "(?s)no room.* MB.*podprof get", "take",
                             "heap-snapshot", "-o", disk / "x")
                check(not (disk / "x").exists(), "there is a file")
            job_id = site.jobs(app)[0]["id"]
            desk.run("get", job_id, "-o", disk / "x")
            equal(sha256(disk / "x"), app.behaviour.sha256(), "digest")
            equal(os.listdir(disk), ["x"], "files")


@contextlib.contextmanager
def filled_but(path, bytes_free):
    """So much is free on the file system of this directory, and no more."""
    spare = path / "spare"
    spare.write_bytes(bytes(bytes_free))
    with filled(path):
        spare.unlink()
        yield


@once("the tool: sweep removes what has expired, where no pool does")
def _(run):
    site = Site(run, None, fakes=1, conf={"limits": {"keep": "2h"}})
    try:
        app = site.fake()
        desk = Desk(site, app)
        done = desk.run("take", "heap-snapshot")
        check(desk.file(done.stdout).exists(), done.stdout)
        name = site.files()[0]
        job = desk.json("jobs")["jobs"][0]
        equal(seconds_between(job["finishedAt"], job["expiresAt"]), 7200,
              "keep")
        equal(desk.json("sweep")["removed"], [], "removed before")
        site.sql("UPDATE jobs SET expires_at_ms = 1")
        swept = desk.json("sweep")
        equal([row["name"] for row in swept["removed"]], [name], "removed")
        equal(swept["left"], {"files": 0, "size": 0}, "left")
        equal(site.files(), [], "files")
        matches(desk.run("sweep").stdout, "^0 files removed", "sweep")
        equal([row["id"] for row in desk.json("jobs")["jobs"]], [job["id"]],
              "rows that stay")
        desk.refused(3, "", "get", job["id"], "-o", "again")
        check(pathlib.Path(site.state / "podprof.db").stat().st_uid ==
              SERVICE, "the database is root's")
    finally:
        site.close()
