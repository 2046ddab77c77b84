"""The container image, built and run; started by tests/soak."""
import json
import os
import pathlib
import shutil
import subprocess
import time

from case_container import close, finish_job, pod_of, start, survive, work
from harness import TOP, check, equal
from pod import Image


class Buildah:
    """buildah with a storage of its own and chroot isolation, which needs no
    container runtime."""

    def __init__(self, run):
        self.dir = run.subdir("buildah")
        (self.dir / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{self.dir}/graph"\n'
            f'runroot = "{self.dir}/run"\n')
        (self.dir / "policy.json").write_text(
            '{"default": [{"type": "insecureAcceptAnything"}]}\n')
        self.policy = f"--signature-policy={self.dir}/policy.json"

    def run(self, *args, cwd=TOP):
        done = subprocess.run(
            ["buildah", *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=1800, check=False, cwd=cwd,
            env={**os.environ, "STORAGE_DRIVER": "vfs",
                 "CONTAINERS_STORAGE_CONF": str(self.dir / "storage.conf")})
        check(done.returncode == 0,
              f"buildah {args[0]}: {(done.stdout + done.stderr)[-3000:]}")
        return done.stdout.strip()

    def build(self, name, containerfile, context, *more):
        self.run("bud", "-q", self.policy, "--isolation", "chroot", "-t", name,
                 "-f", containerfile, *more, context)

    def base(self):
        """A Debian out of its packages, as no registry need be reached."""
        where = self.dir / "base"
        where.mkdir()
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=apt", "bookworm",
             where / "root.tar"], stdin=subprocess.DEVNULL, check=True,
            timeout=900)
        (where / "Containerfile").write_text("FROM scratch\nADD root.tar /\n")
        self.build("localhost/base", where / "Containerfile", where)
        (where / "root.tar").unlink()

    def image(self):
        """podprof's, and where its root is."""
        self.build("localhost/podprof", TOP / "conf/container/Containerfile",
                   TOP, "--build-arg", "BASE=localhost/base")
        said = json.loads(self.run("inspect", "--type", "image",
                                   "localhost/podprof"))["OCIv1"]["config"]
        equal(said["User"], "10001:10001", "USER of the image")
        self.name = self.run("from", self.policy, "localhost/podprof")
        root = self.run("mount", self.name)
        return Image("all", root, said["Entrypoint"],
                     dict(pair.split("=", 1) for pair in said["Env"]))


def bits_left(root):
    """Files that would give whoever runs them more rights."""
    return [str(path) for path in pathlib.Path(root).rglob("*")
            if path.is_file() and not path.is_symlink() and
            path.stat().st_mode & 0o6000]


def du(root):
    return int(subprocess.run(
        ["du", "-sxb", root], capture_output=True, text=True,
        check=True).stdout.split()[0])


def container(run):
    """The image: built by buildah, run as the manifests say."""
    buildah = Buildah(run)
    try:
        began = time.monotonic()
        buildah.base()
        print(f"Debian by mmdebstrap: {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        image = buildah.image()
        root = image.directory
        print(f"image: {time.monotonic() - began:.0f} s, "
              f"{du(root) / 1e6:.0f} MB of files")
        equal(bits_left(root), [], "files with set-user-ID")
        # As buildah starts it, with the image's own user and environment; its
        # status tells, as now and then buildah loses what is printed.
        buildah.run("run", "--isolation", "chroot", buildah.name, "--", "sh",
                    "-c", 'test "$(id -u)" = 10001 && podprof config show | '
                    'grep -qx "state_dir = /var/lib/podprof/state"')
        in_pods(run, image)
    finally:
        shutil.rmtree(buildah.dir, ignore_errors=True)


def in_pods(run, image):
    pod = pod_of(run, "base", image)
    try:
        survive(pod, work(run, pod))
        began = time.monotonic()
        equal(pod.podprof.stop(), 0, "exit status")
        print(f"base: ended {time.monotonic() - began:.1f} s after SIGTERM")
    finally:
        close(pod)
    # With another user than the image's own.
    pod = pod_of(run, "overlays/activation", image)
    try:
        job = finish_job(pod, start(pod)["operator"])
        equal(job["state"], "succeeded", f"state, {job['error']}")
        print(f"activation: {job['method']}, as user "
              f"{pod.podprof.manifest['securityContext']['runAsUser']}")
    finally:
        close(pod)
