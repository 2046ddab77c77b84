/*
 * Processes: who one is, in a way that a recycled pid cannot fake, and
 * whether it still lives.
 *
 * A pid with its start time (field 22 of /proc/PID/stat) is unique during one
 * boot of one kernel, and means something only inside one pid namespace.
 */
#ifndef PODPROF_PROC_H
#define PODPROF_PROC_H

#include <stdint.h>
#include <sys/types.h>

#include "err.h"

#define PROC_HOST_MAX 96

struct proc {
	int64_t pid;
	int64_t start_ticks;		/* clock ticks since boot */
	char host[PROC_HOST_MAX];	/* "BOOT_ID/PID_NAMESPACE_INODE" */
};

/* This process.  ERR_INTERNAL if /proc is not there. */
MUST int proc_self(struct proc *ret_proc, struct err *err);

/* The process that has that pid here.  ERR_NOT_FOUND: none is to be seen. */
MUST int proc_of(int64_t pid, struct proc *ret_proc, struct err *err);

enum proc_life {
	PROC_ALIVE,
	PROC_DEAD,	/* gone, a zombie, or another process has its pid */
	PROC_UNKNOWN,	/* of another host, boot or pid namespace, which can
			 * not be seen from here */
};

/* Does it live?  A zombie does not. */
enum proc_life proc_life(const struct proc *proc);

#endif
