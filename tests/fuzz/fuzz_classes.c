/*
 * The classes of what may be a heap snapshot: the first byte says in what
 * pieces it comes.  Piece by piece, byte by byte and whole, the verdict and the
 * classes must be the same; and every node is of one of them.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "classes.h"
#include "str.h"

static int
run(const uint8_t *data, size_t size, size_t piece,
    struct classes **ret_classes, struct err *err)
{
	size_t at, len;
	int ret = 0;

	if (classes_new(ret_classes, err) != 0)
		abort();
	for (at = 0; ret == 0 && at < size; at += len) {
		len = size - at < piece ? size - at : piece;
		ret = classes_feed(*ret_classes, data + at, len, err);
	}
	return ret == 0 ? classes_end(*ret_classes, err) : ret;
}

static void
check_sums(const struct classes *classes)
{
	const struct classes_total total = classes_total(classes);
	const struct class *list;
	int64_t count = 0, bytes = 0;
	size_t i, len;

	list = classes_list(classes, &len);
	for (i = 0; i < len; i++) {
		count += list[i].count;
		bytes += list[i].self_size_bytes;
		if (list[i].count <= 0 || list[i].self_size_bytes < 0 ||
		    strlen(list[i].name) > CLASSES_NAME_MAX ||
		    !str_is_utf8(list[i].name, strlen(list[i].name)) ||
		    (i > 0 && strcmp(list[i - 1].name, list[i].name) >= 0))
			abort();
	}
	if (count != total.nodes || bytes != total.self_size_bytes)
		abort();
}

static void
check_same(const struct classes *a, const struct classes *b)
{
	const struct class *list, *other;
	size_t i, len, other_len;

	list = classes_list(a, &len);
	other = classes_list(b, &other_len);
	if (len != other_len)
		abort();
	for (i = 0; i < len; i++)
		if (strcmp(list[i].name, other[i].name) != 0 ||
		    list[i].count != other[i].count ||
		    list[i].self_size_bytes != other[i].self_size_bytes)
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err[3] = {{.code = 0}};
	struct classes *classes[3] = {NULL};
	size_t pieces[3] = {1, SIZE_MAX, 0};
	int ret[3], i;

	if (size < 1)
		return 0;
	pieces[2] = 2 + data[0] % 64;
	for (i = 0; i < 3; i++)
		ret[i] = run(data + 1, size - 1, pieces[i], &classes[i],
		    &err[i]);
	for (i = 0; i < 3; i++) {
		if (ret[i] != ret[0] || strcmp(err[i].msg, err[0].msg) != 0)
			abort();
		if (ret[i] == 0)
			check_sums(classes[i]);
	}
	if (ret[0] == 0) {
		check_same(classes[0], classes[1]);
		check_same(classes[0], classes[2]);
	}
	for (i = 0; i < 3; i++)
		classes_free(&classes[i]);
	return 0;
}
