/* SPDX-License-Identifier: MIT
 * Holds one line at a time. */
#include "server/vitals.h"

#include <string.h>

#include "base/util.h"

#define PAUSE_USEC (5 * USEC_PER_SEC)

/* The line is complete. Returns how much of it is garbage. */
static size_t take_line(struct vitals *vitals, uint64_t now_usec)
{
	const size_t size = vitals->size;

	vitals->size = 0;
	if (vitals->said_usec && now_usec < vitals->said_usec + PAUSE_USEC)
		return size;
	if (heartbeat_parse(&vitals->said, vitals->line, size) < 0)
		return size;
	vitals->said_usec = now_usec;
	return 0;
}

/* Takes a part of a line, or the rest of it. Returns how much turns out to be
 * garbage: what cannot become a line is so at once, and up to its end. */
static size_t take_part(struct vitals *vitals, const char *data, size_t size,
			uint64_t now_usec)
{
	const bool is_end = data[size - 1] == '\n';
	size_t garbage = size;

	if (!vitals->is_garbage &&
	    size <= sizeof(vitals->line) - vitals->size) {
		memcpy(vitals->line + vitals->size, data, size);
		vitals->size += size;
		if (heartbeat_may_begin(vitals->line, vitals->size))
			return is_end ? take_line(vitals, now_usec) : 0;
		garbage = 0; /* but for what is in the line */
	}
	garbage += vitals->size;
	vitals->size = 0;
	vitals->is_garbage = !is_end;
	return garbage;
}

size_t vitals_feed(struct vitals *vitals, const char *data, size_t size,
		   uint64_t now_usec)
{
	size_t garbage = 0;

	while (size > 0) {
		const char *newline = memchr(data, '\n', size);
		const size_t part =
		    newline ? (size_t)(newline + 1 - data) : size;

		garbage += take_part(vitals, data, part, now_usec);
		data += part;
		size -= part;
	}
	return garbage;
}

size_t vitals_take_part(struct vitals *vitals, char line[LINE_SIZE_MAX])
{
	const size_t size = vitals->size;

	memcpy(line, vitals->line, size);
	vitals->size = 0;
	return size;
}
