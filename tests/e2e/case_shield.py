"""The probe shield: what /livez?app and /readyz?app say of an app that is
asked, that is frozen, that thaws, and that dies meanwhile; with the pool, and
under plain CGI."""
import contextlib
import http.client
import http.server
import os
import selectors
import stat
import threading
import time

import fastcgi
from case_activate import ClosedApp, conf_of
from case_activate import site_of as site_of_closed
from harness import (App, Fake, Site, activate, check, equal, in_parallel,
                     matches, once, real, until)

GRACE = 15


class Health:
    """The health address of an app.

    status    what it answers
    hanging   it does not, while this is set
    asked     when it was asked, each time
    """

    def __init__(self, port=0):
        self.status = 200
        self.hanging = threading.Event()
        self.over = threading.Event()
        self.asked = []
        health = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                health.asked.append(time.monotonic())
                while health.hanging.is_set() and not health.over.wait(0.02):
                    pass
                with contextlib.suppress(OSError):
                    self.send_response(health.status)
                    self.send_header("Content-Length", "3")
                    self.end_headers()
                    self.wfile.write(b"hm\n")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port),
                                                      Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/health?of=it"
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self):
        self.over.set()
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()


class Stand:
    """One fake app with a health address behind a web server."""

    def __init__(self, run, front, drain="0s", **keys):
        self.health = Health()
        self.fake = Fake("shop", run.port())
        self.exchange = run.exchange_dir()
        self.site = Site(
            run, front, fakes=0, exchange=self.exchange,
            apps={"shop": self.fake.inspector.address,
                  "mute": self.fake.inspector.address},
            conf={"app shop": {"health_url": self.health.url, "drain": drain,
                               **keys}})

    def __enter__(self):
        self.site.start().await_ready()
        # Who asks the app is started for the first probe.
        until(lambda: self.ask("livez").status == 200, 20, "alive")
        return self

    def __exit__(self, *_):
        self.health.close()
        self.fake.close()
        self.site.close()

    def ask(self, probe, app="shop", **more):
        return self.site.request("GET", f"/{probe}?app={app}", **more)

    def live(self, pattern):
        matches(self.ask("livez").expect(200).text, pattern, "livez")

    def ready(self, pattern="^ok: health_url answers"):
        matches(self.ask("readyz").expect(200).text, pattern, "readyz")

    def dead(self, pattern):
        self.ask("livez").problem(503, "unhealthy", pattern)

    def unready(self, pattern):
        self.ask("readyz").problem(503, "unhealthy", pattern)

    def shielded(self):
        """Wait until probes know of the capture: while its rows cannot be
        read in time, what was read before counts."""
        until(lambda: "snapshot in progress" in self.ask("livez").text, 20,
              "the shield knows of the capture")
    def freeze(self):
        """A blocking capture that stands still in its middle; its id."""
        self.fake.behave(hold=True)
        job_id = self.site.post_job("shop", "heap-snapshot", method="stream"
                                    ).expect(202).json()["id"]
        self.fake.started()
        return job_id

    def lease(self):
        return self.exchange / "podprof-freeze-shop"


def check_asked_once_a_second(health, since):
    asked = [at for at in health.asked if at >= since]
    for before, after in zip(asked, asked[1:]):
        check(after - before > 0.95,
              f"asked again after {after - before:.2f} s: {asked}")
    return asked


def tell_health(stand, seconds):
    """Every answer that a health address can give, and none."""
    health = stand.health
    for status, good in ((302, True), (500, False)):
        health.status = status
        time.sleep(1.05)    # for how long an answer is shared
        if good:
            stand.live("^ok: health_url answers")
            stand.ready()
        else:
            stand.dead(f"^health_url answered {status}")
            stand.unready(f"^health_url answered {status}")
    health.status = 200
    health.hanging.set()
    time.sleep(1.05)
    with Kubelet(plain_probe_of(stand.site), 0.1, timeout=30) as control:
        reply = stand.ask("livez")
    reply.problem(503, "unhealthy", "^health_url did not answer within 2000")
    more = max(took for _, _, took in control.replies)
    check(1.9 < reply.seconds < seconds + more,
          f"it took {reply.seconds:.1f} s, podprof itself {more:.1f} s")
    health.hanging.clear()
    until(lambda: stand.ask("livez").status == 200, 15, "alive again")
    health.close()
    until(lambda: stand.ask("livez").status == 503, 15, "dead")
    stand.dead("^health_url cannot be connected to")
    stand.unready("^health_url cannot be connected to")


def tell_others(stand):
    """Whom nobody can ask."""
    matches(stand.ask("livez", "mute").expect(200).text,
            "podprof is alive; the app was not asked", "livez")
    matches(stand.ask("readyz", "mute").expect(200).text,
            "podprof is; the app was not asked", "readyz")
    equal(stand.site.request("GET", "/livez").expect(200).text, "ok\n",
          "livez of podprof")
    for probe in ("livez", "readyz"):
        stand.ask(probe, "nobody").problem(404, "not-found", "nobody")
        reply = stand.site.request("HEAD", f"/{probe}?app=shop").expect(200)
        equal(reply.body, b"", "body of HEAD")


def share(stand, probes):
    """Many probes at once are one question."""
    began = time.monotonic()
    for _ in range(3):
        in_parallel([
            lambda probe=probe: stand.ask(probe).expect(200)
            for probe in ("livez", "readyz") for _ in range(probes)])
        time.sleep(0.3)
    asked = check_asked_once_a_second(stand.health, began)
    print(f"# {6 * probes} probes in {time.monotonic() - began:.1f} s: "
          f"health_url was asked {len(asked)} times")


@once("shield: health_url is asked for an app, once a second, and its answer "
      "shared (pool)")
def _(run):
    with Stand(run, "nginx") as stand:
        share(stand, 30)
        tell_others(stand)
        tell_health(stand, 3.5)


@once("shield: the same under plain CGI")
def _(run):
    with Stand(run, "apache-cgid") as stand:
        share(stand, 6)
        tell_others(stand)
        tell_health(stand, 4.5)


def begin_drain(stand):
    """A capture that waits until the app has left its load balancer."""
    stand.fake.behave(hold=True)
    job_id = stand.site.post_job("shop", "heap-snapshot").expect(
        202).json()["id"]
    until(lambda: stand.site.job("shop", job_id)["phase"] == "draining", 20,
          "the job is draining")
    return job_id


def take_shielded(stand, drain):
    site, health = stand.site, stand.health
    stand.ready()
    began = time.monotonic()
    job_id = begin_drain(stand)
    until(lambda: stand.ask("readyz").status == 503, 20, "not ready")
    stand.unready("is about to freeze")
    stand.shielded()
    stand.live("^heap snapshot in progress: .*load balancer")
    check(not stand.fake.behaviour.started.is_set(),
          "frozen before it was drained")
    stand.fake.started(30)
    check(time.monotonic() - began >= drain, "drain was not waited for")
    health.hanging.set()    # as an app does that stands still
    until(lambda: site.job("shop", job_id)["phase"] != "draining", 15,
          "drained")
    until(lambda: "the app is frozen" in stand.ask("livez").text, 20,
          "the shield knows that it is frozen")
    asked = len(health.asked)
    for _ in range(3):
        stand.live("^heap snapshot in progress: the app is frozen")
        stand.unready("a heap snapshot freezes the app")
        time.sleep(0.3)
    equal(len(health.asked), asked, "questions, of which none is answered")
    check_lease(stand)
    stand.fake.release()
    job = site.wait_job("shop", job_id)
    equal((job["state"], job["method"]), ("succeeded", "stream"),
          f"{job['error']}")
    # It has a backlog: still not ready, by its own word, but alive.
    stand.live("^heap snapshot just over")
    health.hanging.clear()
    until(lambda: stand.ask("readyz").status == 200, 15, "ready again")


def check_lease(stand):
    """What an exec probe in the app's container finds."""
    info = os.lstat(stand.lease())
    check(stat.S_ISREG(info.st_mode), "the lease is no file")
    equal(stat.S_IMODE(info.st_mode), 0o644, "mode of the lease")
    equal(info.st_uid, stand.site.user, "owner of the lease")
    check(time.time() - info.st_mtime < 5, "the lease is old")


@once("shield: an app is drained, frozen, called alive, and ready again (pool)")
def _(run):
    with Stand(run, "nginx", drain="8s") as stand:
        # What lies in its place is replaced, and not followed.
        victim = stand.site.dir / "victim"
        victim.write_text("mine")
        stand.lease().symlink_to(victim)
        take_shielded(stand, 8)
        equal(victim.read_text(), "mine", "what a link leads to")
        age = time.time() - os.lstat(stand.lease()).st_mtime
        check(30 - GRACE - 5 < age < 30, f"the lease is {age:.1f} s old after "
              f"the thaw: believed for {30 - age:.1f} s more")
        # The next one begins without delay, whatever is left of this.
        equal(stand.site.take_whole("shop")["state"], "succeeded", "state")


@once("shield: the same under plain CGI, where it is the web server's user")
def _(run):
    with Stand(run, "apache-cgid", drain="8s") as stand:
        take_shielded(stand, 8)


@once("shield: an app that dies while it is frozen is called dead within 5 s")
def _(run):
    for front in ("nginx", "apache-cgid"):
        with Stand(run, front) as stand:
            stand.freeze()
            stand.shielded()
            stand.live("^heap snapshot in progress")
            died = time.monotonic()
            stand.health.close()
            stand.fake.inspector.close()
            until(lambda: stand.ask("livez").status == 503, 5, "dead")
            print(f"# {front}: 503 {time.monotonic() - died:.1f} s after it "
                  "died")
            stand.dead("cannot be connected to")
            until(lambda: not stand.lease().exists(), 5, "no lease")


def flood(stand, count):
    """So many probes at once, whoever waits: what each is answered, and whether
    all were sent before health_url had failed."""
    began = time.monotonic()
    probe = fastcgi.request("/livez", QUERY_STRING="app=shop")
    sent = {}
    answers = []

    def take_answers():
        # As a web server: who has his answer, goes.
        while sent and time.monotonic() < began + 60:
            for key, _ in waiting.select(1):
                part = key.fileobj.recv(65536)
                sent[key.fileobj] += part
                if not part:
                    waiting.unregister(key.fileobj)
                    answers.append(fastcgi.stdout_of(sent.pop(
                        key.fileobj)).decode())
                    key.fileobj.close()

    with selectors.DefaultSelector() as waiting:
        first = fastcgi.connect(stand.site.socket)
        sent[first] = b""
        waiting.register(first, selectors.EVENT_READ)
        taker = threading.Thread(target=take_answers)
        taker.start()
        for _ in range(count - 1):
            client = fastcgi.connect(stand.site.socket)
            client.sendall(probe)
            sent[client] = b""
            waiting.register(client, selectors.EVENT_READ)
        was_fast = time.monotonic() - began < 1.5
        first.sendall(probe)
        taker.join()
    return answers, was_fast


@once("shield: more probes than can wait are answered by what is known")
def _(run):
    with Stand(run, "nginx") as stand:
        stand.live("^ok: health_url answers")
        time.sleep(1.05)    # for how long an answer is shared
        stand.health.hanging.set()
        answers, was_fast = flood(stand, 1024 + 100)
        equal(len(answers), 1024 + 100, "answers")
        good = sum(answer.startswith("Status: 200") for answer in answers)
        bad = [answer for answer in answers
               if not answer.startswith("Status: 200")]
        print(f"# {good} were told that it is alive, {len(bad)} waited")
        check(good >= 100 or not was_fast, f"only {good}")
        for answer in bad:
            matches(answer, "(?s)^Status: 503.*did not answer within 2000",
                    "a probe that waited")
        stand.health.hanging.clear()
        until(lambda: stand.ask("livez").status == 200, 5, "alive again")


@once("shield: an inspector that accepts and says nothing is no sign of life")
def _(run):
    with Stand(run, "nginx") as stand:
        stand.freeze()
        stand.shielded()
        stand.live("^heap snapshot in progress")
        stand.health.hanging.set()
        # As a stopped process: the kernel takes connections for it.
        stand.fake.inspector.serve_http = lambda session, behaviour: \
            stand.health.over.wait(30)
        began = time.monotonic()
        until(lambda: stand.ask("livez").status == 503, 15, "dead")
        check(time.monotonic() - began < 15, "it took too long")
        stand.dead("the inspector did not answer within 2000 ms")


@once("shield: a capture that is canceled while the app is drained never "
      "freezes it")
def _(run):
    with Stand(run, "nginx", drain="60s") as stand:
        job_id = begin_drain(stand)
        until(lambda: stand.ask("readyz").status == 503, 20, "not ready")
        stand.site.papi("shop", f"jobs/{job_id}", "DELETE").expect(202)
        until(lambda: stand.ask("readyz").status == 200, 15, "ready again")
        equal(stand.site.job("shop", job_id)["state"], "canceled", "state")
        check("HeapProfiler.takeHeapSnapshot" not in stand.fake.methods(),
              "frozen all the same")
        stand.live("^ok: health_url answers")
        until(lambda: not stand.lease().exists(), 5, "no lease")


@once("shield: who holds the lease and is killed is believed no longer than "
      "it lasts")
def _(run):
    with Stand(run, "nginx") as stand:
        job_id = stand.freeze()
        stand.health.hanging.set()
        stand.shielded()
        stand.live("^heap snapshot in progress")
        for pid in stand.site.captures(job_id):
            os.kill(pid, 9)
        until(lambda: stand.site.job("shop", job_id)["state"] == "failed", 15,
              "failed")
        # The app may stand still for all we know; but it is not held.
        until(lambda: "just over" in stand.ask("livez").expect(200).text, 15,
              "held no more")
        left = stand.site.sql("SELECT max(shield_until_ms) FROM jobs")
        check(int(left) / 1000 - time.time() <= 30, "lease beyond its length")
        stand.site.sql("UPDATE jobs SET shield_until_ms = 1")
        until(lambda: stand.ask("livez").status == 503, 15, "dead", 0.2)


@once("shield: an app whose snapshots are forked needs none, and the probes "
      "say so")
def _(run):
    app = App(run, heap_mb=4)
    exchange = run.exchange_dir()
    site = Site(run, "nginx", fakes=0, exchange=exchange,
                apps={"forked": app.address, "free": app.address},
                conf={"app forked": {"method": "fork",
                                     "health_url": app.url}})
    try:
        site.start().await_ready()
        matches(site.request("GET", "/livez?app=forked").expect(200).text,
                "nothing needs shielding", "livez")
        matches(site.request("GET", "/readyz?app=forked").expect(200).text,
                "nothing needs shielding", "readyz")
        job = site.take_whole("forked")
        equal(job["method"], "fork", "method")
        equal(site.sql("SELECT count(*) FROM jobs WHERE shield_from_ms"
                       " IS NOT NULL OR shield_until_ms IS NOT NULL").strip(),
              "0", "jobs that shielded")
        check(not (exchange / "podprof-freeze-forked").exists(), "a lease")
    finally:
        site.close()
        app.close()


class Kubelet:
    """One probe each period, failed after timeout, and how often it would have
    restarted the app.

    ask  gets the timeout, gives a status
    """

    def __init__(self, ask, period=1.0, timeout=1.0, threshold=3):
        self.ask = ask
        self.period, self.timeout, self.threshold = period, timeout, threshold
        # (when it was there, status or None, for how long it was awaited)
        self.replies = []
        self.restarts = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def probe(self):
        try:
            return self.ask(self.timeout)
        except (OSError, http.client.HTTPException):
            return None

    def run(self):
        failed = 0
        due = time.monotonic()
        while not self.over.wait(max(0, due - time.monotonic())):
            due += self.period
            asked = time.monotonic()
            status = self.probe()
            now = time.monotonic()
            self.replies.append((now, status, now - asked))
            failed = 0 if status is not None and status < 400 else failed + 1
            if failed >= self.threshold:
                self.restarts += 1
                failed = 0

    def bad(self):
        return [(at, status) for at, status, _ in self.replies
                if status is None or status >= 400]

    def slow(self, control, seconds=1):
        """Those that took longer, while whoever asks podprof something plain
        was answered at once: else it is this machine that is slow."""
        return [(at, took) for at, _, took in self.replies
                if took > seconds and all(
                    other <= seconds / 4 for end, _, other in control.replies
                    if end > at - took and end - other < at)]
    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def probe_of(site, app):
    """What a kubelet asks podprof about an app."""
    return lambda timeout: site.request("GET", f"/livez?app={app}",
                                        timeout=timeout).status


def plain_probe_of(site):
    """What a kubelet asks podprof about itself."""
    return lambda timeout: site.request("GET", "/livez",
                                        timeout=timeout).status


def favour(process):
    """The process and its threads come first, however busy the machine."""
    os.setpriority(os.PRIO_PGRP, process.pid, -10)


def scrape_of(site):
    """What a Prometheus does."""
    return lambda timeout: site.request("GET", "/metrics", "viewer",
                                        timeout=timeout).status


@activate("shield: no probe fails while an inspector is opened for a capture, "
          "and closed before the app has had its moment")
def _(run):
    app = ClosedApp(run, "--heap-mb", 40, script="load-app.js")
    conf = conf_of(one=app.pid)
    conf["app one"] |= {"health_url": app.url, "drain": "0s"}
    with site_of_closed(run, {"one": app}, conf) as site:
        favour(app.process)
        site.await_ready()
        # That the inspector refuses is always known.
        with Kubelet(scrape_of(site), 0.1, timeout=10) as scraper, \
                Kubelet(probe_of(site, "one"), 0.2, timeout=6) as prober:
            until(lambda: len(scraper.replies) > 3, 10, "it was scraped")
            for _ in range(3):
                job = site.wait_job("one", site.post_job(
                    "one", "heap-snapshot", method="stream").expect(
                        202).json()["id"])
                equal(job["state"], "succeeded", f"{job['error']}")
                print(f"# frozen for {job['freezeMs']} ms")
                # The rest of its moment, which begins with the thaw.
                time.sleep(2)
            matches(site.request("GET", "/livez?app=one").expect(200).text,
                    "^ok: health_url answers", "livez")
        equal(prober.bad(), [], "probes that failed")
        check(len(prober.replies) > 20, "hardly a probe was answered")
        equal(scraper.bad(), [], "scrapes that failed")
        app.close()
        until(lambda: site.request("GET", "/livez?app=one").status == 503, 15,
              "it is dead, and called so")


@real("shield: a real app is frozen by stream and direct, and no probe fails")
def _(run):
    app = App(run, heap_mb=12)
    site = Site(run, "nginx", fakes=0, exchange=run.exchange_dir(),
                apps={"sample": app.address},
                conf={"app sample": {"health_url": app.url, "drain": "300ms"}})
    try:
        site.start()
        favour(app.process)
        favour(site.pool)
        for method in ("stream", "direct"):
            with Kubelet(plain_probe_of(site), 0.1, timeout=5) as control, \
                    Kubelet(probe_of(site, "sample"), 0.1,
                            timeout=5) as prober:
                job = site.wait_job("sample", site.post_job(
                    "sample", "heap-snapshot", method=method).expect(
                        202).json()["id"])
            equal(job["state"], "succeeded", f"{job['error']}")
            print(f"# {method}: frozen for {job['freezeMs']} ms, "
                  f"{len(prober.replies)} probes, {len(control.replies)} of "
                  "podprof itself")
            # Of four that are due three may be late, and the last by 1 s.
            check(4 * len(prober.replies) + 10 > len(control.replies),
                  "hardly a probe was answered")
            equal(prober.bad(), [], "probes that failed")
            equal(prober.slow(control), [], "probes that took over 1 s")
    finally:
        site.close()
        app.close()
