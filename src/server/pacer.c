/* SPDX-License-Identifier: MIT
 * Times are absolute, so errors do not add up. */
#include "server/pacer.h"

#include "base/util.h"

#define PAUSE_USEC USEC_PER_SEC
/* A loop that was held up makes up for no more than this at once. */
#define GROWTH_USEC_MAX (USEC_PER_SEC / 25)

void pacer_begin(struct pacer *pacer, uint32_t rate, uint64_t now)
{
	*pacer = (struct pacer){
	    .rate = rate,
	    .start_usec = now,
	    .grown_usec = now,
	};
}

uint64_t pacer_due_frames(const struct pacer *pacer, uint64_t now)
{
	if (now <= pacer->start_usec)
		return 0;
	return usec_to_frames(now - pacer->start_usec, pacer->rate);
}

void pacer_slip(struct pacer *pacer, uint64_t frames)
{
	pacer->start_usec += frames_to_usec(frames, pacer->rate);
}

bool pacer_pauses(const struct pacer *pacer, uint64_t now)
{
	return now < pacer->pause_until_usec;
}

uint64_t pacer_grow(struct pacer *pacer, uint64_t now,
		    enum pacer_network network)
{
	const uint64_t passed = MIN(now - pacer->grown_usec, GROWTH_USEC_MAX);

	pacer->grown_usec = now;
	if (network == PACER_CONGESTED)
		pacer->pause_until_usec = now + PAUSE_USEC;
	return pacer_pauses(pacer, now)
		   ? 0
		   : usec_to_frames(passed / 2, pacer->rate);
}
