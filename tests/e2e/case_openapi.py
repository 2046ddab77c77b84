"""/openapi.json: every address that it has, asked, and held against it.

Each reply of every case is looked at by Site.request(); here are those that
succeed, one an operation, and validators that are not ours."""
import json
import subprocess
import urllib.parse

from harness import TOP, api, check, equal, once
from openapi import Document, Mismatch

FILE = TOP / "conf/openapi.json"
PAGE = ("", "page.css", "page.js", "flame.js", "profile.js", "icon.svg")


def replies_of(site):
    """{(method, path): reply}: one good answer of each operation."""
    app = site.fake()
    kept = {}

    def ask(method, path, token="operator", wanted=200, **more):
        reply = site.request(method, path, token, **more).expect(wanted)
        operation = site.document.find(method, path.split("?")[0])[0]
        kept[method.lower(), operation, wanted] = (reply, path)
        return reply

    def papi(method, tail, *args, **more):
        return ask(method, f"/{app.name}/private/papi/{tail}", *args, **more)

    has_speedscope = papi("GET", "", None)["Link"] is not None
    for method in ("GET", "HEAD"):
        for path in ("/livez", "/readyz"):
            ask(method, path, None)
        for path in ("/metrics", "/openapi.json"):
            ask(method, path, "viewer")
        for name in PAGE:
            papi(method, name, None)
        papi(method, "speedscope/index.html", None,
             200 if has_speedscope else 404)
        ask(method, f"/{app.name}/private/papi", None, 308)
    job_id = papi("GET", "takeMemorySnapshot")["X-Job-Id"]
    site.wait_job(app, job_id)
    json_too = {"Accept": "application/json"}
    begun = papi("POST", "takeMemorySnapshot?force=0", wanted=202,
                 headers=json_too)
    site.wait_job(app, begun["X-Job-Id"])
    papi("POST", "takeMemorySnapshot")
    papi("GET", "jobs?kind=heap-snapshot&state=&limit=5", "viewer")
    papi("HEAD", "jobs", "viewer")
    papi("GET", f"jobs/{job_id}", "viewer")
    papi("HEAD", f"jobs/{job_id}", "viewer")
    site.wait_job(app, site.jobs(app)[0]["id"])
    for method in ("GET", "HEAD"):
        papi(method, f"jobs/{job_id}/summary?limit=9")
        papi(method, f"jobs/{begun['X-Job-Id']}/diff/{job_id}")
    papi("HEAD", "getMemorySnapshot")
    papi("GET", f"getMemorySnapshot?job={job_id}")
    papi("GET", f"jobs/{job_id}/artifact", wanted=206,
         headers={"Range": "bytes=1-2"})
    etag = papi("GET", f"jobs/{job_id}/artifact")["ETag"]
    papi("GET", f"jobs/{job_id}/artifact", wanted=304,
         headers={"If-None-Match": etag})
    papi("HEAD", f"jobs/{job_id}/artifact")
    link = papi("POST", f"jobs/{job_id}/links", wanted=201).json()["href"]
    link = urllib.parse.urlsplit(link).path
    ask("GET", link, None)
    ask("HEAD", link, None)
    papi("GET", "getCpuProfile?duration=100")
    papi("GET", "getCpuProfile?duration=100", wanted=202,
         headers={"Prefer": "respond-async"})
    papi("POST", "jobs", wanted=202, body=json.dumps(
        {"kind": "cpu-profile", "durationMs": 100}),
        headers={"Content-Type": "application/json"})
    papi("GET", "target", "viewer")
    papi("HEAD", "target", "viewer")
    papi("DELETE", f"jobs/{job_id}", wanted=204)
    return kept


@api("openapi: every operation answers what the document says")
def _(site):
    text = site.request("GET", "/openapi.json", "viewer").expect(200).text
    check(json.loads(text) == json.loads(FILE.read_text()),
          f"what is served is not {FILE}")
    kept = replies_of(site)
    missing = [f"{method} {path}"
               for method, path, _ in site.document.operations()
               if not any(key[:2] == (method, path) for key in kept)]
    equal(missing, [], "operations that were not asked")
    lines = []
    for (method, path, status), (reply, _) in kept.items():
        kind = (reply["Content-Type"] or "").split(";")[0]
        if reply.body and kind.endswith("json"):
            lines.append({"method": method, "path": path, "status": status,
                          "type": kind, "body": reply.json()})
    check(len(lines) >= 8, f"{len(lines)} bodies")
    if site.front == "nginx":
        validate(site.run, lines)


def validate(run, lines):
    done = subprocess.run(
        [run.nodes["22"], TOP / "tests/e2e/validate-openapi.mjs",
         run.npm / "openapi/node_modules", FILE],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True, text=True, timeout=120, check=False)
    check(done.returncode == 0, done.stderr)
    equal(json.loads(done.stdout.splitlines()[-1]),
          {"document": [], "replies": []}, "what validators found")


class Made:
    """A reply that nobody gave."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


@once("openapi: what it does not say is found")
def _(run):
    document = Document(FILE.read_text())
    mark = {"X-Request-Id": "r"}
    text = {**mark, "Content-Type": "text/plain; charset=utf-8"}
    data = {**mark, "Content-Type": "application/json"}
    link = {"href": "/x", "expiresAt": "2026-11-22T20:25:00.000Z"}
    jobs = "/shop/private/papi/jobs"
    one = f"{jobs}/0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77/links"
    good = (("GET", "/livez?app=x", Made(200, text, b"ok\n")),
            ("GET", "/livez", Made(599, {}, b"of the web server")),
            ("PUT", jobs, Made(405, data, b"{}")),
            ("GET", "/elsewhere", Made(418, mark, b"")),
            ("POST", one, Made(201, data, json.dumps(link).encode())))
    bad = (("GET", "/livez", Made(201, text, b"ok\n"), "status"),
           ("GET", "/livez", Made(200, data, b"{}"), "type"),
           ("HEAD", "/livez", Made(200, text, b"ok\n"), "body"),
           ("GET", "/livez", Made(200, {**text, "ETag": '"x"'}, b"ok\n"),
            "ETag"),
           ("PUT", jobs, Made(200, data, b"{}"), "method"),
           ("GET", jobs, Made(200, data, b'{"jobs":[]}'), "next is missing"),
           ("GET", jobs, Made(200, data, b'{"jobs":[],"next":"x"}'),
            "does not match"),
           ("GET", jobs, Made(200, data, b'{"jobs":{},"next":null}'),
            "of type"),
           ("POST", one, Made(201, data, json.dumps(
               {**link, "more": 1}).encode()), "more is not described"),
           ("POST", one, Made(201, data, b"[]"), "of type"))
    for method, target, reply in good:
        document.check(method, target, reply)
    for method, target, reply, why in bad:
        try:
            document.check(method, target, reply)
        except Mismatch as fault:
            check(why in str(fault), f"{fault} lacks {why!r}")
        else:
            check(False, f"{method} {target} {reply.status} is accepted")
