/* SPDX-License-Identifier: MIT
 * One write for each line, past stdio, whose buffer would keep the rest of a
 * line that nobody reads. */
#include "base/screen.h"

#include <limits.h>

#include "base/io.h"
#include "base/util.h"

#define CLEAR "\r\033[K"

__attribute__((format(printf, 3, 0))) static void
put(const char *begin, const char *end, const char *format, va_list ap)
{
	char text[PIPE_BUF];
	const size_t most = sizeof(text) - strlen(end);
	size_t length;

	snprintf(text, most, "%s", begin);
	length = strlen(text);
	vsnprintf(text + length, most - length, format, ap);
	strcat(text, end);
	(void)write_if_read(STDOUT_FILENO, text, strlen(text));
}

void screen_vsay(struct screen *screen, const char *format, va_list ap)
{
	put(screen->drawn ? CLEAR : "", "\n", format, ap);
	screen->drawn = false;
}

void screen_say(struct screen *screen, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	screen_vsay(screen, format, ap);
	va_end(ap);
}

void screen_draw(struct screen *screen, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	put("\r", "\033[K", format, ap);
	va_end(ap);
	screen->drawn = true;
}

static void finish(struct screen *screen, const char *text)
{
	if (screen->drawn)
		(void)write_if_read(STDOUT_FILENO, text, strlen(text));
	screen->drawn = false;
}

void screen_clear(struct screen *screen)
{
	finish(screen, CLEAR);
}

void screen_end(struct screen *screen)
{
	finish(screen, "\n");
}
