#!/usr/bin/env python3
"""Medians, ratios, and what was met, as Markdown.

    report.py results.json >report.md
"""
import json
import statistics
import sys

MB = 1000 * 1000
MIB = 1 << 20
# Flat: no more than this above.
FLAT_BYTES = MIB
IDLE_MAX_BYTES = 12 * MIB
CAPTURE_MAX_BYTES = 16 * MIB
SUMMARY_MAX_BYTES = 64 * MIB
WAYS = {
    "in-process": "in-process inspector.Session, write stream",
    "remote": "chrome-remote-interface",
    "v8": "v8.writeHeapSnapshot in the app",
    "fork": "podprof, fork", "direct": "podprof, direct",
    "stream": "podprof, stream"}
METHODS = ("fork", "direct", "stream")


def rows(results, part, **wanted):
    """Those of a part that could be measured."""
    return [row for row in results["parts"].get(part, {}).get("rows", [])
            if "fault" not in row and
            all(row.get(key) == value for key, value in wanted.items())]


def values(found, key):
    """The numbers of that name; or what key, a function, makes of each row."""
    get = key if callable(key) else lambda row: row.get(key)
    return [value for value in map(get, found) if value is not None]


def median(found, key):
    known = values(found, key)
    return statistics.median(known) if known else None


def largest(found, key):
    return max(values(found, key), default=None)


def percentile(known, share):
    ordered = sorted(known)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def ratio(value, base):
    return None if value is None or not base else value / base


def spread(found, key, scale=1, digits=0):
    """Median (smallest to largest)."""
    known = [value / scale for value in values(found, key)]
    if not known:
        return "-"
    middle = f"{statistics.median(known):.{digits}f}"
    if len(known) == 1:
        return middle
    return f"{middle} ({min(known):.{digits}f}-{max(known):.{digits}f})"


def share(value):
    if value is None:
        return "-"
    if 0 < value < 0.1:
        return f"1/{1 / value:.0f}"
    return f"{value:.2f}"


def table(head, lines):
    if not lines:
        return ""
    text = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in text)


def left(row):
    return row["afterBytes"] - row["beforeBytes"]


def grown(row):
    return row["peakBytes"] - row["beforeBytes"]


def above_own(row):
    return row["freezeMs"] - row["ownStallMs"]


def told_ms(row):
    return row.get("job", {}).get("freezeMs")


def heap_sizes(results):
    return sorted({row["heapMb"] for row in rows(results, "snapshots")})


def snapshots(results):
    text = ""
    for heap_mb in heap_sizes(results):
        of = {way: rows(results, "snapshots", heapMb=heap_mb, way=way)
              for way in WAYS}
        lines = []
        for way, title in WAYS.items():
            found = of[way]
            if not found:
                continue
            lines.append([
                title, len(found), spread(found, "freezeMs"),
                spread(found, "ownStallMs"), spread(found, told_ms),
                share(ratio(median(found, "freezeMs"),
                            median(of["in-process"], "freezeMs"))),
                spread(found, "wallS", digits=1),
                share(ratio(median(found, "wallS"),
                            median(of["in-process"], "wallS"))),
                spread(found, grown, MB), spread(found, left, MB),
                spread(found, "childBytes", MB),
                spread(found, "captureAnonBytes", MIB, 1),
                spread(found, "captureCpuS", digits=1),
                spread(found, "storedBytes", MB),
                share(ratio(median(found, "storedBytes"),
                            median(of["in-process"], "storedBytes")))])
        every = [row for found in of.values() for row in found]
        text += f"""
### Heap snapshots, {heap_mb} MB of small objects

{spread(every, lambda row: row["nodes"] / 1e6, digits=2)} million nodes; \
{spread(every, lambda row: row["beforeBytes"] / MB)} MB of memory before.

""" + table(
            ["way", "times", "app frozen ms", "by itself ms",
             "the job says ms", "of the first", "wall s",
             "of the first", "app's memory above before: peak MB", "after MB",
             "its forked child MB", "capturing process MiB", "CPU s",
             "stored MB", "of the first"], lines)
    return text


def profile(results):
    of = {way: rows(results, "profile", way=way)
          for way in ("in-process", "podprof")}
    lines = [[way, len(found), spread(found, "stopToFileMs"),
              spread(found, "stallMs"), spread(found, "ownStallMs"),
              spread(found, "captureAnonBytes", MIB, 1),
              spread(found, "storedBytes", MB, 2)]
             for way, found in of.items() if found]
    if not lines:
        return ""
    return (f"\n### CPU profile, {results['plan']['profile_s']} s at 100 us"
            "\n\n" + table(["way", "times", "stop to complete file ms",
                            "app stalled ms", "its own stall ms",
                            "capturing process MiB", "stored MB"], lines))


def summary(results):
    titles = {"podprof": "podprof, GET summary",
              "reader": "heapsnapshot-parser, in Node"}
    of = {way: rows(results, "summary", way=way) for way in titles}
    lines = [[titles[way], len(found), spread(found, "wallS", digits=1),
              share(ratio(median(found, "wallS"),
                          median(of["reader"], "wallS"))),
              spread(found, "cpuS", digits=1),
              spread(found, "peakBytes", MIB, 1)]
             for way, found in of.items() if found]
    if not lines:
        return ""
    row = rows(results, "summary")[0]
    return f"""
### Summary of a heap snapshot of {row["bytes"] / MB:.0f} MB

{row["nodes"] / 1e6:.2f} million nodes of {row["classes"]} classes, on which \
both agree.  podprof reads the file as it is stored, with zstd, and checks its \
digest.

""" + table(["", "times", "wall s", "of the reader's", "CPU s", "peak MiB"],
            lines)


def queries(results):
    titles = {"hello": "libfcgi, hello", "podprof": "podprof, status of a job"}
    lines = [[title, spread(found, "perSecond"), spread(found, "medianUs"),
              spread(found, "p99Us"), spread(found, "cpuUs")]
             for way, title in titles.items()
             for found in [rows(results, "queries", way=way)] if found]
    return lines and "\n### Queries through nginx\n\n" + table(
        ["", "per second", "median us", "p99 us",
         "CPU us of the FastCGI process"], lines) or ""


def waiting(results):
    lines = [[count, spread(found, "medianUs"), spread(found, "p99Us"),
              spread(found, "maxUs")]
             for count in sorted({row["waiting"] for row in rows(
                 results, "waiting")})
             for found in [rows(results, "waiting", waiting=count)]]
    return lines and "\n### Status beside requests that wait\n\n" + table(
        ["waiting", "median us", "p99 us", "longest us"], lines) or ""


def take(results):
    lines = []
    for count in sorted({row["jobs"] for row in rows(results, "take")}):
        took = values(rows(results, "take", jobs=count), "answerMs")
        lines.append([count, len(took), f"{statistics.median(took):.1f}",
                      f"{percentile(took, 0.99):.1f}", f"{max(took):.1f}"])
    return lines and "\n### Answer to takeMemorySnapshot\n\n" + table(
        ["jobs in the database", "times", "median ms", "p99 ms",
         "longest ms"], lines) or ""


def query_names(results):
    return list(dict.fromkeys(row["query"] for row in rows(results, "rows")))


def rows_ratio(results, query):
    counts = sorted(results["plan"]["rows_jobs"])
    few, many = (median(rows(results, "rows", query=query, jobs=count),
                        "medianMs") for count in (counts[0], counts[-1]))
    return ratio(many, few)


def many_rows(results):
    counts = sorted(results["plan"]["rows_jobs"])
    lines = [[query, *(spread(rows(results, "rows", query=query, jobs=count),
                              "medianMs", digits=2) for count in counts),
              share(rows_ratio(results, query))]
             for query in query_names(results)]
    return lines and "\n### Many jobs in the database, from the pool\n\n" + \
        table(["", *(f"{count} jobs, ms" for count in counts), "ratio"],
              lines) or ""


def download(results):
    static = median(rows(results, "download", way="static"), "mbPerS")
    titles = {"static": "nginx, a static file",
              "sendfile": "podprof, left to nginx (X-Accel-Redirect)",
              "streamed": "podprof, streamed as stored",
              "unpacked": "podprof, streamed and unpacked from zstd"}
    lines = [[title, spread(found, "mbPerS"),
              share(ratio(median(found, "mbPerS"), static))]
             for way, title in titles.items()
             for found in [rows(results, "download", way=way)] if found]
    return lines and (
        f"\n### Download of {results['plan']['download_mb']} MiB through "
        "nginx\n\n" + table(["", "MB/s", "of the first"], lines)) or ""


def pool(results):
    lines = []
    for row in rows(results, "pool"):
        what = row["what"]
        if "requests" in row:
            what = f"after {row['requests']} requests"
        elif "count" in row:
            what = f"{row['count']} {what}"
        each = f"{row['eachBytes'] / 1024:.1f}" if "eachBytes" in row else ""
        lines.append([what, f"{row['anonBytes'] / MIB:.2f}", each])
    return lines and "\n### Memory of the pool (RssAnon)\n\n" + table(
        ["", "MiB", "KiB each"], lines) or ""


class Verdict:
    """One target, and what was measured of it.

    found  [(label, value or None)]: each has to be within the limit
    show   makes text of a value
    """

    def __init__(self, what, limit, found, show=share, least=False):
        self.what = what
        self.limit = limit
        self.least = least
        self.show = show
        self.found = found

    def is_met(self):
        return all(value >= self.limit if self.least else value <= self.limit
                   for _, value in self.found if value is not None)

    def word(self):
        known = [value for _, value in self.found if value is not None]
        if not self.is_met():
            return "**not met**"
        if not known:
            return "not measured"
        return "met" if len(known) == len(self.found) else "met in part"

    def line(self):
        bound = "at least" if self.least else "at most"
        measured = ", ".join(
            f"{'-' if value is None else self.show(value)}"
            f"{label and ' ' + label}" for label, value in self.found)
        return [self.what, f"{bound} {self.show(self.limit)}",
                measured or "-", self.word()]


def ms(value):
    return f"{value:.0f} ms"


def mib(value):
    return f"{value / MIB:.2f} MiB"


def kib(value):
    return f"{value / 1024:.1f} KiB"


def of_in_process(results, way, key):
    """[(heap, ratio of medians)]"""
    return [(f"({heap_mb} MB)", ratio(*(
        median(rows(results, "snapshots", heapMb=heap_mb, way=one), key)
        for one in (way, "in-process"))))
            for heap_mb in heap_sizes(results)]


def of_heaps(results, way, key):
    return [(f"({heap_mb} MB)", median(
        rows(results, "snapshots", heapMb=heap_mb, way=way), key))
            for heap_mb in heap_sizes(results)]


def snapshot_verdicts(results):
    every = [row for way in METHODS
             for row in rows(results, "snapshots", way=way)]
    at_first = median([row for row in every
                       if row["heapMb"] == heap_sizes(results)[0]],
                      "captureAnonBytes")
    all_anon = largest(every, "captureAnonBytes")
    growth = all_anon - at_first if len(heap_sizes(results)) > 1 and \
        None not in (all_anon, at_first) else None
    return [
        Verdict("app frozen by fork, of the in-process session's", 0.01,
                of_in_process(results, "fork", "freezeMs")),
        Verdict("app frozen by fork", 100,
                of_heaps(results, "fork", "freezeMs"), ms),
        Verdict("the same, above the longest by itself in the same time", 100,
                of_heaps(results, "fork", above_own), ms),
        Verdict("app frozen by direct, of the in-process session's", 0.75,
                of_in_process(results, "direct", "freezeMs")),
        Verdict("app frozen by stream, of the in-process session's", 0.92,
                of_in_process(results, "stream", "freezeMs")),
        Verdict("app's memory left behind by fork, of the in-process "
                "session's", 0.02,
                of_in_process(results, "fork", left)),
        *(Verdict(f"wall time of a snapshot by {way}, of the in-process "
                  "session's", 0.9,
                  of_in_process(results, way, "wallS")) for way in METHODS),
        *(Verdict(f"bytes on disk of a snapshot by {way}, of the in-process "
                  "session's", 0.15,
                  of_in_process(results, way, "storedBytes"))
          for way in METHODS),
        Verdict("memory of podprof-capture, any snapshot", CAPTURE_MAX_BYTES,
                [("", all_anon)], mib),
        Verdict("the same, above that of the smallest heap", FLAT_BYTES,
                [("", growth)], mib)]


def profile_verdicts(results):
    def of(key):
        return ratio(*(median(rows(results, "profile", way=way), key)
                       for way in ("podprof", "in-process")))
    return [
        Verdict("CPU profile, stop to complete file, of the in-process "
                "session's", 0.75,
                [("", of("stopToFileMs"))]),
        Verdict("CPU profile, app stalled, of the in-process session's", 0.85,
                [("", of("stallMs"))]),
        Verdict("memory of podprof-capture, a CPU profile",
                CAPTURE_MAX_BYTES, [("", largest(rows(
                    results, "profile", way="podprof"),
                    "captureAnonBytes"))], mib)]


def summary_verdicts(results):
    found = rows(results, "summary", way="podprof")
    base = rows(results, "summary", way="reader")
    return [
        Verdict("summary of a heap snapshot, of heapsnapshot-parser's time", 1,
                [("", ratio(median(found, "wallS"), median(base, "wallS")))]),
        Verdict("memory of podprof-capture, a summary", SUMMARY_MAX_BYTES,
                [("", largest(found, "peakBytes"))], mib)]


def web_verdicts(results):
    def of(part, key, name, one, base):
        return [("", ratio(*(median(rows(results, part, **{name: value}), key)
                             for value in (one, base))))]
    jobs = max(results["plan"]["take_jobs"])
    took = values(rows(results, "take", jobs=jobs), "answerMs")
    many = max(results["plan"]["rows_jobs"])
    crowd = largest(rows(results, "waiting"), "waiting")
    return [
        Verdict("status queries through nginx, of a bare libfcgi hello", 0.85,
                of("queries", "perSecond", "way", "podprof", "hello"),
                least=True),
        Verdict(f"status p99 with {crowd or 200} waiting, of none", 2,
                of("waiting", "p99Us", "waiting", crowd, 0)),
        Verdict(f"takeMemorySnapshot p99 with {jobs} jobs", 20,
                [("", percentile(took, 0.99) if took else None)], ms),
        Verdict(f"lists and status with {many} jobs, of "
                f"{min(results['plan']['rows_jobs'])}", 1.5,
                [(f"({query})", rows_ratio(results, query))
                 for query in query_names(results)]),
        Verdict("download, sendfile, of nginx' static file", 0.95,
                of("download", "mbPerS", "way", "sendfile", "static"),
                least=True),
        Verdict("download, streamed, of nginx' static file", 0.85,
                of("download", "mbPerS", "way", "streamed", "static"),
                least=True)]


def pool_verdicts(results):
    def one(what, key):
        return median(rows(results, "pool", what=what), key)
    idle, after = one("idle", "anonBytes"), one("after requests", "anonBytes")
    warm = one("warm", "anonBytes")
    growth = None if None in (warm, after) else after - warm
    return [
        Verdict("pool's memory, idle", IDLE_MAX_BYTES, [("", idle)], mib),
        Verdict("pool's memory, after "
                f"{results['plan']['pool_requests']} requests",
                IDLE_MAX_BYTES, [("", after)], mib),
        Verdict("the same, above that after the first 1000", FLAT_BYTES,
                [("", growth)], mib),
        Verdict("pool's memory for a request that waits", 64 * 1024,
                [("", one("waiting", "eachBytes"))], kib),
        Verdict("pool's memory for a streamed download", MIB,
                [("", one("downloads", "eachBytes"))], mib)]


def targets(results):
    found = snapshot_verdicts(results) + profile_verdicts(results) + \
        summary_verdicts(results) + web_verdicts(results) + \
        pool_verdicts(results)
    return table(["target", "", "measured", ""],
                 [verdict.line() for verdict in found])


def faults(results):
    """What could not be measured."""
    found = []
    for name, part in results["parts"].items():
        if "fault" in part:
            found.append(f"{name}: {part['fault']}")
        for row in part["rows"]:
            if "fault" in row:
                which = " ".join(str(row[key]) for key in (
                    "way", "heapMb", "round") if key in row)
                found.append(f"{name}, {which}: {row['fault']}")
    return found


def machine_line(machine):
    return (f"{machine['cores']} cores ({machine['cpu']}), "
            f"{machine['memoryBytes'] / (1 << 30):.1f} GiB, "
            f"{machine['kernel']}, {machine['system']}; Node "
            f"{machine['node']}, nginx {machine['nginx']}; load at the start "
            f"{machine['load'][0]:.2f}")


def report(results):
    parts = ", ".join(f"{name} {part['load'][0]:.1f}, {part['seconds']} s"
                      for name, part in results["parts"].items())
    quick = ", a quick run: small and few" if results["quick"] else ""
    text = f"""# podprof beside its peers

{machine_line(results["machine"])}.  Began {results["began"]}, took \
{results["seconds"]} s{quick}.

Each way in turn (A B A B), a new app for each snapshot; the numbers are
medians, smallest and largest in brackets.  "Frozen" and "stalled" are the
longest time that the app's event loop stood still, with what the app itself
did in it; "by itself" is the same without a capture, beside fork for as long
as that took, else for two seconds.

The machine's load as each part began, and how long that took: {parts}.

## Targets

{targets(results)}
## Measured
"""
    for part in (snapshots, profile, summary, queries, waiting, take,
                 many_rows, download, pool):
        text += part(results)
    missing = faults(results)
    if missing:
        text += "\n## Could not be measured\n\n" + "".join(
            f"- {' '.join(line.split())}\n" for line in missing)
    return text


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        sys.stdout.write(report(json.load(file)))
