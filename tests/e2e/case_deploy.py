"""How it is installed: users, modes, name spaces, web servers, versions."""
import contextlib
import http.client
import json
import pathlib
import signal
import subprocess
import time

from case_metrics import metrics
from case_papi import integration
from case_summary import check_summary, summary_of
from harness import (APP, POD, SERVICE, WEB, App, Process, Site, check, equal,
                     in_parallel, matches, deploy, run_reader, until)


def read_elsewhere(run, site, name, where, reads_halves):
    """The files of this app in Chrome DevTools' own loader, and in a package
    of npm; half of each is refused, which one Node shows."""
    package = run.npm / "reader/node_modules/heapsnapshot-parser"
    cache = run.dir / "devtools"
    for job in site.jobs(name):
        body = site.papi(name, f"jobs/{job['id']}/artifact").expect(200).body
        whole = where / job["artifact"]["name"]
        half = where / f"half-{whole.name}"
        whole.write_bytes(body)
        half.write_bytes(body[:len(body) // 2])
        found = run_reader(run, "devtools-read.mjs", run.npm, cache, whole)
        check(found, f"DevTools does not read {whole.name}")
        if reads_halves:
            equal(run_reader(run, "devtools-read.mjs", run.npm, cache, half),
                  None, f"DevTools about half of {whole.name}")
        if job["kind"] == "cpu-profile":
            as_on_the_page(run, whole, half, found)
            continue
        counts = json.loads(body)["snapshot"]
        equal(found["nodes"], counts["node_count"], "DevTools' nodes")
        read = run_reader(run, "read-snapshot.js", package, whole)
        equal((read["nodes"], read["edges"]),
              (counts["node_count"], counts["edge_count"]),
              "heapsnapshot-parser")
        check_summary(summary_of(site, name, job), read)
        if reads_halves:
            equal(run_reader(run, "read-snapshot.js", package, half), None,
                  f"heapsnapshot-parser about half of {whole.name}")


def as_on_the_page(run, whole, half, devtools):
    """The page finds the hot function as hot as DevTools does, but for what
    that adds: much, where the machine had no time for the app."""
    hot = "hotLoopOfSample"
    check(hot in devtools["selfMs"],
          f"DevTools finds no hot function: {devtools}")
    page = run_reader(run, "page-read.mjs", whole)
    check(page, f"the page does not read {whole.name}")
    sampled = devtools["selfMs"][hot] - devtools["addedMs"].get(hot, 0)
    check(0.99 < page["self"].get(hot, 0) / sampled < 1.01,
          f"{hot}: {page['self']}, and DevTools: {devtools}")
    equal(run_reader(run, "page-read.mjs", half), None,
          f"the page about half of {whole.name}")


@deploy("every Node version: the module's integration test, and other readers "
      "take the files")
def _(run):
    apps = {f"node{name}": App(run, node=path)
            for name, path in run.nodes.items()}
    site = Site(run, "nginx", fakes=0,
                apps={name: app.address for name, app in apps.items()})
    try:
        site.start()
        for name in apps:
            integration(site, name)
            job = site.jobs(name, "?kind=heap-snapshot")[0]
            matches(job["target"]["node"], rf"^v{name[4:]}\.", "node")
            print(f"# {name}: {job['target']['node']}, "
                  f"{job['artifact']['size']} bytes, frozen for "
                  f"{job['freezeMs']} ms")
            read_elsewhere(run, site, name, run.subdir("read"),
                           name == "node24")
    finally:
        site.close()
        for app in apps.values():
            app.close()


def uid_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    line = next(x for x in text.splitlines() if x.startswith("Uid:"))
    return set(map(int, line.split()[1:]))


READ_ONLY = r"""
set -eu
state=$1 sockets=$2
shift 2
mount --bind "$state" "$state"
mount --bind "$sockets" "$sockets"
awk '{ print $5 }' /proc/self/mountinfo | while read -r target; do
	case $target in
	"$state" | "$sockets" | /proc* | /sys* | /dev*) ;;
	*) mount -o remount,bind,ro "$target" ;;
	esac
done
for place in / /tmp /var/tmp "$state/.."; do
	if (: >"$place/podprof-probe") 2>/dev/null; then
		echo "$place can still be written" >&2
		exit 1
	fi
done
: >"$state/probe"
rm "$state/probe"
exec "$@"
"""


@deploy("three users, Node as PID 1 of its own name space, a read-only root")
def _(run):
    app = App(run, prefix=[
        "unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
        "setpriv", f"--reuid={APP}", f"--regid={APP}", "--clear-groups",
        "--pdeathsig", "KILL", "--"])
    site = Site(run, "nginx", fakes=0, apps={"sample": app.address})
    site.prefix = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh",
                   site.state, site.pool_dir]
    try:
        site.start()
        equal(uid_of(site.pool.pid), {SERVICE}, "user of the pool")
        equal(uid_of(site.server.pid), {WEB}, "user of the web server")
        integration(site, "sample")
        for job in site.jobs("sample"):
            equal(job["target"]["pid"], 1, "Node's own pid")
        child = pathlib.Path(f"/proc/{app.process.pid}/task/"
                             f"{app.process.pid}/children").read_text()
        equal(uid_of(int(child.split()[0])), {APP}, "user of the app")
    finally:
        site.close()
        app.close()


@deploy("modes and owners of the state are what the manual says")
def _(run):
    for front, user in (("nginx", SERVICE), ("apache-cgid", WEB)):
        site = Site(run, front, fakes=2)
        try:
            site.start()
            app, held = site.fake(), site.fake(hold=True)
            site.take_whole(app)
            job_id = site.take(held)
            held.started()
            seen = {}
            for path in (site.state, *site.state.rglob("*")):
                # SQLite's may go meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    status = path.stat()
                    seen[path.name] = status.st_mode & 0o777
                    equal(status.st_uid, user, f"owner of {path}")
            held.release()
            site.wait_job(held, job_id)
            equal(seen.pop("state"), 0o711, "state_dir")
            equal(seen.pop("artifacts"), 0o700, "artifacts/")
            check("podprof.db" in seen, f"files: {sorted(seen)}")
            check(len(seen) >= 3, f"files: {sorted(seen)}")
            equal({name: oct(mode) for name, mode in seen.items()
                   if mode != 0o600}, {}, "files that are not 0600")
        finally:
            site.close()


@deploy("SIGTERM: what runs is answered, what is captured goes on, exit 0")
def _(run):
    site = Site(run, "nginx", fakes=3)
    try:
        site.start()
        waited, held, big = site.fake(), site.fake(hold=True), \
            site.fake("Large")
        large = site.take_whole(big)
        job_id = site.held_job(held)
        download = http.client.HTTPConnection("127.0.0.1", site.port,
                                              timeout=60)
        token = {"Authorization": f"Bearer {site.tokens['operator']}"}
        download.request("GET", f"/{big.name}/private/papi/jobs/"
                         f"{large['id']}/artifact", headers=token)
        response = download.getresponse()
        got = response.read(100000)
        ends = []

        def ask():
            # After the other request, so that both are there at SIGTERM.
            until(lambda: metrics(site)["podprof_waiting"].get() == 1, 30,
                  "the first request waits")
            return site.papi(waited, "getCpuProfile?duration=4000")

        def stop():
            waited.started(60)
            began = time.monotonic()
            site.pool.signal(signal.SIGTERM)
            ends.append(site.pool.popen.wait(60))
            print(f"# the pool ended {time.monotonic() - began:.2f} s after "
                  "SIGTERM")

        def read_on():
            waited.started(60)
            return got + response.read()
        parked, profile, data, _ = in_parallel([
            lambda: site.papi(held, f"jobs/{job_id}",
                              headers={"Prefer": "wait=25"}),
            ask, read_on, stop])
        equal(ends, [0], "exit status of the pool")
        equal(len(data), large["artifact"]["size"], "bytes of the download")
        check(parked.status in (200, 503), f"parked: {parked.status}")
        check(profile.status in (200, 202, 503), f"profile: {profile.status}")
        if profile.status != 200:
            check(profile["Retry-After"], "no Retry-After")
        site.start_pool()
        held.release()
        equal(site.wait_job(held, job_id)["state"], "succeeded", "state")
        job = site.jobs(waited)[0]
        equal(site.wait_job(waited, job["id"])["state"], "succeeded", "state")
    finally:
        site.close()


@deploy("Apache without ap_trust_cgilike_cl drops Content-Length")
def _(run):
    for front in ("apache-fcgi", "apache-cgid"):
        site = Site(run, front, fakes=1, web_changes={
            "\tSetEnv ap_trust_cgilike_cl yes\n": ""})
        try:
            site.start()
            app = site.fake()
            job = site.take_whole(app)
            path = f"jobs/{job['id']}/artifact"
            head = site.papi(app, path, "HEAD").expect(200)
            equal(head["Content-Length"], None,
                  f"Content-Length of HEAD, {front}")
            reply = site.papi(app, path).expect(200)
            equal(len(reply.body), job["artifact"]["size"], "bytes")
        finally:
            site.close()


@deploy("a configuration that is wrong: file, line, what is allowed, exit 2")
def _(run):
    site = Site(run, None, fakes=1)
    good = site.conf.read_text()
    try:
        for text, words in (
                ("[podprof]\nthreads = 0\n", r"podprof.conf:2: .*1.*256"),
                ("[podprof]\ncolour = red\n", r"podprof.conf:2: .*colour"),
                ("[server]\n", r"podprof.conf:1: .*server"),
                (good + "[auth]\ntokens = /x\n",
                 r"podprof.conf:[0-9]+: .*auth"),
                (good.replace(str(site.state), "/nonexistent/state"),
                 r"/nonexistent/state")):
            site.conf.write_text(text)
            process = Process(
                ["spawn-fcgi", "-n", "-s", site.socket, "-M", "0660", "-u",
                 SERVICE, "-g", SERVICE, "--", run.bin / "podprof.fcgi"],
                site.dir / "pool.log",
                env={"PODPROF_CONFIG": str(site.conf)})
            status = process.popen.wait(20)
            check(status not in (0, -6, -11), f"exit status {status}")
            last = process.text().strip().splitlines()[-1]
            matches(last, words, "message")
    finally:
        site.close()


@deploy("run by hand it says what it is for")
def _(run):
    done = subprocess.run(
        [run.bin / "podprof.fcgi"], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=20, check=False)
    equal(done.returncode, 2, "exit status")
    matches(done.stderr, r"FastCGI|spawn-fcgi", "message")
    done = subprocess.run(
        [run.bin / "podprof-capture"], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=20, check=False)
    equal(done.returncode, 2, "exit status")
    check(done.stderr, "podprof-capture says nothing")


@deploy("the pod's name comes from POD_NAME, else the host's")
def _(run):
    site = Site(run, "nginx", fakes=1, env={"POD_NAME": "shop-7f9c-x2x"},
                conf={"podprof": {"pod": ""}})
    try:
        site.start()
        app = site.fake()
        reply = site.papi(app, "takeMemorySnapshot").expect(200)
        equal(reply["X-Pod-Name"], "shop-7f9c-x2x", "X-Pod-Name")
        job = site.wait_job(app, reply["X-Job-Id"])
        equal(job["pod"], "shop-7f9c-x2x", "pod")
        check(job["pod"] != POD, "pod")
    finally:
        site.close()
