/* SPDX-License-Identifier: MIT
 * Standard output for a person: lines that stay, and below them one that is
 * drawn over and over. What nobody reads is not shown; nothing waits. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

/* All zero is a valid start. */
struct screen {
	bool drawn; /* the cursor is behind a line that is drawn */
};

/* Takes the line that is drawn away, and writes one that stays. */
void screen_say(struct screen *screen, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void screen_vsay(struct screen *screen, const char *format, va_list ap)
    __attribute__((format(printf, 2, 0)));
/* Draws the line anew, to the edge of the terminal. */
void screen_draw(struct screen *screen, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Takes it away, or lets it stay above what comes next. */
void screen_clear(struct screen *screen);
void screen_end(struct screen *screen);
