/*
 * What the unit programs of artifact share: a state directory, files with
 * bytes that can be told apart, and a digest that is not podprof's.
 */
#ifndef PODPROF_ARTIFACTS_H
#define PODPROF_ARTIFACTS_H

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include "test.h"

#include "artifact.h"
#include "str.h"

#define JOB "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77"

static const struct artifact_form identity_form = {
	.coding = ARTIFACT_IDENTITY,
};
static const struct artifact_form zstd_form = {
	.coding = ARTIFACT_ZSTD, .level = 1,
};

struct fixture {
	char dir[256];
	char artifacts[300];
	char part[400];
	char path[400];		/* of the file, as it is */
	char zst_path[400];	/* of the file, as zstd */
};

static inline int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;

	if (f == NULL)
		return -1;
	test_make_dir(f->dir);
	(void)snprintf(f->artifacts, sizeof(f->artifacts), "%s/artifacts",
	    f->dir);
	(void)snprintf(f->part, sizeof(f->part), "%s/" JOB ".part",
	    f->artifacts);
	(void)snprintf(f->path, sizeof(f->path), "%s/" JOB ".heapsnapshot",
	    f->artifacts);
	(void)snprintf(f->zst_path, sizeof(f->zst_path), "%s/" JOB
	    ".heapsnapshot.zst", f->artifacts);
	assert_ok(artifact_check_dirs(f->dir, false, &err), err);
	*state = f;
	return 0;
}

static inline int
remove_fixture(void **state)
{
	struct fixture *f = *state;

	test_remove_dir(f->dir);
	free(f);
	return 0;
}

static inline bool
is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static inline void
write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	(void)fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static inline struct artifact *
create(const struct fixture *f, const struct artifact_form *form)
{
	struct artifact *artifact = NULL;
	struct err err;

	assert_ok(artifact_create(f->dir, JOB, "heapsnapshot", form, &artifact,
	    &err), err);
	return artifact;
}

/* Bytes of which no two places look alike: half text, half noise. */
static inline char *
make_bytes(size_t len)
{
	char *bytes = malloc(len + 1);
	uint64_t noise = 88172645463325252u;
	size_t i;

	assert_non_null(bytes);
	for (i = 0; i < len; i++) {
		noise ^= noise << 13;
		noise ^= noise >> 7;
		noise ^= noise << 17;
		bytes[i] = (i >> 12) % 2 == 0 ? "{\"nodes\":[0,1,2],"[i % 17] :
		    (char)noise;
	}
	return bytes;
}

/* Write the bytes in pieces, as they may come, and commit. */
static inline struct artifact_sum
put_whole(const struct fixture *f, const struct artifact_form *form,
    const char *bytes, size_t len, size_t piece)
{
	struct artifact *artifact = create(f, form);
	struct artifact_sum sum;
	struct err err;
	size_t at, n;

	for (at = 0; at < len; at += n) {
		n = len - at < piece ? len - at : piece;
		assert_ok(artifact_write(artifact, bytes + at, n, &err), err);
		assert_true(artifact_stored_bytes(artifact) <=
		    (int64_t)(at + n) + 4096);
	}
	assert_ok(artifact_commit(&artifact, &sum, &err), err);
	return sum;
}

static inline void
sha256_of(const void *data, size_t len, char out[DIGEST_HEX_MAX])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned digest_len = 0;

	assert_int_equal(EVP_Digest(data, len, digest, &digest_len,
	    EVP_sha256(), NULL), 1);
	assert_int_equal(digest_len, DIGEST_BYTES);
	str_hex(digest, digest_len, out);
}

/* A whole file in memory, of which the caller knows that it is small. */
static inline char *
read_file(const char *path, size_t *ret_len)
{
	struct stat st;
	char *bytes;
	FILE *file;

	assert_int_equal(stat(path, &st), 0);
	bytes = malloc((size_t)st.st_size + 1);
	assert_non_null(bytes);
	file = fopen(path, "r");
	assert_non_null(file);
	*ret_len = fread(bytes, 1, (size_t)st.st_size + 1, file);
	assert_int_equal(*ret_len, st.st_size);
	(void)fclose(file);
	bytes[*ret_len] = '\0';
	return bytes;
}

static inline void
assert_text(const char *path, const char *want)
{
	size_t len;
	char *text = read_file(path, &len);

	assert_string_equal(text, want);
	free(text);
}

/* Each program has its own teardown(), that ends with remove_fixture(). */
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static inline struct artifact_reader *
open_reader(const struct fixture *f, const struct artifact_sum *sum)
{
	struct artifact_reader *reader = NULL;
	struct err err;

	assert_ok(artifact_open(f->dir, JOB, "heapsnapshot", sum, &reader,
	    &err), err);
	return reader;
}

#endif
