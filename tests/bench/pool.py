"""The pool's memory: idle, after many requests, with some that wait and some
that download."""
import time

from case_load import Sloth
from downloads import artifact
from harness import Site, in_parallel
from measure import MIB, memory_of
from soak import Sampler
from web import CONNECTIONS, THREADS, WAITING, Waiters

# Each thread has prepared its statements, and allocated what it keeps.
WARM_REQUESTS = 1000
SLOTHS = 30
WAIT_S = 5


def measure(bench, rows):
    """RssAnon of podprof.fcgi."""
    size = bench.plan["pool_mb"] * MIB
    site = Site(bench.run, "nginx", fakes=3,
                conf={"podprof": {"threads": THREADS}})

    def note(what, anonymous, **more):
        rows.append({"what": what, "anonBytes": anonymous, **more})
        bench.say(f"{what}: {anonymous / MIB:.2f} MiB")

    def now():
        return memory_of(site.pool.pid)["RssAnon"]
    try:
        site.start()
        app, held = site.fake(), site.fake(hold=True)
        job = site.take_whole(app)
        running = site.held_job(held)
        # The pool forgets what those have needed.
        site.restart_pool()
        site.papi(app, "jobs").expect(200)
        note("idle", now())

        for what, count in (("warm", WARM_REQUESTS),
                            ("after requests", bench.plan["pool_requests"])):
            bench.load(site, f"/{app.name}/private/papi/jobs/{job['id']}",
                       "viewer", CONNECTIONS, "requests", count)
            after = now()
            note(what, after, requests=count)

        waiters = Waiters(site, held, running, WAIT_S)
        waiters.check_waiting()
        with Sampler(lambda: [site.pool.pid]) as pool:
            waiters.finish()
        note("waiting", pool.peak, count=WAITING,
             eachBytes=(pool.peak - after) / WAITING)
        held.release()
        site.wait_job(held, running)

        path = artifact(site, size)[1]
        before = now()
        sloths = [Sloth(site, path, 1 << 16) for _ in range(SLOTHS)]
        with Sampler(lambda: [site.pool.pid]) as pool:
            in_parallel([lambda s=s: s.read(size // 4) for s in sloths])
        for sloth in sloths:
            sloth.socket.close()
        note("downloads", pool.peak, count=SLOTHS,
             eachBytes=(pool.peak - before) / SLOTHS)
        time.sleep(1)
        note("at the end", now())
    finally:
        site.close()
