/*
 * What may arrive on the FastCGI socket.  A head that we call whole must be one
 * that libfcgi reads to its end.
 */
#include "gate.c"

#include "fuzz.h"

static void
read_all(const uint8_t *data, size_t size)
{
	static bool initialized;
	struct gate *gate = new_gate();
	struct buf body;
	struct err err;
	int pair[2];

	if (!initialized && FCGX_Init() != 0)
		abort();
	initialized = true;
	if (gate == NULL || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 ||
	    write(pair[1], data, size) != (ssize_t)size)
		abort();
	(void)shutdown(pair[1], SHUT_WR);
	gate->fastcgi = true;
	gate->fd = pair[0];
	if (gate_head(gate, 0) != GATE_HEAD_WHOLE ||
	    gate_read_head(gate, &err) != 0)
		abort();
	(void)gate_env(gate, "SCRIPT_NAME");
	buf_init(&body, 1000);
	(void)!gate_read_body(gate, &body, &err);
	buf_fini(&body);
	gate_drop(&gate);
	(void)close(pair[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *head;
	unsigned id;
	size_t bytes;

	if (size == 0)
		return 0;
	if (size > GATE_HEAD_MAX)
		size = GATE_HEAD_MAX;
	head = malloc(size);
	if (head == NULL)
		abort();
	memcpy(head, data, size);
	if (judge_head(head, size, &id, &bytes) == GATE_HEAD_WHOLE)
		read_all(data, size);
	free(head);
	return 0;
}
