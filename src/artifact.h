/*
 * Artifact files below STATE_DIR/artifacts, and the state directory itself.
 *
 *	ID.part              being written, by the job's podprof-capture alone
 *	ID.heapsnapshot      whole: written, fsynced, then renamed; the same
 *	ID.cpuprofile        for coding "identity"
 *	ID.heapsnapshot.zst  whole, coding "zstd": see pack.h
 *	ID.cpuprofile.zst
 *
 * The file's name is made of the job's id, kind and coding only, so that
 * nothing a request brings reaches a path.
 *
 * A reader holds a shared lock (flock(2)) on the file, by which whoever makes
 * room knows that it is in use.
 */
#ifndef PODPROF_ARTIFACT_H
#define PODPROF_ARTIFACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "digest.h"
#include "err.h"
#include "uuid.h"

#define ARTIFACT_PATH_MAX 4096

/* How bytes are stored, and how they can be sent: a file stored with zstd can
 * be had in both codings, one stored as identity in that only. */
enum artifact_coding { ARTIFACT_IDENTITY, ARTIFACT_ZSTD };

/* "identity", "zstd"; and back, -1 if there is none. */
const char *artifact_coding_name(enum artifact_coding coding);
int artifact_coding_of_name(const char *name);

/*
 * Make STATE_DIR/artifacts where missing and prove by a real write that both
 * directories can be written: some file systems only tell then.
 *
 * is_shared  the web server's group, which is that of the directory
 *            artifacts/, may read: mode 0750 instead of 0700, and files can be
 *            given to that group.
 *
 *   ERR_STORE  names the directory, the reason, and whom it must belong to
 *   ERR_SPACE
 */
MUST int artifact_check_dirs(const char *state_dir, bool is_shared,
    struct err *err);

/* What is known of a whole file. */
struct artifact_sum {
	enum artifact_coding coding;
	int64_t size_bytes;		/* as captured */
	char sha256[DIGEST_HEX_MAX];
	int64_t stored_bytes;		/* as stored; the same for identity */
	char stored_sha256[DIGEST_HEX_MAX];
};

/* How a new one is to be stored. */
struct artifact_form {
	enum artifact_coding coding;
	int level;		/* of zstd, 1..19 */
	bool is_shared;		/* see artifact_check_dirs(); mode 0640 */
};

struct artifact;	/* one that is being written */

/*
 * Open ID.part (0600).  One that is there already is from a capture that
 * died: it is removed.  artifacts/ is made where it is missing.
 *
 * extension  "heapsnapshot", "cpuprofile", "heapprofile".
 */
MUST int artifact_create(const char *state_dir, const char *job_id,
    const char *extension, const struct artifact_form *form,
    struct artifact **ret_artifact, struct err *err);

/* Append.  Blocks for the disk; memory does not grow but for 4 bytes a
 * mebibyte (see pack.h). */
MUST int artifact_write(struct artifact *artifact, const void *data,
    size_t len, struct err *err);

/* Bytes given to artifact_write() so far, and bytes in the file. */
int64_t artifact_size(const struct artifact *artifact);
int64_t artifact_stored_bytes(const struct artifact *artifact);

/* The first and last byte written, to see whether it can be whole JSON;
 * 0 while there is none. */
char artifact_first(const struct artifact *artifact);
char artifact_last(const struct artifact *artifact);

/*
 * Finish the coding, fsync, rename to the final name, fsync the directory.  On
 * failure no file is left.  Frees *artifact either way.
 */
MUST int artifact_commit(struct artifact **artifact,
    struct artifact_sum *ret_sum, struct err *err);

/* Remove the temporary file and free; NULL is allowed. */
void artifact_abandon(struct artifact **artifact);

struct artifact_reader;

/*
 * Open a whole file for reading, as sum describes it.
 *   ERR_GONE   there is no such file, or it is not stored_bytes long
 *   ERR_STORE  it cannot be opened, is no regular file, or does not end in the
 *              table that zstd's coding has
 *   ERR_NOMEM
 */
MUST int artifact_open(const char *state_dir, const char *job_id,
    const char *extension, const struct artifact_sum *sum,
    struct artifact_reader **ret_reader, struct err *err);

/*
 * The next bytes from position at on, as they are in coding: of 0..len bytes
 * at least one unless at is the end.  From identity to zstd there is no way:
 * assert.  Going on where the last call ended is cheap; anywhere else in a
 * file stored with zstd up to a frame is decompressed first.
 * Returns their number, or -1: ERR_STORE (damaged, or the disk), ERR_NOMEM.
 */
MUST int64_t artifact_read(struct artifact_reader *reader,
    enum artifact_coding coding, int64_t at, void *out, size_t len,
    struct err *err);

/* Close and free; NULL is allowed. */
void artifact_close(struct artifact_reader **reader);

/* The file's own name, below artifacts/, for a web server that sends it. */
#define ARTIFACT_NAME_MAX 80
void artifact_file_name(const char *job_id, const char *extension,
    enum artifact_coding coding, char out[ARTIFACT_NAME_MAX]);

/*
 * Remove the whole file in whatever coding, and the temporary one; none there
 * is no error.
 *
 * spare_readers  leave it if somebody reads it: ERR_CONFLICT.  Else whoever
 *                reads goes on, and the disk has its room back when he is
 *                done.
 */
MUST int artifact_remove(const char *state_dir, const char *job_id,
    const char *extension, bool spare_readers, struct err *err);

/* The extension of a temporary file. */
#define ARTIFACT_PART "part"

/* What is in artifacts/, whatever the rows say. */
#define ARTIFACT_EXTENSION_MAX 16
struct artifact_entry {
	char job_id[UUID_MAX];
	char extension[ARTIFACT_EXTENSION_MAX];	/* also ARTIFACT_PART */
	enum artifact_coding coding;
	char name[ARTIFACT_NAME_MAX];
};
struct artifact_scan;
MUST int artifact_scan_open(const char *state_dir,
    struct artifact_scan **ret_scan, struct err *err);
/* The next file whose name is made like ours: 1; 0 at the end. */
MUST int artifact_scan_next(struct artifact_scan *scan,
    struct artifact_entry *ret_entry, struct err *err);
/* Remove the file of an entry. */
MUST int artifact_scan_remove(struct artifact_scan *scan,
    const struct artifact_entry *entry, struct err *err);
void artifact_scan_close(struct artifact_scan **scan);

/* False once artifacts/ is no longer the directory that was opened. */
bool artifact_scan_is_current(const struct artifact_scan *scan,
    const char *state_dir);

/* Is somebody reading the whole file? */
bool artifact_is_read(const char *state_dir, const char *job_id,
    const char *extension, enum artifact_coding coding);

/* What a user may still write on the disk of artifacts/, in bytes, which may be
 * another than that of STATE_DIR.  ERR_STORE. */
MUST int artifact_free_bytes(const char *state_dir, int64_t *ret_bytes,
    struct err *err);

/* Is the whole file there, with its size?  -1 only if that cannot be said. */
MUST int artifact_is_there(const char *state_dir, const char *job_id,
    const char *extension, const struct artifact_sum *sum, bool *ret_is_there,
    struct err *err);

#endif
