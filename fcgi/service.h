/*
 * What all threads of podprof.fcgi share, and what each has for itself.
 */
#ifndef PODPROF_SERVICE_H
#define PODPROF_SERVICE_H

#include <stdbool.h>

#include "auth.h"
#include "conf.h"
#include "db.h"
#include "err.h"
#include "job.h"
#include "request.h"
#include "spawn.h"

/* Shared; every call is safe for many threads. */
struct service;
struct shield;
struct traffic;

/*
 * conf  borrowed for the service's life.
 * log   where captures log to; SPAWN_LOG_FILE also says that we are plain CGI:
 *       one request, one thread, no keeper.
 */
MUST int service_new(const struct conf *conf, enum spawn_log log,
    struct service **ret_service, struct err *err);
void service_free(struct service **service);

const struct conf *service_conf(const struct service *service);
struct auth *service_auth(struct service *service);
struct shield *service_shield(struct service *service);
/* What the pool has answered; NULL under plain CGI. */
struct traffic *service_traffic(struct service *service);
bool service_is_cgi(const struct service *service);

/*
 * Places for requests that wait: at most [limits] waiting.  A handler takes one
 * before it does what cannot be undone; it is given back when the answer is
 * there, or by request_free().  Taking again what the request has is allowed.
 * ERR_LIMIT.
 */
MUST int service_take_place(struct service *service, struct request *request,
    struct err *err);
void service_leave_place(struct request *request);

/* How many downloads of files are under way: download.c tells. */
void service_set_downloads(struct service *service, int64_t downloads);

/* What this process is at. */
struct service_load {
	int64_t start_ms;	/* when it began, since 1970 */
	int64_t waiting;	/* places that are taken */
	int64_t downloads;
};
void service_read_load(struct service *service,
    struct service_load *ret_load);

/* Start podprof-capture as spawn_capture(), whose errors these are, and
 * remember its process. */
MUST int service_spawn(struct service *service, enum spawn_task task,
    const char *name, struct err *err);

/* A process of ours that has ended. */
struct service_end {
	enum spawn_task task;
	char name[STR_NAME_MAX + 1];	/* the job's id, or the app's name */
	int wait_status;
};

/*
 * Learn of one: false if there is none (any more).  Of processes that are not
 * ours (orphans, where we are process 1) nothing is told.
 */
bool service_reap(struct service *service, struct service_end *ret_end);

/* Kill looks that did not end within SERVICE_LOOK_MS: one a second is started
 * as long as somebody asks, and they must not pile up where a disk or a name
 * server hangs.  They are reaped as any other. */
#define SERVICE_LOOK_MS 10000
void service_kill_late_looks(struct service *service);

/* Whether the state can be used, as the keeper last found; why NULL: it can.
 * Whoever finds out logs it, when it changes.  Not ready until it was told so;
 * has_looked: it was told, whatever. */
void service_set_ready(struct service *service, const struct err *why);
bool service_is_ready(struct service *service);
bool service_has_looked(struct service *service);

/*
 * Finish an answer that delivers its job, and write that down, as one step for
 * service_await_handover().  tail: the last bytes, at most GATE_TAIL_MAX, after
 * gate_brace().  The gate is gone either way.
 *
 * Returns 0, or -1 if the job is not delivered; *ret_sent tells whether the
 * answer was handed over nevertheless.
 */
MUST int service_hand_over(struct service *service, struct gate **gate_take,
    const char *job_id, const void *tail, size_t len, bool *ret_sent,
    struct err *err);

/*
 * Wait until no answer is in the middle of service_hand_over(), in this
 * process or another that shares state_dir: whoever got the last byte of a
 * snapshot finds it delivered, however fast he asks again.  Waits for a commit,
 * never for a client, and for a second at most.
 */
void service_await_handover(const struct service *service);

/* What a thread has for itself: init with the service and NULL. */
struct seat {
	struct service *service;
	struct db *db;		/* use seat_db() */
};

/* The thread's connection to the database: opened when first needed, and anew
 * when the file was replaced.  Errors of job_open_db(). */
MUST int seat_db(struct seat *seat, struct db **ret_db, struct err *err);

/* Close the connection; the next seat_db() opens a new one.  For the end, and
 * after ERR_STORE, which the connection may be the reason of. */
void seat_fini(struct seat *seat);

#endif
