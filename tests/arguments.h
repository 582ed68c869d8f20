/* SPDX-License-Identifier: MIT
 * A command line as a test writes it: parsed, taken or refused. */
#pragma once

#include <check.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "capture.h"

enum { ARGUMENTS_MAX = 160 };

/* What the last command line wrote. */
static char out[16384], err[16384];

/* The program's own: the test has it. */
static int parse_arguments(int argc, char **argv);

/* The strings stay until the next time, since options may point to them. */
static inline int parse(const char *const *arguments)
{
	static char *strings[ARGUMENTS_MAX];
	static char name[] = "program";
	char *argv[ARGUMENTS_MAX + 2] = {name};
	struct capture standard = capture_begin(STDOUT_FILENO);
	struct capture error = capture_begin(STDERR_FILENO);
	int argc = 1, r;

	for (int i = 0; arguments[i]; i++) {
		ck_assert_int_lt(i, ARGUMENTS_MAX);
		free(strings[i]);
		strings[i] = strdup(arguments[i]);
		ck_assert_ptr_nonnull(strings[i]);
		argv[argc++] = strings[i];
	}
	optind = 0; /* begin anew, getopt(3) */
	log_set_level(LOG_INFO);
	r = parse_arguments(argc, argv);
	capture_end(error, err, sizeof(err));
	capture_end(standard, out, sizeof(out));
	return r;
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static inline void check_taken(const char *option, const char *value)
{
	ck_assert_msg(PARSE(option, value) == 1, "%s %s: %s", option, value,
		      err);
	ck_assert_str_eq(err, "");
	ck_assert_str_eq(out, "");
}

/* Refused with the option, the value and what is accepted. */
static inline void check_refused(const char *option, const char *value,
				 const char *accepted)
{
	char quoted[512];

	snprintf(quoted, sizeof(quoted), "%s '%s': ", option, value);
	ck_assert_int_eq(PARSE(option, value), -EINVAL);
	check_line(err, (const char *const[]){quoted, accepted, NULL});
	ck_assert_str_eq(out, "");
}
