/*
 * The keeper, in its thread and at the end of a CGI request: what it removes,
 * compares and makes, and what it says of a state that cannot be used.
 */
#include "site.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <utime.h>

#include "ballast.h"
#include "clock.h"
#include "exchange.h"
#include "file.h"
#include "keeper.h"
#include "link.h"
#include "opening.h"
#include "service.h"

#define ORPHAN "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77"
#define NO_JOB "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c78"

static struct site site;
static struct service *service;
static struct keeper *keeper;

/* Added to the clock of this program, which then is ahead of nobody's. */
static int64_t clock_shift_ms;

int64_t __wrap_clock_utc_ms(void);
int64_t __real_clock_utc_ms(void);

int64_t
__wrap_clock_utc_ms(void)
{
	return __real_clock_utc_ms() +
	    __atomic_load_n(&clock_shift_ms, __ATOMIC_RELAXED);
}

static void
shift_clock(int64_t ms)
{
	__atomic_store_n(&clock_shift_ms, ms, __ATOMIC_RELAXED);
}

/* The same for the one that goes by itself. */
static int64_t mono_shift_ms;

int64_t __wrap_clock_mono_ms(void);
int64_t __real_clock_mono_ms(void);

int64_t
__wrap_clock_mono_ms(void)
{
	return __real_clock_mono_ms() +
	    __atomic_load_n(&mono_shift_ms, __ATOMIC_RELAXED);
}

static void
shift_mono(int64_t ms)
{
	__atomic_store_n(&mono_shift_ms, ms, __ATOMIC_RELAXED);
}

static pid_t started[3];
static size_t started_len;

/* A process that does nothing, and does not end. */
int __wrap_spawn_capture(const struct conf *conf, enum spawn_task task,
    const char *name, enum spawn_log log, pid_t *ret_pid, struct err *err);

int
__wrap_spawn_capture(const struct conf *conf, enum spawn_task task,
    const char *name, enum spawn_log log, pid_t *ret_pid, struct err *err)
{
	char program[] = "sleep", forever[] = "3600";
	char *argv[] = { program, forever, NULL };

	(void)conf;
	(void)task;
	(void)name;
	(void)log;
	if (posix_spawnp(ret_pid, program, NULL, NULL, argv, environ) != 0)
		return err_set(err, ERR_INTERNAL, "no sleep(1)");
	assert_true(started_len < sizeof(started) / sizeof(started[0]));
	started[started_len++] = *ret_pid;
	return 0;
}

/* What is said to be free on the disk. */
#define DISK_FREE (INT64_C(1) << 30)
/* Less each time that it is asked for: others write. */
static bool disk_fills;

int __wrap_artifact_free_bytes(const char *state_dir, int64_t *ret_bytes,
    struct err *err);

int
__wrap_artifact_free_bytes(const char *state_dir, int64_t *ret_bytes,
    struct err *err)
{
	static int64_t used_bytes;

	(void)state_dir;
	(void)err;
	*ret_bytes = DISK_FREE;
	if (__atomic_load_n(&disk_fills, __ATOMIC_RELAXED))
		*ret_bytes -= __atomic_add_fetch(&used_bytes, 1000,
		    __ATOMIC_RELAXED);
	return 0;
}

static bool ballast_fails;

int __wrap_ballast_make(const char *state_dir, struct err *err);
int __real_ballast_make(const char *state_dir, struct err *err);

int
__wrap_ballast_make(const char *state_dir, struct err *err)
{
	if (__atomic_load_n(&ballast_fails, __ATOMIC_RELAXED))
		return err_set(err, ERR_STORE, "cannot make the ballast");
	return __real_ballast_make(state_dir, err);
}

static bool settle_fails;

int __wrap_job_settle(struct db *db, const char *state_dir, struct err *err);
int __real_job_settle(struct db *db, const char *state_dir, struct err *err);

int
__wrap_job_settle(struct db *db, const char *state_dir, struct err *err)
{
	if (__atomic_load_n(&settle_fails, __ATOMIC_RELAXED))
		return err_set(err, ERR_SPACE, "the disk is full");
	return __real_job_settle(db, state_dir, err);
}

/* Exchange directories that were swept, each time. */
static size_t exchange_sweeps;

int __wrap_exchange_sweep(const char *dir, struct err *err);
int __real_exchange_sweep(const char *dir, struct err *err);

int
__wrap_exchange_sweep(const char *dir, struct err *err)
{
	__atomic_fetch_add(&exchange_sweeps, 1, __ATOMIC_RELAXED);
	return __real_exchange_sweep(dir, err);
}

static int
set_up(void **state)
{
	struct err err;

	(void)state;
	exchange_sweeps = started_len = 0;
	shift_clock(0);
	shift_mono(0);
	ballast_fails = settle_fails = false;
	site_open(&site);
	assert_ok(service_new(&site.conf, SPAWN_LOG_STDERR, &service, &err),
	    err);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	front_drop_log();
	keeper_free(&keeper);
	assert_null(keeper);
	service_free(&service);
	site_close(&site);
	return 0;
}

/* When the work was done last; in seconds from now. */
static void
set_swept(int64_t seconds)
{
	const struct utimbuf times = { time(NULL) + seconds,
		time(NULL) + seconds };
	char path[400];

	(void)snprintf(path, sizeof(path), "%s/swept", site.state_dir);
	assert_int_equal(utime(path, &times), 0);
}

static void
start_keeper(void)
{
	struct err err;

	assert_ok(keeper_start(service, &keeper, &err), err);
}

/* Round after round of the keeper until it is so; at most 20 s. */
#define AWAIT(condition)                                                       \
	do {                                                                   \
		const int64_t end_ms = clock_mono_ms() + 20000;                \
		while (!(condition)) {                                         \
			if (clock_mono_ms() > end_ms)                          \
				fail_msg("still not: %s", #condition);         \
			keeper_kick(keeper);                                   \
			(void)poll(NULL, 0, 2);                                \
		}                                                              \
	} while (0)

static bool
is_at(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void
orphan_path(const char *ending, char out[400])
{
	(void)snprintf(out, 400, "%s/artifacts/%s.%s", site.state_dir, ORPHAN,
	    ending);
}

static void
put_orphan(const char *ending)
{
	char path[400];
	struct err err;

	orphan_path(ending, path);
	assert_ok(file_replace(path, "{}", 2, 0600, &err), err);
}

static bool
has_orphan(const char *ending)
{
	char path[400];

	orphan_path(ending, path);
	return is_at(path);
}

static bool
has_ballast(void)
{
	char path[400];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/ballast", site.state_dir);
	return lstat(path, &st) == 0 && st.st_size == BALLAST_BYTES;
}

static enum job_removal
removal_of(const char *id)
{
	return site_job(&site, "app", id).removed_because;
}

static void
deliver(const char *id)
{
	struct err err;

	assert_ok(job_deliver(site.db, site.state_dir, id, 0, &err), err);
}

static void
make_link(const char *id)
{
	char secret[LINK_SECRET_MAX];
	struct link link;
	struct err err;

	assert_ok(link_create(site.db, "app", id, "oda", secret, &link,
	    &err), err);
}

static int64_t
count(const char *sql)
{
	struct db_stmt *stmt;
	struct err err;
	int64_t n;

	assert_ok(db_prepare(site.db, sql, &stmt, &err), err);
	assert_int_equal(db_step(stmt, &err), 1);
	n = db_column_int(stmt, "n", -1);
	db_done(stmt);
	return n;
}

#define COUNT_LINKS "SELECT count(*) AS n FROM links"
#define COUNT_LITTER "SELECT count(*) AS n FROM jobs" \
	" WHERE state = 'failed' AND removed_at_ms IS NULL"
#define COUNT_JOBS "SELECT count(*) AS n FROM jobs"
#define COUNT_PODS "SELECT count(*) AS n FROM meter_pods"

static size_t
occurrences(const char *text, const char *word)
{
	size_t n = 0;

	while ((text = strstr(text, word)) != NULL) {
		n++;
		text++;
	}
	return n;
}

/* Let at least two more rounds come to their end. */
static void
pass_rounds(void)
{
	char id[3][UUID_MAX];
	size_t i;

	for (i = 0; i < 3; i++) {
		site_take(&site, 10, id[i]);
		deliver(id[i]);
		AWAIT(removal_of(id[i]) == REMOVED_EXPIRED);
	}
}

static void
test_ready(void **state)
{
	char path[400];

	(void)state;
	assert_false(service_is_ready(service));
	start_keeper();
	AWAIT(service_is_ready(service));
	assert_true(has_ballast());
	/* It is made again when it was given up. */
	assert_true(ballast_drop(site.state_dir));
	AWAIT(has_ballast());
	(void)snprintf(path, sizeof(path), "%s/artifacts", site.state_dir);
	assert_true(is_at(path));
	assert_true(service_is_ready(service));
}

/* What no row knows is removed, what the rows know and is not there is told,
 * and nothing else is touched. */
static void
test_reconcile(void **state)
{
	static const char *const endings[] = { "heapsnapshot",
		"heapsnapshot.zst", "cpuprofile.zst", "part" };
	char kept[UUID_MAX], lost[UUID_MAX], cut[UUID_MAX], path[400];
	size_t i;

	(void)state;
	site_take(&site, 1000, kept);
	site_take(&site, 1000, lost);
	site_take(&site, 1000, cut);
	site_path(&site, lost, path);
	assert_int_equal(unlink(path), 0);
	site_path(&site, cut, path);
	assert_int_equal(truncate(path, 1), 0);
	for (i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		put_orphan(endings[i]);
	start_keeper();
	AWAIT(removal_of(lost) == REMOVED_LOST);
	AWAIT(removal_of(cut) == REMOVED_LOST);
	assert_false(is_at(path));
	for (i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		AWAIT(!has_orphan(endings[i]));
	AWAIT(service_is_ready(service));
	assert_int_equal(removal_of(kept), REMOVED_NOT);
	site_path(&site, kept, path);
	assert_true(is_at(path));
	/* Again and again. */
	put_orphan("heapsnapshot");
	assert_int_equal(unlink(path), 0);
	AWAIT(!has_orphan("heapsnapshot"));
	AWAIT(removal_of(kept) == REMOVED_LOST);
}

/* The oldest go, but what was delivered goes before. */
static void
test_store_bytes(void **state)
{
	char id[4][UUID_MAX];
	struct err err;
	size_t i;

	(void)state;
	site.conf.compression = COMPRESSION_NONE;
	for (i = 0; i < 4; i++)
		site_take(&site, 1000, id[i]);
	assert_ok(job_deliver(site.db, site.state_dir, id[2], 600000, &err),
	    err);
	site.conf.store_bytes = 2000;
	start_keeper();
	AWAIT(removal_of(id[0]) == REMOVED_ROOM);
	assert_int_equal(removal_of(id[2]), REMOVED_ROOM);
	AWAIT(service_is_ready(service));
	assert_int_equal(removal_of(id[1]), REMOVED_NOT);
	assert_int_equal(removal_of(id[3]), REMOVED_NOT);
	assert_int_equal(site_count(&site, "app"), 4);
}

static void
test_store_jobs(void **state)
{
	char id[4][UUID_MAX];
	struct job job;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		site_take(&site, 1000, id[i]);
	site.conf.store_jobs = 3;
	start_keeper();
	AWAIT(count(COUNT_JOBS) == 3);
	AWAIT(service_is_ready(service));
	assert_err(job_get(site.db, site.state_dir, "app", "pod-1", id[0],
	    &job, &err), err, ERR_NOT_FOUND, id[0]);
	for (i = 1; i < 4; i++)
		assert_int_equal(removal_of(id[i]), REMOVED_NOT);
}

/* The disk has less free than is to be: files go, but none that is read, as
 * that would give nothing back. */
static void
test_min_free(void **state)
{
	char id[2][UUID_MAX];
	struct artifact_reader *reader = NULL;
	struct job job;
	struct err err;

	(void)state;
	site.conf.compression = COMPRESSION_NONE;
	site_take(&site, 1000, id[0]);
	site_take(&site, 1000, id[1]);
	job = site_job(&site, "app", id[0]);
	assert_ok(artifact_open(site.state_dir, id[0], "heapsnapshot",
	    &job.sum, &reader, &err), err);
	site.conf.min_free_bytes = DISK_FREE + 500;
	start_keeper();
	AWAIT(removal_of(id[1]) == REMOVED_ROOM);
	AWAIT(service_is_ready(service));
	assert_int_equal(removal_of(id[0]), REMOVED_NOT);
	artifact_close(&reader);
	AWAIT(removal_of(id[0]) == REMOVED_ROOM);
}

/* All of them would not be enough: none goes, and that is told, once, though
 * the numbers in it are others each time. */
static void
test_disk_of_others(void **state)
{
	char id[UUID_MAX], other[UUID_MAX];
	const char *text;

	(void)state;
	log_setup(LOG_WARN, LOG_LOGFMT);
	front_begin_log();
	site_take(&site, 1000, id);
	site.conf.min_free_bytes = DISK_FREE + 5000000;
	__atomic_store_n(&disk_fills, true, __ATOMIC_RELAXED);
	start_keeper();
	AWAIT(service_is_ready(service));
	AWAIT(strstr(front_read_log(), "min_free_bytes") != NULL);
	/* What is over goes all the same. */
	site_take(&site, 1000, other);
	deliver(other);
	AWAIT(removal_of(other) == REMOVED_EXPIRED);
	pass_rounds();
	assert_true(service_is_ready(service));
	assert_int_equal(removal_of(id), REMOVED_NOT);
	keeper_free(&keeper);
	__atomic_store_n(&disk_fills, false, __ATOMIC_RELAXED);
	text = front_end_log();
	log_setup(LOG_ERROR, LOG_LOGFMT);
	assert_int_equal(occurrences(text, "level=warn module=keeper"), 1);
}

/* A profile that was accepted, and that nobody has begun. */
static void
order_profile(char ret_id[UUID_MAX])
{
	const struct job_order order = { .app = "app", .pod = "pod-1",
		.kind = JOB_CPU_PROFILE, .method = METHOD_AUTO,
		.duration_ms = 500, .interval_us = JOB_UNKNOWN,
		.sampling_bytes = JOB_UNKNOWN,
		.requested_by = "oda", .request_id = "r", .profiles_max = 9 };
	struct job job;
	struct err err;
	bool is_new;

	assert_ok(job_create(site.db, site.state_dir, &order, &job, &is_new,
	    &err), err);
	assert_ok(job_accept(site.db, job.id, &job, &err), err);
	memcpy(ret_id, job.id, UUID_MAX);
}

/* What is over: files, links, processes that never came up, and what was
 * counted of pods that are not there any more. */
static void
test_over(void **state)
{
	const int64_t began_ms = clock_utc_ms();
	char id[UUID_MAX], queued[UUID_MAX], path[400];
	struct err err;

	(void)state;
	site_take(&site, 1000, id);
	site_path(&site, id, path);
	make_link(id);
	order_profile(queued);
	assert_ok(db_exec(site.db, "INSERT INTO meter_pods VALUES ('old', 1)",
	    &err), err);
	start_keeper();
	AWAIT(service_is_ready(service));
	AWAIT(count(COUNT_PODS) == 1);
	assert_int_equal(count(COUNT_LINKS), 1);
	/* On a busy machine its time may be over already. */
	assert_true(site_job(&site, "app", queued).state == JOB_QUEUED ||
	    clock_utc_ms() - began_ms >= JOB_QUEUE_MS);
	shift_clock(LINK_LIFE_MS + 1000);
	AWAIT(count(COUNT_LINKS) == 0);
	/* A look at the job by itself would settle it. */
	AWAIT(count(COUNT_JOBS " WHERE state = 'failed'") == 1);
	assert_true(is_at(path));
	shift_clock(site.conf.keep_ms + 1000);
	AWAIT(removal_of(id) == REMOVED_EXPIRED);
	assert_false(is_at(path));
}

/*
 * The state cannot be used: said once, in the log and to whoever asks; and
 * taken back when it is over.  The rest of the work goes on.
 */
static void
expect_told(void (*spoil)(void), void (*mend)(void), const char *reason)
{
	const char *text;

	front_begin_log();
	log_setup(LOG_INFO, LOG_LOGFMT);
	start_keeper();
	AWAIT(service_is_ready(service));
	spoil();
	AWAIT(!service_is_ready(service));
	AWAIT(strstr(front_read_log(), "not ready") != NULL);
	pass_rounds();
	assert_false(service_is_ready(service));
	mend();
	AWAIT(service_is_ready(service));
	keeper_free(&keeper);
	text = front_end_log();
	log_setup(LOG_ERROR, LOG_LOGFMT);
	assert_int_equal(occurrences(text, "msg=\"ready\"") +
	    occurrences(text, "msg=ready"), 2);
	assert_int_equal(occurrences(text, "level=error module=keeper"), 1);
	if (strstr(text, reason) == NULL)
		fail_msg("no \"%s\" in %s", reason, text);
}

static void
hide_tokens(void)
{
	char aside[320];

	(void)snprintf(aside, sizeof(aside), "%s.aside", site.tokens);
	assert_int_equal(rename(site.tokens, aside), 0);
}

static void
show_tokens(void)
{
	char aside[320];

	(void)snprintf(aside, sizeof(aside), "%s.aside", site.tokens);
	assert_int_equal(rename(aside, site.tokens), 0);
}

static void
test_tokens(void **state)
{
	(void)state;
	expect_told(hide_tokens, show_tokens, "not ready: there is no tokens "
	    "file");
}

/* Rows cannot be written: what is over goes all the same, which may be what
 * makes the room. */
static void
break_settle(void)
{
	__atomic_store_n(&settle_fails, true, __ATOMIC_RELAXED);
}

static void
mend_settle(void)
{
	__atomic_store_n(&settle_fails, false, __ATOMIC_RELAXED);
}

static void
test_no_settling(void **state)
{
	(void)state;
	expect_told(break_settle, mend_settle, "not ready: the disk is full");
}

/* An orphan that cannot be removed. */
static void
put_directory(void)
{
	char path[400];

	orphan_path("heapsnapshot", path);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void
remove_directory(void)
{
	char path[400];

	orphan_path("heapsnapshot", path);
	assert_int_equal(rmdir(path), 0);
}

/* It is in nobody's way: told once, however often it is met. */
static void
test_orphan_stays(void **state)
{
	const char *text;
	size_t i;

	(void)state;
	front_begin_log();
	log_setup(LOG_WARN, LOG_LOGFMT);
	put_directory();
	start_keeper();
	AWAIT(service_is_ready(service));
	AWAIT(strstr(front_read_log(), "cannot remove artifacts/" ORPHAN
	    ".heapsnapshot: ") != NULL);
	/* Those beside it go, each time. */
	for (i = 0; i < 3; i++) {
		put_orphan("part");
		put_orphan("cpuprofile");
		AWAIT(!has_orphan("part"));
		AWAIT(!has_orphan("cpuprofile"));
		assert_true(service_is_ready(service));
	}
	keeper_free(&keeper);
	remove_directory();
	text = front_end_log();
	log_setup(LOG_ERROR, LOG_LOGFMT);
	assert_int_equal(occurrences(text, "level=warn module=keeper"), 1);
	assert_int_equal(occurrences(text, "level=warn module=reconcile"), 6);
}

/* What a failed job has left, and cannot be removed, keeps nothing else. */
static void
test_litter_stays(void **state)
{
	char id[3][UUID_MAX], failed[UUID_MAX], path[400];
	const char *text;
	size_t i;

	(void)state;
	order_profile(failed);
	site_attach(site.db, failed);
	site_fail(&site, failed, ERR_TARGET_EXITED, "the app ended");
	(void)snprintf(path, sizeof(path), "%s/artifacts/%s.part",
	    site.state_dir, failed);
	assert_int_equal(mkdir(path, 0700), 0);
	site.conf.compression = COMPRESSION_NONE;
	for (i = 0; i < 3; i++)
		site_take(&site, 1000, id[i]);
	make_link(id[2]);
	shift_clock(LINK_LIFE_MS + 1000);
	site.conf.store_bytes = 2000;
	log_setup(LOG_WARN, LOG_LOGFMT);
	front_begin_log();
	start_keeper();
	AWAIT(removal_of(id[0]) == REMOVED_ROOM);
	AWAIT(count(COUNT_LINKS) == 0);
	AWAIT(service_is_ready(service));
	pass_rounds();
	assert_true(service_is_ready(service));
	assert_int_equal(removal_of(id[1]), REMOVED_NOT);
	assert_int_equal(removal_of(id[2]), REMOVED_NOT);
	assert_int_equal(count(COUNT_LITTER), 1);
	assert_int_equal(rmdir(path), 0);
	AWAIT(count(COUNT_LITTER) == 0);
	keeper_free(&keeper);
	text = front_end_log();
	log_setup(LOG_ERROR, LOG_LOGFMT);
	/* By who sweeps, and by who reconciles. */
	assert_in_range(occurrences(text, "level=warn module=keeper"), 1, 2);
	assert_non_null(strstr(text, path));
}

/* In dir: a directory of a job with a FIFO in it, and nobody who owns it, as it
 * is while its podprof-capture makes it, or once that is gone. */
static void
leave_exchange(const char *dir, const char *job_id)
{
	char aside[400], path[400], fifo[420];

	(void)snprintf(aside, sizeof(aside), "%s/aside", site.dir);
	(void)snprintf(fifo, sizeof(fifo), "%s/" EXCHANGE_DATA, aside);
	(void)snprintf(path, sizeof(path), "%s/podprof-%s.0123456789abcdef",
	    dir, job_id);
	assert_int_equal(mkdir(aside, 0750), 0);
	assert_int_equal(mkfifo(fifo, 0620), 0);
	assert_int_equal(rename(aside, path), 0);
}

/* Without a process for it: the keeper waits for any. */
static size_t
count_entries(const char *path)
{
	const struct dirent *entry;
	DIR *dir = opendir(path);
	size_t len = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		len += strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0;
	(void)closedir(dir);
	return len;
}

/* What a killed capture left goes, in the directory of each app; nothing of
 * one that lives, and nothing that is not ours. */
static void
test_exchange(void **state)
{
	/* The keeper reads it until it is freed, after us. */
	static char other[300];
	char strange[400];
	struct exchange *exchange = NULL;
	struct err err;
	size_t i;

	(void)state;
	assert_int_equal(mkdir(site.exchange_dir, 0770), 0);
	(void)snprintf(other, sizeof(other), "%s/other", site.dir);
	assert_int_equal(mkdir(other, 0770), 0);
	site.apps[1].exchange_dir = other;
	(void)snprintf(strange, sizeof(strange), "%s/strange", other);
	assert_int_equal(mkdir(strange, 0770), 0);
	assert_ok(exchange_create(other, ORPHAN, &exchange, &err), err);
	leave_exchange(other, NO_JOB);
	leave_exchange(site.exchange_dir, NO_JOB);
	assert_int_equal(count_entries(other), 3);
	assert_int_equal(count_entries(site.exchange_dir), 1);
	start_keeper();
	AWAIT(count_entries(other) == 2);
	AWAIT(count_entries(site.exchange_dir) == 0);
	/* Again and again. */
	for (i = 0; i < 2; i++) {
		leave_exchange(site.exchange_dir, NO_JOB);
		AWAIT(count_entries(site.exchange_dir) == 0);
	}
	assert_int_equal(access(exchange_path(exchange), F_OK), 0);
	assert_int_equal(access(strange, F_OK), 0);
	exchange_free(&exchange);
	AWAIT(service_is_ready(service));
}

/* Those of the started that are there still; signal: send it to them, or 0. */
static size_t
visit_children(int signal)
{
	size_t i, len = 0;

	for (i = 0; i < started_len; i++)
		len += kill(started[i], signal) == 0;
	return len;
}

/* What a process leaves that opened an inspector, and was killed. */
static struct opening_lock *
open_inspector(const char *app)
{
	struct opening opening = { .signaled_ms = clock_utc_ms() };
	struct opening_lock *lock = NULL;
	struct err err;

	assert_ok(proc_self(&opening.proc, &err), err);
	assert_true(port_parse("127.0.0.1", 9229, &opening.port));
	assert_ok(opening_lock(site.state_dir, app, 0, &lock, &err), err);
	assert_ok(opening_use(lock, &err), err);
	assert_ok(opening_write(lock, &opening, &err), err);
	opening_share(lock);
	return lock;
}

/* An inspector that nobody uses any more is closed, by a process of its own. */
static void
test_left_open(void **state)
{
	struct opening_lock *used = open_inspector("forked"), *left;
	struct service_end end;
	const char *text;

	(void)state;
	left = open_inspector("app");
	keeper_once(service);
	assert_int_equal(started_len, 0);
	opening_unlock(&left);
	set_swept(-61);
	keeper_once(service);
	assert_int_equal(started_len, 1);
	assert_int_equal(visit_children(SIGKILL), 1);
	/* And by a pool. */
	log_setup(LOG_WARN, LOG_LOGFMT);
	front_begin_log();
	left = open_inspector("app");
	start_keeper();
	AWAIT(strstr(front_read_log(), "what closes the inspector of app app "
	    "was killed by signal 9") != NULL);
	AWAIT(service_is_ready(service));
	keeper_free(&keeper);
	text = front_end_log();
	log_setup(LOG_ERROR, LOG_LOGFMT);
	assert_int_equal(occurrences(text, "level=warn module=keeper"), 1);
	assert_int_equal(started_len, 1);
	assert_false(service_reap(service, &end));
	opening_unlock(&left);
	opening_unlock(&used);
}

/* One that is shared is swept once, and one that is not there is no fault. */
static void
test_no_exchange(void **state)
{
	const char *text;

	(void)state;
	log_setup(LOG_WARN, LOG_LOGFMT);
	front_begin_log();
	keeper_once(service);
	assert_int_equal(exchange_sweeps, 1);
	start_keeper();
	AWAIT(__atomic_load_n(&exchange_sweeps, __ATOMIC_RELAXED) >= 4);
	keeper_free(&keeper);
	text = front_end_log();
	log_setup(LOG_ERROR, LOG_LOGFMT);
	assert_string_equal(text, "");
	site.apps[1].exchange_dir = "/nonexistent/exchange";
	exchange_sweeps = 0;
	set_swept(-61);
	keeper_once(service);
	assert_int_equal(exchange_sweeps, 2);
}

/* A look that hangs is ended; a capture may take its time. */
static void
test_late_look(void **state)
{
	const int64_t began_ms = clock_mono_ms();
	struct service_end end;
	char id[UUID_MAX];
	const char *text;
	struct err err;

	(void)state;
	order_profile(id);
	assert_ok(service_spawn(service, SPAWN_LOOK, "app", &err), err);
	assert_ok(service_spawn(service, SPAWN_JOB, id, &err), err);
	assert_ok(service_spawn(service, SPAWN_LOOK, "forked", &err), err);
	assert_int_equal(visit_children(0), 3);
	log_setup(LOG_WARN, LOG_LOGFMT);
	front_begin_log();
	start_keeper();
	AWAIT(service_is_ready(service));
	shift_mono(SERVICE_LOOK_MS / 2);
	pass_rounds();
	/* On a busy machine their time may be over already. */
	assert_true(visit_children(0) == 3 ||
	    clock_mono_ms() - began_ms >= SERVICE_LOOK_MS);
	shift_mono(SERVICE_LOOK_MS);
	AWAIT(visit_children(0) == 1);
	AWAIT(strstr(front_read_log(), "the look at app app was killed by "
	    "signal 9") != NULL);
	AWAIT(strstr(front_read_log(), "the look at app forked was killed") !=
	    NULL);
	pass_rounds();
	assert_int_equal(visit_children(0), 1);
	keeper_free(&keeper);
	text = front_end_log();
	log_setup(LOG_ERROR, LOG_LOGFMT);
	assert_int_equal(occurrences(text, "level=warn module=keeper"), 2);
	assert_false(service_reap(service, &end));
	assert_int_equal(visit_children(SIGTERM), 1);
	while (!service_reap(service, &end))
		(void)poll(NULL, 0, 2);
	assert_int_equal(end.task, SPAWN_JOB);
	assert_string_equal(end.name, id);
	assert_true(WIFSIGNALED(end.wait_status));
}

/* It is no directory. */
static void
block_exchange(void)
{
	assert_int_equal(symlink("/nonexistent", site.exchange_dir), 0);
}

static void
free_exchange(void)
{
	assert_int_equal(unlink(site.exchange_dir), 0);
}

/* One that cannot be used is told of once, and in the way of nothing. */
static void
test_bad_exchange(void **state)
{
	static char other[300];
	const char *text;
	size_t i;

	(void)state;
	(void)snprintf(other, sizeof(other), "%s/other", site.dir);
	assert_int_equal(mkdir(other, 0770), 0);
	site.apps[1].exchange_dir = other;
	block_exchange();
	log_setup(LOG_WARN, LOG_LOGFMT);
	front_begin_log();
	start_keeper();
	AWAIT(service_is_ready(service));
	for (i = 0; i < 2; i++) {
		leave_exchange(other, NO_JOB);
		AWAIT(count_entries(other) == 0);
		assert_true(service_is_ready(service));
	}
	text = front_read_log();
	assert_int_equal(occurrences(text, "level=warn module=keeper"), 1);
	assert_non_null(strstr(text, site.exchange_dir));
	free_exchange();
	leave_exchange(other, NO_JOB);
	AWAIT(count_entries(other) == 0);
	block_exchange();
	AWAIT(occurrences(front_read_log(), "level=warn module=keeper") == 2);
	keeper_free(&keeper);
	text = front_end_log();
	log_setup(LOG_ERROR, LOG_LOGFMT);
	assert_int_equal(occurrences(text, "level="), 2);
}

/* The ballast cannot be made. */
static void
break_ballast(void)
{
	assert_true(ballast_drop(site.state_dir));
	__atomic_store_n(&ballast_fails, true, __ATOMIC_RELAXED);
}

static void
mend_ballast(void)
{
	__atomic_store_n(&ballast_fails, false, __ATOMIC_RELAXED);
}

static void
test_no_ballast(void **state)
{
	(void)state;
	expect_told(break_ballast, mend_ballast,
	    "not ready: cannot make the ballast");
	assert_true(has_ballast());
}

/* The directory of files is none. */
static void
block_artifacts(void)
{
	char path[400], aside[420];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/artifacts", site.state_dir);
	(void)snprintf(aside, sizeof(aside), "%s.aside", path);
	assert_int_equal(rename(path, aside), 0);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
}

static void
free_artifacts(void)
{
	char path[400], aside[420];

	(void)snprintf(path, sizeof(path), "%s/artifacts", site.state_dir);
	(void)snprintf(aside, sizeof(aside), "%s.aside", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rename(aside, path), 0);
}

static void
test_directory(void **state)
{
	const char *text;

	(void)state;
	front_begin_log();
	start_keeper();
	AWAIT(service_is_ready(service));
	block_artifacts();
	AWAIT(!service_is_ready(service));
	AWAIT(strstr(front_read_log(), "not ready") != NULL);
	free_artifacts();
	AWAIT(service_is_ready(service));
	keeper_free(&keeper);
	text = front_end_log();
	assert_non_null(strstr(text, "/artifacts"));
	assert_true(occurrences(text, "not ready") >= 1);
}

/* The database goes away and comes back. */
static void
test_database(void **state)
{
	char aside[320];
	const char *text;

	(void)state;
	front_begin_log();
	start_keeper();
	AWAIT(service_is_ready(service));
	(void)snprintf(aside, sizeof(aside), "%s.aside", site.state_dir);
	assert_int_equal(rename(site.state_dir, aside), 0);
	AWAIT(!service_is_ready(service));
	AWAIT(strstr(front_read_log(), "not ready") != NULL);
	assert_int_equal(rename(aside, site.state_dir), 0);
	AWAIT(service_is_ready(service));
	keeper_free(&keeper);
	text = front_end_log();
	assert_non_null(strstr(text, site.state_dir));
}

/* A CGI process does it all, if nobody did for a minute. */
static void
test_once(void **state)
{
	char over[UUID_MAX], lost[UUID_MAX], old[UUID_MAX], path[400];

	(void)state;
	site_take(&site, 1000, old);
	site_take(&site, 1000, over);
	site_take(&site, 1000, lost);
	make_link(lost);
	shift_clock(-LINK_LIFE_MS);
	make_link(lost);
	shift_clock(0);
	deliver(over);
	site_path(&site, lost, path);
	assert_int_equal(unlink(path), 0);
	put_orphan("heapsnapshot.zst");
	put_orphan("part");
	assert_int_equal(mkdir(site.exchange_dir, 0770), 0);
	leave_exchange(site.exchange_dir, NO_JOB);
	assert_int_equal(count(COUNT_LINKS), 2);
	keeper_once(service);
	assert_int_equal(count_entries(site.exchange_dir), 0);
	assert_true(has_ballast());
	assert_false(has_orphan("heapsnapshot.zst"));
	assert_false(has_orphan("part"));
	assert_int_equal(removal_of(over), REMOVED_EXPIRED);
	assert_int_equal(removal_of(lost), REMOVED_LOST);
	assert_int_equal(removal_of(old), REMOVED_NOT);
	assert_int_equal(count(COUNT_LINKS), 1);
	/* Not again at once. */
	put_orphan("part");
	site.conf.store_jobs = 1;
	keeper_once(service);
	set_swept(-50);
	keeper_once(service);
	assert_true(has_orphan("part"));
	assert_int_equal(count(COUNT_JOBS), 3);
	/* But after a minute, or when the clock was set back. */
	set_swept(-61);
	keeper_once(service);
	assert_false(has_orphan("part"));
	assert_int_equal(count(COUNT_JOBS), 1);
	put_orphan("part");
	set_swept(3600);
	keeper_once(service);
	assert_false(has_orphan("part"));
	assert_int_equal(count(COUNT_LINKS), count(COUNT_JOBS " WHERE id IN "
	    "(SELECT job_id FROM links)"));
}

/* Nobody is told but the log, and the next one tries again after a minute. */
static void
test_once_fails(void **state)
{
	static void (*const faults[][2])(void) = {
		{ put_directory, remove_directory },
		{ break_ballast, mend_ballast },
		{ break_settle, mend_settle },
		{ block_exchange, free_exchange },
		{ block_artifacts, free_artifacts } };
	char aside[320];
	const char *text;
	size_t i;

	(void)state;
	log_setup(LOG_WARN, LOG_LOGFMT);
	keeper_once(service);
	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		set_swept(-61);
		put_orphan("cpuprofile");
		faults[i][0]();
		front_begin_log();
		keeper_once(service);
		text = front_end_log();
		if (occurrences(text, "level=warn module=keeper") != 1 ||
		    strstr(text, "the state could not be tidied up") == NULL)
			fail_msg("%zu: %s", i, text);
		/* What can be done is done. */
		assert_false(has_orphan("cpuprofile"));
		faults[i][1]();
		set_swept(-61);
		put_orphan("part");
		front_begin_log();
		keeper_once(service);
		text = front_end_log();
		assert_null(strstr(text, "module=keeper"));
		assert_false(has_orphan("part"));
	}
	/* Without a state there is nothing to be tidied up. */
	(void)snprintf(aside, sizeof(aside), "%s.aside", site.state_dir);
	assert_int_equal(rename(site.state_dir, aside), 0);
	front_begin_log();
	keeper_once(service);
	text = front_end_log();
	assert_string_equal(text, "");
	assert_false(is_at(site.state_dir));
	assert_int_equal(rename(aside, site.state_dir), 0);
	log_setup(LOG_ERROR, LOG_LOGFMT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		TEST(test_ready),
		TEST(test_reconcile),
		TEST(test_store_bytes),
		TEST(test_store_jobs),
		TEST(test_min_free),
		TEST(test_disk_of_others),
		TEST(test_over),
		TEST(test_tokens),
		TEST(test_no_settling),
		TEST(test_orphan_stays),
		TEST(test_litter_stays),
		TEST(test_late_look),
		TEST(test_left_open),
		TEST(test_exchange),
		TEST(test_no_exchange),
		TEST(test_bad_exchange),
		TEST(test_no_ballast),
		TEST(test_directory),
		TEST(test_database),
		TEST(test_once),
		TEST(test_once_fails),
	};

	log_setup(LOG_ERROR, LOG_LOGFMT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
