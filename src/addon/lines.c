/*
 * Lines of a file, by read(2).
 */
#include "lines.h"

#include <errno.h>
#include <string.h>

#include "sys.h"
#include "text.h"

int
lines_open(struct lines *lines, const char *path, char *buf, size_t size)
{
	long fd = sys_open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return (int)-fd;
	lines->fd = (int)fd;
	lines->buf = buf;
	lines->size = size;
	lines->from = lines->len = 0;
	lines->error = 0;
	return 0;
}

/* Read behind what is there; false: nothing came. */
static bool
read_more(struct lines *lines)
{
	long n;

	memmove(lines->buf, lines->buf + lines->from, lines->len);
	lines->from = 0;
	do
		n = sys_read(lines->fd, lines->buf + lines->len,
		    lines->size - lines->len);
	while (n == -EINTR);
	if (n > 0) {
		lines->len += (size_t)n;
		return true;
	}
	lines->error = -n;
	/* The end, but not of a line; or a line that is too long. */
	if (n == 0 && lines->len > 0)
		lines->error = EINVAL;
	return false;
}

char *
lines_next(struct lines *lines)
{
	char *line, *end;
	size_t seen = 0;

	for (;;) {
		line = lines->buf + lines->from;
		end = memchr(line + seen, '\n', lines->len - seen);
		if (end != NULL)
			break;
		seen = lines->len;
		if (!read_more(lines))
			return NULL;
	}
	*end = '\0';
	lines->len -= (size_t)(end + 1 - line);
	lines->from += (size_t)(end + 1 - line);
	return line;
}

void
lines_close(struct lines *lines)
{
	(void)sys_close(lines->fd);
}

bool
lines_range(const char **line, uintptr_t *ret_from, uintptr_t *ret_to)
{
	const char *at = *line;
	uintptr_t from, to;

	from = text_take_number(&at, 16);
	if (at == *line || *at++ != '-')
		return false;
	to = text_take_number(&at, 16);
	if (*at != ' ' || to <= from)
		return false;
	*ret_from = from;
	*ret_to = to;
	*line = at;
	return true;
}

bool
lines_is_anonymous(const char *rest)
{
	static const char none[] = " 00:00 0";

	/* " rw-p 00000000 00:00 0" */
	if (text_len(rest) < 6 || rest[4] != 'p' || rest[5] != ' ')
		return false;
	for (rest += 6; *rest != ' ' && *rest != '\0'; rest++)
		;
	if (!text_begins(rest, none))
		return false;
	rest += sizeof(none) - 1;
	return *rest == '\0' || *rest == ' ';
}

void
lines_read_small(const char *path, char *buf, size_t size)
{
	int fd = (int)sys_open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	long n = 0;

	while (fd >= 0 && len < size - 1) {
		n = sys_read(fd, buf + len, size - 1 - len);
		if (n > 0)
			len += (size_t)n;
		else if (n != -EINTR)
			break;
	}
	buf[len] = '\0';
	if (fd >= 0)
		(void)sys_close(fd);
}
