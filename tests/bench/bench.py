#!/usr/bin/env python3
"""podprof beside its peers, in turn, on one machine; started by tests/soak.

    bench.py --builddir DIR --npm DIR --node NAME=FILE… --out DIR
             [--quick] [--heaps MBxTIMES,…] [PART]…

Writes to --out, after each part:

    results.json  every single measurement, as it was
    report.md     medians, ratios, and what was met (report.py)
    freeze.svg    how long the app stands still (draw.py)

The exit status tells whether everything could be measured, not whether it was
fast.
"""
import argparse
import json
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import downloads  # noqa: E402
import draw  # noqa: E402
import measure  # noqa: E402
import pool  # noqa: E402
import profiles  # noqa: E402
import report  # noqa: E402
import snapshots  # noqa: E402
import summary  # noqa: E402
import web  # noqa: E402
from harness import Run  # noqa: E402

PARTS = {
    "snapshots": snapshots.measure,
    "profile": profiles.measure,
    "summary": summary.measure,
    "queries": web.measure_queries,
    "waiting": web.measure_waiting,
    "take": web.measure_take,
    "rows": web.measure_rows,
    "download": downloads.measure,
    "pool": pool.measure}

# heaps: {size in MB of the sample app: how often}; summary_mb: one whose file
# has some 250 MB; *_s: seconds; *_rounds: how often each way has its turn;
# *_jobs: rows in the database.
WHOLE = {
    "heaps": {50: 5, 250: 3, 1000: 1}, "profile_s": 5, "profile_rounds": 5,
    "summary_mb": 150, "summary_rounds": 3,
    "query_s": 5, "query_rounds": 5, "waiting_s": 5, "waiting_rounds": 3,
    "take_jobs": [100, 10000], "take_rounds": 200, "rows_jobs": [100, 100000],
    "rows_rounds": 4, "download_mb": 500, "download_rounds": 5,
    "pool_requests": 100000, "pool_mb": 200}
QUICK = {
    **WHOLE, "heaps": {50: 1}, "profile_s": 2, "profile_rounds": 2,
    "summary_mb": 30, "summary_rounds": 2,
    "query_s": 1, "query_rounds": 2, "waiting_s": 1, "waiting_rounds": 1,
    "take_rounds": 20, "rows_jobs": [100, 10000], "rows_rounds": 1,
    "download_mb": 100, "download_rounds": 2, "pool_requests": 10000,
    "pool_mb": 60}


def heaps(text):
    """{250: 3} of "250x3"."""
    found = {}
    for word in text.split(","):
        size, _, times = word.partition("x")
        if not (size.isdigit() and times.isdigit() and
                1 <= int(size) <= 4000 and 1 <= int(times) <= 100):
            raise argparse.ArgumentTypeError(
                f"{word}: wants MBxTIMES, 1 to 4000 MB, 1 to 100 times")
        found[int(size)] = int(times)
    return found


def read_options():
    parser = argparse.ArgumentParser(
        prog="tests/soak bench", usage="%(prog)s [--quick] [--heaps "
        "MBxTIMES,...] [PART]...", epilog="PART: " + ", ".join(PARTS))
    for name in ("--builddir", "--npm", "--out"):
        parser.add_argument(name, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--node", action="append", required=True,
                        help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true",
                        help="small and few: to see that all of it works")
    parser.add_argument("--heaps", type=heaps, metavar="MBxTIMES,...",
                        help="heaps, and how often each (50x5,250x3,1000x1)")
    parser.add_argument("parts", nargs="*", metavar="PART")
    options = parser.parse_args()
    for name in options.parts:
        if name not in PARTS:
            parser.error(f"{name}: there are {', '.join(PARTS)}")
    return options


def write(out, results):
    out.mkdir(parents=True, exist_ok=True)
    # Through JSON, as whoever reads the file later.
    text = json.dumps(results, indent=1) + "\n"
    results = json.loads(text)
    (out / "results.json").write_text(text)
    (out / "report.md").write_text(report.report(results))
    picture = draw.picture(results)
    if picture is not None:
        (out / "freeze.svg").write_text(picture)


def run_part(bench, name):
    part = {"load": list(os.getloadavg()), "rows": []}
    began = time.monotonic()
    print(f"\n{name}: {' '.join(PARTS[name].__doc__.split())}", flush=True)
    try:
        PARTS[name](bench, part["rows"])
    except measure.MISHAPS as error:
        part["fault"] = f"{type(error).__name__}: {error}"
        bench.say(f"FAILED: {part['fault']}")
    part["seconds"] = round(time.monotonic() - began)
    part["loadAfter"] = list(os.getloadavg())
    return part


def main():
    options = read_options()
    if os.geteuid() != 0:
        sys.exit("bench.py: run it as root: it needs several users")
    plan = dict(QUICK if options.quick else WHOLE)
    if options.heaps:
        plan["heaps"] = options.heaps
    out = pathlib.Path(options.out)
    # So that what has been started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench.py: terminated"))
    run = Run(options.builddir, options.npm,
              dict(node.split("=", 1) for node in options.node))
    began = time.monotonic()
    results = {"began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
               "machine": measure.machine(run), "quick": options.quick,
               "plan": plan, "parts": {}}
    print(report.machine_line(results["machine"]))
    try:
        bench = measure.Bench(run, plan)
        for name in options.parts or PARTS:
            results["parts"][name] = run_part(bench, name)
            results["seconds"] = round(time.monotonic() - began)
            write(out, results)
    finally:
        run.close(False)
    print(f"\n{results['seconds']} s in all; {out}/report.md:\n")
    print(report.targets(results))
    sys.exit(1 if report.faults(results) else 0)


if __name__ == "__main__":
    main()
