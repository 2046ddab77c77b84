"""The way through the web server: status queries, requests that wait, the
answer to takeMemorySnapshot, long lists."""
import select
import socket
import statistics
import time

from harness import App, Process, Site, check, until
from measure import cpu_seconds
from soak import ask_pool, insert_jobs, percentile, take_ms

THREADS = 4
CONNECTIONS = 8
WAITING = 200
# The pool's listener has room for more than this at once.
BATCH = 50
LIMITS = {"store_jobs": 1000000, "keep": "3000d"}


class HelloSite(Site):
    """The same nginx with the same configuration; behind it, hello.c."""

    def __init__(self, bench):
        super().__init__(bench.run, "nginx", fakes=0,
                         apps={"sample": "127.0.0.1:9"})
        self.program = bench.hello_program

    def start_pool(self):
        self.pool = Process(
            ["spawn-fcgi", "-n", "-s", self.socket, "-M", "0666", "--",
             self.program, THREADS], self.dir / "pool.log")
        until(self.socket_answers, 20, "hello's socket is there")


def measure_queries(bench, rows):
    """The status of a job through nginx, against hello.c."""
    site = Site(bench.run, "nginx", fakes=1,
                conf={"podprof": {"threads": THREADS}})
    hello = HelloSite(bench)
    try:
        site.start()
        hello.start()
        app = site.fake()
        job = site.take_whole(app)
        path = f"/{app.name}/private/papi/jobs/{job['id']}"
        for number in range(1, bench.plan["query_rounds"] + 1):
            for name, where in (("hello", hello), ("podprof", site)):
                before = cpu_seconds(where.pool.pid)
                found = bench.load(where, path, "viewer", CONNECTIONS,
                                   "seconds", bench.plan["query_s"])
                cpu_s = cpu_seconds(where.pool.pid) - before
                per_s = found["requests"] / found["seconds"]
                rows.append({"round": number, "way": name, "perSecond": per_s,
                             "cpuUs": cpu_s * 1e6 / found["requests"],
                             **found})
                bench.say(f"{name}: {per_s:.0f} per second")
    finally:
        site.close()
        hello.close()


class Waiters:
    """Requests that wait for a job on which nothing changes."""

    def __init__(self, site, app, job_id, wait_s):
        self.sockets = []
        head = (f"GET /{app.name}/private/papi/jobs/{job_id} HTTP/1.0\r\n"
                f"Host: localhost\r\nPrefer: wait={wait_s}\r\n"
                f"Authorization: Bearer {site.tokens['viewer']}\r\n\r\n")
        for number in range(WAITING):
            waiter = socket.create_connection(("127.0.0.1", site.port), 60)
            waiter.sendall(head.encode())
            self.sockets.append(waiter)
            if number % BATCH == BATCH - 1:
                time.sleep(0.05)

    def check_waiting(self):
        ready = select.select(self.sockets, [], [], 0)[0]
        check(not ready, f"{len(ready)} of {len(self.sockets)} requests do "
              "not wait any more")

    def finish(self):
        for waiter in self.sockets:
            answer = b""
            for part in iter(lambda w=waiter: w.recv(65536), b""):
                answer += part
            waiter.close()
            check(answer.startswith(b"HTTP/1.1 200 "),
                  f"a request that waited got {answer[:200]!r}")


def measure_waiting(bench, rows):
    """Status queries, one after the other, beside 200 requests that wait, and
    without."""
    seconds = bench.plan["waiting_s"]
    site = Site(bench.run, "nginx", fakes=1,
                conf={"podprof": {"threads": THREADS}})
    try:
        site.start()
        app = site.fake(hold=True)
        job_id = site.held_job(app)
        path = f"/{app.name}/private/papi/jobs/{job_id}"

        def ask(number, waiting):
            found = bench.load(site, path, "viewer", 1, "seconds", seconds)
            rows.append({"round": number, "waiting": waiting, **found})
            bench.say(f"{waiting} waiting: median {found['medianUs']} us, "
                      f"p99 {found['p99Us']} us")
        for number in range(1, bench.plan["waiting_rounds"] + 1):
            ask(number, 0)
            waiters = Waiters(site, app, job_id, seconds + 3)
            waiters.check_waiting()
            ask(number, WAITING)
            waiters.check_waiting()
            waiters.finish()
        app.release()
        site.wait_job(app, job_id)
    finally:
        site.close()


def fill(site, app, count):
    """So many jobs that are over; an id from their middle."""
    site.papi(app, "jobs").expect(200)
    site.pool.stop()
    middle = insert_jobs(site, app, count)
    site.start_pool()
    return middle


def measure_take(bench, rows):
    """How long takeMemorySnapshot takes to answer, with so many jobs."""
    app = App(bench.run, heap_mb=4)
    sites = {}
    try:
        for count in bench.plan["take_jobs"]:
            site = sites[count] = Site(
                bench.run, "nginx", fakes=0, apps={"sample": app.address},
                exchange=bench.run.exchange_dir(), conf={"limits": LIMITS})
            site.start()
            fill(site, "sample", count)
        for number in range(1, bench.plan["take_rounds"] + 1):
            for count, site in sites.items():
                rows.append({"round": number, "jobs": count,
                             "answerMs": take_ms(site, "sample")})
        for count in sites:
            took = [row["answerMs"] for row in rows if row["jobs"] == count]
            bench.say(f"{count} jobs: median {statistics.median(took):.1f} "
                      f"ms, p99 {percentile(took, 0.99):.1f} ms")
    finally:
        for site in sites.values():
            site.close()
        app.close()


QUERIES = {"list": "?limit=10", "list of a kind": "?limit=10&kind=cpu-profile",
           "list of failures": "?limit=10&state=failed",
           "next page": "?limit=10&after=MIDDLE", "status": "/MIDDLE"}


def measure_rows(bench, rows):
    """Lists and the status with few and with many jobs, straight from the
    pool."""
    places = {}
    try:
        for count in bench.plan["rows_jobs"]:
            site = Site(bench.run, "nginx", fakes=1,
                        conf={"limits": LIMITS})
            site.start()
            app = site.fake()
            places[count] = (site, app, fill(site, app.name, count))
        for number in range(1, bench.plan["rows_rounds"] + 1):
            for what, query in QUERIES.items():
                for count, (site, app, middle) in places.items():
                    path = f"/{app.name}/private/papi/jobs{query}".replace(
                        "MIDDLE", middle)
                    took = [ask_pool(site, path) for _ in range(100)]
                    rows.append({"round": number, "jobs": count,
                                 "query": what,
                                 "medianMs": statistics.median(took)})
        bench.say(f"{len(rows)} medians of 100 queries each")
    finally:
        for site, _, _ in places.values():
            site.close()
