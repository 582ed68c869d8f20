/* SPDX-License-Identifier: MIT
 * Keeps pages as WAV files in a directory. A thread for each page reads the
 * tape and writes the disk: a slow or full disk never holds up the
 * loop, and costs the file, not the page. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/tape.h"

struct archive_config {
	const char *dir;
	uint64_t limit_size;	/* bytes of all files together; 0: no limit */
	uint64_t limit_seconds; /* age of a file; 0: no limit */
};

struct archive_writer;

/* Repairs what a crash left in the directory and removes what is over the
 * limits: the oldest of the files that archive_begin() has named. Logs both. 0,
 * or negative errno when it is no directory that can be written. */
int archive_check(const struct archive_config *config);

/* Starts a file YYYYMMDD-HHMMSS-LABEL.wav for the page. The strings of CONFIG
 * must outlive the writer. 0 or negative errno; that the file cannot be made is
 * found, and logged, by the thread. */
int archive_begin(struct archive_writer **ret,
		  const struct archive_config *config, const char *label,
		  struct tape *tape);

/* Says that SIZE bytes of the page are due, or that it has ended. Takes NULL.
 * Never blocks. */
void archive_push(struct archive_writer *writer, uint64_t size);

/* The first byte of the tape that is not yet written; UINT64_MAX when nothing
 * more is needed (NULL, done or given up). */
uint64_t archive_offset(struct archive_writer *writer);

/* Stops writing and throws the file away: the disk is too far behind. Nothing
 * when the page's end was told: what is left will be written. */
void archive_give_up(struct archive_writer *writer);

/* Whether the file is complete under its final name, or given up. True for
 * NULL. */
bool archive_done(struct archive_writer *writer);

/* Waits until it is done, for as long as the disk takes. Takes NULL; returns
 * NULL. */
struct archive_writer *archive_free(struct archive_writer *writer);
