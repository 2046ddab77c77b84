/*
 * A disk as large as a test wants it: what is free of it is what the files in
 * artifacts/ leave.  Programs that include it link with
 * -Wl,--wrap=file_free_bytes.
 */
#ifndef PODPROF_DISK_H
#define PODPROF_DISK_H

#include <dirent.h>

#include "store.h"

/* Far more than a store is allowed in any test. */
#define PLENTY (INT64_C(1) << 40)

static int64_t disk_bytes = PLENTY;
static bool disk_fails;

int __wrap_file_free_bytes(const char *path, int64_t *ret_bytes,
    struct err *err);
int __real_file_free_bytes(const char *path, int64_t *ret_bytes,
    struct err *err);

int
__wrap_file_free_bytes(const char *path, int64_t *ret_bytes, struct err *err)
{
	const struct dirent *entry;
	char file[700];
	struct stat st;
	DIR *files;

	if (disk_fails)
		return err_set(err, ERR_STORE, "%s: the disk is not there",
		    path);
	/* The disk of artifacts/ may be one of its own. */
	assert_non_null(strstr(path, "/artifacts"));
	files = opendir(path);
	assert_non_null(files);
	*ret_bytes = disk_bytes;
	while ((entry = readdir(files)) != NULL) {
		(void)snprintf(file, sizeof(file), "%s/%s", path,
		    entry->d_name);
		if (lstat(file, &st) == 0 && S_ISREG(st.st_mode))
			*ret_bytes -= st.st_size;
	}
	(void)closedir(files);
	if (*ret_bytes < 0)
		*ret_bytes = 0;
	return 0;
}

static inline int
teardown_disk(void **state)
{
	disk_bytes = PLENTY;
	disk_fails = false;
	return teardown(state);
}

#define DISK_TEST(name) \
	cmocka_unit_test_setup_teardown(name, setup, teardown_disk)

static inline struct artifact_reader *
read_begin(const struct fixture *f, const struct job *job)
{
	struct artifact_reader *reader = NULL;
	struct err err;

	assert_ok(artifact_open(f->dir, job->id, job_extension(job->kind),
	    &job->sum, &reader, &err), err);
	return reader;
}

/* The file made room for others. */
static inline void
expect_evicted(struct fixture *f, const struct job *job)
{
	struct job now = get(f, job->id);

	assert_int_equal(now.state, JOB_SUCCEEDED);
	assert_true(now.removed_at_ms != JOB_UNKNOWN);
	assert_int_equal(now.removed_because, REMOVED_ROOM);
	assert_false(job_has_artifact(&now));
	assert_false(is_there(f, job->id, job_extension(job->kind)));
}

static inline void
expect_kept(struct fixture *f, const struct job *job)
{
	struct job now = get(f, job->id);

	assert_true(job_has_artifact(&now));
	assert_int_equal(now.removed_because, REMOVED_NOT);
	assert_true(is_there(f, job->id, job_extension(job->kind)));
}

#endif
