"""The shipped example of each web server, and what must pass through it."""
import http.client
import json

from case_papi import integration
from harness import App, Site, api, check, check_whole, equal, matches, deploy

OUTSIDE = ("livez", "readyz", "metrics", "openapi.json")


def outside_the_base(site):
    """What is no app's reaches podprof, too: at that path, and no other."""
    for name in OUTSIDE:
        is_probe = name in ("livez", "readyz")
        reply = site.request("GET", f"/{name}")
        check(reply["X-Request-Id"], f"/{name} is not answered by podprof")
        if is_probe:
            reply.expect(200)
        else:
            reply.problem(401)
            matches(reply["WWW-Authenticate"], "^Bearer", "WWW-Authenticate")
        site.request("GET", f"/{name}", "viewer").expect(200)
        for other in (f"/{name}/", f"/x{name}", f"/x/{name}"):
            reply = site.request("GET", other, "viewer").expect(404)
            equal(reply["X-Request-Id"], None, f"podprof's answer to {other}")
    site.request("GET", "/openapiXjson", "viewer").expect(404)


@api("probes, metrics and the description reach podprof at their paths")
def _(site):
    outside_the_base(site)


def chunked_post(site, app):
    """A body that comes without a length."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    try:
        connection.request(
            "POST", f"/{app}/private/papi/jobs", encode_chunked=True,
            body=iter([b'{"kind":"cpu-', b'profile","durationMs":100}']),
            headers={"Authorization": f"Bearer {site.tokens['operator']}",
                     "Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def smoke(site):
    """Every kind of request and answer, once."""
    integration(site, "sample")
    reply = site.papi("sample", "getMemorySnapshot", token=None)
    reply.papi_error(401, None)
    site.papi("sample", "getMemorySnapshot", "POST").problem(405)
    site.papi("sample", "nothing").problem(404)
    site.papi("nobody", "jobs").problem(404)
    check("<!doctype html>" in site.papi("sample", "", token=None).expect(
        200).text, "the web page is another one")
    site.request("GET", "/sample/private/papi").expect(308)
    site.papi("sample", "takeMemorySnapshot", "POST").expect(200)
    job = site.wait_job("sample", site.jobs("sample")[0]["id"])
    path = f"jobs/{job['id']}/artifact"
    whole = site.papi("sample", path)
    check_whole(whole, job)
    head = site.papi("sample", path, "HEAD").expect(200)
    equal(head.body, b"", "body of HEAD")
    equal(head["Content-Length"], str(job["artifact"]["size"]),
          "Content-Length of HEAD")
    equal(head["ETag"], whole["ETag"], "ETag of HEAD")
    part = site.papi("sample", path, headers={"Range": "bytes=7-99"})
    equal(part.expect(206).body, whole.body[7:100], "a part")
    site.papi("sample", path, headers={
        "If-None-Match": whole["ETag"]}).expect(304)
    check_whole(site.papi("sample", path, headers={
        "Accept-Encoding": "zstd"}), job)
    created = site.post_job("sample", "cpu-profile", durationMs=100)
    created.expect(202)
    matches(created["Location"], r"^/sample/private/papi/jobs/", "Location")
    site.wait_job("sample", created.json()["id"])
    status, job = chunked_post(site, "sample")
    equal(status, 202, f"chunked POST: {job}")
    site.wait_job("sample", job["id"])
    # Its own limit, not the web server's.
    big = json.dumps({"kind": "x" * 70000})
    site.papi("sample", "jobs", "POST", body=big, headers={
        "Content-Type": "application/json"}).problem(413)
    site.papi("sample", f"jobs/{job['id']}", "DELETE").expect(204)
    site.papi("sample", f"jobs/{job['id']}").problem(404)
    outside_the_base(site)


def smoke_through(run, front, **options):
    app = App(run)
    site = Site(run, front, fakes=0, apps={"sample": app.address}, **options)
    try:
        site.start()
        smoke(site)
        return site
    finally:
        site.close()
        app.close()


@deploy("lighttpd: all kinds of requests pass through its example")
def _(run):
    smoke_through(run, "lighttpd")


@deploy("Apache, mod_fcgid: all kinds of requests pass through its example")
def _(run):
    smoke_through(run, "apache-fcgid")


@deploy("nginx, fcgiwrap: all kinds of requests pass through its example")
def _(run):
    smoke_through(run, "nginx-fcgiwrap")
