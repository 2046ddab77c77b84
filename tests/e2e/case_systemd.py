"""The systemd units: sound, well locked in, and started by systemd itself, as
the first process of name spaces of its own."""
import contextlib
import os
import pathlib
import re
import signal
import subprocess

from harness import (EXCHANGE, SERVICE, TOP, WEB, App, Process, Site, Skipped,
                     check, check_whole, equal, deploy, substitute, until)

UNITS = TOP / "conf/systemd"
# In tenths, as systemd-analyze wants it: of 100.
EXPOSURE_MAX = 13


def write_units(where, program, group="www-data"):
    (where / "podprof.socket").write_text(substitute(
        UNITS / "podprof.socket", {"www-data": group}))
    (where / "podprof.service").write_text(substitute(
        UNITS / "podprof.service",
        {"/usr/local/libexec/podprof/podprof.fcgi": program}))


def analyze(*args):
    return subprocess.run(["systemd-analyze", *args], capture_output=True,
                          stdin=subprocess.DEVNULL, text=True, timeout=60,
                          check=False)


@deploy("the systemd units are sound, and give away little")
def _(run):
    where = run.subdir("units")
    write_units(where, run.bin / "podprof.fcgi")
    units = [where / "podprof.socket", where / "podprof.service"]
    done = analyze("verify", "--man=no", *units)
    equal((done.returncode, done.stderr), (0, ""), "systemd-analyze verify")
    done = analyze("security", "--offline=yes", "--no-pager",
                   f"--threshold={EXPOSURE_MAX}", units[1])
    last = done.stdout.strip().splitlines()[-1]
    print(f"# {last.encode('ascii', 'ignore').decode().strip()}")
    equal(done.returncode, 0, f"systemd-analyze security: {last}")


@deploy("systemd-socket-activate starts the pool with the first request")
def _(run):
    site = Site(run, "nginx", fakes=1)
    try:
        # --inetd: on descriptor 0, as StandardInput=socket has it.
        site.pool = Process(
            ["systemd-socket-activate", "--inetd", "-l", site.socket,
             "-E", f"PODPROF_CONFIG={site.conf}", run.bin / "podprof.fcgi"],
            site.dir / "pool.log", user=SERVICE)
        until(site.socket.exists, 20, "the socket")
        os.chown(site.socket, SERVICE, WEB)
        site.socket.chmod(0o660)
        equal(run.programs("podprof.fcgi"), [], "pools before a request")
        site.start_server()
        app = site.fake()
        site.take_whole(app)
        site.papi(app, "getMemorySnapshot").expect(200)
        equal([pid for pid, _ in run.programs("podprof.fcgi")],
              [site.pool.pid], "pools")
        equal(site.pool.stop(), 0, "exit status")
    finally:
        site.close()


# What systemd's own targets are not needed for.
STUBS = ("sysinit.target", "basic.target", "sockets.target", "network.target",
         "shutdown.target", "multi-user.target")
# A root of its own, which goes with it; below it the test's directory is the
# one that all see, and /run, too.
BOOT = r"""
set -eu
where=$1 tests=$2 prepare=$3
mount -t tmpfs -o mode=0755 tmpfs "$where/disk"
mkdir "$where/disk/upper" "$where/disk/work" "$where/disk/root"
root=$where/disk/root
mount -t overlay -o \
"lowerdir=/,upperdir=$where/disk/upper,workdir=$where/disk/work" overlay "$root"
hierarchies=$(wc -l </proc/self/cgroup)
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind /dev/null "$root/dev/console"
mount -t sysfs sysfs "$root/sys"
mount --bind "$where/run" "$root/run"
mkdir -p "$root$tests"
mount --bind "$tests" "$root$tests"
if [ "$hierarchies" -eq 1 ]; then
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
	mount -t tmpfs -o mode=0755 tmpfs "$root/sys/fs/cgroup"
	cd "$root/sys/fs/cgroup"
	mkdir systemd unified
	mount -t cgroup -o none,name=systemd cgroup systemd
	mount -t cgroup2 cgroup2 unified
fi
cd "$root"
mkdir -p old
pivot_root . old
cd /
umount -l /old
# As on a machine that has never seen podprof.
sed -i '/^podprof/d' /etc/passwd /etc/group /etc/shadow /etc/gshadow
rm -rf /etc/podprof /var/lib/podprof*
groupadd -g "$WEB" podprof-web
eval "$prepare"
container=podprof-e2e SYSTEMD_UNIT_PATH=$where/units
export container SYSTEMD_UNIT_PATH
exec /lib/systemd/systemd --system --unit=multi-user.target --log-target=null
"""


class Systemd:
    """A systemd of our own.

    prepare  shell commands that run as root, on the root that it will have,
             before it starts; $units is for what it is to start
    lines    are added to the service
    """

    def __init__(self, run, prepare, lines):
        self.dir = run.subdir("systemd")
        for name in ("disk", "run", "units"):
            (self.dir / name).mkdir()
        self.units = self.dir / "units"
        for name in STUBS:
            (self.units / name).write_text(
                "[Unit]\nDefaultDependencies=no\nWants=sockets.target\n")
        # As systemctl enable does.
        for target, unit in (("sockets.target", "podprof.socket"),
                             ("multi-user.target", "podprof.service")):
            (self.units / f"{target}.wants").mkdir()
            (self.units / f"{target}.wants" / unit).symlink_to(
                self.units / unit)
        override = self.units / "podprof.service.d"
        override.mkdir()
        (override / "override.conf").write_text(
            "[Service]\n" + "".join(f"{line}\n" for line in lines))
        self.groups = self.make_groups()
        self.process = Process(
            ["sh", "-c", 'for group; do echo $$ >"$group/cgroup.procs"; done\n'
             'exec unshare --cgroup --mount --uts --ipc --pid --fork '
             '--kill-child sh -c "$BOOT" sh "$WHERE" "$TESTS" "$PREPARE"',
             "sh", *self.groups], self.dir / "log",
            env={"BOOT": BOOT, "WHERE": str(self.dir), "TESTS": str(run.dir),
                 "PREPARE": prepare, "WEB": str(WEB), "units": str(self.units),
                 "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
        self.socket = self.dir / "run/podprof/podprof.sock"

    def await_socket(self):
        until(lambda: self.init() and
              (self.dir / "run/systemd/private").exists(), 60,
              f"systemd is up: {self.process.log}")
        # Another process of systemd's gives it away.
        until(lambda: self.socket.exists() and
              owner_of(self.socket)[1:] == (WEB, 0o660), 20,
              "the socket, with its group and mode")

    def make_groups(self):
        """A control group for it in each hierarchy, below ours."""
        groups = []
        for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            place = pathlib.Path("/sys/fs/cgroup")
            if names:
                place /= names.removeprefix("name=")
            elif (place / "unified").exists():
                place /= "unified"
            group = place / path.lstrip("/") / f"podprof-e2e-{os.getpid()}"
            try:
                group.mkdir()
            except OSError as error:
                raise Skipped("control groups cannot be made here: "
                              f"{error}") from None
            if (group / "cpuset.cpus").exists():
                for name in ("cpuset.cpus", "cpuset.mems"):
                    (group / name).write_text(
                        (group.parent / name).read_text())
            groups.append(group)
        return groups

    def init(self):
        """The pid of systemd, seen from here."""
        check(self.process.alive(), f"systemd ended: {self.process.text()}")
        text = pathlib.Path(f"/proc/{self.process.pid}/task/"
                            f"{self.process.pid}/children").read_text()
        return text.split()[0] if text else None

    def run(self, *command):
        """A command where it is, as root."""
        return subprocess.run(
            ["nsenter", "-t", self.init(), "-m", "-p", "--", *command],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False)

    def succeed(self, *command):
        done = self.run(*command)
        check(done.returncode == 0, f"{' '.join(map(str, command))}: exit "
              f"{done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def pools(self):
        """Their pids, seen from here."""
        found, space = [], f"/proc/{self.init()}/ns/pid"
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if (entry / "comm").read_text() == "podprof.fcgi\n" and \
                        (entry / "ns/pid").samefile(space):
                    found.append(int(entry.name))
        return found

    def pool(self):
        pids = self.pools()
        equal(len(pids), 1, f"pools: {pids}")
        return pids[0]

    def systemctl(self, *args):
        done = self.run("systemctl", *args)
        equal((done.returncode, done.stderr), (0, ""),
              f"systemctl {' '.join(args)}")
        return done.stdout.strip()

    def show(self, name):
        return self.systemctl("show", "-P", name, "podprof.service")

    def close(self):
        self.process.kill()
        for group in self.groups:
            for path, _, _ in os.walk(group, topdown=False):
                until(lambda p=path: self.remove(p), 10, f"{path} is empty")

    @staticmethod
    def remove(path):
        with contextlib.suppress(OSError):
            os.rmdir(path)
            return True
        return False


def owner_of(path):
    status = path.stat()
    return status.st_uid, status.st_gid, status.st_mode & 0o7777


def status_of(pid):
    """Lines of /proc/PID/status, by name."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(re.findall(r"(?m)^(\w+):\s+(.*)$", text))


def serve(site, systemd):
    """Everything, once, behind what the unit forbids."""
    site.socket = systemd.socket
    site.start_server()
    until(lambda: site.request("GET", "/readyz").status == 200, 60, "ready")
    status = status_of(systemd.pool())
    equal((status["Seccomp"], status["NoNewPrivs"], int(status["CapBnd"], 16)),
          ("2", "1", 0), "what holds the pool in")
    for method in ("fork", "direct", "stream"):
        job = site.post_job("sample", "heap-snapshot",
                            method=method).expect(202).json()
        job = site.wait_job("sample", job["id"])
        equal((job["state"], job["error"]), ("succeeded", None), method)
        equal(job["method"], method, "method")
        check_whole(site.papi("sample", f"jobs/{job['id']}/artifact"), job)
    site.papi("sample", "getCpuProfile?duration=300").expect(200)
    site.papi("sample", "target").expect(200)


def survive(site, systemd):
    """A restart leaves a capture alone; a pool that dies is started again."""
    job = site.post_job("sample", "cpu-profile",
                        durationMs=2000).expect(202).json()
    until(lambda: site.job("sample", job["id"])["state"] == "running", 10,
          "the capture runs")
    old = systemd.pool()
    systemd.systemctl("restart", "podprof.service")
    site.papi("sample", "jobs").expect(200)
    check(systemd.pool() != old, "the pool was not restarted")
    job = site.wait_job("sample", job["id"])
    equal((job["state"], job["error"]), ("succeeded", None), "the capture")
    old = systemd.pool()
    os.kill(old, signal.SIGKILL)
    until(lambda: set(systemd.pools()) - {old}, 20, "another pool")
    site.papi("sample", "jobs").expect(200)
    equal(systemd.show("NRestarts"), "1", "NRestarts")
    equal(systemd.show("ActiveState"), "active", "ActiveState")


@deploy("systemd as it is: units, users and directories of the distribution")
def _(run):
    exchange = run.exchange_dir()
    app = App(run)
    site = Site(run, "nginx", fakes=0, apps={"sample": app.address},
                exchange=exchange,
                conf={"podprof": {"state_dir": "/var/lib/podprof"}})
    units = run.subdir("units")
    write_units(units, run.bin / "podprof.fcgi", "podprof-web")
    users = units / "sysusers"
    users.write_text(substitute(
        UNITS / "podprof.sysusers",
        {"u podprof -": f"u podprof {SERVICE}",
         "g podprof-exchange -": f"g podprof-exchange {EXCHANGE}"}))
    systemd = Systemd(
        run, f"systemd-sysusers {users}\n"
        f"systemd-tmpfiles --create {UNITS}/podprof.tmpfiles\n"
        f"cp {units}/podprof.s* $units\n",
        [f"Environment=PODPROF_CONFIG={site.conf}",
         # PrivateTmp= hides where this test is.
         f"BindReadOnlyPaths={run.dir}", f"BindPaths={exchange}",
         f"StandardError=append:{site.dir}/pool.log"])
    try:
        systemd.await_socket()
        serve(site, systemd)
        equal(status_of(systemd.pool())["Uid"].split()[0], str(SERVICE), "user")
        equal(owner_of(systemd.socket), (SERVICE, WEB, 0o660), "socket")
        survive(site, systemd)
        for path, uid, gid, mode in (
                ("/run/podprof/exchange", SERVICE, EXCHANGE, "2770"),
                ("/var/lib/podprof-exchange", SERVICE, EXCHANGE, "2770"),
                ("/var/lib/podprof", SERVICE, SERVICE, "711")):
            done = systemd.run("stat", "-c", "%u %g %a", path)
            equal(done.stdout.strip(), f"{uid} {gid} {mode}", path)
        done = systemd.run("id", "-Gn", "podprof")
        equal(done.stdout.strip(), "podprof podprof-exchange", "groups")
        systemd.systemctl("stop", "podprof.socket", "podprof.service")
        equal(systemd.show("Result"), "success", "Result")
        equal(systemd.pools(), [], "pools after the stop")
    finally:
        systemd.close()
        site.close()
        app.close()
