/* SPDX-License-Identifier: MIT
 * Writes a WAV file under a temporary name; syncs and renames it when it is
 * complete. Blocking I/O on a local file. */
#pragma once

#include "audio/wav.h"

struct wavfile;

/* Begins the file PATH, with mode 0640 less the umask, under the temporary name
 * ".NAME.XXXXXX.part" in the same directory. Until it is finished its header
 * says "endless", so that a partial file can be played. 0 or negative errno;
 * -EISDIR when PATH ends with a slash. */
int wavfile_create(struct wavfile **ret, const char *path,
		   const struct wav_format *format);

/* Appends SIZE bytes of samples. 0 or negative errno; after an error every
 * further call returns it, and wavfile_finish() discards the file. */
int wavfile_write(struct wavfile *file, const void *data, size_t size);

/* Cuts a torn last frame, fills in the sizes, syncs and renames to the final
 * name. Replaces an existing file with WAVFILE_REPLACE; otherwise puts "-2",
 * "-3" .. before the extension, above the highest number that is there. Sets
 * *ret_path, which the caller frees, to the final path unless ret_path is NULL.
 * Frees FILE always. 0 or -errno. */
enum wavfile_replace { WAVFILE_KEEP, WAVFILE_REPLACE };
int wavfile_finish(struct wavfile *file, enum wavfile_replace replace,
		   char **ret_path);

/* Removes the temporary file and frees FILE. Takes NULL; returns NULL. */
struct wavfile *wavfile_discard(struct wavfile *file);

/* Turns temporary files that a crash left in DIR into valid files under their
 * final names, and removes those without a single whole frame. Leaves alone the
 * files that a running process holds with flock() and those that another
 * program has written. Returns how many were repaired, or negative errno when
 * DIR cannot be read. */
int wavfile_repair(const char *dir);
