/* SPDX-License-Identifier: MIT
 * A test program is one libcheck suite: each test registers itself where it is
 * defined, and main() (main.c) is the same for all. Includes what nearly every
 * test needs. */
#pragma once

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

/* TEST(name) { .. } defines a test; TEST_LOOP(name, begin, end) { .. } runs one
 * for each _i from BEGIN to END - 1. */
#define TEST(name) TEST_LOOP(name, 0, 1)
#define TEST_LOOP(name, begin, end)                                            \
	static const TTest *name;                                              \
	__attribute__((constructor)) static void name##_add(void)              \
	{                                                                      \
		test_add(name, begin, end);                                    \
	}                                                                      \
	START_TEST(name)

/* Runs SETUP before and TEARDOWN after each test; either may be NULL. */
#define FIXTURE(setup, teardown)                                               \
	const SFun test_setup = (setup), test_teardown = (teardown)

/* How many seconds a test may take. $CK_DEFAULT_TIMEOUT is the default. */
#define TIME_LIMIT(seconds) const int test_time_limit = (seconds)

extern const SFun test_setup, test_teardown;
extern const int test_time_limit;

void test_add(const TTest *test, int begin, int end);

/* Makes PATH the only configuration of ALSA beside ALSA's own. */
void use_alsa_conf(const char *path);

/* The value of an environment variable; the test fails without it. */
const char *test_environment(const char *name);
