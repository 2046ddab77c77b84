/*
 * capture: the methods fork and direct against a scripted app, which does with
 * the FIFOs what a test tells it; and looking without capturing.
 */
#include "captures.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "look.h"

#if defined(__x86_64__)
#define ARCH "x64"
#else
#define ARCH "arm64"
#endif
#define ROOMY ",\\\"arch\\\":\\\"" ARCH "\\\",\\\"heapUsed\\\":1000000," \
	"\\\"memAvailable\\\":8000000000,\\\"rssPeak\\\":2000"
#define NARROW ",\\\"arch\\\":\\\"" ARCH "\\\",\\\"heapUsed\\\":100000000," \
	"\\\"memAvailable\\\":50000000"

/* See lease.h. */
#define LEASE "podprof-freeze-sample"

/* What the app says to each question: JSON text of a string. */
static const char *sees, *loads, *forks, *states, *writes;

/* What the copy does, and what the app does in direct.  status is -1 there. */
typedef void writer_fn(int data, int status);
static writer_fn *writer;
static int forked, killed;
static bool is_cut;	/* the session, as soon as it is forked */
/* What happens once a copy that failed is killed. */
static void (*on_killed)(int fd);
static pthread_t thread;
static bool is_running;
static int write_errno;
static bool is_addon_missing;

int __wrap_file_beside_program(const char *name, char *out, size_t size,
    struct err *err);

/* There is no addon beside a test, and the scripted app loads none. */
int
__wrap_file_beside_program(const char *name, char *out, size_t size,
    struct err *err)
{
	(void)err;
	assert_string_equal(name, "podprof-fork.node");
	(void)snprintf(out, size, is_addon_missing ? "%s/none" :
	    "%s/podprof.conf", dir);
	return 0;
}

static void
say(int fd, const char *text)
{
	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		write_errno = errno;
}

/* The FIFO of that name in the one directory that there is. */
static int
open_fifo(const char *name)
{
	char path[600];
	struct dirent *entry;
	DIR *d;
	int fd = -1;

	(void)snprintf(path, sizeof(path), "%s/exchange", dir);
	d = opendir(path);
	while (d != NULL && (entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.' ||
		    strcmp(entry->d_name, LEASE) == 0)
			continue;
		(void)snprintf(path, sizeof(path), "%s/exchange/%.100s/%s", dir,
		    entry->d_name, name);
		fd = open(path, O_WRONLY | O_CLOEXEC);
	}
	if (d != NULL)
		(void)closedir(d);
	return fd;
}

static void
close_fifo(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

struct ends {
	int data, status;
};
static struct ends ends;

static void *
write_on(void *arg)
{
	struct ends *own = arg;

	writer(own->data, own->status);
	close_fifo(own->data);
	close_fifo(own->status);
	return NULL;
}

static void
join(void)
{
	if (is_running)
		(void)pthread_join(thread, NULL);
	is_running = false;
}

static void
tell(int fd, long long id, const char *value)
{
	char result[1024];

	(void)snprintf(result, sizeof(result),
	    "{\"result\":{\"type\":\"string\",\"value\":\"%s\"}}", value);
	reply(fd, id, result);
}

static void
fork_copy(int fd, long long id)
{
	join();
	forked++;
	ends = (struct ends){ open_fifo("data"), open_fifo("status") };
	is_running = pthread_create(&thread, NULL, write_on, &ends) == 0;
	tell(fd, id, "4711 2345");
	if (is_cut)
		(void)shutdown(fd, SHUT_RDWR);
}

static void
write_direct(int fd, long long id)
{
	int data;

	if (strncmp(writes, "open", 4) != 0) {
		data = open_fifo("data");
		writer(data, -1);
		close_fifo(data);
	}
	tell(fd, id, writes);
}

static void
bury(int fd, long long id)
{
	killed++;
	tell(fd, id, "");
	if (on_killed != NULL)
		on_killed(fd);
}

/* The app, by the text of the function that it is to run. */
static bool
is_app(int fd, long long id, const char *method)
{
	if (strcmp(method, "Runtime.evaluate") != 0)
		return false;
	if (strstr(heard, "isFIFO") != NULL)
		tell(fd, id, sees);
	else if (strstr(heard, "dlopen") != NULL)
		tell(fd, id, loads);
	else if (strstr(heard, "addon.fork") != NULL && forks[0] != '\0')
		tell(fd, id, forks);
	else if (strstr(heard, "addon.fork") != NULL)
		fork_copy(fd, id);
	else if (strstr(heard, ".state()") != NULL)
		tell(fd, id, states);
	else if (strstr(heard, ".kill()") != NULL)
		bury(fd, id);
	else if (strstr(heard, "O_NONBLOCK") != NULL)
		write_direct(fd, id);
	else
		return false;
	return true;
}

/* It is stream's turn. */
static bool
streams_too(int fd, long long id, const char *method)
{
	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") != 0)
		return is_app(fd, id, method);
	send_chunk(fd, SNAPSHOT_HEAD);
	send_chunk(fd, SNAPSHOT_TAIL);
	reply(fd, id, "{}");
	return true;
}

static void
begin_method(enum conf_method method, bool force, writer_fn *fn)
{
	char path[300];
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN);
	bool is_new;
	struct err err;

	/* A copy may be left, and its reader closed, while it writes. */
	(void)signal(SIGPIPE, SIG_IGN);
	sees = loads = forks = states = writes = "";
	forked = killed = write_errno = 0;
	is_cut = false;
	on_killed = NULL;
	writer = fn;
	facts = FACTS_AND(ROOMY);
	begin(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", streams_too);
	(void)snprintf(path, sizeof(path), "%s/exchange", dir);
	assert_int_equal(mkdir(path, 0770), 0);
	if (method == METHOD_AUTO && !force)
		return;
	assert_ok(job_cancel(db, dir, job.id, &job, &err), err);
	order.method = method;
	order.force = force;
	assert_ok(job_create(db, dir, &order, &job, &is_new, &err), err);
}

/* Nothing is left where the app could find it. */
static void
end_method(void)
{
	char path[300];

	join();
	/* It ends by its age. */
	(void)snprintf(path, sizeof(path), "%s/exchange/" LEASE, dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/exchange", dir);
	assert_int_equal(rmdir(path), 0);
	end();
}

static void
run_well(enum conf_method method)
{
	struct err err;

	assert_ok(capture_run(conf, db, job.id, &err), err);
	read_job();
	assert_int_equal(job.state, JOB_SUCCEEDED);
	assert_int_equal(job.used_method, method);
	assert_int_equal(job.sum.size_bytes, strlen(SNAPSHOT));
	assert_int_equal(count_files(), 1);
}

static void
run_badly(int code, const char *text)
{
	struct err err;

	assert_err(capture_run(conf, db, job.id, &err), err, code, text);
	read_job();
	assert_int_equal(job.state, JOB_FAILED);
	assert_int_equal(job.error.code, code);
	assert_int_equal(count_files(), 0);
}

static void
expect_attempt(size_t i, enum conf_method method, enum job_outcome outcome,
    const char *reason)
{
	assert_true(i < job.attempts_len);
	assert_int_equal(job.attempts[i].method, method);
	assert_int_equal(job.attempts[i].outcome, outcome);
	if (strstr(job.attempts[i].reason, reason) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", job.attempts[i].reason, reason);
}

static void
works(int data, int status)
{
	say(status, "begun 4711\nalive 10 1000\n");
	say(data, SNAPSHOT);
	say(status, "alive 20 3000\nalive 30 2000\ndone\n");
}

static void
test_fork(void **state)
{
	(void)state;
	begin_method(METHOD_AUTO, false, works);
	run_well(METHOD_FORK);
	assert_int_equal(forked, 1);
	assert_int_equal(killed, 0);
	/* 2345 us are more than 2 ms. */
	assert_int_equal(job.freeze_ms, 3);
	assert_int_equal(job.memory_before_bytes, 1000);
	assert_int_equal(job.memory_peak_bytes, 1000 + 3000 * 1024);
	assert_int_equal(job.memory_after_bytes, 1000);
	assert_true(job.predicted_peak_bytes > 1000);
	assert_true(job.predicted_freeze_ms >= 0);
	assert_int_equal(job.attempts_len, 1);
	expect_attempt(0, METHOD_FORK, OUTCOME_RUNNING, "");
	assert_int_equal(job.progress_done, strlen(SNAPSHOT));
	assert_int_equal(job.progress_total, job.predicted_bytes);
	end_method();
}

/* What the copy says need not be of us. */
static void
says_nonsense(int data, int status)
{
	char line[1001];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	say(status, "alive\nalive x\nalive 1 2 3\nalive 99999999999999999999 1\n"
	    "alive 1 9223372036854775807\n\n \ndone \nDone\ncrashed\n");
	say(status, line);
	say(status, "\n");
	works(data, status);
}

static void
test_nonsense_is_ignored(void **state)
{
	(void)state;
	begin_method(METHOD_FORK, false, says_nonsense);
	run_well(METHOD_FORK);
	assert_int_equal(forked, 1);
	end_method();
}

static void
crashes_twice(int data, int status)
{
	if (forked == 3) {
		works(data, status);
		return;
	}
	say(data, "{\"snapshot\":{");
	say(status, forked == 1 ? "crash 11 -1\n" :
	    "stuck pthread_cond_wait\n");
}

static void
test_accidents_are_tried_again(void **state)
{
	(void)state;
	begin_method(METHOD_FORK, false, crashes_twice);
	run_well(METHOD_FORK);
	assert_int_equal(forked, 3);
	assert_int_equal(killed, 2);
	assert_int_equal(job.freeze_ms, 9);
	assert_int_equal(job.attempts_len, 3);
	expect_attempt(0, METHOD_FORK, OUTCOME_FAILED, "SIGSEGV");
	expect_attempt(1, METHOD_FORK, OUTCOME_FAILED, "pthread_cond_wait");
	expect_attempt(2, METHOD_FORK, OUTCOME_RUNNING, "");
	end_method();
}

static void
leaves(int data, int status)
{
	(void)data;
	say(status, "begun 4711\n");
}

static void
crashes(int data, int status)
{
	if (status < 0)
		say(data, SNAPSHOT);
	say(status, "crash 11 -1\n");
}

static void
test_after_three_another_method(void **state)
{
	(void)state;
	begin_method(METHOD_AUTO, false, crashes);
	run_well(METHOD_DIRECT);
	assert_int_equal(forked, 3);
	assert_int_equal(job.attempts_len, 4);
	expect_attempt(2, METHOD_FORK, OUTCOME_FAILED, "SIGSEGV");
	expect_attempt(3, METHOD_DIRECT, OUTCOME_RUNNING, "");
	end_method();
}

static int64_t seen_freeze_ms;

/* As others see the row, while the copy writes; some seconds for a busy
 * machine. */
static void
works_watched(int data, int status)
{
	struct db *own = NULL;
	struct job seen = { .freeze_ms = JOB_UNKNOWN };
	int i;

	say(status, "begun 4711\nalive 10 1000\n");
	if (job_open_db(dir, &own, NULL) == 0)
		for (i = 0; i < 2000 && seen.freeze_ms == JOB_UNKNOWN; i++) {
			(void)!job_get(own, dir, "sample", "pod-1", job.id,
			    &seen, NULL);
			(void)poll(NULL, 0, 5);
			if (i % 100 == 0)
				say(status, "alive 20 2000\n");
		}
	db_close(&own);
	seen_freeze_ms = seen.freeze_ms;
	say(data, SNAPSHOT);
	say(status, "alive 30 2000\ndone\n");
}

/* How long it froze the app is told at once, not in the end. */
static void
test_fork_tells_freeze(void **state)
{
	(void)state;
	begin_method(METHOD_FORK, false, works_watched);
	run_well(METHOD_FORK);
	assert_int_equal(seen_freeze_ms, 3);
	end_method();
}

/* Who asked for fork does not get a freeze. */
static void
test_but_not_if_asked_for(void **state)
{
	(void)state;
	begin_method(METHOD_FORK, false, crashes);
	run_badly(ERR_TARGET_REFUSED, "SIGSEGV");
	assert_int_equal(forked, 3);
	end_method();
}

static void
aborts(int data, int status)
{
	(void)data;
	say(status, "crash 6 -1\n");
}

/* What V8 gives up over in the copy would end the app. */
static void
test_but_not_if_v8_aborts(void **state)
{
	(void)state;
	begin_method(METHOD_AUTO, false, aborts);
	run_badly(ERR_TARGET_REFUSED, "SIGABRT");
	assert_int_equal(forked, 3);
	assert_int_equal(job.attempts_len, 3);
	end_method();
}

/* Force is for the copy; the guard stands before the app itself. */
static void
test_force_does_not_reach_the_app(void **state)
{
	(void)state;
	begin_method(METHOD_AUTO, true, leaves);
	facts = FACTS_AND(NARROW);
	states = "killed 9";
	run_badly(ERR_TARGET_REFUSED, "might not survive");
	assert_int_equal(forked, 3);
	assert_int_equal(job.memory_after_bytes, 1000);
	end_method();
	/* But it is, where there can be no copy. */
	begin_method(METHOD_AUTO, true, works);
	facts = FACTS_AND(NARROW);
	loads = "no";
	run_well(METHOD_DIRECT);
	end_method();
}

static void
runs_out(int data, int status)
{
	(void)data;
	say(status, "alive 10 5000000\ncrash 6 10\n");
}

/* Another method would take the same memory, in the app itself. */
static void
test_no_memory_ends_it(void **state)
{
	(void)state;
	begin_method(METHOD_AUTO, false, runs_out);
	run_badly(ERR_SPACE, "ran out of memory");
	assert_int_equal(forked, 1);
	assert_int_equal(job.attempts_len, 1);
	assert_int_equal(job.freeze_ms, 3);
	assert_int_equal(job.memory_peak_bytes, 1000 + 5000000LL * 1024);
	end_method();
}

static void
test_end_without_a_word(void **state)
{
	(void)state;
	begin_method(METHOD_FORK, false, leaves);
	states = "killed 9";
	run_badly(ERR_TARGET_REFUSED, "killed 9");
	assert_int_equal(forked, 3);
	end_method();
}

static void
lies(int data, int status)
{
	say(data, "{\"snapshot\":[1,2,3]}");
	say(status, "done\n");
}

static void
says_half(int data, int status)
{
	say(data, "{\"snapshot\":{\"meta\":{\"node_fields\":[\"type\"],"
	    "\"edge_fields\":[\"type\"]},\"node_count\":1,\"edge_count\":0},"
	    "\"nodes\":[0],\"edges\":[],\"strings\":[\"");
	say(status, "done\n");
}

static void
test_lies_are_no_snapshot(void **state)
{
	(void)state;
	begin_method(METHOD_FORK, false, lies);
	run_badly(ERR_TARGET_REFUSED, "no heap snapshot");
	assert_int_equal(forked, 3);
	end_method();
	begin_method(METHOD_FORK, false, says_half);
	run_badly(ERR_TARGET_REFUSED, "not whole");
	end_method();
}

static void
test_app_is_lost(void **state)
{
	(void)state;
	begin_method(METHOD_AUTO, false, leaves);
	is_cut = true;
	run_badly(ERR_TARGET_EXITED, "the app ended");
	assert_int_equal(forked, 1);
	end_method();
	/* Its inspector may be closed, and the copy goes on. */
	begin_method(METHOD_AUTO, false, works);
	is_cut = true;
	run_well(METHOD_FORK);
	assert_int_equal(job.memory_after_bytes, JOB_UNKNOWN);
	end_method();
}

static void
cancel_job(void)
{
	struct db *own = NULL;
	struct job now;

	if (job_open_db(dir, &own, NULL) == 0)
		(void)!job_cancel(own, dir, job.id, &now, NULL);
	db_close(&own);
}

static void
is_canceled(int data, int status)
{
	const int fd = status >= 0 ? status : data;
	struct pollfd broken = { .fd = fd, .events = 0 };

	say(data, "{\"snapshot\":{");
	cancel_job();
	/* POLLERR: nobody reads any more. */
	(void)poll(&broken, 1, 10000);
	say(fd, "alive 10 10\n");
}

static void
test_canceled(void **state)
{
	struct err err;

	(void)state;
	begin_method(METHOD_AUTO, false, is_canceled);
	assert_err(capture_run(conf, db, job.id, &err), err, ERR_CONFLICT,
	    "canceled");
	join();
	assert_int_equal(write_errno, EPIPE);
	assert_int_equal(killed, 1);
	read_job();
	assert_int_equal(job.state, JOB_CANCELED);
	assert_false(job.holds_target);
	assert_int_equal(count_files(), 0);
	end_method();
}

static void
cut(int fd)
{
	(void)shutdown(fd, SHUT_RDWR);
}

/* Between two copies the app ends: why the first one failed is still told. */
static void
test_app_is_lost_between_copies(void **state)
{
	(void)state;
	begin_method(METHOD_FORK, false, crashes);
	on_killed = cut;
	run_badly(ERR_TARGET_EXITED, "SIGSEGV");
	assert_non_null(strstr(job.error.msg, "the app ended"));
	assert_int_equal(forked, 1);
	end_method();
}

static void
cancel_at_last(int fd)
{
	(void)fd;
	if (killed == CAPTURE_FORKS - 1)
		cancel_job();
}

static void
test_canceled_between_copies(void **state)
{
	struct err err;

	(void)state;
	begin_method(METHOD_FORK, false, crashes);
	on_killed = cancel_at_last;
	assert_err(capture_run(conf, db, job.id, &err), err, ERR_CONFLICT,
	    "SIGSEGV");
	assert_non_null(strstr(err.msg, "canceled"));
	assert_int_equal(forked, CAPTURE_FORKS - 1);
	read_job();
	assert_int_equal(job.state, JOB_CANCELED);
	assert_false(job.holds_target);
	end_method();
}

static void
test_what_cannot_work_is_skipped(void **state)
{
	(void)state;
	begin_method(METHOD_AUTO, false, works);
	loads = "not permitted here";
	run_well(METHOD_DIRECT);
	assert_int_equal(job.attempts_len, 2);
	expect_attempt(0, METHOD_FORK, OUTCOME_SKIPPED, "not permitted here");
	end_method();

	begin_method(METHOD_AUTO, false, works);
	sees = "ENOENT user 7, groups 7";
	run_well(METHOD_STREAM);
	assert_int_equal(job.attempts_len, 3);
	expect_attempt(0, METHOD_FORK, OUTCOME_SKIPPED, "does not see");
	expect_attempt(1, METHOD_DIRECT, OUTCOME_SKIPPED, "does not see");
	expect_attempt(2, METHOD_STREAM, OUTCOME_RUNNING, "");
	end_method();

	begin_method(METHOD_AUTO, false, works);
	forks = "! fork: EAGAIN";
	run_well(METHOD_DIRECT);
	expect_attempt(0, METHOD_FORK, OUTCOME_FAILED, "EAGAIN");
	end_method();

	begin_method(METHOD_AUTO, false, works);
	facts = FACTS_AND(",\\\"arch\\\":\\\"s390x\\\"");
	run_well(METHOD_DIRECT);
	expect_attempt(0, METHOD_FORK, OUTCOME_SKIPPED, "s390x");
	end_method();

	begin_method(METHOD_AUTO, false, works);
	facts = FACTS_AND(ROOMY ",\\\"addonsOff\\\":1");
	run_well(METHOD_DIRECT);
	expect_attempt(0, METHOD_FORK, OUTCOME_SKIPPED, "--no-addons");
	end_method();
}

static void
test_what_was_asked_for_is_refused(void **state)
{
	(void)state;
	begin_method(METHOD_FORK, false, works);
	sees = "EACCES user 7, groups 7 8";
	run_badly(ERR_TARGET_REFUSED, "user 7, groups 7 8");
	/* Nobody was told of it. */
	assert_int_equal(job.accepted_at_ms, JOB_UNKNOWN);
	end_method();
	begin_method(METHOD_DIRECT, false, works);
	sees = "EACCES user 7, groups 7 8";
	run_badly(ERR_TARGET_REFUSED, "method direct cannot be used");
	end_method();
}

static void
test_direct(void **state)
{
	(void)state;
	begin_method(METHOD_DIRECT, false, works);
	run_well(METHOD_DIRECT);
	assert_int_equal(forked, 0);
	assert_true(job.freeze_ms >= 0);
	assert_int_equal(job.memory_peak_bytes, 2000);
	assert_int_equal(job.attempts_len, 1);
	end_method();
}

static void
test_direct_cannot_open(void **state)
{
	(void)state;
	begin_method(METHOD_DIRECT, false, works);
	writes = "open ENXIO";
	run_badly(ERR_TARGET_REFUSED, "ENXIO");
	end_method();
	/* Nothing was frozen yet. */
	begin_method(METHOD_AUTO, false, works);
	loads = "no";
	writes = "open ENXIO";
	run_well(METHOD_STREAM);
	expect_attempt(1, METHOD_DIRECT, OUTCOME_FAILED, "ENXIO");
	end_method();
}

/* It would freeze the app a second time. */
static void
test_direct_cannot_write(void **state)
{
	(void)state;
	begin_method(METHOD_AUTO, false, works);
	loads = "no";
	writes = "write EIO";
	run_badly(ERR_TARGET_REFUSED, "EIO");
	assert_int_equal(job.attempts_len, 2);
	end_method();
}

static void
test_direct_is_canceled(void **state)
{
	struct err err;

	(void)state;
	begin_method(METHOD_DIRECT, false, is_canceled);
	assert_err(capture_run(conf, db, job.id, &err), err, ERR_CONFLICT,
	    "canceled");
	assert_int_equal(write_errno, EPIPE);
	read_job();
	assert_int_equal(job.state, JOB_CANCELED);
	assert_false(job.holds_target);
	assert_int_equal(count_files(), 0);
	end_method();
}

static void
test_memory_guard(void **state)
{
	(void)state;
	begin_method(METHOD_AUTO, false, works);
	facts = FACTS_AND(NARROW);
	run_badly(ERR_SPACE, "force");
	assert_int_equal(job.accepted_at_ms, JOB_UNKNOWN);
	assert_int_equal(forked, 0);
	end_method();
	begin_method(METHOD_AUTO, true, works);
	facts = FACTS_AND(NARROW);
	run_well(METHOD_FORK);
	end_method();
}

static const char *
text_of(const struct json *object, const char *key)
{
	const char *text = json_string(json_get(object, key));

	return text != NULL ? text : "";
}

static void
test_look(void **state)
{
	const struct json *method;
	struct json *found = NULL;
	struct err err;

	(void)state;
	begin_method(METHOD_AUTO, false, works);
	facts = FACTS_AND(ROOMY ",\\\"addonsOff\\\":1");
	assert_ok(capture_look(conf, db, "sample", &err), err);
	assert_ok(look_get(db, "sample", "pod-1", 1000, &found, &err), err);
	assert_int_equal(forked, 0);
	assert_true(json_is_true(json_path(found, "inspector", "reachable")));
	assert_string_equal(text_of(found, "node"), "v20.20.2");
	assert_int_equal(json_int(json_path(found, "memory", "rssBytes"), 0),
	    1000);
	method = json_first(json_get(found, "methods"));
	assert_string_equal(text_of(method, "method"), "fork");
	assert_true(json_is_bool(json_get(method, "usable")) &&
	    !json_is_true(json_get(method, "usable")));
	assert_non_null(strstr(text_of(method, "reason"), "--no-addons"));
	method = json_next(method);
	assert_string_equal(text_of(method, "method"), "direct");
	assert_true(json_is_true(json_get(method, "usable")));
	assert_true(json_int(json_path(found, "predicted", "peakBytes"), 0) >
	    1000);
	json_free(&found);
	end_method();
}

static void
test_without_the_addon(void **state)
{
	const struct json *method;
	struct json *found = NULL;
	struct err err;

	(void)state;
	begin_method(METHOD_AUTO, false, works);
	facts = FACTS_AND(ROOMY);
	is_addon_missing = true;
	assert_ok(capture_look(conf, db, "sample", &err), err);
	assert_ok(look_get(db, "sample", "pod-1", 1000, &found, &err), err);
	method = json_first(json_get(found, "methods"));
	assert_string_equal(text_of(method, "method"), "fork");
	assert_false(json_is_true(json_get(method, "usable")));
	assert_non_null(strstr(text_of(method, "reason"),
	    "/none: No such file or directory; install podprof anew"));
	method = json_next(method);
	assert_true(json_is_true(json_get(method, "usable")));
	json_free(&found);
	is_addon_missing = false;
	end_method();
}

static void
test_look_at_nobody(void **state)
{
	struct json *found = NULL;
	struct err err;

	(void)state;
	begin_method(METHOD_AUTO, false, works);
	inspector_stop(&in);
	assert_ok(capture_look(conf, db, "sample", &err), err);
	assert_ok(look_get(db, "sample", "pod-1", 1000, &found, &err), err);
	assert_false(json_is_true(json_path(found, "inspector", "reachable")));
	json_free(&found);
	assert_err(capture_look(conf, db, "other", &err), err, ERR_NOT_FOUND,
	    "other");
	inspector_start(&in, script);
	end_method();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_fork_tells_freeze),
		cmocka_unit_test(test_nonsense_is_ignored),
		cmocka_unit_test(test_accidents_are_tried_again),
		cmocka_unit_test(test_after_three_another_method),
		cmocka_unit_test(test_but_not_if_asked_for),
		cmocka_unit_test(test_but_not_if_v8_aborts),
		cmocka_unit_test(test_force_does_not_reach_the_app),
		cmocka_unit_test(test_no_memory_ends_it),
		cmocka_unit_test(test_end_without_a_word),
		cmocka_unit_test(test_lies_are_no_snapshot),
		cmocka_unit_test(test_app_is_lost),
		cmocka_unit_test(test_canceled),
		cmocka_unit_test(test_app_is_lost_between_copies),
		cmocka_unit_test(test_canceled_between_copies),
		cmocka_unit_test(test_what_cannot_work_is_skipped),
		cmocka_unit_test(test_what_was_asked_for_is_refused),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_direct_cannot_open),
		cmocka_unit_test(test_direct_cannot_write),
		cmocka_unit_test(test_direct_is_canceled),
		cmocka_unit_test(test_memory_guard),
		cmocka_unit_test(test_look),
		cmocka_unit_test(test_without_the_addon),
		cmocka_unit_test(test_look_at_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
