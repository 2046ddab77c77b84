/*
 * Files: the few calls that need a loop, a bound or an fsync to be right.
 */
#ifndef PODPROF_FILE_H
#define PODPROF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "err.h"

/*
 * Append a whole file to out, up to out->max bytes.
 *   ERR_NOT_FOUND  there is no such file
 *   ERR_STORE      it cannot be read (permission, I/O, not a regular file)
 *   ERR_TOO_LARGE  it is over the bound
 *   ERR_NOMEM
 */
MUST int file_read(const char *path, struct buf *out, struct err *err);

/*
 * Write all bytes, however many calls it takes.
 *   ERR_SPACE  the disk or the quota is full (ENOSPC, EDQUOT, EFBIG)
 *   ERR_STORE  any other fault
 */
MUST int file_write(int fd, const void *data, size_t len, struct err *err);

/* fsync(2) a descriptor.  ERR_SPACE or ERR_STORE, as file_write(). */
MUST int file_sync(int fd, struct err *err);

/* fsync(2) the directory at path, so that a rename in it lasts. */
MUST int file_sync_dir(const char *path, struct err *err);

/*
 * Make the directory with exactly this mode unless something is there.
 * Parents must exist.  ERR_STORE, ERR_SPACE.
 */
MUST int file_make_dir(const char *path, mode_t mode, struct err *err);

/*
 * flock(2) the file at path, made with mode 0600 if absent; *ret_fd holds the
 * lock until file_unlock(), or until the process ends.
 *
 * is_exclusive  else it is shared with others who want it so.
 * wait_ms       how long to wait for another process; 0: not at all.
 *
 * Returns 1, 0 if another has it still, or -1: ERR_STORE, ERR_SPACE, ERR_NOMEM.
 */
MUST int file_lock(const char *path, bool is_exclusive, int64_t wait_ms,
    int *ret_fd, struct err *err);
/* *fd is -1 then; -1 is accepted. */
void file_unlock(int *fd);

/* What a user may still write on the disk that path is on, in bytes.
 * ERR_STORE. */
MUST int file_free_bytes(const char *path, int64_t *ret_bytes,
    struct err *err);

/*
 * The path of what is installed beside the running program (/proc/self/exe).
 * ERR_INTERNAL: it cannot be told, or is too long.
 */
MUST int file_beside_program(const char *name, char *out, size_t size,
    struct err *err);

/*
 * The path of one of our programs that are no commands: beside the running one,
 * where nothing is installed yet and all of them are in one directory, else
 * where it is installed.  Whether it is there is another question.
 */
void file_own_program(const char *name, char *out, size_t size);

/*
 * Replace the file at path by data in one step: a temporary name beside it,
 * write, fsync, rename, fsync of the directory.  mode is exact; owner and
 * group of a file that is there are kept where the caller may.
 * On failure the old file stays and no temporary file is left.
 */
MUST int file_replace(const char *path, const void *data, size_t len,
    mode_t mode, struct err *err);

#endif
