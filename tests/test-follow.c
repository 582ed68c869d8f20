/* SPDX-License-Identifier: MIT
 * Cards that are made to keep a moment, in simulated time. */
#include "client/follow.h"

#include <math.h>

#include "rooms.h"
#include "test.h"

enum { RATE = 48000 };

#define MS INT64_C(1000000)
#define NOW (INT64_C(5000) * 1000 * MS)
#define BUDGET_MS 120

TIME_LIMIT(300);

static struct rendezvous rendezvous;
static struct follow follow;
static struct follow_order order;

static void setup(void)
{
	const struct wav_page page = {
	    .flags =
		WAV_PAGE_SCHEDULE | WAV_PAGE_CLOCK_TRUSTED | WAV_PAGE_REAL_TIME,
	    .sound_ns = NOW + BUDGET_MS * MS,
	    .budget_us = BUDGET_MS * 1000,
	};
	const struct wallclock here = {.trusted = true};

	rendezvous_init(&rendezvous, &page, RATE, 0, &here, NOW,
			RENDEZVOUS_BELIEVED);
	rendezvous_arrived(&rendezvous, NOW + MS, 0);
	follow_init(&follow, RATE, 0);
	follow_look(&follow, NOW, 0);
}

FIXTURE(setup, NULL);

TEST(silence_fills_the_time_until_the_page)
{
	follow_next(&follow, &rendezvous, 1440, 0, &order);
	ck_assert_int_eq(order.what, FOLLOW_SILENCE);
	ck_assert_double_eq_tol(order.frames, BUDGET_MS * 48 - 1440, 1.001);
}

TEST(the_page_begins_when_silence_is_over)
{
	follow_next(&follow, &rendezvous, BUDGET_MS * 48, 0, &order);
	ck_assert_int_eq(order.what, FOLLOW_SEEK);
	ck_assert_double_eq_tol(order.position, 0, 1e-3);
	follow_next(&follow, &rendezvous, BUDGET_MS * 48 + 480, 480, &order);
	ck_assert_int_eq(order.what, FOLLOW_STEP);
	ck_assert_double_eq_tol(order.step, 1, 1e-6);
}

TEST(what_is_late_is_left_out)
{
	follow_next(&follow, &rendezvous, BUDGET_MS * 48 + 4800, 0, &order);
	ck_assert_int_eq(order.what, FOLLOW_SEEK);
	ck_assert_double_eq_tol(order.position, 4800, 1e-3);
}

static void begin_page(void)
{
	follow_next(&follow, &rendezvous, BUDGET_MS * 48, 0, &order);
	ck_assert_int_eq(order.what, FOLLOW_SEEK);
}

TEST(small_errors_are_brought_back)
{
	begin_page();
	follow_next(&follow, &rendezvous, BUDGET_MS * 48 + 480, 470, &order);
	ck_assert_int_eq(order.what, FOLLOW_STEP);
	ck_assert_double_gt(order.step, 1 + 200e-6);
	ck_assert_double_le(order.step, 1 + 2000e-6);
	follow_next(&follow, &rendezvous, BUDGET_MS * 48 + 480, 490, &order);
	ck_assert_double_lt(order.step, 1 - 200e-6);
}

TEST(great_errors_are_jumped_over)
{
	begin_page();
	follow_next(&follow, &rendezvous, 20000, 10000, &order);
	ck_assert_int_eq(order.what, FOLLOW_SEEK);
	ck_assert_double_eq_tol(order.position, 20000 - BUDGET_MS * 48, 1e-3);
	follow_next(&follow, &rendezvous, 20000, 20000, &order);
	ck_assert_int_eq(order.what, FOLLOW_SILENCE);
	ck_assert_double_eq_tol(order.frames, BUDGET_MS * 48, 1.001);
}

TEST(a_restart_seeks_the_page_again)
{
	begin_page();
	follow_restart(&follow);
	follow_look(&follow, NOW + 1000 * MS, 0);
	follow_next(&follow, &rendezvous, 480, 30000, &order);
	ck_assert_int_eq(order.what, FOLLOW_SEEK);
	ck_assert_double_eq_tol(order.position, RATE + 480 - BUDGET_MS * 48,
				1e-3);
}

TEST(a_card_that_takes_all_at_once_has_no_clock)
{
	double written = 0;

	ck_assert(follow_has_clock(&follow));
	for (int i = 1; i < 20; i++) {
		written += 1440;
		follow_look(&follow, NOW + i * MS, written);
	}
	ck_assert(!follow_has_clock(&follow));
}

TEST_LOOP(a_card_with_a_clock_has_one, 0, 3)
{
	static const double ppm[] = {0, 500, -500};

	for (int i = 1; i < 20000; i++) {
		follow_look(&follow, NOW + i * 5 * MS,
			    i * 240 * (1 + ppm[_i] * 1e-6));
		ck_assert(follow_has_clock(&follow));
	}
}

TEST(a_card_of_another_rate_has_none)
{
	for (int i = 1; i < 20000; i++)
		follow_look(&follow, NOW + i * 5 * MS, i * 240 * 1.01);
	ck_assert(!follow_has_clock(&follow));
}

/* --- rooms --- */

static const struct rooms four = {
    .count = 4,
    .card_ppm = {100, -100, 35, -60},
    .card = ROOM_CARD_MIXED,
    .clocks = true,
    .clock_us = 20,
    .clock_ppm = 40,
    .seconds = 7 * 86400,
};

TEST_LOOP(seven_days_within_100_us, 0, 2)
{
	struct rooms rooms = four;
	struct rooms_skew skew;

	rooms.clocks = _i == 0;
	rooms_run(&rooms, &skew);
	ck_assert_double_lt(skew.max_after_60_s, 100);
}

TEST(a_microphone_of_100_ppm_is_followed_in_band)
{
	struct rooms rooms = four;
	struct rooms_skew skew;

	rooms.clocks = false;
	rooms.microphone_ppm = 100;
	rooms.seconds = 86400;
	rooms_run(&rooms, &skew);
	ck_assert_double_lt(skew.max_after_60_s, 100);
	ck_assert_double_eq_tol(skew.latency_ms, BUDGET_MS, 0.5);
}

TEST_LOOP(the_first_word, 0, 150)
{
	struct rooms rooms = four;
	struct rooms_skew skew;

	rooms.seconds = 20;
	rooms.seed = (unsigned)_i;
	rooms_run(&rooms, &skew);
	ck_assert_double_lt(skew.first, 150);
	rooms.known = true;
	rooms_run(&rooms, &skew);
	ck_assert_double_lt(skew.first, 100);
	ck_assert_double_lt(skew.worst_of_10_s, 100);
	rooms.known = rooms.clocks = false;
	rooms_run(&rooms, &skew);
	ck_assert_double_lt(skew.first, 500);
}
