/* SPDX-License-Identifier: MIT
 * The pauses between attempts. */
#include "base/backoff.h"

#include "test.h"

#define MS UINT64_C(1000)

TEST(first_pause_is_a_tenth_of_a_second)
{
	for (int i = 0; i < 1000; i++) {
		struct backoff backoff = {0};
		const uint64_t pause = backoff_next(&backoff);

		ck_assert_uint_ge(pause, 100 * MS);
		ck_assert_uint_le(pause, 125 * MS);
	}
}

TEST(pauses_grow_and_stay_below_five_seconds)
{
	struct backoff backoff = {0};
	uint64_t nominal = 100 * MS;

	for (int i = 0; i < 100; i++) {
		const uint64_t pause = backoff_next(&backoff);

		ck_assert_uint_ge(pause, nominal);
		ck_assert_uint_le(pause, nominal + nominal / 4);
		ck_assert_uint_le(pause, 5000 * MS);
		nominal = nominal * 2 > 4000 * MS ? 4000 * MS : nominal * 2;
	}
}

TEST(limit_of_its_own_is_kept)
{
	struct backoff backoff = {.limit_ms = 1000};

	for (int i = 0; i < 100; i++)
		ck_assert_uint_le(backoff_next(&backoff), 1000 * MS);
}

TEST(pauses_differ_by_chance)
{
	struct backoff backoff = {0};
	uint64_t first;
	int different = 0;

	for (int i = 0; i < 10; i++)
		backoff_next(&backoff);
	first = backoff_next(&backoff);
	for (int i = 0; i < 100; i++)
		different += backoff_next(&backoff) != first;
	ck_assert_int_gt(different, 50);
}

TEST(reset_begins_anew)
{
	struct backoff backoff = {0};

	for (int i = 0; i < 10; i++)
		backoff_next(&backoff);
	backoff_reset(&backoff);
	ck_assert_uint_le(backoff_next(&backoff), 125 * MS);
}
