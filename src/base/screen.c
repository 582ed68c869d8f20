/* SPDX-License-Identifier: MIT
 * Owns the state of the status line, a global, since a process has one
 * terminal. Writes past stdio, whose buffer would keep what nobody reads. The
 * escape sequences are those of a VT102, which every terminal obeys. */
#include "base/screen.h"

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/util.h"

enum {
	COLUMNS_DEFAULT = 80,
	ROWS_MAX = 100, /* of lines that are inserted at once */
	LINE_SIZE = 2048,
};

#define SAVE_CURSOR "\0337"
#define RESTORE_CURSOR "\0338"
#define DOWN "\033D" /* in the same column; scrolls at the bottom */
#define UP "\033[A"
#define ERASE_TO_END_OF_LINE "\033[K"
#define ERASE_TO_END_OF_SCREEN "\033[J"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static bool drawn; /* the cursor is in the line below the status line */
static const char *drawn_prompt;

static unsigned terminal_columns(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return COLUMNS_DEFAULT;
	return size.ws_col;
}

unsigned screen_columns(void)
{
	return terminal_columns() - 1;
}

static int put(int fd, const char *text)
{
	return write_if_read(fd, text, strlen(text));
}

static unsigned rows_of(const char *lines, size_t size)
{
	const unsigned columns = terminal_columns();
	unsigned rows = 1, column = 0;

	for (size_t i = 0; i < size && rows < ROWS_MAX; i++) {
		const bool is_continuation = (lines[i] & 0xc0) == 0x80;

		if (lines[i] == '\n' || (!is_continuation && column == columns))
			rows++, column = 0;
		column += lines[i] != '\n' && !is_continuation;
	}
	return rows;
}

/* Inserts rows above the status line. What is below them moves down with the
 * cursor, so nothing has to be drawn again, least of all what was typed. */
static int insert(int fd, const char *lines, size_t size)
{
	const unsigned rows = rows_of(lines, size);
	char text[PIPE_BUF] = "";

	for (unsigned i = 0; i < rows; i++)
		strcat(text, DOWN);
	snprintf(text + strlen(text), sizeof(text) - strlen(text),
		 SAVE_CURSOR "\033[%uA\r\033[%uL%.*s" RESTORE_CURSOR, rows + 1,
		 rows, (int)MIN(size, LINE_SIZE), lines);
	return put(fd, text);
}

void screen_vsay(const char *format, va_list ap)
{
	char lines[LINE_SIZE];
	size_t size;

	mark_cut(lines, sizeof(lines) - 1,
		 vsnprintf(lines, sizeof(lines) - 1, format, ap));
	size = strlen(lines);
	pthread_mutex_lock(&mutex);
	if (drawn)
		(void)insert(STDOUT_FILENO, lines, size);
	else
		(void)put(STDOUT_FILENO, strcat(lines, "\n"));
	pthread_mutex_unlock(&mutex);
}

void screen_say(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	screen_vsay(format, ap);
	va_end(ap);
}

static bool share_a_terminal(int a, int b)
{
	struct stat of_a, of_b;

	return isatty(a) && fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 &&
	       of_a.st_rdev == of_b.st_rdev;
}

int screen_log(const char *line, size_t size)
{
	int r;

	pthread_mutex_lock(&mutex);
	if (drawn && share_a_terminal(STDERR_FILENO, STDOUT_FILENO))
		r = insert(STDERR_FILENO, line, size - 1);
	else
		r = write_if_read(STDERR_FILENO, line, size);
	pthread_mutex_unlock(&mutex);
	return r;
}

void screen_draw(const char *prompt, const char *format, ...)
{
	const int columns = (int)screen_columns();
	char line[LINE_SIZE], text[PIPE_BUF];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	pthread_mutex_lock(&mutex);
	if (drawn)
		snprintf(text, sizeof(text),
			 SAVE_CURSOR UP
			 "\r%.*s" ERASE_TO_END_OF_LINE RESTORE_CURSOR,
			 columns, line);
	else
		snprintf(text, sizeof(text),
			 "\r%.*s" ERASE_TO_END_OF_LINE "\n%s", columns, line,
			 prompt);
	drawn = put(STDOUT_FILENO, text) == 0;
	drawn_prompt = prompt;
	pthread_mutex_unlock(&mutex);
}

static void leave(const char *text)
{
	pthread_mutex_lock(&mutex);
	if (drawn)
		(void)put(STDOUT_FILENO, text);
	drawn = false;
	pthread_mutex_unlock(&mutex);
}

void screen_entered(void)
{
	/* The cursor is two lines below the status line, in the first column.
	 */
	if (drawn && *drawn_prompt)
		leave(UP UP "\033[M\033[B");
	else
		leave(UP UP ERASE_TO_END_OF_SCREEN);
}

void screen_clear(void)
{
	leave(UP "\r" ERASE_TO_END_OF_SCREEN);
}
