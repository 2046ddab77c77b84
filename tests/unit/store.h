/*
 * What the unit programs of job share: a fresh state directory with its
 * database, jobs in every state, and a clock that can be moved.  Programs that
 * include it link with -Wl,--wrap=clock_utc_ms.
 */
#ifndef PODPROF_STORE_H
#define PODPROF_STORE_H

#include <sys/stat.h>

#include "database.h"
#include "test.h"

#include "file.h"
#include "job.h"

#define APP "shop"
#define POD "shop-6d5f-x2x"
#define GRACE_MS 600000
#define KEEP_MS 86400000

struct fixture {
	char dir[256];
	struct db *db;
	struct proc self;
};

/* Added to the clock, so that no test waits for a lease. */
static int64_t clock_shift_ms;
/* When it stands still; 0: it runs. */
static int64_t clock_stopped_ms;

int64_t __wrap_clock_utc_ms(void);
int64_t __real_clock_utc_ms(void);

int64_t
__wrap_clock_utc_ms(void)
{
	return (clock_stopped_ms != 0 ? clock_stopped_ms :
	    __real_clock_utc_ms()) + clock_shift_ms;
}

static inline int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;

	if (f == NULL)
		return -1;
	test_make_dir(f->dir);
	assert_ok(artifact_check_dirs(f->dir, false, &err), err);
	database_open(f->dir, &f->db);
	assert_ok(proc_self(&f->self, &err), err);
	*state = f;
	return 0;
}

static inline int
teardown(void **state)
{
	struct fixture *f = *state;

	clock_shift_ms = clock_stopped_ms = 0;
	db_close(&f->db);
	test_remove_dir(f->dir);
	free(f);
	return 0;
}

static inline struct job_order
order_of(enum job_kind kind)
{
	struct job_order order = {
		.app = APP, .pod = POD, .kind = kind, .method = METHOD_AUTO,
		.duration_ms = kind == JOB_HEAP_SNAPSHOT ? JOB_UNKNOWN : 2000,
		.interval_us = JOB_UNKNOWN, .sampling_bytes = JOB_UNKNOWN,
		.requested_by = "ci", .request_id = "req-1",
		.profiles_max = 32,
	};

	return order;
}

static inline int
try_create(struct fixture *f, const struct job_order *order,
    struct job *ret_job, struct err *err)
{
	bool is_new;

	return job_create(f->db, f->dir, order, ret_job, &is_new, err);
}

static inline struct job
create(struct fixture *f, enum job_kind kind)
{
	struct job_order order = order_of(kind);
	bool is_new = false;
	struct job job;
	struct err err;

	assert_ok(job_create(f->db, f->dir, &order, &job, &is_new, &err), err);
	assert_true(is_new);
	return job;
}

/* Created and accepted, so that lists show it. */
static inline struct job
create_accepted(struct fixture *f, enum job_kind kind)
{
	struct job job = create(f, kind);
	struct err err;

	assert_ok(job_accept(f->db, job.id, &job, &err), err);
	return job;
}

static inline struct job
get(struct fixture *f, const char *id)
{
	struct job job;
	struct err err;

	assert_ok(job_get(f->db, f->dir, APP, POD, id, &job, &err), err);
	return job;
}

static inline struct job
claim(struct fixture *f, const char *id, const struct proc *runner)
{
	struct job job;
	struct err err;

	assert_ok(job_claim(f->db, id, runner, &job, &err), err);
	return job;
}

static const struct job_attempt stream_attempt = {
	METHOD_STREAM, OUTCOME_RUNNING, "",
};
static const struct job_plan stream_plan = {
	.used_method = METHOD_STREAM, .attempts = &stream_attempt,
	.attempts_len = 1, .predicted_bytes = 80000000,
	.predicted_peak_bytes = 170000000, .predicted_freeze_ms = 900,
};

static inline void
set_target(struct fixture *f, const char *id)
{
	const struct job_target target = {
		.pid = 7, .node = "v20.20.2", .memory_bytes = 50000000,
	};
	struct err err;

	assert_ok(job_set_target(f->db, id, &target, &stream_plan, &err), err);
}

static inline void
set_measured(struct fixture *f, const char *id)
{
	const struct job_measure measure = {
		.freeze_ms = 120, .memory_peak_bytes = 150000000,
		.memory_after_bytes = 60000000,
	};
	struct err err;

	assert_ok(job_set_measured(f->db, id, &measure, &err), err);
}

static inline void
path_of(const struct fixture *f, const char *id, const char *extension,
    char out[400])
{
	(void)snprintf(out, 400, "%s/artifacts/%.36s.%s", f->dir, id,
	    extension);
}

static inline int
is_there(const struct fixture *f, const char *id, const char *extension)
{
	struct stat st;
	char path[400];

	path_of(f, id, extension, path);
	return lstat(path, &st) == 0;
}

static inline void
put_file(const struct fixture *f, const char *id, const char *extension)
{
	char path[400];
	struct err err;

	path_of(f, id, extension, path);
	assert_ok(file_replace(path, "{}", 2, 0600, &err), err);
}

static const struct artifact_form identity_form = {
	.coding = ARTIFACT_IDENTITY,
};

/* Write the file of a running job, of so many bytes, and let it succeed. */
static inline void
succeed_with(struct fixture *f, struct db *db, const char *id,
    const char *extension, size_t len)
{
	struct job_result result = {.keep_ms = KEEP_MS};
	struct artifact *artifact = NULL;
	struct artifact_sum sum;
	char *bytes = malloc(len);
	struct err err;

	assert_non_null(bytes);
	memset(bytes, 'x', len);
	memcpy(bytes, "{}", 2);
	assert_ok(artifact_create(f->dir, id, extension, &identity_form,
	    &artifact, &err), err);
	assert_ok(artifact_write(artifact, bytes, len, &err), err);
	assert_ok(artifact_commit(&artifact, &sum, &err), err);
	free(bytes);
	result.sum = &sum;
	assert_ok(job_succeed(db, f->dir, id, &result, &err), err);
}

static inline void
succeed(struct fixture *f, struct db *db, const char *id)
{
	succeed_with(f, db, id, "heapsnapshot", 2);
}

/* A heap snapshot that was taken. */
static inline struct job
create_succeeded(struct fixture *f)
{
	struct job job = create(f, JOB_HEAP_SNAPSHOT);

	(void)claim(f, job.id, &f->self);
	set_target(f, job.id);
	succeed(f, f->db, job.id);
	return get(f, job.id);
}

/* One whose file has so many bytes. */
static inline struct job
create_stored(struct fixture *f, enum job_kind kind, size_t len)
{
	struct job job = create(f, kind);

	(void)claim(f, job.id, &f->self);
	set_target(f, job.id);
	succeed_with(f, f->db, job.id, job_extension(kind), len);
	return get(f, job.id);
}

/* An accepted one that runs in this process. */
static inline struct job
create_running(struct fixture *f, enum job_kind kind)
{
	struct job job = create_accepted(f, kind);

	return claim(f, job.id, &f->self);
}

/* The number n of a row, of a statement that is a constant; :id is id where
 * that is not NULL. */
static inline int64_t
number_of(struct fixture *f, const char *sql, const char *id)
{
	struct db_stmt *stmt;
	struct err err;
	int64_t n;

	assert_ok(db_prepare(f->db, sql, &stmt, &err), err);
	if (id != NULL)
		assert_ok(db_bind_text(stmt, ":id", id, &err), err);
	assert_int_equal(db_step(stmt, &err), 1);
	n = db_column_int(stmt, "n", JOB_UNKNOWN);
	db_done(stmt);
	return n;
}

static inline bool
has_row(struct fixture *f, const char *id)
{
	static const char COUNT[] =
	    "SELECT count(*) AS n FROM jobs WHERE id = :id";

	return number_of(f, COUNT, id) == 1;
}

static inline struct db *
open_other(const struct fixture *f)
{
	struct db *db = NULL;
	struct err err;

	assert_ok(job_open_db(f->dir, &db, &err), err);
	return db;
}

struct seen {
	char ids[200][UUID_MAX];
	size_t len;
	size_t stop_at;
};

static inline int
collect(void *ctx, const struct job *job, struct err *err)
{
	struct seen *seen = ctx;

	if (seen->len == seen->stop_at)
		return err_set(err, ERR_TOO_LARGE, "enough");
	memcpy(seen->ids[seen->len++], job->id, UUID_MAX);
	return 0;
}

static inline int
count_one(void *ctx, const struct job *job, struct err *err)
{
	int *n = ctx;

	(void)job;
	(void)err;
	++*n;
	return 0;
}

static inline struct job_filter
any_job(void)
{
	struct job_filter filter = {
		.app = APP, .pod = POD, .kind = -1, .state = -1,
		.limit = JOB_LIST_MAX,
	};

	return filter;
}

static inline int
listed(struct fixture *f)
{
	struct job_filter filter = any_job();
	struct err err;
	bool more;
	int n = 0;

	assert_ok(job_list(f->db, f->dir, &filter, count_one, &n, &more, &err),
	    err);
	assert_false(more);
	return n;
}

static inline int
matching(struct fixture *f, const char *app, int kind, int state)
{
	struct job_filter filter = {
		.app = app, .pod = POD, .kind = kind, .state = state,
		.limit = 100,
	};
	struct err err;
	bool more;
	int n = 0;

	assert_ok(job_list(f->db, f->dir, &filter, count_one, &n, &more, &err),
	    err);
	return n;
}

static inline void
assert_interrupted(const struct fixture *f, const struct job *job,
    const char *want)
{
	assert_int_equal(job->state, JOB_FAILED);
	assert_int_equal(job->error.code, ERR_INTERRUPTED);
	if (strstr(job->error.msg, want) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", job->error.msg, want);
	assert_non_null(strstr(job->error.msg, "take it again"));
	assert_int_equal(job->phase, PHASE_NONE);
	assert_true(job->removed_at_ms != JOB_UNKNOWN);
	assert_false(job_has_artifact(job));
	assert_false(is_there(f, job->id, "part"));
	assert_false(is_there(f, job->id, "heapsnapshot"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
