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
from harness import (TOP, App, check, check_artifact, check_whole, equal,
                     error_is, in_parallel, matches, once, until)

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
    until(lambda: site.job(app, job_id)["phase"] == "profiling", 20,
          "the profile runs", 0.1)
    return job_id


def threads(app):
    return len(os.listdir(f"/proc/{app.pid}/task"))


def artifact_of(site, app, job):
    reply = site.papi(app, f"jobs/{job['id']}/artifact")
    check_whole(reply, job)
    return reply.body


def check_profile(site, app, job):
    good, line = check_artifact(site.run, artifact_of(site, app, job),
                                "cpuprofile", "--function", "spinInWorker")
    check(good, f"{app}: {line}")


def check_snapshot(site, app, job, name):
    """It is of that thread alone."""
    body = artifact_of(site, app, job)
    good, line = check_artifact(site.run, body, "heapsnapshot")
    check(good, f"{app}: {line}")
    for other in (*NAMES, "main"):
        equal(f"HeldBy_{other}".encode() in body, other == name,
              f"{app}: objects of {other}")


@once("worker threads: listed, profiled and snapshotted by their id, on each "
      "Node")
def _(run):
    def one(name, app):
        known = ids(app)
        found = site.papi(name, "target", token="viewer").expect(200).json()
        equal([(worker["id"], worker["title"]) for worker in found["workers"]],
              [(known[worker], f"[worker {known[worker]}] {worker}")
               for worker in NAMES], f"workers of {name}")
        job = site.wait_job(name, begin(
            site, name, "cpu-profile", known["pegged"], durationMs=500))
        equal((job["state"], job["error"]), ("succeeded", None), name)
        equal(job["options"], {"durationMs": 500, "worker": known["pegged"]},
              "options")
        check_profile(site, name, job)
        job = site.wait_job(name, begin(site, name, "heap-snapshot",
                                        known["idle"]))
        equal((job["state"], job["error"]), ("succeeded", None), name)
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


@once("worker threads: what cannot be captured is refused in plain words")
def _(run):
    app = worker_app(run, run.node)
    site = site_of(run, {"app": app})
    try:
        known = ids(app)
        for method in ("fork", "direct"):
            site.post_job("app", "heap-snapshot", worker=known["idle"],
                          method=method).problem(
                400, "invalid", f"method: {method}.*main thread.*stream")
        for wrong in (3, "", "main", "3 ", "-1", "9" * 30, None, ["3"]):
            site.post_job("app", "cpu-profile", worker=wrong).problem(
                400, "invalid", "worker: .*GET target lists them")
        site.post_job("app", "cpu-profile", worker="77").problem(
            404, "not-found", "no worker thread 77.* it has [123], [123], [123]")
        app.get("/end/mortal")
        site.post_job("app", "heap-snapshot", worker=known["mortal"]).problem(
            404, "not-found", f"no worker thread {known['mortal']}, or no "
            "more")
        equal(site.jobs("app"), [], "jobs")
        # The drop-in addresses speak of the main thread.
        job = site.wait_job("app", begin(site, "app", "heap-snapshot",
                                         known["idle"]))
        equal(job["state"], "succeeded", f"{job['error']}")
        site.papi("app", "getMemorySnapshot").papi_error(
            404, "Snapshot not found")
    finally:
        site.close()
        app.close()


@once("worker threads: one that ends, and an app that exits, in the middle of "
      "a profile, on each Node")
def _(run):
    def one(name, app):
        known = ids(app)
        for end, worker in (("end", "mortal"), ("terminate", "pegged")):
            job_id = profiling(site, name, known[worker])
            check(worker not in ids(app, f"/{end}/{worker}"),
                  f"{name}: {worker} did not {end}")
            error_is(site.wait_job(name, job_id, 30), "target-exited",
                     "worker thread has ended")
        job_id = profiling(site, name, known["idle"])
        app.get("/exit")
        job = site.wait_job(name, job_id, 30)
        equal((job["state"], job["error"]), ("succeeded", None), name)
        check_profile(site, name, job)
        equal(app.process.popen.wait(30), 7, f"{name}: exit status")

    with workers_on_each_node(run) as (site, apps):
        on_each(apps, one)


@once("worker threads: killed in the middle, podprof leaves nothing behind in "
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
        error_is(site.wait_job(name, job_id, 30), "interrupted")
        until(lambda: threads(app) <= before, 30, f"{name}: the profile ends",
              0.1)
        check("idle" not in ids(app, "/end/idle"), f"{name}: it did not end")

    with workers_on_each_node(run, names=("idle",)) as (site, apps):
        on_each(apps, one)


@once("worker threads: while the main thread never returns to its event loop, "
      "on each Node")
def _(run):
    def one(name, app):
        known = ids(app)
        app.get("/peg/100000")
        job = site.wait_job(name, begin(
            site, name, "cpu-profile", known["idle"], durationMs=300))
        equal((job["state"], job["error"]), ("succeeded", None), name)
        check_profile(site, name, job)
        job = site.wait_job(name, begin(site, name, "heap-snapshot",
                                        known["idle"]))
        equal((job["state"], job["error"]), ("succeeded", None), name)
        check_snapshot(site, name, job, "idle")

    with workers_on_each_node(run) as (site, apps):
        on_each(apps, one)


@once("worker threads: a snapshot that is canceled, and one that holds up the "
      "app's exit, on each Node")
def _(run):
    def frozen(name, worker):
        job_id = begin(site, name, "heap-snapshot", worker)
        until(lambda: site.job(name, job_id)["phase"] in
              ("starting", "writing"), 60, "V8 is at it")
        return job_id

    def one(name, app):
        known = ids(app)
        job_id = frozen(name, known["big"])
        site.papi(name, f"jobs/{job_id}", "DELETE").expect(202)
        equal(site.job(name, job_id)["state"], "canceled", "state")
        until(lambda: site.captures(job_id) == [], 60, "V8 is done", 0.1)
        equal(ids(app), known, "the app lives, with its workers")
        job_id = frozen(name, known["big"])
        app.get("/exit")
        job = site.wait_job(name, job_id)
        equal((job["state"], job["error"]), ("succeeded", None), name)
        equal(app.process.popen.wait(30), 7, f"{name}: exit status")

    with workers_on_each_node(run, names=("big", "idle"), heap_mb=6) as (
            site, apps):
        on_each(apps, one)


# tests/soak workers

ROUNDS = 20
CHURNED = 1000


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
                job = site.wait_job("app", begin(
                    site, "app", kind, known["idle"], **options), 120)
                equal((job["state"], job["error"]), ("succeeded", None),
                      f"{name}: {kind}")
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


def workers(run):
    """Captures of a worker thread while others start and end, on each Node."""
    for number in sorted(run.nodes):
        captured_beside_churn(run, f"Node {number}", run.nodes[number])
