/* SPDX-License-Identifier: MIT
 * Keeps pages as WAV files in a directory. A thread for each page reads the
 * tape and writes the file: a slow or full disk never delays the loop, and
 * costs the file, not the page. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/tape.h"

struct archive_config {
	const char *dir;
	uint64_t limit_size;	/* bytes, of all files; 0: no limit */
	uint64_t limit_seconds; /* age of a file; 0: no limit */
};

struct archive_writer;

/* Repairs files that a crash left, and removes the oldest files beyond the
 * limits; only those with names such as archive_begin() gives. Logs both. 0, or
 * negative errno when the directory cannot be written. Blocks. */
int archive_check(const struct archive_config *config);

/* Starts a thread that writes TAPE to YYYYMMDD-HHMMSS-LABEL.wav. The strings of
 * CONFIG must outlive the writer, which refers to TAPE. 0 or negative errno;
 * the thread logs it when the file cannot be created. */
int archive_begin(struct archive_writer **ret,
		  const struct archive_config *config, const char *label,
		  struct tape *tape);

/* Tells the thread to write the tape up to SIZE bytes, and when the tape has
 * ended, to finish the file. Takes NULL. Never blocks. */
void archive_push(struct archive_writer *writer, uint64_t size);

/* The first byte of the tape that is not yet written; UINT64_MAX when no more
 * is needed (NULL, done or given up). */
uint64_t archive_offset(struct archive_writer *writer);

/* Discards the file, because the disk is too far behind. No effect once the
 * thread was told of the end: then the rest is written. */
void archive_give_up(struct archive_writer *writer);

/* Whether the thread is done: the file has its final name or was discarded.
 * True for NULL. */
bool archive_done(struct archive_writer *writer);

/* Has the rest of the tape written and waits, for as long as the disk takes.
 * Takes NULL; returns NULL. */
struct archive_writer *archive_free(struct archive_writer *writer);
