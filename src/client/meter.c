/* SPDX-License-Identifier: MIT
 * Relies on its caller for stdout being a terminal. */
#include "client/meter.h"

#include "audio/samples.h"
#include "base/io.h"
#include "base/util.h"

enum { BAR_WIDTH = 30 };

void meter_draw(const struct meter_reading *reading)
{
	char bar[BAR_WIDTH + 1], text[256];

	samples_bar(bar, BAR_WIDTH, reading->peak);
	/* Wrapping is off meanwhile (DECAWM, ?7): on a narrow terminal a
	 * wrapped line would not be overwritten by the next one. */
	snprintf(text, sizeof(text),
		 "\r\033[?7l%6.1f s [%s] %5.1f dBFS  buffer %4.0f ms  "
		 "latency %4.0f ms  %s\033[K\033[?7h",
		 reading->seconds, bar, samples_dbfs(reading->peak),
		 reading->fill_ms, reading->latency_ms, reading->what);
	(void)write_if_read(STDOUT_FILENO, text, strlen(text));
}

void meter_clear(void)
{
	static const char text[] = "\r\033[K";

	(void)write_if_read(STDOUT_FILENO, text, strlen(text));
}
