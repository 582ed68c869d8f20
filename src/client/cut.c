/* SPDX-License-Identifier: MIT */
#include "client/cut.h"

#include "base/util.h"

#define PATIENCE_USEC (USEC_PER_SEC / 2)
/* -50 dBFS: a pause between words in a quiet room. */
#define QUIET_POWER 1e-5

size_t cut_excess(struct cut *cut, struct fifo *fifo,
		  enum cut_patience patience, size_t fade_frames,
		  uint64_t now_usec)
{
	const uint64_t excess = cut->excess_frames;
	size_t count = fifo_frames(fifo);
	bool must;
	double power;
	size_t at;

	if (excess == 0) {
		cut->limit_usec = 0;
		return 0;
	}
	if (cut->limit_usec == 0)
		cut->limit_usec = now_usec + PATIENCE_USEC;
	must = patience == CUT_IN_TIME && now_usec >= cut->limit_usec;
	if (count == 0 || (count < excess && !must))
		return 0;
	count = MIN(count, excess);
	at = fifo_quietest(fifo, count, &power);
	if (power > QUIET_POWER && !must)
		return 0;
	fifo_cut(fifo, at, count, fade_frames);
	*cut = (struct cut){0};
	return count;
}
