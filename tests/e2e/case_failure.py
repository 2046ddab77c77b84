"""Whatever dies, lies or stalls: a job that failed, a reason, no file."""
import contextlib
import os
import signal
import time

from harness import (App, Site, api, check, equal, error_is, in_parallel,
                     matches, once, tmpfs, until)

# What a scripted inspector does, and what comes of it: the error's type and
# words of its detail; a kind other than heap-snapshot as the third.
REFUSED = {
    # At the first touch, so the preflight tells the caller: status 502 to 504.
    "CloseList": ("target-refused", r"does not answer as a Node inspector"),
    "GarbageList": ("target-refused", r"/json/list"),
    "HugeList": ("target-refused", r"does not answer as a Node inspector"),
    "EmptyList": ("target-refused", r"names no Node process"),
    "HiddenList": ("target-refused", r"ws://HOST:PORT/UUID"),
    "RefuseUpgrade": ("target-refused", r"does not answer as a Node"),
    "WrongAccept": ("target-refused", r"does not answer as a Node"),
    "GarbageEvaluate": ("target-(refused|timeout)", r"."),
    "FactsNoJson": ("target-refused", r"not JSON"),
}
FAILED = {
    "NotHttp": ("target-(refused|timeout)", r"does not answer"),
    "StallList": ("target-timeout", r"does not answer"),
    "StallUpgrade": ("target-timeout", r"does not answer"),
    "StallEvaluate": ("target-timeout", r"did not answer in time"),
    "ErrorReply": ("target-refused", r"Cannot take a snapshot"),
    "WrongId": ("target-timeout", r"takeHeapSnapshot"),
    "StallSnapshot": ("target-timeout", r"takeHeapSnapshot"),
    "StallMidSnapshot": ("target-timeout", r"takeHeapSnapshot"),
    "CloseMidChunk": ("target-exited", r"takeHeapSnapshot"),
    "CloseFrame": ("target-exited", r"takeHeapSnapshot"),
    "TruncatedSnapshot": ("target-refused", r"is not whole"),
    "EmptySnapshot": ("target-refused", r"is not whole"),
    "GarbageSnapshot": ("target-refused", r"takeHeapSnapshot"),
    "ChunkNoText": ("target-refused", r"takeHeapSnapshot|complete"),
    "KeysReversed": ("target-refused", r"form that V8 does not have"),
    "HugeControl": ("target-refused", r"takeHeapSnapshot"),
    "Deep": ("target-refused", r"takeHeapSnapshot"),
    "ErrorProfile": ("target-refused", r"Profiler is not enabled"),
    "NoProfile": ("target-refused", r"profile"),
    "CloseInProfile": ("target-exited", r"."),
    "StallProfileStop": ("target-timeout", r"Profiler.stop"),
    "TruncatedProfile": ("target-exited", r"Profiler.stop"),
}
PROFILES = ("ErrorProfile", "NoProfile", "CloseInProfile", "StallProfileStop",
            "TruncatedProfile")
RIGHT = ("BytePieces", "Fragments", "Pings", "Strangers", "Large")
# Every phase has a deadline of its own; this one is over all of them.
JOB_TIMEOUT = 20


def order(site, app, behaviour):
    if behaviour in PROFILES:
        return site.post_job(app, "cpu-profile", durationMs=200)
    return site.post_job(app, "heap-snapshot")


def refused(site, behaviour):
    """Refused at once with no job; or, on a busy machine where the preflight
    took its second, accepted and failed with the same type."""
    kind, words = REFUSED[behaviour]
    app = site.fake(behaviour)
    reply = order(site, app, behaviour)
    if reply.status == 202:
        failed_job(site, app, reply.json()["id"], kind, words)
        return
    check(reply.status in (502, 503, 504),
          f"{behaviour}: {reply.status} {reply.text}")
    reply.problem(reply.status, kind, words)
    equal(site.jobs(app), [], f"{behaviour}: jobs")


def failed_job(site, app, job_id, kind, words):
    job = site.wait_job(app, job_id, JOB_TIMEOUT + 20)
    error_is(job, kind, words)
    check(job["error"]["title"], "no title")
    check(not job["artifact"]["size"], f"size: {job['artifact']['size']}")


def failed(site, behaviour):
    kind, words = FAILED[behaviour]
    app = site.fake(behaviour)
    reply = order(site, app, behaviour)
    if reply.status != 202:
        check(behaviour.startswith("Stall"), f"{behaviour}: {reply.status}")
        reply.problem(504, kind, words)
        return
    failed_job(site, app, reply.json()["id"], kind, words)


@once("an inspector that stalls, lies or closes: a clear reason, no file")
def _(run):
    site = Site(run, "nginx", fakes=len(REFUSED) + len(FAILED), conf={
        "limits": {"job_timeout": f"{JOB_TIMEOUT}s"}})
    try:
        site.start()
        in_parallel({
            **{b: lambda b=b: refused(site, b) for b in REFUSED},
            **{b: lambda b=b: failed(site, b) for b in FAILED}})
        equal(list((site.state / "artifacts").iterdir()), [], "files left")
        # The row is written before the process has ended.
        until(lambda: not site.captures(), 20,
              "no podprof-capture process is left")
    finally:
        site.close()


@once("a chunk without end fails at the job's deadline, with nothing kept")
def _(run):
    site = Site(run, "nginx", fakes=1, conf={"limits": {"job_timeout": "2s"}})
    try:
        site.start()
        # Large enough a heap for that not to be too much of it.
        app = site.fake("EndlessChunk", expected=4 << 30)
        job = site.wait_job(app, site.take(app), 30)
        error_is(job, "target-timeout")
        equal(list((site.state / "artifacts").iterdir()), [], "files left")
    finally:
        site.close()


@once("an inspector that is odd but right: the snapshot comes through whole")
def _(run):
    site = Site(run, "nginx", fakes=len(RIGHT))
    try:
        site.start()
        for behaviour in RIGHT:
            app = site.fake(behaviour)
            job = site.wait_job(app, site.take(app))
            equal(job["state"], "succeeded", f"{behaviour}: {job['error']}")
            reply = site.papi(app, "getMemorySnapshot").expect(200)
            wanted = app.inspector.behaviour.snapshot_text().encode()
            check(reply.body == wanted, f"{behaviour}: {len(reply.body)} bytes "
                  f"differ from the {len(wanted)} that were sent")
    finally:
        site.close()


@api("no inspector there: 503 with the address and what to do, no job")
def _(site):
    for tail, method, more in (
            ("takeMemorySnapshot", "GET", {}),
            ("getCpuProfile?duration=100", "GET", {}),
            ("jobs", "POST", {"body": '{"kind":"heap-snapshot"}', "headers": {
                "Content-Type": "application/json"}})):
        reply = site.refusal(
            "gone", lambda t=tail, m=method, o=more: site.papi(
                "gone", t, m, **o), "target-unreachable", "--inspect")
        document = reply.problem(503, "target-unreachable", "--inspect")
        matches(document["detail"], site.apps["gone"], "the address tried")
        check(reply["Retry-After"], "no Retry-After")
        if tail != "jobs":
            equal(document["resultCode"], "Error", "resultCode")
    equal(site.jobs("gone"), [], "jobs")
    site.papi("gone", "getMemorySnapshot").papi_error(
        404, "Snapshot not found")


def end_in_the_middle(site):
    """False: the capture was through before."""
    app = App(site.run, port=int(site.apps["mortal"].split(":")[1]),
              heap_mb=250, args=["--max-old-space-size=2000"])
    try:
        job_id = site.take("mortal")
        until(lambda: (lambda j: j["phase"] in ("starting", "writing") or
                       j["state"] == "succeeded")(site.job("mortal", job_id)),
              20, "the capture has begun")
        app.close()
        job = site.wait_job("mortal", job_id, 30)
        if job["state"] == "succeeded":
            site.papi("mortal", f"jobs/{job_id}", "DELETE").expect(204)
            return False
        error_is(job, "target-exited")
        site.papi("mortal", "getMemorySnapshot").papi_error(404, None)
        equal([name for name in os.listdir(site.state / "artifacts")
               if name.startswith(job_id)], [], "files of the job")
        return True
    finally:
        app.close()


@api("the app ends in the middle of a capture: failed within seconds")
def _(site):
    until(lambda: end_in_the_middle(site), 120, "it ends in the middle")


@api("podprof-capture killed: interrupted at the next look, then a new one")
def _(site):
    app = site.fake(hold=True)
    job_id = site.take(app)
    app.started()
    pid = until(lambda: capture_of(site, job_id), 10, "its pid")
    os.kill(pid, signal.SIGKILL)
    # As long as somebody holds its session open.
    app.release()
    app.parted()
    job = until(lambda: (lambda j: j if j["state"] != "running" else None)(
        site.job(app, job_id)), 10, "the job is over", 0.1)
    error_is(job, "interrupted")
    equal([name for name in os.listdir(site.state / "artifacts")
           if name.startswith(job_id)], [], "files of the job")
    site.papi(app, "getMemorySnapshot").papi_error(404, None)
    app.behave()
    site.take_whole(app)
    site.papi(app, "getMemorySnapshot").expect(200)


def capture_of(site, job_id):
    """The pid of the podprof-capture that works on this job."""
    for pid in site.captures():
        with contextlib.suppress(OSError), \
                open(f"/proc/{pid}/cmdline", "rb") as args:
            if job_id.encode() in args.read():
                return pid
    return None


@once("an app that is stopped (SIGSTOP): accepted, then fails, app unharmed")
def _(run):
    app = App(run)
    site = Site(run, "nginx", fakes=0, apps={"sample": app.address})
    try:
        site.start()
        os.kill(app.process.pid, signal.SIGSTOP)
        reply = site.papi("sample", "takeMemorySnapshot")
        if reply.status == 504:
            reply.papi_error(504, None, "target-timeout", "SIGSTOP")
        else:
            job = site.wait_job("sample", reply.expect(200)["X-Job-Id"], 30)
            error_is(job, "target-timeout")
            matches(job["error"]["detail"], "SIGSTOP", "detail")
        os.kill(app.process.pid, signal.SIGCONT)
        site.take_whole("sample")
    finally:
        os.kill(app.process.pid, signal.SIGCONT)
        app.close()
        site.close()


@once("an app that ends by itself does not wait for podprof, and its profile "
      "is kept")
def _(run):
    app = App(run)
    site = Site(run, "nginx", fakes=0, apps={"sample": app.address})
    try:
        site.start()
        job = site.post_job("sample", "cpu-profile",
                            durationMs=30000).expect(202).json()
        until(lambda: site.job("sample", job["id"])["phase"] == "profiling",
              20, "the profile runs")
        app.process.signal(signal.SIGTERM)     # its handler: process.exit(0)
        began = time.monotonic()
        app.process.popen.wait(15)
        check(time.monotonic() - began < 10, "podprof held the app's exit up")
        job = site.wait_job("sample", job["id"], 20)
        equal(job["state"], "succeeded", f"state, {job['error']}")
        profile = site.papi("sample", f"jobs/{job['id']}/artifact").expect(
            200).json()
        check(profile["samples"], "no samples")
    finally:
        app.close()
        site.close()


@once("the state directory cannot be written: 503, and what to do")
def _(run):
    site = Site(run, "nginx", fakes=1)
    try:
        site.start()
        app = site.fake()
        site.take_whole(app)
        artifacts = site.state / "artifacts"
        os.chown(artifacts, 0, 0)
        job_id = site.take(app)
        job = site.wait_job(app, job_id)
        error_is(job, "state")
        matches(job["error"]["detail"], str(artifacts), "detail")
        os.chown(artifacts, site.user, site.user)
        site.take_whole(app)
    finally:
        site.close()


@once("a disk that is full: the job fails with the reason, nothing is left")
def _(run):
    with tmpfs(run.subdir("small"), "size=6m,mode=0755") as small:
        site = Site(run, "nginx", fakes=1, state=small / "state",
                    conf={"limits": {"min_free_bytes": 0}})
        try:
            site.start()
            # Far more than is expected of such a heap, and hard to compress.
            app = site.fake("Big", size=16 << 20, noise=True,
                            expected=5 << 20)
            job = site.wait_job(app, site.take(app), 30)
            error_is(job, "space")
            equal(list((site.state / "artifacts").iterdir()), [],
                  "files left")
            app.behave()
            job = site.wait_job(app, site.take_free(app))
            equal(job["state"], "succeeded", f"state, {job['error']}")
        finally:
            site.close()
