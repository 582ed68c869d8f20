/* SPDX-License-Identifier: MIT
 * Values of options, at their edges and beyond them. */
#include "base/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "capture.h"
#include "test.h"

static char text[4096]; /* what was logged last */

static int integer(const char *value, uint64_t min, uint64_t max, uint64_t *ret)
{
	struct capture capture = capture_begin(STDERR_FILENO);
	const int r = option_integer("--count", value, min, max, ret);

	capture_end(capture, text, sizeof(text));
	return r;
}

static int number(const char *value, double min, double max, double *ret)
{
	struct capture capture = capture_begin(STDERR_FILENO);
	const int r = option_number("--lag", value, min, max, ret);

	capture_end(capture, text, sizeof(text));
	return r;
}

static void check_quoted(const char *option, const char *value,
			 const char *accepted)
{
	char quoted[256];

	snprintf(quoted, sizeof(quoted), "%s '%s': ", option, value);
	check_line(text, (const char *const[]){quoted, accepted, NULL});
}

TEST(whole_numbers_within_the_limits_are_taken)
{
	static const struct {
		const char *text;
		uint64_t min, max, value;
	} cases[] = {
	    {"0", 0, 9, 0},
	    {"9", 0, 9, 9},
	    {"5", 5, 5, 5},
	    {"007", 0, 9, 7},
	    {"18446744073709551615", 0, UINT64_MAX, UINT64_MAX},
	    {"4294967296", 0, UINT64_MAX, UINT64_C(1) << 32},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t value = 77;

		ck_assert_int_eq(
		    integer(cases[i].text, cases[i].min, cases[i].max, &value),
		    0);
		ck_assert_uint_eq(value, cases[i].value);
		ck_assert_str_eq(text, "");
	}
}

static const char *const never_numbers[] = {
    "",	   " ",	       " 7",  "7 ", "+7",  "-7",  "-0",
    "0x7", "7k",       "7,5", "7:", "x",   "nan", "inf",
    "7\n", "\xd9\xa7", "0b1", "7-", "--7", "1 2", "'7'"};

TEST(what_is_no_whole_number_is_refused_in_words)
{
	static const char *const others[] = {"7.0", "7.", ".7", "7e0"};
	uint64_t value = 77;

	for (size_t i = 0; i < ARRAY_SIZE(never_numbers); i++) {
		ck_assert_int_eq(integer(never_numbers[i], 0, 99, &value),
				 -EINVAL);
		ck_assert_ptr_nonnull(
		    strstr(text, "a whole number from 0 to 99 is needed"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		ck_assert_int_eq(integer(others[i], 0, 99, &value), -EINVAL);
		check_quoted("--count", others[i],
			     "a whole number from 0 to 99 is needed");
	}
	ck_assert_uint_eq(value, 77);
}

TEST(whole_numbers_beyond_the_limits_are_refused_in_words)
{
	static const char *const beyond[] = {
	    "4",
	    "101",
	    "4294967301",	    /* 5 in 32 bits */
	    "18446744073709551621", /* 5 in 64 bits */
	    "18446744073709551616",
	    "99999999999999999999999999999999"};
	uint64_t value = 77;

	for (size_t i = 0; i < ARRAY_SIZE(beyond); i++) {
		ck_assert_int_eq(integer(beyond[i], 5, 100, &value), -EINVAL);
		check_quoted("--count", beyond[i],
			     "a whole number from 5 to 100 is needed");
	}
	ck_assert_int_eq(integer("5", 5, 100, &value), 0);
	ck_assert_int_eq(integer("100", 5, 100, &value), 0);
}

TEST(numbers_within_the_limits_are_taken)
{
	static const struct {
		const char *text;
		double value;
	} cases[] = {
	    {"0", 0},	  {"0.25", 0.25}, {".5", 0.5},	 {"5.", 5},
	    {"1e2", 100}, {"1E+2", 100},  {"5e-1", 0.5}, {"100", 100},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double value = 77;

		ck_assert_int_eq(number(cases[i].text, 0, 100, &value), 0);
		ck_assert_double_eq_tol(value, cases[i].value, 1e-12);
		ck_assert_str_eq(text, "");
	}
}

TEST(what_is_no_number_is_refused_in_words)
{
	static const char *const others[] = {
	    ".",     "..5",	 "1.2.3", "1e",	    "e1",    "0x10",
	    "0x1p3", "infinity", "1e999", "1e-999", "1_000", "5s"};
	double value = 77;

	for (size_t i = 0; i < ARRAY_SIZE(never_numbers); i++) {
		ck_assert_int_eq(number(never_numbers[i], 0, 99, &value),
				 -EINVAL);
		ck_assert_ptr_nonnull(
		    strstr(text, "a number from 0 to 99 is needed"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		ck_assert_int_eq(number(others[i], 0, 1e300, &value), -EINVAL);
		check_quoted("--lag", others[i], "a number from 0 to ");
	}
	ck_assert_double_eq_tol(value, 77, 1e-12);
}

TEST(numbers_beyond_the_limits_are_refused_in_words)
{
	double value = 77;

	ck_assert_int_eq(number("0.049", 0.05, 31536000, &value), -EINVAL);
	check_quoted("--lag", "0.049",
		     "a number from 0.05 to 31536000 is needed");
	ck_assert_int_eq(number("31536000.1", 0.05, 31536000, &value), -EINVAL);
	check_quoted("--lag", "31536000.1",
		     "a number from 0.05 to 31536000 is needed");
	ck_assert_double_eq_tol(value, 77, 1e-12);
	ck_assert_int_eq(number("0.05", 0.05, 31536000, &value), 0);
	ck_assert_int_eq(number("31536000", 0.05, 31536000, &value), 0);
}

static int choose(const char *value, const char *const *names, unsigned *ret)
{
	struct capture capture = capture_begin(STDERR_FILENO);
	const int r = option_choice("--mode", value, names, ret);

	capture_end(capture, text, sizeof(text));
	return r;
}

TEST(choice_is_one_of_the_names)
{
	static const char *const names[] = {"none", "system", "user", NULL};
	static const char *const others[] = {"",     "non",   "nonee",
					     "None", " none", "none system"};
	unsigned choice = 77;

	for (unsigned i = 0; names[i]; i++) {
		ck_assert_int_eq(choose(names[i], names, &choice), 0);
		ck_assert_uint_eq(choice, i);
		ck_assert_str_eq(text, "");
	}
	choice = 77;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		ck_assert_int_eq(choose(others[i], names, &choice), -EINVAL);
		check_quoted("--mode", others[i],
			     "none, system or user is needed");
	}
	ck_assert_uint_eq(choice, 77);
}

TEST(many_choices_are_cut_and_nothing_else)
{
	static const char *const names[] = {
	    "a-name-of-forty-characters-which-is-long",
	    "another-such-name-"
	    "of-forty-characters-xxx",
	    "another-such-name-of-forty-characters"
	    "-yyy",
	    "another-such-name-of-forty-characters-zzz",
	    "another-such-name-of-forty-characters-aaa",
	    "another-such-name-of-forty-characters-bbb",
	    "another-such-name-of-forty-characters-ccc",
	    NULL};
	unsigned choice = 77;

	ck_assert_int_eq(choose(names[6], names, &choice), 0);
	ck_assert_uint_eq(choice, 6);
	ck_assert_int_eq(choose("x", names, &choice), -EINVAL);
	check_quoted("--mode", "x", names[0]);
}

TEST(default_chime_is_the_one_that_was_installed)
{
	ck_assert_str_eq(option_chime("default"), CHIME_DEFAULT_PATH);
	ck_assert_str_eq(option_chime("./default"), "./default");
	ck_assert_str_eq(option_chime("gong.wav"), "gong.wav");
	ck_assert_int_eq(CHIME_DEFAULT_PATH[0], '/');
}
