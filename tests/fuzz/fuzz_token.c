/* A tokens file of any bytes: refused with a reason, or taken. */
#include "fuzz.h"

#include <stdlib.h>
#include <unistd.h>

#include "token.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[] = "/tmp/podprof-fuzz-XXXXXX";
	struct token_list *list = NULL;
	struct err err;
	int fd = mkstemp(path);
	size_t i;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	(void)close(fd);
	if (token_list_read(path, &list, &err) == 0) {
		for (i = 0; i < token_list_len(list); i++)
			if (!str_is_name(token_list_at(list, i)->name))
				abort();
		if (token_list_match(list, "podprof_guess") != NULL)
			abort();
	} else if (err.msg[0] == '\0') {
		abort();
	}
	token_list_free(&list);
	(void)unlink(path);
	return 0;
}
