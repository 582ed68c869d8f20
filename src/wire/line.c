/* SPDX-License-Identifier: MIT
 * Strict in what it reads: one space between two fields, no field without a
 * key, no byte beyond ASCII. */
#include "wire/line.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

/* Not isalnum() and the like: they depend on the locale. */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c) || c == '_';
}

static bool is_plain(char c)
{
	return c > ' ' && c <= '~' && c != '%' && c != '=';
}

/* --- reading --- */

int line_open(struct line_reader *reader, const char *line, size_t size,
	      const char *head)
{
	const size_t length = strlen(head);

	if (size > LINE_SIZE_MAX || size < length + 1 ||
	    memcmp(line, head, length) != 0 || line[size - 1] != '\n')
		return -EBADMSG;
	*reader = (struct line_reader){line + length, line + size - 1};
	return 0;
}

static int read_key(struct line_reader *reader, char key[LINE_KEY_SIZE])
{
	size_t length = 0;

	while (reader->at < reader->end && is_key_char(*reader->at)) {
		if (length == LINE_KEY_SIZE - 1)
			return -EBADMSG;
		key[length++] = *reader->at++;
	}
	key[length] = '\0';
	if (length == 0 || reader->at == reader->end || *reader->at != '=')
		return -EBADMSG;
	reader->at++;
	return 0;
}

static int read_value(struct line_reader *reader, char value[LINE_SIZE_MAX])
{
	size_t length = 0;

	while (reader->at < reader->end && *reader->at != ' ') {
		char c = *reader->at++;

		if (c == '%') {
			/* The newline behind the end is no digit. */
			const int byte = hex_byte(reader->at);

			if (byte <= 0)
				return -EBADMSG;
			reader->at += 2;
			c = (char)byte;
		} else if (!is_plain(c)) {
			return -EBADMSG;
		}
		value[length++] = c; /* a line is no longer than VALUE */
	}
	value[length] = '\0';
	return 1;
}

int line_next(struct line_reader *reader, struct line_field *ret)
{
	if (reader->at == reader->end)
		return 0;
	if (*reader->at++ != ' ' || read_key(reader, ret->key) < 0)
		return -EBADMSG;
	return read_value(reader, ret->value);
}

int line_number(const char *value, uint64_t *ret)
{
	uint64_t number = 0;

	if (!*value)
		return -EBADMSG;
	for (; *value; value++) {
		if (!is_digit(*value) ||
		    __builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*value - '0'),
					   &number))
			return -EBADMSG;
	}
	*ret = number;
	return 0;
}

/* --- writing --- */

void line_begin(struct line_writer *writer, char line[LINE_SIZE_MAX],
		const char *head)
{
	*writer = (struct line_writer){line, strlen(head)};
	assert(writer->size < LINE_SIZE_MAX);
	memcpy(line, head, writer->size);
}

/* Writes VALUE to TEXT, which has room for three bytes of each of its own. */
static size_t encode(char *text, const char *value)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t size = 0;

	for (; *value; value++) {
		const unsigned char byte = (unsigned char)*value;

		if (is_plain(*value)) {
			text[size++] = *value;
			continue;
		}
		text[size++] = '%';
		text[size++] = digits[byte >> 4];
		text[size++] = digits[byte & 15];
	}
	return size;
}

void line_add(struct line_writer *writer, const char *key, const char *value)
{
	char field[4 * LINE_SIZE_MAX];
	size_t size;

	if (strlen(key) >= LINE_KEY_SIZE || strlen(value) >= LINE_SIZE_MAX)
		return;
	size = (size_t)snprintf(field, sizeof(field), " %s=", key);
	size += encode(field + size, value);
	if (size >= LINE_SIZE_MAX - writer->size) /* one for the newline */
		return;
	memcpy(writer->line + writer->size, field, size);
	writer->size += size;
}

void line_add_number(struct line_writer *writer, const char *key,
		     uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	line_add(writer, key, text);
}

size_t line_finish(struct line_writer *writer)
{
	writer->line[writer->size++] = '\n';
	return writer->size;
}
