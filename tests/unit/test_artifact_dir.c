/*
 * The directories of artifacts: made, proved by a write, and with the modes by
 * which the web server's group reads what is shared with it.
 */
#include <errno.h>
#include <grp.h>
#include <sys/wait.h>

#include "artifacts.h"

/* Someone to whom nothing of ours belongs. */
#define STRANGER 65533

/* Fails once with this, at the call after so many; -1: never. */
static int writes_left = -1;
static int fchmods_left = -1;
static int fault_errnum;
/* Whom podprof takes itself for; 0: who it is. */
static uid_t pretended_uid;

ssize_t __wrap_write(int fd, const void *data, size_t len);
ssize_t __real_write(int fd, const void *data, size_t len);
int __wrap_fchmod(int fd, mode_t mode);
int __real_fchmod(int fd, mode_t mode);
uid_t __wrap_geteuid(void);
uid_t __real_geteuid(void);

static int
fails_now(int *left)
{
	if (*left < 0 || (*left)-- > 0)
		return 0;
	errno = fault_errnum;
	return 1;
}

ssize_t
__wrap_write(int fd, const void *data, size_t len)
{
	return fails_now(&writes_left) ? -1 : __real_write(fd, data, len);
}

int
__wrap_fchmod(int fd, mode_t mode)
{
	return fails_now(&fchmods_left) ? -1 : __real_fchmod(fd, mode);
}

uid_t
__wrap_geteuid(void)
{
	return pretended_uid != 0 ? pretended_uid : __real_geteuid();
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	writes_left = fchmods_left = -1;
	pretended_uid = 0;
	(void)chmod(f->dir, 0700);
	(void)chmod(f->artifacts, 0700);
	return remove_fixture(state);
}

static mode_t
mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static gid_t
group_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_gid;
}

/* A group that files can be given to: another than our own, where we are in
 * one. */
static gid_t
other_group(void)
{
	gid_t groups[64];
	int i, len;

	if (__real_geteuid() == 0)
		return STRANGER;
	len = getgroups(64, groups);
	for (i = 0; i < len; i++)
		if (groups[i] != getegid())
			return groups[i];
	return getegid();
}

static void
directories_are_made_and_checked(void **state)
{
	struct fixture *f = *state;
	struct err err;

	assert_int_equal(mode_of(f->artifacts), 0700);
	assert_ok(artifact_check_dirs(f->dir, false, &err), err);
	/* It leaves nothing behind, so the directory is empty. */
	assert_int_equal(rmdir(f->artifacts), 0);
	writes_left = 0;
	fault_errnum = ENOSPC;
	assert_err(artifact_check_dirs(f->dir, false, &err), err, ERR_SPACE,
	    f->dir);
	write_file(f->artifacts, "in the way");
	assert_err(artifact_check_dirs(f->dir, false, &err), err, ERR_STORE,
	    f->artifacts);
	assert_non_null(strstr(err.msg, "Not a directory"));
	assert_int_equal(unlink(f->artifacts), 0);
	assert_int_equal(rmdir(f->dir), 0);
	assert_err(artifact_check_dirs(f->dir, false, &err), err, ERR_STORE,
	    f->dir);
	assert_non_null(strstr(err.msg, "No such file or directory"));
	assert_int_equal(mkdir(f->dir, 0700), 0);
}

static void
mode_is_what_is_asked_for(void **state)
{
	struct fixture *f = *state;
	mode_t old = umask(0777);
	struct err err;

	assert_int_equal(rmdir(f->artifacts), 0);
	assert_ok(artifact_check_dirs(f->dir, true, &err), err);
	(void)umask(old);
	assert_int_equal(mode_of(f->artifacts), 0750);
	assert_ok(artifact_check_dirs(f->dir, false, &err), err);
	assert_int_equal(mode_of(f->artifacts), 0700);
	/* Set from outside, and kept: a directory that passes on its group. */
	assert_int_equal(chmod(f->artifacts, 02777), 0);
	assert_ok(artifact_check_dirs(f->dir, true, &err), err);
	assert_int_equal(mode_of(f->artifacts), 02750);
	/* The state directory is the operator's. */
	assert_int_equal(chmod(f->dir, 0711), 0);
	assert_ok(artifact_check_dirs(f->dir, true, &err), err);
	assert_int_equal(mode_of(f->dir), 0711);
}

static void
mode_of_a_foreign_directory_stays(void **state)
{
	struct fixture *f = *state;
	struct err err;

	assert_int_equal(chmod(f->artifacts, 0775), 0);
	pretended_uid = STRANGER;
	assert_ok(artifact_check_dirs(f->dir, false, &err), err);
	assert_ok(artifact_check_dirs(f->dir, true, &err), err);
	assert_int_equal(mode_of(f->artifacts), 0775);
}

static void
shared_files_are_for_the_group_of_the_directory(void **state)
{
	struct artifact_form forms[2] = {identity_form, zstd_form};
	struct fixture *f = *state;
	gid_t group = other_group();
	struct artifact *artifact;
	struct artifact_sum sum;
	mode_t old = umask(0777);
	struct err err;
	size_t i;

	assert_int_equal(chown(f->artifacts, (uid_t)-1, group), 0);
	assert_ok(artifact_check_dirs(f->dir, true, &err), err);
	for (i = 0; i < 2; i++) {
		forms[i].is_shared = true;
		artifact = create(f, &forms[i]);
		/* Nobody sees more of it than of the whole file. */
		assert_int_equal(mode_of(f->part), 0640);
		assert_int_equal(group_of(f->part), group);
		assert_ok(artifact_write(artifact, "{}", 2, &err), err);
		assert_ok(artifact_commit(&artifact, &sum, &err), err);
	}
	(void)umask(old);
	assert_int_equal(mode_of(f->path), 0640);
	assert_int_equal(group_of(f->path), group);
	assert_int_equal(mode_of(f->zst_path), 0640);
	assert_int_equal(group_of(f->zst_path), group);
	/* And those that are not shared are for nobody. */
	artifact = create(f, &identity_form);
	assert_ok(artifact_commit(&artifact, &sum, &err), err);
	assert_int_equal(mode_of(f->path), 0600);
}

static void
sharing_that_is_not_allowed_is_told(void **state)
{
	struct artifact_form form = zstd_form;
	struct fixture *f = *state;
	struct artifact *artifact = NULL;
	char want[400];
	struct err err;

	form.is_shared = true;
	assert_ok(artifact_check_dirs(f->dir, true, &err), err);
	(void)snprintf(want, sizeof(want), "files in %s cannot be given to "
	    "its group (Operation not permitted), which [artifacts] sendfile "
	    "needs: ", f->artifacts);
	fault_errnum = EPERM;
	fchmods_left = 0;
	assert_err(artifact_check_dirs(f->dir, true, &err), err, ERR_STORE,
	    want);
	assert_non_null(strstr(err.msg, "must be a member of it"));
	fchmods_left = 0;
	assert_err(artifact_create(f->dir, JOB, "heapsnapshot", &form,
	    &artifact, &err), err, ERR_STORE, want);
	assert_null(artifact);
	assert_false(is_there(f->part));
	/* The check has left nothing either. */
	assert_int_equal(rmdir(f->artifacts), 0);
}

static void
probe_is_not_led_elsewhere(void **state)
{
	struct fixture *f = *state;
	char victim[300], probe[400];
	struct err err;

	(void)snprintf(victim, sizeof(victim), "%s/victim", f->dir);
	(void)snprintf(probe, sizeof(probe), "%s/.write-test", f->artifacts);
	write_file(victim, "keep");
	assert_int_equal(symlink(victim, probe), 0);
	assert_err(artifact_check_dirs(f->dir, true, &err), err, ERR_STORE,
	    f->artifacts);
	assert_text(victim, "keep");
	assert_int_equal(unlink(probe), 0);
	/* One that a killed check has left is nothing. */
	write_file(probe, "");
	assert_ok(artifact_check_dirs(f->dir, true, &err), err);
	assert_false(is_there(probe));
}

/* A check as a user who is not root, to whom every mode says yes; the exit
 * status tells. */
typedef int check_fn(const struct fixture *f, const char *want);

static void
expect_as_stranger(const struct fixture *f, check_fn *check, const char *want)
{
	int status;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		if (__real_geteuid() == 0 && (setgroups(0, NULL) != 0 ||
		    setgid(STRANGER) != 0 || setuid(STRANGER) != 0))
			_exit(10);
		_exit(check(f, want));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int
is_refused(const struct fixture *f, const char *want)
{
	char who[64];
	struct err err;

	if (artifact_check_dirs(f->dir, false, &err) == 0)
		return 11;
	(void)snprintf(who, sizeof(who), "uid %u", (unsigned)STRANGER);
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
	int i;

	/* First the state directory, then the one in it. */
	for (i = 0; i < 2; i++) {
		assert_int_equal(chmod(f->dir, i == 0 ? 0555 : 0777), 0);
		assert_int_equal(chmod(f->artifacts, 0555), 0);
		/* Who owns it gets its mode right, and so does a stranger
		 * what he was told. */
		pretended_uid = __real_geteuid() == 0 ? 0 : STRANGER;
		(void)snprintf(want, sizeof(want), "the directory %s cannot "
		    "be written (Permission denied)",
		    i == 0 ? f->dir : f->artifacts);
		expect_as_stranger(f, is_refused, want);
	}
}

static int
is_fine(const struct fixture *f, const char *want)
{
	struct err err;

	(void)want;
	if (artifact_check_dirs(f->dir, false, &err) == 0)
		return 0;
	(void)fprintf(stderr, "%s\n", err.msg);
	return 13;
}

static void
state_directory_need_not_be_listed(void **state)
{
	struct fixture *f = *state;

	if (__real_geteuid() == 0) {
		assert_int_equal(chown(f->dir, STRANGER, STRANGER), 0);
		assert_int_equal(chown(f->artifacts, STRANGER, STRANGER), 0);
	}
	assert_int_equal(chmod(f->dir, 0300), 0);
	assert_int_equal(chmod(f->artifacts, 0755), 0);
	expect_as_stranger(f, is_fine, NULL);
	assert_int_equal(chmod(f->dir, 0700), 0);
	assert_int_equal(mode_of(f->artifacts), 0700);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(directories_are_made_and_checked),
		TEST(mode_is_what_is_asked_for),
		TEST(mode_of_a_foreign_directory_stays),
		TEST(shared_files_are_for_the_group_of_the_directory),
		TEST(sharing_that_is_not_allowed_is_told),
		TEST(probe_is_not_led_elsewhere),
		TEST(missing_rights_are_told),
		TEST(state_directory_need_not_be_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
