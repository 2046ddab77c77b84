/*
 * A configuration file of any bytes: refused with a reason, or taken; and what
 * was taken can be shown and taken again.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "conf.h"

static int
load(const void *data, size_t size, struct conf **ret_conf)
{
	char path[] = "/tmp/podprof-fuzz-XXXXXX";
	char *const env[] = { NULL };
	struct err err;
	int fd = mkstemp(path);
	int ret;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	(void)close(fd);
	ret = conf_load(path, env, ret_conf, &err);
	if (ret != 0 && err.msg[0] == '\0')
		abort();
	(void)unlink(path);
	return ret;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf *conf = NULL, *again = NULL;
	struct buf text;
	struct err err;

	if (load(data, size, &conf) != 0)
		return 0;
	buf_init(&text, 8 << 20);
	if (conf_show(conf, &text, &err) != 0)
		abort();
	if (load(buf_str(&text), text.len, &again) != 0)
		abort();
	buf_fini(&text);
	conf_free(&conf);
	conf_free(&again);
	return 0;
}
