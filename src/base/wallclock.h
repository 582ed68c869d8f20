/* SPDX-License-Identifier: MIT
 * CLOCK_REALTIME beside CLOCK_MONOTONIC, and whether somebody keeps it right.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/timex.h>

#define WALLCLOCK_ERROR_UNKNOWN UINT32_MAX
/* A clock that may be further off is not trusted. */
#define WALLCLOCK_ERROR_US_MAX 500

struct wallclock {
	int64_t offset_ns; /* REALTIME - MONOTONIC */
	bool denied;	   /* this program may not ask the kernel about it */
	bool trusted; /* within half a millisecond, as the kernel is told */
	uint32_t error_us; /* estimated; or WALLCLOCK_ERROR_UNKNOWN */
};

/* Reads it now: a later step of REALTIME does not change the result. */
void wallclock_read(struct wallclock *ret);
/* CLOCK_MONOTONIC in nanoseconds. */
int64_t wallclock_monotonic_ns(void);
/* The offset alone. */
int64_t wallclock_offset_ns(void);
/* For how long this machine has been suspended, in all: CLOCK_MONOTONIC stands
 * still then. */
int64_t wallclock_asleep_ns(void);
/* How much that has grown since *ASLEEP_NS, which becomes what it is now; 0 for
 * less than the two clocks are read apart. */
int64_t wallclock_slept_ns(int64_t *asleep_ns);

/* What adjtimex(2) says of the clock; STATE is what it returned. */
void wallclock_judge(struct wallclock *clock, const struct timex *timex,
		     int state);
