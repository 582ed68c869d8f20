/* SPDX-License-Identifier: MIT
 * Command lines: a program's options are one table, from which its parser and
 * its --help come. Every refusal is one line that names option and value. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What a parser returns when the program has done what was asked of it; to go
 * on it returns 0, and after a refusal -EINVAL. */
#define OPTION_DONE 1

struct option_row;
/* Sets what ROW says in CONFIG, the program's struct, to TEXT (NULL when the
 * option takes no argument). */
typedef int option_parser(const struct option_row *row, const char *text,
			  void *config);

struct option_row {
	char letter;	      /* -r, or 0 */
	const char *name;     /* --rate */
	const char *argument; /* as --help calls it, or NULL: it takes none */
	const char *help;     /* "\n" begins another line */
	option_parser *parse;
	size_t offset, size; /* OPTION_FIELD() */
	struct {
		double min, max;
	} limits;		  /* of a number */
	const char *const *names; /* of a choice; NULL at the end */
	int level;		  /* of the log */
	unsigned tag;		  /* a bit that says that it was given */
};

/* The FIELD of the program's struct TYPE that a row sets. */
#define OPTION_FIELD(type, field)                                              \
	.offset = offsetof(type, field), .size = sizeof(((type *)NULL)->field)

struct option_table {
	const char *usage;	      /* what --help begins with */
	void (*print_commands)(void); /* what follows it, or NULL */
	const char *version;
	const struct option_row *rows; /* --help and --version come after */
	size_t count;
};

/* Reads all options into CONFIG, which starts as the defaults; afterwards
 * argv[optind] is the first argument that is none. *ret_given, unless it is
 * NULL, becomes the tags of those that were given. Returns 1 to go on; 0 when
 * the program has done what was asked; or -EINVAL after a refusal. */
int options_parse(const struct option_table *table, int argc, char **argv,
		  void *config, unsigned *ret_given);

/* An entry of --help: what to type, and in a column of its own what it does. */
void option_print_entry(const char *syntax, const char *help);

/* --- what rows parse with --- */

option_parser option_set_flag;	  /* a bool, to true */
option_parser option_set_string;  /* a const char * */
option_parser option_set_integer; /* of 16, 32 or 64 bits */
option_parser option_set_number;  /* a double */
option_parser option_set_choice;  /* an enum, to the index of the name */
option_parser option_set_chime;	  /* a const char *: see option_chime() */
option_parser option_add_string;  /* a struct option_list: one more */
option_parser option_set_level;	  /* no field: the log's level */

enum { OPTION_LIST_MAX = 64 };

/* Of an option that may be given again and again. */
struct option_list {
	const char *items[OPTION_LIST_MAX];
	unsigned count;
};

/* --- values --- */

/* Each returns 0 and sets *ret, or logs one line that names the option, the
 * value and what is accepted, and returns -EINVAL. */
int option_integer(const char *option, const char *text, uint64_t min,
		   uint64_t max, uint64_t *ret);
int option_number(const char *option, const char *text, double min, double max,
		  double *ret);
/* One of NAMES (NULL at the end): *ret is its index. */
int option_choice(const char *option, const char *text,
		  const char *const *names, unsigned *ret);
/* The chime's path: TEXT itself, or that of the chime that comes with the
 * server for "default". */
const char *option_chime(const char *text);
