"""How a heap snapshot is taken: which method, why not another one, what it was
expected to cost and what it did; and GET target, which tells beforehand."""
import json
import os
import time

from case_fork import outcomes_of_whole
from harness import (POD, Site, api, check, check_artifact, check_whole, equal,
                     in_parallel, matches, once, until)

MIB = 1 << 20
METHODS = ("fork", "direct", "stream")


def outcomes(job):
    return [(attempt["method"], attempt["outcome"])
            for attempt in job["attempts"]]


def take(site, app, **options):
    reply = site.post_job(app, "heap-snapshot", **options)
    return site.wait_job(app, reply.expect(202).json()["id"])


def check_numbers(job):
    """What was predicted, and what happened."""
    memory, predicted = job["memory"], job["predicted"]
    for name, value in (*memory.items(), *predicted.items()):
        check(isinstance(value, int) and value > 0, f"{name}: {value}")
    check(memory["beforeBytes"] <= memory["peakBytes"], f"memory: {memory}")
    check(memory["beforeBytes"] < predicted["peakBytes"],
          f"predicted {predicted} from {memory}")
    size = job["artifact"]["size"]
    check(size / 3 < predicted["fileBytes"] < size * 3,
          f"predicted {predicted}, but {size} bytes were written")
    check(isinstance(job["freezeMs"], int) and job["freezeMs"] > 0,
          f"freezeMs: {job['freezeMs']}")


def check_progress(job):
    progress = job["progress"]
    size = job["artifact"]["size"]
    by_bytes = job["method"] != "stream"
    equal((progress["unit"], progress["estimated"]),
          ("bytes", True) if by_bytes else ("nodes", False), "progress")
    equal(progress["bytes"], size, "bytes at the end")
    check(progress["done"] <= progress["total"], f"progress: {progress}")
    if by_bytes:
        equal(progress["done"], size, "done")


def take_measured(site, app, **options):
    """The same, until the app has told in time what it took afterwards: on a
    busy machine not at once."""
    for _ in range(3):
        job = take(site, app, **options)
        if job["error"] is not None or job["memory"]["afterBytes"]:
            break
    return job


@api("each method takes a whole snapshot, and the job says how it went")
def _(site):
    frozen = {}
    for asked in ("auto", *METHODS):
        used = "fork" if asked == "auto" else asked
        job = take_measured(site, "sample", method=asked)
        equal((job["state"], job["error"]), ("succeeded", None), asked)
        equal(outcomes_of_whole(job), [(used, "succeeded")], "attempts")
        equal(job["attempts"][-1]["reason"], None, "reason")
        equal(job["method"], used, "method")
        equal(job["options"], {} if asked == "auto" else {"method": asked},
              "options")
        equal(job["objectIds"], "snapshot" if used == "fork" else "process",
              "objectIds")
        check_numbers(job)
        check_progress(job)
        frozen[used] = min(job["freezeMs"], frozen.get(used, 1 << 60))
        reply = site.papi("sample", f"jobs/{job['id']}/artifact")
        check_whole(reply, job)
        good, line = check_artifact(site.run, reply.body, "heapsnapshot")
        check(good, line)
    check(frozen["fork"] < frozen["direct"] and
          frozen["fork"] < frozen["stream"], f"freezeMs: {frozen}")
    equal(site.exchanged(), [], "left in exchange_dir")


@api("auto: what cannot work is skipped with its reason, before anything is "
     "frozen")
def _(site):
    app = site.fake()
    job = take(site, app)
    equal(job["state"], "succeeded", f"state, {job['error']}")
    equal(outcomes(job), [("fork", "skipped"), ("direct", "skipped"),
                          ("stream", "succeeded")], "attempts")
    for attempt in job["attempts"][:2]:
        matches(attempt["reason"], "exchange_dir .* is missing.*2770",
                "reason")
    equal((job["method"], job["objectIds"]), ("stream", "process"), "method")
    for behaviour, tried, words in (
            ("NoMeeting", [("fork", "skipped"), ("direct", "skipped"),
                           ("stream", "succeeded")], "does not see"),
            ("NoAddon", [("fork", "skipped"), ("direct", "succeeded")],
             "failed to map")):
        app = site.meeting(behaviour)
        job = take(site, app)
        equal((job["state"], outcomes(job)), ("succeeded", tried),
              f"{behaviour}, {job['error']}")
        matches(job["attempts"][0]["reason"], words, "reason")


def told_at_once(site, app, method, status, kind, words):
    """A method by name is refused, and the answer says why."""
    words = f"method {method} .*{words}"
    site.refusal(app, lambda: site.post_job(
        app, "heap-snapshot", method=method), kind, words).problem(
            status, kind, words)


@api("a method by name: no other is tried, and what keeps it from working is "
     "told at once")
def _(site):
    app = site.fake()
    for method in ("fork", "direct"):
        told_at_once(site, app, method, 503, "state",
                     "exchange_dir .* is missing")
    equal(site.jobs(app), [], "jobs")
    app = site.meeting("NoMeeting")
    for method in ("fork", "direct"):
        told_at_once(site, app, method, 502, "target-refused", "does not see")
    equal(site.jobs(app), [], "jobs")
    job = take(site, app, method="stream")
    equal((job["state"], outcomes(job)),
          ("succeeded", [("stream", "succeeded")]), f"{job['error']}")
    app = site.meeting("CrashingCopy")
    job = take(site, app, method="fork")
    equal((job["state"], outcomes(job)), ("failed", [("fork", "failed")] * 3),
          "attempts")
    for attempt in job["attempts"]:
        matches(attempt["reason"], "SIGSEGV", "reason")
    equal(app.behaviour.copies, 3, "copies")


@api("progress of fork and direct is an estimate in bytes, told as one")
def _(site):
    for method in ("fork", "direct"):
        app = site.meeting(hold=True)
        job_id = site.post_job(app, "heap-snapshot",
                               method=method).expect(202).json()["id"]
        job = until(lambda a=app, i=job_id: (
            lambda j: j if j["progress"]["bytes"] else None)(
                site.job(a, i)), 20, "bytes are shown", 0.1)
        progress = job["progress"]
        equal((job["state"], job["phase"], job["method"]),
              ("running", "writing", method), "state, phase, method")
        equal(outcomes(job), [(method, "running")], "attempts")
        equal((progress["unit"], progress["estimated"], progress["done"]),
              ("bytes", True, progress["bytes"]), "progress")
        equal(progress["total"], job["predicted"]["fileBytes"], "total")
        app.release()
        job = site.wait_job(app, job_id)
        equal(job["state"], "succeeded", f"state, {job['error']}")
        check_progress(job)


# The memory guard.

# Of 200 MB that it may have the app has 170, and a heap of 20 MB.
POOR = {"expected": 36 * MIB, "more_facts": {
    "groups": [[200 * MIB, 170 * MIB, 0]], "memAvailable": 4 << 30}}


@api("the memory guard refuses with 507 and the numbers; force goes on")
def _(site):
    app = site.fake(**POOR)
    limit = "space", "limit of 200 MB"
    for options in {}, {"method": "stream"}, {"force": False}:
        reply = site.refusal(app, lambda o=options: site.post_job(
            app, "heap-snapshot", **o), *limit)
        document = reply.problem(507, *limit)
        matches(document["detail"], "about [0-9]+ MB more.* 30 MB", "numbers")
        matches(document["detail"], "force", "what to do")
    reply = site.refusal(app, lambda: site.papi(app, "takeMemorySnapshot"),
                         *limit)
    reply.papi_error(507, None, *limit)
    equal(site.jobs(app), [], "jobs")
    check("HeapProfiler.takeHeapSnapshot" not in app.methods(),
          f"the app was asked for a snapshot: {app.methods()}")
    job = take(site, app, force=True)
    equal((job["state"], job["options"]), ("succeeded", {"force": True}),
          f"state, options, {job['error']}")
    check(job["predicted"]["peakBytes"] > 64 * MIB, f"{job['predicted']}")
    site.papi(app, "getMemorySnapshot").expect(200)
    job_id = site.take_forced(app)
    equal(site.wait_job(app, job_id)["state"], "succeeded", "by ?force=1")
    # What only reads is not concerned.
    job = site.post_job(app, "cpu-profile", durationMs=100).expect(202).json()
    equal(site.wait_job(app, job["id"])["state"], "succeeded", "a profile")


@once("memory_guard = off: nothing is refused")
def _(run):
    site = Site(run, "nginx", fakes=1, conf={"limits": {
        "memory_guard": "off"}})
    try:
        site.start()
        app = site.fake(**POOR)
        job = take(site, app)
        equal((job["state"], job["options"]), ("succeeded", {}),
              f"state, options, {job['error']}")
    finally:
        site.close()


# GET target.

SHAPE = {
    "app": str, "pod": str, "node": str, "pid": int, "methods": list,
    "workers": list,
    "inspector": {"address": str, "reachable": bool, "activated": bool},
    "memory": {"heapUsedBytes": int, "rssBytes": int, "limitBytes": int,
               "availableBytes": int},
    "predicted": {"peakBytes": int, "fileBytes": int, "freezeMs": int}}


def check_shape(found, shape, where="target"):
    equal(set(found), set(shape), f"members of {where}")
    for name, kind in shape.items():
        if isinstance(kind, dict):
            check_shape(found[name], kind, name)
        else:
            check(found[name] is None or isinstance(found[name], kind),
                  f"{name} of {where}: {found[name]!r}")


def target_of(site, app, token="viewer"):
    """What it says, in time; a busy machine gets three tries."""
    for _ in range(3):
        reply = site.papi(app, "target", token=token)
        equal(reply.expect(200)["Content-Type"], "application/json",
              "Content-Type")
        equal(reply["Cache-Control"], "no-store", "Cache-Control")
        if reply.seconds < 2.5:
            break
    check(reply.seconds < 2.5, f"the answer took {reply.seconds:.2f} s")
    found = reply.json()
    check_shape(found, SHAPE)
    equal(found["pod"], POD, "pod")
    return found


def told_of(site, app, *known):
    """The same, once the app, and these members, are known: on a busy machine
    not at once."""
    return until(lambda: (
        lambda t: t if t["methods"] and all(
            t[name] is not None for name in ("pid", *known)) else None)(
                target_of(site, app)), 60, "the app is known", 1)


@api("GET target tells what a snapshot would cost, and how it would be taken")
def _(site):
    found = told_of(site, "sample", "workers")
    equal(found["app"], "sample", "app")
    equal(found["inspector"], {"address": site.apps["sample"],
                               "reachable": True, "activated": False},
          "inspector")
    matches(found["node"], r"^v20\.", "node")
    check(os.path.exists(f"/proc/{found['pid']}"), f"pid: {found['pid']}")
    equal([(m["method"], m["usable"], m["reason"]) for m in found["methods"]],
          [(method, True, None) for method in METHODS], "methods")
    memory, predicted = found["memory"], found["predicted"]
    check(0 < memory["heapUsedBytes"] < memory["rssBytes"], f"{memory}")
    check(memory["availableBytes"] > 0, f"{memory}")
    check(predicted["peakBytes"] > memory["rssBytes"], f"{predicted}")
    check(predicted["fileBytes"] > MIB and predicted["freezeMs"] > 0,
          f"{predicted}")
    equal(found["workers"], [], "workers")
    equal(site.exchanged(), [], "left in exchange_dir")


@api("GET target: which methods cannot be used, and why")
def _(site):
    app = site.fake()
    found = told_of(site, app)
    equal(found["inspector"]["reachable"], True, "reachable")
    equal((found["pid"], found["node"]), (4711, "v20.0.0-fake"), "who it is")
    equal([(m["method"], m["usable"]) for m in found["methods"]],
          [("fork", False), ("direct", False), ("stream", True)], "methods")
    for method in found["methods"][:2]:
        matches(method["reason"], "exchange_dir .* is missing", "reason")
    app = site.meeting("NoMeeting", more_facts={"addonsOff": 1})
    found = told_of(site, app)
    matches(found["methods"][0]["reason"], "--no-addons", "why not fork")
    matches(found["methods"][1]["reason"], "does not see", "why not direct")
    poor = told_of(site, site.fake(**POOR))
    equal(poor["memory"], {
        "heapUsedBytes": 36 * MIB * 5 // 12, "rssBytes": 64 * MIB,
        "limitBytes": 200 * MIB, "availableBytes": 30 * MIB}, "memory")
    check(poor["predicted"]["peakBytes"] > 64 * MIB, f"{poor['predicted']}")


@api("GET target of an app that is not there, or does not answer: within 2 s, "
     "null where nothing is known")
def _(site):
    gone = target_of(site, "gone")
    equal(gone["inspector"], {"address": site.apps["gone"],
                              "reachable": False, "activated": False},
          "inspector")
    slow = [site.fake(behaviour) for behaviour in
            ("StallList", "StallUpgrade", "StallEvaluate", "NotHttp")]
    for found in (gone, *in_parallel([lambda a=app: target_of(site, a)
                                      for app in slow])):
        equal((found["node"], found["pid"]), (None, None), "node, pid")
        for name in ("memory", "predicted"):
            equal(set(found[name].values()), {None}, name)
        equal(found["workers"], None, "workers")
    # It will be asked again, and be there.
    slow[0].behave()
    until(lambda: target_of(site, slow[0])["pid"] == 4711, 60,
          "the app is seen again", 0.5)


def looks(app):
    """How often the app was asked about itself."""
    return sum(method == "Runtime.evaluate" and "memoryUsage" in
               params["expression"] for method, params in
               app.inspector.commands)


@api("GET target by many at once: the app is asked once a second at most")
def _(site):
    app = site.fake()
    began = time.monotonic()
    # On a busy machine it may not have been asked in time.
    until(lambda: [one["pid"] for one in in_parallel(
        [lambda: target_of(site, app)] * 12)] == [4711] * 12, 60,
        "all are answered")
    asked, most = looks(app), 2 + time.monotonic() - began
    check(asked <= most, f"the app was asked {asked} times, not {most:.1f}")


@api("GET target: roles, methods and addresses as everywhere")
def _(site):
    app = site.fake()
    site.papi(app, "target", token=None).problem(401)
    site.papi("nobody", "target").problem(404)
    head = site.papi(app, "target", "HEAD").expect(200)
    equal(head.body, b"", "body of HEAD")
    for method in ("POST", "DELETE", "PUT"):
        reply = site.papi(app, "target", method, body="")
        reply.problem(405, "method")
        equal(set(reply["Allow"].replace(",", " ").split()), {"GET", "HEAD"},
              "Allow")
    equal(json.loads(site.papi(app, "target", token="viewer").expect(
        200).body)["app"], app.name, "a viewer may look")
