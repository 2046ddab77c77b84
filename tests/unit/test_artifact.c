#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "test.h"

#include "artifact.h"

#define JOB "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77"

/* How often a call still goes well before it fails once with errnum; -1: it
 * never fails.  Counted while armed only. */
struct fault {
	int left;
	int errnum;
};

static struct fault on_write = {-1, 0};
static struct fault on_fsync = {-1, 0};
static struct fault on_rename = {-1, 0};
/* The most that one write takes; 0: all. */
static size_t piece;

ssize_t __wrap_write(int fd, const void *data, size_t len);
ssize_t __real_write(int fd, const void *data, size_t len);
int __wrap_fsync(int fd);
int __real_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __real_rename(const char *from, const char *to);

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

static const struct artifact_form identity_form = {
	.coding = ARTIFACT_IDENTITY,
};

struct fixture {
	char dir[256];
	char part[400];
	char path[400];
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;

	if (f == NULL)
		return -1;
	test_make_dir(f->dir);
	assert_ok(artifact_check_dirs(f->dir, false, &err), err);
	(void)snprintf(f->part, sizeof(f->part), "%s/artifacts/" JOB ".part",
	    f->dir);
	(void)snprintf(f->path, sizeof(f->path), "%s/artifacts/" JOB
	    ".heapsnapshot", f->dir);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	on_write.left = on_fsync.left = on_rename.left = -1;
	piece = 0;
	test_remove_dir(f->dir);
	free(f);
	return 0;
}

static int
is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static struct artifact *
create(const struct fixture *f)
{
	struct artifact *artifact = NULL;
	struct err err;

	assert_ok(artifact_create(f->dir, JOB, "heapsnapshot", &identity_form,
	    &artifact, &err), err);
	return artifact;
}

static void
write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	(void)fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void
assert_text(const char *path, const char *want)
{
	char text[200];
	FILE *file = fopen(path, "r");
	size_t n;

	assert_non_null(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	(void)fclose(file);
	assert_string_equal(text, want);
}

static void
file_appears_when_it_is_whole(void **state)
{
	struct fixture *f = *state;
	struct artifact *artifact = create(f);
	struct artifact_sum sum;
	char want[DIGEST_HEX_MAX];
	struct stat st;
	struct err err;

	assert_int_equal(artifact_size(artifact), 0);
	assert_int_equal(artifact_first(artifact), 0);
	assert_int_equal(artifact_last(artifact), 0);
	assert_ok(artifact_write(artifact, "{\"a\":", 5, &err), err);
	assert_ok(artifact_write(artifact, "", 0, &err), err);
	assert_ok(artifact_write(artifact, "1}", 2, &err), err);
	assert_int_equal(artifact_size(artifact), 7);
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
	assert_ok(digest_hex("{\"a\":1}", 7, want, &err), err);
	assert_string_equal(sum.sha256, want);
	assert_string_equal(sum.stored_sha256, want);
	assert_int_equal(sum.size_bytes, 7);
	assert_int_equal(sum.stored_bytes, 7);
}

static void
empty_file_is_whole_too(void **state)
{
	struct fixture *f = *state;
	struct artifact *artifact = create(f);
	struct artifact_sum sum;
	struct err err;

	assert_ok(artifact_commit(&artifact, &sum, &err), err);
	assert_int_equal(sum.size_bytes, 0);
	assert_string_equal(sum.sha256, "e3b0c44298fc1c149afbf4c8996fb924"
	    "27ae41e4649b934ca495991b7852b855");
}

static void
short_writes_are_continued(void **state)
{
	struct fixture *f = *state;
	struct artifact *artifact = create(f);
	struct artifact_sum sum;
	char want[DIGEST_HEX_MAX];
	struct err err;

	piece = 3;
	on_write.left = 2;
	on_write.errnum = EINTR;
	assert_ok(artifact_write(artifact, "0123456789", 10, &err), err);
	assert_ok(artifact_commit(&artifact, &sum, &err), err);
	assert_text(f->path, "0123456789");
	assert_ok(digest_hex("0123456789", 10, want, &err), err);
	assert_string_equal(sum.sha256, want);
}

static void
abandoned_file_is_gone(void **state)
{
	struct fixture *f = *state;
	struct artifact *artifact = create(f);
	struct err err;

	assert_ok(artifact_write(artifact, "x", 1, &err), err);
	artifact_abandon(&artifact);
	assert_null(artifact);
	assert_false(is_there(f->part));
	assert_false(is_there(f->path));
	artifact_abandon(&artifact);
	artifact_abandon(NULL);
}

static void
leftover_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct artifact *artifact = NULL;
	struct artifact_sum sum;
	char victim[300];
	struct err err;

	write_file(f->part, "what a dead capture has left");
	artifact = create(f);
	assert_ok(artifact_write(artifact, "new", 3, &err), err);
	assert_ok(artifact_commit(&artifact, &sum, &err), err);
	assert_text(f->path, "new");
	/* Never through a link. */
	(void)snprintf(victim, sizeof(victim), "%s/victim", f->dir);
	write_file(victim, "keep");
	assert_int_equal(symlink(victim, f->part), 0);
	artifact = create(f);
	assert_ok(artifact_write(artifact, "newer", 5, &err), err);
	assert_ok(artifact_commit(&artifact, &sum, &err), err);
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
		{EIO, ERR_STORE},
	};
	struct fixture *f = *state;
	struct artifact *artifact;
	struct err err;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		artifact = create(f);
		piece = 2;
		on_write.left = 1;
		on_write.errnum = cases[i].errnum;
		assert_err(artifact_write(artifact, "12345", 5, &err), err,
		    cases[i].code, f->part);
		artifact_abandon(&artifact);
		assert_false(is_there(f->part));
	}
}

/* Commit fails at some point; whichever, nothing is left. */
static void
expect_no_commit(struct fixture *f, enum err_code code, const char *want)
{
	struct artifact *artifact = create(f);
	struct artifact_sum sum = {.size_bytes = -5};
	struct err err;

	assert_ok(artifact_write(artifact, "{}", 2, &err), err);
	assert_err(artifact_commit(&artifact, &sum, &err), err, code, want);
	assert_null(artifact);
	assert_int_equal(sum.size_bytes, -5);
	assert_false(is_there(f->part));
	assert_false(is_there(f->path));
}

static void
failed_commit_leaves_nothing(void **state)
{
	struct fixture *f = *state;

	on_fsync = (struct fault){0, EIO};
	expect_no_commit(f, ERR_STORE, f->part);
	on_fsync = (struct fault){0, ENOSPC};
	expect_no_commit(f, ERR_SPACE, f->part);
	/* The second is of the directory, after the rename. */
	on_fsync = (struct fault){1, EIO};
	expect_no_commit(f, ERR_STORE, "artifacts");
	on_rename = (struct fault){0, ENOSPC};
	expect_no_commit(f, ERR_SPACE, "cannot rename");
	on_rename = (struct fault){0, EACCES};
	expect_no_commit(f, ERR_STORE, f->path);
}

static void
settled_meanwhile_is_no_commit(void **state)
{
	struct fixture *f = *state;
	struct artifact *artifact = create(f);
	struct artifact_sum sum;
	struct err err;

	assert_ok(artifact_write(artifact, "{}", 2, &err), err);
	assert_ok(artifact_remove(f->dir, JOB, "heapsnapshot", false, &err), err);
	assert_err(artifact_commit(&artifact, &sum, &err), err, ERR_STORE,
	    "cannot rename");
	assert_false(is_there(f->path));
}

static void
refuse_open(const struct fixture *f, const char *extension,
    int64_t stored_bytes, enum err_code code, const char *want)
{
	const struct artifact_sum sum = {
		.coding = ARTIFACT_IDENTITY, .size_bytes = stored_bytes,
		.stored_bytes = stored_bytes,
	};
	struct artifact_reader *reader = NULL;
	struct err err;

	assert_err(artifact_open(f->dir, JOB, extension, &sum, &reader, &err),
	    err, code, want);
	assert_null(reader);
}

static void
whole_file_is_opened(void **state)
{
	const struct artifact_sum sum = {
		.coding = ARTIFACT_IDENTITY, .size_bytes = 4,
		.stored_bytes = 4,
	};
	struct artifact_reader *reader = NULL;
	struct fixture *f = *state;
	char text[10];
	struct err err;

	refuse_open(f, "heapsnapshot", 4, ERR_GONE, f->path);
	write_file(f->path, "text");
	assert_ok(artifact_open(f->dir, JOB, "heapsnapshot", &sum, &reader,
	    &err), err);
	assert_int_equal(artifact_read(reader, ARTIFACT_IDENTITY, 0, text,
	    sizeof(text), &err), 4);
	assert_memory_equal(text, "text", 4);
	artifact_close(&reader);
	assert_null(reader);
	refuse_open(f, "heapsnapshot", 5, ERR_STORE,
	    "has 4 bytes, but 5 were written");
	refuse_open(f, "cpuprofile", 4, ERR_GONE, "cpuprofile");
}

static void
only_regular_files_are_opened(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(symlink("/etc/passwd", f->path), 0);
	refuse_open(f, "heapsnapshot", 1, ERR_STORE, f->path);
	assert_int_equal(unlink(f->path), 0);
	/* Does not wait for somebody to write. */
	assert_int_equal(mkfifo(f->path, 0600), 0);
	refuse_open(f, "heapsnapshot", 0, ERR_STORE, "not a regular file");
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(mkdir(f->path, 0700), 0);
	refuse_open(f, "heapsnapshot", 0, ERR_STORE, "not a regular file");
}

static void
both_files_are_removed(void **state)
{
	struct fixture *f = *state;
	struct err err;

	write_file(f->part, "x");
	write_file(f->path, "x");
	assert_ok(artifact_remove(f->dir, JOB, "heapsnapshot", false, &err), err);
	assert_false(is_there(f->part));
	assert_false(is_there(f->path));
	assert_ok(artifact_remove(f->dir, JOB, "heapsnapshot", false, &err), err);
	/* One that stays does not keep the other. */
	assert_int_equal(mkdir(f->part, 0700), 0);
	write_file(f->path, "x");
	assert_err(artifact_remove(f->dir, JOB, "heapsnapshot", false, &err), err,
	    ERR_STORE, f->part);
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
directories_are_made_and_checked(void **state)
{
	struct fixture *f = *state;
	char path[400];
	struct stat st;
	struct err err;

	(void)snprintf(path, sizeof(path), "%s/artifacts", f->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_ok(artifact_check_dirs(f->dir, false, &err), err);
	/* It leaves nothing behind, so the directory is empty. */
	assert_int_equal(rmdir(path), 0);
	on_write = (struct fault){0, ENOSPC};
	assert_err(artifact_check_dirs(f->dir, false, &err), err, ERR_SPACE, f->dir);
	write_file(path, "in the way");
	assert_err(artifact_check_dirs(f->dir, false, &err), err, ERR_STORE, path);
	assert_non_null(strstr(err.msg, "Not a directory"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(f->dir), 0);
	assert_err(artifact_check_dirs(f->dir, false, &err), err, ERR_STORE, f->dir);
	assert_non_null(strstr(err.msg, "No such file or directory"));
	assert_int_equal(mkdir(f->dir, 0700), 0);
}

/* As a user that may not write there, which root always may. */
static int
try_as_other(const char *dir, const char *want)
{
	char who[64];
	struct err err;

	if (geteuid() == 0 && setuid(65533) != 0)
		return 10;
	if (artifact_check_dirs(dir, false, &err) == 0)
		return 11;
	(void)snprintf(who, sizeof(who), "uid %u", (unsigned)geteuid());
	if (err.code != ERR_STORE || strstr(err.msg, want) == NULL ||
	    strstr(err.msg, who) == NULL ||
	    strstr(err.msg, "that podprof runs as") == NULL) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 12;
	}
	return 0;
}

static void
missing_rights_are_told(void **state)
{
	struct fixture *f = *state;
	char want[400];
	int status, i;
	pid_t pid;

	/* First the state directory, then the one in it. */
	for (i = 0; i < 2; i++) {
		assert_int_equal(chmod(f->dir, i == 0 ? 0555 : 0777), 0);
		(void)snprintf(want, sizeof(want), "the directory %s%s cannot "
		    "be written (Permission denied)", f->dir,
		    i == 0 ? "" : "/artifacts");
		(void)snprintf(f->path, sizeof(f->path), "%s/artifacts",
		    f->dir);
		assert_int_equal(chmod(f->path, 0555), 0);
		pid = fork();
		if (pid == 0)
			_exit(try_as_other(f->dir, want));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	assert_int_equal(chmod(f->dir, 0700), 0);
	assert_int_equal(chmod(f->path, 0700), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(file_appears_when_it_is_whole,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(empty_file_is_whole_too, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(short_writes_are_continued,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(abandoned_file_is_gone, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(leftover_is_replaced, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(write_failures_are_told, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(failed_commit_leaves_nothing,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(
		    settled_meanwhile_is_no_commit, setup, teardown),
		cmocka_unit_test_setup_teardown(whole_file_is_opened, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(only_regular_files_are_opened,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(both_files_are_removed, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(foreign_ids_reach_no_path,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(
		    directories_are_made_and_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(missing_rights_are_told, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
