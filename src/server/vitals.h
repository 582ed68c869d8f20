/* SPDX-License-Identifier: MIT
 * What a client says of itself while it waits: lines out of the bytes that it
 * sends, in whatever pieces they come. Pure: a stranger's bytes are read here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/heartbeat.h"

/* Starts as all zero. */
struct vitals {
	struct heartbeat said;
	uint64_t said_usec; /* when; 0: nothing yet */
	size_t size;	    /* of the line that has begun */
	bool is_garbage;    /* that line, up to its end */
	char line[LINE_SIZE_MAX];
};

/* Takes SIZE bytes of DATA. Returns how many of those that it has taken so far
 * turn out to be garbage: no line, a longer one, or one that comes less than
 * 5 s after another. */
size_t vitals_feed(struct vitals *vitals, const char *data, size_t size,
		   uint64_t now_usec);
/* Gives up the part of a line that has come, and copies it to LINE. Returns its
 * size. */
size_t vitals_take_part(struct vitals *vitals, char line[LINE_SIZE_MAX]);
