/* SPDX-License-Identifier: MIT
 * Which messages are logged, held back and counted, on the test's own clock. */
#include "base/ratelimit.h"

#include "test.h"

#define MINUTE (60 * USEC_PER_SEC)
#define START (5 * MINUTE)

static struct ratelimit three_a_minute(void)
{
	return (struct ratelimit){.burst = 3, .interval_usec = MINUTE};
}

static unsigned count_allowed(struct ratelimit *limit, unsigned tries,
			      uint64_t now)
{
	unsigned allowed = 0;

	for (unsigned i = 0; i < tries; i++)
		allowed += ratelimit_allows(limit, now);
	return allowed;
}

TEST(first_messages_of_an_interval_are_told)
{
	struct ratelimit limit = three_a_minute();

	ck_assert_uint_eq(count_allowed(&limit, 1000, START), 3);
	ck_assert_uint_eq(count_allowed(&limit, 1000, START + MINUTE - 1), 0);
}

TEST(clock_that_begins_at_nought_is_no_exception)
{
	struct ratelimit limit = three_a_minute();

	ck_assert_uint_eq(count_allowed(&limit, 10, 0), 3);
	ck_assert_uint_eq(count_allowed(&limit, 10, 1), 0);
}

TEST(interval_begins_with_a_message_and_not_with_the_clock)
{
	struct ratelimit limit = three_a_minute();

	ck_assert_uint_eq(count_allowed(&limit, 1, START), 1);
	ck_assert_uint_eq(count_allowed(&limit, 9, START + MINUTE / 2), 2);
	ck_assert_uint_eq(count_allowed(&limit, 9, START + MINUTE), 3);
	ck_assert_uint_eq(count_allowed(&limit, 9, START + 2 * MINUTE - 1), 0);
	ck_assert_uint_eq(count_allowed(&limit, 9, START + 9 * MINUTE), 3);
	ck_assert_uint_eq(count_allowed(&limit, 9, START + 10 * MINUTE - 1), 0);
}

TEST(rest_is_told_once_when_the_interval_is_over)
{
	struct ratelimit limit = three_a_minute();

	count_allowed(&limit, 1003, START);
	ck_assert_uint_eq(ratelimit_take(&limit, START), 0);
	ck_assert_uint_eq(ratelimit_take(&limit, START + MINUTE - 1), 0);
	ck_assert_uint_eq(ratelimit_take(&limit, START + MINUTE), 1000);
	ck_assert_uint_eq(ratelimit_take(&limit, START + MINUTE), 0);
	ck_assert_uint_eq(ratelimit_take(&limit, START + 5 * MINUTE), 0);
}

TEST(nothing_is_told_of_when_nothing_was_held_back)
{
	struct ratelimit limit = three_a_minute();

	ck_assert_uint_eq(ratelimit_take(&limit, START), 0);
	count_allowed(&limit, 3, START);
	ck_assert_uint_eq(ratelimit_take(&limit, START + 2 * MINUTE), 0);
}

/* A message each millisecond for an hour: at most four lines a minute. */
TEST(every_message_is_either_told_or_counted)
{
	struct ratelimit limit = three_a_minute();
	uint64_t told = 0, counted = 0, lines = 0;
	const uint64_t messages = 3600 * 1000;

	for (uint64_t i = 0; i < messages; i++) {
		uint64_t now = START + i * 1000;
		uint64_t rest = ratelimit_take(&limit, now);

		counted += rest;
		lines += rest > 0;
		told += ratelimit_allows(&limit, now);
	}
	counted += ratelimit_take(&limit, START + 61 * MINUTE);
	ck_assert_uint_eq(told, UINT64_C(3) * 60);
	ck_assert_uint_eq(told + counted, messages);
	ck_assert_uint_eq(lines, 59);
}
