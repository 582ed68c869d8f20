/* SPDX-License-Identifier: MIT
 * Parses a command line in a test and checks that it is accepted or refused. */
#pragma once

#include <getopt.h>

#include "base/log.h"
#include "capture.h"

enum { ARGUMENTS_MAX = 160 };

/* What parsing the last command line printed. */
static char out[16384], err[16384];

/* The parser of the program under test; the test defines it. */
static int parse_arguments(int argc, char **argv);

/* The strings are kept until the next call, since options may point to them. */
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

/* The refusal names the option, the value and the accepted values. */
static inline void check_refused(const char *option, const char *value,
				 const char *accepted)
{
	char quoted[512];

	snprintf(quoted, sizeof(quoted), "%s '%s': ", option, value);
	ck_assert_int_eq(PARSE(option, value), -EINVAL);
	CHECK_LINE(err, quoted, accepted);
	ck_assert_str_eq(out, "");
}

/* An option that takes a number, and values at its limits. */
struct edges {
	const char *option, *below, *least, *most, *beyond, *accepted;
};

static inline void check_edges(const struct edges *edges, size_t count)
{
	for (const struct edges *e = edges; e < edges + count; e++) {
		check_taken(e->option, e->least);
		check_taken(e->option, e->most);
		check_refused(e->option, e->below, e->accepted);
		check_refused(e->option, e->beyond, e->accepted);
	}
}
