/* SPDX-License-Identifier: MIT
 * Which way a page finds its moment, in simulated time. */
#include "client/rendezvous.h"

#include <math.h>

#include "test.h"

enum { RATE = 48000, CHUNK = 480 };

#define MS INT64_C(1000000)
#define NOW (INT64_C(5000) * 1000 * MS)
#define OFFSET (INT64_C(1700000000) * 1000 * MS)
#define BUDGET_MS 120

static struct rendezvous r;
static struct wav_page page;
static struct wallclock here;

static void setup(void)
{
	page = (struct wav_page){
	    .flags =
		WAV_PAGE_SCHEDULE | WAV_PAGE_CLOCK_TRUSTED | WAV_PAGE_REAL_TIME,
	    .clock_error_us = 20,
	    .sound_ns = OFFSET + NOW + BUDGET_MS * MS,
	    .budget_us = BUDGET_MS * 1000,
	};
	here = (struct wallclock){
	    .offset_ns = OFFSET, .trusted = true, .error_us = 30};
}

FIXTURE(setup, NULL);

static void begin(void)
{
	rendezvous_init(&r, &page, RATE, 0, &here, NOW, RENDEZVOUS_BELIEVED);
}

/* CHUNKS arrive, each LATE_NS after it is captured. */
static void arrive(int chunks, int64_t late_ns)
{
	for (int i = 1; i <= chunks; i++)
		rendezvous_arrived(&r, NOW + i * 10 * MS + late_ns,
				   (uint64_t)i * CHUNK);
}

TEST(by_the_clock)
{
	begin();
	ck_assert(!rendezvous_known(&r));
	arrive(1, MS / 5);
	ck_assert(rendezvous_known(&r));
	ck_assert_int_eq(r.way, RENDEZVOUS_CLOCK);
	ck_assert_ptr_null(r.why);
	ck_assert_uint_eq(r.error_us, 50);
	ck_assert_double_eq(rendezvous_position(&r, NOW + BUDGET_MS * MS), 0);
	ck_assert_double_eq(
	    rendezvous_position(&r, NOW + (BUDGET_MS + 1000) * MS), RATE);
	ck_assert_double_eq(rendezvous_rate(&r), RATE);
	ck_assert_int_eq(rendezvous_doubt(&r), RENDEZVOUS_BELIEVED);
}

TEST_LOOP(delay_is_added, 0, 2)
{
	const int64_t delay = _i ? -20 * MS : 500000;

	rendezvous_init(&r, &page, RATE, delay, &here, NOW,
			RENDEZVOUS_BELIEVED);
	arrive(1, MS / 5);
	ck_assert_double_eq(
	    rendezvous_position(&r, NOW + BUDGET_MS * MS + delay), 0);
}

TEST(no_delay_is_before_the_capture)
{
	rendezvous_init(&r, &page, RATE, -900 * MS, &here, NOW,
			RENDEZVOUS_BELIEVED);
	arrive(1, MS / 5);
	ck_assert_double_eq(rendezvous_position(&r, NOW), 0);
}

TEST_LOOP(in_band_without_clocks, 0, 4)
{
	if (_i == 0)
		page.flags &= (uint8_t)~WAV_PAGE_CLOCK_TRUSTED;
	if (_i == 1)
		here.trusted = false;
	if (_i == 2)
		page.sound_ns += 6000 * MS;
	rendezvous_init(&r, &page, RATE, 0, &here, NOW,
			_i == 3 ? RENDEZVOUS_DOUBTED : RENDEZVOUS_BELIEVED);
	ck_assert_int_eq(r.way, RENDEZVOUS_ARRIVAL);
	ck_assert_ptr_nonnull(r.why);
	ck_assert(!rendezvous_known(&r));
	arrive(100, MS);
	ck_assert(rendezvous_known(&r));
	ck_assert_double_eq_tol(
	    rendezvous_position(&r, NOW + (BUDGET_MS + 1) * MS), 0, 0.01);
	ck_assert_double_eq_tol(rendezvous_rate(&r), RATE, 0.01);
}

/* A clock that lies makes frames arrive before they are captured, or late. */
static const int64_t lies_ns[] = {-MS, -30 * MS, 30 * MS};

TEST_LOOP(clocks_that_lie_are_found_out, 0, ARRAY_SIZE(lies_ns))
{
	begin();
	arrive(4, lies_ns[_i]);
	ck_assert_int_eq(r.way, RENDEZVOUS_ARRIVAL);
	ck_assert_ptr_nonnull(strstr(r.why, "disagree"));
	ck_assert_int_eq(rendezvous_doubt(&r), RENDEZVOUS_DOUBTED);
	ck_assert_double_eq_tol(
	    rendezvous_position(&r, NOW + BUDGET_MS * MS + lies_ns[_i]), 0,
	    0.01);
}

TEST(one_late_chunk_is_no_lie)
{
	begin();
	rendezvous_arrived(&r, NOW + 60 * MS, CHUNK);
	ck_assert(!rendezvous_known(&r));
	rendezvous_arrived(&r, NOW + 60 * MS, (uint64_t)6 * CHUNK);
	ck_assert(rendezvous_known(&r));
	ck_assert_int_eq(r.way, RENDEZVOUS_CLOCK);
}

/* 8 ms pass at the beginning, but the next page begins in band; and the one
 * after that by the clock again, if its frames came in time. */
TEST(a_page_that_was_late_throughout_is_doubted)
{
	begin();
	arrive(100, 8 * MS);
	ck_assert_int_eq(r.way, RENDEZVOUS_CLOCK);
	ck_assert_int_eq(rendezvous_doubt(&r), RENDEZVOUS_DOUBTED);
	rendezvous_init(&r, &page, RATE, 0, &here, NOW, RENDEZVOUS_DOUBTED);
	arrive(100, MS);
	ck_assert_int_eq(r.way, RENDEZVOUS_ARRIVAL);
	ck_assert_int_eq(rendezvous_doubt(&r), RENDEZVOUS_BELIEVED);
}

TEST(no_schedule)
{
	page.flags &= (uint8_t)~WAV_PAGE_SCHEDULE;
	begin();
	arrive(10, MS);
	ck_assert_int_eq(r.way, RENDEZVOUS_NONE);
	ck_assert(!rendezvous_known(&r));
}

TEST(a_budget_beyond_5_s_is_none)
{
	page.budget_us = 5000001;
	begin();
	ck_assert_int_eq(r.way, RENDEZVOUS_NONE);
}

/* A stored page comes all at once. */
TEST(stored_by_the_clock)
{
	page.flags &= (uint8_t)~WAV_PAGE_REAL_TIME;
	begin();
	rendezvous_arrived(&r, NOW + MS, RATE * 3);
	rendezvous_arrived(&r, NOW + 2 * MS, RATE * 9);
	ck_assert_int_eq(r.way, RENDEZVOUS_CLOCK);
	ck_assert(rendezvous_known(&r));
}

TEST_LOOP(stored_without_clocks_is_as_ever, 0, 2)
{
	page.flags &= (uint8_t)~WAV_PAGE_REAL_TIME;
	if (_i)
		here.trusted = false;
	begin();
	for (int i = 1; i < 5; i++)
		rendezvous_arrived(&r, NOW - 30 * MS, (uint64_t)i * RATE);
	ck_assert_int_eq(r.way, RENDEZVOUS_NONE);
}

/* When frame X of a played page is sent: in real time for 200 ms, then faster
 * until it is 2 s ahead. */
static int64_t sent_ns(double x)
{
	const double s = x / RATE;
	const double lead = s < 0.2 ? s : 0.2 + (s - 0.2) / 1.5;

	return NOW + llrint(fmax(lead, s - 2) * 1e9);
}

TEST_LOOP(played_ahead, 0, 2)
{
	page.flags |= WAV_PAGE_PLAYED;
	page.ahead_us = 2000000;
	if (_i)
		here.trusted = false;
	begin();
	for (int i = 1; i < 3000; i++)
		rendezvous_arrived(&r, sent_ns(i * (double)CHUNK) + MS / 5,
				   (uint64_t)i * CHUNK);
	ck_assert_int_eq(r.way, _i ? RENDEZVOUS_ARRIVAL : RENDEZVOUS_CLOCK);
	ck_assert_int_eq(rendezvous_doubt(&r), RENDEZVOUS_BELIEVED);
	ck_assert_double_eq_tol(
	    rendezvous_position(&r, NOW + (BUDGET_MS + 20000) * MS),
	    20.0 * RATE, _i ? 48 : 1e-3);
}

TEST(extreme_fields_do_no_harm)
{
	const int64_t times[] = {INT64_MIN, INT64_MAX, 0, -1};

	for (unsigned i = 0; i < ARRAY_SIZE(times); i++) {
		page.sound_ns = times[i];
		begin();
		arrive(10, MS);
		ck_assert_int_eq(r.way, RENDEZVOUS_ARRIVAL);
	}
}

/* An unknown error and a small one are no small error. */
TEST(clocks_that_may_be_far_off_are_not_believed)
{
	static const uint32_t errors_us[] = {501, 3000000, UINT32_MAX};

	for (unsigned i = 0; i < ARRAY_SIZE(errors_us); i++) {
		page.clock_error_us = errors_us[i];
		begin();
		ck_assert_int_eq(r.way, RENDEZVOUS_ARRIVAL);
		ck_assert_uint_eq(r.error_us, WALLCLOCK_ERROR_UNKNOWN);
	}
}

/* Nobody waits for a machine that is suspended. */
TEST_LOOP(after_a_suspend_the_page_has_gone_on, 0, 2)
{
	here.trusted = _i == 0;
	begin();
	arrive(10, MS / 10);
	rendezvous_slept(&r, 1500 * MS);
	ck_assert_double_eq_tol(
	    rendezvous_position(&r, NOW + (BUDGET_MS + 500) * MS), 2.0 * RATE,
	    _i ? 48 : 1e-3);
}
