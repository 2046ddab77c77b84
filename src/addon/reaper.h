/*
 * Who waits for the children, so that none stays behind as a zombie, even if
 * nobody asks and Node is process 1: a thread of its own for each, which sleeps
 * in the kernel, takes no signal, and ends with its child.
 */
#ifndef PODPROF_ADDON_REAPER_H
#define PODPROF_ADDON_REAPER_H

#include "text.h"

/* Children at a time.  One is at work; others may be about to end. */
#define REAPER_CHILDREN 4

struct reaper;

/*
 * Start a thread, before the fork, so that there is no fork without one.
 * 0; -1 with why: no thread, or REAPER_CHILDREN children are there.
 * Every signal should be blocked: the thread inherits that.
 */
int reaper_start(struct reaper **ret_reaper, struct text *why);

/* Its child is pid; or there is none, -1.  probe: another child that is waited
 * for as well, and has been killed; 0: none. */
void reaper_set(struct reaper *reaper, int pid, int probe);

/*
 * How the child of the last reaper_set() with a pid fares: "" (there was
 * none), "running", "exited N", "killed N"; "gone", if somebody else took what
 * was to be known.
 */
void reaper_tell(struct text *state);

/* SIGKILL to the child of the last reaper_set() with a pid, unless it has been
 * waited for: never to another process that has its pid by then. */
void reaper_kill(void);

#endif
