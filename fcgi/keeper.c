/*
 * The keeper.  What it cannot do is logged once, and again when it changes.
 */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "artifact.h"
#include "ballast.h"
#include "clock.h"
#include "exchange.h"
#include "job.h"
#include "lease.h"
#include "link.h"
#include "log.h"
#include "meter.h"
#include "opening.h"
#include "thread.h"

#define ROUND_MS 1000
/* The directories are tried by a real write: not every second. */
#define DIRS_ROUNDS 10
/* Files and rows are compared some at a time. */
#define RECONCILE_ROUNDS 5
#define RECONCILE_MAX 256
/* What a killed capture left in an exchange directory may hold up its app, and
 * its inspector may be open. */
#define EXCHANGE_ROUNDS 3
#define CGI_ROUND_S 60
/* As many rows as [limits] store_jobs allows. */
#define CGI_RECONCILE_MAX 1000000

struct keeper {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t kicked;
	bool is_kicked, quit;

	/* The thread's own. */
	struct seat seat;
	struct job_reconciler *reconciler;
	unsigned rounds;
	struct err dirs;	/* of the last try; code 0: none */
	struct err chores;	/* as logged last */
	struct err files;	/* the same, of files and rows */
	struct err exchange;	/* and of exchange directories */
	struct err inspectors;	/* and of what was left open */
	struct err told;	/* what was logged last; code 0: all is well */
	bool has_told;
};

static void
settle_job(struct seat *seat, const struct service_end *end)
{
	const char *state_dir = service_conf(seat->service)->state_dir;
	struct db *db;
	struct err err;

	if (seat_db(seat, &db, &err) == 0 && job_settle_child(db, state_dir,
	    end->name, end->wait_status, &err) == 0)
		return;
	/* The next round's job_settle() sees that it is gone. */
	log_warn("keeper", "the end of job %s's process could not be noted: "
	    "%s", end->name, err.msg);
}

/* Whoever asked for a look has nulls for an answer, and for a summary, a 500;
 * here is why, unless it said so by itself. */
static void
tell_end(const struct service_end *end)
{
	static const char *const whats[] = {
		[SPAWN_JOB] = "job",
		[SPAWN_LOOK] = "the look at app",
		[SPAWN_CLOSE] = "what closes the inspector of app",
		[SPAWN_SUMMARY] = "the summary of job",
	};

	if (WIFSIGNALED(end->wait_status))
		log_warn("keeper", "%s %s was killed by signal %d",
		    whats[end->task], end->name, WTERMSIG(end->wait_status));
}

static void
settle_children(struct seat *seat)
{
	struct service_end end;

	while (service_reap(seat->service, &end)) {
		if (end.task == SPAWN_JOB)
			settle_job(seat, &end);
		else
			tell_end(&end);
	}
}

/* The first failure is the one that is told. */
static void
note(int *rc, int result, struct err *err, const struct err *fault)
{
	if (result == 0 || *rc != 0)
		return;
	*rc = -1;
	*err = *fault;
}

/* Proves on the way that the database can be used. */
static int
settle(struct seat *seat, struct err *err)
{
	struct db *db;

	if (seat_db(seat, &db, err) != 0)
		return -1;
	if (job_settle(db, service_conf(seat->service)->state_dir, err) == 0)
		return 0;
	seat_fini(seat);
	return -1;
}

/* What is over goes, although settling may have failed: on a full disk that is
 * what makes room. */
static int
tidy(struct seat *seat, struct err *err)
{
	const struct conf *conf = service_conf(seat->service);
	const struct job_limits limits = job_limits_of(conf);
	const char *state_dir = conf->state_dir;
	struct err fault;
	struct db *db;
	int rc = 0;

	if (seat_db(seat, &db, err) != 0)
		return -1;
	note(&rc, job_sweep(db, state_dir, &fault), err, &fault);
	note(&rc, job_retain(db, state_dir, &limits, &fault), err, &fault);
	note(&rc, link_sweep(db, &fault), err, &fault);
	note(&rc, meter_sweep(db, conf->pod, &fault), err, &fault);
	return rc;
}

static int
reconcile(struct seat *seat, struct job_reconciler *reconciler, int max,
    struct err *err)
{
	struct db *db;

	if (seat_db(seat, &db, err) != 0)
		return -1;
	return job_reconcile(reconciler, db,
	    service_conf(seat->service)->state_dir, max, err);
}

/* Does an app before this one share its directory? */
static bool
is_swept(const struct conf *conf, size_t app)
{
	size_t i;

	for (i = 0; i < app; i++)
		if (strcmp(conf->apps[i].exchange_dir,
		    conf->apps[app].exchange_dir) == 0)
			return true;
	return false;
}

/* What captures left behind where they meet their apps. */
static int
sweep_exchange(const struct conf *conf, struct err *err)
{
	struct err fault;
	int rc = 0;
	size_t i;

	for (i = 0; i < conf->apps_len; i++) {
		note(&rc, lease_sweep(conf->apps[i].exchange_dir,
		    conf->apps[i].name, &fault), err, &fault);
		if (!is_swept(conf, i))
			note(&rc, exchange_sweep(conf->apps[i].exchange_dir,
			    &fault), err, &fault);
	}
	return rc;
}

/* Inspectors that captures opened, and were killed. */
static int
close_inspectors(struct service *service, struct err *err)
{
	const char *state_dir = service_conf(service)->state_dir;
	char app[STR_NAME_MAX + 1];
	size_t at = 0;
	int rc;

	while ((rc = opening_left(state_dir, &at, app, err)) > 0)
		if (service_spawn(service, SPAWN_CLOSE, app, err) != 0)
			return -1;
	return rc;
}

static int
check_dirs(struct keeper *keeper, struct err *err)
{
	const struct conf *conf = service_conf(keeper->seat.service);

	/* A failure is looked at again at once: it may be over. */
	if (keeper->rounds % DIRS_ROUNDS == 0 || keeper->told.code != 0) {
		keeper->dirs.code = 0;
		if (artifact_check_dirs(conf->state_dir,
		    conf_shares_files(conf), &keeper->dirs) == 0)
			(void)!ballast_make(conf->state_dir, &keeper->dirs);
	}
	if (keeper->dirs.code == 0)
		return 0;
	*err = keeper->dirs;
	return -1;
}

/* Are they the same but for numbers, such as how much room a disk has left? */
static bool
is_same_text(const char *a, const char *b)
{
	static const char digits[] = "0123456789", ends[] = " ,.;:";
	size_t word;

	for (;;) {
		if (*a >= '0' && *a <= '9' && *b >= '0' && *b <= '9') {
			a += strspn(a, digits);
			b += strspn(b, digits);
		}
		word = strcspn(a, ends);
		if (strncmp(a, b, word) != 0 || a[word] != b[word])
			return false;
		if (a[word] == '\0')
			return true;
		a += word + 1;
		b += word + 1;
	}
}

/* Tell of what went wrong, once, in *told. */
static void
warn_once(struct err *told, int result, const struct err *err)
{
	if (result == 0) {
		told->code = 0;
		return;
	}
	if (told->code == err->code && is_same_text(told->msg, err->msg))
		return;
	log_warn("keeper", "%s", err->msg);
	*told = *err;
}

/* What does not go well here is in the way of no request. */
static void
do_chores(struct keeper *keeper)
{
	const struct conf *conf = service_conf(keeper->seat.service);
	struct err err;

	if (keeper->rounds % EXCHANGE_ROUNDS == 0) {
		warn_once(&keeper->exchange, sweep_exchange(conf, &err), &err);
		warn_once(&keeper->inspectors, close_inspectors(
		    keeper->seat.service, &err), &err);
	}
	warn_once(&keeper->chores, tidy(&keeper->seat, &err), &err);
	if (keeper->rounds % RECONCILE_ROUNDS != 0)
		return;
	warn_once(&keeper->files, reconcile(&keeper->seat, keeper->reconciler,
	    RECONCILE_MAX, &err), &err);
}

static void
tell(struct keeper *keeper, const struct err *err)
{
	if (keeper->has_told && keeper->told.code == err->code &&
	    (err->code == 0 || strcmp(keeper->told.msg, err->msg) == 0))
		return;
	if (err->code == 0)
		log_info("keeper", "ready");
	else
		log_error("keeper", "not ready: %s", err->msg);
	keeper->told = *err;
	keeper->has_told = true;
}

static void
do_round(struct keeper *keeper)
{
	struct service *service = keeper->seat.service;
	struct err err;
	int rc;

	settle_children(&keeper->seat);
	service_kill_late_looks(service);
	rc = settle(&keeper->seat, &err);
	/* First, as they may make the room that the check finds missing. */
	do_chores(keeper);
	if (rc == 0)
		rc = check_dirs(keeper, &err);
	if (rc == 0)
		rc = auth_check_tokens(service_auth(service), &err);
	if (rc == 0)
		err.code = 0;
	service_set_ready(service, rc == 0 ? NULL : &err);
	tell(keeper, &err);
	keeper->rounds++;
}

/* Until the next second, or a kick; false at the end. */
static bool
rest(struct keeper *keeper)
{
	const int64_t until_ms = clock_mono_ms() + ROUND_MS;
	bool goes_on;

	(void)pthread_mutex_lock(&keeper->lock);
	while (!keeper->is_kicked && !keeper->quit &&
	    thread_cond_wait(&keeper->kicked, &keeper->lock, until_ms))
		continue;
	keeper->is_kicked = false;
	goes_on = !keeper->quit;
	(void)pthread_mutex_unlock(&keeper->lock);
	return goes_on;
}

static void *
run(void *arg)
{
	struct keeper *keeper = arg;

	do
		do_round(keeper);
	while (rest(keeper));
	seat_fini(&keeper->seat);
	return NULL;
}

static void
destroy(struct keeper **keeper)
{
	job_reconciler_free(&(*keeper)->reconciler);
	(void)pthread_cond_destroy(&(*keeper)->kicked);
	(void)pthread_mutex_destroy(&(*keeper)->lock);
	free(*keeper);
	*keeper = NULL;
}

int
keeper_start(struct service *service, struct keeper **ret_keeper,
    struct err *err)
{
	struct keeper *keeper = calloc(1, sizeof(*keeper));

	if (keeper == NULL)
		return err_set(err, ERR_NOMEM, "no memory to start");
	keeper->seat.service = service;
	(void)pthread_mutex_init(&keeper->lock, NULL);
	thread_cond_init(&keeper->kicked);
	if (job_reconciler_new(&keeper->reconciler, err) != 0 ||
	    thread_start(run, keeper, &keeper->thread, err) != 0) {
		destroy(&keeper);
		return -1;
	}
	*ret_keeper = keeper;
	return 0;
}

void
keeper_kick(struct keeper *keeper)
{
	(void)pthread_mutex_lock(&keeper->lock);
	keeper->is_kicked = true;
	(void)pthread_cond_signal(&keeper->kicked);
	(void)pthread_mutex_unlock(&keeper->lock);
}

void
keeper_free(struct keeper **keeper)
{
	struct keeper *k = *keeper;

	if (k == NULL)
		return;
	(void)pthread_mutex_lock(&k->lock);
	k->quit = true;
	(void)pthread_cond_signal(&k->kicked);
	(void)pthread_mutex_unlock(&k->lock);
	(void)pthread_join(k->thread, NULL);
	destroy(keeper);
}

/* Is it our turn?  The age of a file tells; two that come at once both do the
 * work, which does no harm. */
static bool
is_due(const char *state_dir)
{
	char path[ARTIFACT_PATH_MAX];
	struct stat st;
	bool due = false;
	int fd, n;

	n = snprintf(path, sizeof(path), "%s/swept", state_dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return false;
	if (stat(path, &st) == 0 && time(NULL) - st.st_mtim.tv_sec <
	    CGI_ROUND_S && st.st_mtim.tv_sec <= time(NULL))
		return false;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK, 0600);
	if (fd < 0)
		return false;
	due = futimens(fd, NULL) == 0;
	(void)close(fd);
	return due;
}

void
keeper_once(struct service *service)
{
	const struct conf *conf = service_conf(service);
	const char *state_dir = conf->state_dir;
	struct job_reconciler *reconciler = NULL;
	struct seat seat = { .service = service };
	struct err err, fault;
	int rc = 0;

	if (!is_due(state_dir))
		return;
	note(&rc, artifact_check_dirs(state_dir, conf_shares_files(conf),
	    &fault), &err, &fault);
	note(&rc, settle(&seat, &fault), &err, &fault);
	note(&rc, tidy(&seat, &fault), &err, &fault);
	note(&rc, ballast_make(state_dir, &fault), &err, &fault);
	note(&rc, sweep_exchange(conf, &fault), &err, &fault);
	note(&rc, close_inspectors(service, &fault), &err, &fault);
	if (job_reconciler_new(&reconciler, &fault) == 0)
		note(&rc, reconcile(&seat, reconciler, CGI_RECONCILE_MAX,
		    &fault), &err, &fault);
	if (rc != 0)
		log_warn("keeper", "the state could not be tidied up: %s",
		    err.msg);
	job_reconciler_free(&reconciler);
	seat_fini(&seat);
}
