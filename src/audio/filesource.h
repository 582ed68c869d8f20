/* SPDX-License-Identifier: MIT
 * A source that reads a WAV file, or a pipe that carries one. */
#pragma once

#include "audio/source.h"

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
	FILESOURCE_AHEAD_SIZE_MAX = 384 << 10,
};

struct filesource_config {
	enum filesource_kind kind;
	/* How much of a recording's pipe is read before it is prepared, unless
	 * it ends earlier. */
	double ahead_seconds;
	/* How long a pipe may bring nothing before it is prepared. */
	double patience_seconds;
};

/* Takes over FD, also on error. Starts a thread that reads the header and some
 * samples, sends SOURCE_PREPARED, waits for source_go(), and sends
 * SOURCE_OPENED, the samples, as fast as they are taken, and SOURCE_ENDED. When
 * FD is not a WAV file, or brings nothing, it sends only SOURCE_ENDED with
 * -EBADMSG or -ETIMEDOUT and the reason. 0 or negative errno. */
int filesource_start(struct source **ret, int fd,
		     const struct filesource_config *config);
