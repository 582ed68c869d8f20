/* SPDX-License-Identifier: MIT
 * The level meter (-V): a line on a terminal, redrawn in place, with the level,
 * the buffer and the latency. */
#pragma once

struct meter_reading {
	const char *what; /* the speaker's state: "playing" .. */
	double peak;	  /* 0.0 to 1.0, since the last drawing */
	double fill_ms;
	double latency_ms;
	double seconds; /* since the page's turn began */
};

/* Both write to stdout. */
void meter_draw(const struct meter_reading *reading);
/* Erases the line, so that something else can be printed. */
void meter_clear(void);
