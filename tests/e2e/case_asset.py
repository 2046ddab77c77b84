"""The files of the web page as they come through a web server: the same bytes
for everybody, kept by a browser for as long as they are the same."""
import hashlib
import urllib.parse

from harness import TOP, api, check, equal

TYPES = {"": "text/html; charset=utf-8",
         "page.css": "text/css; charset=utf-8",
         "page.js": "text/javascript; charset=utf-8",
         "flame.js": "text/javascript; charset=utf-8",
         "profile.js": "text/javascript; charset=utf-8",
         "icon.svg": "image/svg+xml"}
POLICY = {"default-src 'none'", "script-src 'self'", "style-src 'self'",
          "connect-src 'self'", "img-src 'self'", "base-uri 'none'",
          "form-action 'none'", "frame-ancestors 'none'"}


def check_headers(reply, etag):
    equal(reply["ETag"], etag, "ETag")
    equal(reply["Cache-Control"], "no-cache", "Cache-Control")
    equal(set(reply["Content-Security-Policy"].split("; ")), POLICY,
          "Content-Security-Policy")
    equal(reply["Referrer-Policy"], "no-referrer", "Referrer-Policy")
    equal(reply["X-Content-Type-Options"], "nosniff", "nosniff")
    equal(reply["Cross-Origin-Opener-Policy"], "same-origin", "COOP")
    equal(reply["X-Pod-Name"], None, "whose service it is")


@api("page: whoever asks, and for whatever app, gets the same files, or 304")
def _(site):
    for name, kind in TYPES.items():
        data = (TOP / "conf/page" / (name or "index.html")).read_bytes()
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        for app in ("sample", "nobody"):
            reply = site.papi(app, name, token=None).expect(200)
            check(reply.body == data, f"{name} of {app}: other bytes")
            equal(reply["Content-Type"], kind, f"type of {name}")
            check_headers(reply, etag)
        head = site.papi("sample", name, "HEAD", None).expect(200)
        equal(head["Content-Length"], str(len(data)), "length by HEAD")
        check_headers(head, etag)
        again = site.papi("nobody", name, token="podprof_wrong",
                          headers={"If-None-Match": etag}).expect(304)
        equal(again.body, b"", "body of a 304")
        check_headers(again, etag)
        site.papi("sample", name, "POST", None).problem(405)
    site.papi("nobody", "jobs", token=None).problem(401)


@api("page: the address without its slash leads there, below any prefix")
def _(site):
    path = "/nobody/private/papi"
    for method in ("GET", "HEAD"):
        reply = site.request(method, path).expect(308)
        for prefix in ("", "/behind/a/proxy"):
            asked = f"http://podprof.example{prefix}{path}"
            equal(urllib.parse.urljoin(asked, reply["Location"]), f"{asked}/",
                  "where Location leads")
    site.request("DELETE", path).problem(405)
