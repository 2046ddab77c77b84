"""The container image and the Kubernetes manifests: valid, and a pod made by
hand of what they say works."""
import copy
import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import kustomize
import yaml
from harness import (SANITIZER, TOP, Failed, check, check_artifact, equal,
                     matches, deploy, until)
from pod import ADDRESS, Pod, containerfile, image_in_place, image_of_app

MANIFESTS = TOP / "conf/kubernetes"
DIRECTORIES = ("app", "base", "overlays/shield", "overlays/exec-probe",
               "overlays/activation")
API = "http://127.0.0.1:9228"
PROBES = f"http://{ADDRESS}:9227"


def faults_of(run, groups):
    """What the schema has against each group of Kubernetes objects."""
    done = subprocess.run(
        [run.nodes["22"], TOP / "tests/e2e/validate-manifests.mjs",
         run.npm / "kubernetes/node_modules/kubernetes-models"],
        input=json.dumps(groups), capture_output=True, text=True, timeout=60,
        check=False)
    equal((done.returncode, done.stderr), (0, ""), "the validator")
    return json.loads(done.stdout)


def kubectl_build(directory):
    """What a real kustomize makes of it; None if there is none here."""
    if shutil.which("kubectl") is None:
        return None
    done = subprocess.run(
        ["kubectl", "kustomize", directory], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False)
    check(done.returncode == 0, f"kubectl kustomize: {done.stderr}")
    equal(done.stderr, "", "warnings of kubectl kustomize")
    return list(yaml.safe_load_all(done.stdout))


def pod_template(objects):
    return next(thing["spec"]["template"] for thing in objects
                if thing["kind"] == "Deployment")


def check_template(template, known):
    """What the API server refuses, or nobody would notice, and a schema of
    single objects does not know."""
    spec = template["spec"]
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    used = set()
    for container in spec.get("initContainers", []) + spec["containers"]:
        name = container["name"]
        ports = {port["name"] for port in container.get("ports", [])}
        check(all(len(port) <= 15 for port in ports), f"{name}: {ports}")
        variables = [one["name"] for one in container.get("env", [])]
        equal(len(set(variables)), len(variables), f"{name}: variables")
        mounts = container.get("volumeMounts", [])
        used |= {mount["name"] for mount in mounts}
        paths = [mount["mountPath"] for mount in mounts]
        equal(len(set(paths)), len(paths), f"{name}: paths of mounts")
        for probe in ("livenessProbe", "readinessProbe"):
            what = container.get(probe, {})
            equal(len(what.keys() & {"httpGet", "exec", "tcpSocket"}),
                  1 if what else 0, f"{name}: handlers of {probe}")
            port = what.get("httpGet", {}).get("port", 1)
            check(isinstance(port, int) or port in ports,
                  f"{name}: {probe} at {port}")
        check(name not in known or container.keys() >= known[name],
              f"{name} has no {known.get(name)}")
    equal(used, volumes, "volumes, and those that are mounted")


@deploy("Kubernetes manifests: valid, nothing unknown; kubectl makes the same")
def _(run):
    wanted = {"podprof": {"image", "restartPolicy", "resources",
                          "securityContext", "livenessProbe"},
              "shop": {"livenessProbe", "readinessProbe"}}
    built = [kustomize.build(MANIFESTS / name) for name in DIRECTORIES]
    equal(dict(zip(DIRECTORIES, faults_of(run, built))),
          {name: [] for name in DIRECTORIES}, "faults")
    for directory, objects in zip(DIRECTORIES, built):
        check_template(pod_template(objects), wanted)
        real = kubectl_build(MANIFESTS / directory)
        if real is None:
            print("# no kubectl to compare with")
            continue
        by_name = {kustomize.identity(thing): thing for thing in objects}
        equal({kustomize.identity(thing): thing for thing in real}, by_name,
              f"kubectl kustomize {directory}")


@deploy("Kubernetes manifests: what is wrong would be found")
def _(run):
    def spoiled(change):
        objects = copy.deepcopy(good)
        spec = pod_template(objects)["spec"]
        change(spec["initContainers"][0], spec)
        return objects

    def rename(container, _):
        container["livenesProbe"] = container.pop("livenessProbe")
    good = kustomize.build(MANIFESTS / "overlays/shield")
    faults = {
        "/livenesProbe: no such field$": rename,
        "/restartPolicy: .*string": lambda one, _: one.update(restartPolicy=5),
        "required.*name": lambda one, _: one.pop("name"),
        "/limits/memory: .*quantity": lambda one, _:
            one["resources"]["limits"].update(memory="2Gigs"),
        "/fsGroups: no such field$": lambda _, spec:
            spec["securityContext"].update(fsGroups=1),
        "/emptyDir: .*object": lambda _, spec:
            spec["volumes"][0].update(emptyDir=[])}
    for words, found in zip(faults, faults_of(
            run, [spoiled(change) for change in faults.values()])):
        matches("\n".join(found), f"(?m){words}", "faults")


@deploy("Kubernetes manifests: the app's own probes stay, but in the overlays")
def _(run):
    own = pod_template(kustomize.build(MANIFESTS / "app"))["spec"][
        "containers"][0]
    for directory in DIRECTORIES[1:]:
        template = pod_template(kustomize.build(MANIFESTS / directory))
        app = template["spec"]["containers"][0]
        changed = {probe for probe in ("livenessProbe", "readinessProbe")
                   if app[probe] != own[probe]}
        equal(changed, {"overlays/shield": {"livenessProbe", "readinessProbe"},
                        "overlays/exec-probe": {"livenessProbe"}}.get(
                            directory, set()), f"probes of {directory}")
        equal(template["spec"].get("shareProcessNamespace", False),
              directory == "overlays/activation", "shareProcessNamespace")


@deploy("Containerfile: no fault for a reader of such files; user, entry point")
def _(run):
    done = subprocess.run(
        [run.node, "-e", """
        const { validate } = require(process.argv[1]);
        const text = require('fs').readFileSync(process.argv[2], 'utf8');
        console.log(JSON.stringify(validate(text)));
        """, run.npm / "containerfile/node_modules/dockerfile-utils",
         TOP / "conf/container/Containerfile"], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False)
    equal(json.loads(done.stdout or "null"), [], f"faults; {done.stderr}")
    last = dict(containerfile())
    matches(last["USER"], r"^[1-9][0-9]*:[1-9][0-9]*$", "USER")
    equal(json.loads(last["ENTRYPOINT"])[0], "/usr/bin/tini", "ENTRYPOINT")
    # Whatever else is in the clone is not in the image's build.
    copied = [rest.split() for word, rest in whole_containerfile()
              if word == "COPY" and not rest.startswith("--from")]
    for *sources, _ in copied:
        for source in sources:
            check((TOP / source).exists(), f"COPY {source}")


def whole_containerfile():
    text = (TOP / "conf/container/Containerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [tuple(line.split(None, 1))
            for line in "\n".join(lines).replace("\\\n", " ").splitlines()
            if line.strip()]


def states(pids):
    """{pid: its /proc/PID/status as a dictionary} of those that are there."""
    found = {}
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        found[pid] = dict(line.split(":\t", 1) for line in text.splitlines())
    return found


def zombies(container):
    return [f"{status['Name']} {pid}, child of {status['PPid']}"
            for pid, status in states(container.processes()).items()
            if status["State"][0] == "Z"]


def await_reaped(container):
    """Who has just ended may not have been waited for yet."""
    try:
        until(lambda: not zombies(container), 20, "nobody is left unreaped")
    except Failed as failed:
        raise Failed(f"{failed}: {zombies(container)}") from failed


def check_rights(container):
    """No process of it has a right that it does not need."""
    uid = str(container.manifest["securityContext"]["runAsUser"])
    await_reaped(container)
    seen = states(container.processes())
    for status in seen.values():
        equal(set(status["Uid"].split()), {uid}, f"user of {status['Name']}")
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            equal(int(status[name], 16), 0, f"{name} of {status['Name']}")
        equal(status["NoNewPrivs"].strip(), "1", "NoNewPrivs")
    return {status["Name"] for status in seen.values()}


def check_read_only(container):
    """Its emptyDirs are all that can be written."""
    volumes = {mount["mountPath"]
               for mount in container.manifest["volumeMounts"]
               if not mount.get("readOnly")}
    writable = set()
    for line in pathlib.Path(
            f"/proc/{container.pid}/mountinfo").read_text().splitlines():
        words = line.split()
        if "rw" in words[5].split(","):
            writable.add(words[4])
    devices = {f"/dev/{name}" for name in
               ("null", "zero", "full", "random", "urandom")}
    equal(writable - devices - {"/proc"}, volumes, "what can be written")
    for place in ("/", "/tmp", "/etc", "/var/lib", "/usr", "/dev", "/run"):
        done = container.inside("sh", "-c", f": >{place}/podprof-probe")
        check(done.returncode != 0, f"{place} can be written")
    for place in volumes:
        done = container.inside("sh", "-c", f": >{place}/podprof-probe && "
                                f"rm {place}/podprof-probe")
        equal((done.returncode, done.stderr), (0, ""), place)


def pod_of(run, directory, podprof=None, heap_mb=4):
    return Pod(run, kustomize.build(MANIFESTS / directory),
               {"podprof": podprof or image_in_place(run),
                "shop": image_of_app(run, heap_mb)})


def start(pod, **env):
    """Both containers, and a token for each role."""
    pod.podprof.start(**env)
    pod.app.start()
    until(lambda: serves(pod.app), 60, "the app serves")
    until(lambda: up(pod), 30, "podprof answers its liveness probe")
    tokens, lines = {}, []
    for role in ("viewer", "operator"):
        done = pod.podprof.inside("podprof", "token", "new", role, "--role",
                                  role, "--print")
        equal(done.returncode, 0, f"podprof token new: {done.stderr}")
        tokens[role] = done.stdout.strip()
        lines.append(next(line for line in done.stderr.splitlines()
                          if line.startswith(f"{role}:{role}:")))
    pod.write_secret("podprof-tokens", tokens="\n".join(lines) + "\n")
    until(lambda: pod.ask(f"{PROBES}/readyz")[0] == 200, 60,
          "ready, now that there are tokens")
    return tokens


def serves(app):
    check(app.process.alive(), app.text()[-3000:])
    return "listening on" in app.text()


def up(pod):
    check(pod.podprof.process.alive(), pod.podprof.text()[-3000:])
    return pod.podprof.probe("livenessProbe")[0]


def begin_job(pod, token, tail="takeMemorySnapshot"):
    """Start something; the job's address."""
    base = f"{API}/shop/private/papi"
    code, out, error = pod.curl(
        "-D", "-", "-o", pod.dir / "body", "-H", "Prefer: respond-async",
        "-H", f"Authorization: Bearer {token}", f"{base}/{tail}")
    equal(code, 0, f"curl: {error}")
    head = out.decode().lower()
    check("x-job-id:" in head, f"{head}{(pod.dir / 'body').read_text()}")
    return f"{base}/jobs/{head.split('x-job-id:')[1].split()[0]}"


def finish_job(pod, token, tail="takeMemorySnapshot"):
    url = begin_job(pod, token, tail)
    return until(lambda: over(pod, token, url), 60, "the job is over")


def over(pod, token, url):
    status, text = pod.ask(url, token=token)
    if status != 200:
        return None
    job = json.loads(text)
    return job if job["state"] not in ("queued", "running") else None


def close(pod):
    try:
        for container in (pod.podprof, pod.app):
            found = SANITIZER.search(container.text()) \
                if container.log.exists() else None
            check(not found, found and container.text()[found.start():][:4000])
    finally:
        pod.close()


def work(run, pod):
    """The main job in a pod of the base manifests, and who can reach what."""
    tokens = start(pod)
    token = tokens["operator"]
    equal(check_rights(pod.podprof) >= {"tini", "serve", "nginx",
                                        "podprof.fcgi"}, True, "processes")
    check_rights(pod.app)
    check_read_only(pod.podprof)
    check_read_only(pod.app)
    # From outside of the pod: probes, and nothing else.
    equal(pod.ask(f"{PROBES}/livez")[0], 200, "livez")
    for path in ("/", "/shop/private/papi/jobs", "/openapi.json",
                 "/shop/private/papi/takeMemorySnapshot"):
        equal(pod.ask(PROBES + path, token=token)[0], 404, path)
    equal(pod.ask(f"{PROBES}/metrics")[0], 401, "metrics without a token")
    status, text = pod.ask(f"{PROBES}/metrics", token=tokens["viewer"])
    equal((status, "podprof_build_info" in text), (200, True), "metrics")
    equal(pod.ask(f"{API}/openapi.json", token=token)[0], 200, "openapi.json")
    for port in (9228, 9229, 3000):
        equal(pod.ask(f"http://{ADDRESS}:{port}/")[0], 0, f"port {port}")
    equal(pod.ask(f"{API}/shop/private/papi/jobs")[0], 401, "no token")
    job = finish_job(pod, token)
    equal((job["state"], job["method"], job["pod"]),
          ("succeeded", "fork", "shop-6d5f-x2x"), f"{job['error']}")
    code, data, error = pod.curl(
        "-f", "-H", f"Authorization: Bearer {token}",
        f"{API}/shop/private/papi/getMemorySnapshot")
    equal(code, 0, f"getMemorySnapshot: {error}")
    good, line = check_artifact(run, data, "heapsnapshot")
    check(good, line)
    print(f"# {line}")
    return token


def pids_of(container, name):
    return [pid for pid, status in states(container.processes()).items()
            if status["Name"] == name[:15]]


def survive(pod, token):
    """The pool is killed beside a capture that runs: a new one serves it."""
    until(lambda: lived(pids_of(pod.podprof, "podprof.fcgi")[0]) > 6, 20,
          "the pool is no new one")
    url = begin_job(pod, token, "getCpuProfile?duration=4000")
    until(lambda: pids_of(pod.podprof, "podprof-capture"), 60, "it runs")
    old = pids_of(pod.podprof, "podprof.fcgi")
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    until(lambda: pod.ask(f"{PROBES}/readyz")[0] == 200 and
          pids_of(pod.podprof, "podprof.fcgi") != old, 60, "a new pool")
    matches(pod.podprof.text(), "pool was ended by signal 9 and is started "
            "again", "log")
    job = until(lambda: over(pod, token, url), 30, "the job is over")
    equal(job["state"], "succeeded", f"state, {job['error']}")
    await_reaped(pod.podprof)


def lived(pid):
    ticks = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(
        ")", 1)[1].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf(
        "SC_CLK_TCK")


@deploy("a pod as conf/kubernetes/base has it: non-root, read-only, in a network "
      "of its own; the pool dies and a capture goes on; SIGTERM")
def _(run):
    pod = pod_of(run, "base")
    try:
        token = work(run, pod)
        survive(pod, token)
        began = time.monotonic()
        equal(pod.podprof.stop(), 0, "exit status")
        print(f"# ended {time.monotonic() - began:.1f} s after SIGTERM")
    finally:
        close(pod)


@deploy("a container of podprof says what it lacks, and ends with that status")
def _(run):
    pod = pod_of(run, "base")
    try:
        for mounts, env, words in (
                ([], {}, r"/var/lib/podprof/state cannot be made by user 10001"
                 ".*mount a volume"),
                ([("/var/lib/podprof", pod.volumes["podprof-state"], "rw")],
                 {}, "/run/podprof cannot be written by user 10001: mount"),
                (None, {"PROBE_PORT": "80;"}, "PROBE_PORT=80;: a number"),
                (None, {"API_LISTEN": "x"}, 'emerg.*"x"'),
                (None, {"API_LISTEN": "1:2;"}, "API_LISTEN=1:2;: ADDRESS"),
                (None, {"PODPROF_THREADS": "0"},
                 r"PODPROF_THREADS: .*1\.\.256")):
            pod.podprof.log.unlink(missing_ok=True)
            pod.podprof.start(mounts, **env)
            status = pod.podprof.process.popen.wait(20)
            check(status in (1, 2), f"{env}: exit status {status}")
            matches(pod.podprof.text(), f"(?s){words}", f"message of {env}")
    finally:
        close(pod)


@deploy("a pod as overlays/shield has it: not ready while a capture drains, "
      "alive until it is over, dead with the app")
def _(run):
    pod = pod_of(run, "overlays/shield", heap_mb=8)
    try:
        token = start(pod, PODPROF_APP_SHOP_METHOD="stream",
                      PODPROF_APP_SHOP_DRAIN="3s")["operator"]
        for name in ("livenessProbe", "readinessProbe"):
            until(lambda: pod.app.probe(name)[0], 60, f"{name} passes")
        url = begin_job(pod, token)
        until(lambda: not pod.app.probe("readinessProbe")[0], 20, "not ready")
        probes = []
        job = until(lambda: watched(pod, token, url, probes), 60, "it is over")
        equal(job["state"], "succeeded", f"state, {job['error']}")
        equal([text for good, text in probes if not good], [],
              "liveness probes that failed")
        check(any("snapshot" in text for _, text in probes),
              f"nothing was shielded: {probes}")
        print(f"# frozen for {job['freezeMs']} ms, {len(probes)} probes")
        until(lambda: pod.app.probe("readinessProbe")[0], 30, "ready again")
        os.kill(pod.app.pid, signal.SIGKILL)
        until(lambda: not pod.app.probe("livenessProbe")[0], 20, "dead")
    finally:
        close(pod)


def watched(pod, token, url, probes):
    """over(), and a liveness probe."""
    probes.append(pod.app.probe("livenessProbe"))
    return over(pod, token, url)


@deploy("a pod as overlays/exec-probe has it: the lease file counts for 30 s")
def _(run):
    pod = pod_of(run, "overlays/exec-probe", heap_mb=8)
    lease = pod.volumes["podprof-exchange"] / "podprof-freeze-shop"
    seen = threading.Event()
    try:
        token = start(pod, PODPROF_APP_SHOP_METHOD="stream")["operator"]
        equal(pod.app.probe("livenessProbe"), (True, ""), "an app that serves")
        url = begin_job(pod, token)
        job = until(lambda: leased(pod, token, url, lease, seen), 60, "over")
        equal(job["state"], "succeeded", f"state, {job['error']}")
        check(seen.is_set(), "there was no lease")
        # Nobody is left to touch it, or to remove it.
        equal(pod.podprof.stop(), 0, "exit status")
        os.kill(pod.app.pid, signal.SIGSTOP)
        lease.touch()
        equal(pod.app.probe("livenessProbe"), (True, ""), "a fresh lease")
        when = time.time() - 31
        os.utime(lease, (when, when))
        equal(pod.app.probe("livenessProbe")[0], False, "an old lease")
        lease.unlink()
    finally:
        close(pod)


def leased(pod, token, url, lease, seen):
    """over(), and a look whether there is a lease, with which the probe must
    pass."""
    job = over(pod, token, url)
    # After that: it outlives the job by some seconds, so that none is missed.
    if lease.exists() and not seen.is_set():
        equal(pod.app.probe("livenessProbe"), (True, ""), "a frozen app")
        seen.set()
    return job


@deploy("a pod as overlays/activation has it: no inspector before, nor after")
def _(run):
    pod = pod_of(run, "overlays/activation")
    try:
        token = start(pod)["operator"]
        equal(pod.ask("http://127.0.0.1:9229/json")[0], 0, "inspector before")
        for tail in ("takeMemorySnapshot", "getCpuProfile?duration=500"):
            job = finish_job(pod, token, tail)
            equal(job["state"], "succeeded", f"{tail}: {job['error']}")
            until(lambda: pod.ask("http://127.0.0.1:9229/json")[0] == 0, 60,
                  "the inspector is closed")
        check_rights(pod.podprof)
    finally:
        close(pod)
