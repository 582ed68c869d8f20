/* SPDX-License-Identifier: MIT
 * One line, one write(2), to stderr; with the journal's level prefix when
 * stderr is the journal. Safe in any thread. */
#pragma once

#include <stdbool.h>
#include <syslog.h>

/* Messages above this level (syslog's scale, LOG_ERR 3 .. LOG_DEBUG 7) are
 * dropped. The default is LOG_INFO. */
void log_set_level(int level);
int log_get_level(void);

/* Writes "PROGRAM: message\n", or "<LEVEL>message\n" when $JOURNAL_STREAM
 * names stderr. Control characters, those of C1 too, and what is not UTF-8
 * become '?', since the text may come from a stranger. Keeps errno. */
void log_msg(int level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Whether a message of LEVEL goes to the journal, and so may go there with
 * fields: sd_journal_send() is silent about a journal that does not run. */
bool log_takes_fields(int level);

#define log_error(...) log_msg(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_msg(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_msg(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_DEBUG, __VA_ARGS__)
