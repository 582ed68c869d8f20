/* SPDX-License-Identifier: MIT
 * The samples of a tape, as a test looks at them. */
#pragma once

#include <unistd.h>

#include "base/util.h"
#include "server/tape.h"

/* Bytes from OFFSET on, 0 at the edge, -1. */
static inline ssize_t read_tape(const struct tape *tape, uint64_t offset,
				void *buffer, size_t size)
{
	_cleanup_close_ int fd = tape_dup(tape);

	return pread(fd, buffer, size, (off_t)offset);
}
