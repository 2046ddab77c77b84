/*
 * What the child tells podprof-capture, in lines through the FIFO "status",
 * which is opened without blocking.  addon.h is the manual of the lines.
 *
 * Nobody reads any more: SIGPIPE ends the child.  Nobody reads for the moment
 * and the FIFO is full: a line that is not the last is dropped.
 */
#ifndef PODPROF_ADDON_STATUS_H
#define PODPROF_ADDON_STATUS_H

#include "text.h"

/*
 * In the child, once: from here on alive lines are written every
 * STATUS_EVERY_MS, by a signal, wherever the child is, and between them if its
 * memory grows fast; and crashes are told.
 *
 * fd             of the FIFO
 * memory_bytes   the cap: RLIMIT_AS becomes what the child has and this more;
 *                0: none
 * timeout_ms     how long it may take from now; 0: for ever
 */
#define STATUS_EVERY_MS 500
void status_start(int fd, uint64_t memory_bytes, int64_t timeout_ms);

/* Memory was refused to the child: a crash after this is for want of it. */
void status_refused(void);

/* Write the last line, as far as somebody takes it within STATUS_LAST_MS, and
 * exit. */
#define STATUS_LAST_MS 2000
_Noreturn void status_done(void);
_Noreturn void status_failed(const char *message);
_Noreturn void status_stuck(const char *name);

#endif
