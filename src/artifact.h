/*
 * Artifact files below STATE_DIR/artifacts, and the state directory itself.
 *
 *	ID.part          being written, by the job's podprof-capture alone
 *	ID.heapsnapshot  whole: written, fsynced, then renamed
 *	ID.cpuprofile
 *
 * The file's name is made of the job's id and kind only, so that nothing a
 * request brings reaches a path.
 */
#ifndef PODPROF_ARTIFACT_H
#define PODPROF_ARTIFACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "digest.h"
#include "err.h"

#define ARTIFACT_PATH_MAX 4096

/*
 * Make STATE_DIR/artifacts (0700) where missing and prove by a real write
 * that both directories can be written: some file systems only tell then.
 *   ERR_STORE  names the directory, the reason, and whom it must belong to
 *   ERR_SPACE
 */
MUST int artifact_check_dirs(const char *state_dir, struct err *err);

/* What is known of a whole file. */
struct artifact_sum {
	int64_t size_bytes;
	char sha256[DIGEST_HEX_MAX];
	int64_t stored_bytes;
	char stored_sha256[DIGEST_HEX_MAX];
};

struct artifact;	/* one that is being written */

/*
 * Open ID.part (0600).  One that is there already is from a capture that
 * died: it is truncated.  extension: "heapsnapshot", "cpuprofile".
 */
MUST int artifact_create(const char *state_dir, const char *job_id,
    const char *extension, struct artifact **ret_artifact, struct err *err);

/* Append.  Blocks for the disk; memory does not grow. */
MUST int artifact_write(struct artifact *artifact, const void *data,
    size_t len, struct err *err);

/* Bytes written so far. */
int64_t artifact_size(const struct artifact *artifact);

/* The first and last byte written, to see whether it can be whole JSON;
 * 0 while there is none. */
char artifact_first(const struct artifact *artifact);
char artifact_last(const struct artifact *artifact);

/*
 * fsync, rename to the final name, fsync the directory.  On failure no file
 * is left.  Frees *artifact either way.
 */
MUST int artifact_commit(struct artifact **artifact,
    struct artifact_sum *ret_sum, struct err *err);

/* Remove the temporary file and free; NULL is allowed. */
void artifact_abandon(struct artifact **artifact);

/*
 * Open a whole file for reading.
 *   ERR_GONE   there is no such file
 *   ERR_STORE  it cannot be opened, is no regular file, or is not
 *              stored_bytes long
 */
MUST int artifact_open(const char *state_dir, const char *job_id,
    const char *extension, int64_t stored_bytes, int *ret_fd,
    struct err *err);

/* Remove the whole file, and the temporary one; none there is no error. */
MUST int artifact_remove(const char *state_dir, const char *job_id,
    const char *extension, struct err *err);

#endif
