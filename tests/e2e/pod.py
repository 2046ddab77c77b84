"""A pod as the manifests describe it, without Kubernetes: what kubelet and
container runtime would make of a Deployment's template, made by hand of name
spaces, mounts and users.

    Image   what a container starts from: a root, entry point and environment
    Pod     containers with the volumes, users, environment, probes and limits
            on rights of their manifest, in one network name space

Not made: memory and CPU limits, sizeLimit of what is no tmpfs, seccomp, and
NetworkPolicy.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess

from harness import TOP, Process, check, children, equal, until

# The pod's own address, beside loopback.
ADDRESS = "10.87.0.2"

# HOW DIRECTORY ROOT [TARGET VOLUME ro|rw]... -- COMMAND: the command in a read-only
# root.  HOW is "all", or "over": the directory is laid over this machine's own
# root, by way of a tmpfs, as it must not lie in that.
CONTAINER = """
set -eu
how=$1 directory=$2 root=$3
shift 3
if [ "$how" = over ]; then
	mount -t tmpfs -o mode=755 tmpfs "$root"
	mkdir "$root/layer" "$root/root"
	cp -a "$directory/." "$root/layer"
	mount -t overlay -o "ro,lowerdir=$root/layer:/" overlay "$root/root"
	root=$root/root
else
	mount --bind "$directory" "$root"
fi
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755,size=64k tmpfs "$root/dev"
for name in null zero full random urandom; do
	: >"$root/dev/$name"
	mount --bind "/dev/$name" "$root/dev/$name"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
while [ "$1" != -- ]; do
	mkdir -p "$root$1"
	mount --bind "$2" "$root$1"
	mount -o "remount,bind,$3" "$root$1"
	shift 3
done
shift
for target in "$root/dev" "$root"; do
	mount -o remount,bind,ro "$target"
done
exec chroot "$root" "$@"
"""


class Image:
    """how, directory: as CONTAINER wants it."""

    def __init__(self, how, directory, entrypoint=(), env=None):
        self.how = how
        self.directory = directory
        self.entrypoint = list(entrypoint)
        self.env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:"
                    "/usr/bin:/sbin:/bin", **(env or {})}


def containerfile():
    """The instructions of the last stage: [(word, rest)]."""
    text = (TOP / "conf/container/Containerfile").read_text()
    lines = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ").splitlines()
    pairs = [tuple(line.split(None, 1)) for line in lines if line.strip()]
    last = max(i for i, (word, _) in enumerate(pairs) if word == "FROM")
    return pairs[last:]


def layer(run, name):
    """A directory that is laid over this machine's root, with the points to
    mount volumes at, which a container runtime makes by itself."""
    path = run.subdir(name)
    for point in ("var/lib/podprof", "run/podprof/exchange", "etc/podprof"):
        (path / point).mkdir(parents=True)
    return path


def image_in_place(run):
    """What the Containerfile makes, of this machine's Debian and programs."""
    path = layer(run, "image")
    said = containerfile()
    for source, target in (
            *((run.bin / name, "usr/libexec/podprof") for name in
              ("podprof.fcgi", "podprof-capture", "podprof-fork.node")),
            (run.bin / "podprof", "usr/bin"),
            (TOP / "conf/container/serve", "usr/share/podprof/container"),
            (TOP / "conf/container/nginx.conf", "usr/share/podprof/container"),
            (TOP / "conf/nginx/podprof.conf", "usr/share/podprof/nginx"),
            (TOP / "conf/nginx/podprof-fastcgi.conf",
             "usr/share/podprof/nginx")):
        (path / target).mkdir(parents=True, exist_ok=True)
        shutil.copy(source, path / target)
    return Image("over", path,
                 json.loads(dict(said)["ENTRYPOINT"]),
                 dict(rest.split("=", 1) for word, rest in said
                      if word == "ENV"))


def image_of_app(run, heap_mb=4):
    """Where "node server.js" starts the sample app on port 3000."""
    path = layer(run, "app-image")
    (path / "usr/bin").mkdir(parents=True)
    shutil.copy(run.node, path / "usr/bin/node")
    shutil.copy(TOP / "conf/sample-app.js", path)
    (path / "server.js").write_text(
        "process.argv.push('--port', '3000', '--heap-mb', "
        f"'{heap_mb}');\n"
        "require('./sample-app.js');\n")
    return Image("over", path)


class Container:
    def __init__(self, pod, manifest):
        self.pod = pod
        self.name = manifest["name"]
        self.manifest = manifest
        self.image = pod.images[manifest["image"].split("/")[-1].split(":")[0]]
        self.root = pod.run.subdir(f"root-{self.name}")
        self.log = pod.dir / f"{self.name}.log"
        self.process = None
        self.pid = None

    def user(self):
        spec = self.manifest["securityContext"]
        check(spec["runAsNonRoot"] and spec["runAsUser"] > 0, "runs as root")
        equal(spec["capabilities"], {"drop": ["ALL"]}, "capabilities")
        check(not spec["allowPrivilegeEscalation"], "may gain privileges")
        return [
            "setpriv", f"--reuid={spec['runAsUser']}",
            f"--regid={spec['runAsGroup']}",
            f"--groups={self.pod.spec['securityContext']['fsGroup']}",
            "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all",
            # What unshare has set is gone with the change of the user.
            "--pdeathsig=KILL"]

    def environment(self, more):
        env = dict(self.image.env)
        for variable in self.manifest.get("env", []):
            # The only field that ours refer to.
            env[variable["name"]] = variable["value"] \
                if "value" in variable else \
                {"metadata.name": "shop-6d5f-x2x"}[
                    variable["valueFrom"]["fieldRef"]["fieldPath"]]
        env.update(more)
        return ["env", "-i", *(f"{key}={value}" for key, value in env.items())]

    def start(self, mounts=None, **env):
        """mounts: instead of the manifest's; env: beside it."""
        pod = self.pod
        if mounts is None:
            mounts = [(mount["mountPath"], pod.volumes[mount["name"]],
                       "ro" if mount.get("readOnly") else "rw")
                      for mount in self.manifest.get("volumeMounts", [])]
        self.process = Process([
            "nsenter", f"--net=/proc/{pod.pause}/ns/net",
            *([f"--pid=/proc/{pod.pause}/ns/pid", "unshare", "--mount"]
              if pod.shares_processes else
              ["unshare", "--mount", "--pid", "--fork", "--kill-child"]),
            "--", "sh", "-c", CONTAINER, "sh", self.image.how,
            self.image.directory, self.root,
            *(word for mount in mounts for word in mount), "--",
            *self.user(), *self.environment(env), *self.image.entrypoint,
            *self.manifest.get("command", [])], self.log)
        self.pid = until(self.find_main, 60, f"{self.name} runs")
        return self

    def find_main(self):
        """The pid of what the container runs, below what starts it."""
        pid = self.process.pid
        while pid is not None and self.process.alive():
            with contextlib.suppress(OSError):
                name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
                if os.readlink(f"/proc/{pid}/root") != "/" and \
                        name not in ("chroot", "setpriv", "env"):
                    return pid
            pid = next(iter(children(pid)), None)
        # One that ends at once has been.
        return None if self.process.alive() else self.process.pid

    def text(self):
        return self.log.read_text(errors="replace")

    def inside(self, *command):
        """Run a command as the container's user, where it runs."""
        return subprocess.run(
            ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid",
             "--root", "--wd", "--", *self.user(), *self.environment({}),
             *command], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=60, check=False)

    def processes(self):
        """pids of all of them."""
        found, pids = [], [self.pid]
        while pids:
            pid = pids.pop()
            found.append(pid)
            pids += children(pid)
        return found

    def probe(self, name):
        """Play the kubelet's part in a probe: (passed, what was said)."""
        probe = self.manifest[name]
        seconds = probe["timeoutSeconds"]
        if "exec" in probe:
            done = self.inside("timeout", str(seconds),
                               *probe["exec"]["command"])
            return done.returncode == 0, done.stdout + done.stderr
        get = probe["httpGet"]
        # A name is that of a port of its own.
        port = get["port"] if isinstance(get["port"], int) else {
            port["name"]: port["containerPort"]
            for port in self.manifest["ports"]}[get["port"]]
        status, text = self.pod.ask(
            f"http://{ADDRESS}:{port}{get['path']}", seconds)
        return status in range(200, 400), text

    def stop(self, within=20):
        """SIGTERM to its process 1; the exit status."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, 15)
        return self.process.popen.wait(within)


class Pod:
    """
    objects  of kustomize, with one Deployment
    images   {name in the manifest, without registry and tag: Image}
    """

    def __init__(self, run, objects, images):
        self.run = run
        self.dir = run.subdir("pod")
        self.images = images
        self.spec = next(thing["spec"]["template"]["spec"]
                         for thing in objects if thing["kind"] == "Deployment")
        self.shares_processes = self.spec.get("shareProcessNamespace", False)
        self.mounted = []
        self.volumes = {volume["name"]: self.volume(volume)
                        for volume in self.spec["volumes"]}
        for name in ("initContainers", "containers"):
            equal(len(self.spec[name]), 1, name)
        equal(self.spec["initContainers"][0].get("restartPolicy"), "Always",
              "restartPolicy of a sidecar")
        self.holder = Process(
            ["unshare", "--net", "--pid", "--fork", "--kill-child",
             "--mount-proc", "--", "sh", "-c", "ip link set lo up && "
             f"ip address add {ADDRESS}/32 dev lo && "
             "exec tini -s -- sleep 3600"], self.dir / "pause.log")
        self.pause = until(self.find_pause, 60, "the pod's name spaces")
        self.podprof, self.app = (
            Container(self, self.spec[name][0])
            for name in ("initContainers", "containers"))

    def find_pause(self):
        check(self.holder.alive(), self.holder.text())
        for pid in children(self.holder.pid):
            if children(pid):
                return pid
        return None

    def volume(self, volume):
        """The directory, as the kubelet leaves it."""
        path = self.dir / "volumes" / volume["name"]
        path.mkdir(parents=True)
        if volume.get("emptyDir", {}).get("medium") == "Memory":
            size = volume["emptyDir"]["sizeLimit"]
            subprocess.run(["mount", "-t", "tmpfs", "-o",
                            f"size={size.removesuffix('i')}", "tmpfs", path],
                           check=True)
            self.mounted.append(path)
        os.chown(path, 0, self.spec["securityContext"]["fsGroup"])
        path.chmod(0o2777 if "emptyDir" in volume else 0o2755)
        return path

    def write_secret(self, name, **files):
        """Into its volume, in one step: ..data is exchanged."""
        volume = self.volumes[name]
        manifest = next(volume["secret"] for volume in self.spec["volumes"]
                        if volume["name"] == name)
        made = volume / f"..{len(os.listdir(volume))}"
        made.mkdir()
        for file, text in files.items():
            (made / file).write_text(text)
            os.chown(made / file, 0, self.spec["securityContext"]["fsGroup"])
            (made / file).chmod(manifest["defaultMode"])
            with contextlib.suppress(FileExistsError):
                (volume / file).symlink_to(f"..data/{file}")
        (volume / "..new").symlink_to(made.name)
        (volume / "..new").rename(volume / "..data")

    def curl(self, *args):
        done = subprocess.run(
            ["nsenter", f"--net=/proc/{self.pause}/ns/net", "curl", "-sS",
             *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True,
            timeout=90, check=False)
        return done.returncode, done.stdout, done.stderr.decode()

    def ask(self, url, seconds=60, token=None, method="GET"):
        """(status, text); status is 0 and text curl's if there was none."""
        more = ["-H", f"Authorization: Bearer {token}"] if token else []
        code, out, error = self.curl("-m", seconds, "-X", method, *more, "-w",
                                     "\n%{http_code}", url)
        if code != 0:
            return 0, error
        text, status = out.decode().rsplit("\n", 1)
        return int(status), text

    def close(self):
        for container in (self.podprof, self.app):
            if container.process is not None and container.process.alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(container.pid, 9)
                container.process.kill()
        self.holder.kill()
        for path in self.mounted:
            subprocess.run(["umount", "-l", path], check=False)
