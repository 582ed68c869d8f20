/* SPDX-License-Identifier: MIT
 * What a waiting client says once a minute, where both ends have agreed on it
 * (transport_speaks_2()): that it is alive, and whether its card could play.
 * All of it is a claim. Pure. */
#pragma once

#include <stdbool.h>

#include "wire/line.h"
#include "wire/receipt.h"

#define HEARTBEAT_LATENCY_UNKNOWN UINT32_MAX

enum { HEARTBEAT_VERSION_SIZE = 33 }; /* with the terminating zero */

struct heartbeat {
	enum receipt_card card;
	char version[HEARTBEAT_VERSION_SIZE]; /* UTF-8, or "": not said */
	uint32_t latency_ms;		      /* or HEARTBEAT_LATENCY_UNKNOWN */
};

/* Whether SIZE bytes can be the beginning of such a line. */
bool heartbeat_may_begin(const char *text, size_t size);
/* Writes the whole line with its newline, and returns its size. */
size_t heartbeat_format(char line[LINE_SIZE_MAX],
			const struct heartbeat *heartbeat);
/* Reads a line of SIZE bytes. Keys and words that it does not know are skipped.
 * 0; or -EBADMSG: it is no such line. */
int heartbeat_parse(struct heartbeat *ret, const char *line, size_t size);
