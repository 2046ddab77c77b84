/*
 * The seekable format of zstd's contrib/seekable_format, version 0.1: numbers
 * are little-endian, and the table has no checksums, as each frame has one.
 *
 * What is read is held to what is written here: each frame but the last holds
 * PACK_FRAME_BYTES, so that the frame of a position needs no search.
 */
#include "pack.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zstd.h>
#include <zstd_errors.h>

#define FRAME_MAGIC 0xFD2FB528U
#define SKIPPABLE_MAGIC 0x184D2A5EU
#define SEEKABLE_MAGIC 0x8F92EAB1U
#define HEAD_BYTES 8		/* skippable magic, length */
#define ENTRY_BYTES 8		/* stored, plain */
#define FOOT_BYTES 9		/* number of frames, descriptor, magic */
#define PIECE_BYTES 65536
/* Snapshots repeat what was near: at level 1 a small table, which stays in the
 * cache, finds nearer matches, and so compresses better and faster. */
#define QUICK_HASH_LOG 10
#define ENTRIES_AT_ONCE 1024
#define STORED_MAX ((uint32_t)ZSTD_COMPRESSBOUND(PACK_FRAME_BYTES))

_Static_assert(ENTRIES_AT_ONCE * ENTRY_BYTES <= PIECE_BYTES,
    "a run of entries fits into a piece");
_Static_assert(PACK_FRAMES_MAX % ENTRIES_AT_ONCE == 0,
    "the table is whole runs");

struct pack {
	ZSTD_CCtx *zstd;
	pack_sink_fn *sink;
	void *ctx;
	uint32_t *stored;	/* bytes of each frame that was written */
	size_t frames;
	size_t room;		/* frames that stored has room for */
	size_t last_plain;	/* plain bytes of the frame written last */
	size_t plain_len;
	unsigned char out[PIECE_BYTES];
	unsigned char plain[PACK_FRAME_BYTES];	/* of the next frame */
};

struct unpack {
	ZSTD_DCtx *zstd;
	int fd;
	int64_t plain_bytes;
	int64_t table_at;	/* of the first entry */
	uint32_t frames;
	/* Where each run of ENTRIES_AT_ONCE frames begins in the file. */
	int64_t runs[PACK_FRAMES_MAX / ENTRIES_AT_ONCE];

	/* The frame that is being read. */
	bool open;
	bool over;		/* zstd has seen its end */
	uint32_t frame;
	uint32_t plain;		/* bytes it holds */
	uint32_t got;		/* of these, taken */
	int64_t stored_at;	/* of what was not read yet */
	uint32_t stored_left;
	ZSTD_inBuffer in;	/* of piece */
	unsigned char piece[PIECE_BYTES];
};

static void
put32(unsigned char *at, size_t n)
{
	at[0] = (unsigned char)n;
	at[1] = (unsigned char)(n >> 8);
	at[2] = (unsigned char)(n >> 16);
	at[3] = (unsigned char)(n >> 24);
}

static uint32_t
get32(const unsigned char *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	    (uint32_t)at[3] << 24;
}

int
pack_new(int level, pack_sink_fn *sink, void *ctx, struct pack **ret_pack,
    struct err *err)
{
	struct pack *pack = NULL;
	int ret = -1;

	assert(level >= 1 && level <= PACK_LEVEL_MAX);
	pack = calloc(1, sizeof(*pack));
	/* The values are in range: only memory can be what is missing. */
	if (pack == NULL || (pack->zstd = ZSTD_createCCtx()) == NULL ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(pack->zstd,
		ZSTD_c_compressionLevel, level)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(pack->zstd, ZSTD_c_windowLog,
		PACK_WINDOW_LOG)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(pack->zstd,
		ZSTD_c_checksumFlag, 1)) ||
	    (level == 1 && ZSTD_isError(ZSTD_CCtx_setParameter(pack->zstd,
		ZSTD_c_hashLog, QUICK_HASH_LOG)))) {
		(void)err_set(err, ERR_NOMEM, "no memory for compression");
		goto out;
	}
	pack->sink = sink;
	pack->ctx = ctx;
	*ret_pack = pack;
	pack = NULL;
	ret = 0;
out:
	pack_free(&pack);
	return ret;
}

void
pack_free(struct pack **pack)
{
	if (pack == NULL || *pack == NULL)
		return;
	(void)ZSTD_freeCCtx((*pack)->zstd);
	free((*pack)->stored);
	free(*pack);
	*pack = NULL;
}

/* Have room in the table for one more frame. */
static int
grow_table(struct pack *pack, struct err *err)
{
	size_t room = pack->room == 0 ? 64 : pack->room * 2;
	uint32_t *stored;

	if (pack->frames >= PACK_FRAMES_MAX)
		return err_set(err, ERR_TOO_LARGE,
		    "over %d MiB, the most that can be stored compressed",
		    PACK_FRAMES_MAX);
	if (pack->frames < pack->room)
		return 0;
	stored = reallocarray(pack->stored, room, sizeof(*stored));
	if (stored == NULL)
		return err_set(err, ERR_NOMEM,
		    "no memory for the table of %zu frames", room);
	pack->stored = stored;
	pack->room = room;
	return 0;
}

/* All of a frame is given at once, so that zstd writes its size into it. */
static int
write_frame(struct pack *pack, struct err *err)
{
	ZSTD_inBuffer in = { pack->plain, pack->plain_len, 0 };
	size_t stored = 0, left;

	if (grow_table(pack, err) != 0)
		return -1;
	do {
		ZSTD_outBuffer out = { pack->out, sizeof(pack->out), 0 };

		left = ZSTD_compressStream2(pack->zstd, &out, &in, ZSTD_e_end);
		if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation)
			return err_set(err, ERR_NOMEM,
			    "no memory for compression");
		if (ZSTD_isError(left))
			return err_set(err, ERR_INTERNAL, "compression: %s",
			    ZSTD_getErrorName(left));
		stored += out.pos;
		if (out.pos > 0 &&
		    pack->sink(pack->ctx, pack->out, out.pos, err) != 0)
			return -1;
	} while (left > 0);
	pack->stored[pack->frames++] = (uint32_t)stored;
	pack->last_plain = pack->plain_len;
	pack->plain_len = 0;
	return 0;
}

int
pack_write(struct pack *pack, const void *data, size_t len, struct err *err)
{
	const unsigned char *at = data;
	size_t n;

	while (len > 0) {
		n = sizeof(pack->plain) - pack->plain_len;
		if (n > len)
			n = len;
		memcpy(pack->plain + pack->plain_len, at, n);
		pack->plain_len += n;
		at += n;
		len -= n;
		if (pack->plain_len == sizeof(pack->plain) &&
		    write_frame(pack, err) != 0)
			return -1;
	}
	return 0;
}

static int
write_table(struct pack *pack, struct err *err)
{
	unsigned char *out = pack->out;
	size_t i, len = HEAD_BYTES;

	put32(out, SKIPPABLE_MAGIC);
	put32(out + 4, pack->frames * ENTRY_BYTES + FOOT_BYTES);
	for (i = 0; i < pack->frames; i++) {
		put32(out + len, pack->stored[i]);
		put32(out + len + 4, i + 1 < pack->frames ?
		    PACK_FRAME_BYTES : pack->last_plain);
		len += ENTRY_BYTES;
		/* What comes next, an entry or the foot, must fit. */
		if (sizeof(pack->out) - len < FOOT_BYTES) {
			if (pack->sink(pack->ctx, out, len, err) != 0)
				return -1;
			len = 0;
		}
	}
	put32(out + len, pack->frames);
	out[len + 4] = 0;
	put32(out + len + 5, SEEKABLE_MAGIC);
	return pack->sink(pack->ctx, out, len + FOOT_BYTES, err);
}

int
pack_finish(struct pack *pack, struct err *err)
{
	if (pack->plain_len > 0 && write_frame(pack, err) != 0)
		return -1;
	return write_table(pack, err);
}

static int
damaged(struct err *err, const char *what)
{
	return err_set(err, ERR_STORE, "the stored file is damaged: %s", what);
}

static int
read_exactly(int fd, int64_t at, void *out, size_t len, struct err *err)
{
	unsigned char *p = out;
	ssize_t n;

	while (len > 0) {
		n = pread(fd, p, len, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(err, err_code_of_errno(errno),
			    errno, "reading the stored file");
		if (n == 0)
			return damaged(err, "it ends too early");
		p += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The foot and the head of the table, and so where it is. */
static int
read_ends(struct unpack *u, int64_t stored_bytes, struct err *err)
{
	unsigned char foot[FOOT_BYTES], head[HEAD_BYTES];
	int64_t table_bytes;

	if (stored_bytes < HEAD_BYTES + FOOT_BYTES || u->plain_bytes < 0)
		return damaged(err, "it is too short");
	if (read_exactly(u->fd, stored_bytes - FOOT_BYTES, foot, sizeof(foot),
		err) != 0)
		return -1;
	u->frames = get32(foot);
	if (get32(foot + 5) != SEEKABLE_MAGIC || foot[4] != 0 ||
	    u->frames > PACK_FRAMES_MAX)
		return damaged(err, "it does not end in a table of frames");
	if (u->frames != u->plain_bytes / PACK_FRAME_BYTES +
	    (u->plain_bytes % PACK_FRAME_BYTES != 0))
		return damaged(err, "its table is of another length");
	table_bytes = (int64_t)u->frames * ENTRY_BYTES;
	u->table_at = stored_bytes - FOOT_BYTES - table_bytes;
	if (u->table_at < HEAD_BYTES)
		return damaged(err, "its table is longer than the file");
	if (read_exactly(u->fd, u->table_at - HEAD_BYTES, head, sizeof(head),
		err) != 0)
		return -1;
	if (get32(head) != SKIPPABLE_MAGIC ||
	    get32(head + 4) != table_bytes + FOOT_BYTES)
		return damaged(err, "its table does not begin where it should");
	return 0;
}

static uint32_t
frame_plain(const struct unpack *u, uint32_t frame)
{
	int64_t left = u->plain_bytes - (int64_t)frame * PACK_FRAME_BYTES;

	return left < PACK_FRAME_BYTES ? (uint32_t)left : PACK_FRAME_BYTES;
}

/*
 * Go through the entries of n frames of one run, from frame first on; what
 * they say is stored before the last of them is added to *stored_at.  The
 * input of an open frame is lost.
 */
static int
read_entries(struct unpack *u, uint32_t first, uint32_t n, int64_t *stored_at,
    uint32_t *ret_last, struct err *err)
{
	const unsigned char *entry = u->piece;
	uint32_t i, stored = 0;

	if (read_exactly(u->fd, u->table_at + (int64_t)first * ENTRY_BYTES,
		u->piece, (size_t)n * ENTRY_BYTES, err) != 0)
		return -1;
	for (i = 0; i < n; i++, entry += ENTRY_BYTES) {
		*stored_at += stored;
		stored = get32(entry);
		if (stored == 0 || stored > STORED_MAX ||
		    get32(entry + 4) != frame_plain(u, first + i))
			return damaged(err, "its table names sizes that "
			    "no frame can have");
	}
	*ret_last = stored;
	return 0;
}

/* Check the whole table once, and remember where each run begins. */
static int
read_table(struct unpack *u, struct err *err)
{
	uint32_t first, n, last;
	int64_t stored_at = 0;

	for (first = 0; first < u->frames; first += n) {
		n = u->frames - first;
		if (n > ENTRIES_AT_ONCE)
			n = ENTRIES_AT_ONCE;
		u->runs[first / ENTRIES_AT_ONCE] = stored_at;
		if (read_entries(u, first, n, &stored_at, &last, err) != 0)
			return -1;
		stored_at += last;
	}
	if (stored_at != u->table_at - HEAD_BYTES)
		return damaged(err, "its table does not add up");
	return 0;
}

int
unpack_new(int fd, int64_t stored_bytes, int64_t plain_bytes,
    struct unpack **ret_unpack, struct err *err)
{
	struct unpack *u = NULL;
	int ret = -1;

	u = calloc(1, sizeof(*u));
	if (u == NULL || (u->zstd = ZSTD_createDCtx()) == NULL ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax,
		PACK_WINDOW_LOG))) {
		(void)err_set(err, ERR_NOMEM, "no memory for decompression");
		goto out;
	}
	u->fd = fd;
	u->plain_bytes = plain_bytes;
	if (read_ends(u, stored_bytes, err) != 0 || read_table(u, err) != 0)
		goto out;
	*ret_unpack = u;
	u = NULL;
	ret = 0;
out:
	unpack_free(&u);
	return ret;
}

void
unpack_free(struct unpack **unpack)
{
	if (unpack == NULL || *unpack == NULL)
		return;
	(void)ZSTD_freeDCtx((*unpack)->zstd);
	free(*unpack);
	*unpack = NULL;
}

/* The next stored bytes of the frame, of which there are some. */
static int
fill_in(struct unpack *u, struct err *err)
{
	size_t len = u->stored_left;

	if (len > sizeof(u->piece))
		len = sizeof(u->piece);
	if (read_exactly(u->fd, u->stored_at, u->piece, len, err) != 0)
		return -1;
	u->stored_at += (int64_t)len;
	u->stored_left -= (uint32_t)len;
	u->in = (ZSTD_inBuffer){ u->piece, len, 0 };
	return 0;
}

/* One call of zstd, which takes some input or gives some output. */
static int
inflate_step(struct unpack *u, ZSTD_outBuffer *plain, struct err *err)
{
	size_t code, before;

	if (u->in.pos == u->in.size && u->stored_left > 0 &&
	    fill_in(u, err) != 0)
		return -1;
	before = u->in.pos + plain->pos;
	code = ZSTD_decompressStream(u->zstd, plain, &u->in);
	if (ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation)
		return err_set(err, ERR_NOMEM, "no memory for decompression");
	if (ZSTD_isError(code))
		return damaged(err, ZSTD_getErrorName(code));
	if (code != 0 && u->in.pos + plain->pos == before)
		return damaged(err, "a frame is cut off");
	u->over = code == 0;
	return 0;
}

/* Decompress until plain is full or the frame is over. */
static int
inflate(struct unpack *u, ZSTD_outBuffer *plain, struct err *err)
{
	while (plain->pos < plain->size && !u->over)
		if (inflate_step(u, plain, err) != 0)
			return -1;
	return 0;
}

static int
open_frame(struct unpack *u, uint32_t frame, struct err *err)
{
	uint32_t first = frame - frame % ENTRIES_AT_ONCE;
	int64_t stored_at = u->runs[first / ENTRIES_AT_ONCE];
	ZSTD_outBuffer none = { NULL, 0, 0 };

	if (read_entries(u, first, frame - first + 1, &stored_at,
		&u->stored_left, err) != 0)
		return -1;
	u->stored_at = stored_at;
	if (fill_in(u, err) != 0)
		return -1;
	/* libzstd also reads formats of old, which have other bounds. */
	if (u->in.size < 4 || get32(u->piece) != FRAME_MAGIC)
		return damaged(err, "a frame does not begin where it should");
	(void)ZSTD_DCtx_reset(u->zstd, ZSTD_reset_session_only);
	/* With room for all of a frame zstd would not look at its window, and
	 * it would depend on the reader whether the frame is right. */
	if (inflate_step(u, &none, err) != 0)
		return -1;
	u->frame = frame;
	u->plain = frame_plain(u, frame);
	u->got = 0;
	u->open = true;
	return 0;
}

/* All is taken: nothing may come after it but the checksum. */
static int
end_frame(struct unpack *u, struct err *err)
{
	char more;
	ZSTD_outBuffer none = { &more, 1, 0 };

	if (inflate(u, &none, err) != 0)
		return -1;
	if (none.pos > 0 || u->in.pos < u->in.size || u->stored_left > 0)
		return damaged(err, "a frame holds more than it should");
	return 0;
}

/* The next len bytes of the open frame, which has as many left. */
static int
take(struct unpack *u, void *out, size_t len, struct err *err)
{
	ZSTD_outBuffer plain = { out, len, 0 };

	if (inflate(u, &plain, err) != 0)
		return -1;
	if (plain.pos < len)
		return damaged(err, "a frame holds less than it should");
	u->got += (uint32_t)len;
	return u->got < u->plain ? 0 : end_frame(u, err);
}

/* Have the frame of position at open, and all before at taken from it. */
static int
enter(struct unpack *u, int64_t at, struct err *err)
{
	uint32_t frame = (uint32_t)(at / PACK_FRAME_BYTES);
	uint32_t want = (uint32_t)(at % PACK_FRAME_BYTES);
	char trash[4096];
	size_t len;

	if ((!u->open || u->frame != frame || u->got > want) &&
	    open_frame(u, frame, err) != 0)
		return -1;
	while (u->got < want) {
		len = want - u->got;
		if (take(u, trash, len < sizeof(trash) ? len : sizeof(trash),
			err) != 0)
			return -1;
	}
	return 0;
}

int64_t
unpack_read(struct unpack *unpack, int64_t at, void *out, size_t len,
    struct err *err)
{
	unsigned char *p = out;
	size_t done = 0, n;

	assert(at >= 0);
	while (done < len && at < unpack->plain_bytes) {
		if (enter(unpack, at, err) != 0)
			goto failed;
		n = unpack->plain - unpack->got;
		if (n > len - done)
			n = len - done;
		if (take(unpack, p + done, n, err) != 0)
			goto failed;
		done += n;
		at += (int64_t)n;
	}
	return (int64_t)done;
failed:
	unpack->open = false;
	return -1;
}
