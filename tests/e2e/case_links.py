"""Links: addresses that serve one artifact without a token."""
import contextlib
import datetime
import hashlib
import re
import urllib.parse

from case_artifact import CODINGS, MISSING, Sample, check_head
from harness import Site, api, check, equal, matches, once

SECRET = r"[A-Za-z0-9_-]{22,}"


def make_link(site, app, job_id):
    """The path of a new link."""
    reply = site.papi(app, f"jobs/{job_id}/links", "POST").expect(201)
    return urllib.parse.urlsplit(reply.json()["href"]).path


def is_dead(site, path):
    """No address for anyone: 401 without a token, 404 with one."""
    for method in ("GET", "HEAD"):
        reply = site.request(method, path).expect(401)
        matches(reply["WWW-Authenticate"], r"^Bearer\b", "WWW-Authenticate")
        for role in ("viewer", "operator"):
            equal(site.request(method, path, role).status, 404,
                  f"status for {method} by {role}")
    site.request("GET", path).problem(401, "unauthenticated")
    site.request("GET", path, "operator").problem(404, "not-found")


@api("POST links: 201, an address of this app, and ten minutes")
def _(site):
    app = site.fake()
    job = site.take_whole(app)
    before = datetime.datetime.now(datetime.timezone.utc)
    reply = site.papi(app, f"jobs/{job['id']}/links", "POST").expect(201)
    equal(reply["Content-Type"], "application/json", "Content-Type")
    equal(reply["Cache-Control"], "no-store", "Cache-Control")
    link = reply.json()
    equal(set(link), {"href", "expiresAt"}, "members")
    matches(link["href"], rf"/{app.name}/private/papi/links/{SECRET}$",
            "href")
    equal(reply["Location"], link["href"], "Location")
    expires = datetime.datetime.fromisoformat(
        link["expiresAt"].replace("Z", "+00:00"))
    seconds = (expires - before).total_seconds()
    check(590 <= seconds <= 630, f"it expires in {seconds} s")
    # Each is a new one, and all of them hold.
    paths = {make_link(site, app, job["id"]) for _ in range(3)}
    equal(len(paths), 3, "different links")
    for path in paths:
        equal(len(site.request("GET", path).expect(200).body),
              job["artifact"]["size"], "size")


@api("a link serves all that the artifact's address does, without a token")
def _(site):
    it = Sample(site)
    path = make_link(site, it.app, it.job["id"])
    for coding in CODINGS:
        body = it.bodies[coding]
        fields = {"Accept-Encoding": coding}
        for method in ("GET", "HEAD"):
            reply = site.request(method, path, headers=fields).expect(200)
            check_head(reply, it.job, coding, body)
            equal(reply["ETag"], it.etags[coding], "ETag")
            equal(reply["Content-Length"], str(len(body)), "Content-Length")
            check(reply.body == (body if method == "GET" else b""),
                  f"body of {method}, {coding}")
        for more in ({}, {"If-Range": it.etags[coding]}):
            reply = site.request("GET", path, headers={
                **fields, "Range": "bytes=100-299999", **more})
            it.part(reply, coding, 100, 299999, "a part")
        reply = site.request("GET", path, headers={
            **fields, "Range": f"bytes={len(body)}-"})
        reply.problem(416, "range")
        equal(reply["Content-Range"], f"bytes */{len(body)}", "Content-Range")
        reply = site.request("GET", path, headers={
            **fields, "If-None-Match": it.etags[coding]}).expect(304)
        equal(reply.body, b"", "body of 304")
        site.request("GET", path, headers={
            **fields, "If-Match": '"x"'}).problem(412, "precondition")
    # Nothing of it counts as a delivery.
    equal(site.job(it.app, it.job["id"])["artifact"]["deliveredAt"], None,
          "deliveredAt")
    site.papi(it.app, "getMemorySnapshot").expect(200)


@api("a link works where browsers bring it: a click on a foreign page, with "
     "a viewer's token, for a CPU profile too")
def _(site):
    app = site.fake()
    job_id = site.post_job(app, "cpu-profile",
                           durationMs=100).expect(202).json()["id"]
    job = site.wait_job(app, job_id)
    path = make_link(site, app, job_id)
    for who, fields in (
            (None, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest":
                    "document", "Sec-Fetch-Mode": "navigate"}),
            (None, {"Sec-Fetch-Site": "same-site"}), ("viewer", {})):
        reply = site.request("GET", path, who, headers=fields).expect(200)
        equal(hashlib.sha256(reply.body).hexdigest(),
              job["artifact"]["sha256"], "sha256")


@api("a link is GET and HEAD, everything else is 405 with Allow")
def _(site):
    app = site.fake()
    job = site.take_whole(app)
    path = make_link(site, app, job["id"])
    for method in ("POST", "PUT", "DELETE"):
        reply = site.request(method, path, body="")
        reply.problem(405, "method")
        equal(set(reply["Allow"].replace(",", " ").split()), {"GET", "HEAD"},
              f"Allow, {method}")
    site.request("GET", path).expect(200)
    tail = f"jobs/{job['id']}/links"
    for method in ("GET", "HEAD", "DELETE"):
        reply = site.papi(app, tail, method).expect(405)
        equal(reply["Allow"], "POST", f"Allow, {method} {tail}")


@api("what is no link, or no more, is 401 without a token and 404 with one")
def _(site):
    app, other = site.fake(), site.fake()
    job = site.take_whole(app)
    path = make_link(site, app, job["id"])
    head, secret = path.rsplit("/", 1)
    changed = ("B" if secret[0] == "A" else "A") + secret[1:]
    for wrong in (f"{head}/{'A' * len(secret)}", f"{head}/{changed}",
                  f"{head}/{secret}A", f"{head}/{secret[:-1]}", f"{head}/x",
                  path.replace(f"/{app.name}/", f"/{other.name}/")):
        check(wrong != path, "not a wrong one")
        is_dead(site, wrong)
    # Who is not known learns nothing of the methods either.
    equal(site.request("POST", f"{head}/{'A' * len(secret)}",
                       body="").status, 401, "POST of a wrong one")
    site.request("GET", path).expect(200)
    # Ten minutes have gone by.
    site.sql("UPDATE links SET expires_at_ms = 1000 * unixepoch() - 1 "
             f"WHERE job_id = '{job['id']}'")
    is_dead(site, path)
    # With its job it goes as well.
    path = make_link(site, app, job["id"])
    site.request("GET", path).expect(200)
    site.papi(app, f"jobs/{job['id']}", "DELETE").expect(204)
    is_dead(site, path)
    equal(site.sql("SELECT count(*) FROM links WHERE job_id = "
                   f"'{job['id']}'").strip(), "0", "rows of the job's links")


@api("who may make a link, and of what")
def _(site):
    app = site.fake()
    job = site.take_whole(app)
    tail = f"jobs/{job['id']}/links"
    site.papi(app, tail, "POST", token=None).problem(401, "unauthenticated")
    site.papi(app, tail, "POST", token="viewer").problem(
        403, "forbidden", "operator")
    site.papi(app, f"jobs/{MISSING}/links", "POST").problem(404, "not-found")
    app.behave(hold=True)
    running = site.take(app)
    app.started()
    reply = site.papi(app, f"jobs/{running}/links", "POST")
    reply.problem(409, "conflict")
    matches(reply["Retry-After"], r"^[1-9][0-9]*$", "Retry-After")
    app.release()
    site.wait_job(app, running)
    app.behave("ErrorReply")
    failed = site.wait_job(app, site.take(app))["id"]
    site.papi(app, f"jobs/{failed}/links", "POST").problem(
        404, "not-found", "Cannot take a snapshot")
    # A file that is lost: no new link to it, and 410 at the old one.
    path = make_link(site, app, job["id"])
    site.stored(job["id"]).unlink()
    site.request("GET", path).problem(410, "gone")
    site.papi(app, tail, "POST").problem(410, "gone")


@api("a job has a hundred links at most that are valid")
def _(site):
    app = site.fake()
    job = site.take_whole(app)
    tail = f"jobs/{job['id']}/links"
    make_link(site, app, job["id"])
    # The rest of them, as if they had been asked for.
    site.sql(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n "
        "WHERE i < 99) INSERT INTO links SELECT printf('%064x', i) AS "
        "secret_sha256, job_id, app, created_by, expires_at_ms FROM links, n "
        f"WHERE job_id = '{job['id']}'")
    reply = site.papi(app, tail, "POST")
    reply.problem(429, "limit", "100")
    matches(reply["Retry-After"], r"^[1-9][0-9]*$", "Retry-After")
    site.sql("UPDATE links SET expires_at_ms = 1 WHERE secret_sha256 = "
             "printf('%064x', 1)")
    make_link(site, app, job["id"])


def traces(site, secret):
    """Files of podprof in which the secret of a link stands."""
    files = [path for path in site.state.rglob("*") if path.is_file()]
    files += [site.dir / "pool.log", site.conf]
    found = []
    for path in files:
        # As plain CGI, SQLite's own come and go with each request.
        with contextlib.suppress(FileNotFoundError):
            if secret.encode() in path.read_bytes():
                found.append(str(path))
    return found


@api("only the digest of a link is kept, on the disk and in logs")
def _(site):
    app = site.fake()
    job = site.take_whole(app)
    path = make_link(site, app, job["id"])
    secret = re.search(rf"({SECRET})$", path).group(1)
    site.request("GET", path).expect(200)
    site.request("PUT", path, body="").expect(405)
    site.request("GET", path + "x").expect(401)
    equal(traces(site, secret), [], "files with the secret")
    equal(site.sql("SELECT secret_sha256 FROM links WHERE job_id = "
                   f"'{job['id']}'").strip(),
          hashlib.sha256(secret.encode()).hexdigest(), "what is kept")


@once("a link is not stopped by [auth] anonymous, nor by a foreign Host")
def _(run):
    site = Site(run, "nginx", fakes=1, conf={"auth": {"anonymous": "viewer"}})
    try:
        site.start()
        app = site.fake()
        job = site.take_whole(app)
        path = make_link(site, app, job["id"])
        reply = site.request("GET", path, headers={
            "Host": "profiles.example.com", "Sec-Fetch-Site": "cross-site"})
        equal(len(reply.expect(200).body), job["artifact"]["size"], "size")
        # A wrong one is no address, for a role that nobody had to show.
        site.request("GET", f"{path}x").problem(404, "not-found")
    finally:
        site.close()
