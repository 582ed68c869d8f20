/* SPDX-License-Identifier: MIT
 * A folder of a test's own. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <sys/resource.h>

#include "audio/wav.h"

/* Its path. */
extern char folder[PATH_MAX];

/* Makes it in $TMPDIR; NAME is in its name. */
void folder_setup(const char *name);
/* Removes it with all that is in it (files and empty folders). */
void folder_teardown(void);
void folder_clear(void);

/* The path of a file in it; good until the next call. */
const char *path_of(const char *name);
/* Whether there is one of that name, of whatever kind. */
bool file_exists(const char *name);
/* Makes one of these bytes. */
void put_file(const char *name, const void *data, size_t size);
/* It is exactly DATA, or a WAV file of it (with its pad byte). */
void check_bytes(const char *name, const void *data, size_t size);
void check_wav(const char *name, const struct wav_format *format,
	       const void *data, size_t size);
/* A file in memory, at its beginning: DATA, or a WAV file of it whose header
 * states STATED bytes. */
int memory_file(const void *data, size_t size);
int memory_wav(const struct wav_format *format, uint64_t stated,
	       const void *data, size_t size);
/* No file can become larger. What the limit was. */
rlim_t limit_file_size(rlim_t size);
/* How many entries it has; *ret_name (or NULL) is one of them. */
int count_files(char ret_name[NAME_MAX + 1]);
