/*
 * Lists of jobs: newest first, page by page, by every filter, and whatever
 * happens to the rows in between.
 */
#include <sys/wait.h>

#include "store.h"

#define PAGES_JOBS 60

/* In a process of its own, so that our ids do not go on from there. */
static int
order_tomorrow(const struct fixture *f)
{
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT);
	const struct err why = {ERR_TARGET_EXITED, "the app ended"};
	struct db *db = NULL;
	struct job job;
	bool is_new;
	struct err err;

	clock_shift_ms = 86400000;
	if (job_open_db(f->dir, &db, &err) != 0 ||
	    job_create(db, f->dir, &order, &job, &is_new, &err) != 0 ||
	    job_accept(db, job.id, &job, &err) != 0 ||
	    job_fail(db, f->dir, job.id, &why, &err) != 0)
		return 1;
	db_close(&db);
	return 0;
}

static void
newest_is_the_last_made_whatever_the_clock(void **state)
{
	struct job_filter filter = any_job();
	struct seen seen = {.stop_at = 200};
	struct fixture *f = *state;
	struct job last, newest;
	struct err err;
	int status;
	bool more;
	pid_t pid;

	pid = fork();
	if (pid == 0)
		_exit(order_tomorrow(f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* Then the clock was put right. */
	last = create_succeeded(f);
	assert_ok(job_newest_snapshot(f->db, f->dir, APP, POD, &newest, &err),
	    err);
	assert_string_equal(newest.id, last.id);
	assert_ok(job_list(f->db, f->dir, &filter, collect, &seen, &more,
	    &err), err);
	assert_int_equal(seen.len, 2);
	assert_string_equal(seen.ids[0], last.id);
	assert_true(strcmp(seen.ids[1], last.id) > 0);
	filter.after = last.id;
	seen.len = 0;
	assert_ok(job_list(f->db, f->dir, &filter, collect, &seen, &more,
	    &err), err);
	assert_int_equal(seen.len, 1);
	assert_string_not_equal(seen.ids[0], last.id);
}

static void
list_goes_page_by_page(void **state)
{
	struct job_filter filter = any_job();
	struct fixture *f = *state;
	struct seen seen = {.stop_at = 200};
	char ids[25][UUID_MAX];
	struct err err;
	bool more = false;
	size_t i;

	for (i = 0; i < 25; i++)
		memcpy(ids[i], create_accepted(f, JOB_CPU_PROFILE).id,
		    UUID_MAX);
	filter.limit = 10;
	do {
		assert_ok(job_list(f->db, f->dir, &filter, collect, &seen,
		    &more, &err), err);
		assert_int_equal(more, seen.len < 25);
		filter.after = seen.ids[seen.len - 1];
	} while (more);
	assert_int_equal(seen.len, 25);
	for (i = 0; i < 25; i++)
		assert_string_equal(seen.ids[i], ids[24 - i]);
	/* After one that was removed since. */
	assert_ok(db_exec(f->db, "DELETE FROM jobs WHERE seq = 11", &err),
	    err);
	filter.limit = 1;
	filter.after = ids[10];
	seen.len = 0;
	assert_ok(job_list(f->db, f->dir, &filter, collect, &seen, &more,
	    &err), err);
	assert_string_equal(seen.ids[0], ids[9]);
	filter.after = "00000000-0000-7000-8000-000000000000";
	assert_ok(job_list(f->db, f->dir, &filter, collect, &seen, &more,
	    &err), err);
	assert_int_equal(seen.len, 1);
	assert_false(more);
	/* Exactly as many as there are: no more. */
	filter = any_job();
	filter.limit = 24;
	seen.len = 0;
	assert_ok(job_list(f->db, f->dir, &filter, collect, &seen, &more,
	    &err), err);
	assert_int_equal(seen.len, 24);
	assert_false(more);
	/* The visitor may stop it, and it can be begun anew. */
	seen = (struct seen){.stop_at = 3};
	assert_err(job_list(f->db, f->dir, &filter, collect, &seen, &more,
	    &err), err, ERR_TOO_LARGE, "enough");
	assert_int_equal(listed(f), 24);
}

static void
list_is_filtered(void **state)
{
	struct job_order order = order_of(JOB_CPU_PROFILE);
	struct fixture *f = *state;
	struct job job;
	struct err err;

	(void)create_succeeded(f);
	(void)create_accepted(f, JOB_CPU_PROFILE);
	(void)create_accepted(f, JOB_HEAP_SNAPSHOT);
	order.app = "other";
	assert_ok(try_create(f, &order, &job, &err), err);
	assert_int_equal(matching(f, APP, -1, -1), 3);
	assert_int_equal(matching(f, "other", -1, -1), 1);
	assert_int_equal(matching(f, "none", -1, -1), 0);
	assert_int_equal(matching(f, APP, JOB_HEAP_SNAPSHOT, -1), 2);
	assert_int_equal(matching(f, APP, JOB_CPU_PROFILE, -1), 1);
	assert_int_equal(matching(f, APP, -1, JOB_SUCCEEDED), 1);
	assert_int_equal(matching(f, APP, JOB_CPU_PROFILE, JOB_SUCCEEDED), 0);
	assert_int_equal(matching(f, APP, JOB_CPU_PROFILE, JOB_QUEUED), 1);
	assert_int_equal(matching(f, "other", JOB_CPU_PROFILE, JOB_QUEUED), 1);
}

/* What a list must be, by a look at every job by itself. */
static size_t
expected_list(struct fixture *f, char ids[PAGES_JOBS][UUID_MAX],
    const struct job_filter *filter, struct seen *ret_want)
{
	struct job job;
	size_t i;

	memset(ret_want, 0, sizeof(*ret_want));
	for (i = PAGES_JOBS; i-- > 0; ) {
		job = get(f, ids[i]);
		if ((filter->kind < 0 || (int)job.kind == filter->kind) &&
		    (filter->state < 0 || (int)job.state == filter->state) &&
		    (job.accepted_at_ms != JOB_UNKNOWN || !job_is_final(&job)))
			memcpy(ret_want->ids[ret_want->len++], job.id,
			    UUID_MAX);
	}
	return ret_want->len;
}

/* All pages, one after the other. */
static void
read_pages(struct fixture *f, struct job_filter filter, struct seen *ret_seen)
{
	struct err err;
	bool more = true;
	size_t before;

	memset(ret_seen, 0, sizeof(*ret_seen));
	ret_seen->stop_at = 200;
	while (more) {
		before = ret_seen->len;
		assert_ok(job_list(f->db, f->dir, &filter, collect, ret_seen,
		    &more, &err), err);
		assert_true((int64_t)(ret_seen->len - before) <= filter.limit);
		if (more)
			assert_int_equal(ret_seen->len - before, filter.limit);
		filter.after = ret_seen->len == 0 ? NULL :
		    ret_seen->ids[ret_seen->len - 1];
	}
}

/* Jobs of both kinds in every state, told of or not. */
static void
make_motley(struct fixture *f, char ids[PAGES_JOBS][UUID_MAX])
{
	const struct err why = {ERR_TARGET_EXITED, "the app ended"};
	unsigned noise = 1;
	struct job job;
	struct err err;
	size_t i;

	for (i = 0; i < PAGES_JOBS; i++) {
		noise = noise * 1103515245 + 12345;
		job = create(f, noise >> 16 & 1 && i < PAGES_JOBS - 1 ?
		    JOB_CPU_PROFILE : JOB_HEAP_SNAPSHOT);
		memcpy(ids[i], job.id, UUID_MAX);
		if (noise >> 17 & 1)
			assert_ok(job_accept(f->db, job.id, &job, &err), err);
		if (noise >> 18 & 1) {
			(void)claim(f, job.id, &f->self);
			if (noise >> 19 & 1)
				succeed_with(f, f->db, job.id,
				    job_extension(job.kind), 2);
			else if (job.kind == JOB_HEAP_SNAPSHOT)
				assert_ok(job_fail(f->db, f->dir, job.id, &why,
				    &err), err);
		} else if (noise >> 19 & 1) {
			assert_ok(job_cancel(f->db, f->dir, job.id, &job,
			    &err), err);
		} else if (job.kind == JOB_HEAP_SNAPSHOT) {
			assert_ok(job_fail(f->db, f->dir, job.id, &why, &err),
			    err);
		}
	}
}

static void
every_filter_and_page_agree(void **state)
{
	static const int64_t limits[] = {1, 7, PAGES_JOBS, JOB_LIST_MAX};
	struct job_filter filter = any_job();
	struct fixture *f = *state;
	char ids[PAGES_JOBS][UUID_MAX];
	struct seen want, seen;
	int matched = 0;
	size_t i, j;

	make_motley(f, ids);
	for (filter.kind = -1; filter.kind <= JOB_HEAP_PROFILE; filter.kind++)
		for (filter.state = -1; filter.state <= JOB_CANCELED;
		    filter.state++) {
			matched += expected_list(f, ids, &filter, &want) > 1;
			for (i = 0; i < sizeof(limits) / sizeof(limits[0]);
			    i++) {
				filter.limit = limits[i];
				read_pages(f, filter, &seen);
				assert_int_equal(seen.len, want.len);
				for (j = 0; j < seen.len; j++)
					assert_string_equal(seen.ids[j],
					    want.ids[j]);
			}
		}
	/* Nearly all of the 18 lists that can show something do. */
	assert_true(matched >= 14);
}

/* Each page's last job is removed, and a new one is made, before the next
 * page is asked for. */
static void
removed_cursors_lose_nothing(void **state)
{
	static const struct {
		int kind, state;
	} filters[] = {
		{-1, -1}, {JOB_HEAP_SNAPSHOT, -1}, {-1, JOB_SUCCEEDED},
		{JOB_HEAP_SNAPSHOT, JOB_SUCCEEDED},
	};
	struct job_filter filter = any_job();
	struct fixture *f = *state;
	char ids[25][UUID_MAX];
	struct seen seen;
	struct err err;
	size_t i, j;
	bool more;

	filter.limit = 4;
	for (i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		for (j = 0; j < 25; j++)
			memcpy(ids[j], create_succeeded(f).id, UUID_MAX);
		filter.kind = filters[i].kind;
		filter.state = filters[i].state;
		filter.after = NULL;
		seen = (struct seen){.stop_at = 200};
		while (seen.len < 25) {
			assert_ok(job_list(f->db, f->dir, &filter, collect,
			    &seen, &more, &err), err);
			filter.after = seen.ids[seen.len - 1];
			assert_ok(job_remove(f->db, f->dir, filter.after,
			    &err), err);
			(void)create_succeeded(f);
		}
		for (j = 0; j < 25; j++)
			assert_string_equal(seen.ids[j], ids[24 - j]);
	}
}

static void
foreign_cursors_lead_nowhere_else(void **state)
{
	struct job_order order = order_of(JOB_CPU_PROFILE);
	struct job_filter filter = any_job();
	struct fixture *f = *state;
	struct job first = create_succeeded(f), foreign;
	struct seen seen = {.stop_at = 200};
	struct err err;
	bool more;

	order.app = "other";
	assert_ok(try_create(f, &order, &foreign, &err), err);
	(void)create_succeeded(f);
	/* What is older than a job of another app, and of this one. */
	filter.after = foreign.id;
	assert_ok(job_list(f->db, f->dir, &filter, collect, &seen, &more,
	    &err), err);
	assert_int_equal(seen.len, 1);
	assert_string_equal(seen.ids[0], first.id);
	/* Later than all there are: all. */
	filter.after = "ffffffff-ffff-7fff-bfff-ffffffffffff";
	seen.len = 0;
	assert_ok(job_list(f->db, f->dir, &filter, collect, &seen, &more,
	    &err), err);
	assert_int_equal(seen.len, 2);
	filter.after = "' OR '1'='1";
	seen.len = 0;
	assert_ok(job_list(f->db, f->dir, &filter, collect, &seen, &more,
	    &err), err);
	assert_int_equal(seen.len, 0);
	assert_false(more);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(newest_is_the_last_made_whatever_the_clock),
		TEST(list_goes_page_by_page),
		TEST(list_is_filtered),
		TEST(every_filter_and_page_agree),
		TEST(removed_cursors_lose_nothing),
		TEST(foreign_cursors_lead_nowhere_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
