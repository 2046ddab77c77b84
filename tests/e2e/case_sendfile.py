"""[artifacts] sendfile: stored files that the web server sends by itself."""
import base64
import hashlib
import http.client

from harness import Site, check, equal, matches, once

PREFIX = "/podprof-artifacts"


def fetch(site, app, job, coding, **more):
    return site.papi(app, f"jobs/{job['id']}/artifact",
                     headers={"Accept-Encoding": coding, **more})


def left(site):
    """Downloads that were left to the web server."""
    return sum(text.count("outcome=left") for text in site.logs().values())


def is_right(reply, job, coding):
    """All of the representation, as podprof itself would have sent it."""
    artifact = job["artifact"]
    sha256 = artifact["storedSha256" if coding == "zstd" else "sha256"]
    size = artifact["storedSize" if coding == "zstd" else "size"]
    reply.expect(200)
    digest = hashlib.sha256(reply.body)
    equal(digest.hexdigest(), sha256, f"digest, {coding}")
    base = base64.b64encode(digest.digest()).decode()
    for name, value in {
            "Content-Length": str(size), "ETag": f'"{sha256}"',
            "Content-Encoding": "zstd" if coding == "zstd" else None,
            "Repr-Digest": f"sha-256=:{base}:", "Vary": "Accept-Encoding",
            "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
            "X-Job-Id": job["id"], "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
            "X-Sendfile": None, "X-Accel-Redirect": None}.items():
        equal(reply.headers.get_all(name), value and [value], name)
    matches(reply["Content-Disposition"], artifact["name"], "name")


def check_coding(site, app, job, coding, by_server):
    before = left(site)
    whole = fetch(site, app, job, coding)
    is_right(whole, job, coding)
    equal(left(site), before + by_server, f"left, {coding}")
    # The rest is always podprof's own.
    part = fetch(site, app, job, coding, Range="bytes=10-19").expect(206)
    equal(part.body, whole.body[10:20], "part")
    matches(part["Content-Range"], r"^bytes 10-19/", "Content-Range")
    fetch(site, app, job, coding,
          **{"If-None-Match": whole["ETag"]}).expect(304)
    fetch(site, app, job, coding, **{"If-Match": '"x"'}).problem(
        412, "precondition")
    head = site.papi(app, f"jobs/{job['id']}/artifact", "HEAD",
                     headers={"Accept-Encoding": coding}).expect(200)
    equal(head["Content-Length"], whole["Content-Length"], "HEAD")
    equal(left(site), before + by_server, "left for others than a whole 200")


def check_site(run, front, artifacts, codings):
    """codings  {coding: whether the web server sends the file}"""
    site = Site(run, front, fakes=1, sendfile=True,
                conf={"artifacts": artifacts})
    try:
        site.start()
        app = site.fake()
        job = site.take_whole(app)
        files = list((site.state / "artifacts").glob(f"{job['id']}.*"))
        equal([oct(path.stat().st_mode & 0o777) for path in files], ["0o640"],
              "mode of the file")
        for coding, by_server in codings.items():
            check_coding(site, app, job, coding, by_server)
        equal(site.job(app, job["id"])["artifact"]["deliveredAt"], None,
              "deliveredAt")
        # The delivery counts, so podprof sees it through.
        before = left(site)
        site.papi(app, "getMemorySnapshot").expect(200)
        site.papi(app, "getMemorySnapshot").expect(404)
        equal(left(site), before, "left by getMemorySnapshot")
        check(site.job(app, job["id"])["artifact"]["deliveredAt"],
              "not delivered")
    finally:
        site.close()


@once("sendfile: nginx sends what is stored, with all that podprof says of it")
def _(run):
    zstd = {"sendfile": "x-accel-redirect", "sendfile_prefix": PREFIX}
    check_site(run, "nginx", zstd, {"zstd": True, "identity": False})
    check_site(run, "nginx", {**zstd, "compression": "none"},
               {"identity": True})


@once("sendfile: Apache sends what is stored as it is; it would lose "
      "Content-Encoding")
def _(run):
    for front in ("apache-fcgi", "apache-cgid"):
        check_site(run, front, {"sendfile": "x-sendfile"},
                   {"zstd": False, "identity": False})
        check_site(run, front,
                   {"sendfile": "x-sendfile", "compression": "none"},
                   {"identity": True})


@once("sendfile: lighttpd sends what is stored")
def _(run):
    check_site(run, "lighttpd", {"sendfile": "x-sendfile"},
               {"zstd": True, "identity": False})


@once("sendfile: nginx' internal address is nobody else's, and a web server "
      "that does not know the header breaks the transfer")
def _(run):
    site = Site(run, "nginx", fakes=1, sendfile=True, conf={"artifacts": {
        "sendfile": "x-sendfile", "compression": "none"}})
    try:
        site.start()
        app = site.fake()
        job = site.take_whole(app)
        site.request("GET", f"{PREFIX}/{job['id']}.heapsnapshot").expect(404)
        try:
            reply = fetch(site, app, job, "identity")
        except http.client.IncompleteRead as error:
            matches(error.partial.decode(), "does not know", "body")
        else:
            check(False, f"whole: {reply.status} {reply.body[:100]}")
    finally:
        site.close()
