"""Heap profiles: what they name, one at a time for a thread, and what is left
in the app when one does not come to its end."""
import os
import signal
import time

from case_worker import artifact_of, ids, on_each, workers_on_each_node
from harness import (Failed, api, check, check_artifact, check_whole, equal,
                     error_is, matches, real, until)

KIND = "heap-profile"
# Enough samples of what is alive to be sure which function is the first.
FINE = {"samplingBytes": 16384}
HUNGRY = ("hungry",)
# What allocates in the sample app.
SAMPLES = "allocateRowsOfSample"


def named(site, app, job):
    """Whether most is allocated in the function, and a line about it."""
    return check_artifact(site.run, artifact_of(site, app, job), "heapprofile",
                          "--function", "allocateInThread")


def profiling(site, app, **options):
    """One that would last longer than the case; its job's id, once it runs."""
    job_id = site.post_job(app, KIND, durationMs=100000,
                           **options).expect(202).json()["id"]
    until(lambda: site.job(app, job_id)["phase"] == "profiling", 60,
          "the profile runs", 0.1)
    return job_id


def whole(site, app, **options):
    """One that names what allocates: the busier the machine, the longer that
    takes to be seen.  V8 had no other sampler then, or it would have been
    refused."""
    for duration in (500, 1000, 2000, 4000, 8000):
        job_id = site.post_job(app, KIND, durationMs=duration, **FINE,
                               **options).expect(202).json()["id"]
        job = site.wait_job(app, job_id, 120)
        equal((job["state"], job["error"]), ("succeeded", None), app)
        good, line = named(site, app, job)
        if good:
            return
    raise Failed(f"{app}: {line}")


def profiled(site):
    """One of the sample app in which it was seen to allocate: the busier the
    machine, the longer that takes."""
    for duration in (1000, 2000, 4000, 8000):
        job = site.post_job("sample", KIND, durationMs=duration,
                            samplingBytes=4096).expect(202).json()
        equal(job["options"], {"durationMs": duration, "samplingBytes": 4096},
              "options")
        job = site.wait_job("sample", job["id"])
        if job["state"] != "succeeded" or check_artifact(
                site.run, artifact_of(site, "sample", job), "heapprofile",
                "--function", SAMPLES)[0]:
            break
    return job


@api("a heap profile names the function that allocates most")
def _(site):
    job = profiled(site)
    equal((job["state"], job["error"]), ("succeeded", None), "job")
    equal((job["method"], job["objectIds"]), ("stream", None), "method")
    check(job["freezeMs"] >= 0, f"freeze of {job['freezeMs']} ms")
    matches(job["artifact"]["name"], r"Z\.heapprofile$", "name")
    reply = site.papi("sample", f"jobs/{job['id']}/artifact")
    check_whole(reply, job)
    matches(reply["Content-Disposition"],
            r'^attachment; filename="[^"/]+\.heapprofile"(;|$)',
            "Content-Disposition")
    equal(reply["Content-Type"], "application/octet-stream", "Content-Type")
    good, line = check_artifact(site.run, reply.body, "heapprofile",
                                "--function", SAMPLES)
    check(good, line)
    for bad, *more in ((reply.body[:-1],), (b'{"head":{}}',),
                       (reply.body, "--function", "nobody")):
        good, line = check_artifact(site.run, bad, "heapprofile", *more)
        check(not good, f"passes: {line}")
    equal([job["kind"] for job in site.jobs("sample", f"?kind={KIND}")][:1],
          [KIND], "the list of the kind")


@api("a second heap profile of the thread: 409, and when to come again")
def _(site):
    app = site.fake()
    first = site.post_job(app, KIND, durationMs=60000).expect(202).json()
    app.started()
    reply = site.post_job(app, KIND)
    reply.problem(409, "conflict", f"one heap profile.* {first['id']}")
    equal(reply["X-Job-Id"], first["id"], "X-Job-Id")
    matches(reply["Location"], f"/jobs/{first['id']}$", "Location")
    check(30 < int(reply["Retry-After"]) <= 61, reply["Retry-After"])
    site.post_job(app, "cpu-profile", durationMs=100).expect(202)
    site.papi(app, f"jobs/{first['id']}", "DELETE").expect(202)
    # As soon as the first has left.
    job = until(lambda: (lambda r: r if r.status != 409 else None)(
        site.post_job(app, KIND, durationMs=100, live=True)), 20,
        "it is free").expect(202).json()
    job = site.wait_job(app, job["id"])
    equal((job["state"], job["error"]), ("succeeded", None), "the next")
    equal(job["options"], {"durationMs": 100, "live": True}, "options")
    asked = [params for method, params in app.inspector.commands
             if method == "HeapProfiler.startSampling"]
    equal([(params["samplingInterval"], len(params)) for params in asked],
          [(524288, 3), (32768, 1)], "HeapProfiler.startSampling")


@real("heap profiles: of the main thread and of a worker side by side, on each "
      "Node")
def _(run):
    def one(name, app):
        hungry = ids(app, "/feed")["hungry"]
        mine = profiling(site, name, **FINE)
        for live in (False, True):
            whole(site, name, worker=hungry, live=live)
        site.post_job(name, KIND).problem(409, "conflict", mine)
        # Nor is a copy of the app, with a sampler of its own, disturbed.
        site.take_whole(name)
        equal(site.job(name, mine)["phase"], "profiling", "phase")
        # Canceled, it lets go, and V8 has none of it.
        site.papi(name, f"jobs/{mine}", "DELETE").expect(202)
        until(lambda: site.captures(mine) == [], 30, "it has left", 0.1)
        whole(site, name)
        whole(site, name, live=True)

    with workers_on_each_node(run, names=HUNGRY) as (site, apps):
        on_each(apps, one)


@real("heap profiles: podprof-capture is killed, and the app exits, in the "
      "middle, on each Node")
def _(run):
    def one(name, app):
        hungry = ids(app, "/feed")["hungry"]
        for options in ({}, {"worker": hungry}):
            job_id = profiling(site, name, **options)
            pid, = site.captures(job_id)
            os.kill(pid, signal.SIGKILL)
            error_is(site.wait_job(name, job_id), "interrupted")
            until(lambda: site.watchdogs(job_id) == [], 30, "it has left", 0.1)
            whole(site, name, **options)
        job_id = profiling(site, name, **FINE)
        # Each answer shows that the loop, which allocates, has turned.
        for _ in range(20):
            ids(app)
            time.sleep(0.05)
        app.get("/exit")
        job = site.wait_job(name, job_id)
        equal((job["state"], job["error"]), ("succeeded", None), name)
        good, line = named(site, name, job)
        check(good, f"{name}: {line}")
        equal(app.process.popen.wait(30), 7, f"{name}: exit status")

    with workers_on_each_node(run, names=HUNGRY) as (site, apps):
        on_each(apps, one)


@real("heap profiles: not beside somebody else's, on each Node")
def _(run):
    def one(name, app):
        reply = site.post_job(name, KIND, durationMs=200)
        if reply.status == 202:    # the machine is busy
            error_is(site.wait_job(name, reply.json()["id"]),
                     "target-refused", "somebody else samples")
        else:
            reply.problem(502, "target-refused", "somebody else samples")
        equal(ids(app), {}, "the app lives")

    with workers_on_each_node(run, names=(), args=["--heap-prof"]) as (
            site, apps):
        on_each(apps, one)
