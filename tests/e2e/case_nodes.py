"""Forked copies of apps as they are met: started with options of Node's own,
with much going on in other threads, with another malloc, another C library,
another vendor's Node."""
import itertools
import shutil
import time

from case_fork import nothing_left, order, site_of, whole_by
from harness import (APP, EXCHANGE, TOP, App, Failed, as_user, busy, check,
                     equal)
from stress import Load, vitals

# How an app may have been started: Node's options, and its environment.
OPTIONS = {
    "--jitless": {"args": ["--jitless"]},
    "--single-threaded": {"args": ["--single-threaded"]},
    "--max-old-space-size": {"args": ["--max-old-space-size=64",
                                      "--max-semi-space-size=1"]},
    "--cpu-prof": {"args": ["--cpu-prof", "--heap-prof"]},
    "--zero-fill-buffers": {"args": ["--zero-fill-buffers", "--expose-gc",
                                     "--trace-gc"]},
    "NODE_OPTIONS": {"env": {"NODE_OPTIONS": "--openssl-legacy-provider "
                                             "--enable-source-maps"}},
    "io_uring": {"env": {"UV_USE_IO_URING": "1"}, "more": ["pool"]},
}
THINGS = ("descriptors", "pool", "waiting", "workers", "webassembly", "fetch",
          "observed", "finalizers", "buffers")
# Snapshots of each kind of app in tests/soak, and how many of all of them may
# need another method.
IN_A_ROW = 20
FALLBACKS_MAX_SHARE = 0.01


def busy_app(run, node=None, **settings):
    if not (run.dir / "busy-app.js").exists():
        shutil.copy(TOP / "tests/e2e/busy-app.js", run.dir)
    return App(run, node, script="busy-app.js", **settings)


def optional_app(run, number, option):
    return busy_app(run, run.nodes[number],
                    **{"more": ["finalizers"], **OPTIONS[option]})


def taken_from(run, apps):
    """A snapshot by fork of each of these; each is closed, and ends as it
    should."""
    try:
        site = site_of(run, apps)
        try:
            for name, app in apps.items():
                whole_by(site, name, within=180)
                nothing_left(site, app)
        finally:
            site.close()
        for name, app in apps.items():
            equal(app.process.stop(), 7, f"exit status of {name}")
    finally:
        for app in apps.values():
            app.close()


@busy("fork: apps that were started with options of Node's own")
def _(run):
    # One at a time: they work without pause.
    for number, option in zip(itertools.cycle(sorted(run.nodes)), OPTIONS):
        taken_from(run, {option.strip("-").lower().replace("_", "-"):
                         optional_app(run, number, option)})


@busy("fork: apps with 15,000 descriptors, busy and waiting threads, compilers "
      "and profilers at work, on each Node")
def _(run):
    for node in sorted(run.nodes):
        taken_from(run, {"busy": busy_app(run, run.nodes[node])})


# tests/soak nodes

def preloaded(path):
    """Starts an app with another malloc; only Node itself gets it."""
    return [*as_user(APP, [EXCHANGE]), "env", f"LD_PRELOAD={path}"]


def musl_app(run, **settings):
    """An app under a Node that was made for musl."""
    prefix = [*as_user(APP, [EXCHANGE]), "env",
              f"LD_LIBRARY_PATH={run.musl / 'lib'}"]
    return busy_app(run, run.musl / "node", prefix=prefix, **settings)


def ways(run):
    """(name, what starts the app) of every kind of app."""
    numbers = sorted(run.nodes)
    for number, thing in itertools.product(numbers, THINGS):
        yield (f"Node {number}, {thing}",
               lambda n=number, t=thing: busy_app(run, run.nodes[n],
                                                  more=[t]))
    for number, malloc in itertools.product(numbers, run.mallocs):
        yield (f"Node {number}, {malloc.name}",
               lambda n=number, m=malloc: busy_app(
                   run, run.nodes[n], prefix=preloaded(m),
                   more=["workers", "pool"]))
    # Each option with one Node is enough.
    for number, option in zip(itertools.cycle(numbers), OPTIONS):
        yield (f"Node {number}, {option}",
               lambda n=number, o=option: optional_app(run, n, o))
    for thing in THINGS if run.musl is not None else ():
        yield (f"musl, {thing}", lambda t=thing: musl_app(run, more=[t]))


def in_a_row(run, name, start):
    """How many of IN_A_ROW snapshots needed another method."""
    app = start()
    site = site_of(run, {"busy": app})
    try:
        with Load(app, 2) as load:
            descriptors = len(vitals(app.pid)["descriptors"])
            began = time.monotonic()
            jobs = [site.wait_job("busy", order(site, "busy", "auto"), 300)
                    for _ in range(IN_A_ROW)]
            took_s = (time.monotonic() - began) / IN_A_ROW
        load.check()
        nothing_left(site, app)
        equal({job["state"] for job in jobs}, {"succeeded"}, "states")
        failed = [attempt["reason"] for job in jobs
                  for attempt in job["attempts"]
                  if attempt["outcome"] == "failed"]
        others = [job for job in jobs if job["method"] != "fork"]
        print(f"{name}: {took_s:.1f} s each, {len(failed)} attempts failed, "
              f"{len(others)} by another method {failed[:2] or ''}",
              flush=True)
        check(len(vitals(app.pid)["descriptors"]) <= descriptors + 1,
              f"{name}: descriptors are left")
        equal(app.process.stop(), 7, f"{name}: exit status")
        return len(others)
    finally:
        site.close()
        app.close()


def nodes(run):
    """20 snapshots by fork in a row of apps of every kind."""
    fallbacks = count = 0
    faults = []
    if run.musl is None:
        print("without a Node for musl: its packages cannot be had here")
    for name, start in ways(run):
        try:
            fallbacks += in_a_row(run, name, start)
            count += IN_A_ROW
        except Failed as error:
            faults.append(f"{name}: {error}")
            print(f"{name}: {error}", flush=True)
    print(f"{fallbacks} of {count} by another method; "
          f"{int(count * FALLBACKS_MAX_SHARE)} are allowed")
    check(fallbacks <= count * FALLBACKS_MAX_SHARE,
          f"{fallbacks} of {count} were not forked")
    check(not faults, "\n".join(faults))
