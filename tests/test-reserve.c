/* SPDX-License-Identifier: MIT
 * What --latency auto makes of arrivals and gaps, in simulated time. */
#include "client/reserve.h"

#include "base/util.h"
#include "test.h"

#define CHUNK_USEC UINT64_C(20000)

static struct reserve r;
static uint64_t now;

static void begin(uint32_t least_ms, uint32_t most_ms)
{
	reserve_init(&r, least_ms, most_ms);
	now = USEC_PER_SEC;
}

/* SECONDS of sound, each chunk LATE_MS late. */
static void listen_for(unsigned seconds, uint32_t late_ms)
{
	for (unsigned i = 0; i < seconds * USEC_PER_SEC / CHUNK_USEC; i++) {
		now += CHUNK_USEC;
		reserve_arrived(&r, now,
				r.now_ms > late_ms ? r.now_ms - late_ms : 0);
	}
}

TEST(quiet_network_stays_at_the_least)
{
	begin(100, 1000);
	listen_for(600, 20);
	ck_assert_uint_eq(r.now_ms, 100);
}

TEST(gap_grows_it_by_what_was_missing)
{
	begin(100, 1000);
	listen_for(5, 0);
	ck_assert(reserve_starved(&r, 100));
	ck_assert_uint_eq(r.now_ms, 230);
	/* What would have been enough is enough. */
	listen_for(300, 200);
	ck_assert_uint_eq(r.now_ms, 230);
}

TEST(small_gap_after_a_large_one_does_not_shrink_it)
{
	begin(100, 1000);
	ck_assert(reserve_starved(&r, 300));
	ck_assert_uint_eq(r.now_ms, 460);
	ck_assert(reserve_starved(&r, 1));
	ck_assert_uint_ge(r.now_ms, 461);
}

TEST(it_never_exceeds_the_most)
{
	begin(100, 400);
	ck_assert(reserve_starved(&r, UINT32_MAX));
	ck_assert_uint_eq(r.now_ms, 400);
	ck_assert(!reserve_starved(&r, UINT32_MAX));
	ck_assert_uint_eq(r.now_ms, 400);
}

TEST(two_good_minutes_bring_it_back)
{
	begin(100, 1000);
	listen_for(5, 0);
	reserve_starved(&r, 200);
	ck_assert_uint_eq(r.now_ms, 345);
	listen_for(110, 10);
	ck_assert_uint_eq(r.now_ms, 345); /* the gap is still remembered */
	listen_for(20, 10);
	ck_assert_uint_eq(r.now_ms, 100);
}

TEST(it_shrinks_to_what_was_needed_and_not_for_little)
{
	begin(100, 1000);
	reserve_starved(&r, 400);
	ck_assert_uint_eq(r.now_ms, 575);
	listen_for(130, 200);
	ck_assert_uint_eq(r.now_ms, 230);
	listen_for(130, 190);
	ck_assert_uint_eq(r.now_ms, 230);
}

TEST(time_between_pages_is_no_good_time)
{
	begin(100, 1000);
	reserve_starved(&r, 200);
	for (unsigned page = 0; page < 200; page++) {
		now += 3600 * USEC_PER_SEC;
		reserve_resume(&r);
		reserve_arrived(&r, now, r.now_ms);
	}
	ck_assert_uint_eq(r.now_ms, 345);
	/* Nor is a network that brought nothing for long. */
	for (unsigned i = 0; i < 200; i++) {
		now += 10 * USEC_PER_SEC;
		ck_assert(!reserve_arrived(&r, now, r.now_ms));
	}
	ck_assert_uint_eq(r.now_ms, 345);
}

TEST(what_two_minutes_did_not_need_goes_between_pages_too)
{
	begin(100, 1000);
	reserve_starved(&r, 200);
	listen_for(119, 10);
	ck_assert_uint_eq(r.now_ms, 345);
	r.needs_ms[RESERVE_SLOTS - 1] = 10;
	reserve_resume(&r);
	ck_assert_uint_eq(r.now_ms, 100);
}

TEST(fixed_latency_does_not_move)
{
	begin(100, 100);
	listen_for(5, 90);
	ck_assert(!reserve_starved(&r, 500));
	listen_for(200, 0);
	reserve_resume(&r);
	ck_assert_uint_eq(r.now_ms, 100);
}
