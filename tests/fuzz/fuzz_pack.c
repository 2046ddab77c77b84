/*
 * A stored file of any bytes: refused with a reason, or read, and then twice
 * the same.  The first byte says what is made of the rest: a file as it is,
 * with the number of plain bytes that it is asked for, or one frame, with a
 * table made here that agrees with it, as nobody guesses one.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pack.h"

#define AS_IT_IS 0x01
#define HEAD_BYTES 9
#define TABLE_BYTES 25
#define PLAIN_MAX (4 * PACK_FRAME_BYTES)

static uint64_t
number(const uint8_t *at, size_t bytes)
{
	uint64_t n = 0;

	while (bytes-- > 0)
		n = n << 8 | at[bytes];
	return n;
}

static void
put_number(uint8_t *at, uint32_t n)
{
	int i;

	for (i = 0; i < 4; i++)
		at[i] = (uint8_t)(n >> 8 * i);
}

/* The table of a single frame. */
static void
put_table(int fd, size_t stored, uint32_t plain)
{
	uint8_t table[TABLE_BYTES] = { 0 };

	put_number(table, 0x184D2A5E);
	put_number(table + 4, TABLE_BYTES - 8);
	put_number(table + 8, (uint32_t)stored);
	put_number(table + 12, plain);
	put_number(table + 16, 1);
	put_number(table + 21, 0x8F92EAB1);
	if (write(fd, table, sizeof(table)) != (ssize_t)sizeof(table))
		abort();
}

/* To the end in pieces; the bytes, or NULL where a frame was refused. */
static uint8_t *
read_all(struct unpack *u, size_t plain, size_t piece)
{
	uint8_t *bytes = malloc(plain + 1);
	struct err err = { .msg = "" };
	size_t at = 0;
	int64_t n;

	if (bytes == NULL)
		abort();
	while ((n = unpack_read(u, (int64_t)at, bytes + at,
		    plain - at < piece ? plain - at : piece, &err)) > 0)
		at += (size_t)n;
	if (n == 0 && at != plain)
		abort();
	if (n < 0 && err.msg[0] == '\0')
		abort();
	if (n < 0) {
		free(bytes);
		bytes = NULL;
	}
	return bytes;
}

static void
read_twice(struct unpack *u, size_t plain, size_t piece)
{
	uint8_t *once = read_all(u, plain, piece);
	uint8_t *again = read_all(u, plain, plain + 1);
	uint8_t byte;
	struct err err;

	if ((once == NULL) != (again == NULL))
		abort();
	if (once != NULL && memcmp(once, again, plain) != 0)
		abort();
	if (once != NULL && plain > 0 &&
	    (unpack_read(u, (int64_t)plain / 2, &byte, 1, &err) != 1 ||
		byte != once[plain / 2]))
		abort();
	free(once);
	free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct unpack *u = NULL;
	struct err err = { .msg = "" };
	int64_t stored, plain;
	size_t piece;
	int fd;

	if (size < HEAD_BYTES)
		return 0;
	fd = memfd_create("stored", MFD_CLOEXEC);
	stored = (int64_t)(size - HEAD_BYTES);
	if (fd < 0 || write(fd, data + HEAD_BYTES, (size_t)stored) != stored)
		abort();
	plain = (int64_t)number(data + 1, 8);
	if ((data[0] & AS_IT_IS) == 0) {
		plain = (int64_t)(number(data + 1, 4) % PACK_FRAME_BYTES) + 1;
		put_table(fd, (size_t)stored, (uint32_t)plain);
		stored += TABLE_BYTES;
	}
	piece = 1 + (size_t)(data[0] >> 1) * 997;
	if (unpack_new(fd, stored, plain, &u, &err) != 0) {
		if (u != NULL || err.msg[0] == '\0')
			abort();
	} else if (plain <= PLAIN_MAX) {
		read_twice(u, (size_t)plain, piece);
	}
	unpack_free(&u);
	(void)close(fd);
	return 0;
}
