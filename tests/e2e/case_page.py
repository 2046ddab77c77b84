"""The web page, in Debian's Chromium: what people do with it, by mouse and by
keyboard alone; what it says when something is wrong; how it looks; and that
nothing of it comes from elsewhere or goes there."""
import contextlib
import datetime
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import types

from harness import (TOP, App, Failed, Process, Site, check, check_artifact,
                     equal, matches, page, until)

CHROMIUM = "/usr/bin/chromium"
WIDE, NARROW = (1280, 900), (320, 700)
HOT = "hotLoopOfSample"
LEAK = 10000
# Seconds in which a snapshot's objects are counted: all else goes before that.
COUNTED = 120
# Seconds of a profile: enough to see what the app does all the time, on a
# machine that has little time for it.
SEEN = 4
# So many stops a page may have for the Tab key.
STOPS = 150
# The browser tells of each refusal: of the questions without a token, of those
# for what is being counted, and of that for what need not be built in.
EXPECTED_FAULT = re.compile(
    r"status of (401 .*/papi/(target|jobs\?limit=\d+)|"
    r"503 .*/papi/jobs/[^/]+/(summary|diff/[^/]+)\?limit=\d+|"
    r"404 .*/papi/speedscope/index\.html)\)$")


class Browser:
    """Chromium, by way of page.mjs; each of its verbs is a method here."""

    def __init__(self, run):
        self.log = run.dir / "browser.log"
        node_modules = run.npm / "{0}/node_modules/{1}"
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(
                [run.nodes["22"], TOP / "tests/e2e/page.mjs",
                 str(node_modules).format("playwright", "playwright-core") +
                 "/index.js", CHROMIUM,
                 str(node_modules).format("axe", "axe-core") +
                 "/axe.min.js"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                text=True, start_new_session=True)
        Process.guard.tell(self.popen.pid)

    def __getattr__(self, verb):
        return lambda *args: self.ask(verb, *args)

    def ask(self, *command):
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.write(json.dumps(command, default=str) + "\n")
            self.popen.stdin.flush()
        line = self.popen.stdout.readline()
        check(line, f"the browser has ended: {self.log.read_text()[-2000:]}")
        answer = json.loads(line)
        check("error" not in answer, answer.get("error"))
        return answer["value"]

    def close(self):
        self.popen.stdin.close()
        equal(self.popen.wait(60), 0, "the browser's exit status")


class Stage:
    """A site with real apps, and a browser: for all cases of the page.

    pictures  the directory for pictures of it; None: one that goes away
    name      what the app is called
    heap_mb   how much it holds
    conf      of the site
    """

    def __init__(self, run, pictures=None, name="sample", heap_mb=4,
                 conf=None):
        self.run = run
        self.name = name
        self.pictures = pathlib.Path(pictures or run.subdir("pictures"))
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.app = App(run, heap_mb=heap_mb, script="leak-app.js")
        self.browser = None
        self.site = Site(run, "nginx", fakes=8, exchange=run.exchange_dir(),
                         apps={name: self.app.address}, conf=conf)

    def start(self):
        self.site.start().await_ready()
        self.browser = Browser(self.run)
        return self

    def close(self):
        try:
            if self.browser is not None:
                try:
                    equal(self.browser.strangers(), [],
                          "what the browser wanted of the world")
                finally:
                    self.browser.close()
        finally:
            self.app.close()
            self.site.close()

    def leak(self):
        """Let the app keep so many objects more."""
        before = self.app.process.text().count("leaked")
        self.app.process.signal(signal.SIGUSR2)
        until(lambda: self.app.process.text().count("leaked") > before, 20,
              "the app leaks")

    def visit(self, app=None, token="operator", site=None, **look):
        """The page of an app in a new session, with the token entered."""
        site = site or self.site
        name = getattr(app, "name", self.name)
        equal(self.browser.open(
            f"http://127.0.0.1:{site.port}/{name}/private/papi/", look), 200,
            "status of the page")
        if token is not None:
            self.enter(site.tokens.get(token, token))

    def enter(self, token):
        self.browser.fill("#token", token)
        self.browser.click("#token-form [type=submit]")

    def jobs(self):
        """Ids of the jobs that the page shows, as they stand there."""
        return self.browser.evaluate(
            "[...document.querySelectorAll('#jobs [data-job]')]"
            ".map((row) => row.dataset.job)")

    def listed(self):
        """As jobs(), once there is a list."""
        until(lambda: "Not asked" not in self.browser.text("#jobs-note"), 20,
              "the list of jobs")
        return self.jobs()

    def state(self, job_id):
        return self.browser.evaluate(
            f"document.querySelector('[data-job=\"{job_id}\"]')"
            "?.dataset.state")

    def part(self, job_id):
        """How far the job's bar is."""
        return self.browser.evaluate(
            f"document.querySelector('[data-job=\"{job_id}\"] progress')"
            ".value")

    def await_new(self, before):
        """The id of the one job that was not there before."""
        new = until(lambda: set(self.jobs()) - set(before), 20, "a new row")
        equal(len(new), 1, f"new rows: {new}")
        return new.pop()

    def await_state(self, job_id, states=("succeeded",), within=60):
        until(lambda: self.state(job_id) in states, within,
              f"row of {job_id} shows {states}, not {self.state(job_id)}")
        return job_id

    def take(self, button):
        before = self.listed()
        self.browser.click(button)
        return self.await_new(before)

    def starts_in_view(self, selector):
        return self.browser.evaluate(
            f"(({{ top }}) => top >= 0 && top < innerHeight / 2)("
            f"document.querySelector('{selector}')"
            ".getBoundingClientRect())")

    def says(self, pattern, within=20):
        """Until the line that tells what happens says so."""
        self.shows("#message", pattern, within)

    def shows(self, selector, pattern, within=20):
        try:
            until(lambda: self.browser.count(selector) and re.search(
                pattern, self.browser.text(selector)), within, "")
        except Failed:
            text = self.browser.text(selector) if self.browser.count(
                selector) else None
            raise Failed(f"{selector}: {text!r} does not match "
                         f"{pattern!r}") from None

    def is_clean(self, expected="(?!)"):
        """No error, no breach of the policy, no request elsewhere; but for
        faults that are expected."""
        faults = [fault for fault in self.browser.faults()
                  if not EXPECTED_FAULT.search(fault) and
                  not re.search(expected, fault)]
        equal(faults, [], "errors and warnings in the console")
        home = f"http://127.0.0.1:{self.site.port}/"
        equal([url for url in self.browser.requests()
               if not url.startswith(home)], [], "requests elsewhere")


def row(job_id, action):
    return f'[data-job="{job_id}"] [data-action="{action}"]'


DURATIONS = {"#take-cpu-profile": "#cpu-duration",
             "#take-heap-profile": "#heap-duration"}


def start_profile(stage, button, seconds):
    stage.browser.fill(DURATIONS[button], str(seconds))
    return stage.take(button)


def take_profile(stage, button, seconds):
    return stage.await_state(start_profile(stage, button, seconds))


def refused(stage, app, pattern):
    """A snapshot is ordered, and refused in such words; no job is left of it.
    A busy machine may not know the reason in time: then it is the job's error,
    and another one is ordered."""
    def is_refused():
        stage.browser.click("#take-snapshot")
        stage.says(pattern)
        left = stage.site.jobs(app)
        for job in left:
            equal(stage.site.wait_job(app, job["id"])["state"], "failed",
                  "state")
            until(lambda i=job["id"]: stage.site.papi(
                app, f"jobs/{i}", "DELETE").status == 204, 20, "it is removed")
            until(lambda i=job["id"]: i not in stage.jobs(), 30, "its row")
            stage.browser.click("#message-close")
        return not left
    until(is_refused, 120, "refused at once")


def agree(stage, words):
    """The page asks first, and says what it is about."""
    stage.shows("#confirm[open]", words)
    stage.browser.click("#confirm-yes")


def check_download(stage, job_id, file, saved, *args):
    """A real download: by a link, with the artifact's name and digest, and
    good for who knows the format."""
    job = stage.site.job("sample", job_id)
    equal(saved["name"], job["artifact"]["name"], "name of the download")
    matches(saved["url"], r"/private/papi/links/[A-Za-z0-9_-]{22,}$", "url")
    data = file.read_bytes()
    equal(hashlib.sha256(data).hexdigest(), job["artifact"]["sha256"],
          "digest of the download")
    good, line = check_artifact(stage.run, data,
                                saved["name"].rsplit(".", 1)[1], *args)
    check(good, line)


def download(stage, job_id, *args):
    file = stage.run.subdir("download") / "file"
    saved = stage.browser.downloadByClick(row(job_id, "download"), file)
    check_download(stage, job_id, file, saved, *args)


def check_progress(stage, job_id, values):
    """It was seen before its end and at it, and its bar moved forward over so
    many values at least."""
    seen = stage.browser.rows(job_id)
    states = [state for state, _ in seen]
    check(states[0] in ("queued", "running") and states[-1] == "succeeded",
          f"states that were shown: {seen}")
    parts = [part for state, part in seen
             if state == "running" and part is not None]
    equal(parts, sorted(parts), "the bar goes forward only")
    check(len(set(parts)) >= values, f"the bar has moved: {seen}")


@page("a snapshot, a CPU profile and a heap profile are taken, watched, "
      "downloaded, looked at and deleted")
def _(stage):
    browser, site = stage.browser, stage.site
    stage.visit()
    stage.shows("#target", r"v20\.")
    snapshot = stage.take("#take-snapshot")
    stage.await_state(snapshot)
    check_progress(stage, snapshot, 0)
    download(stage, snapshot)
    profile = take_profile(stage, "#take-cpu-profile", 8)
    check_progress(stage, profile, 3)
    download(stage, profile, "--function", HOT)
    heap = take_profile(stage, "#take-heap-profile", 8)
    check_progress(stage, heap, 2)
    download(stage, heap)

    for job_id, name in ((profile, HOT), (heap, "allocateRowsOfSample")):
        browser.click(row(job_id, "open"))
        until(lambda n=name: browser.count(
            f'#flame [aria-label^="{n}, "]'), 20, f"{name} in the graph")
        stage.shows("#functions", rf"{name}.*\d")
        until(lambda: stage.starts_in_view("#flame"), 10, "it is in view")
    for job_id in (snapshot, profile, heap):
        browser.click(row(job_id, "delete"))
        agree(stage, "(?i)delete")
        until(lambda i=job_id: i not in stage.jobs(), 20, "its row goes")
        site.papi("sample", f"jobs/{job_id}").expect(404)
    stage.is_clean()


@page("a snapshot's classes, and what grew between two")
def _(stage):
    browser, site = stage.browser, stage.site
    stage.visit()
    before = stage.await_state(stage.take("#take-snapshot"))
    stage.leak()
    after = stage.await_state(stage.take("#take-snapshot"))
    browser.click(row(after, "summary"))
    stage.shows("#classes", "Customer", COUNTED)
    until(lambda: stage.starts_in_view("#classes"), 10, "they are in view")
    summary = site.papi("sample", f"jobs/{after}/summary").expect(200).json()
    counts = {entry["name"]: entry["count"] for entry in summary["classes"]}
    check(counts["LeakedSession"] >= LEAK, f"counts: {counts}")
    first = browser.text("#classes tbody tr")
    check(summary["classes"][0]["name"] in first, f"first row: {first}")
    browser.fill("#class-filter", "<img")
    stage.shows("#classes tbody", '<img src="gone">')
    equal(browser.count("#classes img"), 0, "pictures")
    browser.fill("#class-filter", "")
    browser.choose("#diff-other", before)
    stage.shows("#classes tbody tr", "LeakedSession", COUNTED)
    matches(re.sub(r"[^\w+]", "", browser.text("#classes tbody tr")),
            rf"\+?{LEAK}", "the first row of the difference")
    stage.is_clean()


# The keyboard.

def step(stage, selector, key="Tab"):
    """Go there by the Tab key; the focus is seen at each stop."""
    stops = stage.browser.step(key, selector, STOPS)
    for stop in filter(None, stops):
        check(stop["shown"], f"the focus is not to be seen: {stop}")
        check(stop["onScreen"], f"the focus is off the screen: {stop}")


def press_at(stage, selector, key="Enter"):
    step(stage, selector)
    stage.browser.press(key)


def take_by_key(stage, button):
    before = stage.listed()
    press_at(stage, button)
    return stage.await_state(stage.await_new(before))


def look_into_flame(stage):
    """From the whole to the hot function by arrow keys, into it, and back."""
    browser = stage.browser
    step(stage, "#flame [role=treeitem]")
    for _ in range(20):
        line = browser.text("#flame .flame-line")
        if HOT in line:
            break
        browser.press("ArrowDown")
        # What took longest may be V8 itself, which calls nobody.
        if browser.text("#flame .flame-line") == line:
            browser.press("ArrowRight")
    matches(browser.text("#flame .flame-line"), rf"{HOT}.*self .*total",
            "what is told of the frame")
    count = browser.count("#flame [role=treeitem]")
    browser.press("Enter")
    until(lambda: browser.count("#flame [role=treeitem]") < count, 10,
          "only what is in the frame, and its callers")
    browser.press("Escape")
    until(lambda: browser.count("#flame [role=treeitem]") == count, 10,
          "all again")


@page("the keyboard is enough, the focus always seen and nowhere trapped")
def _(stage):
    browser = stage.browser
    stage.visit(token=None)
    until(lambda: (browser.focus() or {}).get("id") == "token", 20,
          "the focus is where the token goes")
    browser.write(stage.site.tokens["operator"])
    browser.press("Enter")
    stage.shows("#target", r"v20\.")
    snapshot = take_by_key(stage, "#take-snapshot")
    step(stage, "#cpu-duration")
    browser.press("Control+a")
    browser.write(str(SEEN))
    profile = take_by_key(stage, "#take-cpu-profile")
    for job_id, args in ((snapshot, ()), (profile, ("--function", HOT))):
        step(stage, row(job_id, "download"))
        file = stage.run.subdir("download") / "file"
        check_download(stage, job_id, file,
                       browser.downloadByKey("Enter", file), *args)
    press_at(stage, row(profile, "open"))
    stage.shows("#functions", HOT)
    look_into_flame(stage)
    press_at(stage, row(snapshot, "summary"), "Space")
    stage.shows("#classes", "Customer", COUNTED)
    # Round and out, both ways.
    for key in ("Tab", "Shift+Tab"):
        browser.step(key, "body", STOPS)
        stops = browser.step(key, "body", STOPS)
        check({snapshot, profile} < {stop and stop["job"] for stop in stops},
              f"{key} does not lead to the jobs: {stops}")
    # Escape is no, and the focus is where it was.
    press_at(stage, row(snapshot, "delete"))
    stage.shows("#confirm[open]", "(?i)delete")
    browser.press("Escape")
    until(lambda: not browser.visible("#confirm"), 10, "the question goes")
    equal(browser.focus()["job"], snapshot, "the focus")
    browser.press("Enter")
    press_at(stage, "#confirm-yes")
    until(lambda: snapshot not in stage.jobs(), 20, "its row goes")
    # Whoever deletes need not begin at the top again.
    check(browser.focus() is not None, "the focus is lost with the row")
    stage.is_clean()


# What goes wrong.

@page("a wrong token, and one that is taken away in the middle: told in "
      "words, and asked for anew")
def _(stage):
    browser, site = stage.browser, stage.site
    stage.visit(token="podprof_" + "x" * 43)
    stage.says("(?i)token")
    check(browser.visible("#token"), "the token cannot be entered")
    without = site.tokens_file.with_name("tokens.without")
    shutil.copy(site.tokens_file, without)
    os.chown(without, 0, site.user)
    site.tokens["late"] = site.new_token("operator", "late")
    stage.enter(site.tokens["late"])
    stage.shows("#target", r"v20\.")
    # In one step: the service can read the tokens all the time.
    os.replace(without, site.tokens_file)
    # What the page asks by itself may be the first to be refused: then nothing
    # but the token can be clicked at.
    if not browser.visible("#token"):
        with contextlib.suppress(Failed):
            browser.click("#take-snapshot", 5000)
    stage.says("(?i)token")
    check(browser.visible("#token"), "the token cannot be entered")
    stage.enter(site.tokens["operator"])
    # What was shown is there still.
    until(lambda: not browser.visible("#token-section"), 20, "it is taken")
    stage.shows("#target", r"v20\.")
    browser.reload()
    stage.shows("#target", r"v20\.")
    # It is in no address, and in nothing that outlives the session.
    for secret in site.tokens.values():
        equal([url for url in browser.requests() if secret in url], [],
              "addresses with a token")
        equal(browser.evaluate(
            f"[JSON.stringify(localStorage), document.cookie].some("
            f"(text) => text.includes('{secret}'))"), False, "kept")
    equal(browser.evaluate("document.cookie"), "", "cookies")
    browser.click("#forget")
    until(lambda: browser.visible("#token"), 20, "the token is forgotten")
    equal(browser.evaluate("sessionStorage.length"), 0, "kept")
    stage.shows("#target", "Not asked yet")


@page("a viewer sees, and is told what the role does not allow")
def _(stage):
    browser, site = stage.browser, stage.site
    job = site.take_whole("sample")
    stage.visit(token="viewer")
    stage.await_state(job["id"])
    stage.shows("#target", r"v20\.")
    until(lambda: browser.visible("#role-note"), 20, "it is told")
    stage.shows("#role-note", "summary.* operator")
    for button in ("#take-snapshot", row(job["id"], "summary")):
        check(browser.evaluate(f"document.querySelector('{button}').disabled"),
              f"{button} can be pressed")


@page("an address of no app: told so, and nothing else shown or asked")
def _(stage):
    browser = stage.browser
    stage.visit(types.SimpleNamespace(name="stranger"))
    until(lambda: browser.visible("#nobody"), 20, "it is told")
    stage.shows("#nobody", r"(?s)address right.*\[app stranger\]")
    for selector in ("#content", "#token", "#connection"):
        check(not browser.visible(selector) or
              browser.text(selector) == "", f"{selector} is shown")
    asked = [url for url in browser.requests() if "/papi/jobs" in url]
    equal(len(asked), 2, "questions, with and without the token")


@page("a snapshot goes on step by step; a second one at once, and a service "
      "that is gone for a while: told in words, and the first found again")
def _(stage):
    browser, site = stage.browser, stage.site
    app = site.fake("Stepwise")
    stage.visit(app)
    job_id = stage.take("#take-snapshot")
    app.started()
    # The first says that nothing is done.
    app.behaviour.steps.release()
    for _ in range(3):
        before = stage.part(job_id)
        app.behaviour.steps.release()
        until(lambda b=before: stage.part(job_id) > b, 20, "the bar moves")
    browser.click("#take-snapshot")
    stage.says("(?i)one .*at a time|already|running")
    equal(stage.jobs(), [job_id], "jobs")
    equal(site.pool.stop(), 0, "the pool's exit status")
    stage.shows("#connection", "podprof behind it does not")
    site.start_pool()
    app.behaviour.steps.release(1000)
    stage.await_state(job_id)
    until(lambda: browser.text("#connection") == "", 20, "connected again")
    # Nobody has touched it.
    equal(browser.evaluate("performance.getEntriesByType('navigation')"
                           "[0].type"), "navigate", "how it was loaded")


@page("the app has ended: told in words, and the page comes back with it")
def _(stage):
    app = stage.site.fake()
    stage.visit(app)
    stage.shows("#target", r"v20\.")
    app.inspector.close()
    refused(stage, app, r"(?i)inspector|reach")
    equal(stage.jobs(), [], "jobs")
    app.reopen()
    stage.await_state(stage.take("#take-snapshot"))


POOR = {"expected": 36 << 20, "more_facts": {
    "groups": [[200 << 20, 170 << 20, 0]], "memAvailable": 4 << 30}}


@page("the memory guard refuses with its numbers, and is overridden only by "
      "who says so")
def _(stage):
    browser, site = stage.browser, stage.site
    app = site.fake(**POOR)
    stage.visit(app)
    refused(stage, app, "30 MB")
    equal(site.jobs(app), [], "jobs")
    agree(stage, "30 MB")
    job_id = stage.await_new([])
    stage.await_state(job_id)
    equal(site.job(app, job_id)["options"], {"force": True}, "options")


@page("a job is canceled; one that failed says why")
def _(stage):
    browser, site = stage.browser, stage.site
    stage.visit()
    job_id = start_profile(stage, "#take-cpu-profile", 60)
    stage.await_state(job_id, ("running",))
    browser.click(row(job_id, "cancel"))
    agree(stage, "(?i)cancel")
    stage.await_state(job_id, ("canceled",))
    app = site.fake("TruncatedSnapshot")
    stage.visit(app)
    failed = stage.take("#take-snapshot")
    stage.await_state(failed, ("failed",))
    detail = site.job(app, failed)["error"]["detail"]
    check(detail in browser.text(f'[data-job="{failed}"]'),
          f"the row does not tell {detail!r}")


# What comes late.

def asked(app):
    """How often the app was asked for what it is."""
    return app.methods().count("Runtime.evaluate")


def is_busy(stage):
    """Whether the page is still finding out about the app."""
    return stage.browser.evaluate(
        "document.querySelector('#target').ariaBusy") == "true"


@page("an app that answers too late for the first look: seen by one of the "
      "next, and nothing else on the page notices")
def _(stage):
    browser, app = stage.browser, stage.site.fake("StallEvaluate")
    stage.visit(app)
    until(lambda: asked(app) > 0, 20, "the app is looked at")
    app.behave()
    browser.fill("#cpu-duration", "7")
    stage.shows("#target-node", r"^v20\.")
    until(lambda: not is_busy(stage), 20, "that was the last look")
    equal(browser.focus()["id"], "cpu-duration", "the focus")
    equal(browser.evaluate("document.querySelector('#cpu-duration').value"),
          "7", "what was entered")
    stage.is_clean()


@page("an app that does not answer: looked at three times more, and no "
      "oftener until somebody wants it; it is said once")
def _(stage):
    browser, app = stage.browser, stage.site.fake("CloseList")
    stage.visit(app)
    # All that is read aloud by itself, and what the looks have to say.
    until(lambda: browser.visible("#jobs-empty"), 20, "the list of jobs")
    browser.evaluate("""window.told = [], new MutationObserver((changes) =>
        window.told.push(...changes.map(({ target }) => target.textContent)))
        .observe(document.body, { subtree: true, childList: true,
            characterData: true })""")

    def asked_for(pattern):
        return sum(re.search(pattern, url) is not None
                   for url in browser.requests())
    until(lambda: asked_for("/papi/target$") > 3 and not is_busy(stage), 60,
          "the looks are over")
    # Between two of the questions for the list there is room for another.
    lists = asked_for("/papi/jobs")
    until(lambda: asked_for("/papi/jobs") > lists + 1, 60, "the list, twice")
    stage.shows("#target-note", "so little is known")
    told = browser.evaluate("window.told")
    check(sum("so little is known" in text for text in told) <= 1,
          f"what the page has told: {told}")
    equal(asked_for("/papi/target$"), 4, "looks")
    app.behave()
    browser.click("#look")
    stage.shows("#target-node", r"^v20\.")
    stage.is_clean()


@page("a profile whose app was long to be found: its bar begins with the "
      "profile; who comes later has only the job's own beginning")
def _(stage):
    browser, site = stage.browser, stage.site
    app = site.fake()
    stage.visit(app)
    stage.shows("#target-node", r"^v20\.")
    app.behave("HoldEvaluate", hold=True)
    job_id = start_profile(stage, "#take-cpu-profile", 60)
    app.started()
    stage.shows(f'[data-job="{job_id}"]', "finding the app")
    begun = datetime.datetime.fromisoformat(
        site.job(app, job_id)["startedAt"]).timestamp()
    until(lambda: time.time() - begun > 8, 30, "an eighth of the profile")
    app.release()

    def first():
        """Where the bar began, once it has."""
        return until(lambda: [part for _, part in browser.rows(job_id)
                              if part is not None], 20, "there is a bar")[0]
    check(first() < 0.05, f"where the bar began: {first()}")
    browser.reload()
    check(first() > 0.1, f"where the bar goes on: {first()}")
    site.papi(app, f"jobs/{job_id}", "DELETE").expect(202)
    stage.await_state(job_id, ("canceled",))
    stage.is_clean()


# How it looks.

# Roles that are nothing to a screen reader without a name.
NAMELESS = re.compile(r"(?m)^\s*- (button|link|textbox|combobox|checkbox|"
                      r"radio|spinbutton|progressbar|table|img)(:| \[|$)")


def look_at(stage, name, whole=True):
    """Pictures of what the page shows; what is wrong with it."""
    browser, faults = stage.browser, []
    for width, height in (WIDE, NARROW):
        for scheme in ("light", "dark"):
            browser.look(width, height, scheme)
            what = (f"{name}-{'wide' if width == WIDE[0] else 'narrow'}-"
                    f"{scheme}")
            browser.picture(stage.pictures / f"{what}.png", whole)
            over = browser.evaluate(
                "document.documentElement.scrollWidth - innerWidth")
            faults += [f"{what}: {over} pixels too wide"] if over > 0 else []
            faults += [f"{what}, contrast: {text}" for text in browser.pale()]
    faults += [f"{name}: {fault}" for fault in browser.axe()]
    browser.look(*WIDE, "light")
    return faults + listen(browser.aria(), name)


def listen(tree, name):
    """What is wrong with what a screen reader is told."""
    faults = [f"{name}: there is no {pattern}\n{tree}" for pattern in (
        r"(?m)^\s*- main", r'(?m)heading ".+" \[level=1\]',
        r"(?m)^\s*- status") if not re.search(pattern, tree)]
    return faults + [f"{name}: without a name: {found}" for found in
                     NAMELESS.findall(tree)]


@page("wide and narrow, light and dark: nothing to scroll sideways, enough "
      "contrast; names, labels, landmarks and what is told of by itself")
def _(stage):
    browser, site = stage.browser, stage.site
    stage.visit(token=None)
    until(lambda: browser.visible("#token"), 20, "the token is asked for")
    faults = look_at(stage, "token")
    stage.enter(site.tokens["operator"])
    stage.shows("#target", r"v20\.")
    snapshot = stage.await_state(stage.take("#take-snapshot"))
    profile = take_profile(stage, "#take-cpu-profile", SEEN)
    running = start_profile(stage, "#take-heap-profile", 100)
    stage.shows(f'[data-job="{running}"]', "profiling")
    faults += look_at(stage, "jobs")
    site.papi("sample", f"jobs/{running}", "DELETE").expect(202)
    browser.click(row(profile, "open"))
    stage.shows("#functions", HOT)
    browser.click(row(snapshot, "details"))
    browser.click(row(snapshot, "summary"))
    stage.shows("#classes", "Customer", COUNTED)
    browser.fill("#class-filter", "map")
    faults += look_at(stage, "opened")
    browser.click(row(snapshot, "delete"))
    stage.shows("#confirm[open]", "(?i)delete")
    faults += look_at(stage, "question", False)
    equal(faults, [], "what is wrong with how it looks, and what is heard")


# A hundred samples: from such that have no room for a letter to such that have
# room for nearly all of their name.
NARROW_FRAMES = (("handleCheckoutRequest", 51), ("(garbage collector)", 12),
                 ("renderListOfCustomers", 10), ("(program)", 6),
                 ("parseBody", 5), ("get (native)", 5), ("(program) too", 4),
                 ("ab", 3), ("writeHead", 2), ("flush", 1), ("end", 2))


@page("a flame graph whose names have no room: heard as they are")
def _(stage):
    app = stage.site.fake(functions=NARROW_FRAMES)
    browser = stage.browser
    stage.visit(app)
    browser.click(row(take_profile(stage, "#take-cpu-profile", 1), "open"))
    stage.shows("#functions", "handleCheckoutRequest")
    names = browser.evaluate("[...document.querySelectorAll('.flame-frame')]"
                             ".map((one) => one.getAttribute('aria-label'))")
    for name, _ in NARROW_FRAMES:
        check(any(label.startswith(f"{name}, ") for label in names),
              f"no frame is called {name}: {names}")
    equal(look_at(stage, "narrow-frames"), [], "what is wrong with it")
    equal(browser.axe(), [], "what is wrong with it where there is room")
    stage.is_clean()


# Elsewhere.

@page("speedscope opens a profile, where the build has it; where not, there "
      "is no button and no address")
def _(stage):
    browser, site = stage.browser, stage.site
    reply = site.request("GET", "/sample/private/papi/speedscope/index.html")
    stage.visit()
    profile = take_profile(stage, "#take-cpu-profile", SEEN)
    browser.click(row(profile, "open"))
    stage.shows("#functions", HOT)
    # The page asks for its own head: that is a resource, the page is none.
    until(lambda: browser.evaluate(
        "performance.getEntriesByType('resource').some(({ name }) => "
        "name === new URL('.', location.href).href)"), 20, "the page's head")
    if reply.status != 200:
        equal(browser.visible("#speedscope"), False, "the button")
        reply.problem(404, "not-found")
        return
    until(lambda: browser.visible("#speedscope"), 20, "the button")
    browser.popup("#speedscope")
    name = site.job("sample", profile)["artifact"]["name"]
    stage.shows("body", re.escape(name), 60)
    browser.picture(stage.pictures / "speedscope.png", False)
    # Its table of functions; all else is drawn on a canvas.
    browser.press("3")
    stage.shows("body", HOT, 60)
    # It tries eval(), is refused and goes on; and WebGL is slow without a GPU.
    stage.is_clean(r"^script-src: eval$|GL Driver Message")


@page("under plain CGI it is the same page")
def _(stage):
    site = Site(stage.run, "apache-cgid", fakes=0,
                apps={"sample": stage.app.address})
    try:
        site.start()
        stage.visit(site=site)
        stage.shows("#target", r"v20\.")
        stage.await_state(take_profile(stage, "#take-cpu-profile", 1))
    finally:
        site.close()
