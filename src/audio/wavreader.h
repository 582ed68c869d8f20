/* SPDX-License-Identifier: MIT
 * Reads one WAV file, or a pipe that carries one, in a source's thread: STOP is
 * that thread's socket, and everything that waits ends with -EPIPE once
 * source_stopped(STOP). */
#pragma once

#include <stdbool.h>

#include "audio/wav.h"

enum {
	/* What is read ahead of a pipe, at most. */
	WAVREADER_AHEAD_SIZE_MAX = 384 << 10,
	WAVREADER_READ_SIZE_MAX = 65536,
};

struct wavreader {
	int fd;
	bool is_regular;
	off_t offset; /* in a regular file, whose own may be shared */
	int pipe[2];  /* of our own, for what is no regular file */
	double patience_seconds;
	struct wav_parser parser;
	struct wav_format format; /* of what is read: the parser's made plain */
	uint64_t size;		  /* bytes of the samples, as in the file */
	bool has_end;		  /* that size is exact */
	uint8_t buffer[WAVREADER_AHEAD_SIZE_MAX + WAVREADER_READ_SIZE_MAX +
		       WAV_TRAILER_MAX];
	size_t have; /* bytes in buffer */
	size_t lent; /* of them: was returned by wavreader_read() */
	bool ended;  /* all of it was read */
};

/* Takes over FD, also on error. A pipe that brings nothing for PATIENCE_SECONDS
 * while it is opened is given up. 0 or negative errno. */
int wavreader_new(struct wavreader **ret, int fd, double patience_seconds);

/* Reads the header and finds out how much follows. 0; -EBADMSG: it is not a WAV
 * file that can be played, parser.error says why; -ETIMEDOUT or another
 * negative errno. */
int wavreader_open(struct wavreader *reader, int stop);
/* Reads a pipe until it has ended, which tells its size, or for so much sound.
 * 0 or negative errno. */
int wavreader_read_ahead(struct wavreader *reader, double seconds, int stop);
/* Leaves out what is older than now, of a pipe that has waited since
 * SINCE_USEC. 0 or negative errno. */
int wavreader_drop_late(struct wavreader *reader, uint64_t since_usec,
			int stop);
/* How many frames there are, or WAV_ENDLESS. */
uint64_t wavreader_frames(const struct wavreader *reader);
/* Reads up to COUNT frames: *ret, valid until the next call, is theirs in the
 * plain format. Frames; 0 at the end; -ENODATA: the file was cut; or another
 * negative errno. */
ssize_t wavreader_read(struct wavreader *reader, size_t count, void **ret,
		       int stop);

/* Closes it. Takes NULL; returns NULL. */
struct wavreader *wavreader_free(struct wavreader *reader);
