/*
 * Summaries: who makes one, what becomes of it when he dies, and what is told
 * of it.
 */
#include <errno.h>
#include <sqlite3.h>

#include "store.h"

#include "log.h"
#include "summary.h"

/* What a snapshot holds here: name and size of each node. */
struct node {
	const char *name;
	int size;
};

/* How it stands with whoever is asked for. */
static enum proc_life life = PROC_ALIVE;
static int64_t mono_shift_ms, read_takes_ms;
static bool read_fails;
/* How often pwrite(2) still works, for SQLite; -1: always. */
static int writes_left = -1;

enum proc_life __wrap_proc_life(const struct proc *proc);
int64_t __wrap_clock_mono_ms(void);
int64_t __real_clock_mono_ms(void);
int64_t __wrap_artifact_read(struct artifact_reader *reader,
    enum artifact_coding coding, int64_t at, void *out, size_t len,
    struct err *err);
int64_t __real_artifact_read(struct artifact_reader *reader,
    enum artifact_coding coding, int64_t at, void *out, size_t len,
    struct err *err);

/* The statement of the diff. */
static sqlite3_stmt *diff_stmt;

int __wrap_sqlite3_prepare_v3(sqlite3 *raw, const char *sql, int len,
    unsigned flags, sqlite3_stmt **ret_stmt, const char **ret_tail);
int __real_sqlite3_prepare_v3(sqlite3 *raw, const char *sql, int len,
    unsigned flags, sqlite3_stmt **ret_stmt, const char **ret_tail);

int
__wrap_sqlite3_prepare_v3(sqlite3 *raw, const char *sql, int len,
    unsigned flags, sqlite3_stmt **ret_stmt, const char **ret_tail)
{
	int rc = __real_sqlite3_prepare_v3(raw, sql, len, flags, ret_stmt,
	    ret_tail);

	if (strstr(sql, "count_delta") != NULL)
		diff_stmt = *ret_stmt;
	return rc;
}

enum proc_life
__wrap_proc_life(const struct proc *proc)
{
	assert_true(proc->pid > 0 && proc->host[0] != '\0');
	return life;
}

int64_t
__wrap_clock_mono_ms(void)
{
	return __real_clock_mono_ms() + mono_shift_ms;
}

/* What is done in the middle of a run; NULL: nothing. */
static void (*in_the_middle)(struct fixture *f);
static struct fixture *fixture;

int64_t
__wrap_artifact_read(struct artifact_reader *reader,
    enum artifact_coding coding, int64_t at, void *out, size_t len,
    struct err *err)
{
	mono_shift_ms += read_takes_ms;
	if (in_the_middle != NULL && at > 0)
		in_the_middle(fixture);
	if (read_fails)
		return err_set(err, ERR_STORE, "the disk fell off");
	/* In two pieces at least. */
	return __real_artifact_read(
	    reader, coding, at, out, at == 0 ? len / 1000 : len, err);
}

static ssize_t
write_on_disk(int fd, const void *data, size_t len, off_t at)
{
	if (writes_left != 0) {
		writes_left -= writes_left > 0;
		return pwrite(fd, data, len, at);
	}
	errno = ENOSPC;
	return -1;
}

static int
setup_summaries(void **state)
{
	static const char *const names[] = {"pwrite", "pwrite64"};
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)vfs->xSetSystemCall(vfs, names[i],
		    (sqlite3_syscall_ptr)write_on_disk);
	life = PROC_ALIVE;
	mono_shift_ms = read_takes_ms = 0;
	read_fails = false;
	writes_left = -1;
	in_the_middle = NULL;
	if (setup(state) != 0)
		return -1;
	fixture = *state;
	return 0;
}

static struct conf
conf_of(struct fixture *f)
{
	return (struct conf){ .state_dir = f->dir, .pod = POD };
}

/* A snapshot of objects, as text; nodes end with a NULL name. */
static void
write_text(const struct node nodes[], struct buf *out)
{
	size_t i, len = 0;
	struct err err;

	while (nodes[len].name != NULL)
		len++;
	assert_ok(buf_addf(out, &err, "{\"snapshot\":{\"meta\":"
	    "{\"node_fields\":[\"type\",\"name\",\"self_size\"],"
	    "\"node_types\":[[\"object\"]],\"edge_fields\":[\"a\"]},"
	    "\"node_count\":%zu,\"edge_count\":3},\"nodes\":[", len), err);
	for (i = 0; i < len; i++)
		assert_ok(buf_addf(out, &err, "%s0,%zu,%d", i > 0 ? "," : "",
		    i, nodes[i].size), err);
	assert_ok(buf_adds(out, "],\"edges\":[1,2,3],\"strings\":[", &err),
	    err);
	for (i = 0; i < len; i++)
		assert_ok(buf_addf(out, &err, "%s\"%s\"", i > 0 ? "," : "",
		    nodes[i].name), err);
	assert_ok(buf_adds(out, "]}", &err), err);
}

/* A heap snapshot with this text for a file. */
static struct job
take_text(struct fixture *f, const char *text, size_t len,
    enum artifact_coding coding)
{
	const struct artifact_form form = {.coding = coding, .level = 1};
	struct job_result result = {.keep_ms = KEEP_MS};
	struct job job = create(f, JOB_HEAP_SNAPSHOT);
	struct artifact *artifact = NULL;
	struct artifact_sum sum;
	struct err err;

	(void)claim(f, job.id, &f->self);
	set_target(f, job.id);
	assert_ok(artifact_create(f->dir, job.id, "heapsnapshot", &form,
	    &artifact, &err), err);
	assert_ok(artifact_write(artifact, text, len, &err), err);
	assert_ok(artifact_commit(&artifact, &sum, &err), err);
	result.sum = &sum;
	assert_ok(job_succeed(f->db, f->dir, job.id, &result, &err), err);
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	return get(f, job.id);
}

static struct job
take(struct fixture *f, const struct node nodes[],
    enum artifact_coding coding)
{
	struct job job;
	struct buf text;

	buf_init(&text, 1 << 20);
	write_text(nodes, &text);
	job = take_text(f, text.data, text.len, coding);
	buf_fini(&text);
	return job;
}

static const struct node some[] = {
	{"B", 5}, {"A", 7}, {"C", 5}, {"A", 1}, {"D", 0}, {NULL, 0},
};

static enum summary_state
state_of(struct fixture *f, const char *id, struct err *ret_why)
{
	enum summary_state state;
	struct err err, why;

	assert_ok(summary_find(f->db, POD, id, &state, &why, &err), err);
	if (ret_why != NULL && state == SUMMARY_FAILED)
		*ret_why = why;
	return state;
}

static bool
begin_in(struct fixture *f, const char *pod, const char *id)
{
	bool is_ours;
	struct err err;

	assert_ok(summary_begin(f->db, APP, pod, id, &is_ours, &err), err);
	return is_ours;
}

static bool
begin(struct fixture *f, const char *id)
{
	return begin_in(f, POD, id);
}

static int
run(struct fixture *f, const char *id, struct err *err)
{
	const struct conf conf = conf_of(f);

	return summary_run(&conf, f->db, id, err);
}

static void
make(struct fixture *f, const char *id)
{
	struct err err;

	assert_true(begin(f, id));
	assert_ok(run(f, id, &err), err);
	assert_int_equal(state_of(f, id, NULL), SUMMARY_READY);
}

/* "NAME COUNT SIZE;" for each. */
static int
print_class(void *ctx, const struct class *class, struct err *err)
{
	return buf_addf(ctx, err, "%s %lld %lld;", class->name,
	    (long long)class->count, (long long)class->self_size_bytes);
}

static int
print_change(void *ctx, const struct summary_change *change, struct err *err)
{
	return buf_addf(ctx, err, "%s %+lld %+lld %lld %lld;", change->name,
	    (long long)change->count_delta,
	    (long long)change->self_size_delta_bytes,
	    (long long)change->count, (long long)change->self_size_bytes);
}

static void
expect(struct fixture *f, const char *id, int64_t limit, const char *want)
{
	struct buf out;
	struct err err;

	buf_init(&out, 1 << 20);
	assert_ok(summary_get(f->db, id, limit, print_class, &out, &err), err);
	assert_string_equal(buf_str(&out), want);
	buf_fini(&out);
}

static void
expect_diff(struct fixture *f, const char *from, const char *to,
    int64_t limit, const char *want)
{
	struct buf out;
	struct err err;

	buf_init(&out, 1 << 20);
	assert_ok(summary_diff(f->db, from, to, limit, print_change, &out,
	    &err), err);
	assert_string_equal(buf_str(&out), want);
	buf_fini(&out);
}

static int64_t
count_rows(struct fixture *f)
{
	static const char COUNT[] = "SELECT count(*) AS n FROM classes";

	return number_of(f, COUNT, NULL);
}

static void
summary_is_made_once_and_kept(void **state)
{
	static const enum artifact_coding codings[] = {
		ARTIFACT_IDENTITY, ARTIFACT_ZSTD,
	};
	struct fixture *f = *state;
	struct classes_total total;
	struct job job;
	struct err err;
	size_t i;

	for (i = 0; i < 2; i++) {
		job = take(f, some, codings[i]);
		assert_int_equal(state_of(f, job.id, NULL), SUMMARY_NONE);
		assert_true(begin(f, job.id));
		assert_int_equal(state_of(f, job.id, NULL), SUMMARY_BUSY);
		assert_ok(run(f, job.id, &err), err);
		assert_int_equal(state_of(f, job.id, NULL), SUMMARY_READY);
		/* Not again. */
		assert_false(begin(f, job.id));
		assert_err(run(f, job.id, &err), err, ERR_CONFLICT, job.id);
		expect(f, job.id, -1, "A 2 8;B 1 5;C 1 5;D 1 0;");
		expect(f, job.id, 2, "A 2 8;B 1 5;");
		assert_ok(summary_get_total(f->db, job.id, &total, &err),
		    err);
		assert_int_equal(total.nodes, 5);
		assert_int_equal(total.edges, 3);
		assert_int_equal(total.self_size_bytes, 18);
	}
	/* The file goes, and it stays; the job goes, and so does it. */
	clock_shift_ms = KEEP_MS;
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_false(is_there(f, job.id, "heapsnapshot.zst"));
	expect(f, job.id, 1, "A 2 8;");
	assert_int_equal(count_rows(f), 8);
	assert_ok(job_remove(f->db, f->dir, job.id, &err), err);
	assert_int_equal(count_rows(f), 4);
	assert_err(summary_get_total(f->db, job.id, &total, &err), err,
	    ERR_NOT_FOUND, "there is no summary of job");
}

static void
one_is_made_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct job a = take(f, some, ARTIFACT_ZSTD);
	struct job b = take(f, some, ARTIFACT_ZSTD);
	char app[STR_NAME_MAX + 1];
	struct err err;

	assert_true(begin(f, a.id));
	assert_false(begin(f, a.id));
	assert_false(begin(f, b.id));
	assert_int_equal(state_of(f, b.id, NULL), SUMMARY_BUSY);
	assert_err(summary_claim(f->db, b.id, &f->self, app, &err), err,
	    ERR_CONFLICT, b.id);
	assert_ok(summary_claim(f->db, a.id, &f->self, app, &err), err);
	assert_string_equal(app, APP);
	assert_err(summary_claim(f->db, a.id, &f->self, app, &err), err,
	    ERR_CONFLICT, a.id);
	assert_int_equal(state_of(f, b.id, NULL), SUMMARY_BUSY);
	/* Another pod's are its own business. */
	assert_true(begin_in(f, "other", b.id));
	assert_int_equal(state_of(f, b.id, NULL), SUMMARY_BUSY);
	assert_ok(summary_abandon(f->db, b.id, &err), err);
	/* Nothing is abandoned that runs. */
	assert_ok(summary_abandon(f->db, a.id, &err), err);
	assert_ok(summary_renew(f->db, a.id, &f->self, &err), err);
	assert_err(summary_begin(f->db, APP, "third", "0198c0de-0000-7c3a-9f00-"
	    "5d2e6a1b4c77", &(bool){ false }, &err), err, ERR_NOT_FOUND,
	    "there is no job \"0198c0de");
}

/* Neither renews nor puts what is another's by now. */
static void
expect_lost(struct fixture *f, const char *id)
{
	const struct err why = {ERR_STORE, "late"};
	struct classes *classes = NULL;
	struct err err;

	assert_ok(classes_new(&classes, &err), err);
	assert_err(summary_renew(f->db, id, &f->self, &err), err, ERR_CONFLICT,
	    "is nobody's here");
	assert_err(summary_put(f->db, id, &f->self, classes, &err), err,
	    ERR_CONFLICT, "is nobody's here");
	assert_err(summary_fail(f->db, id, &f->self, &why, &err), err,
	    ERR_CONFLICT, "is nobody's here");
	classes_free(&classes);
}

static void
dead_makers_are_replaced(void **state)
{
	struct fixture *f = *state;
	struct job a = take(f, some, ARTIFACT_ZSTD);
	struct job b = take(f, some, ARTIFACT_ZSTD);
	char app[STR_NAME_MAX + 1];
	struct err err;

	/* One that never came. */
	clock_stopped_ms = clock_utc_ms();
	assert_true(begin(f, a.id));
	clock_shift_ms = SUMMARY_BEGIN_MS - 1000;
	assert_int_equal(state_of(f, a.id, NULL), SUMMARY_BUSY);
	clock_shift_ms = SUMMARY_BEGIN_MS + 1;
	assert_int_equal(state_of(f, a.id, NULL), SUMMARY_NONE);
	assert_true(begin(f, b.id));
	/* Its row is gone, in case that it comes after all. */
	assert_err(run(f, a.id, &err), err, ERR_CONFLICT, a.id);
	/* One that died. */
	assert_ok(summary_claim(f->db, b.id, &f->self, app, &err), err);
	assert_int_equal(state_of(f, b.id, NULL), SUMMARY_BUSY);
	life = PROC_DEAD;
	assert_int_equal(state_of(f, b.id, NULL), SUMMARY_NONE);
	assert_true(begin(f, b.id));
	expect_lost(f, b.id);
	life = PROC_ALIVE;
	assert_ok(run(f, b.id, &err), err);
	/* One that is stopped, or cannot be seen. */
	for (life = PROC_ALIVE; life <= PROC_UNKNOWN;
	    life += PROC_UNKNOWN - PROC_ALIVE) {
		assert_true(begin(f, a.id));
		assert_ok(summary_claim(f->db, a.id, &f->self, app, &err),
		    err);
		clock_shift_ms += SUMMARY_LEASE_MS - 1000;
		assert_int_equal(state_of(f, a.id, NULL), SUMMARY_BUSY);
		assert_ok(summary_renew(f->db, a.id, &f->self, &err), err);
		clock_shift_ms += 2000;
		assert_int_equal(state_of(f, a.id, NULL), SUMMARY_BUSY);
		clock_shift_ms += SUMMARY_LEASE_MS;
		assert_int_equal(state_of(f, a.id, NULL), SUMMARY_NONE);
	}
	life = PROC_ALIVE;
	/* The clock is set back: nobody waits for it to come round. */
	assert_true(begin(f, a.id));
	clock_shift_ms -= 3600000;
	assert_int_equal(state_of(f, a.id, NULL), SUMMARY_NONE);
	make(f, a.id);
}

static void
expect_failure(struct fixture *f, const char *id, enum err_code code,
    const char *text)
{
	struct err err, why = {.code = 0};

	assert_true(begin(f, id));
	assert_err(run(f, id, &err), err, code, text);
	assert_int_equal(state_of(f, id, &why), SUMMARY_FAILED);
	assert_int_equal(why.code, code);
	assert_string_equal(why.msg, err.msg);
	assert_int_equal(count_rows(f), 0);
}

static void
damage(struct fixture *f, const char *id)
{
	char path[400];
	FILE *file;

	path_of(f, id, "heapsnapshot", path);
	file = fopen(path, "r+");
	assert_non_null(file);
	/* A size is another one; the text is a snapshot still. */
	assert_int_equal(fseek(file, -20, SEEK_END), 0);
	assert_int_equal(fputc('E', file), 'E');
	assert_int_equal(fclose(file), 0);
}

static void
failures_are_told_and_tried_again(void **state)
{
	static const char half[] = "{\"snapshot\":{\"meta\":";
	struct fixture *f = *state;
	struct job job = take(f, some, ARTIFACT_IDENTITY);
	struct job broken;
	char path[400];
	struct err err;

	read_fails = true;
	expect_failure(f, job.id, ERR_STORE, "the disk fell off");
	read_fails = false;
	/* It took too long. */
	read_takes_ms = SUMMARY_RUN_MS + 1000;
	expect_failure(f, job.id, ERR_STORE, "not read within 10 minutes");
	read_takes_ms = 0;
	damage(f, job.id);
	expect_failure(f, job.id, ERR_INTERNAL, "its SHA-256 is not what it was");
	path_of(f, job.id, "heapsnapshot", path);
	assert_int_equal(unlink(path), 0);
	expect_failure(f, job.id, ERR_GONE, "");
	/* What is no snapshot was none when the app wrote it. */
	broken = take_text(f, "[]", 2, ARTIFACT_ZSTD);
	expect_failure(f, broken.id, ERR_INTERNAL, "the stored file is "
	    "damaged: what the app wrote is no heap snapshot, at byte 0: it "
	    "is no object");
	broken = take_text(f, half, sizeof(half) - 1, ARTIFACT_IDENTITY);
	expect_failure(f, broken.id, ERR_INTERNAL, "it ends here");
	/* Also while another is made that it failed is forgotten. */
	job = take(f, some, ARTIFACT_ZSTD);
	assert_true(begin(f, job.id));
	assert_int_equal(state_of(f, broken.id, NULL), SUMMARY_FAILED);
	assert_false(begin(f, broken.id));
	assert_int_equal(state_of(f, broken.id, NULL), SUMMARY_BUSY);
	assert_ok(run(f, job.id, &err), err);
	assert_int_equal(state_of(f, broken.id, NULL), SUMMARY_NONE);
}

static char removed_id[UUID_MAX];

static void
remove_it(struct fixture *f)
{
	struct db *db = open_other(f);
	struct err err;

	in_the_middle = NULL;
	assert_ok(job_remove(db, f->dir, removed_id, &err), err);
	db_close(&db);
}

static void
expire_it(struct fixture *f)
{
	struct db *db = open_other(f);
	struct err err;

	in_the_middle = NULL;
	clock_shift_ms += KEEP_MS;
	assert_ok(job_sweep(db, f->dir, &err), err);
	db_close(&db);
}

static void
job_may_go_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct job job = take(f, some, ARTIFACT_ZSTD);
	struct err err;

	assert_true(begin(f, job.id));
	memcpy(removed_id, job.id, UUID_MAX);
	in_the_middle = remove_it;
	assert_err(run(f, job.id, &err), err, ERR_CONFLICT, "is nobody's");
	assert_null(in_the_middle);
	assert_int_equal(count_rows(f), 0);
	/* Its file only: whoever reads it has it to the end. */
	job = take(f, some, ARTIFACT_IDENTITY);
	assert_true(begin(f, job.id));
	in_the_middle = expire_it;
	assert_ok(run(f, job.id, &err), err);
	assert_null(in_the_middle);
	expect(f, job.id, 1, "A 2 8;");
	/* One whose file has gone before. */
	job = take(f, some, ARTIFACT_IDENTITY);
	expire_it(f);
	in_the_middle = NULL;
	assert_true(begin(f, job.id));
	assert_err(run(f, job.id, &err), err, ERR_GONE, "removed meanwhile");
}

static void
lease_is_renewed(void **state)
{
	static const char LEASE[] =
	    "SELECT lease_until_ms AS n FROM summaries WHERE job_id = :id";
	struct fixture *f = *state;
	struct job job = take(f, some, ARTIFACT_ZSTD);
	int64_t now_ms;
	struct err err;

	clock_stopped_ms = now_ms = clock_utc_ms();
	assert_true(begin(f, job.id));
	read_takes_ms = 6000;
	assert_ok(run(f, job.id, &err), err);
	assert_int_equal(number_of(f, LEASE, job.id),
	    now_ms + SUMMARY_LEASE_MS);
}

static void
full_disk_is_told(void **state)
{
	struct fixture *f = *state;
	struct job job = take(f, some, ARTIFACT_ZSTD);
	bool is_ours = false;
	struct err err;
	int rc = -1, i;

	writes_left = 0;
	assert_err(summary_begin(f->db, APP, POD, job.id, &is_ours, &err), err,
	    ERR_SPACE, "make room");
	assert_false(is_ours);
	writes_left = -1;
	/* Wherever it happens: whoever asks next has it. */
	for (i = 0; rc != 0; i++) {
		assert_true(begin(f, job.id));
		writes_left = i;
		rc = run(f, job.id, &err);
		writes_left = -1;
		if (rc != 0)
			assert_int_equal(err.code, ERR_SPACE);
		if (rc != 0 && state_of(f, job.id, NULL) != SUMMARY_FAILED) {
			/* Nor could that be written down. */
			life = PROC_DEAD;
			clock_shift_ms += SUMMARY_BEGIN_MS + 1;
			assert_int_equal(state_of(f, job.id, NULL),
			    SUMMARY_NONE);
			assert_true(begin(f, job.id));
			life = PROC_ALIVE;
			assert_ok(summary_abandon(f->db, job.id, &err), err);
		}
		assert_true(i < 200);
	}
	assert_true(i > 1);
	expect(f, job.id, -1, "A 2 8;B 1 5;C 1 5;D 1 0;");
}

static int64_t
count_ready(struct fixture *f)
{
	static const char COUNT[] =
	    "SELECT count(*) AS n FROM summaries WHERE state = 'ready'";

	return number_of(f, COUNT, NULL);
}

static void
oldest_make_room(void **state)
{
	static const char SWELL[] =
	    "UPDATE summaries SET classes = 249000 WHERE state = 'ready'";
	struct fixture *f = *state;
	struct job jobs[SUMMARY_MAX + 2];
	struct err err;
	size_t i;

	for (i = 0; i < SUMMARY_MAX + 2; i++) {
		jobs[i] = take(f, some, ARTIFACT_IDENTITY);
		make(f, jobs[i].id);
	}
	assert_int_equal(count_ready(f), SUMMARY_MAX);
	assert_int_equal(count_rows(f), SUMMARY_MAX * 4);
	assert_int_equal(state_of(f, jobs[1].id, NULL), SUMMARY_NONE);
	assert_int_equal(state_of(f, jobs[2].id, NULL), SUMMARY_READY);
	/* Many classes: two of these, and one of four. */
	assert_ok(db_exec(f->db, SWELL, &err), err);
	make(f, jobs[0].id);
	assert_int_equal(count_ready(f), 3);
	assert_int_equal(count_rows(f), 12);
	assert_int_equal(
	    state_of(f, jobs[SUMMARY_MAX].id, NULL), SUMMARY_READY);
	assert_int_equal(
	    state_of(f, jobs[SUMMARY_MAX - 1].id, NULL), SUMMARY_NONE);
}

static void
diff_tells_what_differs(void **state)
{
	static const struct node later[] = {
		{"B", 5}, {"A", 7}, {"C", 4}, {"E", 0}, {"Leaked", 100},
		{"Leaked", 100}, {"F", 3}, {"G", 1}, {"G", 2}, {NULL, 0},
	};
	struct fixture *f = *state;
	struct job a = take(f, some, ARTIFACT_ZSTD);
	struct job b = take(f, later, ARTIFACT_ZSTD);
	struct buf out;
	struct err err;

	buf_init(&out, 1000);
	make(f, a.id);
	assert_err(summary_diff(f->db, a.id, b.id, -1, print_change, &out,
	    &err), err, ERR_NOT_FOUND, b.id);
	buf_fini(&out);
	make(f, b.id);
	expect_diff(f, a.id, b.id, -1, "Leaked +2 +200 2 200;G +2 +3 2 3;"
	    "F +1 +3 1 3;E +1 +0 1 0;D -1 +0 0 0;C +0 -1 1 4;A -1 -1 1 7;");
	expect_diff(f, a.id, b.id, 1, "Leaked +2 +200 2 200;");
	expect_diff(f, b.id, a.id, 2, "A +1 +1 2 8;C +0 +1 1 5;");
	expect_diff(f, a.id, a.id, -1, "");
}

/* A summary of that many classes. */
static struct job
summarize_many(struct fixture *f, int classes, int size)
{
	struct node *nodes = calloc((size_t)classes + 1, sizeof(*nodes));
	char (*names)[16] = calloc((size_t)classes, sizeof(*names));
	struct job job;
	int i;

	assert_non_null(nodes);
	assert_non_null(names);
	for (i = 0; i < classes; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "C%d", i);
		nodes[i] = (struct node){ names[i], size + i % 7 };
	}
	job = take(f, nodes, ARTIFACT_ZSTD);
	make(f, job.id);
	free(names);
	free(nodes);
	return job;
}

/* Steps of SQLite's machine for a diff of two that have nothing in common but
 * their names. */
static int
steps_of_diff(struct fixture *f, int classes)
{
	const struct job old = summarize_many(f, classes, 100);
	const struct job new = summarize_many(f, classes, 300);

	expect_diff(f, old.id, new.id, 1, "C0 +0 +200 1 300;");
	return sqlite3_stmt_status(diff_stmt, SQLITE_STMTSTATUS_VM_STEP, 1);
}

static void
diff_costs_what_it_has_to(void **state)
{
	struct fixture *f = *state;
	const int few = steps_of_diff(f, 500);

	assert_true(few > 500);
	assert_true(steps_of_diff(f, 5000) < 15 * few);
}

static int
stop_at_once(void *ctx, const struct class *class, struct err *err)
{
	(void)ctx;
	return err_set(err, ERR_TOO_LARGE, "enough after %s", class->name);
}

static void
reader_may_stop(void **state)
{
	struct fixture *f = *state;
	struct job job = take(f, some, ARTIFACT_ZSTD);
	struct err err;

	make(f, job.id);
	assert_err(summary_get(f->db, job.id, -1, stop_at_once, NULL, &err),
	    err, ERR_TOO_LARGE, "enough after A");
	/* Nothing is left open. */
	expect(f, job.id, 1, "A 2 8;");
}

#define SUMMARY_TEST(name) \
	cmocka_unit_test_setup_teardown(name, setup_summaries, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SUMMARY_TEST(summary_is_made_once_and_kept),
		SUMMARY_TEST(one_is_made_at_a_time),
		SUMMARY_TEST(dead_makers_are_replaced),
		SUMMARY_TEST(failures_are_told_and_tried_again),
		SUMMARY_TEST(job_may_go_meanwhile),
		SUMMARY_TEST(lease_is_renewed),
		SUMMARY_TEST(full_disk_is_told),
		SUMMARY_TEST(oldest_make_room),
		SUMMARY_TEST(diff_tells_what_differs),
		SUMMARY_TEST(diff_costs_what_it_has_to),
		SUMMARY_TEST(reader_may_stop),
	};

	log_setup(LOG_ERROR, LOG_LOGFMT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
