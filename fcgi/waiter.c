/*
 * The waiter: one array of parked requests, sorted by what they wait for, one
 * poll(2).
 *
 *	parked[0 .. len)   requests that wait, those for one job, its summary,
 *			   or a look at one app, side by side
 *	pfds[0 .. len)     their connections
 *	pfds[len]          wake_fd
 */
#include "waiter.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "thread.h"

/* How often the database is looked at: data_version costs microseconds. */
#define TICK_MS 100
/* A preflight, or a look, is over after some 20 ms, and its requester waits for
 * it. */
#define TICK_SOON_MS 5
/* A head that came in part is looked at again. */
#define TICK_HEAD_MS 20
/* The jobs are read so often although nothing was committed: where nothing can
 * be, on a full disk, that is how a capture's end is seen. */
#define REREAD_MS 2000
/* Nobody waits; the watchdog is looked after. */
#define TICK_IDLE_MS 1000

struct parked {
	struct request *request;
	bool is_new;	/* what it waits for was not read yet */
	bool is_noisy;	/* polling its connection has no sense */
};

struct waiter {
	struct gate_watch *watch;
	waiter_over_fn *over;
	void *ctx;
	pthread_t thread;
	int wake_fd;

	pthread_mutex_t lock;
	struct request *arriving;	/* by request->next */
	bool stopping, quit;

	/* The thread's own. */
	struct seat seat;
	struct parked *parked;
	struct pollfd *pfds;
	size_t len, max;
	int64_t version;		/* of the data; -1: not known */
	int64_t read_ms;		/* when the jobs were read last */
};

/* What somebody waits for, as it was read in this round. */
struct reading {
	char app[STR_NAME_MAX + 1], job_id[UUID_MAX];	/* whose */
	bool is_summary;
	struct request_sight sight;
	bool is_read;
	bool is_gone;	/* or not to be read: whoever waits is to be told */
};

static void
wake(struct waiter *waiter)
{
	const uint64_t one = 1;

	while (write(waiter->wake_fd, &one, sizeof(one)) < 0 &&
	    errno == EINTR)
		continue;
}

static bool
is_for_summary(const struct request *request)
{
	return request->wait.until == UNTIL_SUMMED;
}

/* By job, and what of it; those that wait for none come first, by app. */
static int
compare(const struct request *a, const struct request *b)
{
	const int order = strcmp(a->wait.job_id, b->wait.job_id);

	if (order != 0)
		return order;
	if (is_for_summary(a) != is_for_summary(b))
		return is_for_summary(a) ? 1 : -1;
	return strcmp(a->app, b->app);
}

static void
insert(struct waiter *waiter, struct request *request)
{
	size_t i = waiter->len;

	/* Everyone who comes here has a place. */
	assert(waiter->len < waiter->max);
	while (i > 0 && compare(waiter->parked[i - 1].request, request) > 0)
		i--;
	memmove(&waiter->parked[i + 1], &waiter->parked[i],
	    (waiter->len - i) * sizeof(waiter->parked[0]));
	waiter->parked[i] = (struct parked){ request, true, false };
	waiter->len++;
}

/* Returns false when the thread is to end. */
static bool
take_arrivals(struct waiter *waiter, bool *ret_stopping)
{
	struct request *request;
	bool quit;

	(void)pthread_mutex_lock(&waiter->lock);
	while ((request = waiter->arriving) != NULL) {
		waiter->arriving = request->next;
		request->next = NULL;
		insert(waiter, request);
	}
	*ret_stopping = waiter->stopping;
	quit = waiter->quit;
	(void)pthread_mutex_unlock(&waiter->lock);
	return !quit || waiter->len > 0;
}

/* How long it may be until this one is looked at. */
static int64_t
tick_ms(const struct parked *parked, int64_t now_ms)
{
	const struct request *request = parked->request;
	int64_t left_ms = request->wait.deadline_ms - now_ms;
	int64_t tick = TICK_MS;

	if (parked->is_new || left_ms < 0)
		return 0;
	if (request->wait.until == UNTIL_PREFLIGHT ||
	    request->wait.until == UNTIL_LOOKED)
		tick = TICK_SOON_MS;
	if (request->wait.until == UNTIL_HEAD)
		tick = TICK_HEAD_MS;
	return tick < left_ms ? tick : left_ms;
}

/* Whose client's leaving counts: not before the job is accepted, as somebody
 * has to say what becomes of it. */
static bool
is_watched(const struct parked *parked)
{
	return !parked->is_noisy &&
	    parked->request->wait.until != UNTIL_PREFLIGHT &&
	    parked->request->wait.until != UNTIL_HEAD;
}

static int
fill_pollfds(struct waiter *waiter)
{
	int64_t now_ms = clock_mono_ms(), timeout_ms = TICK_IDLE_MS, tick;
	const struct parked *parked;
	size_t i;

	for (i = 0; i < waiter->len; i++) {
		parked = &waiter->parked[i];
		waiter->pfds[i].fd = is_watched(parked)
		    ? gate_poll_fd(parked->request->gate) : -1;
		waiter->pfds[i].events = POLLIN;
		tick = tick_ms(parked, now_ms);
		if (tick < timeout_ms)
			timeout_ms = tick;
	}
	waiter->pfds[i].fd = waiter->wake_fd;
	waiter->pfds[i].events = POLLIN;
	return (int)timeout_ms;
}

/* True if the client is gone; its job goes on without it. */
static bool
has_left(struct parked *parked, const struct pollfd *pfd)
{
	if (pfd->fd < 0 || pfd->revents == 0)
		return false;
	switch (gate_peer(parked->request->gate)) {
	case GATE_PEER_LEFT:
		return true;
	case GATE_NOISE:
		parked->is_noisy = true;
		return false;
	case GATE_PEER_HERE:
		return false;
	}
	return false;
}

/* Has anybody committed since the last time?  If that cannot be said, the
 * jobs are read, which will tell why. */
static bool
data_changed(struct waiter *waiter)
{
	int64_t version;
	struct db *db;
	struct err err;

	/* The numbers of two connections have nothing to do with each
	 * other. */
	if (waiter->seat.db == NULL || !db_is_current(waiter->seat.db))
		waiter->version = -1;
	if (seat_db(&waiter->seat, &db, &err) != 0 ||
	    db_data_version(db, &version, &err) != 0) {
		seat_fini(&waiter->seat);
		return true;
	}
	if (version == waiter->version &&
	    clock_mono_ms() - waiter->read_ms < REREAD_MS)
		return false;
	waiter->version = version;
	waiter->read_ms = clock_mono_ms();
	return true;
}

static void
see(struct waiter *waiter, const struct request *request,
    struct reading *reading)
{
	struct err err;

	/* The same as the one before it in the array? */
	if (reading->is_read &&
	    reading->is_summary == is_for_summary(request) &&
	    strcmp(reading->job_id, request->wait.job_id) == 0 &&
	    strcmp(reading->app, request->app) == 0)
		return;
	reading->is_read = true;
	reading->is_summary = is_for_summary(request);
	reading->is_gone = request_see(
	    request, &waiter->seat, &reading->sight, &err) != 0;
	(void)str_copy(reading->job_id, sizeof(reading->job_id),
	    request->wait.job_id);
	(void)str_copy(reading->app, sizeof(reading->app), request->app);
}

static bool
is_over(struct waiter *waiter, struct parked *parked, bool changed,
    struct reading *reading)
{
	const struct request *request = parked->request;

	if (changed || parked->is_new) {
		parked->is_new = false;
		see(waiter, request, reading);
		if (reading->is_gone ||
		    request_is_over(request, &reading->sight))
			return true;
	}
	return clock_mono_ms() >= request->wait.deadline_ms;
}

/* What is known of one of them now; true if it waits no more. */
static bool
has_ended(struct waiter *waiter, struct parked *parked, bool changed,
    struct reading *reading, enum waiter_end *ret_end)
{
	enum gate_head head;

	if (parked->request->wait.until != UNTIL_HEAD) {
		*ret_end = WAIT_OVER;
		return is_over(waiter, parked, changed, reading);
	}
	parked->is_new = false;
	head = gate_head(parked->request->gate, 0);
	*ret_end = head == GATE_HEAD_WHOLE ? WAIT_OVER : WAIT_LEFT;
	return head != GATE_HEAD_PART ||
	    clock_mono_ms() >= parked->request->wait.deadline_ms;
}

/* Look at all of them; what still waits stays, in order. */
static void
look_through(struct waiter *waiter, bool stopping)
{
	const bool changed = waiter->len > 0 && data_changed(waiter);
	struct reading reading = { .is_read = false };
	enum waiter_end end;
	size_t i, kept = 0;

	for (i = 0; i < waiter->len; i++) {
		struct parked *parked = &waiter->parked[i];

		if (has_left(parked, &waiter->pfds[i])) {
			end = WAIT_LEFT;
		} else if (!has_ended(
		    waiter, parked, changed, &reading, &end)) {
			if (!stopping) {
				waiter->parked[kept++] = *parked;
				continue;
			}
			end = WAIT_STOPPED;
		}
		waiter->over(waiter->ctx, parked->request, end);
	}
	waiter->len = kept;
}

static void *
run(void *arg)
{
	struct waiter *waiter = arg;
	uint64_t count;
	bool stopping;

	while (take_arrivals(waiter, &stopping)) {
		(void)poll(waiter->pfds, (nfds_t)waiter->len + 1,
		    fill_pollfds(waiter));
		if ((waiter->pfds[waiter->len].revents & POLLIN) != 0)
			(void)!read(waiter->wake_fd, &count, sizeof(count));
		gate_watch_run(waiter->watch);
		look_through(waiter, stopping);
	}
	seat_fini(&waiter->seat);
	return NULL;
}

static void
destroy(struct waiter **waiter)
{
	struct waiter *w = *waiter;

	if (w->wake_fd >= 0)
		(void)close(w->wake_fd);
	(void)pthread_mutex_destroy(&w->lock);
	free(w->parked);
	free(w->pfds);
	free(w);
	*waiter = NULL;
}

int
waiter_start(struct service *service, struct gate_watch *watch,
    waiter_over_fn *over, void *ctx, struct waiter **ret_waiter,
    struct err *err)
{
	struct waiter *waiter = calloc(1, sizeof(*waiter));

	if (waiter == NULL)
		return err_set(err, ERR_NOMEM, "no memory to start");
	(void)pthread_mutex_init(&waiter->lock, NULL);
	waiter->watch = watch;
	waiter->over = over;
	waiter->ctx = ctx;
	waiter->seat.service = service;
	waiter->max =
	    (size_t)service_conf(service)->waiting + WAITER_HEADS_MAX;
	waiter->parked = calloc(waiter->max, sizeof(waiter->parked[0]));
	waiter->pfds = calloc(waiter->max + 1, sizeof(waiter->pfds[0]));
	waiter->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (waiter->parked == NULL || waiter->pfds == NULL ||
	    waiter->wake_fd < 0) {
		destroy(&waiter);
		return err_set(err, ERR_NOMEM,
		    "no memory or descriptors for [limits] waiting");
	}
	if (thread_start(run, waiter, &waiter->thread, err) != 0) {
		destroy(&waiter);
		return -1;
	}
	*ret_waiter = waiter;
	return 0;
}

void
waiter_park(struct waiter *waiter, struct request *request_take)
{
	gate_set_deadline(request_take->gate, 0);
	(void)pthread_mutex_lock(&waiter->lock);
	request_take->next = waiter->arriving;
	waiter->arriving = request_take;
	(void)pthread_mutex_unlock(&waiter->lock);
	wake(waiter);
}

void
waiter_stop(struct waiter *waiter)
{
	(void)pthread_mutex_lock(&waiter->lock);
	waiter->stopping = true;
	(void)pthread_mutex_unlock(&waiter->lock);
	wake(waiter);
}

void
waiter_free(struct waiter **waiter)
{
	if (*waiter == NULL)
		return;
	(void)pthread_mutex_lock(&(*waiter)->lock);
	(*waiter)->quit = true;
	(void)pthread_mutex_unlock(&(*waiter)->lock);
	wake(*waiter);
	(void)pthread_join((*waiter)->thread, NULL);
	destroy(waiter);
}
