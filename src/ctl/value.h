/* SPDX-License-Identifier: MIT
 * D-Bus values as a tree, to be searched and printed as JSON. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <systemd/sd-bus.h>

enum value_kind {
	VALUE_BOOL,
	VALUE_INT,
	VALUE_UINT,
	VALUE_DOUBLE,
	VALUE_STRING,
	VALUE_LIST, /* array or struct */
	VALUE_DICT, /* array of {s...}: its items have keys */
};

struct value {
	enum value_kind kind;
	char *key; /* in a dictionary, else NULL */
	union {
		bool boolean;
		int64_t integer;
		uint64_t natural;
		double real;
		char *string;
	} u;
	struct value *items;
	size_t count;
};

/* Reads the next value of MESSAGE into *ret, unwrapping variants. *ret must be
 * empty, and the caller clears it, also on error. 0; -EOPNOTSUPP for a file
 * descriptor; or another negative errno. */
int value_read(struct value *ret, sd_bus_message *message);
/* The same into a new item of DICT, which may start empty. */
int value_read_item(struct value *dict, sd_bus_message *message,
		    const char *key);
/* Frees all that VALUE holds and empties it. */
void value_clear(struct value *value);

/* The item with this key, which stays DICT's, or NULL. */
const struct value *value_get(const struct value *dict, const char *key);
/* The value of that item; "", 0, 0.0 or false without one of that kind. */
const char *value_string(const struct value *dict, const char *key);
uint64_t value_natural(const struct value *dict, const char *key);
int64_t value_integer(const struct value *dict, const char *key);
double value_real(const struct value *dict, const char *key);
bool value_boolean(const struct value *dict, const char *key);

/* Prints VALUE as JSON, in one line without a newline. */
void value_print_json(FILE *file, const struct value *value);
/* The same for the items of a list or a dictionary, without the brackets. */
void value_print_members(FILE *file, const struct value *value);
/* Prints the strings of LIST (or NULL) to stdout, each after a blank. */
void value_print_words(const struct value *list);
