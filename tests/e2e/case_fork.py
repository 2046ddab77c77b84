"""Snapshots of real apps through exchange_dir: by a forked copy, or written by
the app into a FIFO.  Whoever dies, stops or lies meanwhile, the app serves on
and nothing is left."""
import collections
import contextlib
import json
import os
import pathlib
import re
import signal
import time

from harness import (APP, EXCHANGE, FINAL, App, Failed, Site, as_user, busy,
                     check, check_artifact, check_whole, children, equal,
                     error_is, fork, in_parallel, matches, once, real,
                     run_reader, tmpfs, until)
from stress import ControlGroup, Load, settled, vitals

MIB = 1 << 20
# The app serves again within so many seconds, whatever became of podprof; and
# so many more if its watchdog has to see that it hangs.
SERVES_WITHIN = 10
SEEN_WITHIN = 5
# Who has nothing to do with the app any more may take its time.
ENDS_WITHIN = 40
# How often a copy is forked before another method is tried.
FORKS = 3


def site_of(run, apps, conf=None, exchange=None, **more):
    """A site whose apps all meet podprof in one exchange_dir."""
    return Site(run, "nginx", fakes=0, conf=conf, exchange=exchange or
                run.exchange_dir(), apps={name: app.address for name, app in
                                          apps.items()}, **more).start()


def order(site, app, method="fork", **options):
    return site.post_job(app, "heap-snapshot", method=method,
                         **options).expect(202).json()["id"]


def outcomes(job):
    return [(attempt["method"], attempt["outcome"])
            for attempt in job["attempts"]]


def outcomes_of_whole(job):
    """But for copies that were forked in the midst of what V8's threads did."""
    return [(attempt["method"], attempt["outcome"])
            for attempt in job["attempts"] if not re.search(
                "copy waited for a thread|copy crashed [(]SIG(SEGV|BUS|ILL|TRAP)",
                attempt["reason"] or "")]


def whole_by(site, app, method="fork", within=60, **options):
    """A snapshot that is taken by this method, at the first try that could."""
    job = site.wait_job(app, order(site, app, method, **options), within)
    equal(job["state"], "succeeded", f"state, {job['error']}")
    equal(outcomes_of_whole(job), [(method, "succeeded")], f"attempts {job}")
    return job


def bytes_of(site, app, job):
    reply = site.papi(app, f"jobs/{job['id']}/artifact", timeout=120)
    check_whole(reply, job)
    return reply.body


def copies(app):
    """Pids of forked copies of an app: children that run its program."""
    found = []
    for pid in children(app.pid):
        with contextlib.suppress(OSError):
            if os.path.samefile(f"/proc/{pid}/exe", app.node):
                found.append(pid)
    return found


def handles(pid, number):
    """Has the process a handler for this signal?  A copy's is there once it
    is ready for anything."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text(
                ).splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def copy_at_work(watch, known=()):
    """The pid of a copy that is none of those that are known; None if the
    capture was over before one was seen."""
    def look():
        return [pid for pid in copies(watch.app) if pid not in known and
                handles(pid, signal.SIGALRM)] or watch.is_over()
    found = until(look, 60, "a copy is there and at work", 0.001)
    return None if found is True else found[0]


def nothing_left(site, app, within=SERVES_WITHIN, job_id=""):
    """The app serves, and all that was made for its captures, or for that one
    beside those of other apps, has gone."""
    deadline = time.monotonic() + within

    def is_gone(condition, what):
        until(condition, max(0, deadline - time.monotonic()), what, 0.05)
    app.get("/", within)
    is_gone(lambda: not children(app.pid),
            "no child of the app is left, alive or dead")
    is_gone(lambda: not [name for name in site.exchanged() if job_id in name],
            "exchange_dir is empty again")
    until(lambda: not site.captures(job_id) + site.watchdogs(job_id),
          ENDS_WITHIN, "no podprof-capture and no watchdog is left", 0.05)


# As it should be.

def five_in_a_row(run, node):
    app = App(run, run.nodes[node], script="load-app.js")
    site = site_of(run, {"load": app})
    try:
        with Load(app) as load:
            before = settled(app.pid)
            jobs = [whole_by(site, "load") for _ in range(5)]
            until(lambda: not site.exchanged() and not site.captures(), 20,
                  "all is over")
            until(lambda: vitals(app.pid) == before, 60, "the app holds what "
                  f"it did: {before}, not {settled(app.pid)}", 0.1)
        load.check()
        for job in jobs:
            good, line = check_artifact(run, bytes_of(site, "load", job),
                                        "heapsnapshot")
            check(good, line)
            equal(job["objectIds"], "snapshot", "objectIds")
        print(f"# Node {node}: {load.answers} answers, the longest after "
              f"{load.longest_ms:.0f} ms; frozen for "
              f"{[job['freezeMs'] for job in jobs]} ms")
        equal(app.process.stop(), 7, "exit status")
        equal(app.process.text().count("exit handler"), 1, "exit handlers")
    finally:
        app.close()
        site.close()


for number in (18, 20, 22, 24):
    busy(f"fork: five in a row from an app under load, Node {number}")(
        lambda run, node=str(number): five_in_a_row(run, node))


def count_classes(data, names):
    """How many objects of these classes a snapshot has."""
    heap = json.loads(data)
    meta = heap["snapshot"]["meta"]
    fields = meta["node_fields"]
    kinds = meta["node_types"][fields.index("type")]
    step, kind, name = len(fields), fields.index("type"), fields.index("name")
    found = collections.Counter(
        heap["strings"][heap["nodes"][at + name]]
        for at in range(0, len(heap["nodes"]), step)
        if kinds[heap["nodes"][at + kind]] == "object")
    return {name: found[name] for name in names}


def read_by_devtools(run, path):
    read = run_reader(run, "devtools-read.mjs", run.npm,
                      run.npm / "devtools-cache", path)
    check(read is not None, f"DevTools' loader refuses {path}")
    return read


def compare_with_own(run, node):
    """What a copy writes against what the app writes by itself.  Some hundred
    nodes come and go in an app at rest, too: the heap is not too small for
    them."""
    app = App(run, run.nodes[node], heap_mb=8, script="load-app.js")
    sample = App(run, run.nodes[node])
    site = site_of(run, {"load": app, "sample": sample})
    def own_snapshot():
        return app.dir / json.loads(app.get("/snapshot/own.heapsnapshot"))
    try:
        # Code that either is the first to use is there from now on.
        whole_by(site, "load")
        own_snapshot()
        # The app may do more than usual between the two, though not always.
        for _ in range(3):
            job = whole_by(site, "load")
            own = own_snapshot()
            taken = app.dir / "taken.heapsnapshot"
            taken.write_bytes(bytes_of(site, "load", job))
            nodes = [read_by_devtools(run, path)["nodes"]
                     for path in (own, taken)]
            print(f"# Node {node}: {nodes[0]} nodes by itself, {nodes[1]} by "
                  "fork")
            equal(count_classes(taken.read_bytes(), ["Kept"]),
                  {"Kept": json.loads(app.get("/counts"))["kept"]}, "objects")
            if abs(nodes[0] - nodes[1]) <= nodes[0] / 1000:
                break
        check(abs(nodes[0] - nodes[1]) <= nodes[0] / 1000,
              f"{nodes[1]} nodes, but {nodes[0]} by the app itself")
        customers = int(sample.get("/").split()[0])
        job = whole_by(site, "sample")
        equal(count_classes(bytes_of(site, "sample", job),
                            ["Customer", "Order"]),
              {"Customer": customers, "Order": 3 * customers}, "objects")
    finally:
        app.close()
        sample.close()
        site.close()


@fork("fork: DevTools reads the file, it has the nodes that one of the app's "
      "own has, and the sample app's classes exactly")
def _(run):
    for node in sorted(run.nodes):
        compare_with_own(run, node)


@fork("fork and direct, stored as they are: two apps at once in one "
      "exchange_dir")
def _(run):
    apps = {name: App(run, heap_mb=8) for name in ("one", "two")}
    site = site_of(run, apps, {"artifacts": {"compression": "none"}})
    try:
        for method in ("fork", "direct"):
            jobs = in_parallel([lambda a=app: whole_by(site, a, method)
                                for app in apps])
            for app, job in zip(apps, jobs):
                data = bytes_of(site, app, job)
                equal(site.stored(job["id"]).read_bytes() == data, True,
                      "what is stored is what was written")
                good, line = check_artifact(run, data, "heapsnapshot")
                check(good, line)
        for app in apps.values():
            nothing_left(site, app)
    finally:
        for app in apps.values():
            app.close()
        site.close()


# podprof-capture dies or stops.

class Watch:
    """How far one capture has come, by what can be seen from outside."""

    def __init__(self, site, name, app, job_id):
        self.site, self.name, self.app, self.id = site, name, app, job_id

    def inside(self):
        """The job's own directory, or None."""
        for name in self.site.exchanged():
            if name.startswith(f"podprof-{self.id}."):
                return self.site.exchange / name
        return None

    def has(self, name):
        inside = self.inside()
        return inside is not None and (inside / name).exists()

    def bytes_came(self):
        return self.site.job(self.name, self.id)["progress"]["bytes"] > 0

    def app_writes(self):
        """The app itself holds the FIFO."""
        with contextlib.suppress(OSError):
            for fd in pathlib.Path(f"/proc/{self.app.pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(fd).endswith("/data"):
                        return True
        return False

    def is_over(self):
        return self.site.job(self.name, self.id)["state"] in FINAL

    def capture(self):
        """The pid of its podprof-capture, or None."""
        return (self.site.captures(self.id) or [None])[0]


FIRST_STEP = "its process is there"
STEPS = {
    "fork": {
        FIRST_STEP: lambda it: it.capture(),
        "its directory is there": lambda it: it.inside(),
        "the addon is there": lambda it: it.has("addon.node"),
        "the FIFO is there": lambda it: it.has("data"),
        "both FIFOs are there": lambda it: it.has("status"),
        "the copy is there": lambda it: copies(it.app),
        "bytes came": Watch.bytes_came,
    },
    "direct": {
        FIRST_STEP: lambda it: it.capture(),
        "its directory is there": lambda it: it.inside(),
        "the FIFO is there": lambda it: it.has("data"),
        "the app has opened it": Watch.app_writes,
        "bytes came": Watch.bytes_came,
    },
}


def reaches(pid, number):
    """Send a signal; False: the process has ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def strike(watch, app, method, step, number, freezes_app):
    """Send podprof-capture a signal at this step; False: it was through with
    the app already.

    freezes_app  the app is stopped at the step, and goes on after the signal
    """
    until(lambda: STEPS[method][step](watch) or watch.is_over(), 30, step,
          0.001)
    if freezes_app:
        os.kill(app.pid, signal.SIGSTOP)
    try:
        pid = watch.capture()
        if pid is None or not reaches(pid, number):
            return False
        if freezes_app:
            time.sleep(0.3)     # any moment of it will do
    finally:
        if freezes_app:
            os.kill(app.pid, signal.SIGCONT)
    return True


def end_unwatched(watch):
    """Until podprof-capture, which is stopped, has ended.  Without a watchdog
    nobody waits for it, at the beginning and at the end: also if that was just
    about to go.  True: it had to be killed."""
    def look():
        pid = watch.capture()
        if pid is None or watch.site.watchdogs(watch.id):
            return pid is None
        return [reaches(pid, signal.SIGKILL)]
    return until(look, ENDS_WITHIN, "podprof-capture has ended",
                 0.1) is not True


def hit(site, name, app, method, step, number, freezes_app):
    """The same, as often as it is too late; the app serves again."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        watch = Watch(site, name, app, order(site, name, method))
        was_in_time = strike(watch, app, method, step, number, freezes_app)
        began = time.monotonic()
        if number == signal.SIGSTOP:
            was_unwatched, _ = in_parallel([
                lambda: end_unwatched(watch), lambda: nothing_left(
                    site, app, SERVES_WITHIN + SEEN_WITHIN, watch.id)])
            was_in_time &= not was_unwatched or step == FIRST_STEP
        else:
            nothing_left(site, app, job_id=watch.id)
        took_s = time.monotonic() - began
        job = site.wait_job(name, watch.id, 20)
        if was_in_time and job["state"] != "succeeded":
            error_is(job, "interrupted")
            until(lambda: not site.files_of(watch.id), 10, "no file is left")
            return took_s
    raise Failed("podprof-capture was too quick, for a minute")


def hit_everywhere(site, name, app, method, number):
    longest_s = 0
    for step in STEPS[method]:
        # The watchdog takes its time over one that is stopped.
        for freezes_app in (False, True)[:2 if number == signal.SIGKILL else 1]:
            try:
                longest_s = max(longest_s, hit(site, name, app, method, step,
                                               number, freezes_app))
            except Failed as error:
                raise Failed(f"{method}, signal {number} once {step}"
                             f"{', the app stopped' if freezes_app else ''}: "
                             f"{error}") from error
    job = whole_by(site, name, method)
    nothing_left(site, app, job_id=job["id"])
    print(f"# {method}, signal {number}: all was as before within "
          f"{longest_s:.1f} s")


# Node is PID 1 of a pid namespace of its own.
AS_PID_1 = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
            *as_user(APP, [EXCHANGE])[:-1], "--pdeathsig", "KILL", "--"]


def signals_at_every_step(run, numbers):
    """Each on an app of its own, as each waits for its podprof-capture."""
    ways = [(method, number, prefix) for prefix in (None, AS_PID_1)
            for method in STEPS for number in numbers]
    apps = {f"app{i}": App(run, run.nodes["24"], heap_mb=12, prefix=prefix)
            for i, (_, _, prefix) in enumerate(ways)}
    site = site_of(run, apps)
    try:
        in_parallel({
            name: lambda n=name, a=app, w=way: hit_everywhere(
                site, n, a, w[0], w[1])
            for (name, app), way in zip(apps.items(), ways)})
    finally:
        for app in apps.values():
            app.close()
        site.close()


@fork("fork and direct: kill -9 of podprof-capture at every step, Node as PID "
      "1 too")
def _(run):
    signals_at_every_step(run, [signal.SIGKILL])


@fork("fork and direct: SIGSTOP of podprof-capture at every step, Node as PID "
      "1 too")
def _(run):
    signals_at_every_step(run, [signal.SIGSTOP])


# The app goes its own way.

@contextlib.contextmanager
def one_app(run, conf=None, exchange=None, **settings):
    app = App(run, **{"heap_mb": 12, "script": "load-app.js", **settings})
    try:
        site = site_of(run, {"load": app}, conf, exchange)
        try:
            yield site, app
        finally:
            site.close()
    finally:
        app.process.signal(signal.SIGCONT)
        app.close()


def gone_with_app(site, app, job_id, copy):
    """The job says so, and nothing of what was made for it is left."""
    job = site.wait_job("load", job_id, 20)
    error_is(job, "target-exited")
    until(lambda: not os.path.exists(f"/proc/{copy}"), 10,
          "the copy has ended with the app")
    until(lambda: not site.exchanged() and not site.captures() and
          not site.watchdogs(), 10, "nothing is left")
    equal(site.files_of(job_id), [], "files")


def end_app(run, number, status):
    """False: its copy was through before."""
    with one_app(run, heap_mb=60) as (site, app):
        job_id = order(site, "load")
        copy = copy_at_work(Watch(site, "load", app, job_id))
        began = time.monotonic()
        os.kill(app.pid, number)
        equal(app.process.popen.wait(20), status, "exit status")
        took_s = time.monotonic() - began
        check(took_s < 5, f"it took {took_s:.1f} s to end")
        if site.wait_job("load", job_id, 20)["state"] == "succeeded":
            return False
        gone_with_app(site, app, job_id, copy)
        equal(app.process.text().count("exit handler"),
              int(status == 7), "exit handlers")
        return True


@fork("fork: the app is killed, or exits, while its copy works")
def _(run):
    for number, status in ((signal.SIGKILL, -9), (signal.SIGTERM, 7)):
        until(lambda n=number, s=status: end_app(run, n, s), 120,
              f"signal {number} while its copy works")


@fork("fork: the app is stopped (SIGSTOP) while its copy works")
def _(run):
    with one_app(run) as (site, app):
        job_id = order(site, "load")
        until(lambda: site.job("load", job_id)["progress"]["bytes"], 60,
              "bytes came")
        os.kill(app.pid, signal.SIGSTOP)
        job = site.wait_job("load", job_id, 60)
        equal(job["state"], "succeeded", f"state, {job['error']}")
        good, line = check_artifact(run, bytes_of(site, "load", job),
                                    "heapsnapshot")
        check(good, line)
        os.kill(app.pid, signal.SIGCONT)
        nothing_left(site, app)
        whole_by(site, "load")


@fork("fork: an app that starts children of its own hears of each of them, and "
      "of no other")
def _(run):
    with one_app(run, heap_mb=4, more=["--children"]) as (site, app):
        for _ in range(5):
            whole_by(site, "load")

        def counts():
            return json.loads(app.get("/counts"))["children"]
        seen = counts()
        later = until(lambda: (lambda c: c if c["started"] >
                               seen["started"] + 20 else None)(counts()), 20,
                      "children still come and go")
        equal(later["wrong"], 0, "children with another exit status")
        check(later["started"] - later["ended"] <= 1,
              f"not heard of: {later}")
        until(lambda: not copies(app), 10, "no copy is left")
        equal(app.process.stop(), 7, "exit status")


@busy("fork: worker threads that allocate without pause go on, on each Node")
def _(run):
    for node in sorted(run.nodes):
        with one_app(run, node=run.nodes[node], heap_mb=4,
                     more=["--workers", "2"]) as (site, app):
            jobs = []
            for _ in range(2):
                job = site.wait_job("load", order(site, "load", "auto"), 120)
                equal(job["state"], "succeeded", f"{job['error']}")
                jobs.append(job)
            before = json.loads(app.get("/counts"))["workers"]
            until(lambda: json.loads(app.get("/counts"))["workers"] > before,
                  10, "the workers still allocate")
            tries = [outcomes(job) for job in jobs]
            fallbacks = [job for job in jobs if job["method"] != "fork"]
            print(f"# Node {node}: {sum(map(len, tries))} attempts, "
                  f"{len(fallbacks)} by another method")
            check(len(fallbacks) <= 1, f"{tries}")
            nothing_left(site, app)
            equal(app.process.stop(), 7, "exit status")


@fork("fork: a capture that is canceled ends at once, and the app is free")
def _(run):
    with one_app(run, heap_mb=60) as (site, app):
        for _ in range(3):
            job_id = order(site, "load")
            copy = copy_at_work(Watch(site, "load", app, job_id))
            site.papi("load", f"jobs/{job_id}", "DELETE").expect(202)
            until(lambda: not os.path.exists(f"/proc/{copy}"), 15,
                  "the copy has ended")
            job = site.wait_job("load", job_id, 15)
            equal(job["state"], "canceled", "state")
            equal(outcomes_of_whole(job), [("fork", "canceled")], "attempts")
            nothing_left(site, app, 15)
            equal(site.files_of(job_id), [], "files")
        # Not even V8 has to be waited for.
        whole_by(site, "load")


# The copy goes its own way.

def harm(site, app, method, number, times):
    """A job once it is over, of which the first copies got a signal; None: one
    of them was through before, or failed by itself."""
    watch = Watch(site, "load", app, order(site, "load", method))
    harmed = []
    while len(harmed) < times:
        copy = copy_at_work(watch, harmed)
        if copy is None or not reaches(copy, number):
            break
        harmed.append(copy)
    job = site.wait_job("load", watch.id, 120)
    nothing_left(site, app)
    failed = outcomes(job).count(("fork", "failed"))
    return job if len(harmed) == failed == times else None


def after_harm(site, app, method, number, times=1):
    """The same, as often as it is too late."""
    return until(lambda: harm(site, app, method, number, times), 120,
                 f"signal {number} reaches {times} of the copies")


@fork("fork: a copy that crashes is forked again, three times; then the next "
      "method, if any is allowed")
def _(run):
    with one_app(run, heap_mb=60) as (site, app):
        job = after_harm(site, app, "fork", signal.SIGSEGV)
        equal((job["state"], outcomes(job)), ("succeeded", [
            ("fork", "failed"), ("fork", "succeeded")]), f"{job['error']}")
        matches(job["attempts"][0]["reason"], "(?i)crash|SIGSEGV|signal 11",
                "reason")
        job = after_harm(site, app, "auto", signal.SIGSEGV, FORKS)
        equal((job["state"], outcomes(job)), ("succeeded", [
            ("fork", "failed")] * FORKS + [("direct", "succeeded")]),
            f"{job['error']}")
        equal((job["method"], job["objectIds"]), ("direct", "process"),
              "method, objectIds")
        job = after_harm(site, app, "fork", signal.SIGSEGV, FORKS)
        equal((job["state"], outcomes(job)), ("failed", [
            ("fork", "failed")] * FORKS), "attempts")
        error_is(job, "target-refused", "(?i)crash|SIGSEGV|signal 11")


@fork("fork: a copy that is killed (SIGKILL) or stopped (SIGSTOP) is given up "
      "and forked again")
def _(run):
    with one_app(run, heap_mb=60) as (site, app):
        for number, words in ((signal.SIGKILL, "without a word.*killed 9"),
                              (signal.SIGSTOP, "nothing for [0-9]+ s")):
            job = after_harm(site, app, "fork", number)
            equal((job["state"], outcomes(job)), ("succeeded", [
                ("fork", "failed"), ("fork", "succeeded")]), f"{job['error']}")
            matches(job["attempts"][0]["reason"], words, "reason")


# Copies and apps that lie: what a scripted one does, by which method, how each
# attempt ends, and what the job's error says.
FAILED_FORKS = [("fork", "failed")] * FORKS
ONE_FORK, ONE_DIRECT = [("fork", "failed")], [("direct", "failed")]
LIARS = (
    ("GarbageCopy", "fork", FAILED_FORKS, "target-refused", "snapshot"),
    ("GarbageCopy", "auto", FAILED_FORKS + ONE_DIRECT, "target-refused",
     "snapshot"),
    ("GarbageCopy", "direct", ONE_DIRECT, "target-refused", "snapshot"),
    ("EndlessCopy", "direct", ONE_DIRECT, "target-(refused|timeout)",
     "no end|job_timeout"),
    # So much three times may take longer than the job may.
    ("EndlessCopy", "fork", None, "target-(refused|timeout)",
     "no end|job_timeout"),
    ("HalfCopy", "fork", FAILED_FORKS, "target-refused", "complete|whole"),
    ("HalfCopy", "direct", ONE_DIRECT, "target-refused", "complete|whole"),
    ("LyingCopy", "fork", FAILED_FORKS, "target-refused", "complete|whole"),
    ("CrashingCopy", "fork", FAILED_FORKS, "target-refused", "SIGSEGV"),
    ("StuckCopy", "fork", FAILED_FORKS, "target-refused",
     "thread.*pthread_cond_wait"),
    ("VanishingCopy", "fork", FAILED_FORKS, "target-refused", "killed 9"),
    ("SpentCopy", "fork", ONE_FORK, "space", "memory.*[0-9] MB"),
    ("SpentCopy", "auto", ONE_FORK, "space", "memory.*[0-9] MB"),
    ("NoFork", "fork", ONE_FORK, "target-refused", "Cannot allocate memory"),
    ("NonsenseFork", "fork", ONE_FORK, "target-refused", "no sense"),
    ("BabblingCopy", "fork", ONE_FORK, "target-timeout", "job_timeout"),
    ("SilentCopy", "direct", ONE_DIRECT, "target-timeout", "job_timeout"),
)
# With these the next method does it.
SAVED = (
    ("CrashingCopy", FAILED_FORKS + [("direct", "succeeded")]),
    ("NoFork", ONE_FORK + [("direct", "succeeded")]),
    ("Meeting", [("fork", "succeeded")]),
)
LIARS_TIMEOUT = 60
# Of those that only this ends.
ENDLESS_TIMEOUT = 8
# Longer than a copy may do nothing, and shorter than two may.
SILENT_TIMEOUT = 35


def lied_to(site, behaviour, method, tried, kind, words):
    app = site.meeting(behaviour)
    job = site.wait_job(app, order(site, app, method), LIARS_TIMEOUT + 20)
    error_is(job, kind, words)
    if tried is not None:
        equal(outcomes(job), tried, "attempts")
    for attempt in job["attempts"]:
        equal(attempt["outcome"], "failed", "outcome")
        matches(attempt["reason"], ".", "reason")
    equal(site.files_of(job["id"]), [], "files")
    return job


def saved_from(site, behaviour, tried):
    app = site.meeting(behaviour)
    job = site.wait_job(app, order(site, app, "auto"))
    equal((job["state"], outcomes(job)), ("succeeded", tried),
          f"{job['error']}")
    equal(bytes_of(site, app, job),
          app.behaviour.snapshot_text().encode(), "the snapshot")


def liars_site(run, meetings, timeout):
    return Site(run, "nginx", fakes=0, meetings=meetings,
                exchange=run.exchange_dir(),
                conf={"limits": {"job_timeout": f"{timeout}s"}}).start()


def liars(run, ways, saved, timeout):
    site = liars_site(run, len(ways) + len(saved), timeout)
    try:
        in_parallel({
            **{f"{way[0]}, {way[1]}": lambda w=way: lied_to(site, *w)
               for way in ways},
            **{f"{way[0]}, saved": lambda w=way: saved_from(site, *w)
               for way in saved}})
        until(lambda: not site.exchanged(), 10, "exchange_dir is empty")
        equal(site.files_of("")[len(saved):], [], "files")
    finally:
        site.close()


def silent(run):
    site = liars_site(run, 1, SILENT_TIMEOUT)
    try:
        job = lied_to(site, "SilentCopy", "fork",
                      [("fork", "failed")] * 2, "target-timeout",
                      "job_timeout")
        matches(job["attempts"][0]["reason"], "nothing for [0-9]+ s",
                "reason")
    finally:
        site.close()


@once("fork and direct: one that writes garbage, half of it, without end or "
      "nothing, or lies about itself: failed in time, or the next method")
def _(run):
    endless = [way for way in LIARS if "job_timeout" in way[-1]]
    others = [way for way in LIARS if way not in endless]
    in_parallel([lambda: liars(run, others, SAVED, LIARS_TIMEOUT),
                 lambda: liars(run, endless, (), ENDLESS_TIMEOUT),
                 lambda: silent(run)])


# Places where it cannot work.

def refused(site, method, words):
    """An explicit method fails, at once or as the job's error."""
    reply = site.post_job("load", "heap-snapshot", method=method)
    if reply.status == 202:
        job = site.wait_job("load", reply.json()["id"])
        equal(job["state"], "failed", "state")
        detail = job["error"]["detail"]
    else:
        check(reply.status in (502, 503, 507), f"{reply.status} {reply.text}")
        detail = reply.problem(reply.status)["detail"]
    matches(detail, words, f"why not {method}")


def falls_back(site, app, unusable, words):
    """auto takes the first method that is usable, and says why not the better
    ones; each of those by name fails for the same reason."""
    job = site.wait_job("load", order(site, "load", "auto"))
    equal(job["state"], "succeeded", f"state, {job['error']}")
    used = [m for m in ("fork", "direct", "stream") if m not in unusable][0]
    equal(outcomes(job), [(m, "skipped") for m in unusable] +
          [(used, "succeeded")], "attempts")

    def told():
        """What is told now, and not of a moment ago; on a busy machine the
        app may not have been asked in time."""
        methods = site.papi("load", "target").expect(200).json()["methods"]
        reasons = [m["reason"] for m in methods if not m["usable"]]
        return len(reasons) == len(unusable) and all(
            re.search(words, reason or "") for reason in reasons) and methods
    found = until(told, 60, f"the target says why not: {words}", 0.5)
    equal([(m["method"], m["usable"]) for m in found],
          [(m, m not in unusable) for m in ("fork", "direct", "stream")],
          "methods of the target")
    for attempt, method in zip(job["attempts"], unusable):
        matches(attempt["reason"], words, "reason of the attempt")
        refused(site, method, words)
    for method in found:
        if method["method"] in unusable:
            matches(method["reason"], words, "reason in the target")
        else:
            equal(method["reason"], None, "reason")
    nothing_left(site, app)


@real("no addons: by --no-addons, by NODE_OPTIONS, by an exchange_dir that is "
      "noexec; then direct")
def _(run):
    with one_app(run, heap_mb=4, args=["--no-addons"]) as (site, app):
        falls_back(site, app, ["fork"], "--no-addons")
    with one_app(run, heap_mb=4, env={"NODE_OPTIONS": "--no-addons"}
                 ) as (site, app):
        falls_back(site, app, ["fork"], "--no-addons")
    with tmpfs(run.subdir("noexec"), f"noexec,mode=2770,gid={EXCHANGE}"
               ) as place:
        with one_app(run, heap_mb=4, exchange=place) as (site, app):
            falls_back(site, app, ["fork"], "(?i)noexec")


@real("an exchange_dir that is missing, or that podprof cannot write to: "
      "stream")
def _(run):
    both = ["fork", "direct"]
    with one_app(run, heap_mb=4) as (site, app):
        whole_by(site, "load")
        site.exchange.chmod(0o750)
        falls_back(site, app, both, f"{site.exchange}.*2770")
        site.exchange.rmdir()
        site.exchange, gone = None, site.exchange
        falls_back(site, app, both, f"{gone}.*2770")
        gone.symlink_to(app.dir)
        falls_back(site, app, both, f"{gone}.*link")


@real("an exchange_dir that the app does not see, or may not use: stream")
def _(run):
    exchange = run.exchange_dir()
    hidden = ["unshare", "--mount", "sh", "-c",
              'mount -t tmpfs tmpfs "$1" && shift && exec "$@"', "sh",
              exchange, *as_user(APP, [EXCHANGE])]
    for prefix, words in ((hidden, "does not see.*same path"),
                          (as_user(APP), f"user {APP}.*2770")):
        with one_app(run, heap_mb=4, exchange=exchange, prefix=prefix
                     ) as (site, app):
            falls_back(site, app, ["fork", "direct"], words)


# Memory.

def limited_app(run, group, limit_bytes):
    group.limit_memory(limit_bytes)
    return App(run, heap_mb=60, script="load-app.js", prefix=group.prefix())


@fork("a memory limit that a snapshot does not fit in: refused with the "
      "numbers; with force the copy ends alone, and the app lives")
def _(run):
    group = ControlGroup("memory")
    app = limited_app(run, group, 300 * MIB)
    site = site_of(run, {"load": app})
    try:
        target = until(lambda: (
            lambda t: t if t["predicted"]["peakBytes"] else None)(site.papi(
                "load", "target").expect(200).json()), 60,
            "the app is asked in time", 1)
        equal(target["memory"]["limitBytes"], 300 * MIB, "limitBytes")
        check(0 < target["memory"]["availableBytes"] < 300 * MIB,
              f"{target['memory']}")
        check(target["predicted"]["peakBytes"] > 300 * MIB,
              f"predicted: {target['predicted']}")
        for method in ("auto", "fork", "direct", "stream"):
            document = site.refusal("load", lambda m=method: site.post_job(
                "load", "heap-snapshot", method=m), "space").problem(
                    507, "space")
            matches(document["detail"], "[0-9].*[0-9].*force", "numbers")
        equal(site.jobs("load"), [], "jobs")
        with Load(app) as load:
            job = site.wait_job("load", order(site, "load", force=True), 120)
            error_is(job, "space", "(?i)memory")
            equal(outcomes_of_whole(job), [("fork", "failed")],
                  f"attempts {job}")
            nothing_left(site, app)
        load.check()
        print(f"# control groups of version {group.version}: at most "
              f"{group.peak_bytes() / MIB:.0f} of 300 MiB were in use, "
              f"{job['memory']}")
        equal(group.killed(), 0, "processes killed by the kernel")
        equal(app.process.stop(), 7, "exit status")
    finally:
        app.close()
        site.close()
        group.close()
