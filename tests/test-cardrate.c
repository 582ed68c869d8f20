/* SPDX-License-Identifier: MIT
 * What is kept of cards, in a state directory of the test's own. */
#include "client/cardrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "folder.h"
#include "test.h"

#define NAME "card-rate-hw%3A1"
#define HEAD "intercom-card-rate 1 ppm="

static void setup(void)
{
	folder_setup("cardrate");
	setenv("STATE_DIRECTORY", folder, 1);
}

FIXTURE(setup, folder_teardown);

static void put(const char *text)
{
	put_file(NAME, text, strlen(text));
}

TEST(what_is_kept_comes_back)
{
	ck_assert_double_eq(cardrate_load("hw:1"), 0);
	cardrate_save("hw:1", 1 + 99.25e-6);
	ck_assert_double_eq_tol(cardrate_load("hw:1"), 1 + 99.25e-6, 1e-12);
	ck_assert_double_eq(cardrate_load("hw:2"), 0);
	cardrate_save("hw:1", 1 - 100e-6);
	ck_assert_double_eq_tol(cardrate_load("hw:1"), 1 - 100e-6, 1e-12);
	ck_assert(file_exists(NAME));
	ck_assert_int_eq(count_files(NULL), 1);
}

TEST(the_same_is_not_written_again)
{
	put(HEAD "50.1\n");
	cardrate_save("hw:1", 1 + 50.4e-6);
	check_bytes(NAME, HEAD "50.1\n", strlen(HEAD "50.1\n"));
}

static const char *const nonsense[] = {
    "",
    "\n",
    HEAD,
    HEAD "\n",
    HEAD "1",
    HEAD "1 2\n",
    HEAD "nan\n",
    HEAD "inf\n",
    HEAD "1000\n",
    HEAD "-1e300\n",
    "intercom-card-rate 2 ppm=1\n",
    HEAD "0.00000000000000000000000000000000000000000000000000000000000\n",
    "0123456789012345678901234567890123456789012345678901234567890123456789\n",
};

TEST_LOOP(what_is_no_rate_is_none, 0, 13)
{
	put(nonsense[_i]);
	ck_assert_double_eq(cardrate_load("hw:1"), 0);
	cardrate_save("hw:1", 1 + 20e-6);
	ck_assert_double_eq_tol(cardrate_load("hw:1"), 1 + 20e-6, 1e-12);
}

TEST(a_rate_that_no_card_has_is_not_kept)
{
	cardrate_save("hw:1", 1.01);
	cardrate_save("hw:1", 0);
	ck_assert_int_eq(count_files(NULL), 0);
}

TEST(a_name_cannot_leave_the_folder)
{
	char longest[512];

	cardrate_save("../a/b\n\xff", 1.0001);
	ck_assert_int_eq(count_files(NULL), 1);
	ck_assert(file_exists("card-rate-%2E%2E%2Fa%2Fb%0A%FF"));
	ck_assert_double_eq_tol(cardrate_load("../a/b\n\xff"), 1.0001, 1e-12);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	cardrate_save(longest, 1.0001);
	ck_assert_double_eq(cardrate_load(longest), 0);
	ck_assert_int_eq(count_files(NULL), 1);
}

TEST(a_link_is_not_followed)
{
	char target[PATH_MAX];

	put_file("target", HEAD "1\n", strlen(HEAD "1\n"));
	snprintf(target, sizeof(target), "%s", path_of("target"));
	ck_assert_int_eq(symlink(target, path_of(NAME)), 0);
	ck_assert_double_eq(cardrate_load("hw:1"), 0);
}

TEST(without_a_folder_nothing_is_kept)
{
	unsetenv("STATE_DIRECTORY");
	unsetenv("XDG_STATE_HOME");
	unsetenv("HOME");
	cardrate_save("hw:1", 1.0001);
	ck_assert_double_eq(cardrate_load("hw:1"), 0);
	setenv("STATE_DIRECTORY", "/proc/nowhere", 1);
	cardrate_save("hw:1", 1.0001);
	ck_assert_double_eq(cardrate_load("hw:1"), 0);
}
