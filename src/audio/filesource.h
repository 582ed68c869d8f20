/* SPDX-License-Identifier: MIT
 * A source that is a WAV file or a pipe with one. */
#pragma once

#include "audio/source.h"

enum filesource_pace {
	FILESOURCE_PACED,   /* chunk by chunk, at the file's own rate */
	FILESOURCE_AT_ONCE, /* as fast as it can be read */
};

/* Takes over FD (also on error) and starts a thread that reads the header and
 * says SOURCE_PREPARED; when it may go on it says SOURCE_OPENED and sends the
 * samples. Or SOURCE_ENDED with -EBADMSG and the reason when it is no WAV file.
 * 0 or negative errno. */
int filesource_start(struct source **ret, int fd, enum filesource_pace pace);
