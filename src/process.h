/*
 * The Node.js process of an app: which one it is, and whether SIGUSR1 opens its
 * inspector.  All of it is read from /proc, where a process is seen only if it
 * is of the same pid namespace, and looked into only if it is of the same user.
 *
 * SIGUSR1 kills a program that does not expect it.  So nothing is signalled
 * that is not Node, does not catch the signal, or would not open an inspector
 * by it as far as that can be seen.
 */
#ifndef PODPROF_PROCESS_H
#define PODPROF_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "proc.h"

#define PROCESS_NAME_MAX 64

struct process {
	struct proc proc;
	/* The program and its script, "node server.js", for a message: no other
	 * argument is told. */
	char name[PROCESS_NAME_MAX];
};

/*
 * Find the process of an app.
 *
 * pid   of [app NAME] pid: its number, or the path of a file that has it in
 *       its first line; "": look for it among the processes of that user.
 * user  whose it must be: whom podprof runs as.
 *
 *   ERR_TARGET_UNREACHABLE  there is none; or the file is missing
 *   ERR_TARGET_REFUSED      there are several, which are named; or it is no
 *                           Node, of another user, or in another network
 *                           namespace
 *   ERR_INTERNAL            /proc cannot be read
 * The message says what to do.
 */
MUST int process_identify(const char *pid, uid_t user,
    struct process *ret_process, struct err *err);

/*
 * The same, of one whose inspector SIGUSR1 would open.
 *
 *   ERR_TARGET_REFUSED      it does not catch the signal, or its command line
 *                           or NODE_OPTIONS say that none will open
 *   ERR_TARGET_UNREACHABLE  it is stopped (SIGSTOP, a debugger)
 */
MUST int process_find(const char *pid, uid_t user, struct process *ret_process,
    struct err *err);

/* The process that pid names, whatever it is: its number, and the user that it
 * works as.  pid is not "".  False: there is none. */
bool process_number(const char *pid, int64_t *ret_number, uid_t *ret_user);

/*
 * Send it SIGUSR1.  It is looked at once more, and a process that got its pid
 * meanwhile is never signalled.  Errors as process_find(), and
 *   ERR_TARGET_EXITED  it has ended
 */
MUST int process_signal(const struct process *process, struct err *err);

/* What it does just now.  A thread that waits for a CPU or the disk does
 * something, too. */
enum process_activity {
	PROCESS_QUIET,		/* nothing, or it is gone */
	PROCESS_STIRRING,	/* a thread beside the main thread does */
	PROCESS_BUSY,		/* the main thread does */
};
enum process_activity process_look(const struct process *process);

#endif
