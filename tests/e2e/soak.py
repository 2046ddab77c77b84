#!/usr/bin/env python3
"""What is long or measures time; started by tests/soak.

    soak.py --builddir DIR --npm DIR --node NAME=FILE… [--debian DIR]
            [--musl DIR] [--malloc FILE]… [NAME]…

Each measurement prints its numbers beside a baseline taken in the same run on
the same machine, and fails if what is promised does not hold.
"""
import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import platform
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time

import fastcgi
from case_activate import activations
from case_debian import debian
from case_fork import copies, nothing_left, order, outcomes, site_of
from case_load import Prober, Sloth, aborted_ten_times
from case_nodes import nodes
from case_recovery import SEED, database, die_and_recover, file_sha256, \
    unzstd_sha256
from case_retention import evict_under_readers
from case_shield import Kubelet, probe_of
from case_worker import workers
from harness import (APP, EXCHANGE, TOP, App, Failed, Run, Site, as_user,
                     check, check_artifact, equal, in_parallel, until)
from hostile import assault
from hostile import site_of as hostile_site
from image import container
from stress import ControlGroup, Load, settled, status_bytes

MIB = 1 << 20
# A sample app whose snapshot file is over 500 MB, and what podprof promises
# of such a file.
HUGE_HEAP_MB = 350
HUGE_FILE_BYTES = 500_000_000
STORED_SHARE_MAX = 0.15
POOL_IDLE_MAX = 12 * MIB
POOL_DOWNLOAD_MAX = MIB
# A sample app whose snapshot file is over 300 MB.
BIG_HEAP_MB = 195
BIG_FILE_BYTES = 300_000_000
CAPTURE_RSS_MAX = 16 * MIB


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def times(values_ms):
    return (f"{len(values_ms)} queries, median "
            f"{statistics.median(values_ms):.2f} ms, 99th percentile "
            f"{percentile(values_ms, 0.99):.2f} ms, longest "
            f"{max(values_ms):.2f} ms")


def anonymous_bytes(pid):
    """RssAnon of a process; 0 once it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


class Sampler:
    """The largest RssAnon of the processes that pids() names."""

    def __init__(self, pids):
        self.pids = pids
        self.peak = 0
        self.samples = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.is_set():
            for pid in self.pids():
                self.samples += 1
                self.peak = max(self.peak, anonymous_bytes(pid))
            self.over.wait(0.02)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def big_app(run):
    return App(run, heap_mb=BIG_HEAP_MB, args=["--max-old-space-size=4000"])


def memory(run):
    """podprof-capture's and the pool's memory for a 300 MB snapshot."""
    app = big_app(run)
    site = Site(run, "nginx", fakes=0, apps={"sample": app.address})
    try:
        site.start()
        site.papi("sample", "jobs")
        before = anonymous_bytes(site.pool.pid)
        with Sampler(site.captures) as capture, \
                Sampler(lambda: [site.pool.pid]) as pool:
            job = site.wait_job("sample", site.take("sample"), 900)
            equal(job["state"], "succeeded", f"state, {job['error']}")
        size = job["artifact"]["size"]
        print(f"snapshot of {size / 1e6:.0f} MB, app frozen for "
              f"{job['freezeMs'] / 1000:.1f} s")
        print(f"podprof-capture, peak RssAnon: {capture.peak / MIB:.1f} MiB "
              f"in {capture.samples} samples; {CAPTURE_RSS_MAX // MIB} MiB "
              "are allowed")
        print(f"pool, RssAnon: {before / MIB:.1f} MiB before, peak "
              f"{pool.peak / MIB:.1f} MiB meanwhile")
        with Sampler(lambda: [site.pool.pid]) as pool:
            began = time.monotonic()
            reply = site.papi("sample", "getMemorySnapshot", timeout=600)
            seconds = time.monotonic() - began
        equal(len(reply.expect(200).body), size, "bytes")
        print(f"download through nginx: {size / 1e6 / seconds:.0f} MB/s, peak "
              f"RssAnon of the pool {pool.peak / MIB:.1f} MiB")
        good, line = check_artifact(run, reply.body, "heapsnapshot")
        print(line)
        check(good, line)
        check(size >= BIG_FILE_BYTES, "the snapshot is too small to tell")
        check(capture.samples > 100, "too few samples")
        check(capture.peak < CAPTURE_RSS_MAX,
              "podprof-capture needs too much memory")
        check(pool.peak < before + 8 * MIB, "the pool grows with a download")
    finally:
        site.close()
        app.close()


def freeze(run):
    """Status queries while the app is frozen by a snapshot, and before."""
    app = big_app(run)
    site = Site(run, "nginx", fakes=0, apps={"sample": app.address})

    def ask():
        return site.papi("sample", "jobs")
    try:
        site.start()
        app.stall_ms()
        with Prober(ask) as calm:
            time.sleep(5)
        calm_stall_ms = app.stall_ms()
        job_id = site.take("sample")
        with Prober(ask) as frozen:
            job = site.wait_job("sample", job_id, 900)
        equal(job["state"], "succeeded", f"state, {job['error']}")
        stall_ms = app.stall_ms()
        print(f"app: longest stall {calm_stall_ms} ms before, {stall_ms} ms "
              "during the snapshot")
        print(f"status before:    {times(calm.times_ms)}")
        print(f"status meanwhile: {times(frozen.times_ms)}")
        check(not calm.faults and not frozen.faults,
              f"{calm.faults[:2]} {frozen.faults[:2]}")
        check(stall_ms > 2000, "the app was not frozen for long enough")
        limit = 3 * percentile(calm.times_ms, 0.99) + 20
        check(percentile(frozen.times_ms, 0.99) < limit,
              f"99 % of the status queries take longer than {limit:.0f} ms")
    finally:
        site.close()
        app.close()


def waiting(run):
    """Status queries beside 200 requests that wait, and without."""
    site = Site(run, "nginx", fakes=1)

    def ask():
        return site.papi(app, "jobs")
    try:
        site.start()
        app = site.fake(hold=True)
        job_id = site.held_job(app)
        with Prober(ask) as calm:
            time.sleep(5)

        def wait():
            return site.papi(app, f"jobs/{job_id}",
                             headers={"Prefer": "wait=25"}).expect(200)

        def measure():
            with Prober(ask) as prober:
                time.sleep(10)
            app.release()
            return prober
        *waiters, busy = in_parallel([wait] * 200 + [measure])
        print(f"status with nobody waiting: {times(calm.times_ms)}")
        print(f"status with 200 waiting:    {times(busy.times_ms)}")
        waited = [reply.seconds for reply in waiters]
        print(f"the 200 waited {min(waited):.1f} to {max(waited):.1f} s")
        check(not calm.faults and not busy.faults,
              f"{calm.faults[:2]} {busy.faults[:2]}")
        limit = 5 * percentile(calm.times_ms, 0.99) + 50
        check(percentile(busy.times_ms, 0.99) < limit,
              f"99 % of the status queries take longer than {limit:.0f} ms")
        site.wait_job(app, job_id)
    finally:
        site.close()


def cut_and_resume(site, url, wanted, headers, size, cuts):
    """curl, killed when its file is so long, and resumed by -C -; the digest
    of the file."""
    path = site.run.subdir("resume") / "file"
    command = ["curl", "-sS", "-f", "-o", path, "-C", "-", "-H",
               f"Authorization: Bearer {site.tokens['operator']}",
               *headers, url]
    for cut in sorted(cuts):
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as curl:
            while curl.poll() is None:
                if path.exists() and path.stat().st_size >= cut * size:
                    curl.kill()
        check(curl.returncode in (0, -9), f"curl: exit {curl.returncode}")
    if not path.exists() or path.stat().st_size < size:
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True)
    equal(path.stat().st_size, size, "bytes after the last resumption")
    equal(file_sha256(path), wanted, "digest of what was resumed")
    return path


def resume(run):
    """A 500 MB artifact, cut at 20 random places and resumed by curl."""
    app = App(run, heap_mb=HUGE_HEAP_MB, args=["--max-old-space-size=4000"])
    site = Site(run, "nginx", fakes=0, apps={"sample": app.address})
    dice = random.Random(SEED)
    print(f"seed {SEED} (PODPROF_TEST_SEED)")
    try:
        site.start()
        site.papi("sample", "jobs")
        job = site.wait_job("sample", site.take("sample"), 900)
        equal(job["state"], "succeeded", f"state, {job['error']}")
        app.close()
        artifact = job["artifact"]
        share = artifact["storedSize"] / artifact["size"]
        print(f"snapshot of {artifact['size'] / 1e6:.0f} MB, stored in "
              f"{artifact['storedSize'] / 1e6:.1f} MB: {share:.3f} of it, "
              f"{STORED_SHARE_MAX} are allowed")
        check(artifact["size"] >= HUGE_FILE_BYTES, "too small to tell")
        check(share <= STORED_SHARE_MAX, "stored in too much")
        stored, = (site.state / "artifacts").iterdir()
        equal(file_sha256(stored), artifact["storedSha256"], "storedSha256")
        equal(unzstd_sha256(stored), artifact["sha256"], "zstd -dc")
        url = f"http://127.0.0.1:{site.port}{artifact['href']}"
        for name, size, wanted, headers in (
                ("identity", artifact["size"], artifact["sha256"], []),
                ("zstd", artifact["storedSize"], artifact["storedSha256"],
                 ["-H", "Accept-Encoding: zstd", "--limit-rate", "40M"])):
            cuts = [dice.uniform(0.001, 0.999) for _ in range(20)]
            for places in ([], cuts):
                began = time.monotonic()
                path = cut_and_resume(site, url, wanted, headers, size,
                                      places)
                print(f"{name}: {size} bytes in {len(places) + 1} pieces, "
                      f"{time.monotonic() - began:.1f} s, the same digest")
                if name == "zstd":
                    equal(unzstd_sha256(path), artifact["sha256"], "sha256")
                path.unlink()
        pool_memory(site, artifact["href"])
    finally:
        site.close()
        app.close()


def pool_memory(site, path):
    """The pool's memory with so many slow readers of the identity bytes."""
    site.restart_pool()
    site.request("GET", "/livez")
    time.sleep(2)
    idle = anonymous_bytes(site.pool.pid)
    print(f"pool, RssAnon: {idle / MIB:.2f} MiB idle, "
          f"{POOL_IDLE_MAX // MIB} are allowed")
    check(0 < idle <= POOL_IDLE_MAX, "the idle pool needs too much memory")
    for count in (1, 10, 30):
        sloths = [Sloth(site, path, 1 << 16) for _ in range(count)]
        with Sampler(lambda: [site.pool.pid]) as pool:
            # Each takes some megabytes, so that all are well under way.
            in_parallel([lambda s=s: s.read(20 * MIB) for s in sloths])
        for sloth in sloths:
            sloth.socket.close()
        each = (pool.peak - idle) / count
        print(f"pool, RssAnon: peak {pool.peak / MIB:.2f} MiB with {count} "
              f"streamed downloads, {each / MIB:.2f} MiB each; "
              f"{POOL_DOWNLOAD_MAX // MIB} is allowed")
        check(each <= POOL_DOWNLOAD_MAX, "a download needs too much memory")
        time.sleep(1)


def abort(run):
    """getMemorySnapshot of 120 MB, ten times broken off before 80 %."""
    for front in ("nginx", "apache-fcgi"):
        began = time.monotonic()
        aborted_ten_times(run, front, 120 * MIB, 0.8, 5)
        print(f"{front}: still there ten times, then delivered, then gone; "
              f"{time.monotonic() - began:.1f} s")


def kill(run):
    """200 times kill -9 at a random moment."""
    for compression in ("zstd", "none"):
        began = time.monotonic()
        print(f"compression = {compression}: "
              f"{die_and_recover(run, 100, compression)}")
        print(f"{time.monotonic() - began:.0f} s")


def retention(run):
    """50 readers while captures make each other's files go."""
    print(evict_under_readers(run, 50, 60))


ROW_KINDS = ("heap-snapshot", "cpu-profile")
ROW_STATES = ("succeeded", "failed", "canceled")


def insert_jobs(site, app, count):
    """So many jobs that are over, as podprof would have written them.  Every
    file but none of the rows has gone."""
    now_ms = int(time.time() * 1000)
    dice = random.Random(count)
    digest = hashlib.sha256(b"").hexdigest()
    with database(site) as db:
        for number in range(count):
            at_ms = now_ms - (count - number) * 10
            job_id = "%08x-%04x-7%03x-8%03x-%012x" % (
                at_ms >> 16, at_ms & 0xffff, dice.randrange(4096),
                dice.randrange(4096), dice.randrange(1 << 48))
            kind = ROW_KINDS[number % 2]
            db.execute(
                "INSERT INTO jobs (id, app, pod, kind, method, duration_ms,"
                " requested_by, request_id, created_at_ms, accepted_at_ms,"
                " lease_until_ms, artifact_name)"
                " VALUES (?, ?, 'pod-1', ?, 'auto', ?, 'ci', 'r-1', ?, ?, ?,"
                " 'a')", (job_id, app, kind, 1000 if number % 2 else None,
                          at_ms, at_ms, at_ms))
            state = ROW_STATES[number % 3]
            db.execute(
                "UPDATE jobs SET state = 'running', phase = 'writing',"
                " runner_pid = 1, started_at_ms = created_at_ms WHERE id = ?",
                (job_id,))
            whole = state == "succeeded"
            db.execute(
                "UPDATE jobs SET state = ?, phase = NULL, holds_target = 0,"
                " finished_at_ms = created_at_ms + 5,"
                " removed_at_ms = created_at_ms + 9, expires_at_ms ="
                " created_at_ms + 8, sha256 = ?, size_bytes = ?,"
                " stored_sha256 = ?, stored_bytes = ?, coding = ?,"
                " removed_because = ?, error = ?, error_detail = ?"
                " WHERE id = ?", (
                    state, *((digest, 7, digest, 7, "zstd", "expired")
                             if whole else (None,) * 6),
                    *(("space", "The disk is full.") if state == "failed"
                      else (None, None)), job_id))
        db.commit()
        return db.execute("SELECT id FROM jobs ORDER BY seq LIMIT 1 OFFSET ?",
                          (count // 2,)).fetchone()[0]


ROWS_RATIO_MAX = 1.5
ROWS_STALL_MAX_MS = 500


def ask_pool(site, path):
    """Milliseconds of one answer, straight from the pool's socket."""
    address, _, query = path.partition("?")
    records = fastcgi.request(
        address, QUERY_STRING=query, REQUEST_URI=path,
        HTTP_AUTHORIZATION=f"Bearer {site.tokens['viewer']}")
    began = time.monotonic()
    answer = fastcgi.call(site.socket, records)
    took_ms = (time.monotonic() - began) * 1000
    check(b"\nStatus: 4" not in b"\n" + answer and answer.rstrip().endswith(
        b"}"), f"{path}: {answer[:300]}")
    return took_ms


def take_ms(site, app):
    began = time.monotonic()
    job_id = site.take(app)
    took_ms = (time.monotonic() - began) * 1000
    site.wait_job(app, job_id)
    return took_ms


def compare(what, few, many, times_each):
    """Medians of two questions, asked in turns."""
    took = {few: [], many: []}
    for _ in range(4):
        for ask in (few, many):
            took[ask] += [ask() for _ in range(times_each // 4)]
    medians = [statistics.median(took[ask]) for ask in (few, many)]
    ratio = medians[1] / medians[0]
    print(f"{what + ':':34} {medians[0]:7.2f} ms with 100 rows, "
          f"{medians[1]:7.2f} ms with 100,000: {ratio:.2f}")
    check(ratio <= ROWS_RATIO_MAX, f"{what}: {ratio:.2f} times as slow; "
          f"{ROWS_RATIO_MAX} are allowed")


def rows(run):
    """Queries with 100,000 rows against 100, and while rows are removed."""
    limits = {"store_jobs": 1000000, "keep": "3000d"}
    sites = [Site(run, "nginx", fakes=1, conf={"limits": limits})
             for _ in range(2)]
    try:
        apps, middles = [], []
        for site, count in zip(sites, (100, 100000)):
            site.start()
            apps.append(site.fake())
            site.papi(apps[-1], "jobs").expect(200)
            site.pool.stop()
            middles.append(insert_jobs(site, apps[-1].name, count))
            site.start_pool()
        few, many = sites

        def listing(index, query):
            path = f"/{apps[index].name}/private/papi/jobs{query}"
            path = path.replace("MIDDLE", middles[index])
            return lambda: ask_pool(sites[index], path)
        for query in ("?limit=10", "?limit=10&kind=cpu-profile",
                      "?limit=10&state=failed",
                      "?limit=10&kind=heap-snapshot&state=succeeded",
                      "?limit=10&after=MIDDLE",
                      "?limit=10&state=canceled&after=MIDDLE",
                      "?limit=10&state=running", "/MIDDLE"):
            compare("GET jobs" + query.replace("MIDDLE", "ID"),
                    listing(0, query), listing(1, query), 400)
        compare("takeMemorySnapshot", lambda: take_ms(few, apps[0]),
                lambda: take_ms(many, apps[1]), 40)
        sweep_rows(many, apps[1], limits)
    finally:
        for site in sites:
            site.close()


def count_rows(site):
    with database(site) as db:
        return db.execute("SELECT count(*) FROM jobs").fetchone()[0]


def sweep_rows(site, app, limits):
    """Status queries while 99,000 rows are removed, and after."""
    site.pool.stop()
    site.conf.write_text(site.conf.read_text().replace(
        f"store_jobs = {limits['store_jobs']}", "store_jobs = 1000"))
    before = count_rows(site)
    began = time.monotonic()
    site.start_pool()
    with Prober(lambda: site.papi(app, "jobs?limit=1")) as busy:
        until(lambda: count_rows(site) <= 1000, 300, "rows are removed", 0.5)
    seconds = time.monotonic() - began
    with Prober(lambda: site.papi(app, "jobs?limit=1")) as calm:
        time.sleep(5)
    print(f"{before - 1000} rows removed in {seconds:.1f} s")
    print(f"status meanwhile: {times(busy.times_ms)}")
    print(f"status after:     {times(calm.times_ms)}")
    check(not calm.faults and not busy.faults,
          f"{calm.faults[:2]} {busy.faults[:2]}")
    limit = 5 * percentile(calm.times_ms, 0.99) + 50
    check(percentile(busy.times_ms, 0.99) < limit,
          f"99 % of the status queries take longer than {limit:.0f} ms")
    check(max(busy.times_ms) < ROWS_STALL_MAX_MS, "a status query was stalled")


def slow(run):
    """Fifty slow downloads and 200 waiting requests, and without."""
    site = Site(run, "nginx", fakes=2, conf={"limits": {"downloads": 64}})
    try:
        site.start()
        app, held = site.fake("Big", size=64 * MIB, expected=80 * MIB), \
            site.fake(hold=True)
        job = site.take_whole(app)
        running = site.held_job(held)
        calm = measure(site, app, job)
        path = f"/{app.name}/private/papi/jobs/{job['id']}/artifact"
        sloths = [Sloth(site, path) for _ in range(50)]
        over = threading.Event()

        def wait():
            return site.papi(held, f"jobs/{running}", headers={
                "Prefer": "wait=25"}).expect(200)

        def measure_and_release():
            time.sleep(2)
            try:
                return measure(site, app, job)
            finally:
                over.set()
                held.release()

        def drip(sloth):
            while not over.is_set():
                sloth.read(65536)
                over.wait(0.2)
        threads = [threading.Thread(target=drip, args=(sloth,))
                   for sloth in sloths]
        for thread in threads:
            thread.start()
        *waiters, busy = in_parallel([wait] * 200 + [measure_and_release])
        for thread in threads:
            thread.join()
        waited = [reply.seconds for reply in waiters]
        print(f"the 200 waited {min(waited):.1f} to {max(waited):.1f} s")
        for sloth in sloths:
            sloth.socket.close()
        site.wait_job(held, running)
        for what, before in calm.items():
            print(f"{what + ',':7} alone:     {times(before)}")
            print(f"{what + ',':7} meanwhile: {times(busy[what])}")
            limit = 5 * percentile(before, 0.99) + 50
            check(percentile(busy[what], 0.99) < limit,
                  f"{what}: 99 % take longer than {limit:.0f} ms")
            limit = 2 * statistics.median(before) + 2
            check(statistics.median(busy[what]) < limit,
                  f"{what}: half take longer than {limit:.1f} ms")
    finally:
        site.close()


def measure(site, app, job):
    """{what: milliseconds} of ten seconds of questions."""
    asks = {
        "status": lambda: site.papi(app, f"jobs/{job['id']}"),
        "list": lambda: site.papi(app, "jobs"),
        "livez": lambda: site.request("GET", "/livez"),
        "readyz": lambda: site.request("GET", "/readyz")}
    found = {what: [] for what in asks}
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for what, ask in asks.items():
            found[what].append(ask().expect(200).seconds * 1000)
        time.sleep(0.005)
    return found


def getcpuprofile60(run):
    """getCpuProfile without a parameter, through each web server."""
    app = App(run)
    sites = [Site(run, front, fakes=0, apps={"sample": app.address})
             for front in ("nginx", "lighttpd", "apache-fcgi", "apache-cgid",
                           "apache-fcgid", "nginx-fcgiwrap")]
    try:
        for site in sites:
            site.start()
        replies = in_parallel({site.front: lambda s=site: s.papi(
            "sample", "getCpuProfile", timeout=180) for site in sites})
        for site, reply in zip(sites, replies):
            reply.expect(200)
            check(reply.seconds >= 60, f"{site.front}: {reply.seconds:.1f} s")
            good, line = check_artifact(run, reply.body, "cpuprofile",
                                        "--function", "hotLoopOfSample")
            check(good, f"{site.front}: {line}")
            print(f"{site.front}: {len(reply.body)} bytes after "
                  f"{reply.seconds:.1f} s")
    finally:
        for site in sites:
            site.close()
        app.close()


def browser(run):
    """Chromium fetches and saves an artifact that is sent compressed."""
    app = App(run, heap_mb=60)
    site = Site(run, "nginx", fakes=0, apps={"sample": app.address})
    try:
        site.start()
        job = site.wait_job("sample", site.take("sample"), 300)
        artifact = job["artifact"]
        href = site.papi("sample", f"jobs/{job['id']}/links",
                         "POST").expect(201).json()["href"]
        module = run.npm / "playwright/node_modules/playwright-core/index.js"
        done = subprocess.run(
            [run.nodes["22"], TOP / "tests/e2e/browser-fetch.mjs", module,
             "/usr/bin/chromium", f"http://127.0.0.1:{site.port}", href],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=300, check=False)
        check(done.returncode == 0, f"{done.stdout}{done.stderr}")
        seen = json.loads(done.stdout)
        print(f"Chromium {seen['version']}: {artifact['size'] / 1e6:.0f} MB, "
              f"of which {artifact['storedSize'] / 1e6:.1f} MB were sent")
        equal(seen["coding"], "zstd", "Content-Encoding")
        equal(seen["fetched"], artifact["sha256"], "SHA-256, fetched")
        equal(seen["saved"], artifact["sha256"], "SHA-256, saved")
    finally:
        site.close()
        app.close()


# Snapshots by fork, in a row; and what podprof promises of all of them.
FORKS = 50
FALLBACKS_MAX_SHARE = 0.01
FORK_STALL_MAX_MS = 100
FORK_GROWN_MAX = 64 * MIB
FORK_HEAP_MB = 8
CALM_S = 20


def debian_app(run, **settings):
    """An app under Debian's own Node, which keeps V8 in a library and a part
    of itself in /usr/share."""
    root = run.debian
    return App(run, node=root / "usr/bin/node", prefix=[
        "unshare", "--mount", "sh", "-c",
        'mount --bind "$1" /usr/share && shift && exec "$@"', "sh",
        root / "usr/share", *as_user(APP, [EXCHANGE])],
        env={"LD_LIBRARY_PATH": ":".join(map(str, root.glob(
            "usr/lib/*-linux-*")))}, **settings)


def fork_apps(run):
    """{name: what starts the app}"""
    apps = {f"Node {name}": lambda n=name, **more: App(
        run, run.nodes[n], **more) for name in sorted(run.nodes)}
    if run.debian is not None:
        apps["Debian's"] = lambda **more: debian_app(run, **more)
    return apps


def calm_stall_ms(app):
    """The longest stall of an app under load that nobody captures."""
    app.stall_ms()
    time.sleep(CALM_S)
    return app.stall_ms()


def many_forks(run, name, start, workers):
    """(attempts that failed, jobs by another method) of FORKS jobs."""
    app = start(script="load-app.js", heap_mb=FORK_HEAP_MB,
                more=["--workers", workers])
    site = site_of(run, {"load": app})
    try:
        with Load(app) as load:
            own_ms = calm_stall_ms(app)
            before, rss = settled(app.pid), status_bytes(app.pid, "VmRSS")
            began = time.monotonic()
            jobs, stalls_ms = [], []
            for _ in range(FORKS):
                app.stall_ms()
                jobs.append(site.wait_job("load", order(
                    site, "load", "auto"), 300))
                stalls_ms.append(app.stall_ms())
            took_s = (time.monotonic() - began) / FORKS
            until(lambda: not site.captures(), 20, "captures are over")
            equal(settled(app.pid), before, "what the app holds")
            grown = status_bytes(app.pid, "VmRSS") - rss
        nothing_left(site, app)
        states = {job["state"] for job in jobs}
        failed = [attempt for job in jobs for attempt in job["attempts"]
                  if attempt["outcome"] == "failed"]
        others = [job for job in jobs if job["method"] != "fork"]
        freezes = [job["freezeMs"] for job in jobs if job not in others]
        print(f"{name}: {took_s:.1f} s each; frozen by the addon "
              f"{statistics.median(freezes)} ms, at most {max(freezes)}; "
              f"longest stall {statistics.median(stalls_ms):.0f} ms, at most "
              f"{max(stalls_ms)}, by itself {own_ms}; {load.answers} answers, "
              f"the last after {load.longest_ms:.0f} ms; memory "
              f"{grown / MIB:+.0f} MiB; {len(failed)} attempts failed, "
              f"{len(others)} by another method", flush=True)
        for attempt in failed:
            print(f"    {attempt['method']}: {attempt['reason']}")
        load.check()
        equal(states, {"succeeded"}, "states")
        own = [s for s, job in zip(stalls_ms, jobs) if job not in others]
        check(max(own) < own_ms + FORK_STALL_MAX_MS,
              f"{name}: a stall of {max(own)} ms, {own_ms} by itself")
        check(grown <= FORK_GROWN_MAX, f"{name}: the app's memory has grown "
              f"by {grown / MIB:.0f} MiB")
        good, line = check_artifact(run, site.papi(
            "load", f"jobs/{jobs[-1]['id']}/artifact").body, "heapsnapshot")
        check(good, line)
        equal(app.process.stop(), 7, "exit status")
        return len(others)
    finally:
        app.close()
        site.close()


def fork(run):
    """50 snapshots by fork in a row, under load, on each Node; and again with
    two worker threads that allocate without pause."""
    faults = []
    if run.debian is None:
        print("without Debian's own nodejs: its packages cannot be had here")
    for workers in (0, 2):
        print(f"4 clients without think time, {workers} worker threads:")
        fallbacks = count = 0
        for name, start in fork_apps(run).items():
            try:
                fallbacks += many_forks(run, name, start, workers)
                count += FORKS
            except Failed as error:
                faults.append(str(error))
                print(f"{name}: {error}", flush=True)
        print(f"{fallbacks} of {count} by another method; "
              f"{int(count * FALLBACKS_MAX_SHARE)} are allowed")
        if fallbacks > count * FALLBACKS_MAX_SHARE:
            faults.append(f"{fallbacks} of {count} were not forked")
    check(not faults, "\n".join(faults))


# Of the time that an app has in each period under a quota, it should lose no
# more to a copy than so much of the time that passes.
THROTTLED_MAX_SHARE = 0.05
QUOTA_S = 10


def throttled_share(group, wait):
    """How much of the time that wait() takes the group was throttled for."""
    before, began = group.throttled_s(), time.monotonic()
    wait()
    return (group.throttled_s() - before) / (time.monotonic() - began)


def under_quota(run, cores, clients):
    """What a copy costs an app that may use so many cores."""
    group = ControlGroup("cpu")
    app = App(run, script="load-app.js", heap_mb=FORK_HEAP_MB,
              prefix=group.prefix())
    group.limit_cpu(cores)
    site = site_of(run, {"load": app})
    try:
        with Load(app, clients) if clients else contextlib.nullcontext():
            app.stall_ms()
            calm = throttled_share(group, lambda: time.sleep(QUOTA_S))
            calm_ms = app.stall_ms()
            job_id = order(site, "load")
            until(lambda: copies(app), 60, "the copy is there", 0.001)
            app.stall_ms()
            began = time.monotonic()
            busy = throttled_share(group, lambda: until(
                lambda: not copies(app), 600, "the copy has ended"))
            took_s = time.monotonic() - began
            busy_ms = app.stall_ms()
        job = site.wait_job("load", job_id, 60)
        equal((job["state"], outcomes(job)),
              ("succeeded", [("fork", "succeeded")]), f"{job['error']}")
        print(f"{cores} CPU, {clients} clients: throttled for {calm:.3f} of "
              f"the time by itself, longest stall {calm_ms} ms; beside the "
              f"copy, which took {took_s:.1f} s, {busy:.3f} and {busy_ms} ms")
        check(busy <= calm + THROTTLED_MAX_SHARE,
              f"{cores} CPU: throttled for {busy:.3f} of the time, "
              f"{calm:.3f} by itself")
    finally:
        app.close()
        site.close()
        group.close()


def quota(run):
    """What a copy costs an app under a quota of one CPU, and of half a CPU."""
    for cores in (1, 0.5):
        for clients in (0, 1, 4):
            under_quota(run, cores, clients)


FREEZE_S = 20
# Apps whose snapshots by method stream take longer and longer.
FREEZING_HEAPS_MB = (60, 130, 195, 350, 700)


def shielded(run, heap_mb):
    """An app, and podprof that shields it."""
    app = App(run, heap_mb=heap_mb, args=["--max-old-space-size=8000"])
    site = Site(run, "nginx", fakes=0, exchange=run.exchange_dir(),
                apps={"sample": app.address},
                conf={"app sample": {"health_url": app.url, "drain": "2s"}})
    return app, site.start()


def ask_app(app):
    """What a kubelet asks the app itself."""
    def ask(timeout):
        app.get("/", timeout=timeout)
        return 200
    return ask


def begin_freeze(site, app):
    reply = site.post_job("sample", "heap-snapshot", method="stream")
    job_id = reply.expect(202).json()["id"]
    until(lambda: site.job("sample", job_id)["phase"] == "writing", 600,
          "the app is frozen", 0.1)
    return job_id


def freeze_through(run, heap_mb):
    """A freeze from its beginning to its end; how long it was, in seconds."""
    app, site = shielded(run, heap_mb)
    try:
        with Kubelet(probe_of(site, "sample")) as through, \
                Kubelet(ask_app(app)) as past:
            job_id = begin_freeze(site, app)
            job = site.wait_job("sample", job_id, 900)
            time.sleep(3)
        equal(job["state"], "succeeded", f"{job['error']}")
        frozen_s = job["freezeMs"] / 1000
        print(f"frozen for {frozen_s:.1f} s with a heap of {heap_mb} MB; "
              f"through the shield {len(through.bad())} of "
              f"{len(through.replies)} probes failed, {through.restarts} "
              f"restarts; past it {len(past.bad())} of {len(past.replies)}, "
              f"{past.restarts} restarts")
        equal(through.restarts, 0, "restarts through the shield")
        check(frozen_s < FREEZE_S or past.restarts > 0,
              "past the shield nothing failed: the freeze proves nothing")
        return frozen_s
    finally:
        app.close()
        site.close()


def die_frozen(run, heap_mb):
    """An app that is killed while it is frozen."""
    app, site = shielded(run, heap_mb)
    try:
        with Kubelet(probe_of(site, "sample")) as kubelet:
            begin_freeze(site, app)
            time.sleep(3)
            equal(kubelet.bad(), [], "probes that failed before")
            os.kill(app.pid, 9)
            died = time.monotonic()
            until(kubelet.bad, 10, "the shield says so")
        at, status = kubelet.bad()[0]
        print(f"killed in the middle: {status} after {at - died:.1f} s, with "
              "a probe each second")
        equal(status, 503, "status")
        check(at - died < 5, f"it took {at - died:.1f} s")
    finally:
        app.close()
        site.close()


def shield(run):
    """Probes of an app that is frozen for 20 s: none leads to a restart; and of
    one that dies meanwhile: it is told within 5 s."""
    for heap_mb in FREEZING_HEAPS_MB:
        if freeze_through(run, heap_mb) >= FREEZE_S:
            break
    else:
        raise Failed(f"no app was frozen for {FREEZE_S} s")
    die_frozen(run, heap_mb)


# Requests good, bad and hostile; and what SQLite's page caches take meanwhile,
# and malloc keeps.
HOSTILE = 100_000
HOSTILE_GROWN_MAX = 2 * MIB


def hostile(run):
    """100,000 requests, good, bad and hostile, through nginx."""
    site = hostile_site(run, podprof={"log_level": "warn"})
    try:
        site.start()
        print(f"seed {SEED} (PODPROF_TEST_SEED)")
        print(assault(site, site.fakes[0], HOSTILE, SEED, HOSTILE_GROWN_MAX))
    finally:
        site.close()


MEASUREMENTS = {function.__name__: function for function in (
    activations,
    memory, freeze, waiting, slow, rows, retention, kill, abort, resume,
    getcpuprofile60, browser, fork, nodes, quota, shield, container, debian,
    hostile, workers)}


def describe_machine(run):
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    names = ", ".join(sorted(run.nodes))
    print(f"{os.cpu_count()} cores, {total / (1 << 30):.1f} GiB, "
          f"{platform.system()} {platform.release()}, "
          f"load {os.getloadavg()[0]:.1f}; Node {names}, {run.node.name} used")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--builddir", required=True)
    parser.add_argument("--npm", required=True)
    parser.add_argument("--node", action="append", required=True)
    parser.add_argument("--debian", metavar="DIR",
                        help="where Debian's own nodejs is unpacked")
    parser.add_argument("--musl", metavar="DIR",
                        help="where a Node for musl and its libraries are")
    parser.add_argument("--malloc", metavar="FILE", action="append",
                        default=[], help="a library with another malloc")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    for name in options.names:
        if name not in MEASUREMENTS:
            parser.error(f"{name}: there are {', '.join(MEASUREMENTS)}")
    if os.geteuid() != 0:
        sys.exit("soak.py: run it as root: it needs several users")

    run = Run(options.builddir, options.npm,
              dict(node.split("=", 1) for node in options.node))
    run.debian = run.dir / "debian" if options.debian else None
    if run.debian is not None:
        # As Run.install() does, for other users to reach it.
        shutil.copytree(options.debian, run.debian, symlinks=True)
    run.musl = run.dir / "musl" if options.musl else None
    if run.musl is not None:
        shutil.copytree(options.musl, run.musl, symlinks=True)
    run.mallocs = [pathlib.Path(shutil.copy(path, run.dir))
                   for path in options.malloc]
    failed = 0
    try:
        describe_machine(run)
        for name in options.names or MEASUREMENTS:
            print(f"\n{name}: {MEASUREMENTS[name].__doc__}", flush=True)
            try:
                MEASUREMENTS[name](run)
            except Failed as error:
                failed += 1
                print(f"FAILED: {error}", flush=True)
    finally:
        run.close(failed > 0)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
