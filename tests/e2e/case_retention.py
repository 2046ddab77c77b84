"""What is kept, what makes room, and what is refused for want of it."""
import contextlib
import os
import random
import signal
import threading
import time
import uuid

from case_load import Sloth
from harness import (Failed, Site, check, check_whole, equal, error_is,
                     filled, has_open, in_parallel, once, matches, tmpfs,
                     until)

MIB = 1 << 20
NUMBERS = r"[0-9].*[0-9]"       # what is needed and what is there


def stored(site):
    """Bytes of all files in artifacts/."""
    total = 0
    for name in site.files():
        try:
            total += (site.state / "artifacts" / name).stat().st_size
        except FileNotFoundError:
            pass
    return total


def has_file(site, job):
    return bool(site.files_of(job["id"]))


def is_gone(site, app, job, why):
    """The file made room, and whoever asks for it is told so."""
    document = site.papi(app, f"jobs/{job['id']}/artifact").problem(
        410, "gone", why)
    equal(site.files_of(job["id"]), [], "files of it")
    equal(site.job(app, job["id"])["state"], "succeeded", "state")
    return document


def deliver(site, app, job):
    """Fetch the file.  Whoever has its last byte has it before that is
    noted."""
    site.papi(app, f"getMemorySnapshot?job={job['id']}").expect(200)
    until(lambda: site.job(app, job["id"])["artifact"]["deliveredAt"], 20,
          "it is delivered")


def refused_for_space(site, app):
    """Refused at once with no job; or, on a busy machine where the preflight
    took its second, accepted and failed with the same type."""
    before = [job["id"] for job in site.jobs(app)]
    reply = site.papi(app, "takeMemorySnapshot")
    if reply.status == 200:
        job = site.wait_job(app, reply["X-Job-Id"])
        error_is(job, "space", NUMBERS)
        return job["error"]["detail"]
    document = reply.papi_error(507, None, "space", NUMBERS)
    equal([job["id"] for job in site.jobs(app)], before, "jobs")
    return document["detail"]


@once("store_jobs: delivered rows go first, then the oldest, never an active "
      "one")
def _(run):
    site = Site(run, "nginx", fakes=2, conf={"limits": {"store_jobs": 4}})
    try:
        site.start()
        held, app = site.fake(hold=True), site.fake()
        active = site.held_job(held)
        jobs = [site.take_whole(app) for _ in range(3)]
        equal(len(site.jobs(app)), 3, "jobs within the limit")
        deliver(site, app, jobs[1])
        for victim in (jobs[1], jobs[0], jobs[2]):
            jobs.append(site.take_whole(app))
            until(lambda: len(site.jobs(app)) <= 3, 20, "a row has gone", 0.1)
            equal(len(site.jobs(app)), 3, "rows that are kept")
            site.papi(app, f"jobs/{victim['id']}").problem(404, "not-found")
            equal(site.files_of(victim["id"]), [], "files of it")
        for job in jobs[3:]:
            check_whole(site.papi(app, f"jobs/{job['id']}/artifact"), job)
        held.release()
        equal(site.wait_job(held, active)["state"], "succeeded", "state")
        site.papi(held, "getMemorySnapshot").expect(200)
    finally:
        site.close()


@once("store_bytes: delivered files go first, then the oldest: 410")
def _(run):
    limit = 30 * MIB
    site = Site(run, "nginx", fakes=1, conf={
        "limits": {"store_bytes": limit},
        "artifacts": {"compression": "none"}})
    try:
        site.start()
        app = site.fake("Big", size=6 * MIB, expected=6 * MIB)
        jobs = [site.take_whole(app) for _ in range(3)]
        check(all(has_file(site, job) for job in jobs), "gone before its time")
        deliver(site, app, jobs[1])
        # In this order they have to go, whatever is kept free for the next.
        order = [jobs[1], jobs[0], jobs[2]]
        gone = []
        for _ in range(4):
            jobs.append(site.take_whole(app))
            until(lambda: stored(site) <= limit, 20, "within the limit", 0.1)
            check(stored(site) > limit - 3 * jobs[0]["artifact"]["size"],
                  f"{stored(site)} bytes are left: too many were removed")
            gone = [job for job in order if not has_file(site, job)]
            equal(gone, order[:len(gone)], "the order in which they go")
        check(gone, "nothing was removed")
        for job in gone:
            is_gone(site, app, job, "to make room")
        check_whole(site.papi(app, "getMemorySnapshot"), jobs[-1])
    finally:
        site.close()


@once("min_free_bytes: what others fill makes files go, and captures refused")
def _(run):
    free = 12 * MIB
    with tmpfs(run.subdir("small"), "size=28m,mode=0755") as small:
        site = Site(run, "nginx", fakes=1, state=small / "state", conf={
            "limits": {"min_free_bytes": free},
            "artifacts": {"compression": "none"}})

        def is_free():
            left = os.statvfs(small)
            return left.f_bavail * left.f_frsize >= free
        try:
            site.start()
            app = site.fake("Big", size=3 * MIB, expected=8 * MIB)
            first = site.take_whole(app)
            check(has_file(site, first), "gone before its time")
            for _ in range(5):
                job = site.take_whole(app)
                until(is_free, 20, "min_free_bytes are free again", 0.1)
                check(has_file(site, job), "the newest is gone")
            is_gone(site, app, first, "to make room")
            # All files together would not help: so none goes for it.
            before = site.files()
            with contextlib.ExitStack() as stack:
                # While it is not full yet, one of them might help.
                site.pool.signal(signal.SIGSTOP)
                stack.callback(site.pool.signal, signal.SIGCONT)
                stack.enter_context(filled(small))
                site.pool.signal(signal.SIGCONT)
                detail = refused_for_space(site, app)
                matches(detail, "min_free_bytes|disk is full", "detail")
                until(lambda: "make up for it" in site.pool.text(), 20,
                      "the log tells that the disk is full")
                equal(site.files(), before, "files")
            site.papi(app, f"jobs/{job['id']}/artifact").expect(200)
            check_whole(site.papi(
                app, f"jobs/{site.take_whole(app)['id']}/artifact"),
                site.jobs(app)[0])
        finally:
            site.close()


@once("a snapshot that can never fit: 507 with the numbers, nothing removed; "
      "one that grows over all bounds: failed")
def _(run):
    site = Site(run, "nginx", fakes=2, conf={
        "limits": {"store_bytes": 24 * MIB},
        "artifacts": {"compression": "none"}})
    try:
        site.start()
        app, other = site.fake("Big", size=6 * MIB, expected=6 * MIB), \
            site.fake("Big", expected=5 << 30)
        jobs = [site.take_whole(app) for _ in range(2)]
        matches(refused_for_space(site, other), "store_bytes", "detail")
        for job in jobs:
            check_whole(site.papi(app, f"jobs/{job['id']}/artifact"), job)
        # The app says that it is small, and then sends without end.
        other.behave("Big", size=64 * MIB, expected=5 * MIB)
        job = site.wait_job(other, site.take(other))
        error_is(job, "space", NUMBERS)
        equal(site.files_of(job["id"]), [], "files of it")
        site.papi(other, "getMemorySnapshot").papi_error(404, None)
        check(stored(site) <= 24 * MIB, f"{stored(site)} bytes are stored")
        # V8 does not stop, so the app is taken until it is through.
        error_is(site.wait_job(other, site.take_free(other)), "space")
        other.behave()
        job = site.wait_job(other, site.take_free(other))
        equal(job["state"], "succeeded", f"state, {job['error']}")
    finally:
        site.close()


@once("what is being read is not removed, and its reader gets every byte")
def _(run):
    site = Site(run, "nginx", fakes=2, conf={
        "limits": {"store_bytes": 52 * MIB},
        "artifacts": {"compression": "none"}})
    try:
        site.start()
        app = site.fake("Big", size=16 * MIB, expected=24 * MIB)
        read, second = site.take_whole(app), site.take_whole(app)
        sloth = Sloth(site, f"/{app.name}/private/papi/jobs/{read['id']}"
                      "/artifact")
        site.take_whole(app)
        site.take_whole(app)
        check(has_file(site, read), "removed under its reader")
        is_gone(site, app, second, "to make room")
        body = sloth.rest()
        equal(len(body), read["artifact"]["size"], "bytes of the slow reader")
        check(body == "".join(app.behaviour.pieces()).encode(), "bytes differ")
        # Nobody reads it any more, once the pool knows of that.
        path = site.stored(read["id"])
        until(lambda: not has_open(site.pool, path), 20, "it is closed")
        site.take_whole(app)
        is_gone(site, app, read, "to make room")
    finally:
        site.close()


@once("plain CGI keeps to the limits too: before each capture, and tidies up "
      "at most once a minute")
def _(run):
    limit = 24 * MIB
    site = Site(run, "apache-cgid", fakes=1, conf={
        "limits": {"store_bytes": limit, "store_jobs": 5},
        "artifacts": {"compression": "none"}})

    def plant():
        path = site.state / "artifacts" / f"{uuid.uuid4()}.part"
        path.write_bytes(b"x")
        os.chown(path, site.user, site.user)
        return path
    try:
        site.start()
        app = site.fake("Big", size=6 * MIB, expected=6 * MIB)
        jobs = []
        for _ in range(7):
            jobs.append(site.take_whole(app))
            check(stored(site) <= limit, f"{stored(site)} bytes are stored")
            check(has_file(site, jobs[-1]), "the newest is gone")
            check(len(site.jobs(app)) <= 5, "more rows than store_jobs")
        is_gone(site, app, jobs[2], "to make room")
        site.papi(app, f"jobs/{jobs[0]['id']}").problem(404, "not-found")
        # What a minute does, without the minute.
        orphan = plant()
        for _ in range(3):
            site.papi(app, "jobs").expect(200)
        check(orphan.exists(), "it tidies up more than once a minute")
        last = time.time() - 61
        os.utime(site.state / "swept", (last, last))
        site.papi(app, "jobs").expect(200)
        until(lambda: not orphan.exists(), 15, "the orphan has gone", 0.1)
    finally:
        site.close()


class Reader(threading.Thread):
    """Downloads what there is, one after the other, in either coding."""

    def __init__(self, site, apps, seed, over):
        super().__init__()
        self.site, self.apps, self.over = site, apps, over
        self.dice = random.Random(seed)
        self.whole = self.gone = 0
        self.faults = []

    def run(self):
        while not self.over.is_set() and not self.faults:
            try:
                self.once()
            except (Failed, OSError, ValueError) as error:
                self.faults.append(f"{type(error).__name__}: {error}")

    def once(self):
        app = self.dice.choice(self.apps)
        jobs = self.site.jobs(app, "?state=succeeded&limit=8")
        if not jobs:
            return
        job = self.dice.choice(jobs)
        reply = self.site.papi(
            app, f"jobs/{job['id']}/artifact",
            headers={"Accept-Encoding": self.dice.choice(
                ("identity", "zstd"))})
        if reply.status in (404, 410):
            reply.problem(reply.status)
            self.gone += 1
            return
        check_whole(reply, job)
        equal(job["artifact"]["sha256"], app.sha256, "the app's own digest")
        self.whole += 1


def evict_under_readers(run, readers, takes):
    """Captures that make each other's files go, while many read them; what
    came of it, as a line."""
    limit = 12 * MIB
    site = Site(run, "nginx", fakes=3, conf={
        "limits": {"store_bytes": limit, "downloads": 64}})
    over = threading.Event()
    threads = []
    outcomes = {"succeeded": 0, "space": 0}
    try:
        site.start()
        apps = [site.fake("Big", size=2 * MIB, noise=True, seed=i,
                          expected=6 * MIB) for i in range(3)]
        for app in apps:
            app.sha256 = app.behaviour.sha256()
            site.take_whole(app)
        threads = [Reader(site, apps, seed, over) for seed in range(readers)]
        for thread in threads:
            thread.start()
        for number in range(takes):
            outcomes[take_beside(site, apps[number % 3])] += 1
        over.set()
        for thread in threads:
            thread.join()
        faults = [fault for thread in threads for fault in thread.faults]
        check(not faults, f"{len(faults)} of {readers} readers: {faults[:3]}")
        until(lambda: stored(site) <= limit, 20, "within store_bytes", 0.1)
        # All that is left, once more.
        left = [(app, job) for app in apps
                for job in site.jobs(app, "?state=succeeded")
                if has_file(site, job)]
        for app, job in left:
            check_whole(site.papi(app, f"jobs/{job['id']}/artifact"), job)
        whole = sum(thread.whole for thread in threads)
        gone = sum(thread.gone for thread in threads)
        check(outcomes["succeeded"] > len(left) + 3,
              f"{outcomes}: too few captures to make room")
        check(whole > 2 * readers, f"only {whole} downloads")
        return (f"{readers} readers: {whole} whole downloads, {gone} found "
                f"none; {outcomes['succeeded']} captures, "
                f"{outcomes['space']} without room; {len(left)} files left")
    finally:
        over.set()
        for thread in threads:
            thread.join()
        site.close()


def take_beside(site, app):
    """A capture while everything that is stored may be held by a reader."""
    reply = site.papi(app, "takeMemorySnapshot")
    if reply.status == 507:
        reply.papi_error(507, None, "space", NUMBERS)
        return "space"
    job = site.wait_job(app, reply.expect(200)["X-Job-Id"])
    if job["state"] == "failed":
        error_is(job, "space")
        return "space"
    return "succeeded"


@once("ten readers while captures make each other's files go: none is cut")
def _(run):
    print(f"# {evict_under_readers(run, 10, 15)}")


@once("predictions of captures at once add up: none takes another's room")
def _(run):
    site = Site(run, "nginx", fakes=3, conf={
        "limits": {"store_bytes": 40 * MIB},
        "artifacts": {"compression": "none"}})
    try:
        site.start()
        apps = [site.fake("Big", hold=True, size=12 * MIB,
                          expected=18 * MIB) for _ in range(3)]
        replies = in_parallel([lambda a=a: site.papi(a, "takeMemorySnapshot")
                               for a in apps])
        for app in apps:
            app.release()
        for app, reply in zip(apps, replies):
            if reply.status == 507:
                reply.papi_error(507, None, "space", NUMBERS)
                continue
            job = site.wait_job(app, reply.expect(200)["X-Job-Id"])
            check(job["state"] == "succeeded" or
                  job["error"]["type"].endswith("space"), job["error"])
        check(stored(site) <= 40 * MIB, f"{stored(site)} bytes are stored")
        left = 0
        for app in apps:
            for job in site.jobs(app, "?state=succeeded"):
                if has_file(site, job):
                    left += 1
                    check_whole(site.papi(
                        app, f"jobs/{job['id']}/artifact"), job)
                else:
                    # Where they were not at once, after all.
                    is_gone(site, app, job, "to make room")
        check(left > 0, "nothing is left")
    finally:
        site.close()
