/*
 * Idempotency keys: an order that comes again is the same job, whatever has
 * become of it, and no other order is taken for it.
 */
#include <sys/wait.h>

#include "store.h"

#define KEY "order-1"
#define SHA_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define PROCESSES 8

static struct job_order
keyed(enum job_kind kind)
{
	struct job_order order = order_of(kind);

	order.key = KEY;
	order.key_sha256 = SHA_A;
	return order;
}

/* The order makes a job, or is the one that has this id. */
static struct job
expect_new(struct fixture *f, const struct job_order *order)
{
	bool is_new = false;
	struct job job;
	struct err err;

	assert_ok(job_create(f->db, f->dir, order, &job, &is_new, &err), err);
	assert_true(is_new);
	return job;
}

static struct job
expect_same(struct fixture *f, const struct job_order *order, const char *id)
{
	bool is_new = true;
	struct job job;
	struct err err;

	assert_ok(job_create(f->db, f->dir, order, &job, &is_new, &err), err);
	assert_false(is_new);
	assert_string_equal(job.id, id);
	return job;
}

static void
expect_reused(struct fixture *f, const struct job_order *order, const char *id)
{
	struct job job = {.id = "untouched"};
	bool is_new = false;
	struct err err;

	assert_err(job_create(f->db, f->dir, order, &job, &is_new, &err), err,
	    ERR_KEY_REUSED, "the Idempotency-Key was used for job");
	assert_non_null(strstr(err.msg, id));
	assert_string_equal(job.id, "untouched");
	assert_false(is_new);
}

static void
same_order_is_the_same_job_in_every_state(void **state)
{
	struct job_order order = keyed(JOB_HEAP_SNAPSHOT), other;
	struct fixture *f = *state;
	struct job job = expect_new(f, &order), again;
	struct err err;

	assert_string_equal(job.key_sha256, SHA_A);
	other = order;
	other.key_sha256 = SHA_B;
	again = expect_same(f, &order, job.id);
	assert_int_equal(again.state, JOB_QUEUED);
	expect_reused(f, &other, job.id);
	assert_ok(job_accept(f->db, job.id, &again, &err), err);
	(void)claim(f, job.id, &f->self);
	again = expect_same(f, &order, job.id);
	assert_int_equal(again.state, JOB_RUNNING);
	assert_int_equal(again.phase, PHASE_PREFLIGHT);
	expect_reused(f, &other, job.id);
	set_target(f, job.id);
	succeed(f, f->db, job.id);
	again = expect_same(f, &order, job.id);
	assert_int_equal(again.state, JOB_SUCCEEDED);
	expect_reused(f, &other, job.id);
	/* Although another one is in the way of each new one. */
	(void)create(f, JOB_HEAP_SNAPSHOT);
	(void)expect_same(f, &order, job.id);
	expect_reused(f, &other, job.id);
	assert_int_equal(listed(f), 2);
}

static void
failed_and_canceled_orders_are_told_again(void **state)
{
	const struct err why = {ERR_TARGET_EXITED, "the app ended"};
	struct job_order order = keyed(JOB_HEAP_SNAPSHOT);
	struct fixture *f = *state;
	struct job job = expect_new(f, &order), canceled;
	struct err err;

	assert_ok(job_accept(f->db, job.id, &job, &err), err);
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	job = expect_same(f, &order, job.id);
	assert_int_equal(job.error.code, ERR_TARGET_EXITED);
	order.key = "order-2";
	job = expect_new(f, &order);
	assert_ok(job_accept(f->db, job.id, &job, &err), err);
	assert_ok(job_cancel(f->db, f->dir, job.id, &canceled, &err), err);
	job = expect_same(f, &order, job.id);
	assert_int_equal(job.state, JOB_CANCELED);
}

/* One who was refused may try again, even with other words. */
static void
key_of_a_refused_order_is_free(void **state)
{
	const struct err why = {ERR_TARGET_UNREACHABLE, "nothing answers"};
	struct job_order order = keyed(JOB_HEAP_SNAPSHOT);
	struct fixture *f = *state;
	struct job refused = expect_new(f, &order), job;
	struct err err;

	assert_ok(job_fail(f->db, f->dir, refused.id, &why, &err), err);
	/* Others may be about to read why. */
	assert_ok(job_discard(f->db, refused.id, &err), err);
	assert_string_equal(get(f, refused.id).error.msg, "nothing answers");
	job = expect_new(f, &order);
	assert_string_not_equal(job.id, refused.id);
	assert_false(has_row(f, refused.id));
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	order.key_sha256 = SHA_B;
	job = expect_new(f, &order);
	assert_string_equal(job.key_sha256, SHA_B);
	order.key_sha256 = SHA_A;
	expect_reused(f, &order, job.id);
}

static void
refused_order_is_swept_with_its_key(void **state)
{
	const struct err why = {ERR_TARGET_UNREACHABLE, "nothing answers"};
	struct job_order order = keyed(JOB_HEAP_SNAPSHOT);
	struct fixture *f = *state;
	struct job refused;
	struct err err;

	clock_stopped_ms = clock_utc_ms();
	refused = expect_new(f, &order);
	assert_ok(job_fail(f->db, f->dir, refused.id, &why, &err), err);
	clock_shift_ms = JOB_UNACCEPTED_MS - 1000;
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_true(has_row(f, refused.id));
	clock_shift_ms = JOB_UNACCEPTED_MS + 1000;
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_false(has_row(f, refused.id));
	(void)expect_new(f, &order);
}

/* Canceled before anybody was told, and still in V8's hands. */
static void
key_that_holds_the_target_counts(void **state)
{
	struct job_order order = keyed(JOB_HEAP_SNAPSHOT);
	struct fixture *f = *state;
	struct job job = expect_new(f, &order), canceled;
	struct err err;

	(void)claim(f, job.id, &f->self);
	assert_ok(job_cancel(f->db, f->dir, job.id, &canceled, &err), err);
	assert_true(canceled.holds_target);
	assert_int_equal(canceled.accepted_at_ms, JOB_UNKNOWN);
	(void)expect_same(f, &order, job.id);
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	assert_string_not_equal(expect_new(f, &order).id, job.id);
}

static void
order_that_is_in_nobodys_way_is_made_later(void **state)
{
	const struct err why = {ERR_TARGET_UNREACHABLE, "nothing answers"};
	struct job_order order = keyed(JOB_HEAP_SNAPSHOT);
	struct fixture *f = *state;
	struct job refused = expect_new(f, &order), blocking, job;
	struct err err;

	assert_ok(job_fail(f->db, f->dir, refused.id, &why, &err), err);
	blocking = create(f, JOB_HEAP_SNAPSHOT);
	assert_err(try_create(f, &order, &job, &err), err, ERR_CONFLICT,
	    blocking.id);
	assert_string_equal(job.id, blocking.id);
	/* Nothing has happened to whom it would have replaced. */
	assert_string_equal(get(f, refused.id).error.msg, "nothing answers");
	succeed(f, f->db, claim(f, blocking.id, &f->self).id);
	(void)expect_new(f, &order);
	assert_false(has_row(f, refused.id));
}

static void
keys_are_of_one_app_and_pod(void **state)
{
	struct job_order order = keyed(JOB_CPU_PROFILE);
	struct fixture *f = *state;
	struct job job = expect_new(f, &order);
	struct err err;

	order.app = "other";
	(void)expect_new(f, &order);
	order.app = APP;
	order.pod = "other-pod";
	(void)expect_new(f, &order);
	order.pod = POD;
	order.key = "ORDER-1";
	(void)expect_new(f, &order);
	order.key = KEY;
	(void)expect_same(f, &order, job.id);
	/* Without a key each is one of its own. */
	order.key = order.key_sha256 = NULL;
	(void)expect_new(f, &order);
	assert_string_equal(expect_new(f, &order).key_sha256, "");
	/* And a key is free again once its job was removed. */
	order = keyed(JOB_CPU_PROFILE);
	(void)claim(f, job.id, &f->self);
	succeed_with(f, f->db, job.id, "cpuprofile", 2);
	assert_ok(job_remove(f->db, f->dir, job.id, &err), err);
	(void)expect_new(f, &order);
}

static void
same_order_takes_no_place(void **state)
{
	struct job_order order = keyed(JOB_CPU_PROFILE);
	struct fixture *f = *state;
	struct job job, other;
	struct err err;
	int i;

	order.profiles_max = 1;
	job = expect_new(f, &order);
	for (i = 0; i < 3; i++)
		(void)expect_same(f, &order, job.id);
	order.key = "order-2";
	assert_err(try_create(f, &order, &other, &err), err, ERR_LIMIT,
	    "1 profiles");
	assert_int_equal(listed(f), 1);
}

static void
keys_are_values(void **state)
{
	static const char evil[] = "x' OR '1'='1";
	struct job_order order = keyed(JOB_CPU_PROFILE);
	struct fixture *f = *state;
	char key[JOB_KEY_MAX + 2];
	struct job job, other;
	struct err err;

	memset(key, '~', sizeof(key));
	key[JOB_KEY_MAX] = '\0';
	order.key = key;
	job = expect_new(f, &order);
	(void)expect_same(f, &order, job.id);
	key[JOB_KEY_MAX - 1] = '\0';
	(void)expect_new(f, &order);
	order.key = evil;
	(void)expect_new(f, &order);
	/* Whoever lets a longer one through is stopped by the table. */
	memset(key, '~', sizeof(key));
	key[JOB_KEY_MAX + 1] = '\0';
	order.key = key;
	assert_err(try_create(f, &order, &other, &err), err, ERR_CONFLICT,
	    "CHECK");
}

/* Exit status: 1 if the job was made here, 0 if it was there. */
static int
order_once(const struct fixture *f, int gate, char ret_id[UUID_MAX])
{
	struct job_order order = keyed(JOB_HEAP_SNAPSHOT);
	struct db *db = NULL;
	bool is_new = false;
	struct job job;
	struct err err;
	char byte;

	if (job_open_db(f->dir, &db, &err) != 0)
		return 99;
	(void)!read(gate, &byte, 1);
	if (job_create(db, f->dir, &order, &job, &is_new, &err) != 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 99;
	}
	db_close(&db);
	memcpy(ret_id, job.id, UUID_MAX);
	return is_new;
}

static void
one_of_many_makes_the_job(void **state)
{
	struct fixture *f = *state;
	int gate[2], ids[2], i, status, made = 0;
	char id[UUID_MAX], first[UUID_MAX];
	pid_t pids[PROCESSES];

	db_close(&f->db);
	assert_int_equal(pipe(gate), 0);
	assert_int_equal(pipe(ids), 0);
	for (i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			(void)close(gate[1]);
			status = order_once(f, gate[0], id);
			(void)!write(ids[1], id, UUID_MAX);
			_exit(status);
		}
		assert_true(pids[i] > 0);
	}
	(void)close(gate[0]);
	(void)close(gate[1]);
	(void)close(ids[1]);
	for (i = 0; i < PROCESSES; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		assert_int_not_equal(WEXITSTATUS(status), 99);
		made += WEXITSTATUS(status);
		assert_int_equal(read(ids[0], i == 0 ? first : id, UUID_MAX),
		    UUID_MAX);
		if (i > 0)
			assert_string_equal(id, first);
	}
	(void)close(ids[0]);
	assert_int_equal(made, 1);
	f->db = open_other(f);
	assert_int_equal(listed(f), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(same_order_is_the_same_job_in_every_state),
		TEST(failed_and_canceled_orders_are_told_again),
		TEST(key_of_a_refused_order_is_free),
		TEST(refused_order_is_swept_with_its_key),
		TEST(key_that_holds_the_target_counts),
		TEST(order_that_is_in_nobodys_way_is_made_later),
		TEST(keys_are_of_one_app_and_pod),
		TEST(same_order_takes_no_place),
		TEST(keys_are_values),
		TEST(one_of_many_makes_the_job),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
