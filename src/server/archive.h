/* SPDX-License-Identifier: MIT
 * Keeps pages as WAV files in a directory, and removes the oldest. */
#pragma once

#include "audio/recorder.h"

struct archive_config {
	const char *dir;
	uint64_t limit_size;	/* bytes of all files together; 0: no limit */
	uint64_t limit_seconds; /* age of a file; 0: no limit */
};

/* Repairs what a crash left in the directory and removes what is over the
 * limits: the oldest of the files that a recorder has named. Logs both. 0, or
 * negative errno when it is no directory that can be written. Blocks. */
int archive_check(const struct archive_config *config);

/* A recorder for the directory, checked; the limits hold after each page, too.
 * CONFIG must outlive its thread. Errors as above, and -ENOMEM. */
int archive_open(struct recorder **ret, const struct archive_config *config);
