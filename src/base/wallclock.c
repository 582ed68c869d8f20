/* SPDX-License-Identifier: MIT
 * chronyd tells the kernel how wrong the clock may be, and with rtcsync (as in
 * Debian's chrony.conf) that it is synchronised. systemd-timesyncd says so too,
 * but with an error of 0 whatever the offset: that is no estimate. */
#include "base/wallclock.h"

#include <errno.h>

#include "base/util.h"

enum { TRIES = 5 };

#define SLEEP_NS_MIN INT64_C(1000000)

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * (int64_t)NSEC_PER_SEC + ts.tv_nsec;
}

int64_t wallclock_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* CLOCK - MONOTONIC, by the shortest of some tries: another program may run
 * between two readings. */
static int64_t measure_offset(clockid_t clock)
{
	int64_t best_ns = INT64_MAX, offset_ns = 0;

	for (int i = 0; i < TRIES; i++) {
		const int64_t before_ns = clock_ns(CLOCK_MONOTONIC);
		const int64_t there_ns = clock_ns(clock);
		const int64_t took_ns = clock_ns(CLOCK_MONOTONIC) - before_ns;

		if (took_ns >= best_ns)
			continue;
		best_ns = took_ns;
		offset_ns = there_ns - before_ns - took_ns / 2;
	}
	return offset_ns;
}

int64_t wallclock_offset_ns(void)
{
	return measure_offset(CLOCK_REALTIME);
}

int64_t wallclock_asleep_ns(void)
{
	return measure_offset(CLOCK_BOOTTIME);
}

int64_t wallclock_slept_ns(int64_t *asleep_ns)
{
	const int64_t now_ns = wallclock_monotonic_ns();
	int64_t ns = clock_ns(CLOCK_BOOTTIME) - now_ns - *asleep_ns;

	/* Asked often. It may be too much by what ran between the readings. */
	if (ns >= SLEEP_NS_MIN)
		ns = wallclock_asleep_ns() - *asleep_ns;
	if (ns < SLEEP_NS_MIN)
		return 0;
	*asleep_ns += ns;
	return ns;
}

void wallclock_judge(struct wallclock *clock, const struct timex *timex,
		     int state)
{
	const bool synchronised =
	    state >= 0 && state != TIME_ERROR && !(timex->status & STA_UNSYNC);
	const bool estimated =
	    timex->esterror > 0 || !(timex->status & STA_PLL);

	clock->error_us = synchronised && estimated && timex->esterror >= 0
			      ? (uint32_t)MIN(timex->esterror, (long)INT32_MAX)
			      : WALLCLOCK_ERROR_UNKNOWN;
	clock->trusted = clock->error_us <= WALLCLOCK_ERROR_US_MAX;
}

void wallclock_read(struct wallclock *ret)
{
	struct timex timex = {0};
	const int state = adjtimex(&timex);

	ret->denied = state < 0 && (errno == EPERM || errno == ENOSYS);
	wallclock_judge(ret, &timex, state);
	ret->offset_ns = wallclock_offset_ns();
}
