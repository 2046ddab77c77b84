/*
 * podprof-fork.node: takes the snapshot of a heap in a forked child, so that
 * the app goes on meanwhile.  podprof-capture loads it into the app, through
 * the inspector; it stays loaded, and does nothing unless called.
 *
 * It is made with no C library: it names none (no DT_NEEDED), and finds the few
 * functions that it needs in the process, so that it is the same for glibc and
 * musl.  tests/lint/addon.sh has the list.
 *
 * What it exports to JavaScript:
 *
 *	version		the string ADDON_VERSION: of what is described here.
 *	fork(statusPath, memoryBytes, timeoutMs)
 *			In the app: the child's pid.  In the child: 0.
 *			statusPath  a FIFO that somebody reads
 *			memoryBytes how much memory of its own the child may
 *				    have, and by how much its address space may
 *				    grow; 0: no cap
 *			timeoutMs   how long the child may live; 0: no limit
 *			Throws an Error, in the app only, if there is no child;
 *			nothing is changed then.  Its message says why:
 *			    fork: EAGAIN                     too many processes
 *			    fork: ENOMEM                     no memory for it
 *			    nobody reads the status FIFO: ENXIO
 *			    cannot open /proc/self/smaps: ENOENT
 *			    ... and others of that form: what, then the errno.
 *	microseconds()	How long the last fork() of the app took, from its
 *			entry to its return.
 *	state()		How the child of the last fork() fares: "" (there was
 *			none), "running", "exited N", "killed N" (a signal), or
 *			"gone" (somebody else waited for it).
 *	kill()		SIGKILL to that child, if it has not ended: it may be
 *			stopped.
 *	end(message)	In the child only, which ends: message "" is success.
 *
 * The child is a process with one thread, which holds nothing of the app's but
 * its memory (child.h).  It runs JavaScript until end(), and never returns to
 * the event loop:
 *
 *	if (addon.fork(status, memory, timeout) === 0) {
 *		let message = '';
 *		try { v8.writeHeapSnapshot(data); }
 *		catch (e) { message = String(e.message) || 'failed'; }
 *		addon.end(message);
 *	}
 *
 * What it writes to the status FIFO: lines of at most STATUS_LINE_MAX bytes,
 * which end with a newline and have no other control bytes.  Numbers are
 * decimal.
 *
 *	begun PID	first; the pid as the app sees it
 *	alive CPU KIB	every half second, and whenever KIB has grown by an
 *			eighth of memoryBytes: its CPU time in milliseconds
 *			(but for that of these lines),
 *			and memory that is its own alone in KiB, as of half a
 *			second ago at most, under a cap of 20 ms ago where
 *			counting is fast enough.  Memory that the app changes
 *			while the child lives counts: it is there twice
 * and one of these last, or none if it was killed:
 *	done		after a last alive line; it exits with 0
 *	failed MESSAGE	end(MESSAGE), cut to 200 bytes; or its time is over, or
 *			it could not make itself ready; it exits with 1
 *	stuck NAME	it would have waited for a thread, in the function NAME,
 *			because of what other threads of the app were doing at
 *			the moment of the fork: try again.  It exits with 3
 *	crash N LEFT	by signal N; LEFT KiB of memoryBytes were left, 0 if it
 *			was refused memory, -1 without a cap.  "crash 9 0": it
 *			ended itself, as the memory that is its own alone was
 *			more than memoryBytes.  It exits with
 *			128 + N
 *
 * The child ends at once with the app (SIGKILL), and within half a second if
 * nobody reads the status FIFO any more (SIGPIPE).
 */
#ifndef PODPROF_ADDON_H
#define PODPROF_ADDON_H

#define ADDON_VERSION "1"
#define STATUS_LINE_MAX 256

#endif
