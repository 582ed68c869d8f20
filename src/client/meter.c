/* SPDX-License-Identifier: MIT
 * Relies on its caller for stdout being a terminal. */
#include "client/meter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audio/samples.h"
#include "base/screen.h"

/* The level of a short bar at least, which is not given up for anything. */
enum { LEVEL_COLUMNS = 14 };

void meter_text(char text[METER_SIZE], const struct meter_reading *reading,
		unsigned columns)
{
	char seconds[24], level[SAMPLES_METER_SIZE], latency[24], buffer[24];
	char what[40], step[40] = "";
	size_t used = LEVEL_COLUMNS;

	snprintf(seconds, sizeof(seconds), "%6.1f s", reading->seconds);
	snprintf(latency, sizeof(latency), "  latency %3.0f ms",
		 reading->latency_ms);
	snprintf(buffer, sizeof(buffer), "  buffer %3.0f ms", reading->fill_ms);
	snprintf(what, sizeof(what), "  %s", reading->what);
	used += strlen(seconds) + strlen(latency);
	if (used + strlen(what) > columns)
		*what = '\0';
	used += strlen(what);
	if (reading->error_us != UINT64_MAX)
		snprintf(step, sizeof(step), "  in step +-%" PRIu64 " us",
			 reading->error_us);
	if (used + strlen(step) > columns)
		*step = '\0';
	used += strlen(step);
	if (used + strlen(buffer) > columns)
		*buffer = '\0';
	used += strlen(buffer);
	samples_meter(level,
		      columns > used ? LEVEL_COLUMNS - 1 + columns - used
				     : LEVEL_COLUMNS - 1,
		      reading->peak);
	snprintf(text, METER_SIZE, "%s %s%s%s%s%s", seconds, level, buffer,
		 latency, step, what);
}

void meter_draw(const struct meter_reading *reading)
{
	char text[METER_SIZE];

	meter_text(text, reading, screen_columns());
	screen_draw("", "%s", text);
}
