/* SPDX-License-Identifier: MIT
 * A WAV file that is being written: under a temporary name until it is
 * complete, then synced and renamed. Blocking I/O on a local file. */
#pragma once

#include "audio/wav.h"

struct wavfile;

/* Begins a file that will be called PATH. The temporary name is in the same
 * directory: ".NAME.XXXXXX.part". Mode 0640 less umask. The header says
 * "endless" until the end, so that a partial file is readable. Negative errno
 * on failure; -EISDIR when PATH ends with a slash. */
int wavfile_create(struct wavfile **ret, const char *path,
		   const struct wav_format *format);

/* Appends samples. After an error every further call returns the same error,
 * and finish gives the file up. */
int wavfile_write(struct wavfile *file, const void *data, size_t size);

/* Fills in the sizes, syncs and renames to the final name, replacing an older
 * file only when REPLACE is WAVFILE_REPLACE (else "-2", "-3" .. is put before
 * the extension, above the highest that is there). Writes the final path to
 * ret_path when that is not NULL (caller frees). Frees FILE in every case. Cuts
 * a torn last frame. */
enum wavfile_replace { WAVFILE_KEEP, WAVFILE_REPLACE };
int wavfile_finish(struct wavfile *file, enum wavfile_replace replace,
		   char **ret_path);

/* Gives the file up: removes the temporary file. Takes NULL; returns NULL. */
struct wavfile *wavfile_discard(struct wavfile *file);

/* Turns temporary files that a crash left in DIR into valid files under their
 * final names, and removes those without a single whole frame. Files that a
 * living process is still writing (they are locked with flock) are left alone,
 * and so are those that another program has written.
 * Returns how many were repaired, or negative errno when DIR cannot be read. */
int wavfile_repair(const char *dir);
