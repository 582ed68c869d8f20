/* SPDX-License-Identifier: MIT
 * Tells a live page from a stored one, and how many frames a live page must
 * drop to get back to its target. Pure: no clock, no I/O, no samples. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum latency_kind {
	LATENCY_UNKNOWN, /* too early to tell: nothing may be dropped */
	LATENCY_LIVE,	 /* arrives as it is spoken: excess delay is dropped */
	LATENCY_STORED,	 /* arrives faster than real time: nothing is dropped */
	LATENCY_PLAYED,	 /* a recording, as it says: nothing is dropped */
};

enum {
	LATENCY_DECIDE_MS = 2000, /* after this, "unknown" becomes "live" */
	LATENCY_AHEAD_MS = 100,	  /* a live page is never this far ahead */
	LATENCY_SLOT_MS = 100,
	LATENCY_SLOTS = 3,     /* how many slots an excess must last */
	LATENCY_SLOT_GAP = 20, /* slots without a sample: begin anew */
};

/* All times are microseconds of the same clock. */
struct latency {
	uint32_t rate;
	uint64_t target_frames;
	uint64_t period_frames;
	uint64_t begun_usec;
	enum latency_kind kind;
	uint64_t slot;	     /* number of the current slot; 0: none yet */
	uint64_t slot_spare; /* fewest spare frames in it so far */
	uint64_t spares[LATENCY_SLOTS]; /* the same of the slots before */
	unsigned spare_count;
};

/* Begins with a page whose header arrived at NOW_USEC. TARGET_FRAMES is how
 * many frames should be waiting whenever more arrive, PERIOD_FRAMES how many
 * beyond that are tolerated. */
void latency_init(struct latency *latency, uint32_t rate,
		  uint64_t target_frames, uint64_t period_frames,
		  uint64_t now_usec);

/* TOTAL_FRAMES have arrived by NOW_USEC, those that wait in the kernel
 * included. Returns the kind, which is also in latency->kind. A stored or
 * played page remains one; a live page can still turn out to be stored. */
enum latency_kind latency_arrived(struct latency *latency, uint64_t now_usec,
				  uint64_t total_frames);

/* For so long the machine has slept, which the times do not count: the page has
 * gone on. */
void latency_slept(struct latency *latency, uint64_t usec);

/* To be called when frames arrive while SPARE_FRAMES earlier ones have yet to
 * sound. Returns how many frames a live page should drop: 0, until it has had
 * too many to spare throughout LATENCY_SLOTS slots; then the smallest number of
 * spare frames in them, less the target. */
uint64_t latency_excess(struct latency *latency, uint64_t now_usec,
			uint64_t spare_frames);

/* Forgets the slots: frames were dropped, or the sound was interrupted. */
void latency_restart(struct latency *latency);
