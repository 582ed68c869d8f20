/* SPDX-License-Identifier: MIT
 * What the headers of a page say of its schedule. */
#include "server/schedule.h"

#include "base/util.h"

#include "test.h"

#define OFFSET_NS INT64_C(1700000000000000000)
#define START_NS INT64_C(5000000123)

static const struct wallclock right = {
    .offset_ns = OFFSET_NS, .trusted = true, .error_us = 17};
static const struct wallclock unknown = {.offset_ns = OFFSET_NS,
					 .error_us = WALLCLOCK_ERROR_UNKNOWN};

static struct wav_page describe(const struct wallclock *clock, uint32_t rate,
				uint64_t frame)
{
	struct wav_page page = {.flags = WAV_PAGE_REAL_TIME};
	struct schedule schedule;

	schedule_begin(&schedule, clock, START_NS, rate, 120000, 0);
	schedule_describe(&schedule, frame, &page);
	return page;
}

TEST(the_first_frame_sounds_its_budget_after_the_start)
{
	const struct wav_page page = describe(&right, 48000, 0);

	ck_assert_int_eq(page.sound_ns, OFFSET_NS + START_NS + 120000000);
	ck_assert_uint_eq(page.budget_us, 120000);
	ck_assert_uint_eq(page.clock_error_us, 17);
	ck_assert_uint_eq(page.flags, WAV_PAGE_REAL_TIME | WAV_PAGE_SCHEDULE |
					  WAV_PAGE_CLOCK_TRUSTED);
}

TEST(what_is_held_back_does_not_move_the_sound)
{
	struct wav_page page = {0};
	struct schedule schedule;

	schedule_begin(&schedule, &right, START_NS, 48000, 120000, 333);
	schedule_describe(&schedule, 0, &page);
	ck_assert_int_eq(page.sound_ns, OFFSET_NS + START_NS + 120000000);
	ck_assert_uint_eq(page.budget_us, 120000 - 333);
}

/* A short chunk, one of 1024 frames at 48 kHz, and a long one. */
TEST(a_loudspeaker_has_time_for_its_ring)
{
	ck_assert_uint_eq(schedule_least_usec(3000), 12000);
	ck_assert_uint_eq(schedule_least_usec(21500), 42500);
	ck_assert_uint_eq(schedule_least_usec(85000), 124000);
}

TEST(a_clock_that_nobody_keeps_right_is_not_trusted)
{
	const struct wav_page page = describe(&unknown, 48000, 0);

	ck_assert_uint_eq(page.clock_error_us, UINT32_MAX);
	ck_assert_uint_eq(page.flags, WAV_PAGE_REAL_TIME | WAV_PAGE_SCHEDULE);
}

/* To the nanosecond, after years too. */
TEST(who_comes_late_is_on_the_same_line)
{
	static const uint32_t rates[] = {WAV_RATE_MIN, 44100, 48000,
					 WAV_RATE_MAX};
	const uint64_t seconds = UINT64_C(3) * 365 * 86400;

	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		const int64_t begin = describe(&right, rates[i], 0).sound_ns;

		ck_assert_int_eq(
		    describe(&right, rates[i], seconds * rates[i]).sound_ns,
		    begin + (int64_t)(seconds * NSEC_PER_SEC));
		ck_assert_int_eq(
		    describe(&right, rates[i], rates[i] / 4).sound_ns,
		    begin + (int64_t)(NSEC_PER_SEC / 4));
	}
	ck_assert_int_eq(describe(&right, 44100, 1).sound_ns -
			     describe(&right, 44100, 0).sound_ns,
			 22675);
}
