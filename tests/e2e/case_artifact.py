"""The address of an artifact: codings, parts, conditions."""
import base64
import datetime
import email.utils
import hashlib
import random
import re
import subprocess
import weakref

from harness import (Site, api, check, equal, in_parallel, matches, once,
                     seconds_between, until, unzstd)

CODINGS = ("identity", "zstd")
MISSING = "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77"


def digest_field(data):
    """What Repr-Digest says of these bytes (RFC 9530)."""
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    return f"sha-256=:{digest}:"


def words(field):
    return {word.lower() for word in re.findall(r"[^\s,]+", field or "")}


def check_head(reply, job, coding, whole):
    """The header fields that every answer with bytes of the file has; whole
    is the representation in this coding."""
    name = job["artifact"]["name"]
    equal(reply["Content-Type"], "application/octet-stream", "Content-Type")
    equal(reply["Content-Encoding"], None if coding == "identity" else coding,
          "Content-Encoding")
    equal(reply["Content-Disposition"], f'attachment; filename="{name}"; '
          f"filename*=UTF-8''{name}", "Content-Disposition")
    equal(reply["Accept-Ranges"], "bytes", "Accept-Ranges")
    matches(reply["ETag"], r'^"[^"]+"$', "a strong ETag")
    equal(reply["Repr-Digest"], digest_field(whole), "Repr-Digest")
    check("accept-encoding" in words(reply["Vary"]), f"Vary: {reply['Vary']}")
    equal(reply["Cache-Control"], "no-store", "Cache-Control")
    equal(reply["X-Content-Type-Options"], "nosniff",
          "X-Content-Type-Options")
    equal(reply["X-Job-Id"], job["id"], "X-Job-Id")
    finished = datetime.datetime.fromisoformat(
        job["finishedAt"].replace("Z", "+00:00")).replace(microsecond=0)
    equal(email.utils.parsedate_to_datetime(reply["Last-Modified"]), finished,
          "Last-Modified, of finishedAt")


class Sample:
    """An artifact of some megabytes that does not shrink to nothing, and what
    its address serves in each coding."""

    def __init__(self, site):
        self.site = site
        self.app = site.fake("Big", size=3 << 20, noise=True)
        self.job = site.take_whole(self.app)
        self.tail = f"jobs/{self.job['id']}/artifact"
        replies = {c: self.ask(c).expect(200) for c in CODINGS}
        self.bodies = {c: replies[c].body for c in CODINGS}
        self.etags = {c: replies[c]["ETag"] for c in CODINGS}
        self.modified = email.utils.parsedate_to_datetime(
            replies["zstd"]["Last-Modified"])

    def ask(self, coding, method="GET", **fields):
        """fields: header fields, with _ for the hyphen."""
        return self.site.papi(self.app, self.tail, method, headers={
            "Accept-Encoding": coding,
            **{name.replace("_", "-"): value
               for name, value in fields.items()}})

    def date(self, seconds):
        """So many seconds after Last-Modified."""
        return email.utils.format_datetime(
            self.modified + datetime.timedelta(seconds=seconds), True)

    def whole(self, reply, coding, what):
        equal(reply.status, 200, f"{coding}, {what}: status")
        check(reply.body == self.bodies[coding],
              f"{coding}, {what}: {len(reply.body)} bytes, wanted all "
              f"{len(self.bodies[coding])}")
        equal(reply["Content-Range"], None, f"{coding}, {what}")
        equal(reply["Content-Length"], str(len(reply.body)),
              f"{coding}, {what}: Content-Length")

    def part(self, reply, coding, first, last, what):
        body = self.bodies[coding]
        equal(reply.status, 206, f"{coding}, {what}: status")
        equal(reply["Content-Range"], f"bytes {first}-{last}/{len(body)}",
              f"{coding}, {what}: Content-Range")
        equal(reply["Content-Length"], str(last - first + 1),
              f"{coding}, {what}: Content-Length")
        check(reply.body == body[first:last + 1],
              f"{coding}, {what}: other bytes")


SAMPLES = weakref.WeakKeyDictionary()


def sample(site):
    """One for all cases of a site: none of them changes it."""
    if site not in SAMPLES:
        SAMPLES[site] = Sample(site)
    return SAMPLES[site]


@api("an artifact goes out in two codings, each with all its headers")
def _(site):
    it = sample(site)
    artifact = it.job["artifact"]
    text = "".join(it.app.behaviour.pieces()).encode()
    check(it.bodies["identity"] == text, "other bytes than V8 sent")
    check(unzstd(it.bodies["zstd"]) == text, "zstd makes something else of it")
    for coding, size, sha256 in (("identity", "size", "sha256"),
                                 ("zstd", "storedSize", "storedSha256")):
        body = it.bodies[coding]
        for method in ("GET", "HEAD"):
            reply = it.ask(coding, method).expect(200)
            check_head(reply, it.job, coding, body)
            equal(reply["Content-Length"], str(len(body)), "Content-Length")
            equal(reply.body, body if method == "GET" else b"",
                  f"body of {method}")
            equal(reply["Content-Range"], None, "Content-Range")
        equal(artifact[size], len(body), size)
        equal(artifact[sha256], hashlib.sha256(body).hexdigest(), sha256)
    check(it.etags["identity"] != it.etags["zstd"],
          f"one ETag for two codings: {it.etags}")
    equal(site.job(it.app, it.job["id"])["artifact"]["deliveredAt"], None,
          "deliveredAt")


@api("the stored file: one, private, and what zstd -dc makes of it")
def _(site):
    it = sample(site)
    path = site.stored(it.job["id"])
    equal(path.name, f"{it.job['id']}.heapsnapshot.zst", "its name")
    equal(path.stat().st_mode & 0o777, 0o600, "its mode")
    data = path.read_bytes()
    check(data == it.bodies["zstd"], "other bytes than zstd clients get")
    equal(hashlib.sha256(unzstd(data)).hexdigest(),
          it.job["artifact"]["sha256"], "sha256 of what zstd -dc says")


@api("a real snapshot and a profile are stored compressed")
def _(site):
    job = site.take_whole("sample")
    artifact = job["artifact"]
    share = artifact["storedSize"] / artifact["size"]
    print(f"# {artifact['size']} bytes are stored as {share:.3f} of that")
    check(share <= 0.15, f"stored at {share:.3f} of its size")
    reply = site.papi("sample", "getCpuProfile?duration=200").expect(200)
    profile = site.job("sample", reply["X-Job-Id"])
    for each, suffix, body in ((job, "heapsnapshot", None),
                               (profile, "cpuprofile", reply.body)):
        path = site.stored(each["id"])
        equal(path.name, f"{each['id']}.{suffix}.zst", "its name")
        equal(path.stat().st_size, each["artifact"]["storedSize"], "its size")
        text = unzstd(path.read_bytes())
        equal(len(text), each["artifact"]["size"], "size of what is in it")
        equal(hashlib.sha256(text).hexdigest(), each["artifact"]["sha256"],
              "sha256 of what is in it")
        check(body in (None, text), "the file is not what was delivered")


@api("Accept-Encoding: zstd goes to those who name it, and 406 to nobody "
     "who takes one of the two")
def _(site):
    it = sample(site)
    for accept, coding in (
            ("zstd", "zstd"), ("ZSTD", "zstd"), ("gzip, deflate, br, zstd",
             "zstd"), ("gzip;q=1.0,zstd;q=0.001", "zstd"),
            ("zstd;q=0.5, identity;q=0.5", "zstd"),
            ("zstd;q=0.5, identity;q=1", "identity"),
            ("gzip, deflate, br", "identity"), ("*", "identity"),
            ("zstd;q=0", "identity"), ("x-zstd, zstdx", "identity"),
            ("zstd;q=0, *", "identity"),
            ("identity;q=0, *", "zstd"), ("zstd, identity;q=0", "zstd"),
            ("zstd, *;q=0", "zstd"), ("identity, *;q=0", "identity"),
            ("identity;q=0, zstd;q=0", None), ("gzip, *;q=0", None),
            # What is not named is not wanted (RFC 9110, 12.5.3).
            ("identity;q=0", None)):
        reply = it.ask(accept, "HEAD")
        equal(reply.status, 406 if coding is None else 200,
              f"status for Accept-Encoding: {accept}")
        if coding is not None:
            equal(reply["ETag"], it.etags[coding],
                  f"ETag for Accept-Encoding: {accept}")
    it.ask("identity;q=0, zstd;q=0").problem(406, "not-acceptable", "zstd")


@api("206: any one part, in both codings")
def _(site):
    it = sample(site)
    for coding in CODINGS:
        size = len(it.bodies[coding])
        middle = size // 2
        for given, first, last in (
                ("0-0", 0, 0), ("0-", 0, size - 1), ("1-", 1, size - 1),
                (f"{middle}-{middle + 200000}", middle, middle + 200000),
                (f"{middle}-", middle, size - 1),
                (f"{size - 1}-", size - 1, size - 1),
                (f"{size - 1}-{size - 1}", size - 1, size - 1),
                (f"{size - 10}-{size + 1000}", size - 10, size - 1),
                ("5-99999999999999999999999", 5, size - 1),
                ("-1", size - 1, size - 1), ("-70000", size - 70000, size - 1),
                (f"-{size}", 0, size - 1), (f"-{size + 5}", 0, size - 1)):
            reply = it.ask(coding, Range=f"bytes={given}")
            it.part(reply, coding, first, last, given)
            check_head(reply, it.job, coding, it.bodies[coding])
            equal(reply["ETag"], it.etags[coding], "ETag")
    equal(site.job(it.app, it.job["id"])["artifact"]["deliveredAt"], None,
          "deliveredAt")


@api("206: parts at random places put together are the whole")
def _(site):
    it = sample(site)
    seed = random.randrange(1 << 32)
    print(f"# seed {seed}")
    dice = random.Random(seed)
    for coding in CODINGS:
        body = it.bodies[coding]
        cuts = sorted(dice.sample(range(1, len(body)), 6))
        data = b""
        for first, end in zip([0, *cuts], [*cuts, len(body)]):
            data += it.ask(coding, Range=f"bytes={first}-{end - 1}",
                           If_Range=it.etags[coding]).expect(206).body
        check(data == body, f"{coding}: other bytes, cut at {cuts}")


@api("several ranges, and what is no range of bytes: the whole")
def _(site):
    it = sample(site)
    for coding in CODINGS:
        for given in ("bytes=0-0,5-9", "bytes=0-0, -1", "bytes=abc",
                      "bytes=5-2", "bytes=", "bytes=-", "bytes=--5",
                      "bytes=1-2-3", "bytes=0x0-5", "bytes 0-5", "0-5",
                      "items=0-5", "bytes=1 - 2"):
            it.whole(it.ask(coding, Range=given), coding, given)


@api("416: a range that the file does not have, with the size it has")
def _(site):
    it = sample(site)
    for coding in CODINGS:
        size = len(it.bodies[coding])
        for given in (f"{size}-", f"{size + 7}-{size + 9}", "-0",
                      "99999999999999999999999-"):
            reply = it.ask(coding, Range=f"bytes={given}")
            reply.problem(416, "range")
            equal(reply["Content-Range"], f"bytes */{size}",
                  f"{coding}, {given}: Content-Range")


@api("HEAD knows no ranges")
def _(site):
    it = sample(site)
    for coding in CODINGS:
        for given in ("bytes=0-9", "bytes=-0"):
            reply = it.ask(coding, "HEAD", Range=given).expect(200)
            equal(reply["Content-Range"], None, "Content-Range")
            equal(reply["Content-Length"], str(len(it.bodies[coding])),
                  "Content-Length")


@api("If-Range: a part of what the client has, else the whole")
def _(site):
    it = sample(site)
    for coding, other in (CODINGS, CODINGS[::-1]):
        etag = it.etags[coding]
        it.part(it.ask(coding, Range="bytes=10-19", If_Range=etag),
                coding, 10, 19, etag)
        # The date is that of both codings.
        for validator in (it.etags[other], f"W/{etag}", '"no such"',
                          etag.strip('"'), f"{etag}, {etag}", "*",
                          it.date(-1), it.date(0), it.date(1), "yesterday"):
            it.whole(it.ask(coding, Range="bytes=10-19", If_Range=validator),
                     coding, validator)
        # Without a Range it says nothing.
        it.whole(it.ask(coding, If_Range='"no such"'), coding, "no Range")
        # What does not match is not even looked at.
        it.whole(it.ask(coding, Range="bytes=99999999-",
                        If_Range='"no such"'), coding, "out of range")


def unchanged(reply, etag, what):
    equal(reply.status, 304, f"{what}: status")
    equal(reply.body, b"", f"{what}: body")
    equal(reply["ETag"], etag, f"{what}: ETag")
    equal(reply["Content-Length"], None, f"{what}: Content-Length")
    equal(reply["Content-Type"], None, f"{what}: Content-Type")
    check("accept-encoding" in words(reply["Vary"]), f"{what}: Vary")
    equal(reply["Cache-Control"], "no-store", f"{what}: Cache-Control")


@api("304: If-None-Match, and without it If-Modified-Since")
def _(site):
    it = sample(site)
    for coding, other in (CODINGS, CODINGS[::-1]):
        etag = it.etags[coding]
        for given in (etag, f"W/{etag}", "*", f'"x", {etag}',
                      f'{it.etags[other]} , W/"y",{etag}'):
            for method in ("GET", "HEAD"):
                unchanged(it.ask(coding, method, If_None_Match=given), etag,
                          f"{method}, If-None-Match: {given}")
        for given in (it.etags[other], '"x", W/"y"', etag.strip('"')):
            it.whole(it.ask(coding, If_None_Match=given), coding, given)
        for seconds in (0, 3600):
            unchanged(it.ask(coding, If_Modified_Since=it.date(seconds)),
                      etag, f"If-Modified-Since: {seconds} s later")
        for given in (it.date(-1), "yesterday"):
            it.whole(it.ask(coding, If_Modified_Since=given), coding, given)
        # If-None-Match is the stronger one, and both come before Range.
        it.whole(it.ask(coding, If_None_Match='"x"',
                        If_Modified_Since=it.date(0)), coding, "both")
        unchanged(it.ask(coding, If_None_Match=etag, Range="bytes=0-9"), etag,
                  "with Range")


@api("412: If-Match, and without it If-Unmodified-Since")
def _(site):
    it = sample(site)
    for coding, other in (CODINGS, CODINGS[::-1]):
        etag = it.etags[coding]
        for given in (etag, "*", f'"x", {etag}'):
            it.whole(it.ask(coding, If_Match=given), coding, given)
        for given in ('"x"', f"W/{etag}", it.etags[other]):
            it.ask(coding, If_Match=given).problem(412, "precondition")
        equal(it.ask(coding, "HEAD", If_Match='"x"').status, 412, "HEAD")
        for seconds in (0, 3600):
            it.whole(it.ask(coding, If_Unmodified_Since=it.date(seconds)),
                     coding, f"{seconds} s later")
        it.whole(it.ask(coding, If_Unmodified_Since="yesterday"), coding,
                 "If-Unmodified-Since: yesterday")
        it.ask(coding, If_Unmodified_Since=it.date(-1)).problem(
            412, "precondition")
        # If-Match is the stronger one, and comes before all others.
        it.whole(it.ask(coding, If_Match=etag,
                        If_Unmodified_Since=it.date(-1)), coding, "both")
        it.ask(coding, If_Match='"x"', If_None_Match=etag,
               Range="bytes=0-9").problem(412, "precondition")
        it.part(it.ask(coding, If_Match=etag, Range="bytes=0-9"), coding, 0, 9,
                "with Range")


@api("no file: 409 while it is made, 404 with the reason after a failure, 410 "
     "once it is lost")
def _(site):
    app = site.fake(hold=True)
    job_id = site.take(app)
    app.started()
    tail = f"jobs/{job_id}/artifact"
    for fields in ({}, {"Range": "bytes=0-9"}, {"If-None-Match": "*"}):
        reply = site.papi(app, tail, headers=fields)
        reply.problem(409, "conflict")
        matches(reply["Retry-After"], r"^[1-9][0-9]*$", "Retry-After")
        equal(reply["X-Job-Id"], job_id, "X-Job-Id")
    equal(site.papi(app, tail, "HEAD").status, 409, "status of HEAD")
    app.release()
    site.wait_job(app, job_id)
    app.behave("ErrorReply")
    failed = site.wait_job(app, site.take(app))["id"]
    reply = site.papi(app, f"jobs/{failed}/artifact", headers={
        "Range": "bytes=0-9"})
    reply.problem(404, "not-found", "Cannot take a snapshot")
    site.papi(app, f"jobs/{MISSING}/artifact").problem(404, "not-found")
    site.stored(job_id).unlink()
    for where in (tail, f"getMemorySnapshot?job={job_id}"):
        site.papi(app, where).problem(410, "gone")
        equal(site.papi(app, where, "HEAD").status, 410, "status of HEAD")
    site.papi(app, tail, headers={"Range": "bytes=0-9"}).problem(410, "gone")
    equal(site.job(app, job_id)["state"], "succeeded", "state")


def curl(site, tail, *args):
    """The words of a curl that downloads, as operator."""
    return ["curl", "-sS", "-H",
            f"Authorization: Bearer {site.tokens['operator']}", *args,
            f"http://127.0.0.1:{site.port}{tail}"]


def download(site, tail, path, status, *args):
    done = subprocess.run(
        curl(site, tail, "-o", path, "-w", "%{http_code}", *args), text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    equal((done.returncode, done.stdout), (0, str(status)),
          f"curl {' '.join(args)}: exit and HTTP status, {done.stderr}")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def cut_download(site, tail, path, size, *args):
    """Append the first bytes of an answer that begins where the file ends."""
    with open(path, "ab") as out:
        words = curl(site, tail, "-N", "-C", str(out.tell()), *args)
        with subprocess.Popen(words, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as process:
            out.write(process.stdout.read(size))
            process.stdout.close()
        # 23: it could not write the rest of what it got.
        check(process.returncode in (0, 23),
              f"curl {' '.join(args)}: exit {process.returncode}")


@api("curl: plain, --compressed, and -C - after cuts at random places")
def _(site):
    it = sample(site)
    artifact = it.job["artifact"]
    tail = f"/{it.app.name}/private/papi/{it.tail}"
    directory = site.run.subdir("curl")
    # Who does not ask for a coding wants what was captured.
    equal(download(site, tail, directory / "plain", 200),
          artifact["sha256"], "sha256, plain")
    equal(download(site, tail, directory / "decoded", 200, "--compressed"),
          artifact["sha256"], "sha256, --compressed")
    seed = random.randrange(1 << 32)
    print(f"# seed {seed}")
    dice = random.Random(seed)
    for coding, size, sha256 in (("identity", "size", "sha256"),
                                 ("zstd", "storedSize", "storedSha256")):
        path = directory / coding
        accept = ("-H", f"Accept-Encoding: {coding}")
        left = artifact[size]
        for _ in range(4):
            taken = dice.randrange(1, left // 2)
            cut_download(site, tail, path, taken, *accept)
            left -= taken
        equal(path.stat().st_size, artifact[size] - left, f"{coding}, cut")
        # The second time nothing is missing, and curl understands that.
        for status in (206, 416):
            equal(download(site, tail, path, status, "-C", "-", *accept),
                  artifact[sha256], f"sha256, {coding}")
    equal(hashlib.sha256(unzstd(path.read_bytes())).hexdigest(),
          artifact["sha256"], "sha256 of what zstd -dc says")
    equal(site.job(it.app, it.job["id"])["artifact"]["deliveredAt"], None,
          "deliveredAt")


@once("compression = none: stored as captured, and nothing else to be had")
def _(run):
    site = Site(run, "nginx", fakes=1, conf={
        "artifacts": {"compression": "none"}})
    try:
        site.start()
        it = Sample(site)
        artifact = it.job["artifact"]
        path = site.stored(it.job["id"])
        equal(path.name, f"{it.job['id']}.heapsnapshot", "its name")
        text = "".join(it.app.behaviour.pieces()).encode()
        check(path.read_bytes() == text, "other bytes than V8 sent")
        equal((artifact["storedSize"], artifact["storedSha256"]),
              (artifact["size"], artifact["sha256"]), "stored size and digest")
        for accept in CODINGS:
            check_head(it.ask(accept).expect(200), it.job, "identity", text)
            it.part(it.ask(accept, Range="bytes=100000-100009"), accept,
                    100000, 100009, "a part")
        it.ask("zstd, identity;q=0").problem(406, "not-acceptable")
        it.ask("identity;q=0").problem(406, "not-acceptable")
    finally:
        site.close()


@once("compression can be changed: files of before are served as they are")
def _(run):
    site = Site(run, "nginx", fakes=1)
    try:
        site.start()
        it = Sample(site)
        site.write_conf({"artifacts": {"compression": "none"}})
        site.restart_pool()
        for coding in CODINGS:
            it.whole(it.ask(coding), coding, "after the change")
        plain = site.take_whole(it.app)
        path = site.stored(plain["id"])
        equal(path.name, f"{plain['id']}.heapsnapshot", "its name")
        equal(plain["artifact"]["sha256"], it.job["artifact"]["sha256"],
              "sha256")
    finally:
        site.close()


def outlive_grace(run, front):
    site = Site(run, front, fakes=1, conf={"limits": {"grace": "5m"}})
    try:
        site.start()
        app = site.fake()
        job = site.take_whole(app)
        link = site.papi(app, f"jobs/{job['id']}/links",
                         "POST").expect(201).json()["href"]
        named = f"getMemorySnapshot?job={job['id']}"
        tail = f"jobs/{job['id']}/artifact"
        whole = site.papi(app, "getMemorySnapshot").expect(200).body
        site.papi(app, "getMemorySnapshot").papi_error(
            404, "Snapshot not found")
        for reply in (site.papi(app, named), site.papi(app, tail),
                      site.request("GET", link)):
            equal(reply.expect(200).body, whole, "the file, within grace")
        job = site.job(app, job["id"])
        equal(seconds_between(job["artifact"]["deliveredAt"],
                              job["expiresAt"]), 300, "grace")
        # Not waited for: who reads within it may be slow.
        site.sql("UPDATE jobs SET expires_at_ms = 1 WHERE id = "
                 f"'{job['id']}'")
        site.papi(app, named).papi_error(410, None, "gone", "grace")
        site.request("GET", link).problem(410, "gone", "grace")
        for fields in ({}, {"Accept-Encoding": "zstd"},
                       {"Range": "bytes=0-9"}, {"If-None-Match": "*"}):
            site.papi(app, tail, headers=fields).problem(410, "gone", "grace")
        equal(site.papi(app, tail, "HEAD").status, 410, "status of HEAD")
        site.papi(app, "getMemorySnapshot").papi_error(
            404, "Snapshot not found")
        job = site.job(app, job["id"])
        equal((job["state"], job["links"]["artifact"]), ("succeeded", None),
              "state, link to the artifact")
        # Without a pool there may be nobody to tidy up for a while.
        if front != "apache-cgid":
            until(lambda: not site.files_of(job["id"]), 20,
                  "the file is away", 0.1)
    finally:
        site.close()


@once("a delivered file is served by its id until grace is over, then 410")
def _(run):
    in_parallel({front: lambda f=front: outlive_grace(run, f)
                 for front in ("nginx", "apache-fcgi", "apache-cgid")})
