/*
 * The scanner is a machine of one state a byte, with two ways past it for what
 * a snapshot is made of: numbers in an array go by eight bytes at a time, and
 * so does plain text in a string.  Both only skip what the machine would have
 * accepted; what they do not know is left to it, and it alone says what is
 * wrong.
 *
 * The head, {"meta":…}, is kept and parsed.  Of the rest nothing is looked at
 * unless there is a reader: then numbers of nodes, and strings, have a faster
 * way of their own, too.
 */
#include "snapshot.h"

#include <endian.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "json.h"
#include "str.h"

#define HEAD_MAX 65536		/* bytes; V8's has some 2000 */
#define KEY_MAX 32		/* longer than any that we know */
#define DEPTH_MAX 1024		/* V8's trace_tree has 130 at most */
#define FIELDS_MAX 64
#define COUNT_MAX (INT64_C(1) << 40)
#define NUMBER_MAX (UINT64_C(1) << 53)	/* what JSON's readers can hold */
/* Numbers that a reader is given at once. */
#define BATCH 1024

#define ESCAPES "\"\\/bfnrt"	/* but for \uXXXX */

enum state {
	BEFORE,		/* the opening brace */
	FIRST_KEY,	/* a key, or an empty object's end */
	KEY,
	COLON,
	FIRST,		/* a value, or an empty array's end */
	VALUE,
	NEXT,		/* a comma, or an end */
	TEXT,
	ESCAPE,		/* after a backslash */
	HEX,		/* of \uXXXX */
	LITERAL,
	MINUS,
	ZERO,
	WHOLE,
	POINT,
	FRACTION,
	EXPONENT,
	EXPONENT_SIGN,
	EXPONENT_DIGITS,
	AFTER,		/* the closing brace */
	REFUSED,
};

enum member { HEAD, NODES, EDGES, STRINGS, OTHER, MEMBERS_LEN };

/* What a member's value has to begin with, and each of its elements. */
static const struct {
	const char *key;
	char begin;
	const char *elements;	/* NULL: any */
} members[MEMBERS_LEN] = {
	[HEAD] = {"snapshot", '{', NULL},
	[NODES] = {"nodes", '[', "-0123456789"},
	[EDGES] = {"edges", '[', "-0123456789"},
	[STRINGS] = {"strings", '[', "\""},
	[OTHER] = {NULL, 0, NULL},
};

struct snapshot_scan {
	enum state state;
	enum member member;	/* at depth 1 and deeper */
	bool is_key;		/* TEXT is a key */
	bool seen[MEMBERS_LEN];
	unsigned depth;
	uint8_t objects[DEPTH_MAX / 8];	/* a bit a depth; else an array */
	unsigned hex;		/* digits to come */
	const char *literal;	/* what is to come of it */
	char key[KEY_MAX + 1];	/* at depth 1 */
	size_t key_len;
	int64_t offset;		/* of the byte that is looked at */
	struct buf head;
	int64_t nodes, edges;	/* -1: not known yet */
	int64_t due[MEMBERS_LEN];	/* elements; INT64_MAX: any number */
	int64_t count;		/* elements in this member so far */

	const struct snapshot_reader *reader;	/* NULL: none */
	struct err failure;	/* the reader's */
	uint64_t number;	/* of a node, as far as it was read */
	size_t fields;		/* numbers of a node */
	size_t batch_len;
	uint64_t batch[BATCH];
};

int
snapshot_scan_new(struct snapshot_scan **ret_scan, struct err *err)
{
	struct snapshot_scan *scan = calloc(1, sizeof(*scan));
	size_t i;

	if (scan == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a scanner");
	for (i = 0; i < MEMBERS_LEN; i++)
		scan->due[i] = INT64_MAX;
	scan->state = BEFORE;
	scan->member = OTHER;
	scan->nodes = scan->edges = -1;
	buf_init(&scan->head, HEAD_MAX);
	*ret_scan = scan;
	return 0;
}

void
snapshot_scan_free(struct snapshot_scan **scan)
{
	if (*scan == NULL)
		return;
	buf_fini(&(*scan)->head);
	free(*scan);
	*scan = NULL;
}

int64_t
snapshot_scan_nodes(const struct snapshot_scan *scan)
{
	return scan->nodes;
}

int64_t
snapshot_scan_edges(const struct snapshot_scan *scan)
{
	return scan->edges;
}

void
snapshot_scan_read(struct snapshot_scan *scan,
    const struct snapshot_reader *reader)
{
	scan->reader = reader;
}

static bool
in_object(const struct snapshot_scan *scan)
{
	unsigned at = scan->depth - 1;

	return (scan->objects[at / 8] >> (at % 8) & 1) != 0;
}

/* In the array of a member that somebody reads? */
static bool
is_read(const struct snapshot_scan *scan, enum member member)
{
	return scan->member == member && scan->depth == 2 &&
	    scan->reader != NULL;
}

/* What follows returns NULL, or what is wrong. */
static const char no_memory[] = "no memory for its head";
static const char reader_failed[] = "";

static const char *
give_nodes(struct snapshot_scan *scan)
{
	const size_t nodes_len = scan->batch_len / scan->fields;

	scan->batch_len = 0;
	if (nodes_len == 0 || scan->reader->nodes(scan->reader->ctx,
	    scan->batch, nodes_len, &scan->failure) == 0)
		return NULL;
	return reader_failed;
}

/* Whole nodes are given only, so the batch is never full. */
static const char *
keep_number(struct snapshot_scan *scan, uint64_t number)
{
	scan->batch[scan->batch_len++] = number;
	if (scan->batch_len + scan->fields <= BATCH ||
	    scan->batch_len % scan->fields != 0)
		return NULL;
	return give_nodes(scan);
}

static const char *
give_text(struct snapshot_scan *scan, const char *text, size_t len,
    bool is_last)
{
	if (scan->reader->text(
	    scan->reader->ctx, text, len, is_last, &scan->failure) == 0)
		return NULL;
	return reader_failed;
}

/* {"meta":{"node_fields":[…],"edge_fields":[…],…},"node_count":N,…} */
static const char *
read_head(struct snapshot_scan *scan, const struct json *head)
{
	size_t node_fields, edge_fields;

	node_fields = json_count(json_path(head, "meta", "node_fields"));
	edge_fields = json_count(json_path(head, "meta", "edge_fields"));
	if (node_fields < 1 || node_fields > FIELDS_MAX || edge_fields < 1 ||
	    edge_fields > FIELDS_MAX)
		return "its head does not say what fields a node and an edge "
		       "have";
	scan->nodes = json_int(json_get(head, "node_count"), -1);
	scan->edges = json_int(json_get(head, "edge_count"), -1);
	if (scan->nodes < 0 || scan->nodes > COUNT_MAX || scan->edges < 0 ||
	    scan->edges > COUNT_MAX)
		return "its head does not say how many nodes and edges there "
		       "are";
	scan->due[NODES] = scan->nodes * (int64_t)node_fields;
	scan->due[EDGES] = scan->edges * (int64_t)edge_fields;
	scan->fields = node_fields;
	if (scan->reader != NULL && scan->reader->head(
	    scan->reader->ctx, head, &scan->failure) != 0)
		return reader_failed;
	return NULL;
}

static const char *
finish_head(struct snapshot_scan *scan)
{
	struct json *head = NULL;
	const char *wrong;
	struct err err;

	if (json_parse(buf_str(&scan->head), scan->head.len, &head, &err) == 0)
		wrong = read_head(scan, head);
	else if (err.code == ERR_NOMEM)
		wrong = no_memory;
	else
		wrong = "its head is no JSON";
	json_free(&head);
	buf_fini(&scan->head);
	return wrong;
}

static const char *
finish_member(struct snapshot_scan *scan)
{
	enum member member = scan->member;

	if (member == HEAD)
		return finish_head(scan);
	if (scan->count < scan->due[member] &&
	    (member == NODES || member == EDGES))
		return "there are fewer numbers than its head says";
	if (member == NODES && scan->reader != NULL)
		return give_nodes(scan);
	return NULL;
}

static const char *
begin_member(struct snapshot_scan *scan)
{
	enum member member;

	for (member = HEAD; member < OTHER; member++)
		if (strcmp(scan->key, members[member].key) == 0)
			break;
	if (member != OTHER && scan->seen[member])
		return "it is there twice";
	if (member != HEAD && !scan->seen[HEAD])
		return "the first member is not \"snapshot\"";
	if (member == STRINGS && !scan->seen[NODES] && scan->reader != NULL)
		return "its strings come before its nodes";
	scan->seen[member] = true;
	scan->member = member;
	scan->count = 0;
	return NULL;
}

static const char *
begin(struct snapshot_scan *scan, bool is_object)
{
	unsigned at = scan->depth;
	uint8_t bit = (uint8_t)(1u << (at % 8));

	if (at == DEPTH_MAX)
		return "it is nested too deep";
	if (is_object)
		scan->objects[at / 8] |= bit;
	else
		scan->objects[at / 8] &= (uint8_t)~bit;
	scan->depth++;
	scan->state = is_object ? FIRST_KEY : FIRST;
	return NULL;
}

static const char *
finish(struct snapshot_scan *scan, bool is_object)
{
	if (is_object != in_object(scan))
		return "brackets do not match";
	scan->depth--;
	scan->state = NEXT;
	if (scan->depth == 0)
		scan->state = AFTER;
	return NULL;
}

static const char not_whole[] =
    "a number is not a whole one, or beyond all bounds";

static const char *
step_value(struct snapshot_scan *scan, char c)
{
	const char *elements = members[scan->member].elements;

	if (scan->depth == 1 && members[scan->member].begin != 0 &&
	    c != members[scan->member].begin)
		return "its value is of another type";
	if (scan->depth == 2 && elements != NULL && strchr(elements, c) == NULL)
		return "an element is of another type";
	if (scan->depth == 2 && scan->count++ == scan->due[scan->member])
		return "there are more numbers than its head says";
	if (is_read(scan, NODES) && c == '-')
		return not_whole;
	scan->number = (unsigned char)c & 0xfu;
	switch (c) {
	case '{':
	case '[':
		return begin(scan, c == '{');
	case '"':
		scan->is_key = false;
		scan->state = TEXT;
		return NULL;
	case '-':
		scan->state = MINUS;
		return NULL;
	case '0':
		scan->state = ZERO;
		return NULL;
	case 't':
	case 'f':
	case 'n':
		scan->literal = c == 't' ? "rue" : c == 'f' ? "alse" : "ull";
		scan->state = LITERAL;
		return NULL;
	default:
		scan->state = WHOLE;
		return c >= '1' && c <= '9' ? NULL : "a value is missing";
	}
}

/* Everything but what is inside of a string, number or literal. */
static const char *
step_structure(struct snapshot_scan *scan, char c)
{
	switch ((int)scan->state) {
	case BEFORE:
		return c == '{' ? begin(scan, true) : "it is no object";
	case FIRST_KEY:
	case KEY:
		if (c == '}' && scan->state == FIRST_KEY)
			return finish(scan, true);
		scan->is_key = true;
		scan->key_len = 0;
		scan->state = TEXT;
		return c == '"' ? NULL : "a key is missing";
	case COLON:
		scan->state = VALUE;
		return c == ':' ? NULL : "a colon is missing";
	case FIRST:
		if (c == ']')
			return finish(scan, false);
		return step_value(scan, c);
	case VALUE:
		return step_value(scan, c);
	case NEXT:
		if (c == ']' || c == '}')
			return finish(scan, c == '}');
		scan->state = in_object(scan) ? KEY : VALUE;
		return c == ',' ? NULL : "a comma is missing";
	default:
		return "there is something after its end";
	}
}

static const char *
finish_text(struct snapshot_scan *scan)
{
	if (!scan->is_key) {
		scan->state = NEXT;
		return NULL;
	}
	scan->state = COLON;
	if (scan->depth > 1)
		return NULL;
	scan->key[scan->key_len] = '\0';
	return begin_member(scan);
}

static const char *
step_text(struct snapshot_scan *scan, char c)
{
	static const char hex[] = "0123456789abcdefABCDEF";

	if (scan->is_key && scan->depth == 1 && scan->key_len < KEY_MAX &&
	    !(scan->state == TEXT && c == '"'))
		scan->key[scan->key_len++] = c;
	if (scan->state == TEXT) {
		if (c == '"')
			return finish_text(scan);
		if (c == '\\')
			scan->state = ESCAPE;
		return NULL;
	}
	if (scan->state == ESCAPE && c == 'u') {
		scan->hex = 4;
		scan->state = HEX;
		return NULL;
	}
	if (scan->state == HEX && --scan->hex > 0)
		return strchr(hex, c) != NULL ? NULL : "a wrong escape";
	if (strchr(scan->state == HEX ? hex : ESCAPES, c) == NULL)
		return "a wrong escape";
	scan->state = TEXT;
	return NULL;
}

static const char *
step_literal(struct snapshot_scan *scan, char c)
{
	if (c != *scan->literal++)
		return "a value is missing";
	if (*scan->literal == '\0')
		scan->state = NEXT;
	return NULL;
}

/* A byte of a node's number, or the one behind it. */
static const char *
read_number(struct snapshot_scan *scan, char c)
{
	if (strchr(".eE", c) != NULL)
		return not_whole;
	if (c < '0' || c > '9')
		return keep_number(scan, scan->number);
	scan->number = 10 * scan->number + (unsigned char)(c - '0');
	return scan->number > NUMBER_MAX ? not_whole : NULL;
}

/* A byte of a string, or its end. */
static const char *
read_text(struct snapshot_scan *scan, char c)
{
	const bool is_last = scan->state == TEXT && c == '"';

	return give_text(scan, &c, is_last ? 0 : 1, is_last);
}

/* Moves on, or leaves the number where c is not of it: the state is NEXT. */
static const char *
step_number(struct snapshot_scan *scan, char c)
{
	bool is_digit = c >= '0' && c <= '9', is_e = c == 'e' || c == 'E';

	switch ((int)scan->state) {
	case MINUS:
		scan->state = c == '0' ? ZERO : WHOLE;
		return is_digit ? NULL : "a digit is missing";
	case ZERO:
	case WHOLE:
		if (is_digit && scan->state == ZERO)
			return "a number begins with 0";
		if (!is_digit)
			scan->state = c == '.' ? POINT : is_e ? EXPONENT : NEXT;
		return NULL;
	case POINT:
		scan->state = FRACTION;
		return is_digit ? NULL : "a digit is missing";
	case FRACTION:
		if (!is_digit)
			scan->state = is_e ? EXPONENT : NEXT;
		return NULL;
	case EXPONENT:
		scan->state = c == '+' || c == '-' ? EXPONENT_SIGN :
						     EXPONENT_DIGITS;
		return is_digit || scan->state == EXPONENT_SIGN ?
		    NULL :
		    "a digit is missing";
	case EXPONENT_SIGN:
		scan->state = EXPONENT_DIGITS;
		return is_digit ? NULL : "a digit is missing";
	default:
		if (!is_digit)
			scan->state = NEXT;
		return NULL;
	}
}

static const char *
step(struct snapshot_scan *scan, char c)
{
	bool in_text = scan->state >= TEXT && scan->state <= HEX;
	const char *wrong = NULL;

	if ((unsigned char)c >= 0x80)
		return "a byte that is not ASCII";
	if ((unsigned char)c < 0x20 && (in_text || (c != '\n' && c != '\r')))
		return "a control byte";
	if (in_text) {
		if (is_read(scan, STRINGS))
			wrong = read_text(scan, c);
		return wrong != NULL ? wrong : step_text(scan, c);
	}
	if (scan->state == LITERAL)
		return step_literal(scan, c);
	if (scan->state >= MINUS && scan->state <= EXPONENT_DIGITS) {
		if (is_read(scan, NODES))
			wrong = read_number(scan, c);
		if (wrong == NULL)
			wrong = step_number(scan, c);
		if (wrong != NULL || scan->state != NEXT)
			return wrong;
	}
	if (c == ' ' || c == '\n' || c == '\r')
		return NULL;
	wrong = step_structure(scan, c);
	/* A member ends where its value's bracket does; none that matters is
	 * anything else. */
	if (wrong == NULL && scan->depth == 1 && (c == ']' || c == '}'))
		wrong = finish_member(scan);
	return wrong;
}

/*
 * Eight bytes as one number, the first of them lowest.  In the masks below, a
 * byte's highest bit says that it is one of those.
 */
#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define HIGH EACH(0x80)

static uint64_t
load(const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return le64toh(word);
}

/* For a word of ASCII, here and below. */
static uint64_t
equal(uint64_t word, uint8_t byte)
{
	return ~((word ^ EACH(byte)) + EACH(0x7f)) & HIGH;
}

static uint64_t
digits(uint64_t word)
{
	return ~((word ^ EACH('0')) + EACH(0x76)) & HIGH;
}

/* Whether the events up to and with each byte are odd in number. */
static uint64_t
odd(uint64_t events)
{
	events ^= events << 8;
	events ^= events << 16;
	events ^= events << 32;
	return events;
}

/*
 * In the middle of an array of numbers: go on to where eight bytes are not
 * just digits, commas and line breaks, in their order.
 *
 *	12,0\n,345	digits	11.1.. .111
 *			begins	1..1.. .1..	take turns with commas
 */
static const char *
skip_numbers(struct snapshot_scan *scan, const char *at, const char *end)
{
	/* Of the byte before: a digit; a 0 that begins a number. */
	uint64_t digit = 0x80, zero = scan->state == ZERO ? 0x80 : 0;
	uint64_t begins, word, is_digit, zeros, turns, wanted;
	uint64_t comma_due = HIGH;	/* or 0: a number is */
	const int64_t due = scan->due[scan->member];
	int64_t more;

	for (; end - at >= 8; at += 8) {
		word = load(at);
		if ((word & HIGH) != 0)
			break;
		is_digit = digits(word);
		begins = is_digit & ~(is_digit << 8 | digit);
		zeros = begins & equal(word, '0');
		turns = begins | equal(word, ',');
		if ((is_digit | turns | equal(word, '\n')) != HIGH)
			break;
		wanted = turns & (odd(turns) ^ comma_due);
		more = (int64_t)((begins >> 7) * EACH(1) >> 56);
		if (begins != wanted || more > due - scan->count ||
		    ((zeros << 8 | zero) & is_digit) != 0)
			break;
		digit = is_digit >> 56;
		zero = zeros >> 56;
		if (odd(turns) >> 63 != 0)
			comma_due = ~comma_due & HIGH;
		scan->count += more;
	}
	if (digit != 0)
		scan->state = zero != 0 ? ZERO : WHOLE;
	else
		scan->state = comma_due != 0 ? NEXT : VALUE;
	return at;
}

/* The number that the digits of a word are, the first of them len in number,
 * 1..8. */
static uint64_t
number_of(uint64_t word, unsigned len)
{
	/* The first digit lowest; zeros before it up to eight. */
	uint64_t n = (word ^ EACH('0')) << (64 - 8 * len);
	const uint64_t pairs = UINT64_C(0x000000ff000000ff);

	n = n * 10 + (n >> 8);
	n = (n & pairs) * (100 + (UINT64_C(1000000) << 32)) +
	    (n >> 16 & pairs) * (1 + (UINT64_C(10000) << 32));
	return n >> 32;
}

/* The number of up to 15 digits at the beginning of as many bytes, and what is
 * not a digit behind it; *ret_len is 0 if there is none. */
#define DIGITS_MAX 15
static uint64_t
leading_number(const char *at, unsigned *ret_len)
{
	const uint64_t word = load(at);
	const uint64_t others = (word & HIGH) | (~digits(word & ~HIGH) & HIGH);
	unsigned len = 8;
	uint64_t number;

	if (others != 0)
		len = (unsigned)__builtin_ctzll(others) / 8;
	*ret_len = 0;
	if (len == 0 || (at[0] == '0' && len > 1))
		return 0;
	number = number_of(word, len);
	while (len >= 8 && at[len] >= '0' && at[len] <= '9') {
		if (len == DIGITS_MAX)
			return 0;
		number = 10 * number + (unsigned char)(at[len++] - '0');
	}
	*ret_len = len;
	return number;
}

/* Before a number of a node: read on as long as each is small, and there is
 * nothing but a line break before the comma behind it. */
static const char *
read_numbers(struct snapshot_scan *scan, const char *at, const char *end,
    const char **wrong)
{
	const int64_t due = scan->due[NODES];
	uint64_t number;
	unsigned len;

	while (end - at > DIGITS_MAX + 2 && scan->count < due &&
	    *wrong == NULL) {
		number = leading_number(at, &len);
		if (len == 0)
			break;
		if (at[len] == '\n')
			len++;
		if (at[len] != ',')
			break;
		at += len + 1;
		scan->count++;
		*wrong = keep_number(scan, number);
	}
	return at;
}

/* On to what is not plain text, or to the last bytes. */
static const char *
skip_plain(const char *at, const char *end)
{
	uint64_t word, low, stops;

	for (; end - at >= 8; at += 8) {
		word = load(at);
		low = word & ~HIGH;
		stops = (word & HIGH) | equal(low, '"') | equal(low, '\\') |
		    (~(low + EACH(0x60)) & HIGH);
		if (stops != 0)
			return at + __builtin_ctzll(stops) / 8;
	}
	return at;
}

/* Bytes of a whole escape; 0 if it is none, or not all there. */
static size_t
escape_len(const char *at, const char *end)
{
	if (end - at < 6 || at[0] != '\\')
		return 0;
	if (at[1] != 'u')
		return strchr(ESCAPES, at[1]) != NULL && at[1] != '\0' ? 2 : 0;
	return str_hex_digit(at[2]) >= 0 && str_hex_digit(at[3]) >= 0 &&
		str_hex_digit(at[4]) >= 0 && str_hex_digit(at[5]) >= 0 ?
	    6 :
	    0;
}

/* Bytes from a string's end into the next one of the array, as V8 writes
 * them. */
static size_t
between_len(const char *at, const char *end)
{
	if (end - at >= 3 && memcmp(at, "\",\"", 3) == 0)
		return 3;
	return end - at >= 4 && memcmp(at, "\",\n\"", 4) == 0 ? 4 : 0;
}

/* In the middle of a string in an array: go on to where it is not just
 * text, escapes, and more strings. */
static const char *
skip_strings(const char *at, const char *end)
{
	size_t len;

	do {
		at = skip_plain(at, end);
		len = escape_len(at, end);
		if (len == 0)
			len = between_len(at, end);
		at += len;
	} while (len > 0);
	return at;
}

/* The same, and each is given to the reader. */
static const char *
read_strings(struct snapshot_scan *scan, const char *at, const char *end,
    const char **wrong)
{
	const char *from;
	size_t escape, between;

	do {
		from = at;
		at = skip_plain(at, end);
		escape = escape_len(at, end);
		between = escape == 0 ? between_len(at, end) : 0;
		at += escape;
		*wrong = give_text(
		    scan, from, (size_t)(at - from), between > 0);
		at += between;
	} while (*wrong == NULL && escape + between > 0);
	return at;
}

/* Past what needs no look at each byte. */
static const char *
skip(struct snapshot_scan *scan, const char *at, const char *end,
    const char **wrong)
{
	if (scan->member == HEAD)
		return at;
	if (is_read(scan, NODES))
		return scan->state == VALUE ?
		    read_numbers(scan, at, end, wrong) :
		    at;
	if (scan->state != TEXT && scan->state != WHOLE && scan->state != ZERO)
		return at;
	if (in_object(scan))
		return at;
	if (is_read(scan, STRINGS))
		return read_strings(scan, at, end, wrong);
	if (scan->state == TEXT)
		return skip_strings(at, end);
	return skip_numbers(scan, at, end);
}

static int
refuse(struct snapshot_scan *scan, const char *wrong, struct err *err)
{
	const char *key = members[scan->member].key;

	scan->state = REFUSED;
	if (wrong == reader_failed)
		return err_set(err, scan->failure.code, "%s",
		    scan->failure.msg);
	return err_set(err,
	    wrong == no_memory ? ERR_NOMEM : ERR_TARGET_REFUSED,
	    "what the app wrote is no heap snapshot, at byte %lld%s%s: %s",
	    (long long)scan->offset, key != NULL ? " in " : "",
	    key != NULL ? key : "", wrong);
}

/* The head has all bytes from its opening brace on. */
static const char *
keep_head(struct snapshot_scan *scan, char c)
{
	struct err err;

	if (scan->depth == 1 && (scan->state != VALUE || c != '{'))
		return NULL;
	if (buf_addc(&scan->head, c, &err) == 0)
		return NULL;
	return err.code == ERR_NOMEM ? no_memory : "its head is too long";
}

int
snapshot_scan_feed(struct snapshot_scan *scan, const void *data, size_t len,
    struct err *err)
{
	const char *at = data, *end = at + len, *next;
	const char *wrong = NULL;

	while (at < end) {
		next = skip(scan, at, end, &wrong);
		scan->offset += next - at;
		at = next;
		if (at == end || wrong != NULL)
			break;
		if (scan->member == HEAD)
			wrong = keep_head(scan, *at);
		if (wrong == NULL)
			wrong = step(scan, *at);
		if (wrong != NULL)
			break;
		at++;
		scan->offset++;
	}
	return wrong != NULL ? refuse(scan, wrong, err) : 0;
}

int
snapshot_scan_end(struct snapshot_scan *scan, struct err *err)
{
	enum member member;

	if (scan->state != AFTER)
		return refuse(scan, "it ends here, and is not whole", err);
	for (member = HEAD; member < OTHER; member++)
		if (!scan->seen[member])
			return err_set(err, ERR_TARGET_REFUSED, "what the app "
			    "wrote is no heap snapshot: it has no \"%s\"",
			    members[member].key);
	return 0;
}
