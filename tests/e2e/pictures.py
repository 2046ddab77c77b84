#!/usr/bin/env python3
"""Makes the picture of the page and the transcript of the tool that README.md
shows, from the real things: see tests/pictures.

    pictures.py --builddir DIR --npm DIR --node NAME=FILE… --readme FILE
                --picture FILE

What differs from machine to machine and from day to day, ids, times, addresses
and directories, is written as if it did not.
"""
import argparse
import fcntl
import os
import pathlib
import pty
import re
import struct
import subprocess
import termios

from case_page import HOT, Stage, row, start_profile, take_profile
from harness import Failed, Run, check, until
from png import shrink

COLUMNS, ROWS = 80, 24
WIDTH = 1120
BASE = "http://127.0.0.1:8080"
BEGIN, END = "<!-- tests/pictures: begin -->", "<!-- tests/pictures: end -->"


class Screen:
    """What a terminal shows in the end of what was written to it, for what a
    progress bar needs: a carriage return, "erase to the end of the line", and
    colours, which are left out.

    drawn  lines that were drawn over, in their order
    """

    def __init__(self):
        self.lines, self.drawn = [], []
        self.line, self.column = "", 0

    def put(self, text):
        for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|.", text, re.S):
            self.put_one(part)

    def put_one(self, part):
        if part == "\n":
            self.lines.append(self.line.rstrip())
            self.line = ""
        elif part == "\r":
            if self.line.strip():
                self.drawn.append(self.line.rstrip())
            self.column = 0
        elif part == "\x1b[K":
            self.line = self.line[:self.column]
        elif part.startswith("\x1b"):
            check(part.endswith("m"), f"{part!r} is no colour")
        else:
            self.line = (self.line[:self.column] + part +
                         self.line[self.column + 1:])
            self.column += 1

    def text(self):
        return "\n".join((*self.lines, self.line)).rstrip()


def run_in_terminal(args, env, cwd):
    """What a terminal of 80 columns shows of a command, and its status."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ,
                struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    child = subprocess.Popen(args, stdin=theirs, stdout=theirs, stderr=theirs,
                             env=env, cwd=cwd, start_new_session=True)
    os.close(theirs)
    data = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:     # nobody has the other end any more
            break
        if not piece:
            break
        data += piece
    os.close(ours)
    screen = Screen()
    screen.put(data.decode())
    return screen, child.wait(60)


class Transcript:
    def __init__(self, run, site):
        self.site = site
        self.dir = run.subdir("oncall")
        self.program = run.bin / "podprof"
        self.env = {
            "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TERM": "xterm",
            "HOME": str(self.dir), "PODPROF_TOKEN": site.tokens["oncall"],
            "PODPROF_URL": f"http://127.0.0.1:{site.port}/shop/private/papi"}
        self.said = ["$ export PODPROF_TOKEN=podprof_…",
                     f"$ export PODPROF_URL={self.env['PODPROF_URL']}"]

    def run(self, *args, bar=None, is_shown=True):
        """bar: how a line begins that was drawn over, one of which is shown
        below the first that stayed."""
        screen, status = run_in_terminal([self.program, *args], self.env,
                                         self.dir)
        text = screen.text()
        check(status == 0, f"podprof {' '.join(args)}: {status}: {text}")
        if bar is not None:
            # Once it has an idea of how long it takes.
            drawn = [line for line in screen.drawn if line.startswith(bar) and
                     " left" in line]
            check(drawn, f"no {bar!r} among {screen.drawn}")
            first, _, rest = text.partition("\n")
            text = "\n".join((first, drawn[len(drawn) * 2 // 3], rest))
        if is_shown:
            self.said += [f"$ podprof {' '.join(args)}", text]

    def text(self):
        text = "\n".join(self.said)
        text = text.replace(f"http://127.0.0.1:{self.site.port}", BASE)
        # Ids are shortened to their beginning where there is no room.
        ids = sorted(job["id"] for job in self.site.jobs("shop"))
        for number, old in enumerate(ids):
            new = f"0198c0d{number}-7b1e-7c3a-9f00-5d2e6a1b4c77"
            for length in (len(old), 18, 13):
                text = text.replace(old[:length], new[:length])
        for pattern, name in ((r"\d{8}T\d{6}Z", "20261122T20{}504Z"),
                              (r"\b\d\d:\d\d:\d\d\b", "20:{}5:04")):
            for number, old in enumerate(sorted(set(re.findall(pattern,
                                                               text)))):
                text = text.replace(old, name.format(number))
        return text


def write_transcript(readme, text):
    old = readme.read_text()
    check(old.count(BEGIN) == 1 and old.count(END) == 1,
          f"{readme} has not one {BEGIN} and one {END}")
    head, rest = old.split(BEGIN)
    _, tail = rest.split(END)
    readme.write_text(f"{head}{BEGIN}\n```console\n{text}\n```\n{END}{tail}")


def make_transcript(stage):
    transcript = Transcript(stage.run, stage.site)
    transcript.run("take", "heap-snapshot", is_shown=False)
    stage.leak()
    transcript.run("take", "heap-snapshot", bar="writing")
    transcript.run("jobs")
    newer, older = (job["id"][:13] for job in stage.site.jobs(stage.name))
    transcript.run("diff", newer, older, "--limit", "5")
    return transcript.text()


# Texts of the page that are of this run alone, and what stands there instead.
NORMAL = """(changes) => {
	const walker = document.createTreeWalker(document.body,
		NodeFilter.SHOW_TEXT);
	while (walker.nextNode())
		for (const [old, word] of changes)
			walker.currentNode.data =
				walker.currentNode.data.replaceAll(old, word);
}"""


def make_picture(stage, file):
    browser = stage.browser
    stage.visit(token="oncall", width=WIDTH)
    stage.shows("#target", r"v20\.")
    profile = take_profile(stage, "#take-cpu-profile", 3)
    running = start_profile(stage, "#take-heap-profile", 60)
    browser.click(row(profile, "open"))
    stage.shows("#functions", HOT)
    # Part of the way.
    until(lambda: stage.part(running) > 0.1, 30, "the bar moves")
    browser.click("#message-close")
    browser.call(NORMAL, [[str(stage.run.dir), "/srv/shop"],
                          [stage.app.address, "127.0.0.1:9229"]])
    # Nothing is pointed at; to the first rows of the table.
    browser.evaluate("document.activeElement.blur()")
    height = browser.evaluate(
        "document.querySelector('#functions tbody tr:nth-child(6)')"
        ".getBoundingClientRect().top + scrollY")
    browser.look(WIDTH, round(height), "light")
    browser.evaluate("scrollTo(0, 0)")
    browser.picture(file, False)
    file.write_bytes(shrink(file.read_bytes()))
    stage.site.papi(stage.name, f"jobs/{running}", "DELETE").expect(202)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("--builddir", "--npm", "--readme", "--picture"):
        parser.add_argument(name, required=True)
    parser.add_argument("--node", action="append", required=True,
                        metavar="NAME=FILE")
    options = parser.parse_args()
    run = Run(options.builddir, options.npm,
              dict(node.split("=", 1) for node in options.node))
    try:
        stage = Stage(run, name="shop", heap_mb=60, conf={
            "podprof": {"pod": "shop-6d5f-x2x"}})
        stage.site.tokens["oncall"] = stage.site.new_token("operator", "oncall")
        try:
            stage.start()
            text = make_transcript(stage)
            make_picture(stage, pathlib.Path(options.picture).resolve())
        finally:
            stage.close()
        write_transcript(pathlib.Path(options.readme), text)
    except Failed as error:
        raise SystemExit(f"pictures.py: {error}") from None
    finally:
        run.close(False)


if __name__ == "__main__":
    main()
