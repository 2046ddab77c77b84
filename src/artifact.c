/*
 * Artifact files: written under a temporary name with the digest taken on the
 * way, whole under their final one.  Files are stored as they are sent, so
 * both sums are the same.
 */
#include "artifact.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "str.h"
#include "uuid.h"

#define PART "part"
#define WHO_MAX 320

/* Made and removed by the check; one name, so that a check which was killed
 * leaves one file at most. */
#define PROBE ".write-test"

struct artifact {
	int fd;			/* -1 once closed */
	char *dir;
	char *part_path;
	char *path;
	struct digest *digest;
	int64_t size;
	char first;
	char last;
};

/* "user podprof (uid 998)" */
static void
format_self(char out[WHO_MAX])
{
	char space[1024];
	struct passwd entry, *found = NULL;
	uid_t uid = geteuid();

	if (getpwuid_r(uid, &entry, space, sizeof(space), &found) != 0 ||
	    found == NULL)
		(void)snprintf(out, WHO_MAX, "uid %u", (unsigned)uid);
	else
		(void)snprintf(out, WHO_MAX, "user %.256s (uid %u)",
		    entry.pw_name, (unsigned)uid);
}

static int
refuse_dir(const char *dir, int errnum, struct err *err)
{
	char who[WHO_MAX];

	if (err_code_of_errno(errnum) == ERR_SPACE)
		return err_set_errno(err, ERR_SPACE, errnum,
		    "the directory %s cannot be written", dir);
	format_self(who);
	return err_set(err, ERR_STORE, "the directory %s cannot be written "
	    "(%s): it must be there, and belong to %s that podprof runs as",
	    dir, strerrordesc_np(errnum), who);
}

/* A real write: a full disk or one that is read-only shows only then. */
static int
check_dir(const char *dir, struct err *err)
{
	char path[ARTIFACT_PATH_MAX];
	int fd, errnum = 0;

	if (snprintf(path, sizeof(path), "%s/" PROBE, dir) >=
	    (int)sizeof(path))
		return refuse_dir(dir, ENAMETOOLONG, err);
	fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return refuse_dir(dir, errno, err);
	if (write(fd, "x", 1) != 1)
		errnum = errno;
	(void)close(fd);
	/* Another check may have removed it. */
	if (unlink(path) != 0 && errno != ENOENT && errnum == 0)
		errnum = errno;
	return errnum == 0 ? 0 : refuse_dir(dir, errnum, err);
}

int
artifact_check_dirs(const char *state_dir, struct err *err)
{
	char dir[ARTIFACT_PATH_MAX];

	if (snprintf(dir, sizeof(dir), "%s/artifacts", state_dir) >=
	    (int)sizeof(dir))
		return refuse_dir(state_dir, ENAMETOOLONG, err);
	if (check_dir(state_dir, err) != 0 ||
	    file_make_dir(dir, 0700, err) != 0)
		return -1;
	return check_dir(dir, err);
}

/* The path of a job's file; *ret_path is the caller's to free. */
static int
make_path(const char *state_dir, const char *job_id, const char *extension,
    char **ret_path, struct err *err)
{
	char *path;

	/* An id comes from a row or a command line: look before it is part of
	 * a path. */
	if (!uuid_is_valid(job_id) || !str_is_name(extension))
		return err_set(err, ERR_INTERNAL, "\"%.64s.%.32s\" is no "
		    "artifact's name", job_id, extension);
	if (asprintf(&path, "%s/artifacts/%s.%s", state_dir, job_id,
	    extension) < 0)
		return err_set(err, ERR_NOMEM, "no memory for a path");
	*ret_path = path;
	return 0;
}

static void
artifact_free(struct artifact **artifact)
{
	if (*artifact == NULL)
		return;
	if ((*artifact)->fd >= 0)
		(void)close((*artifact)->fd);
	digest_free(&(*artifact)->digest);
	free((*artifact)->dir);
	free((*artifact)->part_path);
	free((*artifact)->path);
	free(*artifact);
	*artifact = NULL;
}

static int
open_part(struct artifact *artifact, struct err *err)
{
	/* A file of its own, whatever a dead capture has left there. */
	if (unlink(artifact->part_path) != 0 && errno != ENOENT)
		return err_set_errno(err, ERR_STORE, errno,
		    "cannot remove %s", artifact->part_path);
	artifact->fd = open(artifact->part_path, O_WRONLY | O_CREAT | O_EXCL |
	    O_NOFOLLOW | O_CLOEXEC, 0600);
	if (artifact->fd < 0)
		return err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot make %s", artifact->part_path);
	return 0;
}

int
artifact_create(const char *state_dir, const char *job_id,
    const char *extension, struct artifact **ret_artifact, struct err *err)
{
	struct artifact *artifact = NULL;
	int rc = -1;

	artifact = calloc(1, sizeof(*artifact));
	if (artifact == NULL)
		return err_set(err, ERR_NOMEM, "no memory for an artifact");
	artifact->fd = -1;
	if (make_path(state_dir, job_id, PART, &artifact->part_path, err) != 0)
		goto out;
	if (make_path(state_dir, job_id, extension, &artifact->path, err) != 0)
		goto out;
	artifact->dir = strndup(artifact->path,
	    (size_t)(strrchr(artifact->path, '/') - artifact->path));
	if (artifact->dir == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for a path");
		goto out;
	}
	if (digest_new(&artifact->digest, err) != 0)
		goto out;
	if (open_part(artifact, err) != 0)
		goto out;
	*ret_artifact = artifact;
	artifact = NULL;
	rc = 0;
out:
	artifact_free(&artifact);
	return rc;
}

int
artifact_write(struct artifact *artifact, const void *data, size_t len,
    struct err *err)
{
	const char *bytes = data;

	if (len == 0)
		return 0;
	if (file_write(artifact->fd, data, len, err) != 0)
		return err_wrap(err, "%s", artifact->part_path);
	digest_update(artifact->digest, data, len);
	if (artifact->size == 0)
		artifact->first = bytes[0];
	artifact->last = bytes[len - 1];
	artifact->size += (int64_t)len;
	return 0;
}

int64_t
artifact_size(const struct artifact *artifact)
{
	return artifact->size;
}

char
artifact_first(const struct artifact *artifact)
{
	return artifact->first;
}

char
artifact_last(const struct artifact *artifact)
{
	return artifact->last;
}

static void
finish_sum(struct artifact *artifact, struct artifact_sum *out)
{
	unsigned char sha256[DIGEST_BYTES];

	digest_finish(artifact->digest, sha256);
	out->size_bytes = artifact->size;
	str_hex(sha256, sizeof(sha256), out->sha256);
	out->stored_bytes = out->size_bytes;
	memcpy(out->stored_sha256, out->sha256, sizeof(out->stored_sha256));
}

/* Everything on disk, then the name, then the name on disk. */
static int
publish(struct artifact *artifact, struct err *err)
{
	int fd = artifact->fd;

	if (file_sync(fd, err) != 0)
		return err_wrap(err, "%s", artifact->part_path);
	artifact->fd = -1;
	/* Network file systems report a failed write as late as here. */
	if (close(fd) != 0 && errno != EINTR)
		return err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot write %s", artifact->part_path);
	if (rename(artifact->part_path, artifact->path) != 0)
		return err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot rename %s to %s", artifact->part_path,
		    artifact->path);
	if (file_sync_dir(artifact->dir, err) != 0) {
		(void)unlink(artifact->path);
		return -1;
	}
	return 0;
}

int
artifact_commit(struct artifact **artifact, struct artifact_sum *ret_sum,
    struct err *err)
{
	if (publish(*artifact, err) != 0) {
		artifact_abandon(artifact);
		return -1;
	}
	finish_sum(*artifact, ret_sum);
	artifact_free(artifact);
	return 0;
}

void
artifact_abandon(struct artifact **artifact)
{
	if (artifact == NULL || *artifact == NULL)
		return;
	(void)unlink((*artifact)->part_path);
	artifact_free(artifact);
}

static int
check_whole(int fd, const char *path, int64_t stored_bytes, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return err_set_errno(err, ERR_STORE, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_STORE, "%s is not a regular file",
		    path);
	if (st.st_size != stored_bytes)
		return err_set(err, ERR_STORE, "%s has %lld bytes, but %lld "
		    "were written: it was changed or damaged", path,
		    (long long)st.st_size, (long long)stored_bytes);
	return 0;
}

int
artifact_open(const char *state_dir, const char *job_id,
    const char *extension, int64_t stored_bytes, int *ret_fd,
    struct err *err)
{
	char *path = NULL;
	int fd = -1, rc = -1;

	if (make_path(state_dir, job_id, extension, &path, err) != 0)
		return -1;
	/* Non-blocking: not to wait for the other end of a FIFO. */
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
	    O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		(void)err_set(err, ERR_GONE, "%s is not there any more", path);
		goto out;
	}
	if (fd < 0) {
		(void)err_set_errno(err, ERR_STORE, errno, "cannot open %s",
		    path);
		goto out;
	}
	if (check_whole(fd, path, stored_bytes, err) != 0)
		goto out;
	*ret_fd = fd;
	fd = -1;
	rc = 0;
out:
	if (fd >= 0)
		(void)close(fd);
	free(path);
	return rc;
}

static int
remove_file(const char *state_dir, const char *job_id, const char *extension,
    struct err *err)
{
	char *path = NULL;
	int rc = 0;

	if (make_path(state_dir, job_id, extension, &path, err) != 0)
		return -1;
	if (unlink(path) != 0 && errno != ENOENT)
		rc = err_set_errno(err, ERR_STORE, errno, "cannot remove %s",
		    path);
	free(path);
	return rc;
}

int
artifact_remove(const char *state_dir, const char *job_id,
    const char *extension, struct err *err)
{
	int rc = remove_file(state_dir, job_id, PART, err);

	/* Both are tried; the first failure is told. */
	if (remove_file(state_dir, job_id, extension,
	    rc == 0 ? err : NULL) != 0)
		rc = -1;
	return rc;
}
