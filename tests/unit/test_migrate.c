#include <pthread.h>
#include <sys/wait.h>

#include "test.h"

#include "migrate.h"

#define PROCESSES 8
#define THREADS 8

/* Steps of this test's own, found by the linker before those of sql/. */
const struct migrate_step migrate_steps[] = {
	{"0001_first", "CREATE TABLE first (a INTEGER) STRICT;"
		       "INSERT INTO first VALUES (1);"},
	{"0002_second", "ALTER TABLE first ADD COLUMN b INTEGER;"
			"UPDATE first SET b = a + 1;"},
	{"0003_third", "INSERT INTO first VALUES (5, 6);"
		       "CREATE TABLE third (c INTEGER) STRICT;"
		       "INSERT INTO third SELECT sum(b) FROM first;"},
};
const unsigned migrate_steps_len = 3;

struct fixture {
	char dir[256];
	char path[300];
	struct db *db;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;

	if (f == NULL)
		return -1;
	test_make_dir(f->dir);
	(void)snprintf(f->path, sizeof(f->path), "%s/x.db", f->dir);
	assert_ok(db_open(f->path, &f->db, &err), err);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	db_close(&f->db);
	test_remove_dir(f->dir);
	free(f);
	return 0;
}

static int64_t
number(struct db *db, const char *sql, const char *column)
{
	struct db_stmt *stmt;
	struct err err;
	int64_t n;

	assert_ok(db_prepare(db, sql, &stmt, &err), err);
	assert_int_equal(db_step(stmt, &err), 1);
	n = db_column_int(stmt, column, -1);
	db_done(stmt);
	return n;
}

static int64_t
version(struct db *db)
{
	static const char SQL[] = "PRAGMA user_version";

	return number(db, SQL, "user_version");
}

static int64_t
sum(struct db *db)
{
	static const char SQL[] = "SELECT c AS n FROM third";

	return number(db, SQL, "n");
}

static int64_t
rows(struct db *db)
{
	static const char SQL[] = "SELECT count(*) AS n FROM first";

	return number(db, SQL, "n");
}

static void
fresh_file_gets_every_step(void **state)
{
	struct fixture *f = *state;
	struct err err;

	assert_ok(migrate_run(f->db, &err), err);
	assert_int_equal(version(f->db), 3);
	assert_int_equal(sum(f->db), 8);
	assert_int_equal(rows(f->db), 2);
}

static void
current_file_is_left_alone(void **state)
{
	struct fixture *f = *state;
	int64_t before = 0, after = 0;
	struct db *other = NULL;
	struct err err;

	assert_ok(migrate_run(f->db, &err), err);
	assert_ok(db_open(f->path, &other, &err), err);
	assert_ok(db_data_version(other, &before, &err), err);
	assert_ok(migrate_run(f->db, &err), err);
	assert_ok(db_data_version(other, &after, &err), err);
	assert_int_equal(before, after);
	assert_int_equal(rows(other), 2);
	/* Nor is the write lock needed for that. */
	assert_ok(db_begin(other, &err), err);
	assert_ok(migrate_run(f->db, &err), err);
	db_rollback(other);
	db_close(&other);
}

static void
only_missing_steps_are_run(void **state)
{
	struct fixture *f = *state;
	struct err err;

	assert_ok(db_exec(f->db, "CREATE TABLE first (a INTEGER) STRICT;"
	    "INSERT INTO first VALUES (10); PRAGMA user_version = 1", &err),
	    err);
	assert_ok(migrate_run(f->db, &err), err);
	assert_int_equal(version(f->db), 3);
	assert_int_equal(sum(f->db), 17);
}

/* A connection that saw the schema before another one changed it. */
static void
steps_of_others_are_seen(void **state)
{
	struct fixture *f = *state;
	struct db *other = NULL;
	struct err err;

	assert_ok(db_exec(f->db, "CREATE TABLE first (a INTEGER) STRICT;"
	    "INSERT INTO first VALUES (1); PRAGMA user_version = 1", &err),
	    err);
	assert_int_equal(rows(f->db), 1);
	assert_ok(db_open(f->path, &other, &err), err);
	assert_ok(db_exec(other, migrate_steps[1].sql, &err), err);
	assert_ok(db_exec(other, "PRAGMA user_version = 2", &err), err);
	db_close(&other);
	assert_ok(migrate_run(f->db, &err), err);
	assert_int_equal(version(f->db), 3);
	assert_int_equal(sum(f->db), 8);
}

static void
failing_step_leaves_no_trace(void **state)
{
	struct fixture *f = *state;
	struct err err;

	/* The third step meets a table that is in its way. */
	assert_ok(db_exec(f->db, "CREATE TABLE third (z)", &err), err);
	assert_err(migrate_run(f->db, &err), err, ERR_STORE,
	    "schema step 0003_third: ");
	assert_non_null(strstr(err.msg, "table third already exists"));
	assert_int_equal(version(f->db), 2);
	assert_int_equal(rows(f->db), 1);
	/* Once it is away, the rest follows. */
	assert_ok(db_exec(f->db, "DROP TABLE third", &err), err);
	assert_ok(migrate_run(f->db, &err), err);
	assert_int_equal(sum(f->db), 8);
}

static void
foreign_versions_are_refused(void **state)
{
	struct fixture *f = *state;
	struct err err;

	assert_ok(db_exec(f->db, "PRAGMA user_version = 4", &err), err);
	assert_err(migrate_run(f->db, &err), err, ERR_STORE,
	    "schema version 4, this podprof knows versions up to 3");
	assert_int_equal(version(f->db), 4);
	assert_ok(db_exec(f->db, "PRAGMA user_version = -1", &err), err);
	assert_err(migrate_run(f->db, &err), err, ERR_STORE, "version -1");
	assert_int_equal(version(f->db), -1);
}

static void
looking_changes_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned seen = 99;
	struct err err;

	assert_ok(migrate_look(f->db, &seen, &err), err);
	assert_int_equal(seen, 0);
	assert_ok(migrate_run(f->db, &err), err);
	assert_ok(db_exec(f->db, "PRAGMA user_version = 2", &err), err);
	assert_ok(migrate_look(f->db, &seen, &err), err);
	assert_int_equal(seen, 2);
	assert_int_equal(version(f->db), 2);
	assert_ok(db_exec(f->db, "PRAGMA user_version = 4", &err), err);
	assert_err(migrate_look(f->db, &seen, &err), err, ERR_STORE,
	    "schema version 4, this podprof knows versions up to 3");
	assert_int_equal(seen, 2);
}

static void *
thread_main(void *path)
{
	struct db *db = NULL;
	struct err err;
	void *result = path;

	if (db_open(path, &db, &err) != 0 || migrate_run(db, &err) != 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		result = NULL;
	}
	db_close(&db);
	return result;
}

static int
threads_at_once(char *path)
{
	pthread_t threads[THREADS];
	void *result;
	int i, rc = 0;

	for (i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, thread_main, path) != 0)
			return 1;
	for (i = 0; i < THREADS; i++)
		if (pthread_join(threads[i], &result) != 0 || result == NULL)
			rc = 1;
	return rc;
}

static void
many_at_once_run_each_step_once(void **state)
{
	struct fixture *f = *state;
	int gate[2], i, round, status;
	pid_t pids[PROCESSES];
	struct db *db = NULL;
	char path[300], byte;
	struct err err;

	for (round = 0; round < 10; round++) {
		(void)snprintf(path, sizeof(path), "%s/r%d.db", f->dir, round);
		assert_int_equal(pipe(gate), 0);
		for (i = 0; i < PROCESSES; i++) {
			pids[i] = fork();
			if (pids[i] == 0) {
				(void)close(gate[1]);
				(void)!read(gate[0], &byte, 1);
				_exit(threads_at_once(path));
			}
			assert_true(pids[i] > 0);
		}
		(void)close(gate[0]);
		(void)close(gate[1]);
		for (i = 0; i < PROCESSES; i++) {
			assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
			assert_int_equal(status, 0);
		}
		assert_ok(db_open(path, &db, &err), err);
		assert_int_equal(version(db), 3);
		assert_int_equal(sum(db), 8);
		assert_int_equal(rows(db), 2);
		db_close(&db);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(fresh_file_gets_every_step,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(current_file_is_left_alone,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(only_missing_steps_are_run,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(steps_of_others_are_seen,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(failing_step_leaves_no_trace,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(foreign_versions_are_refused,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(looking_changes_nothing, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(
		    many_at_once_run_each_step_once, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
