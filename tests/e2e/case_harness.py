"""The harness itself."""
import contextlib
import os
import pathlib
import shutil
import sys

import guard
from harness import TOP, Process, check, once, until

# A run that starts a process with a child, and one that leaves its session.
KILLED = """
import pathlib, sys, time
sys.path.insert(0, sys.argv[1])
import harness
place = pathlib.Path(sys.argv[2])
harness.Process.guard = harness.Guard(place)
harness.Process(["sh", "-c", f"sleep 600 & echo $! >{place}/child; wait"],
                place / "log", user=harness.APP)
harness.Process(["setsid", "--fork", place / "sleep", "600"], place / "log",
                user=harness.APP)
time.sleep(600)
"""


def is_there(pid):
    found = guard.look(pid)
    return found is not None and found[0] != "Z"


def running(program):
    """Pids of whoever runs it."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(entry / "exe") == str(program):
                found.append(int(entry.name))
    return found


@once("a run that is killed leaves no process behind, and ends nobody else's")
def _(run):
    place = run.subdir("killed")
    place.chmod(0o777)
    shutil.copy(shutil.which("sleep"), place / "sleep")
    bystander = Process(["sleep", "600"], place / "other")
    killed = Process([sys.executable, "-c", KILLED, TOP / "tests/e2e", place],
                     place / "run")
    try:
        child = place / "child"
        pids = until(lambda: running(place / "sleep") and child.exists() and
                     child.read_text().strip() and
                     [*running(place / "sleep"), int(child.read_text())], 20,
                     f"both are there: {killed.text()}")
        check(len(pids) == 2 and all(map(is_there, pids)), f"{pids}")
        killed.kill()
        until(lambda: not any(map(is_there, pids)), 20, f"{pids} are gone")
        check(bystander.alive(), "the guard has killed somebody else's")
    finally:
        killed.kill()
        bystander.kill()
