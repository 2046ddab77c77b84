#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "test.h"

#include "lines.h"
#include "quota.h"
#include "ranges.h"

#define PAGE 4096

static char dir[256];

/* Write a file below dir; text NULL: remove it. */
static const char *
put(const char *name, const char *text)
{
	static char paths[4][600];
	static unsigned next;
	char *path = paths[next++ % 4], *slash;
	FILE *file;

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	for (slash = path + strlen(dir) + 1;
	     (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		(void)mkdir(path, 0700);
		*slash = '/';
	}
	if (text == NULL) {
		(void)unlink(path);
		return path;
	}
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	return path;
}

/* ---- text */

static void
text_is_cut_at_its_room(void **state)
{
	struct text text;
	int i;

	(void)state;
	text_clear(&text);
	for (i = 0; i < 300; i++)
		text_put(&text, "12345");
	assert_int_equal(text.len, TEXT_MAX - 1);
	assert_int_equal(strlen(text.data), TEXT_MAX - 1);
	text_put_number(&text, 7);
	assert_int_equal(text.len, TEXT_MAX - 1);
}

static void
numbers_are_written_and_read(void **state)
{
	static const int64_t numbers[] = {
	    0, 7, -1, 1234567890123, INT64_MAX, INT64_MIN};
	const char *at = "7f00a0 rest";
	struct text text;
	char want[32];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		text_clear(&text);
		text_put_number(&text, numbers[i]);
		(void)snprintf(want, sizeof(want), "%lld",
		    (long long)numbers[i]);
		assert_string_equal(text.data, want);
	}
	assert_true(text_take_number(&at, 16) == 0x7f00a0);
	assert_string_equal(at, " rest");
	assert_true(text_take_number(&at, 10) == 0);
	assert_string_equal(at, " rest");
}

static void
an_errno_has_its_name_or_its_number(void **state)
{
	struct text why;

	(void)state;
	text_set_errno(&why, "fork", ENOMEM);
	assert_string_equal(why.data, "fork: ENOMEM");
	text_set_errno(&why, "fork", 199);
	assert_string_equal(why.data, "fork: errno 199");
}

/* ---- lines */

static void
lines_are_read_to_the_last(void **state)
{
	char buf[16], small[4];
	const char *path = put("lines", "one\n\nlonger line...\n");
	struct lines lines;

	(void)state;
	assert_int_equal(lines_open(&lines, path, buf, sizeof(buf)), 0);
	assert_string_equal(lines_next(&lines), "one");
	assert_string_equal(lines_next(&lines), "");
	assert_string_equal(lines_next(&lines), "longer line...");
	assert_null(lines_next(&lines));
	assert_int_equal(lines.error, 0);
	lines_close(&lines);
	lines_read_small(path, small, sizeof(small));
	assert_string_equal(small, "one");
	assert_int_equal(lines_open(&lines, put("none", NULL), buf,
	    sizeof(buf)), ENOENT);
	lines_read_small(put("none", NULL), small, sizeof(small));
	assert_string_equal(small, "");
}

static void
a_line_without_end_is_an_error(void **state)
{
	char buf[16];
	struct lines lines;

	(void)state;
	assert_int_equal(lines_open(&lines, put("cut", "a\nb"), buf,
	    sizeof(buf)), 0);
	assert_string_equal(lines_next(&lines), "a");
	assert_null(lines_next(&lines));
	assert_int_equal(lines.error, EINVAL);
	lines_close(&lines);
	assert_int_equal(lines_open(&lines,
	    put("long", "0123456789abcdef\n"), buf, sizeof(buf)), 0);
	assert_null(lines_next(&lines));
	assert_int_equal(lines.error, EINVAL);
	lines_close(&lines);
}

static void
a_line_of_maps_is_understood(void **state)
{
	static const struct {
		const char *line;
		bool is_range, is_anonymous;
	} cases[] = {
	    {"1000-2000 rw-p 00000000 00:00 0", true, true},
	    {"1000-2000 ---p 00000000 00:00 0          [anon:v8]", true, true},
	    {"1000-2000 rw-s 00000000 00:00 0", true, false},
	    {"1000-2000 rw-p 00000000 00:00 12", true, false},
	    {"1000-2000 rw-p 00003000 08:01 0", true, false},
	    {"1000-2000 rw-p 00003000 08:01 77 /lib/x", true, false},
	    {"1000-2000 rw-p", true, false},
	    {"2000-1000 rw-p 00000000 00:00 0", false, false},
	    {"1000 2000 rw-p 00000000 00:00 0", false, false},
	    {"Rss:  12 kB", false, false},
	    {"", false, false},
	};
	uintptr_t from, to;
	const char *line;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		line = cases[i].line;
		assert_int_equal(lines_range(&line, &from, &to),
		    cases[i].is_range);
		if (!cases[i].is_range)
			continue;
		assert_true(from == 0x1000 && to == 0x2000);
		assert_int_equal(lines_is_anonymous(line),
		    cases[i].is_anonymous);
	}
}

/* ---- ranges */

/* What both ways find between two addresses, and nothing else. */
static void
assert_found(const char *at, size_t pages, const struct pair *want, size_t len)
{
	struct table tables[2] = {{0}, {0}};
	struct text why;
	size_t way, i, n;
	int probe;

	assert_int_equal(ranges_find_by_probe(&tables[0], &probe, &why), 0);
	assert_int_equal(waitpid(probe, NULL, __WALL), probe);
	assert_int_equal(ranges_find_in_smaps(&tables[1], &why), 0);
	for (way = 0; way < 2; way++) {
		for (n = i = 0; i < tables[way].len; i++) {
			struct pair *pair = &tables[way].pairs[i];

			if (pair->b <= (uintptr_t)at ||
			    pair->a >= (uintptr_t)at + pages * PAGE)
				continue;
			assert_in_range(n, 0, len - 1);
			assert_true(pair->a == want[n].a);
			assert_true(pair->b == want[n].b);
			n++;
		}
		assert_int_equal(n, len);
		table_fini(&tables[way]);
	}
}

static char *
map(size_t pages, int flags)
{
	char *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
	    flags | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

static void
both_ways_find_the_same(void **state)
{
	enum { MANY = 3000 };
	static struct pair want[MANY];
	char *at = map(2 * MANY, MAP_PRIVATE);
	size_t i;

	(void)state;
	for (i = 0; i < MANY; i++) {
		want[i].a = (uintptr_t)at + (2 * i + 1) * PAGE;
		want[i].b = want[i].a + PAGE;
		assert_int_equal(madvise(at + (2 * i + 1) * PAGE, PAGE,
		    MADV_DONTFORK), 0);
	}
	assert_found(at, 2 * MANY, want, MANY);
	assert_int_equal(munmap(at, 2 * MANY * PAGE), 0);
}

static void
ranges_side_by_side_are_one(void **state)
{
	char *at = map(8, MAP_PRIVATE);
	struct pair want = {(uintptr_t)at + PAGE, (uintptr_t)at + 7 * PAGE};

	(void)state;
	assert_int_equal(madvise(at + PAGE, 6 * PAGE, MADV_DONTFORK), 0);
	assert_int_equal(mprotect(at + 2 * PAGE, PAGE, PROT_NONE), 0);
	assert_int_equal(mprotect(at + 4 * PAGE, PAGE, PROT_READ), 0);
	assert_found(at, 8, &want, 1);
	assert_int_equal(munmap(at, 8 * PAGE), 0);
}

/* What is wiped in a child, and memory that is shared: no heap is. */
static void
other_kinds_are_left(void **state)
{
	char *wiped = map(4, MAP_PRIVATE), *shared = map(4, MAP_SHARED);

	(void)state;
	assert_int_equal(madvise(wiped, 2 * PAGE, MADV_WIPEONFORK), 0);
	assert_int_equal(madvise(shared, 2 * PAGE, MADV_DONTFORK), 0);
	assert_found(wiped, 4, NULL, 0);
	assert_found(shared, 4, NULL, 0);
	assert_int_equal(munmap(wiped, 4 * PAGE), 0);
	assert_int_equal(munmap(shared, 4 * PAGE), 0);
}

static void
flags_go_and_come_back(void **state)
{
	char *at = map(8, MAP_PRIVATE);
	struct pair pairs[] = {
	    {(uintptr_t)at + PAGE, (uintptr_t)at + 2 * PAGE},
	    {(uintptr_t)at + 4 * PAGE, (uintptr_t)at + 6 * PAGE},
	};
	struct table table = {pairs, 2, 0};
	int status;
	pid_t pid;

	(void)state;
	memset(at, 'x', 8 * PAGE);
	assert_int_equal(madvise(at + PAGE, PAGE, MADV_DONTFORK), 0);
	assert_int_equal(madvise(at + 4 * PAGE, 2 * PAGE, MADV_DONTFORK), 0);
	ranges_allow(&table);
	pid = fork();
	if (pid == 0)
		_exit(at[PAGE] == 'x' && at[5 * PAGE] == 'x' ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* A part that is gone does not keep the rest from its flag. */
	assert_int_equal(munmap(at + 4 * PAGE, PAGE), 0);
	ranges_restore(&table);
	pairs[1].a += PAGE;
	assert_found(at, 8, pairs, 2);
	assert_int_equal(munmap(at, 8 * PAGE), 0);
}

static void
a_table_has_a_bound(void **state)
{
	struct table table = {0};
	struct text why;
	size_t i;

	(void)state;
	for (i = 0; i < TABLE_MAX; i++)
		assert_int_equal(table_add(&table, i, ~i, "things", &why), 0);
	assert_int_equal(table_add(&table, 1, 2, "things", &why), -1);
	assert_string_equal(why.data,
	    "the process has more than 65536 things");
	assert_true(table.pairs[TABLE_MAX - 1].b == ~(uintptr_t)(i - 1));
	assert_true(table.pairs[0].b == ~(uintptr_t)0);
	table_fini(&table);
	assert_null(table.pairs);
	table_fini(&table);
}

/* ---- quota */

/* One mount of a hierarchy, at dir/MOUNT. */
static int64_t
quota_of(const char *cgroup, const char *root, const char *mount,
    const char *rest)
{
	char line[1024], groups[300];

	(void)snprintf(line, sizeof(line),
	    "22 1 8:1 / / rw - ext4 /dev/vda rw\n"
	    "30 22 0:26 %s %s/%s rw,nosuid shared:4 master:1 - %s\n",
	    root, dir, mount, rest);
	(void)snprintf(groups, sizeof(groups), "%s",
	    put("cgroup", cgroup));
	return quota_read(groups, put("mountinfo", line));
}

static void
quota_is_the_least_of_the_chain(void **state)
{
	(void)state;
	(void)put("v2/cpu.max", NULL);
	(void)put("v2/a/cpu.max", "150000 100000\n");
	(void)put("v2/a/b/cpu.max", "max 100000\n");
	(void)put("v2/a/b/c/cpu.max", "50000 20000\n");
	assert_int_equal(quota_of("0::/a/b/c\n", "/", "v2",
	    "cgroup2 cgroup2 rw"), 1500000);
	assert_int_equal(quota_of("0::/a/b\n", "/", "v2",
	    "cgroup2 cgroup2 rw"), 1500000);
	assert_int_equal(quota_of("0::/\n", "/", "v2", "cgroup2 cgroup2 rw"),
	    0);
	(void)put("v2/a/b/c/cpu.max", "50000 100000\n");
	assert_int_equal(quota_of("0::/a/b/c\n", "/", "v2",
	    "cgroup2 cgroup2 rw"), 500000);
}

static void
quota_of_the_first_version_has_two_files(void **state)
{
	static const char groups[] = "4:cpuacct:/x\n3:cpuset,cpu:/a/b\n0::/\n";

	(void)state;
	(void)put("v1/cpu.cfs_quota_us", "-1\n");
	(void)put("v1/cpu.cfs_period_us", "100000\n");
	(void)put("v1/a/cpu.cfs_quota_us", "-1\n");
	(void)put("v1/a/cpu.cfs_period_us", "100000\n");
	(void)put("v1/a/b/cpu.cfs_quota_us", "25000\n");
	(void)put("v1/a/b/cpu.cfs_period_us", "50000\n");
	assert_int_equal(quota_of(groups, "/", "v1",
	    "cgroup cgroup rw,cpuset,cpu"), 500000);
	/* Another hierarchy's mount says nothing. */
	assert_int_equal(quota_of(groups, "/", "v1",
	    "cgroup cgroup rw,cpuacct,cpuset"), 0);
	assert_int_equal(quota_of("3:cpuacct:/a/b\n", "/", "v1",
	    "cgroup cgroup rw,cpu"), 0);
}

/* In a container the mount is the group itself, whatever its path says. */
static void
quota_of_a_container_is_at_the_mount(void **state)
{
	(void)state;
	(void)put("own/cpu.max", "200000 100000\n");
	assert_int_equal(quota_of("0::/\n", "/", "own", "cgroup2 none rw"),
	    2000000);
	assert_int_equal(quota_of("0::/../other\n", "/", "own",
	    "cgroup2 none rw"), 2000000);
	assert_int_equal(quota_of("0::/kube/pod/one\n", "/kube/pod/one", "own",
	    "cgroup2 none rw"), 2000000);
	assert_int_equal(quota_of("0::/kube/pod/onetwo\n", "/kube/pod/one",
	    "own", "cgroup2 none rw"), 2000000);
}

static void
quota_that_makes_no_sense_is_none(void **state)
{
	static const char *const texts[] = {"", "max", "0 100000", "100000",
	    "100000 0", "x y", "-1 100000", "99999999999999999999 1"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		(void)put("odd/cpu.max", texts[i]);
		assert_int_equal(quota_of("0::/\n", "/", "odd",
		    "cgroup2 none rw"), 0);
	}
	assert_int_equal(quota_read(put("none", NULL), put("none", NULL)), 0);
	assert_int_equal(quota_read(put("cgroup", "\n:\n0\n4:cpu\n"),
	    put("mountinfo", "\n \n1 2 3\n1 2 3 4 5 - cgroup2\n")), 0);
}

static int
make_dir(void **state)
{
	(void)state;
	test_make_dir(dir);
	return 0;
}

static int
remove_dir(void **state)
{
	(void)state;
	test_remove_dir(dir);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_is_cut_at_its_room),
	    cmocka_unit_test(numbers_are_written_and_read),
	    cmocka_unit_test(an_errno_has_its_name_or_its_number),
	    cmocka_unit_test(lines_are_read_to_the_last),
	    cmocka_unit_test(a_line_without_end_is_an_error),
	    cmocka_unit_test(a_line_of_maps_is_understood),
	    cmocka_unit_test(both_ways_find_the_same),
	    cmocka_unit_test(ranges_side_by_side_are_one),
	    cmocka_unit_test(other_kinds_are_left),
	    cmocka_unit_test(flags_go_and_come_back),
	    cmocka_unit_test(a_table_has_a_bound),
	    cmocka_unit_test(quota_is_the_least_of_the_chain),
	    cmocka_unit_test(quota_of_the_first_version_has_two_files),
	    cmocka_unit_test(quota_of_a_container_is_at_the_mount),
	    cmocka_unit_test(quota_that_makes_no_sense_is_none),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
