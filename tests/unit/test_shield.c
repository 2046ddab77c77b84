/*
 * The shield: who is asked how often, who is told when, and what hangs holds up
 * nobody.
 */
#include "site.h"

#include <pthread.h>
#include <stdatomic.h>

#include "clock.h"
#include "http.h"
#include "service.h"
#include "shield.h"
#include "thread.h"

/* For what takes no time, on a busy machine. */
#define PATIENCE_MS 20000
#define LONG_MS 60000
#define HEALTH_URL "http://health.example:8080/up?full=1"

static struct site site;
static struct service *service;
static struct shield *shield;

/* Health addresses and inspectors, as they are to answer. */
enum { HEALTH, INSPECTOR, ASKED_LEN };
static struct {
	atomic_int status;	/* 0: err */
	atomic_int err;
	atomic_bool hangs;
	atomic_int count;
	_Atomic int64_t asked_ms;	/* the last time */
	struct http_url url;
} asked[ASKED_LEN];

/* And the rows. */
static struct {
	atomic_bool hangs, fails;
	_Atomic int64_t until_ms;
	atomic_int count;
} rows;

static atomic_bool no_thread;
/* Where nothing is answered; plain CGI. */
static const char *mute_port = "";

int __wrap_http_ask(const struct http_url *url,
    const struct http_request *request, int64_t deadline_ms,
    struct http_reply *reply, struct err *err);
int __wrap_job_find_shield(struct db *db, const char *app, const char *pod,
    struct job_shield *ret_shield, struct err *err);
int __wrap_thread_start(void *(*run)(void *), void *arg,
    pthread_t *ret_thread, struct err *err);
int __real_thread_start(void *(*run)(void *), void *arg,
    pthread_t *ret_thread, struct err *err);

static void
pause_while(atomic_bool *flag)
{
	while (atomic_load(flag))
		(void)poll(NULL, 0, 1);
}

int
__wrap_http_ask(const struct http_url *url,
    const struct http_request *request, int64_t deadline_ms,
    struct http_reply *reply, struct err *err)
{
	const int64_t now_ms = clock_mono_ms();
	const int i = strcmp(url->path, "/json/version") == 0 ? INSPECTOR :
	    HEALTH;

	assert_string_equal(request->method, "GET");
	assert_null(request->body);
	assert_true(deadline_ms <= now_ms + SHIELD_ASK_MS + 100);
	atomic_store(&asked[i].asked_ms, now_ms);
	asked[i].url = *url;
	atomic_fetch_add(&asked[i].count, 1);
	pause_while(&asked[i].hangs);
	if (now_ms >= deadline_ms || strcmp(url->port, mute_port) == 0) {
		while (clock_mono_ms() < deadline_ms)
			(void)poll(NULL, 0, 1);
		return err_set(err, ERR_TARGET_TIMEOUT, "no answer");
	}
	reply->status = atomic_load(&asked[i].status);
	if (reply->status != 0)
		return 0;
	return err_set(err, (enum err_code)atomic_load(&asked[i].err),
	    "health.example:8080: as it is");
}

int
__wrap_job_find_shield(struct db *db, const char *app, const char *pod,
    struct job_shield *ret_shield, struct err *err)
{
	assert_non_null(db);
	assert_non_null(app);
	assert_string_equal(pod, "pod-1");
	atomic_fetch_add(&rows.count, 1);
	pause_while(&rows.hangs);
	if (atomic_load(&rows.fails))
		return err_set(err, ERR_STORE, "no database");
	*ret_shield = (struct job_shield){
		.alive_until_ms = atomic_load(&rows.until_ms) };
	return 0;
}

int
__wrap_thread_start(void *(*run)(void *), void *arg, pthread_t *ret_thread,
    struct err *err)
{
	if (atomic_load(&no_thread))
		return err_set(err, ERR_LIMIT, "no thread");
	return __real_thread_start(run, arg, ret_thread, err);
}

/* Requests that were handed on. */
#define WAITS_MAX (SHIELD_PARKED_MAX + 1)
static struct {
	struct gate *gate;	/* of all of them */
	int out;
	struct request *requests[WAITS_MAX];
	atomic_int over, stopped;
} waits;

/* A shield_over_fn. */
static void
note_over(void *ctx, struct request *request_take, bool is_stopped)
{
	assert_ptr_equal(ctx, &waits);
	assert_null(request_take->next);
	if (is_stopped)
		atomic_fetch_add(&waits.stopped, 1);
	atomic_fetch_add(&waits.over, 1);
}

static int
resume(struct seat *seat, struct request *request, const struct job *job,
    struct answer *answer, struct err *err)
{
	(void)seat;
	(void)request;
	(void)job;
	(void)answer;
	return err_set(err, ERR_INTERNAL, "never called");
}

static void
reset(void)
{
	int i;

	for (i = 0; i < ASKED_LEN; i++) {
		atomic_store(&asked[i].status, 200);
		atomic_store(&asked[i].hangs, false);
		atomic_store(&asked[i].count, 0);
		atomic_store(&asked[i].asked_ms, 0);
	}
	atomic_store(&rows.hangs, false);
	atomic_store(&rows.fails, false);
	atomic_store(&rows.until_ms, 0);
	atomic_store(&rows.count, 0);
	atomic_store(&no_thread, false);
	mute_port = "";
	atomic_store(&waits.over, 0);
	atomic_store(&waits.stopped, 0);
}

static int
set_up(void **state)
{
	static char *env[] = { NULL };
	struct err err;

	(void)state;
	reset();
	site_open(&site);
	site.apps[0].health_url = HEALTH_URL;
	site.apps[1].inspector = "ws://[::1]:9230/"
	    "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77";
	assert_ok(service_new(&site.conf, SPAWN_LOG_STDERR, &service, &err),
	    err);
	shield = service_shield(service);
	waits.gate = front_gate(env, "", &waits.out);
	return 0;
}

static int
set_up_pool(void **state)
{
	(void)set_up(state);
	shield_start(shield, note_over, &waits);
	return 0;
}

static int
tear_down(void **state)
{
	size_t i;

	(void)state;
	atomic_store(&asked[HEALTH].hangs, false);
	atomic_store(&asked[INSPECTOR].hangs, false);
	atomic_store(&rows.hangs, false);
	shield_stop(shield);
	service_free(&service);
	for (i = 0; i < WAITS_MAX; i++) {
		free(waits.requests[i]);
		waits.requests[i] = NULL;
	}
	gate_drop(&waits.gate);
	(void)close(waits.out);
	site_close(&site);
	return 0;
}

/* Some shield_need_fn. */
static unsigned
need_health(const struct shield_sight *sight)
{
	return sight->health.is_fresh ? 0 : SHIELD_HEALTH;
}

static unsigned
need_inspector(const struct shield_sight *sight)
{
	return sight->inspector.is_fresh ? 0 : SHIELD_INSPECTOR;
}

static unsigned
need_rows(const struct shield_sight *sight)
{
	return sight->is_fresh ? 0 : SHIELD_ROWS;
}

static unsigned
need_all(const struct shield_sight *sight)
{
	return need_rows(sight) | need_health(sight) | need_inspector(sight);
}

/* It has to be asked once more, however fresh. */
static unsigned
need_anew(const struct shield_sight *sight)
{
	assert_non_null(sight->app);
	return SHIELD_HEALTH;
}

static unsigned
need_nothing(const struct shield_sight *sight)
{
	assert_non_null(sight->app);
	return 0;
}

static struct request *
new_request(const struct conf_app *app, shield_need_fn *need, int64_t ms)
{
	struct request *request = calloc(1, sizeof(*request));
	struct answer answer;
	size_t i = 0;

	assert_non_null(request);
	request->gate = waits.gate;
	answer_init(&answer);
	request_wait_shield(request, &answer, app, need, ms, resume);
	assert_int_equal(answer.kind, ANSWER_WAIT);
	assert_int_equal(request->wait.until, UNTIL_SEEN);
	answer_fini(&answer);
	while (waits.requests[i] != NULL)
		i++;
	waits.requests[i] = request;
	return request;
}

static void
park(const struct conf_app *app, shield_need_fn *need, int64_t ms)
{
	assert_true(shield_park(shield, new_request(app, need, ms)));
}

static void
await_over(int count)
{
	const int64_t end_ms = clock_mono_ms() + PATIENCE_MS;

	while (atomic_load(&waits.over) < count) {
		if (clock_mono_ms() > end_ms)
			fail_msg("%d are over, not %d",
			    atomic_load(&waits.over), count);
		(void)poll(NULL, 0, 1);
	}
	assert_int_equal(atomic_load(&waits.over), count);
}

static void
await_count(atomic_int *count, int want)
{
	const int64_t end_ms = clock_mono_ms() + PATIENCE_MS;

	while (atomic_load(count) < want) {
		if (clock_mono_ms() > end_ms)
			fail_msg("%d, not %d", atomic_load(count), want);
		(void)poll(NULL, 0, 1);
	}
}

static struct shield_sight
look(const struct conf_app *app)
{
	struct shield_sight sight;

	assert_true(shield_see(shield, app, need_nothing, &sight));
	assert_ptr_equal(sight.app, app);
	return sight;
}

/* As often as what each said can have grown old since, and no more. */
static void
expect_asked(int i, int askers, int64_t began_ms)
{
	const int more = atomic_load(&asked[i].count) - askers;

	assert_true(more >= 0);
	assert_true(more * (int64_t)SHIELD_FRESH_MS <=
	    askers * (clock_mono_ms() - began_ms));
}

static void
one_answer_is_for_all(void **state)
{
	const int64_t began_ms = clock_mono_ms();
	const struct conf_app *app = &site.apps[0];
	struct shield_sight sight;
	int i;

	(void)state;
	sight = look(app);
	assert_int_equal(sight.health.up, -1);
	assert_int_equal(sight.health.age_ms, -1);
	assert_false(shield_see(shield, app, need_health, &sight));
	for (i = 0; i < 10; i++)
		park(app, need_health, LONG_MS);
	await_over(10);
	sight = look(app);
	assert_int_equal(sight.health.up, 1);
	assert_true(sight.health.age_ms >= 0);
	assert_true(sight.health.asked_ago_ms >= sight.health.age_ms);
	assert_true(shield_is_said(&sight.health));
	assert_int_equal(sight.inspector.up, -1);
	expect_asked(HEALTH, 1, began_ms);
	assert_int_equal(atomic_load(&asked[INSPECTOR].count), 0);
	assert_int_equal(atomic_load(&rows.count), 0);
	assert_string_equal(asked[HEALTH].url.path, "/up?full=1");
	assert_string_equal(asked[HEALTH].url.authority,
	    "health.example:8080");
}

static void
nobody_is_asked_more_than_once_a_second(void **state)
{
	const int64_t began_ms = clock_mono_ms();
	struct shield_sight sight;
	int64_t took_ms = 0;

	(void)state;
	while (atomic_load(&asked[HEALTH].count) < 3 ||
	    atomic_load(&asked[INSPECTOR].count) < 3 ||
	    atomic_load(&rows.count) < 3) {
		(void)shield_see(shield, &site.apps[0], need_all, &sight);
		(void)poll(NULL, 0, 1);
		assert_true(clock_mono_ms() - began_ms < PATIENCE_MS);
	}
	shield_stop(shield);
	assert_true(shield_await(shield, clock_mono_ms() + PATIENCE_MS));
	took_ms = clock_mono_ms() - began_ms;
	assert_true((atomic_load(&asked[HEALTH].count) - 1) *
	    (int64_t)SHIELD_FRESH_MS <= took_ms);
	assert_true((atomic_load(&asked[INSPECTOR].count) - 1) *
	    (int64_t)SHIELD_FRESH_MS <= took_ms);
	assert_true((atomic_load(&rows.count) - 1) *
	    (int64_t)SHIELD_ROWS_MS <= took_ms);
}

static void
what_is_wrong_is_told_without_addresses(void **state)
{
	static const struct {
		int status, err;
		const char *want;
	} cases[] = {
		{ 500, 0, "health_url answered 500" },
		{ 400, 0, "health_url answered 400" },
		{ 0, ERR_TARGET_UNREACHABLE,
		    "health_url cannot be connected to" },
		{ 0, ERR_TARGET_TIMEOUT,
		    "health_url did not answer within 2000 ms" },
		{ 0, ERR_TARGET_REFUSED, "what listens at health_url broke "
		    "off, or does not speak HTTP" },
		{ 0, ERR_TARGET_EXITED, "what listens at health_url broke "
		    "off, or does not speak HTTP" },
	};
	struct request *request;
	size_t i;

	(void)state;
	/* Without threads, as plain CGI; each asks anew. */
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char path[400];

		(void)snprintf(path, sizeof(path), "%s/health-app",
		    site.state_dir);
		(void)unlink(path);
		service_free(&service);
		assert_int_equal(service_new(&site.conf, SPAWN_LOG_STDERR,
		    &service, NULL), 0);
		shield = service_shield(service);
		atomic_store(&asked[HEALTH].status, cases[i].status);
		atomic_store(&asked[HEALTH].err, cases[i].err);
		request = new_request(&site.apps[0], need_health, LONG_MS);
		shield_find(shield, request);
		assert_int_equal(look(&site.apps[0]).health.up, 0);
		assert_string_equal(look(&site.apps[0]).health.why.msg,
		    cases[i].want);
	}
}

static void
an_inspector_is_there_whatever_it_answers(void **state)
{
	(void)state;
	atomic_store(&asked[INSPECTOR].status, 404);
	park(&site.apps[1], need_inspector, LONG_MS);
	await_over(1);
	assert_int_equal(look(&site.apps[1]).inspector.up, 1);
	assert_string_equal(asked[INSPECTOR].url.host, "::1");
	assert_string_equal(asked[INSPECTOR].url.port, "9230");
	/* Node answers to no other name. */
	assert_string_equal(asked[INSPECTOR].url.authority, "localhost:9230");
}

static void
of_all_apps_each_must_be_known(void **state)
{
	const int64_t began_ms = clock_mono_ms();

	(void)state;
	atomic_store(&asked[INSPECTOR].status, 0);
	atomic_store(&asked[INSPECTOR].err, ERR_TARGET_UNREACHABLE);
	park(NULL, need_inspector, LONG_MS);
	await_over(1);
	assert_int_equal(look(&site.apps[0]).inspector.up, 0);
	assert_int_equal(look(&site.apps[1]).inspector.up, 0);
	assert_string_equal(look(&site.apps[1]).inspector.why.msg,
	    "the inspector cannot be connected to");
	expect_asked(INSPECTOR, 2, began_ms);
}

static void
what_hangs_holds_up_nobody_beyond_his_time(void **state)
{
	const int64_t began_ms = clock_mono_ms();
	struct shield_sight sight;

	(void)state;
	atomic_store(&asked[HEALTH].hangs, true);
	park(&site.apps[0], need_health, 100);
	park(&site.apps[0], need_inspector, LONG_MS);
	await_count(&asked[HEALTH].count, 1);
	await_over(2);
	assert_true(clock_mono_ms() - began_ms >= 100);
	assert_int_equal(look(&site.apps[0]).health.up, -1);
	assert_int_equal(look(&site.apps[0]).inspector.up, 1);
	/* Who comes meanwhile waits for the same answer. */
	park(&site.apps[0], need_health, LONG_MS);
	assert_false(shield_see(shield, &site.apps[0], need_health, &sight));
	atomic_store(&asked[HEALTH].hangs, false);
	await_over(3);
	expect_asked(HEALTH, 1, began_ms);
	assert_int_equal(look(&site.apps[0]).health.up, 1);
}

/* The first time; they may be read late only where it took long. */
static void
read_rows(int64_t until_ms)
{
	const int64_t began_ms = clock_mono_ms();
	int64_t took_ms;

	atomic_store(&rows.until_ms, until_ms);
	park(&site.apps[0], need_rows, LONG_MS);
	await_over(1);
	took_ms = clock_mono_ms() - began_ms;
	while (took_ms >= SHIELD_ROWS_WAIT_MS &&
	    look(&site.apps[0]).rows.alive_until_ms != until_ms &&
	    clock_mono_ms() - began_ms < took_ms + PATIENCE_MS)
		(void)poll(NULL, 0, 1);
	assert_int_equal(look(&site.apps[0]).rows.alive_until_ms, until_ms);
}

static void
a_disk_that_hangs_is_waited_for_a_moment(void **state)
{
	int64_t began_ms;

	(void)state;
	read_rows(42);
	/* Until that has grown old. */
	while (look(&site.apps[0]).is_fresh)
		(void)poll(NULL, 0, 5);
	atomic_store(&rows.hangs, true);
	atomic_store(&rows.until_ms, 43);
	began_ms = clock_mono_ms();
	park(&site.apps[0], need_rows, LONG_MS);
	await_over(2);
	assert_true(clock_mono_ms() - began_ms >= SHIELD_ROWS_WAIT_MS);
	/* What was read before counts. */
	assert_int_equal(look(&site.apps[0]).rows.alive_until_ms, 42);
	began_ms = clock_mono_ms();
	park(&site.apps[0], need_rows, LONG_MS);
	await_over(3);
	atomic_store(&rows.hangs, false);
}

static void
rows_that_cannot_be_read_are_as_they_were(void **state)
{
	(void)state;
	read_rows(42);
	while (look(&site.apps[0]).is_fresh)
		(void)poll(NULL, 0, 5);
	atomic_store(&rows.fails, true);
	park(&site.apps[0], need_rows, LONG_MS);
	await_over(2);
	await_count(&rows.count, 2);
	assert_int_equal(look(&site.apps[0]).rows.alive_until_ms, 42);
}

static void
only_so_many_wait(void **state)
{
	struct request *request;
	int i;

	(void)state;
	atomic_store(&asked[HEALTH].hangs, true);
	for (i = 0; i < SHIELD_PARKED_MAX; i++)
		park(&site.apps[0], need_health, LONG_MS);
	request = new_request(&site.apps[0], need_health, LONG_MS);
	assert_false(shield_park(shield, request));
	/* It has no time left. */
	assert_true(request->wait.deadline_ms <= clock_mono_ms());
	assert_int_equal(atomic_load(&waits.over), 0);
	atomic_store(&asked[HEALTH].hangs, false);
	await_over(SHIELD_PARKED_MAX);
}

static void
who_waits_at_the_end_is_told(void **state)
{
	(void)state;
	atomic_store(&asked[HEALTH].hangs, true);
	park(&site.apps[0], need_health, LONG_MS);
	park(&site.apps[0], need_health, LONG_MS);
	await_count(&asked[HEALTH].count, 1);
	shield_stop(shield);
	await_over(2);
	assert_int_equal(atomic_load(&waits.stopped), 2);
	assert_false(shield_await(shield, clock_mono_ms() + 20));
	atomic_store(&asked[HEALTH].hangs, false);
	assert_true(shield_await(shield, clock_mono_ms() + PATIENCE_MS));
	/* Nobody is asked any more, and nobody waits. */
	park(&site.apps[0], need_inspector, LONG_MS);
	await_over(3);
	assert_int_equal(atomic_load(&asked[INSPECTOR].count), 0);
}

static void
who_was_to_be_asked_soon_is_not_after_the_end(void **state)
{
	struct shield_sight sight;
	int count;

	(void)state;
	park(&site.apps[0], need_health, LONG_MS);
	await_over(1);
	/* Wanted again, and not due yet. */
	assert_false(shield_see(shield, &site.apps[0], need_anew, &sight));
	shield_stop(shield);
	assert_true(shield_await(shield, clock_mono_ms() + PATIENCE_MS));
	count = atomic_load(&asked[HEALTH].count);
	while (look(&site.apps[0]).health.age_ms < SHIELD_FRESH_MS + 200)
		(void)poll(NULL, 0, 5);
	assert_int_equal(atomic_load(&asked[HEALTH].count), count);
}

static void
without_threads_it_says_so_in_time(void **state)
{
	struct shield_sight sight;

	(void)state;
	front_begin_log();
	atomic_store(&no_thread, true);
	assert_false(shield_see(shield, &site.apps[0], need_all, &sight));
	assert_false(shield_park(shield, new_request(&site.apps[0],
	    need_health, LONG_MS)));
	assert_non_null(strstr(front_end_log(), "no thread"));
	assert_true(look(&site.apps[0]).health.lacks);
	assert_int_equal(look(&site.apps[0]).health.up, -1);
	assert_true(shield_await(shield, clock_mono_ms()));
	/* The next time there is one. */
	atomic_store(&no_thread, false);
	park(&site.apps[0], need_all, LONG_MS);
	await_over(1);
	assert_int_equal(look(&site.apps[0]).health.up, 1);
	assert_false(look(&site.apps[0]).health.lacks);
}

/* Neither is the app's death. */
static void
what_we_lack_is_no_answer(void **state)
{
	const struct conf_app *app = &site.apps[0];
	const char *log;

	(void)state;
	front_begin_log();
	atomic_store(&asked[HEALTH].status, 0);
	atomic_store(&asked[HEALTH].err, ERR_LIMIT);
	park(app, need_health, LONG_MS);
	/* It is tried again, in a second. */
	await_count(&asked[HEALTH].count, 2);
	assert_int_equal(look(app).health.up, -1);
	assert_true(look(app).health.lacks);
	atomic_store(&asked[HEALTH].status, 200);
	await_over(1);
	assert_int_equal(look(app).health.up, 1);
	assert_false(look(app).health.lacks);
	while (look(app).health.is_fresh)
		(void)poll(NULL, 0, 5);
	/* What it said last is what is known. */
	atomic_store(&asked[HEALTH].err, ERR_NOMEM);
	atomic_store(&asked[HEALTH].status, 0);
	atomic_store(&asked[HEALTH].count, 0);
	park(app, need_health, LONG_MS);
	await_count(&asked[HEALTH].count, 2);
	assert_int_equal(look(app).health.up, 1);
	assert_true(look(app).health.lacks);
	atomic_store(&asked[HEALTH].status, 200);
	await_over(2);
	assert_false(look(app).health.lacks);
	/* Each time once, however often it is tried. */
	log = strstr(front_end_log(), "an app cannot be asked: health.ex");
	assert_non_null(log);
	log = strstr(log + 1, "an app cannot be asked: health.ex");
	assert_non_null(log);
	assert_null(strstr(log + 1, "an app cannot be asked"));
}

static void
a_wait_for_nothing_is_over_at_once(void **state)
{
	(void)state;
	park(&site.apps[0], need_nothing, LONG_MS);
	await_over(1);
	assert_int_equal(atomic_load(&waits.stopped), 0);
	shield_stop(shield);
	assert_true(shield_await(shield, clock_mono_ms() + PATIENCE_MS));
}

/* Another process of plain CGI. */
static void
begin_anew(void)
{
	struct err err;

	service_free(&service);
	assert_ok(service_new(&site.conf, SPAWN_LOG_FILE, &service, &err),
	    err);
	shield = service_shield(service);
}

/* One finds out what another did just before; true if they had the time of
 * one answer for it. */
static bool
shares_health(struct request *request)
{
	int64_t asked_ms;
	int count;

	begin_anew();
	shield_find(shield, request);
	count = atomic_load(&asked[HEALTH].count);
	asked_ms = atomic_load(&asked[HEALTH].asked_ms);
	begin_anew();
	shield_find(shield, request);
	assert_int_equal(look(&site.apps[0]).health.up, 1);
	if (atomic_load(&asked[HEALTH].count) == count)
		return true;
	assert_true(clock_mono_ms() - asked_ms >= SHIELD_FRESH_MS);
	return false;
}

static void
cgi_finds_out_in_place(void **state)
{
	struct request *all = new_request(NULL, need_all, LONG_MS);
	struct request *health = new_request(NULL, need_health, LONG_MS);
	struct shield_sight sight;
	int attempts = 0;

	(void)state;
	/* The one without a health_url would be asked for ever. */
	site.conf.apps_len = 1;
	atomic_store(&rows.until_ms, 7);
	begin_anew();
	atomic_store(&no_thread, true);
	shield_find(shield, all);
	sight = look(&site.apps[0]);
	assert_int_equal(sight.rows.alive_until_ms, 7);
	assert_int_equal(sight.health.up, 1);
	assert_int_equal(sight.inspector.up, 1);
	assert_true(atomic_load(&asked[HEALTH].count) > 0);
	while (!shares_health(health))
		assert_true(++attempts < 10);
}

static void
cgi_asks_also_where_nothing_can_be_shared(void **state)
{
	char path[400];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/health-app", site.state_dir);
	assert_int_equal(mkdir(path, 0700), 0);
	front_begin_log();
	shield_find(shield, new_request(&site.apps[0], need_health, LONG_MS));
	assert_non_null(strstr(front_end_log(), path));
	assert_int_equal(look(&site.apps[0]).health.up, 1);
	begin_anew();
	atomic_store(&asked[HEALTH].status, 500);
	front_begin_log();
	shield_find(shield, new_request(&site.apps[0], need_health, LONG_MS));
	(void)front_end_log();
	assert_int_equal(look(&site.apps[0]).health.up, 0);
	assert_string_equal(look(&site.apps[0]).health.why.msg,
	    "health_url answered 500");
	assert_int_equal(rmdir(path), 0);
}

static void
cgi_one_that_hangs_leaves_time_for_the_others(void **state)
{
	(void)state;
	mute_port = strrchr(site.apps[0].inspector, ':') + 1;
	shield_find(shield, new_request(NULL, need_inspector, 3000));
	assert_int_equal(look(&site.apps[1]).inspector.up, 1);
	/* It had not its time. */
	assert_int_equal(look(&site.apps[0]).inspector.up, -1);
	shield_find(shield, new_request(&site.apps[0], need_inspector,
	    LONG_MS));
	assert_int_equal(look(&site.apps[0]).inspector.up, 0);
	assert_string_equal(look(&site.apps[0]).inspector.why.msg,
	    "the inspector did not answer within 2000 ms");
}

static void
cgi_tries_again_what_we_lack(void **state)
{
	const int64_t began_ms = clock_mono_ms();

	(void)state;
	atomic_store(&asked[INSPECTOR].status, 0);
	atomic_store(&asked[INSPECTOR].err, ERR_LIMIT);
	front_begin_log();
	shield_find(shield, new_request(&site.apps[0], need_inspector, 300));
	assert_non_null(strstr(front_end_log(), "cannot be asked"));
	assert_int_equal(look(&site.apps[0]).inspector.up, -1);
	assert_true(look(&site.apps[0]).inspector.lacks);
	assert_true(atomic_load(&asked[INSPECTOR].count) > 0);
	/* Not without a pause. */
	assert_true((atomic_load(&asked[INSPECTOR].count) - 1) * 50 <=
	    clock_mono_ms() - began_ms);
}

static void
cgi_gives_up_in_time(void **state)
{
	struct request *request;
	struct shield_sight sight;

	(void)state;
	request = new_request(&site.apps[0], need_health, 0);
	shield_find(shield, request);
	assert_false(shield_see(shield, &site.apps[0], need_health, &sight));
	assert_int_equal(atomic_load(&asked[HEALTH].count), 0);
}

static void
an_address_that_is_none_is_refused(void **state)
{
	struct service *other = NULL;
	struct err err;

	(void)state;
	site.apps[1].health_url = "https://secure.example/";
	assert_int_equal(service_new(&site.conf, SPAWN_LOG_STDERR, &other,
	    &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_null(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define POOL(name) \
	cmocka_unit_test_setup_teardown(name, set_up_pool, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		POOL(one_answer_is_for_all),
		POOL(nobody_is_asked_more_than_once_a_second),
		TEST(what_is_wrong_is_told_without_addresses),
		POOL(an_inspector_is_there_whatever_it_answers),
		POOL(of_all_apps_each_must_be_known),
		POOL(what_hangs_holds_up_nobody_beyond_his_time),
		POOL(a_disk_that_hangs_is_waited_for_a_moment),
		POOL(rows_that_cannot_be_read_are_as_they_were),
		POOL(only_so_many_wait),
		POOL(who_waits_at_the_end_is_told),
		POOL(who_was_to_be_asked_soon_is_not_after_the_end),
		POOL(without_threads_it_says_so_in_time),
		POOL(what_we_lack_is_no_answer),
		POOL(a_wait_for_nothing_is_over_at_once),
		TEST(cgi_finds_out_in_place),
		TEST(cgi_gives_up_in_time),
		TEST(cgi_asks_also_where_nothing_can_be_shared),
		TEST(cgi_one_that_hangs_leaves_time_for_the_others),
		TEST(cgi_tries_again_what_we_lack),
		TEST(an_address_that_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
