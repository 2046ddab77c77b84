/*
 * Jobs: the life of one from its order to its end, and who is told what.
 */
#include <sqlite3.h>

#include "store.h"

/* How often commits were told to wait for the disk, and whether they do now. */
static int durable_times;
static bool is_durable;

int __wrap_db_set_durable(struct db *db, bool durable, struct err *err);
int __real_db_set_durable(struct db *db, bool durable, struct err *err);

int
__wrap_db_set_durable(struct db *db, bool durable, struct err *err)
{
	durable_times += durable;
	is_durable = durable;
	return __real_db_set_durable(db, durable, err);
}

static void
words_are_those_of_the_contract(void **state)
{
	(void)state;
	assert_string_equal(job_kind_name(JOB_HEAP_SNAPSHOT), "heap-snapshot");
	assert_string_equal(job_kind_name(JOB_CPU_PROFILE), "cpu-profile");
	assert_string_equal(job_extension(JOB_CPU_PROFILE), "cpuprofile");
	assert_int_equal(job_kind_of_name("cpu-profile"), JOB_CPU_PROFILE);
	assert_string_equal(job_kind_name(JOB_HEAP_PROFILE), "heap-profile");
	assert_string_equal(job_extension(JOB_HEAP_PROFILE), "heapprofile");
	assert_int_equal(job_kind_of_name("heap-profile"), JOB_HEAP_PROFILE);
	assert_int_equal(job_kind_of_name("cpu"), -1);
	assert_int_equal(job_kind_of_name(""), -1);
	assert_int_equal(job_kind_of_name(NULL), -1);
	assert_int_equal(job_state_of_name("canceled"), JOB_CANCELED);
	assert_int_equal(job_state_of_name("Running"), -1);
	assert_string_equal(job_state_name(JOB_QUEUED), "queued");
	assert_null(job_phase_name(PHASE_NONE));
	assert_string_equal(job_phase_name(PHASE_WRITING), "writing");
}

static void
life_of_a_snapshot(void **state)
{
	struct fixture *f = *state;
	struct job job = create(f, JOB_HEAP_SNAPSHOT), again;
	int64_t revision = job.revision;
	struct err err;

	assert_true(uuid_is_valid(job.id));
	assert_string_equal(job.app, APP);
	assert_string_equal(job.pod, POD);
	assert_int_equal(job.state, JOB_QUEUED);
	assert_int_equal(job.phase, PHASE_NONE);
	assert_int_equal(job.runner.pid, JOB_UNKNOWN);
	assert_int_equal(job.accepted_at_ms, JOB_UNKNOWN);
	assert_int_equal(job.duration_ms, JOB_UNKNOWN);
	assert_int_equal(job.used_method, JOB_UNKNOWN);
	assert_int_equal(job.sum.size_bytes, JOB_UNKNOWN);
	assert_string_equal(job.requested_by, "ci");
	assert_string_equal(job.request_id, "req-1");
	assert_memory_equal(job.artifact_name, POD "-2", strlen(POD "-2"));
	assert_non_null(strstr(job.artifact_name, "Z.heapsnapshot"));
	assert_false(job_is_final(&job));

	assert_ok(job_accept(f->db, job.id, &again, &err), err);
	assert_true(again.accepted_at_ms >= job.created_at_ms);

	job = claim(f, job.id, &f->self);
	assert_int_equal(job.state, JOB_RUNNING);
	assert_int_equal(job.phase, PHASE_PREFLIGHT);
	assert_int_equal(job.runner.pid, getpid());
	assert_string_equal(job.runner.host, f->self.host);
	assert_true(job.revision > revision);
	assert_true(job.lease_until_ms > clock_utc_ms() + JOB_LEASE_MS / 2);

	revision = job.revision;
	set_target(f, job.id);
	job = get(f, job.id);
	assert_int_equal(job.target_pid, 7);
	assert_string_equal(job.target_node, "v20.20.2");
	assert_int_equal(job.used_method, METHOD_STREAM);
	assert_int_equal(job.memory_before_bytes, 50000000);
	assert_int_equal(job.accepted_at_ms, again.accepted_at_ms);
	assert_true(job.revision > revision);

	assert_int_equal(job.predicted_bytes, 80000000);
	assert_int_equal(job.freeze_ms, JOB_UNKNOWN);

	revision = job.revision;
	set_measured(f, job.id);
	succeed(f, f->db, job.id);
	job = get(f, job.id);
	assert_int_equal(job.state, JOB_SUCCEEDED);
	assert_int_equal(job.phase, PHASE_NONE);
	assert_int_equal(job.sum.size_bytes, 2);
	assert_int_equal(job.progress_bytes, 2);
	assert_int_equal(strlen(job.sum.stored_sha256), 64);
	assert_int_equal(job.freeze_ms, 120);
	assert_int_equal(job.memory_after_bytes, 60000000);
	assert_int_equal(job.expires_at_ms - job.finished_at_ms, KEEP_MS);
	assert_true(job_is_final(&job));
	assert_true(job_has_artifact(&job));
	assert_true(job.revision > revision);
}

/* A file whose row is lost in a power cut would be taken for nobody's; a
 * capture that waits for the disk at every step would be slow. */
static void
only_success_waits_for_the_disk(void **state)
{
	const struct job_progress progress = {PHASE_WRITING, 1, 2, 3, 3};
	struct artifact_sum sum = {.sha256 = "x", .stored_sha256 = "x"};
	const struct job_result result = {.sum = &sum};
	struct fixture *f = *state;
	struct job job = create(f, JOB_HEAP_SNAPSHOT);
	struct err err;

	durable_times = 0;
	(void)claim(f, job.id, &f->self);
	set_target(f, job.id);
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	assert_int_equal(durable_times, 0);
	succeed(f, f->db, job.id);
	assert_int_equal(durable_times, 1);
	assert_false(is_durable);
	/* Also where it did not come to it. */
	assert_err(job_succeed(f->db, f->dir, job.id, &result, &err), err,
	    ERR_CONFLICT, job.id);
	assert_int_equal(durable_times, 2);
	assert_false(is_durable);
}

static void
target_accepts(void **state)
{
	struct fixture *f = *state;
	struct job job = create(f, JOB_HEAP_SNAPSHOT);

	(void)claim(f, job.id, &f->self);
	set_target(f, job.id);
	assert_true(get(f, job.id).accepted_at_ms != JOB_UNKNOWN);
}

static void
progress_counts_what_changes(void **state)
{
	struct job_progress progress = {PHASE_WRITING, 10, 100, 4096, 600};
	struct fixture *f = *state;
	struct job job = create(f, JOB_HEAP_SNAPSHOT), before;
	struct err err;

	(void)claim(f, job.id, &f->self);
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	before = get(f, job.id);
	assert_int_equal(before.phase, PHASE_WRITING);
	assert_int_equal(before.progress_done, 10);
	assert_int_equal(before.progress_total, 100);
	assert_int_equal(before.progress_bytes, 4096);
	/* The same again renews the lease, and nobody need wake up. */
	clock_shift_ms = 20000;
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	job = get(f, job.id);
	assert_int_equal(job.revision, before.revision);
	assert_true(job.lease_until_ms >= before.lease_until_ms + 20000);
	progress.done = JOB_UNKNOWN;
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	job = get(f, job.id);
	assert_int_equal(job.revision, before.revision + 1);
	assert_int_equal(job.progress_done, JOB_UNKNOWN);
	/* What the coding has written is no news to anybody who waits. */
	progress.written_bytes++;
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	assert_int_equal(get(f, job.id).revision, before.revision + 1);
	progress.phase = PHASE_FINISHING;
	progress.total = JOB_UNKNOWN;
	progress.bytes = 0;
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	job = get(f, job.id);
	assert_int_equal(job.revision, before.revision + 2);
	assert_int_equal(job.phase, PHASE_FINISHING);
	assert_int_equal(job.progress_bytes, 0);
}

static void
one_snapshot_excludes_everything(void **state)
{
	struct job_order snapshot = order_of(JOB_HEAP_SNAPSHOT);
	struct job_order profile = order_of(JOB_CPU_PROFILE);
	struct fixture *f = *state;
	struct job job = create(f, JOB_HEAP_SNAPSHOT), other;
	struct err err;

	assert_err(try_create(f, &snapshot, &other, &err), err,
	    ERR_CONFLICT, "Snapshot already generating");
	assert_non_null(strstr(err.msg, job.id));
	assert_string_equal(other.id, job.id);
	assert_int_equal(other.state, JOB_QUEUED);
	(void)claim(f, job.id, &f->self);
	assert_err(try_create(f, &profile, &other, &err), err,
	    ERR_CONFLICT, "is running; order again when it is finished");
	assert_string_equal(other.id, job.id);
	/* Another app, and another pod, have nothing to do with it. */
	snapshot.app = "other";
	assert_ok(try_create(f, &snapshot, &other, &err), err);
	snapshot.app = APP;
	snapshot.pod = "other-pod";
	assert_ok(try_create(f, &snapshot, &other, &err), err);
	snapshot.pod = POD;
	succeed(f, f->db, job.id);
	assert_ok(try_create(f, &snapshot, &other, &err), err);
}

static void
forked_snapshot_lets_profiles_be(void **state)
{
	static const struct job_attempt attempts[] = {
		{ .method = METHOD_FORK, .outcome = OUTCOME_FAILED },
		{ .method = METHOD_DIRECT, .outcome = OUTCOME_RUNNING },
	};
	static const struct job_attempt forked[] = {
		{ .method = METHOD_FORK, .outcome = OUTCOME_RUNNING },
	};
	const struct job_target target = { .pid = 7, .node = "v20.20.2" };
	struct job_plan plan = { .used_method = METHOD_FORK,
		.attempts = forked, .attempts_len = 1 };
	struct job_order profile = order_of(JOB_CPU_PROFILE);
	struct job_order snapshot = order_of(JOB_HEAP_SNAPSHOT);
	struct fixture *f = *state;
	struct job job = create(f, JOB_HEAP_SNAPSHOT), other;
	struct err err;

	/* Nobody knows yet by which method. */
	(void)claim(f, job.id, &f->self);
	assert_err(try_create(f, &profile, &other, &err), err, ERR_CONFLICT,
	    job.id);
	assert_ok(job_set_target(f->db, job.id, &target, &plan, &err), err);
	assert_ok(try_create(f, &profile, &other, &err), err);
	assert_err(try_create(f, &snapshot, &other, &err), err, ERR_CONFLICT,
	    job.id);
	/* The copies have failed. */
	plan = (struct job_plan){ .used_method = METHOD_DIRECT,
		.attempts = attempts, .attempts_len = 2 };
	assert_ok(job_set_plan(f->db, job.id, &plan, &err), err);
	assert_err(try_create(f, &profile, &other, &err), err, ERR_CONFLICT,
	    job.id);
}

static void
profiles_are_limited(void **state)
{
	struct job_order profile = order_of(JOB_CPU_PROFILE);
	struct fixture *f = *state;
	struct job job, first;
	struct err err;

	profile.profiles_max = 2;
	profile.interval_us = 100;
	profile.force = true;
	profile.method = METHOD_STREAM;
	assert_ok(try_create(f, &profile, &first, &err), err);
	assert_int_equal(first.duration_ms, 2000);
	assert_int_equal(first.interval_us, 100);
	assert_true(first.force);
	assert_int_equal(first.method, METHOD_STREAM);
	assert_ok(try_create(f, &profile, &job, &err), err);
	memset(&job, 'x', sizeof(job));
	assert_err(try_create(f, &profile, &job, &err), err,
	    ERR_LIMIT, "2 profiles of app " APP);
	assert_int_equal(job.id[0], 'x');
	/* A heap snapshot may be ordered beside them. */
	job = create(f, JOB_HEAP_SNAPSHOT);
	assert_ok(job_settle_child(f->db, f->dir, job.id, 0, &err), err);
	assert_ok(job_settle_child(f->db, f->dir, first.id, 0, &err), err);
	assert_ok(try_create(f, &profile, &job, &err), err);
}

static void
one_heap_profile_of_a_thread(void **state)
{
	struct job_order order = order_of(JOB_HEAP_PROFILE);
	struct fixture *f = *state;
	struct job first, job;
	struct err err;

	order.sampling_bytes = 65536;
	order.live = true;
	assert_ok(try_create(f, &order, &first, &err), err);
	assert_int_equal(first.sampling_bytes, 65536);
	assert_true(first.live);
	assert_non_null(strstr(first.artifact_name, "Z.heapprofile"));
	assert_err(try_create(f, &order, &job, &err), err, ERR_CONFLICT,
	    "one heap profile of a thread at a time, and job");
	assert_string_equal(job.id, first.id);
	/* Beside what is of another kind, thread, app or pod. */
	(void)create(f, JOB_CPU_PROFILE);
	order.worker = "3";
	assert_ok(try_create(f, &order, &job, &err), err);
	assert_err(try_create(f, &order, &job, &err), err, ERR_CONFLICT,
	    "is queued; order again when it is finished");
	order.worker = NULL;
	order.app = "other";
	assert_ok(try_create(f, &order, &job, &err), err);
	order.app = APP;
	order.pod = "other-pod";
	assert_ok(try_create(f, &order, &job, &err), err);
	order.pod = POD;
	(void)claim(f, first.id, &f->self);
	assert_ok(job_cancel(f->db, f->dir, first.id, &job, &err), err);
	assert_err(try_create(f, &order, &job, &err), err, ERR_CONFLICT,
	    "is canceled, but has not left the app yet; order again");
	assert_ok(job_release(f->db, f->dir, first.id, &err), err);
	order.sampling_bytes = JOB_UNKNOWN;
	order.live = false;
	assert_ok(try_create(f, &order, &job, &err), err);
	assert_int_equal(job.sampling_bytes, JOB_UNKNOWN);
	assert_false(job.live);
	/* They count as profiles: three of the app are there. */
	order = order_of(JOB_CPU_PROFILE);
	order.profiles_max = 3;
	assert_err(try_create(f, &order, &job, &err), err, ERR_LIMIT,
	    "3 profiles");
	/* And none is begun while a snapshot freezes the app. */
	first = create(f, JOB_HEAP_SNAPSHOT);
	order = order_of(JOB_HEAP_PROFILE);
	order.worker = "4";
	assert_err(try_create(f, &order, &job, &err), err, ERR_CONFLICT,
	    first.id);
}

/* A worker's snapshot has its name, keeps others away like any other, and is
 * one that the drop-in addresses speak of. */
static void
worker_has_its_own(void **state)
{
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT);
	struct fixture *f = *state;
	struct job job, other;
	struct err err;

	order.worker = "12";
	assert_ok(try_create(f, &order, &job, &err), err);
	assert_string_equal(job.worker, "12");
	assert_non_null(strstr(job.artifact_name, "Z-worker12.heapsnapshot"));
	assert_string_equal(get(f, job.id).worker, "12");
	assert_ok(job_newest_snapshot(f->db, f->dir, APP, POD, &other, &err),
	    err);
	assert_string_equal(other.id, job.id);
	order.worker = NULL;
	assert_err(try_create(f, &order, &other, &err), err, ERR_CONFLICT,
	    job.id);
}

static void
unaccepted_failure_leaves_no_trace(void **state)
{
	const struct err why = {ERR_TARGET_UNREACHABLE, "nothing answers"};
	struct fixture *f = *state;
	struct job job = create(f, JOB_HEAP_SNAPSHOT), other;
	struct err err;

	assert_int_equal(listed(f), 1);
	assert_ok(job_newest_snapshot(f->db, f->dir, APP, POD, &other, &err),
	    err);
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	assert_int_equal(listed(f), 0);
	assert_err(job_newest_snapshot(f->db, f->dir, APP, POD, &other, &err),
	    err, ERR_NOT_FOUND, APP);
	/* Its requester still reads why, and accepts it no more. */
	job = get(f, job.id);
	assert_int_equal(job.error.code, ERR_TARGET_UNREACHABLE);
	assert_string_equal(job.error.msg, "nothing answers");
	assert_ok(job_accept(f->db, job.id, &job, &err), err);
	assert_int_equal(job.accepted_at_ms, JOB_UNKNOWN);
	assert_int_equal(job.state, JOB_FAILED);
	assert_ok(job_discard(f->db, job.id, &err), err);
	assert_err(job_get(f->db, f->dir, APP, POD, job.id, &job, &err), err,
	    ERR_NOT_FOUND, job.id);
	assert_ok(job_discard(f->db, job.id, &err), err);
}

static void
discard_takes_nothing_else(void **state)
{
	const struct err why = {ERR_TARGET_EXITED, "the app ended"};
	struct fixture *f = *state;
	struct job job = create(f, JOB_HEAP_SNAPSHOT);
	struct err err;

	assert_ok(job_discard(f->db, job.id, &err), err);
	assert_int_equal(get(f, job.id).state, JOB_QUEUED);
	assert_ok(job_accept(f->db, job.id, &job, &err), err);
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	assert_ok(job_discard(f->db, job.id, &err), err);
	assert_int_equal(get(f, job.id).state, JOB_FAILED);
	assert_int_equal(listed(f), 1);
	job = create_succeeded(f);
	assert_ok(job_discard(f->db, job.id, &err), err);
	assert_int_equal(get(f, job.id).state, JOB_SUCCEEDED);
}

static void
unknown_jobs_are_not_found(void **state)
{
	static const char *const ids[] = {
		"", "x", "' OR '1'='1", "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77",
	};
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT), other;
	struct err err;
	size_t i;

	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		assert_err(job_get(f->db, f->dir, APP, POD, ids[i], &other,
		    &err), err, ERR_NOT_FOUND, ids[i]);
		assert_err(job_accept(f->db, ids[i], &other, &err), err,
		    ERR_NOT_FOUND, ids[i]);
		assert_err(job_claim(f->db, ids[i], &f->self, &other, &err),
		    err, ERR_CONFLICT, "not there");
		assert_ok(job_settle_child(f->db, f->dir, ids[i], 9, &err),
		    err);
		assert_ok(job_deliver(f->db, f->dir, ids[i], GRACE_MS, &err),
		    err);
	}
	/* Each app and pod has its own. */
	assert_err(job_get(f->db, f->dir, "other", POD, job.id, &other, &err),
	    err, ERR_NOT_FOUND, "other");
	assert_err(job_get(f->db, f->dir, APP, "other", job.id, &other, &err),
	    err, ERR_NOT_FOUND, "on pod other");
}

static void
nothing_is_done_twice(void **state)
{
	const struct job_progress progress = {PHASE_WRITING, 1, 2, 3, 3};
	const struct job_target target = {.pid = 7, .node = "v20.20.2"};
	const struct err why = {ERR_SPACE, "disk full"};
	struct artifact_sum sum = {.sha256 = "x", .stored_sha256 = "x"};
	const struct job_result result = {.sum = &sum};
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	struct err err;

	/* Not before it is claimed. */
	assert_err(job_set_progress(f->db, job.id, &progress, &err), err,
	    ERR_CONFLICT, job.id);
	assert_err(job_set_target(f->db, job.id, &target, &stream_plan, &err),
	    err, ERR_CONFLICT, "not active");
	assert_err(job_succeed(f->db, f->dir, job.id, &result, &err), err,
	    ERR_CONFLICT, "not active");
	(void)claim(f, job.id, &f->self);
	assert_err(job_claim(f->db, job.id, &f->self, &job, &err), err,
	    ERR_CONFLICT, "is running, so it cannot be begun");
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	/* Nor after its end. */
	assert_err(job_fail(f->db, f->dir, job.id, &why, &err), err,
	    ERR_CONFLICT, "not active any more");
	assert_err(job_set_progress(f->db, job.id, &progress, &err), err,
	    ERR_CONFLICT, "not active any more");
	assert_err(job_succeed(f->db, f->dir, job.id, &result, &err), err,
	    ERR_CONFLICT, "not active any more");
	assert_err(job_claim(f->db, job.id, &f->self, &job, &err), err,
	    ERR_CONFLICT, "is failed");
	assert_ok(job_settle_child(f->db, f->dir, job.id, 9, &err), err);
	job = get(f, job.id);
	assert_int_equal(job.error.code, ERR_SPACE);
	assert_string_equal(job.error.msg, "disk full");
}

static void
names_are_values(void **state)
{
	static const char evil[] = "x'); DELETE FROM jobs; --";
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT);
	struct err why;
	struct job_target target = {
		.pid = JOB_UNKNOWN, .node = evil, .memory_bytes = JOB_UNKNOWN,
	};
	struct fixture *f = *state;
	struct job job;
	struct err err;

	(void)err_set(&why, ERR_TARGET_REFUSED, "%s", evil);
	order.app = order.requested_by = order.request_id = evil;
	order.pod = "../p\"o\r\nd;\xc3\xa9/";
	assert_ok(try_create(f, &order, &job, &err), err);
	assert_string_equal(job.app, evil);
	assert_string_equal(job.pod, order.pod);
	assert_string_equal(job.requested_by, evil);
	assert_string_equal(job.request_id, evil);
	assert_memory_equal(job.artifact_name, ".._p_o__d____-2", 15);
	(void)claim(f, job.id, &f->self);
	assert_ok(job_set_target(f->db, job.id, &target, &stream_plan, &err),
	    err);
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	assert_ok(job_newest_snapshot(f->db, f->dir, evil, order.pod, &job,
	    &err), err);
	assert_string_equal(job.error.msg, evil);
	assert_string_equal(job.target_node, evil);
	assert_int_equal(job.target_pid, JOB_UNKNOWN);
}

static void
long_texts_are_cut(void **state)
{
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT);
	struct job_target target = {.pid = 7};
	struct fixture *f = *state;
	char text[100001];
	struct job job;
	struct err err;

	memset(text, 'v', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	order.requested_by = order.request_id = target.node = text;
	assert_ok(try_create(f, &order, &job, &err), err);
	(void)claim(f, job.id, &f->self);
	assert_ok(job_set_target(f->db, job.id, &target, &stream_plan, &err),
	    err);
	job = get(f, job.id);
	assert_int_equal(strlen(job.requested_by), STR_NAME_MAX + 7);
	assert_int_equal(strlen(job.request_id), STR_NAME_MAX);
	assert_int_equal(strlen(job.target_node), 31);
	/* In the table too. */
	assert_err(db_exec(f->db, "UPDATE jobs SET app = 'x' WHERE"
	    " length(requested_by) < 100 AND length(target_node) < 100", &err),
	    err, ERR_CONFLICT, "identity");
	order.pod = text;
	assert_err(try_create(f, &order, &job, &err), err,
	    ERR_CONFLICT, "CHECK");
}

static void
no_memory_leaves_no_half_job(void **state)
{
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT);
	struct fixture *f = *state;
	int64_t limit;
	struct job job;
	struct err err;
	int failed = 0, rc;

	/* A fresh connection each time: statements are yet to be made. */
	for (limit = sqlite3_memory_used() + 1024; ; limit += 4096) {
		db_close(&f->db);
		f->db = open_other(f);
		(void)sqlite3_hard_heap_limit64(limit);
		rc = try_create(f, &order, &job, &err);
		(void)sqlite3_hard_heap_limit64(0);
		if (rc == 0)
			break;
		failed++;
		assert_int_equal(err.code, ERR_NOMEM);
		assert_int_equal(listed(f), 0);
	}
	assert_true(failed > 3);
	assert_int_equal(listed(f), 1);
	assert_int_equal(get(f, job.id).state, JOB_QUEUED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(words_are_those_of_the_contract),
		TEST(life_of_a_snapshot),
		TEST(only_success_waits_for_the_disk),
		TEST(target_accepts),
		TEST(progress_counts_what_changes),
		TEST(one_snapshot_excludes_everything),
		TEST(forked_snapshot_lets_profiles_be),
		TEST(profiles_are_limited),
		TEST(one_heap_profile_of_a_thread),
		TEST(worker_has_its_own),
		TEST(unaccepted_failure_leaves_no_trace),
		TEST(discard_takes_nothing_else),
		TEST(unknown_jobs_are_not_found),
		TEST(nothing_is_done_twice),
		TEST(names_are_values),
		TEST(long_texts_are_cut),
		TEST(no_memory_leaves_no_half_job),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
