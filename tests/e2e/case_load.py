"""Many at once: nobody waits for somebody else's capture or download."""
import http.client
import json
import random
import select
import socket
import statistics
import threading

import fastcgi
from harness import App, Failed, Site, api, check, check_whole, equal, \
    in_parallel, matches, once, until


class Prober:
    """Asks for the status in a loop, and keeps how long each answer took."""

    def __init__(self, ask):
        self.ask = ask
        self.times_ms = []
        self.faults = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.is_set():
            try:
                self.times_ms.append(self.ask().expect(200).seconds * 1000)
            except (Failed, OSError) as error:
                self.faults.append(str(error))
            self.over.wait(0.02)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def report(self, what):
        check(not self.faults, f"{what}: {self.faults[:3]}")
        ordered = sorted(self.times_ms)
        print(f"# {what}: {len(ordered)} status queries, median "
              f"{statistics.median(ordered):.1f} ms, 99th percentile "
              f"{ordered[int(len(ordered) * 0.99)]:.1f} ms, longest "
              f"{ordered[-1]:.1f} ms")


@once("20 getCpuProfile at once with 4 threads, the status stays quick")
def _(run):
    app = App(run)
    site = Site(run, "nginx", fakes=0, apps={"sample": app.address},
                conf={"podprof": {"threads": 4}})
    try:
        site.start()
        with Prober(lambda: site.papi("sample", "jobs")) as prober:
            replies = in_parallel([lambda: site.papi(
                "sample", "getCpuProfile?duration=3000")] * 20)
        prober.report("beside 20 CPU profiles")
        for reply in replies:
            reply.expect(200)
            check(reply.seconds >= 3, f"3 s took {reply.seconds:.2f} s")
            check(reply.json()["samples"], "no samples")
        equal(len({reply["X-Job-Id"] for reply in replies}), 20, "job ids")
        # Far under the 3 s for which all 4 threads would be busy otherwise.
        check(statistics.median(prober.times_ms) < 1000,
              "the status waited for the profiles")
    finally:
        site.close()
        app.close()


@once("more profiles than [limits] profiles: 429 and Retry-After")
def _(run):
    site = Site(run, "nginx", fakes=2, conf={"limits": {"profiles": 2}})
    try:
        site.start()
        app, other = site.fake(), site.fake()
        for _ in range(2):
            site.post_job(app, "cpu-profile", durationMs=60000).expect(202)
        reply = site.papi(app, "getCpuProfile?duration=100")
        reply.papi_error(429, None, "limit", "2")
        check(reply["Retry-After"], "no Retry-After")
        # Counted per app.
        site.papi(other, "getCpuProfile?duration=100").expect(200)
        for job in site.jobs(app):
            site.papi(app, f"jobs/{job['id']}", "DELETE").expect(202)
        # As soon as they have left.
        once_free(site, app, "getCpuProfile?duration=100").expect(200)
    finally:
        site.close()


@once("more waiting requests than [limits] waiting: 429, the rest goes on")
def _(run):
    site = Site(run, "nginx", fakes=1, conf={"limits": {"waiting": 3}})
    try:
        site.start()
        app = site.fake(hold=True)
        job_id = site.held_job(app)
        ask = (f"GET /{app.name}/private/papi/jobs/{job_id} HTTP/1.0\r\n"
               "Host: localhost\r\nPrefer: wait=20\r\nAuthorization: Bearer "
               f"{site.tokens['viewer']}\r\n\r\n").encode()
        waiting = []
        for _ in range(4):
            waiting.append(socket.create_connection(
                ("127.0.0.1", site.port), timeout=60))
            waiting[-1].sendall(ask)
        ready = select.select(waiting, [], [], 15)[0]
        equal(len(ready), 1, "requests that are answered at once, of 4")
        waiting.remove(ready[0])
        text = fastcgi.read_all(ready[0]).decode()
        matches(text, r"^HTTP/1\.[01] 429 ", "the fourth")
        matches(text, r"(?mi)^Retry-After: [1-9]", "the fourth")
        matches(text, r"\[limits\] waiting", "the fourth")
        # Who does not wait is answered.
        site.papi(app, f"jobs/{job_id}").expect(200)
        app.release()
        for connection in waiting:
            matches(fastcgi.read_all(connection).decode(),
                    r"^HTTP/1\.[01] 200 ", "a waiting request")
        site.wait_job(app, job_id)
    finally:
        site.close()


class Sloth:
    """A client that takes the head of an answer, and then nothing.

    buffer  bytes that the kernel may take for it
    """

    def __init__(self, site, path, buffer=4096):
        self.socket = socket.socket()
        # Before connect, so that little of the file fits on the way.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", site.port))
        self.socket.sendall(
            f"GET {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer "
            f"{site.tokens['operator']}\r\n\r\n".encode())
        self.data = self.socket.recv(1000)

    def read(self, count):
        """So many bytes more, of which nothing is kept."""
        while count > 0:
            part = self.socket.recv(1 << 18)
            check(part, "the answer ended too early")
            count -= len(part)

    def rest(self):
        """Everything, after all."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        while True:
            part = self.socket.recv(1 << 20)
            if not part:
                break
            self.data += part
        self.socket.close()
        return self.data.partition(b"\r\n\r\n")[2]


def slow_downloads(site, count):
    app = site.fake("Large")
    job = site.take_whole(app)
    path = f"/{app.name}/private/papi/jobs/{job['id']}/artifact"
    sloths = [Sloth(site, path) for _ in range(count)]
    with Prober(lambda: site.papi(app, "jobs")) as prober:
        for probe in ("/livez", "/readyz"):
            for _ in range(5):
                site.request("GET", probe).expect(200)
        site.papi(app, "getCpuProfile?duration=1000").expect(200)
        reply = site.papi(app, f"jobs/{job['id']}/artifact").expect(200)
        equal(len(reply.body), job["artifact"]["size"], "a quick download")
    prober.report(f"beside {count} stuck downloads, {site.front}")
    check(statistics.median(prober.times_ms) < 1000,
          "the status waited for the downloads")
    for sloth in sloths:
        equal(len(sloth.rest()), job["artifact"]["size"],
              "bytes of a slow download")
    equal(site.job(app, job["id"])["artifact"]["deliveredAt"], None,
          "the artifact's address delivers nothing")


@api("slow downloads: probes, status and captures are answered meanwhile")
def _(site):
    slow_downloads(site, 4)


@once("eight slow downloads with 4 threads starve nobody")
def _(run):
    site = Site(run, "nginx", fakes=1)
    try:
        site.start()
        slow_downloads(site, 8)
    finally:
        site.close()


@once("more downloads than [limits] downloads: 429 and Retry-After")
def _(run):
    site = Site(run, "nginx", fakes=1, conf={"limits": {"downloads": 2}})
    try:
        site.start()
        app = site.fake("Large")
        job = site.take_whole(app)
        path = f"/{app.name}/private/papi/jobs/{job['id']}/artifact"
        sloths = [Sloth(site, path) for _ in range(2)]
        for tail in (f"jobs/{job['id']}/artifact", "getMemorySnapshot"):
            reply = site.papi(app, tail)
            reply.problem(429, "limit", "download")
            check(reply["Retry-After"], "no Retry-After")
        for sloth in sloths:
            equal(len(sloth.rest()), job["artifact"]["size"], "bytes")
        until(lambda: site.papi(app, "getMemorySnapshot").status == 200, 20,
              "a place is free again", 0.1)
    finally:
        site.close()


@api("a client that leaves during getCpuProfile: the job keeps its file")
def _(site):
    app = site.fake()
    leaver = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    leaver.request("GET", f"/{app.name}/private/papi/getCpuProfile"
                   "?duration=1500", headers={
                       "Authorization": f"Bearer {site.tokens['operator']}"})
    app.started()
    leaver.close()
    job = until(lambda: site.jobs(app), 10, "the job is listed")[0]
    job = site.wait_job(app, job["id"])
    equal(job["state"], "succeeded", f"state, {job['error']}")
    reply = site.papi(app, f"jobs/{job['id']}/artifact").expect(200)
    check(reply.json()["samples"], "no samples")


@once("a download that is broken off delivers nothing")
def _(run):
    site = Site(run, "nginx", fakes=1, conf={"limits": {"downloads": 1}})
    try:
        site.start()
        app = site.fake("Large")
        job = site.take_whole(app)
        sloth = Sloth(site, f"/{app.name}/private/papi/getMemorySnapshot")
        matches(sloth.data.decode("latin-1"), r"^HTTP/1\.[01] 200", "status")
        sloth.socket.close()
        # The only place is free again once podprof has seen the client leave.
        until(lambda: site.papi(app, f"jobs/{job['id']}/artifact").status ==
              200, 20, "the place of the broken download is free", 0.1)
        equal(site.job(app, job["id"])["artifact"]["deliveredAt"], None,
              "deliveredAt")
        reply = site.papi(app, "getMemorySnapshot").expect(200)
        equal(len(reply.body), job["artifact"]["size"], "size")
    finally:
        site.close()


def begin_download(site, path):
    """A Sloth on the only place for downloads, once that is free."""
    sloth = Sloth(site, path, 1 << 18)
    if b" 429 " in sloth.data[:20]:
        sloth.socket.close()
        return None
    matches(sloth.data.decode("latin-1"), r"^HTTP/1\.[01] 200", "status")
    return sloth


def break_off(site, path, wanted):
    """Take so many bytes of the answer, and leave."""
    # The place is free again once podprof has seen the one before leave.
    sloth = until(lambda: begin_download(site, path), 30, "a place is free",
                  0.05)
    sloth.read(wanted)
    sloth.socket.close()


def once_free(site, app, tail):
    """The answer, once there is a place for it."""
    return until(lambda: (lambda r: r if r.status != 429 else None)(
        site.papi(app, tail)), 30, "a place is free", 0.1)


def aborted_ten_times(run, front, size, share, grace_s):
    """getMemorySnapshot broken off ten times before that share of it, then
    whole, then delivered."""
    site = Site(run, front, fakes=1, conf={
        "limits": {"grace": f"{grace_s}s", "downloads": 1}})
    dice = random.Random(size)
    try:
        site.start()
        app = site.fake("Big", size=size, expected=2 * size)
        job = site.take_whole(app)
        size = job["artifact"]["size"]
        path = f"/{app.name}/private/papi/getMemorySnapshot"
        for _ in range(10):
            break_off(site, path, int(size * dice.uniform(0.01, share)))
            equal(site.job(app, job["id"])["artifact"]["deliveredAt"], None,
                  "deliveredAt after a download that was broken off")
        tail = f"jobs/{job['id']}/artifact"
        # The second at once, as it must come within the grace.
        replies = [once_free(site, app, "getMemorySnapshot"),
                   once_free(site, app, tail)]
        for reply in replies:
            check_whole(reply, job)
        equal(job["artifact"]["sha256"], app.behaviour.sha256(), "sha256")
        site.papi(app, "getMemorySnapshot").papi_error(
            404, "Snapshot not found", "not-found", "deliver|fetched")
        check(site.job(app, job["id"])["artifact"]["deliveredAt"],
              "not delivered by a whole download")
        until(lambda: site.papi(app, tail, "HEAD").status == 410,
              grace_s + 20, "gone after the grace", 0.2)
        site.papi(app, tail).problem(410, "gone")
    finally:
        site.close()


@once("getMemorySnapshot broken off ten times is still there, through nginx "
      "and Apache; whole once, it is delivered")
def _(run):
    in_parallel({front: lambda f=front: aborted_ten_times(
        run, f, 20 << 20, 0.4, 10) for front in ("nginx", "apache-fcgi")})


@once("profiles run side by side, also during each other's end")
def _(run):
    app = App(run)
    site = Site(run, "nginx", fakes=0, apps={"sample": app.address})
    try:
        site.start()
        replies = in_parallel([
            lambda ms=ms: site.papi("sample", f"getCpuProfile?duration={ms}")
            for ms in (300, 600, 900)])
        for reply, ms in zip(replies, (300, 600, 900)):
            profile = json.loads(reply.expect(200).body)
            check(profile["endTime"] - profile["startTime"] >= ms * 1000,
                  f"{ms} ms: too short")
    finally:
        site.close()
        app.close()
