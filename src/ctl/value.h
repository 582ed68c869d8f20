/* SPDX-License-Identifier: MIT
 * D-Bus values as a tree that can be looked into and printed as JSON. */
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
	VALUE_DICT, /* array of {s...}: the items have keys */
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

/* Reads the next value of MESSAGE, variants unwrapped. 0 or negative errno;
 * -EOPNOTSUPP for a type that none of our messages has. */
int value_read(struct value *ret, sd_bus_message *message);
/* The same into a new item of DICT, which is one from then on. */
int value_read_item(struct value *dict, sd_bus_message *message,
		    const char *key);
/* Frees what VALUE holds; all zero is fine. */
void value_clear(struct value *value);

/* The item with this key, or NULL. */
const struct value *value_get(const struct value *dict, const char *key);
/* Its value, or "", 0, 0.0 when there is none of that kind. */
const char *value_string(const struct value *dict, const char *key);
uint64_t value_natural(const struct value *dict, const char *key);
int64_t value_integer(const struct value *dict, const char *key);
double value_real(const struct value *dict, const char *key);
bool value_boolean(const struct value *dict, const char *key);

/* In one line without a newline. */
void value_print_json(FILE *file, const struct value *value);
/* The same without the brackets around it. */
void value_print_members(FILE *file, const struct value *value);
/* The strings of LIST, which may be NULL, to stdout, with a blank before each.
 */
void value_print_words(const struct value *list);
