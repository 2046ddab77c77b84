/*
 * The walk through the text is snapshot.c's; here its numbers are added up.
 *
 *	head     what the types are called, and which of a node's numbers are
 *	         its type, name and size
 *	nodes    a type that has one class has one sum; else the name's number
 *	         leads to a slot of an open-addressed table
 *	strings  the slots, by now in the order of their numbers, get their
 *	         names, and then are merged where these are equal
 */
#include "classes.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "json.h"
#include "snapshot.h"
#include "str.h"

#define TYPES_MAX 64
#define SLOTS_MIN 4096
#define SLOTS_MAX (1 << 19)	/* 12 MiB; three quarters are used */
#define SIZE_MAX_BYTES (INT64_C(1) << 53)
/* As each byte of a name may be escaped. */
#define RAW_MAX ((size_t)CLASSES_NAME_MAX * 6)
#define NAMES_MAX \
	((size_t)(CLASSES_MAX + TYPES_MAX) * (CLASSES_NAME_MAX + 1))

#define REFUSAL "what the app wrote is no heap snapshot: "

struct sum {
	int64_t count;
	int64_t self_size_bytes;
};

struct type {
	bool is_named;		/* its nodes have classes of their own */
	size_t name;		/* else: in names */
	struct sum sum;
};

/* While nodes come, a place in the table; then one of an array. */
struct slot {
	uint64_t name;		/* a number of a string, from 1 on; 0: free.
				 * Once that came: where it is in names */
	struct sum sum;
};

struct classes {
	struct snapshot_scan *scan;
	struct snapshot_reader reader;

	size_t fields, type_at, name_at, size_at;
	struct type types[TYPES_MAX];
	size_t types_len;
	int64_t self_size_bytes;
	struct sum others;

	struct slot *slots;
	size_t slots_len;	/* a power of two, while nodes come */
	size_t used;
	unsigned shift;		/* 64 less the bits of slots_len */

	bool has_nodes;		/* all of them */
	size_t due;		/* the slot whose name is due next */
	uint64_t strings;	/* that came whole */
	struct buf raw;		/* the text that is due, as it is written */
	struct buf names;	/* each with a NUL */

	struct class *list;
	size_t len;
};

static int
add_name(struct classes *classes, const char *name, size_t *ret_at,
    struct err *err)
{
	const size_t at = classes->names.len;

	if (buf_add(&classes->names, name, strlen(name) + 1, err) != 0)
		return -1;
	*ret_at = at;
	return 0;
}

/* The longest part of a text that is no longer than a name, and does not end
 * in the middle of a character. */
static void
cut_name(char *text)
{
	size_t len = strlen(text);

	if (len <= CLASSES_NAME_MAX)
		return;
	len = CLASSES_NAME_MAX;
	while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	text[len] = '\0';
}

static int
add_type(struct classes *classes, const char *name, struct err *err)
{
	struct type *type = &classes->types[classes->types_len];
	char text[CLASSES_NAME_MAX + 8];
	int n;

	type->is_named = strcmp(name, "object") == 0 ||
	    strcmp(name, "native") == 0;
	if (strcmp(name, "closure") == 0)
		(void)str_copy(text, sizeof(text), "Function");
	else if (strcmp(name, "code") == 0)
		(void)str_copy(text, sizeof(text), "(compiled code)");
	else {
		n = snprintf(text, sizeof(text), "(%s)", name);
		if (n < 0 || (size_t)n >= sizeof(text))
			return err_set(err, ERR_TARGET_REFUSED,
			    REFUSAL "a type's name is too long");
		cut_name(text);
	}
	if (add_name(classes, text, &type->name, err) != 0)
		return -1;
	classes->types_len++;
	return 0;
}

/* The first list of "node_types" has the names of the types. */
static int
read_types(struct classes *classes, const struct json *meta, struct err *err)
{
	const struct json *type = json_first(json_get(meta, "node_types"));
	size_t at;

	for (at = 0; type != NULL && at < classes->type_at; at++)
		type = json_next(type);
	for (type = json_first(type); type != NULL; type = json_next(type)) {
		if (json_string(type) == NULL ||
		    classes->types_len == TYPES_MAX)
			break;
		if (add_type(classes, json_string(type), err) != 0)
			return -1;
	}
	if (type == NULL && classes->types_len > 0)
		return 0;
	return err_set(err, ERR_TARGET_REFUSED,
	    REFUSAL "its head does not say what types nodes have");
}

static bool
find_field(const struct json *meta, const char *name, size_t *ret_at)
{
	const struct json *field = json_first(json_get(meta, "node_fields"));
	const char *text;
	size_t at;

	for (at = 0; field != NULL; at++, field = json_next(field)) {
		text = json_string(field);
		if (text == NULL || strcmp(text, name) != 0)
			continue;
		*ret_at = at;
		return true;
	}
	return false;
}

static int
take_head(void *ctx, const struct json *head, struct err *err)
{
	const struct json *meta = json_get(head, "meta");
	struct classes *classes = ctx;

	classes->fields = json_count(json_get(meta, "node_fields"));
	if (!find_field(meta, "type", &classes->type_at) ||
	    !find_field(meta, "name", &classes->name_at) ||
	    !find_field(meta, "self_size", &classes->size_at))
		return err_set(err, ERR_TARGET_REFUSED, REFUSAL "its head has "
		    "no type, name or self_size among the fields of a node");
	return read_types(classes, meta, err);
}

static void
add(struct sum *sum, int64_t size_bytes)
{
	sum->count++;
	sum->self_size_bytes += size_bytes;
}

/* The slot that has the name, or is free for it. */
static struct slot *
find_slot(const struct classes *classes, uint64_t name)
{
	size_t at = (size_t)(name * UINT64_C(0x9e3779b97f4a7c15) >>
	    classes->shift);

	while (classes->slots[at].name != 0 && classes->slots[at].name != name)
		at = (at + 1) & (classes->slots_len - 1);
	return &classes->slots[at];
}

static int
set_slots(struct classes *classes, size_t len, struct err *err)
{
	struct slot *slots = calloc(len, sizeof(*slots));
	struct slot *old = classes->slots;
	const size_t old_len = classes->slots_len;
	size_t i;

	if (slots == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a snapshot's "
		    "classes");
	classes->slots = slots;
	classes->slots_len = len;
	classes->shift = 64 - (unsigned)__builtin_ctzll(len);
	for (i = 0; i < old_len; i++)
		if (old[i].name != 0)
			*find_slot(classes, old[i].name) = old[i];
	free(old);
	return 0;
}

static int
add_named(struct classes *classes, uint64_t name, int64_t size_bytes,
    struct err *err)
{
	struct slot *slot = find_slot(classes, name);

	if (slot->name == 0) {
		if (classes->used < classes->slots_len / 4 * 3) {
			slot->name = name;
			classes->used++;
		} else if (classes->slots_len < SLOTS_MAX) {
			if (set_slots(classes, classes->slots_len * 2, err) !=
			    0)
				return -1;
			return add_named(classes, name, size_bytes, err);
		} else {
			add(&classes->others, size_bytes);
			return 0;
		}
	}
	add(&slot->sum, size_bytes);
	return 0;
}

static int
refuse_node(const struct classes *classes, const uint64_t *node,
    struct err *err)
{
	if (node[classes->type_at] >= classes->types_len)
		return err_set(err, ERR_TARGET_REFUSED, REFUSAL "a node is of "
		    "type %llu, and its head names %zu",
		    (unsigned long long)node[classes->type_at],
		    classes->types_len);
	return err_set(err, ERR_TARGET_REFUSED, REFUSAL "its nodes are larger "
	    "than any memory");
}

static int
take_nodes(void *ctx, const uint64_t *numbers, size_t nodes_len,
    struct err *err)
{
	struct classes *classes = ctx;
	const uint64_t *node = numbers, *end;
	struct type *type;
	int64_t size_bytes;

	end = numbers + nodes_len * classes->fields;
	for (; node < end; node += classes->fields) {
		size_bytes = (int64_t)node[classes->size_at];
		classes->self_size_bytes += size_bytes;
		if (node[classes->type_at] >= classes->types_len ||
		    classes->self_size_bytes > SIZE_MAX_BYTES)
			return refuse_node(classes, node, err);
		type = &classes->types[node[classes->type_at]];
		if (!type->is_named)
			add(&type->sum, size_bytes);
		else if (add_named(classes, node[classes->name_at] + 1,
		    size_bytes, err) != 0)
			return -1;
	}
	return 0;
}

static int
compare_sums(const struct sum *a, const struct sum *b)
{
	if (a->self_size_bytes != b->self_size_bytes)
		return a->self_size_bytes > b->self_size_bytes ? -1 : 1;
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return 0;
}

/* Largest first; of equal ones the first that was named. */
static int
compare_sizes(const void *one, const void *other)
{
	const struct slot *a = one, *b = other;
	const int order = compare_sums(&a->sum, &b->sum);

	return order != 0 ? order : (a->name > b->name) - (a->name < b->name);
}

static int
compare_numbers(const void *one, const void *other)
{
	const struct slot *a = one, *b = other;

	return (a->name > b->name) - (a->name < b->name);
}

static void
merge_sum(struct sum *into, const struct sum *sum)
{
	into->count += sum->count;
	into->self_size_bytes += sum->self_size_bytes;
}

/* All nodes have come: keep what may be named, in the order in which the
 * names come. */
static void
finish_nodes(struct classes *classes)
{
	const size_t max = CLASSES_MAX - 1 - classes->types_len;
	struct slot *slots = classes->slots;
	size_t i, len = 0;

	classes->has_nodes = true;
	for (i = 0; i < classes->slots_len; i++)
		if (slots[i].name != 0)
			slots[len++] = slots[i];
	if (len > max) {
		qsort(slots, len, sizeof(*slots), compare_sizes);
		for (i = max; i < len; i++)
			merge_sum(&classes->others, &slots[i].sum);
		len = max;
	}
	classes->used = len;
	qsort(slots, len, sizeof(*slots), compare_numbers);
}

/* Four hex digits, which are there. */
static unsigned
unit_of(const char *at)
{
	return (unsigned)str_hex_digit(at[0]) << 12 |
	    (unsigned)str_hex_digit(at[1]) << 8 |
	    (unsigned)str_hex_digit(at[2]) << 4 |
	    (unsigned)str_hex_digit(at[3]);
}

/* Of a text that the scanner has accepted, but that may have been cut. */
static bool
is_cut_escape(const char *at)
{
	return at[1] == '\0' || (at[1] == 'u' && strnlen(at, 6) < 6);
}

#define REPLACEMENT 0xfffdu

/* After "\u": moves on behind it, and behind the other half of a pair. */
static uint32_t
read_unit(const char **at)
{
	const unsigned unit = unit_of(*at);
	unsigned low;

	*at += 4;
	if (unit == 0 || (unit >= 0xdc00 && unit < 0xe000))
		return REPLACEMENT;
	if (unit < 0xd800 || unit >= 0xe000)
		return unit;
	if ((*at)[0] != '\\' || (*at)[1] != 'u' || is_cut_escape(*at))
		return REPLACEMENT;
	low = unit_of(*at + 2);
	if (low < 0xdc00 || low >= 0xe000)
		return REPLACEMENT;
	*at += 6;
	return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
}

static char
plain_of(char escape)
{
	static const char escapes[] = "bfnrt", plain[] = "\b\f\n\r\t";
	const char *at = strchr(escapes, escape);

	if (at == NULL)
		return escape;
	return plain[at - escapes];
}

/* One character of the text; bytes of it in out. */
static size_t
decode_char(const char **at, char out[4])
{
	const char *from = *at;
	uint32_t point;

	if (from[0] != '\\') {
		*at = from + 1;
		out[0] = from[0];
		return 1;
	}
	if (from[1] != 'u') {
		*at = from + 2;
		out[0] = plain_of(from[1]);
		return 1;
	}
	*at = from + 2;
	point = read_unit(at);
	return str_put_utf8(point, out);
}

static void
decode(const char *text, char out[CLASSES_NAME_MAX + 1])
{
	char bytes[4];
	size_t len = 0, n;

	while (*text != '\0' && !(*text == '\\' && is_cut_escape(text))) {
		n = decode_char(&text, bytes);
		if (len + n > CLASSES_NAME_MAX)
			break;
		memcpy(out + len, bytes, n);
		len += n;
	}
	out[len] = '\0';
}

/* The due slots' text is there. */
static int
finish_text(struct classes *classes, struct err *err)
{
	struct slot *slot = &classes->slots[classes->due];
	char name[CLASSES_NAME_MAX + 1];
	size_t at;

	decode(buf_str(&classes->raw), name);
	buf_reset(&classes->raw);
	if (add_name(classes, name, &at, err) != 0)
		return -1;
	slot->name = at;
	classes->due++;
	return 0;
}

/* What does not fit is cut: it is more than a name may have. */
static int
keep_text(struct classes *classes, const char *text, size_t len,
    struct err *err)
{
	const size_t room = RAW_MAX - classes->raw.len;

	return buf_add(&classes->raw, text, len < room ? len : room, err);
}

static int
take_text(void *ctx, const char *text, size_t len, bool is_last,
    struct err *err)
{
	struct classes *classes = ctx;

	if (!classes->has_nodes)
		finish_nodes(classes);
	if (classes->due < classes->used &&
	    classes->slots[classes->due].name == classes->strings + 1 &&
	    (keep_text(classes, text, len, err) != 0 ||
	    (is_last && finish_text(classes, err) != 0)))
		return -1;
	if (is_last)
		classes->strings++;
	return 0;
}

int
classes_new(struct classes **ret_classes, struct err *err)
{
	struct classes *classes = calloc(1, sizeof(*classes));

	if (classes == NULL)
		return err_set(err, ERR_NOMEM, "no memory for classes");
	buf_init(&classes->raw, RAW_MAX);
	buf_init(&classes->names, NAMES_MAX);
	classes->reader = (struct snapshot_reader){
		classes, take_head, take_nodes, take_text,
	};
	if (snapshot_scan_new(&classes->scan, err) != 0 ||
	    set_slots(classes, SLOTS_MIN, err) != 0) {
		classes_free(&classes);
		return -1;
	}
	snapshot_scan_read(classes->scan, &classes->reader);
	*ret_classes = classes;
	return 0;
}

void
classes_free(struct classes **classes)
{
	struct classes *c = *classes;

	if (c == NULL)
		return;
	snapshot_scan_free(&c->scan);
	buf_fini(&c->raw);
	buf_fini(&c->names);
	free(c->slots);
	free(c->list);
	free(c);
	*classes = NULL;
}

int
classes_feed(struct classes *classes, const void *data, size_t len,
    struct err *err)
{
	return snapshot_scan_feed(classes->scan, data, len, err);
}

static int
compare_names(const void *one, const void *other)
{
	const struct class *a = one, *b = other;

	return strcmp(a->name, b->name);
}

static void
put(struct classes *classes, size_t name, const struct sum *sum)
{
	if (sum->count > 0)
		classes->list[classes->len++] = (struct class){
			classes->names.data + name, sum->count,
			sum->self_size_bytes,
		};
}

/* Neighbours of one name become one. */
static void
merge(struct classes *classes)
{
	struct class *list = classes->list;
	size_t i, len = 0;

	for (i = 0; i < classes->len; i++) {
		if (len > 0 && strcmp(list[len - 1].name, list[i].name) == 0) {
			list[len - 1].count += list[i].count;
			list[len - 1].self_size_bytes +=
			    list[i].self_size_bytes;
		} else {
			list[len++] = list[i];
		}
	}
	classes->len = len;
}

static int
make_list(struct classes *classes, struct err *err)
{
	size_t others, i;

	/* Where the names are is known once there are no more. */
	if (add_name(classes, CLASSES_OTHERS, &others, err) != 0)
		return -1;
	classes->list = calloc(classes->used + classes->types_len + 1,
	    sizeof(*classes->list));
	if (classes->list == NULL)
		return err_set(err, ERR_NOMEM, "no memory for classes");
	put(classes, others, &classes->others);
	for (i = 0; i < classes->types_len; i++)
		put(classes, classes->types[i].name, &classes->types[i].sum);
	for (i = 0; i < classes->used; i++)
		put(classes, classes->slots[i].name, &classes->slots[i].sum);
	qsort(classes->list, classes->len, sizeof(*classes->list),
	    compare_names);
	merge(classes);
	return 0;
}

int
classes_end(struct classes *classes, struct err *err)
{
	if (snapshot_scan_end(classes->scan, err) != 0)
		return -1;
	if (!classes->has_nodes)
		finish_nodes(classes);
	if (classes->due < classes->used)
		return err_set(err, ERR_TARGET_REFUSED, REFUSAL "a node is "
		    "named by string %llu, and there are %llu",
		    (unsigned long long)
		    classes->slots[classes->due].name - 1,
		    (unsigned long long)classes->strings);
	return make_list(classes, err);
}

const struct class *
classes_list(const struct classes *classes, size_t *ret_len)
{
	*ret_len = classes->len;
	return classes->list;
}

struct classes_total
classes_total(const struct classes *classes)
{
	return (struct classes_total){
		snapshot_scan_nodes(classes->scan),
		snapshot_scan_edges(classes->scan),
		classes->self_size_bytes,
	};
}
