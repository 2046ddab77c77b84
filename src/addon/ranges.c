/*
 * Reads /proc/self/smaps for the ranges that are not copied to a child, and
 * turns that flag off and on again.
 */
#include "ranges.h"

#include <errno.h>
#include <sys/mman.h>

#include "lines.h"
#include "sys.h"

/* One line is at most a path long; the kernel gives 4 KiB at a time. */
#define LINE_MAX 32768

/* How often the kernel may say that it is short of memory for a moment. */
#define MADVISE_TRIES 16

struct reader {
	struct table *ranges;
	struct text *why;
	uintptr_t from, to;	/* of the range whose lines come */
};

/* The app's main thread alone reads, so one is enough. */
static char buffer[LINE_MAX];

static int
add_range(struct reader *reader)
{
	struct table *ranges = reader->ranges;

	if (ranges->len > 0 && ranges->pairs[ranges->len - 1].b == reader->from)
		ranges->pairs[ranges->len - 1].b = reader->to;
	else if (table_add(ranges, reader->from, reader->to,
		     "ranges of memory that a fork leaves out",
		     reader->why) != 0)
		return -1;
	return 0;
}

/* Is flag one of "VmFlags: rd wr mr mw me dc ac sd"? */
static bool
has_flag(const char *line, const char *flag)
{
	for (; *line != '\0'; line++)
		if (line[0] == ' ' && line[1] == flag[0] && line[2] == flag[1])
			return true;
	return false;
}

/* The kernel takes the flag from no range that is a device's or its own. */
static bool
is_ours(const char *line)
{
	return has_flag(line, "dc") && !has_flag(line, "io") &&
	    !has_flag(line, "pf") && !has_flag(line, "mm") &&
	    !has_flag(line, "de");
}

/* A range's first line begins with its address; all others with a capital. */
static int
take_line(struct reader *reader, const char *line)
{
	if (line[0] == 'V' && text_begins(line, "VmFlags:"))
		return is_ours(line) ? add_range(reader) : 0;
	if (line[0] >= 'A' && line[0] <= 'Z')
		return 0;
	reader->from = text_take_number(&line, 16);
	if (*line == '-') {
		line++;
		reader->to = text_take_number(&line, 16);
		if (*line == ' ' && reader->to > reader->from)
			return 0;
	}
	text_clear(reader->why);
	text_put(reader->why, "/proc/self/smaps has a line that is unknown");
	return -1;
}

int
ranges_read(struct table *ranges, struct text *why)
{
	struct reader reader = {.ranges = ranges, .why = why};
	struct lines lines;
	const char *line;
	int result = -1;
	int errnum;

	errnum = lines_open(&lines, "/proc/self/smaps", buffer,
	    sizeof(buffer));
	if (errnum != 0) {
		text_set_errno(why, "cannot open /proc/self/smaps", errnum);
		return -1;
	}
	while ((line = lines_next(&lines)) != NULL)
		if (take_line(&reader, line) != 0)
			goto out;
	if (lines.error != 0)
		text_set_errno(why, "cannot read /proc/self/smaps",
		    lines.error);
	else if (reader.to == 0)
		text_set_errno(why, "/proc/self/smaps is empty", ENODATA);
	else
		result = 0;
out:
	lines_close(&lines);
	return result;
}

static long
advise(const struct pair *range, int advice)
{
	long ret;
	int i;

	for (i = 0; i < MADVISE_TRIES; i++) {
		ret = sys_madvise(range->a, range->b - range->a, advice);
		if (ret != -EAGAIN)
			break;
	}
	return ret;
}

/* ENOMEM: a part was unmapped meanwhile; the rest of it is done. */
void
ranges_allow(const struct table *ranges)
{
	size_t i;

	for (i = 0; i < ranges->len; i++)
		(void)advise(&ranges->pairs[i], MADV_DOFORK);
}

void
ranges_restore(const struct table *ranges)
{
	size_t i;

	for (i = 0; i < ranges->len; i++)
		(void)advise(&ranges->pairs[i], MADV_DONTFORK);
}
