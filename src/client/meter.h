/* SPDX-License-Identifier: MIT
 * The level meter (-V): a line on a terminal, redrawn in place, with the level,
 * the latency and, where they fit, the state, how far from its moment the page
 * is, and the buffer. */
#pragma once

#include <stdint.h>

struct meter_reading {
	const char *what; /* the speaker's state: "playing" .. */
	double peak;	  /* 0.0 to 1.0, since the last drawing */
	double fill_ms;
	double latency_ms;
	uint64_t error_us; /* speaker_error_us() */
	double seconds;	   /* since the page's turn began */
};

enum { METER_SIZE = 240 };

/* Writes the line for a terminal with room for so many columns. */
void meter_text(char text[METER_SIZE], const struct meter_reading *reading,
		unsigned columns);
/* Draws it on stdout; screen_clear() takes it away. */
void meter_draw(const struct meter_reading *reading);
