/* SPDX-License-Identifier: MIT
 * What a client tells of its pages: a line when one begins and when it ends,
 * with fields when it goes to the journal. */
#pragma once

#include <stdint.h>

#include "audio/wav.h"

enum report_result {
	REPORT_COMPLETE,
	REPORT_CUT_SHORT,  /* the connection ended early */
	REPORT_TAKEN_OVER, /* by a server that was listed earlier */
	REPORT_LIMIT,	   /* --max-duration */
	REPORT_UNHEARD,	   /* there was no card */
	REPORT_STOPPED,	   /* the client was */
};

struct report {
	const char *server;
	struct wav_format format;
	uint64_t data_size; /* as stated, or WAV_ENDLESS */
	/* From here on: of a page that has ended. */
	enum report_result result;
	uint64_t received_frames;
	uint64_t xruns, starvations, starved_ms, dropped_ms, card_losses;
	double latency_ms; /* reached */
};

void report_begin(const struct report *report);
void report_end(const struct report *report);

/* "complete", "cut-short" .. */
const char *report_result_name(enum report_result result);
double report_seconds(const struct report *report);
/* "S16_LE 44100 Hz 2 channels" */
enum { REPORT_FORMAT_SIZE = 64 };
void report_format(const struct wav_format *format,
		   char text[REPORT_FORMAT_SIZE]);
