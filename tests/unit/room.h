/*
 * What the unit programs of capture share that are about room: a disk that is
 * as full as a test wants it, an ear at job_reserve(), and an app with much to
 * say.  Programs that include it link with
 * -Wl,--wrap=job_reserve,--wrap=file_free_bytes.
 */
#ifndef PODPROF_ROOM_H
#define PODPROF_ROOM_H

#include "captures.h"

#include <stdatomic.h>

#define MEGABYTE (1 << 20)
#define TRIES_MAX 64

/* What the disk has free; -1: what it has.  The app's thread takes it. */
static atomic_llong free_bytes = -1;
static atomic_bool disk_fails;

/* The room that was asked for, and with what success. */
static struct {
	int64_t bytes;
	int64_t written_bytes;
	int rc;
} tries[TRIES_MAX];
static int tries_len;
/* Which of them fail without a look at the store; -1: none. */
static int failing_try = -1;
static int failing_tries = 1;
static enum err_code failing_code;
/* Done before each, with its number. */
static void (*before_try)(int n);

int __real_job_reserve(struct db *store, const char *state_dir,
    const struct job_limits *limits, const char *id, int64_t bytes,
    int64_t written_bytes, struct err *err);
int __wrap_job_reserve(struct db *store, const char *state_dir,
    const struct job_limits *limits, const char *id, int64_t bytes,
    int64_t written_bytes, struct err *err);
int __real_file_free_bytes(const char *path, int64_t *ret_bytes,
    struct err *err);
int __wrap_file_free_bytes(const char *path, int64_t *ret_bytes,
    struct err *err);

int
__wrap_job_reserve(struct db *store, const char *state_dir,
    const struct job_limits *limits, const char *id, int64_t bytes,
    int64_t written_bytes, struct err *err)
{
	int n = tries_len++;

	assert_true(n < TRIES_MAX);
	tries[n].bytes = bytes;
	tries[n].written_bytes = written_bytes;
	if (before_try != NULL)
		before_try(n);
	if (failing_try >= 0 && n >= failing_try &&
	    n < failing_try + failing_tries)
		tries[n].rc = err_set(err, failing_code, "out of order");
	else
		tries[n].rc = __real_job_reserve(store, state_dir, limits, id,
		    bytes, written_bytes, err);
	return tries[n].rc;
}

/* Of the files that are whole. */
static inline int64_t
whole_bytes(void)
{
	const struct dirent *entry;
	char path[600];
	struct stat st;
	int64_t sum = 0;
	DIR *files;

	(void)snprintf(path, sizeof(path), "%s/artifacts", dir);
	files = opendir(path);
	assert_non_null(files);
	while ((entry = readdir(files)) != NULL) {
		(void)snprintf(path, sizeof(path), "%s/artifacts/%s", dir,
		    entry->d_name);
		if (strstr(entry->d_name, ".zst") != NULL &&
		    lstat(path, &st) == 0)
			sum += st.st_size;
	}
	(void)closedir(files);
	return sum;
}

int
__wrap_file_free_bytes(const char *path, int64_t *ret_bytes, struct err *err)
{
	if (disk_fails)
		return err_set(err, ERR_STORE, "%s: not there", path);
	if (free_bytes < 0)
		return __real_file_free_bytes(path, ret_bytes, err);
	*ret_bytes = free_bytes - whole_bytes();
	return 0;
}

static inline void
begin_room(enum job_kind kind, int64_t duration_ms, const char *limits,
    method_fn *fn)
{
	free_bytes = -1;
	disk_fails = false;
	tries_len = 0;
	failing_try = -1;
	failing_tries = 1;
	before_try = NULL;
	begin(kind, duration_ms, limits, fn);
}

/* Letters that no compression makes much shorter. */
static inline const char *
noise(void)
{
	static char text[MEGABYTE + 1];
	uint64_t random = 88172645463325252u;
	size_t i;

	for (i = 0; text[0] == '\0' && i < MEGABYTE; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		text[MEGABYTE - 1 - i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghij"
		    "klmnopqrstuvwxyz0123456789+/"[random % 64];
	}
	return text;
}

/* So many mebibytes of it; then what the snapshot ends with. */
static int noisy_chunks;

static inline bool
takes_noise(int fd, long long id, const char *method)
{
	int i;

	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") != 0)
		return false;
	send_chunk(fd, SNAPSHOT_HEAD);
	for (i = 0; i < noisy_chunks; i++)
		send_chunk(fd, noise());
	send_chunk(fd, SNAPSHOT_TAIL);
	reply(fd, id, "{}");
	return true;
}

static inline void
expect_success(void)
{
	struct err err;

	assert_ok(capture_run(conf, db, job.id, &err), err);
	read_job();
	assert_int_equal(job.state, JOB_SUCCEEDED);
	assert_int_equal(job.sum.size_bytes, noisy_chunks * MEGABYTE + (int)strlen(SNAPSHOT));
}

/* The job failed for want of room, and left nothing. */
static inline void
expect_no_room(const char *want)
{
	struct err err;

	assert_err(capture_run(conf, db, job.id, &err), err, ERR_SPACE, want);
	read_job();
	assert_int_equal(job.state, JOB_FAILED);
	assert_int_equal(job.error.code, ERR_SPACE);
	assert_string_equal(job.error.msg, err.msg);
	assert_false(job.holds_target);
	assert_int_equal(count_files(), 0);
}

#endif
