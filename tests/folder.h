/* SPDX-License-Identifier: MIT
 * A folder for the files of one test. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <sys/resource.h>

#include "audio/wav.h"

/* Its path. */
extern char folder[PATH_MAX];

/* Makes the folder in $TMPDIR; its name contains NAME. */
void folder_setup(const char *name);
/* Removes the folder with its files and empty folders. */
void folder_teardown(void);
void folder_clear(void);

/* The path of a file in the folder; valid until the next call. */
const char *path_of(const char *name);
/* Whether the folder has an entry NAME, of whatever kind. */
bool file_exists(const char *name);
/* Writes a file with these bytes. */
void put_file(const char *name, const void *data, size_t size);
/* The file must be exactly DATA, or a WAV file of DATA (with its pad byte). */
void check_bytes(const char *name, const void *data, size_t size);
void check_wav(const char *name, const struct wav_format *format,
	       const void *data, size_t size);
/* A memfd, positioned at its start: DATA, or a WAV file of it whose header
 * states STATED bytes. */
int memory_file(const void *data, size_t size);
int memory_wav(const struct wav_format *format, uint64_t stated,
	       const void *data, size_t size);
/* Lets no file grow beyond SIZE; returns the old limit. */
rlim_t limit_file_size(rlim_t size);
/* How many entries the folder has; RET_NAME (or NULL) gets one of them. */
int count_files(char ret_name[NAME_MAX + 1]);
