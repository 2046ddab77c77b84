/*
 * What the parts of fetch.c share.
 */
#ifndef PODPROF_FETCH_PARTS_H
#define PODPROF_FETCH_PARTS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "fetch.h"
#include "uuid.h"

struct fetch {
	struct client *client;
	fetch_progress_fn *progress;
	void *ctx;

	/* What the job says. */
	char source[UUID_MAX + 32];	/* below the base */
	char name[FETCH_NAME_MAX];
	char sha256[DIGEST_HEX_MAX];
	int64_t total_bytes;

	/* Where it goes. */
	bool is_stdout;
	bool may_replace;
	char path[PATH_MAX];
	char part[PATH_MAX];
	char dir[PATH_MAX];
	int fd;			/* of part, or 1 */
	bool is_locked;		/* part, by us */

	/* How far it is. */
	struct digest *digest;	/* of done_bytes */
	int64_t done_bytes;
	int64_t resumed_bytes;
	int64_t skip_bytes;	/* of what comes: it is out already */
	char etag[128];		/* "": none */
	int cuts;
};

/* Fill path, part and dir, or is_stdout and fd.  Errors as
 * fetch_check_place(), and ERR_CONFLICT: there is such a file. */
MUST int fetch_choose_place(struct fetch *fetch, const char *path,
    struct err *err);

/* Open part, and lock it.  ERR_CONFLICT: another process has it; ERR_STORE,
 * ERR_SPACE. */
MUST int fetch_open_part(struct fetch *fetch, struct err *err);

/* Is there room for what is missing?  ERR_SPACE, ERR_STORE. */
MUST int fetch_check_room(const struct fetch *fetch, struct err *err);

/* ERR_SPACE with the numbers; always -1. */
int fetch_no_room(const struct fetch *fetch, struct err *err);

/* part, which is whole, becomes path.  ERR_STORE, ERR_SPACE, ERR_CONFLICT. */
MUST int fetch_finish(struct fetch *fetch, struct err *err);

#endif
