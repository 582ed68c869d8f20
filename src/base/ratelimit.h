/* SPDX-License-Identifier: MIT
 * Limits how often one kind of message is logged. Pure: the caller has the
 * clock and the words. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Starts as {.burst = ..., .interval_usec = ...}. */
struct ratelimit {
	unsigned burst; /* messages allowed in an interval */
	uint64_t interval_usec;
	uint64_t begin_usec; /* of the interval: when its first message came */
	unsigned told;
	uint64_t held_back;
};

/* Whether a message may be logged now; if not, counts it. Call ratelimit_take()
 * first. */
bool ratelimit_allows(struct ratelimit *limit, uint64_t now_usec);

/* Whether ratelimit_allows() would refuse. */
bool ratelimit_is_spent(const struct ratelimit *limit, uint64_t now_usec);

/* How many messages were held back; 0 until the interval is over. Resets the
 * count. */
uint64_t ratelimit_take(struct ratelimit *limit, uint64_t now_usec);
