"""Debian's package: its source agrees with the project; built, looked at,
installed and removed again by tests/soak."""
import os
import re
import shlex
import shutil
import subprocess
import time

from case_systemd import Systemd, serve, survive
from harness import APP, EXCHANGE, TOP, App, Site, as_user, check, equal, deploy

DEBIAN = TOP / "debian"
# What a module of pkg-config is called there.
PACKAGES = {"libcjson": "libcjson-dev", "sqlite3": "libsqlite3-dev",
            "libcrypto": "libssl-dev", "libzstd": "libzstd-dev",
            "libwebsockets": "libwebsockets-dev", "cmocka": "libcmocka-dev",
            "libcurl": "libcurl4-openssl-dev"}
# Of a build in the source directory.
MADE = re.compile(r"^(\.debhelper|build|files|podprof|debhelper-build-stamp|"
                  r"autoreconf\..*|.*\.substvars|.*\.debhelper(\.log)?)$")


def parse_changelog(field):
    return subprocess.run(
        ["dpkg-parsechangelog", "-l", DEBIAN / "changelog", "-S", field],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        check=True).stdout.strip()


@deploy("Debian's source package agrees with the project's own files")
def _(run):
    configure = (TOP / "configure.ac").read_text()
    version = re.search(r"AC_INIT\(\[podprof\], \[([^]]*)\]\)", configure)
    equal(parse_changelog("Version"), version.group(1), "version")
    equal(parse_changelog("Source"), "podprof", "source")
    control = (DEBIAN / "control").read_text()
    equal(parse_changelog("Maintainer"),
          re.search(r"(?m)^Maintainer: (.*)", control).group(1), "maintainer")
    modules = re.findall(r"PKG_CHECK_MODULES\(\[\w+\], \[(\S+) >= (\S+)\]",
                         configure)
    equal({name for name, _ in modules}, set(PACKAGES), "libraries")
    for name, least in modules:
        check(f" {PACKAGES[name]} (>= {least})" in control,
              f"debian/control does not ask for {PACKAGES[name]} {least}")
    shipped = (TOP / "conf/local.mk").read_text()
    for path in DEBIAN.rglob("*"):
        name = str(path.relative_to(TOP))
        if path.is_file() and not MADE.match(path.relative_to(
                DEBIAN).parts[0]):
            check(re.search(rf"\s{re.escape(name)}(\s|$)", shipped),
                  f"{name} is not in the distribution")
    # What the package takes from the examples.
    rules = (DEBIAN / "rules").read_text()
    for path in (TOP / "conf/systemd").iterdir():
        check(path.name in rules, f"debian/rules does not know {path.name}")


def command(args, within=1800, **more):
    """Run it; what it prints, when it succeeds."""
    done = subprocess.run(list(map(str, args)), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=within,
                          check=False, **more)
    check(done.returncode == 0, f"{shlex.join(map(str, args))}: exit "
          f"{done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def build(run):
    """The package, made from a copy of the sources; its .changes."""
    where = run.subdir("debian")
    source = where / "podprof-0.1.0"
    # tests/soak has copied there what a clone has, and generated the rest.
    shutil.copytree(run.builddir.parent / "source", source, symlinks=True)
    for name in ("Makefile.in", "aclocal.m4", "configure", "config.h.in"):
        (source / name).unlink()
    for name in ("build-aux", "autom4te.cache"):
        shutil.rmtree(source / name)
    environment = {**os.environ, "LC_ALL": "C.UTF-8",
                   "DEB_BUILD_OPTIONS": os.environ.get(
                       "DEB_BUILD_OPTIONS", "") + f" parallel={os.cpu_count()}"}
    began = time.monotonic()
    command(["dpkg-buildpackage", "-us", "-uc"], cwd=source, env=environment)
    print(f"dpkg-buildpackage: {time.monotonic() - began:.0f} s")
    changes, = where.glob("*.changes")
    return changes


def look_at(package):
    """Where things are, and that nobody else can change them."""
    listed = {}
    for line in command(["dpkg-deb", "-c", package]).splitlines():
        mode, owner, _, _, _, name = line.split(None, 5)
        equal(owner, "root/root", f"owner of {name}")
        check(mode[5] == mode[8] == "-", f"{name} has mode {mode}")
        listed[name.removeprefix(".")] = mode
    for name in ("/usr/bin/podprof", "/usr/libexec/podprof/podprof.fcgi",
                 "/usr/libexec/podprof/podprof-capture"):
        equal(listed.get(name), "-rwxr-xr-x", name)
    for name in ("/etc/podprof/podprof.conf",
                 "/usr/lib/sysusers.d/podprof.conf",
                 "/usr/lib/tmpfiles.d/podprof.conf",
                 "/usr/libexec/podprof/podprof-fork.node",
                 "/usr/share/man/man8/podprof.fcgi.8.gz",
                 "/usr/share/podprof/apache/fcgid.conf",
                 "/usr/share/podprof/nginx/podprof-fcgiwrap.conf",
                 "/usr/share/podprof/page/index.html",
                 "/usr/share/bash-completion/completions/podprof",
                 "/usr/share/zsh/vendor-completions/_podprof",
                 "/usr/share/fish/vendor_completions.d/podprof.fish",
                 "/usr/share/doc/podprof/README.Debian",
                 "/lib/systemd/system/podprof.socket",
                 "/lib/systemd/system/podprof.service"):
        check(name in listed, f"the package has no {name}")
    equal(command(["dpkg-deb", "--info", package, "conffiles"]).split(),
          ["/etc/podprof/podprof.conf"], "conffiles")
    for name in ("/lib/systemd/system/podprof.service",
                 "/usr/share/podprof/apache/cgid.conf",
                 "/usr/share/podprof/apache/fcgid.conf",
                 "/usr/share/podprof/nginx/podprof-fcgiwrap.conf"):
        data = subprocess.run(
            f"dpkg-deb --fsys-tarfile {package} | tar -xO .{name}", shell=True,
            capture_output=True, text=True, timeout=60, check=True).stdout
        check("/usr/libexec/podprof/podprof.fcgi" in data and
              "/usr/local" not in data, f"the paths in {name}")
    print(f"{len(listed)} files and directories, "
          f"{package.stat().st_size / 1024:.0f} KiB")


# Its own /etc/podprof/podprof.conf, and an app as README.Debian has it.
INSTALL = r"""
# Where there is one, no package starts anything.
rm -f /usr/sbin/policy-rc.d
groupadd -g {group} podprof-exchange
dpkg -i {package}
cat >>/etc/podprof/podprof.conf <<END
[app sample]
inspector = {address}
exchange_dir = /var/lib/podprof-exchange
END
podprof token new operator --role operator >{tests}/operator
podprof token new viewer --role viewer >{tests}/viewer
chown podprof: {exchange}
chgrp podprof-exchange {exchange}
chmod 2770 {exchange}
mount --bind {exchange} /var/lib/podprof-exchange
sed 's/=www-data/=podprof-web/' /lib/systemd/system/podprof.socket \
	>$units/podprof.socket
cp /lib/systemd/system/podprof.service $units
"""


# The app sees that directory at the same place.
MEET = """
mount -t tmpfs -o mode=0755 tmpfs /var/lib
mkdir /var/lib/podprof-exchange
mount --bind "$0" /var/lib/podprof-exchange
exec "$@"
"""


def update(site, systemd, package):
    """Over the same version, while a capture runs; what a user has written into
    the configuration stays."""
    job = site.post_job("sample", "cpu-profile",
                        durationMs=5000).expect(202).json()
    old = systemd.pool()
    systemd.succeed("dpkg", "-i", package)
    systemd.succeed("grep", "-q", "^.app sample", "/etc/podprof/podprof.conf")
    site.papi("sample", "jobs").expect(200)
    check(systemd.pool() != old, "the update has not restarted the pool")
    job = site.wait_job("sample", job["id"])
    equal((job["state"], job["error"]), ("succeeded", None), "the capture")


def remove(systemd):
    systemd.succeed("dpkg", "-r", "podprof")
    equal(systemd.pools(), [], "pools once it is removed")
    systemd.succeed("test", "-f", "/etc/podprof/tokens")
    systemd.succeed("umount", "/var/lib/podprof-exchange")
    systemd.succeed("dpkg", "-P", "podprof")
    left = systemd.run("sh", "-c", "ls -d /etc/podprof /var/lib/podprof* "
                       "/usr/share/podprof /usr/libexec/podprof "
                       "/etc/systemd/system/*/podprof*")
    equal(left.stdout, "", "left after the purge")


def install(run, package):
    """On a root of its own: installed, started by systemd, used, updated,
    removed, purged."""
    exchange = run.exchange_dir()
    app = App(run, prefix=["unshare", "--mount", "sh", "-c", MEET, exchange,
                           *as_user(APP, [EXCHANGE])])
    site = Site(run, "nginx", fakes=0, apps={"sample": app.address})
    systemd = Systemd(run, INSTALL.format(
        package=package, address=app.address, tests=site.dir,
        exchange=exchange, group=EXCHANGE),
        [f"StandardError=append:{site.dir}/pool.log",
         f"BindPaths={site.dir}"])
    try:
        systemd.await_socket()
        for role in ("operator", "viewer"):
            site.tokens[role] = (site.dir / role).read_text().strip()
        done = systemd.succeed("stat", "-c", "%U:%G %a", "/etc/podprof/tokens",
                               "/var/lib/podprof")
        equal(done.split("\n")[:2], ["root:podprof 640",
                                     "podprof:podprof 711"], "modes")
        for unit in ("sockets.target.wants/podprof.socket",
                     "multi-user.target.wants/podprof.service"):
            systemd.succeed("test", "-L", f"/etc/systemd/system/{unit}")
        serve(site, systemd)
        survive(site, systemd)
        print("podprof check:\n" + systemd.succeed(
            "runuser", "-u", "podprof", "--", "podprof", "check"))
        update(site, systemd, package)
        remove(systemd)
    finally:
        systemd.close()
        site.close()
        app.close()


def debian(run):
    """Debian's package: built, looked at by lintian, installed, removed."""
    changes = build(run)
    said = command(["lintian", "--allow-root", "--fail-on", "error,warning",
                    "--info", changes])
    print(f"lintian: {said.strip() or 'nothing to say'}")
    package, = (path for path in changes.parent.glob("*.deb")
                if "dbgsym" not in path.name)
    look_at(package)
    install(run, package)
    print("installed, started by systemd, captured by each method, survived "
          "a restart and a crash, removed and purged without a trace")
