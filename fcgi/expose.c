/*
 * The text format: names and numbers are ours, values of labels are escaped.
 */
#include "expose.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "str.h"

void
expose_init(struct expose *expose, struct buf *out)
{
	*expose = (struct expose){ .out = out, .family = "" };
}

/* As of now nothing more is written. */
static void
note(struct expose *expose, int rc)
{
	if (rc != 0)
		expose->rc = -1;
}

void
expose_family(struct expose *expose, const char *name, enum expose_type type,
    const char *help)
{
	static const char *const types[] = { "gauge", "counter", "histogram" };

	expose->family = name;
	if (expose->rc == 0)
		note(expose, buf_addf(expose->out, &expose->err,
		    "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
		    types[type]));
}

/* A backslash, a double quote and a line's end have an escape.  The format is
 * UTF-8, so a byte that is not becomes U+FFFD. */
static int
add_value(struct buf *out, const char *value, struct err *err)
{
	size_t n, len = strlen(value);
	int rc = 0;

	for (; rc == 0 && len > 0; value += n, len -= n) {
		n = str_utf8_char(value, len);
		if (n == 0) {
			rc = buf_adds(out, "\xef\xbf\xbd", err);
			n = 1;
		} else if (*value == '\n') {
			rc = buf_adds(out, "\\n", err);
		} else {
			if (*value == '\\' || *value == '"')
				rc = buf_addc(out, '\\', err);
			if (rc == 0)
				rc = buf_add(out, value, n, err);
		}
	}
	return rc;
}

static int
add_sample(struct expose *expose, const char *suffix,
    const struct expose_label labels[], size_t labels_len, const char *value)
{
	struct err *err = &expose->err;
	struct buf *out = expose->out;
	size_t i;

	if (buf_addf(out, err, "%s%s", expose->family, suffix) != 0)
		return -1;
	for (i = 0; i < labels_len; i++)
		if (buf_addf(out, err, "%c%s=\"", i == 0 ? '{' : ',',
		    labels[i].name) != 0 ||
		    add_value(out, labels[i].value, err) != 0 ||
		    buf_addc(out, '"', err) != 0)
			return -1;
	return buf_addf(out, err, "%s %s\n", labels_len > 0 ? "}" : "", value);
}

void
expose_int(struct expose *expose, const char *suffix,
    const struct expose_label labels[], size_t labels_len, int64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRId64, value);
	if (expose->rc == 0)
		note(expose, add_sample(expose, suffix, labels, labels_len,
		    text));
}

void
expose_seconds(int64_t ms, char out[EXPOSE_SECONDS_MAX])
{
	const char *sign = ms < 0 ? "-" : "";
	uint64_t n = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;
	size_t len;

	(void)snprintf(out, EXPOSE_SECONDS_MAX, "%s%" PRIu64 ".%03" PRIu64,
	    sign, n / 1000, n % 1000);
	for (len = strlen(out); out[len - 1] == '0'; len--)
		out[len - 1] = '\0';
	if (out[len - 1] == '.')
		out[len - 1] = '\0';
}

void
expose_ms(struct expose *expose, const char *suffix,
    const struct expose_label labels[], size_t labels_len, int64_t ms)
{
	char text[EXPOSE_SECONDS_MAX];

	expose_seconds(ms, text);
	if (expose->rc == 0)
		note(expose, add_sample(expose, suffix, labels, labels_len,
		    text));
}

void
expose_one(struct expose *expose, const char *name, enum expose_type type,
    const char *help, int64_t value)
{
	expose_family(expose, name, type, help);
	expose_int(expose, "", NULL, 0, value);
}
