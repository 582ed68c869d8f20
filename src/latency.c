/* SPDX-License-Identifier: MIT
 * How late a page is. Arrivals come in chunks and jitter, so the level rises
 * and falls: its peaks tell how late the page is, and the smallest of several
 * peaks tells what a passing jam does not explain. */
#include "latency.h"

#include <string.h>

#include "util.h"

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
	/* A thousandth for clocks that differ. */
	const uint64_t possible_usec = elapsed_usec + elapsed_usec / 1000 +
				       LATENCY_AHEAD_MS * UINT64_C(1000);
	const uint64_t possible_frames =
	    usec_to_frames(possible_usec, latency->rate) +
	    latency->target_frames;

	if (total_frames > possible_frames)
		latency->kind = LATENCY_STORED;
	else if (latency->kind == LATENCY_UNKNOWN &&
		 elapsed_usec >= LATENCY_DECIDE_MS * UINT64_C(1000))
		latency->kind = LATENCY_LIVE;
	return latency->kind;
}

static void next_slot(struct latency *latency, uint64_t slot)
{
	/* A slot without a sample: the process was stopped. Begin anew. */
	if (latency->slot == 0 || slot != latency->slot + 1) {
		latency->peak_count = 0;
	} else {
		memmove(&latency->peaks[1], &latency->peaks[0],
			sizeof(latency->peaks) - sizeof(latency->peaks[0]));
		latency->peaks[0] = latency->slot_peak;
		if (latency->peak_count < LATENCY_SLOTS)
			latency->peak_count++;
	}
	latency->slot = slot;
	latency->slot_peak = 0;
}

static uint64_t smallest_peak(const struct latency *latency)
{
	uint64_t smallest = latency->peaks[0];

	for (unsigned i = 1; i < LATENCY_SLOTS; i++)
		if (latency->peaks[i] < smallest)
			smallest = latency->peaks[i];
	return smallest;
}

uint64_t latency_excess(struct latency *latency, uint64_t now_usec,
			uint64_t behind_frames)
{
	const uint64_t slot = now_usec / (LATENCY_SLOT_MS * UINT64_C(1000));
	uint64_t late;

	if (slot != latency->slot)
		next_slot(latency, slot);
	if (behind_frames > latency->slot_peak)
		latency->slot_peak = behind_frames;

	if (latency->kind != LATENCY_LIVE ||
	    latency->peak_count < LATENCY_SLOTS)
		return 0;
	late = smallest_peak(latency);
	if (late <= latency->target_frames + latency->period_frames)
		return 0;
	return late - latency->target_frames;
}

void latency_restart(struct latency *latency)
{
	latency->slot = 0;
	latency->slot_peak = 0;
	latency->peak_count = 0;
}
