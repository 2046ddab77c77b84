/*
 * What is found in the directory of artifacts: names that are made like ours,
 * and no other.
 */
#include <dirent.h>
#include <errno.h>

#include "artifacts.h"

static int readdirs_left = -1;	/* before one fails; -1: none does */
static bool no_memory;

struct dirent *__wrap_readdir(DIR *dir);
struct dirent *__real_readdir(DIR *dir);
void *__wrap_calloc(size_t n, size_t size);
void *__real_calloc(size_t n, size_t size);

struct dirent *
__wrap_readdir(DIR *dir)
{
	if (readdirs_left < 0 || readdirs_left-- > 0)
		return __real_readdir(dir);
	errno = EIO;
	return NULL;
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return no_memory ? NULL : __real_calloc(n, size);
}

static int
teardown(void **state)
{
	readdirs_left = -1;
	no_memory = false;
	return remove_fixture(state);
}

static struct artifact_scan *
open_scan(const struct fixture *f)
{
	struct artifact_scan *scan = NULL;
	struct err err;

	assert_ok(artifact_scan_open(f->dir, &scan, &err), err);
	return scan;
}

static void
put_name(const struct fixture *f, const char *name)
{
	char path[600];

	(void)snprintf(path, sizeof(path), "%s/%s", f->artifacts, name);
	write_file(path, "x");
}

#define OURS_LEN 7
static const struct {
	const char *name;
	const char *extension;
	enum artifact_coding coding;
} ours[OURS_LEN] = {
	{JOB ".part", "part", ARTIFACT_IDENTITY},
	{JOB ".heapsnapshot", "heapsnapshot", ARTIFACT_IDENTITY},
	{JOB ".heapsnapshot.zst", "heapsnapshot", ARTIFACT_ZSTD},
	{JOB ".cpuprofile", "cpuprofile", ARTIFACT_IDENTITY},
	{JOB ".cpuprofile.zst", "cpuprofile", ARTIFACT_ZSTD},
	{JOB ".zst", "zst", ARTIFACT_IDENTITY},
	{JOB ".abcdefghijklmno", "abcdefghijklmno", ARTIFACT_IDENTITY},
};

static void
names_of_ours_are_found(void **state)
{
	bool seen[OURS_LEN] = {false};
	struct fixture *f = *state;
	struct artifact_scan *scan;
	struct artifact_entry entry;
	struct err err;
	size_t i, n;
	int rc;

	for (i = 0; i < OURS_LEN; i++)
		put_name(f, ours[i].name);
	scan = open_scan(f);
	for (n = 0; (rc = artifact_scan_next(scan, &entry, &err)) == 1; n++) {
		for (i = 0; i < OURS_LEN; i++)
			if (strcmp(entry.name, ours[i].name) == 0)
				break;
		if (i == OURS_LEN || seen[i])
			fail_msg("%s", entry.name);
		seen[i] = true;
		assert_string_equal(entry.job_id, JOB);
		assert_string_equal(entry.extension, ours[i].extension);
		assert_int_equal(entry.coding, ours[i].coding);
		assert_ok(artifact_scan_remove(scan, &entry, &err), err);
		/* Somebody else may have been faster. */
		assert_ok(artifact_scan_remove(scan, &entry, &err), err);
	}
	assert_int_equal(rc, 0);
	assert_int_equal(n, OURS_LEN);
	artifact_scan_close(&scan);
	assert_null(scan);
	artifact_scan_close(&scan);
	artifact_scan_close(NULL);
	assert_int_equal(rmdir(f->artifacts), 0);
}

static void
foreign_names_are_passed_over(void **state)
{
	static const char *const names[] = {
		"README", ".write-test", ".hidden", "x.heapsnapshot", "-rf",
		"0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c7.heapsnapshot",
		"0198C0DE-7B1E-7C3A-9F00-5D2E6A1B4C77.heapsnapshot",
		"0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c7g.heapsnapshot",
		"0198c0de 7b1e 7c3a 9f00 5d2e6a1b4c77.heapsnapshot",
		" " JOB ".heapsnapshot", JOB, JOB ".", JOB "..zst",
		JOB "x.heapsnapshot", JOB "heapsnapshot",
		JOB ".heapsnapshot.bak", JOB ".heapsnapshot.zst.zst",
		JOB ".heapsnapshot.", JOB ".part.zst.1",
		JOB ".abcdefghijklmnop", JOB ".abcdefghijklmnop.zst",
		JOB ".heapsnapshot.zst.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"\xff\xfe\n" JOB,
	};
	struct fixture *f = *state;
	struct artifact_entry entry;
	struct artifact_scan *scan;
	struct err err;
	size_t i;
	int rc;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put_name(f, names[i]);
	scan = open_scan(f);
	rc = artifact_scan_next(scan, &entry, &err);
	if (rc != 0)
		fail_msg("%s is taken for ours", entry.name);
	artifact_scan_close(&scan);
}

static void
failing_scan_is_told(void **state)
{
	struct fixture *f = *state;
	struct artifact_entry entry;
	struct artifact_scan *scan = NULL;
	struct err err;

	no_memory = true;
	assert_err(artifact_scan_open(f->dir, &scan, &err), err, ERR_NOMEM,
	    f->artifacts);
	no_memory = false;
	assert_int_equal(mkdir(f->path, 0700), 0);
	scan = open_scan(f);
	assert_int_equal(artifact_scan_next(scan, &entry, &err), 1);
	assert_err(artifact_scan_remove(scan, &entry, &err), err, ERR_STORE,
	    JOB ".heapsnapshot");
	readdirs_left = 0;
	assert_err(artifact_scan_next(scan, &entry, &err), err, ERR_STORE,
	    "Input/output error");
	artifact_scan_close(&scan);
	assert_int_equal(rmdir(f->path), 0);
	assert_int_equal(rmdir(f->artifacts), 0);
	assert_err(artifact_scan_open(f->dir, &scan, &err), err, ERR_STORE,
	    f->artifacts);
	assert_null(scan);
}

static void
directory_is_the_one_that_was_opened(void **state)
{
	struct fixture *f = *state;
	struct artifact_scan *scan = open_scan(f);
	char moved[310];
	int64_t bytes = -1;
	struct err err;

	assert_true(artifact_scan_is_current(scan, f->dir));
	assert_ok(artifact_free_bytes(f->dir, &bytes, &err), err);
	assert_true(bytes >= 0);
	(void)snprintf(moved, sizeof(moved), "%s.old", f->artifacts);
	assert_int_equal(rename(f->artifacts, moved), 0);
	assert_false(artifact_scan_is_current(scan, f->dir));
	/* Where it is missing it is made, on the disk of the other. */
	bytes = -1;
	assert_ok(artifact_free_bytes(f->dir, &bytes, &err), err);
	assert_true(bytes >= 0);
	assert_err(artifact_free_bytes(f->part, &bytes, &err), err, ERR_STORE,
	    f->part);
	assert_int_equal(mkdir(f->artifacts, 0700), 0);
	assert_false(artifact_scan_is_current(scan, f->dir));
	assert_int_equal(rmdir(f->artifacts), 0);
	assert_int_equal(rename(moved, f->artifacts), 0);
	assert_true(artifact_scan_is_current(scan, f->dir));
	artifact_scan_close(&scan);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_of_ours_are_found),
		TEST(foreign_names_are_passed_over),
		TEST(failing_scan_is_told),
		TEST(directory_is_the_one_that_was_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
