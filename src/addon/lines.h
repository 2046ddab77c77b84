/*
 * A file of /proc or /sys, read without a C library: line by line, or the
 * beginning of a small one.
 */
#ifndef PODPROF_ADDON_LINES_H
#define PODPROF_ADDON_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for the longest line of /proc: a path and some numbers. */
#define LINES_SIZE 16384

struct lines {
	int fd;
	char *buf;		/* the caller's, of size bytes */
	size_t size;
	size_t from, len;	/* what is in it, unread */
	long error;		/* errno, once lines_next() returned NULL; 0: the
				 * end of the file */
};

/* 0 or an errno.  No line may be longer than size. */
int lines_open(struct lines *lines, const char *path, char *buf, size_t size);

/* The next line, without its end, the caller's until the next call; NULL: no
 * more. */
char *lines_next(struct lines *lines);

void lines_close(struct lines *lines);

/*
 * A line of /proc/PID/maps: "1000-2000 rw-p 00000000 00:00 0 …".
 *
 * lines_range() takes its range, and leaves *line behind it, at the space;
 * false: it is no such line.  lines_is_anonymous(), of what is left: is it
 * private memory of no file?
 */
bool lines_range(const char **line, uintptr_t *ret_from, uintptr_t *ret_to);
bool lines_is_anonymous(const char *rest);

/* The first size - 1 bytes at most, as a string; "" if it cannot be read. */
void lines_read_small(const char *path, char *buf, size_t size);

#endif
