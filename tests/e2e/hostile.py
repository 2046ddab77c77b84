"""Requests good, bad and hostile, mixed at random, through a web server.

    Mix      makes them, each with the statuses it may be answered
    assault  sends so many from several clients, and looks what that leaves
"""
import collections
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import socket
import threading
import time

from harness import Failed, Site, check, equal, until

CLIENTS = 12
# After each of so many parts memory is looked at.
PARTS = 4
MIB = 1 << 20
CAPTURED = {200, 202, 409, 429}
# A capture may be about to freeze it.
PROBED = {200, 503}
LINE = re.compile(r"time=\S+Z level=(audit|error|warn|info|debug) "
                  r"module=[a-z_]+ ")
# What a web server says to what is no request, by itself.
NO_REQUEST = {0, 400, 404, 405, 408, 411, 413, 414, 431, 501, 505}

# data    what is sent
# allowed statuses; 0: the connection may end without an answer
# leaves  the client does not wait for an answer
Ask = collections.namedtuple("Ask", "name data allowed method leaves",
                             defaults=("GET", False))


def head(method, path, headers=(), version="HTTP/1.1"):
    lines = [f"{method} {path} {version}", "Host: localhost",
             *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def site_of(run, **conf):
    """One fake app, which can be probed."""
    site = Site(run, "nginx", fakes=1)
    app = site.fakes[0]
    site.write_conf({**conf, f"app {app.name}": {
        "health_url": f"http://{app.inspector.address}/json/list"}})
    return site


class Mix:
    """app: one whose captures are small; job: one of it that has its file."""

    def __init__(self, site, app, job):
        self.app = app.name
        self.base = f"/{app.name}/private/papi"
        self.job = job
        self.operator = ("Authorization", f"Bearer {site.tokens['operator']}")
        self.viewer = ("Authorization", f"Bearer {site.tokens['viewer']}")
        self.kinds = [getattr(self, name) for name in sorted(dir(self))
                      if name.startswith(("good_", "bad_", "evil_"))]
        # Each starts a process.
        self.rare = {self.good_capture, self.good_target, self.bad_worker}

    def draw(self, dice, kind=None):
        """One of that kind, else of any."""
        while kind is None:
            kind = dice.choice(self.kinds)
            if kind in self.rare and dice.random() >= 0.1:
                kind = None
        return kind(dice)._replace(name=kind.__name__)

    def ask(self, method, tail, allowed, headers=None, body=b"", **more):
        headers = [self.operator] if headers is None else list(headers)
        if body:
            headers.append(("Content-Length", len(body)))
        return Ask("", head(method, self.base + tail, headers) + body,
                   allowed, method, **more)

    # What honest clients send.
    def good_list(self, dice):
        return self.ask("GET", "/jobs?limit=" + str(dice.randint(1, 50)),
                        {200}, [dice.choice((self.operator, self.viewer))])

    def good_job(self, dice):
        return self.ask(dice.choice(("GET", "HEAD")), f"/jobs/{self.job}",
                        {200}, [self.viewer])

    def good_probe(self, dice):
        return Ask("", head("GET", dice.choice(("/livez", "/readyz"))), {200})

    def good_probe_of_app(self, dice):
        method = dice.choice(("GET", "HEAD"))
        probe = dice.choice(("/livez", "/readyz"))
        return Ask("", head(method, f"{probe}?app={self.app}"), PROBED, method)

    def good_page(self, dice):
        method = dice.choice(("GET", "HEAD"))
        return Ask("", head(method, dice.choice(("/metrics", "/openapi.json")),
                            [dice.choice((self.operator, self.viewer))]),
                   {200}, method)

    def good_capture(self, dice):
        return self.ask("GET", dice.choice((
            "/takeMemorySnapshot", "/getCpuProfile?duration=100")), CAPTURED)

    def good_target(self, dice):
        return self.ask("GET", "/target", {200}, [self.viewer])

    def good_file(self, dice):
        coding = dice.choice(("identity", "zstd", "gzip, zstd;q=0.5"))
        return self.ask(dice.choice(("GET", "HEAD")),
                        f"/jobs/{self.job}/artifact", {200},
                        [self.operator, ("Accept-Encoding", coding)])

    def good_range(self, dice):
        first = dice.randint(0, 50)
        return self.ask("GET", f"/jobs/{self.job}/artifact", {206},
                        [self.operator, ("Range", f"bytes={first}-"
                                         f"{first + dice.randint(0, 50)}")])

    def good_link(self, dice):
        return self.ask("POST", f"/jobs/{self.job}/links", {201, 429})

    # What is wrong, and may be honest.
    def bad_token(self, dice):
        value = dice.choice((
            "Bearer podprof_" + "A" * 43, "Bearer", "Bearer ", "Basic eDp5",
            "Bearer " + "x" * dice.randint(1, 3000), "Digest x", "x"))
        return self.ask(dice.choice(("GET", "POST", "DELETE")), dice.choice(
            ("/jobs", "/takeMemorySnapshot", "/nothing", "/getCpuProfile")),
            {401}, [("Authorization", value)])

    def bad_role(self, dice):
        return self.ask("GET", dice.choice((
            "/takeMemorySnapshot", "/getMemorySnapshot",
            "/getCpuProfile?duration=100", f"/jobs/{self.job}/artifact")),
            {403}, [self.viewer])

    def bad_probe(self, dice):
        query, allowed = dice.choice((
            ("app=nobody", {404}), (f"app={self.app}x", {404}),
            ("app=" + "x" * dice.randint(100, 3000), {400, 404}),
            (f"app={self.app}&app={self.app}", {400}), ("app=%00", {400}),
            (f"app={self.app}%00", {400}), ("app=..%2f..%2f", {400}),
            ("app=", {400, 404}), ("APP=x&%61pp=%ff", {400})))
        return Ask("", head("GET", dice.choice(("/livez?", "/readyz?")) +
                            query), allowed)

    def bad_page(self, dice):
        path = dice.choice(("/metrics", "/openapi.json"))
        method, headers, status = dice.choice((
            ("GET", [], 401), ("POST", [self.operator], 405),
            ("GET", [("Authorization", "Bearer podprof_" + "A" * 43)], 401)))
        return Ask("", head(method, path, headers), {status}, method)

    def bad_worker(self, dice):
        # It has none, and speaks of none.  Where that takes its time to be
        # seen, it is told as the job's error.
        return self.ask("POST", "/jobs", {202, 404, 409, 429, 502}, [
            self.operator, ("Content-Type", "application/json")],
            json.dumps({"kind": dice.choice(("cpu-profile", "heap-snapshot",
                                             "heap-profile")),
                        "worker": str(dice.randint(1, 99))}).encode())

    def bad_worker_id(self, dice):
        return self.ask("POST", "/jobs", {400}, [
            self.operator, ("Content-Type", "application/json")],
            json.dumps({"kind": "cpu-profile", "worker": dice.choice((
                "", "0x1", "-1", "1" * 40, "1\0", "../1", 1, None, ["1"]))}
                ).encode())

    def bad_parameter(self, dice):
        return self.ask("GET", dice.choice((
            "/jobs?limit=0", "/jobs?limit=abc", "/jobs?limit=1&limit=2",
            "/jobs?kind=x", "/getCpuProfile?duration=abc",
            "/getCpuProfile?duration=1&duration=2", "/jobs?unknown=%00",
            "/getMemorySnapshot?job=../../etc/passwd",
            "/jobs?after='%20OR%201=1;--", "/jobs?limit=" + "9" * 2000)),
            {200, 400})

    def bad_path(self, dice):
        return self.ask("GET", dice.choice((
            "/jobs/0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77", "/jobs/x",
            "/jobs/%2e%2e/%2e%2e/podprof.db", "/links/" + "x" * 43,
            "/JOBS", "/jobs//", "/" + "y/" * dice.randint(1, 500))),
            {400, 404})

    def bad_method(self, dice):
        return self.ask(dice.choice(("PUT", "PATCH", "DELETE", "OPTIONS")),
                        dice.choice(("/jobs", "/takeMemorySnapshot")), {405})

    def bad_body(self, dice):
        body = dice.choice((
            b"{", b"{}", b"[]", b'{"kind":"heap-snapshot","x":1}', b"\x00",
            b'{"kind":' + b"[" * 500, b'{"kind":"\xff\xfe"}',
            b'{"kind":"cpu-profile","durationMs":1e999}',
            b'{"a":"' + b"x" * dice.randint(1, 60000) + b'"}'))
        return self.ask("POST", "/jobs", {400, 415}, body=body)

    def bad_size(self, dice):
        return self.ask("POST", "/jobs", {413},
                        body=b"x" * dice.randint(65537, 200000))

    def bad_range(self, dice):
        value = dice.choice((
            "bytes=9999999-", "bytes=5-1", "bytes=" + "0-0," * 500 + "1-1",
            "bytes=-0", "lines=1-2", "bytes=18446744073709551616-",
            "bytes=a-b"))
        return self.ask("GET", f"/jobs/{self.job}/artifact",
                        {200, 206, 400, 416},
                        [self.operator, ("Range", value)])

    def bad_headers(self, dice):
        return self.ask("GET", "/jobs", {200, 400, 406}, [
            self.viewer, dice.choice((
                ("Accept", "a/b;q=0.1," * 300), ("Prefer", "wait=-1"),
                ("Prefer", "wait=" + "9" * 300),
                ("X-Request-Id", "a level=error msg=forged"),
                ("X-Request-Id", "x" * 3000), ("Origin", "null"),
                ("Sec-Fetch-Site", "cross-site"),
                ("Accept-Encoding", "*;q=0"), ("If-Range", '"' + "x" * 999),
                ("Idempotency-Key", "x" * 1000), ("Cookie", "a=b;" * 500)))])

    # What nobody honest sends.
    def evil_bytes(self, dice):
        return Ask("", dice.randbytes(dice.randint(1, 2000)) + b"\r\n\r\n",
                   NO_REQUEST)

    def evil_line(self, dice):
        line = dice.choice((
            b"GET /" + b"a" * 20000 + b" HTTP/1.1", b"GET", b"\x16\x03\x01",
            b"GET /livez HTTP/9.9", b"GET /%00%ff%zz HTTP/1.1",
            b"GET " + self.base.encode() + b"/jobs\x00 HTTP/1.1",
            b"CONNECT localhost:22 HTTP/1.1", b"TRACE / HTTP/1.1",
            b"GET http://evil.example/livez HTTP/1.0 x",
            b"GET /../../../etc/passwd HTTP/1.1"))
        return Ask("", line + b"\r\nHost: localhost\r\n\r\n", NO_REQUEST)

    def evil_smuggled(self, dice):
        inner = head("GET", self.base + "/takeMemorySnapshot")
        lines = dice.choice((
            [("Content-Length", 5), ("Transfer-Encoding", "chunked")],
            [("Content-Length", 5), ("Content-Length", 6)],
            [("Content-Length", "-1")], [("Content-Length", "+5")],
            [("Content-Length", "9" * 30)],
            [("Transfer-Encoding", "chunked, identity")],
            [("Transfer-Encoding", "x")]))
        return Ask("", head("POST", self.base + "/jobs", [
            self.operator, *lines]) + b"0\r\n\r\n" + inner,
            NO_REQUEST, "POST")

    def evil_headers(self, dice):
        lines = [(f"X-{i}", "y" * 900) for i in range(60)]
        return self.ask("GET", "/jobs", NO_REQUEST, [self.operator, *lines])

    def evil_control(self, dice):
        return self.ask("GET", "/jobs", {200, *NO_REQUEST}, [
            self.operator, dice.choice((
                ("X-A", "\x00"), ("X-A", "\x1b]0;x\x07"), ("X\x00A", "b"),
                ("X-A", "a\rb"), ("X A", "b"), ("", "b")))])

    def evil_cut_body(self, dice):
        return Ask("", head("POST", self.base + "/jobs", [
            self.operator, ("Content-Length", 1000)]) + b'{"kind"', set(),
            "POST", True)

    def evil_cut_head(self, dice):
        whole = head("GET", self.base + "/jobs", [self.operator])
        return Ask("", whole[:dice.randint(1, len(whole) - 1)], set(), "GET",
                   True)

    def evil_leaver(self, dice):
        return self.ask("GET", dice.choice((
            f"/jobs/{self.job}/artifact", "/jobs?limit=1000", "/jobs")),
            set(), leaves=True)


class Client:
    """One connection after the other; kept where the server keeps it."""

    def __init__(self, site):
        self.address = ("127.0.0.1", site.port)
        self.socket = None

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    def send(self, ask):
        """The status of the answer; 0: the connection ended without one."""
        fresh = self.socket is None
        if fresh:
            self.socket = socket.create_connection(self.address, timeout=60)
        try:
            self.socket.sendall(ask.data)
            if ask.leaves:
                self.close()
                return 0
            response = http.client.HTTPResponse(self.socket,
                                                method=ask.method)
            response.begin()
            response.read()
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            # A kept one may have been ended while we were about to ask.
            return 0 if fresh else self.send(ask)
        # What was no request may have left something behind.
        if response.will_close or 0 in ask.allowed:
            self.close()
        return response.status


def resident(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise Failed(f"/proc/{pid}/status has no RssAnon")


def descriptors(pid):
    """What a process has open, as a Counter; sockets and pipes by kind."""
    found = collections.Counter()
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[re.sub(r":\[\d+\]$", "", os.readlink(link))] += 1
    return found


def settled(site, wanted=None):
    """The pool's descriptors once nothing is under way; as wanted, if so."""
    def quiet():
        before = descriptors(site.pool.pid)
        time.sleep(0.5)
        now = descriptors(site.pool.pid)
        return before == now and wanted in (None, now) and now
    until(lambda: not site.captures(), 60, "captures are over")
    try:
        return until(quiet, 60, "the pool's descriptors settle")
    except Failed:
        now = descriptors(site.pool.pid)
        raise Failed(f"more descriptors: {now - (wanted or now)}; fewer: "
                     f"{(wanted or now) - now}") from None


def salvo(site, mix, count, seed):
    """{name: {status: how often}} of so many requests, and what was wrong."""
    seen = collections.defaultdict(collections.Counter)
    faults, lock = [], threading.Lock()

    def client(number):
        dice = random.Random(f"{seed} {number}")
        own = Client(site)
        # Each kind once, whatever the dice say.
        first = mix.kinds[number::CLIENTS]
        with contextlib.closing(own):
            for turn in range(-(-count // CLIENTS)):
                ask = mix.draw(dice, *first[turn:turn + 1])
                status = own.send(ask)
                with lock:
                    seen[ask.name][status] += 1
                    if not ask.leaves and status not in ask.allowed:
                        faults.append(f"{ask.name}: {status}: "
                                      f"{ask.data[:200]!r}")
                if len(faults) > 20:
                    return
    threads = [threading.Thread(target=client, args=(number,))
               for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not faults, "\n".join(faults[:20]))
    return seen


def look_at_logs(site):
    """No line is forged, and no secret told."""
    for path, text in site.logs().items():
        if path.name not in ("pool.log", "capture.log"):
            continue
        for secret in site.tokens.values():
            check(secret not in text, f"a token is in {path}")
        for line in text.splitlines():
            check(LINE.match(line) and line.isprintable(),
                  f"{path}: {line[:300]!r}")


def assault(site, app, count, seed, grown_max=None):
    """Send the requests; what there is to say of it.  The pool may have grown
    by so many bytes, if that is given: a sanitizer's grows by its own."""
    site.await_ready()
    job = site.take_whole(app)["id"]
    mix = Mix(site, app, job)
    # What it takes once and keeps: threads' stacks, caches, connections.
    salvo(site, mix, max(count // 10, 1000), f"{seed} warm")
    pid, held = site.pool.pid, settled(site)
    memory, seconds = [resident(pid)], 0.0
    seen = collections.defaultdict(collections.Counter)
    for part in range(PARTS):
        began = time.monotonic()
        for name, counter in salvo(site, mix, -(-count // PARTS),
                                   f"{seed} {part}").items():
            seen[name] += counter
        seconds += time.monotonic() - began
        memory.append(resident(pid))
    check(site.pool.alive(), f"the pool died: {site.pool.text()[-2000:]}")
    equal(site.pool.pid, pid, "pid of the pool")
    settled(site, held)
    grown = memory[-1] - memory[0]
    check(grown_max is None or grown <= grown_max,
          f"the pool has grown by {grown / MIB:.2f} MiB")
    look_at_logs(site)
    asked = sum(sum(counter.values()) for counter in seen.values())
    missed = {kind.__name__ for kind in mix.kinds} - seen.keys()
    check(not missed, f"never sent: {missed}")
    statuses = sum(seen.values(), collections.Counter())
    return (f"{asked} requests of {len(seen)} kinds from {CLIENTS} clients "
            f"in {seconds:.0f} s; answers "
            f"{json.dumps(dict(sorted(statuses.items())))} (0: none, as it "
            f"should be); {held.total()} descriptors before and after; "
            f"RssAnon {memory[0] / MIB:.2f} MiB, after each quarter " +
            ", ".join(f"{(now - memory[0]) / 1024:+.0f}"
                      for now in memory[1:]) + " KiB")
