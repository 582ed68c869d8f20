/* SPDX-License-Identifier: MIT
 * Pauses between attempts: they grow, and chance keeps a building full of
 * loudspeakers from trying in step. No clock of its own. */
#pragma once

#include <stdint.h>

enum {
	BACKOFF_MIN_MS = 100,  /* the first pause */
	BACKOFF_MAX_MS = 5000, /* no pause is longer, whatever the limit */
};

/* All zero is a valid start; limit_ms 0 stands for BACKOFF_MAX_MS. */
struct backoff {
	uint32_t limit_ms;
	uint32_t next_ms;
};

/* The next pause in microseconds: at least the nominal one, which doubles from
 * call to call, and up to a quarter more; never above the limit. */
uint64_t backoff_next(struct backoff *backoff);

/* It worked: the next pause is the shortest again. */
void backoff_reset(struct backoff *backoff);
