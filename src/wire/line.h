/* SPDX-License-Identifier: MIT
 * The lines that a client says to its server: "HEAD key=value key=value\n" in
 * ASCII, with percent-encoded values. Reads a stranger's bytes. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	LINE_SIZE_MAX = 512, /* of a line, with its newline */
	LINE_KEY_SIZE = 32,  /* with the terminating zero */
};

struct line_reader {
	const char *at, *end;
};

struct line_field {
	char key[LINE_KEY_SIZE];   /* of a-z, 0-9 and _ */
	char value[LINE_SIZE_MAX]; /* decoded; any bytes but zero */
};

/* Begins to read LINE, whose SIZE bytes must be HEAD, fields, and one newline
 * at the end. READER refers to LINE. 0, or -EBADMSG: it is no such line. */
int line_open(struct line_reader *reader, const char *line, size_t size,
	      const char *head);
/* Takes the next field: 1; 0 at the end; or -EBADMSG: it is malformed. */
int line_next(struct line_reader *reader, struct line_field *ret);
/* The decimal NUMBER that a value is. 0 or -EBADMSG. */
int line_number(const char *value, uint64_t *ret);

struct line_writer {
	char *line;
	size_t size;
};

/* Begins a line in LINE. */
void line_begin(struct line_writer *writer, char line[LINE_SIZE_MAX],
		const char *head);
/* Adds a field; one that the line has no room for is left out. */
void line_add(struct line_writer *writer, const char *key, const char *value);
void line_add_number(struct line_writer *writer, const char *key,
		     uint64_t number);
/* Adds the newline. Returns the size of the line. */
size_t line_finish(struct line_writer *writer);
