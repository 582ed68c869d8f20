/* SPDX-License-Identifier: MIT
 * One line on a terminal, drawn over and over: level, buffer, latency (-V). */
#pragma once

struct meter_reading {
	const char *what; /* "playing" .. */
	double peak;	  /* 0.0 .. 1.0 */
	double fill_ms;
	double latency_ms;
	double seconds; /* since the page began */
};

void meter_draw(const struct meter_reading *reading);
/* Before something else is printed. */
void meter_clear(void);
