/* SPDX-License-Identifier: MIT
 * Captures as text what a test writes to stdout or stderr. */
#pragma once

#include <sys/mman.h>

#include "test.h"

struct capture {
	int fd, memory, saved;
};

/* From now on, keeps what is written to FD. */
static inline struct capture capture_begin(int fd)
{
	struct capture capture = {
	    .fd = fd,
	    .memory = memfd_create("capture", MFD_CLOEXEC),
	    .saved = dup(fd),
	};

	fflush(NULL);
	ck_assert_int_ge(capture.memory, 0);
	ck_assert_int_ge(capture.saved, 0);
	ck_assert_int_eq(dup2(capture.memory, fd), fd);
	return capture;
}

/* Restores FD. TEXT (SIZE bytes) gets what was written meanwhile. */
static inline void capture_end(struct capture capture, char *text, size_t size)
{
	ssize_t n;

	fflush(NULL);
	ck_assert_int_eq(dup2(capture.saved, capture.fd), capture.fd);
	n = pread(capture.memory, text, size - 1, 0);
	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	fd_close(capture.saved);
	fd_close(capture.memory);
}

/* TEXT must be one line that contains each of the words given. */
#define CHECK_LINE(text, ...)                                                  \
	check_line(text, (const char *const[]){__VA_ARGS__, NULL})
static inline void check_line(const char *text, const char *const *words)
{
	const char *newline = strchr(text, '\n');

	ck_assert_msg(newline && !newline[1], "\"%s\" is not one line", text);
	for (; *words; words++)
		ck_assert_msg(strstr(text, *words) != NULL,
			      "\"%s\" does not say \"%s\"", text, *words);
}
