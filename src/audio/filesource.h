/* SPDX-License-Identifier: MIT
 * A source that reads a WAV file, or a pipe that carries one. */
#pragma once

#include "audio/source.h"

enum filesource_pace {
	FILESOURCE_PACED,   /* in real time */
	FILESOURCE_AT_ONCE, /* as fast as it can be read */
};

/* Takes over FD, also on error. Starts a thread that reads the header, sends
 * SOURCE_PREPARED, waits for source_go(), and sends SOURCE_OPENED, the samples
 * and SOURCE_ENDED. When FD is not a WAV file, it sends only SOURCE_ENDED with
 * -EBADMSG and the reason. 0 or negative errno. */
int filesource_start(struct source **ret, int fd, enum filesource_pace pace);
