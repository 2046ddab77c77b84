"""The summary of a heap snapshot, beside a reader of heap snapshots that has
nothing to do with podprof: the npm package heapsnapshot-parser."""
import contextlib
import json
import os
import subprocess
import time

from case_summary import check_summary, summarizer
from harness import TOP, App, Site, check
from measure import MIB, cpu_seconds, numbers
from snapshots import check_memory
from soak import Sampler

# The reader has all of the text, and an object for each node.
READER_HEAP_MB = 12000


class Maker:
    """podprof-capture --summarize, as soon as it is there and to its end."""

    def __init__(self, site):
        self.site = site
        self.pid = None
        self.cpu_s = None
        self.peak_bytes = 0

    def look(self):
        if self.pid is None:
            self.pid = summarizer(self.site)
        if self.pid is not None:
            self.peak_bytes = max(self.peak_bytes, numbers(
                f"/proc/{self.pid}/status").get("VmHWM", 0))
            self.cpu_s = cpu_seconds(self.pid) or self.cpu_s
        return []


def summarize(site, job):
    """(row, summary) of one that nobody has asked for yet."""
    site.sql("PRAGMA foreign_keys = ON; DELETE FROM summaries;")
    maker = Maker(site)
    with Sampler(maker.look):
        began = time.monotonic()
        while True:
            reply = site.papi("sample", f"jobs/{job['id']}/summary",
                              timeout=120)
            if reply.status != 503:
                break
        wall_s = time.monotonic() - began
    return {"wallS": wall_s, "cpuS": maker.cpu_s,
            "peakBytes": maker.peak_bytes}, reply.expect(200).json()


def read(run, path):
    """(row, what the reader found)."""
    package = run.npm / "reader/node_modules/heapsnapshot-parser"
    output = run.dir / "reader.json"
    began = time.monotonic()
    with open(output, "wb") as out, subprocess.Popen(
            [run.newest(), f"--max-old-space-size={READER_HEAP_MB}",
             TOP / "tests/e2e/read-snapshot.js", package, path],
            stdin=subprocess.DEVNULL, stdout=out) as reader:
        _, status, usage = os.wait4(reader.pid, 0)
        wall_s = time.monotonic() - began
        reader.returncode = os.waitstatus_to_exitcode(status)
    check(reader.returncode == 0, f"the reader ended with {status}")
    return {"wallS": wall_s, "cpuS": usage.ru_utime + usage.ru_stime,
            "peakBytes": usage.ru_maxrss * 1024}, json.loads(
                output.read_bytes())


def measure(bench, rows):
    """Classes of a heap snapshot, from asking to the answer."""
    run, heap_mb = bench.run, bench.plan["summary_mb"]
    check_memory(heap_mb)
    app = App(run, heap_mb=heap_mb,
              args=[f"--max-old-space-size={2 * heap_mb + 2000}"])
    site = Site(run, "nginx", fakes=0, exchange=run.exchange_dir(),
                apps={"sample": app.address})
    path = run.dir / "large.heapsnapshot"
    try:
        site.start()
        job = site.take_whole("sample")
        path.write_bytes(site.papi("sample", f"jobs/{job['id']}/artifact",
                                   timeout=600).expect(200).body)
        for number in range(bench.plan["summary_rounds"]):
            own, summary = summarize(site, job)
            other, found = read(run, path)
            check_summary(summary, found)
            for way, row in (("podprof", own), ("reader", other)):
                rows.append({"way": way, "round": number, "bytes":
                             job["artifact"]["size"], "nodes":
                             summary["nodes"], "classes":
                             len(summary["classes"]), **row})
                bench.say(f"{way}: {row['wallS']:.1f} s, at most "
                          f"{row['peakBytes'] / MIB:.0f} MiB")
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        site.close()
        app.close()
