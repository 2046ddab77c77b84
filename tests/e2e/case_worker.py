"""Worker threads of an app as targets: listed, profiled, snapshotted, and what
is said when one of them, or the app, ends in the middle."""
import contextlib
import json
import os
import shutil
import signal
import threading
import time

from case_fork import site_of
from case_metrics import metrics
from harness import (FINAL, TOP, App, Failed, check, check_artifact,
                     check_whole, equal, error_is, in_parallel, matches, real,
                     until)
from stress import status_bytes

NAMES = ("idle", "pegged", "mortal")
BY_STREAM = [("fork", "skipped"), ("direct", "skipped"),
             ("stream", "succeeded")]


def worker_app(run, node, names=NAMES, **settings):
    shutil.copy(TOP / "tests/e2e/worker-app.js", run.dir)
    return App(run, node, script="worker-app.js", more=names, **settings)


@contextlib.contextmanager
def workers_on_each_node(run, **settings):
    """A site with an app on each Node, and these by name."""
    apps = {}
    try:
        for number, node in run.nodes.items():
            apps[f"node{number}"] = worker_app(run, node, **settings)
        site = site_of(run, apps)
        try:
            yield site, apps
        finally:
            site.close()
    finally:
        for app in apps.values():
            app.close()


def on_each(apps, one):
    in_parallel([lambda n=name, a=app: one(n, a)
                 for name, app in apps.items()])


def ids(app, path="/"):
    """{name: id} of the workers, as the app knows them."""
    return json.loads(app.get(path))


def begin(site, app, kind, worker, **options):
    return site.post_job(app, kind, worker=worker,
                         **options).expect(202).json()["id"]


def profiling(site, app, worker):
    """A profile that would last longer than the case; its job's id, once it
    runs."""
    job_id = begin(site, app, "cpu-profile", worker, durationMs=100000)
    until(lambda: site.job(app, job_id)["phase"] == "profiling", 60,
          "the profile runs", 0.1)
    return job_id


def whole(site, app, kind, worker, **options):
    job = site.wait_job(app, begin(site, app, kind, worker, **options), 120)
    equal((job["state"], job["error"]), ("succeeded", None), app)
    return job


def listed(site, app):
    """What GET target says of the workers; on a busy machine not at once."""
    return until(lambda: site.papi(app, "target", token="viewer").expect(
        200).json()["workers"], 60, f"the workers of {app} are listed", 1)


def threads(app):
    return len(os.listdir(f"/proc/{app.pid}/task"))


def cpu_seconds(app):
    """What it has had of the processors."""
    with open(f"/proc/{app.pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def artifact_of(site, app, job):
    reply = site.papi(app, f"jobs/{job['id']}/artifact")
    check_whole(reply, job)
    return reply.body


def read_profile(site, app, job):
    """Whether it shows what the worker is at, and a line about it."""
    return check_artifact(site.run, artifact_of(site, app, job), "cpuprofile",
                          "--function", "spinInWorker")


def profiled(site, app, worker):
    """A profile that shows what it is at: the busier the machine, the longer
    that takes to be seen."""
    for duration in (500, 1000, 2000, 4000, 8000):
        job = whole(site, app, "cpu-profile", worker, durationMs=duration)
        good, line = read_profile(site, app, job)
        if good:
            return job
    raise Failed(f"{app}: {line}")


def check_snapshot(site, app, job, name):
    """It is of that thread alone."""
    body = artifact_of(site, app, job)
    good, line = check_artifact(site.run, body, "heapsnapshot")
    check(good, f"{app}: {line}")
    for other in (*NAMES, "main"):
        equal(f"HeldBy_{other}".encode() in body, other == name,
              f"{app}: objects of {other}")


@real("worker threads: listed, profiled and snapshotted by their id, on each "
      "Node")
def _(run):
    def one(name, app):
        known = ids(app)
        equal([(worker["id"], worker["title"])
               for worker in listed(site, name)],
              [(known[worker], f"[worker {known[worker]}] {worker}")
               for worker in NAMES], f"workers of {name}")
        equal(profiled(site, name, known["pegged"])["options"]["worker"],
              known["pegged"], "worker")
        job = whole(site, name, "heap-snapshot", known["idle"])
        equal([(attempt["method"], attempt["outcome"])
               for attempt in job["attempts"]], BY_STREAM, "attempts")
        matches(job["attempts"][0]["reason"], "worker thread", "reason")
        equal((job["method"], job["objectIds"]), ("stream", "process"),
              "method")
        equal(job["options"], {"worker": known["idle"]}, "options")
        matches(job["artifact"]["name"],
                f"Z-worker{known['idle']}.heapsnapshot$", "name")
        size = job["artifact"]["size"]
        check(size / 4 < job["predicted"]["fileBytes"] < size * 4,
              f"predicted {job['predicted']}, but {size} bytes came")
        check_snapshot(site, name, job, "idle")
        equal(ids(app), known, "the app lives, with its workers")

    with workers_on_each_node(run) as (site, apps):
        on_each(apps, one)


@real("worker threads: what cannot be captured is refused in plain words")
def _(run):
    app = worker_app(run, run.node)
    site = site_of(run, {"app": app})

    def refused(kind, worker, detail):
        site.refusal("app", lambda: site.post_job("app", kind, worker=worker),
                     "not-found", detail).problem(404, "not-found", detail)
    try:
        known = ids(app)
        for method in ("fork", "direct"):
            site.post_job("app", "heap-snapshot", worker=known["idle"],
                          method=method).problem(
                400, "invalid", f"method: {method}.*main thread.*stream")
        for wrong in (3, "", "main", "3 ", "-1", "9" * 30, None, ["3"]):
            site.post_job("app", "cpu-profile", worker=wrong).problem(
                400, "invalid", "worker: .*GET target lists them")
        refused("cpu-profile", "77", "no worker thread 77.* it has [123], "
                "[123], [123]")
        app.get("/end/mortal")
        refused("heap-snapshot", known["mortal"], "no worker thread "
                f"{known['mortal']}, or no more")
        equal(site.jobs("app"), [], "jobs")
    finally:
        site.close()
        app.close()


@real("worker threads: one that ends, and an app that exits, in the middle of "
      "a profile, on each Node")
def _(run):
    def one(name, app):
        known = ids(app)
        for end, worker in (("end", "mortal"), ("terminate", "pegged")):
            job_id = profiling(site, name, known[worker])
            check(worker not in ids(app, f"/{end}/{worker}"),
                  f"{name}: {worker} did not {end}")
            error_is(site.wait_job(name, job_id), "target-exited",
                     "worker thread has ended")
        job_id = profiling(site, name, known["idle"])
        # So that there is something in it, on a busy machine, too.
        before = cpu_seconds(app)
        until(lambda: cpu_seconds(app) >= before + 0.5, 60, "it has worked")
        app.get("/exit")
        job = site.wait_job(name, job_id)
        equal((job["state"], job["error"]), ("succeeded", None), name)
        good, line = read_profile(site, name, job)
        check(good, f"{name}: {line}")
        equal(app.process.popen.wait(30), 7, f"{name}: exit status")

    with workers_on_each_node(run) as (site, apps):
        on_each(apps, one)


@real("worker threads: killed in the middle, podprof leaves nothing behind in "
      "them, on each Node")
def _(run):
    def one(name, app):
        known = ids(app)
        before = threads(app)
        job_id = profiling(site, name, known["idle"])
        # V8 has a thread for each profile that runs.
        check(threads(app) > before, f"{name}: no profile runs")
        pid, = site.captures(job_id)
        os.kill(pid, signal.SIGKILL)
        error_is(site.wait_job(name, job_id), "interrupted")
        until(lambda: threads(app) <= before, 30, f"{name}: the profile ends",
              0.1)
        check("idle" not in ids(app, "/end/idle"), f"{name}: it did not end")

    with workers_on_each_node(run, names=("idle",)) as (site, apps):
        on_each(apps, one)


@real("worker threads: while the main thread never returns to its event loop, "
      "on each Node")
def _(run):
    def one(name, app):
        known = ids(app)
        app.get("/peg/100000")
        profiled(site, name, known["idle"])
        job = whole(site, name, "heap-snapshot", known["idle"])
        check_snapshot(site, name, job, "idle")

    with workers_on_each_node(run, names=("idle",)) as (site, apps):
        on_each(apps, one)


@real("worker threads: a heap snapshot is one like any other, but of no freeze "
      "of the app")
def _(run):
    app = worker_app(run, run.node, names=("idle",))
    site = site_of(run, {"app": app})
    try:
        main = site.take_whole("app")
        freezes = metrics(site)["podprof_app_freeze_seconds"].some("_sum")
        job = whole(site, "app", "heap-snapshot", ids(app)["idle"])
        check(job["freezeMs"] >= 0, f"{job['freezeMs']} ms")
        equal(metrics(site)["podprof_app_freeze_seconds"].some("_sum"),
              freezes, "freezes of the app")
        reply = site.papi("app", "getMemorySnapshot").expect(200)
        equal(reply["X-Job-Id"], job["id"], "the newest")
        matches(reply["Content-Disposition"], "-worker[0-9]+.heapsnapshot",
                "its name")
        check_whole(reply, job)
        site.papi("app", "getMemorySnapshot").papi_error(
            404, "Snapshot not found")
        site.papi("app", f"jobs/{job['id']}", "DELETE").expect(204)
        equal(site.papi("app", "getMemorySnapshot").expect(200)["X-Job-Id"],
              main["id"], "the one before")
    finally:
        site.close()
        app.close()


def is_frozen(job):
    return job["phase"] in ("starting", "writing") or job["state"] in FINAL


@real("worker threads: a snapshot that is canceled, and one that holds up the "
      "app's exit, on each Node")
def _(run):
    def frozen(name, worker):
        """A snapshot's job once V8 is at it, or it is over already."""
        job_id = begin(site, name, "heap-snapshot", worker)
        until(lambda: is_frozen(site.job(name, job_id)), 60, "V8 is at it")
        return job_id

    def canceled(name, worker):
        """One that V8 has not done before we have our say."""
        for _ in range(10):
            job_id = frozen(name, worker)
            reply = site.papi(name, f"jobs/{job_id}", "DELETE")
            if reply.status != 204:
                reply.expect(202)
                return job_id
        raise Failed(f"{name}: each was done before it could be canceled")

    def one(name, app):
        known = ids(app)
        job_id = canceled(name, known["big"])
        equal(site.job(name, job_id)["state"], "canceled", "state")
        until(lambda: site.captures(job_id) == [], 120, "V8 is done", 0.1)
        equal(ids(app), known, "the app lives, with its workers")
        job_id = frozen(name, known["big"])
        app.get("/exit")
        job = site.wait_job(name, job_id, 120)
        equal((job["state"], job["error"]), ("succeeded", None), name)
        equal(app.process.popen.wait(30), 7, f"{name}: exit status")

    with workers_on_each_node(run, names=("big", "idle"), heap_mb=6) as (
            site, apps):
        on_each(apps, one)


# tests/soak workers

ROUNDS = 20
CHURNED = 1000
LARGE_MB = 60
MIB = 1 << 20
# Beside a snapshot of 5 MB.
GROWN_MAX = 2 * MIB


def captured_beside_churn(run, name, node):
    """Looks and captures of one worker while others start and end."""
    app = worker_app(run, node, names=("idle",))
    site = site_of(run, {"app": app})
    captures = 0
    try:
        known = ids(app)
        before, began = threads(app), time.monotonic()
        churn = threading.Thread(target=app.get,
                                 args=(f"/churn/{CHURNED}", 600))
        churn.start()
        rounds = 0
        while churn.is_alive() or rounds < ROUNDS:
            rounds += 1
            site.papi("app", "target").expect(200)
            for kind, options in (("cpu-profile", {"durationMs": 100}),
                                  ("heap-snapshot", {})):
                whole(site, "app", kind, known["idle"], **options)
                captures += 1
        churn.join()
        print(f"{name}: {rounds} looks and {captures} captures beside "
              f"{CHURNED} workers that came and went, in "
              f"{time.monotonic() - began:.0f} s", flush=True)
        until(lambda: threads(app) <= before, 30,
              f"{name}: no thread is left", 0.2)
        check("idle" not in ids(app, "/end/idle"), f"{name}: it did not end")
        equal(app.process.stop(), 7, f"{name}: exit status")
    finally:
        site.close()
        app.close()


def largest(site, app, job_id):
    """The most memory that podprof-capture has had, once the job is over."""
    peak = 0
    while site.job(app, job_id)["state"] not in FINAL:
        for pid in site.captures(job_id):
            with contextlib.suppress(OSError, Failed):
                peak = max(peak, status_bytes(pid, "VmHWM"))
        time.sleep(0.05)
    return peak


def captured_large(run):
    """One whose text is unescaped twice while it streams."""
    app = worker_app(run, run.node, names=("idle", "big"), heap_mb=LARGE_MB,
                     args=["--max-old-space-size=4000"])
    site = site_of(run, {"app": app})
    try:
        known = ids(app)
        # What it takes of memory anyway.
        base = largest(site, "app", begin(site, "app", "heap-snapshot",
                                          known["idle"]))
        job_id = begin(site, "app", "heap-snapshot", known["big"], force=True)
        peak = largest(site, "app", job_id)
        job = site.job("app", job_id)
        equal((job["state"], job["error"]), ("succeeded", None), "job")
        size = job["artifact"]["size"]
        print(f"podprof-capture for {size / 1e6:.0f} MB of a worker: peak "
              f"{peak / MIB:.1f} MiB, {base / MIB:.1f} MiB for a small one; "
              f"{GROWN_MAX // MIB} MiB more are allowed", flush=True)
        check(size > LARGE_MB * MIB, "the snapshot is too small to tell")
        check(0 < base and peak < base + GROWN_MAX, "memory grows")
    finally:
        site.close()
        app.close()


def workers(run):
    """Captures of a worker thread while others start and end, on each Node,
    and of a large one."""
    for number in sorted(run.nodes):
        captured_beside_churn(run, f"Node {number}", run.nodes[number])
    captured_large(run)
