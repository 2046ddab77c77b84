"""Who may do what."""
import base64
import os
import re

from case_check import findings, said
from harness import Site, api, check, equal, matches, once, until


def started_nothing(site, app):
    equal(site.jobs(app), [], "jobs")
    equal(app.inspector.commands, [], "what the inspector was asked")


CAPTURES = (("GET", "takeMemorySnapshot"), ("POST", "takeMemorySnapshot"),
            ("GET", "getCpuProfile?duration=100"), ("POST", "jobs"))


@api("no token, a wrong one, another scheme: 401 everywhere, nothing starts")
def _(site):
    app = site.fake()
    basic = base64.b64encode(
        f"operator:{site.tokens['operator']}".encode()).decode()
    wrong = site.tokens["operator"][:-1] + (
        "A" if site.tokens["operator"][-1] != "A" else "B")
    ways = ({}, {"Authorization": f"Bearer {wrong}"},
            {"Authorization": "Bearer "}, {"Authorization": "Bearer"},
            {"Authorization": f"Bearer {site.tokens['operator']} x"},
            {"Authorization": f"Basic {basic}"},
            {"Authorization": site.tokens["operator"]},
            {"Authorization": "Bearer podprof_" + "A" * 4000},
            {"PODPROF_LOCAL_UID": "0", "Podprof-Local-Uid": "0",
             "Server-Software": "podprof/0.1.0", "Remote-Addr": ""})
    for headers in ways:
        for method, tail in CAPTURES + (
                ("GET", "getMemorySnapshot"), ("GET", "jobs"),
                ("GET", "jobs/0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77"),
                ("GET", "nothing"), ("PUT", "jobs")):
            reply = site.papi(app, tail, method, token=None, headers=headers)
            equal(reply.status, 401, f"{method} {tail} with {headers}")
            matches(reply["WWW-Authenticate"], r"^Bearer\b",
                    "WWW-Authenticate")
        reply = site.papi(app, "takeMemorySnapshot", token=None,
                          headers=headers)
        document = reply.papi_error(401, None, "unauthenticated")
        check(wrong not in reply.text, "the token comes back")
        matches(document["detail"], r"token", "detail")
    reply = site.request("GET", "/nosuchapp/private/papi/jobs")
    reply.problem(401, "unauthenticated")
    started_nothing(site, app)


@api("the scheme's name is case-insensitive")
def _(site):
    app = site.fake()
    site.papi(app, "jobs", token=None, headers={
        "Authorization": f"bEaReR {site.tokens['viewer']}"}).expect(200)


@api("a viewer reads status, but neither captures nor downloads")
def _(site):
    app = site.fake()
    for method, tail in CAPTURES:
        reply = site.papi(app, tail, method, token="viewer",
                          body='{"kind":"heap-snapshot"}'
                          if tail == "jobs" else None,
                          headers={"Content-Type": "application/json"}
                          if tail == "jobs" else None)
        reply.problem(403, "forbidden", "operator")
    started_nothing(site, app)
    job = site.take_whole(app)
    equal(len(site.papi(app, "jobs", token="viewer").expect(200)
              .json()["jobs"]), 1, "jobs for a viewer")
    site.papi(app, f"jobs/{job['id']}", token="viewer").expect(200)
    for tail in (f"jobs/{job['id']}/artifact", "getMemorySnapshot",
                 f"getMemorySnapshot?job={job['id']}"):
        for method in ("GET", "HEAD"):
            site.papi(app, tail, method, token="viewer").expect(403)
    site.papi(app, "getMemorySnapshot").expect(200)


@api("the order: path, then method, then role, then parameters")
def _(site):
    app = site.fake()
    site.papi(app, "nothing", "PUT", token="viewer", body="").expect(404)
    site.papi(app, "takeMemorySnapshot", "PUT", token="viewer",
              body="").expect(405)
    site.papi(app, "getCpuProfile?duration=abc", token="viewer").expect(403)
    site.papi(app, "getCpuProfile?duration=abc").expect(400)


@api("probes need no token")
def _(site):
    for path in ("/livez", "/readyz", "/livez?app=sample",
                 "/readyz?app=sample"):
        reply = site.request("GET", path)
        equal(reply.status, 200, path)
    site.request("HEAD", "/livez").expect(200)


@api("captures and downloads leave an audit line with the token's name")
def _(site):
    name = f"auditor-{len(site.unused)}"
    site.tokens[name] = site.new_token("operator", name)
    app = site.fake()
    reply = site.papi(app, "takeMemorySnapshot", token=name,
                      headers={"X-Request-Id": f"req-{name}"}).expect(200)
    job_id = reply["X-Job-Id"]
    equal(site.wait_job(app, job_id)["requestedBy"], name, "requestedBy")
    site.papi(app, "getMemorySnapshot", token=name).expect(200)

    def lines():
        return [line for text in site.logs().values()
                for line in text.splitlines()
                if f"who={name} " in line and "level=audit" in line]
    until(lambda: len(lines()) >= 2, 10, f"two audit lines of {name}")
    if site.has_pool:
        check(f'msg="token" name={name} role=operator outcome=added' in
              site.pool.text(), "the token itself left no audit line")
    check(any(f"req-{name}" in line for line in lines()),
          f"no audit line has the request id: {lines()}")
    check(any(job_id in line for line in lines()),
          f"no audit line has the job id: {lines()}")
    everything = "".join(site.logs().values())
    check(site.tokens[name] not in everything, "a token is in a log")


@once("anonymous = viewer: reads without a token, a wrong token is still 401")
def _(run):
    site = Site(run, "nginx", fakes=1, conf={"auth": {"anonymous": "viewer"}})
    try:
        site.start()
        app = site.fake()
        site.papi(app, "jobs", token=None).expect(200)
        site.papi(app, "takeMemorySnapshot", token=None).expect(403)
        site.papi(app, "jobs", token="wrong").expect(401)
        site.papi(app, "takeMemorySnapshot", token="operator").expect(200)
    finally:
        site.close()


@once("without a token no foreign web page gets in")
def _(run):
    site = Site(run, "nginx", fakes=1, conf={
        "auth": {"anonymous": "operator"}})
    try:
        site.start()
        app = site.fake()
        own = f"127.0.0.1:{site.port}"
        for headers in ({"Sec-Fetch-Site": "cross-site"},
                        {"Sec-Fetch-Site": "same-site"},
                        {"Origin": "http://evil.example"},
                        {"Origin": "null"},
                        {"Origin": f"http://127.0.0.1:{site.port + 1}"},
                        {"Host": "evil.example"}):
            for tail in ("takeMemorySnapshot", "jobs"):
                reply = site.papi(app, tail, token=None, headers=headers)
                equal(reply.status, 403, f"{tail} with {headers}")
            site.papi(app, "jobs", token="viewer",
                      headers=headers).expect(200)
        equal(app.inspector.commands, [], "what the inspector was asked")
        for headers in ({"Sec-Fetch-Site": "same-origin"},
                        {"Sec-Fetch-Site": "none"},
                        {"Origin": f"http://{own}"}, {"Host": "localhost"},
                        {"Host": "[::1]"}):
            site.papi(app, "jobs", token=None, headers=headers).expect(200)
        job_id = site.take(app, token=None)
        equal(site.wait_job(app, job_id)["requestedBy"], "anonymous",
              "requestedBy")
    finally:
        site.close()


@once("a tokens file that is missing, unreadable or broken: 503, never open")
def _(run):
    site = Site(run, "nginx", fakes=1)
    try:
        site.start()
        app = site.fake()
        site.papi(app, "jobs").expect(200)
        good = site.tokens_file.read_text()
        for change in ("missing", "unreadable", "broken"):
            site.tokens_file.unlink(missing_ok=True)
            if change != "missing":
                site.tokens_file.write_text(
                    good if change == "unreadable" else good + "a:b:c\n")
                site.tokens_file.chmod(0o600 if change == "unreadable"
                                       else 0o644)
            for token in ("operator", None):
                reply = site.papi(app, "jobs", token=token)
                equal(reply.status, 503, f"{change}, token {token}")
                reply.problem(503, "state")
                check(reply["Retry-After"], "no Retry-After")
            site.request("GET", "/livez").expect(200)
        site.tokens_file.write_text(good)
        os.chown(site.tokens_file, 0, site.user)
        site.papi(app, "jobs").expect(200)
    finally:
        site.close()


@once("a token that is added works at once, one that is removed no more")
def _(run):
    site = Site(run, "nginx", fakes=1)
    try:
        site.start()
        app = site.fake()
        site.tokens["late"] = site.new_token("viewer", "late")
        site.papi(app, "jobs", token="late").expect(200)
        site.tool("token", "rm", "late")
        os.chown(site.tokens_file, 0, site.user)
        site.papi(app, "jobs", token="late").expect(401)
        site.papi(app, "jobs", token="viewer").expect(200)
    finally:
        site.close()


@once("a tokens file behind links, as Kubernetes swaps it: at once")
def _(run):
    site = Site(run, "nginx", fakes=1)
    secret = run.subdir("secret")
    try:
        good = site.tokens_file.read_text()
        for version, text in (("v1", good), ("v2", "".join(
                line for line in good.splitlines(True)
                if not line.startswith("operator:")))):
            (secret / version).mkdir()
            (secret / version / "tokens").write_text(text)
        (secret / "..data").symlink_to("v1")
        (secret / "tokens").symlink_to("..data/tokens")
        site.write_conf({"auth": {"tokens": secret / "tokens"}})
        site.start()
        app = site.fake()
        for version, status in (("v2", 401), ("v1", 200)) * 3:
            site.papi(app, "jobs", token="viewer").expect(200)
            (secret / "..new").symlink_to(version)
            os.rename(secret / "..new", secret / "..data")
            site.papi(app, "jobs").expect(status)
    finally:
        site.close()


# What a web server needs to ask for a password by itself, where the captures
# are and only there.
PAPI = 'location ~ "^/[^/]+/private/papi'


@once("remote_user: nginx asks for a password, podprof takes its word")
def _(run):
    passwords = run.subdir("passwords") / "users"
    passwords.write_text("ann:{PLAIN}right\n")
    site = Site(run, "nginx", fakes=1, conf={
        "auth": {"remote_user": "operator"}}, web_changes={
            "#fastcgi_param REMOTE_USER": "fastcgi_param REMOTE_USER",
            "#fastcgi_param AUTH_TYPE": "fastcgi_param AUTH_TYPE"})
    plain = site.write_nginx

    def write():
        plain()
        path = site.web / "podprof.conf"
        text = path.read_text()
        check(PAPI in text, f"{path} has no {PAPI}")
        path.write_text(re.sub(
            rf"({re.escape(PAPI)}.*{{)", r"\1\nauth_basic x; "
            f"auth_basic_user_file {passwords};", text))
    site.write_nginx = write
    try:
        site.start()
        app = site.fake()

        def ask(password, tail="jobs", **more):
            word = base64.b64encode(f"ann:{password}".encode()).decode()
            return site.papi(app, tail, token=None, headers={
                "Authorization": f"Basic {word}", **more})
        for status, reply in ((401, ask("wrong")), (200, ask("right")),
                              (401, site.papi(app, "jobs", token=None)),
                              (401, site.papi(app, "jobs")),
                              (403, ask("right", "takeMemorySnapshot", **{
                                  "Sec-Fetch-Site": "cross-site"})),
                              (403, ask("right", "takeMemorySnapshot",
                                        Origin="http://evil.example"))):
            equal(reply.status, status, reply.text[:200])
        equal(app.inspector.commands, [], "what the inspector was asked")
        job_id = ask("right", "takeMemorySnapshot").expect(200)["X-Job-Id"]
        job = until(lambda: (lambda j: j["state"] == "succeeded" and j)(
            ask("right", f"jobs/{job_id}").expect(200).json()), 30, "its end")
        equal(job["requestedBy"], "user:ann", "requestedBy")
        login = ("ok web server: it asks for a login, and refuses a made-up "
                 "user")
        # What does not answer it in time is taken for no login.
        for _ in range(5):
            lines, status = findings(
                site, "--socket", site.socket, "--url",
                f"http://127.0.0.1:{site.port}", token=None)
            if any(line.startswith(login) for line in lines):
                break
        said(lines, login, "")
        equal(status, 0, "exit status")
    finally:
        site.close()


@once("podprof token new: the token alone on stdout, only its digest kept")
def _(run):
    site = Site(run, None, fakes=0)
    try:
        matches(site.tokens["operator"], r"^podprof_[A-Za-z0-9_-]{43}$",
                "token")
        text = site.tokens_file.read_text()
        check(site.tokens["operator"] not in text, "the token is in the file")
        matches(text, r"(?m)^operator:operator:[0-9a-f]{64}$", "line")
        equal(site.tokens_file.stat().st_mode & 0o777, 0o640, "mode")
        done = site.tool("token", "new", "printed", "--role", "viewer",
                         "--print")
        matches(done.stdout, r"^podprof_[A-Za-z0-9_-]{43}\n$", "stdout")
        matches(done.stderr, r"printed:viewer:[0-9a-f]{64}", "stderr")
        equal(site.tokens_file.read_text(), text, "the file after --print")
        for args in (("token", "new", "operator", "--role", "viewer"),):
            done = site.tool(*args, status=4)
            matches(done.stderr, "operator", "message")
        for args in (("token", "new", "x"), ("token", "new", "a:b", "--role",
                     "viewer"), ("token", "new", "x", "--role", "king")):
            done = site.tool(*args, status=2)
            check(done.stderr.strip(), "no message")
    finally:
        site.close()
