/* SPDX-License-Identifier: MIT
 * A short sound that goes before speech, in memory, in the page's format. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "audio/wav.h"

/* The longest chime: longer ones belong into `play`. */
#define CHIME_SECONDS_MAX 30

struct chime;

/* Reads the WAV file of FD (which stays the caller's; a regular file) and
 * converts it to FORMAT. One reference. 0; -EBADMSG when it is no WAV file,
 * -EFBIG when longer than CHIME_SECONDS_MAX or 64 MiB, -EINVAL when no regular
 * file, or another negative errno; PROBLEM then says why, for a person. */
enum { CHIME_PROBLEM_SIZE = 160 };
int chime_load(struct chime **ret, int fd, const struct wav_format *format,
	       char problem[CHIME_PROBLEM_SIZE]);
/* The same from a path. */
int chime_load_path(struct chime **ret, const char *path,
		    const struct wav_format *format,
		    char problem[CHIME_PROBLEM_SIZE]);
struct chime *chime_ref(struct chime *chime);	/* takes NULL */
struct chime *chime_unref(struct chime *chime); /* takes NULL, returns NULL */

const uint8_t *chime_data(const struct chime *chime);
size_t chime_size(const struct chime *chime); /* bytes, whole frames */
