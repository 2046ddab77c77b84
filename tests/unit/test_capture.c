/*
 * capture: a whole job against a scripted inspector and a real database, and
 * what is left of it when something fails in the middle.
 */
#include "captures.h"

#include "activate.h"

#include <errno.h>
#include <sqlite3.h>

/* Failures to inject, by call; 0: none. */
static int write_errno;
static int fsync_errno;

ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
/* How the job stood when its inspector was given up. */
static enum job_state state_at_end;

int __real_fsync(int fd);
int __wrap_fsync(int fd);
void __real_activate_end(struct activation **activation, struct ws *ws);
void __wrap_activate_end(struct activation **activation, struct ws *ws);

/* Log lines on stderr are written for real. */
ssize_t
__wrap_write(int fd, const void *data, size_t len)
{
	if (write_errno == 0 || fd == STDERR_FILENO)
		return __real_write(fd, data, len);
	errno = write_errno;
	return -1;
}

int
__wrap_fsync(int fd)
{
	if (fsync_errno == 0)
		return __real_fsync(fd);
	errno = fsync_errno;
	return -1;
}

/* It may take long: whoever asked for the job has the answer already. */
void
__wrap_activate_end(struct activation **activation, struct ws *ws)
{
	read_job();
	state_at_end = job.state;
	__real_activate_end(activation, ws);
}

/* The job failed, in the row as to the caller, and left nothing. */
static void
expect_failure(int code, const char *text)
{
	struct err err;

	assert_err(capture_run(conf, db, job.id, &err), err, code, text);
	write_errno = fsync_errno = 0;
	read_job();
	assert_int_equal(job.state, JOB_FAILED);
	assert_int_equal(state_at_end, JOB_FAILED);
	assert_int_equal(job.error.code, code);
	assert_string_equal(job.error.msg, err.msg);
	assert_int_equal(count_files(), 0);
	end();
}

static bool
takes_snapshot(int fd, long long id, const char *method)
{
	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") != 0)
		return false;
	inspector_say(fd, "{\"method\":\"HeapProfiler.reportHeapSnapshot"
	    "Progress\",\"params\":{\"done\":5,\"total\":10}}");
	inspector_say(fd, "{\"method\":\"HeapProfiler.reportHeapSnapshot"
	    "Progress\",\"params\":{\"done\":10,\"total\":10,"
	    "\"finished\":true}}");
	send_chunk(fd, SNAPSHOT_HEAD);
	send_chunk(fd, SNAPSHOT_TAIL);
	reply(fd, id, "{}");
	return true;
}

static void
test_heap_snapshot(void **state)
{
	char path[400], text[400] = "";
	struct err err;
	FILE *file;

	(void)state;
	begin(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN,
	    "keep = 1h\n[artifacts]\ncompression = none", takes_snapshot);
	assert_ok(capture_run(conf, db, job.id, &err), err);
	read_job();
	assert_int_equal(job.state, JOB_SUCCEEDED);
	assert_int_equal(state_at_end, JOB_SUCCEEDED);
	assert_int_equal(job.phase, PHASE_NONE);
	assert_true(job.accepted_at_ms > 0);
	assert_int_equal(job.target_pid, 7);
	assert_string_equal(job.target_node, "v20.20.2");
	assert_int_equal(job.used_method, METHOD_STREAM);
	assert_int_equal(job.progress_done, 10);
	assert_int_equal(job.progress_total, 10);
	assert_int_equal(job.progress_bytes, strlen(SNAPSHOT));
	assert_true(job.freeze_ms >= 0);
	assert_int_equal(job.memory_before_bytes, 1000);
	assert_int_equal(job.memory_after_bytes, 1000);
	assert_int_equal(job.expires_at_ms - job.finished_at_ms, 3600000);
	assert_int_equal(job.sum.size_bytes, strlen(SNAPSHOT));
	/* printf %s TEXT | sha256sum */
	assert_string_equal(job.sum.sha256, "5953c9af28b9d258de093bfc709663e8"
	    "a3a139ef0f18d0046d16ebda41fd378e");
	(void)snprintf(path, sizeof(path), "%s/artifacts/%s.heapsnapshot", dir,
	    job.id);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	(void)fclose(file);
	assert_string_equal(text, SNAPSHOT);
	assert_int_equal(count_files(), 1);
	end();
}

/* As it is by default: in frames, and read back as it was sent. */
static void
test_packed_heap_snapshot(void **state)
{
	static const char want[] = SNAPSHOT;
	struct artifact_reader *reader = NULL;
	char path[400], text[400];
	struct stat st;
	struct err err;

	(void)state;
	begin(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", takes_snapshot);
	assert_ok(capture_run(conf, db, job.id, &err), err);
	read_job();
	assert_int_equal(job.state, JOB_SUCCEEDED);
	assert_int_equal(job.sum.coding, ARTIFACT_ZSTD);
	assert_int_equal(job.sum.size_bytes, strlen(want));
	assert_int_equal(job.progress_bytes, strlen(want));
	(void)snprintf(path, sizeof(path), "%s/artifacts/%s.heapsnapshot.zst",
	    dir, job.id);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(job.sum.stored_bytes, st.st_size);
	assert_ok(artifact_open(dir, job.id, "heapsnapshot", &job.sum, &reader,
	    &err), err);
	assert_int_equal(artifact_read(reader, ARTIFACT_IDENTITY, 0, text,
	    sizeof(text), &err), strlen(want));
	assert_memory_equal(text, want, strlen(want));
	artifact_close(&reader);
	assert_int_equal(count_files(), 1);
	end();
}

static bool
takes_profile(int fd, long long id, const char *method)
{
	if (strcmp(method, "Profiler.stop") != 0)
		return false;
	reply(fd, id, "{\"profile\":{\"nodes\":[],\"samples\":[1,2]}}");
	return true;
}

static void
test_cpu_profile(void **state)
{
	int64_t began_ms = clock_mono_ms();
	struct err err;

	(void)state;
	begin(JOB_CPU_PROFILE, 200, "", takes_profile);
	assert_ok(capture_run(conf, db, job.id, &err), err);
	assert_true(clock_mono_ms() - began_ms >= 200);
	read_job();
	assert_int_equal(job.state, JOB_SUCCEEDED);
	assert_int_equal(job.freeze_ms, JOB_UNKNOWN);
	assert_int_equal(job.sum.size_bytes,
	    strlen("{\"nodes\":[],\"samples\":[1,2]}"));
	end();
}

/* So often it fails, and how long that takes. */
static int set_fails, set_calls;
static int set_takes_ms;

int __wrap_job_set_target(struct db *db_, const char *id,
    const struct job_target *target, const struct job_plan *plan,
    struct err *err);
int __real_job_set_target(struct db *db_, const char *id,
    const struct job_target *target, const struct job_plan *plan,
    struct err *err);

int
__wrap_job_set_target(struct db *db_, const char *id,
    const struct job_target *target, const struct job_plan *plan,
    struct err *err)
{
	if (++set_calls > set_fails)
		return __real_job_set_target(db_, id, target, plan, err);
	(void)poll(NULL, 0, set_takes_ms);
	return err_set(err, ERR_STORE, "stubbed");
}

/* A database that others keep locked is waited for; one that is broken is
 * not. */
static void
test_busy_database(void **state)
{
	struct err err;

	(void)state;
	begin(JOB_CPU_PROFILE, 200, "", takes_profile);
	set_calls = 0;
	set_fails = 2;
	set_takes_ms = CAPTURE_BUSY_MS + 1;
	assert_ok(capture_run(conf, db, job.id, &err), err);
	assert_int_equal(set_calls, 3);
	read_job();
	assert_int_equal(job.state, JOB_SUCCEEDED);
	end();
	begin(JOB_CPU_PROFILE, 200, "", takes_profile);
	set_calls = 0;
	set_fails = 100;
	expect_failure(ERR_STORE, "stubbed");
	assert_in_range(set_calls, 2, 5);
	begin(JOB_CPU_PROFILE, 200, "", takes_profile);
	set_calls = 0;
	set_takes_ms = 0;
	expect_failure(ERR_STORE, "stubbed");
	assert_int_equal(set_calls, 1);
	set_fails = 0;
}

static bool
exits_while_profiled(int fd, long long id, const char *method)
{
	if (strcmp(method, "Profiler.start") == 0) {
		reply(fd, id, "{}");
		inspector_say(fd,
		    "{\"method\":\"NodeRuntime.waitingForDisconnect\"}");
		return true;
	}
	return takes_profile(fd, id, method);
}

/* An app that comes to its end is not held up for the rest of a minute, and
 * what was seen of it is kept. */
static void
test_cpu_profile_of_exiting_app(void **state)
{
	int64_t began_ms = clock_mono_ms();
	struct err err;

	(void)state;
	begin(JOB_CPU_PROFILE, 60000, "", exits_while_profiled);
	assert_ok(capture_run(conf, db, job.id, &err), err);
	assert_true(clock_mono_ms() - began_ms < 10000);
	read_job();
	assert_int_equal(job.state, JOB_SUCCEEDED);
	end();
}

static void
test_profile_missing(void **state)
{
	(void)state;
	begin(JOB_CPU_PROFILE, 100, "", NULL);
	expect_failure(ERR_TARGET_REFUSED, "no profile");
}

/* What V8 was told to begin with. */
static char started[200];

static bool
samples_heap(int fd, long long id, const char *method)
{
	const char *params = strstr(heard, "\"params\":");

	if (strcmp(method, "HeapProfiler.startSampling") == 0 && params != NULL)
		(void)snprintf(started, sizeof(started), "%s", params);
	if (strcmp(method, "HeapProfiler.stopSampling") != 0)
		return false;
	reply(fd, id, "{\"profile\":{\"head\":{},\"samples\":[]}}");
	return true;
}

static void
expect_heap_profile(const char *params)
{
	const int64_t began_ms = clock_mono_ms();
	struct err err;

	assert_ok(capture_run(conf, db, job.id, &err), err);
	assert_true(clock_mono_ms() - began_ms >= 200);
	read_job();
	assert_int_equal(job.state, JOB_SUCCEEDED);
	assert_true(job.freeze_ms >= 0);
	assert_int_equal(job.used_method, METHOD_STREAM);
	assert_int_equal(job.sum.size_bytes,
	    strlen("{\"head\":{},\"samples\":[]}"));
	assert_string_equal(started, params);
	end();
}

static void
test_heap_profile(void **state)
{
	(void)state;
	begin(JOB_HEAP_PROFILE, 200, "", samples_heap);
	expect_heap_profile("\"params\":{\"samplingInterval\":524288,"
	    "\"includeObjectsCollectedByMajorGC\":true,"
	    "\"includeObjectsCollectedByMinorGC\":true}}");
	live = true;
	begin(JOB_HEAP_PROFILE, 200, "", samples_heap);
	expect_heap_profile("\"params\":{\"samplingInterval\":32768}}");
	sampling_bytes = 4096;
	begin(JOB_HEAP_PROFILE, 200, "", samples_heap);
	expect_heap_profile("\"params\":{\"samplingInterval\":4096,"
	    "\"includeObjectsCollectedByMajorGC\":true,"
	    "\"includeObjectsCollectedByMinorGC\":true}}");
}

static int looks;
static bool is_begun;

/* Another's sampler, which ends after so many looks. */
static bool
samples_for_others(int fd, long long id, const char *method)
{
	if (strcmp(method, "HeapProfiler.startSampling") == 0)
		is_begun = true;
	if (strcmp(method, "HeapProfiler.getSamplingProfile") != 0 ||
	    looks-- <= 0)
		return samples_heap(fd, id, method);
	reply(fd, id, "{\"profile\":{\"head\":{},\"samples\":[]}}");
	return true;
}

/* V8 would take ours for it, and end it with ours. */
static void
test_sampled_by_others(void **state)
{
	struct err err;

	(void)state;
	is_begun = false;
	looks = 99;
	begin(JOB_HEAP_PROFILE, 100, "", samples_for_others);
	assert_err(capture_run(conf, db, job.id, &err), err,
	    ERR_TARGET_REFUSED, "somebody else samples the heap");
	read_job();
	assert_int_equal(job.state, JOB_FAILED);
	assert_int_equal(job.accepted_at_ms, JOB_UNKNOWN);
	assert_false(is_begun);
	end();
	/* One that is just being ended. */
	looks = 1;
	begin(JOB_HEAP_PROFILE, 100, "", samples_for_others);
	assert_ok(capture_run(conf, db, job.id, &err), err);
	assert_true(is_begun);
	end();
}

static bool
is_ended_by_others(int fd, long long id, const char *method)
{
	if (strcmp(method, "HeapProfiler.stopSampling") != 0)
		return false;
	refuse(fd, id);
	return true;
}

static void
test_heap_profile_missing(void **state)
{
	(void)state;
	begin(JOB_HEAP_PROFILE, 100, "", is_ended_by_others);
	expect_failure(ERR_TARGET_REFUSED, "has somebody else ended the one "
	    "sampler that V8 has for each thread?: HeapProfiler.stopSampling: "
	    "the inspector refused: V8 sampling heap profiler was not "
	    "started.");
}

static bool
truncates(int fd, long long id, const char *method)
{
	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") != 0)
		return false;
	inspector_say(fd, "{\"method\":\"HeapProfiler.addHeapSnapshotChunk\","
	    "\"params\":{\"chunk\":\"{\\\"snapshot\\\":{\"}}");
	reply(fd, id, "{}");
	return true;
}

static void
test_truncated_snapshot(void **state)
{
	(void)state;
	begin(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", truncates);
	expect_failure(ERR_TARGET_REFUSED, "whole");
}

static void
test_empty_snapshot(void **state)
{
	(void)state;
	begin(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", NULL);
	expect_failure(ERR_TARGET_REFUSED, "whole");
}

static bool
dies(int fd, long long id, const char *method)
{
	(void)id;
	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") != 0)
		return false;
	inspector_say(fd, "{\"method\":\"HeapProfiler.addHeapSnapshotChunk\","
	    "\"params\":{\"chunk\":\"{\"}}");
	(void)shutdown(fd, SHUT_RDWR);
	return true;
}

static void
test_app_dies(void **state)
{
	(void)state;
	begin(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", dies);
	expect_failure(ERR_TARGET_EXITED, "the app ended");
}

static bool
stalls(int fd, long long id, const char *method)
{
	(void)id;
	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") != 0)
		return false;
	stall(fd);
	return true;
}

static void
test_job_timeout(void **state)
{
	(void)state;
	begin(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "job_timeout = 5s", stalls);
	expect_failure(ERR_TARGET_TIMEOUT, "did not answer in time");
}

static void
test_no_inspector(void **state)
{
	struct err err;

	(void)state;
	begin(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", NULL);
	inspector_stop(&in);
	assert_err(capture_run(conf, db, job.id, &err), err,
	    ERR_TARGET_UNREACHABLE, "--inspect=127.0.0.1:");
	read_job();
	assert_int_equal(job.state, JOB_FAILED);
	/* Whoever asked for it is still waiting for the verdict. */
	assert_int_equal(job.accepted_at_ms, JOB_UNKNOWN);
	assert_int_equal(count_files(), 0);
	db_close(&db);
	conf_free(&conf);
	test_remove_dir(dir);
}

static bool
fills_disk(int fd, long long id, const char *method)
{
	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") == 0)
		write_errno = ENOSPC;
	return takes_snapshot(fd, id, method);
}

static void
test_disk_full(void **state)
{
	(void)state;
	begin(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", fills_disk);
	expect_failure(ERR_SPACE, "No space left");
}

/* While a file is at this path SQLite's disk is full; "": it never is. */
static char full_path[400];

static ssize_t
write_on_disk(int fd, const void *data, size_t len, off_t at)
{
	struct stat st;

	if (full_path[0] == '\0' || lstat(full_path, &st) != 0)
		return pwrite(fd, data, len, at);
	errno = ENOSPC;
	return -1;
}

static void
set_disk(void)
{
	static const char *const names[] = { "pwrite", "pwrite64" };
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)vfs->xSetSystemCall(vfs, names[i],
		    (sqlite3_syscall_ptr)write_on_disk);
}

static bool was_told, was_held, was_refused;

/* The row says at once that it failed, by the room that the file gives back,
 * while V8 goes on; nothing else may begin until it is through. */
static bool
fills_disk_and_goes_on(int fd, long long id, const char *method)
{
	const int64_t deadline_ms = clock_mono_ms() + 60000;
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN);
	struct job now = { .state = JOB_QUEUED }, next;
	struct db *other = NULL;
	struct err err;
	bool is_new;

	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") != 0)
		return false;
	(void)snprintf(full_path, sizeof(full_path), "%s/artifacts/%s.part",
	    dir, job.id);
	write_errno = ENOSPC;
	send_chunk(fd, SNAPSHOT_HEAD);
	if (job_open_db(dir, &other, &err) != 0)
		return false;
	while (now.state != JOB_FAILED && clock_mono_ms() < deadline_ms &&
	    job_get(other, dir, "sample", "pod-1", job.id, &now, &err) == 0)
		(void)poll(NULL, 0, 5);
	was_told = now.state == JOB_FAILED && now.error.code == ERR_SPACE &&
	    count_files() == 0;
	was_held = now.holds_target;
	was_refused = job_create(other, dir, &order, &next, &is_new, &err) !=
	    0 && err.code == ERR_CONFLICT && strcmp(next.id, job.id) == 0;
	db_close(&other);
	write_errno = 0;
	send_chunk(fd, "and so on");
	send_chunk(fd, SNAPSHOT_TAIL);
	reply(fd, id, "{}");
	return true;
}

static void
test_disk_full_in_the_middle(void **state)
{
	struct err err;

	(void)state;
	was_told = was_held = was_refused = false;
	set_disk();
	begin(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN,
	    "[artifacts]\ncompression = none", fills_disk_and_goes_on);
	assert_err(capture_run(conf, db, job.id, &err), err, ERR_SPACE,
	    "No space left");
	assert_true(was_told);
	assert_true(was_held);
	assert_true(was_refused);
	read_job();
	assert_int_equal(job.state, JOB_FAILED);
	assert_string_equal(job.error.msg, err.msg);
	assert_false(job.holds_target);
	full_path[0] = '\0';
	/* Nothing of what came when there was room again. */
	assert_int_equal(count_files(), 0);
	order_again();
	end();
}

static bool
breaks_fsync(int fd, long long id, const char *method)
{
	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") == 0)
		fsync_errno = EIO;
	return takes_snapshot(fd, id, method);
}

static void
test_fsync_fails(void **state)
{
	(void)state;
	begin(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", breaks_fsync);
	expect_failure(ERR_STORE, "Input/output error");
}

/* Somebody else ends the job while V8 writes: what comes is thrown away and
 * the row stays as that somebody left it. */
static bool
loses_job(int fd, long long id, const char *method)
{
	struct db *other = NULL;
	struct err why, err;

	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") == 0) {
		(void)err_set(&why, ERR_INTERRUPTED, "ended by another");
		if (job_open_db(dir, &other, &err) != 0 ||
		    job_fail(other, dir, job.id, &why, &err) != 0)
			(void)fprintf(stderr, "%s\n", err.msg);
		db_close(&other);
	}
	return takes_snapshot(fd, id, method);
}

static void
test_job_lost(void **state)
{
	struct err err;

	(void)state;
	begin(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", loses_job);
	assert_err(capture_run(conf, db, job.id, &err), err, ERR_CONFLICT, "");
	read_job();
	assert_int_equal(job.state, JOB_FAILED);
	assert_string_equal(job.error.msg, "ended by another");
	assert_int_equal(count_files(), 0);
	end();
}

static void
test_claimed_once(void **state)
{
	struct err err;

	(void)state;
	begin(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", takes_snapshot);
	assert_ok(capture_run(conf, db, job.id, &err), err);
	assert_err(capture_run(conf, db, job.id, &err), err, ERR_CONFLICT, "");
	read_job();
	assert_int_equal(job.state, JOB_SUCCEEDED);
	assert_int_equal(count_files(), 1);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heap_snapshot),
		cmocka_unit_test(test_packed_heap_snapshot),
		cmocka_unit_test(test_cpu_profile),
		cmocka_unit_test(test_busy_database),
		cmocka_unit_test(test_cpu_profile_of_exiting_app),
		cmocka_unit_test(test_profile_missing),
		cmocka_unit_test(test_heap_profile),
		cmocka_unit_test(test_sampled_by_others),
		cmocka_unit_test(test_heap_profile_missing),
		cmocka_unit_test(test_truncated_snapshot),
		cmocka_unit_test(test_empty_snapshot),
		cmocka_unit_test(test_app_dies),
		cmocka_unit_test(test_job_timeout),
		cmocka_unit_test(test_no_inspector),
		cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_disk_full_in_the_middle),
		cmocka_unit_test(test_fsync_fails),
		cmocka_unit_test(test_job_lost),
		cmocka_unit_test(test_claimed_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
