/* SPDX-License-Identifier: MIT
 * Owns the log level, a global. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/utf8.h"

#define LINE_MAX_SIZE 1024

static int max_level = LOG_INFO;

void log_set_level(int level)
{
	max_level = level;
}

int log_get_level(void)
{
	return max_level;
}

/* $JOURNAL_STREAM is "DEVICE:INODE" of the stream that systemd has connected to
 * the journal (systemd.exec(5)); a redirected stderr does not match it. */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino);
	return strcmp(stream, own) == 0;
}

bool log_takes_fields(int level)
{
	return level <= max_level && is_journal() &&
	       access("/run/systemd/journal/socket", W_OK) == 0;
}

void log_msg(int level, const char *format, ...)
{
	char line[LINE_MAX_SIZE];
	int saved_errno = errno;
	size_t start, end;
	va_list ap;

	if (level > max_level)
		return;

	if (is_journal())
		snprintf(line, sizeof(line), "<%d>", level);
	else
		snprintf(line, sizeof(line),
			 "%s: ", program_invocation_short_name);
	start = strlen(line);

	va_start(ap, format);
	vsnprintf(line + start, sizeof(line) - start - 1, format, ap);
	va_end(ap);
	utf8_replace_controls(line + start);

	end = strlen(line);
	line[end] = '\n';
	(void)!TEMP_FAILURE_RETRY(write(STDERR_FILENO, line, end + 1));
	errno = saved_errno;
}
