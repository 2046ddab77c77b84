/*
 * Classes of a heap snapshot: by V8's types, by names however they are
 * written, cut wherever it is, in memory that has a bound.
 */
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "test.h"

#include "buf.h"
#include "classes.h"

#define TYPES                                                                  \
	"[\"hidden\",\"array\",\"string\",\"object\",\"code\",\"closure\","    \
	"\"regexp\",\"number\",\"native\",\"synthetic\","                      \
	"\"concatenated string\",\"sliced string\",\"symbol\",\"bigint\","     \
	"\"object shape\"]"
enum { HIDDEN, ARRAY, STRING, OBJECT, CODE, CLOSURE, NATIVE = 8 };
/* As Node 18 to 22 have them. */
#define FIELDS                                                                 \
	"[\"type\",\"name\",\"id\",\"self_size\",\"edge_count\","              \
	"\"trace_node_id\",\"detachedness\"]"
#define HEAD_OF(fields, types)                                                 \
	"{\"snapshot\":{\"meta\":{\"node_fields\":" fields                     \
	",\"node_types\":[" types ",\"string\",\"number\",\"number\"],"        \
	"\"edge_fields\":[\"type\",\"name_or_index\",\"to_node\"]},"           \
	"\"node_count\":%d,\"edge_count\":%d}"
/* A small one: type, name, size. */
#define SMALL_FIELDS "[\"type\",\"name\",\"self_size\"]"
#define SMALL(nodes)                                                           \
	"{\"snapshot\":{\"meta\":{\"node_fields\":" SMALL_FIELDS               \
	",\"node_types\":[" TYPES "],\"edge_fields\":[\"type\"]},"             \
	"\"node_count\":" nodes ",\"edge_count\":2},"
#define EDGES "],\"edges\":[1,2],\"strings\":["

/* Which allocation fails from now on; -1: none. */
static int allocations_left = -1;

void *__wrap_calloc(size_t len, size_t size);
void *__real_calloc(size_t len, size_t size);
void *__wrap_realloc(void *at, size_t size);
void *__real_realloc(void *at, size_t size);

static bool
is_refused(void)
{
	return allocations_left >= 0 && allocations_left-- == 0;
}

void *
__wrap_calloc(size_t len, size_t size)
{
	return is_refused() ? NULL : __real_calloc(len, size);
}

void *
__wrap_realloc(void *at, size_t size)
{
	return is_refused() ? NULL : __real_realloc(at, size);
}

/* In pieces of a size; each in memory of its own, so that a look past its end
 * is seen. */
static int
count_in(const char *text, size_t len, size_t piece, struct classes **ret,
    struct err *err)
{
	struct classes *classes = NULL;
	size_t at, n;
	char *copy;
	int rc;

	rc = classes_new(&classes, err);
	for (at = 0; rc == 0 && at < len; at += n) {
		n = len - at < piece ? len - at : piece;
		copy = malloc(n);
		assert_non_null(copy);
		memcpy(copy, text + at, n);
		rc = classes_feed(classes, copy, n, err);
		free(copy);
	}
	if (rc == 0)
		rc = classes_end(classes, err);
	if (rc != 0)
		classes_free(&classes);
	*ret = classes;
	return rc;
}

/* "NAME COUNT SIZE" for each, and what all have together. */
static void
print(const struct classes *classes, struct buf *out)
{
	const struct classes_total total = classes_total(classes);
	const struct class *list;
	size_t i, len;
	struct err err;

	list = classes_list(classes, &len);
	for (i = 0; i < len; i++)
		assert_ok(buf_addf(out, &err, "%s %lld %lld\n", list[i].name,
		    (long long)list[i].count,
		    (long long)list[i].self_size_bytes), err);
	assert_ok(buf_addf(out, &err, "%lld %lld %lld\n",
	    (long long)total.nodes, (long long)total.edges,
	    (long long)total.self_size_bytes), err);
}

static void
expect_in(const char *text, size_t len, size_t piece, const char *want)
{
	struct classes *classes = NULL;
	struct err err;
	struct buf out;

	buf_init(&out, 1 << 20);
	assert_ok(count_in(text, len, piece, &classes, &err), err);
	print(classes, &out);
	assert_string_equal(buf_str(&out), want);
	buf_fini(&out);
	classes_free(&classes);
	assert_null(classes);
}

/* Wherever it is cut. */
static void
expect(const char *text, const char *want)
{
	const size_t len = strlen(text);
	size_t piece;

	for (piece = 1; piece < 40; piece++)
		expect_in(text, len, piece, want);
	expect_in(text, len, len, want);
}

static void
refuse(const char *text, const char *want)
{
	struct classes *classes = NULL;
	const size_t len = strlen(text);
	char first[ERR_MSG_MAX] = "";
	struct err err;
	size_t piece;

	for (piece = 1; piece < 34; piece += 4) {
		assert_err(count_in(text, len, piece, &classes, &err), err,
		    ERR_TARGET_REFUSED, want);
		if (piece > 1)
			assert_string_equal(err.msg, first);
		memcpy(first, err.msg, sizeof(first));
	}
	assert_err(count_in(text, len, len, &classes, &err), err,
	    ERR_TARGET_REFUSED, want);
}

static void
test_rule(void **state)
{
	char text[2000];

	(void)state;
	(void)snprintf(text, sizeof(text), HEAD_OF(FIELDS, TYPES)
	    ",\n\"nodes\":[9,1,1,0,8,0,0\n,3,2,3,24,27,0,0\n,3,2,5,1024,6453,"
	    "0,0\n,5,2,7,64,0,0,0\n,4,3,9,123456789012345,0,0,0\n,8,2,11,8,0,"
	    "0,0\n,2,3,13,16,0,0,0\n,10,1,15,32,0,0,0\n,14,1,17,1,0,0,0\n,0,"
	    "1,19,2,0,0,0\n,8,3,21,3,0,0,0\n],\n\"edges\":[1,1,7\n,5,12345,14"
	    "\n],\n\"trace_function_infos\":[],\n\"strings\":[\"<dummy>\",\n"
	    "\"\",\n\"Order\",\n\"Function\"]}", 11, 2);
	/* Of the bytes in their names: "(" before "F" before "O". */
	expect(text, "(compiled code) 1 123456789012345\n"
	    "(concatenated string) 1 32\n(hidden) 1 2\n(object shape) 1 1\n"
	    "(string) 1 16\n(synthetic) 1 0\nFunction 2 67\n"
	    "Order 3 1056\n11 2 123456789013519\n");
}

/* The fields stand in another order, as another V8 may have them. */
static void
test_fields(void **state)
{
	char text[2000];

	(void)state;
	(void)snprintf(text, sizeof(text),
	    "{\"snapshot\":{\"meta\":{\"node_fields\":[\"self_size\",\"x\","
	    "\"name\",\"type\"],\"node_types\":[\"number\",0,\"string\","
	    "[\"object\",\"odd \\ud83d\\ude00\"]],\"edge_fields\":[\"a\"]},"
	    "\"node_count\":3,\"edge_count\":0},\"edges\":[],\"more\":[[{}]],"
	    "\"nodes\":[7,1,0,0,8,2,1,1,9,3,1,0],\"strings\":[\"A\",\"B\"]}");
	expect(text, "(odd \xf0\x9f\x98\x80) 1 8\nA 1 7\nB 1 9\n3 0 24\n");
	expect(SMALL("0") "\"nodes\":[" EDGES "]}", "0 2 0\n");
}

static void
expect_name(const char *written, const char *name)
{
	char text[8000], want[1000];

	(void)snprintf(text, sizeof(text), SMALL("1")
	    "\"nodes\":[3,1,5" EDGES "\"other\",\"%s\",\"more\"]}", written);
	(void)snprintf(want, sizeof(want), "%s 1 5\n1 2 5\n", name);
	expect(text, want);
}

static void
test_names(void **state)
{
	(void)state;
	expect_name("", "");
	expect_name("a\\\"b\\\\c\\/d\\b\\f\\n\\r\\te", "a\"b\\c/d\b\f\n\r\te");
	expect_name("\\u0041\\u00e9\\u20AC\\ufffd", "A\xc3\xa9\xe2\x82\xac"
	    "\xef\xbf\xbd");
	expect_name("\\ud83d\\ude00\\uD83D\\uDE00",
	    "\xf0\x9f\x98\x80\xf0\x9f\x98\x80");
	/* Halves of pairs, and NUL. */
	expect_name("\\ud83d", "\xef\xbf\xbd");
	expect_name("\\ude00x", "\xef\xbf\xbdx");
	expect_name("\\ud83d\\ud83d\\ude00",
	    "\xef\xbf\xbd\xf0\x9f\x98\x80");
	expect_name("\\ud83dx", "\xef\xbf\xbdx");
	expect_name("\\ud83d\\n", "\xef\xbf\xbd\n");
	expect_name("\\ud83d\\u0041", "\xef\xbf\xbd" "A");
	expect_name("a\\u0000b", "a\xef\xbf\xbd" "b");
	expect_name("\x7f", "\x7f");
}

/* So often the same text. */
static const char *
repeat(const char *piece, size_t count, const char *end)
{
	static char out[2][8000];
	static unsigned turn;
	char *to = out[turn ^= 1];
	size_t len = 0;

	while (count-- > 0)
		len += (size_t)snprintf(to + len, 8000 - len, "%s", piece);
	(void)snprintf(to + len, 8000 - len, "%s", end);
	return to;
}

static void
test_long_names(void **state)
{
	(void)state;
	expect_name(repeat("x", 256, ""), repeat("x", 256, ""));
	expect_name(repeat("x", 257, ""), repeat("x", 256, ""));
	expect_name(repeat("\\u0041", 1000, ""), repeat("A", 256, ""));
	expect_name(repeat("\\n", 300, ""), repeat("\n", 256, ""));
	/* Never in the middle of a character. */
	expect_name(repeat("x", 255, "\\u00e9yz"), repeat("x", 255, ""));
	expect_name(repeat("\\ud83d\\ude00", 70, ""),
	    repeat("\xf0\x9f\x98\x80", 64, ""));
	expect_name(repeat("x", 254, "\\ud83d\\ude00"), repeat("x", 254, ""));
	expect_name(repeat("\\u0041", 255, "\\ud83d\\ude00"),
	    repeat("A", 255, ""));
	expect_name(repeat("\\ud800", 100, ""),
	    repeat("\xef\xbf\xbd", 85, ""));
}

static void
test_merging(void **state)
{
	char text[4000], want[1000];
	const char *longer = repeat("y", 256, "1");

	(void)state;
	/* Two strings that are the same, and two that are when they are cut. */
	(void)snprintf(text, sizeof(text), SMALL("6") "\"nodes\":[3,0,1,3,1,2,"
	    "8,2,4,3,3,8,3,4,16,5,0,32" EDGES "\"A\",\"\\u0041\",\"A\","
	    "\"%s\",\"%s2\"]}", longer, repeat("y", 256, ""));
	(void)snprintf(want, sizeof(want),
	    "A 3 7\nFunction 1 32\n%s 2 24\n6 2 63\n", repeat("y", 256, ""));
	expect(text, want);
	expect(SMALL("3") "\"nodes\":[3,0,1,5,1,2,3,1,4" EDGES
	    "\"(string)\",\"Function\"]}",
	    "(string) 1 1\nFunction 2 6\n3 2 7\n");
}

static void
test_refusals(void **state)
{
#define WITH(meta) "{\"snapshot\":{\"meta\":{\"edge_fields\":[\"a\"]," meta    \
	"},\"node_count\":1,\"edge_count\":1},"
	(void)state;
	refuse(WITH("\"node_fields\":[\"type\",\"name\",\"size\"]"),
	    "no type, name or self_size");
	refuse(WITH("\"node_fields\":[1,[\"type\"],\"name\",\"self_size\"]"),
	    "no type, name or self_size");
	refuse(WITH("\"node_fields\":" SMALL_FIELDS), "what types nodes have");
	refuse(WITH("\"node_fields\":" SMALL_FIELDS ",\"node_types\":[[]]"),
	    "what types nodes have");
	refuse(WITH("\"node_fields\":" SMALL_FIELDS ",\"node_types\":[[7]]"),
	    "what types nodes have");
	refuse(WITH("\"node_fields\":" SMALL_FIELDS ",\"node_types\":"
	    "[\"string\",[\"object\"]]"), "what types nodes have");
	refuse(SMALL("1") "\"nodes\":[15,0,1" EDGES "\"A\"]}",
	    "a node is of type 15, and its head names 15");
	refuse(SMALL("1") "\"nodes\":[3,1,1" EDGES "\"A\"]}",
	    "a node is named by string 1, and there are 1");
	refuse(SMALL("1") "\"nodes\":[3,9007199254740992,1" EDGES "]}",
	    "a node is named by string 9007199254740992, and there are 0");
	refuse(SMALL("1") "\"nodes\":[3,0,9007199254740993" EDGES,
	    "in nodes: a number is not a whole one, or beyond");
	refuse(SMALL("1") "\"nodes\":[3,0,99999999999999999999999999999",
	    "in nodes: a number is not a whole one");
	refuse(SMALL("2") "\"nodes\":[3,0,9007199254740992,3,0,1" EDGES,
	    "larger than any memory");
	refuse(SMALL("1") "\"nodes\":[3,0,-1" EDGES, "not a whole one");
	refuse(SMALL("1") "\"nodes\":[-0,0,1" EDGES, "not a whole one");
	refuse(SMALL("1") "\"nodes\":[3,0,1.5" EDGES, "not a whole one");
	refuse(SMALL("1") "\"nodes\":[3,0,1e3" EDGES, "not a whole one");
	refuse(SMALL("1") "\"nodes\":[3,0,012" EDGES, "begins with 0");
	refuse(SMALL("1") "\"nodes\":[3,0,1,4" EDGES, "more numbers");
	refuse(SMALL("2") "\"nodes\":[3,0,1,3,0" EDGES, "fewer numbers");
	refuse(SMALL("1") "\"strings\":[\"A\"],\"nodes\":[3,0,1]}",
	    "its strings come before its nodes");
	refuse(SMALL("1") "\"nodes\":[3,0,1" EDGES "\"\\ud83\"]}",
	    "a wrong escape");
	refuse(SMALL("1") "\"nodes\":[3,0,1" EDGES "\"A\"", "not whole");
	refuse("", "not whole");
}

/* At every byte. */
static void
test_truncation(void **state)
{
	static const char text[] = SMALL("2") "\"nodes\":[3,0,1,5,1,12\n"
	    EDGES "\"A\",\"\\u00e9\\\"\"]}";
	struct classes *classes = NULL;
	struct err err;
	size_t len;

	(void)state;
	for (len = 0; len < sizeof(text) - 1; len++)
		assert_err(count_in(text, len, len + 1, &classes, &err), err,
		    ERR_TARGET_REFUSED, "");
	expect(text, "A 1 1\nFunction 1 12\n2 2 13\n");
}

/* A snapshot of that many nodes, each with a name of its own; the node of
 * number i has i % 1000 bytes.  To be freed. */
static char *
make_large(int nodes, size_t *ret_len)
{
	const size_t size = (size_t)nodes * 40 + 4000;
	char *text = malloc(size);
	size_t len;
	int i;

	assert_non_null(text);
	len = (size_t)snprintf(text, size, HEAD_OF(SMALL_FIELDS, TYPES)
	    ",\"nodes\":[", nodes, 0);
	for (i = 0; i < nodes; i++)
		len += (size_t)snprintf(text + len, size - len, "%s3,%d,%d",
		    i > 0 ? "\n," : "", i, i % 1000);
	len += (size_t)snprintf(text + len, size - len,
	    "],\"edges\":[],\"strings\":[");
	for (i = 0; i < nodes; i++)
		len += (size_t)snprintf(text + len, size - len, "%s\"C%d\"",
		    i > 0 ? ",\n" : "", i);
	len += (size_t)snprintf(text + len, size - len, "]}");
	*ret_len = len;
	return text;
}

static void
check_large(int nodes, int64_t others)
{
	struct classes *classes = NULL;
	int64_t count = 0, bytes = 0, smallest = INT64_MAX;
	const struct class *list, *folded = NULL;
	struct err err;
	size_t i, len;
	char *text;

	text = make_large(nodes, &len);
	assert_ok(count_in(text, len, 65536, &classes, &err), err);
	free(text);
	list = classes_list(classes, &len);
	assert_true(len <= CLASSES_MAX);
	for (i = 0; i < len; i++) {
		count += list[i].count;
		bytes += list[i].self_size_bytes;
		if (i > 0)
			assert_true(
			    strcmp(list[i - 1].name, list[i].name) < 0);
		if (strcmp(list[i].name, CLASSES_OTHERS) == 0)
			folded = &list[i];
		else if (list[i].self_size_bytes < smallest)
			smallest = list[i].self_size_bytes;
	}
	assert_int_equal(count, nodes);
	assert_int_equal(bytes, classes_total(classes).self_size_bytes);
	if (others > 0) {
		assert_non_null(folded);
		assert_true(folded->count >= others);
		/* The large ones are those with a name. */
		assert_true(folded->self_size_bytes <=
		    folded->count * 999 && smallest > 0);
	} else {
		assert_null(folded);
		assert_int_equal(len, nodes);
	}
	classes_free(&classes);
}

static void
test_many_classes(void **state)
{
	(void)state;
	check_large(CLASSES_MAX - 16, 0);
	check_large(CLASSES_MAX + 1000, 1000);
}

/* More names than the table has places for, in a process that tells what it
 * took. */
static void
test_memory(void **state)
{
	struct rusage before, after;
	struct classes *classes = NULL;
	struct err err;
	size_t len, at, n;
	int status;
	char *text;
	pid_t pid;

	(void)state;
	check_large(450000, 400000);
	text = make_large(450000, &len);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)getrusage(RUSAGE_SELF, &before);
		status = classes_new(&classes, &err);
		for (at = 0; status == 0 && at < len; at += n) {
			n = len - at < 65536 ? len - at : 65536;
			status = classes_feed(classes, text + at, n, &err);
		}
		if (status == 0)
			status = classes_end(classes, &err);
		(void)getrusage(RUSAGE_SELF, &after);
		_exit(status != 0 ? 255 :
		    (int)((after.ru_maxrss - before.ru_maxrss) >> 10));
	}
	free(text);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) < 48);
}

static void
test_no_memory(void **state)
{
	struct classes *classes = NULL;
	struct err err;
	size_t len;
	char *text;
	int i, rc = -1;

	(void)state;
	text = make_large(8000, &len);
	for (i = 0; rc != 0; i++) {
		allocations_left = i;
		rc = count_in(text, len, 65536, &classes, &err);
		allocations_left = -1;
		if (rc != 0)
			assert_int_equal(err.code, ERR_NOMEM);
		assert_true(i < 1000);
	}
	assert_true(i > 8);
	free(text);
	classes_free(&classes);
	classes_free(&classes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_merging),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_many_classes),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
