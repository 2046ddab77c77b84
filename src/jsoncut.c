/*
 * A tokenizer that knows just enough of JSON to tell, byte by byte, which
 * value it is in: the kinds of the open containers (one bit each) and the
 * keys of the two outermost levels.  Checking numbers and literals is left to
 * json_parse() of the rest, and, inside a cut value, to whoever reads it.
 */
#include "jsoncut.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "str.h"

/* Names and ids longer than this match no rule. */
#define WORD_MAX 64

/* Unescaped text never takes more bytes than its escapes, but for a pending
 * high surrogate of the piece before (U+FFFD, 3 bytes). */
#define TEXT_MAX 65536
#define TEXT_SLACK 8

/* A string of the message, cut to what a rule may name. */
struct word {
	char text[WORD_MAX];
	size_t len;		/* WORD_MAX: too long, matches nothing */
};

enum escape {
	ESCAPE_NONE,
	ESCAPE_BEGUN,		/* after '\' */
	ESCAPE_HEX,		/* inside \uXXXX */
};

struct jsoncut {
	struct buf rest;
	const struct jsoncut_rule *rule;
	jsoncut_sink_fn *sink;
	void *ctx;

	unsigned char is_object[JSONCUT_DEPTH_MAX / 8];
	size_t depth;
	bool ended;		/* the top value is closed */
	bool in_string;
	bool in_key;
	bool want_key;		/* the next string is a key */
	bool after_colon;	/* the next byte begins a value */
	enum escape escape;
	struct word keys[2];	/* at depth 1 and 2 */
	struct word method;
	struct word id;

	bool was_cut;
	bool in_text;		/* inside a JSONCUT_TEXT value */
	size_t raw_depth;	/* depth that ends a JSONCUT_RAW value; 0: none */

	unsigned hex_digits;
	unsigned hex_value;
	unsigned high;		/* a high surrogate that waits for its low */
	size_t text_len;
	char text[TEXT_MAX + TEXT_SLACK];
};

int
jsoncut_new(size_t rest_max, struct jsoncut **ret_cut, struct err *err)
{
	struct jsoncut *cut = calloc(1, sizeof(*cut));

	if (cut == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a message");
	buf_init(&cut->rest, rest_max);
	*ret_cut = cut;
	return 0;
}

void
jsoncut_free(struct jsoncut **cut)
{
	if (cut == NULL || *cut == NULL)
		return;
	buf_fini(&(*cut)->rest);
	free(*cut);
	*cut = NULL;
}

void
jsoncut_begin(struct jsoncut *cut, const struct jsoncut_rule *rule,
    jsoncut_sink_fn *sink, void *ctx)
{
	assert(rule == NULL || sink != NULL);
	buf_reset(&cut->rest);
	cut->rule = rule;
	cut->sink = sink;
	cut->ctx = ctx;
	cut->depth = 0;
	cut->ended = false;
	cut->in_string = false;
	cut->in_key = false;
	cut->want_key = false;
	cut->after_colon = false;
	cut->escape = ESCAPE_NONE;
	cut->keys[0].len = 0;
	cut->keys[1].len = 0;
	cut->method.len = 0;
	cut->id.len = 0;
	cut->was_cut = false;
	cut->in_text = false;
	cut->raw_depth = 0;
	cut->high = 0;
	cut->text_len = 0;
}

static int
malformed(struct err *err, const char *what)
{
	return err_set(err, ERR_TARGET_REFUSED,
	    "the inspector sent a malformed message: %s", what);
}

static void
word_add(struct word *word, char c)
{
	if (word->len < WORD_MAX)
		word->text[word->len++] = c;
}

static bool
word_is(const struct word *word, const char *text)
{
	return word->len < WORD_MAX && strlen(text) == word->len &&
	    memcmp(word->text, text, word->len) == 0;
}

static bool
word_is_id(const struct word *word, int64_t id)
{
	char text[WORD_MAX];
	char *end;

	if (word->len == 0 || word->len >= WORD_MAX)
		return false;
	memcpy(text, word->text, word->len);
	text[word->len] = '\0';
	return strtoll(text, &end, 10) == id && *end == '\0';
}

static bool
top_is_object(const struct jsoncut *cut)
{
	size_t i = cut->depth - 1;

	return cut->depth > 0 &&
	    (cut->is_object[i / 8] & (1u << (i % 8))) != 0;
}

/* Is the value that begins here the one of the rule? */
static bool
rule_matches(const struct jsoncut *cut)
{
	const struct jsoncut_rule *rule = cut->rule;

	if (rule == NULL || cut->depth != 2 || !cut->after_colon ||
	    !word_is(&cut->keys[0], rule->outer) ||
	    !word_is(&cut->keys[1], rule->inner))
		return false;
	return rule->method != NULL ? word_is(&cut->method, rule->method) :
	    word_is_id(&cut->id, rule->id);
}

/* Where a string or primitive at the top level is kept, if anywhere. */
static struct word *
top_value(struct jsoncut *cut)
{
	if (cut->depth != 1)
		return NULL;
	if (word_is(&cut->keys[0], "method"))
		return &cut->method;
	if (word_is(&cut->keys[0], "id"))
		return &cut->id;
	return NULL;
}

static int
flush_text(struct jsoncut *cut, struct err *err)
{
	size_t len = cut->text_len;

	cut->text_len = 0;
	return len == 0 ? 0 : cut->sink(cut->ctx, cut->text, len, err);
}

static void
put_utf8(struct jsoncut *cut, unsigned c)
{
	cut->text_len += str_put_utf8(c, cut->text + cut->text_len);
}

/* A high surrogate that nothing completes. */
static void
settle_high(struct jsoncut *cut)
{
	if (cut->high != 0)
		put_utf8(cut, 0xfffd);
	cut->high = 0;
}

static void
put_utf16(struct jsoncut *cut, unsigned unit)
{
	if (unit >= 0xdc00 && unit <= 0xdfff) {
		if (cut->high == 0) {
			put_utf8(cut, 0xfffd);
			return;
		}
		put_utf8(cut,
		    0x10000 + ((cut->high - 0xd800) << 10) + (unit - 0xdc00));
		cut->high = 0;
		return;
	}
	settle_high(cut);
	if (unit >= 0xd800 && unit <= 0xdbff)
		cut->high = unit;
	else
		put_utf8(cut, unit);
}

/* One byte of an escape inside a JSONCUT_TEXT value. */
static int
text_escape(struct jsoncut *cut, char c, struct err *err)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	const char *at;
	int digit;

	if (cut->escape == ESCAPE_HEX) {
		digit = str_hex_digit(c);
		if (digit < 0)
			return malformed(err, "\\u without four hex digits");
		cut->hex_value = cut->hex_value << 4 | (unsigned)digit;
		if (--cut->hex_digits == 0) {
			cut->escape = ESCAPE_NONE;
			put_utf16(cut, cut->hex_value);
		}
		return 0;
	}
	if (c == 'u') {
		cut->escape = ESCAPE_HEX;
		cut->hex_digits = 4;
		cut->hex_value = 0;
		return 0;
	}
	at = c == '\0' ? NULL : strchr(from, c);
	if (at == NULL)
		return malformed(err, "an escape that JSON does not have");
	settle_high(cut);
	cut->text[cut->text_len++] = to[at - from];
	cut->escape = ESCAPE_NONE;
	return 0;
}

static bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c != '"' && c != '\\';
}

/*
 * Bytes inside a JSONCUT_TEXT value: this is where a snapshot passes through.
 * Returns how many were used (at least 1), or -1.
 */
static int64_t
feed_text(struct jsoncut *cut, const char *data, size_t len, struct err *err)
{
	const char *p = data;
	const char *end = data + (len < TEXT_MAX ? len : TEXT_MAX);
	const char *run;

	while (p < end) {
		unsigned char c = (unsigned char)*p++;

		if (cut->escape != ESCAPE_NONE) {
			if (text_escape(cut, (char)c, err) != 0)
				return -1;
		} else if (c == '\\') {
			cut->escape = ESCAPE_BEGUN;
		} else if (c == '"') {
			settle_high(cut);
			cut->in_text = false;
			if (buf_adds(&cut->rest, "\"\"", err) != 0)
				return -1;
			break;
		} else if (c < 0x20) {
			return malformed(err, "a control byte in a string");
		} else {
			settle_high(cut);
			run = p - 1;
			while (p < end && is_plain((unsigned char)*p))
				p++;
			memcpy(cut->text + cut->text_len, run,
			    (size_t)(p - run));
			cut->text_len += (size_t)(p - run);
		}
	}
	return flush_text(cut, err) != 0 ? -1 : p - data;
}

/* A byte inside a string that is not cut as text. */
static int
string_byte(struct jsoncut *cut, char c, struct err *err)
{
	struct word *value;

	if ((unsigned char)c < 0x20)
		return malformed(err, "a control byte in a string");
	if (cut->escape == ESCAPE_BEGUN) {
		cut->escape = ESCAPE_NONE;
	} else if (c == '\\') {
		cut->escape = ESCAPE_BEGUN;
	} else if (c == '"') {
		cut->in_string = false;
		cut->in_key = false;
		return 0;
	}
	/* An escaped name keeps its '\' here and so matches no rule. */
	if (cut->in_key) {
		if (cut->depth <= 2)
			word_add(&cut->keys[cut->depth - 1], c);
	} else {
		value = top_value(cut);
		if (value != NULL)
			word_add(value, c);
	}
	return 0;
}

static void
string_open(struct jsoncut *cut)
{
	struct word *value;

	cut->in_string = true;
	cut->in_key = cut->want_key;
	cut->want_key = false;
	if (cut->in_key) {
		if (cut->depth <= 2)
			cut->keys[cut->depth - 1].len = 0;
	} else {
		value = top_value(cut);
		if (value != NULL)
			value->len = 0;
	}
}

static int
container_open(struct jsoncut *cut, bool is_object, struct err *err)
{
	size_t i = cut->depth;
	unsigned char bit = (unsigned char)(1u << (i % 8));

	if (i >= JSONCUT_DEPTH_MAX)
		return malformed(err, "it is nested too deep");
	if (is_object)
		cut->is_object[i / 8] |= bit;
	else
		cut->is_object[i / 8] &= (unsigned char)~bit;
	cut->depth++;
	cut->want_key = is_object;
	/* The keys of a level that was left must not match in this one. */
	if (cut->depth <= 2)
		cut->keys[cut->depth - 1].len = 0;
	return 0;
}

static int
container_close(struct jsoncut *cut, bool is_object, struct err *err)
{
	if (cut->depth == 0 || top_is_object(cut) != is_object)
		return malformed(err, "its brackets do not match");
	cut->depth--;
	cut->want_key = false;
	cut->ended = cut->depth == 0;
	return 0;
}

/* A byte outside of strings. */
static int
plain_byte(struct jsoncut *cut, char c, struct err *err)
{
	struct word *value;

	switch (c) {
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		return 0;
	case '{':
	case '[':
		cut->after_colon = false;
		return container_open(cut, c == '{', err);
	case '}':
	case ']':
		return container_close(cut, c == '}', err);
	case '"':
		cut->after_colon = false;
		string_open(cut);
		return 0;
	case ':':
		cut->after_colon = true;
		return 0;
	case ',':
		cut->want_key = top_is_object(cut);
		return 0;
	default:
		if ((unsigned char)c < 0x20 || (unsigned char)c >= 0x7f)
			return malformed(err, "a byte outside of any value");
		value = top_value(cut);
		if (value != NULL) {
			if (cut->after_colon)
				value->len = 0;
			word_add(value, c);
		}
		cut->after_colon = false;
		return 0;
	}
}

/* If the rule's value begins with this byte, go over to cutting. */
static int
try_cut(struct jsoncut *cut, char c, struct err *err)
{
	if (!rule_matches(cut))
		return 0;
	if (cut->rule->form == JSONCUT_TEXT ? c != '"' :
	    c != '{' && c != '[')
		return 0;
	if (cut->was_cut)
		return malformed(err, "a value is there twice");
	cut->was_cut = true;
	cut->after_colon = false;
	if (cut->rule->form == JSONCUT_TEXT)
		cut->in_text = true;
	else
		cut->raw_depth = cut->depth;
	return 1;
}

/*
 * Bytes inside a JSONCUT_RAW value.  Returns how many were used, or -1.
 */
static int64_t
feed_raw(struct jsoncut *cut, const char *data, size_t len, struct err *err)
{
	size_t i = 0;

	while (i < len) {
		char c = data[i++];

		if (cut->in_string) {
			if (string_byte(cut, c, err) != 0)
				return -1;
			continue;
		}
		if (plain_byte(cut, c, err) != 0)
			return -1;
		if (cut->depth == cut->raw_depth) {
			cut->raw_depth = 0;
			if (buf_adds(&cut->rest, "null", err) != 0)
				return -1;
			break;
		}
	}
	return cut->sink(cut->ctx, data, i, err) != 0 ? -1 : (int64_t)i;
}

/*
 * Bytes that belong to the rest, up to where a cut begins.  Returns how many
 * were used, or -1.
 */
static int64_t
feed_rest(struct jsoncut *cut, const char *data, size_t len, struct err *err)
{
	size_t i = 0;
	int cuts = 0;

	while (i < len) {
		char c = data[i];

		if (cut->in_string) {
			i++;
			if (string_byte(cut, c, err) != 0)
				return -1;
			continue;
		}
		if (cut->ended && strchr(" \t\r\n", c) == NULL)
			return malformed(err, "something follows its end");
		cuts = try_cut(cut, c, err);
		if (cuts != 0)
			break;
		i++;
		if (plain_byte(cut, c, err) != 0)
			return -1;
	}
	if (cuts < 0)
		return -1;
	if (buf_add(&cut->rest, data, i, err) != 0)
		return -1;
	/* The quote that opens a text is nobody's. */
	return (int64_t)(cuts == 1 && cut->in_text ? i + 1 : i);
}

int
jsoncut_feed(struct jsoncut *cut, const void *data, size_t len,
    struct err *err)
{
	const char *p = data;

	while (len > 0) {
		int64_t used = cut->in_text ? feed_text(cut, p, len, err) :
		    cut->raw_depth != 0 ? feed_raw(cut, p, len, err) :
		    feed_rest(cut, p, len, err);

		if (used < 0) {
			if (err != NULL && err->code == ERR_TOO_LARGE)
				return err_set(err, ERR_TARGET_REFUSED,
				    "the inspector sent a control message of "
				    "over %zu bytes", cut->rest.max);
			return -1;
		}
		p += used;
		len -= (size_t)used;
	}
	return 0;
}

int
jsoncut_end(struct jsoncut *cut, const struct buf **ret_rest, struct err *err)
{
	if (!cut->ended)
		return malformed(err, "it ends in the middle");
	*ret_rest = &cut->rest;
	return 0;
}
