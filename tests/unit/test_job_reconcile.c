/*
 * Files and rows that do not know each other: what goes, what is noted, and
 * what is not touched.
 */
#include "reconcile.h"

static void
files_without_a_row_go(void **state)
{
	static const char *const extensions[] = {
		"part", "heapsnapshot", "heapsnapshot.zst", "cpuprofile",
		"cpuprofile.zst", "heapprofile", "heapprofile.zst",
	};
	struct fixture *f = *state;
	struct job job = create_succeeded(f);
	size_t i;

	for (i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++)
		put_file(f, ORPHAN, extensions[i]);
	reconcile(f, 100);
	for (i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++)
		assert_false(is_there(f, ORPHAN, extensions[i]));
	assert_true(is_there(f, job.id, "heapsnapshot"));
	assert_int_equal(get(f, job.id).removed_at_ms, JOB_UNKNOWN);
}

static void
files_that_are_not_ours_stay(void **state)
{
	static const char *const names[] = {
		"README", ".nfs000000000001", "core", "x.heapsnapshot",
		ORPHAN, ORPHAN ".json", ORPHAN ".heapsnapshot.bak",
		ORPHAN ".heapsnapshot.gz", ORPHAN ".heapsnapshot.zst.tmp",
		ORPHAN ".zst", ORPHAN ".notes",
	};
	struct fixture *f = *state;
	char path[400];
	struct stat st;
	struct err err;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/artifacts/%s", f->dir,
		    names[i]);
		assert_ok(file_replace(path, "x", 1, 0600, &err), err);
	}
	reconcile(f, 100);
	reconcile(f, 100);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/artifacts/%s", f->dir,
		    names[i]);
		if (lstat(path, &st) != 0)
			fail_msg("%s is gone", names[i]);
	}
}

static void
files_that_their_row_does_not_know_go(void **state)
{
	const struct err why = {ERR_TARGET_EXITED, "the app ended"};
	struct fixture *f = *state;
	struct job job = create_succeeded(f), failed, removed;
	struct err err;

	put_file(f, job.id, "heapsnapshot.zst");
	put_file(f, job.id, "cpuprofile");
	put_file(f, job.id, "part");
	failed = create_accepted(f, JOB_HEAP_SNAPSHOT);
	put_file(f, failed.id, "heapsnapshot");
	put_file(f, failed.id, "part");
	assert_ok(job_fail(f->db, f->dir, failed.id, &why, &err), err);
	/* One that came back after it was removed. */
	clock_shift_ms = -2 * (int64_t)KEEP_MS;
	removed = create_succeeded(f);
	clock_shift_ms = 0;
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	put_file(f, removed.id, "heapsnapshot");
	reconcile(f, 100);
	assert_true(is_there(f, job.id, "heapsnapshot"));
	assert_false(is_there(f, job.id, "heapsnapshot.zst"));
	assert_false(is_there(f, job.id, "cpuprofile"));
	assert_false(is_there(f, job.id, "part"));
	assert_false(is_there(f, failed.id, "heapsnapshot"));
	assert_false(is_there(f, failed.id, "part"));
	assert_false(is_there(f, removed.id, "heapsnapshot"));
	assert_int_equal(get(f, removed.id).removed_because, REMOVED_EXPIRED);
}

/* Whoever works on a job looks after its files himself. */
static void
files_of_whoever_works_stay(void **state)
{
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT);
	struct fixture *f = *state;
	struct job running = create_running(f, JOB_HEAP_SNAPSHOT), held;
	struct err err;

	put_file(f, running.id, "part");
	put_file(f, running.id, "heapsnapshot");
	order.app = "other";
	assert_ok(try_create(f, &order, &held, &err), err);
	(void)claim(f, held.id, &f->self);
	put_file(f, held.id, "part");
	assert_ok(job_cancel(f->db, f->dir, held.id, &held, &err), err);
	reconcile(f, 100);
	assert_true(is_there(f, running.id, "part"));
	assert_true(is_there(f, running.id, "heapsnapshot"));
	assert_true(is_there(f, held.id, "part"));
	assert_ok(job_release(f->db, f->dir, held.id, &err), err);
	reconcile(f, 100);
	reconcile(f, 100);
	assert_false(is_there(f, held.id, "part"));
	assert_true(is_there(f, running.id, "part"));
}

static void
lost_and_damaged_files_are_noted(void **state)
{
	struct fixture *f = *state;
	struct job lost = create_succeeded(f), cut = create_succeeded(f);
	struct job grown = create_succeeded(f), linked = create_succeeded(f);
	struct job fine = create_succeeded(f);
	char path[400], other[400];
	struct err err;

	path_of(f, lost.id, "heapsnapshot", path);
	assert_int_equal(unlink(path), 0);
	path_of(f, cut.id, "heapsnapshot", path);
	assert_int_equal(truncate(path, 1), 0);
	path_of(f, grown.id, "heapsnapshot", path);
	assert_ok(file_replace(path, "{ }", 3, 0600, &err), err);
	path_of(f, linked.id, "heapsnapshot", path);
	path_of(f, fine.id, "heapsnapshot", other);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(other, path), 0);
	reconcile(f, 100);
	expect_lost(f, &lost);
	expect_lost(f, &cut);
	expect_lost(f, &grown);
	expect_lost(f, &linked);
	assert_false(is_there(f, cut.id, "heapsnapshot"));
	assert_false(is_there(f, grown.id, "heapsnapshot"));
	assert_false(is_there(f, linked.id, "heapsnapshot"));
	assert_int_equal(get(f, fine.id).removed_at_ms, JOB_UNKNOWN);
	assert_true(is_there(f, fine.id, "heapsnapshot"));
	/* The first reason is the one that stays. */
	clock_shift_ms = 2 * (int64_t)KEEP_MS;
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	expect_lost(f, &lost);
}

/* Whole files of a rotten disk: those who read on are not cut off. */
static void
reader_of_a_damaged_file_goes_on(void **state)
{
	struct fixture *f = *state;
	struct job job = create_stored(f, JOB_HEAP_SNAPSHOT, 3000);
	struct artifact_reader *reader = NULL;
	char path[400], out[10];
	struct err err;

	assert_ok(artifact_open(f->dir, job.id, "heapsnapshot", &job.sum,
	    &reader, &err), err);
	path_of(f, job.id, "heapsnapshot", path);
	assert_int_equal(truncate(path, 2999), 0);
	reconcile(f, 100);
	expect_lost(f, &job);
	assert_false(is_there(f, job.id, "heapsnapshot"));
	assert_int_equal(artifact_read(reader, ARTIFACT_IDENTITY, 0, out,
	    sizeof(out), &err), sizeof(out));
	artifact_close(&reader);
}

/* A disk that was gone for a while, and is back with what was on it. */
static void
files_that_are_back_are_had_again(void **state)
{
	struct fixture *f = *state;
	struct job job = create_succeeded(f), cut = create_succeeded(f), now;
	char path[300], moved[300], file[400];
	struct err err;
	int i;

	(void)snprintf(path, sizeof(path), "%s/artifacts", f->dir);
	(void)snprintf(moved, sizeof(moved), "%s/elsewhere", f->dir);
	assert_int_equal(rename(path, moved), 0);
	for (i = 0; i < 2; i++)
		assert_err(job_reconcile(reconciler, f->db, f->dir, 100, &err),
		    err, ERR_STORE, "artifacts");
	assert_int_equal(mkdir(path, 0700), 0);
	for (i = 0; i < 2; i++)
		reconcile(f, 100);
	expect_lost(f, &job);
	expect_lost(f, &cut);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rename(moved, path), 0);
	path_of(f, cut.id, "heapsnapshot", file);
	assert_int_equal(truncate(file, 1), 0);
	for (i = 0; i < 2; i++)
		reconcile(f, 100);
	now = get(f, job.id);
	assert_int_equal(now.removed_because, REMOVED_NOT);
	assert_true(job_has_artifact(&now));
	assert_true(is_there(f, job.id, "heapsnapshot"));
	/* What is not whole is not had again. */
	expect_lost(f, &cut);
	assert_false(is_there(f, cut.id, "heapsnapshot"));
	/* It goes when its time has come, and then for good. */
	clock_shift_ms = 2 * (int64_t)KEEP_MS;
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	put_file(f, job.id, "heapsnapshot");
	for (i = 0; i < 2; i++)
		reconcile(f, 100);
	assert_int_equal(get(f, job.id).removed_because, REMOVED_EXPIRED);
	assert_false(is_there(f, job.id, "heapsnapshot"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RECONCILE_TEST(files_without_a_row_go),
		RECONCILE_TEST(files_that_are_not_ours_stay),
		RECONCILE_TEST(files_that_their_row_does_not_know_go),
		RECONCILE_TEST(files_of_whoever_works_stay),
		RECONCILE_TEST(lost_and_damaged_files_are_noted),
		RECONCILE_TEST(reader_of_a_damaged_file_goes_on),
		RECONCILE_TEST(files_that_are_back_are_had_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
