#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "test.h"

#include "db.h"

#define PROCESSES 8
#define THREADS 4

static const char MAKE_TABLE[] =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE,"
    " n INTEGER CHECK (n <> 13)) STRICT;"
    "CREATE TRIGGER t_stays BEFORE DELETE ON t BEGIN"
    " SELECT RAISE(ABORT, 'rows of t stay'); END;";
static const char INSERT[] = "INSERT INTO t (name, n) VALUES (:name, :n)";
static const char BY_NAME[] = "SELECT * FROM t WHERE name IS :name";
static const char COUNT[] = "SELECT count(*) AS n FROM t";

/* Of each real call that may fail once: how many still go well; -1: all. */
static int allocations_left = -1;

void *__wrap_calloc(size_t n, size_t size);
void *__real_calloc(size_t n, size_t size);
char *__wrap_strdup(const char *s);
char *__real_strdup(const char *s);
int __wrap_sqlite3_busy_timeout(sqlite3 *raw, int ms);
int __real_sqlite3_busy_timeout(sqlite3 *raw, int ms);

static int
fails_now(void)
{
	return allocations_left >= 0 && allocations_left-- == 0;
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails_now() ? NULL : __real_calloc(n, size);
}

char *
__wrap_strdup(const char *s)
{
	return fails_now() ? NULL : __real_strdup(s);
}

/* 0: as asked for.  Else so that a test need not wait for DB_BUSY_MS. */
static int busy_ms;

int
__wrap_sqlite3_busy_timeout(sqlite3 *raw, int ms)
{
	assert_int_equal(ms, DB_BUSY_MS);
	return __real_sqlite3_busy_timeout(raw, busy_ms != 0 ? busy_ms : ms);
}

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
	assert_ok(db_exec(f->db, MAKE_TABLE, &err), err);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	busy_ms = 0;
	db_close(&f->db);
	test_remove_dir(f->dir);
	free(f);
	return 0;
}

static void
put(struct db *db, const char *name, int64_t n)
{
	struct db_stmt *stmt;
	struct err err;

	assert_ok(db_prepare(db, INSERT, &stmt, &err), err);
	assert_ok(db_bind_text(stmt, ":name", name, &err), err);
	assert_ok(db_bind_int(stmt, ":n", n, &err), err);
	assert_ok(db_run(stmt, &err), err);
}

static int64_t
count(struct db *db)
{
	struct db_stmt *stmt;
	struct err err;
	int64_t n;

	assert_ok(db_prepare(db, COUNT, &stmt, &err), err);
	assert_int_equal(db_step(stmt, &err), 1);
	n = db_column_int(stmt, "n", -1);
	assert_int_equal(db_step(stmt, &err), 0);
	db_done(stmt);
	return n;
}

static int64_t
pragma(struct db *db, const char *sql, const char *column)
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

static mode_t
mode_of(const char *dir, const char *name)
{
	char path[600];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void
files_are_private(void **state)
{
	struct fixture *f = *state;
	mode_t old = umask(0);
	struct db *db = NULL;
	char path[300];
	struct err err;

	(void)snprintf(path, sizeof(path), "%s/y.db", f->dir);
	assert_ok(db_open(path, &db, &err), err);
	assert_ok(db_exec(db, MAKE_TABLE, &err), err);
	(void)umask(old);
	assert_int_equal(mode_of(f->dir, "y.db"), 0600);
	assert_int_equal(mode_of(f->dir, "y.db-wal"), 0600);
	assert_int_equal(mode_of(f->dir, "y.db-shm"), 0600);
	db_close(&db);
	assert_null(db);
	db_close(&db);
	db_close(NULL);
}

static void
settings_are_as_promised(void **state)
{
	static const char MODE[] = "PRAGMA journal_mode";
	struct fixture *f = *state;
	struct db_stmt *stmt;
	struct err err;

	assert_ok(db_prepare(f->db, MODE, &stmt, &err), err);
	assert_int_equal(db_step(stmt, &err), 1);
	assert_string_equal(db_column_text(stmt, "journal_mode"), "wal");
	db_done(stmt);
	assert_int_equal(pragma(f->db, "PRAGMA synchronous", "synchronous"), 1);
	assert_int_equal(
	    pragma(f->db, "PRAGMA foreign_keys", "foreign_keys"), 1);
	assert_int_equal(
	    pragma(f->db, "PRAGMA cache_size", "cache_size"), -256);
	/* 2: MEMORY */
	assert_int_equal(
	    pragma(f->db, "PRAGMA temp_store", "temp_store"), 2);
	assert_int_equal(
	    pragma(f->db, "PRAGMA trusted_schema", "trusted_schema"), 0);
	assert_int_equal(
	    pragma(f->db, "PRAGMA cell_size_check", "cell_size_check"), 1);
	/* Defensive: the schema cannot be written as a table. */
	assert_err(db_exec(f->db, "PRAGMA writable_schema = ON;"
	    "UPDATE sqlite_schema SET sql = ''", &err), err, ERR_STORE,
	    "may not be modified");
}

static void
commits_may_wait_for_the_disk(void **state)
{
	struct fixture *f = *state;
	struct err err;

	assert_ok(db_set_durable(f->db, true, &err), err);
	assert_int_equal(pragma(f->db, "PRAGMA synchronous", "synchronous"), 2);
	put(f->db, "durable", 1);
	assert_ok(db_set_durable(f->db, false, &err), err);
	/* Another statement, so that it is asked anew. */
	assert_int_equal(pragma(f->db, "PRAGMA main.synchronous",
	    "synchronous"), 1);
	assert_int_equal(count(f->db), 1);
}

static void
values_come_back_as_they_were(void **state)
{
	static const char *const names[] = {
		"", "plain", "'; DROP TABLE t; --", "\" OR 1=1", "%s%n",
		"\xc3\xa9 \xf0\x9f\x98\x80", "\n\t\x01", ":name",
	};
	static const int64_t numbers[] = {
		0, -1, INT64_MAX, INT64_MIN, 1, 2, 3, 4,
	};
	struct fixture *f = *state;
	struct db_stmt *stmt;
	struct err err;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put(f->db, names[i], numbers[i]);
	assert_int_equal(count(f->db), sizeof(names) / sizeof(names[0]));
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_ok(db_prepare(f->db, BY_NAME, &stmt, &err), err);
		assert_ok(db_bind_text(stmt, ":name", names[i], &err), err);
		assert_int_equal(db_step(stmt, &err), 1);
		assert_string_equal(db_column_text(stmt, "name"), names[i]);
		assert_true(db_column_int(stmt, "n", 7) == numbers[i]);
		assert_int_equal(db_step(stmt, &err), 0);
		db_done(stmt);
	}
}

static void
null_is_its_own_value(void **state)
{
	struct fixture *f = *state;
	struct db_stmt *stmt, *again;
	struct err err;

	assert_ok(db_prepare(f->db, INSERT, &stmt, &err), err);
	assert_ok(db_bind_text(stmt, ":name", NULL, &err), err);
	assert_ok(db_bind_null(stmt, ":n", &err), err);
	assert_ok(db_run(stmt, &err), err);
	assert_ok(db_prepare(f->db, BY_NAME, &stmt, &err), err);
	assert_ok(db_bind_text(stmt, ":name", "x", &err), err);
	/* A statement is found again, and has forgotten what was bound. */
	assert_ok(db_prepare(f->db, BY_NAME, &again, &err), err);
	assert_ptr_equal(stmt, again);
	assert_int_equal(db_step(stmt, &err), 1);
	assert_null(db_column_text(stmt, "name"));
	assert_true(db_column_is_null(stmt, "n"));
	assert_false(db_column_is_null(stmt, "id"));
	assert_int_equal(db_column_int(stmt, "n", -7), -7);
	db_done(stmt);
}

static void
constraints_are_conflicts(void **state)
{
	struct fixture *f = *state;
	struct db_stmt *stmt;
	struct err err;

	put(f->db, "one", 1);
	assert_ok(db_prepare(f->db, INSERT, &stmt, &err), err);
	assert_ok(db_bind_text(stmt, ":name", "one", &err), err);
	assert_err(db_run(stmt, &err), err, ERR_CONFLICT, "UNIQUE");
	assert_non_null(strstr(err.msg, f->path));
	assert_err(db_exec(f->db, "INSERT INTO t (n) VALUES (13)", &err), err,
	    ERR_CONFLICT, "CHECK");
	assert_err(db_exec(f->db, "DELETE FROM t", &err), err, ERR_CONFLICT,
	    "rows of t stay");
	assert_string_equal(err.msg, "rows of t stay");
	assert_err(db_exec(f->db, "SELECT 1 FROM nowhere", &err), err,
	    ERR_STORE, "nowhere");
	assert_int_equal(count(f->db), 1);
	assert_ok(db_exec(f->db, "UPDATE t SET n = 2", &err), err);
	assert_int_equal(db_changes(f->db), 1);
	assert_ok(db_exec(f->db, "UPDATE t SET n = 2 WHERE n = 9", &err), err);
	assert_int_equal(db_changes(f->db), 0);
}

static void
rollback_undoes(void **state)
{
	struct fixture *f = *state;
	struct err err;

	db_rollback(f->db);
	assert_ok(db_begin(f->db, &err), err);
	put(f->db, "gone", 1);
	db_rollback(f->db);
	db_rollback(f->db);
	assert_int_equal(count(f->db), 0);
	assert_ok(db_begin(f->db, &err), err);
	put(f->db, "stays", 1);
	assert_ok(db_commit(f->db, &err), err);
	db_rollback(f->db);
	assert_int_equal(count(f->db), 1);
}

static void
lock_is_waited_for_and_told(void **state)
{
	struct fixture *f = *state;
	struct db *other = NULL;
	struct err err;

	busy_ms = 20;
	assert_ok(db_open(f->path, &other, &err), err);
	assert_ok(db_begin(f->db, &err), err);
	put(f->db, "mine", 1);
	assert_err(db_begin(other, &err), err, ERR_STORE,
	    "another process held its lock");
	assert_non_null(strstr(err.msg, f->path));
	/* Readers see what was committed, and need not wait. */
	assert_int_equal(count(other), 0);
	assert_ok(db_commit(f->db, &err), err);
	assert_int_equal(count(other), 1);
	assert_ok(db_begin(other, &err), err);
	assert_ok(db_commit(other, &err), err);
	db_close(&other);
}

static void
data_version_tells_of_others(void **state)
{
	struct fixture *f = *state;
	int64_t first = 0, second = 0;
	struct db *other = NULL;
	struct err err;

	assert_ok(db_open(f->path, &other, &err), err);
	assert_ok(db_data_version(f->db, &first, &err), err);
	put(f->db, "own", 1);
	assert_ok(db_data_version(f->db, &second, &err), err);
	assert_int_equal(first, second);
	put(other, "foreign", 1);
	assert_ok(db_data_version(f->db, &second, &err), err);
	assert_int_not_equal(first, second);
	db_close(&other);
}

static void
replaced_file_is_noticed(void **state)
{
	struct fixture *f = *state;
	char moved[310];
	struct db *other = NULL;
	struct err err;

	(void)snprintf(moved, sizeof(moved), "%s.old", f->path);
	assert_true(db_is_current(f->db));
	assert_int_equal(rename(f->path, moved), 0);
	assert_false(db_is_current(f->db));
	/* A new one at the same path is still not ours. */
	assert_int_equal(close(creat(f->path, 0600)), 0);
	assert_false(db_is_current(f->db));
	assert_int_equal(rename(moved, f->path), 0);
	assert_true(db_is_current(f->db));
	assert_int_equal(unlink(f->path), 0);
	assert_false(db_is_current(f->db));
	db_close(&f->db);
	assert_ok(db_open(f->path, &other, &err), err);
	assert_true(db_is_current(other));
	db_close(&other);
}

static void
write_file(const char *path, const char *text, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static void
older_files_are_taken_over(void **state)
{
	struct fixture *f = *state;
	sqlite3 *raw = NULL;
	struct db *db = NULL;
	char path[300];
	struct err err;

	/* Empty: somebody died between making it and setting WAL. */
	(void)snprintf(path, sizeof(path), "%s/empty.db", f->dir);
	write_file(path, "", 0);
	assert_ok(db_open(path, &db, &err), err);
	assert_ok(db_exec(db, MAKE_TABLE, &err), err);
	db_close(&db);
	/* In another journal mode. */
	(void)snprintf(path, sizeof(path), "%s/delete.db", f->dir);
	assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
	assert_int_equal(sqlite3_exec(raw, MAKE_TABLE, NULL, NULL, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_close(raw), SQLITE_OK);
	assert_ok(db_open(path, &db, &err), err);
	put(db, "kept", 1);
	assert_int_equal(mode_of(f->dir, "delete.db-wal"),
	    mode_of(f->dir, "delete.db"));
	db_close(&db);
}

static void
what_cannot_be_opened_is_told(void **state)
{
	struct fixture *f = *state;
	char path[600], garbage[8192];
	struct db *db = NULL;
	struct err err;

	(void)snprintf(path, sizeof(path), "%s/none/x.db", f->dir);
	assert_err(db_open(path, &db, &err), err, ERR_STORE,
	    "No such file or directory");
	assert_non_null(strstr(err.msg, path));
	assert_err(db_open(f->dir, &db, &err), err, ERR_STORE, f->dir);
	(void)snprintf(path, sizeof(path), "%s/garbage.db", f->dir);
	memset(garbage, 'x', sizeof(garbage));
	write_file(path, garbage, sizeof(garbage));
	assert_err(db_open(path, &db, &err), err, ERR_STORE,
	    "not a database; move it away");
	(void)snprintf(path, sizeof(path), "%s/loop.db", f->dir);
	assert_int_equal(symlink("loop.db", path), 0);
	assert_err(db_open(path, &db, &err), err, ERR_STORE, "loop.db");
	assert_null(db);
}

static void
damage_is_an_error(void **state)
{
	struct fixture *f = *state;
	char page[4096];
	struct err err;
	FILE *file;

	put(f->db, "one", 1);
	db_close(&f->db);
	/* The second page holds the first table. */
	memset(page, 0xff, sizeof(page));
	file = fopen(f->path, "r+");
	assert_non_null(file);
	assert_int_equal(fseek(file, 4096, SEEK_SET), 0);
	assert_int_equal(fwrite(page, 1, sizeof(page), file), sizeof(page));
	assert_int_equal(fclose(file), 0);
	assert_ok(db_open(f->path, &f->db, &err), err);
	assert_err(db_exec(f->db, "SELECT sum(n) FROM t", &err), err,
	    ERR_STORE, "malformed; move it away");
}

/* As a user that may not write, which root always may. */
static int
try_as_other(const char *path, const char *want)
{
	struct db *db = NULL;
	struct err err;

	if (geteuid() == 0 && setuid(65534) != 0)
		return 10;
	if (db_open(path, &db, &err) == 0)
		return 11;
	if (err.code != ERR_STORE)
		return 12;
	return strstr(err.msg, want) != NULL &&
	    strstr(err.msg, path) != NULL ? 0 : 13;
}

static void
expect_as_other(const char *path, const char *want)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(try_as_other(path, want));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
missing_rights_are_told(void **state)
{
	struct fixture *f = *state;
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/new.db", f->dir);
	assert_int_equal(chmod(f->dir, 0555), 0);
	expect_as_other(path, "Permission denied");
	assert_int_equal(chmod(f->path, 0444), 0);
	expect_as_other(f->path, "cannot be written; it and its directory "
	    "must be writable for the user that podprof runs as");
	assert_int_equal(chmod(f->path, 0), 0);
	expect_as_other(f->path, "writable for the user");
	assert_int_equal(chmod(f->dir, 0700), 0);
}

static void
full_disk_is_told(void **state)
{
	struct rlimit old, small;
	struct fixture *f = *state;
	struct err err;

	/* SQLite's own idea of full. */
	assert_ok(db_exec(f->db, "PRAGMA max_page_count = 4", &err), err);
	assert_err(db_exec(f->db, "INSERT INTO t (name) VALUES"
	    " (hex(zeroblob(40000)))", &err), err, ERR_SPACE, "full");
	assert_ok(db_exec(f->db, "PRAGMA max_page_count = 4000", &err), err);
	/* The system's: a write that fails. */
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 60000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	err.code = 0;
	(void)!db_exec(f->db, "INSERT INTO t (name) VALUES"
	    " (hex(zeroblob(100000)))", &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(err.code, ERR_SPACE);
	assert_non_null(strstr(err.msg, f->path));
	/* And it goes on once there is room. */
	put(f->db, "after", 1);
	assert_int_equal(count(f->db), 1);
}

static void
no_memory_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct db *db = NULL;
	struct err err;
	int64_t limit;
	int failed = 0, i, rc;

	for (i = 0; i < 2; i++) {
		allocations_left = i;
		rc = db_open(f->path, &db, &err);
		allocations_left = -1;
		assert_int_equal(rc, -1);
		assert_int_equal(err.code, ERR_NOMEM);
		assert_null(db);
	}
	/* SQLite's own allocations, each stage in turn. */
	for (limit = sqlite3_memory_used() + 512; ; limit += 2048) {
		(void)sqlite3_hard_heap_limit64(limit);
		rc = db_open(f->path, &db, &err);
		(void)sqlite3_hard_heap_limit64(0);
		if (rc == 0)
			break;
		failed++;
		assert_int_equal(err.code, ERR_NOMEM);
		assert_null(db);
	}
	assert_true(failed > 5);
	db_close(&db);
	(void)sqlite3_hard_heap_limit64(sqlite3_memory_used() + 4096);
	rc = db_exec(f->db, "SELECT hex(zeroblob(1000000))", &err);
	(void)sqlite3_hard_heap_limit64(0);
	assert_int_equal(rc, -1);
	assert_int_equal(err.code, ERR_NOMEM);
}

/* Open, write one row, close.  0, or -1. */
static int
open_and_write(const char *path)
{
	struct db *db = NULL;
	struct err err;
	int rc;

	rc = db_open(path, &db, &err);
	if (rc == 0)
		rc = db_exec(db, "CREATE TABLE IF NOT EXISTS u (a);"
		    "INSERT INTO u VALUES (1)", &err);
	if (rc != 0)
		(void)fprintf(stderr, "%s\n", err.msg);
	db_close(&db);
	return rc;
}

static void *
thread_main(void *path)
{
	return open_and_write(path) == 0 ? path : NULL;
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
many_may_make_the_file_at_once(void **state)
{
	static const char COUNT_U[] = "SELECT count(*) AS n FROM u";
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
		assert_int_equal(pragma(db, COUNT_U, "n"),
		    PROCESSES * THREADS);
		db_close(&db);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(files_are_private, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(settings_are_as_promised,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(commits_may_wait_for_the_disk,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(values_come_back_as_they_were,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(null_is_its_own_value, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(constraints_are_conflicts,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(rollback_undoes, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(lock_is_waited_for_and_told,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(data_version_tells_of_others,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(replaced_file_is_noticed,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(older_files_are_taken_over,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_opened_is_told,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(damage_is_an_error, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(missing_rights_are_told,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(full_disk_is_told, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(no_memory_is_an_error, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(many_may_make_the_file_at_once,
		    setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
