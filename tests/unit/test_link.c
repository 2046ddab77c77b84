/*
 * Links: whoever has the secret has the file, for some minutes, and nobody
 * finds the secret in the database.
 */
#include <sys/wait.h>

#include "store.h"

#include "link.h"

#define PROCESSES 4
#define MEGABYTE (1 << 20)

/* No random bytes are to be had. */
static bool no_random;

int __wrap_RAND_bytes(unsigned char *out, int len);
int __real_RAND_bytes(unsigned char *out, int len);

int
__wrap_RAND_bytes(unsigned char *out, int len)
{
	return no_random ? 0 : __real_RAND_bytes(out, len);
}

static struct link
make_link(struct fixture *f, const struct job *job,
    char ret_secret[LINK_SECRET_MAX])
{
	struct link link;
	struct err err;

	assert_ok(link_create(f->db, APP, job->id, "ci", ret_secret, &link,
	    &err), err);
	return link;
}

static void
expect_none(struct fixture *f, const char *app, const char *secret)
{
	struct link link = {.job_id = "untouched"};
	struct err err;

	assert_err(link_find(f->db, app, secret, &link, &err), err,
	    ERR_NOT_FOUND, "there is no such link, or it has expired");
	assert_string_equal(link.job_id, "untouched");
}

static int64_t
count_links(struct fixture *f)
{
	static const char COUNT[] = "SELECT count(*) AS n FROM links";
	struct db_stmt *stmt;
	struct err err;
	int64_t n;

	assert_ok(db_prepare(f->db, COUNT, &stmt, &err), err);
	assert_int_equal(db_step(stmt, &err), 1);
	n = db_column_int(stmt, "n", -1);
	db_done(stmt);
	return n;
}

static void
link_leads_to_its_job(void **state)
{
	char secret[LINK_SECRET_MAX], other[LINK_SECRET_MAX];
	struct fixture *f = *state;
	struct job job = create_succeeded(f), second = create_succeeded(f);
	int64_t now_ms = clock_utc_ms();
	struct link made, found;
	struct err err;

	made = make_link(f, &job, secret);
	assert_int_equal(strlen(secret), LINK_SECRET_MAX - 1);
	assert_int_equal(strspn(secret, "0123456789abcdef"), strlen(secret));
	assert_string_equal(made.job_id, job.id);
	assert_string_equal(made.created_by, "ci");
	assert_in_range(made.expires_at_ms, now_ms + LINK_LIFE_MS,
	    now_ms + LINK_LIFE_MS + 60000);
	assert_ok(link_find(f->db, APP, secret, &found, &err), err);
	assert_string_equal(found.job_id, job.id);
	assert_string_equal(found.created_by, "ci");
	assert_int_equal(found.expires_at_ms, made.expires_at_ms);
	/* As often as one likes, and each is one of its own. */
	assert_ok(link_find(f->db, APP, secret, &found, &err), err);
	(void)make_link(f, &second, other);
	assert_string_not_equal(secret, other);
	assert_ok(link_find(f->db, APP, other, &found, &err), err);
	assert_string_equal(found.job_id, second.id);
	(void)make_link(f, &job, other);
	assert_ok(link_find(f->db, APP, other, &found, &err), err);
	assert_string_equal(found.job_id, job.id);
	assert_ok(link_find(f->db, APP, secret, &found, &err), err);
}

static void
other_secrets_lead_nowhere(void **state)
{
	static const char *const secrets[] = {
		"", " ", "' OR '1'='1", "%", "*",
		"00000000000000000000000000000000"
		"00000000000000000000000000000000",
	};
	char secret[LINK_SECRET_MAX], wrong[LINK_SECRET_MAX + 1];
	char sha256[DIGEST_HEX_MAX], text[100001];
	struct fixture *f = *state;
	struct job job = create_succeeded(f);
	struct err err;
	size_t i;

	(void)make_link(f, &job, secret);
	for (i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		expect_none(f, APP, secrets[i]);
	/* One character more, less, or another. */
	(void)snprintf(wrong, sizeof(wrong), "%s0", secret);
	expect_none(f, APP, wrong);
	wrong[LINK_SECRET_MAX - 2] = '\0';
	expect_none(f, APP, wrong);
	(void)snprintf(wrong, sizeof(wrong), "%s", secret);
	wrong[63] = wrong[63] == '0' ? '1' : '0';
	expect_none(f, APP, wrong);
	/* What the database holds opens nothing. */
	assert_ok(digest_hex(secret, strlen(secret), sha256, &err), err);
	expect_none(f, APP, sha256);
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	expect_none(f, APP, text);
	/* Nor does the secret at another app's address. */
	expect_none(f, "other", secret);
	expect_none(f, "", secret);
}

static void
link_expires(void **state)
{
	char secret[LINK_SECRET_MAX];
	struct fixture *f = *state;
	struct job job = create_succeeded(f);
	struct link link;
	struct err err;

	(void)make_link(f, &job, secret);
	clock_shift_ms = LINK_LIFE_MS - 5000;
	assert_ok(link_find(f->db, APP, secret, &link, &err), err);
	clock_shift_ms = LINK_LIFE_MS;
	expect_none(f, APP, secret);
	assert_int_equal(count_links(f), 1);
}

static void
links_of_a_job_are_limited(void **state)
{
	char secret[LINK_SECRET_MAX] = "untouched";
	struct fixture *f = *state;
	struct job job = create_succeeded(f), second = create_succeeded(f);
	struct link link = {.job_id = "untouched"};
	struct err err;
	int i;

	for (i = 0; i < LINK_JOB_MAX; i++)
		(void)make_link(f, &job, secret);
	(void)snprintf(secret, sizeof(secret), "untouched");
	assert_err(link_create(f->db, APP, job.id, "ci", secret, &link, &err),
	    err, ERR_LIMIT, "the job has 100 links");
	assert_string_equal(secret, "untouched");
	assert_string_equal(link.job_id, "untouched");
	(void)make_link(f, &second, secret);
	/* Those that have expired do not count, swept or not. */
	clock_shift_ms = LINK_LIFE_MS;
	(void)make_link(f, &job, secret);
	assert_int_equal(count_links(f), LINK_JOB_MAX + 2);
}

/* Exit status: how many it made; 255 if it met anything but the limit. */
static int
make_many(const struct fixture *f, const char *job_id)
{
	char secret[LINK_SECRET_MAX];
	struct db *db = NULL;
	struct link link;
	struct err err;
	int i, n = 0;

	if (job_open_db(f->dir, &db, &err) != 0)
		return 255;
	for (i = 0; i < LINK_JOB_MAX / 2; i++) {
		if (link_create(db, APP, job_id, "ci", secret, &link,
		    &err) == 0)
			n++;
		else if (err.code != ERR_LIMIT)
			n = 255;
	}
	db_close(&db);
	return n;
}

static void
limit_holds_among_many(void **state)
{
	struct fixture *f = *state;
	struct job job = create_succeeded(f);
	pid_t pids[PROCESSES];
	int i, status, sum = 0;

	/* A connection does not cross a fork. */
	db_close(&f->db);
	for (i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(make_many(f, job.id));
		assert_true(pids[i] > 0);
	}
	for (i = 0; i < PROCESSES; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		assert_int_not_equal(WEXITSTATUS(status), 255);
		sum += WEXITSTATUS(status);
	}
	f->db = open_other(f);
	assert_int_equal(sum, LINK_JOB_MAX);
	assert_int_equal(count_links(f), LINK_JOB_MAX);
}

static void
sweep_removes_what_has_expired(void **state)
{
	char old[LINK_SECRET_MAX], young[LINK_SECRET_MAX];
	struct fixture *f = *state;
	struct db *other = open_other(f);
	struct job job = create_succeeded(f);
	int64_t before = 0, after = 0;
	struct link link;
	struct err err;

	(void)make_link(f, &job, old);
	clock_shift_ms = LINK_LIFE_MS / 2;
	(void)make_link(f, &job, young);
	/* Reads only, also while somebody else writes. */
	assert_ok(db_data_version(other, &before, &err), err);
	assert_ok(db_begin(other, &err), err);
	assert_ok(link_sweep(f->db, &err), err);
	db_rollback(other);
	assert_ok(db_data_version(other, &after, &err), err);
	assert_int_equal(before, after);
	db_close(&other);
	assert_int_equal(count_links(f), 2);
	clock_shift_ms = LINK_LIFE_MS;
	assert_ok(link_sweep(f->db, &err), err);
	assert_int_equal(count_links(f), 1);
	assert_ok(link_find(f->db, APP, young, &link, &err), err);
	clock_shift_ms = 2 * LINK_LIFE_MS;
	assert_ok(link_sweep(f->db, &err), err);
	assert_int_equal(count_links(f), 0);
}

static void
links_go_with_their_job(void **state)
{
	const struct job_limits one_row = {INT64_MAX / 4, 1, 0};
	char secret[LINK_SECRET_MAX], other[LINK_SECRET_MAX];
	struct fixture *f = *state;
	struct job job = create_succeeded(f), second = create_succeeded(f);
	struct link link;
	struct err err;

	(void)make_link(f, &job, secret);
	(void)make_link(f, &job, other);
	(void)make_link(f, &second, other);
	assert_ok(job_remove(f->db, f->dir, job.id, &err), err);
	expect_none(f, APP, secret);
	assert_int_equal(count_links(f), 1);
	assert_err(link_create(f->db, APP, job.id, "ci", secret, &link, &err),
	    err, ERR_NOT_FOUND, job.id);
	assert_int_equal(count_links(f), 1);
	/* Also where it makes room for others. */
	job = create_succeeded(f);
	(void)make_link(f, &job, secret);
	assert_ok(job_retain(f->db, f->dir, &one_row, &err), err);
	expect_none(f, APP, other);
	assert_ok(link_find(f->db, APP, secret, &link, &err), err);
}

static bool
has_bytes(const struct fixture *f, const char *name, const char *bytes)
{
	struct buf text;
	char path[300];
	struct err err;
	bool found;

	(void)snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	buf_init(&text, 16 * MEGABYTE);
	assert_ok(file_read(path, &text, &err), err);
	found = memmem(text.data, text.len, bytes, strlen(bytes)) != NULL;
	buf_fini(&text);
	return found;
}

static void
database_has_the_digest_only(void **state)
{
	char secret[LINK_SECRET_MAX], sha256[DIGEST_HEX_MAX];
	struct fixture *f = *state;
	struct job job = create_succeeded(f);
	struct err err;

	(void)make_link(f, &job, secret);
	assert_ok(digest_hex(secret, strlen(secret), sha256, &err), err);
	assert_true(has_bytes(f, "podprof.db-wal", sha256));
	assert_false(has_bytes(f, "podprof.db-wal", secret));
	assert_ok(db_exec(f->db, "PRAGMA wal_checkpoint(TRUNCATE)", &err),
	    err);
	assert_true(has_bytes(f, "podprof.db", sha256));
	assert_false(has_bytes(f, "podprof.db", secret));
}

static void
names_are_values_and_bounded(void **state)
{
	char secret[LINK_SECRET_MAX], who[1001];
	struct fixture *f = *state;
	struct job job = create_succeeded(f);
	struct link link, found;
	struct err err;

	memset(who, 'w', sizeof(who) - 1);
	who[sizeof(who) - 1] = '\0';
	memcpy(who, "x'); --", 7);
	assert_ok(link_create(f->db, "it's", job.id, who, secret, &link, &err),
	    err);
	assert_ok(link_find(f->db, "it's", secret, &found, &err), err);
	assert_int_equal(strlen(found.created_by), sizeof(link.created_by) - 1);
	assert_memory_equal(found.created_by, who, strlen(found.created_by));
	assert_string_equal(link.created_by, found.created_by);
	assert_err(link_create(f->db, APP, "' OR 1 --", who, secret, &link,
	    &err), err, ERR_NOT_FOUND, "there is no job \"' OR 1 --\"");
	assert_int_equal(count_links(f), 1);
}

static void
without_random_bits_there_is_no_link(void **state)
{
	char secret[LINK_SECRET_MAX] = "untouched";
	struct fixture *f = *state;
	struct job job = create_succeeded(f);
	struct link link;
	struct err err;

	no_random = true;
	assert_err(link_create(f->db, APP, job.id, "ci", secret, &link, &err),
	    err, ERR_INTERNAL, "");
	no_random = false;
	assert_string_equal(secret, "untouched");
	assert_int_equal(count_links(f), 0);
	/* No transaction is left open. */
	(void)make_link(f, &job, secret);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(link_leads_to_its_job),
		TEST(other_secrets_lead_nowhere),
		TEST(link_expires),
		TEST(links_of_a_job_are_limited),
		TEST(limit_holds_among_many),
		TEST(sweep_removes_what_has_expired),
		TEST(links_go_with_their_job),
		TEST(database_has_the_digest_only),
		TEST(names_are_values_and_bounded),
		TEST(without_random_bits_there_is_no_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
