"""The state directory under a running pool: what is moved, mounted, locked or
in the way there costs no artifact, and stops no service."""
import contextlib
import email.utils
import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
import uuid

import fastcgi
from case_delete import Waiter
from case_failure import capture_of
from case_links import make_link
from case_load import Sloth
from case_recovery import database, start_pools
from case_retention import has_file, is_gone, refused_for_space
from harness import (SERVICE, Site, check, check_whole, equal, error_is,
                     filled, has_open, in_parallel, matches, once, tmpfs,
                     until)

MIB = 1 << 20

# What a job is from its beginning, and what it has when it has succeeded.
BEGUN = ("app, pod, kind, method, requested_by, request_id, created_at_ms, "
         "lease_until_ms, artifact_name")
ENDED = ("finished_at_ms, expires_at_ms, accepted_at_ms, size_bytes, "
         "stored_bytes, sha256, stored_sha256, coding")


def multiply(site, job, count):
    """So many more jobs like this one, with their files; their ids."""
    ids = [f"{job['id'][:24]}{number:012x}" for number in range(count)]
    source = site.stored(job["id"])
    with database(site) as db, db:
        db.executemany(
            f"INSERT INTO jobs (id, holds_target, {BEGUN}) SELECT ?, 0, "
            f"{BEGUN} FROM jobs WHERE id = ?", [(i, job["id"]) for i in ids])
        db.execute("UPDATE jobs SET state = 'running', phase = 'writing', "
                   "runner_pid = 1, started_at_ms = 1 WHERE state = 'queued'")
        db.execute("UPDATE jobs SET state = 'succeeded', phase = NULL, "
                   f"({ENDED}) = (SELECT {ENDED} FROM jobs WHERE id = ?) "
                   "WHERE state = 'running'", (job["id"],))
    for job_id in ids:
        path = source.with_name(job_id + source.name[36:])
        shutil.copy(source, path)
        os.chown(path, site.user, site.user)
    return ids


def put_orphan(artifacts):
    """A file of no job."""
    path = artifacts / f"{uuid.uuid4()}.heapsnapshot"
    path.write_bytes(b"{}")
    os.chown(path, SERVICE, SERVICE)
    return path


def empty_state(site, path):
    """A state directory of nobody, which artifacts/ in it proves to be looked
    after once its only file has gone; that file."""
    for directory, mode in ((path, 0o711), (path / "artifacts", 0o700)):
        directory.mkdir()
        os.chown(directory, site.user, site.user)
        directory.chmod(mode)
    return put_orphan(path / "artifacts")


@once("a state directory that is moved away while its files are looked "
      "through keeps every one of them")
def _(run):
    site = Site(run, "nginx", fakes=1)
    away, other = site.dir / "away", site.dir / "other"
    try:
        site.start()
        app = site.fake()
        job = site.take_whole(app)
        site.pool.stop()
        # More than are compared with their rows at a time.
        ids = multiply(site, job, 700)
        orphan = empty_state(site, other)
        site.start_pool()
        until(lambda: has_open(site.pool, site.state / "artifacts"), 10,
              "artifacts/ is being looked through")
        names = site.files()
        site.state.rename(away)
        other.rename(site.state)
        check(has_open(site.pool, away / "artifacts"),
              "they were not being looked through any more")
        orphan = site.state / "artifacts" / orphan.name
        until(lambda: not orphan.exists(), 60, "the new one is looked after")
        equal(len(set(names) - set(os.listdir(away / "artifacts"))), 0,
              "files that are missing")
        site.state.rename(other)
        away.rename(site.state)
        until(lambda: site.papi(app, "jobs").status == 200, 20,
              "the list answers again", 0.1)
        for job_id in (job["id"], ids[0], ids[-1]):
            check_whole(site.papi(app, f"jobs/{job_id}/artifact"), job)
    finally:
        site.close()


@once("artifacts/ as a file system of its own: min_free_bytes is kept free "
      "there")
def _(run):
    free = 8 * MIB
    site = Site(run, "nginx", fakes=2, conf={
        "limits": {"min_free_bytes": free},
        "artifacts": {"compression": "none"}})
    artifacts = site.state / "artifacts"
    artifacts.mkdir()
    with tmpfs(artifacts, "size=24m,mode=0700,"
               f"uid={SERVICE},gid={SERVICE}"):
        try:
            site.start()
            app = site.fake("Big", size=3 * MIB, expected=6 * MIB)
            large = site.fake("Big", expected=64 * MIB)
            jobs = []
            for _ in range(6):
                jobs.append(site.take_whole(app))
                left = os.statvfs(artifacts)
                check(left.f_bavail * left.f_frsize >= free,
                      f"only {left.f_bavail * left.f_frsize} bytes are free")
                check(has_file(site, jobs[-1]), "the newest is gone")
            is_gone(site, app, jobs[0], "to make room")
            matches(refused_for_space(site, large), "min_free_bytes",
                    "detail")
            check_whole(site.papi(app, f"jobs/{jobs[-1]['id']}/artifact"),
                        jobs[-1])
        finally:
            site.close()


@contextlib.contextmanager
def unremovable(path):
    """The file cannot be removed by anybody."""
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)
        path.unlink(missing_ok=True)


def turn_into_directory(path):
    path.unlink()
    path.mkdir()
    os.chown(path, SERVICE, SERVICE)


@once("directories named like artifacts, and a file that cannot be removed: "
      "readyz stays 200, and all others are tidied up")
def _(run):
    site = Site(run, "nginx", fakes=1)
    artifacts = site.state / "artifacts"
    in_the_way = []
    try:
        site.start()
        app = site.fake()
        bad, expired, lost, good = (site.take_whole(app) for _ in range(4))
        site.pool.stop()
        in_the_way = [site.stored(job["id"]) for job in (bad, expired)]
        # Of no job; removed first, and last, by whatever order.
        in_the_way += [put_orphan(artifacts) for _ in range(3)]
        for path in in_the_way:
            turn_into_directory(path)
        site.stored(lost["id"]).unlink()
        with database(site) as db, db:
            db.execute("UPDATE jobs SET expires_at_ms = 1 WHERE id = ?",
                       (expired["id"],))
        orphans = [put_orphan(artifacts) for _ in range(3)]
        with unremovable(put_orphan(artifacts)):
            site.start_pool()
            until(lambda: site.request("GET", "/readyz").status == 200, 20,
                  "readyz is 200")
            # From round to round, of which each meets all that again.
            for _ in range(2):
                until(lambda: site.request("GET", "/readyz").expect(200) and
                      not any(path.exists() for path in orphans), 20,
                      "the other files of no job have gone", 0.1)
                orphans = [put_orphan(artifacts)]
            until(lambda: site.sql("SELECT removed_because FROM jobs WHERE "
                  f"id = '{lost['id']}'").strip() == "lost", 20,
                  "the loss is noted", 0.1)
            site.papi(app, f"jobs/{lost['id']}/artifact").problem(410, "gone")
            for job in (bad, expired):
                site.papi(app, f"jobs/{job['id']}/artifact").problem(
                    410, "gone")
            check_whole(site.papi(app, f"jobs/{good['id']}/artifact"), good)
            site.take_whole(app)
            site.request("GET", "/readyz").expect(200)
            lines = [line for line in site.pool.text().splitlines()
                     if "cannot remove" in line]
            check(1 <= len(lines) <= 4, f"told {len(lines)} times: {lines}")
        orphans[0].unlink(missing_ok=True)
    finally:
        for path in in_the_way:
            path.rmdir()
        site.close()


@once("a long list answers while slow readers have all [limits] downloads")
def _(run):
    site = Site(run, "nginx", fakes=2, conf={"limits": {"downloads": 2}})
    try:
        site.start()
        app, other = site.fake("Large"), site.fake()
        job = site.take_whole(app)
        ids = multiply(site, site.take_whole(other), 200)
        tail = f"jobs/{job['id']}/artifact"
        sloths = [Sloth(site, f"/{app.name}/private/papi/{tail}")
                  for _ in range(2)]
        site.papi(app, tail).problem(429, "limit", "download")
        for query, wanted in (("?limit=1000", 201), ("?limit=150", 150)):
            reply = site.papi(other, f"jobs{query}").expect(200)
            check(len(reply.body) > 65536, "that is no long list")
            equal(len(reply.json()["jobs"]), wanted, f"jobs of {query}")
        check(ids[0] in [j["id"] for j in site.jobs(other, "?limit=1000")],
              "one is not listed")
        for sloth in sloths:
            equal(len(sloth.rest()), job["artifact"]["size"], "bytes")
    finally:
        site.close()


def next_round(site, jobs):
    """Wait until the keeper has come round, by what it does on the way."""
    job_id = jobs.pop()["id"]
    with database(site) as db, db:
        db.execute("UPDATE jobs SET expires_at_ms = 1 WHERE id = ?",
                   (job_id,))
    until(lambda: not site.files_of(job_id), 60, "what is over has gone")


@once("a disk that others fill again is told of again")
def _(run):
    with tmpfs(run.subdir("small"), "size=16m,mode=0755") as small:
        site = Site(run, "nginx", fakes=1, state=small / "state", conf={
            "limits": {"min_free_bytes": 4 * MIB}})
        try:
            site.start()
            app = site.fake()
            jobs = [site.take_whole(app) for _ in range(5)]
            for times in (1, 2):
                with filled(small):
                    until(lambda n=times: site.pool.text().count(
                        "make up for it") == n, 60, f"told {times} times")
                # The second one has begun when all was well.
                next_round(site, jobs)
                next_round(site, jobs)
            equal(site.pool.text().count("make up for it"), 2, "times told")
            check_whole(site.papi(app, f"jobs/{jobs[0]['id']}/artifact"),
                        jobs[0])
        finally:
            site.close()


@once("a FIFO where podprof writes a file of its own blocks nobody")
def _(run):
    site = Site(run, "apache-cgid", fakes=1)
    try:
        site.start()
        app = site.fake()
        job = site.take_whole(app)
        swept = site.state / "swept"
        swept.unlink(missing_ok=True)
        os.mkfifo(swept, 0o600)
        os.chown(swept, site.user, site.user)
        os.utime(swept, (1, 1))
        equal([j["id"] for j in site.papi(
            app, "jobs", timeout=10).expect(200).json()["jobs"]],
            [job["id"]], "jobs")
        probe = site.state / "artifacts" / ".write-test"
        os.mkfifo(probe, 0o600)
        os.chown(probe, site.user, site.user)
        try:
            site.request("GET", "/readyz", timeout=10).problem(503, "state")
            site.request("GET", "/livez", timeout=10).expect(200)
        finally:
            probe.unlink()
        site.request("GET", "/readyz").expect(200)
    finally:
        site.close()


# Locks that are held by somebody who does not let go.

@contextlib.contextmanager
def locked(site, name):
    """As if a process were stopped in the middle of what the file is for."""
    path = site.state / name
    with open(path, "ab") as file:
        os.chown(path, site.user, site.user)
        until(lambda: lock_now(file), 10, f"{name} is free")
        yield


def lock_now(file):
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


@once("a process that is stopped in the middle of a delivery keeps nobody "
      "from an answer")
def _(run):
    site = Site(run, "nginx", fakes=2)
    try:
        site.start()
        app, other = site.fake(), site.fake()
        job = site.take_whole(app)
        with locked(site, "handover"):
            # More than there are threads.
            askers = [Waiter(lambda: site.papi(
                app, "getMemorySnapshot", "HEAD", timeout=30))
                for _ in range(5)]
            reply = site.papi(app, "jobs", timeout=30).expect(200)
            check(reply.seconds < 20, f"the list took {reply.seconds:.1f} s")
            for asker in askers:
                reply = asker.result(30).expect(200)
                check(reply.seconds < 20, f"HEAD took {reply.seconds:.1f} s")
            site.take_whole(other)
            reply = site.papi(app, "getMemorySnapshot", timeout=30)
            check_whole(reply, job)
            check(reply.seconds < 20, f"it took {reply.seconds:.1f} s")
            until(lambda: site.papi(app, "getMemorySnapshot").status == 404,
                  30, "it is delivered, all the same")
    finally:
        site.close()


def grow_and_ask(site):
    """A snapshot that turns out larger than was expected, and requests."""
    site.start()
    app, growing = site.fake(), site.fake("Big", hold=True, size=16 * MIB,
                                          expected=5 * MIB)
    job, other = site.take_whole(app), site.take_whole(app)
    job_id = site.take(growing)
    growing.started()
    with locked(site, "sweep"):
        growing.release()
        for tail in ("jobs", f"jobs/{job['id']}", f"jobs/{job['id']}/artifact",
                     "getMemorySnapshot"):
            reply = site.papi(app, tail).expect(200)
            # Whoever needs the lock waits 5 s for it.
            check(reply.seconds < 4.5, f"{tail} took {reply.seconds:.1f} s")
        site.papi(app, f"jobs/{other['id']}", "DELETE").expect(204)
        site.request("GET", "/readyz").expect(200)
        grown = site.wait_job(growing, job_id)
    equal(grown["state"], "succeeded", f"state, {grown['error']}")
    check_whole(site.papi(growing, f"jobs/{job_id}/artifact"), grown)
    equal(grown["artifact"]["sha256"], growing.behaviour.sha256(), "digest")


def left_waiting(site, app):
    """A snapshot that has waited for its room until now; None if this took so
    long that it waited no more."""
    with locked(site, "sweep"):
        job_id = site.take(app)
        job = site.job(app, job_id)
        if job["state"] == "failed":
            error_is(job, "state", "another process made room")
            return None
        equal(job["phase"], "preflight", "phase")
    return job_id


def wait_for_room(site):
    """Snapshots that are ordered meanwhile: podprof-capture waits for their
    room, but not for ever."""
    site.start()
    app, other = site.fake(), site.fake()
    with locked(site, "sweep"):
        late = site.take(other)
        failed = site.wait_job(other, late)
    error_is(failed, "state", "another process made room")
    job_id = until(lambda: left_waiting(site, app), 60, "it waits")
    equal(site.wait_job(app, job_id)["state"], "succeeded", "state")


@once("a process that is stopped while it makes room: what is asked for is "
      "answered, what is captured is kept")
def _(run):
    sites = [Site(run, "nginx", fakes=2, conf={
        "artifacts": {"compression": "none"}}) for _ in range(2)]
    try:
        in_parallel([lambda: grow_and_ask(sites[0]),
                     lambda: wait_for_room(sites[1])])
    finally:
        in_parallel([site.close for site in sites])


# Dates, which say less than a tag.

def try_dates(run, compression, statuses):
    site = Site(run, "nginx", fakes=1,
                conf={"artifacts": {"compression": compression}})
    try:
        site.start()
        app = site.fake("Big", size=MIB)
        job = site.take_whole(app)
        modified = site.papi(app, f"jobs/{job['id']}/artifact",
                             "HEAD").expect(200)["Last-Modified"]
        check(email.utils.parsedate_to_datetime(modified), "no Last-Modified")
        fields = {"Range": "bytes=1000-", "If-Range": modified}
        for tail, status in statuses.items():
            for coding in ("identity", "zstd"):
                reply = site.papi(app, tail.format(job["id"]), headers={
                    **fields, "Accept-Encoding": coding})
                equal(reply.status, status,
                      f"status of {tail}, {compression}, {coding}")
                if status == 200:
                    check_whole(reply, job)
                    if tail == "getMemorySnapshot":
                        break   # delivered
    finally:
        site.close()


@once("If-Range with a date: a part only where the date can mean nothing else")
def _(run):
    addresses = ("jobs/{}/artifact", "getMemorySnapshot?job={}",
                 "getMemorySnapshot")
    in_parallel([
        # Either coding may be what the client has a part of.
        lambda: try_dates(run, "zstd", dict.fromkeys(addresses, 200)),
        # Another snapshot may be of the same second.
        lambda: try_dates(run, "none", dict(zip(addresses, (206, 206, 200))))])


def count_errors(site):
    """Errors that the log has of requests."""
    return len(re.findall(r"level=error module=route", site.pool.text()))


def ask_pool(path, method, address, token):
    """The status that a pool on this socket answers with."""
    answer = fastcgi.call(path, fastcgi.request(
        address, method, HTTP_AUTHORIZATION=f"Bearer {token}" if token
        else "")).decode()
    found = re.match(r"(?:.*\r\n)*?Status: (\d{3})", answer)
    return int(found.group(1)) if found else 200


@once("a link while the state directory is away: nobody learns where it is, "
      "and one that is mistyped is in no log")
def _(run):
    site = Site(run, "nginx", fakes=1)
    away = site.dir / "away"
    try:
        site.start()
        app = site.fake()
        job = site.take_whole(app)
        link = make_link(site, app, job["id"])
        secret = link.rpartition("/")[2]
        site.state.rename(away)
        for path in (link, link[:-1] + "x"):
            told = count_errors(site)
            reply = until(lambda p=path: (
                lambda r: r if r.status == 503 else None)(
                site.request("GET", p)), 10, "it is noticed")
            check(not re.search(r"/state\b|podprof\.db|open|No such file",
                                reply.problem(503, "state")["detail"]),
                  f"it tells too much: {reply.text}")
            check(count_errors(site) <= told + 1, "told more than once")
        away.rename(site.state)
        until(lambda: site.request("GET", link).status == 200, 20,
              "the link works again", 0.1)
        # As web servers hand it over that do not tidy up what clients send.
        for path in (link.replace("/links/", "//links/"),
                     link.replace("/links/", "/links//"), f"{link}/",
                     link.replace("/papi/", "/papi/x/")):
            check(ask_pool(site.socket, "GET", path, "") == 401,
                  f"status of {path}")
        check("/papi//links/" in site.pool.text(), "nothing is logged of it")
        check(secret not in "".join(site.logs().values()),
              "the link's secret is in a log")
    finally:
        site.close()


# A snapshot that V8 goes on with.

def outgrow(site, app):
    """The id of a snapshot that has failed for want of room, while the app
    still sends; what lets it go on."""
    app.behave("Stepwise", size=48 * MIB, expected=5 * MIB)
    job_id = site.take(app)
    app.started()
    app.behaviour.steps.release(400)
    until(lambda: site.job(app, job_id)["state"] == "failed", 60,
          "the job has failed")
    error_is(site.job(app, job_id), "space")
    equal(site.files_of(job_id), [], "files of it")
    return job_id, app.behaviour.steps


def is_taken(site, app, job_id):
    for reply in (site.papi(app, "takeMemorySnapshot"),
                  site.post_job(app, "heap-snapshot"),
                  site.post_job(app, "cpu-profile", durationMs=100)):
        equal(reply.status, 409, "status")
        equal(reply["X-Job-Id"], job_id, "X-Job-Id")
        matches(reply["Retry-After"], r"^[1-9][0-9]*$", "Retry-After")
    equal(app.methods().count("HeapProfiler.takeHeapSnapshot"), 1,
          "snapshots V8 was asked for")


@once("a snapshot that fails in its middle has failed at once, and keeps the "
      "app until V8 is through, or its process is killed")
def _(run):
    site = Site(run, "nginx", fakes=2, conf={
        "limits": {"store_bytes": 20 * MIB},
        "artifacts": {"compression": "none"}})
    try:
        site.start()
        app, other = site.fake(), site.fake()
        job_id, steps = outgrow(site, app)
        killed_id, _ = outgrow(site, other)
        is_taken(site, app, job_id)
        is_taken(site, other, killed_id)
        os.kill(capture_of(site, killed_id), signal.SIGKILL)
        other.behave()
        after = site.wait_job(other, site.take_free(other))
        equal(after["state"], "succeeded", f"state, {after['error']}")
        # It was not a matter of time.
        is_taken(site, app, job_id)
        app.behave()
        steps.release(10000)
        after = site.wait_job(app, site.take_free(app))
        equal(after["state"], "succeeded", f"state, {after['error']}")
        for where, failed in ((app, job_id), (other, killed_id)):
            error_is(site.job(where, failed), "space")
    finally:
        site.close()


def cancel_unseen(site, app, path):
    """What an order is answered whose job another pool cancels and removes in
    its preflight; None if it was accepted before."""
    until(lambda: not site.captures(), 20, "the one before has ended")
    del app.inspector.commands[:]
    order = Waiter(lambda: site.papi(app, "takeMemorySnapshot"))
    until(site.captures, 10, "the preflight begins", 0.002)
    # So that it does not see what becomes of the job step by step.
    site.pool.signal(signal.SIGSTOP)
    token = site.tokens["operator"]
    try:
        until(lambda: app.inspector.commands, 20, "the preflight runs")
        job_id = site.sql("SELECT id FROM jobs").strip()
        address = f"/{app.name}/private/papi/jobs/{job_id}"
        equal(ask_pool(path, "DELETE", address, token), 202, "status")
        until(lambda: ask_pool(path, "DELETE", address, token) == 204, 20,
              "the job is removed", 0.1)
    finally:
        site.pool.signal(signal.SIGCONT)
    reply = order.result(30)
    return reply if reply.status != 200 else None


@once("an order whose job is canceled and removed during its preflight: 409")
def _(run):
    site = Site(run, "nginx", fakes=1)
    second = None
    try:
        site.start()
        second, = start_pools(site, 1)
        path = site.pool_dir / "0.sock"
        until(path.exists, 10, "the second pool's socket is there")
        app = site.fake("StallEvaluate")
        reply = until(lambda: cancel_unseen(site, app, path), 120,
                      "canceled before it is accepted")
        reply.papi_error(409, None, "conflict", "cancel")
        equal(site.jobs(app), [], "jobs")
        app.behave()
        site.take_whole(app)
    finally:
        if second is not None:
            second.stop()
        site.close()


@once("a canceled snapshot keeps the app also if the database is busy when "
      "podprof-capture learns of it")
def _(run):
    site = Site(run, "nginx", fakes=1)
    try:
        site.start()
        app = site.fake(hold=True)
        job_id = site.held_job(app)
        pid = capture_of(site, job_id)
        os.kill(pid, signal.SIGSTOP)
        try:
            site.papi(app, f"jobs/{job_id}", "DELETE").expect(202)
            with database(site) as db:
                db.execute("BEGIN IMMEDIATE")
                os.kill(pid, signal.SIGCONT)
                until(lambda: "lease not renewed" in site.pool.text(), 20,
                      "it could not write", 0.1)
                equal(capture_of(site, job_id), pid, "the process")
        finally:
            os.kill(pid, signal.SIGCONT)
        is_taken(site, app, job_id)
        app.release()
        app.behave()
        job = site.wait_job(app, site.take_free(app, 15))
        equal(job["state"], "succeeded", f"state, {job['error']}")
    finally:
        site.close()


@once("captures that wait side by side write nothing")
def _(run):
    site = Site(run, "nginx", fakes=4)
    try:
        site.start()
        apps = [site.fake() for _ in range(4)]
        ids = [site.post_job(app, "cpu-profile", durationMs=60000).expect(
            202).json()["id"] for app in apps]
        for app, job_id in zip(apps, ids):
            until(lambda a=app, i=job_id: site.job(a, i)["phase"] ==
                  "profiling", 10, "it profiles")
        with database(site) as db:
            def version():
                return db.execute("PRAGMA data_version").fetchone()[0]
            # Leases are renewed every ten seconds, and all begin at once.
            def is_still():
                before = version()
                until_s = time.monotonic() + 2
                while time.monotonic() < until_s:
                    time.sleep(0.05)
                    if version() != before:
                        return False
                return True
            check(is_still() or is_still() or is_still(),
                  "somebody writes all the time")
        for app, job_id in zip(apps, ids):
            site.papi(app, f"jobs/{job_id}", "DELETE").expect(202)
    finally:
        site.close()
