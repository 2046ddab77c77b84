#!/usr/bin/env python3
"""What is long or measures time; started by tests/soak.

    soak.py --builddir DIR --npm DIR --node NAME=FILE… [NAME]…

Each measurement prints its numbers beside a baseline taken in the same run on
the same machine, and fails if what is promised does not hold.
"""
import argparse
import os
import pathlib
import platform
import statistics
import sys
import threading
import time

from case_load import Prober
from harness import (App, Failed, Run, Site, check, check_artifact, equal,
                     in_parallel)

MIB = 1 << 20
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


def getcpuprofile60(run):
    """getCpuProfile without a parameter, through each web server."""
    app = App(run)
    sites = [Site(run, front, fakes=0, apps={"sample": app.address})
             for front in ("nginx", "lighttpd", "apache-fcgi", "apache-cgid")]
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


MEASUREMENTS = {function.__name__: function for function in (
    memory, freeze, waiting, getcpuprofile60)}


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
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    for name in options.names:
        if name not in MEASUREMENTS:
            parser.error(f"{name}: there are {', '.join(MEASUREMENTS)}")
    if os.geteuid() != 0:
        sys.exit("soak.py: run it as root: it needs several users")

    run = Run(options.builddir, options.npm,
              dict(node.split("=", 1) for node in options.node))
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
