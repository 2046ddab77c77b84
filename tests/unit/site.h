/*
 * A service for the unit programs of podprof.fcgi: a state directory, tokens, a
 * configuration, and jobs that do what podprof-capture would do.
 */
#ifndef PODPROF_SITE_H
#define PODPROF_SITE_H

#include "database.h"
#include "front.h"

#include "artifact.h"
#include "conf.h"
#include "db.h"
#include "job.h"
#include "look.h"
#include "proc.h"
#include "token.h"

struct site {
	char dir[256];
	char state_dir[300];
	char tokens[300];
	char exchange_dir[300];			/* not made */
	char operator[TOKEN_MAX + 40];	/* "HTTP_AUTHORIZATION=Bearer …" */
	char viewer[TOKEN_MAX + 40];
	struct conf_app apps[2];
	struct conf conf;
	struct db *db;
};

static inline void
site_token(struct site *site, const char *name, enum conf_role role,
    char out[TOKEN_MAX + 40])
{
	char secret[TOKEN_MAX], line[TOKEN_LINE_MAX];
	struct err err;
	FILE *f = fopen(site->tokens, "a");

	assert_non_null(f);
	assert_ok(token_make(name, role, secret, line, &err), err);
	(void)fprintf(f, "%s\n", line);
	assert_int_equal(fclose(f), 0);
	(void)snprintf(out, TOKEN_MAX + 40, "HTTP_AUTHORIZATION=Bearer %s",
	    secret);
}

static inline void
site_open(struct site *site)
{
	struct err err;

	memset(site, 0, sizeof(*site));
	test_make_dir(site->dir);
	(void)snprintf(site->state_dir, sizeof(site->state_dir), "%s/state",
	    site->dir);
	(void)snprintf(site->tokens, sizeof(site->tokens), "%s/tokens",
	    site->dir);
	assert_int_equal(mkdir(site->state_dir, 0711), 0);
	assert_ok(artifact_check_dirs(site->state_dir, false, &err), err);
	site_token(site, "oda", ROLE_OPERATOR, site->operator);
	site_token(site, "val", ROLE_VIEWER, site->viewer);
	(void)snprintf(site->exchange_dir, sizeof(site->exchange_dir),
	    "%s/exchange", site->dir);
	site->apps[0] = (struct conf_app){ .name = "app",
		.inspector = "127.0.0.1:9229", .method = METHOD_AUTO,
		.exchange_dir = site->exchange_dir, .pid = "",
		.health_url = "" };
	site->apps[1] = (struct conf_app){ .name = "forked",
		.inspector = "127.0.0.1:9230", .method = METHOD_FORK,
		.exchange_dir = site->exchange_dir, .pid = "",
		.health_url = "" };
	site->conf = (struct conf){ .state_dir = site->state_dir,
		.pod = "pod-1", .threads = 2, .log_level = LOG_ERROR,
		.auth_tokens = site->tokens, .auth_hosts = "",
		.store_bytes = 1 << 30, .store_jobs = 1000,
		.keep_ms = 3600000, .grace_ms = 600000,
		.job_timeout_ms = 600000, .profiles = 2, .downloads = 2,
		.waiting = 4, .token_captures = 600, .app_captures = 500,
		.compression = COMPRESSION_ZSTD,
		.compression_level = 1, .sendfile_prefix = "",
		.apps = site->apps, .apps_len = 2 };
	database_open(site->state_dir, &site->db);
}

static inline void
site_close(struct site *site)
{
	db_close(&site->db);
	test_remove_dir(site->dir);
}

/* What podprof-capture does for a job, one step each. */
static inline void
site_claim(struct db *db, const char *job_id)
{
	struct proc self;
	struct job job;
	struct err err;

	assert_ok(proc_self(&self, &err), err);
	assert_ok(job_claim(db, job_id, &self, &job, &err), err);
}

static const struct job_attempt site_attempt = {
	METHOD_STREAM, OUTCOME_RUNNING, "",
};
static const struct job_plan site_plan = {
	.used_method = METHOD_STREAM, .attempts = &site_attempt,
	.attempts_len = 1, .predicted_bytes = JOB_UNKNOWN,
	.predicted_peak_bytes = JOB_UNKNOWN,
	.predicted_freeze_ms = JOB_UNKNOWN,
};

static inline void
site_attach(struct db *db, const char *job_id)
{
	const struct job_target target = { .pid = 4711, .node = "v20.0.0",
		.memory_bytes = 1 << 20 };
	struct err err;

	site_claim(db, job_id);
	assert_ok(job_set_target(db, job_id, &target, &site_plan, &err), err);
}

/* What podprof-capture --look does: it found the app. */
static inline void
site_look(const struct site *site, struct db *db, const char *app)
{
	const struct look look = { .is_reachable = true,
		.address = "127.0.0.1:9229",
		.facts = { .pid = 4711, .node = "v20.0.0", .arch = "x64",
		    .rss_bytes = 3000, .rss_peak_bytes = -1,
		    .heap_used_bytes = 1000, .heap_large_bytes = -1,
		    .limit_bytes = -1, .available_bytes = 9000 },
		.methods = { { .method = METHOD_FORK, .is_usable = true },
		    { .method = METHOD_DIRECT, .why = { .code = ERR_STORE,
			.msg = "no directory" } },
		    { .method = METHOD_STREAM, .is_usable = true } },
		.methods_len = 3,
		.predict = { .peak_bytes = 5000, .extra_bytes = 2000,
		    .file_bytes = 700, .freeze_ms = 30 } };
	struct err err;

	assert_ok(look_put(db, app, site->conf.pod, &look, &err), err);
}

/* What a file of len bytes has at a position: "{", letters, "}". */
static inline char
site_byte(size_t at, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
	uint32_t x = (uint32_t)at * UINT32_C(2654435761);

	if (at == 0 || at == len - 1)
		return at == 0 ? '{' : '}';
	x = (x ^ x >> 15) * UINT32_C(2246822519);
	return letters[(x ^ x >> 13) % (sizeof(letters) - 1)];
}

/* Store a file of len bytes as [artifacts] says, and end the job. */
static inline void
site_finish(const struct site *site, struct db *db, const char *job_id,
    enum job_kind kind, size_t len)
{
	/* The same for all, but for the last byte. */
	static char text[4 << 20];
	static size_t known;
	const struct conf *conf = &site->conf;
	const struct artifact_form form = {
		.coding = conf->compression == COMPRESSION_ZSTD
		    ? ARTIFACT_ZSTD : ARTIFACT_IDENTITY,
		.level = (int)conf->compression_level };
	struct artifact *artifact = NULL;
	struct artifact_sum sum;
	struct job_result result = { .sum = &sum, .keep_ms = conf->keep_ms };
	size_t at, n;
	struct err err;

	assert_true(len > 1 && len <= sizeof(text));
	assert_ok(artifact_create(site->state_dir, job_id,
	    job_extension(kind), &form, &artifact, &err), err);
	for (; known < len; known++)
		text[known] = site_byte(known, sizeof(text) + 1);
	for (at = 0; at < len - 1; at += n) {
		n = len - 1 - at < 65536 ? len - 1 - at : 65536;
		assert_ok(artifact_write(artifact, text + at, n, &err), err);
	}
	assert_ok(artifact_write(artifact, "}", 1, &err), err);
	assert_ok(artifact_commit(&artifact, &sum, &err), err);
	assert_ok(job_succeed(db, site->state_dir, job_id, &result, &err),
	    err);
}

/* Order a heap snapshot of the first app, and take it; its id. */
static inline void
site_take(struct site *site, size_t len, char ret_id[UUID_MAX])
{
	const struct job_order order = { .app = site->apps[0].name,
		.pod = site->conf.pod, .kind = JOB_HEAP_SNAPSHOT,
		.method = METHOD_AUTO, .duration_ms = JOB_UNKNOWN,
		.interval_us = JOB_UNKNOWN, .sampling_bytes = JOB_UNKNOWN,
		.requested_by = "oda", .request_id = "r", .profiles_max = 9 };
	struct job job;
	struct err err;
	bool is_new;

	assert_ok(job_create(site->db, site->state_dir, &order, &job, &is_new,
	    &err), err);
	assert_true(is_new);
	site_attach(site->db, job.id);
	site_finish(site, site->db, job.id, JOB_HEAP_SNAPSHOT, len);
	memcpy(ret_id, job.id, UUID_MAX);
}

static inline void
site_fail(struct site *site, const char *job_id, enum err_code code,
    const char *text)
{
	struct err why, err;

	err_set(&why, code, "%s", text);
	assert_ok(job_fail(site->db, site->state_dir, job_id, &why, &err),
	    err);
}

static inline struct job
site_job(struct site *site, const char *app, const char *job_id)
{
	struct job job;
	struct err err;

	assert_ok(job_get(site->db, site->state_dir, app, "pod-1", job_id,
	    &job, &err), err);
	return job;
}

/* Where a job's file is stored. */
static inline void
site_path(struct site *site, const char *job_id, char out[400])
{
	const struct job job = site_job(site, site->apps[0].name, job_id);
	char name[ARTIFACT_NAME_MAX];

	artifact_file_name(job_id, job_extension(job.kind), job.sum.coding,
	    name);
	(void)snprintf(out, 400, "%s/artifacts/%s", site->state_dir, name);
}

static inline int
site_count_one(void *ctx, const struct job *job, struct err *err)
{
	(void)job;
	(void)err;
	++*(size_t *)ctx;
	return 0;
}

/* Jobs of the app that a client can see. */
static inline size_t
site_count(struct site *site, const char *app)
{
	const struct job_filter filter = { .app = app, .pod = "pod-1",
		.kind = -1, .state = -1, .limit = JOB_LIST_MAX };
	size_t count = 0;
	bool more;
	struct err err;

	assert_ok(job_list(site->db, site->state_dir, &filter,
	    site_count_one, &count, &more, &err), err);
	return count;
}

#endif
