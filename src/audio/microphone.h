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

/* Starts a thread that opens the device, says SOURCE_OPENED and sends one
 * SOURCE_SAMPLES a chunk until it is stopped or the device is lost. Strings are
 * copied. 0 or negative errno. */
int microphone_start(struct source **ret,
		     const struct microphone_config *config);
