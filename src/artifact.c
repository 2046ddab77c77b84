/*
 * Artifact files: written under a temporary name with the digests taken on the
 * way, whole under their final one, and read back in either coding.
 */
#include "artifact.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "pack.h"
#include "str.h"

#define WHO_MAX 320

/* Made and removed by the check; one name, so that a check which was killed
 * leaves one file at most. */
#define PROBE ".write-test"

#define DIR_MODE 0700
#define DIR_MODE_SHARED 0750
#define LOCK_TRIES 10
#define LOCK_RETRY_MS 1

/* What a name ends in, after the extension. */
static const char *const suffixes[] = {
	[ARTIFACT_IDENTITY] = "",
	[ARTIFACT_ZSTD] = ".zst",
};
static const char *const coding_names[] = {
	[ARTIFACT_IDENTITY] = "identity",
	[ARTIFACT_ZSTD] = "zstd",
};
#define CODINGS (sizeof(suffixes) / sizeof(suffixes[0]))

struct artifact {
	int fd;			/* -1 once closed */
	enum artifact_coding coding;
	char *dir;
	char *part_path;
	char *path;
	struct pack *pack;	/* NULL: stored as it comes */
	struct digest *digest;
	struct digest *stored_digest;	/* with pack only */
	int64_t size;
	int64_t stored;
	char first;
	char last;
};

struct artifact_reader {
	int fd;
	enum artifact_coding coding;
	int64_t size;
	int64_t stored;
	struct unpack *unpack;	/* NULL: stored as it was captured */
};

struct artifact_scan {
	DIR *dir;
};

const char *
artifact_coding_name(enum artifact_coding coding)
{
	return coding_names[coding];
}

int
artifact_coding_of_name(const char *name)
{
	size_t i;

	for (i = 0; name != NULL && i < CODINGS; i++)
		if (strcmp(coding_names[i], name) == 0)
			return (int)i;
	return -1;
}

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

/* Let the group of the directory, which is the web server's, read a file. */
static int
share_file(int dir_fd, int fd)
{
	struct stat dir, file;

	if (fstat(dir_fd, &dir) != 0 || fstat(fd, &file) != 0)
		return -1;
	if (file.st_gid != dir.st_gid &&
	    fchown(fd, (uid_t)-1, dir.st_gid) != 0)
		return -1;
	return fchmod(fd, 0640);
}

static int
refuse_sharing(const char *dir, int errnum, struct err *err)
{
	char who[WHO_MAX];

	format_self(who);
	return err_set(err, ERR_STORE, "files in %s cannot be given to its "
	    "group (%s), which [artifacts] sendfile needs: %s must be a member "
	    "of it", dir, strerrordesc_np(errnum), who);
}

/* A real write: a full disk or one that is read-only shows only then. */
static int
probe_dir(int dir_fd, const char *dir, bool is_shared, struct err *err)
{
	int fd, errnum = 0, share_errnum = 0;

	fd = openat(dir_fd, PROBE,
	    O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd < 0)
		return refuse_dir(dir, errno, err);
	if (write(fd, "x", 1) != 1)
		errnum = errno;
	if (errnum == 0 && is_shared && share_file(dir_fd, fd) != 0)
		share_errnum = errno;
	(void)close(fd);
	/* Another check may have removed it. */
	if (unlinkat(dir_fd, PROBE, 0) != 0 && errno != ENOENT && errnum == 0)
		errnum = errno;
	if (errnum != 0)
		return refuse_dir(dir, errnum, err);
	return share_errnum == 0 ? 0 : refuse_sharing(dir, share_errnum, err);
}

/* Give the directory its mode, where it is ours. */
static int
set_dir_mode(int dir_fd, mode_t mode)
{
	struct stat st;

	if (fstat(dir_fd, &st) != 0)
		return -1;
	if (st.st_uid != geteuid() || (st.st_mode & 0777) == mode)
		return 0;
	return fchmod(dir_fd, (st.st_mode & S_ISGID) | mode);
}

/* mode 0: the directory has one that is not ours to set. */
static int
check_dir(const char *dir, mode_t mode, struct err *err)
{
	int fd, rc;

	/* The state directory need not be readable: nobody lists it. */
	fd = open(dir, (mode == 0 ? O_PATH : O_RDONLY) | O_DIRECTORY |
	    O_CLOEXEC);
	if (fd < 0)
		return refuse_dir(dir, errno, err);
	if (mode != 0 && set_dir_mode(fd, mode) != 0)
		rc = refuse_dir(dir, errno, err);
	else
		rc = probe_dir(fd, dir, mode == DIR_MODE_SHARED, err);
	(void)close(fd);
	return rc;
}

static int
artifacts_dir(const char *state_dir, char out[ARTIFACT_PATH_MAX],
    struct err *err)
{
	if (snprintf(out, ARTIFACT_PATH_MAX, "%s/artifacts", state_dir) >=
	    ARTIFACT_PATH_MAX)
		return refuse_dir(state_dir, ENAMETOOLONG, err);
	return 0;
}

int
artifact_check_dirs(const char *state_dir, bool is_shared, struct err *err)
{
	const mode_t mode = is_shared ? DIR_MODE_SHARED : DIR_MODE;
	char dir[ARTIFACT_PATH_MAX];

	if (artifacts_dir(state_dir, dir, err) != 0 ||
	    check_dir(state_dir, 0, err) != 0 ||
	    file_make_dir(dir, mode, err) != 0)
		return -1;
	return check_dir(dir, mode, err);
}

void
artifact_file_name(const char *job_id, const char *extension,
    enum artifact_coding coding, char out[ARTIFACT_NAME_MAX])
{
	(void)snprintf(out, ARTIFACT_NAME_MAX, "%s.%s%s", job_id, extension,
	    suffixes[coding]);
}

/* The path of a job's file; *ret_path is the caller's to free. */
static int
make_path(const char *state_dir, const char *job_id, const char *extension,
    enum artifact_coding coding, char **ret_path, struct err *err)
{
	char name[ARTIFACT_NAME_MAX];
	char *path;

	/* An id comes from a row or a command line: look before it is part of
	 * a path. */
	if (!uuid_is_valid(job_id) || !str_is_name(extension) ||
	    strlen(extension) >= ARTIFACT_EXTENSION_MAX)
		return err_set(err, ERR_INTERNAL, "\"%.64s.%.32s\" is no "
		    "artifact's name", job_id, extension);
	artifact_file_name(job_id, extension, coding, name);
	if (asprintf(&path, "%s/artifacts/%s", state_dir, name) < 0)
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
	pack_free(&(*artifact)->pack);
	digest_free(&(*artifact)->digest);
	digest_free(&(*artifact)->stored_digest);
	free((*artifact)->dir);
	free((*artifact)->part_path);
	free((*artifact)->path);
	free(*artifact);
	*artifact = NULL;
}

static int
share_part(struct artifact *artifact)
{
	int dir_fd = open(artifact->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	if (dir_fd < 0)
		return -1;
	rc = share_file(dir_fd, artifact->fd);
	(void)close(dir_fd);
	return rc;
}

static int
make_part(const struct artifact *artifact)
{
	return open(artifact->part_path, O_WRONLY | O_CREAT | O_EXCL |
	    O_NOFOLLOW | O_CLOEXEC, 0600);
}

static int
open_part(struct artifact *artifact, bool is_shared, struct err *err)
{
	/* A file of its own, whatever a dead capture has left there. */
	if (unlink(artifact->part_path) != 0 && errno != ENOENT)
		return err_set_errno(err, ERR_STORE, errno,
		    "cannot remove %s", artifact->part_path);
	artifact->fd = make_part(artifact);
	/* The directory is made anew where the state was replaced. */
	if (artifact->fd < 0 && errno == ENOENT) {
		if (file_make_dir(artifact->dir, is_shared ? DIR_MODE_SHARED :
		    DIR_MODE, err) != 0)
			return -1;
		artifact->fd = make_part(artifact);
	}
	if (artifact->fd < 0)
		return err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot make %s", artifact->part_path);
	if (is_shared && share_part(artifact) != 0) {
		(void)refuse_sharing(artifact->dir, errno, err);
		(void)unlink(artifact->part_path);
		return -1;
	}
	return 0;
}

/* Bytes on their way to the file; stored_digest is of these. */
static int
store(void *ctx, const void *data, size_t len, struct err *err)
{
	struct artifact *artifact = ctx;

	if (file_write(artifact->fd, data, len, err) != 0)
		return err_wrap(err, "%s", artifact->part_path);
	if (artifact->stored_digest != NULL)
		digest_update(artifact->stored_digest, data, len);
	artifact->stored += (int64_t)len;
	return 0;
}

static int
open_coding(struct artifact *artifact, int level, struct err *err)
{
	if (digest_new(&artifact->digest, err) != 0)
		return -1;
	if (artifact->coding == ARTIFACT_IDENTITY)
		return 0;
	if (digest_new(&artifact->stored_digest, err) != 0)
		return -1;
	return pack_new(level, store, artifact, &artifact->pack, err);
}

int
artifact_create(const char *state_dir, const char *job_id,
    const char *extension, const struct artifact_form *form,
    struct artifact **ret_artifact, struct err *err)
{
	struct artifact *artifact = NULL;
	int rc = -1;

	artifact = calloc(1, sizeof(*artifact));
	if (artifact == NULL)
		return err_set(err, ERR_NOMEM, "no memory for an artifact");
	artifact->fd = -1;
	artifact->coding = form->coding;
	if (make_path(state_dir, job_id, ARTIFACT_PART, ARTIFACT_IDENTITY,
	    &artifact->part_path, err) != 0)
		goto out;
	if (make_path(state_dir, job_id, extension, form->coding,
	    &artifact->path, err) != 0)
		goto out;
	artifact->dir = strndup(artifact->path,
	    (size_t)(strrchr(artifact->path, '/') - artifact->path));
	if (artifact->dir == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for a path");
		goto out;
	}
	if (open_coding(artifact, form->level, err) != 0 ||
	    open_part(artifact, form->is_shared, err) != 0)
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
	int rc;

	if (len == 0)
		return 0;
	if (artifact->pack != NULL)
		rc = pack_write(artifact->pack, data, len, err);
	else
		rc = store(artifact, data, len, err);
	if (rc != 0)
		return -1;
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

int64_t
artifact_stored_bytes(const struct artifact *artifact)
{
	return artifact->stored;
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

	out->coding = artifact->coding;
	out->size_bytes = artifact->size;
	digest_finish(artifact->digest, sha256);
	str_hex(sha256, sizeof(sha256), out->sha256);
	out->stored_bytes = artifact->stored;
	if (artifact->stored_digest != NULL)
		digest_finish(artifact->stored_digest, sha256);
	str_hex(sha256, sizeof(sha256), out->stored_sha256);
}

/* Everything on disk, then the name, then the name on disk. */
static int
publish(struct artifact *artifact, struct err *err)
{
	int fd = artifact->fd;

	if (artifact->pack != NULL && pack_finish(artifact->pack, err) != 0)
		return -1;
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
	/* It was removed between our open() and our lock. */
	if (st.st_nlink == 0)
		return err_set(err, ERR_GONE, "%s is not there any more", path);
	if (st.st_size != stored_bytes)
		return err_set(err, ERR_GONE, "%s has %lld bytes, but %lld "
		    "were written: it was changed or damaged", path,
		    (long long)st.st_size, (long long)stored_bytes);
	return 0;
}

/* Non-blocking: not to wait for the other end of a FIFO. */
static int
open_whole(const char *path)
{
	return open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
	    O_CLOEXEC);
}

/*
 * Whoever looks whether it is read, or removes it, has it locked for a moment.
 * Should it not be had, the file is read to its end all the same, but may be
 * removed meanwhile.
 */
static void
lock_shared(int fd)
{
	const struct timespec pause = { 0, LOCK_RETRY_MS * 1000000L };
	int i;

	for (i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
			return;
		(void)nanosleep(&pause, NULL);
	}
}

static int
open_reader(struct artifact_reader *reader, const char *path, struct err *err)
{
	reader->fd = open_whole(path);
	if (reader->fd < 0 && errno == ENOENT)
		return err_set(err, ERR_GONE, "%s is not there any more", path);
	if (reader->fd < 0)
		return err_set_errno(err, ERR_STORE, errno, "cannot open %s",
		    path);
	lock_shared(reader->fd);
	if (check_whole(reader->fd, path, reader->stored, err) != 0)
		return -1;
	if (reader->coding == ARTIFACT_ZSTD && unpack_new(reader->fd,
	    reader->stored, reader->size, &reader->unpack, err) != 0)
		return err_wrap(err, "%s", path);
	return 0;
}

int
artifact_open(const char *state_dir, const char *job_id,
    const char *extension, const struct artifact_sum *sum,
    struct artifact_reader **ret_reader, struct err *err)
{
	struct artifact_reader *reader = NULL;
	char *path = NULL;
	int rc = -1;

	if (make_path(state_dir, job_id, extension, sum->coding, &path,
	    err) != 0)
		return -1;
	reader = calloc(1, sizeof(*reader));
	if (reader == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for a reader");
		goto out;
	}
	reader->fd = -1;
	reader->coding = sum->coding;
	reader->size = sum->size_bytes;
	reader->stored = sum->stored_bytes;
	if (open_reader(reader, path, err) != 0)
		goto out;
	*ret_reader = reader;
	reader = NULL;
	rc = 0;
out:
	artifact_close(&reader);
	free(path);
	return rc;
}

static int64_t
read_stored(const struct artifact_reader *reader, int64_t at, void *out,
    size_t len, struct err *err)
{
	ssize_t n;

	if (at >= reader->stored)
		return 0;
	if ((int64_t)len > reader->stored - at)
		len = (size_t)(reader->stored - at);
	do
		n = pread(reader->fd, out, len, at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set_errno(err, ERR_STORE, errno, "the artifact");
	if (n == 0 && len > 0)
		return err_set(err, ERR_STORE,
		    "the artifact became shorter while it was read");
	return n;
}

int64_t
artifact_read(struct artifact_reader *reader, enum artifact_coding coding,
    int64_t at, void *out, size_t len, struct err *err)
{
	if (coding == reader->coding)
		return read_stored(reader, at, out, len, err);
	assert(reader->unpack != NULL);
	return unpack_read(reader->unpack, at, out, len, err);
}

void
artifact_close(struct artifact_reader **reader)
{
	if (reader == NULL || *reader == NULL)
		return;
	unpack_free(&(*reader)->unpack);
	if ((*reader)->fd >= 0)
		(void)close((*reader)->fd);
	free(*reader);
	*reader = NULL;
}

/* Whether somebody reads the file; if not, it stays so until *ret_fd is closed
 * or the file removed. */
static bool
is_read(const char *path, int *ret_fd)
{
	int fd = open_whole(path);

	*ret_fd = fd;
	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 &&
	    errno == EWOULDBLOCK;
}

bool
artifact_is_read(const char *state_dir, const char *job_id,
    const char *extension, enum artifact_coding coding)
{
	char *path = NULL;
	int fd = -1;
	bool is;

	if (make_path(state_dir, job_id, extension, coding, &path, NULL) != 0)
		return false;
	is = is_read(path, &fd);
	if (fd >= 0)
		(void)close(fd);
	free(path);
	return is;
}

static int
remove_path(const char *path, bool spare_readers, struct err *err)
{
	int fd = -1, rc = 0;

	if (spare_readers && is_read(path, &fd))
		rc = err_set(err, ERR_CONFLICT, "%s is being read", path);
	else if (unlink(path) != 0 && errno != ENOENT)
		rc = err_set_errno(err, ERR_STORE, errno, "cannot remove %s",
		    path);
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

static int
remove_file(const char *state_dir, const char *job_id, const char *extension,
    enum artifact_coding coding, bool spare_readers, struct err *err)
{
	char *path = NULL;
	int rc;

	if (make_path(state_dir, job_id, extension, coding, &path, err) != 0)
		return -1;
	rc = remove_path(path, spare_readers, err);
	free(path);
	return rc;
}

int
artifact_remove(const char *state_dir, const char *job_id,
    const char *extension, bool spare_readers, struct err *err)
{
	int rc = remove_file(state_dir, job_id, ARTIFACT_PART,
	    ARTIFACT_IDENTITY, false, err);
	size_t i;

	/* All are tried; the first failure is told. */
	for (i = 0; i < CODINGS; i++)
		if (remove_file(state_dir, job_id, extension,
		    (enum artifact_coding)i, spare_readers,
		    rc == 0 ? err : NULL) != 0)
			rc = -1;
	return rc;
}

int
artifact_scan_open(const char *state_dir, struct artifact_scan **ret_scan,
    struct err *err)
{
	struct artifact_scan *scan = NULL;
	char dir[ARTIFACT_PATH_MAX];

	if (artifacts_dir(state_dir, dir, err) != 0)
		return -1;
	scan = calloc(1, sizeof(*scan));
	if (scan == NULL)
		return err_set(err, ERR_NOMEM, "no memory to list %s", dir);
	scan->dir = opendir(dir);
	if (scan->dir == NULL) {
		free(scan);
		return err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot list %s", dir);
	}
	*ret_scan = scan;
	return 0;
}

/* "ID.EXTENSION" or "ID.EXTENSION.zst"; false for any other name. */
static bool
parse_name(const char *name, struct artifact_entry *out)
{
	const char *extension = name + UUID_MAX;
	size_t i, len, tail;

	if (strlen(name) < UUID_MAX + 1 || strlen(name) >= sizeof(out->name) ||
	    name[UUID_MAX - 1] != '.')
		return false;
	memcpy(out->job_id, name, UUID_MAX - 1);
	out->job_id[UUID_MAX - 1] = '\0';
	if (!uuid_is_valid(out->job_id))
		return false;
	out->coding = ARTIFACT_IDENTITY;
	len = strlen(extension);
	for (i = 0; i < CODINGS; i++) {
		tail = strlen(suffixes[i]);
		if (tail == 0 || len <= tail ||
		    strcmp(extension + len - tail, suffixes[i]) != 0)
			continue;
		out->coding = (enum artifact_coding)i;
		len -= tail;
	}
	if (len == 0 || len >= sizeof(out->extension) ||
	    memchr(extension, '.', len) != NULL)
		return false;
	memcpy(out->extension, extension, len);
	out->extension[len] = '\0';
	(void)str_copy(out->name, sizeof(out->name), name);
	return true;
}

int
artifact_scan_next(struct artifact_scan *scan,
    struct artifact_entry *ret_entry, struct err *err)
{
	const struct dirent *entry;

	for (;;) {
		errno = 0;
		entry = readdir(scan->dir);
		if (entry == NULL && errno != 0)
			return err_set_errno(err, ERR_STORE, errno,
			    "cannot list artifacts/");
		if (entry == NULL)
			return 0;
		if (parse_name(entry->d_name, ret_entry))
			return 1;
	}
}

int
artifact_scan_remove(struct artifact_scan *scan,
    const struct artifact_entry *entry, struct err *err)
{
	if (unlinkat(dirfd(scan->dir), entry->name, 0) == 0 ||
	    errno == ENOENT)
		return 0;
	return err_set_errno(err, ERR_STORE, errno,
	    "cannot remove artifacts/%s", entry->name);
}

void
artifact_scan_close(struct artifact_scan **scan)
{
	if (scan == NULL || *scan == NULL)
		return;
	(void)closedir((*scan)->dir);
	free(*scan);
	*scan = NULL;
}

int
artifact_is_there(const char *state_dir, const char *job_id,
    const char *extension, const struct artifact_sum *sum, bool *ret_is_there,
    struct err *err)
{
	char *path = NULL;
	struct stat st;
	int rc = 0;

	if (make_path(state_dir, job_id, extension, sum->coding, &path,
	    err) != 0)
		return -1;
	if (lstat(path, &st) == 0)
		*ret_is_there = S_ISREG(st.st_mode) &&
		    st.st_size == sum->stored_bytes;
	else if (errno == ENOENT)
		*ret_is_there = false;
	else
		rc = err_set_errno(err, ERR_STORE, errno, "%s", path);
	free(path);
	return rc;
}

bool
artifact_scan_is_current(const struct artifact_scan *scan,
    const char *state_dir)
{
	char dir[ARTIFACT_PATH_MAX];
	struct stat ours, there;

	return artifacts_dir(state_dir, dir, NULL) == 0 &&
	    fstat(dirfd(scan->dir), &ours) == 0 && stat(dir, &there) == 0 &&
	    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

int
artifact_free_bytes(const char *state_dir, int64_t *ret_bytes,
    struct err *err)
{
	char dir[ARTIFACT_PATH_MAX];

	if (artifacts_dir(state_dir, dir, err) != 0)
		return -1;
	/* It is made where it is missing. */
	return file_free_bytes(access(dir, F_OK) == 0 ? dir : state_dir,
	    ret_bytes, err);
}
