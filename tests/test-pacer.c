/* SPDX-License-Identifier: MIT
 * The clock of a played page, in simulated time. */
#include "server/pacer.h"

#include "base/util.h"
#include "test.h"

enum { RATE = 48000, PULSE_USEC = 20000 };

static struct pacer pacer;
static uint64_t now;

static void setup(void)
{
	now = 1000 * USEC_PER_SEC;
	pacer_begin(&pacer, RATE, now);
}

static void teardown(void)
{
}

FIXTURE(setup, teardown);

/* Lets SECONDS pass, pulse by pulse; how far the lead has grown. */
static uint64_t grow_for(double seconds, enum pacer_network network)
{
	uint64_t lead = 0;

	for (int i = 0; i < (int)(seconds * 50 + 0.5); i++) {
		now += PULSE_USEC;
		lead += pacer_grow(&pacer, now, network);
	}
	return lead;
}

TEST(frames_are_due_in_real_time)
{
	ck_assert_uint_eq(pacer_due_frames(&pacer, now), 0);
	ck_assert_uint_eq(pacer_due_frames(&pacer, now - 1000), 0);
	ck_assert_uint_eq(pacer_due_frames(&pacer, now + PULSE_USEC), 960);
	ck_assert_uint_eq(pacer_due_frames(&pacer, now + 3600 * USEC_PER_SEC),
			  UINT64_C(3600) * RATE);
}

TEST(a_source_that_is_late_makes_everything_later)
{
	now += USEC_PER_SEC;
	pacer_slip(&pacer, RATE / 4);
	ck_assert_uint_eq(pacer_due_frames(&pacer, now), RATE * 3 / 4);
	pacer_slip(&pacer, 2 * RATE);
	ck_assert_uint_eq(pacer_due_frames(&pacer, now), 0);
}

TEST(the_lead_grows_at_half_of_real_time)
{
	ck_assert_uint_eq(grow_for(2, PACER_CLEAR), RATE);
}

TEST(congestion_stops_the_growth_for_a_second)
{
	ck_assert_uint_eq(grow_for(0.02, PACER_CONGESTED), 0);
	ck_assert(pacer_pauses(&pacer, now));
	ck_assert_uint_eq(grow_for(0.98, PACER_CLEAR), 0);
	ck_assert(pacer_pauses(&pacer, now));
	ck_assert_uint_eq(grow_for(1, PACER_CLEAR), RATE / 2);
	ck_assert(!pacer_pauses(&pacer, now));
}

TEST(a_loop_that_was_held_up_makes_up_for_little_at_once)
{
	now += 10 * USEC_PER_SEC;
	ck_assert_uint_le(pacer_grow(&pacer, now, PACER_CLEAR), RATE / 50);
}
