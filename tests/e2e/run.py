#!/usr/bin/env python3
"""Runs the end-to-end cases and prints TAP.

    run.py --builddir DIR --npm DIR --node NAME=FILE… [--part PART]
           [--only REGEX] [--keep] [--pictures DIR]

PART is a web server (nginx, apache-fcgi, apache-cgid), behind which every
case of the API runs; page, for the web page in a browser, which leaves
pictures of it; or one of OWN for the cases that make all they need.
Without it: all, one after the other.
"""
import argparse
import os
import re
import signal
import sys
import time
import traceback

import case_activate  # noqa: F401
import case_apps  # noqa: F401
import case_artifact  # noqa: F401
import case_asset  # noqa: F401
import case_auth  # noqa: F401
import case_check  # noqa: F401
import case_cli  # noqa: F401
import case_container  # noqa: F401
import case_delete  # noqa: F401
import case_debian  # noqa: F401
import case_deploy  # noqa: F401
import case_failure  # noqa: F401
import case_fork  # noqa: F401
import case_harness  # noqa: F401
import case_heap_profile  # noqa: F401
import case_hostile  # noqa: F401
import case_idempotency  # noqa: F401
import case_jobs  # noqa: F401
import case_links  # noqa: F401
import case_list  # noqa: F401
import case_load  # noqa: F401
import case_methods  # noqa: F401
import case_metrics  # noqa: F401
import case_nodes  # noqa: F401
import case_openapi  # noqa: F401
import case_page
import case_papi  # noqa: F401
import case_recovery  # noqa: F401
import case_retention  # noqa: F401
import case_sendfile  # noqa: F401
import case_server  # noqa: F401
import case_shield  # noqa: F401
import case_state  # noqa: F401
import case_summary  # noqa: F401
import case_systemd  # noqa: F401
import case_worker  # noqa: F401
from harness import CASES, MEETINGS, App, Run, Site, Skipped

FRONTS = ("nginx", "apache-fcgi", "apache-cgid")
OWN = ("once", "real", "deploy", "fork", "busy", "activate")


class Report:
    def __init__(self, count):
        self.number = self.failed = 0
        print(f"1..{count}", flush=True)

    def run(self, title, function, argument):
        """One case, as one TAP line with what it has to say above."""
        self.number += 1
        began = time.monotonic()
        try:
            function(argument)
            word = "ok"
        except Skipped as reason:
            word, title = "ok", f"{title} # SKIP {reason}"
        except Exception:  # whatever it is, it is that case's
            self.failed += 1
            word = "not ok"
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
        print(f"{word} {self.number} - {title}")
        print(f"# {time.monotonic() - began:.1f} s", flush=True)


# A site has no more apps for them to use up.
SITE_CASES = 25


def run_api(report, run, front, cases):
    # Large enough for its snapshot to be compressed as larger ones are.
    app = App(run, heap_mb=12)
    try:
        for i in range(0, len(cases), SITE_CASES):
            run_site(report, run, front, app, cases[i:i + SITE_CASES])
    finally:
        app.close()


def run_site(report, run, front, app, cases):
    gone, mortal = run.port(), run.port()
    site = Site(run, front, exchange=run.exchange_dir(), meetings=MEETINGS,
                apps={"sample": app.address, "gone": f"127.0.0.1:{gone}",
                      "mortal": f"127.0.0.1:{mortal}"})
    try:
        site.start().await_ready()
        for title, function in cases:
            report.run(f"{front}: {title}", function, site)
    finally:
        report.run(f"{front}: nothing is left behind, and every log is clean",
                   lambda _: site.close(), None)


def run_page(report, run, cases, pictures):
    stage = case_page.Stage(run, pictures)
    try:
        stage.start()
        for title, function in cases:
            report.run(f"page: {title}", function, stage)
    finally:
        report.run("page: the browser asked for nothing else, and nothing is "
                   "left behind", lambda _: stage.close(), None)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--builddir", required=True)
    parser.add_argument("--npm", required=True,
                        help="where tests/prepare.sh keeps npm packages")
    parser.add_argument("--node", action="append", required=True,
                        metavar="NAME=FILE")
    parser.add_argument("--part", choices=(*FRONTS, "page", *OWN))
    parser.add_argument("--only", default="", metavar="REGEX")
    parser.add_argument("--keep", action="store_true",
                        help="keep the directories, also on success")
    parser.add_argument("--pictures", metavar="DIR",
                        help="where the pictures of the page go")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("run.py: run it as root: the cases need several users")

    chosen = [case for case in CASES if re.search(options.only, case[1])]
    api = [case[1:] for case in chosen if case[0] == "api"]
    pages = [case[1:] for case in chosen if case[0] == "page" and
             options.part in (None, "page")]
    alone = [case[1:] for case in chosen if case[0] in OWN and
             options.part in (None, case[0])]
    fronts = [front for front in FRONTS if options.part in (None, front)]
    if not api:
        fronts = []
    sites = -(-len(api) // SITE_CASES)
    report = Report(len(fronts) * (len(api) + sites) + len(alone) +
                    len(pages) + bool(pages))
    run = Run(options.builddir, options.npm,
              dict(node.split("=", 1) for node in options.node))
    # Whoever ends it leaves no app or pool behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("run.py: ended"))
    try:
        for front in fronts:
            run_api(report, run, front, api)
        if pages:
            run_page(report, run, pages, options.pictures)
        for title, function in alone:
            report.run(title, function, run)
    finally:
        run.close(options.keep or report.failed > 0)
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
