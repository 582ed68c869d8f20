/* SPDX-License-Identifier: MIT
 * How late a page is, in simulated time: no test waits for anything. */
#include "client/latency.h"

#include "test.h"

enum { RATE = 48000, TARGET = 4800, PERIOD = 1200, CHUNK = 1024 };

#define MS UINT64_C(1000)
#define START (UINT64_C(5000) * 1000000)

static struct latency latency;

static void setup(void)
{
	latency_init(&latency, RATE, TARGET, PERIOD, START);
}

FIXTURE(setup, NULL);
TIME_LIMIT(60);

/* SECONDS of a live page whose sender's clock is fast by PPM, with SPARE frames
 * left at each arrival. Returns the last result of latency_excess(). */
static uint64_t live(uint64_t from_usec, double seconds, double ppm,
		     uint64_t spare)
{
	const double chunk_usec = CHUNK * 1e6 / RATE / (1 + ppm * 1e-6);
	const uint64_t chunks = (uint64_t)(seconds * 1e6 / chunk_usec);
	const uint64_t first =
	    (uint64_t)((double)(from_usec - START) / chunk_usec);
	uint64_t excess = 0;

	for (uint64_t i = 1; i <= chunks; i++) {
		const uint64_t now =
		    START + (uint64_t)((double)(first + i) * chunk_usec);

		latency_arrived(&latency, now, (first + i) * CHUNK);
		excess = latency_excess(&latency, now, spare);
	}
	return excess;
}

/* --- live or stored --- */

TEST(nothing_is_known_at_first)
{
	ck_assert_int_eq(latency.kind, LATENCY_UNKNOWN);
	live(START, 1.9, 0, TARGET);
	ck_assert_int_eq(latency.kind, LATENCY_UNKNOWN);
}

TEST(page_at_the_pace_of_speech_is_live_after_two_seconds)
{
	live(START, 2.1, 0, TARGET);
	ck_assert_int_eq(latency.kind, LATENCY_LIVE);
}

/* Chunks that were spoken while the machine slept come after it. */
TEST(page_that_goes_on_in_a_sleep_stays_live)
{
	const uint64_t slept_usec = START + 30000 * MS;
	const uint64_t backlog = 2 * RATE;

	live(START, 2.5, 0, TARGET);
	latency_slept(&latency, slept_usec);
	latency_arrived(&latency, START + 2600 * MS, RATE * 5 / 2 + backlog);
	ck_assert_int_eq(latency.kind, LATENCY_LIVE);
}

TEST(page_that_comes_at_once_is_stored)
{
	latency_arrived(&latency, START + 1 * MS, TARGET + RATE / 10 - 1);
	ck_assert_int_eq(latency.kind, LATENCY_UNKNOWN);
	latency_arrived(&latency, START + 1 * MS, TARGET + RATE / 10 + 100);
	ck_assert_int_eq(latency.kind, LATENCY_STORED);
}

TEST(stored_stays_stored)
{
	latency_arrived(&latency, START, RATE);
	latency_arrived(&latency, START + 100000 * MS, RATE + 1);
	ck_assert_int_eq(latency.kind, LATENCY_STORED);
}

TEST(page_that_stalled_and_caught_up_is_live)
{
	latency_arrived(&latency, START + 100 * MS, RATE / 10);
	/* a stall of 1.8 s, then everything that was spoken meanwhile */
	latency_arrived(&latency, START + 1900 * MS, RATE * 19 / 10);
	latency_arrived(&latency, START + 2000 * MS, RATE * 2);
	ck_assert_int_eq(latency.kind, LATENCY_LIVE);
}

TEST(file_over_a_slow_link_is_known_when_the_link_recovers)
{
	latency_arrived(&latency, START + 2500 * MS, RATE);
	ck_assert_int_eq(latency.kind, LATENCY_LIVE);
	latency_arrived(&latency, START + 2600 * MS, RATE * 4);
	ck_assert_int_eq(latency.kind, LATENCY_STORED);
}

TEST(clock_that_is_fast_is_not_taken_for_a_file_in_thirty_days)
{
	const uint64_t day_usec = UINT64_C(86400) * 1000 * MS;

	for (uint64_t day = 1; day <= 30; day++) {
		const uint64_t frames =
		    usec_to_frames(day * day_usec, RATE) / 10000 * 10002;

		ck_assert_int_eq(
		    latency_arrived(&latency, START + day * day_usec, frames),
		    LATENCY_LIVE);
	}
	ck_assert_uint_gt(usec_to_frames(30 * day_usec, RATE), UINT32_MAX);
}

/* --- the excess --- */

TEST(page_in_time_drops_nothing)
{
	ck_assert_uint_eq(live(START, 60, 0, TARGET), 0);
	ck_assert_uint_eq(live(START + 60000 * MS, 60, 0, TARGET + PERIOD), 0);
}

TEST(nothing_is_dropped_before_it_is_known_to_be_live)
{
	ck_assert_uint_eq(live(START, 1.9, 0, 10 * TARGET), 0);
}

TEST(late_live_page_drops_the_whole_excess)
{
	live(START, 3, 0, TARGET);
	ck_assert_uint_eq(live(START + 3000 * MS, 1, 0, TARGET + 20000), 20000);
	latency_restart(&latency);
	ck_assert_uint_eq(live(START + 4000 * MS, 1, 0, TARGET), 0);
}

TEST(stored_page_drops_nothing)
{
	latency_arrived(&latency, START, RATE);
	ck_assert_uint_eq(live(START, 10, 0, 100 * TARGET), 0);
}

TEST(passing_jam_drops_nothing)
{
	live(START, 3, 0, TARGET);
	/* For 200 ms twice the target is left at each arrival. */
	ck_assert_uint_eq(live(START + 3000 * MS, 0.2, 0, 2 * TARGET), 0);
	ck_assert_uint_eq(live(START + 3200 * MS, 1, 0, TARGET), 0);
}

TEST(smallest_of_a_while_counts)
{
	const uint64_t now = START + 3000 * MS;

	latency_arrived(&latency, now, 3 * RATE);
	latency_excess(&latency, now, TARGET + 9000);
	latency_excess(&latency, now + 100 * MS, TARGET + 5000);
	latency_excess(&latency, now + 200 * MS, TARGET + 7000);
	latency_excess(&latency, now + 300 * MS, TARGET + 9000);
	ck_assert_uint_eq(
	    latency_excess(&latency, now + 400 * MS, TARGET + 9000), 5000);
}

TEST(process_that_was_stopped_begins_anew)
{
	live(START, 3, 0, TARGET);
	latency_excess(&latency, START + 3000 * MS, 9 * TARGET);
	ck_assert_uint_eq(
	    latency_excess(&latency, START + 9000 * MS, 9 * TARGET), 0);
	ck_assert_uint_eq(
	    latency_excess(&latency, START + 9100 * MS, 9 * TARGET), 0);
}

TEST(chunks_of_a_second_are_no_reason_to_drop)
{
	for (uint64_t second = 1; second <= 60; second++) {
		const uint64_t now = START + second * 1000 * MS;

		latency_arrived(&latency, now, second * RATE);
		ck_assert_uint_eq(latency_excess(&latency, now, TARGET), 0);
	}
	ck_assert_int_eq(latency.kind, LATENCY_LIVE);
}

TEST(late_page_in_chunks_of_a_second_drops_the_excess)
{
	uint64_t excess = 0;

	for (uint64_t second = 1; second <= 6; second++) {
		const uint64_t now = START + second * 1000 * MS;

		latency_arrived(&latency, now, second * RATE);
		excess = latency_excess(&latency, now, TARGET + 9000);
	}
	ck_assert_uint_eq(excess, 9000);
}

/* The sender's clock is fast by 100 ppm: the excess is dropped now and then, so
 * the page does not stay late. After thirty days the counters are far beyond
 * 32 bits. */
TEST(drift_is_dropped_piece_by_piece_for_thirty_days)
{
	const uint64_t days = 30, step_usec = 50 * MS;
	const uint64_t steps = days * 86400 * 20;
	double behind = TARGET;
	uint64_t dropped = 0, total = 0, drops = 0;

	for (uint64_t i = 1; i <= steps; i++) {
		const uint64_t now = START + i * step_usec;
		uint64_t excess;

		total = (uint64_t)((double)i * 2400 * 1.0001);
		behind += 2400 * 0.0001;
		latency_arrived(&latency, now, total);
		excess = latency_excess(&latency, now, (uint64_t)behind);
		if (excess == 0)
			continue;
		behind -= (double)excess;
		dropped += excess;
		drops++;
		latency_restart(&latency);
	}
	ck_assert_int_eq(latency.kind, LATENCY_LIVE);
	ck_assert_uint_gt(total, UINT64_C(1) << 36);
	ck_assert_double_lt(behind, TARGET + PERIOD + 10);
	ck_assert_uint_ge(dropped, 12000000);
	ck_assert_uint_le(dropped, 12500000);
	ck_assert_uint_le(drops, dropped / PERIOD);
}

TEST(longest_formats_do_not_overflow)
{
	const uint64_t year_usec = UINT64_C(365) * 86400 * 1000 * MS;

	latency_init(&latency, 384000, UINT32_MAX, UINT32_MAX, 0);
	latency_arrived(&latency, 100 * year_usec, UINT64_C(1) << 50);
	ck_assert_int_eq(latency.kind, LATENCY_LIVE);
}
