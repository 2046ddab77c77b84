/*
 * Numbers of jobs: whatever happens to a job is counted once, and stays counted
 * when its row goes.
 */
#include "store.h"

#include "log.h"
#include "meter.h"

struct page {
	char text[8192];
	size_t len;
};

static int
print_meter(void *ctx, const struct meter *meter, struct err *err)
{
	struct page *page = ctx;
	int n;

	(void)err;
	n = snprintf(page->text + page->len, sizeof(page->text) - page->len,
	    "%s %s %s %s%s%lld\n", meter->app, meter->kind, meter->method,
	    meter->state, meter->state[0] != '\0' ? " " : "",
	    (long long)meter->jobs);
	assert_true(n > 0 && (size_t)n < sizeof(page->text) - page->len);
	page->len += (size_t)n;
	return 0;
}

/* Those that are there, without those of which there are none. */
static const char *
jobs_of(struct fixture *f, const char *pod)
{
	static struct page all, some;
	char *line, *next;
	struct err err;

	all.len = some.len = 0;
	all.text[0] = some.text[0] = '\0';
	assert_ok(meter_read_jobs(f->db, pod, print_meter, &all, &err), err);
	for (line = all.text; *line != '\0'; line = next) {
		next = strchr(line, '\n') + 1;
		if (strncmp(next - 3, " 0\n", 3) != 0) {
			memcpy(some.text + some.len, line,
			    (size_t)(next - line));
			some.len += (size_t)(next - line);
		}
	}
	some.text[some.len] = '\0';
	return some.text;
}

static const char *
ends_of(struct fixture *f, const char *pod)
{
	static struct page page;
	struct err err;

	page.len = 0;
	page.text[0] = '\0';
	assert_ok(meter_read_ends(f->db, pod, print_meter, &page, &err), err);
	return page.text;
}

static void
expect_store(struct fixture *f, int64_t want_jobs, int64_t want_bytes)
{
	int64_t jobs = -1, bytes = -1;
	struct err err;

	assert_ok(meter_read_store(f->db, &jobs, &bytes, &err), err);
	assert_int_equal(jobs, want_jobs);
	assert_int_equal(bytes, want_bytes);
}

static void
test_nothing(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(jobs_of(f, POD), "");
	assert_string_equal(ends_of(f, POD), "");
	expect_store(f, 0, 0);
}

static void
test_life(void **state)
{
	struct fixture *f = *state;
	struct job job;
	struct err err;

	job = create(f, JOB_HEAP_SNAPSHOT);
	assert_string_equal(jobs_of(f, POD),
	    APP " heap-snapshot none queued 1\n");
	assert_ok(job_accept(f->db, job.id, &job, &err), err);
	assert_string_equal(jobs_of(f, POD),
	    APP " heap-snapshot none queued 1\n");
	(void)claim(f, job.id, &f->self);
	assert_string_equal(jobs_of(f, POD),
	    APP " heap-snapshot none running 1\n");
	set_target(f, job.id);
	assert_string_equal(jobs_of(f, POD),
	    APP " heap-snapshot stream running 1\n");
	assert_string_equal(ends_of(f, POD), "");
	expect_store(f, 1, 0);
	succeed_with(f, f->db, job.id, "heapsnapshot", 1000);
	assert_string_equal(jobs_of(f, POD),
	    APP " heap-snapshot stream succeeded 1\n");
	assert_string_equal(ends_of(f, POD),
	    APP " heap-snapshot stream succeeded 1\n");
	expect_store(f, 1, 1000);
	assert_ok(job_deliver(f->db, f->dir, job.id, GRACE_MS, &err), err);
	clock_shift_ms += GRACE_MS + 1;
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_int_equal(get(f, job.id).removed_because, REMOVED_EXPIRED);
	expect_store(f, 1, 0);
	/* The row goes, and what it was does not. */
	assert_ok(job_remove(f->db, f->dir, job.id, &err), err);
	assert_false(has_row(f, job.id));
	assert_string_equal(jobs_of(f, POD), "");
	assert_string_equal(ends_of(f, POD),
	    APP " heap-snapshot stream succeeded 1\n");
	expect_store(f, 0, 0);
}

static void
test_ends(void **state)
{
	const struct err why = { ERR_TARGET_EXITED, "it is gone" };
	struct fixture *f = *state;
	struct job job;
	struct err err;

	/* Refused: no job for anybody, whether its row is there or not. */
	job = create(f, JOB_CPU_PROFILE);
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	assert_string_equal(jobs_of(f, POD), "");
	assert_ok(job_discard(f->db, job.id, &err), err);
	assert_string_equal(jobs_of(f, POD), "");
	assert_string_equal(ends_of(f, POD),
	    APP " cpu-profile none refused 1\n");
	/* Failed after it was accepted. */
	job = create_running(f, JOB_CPU_PROFILE);
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	/* Canceled before it began, and while it runs. */
	job = create_accepted(f, JOB_CPU_PROFILE);
	assert_ok(job_cancel(f->db, f->dir, job.id, &job, &err), err);
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	set_target(f, job.id);
	assert_ok(job_cancel(f->db, f->dir, job.id, &job, &err), err);
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	assert_string_equal(jobs_of(f, POD),
	    APP " cpu-profile none canceled 1\n"
	    APP " cpu-profile none failed 1\n"
	    APP " heap-snapshot stream canceled 1\n");
	/* Nobody worked on it any more. */
	job = create_accepted(f, JOB_CPU_PROFILE);
	clock_shift_ms += JOB_QUEUE_MS + 1;
	assert_ok(job_settle(f->db, f->dir, &err), err);
	assert_int_equal(get(f, job.id).state, JOB_FAILED);
	assert_string_equal(ends_of(f, POD),
	    APP " cpu-profile none canceled 1\n"
	    APP " cpu-profile none failed 2\n"
	    APP " cpu-profile none refused 1\n"
	    APP " heap-snapshot stream canceled 1\n");
}

/* A file that is found missing, and is back. */
static void
test_lost_and_found(void **state)
{
	struct job_reconciler *reconciler = NULL;
	struct fixture *f = *state;
	const struct job job = create_stored(f, JOB_CPU_PROFILE, 500);
	char path[400], aside[450];
	struct err err;
	int i;

	path_of(f, job.id, "cpuprofile", path);
	(void)snprintf(aside, sizeof(aside), "%s/aside", f->dir);
	assert_int_equal(rename(path, aside), 0);
	assert_ok(job_reconciler_new(&reconciler, &err), err);
	for (i = 0; i < 4; i++)
		assert_ok(job_reconcile(reconciler, f->db, f->dir, 10, &err),
		    err);
	expect_store(f, 1, 0);
	assert_int_equal(rename(aside, path), 0);
	for (i = 0; i < 4; i++)
		assert_ok(job_reconcile(reconciler, f->db, f->dir, 10, &err),
		    err);
	expect_store(f, 1, 500);
	job_reconciler_free(&reconciler);
}

/* What is counted is what the rows say, however they came there. */
static void
test_agrees_with_rows(void **state)
{
	static const char DIFFER[] =
	    "SELECT count(*) AS n FROM (SELECT app, pod, kind,"
	    " coalesce(used_method, 'none') AS method, state,"
	    " count(*) AS jobs, sum(iif(removed_at_ms IS NULL,"
	    " coalesce(stored_bytes, 0), 0)) AS bytes FROM jobs"
	    " WHERE accepted_at_ms IS NOT NULL OR finished_at_ms IS NULL"
	    " GROUP BY 1, 2, 3, 4, 5) AS rows FULL JOIN (SELECT * FROM"
	    " meter_jobs WHERE jobs <> 0 OR stored_bytes <> 0) AS meter"
	    " USING (app, pod, kind, method, state)"
	    " WHERE rows.jobs IS NOT meter.jobs"
	    " OR rows.bytes IS NOT meter.stored_bytes";
	const struct job_limits limits = { .store_bytes = 2500,
		.store_jobs = 9, .min_free_bytes = 0 };
	const struct err why = { ERR_TARGET_EXITED, "it is gone" };
	struct fixture *f = *state;
	struct job job;
	struct err err;
	int i;

	for (i = 0; i < 24; i++) {
		job = create_running(f, JOB_CPU_PROFILE);
		if (i % 3 != 0)
			set_target(f, job.id);
		if (i % 4 == 0)
			assert_ok(job_fail(f->db, f->dir, job.id, &why, &err),
			    err);
		else if (i % 4 == 1)
			assert_ok(job_cancel(f->db, f->dir, job.id, &job,
			    &err), err);
		else
			succeed_with(f, f->db, job.id, "cpuprofile",
			    (size_t)(100 * (i + 1)));
		if (i % 4 == 1)
			assert_ok(job_release(f->db, f->dir, job.id, &err),
			    err);
		if (i % 5 == 4)
			assert_ok(job_retain(f->db, f->dir, &limits, &err),
			    err);
		assert_int_equal(number_of(f, DIFFER, NULL), 0);
	}
	assert_string_equal(ends_of(f, POD),
	    APP " cpu-profile none canceled 2\n"
	    APP " cpu-profile none failed 2\n"
	    APP " cpu-profile none succeeded 4\n"
	    APP " cpu-profile stream canceled 4\n"
	    APP " cpu-profile stream failed 4\n"
	    APP " cpu-profile stream succeeded 8\n");
}

/* One histogram, of a single set of labels. */
struct spans {
	int64_t le_ms[32], jobs[32];
	size_t len;
	int64_t sum_ms, all;
	char labels[100];
};

static int
add_span(void *ctx, const struct meter *meter, struct err *err)
{
	struct spans *spans = ctx;

	(void)err;
	assert_true(spans->len < 32);
	(void)snprintf(spans->labels, sizeof(spans->labels), "%s %s %s",
	    meter->app, meter->kind, meter->method);
	if (spans->len > 0)
		assert_true(meter->le_ms > spans->le_ms[spans->len - 1]);
	spans->le_ms[spans->len] = meter->le_ms;
	spans->jobs[spans->len++] = meter->jobs;
	spans->all += meter->jobs;
	spans->sum_ms += meter->sum_ms;
	return 0;
}

static void
read_spans(struct fixture *f, const char *span, struct spans *out)
{
	struct err err;

	memset(out, 0, sizeof(*out));
	assert_ok(meter_read_spans(f->db, POD, span, add_span, out, &err),
	    err);
	if (out->len > 0)
		assert_int_equal(out->le_ms[out->len - 1], METER_NO_BOUND);
}

static int64_t
jobs_at(const struct spans *spans, int64_t le_ms)
{
	size_t i;

	for (i = 0; i < spans->len; i++)
		if (spans->le_ms[i] == le_ms)
			return spans->jobs[i];
	fail_msg("no bound of %lld ms", (long long)le_ms);
	return -1;
}

static void
test_durations(void **state)
{
	static const int64_t took_ms[] = { 0, 250, 251, 64999, 65000, 125001,
		1800000, 1800001, 90000000, -5000 };
	const struct err why = { ERR_TARGET_EXITED, "it is gone" };
	struct fixture *f = *state;
	struct spans spans;
	struct job job;
	struct err err;
	size_t i;

	read_spans(f, "duration", &spans);
	assert_int_equal(spans.len, 0);
	clock_stopped_ms = 1000000000000;
	for (i = 0; i < sizeof(took_ms) / sizeof(took_ms[0]); i++) {
		job = create_running(f, JOB_CPU_PROFILE);
		set_target(f, job.id);
		clock_stopped_ms += took_ms[i];
		succeed_with(f, f->db, job.id, "cpuprofile", 2);
	}
	/* How long a failure took tells nothing. */
	job = create_running(f, JOB_CPU_PROFILE);
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	read_spans(f, "duration", &spans);
	assert_string_equal(spans.labels, APP " cpu-profile stream");
	assert_int_equal(jobs_at(&spans, 250), 3);
	assert_int_equal(jobs_at(&spans, 500), 1);
	assert_int_equal(jobs_at(&spans, 65000), 2);
	assert_int_equal(jobs_at(&spans, 300000), 1);
	assert_int_equal(jobs_at(&spans, 1800000), 1);
	assert_int_equal(jobs_at(&spans, METER_NO_BOUND), 2);
	assert_int_equal(spans.all, 10);
	/* A clock that went back took nothing. */
	assert_int_equal(spans.sum_ms, 250 + 251 + 64999 + 65000 + 125001 +
	    1800000 + 1800001 + 90000000);
	read_spans(f, "freeze", &spans);
	assert_int_equal(spans.len, 0);
}

static void
measure(struct fixture *f, const char *id, int64_t freeze_ms)
{
	const struct job_measure measured = { freeze_ms, JOB_UNKNOWN,
		JOB_UNKNOWN };
	struct err err;

	assert_ok(job_set_measured(f->db, id, &measured, &err), err);
}

/* Once, when all of it is known, and however the job ended. */
static void
test_freezes(void **state)
{
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT);
	struct fixture *f = *state;
	struct spans spans;
	struct job job;
	struct err err;

	job = create_running(f, JOB_HEAP_SNAPSHOT);
	set_target(f, job.id);
	measure(f, job.id, 3);
	measure(f, job.id, 120);
	succeed(f, f->db, job.id);
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	set_target(f, job.id);
	assert_ok(job_cancel(f->db, f->dir, job.id, &job, &err), err);
	measure(f, job.id, 70000);
	read_spans(f, "freeze", &spans);
	assert_int_equal(spans.all, 1);
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	/* It let go before it froze anything. */
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	set_target(f, job.id);
	assert_ok(job_cancel(f->db, f->dir, job.id, &job, &err), err);
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	/* A worker thread stood still, and the app did not. */
	order.worker = "3";
	assert_ok(try_create(f, &order, &job, &err), err);
	(void)claim(f, job.id, &f->self);
	set_target(f, job.id);
	measure(f, job.id, 20000);
	succeed(f, f->db, job.id);
	assert_int_equal(get(f, job.id).freeze_ms, 20000);
	read_spans(f, "freeze", &spans);
	assert_string_equal(spans.labels, APP " heap-snapshot stream");
	assert_int_equal(jobs_at(&spans, 5), 0);
	assert_int_equal(jobs_at(&spans, 250), 1);
	assert_int_equal(jobs_at(&spans, METER_NO_BOUND), 1);
	assert_int_equal(spans.all, 2);
	assert_int_equal(spans.sum_ms, 70120);
}

static void
sweep(struct fixture *f, const char *pod)
{
	struct err err;

	assert_ok(meter_sweep(f->db, pod, &err), err);
}

static struct job
create_of(struct fixture *f, const char *pod)
{
	struct job_order order = order_of(JOB_CPU_PROFILE);
	struct job job;
	struct err err;

	order.pod = pod;
	assert_ok(try_create(f, &order, &job, &err), err);
	return claim(f, job.id, &f->self);
}

static struct job
create_stored_of(struct fixture *f, const char *pod, size_t len)
{
	struct job job = create_of(f, pod);

	set_target(f, job.id);
	succeed_with(f, f->db, job.id, "cpuprofile", len);
	return job;
}

static void
remove_job(struct fixture *f, const struct job *job)
{
	struct err err;

	assert_ok(job_remove(f->db, f->dir, job->id, &err), err);
}

/* All that is counted of the pod "old", of whatever. */
static int64_t
rows_of_old(struct fixture *f)
{
	static const char OLD[] = "SELECT (SELECT count(*) FROM meter_jobs"
	    " WHERE pod = 'old') + (SELECT count(*) FROM meter_ends"
	    " WHERE pod = 'old') + (SELECT count(*) FROM meter_spans"
	    " WHERE pod = 'old') + (SELECT count(*) FROM meter_pods"
	    " WHERE pod = 'old') AS n";

	return number_of(f, OLD, NULL);
}

/* Each pod has its own numbers, and keeps them, whoever shares the store. */
static void
test_pods(void **state)
{
	const struct err why = { ERR_TARGET_UNREACHABLE, "nothing answers" };
	struct fixture *f = *state;
	struct job job, other;
	struct err err;

	job = create_stored_of(f, "old", 2);
	other = create_stored(f, JOB_CPU_PROFILE, 300);
	assert_string_equal(jobs_of(f, "old"),
	    APP " cpu-profile stream succeeded 1\n");
	assert_string_equal(jobs_of(f, POD),
	    APP " cpu-profile stream succeeded 1\n");
	expect_store(f, 2, 302);
	/* The last that is remembered, while the other has one. */
	remove_job(f, &job);
	assert_string_equal(jobs_of(f, "old"), "");
	assert_string_equal(ends_of(f, "old"),
	    APP " cpu-profile stream succeeded 1\n");
	/* Refused, with none that is remembered. */
	job = create_of(f, "old");
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	assert_ok(job_discard(f->db, job.id, &err), err);
	assert_string_equal(ends_of(f, "old"),
	    APP " cpu-profile none refused 1\n"
	    APP " cpu-profile stream succeeded 1\n");
	remove_job(f, &other);
	assert_string_equal(ends_of(f, POD),
	    APP " cpu-profile stream succeeded 1\n");
}

/* Those of one that has gone go, but not those of one that is only idle. */
static void
test_sweep(void **state)
{
	struct fixture *f = *state;
	struct job job, other;
	int i;

	clock_stopped_ms = 1000000000000;
	job = create_stored_of(f, "old", 2);
	other = create_stored(f, JOB_CPU_PROFILE, 300);
	remove_job(f, &other);
	clock_stopped_ms += METER_FORGET_MS + 1;
	/* It has a job still. */
	sweep(f, POD);
	assert_string_equal(jobs_of(f, "old"),
	    APP " cpu-profile stream succeeded 1\n");
	remove_job(f, &job);
	/* It lives, with or without jobs. */
	for (i = 0; i < 4; i++) {
		sweep(f, "old");
		sweep(f, POD);
		clock_stopped_ms += METER_FORGET_MS / 2 + 1;
	}
	assert_string_equal(ends_of(f, "old"),
	    APP " cpu-profile stream succeeded 1\n");
	/* A job begun is a sign of life as well. */
	job = create_stored_of(f, "old", 2);
	remove_job(f, &job);
	clock_stopped_ms += METER_FORGET_MS;
	sweep(f, POD);
	assert_string_equal(ends_of(f, "old"),
	    APP " cpu-profile stream succeeded 2\n");
	clock_stopped_ms += 1;
	sweep(f, POD);
	assert_int_equal(rows_of_old(f), 0);
	assert_string_equal(ends_of(f, POD),
	    APP " cpu-profile stream succeeded 1\n");
	/* Nobody forgets himself, and who comes back begins anew. */
	clock_stopped_ms += 2 * METER_FORGET_MS;
	sweep(f, POD);
	assert_string_equal(ends_of(f, POD),
	    APP " cpu-profile stream succeeded 1\n");
	(void)create_stored_of(f, "old", 2);
	assert_string_equal(ends_of(f, "old"),
	    APP " cpu-profile stream succeeded 1\n");
}

/* What was counted before the clock was set back does not stay for ever. */
static void
test_sweep_of_the_future(void **state)
{
	struct fixture *f = *state;
	struct job job;

	clock_stopped_ms = 2000000000000;
	job = create_stored_of(f, "old", 2);
	remove_job(f, &job);
	clock_stopped_ms = 1000000000000;
	sweep(f, POD);
	assert_int_equal(rows_of_old(f), 0);
}

static void
test_sweep_looks_first(void **state)
{
	struct fixture *f = *state;
	struct db *other = open_other(f);
	int64_t before = -1, after = -1;
	struct job job;
	struct err err;

	clock_stopped_ms = 1000000000000;
	job = create_stored_of(f, "old", 2);
	remove_job(f, &job);
	(void)create_stored(f, JOB_CPU_PROFILE, 2);
	assert_ok(db_data_version(other, &before, &err), err);
	/* While somebody else writes. */
	assert_ok(db_begin(other, &err), err);
	sweep(f, POD);
	sweep(f, "a third");
	db_rollback(other);
	assert_ok(db_data_version(other, &after, &err), err);
	assert_int_equal(before, after);
	db_close(&other);
}

static int
refuse(void *ctx, const struct meter *meter, struct err *err)
{
	(void)ctx;
	(void)meter;
	return err_set(err, ERR_TOO_LARGE, "enough");
}

static void
test_faults(void **state)
{
	struct fixture *f = *state;
	int64_t jobs = -1, bytes = -1;
	struct page page = { .len = 0 };
	struct err err;

	(void)create_stored(f, JOB_CPU_PROFILE, 2);
	assert_err(meter_read_jobs(f->db, POD, refuse, NULL, &err), err,
	    ERR_TOO_LARGE, "enough");
	assert_err(meter_read_ends(f->db, POD, refuse, NULL, &err), err,
	    ERR_TOO_LARGE, "enough");
	assert_err(meter_read_spans(f->db, POD, "duration", refuse, NULL,
	    &err), err, ERR_TOO_LARGE, "enough");
	assert_ok(db_exec(f->db, "DROP TABLE meter_bounds", &err), err);
	assert_err(meter_read_spans(f->db, POD, "duration", refuse, NULL,
	    &err), err, ERR_STORE, "meter_bounds");
	assert_ok(db_exec(f->db, "DROP TABLE meter_ends", &err), err);
	assert_err(meter_read_ends(f->db, POD, print_meter, &page, &err), err,
	    ERR_STORE, "meter_ends");
	assert_ok(db_exec(f->db, "DROP TABLE meter_jobs", &err), err);
	assert_err(meter_read_store(f->db, &jobs, &bytes, &err), err,
	    ERR_STORE, "meter_jobs");
	assert_int_equal(jobs, -1);
	assert_int_equal(bytes, -1);
	assert_err(meter_sweep(f->db, POD, &err), err, ERR_STORE,
	    "meter_jobs");
}

/* All of a pod goes, or nothing. */
static void
test_sweep_that_fails(void **state)
{
	struct fixture *f = *state;
	struct job job;
	struct err err;

	clock_stopped_ms = 1000000000000;
	job = create_stored_of(f, "old", 2);
	remove_job(f, &job);
	assert_ok(db_exec(f->db, "CREATE TRIGGER no BEFORE DELETE ON"
	    " meter_pods BEGIN SELECT raise(ABORT, 'not now'); END", &err),
	    err);
	clock_stopped_ms += METER_FORGET_MS + 1;
	assert_err(meter_sweep(f->db, POD, &err), err, ERR_CONFLICT, "not now");
	assert_string_equal(ends_of(f, "old"),
	    APP " cpu-profile stream succeeded 1\n");
	assert_ok(db_exec(f->db, "DROP TRIGGER no", &err), err);
	sweep(f, POD);
	assert_int_equal(rows_of_old(f), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nothing),
		TEST(test_life),
		TEST(test_ends),
		TEST(test_lost_and_found),
		TEST(test_agrees_with_rows),
		TEST(test_durations),
		TEST(test_freezes),
		TEST(test_pods),
		TEST(test_sweep),
		TEST(test_sweep_of_the_future),
		TEST(test_sweep_looks_first),
		TEST(test_sweep_that_fails),
		TEST(test_faults),
	};

	log_setup(LOG_ERROR, LOG_LOGFMT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
