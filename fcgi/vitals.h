/*
 * What this process takes of the machine.
 */
#ifndef PODPROF_VITALS_H
#define PODPROF_VITALS_H

#include <stdint.h>

/* -1 where it cannot be found out. */
struct vitals {
	int64_t cpu_ms;		/* of all its threads, user and system */
	int64_t resident_bytes;
	int64_t virtual_bytes;
	int64_t fds;		/* open descriptors */
	int64_t fds_max;	/* the limit; -1 also if there is none */
	int64_t threads;
};

void vitals_read(struct vitals *ret_vitals);

#endif
