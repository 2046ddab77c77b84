"""CPU profiles: from Profiler.stop to the complete file, and what the app
stands still for it."""
import re
import socket
import struct
import threading
import time

from harness import APP, App, Site, check, equal
from measure import MISHAPS, Watch
from snapshots import ask_peer

# The kernel's clock for files, which Python has no name for.
CLOCK_REALTIME_COARSE = 5
INTERVAL_US = 100
HEAP_MB = 20


class Tap:
    """Between podprof and the inspector: notes when a command passes, and
    passes everything on.  What it costs is podprof's."""

    def __init__(self, run, address):
        host, port = address.split(":")
        self.behind = (host, int(port))
        self.port = run.port()
        self.address = f"127.0.0.1:{self.port}"
        self.seen_at = {}       # {method: time.time()}
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.threads = [threading.Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.behind)
            for target, args in ((self.pass_commands, (client, server)),
                                 (pass_bytes, (server, client))):
                thread = threading.Thread(target=target, args=args,
                                          daemon=True)
                self.threads.append(thread)
                thread.start()

    def pass_commands(self, client, server):
        commands = Commands()

        def look(data):
            at = time.time()
            for method in commands.take(data):
                self.seen_at[method] = at
        pass_bytes(client, server, look)

    def close(self):
        # Only this ends an accept() that waits.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(10)


def pass_bytes(source, sink, look=None):
    buffer = memoryview(bytearray(1 << 20))
    try:
        while True:
            count = source.recv_into(buffer)
            if count == 0:
                break
            if look is not None:
                look(bytes(buffer[:count]))
            sink.sendall(buffer[:count])
    except OSError:
        pass
    finally:
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Commands:
    """The methods in what a client sends: an HTTP head, then masked frames."""
    HEAD_END = b"\r\n\r\n"
    METHOD = re.compile(rb'"method"\s*:\s*"([\w.]+)"')

    def __init__(self):
        self.data = b""
        self.upgraded = False

    def take(self, data):
        self.data += data
        if not self.upgraded:
            head, end, rest = self.data.partition(self.HEAD_END)
            if not end:
                return
            self.upgraded = b"upgrade: websocket" in head.lower()
            self.data = rest
        while True:
            payload = self.frame()
            if payload is None:
                return
            for method in self.METHOD.findall(payload):
                yield method.decode()

    def frame(self):
        """The next one that is whole."""
        if len(self.data) < 2:
            return None
        length, start = self.data[1] & 127, 2
        if length >= 126:
            size = 2 if length == 126 else 8
            if len(self.data) < start + size:
                return None
            length = struct.unpack(">H" if size == 2 else ">Q",
                                   self.data[start:start + size])[0]
            start += size
        mask = self.data[start:start + 4]
        end = start + 4 + length
        if len(self.data) < end:
            return None
        masked = self.data[start + 4:end]
        self.data = self.data[end:]
        return bytes(byte ^ mask[i % 4] for i, byte in enumerate(masked))


def take_in_process(bench, app, out):
    path = out / "a.cpuprofile"
    told = ask_peer(app, "in-process-profile", file=path,
                    durationMs=bench.plan["profile_s"] * 1000,
                    intervalUs=INTERVAL_US)
    size = path.stat().st_size
    path.unlink()
    return {"stopToFileMs": told["stopToFileMs"], "fileBytes": size,
            "storedBytes": size}


def take_podprof(bench, app, site, tap):
    tap.seen_at.clear()
    with Watch(site.captures, app.pid) as watch:
        job = site.post_job("sample", "cpu-profile", durationMs=bench.plan[
            "profile_s"] * 1000, intervalUs=INTERVAL_US).expect(202).json()
        job = site.wait_job("sample", job["id"], 60)
    equal(job["state"], "succeeded", f"state, {job['error']}")
    check("Profiler.stop" in tap.seen_at, "Profiler.stop was not seen")
    path = site.stored(job["id"])
    # A file gets its name, and so a new ctime, once it is whole.  That clock
    # stands still for a tick.
    whole_at = path.stat().st_ctime + time.clock_getres(CLOCK_REALTIME_COARSE)
    stored = path.stat().st_size
    site.papi("sample", f"jobs/{job['id']}", "DELETE").expect(204)
    return {"stopToFileMs": (whole_at - tap.seen_at["Profiler.stop"]) * 1000,
            "fileBytes": job["artifact"]["size"], "storedBytes": stored,
            **watch.found()}


def measure(bench, rows):
    """CPU profiles of one app, in turn."""
    app = App(bench.run, heap_mb=HEAP_MB, args=[
        "--require", bench.peers, "--require", bench.busy])
    tap = Tap(bench.run, app.address)
    out = bench.run.subdir("out", APP)
    site = Site(bench.run, "nginx", fakes=0, apps={"sample": tap.address})
    ways = {"in-process": lambda: take_in_process(bench, app, out),
            "podprof": lambda: take_podprof(bench, app, site, tap)}
    try:
        site.start()
        for number in range(1, bench.plan["profile_rounds"] + 1):
            for name, take in ways.items():
                row = {"round": number, "way": name}
                app.stall_ms()
                time.sleep(1)
                row["ownStallMs"] = app.stall_ms()
                try:
                    row.update(take())
                    row["stallMs"] = app.stall_ms()
                    bench.say(f"{name}: {row['stopToFileMs']:.0f} ms to the "
                              f"file, app stalled {row['stallMs']} ms")
                except MISHAPS as error:
                    row["fault"] = str(error)
                    bench.say(f"{name}: {error}")
                rows.append(row)
    finally:
        site.close()
        app.close()
        tap.close()
