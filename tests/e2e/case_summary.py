"""Summaries: what heap snapshots hold by class, and what grew between two."""
import json
import os
import re
import signal
import threading
import time

from harness import App, Site, api, check, equal, matches, once, until

# What one that makes a summary may take, whatever the snapshot; and what the
# sanitizers take beside.
MEMORY_MAX_KB = 64 << 10
SANITIZED_MORE_KB = 256 << 10
LARGE_BYTES = 80 << 20
LEAKED = "LeakedSession"


def patiently(site, app, tail):
    """What a summary, or a diff, is answered in the end: while it is being
    made, or waits for its turn, one is told to come again."""
    def answered():
        reply = site.papi(app, tail)
        if reply.status != 503:
            return reply
        reply.problem(503, "busy")
        matches(reply["Retry-After"], r"^[1-9][0-9]*$", "Retry-After")
        return None
    return until(answered, 300, f"{tail} is there", 1)


def summary_of(site, app, job, query=""):
    reply = patiently(site, app,
                      f"jobs/{job['id']}/summary{query}").expect(200)
    equal(reply["X-Job-Id"], job["id"], "X-Job-Id")
    equal(reply["Content-Type"], "application/json", "Content-Type")
    return reply.json()


def diff_of(site, app, job, other, query=""):
    return patiently(site, app,
                     f"jobs/{job['id']}/diff/{other['id']}{query}"
                     ).expect(200).json()["classes"]


def check_summary(summary, read):
    """What read-snapshot.js has read is the same, class by class."""
    wanted = [{"name": name, "count": count, "selfSize": size}
              for name, (count, size) in read["classes"]]
    wanted.sort(key=lambda row: (-row["selfSize"], row["name"].encode()))
    equal(summary["classes"], wanted, "classes")
    equal((summary["nodes"], summary["edges"]), (read["nodes"], read["edges"]),
          "nodes and edges")
    equal(summary["nodes"], sum(row["count"] for row in wanted), "count")
    equal(summary["selfSize"], sum(row["selfSize"] for row in wanted), "size")


def read_text(text):
    """The same of a text, as read-snapshot.js; names here are short."""
    snapshot = json.loads(text)
    meta = snapshot["snapshot"]["meta"]
    fields = meta["node_fields"]
    types = meta["node_types"][fields.index("type")]
    words = {"closure": "Function", "code": "(compiled code)"}
    classes = {}
    for at in range(0, len(snapshot["nodes"]), len(fields)):
        node = dict(zip(fields, snapshot["nodes"][at:at + len(fields)]))
        kind = types[node["type"]]
        name = (snapshot["strings"][node["name"]]
                if kind in ("object", "native")
                else words.get(kind, f"({kind})"))
        count, size = classes.get(name, (0, 0))
        classes[name] = (count + 1, size + node["self_size"])
    return {"nodes": snapshot["snapshot"]["node_count"],
            "edges": snapshot["snapshot"]["edge_count"],
            "classes": list(classes.items())}


def changes(new, old):
    """What the diff of two summaries has to be."""
    rows = {row["name"]: [0, 0, -row["count"], -row["selfSize"]]
            for row in old["classes"]}
    for row in new["classes"]:
        was = rows.get(row["name"], [0, 0, 0, 0])
        rows[row["name"]] = [row["count"], row["selfSize"],
                             was[2] + row["count"], was[3] + row["selfSize"]]
    found = [{"name": name, "countDelta": row[2], "selfSizeDelta": row[3],
              "count": row[0], "selfSize": row[1]}
             for name, row in rows.items() if row[2] != 0 or row[3] != 0]
    found.sort(key=lambda row: (-row["selfSizeDelta"], -row["countDelta"],
                                row["name"].encode()))
    return found


@api("a summary has every class of a snapshot, and a diff every change; each "
     "leaves an audit line")
def _(site):
    app = site.fake("Big", size=1 << 20, expected=2 << 20, seed=1)
    old = site.take_whole(app)
    app.behave("Big", size=2 << 20, expected=2 << 20, seed=1)
    job = site.take_whole(app)
    text = site.papi(app, f"jobs/{job['id']}/artifact").expect(200).body
    # The diff needs both, and neither is there.
    found = diff_of(site, app, job, old)
    summary = summary_of(site, app, job)
    check_summary(summary, read_text(text))
    check(len(summary["classes"]) > 50, "few classes")
    before = summary_of(site, app, old)
    equal(found, changes(summary, before), "diff")
    equal(diff_of(site, app, old, job), changes(before, summary),
          "the diff the other way")
    equal(diff_of(site, app, job, job), [], "diff of the same")
    equal(summary_of(site, app, job, "?limit=3"),
          {**summary, "classes": summary["classes"][:3]}, "three classes")
    equal(diff_of(site, app, job, old, "?limit=1"), found[:1], "one change")
    for tail in ("summary", f"diff/{old['id']}"):
        reply = site.papi(app, f"jobs/{job['id']}/{tail}", "HEAD")
        equal(reply.expect(200).body, b"", "body of HEAD")
    # By CGI the line is in the web server's log.
    log = "".join(site.logs().values())
    for what, more in (("summary", ""), ("diff", f".*other={old['id']}")):
        check(re.search(rf"(?m)level=audit.*job={job['id']}.*{what}"
                        rf".*who=operator.*app={app.name}{more}",
                        log), f"no audit line of the {what}")
    for method in ("GET", "HEAD"):
        equal(site.papi(app, f"jobs/{job['id']}/summary", method,
                        token="viewer").status, 403, f"{method} by a viewer")


@once("a leak of 10,000 objects between two snapshots is on top of the diff")
def _(run):
    app = App(run, script="leak-app.js")
    site = Site(run, "nginx", fakes=0, apps={"leaking": app.address})
    try:
        site.start()
        jobs = []
        for times in (1, 2):
            os.kill(app.pid, signal.SIGUSR2)
            until(lambda n=times: app.process.text().count("leaked\n") == n,
                  20, "it leaks")
            jobs.append(site.take_whole("leaking"))
        top = diff_of(site, "leaking", jobs[1], jobs[0])[0]
        equal((top["name"], top["countDelta"], top["count"]),
              (LEAKED, 10000, 20000), "the largest growth")
        check(top["selfSizeDelta"] >= 240000 and
              top["selfSize"] == 2 * top["selfSizeDelta"], f"sizes: {top}")
    finally:
        site.close()
        app.close()


def summarizer(site):
    """The pid of the one that makes a summary, if there is one."""
    for pid, args in site.run.programs("podprof-capture"):
        if b"--summarize" in args and bytes(site.conf) in args:
            return pid
    return None


class Asked(threading.Thread):
    """A request for a summary, under way."""

    def __init__(self, site, app, job):
        super().__init__()
        self.ask = lambda: patiently(site, app,
                                     f"jobs/{job['id']}/summary")
        self.start()

    def run(self):
        self.reply = self.ask()

    def answer(self):
        self.join(300)
        check(not self.is_alive(), "there is no answer")
        return self.reply


def memory_max_kb(run):
    program = (run.bin / "podprof-capture").read_bytes()
    return MEMORY_MAX_KB + (SANITIZED_MORE_KB if b"__asan_init" in program
                            else 0)


def peak_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
    return int(found.group(1)) if found else 0


@once("one summary is made at a time, in little memory; killed, it is told, "
      "and begun anew")
def _(run):
    site = Site(run, "nginx", fakes=2)
    try:
        site.start()
        large, small = (site.fake("Big", size=size, expected=size)
                        for size in (LARGE_BYTES, 1 << 20))
        jobs = [site.take_whole(app) for app in (large, small)]
        def begun():
            asked = Asked(site, large, jobs[0])
            pid = until(lambda: summarizer(site), 60, "somebody makes it",
                        0.002)
            os.kill(pid, signal.SIGSTOP)
            return asked, pid
        # Who waits for it alone is told.
        first, pid = begun()
        os.kill(pid, signal.SIGKILL)
        first.answer().problem(500, "interrupted", jobs[0]["id"])
        first, pid = begun()
        others = [Asked(site, large, jobs[0]), Asked(site, small, jobs[1])]
        # Nothing is to happen, so it is looked at for a while.
        time.sleep(0.5)
        equal([pid for pid, args in run.programs("podprof-capture")
               if b"--summarize" in args], [pid], "those that make one")
        check(all(asked.is_alive() for asked in (first, *others)),
              "somebody has got an answer")
        check(peak_kb(pid) < memory_max_kb(run), f"it takes {peak_kb(pid)} KB")
        os.kill(pid, signal.SIGKILL)
        # Others who wait for it begin anew, in turn; whether who began it is
        # told, or has that answer too, is a matter of who looks first.
        peaks = [0]

        def is_over():
            try:
                peaks.append(peak_kb(summarizer(site)))
            except (OSError, TypeError):
                pass
            return not any(asked.is_alive() for asked in (first, *others))
        until(is_over, 300, "the others have an answer", 0.005)
        for asked, job in zip(others, jobs):
            summary = asked.answer().expect(200).json()
            equal(summary["nodes"], sum(row["count"]
                                        for row in summary["classes"]),
                  f"nodes of {job['id']}")
        check(first.answer().status in (200, 500),
              f"{first.answer().status} for who began it")
        check(0 < max(peaks) < memory_max_kb(run), f"it took {max(peaks)} KB")
        matches(site.logs()[site.dir / "pool.log"],
                rf"the summary of job {jobs[0]['id']} was killed by signal 9",
                "the pool's log")
    finally:
        site.close()
