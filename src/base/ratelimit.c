/* SPDX-License-Identifier: MIT
 * Lets the first messages of an interval through and counts the rest. */
#include "base/ratelimit.h"

static bool is_over(const struct ratelimit *limit, uint64_t now_usec)
{
	return now_usec - limit->begin_usec >= limit->interval_usec;
}

bool ratelimit_is_spent(const struct ratelimit *limit, uint64_t now_usec)
{
	return limit->told >= limit->burst && !is_over(limit, now_usec);
}

bool ratelimit_allows(struct ratelimit *limit, uint64_t now_usec)
{
	if (limit->told == 0 || is_over(limit, now_usec)) {
		limit->begin_usec = now_usec;
		limit->told = 0;
	}
	if (limit->told < limit->burst) {
		limit->told++;
		return true;
	}
	limit->held_back++;
	return false;
}

uint64_t ratelimit_take(struct ratelimit *limit, uint64_t now_usec)
{
	uint64_t count = limit->held_back;

	if (count == 0 || !is_over(limit, now_usec))
		return 0;
	limit->held_back = 0;
	return count;
}
