"""DELETE: what runs is canceled, what is over is removed."""
import hashlib
import os
import signal
import threading
import time

from case_artifact import MISSING
from case_failure import capture_of
from case_load import Sloth
from harness import api, check, equal, in_parallel, matches, until


def delete(site, app, job_id, **more):
    return site.papi(app, f"jobs/{job_id}", "DELETE", **more)


def canceled(reply, job_id):
    """202, and the job as it now is: canceled, whatever V8 still does."""
    job = reply.expect(202).json()
    equal((job["id"], job["state"], job["phase"], job["error"]),
          (job_id, "canceled", None, None), "id, state, phase, error")
    check(job["finishedAt"], "no finishedAt")
    equal(reply["X-Job-Id"], job_id, "X-Job-Id")
    matches(reply["Retry-After"], r"^[1-9][0-9]*$", "Retry-After")


def removed(site, app, job_id):
    """Wait until the row can go, let it go, and look that it has."""
    reply = until(lambda: (lambda r: r if r.status != 202 else None)(
        delete(site, app, job_id)), 15, "the job can be removed", 0.1)
    reply.expect(204)
    equal((reply.body, reply["Content-Length"], reply["Content-Type"]),
          (b"", None, None), "body, Content-Length, Content-Type of 204")
    for tail in (f"jobs/{job_id}", f"jobs/{job_id}/artifact"):
        site.papi(app, tail).problem(404, "not-found")
    delete(site, app, job_id).problem(404, "not-found")
    check(job_id not in [job["id"] for job in site.jobs(app)],
          "it is still listed")
    equal(site.files_of(job_id), [], "files of the job")


class Waiter(threading.Thread):
    """One request in a thread of its own."""

    def __init__(self, ask):
        super().__init__()
        self.ask = ask
        self.reply = None
        self.start()

    def run(self):
        self.reply = self.ask()

    def result(self, within):
        self.join(within)
        check(not self.is_alive(), f"no answer within {within} s")
        check(self.reply is not None, "the request failed")
        return self.reply


def held_snapshot(site, app):
    """The id of a heap snapshot of which a part has been written."""
    job_id = site.take(app)
    app.started()
    until(lambda: site.job(app, job_id)["phase"] == "writing", 20,
          "phase writing")
    return job_id


@api("DELETE of a running snapshot: canceled at once, for all who ask or wait")
def _(site):
    app = site.fake(hold=True)
    job_id = held_snapshot(site, app)
    # They may be woken by progress too: whoever sees the job run asks again.
    def wait():
        while True:
            reply = site.papi(app, f"jobs/{job_id}",
                              headers={"Prefer": "wait=25"}).expect(200)
            if reply.json()["state"] != "running":
                return reply
    waiters = [Waiter(wait) for _ in range(3)]
    canceled(delete(site, app, job_id), job_id)
    for waiter in waiters:
        equal(waiter.result(10).json()["state"], "canceled", "state")
    job = site.job(app, job_id)
    equal((job["state"], job["links"]["artifact"]), ("canceled", None),
          "state, link to the artifact")
    equal([j["id"] for j in site.jobs(app, "?state=canceled")], [job_id],
          "state=canceled")
    site.papi(app, f"jobs/{job_id}/artifact").problem(
        404, "not-found", "cancel")
    for tail in ("getMemorySnapshot", f"getMemorySnapshot?job={job_id}"):
        site.papi(app, tail).papi_error(404, None, "not-found", "cancel")
    # The app is frozen for as long as V8 likes; the bytes go before.
    until(lambda: not site.files_of(job_id), 30, "its file is away", 0.1)
    app.release()
    removed(site, app, job_id)


@api("a canceled snapshot keeps the app until V8 is through")
def _(site):
    app = site.fake(hold=True)
    job_id = held_snapshot(site, app)
    canceled(delete(site, app, job_id), job_id)
    reply = site.papi(app, "takeMemorySnapshot").expect(409)
    equal(reply.text.strip(), "Snapshot already generating", "text")
    for reply in (reply, site.post_job(app, "heap-snapshot"),
                  site.post_job(app, "cpu-profile", durationMs=100)):
        equal(reply.status, 409, "status")
        equal(reply["X-Job-Id"], job_id, "X-Job-Id")
        matches(reply["Location"], rf"/jobs/{job_id}$", "Location")
        matches(reply["Retry-After"], r"^[1-9][0-9]*$", "Retry-After")
    site.post_job(app, "heap-snapshot").problem(409, "conflict", "cancel")
    # As often as one likes.
    for _ in range(2):
        canceled(delete(site, app, job_id), job_id)
    equal(app.methods().count("HeapProfiler.takeHeapSnapshot"), 1,
          "snapshots V8 was asked for")
    app.release()
    reply = until(lambda: (lambda r: r if r.status != 409 else None)(
        site.papi(app, "takeMemorySnapshot")), 15, "the app has thawed", 0.1)
    new = site.wait_job(app, reply.expect(200)["X-Job-Id"])
    equal(new["state"], "succeeded", f"state, {new['error']}")
    equal(site.papi(app, "getMemorySnapshot").expect(200)["X-Job-Id"],
          new["id"], "X-Job-Id of what is served")
    removed(site, app, job_id)
    equal([job["id"] for job in site.jobs(app)], [new["id"]], "jobs")


@api("a canceled snapshot whose podprof-capture dies keeps the app no longer")
def _(site):
    app = site.fake(hold=True)
    job_id = held_snapshot(site, app)
    canceled(delete(site, app, job_id), job_id)
    os.kill(capture_of(site, job_id), signal.SIGKILL)
    app.release()
    app.behave()
    reply = until(lambda: (lambda r: r if r.status != 409 else None)(
        site.papi(app, "takeMemorySnapshot")), 15, "the app is free", 0.1)
    equal(site.wait_job(app, reply.expect(200)["X-Job-Id"])["state"],
          "succeeded", "state")
    equal(site.job(app, job_id)["state"], "canceled", "state stays")
    removed(site, app, job_id)


@api("DELETE of a CPU profile: over at once, and whoever waits learns it")
def _(site):
    app = site.fake()
    waiter = Waiter(lambda: site.papi(app, "getCpuProfile?duration=60000"))
    job = until(lambda: [j for j in site.jobs(app)
                         if j["phase"] == "profiling"], 20, "it runs")[0]
    canceled(delete(site, app, job["id"]), job["id"])
    reply = waiter.result(10)
    reply.papi_error(404, None, "not-found", "cancel")
    equal(reply["X-Job-Id"], job["id"], "X-Job-Id")
    until(lambda: not app.inspector.connections, 10, "no session is left")
    until(lambda: not capture_of(site, job["id"]), 10, "its process is over")
    site.take_whole(app)
    removed(site, app, job["id"])


@api("DELETE before V8 was asked for anything: the app is free at once")
def _(site):
    app = site.fake("StallEvaluate")
    # Accepted when the preflight has taken its second.
    job_id = site.post_job(app, "heap-snapshot").expect(202).json()["id"]
    canceled(delete(site, app, job_id), job_id)
    app.behave()
    reply = until(lambda: (lambda r: r if r.status != 409 else None)(
        site.papi(app, "takeMemorySnapshot")), 15, "the app is free", 0.1)
    equal(site.wait_job(app, reply.expect(200)["X-Job-Id"])["state"],
          "succeeded", "state")
    removed(site, app, job_id)


@api("DELETE of what is over: 204, file and row away, delivered or not")
def _(site):
    app = site.fake()
    older, newer = site.take_whole(app), site.take_whole(app)
    site.papi(app, "getMemorySnapshot").expect(200)
    path = site.papi(app, f"jobs/{newer['id']}/links",
                     "POST").expect(201).json()["href"]
    removed(site, app, newer["id"])
    site.request("GET", path).problem(401, "unauthenticated")
    site.papi(app, f"getMemorySnapshot?job={newer['id']}").papi_error(
        404, "Snapshot not found")
    equal([job["id"] for job in site.jobs(app)], [older["id"]], "jobs")
    removed(site, app, older["id"])
    site.papi(app, "getMemorySnapshot").papi_error(404, "Snapshot not found")
    app.behave("ErrorReply")
    failed = site.wait_job(app, site.take(app))
    equal(failed["state"], "failed", "state")
    removed(site, app, failed["id"])
    equal(site.jobs(app), [], "jobs")


@api("DELETE by many at once: canceled once, removed once")
def _(site):
    app = site.fake(hold=True)
    job_id = held_snapshot(site, app)
    for reply in in_parallel([lambda: delete(site, app, job_id)] * 6):
        canceled(reply, job_id)
    app.release()
    until(lambda: delete(site, app, job_id).status == 204, 15,
          "the job can be removed", 0.1)
    app.behave()
    job_id = site.take_whole(app)["id"]
    statuses = [reply.status for reply in in_parallel(
        [lambda: delete(site, app, job_id)] * 6)]
    check(204 in statuses and set(statuses) <= {204, 404},
          f"statuses: {statuses}")
    equal(site.files_of(job_id), [], "files of the job")


@api("DELETE just when a capture ends: canceled or removed, nothing between")
def _(site):
    app = site.fake()
    outcomes = []
    for delay_s in (0, 0.02, 0.04):
        app.behave(hold=True)
        # Nothing of the one before is in the way.
        job_id = held_snapshot(site, app)
        app.release()
        time.sleep(delay_s)
        reply = delete(site, app, job_id)
        outcomes.append(reply.status)
        if reply.status == 202:
            canceled(reply, job_id)
            removed(site, app, job_id)
        else:
            reply.expect(204)
            site.papi(app, f"jobs/{job_id}").problem(404, "not-found")
            equal(site.files_of(job_id), [], "files of the job")
    print(f"# {outcomes.count(202)} canceled, {outcomes.count(204)} removed")


@api("DELETE while it is downloaded: the download comes to its end")
def _(site):
    app = site.fake("Large")
    job = site.take_whole(app)
    sloth = Sloth(site, f"/{app.name}/private/papi/jobs/{job['id']}/artifact")
    matches(sloth.data.decode("latin-1"), r"^HTTP/1\.[01] 200", "status")
    removed(site, app, job["id"])
    equal(hashlib.sha256(sloth.rest()).hexdigest(), job["artifact"]["sha256"],
          "sha256 of the download")


@api("who may delete, and what else the address takes")
def _(site):
    app, other = site.fake(hold=True), site.fake()
    job_id = held_snapshot(site, app)
    delete(site, app, job_id, token=None).problem(401, "unauthenticated")
    delete(site, app, job_id, token="viewer").problem(
        403, "forbidden", "operator")
    equal(site.job(app, job_id)["state"], "running", "state")
    for where, missing in ((app, MISSING), (other, job_id)):
        document = delete(site, where, missing).problem(404, "not-found")
        check(document.get("pod"), "no pod")
    app.release()
    equal(site.wait_job(app, job_id)["state"], "succeeded", "state")
    reply = site.papi(app, f"jobs/{job_id}", "PUT", body="")
    reply.problem(405, "method")
    equal(set(reply["Allow"].replace(",", " ").split()),
          {"GET", "HEAD", "DELETE"}, "Allow of a job")
    for tail in ("jobs", f"jobs/{job_id}/artifact"):
        reply = site.papi(app, tail, "DELETE").expect(405)
        check("DELETE" not in reply["Allow"], f"Allow of {tail}")
