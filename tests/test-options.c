/* SPDX-License-Identifier: MIT
 * Values of options, at their limits and beyond them. */
#include "base/options.h"

#include <getopt.h>
#include <stdbool.h>

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
	CHECK_LINE(text, quoted, accepted);
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

TEST(numbers_may_have_a_sign_where_some_are_negative)
{
	static const char *const wrong[] = {"--6", "+-6", "-",	 "+",
					    "-x",  "- 6", "-0x6"};
	double value = 77;

	ck_assert_int_eq(number("-6.5", -60, 40, &value), 0);
	ck_assert(value == -6.5);
	ck_assert_int_eq(number("+6", -60, 40, &value), 0);
	ck_assert(value == 6);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		ck_assert_int_eq(number(wrong[i], -60, 40, &value), -EINVAL);
		check_quoted("--lag", wrong[i], "a number from -60 to 40");
	}
	ck_assert_int_eq(number("-61", -60, 40, &value), -EINVAL);
	ck_assert(value == 6);
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

/* --- a table --- */

struct things {
	bool loud, red;
	const char *name;
	uint16_t small;
	int32_t middle;
	uint64_t large;
	double size;
	enum { ONE, TWO } count;
	struct option_list boxes;
};

enum { TAG_LOUD = 1, TAG_SMALL = 2 };

#define FIELD(field) OPTION_FIELD(struct things, field)

static const char *const counts[] = {"one", "two", NULL};
static const struct option_row rows[] = {
    {'l', "loud", NULL, "be heard", .parse = option_set_flag, FIELD(loud),
     .tag = TAG_LOUD},
    {0, "red", NULL, "be seen", .parse = option_set_flag, FIELD(red)},
    {'n', "name", "NAME", "what it is called\n(default: thing)",
     .parse = option_set_string, FIELD(name)},
    {0, "small", "N", "16 bits", .parse = option_set_integer, FIELD(small),
     .limits = {1, 65535}, .tag = TAG_SMALL},
    {0, "middle-of-the-road", "N", "32", .parse = option_set_integer,
     FIELD(middle), .limits = {0, INT32_MAX}},
    {0, "the-largest-of-them", "N", "64", .parse = option_set_integer,
     FIELD(large), .limits = {0, 1e15}},
    {'s', "size", "M", "metres", .parse = option_set_number, FIELD(size),
     .limits = {0.5, 2}},
    {0, "count", "COUNT", "one or two", .parse = option_set_choice,
     FIELD(count), .names = counts},
    {'b', "box", "BOX", "repeatable", .parse = option_add_string, FIELD(boxes)},
};
static const struct option_table table = {
    .usage = "Usage: things\n\n",
    .version = "things 1",
    .rows = rows,
    .count = ARRAY_SIZE(rows),
};
static struct things things;
static unsigned given;

static int parse(const char *const *arguments)
{
	char *argv[2 * OPTION_LIST_MAX + 5] = {(char *)"things"};
	struct capture capture;
	int argc = 1, r;

	for (; arguments[argc - 1]; argc++)
		argv[argc] = (char *)arguments[argc - 1];
	things = (struct things){.name = "thing", .middle = -1};
	given = 77;
	optind = 0; /* begin anew, getopt(3) */
	capture = capture_begin(STDOUT_FILENO);
	r = options_parse(&table, argc, argv, &things, &given);
	capture_end(capture, text, sizeof(text));
	return r;
}
#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

TEST(rows_set_their_fields_and_no_others)
{
	ck_assert_int_eq(PARSE("rest", "-ln", "box", "--small=65535",
			       "--middle=2147483647", "--the=1000000000000000",
			       "-s.5", "--count=two", "-ba", "--box=b", "--",
			       "-l"),
			 1);
	ck_assert(things.loud && !things.red);
	ck_assert_str_eq(things.name, "box");
	ck_assert_uint_eq(things.small, 65535);
	ck_assert_int_eq(things.middle, INT32_MAX);
	ck_assert_uint_eq(things.large, UINT64_C(1000000000000000));
	ck_assert_double_eq_tol(things.size, 0.5, 1e-12);
	ck_assert_int_eq(things.count, TWO);
	ck_assert_uint_eq(things.boxes.count, 2);
	ck_assert_str_eq(things.boxes.items[0], "a");
	ck_assert_str_eq(things.boxes.items[1], "b");
	ck_assert_uint_eq(given, TAG_LOUD | TAG_SMALL);
	ck_assert_int_eq(optind, 11); /* of 13: "rest" and "-l" are left */
	ck_assert_int_eq(PARSE("--red"), 1);
	ck_assert(things.red && !things.loud);
	ck_assert_str_eq(things.name, "thing");
	ck_assert_int_eq(things.middle, -1);
	ck_assert_uint_eq(given, 0);
}

TEST(refusals_call_an_option_by_its_letter_if_it_has_one)
{
	static const struct {
		const char *argument, *words;
	} cases[] = {
	    {"--size=3", "-s '3': a number from 0.5 to 2 is needed"},
	    {"--small=0", "--small '0': a whole number from 1 to 65535"},
	    {"--count=three", "--count 'three': one or two is needed"},
	};
	static char err[4096];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct capture capture = capture_begin(STDERR_FILENO);
		const int r = PARSE(cases[i].argument, "--help");

		capture_end(capture, err, sizeof(err));
		ck_assert_int_eq(r, -EINVAL);
		CHECK_LINE(err, cases[i].words);
		ck_assert_str_eq(text, "");
	}
}

TEST(list_is_full_at_its_end)
{
	const char *arguments[OPTION_LIST_MAX + 2] = {0};
	struct capture capture;
	static char err[4096];
	int r;

	for (size_t i = 0; i < OPTION_LIST_MAX; i++)
		arguments[i] = "-bx";
	ck_assert_int_eq(parse(arguments), 1);
	ck_assert_uint_eq(things.boxes.count, OPTION_LIST_MAX);
	arguments[OPTION_LIST_MAX] = "-bone more";
	capture = capture_begin(STDERR_FILENO);
	r = parse(arguments);
	capture_end(capture, err, sizeof(err));
	ck_assert_int_eq(r, -EINVAL);
	CHECK_LINE(err, "-b 'one more': at most 64 are possible");
}

TEST(help_and_version_end_every_table)
{
	ck_assert_int_eq(PARSE("-h"), 0);
	ck_assert_str_eq(text,
			 "Usage: things\n"
			 "\n"
			 "  -l, --loud                be heard\n"
			 "      --red                 be seen\n"
			 "  -n, --name=NAME           what it is called\n"
			 "                            (default: thing)\n"
			 "      --small=N             16 bits\n"
			 "      --middle-of-the-road=N\n"
			 "                            32\n"
			 "      --the-largest-of-them=N\n"
			 "                            64\n"
			 "  -s, --size=M              metres\n"
			 "      --count=COUNT         one or two\n"
			 "  -b, --box=BOX             repeatable\n"
			 "  -h, --help                show this help\n"
			 "      --version             show the version\n");
	ck_assert_int_eq(PARSE("--version", "--small=0"), 0);
	ck_assert_str_eq(text, "things 1\n");
}
