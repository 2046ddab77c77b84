"""Whatever dies, fills or vanishes: nothing half is served, nothing runs for
ever, and all works again without a hand."""
import contextlib
import hashlib
import http.client
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import uuid

import fastcgi
from harness import (FINAL, SERVICE, TOP, WEB, Failed, Process, Site, check,
                     check_whole, equal, error_is, filled, in_parallel,
                     kept_filled, matches, once, tmpfs, until)

MIB = 1 << 20
SEED = int(os.environ.get("PODPROF_TEST_SEED", time.time_ns() % 1000000))


def database(site):
    return contextlib.closing(sqlite3.connect(
        site.state / "podprof.db", timeout=20))


def unzstd_sha256(path):
    """Digest of what the zstd tool makes of a file."""
    digest = hashlib.sha256()
    with subprocess.Popen(["zstd", "-q", "-dc", path],
                          stdout=subprocess.PIPE) as tool:
        for part in iter(lambda: tool.stdout.read(1 << 20), b""):
            digest.update(part)
    equal(tool.returncode, 0, f"exit of zstd -dc {path}")
    return digest.hexdigest()


def file_sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


def check_store(site, apps):
    """Every file has its row and every row its file, whole; the database is
    sound; nothing is under way.  Returns how many files there are."""
    with database(site) as db:
        equal(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)],
              "integrity_check")
        equal(db.execute("PRAGMA foreign_key_check").fetchall(), [],
              "foreign_key_check")
    jobs = [(app, job) for app in apps
            for job in site.jobs(app, "?limit=1000")]
    succeeded = {job["id"] for _, job in jobs if job["state"] == "succeeded"}
    until(lambda: {name.split(".")[0] for name in site.files()} == succeeded,
          20, f"artifacts/ holds the files of the {len(succeeded)} jobs that "
          "succeeded, and no other", 0.2)
    for app, job in jobs:
        check(job["state"] in FINAL, f"not over: {job}")
        if job["state"] == "succeeded":
            check_file(site, app, job)
    return len(succeeded)


def check_file(site, app, job):
    """What is stored, what is served, and what the job says: one thing."""
    artifact = job["artifact"]
    for accept in ("identity", "zstd"):
        check_whole(site.papi(app, f"jobs/{job['id']}/artifact",
                              headers={"Accept-Encoding": accept}), job)
    equal(artifact["sha256"], app.sha256, "digest of what the app sent")
    name, = site.files_of(job["id"])
    path = site.state / "artifacts" / name
    equal(path.stat().st_size, artifact["storedSize"], "storedSize")
    equal(file_sha256(path), artifact["storedSha256"], "storedSha256")
    if path.suffix == ".zst":
        subprocess.run(["zstd", "-q", "-t", path], check=True)
        equal(unzstd_sha256(path), artifact["sha256"], "sha256 by zstd -dc")


# A full disk.

def fails_for_space(site, app, job_id, is_refilled=False):
    """The job has failed for want of space, everything that only reads works
    meanwhile, and nothing of it is left.  Where every freed byte is taken at
    once podprof-capture may not get to say why."""
    why = "(space|interrupted)" if is_refilled else "space"
    until(lambda: site.job(app, job_id)["state"] == "failed", 20,
          "the job has failed", 0.1)
    job = site.job(app, job_id)
    error_is(job, why)
    equal([j["state"] for j in site.jobs(app)], ["failed"], "states")
    site.papi(app, "getMemorySnapshot").papi_error(
        404, None, None, "(?i)space|full|room" +
        ("|without finishing" if is_refilled else ""))
    site.request("GET", "/livez").expect(200)
    until(lambda: not site.files_of(job_id), 10, "no file is left", 0.1)


def works_again(site, app):
    app.behave()
    job = until(lambda: take_or_none(site, app), 90, "a capture succeeds",
                0.2)
    check_whole(site.papi(app, f"jobs/{job['id']}/artifact"), job)
    until(lambda: site.request("GET", "/readyz").status == 200, 20,
          "readyz is 200 again", 0.2)


def take_or_none(site, app):
    reply = site.papi(app, "takeMemorySnapshot")
    if reply.status != 200:
        check(reply.status in (409, 503, 507), f"{reply.status} {reply.text}")
        return None
    job = site.wait_job(app, reply["X-Job-Id"])
    return job if job["state"] == "succeeded" else None


def fill_in_the_middle(run, front, ways):
    with tmpfs(run.subdir("small"), "size=64m,mode=0755") as small:
        site = Site(run, front, fakes=3, state=small / "state", conf={
            "limits": {"min_free_bytes": 0}})
        try:
            site.start()
            for before, filler, hold_s in ways:
                app = site.fake("Stepwise", size=40 * MIB, noise=True)
                job_id = site.take(app)
                app.started()
                if before:
                    app.behaviour.steps.release(before)
                    until(lambda: site.job(app, job_id)["progress"]["bytes"]
                          >= (before - 4) * 65536, 20, "bytes are written")
                with filler(small):
                    app.behaviour.steps.release(1 << 20)
                    fails_for_space(site, app, job_id, hold_s > 0)
                    until_s = time.monotonic() + hold_s
                    while time.monotonic() < until_s:
                        equal(site.job(app, job_id)["state"], "failed",
                              "state")
                        site.papi(app, "jobs").expect(200)
                fails_for_space(site, app, job_id, hold_s > 0)
                works_again(site, app)
            with database(site) as db:
                equal(db.execute("PRAGMA integrity_check").fetchall(),
                      [("ok",)], "integrity_check")
        finally:
            site.close()


@once("a disk filled by others in the middle of a capture, before its first "
      "byte, and again as soon as something is free")
def _(run):
    ways = ((60, filled, 0), (0, filled, 0), (60, kept_filled, 3))
    in_parallel([
        lambda: fill_in_the_middle(run, "nginx", ways),
        # Where nobody has the database open, reading it takes some room too.
        lambda: fill_in_the_middle(run, "apache-cgid", ways[:2])])


def full_before_anybody_looks(run, front):
    with tmpfs(run.subdir("small"), "size=16m,mode=0755") as small:
        site = Site(run, front, fakes=1, state=small / "state", conf={
            "limits": {"min_free_bytes": 0}})
        try:
            site.start()
            app = site.fake()
            job = site.take_whole(app)
            if not site.cgi:
                site.pool.stop()
            with filled(small):
                if not site.cgi:
                    site.start_pool()
                for _ in range(3):
                    equal(site.job(app, job["id"]), job, "the job")
                    equal(site.jobs(app), [job], "the list")
                    check_whole(site.papi(
                        app, f"jobs/{job['id']}/artifact"), job)
                    site.papi(app, "takeMemorySnapshot").papi_error(
                        507, None, "space")
                    site.request("GET", "/livez").expect(200)
            works_again(site, app)
        finally:
            site.close()


@once("a disk that is full when podprof starts, or when CGI comes: what there "
      "is can be had")
def _(run):
    in_parallel({front: lambda f=front: full_before_anybody_looks(run, f)
                 for front in ("nginx", "apache-cgid")})


# Death at any moment.

class Downloader(threading.Thread):
    """Fetches what there is again and again, while everything may die.  What
    comes whole by Content-Length must be right; all else may be cut."""

    def __init__(self, site, apps, seed):
        super().__init__()
        self.site, self.apps = site, apps
        self.dice = random.Random(seed)
        self.over = threading.Event()
        self.whole = self.parts = self.cut = 0
        self.faults = []

    def run(self):
        while not self.over.is_set() and len(self.faults) < 3:
            try:
                self.once()
            except (OSError, http.client.HTTPException):
                self.cut += 1
            except Failed as error:
                self.faults.append(str(error))
            self.over.wait(0.005)

    def once(self):
        app = self.dice.choice(self.apps)
        listed = self.site.papi(app, "jobs?state=succeeded&limit=3",
                                timeout=20)
        if listed.status != 200 or not listed.json()["jobs"]:
            check(listed.status in (200, 502, 503, 504), listed.text)
            return
        job = self.dice.choice(listed.json()["jobs"])
        first = self.dice.randrange(job["artifact"]["size"])
        headers = {"Accept-Encoding": self.dice.choice(("identity", "zstd"))}
        tail = self.dice.choice((f"jobs/{job['id']}/artifact",
                                 f"getMemorySnapshot?job={job['id']}"))
        if self.dice.random() < 0.3:
            headers = {"Accept-Encoding": "identity",
                       "Range": f"bytes={first}-"}
        reply = self.site.papi(app, tail, headers=headers, timeout=20)
        check(reply.status in (200, 206, 404, 410, 425, 429, 502, 503, 504),
              f"{tail}: {reply.status} {reply.text[:300]}")
        if reply.status == 200:
            check_whole(reply, job)
            self.whole += 1
        elif reply.status == 206:
            check(reply.body == app.text[first:],
                  f"{len(reply.body)} bytes from {first} differ")
            self.parts += 1


def kill(victims):
    """SIGKILL; how many of these were still there."""
    count = 0
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            count += 1
    return count


def nothing_active(site, apps):
    for app in apps:
        for state in ("queued", "running"):
            reply = site.papi(app, f"jobs?state={state}")
            if reply.status != 200 or reply.json()["jobs"]:
                return False
    return True


class Order(threading.Thread):
    """takeMemorySnapshot of a pool that may die over it."""

    def __init__(self, site, app):
        super().__init__()
        self.site, self.app = site, app
        self.fault = None
        self.start()

    def run(self):
        try:
            # A snapshot that was canceled may still occupy the app.
            until(self.is_answered, 30, f"{self.app.name} is free", 0.02)
        except (OSError, http.client.HTTPException):
            pass
        except Failed as fault:
            self.fault = str(fault)

    def is_answered(self):
        reply = self.site.papi(self.app, "takeMemorySnapshot", timeout=20)
        if reply.status == 500:
            reply.papi_error(500, None, "interrupted")
        check(reply.status in (200, 409, 500, 502, 503, 504),
              f"{reply.status} {reply.text[:300]}")
        return reply.status != 409


def cancel_newest(site, app):
    for job in site.jobs(app, "?limit=1"):
        reply = site.papi(app, f"jobs/{job['id']}", "DELETE")
        check(reply.status in (202, 204), f"{reply.status} {reply.text}")


def listens(path):
    """A podprof-capture that was just being started may have held the pool's
    socket for a moment more; a supervisor would try again."""
    with contextlib.suppress(ConnectionRefusedError):
        fastcgi.connect(path).close()
        return True
    return False


def one_death(site, apps, dice, whole_ms):
    """A capture, perhaps its cancellation, and a kill at a moment of it or of
    what follows; what died, in words."""
    app = dice.choice(apps)
    what = dice.choice(("pool", "capture", "both"))
    cancels = dice.random() < 0.2
    delay_s = dice.uniform(0, 1.1 * whole_ms / 1000)
    order = Order(site, app)
    time.sleep(delay_s)
    if cancels:
        cancel_newest(site, app)
    captures = kill(site.captures()) if what != "pool" else 0
    if what != "capture":
        site.pool.kill()
        until(lambda: not listens(site.socket), 10, "the socket is free")
        site.start_pool()
    order.join()
    check(order.fault is None, order.fault)
    until(lambda: nothing_active(site, apps), 30,
          f"no job is queued or running after the death of {what}", 0.05)
    return what + ("" if what == "pool" or captures else " (none there)")


def failures(site):
    return int(site.sql("SELECT count(*) FROM jobs WHERE state = 'failed'"))


def quickest_ms(site):
    """How long a capture has taken that nobody has cut."""
    return int(site.sql("SELECT min(finished_at_ms - created_at_ms) FROM jobs "
                        "WHERE state = 'succeeded'"))


def die_and_recover(run, rounds, compression, seed=SEED, size=6 * MIB):
    """So many deaths at random moments, and some more where none has hit a
    capture, as after the machine has become quicker; what was seen, as a
    line."""
    site = Site(run, "nginx", fakes=2,
                conf={"artifacts": {"compression": compression}})
    dice = random.Random(seed)
    deaths = {}
    downloaders = []
    print(f"# seed {seed} (PODPROF_TEST_SEED)", flush=True)
    try:
        site.start()
        apps = [site.fake("Big", size=size, seed=i, expected=2 * size)
                for i in range(2)]
        for app in apps:
            app.sha256 = app.behaviour.sha256()
            app.text = "".join(app.behaviour.pieces()).encode()
            began = time.monotonic()
            site.take_whole(app)
            whole_ms = (time.monotonic() - began) * 1000
        downloaders = [Downloader(site, apps, seed + i) for i in range(2)]
        for thread in downloaders:
            thread.start()
        for done in range(6 * rounds):
            if done >= rounds:
                if failures(site) > rounds // 20:
                    break
                whole_ms = min(whole_ms, quickest_ms(site))
            what = one_death(site, apps, dice, whole_ms)
            deaths[what] = deaths.get(what, 0) + 1
        for thread in downloaders:
            thread.over.set()
            thread.join()
        faults = [fault for thread in downloaders for fault in thread.faults]
        check(not faults, f"{faults}")
        files = check_store(site, apps)
        states = [job["state"] for app in apps
                  for job in site.jobs(app, "?limit=1000")]
        for app in apps:
            site.take_whole(app)
        whole, parts, cut = (sum(getattr(t, name) for t in downloaders)
                             for name in ("whole", "parts", "cut"))
        check(whole >= rounds // 2, f"only {whole} whole downloads")
        check(states.count("failed") > rounds // 20,
              f"only {states.count('failed')} captures were hit")
        return (f"{sum(deaths.values())} deaths at random moments of a "
                f"capture of {whole_ms:.0f} ms: {deaths}; jobs left: "
                f"{states.count('succeeded')} succeeded, "
                f"{states.count('failed')} failed, {files} files; downloads: "
                f"{whole} whole, {parts} ranges, {cut} cut")
    finally:
        for thread in downloaders:
            thread.over.set()
            thread.join()
        site.close()


@once("kill -9 of the pool, podprof-capture or both at random moments: no "
      "half file, no job that runs for ever")
def _(run):
    print(f"# {die_and_recover(run, 10, 'zstd')}")


def read_until_cut(connection):
    """What comes of a response until its server closes; Failed if it waits
    for the client instead."""
    data = b""
    while True:
        try:
            part = connection.recv(1 << 20)
        except TimeoutError:
            raise Failed(f"nothing more after {len(data)} bytes, and the "
                         "connection is still open") from None
        except ConnectionResetError:
            return data
        if not part:
            return data
        data += part


def cut_download(run, front):
    site = Site(run, front, fakes=1)
    try:
        site.start()
        app = site.fake("Big", size=24 * MIB, expected=36 * MIB)
        job = site.take_whole(app)
        with socket.socket() as connection:
            # Before connect, so that little of the file fits on the way.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            # Less than a web server keeps a connection that is left idle.
            connection.settimeout(30)
            connection.connect(("127.0.0.1", site.port))
            # As HTTP/1.1 is spoken: the connection would be kept.
            connection.sendall((
                f"GET {job['artifact']['href']} HTTP/1.1\r\n"
                "Host: localhost\r\nAuthorization: Bearer "
                f"{site.tokens['operator']}\r\n\r\n").encode())
            head = connection.recv(1000)
            matches(head.decode("latin-1"), r"^HTTP/1\.1 200", "status")
            site.pool.kill()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                  1 << 20)
            data = head + read_until_cut(connection)
        check(len(data) < job["artifact"]["size"], "the whole file came")
        site.start_pool()
        check_whole(site.papi(app, "getMemorySnapshot"), job)
    finally:
        site.close()


@once("a download that is cut by the pool's death: the client learns it at "
      "once, and the artifact is still there")
def _(run):
    in_parallel({front: lambda f=front: cut_download(run, f)
                 for front in ("nginx", "apache-fcgi")})


# Files and rows that do not fit each other.

@once("files without a row go, rows without their file are 410")
def _(run):
    site = Site(run, "nginx", fakes=3)
    try:
        site.start()
        artifacts = site.state / "artifacts"
        apps = [site.fake("Big", size=4 * MIB, expected=9 * MIB)
                for _ in range(3)]
        jobs = [site.take_whole(app) for app in apps]
        planted = [artifacts / f"{uuid.uuid4()}.{ending}" for ending in (
            "part", "heapsnapshot", "heapsnapshot.zst", "cpuprofile",
            "cpuprofile.zst", "heapprofile.zst")]
        foreign = [artifacts / name for name in (
            "README", "notes.heapsnapshot", "0198c0de.part",
            f"{uuid.uuid4()}.tar")]
        for path in planted + foreign:
            path.write_bytes(b"{}")
            os.chown(path, SERVICE, SERVICE)
        removed, shorter, whole = (
            artifacts / site.files_of(job["id"])[0] for job in jobs)
        removed.unlink()
        os.truncate(shorter, shorter.stat().st_size // 2)
        for app, job in zip(apps[:2], jobs[:2]):
            for accept in ("identity", "zstd"):
                site.papi(app, f"jobs/{job['id']}/artifact",
                          headers={"Accept-Encoding": accept}
                          ).problem(410, "gone")
            reply = site.papi(app, "getMemorySnapshot")
            check(reply.status in (404, 410), f"status {reply.status}")
            reply.papi_error(reply.status, None)
            site.papi(app, f"jobs/{job['id']}").expect(200)
            site.papi(app, "getMemorySnapshot", "HEAD").expect(reply.status)
        # As long as it was, but not what it was.
        with open(whole, "r+b") as file:
            file.seek(whole.stat().st_size // 2)
            file.write(random.Random(1).randbytes(4096))
        with contextlib.suppress(OSError, http.client.HTTPException):
            reply = site.papi(apps[2], f"jobs/{jobs[2]['id']}/artifact")
            reply.problem(410, "gone")
        until(lambda: not any(path.exists() for path in planted), 20,
              "files without a row are gone", 0.2)
        for path in foreign:
            check(path.exists(), f"{path.name} is not podprof's, and gone")
            path.unlink()
        site.take_whole(apps[0])
    finally:
        site.close()


# A state directory that cannot be used.

def over_or_none(site, app, job_id):
    reply = site.papi(app, f"jobs/{job_id}")
    if reply.status == 200 and reply.json()["state"] in FINAL:
        return reply.json()
    return None


def unusable(site, app, words):
    """Every address that needs the state says so; probes answer at once."""
    def all_say_so():
        for method, tail in (("GET", "takeMemorySnapshot"), ("GET", "jobs"),
                             ("GET", "getMemorySnapshot"),
                             ("GET", "getCpuProfile?duration=100")):
            reply = site.papi(app, tail, method)
            if reply.status != 503:
                return False
            document = reply.problem(503, "state", words)
            matches(document["detail"], str(site.state), "detail")
            check(reply["Retry-After"], "no Retry-After")
        return True
    until(all_say_so, 20, f"503 ({words})", 0.2)
    until(lambda: site.request("GET", "/readyz").status == 503, 60,
          "readyz is 503", 0.2)
    site.request("GET", "/readyz").problem(503)
    site.request("GET", "/livez").expect(200)


def usable(site, app, *jobs):
    """All works again by itself; these jobs are still there."""
    until(lambda: site.request("GET", "/readyz").status == 200, 20,
          "readyz is 200 again", 0.2)
    until(lambda: site.papi(app, "jobs").status == 200, 20,
          "the list answers again", 0.2)
    for job in jobs:
        check_whole(site.papi(app, f"jobs/{job['id']}/artifact"), job)
    return site.take_whole(app)


@once("a state directory that goes, comes back, is replaced by an empty one: "
      "503, then all works again, in the same process")
def _(run):
    site = Site(run, "nginx", fakes=1)
    away, other = site.dir / "away", site.dir / "other"
    try:
        site.start()
        app = site.fake()
        pid = site.pool.pid
        first = site.take_whole(app)
        site.state.rename(away)
        unusable(site, app, "(?i)no such|not there|missing|does not exist")
        away.rename(site.state)
        second = usable(site, app, first)
        # It goes in the middle of a capture, and is back after its end.
        app.behave("Stepwise", size=MIB)
        job_id = site.take(app)
        app.started()
        site.state.rename(away)
        app.behaviour.steps.release(1000)
        until(lambda: not site.captures(), 30, "the capture is over", 0.1)
        away.rename(site.state)
        job = until(lambda: over_or_none(site, app, job_id), 40,
                    "the job is over", 0.2)
        if job["state"] == "succeeded":
            check_whole(site.papi(app, f"jobs/{job_id}/artifact"), job)
        else:
            check(job["error"]["type"].split(":")[-1] in (
                "state", "interrupted"), job["error"])
            until(lambda: not site.files_of(job_id), 20, "its files are gone",
                  0.1)
        app.behave()
        site.state.rename(away)
        site.make_state()
        third = usable(site, app)
        equal([job["id"] for job in site.jobs(app)], [third["id"]], "jobs")
        site.papi(app, f"jobs/{first['id']}").problem(404, "not-found")
        site.state.rename(other)
        away.rename(site.state)
        usable(site, app, first, second)
        equal((site.pool.pid, site.pool.alive()), (pid, True), "the pool")
    finally:
        site.close()


def gives_way(source, target):
    with contextlib.suppress(OSError):
        source.rename(target)
        return True
    return False


def lose_files(run):
    """artifacts/ goes as if it were on a disk of its own, and is back."""
    site = Site(run, "nginx", fakes=1)
    away = site.dir / "away"
    try:
        site.start()
        app = site.fake()
        jobs = [site.take_whole(app) for _ in range(3)]
        names = site.files()
        (site.state / "artifacts").rename(away)
        for job in jobs:
            # Once it has been noted in the row, not only seen.
            until(lambda t=f"jobs/{job['id']}/artifact": "removed at" in
                  site.papi(app, t).problem(410, "gone")["detail"], 30,
                  "the loss is noted", 0.2)
        # The directory that podprof may have made gives way when it is empty,
        # which it is but for moments.
        until(lambda: gives_way(away, site.state / "artifacts"), 20,
              "artifacts/ is back")
        for job in jobs:
            until(lambda t=f"jobs/{job['id']}/artifact":
                  site.papi(app, t, "HEAD").status == 200, 30,
                  "the file is found again", 0.2)
            check_whole(site.papi(app, f"jobs/{job['id']}/artifact"), job)
        equal(site.files(), names, "files")
    finally:
        site.close()


@contextlib.contextmanager
def over_mounted(path, shadow):
    """The directory is seen read-only.  What is open stays writable: no file
    system becomes read-only under its writers' hands but by a fault of the
    disk."""
    subprocess.run(["mount", "--bind", path, shadow], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", shadow], check=True)
        subprocess.run(["mount", "--bind", shadow, path], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", path], check=True)
    finally:
        subprocess.run(["umount", shadow], check=True)


def become_read_only(run):
    site = Site(run, "nginx", fakes=1)
    with tmpfs(run.subdir("ro"), "size=64m,mode=0755") as small:
        cgi = Site(run, "apache-cgid", fakes=1, state=small / "state", conf={
            "limits": {"min_free_bytes": 0}})
        try:
            site.start()
            cgi.start()
            app, cgi_app = site.fake(), cgi.fake()
            first = site.take_whole(app)
            cgi_first = cgi.take_whole(cgi_app)
            with over_mounted(site.state, run.subdir("shadow")):
                until(lambda: site.request("GET", "/readyz").status == 503,
                      60, "readyz is 503", 0.2)
                site.request("GET", "/readyz").problem(503)
                reply = site.papi(app, "takeMemorySnapshot")
                reply.papi_error(503, None, "state", "(?i)read-?only")
                # No process holds a file there: the real thing.
                subprocess.run(["mount", "-o", "remount,ro", small],
                               check=True)
                unusable(cgi, cgi_app, "(?i)read-?only|cannot be written")
                subprocess.run(["mount", "-o", "remount,rw", small],
                               check=True)
            # A row that a descriptor opened before could still write waits
            # for its process until it is given up.
            works_again(site, app)
            usable(site, app, first)
            usable(cgi, cgi_app, cgi_first)
        finally:
            site.close()
            cgi.close()


@once("a state directory that becomes read-only: 503, then all works again; "
      "artifacts/ that goes and is back: 410, then all files are there again")
def _(run):
    # Mostly waiting, hence side by side.
    in_parallel([lambda: become_read_only(run), lambda: lose_files(run)])


# Versions.

def set_version(site, version):
    with database(site) as db:
        before, = db.execute("PRAGMA user_version").fetchone()
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()
    return before


@once("a database of a newer version is refused, and nothing of it changes")
def _(run):
    words = r"version 99.*knows"
    site = Site(run, "nginx", fakes=1)
    cgi = Site(run, "apache-cgid", fakes=1)
    try:
        site.start()
        cgi.start()
        app, cgi_app = site.fake(), cgi.fake()
        job, cgi_job = site.take_whole(app), cgi.take_whole(cgi_app)
        site.pool.stop()
        mine = set_version(site, 99)
        pool = Process([site.run.bin / "podprof.fcgi"], site.dir / "refused",
                       user=SERVICE, env={"PODPROF_CONFIG": str(site.conf)},
                       stdin=fastcgi_listener(site))
        status = pool.popen.wait(20)
        check(status != 0, "exit 0")
        matches(pool.text(), words, "what the pool says")
        equal(set_version(site, mine), 99, "the version afterwards")
        site.start_pool()
        check_whole(site.papi(app, f"jobs/{job['id']}/artifact"), job)
        set_version(cgi, 99)
        cgi.papi(cgi_app, "jobs").problem(503, "state", words)
        cgi.request("GET", "/readyz").problem(503, "state")
        equal(set_version(cgi, mine), 99, "the version afterwards")
        usable(cgi, cgi_app, cgi_job)
    finally:
        site.close()
        cgi.close()


def fastcgi_listener(site):
    """A listening socket, as descriptor 0 of a pool."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(site.pool_dir / "refused.sock"))
    listener.listen()
    return listener


def start_pools(site, count):
    """So many pools at once, on sockets of their own."""
    return [Process(
        ["spawn-fcgi", "-n", "-s", site.pool_dir / f"{i}.sock", "-u", SERVICE,
         "-g", SERVICE, "-U", SERVICE, "-G", WEB, "--",
         site.run.bin / "podprof.fcgi"], site.dir / f"pool{i}.log",
        env={"PODPROF_CONFIG": str(site.conf)}) for i in range(count)]


def status_of(path, token, address):
    answer = fastcgi.call(path, fastcgi.request(
        address, HTTP_AUTHORIZATION=f"Bearer {token}"))
    matches(answer.decode(), r"\A(Status: \d{3}|[A-Z])", "an answer")
    found = answer.decode().partition("\r\n\r\n")[0]
    return 200 if "Status:" not in found else \
        int(found.partition("Status: ")[2][:3])


@once("8 processes with 8 threads each start at once on a fresh state: one "
      "migration, no error")
def _(run):
    for _ in range(3):
        site = Site(run, None, fakes=1, conf={"podprof": {"threads": 8}})
        pools = []
        try:
            app = site.fake()
            pools = start_pools(site, 8)
            for number, pool in enumerate(pools):
                path = site.pool_dir / f"{number}.sock"
                until(lambda p=pool, s=path: answers(p, s), 20,
                      f"pool {number} answers", 0.02)
                until(lambda s=path: status_of(
                    s, site.tokens["viewer"], "/readyz") == 200, 20,
                    f"pool {number} is ready", 0.05)
                equal(status_of(path, site.tokens["viewer"],
                                f"/{app.name}/private/papi/jobs"), 200,
                      f"status of pool {number}")
            with database(site) as db:
                equal(db.execute("PRAGMA integrity_check").fetchall(),
                      [("ok",)], "integrity_check")
                equal(db.execute("PRAGMA user_version").fetchone(),
                      (len(list((TOP / "sql").glob("0*.sql"))),),
                      "user_version")
        finally:
            for pool in pools:
                equal(pool.stop(), 0, "exit of a pool")
            site.close()
        for pool in pools:
            check(not fault_of(pool), f"{pool.log}: {fault_of(pool)}")


def answers(pool, path):
    check(pool.alive(), f"the pool ended: {pool.text()}")
    with contextlib.suppress(OSError):
        fastcgi.connect(path).close()
        return True
    return False


def fault_of(pool):
    """The first line of a log that tells of something wrong."""
    for line in pool.text().splitlines():
        if re.search("level=(warn|error)", line):
            return line
    return None
