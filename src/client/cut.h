/* SPDX-License-Identifier: MIT
 * Drops what a live page has waiting beyond its target: in a pause of speech if
 * one comes in time. Pure: no clock, no card. */
#pragma once

#include "client/fifo.h"

struct cut {
	uint64_t excess_frames; /* to be dropped; 0: nothing */
	uint64_t limit_usec;	/* until when to wait for a quiet place, or 0 */
};

/* More frames have come. Drops the excess from FIFO, with a fade of FADE_FRAMES
 * on either side of the seam: as soon as there is a quiet place for it, or with
 * CUT_IN_TIME after half a second, wherever it is quietest. Returns how many
 * frames are gone. */
enum cut_patience { CUT_IN_TIME, CUT_PATIENT };
size_t cut_excess(struct cut *cut, struct fifo *fifo,
		  enum cut_patience patience, size_t fade_frames,
		  uint64_t now_usec);
