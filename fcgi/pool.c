/*
 * The pool: workers, the queue of requests for slots, and signals.
 */
#include "pool.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "download.h"
#include "gate.h"
#include "keeper.h"
#include "log.h"
#include "route.h"
#include "shield.h"
#include "thread.h"
#include "traffic.h"
#include "view.h"
#include "waiter.h"

/* A web server sends a request's head in one piece when it connects, so a
 * worker waits for it a moment; the waiter, for the rest of the time. */
#define HEAD_NOW_MS 50
#define HEAD_MS 10000
#define BODY_MS 10000
#define SEND_MS 10000
/* Where no descriptor is left for a connection: some are soon given back. */
#define ACCEPT_PAUSE_MS 100

struct worker {
	struct pool *pool;
	pthread_t thread;
	int epoll_fd;
};

struct pool {
	struct service *service;
	struct gate_watch *watch;
	struct waiter *waiter;
	struct keeper *keeper;
	struct downloads *downloads;
	int work_fd;		/* a count: requests came to the queue */
	int stop_fd;		/* readable: do not accept any more */
	int quit_fd;		/* readable: workers end */
	struct worker *workers;
	size_t workers_len;

	pthread_mutex_t lock;	/* of what follows */
	pthread_cond_t idle;
	struct request *arrived;	/* their heads are there, or they are
					 * probes whose wait is over; by next */
	struct request *first, **last;	/* the queue for slots, by next */
	size_t queued;			/* of them, those that are new */
	size_t parked;			/* with the waiter, or the shield */
	size_t heads;			/* of them, those without a head */
	int64_t slots;			/* free ones */
	size_t busy;			/* workers with a connection or slot */
};

static void
signal_fd(int fd)
{
	const uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

static void
enqueue(struct pool *pool, struct request *request)
{
	request->next = NULL;
	*pool->last = request;
	pool->last = &request->next;
}

/* False if too many are there already. */
static bool
enqueue_new(struct pool *pool, struct request *request)
{
	bool ok;

	(void)pthread_mutex_lock(&pool->lock);
	ok = pool->queued < POOL_QUEUE_MAX;
	if (ok) {
		pool->queued++;
		enqueue(pool, request);
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return ok;
}

static void
park(struct pool *pool, struct request *request)
{
	(void)pthread_mutex_lock(&pool->lock);
	pool->parked++;
	(void)pthread_mutex_unlock(&pool->lock);
	waiter_park(pool->waiter, request);
}

/* False if too many are there already. */
static bool
park_without_head(struct pool *pool, struct request *request)
{
	bool ok;

	(void)pthread_mutex_lock(&pool->lock);
	ok = pool->heads < WAITER_HEADS_MAX;
	if (ok)
		pool->heads++;
	(void)pthread_mutex_unlock(&pool->lock);
	if (!ok)
		return false;
	request_wait_head(request, HEAD_MS);
	park(pool, request);
	return true;
}

/* What is logged from now on is the request's, and that of the job that it
 * waits for. */
static void
bind_log(const struct request *request)
{
	log_bind(request->id[0] != '\0' ? request->id : NULL,
	    request->wait.job_id[0] != '\0' ? request->wait.job_id : NULL);
}

/* Nobody is there to be answered. */
static void
drop(struct request **request, const char *what)
{
	bind_log(*request);
	log_info("pool", "%s", what);
	log_bind(NULL, NULL);
	request_free(request);
}

/* What becomes of what a client has left that waited for it. */
static const char *
left_text(enum request_until until)
{
	if (until == UNTIL_LOOKED)
		return "the client left";
	if (until == UNTIL_SUMMED)
		return "the client left; the summary goes on";
	return "the client left; its job goes on";
}

/* A waiter_over_fn: what was parked goes to the queue again. */
static void
unpark(void *ctx, struct request *request_take, enum waiter_end end)
{
	const bool had_head = request_take->wait.until != UNTIL_HEAD;
	struct pool *pool = ctx;

	if (end == WAIT_LEFT && had_head)
		drop(&request_take, left_text(request_take->wait.until));
	else if (end != WAIT_OVER && !had_head)
		drop(&request_take, "dropped a connection that sent no "
		    "FastCGI request");
	(void)pthread_mutex_lock(&pool->lock);
	pool->parked--;
	if (!had_head)
		pool->heads--;
	if (request_take != NULL && had_head) {
		request_take->wait.is_stopped = end == WAIT_STOPPED;
		enqueue(pool, request_take);
	} else if (request_take != NULL) {
		request_take->next = pool->arrived;
		pool->arrived = request_take;
	}
	(void)pthread_cond_broadcast(&pool->idle);
	(void)pthread_mutex_unlock(&pool->lock);
	if (request_take != NULL)
		signal_fd(pool->work_fd);
}

/* A shield_over_fn: probes need no slot. */
static void
unpark_seen(void *ctx, struct request *request_take, bool is_stopped)
{
	struct pool *pool = ctx;

	request_take->wait.is_stopped = is_stopped;
	(void)pthread_mutex_lock(&pool->lock);
	pool->parked--;
	if (request_take->route->is_probe) {
		request_take->next = pool->arrived;
		pool->arrived = request_take;
	} else {
		enqueue(pool, request_take);
	}
	(void)pthread_mutex_unlock(&pool->lock);
	signal_fd(pool->work_fd);
}

/* One whose head has arrived after all, or whose wait is over; NULL if there
 * is none. */
static struct request *
take_arrived(struct pool *pool)
{
	struct request *request;

	(void)pthread_mutex_lock(&pool->lock);
	request = pool->arrived;
	if (request != NULL) {
		pool->arrived = request->next;
		request->next = NULL;
		pool->busy++;
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return request;
}

/* The oldest request and a slot for it; NULL if there is none of either. */
static struct request *
take_with_slot(struct pool *pool)
{
	struct request *request = NULL;

	(void)pthread_mutex_lock(&pool->lock);
	if (pool->first != NULL && pool->slots > 0) {
		request = pool->first;
		pool->first = request->next;
		if (pool->first == NULL)
			pool->last = &pool->first;
		request->next = NULL;
		if (request->wait.resume == NULL)
			pool->queued--;
		pool->slots--;
		pool->busy++;
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return request;
}

static void
become_idle(struct pool *pool, int64_t slots)
{
	(void)pthread_mutex_lock(&pool->lock);
	pool->slots += slots;
	pool->busy--;
	(void)pthread_cond_broadcast(&pool->idle);
	(void)pthread_mutex_unlock(&pool->lock);
}

static void
become_busy(struct pool *pool)
{
	(void)pthread_mutex_lock(&pool->lock);
	pool->busy++;
	(void)pthread_mutex_unlock(&pool->lock);
}

static void
count(struct pool *pool, const struct route *route, unsigned method,
    int status)
{
	traffic_count(service_traffic(pool->service), route_number(route),
	    method, status);
}

/* Write an answer that the kernel takes whole. */
static void
send_now(struct pool *pool, struct request *request, struct answer *answer)
{
	const bool head_only = request->method == HTTP_HEAD;
	struct err err;

	count(pool, request->route, request->method, answer->status);
	gate_set_deadline(request->gate, SEND_MS);
	if (answer_send(answer, request->gate, head_only, &err) != 0 ||
	    gate_finish(&request->gate, &err) != 0)
		log_debug("pool", "%s %s: the answer was not handed over: %s",
		    request->method_name, request->path, err.msg);
	answer_fini(answer);
	request_free(&request);
}

/* True if sending it may have to wait for the client. */
static bool
is_large(const struct request *request, const struct answer *answer)
{
	if (request->method == HTTP_HEAD)
		return false;
	return answer->kind == ANSWER_FILE ||
	    answer->body.len > ANSWER_SMALL_BYTES;
}

/* Who has waited for a profile must not lose it with its answer. */
static void
refuse_download(struct pool *pool, struct request *request, struct err *err,
    struct answer *answer)
{
	char job_id[UUID_MAX];

	(void)str_copy(job_id, sizeof(job_id), answer->job_id);
	answer_fini(answer);
	if (job_id[0] != '\0') {
		answer_header(answer, "X-Job-Id", "%s", job_id);
		view_link(request, job_id, "Location", answer);
		err_wrap(err, "the file of job %s is ready, fetch it from "
		    "jobs/%s/artifact later", job_id, job_id);
	}
	route_refuse(pool->service, request, err, answer);
}

/* Park it where it waits; false if there is an answer already. */
static bool
wait_for(struct pool *pool, struct seat *seat, struct request *request,
    struct answer *answer)
{
	answer_fini(answer);
	if (request->wait.until != UNTIL_SEEN) {
		park(pool, request);
		return true;
	}
	(void)pthread_mutex_lock(&pool->lock);
	pool->parked++;
	(void)pthread_mutex_unlock(&pool->lock);
	if (shield_park(service_shield(pool->service), request))
		return true;
	(void)pthread_mutex_lock(&pool->lock);
	pool->parked--;
	(void)pthread_mutex_unlock(&pool->lock);
	/* By what is known: a probe that is refused has the app restarted. */
	route_resume(seat, request, answer);
	return false;
}

/* Do what the answer says; takes both. */
static void
conclude(struct pool *pool, struct seat *seat, struct request *request,
    struct answer *answer)
{
	struct err err;

	if (answer->kind == ANSWER_WAIT &&
	    wait_for(pool, seat, request, answer))
		return;
	/* Before the client has the answer, and comes again. */
	service_leave_place(request);
	if (is_large(request, answer)) {
		if (downloads_start(pool->downloads, request, answer, &err) == 0)
			return;
		refuse_download(pool, request, &err, answer);
	}
	send_now(pool, request, answer);
}

static void
refuse_stopped(struct seat *seat, struct request *request,
    struct answer *answer)
{
	struct err err;

	if (request->wait.until == UNTIL_LOOKED ||
	    request->wait.until == UNTIL_SUMMED ||
	    request->wait.until == UNTIL_SEEN) {
		err_set(&err, ERR_STORE, "the service is stopping; ask again "
		    "once it is back");
	} else {
		err_set(&err, ERR_STORE, "the service is stopping; its job %s "
		    "goes on, and can be asked for once the service is back",
		    request->wait.job_id);
		answer_header(
		    answer, "X-Job-Id", "%s", request->wait.job_id);
	}
	route_refuse(seat->service, request, &err, answer);
}

static void
serve(struct pool *pool, struct seat *seat, struct request *request)
{
	struct answer answer;

	answer_init(&answer);
	bind_log(request);
	if (request->wait.resume == NULL) {
		route_serve(seat, request, &answer);
	} else {
		/* Who was only to be told of its job still can be. */
		if (request->wait.is_stopped &&
		    request->wait.until != UNTIL_PREFLIGHT)
			refuse_stopped(seat, request, &answer);
		else
			route_resume(seat, request, &answer);
	}
	conclude(pool, seat, request, &answer);
	log_bind(NULL, NULL);
}

static void
drain_queue(struct pool *pool, struct seat *seat)
{
	struct request *request;

	while ((request = take_with_slot(pool)) != NULL) {
		serve(pool, seat, request);
		become_idle(pool, 1);
	}
}

static void
refuse_full(struct pool *pool, struct request *request)
{
	struct answer answer;
	struct err err;

	err_set(&err, ERR_LIMIT, "%d requests wait to be served already; try "
	    "again later", POOL_QUEUE_MAX);
	answer_init(&answer);
	bind_log(request);
	route_refuse(pool->service, request, &err, &answer);
	send_now(pool, request, &answer);
	log_bind(NULL, NULL);
}

/* Read the head, and see what lane the request goes. */
static void
receive(struct pool *pool, struct seat *seat, struct request *request)
{
	struct err err;

	if (request_read(request, &err) != 0) {
		log_error("pool", "a request was dropped: %s", err.msg);
		request_free(&request);
		return;
	}
	route_find(request);
	if (request->route != NULL && request->route->is_probe)
		serve(pool, seat, request);
	else if (!enqueue_new(pool, request))
		refuse_full(pool, request);
}

static void
receive_arrived(struct pool *pool, struct seat *seat)
{
	struct request *request;

	while ((request = take_arrived(pool)) != NULL) {
		if (request->wait.resume != NULL)
			serve(pool, seat, request);
		else
			receive(pool, seat, request);
		become_idle(pool, 0);
	}
}

/* A connection. */
static void
welcome(struct pool *pool, struct seat *seat, struct gate *gate_take)
{
	struct request *request = NULL;
	enum gate_head head;
	struct err err;

	become_busy(pool);
	head = gate_head(gate_take, HEAD_NOW_MS);
	if (request_new(&gate_take, &request, &err) != 0)
		log_error("pool", "a connection was dropped: %s", err.msg);
	else if (head == GATE_HEAD_WHOLE)
		receive(pool, seat, request);
	else if (head == GATE_HEAD_BAD)
		drop(&request, "dropped a connection that sent no FastCGI "
		    "request");
	else if (!park_without_head(pool, request))
		drop(&request, "dropped a connection: too many send no "
		    "request");
	become_idle(pool, 0);
}

static int
add_event(int epoll_fd, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/*
 * What a worker waits for.  A connection, or a request in the queue, wakes one
 * of those that wait, the rest all of them.
 */
static int
open_events(const struct pool *pool, int *ret_epoll_fd, struct err *err)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd >= 0 && add_event(fd, pool->quit_fd, EPOLLIN) == 0 &&
	    add_event(fd, pool->stop_fd, EPOLLIN) == 0 &&
	    add_event(fd, pool->work_fd, EPOLLIN | EPOLLEXCLUSIVE) == 0 &&
	    add_event(fd, 0, EPOLLIN | EPOLLEXCLUSIVE) == 0) {
		*ret_epoll_fd = fd;
		return 0;
	}
	err_set_errno(err, ERR_LIMIT, errno, "epoll");
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

static void
accept_one(struct pool *pool, struct seat *seat)
{
	struct gate *gate = NULL;
	struct err err;

	if (gate_accept(pool->watch, BODY_MS, &gate, &err) != 0) {
		log_warn("pool", "%s", err.msg);
		(void)poll(NULL, 0, ACCEPT_PAUSE_MS);
	} else if (gate != NULL) {
		welcome(pool, seat, gate);
	}
}

static void *
work(void *arg)
{
	struct worker *worker = arg;
	struct pool *pool = worker->pool;
	struct seat seat = { .service = pool->service };
	struct epoll_event event;
	uint64_t count;

	for (;;) {
		if (epoll_wait(worker->epoll_fd, &event, 1, -1) != 1)
			continue;
		if (event.data.fd == pool->quit_fd)
			break;
		if (event.data.fd == pool->stop_fd) {
			(void)epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL,
			    pool->stop_fd, NULL);
			(void)epoll_ctl(
			    worker->epoll_fd, EPOLL_CTL_DEL, 0, NULL);
		}
		if (event.data.fd == pool->work_fd)
			(void)!read(pool->work_fd, &count, sizeof(count));
		if (event.data.fd == 0)
			accept_one(pool, &seat);
		receive_arrived(pool, &seat);
		drain_queue(pool, &seat);
	}
	seat_fini(&seat);
	return NULL;
}

static void
pool_fini(struct pool *pool)
{
	struct request *request;
	size_t i;

	if (pool->waiter != NULL)
		waiter_stop(pool->waiter);
	if (pool->quit_fd >= 0)
		signal_fd(pool->quit_fd);
	for (i = 0; i < pool->workers_len; i++) {
		(void)pthread_join(pool->workers[i].thread, NULL);
		(void)close(pool->workers[i].epoll_fd);
	}
	waiter_free(&pool->waiter);
	/* Only after a start that failed is there anything left. */
	while ((request = pool->first) != NULL) {
		pool->first = request->next;
		request_free(&request);
	}
	while ((request = take_arrived(pool)) != NULL)
		request_free(&request);
	keeper_free(&pool->keeper);
	downloads_free(&pool->downloads);
	gate_watch_free(&pool->watch);
	free(pool->workers);
	if (pool->work_fd >= 0)
		(void)close(pool->work_fd);
	if (pool->stop_fd >= 0)
		(void)close(pool->stop_fd);
	if (pool->quit_fd >= 0)
		(void)close(pool->quit_fd);
	(void)pthread_cond_destroy(&pool->idle);
	(void)pthread_mutex_destroy(&pool->lock);
}

static void
init_locks(struct pool *pool)
{
	(void)pthread_mutex_init(&pool->lock, NULL);
	thread_cond_init(&pool->idle);
}

static int
start_workers(struct pool *pool, struct err *err)
{
	const size_t len = (size_t)service_conf(pool->service)->threads + 1;
	struct worker *worker;

	pool->workers = calloc(len, sizeof(pool->workers[0]));
	if (pool->workers == NULL)
		return err_set(err, ERR_NOMEM, "no memory to start");
	for (; pool->workers_len < len; pool->workers_len++) {
		worker = &pool->workers[pool->workers_len];
		worker->pool = pool;
		if (open_events(pool, &worker->epoll_fd, err) != 0)
			return -1;
		if (thread_start(work, worker, &worker->thread, err) != 0) {
			(void)close(worker->epoll_fd);
			return -1;
		}
	}
	return 0;
}

static int
start(struct pool *pool, struct err *err)
{
	struct service *service = pool->service;

	pool->work_fd =
	    eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
	pool->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pool->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->work_fd < 0 || pool->stop_fd < 0 || pool->quit_fd < 0)
		return err_set_errno(err, ERR_LIMIT, errno, "eventfd");
	if (gate_watch_new(&pool->watch, err) != 0 ||
	    downloads_new(service, &pool->downloads, err) != 0 ||
	    waiter_start(service, pool->watch, unpark, pool,
	    &pool->waiter, err) != 0 ||
	    keeper_start(service, &pool->keeper, err) != 0)
		return -1;
	shield_start(service_shield(service), unpark_seen, pool);
	return start_workers(pool, err);
}

/* Until SIGTERM or SIGINT. */
static void
await_stop(struct pool *pool, const sigset_t *signals)
{
	int number;

	for (;;) {
		if (sigwait(signals, &number) != 0)
			continue;
		if (number == SIGCHLD)
			keeper_kick(pool->keeper);
		if (number == SIGTERM || number == SIGINT)
			return;
	}
}

static bool
is_idle(const struct pool *pool)
{
	return pool->busy == 0 && pool->first == NULL &&
	    pool->arrived == NULL && pool->parked == 0;
}

/* Until nobody is at work and nothing is left to do. */
static bool
await_workers(struct pool *pool, int64_t deadline_ms)
{
	bool idle;

	(void)pthread_mutex_lock(&pool->lock);
	while (!is_idle(pool) &&
	    thread_cond_wait(&pool->idle, &pool->lock, deadline_ms))
		continue;
	idle = is_idle(pool);
	(void)pthread_mutex_unlock(&pool->lock);
	return idle;
}

static bool
stop(struct pool *pool)
{
	const int64_t deadline_ms = clock_mono_ms() + POOL_STOP_MS;

	log_info("pool", "stopping");
	signal_fd(pool->stop_fd);
	waiter_stop(pool->waiter);
	shield_stop(service_shield(pool->service));
	return await_workers(pool, deadline_ms) &&
	    downloads_await(pool->downloads, deadline_ms) &&
	    shield_await(service_shield(pool->service), deadline_ms);
}

int
pool_run(struct service *service, bool *ret_idle, struct err *err)
{
	struct pool pool = {
		.service = service,
		.work_fd = -1, .stop_fd = -1, .quit_fd = -1,
		.slots = service_conf(service)->threads,
	};
	bool idle = true;
	sigset_t signals;
	int rc = -1;

	pool.last = &pool.first;
	init_locks(&pool);
	if (gate_listen(err) != 0)
		goto out;
	/* libfcgi has handlers of its own by now; nobody is to run them. */
	(void)sigfillset(&signals);
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
	/* Ignored, as some parent may have had it, our children would end
	 * without a word. */
	(void)signal(SIGCHLD, SIG_DFL);
	if (start(&pool, err) != 0)
		goto out;
	log_info("pool", "serving with %lld threads",
	    (long long)service_conf(service)->threads);
	await_stop(&pool, &signals);
	idle = stop(&pool);
	rc = 0;
out:
	if (idle)
		pool_fini(&pool);
	if (rc == 0)
		*ret_idle = idle;
	return rc;
}
