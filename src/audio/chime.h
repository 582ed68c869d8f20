/* SPDX-License-Identifier: MIT
 * A short sound that is played before speech; held in memory, in the page's
 * format. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "audio/wav.h"

/* The longest chime; a longer sound should be played as a page. */
#define CHIME_SECONDS_MAX 30

/* What a reason begins with that is about a page's chime. */
#define CHIME_ABOUT "The chime cannot be used: "

struct chime {
	uint8_t *data; /* whole frames */
	size_t size;   /* bytes */
};

/* Reads the WAV file FD from its beginning and converts it to FORMAT. FD stays
 * the caller's, who calls chime_clear() on *ret. 0; -EBADMSG when FD is not a
 * regular file, not a WAV file, empty, or longer than CHIME_SECONDS_MAX or 64
 * MiB; or another negative errno. On error PROBLEM says why, for a person. */
enum { CHIME_PROBLEM_SIZE = 208 };
int chime_load(struct chime *ret, int fd, const struct wav_format *format,
	       char problem[CHIME_PROBLEM_SIZE]);
/* The same for a source, which has the socket SOCKET_FD: 0, also when FD is
 * negative; or -EPIPE after sending a SOURCE_ENDED with the reason. */
int chime_load_for(struct chime *ret, int fd, const struct wav_format *format,
		   int socket_fd);
/* Converts the WAV file at PATH to FORMAT, once for many calls of chime_load().
 * Returns the descriptor of the result, a WAV file in memory, which the caller
 * closes; or an error and PROBLEM, as chime_load(). */
int chime_open(const char *path, const struct wav_format *format,
	       char problem[CHIME_PROBLEM_SIZE]);
void chime_clear(struct chime *chime);
