/* SPDX-License-Identifier: MIT
 * Owns globals: the log level and the count of lost lines; and for each thread
 * its limit and its last error. */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/screen.h"
#include "base/utf8.h"
#include "base/util.h"

#define LINE_MAX_SIZE 1024

static int max_level = LOG_INFO;
static atomic_uint lost_count;
static _Thread_local struct log_limit *thread_limit;
static _Thread_local char last_error[256];

void log_set_level(int level)
{
	max_level = level;
}

int log_get_level(void)
{
	return max_level;
}

bool log_is_quiet(void)
{
	return max_level < LOG_NOTICE;
}

const char *log_last_error(void)
{
	return last_error;
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

void log_set_limit(struct log_limit *limit)
{
	thread_limit = limit;
}

/* Whether journald is there and reads: sd_journal_send() would wait for it. */
static bool journal_reads(void)
{
	const struct sockaddr_un address = {
	    .sun_family = AF_UNIX,
	    .sun_path = "/run/systemd/journal/socket",
	};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};

	return fd >= 0 &&
	       connect(fd, (const struct sockaddr *)&address,
		       sizeof(address)) == 0 &&
	       poll(&pfd, 1, 0) > 0;
}

/* Returns the length of what begins a line. */
static size_t begin_line(char line[LINE_MAX_SIZE], int level)
{
	if (is_journal())
		snprintf(line, LINE_MAX_SIZE, "<%d>", level);
	else
		snprintf(line, LINE_MAX_SIZE,
			 "%s: ", program_invocation_short_name);
	return strlen(line);
}

/* Tells how many lines before were lost; they still are when this is. */
static int tell_lost(void)
{
	const unsigned count = atomic_load(&lost_count);
	char line[LINE_MAX_SIZE];
	size_t start;
	int r;

	if (count == 0)
		return 0;
	start = begin_line(line, LOG_WARNING);
	snprintf(line + start, sizeof(line) - start,
		 "%u line%s lost, since nobody read %s\n", count,
		 count == 1 ? " was" : "s were", count == 1 ? "it" : "them");
	r = screen_log(line, strlen(line));
	if (r == 0)
		atomic_fetch_sub(&lost_count, count);
	return r;
}

static void write_line(int level, const char *format, va_list ap)
{
	char line[LINE_MAX_SIZE];
	int saved_errno = errno;
	size_t start, end;

	start = begin_line(line, level);
	mark_cut(line + start, sizeof(line) - start - 1,
		 vsnprintf(line + start, sizeof(line) - start - 1, format, ap));
	utf8_replace_controls(line + start);
	if (level <= LOG_ERR)
		snprintf(last_error, sizeof(last_error), "%s", line + start);

	end = strlen(line);
	line[end] = '\n';
	if (tell_lost() < 0 || screen_log(line, end + 1) < 0)
		atomic_fetch_add(&lost_count, 1);
	errno = saved_errno;
}

/* Counts a line for the limit, and tells of those that were left out, in one
 * that does not count. */
static bool may_log(void)
{
	struct log_limit *limit = thread_limit;
	const uint64_t now = now_usec();
	uint64_t rest;

	if (!limit)
		return true;
	rest = ratelimit_take(&limit->rate, now);
	thread_limit = NULL;
	if (rest > 0)
		log_warning("%s: %" PRIu64 " line%s left out", limit->about,
			    rest, rest == 1 ? " was" : "s were");
	thread_limit = limit;
	return ratelimit_allows(&limit->rate, now);
}

void log_msg(int level, const char *format, ...)
{
	va_list ap;

	if (level > max_level || !may_log())
		return;
	va_start(ap, format);
	write_line(level, format, ap);
	va_end(ap);
}

bool log_takes_fields(int level)
{
	if (level > max_level || !is_journal() || !journal_reads())
		return false;
	return !(thread_limit &&
		 ratelimit_is_spent(&thread_limit->rate, now_usec())) &&
	       may_log();
}
