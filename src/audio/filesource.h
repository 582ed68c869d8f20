/* SPDX-License-Identifier: MIT
 * A source that reads WAV files, or pipes that carry them, one after the other
 * without a gap: a chime first, then each in the format of the first file. */
#pragma once

#include "audio/source.h"
#include "audio/wavreader.h"

enum filesource_kind {
	/* Sound that is there already, or comes faster than it is heard. */
	FILESOURCE_RECORDING,
	/* Somebody speaks into the pipe: what has come before source_go() is
	 * late, and lost. */
	FILESOURCE_LIVE,
	/* Another server's page: nothing is lost, and nothing waits. */
	FILESOURCE_RELAYED,
};

enum {
	/* What is read ahead of a recording's pipe, at most. */
	FILESOURCE_AHEAD_SIZE_MAX = WAVREADER_AHEAD_SIZE_MAX,
};

struct filesource_config {
	enum filesource_kind kind; /* of a single pipe without a chime */
	/* How much of a recording's pipe is read before it is prepared, unless
	 * it ends earlier. */
	double ahead_seconds;
	/* How long a pipe may bring nothing before it is prepared. */
	double patience_seconds;
	int chime_fd;	/* see chime_load(); or -1 */
	double gain_db; /* of the files, not of the chime; see gain.h */
};

/* What a reason begins with that is about one of several files, from 1 on. */
#define FILESOURCE_ABOUT "File %u: "

/* Takes over the COUNT descriptors at FDS and the chime's, also on error.
 * Starts a thread that reads the headers and some samples, sends
 * SOURCE_PREPARED, waits for source_go(), and sends SOURCE_OPENED, the samples,
 * as fast as they are taken, and SOURCE_ENDED. When one of them is not a WAV
 * file, or brings nothing, it sends only SOURCE_ENDED with -EBADMSG or
 * -ETIMEDOUT and the reason. 0 or negative errno. */
int filesource_start(struct source **ret, const int *fds, unsigned count,
		     const struct filesource_config *config);
