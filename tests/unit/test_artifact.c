/*
 * Artifact files as they are written: what is told of them, when they appear,
 * and that nothing is left where a call fails.
 */
#include <errno.h>

#include "artifacts.h"

/* How often a call still goes well before it fails once with errnum; -1: it
 * never fails.  Counted while armed only. */
struct fault {
	int left;
	int errnum;
};

static struct fault on_write = {-1, 0};
static struct fault on_fsync = {-1, 0};
static struct fault on_rename = {-1, 0};
static struct fault on_close = {-1, 0};
static struct fault on_memory = {-1, 0};
/* The most that one write takes; 0: all. */
static size_t piece;

ssize_t __wrap_write(int fd, const void *data, size_t len);
ssize_t __real_write(int fd, const void *data, size_t len);
int __wrap_fsync(int fd);
int __real_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __real_rename(const char *from, const char *to);
int __wrap_close(int fd);
int __real_close(int fd);
void *__wrap_calloc(size_t n, size_t size);
void *__real_calloc(size_t n, size_t size);
char *__wrap_strndup(const char *s, size_t len);
char *__real_strndup(const char *s, size_t len);

static int
fails_now(struct fault *fault)
{
	if (fault->left < 0 || fault->left-- > 0)
		return 0;
	errno = fault->errnum;
	return 1;
}

ssize_t
__wrap_write(int fd, const void *data, size_t len)
{
	if (fails_now(&on_write))
		return -1;
	return __real_write(fd, data, piece != 0 && len > piece ? piece : len);
}

int
__wrap_fsync(int fd)
{
	return fails_now(&on_fsync) ? -1 : __real_fsync(fd);
}

int
__wrap_rename(const char *from, const char *to)
{
	return fails_now(&on_rename) ? -1 : __real_rename(from, to);
}

/* A descriptor is gone also where close() reports a write that failed. */
int
__wrap_close(int fd)
{
	int rc = __real_close(fd);

	return fails_now(&on_close) ? -1 : rc;
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails_now(&on_memory) ? NULL : __real_calloc(n, size);
}

char *
__wrap_strndup(const char *s, size_t len)
{
	return fails_now(&on_memory) ? NULL : __real_strndup(s, len);
}

static int
teardown(void **state)
{
	on_write.left = on_fsync.left = on_rename.left = on_close.left = -1;
	on_memory.left = -1;
	piece = 0;
	return remove_fixture(state);
}

static void
file_appears_when_it_is_whole(void **state)
{
	struct fixture *f = *state;
	struct artifact *artifact = create(f, &identity_form);
	struct artifact_sum sum;
	char want[DIGEST_HEX_MAX];
	struct stat st;
	struct err err;

	assert_int_equal(artifact_size(artifact), 0);
	assert_int_equal(artifact_stored_bytes(artifact), 0);
	assert_int_equal(artifact_first(artifact), 0);
	assert_int_equal(artifact_last(artifact), 0);
	assert_ok(artifact_write(artifact, "{\"a\":", 5, &err), err);
	assert_ok(artifact_write(artifact, "", 0, &err), err);
	assert_ok(artifact_write(artifact, "1}", 2, &err), err);
	assert_int_equal(artifact_size(artifact), 7);
	assert_int_equal(artifact_stored_bytes(artifact), 7);
	assert_int_equal(artifact_first(artifact), '{');
	assert_int_equal(artifact_last(artifact), '}');
	assert_true(is_there(f->part));
	assert_false(is_there(f->path));
	assert_ok(artifact_commit(&artifact, &sum, &err), err);
	assert_null(artifact);
	assert_false(is_there(f->part));
	assert_text(f->path, "{\"a\":1}");
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	sha256_of("{\"a\":1}", 7, want);
	assert_int_equal(sum.coding, ARTIFACT_IDENTITY);
	assert_string_equal(sum.sha256, want);
	assert_string_equal(sum.stored_sha256, want);
	assert_int_equal(sum.size_bytes, 7);
	assert_int_equal(sum.stored_bytes, 7);
}

static void
packed_file_appears_when_it_is_whole(void **state)
{
	struct fixture *f = *state;
	struct artifact *artifact = create(f, &zstd_form);
	char want[DIGEST_HEX_MAX], *stored;
	struct artifact_sum sum;
	struct stat st;
	struct err err;
	size_t len;

	assert_ok(artifact_write(artifact, "{\"a\":1}", 7, &err), err);
	assert_int_equal(artifact_size(artifact), 7);
	assert_int_equal(artifact_first(artifact), '{');
	assert_int_equal(artifact_last(artifact), '}');
	assert_false(is_there(f->zst_path));
	assert_ok(artifact_commit(&artifact, &sum, &err), err);
	assert_false(is_there(f->part));
	assert_false(is_there(f->path));
	assert_int_equal(stat(f->zst_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(sum.coding, ARTIFACT_ZSTD);
	assert_int_equal(sum.size_bytes, 7);
	assert_int_equal(sum.stored_bytes, st.st_size);
	sha256_of("{\"a\":1}", 7, want);
	assert_string_equal(sum.sha256, want);
	stored = read_file(f->zst_path, &len);
	sha256_of(stored, len, want);
	assert_string_equal(sum.stored_sha256, want);
	assert_string_not_equal(sum.stored_sha256, sum.sha256);
	free(stored);
}

static void
empty_file_is_whole_too(void **state)
{
	static const char nothing[] = "e3b0c44298fc1c149afbf4c8996fb924"
	    "27ae41e4649b934ca495991b7852b855";
	struct fixture *f = *state;
	struct artifact_sum sum = put_whole(f, &identity_form, "", 0, 1);

	assert_int_equal(sum.size_bytes, 0);
	assert_int_equal(sum.stored_bytes, 0);
	assert_string_equal(sum.sha256, nothing);
	assert_string_equal(sum.stored_sha256, nothing);
	/* In frames it is none, and their table. */
	sum = put_whole(f, &zstd_form, "", 0, 1);
	assert_int_equal(sum.size_bytes, 0);
	assert_true(sum.stored_bytes > 0);
	assert_string_equal(sum.sha256, nothing);
	assert_string_not_equal(sum.stored_sha256, nothing);
}

static void
short_writes_are_continued(void **state)
{
	struct fixture *f = *state;
	struct artifact *artifact = create(f, &identity_form);
	struct artifact_sum sum;
	char want[DIGEST_HEX_MAX];
	struct err err;

	piece = 3;
	on_write.left = 2;
	on_write.errnum = EINTR;
	assert_ok(artifact_write(artifact, "0123456789", 10, &err), err);
	assert_ok(artifact_commit(&artifact, &sum, &err), err);
	assert_text(f->path, "0123456789");
	sha256_of("0123456789", 10, want);
	assert_string_equal(sum.sha256, want);
}

static void
abandoned_file_is_gone(void **state)
{
	struct fixture *f = *state;
	struct artifact *artifact;
	struct err err;
	int i;

	for (i = 0; i < 2; i++) {
		artifact = create(f, i == 0 ? &identity_form : &zstd_form);
		assert_ok(artifact_write(artifact, "x", 1, &err), err);
		artifact_abandon(&artifact);
		assert_null(artifact);
		assert_false(is_there(f->part));
		assert_false(is_there(f->path));
		assert_false(is_there(f->zst_path));
		artifact_abandon(&artifact);
	}
	artifact_abandon(NULL);
}

static void
leftover_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct artifact *artifact = NULL;
	char victim[300];
	struct err err;

	write_file(f->part, "what a dead capture has left");
	(void)put_whole(f, &identity_form, "new", 3, 3);
	assert_text(f->path, "new");
	/* Never through a link. */
	(void)snprintf(victim, sizeof(victim), "%s/victim", f->dir);
	write_file(victim, "keep");
	assert_int_equal(symlink(victim, f->part), 0);
	(void)put_whole(f, &identity_form, "newer", 5, 5);
	assert_text(victim, "keep");
	assert_text(f->path, "newer");
	/* A directory cannot be replaced. */
	assert_int_equal(mkdir(f->part, 0700), 0);
	assert_err(artifact_create(f->dir, JOB, "heapsnapshot", &identity_form,
	    &artifact, &err), err, ERR_STORE, f->part);
	assert_null(artifact);
}

static void
write_failures_are_told(void **state)
{
	static const struct {
		int errnum;
		enum err_code code;
	} cases[] = {
		{ENOSPC, ERR_SPACE}, {EDQUOT, ERR_SPACE}, {EFBIG, ERR_SPACE},
		{EIO, ERR_STORE}, {ENOMEM, ERR_NOMEM},
	};
	const size_t len = 3 << 20;
	struct fixture *f = *state;
	struct artifact *artifact;
	char *bytes = make_bytes(len);
	struct err err;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		artifact = create(f, &identity_form);
		piece = 2;
		on_write = (struct fault){1, cases[i].errnum};
		assert_err(artifact_write(artifact, "12345", 5, &err), err,
		    cases[i].code, f->part);
		artifact_abandon(&artifact);
		assert_false(is_there(f->part));
		/* A frame goes to the disk when it is full. */
		artifact = create(f, &zstd_form);
		piece = 0;
		on_write = (struct fault){5, cases[i].errnum};
		assert_err(artifact_write(artifact, bytes, len, &err), err,
		    cases[i].code, f->part);
		artifact_abandon(&artifact);
		assert_false(is_there(f->part));
	}
	free(bytes);
}

/* Commit fails at some point; whichever, nothing is left. */
static void
expect_no_commit(struct fixture *f, const struct artifact_form *form,
    enum err_code code, const char *want)
{
	struct artifact *artifact = create(f, form);
	struct artifact_sum sum = {.size_bytes = -5};
	struct err err;

	assert_ok(artifact_write(artifact, "{}", 2, &err), err);
	assert_err(artifact_commit(&artifact, &sum, &err), err, code, want);
	assert_null(artifact);
	assert_int_equal(sum.size_bytes, -5);
	assert_false(is_there(f->part));
	assert_false(is_there(f->path));
	assert_false(is_there(f->zst_path));
}

static void
failed_commit_leaves_nothing(void **state)
{
	const struct artifact_form *form;
	struct fixture *f = *state;
	int i;

	for (i = 0; i < 2; i++) {
		form = i == 0 ? &identity_form : &zstd_form;
		on_fsync = (struct fault){0, EIO};
		expect_no_commit(f, form, ERR_STORE, f->part);
		on_fsync = (struct fault){0, ENOSPC};
		expect_no_commit(f, form, ERR_SPACE, f->part);
		/* The second is of the directory, after the rename. */
		on_fsync = (struct fault){1, EIO};
		expect_no_commit(f, form, ERR_STORE, "artifacts");
		/* Where a network file system tells that nothing arrived. */
		on_close = (struct fault){0, EIO};
		expect_no_commit(f, form, ERR_STORE, f->part);
		on_close = (struct fault){0, EDQUOT};
		expect_no_commit(f, form, ERR_SPACE, f->part);
		on_rename = (struct fault){0, ENOSPC};
		expect_no_commit(f, form, ERR_SPACE, "cannot rename");
		on_rename = (struct fault){0, EACCES};
		expect_no_commit(f, form, ERR_STORE, f->path);
	}
	/* The last frame and the table are written now only. */
	on_write = (struct fault){0, ENOSPC};
	expect_no_commit(f, &zstd_form, ERR_SPACE, f->part);
	on_write = (struct fault){1, EIO};
	expect_no_commit(f, &zstd_form, ERR_STORE, f->part);
}

static void
interrupted_calls_are_no_failure(void **state)
{
	struct fixture *f = *state;

	on_fsync = (struct fault){0, EINTR};
	on_close = (struct fault){0, EINTR};
	(void)put_whole(f, &identity_form, "{}", 2, 2);
	assert_text(f->path, "{}");
	/* A directory that has no fsync(2) needs none. */
	on_fsync = (struct fault){1, EINVAL};
	(void)put_whole(f, &identity_form, "{ }", 3, 3);
	assert_text(f->path, "{ }");
}

static void
without_memory_nothing_is_begun(void **state)
{
	const struct artifact_form *form;
	struct fixture *f = *state;
	struct artifact *artifact = NULL;
	struct err err;
	int i, left, rc;

	for (i = 0; i < 2; i++) {
		form = i == 0 ? &identity_form : &zstd_form;
		for (left = 0; ; left++) {
			on_memory = (struct fault){left, ENOMEM};
			rc = artifact_create(f->dir, JOB, "heapsnapshot", form,
			    &artifact, &err);
			on_memory.left = -1;
			if (rc == 0)
				break;
			assert_int_equal(err.code, ERR_NOMEM);
			assert_null(artifact);
			assert_false(is_there(f->part));
		}
		assert_true(left >= (i == 0 ? 3 : 5));
		artifact_abandon(&artifact);
	}
}

static void
settled_meanwhile_is_no_commit(void **state)
{
	struct fixture *f = *state;
	struct artifact *artifact = create(f, &identity_form);
	struct artifact_sum sum;
	struct err err;

	assert_ok(artifact_write(artifact, "{}", 2, &err), err);
	assert_ok(artifact_remove(f->dir, JOB, "heapsnapshot", false, &err),
	    err);
	assert_err(artifact_commit(&artifact, &sum, &err), err, ERR_STORE,
	    "cannot rename");
	assert_false(is_there(f->path));
}

static void
foreign_ids_reach_no_path(void **state)
{
	static const char *const ids[] = {
		"", "x", "../../../../../../../../../etc/passwd",
		"0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c7/",
		"0198C0DE-7B1E-7C3A-9F00-5D2E6A1B4C77", JOB "x",
	};
	static const char *const extensions[] = {
		"", "a/b", "../x", "heapsnapshotsxxx",
	};
	const struct artifact_sum sum = {.coding = ARTIFACT_IDENTITY};
	struct fixture *f = *state;
	struct artifact_reader *reader = NULL;
	struct artifact *artifact = NULL;
	bool there = false;
	struct err err;
	size_t i;

	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		assert_err(artifact_create(f->dir, ids[i], "heapsnapshot",
		    &identity_form, &artifact, &err), err, ERR_INTERNAL,
		    "no artifact's name");
		assert_err(artifact_open(f->dir, ids[i], "heapsnapshot", &sum,
		    &reader, &err), err, ERR_INTERNAL, "no artifact's name");
		assert_err(artifact_remove(f->dir, ids[i], "heapsnapshot",
		    false, &err), err, ERR_INTERNAL, "no artifact's name");
		assert_err(artifact_is_there(f->dir, ids[i], "heapsnapshot",
		    &sum, &there, &err), err, ERR_INTERNAL,
		    "no artifact's name");
	}
	for (i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++)
		assert_err(artifact_create(f->dir, JOB, extensions[i],
		    &identity_form, &artifact, &err), err, ERR_INTERNAL,
		    "no artifact's name");
	assert_null(artifact);
	assert_null(reader);
}

static void
names_are_made_of_id_kind_and_coding(void **state)
{
	char name[ARTIFACT_NAME_MAX];

	(void)state;
	artifact_file_name(JOB, "heapsnapshot", ARTIFACT_IDENTITY, name);
	assert_string_equal(name, JOB ".heapsnapshot");
	artifact_file_name(JOB, "cpuprofile", ARTIFACT_ZSTD, name);
	assert_string_equal(name, JOB ".cpuprofile.zst");
	assert_string_equal(artifact_coding_name(ARTIFACT_ZSTD), "zstd");
	assert_int_equal(artifact_coding_of_name("identity"),
	    ARTIFACT_IDENTITY);
	assert_int_equal(artifact_coding_of_name("zstd"), ARTIFACT_ZSTD);
	assert_int_equal(artifact_coding_of_name("ZSTD"), -1);
	assert_int_equal(artifact_coding_of_name("gzip"), -1);
	assert_int_equal(artifact_coding_of_name(""), -1);
	assert_int_equal(artifact_coding_of_name(NULL), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(file_appears_when_it_is_whole),
		TEST(packed_file_appears_when_it_is_whole),
		TEST(empty_file_is_whole_too),
		TEST(short_writes_are_continued),
		TEST(abandoned_file_is_gone),
		TEST(leftover_is_replaced),
		TEST(write_failures_are_told),
		TEST(failed_commit_leaves_nothing),
		TEST(interrupted_calls_are_no_failure),
		TEST(without_memory_nothing_is_begun),
		TEST(settled_meanwhile_is_no_commit),
		TEST(foreign_ids_reach_no_path),
		TEST(names_are_made_of_id_kind_and_coding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
