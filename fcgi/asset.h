/*
 * Files that are built into the program: the web page of conf/page/, and
 * conf/openapi.json.  fcgi/embed.sh makes fcgi/asset.c of those that
 * fcgi/local.mk lists.  They hold no data of an app, and are the same in every
 * process of this build.
 */
#ifndef PODPROF_ASSET_H
#define PODPROF_ASSET_H

#include <stddef.h>

struct asset {
	const char *name;	/* the file's, without directories */
	const char *type;	/* Content-Type */
	const char *etag;	/* strong, with its quotes: the SHA-256 */
	const char *data;
	size_t len;		/* without a NUL */
};

/* NULL: no such file is built in. */
const struct asset *asset_find(const char *name);

#endif
