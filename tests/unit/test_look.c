/*
 * What is known of an app: who finds out, who shares the answer, and its form.
 */
#include <sys/wait.h>

#include "store.h"

#include "look.h"

#define PROCESSES 8

/* How many members JSON still takes before one fails; -1: all. */
static int strings_left = -1;
static bool is_parse_out_of_memory;

int __wrap_json_put_string(struct json *object, const char *key,
    const char *value);
int __real_json_put_string(struct json *object, const char *key,
    const char *value);
int __wrap_json_parse(const char *text, size_t len, struct json **ret_json,
    struct err *err);
int __real_json_parse(const char *text, size_t len, struct json **ret_json,
    struct err *err);

int
__wrap_json_put_string(struct json *object, const char *key, const char *value)
{
	if (strings_left >= 0 && strings_left-- == 0)
		return -1;
	return __real_json_put_string(object, key, value);
}

int
__wrap_json_parse(const char *text, size_t len, struct json **ret_json,
    struct err *err)
{
	if (is_parse_out_of_memory)
		return err_set(err, ERR_NOMEM, "no memory to parse");
	return __real_json_parse(text, len, ret_json, err);
}

/* A second is not long on a busy machine. */
static int
setup_stopped(void **state)
{
	int rc = setup(state);

	clock_stopped_ms = clock_utc_ms();
	return rc;
}

static struct look
look_of_nothing(void)
{
	struct look look;

	memset(&look, 0, sizeof(look));
	(void)str_copy(look.address, sizeof(look.address), "127.0.0.1:9229");
	look.facts.pid = look.facts.rss_bytes = look.facts.rss_peak_bytes = -1;
	look.facts.heap_used_bytes = look.facts.heap_large_bytes = -1;
	look.facts.limit_bytes = look.facts.available_bytes = -1;
	look.predict = (struct predict){-1, -1, -1, -1};
	return look;
}

static struct look
look_of_all(void)
{
	struct look look = look_of_nothing();

	look.is_reachable = true;
	look.is_activated = true;
	look.facts.pid = 7;
	(void)str_copy(look.facts.node, sizeof(look.facts.node), "v20.20.2");
	look.facts.rss_bytes = 100;
	look.facts.heap_used_bytes = 60;
	look.facts.limit_bytes = 1000;
	look.facts.available_bytes = 0;
	look.methods[0].method = METHOD_FORK;
	(void)err_set(&look.methods[0].why, ERR_TARGET_REFUSED,
	    "the app runs with --no-addons");
	look.methods[1].method = METHOD_DIRECT;
	look.methods[1].is_usable = true;
	look.methods[2].method = METHOD_STREAM;
	look.methods[2].is_usable = true;
	look.methods_len = LOOK_METHODS;
	look.predict = (struct predict){300, 200, 90, 0};
	look.knows_workers = true;
	return look;
}

static void
begin(struct db *db, const char *app, bool is_ours, int64_t revision)
{
	int64_t got_revision = -7;
	bool got_ours = !is_ours;
	struct err err;

	assert_ok(look_begin(db, app, POD, &got_ours, &got_revision, &err),
	    err);
	assert_int_equal(got_ours, is_ours);
	assert_int_equal(got_revision, revision);
}

static void
put(struct db *db, const char *app, const struct look *look)
{
	struct err err;

	assert_ok(look_put(db, app, POD, look, &err), err);
}

static int64_t
revision_of(struct db *db, const char *app)
{
	int64_t revision = 0;
	struct err err;

	assert_ok(look_revision(db, app, POD, &revision, &err), err);
	return revision;
}

/* The answer as text. */
#define TEXT_MAX 32768
static void
get_text(struct db *db, const char *app, char out[TEXT_MAX])
{
	struct json *object = NULL;
	struct buf text;
	struct err err;

	buf_init(&text, TEXT_MAX - 1);
	assert_ok(look_get(db, app, POD, LOOK_FRESH_MS, &object, &err), err);
	assert_ok(json_print(object, &text, &err), err);
	(void)str_copy(out, TEXT_MAX, buf_str(&text));
	buf_fini(&text);
	json_free(&object);
}

static void
one_looks_and_all_are_told(void **state)
{
	const struct look look = look_of_all();
	struct fixture *f = *state;
	struct json *object = NULL;
	int64_t revision = 5;
	char text[TEXT_MAX];
	struct err err;

	assert_err(look_revision(f->db, APP, POD, &revision, &err), err,
	    ERR_NOT_FOUND, APP);
	assert_int_equal(revision, 5);
	begin(f->db, APP, true, 1);
	begin(f->db, APP, false, 1);
	assert_int_equal(revision_of(f->db, APP), 1);
	assert_err(look_get(f->db, APP, POD, LOOK_FRESH_MS, &object, &err),
	    err, ERR_NOT_FOUND, POD);
	assert_null(object);
	put(f->db, APP, &look);
	assert_int_equal(revision_of(f->db, APP), 2);
	begin(f->db, APP, false, 0);
	get_text(f->db, APP, text);
	assert_non_null(strstr(text, "\"pid\":7,"));
	clock_shift_ms = LOOK_FRESH_MS - 1;
	begin(f->db, APP, false, 0);
	/* The answer is a second old, and so is the order. */
	clock_shift_ms = LOOK_FRESH_MS;
	assert_err(look_get(f->db, APP, POD, LOOK_FRESH_MS, &object, &err),
	    err, ERR_NOT_FOUND, "ask again");
	assert_ok(look_get(f->db, APP, POD, 2 * LOOK_FRESH_MS, &object, &err),
	    err);
	json_free(&object);
	begin(f->db, APP, true, 2);
	begin(f->db, APP, false, 2);
	put(f->db, APP, &look);
	assert_int_equal(revision_of(f->db, APP), 3);
	begin(f->db, APP, false, 0);
}

/* It takes longer than an answer is fresh: who comes later asks again, and is
 * told by whoever is first. */
static void
late_answers_count(void **state)
{
	const struct look look = look_of_all();
	struct fixture *f = *state;
	char text[TEXT_MAX];

	begin(f->db, APP, true, 1);
	clock_shift_ms = LOOK_FRESH_MS + 200;
	begin(f->db, APP, true, 1);
	begin(f->db, APP, false, 1);
	put(f->db, APP, &look);
	assert_int_equal(revision_of(f->db, APP), 2);
	get_text(f->db, APP, text);
	begin(f->db, APP, false, 0);
	put(f->db, APP, &look);
	assert_int_equal(revision_of(f->db, APP), 3);
	/* Fresh by its own time, not by that of the order. */
	clock_shift_ms += LOOK_FRESH_MS - 300;
	begin(f->db, APP, false, 0);
}

static void
apps_and_pods_have_their_own(void **state)
{
	const struct look look = look_of_all();
	struct fixture *f = *state;
	struct json *object = NULL;
	int64_t revision = 0;
	bool is_ours = false;
	struct err err;

	begin(f->db, APP, true, 1);
	put(f->db, APP, &look);
	begin(f->db, "other", true, 1);
	assert_ok(look_begin(f->db, APP, "other-pod", &is_ours, &revision,
	    &err), err);
	assert_true(is_ours);
	assert_int_equal(revision, 1);
	assert_err(look_get(f->db, "other", POD, 100000, &object, &err), err,
	    ERR_NOT_FOUND, "other");
	assert_err(look_get(f->db, APP, "other-pod", 100000, &object, &err),
	    err, ERR_NOT_FOUND, "other-pod");
	put(f->db, "x'); DROP TABLE looks; --", &look);
	begin(f->db, "x'); DROP TABLE looks; --", false, 0);
	assert_err(look_put(f->db, "", POD, &look, &err), err, ERR_CONFLICT,
	    "CHECK");
}

static void
clock_set_back_stops_nobody(void **state)
{
	const struct look look = look_of_all();
	struct fixture *f = *state;
	struct json *object = NULL;
	struct err err;

	clock_shift_ms = 3600000;
	begin(f->db, APP, true, 1);
	put(f->db, APP, &look);
	clock_shift_ms = 0;
	assert_err(look_get(f->db, APP, POD, LOOK_FRESH_MS, &object, &err),
	    err, ERR_NOT_FOUND, APP);
	begin(f->db, APP, true, 2);
	begin(f->db, APP, false, 2);
	put(f->db, APP, &look);
	begin(f->db, APP, false, 0);
}

static void
what_was_not_started_is_begun_anew(void **state)
{
	const struct look look = look_of_all();
	struct fixture *f = *state;
	struct json *object = NULL;
	struct err err;

	begin(f->db, APP, true, 1);
	begin(f->db, "other", true, 1);
	assert_ok(look_abandon(f->db, APP, POD, &err), err);
	begin(f->db, "other", false, 1);
	begin(f->db, APP, true, 1);
	begin(f->db, APP, false, 1);
	/* An answer of before stays, for those who still wait for it. */
	put(f->db, APP, &look);
	assert_ok(look_abandon(f->db, APP, POD, &err), err);
	assert_ok(look_get(f->db, APP, POD, LOOK_FRESH_MS, &object, &err),
	    err);
	json_free(&object);
	assert_ok(look_abandon(f->db, "none", POD, &err), err);
}

static void
rows_of_the_past_go(void **state)
{
	static const char COUNT[] = "SELECT count(*) AS n FROM looks";
	const int64_t day_ms = 24 * 60 * 60 * 1000;
	struct fixture *f = *state;

	begin(f->db, "gone", true, 1);
	clock_shift_ms = day_ms / 2;
	begin(f->db, APP, true, 1);
	clock_shift_ms = day_ms + 1000;
	assert_int_equal(number_of(f, COUNT, NULL), 2);
	begin(f->db, "new", true, 1);
	assert_int_equal(number_of(f, COUNT, NULL), 2);
	assert_int_equal(revision_of(f->db, APP), 1);
	begin(f->db, "gone", true, 1);
}

static void
reading_needs_no_lock(void **state)
{
	const struct look look = look_of_all();
	struct fixture *f = *state;
	struct db *other = open_other(f);
	char text[TEXT_MAX];
	struct err err;

	begin(f->db, APP, true, 1);
	assert_ok(db_begin(other, &err), err);
	begin(f->db, APP, false, 1);
	db_rollback(other);
	put(f->db, APP, &look);
	assert_ok(db_begin(other, &err), err);
	begin(f->db, APP, false, 0);
	assert_int_equal(revision_of(f->db, APP), 2);
	get_text(f->db, APP, text);
	db_rollback(other);
	db_close(&other);
}

/* One of many: its exit status is 10 + is_ours, when all have begun. */
static void
ask(const struct fixture *f, int gate)
{
	struct db *db = NULL;
	int64_t revision = 0;
	bool is_ours = false;
	struct err err;
	char byte;

	if (job_open_db(f->dir, &db, &err) != 0)
		_exit(1);
	(void)!read(gate, &byte, 1);
	if (look_begin(db, APP, POD, &is_ours, &revision, &err) != 0 ||
	    revision == 0)
		_exit(2);
	_exit(10 + is_ours);
}

static void
one_of_many_is_sent(void **state)
{
	const struct look look = look_of_all();
	struct fixture *f = *state;
	int gate[2], i, ours, round, status;
	pid_t pids[PROCESSES];

	for (round = 0; round < 20; round++) {
		assert_int_equal(pipe(gate), 0);
		for (i = 0; i < PROCESSES; i++) {
			pids[i] = fork();
			if (pids[i] == 0) {
				(void)close(gate[1]);
				ask(f, gate[0]);
			}
			assert_true(pids[i] > 0);
		}
		(void)close(gate[0]);
		(void)close(gate[1]);
		for (ours = i = 0; i < PROCESSES; i++) {
			assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
			assert_true(WIFEXITED(status));
			assert_true(WEXITSTATUS(status) >= 10);
			ours += WEXITSTATUS(status) == 11;
		}
		assert_int_equal(ours, 1);
		put(f->db, APP, &look);
		assert_int_equal(revision_of(f->db, APP), round + 2);
		clock_shift_ms += 2 * LOOK_FRESH_MS;
	}
}

static void
json_of_what_is_known(void **state)
{
	const struct look look = look_of_all();
	struct fixture *f = *state;
	char text[TEXT_MAX];

	put(f->db, APP, &look);
	get_text(f->db, APP, text);
	assert_string_equal(text, "{\"app\":\"" APP "\",\"pod\":\"" POD "\","
	    "\"inspector\":{\"address\":\"127.0.0.1:9229\",\"reachable\":true,"
	    "\"activated\":true},\"node\":\"v20.20.2\",\"pid\":7,"
	    "\"memory\":{\"heapUsedBytes\":60,\"rssBytes\":100,"
	    "\"limitBytes\":1000,\"availableBytes\":0},\"methods\":["
	    "{\"method\":\"fork\",\"usable\":false,\"reason\":"
	    "\"the app runs with --no-addons\"},"
	    "{\"method\":\"direct\",\"usable\":true,\"reason\":null},"
	    "{\"method\":\"stream\",\"usable\":true,\"reason\":null}],"
	    "\"predicted\":{\"peakBytes\":300,\"fileBytes\":90,"
	    "\"freezeMs\":0},\"workers\":[]}");
}

/* The oldest by their number, whatever the order is that they are told in. */
static void
json_of_workers(void **state)
{
	struct look look = look_of_all();
	struct fixture *f = *state;
	struct cdp_worker worker;
	char text[TEXT_MAX];
	char id[64];
	const char *at;
	int i;

	memset(worker.title, '"', sizeof(worker.title) - 1);
	worker.title[sizeof(worker.title) - 1] = '\0';
	for (i = 0; i < 2 * LOOK_WORKERS; i++) {
		(void)snprintf(worker.id, sizeof(worker.id), "%d",
		    i * 37 % (2 * LOOK_WORKERS) + 1);
		look_add_worker(&look, &worker);
	}
	assert_int_equal(look.workers_len, LOOK_WORKERS);
	look.workers[1].title[0] = '\0';
	/* All of it has room in the row. */
	put(f->db, APP, &look);
	get_text(f->db, APP, text);
	at = strstr(text, "\"workers\":[{\"id\":\"1\",\"title\":\"\\\"\\\"");
	assert_non_null(at);
	assert_non_null(strstr(at, "},{\"id\":\"2\",\"title\":\"\"},{"));
	for (i = 1; i <= LOOK_WORKERS; i++) {
		(void)snprintf(id, sizeof(id), "{\"id\":\"%d\",", i);
		at = strstr(at, id);
		assert_non_null(at);
	}
	assert_null(strstr(at + 2, "\"id\""));
}

static void
json_of_what_is_not(void **state)
{
	struct look look = look_of_nothing();
	struct fixture *f = *state;
	char text[TEXT_MAX];

	put(f->db, APP, &look);
	get_text(f->db, APP, text);
	assert_string_equal(text, "{\"app\":\"" APP "\",\"pod\":\"" POD "\","
	    "\"inspector\":{\"address\":\"127.0.0.1:9229\",\"reachable\":false,"
	    "\"activated\":false},\"node\":null,\"pid\":null,"
	    "\"memory\":{\"heapUsedBytes\":null,\"rssBytes\":null,"
	    "\"limitBytes\":null,\"availableBytes\":null},\"methods\":[],"
	    "\"predicted\":{\"peakBytes\":null,\"fileBytes\":null,"
	    "\"freezeMs\":null},\"workers\":null}");
	/* A part of them is not all. */
	look.workers_len = 1;
	put(f->db, "cart", &look);
	get_text(f->db, "cart", text);
	assert_non_null(strstr(text, "\"workers\":null}"));
}

static void
session_address_is_a_secret(void **state)
{
	static const struct {
		const char *address;
		const char *want;
	} cases[] = {
		{"ws://127.0.0.1:9229/0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77",
		    "\"127.0.0.1:9229\""},
		{"ws://[::1]:9229/secret", "\"[::1]:9229\""},
		{"app.example:9229/secret", "\"app.example:9229\""},
		{"ws://app.example", "\"app.example\""},
		{"", "null"},
		{"ws://", "null"},
		{"/secret", "null"},
	};
	struct look look = look_of_nothing();
	struct fixture *f = *state;
	char text[TEXT_MAX], want[100];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)str_copy(look.address, sizeof(look.address),
		    cases[i].address);
		put(f->db, APP, &look);
		get_text(f->db, APP, text);
		(void)snprintf(want, sizeof(want), "{\"address\":%s,",
		    cases[i].want);
		if (strstr(text, want) == NULL)
			fail_msg("no %s in %s", want, text);
	}
}

/* What the app says of itself may be anything. */
static void
longest_answer_is_kept(void **state)
{
	struct look look = look_of_all();
	struct fixture *f = *state;
	struct json *object = NULL;
	const struct json *method;
	struct err err;
	size_t i;

	for (i = 0; i < LOOK_METHODS; i++) {
		look.methods[i].is_usable = false;
		memset(look.methods[i].why.msg, '\x01', ERR_MSG_MAX - 1);
		look.methods[i].why.msg[ERR_MSG_MAX - 1] = '\0';
	}
	memset(look.facts.node, '\xff', sizeof(look.facts.node) - 1);
	memset(look.address, '"', sizeof(look.address) - 1);
	look.facts.heap_used_bytes = INT64_MAX;
	look.workers_len = LOOK_WORKERS;
	for (i = 0; i < LOOK_WORKERS; i++) {
		memset(&look.workers[i], '"', sizeof(look.workers[i]));
		look.workers[i].id[CDP_WORKER_ID_MAX - 1] = '\0';
		look.workers[i].title[CDP_WORKER_TITLE_MAX - 1] = '\0';
	}
	put(f->db, APP, &look);
	assert_ok(look_get(f->db, APP, POD, LOOK_FRESH_MS, &object, &err),
	    err);
	method = json_first(json_get(object, "methods"));
	assert_string_equal(json_string(json_get(method, "reason")),
	    look.methods[0].why.msg);
	json_free(&object);
}

static void
damaged_answers_are_told(void **state)
{
	static const char *const answers[] = {
		"'{'", "'{}x'", "'[]'", "''", "'7'", "'{\"a\":}'",
		"hex(zeroblob(100000))",
	};
	const struct look look = look_of_all();
	struct fixture *f = *state;
	struct json *object = NULL;
	char sql[200], text[TEXT_MAX];
	struct err err;
	size_t i;

	put(f->db, APP, &look);
	assert_err(db_exec(f->db, "UPDATE looks SET answer = 'x'", &err), err,
	    ERR_CONFLICT, "CHECK");
	assert_err(db_exec(f->db, "UPDATE looks SET answer = NULL", &err), err,
	    ERR_CONFLICT, "CHECK");
	assert_err(db_exec(f->db, "UPDATE looks SET revision = 0", &err), err,
	    ERR_CONFLICT, "CHECK");
	assert_err(db_exec(f->db, "UPDATE looks SET answer = '{'"
	    " || hex(zeroblob(16400)) || '}'", &err), err, ERR_CONFLICT,
	    "CHECK");
	assert_ok(db_exec(f->db, "PRAGMA ignore_check_constraints = ON",
	    &err), err);
	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		(void)snprintf(sql, sizeof(sql), "UPDATE looks SET answer = %s",
		    answers[i]);
		assert_ok(db_exec(f->db, sql, &err), err);
		assert_err(look_get(f->db, APP, POD, LOOK_FRESH_MS, &object,
		    &err), err, ERR_STORE, "ask again");
		assert_null(object);
	}
	/* The next one heals it. */
	put(f->db, APP, &look);
	get_text(f->db, APP, text);
}

static void
without_memory_no_answer_is_left(void **state)
{
	const struct look look = look_of_all();
	struct fixture *f = *state;
	struct json *object = NULL;
	struct err err;
	int i, rc;

	begin(f->db, APP, true, 1);
	for (i = 0; ; i++) {
		strings_left = i;
		rc = look_put(f->db, APP, POD, &look, &err);
		if (strings_left >= 0)
			break;
		assert_int_equal(rc, -1);
		assert_int_equal(err.code, ERR_NOMEM);
		assert_int_equal(revision_of(f->db, APP), 1);
	}
	strings_left = -1;
	assert_int_equal(rc, 0);
	assert_int_equal(i, 10);
	is_parse_out_of_memory = true;
	assert_err(look_get(f->db, APP, POD, LOOK_FRESH_MS, &object, &err),
	    err, ERR_NOMEM, "no memory to parse");
	is_parse_out_of_memory = false;
	assert_null(object);
}

#define STOPPED(name) \
	cmocka_unit_test_setup_teardown(name, setup_stopped, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STOPPED(one_looks_and_all_are_told),
		STOPPED(late_answers_count),
		STOPPED(apps_and_pods_have_their_own),
		STOPPED(clock_set_back_stops_nobody),
		STOPPED(rows_of_the_past_go),
		STOPPED(what_was_not_started_is_begun_anew),
		STOPPED(reading_needs_no_lock),
		STOPPED(one_of_many_is_sent),
		STOPPED(json_of_what_is_known),
		STOPPED(json_of_workers),
		STOPPED(json_of_what_is_not),
		STOPPED(session_address_is_a_secret),
		STOPPED(longest_answer_is_kept),
		STOPPED(damaged_answers_are_told),
		STOPPED(without_memory_no_answer_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
