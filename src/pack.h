/*
 * Compression that can be entered anywhere: the zstd seekable format, that is
 * independent zstd frames (RFC 8878) and after them a table of their sizes in
 * a skippable frame, so that every zstd tool reads the file.  The only module
 * that knows libzstd.
 *
 *	| frame 0 | frame 1 | … | frame n-1 | table: n x (stored, plain) |
 *	 each holds PACK_FRAME_BYTES of the plain bytes, the last what is left
 *
 * A frame says how much it holds, has a checksum, and needs a window of
 * 2^PACK_WINDOW_LOG bytes to be read, far below the 8 MB that RFC 9659 allows
 * a Content-Encoding.  No plain bytes are no frames: a table alone.
 */
#ifndef PODPROF_PACK_H
#define PODPROF_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define PACK_FRAME_BYTES (1 << 20)
#define PACK_WINDOW_LOG 16
/* Frames of one file: 1 TiB of plain bytes. */
#define PACK_FRAMES_MAX (1 << 20)
#define PACK_LEVEL_MAX 19

/* Takes what is to be stored, in order; -1 with *err ends the matter. */
typedef int pack_sink_fn(void *ctx, const void *data, size_t len,
    struct err *err);

struct pack;		/* a file that is being written */

/*
 * level  1..PACK_LEVEL_MAX, zstd's.  Of a heap snapshot of 71 MB:
 *
 *	level           1     3     9    15    19
 *	stored, %     9.9  10.4   8.1   8.0   7.2
 *	MB/s          460   375    75    40     4
 *	memory, MiB   1.5   2.2   2.2   2.4   2.9
 *
 * The window bounds the memory whatever the level; 4 bytes for each frame of
 * the file come to it.
 * ERR_NOMEM.
 */
MUST int pack_new(int level, pack_sink_fn *sink, void *ctx,
    struct pack **ret_pack, struct err *err);
void pack_free(struct pack **pack);

/*
 * Take plain bytes.  A frame that is full is compressed in one go, which takes
 * 2 ms at level 1 and 0.3 s at level 19, and goes to the sink in pieces of at
 * most 64 KiB.  After a failure only pack_free() is allowed.
 *   ERR_TOO_LARGE  over PACK_FRAMES_MAX frames
 *   ERR_NOMEM, ERR_INTERNAL (of libzstd), and what the sink says
 */
MUST int pack_write(struct pack *pack, const void *data, size_t len,
    struct err *err);

/* The frame that is not full, and the table.  Once, at the end; errors as
 * pack_write(). */
MUST int pack_finish(struct pack *pack, struct err *err);

struct unpack;		/* a file that is being read */

/*
 * Read the table of the file of stored_bytes behind fd (borrowed; only
 * pread(2) is used).  The file may hold anything: each number in it is checked
 * against the others, stored_bytes and plain_bytes.  Holds less than 512 KiB
 * from the first unpack_read() on, whatever the file says.
 *   ERR_STORE  not a file that pack_finish() ended for plain_bytes, or it
 *              cannot be read
 *   ERR_NOMEM
 */
MUST int unpack_new(int fd, int64_t stored_bytes, int64_t plain_bytes,
    struct unpack **ret_unpack, struct err *err);
void unpack_free(struct unpack **unpack);

/*
 * The plain bytes from position at (>= 0).
 *
 * Going on where the last call ended decompresses nothing twice; any other
 * position costs what lies before it in its frame.
 *
 * Returns len, less only if plain_bytes end there, 0 behind them; or -1
 *   ERR_STORE  a frame is damaged, or the file cannot be read
 *   ERR_NOMEM
 * Bytes are given out before the checksum of their frame can be known, except
 * by the call that gives its last: that one fails if any of them was wrong.
 * After a failure another call is allowed; it enters its frame anew.
 */
MUST int64_t unpack_read(struct unpack *unpack, int64_t at, void *out,
    size_t len, struct err *err);

#endif
