/* SPDX-License-Identifier: MIT
 * Command lines: one table of a program's options drives its parser and its
 * --help. Every error is logged as one line that names the option. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A parser returns this when the program has done its job and should exit; 0 to
 * go on; or a negative errno after it has logged what is wrong: -EINVAL when
 * that is the command line. */
#define OPTION_DONE 1

struct option_row;
/* Sets ROW's field of CONFIG, the program's struct, to TEXT (NULL when the
 * option takes no argument). */
typedef int option_parser(const struct option_row *row, const char *text,
			  void *config);

struct option_row {
	char letter;	  /* -r, or 0 */
	const char *name; /* --rate */
	/* Its name in --help; "[=NAME]": it may be left out, and the parser
	 * gets NULL then; NULL: takes none. */
	const char *argument;
	const char *help; /* "\n" begins another line */
	option_parser *parse;
	size_t offset, size; /* OPTION_FIELD() */
	struct {
		double min, max;
	} limits;		  /* for a number */
	const char *const *names; /* for a choice; NULL at the end */
	int level;		  /* for option_set_level() */
	unsigned tag;		  /* its bit in *ret_given */
};

/* Names FIELD of the program's struct TYPE as the one that a row sets. */
#define OPTION_FIELD(type, field)                                              \
	.offset = offsetof(type, field), .size = sizeof(((type *)NULL)->field)

struct option_table {
	const char *usage;	      /* the beginning of --help */
	void (*print_commands)(void); /* prints the next part, or NULL */
	const char *version;
	const struct option_row *rows; /* without --help and --version */
	size_t count;
};

/* Reads all options into CONFIG, which the caller has filled with the defaults;
 * afterwards argv[optind] is the first argument that is not an option.
 * *ret_given, if not NULL, receives the tags of the options that were given.
 * Returns 1 to go on; 0 when the program has done its job (--help); or -EINVAL
 * after logging what is wrong. */
int options_parse(const struct option_table *table, int argc, char **argv,
		  void *config, unsigned *ret_given);

/* The exit status of a program that could not go on, by what a parser returned:
 * 2 for a command line that is wrong, 1 for any other error, and 0. */
int option_exit_status(int r);

/* Prints an entry of --help: SYNTAX, and HELP in a column of its own. */
void option_print_entry(const char *syntax, const char *help);

/* --- parsers for rows; each names the type of its field --- */

option_parser option_set_flag;	  /* a bool, to true */
option_parser option_set_string;  /* a const char * */
option_parser option_set_integer; /* an integer of 16, 32 or 64 bits */
option_parser option_set_number;  /* a double */
option_parser option_set_choice;  /* an enum, to the index in names */
option_parser option_set_chime;	  /* a const char *: see option_chime() */
option_parser option_add_string;  /* a struct option_list: one more */
option_parser option_set_level;	  /* no field: sets the log's level */

enum { OPTION_LIST_MAX = 64 };

/* The values of an option that may be repeated. */
struct option_list {
	const char *items[OPTION_LIST_MAX];
	unsigned count;
};

/* --- values --- */

/* The next three return 0 and set *ret, or log one line with the option, the
 * value and what is accepted, and return -EINVAL. */
int option_integer(const char *option, const char *text, uint64_t min,
		   uint64_t max, uint64_t *ret);
int option_number(const char *option, const char *text, double min, double max,
		  double *ret);
/* *ret is the index of TEXT in NAMES (NULL at the end). */
int option_choice(const char *option, const char *text,
		  const char *const *names, unsigned *ret);
/* The path of a chime: TEXT itself, or for "default" the path of the chime that
 * is installed with the server. */
const char *option_chime(const char *text);
