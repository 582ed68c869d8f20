/* SPDX-License-Identifier: MIT
 * Frames that come when half of the reserve is left have needed the other half.
 * A gap has needed all of it and its own length. The largest need of the last
 * two minutes, and some more, is what the next two should not exceed. */
#include "client/reserve.h"

#include <string.h>

#include "base/util.h"

enum {
	SPARE_PERCENT = 115,  /* of the need */
	SHRINK_PERCENT = 80,  /* a smaller step down is not worth a seam */
	PAUSE_USEC = 2000000, /* longer: the network was not asked for sound */
};

void reserve_init(struct reserve *reserve, uint32_t least_ms, uint32_t most_ms)
{
	*reserve = (struct reserve){
	    .least_ms = least_ms,
	    .most_ms = MAX(least_ms, most_ms),
	    .now_ms = least_ms,
	};
}

static void note_need(struct reserve *reserve, uint32_t need_ms)
{
	reserve->needs_ms[0] = MAX(reserve->needs_ms[0], need_ms);
}

static uint32_t wanted_ms(const struct reserve *reserve)
{
	uint64_t need = 0;

	for (unsigned i = 0; i < RESERVE_SLOTS; i++)
		need = MAX(need, (uint64_t)reserve->needs_ms[i]);
	need = MAX(need * SPARE_PERCENT / 100, (uint64_t)reserve->least_ms);
	return (uint32_t)MIN(need, (uint64_t)reserve->most_ms);
}

static bool shrink(struct reserve *reserve)
{
	const uint32_t wanted = wanted_ms(reserve);

	if ((uint64_t)wanted * 100 > (uint64_t)reserve->now_ms * SHRINK_PERCENT)
		return false;
	reserve->now_ms = wanted;
	return true;
}

void reserve_resume(struct reserve *reserve)
{
	reserve->arrived_usec = 0;
	(void)shrink(reserve);
}

/* Whether a slot is full. */
static bool pass_time(struct reserve *reserve, uint64_t usec)
{
	reserve->slot_usec += usec;
	if (reserve->slot_usec < RESERVE_SLOT_SECONDS * USEC_PER_SEC)
		return false;
	reserve->slot_usec = 0;
	memmove(&reserve->needs_ms[1], &reserve->needs_ms[0],
		sizeof(reserve->needs_ms) - sizeof(reserve->needs_ms[0]));
	reserve->needs_ms[0] = 0;
	return true;
}

bool reserve_arrived(struct reserve *reserve, uint64_t now_usec,
		     uint32_t spare_ms)
{
	const uint64_t before = reserve->arrived_usec;

	if (spare_ms < reserve->now_ms)
		note_need(reserve, reserve->now_ms - spare_ms);
	reserve->arrived_usec = now_usec;
	return before && now_usec > before && now_usec - before < PAUSE_USEC &&
	       pass_time(reserve, now_usec - before) && shrink(reserve);
}

bool reserve_starved(struct reserve *reserve, uint32_t gap_ms)
{
	const uint32_t before = reserve->now_ms;

	/* Beyond the most that it may be, nothing would have helped. */
	note_need(reserve, before + MIN(gap_ms, reserve->most_ms - before));
	reserve->now_ms = MAX(before, wanted_ms(reserve));
	return reserve->now_ms != before;
}
