/*
 * What an app may write into its FIFO: the first byte says in what pieces it
 * comes.  Piece by piece, byte by byte and whole, the verdict must be the same,
 * and so must the place of what is wrong.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "snapshot.h"

static int
run(const uint8_t *data, size_t size, size_t piece, int64_t *ret_nodes,
    struct err *err)
{
	struct snapshot_scan *scan = NULL;
	size_t at, len;
	int ret = 0;

	if (snapshot_scan_new(&scan, err) != 0)
		abort();
	for (at = 0; ret == 0 && at < size; at += len) {
		len = size - at < piece ? size - at : piece;
		ret = snapshot_scan_feed(scan, data + at, len, err);
	}
	if (ret == 0)
		ret = snapshot_scan_end(scan, err);
	*ret_nodes = snapshot_scan_nodes(scan);
	snapshot_scan_free(&scan);
	return ret;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err[3] = {{.code = 0}};
	int64_t nodes[3];
	size_t pieces[3] = {1, SIZE_MAX, 0};
	int ret[3], i;

	if (size < 1)
		return 0;
	pieces[2] = 2 + data[0] % 64;
	for (i = 0; i < 3; i++)
		ret[i] = run(data + 1, size - 1, pieces[i], &nodes[i],
		    &err[i]);
	for (i = 1; i < 3; i++)
		if (ret[i] != ret[0] || nodes[i] != nodes[0] ||
		    strcmp(err[i].msg, err[0].msg) != 0)
			abort();
	return 0;
}
