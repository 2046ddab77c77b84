/*
 * An artifact of a service into a file: whole, or not at all.
 *
 *	GET jobs/ID ── name, size, sha256
 *	                  │
 *	FILE.part ◄── what was there, hashed ── GET …/artifact, from there on
 *	    │                                     ▲        │ cut: again, from
 *	    │                                     └────────┘ where it was cut
 *	    └─ SHA-256 right? fsync, rename ──► FILE
 *
 * FILE.part stays where a download ends early, and the next one goes on with
 * it.  It is locked (flock), so that two never write one file.  Both files
 * have mode 0600: a heap snapshot has every secret of its app.
 */
#ifndef PODPROF_FETCH_H
#define PODPROF_FETCH_H

#include <limits.h>
#include <stdint.h>

#include "client.h"
#include "digest.h"
#include "err.h"

#define FETCH_NAME_MAX 256

/* How long a connection that is cut, or a service that is gone or says 429 or
 * 503, is tried again without a new byte. */
#define FETCH_PATIENCE_MS (3 * 60 * 1000)

enum fetch_phase {
	FETCH_READING,	/* hashing what FILE.part has already */
	FETCH_LOADING,
	FETCH_WAITING,	/* cut, or wrong; tried again in wait_ms */
};

struct fetch_progress {
	enum fetch_phase phase;
	int64_t done_bytes;	/* of the file */
	int64_t total_bytes;	/* -1: not known yet */
	int64_t begin_bytes;	/* that were there at the beginning: speed is
				 * (done - begin) over time */
	int cuts;		/* so far */
	int64_t wait_ms;	/* of FETCH_WAITING */
	const char *why;	/* of FETCH_WAITING, else NULL */
};
/* Called at every change and at most once for each piece of 64 KiB or less;
 * drawing more rarely is up to it. */
typedef void fetch_progress_fn(void *ctx,
    const struct fetch_progress *progress);

struct fetch_result {
	char path[PATH_MAX];	/* "-": standard output */
	int64_t bytes;		/* of the file */
	int64_t resumed_bytes;	/* that an earlier FILE.part had */
	int cuts;
	char sha256[DIGEST_HEX_MAX];
};

/*
 * The place where an artifact would go, looked at before a capture begins or a
 * byte is loaded: is the directory there, may we write in it, is FILE one that
 * can be replaced?  path as for fetch_artifact().
 *   ERR_STORE    it cannot be written: the message says what and why
 *   ERR_INVALID  FILE is there and no regular file (a device, a link)
 */
MUST int fetch_check_place(const char *path, struct err *err);

/*
 * Load the artifact of a job that has ended.
 *
 * path      FILE, which is replaced if it is there; a directory: the
 *           artifact's own name in it; "-": standard output, which is verified
 *           when all of it is out; NULL: the artifact's own name in the
 *           current directory.  A file that is there under the artifact's own
 *           name is never replaced.
 * progress  NULL: none.
 *
 * What a digest shows to be wrong is removed, and loaded once more from the
 * beginning.
 *
 *   ERR_NOT_FOUND, ERR_GONE, ERR_CONFLICT …  what the service says of the job
 *                   and its artifact (see client_refusal())
 *   ERR_CONFLICT    the file is there already, or another process loads it
 *   ERR_INVALID     job_id is none; path as for fetch_check_place()
 *   ERR_STORE       path cannot be written; or the digest is wrong
 *   ERR_SPACE       no room; FILE.part stays
 *   ERR_INTERRUPTED stopped, or cut again and again: FILE.part stays
 *   ERR_TARGET_UNREACHABLE, ERR_TARGET_TIMEOUT, ERR_TARGET_REFUSED,
 *   ERR_INTERNAL, ERR_NOMEM
 */
MUST int fetch_artifact(struct client *client, const char *job_id,
    const char *path, fetch_progress_fn *progress, void *ctx,
    struct fetch_result *ret_result, struct err *err);

/*
 * A file's name out of one that a service sent: its last component, every byte
 * but letters, digits, '.', '_', '-' replaced by '_', no '.' or '-' in front,
 * at most FETCH_NAME_MAX - 1 bytes and its extension kept; "artifact" where
 * nothing is left.
 */
void fetch_safe_name(const char *name, char out[FETCH_NAME_MAX]);

#endif
