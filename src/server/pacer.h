/* SPDX-License-Identifier: MIT
 * The clock of a played page: which frames are due, and how fast the lead of
 * its clients may grow. Pure: the caller tells the time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct pacer {
	uint32_t rate;
	uint64_t start_usec;	   /* when frame 0 is due */
	uint64_t grown_usec;	   /* until when the lead has grown */
	uint64_t pause_until_usec; /* it does not grow before */
};

/* Frame 0 is due at NOW (CLOCK_MONOTONIC). */
void pacer_begin(struct pacer *pacer, uint32_t rate, uint64_t now_usec);
/* How many frames are due at NOW, when a live page would have sent them. */
uint64_t pacer_due_frames(const struct pacer *pacer, uint64_t now_usec);
/* Everything is due so much later: the source has not kept up. */
void pacer_slip(struct pacer *pacer, uint64_t frames);
/* By how many frames the lead may have grown since the last call, at half of
 * real time, so that a page is sent at 1.5 times that. It pauses for a second
 * when a client is CONGESTED: then the network may carry no more than the live
 * pages. */
enum pacer_network { PACER_CLEAR, PACER_CONGESTED };
uint64_t pacer_grow(struct pacer *pacer, uint64_t now_usec,
		    enum pacer_network network);
/* Whether that pause is not over. */
bool pacer_pauses(const struct pacer *pacer, uint64_t now_usec);
