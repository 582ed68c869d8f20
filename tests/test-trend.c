/* SPDX-License-Identifier: MIT
 * The line of a counter that is told late, in simulated time. */
#include "audio/trend.h"

#include <math.h>

#include "test.h"

#define RATE 48000.0
#define START_NS INT64_C(1000000000000)
#define MS_NS INT64_C(1000000)
#define US_A_FRAME (1e6 / RATE)

TIME_LIMIT(60);

static uint32_t state;

static double chance(void)
{
	state = state * 1664525 + 1013904223;
	return state / 4294967296.0;
}

/* Tells the line of a counter that is fast by PPM for SECONDS, from FROM_S on,
 * each time up to LATE_S too little, at random times. */
static void tell(struct trend *trend, double ppm, double from_s, double to_s,
		 double late_s)
{
	const double rate = RATE * (1 + ppm * 1e-6);

	for (double t = from_s; t < to_s; t += 0.002 + 0.006 * chance())
		trend_add(trend, START_NS + llrint(t * 1e9),
			  rate * (t - late_s * chance()));
}

static double off_us(const struct trend *trend, double ppm, double t)
{
	const double truth = RATE * (1 + ppm * 1e-6) * t;

	return (trend_position(trend, START_NS + llrint(t * 1e9)) - truth) *
	       US_A_FRAME;
}

TEST_LOOP(learns_a_rate, 0, 2)
{
	const double ppm = _i ? -100 : 100;
	struct trend trend;

	trend_init(&trend, &trend_of_card, RATE, RATE);
	tell(&trend, ppm, 0, 60, 0);
	ck_assert_double_eq_tol((trend.rate / RATE - 1) * 1e6, ppm, 0.1);
	ck_assert_double_eq_tol(off_us(&trend, ppm, 60), 0, 1);
}

/* USB cards tell their position each millisecond. */
TEST(steps_of_a_millisecond_stay_below_100_us_after_10_s)
{
	for (state = 1; state < 150; state++) {
		struct trend trend;

		trend_init(&trend, &trend_of_card, RATE, RATE);
		for (double t = 0; t < 30; t += 0.002 + 0.006 * chance()) {
			const double frames = RATE * (1 + 100e-6) * t;

			trend_add(&trend, START_NS + llrint(t * 1e9),
				  floor(frames / 48) * 48);
			if (t > 10)
				ck_assert_double_eq_tol(off_us(&trend, 100, t),
							0, 100);
		}
	}
}

TEST(late_samples_do_not_draw_it)
{
	struct trend trend;

	trend_init(&trend, &trend_of_card, RATE, RATE);
	tell(&trend, 50, 0, 120, 0.02);
	ck_assert_double_eq_tol(off_us(&trend, 50, 120), 0, 150);
}

TEST(a_bad_minute_does_not_draw_it)
{
	struct trend trend;
	const double rate = RATE * (1 + 50e-6);

	trend_init(&trend, &trend_of_arrivals, RATE, RATE);
	tell(&trend, 50, 0, 600, 0.0001);
	for (double t = 600; t < 660; t += 0.02)
		trend_add(&trend, START_NS + llrint(t * 1e9),
			  rate * (t - 0.0015));
	ck_assert_double_eq_tol(off_us(&trend, 50, 660), 0, 100);
}

TEST(a_restart_keeps_the_rate)
{
	struct trend trend;
	double rate;

	trend_init(&trend, &trend_of_card, RATE, RATE);
	tell(&trend, 100, 0, 60, 0);
	rate = trend.rate;
	trend_restart(&trend);
	trend_add(&trend, START_NS + INT64_C(90000000000), 0);
	ck_assert_double_eq(trend.rate, rate);
	ck_assert_double_eq(
	    trend_position(&trend, START_NS + INT64_C(91000000000)), rate);
}

TEST(time_is_the_inverse_of_position)
{
	struct trend trend;
	const int64_t ns = START_NS + INT64_C(7) * 86400 * 1000000000;

	trend_init(&trend, &trend_of_card, RATE, RATE * 1.0001);
	trend_add(&trend, START_NS, 0);
	ck_assert_int_le(
	    llabs(trend_time(&trend, trend_position(&trend, ns)) - ns), 100);
}

TEST(a_shift_moves_it)
{
	struct trend trend;

	trend_init(&trend, &trend_of_card, RATE, RATE);
	trend_add(&trend, START_NS, 5);
	trend_shift(&trend, 7);
	ck_assert_double_eq(trend_position(&trend, START_NS), 12);
}

TEST(a_pull_is_bounded)
{
	ck_assert_double_eq(trend_pull(0, 10), 0);
	ck_assert_double_eq(trend_pull(0.0004, 0), 300e-6);
	ck_assert_double_eq(trend_pull(-0.0004, 0), -300e-6);
	ck_assert_double_eq(trend_pull(1, 0), 2000e-6);
	ck_assert_double_eq_tol(trend_pull(0.0001, 100), 25e-6, 1e-12);
}

/* One that nearly stands still, and one that takes all at once. */
TEST_LOOP(no_counter_turns_it_beyond_what_a_clock_can_be, 0, 2)
{
	static const double rates[] = {100, 1e6};
	struct trend trend;

	trend_init(&trend, &trend_of_arrivals, RATE, RATE);
	tell(&trend, 0, 0, 0.4, 0);
	for (int i = 1; i < 4000; i++) {
		trend_add(&trend, START_NS + 400 * MS_NS + i * 10 * MS_NS,
			  0.4 * RATE + i * 0.010 * rates[_i]);
		ck_assert_double_le(fabs(trend.rate / RATE - 1),
				    TREND_DRIFT_MAX * 1.0001);
	}
	ck_assert_uint_gt(trend.held, 0);
}
