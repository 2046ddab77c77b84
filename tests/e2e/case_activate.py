"""Apps without --inspect: podprof opens their inspector by SIGUSR1 for as long
as a job needs it, and no longer, whatever becomes of anybody meanwhile."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import time

from case_check import findings, is_late, said
from harness import (APP, EXCHANGE, FINAL, SERVICE, TOP, WEB, Process, Site,
                     activate, as_user, check, equal, error_is, in_parallel,
                     until)
from stress import Load

# Inspectors that a killed capture left open are closed within so many seconds.
CLOSED_WITHIN = 60


class ClosedApp:
    """An app whose inspector is closed, of podprof's own user.

    more    the script's own arguments; of closed-app.js: what it does
    args    Node's own
    """

    def __init__(self, run, *more, script="closed-app.js", node=None, args=(),
                 user=SERVICE, env=None, port=None):
        shutil.copy(TOP / "tests/e2e" / script, run.dir)
        self.port = port or run.port()
        self.address = f"127.0.0.1:{self.port}"
        self.dir = run.subdir("app", user)
        self.process = Process(
            [*as_user(user, [EXCHANGE]), node or run.node,
             f"--inspect-port={self.port}", *args, run.dir / script, *more],
            self.dir / "log", cwd=self.dir, env=env)
        self.pid = self.process.pid
        found = until(lambda: re.search(
            r"ready|listening on (http://\S+)", self.process.text()), 60,
            f"{self.process.log} says that it is ready")
        self.url = found.group(1)

    def log_has(self, text):
        return self.process.text().count(text)

    def close(self):
        self.process.kill()


def listening():
    """(port, inode) of each socket of this machine that listens."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                found.add((int(fields[1].rsplit(":", 1)[1], 16), fields[9]))
    return found


def is_open(port):
    return any(number == port for number, _ in listening())


def ports_of(pid):
    """Where a process listens."""
    sockets = {f"socket:[{inode}]": port for port, inode in listening()}
    found = []
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(fd) in sockets:
                found.append(sockets[os.readlink(fd)])
    return sorted(found)


def conf_of(**pids):
    return {f"app {name}": {"activate": "sigusr1", "pid": pid}
            for name, pid in pids.items()}


@contextlib.contextmanager
def site_of(run, apps, conf=None, front="nginx", **more):
    """A site of apps that are activated; all are closed at the end."""
    site = Site(run, front, fakes=0, apps={
        name: app.address for name, app in apps.items()},
        conf=conf or conf_of(**{name: app.pid for name, app in apps.items()}),
        **more)
    try:
        yield site.start()
    finally:
        site.close()
        for app in apps.values():
            app.close()


def profile(site, app, milliseconds, **more):
    return site.post_job(app, "cpu-profile", durationMs=milliseconds,
                         **more).expect(202).json()["id"]


def profile_in_turn(site, app, milliseconds):
    """Of one that has its inspector where another's may still be open: that is
    waited for a moment by podprof, and then by whoever asks; the job."""
    other = "target-unreachable", "closes it after that job"

    def profiled():
        reply = site.post_job(app, "cpu-profile", durationMs=milliseconds)
        if reply.status != 202:
            reply.problem(503, *other)
            return None
        job = site.wait_job(app, reply.json()["id"])
        if job["state"] == "succeeded":
            return job
        # On a busy machine the request did not wait for that.
        error_is(job, *other)
        site.papi(app, f"jobs/{job['id']}", "DELETE").expect(204)
        return None
    return until(profiled, 60, f"it is {app}'s turn")


def succeeds(site, app, job_id):
    job = site.wait_job(app, job_id)
    equal(job["state"], "succeeded", f"state, {job['error']}")
    return job


def refused(site, app, status, kind, detail):
    """A capture is, in words; at once, where this machine is not so busy that
    the request did not wait for that.  It is ordered again where it is so busy
    that who listens there has not answered."""
    def is_refused():
        reply = site.post_job(app, "cpu-profile", durationMs=200)
        if reply.status != 202:
            if has_no_answer(reply.json()):
                return False
            reply.problem(status, kind, detail)
            return True
        job = site.wait_job(app, reply.json()["id"])
        site.papi(app, f"jobs/{job['id']}", "DELETE").expect(204)
        if job["state"] == "failed" and has_no_answer(job["error"]):
            return False
        error_is(job, kind, detail)
        return True

    def has_no_answer(problem):
        return problem["type"].endswith("target-timeout") and \
            "no answer in time" in problem["detail"]
    until(is_refused, 60, f"whoever listens for {app} answers")
    equal(site.jobs(app), [], "jobs that are left")


def held_open(site, app):
    """A job that lasts until it is ended."""
    job_id = profile(site, app, 60000)

    def is_profiled():
        job = site.job(app, job_id)
        check(job["state"] not in FINAL, f"it is over: {job['error']}")
        return job["phase"] == "profiling"
    until(is_profiled, 30, f"{app} is profiled")
    return job_id


def ended(site, name, app, job_id):
    """It is canceled, and the inspector closed then."""
    site.papi(name, f"jobs/{job_id}", "DELETE").expect(202)
    equal(site.wait_job(name, job_id)["state"], "canceled", "state")
    until(lambda: not is_open(app.port), CLOSED_WITHIN, f"{name} is closed")


def target_of(site, app, reachable, activated, has_pid=True):
    """What is known of it, once that is so: an answer is shared for a second,
    and a look that takes too long tells of nothing, not even of the pid."""
    wanted = {"reachable": reachable, "activated": activated}

    def look():
        target = site.papi(app, "target").expect(200).json()
        return target if wanted.items() <= target["inspector"].items() and \
            (target["pid"] is not None or not has_pid) else None
    return until(look, 30, f"inspector of {app}: {wanted}", every=0.2)


def closed_again(site, app, port):
    """A job is over before its inspector is closed."""
    until(lambda: not is_open(port), CLOSED_WITHIN, f"{app} is closed")
    return target_of(site, app, False, False)


def profiled_while_pegged(site, name, app):
    """Through the API, and the port is open only meanwhile.  Is the loop what
    the profile shows?"""
    equal(ports_of(app.pid), [], "ports before")
    equal(closed_again(site, name, app.port)["pid"], app.pid, "pid")
    equal(ports_of(app.pid), [], "ports after a look")
    holder = held_open(site, name)
    equal(ports_of(app.pid), [app.port], "ports meanwhile")
    target_of(site, name, True, True)
    ended(site, name, app, holder)
    # Longer, where the machine has no time for the app.
    for milliseconds in (700, 2000, 6000):
        job = succeeds(site, name, profile(site, name, milliseconds))
        until(lambda: not ports_of(app.pid), CLOSED_WITHIN,
              f"{name} is closed")
        equal(job["target"]["pid"], app.pid, "the job's pid")
        data = site.papi(name, f"jobs/{job['id']}/artifact").expect(200).json()
        hot = {node["id"] for node in data["nodes"]
               if node["callFrame"]["functionName"] in ("turn", "turnForEver")}
        share = sum(sample in hot for sample in data["samples"]) / \
            len(data["samples"])
        if share > 0.6:
            break
    closed_again(site, name, app.port)
    check(app.process.alive(), "the app is dead")
    return share > 0.6


@activate("activate: an app that is pegged at 100 % CPU is profiled, on each "
          "Node; no port is open before and after")
def _(run):
    def seen(nodes):
        """Those in whose profile the loop is."""
        apps = {f"n{number}": ClosedApp(run, "pegged", node=run.nodes[number])
                for number in nodes}
        with site_of(run, apps) as site:
            shows = in_parallel([lambda n=name, a=app: profiled_while_pegged(
                site, n, a) for name, app in apps.items()])
        return {number for number, show in zip(nodes, shows) if show}

    # What V8 has discarded as code has no name any more, and a loop that it
    # never leaves may be such: rare, and for ever in that process.
    missing = set(run.nodes) - seen(sorted(run.nodes))
    missing -= seen(sorted(missing)) if missing else set()
    equal(missing, set(), "Nodes in whose profile the loop is not")


@activate("activate: jobs at once share what one of them opened, the last "
          "closes it, and snapshots can be taken, on each Node")
def _(run):
    apps = {f"n{number}": ClosedApp(run, "idle", node=node)
            for number, node in run.nodes.items()}

    def shared(name):
        app = apps[name]
        first, second = in_parallel([lambda: held_open(site, name)] * 2)
        site.papi(name, f"jobs/{second}", "DELETE").expect(202)
        until(lambda: not site.captures(second), 60, "one of them has ended")
        equal(ports_of(app.pid), [app.port], "ports after the first")
        succeeds(site, name, profile(site, name, 300))
        equal(ports_of(app.pid), [app.port], "ports after the next")
        for method in "direct", "stream":
            job = succeeds(site, name, site.post_job(
                name, "heap-snapshot", method=method).expect(202).json()["id"])
            equal(job["method"], method, "method")
            equal(ports_of(app.pid), [app.port], f"ports after {method}")
        ended(site, name, app, first)
        target_of(site, name, False, False)
        equal(app.log_has("Debugger listening on"), 1, "times it was opened")
        # One that opens and closes it alone.
        succeeds(site, name, site.post_job(
            name, "heap-snapshot", method="fork").expect(202).json()["id"])
        closed_again(site, name, app.port)
        check(app.process.alive(), "the app is dead")
    with site_of(run, apps, exchange=run.exchange_dir()) as site:
        in_parallel({name: lambda n=name: shared(n) for name in apps})


@activate("activate: an inspector that was open before is used, and never "
          "closed")
def _(run):
    apps = {"open": ClosedApp(run, "idle", args=["--inspect"]),
            # What this one listens to is seen by its user alone.
            "theirs": ClosedApp(run, "idle", args=["--inspect"], user=APP)}
    with site_of(run, apps) as site:
        for name, app in apps.items():
            target_of(site, name, True, False)
            for _ in range(2):
                succeeds(site, name, profile(site, name, 200))
            equal(ports_of(app.pid), [app.port], "ports")
            equal(app.log_has("Debugger listening on"), 1,
                  "times it was opened")


@activate("activate: whoever is killed, the inspector is closed")
def _(run):
    apps = {"one": ClosedApp(run, "idle"), "two": ClosedApp(run, "pegged")}
    with site_of(run, apps) as site:
        jobs = {name: held_open(site, name) for name in apps}
        for name, app in apps.items():
            equal(ports_of(app.pid), [app.port], f"ports of {name}")
        # One capture alone; then the other together with the pool.
        for pid in site.captures(jobs["one"]):
            os.kill(pid, signal.SIGKILL)
        job = site.wait_job("one", jobs["one"])
        error_is(job, "interrupted")
        until(lambda: not is_open(apps["one"].port), CLOSED_WITHIN,
              "the first is closed")
        site.pool.kill()
        for pid in site.captures(jobs["two"]):
            os.kill(pid, signal.SIGKILL)
        check(is_open(apps["two"].port), "the second is closed by nobody")
        site.start_pool()
        until(lambda: not is_open(apps["two"].port), CLOSED_WITHIN,
              "the second is closed")
        for name, app in apps.items():
            check(app.process.alive(), f"{name} is dead")
            succeeds(site, name, profile(site, name, 200))
            closed_again(site, name, app.port)


@activate("activate: the next capture takes over what a killed one opened")
def _(run):
    app = ClosedApp(run, "idle")
    with site_of(run, {"one": app}) as site:
        job_id = held_open(site, "one")
        for pid in site.captures(job_id):
            os.kill(pid, signal.SIGKILL)
        succeeds(site, "one", profile(site, "one", 300))
        until(lambda: not is_open(app.port), CLOSED_WITHIN, "it is closed")


@activate("activate: under plain CGI, too, and a request closes what was left")
def _(run):
    app = ClosedApp(run, "idle", user=WEB)
    with site_of(run, {"one": app}, front="apache-cgid") as site:
        succeeds(site, "one", profile(site, "one", 200))
        # By the capture itself, unless that has told why it could not.
        until(lambda: not is_open(app.port) or any(
            "stays open for now" in text for text in site.logs().values()),
            CLOSED_WITHIN, "it is closed")

        def is_closed_by_a_request():
            # What is done once a minute is due now.
            os.utime(site.state / "swept", (0, 0))
            site.papi("one", "jobs").expect(200)
            return not is_open(app.port)
        until(is_closed_by_a_request, CLOSED_WITHIN, "it is closed", every=0.5)
        target_of(site, "one", False, False)
        job_id = held_open(site, "one")
        for pid in site.captures(job_id):
            os.kill(pid, signal.SIGKILL)
        check(is_open(app.port), "it is closed by nobody")
        until(is_closed_by_a_request, CLOSED_WITHIN, "it is closed", every=0.5)
        error_is(site.wait_job("one", job_id), "interrupted")
        check(app.process.alive(), "the app is dead")


@activate("activate: an app that dies, or is started anew, in the middle")
def _(run):
    app = ClosedApp(run, "idle")
    pid_file = app.dir / "app.pid"
    pid_file.write_text(f"{app.pid}\n")
    with site_of(run, {"one": app}, conf_of(one=pid_file)) as site:
        job_id = held_open(site, "one")
        app.close()
        error_is(site.wait_job("one", job_id), "target-exited")
        site.papi("one", f"jobs/{job_id}", "DELETE").expect(204)
        refused(site, "one", 503, "target-unreachable",
                f"no process {app.pid}")
        again = ClosedApp(run, "idle", port=app.port)
        try:
            pid_file.write_text(f"{again.pid}\nand whatever\n")
            succeeds(site, "one", profile(site, "one", 200))
            closed_again(site, "one", app.port)
        finally:
            again.close()


# Node 18 has none.
PERMISSIONS = {"20": "--experimental-permission",
               "22": "--experimental-permission", "24": "--permission"}


@activate("activate: what cannot be opened is refused, with the reason")
def _(run):
    node = run.nodes["22"]
    holder = ClosedApp(run, "idle", args=["--inspect"])
    apps = {
        "handler": ClosedApp(run, "handler"),
        "disabled": ClosedApp(run, "idle", node=node,
                              args=["--disable-sigusr1"]),
        "options": ClosedApp(run, "idle", node=node, env={
            "NODE_OPTIONS": "--disable_sigusr1"}),
        **{f"permission{number}": ClosedApp(
            run, "idle", node=run.nodes[number],
            args=[option, "--allow-fs-read=*", "--allow-fs-write=*"])
           for number, option in PERMISSIONS.items()},
        "exposed": ClosedApp(run, "idle", args=["--inspect-port=0.0.0.0"]),
        "elsewhere": ClosedApp(run, "idle"),
        "taken": ClosedApp(run, "idle"),
        "held": ClosedApp(run, "idle", port=holder.port),
        "stopped": ClosedApp(run, "idle"),
        "foreign": ClosedApp(run, "idle", user=APP),
        "shell": ClosedApp(run, "idle"),
        "wrong": ClosedApp(run, "idle", args=["--inspect"]),
        "garbled": ClosedApp(run, "idle", args=["--inspect"]),
        "another": ClosedApp(run, "idle", args=["--inspect"]),
        "nobody": ClosedApp(run, "idle"),
        "file": ClosedApp(run, "idle"),
        "uuid": ClosedApp(run, "idle"),
    }
    shell = Process([*as_user(SERVICE), "sleep", "600"], run.dir / "sleep.log")
    server = ClosedApp(run, "serving", apps["taken"].port)
    other = run.port()
    conf = conf_of(**{name: app.pid for name, app in apps.items()})
    conf["app elsewhere"]["inspector"] = f"127.0.0.1:{other}"
    (run.dir / "garbled.pid").write_text("none\n")
    conf["app shell"]["pid"] = conf["app wrong"]["pid"] = shell.pid
    conf["app garbled"]["pid"] = run.dir / "garbled.pid"
    conf["app another"]["pid"] = apps["foreign"].pid
    conf["app nobody"]["pid"] = 2 ** 22 + 5
    conf["app file"]["pid"] = run.dir / "no.pid"
    conf["app uuid"]["inspector"] = (
        f"ws://{apps['uuid'].address}/0198c0de-7b1e-4c3a-9f00-5d2e6a1b4c77")
    os.kill(apps["stopped"].pid, signal.SIGSTOP)
    refusals = {
        "handler": (502, "target-refused", "handler of its own"),
        "disabled": (502, "target-refused", "--disable-sigusr1"),
        "options": (502, "target-refused", "--disable-sigusr1"),
        **{f"permission{number}": (502, "target-refused", "--permission")
           for number in PERMISSIONS},
        "exposed": (502, "target-refused", "not of loopback"),
        "elsewhere": (502, "target-refused",
                      f"opens its inspector at {apps['elsewhere'].address}"),
        "taken": (502, "target-refused", "listens another process"),
        "held": (502, "target-refused", f"listens process {holder.pid},"),
        "stopped": (503, "target-unreachable", "SIGSTOP"),
        "foreign": (502, "target-refused", f"belongs to user {APP}"),
        "shell": (502, "target-refused", "not Node"),
        # There is an inspector, which is not that of pid.
        "wrong": (502, "target-refused", "listens another process"),
        "garbled": (502, "target-refused", "not a process id"),
        "another": (502, "target-refused", "listens another process"),
        "nobody": (503, "target-unreachable", "no process"),
        "file": (503, "target-unreachable", "pid file"),
        "uuid": (502, "target-refused", "HOST:PORT"),
    }
    try:
        with site_of(run, apps, conf) as site:
            for name, refusal in refusals.items():
                refused(site, name, *refusal)
            # The same can be known before.
            lines, _ = findings(site)
            for name in ("disabled", "taken", "held", "shell", "wrong",
                         "garbled", "another", "foreign", "nobody", "uuid"):
                said(lines, f"fail app {name}", "")
            equal(apps["handler"].log_has("my own signal"), 1, "signals")
            equal(apps["exposed"].log_has("Debugger"), 0, "signals")
            # It could be seen only once it was open.
            until(lambda: not is_open(apps["elsewhere"].port), CLOSED_WITHIN,
                  "what opened elsewhere is closed")
            for app in apps.values():
                check(app.process.alive(), f"dead: {app.process.text()}")
            check(shell.alive(), "what is not Node got the signal")
            # Nor was anybody else's inspector touched.
            equal(ports_of(holder.pid), [holder.port], "ports of another")
            equal(holder.log_has("Debugger attached"), 0, "sessions there")
    finally:
        for process in (holder, server):
            process.close()
        shell.kill()


def ports_in_a_row(run, count):
    """The first of so many, all of them ours."""
    ports = [run.port()]
    while len(ports) < count:
        ports.append(run.port())
        if ports[-1] != ports[-2] + 1:
            ports = ports[-1:]
    return ports[0]


@activate("activate: workers of a cluster, each an app of its own, on each "
          "Node")
def _(run):
    apps, conf, workers = {}, {}, {}
    for number, node in run.nodes.items():
        app = ClosedApp(run, "cluster", 2, node=node,
                        port=ports_in_a_row(run, 3))
        apps[f"p{number}"] = app
        # Without pid it is not to be told which is meant.
        conf[f"app p{number}"] = {"activate": "sigusr1"}
        for i in range(2):
            name = f"w{number}-{i}"
            # As Node counts: one more for each.
            workers[name] = (app.dir / f"worker-{i}.pid", app.port + i + 1)
            conf[f"app {name}"] = {
                "activate": "sigusr1", "pid": workers[name][0],
                "inspector": f"127.0.0.1:{workers[name][1]}"}

    def alone(name):
        file, port = workers[name]
        pid = int(file.read_text())
        job_id = held_open(site, name)
        equal(ports_of(pid), [port], "ports")
        equal(site.job(name, job_id)["target"]["pid"], pid, "pid")
        site.papi(name, f"jobs/{job_id}", "DELETE").expect(202)
        equal(site.wait_job(name, job_id)["state"], "canceled", "state")
        until(lambda: not ports_of(pid), CLOSED_WITHIN, f"{name} is closed")
        closed_again(site, name, port)
    with site_of(run, apps, conf) as site:
        in_parallel({name: lambda n=name: alone(n) for name in workers})
        for name, app in apps.items():
            refused(site, name, 502, "target-refused", "Set pid")
            equal(ports_of(app.pid), [], "ports of the primary")


@activate("activate: two apps with one port, one after the other")
def _(run):
    one = ClosedApp(run, "idle")
    apps = {"one": one, "two": ClosedApp(run, "idle", port=one.port)}
    with site_of(run, apps) as site:
        job_id = held_open(site, "one")
        refused(site, "two", 503, "target-unreachable",
                f"opened the inspector at {one.address} for app one")
        equal(target_of(site, "two", False, False)["pid"], apps["two"].pid,
              "pid of two")
        equal(site.job("one", job_id)["target"]["pid"], one.pid, "pid")
        ended(site, "one", one, job_id)
        # With no pause between one's end and the next.
        for name in "two", "one", "two":
            job = profile_in_turn(site, name, 200)
            equal(job["target"]["pid"], apps[name].pid, "pid")
        closed_again(site, "two", one.port)


@activate("activate: an inspector that opens too late is closed")
def _(run):
    app = ClosedApp(run, "native")
    with site_of(run, {"late": app}) as site:
        (app.dir / "go").touch()
        until((app.dir / "gone").exists, 60, "it is in a native call")
        refused(site, "late", 502, "target-refused", "execSync")
        (app.dir / "stop").touch()
        until(lambda: app.log_has("Debugger listening on"), 20, "it opens")
        until(lambda: not is_open(app.port), CLOSED_WITHIN, "it is closed")
        succeeds(site, "late", profile(site, "late", 200))
        closed_again(site, "late", app.port)


@activate("activate: the process is found where there is one of podprof's "
          "user")
def _(run):
    # A user that nobody else has while the port is ours: apps of other runs
    # of these tests are Node, too.
    port = run.port()
    user = 40000 + port
    app = ClosedApp(run, "idle", user=user, port=port)
    with site_of(run, {"only": app}, {"app only": {
            "activate": "sigusr1"}}, service=user) as site:
        job = succeeds(site, "only", profile(site, "only", 200))
        equal(job["target"]["pid"], app.pid, "pid")
        closed_again(site, "only", app.port)


@activate("activate: an inspector of another user's counts only where pid says "
          "so")
def _(run):
    theirs = ClosedApp(run, "idle", args=["--inspect"], user=APP)
    user = 40000 + theirs.port
    conf = {"app blog": {"activate": "sigusr1"},
            "app shop": {"activate": "sigusr1", "pid": theirs.pid,
                         "inspector": theirs.address}}

    def sessions():
        return theirs.log_has("Debugger attached")

    def looked(as_whom):
        """What check finds, and its sessions; None if somebody was too slow
        for it."""
        before = sessions()
        lines, status = findings(site, user=as_whom, tries=1)
        return None if is_late(lines) else (lines, status, sessions() - before)
    with site_of(run, {"blog": theirs}, conf, service=user) as site:
        whose = (f"at {theirs.address} listens a process of user {APP}, and "
                 f"podprof is user {user}: activate = sigusr1 is for "
                 "processes of podprof's own user; set pid, or take activate "
                 "away")
        refused(site, "blog", 502, "target-refused", whose)
        target_of(site, "blog", False, False, has_pid=False)
        equal(sessions(), 0, "sessions for blog")
        for as_whom in (None, user):
            lines, status, more = until(lambda w=as_whom: looked(w), 60,
                                        "everybody answers check")
            equal(more, 1, "sessions of check's, that for shop")
            said(lines, "fail app blog", whose)
            said(lines, "ok app shop", f"pid {theirs.pid}")
            equal(status, 1, "exit status")
        before = sessions()
        job = succeeds(site, "shop", profile(site, "shop", 200))
        equal(job["target"]["pid"], theirs.pid, "pid")
        equal(sessions() - before, 1, "sessions of the capture")


# tests/soak activate

ROUNDS = 20


def opened_and_closed(site, name, app):
    """Two profiles at once, and a snapshot of what has a loop that turns; then
    it is closed."""
    jobs = in_parallel([lambda: profile(site, name, 100),
                        lambda: profile(site, name, 150)])
    if app.url is not None:
        jobs.append(site.post_job(name, "heap-snapshot", method="stream",
                                  force=True).expect(202).json()["id"])
    for job_id in jobs:
        succeeds(site, name, job_id)
    until(lambda: not is_open(app.port), CLOSED_WITHIN, f"{name} is closed")
    check(app.process.alive(), f"{name} is dead: {app.process.text()[-800:]}")


def again_and_again(run, number, kind, app):
    with site_of(run, {kind: app}) as site:
        with contextlib.ExitStack() as stack:
            load = None if app.url is None else \
                stack.enter_context(Load(app, 2))
            began = time.monotonic()
            for _ in range(ROUNDS):
                opened_and_closed(site, kind, app)
            took_s = (time.monotonic() - began) / ROUNDS
        if load is not None:
            load.check()
        print(f"Node {number}, {kind}: {ROUNDS} times, {took_s:.2f} s each, "
              f"opened {app.log_has('Debugger listening on')} times",
              flush=True)


def activations(run):
    """Inspectors opened and closed under load, on each Node."""
    for number, node in sorted(run.nodes.items()):
        for kind, more, script in (
                ("pegged", ["pegged"], "closed-app.js"),
                ("load", ["--workers", "1", "--children"], "load-app.js"),
                ("busy", ["--heap-mb", "4"], "busy-app.js")):
            again_and_again(run, number, kind, ClosedApp(
                run, *more, node=node, script=script))


@activate("activate: an inspector that opens too late, and at another port "
          "than inspector names, is closed there")
def _(run):
    app = ClosedApp(run, "native")
    conf = conf_of(late=app.pid)
    conf["app late"]["inspector"] = f"127.0.0.1:{run.port()}"
    with site_of(run, {"late": app}, conf) as site:
        (app.dir / "go").touch()
        until((app.dir / "gone").exists, 60, "it is in a native call")
        refused(site, "late", 502, "target-refused", "execSync")
        equal(app.log_has("Debugger listening on"), 0, "times it was opened")
        (app.dir / "stop").touch()
        until(lambda: app.log_has("Debugger listening on"), 60, "it opens")
        until(lambda: not ports_of(app.pid), 60, "it is closed")
        check(app.process.alive(), "the app is dead")
