/* SPDX-License-Identifier: MIT
 * A source that is a microphone. */
#pragma once

#include "audio/source.h"

struct microphone_config {
	const char *device;
	struct wav_format format;
	uint32_t period_frames; /* wished: one chunk */
	uint32_t buffer_frames; /* wished; 0: ALSA chooses */
};

/* Starts a thread that reads the chime in CHIME_FD (a WAV file; -1: none; taken
 * over, also on error) and says SOURCE_PREPARED; opens the device when it may
 * go on (SOURCE_BUSY while others have it), says SOURCE_OPENED and sends one
 * SOURCE_SAMPLES a chunk until it is stopped or the device is lost. While the
 * chime lasts, its frames take the place of those that are captured, so the
 * microphone itself paces it. Strings are copied. 0 or negative errno. */
int microphone_start(struct source **ret,
		     const struct microphone_config *config, int chime_fd);
