/*
 * What a client asks to be captured, and the body of POST jobs that says so:
 *
 *	{"kind":"cpu-profile","durationMs":5000,"intervalUs":200}
 *	{"kind":"heap-profile","samplingBytes":65536,"live":true}
 */
#ifndef PODPROF_ORDER_H
#define PODPROF_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "digest.h"
#include "err.h"
#include "job.h"

#define ORDER_DURATION_MIN_MS 100
#define ORDER_DURATION_MAX_MS 120000
#define ORDER_DURATION_MS 60000		/* unless one is given */
#define ORDER_INTERVAL_MIN_US 50
#define ORDER_INTERVAL_MAX_US 100000
#define ORDER_SAMPLING_MIN_BYTES 1024
#define ORDER_SAMPLING_MAX_BYTES 16777216
#define ORDER_WORKER_MAX 20

struct order {
	enum job_kind kind;
	enum conf_method method;	/* METHOD_AUTO: for a heap snapshot
					 * the app's [app] method */
	int64_t duration_ms;		/* JOB_UNKNOWN for a heap snapshot */
	int64_t interval_us;		/* JOB_UNKNOWN: V8's default */
	int64_t sampling_bytes;		/* JOB_UNKNOWN: podprof's choice */
	bool live;			/* what is alive at the end, alone */
	bool force;
	/* A worker thread's id, digits; "": the main thread. */
	char worker[ORDER_WORKER_MAX];
	const char *key;		/* Idempotency-Key; NULL: none */
	char key_sha256[DIGEST_HEX_MAX];	/* of the body, hex */
};

/*
 * Read a body of len bytes; key stays NULL.
 *
 *   ERR_INVALID  not a JSON object in UTF-8; a member that is not known, given
 *                twice, of the wrong type, out of range, or of no use for
 *                the kind: the message names it
 *   ERR_NOMEM
 */
MUST int order_parse(const char *body, size_t len, struct order *ret_order,
    struct err *err);

#endif
