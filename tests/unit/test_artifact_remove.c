/*
 * Artifact files that go, also beside somebody who reads them.
 */
#include <errno.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "artifacts.h"

#define MEGABYTE ((size_t)1 << 20)

/* Done at the next lock, before it is taken; NULL: nothing. */
static void (*before_lock)(const struct fixture *f);
static const struct fixture *before_lock_fixture;
static int flock_errnum;	/* 0: the real one */

int __wrap_flock(int fd, int operation);
int __real_flock(int fd, int operation);

int
__wrap_flock(int fd, int operation)
{
	void (*hook)(const struct fixture *f) = before_lock;

	before_lock = NULL;
	if (hook != NULL)
		hook(before_lock_fixture);
	if (flock_errnum == 0)
		return __real_flock(fd, operation);
	errno = flock_errnum;
	return -1;
}

static int
teardown(void **state)
{
	before_lock = NULL;
	flock_errnum = 0;
	return remove_fixture(state);
}

static void
remove_all(const struct fixture *f)
{
	struct err err;

	assert_ok(artifact_remove(f->dir, JOB, "heapsnapshot", false, &err),
	    err);
}

static void
all_files_of_a_job_are_removed(void **state)
{
	struct fixture *f = *state;
	char other[400];
	struct err err;

	(void)snprintf(other, sizeof(other), "%s/" JOB ".cpuprofile",
	    f->artifacts);
	write_file(f->part, "x");
	write_file(f->path, "x");
	write_file(f->zst_path, "x");
	write_file(other, "x");
	remove_all(f);
	assert_false(is_there(f->part));
	assert_false(is_there(f->path));
	assert_false(is_there(f->zst_path));
	assert_true(is_there(other));
	remove_all(f);
	/* One that stays does not keep the others. */
	assert_int_equal(mkdir(f->part, 0700), 0);
	assert_int_equal(mkdir(f->path, 0700), 0);
	write_file(f->zst_path, "x");
	assert_err(artifact_remove(f->dir, JOB, "heapsnapshot", true, &err),
	    err, ERR_STORE, f->part);
	assert_false(is_there(f->zst_path));
	/* Nothing is done to what a link leads to. */
	assert_int_equal(rmdir(f->part), 0);
	assert_int_equal(rmdir(f->path), 0);
	assert_int_equal(symlink(other, f->path), 0);
	assert_ok(artifact_remove(f->dir, JOB, "heapsnapshot", true, &err),
	    err);
	assert_false(is_there(f->path));
	assert_true(is_there(other));
}

/* A process that has the file open, until it is told to end. */
struct other_reader {
	pid_t pid;
	int end;
};

static void
other_reader_start(const struct fixture *f, const struct artifact_sum *sum,
    struct other_reader *out)
{
	struct artifact_reader *reader = NULL;
	int said[2], end[2];
	struct err err;
	char byte;

	assert_int_equal(pipe(said), 0);
	assert_int_equal(pipe(end), 0);
	out->pid = fork();
	if (out->pid == 0) {
		(void)close(end[1]);
		if (artifact_open(f->dir, JOB, "heapsnapshot", sum, &reader,
		    &err) == 0 && write(said[1], "x", 1) == 1)
			(void)!read(end[0], &byte, 1);
		_exit(0);
	}
	assert_true(out->pid > 0);
	(void)close(said[1]);
	(void)close(end[0]);
	out->end = end[1];
	assert_int_equal(read(said[0], &byte, 1), 1);
	(void)close(said[0]);
}

static void
other_reader_end(struct other_reader *other)
{
	(void)close(other->end);
	assert_int_equal(waitpid(other->pid, NULL, 0), other->pid);
}

static void
readers_are_spared(void **state)
{
	struct fixture *f = *state;
	struct other_reader other;
	struct artifact_reader *first, *second;
	struct artifact_sum sum;
	struct err err;
	int i;

	for (i = 0; i < 2; i++) {
		sum = put_whole(f, i == 0 ? &identity_form : &zstd_form, "{}",
		    2, 2);
		write_file(f->part, "of a dead capture");
		first = open_reader(f, &sum);
		second = open_reader(f, &sum);
		assert_err(artifact_remove(f->dir, JOB, "heapsnapshot", true,
		    &err), err, ERR_CONFLICT, "is being read");
		/* What nobody can read is not kept for it. */
		assert_false(is_there(f->part));
		artifact_close(&first);
		assert_err(artifact_remove(f->dir, JOB, "heapsnapshot", true,
		    &err), err, ERR_CONFLICT,
		    i == 0 ? f->path : f->zst_path);
		artifact_close(&second);
		assert_ok(artifact_remove(f->dir, JOB, "heapsnapshot", true,
		    &err), err);
		assert_false(is_there(i == 0 ? f->path : f->zst_path));
	}
	/* Of another process too; one that dies lets go. */
	sum = put_whole(f, &zstd_form, "{}", 2, 2);
	other_reader_start(f, &sum, &other);
	assert_err(artifact_remove(f->dir, JOB, "heapsnapshot", true, &err),
	    err, ERR_CONFLICT, "is being read");
	assert_true(is_there(f->zst_path));
	other_reader_end(&other);
	assert_ok(artifact_remove(f->dir, JOB, "heapsnapshot", true, &err),
	    err);
	assert_false(is_there(f->zst_path));
}

static void
reading_is_seen(void **state)
{
	struct fixture *f = *state;
	struct artifact_sum sum = put_whole(f, &zstd_form, "{}", 2, 2);
	struct artifact_reader *reader;
	struct other_reader other;

	assert_false(artifact_is_read(f->dir, JOB, "heapsnapshot",
	    ARTIFACT_ZSTD));
	reader = open_reader(f, &sum);
	assert_true(artifact_is_read(f->dir, JOB, "heapsnapshot",
	    ARTIFACT_ZSTD));
	/* To look is not to take: it is seen by the next one, too. */
	assert_true(artifact_is_read(f->dir, JOB, "heapsnapshot",
	    ARTIFACT_ZSTD));
	assert_false(artifact_is_read(f->dir, JOB, "heapsnapshot",
	    ARTIFACT_IDENTITY));
	assert_false(artifact_is_read(f->dir, "../x", "heapsnapshot",
	    ARTIFACT_ZSTD));
	artifact_close(&reader);
	assert_false(artifact_is_read(f->dir, JOB, "heapsnapshot",
	    ARTIFACT_ZSTD));
	other_reader_start(f, &sum, &other);
	assert_true(artifact_is_read(f->dir, JOB, "heapsnapshot",
	    ARTIFACT_ZSTD));
	other_reader_end(&other);
	remove_all(f);
	assert_false(artifact_is_read(f->dir, JOB, "heapsnapshot",
	    ARTIFACT_ZSTD));
}

/* Where there are no locks at all, room is made all the same. */
static void
without_locks_files_go(void **state)
{
	struct fixture *f = *state;
	struct artifact_sum sum = put_whole(f, &zstd_form, "{}", 2, 2);
	struct artifact_reader *reader;
	char out[4];
	struct err err;

	flock_errnum = ENOLCK;
	reader = open_reader(f, &sum);
	assert_ok(artifact_remove(f->dir, JOB, "heapsnapshot", true, &err),
	    err);
	assert_false(is_there(f->zst_path));
	assert_int_equal(artifact_read(reader, ARTIFACT_IDENTITY, 0, out,
	    sizeof(out), &err), 2);
	assert_memory_equal(out, "{}", 2);
	artifact_close(&reader);
}

static void
reader_goes_on_when_the_file_is_removed(void **state)
{
	const size_t len = 2 * MEGABYTE + 99;
	struct fixture *f = *state;
	char *bytes = make_bytes(len), *out = malloc(len + 1);
	struct artifact_reader *reader;
	struct artifact_sum sum;
	struct err err;
	int64_t at, n;
	int i;

	assert_non_null(out);
	for (i = 0; i < 2; i++) {
		sum = put_whole(f, i == 0 ? &identity_form : &zstd_form,
		    bytes, len, 100000);
		reader = open_reader(f, &sum);
		assert_int_equal(artifact_read(reader, ARTIFACT_IDENTITY, 0,
		    out, 1000, &err), 1000);
		remove_all(f);
		assert_false(is_there(i == 0 ? f->path : f->zst_path));
		for (at = 1000; (n = artifact_read(reader, ARTIFACT_IDENTITY,
		    at, out + at, len + 1 - (size_t)at, &err)) > 0; at += n)
			;
		assert_int_equal(n, 0);
		assert_int_equal(at, len);
		assert_memory_equal(out, bytes, len);
		artifact_close(&reader);
	}
	free(out);
	free(bytes);
}

static void
file_removed_before_the_lock_is_gone(void **state)
{
	struct fixture *f = *state;
	struct artifact_sum sum = put_whole(f, &zstd_form, "{}", 2, 2);
	struct artifact_reader *reader = NULL;
	struct err err;

	before_lock_fixture = f;
	before_lock = remove_all;
	assert_err(artifact_open(f->dir, JOB, "heapsnapshot", &sum, &reader,
	    &err), err, ERR_GONE, f->zst_path);
	assert_null(before_lock);
	assert_null(reader);
}

/* Whoever removes it looks, then removes: a reader that comes between finds
 * his lock taken, and reads to the end all the same. */
static void
reader_beside_a_remover_reads_to_the_end(void **state)
{
	struct fixture *f = *state;
	struct artifact_sum sum = put_whole(f, &zstd_form, "{}", 2, 2);
	struct artifact_reader *reader;
	char out[4];
	struct err err;
	int fd;

	fd = open(f->zst_path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	reader = open_reader(f, &sum);
	assert_int_equal(unlink(f->zst_path), 0);
	(void)close(fd);
	assert_int_equal(artifact_read(reader, ARTIFACT_IDENTITY, 0, out,
	    sizeof(out), &err), 2);
	artifact_close(&reader);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_files_of_a_job_are_removed),
		TEST(readers_are_spared),
		TEST(reading_is_seen),
		TEST(without_locks_files_go),
		TEST(reader_goes_on_when_the_file_is_removed),
		TEST(file_removed_before_the_lock_is_gone),
		TEST(reader_beside_a_remover_reads_to_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
