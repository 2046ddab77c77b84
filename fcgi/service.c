/*
 * The shared state of podprof.fcgi: counters, children, readiness, and the
 * last step of a delivery, each under a lock that is held for a moment only.
 */
#include "service.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "artifact.h"
#include "clock.h"
#include "file.h"
#include "shield.h"
#include "traffic.h"

/* A process that we started and have not reaped. */
struct child {
	pid_t pid;
	struct service_end end;		/* as it will be told */
	int64_t since_ms;		/* clock_mono_ms() */
	struct child *next;
};

struct service {
	const struct conf *conf;
	enum spawn_log log;
	struct auth *auth;
	struct shield *shield;
	struct traffic *traffic;
	int64_t start_ms;

	pthread_mutex_t lock;		/* of what follows */
	int64_t waiting;
	int64_t downloads;
	bool is_ready, has_looked;

	pthread_mutex_t children_lock;
	struct child *children;

	pthread_mutex_t handover_lock;	/* of handover */
	struct seat handover;		/* its database */
};

/* Locked during service_hand_over(), by whatever process: below state_dir. */
#define HANDOVER_FILE "handover"
/* It is held for a commit: longer than a disk takes on a bad day, and not so
 * long that requests do not get through behind a process that was stopped. */
#define HANDOVER_WAIT_MS 3000

int
service_new(const struct conf *conf, enum spawn_log log,
    struct service **ret_service, struct err *err)
{
	struct service *service = calloc(1, sizeof(*service));

	if (service == NULL)
		return err_set(err, ERR_NOMEM, "no memory to start");
	service->conf = conf;
	service->start_ms = clock_utc_ms();
	service->log = log;
	(void)pthread_mutex_init(&service->lock, NULL);
	(void)pthread_mutex_init(&service->children_lock, NULL);
	(void)pthread_mutex_init(&service->handover_lock, NULL);
	service->handover.service = service;
	if (auth_new(conf, &service->auth, err) != 0 ||
	    shield_new(service, &service->shield, err) != 0 ||
	    (!service_is_cgi(service) &&
	    traffic_new(&service->traffic, err) != 0)) {
		service_free(&service);
		return -1;
	}
	*ret_service = service;
	return 0;
}

void
service_free(struct service **service)
{
	struct service *s = *service;
	struct child *child;

	if (s == NULL)
		return;
	while ((child = s->children) != NULL) {
		s->children = child->next;
		free(child);
	}
	shield_free(&s->shield);
	traffic_free(&s->traffic);
	seat_fini(&s->handover);
	auth_free(&s->auth);
	(void)pthread_mutex_destroy(&s->lock);
	(void)pthread_mutex_destroy(&s->children_lock);
	(void)pthread_mutex_destroy(&s->handover_lock);
	free(s);
	*service = NULL;
}

const struct conf *
service_conf(const struct service *service)
{
	return service->conf;
}

struct auth *
service_auth(struct service *service)
{
	return service->auth;
}

struct shield *
service_shield(struct service *service)
{
	return service->shield;
}

struct traffic *
service_traffic(struct service *service)
{
	return service->traffic;
}

bool
service_is_cgi(const struct service *service)
{
	return service->log == SPAWN_LOG_FILE;
}

int
service_take_place(struct service *service, struct request *request,
    struct err *err)
{
	bool is_free;

	if (request->place != NULL)
		return 0;
	(void)pthread_mutex_lock(&service->lock);
	is_free = service->waiting < service->conf->waiting;
	if (is_free)
		service->waiting++;
	(void)pthread_mutex_unlock(&service->lock);
	if (!is_free)
		return err_set(err, ERR_LIMIT, "%lld requests wait here "
		    "already, which is [limits] waiting; try again later",
		    (long long)service->conf->waiting);
	request->place = service;
	return 0;
}

void
service_leave_place(struct request *request)
{
	struct service *service = request->place;

	if (service == NULL)
		return;
	(void)pthread_mutex_lock(&service->lock);
	service->waiting--;
	(void)pthread_mutex_unlock(&service->lock);
	request->place = NULL;
}

void
service_set_downloads(struct service *service, int64_t downloads)
{
	(void)pthread_mutex_lock(&service->lock);
	service->downloads = downloads;
	(void)pthread_mutex_unlock(&service->lock);
}

void
service_read_load(struct service *service, struct service_load *ret_load)
{
	(void)pthread_mutex_lock(&service->lock);
	*ret_load = (struct service_load){
		.start_ms = service->start_ms,
		.waiting = service->waiting,
		.downloads = service->downloads,
	};
	(void)pthread_mutex_unlock(&service->lock);
}

int
service_spawn(struct service *service, enum spawn_task task,
    const char *name, struct err *err)
{
	struct child *child = calloc(1, sizeof(*child));
	int rc;

	if (child == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a capture");
	child->end.task = task;
	(void)str_copy(child->end.name, sizeof(child->end.name), name);
	child->since_ms = clock_mono_ms();
	/* Locked, so that nobody reaps it before it is in the list. */
	(void)pthread_mutex_lock(&service->children_lock);
	rc = spawn_capture(
	    service->conf, task, name, service->log, &child->pid, err);
	if (rc == 0) {
		child->next = service->children;
		service->children = child;
		child = NULL;
	}
	(void)pthread_mutex_unlock(&service->children_lock);
	free(child);
	return rc;
}

/* With the lock held: take the process out of the list. */
static bool
forget_child(struct service *service, pid_t pid, struct service_end *ret_end)
{
	struct child **link, *child;

	for (link = &service->children; *link != NULL; link = &child->next) {
		child = *link;
		if (child->pid != pid)
			continue;
		*ret_end = child->end;
		*link = child->next;
		free(child);
		return true;
	}
	return false;
}

bool
service_reap(struct service *service, struct service_end *ret_end)
{
	bool found = false;
	int status;
	pid_t pid;

	(void)pthread_mutex_lock(&service->children_lock);
	while (!found) {
		pid = waitpid(-1, &status, WNOHANG);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid <= 0)
			break;
		found = forget_child(service, pid, ret_end);
	}
	(void)pthread_mutex_unlock(&service->children_lock);
	if (found)
		ret_end->wait_status = status;
	return found;
}

void
service_kill_late_looks(struct service *service)
{
	const int64_t late_ms = clock_mono_ms() - SERVICE_LOOK_MS;
	const struct child *child;

	/* Whoever is in the list was not waited for: the number is its own. */
	(void)pthread_mutex_lock(&service->children_lock);
	for (child = service->children; child != NULL; child = child->next)
		if (child->end.task == SPAWN_LOOK &&
		    child->since_ms <= late_ms)
			(void)kill(child->pid, SIGKILL);
	(void)pthread_mutex_unlock(&service->children_lock);
}

void
service_set_ready(struct service *service, const struct err *why)
{
	(void)pthread_mutex_lock(&service->lock);
	service->is_ready = why == NULL;
	service->has_looked = true;
	(void)pthread_mutex_unlock(&service->lock);
}

bool
service_is_ready(struct service *service)
{
	bool is_ready;

	(void)pthread_mutex_lock(&service->lock);
	is_ready = service->is_ready;
	(void)pthread_mutex_unlock(&service->lock);
	return is_ready;
}

bool
service_has_looked(struct service *service)
{
	bool has_looked;

	(void)pthread_mutex_lock(&service->lock);
	has_looked = service->has_looked;
	(void)pthread_mutex_unlock(&service->lock);
	return has_looked;
}

/*
 * Take the lock that all processes share; the descriptor holds it.  -1 if it
 * cannot be had: the state is not usable, which others tell, or a process was
 * stopped with it, and then nobody must wait for that.
 */
static int
lock_handover(const struct service *service, bool is_exclusive)
{
	char path[ARTIFACT_PATH_MAX];
	int fd = -1, n;

	n = snprintf(path, sizeof(path), "%s/" HANDOVER_FILE,
	    service->conf->state_dir);
	if (n < 0 || (size_t)n >= sizeof(path) || file_lock(path,
	    is_exclusive, HANDOVER_WAIT_MS, &fd, NULL) != 1)
		return -1;
	return fd;
}

int
service_hand_over(struct service *service, struct gate **gate_take,
    const char *job_id, const void *tail, size_t len, bool *ret_sent,
    struct err *err)
{
	struct db *db = NULL;
	bool sent = false;
	int rc, lock;

	(void)pthread_mutex_lock(&service->handover_lock);
	/* Opened first: it is what takes longest. */
	rc = seat_db(&service->handover, &db, err);
	lock = lock_handover(service, true);
	if (gate_write(*gate_take, tail, len, err) != 0)
		gate_drop(gate_take);
	else
		sent = gate_finish(gate_take, err) == 0;
	if (sent && rc == 0)
		rc = job_deliver(db, service->conf->state_dir, job_id,
		    service->conf->grace_ms, err);
	file_unlock(&lock);
	(void)pthread_mutex_unlock(&service->handover_lock);
	*ret_sent = sent;
	return sent && rc == 0 ? 0 : -1;
}

void
service_await_handover(const struct service *service)
{
	int lock = lock_handover(service, false);

	file_unlock(&lock);
}

int
seat_db(struct seat *seat, struct db **ret_db, struct err *err)
{
	if (seat->db != NULL && !db_is_current(seat->db))
		db_close(&seat->db);
	if (seat->db == NULL && job_open_db(
	    service_conf(seat->service)->state_dir, &seat->db, err) != 0)
		return -1;
	*ret_db = seat->db;
	return 0;
}

void
seat_fini(struct seat *seat)
{
	db_close(&seat->db);
}
