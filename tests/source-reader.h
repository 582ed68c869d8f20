/* SPDX-License-Identifier: MIT
 * Waits in a test for the messages of a source. */
#pragma once

#include <poll.h>

#include "audio/source.h"
#include "test.h"

enum { PATIENCE_MS = 30000 };

static inline void wait_readable(const struct source *source)
{
	struct pollfd fd = {.fd = source_fd(source), .events = POLLIN};

	ck_assert_int_eq(poll(&fd, 1, PATIENCE_MS), 1);
}

/* Waits for the next message; after SOURCE_PREPARED it tells the source to go
 * on and waits for the one that follows. 0 at the end. */
static inline int next_message(struct source *source,
			       struct source_message *message)
{
	int r;

	do {
		while ((r = source_next(source, message)) == -EAGAIN)
			wait_readable(source);
		if (r == 1 && message->type == SOURCE_PREPARED)
			source_go(source);
	} while (r == 1 && message->type == SOURCE_PREPARED);
	return r;
}

/* Waits for samples; returns their size in bytes, 0 at the end. */
static inline size_t next_samples(struct source *source, void *data,
				  size_t size)
{
	ssize_t n;

	while ((n = source_read_samples(source, data, size)) == -EAGAIN)
		wait_readable(source);
	ck_assert_int_ge(n, 0);
	return (size_t)n;
}
