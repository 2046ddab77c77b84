"""The three endpoints of the module, as its clients use them."""
import hashlib

from harness import (POD, api, check, check_artifact, equal, error_is,
                     in_parallel, matches, until, unzstd)

HOT = "hotLoopOfSample"
HEAP_KEYS = ("snapshot", "nodes", "edges", "strings")


def fetch(site, app, **more):
    """getMemorySnapshot, polled until it is no longer 425."""
    def poll():
        reply = site.papi(app, "getMemorySnapshot", **more)
        if reply.status != 425:
            return reply
        reply.papi_error(425, "Snapshot not ready yet", "too-early")
        return None
    return until(poll, 60, "getMemorySnapshot answers other than 425", 0.1)


def integration(site, app):
    """The module's own integration test, restated."""
    reply = site.papi(app, "takeMemorySnapshot").expect(200)
    equal(reply.text.strip(), "Creating snapshot for app", "text")
    matches(reply["Content-Type"], r"^text/plain\b", "Content-Type")
    job_id = reply["X-Job-Id"]
    reply = fetch(site, app).expect(200)
    equal(reply["X-Job-Id"], job_id, "X-Job-Id")
    equal(reply["Content-Type"], "application/octet-stream", "Content-Type")
    snapshot = reply.json()
    for key in HEAP_KEYS:
        check(snapshot.get(key), f"{key} is missing or empty")
    site.papi(app, "getMemorySnapshot").papi_error(404, "Snapshot not found")
    reply = site.papi(app, "getCpuProfile?duration=1000").expect(200)
    check(reply.seconds >= 1, f"a profile of 1 s took {reply.seconds} s")
    equal(reply["Content-Type"], "application/octet-stream", "Content-Type")
    profile = reply.json()
    for key in ("nodes", "samples", "timeDeltas"):
        check(profile.get(key), f"{key} is missing or empty")


@api("the module's integration test passes")
def _(site):
    integration(site, "sample")


@api("takeMemorySnapshot answers with every header, and no Location on 200")
def _(site):
    app = site.fake(hold=True)
    reply = site.papi(app, "takeMemorySnapshot").expect(200)
    job_id = reply["X-Job-Id"]
    equal(reply["X-Pod-Name"], POD, "X-Pod-Name")
    matches(reply["Retry-After"], r"^[1-9][0-9]*$", "Retry-After")
    equal(reply["Location"], None, "Location")
    equal(reply["Content-Location"],
          f"/{app.name}/private/papi/jobs/{job_id}", "Content-Location")
    matches(job_id, r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]"
            r"[0-9a-f]{3}-[0-9a-f]{12}$", "a UUIDv7")
    app.release()
    equal(site.wait_job(app, job_id)["state"], "succeeded", "state")


@api("takeMemorySnapshot answers at once while the capture runs on")
def _(site):
    app = site.fake(hold=True)
    reply = site.papi(app, "takeMemorySnapshot").expect(200)
    app.started()
    job = site.job(app, reply["X-Job-Id"])
    equal(job["state"], "running", "state after the answer")
    check(reply.seconds < 5, f"the answer took {reply.seconds:.1f} s")
    app.release()
    equal(site.wait_job(app, job["id"])["state"], "succeeded", "state")


@api("a snapshot downloaded through the web server is whole")
def _(site):
    job = site.take_whole("sample")
    reply = site.papi("sample", "getMemorySnapshot").expect(200)
    matches(reply["Content-Disposition"],
            rf'^attachment; filename="{job["artifact"]["name"]}"(;|$)',
            "Content-Disposition")
    matches(job["artifact"]["name"], rf"^{POD}-[0-9]{{8}}T[0-9]{{6}}Z.*"
            r"\.heapsnapshot$", "name")
    equal(len(reply.body), job["artifact"]["size"], "size")
    good, line = check_artifact(site.run, reply.body, "heapsnapshot")
    check(good, line)
    # V8 writes it as ASCII; what the app holds must come through unharmed.
    strings = reply.json()["strings"]
    for text in ("Łódź", "Санкт-Петербург", "東京"):
        check(text in strings, f"the snapshot has lost {text!r}")
    for bad in (reply.body[:-1], reply.body[:len(reply.body) // 2]):
        good, line = check_artifact(site.run, bad, "heapsnapshot")
        check(not good, f"a truncated copy passes: {line}")


@api("a CPU profile names the hot function")
def _(site):
    # The busier the machine, the longer that takes to be seen.
    for duration in (1000, 2000, 4000, 8000):
        reply = site.papi("sample", f"getCpuProfile?duration={duration}"
                          "&interval=500").expect(200)
        equal(reply["X-Profile-Duration"], str(duration),
              "X-Profile-Duration")
        matches(reply["Content-Disposition"],
                r'^attachment; filename="[^"/]+\.cpuprofile"(;|$)',
                "Content-Disposition")
        profile = reply.json()
        check(profile["endTime"] - profile["startTime"] >= duration * 1000,
              "the profile is shorter than asked for")
        good, line = check_artifact(site.run, reply.body, "cpuprofile",
                                    "--function", HOT)
        if good:
            break
    check(good, line)
    good, line = check_artifact(site.run, reply.body[:-1], "cpuprofile")
    check(not good, f"a truncated copy passes: {line}")


@api("two takeMemorySnapshot at once: one 200, one 409 about the same job")
def _(site):
    app = site.fake(hold=True)
    replies = in_parallel([lambda: site.papi(app, "takeMemorySnapshot")] * 2)
    equal(sorted(r.status for r in replies), [200, 409], "statuses")
    won, lost = sorted(replies, key=lambda r: r.status)
    equal(lost.text.strip(), "Snapshot already generating", "text")
    equal(lost["X-Job-Id"], won["X-Job-Id"], "X-Job-Id")
    equal(lost["X-Pod-Name"], POD, "X-Pod-Name")
    matches(lost["Retry-After"], r"^[1-9][0-9]*$", "Retry-After")
    matches(lost["Location"], rf"/jobs/{won['X-Job-Id']}$", "Location")
    document = site.papi(app, "takeMemorySnapshot", headers={
        "Accept": "application/json"}).papi_error(409, None, "conflict")
    equal(document["errorMessage"], "Snapshot already generating",
          "errorMessage")
    app.release()
    equal(site.wait_job(app, won["X-Job-Id"])["state"], "succeeded", "state")
    equal(app.methods().count("HeapProfiler.takeHeapSnapshot"), 1,
          "snapshots taken")
    check(not app.inspector.offences, app.inspector.offences)


TEXT_ACCEPTS = (
    None, "*/*", "text/plain", "text/html,application/xhtml+xml,"
    "application/xml;q=0.9,image/avif,*/*;q=0.8",
    "application/json, text/plain, */*", "application/json;q=0.5, text/*;q=0.6",
    "application/json;q=0", "application/json;q=0.5, text/plain;q=0.5",
    "image/png")
JSON_ACCEPTS = (
    "application/json", "application/problem+json",
    "application/json, */*;q=0.1",
    "APPLICATION/JSON ; Q=0.9 , text/plain;q=0.2",
    "application/problem+json;q=0.4, text/html")


@api("text or JSON: as Accept weighs them")
def _(site):
    app = site.fake()
    for accept in TEXT_ACCEPTS:
        headers = {} if accept is None else {"Accept": accept}
        reply = site.papi(app, "takeMemorySnapshot", headers=headers)
        equal(reply.status, 200, f"status for Accept: {accept}")
        equal(reply.text.strip(), "Creating snapshot for app", accept)
        site.wait_job(app, reply["X-Job-Id"])
    for accept in JSON_ACCEPTS:
        reply = site.papi(app, "takeMemorySnapshot",
                          headers={"Accept": accept})
        equal(reply.status, 202, f"status for Accept: {accept}")
        job = reply.json()
        equal(job["id"], reply["X-Job-Id"], "id")
        matches(reply["Location"], rf"/{app.name}/private/papi/jobs/"
                rf"{job['id']}$", "Location")
        matches(reply["Retry-After"], r"^[1-9][0-9]*$", "Retry-After")
        equal(reply["X-Pod-Name"], POD, "X-Pod-Name")
        site.wait_job(app, job["id"])


@api("GET, POST and HEAD: what each address takes")
def _(site):
    app = site.fake()
    reply = site.papi(app, "takeMemorySnapshot", "POST").expect(200)
    site.wait_job(app, reply["X-Job-Id"])
    for tail in ("takeMemorySnapshot", "getCpuProfile?duration=100"):
        reply = site.papi(app, tail, "HEAD").expect(405)
        check("GET" in reply["Allow"] and "HEAD" not in reply["Allow"],
              f"Allow: {reply['Allow']}")
        reply = site.papi(app, tail, "DELETE")
        reply.papi_error(405, None, "method")
        check("GET" in reply["Allow"], f"Allow: {reply['Allow']}")
    reply = site.papi(app, "getMemorySnapshot", "POST", body="")
    reply.papi_error(405, None, "method")
    equal(set(reply["Allow"].replace(",", " ").split()), {"GET", "HEAD"},
          "Allow")
    equal(len(site.jobs(app)), 1, "jobs: none by a method that is not allowed")


@api("HEAD of getMemorySnapshot delivers nothing")
def _(site):
    app = site.fake()
    reply = site.papi(app, "getMemorySnapshot", "HEAD").expect(404)
    equal(reply.body, b"", "body")
    job = site.take_whole(app)
    for _ in range(2):
        reply = site.papi(app, "getMemorySnapshot", "HEAD").expect(200)
        equal(reply.body, b"", "body")
        equal(reply["X-Job-Id"], job["id"], "X-Job-Id")
        equal(reply["Content-Length"], str(job["artifact"]["size"]),
              "Content-Length")
    site.papi(app, "getMemorySnapshot").expect(200)


@api("a delivered snapshot: 404 at the bare address, still there by its id")
def _(site):
    app = site.fake()
    job = site.take_whole(app)
    equal(job["artifact"]["deliveredAt"], None, "deliveredAt before")
    whole = site.papi(app, "getMemorySnapshot").expect(200).body
    site.papi(app, "getMemorySnapshot").papi_error(
        404, "Snapshot not found", "not-found", r"deliver|fetched")
    check(until(lambda: site.job(app, job["id"])["artifact"]["deliveredAt"],
                10, "deliveredAt is set"), "deliveredAt")
    for tail in (f"getMemorySnapshot?job={job['id']}",
                 f"jobs/{job['id']}/artifact"):
        for _ in range(2):
            reply = site.papi(app, tail).expect(200)
            equal(reply.body, whole, f"bytes of {tail}")


def not_delivered(site, app, job, what):
    """The bare address still has it, all of it."""
    equal(site.job(app, job["id"])["artifact"]["deliveredAt"], None,
          f"deliveredAt after {what}")
    reply = site.papi(app, "getMemorySnapshot", "HEAD").expect(200)
    equal(reply["X-Job-Id"], job["id"], f"X-Job-Id after {what}")


@api("getMemorySnapshot: parts and heads deliver nothing, in either coding")
def _(site):
    app = site.fake("Big", size=1 << 20, noise=True)
    job = site.take_whole(app)
    named = f"getMemorySnapshot?job={job['id']}"
    for coding in ("identity", "zstd"):
        def ask(tail, method="GET", **fields):
            return site.papi(app, tail, method, headers={
                "Accept-Encoding": coding, **{
                    name.replace("_", "-"): value
                    for name, value in fields.items()}})
        head = ask("getMemorySnapshot", "HEAD").expect(200)
        not_delivered(site, app, job, "HEAD")
        etag, size = head["ETag"], int(head["Content-Length"])
        equal(head["Content-Encoding"], "zstd" if coding == "zstd" else None,
              "Content-Encoding")
        # A downloader that cannot know what it has a part of gets all, and
        # is not believed to have wanted it.
        for fields in ({}, {"If_Range": '"x"'}, {"If_Range": f"W/{etag}"}):
            whole = ask("getMemorySnapshot", Range="bytes=10-19", **fields)
            equal(len(whole.expect(200).body), size, "bytes of the whole")
            not_delivered(site, app, job, f"a Range with {fields}")
        part = ask("getMemorySnapshot", Range="bytes=10-", If_Range=etag)
        equal(part.expect(206)["Content-Range"],
              f"bytes 10-{size - 1}/{size}", "Content-Range")
        check(part.body == whole.body[10:], "other bytes")
        for fields in ({}, {"If_Range": etag}):
            part = ask(named, Range="bytes=0-", **fields).expect(206)
            check(part.body == whole.body, "other bytes")
        ask("getMemorySnapshot", Range=f"bytes={size}-",
            If_Range=etag).papi_error(416, None, "range")
        ask("getMemorySnapshot", If_None_Match=etag).expect(304)
        ask(named, "HEAD").expect(200)
        not_delivered(site, app, job, "parts and conditions")


@api("getMemorySnapshot: a whole one delivers, as identity and as zstd")
def _(site):
    app = site.fake()
    for coding, tail in (("identity", ""), ("zstd", ""), ("zstd", "job")):
        job = site.take_whole(app)
        bare = "getMemorySnapshot"
        reply = site.papi(
            app, f"{bare}?job={job['id']}" if tail else bare, headers={
                "Accept-Encoding": coding}).expect(200)
        data = reply.body if coding == "identity" else unzstd(reply.body)
        equal(hashlib.sha256(data).hexdigest(), job["artifact"]["sha256"],
              f"sha256, {coding}")
        equal(reply["Content-Encoding"],
              None if coding == "identity" else coding, "Content-Encoding")
        site.papi(app, bare).papi_error(404, "Snapshot not found")
        check(site.job(app, job["id"])["artifact"]["deliveredAt"],
              f"deliveredAt after a whole one in {coding}")
        # Both codings of it are still there for who lost the end.
        for again in ("identity", "zstd"):
            for where in (f"{bare}?job={job['id']}",
                          f"jobs/{job['id']}/artifact"):
                site.papi(app, where, headers={
                    "Accept-Encoding": again}).expect(200)


@api("getMemorySnapshot: 425 while it runs, 404 with the reason after failure")
def _(site):
    app = site.fake(hold=True)
    site.papi(app, "getMemorySnapshot").papi_error(404, "Snapshot not found")
    job_id = site.take(app)
    app.started()
    reply = site.papi(app, "getMemorySnapshot")
    reply.papi_error(425, "Snapshot not ready yet", "too-early")
    equal(reply["X-Job-Id"], job_id, "X-Job-Id")
    matches(reply["Retry-After"], r"^[1-9][0-9]*$", "Retry-After")
    app.release()
    site.wait_job(app, job_id)
    failing = site.fake("ErrorReply")
    job_id = site.take(failing)
    equal(site.wait_job(failing, job_id)["state"], "failed", "state")
    for tail in ("getMemorySnapshot", f"getMemorySnapshot?job={job_id}"):
        site.papi(failing, tail).papi_error(
            404, None, None, "Cannot take a snapshot")


@api("getMemorySnapshot?job=ID names another one")
def _(site):
    app = site.fake()
    first = site.take_whole(app)
    second = site.take_whole(app)
    reply = site.papi(app, f"getMemorySnapshot?job={first['id']}").expect(200)
    equal(reply["X-Job-Id"], first["id"], "X-Job-Id")
    reply = site.papi(app, "getMemorySnapshot").expect(200)
    equal(reply["X-Job-Id"], second["id"], "the bare address has the newest")
    missing = "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77"
    document = site.papi(app, f"getMemorySnapshot?job={missing}").papi_error(
        404, None, "not-found")
    equal(document.get("pod"), POD, "the problem's pod")
    for bad in ("1", "../../etc/passwd", missing + "0"):
        reply = site.papi(app, f"getMemorySnapshot?job={bad}")
        check(reply.status in (400, 404), f"job={bad}: {reply.status}")
        reply.papi_error(reply.status, None)


@api("duration: what is refused, clamped and rounded")
def _(site):
    app = site.fake()
    for bad in ("abc", "1s", "0x10", "NaN", "Infinity", "1e", "--5", "1,5",
                "%31%00", "%20"):
        site.papi(app, f"getCpuProfile?duration={bad}").papi_error(
            400, None, "invalid", "duration")
    site.papi(app, "getCpuProfile?duration=100&duration=100").papi_error(
        400, None, "invalid", "duration")
    equal(site.jobs(app), [], "jobs after refusals")
    for given, used in (("5", 100), ("-1e9", 100), ("100.4", 100),
                        ("%2B1.51e2", 151)):
        reply = site.papi(app, f"getCpuProfile?duration={given}").expect(200)
        equal(reply["X-Profile-Duration"], str(used), f"duration={given}")
        equal(site.job(app, reply["X-Job-Id"])["options"]["durationMs"], used,
              "durationMs")


@api("duration: the default and the longest, by respond-async")
def _(site):
    for tail, used in (("getCpuProfile", 60000), ("getCpuProfile?duration=",
                       60000), ("getCpuProfile?duration=99999999", 120000)):
        app = site.fake()
        reply = site.papi(app, tail, headers={"Prefer": "respond-async"})
        reply.expect(202)
        job = reply.json()
        equal(reply["X-Profile-Duration"], str(used), tail)
        equal(job["options"]["durationMs"], used, "durationMs")
        equal(job["kind"], "cpu-profile", "kind")
        matches(reply["Location"], rf"/jobs/{job['id']}$", "Location")
        # Nobody waits so long here: the app ends.
        app.started()
        app.inspector.close()
        job = site.wait_job(app, job["id"])
        error_is(job, "target-exited")


@api("interval: 50 to 100000 us, handed to V8")
def _(site):
    app = site.fake()
    for bad in ("49", "100001", "x"):
        site.papi(app, f"getCpuProfile?duration=100&interval={bad}"
                  ).papi_error(400, None, "invalid", "interval")
    site.papi(app, "getCpuProfile?duration=100&interval=250").expect(200)
    asked = [params for method, params in app.inspector.commands
             if method == "Profiler.setSamplingInterval"]
    equal(asked, [{"interval": 250}], "Profiler.setSamplingInterval")


@api("getCpuProfile while a snapshot runs: 409 and Retry-After")
def _(site):
    app = site.fake(hold=True)
    job_id = site.take(app)
    app.started()
    reply = site.papi(app, "getCpuProfile?duration=100")
    reply.papi_error(409, None, "conflict", "[Ss]napshot")
    matches(reply["Retry-After"], r"^[1-9][0-9]*$", "Retry-After")
    equal(len(site.jobs(app)), 1, "jobs")
    app.release()
    site.wait_job(app, job_id)
    site.papi(app, "getCpuProfile?duration=100").expect(200)


@api("what only an inspector may know is asked of it, and no more")
def _(site):
    app = site.fake()
    site.take_whole(app)
    app.parted()
    site.papi(app, "getCpuProfile?duration=100").expect(200)
    app.parted()
    methods = set(app.methods())
    for never in ("Runtime.enable", "Console.enable", "Debugger.enable"):
        check(never not in methods, f"{never} was sent")
    check("NodeRuntime.notifyWhenWaitingForDisconnect" in methods,
          f"an app that ends would wait for podprof: {methods}")
    check(not app.inspector.offences, app.inspector.offences)


@api("an unknown app is 404, and so is an address that is none")
def _(site):
    site.papi("nosuchapp", "takeMemorySnapshot").papi_error(
        404, None, "not-found", "nosuchapp")
    site.papi("sample", "takeMemorySnapshots").problem(404, "not-found")
    site.papi("sample", "takeMemorySnapshot/").problem(404, "not-found")


@api("HEAD, GET and errors of one address agree on the pod and request id")
def _(site):
    reply = site.papi("sample", "jobs", headers={"X-Request-Id": "abc-123"})
    equal(reply["X-Request-Id"], "abc-123", "X-Request-Id")
    reply = site.papi("sample", "nothing")
    matches(reply["X-Request-Id"], r"^[0-9A-Za-z._-]{8,}$", "X-Request-Id")
    hostile = 'a b"\x1b[31m;drop'
    reply = site.papi("sample", "jobs", headers={"X-Request-Id": hostile})
    check(reply["X-Request-Id"] != hostile, "a hostile id comes back")
