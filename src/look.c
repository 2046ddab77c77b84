/*
 * The table looks: who is to find out, and what was found.  How that is done is
 * the business of podprof-capture; who waits for it, of podprof.fcgi.
 */
#include "look.h"

#include <string.h>

#include "buf.h"
#include "clock.h"
#include "str.h"

/* Each of the texts may become six times as long, a title twice. */
#define ANSWER_MAX (32 << 10)
/* Rows of apps and pods that nobody asks for any more go after this. */
#define KEEP_MS (INT64_C(24) * 60 * 60 * 1000)

static const char LOOK_READ[] =
    "SELECT * FROM looks WHERE app = :app AND pod = :pod";

static const char LOOK_BEGIN[] =
    "INSERT INTO looks (app, pod, begun_at_ms) VALUES (:app, :pod, :now)"
    " ON CONFLICT (app, pod) DO UPDATE SET begun_at_ms = :now";

/* The row stays, for those who wait for its next answer. */
static const char LOOK_ABANDON[] =
    "UPDATE looks SET begun_at_ms = begun_at_ms - :fresh"
    " WHERE app = :app AND pod = :pod";

static const char LOOK_DELETE_OLD[] =
    "DELETE FROM looks WHERE begun_at_ms < :old";

static const char LOOK_PUT[] =
    "INSERT INTO looks (app, pod, begun_at_ms, answered_at_ms, answer)"
    " VALUES (:app, :pod, :now, :now, :answer)"
    " ON CONFLICT (app, pod) DO UPDATE SET revision = revision + 1,"
    " answered_at_ms = :now, answer = :answer";

/* What a row says to one who asks now; revision 0: there is no row. */
struct state {
	int64_t revision;
	bool is_fresh;		/* the answer is */
	bool is_begun;		/* somebody is about to find out */
};

void
look_init(struct look *look, const char *inspector)
{
	static const struct look nothing = {
		.facts = {
			.pid = -1, .rss_bytes = -1, .rss_peak_bytes = -1,
			.heap_used_bytes = -1, .heap_large_bytes = -1,
			.heap_young_bytes = -1, .limit_bytes = -1,
			.available_bytes = -1,
		},
		.predict = { -1, -1, -1, -1 },
	};

	*look = nothing;
	(void)str_copy(look->address, sizeof(look->address), inspector);
}

/* Both are numbers, of one digit or more. */
static bool
is_older(const struct cdp_worker *a, const struct cdp_worker *b)
{
	const size_t a_len = strlen(a->id), b_len = strlen(b->id);

	return a_len != b_len ? a_len < b_len : strcmp(a->id, b->id) < 0;
}

void
look_add_worker(struct look *look, const struct cdp_worker *worker)
{
	struct cdp_worker *place = look->workers + look->workers_len;

	while (place > look->workers && is_older(worker, place - 1))
		place--;
	if (place == look->workers + LOOK_WORKERS)
		return;
	if (look->workers_len < LOOK_WORKERS)
		look->workers_len++;
	memmove(place + 1, place, (size_t)(look->workers + look->workers_len -
	    place - 1) * sizeof(*place));
	*place = *worker;
}

/* A time that is yet to come is no better than none: the clock was set. */
static bool
is_within(int64_t at_ms, int64_t age_ms, int64_t now_ms)
{
	return at_ms <= now_ms && now_ms - at_ms < age_ms;
}

static int
prepare(struct db *db, const char *sql, const char *app, const char *pod,
    struct db_stmt **ret_stmt, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, sql, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":app", app, err) != 0 ||
	    db_bind_text(stmt, ":pod", pod, err) != 0)
		return -1;
	*ret_stmt = stmt;
	return 0;
}

static int
read_state(struct db *db, const char *app, const char *pod,
    struct state *ret_state, struct err *err)
{
	const int64_t now_ms = clock_utc_ms();
	struct state state = {0, false, false};
	struct db_stmt *stmt;
	int rc;

	if (prepare(db, LOOK_READ, app, pod, &stmt, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1) {
		state.revision = db_column_int(stmt, "revision", 1);
		state.is_begun = is_within(
		    db_column_int(stmt, "begun_at_ms", 0), LOOK_FRESH_MS,
		    now_ms);
		state.is_fresh = is_within(
		    db_column_int(stmt, "answered_at_ms", 0), LOOK_FRESH_MS,
		    now_ms);
	}
	db_done(stmt);
	if (rc < 0)
		return -1;
	*ret_state = state;
	return 0;
}

static int
set_begun(struct db *db, const char *app, const char *pod, struct err *err)
{
	const int64_t now_ms = clock_utc_ms();
	struct db_stmt *stmt;

	if (prepare(db, LOOK_BEGIN, app, pod, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":now", now_ms, err) != 0 ||
	    db_run(stmt, err) != 0 ||
	    db_prepare(db, LOOK_DELETE_OLD, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":old", now_ms - KEEP_MS, err) != 0)
		return -1;
	return db_run(stmt, err);
}

/* Whoever comes first of those who found that somebody has to. */
static int
begin(struct db *db, const char *app, const char *pod, bool *ret_is_ours,
    struct state *ret_state, struct err *err)
{
	struct state state;
	bool is_ours = false;
	int rc = -1;

	if (db_begin(db, err) != 0)
		return -1;
	if (read_state(db, app, pod, &state, err) != 0)
		goto out;
	if (!state.is_fresh && !state.is_begun) {
		is_ours = true;
		if (set_begun(db, app, pod, err) != 0 ||
		    read_state(db, app, pod, &state, err) != 0)
			goto out;
	}
	if (db_commit(db, err) != 0)
		goto out;
	*ret_is_ours = is_ours;
	*ret_state = state;
	rc = 0;
out:
	db_rollback(db);
	return rc;
}

int
look_begin(struct db *db, const char *app, const char *pod,
    bool *ret_is_ours, int64_t *ret_revision, struct err *err)
{
	struct state state;
	bool is_ours = false;

	/* Without the write lock first: most need not wait for it. */
	if (read_state(db, app, pod, &state, err) != 0)
		return -1;
	if (!state.is_fresh && !state.is_begun &&
	    begin(db, app, pod, &is_ours, &state, err) != 0)
		return -1;
	*ret_is_ours = is_ours;
	*ret_revision = state.is_fresh ? 0 : state.revision;
	return 0;
}

int
look_abandon(struct db *db, const char *app, const char *pod, struct err *err)
{
	struct db_stmt *stmt;

	if (prepare(db, LOOK_ABANDON, app, pod, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":fresh", LOOK_FRESH_MS, err) != 0)
		return -1;
	return db_run(stmt, err);
}

int
look_put(struct db *db, const char *app, const char *pod,
    const struct look *look, struct err *err)
{
	struct json *object = json_new_object();
	struct db_stmt *stmt;
	struct buf text;
	int rc = -1;

	buf_init(&text, ANSWER_MAX);
	if (look_put_json(look, app, pod, object, err) != 0 ||
	    json_print(object, &text, err) != 0 ||
	    prepare(db, LOOK_PUT, app, pod, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":now", clock_utc_ms(), err) != 0 ||
	    db_bind_text(stmt, ":answer", buf_str(&text), err) != 0)
		goto out;
	rc = db_run(stmt, err);
out:
	buf_fini(&text);
	json_free(&object);
	return rc;
}

static int
refuse_unknown(const char *app, const char *pod, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "nothing is known of app %.64s on "
	    "pod %.253s yet; ask again", app, pod);
}

int
look_revision(struct db *db, const char *app, const char *pod,
    int64_t *ret_revision, struct err *err)
{
	struct state state;

	if (read_state(db, app, pod, &state, err) != 0)
		return -1;
	if (state.revision == 0)
		return refuse_unknown(app, pod, err);
	*ret_revision = state.revision;
	return 0;
}

static int
parse_answer(const char *text, struct json **ret_object, struct err *err)
{
	struct json *object = NULL;
	struct err fault;

	if (json_parse(text, strlen(text), &object, &fault) != 0 &&
	    fault.code == ERR_NOMEM)
		return err_set(err, ERR_NOMEM, "%s", fault.msg);
	if (!json_is_object(object)) {
		json_free(&object);
		return err_set(err, ERR_STORE, "what was found out about the "
		    "app is damaged in the database; ask again");
	}
	*ret_object = object;
	return 0;
}

int
look_get(struct db *db, const char *app, const char *pod, int64_t max_age_ms,
    struct json **ret_object, struct err *err)
{
	struct db_stmt *stmt;
	int rc;

	if (prepare(db, LOOK_READ, app, pod, &stmt, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1) {
		if (db_column_is_null(stmt, "answer") ||
		    !is_within(db_column_int(stmt, "answered_at_ms", 0),
		    max_age_ms, clock_utc_ms()))
			rc = 0;
		else if (parse_answer(db_column_text(stmt, "answer"),
		    ret_object, err) != 0)
			rc = -1;
	}
	db_done(stmt);
	if (rc == 0)
		return refuse_unknown(app, pod, err);
	return rc < 0 ? -1 : 0;
}

/* The builders here return 0 or -1, and go on after a failure, as those of
 * job_json.c. */

static int
put_known(struct json *object, const char *key, int64_t value)
{
	if (value < 0)
		return json_put_null(object, key);
	return json_put_int(object, key, value);
}

static int
put_text(struct json *object, const char *key, const char *value)
{
	return json_put_string(object, key, value[0] != '\0' ? value : NULL);
}

/* "HOST:PORT" of "ws://HOST:PORT/UUID": whoever knows the rest has the app. */
static int
put_address(struct json *object, const char *address)
{
	static const char scheme[] = "ws://";
	char text[sizeof(((struct look *)NULL)->address)];

	if (strncmp(address, scheme, sizeof(scheme) - 1) == 0)
		address += sizeof(scheme) - 1;
	(void)str_copy(text, sizeof(text), address);
	text[strcspn(text, "/")] = '\0';
	return put_text(object, "address", text);
}

static int
put_target(const struct look *look, struct json *object)
{
	const struct target_facts *facts = &look->facts;
	struct json *inspector = json_put_object(object, "inspector");
	struct json *memory;
	int bad = 0;

	bad |= put_address(inspector, look->address);
	bad |= json_put_bool(inspector, "reachable", look->is_reachable);
	bad |= json_put_bool(inspector, "activated",
	    look->is_activated);
	bad |= put_text(object, "node", facts->node);
	bad |= put_known(object, "pid", facts->pid);
	memory = json_put_object(object, "memory");
	bad |= put_known(memory, "heapUsedBytes", facts->heap_used_bytes);
	bad |= put_known(memory, "rssBytes", facts->rss_bytes);
	bad |= put_known(memory, "limitBytes", facts->limit_bytes);
	bad |= put_known(memory, "availableBytes", facts->available_bytes);
	return bad;
}

static int
put_methods(const struct look *look, struct json *object)
{
	struct json *methods = json_put_array(object, "methods"), *row;
	const struct look_method *method;
	int bad = methods == NULL ? -1 : 0;
	size_t i;

	for (i = 0; i < look->methods_len; i++) {
		method = &look->methods[i];
		row = json_add_object(methods);
		bad |= json_put_string(row, "method",
		    conf_method_name(method->method));
		bad |= json_put_bool(row, "usable", method->is_usable);
		bad |= json_put_string(row, "reason",
		    method->is_usable ? NULL : method->why.msg);
	}
	return bad;
}

static int
put_predicted(const struct predict *predict, struct json *object)
{
	struct json *predicted = json_put_object(object, "predicted");
	int bad = 0;

	bad |= put_known(predicted, "peakBytes", predict->peak_bytes);
	bad |= put_known(predicted, "fileBytes", predict->file_bytes);
	bad |= put_known(predicted, "freezeMs", predict->freeze_ms);
	return bad;
}

static int
put_workers(const struct look *look, struct json *object)
{
	struct json *workers, *row;
	int bad;
	size_t i;

	/* That an app has none is known only if it said so. */
	if (!look->knows_workers)
		return json_put_null(object, "workers");
	workers = json_put_array(object, "workers");
	bad = workers == NULL ? -1 : 0;
	for (i = 0; i < look->workers_len; i++) {
		row = json_add_object(workers);
		bad |= json_put_string(row, "id", look->workers[i].id);
		bad |= json_put_string(row, "title", look->workers[i].title);
	}
	return bad;
}

int
look_put_json(const struct look *look, const char *app, const char *pod,
    struct json *object, struct err *err)
{
	int bad = 0;

	bad |= json_put_string(object, "app", app);
	bad |= json_put_string(object, "pod", pod);
	bad |= put_target(look, object);
	bad |= put_methods(look, object);
	bad |= put_predicted(&look->predict, object);
	bad |= put_workers(look, object);
	if (bad != 0)
		return err_set(err, ERR_NOMEM,
		    "no memory for what is known of app %.64s", app);
	return 0;
}
