"""Requests that nobody honest sends."""
import contextlib
import os
import socket
import time

import fastcgi
from case_recovery import SEED
from hostile import assault, site_of
from harness import Site, api, check, equal, matches, once


def raw(site, data, timeout=20):
    """Bytes to the web server; the status of its answer, or 0 if none."""
    with socket.create_connection(("127.0.0.1", site.port),
                                  timeout=timeout) as connection:
        connection.sendall(data)
        answer = b""
        while b"\r\n" not in answer:
            try:
                part = connection.recv(4096)
            except ConnectionResetError:
                break
            if not part:
                break
            answer += part
    parts = answer.split(b" ")
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0


def alive(site, app="sample"):
    site.request("GET", "/livez").expect(200)
    site.papi(app, "jobs").expect(200)
    if site.pool is not None:
        check(site.pool.alive(), f"the pool died: {site.pool.text()[-2000:]}")


PATHS = (
    b"/sample/private/papi/jobs/%zz", b"/sample/private/papi/jobs/%",
    b"/sample/private/papi/%00", b"/sample/private/papi/jobs%00",
    b"/sample%2fprivate%2fpapi%2fjobs", b"/sample/private/papi/jobs/..%2f..",
    b"/../../etc/passwd", b"/sample/private/papi/../../../etc/passwd",
    b"/%73ample/private/papi/jo%62s/%2e%2e/%2e%2e", b"//sample//private/papi",
    b"/sample/private/papi/jobs/\xff\xfe", b"/sample/private/papi/\x01\x1b[m",
    b"/sample/private/papi/jobs/" + b"a" * 5000,
    b"/" + b"a" * 3000 + b"/private/papi/jobs",
    b"/" + b"x/" * 1500 + b"private/papi/jobs",
    b"/sample/private/papi/jobs?" + b"&" * 3000,
    b"/sample/private/papi/jobs?limit=" + b"9" * 3000,
    b"/sample/private/papi/jobs?limit=%", b"/sample/private/papi/jobs?%00=1",
    b"/sample/private/papi/jobs?limit=1%00", b"/sample/private/papi/jobs?=&=",
    b"/sample/private/papi/jobs?kind=%27;drop%20table%20jobs;--",
    b"/sample/private/papi/getMemorySnapshot?job=%2e%2e%2fpodprof.db",
)


@api("addresses that are malformed, long or hostile: an answer, no harm")
def _(site):
    token = site.tokens["operator"].encode()
    for path in PATHS:
        status = raw(site, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n"
                     b"Authorization: Bearer " + token +
                     b"\r\nConnection: close\r\n\r\n")
        check(status == 0 or 200 <= status < 500,
              f"{path[:80]!r}: status {status}")
        # A web server may decode or tidy an address; then it is one of ours.
        check(status != 200 or path.startswith((
            b"/sample/private/papi/jobs?", b"//", b"/%73ample", b"/sample%2f")),
              f"{path[:80]!r}: status 200")
    alive(site)


@api("headers and bodies that are hostile: an answer, no harm")
def _(site):
    app = site.fake()
    token = site.tokens["operator"].encode()
    where = f"/{app.name}/private/papi/jobs".encode()
    head = (b"POST " + where + b" HTTP/1.1\r\nHost: localhost\r\n"
            b"Authorization: Bearer " + token + b"\r\n"
            b"Content-Type: application/json\r\n")
    for rest in (
            b"Content-Length: -1\r\n\r\n",
            b"Content-Length: 99999999999999999999\r\n\r\n{}",
            b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            b"2\r\n{}\r\n0\r\n\r\n",
            b"Content-Length: 2\r\nX-Request-Id: " + b"a" * 4000 +
            b"\r\nConnection: close\r\n\r\n{}",
            b"Content-Length: 2\r\nPrefer: wait=99999999999999999999\r\n"
            b"Connection: close\r\n\r\n{}",
            b"Content-Length: 2\r\nAccept: " + b"a/b;q=0.1," * 400 +
            b"\r\nConnection: close\r\n\r\n{}",
            b"Content-Length: 4\r\nConnection: close\r\n\r\n\x00\xff\xfe\x80"):
        status = raw(site, head + rest)
        check(status == 0 or 400 <= status < 500,
              f"{rest[:60]!r}: status {status}")
    # A body that breaks off.
    with socket.create_connection(("127.0.0.1", site.port)) as connection:
        connection.sendall(head + b"Content-Length: 1000\r\n\r\n{")
    equal(site.jobs(app), [], "jobs")
    alive(site)


@api("a log line cannot be forged by a request")
def _(site):
    forged = 'x" level=error msg=forged%0a2026-11-22T00:00:00Z%20forged'
    site.request("GET", "/" + forged.replace(" ", "%20").replace('"', "%22") +
                 "/private/papi/jobs", "operator")
    site.papi("sample", "jobs", headers={"X-Request-Id": "a level=error x=1"})
    for path, text in site.logs().items():
        if path.name in ("pool.log", "capture.log"):
            for line in text.splitlines():
                check(not line.startswith("2026-11-22T00:00:00Z forged"),
                      f"a forged line in {path}")


BROKEN = {
    "nothing": b"",
    "half a header": fastcgi.begin()[:5],
    "half a BEGIN": fastcgi.begin()[:12],
    "BEGIN alone": fastcgi.begin(),
    "an unknown version": b"\x09" + fastcgi.begin()[1:],
    "an unknown role": fastcgi.begin(role=77),
    "an unknown record type": fastcgi.begin() + fastcgi.record(99, b"x" * 9),
    "garbage": bytes(range(256)) * 20,
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "PARAMS cut short": fastcgi.begin() + fastcgi.record(
        fastcgi.PARAMS, fastcgi.params(REQUEST_METHOD="GET")[:7], length=900),
    "a name of 2 GB": fastcgi.begin() + fastcgi.record(
        fastcgi.PARAMS, b"\xff\xff\xff\xff\xff\xff\xff\xffx") +
        fastcgi.record(fastcgi.PARAMS) + fastcgi.record(fastcgi.STDIN),
    "a value longer than its record": fastcgi.begin() + fastcgi.record(
        fastcgi.PARAMS, b"\x04\x7fNAMEshort") + fastcgi.record(fastcgi.PARAMS),
    "no variable at all": fastcgi.begin() + fastcgi.record(fastcgi.PARAMS) +
        fastcgi.record(fastcgi.STDIN),
    "an ABORT": fastcgi.begin() + fastcgi.record(fastcgi.ABORT),
    "a second BEGIN": fastcgi.begin() + fastcgi.begin() + fastcgi.record(
        fastcgi.PARAMS) + fastcgi.record(fastcgi.STDIN),
    "a megabyte of variables": fastcgi.request("/livez", X="y" * (1 << 20)),
}


def broken(site, records):
    """A connection with these records, which the pool may refuse midway."""
    connection = fastcgi.connect(site.socket)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(records)
    return connection


@once("FastCGI records that are broken: the pool lives, others are answered")
def _(run):
    site = Site(run, "nginx", fakes=1)
    site.apps["sample"] = site.fakes[0].inspector.address
    site.write_conf({})
    try:
        site.start()
        pid = site.pool.pid
        for what, records in BROKEN.items():
            broken(site, records).close()
            answer = fastcgi.call(site.socket, fastcgi.request("/livez"))
            matches(answer.decode(), r"^Status: 200", f"/livez after {what}")
        # All of them at once, and nobody closes: they must not keep a thread
        # for ever.
        held = []
        for records in list(BROKEN.values()) * 2:
            held.append(broken(site, records))
        began = time.monotonic()
        reply = site.request("GET", "/livez", timeout=60).expect(200)
        check(reply.seconds < 20, f"/livez took {reply.seconds:.1f} s")
        print(f"# /livez beside {len(held)} broken connections: "
              f"{time.monotonic() - began:.2f} s")
        alive(site)
        for connection in held:
            connection.close()
        equal(site.pool.pid, pid, "pid of the pool")
        alive(site)
    finally:
        site.close()


@once("a body that is not as long as it says is 400, one too long 413")
def _(run):
    site = Site(run, None, fakes=1)
    try:
        site.start()
        app = site.fakes[0]
        more = {"HTTP_AUTHORIZATION": f"Bearer {site.tokens['operator']}",
                "CONTENT_TYPE": "application/json"}
        path = f"/{app.name}/private/papi/jobs"
        body = b'{"kind":"heap-snapshot"}'
        for length, size, status in (("1000", body, 400), ("3", body, 400),
                                     ("-1", body, 400), ("x", body, 400),
                                     ("99999999999", body, 413),
                                     (None, b"x" * 200000, 413)):
            extra = {} if length is None else {"CONTENT_LENGTH": length}
            answer = fastcgi.call(site.socket, fastcgi.request(
                path, "POST", size, **extra, **more))
            matches(answer.decode(), rf"^Status: {status}\b",
                    f"CONTENT_LENGTH {length}")
        equal(app.inspector.commands, [], "what the inspector was asked")
    finally:
        site.close()


@once("REMOTE_USER counts only with AUTH_TYPE, and only when configured")
def _(run):
    for role, wanted in (("none", 401), ("viewer", 200)):
        site = Site(run, None, fakes=1, conf={"auth": {"remote_user": role}})
        try:
            site.start()
            path = f"/{site.fakes[0].name}/private/papi/jobs"
            for extra, status in (
                    ({}, 401), ({"REMOTE_USER": "eve"}, 401),
                    ({"AUTH_TYPE": "Basic"}, 401),
                    ({"REMOTE_USER": "", "AUTH_TYPE": "Basic"}, 401),
                    # The tool's, which only an environment can have.
                    ({"PODPROF_LOCAL_UID": "0", "REMOTE_ADDR": "",
                      "SERVER_SOFTWARE": "podprof/0.1.0"}, 401),
                    ({"REMOTE_USER": "ann", "AUTH_TYPE": "Basic"}, wanted)):
                answer = fastcgi.call(site.socket, fastcgi.request(
                    path, **extra))
                matches(answer.decode(), rf"^Status: {status}\b",
                        f"remote_user = {role}, {extra}")
        finally:
            site.close()


@once("only the web server's group can reach the pool's socket")
def _(run):
    site = Site(run, None, fakes=0)
    try:
        site.start()
        mode = site.socket.stat().st_mode & 0o777
        equal(mode, 0o660, "mode of the socket")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgroups([])
                os.setresgid(20299, 20299, 20299)
                os.setresuid(20299, 20299, 20299)
                try:
                    fastcgi.connect(site.socket).close()
                except PermissionError:
                    status = 0
            finally:
                os._exit(status)
        _, wait_status = os.waitpid(child, 0)
        equal(wait_status, 0, "a stranger's connection was refused")
    finally:
        site.close()


@once("connections that say nothing are dropped, and others answered")
def _(run):
    site = Site(run, "nginx", fakes=0)
    try:
        site.start()
        idle = [fastcgi.connect(site.socket) for _ in range(8)]
        reply = site.request("GET", "/livez").expect(200)
        print(f"# /livez beside 8 silent connections: {reply.seconds:.2f} s")
        for connection in idle:
            equal(connection.recv(1), b"", "what a silent connection gets")
            connection.close()
    finally:
        site.close()


@once("3,000 requests good, bad and hostile: no fault, and nothing is left")
def _(run):
    site = site_of(run)
    try:
        site.start()
        print(f"# seed {SEED}: {assault(site, site.fakes[0], 3000, SEED)}")
        alive(site, site.fakes[0])
    finally:
        site.close()
