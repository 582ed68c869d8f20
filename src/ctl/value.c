/* SPDX-License-Identifier: MIT
 * Depth is bounded by D-Bus itself (32 arrays, 32 structs). */
#include "ctl/value.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/util.h"

static struct value *add_item(struct value *list)
{
	struct value *items =
	    realloc(list->items, (list->count + 1) * sizeof(*items));

	if (!items)
		return NULL;
	list->items = items;
	items[list->count] = (struct value){0};
	return &items[list->count++];
}

static int set_string(struct value *value, const char *text)
{
	value->kind = VALUE_STRING;
	value->u.string = strdup(text);
	return value->u.string ? 0 : -ENOMEM;
}

static int read_natural(struct value *ret, sd_bus_message *m, char type)
{
	union {
		uint8_t byte;
		uint16_t u16;
		uint32_t u32;
		uint64_t u64;
	} basic = {0};
	int r = sd_bus_message_read_basic(m, type, &basic);

	ret->kind = VALUE_UINT;
	ret->u.natural = type == 'y'   ? basic.byte
			 : type == 'q' ? basic.u16
			 : type == 'u' ? basic.u32
				       : basic.u64;
	return r;
}

static int read_integer(struct value *ret, sd_bus_message *m, char type)
{
	union {
		int16_t i16;
		int32_t i32;
		int64_t i64;
	} basic = {0};
	int r = sd_bus_message_read_basic(m, type, &basic);

	ret->kind = VALUE_INT;
	ret->u.integer = type == 'n'   ? basic.i16
			 : type == 'i' ? basic.i32
				       : basic.i64;
	return r;
}

static int read_bool(struct value *ret, sd_bus_message *m)
{
	int boolean = 0, r = sd_bus_message_read_basic(m, 'b', &boolean);

	ret->kind = VALUE_BOOL;
	ret->u.boolean = boolean;
	return r;
}

static int read_basic(struct value *ret, sd_bus_message *m, char type)
{
	const char *text = "";
	int r;

	switch (type) {
	case 'y':
	case 'q':
	case 'u':
	case 't':
		return read_natural(ret, m, type);
	case 'n':
	case 'i':
	case 'x':
		return read_integer(ret, m, type);
	case 'b':
		return read_bool(ret, m);
	case 'd':
		ret->kind = VALUE_DOUBLE;
		return sd_bus_message_read_basic(m, 'd', &ret->u.real);
	case 's':
	case 'o':
	case 'g':
		r = sd_bus_message_read_basic(m, type, &text);
		return r < 0 ? r : set_string(ret, text);
	default:
		return -EOPNOTSUPP;
	}
}

static int read_entry(struct value *item, sd_bus_message *m, const char *type)
{
	const char *key;
	int r = sd_bus_message_enter_container(m, 'e', type);

	if (r >= 0)
		r = sd_bus_message_read_basic(m, 's', &key);
	if (r >= 0) {
		item->key = strdup(key);
		r = item->key ? value_read(item, m) : -ENOMEM;
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* All items of the container that was entered. */
static int read_items(struct value *ret, sd_bus_message *m)
{
	while (sd_bus_message_at_end(m, 0) == 0) {
		struct value *item = add_item(ret);
		const char *contents;
		char type;
		int r = item ? sd_bus_message_peek_type(m, &type, &contents)
			     : -ENOMEM;

		if (r < 0)
			return r;
		r = type == 'e' ? read_entry(item, m, contents)
				: value_read(item, m);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_container(struct value *ret, sd_bus_message *m, char type,
			  const char *contents)
{
	int r;

	ret->kind = type == 'a' && *contents == '{' ? VALUE_DICT : VALUE_LIST;
	r = sd_bus_message_enter_container(m, type, contents);
	if (r < 0)
		return r;
	r = type == 'v' ? value_read(ret, m) : read_items(ret, m);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* Keeps the key; what is half-read on failure is freed by value_clear(). */
static int read_value(struct value *ret, sd_bus_message *m)
{
	const char *contents;
	char type;
	int r = sd_bus_message_peek_type(m, &type, &contents);

	if (r < 0)
		return r;
	if (r == 0)
		return -ENODATA;
	if (type == 'a' || type == 'r' || type == 'v')
		return read_container(ret, m, type, contents);
	return read_basic(ret, m, type);
}

int value_read(struct value *ret, sd_bus_message *m)
{
	int r = read_value(ret, m);

	return r < 0 ? r : 0;
}

int value_read_item(struct value *dict, sd_bus_message *m, const char *key)
{
	struct value *item = add_item(dict);

	dict->kind = VALUE_DICT;
	if (!item)
		return -ENOMEM;
	item->key = strdup(key);
	return item->key ? value_read(item, m) : -ENOMEM;
}

void value_clear(struct value *value)
{
	for (size_t i = 0; i < value->count; i++)
		value_clear(&value->items[i]);
	free(value->items);
	free(value->key);
	if (value->kind == VALUE_STRING)
		free(value->u.string);
	*value = (struct value){0};
}

/* --- looking --- */

const struct value *value_get(const struct value *dict, const char *key)
{
	for (size_t i = 0; i < dict->count; i++)
		if (dict->items[i].key && strcmp(dict->items[i].key, key) == 0)
			return &dict->items[i];
	return NULL;
}

const char *value_text(const struct value *value)
{
	return value->kind == VALUE_STRING ? value->u.string : "";
}

static const struct value *get_kind(const struct value *dict, const char *key,
				    enum value_kind kind)
{
	const struct value *value = value_get(dict, key);

	return value && value->kind == kind ? value : NULL;
}

const char *value_string(const struct value *dict, const char *key)
{
	const struct value *value = get_kind(dict, key, VALUE_STRING);

	return value ? value->u.string : "";
}

uint64_t value_natural(const struct value *dict, const char *key)
{
	const struct value *value = get_kind(dict, key, VALUE_UINT);

	return value ? value->u.natural : 0;
}

int64_t value_integer(const struct value *dict, const char *key)
{
	const struct value *value = get_kind(dict, key, VALUE_INT);

	return value ? value->u.integer : 0;
}

double value_real(const struct value *dict, const char *key)
{
	const struct value *value = get_kind(dict, key, VALUE_DOUBLE);

	return value ? value->u.real : 0;
}

bool value_boolean(const struct value *dict, const char *key)
{
	const struct value *value = get_kind(dict, key, VALUE_BOOL);

	return value && value->u.boolean;
}

/* --- JSON --- */

/* The bus has made sure that it is UTF-8. */
void json_print_string(FILE *file, const char *text)
{
	fputc('"', file);
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\')
			fprintf(file, "\\%c", *c);
		else if (*c < 0x20 || *c == 0x7f)
			fprintf(file, "\\u%04x", *c);
		else
			fputc(*c, file);
	}
	fputc('"', file);
}

static void print_items(FILE *file, const struct value *value)
{
	bool dict = value->kind == VALUE_DICT;

	fputc(dict ? '{' : '[', file);
	for (size_t i = 0; i < value->count; i++) {
		if (i > 0)
			fputc(',', file);
		if (dict) {
			json_print_string(file, value->items[i].key);
			fputc(':', file);
		}
		value_print_json(file, &value->items[i]);
	}
	fputc(dict ? '}' : ']', file);
}

void value_print_json(FILE *file, const struct value *value)
{
	switch (value->kind) {
	case VALUE_BOOL:
		fputs(value->u.boolean ? "true" : "false", file);
		break;
	case VALUE_INT:
		fprintf(file, "%" PRId64, value->u.integer);
		break;
	case VALUE_UINT:
		fprintf(file, "%" PRIu64, value->u.natural);
		break;
	case VALUE_DOUBLE:
		if (isfinite(value->u.real))
			fprintf(file, "%.12g", value->u.real);
		else
			fputs("null", file);
		break;
	case VALUE_STRING:
		json_print_string(file, value->u.string);
		break;
	case VALUE_LIST:
	case VALUE_DICT:
		print_items(file, value);
		break;
	}
}
