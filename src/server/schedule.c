/* SPDX-License-Identifier: MIT
 * Every time is computed from the epoch, so errors do not add up. */
#include "server/schedule.h"

#include "base/util.h"

#define WAY_USEC (4 * USEC_PER_SEC / 1000)
#define RING_USEC_MIN (5 * USEC_PER_SEC / 1000)
#define RING_USEC_MAX (35 * USEC_PER_SEC / 1000)

void schedule_begin(struct schedule *schedule, const struct wallclock *clock,
		    int64_t start_ns, uint32_t rate, uint32_t budget_us,
		    uint32_t held_us)
{
	*schedule = (struct schedule){
	    .rate = rate,
	    .budget_us = budget_us,
	    .held_us = held_us,
	    .epoch_ns = start_ns + clock->offset_ns,
	    .clock = *clock,
	};
}

/* A client has 0.4 of the budget in its ring when its page begins, 5 to 30 ms
 * (client/instep.c), and a deep ring is filled less exactly. A network and
 * threads take their time, too. */
uint64_t schedule_least_usec(uint64_t sent_usec)
{
	const uint64_t usec = sent_usec + WAY_USEC;
	const uint64_t ring_usec = MAX(usec * 2 / 3, RING_USEC_MIN);

	return usec + MIN(ring_usec, RING_USEC_MAX);
}

/* In whole seconds and the rest, since FRAMES in nanoseconds would overflow
 * within days. */
static int64_t frames_to_ns(uint64_t frames, uint32_t rate)
{
	return (int64_t)(frames / rate * NSEC_PER_SEC +
			 frames % rate * NSEC_PER_SEC / rate);
}

void schedule_describe(const struct schedule *schedule, uint64_t frame,
		       struct wav_page *page)
{
	page->flags |= WAV_PAGE_SCHEDULE;
	if (schedule->clock.trusted)
		page->flags |= WAV_PAGE_CLOCK_TRUSTED;
	page->clock_error_us = schedule->clock.error_us;
	page->sound_ns = schedule->epoch_ns +
			 frames_to_ns(frame, schedule->rate) +
			 (int64_t)schedule->budget_us * 1000;
	page->budget_us = schedule->budget_us - schedule->held_us;
}
