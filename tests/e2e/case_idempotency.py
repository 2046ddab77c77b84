"""Idempotency-Key: an order that is sent twice is one order."""
import json

from harness import api, check, equal, in_parallel, matches, until


def order(site, app, key, body='{"kind":"heap-snapshot"}'):
    return site.papi(app, "jobs", "POST", body=body, headers={
        "Content-Type": "application/json", "Idempotency-Key": key})


@api("the same key and body: the same job, running and finished")
def _(site):
    app = site.fake(hold=True)
    first = order(site, app, "k-1").expect(202)
    job_id = first.json()["id"]
    app.started()
    again = order(site, app, "k-1").expect(202)
    equal((again.json()["id"], again.json()["state"]), (job_id, "running"),
          "id, state")
    for name in ("Location", "X-Job-Id"):
        equal(again[name], first[name], name)
    matches(again["Retry-After"], r"^[1-9][0-9]*$", "Retry-After")
    # Without the key, or with another one, it is another order.
    site.post_job(app, "heap-snapshot").problem(409, "conflict")
    order(site, app, "k-2").problem(409, "conflict")
    app.release()
    site.wait_job(app, job_id)
    again = order(site, app, "k-1").expect(202)
    equal((again.json()["id"], again.json()["state"]), (job_id, "succeeded"),
          "id, state")
    # The key of an order that was refused is free.
    second = order(site, app, "k-2").expect(202).json()
    check(second["id"] != job_id, "another key gives the same job")
    site.wait_job(app, second["id"])
    equal(len(site.jobs(app)), 2, "jobs")
    equal(app.methods().count("HeapProfiler.takeHeapSnapshot"), 2,
          "snapshots taken")


@api("ten requests at once with one key: one job, one capture")
def _(site):
    app = site.fake(hold=True)
    replies = in_parallel([lambda: order(site, app, "at-once")] * 10)
    equal([reply.status for reply in replies], [202] * 10, "statuses")
    ids = {reply.json()["id"] for reply in replies}
    equal(len(ids), 1, "jobs that were answered")
    app.release()
    job = site.wait_job(app, ids.pop())
    equal(job["state"], "succeeded", f"state, {job['error']}")
    equal([j["id"] for j in site.jobs(app)], [job["id"]], "jobs")
    equal(app.methods().count("HeapProfiler.takeHeapSnapshot"), 1,
          "snapshots taken")


@api("the same key with another body: 422, and nothing happens")
def _(site):
    app = site.fake()
    body = '{"kind":"cpu-profile","durationMs":100}'
    job_id = order(site, app, "once", body).expect(202).json()["id"]
    site.wait_job(app, job_id)
    for other in ('{"kind":"cpu-profile","durationMs":101}',
                  '{"kind":"heap-snapshot"}',
                  # The same order in other bytes cannot be told from another.
                  json.dumps(json.loads(body)), body + "\n"):
        document = order(site, app, "once", other).problem(422, "key-reused")
        matches(document["detail"], "Idempotency-Key", "detail")
    # What is no order at all is that first.
    order(site, app, "once", '{"kind":"core-dump"}').problem(400, "invalid")
    equal(order(site, app, "once", body).expect(202).json()["id"], job_id,
          "id, with the first body again")
    equal([job["id"] for job in site.jobs(app)], [job_id], "jobs")


@api("ten getCpuProfile orders at once with keys of their own: ten jobs")
def _(site):
    app = site.fake()
    body = '{"kind":"cpu-profile","durationMs":100}'
    keys = [f"of-its-own-{i}" for i in range(10)]
    made = {key: reply.expect(202).json()["id"] for key, reply in zip(
        keys, in_parallel([lambda k=k: order(site, app, k, body)
                           for k in keys]))}
    equal(len(set(made.values())), 10, "jobs")
    for key, job_id in made.items():
        equal(site.wait_job(app, job_id)["state"], "succeeded", "state")
        equal(order(site, app, key, body).expect(202).json()["id"], job_id,
              f"id, {key}")


@api("the key of a refused order is free again")
def _(site):
    app = site.fake()
    app.inspector.close()
    for _ in range(2):
        site.refusal(app, lambda: order(site, app, "refused"),
                     "target-unreachable").problem(503, "target-unreachable")
    equal(site.jobs(app), [], "jobs")
    app.reopen()
    # Nobody was told of a job, so nobody can mean it.
    job_id = order(site, app, "refused", '{"kind":"cpu-profile",'
                   '"durationMs":100}').expect(202).json()["id"]
    equal(site.wait_job(app, job_id)["state"], "succeeded", "state")


@api("two apps do not share keys, and a removed job gives its key back")
def _(site):
    one, two = site.fake(), site.fake()
    body = '{"kind":"cpu-profile","durationMs":100}'
    first = order(site, one, "shared", body).expect(202).json()["id"]
    second = order(site, two, "shared").expect(202).json()
    check(second["id"] != first, "the job of another app")
    equal((second["app"], second["kind"]), (two.name, "heap-snapshot"),
          "app, kind")
    site.wait_job(two, second["id"])
    site.wait_job(one, first)
    until(lambda: site.papi(one, f"jobs/{first}", "DELETE").status == 204, 10,
          "the job is removed", 0.1)
    new = order(site, one, "shared").expect(202).json()
    check(new["id"] != first, "the job that was removed")
    site.wait_job(one, new["id"])


@api("a key is 1 to 255 visible characters, else 400")
def _(site):
    app = site.fake()
    body = '{"kind":"cpu-profile","durationMs":100}'
    for bad in ("a b", "x" * 256, "x" * 3000, "na\u00efve", "a\tb"):
        order(site, app, bad, body).problem(400, "invalid", "Idempotency-Key")
    equal(site.jobs(app), [], "jobs")
    for good in ("x", '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "!#%&'~" * 42,
                 "y" * 255, "'; DROP TABLE jobs; --".replace(" ", "_")):
        job_id = order(site, app, good, body).expect(202).json()["id"]
        equal(order(site, app, good, body).expect(202).json()["id"], job_id,
              f"id, {good}")
        site.wait_job(app, job_id)
