/* SPDX-License-Identifier: MIT
 * Recurses without a limit of its own: D-Bus bounds the depth of a message. */
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

static int set_integer(struct value *ret, int64_t integer)
{
	ret->kind = VALUE_INT;
	ret->u.integer = integer;
	return 0;
}

static int set_natural(struct value *ret, uint64_t natural)
{
	ret->kind = VALUE_UINT;
	ret->u.natural = natural;
	return 0;
}

static int set_string(struct value *ret, const char *text)
{
	ret->kind = VALUE_STRING;
	ret->u.string = strdup(text);
	return ret->u.string ? 0 : -ENOMEM;
}

static int read_basic(struct value *ret, sd_bus_message *m, char type)
{
	union {
		uint8_t y;
		uint16_t q;
		uint32_t u;
		uint64_t t;
		int16_t n;
		int32_t i;
		int64_t x;
		int b;
		double d;
		const char *s;
	} basic;
	int r = type == 'h' ? -EOPNOTSUPP
			    : sd_bus_message_read_basic(m, type, &basic);

	if (r < 0)
		return r;
	switch (type) {
	case 'y':
		return set_natural(ret, basic.y);
	case 'q':
		return set_natural(ret, basic.q);
	case 'u':
		return set_natural(ret, basic.u);
	case 't':
		return set_natural(ret, basic.t);
	case 'n':
		return set_integer(ret, basic.n);
	case 'i':
		return set_integer(ret, basic.i);
	case 'x':
		return set_integer(ret, basic.x);
	case 'b':
		ret->kind = VALUE_BOOL;
		ret->u.boolean = basic.b;
		return 0;
	case 'd':
		ret->kind = VALUE_DOUBLE;
		ret->u.real = basic.d;
		return 0;
	default: /* s, o, g */
		return set_string(ret, basic.s);
	}
}

static int read_keyed(struct value *item, sd_bus_message *m, const char *key)
{
	item->key = strdup(key);
	return item->key ? value_read(item, m) : -ENOMEM;
}

static int read_entry(struct value *item, sd_bus_message *m, const char *type)
{
	const char *key;
	int r = sd_bus_message_enter_container(m, 'e', type);

	if (r >= 0)
		r = sd_bus_message_read_basic(m, 's', &key);
	if (r >= 0)
		r = read_keyed(item, m, key);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* Reads all items of the container that was entered. */
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

/* Keeps the key. On failure leaves *ret half-read, for value_clear(). */
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
	return item ? read_keyed(item, m, key) : -ENOMEM;
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

/* The item with this key if it is of this kind, or an item that is all zero. */
static const struct value *get_kind(const struct value *dict, const char *key,
				    enum value_kind kind)
{
	static const struct value none;
	const struct value *value = value_get(dict, key);

	return value && value->kind == kind ? value : &none;
}

const char *value_string(const struct value *dict, const char *key)
{
	const char *text = get_kind(dict, key, VALUE_STRING)->u.string;

	return text ? text : "";
}

uint64_t value_natural(const struct value *dict, const char *key)
{
	return get_kind(dict, key, VALUE_UINT)->u.natural;
}

int64_t value_integer(const struct value *dict, const char *key)
{
	return get_kind(dict, key, VALUE_INT)->u.integer;
}

double value_real(const struct value *dict, const char *key)
{
	return get_kind(dict, key, VALUE_DOUBLE)->u.real;
}

bool value_boolean(const struct value *dict, const char *key)
{
	return get_kind(dict, key, VALUE_BOOL)->u.boolean;
}

void value_print_words(const struct value *list)
{
	for (size_t i = 0; list && i < list->count; i++)
		if (list->items[i].kind == VALUE_STRING)
			printf(" %s", list->items[i].u.string);
}

/* --- JSON --- */

/* The bus guarantees UTF-8. */
static void print_string(FILE *file, const char *text)
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

void value_print_members(FILE *file, const struct value *value)
{
	for (size_t i = 0; i < value->count; i++) {
		if (i > 0)
			fputc(',', file);
		if (value->kind == VALUE_DICT) {
			print_string(file, value->items[i].key);
			fputc(':', file);
		}
		value_print_json(file, &value->items[i]);
	}
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
		print_string(file, value->u.string);
		break;
	case VALUE_LIST:
		fputc('[', file);
		value_print_members(file, value);
		fputc(']', file);
		break;
	case VALUE_DICT:
		fputc('{', file);
		value_print_members(file, value);
		fputc('}', file);
		break;
	}
}
