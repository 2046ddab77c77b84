"""What apps are put under, and looked at with, while they are captured.

    Load          clients that ask without think time
    settled       what a process holds
    ControlGroup  a control group of this machine, version 1 or 2
"""
import collections
import contextlib
import http.client
import os
import pathlib
import re
import socket
import threading
import time

from harness import APP, EXCHANGE, Failed, Skipped, as_user, check, \
    children, until

REQUEST = b"GET / HTTP/1.1\r\nHost: app\r\n\r\n"


class Load:
    """So many clients of an app, each on one connection from its beginning to
    its end: one that breaks is a fault."""

    def __init__(self, app, clients=4):
        host, port = app.url.split("//")[1].split(":")
        self.sockets = [socket.create_connection((host, int(port)), 60)
                        for _ in range(clients)]
        self.answers = 0
        self.answered = set()
        self.longest_ms = 0.0
        self.faults = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(sock,))
                        for sock in self.sockets]

    def run(self, sock):
        while not self.over.is_set():
            began = time.monotonic()
            try:
                sock.sendall(REQUEST)
                response = http.client.HTTPResponse(sock)
                response.begin()
                check(response.status == 200, f"status {response.status}")
                response.read()
            except (OSError, Failed, http.client.HTTPException) as error:
                self.faults.append(f"{type(error).__name__}: {error}")
                return
            took_ms = (time.monotonic() - began) * 1000
            self.longest_ms = max(self.longest_ms, took_ms)
            self.answers += 1
            self.answered.add(sock)

    def __enter__(self):
        """All of them are under way."""
        for thread in self.threads:
            thread.start()
        until(lambda: self.faults or len(self.answered) == len(self.sockets),
              60, "every client was answered")
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        for sock in self.sockets:
            sock.close()

    def check(self):
        check(not self.faults, f"requests failed: {self.faults[:3]}")
        check(self.answers > 0, "nobody was answered")


def vitals(pid):
    """What a process holds: its descriptors by what they are, its threads,
    its children, how much of its memory no copy of it would get."""
    held = collections.Counter()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held[re.sub(r":\[\d+\]$", "", os.readlink(fd))] += 1
    return {"descriptors": dict(held),
            "children": [what_it_is(child) for child in children(pid)],
            "threads": len(os.listdir(f"/proc/{pid}/task")),
            "unforked": unforked_bytes(pid) > 0}


def what_it_is(pid):
    """Name, state and CPU time of a process, for whoever finds it left."""
    with contextlib.suppress(OSError):
        name, _, rest = pathlib.Path(f"/proc/{pid}/stat").read_text(
            ).rpartition(")")
        state, *fields = rest.split()
        return f"{name}) {state}, {fields[10]}+{fields[11]} ticks"
    return f"{pid}, gone"


def settled(pid):
    """vitals(), once nothing of it has changed for half a second: who has
    just left an app is there for a moment more."""
    seen = []

    def is_same():
        seen.append(vitals(pid))
        return len(seen) > 5 and all(one == seen[-1] for one in seen[-6:])
    until(is_same, 60, f"process {pid} comes to rest", 0.1)
    return seen[-1]


def unforked_bytes(pid):
    """How much of its memory is marked MADV_DONTFORK."""
    total, size = 0, 0
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Size":
            size = int(value.split()[0]) * 1024
        elif name == "VmFlags" and "dc" in value.split():
            total += size
    return total


def status_bytes(pid, name):
    """A line of /proc/PID/status that is in kB: VmRSS, VmHWM, RssAnon…"""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"(?m)^{name}:\s+([0-9]+) kB$", text)
    check(found, f"process {pid} has no {name}")
    return int(found.group(1)) * 1024


def find_controller(controller):
    """(version, directory) where groups of this controller can be made."""
    own = dict(line.rstrip("\n").split(":", 2)[1:] for line in
               open("/proc/self/cgroup", encoding="ascii"))
    for line in open("/proc/mounts", encoding="ascii"):
        _, place, kind, options, *_ = line.split()
        root = pathlib.Path(place)
        if kind == "cgroup" and controller in options.split(","):
            names = [n for n in own if controller in n.split(",")]
            within = root / own[names[0]].lstrip("/")
            return 1, within if within.is_dir() else root
        if kind == "cgroup2" and controller in (
                root / "cgroup.controllers").read_text().split():
            return 2, root
    raise Skipped(f"this machine has no control groups for {controller}")


class ControlGroup:
    """A control group with one controller, "memory" or "cpu"."""
    number = 0

    def __init__(self, controller):
        self.version, parent = find_controller(controller)
        ControlGroup.number += 1
        self.path = parent / f"podprof-e2e-{os.getpid()}-{self.number}"
        try:
            if self.version == 2:
                (parent / "cgroup.subtree_control").write_text(
                    f"+{controller}")
            self.path.mkdir()
        except OSError as error:
            raise Skipped("control groups cannot be made here: "
                          f"{error}") from None

    def set(self, name, value):
        (self.path / name).write_text(str(value))

    def read(self, name):
        return (self.path / name).read_text().strip()

    def number_of(self, name, key):
        """The number behind a word in a file of lines."""
        for line in self.read(name).splitlines():
            word, value = line.split()
            if word == key:
                return int(value)
        raise Failed(f"{self.path / name} has no {key}")

    def limit_memory(self, limit_bytes):
        if self.version == 1:
            self.set("memory.limit_in_bytes", limit_bytes)
        else:
            self.set("memory.max", limit_bytes)

    def killed(self):
        """How many of its processes the kernel has killed for memory."""
        return self.number_of("memory.oom_control" if self.version == 1 else
                              "memory.events", "oom_kill")

    def peak_bytes(self):
        return int(self.read("memory.max_usage_in_bytes" if self.version == 1
                             else "memory.peak"))

    def limit_cpu(self, cores):
        period_us = 100000
        if self.version == 1:
            self.set("cpu.cfs_period_us", period_us)
            self.set("cpu.cfs_quota_us", int(cores * period_us))
        else:
            self.set("cpu.max", f"{int(cores * period_us)} {period_us}")

    def throttled_s(self):
        """For how long its processes were kept from running, so far."""
        if self.version == 1:
            return self.number_of("cpu.stat", "throttled_time") / 1e9
        return self.number_of("cpu.stat", "throttled_usec") / 1e6

    def prefix(self):
        """A command that starts an app's in here."""
        return ["sh", "-c", 'echo $$ >"$1" && shift && exec "$@"', "sh",
                self.path / "cgroup.procs", *as_user(APP, [EXCHANGE])]

    def close(self):
        """All that was in it has ended."""
        deadline = time.monotonic() + 10
        while True:
            try:
                return self.path.rmdir()
            except OSError as error:
                check(time.monotonic() < deadline, f"{self.path}: {error}: "
                      f"{self.read('cgroup.procs')}")
            time.sleep(0.05)
