/*
 * Writing numbers in the text format of Prometheus, version 0.0.4:
 *
 *	# HELP podprof_waiting Requests that wait.
 *	# TYPE podprof_waiting gauge
 *	podprof_waiting 3
 *
 * All calls go on after one that failed, and do nothing then: the end is looked
 * at once.
 */
#ifndef PODPROF_EXPOSE_H
#define PODPROF_EXPOSE_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

#define EXPOSE_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct expose {
	struct buf *out;
	const char *family;	/* the one that is being written */
	int rc;			/* -1 once something has failed */
	struct err err;		/* what */
};

enum expose_type { EXPOSE_GAUGE, EXPOSE_COUNTER, EXPOSE_HISTOGRAM };

struct expose_label {
	const char *name;
	const char *value;	/* any text */
};

/* out is borrowed. */
void expose_init(struct expose *expose, struct buf *out);

/* Begin a family of samples; name and help are ours, and borrowed. */
void expose_family(struct expose *expose, const char *name,
    enum expose_type type, const char *help);

/* One sample of it.  suffix: "", or of a histogram "_bucket", "_sum",
 * "_count". */
void expose_int(struct expose *expose, const char *suffix,
    const struct expose_label labels[], size_t labels_len, int64_t value);

/* The same, of milliseconds as seconds. */
void expose_ms(struct expose *expose, const char *suffix,
    const struct expose_label labels[], size_t labels_len, int64_t ms);

/* A family of one sample without labels. */
void expose_one(struct expose *expose, const char *name,
    enum expose_type type, const char *help, int64_t value);

/* Milliseconds as seconds, as they are written in labels and values. */
#define EXPOSE_SECONDS_MAX 24
void expose_seconds(int64_t ms, char out[EXPOSE_SECONDS_MAX]);

#endif
