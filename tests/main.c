/* SPDX-License-Identifier: MIT
 * Runs the tests of a program in the order of its source. */
#include <limits.h>

#include "test.h"

static struct {
	const TTest *test;
	int begin, end;
} tests[256];
static size_t count;

/* For programs that define no others. */
__attribute__((weak)) const SFun test_setup, test_teardown;
__attribute__((weak)) const int test_time_limit;

void test_add(const TTest *test, int begin, int end)
{
	size_t i;

	/* Constructors may be called in any order. */
	if (count == ARRAY_SIZE(tests))
		abort();
	for (i = count++; i > 0 && tests[i - 1].test->line > test->line; i--)
		tests[i] = tests[i - 1];
	tests[i].test = test;
	tests[i].begin = begin;
	tests[i].end = end;
}

const char *test_environment(const char *name)
{
	const char *value = getenv(name);

	ck_assert_msg(value != NULL, "$%s is not set: see make check", name);
	return value;
}

/* Alone: alsa.conf tells why. */
void use_alsa_conf(const char *path)
{
	char own[PATH_MAX];

	snprintf(own, sizeof(own), "%s/tests/alsa.conf",
		 test_environment("SRCDIR"));
	setenv("ALSA_CONFIG_PATH", own, 1);
	setenv("INTERCOM_ALSA_CONF", path, 1);
}

/* Whether a line of the file that $INTERCOM_TEST_LEAVE_OUT names begins with
 * this suite and this test. */
static bool is_left_out(const char *suite, const char *test)
{
	const char *path = getenv("INTERCOM_TEST_LEAVE_OUT");
	FILE *f = path ? fopen(path, "re") : NULL;
	char line[256], words[2][64];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%63s %63s", words[0], words[1]) == 2 &&
			strcmp(words[0], suite) == 0 &&
			strcmp(words[1], test) == 0;
	if (f)
		fclose(f);
	return found;
}

int main(void)
{
	const char *dash = strchr(program_invocation_short_name, '-');
	const char *name = dash ? dash + 1 : program_invocation_short_name;
	Suite *suite = suite_create(name);
	SRunner *runner = srunner_create(suite);
	TCase *tcase;
	int failed;

	/* The machine may be busy: libcheck's own limit is 4 s. */
	setenv("CK_DEFAULT_TIMEOUT", "120", 0);
	tcase = tcase_create(name);
	tcase_add_checked_fixture(tcase, test_setup, test_teardown);
	if (test_time_limit)
		tcase_set_timeout(tcase, test_time_limit);
	for (size_t i = 0; i < count; i++) {
		if (is_left_out(name, tests[i].test->name))
			continue;
		tcase_add_loop_test(tcase, tests[i].test, tests[i].begin,
				    tests[i].end);
	}
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
