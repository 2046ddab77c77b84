/*
 * Files of frames: written and read back from anywhere, read by libzstd
 * alone, and every way in which one can be damaged, lie, or fail to be read.
 */
#include "test.h"

/* Its limits are out of reach from outside: 1 TiB. */
#include "pack.c"

#include <sys/mman.h>

#include "buf.h"

#define FRAME ((size_t)PACK_FRAME_BYTES)
#define NEVER (-1)

/* What the next calls do, and what they were asked for. */
static struct {
	int preads;
	size_t read_bytes;
	size_t at_most;		/* a read gives no more; 0: as asked */
	bool interrupted;	/* every other read */
	int read_fails;		/* the how-manieth from now, or NEVER */
	int read_errnum;

	int inflates;
	size_t inflated_bytes;
	int inflate_fails;
	size_t decompressor_max;	/* the largest that was freed */

	int deflates;
	int deflate_fails;
	ZSTD_ErrorCode zstd_error;
	size_t compressor_max;

	bool no_calloc, no_reallocarray, no_compressor, no_decompressor;
} calls;

ssize_t __real_pread(int fd, void *out, size_t len, off_t at);
ssize_t __wrap_pread(int fd, void *out, size_t len, off_t at);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_reallocarray(void *old, size_t n, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);
ZSTD_CCtx *__real_ZSTD_createCCtx(void);
ZSTD_CCtx *__wrap_ZSTD_createCCtx(void);
ZSTD_DCtx *__real_ZSTD_createDCtx(void);
ZSTD_DCtx *__wrap_ZSTD_createDCtx(void);
size_t __real_ZSTD_freeCCtx(ZSTD_CCtx *zstd);
size_t __wrap_ZSTD_freeCCtx(ZSTD_CCtx *zstd);
size_t __real_ZSTD_freeDCtx(ZSTD_DCtx *zstd);
size_t __wrap_ZSTD_freeDCtx(ZSTD_DCtx *zstd);
size_t __real_ZSTD_compressStream2(ZSTD_CCtx *zstd, ZSTD_outBuffer *out,
    ZSTD_inBuffer *in, ZSTD_EndDirective end);
size_t __wrap_ZSTD_compressStream2(ZSTD_CCtx *zstd, ZSTD_outBuffer *out,
    ZSTD_inBuffer *in, ZSTD_EndDirective end);
size_t __real_ZSTD_decompressStream(ZSTD_DCtx *zstd, ZSTD_outBuffer *out,
    ZSTD_inBuffer *in);
size_t __wrap_ZSTD_decompressStream(ZSTD_DCtx *zstd, ZSTD_outBuffer *out,
    ZSTD_inBuffer *in);

ssize_t
__wrap_pread(int fd, void *out, size_t len, off_t at)
{
	ssize_t n;

	calls.preads++;
	if (calls.interrupted && calls.preads % 2 == 1) {
		errno = EINTR;
		return -1;
	}
	if (calls.read_fails != NEVER && calls.read_fails-- == 0) {
		errno = calls.read_errnum;
		return -1;
	}
	if (calls.at_most > 0 && len > calls.at_most)
		len = calls.at_most;
	n = __real_pread(fd, out, len, at);
	if (n > 0)
		calls.read_bytes += (size_t)n;
	return n;
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return calls.no_calloc ? NULL : __real_calloc(n, size);
}

void *
__wrap_reallocarray(void *old, size_t n, size_t size)
{
	return calls.no_reallocarray ? NULL : __real_reallocarray(old, n, size);
}

ZSTD_CCtx *
__wrap_ZSTD_createCCtx(void)
{
	return calls.no_compressor ? NULL : __real_ZSTD_createCCtx();
}

ZSTD_DCtx *
__wrap_ZSTD_createDCtx(void)
{
	return calls.no_decompressor ? NULL : __real_ZSTD_createDCtx();
}

size_t
__wrap_ZSTD_freeCCtx(ZSTD_CCtx *zstd)
{
	if (ZSTD_sizeof_CCtx(zstd) > calls.compressor_max)
		calls.compressor_max = ZSTD_sizeof_CCtx(zstd);
	return __real_ZSTD_freeCCtx(zstd);
}

size_t
__wrap_ZSTD_freeDCtx(ZSTD_DCtx *zstd)
{
	if (ZSTD_sizeof_DCtx(zstd) > calls.decompressor_max)
		calls.decompressor_max = ZSTD_sizeof_DCtx(zstd);
	return __real_ZSTD_freeDCtx(zstd);
}

size_t
__wrap_ZSTD_compressStream2(ZSTD_CCtx *zstd, ZSTD_outBuffer *out,
    ZSTD_inBuffer *in, ZSTD_EndDirective end)
{
	calls.deflates++;
	if (calls.deflate_fails != NEVER && calls.deflate_fails-- == 0)
		return (size_t)-(int)calls.zstd_error;
	return __real_ZSTD_compressStream2(zstd, out, in, end);
}

size_t
__wrap_ZSTD_decompressStream(ZSTD_DCtx *zstd, ZSTD_outBuffer *out,
    ZSTD_inBuffer *in)
{
	size_t code, before = out->pos;

	calls.inflates++;
	if (calls.inflate_fails != NEVER && calls.inflate_fails-- == 0)
		return (size_t)-(int)calls.zstd_error;
	code = __real_ZSTD_decompressStream(zstd, out, in);
	calls.inflated_bytes += out->pos - before;
	return code;
}

static int
set_up(void **state)
{
	(void)state;
	memset(&calls, 0, sizeof(calls));
	calls.read_fails = NEVER;
	calls.inflate_fails = NEVER;
	calls.deflate_fails = NEVER;
	return 0;
}

/* Whatever a test did, and whatever was in its file. */
static int
check_memory(void **state)
{
	(void)state;
	return sizeof(struct unpack) + calls.decompressor_max < 512 << 10 ? 0 :
	    -1;
}

/* --- plain bytes, files ------------------------------------------------- */

static uint32_t
next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005U + 1442695040888963407U;
	return (uint32_t)(*seed >> 33);
}

/*
 * As a snapshot is: numbers and commas, and now and then what cannot be
 * compressed.  It comes again after more than a window, so that it is soon
 * made, and nothing is gained by it.
 */
#define AGAIN ((size_t)100003)

static unsigned char *
make_plain(size_t len, uint64_t seed)
{
	unsigned char *plain = malloc(len + 16);
	size_t at = 0;
	uint32_t n;

	assert_non_null(plain);
	while (at < len && at < AGAIN) {
		n = next_random(&seed);
		if (n % 16 == 0) {
			memcpy(plain + at, &n, sizeof(n));
			at += sizeof(n);
		} else {
			plain[at++] = (unsigned char)('0' + n / 16 % 3);
			plain[at++] = (unsigned char)('0' + n / 64 % 10);
			plain[at++] = ',';
		}
	}
	for (; at < len; at++)
		plain[at] = plain[at - AGAIN];
	return plain;
}

struct file {
	struct buf bytes;	/* what was given to the sink */
	int sink_calls;
	int sink_fails;		/* the how-manieth call, or NEVER */
	size_t sink_max;	/* the longest piece */
};

static void
file_init(struct file *file)
{
	memset(file, 0, sizeof(*file));
	buf_init(&file->bytes, 64 << 20);
	file->sink_fails = NEVER;
}

static int
sink(void *ctx, const void *data, size_t len, struct err *err)
{
	struct file *file = ctx;

	if (file->sink_calls++ == file->sink_fails)
		return err_set(err, ERR_SPACE, "no room for %zu", len);
	if (len > file->sink_max)
		file->sink_max = len;
	return buf_add(&file->bytes, data, len, err);
}

/* 0, or -1 as the module says. */
static int
write_file(struct file *file, int level, const unsigned char *plain,
    size_t len, size_t piece, struct err *err)
{
	struct pack *pack = NULL;
	size_t at, n;
	int ret = -1;

	if (pack_new(level, sink, file, &pack, err) != 0)
		return -1;
	for (at = 0; at < len; at += n) {
		n = len - at < piece ? len - at : piece;
		if (pack_write(pack, plain + at, n, err) != 0)
			goto out;
	}
	ret = pack_finish(pack, err);
out:
	pack_free(&pack);
	assert_null(pack);
	return ret;
}

static void
make_file(struct file *file, const unsigned char *plain, size_t len)
{
	struct err err;

	file_init(file);
	assert_ok(write_file(file, 1, plain, len, 65536, &err), err);
}

static void
add32(struct buf *out, size_t n)
{
	unsigned char bytes[4];
	struct err err;

	put32(bytes, n);
	assert_ok(buf_add(out, bytes, sizeof(bytes), &err), err);
}

/* One frame by libzstd with parameters of the test's own, and no table. */
static void
add_frame(struct buf *out, const void *plain, size_t len, int window_log,
    int checksum)
{
	size_t max = ZSTD_compressBound(len), stored;
	void *bytes = malloc(max);
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	struct err err;

	assert_non_null(bytes);
	assert_non_null(zstd);
	(void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, window_log);
	(void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, checksum);
	(void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, 0);
	stored = ZSTD_compress2(zstd, bytes, max, plain, len);
	assert_false(ZSTD_isError(stored));
	assert_ok(buf_add(out, bytes, stored, &err), err);
	(void)__real_ZSTD_freeCCtx(zstd);
	free(bytes);
}

/* The table of one frame that is all that is there. */
static void
add_table(struct buf *out, size_t plain)
{
	size_t stored = out->len;
	struct err err;

	add32(out, SKIPPABLE_MAGIC);
	add32(out, ENTRY_BYTES + FOOT_BYTES);
	add32(out, stored);
	add32(out, plain);
	add32(out, 1);
	assert_ok(buf_add(out, "", 1, &err), err);
	add32(out, SEEKABLE_MAGIC);
}

static int
open_bytes(const void *data, size_t len)
{
	int fd = memfd_create("stored", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	return fd;
}

/* --- reading ------------------------------------------------------------- */

static struct unpack *
open_file(const struct file *file, int fd, size_t plain_len)
{
	struct unpack *u = NULL;
	struct err err;

	assert_ok(unpack_new(fd, (int64_t)file->bytes.len, (int64_t)plain_len,
	    &u, &err), err);
	assert_non_null(u);
	return u;
}

static void
read_and_compare(struct unpack *u, const unsigned char *plain,
    size_t plain_len, size_t at, size_t len)
{
	unsigned char *out = malloc(len + 1);
	size_t want = at >= plain_len ? 0 :
	    plain_len - at < len ? plain_len - at : len;
	struct err err = { .msg = "" };
	int64_t got;

	assert_non_null(out);
	out[want] = 0x5a;
	got = unpack_read(u, (int64_t)at, out, len, &err);
	if (got != (int64_t)want)
		fail_msg("%lld of %zu bytes at %zu: %s", (long long)got, want,
		    at, err.msg);
	if (memcmp(out, plain + at, want) != 0)
		fail_msg("wrong bytes at %zu", at);
	assert_int_equal(out[want], 0x5a);
	free(out);
}

static void
read_all(struct unpack *u, const unsigned char *plain, size_t len,
    size_t piece)
{
	size_t at;

	for (at = 0; at < len; at += piece)
		read_and_compare(u, plain, len, at, piece);
	read_and_compare(u, plain, len, len, piece);
}

/* Why the last file was refused. */
static char refusal[ERR_MSG_MAX];

/*
 * Read a file that may be anything, to its end.  Returns 0 if all of it could
 * be read, and then it must be what plain says; or -1 with a reason.
 */
static int
try_file(const void *data, size_t len, const unsigned char *plain,
    size_t plain_len)
{
	struct err err = { .msg = "" };
	struct unpack *u = NULL;
	unsigned char out[5000];
	int fd = open_bytes(data, len);
	int64_t n = 0;
	size_t at = 0;
	int ret = -1;

	if (unpack_new(fd, (int64_t)len, (int64_t)plain_len, &u, &err) != 0) {
		assert_null(u);
		goto out;
	}
	while ((n = unpack_read(u, (int64_t)at, out, sizeof(out), &err)) > 0) {
		/* Where it fails later, what came first may be wrong. */
		if (at + (size_t)n == plain_len)
			assert_memory_equal(out, plain + at, (size_t)n);
		at += (size_t)n;
	}
	if (n == 0) {
		assert_int_equal(at, plain_len);
		read_all(u, plain, plain_len, sizeof(out));
		ret = 0;
	}
out:
	if (ret != 0) {
		assert_int_equal(err.code, ERR_STORE);
		assert_non_null(strstr(err.msg, "stored file is damaged: "));
		(void)snprintf(refusal, sizeof(refusal), "%s", err.msg);
	}
	unpack_free(&u);
	(void)close(fd);
	return ret;
}

/* Read by libzstd alone, with the window that was promised. */
static void
zstd_reads_it(const struct file *file, const unsigned char *plain, size_t len)
{
	ZSTD_inBuffer in = { file->bytes.data, file->bytes.len, 0 };
	unsigned char *bytes = malloc(len + 1);
	ZSTD_outBuffer out = { bytes, len + 1, 0 };
	ZSTD_DCtx *zstd = ZSTD_createDCtx();
	size_t code;

	assert_non_null(bytes);
	assert_non_null(zstd);
	(void)ZSTD_DCtx_setParameter(zstd, ZSTD_d_windowLogMax,
	    PACK_WINDOW_LOG);
	do {
		code = __real_ZSTD_decompressStream(zstd, &out, &in);
		if (ZSTD_isError(code))
			fail_msg("%s", ZSTD_getErrorName(code));
	} while (in.pos < in.size);
	assert_int_equal(code, 0);
	assert_int_equal(out.pos, len);
	assert_memory_equal(bytes, plain, len);
	(void)__real_ZSTD_freeDCtx(zstd);
	free(bytes);
}

/* The frames as libzstd sees them, each with its size and a checksum, and the
 * table with the same sizes. */
static void
frames_are_as_promised(const struct file *file, size_t len)
{
	const unsigned char *at = (const unsigned char *)file->bytes.data;
	const unsigned char *end = at + file->bytes.len;
	size_t frames = (len + FRAME - 1) / FRAME, i, stored, plain;
	const unsigned char *entry = end - FOOT_BYTES - frames * ENTRY_BYTES;

	for (i = 0; i < frames; i++) {
		plain = i + 1 < frames ? FRAME : len - i * FRAME;
		stored = ZSTD_findFrameCompressedSize(at, (size_t)(end - at));
		assert_false(ZSTD_isError(stored));
		assert_int_equal(get32(at), FRAME_MAGIC);
		assert_int_equal(at[4] & 0x04, 0x04);
		assert_int_equal(ZSTD_getFrameContentSize(at,
		    (size_t)(end - at)), plain);
		assert_int_equal(get32(entry), stored);
		assert_int_equal(get32(entry + 4), plain);
		entry += ENTRY_BYTES;
		at += stored;
	}
	assert_int_equal(get32(at), SKIPPABLE_MAGIC);
	assert_int_equal(get32(at + 4), frames * ENTRY_BYTES + FOOT_BYTES);
	assert_int_equal(end - at, HEAD_BYTES + frames * ENTRY_BYTES +
	    FOOT_BYTES);
	assert_int_equal(get32(end - FOOT_BYTES), frames);
	assert_int_equal(end[-5], 0);
	assert_int_equal(get32(end - 4), SEEKABLE_MAGIC);
}

/* --- what it is for ------------------------------------------------------ */

static void
every_length_comes_back(void **state)
{
	static const size_t lengths[] = { 0, 1, 2, 65535, 65536, 65537,
		FRAME - 1, FRAME, FRAME + 1, 2 * FRAME + 54321 };
	static const size_t pieces[] = { 65536, 1009, 3 * FRAME + 7 };
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		unsigned char *plain = make_plain(lengths[i], i);
		struct file file;
		struct unpack *u;
		int fd;

		make_file(&file, plain, lengths[i]);
		assert_true(file.sink_max <= 65536);
		zstd_reads_it(&file, plain, lengths[i]);
		frames_are_as_promised(&file, lengths[i]);
		fd = open_bytes(file.bytes.data, file.bytes.len);
		u = open_file(&file, fd, lengths[i]);
		for (j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++)
			read_all(u, plain, lengths[i], pieces[j]);
		unpack_free(&u);
		assert_null(u);
		(void)close(fd);
		buf_fini(&file.bytes);
		free(plain);
	}
}

static void
pieces_written_make_no_difference(void **state)
{
	static const size_t pieces[] = { 1000003, 12345, 7, 2 * FRAME };
	size_t len = FRAME + 77777, i;
	unsigned char *plain = make_plain(len, 3);
	struct file whole, file;
	struct err err;

	(void)state;
	file_init(&whole);
	assert_ok(write_file(&whole, 1, plain, len, len, &err), err);
	for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		file_init(&file);
		assert_ok(write_file(&file, 1, plain, len, pieces[i], &err),
		    err);
		assert_int_equal(file.bytes.len, whole.bytes.len);
		assert_memory_equal(file.bytes.data, whole.bytes.data,
		    whole.bytes.len);
		buf_fini(&file.bytes);
	}
	buf_fini(&whole.bytes);
	free(plain);
}

/* What cannot be compressed grows by next to nothing. */
static void
noise_fits(void **state)
{
	size_t len = 2 * FRAME + 5, i;
	unsigned char *plain = malloc(len);
	uint64_t seed = 9;
	struct unpack *u;
	struct file file;
	int fd;

	(void)state;
	assert_non_null(plain);
	for (i = 0; i < len; i++)
		plain[i] = (unsigned char)next_random(&seed);
	make_file(&file, plain, len);
	assert_true(file.bytes.len < len + len / 256);
	zstd_reads_it(&file, plain, len);
	fd = open_bytes(file.bytes.data, file.bytes.len);
	u = open_file(&file, fd, len);
	read_all(u, plain, len, 65536);
	unpack_free(&u);
	(void)close(fd);
	buf_fini(&file.bytes);
	free(plain);
}

static void
every_level_is_bounded(void **state)
{
	size_t len = FRAME + 1000, at;
	unsigned char *plain = make_plain(len, 5);
	size_t stored[PACK_LEVEL_MAX + 1] = { 0 };
	struct file file;
	struct err err;
	int level;

	(void)state;
	/* Soon read. */
	for (at = 30000; at < len; at++)
		plain[at] = plain[at - 30000];
	for (level = 1; level <= PACK_LEVEL_MAX; level += 6) {
		file_init(&file);
		calls.compressor_max = 0;
		assert_ok(write_file(&file, level, plain, len, 65536, &err),
		    err);
		zstd_reads_it(&file, plain, len);
		assert_true(calls.compressor_max <
		    (level == 1 ? 1U << 20 : 3U << 20));
		stored[level] = file.bytes.len;
		buf_fini(&file.bytes);
	}
	assert_true(stored[PACK_LEVEL_MAX] < stored[1]);
	free(plain);
}

static void
any_position_can_be_entered(void **state)
{
	size_t len = 4 * FRAME + 4321, i, at, n;
	unsigned char *plain = make_plain(len, 11);
	uint64_t seed = 12;
	struct unpack *u;
	struct file file;
	int fd;

	(void)state;
	make_file(&file, plain, len);
	fd = open_bytes(file.bytes.data, file.bytes.len);
	u = open_file(&file, fd, len);
	/* Both sides of each border, forwards and backwards. */
	for (i = 0; i < 10; i++) {
		at = (i < 5 ? i : 9 - i) * FRAME;
		read_and_compare(u, plain, len, at, 1);
		read_and_compare(u, plain, len, at + FRAME - 1, 2);
		read_and_compare(u, plain, len, at + FRAME - 3, 1);
	}
	for (i = 0; i < 40; i++) {
		at = next_random(&seed) % len;
		n = next_random(&seed) % (i % 8 == 0 ? 2 * FRAME : 70000);
		read_and_compare(u, plain, len, at, n);
	}
	read_and_compare(u, plain, len, len - 1, 100);
	read_and_compare(u, plain, len, len, 100);
	read_and_compare(u, plain, len, len + 12345, 100);
	read_and_compare(u, plain, len, 0, len + 100);
	read_and_compare(u, plain, len, 5, 0);
	unpack_free(&u);
	(void)close(fd);
	buf_fini(&file.bytes);
	free(plain);
}

static void
going_on_decompresses_nothing_twice(void **state)
{
	size_t len = 3 * FRAME + 99, at, n;
	unsigned char *plain = make_plain(len, 21);
	struct unpack *u;
	struct file file;
	int fd;

	(void)state;
	make_file(&file, plain, len);
	fd = open_bytes(file.bytes.data, file.bytes.len);
	u = open_file(&file, fd, len);
	for (at = 0, n = 1; at < len; at += n, n = n * 7 % 65521 + 1)
		read_and_compare(u, plain, len, at, n);
	assert_int_equal(calls.inflated_bytes, len);
	/* The frames once; and of the table, the ends, all entries, and for
	 * each frame those before it once more. */
	assert_int_equal(calls.read_bytes, file.bytes.len +
	    (1 + 2 + 3 + 4) * ENTRY_BYTES);

	/* A jump costs what is before it in its frame, and not more. */
	calls.inflated_bytes = 0;
	read_and_compare(u, plain, len, FRAME + 1000, 10);
	assert_int_equal(calls.inflated_bytes, 1010);
	read_and_compare(u, plain, len, FRAME + 5000, 10);
	assert_int_equal(calls.inflated_bytes, 5010);
	read_and_compare(u, plain, len, 3 * FRAME + 50, 10);
	assert_int_equal(calls.inflated_bytes, 5010 + 60);
	read_and_compare(u, plain, len, 3 * FRAME + 50, 10);
	assert_int_equal(calls.inflated_bytes, 5010 + 60 + 60);
	/* Behind the end there is nothing to look at. */
	n = (size_t)calls.preads;
	read_and_compare(u, plain, len, len, 10);
	assert_int_equal(calls.preads, n);
	unpack_free(&u);
	(void)close(fd);
	buf_fini(&file.bytes);
	free(plain);
}

/*
 * 2600 frames, so that the table has three runs: frame i is one of three,
 * each of another length.
 */
static void
long_tables_are_entered_by_runs(void **state)
{
	static const uint32_t frames[] = { 0, 1, 1023, 1024, 1025, 2047, 2048,
		2599, 2, 1500, 2598, 700 };
	struct file kind[3], file;
	unsigned char *plain[3];
	size_t stored[3], i, n = 2600;
	struct unpack *u;
	struct err err;
	int fd;

	(void)state;
	file_init(&file);
	for (i = 0; i < 3; i++) {
		plain[i] = make_plain(FRAME, 30 + i);
		memset(plain[i], 'x', FRAME - 2000 - 100 * i);
		make_file(&kind[i], plain[i], FRAME);
		stored[i] = kind[i].bytes.len - HEAD_BYTES - ENTRY_BYTES -
		    FOOT_BYTES;
	}
	for (i = 0; i < n; i++)
		assert_ok(buf_add(&file.bytes, kind[i % 3].bytes.data,
		    stored[i % 3], &err), err);
	add32(&file.bytes, SKIPPABLE_MAGIC);
	add32(&file.bytes, n * ENTRY_BYTES + FOOT_BYTES);
	for (i = 0; i < n; i++) {
		add32(&file.bytes, stored[i % 3]);
		add32(&file.bytes, FRAME);
	}
	add32(&file.bytes, n);
	assert_ok(buf_add(&file.bytes, "", 1, &err), err);
	add32(&file.bytes, SEEKABLE_MAGIC);

	fd = open_bytes(file.bytes.data, file.bytes.len);
	u = open_file(&file, fd, n * FRAME);
	for (i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		char out[1000];
		int64_t at = (int64_t)frames[i] * PACK_FRAME_BYTES +
		    PACK_FRAME_BYTES - 1000;

		calls.read_bytes = 0;
		assert_int_equal(unpack_read(u, at, out, 1000, &err), 1000);
		assert_memory_equal(out, plain[frames[i] % 3] + FRAME - 1000,
		    1000);
		assert_true(calls.read_bytes <=
		    ENTRIES_AT_ONCE * ENTRY_BYTES + stored[frames[i] % 3]);
	}
	unpack_free(&u);
	(void)close(fd);
	buf_fini(&file.bytes);
	for (i = 0; i < 3; i++) {
		buf_fini(&kind[i].bytes);
		free(plain[i]);
	}
}

/* A table that takes several calls of the sink, and the most it can be. */
static void
the_longest_table_is_written(void **state)
{
	static const size_t counts[] = { 8190, 8191, 8192, 8193,
		PACK_FRAMES_MAX };
	struct pack *pack = NULL;
	struct unpack *u = NULL;
	struct file file;
	struct err err;
	size_t c, i, n;
	int fd;

	(void)state;
	for (c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		n = counts[c];
		file_init(&file);
		assert_ok(pack_new(1, sink, &file, &pack, &err), err);
		pack->stored = malloc(n * sizeof(*pack->stored));
		assert_non_null(pack->stored);
		for (i = 0; i < n; i++)
			pack->stored[i] = (uint32_t)(1 + i % 20);
		pack->frames = pack->room = n;
		pack->last_plain = 5;
		for (i = 0; i < n; i++)
			assert_ok(buf_add(&file.bytes, "as long as a frame is",
			    1 + i % 20, &err), err);
		assert_ok(pack_finish(pack, &err), err);
		assert_true(file.sink_max <= sizeof(pack->out));
		assert_true(file.sink_calls > 1);
		file.sink_fails = file.sink_calls;
		assert_err(pack_finish(pack, &err), err, ERR_SPACE,
		    "no room for ");
		pack_free(&pack);

		fd = open_bytes(file.bytes.data, file.bytes.len);
		u = open_file(&file, fd, (n - 1) * FRAME + 5);
		assert_int_equal(u->frames, n);
		unpack_free(&u);
		(void)close(fd);
		buf_fini(&file.bytes);
	}
}

static void
one_frame_too_many_is_refused(void **state)
{
	unsigned char *plain = make_plain(FRAME, 1);
	struct pack *pack = NULL;
	struct file file;
	struct err err;

	(void)state;
	file_init(&file);
	assert_ok(pack_new(1, sink, &file, &pack, &err), err);
	pack->stored = calloc(PACK_FRAMES_MAX, sizeof(*pack->stored));
	assert_non_null(pack->stored);
	pack->frames = PACK_FRAMES_MAX - 1;
	pack->room = PACK_FRAMES_MAX;
	assert_ok(pack_write(pack, plain, FRAME, &err), err);
	assert_ok(pack_write(pack, plain, FRAME - 1, &err), err);
	assert_err(pack_write(pack, plain, 1, &err), err, ERR_TOO_LARGE,
	    "over 1048576 MiB");
	pack_free(&pack);
	buf_fini(&file.bytes);
	free(plain);
}

/* --- damage -------------------------------------------------------------- */

#define SMALL 6000

static void
every_bit_of_the_table_counts(void **state)
{
	size_t len = FRAME + SMALL, at;
	unsigned char *plain = make_plain(len, 41);
	struct file file;
	struct unpack *u = NULL;
	struct err err;
	int bit, fd;

	(void)state;
	memset(plain, 'x', FRAME);
	make_file(&file, plain, len);
	for (at = file.bytes.len - HEAD_BYTES - 2 * ENTRY_BYTES - FOOT_BYTES;
	     at < file.bytes.len; at++) {
		for (bit = 0; bit < 8; bit++) {
			file.bytes.data[at] ^= (char)(1 << bit);
			fd = open_bytes(file.bytes.data, file.bytes.len);
			assert_err(unpack_new(fd, (int64_t)file.bytes.len,
			    (int64_t)len, &u, &err), err, ERR_STORE,
			    "the stored file is damaged: ");
			assert_null(u);
			(void)close(fd);
			file.bytes.data[at] ^= (char)(1 << bit);
		}
	}
	assert_int_equal(try_file(file.bytes.data, file.bytes.len, plain, len),
	    0);
	buf_fini(&file.bytes);
	free(plain);
}

static void
every_byte_of_a_frame_counts(void **state)
{
	size_t len = 2000, at, frame, refused = 0;
	unsigned char *plain = make_plain(len, 43);
	struct file file;
	char old;

	(void)state;
	make_file(&file, plain, len);
	frame = file.bytes.len - HEAD_BYTES - ENTRY_BYTES - FOOT_BYTES;
	for (at = 0; at < frame; at++) {
		old = file.bytes.data[at];
		file.bytes.data[at] ^= (char)(1 << at % 8);
		if (try_file(file.bytes.data, file.bytes.len, plain, len) !=
		    0)
			refused++;
		file.bytes.data[at] = (char)~old;
		if (try_file(file.bytes.data, file.bytes.len, plain, len) !=
		    0)
			refused++;
		file.bytes.data[at] = old;
	}
	/* The format has a few bits that mean nothing: reserved, padding. */
	assert_in_range(refused, 2 * frame - 8, 2 * frame);
	buf_fini(&file.bytes);
	free(plain);
}

static void
a_damaged_frame_spares_the_others(void **state)
{
	size_t len = 2 * FRAME + SMALL, middle;
	unsigned char *plain = make_plain(len, 47);
	unsigned char out[1000];
	struct file file;
	struct unpack *u;
	struct err err;
	int fd;

	(void)state;
	make_file(&file, plain, len);
	middle = ZSTD_findFrameCompressedSize(file.bytes.data, file.bytes.len);
	/* The checksum's last byte, so that all else can be read. */
	middle += ZSTD_findFrameCompressedSize(file.bytes.data + middle,
	    file.bytes.len - middle) - 1;
	file.bytes.data[middle] ^= 1;
	fd = open_bytes(file.bytes.data, file.bytes.len);
	u = open_file(&file, fd, len);
	read_and_compare(u, plain, len, 0, FRAME);
	read_and_compare(u, plain, len, FRAME, FRAME - 1);
	assert_err((int)unpack_read(u, 2 * PACK_FRAME_BYTES - 1, out, 1, &err),
	    err, ERR_STORE, "stored file is damaged: ");
	read_and_compare(u, plain, len, 2 * FRAME, SMALL);
	assert_err((int)unpack_read(u, 2 * PACK_FRAME_BYTES - 1, out, 2, &err),
	    err, ERR_STORE, "stored file is damaged: ");
	read_and_compare(u, plain, len, FRAME + 17, 1000);
	read_and_compare(u, plain, len, 100, 1000);
	unpack_free(&u);
	(void)close(fd);
	buf_fini(&file.bytes);
	free(plain);
}

static void
a_part_of_a_file_is_refused(void **state)
{
	unsigned char *plain = make_plain(SMALL, 53);
	struct file file;
	struct unpack *u = NULL;
	struct err err;
	size_t len;
	int fd;

	(void)state;
	make_file(&file, plain, SMALL);
	for (len = 0; len < file.bytes.len; len++)
		assert_int_equal(try_file(file.bytes.data, len, plain, SMALL),
		    -1);
	/* It was longer when its size was asked for. */
	for (len = 0; len < file.bytes.len; len += 13) {
		fd = open_bytes(file.bytes.data, len);
		assert_err(unpack_new(fd, (int64_t)file.bytes.len, SMALL, &u,
		    &err), err, ERR_STORE, "it ends too early");
		(void)close(fd);
	}
	/* It has become shorter since it was opened. */
	fd = open_bytes(file.bytes.data, file.bytes.len);
	u = open_file(&file, fd, SMALL);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_err((int)unpack_read(u, 0, plain, SMALL, &err), err, ERR_STORE,
	    "it ends too early");
	unpack_free(&u);
	(void)close(fd);
	buf_fini(&file.bytes);
	free(plain);
}

static void
another_length_is_refused(void **state)
{
	static const int64_t lengths[] = { 0, 1, SMALL - 1, SMALL + 1,
		PACK_FRAME_BYTES, PACK_FRAME_BYTES + 1, -1, -SMALL,
		-PACK_FRAME_BYTES, INT64_MAX, INT64_MIN,
		(int64_t)PACK_FRAME_BYTES * UINT32_MAX + SMALL };
	unsigned char *plain = make_plain(SMALL, 59);
	struct unpack *u = NULL;
	struct file file;
	struct err err;
	size_t i;
	int fd;

	(void)state;
	make_file(&file, plain, SMALL);
	fd = open_bytes(file.bytes.data, file.bytes.len);
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		assert_err(unpack_new(fd, (int64_t)file.bytes.len, lengths[i],
		    &u, &err), err, ERR_STORE, "stored file is damaged: ");
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		if (lengths[i] != (int64_t)file.bytes.len)
			assert_err(unpack_new(fd, lengths[i], SMALL, &u, &err),
			    err, ERR_STORE, "stored file");
	(void)close(fd);
	/* A number of frames whose table would begin before the file. */
	put32((unsigned char *)file.bytes.data + file.bytes.len - FOOT_BYTES,
	    PACK_FRAMES_MAX);
	fd = open_bytes(file.bytes.data, file.bytes.len);
	assert_err(unpack_new(fd, (int64_t)file.bytes.len,
	    (int64_t)PACK_FRAMES_MAX * PACK_FRAME_BYTES, &u, &err), err,
	    ERR_STORE, "its table is longer than the file");
	(void)close(fd);
	assert_null(u);
	buf_fini(&file.bytes);
	free(plain);
}

/* Sizes that add up, and are those of no frame. */
static void
a_border_that_is_elsewhere_is_found(void **state)
{
	static const int shifts[] = { 1, -1, 4, -4, 13, -13, 20000, -20000 };
	size_t len = 2 * FRAME, i;
	unsigned char *plain = make_plain(len, 61), *table;
	uint32_t first, second;
	struct file file;

	(void)state;
	make_file(&file, plain, len);
	table = (unsigned char *)file.bytes.data + file.bytes.len -
	    FOOT_BYTES - 2 * ENTRY_BYTES;
	first = get32(table);
	second = get32(table + ENTRY_BYTES);
	for (i = 0; i < sizeof(shifts) / sizeof(shifts[0]); i++) {
		put32(table, (size_t)((int)first + shifts[i]));
		put32(table + ENTRY_BYTES, (size_t)((int)second - shifts[i]));
		assert_int_equal(try_file(file.bytes.data, file.bytes.len,
		    plain, len), -1);
	}
	/* Sizes that no frame can have, though their sum is right. */
	put32(table, first + second);
	put32(table + ENTRY_BYTES, 0);
	assert_int_equal(try_file(file.bytes.data, file.bytes.len, plain, len),
	    -1);
	assert_non_null(strstr(refusal, "sizes that no frame can have"));
	buf_fini(&file.bytes);
	free(plain);
}

/* The table of one frame, which is as long as it says. */
static void
impossible_sizes_are_not_tried(void **state)
{
	static const struct {
		size_t stored;
		int64_t plain;
	} sizes[] = {
		{ 0, 1 },
		{ STORED_MAX + 1, PACK_FRAME_BYTES },
		{ 20, -5 },
		{ 20, -PACK_FRAME_BYTES + 5 },
	};
	unsigned char *stored = calloc(1, STORED_MAX + 1);
	struct unpack *u = NULL;
	struct err err;
	struct buf b;
	size_t i;
	int fd;

	(void)state;
	assert_non_null(stored);
	buf_init(&b, 2 << 20);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		buf_reset(&b);
		assert_ok(buf_add(&b, stored, sizes[i].stored, &err), err);
		add_table(&b, (size_t)sizes[i].plain);
		fd = open_bytes(b.data, b.len);
		assert_err(unpack_new(fd, (int64_t)b.len, sizes[i].plain, &u,
		    &err), err, ERR_STORE, "stored file is damaged: ");
		assert_null(u);
		(void)close(fd);
	}
	buf_fini(&b);
	free(stored);
}

/* Each is one frame, and a table that says it holds SMALL bytes. */
static void
frames_that_are_none_of_ours_are_refused(void **state)
{
	unsigned char *plain = make_plain(2 * FRAME, 67);
	struct buf b;
	struct err err;
	int i;

	(void)state;
	buf_init(&b, 8 << 20);
	for (i = 0; i < 10; i++) {
		buf_reset(&b);
		switch (i) {
		case 0: /* more than it says */
			add_frame(&b, plain, SMALL + 1, 16, 1);
			break;
		case 1: /* less */
			add_frame(&b, plain, SMALL - 1, 16, 1);
			break;
		case 2: /* nothing at all */
			add_frame(&b, plain, 0, 16, 1);
			break;
		case 3: /* two frames that are right together */
			add_frame(&b, plain, 1000, 16, 1);
			add_frame(&b, plain + 1000, SMALL - 1000, 16, 1);
			break;
		case 4: /* one more after it, of nothing */
			add_frame(&b, plain, SMALL, 16, 1);
			add_frame(&b, plain, 0, 16, 1);
			break;
		case 5: /* a skippable one before it */
			add32(&b, SKIPPABLE_MAGIC);
			add32(&b, 4);
			add32(&b, 0);
			add_frame(&b, plain, SMALL, 16, 1);
			break;
		case 6: /* and after it */
			add_frame(&b, plain, SMALL, 16, 1);
			add32(&b, SKIPPABLE_MAGIC);
			add32(&b, 0);
			break;
		case 7: /* a format of before zstd 0.8, and so its bounds */
			add_frame(&b, plain, SMALL, 16, 1);
			put32((unsigned char *)b.data, 0xFD2FB527U);
			break;
		case 8: /* far more than an entry may name */
			add_frame(&b, plain, 2 * FRAME, 16, 1);
			assert_ok(buf_add(&b, plain, 2 * FRAME, &err), err);
			break;
		case 9: /* too little to be a frame */
			assert_ok(buf_add(&b, plain, 3, &err), err);
			break;
		}
		add_table(&b, SMALL);
		if (try_file(b.data, b.len, plain, SMALL) == 0)
			fail_msg("frame %d was read", i);
		/* Not even looked at by libzstd. */
		if (i == 5 || i == 7 || i == 9)
			assert_non_null(strstr(refusal,
			    "a frame does not begin where it should"));
	}
	buf_fini(&b);
	free(plain);
}

static void
a_window_over_ours_is_refused(void **state)
{
	static const unsigned exponents[] = { 6, 7, 8, 10, 17, 21, 31 };
	unsigned char *plain = calloc(1, FRAME), *out = malloc(FRAME);
	struct unpack *u;
	struct file file;
	struct err err;
	size_t i;
	int fd;

	(void)state;
	assert_non_null(plain);
	assert_non_null(out);
	make_file(&file, plain, FRAME);
	/* RFC 8878, 3.1.1.1.2: 2^(10 + exponent) bytes, and eighths of it. */
	assert_int_equal(file.bytes.data[5], 6 << 3);
	for (i = 0; i < sizeof(exponents) / sizeof(exponents[0]); i++) {
		file.bytes.data[5] = (char)(exponents[i] << 3 | 1);
		assert_int_equal(try_file(file.bytes.data, file.bytes.len,
		    plain, FRAME), -1);
		/* All at once, where zstd would need no window. */
		fd = open_bytes(file.bytes.data, file.bytes.len);
		u = open_file(&file, fd, FRAME);
		assert_err((int)unpack_read(u, 0, out, FRAME, &err), err,
		    ERR_STORE, "stored file is damaged: ");
		unpack_free(&u);
		(void)close(fd);
	}
	buf_fini(&file.bytes);
	free(out);
	free(plain);
}

/* 170,000 blocks of nothing, then the bytes. */
static void
empty_blocks_come_to_an_end(void **state)
{
	static const unsigned char head[] = { 0x28, 0xb5, 0x2f, 0xfd, 0, 0x30 };
	static const unsigned char block[] = { 0, 0, 0 };
	static const unsigned char last[] = { 9, 0, 0, '!' };
	unsigned char plain = '!';
	struct err err;
	struct buf b;
	int i;

	(void)state;
	buf_init(&b, 2 << 20);
	assert_ok(buf_add(&b, head, sizeof(head), &err), err);
	for (i = 0; i < 170000; i++)
		assert_ok(buf_add(&b, block, sizeof(block), &err), err);
	assert_ok(buf_add(&b, last, sizeof(last), &err), err);
	add_table(&b, 1);
	assert_int_equal(try_file(b.data, b.len, &plain, 1), 0);

	/* And never the bytes. */
	buf_reset(&b);
	assert_ok(buf_add(&b, head, sizeof(head), &err), err);
	for (i = 0; i < 170000; i++)
		assert_ok(buf_add(&b, block, sizeof(block), &err), err);
	add_table(&b, 1);
	assert_int_equal(try_file(b.data, b.len, &plain, 1), -1);
	buf_fini(&b);
}

/* --- what fails around it ------------------------------------------------ */

static void
the_sinks_error_is_passed_on(void **state)
{
	size_t len = FRAME + 300000;
	unsigned char *plain = make_plain(len, 73);
	struct file file;
	struct err err;
	int i, whole;

	(void)state;
	make_file(&file, plain, len);
	whole = file.sink_calls;
	assert_true(whole > 3);
	buf_fini(&file.bytes);
	for (i = 0; i < whole; i++) {
		file_init(&file);
		file.sink_fails = i;
		assert_err(write_file(&file, 1, plain, len, 65536, &err), err,
		    ERR_SPACE, "no room for ");
		assert_int_equal(file.sink_calls, i + 1);
		buf_fini(&file.bytes);
	}
	free(plain);
}

static void
a_writer_without_memory_says_so(void **state)
{
	size_t len = 65 * FRAME;
	unsigned char *plain = calloc(1, len);
	struct pack *pack = NULL;
	struct file file;
	struct err err;
	int i;

	(void)state;
	assert_non_null(plain);
	file_init(&file);
	calls.no_calloc = true;
	assert_err(pack_new(1, sink, &file, &pack, &err), err, ERR_NOMEM,
	    "no memory for compression");
	calls.no_calloc = false;
	calls.no_compressor = true;
	assert_err(pack_new(1, sink, &file, &pack, &err), err, ERR_NOMEM,
	    "no memory for compression");
	assert_null(pack);
	calls.no_compressor = false;
	calls.no_reallocarray = true;
	assert_err(write_file(&file, 1, plain, 1, 1, &err), err, ERR_NOMEM,
	    "table of 64 frames");
	calls.no_reallocarray = false;
	assert_ok(pack_new(1, sink, &file, &pack, &err), err);
	assert_ok(pack_write(pack, plain, 64 * FRAME, &err), err);
	calls.no_reallocarray = true;
	assert_err(pack_write(pack, plain, FRAME, &err), err, ERR_NOMEM,
	    "table of 128 frames");
	calls.no_reallocarray = false;
	pack_free(&pack);

	for (i = 0; i < 2; i++) {
		calls.zstd_error = ZSTD_error_memory_allocation;
		calls.deflate_fails = i;
		assert_err(write_file(&file, 1, plain, 2 * FRAME, FRAME, &err),
		    err, ERR_NOMEM, "no memory for compression");
		calls.zstd_error = ZSTD_error_stage_wrong;
		calls.deflate_fails = i;
		assert_err(write_file(&file, 1, plain, 2 * FRAME, FRAME, &err),
		    err, ERR_INTERNAL, "compression: ");
	}
	buf_fini(&file.bytes);
	free(plain);
}

static void
a_reader_without_memory_says_so(void **state)
{
	unsigned char *plain = make_plain(SMALL, 79);
	unsigned char out[SMALL];
	struct unpack *u = NULL;
	struct file file;
	struct err err;
	int fd, i;

	(void)state;
	make_file(&file, plain, SMALL);
	fd = open_bytes(file.bytes.data, file.bytes.len);
	calls.no_calloc = true;
	assert_err(unpack_new(fd, (int64_t)file.bytes.len, SMALL, &u, &err),
	    err, ERR_NOMEM, "no memory for decompression");
	calls.no_calloc = false;
	calls.no_decompressor = true;
	assert_err(unpack_new(fd, (int64_t)file.bytes.len, SMALL, &u, &err),
	    err, ERR_NOMEM, "no memory for decompression");
	assert_null(u);
	calls.no_decompressor = false;
	u = open_file(&file, fd, SMALL);
	calls.zstd_error = ZSTD_error_memory_allocation;
	for (i = 0; i < 3; i++) {
		calls.inflate_fails = 0;
		assert_err((int)unpack_read(u, 0, out, SMALL, &err), err,
		    ERR_NOMEM, "no memory for decompression");
	}
	read_and_compare(u, plain, SMALL, 0, SMALL);
	unpack_free(&u);
	unpack_free(&u);
	unpack_free(NULL);
	pack_free(NULL);
	(void)close(fd);
	buf_fini(&file.bytes);
	free(plain);
}

static void
short_and_interrupted_reads_are_repeated(void **state)
{
	static const size_t at_most[] = { 1, 3, 8, 4099 };
	unsigned char *plain = make_plain(SMALL, 83);
	struct unpack *u;
	struct file file;
	size_t i;
	int fd;

	(void)state;
	make_file(&file, plain, SMALL);
	fd = open_bytes(file.bytes.data, file.bytes.len);
	for (i = 0; i < sizeof(at_most) / sizeof(at_most[0]); i++) {
		calls.at_most = at_most[i];
		calls.interrupted = i % 2 == 0;
		u = open_file(&file, fd, SMALL);
		read_all(u, plain, SMALL, 1000);
		unpack_free(&u);
	}
	(void)close(fd);
	buf_fini(&file.bytes);
	free(plain);
}

static void
a_read_that_fails_is_told(void **state)
{
	size_t len = 2 * FRAME;
	unsigned char *plain = make_plain(len, 89);
	unsigned char *out = malloc(len);
	struct unpack *u = NULL;
	struct file file;
	struct err err;
	int fd, i, opening, all;

	(void)state;
	assert_non_null(out);
	make_file(&file, plain, len);
	fd = open_bytes(file.bytes.data, file.bytes.len);
	u = open_file(&file, fd, len);
	opening = calls.preads;
	read_and_compare(u, plain, len, 0, len);
	all = calls.preads;
	unpack_free(&u);
	assert_true(opening >= 3 && all > opening + 3);

	calls.read_errnum = EIO;
	for (i = 0; i < opening; i++) {
		calls.read_fails = i;
		assert_err(unpack_new(fd, (int64_t)file.bytes.len,
		    (int64_t)len, &u, &err), err, ERR_STORE,
		    "reading the stored file: Input/output error");
		assert_null(u);
	}
	calls.read_fails = NEVER;
	u = open_file(&file, fd, len);
	for (i = 0; i < all - opening; i++) {
		calls.read_fails = i;
		assert_err((int)unpack_read(u, 0, out, len, &err), err,
		    ERR_STORE, "reading the stored file: Input/output error");
		calls.read_fails = NEVER;
		/* Going on from anywhere is not led astray by it. */
		read_and_compare(u, plain, len, (size_t)i * 100000, 100000);
		u->open = false;
	}
	/* On the way to where it begins, too: the entry, two pieces. */
	calls.read_fails = 2;
	assert_err((int)unpack_read(u, PACK_FRAME_BYTES - 10, out, 5, &err),
	    err, ERR_STORE, "reading the stored file: Input/output error");
	assert_int_equal(calls.read_fails, NEVER);
	unpack_free(&u);
	(void)close(fd);
	buf_fini(&file.bytes);
	free(out);
	free(plain);
}

#define A_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, check_memory)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		A_TEST(every_length_comes_back),
		A_TEST(pieces_written_make_no_difference),
		A_TEST(noise_fits),
		A_TEST(every_level_is_bounded),
		A_TEST(any_position_can_be_entered),
		A_TEST(going_on_decompresses_nothing_twice),
		A_TEST(long_tables_are_entered_by_runs),
		A_TEST(the_longest_table_is_written),
		A_TEST(one_frame_too_many_is_refused),
		A_TEST(every_bit_of_the_table_counts),
		A_TEST(every_byte_of_a_frame_counts),
		A_TEST(a_damaged_frame_spares_the_others),
		A_TEST(a_part_of_a_file_is_refused),
		A_TEST(another_length_is_refused),
		A_TEST(a_border_that_is_elsewhere_is_found),
		A_TEST(impossible_sizes_are_not_tried),
		A_TEST(frames_that_are_none_of_ours_are_refused),
		A_TEST(a_window_over_ours_is_refused),
		A_TEST(empty_blocks_come_to_an_end),
		A_TEST(the_sinks_error_is_passed_on),
		A_TEST(a_writer_without_memory_says_so),
		A_TEST(a_reader_without_memory_says_so),
		A_TEST(short_and_interrupted_reads_are_repeated),
		A_TEST(a_read_that_fails_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
