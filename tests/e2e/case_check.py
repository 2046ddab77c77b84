"""podprof check: a sound installation, and what can be wrong with one."""
import contextlib
import json
import os
import re
import subprocess

from harness import (SERVICE, WEB, App, Site, as_user, check, equal, matches,
                     once, until)

FRONTS = ("nginx", "lighttpd", "apache-fcgi", "apache-cgid")


# The words for what has not answered within the 2 s that check gives it.
LATE = re.compile(r"in time|within \d+ s")


def findings(site, *args, tries=5, **more):
    """What podprof check --json says, as text lines; and its exit status.
    Where somebody was too late for it, as on a busy machine, it is asked
    again."""
    for _ in range(tries):
        lines, status = look(site, *args, **more)
        if not is_late(lines):
            break
    return lines, status


def is_late(lines):
    return any(LATE.search(line) for line in lines)


def look(site, *args, user=None, token="operator"):
    """The same, of one run."""
    command = [site.run.bin / "podprof", "-c", site.conf, "check", "--json",
               *args]
    env = {"PATH": os.environ["PATH"]}
    if token is not None:
        env["PODPROF_TOKEN"] = site.tokens[token]
    done = subprocess.run(
        [*(as_user(user) if user is not None else []), *command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        env=env, check=False)
    check(done.stderr == "", f"stderr: {done.stderr}")
    check(token is None or site.tokens[token] not in done.stdout,
          "the token is told")
    return [f"{row['status']} {row['what']}: {row['text']}"
            for row in json.loads(done.stdout)], done.returncode


def web(site, **more):
    """The same of the web server alone."""
    lines, status = findings(
        site, "--socket", site.socket, "--url",
        f"http://127.0.0.1:{site.port}", **more)
    return [line for line in lines if line.split(" ", 1)[1].startswith(
        ("web server:", "clock:"))], status


def said(lines, begin, text):
    check(any(line.startswith(begin) and text in line for line in lines),
          f"no \"{begin}\" with \"{text}\" in:\n" + "\n".join(lines))


def failures(lines):
    return [line for line in lines if line.startswith("fail")]


@once("podprof check: of a sound installation nothing fails")
def _(run):
    app = App(run)
    for front in FRONTS:
        site = Site(run, front, fakes=0, apps={"sample": app.address},
                    exchange=run.exchange_dir())
        # A disk for 10 GB need not be there.
        site.write_conf({"limits": {"store_bytes": "64M",
                                    "min_free_bytes": "1M"}})
        try:
            site.start()
            site.take_whole("sample")
            # Root reads the file alone, which has all once nobody uses it.
            log = site.state / "podprof.db-wal"
            until(lambda p=log: not site.cgi or not p.exists(), 10,
                  "podprof-capture has ended")
            args = ["--url", f"http://127.0.0.1:{site.port}"]
            if not site.cgi:
                args += ["--socket", site.socket]
            for user in (None, site.user) if front == "nginx" else (None,):
                lines, status = findings(site, *args, user=user)
                equal(failures(lines), [], f"failures, user {user}")
                equal(status, 0, "exit status")
                said(lines, "ok app sample",
                     f"pid {app.pid}, at {app.address}")
                said(lines, "ok web server", "podprof answers at")
                said(lines, "ok web server", "user and password give no role")
                said(lines, "ok web server", "Authorization arrives")
                said(lines, "ok web server", "let in as operator")
                said(lines, "ok web server", "a body of 64 KiB arrives whole")
                said(lines, "ok web server", "downloads can be resumed")
                said(lines, "ok database", "up to date")
                if not site.cgi:
                    said(lines, "ok socket", "a pool answers")
            # It has captured, delivered and removed nothing.
            job, = site.jobs("sample")
            equal(job["artifact"]["deliveredAt"], None, "deliveredAt")
            if front != "nginx":
                continue
            lines, status = findings(site, *args, token="viewer")
            said(lines, "ok web server", "let in as viewer")
            equal(status, 0, "exit status for a viewer")
            lines, status = findings(site, *args, token=None)
            said(lines, "warn web server", "PODPROF_TOKEN is not set")
            equal(status, 0, "exit status without a token")
        finally:
            site.close()
    app.close()


def answers_somehow(site):
    with contextlib.suppress(OSError):
        site.request("GET", "/livez")
        return True
    return False


PASS_AUTH = "\tCGIPassAuth On"
QUERY = "fastcgi_param QUERY_STRING $query_string;"
# (web server, [auth], what is changed, what is said of it)
WRONG = (
    ("nginx", {}, {"gzip off;": "gzip off;\nreturn 404;"},
     "answered 404: its configuration does not pass"),
    ("nginx", {}, {QUERY: ""}, "QUERY_STRING does not arrive"),
    ("nginx", {}, {"$fastcgi_script_name": "/app$fastcgi_script_name"},
     "which was asked for \"/app/livez\""),
    ("nginx", {}, {QUERY: QUERY + 'fastcgi_param HTTP_AUTHORIZATION "";'},
     "the header Authorization does not arrive"),
    ("nginx", {}, {QUERY: QUERY + "client_max_body_size 1k;"},
     "own limit for a request's body"),
    ("nginx", {}, {QUERY: QUERY + "fastcgi_pass_request_body off;"},
     "does not arrive as it was sent"),
    ("nginx", {}, {QUERY: QUERY + "limit_except GET { deny all; }"},
     "answered 403"),
    ("nginx", {"remote_user": "operator"},
     {"#fastcgi_param REMOTE_USER": "fastcgi_param REMOTE_USER",
      "#fastcgi_param AUTH_TYPE": "fastcgi_param AUTH_TYPE"},
     "a made-up user and password (Authorization: Basic) are operator"),
    ("nginx", {"remote_user": "viewer"},
     {QUERY: QUERY + "fastcgi_param REMOTE_USER x; "
      "fastcgi_param AUTH_TYPE x;"},
     "a request without any credentials is viewer"),
    ("nginx", {"anonymous": "viewer"},
     {QUERY: QUERY + 'fastcgi_param HTTP_SEC_FETCH_SITE "";'},
     "Sec-Fetch-Site does not arrive"),
    ("nginx", {"anonymous": "viewer"},
     {QUERY: QUERY + 'fastcgi_param HTTP_HOST localhost;'},
     "HTTP_HOST must be what the client sent"),
    ("apache-fcgi", {}, {PASS_AUTH: ""},
     "the header Authorization does not arrive"),
    ("apache-cgid", {}, {PASS_AUTH: ""},
     "the header Authorization does not arrive"),
)


@once("podprof check --url: what a web server does wrong is found and named")
def _(run):
    for front, auth, changes, text in WRONG:
        site = Site(run, front, fakes=1, conf={"auth": auth},
                    web_changes=changes)
        try:
            # It need not be one that answers /livez.
            site.server_answers = lambda s=site: answers_somehow(s)
            site.start()
            lines, status = web(site)
            said(lines, "fail web server", text)
            equal(status, 1, "exit status")
            equal(site.fakes[0].inspector.commands.count(
                ("HeapProfiler.takeHeapSnapshot", None)), 0, "snapshots")
        finally:
            site.close()


@once("podprof check --url: files that the web server compresses are found")
def _(run):
    site = Site(run, "nginx", fakes=1, web_changes={
        "gzip off;": "gzip on; gzip_types *; gzip_min_length 1;"})
    try:
        site.start()
        site.take_whole(site.fake())
        lines, _ = web(site)
        said(lines, "fail web server", "no download can be resumed")
    finally:
        site.close()


@once("podprof check: pool and web server that do not reach each other")
def _(run):
    site = Site(run, "nginx", fakes=1)
    url = ("--url", f"http://127.0.0.1:{run.port()}")
    try:
        site.start()
        lines, _ = findings(site, *url)
        said(lines, "fail web server", "Connection refused")
        # The web server is no more in the socket's group.
        os.chown(site.socket, SERVICE, SERVICE)
        lines, _ = web(site)
        said(lines, "fail web server", "it does not reach podprof")
        os.chown(site.socket, SERVICE, WEB)
        site.socket.chmod(0o666)
        lines, _ = findings(site, "--socket", site.socket)
        said(lines, "fail socket", "everybody on this machine can connect")
        site.pool.stop()
        lines, _ = findings(site, "--socket", site.socket)
        said(lines, "fail socket", "nobody listens")
        lines, _ = web(site)
        said(lines, "fail web server", "answered 502: it does not reach")
        site.start_pool()
        site.await_ready()
        lines, _ = web(site)
        equal(failures(lines), [], "failures once it is up")
    finally:
        site.close()


@once("podprof check: a database of a newer podprof is refused and stays")
def _(run):
    site = Site(run, "nginx", fakes=1)
    try:
        site.start()
        site.papi(site.fakes[0], "jobs").expect(200)
        site.pool.stop()
        site.sql("PRAGMA user_version = 9999")
        for user in (None, site.user):
            lines, status = findings(site, user=user)
            said(lines, "fail database", "9999")
            equal(status, 1, "exit status")
        # An older one is left as it is, for the service to bring up to date.
        site.sql("PRAGMA user_version = 1")
        for user in (None, site.user):
            lines, _ = findings(site, user=user)
            said(lines, "ok database", "its schema has version 1")
        matches(site.sql("PRAGMA user_version"), r"^1\n$", "version")
    finally:
        site.close()
