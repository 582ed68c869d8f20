/* SPDX-License-Identifier: MIT
 * Writes each message to stderr as one line with one write(2), and never waits:
 * a line that nobody reads is lost and counted. Safe in any thread; set the
 * level before starting one. */
#pragma once

#include <stdbool.h>
#include <syslog.h>

#include "base/ratelimit.h"

/* Drops messages above this level (syslog's scale: LOG_ERR 3 .. LOG_DEBUG 7).
 * The default is LOG_INFO. */
void log_set_level(int level);

int log_get_level(void);
/* Whether not even notices are logged (-q): then nothing is to be shown beside
 * the log either, as a prompt or a level. */
bool log_is_quiet(void);

/* Writes "PROGRAM: message\n", or "<LEVEL>message\n" when $JOURNAL_STREAM
 * names stderr. Control characters (C1 too) and invalid UTF-8 become '?', since
 * the text may come from a stranger. Cuts a line at 1 KiB. Keeps errno. */
void log_msg(int level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* How much a peer may make this program log. */
struct log_limit {
	const char *about;
	struct ratelimit rate;
};

/* From now on the lines of this thread count for LIMIT, or NULL for none. Those
 * beyond are left out, and counted in a line when the interval is over. */
void log_set_limit(struct log_limit *limit);

/* What this thread has logged last at LOG_ERR, cut; "" for nothing. */
const char *log_last_error(void);

/* Whether a message of LEVEL goes to a journal that runs and reads, so that it
 * may be sent with fields: sd_journal_send() does not report that no journal
 * runs, and waits for one that does not read. */
bool log_takes_fields(int level);

#define log_error(...) log_msg(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_msg(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_msg(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_DEBUG, __VA_ARGS__)
