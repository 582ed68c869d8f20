/* SPDX-License-Identifier: MIT
 * Chunks of a live page arrive at the pace of its capture. Frames that have not
 * sounded when the next chunk arrives were not needed; jitter only makes them
 * fewer, so the fewest seen over a while can be dropped. */
#include "client/latency.h"

#include <string.h>

#include "base/util.h"

void latency_init(struct latency *latency, uint32_t rate,
		  uint64_t target_frames, uint64_t period_frames,
		  uint64_t now_usec)
{
	*latency = (struct latency){
	    .rate = rate,
	    .target_frames = target_frames,
	    .period_frames = period_frames,
	    .begun_usec = now_usec,
	};
	latency_restart(latency);
}

enum latency_kind latency_arrived(struct latency *latency, uint64_t now_usec,
				  uint64_t total_frames)
{
	const uint64_t elapsed_usec = now_usec - latency->begun_usec;
	/* The clocks of server and client may differ by a thousandth. */
	const uint64_t possible_usec = elapsed_usec + elapsed_usec / 1000 +
				       LATENCY_AHEAD_MS * UINT64_C(1000);
	const uint64_t possible_frames =
	    usec_to_frames(possible_usec, latency->rate) +
	    latency->target_frames;

	if (latency->kind == LATENCY_PLAYED)
		return LATENCY_PLAYED;
	if (total_frames > possible_frames)
		latency->kind = LATENCY_STORED;
	else if (latency->kind == LATENCY_UNKNOWN &&
		 elapsed_usec >= LATENCY_DECIDE_MS * UINT64_C(1000))
		latency->kind = LATENCY_LIVE;
	return latency->kind;
}

void latency_slept(struct latency *latency, uint64_t usec)
{
	/* It may lie before the clock's beginning: only differences count. */
	latency->begun_usec -= usec;
}

static void next_slot(struct latency *latency, uint64_t slot)
{
	/* After a long gap (was the process stopped?) old slots say nothing. */
	if (latency->slot == 0 || slot > latency->slot + LATENCY_SLOT_GAP) {
		latency->spare_count = 0;
	} else {
		memmove(&latency->spares[1], &latency->spares[0],
			sizeof(latency->spares) - sizeof(latency->spares[0]));
		latency->spares[0] = latency->slot_spare;
		if (latency->spare_count < LATENCY_SLOTS)
			latency->spare_count++;
	}
	latency->slot = slot;
	latency->slot_spare = UINT64_MAX;
}

static uint64_t smallest_spare(const struct latency *latency)
{
	uint64_t smallest = latency->spares[0];

	for (unsigned i = 1; i < LATENCY_SLOTS; i++)
		smallest = MIN(smallest, latency->spares[i]);
	return smallest;
}

uint64_t latency_excess(struct latency *latency, uint64_t now_usec,
			uint64_t spare_frames)
{
	const uint64_t slot = now_usec / (LATENCY_SLOT_MS * UINT64_C(1000));
	uint64_t spare;

	if (slot != latency->slot)
		next_slot(latency, slot);
	latency->slot_spare = MIN(latency->slot_spare, spare_frames);
	if (latency->kind != LATENCY_LIVE ||
	    latency->spare_count < LATENCY_SLOTS)
		return 0;
	spare = smallest_spare(latency);
	if (spare <= latency->target_frames + latency->period_frames)
		return 0;
	return spare - latency->target_frames;
}

void latency_restart(struct latency *latency)
{
	latency->slot = 0;
	latency->slot_spare = UINT64_MAX;
	latency->spare_count = 0;
}
