/*
 * Artifact files as they are read, in both codings and from anywhere, and what
 * is refused.
 */
#include <errno.h>
#include <zstd.h>

#include "artifacts.h"

#include "pack.h"

#define FRAME ((size_t)PACK_FRAME_BYTES)

static int preads_left = -1;	/* that go well before one fails; -1: all */
static int pread_errnum;
static bool no_memory;

ssize_t __wrap_pread(int fd, void *out, size_t len, off_t at);
ssize_t __real_pread(int fd, void *out, size_t len, off_t at);
void *__wrap_calloc(size_t n, size_t size);
void *__real_calloc(size_t n, size_t size);

ssize_t
__wrap_pread(int fd, void *out, size_t len, off_t at)
{
	if (preads_left < 0 || preads_left-- > 0)
		return __real_pread(fd, out, len, at);
	errno = pread_errnum;
	return -1;
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return no_memory ? NULL : __real_calloc(n, size);
}

static int
teardown(void **state)
{
	preads_left = -1;
	no_memory = false;
	return remove_fixture(state);
}

static void
refuse_open(const struct fixture *f, const struct artifact_sum *sum,
    enum err_code code, const char *want)
{
	struct artifact_reader *reader = NULL;
	struct err err;

	assert_err(artifact_open(f->dir, JOB, "heapsnapshot", sum, &reader,
	    &err), err, code, want);
	assert_null(reader);
}

/* What is at a place, in as many calls as it takes. */
static void
expect_bytes(struct artifact_reader *reader, enum artifact_coding coding,
    const char *bytes, size_t len, size_t at, size_t piece)
{
	char *out = malloc(piece);
	struct err err;
	size_t wanted;
	int64_t n;

	assert_non_null(out);
	for (;;) {
		n = artifact_read(reader, coding, (int64_t)at, out, piece,
		    &err);
		if (n < 0)
			fail_msg("at %zu: %s", at, err.msg);
		if (n == 0)
			break;
		wanted = len - at < piece ? len - at : piece;
		assert_true((size_t)n <= wanted);
		assert_memory_equal(out, bytes + at, (size_t)n);
		at += (size_t)n;
	}
	assert_int_equal(at, len);
	free(out);
}

static void
levels_store_the_same_bytes(void **state)
{
	static const int levels[] = {1, 3, 9, PACK_LEVEL_MAX};
	const size_t len = 300000;
	struct fixture *f = *state;
	struct artifact_form form = zstd_form;
	struct artifact_reader *reader;
	struct artifact_sum sum;
	char want[DIGEST_HEX_MAX], *bytes = make_bytes(len);
	int64_t first = 0;
	size_t i;

	sha256_of(bytes, len, want);
	for (i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		form.level = levels[i];
		sum = put_whole(f, &form, bytes, len, 5000);
		assert_string_equal(sum.sha256, want);
		/* The noise is half of it. */
		assert_in_range(sum.stored_bytes, len * 4 / 10,
		    len * 6 / 10);
		reader = open_reader(f, &sum);
		expect_bytes(reader, ARTIFACT_IDENTITY, bytes, len, 0, 65536);
		artifact_close(&reader);
		if (i == 0)
			first = sum.stored_bytes;
	}
	assert_true(sum.stored_bytes <= first);
	free(bytes);
}

/* Sizes about the edges of a frame, in pieces about those of a buffer. */
static void
both_codings_are_read_back(void **state)
{
	static const size_t sizes[] = {
		0, 1, 4095, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME + 12345,
	};
	const size_t most = 3 * FRAME + 12345;
	struct fixture *f = *state;
	char want[DIGEST_HEX_MAX], *bytes = make_bytes(most), *stored;
	struct artifact_reader *reader;
	struct artifact_sum sum;
	size_t i, len;
	int packed;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (packed = 0; packed < 2; packed++) {
			sum = put_whole(f, packed ? &zstd_form :
			    &identity_form, bytes, sizes[i], 65521);
			assert_int_equal(sum.size_bytes, sizes[i]);
			sha256_of(bytes, sizes[i], want);
			assert_string_equal(sum.sha256, want);
			stored = read_file(packed ? f->zst_path : f->path,
			    &len);
			assert_int_equal(sum.stored_bytes, len);
			sha256_of(stored, len, want);
			assert_string_equal(sum.stored_sha256, want);
			reader = open_reader(f, &sum);
			expect_bytes(reader, ARTIFACT_IDENTITY, bytes,
			    sizes[i], 0, 16384);
			if (packed)
				expect_bytes(reader, ARTIFACT_ZSTD, stored,
				    len, 0, 16381);
			artifact_close(&reader);
			assert_null(reader);
			artifact_close(&reader);
			free(stored);
		}
	artifact_close(NULL);
	free(bytes);
}

static void
any_zstd_tool_reads_the_file(void **state)
{
	const size_t len = 2 * FRAME + 777;
	struct fixture *f = *state;
	char *bytes = make_bytes(len), *plain = malloc(len + 1), *stored;
	size_t stored_len;

	assert_non_null(plain);
	(void)put_whole(f, &zstd_form, bytes, len, 70000);
	stored = read_file(f->zst_path, &stored_len);
	assert_int_equal(ZSTD_decompress(plain, len + 1, stored, stored_len),
	    len);
	assert_memory_equal(plain, bytes, len);
	free(stored);
	free(plain);
	free(bytes);
}

static void
any_place_is_reached(void **state)
{
	const size_t len = 3 * FRAME + 12345;
	const size_t places[] = {
		2 * FRAME - 5, 0, len - 1, FRAME, len, 2 * FRAME, 1,
		len + 1000000, 3 * FRAME - 1, 17, len - 12345,
	};
	struct fixture *f = *state;
	char *bytes = make_bytes(len), out[11];
	const struct artifact_form *form;
	struct artifact_reader *reader;
	struct artifact_sum sum;
	size_t i, want;
	struct err err;
	int64_t n;
	int packed;

	for (packed = 0; packed < 2; packed++) {
		form = packed ? &zstd_form : &identity_form;
		sum = put_whole(f, form, bytes, len, len);
		reader = open_reader(f, &sum);
		for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			want = places[i] >= len ? 0 : len - places[i];
			if (want > sizeof(out))
				want = sizeof(out);
			n = artifact_read(reader, ARTIFACT_IDENTITY,
			    (int64_t)places[i], out, sizeof(out), &err);
			assert_int_equal(n, want);
			assert_memory_equal(out, bytes + (want > 0 ?
			    places[i] : 0), want);
		}
		/* Also far beyond what a file can be. */
		assert_int_equal(artifact_read(reader, ARTIFACT_IDENTITY,
		    INT64_MAX, out, sizeof(out), &err), 0);
		assert_int_equal(artifact_read(reader, form->coding,
		    INT64_MAX, out, sizeof(out), &err), 0);
		artifact_close(&reader);
	}
	free(bytes);
}

static void
missing_and_changed_files_are_gone(void **state)
{
	struct fixture *f = *state;
	struct artifact_sum sum = put_whole(f, &identity_form, "text", 4, 4);
	char want[100];

	sum.stored_bytes = sum.size_bytes = 5;
	refuse_open(f, &sum, ERR_GONE, "has 4 bytes, but 5 were written: it "
	    "was changed or damaged");
	sum.stored_bytes = sum.size_bytes = 3;
	refuse_open(f, &sum, ERR_GONE, "has 4 bytes, but 3 were written");
	sum.coding = ARTIFACT_ZSTD;
	refuse_open(f, &sum, ERR_GONE, f->zst_path);
	assert_int_equal(unlink(f->path), 0);
	sum.coding = ARTIFACT_IDENTITY;
	refuse_open(f, &sum, ERR_GONE, f->path);
	sum = put_whole(f, &zstd_form, "text", 4, 4);
	assert_int_equal(truncate(f->zst_path, sum.stored_bytes - 1), 0);
	(void)snprintf(want, sizeof(want), "has %d bytes, but %d were written",
	    (int)sum.stored_bytes - 1, (int)sum.stored_bytes);
	refuse_open(f, &sum, ERR_GONE, want);
	assert_int_equal(truncate(f->zst_path, 0), 0);
	refuse_open(f, &sum, ERR_GONE, "has 0 bytes");
}

static void
only_regular_files_are_opened(void **state)
{
	const struct artifact_sum empty = {.coding = ARTIFACT_IDENTITY};
	struct fixture *f = *state;

	assert_int_equal(symlink("/etc/passwd", f->path), 0);
	refuse_open(f, &empty, ERR_STORE, f->path);
	assert_int_equal(unlink(f->path), 0);
	/* Does not wait for somebody to write. */
	assert_int_equal(mkfifo(f->path, 0600), 0);
	refuse_open(f, &empty, ERR_STORE, "not a regular file");
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(mkdir(f->path, 0700), 0);
	refuse_open(f, &empty, ERR_STORE, "not a regular file");
}

/* Another file of the same length is none of ours: it has no table. */
static void
foreign_frames_are_refused(void **state)
{
	const size_t len = FRAME + 1;
	struct fixture *f = *state;
	char *bytes = make_bytes(len);
	struct artifact_sum sum = put_whole(f, &zstd_form, bytes, len, len);
	struct artifact_sum wrong = sum;
	size_t stored_len;
	FILE *file;
	char *stored;

	wrong.size_bytes--;
	refuse_open(f, &wrong, ERR_STORE, f->zst_path);
	stored = read_file(f->zst_path, &stored_len);
	file = fopen(f->zst_path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, stored_len, file), stored_len);
	assert_int_equal(fclose(file), 0);
	refuse_open(f, &sum, ERR_STORE, f->zst_path);
	free(stored);
	free(bytes);
}

static void
damaged_frame_is_told_and_others_are_read(void **state)
{
	const size_t len = 3 * FRAME;
	struct fixture *f = *state;
	char *bytes = make_bytes(len), *out = malloc(FRAME);
	struct artifact_sum sum = put_whole(f, &zstd_form, bytes, len, len);
	struct artifact_reader *reader;
	struct err err;
	int64_t n = 0;
	size_t at;
	FILE *file;

	assert_non_null(out);
	/* In the middle of the second of three. */
	file = fopen(f->zst_path, "r+");
	assert_non_null(file);
	assert_int_equal(fseek(file, (long)sum.stored_bytes / 2, SEEK_SET), 0);
	at = (size_t)fgetc(file);
	assert_int_equal(fseek(file, (long)sum.stored_bytes / 2, SEEK_SET), 0);
	assert_true(fputc((int)(at ^ 0x55), file) >= 0);
	assert_int_equal(fclose(file), 0);
	reader = open_reader(f, &sum);
	assert_int_equal(artifact_read(reader, ARTIFACT_IDENTITY, 0, out,
	    FRAME, &err), FRAME);
	assert_memory_equal(out, bytes, FRAME);
	/* Not all of it is ever given out. */
	for (at = FRAME; at < 2 * FRAME; at += (size_t)n) {
		n = artifact_read(reader, ARTIFACT_IDENTITY, (int64_t)at, out,
		    65536, &err);
		if (n < 0)
			break;
	}
	assert_int_equal(n, -1);
	assert_int_equal(err.code, ERR_STORE);
	expect_bytes(reader, ARTIFACT_IDENTITY, bytes, len, 2 * FRAME, 65536);
	artifact_close(&reader);
	free(out);
	free(bytes);
}

static void
file_that_shrinks_is_told(void **state)
{
	struct fixture *f = *state;
	struct artifact_sum sum;
	struct artifact_reader *reader;
	char out[10];
	struct err err;
	int packed;

	for (packed = 0; packed < 2; packed++) {
		sum = put_whole(f, packed ? &zstd_form : &identity_form,
		    "text", 4, 4);
		reader = open_reader(f, &sum);
		assert_int_equal(truncate(packed ? f->zst_path : f->path, 0),
		    0);
		assert_err(artifact_read(reader, sum.coding, 0, out,
		    sizeof(out), &err), err, ERR_STORE,
		    "became shorter while it was read");
		assert_err(artifact_read(reader, ARTIFACT_IDENTITY, 0, out,
		    sizeof(out), &err), err, ERR_STORE, "");
		artifact_close(&reader);
	}
}

static void
failing_disk_is_told(void **state)
{
	struct fixture *f = *state;
	struct artifact_sum sum = put_whole(f, &zstd_form, "text", 4, 4);
	struct artifact_reader *reader;
	char out[100];
	struct err err;

	preads_left = 0;
	pread_errnum = EIO;
	refuse_open(f, &sum, ERR_STORE, "Input/output error");
	preads_left = -1;
	reader = open_reader(f, &sum);
	preads_left = 0;
	assert_err(artifact_read(reader, ARTIFACT_IDENTITY, 0, out,
	    sizeof(out), &err), err, ERR_STORE, "Input/output error");
	preads_left = 0;
	assert_err(artifact_read(reader, ARTIFACT_ZSTD, 0, out, sizeof(out),
	    &err), err, ERR_STORE, "Input/output error");
	/* Once it is well again, so is the reader. */
	pread_errnum = EINTR;
	preads_left = 0;
	assert_int_equal(artifact_read(reader, ARTIFACT_ZSTD, 0, out,
	    sizeof(out), &err), sum.stored_bytes);
	preads_left = -1;
	expect_bytes(reader, ARTIFACT_IDENTITY, "text", 4, 0, 3);
	artifact_close(&reader);
	no_memory = true;
	refuse_open(f, &sum, ERR_NOMEM, "no memory");
}

static void
expect_there(const struct fixture *f, const struct artifact_sum *sum,
    bool want)
{
	bool there = !want;
	struct err err;

	assert_ok(artifact_is_there(f->dir, JOB, "heapsnapshot", sum, &there,
	    &err), err);
	assert_int_equal(there, want);
}

static void
file_is_there_with_its_size(void **state)
{
	struct fixture *f = *state;
	struct artifact_sum sum = put_whole(f, &zstd_form, "text", 4, 4);
	struct artifact_sum other = sum;
	bool there = true;
	struct err err;

	expect_there(f, &sum, true);
	other.stored_bytes--;
	expect_there(f, &other, false);
	other = sum;
	other.coding = ARTIFACT_IDENTITY;
	expect_there(f, &other, false);
	/* Neither a link to it, nor what is no file. */
	assert_int_equal(rename(f->zst_path, f->path), 0);
	assert_int_equal(symlink(f->path, f->zst_path), 0);
	expect_there(f, &sum, false);
	assert_int_equal(unlink(f->zst_path), 0);
	assert_int_equal(mkdir(f->zst_path, 0700), 0);
	expect_there(f, &sum, false);
	/* Where the directory is none, nothing can be said. */
	assert_err(artifact_is_there(f->path, JOB, "heapsnapshot", &sum,
	    &there, &err), err, ERR_STORE, "Not a directory");
	assert_true(there);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(levels_store_the_same_bytes),
		TEST(both_codings_are_read_back),
		TEST(any_zstd_tool_reads_the_file),
		TEST(any_place_is_reached),
		TEST(missing_and_changed_files_are_gone),
		TEST(only_regular_files_are_opened),
		TEST(foreign_frames_are_refused),
		TEST(damaged_frame_is_told_and_others_are_read),
		TEST(file_that_shrinks_is_told),
		TEST(failing_disk_is_told),
		TEST(file_is_there_with_its_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
