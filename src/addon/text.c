/*
 * Text in a fixed room.
 */
#include "text.h"

#include <errno.h>

void
text_clear(struct text *text)
{
	text->len = 0;
	text->data[0] = '\0';
}

void
text_put(struct text *text, const char *word)
{
	for (; *word != '\0' && text->len < TEXT_MAX - 1; word++)
		text->data[text->len++] = *word;
	text->data[text->len] = '\0';
}

void
text_put_number(struct text *text, int64_t number)
{
	char digits[24];
	size_t at = sizeof(digits);
	uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;

	digits[--at] = '\0';
	do {
		digits[--at] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	if (number < 0)
		digits[--at] = '-';
	text_put(text, digits + at);
}

void
text_set_errno(struct text *text, const char *word, long errnum)
{
	static const struct {
		int number;
		const char *name;
	} names[] = {
	    {EPERM, "EPERM"},	{ENOENT, "ENOENT"}, {ENXIO, "ENXIO"},
	    {EAGAIN, "EAGAIN"}, {ENOMEM, "ENOMEM"}, {EACCES, "EACCES"},
	    {ENFILE, "ENFILE"}, {EMFILE, "EMFILE"}, {ENOSYS, "ENOSYS"},
	    {EINVAL, "EINVAL"}, {ELOOP, "ELOOP"},   {EROFS, "EROFS"},
	};
	size_t i;

	text_clear(text);
	text_put(text, word);
	text_put(text, ": ");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].number == errnum) {
			text_put(text, names[i].name);
			return;
		}
	}
	text_put(text, "errno ");
	text_put_number(text, errnum);
}

bool
text_begins(const char *text, const char *prefix)
{
	while (*prefix != '\0')
		if (*text++ != *prefix++)
			return false;
	return true;
}

bool
text_is(const char *a, const char *b)
{
	while (*a == *b && *a != '\0')
		a++, b++;
	return *a == *b;
}

size_t
text_len(const char *text)
{
	size_t len = 0;

	while (text[len] != '\0')
		len++;
	return len;
}

uint64_t
text_take_number(const char **at, unsigned base)
{
	uint64_t number = 0;
	unsigned digit;
	char c;

	for (;; (*at)++) {
		c = **at;
		if (c >= '0' && c <= '9')
			digit = (unsigned)(c - '0');
		else if (base == 16 && c >= 'a' && c <= 'f')
			digit = (unsigned)(c - 'a') + 10;
		else
			return number;
		number = number * base + digit;
	}
}
