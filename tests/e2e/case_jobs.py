"""Jobs and their artifacts."""
import base64
import hashlib
import json
import time

from harness import (POD, Site, api, check, equal, in_parallel, matches, once,
                     seconds_between, until)

JOB_KEYS = {
    "id", "app", "pod", "kind", "state", "phase", "method", "attempts",
    "objectIds", "progress", "options", "requestedBy", "createdAt",
    "startedAt", "finishedAt", "expiresAt", "target", "freezeMs", "predicted",
    "memory", "artifact", "error", "links"}
TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"


@api("POST jobs takes a heap snapshot, and the job says everything of it")
def _(site):
    app = site.fake(hold=True)
    reply = site.post_job(app, "heap-snapshot").expect(202)
    job = reply.json()
    matches(reply["Location"], rf"/{app.name}/private/papi/jobs/{job['id']}$",
            "Location")
    matches(reply["Retry-After"], r"^[1-9][0-9]*$", "Retry-After")
    equal(set(job), JOB_KEYS, "members")
    equal((job["app"], job["pod"], job["kind"]),
          (app.name, POD, "heap-snapshot"), "app, pod, kind")
    equal(job["requestedBy"], "operator", "requestedBy")
    matches(job["createdAt"], TIME, "createdAt")
    app.started()
    job = until(lambda: (lambda j: j if j["phase"] == "writing" else None)(
        site.job(app, job["id"])), 10, "phase writing")
    equal(job["state"], "running", "state")
    equal(job["target"], {"pid": 4711, "node": "v20.0.0-fake"}, "target")
    app.release()
    job = site.wait_job(app, job["id"])
    equal((job["state"], job["phase"], job["error"]),
          ("succeeded", None, None), "state, phase, error")
    for name in ("startedAt", "finishedAt", "expiresAt"):
        matches(job[name], TIME, name)
    check(job["createdAt"] <= job["startedAt"] <= job["finishedAt"] <
          job["expiresAt"], f"times out of order: {job}")
    check(job["artifact"]["size"] > 0, "size")
    check(isinstance(job["freezeMs"], int), f"freezeMs: {job['freezeMs']}")
    matches(job["artifact"]["sha256"], r"^[0-9a-f]{64}$", "sha256")


@api("progress moves while a snapshot is written, and Prefer: wait sees it")
def _(site):
    app = site.fake(hold=True)
    job_id = site.take(app)
    app.started()
    job = until(lambda: (lambda j: j if j["progress"]["bytes"] else None)(
        site.job(app, job_id)), 20, "bytes are shown", 0.1)
    progress = job["progress"]
    check(progress["unit"] and progress["total"], f"progress: {progress}")
    app.release()
    job = site.wait_job(app, job_id)
    equal(job["progress"]["bytes"], job["artifact"]["size"], "bytes at the end")


@api("Prefer: wait answers at the change, at the latest when it is over")
def _(site):
    app = site.fake(hold=True)
    job_id = site.held_job(app)
    reply = site.papi(app, f"jobs/{job_id}", headers={"Prefer": "wait=1"})
    reply.expect(200)
    check(reply.seconds >= 0.9, f"wait=1 took {reply.seconds:.2f} s")
    matches(reply["Retry-After"], r"^[1-9][0-9]*$", "Retry-After")
    waiter = []

    def wait():
        waiter.append(site.papi(app, f"jobs/{job_id}",
                                headers={"Prefer": "wait=25"}))

    def release():
        time.sleep(0.3)     # the waiter is to be parked when it happens
        app.release()
    in_parallel([wait, release])
    check(waiter[0].seconds < 20, f"woken after {waiter[0].seconds:.1f} s")
    job = site.wait_job(app, job_id)
    equal(job["state"], "succeeded", "state")
    reply = site.papi(app, f"jobs/{job_id}", headers={"Prefer": "wait=25"})
    check(reply.seconds < 5, "a finished job is waited for")
    equal(reply["Retry-After"], None, "Retry-After of a finished job")


@api("POST jobs: a CPU profile with its options")
def _(site):
    app = site.fake()
    job = site.post_job(app, "cpu-profile", durationMs=150,
                        intervalUs=100).expect(202).json()
    equal(job["options"]["durationMs"], 150, "durationMs")
    job = site.wait_job(app, job["id"])
    equal(job["state"], "succeeded", "state")
    matches(job["artifact"]["name"], r"\.cpuprofile$", "name")
    reply = site.papi(app, f"jobs/{job['id']}/artifact").expect(200)
    check(reply.json()["samples"], "no samples")


@api("POST jobs: bad bodies are refused by name, and nothing starts")
def _(site):
    app = site.fake()
    kind = "application/json"
    for body, content_type, status in (
            ("{", kind, 400), ("[]", kind, 400), ("", kind, 400),
            ("null", kind, 400), ("{}", kind, 400),
            ('{"kind":"core-dump"}', kind, 400),
            ('{"kind":17}', kind, 400),
            ('{"kind":"cpu-profile","durationMs":"long"}', kind, 400),
            ('{"kind":"heap-snapshot","method":"magic"}', kind, 400),
            ('{"kind":"heap-snapshot","kind":"cpu-profile"}', kind, 400),
            ('{"kind":"heap-snapshot"}', "text/plain", 415),
            ('{"kind":"heap-snapshot"}',
             "application/x-www-form-urlencoded", 415),
            ('{"kind":"heap-snapshot","method":"' + "[" * 20000, kind, 400),
            ("[" * 30000, kind, 400)):
        reply = site.papi(app, "jobs", "POST", body=body,
                          headers={"Content-Type": content_type})
        check(reply.status == status,
              f"{body[:60]!r}: {reply.status}, wanted {status}: {reply.text}")
        reply.problem(status)
    document = site.papi(
        app, "jobs", "POST", body='{"kind":"core-dump"}',
        headers={"Content-Type": kind}).problem(400, "invalid", "kind")
    matches(document["detail"], "heap-snapshot", "what is allowed")
    equal(site.jobs(app), [], "jobs")


@api("a body over the bound is 413")
def _(site):
    app = site.fake()
    body = '{"kind":"heap-snapshot","x":"' + "y" * 100000 + '"}'
    reply = site.papi(app, "jobs", "POST", body=body,
                      headers={"Content-Type": "application/json"})
    equal(reply.status, 413, "status")
    equal(site.jobs(app), [], "jobs")


@api("the list: newest first, filters, limit and cursor")
def _(site):
    app = site.fake()
    made = []
    for kind in ("heap-snapshot", "cpu-profile", "heap-snapshot"):
        options = {"durationMs": 100} if kind == "cpu-profile" else {}
        job = site.post_job(app, kind, **options).expect(202).json()
        made.insert(0, site.wait_job(app, job["id"])["id"])
    equal([job["id"] for job in site.jobs(app)], made, "all, newest first")
    equal([job["id"] for job in site.jobs(app, "?kind=cpu-profile")],
          [made[1]], "kind=cpu-profile")
    equal(len(site.jobs(app, "?state=succeeded")), 3, "state=succeeded")
    equal(site.jobs(app, "?state=running"), [], "state=running")
    page = site.papi(app, "jobs?limit=2").expect(200).json()
    equal([job["id"] for job in page["jobs"]], made[:2], "the first page")
    check(page["next"], "no cursor to the next page")
    rest = site.papi(app, f"jobs?limit=2&after={made[1]}").expect(200).json()
    equal([job["id"] for job in rest["jobs"]], made[2:], "the second page")
    equal(rest["next"], None, "next of the last page")
    for bad, name in (("kind=x", "kind"), ("state=x", "state"),
                      ("limit=0", "limit"), ("limit=x", "limit"),
                      ("limit=99999999999999999999", "limit"),
                      ("after=x", "after"), ("kind=cpu-profile&"
                       "kind=cpu-profile", "kind")):
        site.papi(app, f"jobs?{bad}").problem(400, "invalid", name)


@api("a job of no one is 404, with the pod that answers")
def _(site):
    app = site.fake()
    other = site.fake()
    job = site.take_whole(app)
    missing = "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77"
    for path, where in ((f"jobs/{missing}", app),
                        (f"jobs/{missing}/artifact", app),
                        (f"jobs/{job['id']}", other),
                        (f"jobs/{job['id']}/artifact", other)):
        document = site.papi(where, path).problem(404, "not-found")
        equal(document.get("pod"), POD, f"pod of {path}")
    # What a web server resolves by itself, as "..", leads elsewhere.
    for bad in ("x", job["id"].upper() + "0", "...", "%2e%2e%2e"):
        reply = site.papi(app, f"jobs/{bad}")
        check(reply.status in (301, 400, 404), f"jobs/{bad}: {reply.status}")


@api("the artifact: whole, with its digest, and never delivering")
def _(site):
    app = site.fake("Large")
    job = site.take_whole(app)
    path = f"jobs/{job['id']}/artifact"
    reply = site.papi(app, path).expect(200)
    body = reply.body
    equal(len(body), job["artifact"]["size"], "size")
    digest = hashlib.sha256(body)
    equal(digest.hexdigest(), job["artifact"]["sha256"], "sha256")
    equal(reply["Content-Length"], str(len(body)), "Content-Length")
    equal(reply["Repr-Digest"],
          f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
          "Repr-Digest")
    equal(reply["Content-Type"], "application/octet-stream", "Content-Type")
    matches(reply["ETag"], r'^"[^"]+"$', "a strong ETag")
    equal(reply["Cache-Control"], "no-store", "Cache-Control")
    equal(reply["X-Content-Type-Options"], "nosniff", "nosniff")
    check(reply["Last-Modified"], "no Last-Modified")
    head = site.papi(app, path, "HEAD").expect(200)
    equal(head.body, b"", "body of HEAD")
    for name in ("ETag", "Repr-Digest", "Content-Length", "Last-Modified"):
        equal(head[name], reply[name], f"{name} of HEAD")
    equal(site.job(app, job["id"])["artifact"]["deliveredAt"], None,
          "deliveredAt")
    site.papi(app, "getMemorySnapshot").expect(200)


@api("an artifact that is not ready is 409, one of a failed job 404 or 410")
def _(site):
    app = site.fake(hold=True)
    job_id = site.take(app)
    app.started()
    reply = site.papi(app, f"jobs/{job_id}/artifact")
    reply.problem(409)
    matches(reply["Retry-After"], r"^[1-9][0-9]*$", "Retry-After")
    app.release()
    site.wait_job(app, job_id)
    failing = site.fake("ErrorReply")
    job_id = site.take(failing)
    site.wait_job(failing, job_id)
    reply = site.papi(failing, f"jobs/{job_id}/artifact")
    check(reply.status in (404, 410), f"status {reply.status}")
    reply.problem(reply.status, None, "Cannot take a snapshot")


@api("HEAD works on jobs, and methods that do nothing are 405 with Allow")
def _(site):
    app = site.fake()
    job = site.take_whole(app)
    for path in ("jobs", f"jobs/{job['id']}", f"jobs/{job['id']}/artifact"):
        reply = site.papi(app, path, "HEAD").expect(200)
        equal(reply.body, b"", f"body of HEAD {path}")
    reply = site.papi(app, "jobs", "PUT", body="x")
    reply.problem(405, "method")
    allowed = set(reply["Allow"].replace(",", " ").split())
    equal(allowed, {"GET", "HEAD", "POST"}, "Allow of jobs")
    site.papi(app, f"jobs/{job['id']}/artifact", "POST",
              body="").problem(405, "method")


@api("parameters nobody knows do no harm, but twice the same is refused")
def _(site):
    app = site.fake()
    job = site.take_whole(app)
    site.papi(app, f"getMemorySnapshot?job={job['id']}&_=17").expect(200)
    site.papi(app, f"getMemorySnapshot?job={job['id']}&job={job['id']}"
              ).papi_error(400, None, "invalid", "job")


@once("a delivered file goes after grace, a forgotten one after keep: 410")
def _(run):
    site = Site(run, "nginx", fakes=2, conf={
        "limits": {"grace": "1s", "keep": "1h"}})
    try:
        site.start()
        app, other = site.fake(), site.fake()
        forgotten = site.take_whole(other)
        equal(seconds_between(forgotten["finishedAt"],
                              forgotten["expiresAt"]), 3600, "keep")
        delivered = site.take_whole(app)
        site.papi(app, "getMemorySnapshot").expect(200)
        # The hour is over.
        site.sql("UPDATE jobs SET expires_at_ms = 1 WHERE id = "
                 f"'{forgotten['id']}'")
        for where, job in ((app, delivered), (other, forgotten)):
            reply = until(
                lambda w=where, j=job: (lambda r: r if r.status != 200 else
                                        None)(site.papi(
                                            w, f"jobs/{j['id']}/artifact")),
                90, "the artifact is gone", 0.5)
            reply.problem(410, "gone")
            site.papi(where, "getMemorySnapshot").papi_error(
                404, "Snapshot not found")
            equal(site.job(where, job["id"])["state"], "succeeded", "state")
        until(lambda: not site.files(), 20, "no file is left")
    finally:
        site.close()


@once("jobs outlive a restart of the pool")
def _(run):
    site = Site(run, "nginx", fakes=2)
    try:
        site.start()
        app, held = site.fake(), site.fake(hold=True)
        job = site.take_whole(app)
        running = site.take(held)
        held.started()
        site.restart_pool()
        equal(site.job(app, job["id"])["state"], "succeeded", "state")
        site.papi(app, "getMemorySnapshot").expect(200)
        equal(site.job(held, running)["state"], "running",
              "a capture runs on while the pool is replaced")
        held.release()
        equal(site.wait_job(held, running)["state"], "succeeded", "state")
        json.loads(site.papi(held, "getMemorySnapshot").expect(200).body)
    finally:
        site.close()
