/* SPDX-License-Identifier: MIT
 * No state. */
#include "base/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* --- values --- */

static bool starts_like_a_number(const char *text)
{
	return (*text >= '0' && *text <= '9') || *text == '.';
}

/* strtod() alone would also accept hexadecimal numbers. */
static bool is_decimal(const char *text)
{
	return starts_like_a_number(text) &&
	       text[strspn(text, "0123456789.eE+-")] == '\0';
}

int option_integer(const char *option, const char *text, uint64_t min,
		   uint64_t max, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (!starts_like_a_number(text) || *end || errno || value < min ||
	    value > max) {
		log_error("%s '%s': a whole number from %" PRIu64 " to %" PRIu64
			  " is needed",
			  option, text, min, max);
		return -EINVAL;
	}
	*ret = value;
	return 0;
}

int option_number(const char *option, const char *text, double min, double max,
		  double *ret)
{
	const bool is_signed = min < 0 && (*text == '-' || *text == '+');
	double value;
	char *end;

	errno = 0;
	value = strtod(text, &end);
	if (!is_decimal(text + is_signed) || *end || errno ||
	    !isfinite(value) || value < min || value > max) {
		log_error("%s '%s': a number from %.10g to %.10g is needed",
			  option, text, min, max);
		return -EINVAL;
	}
	*ret = value;
	return 0;
}

int option_choice(const char *option, const char *text,
		  const char *const *names, unsigned *ret)
{
	char all[256] = "";

	for (unsigned i = 0; names[i]; i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret = i;
			return 0;
		}
		if (i > 0)
			strncat(all, names[i + 1] ? ", " : " or ",
				sizeof(all) - strlen(all) - 1);
		strncat(all, names[i], sizeof(all) - strlen(all) - 1);
	}
	log_error("%s '%s': %s is needed", option, text, all);
	return -EINVAL;
}

const char *option_chime(const char *text)
{
	return strcmp(text, "default") == 0 ? CHIME_DEFAULT_PATH : text;
}

/* --- rows --- */

struct label {
	char text[64];
};

/* How an error message names the option: by its letter, when it has one. */
static struct label label_of(const struct option_row *row)
{
	struct label label;

	if (row->letter)
		snprintf(label.text, sizeof(label.text), "-%c", row->letter);
	else
		snprintf(label.text, sizeof(label.text), "--%s", row->name);
	return label;
}

static void *field_of(const struct option_row *row, void *config)
{
	return (char *)config + row->offset;
}

int option_set_flag(const struct option_row *row, const char *text,
		    void *config)
{
	assert(row->size == sizeof(bool));
	*(bool *)field_of(row, config) = true;
	return 0;
}

int option_set_string(const struct option_row *row, const char *text,
		      void *config)
{
	assert(row->size == sizeof(const char *));
	*(const char **)field_of(row, config) = text;
	return 0;
}

int option_set_integer(const struct option_row *row, const char *text,
		       void *config)
{
	void *field = field_of(row, config);
	uint64_t value;
	int r =
	    option_integer(label_of(row).text, text, (uint64_t)row->limits.min,
			   (uint64_t)row->limits.max, &value);

	if (r < 0)
		return r;
	if (row->size == sizeof(uint16_t))
		*(uint16_t *)field = (uint16_t)value;
	else if (row->size == sizeof(uint32_t))
		*(uint32_t *)field = (uint32_t)value;
	else if (row->size == sizeof(uint64_t))
		*(uint64_t *)field = value;
	else
		assert(!"a field of another size");
	return 0;
}

int option_set_number(const struct option_row *row, const char *text,
		      void *config)
{
	assert(row->size == sizeof(double));
	return option_number(label_of(row).text, text, row->limits.min,
			     row->limits.max, field_of(row, config));
}

int option_set_choice(const struct option_row *row, const char *text,
		      void *config)
{
	assert(row->size == sizeof(unsigned));
	return option_choice(label_of(row).text, text, row->names,
			     field_of(row, config));
}

int option_set_chime(const struct option_row *row, const char *text,
		     void *config)
{
	return option_set_string(row, option_chime(text), config);
}

int option_add_string(const struct option_row *row, const char *text,
		      void *config)
{
	struct option_list *list = field_of(row, config);

	assert(row->size == sizeof(*list));
	if (list->count == OPTION_LIST_MAX) {
		log_error("%s '%s': at most %d are possible",
			  label_of(row).text, text, OPTION_LIST_MAX);
		return -EINVAL;
	}
	list->items[list->count++] = text;
	return 0;
}

int option_set_level(const struct option_row *row, const char *text,
		     void *config)
{
	log_set_level(row->level);
	return 0;
}

/* --- the table --- */

enum {
	ROWS_MAX = 64,
	LONG_OPTION = 256, /* getopt_long() returns this plus the row's index */
	HELP_COLUMN = 28,
};

/* The last two rows of every table; parse_row() carries them out. */
static const struct option_row help_row = {'h', "help",
					   .help = "show this help"};
static const struct option_row version_row = {0, "version",
					      .help = "show the version"};

/* Row N, or NULL after the last one. */
static const struct option_row *row_at(const struct option_table *table,
				       size_t n)
{
	if (n < table->count)
		return &table->rows[n];
	if (n == table->count)
		return &help_row;
	return n == table->count + 1 ? &version_row : NULL;
}

void option_print_entry(const char *syntax, const char *help)
{
	const int width = HELP_COLUMN - 2;

	printf("  %-*s", width, syntax);
	if (strlen(syntax) >= (size_t)width)
		printf("\n%*s", HELP_COLUMN, "");
	for (; *help; help++) {
		putchar(*help);
		if (*help == '\n')
			printf("%*s", HELP_COLUMN, "");
	}
	putchar('\n');
}

static bool may_be_left_out(const struct option_row *row)
{
	return row->argument && strncmp(row->argument, "[=", 2) == 0;
}

static void print_row(const struct option_row *row)
{
	char syntax[128], letter[] = "    ";

	if (row->letter)
		snprintf(letter, sizeof(letter), "-%c, ", row->letter);
	snprintf(syntax, sizeof(syntax), "%s--%s%s%s", letter, row->name,
		 row->argument && !may_be_left_out(row) ? "=" : "",
		 row->argument ? row->argument : "");
	option_print_entry(syntax, row->help);
}

static void print_help(const struct option_table *table)
{
	const struct option_row *row;

	fputs(table->usage, stdout);
	if (table->print_commands)
		table->print_commands();
	for (size_t i = 0; (row = row_at(table, i)); i++)
		print_row(row);
}

/* The table in the form that getopt_long() takes. */
struct getopt_rows {
	struct option options[ROWS_MAX + 1];
	char letters[2 * ROWS_MAX + 2];
};

static void fill_getopt_rows(struct getopt_rows *ret,
			     const struct option_table *table)
{
	const struct option_row *row;
	char *letter = ret->letters;

	*ret = (struct getopt_rows){0};
	*letter++ = ':'; /* tells a missing argument by ':' */
	for (int i = 0; (row = row_at(table, (size_t)i)); i++) {
		assert(i < ROWS_MAX);
		ret->options[i].name = row->name;
		ret->options[i].has_arg = may_be_left_out(row)
					      ? optional_argument
					  : row->argument ? required_argument
							  : no_argument;
		ret->options[i].val = LONG_OPTION + i;
		if (row->letter)
			*letter++ = row->letter;
		if (row->letter && row->argument)
			*letter++ = ':';
	}
}

/* The row that belongs to a result of getopt_long(), or NULL. */
static const struct option_row *find_row(const struct option_table *table,
					 int option)
{
	const struct option_row *row;

	if (option >= LONG_OPTION)
		return row_at(table, (size_t)(option - LONG_OPTION));
	for (size_t i = 0; (row = row_at(table, i)); i++)
		if (row->letter == option)
			return row;
	return NULL;
}

static int parse_row(const struct option_table *table,
		     const struct option_row *row, const char *text,
		     void *config)
{
	if (row == &help_row)
		print_help(table);
	else if (row == &version_row)
		puts(table->version);
	else
		return row->parse(row, text, config);
	return OPTION_DONE;
}

/* An option that prints something instead of a run has to have printed it. */
static int flush_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	log_error("Cannot write to standard output: %s", strerror(errno));
	return -EIO;
}

/* Whether TEXT, "--NAME" or "--NAME=VALUE", could be short for an option. */
static bool begins_a_name(const struct option_table *table, const char *text)
{
	const struct option_row *row;

	text += 2;
	for (size_t i = 0; (row = row_at(table, i)); i++)
		if (strncmp(row->name, text, strcspn(text, "=")) == 0)
			return true;
	return false;
}

/* Logs why getopt_long() returned RESULT. Then optopt is a letter or
 * LONG_OPTION plus an index; or 0, and the long option before argv[optind] is
 * unknown. */
static void log_refusal(const struct option_table *table, int result,
			char **argv)
{
	const struct option_row *row = optopt ? find_row(table, optopt) : NULL;
	const char *text = argv[optind - 1];
	char problem[256];

	if (row && result == ':')
		snprintf(problem, sizeof(problem), "--%s needs an argument, %s",
			 row->name, row->argument);
	else if (row)
		snprintf(problem, sizeof(problem), "--%s takes no argument",
			 row->name);
	else if (optopt)
		snprintf(problem, sizeof(problem), "'-%c' is not an option",
			 optopt);
	else
		snprintf(problem, sizeof(problem), "'%s' is %s", text,
			 begins_a_name(table, text) ? "ambiguous"
						    : "not an option");
	log_error("%s; %s --help lists the options", problem,
		  program_invocation_short_name);
}

int options_parse(const struct option_table *table, int argc, char **argv,
		  void *config, unsigned *ret_given)
{
	struct getopt_rows rows;
	unsigned given = 0;
	int option;

	fill_getopt_rows(&rows, table);
	opterr = 0;
	while ((option = getopt_long(argc, argv, rows.letters, rows.options,
				     NULL)) != -1) {
		const struct option_row *row = find_row(table, option);
		int r;

		if (!row) {
			log_refusal(table, option, argv);
			return -EINVAL;
		}
		r = parse_row(table, row, optarg, config);
		if (r == OPTION_DONE)
			return flush_output();
		if (r < 0)
			return r;
		given |= row->tag;
	}
	if (ret_given)
		*ret_given = given;
	return 1;
}

int option_exit_status(int r)
{
	if (r >= 0)
		return EXIT_SUCCESS;
	return r == -EINVAL ? 2 : EXIT_FAILURE;
}
