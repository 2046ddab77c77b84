"""What the parts of the benchmark measure with: processes, the load, medians.
"""
import contextlib
import http.client
import json
import os
import pathlib
import platform
import shutil
import subprocess
import threading

from harness import Failed, check, children

HERE = pathlib.Path(__file__).resolve().parent
MIB = 1 << 20
# What ends one measurement, and not the others.
MISHAPS = (Failed, OSError, ValueError, http.client.HTTPException,
           subprocess.SubprocessError)
TICK_HZ = os.sysconf("SC_CLK_TCK")


class Bench:
    """What every part gets.

    run     harness.Run
    plan    numbers by name: how large, how often, how long; see bench.py
    """

    def __init__(self, run, plan):
        self.run = run
        self.plan = plan
        self.load_program = compiled(run, "load")
        self.hello_program = compiled(run, "hello", "-lfcgi", "-lpthread")
        # Where the app's user can read them.
        self.peers, self.busy = (
            shutil.copy(HERE / name, run.dir / name)
            for name in ("peers.js", "busy.js"))
        self.remote_module = (run.npm /
                              "remote/node_modules/chrome-remote-interface")

    def say(self, text):
        """A line of progress."""
        print(f"  {text}", flush=True)

    def load(self, site, path, token, connections, unit, count):
        """What load.c measures of that address of a site."""
        request = (f"GET {path} HTTP/1.1\r\nHost: localhost\r\n"
                   f"Authorization: Bearer {site.tokens[token]}\r\n\r\n")
        done = subprocess.run(
            [self.load_program, str(site.port), str(connections), unit,
             str(count)], input=request.encode(), capture_output=True,
            timeout=600, check=False)
        check(done.returncode == 0, done.stderr.decode())
        return json.loads(done.stdout)


def compiled(run, name, *libraries):
    program = run.dir / "bin" / f"bench-{name}"
    subprocess.run(
        [os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", "-O2",
         "-Wall", "-Wextra", "-Werror", "-o", program, HERE / f"{name}.c",
         *libraries], stdin=subprocess.DEVNULL, check=True)
    return program


def numbers(path):
    """{name: bytes} of a file of /proc with lines such as "VmRSS: 12 kB";
    empty once the process is gone."""
    found = {}
    with contextlib.suppress(OSError):
        for line in pathlib.Path(path).read_text().splitlines():
            name, _, value = line.partition(":")
            words = value.split()
            if len(words) == 2 and words[1] == "kB":
                found[name] = int(words[0]) * 1024
    return found


def memory_of(pid):
    found = numbers(f"/proc/{pid}/status")
    check("VmRSS" in found, f"process {pid} has ended")
    return found


def reset_peak(pid):
    """VmHWM begins anew."""
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def cpu_seconds(pid):
    """None once the process is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK_HZ


class Watch:
    """The process that captures, and what the app forks, while they live.

    find    returns pids; the first is followed until it ends
    parent  the app
    """
    EVERY_S = 0.02
    # Reading it takes the kernel some milliseconds, of the child's time.
    CHILD_EVERY_S = 0.2

    def __init__(self, find, parent):
        self.find = find
        self.parent = parent
        self.pid = None
        self.anonymous_bytes = self.cpu_s = None
        self.samples = 0
        self.child_bytes = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        turn = 0
        while not self.over.is_set():
            if self.pid is None:
                self.pid = next(iter(self.find()), None)
            if self.pid is not None:
                self.look()
            if turn % int(self.CHILD_EVERY_S / self.EVERY_S) == 0:
                self.look_at_children()
            turn += 1
            self.over.wait(self.EVERY_S)

    def look(self):
        anonymous = numbers(f"/proc/{self.pid}/status").get("RssAnon")
        cpu_s = cpu_seconds(self.pid)
        if anonymous is None or cpu_s is None:
            return
        self.samples += 1
        self.anonymous_bytes = max(self.anonymous_bytes or 0, anonymous)
        self.cpu_s = cpu_s

    def look_at_children(self):
        for pid in children(self.parent):
            rollup = numbers(f"/proc/{pid}/smaps_rollup")
            private = rollup.get("Private_Clean", 0) + rollup.get(
                "Private_Dirty", 0)
            self.child_bytes = max(self.child_bytes or 0, private)

    def found(self):
        return {"captureAnonBytes": self.anonymous_bytes,
                "captureCpuS": self.cpu_s, "captureSamples": self.samples,
                "childBytes": self.child_bytes}

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def cpu_model():
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "CPU part")):
                return line.partition(":")[2].strip()
    return platform.machine()


def version_of(*command):
    """The last word of what a program says of its version."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    words = done.stdout.split()
    return words[-1].rpartition("/")[2] if words else "unknown"


def machine(run):
    return {
        "cores": os.cpu_count(), "cpu": cpu_model(),
        "memoryBytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf(
            "SC_PHYS_PAGES"),
        "kernel": f"{platform.system()} {platform.release()}",
        "system": platform.freedesktop_os_release().get("PRETTY_NAME"),
        "load": list(os.getloadavg()),
        "node": version_of(run.node, "--version"),
        "nginx": version_of("nginx", "-v")}
