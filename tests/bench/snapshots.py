"""Heap snapshots: how long the app stands still, and what it costs it."""
import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from harness import (APP, App, Failed, Process, Site, check, children, equal,
                     until)
from measure import HERE, MISHAPS, Watch, memory_of, numbers, reset_peak

LIMIT_S = 1800
# An app has filled its heap, and V8 has tidied it up, once its memory changes
# by less than this in CALM_S.
CALM_BYTES = 512 << 10
CALM_S = 2
# What is left behind is looked at so long after the end.
AFTER_S = 1
# Measured: an app with a heap of small objects takes up to ten times as much
# while a snapshot is taken in it.
PEAK_FACTOR = 10
NODE_COUNT = re.compile(rb'"node_count":(\d+)')


def peer_url(app):
    found = re.search(r"peers at (http://\S+)", app.process.text())
    return found and found.group(1)


def ask_peer(app, way, **parameters):
    """The JSON object that peers.js answers with."""
    url = until(lambda: peer_url(app), 20, "the app says where its peers are")
    query = urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(f"{url}/{way}?{query}",
                                    timeout=LIMIT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise Failed(f"{way}: {error.read().decode()}") from None


class Place:
    """One app after the other on one port, podprof beside it, and a directory
    for the files of those who have no store."""

    def __init__(self, bench):
        self.bench = bench
        self.run = bench.run
        self.app_port = bench.run.port()
        self.out = bench.run.subdir("out", APP)
        self.site = Site(
            bench.run, "nginx", fakes=0, exchange=bench.run.exchange_dir(),
            apps={"sample": f"127.0.0.1:{self.app_port}"})

    def start_app(self, heap_mb):
        return App(self.run, heap_mb=heap_mb, port=self.app_port, args=[
            f"--max-old-space-size={2 * heap_mb + 2000}", "--require",
            self.bench.peers])


class Way:
    """One way to a snapshot."""
    # The app goes on meanwhile.
    is_beside = False

    def __init__(self, place):
        self.place = place

    def pids(self):
        """Of the process that captures, if it is not the app."""
        return []

    def take(self, app):
        """Returns the stored file, and what else is to be kept."""
        raise NotImplementedError

    def forget(self):
        """Remove the file."""
        for path in self.place.out.iterdir():
            path.unlink()


class InApp(Way):
    way = None

    def take(self, app):
        path = self.place.out / "a.heapsnapshot"
        ask_peer(app, self.way, file=path)
        return path, {}


class InProcess(InApp):
    way = "in-process-snapshot"


class V8(InApp):
    way = "v8-snapshot"


class Remote(Way):
    process = None

    def pids(self):
        return [self.process.pid] if self.process else []

    def take(self, app):
        path = self.place.out / "a.heapsnapshot"
        host, port = app.address.split(":")
        bench = self.place.bench
        self.process = Process(
            [bench.run.node, HERE / "remote.js", bench.remote_module, host,
             port, path], bench.run.subdir("remote") / "log")
        try:
            status = self.process.popen.wait(LIMIT_S)
        finally:
            self.process.kill()
        equal(status, 0, f"exit status, {self.process.text()}")
        return path, {}

    def forget(self):
        super().forget()
        self.process = None


class Podprof(Way):
    method = None
    job_id = None

    def pids(self):
        return self.place.site.captures()

    def take(self, app):
        site = self.place.site
        reply = site.post_job("sample", "heap-snapshot", method=self.method)
        self.job_id = reply.expect(202).json()["id"]
        job = site.wait_job("sample", self.job_id, LIMIT_S)
        equal(job["state"], "succeeded", f"state, {job['error']}")
        check(job["method"] == self.method, f"taken by {job['method']}")
        return site.stored(self.job_id), {
            "fileBytes": job["artifact"]["size"],
            "job": {key: job.get(key) for key in (
                "freezeMs", "attempts", "memory", "predicted")}}

    def forget(self):
        if self.job_id is not None:
            self.place.site.papi("sample", f"jobs/{self.job_id}", "DELETE")
            self.job_id = None


class Fork(Podprof):
    method = "fork"
    is_beside = True


class Direct(Podprof):
    method = "direct"


class Stream(Podprof):
    method = "stream"


# In the order of the report.
WAYS = {"in-process": InProcess, "remote": Remote, "v8": V8, "fork": Fork,
        "direct": Direct, "stream": Stream}


def count_nodes(path):
    """What the head of a stored snapshot says."""
    if path.suffix == ".zst":
        with subprocess.Popen(["zstd", "-qdc", path], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as tool:
            head = tool.stdout.read(8192)
            tool.kill()
    else:
        with open(path, "rb") as file:
            head = file.read(8192)
    found = NODE_COUNT.search(head)
    check(found, f"{path} does not begin as a snapshot: {head[:100]!r}")
    return int(found.group(1))


def is_calm(pid):
    before = memory_of(pid)["VmRSS"]
    time.sleep(CALM_S)
    return abs(memory_of(pid)["VmRSS"] - before) < CALM_BYTES


def own_stall_ms(app, seconds):
    """The longest of an app that nobody captures."""
    app.stall_ms()
    time.sleep(seconds)
    return app.stall_ms()


def check_memory(heap_mb):
    """Others are not to suffer from the benchmark."""
    needed_mb = PEAK_FACTOR * heap_mb
    there_mb = numbers("/proc/meminfo")["MemAvailable"] // 1000000
    check(there_mb > needed_mb, f"a heap of {heap_mb} MB needs {needed_mb} MB "
          f"of memory, and {there_mb} MB are available; see --heaps")


def take_one(place, way, heap_mb):
    """What one snapshot of a new app costs."""
    check_memory(heap_mb)
    app = place.start_app(heap_mb)
    pid = app.pid
    try:
        until(lambda: is_calm(pid), 60, "the app's memory stays as it is")
        own_ms = own_stall_ms(app, CALM_S)
        reset_peak(pid)
        before = memory_of(pid)["VmRSS"]
        with Watch(way.pids, pid) as watch:
            began = time.monotonic()
            path, more = way.take(app)
            wall_s = time.monotonic() - began
        peak = memory_of(pid)["VmHWM"]
        freeze_ms = app.stall_ms()
        time.sleep(AFTER_S)
        after = memory_of(pid)["VmRSS"]
        until(lambda: not children(pid), 20, "the app has no child")
        if way.is_beside:
            # The machine's other work makes a longer time worse.
            own_ms = own_stall_ms(app, wall_s)
        stored = path.stat().st_size
        return {"freezeMs": freeze_ms, "ownStallMs": own_ms,
                "wallS": wall_s, "beforeBytes": before, "peakBytes": peak,
                "afterBytes": after, "storedBytes": stored,
                "fileBytes": stored, "nodes": count_nodes(path),
                **watch.found(), **more}
    finally:
        way.forget()
        app.close()


def measure(bench, rows):
    """Heap snapshots, each way in turn, a new app for each."""
    place = Place(bench)
    try:
        place.site.start()
        ways = {name: made(place) for name, made in WAYS.items()}
        for heap_mb, rounds in bench.plan["heaps"].items():
            for number in range(1, rounds + 1):
                for name, way in ways.items():
                    row = {"heapMb": heap_mb, "round": number, "way": name}
                    try:
                        row.update(take_one(place, way, heap_mb))
                        bench.say(f"{heap_mb} MB, {name}: frozen "
                                  f"{row['freezeMs']} ms of "
                                  f"{row['wallS']:.1f} s")
                    except MISHAPS as error:
                        row["fault"] = str(error)
                        bench.say(f"{heap_mb} MB, {name}: {error}")
                    rows.append(row)
    finally:
        place.site.close()
