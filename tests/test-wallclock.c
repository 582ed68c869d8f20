/* SPDX-License-Identifier: MIT
 * Whose word on the wall clock is believed. */
#include "base/wallclock.h"

#include "test.h"

static const struct {
	const char *who;
	int state, status;
	long esterror;
	bool trusted;
	uint32_t error_us;
} words[] = {
    {"chronyd with rtcsync", TIME_OK, 0, 37, true, 37},
    {"chronyd, far away", TIME_OK, 0, 900, false, 900},
    {"chronyd without rtcsync", TIME_ERROR, STA_UNSYNC, 37, false,
     WALLCLOCK_ERROR_UNKNOWN},
    {"systemd-timesyncd", TIME_OK, STA_PLL, 0, false, WALLCLOCK_ERROR_UNKNOWN},
    {"ntpd", TIME_OK, STA_PLL | STA_NANO, 120, true, 120},
    {"nobody", TIME_ERROR, STA_UNSYNC, 16000000, false,
     WALLCLOCK_ERROR_UNKNOWN},
    {"a leap second", TIME_INS, 0, 37, true, 37},
    {"a sandbox", -1, 0, 0, false, WALLCLOCK_ERROR_UNKNOWN},
};

TEST_LOOP(believes, 0, ARRAY_SIZE(words))
{
	const struct timex timex = {.status = words[_i].status,
				    .esterror = words[_i].esterror};
	struct wallclock clock;

	wallclock_judge(&clock, &timex, words[_i].state);
	ck_assert_msg(clock.trusted == words[_i].trusted, "%s", words[_i].who);
	ck_assert_msg(clock.error_us == words[_i].error_us, "%s: %u",
		      words[_i].who, clock.error_us);
}

TEST(offset_is_between_the_clocks)
{
	struct wallclock clock;
	struct timespec before, after;
	int64_t real_ns;

	wallclock_read(&clock);
	clock_gettime(CLOCK_REALTIME, &before);
	real_ns = wallclock_monotonic_ns() + clock.offset_ns;
	clock_gettime(CLOCK_REALTIME, &after);
	/* A step in between would be bad luck. */
	ck_assert_int_ge(real_ns, before.tv_sec * INT64_C(1000000000) +
				      before.tv_nsec - 1000000);
	ck_assert_int_le(real_ns, after.tv_sec * INT64_C(1000000000) +
				      after.tv_nsec + 1000000);
}
