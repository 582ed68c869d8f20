/* SPDX-License-Identifier: MIT
 * The terminal of a person: lines that stay, below them a status line that is
 * drawn over and over, and below that the line in which the person types, which
 * nothing that is shown disturbs. What nobody reads is not shown, and nothing
 * waits. Safe in any thread. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

/* How many columns a status line may have: one less than the terminal has now
 * (80 when standard output does not say). */
unsigned screen_columns(void);

/* Writes lines that stay to standard output, which need not be a terminal. */
void screen_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void screen_vsay(const char *format, va_list ap)
    __attribute__((format(printf, 1, 0)));
/* Writes LINE, which ends with a newline, to standard error; above the status
 * line if that is on the same terminal. 0 or as write_if_read(). */
int screen_log(const char *line, size_t size);

/* Draws the status line, cut at screen_columns(), in ASCII. PROMPT, a string
 * constant, goes before what is typed. Standard output must be a terminal. */
void screen_draw(const char *prompt, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Says that a newline was typed. What was typed stays, the status line goes. */
void screen_entered(void);
/* Takes the status line away, and what is typed. */
void screen_clear(void);
