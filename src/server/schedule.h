/* SPDX-License-Identifier: MIT
 * When each frame of a page shall sound at every loudspeaker (--sync), as the
 * headers of its connections say it. All have one epoch: an error of it is
 * common to all, and puts none out of step. Pure: the caller tells the clocks.
 */
#pragma once

#include <stdint.h>

#include "audio/wav.h"
#include "base/wallclock.h"

struct schedule {
	uint32_t rate;	    /* 0: the page has no schedule */
	uint32_t budget_us; /* from the epoch to the sound of frame 0 */
	uint32_t held_us;   /* of that, a frame is held here at least */
	int64_t epoch_ns;   /* CLOCK_REALTIME of frame 0; a later step of that
			       clock does not move it */
	struct wallclock clock;
};

/* Frame 0 was captured, or is due, at START_NS of CLOCK_MONOTONIC; it, and each
 * after it, can be sent HELD_US later. */
void schedule_begin(struct schedule *schedule, const struct wallclock *clock,
		    int64_t start_ns, uint32_t rate, uint32_t budget_us,
		    uint32_t held_us);
/* The least budget that a loudspeaker can keep to, when a frame may be sent
 * SENT_USEC after it was captured. */
uint64_t schedule_least_usec(uint64_t sent_usec);
/* Fills in the schedule of a connection whose first frame is FRAME. */
void schedule_describe(const struct schedule *schedule, uint64_t frame,
		       struct wav_page *page);
