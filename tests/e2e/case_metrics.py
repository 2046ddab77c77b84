"""/metrics: what is told of jobs, limits, apps and requests."""
import os
import signal
import subprocess

import prometheus
from harness import (Site, api, check, equal, in_parallel, matches, once,
                     until)

TYPE = "text/plain; version=0.0.4; charset=utf-8"
POOL = ("podprof_waiting", "podprof_downloads", "podprof_requests_total",
        "process_start_time_seconds", "process_resident_memory_bytes",
        "process_open_fds")


def metrics(site):
    reply = site.request("GET", "/metrics", "viewer").expect(200)
    equal(reply["Content-Type"].replace(";v", "; v"), TYPE, "Content-Type")
    return prometheus.parse(reply.text)


@api("metrics: sound, for viewers alone, and each job counts once")
def _(site):
    app = site.fake()
    for path in ("/metrics", "/openapi.json"):
        site.request("GET", path).problem(401, "unauthenticated")
        site.request("POST", path, "operator", body="").problem(405, "method")
        equal(site.request("HEAD", path, "viewer").expect(200).body, b"",
              "the body of a HEAD")
    before = metrics(site)
    equal(before["podprof_jobs"].some(app=app.name), {}, "jobs")
    job = site.take_whole(app)
    profile = site.post_job(app, "cpu-profile", durationMs=100).expect(
        202).json()["id"]
    site.wait_job(app, profile)
    app.behave("ErrorReply")
    site.wait_job(app, site.take(app))
    now = metrics(site)
    snapshots = {"app": app.name, "kind": "heap-snapshot", "method": "stream"}
    profiles = {**snapshots, "kind": "cpu-profile"}
    jobs, ends = now["podprof_jobs"], now["podprof_jobs_total"]
    equal(jobs.get(**snapshots, state="succeeded"), 1, "snapshots")
    equal(jobs.get(**profiles, state="succeeded"), 1, "profiles")
    equal(ends.get(**snapshots, outcome="succeeded"), 1, "snapshots taken")
    equal(ends.get(**snapshots, outcome="failed"), 1, "snapshots failed")
    equal(ends.get(**profiles, outcome="succeeded"), 1, "profiles taken")
    took = now["podprof_job_duration_seconds"]
    equal(list(took.some("_count", **snapshots).values()), [1], "took")
    equal(sum(took.some("_count", app=app.name).values()), 2, "of all")
    freezes = now["podprof_app_freeze_seconds"].some("_sum", **snapshots)
    check(job["freezeMs"] / 1000 - 0.001 <= sum(freezes.values()),
          f"{freezes} lacks {job['freezeMs']} ms")
    for name, least in (("stored_jobs", 3), ("stored_bytes", 2),
                        ("free_bytes", 1 << 20)):
        check(now[f"podprof_{name}"].get() >= least, name)
    equal(now["podprof_limit_store_jobs"].get(), 1000, "store_jobs")
    # What is gone was there.
    site.papi(app, f"jobs/{job['id']}", "DELETE").expect(204)
    now = metrics(site)
    equal(now["podprof_jobs"].get(**snapshots, state="succeeded"), 0, "left")
    equal(now["podprof_jobs_total"].get(**snapshots, outcome="succeeded"), 1,
          "snapshots taken, ever")


@api("metrics: the pool tells of itself, a CGI program of nothing it forgets")
def _(site):
    site.request("GET", "/x/private/papi/nothing", "viewer").expect(404)
    now = metrics(site)
    for name in POOL:
        equal(name in now, not site.cgi, name)
    if site.cgi:
        return
    labels = {"route": "/metrics", "method": "GET", "status": "200"}
    before = now["podprof_requests_total"].get(**labels) or 0
    now = metrics(site)
    equal(now["podprof_requests_total"].get(**labels), before + 1, "requests")
    check(now["podprof_requests_total"].get(
        route="none", method="GET", status="404") >= 1, "none")
    check(now["process_resident_memory_bytes"].get() > 1 << 20, "RSS")
    check(5 < now["process_open_fds"].get() < 500, "descriptors")


@once("metrics: the pool may have a descriptor for all that it lets wait")
def _(run):
    site = Site(run, "nginx", fakes=3, prefix=["prlimit", "--nofile=256:"],
                conf={"limits": {"waiting": 100, "downloads": 10}})
    try:
        site.start()
        # Requests, probes, waits, downloads, and two askers of each app.
        equal(metrics(site)["process_max_fds"].get(),
              1024 + 1024 + 100 + 2 * 10 + 2 * 3, "descriptors")
    finally:
        site.close()


@api("metrics: which inspector answers, and which does not")
def _(site):
    fake = site.fake()
    gone = site.fake()
    gone.inspector.close()
    reply = site.request("GET", "/metrics", "viewer").expect(200)
    check(reply.seconds < 4, f"{reply.seconds} s")

    def told():
        up = metrics(site)["podprof_inspector_up"]
        return up.get(app=fake.name) == 1 and up.get(app=gone.name) == 0
    until(told, 10, "the one is up, and the other is not", 0.2)
    gone.reopen()


@once("metrics: promtool finds nothing wrong with them")
def _(run):
    site = Site(run, "nginx", fakes=1)
    try:
        site.start()
        app = site.fake()
        site.take_whole(app)
        site.papi(app, "jobs", token=None).expect(401)
        text = site.request("GET", "/metrics", "viewer").expect(200).text
        done = subprocess.run([run.promtool(), "check", "metrics"],
                              input=text, capture_output=True, text=True,
                              timeout=60, check=False)
        check(done.returncode == 0, f"{done.stdout}{done.stderr}")
    finally:
        site.close()


@once("metrics: counters of jobs outlive the rows, and a new pool")
def _(run):
    site = Site(run, "nginx", fakes=1, conf={"limits": {"store_jobs": 2}})
    labels = {"app": "fake0", "kind": "cpu-profile", "method": "stream"}

    def now():
        found = metrics(site)
        return (found["podprof_jobs_total"].get(**labels,
                                                outcome="succeeded"),
                found["podprof_jobs"].get(**labels, state="succeeded"),
                found["podprof_stored_jobs"].get())
    try:
        site.start()
        app = site.fake()
        # So long that no row makes room before its order is answered.
        in_parallel([lambda: site.post_job(
            app, "cpu-profile", durationMs=2000).expect(202)] * 6)
        until(lambda: now() == (6, 2, 2), 30, "rows make room")
        start = metrics(site)["process_start_time_seconds"].get()
        site.restart_pool()
        equal(now(), (6, 2, 2), "after a restart")
        check(metrics(site)["process_start_time_seconds"].get() > start,
              "the start of the new pool is not later")
        # Only what is in memory begins anew.
        check(metrics(site)["podprof_requests_total"].get(
            route="/metrics", method="GET", status="200") < 10, "requests")
    finally:
        site.close()


@once("limits of captures in a minute: 429 and when, and nobody else notices")
def _(run):
    site = Site(run, "nginx", fakes=2, conf={
        "limits": {"token_captures": 3, "app_captures": 5}})
    try:
        site.start()
        site.tokens["other"] = site.new_token("operator", "other")
        app, second = site.fake(), site.fake()

        def order(who, to=app):
            return site.papi(to, "getCpuProfile?duration=100", token=who)
        for _ in range(3):
            order("operator").expect(200)
        for to in (app, second):
            reply = order("operator", to)
            reply.papi_error(429, None, "limit", r"operator has begun 3 .*"
                             r"token_captures")
            check(30 <= int(reply["Retry-After"]) <= 60,
                  f"Retry-After: {reply['Retry-After']}")
        site.papi(app, "takeMemorySnapshot").problem(429, "limit")
        # The other goes on, till the app has had its share.
        site.papi(app, "jobs").expect(200)
        order("other").expect(200)
        job = site.take(app, token="other")
        equal(site.wait_job(app, job)["state"], "succeeded", "state")
        site.post_job(app, "cpu-profile").problem(429, "limit", "operator")
        order("other").problem(429, "limit", "5 captures of app fake0 .*"
                               "app_captures")
        order("other", second).expect(200)
        matches("".join(site.logs().values()), "level=warn .*429", "log")
        equal(len(site.jobs(app)), 5, "jobs")
    finally:
        site.close()


@api("audit: order, end with its bytes, download, link and removal, by name")
def _(site):
    name = f"witness-{len(site.unused)}"
    site.tokens[name] = site.new_token("operator", name)
    app = site.fake()
    job = site.wait_job(app, site.take(app, token=name))
    job_id, size = job["id"], job["artifact"]["size"]

    def lines(what, *more):
        return [line for text in site.logs().values()
                for line in text.splitlines()
                if "level=audit" in line and job_id in line and
                f'msg="{what}"' in line and
                all(word in line.split() for word in more)]

    def said(what, *more):
        until(lambda: lines(what, f"app={app.name}", *more), 10,
              f"an audit line {what} {more}: {lines(what)}")
        equal(len(lines(what, *more)), 1, f"lines {what} {more}")
    said("capture", f"who={name}", "outcome=accepted")
    said("end", f"who={name}", "outcome=succeeded", f"bytes={size}",
         "method=stream")
    site.papi(app, f"jobs/{job_id}/artifact", token=name).expect(200)
    said("download", f"who={name}", "outcome=complete", f"bytes={size}")
    site.papi(app, f"jobs/{job_id}/artifact", token=name,
              headers={"Range": "bytes=0-9"}).expect(206)
    said("download", f"who={name}", "bytes=10")
    href = site.papi(app, f"jobs/{job_id}/links", "POST",
                     token=name).expect(201).json()["href"]
    said("link", f"who={name}")
    site.request("GET", href).expect(200)
    said("download", f"who=link:{name}", f"bytes={size}")
    site.papi(app, f"jobs/{job_id}", "DELETE", token=name).expect(204)
    said("remove", f"who={name}")
    # Those that fail have an end, too, and those that are dropped.
    app.behave("ErrorReply")
    job_id = site.take(app, token=name)
    site.wait_job(app, job_id)
    said("end", f"who={name}", "outcome=failed")
    app.behave(hold=True)
    job_id = site.take(app, token=name)
    app.started()
    site.papi(app, f"jobs/{job_id}", "DELETE", token=name).expect(202)
    said("cancel", f"who={name}")
    app.release()
    said("end", f"who={name}", "outcome=dropped")
    # Whoever finds that it died, says so; also of one that was canceled.
    for canceled in (False, True):
        app.behave(hold=True)
        job_id = until(lambda: site.papi(
            app, "takeMemorySnapshot", token=name)["X-Job-Id"] if
            not site.captures(job_id) else None, 20, "the app is free")
        app.started()
        if canceled:
            site.papi(app, f"jobs/{job_id}", "DELETE").expect(202)
        for pid in site.captures(job_id):
            os.kill(pid, signal.SIGKILL)
        site.wait_job(app, job_id)
        until(lambda: site.jobs(app) and lines("end"), 10, "it was found")
        said("end", f"who={name}",
             f"outcome={'dropped' if canceled else 'failed'}")
