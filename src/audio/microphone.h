/* SPDX-License-Identifier: MIT
 * A source that captures from a microphone. */
#pragma once

#include "audio/source.h"

enum microphone_clock {
	MICROPHONE_CARD,      /* each frame as it was captured */
	MICROPHONE_MONOTONIC, /* resampled: see microphone_start() */
};

struct microphone_config {
	const char *device;
	struct wav_format format;
	uint32_t period_frames; /* wanted, one chunk; 0: see pcm_config */
	uint32_t buffer_frames; /* wanted; 0: see pcm_config */
	double gain_db;		/* of the microphone, not of a chime */
	enum microphone_clock clock;
};

/* Takes over CHIME_FD (a WAV file; -1: none), also on error; copies the
 * strings. Starts a thread that reads the chime, sends SOURCE_PREPARED, waits
 * for source_go() and opens the device (SOURCE_BUSY while another program has
 * it). It sends SOURCE_OPENED and one SOURCE_SAMPLES a chunk until it is
 * stopped or the device is lost. While the chime lasts, its frames replace the
 * captured ones, so the microphone itself paces it, and it is held back as long
 * as they are for a limiter. With MICROPHONE_MONOTONIC
 * frame n is what was captured n / rate after u.opened.start_ns, whatever the
 * rate of the card, and what it has lost is a SOURCE_GAP of exactly that
 * length. 0 or negative errno. */
int microphone_start(struct source **ret,
		     const struct microphone_config *config, int chime_fd);
