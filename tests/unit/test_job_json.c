#include "store.h"

/* How many strings JSON still takes before one fails; -1: all. */
static int strings_left = -1;

int __wrap_json_put_string(struct json *object, const char *key,
    const char *value);
int __real_json_put_string(struct json *object, const char *key,
    const char *value);

int
__wrap_json_put_string(struct json *object, const char *key, const char *value)
{
	if (strings_left >= 0 && strings_left-- == 0)
		return -1;
	return __real_json_put_string(object, key, value);
}

static struct json *
json_of(const struct job *job, char text[4096])
{
	struct json *object = json_new_object(), *again = NULL;
	struct buf out;
	struct err err;

	buf_init(&out, 4095);
	assert_ok(job_put_json(job, "/x/" APP "/private/papi", object, &err),
	    err);
	assert_ok(json_print(object, &out, &err), err);
	(void)str_copy(text, 4096, buf_str(&out));
	assert_ok(json_parse(text, strlen(text), &again, &err), err);
	buf_fini(&out);
	json_free(&object);
	return again;
}

static void
assert_text(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("no %s in %s", part, text);
}

static void
json_of_a_queued_profile(void **state)
{
	struct job_order order = order_of(JOB_CPU_PROFILE);
	struct fixture *f = *state;
	struct json *json;
	struct job job;
	char text[4096], want[400];
	struct err err;

	order.interval_us = 100;
	order.method = METHOD_STREAM;
	order.force = true;
	order.worker = "3";
	assert_ok(try_create(f, &order, &job, &err), err);
	json = json_of(&job, text);
	assert_string_equal(json_string(json_get(json, "id")), job.id);
	assert_text(text, "\"app\":\"" APP "\",\"pod\":\"" POD "\","
	    "\"kind\":\"cpu-profile\",\"state\":\"queued\",\"phase\":null,"
	    "\"method\":\"stream\",\"attempts\":[],\"objectIds\":null,"
	    "\"progress\":{\"done\":null,\"total\":null,\"unit\":null,"
	    "\"bytes\":0,\"estimated\":false},\"options\":{\"durationMs\":2000,"
	    "\"intervalUs\":100,\"force\":true,\"method\":\"stream\","
	    "\"worker\":\"3\"},"
	    "\"requestedBy\":\"ci\",\"createdAt\":\"2");
	assert_text(text, "\"startedAt\":null,\"finishedAt\":null,"
	    "\"expiresAt\":null,\"target\":{\"pid\":null,\"node\":null},"
	    "\"freezeMs\":null,\"predicted\":{\"peakBytes\":null,"
	    "\"fileBytes\":null,\"freezeMs\":null},\"memory\":{"
	    "\"beforeBytes\":null,\"peakBytes\":null,\"afterBytes\":null},"
	    "\"artifact\":{\"name\":\"" POD "-2");
	(void)snprintf(want, sizeof(want), "\"size\":0,\"storedSize\":0,"
	    "\"sha256\":null,\"storedSha256\":null,\"deliveredAt\":null,"
	    "\"href\":\"/x/" APP "/private/papi/jobs/%s/artifact\"},"
	    "\"error\":null,\"links\":{\"self\":\"/x/" APP "/private/papi/jobs/"
	    "%s\",\"artifact\":null}}", job.id, job.id);
	assert_text(text, want);
	json_free(&json);
}

static void
json_of_a_heap_profile(void **state)
{
	struct job_order order = order_of(JOB_HEAP_PROFILE);
	struct fixture *f = *state;
	struct json *json;
	struct job job;
	char text[4096];
	struct err err;

	order.sampling_bytes = 65536;
	order.live = true;
	assert_ok(try_create(f, &order, &job, &err), err);
	json = json_of(&job, text);
	assert_text(text, "\"kind\":\"heap-profile\",\"state\":\"queued\",");
	assert_text(text, "\"unit\":null,\"bytes\":0,\"estimated\":false},"
	    "\"options\":{\"durationMs\":2000,\"samplingBytes\":65536,"
	    "\"live\":true},");
	json_free(&json);
}

static void
json_of_a_snapshot(void **state)
{
	const struct job_progress progress = {PHASE_WRITING, 120000, 503269,
	    15532032, 15532032};
	struct fixture *f = *state;
	struct job job = create(f, JOB_HEAP_SNAPSHOT);
	char text[4096], want[400];
	struct json *json;
	struct err err;

	(void)claim(f, job.id, &f->self);
	set_target(f, job.id);
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	job = get(f, job.id);
	json = json_of(&job, text);
	json_free(&json);
	assert_text(text, "\"state\":\"running\",\"phase\":\"writing\","
	    "\"method\":\"stream\",\"attempts\":[{\"method\":\"stream\","
	    "\"outcome\":\"running\",\"reason\":null}],"
	    "\"objectIds\":\"process\",\"progress\":{\"done\":120000,"
	    "\"total\":503269,\"unit\":\"nodes\",\"bytes\":15532032,"
	    "\"estimated\":false},\"options\":{},");
	assert_text(text, "\"target\":{\"pid\":7,\"node\":\"v20.20.2\"},");
	assert_text(text, "\"freezeMs\":null,\"predicted\":{\"peakBytes\":"
	    "170000000,\"fileBytes\":80000000,\"freezeMs\":900},"
	    "\"memory\":{\"beforeBytes\":50000000,\"peakBytes\":null,"
	    "\"afterBytes\":null}");
	set_measured(f, job.id);
	succeed(f, f->db, job.id);
	assert_ok(job_deliver(f->db, f->dir, job.id, GRACE_MS, &err), err);
	job = get(f, job.id);
	json = json_of(&job, text);
	json_free(&json);
	assert_text(text, "\"state\":\"succeeded\",\"phase\":null,");
	assert_text(text, "\"outcome\":\"succeeded\",\"reason\":null}");
	assert_text(text, "\"freezeMs\":120,");
	assert_text(text, "\"progress\":{\"done\":120000,\"total\":503269,"
	    "\"unit\":\"nodes\",\"bytes\":2,\"estimated\":false}");
	assert_text(text, "\"memory\":{\"beforeBytes\":50000000,"
	    "\"peakBytes\":150000000,\"afterBytes\":60000000}");
	assert_text(text, ".heapsnapshot\",\"size\":2,\"storedSize\":2,"
	    "\"sha256\":\"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c0"
	    "60f61caaff8a\",");
	assert_text(text, "\"deliveredAt\":\"2");
	assert_text(text, "\"expiresAt\":\"2");
	(void)snprintf(want, sizeof(want), "\"artifact\":\"/x/" APP
	    "/private/papi/jobs/%s/artifact\"}}", job.id);
	assert_text(text, want);
	clock_shift_ms = KEEP_MS + 1000;
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	job = get(f, job.id);
	json = json_of(&job, text);
	json_free(&json);
	assert_text(text, ",\"artifact\":null}}");
}

static void
json_of_a_failure(void **state)
{
	const struct err why = {ERR_TARGET_EXITED, "the app \"shop\"\nended"};
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	struct json *json;
	char text[4096];
	struct err err;

	(void)claim(f, job.id, &f->self);
	set_target(f, job.id);
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	job = get(f, job.id);
	json = json_of(&job, text);
	assert_text(text, "\"error\":{\"type\":\"urn:podprof:error:"
	    "target-exited\",\"title\":\"The app ended\",\"detail\":");
	assert_string_equal(json_string(json_path(json, "error", "detail")),
	    why.msg);
	assert_text(text, "\"outcome\":\"failed\",\"reason\":\"the app ");
	json_free(&json);
	job.state = JOB_CANCELED;
	json = json_of(&job, text);
	json_free(&json);
	assert_text(text, "\"outcome\":\"canceled\",\"reason\":null}");
	assert_text(text, "\"error\":null");
}

static struct job
create_planned(struct fixture *f, const struct job_attempt *attempts,
    size_t len, int64_t predicted_bytes)
{
	const struct job_target target = {.pid = 7, .node = "v20.20.2",
	    .memory_bytes = JOB_UNKNOWN};
	const struct job_plan plan = {
		.used_method = attempts[len - 1].method, .attempts = attempts,
		.attempts_len = len, .predicted_bytes = predicted_bytes,
		.predicted_peak_bytes = JOB_UNKNOWN,
		.predicted_freeze_ms = JOB_UNKNOWN,
	};
	struct job job = create(f, JOB_HEAP_SNAPSHOT);
	struct err err;

	(void)claim(f, job.id, &f->self);
	assert_ok(job_set_target(f->db, job.id, &target, &plan, &err), err);
	return job;
}

static void
assert_json(struct fixture *f, const char *id, const char *part)
{
	struct job job = get(f, id);
	char text[4096];
	struct json *json = json_of(&job, text);

	json_free(&json);
	assert_text(text, part);
}

static void
json_of_attempts(void **state)
{
	static const struct job_attempt attempts[] = {
		{METHOD_FORK, OUTCOME_SKIPPED, "--no-addons \"keeps\"\nit"},
		{METHOD_DIRECT, OUTCOME_FAILED, "the app ended it \xff"},
		{METHOD_STREAM, OUTCOME_RUNNING, ""},
	};
	static const char begin[] = "\"method\":\"stream\",\"attempts\":["
	    "{\"method\":\"fork\",\"outcome\":\"skipped\",\"reason\":"
	    "\"--no-addons \\\"keeps\\\"\\nit\"},{\"method\":\"direct\","
	    "\"outcome\":\"failed\",\"reason\":\"the app ended it "
	    "\xef\xbf\xbd\"},{\"method\":\"stream\",\"outcome\":";
	struct fixture *f = *state;
	struct job job = create_planned(f, attempts, 3, JOB_UNKNOWN);
	char want[600];
	struct err err;

	(void)snprintf(want, sizeof(want), "%s\"running\",\"reason\":null}],"
	    "\"objectIds\":\"process\"", begin);
	assert_json(f, job.id, want);
	assert_ok(job_cancel(f->db, f->dir, job.id, &job, &err), err);
	(void)snprintf(want, sizeof(want), "%s\"canceled\",\"reason\":null}]",
	    begin);
	assert_json(f, job.id, want);
}

/* They have no events of progress: bytes are all that is seen. */
static void
json_of_an_estimate(void **state)
{
	static const struct job_attempt fork = {METHOD_FORK, OUTCOME_RUNNING,
	    ""};
	static const struct job_attempt direct = {METHOD_DIRECT,
	    OUTCOME_RUNNING, ""};
	struct job_progress progress = {PHASE_WRITING, 900, 1000, 900, 100};
	struct fixture *f = *state;
	struct job job = create_planned(f, &fork, 1, 1000);
	struct err err;

	/* A forked snapshot numbers its objects for itself. */
	assert_json(f, job.id, "\"objectIds\":\"snapshot\",\"progress\":{"
	    "\"done\":null,\"total\":null,\"unit\":\"bytes\",\"bytes\":0,"
	    "\"estimated\":true}");
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	assert_json(f, job.id, "\"progress\":{\"done\":900,\"total\":1000,"
	    "\"unit\":\"bytes\",\"bytes\":900,\"estimated\":true}");
	progress.done = progress.bytes = 1001;
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	assert_json(f, job.id, "\"progress\":{\"done\":1001,\"total\":1001,"
	    "\"unit\":\"bytes\",\"bytes\":1001,\"estimated\":true}");
	progress.total = JOB_UNKNOWN;
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	assert_json(f, job.id, "\"progress\":{\"done\":1001,\"total\":null,");
	succeed(f, f->db, job.id);
	assert_json(f, job.id, "\"progress\":{\"done\":2,\"total\":2,"
	    "\"unit\":\"bytes\",\"bytes\":2,\"estimated\":true}");
	/* What failed has come as far as it has. */
	job = create_planned(f, &direct, 1, 1000);
	progress = (struct job_progress){PHASE_WRITING, 7, 5, 7, 1};
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	assert_ok(job_settle_child(f->db, f->dir, job.id, 9, &err), err);
	assert_json(f, job.id, "\"objectIds\":\"process\",\"progress\":{"
	    "\"done\":7,\"total\":7,\"unit\":\"bytes\",\"bytes\":7,"
	    "\"estimated\":true}");
}

static void
json_without_memory_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct job job = create_succeeded(f);
	struct json *object;
	struct err err;
	int i, rc;

	for (i = 0; ; i++) {
		object = json_new_object();
		strings_left = i;
		rc = job_put_json(&job, "/" APP, object, &err);
		json_free(&object);
		if (strings_left >= 0)
			break;
		assert_int_equal(rc, -1);
		assert_int_equal(err.code, ERR_NOMEM);
	}
	assert_int_equal(rc, 0);
	assert_true(i > 15);
	strings_left = -1;
	assert_err(job_put_json(&job, "/" APP, NULL, &err), err, ERR_NOMEM,
	    job.id);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(json_of_a_queued_profile),
		TEST(json_of_a_heap_profile),
		TEST(json_of_a_snapshot),
		TEST(json_of_a_failure),
		TEST(json_of_attempts),
		TEST(json_of_an_estimate),
		TEST(json_without_memory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
