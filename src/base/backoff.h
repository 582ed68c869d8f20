/* SPDX-License-Identifier: MIT
 * Pauses between attempts: they grow, and a random part keeps a building full
 * of loudspeakers from retrying in step. Has no clock of its own. */
#pragma once

#include <stdint.h>

enum {
	BACKOFF_MIN_MS = 100,  /* the first pause, before the random part */
	BACKOFF_MAX_MS = 5000, /* the default limit */
};

/* Starts as all zero; a limit_ms of 0 stands for BACKOFF_MAX_MS. */
struct backoff {
	uint32_t limit_ms;
	uint32_t next_ms;
};

/* The next pause in microseconds: the nominal pause, which doubles from call to
 * call, plus a random part of up to a quarter; never above the limit. */
uint64_t backoff_next(struct backoff *backoff);

/* A random time from 0 to MAX_USEC, in 256 steps. */
uint64_t backoff_random(uint64_t max_usec);

/* Call it after a success: the next pause is the shortest again. */
void backoff_reset(struct backoff *backoff);
