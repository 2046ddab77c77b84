/*
 * What the unit programs of capture share: one job, a configuration, a
 * database, and an app that does as it is told.
 */
#ifndef PODPROF_CAPTURES_H
#define PODPROF_CAPTURES_H

#include <dirent.h>
#include <poll.h>
#include <sys/stat.h>

#include "database.h"
#include "test.h"

#include "artifact.h"
#include "capture.h"
#include "clock.h"
#include "job.h"
#include "watchdog.h"
#include "inspector.h"

#define FACTS_AND(more)                                                        \
	"{\"result\":{\"type\":\"string\",\"value\":\"{\\\"pid\\\":7,"         \
	"\\\"node\\\":\\\"v20.20.2\\\",\\\"rss\\\":1000" more "}\"}}"
#define FACTS_WITH_HEAP(bytes) FACTS_AND(",\\\"heapUsed\\\":" #bytes)
#define FACTS FACTS_WITH_HEAP(500)

/* A whole heap snapshot, of one node: as it is, and as it stands in a chunk, in
 * two halves, between which there is room for any bytes. */
#define SNAPSHOT \
	"{\"snapshot\":{\"meta\":{\"node_fields\":[\"type\"],\"edge_f" \
	"ields\":[\"type\"]},\"node_count\":1,\"edge_count\":0},\"nod" \
	"es\":[0],\"edges\":[],\"strings\":[\"\"]}"
#define SNAPSHOT_HEAD \
	"{\\\"snapshot\\\":{\\\"meta\\\":{\\\"node_fields\\\":[\\\"ty" \
	"pe\\\"],\\\"edge_fields\\\":[\\\"type\\\"]},\\\"node_count" \
	"\\\":1,\\\"edge_count\\\":0},\\\"nodes\\\":[0],\\\"edges\\\"" \
	":[],\\\"strings\\\":[\\\""
#define SNAPSHOT_TAIL "\\\"]}"

/* What Runtime.evaluate says, and [limits] min_free_bytes. */
static const char *facts = FACTS;
static const char *min_free = "0";
/* Of a heap profile. */
static int64_t sampling_bytes = JOB_UNKNOWN;
static bool live;
static char dir[256];
static struct inspector in;
static struct conf *conf;
static struct db *db;
static struct job job;
static char heard[16384];

/* The watchdog is the program itself, started anew: it has tests of its own. */
int __wrap_watchdog_start(const char *exchange_dir, int session_fd,
    const char *parting, struct watchdog **ret_watchdog, struct err *err);

int
__wrap_watchdog_start(const char *exchange_dir, int session_fd,
    const char *parting, struct watchdog **ret_watchdog, struct err *err)
{
	(void)err;
	assert_non_null(exchange_dir);
	assert_true(session_fd >= 0);
	assert_non_null(strstr(parting, "notifyWhenWaitingForDisconnect"));
	*ret_watchdog = NULL;
	return 0;
}

/* What the app does with a method; NULL: reply with an empty result. */
typedef bool method_fn(int fd, long long id, const char *method);
static method_fn *on_method;

static inline void
reply(int fd, long long id, const char *result)
{
	char text[4096];

	(void)snprintf(text, sizeof(text), "{\"id\":%lld,\"result\":%s}", id,
	    result);
	inspector_say(fd, text);
}

/* As V8 answers where it has no sampler. */
static inline void
refuse(int fd, long long id)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "{\"id\":%lld,\"error\":{\"code\":"
	    "-32000,\"message\":\"V8 sampling heap profiler was not "
	    "started.\"}}", id);
	inspector_say(fd, text);
}

static inline void
script(struct inspector *self, int fd, int n)
{
	(void)n;
	inspector_read_head(self, fd);
	if (strstr(self->request, "/json/list") != NULL) {
		inspector_answer(fd, 200, "[{\"type\":\"node\","
		    "\"webSocketDebuggerUrl\":\"ws://127.0.0.1/u\"}]");
		return;
	}
	inspector_upgrade(self, fd);
	while (inspector_hear(fd, heard, sizeof(heard)) == 0x81) {
		long long id = 0;
		char method[128] = "";

		(void)sscanf(heard, "{\"id\":%lld,\"method\":\"%127[^\"]\"",
		    &id, method);
		if (on_method != NULL && on_method(fd, id, method))
			continue;
		if (strcmp(method, "Runtime.evaluate") == 0)
			reply(fd, id, facts);
		else if (strcmp(method, "HeapProfiler.getSamplingProfile") == 0)
			refuse(fd, id);
		else
			reply(fd, id, "{}");
	}
}

static inline struct job_order
order_of(enum job_kind kind, int64_t duration_ms)
{
	const struct job_order order = {
		.app = "sample",
		.pod = "pod-1",
		.kind = kind,
		.method = METHOD_AUTO,
		.duration_ms = duration_ms,
		.interval_us = JOB_UNKNOWN,
		.sampling_bytes = sampling_bytes,
		.live = live,
		.requested_by = "tester",
		.request_id = "r-1",
		.profiles_max = 4,
	};

	return order;
}

/* limits: keys of [limits], and after them other sections. */
static inline void
begin(enum job_kind kind, int64_t duration_ms, const char *limits,
    method_fn *fn)
{
	char path[300], text[1024];
	char *const env[] = { NULL };
	struct job_order order = order_of(kind, duration_ms);
	bool is_new;
	struct err err;
	FILE *file;

	on_method = fn;
	test_make_dir(dir);
	inspector_start(&in, script);
	(void)snprintf(path, sizeof(path), "%s/podprof.conf", dir);
	(void)snprintf(text, sizeof(text), "[podprof]\nstate_dir = %s\n"
	    "pod = pod-1\nlog_level = error\n[app sample]\n"
	    "inspector = 127.0.0.1:%u\nexchange_dir = %s/exchange\n"
	    "[limits]\nmin_free_bytes = %s\n%s\n",
	    dir, (unsigned)in.port, dir, min_free, limits);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_ok(conf_load(path, env, &conf, &err), err);
	assert_ok(artifact_check_dirs(dir, false, &err), err);
	database_open(dir, &db);
	assert_ok(job_create(db, dir, &order, &job, &is_new, &err), err);
}

/* One more, once the first is over. */
static inline void
order_again(void)
{
	struct job_order order = order_of(job.kind, job.duration_ms);
	bool is_new;
	struct err err;

	assert_ok(job_create(db, dir, &order, &job, &is_new, &err), err);
}

static inline void
end(void)
{
	facts = FACTS;
	min_free = "0";
	sampling_bytes = JOB_UNKNOWN;
	live = false;
	db_close(&db);
	conf_free(&conf);
	inspector_stop(&in);
	test_remove_dir(dir);
}

static inline void
read_job(void)
{
	struct err err;

	assert_ok(job_get(db, dir, "sample", "pod-1", job.id, &job, &err),
	    err);
}

static inline int
count_files(void)
{
	char path[300];
	struct dirent *entry;
	DIR *d;
	int n = 0;

	(void)snprintf(path, sizeof(path), "%s/artifacts", dir);
	d = opendir(path);
	assert_non_null(d);
	while ((entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.')
			n++;
	(void)closedir(d);
	return n;
}

/* A snapshot's chunk, of text as it stands in JSON. */
static inline void
send_chunk(int fd, const char *text)
{
	static const char head[] = "{\"method\":\"HeapProfiler."
	    "addHeapSnapshotChunk\",\"params\":{\"chunk\":\"";
	static const char tail[] = "\"}}";
	size_t len = strlen(head) + strlen(text) + strlen(tail);
	char *message = malloc(len + 1);

	assert_non_null(message);
	(void)snprintf(message, len + 1, "%s%s%s", head, text, tail);
	inspector_frame(fd, 0x81, message, len);
	free(message);
}

/* Until the client has left. */
static inline void
stall(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	(void)poll(&p, 1, 20000);
}

#endif
