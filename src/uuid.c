/*
 * UUID version 7.
 *
 *	48 bits UTC milliseconds | 0111 | 12 bits counter | 10 | 62 random bits
 */
#include "uuid.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "clock.h"
#include "str.h"

#define COUNTER_MAX 0x0fff
/* A counter begins below half of its range, so that there is room above. */
#define COUNTER_SEED 0x07ff

/* What the last id of this process had; an order among ids needs it. */
static struct {
	pthread_mutex_t lock;
	int64_t ms;
	unsigned counter;
} last = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int
fill_random(unsigned char *out, size_t len, struct err *err)
{
	ssize_t n;

	while (len > 0) {
		n = getrandom(out, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(err, ERR_INTERNAL, errno,
			    "no random bytes from the kernel");
		out += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The next (time, counter), after all before it, even when the clock was set
 * back or one millisecond has used its counter up. */
static void
advance(int64_t now_ms, unsigned seed, int64_t *ret_ms, unsigned *ret_counter)
{
	(void)pthread_mutex_lock(&last.lock);
	if (now_ms > last.ms) {
		last.ms = now_ms;
		last.counter = seed;
	} else if (last.counter < COUNTER_MAX) {
		last.counter++;
	} else {
		last.ms++;
		last.counter = seed;
	}
	*ret_ms = last.ms;
	*ret_counter = last.counter;
	(void)pthread_mutex_unlock(&last.lock);
}

int
uuid_v7(char out[UUID_MAX], struct err *err)
{
	unsigned char id[16], noise[10];
	char hex[33];
	unsigned counter;
	int64_t ms;
	int i;

	if (fill_random(noise, sizeof(noise), err) != 0)
		return -1;
	advance(clock_utc_ms(),
	    ((unsigned)noise[0] << 8 | noise[1]) & COUNTER_SEED, &ms,
	    &counter);
	for (i = 0; i < 6; i++)
		id[i] = (unsigned char)(ms >> (40 - 8 * i) & 0xff);
	id[6] = (unsigned char)(0x70 | counter >> 8);
	id[7] = (unsigned char)(counter & 0xff);
	memcpy(id + 8, noise + 2, 8);
	id[8] = (unsigned char)(0x80 | (id[8] & 0x3f));
	str_hex(id, sizeof(id), hex);
	(void)snprintf(out, UUID_MAX, "%.8s-%.4s-%.4s-%.4s-%.12s", hex,
	    hex + 8, hex + 12, hex + 16, hex + 20);
	return 0;
}

bool
uuid_is_valid(const char *s)
{
	size_t i;

	for (i = 0; i < UUID_MAX - 1; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (s[i] != '-')
				return false;
		} else if (s[i] == '\0' ||
		    strchr("0123456789abcdef", s[i]) == NULL) {
			return false;
		}
	}
	return s[i] == '\0';
}
