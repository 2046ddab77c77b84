"""A large file through nginx: its own, left to it by podprof, streamed."""
import socket
import time

from harness import WEB, Site, check, matches
from measure import MIB

PREFIX = "/podprof-artifacts"
BUFFER = 1 << 20


class WithStatic(Site):
    """nginx also serves a directory of its own, on another port."""

    def write_nginx(self):
        super().write_nginx()
        self.static = self.run.subdir("static", WEB)
        self.static_port = self.run.port()
        conf = self.web / "nginx.conf"
        conf.write_text(conf.read_text().replace(
            "include podprof.conf;\n", "include podprof.conf;\n"
            f"server {{ listen 127.0.0.1:{self.static_port}; "
            f"root {self.static}; sendfile on; }}\n"))


def download(port, path, token, coding):
    """Seconds from the request to the last byte, and bytes of the body."""
    head = (f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Authorization: Bearer {token}\r\nAccept-Encoding: {coding}\r\n"
            "\r\n")
    buffer = memoryview(bytearray(BUFFER))
    with socket.create_connection(("127.0.0.1", port), 60) as client:
        began = time.monotonic()
        client.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = client.recv(4096)
            check(part, f"the answer ended: {answer[:200]!r}")
            answer += part
        head, _, rest = answer.partition(b"\r\n\r\n")
        check(head.startswith(b"HTTP/1.1 200 "), f"{path}: {head[:300]!r}")
        count = len(rest)
        while True:
            part = client.recv_into(buffer)
            if part == 0:
                break
            count += part
        seconds = time.monotonic() - began
    matches(head.decode(), rf"(?mi)^content-length: {count}\r?$",
            "the head, after so many bytes")
    return seconds, count


def artifact(site, size):
    """A snapshot of that many bytes, as podprof has stored it; its path and
    its address."""
    app = site.fake("Big", size=size, expected=size + size // 4)
    job = site.wait_job(app, site.take(app), 300)
    check(job["state"] == "succeeded", f"{job['error']}")
    return (site.stored(job["id"]),
            f"/{app.name}/private/papi/jobs/{job['id']}/artifact")


def measure(bench, rows):
    """Static, sendfile and streamed; and what is unpacked on the way."""
    size = bench.plan["download_mb"] * MIB
    plain = {"compression": "none"}
    left = WithStatic(bench.run, "nginx", fakes=1, sendfile=True, conf={
        "artifacts": {**plain, "sendfile": "x-accel-redirect",
                      "sendfile_prefix": PREFIX}})
    streamed = Site(bench.run, "nginx", fakes=1, conf={"artifacts": plain})
    packed = Site(bench.run, "nginx", fakes=1)
    sites = [left, streamed, packed]
    try:
        for site in sites:
            site.start()
        stored, left_path = artifact(left, size)
        static = left.static / "file"
        static.write_bytes(stored.read_bytes())
        static.chmod(0o644)
        ways = {
            "static": (left, left.static_port, "/file"),
            "sendfile": (left, left.port, left_path),
            "streamed": (streamed, streamed.port, artifact(streamed, size)[1]),
            "unpacked": (packed, packed.port, artifact(packed, size)[1])}
        for number in range(bench.plan["download_rounds"] + 1):
            for name, (site, port, path) in ways.items():
                seconds, count = download(
                    port, path, site.tokens["operator"], "identity")
                if number == 0:
                    continue    # it only brings the file to mind
                rows.append({"round": number, "way": name,
                             "seconds": seconds, "bytes": count,
                             "mbPerS": count / 1e6 / seconds})
                bench.say(f"{name}: {count / 1e6 / seconds:.0f} MB/s")
    finally:
        for site in sites:
            site.close()
