/*
 * Plain CGI: the same routes and handlers; what the pool has threads for is
 * done in place, one after the other.
 */
#include "cgi.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "clock.h"
#include "download.h"
#include "gate.h"
#include "keeper.h"
#include "log.h"
#include "problem.h"
#include "request.h"
#include "route.h"
#include "service.h"
#include "shield.h"
#include "spawn.h"

#define TICK_MS 100
/* For a preflight, or a look. */
#define TICK_SOON_MS 5
/* Nobody else looks after captures that died. */
#define SETTLE_MS 1000

/*
 * Take descriptors 0 and 1 as the request's, and leave /dev/null in their
 * place: the web server sees the end of the answer when the gate is closed,
 * whatever is done after it.
 */
static int
open_gate(char *const env[], struct gate **ret_gate, struct err *err)
{
	int in = -1, out = -1, null = -1;

	in = fcntl(0, F_DUPFD_CLOEXEC, 3);
	out = fcntl(1, F_DUPFD_CLOEXEC, 3);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (in < 0 || out < 0 || null < 0 || dup2(null, 0) < 0 ||
	    dup2(null, 1) < 0) {
		err_set_errno(err, ERR_INTERNAL, errno,
		    "the CGI request's descriptors 0 and 1");
		goto fail;
	}
	(void)close(null);
	null = -1;
	if (gate_open_cgi(in, out, env, ret_gate, err) == 0)
		return 0;
fail:
	if (in >= 0)
		(void)close(in);
	if (out >= 0)
		(void)close(out);
	if (null >= 0)
		(void)close(null);
	return -1;
}

static int
open_request(char *const env[], struct request **ret_request,
    struct err *err)
{
	struct request *request = NULL;
	struct gate *gate = NULL;

	/* A client that left is an error of write(2), not our death. */
	(void)signal(SIGPIPE, SIG_IGN);
	if (open_gate(env, &gate, err) != 0 ||
	    request_new(&gate, &request, err) != 0)
		return -1;
	if (request_read(request, err) != 0) {
		request_free(&request);
		return -1;
	}
	route_find(request);
	*ret_request = request;
	return 0;
}

/* Once around: is the wait over? */
static bool
is_over(struct seat *seat, const struct request *request, int64_t *version,
    int64_t *settled_ms)
{
	int64_t now, now_ms = clock_mono_ms();
	struct request_sight sight;
	struct db *db;
	struct err err;

	/* What cannot be read is told by whoever goes on. */
	if (seat_db(seat, &db, &err) != 0 ||
	    db_data_version(db, &now, &err) != 0)
		return true;
	if (now == *version && now_ms - *settled_ms < SETTLE_MS)
		return false;
	*version = now;
	*settled_ms = now_ms;
	return request_see(request, seat, &sight, &err) != 0 ||
	    request_is_over(request, &sight);
}

static void
await(struct seat *seat, const struct request *request)
{
	const bool is_soon = request->wait.until == UNTIL_PREFLIGHT ||
	    request->wait.until == UNTIL_LOOKED;
	const int tick_ms = is_soon ? TICK_SOON_MS : TICK_MS;
	int64_t version = -1, settled_ms = clock_mono_ms();

	while (!is_over(seat, request, &version, &settled_ms) &&
	    clock_mono_ms() < request->wait.deadline_ms)
		(void)poll(NULL, 0, tick_ms);
}

static void
send_head(struct request *request, struct answer *answer)
{
	struct err err;

	if (answer_send(answer, request->gate, true, &err) != 0 ||
	    gate_finish(&request->gate, &err) != 0)
		log_debug("cgi", "the answer was not handed over: %s",
		    err.msg);
	answer_fini(answer);
	request_free(&request);
}

static void
serve(struct service *service, struct request *request)
{
	struct seat seat = { .service = service };
	struct answer answer;

	log_bind(request->id, NULL);
	answer_init(&answer);
	route_serve(&seat, request, &answer);
	while (answer.kind == ANSWER_WAIT) {
		answer_fini(&answer);
		if (request->wait.until == UNTIL_SEEN)
			shield_find(service_shield(service), request);
		else
			await(&seat, request);
		route_resume(&seat, request, &answer);
	}
	/* The database may be idle for as long as the client reads. */
	seat_fini(&seat);
	/* mod_cgid sends it as soon as it has the end of the answer; what is
	 * left to be written down then takes milliseconds. */
	(void)signal(SIGTERM, SIG_IGN);
	if (request->method == HTTP_HEAD)
		send_head(request, &answer);
	else
		download_send(service, request, &answer);
}

/* /readyz has no keeper to ask. */
static void
find_readiness(struct service *service, const struct request *request)
{
	const char *state_dir = service_conf(service)->state_dir;
	const bool is_shared = conf_shares_files(service_conf(service));
	struct seat seat = { .service = service };
	struct db *db;
	struct err err;
	int rc;

	if (strcmp(request->path, "/readyz") != 0)
		return;
	rc = artifact_check_dirs(state_dir, is_shared, &err);
	if (rc == 0)
		rc = seat_db(&seat, &db, &err);
	if (rc == 0)
		rc = auth_check_tokens(service_auth(service), &err);
	if (rc != 0)
		log_error("cgi", "not ready: %s", err.msg);
	seat_fini(&seat);
	service_set_ready(service, rc == 0 ? NULL : &err);
}

/* There is no web server's error log: what is logged goes where captures log.
 * If that cannot be, whoever started us gets it. */
static void
log_to_file(const char *state_dir)
{
	struct err err;
	int fd;

	if (spawn_open_log(state_dir, &fd, &err) != 0) {
		log_warn("cgi", "%s", err.msg);
		return;
	}
	(void)dup2(fd, 2);
	(void)close(fd);
}

void
cgi_run(const struct conf *conf, char *const env[])
{
	struct service *service = NULL;
	struct request *request = NULL;
	struct err err;

	if (service_new(conf, SPAWN_LOG_FILE, &service, &err) != 0 ||
	    open_request(env, &request, &err) != 0) {
		log_error("cgi", "%s", err.msg);
		goto out;
	}
	if (auth_trust_process(service_auth(service), env))
		log_to_file(conf->state_dir);
	find_readiness(service, request);
	serve(service, request);
	keeper_once(service);
out:
	service_free(&service);
}

void
cgi_refuse(char *const env[])
{
	static const struct conf nothing = { .pod = "" };
	struct request *request = NULL;
	struct answer answer;
	struct err err;

	if (open_request(env, &request, &err) != 0) {
		log_error("cgi", "%s", err.msg);
		return;
	}
	answer_init(&answer);
	err_set(&err, ERR_INTERNAL, "podprof is not set up right; the web "
	    "server's error log says what is wrong");
	problem_answer(&nothing, request, &err, &answer);
	answer_header(&answer, "X-Request-Id", "%s", request->id);
	if (answer_send(&answer, request->gate,
	    request->method == HTTP_HEAD, &err) != 0 ||
	    gate_finish(&request->gate, &err) != 0)
		log_debug("cgi", "the answer was not handed over: %s",
		    err.msg);
	answer_fini(&answer);
	request_free(&request);
}
