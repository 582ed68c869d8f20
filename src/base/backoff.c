/* SPDX-License-Identifier: MIT
 * The arithmetic of retrying. */
#include "base/backoff.h"

#include <sys/random.h>

/* 0 .. 255. Without randomness, 0: the pauses are merely in step. */
static uint8_t random_byte(void)
{
	uint8_t byte;

	return getrandom(&byte, 1, GRND_NONBLOCK) == 1 ? byte : 0;
}

uint64_t backoff_random(uint64_t max_usec)
{
	return max_usec * random_byte() / 255;
}

uint64_t backoff_next(struct backoff *backoff)
{
	const uint32_t limit =
	    backoff->limit_ms ? backoff->limit_ms : BACKOFF_MAX_MS;
	const uint32_t nominal_max = limit * 4 / 5;
	uint32_t nominal = backoff->next_ms ? backoff->next_ms : BACKOFF_MIN_MS;
	uint64_t pause_usec;

	if (nominal > nominal_max)
		nominal = nominal_max;
	backoff->next_ms = nominal * 2;
	pause_usec = (uint64_t)nominal * 1000;
	return pause_usec + backoff_random(pause_usec / 4);
}

void backoff_reset(struct backoff *backoff)
{
	backoff->next_ms = 0;
}
