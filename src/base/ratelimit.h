/* SPDX-License-Identifier: MIT
 * How often one kind of message may be told. Pure: the caller has the clock
 * and the words. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Begins as {.burst = ..., .interval_usec = ...}. */
struct ratelimit {
	unsigned burst; /* messages in an interval */
	uint64_t interval_usec;
	uint64_t begin_usec; /* of the interval, which a message begins */
	unsigned told;
	uint64_t held_back;
};

/* Whether a message may be told now; else it is counted. Call
 * ratelimit_take() first. */
bool ratelimit_allows(struct ratelimit *limit, uint64_t now_usec);

/* How many were held back in an interval that is over, once; else 0. */
uint64_t ratelimit_take(struct ratelimit *limit, uint64_t now_usec);
