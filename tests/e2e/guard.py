"""Ends what a run of the end-to-end cases leaves behind, however it ended.

    guard.py DIR    the run's directory

Reads the pid of each process that the run starts, a line each; at the end of
that, which comes with the end of the run, kills what is left of their sessions,
and whoever runs a program below DIR.
"""
import contextlib
import os
import signal
import sys
import time

WITHIN = 20


def look(pid):
    """(state, session, when it began) of a process; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            words = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return words[0], int(words[3]), words[19]


def is_ours(pid, directory, sessions):
    found = look(pid)
    if found is None or found[0] == "Z" or pid == os.getpid():
        return False
    session = found[1]
    if session in sessions:
        # A number that was given away again is somebody else's.
        leader = look(session)
        if leader is None or leader[2] == sessions[session]:
            return True
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe").startswith(directory + "/")
    return False


def end(directory, sessions):
    """Kill them, once; how many there were."""
    count = 0
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        if not is_ours(pid, directory, sessions):
            continue
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(pid)
            # Still the same one?
            if is_ours(pid, directory, sessions):
                signal.pidfd_send_signal(process, signal.SIGKILL)
                print(f"# guard.py: killed {pid}, which was left", flush=True)
                count += 1
            os.close(process)
    return count


def main():
    directory, sessions = sys.argv[1], {}
    for line in sys.stdin:
        found = look(int(line))
        sessions[int(line)] = found and found[2]
    # They may start others until they are gone.
    deadline = time.monotonic() + WITHIN
    while end(directory, sessions) and time.monotonic() < deadline:
        time.sleep(0.05)


if __name__ == "__main__":
    main()
