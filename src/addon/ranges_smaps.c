/*
 * Reads /proc/self/smaps for the ranges that are not copied to a child.
 */
#include "ranges.h"

#include <errno.h>

#include "lines.h"
#include "sys.h"

#define WHAT "ranges of memory that a fork leaves out"

struct reader {
	struct table *ranges;
	struct text *why;
	uintptr_t from, to;	/* the range whose lines come */
	bool is_anonymous;
};

/* The app's main thread alone reads, so one is enough. */
static char buffer[LINES_SIZE];

/* Is "dc" one of "VmFlags: rd wr mr mw me dc ac sd"? */
static bool
is_kept(const char *line)
{
	for (; *line != '\0'; line++)
		if (text_begins(line, " dc"))
			return true;
	return false;
}

/* A range's first line begins with its address; all others with a capital. */
static int
take_line(struct reader *reader, const char *line)
{
	if (line[0] == 'V' && text_begins(line, "VmFlags:")) {
		if (!reader->is_anonymous || !is_kept(line))
			return 0;
		return table_add_range(reader->ranges, reader->from,
		    reader->to, WHAT, reader->why);
	}
	if (line[0] >= 'A' && line[0] <= 'Z')
		return 0;
	if (lines_range(&line, &reader->from, &reader->to)) {
		reader->is_anonymous = lines_is_anonymous(line);
		return 0;
	}
	text_clear(reader->why);
	text_put(reader->why, "/proc/self/smaps has a line that is unknown");
	return -1;
}

int
ranges_find_in_smaps(struct table *ranges, struct text *why)
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
