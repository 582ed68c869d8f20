/* SPDX-License-Identifier: MIT
 * A short sound that goes before speech, in memory, in the page's format. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "audio/wav.h"

/* The longest chime: longer ones belong into `play`. */
#define CHIME_SECONDS_MAX 30

struct chime {
	uint8_t *data; /* whole frames; NULL when there are none */
	size_t size;   /* bytes */
};

/* Reads the WAV file of FD (which stays the caller's; a regular file, from its
 * beginning) and converts it to FORMAT; to be cleared. 0; -EBADMSG when it is
 * no WAV file, none of a regular file, or longer than CHIME_SECONDS_MAX or 64
 * MiB; or another negative errno. PROBLEM then says why, for a person. */
enum { CHIME_PROBLEM_SIZE = 160 };
int chime_load(struct chime *ret, int fd, const struct wav_format *format,
	       char problem[CHIME_PROBLEM_SIZE]);
/* The chime at PATH as a WAV file in FORMAT, in memory: its descriptor, to be
 * read with chime_load() without converting it again. Or as chime_load(). */
int chime_open(const char *path, const struct wav_format *format,
	       char problem[CHIME_PROBLEM_SIZE]);
void chime_clear(struct chime *chime);
