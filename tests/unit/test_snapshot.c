#include <stdbool.h>

#include "test.h"

#include "buf.h"
#include "snapshot.h"

#define META_20                                                                \
	"\"meta\":{\"node_fields\":[\"type\",\"name\",\"id\",\"self_size\","   \
	"\"edge_count\",\"trace_node_id\",\"detachedness\"],\"edge_fields\":"  \
	"[\"type\",\"name_or_index\",\"to_node\"]}"
#define HEAD_20 "{\"snapshot\":{" META_20 ",\"node_count\":3,\"edge_count\":2}"
#define TAIL_20                                                                \
	",\n\"trace_function_infos\":[],\n\"trace_tree\":[],\n\"samples\":[]," \
	"\n\"locations\":[7,391,0,0\n],\n\"strings\":[\"<dummy>\",\n\"\",\n"   \
	"\"a\\\"b\\\\\\n\\u00e9\x7f\",\n\"(GC roots)\"]}"
/* As Node 18, 20 and 22 write it. */
#define NODE_20                                                                \
	HEAD_20 ",\n\"nodes\":[9,1,1,0,8,0,0\n,9,2,3,0,27,0,0\n,9,3,5,1024,"   \
		"6453,0,0\n],\n\"edges\":[1,1,7\n,5,12345,14\n]" TAIL_20
/* As Node 24 does. */
#define NODE_24                                                                \
	"{\"snapshot\":{\"meta\":{\"node_fields\":[\"type\",\"name\",\"id\","  \
	"\"self_size\",\"edge_count\",\"detachedness\"],\"edge_fields\":["     \
	"\"type\",\"name_or_index\",\"to_node\"]},\"node_count\":2,"           \
	"\"edge_count\":3,\"extra_native_bytes\":-12.5e3},\n\"nodes\":[9,1,1," \
	"0,6,0,9,2,3,0,27,0],\n\"edges\":[1,1,6,5,275,0,1,3,583032],\n"        \
	"\"trace_tree\":[1,0,0,0,[2,0,5,40,[]]],\n\"locations\":[],\n"         \
	"\"strings\":[\"<dummy>\",\"\",\"\\u0436\\ud83d\"]}"

/* The smallest head: one field a node, and one an edge. */
#define SMALL(nodes, edges)                                                    \
	"{\"snapshot\":{\"meta\":{\"node_fields\":[\"a\"],\"edge_fields\":["   \
	"\"b\"]},\"node_count\":" nodes ",\"edge_count\":" edges "}"
#define ONE SMALL("1", "1") ",\"nodes\":[7],\"edges\":[8]"

static bool calloc_fails;
static size_t adds_left = SIZE_MAX;

void *__wrap_calloc(size_t len, size_t size);
void *__real_calloc(size_t len, size_t size);
int __wrap_buf_addc(struct buf *b, char c, struct err *err);
int __real_buf_addc(struct buf *b, char c, struct err *err);

void *
__wrap_calloc(size_t len, size_t size)
{
	return calloc_fails ? NULL : __real_calloc(len, size);
}

int
__wrap_buf_addc(struct buf *b, char c, struct err *err)
{
	if (adds_left == 0)
		return err_set(err, ERR_NOMEM, "no memory");
	adds_left--;
	return __real_buf_addc(b, c, err);
}

/* In pieces of a size; each in memory of its own, so that a look past its end
 * is seen. */
static int
scan_in(const char *text, size_t len, size_t piece, int64_t *ret_nodes,
    struct err *err)
{
	struct snapshot_scan *scan = NULL;
	size_t at, n;
	char *copy;
	int rc = 0;

	assert_ok(snapshot_scan_new(&scan, err), *err);
	assert_int_equal(snapshot_scan_nodes(scan), -1);
	for (at = 0; rc == 0 && at < len; at += n) {
		n = len - at < piece ? len - at : piece;
		copy = malloc(n);
		assert_non_null(copy);
		memcpy(copy, text + at, n);
		rc = snapshot_scan_feed(scan, copy, n, err);
		free(copy);
	}
	if (rc == 0)
		rc = snapshot_scan_end(scan, err);
	*ret_nodes = snapshot_scan_nodes(scan);
	snapshot_scan_free(&scan);
	assert_null(scan);
	return rc;
}

static void
assert_whole(const char *text, int64_t nodes)
{
	size_t len = strlen(text), piece;
	int64_t found;
	struct err err;

	for (piece = 1; piece <= len; piece += piece < 40 ? 1 : len / 5) {
		assert_ok(scan_in(text, len, piece, &found, &err), err);
		assert_int_equal(found, nodes);
	}
	assert_ok(scan_in(text, len, len, &found, &err), err);
	assert_int_equal(found, nodes);
}

/* Refused with this, wherever the pieces are cut. */
static void
assert_refused_bytes(const char *text, size_t len, const char *want)
{
	char first[ERR_MSG_MAX] = "";
	int64_t nodes;
	size_t piece;
	struct err err;

	for (piece = 1; piece < 40; piece++) {
		assert_err(scan_in(text, len, piece, &nodes, &err), err,
		    ERR_TARGET_REFUSED, want);
		if (piece > 1)
			assert_string_equal(err.msg, first);
		memcpy(first, err.msg, sizeof(first));
	}
	assert_int_equal(scan_in(text, len, len + 1, &nodes, &err), -1);
	assert_string_equal(err.msg, first);
}

static void
assert_refused(const char *text, const char *want)
{
	assert_refused_bytes(text, strlen(text), want);
}

static void
snapshots_of_node_are_whole(void **state)
{
	(void)state;
	assert_whole(NODE_20, 3);
	assert_whole(NODE_20 "\n \r\n", 3);
	assert_whole(NODE_24, 2);
	assert_whole(ONE ",\"strings\":[]}", 1);
	assert_whole(SMALL("0", "0") ",\"nodes\":[],\"edges\":[],\"strings\":"
	    "[\"\"]}", 0);
}

static void
other_members_may_come(void **state)
{
	(void)state;
	assert_whole(ONE ",\"strings\":[],\"a\":1,\"b\":-0.5e+7,\"c\":true,"
	    "\"d\":false,\"e\":null,\"f\":\"x\\t\",\"g\":{},\"h\":{\"i\":[{},"
	    "[],[[0]],{\"nodes\":[\"x\"]}],\"j\":0},\"k\":[0,-1,1.5,2E9,true]"
	    ",\"\":[],\"much_longer_than_any_name_that_is_known_here\":9 }", 1);
	assert_whole("{ \"snapshot\" : { \"meta\" : { \"node_fields\" : [ 1 ] ,"
	    " \"edge_fields\" : [ 1 ] } , \"node_count\" : 2 , \"edge_count\" "
	    ": 1 } , \"edges\" : [ 8 ] , \"strings\" : [ \"\" , \"a\" ] , "
	    "\"nodes\" : [ 7 , 0 ] } ", 2);
}

/* Many lengths of numbers, so that every place in eight bytes is met. */
static void
numbers_are_counted(void **state)
{
	static char text[400000];
	size_t len = 0, i, count;
	int64_t nodes;
	struct err err;
	int shape;

	(void)state;
	for (shape = 0; shape < 3; shape++) {
		count = 20000;
		len = (size_t)snprintf(text, sizeof(text),
		    SMALL("20000", "0") ",\"nodes\":[");
		for (i = 0; i < count; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len,
			    "%s%s%llu", i == 0 ? "" : ",",
			    shape == 1 && i % 7 == 3 ? "\n" : "",
			    i % 3 == 0 ? 0 : 1ULL << i * 7 % 61);
		if (shape == 2)
			text[len++] = '\n';
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "],\"edges\":[],\"strings\":[]}");
		assert_ok(scan_in(text, len, 65536, &nodes, &err), err);
		assert_ok(scan_in(text, len, 1, &nodes, &err), err);
		assert_ok(scan_in(text, len, 61, &nodes, &err), err);
	}
}

static void
wrong_counts_are_refused(void **state)
{
	(void)state;
	assert_refused(SMALL("11", "0") ",\"nodes\":[1,2,3,4,5,6,7,8,9,10]",
	    "in nodes: there are fewer numbers than its head says");
	assert_refused(SMALL("9", "0") ",\"nodes\":[1,2,3,4,5,6,7,8,9,10]",
	    "in nodes: there are more numbers than its head says");
	assert_refused(SMALL("9", "0") ",\"nodes\":[11,22,33,44,55,66,77,88,99,"
	    "10,11,12,13,14,15,16", "there are more numbers");
	assert_refused(SMALL("0", "2") ",\"nodes\":[],\"edges\":[1]",
	    "in edges: there are fewer numbers");
	assert_refused(SMALL("0", "0") ",\"nodes\":[1]", "more numbers");
}

static void
truncation_is_refused(void **state)
{
	static const char *const texts[] = {NODE_20, NODE_24};
	int64_t nodes;
	struct err err;
	size_t i, len;

	(void)state;
	for (i = 0; i < 2; i++)
		for (len = 0; len < strlen(texts[i]); len++) {
			assert_err(scan_in(texts[i], len, len + 1, &nodes,
			    &err), err, ERR_TARGET_REFUSED,
			    "it ends here, and is not whole");
		}
}

/* Whatever byte is put anywhere: the same verdict in pieces and at once. */
static void
changes_are_judged_alike(void **state)
{
	static const char bytes[] = "\"\\{}[],:019-.eEtfnu \n\r\t\x01\x7f\x80";
	struct err err, whole;
	char text[sizeof(NODE_24)];
	int64_t nodes;
	size_t i, j, accepted = 0;
	int rc;

	(void)state;
	for (i = 0; i < sizeof(NODE_24) - 1; i++)
		for (j = 0; j < sizeof(bytes) - 1; j++) {
			memcpy(text, NODE_24, sizeof(text));
			text[i] = bytes[j];
			whole.msg[0] = err.msg[0] = '\0';
			rc = scan_in(text, sizeof(text) - 1, sizeof(text),
			    &nodes, &whole);
			accepted += rc == 0;
			assert_int_equal(scan_in(text, sizeof(text) - 1, 1,
			    &nodes, &err), rc);
			assert_string_equal(err.msg, whole.msg);
		}
	/* Some make no difference: another digit, another letter. */
	assert_true(accepted > 100 && accepted < i * 10);
}

static void
wrong_bytes_are_refused(void **state)
{
	(void)state;
	assert_refused("\xef\xbb\xbf{", "at byte 0: a byte that is not ASCII");
	assert_refused_bytes("{\0", 2, "at byte 1: a control byte");
	assert_refused("{\t", "at byte 1: a control byte");
	assert_refused(ONE ",\"strings\":[\"\xc3\xa9\"]}", "not ASCII");
	assert_refused(ONE ",\"strings\":[\"a\nb\"]}",
	    "in strings: a control byte");
	assert_refused(ONE ",\"strings\":[\"text that is long\x1f\"]}",
	    "a control byte");
	assert_refused(ONE ",\"strings\":[\"\\x\"]}", "a wrong escape");
	assert_refused(ONE ",\"strings\":[\"\\u12\"]}", "a wrong escape");
	assert_refused(ONE ",\"strings\":[\"\\u123g0000\"]}", "a wrong escape");
	assert_refused_bytes(ONE ",\"strings\":[\"\\\0aaaaaaaaa\"]}",
	    sizeof(ONE ",\"strings\":[\"\\\0aaaaaaaaa\"]}") - 1,
	    "a control byte");
}

static void
wrong_structure_is_refused(void **state)
{
	(void)state;
	assert_refused("[]", "at byte 0: it is no object");
	assert_refused("<html>", "at byte 0: it is no object");
	assert_refused("{}", "has no \"snapshot\"");
	assert_refused("{\"nodes\":[]}", "first member is not \"snapshot\"");
	assert_refused("{\"snapshots\":{}}", "first member");
	assert_refused("{\"snapshot\":[]}", "its value is of another type");
	assert_refused("{\"snapshot\":1}", "its value is of another type");
	assert_refused(ONE "}", "it has no \"strings\"");
	assert_refused(SMALL("0", "0") ",\"edges\":[],\"strings\":[]}",
	    "it has no \"nodes\"");
	assert_refused(SMALL("0", "0") ",\"nodes\":[],\"strings\":[]}",
	    "it has no \"edges\"");
	assert_refused(ONE ",\"strings\":{}}", "in strings: its value is");
	assert_refused(SMALL("0", "0") ",\"nodes\":{}}", "in nodes: its value");
	assert_refused(SMALL("1", "0") ",\"nodes\":[\"1\"]}",
	    "an element is of another type");
	assert_refused(SMALL("1", "0") ",\"nodes\":[[1]]}", "an element");
	assert_refused(ONE ",\"strings\":[1]}", "an element is of another");
	assert_refused(ONE ",\"nodes\":[7]}", "it is there twice");
	assert_refused(ONE ",\"strings\":[]}x",
	    "there is something after its end");
	assert_refused(ONE ",\"strings\":[]}{", "after its end");
	assert_refused(ONE ",\"x\":[1},", "brackets do not match");
	assert_refused(ONE ",\"strings\":[\"\",]}", "an element is");
	assert_refused(ONE ",\"x\":[1,]}", "a value is missing");
	assert_refused(ONE ",\"x\":[,1]}", "a value is missing");
	assert_refused(ONE ",\"x\":{,}}", "a key is missing");
	assert_refused(ONE ",\"x\":{\"a\":1,}}", "a key is missing");
	assert_refused(ONE ",\"x\":{\"a\"1}}", "a colon is missing");
	assert_refused(ONE ",\"x\":{\"a\":}}", "a value is missing");
	assert_refused(ONE ",\"x\":[\"a\"\"b\"]}", "a comma is missing");
	assert_refused(ONE ",\"x\":tru}", "a value is missing");
	assert_refused(ONE ",\"x\":nulll}", "a comma is missing");
}

static void
wrong_numbers_are_refused(void **state)
{
#define TEN "10,11,12,13,14,15,16,17,18,19,"
	(void)state;
	assert_refused(ONE ",\"x\":[" TEN "01," TEN "1]}", "begins with 0");
	assert_refused(ONE ",\"x\":[" TEN ",1," TEN "1]}", "value is missing");
	assert_refused(ONE ",\"x\":[" TEN "1\n1," TEN "1]}",
	    "a comma is missing");
	assert_refused(ONE ",\"x\":[" TEN "1-1," TEN "1]}", "a comma is");
	assert_refused(ONE ",\"x\":[" TEN "-," TEN "1]}", "a digit is missing");
	assert_refused(ONE ",\"x\":[" TEN "1.," TEN "1]}", "a digit is");
	assert_refused(ONE ",\"x\":[" TEN "1e," TEN "1]}", "a digit is");
	assert_refused(ONE ",\"x\":[" TEN "1e+," TEN "1]}", "a digit is");
	assert_refused(ONE ",\"x\":[" TEN ".5," TEN "1]}", "a value is");
	assert_refused(ONE ",\"x\":[" TEN "+5," TEN "1]}", "a value is");
	assert_whole(ONE ",\"strings\":[],\"x\":[" TEN "-0,-7,0.5,0e1,1e-9,\n0,"
	    "10\n,0\n,\n" TEN "1.25E+2]}", 1);
}

static void
wrong_heads_are_refused(void **state)
{
	static char text[200000];
	char deep[3000];
	size_t i, len;

	(void)state;
	assert_refused("{\"snapshot\":{},", "does not say what fields");
	assert_refused("{\"snapshot\":{\"meta\":{\"node_fields\":[],"
	    "\"edge_fields\":[1]},\"node_count\":1,\"edge_count\":1},",
	    "does not say what fields");
	assert_refused(SMALL("-1", "1"), "how many nodes and edges");
	assert_refused(SMALL("1", "1e99"), "how many nodes and edges");
	assert_refused(SMALL("\"1\"", "1"), "how many nodes and edges");
	assert_refused(SMALL("1", "1099511627777"), "how many nodes");
	assert_refused(SMALL("1", "\"\\u0000\""), "its head is no JSON");
	/* One that does not end. */
	len = (size_t)snprintf(text, sizeof(text), "{\"snapshot\":{\"a\":\"");
	memset(text + len, 'x', sizeof(text) - 1 - len);
	assert_refused(text, "its head is too long");
	len = (size_t)snprintf(deep, sizeof(deep), ONE ",\"x\":");
	for (i = 0; i < 1024; i++)
		deep[len + i] = '[';
	deep[len + i] = '\0';
	assert_refused(deep, "it is nested too deep");
	/* As deep as is allowed. */
	memset(deep + len + 1023, ']', 1023);
	(void)snprintf(deep + len + 2046, sizeof(deep) - len - 2046,
	    ",\"strings\":[]}");
	assert_whole(deep, 1);
}

static void
missing_memory_is_told(void **state)
{
	struct snapshot_scan *scan = NULL;
	struct err err;

	(void)state;
	calloc_fails = true;
	assert_err(snapshot_scan_new(&scan, &err), err, ERR_NOMEM, "no memory");
	calloc_fails = false;
	assert_null(scan);
	assert_ok(snapshot_scan_new(&scan, &err), err);
	adds_left = 10;
	assert_err(snapshot_scan_feed(scan, NODE_20, sizeof(NODE_20) - 1, &err),
	    err, ERR_NOMEM, "no memory");
	adds_left = SIZE_MAX;
	/* What was refused stays so. */
	assert_err(snapshot_scan_feed(scan, "{", 1, &err), err,
	    ERR_TARGET_REFUSED, "at byte ");
	assert_err(snapshot_scan_end(scan, &err), err, ERR_TARGET_REFUSED,
	    "not whole");
	snapshot_scan_free(&scan);
	snapshot_scan_free(&scan);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(snapshots_of_node_are_whole),
		cmocka_unit_test(other_members_may_come),
		cmocka_unit_test(numbers_are_counted),
		cmocka_unit_test(wrong_counts_are_refused),
		cmocka_unit_test(truncation_is_refused),
		cmocka_unit_test(changes_are_judged_alike),
		cmocka_unit_test(wrong_bytes_are_refused),
		cmocka_unit_test(wrong_structure_is_refused),
		cmocka_unit_test(wrong_numbers_are_refused),
		cmocka_unit_test(wrong_heads_are_refused),
		cmocka_unit_test(missing_memory_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
