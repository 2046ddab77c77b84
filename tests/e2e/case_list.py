"""The list of jobs: filters, and a cursor that nothing disturbs."""
from harness import api, check, equal, in_parallel, until


def ids(jobs):
    return [job["id"] for job in jobs]


def profile(site, app):
    return site.post_job(app, "cpu-profile",
                         durationMs=100).expect(202).json()["id"]


@api("the list filters by kind, by state, and by both")
def _(site):
    app = site.fake()
    jobs = {"good": site.take_whole(app)["id"]}
    jobs["profile"] = profile(site, app)
    site.wait_job(app, jobs["profile"])
    app.behave("ErrorReply")
    jobs["failed"] = site.wait_job(app, site.take(app))["id"]
    app.behave()
    reply = site.post_job(app, "cpu-profile", durationMs=60000).expect(202)
    jobs["canceled"] = reply.json()["id"]
    app.started()
    site.papi(app, f"jobs/{jobs['canceled']}", "DELETE").expect(202)
    app.behave(hold=True)
    jobs["running"] = site.take(app)
    app.started()
    newest_first = ("running", "canceled", "failed", "profile", "good")
    heaps = ("running", "failed", "good")
    for query, wanted in (
            ("", newest_first), ("kind=&state=&limit=&after=", newest_first),
            ("kind=heap-snapshot", heaps),
            ("kind=cpu-profile", ("canceled", "profile")),
            ("state=succeeded", ("profile", "good")),
            ("state=running", ("running",)), ("state=failed", ("failed",)),
            ("state=canceled", ("canceled",)), ("state=queued", ()),
            ("kind=heap-snapshot&state=succeeded", ("good",)),
            ("kind=cpu-profile&state=succeeded", ("profile",)),
            ("kind=cpu-profile&state=failed", ()),
            ("kind=heap-snapshot&limit=2", heaps[:2]),
            (f"kind=heap-snapshot&after={jobs['running']}", heaps[1:]),
            (f"state=succeeded&after={jobs['profile']}", ("good",)),
            (f"after={jobs['good']}", ())):
        equal(ids(site.jobs(app, f"?{query}")),
              [jobs[name] for name in wanted], query)
    app.release()
    site.wait_job(app, jobs["running"])


@api("pages hold each job once, whatever is added and removed meanwhile")
def _(site):
    app = site.fake()
    for job_id in in_parallel([lambda: profile(site, app)] * 7):
        site.wait_job(app, job_id)
    wanted = ids(site.jobs(app))
    equal(len(set(wanted)), 7, "jobs")
    equal(site.papi(app, "jobs?limit=7").expect(200).json()["next"], None,
          "next, where the limit is all there is")
    seen, query, added = [], "?limit=2", []
    while query:
        page = site.papi(app, f"jobs{query}").expect(200).json()
        seen += ids(page["jobs"])
        query = page["next"] and f"?limit=2&after={page['next']}"
        check(len(page["jobs"]) == 2 or query is None, "a page is not full")
        # The job that the cursor names goes, and a new one comes.
        added.append(profile(site, app))
        site.wait_job(app, added[-1])
        gone = page["jobs"][-1]["id"]
        until(lambda g=gone: site.papi(app, f"jobs/{g}", "DELETE").status ==
              204, 10, "the cursor's job is removed", 0.05)
    equal(seen, wanted, "jobs of all pages")
    left = [job for job in wanted if job not in (
        wanted[1], wanted[3], wanted[5], wanted[6])]
    equal(ids(site.jobs(app)), added[::-1] + left, "jobs afterwards")


@api("the list: what is no kind, state, limit or cursor is 400 by its name")
def _(site):
    app = site.fake()
    for bad, name in (
            ("kind=Heap-Snapshot", "kind"), ("kind=heap-snapshot,cpu-profile",
             "kind"), ("kind=%00", "kind"), ("state=done", "state"),
            ("state=succeeded&state=failed", "state"), ("limit=-1", "limit"),
            ("limit=1.5", "limit"), ("limit=1001", "limit"),
            ("limit=0x10", "limit"), ("after=1", "after"),
            ("after=0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c7", "after"),
            ("after=%27%20OR%201", "after")):
        site.papi(app, f"jobs?{bad}").problem(400, "invalid", name)
