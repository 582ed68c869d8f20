/* SPDX-License-Identifier: MIT
 * Logs that a page began or ended: one line, with structured fields when stderr
 * is the journal. */
#pragma once

#include <stdint.h>

#include "audio/wav.h"

struct journal_page {
	const char *server;
	struct wav_format format;
	uint64_t data_size; /* as stated, or WAV_ENDLESS */
	/* For journal_end() only. */
	const char *result; /* "complete", "cut-short" .. */
	uint64_t received_frames;
	uint64_t heard_frames; /* of the page, played by a moving card */
	uint64_t xruns, starvations, starved_ms, dropped_ms, card_losses;
	double latency_ms; /* speaker_behind_ms() */
	uint64_t sync_us;  /* speaker_error_us(); 0: it was not on schedule */
};

void journal_begin(const struct journal_page *page);
void journal_end(const struct journal_page *page);

/* Writes a format as people read it: "S16_LE 44100 Hz 2 channels". */
enum { JOURNAL_FORMAT_SIZE = 64 };
void journal_format(const struct wav_format *format,
		    char text[JOURNAL_FORMAT_SIZE]);
