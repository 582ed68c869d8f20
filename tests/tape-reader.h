/* SPDX-License-Identifier: MIT
 * Reads the samples of a tape in a test. */
#pragma once

#include <unistd.h>

#include "base/util.h"
#include "server/tape.h"

/* As pread(2), from OFFSET on: bytes, 0 at the newest sample, or -1. */
static inline ssize_t read_tape(const struct tape *tape, uint64_t offset,
				void *buffer, size_t size)
{
	_cleanup_close_ int fd = tape_dup(tape);

	return pread(fd, buffer, size, (off_t)offset);
}
