"""Several apps in one podprof: nothing of one is seen or held up by others."""
from harness import FINAL, App, Site, check, check_artifact, check_whole, \
    equal, error_is, in_parallel, real, until


def pair(run):
    """Two real apps, of different Node versions where there are two, and the
    site that serves both."""
    names = sorted(run.nodes)
    small = App(run, run.nodes[names[0]], heap_mb=4)
    large = App(run, run.nodes[names[-1]], heap_mb=40)
    apps = {"small": small, "large": large}
    return apps, Site(run, "nginx", fakes=0, exchange=run.exchange_dir(),
                      apps={name: app.address for name, app in apps.items()})


@real("two real apps at once: each gets its own snapshot and profile")
def _(run):
    apps, site = pair(run)
    try:
        site.start()
        ids = dict(zip(apps, in_parallel(
            {name: lambda n=name: site.take(n) for name in apps})))
        jobs = {name: site.wait_job(name, job_id, 120)
                for name, job_id in ids.items()}
        for name, app in apps.items():
            job = jobs[name]
            equal((job["state"], job["app"], job["target"]["pid"]),
                  ("succeeded", name, app.pid), f"job of {name}")
            equal([j["id"] for j in site.jobs(name)], [job["id"]],
                  f"jobs of {name}")
            # On a busy machine a look may be too late to tell anything.
            equal(until(lambda n=name: site.papi(
                n, "target", token="viewer").expect(200).json()["pid"], 30,
                "the pid is known", 0.2), app.pid, f"target of {name}")
        check(jobs["large"]["artifact"]["size"] >
              2 * jobs["small"]["artifact"]["size"],
              "the larger app has the smaller snapshot")
        # Of another app it is not known, nor is anything given or removed.
        for name, other in (("small", "large"), ("large", "small")):
            for method, tail in (("GET", ""), ("GET", "/artifact"),
                                 ("DELETE", ""), ("POST", "/links")):
                site.papi(name, f"jobs/{ids[other]}{tail}",
                          method).problem(404, "not-found")
            site.papi(name, f"getMemorySnapshot?job={ids[other]}").expect(404)
        # What one delivers, the other still has.
        check_whole(site.papi("small", "getMemorySnapshot"), jobs["small"])
        site.papi("small", "getMemorySnapshot").expect(404)
        reply = site.papi("large", "getMemorySnapshot")
        check_whole(reply, jobs["large"])
        good, line = check_artifact(run, reply.body, "heapsnapshot")
        check(good, line)
        replies = in_parallel({name: lambda n=name: site.papi(
            n, "getCpuProfile?duration=1000") for name in apps})
        for name, reply in zip(apps, replies):
            good, line = check_artifact(run, reply.expect(200).body,
                                        "cpuprofile", "--function",
                                        "hotLoopOfSample")
            check(good, f"{name}: {line}")
    finally:
        site.close()
        for app in apps.values():
            app.close()


def held_by_first(site):
    """A snapshot of the large app, which a second one does not wait for; its
    id.  None if it was over before the second was ordered."""
    held = site.post_job("large", "heap-snapshot",
                         method="stream").expect(202).json()["id"]
    reply = site.papi("large", "takeMemorySnapshot")
    if reply.status == 409:
        return held
    check(reply.status == 200 and site.job("large", held)["state"] in FINAL,
          f"a second snapshot of the same app: {reply.status}, {reply.text}")
    equal(site.wait_job("large", reply["X-Job-Id"], 120)["state"],
          "succeeded", "the second")
    return None


@real("two real apps: one that is gone or frozen is nothing to the other")
def _(run):
    apps, site = pair(run)
    try:
        site.start()
        # A second of the same app waits for nobody; the other is free.
        held = until(lambda: held_by_first(site), 120,
                     "a second is ordered while the first runs")
        equal(site.wait_job("small", site.take("small"))["state"],
              "succeeded", "the other app meanwhile")
        equal(site.wait_job("large", held, 120)["state"], "succeeded",
              "the first")
        apps["large"].close()
        reply = site.papi("large", "takeMemorySnapshot")
        if reply.status == 200:     # on a busy machine, later than 1 s
            error_is(site.wait_job("large", reply["X-Job-Id"]),
                     "target-unreachable", apps["large"].address)
        else:
            reply.problem(503, "target-unreachable", apps["large"].address)
        equal(site.wait_job("small", site.take("small"))["state"],
              "succeeded", "beside an app that is gone")
        site.request("GET", "/livez?app=small").expect(200)
    finally:
        site.close()
        for app in apps.values():
            app.close()
