/* SPDX-License-Identifier: MIT
 * Is a page live or stored, and how many frames must a live one drop to get
 * back to its target? Pure: no clock, no I/O, no samples. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum latency_kind {
	LATENCY_UNKNOWN, /* too early to tell: nothing may be dropped */
	LATENCY_LIVE,	 /* comes as it is spoken: being late is cured */
	LATENCY_STORED,	 /* comes faster than that: every frame is kept */
};

enum {
	LATENCY_DECIDE_MS = 2000, /* when "unknown" becomes "live" */
	LATENCY_AHEAD_MS = 100,	  /* a live page is never so far ahead */
	LATENCY_SLOT_MS = 100,
	LATENCY_SLOTS = 3,     /* an excess has lasted for so many slots */
	LATENCY_SLOT_GAP = 20, /* without a sample for so long: begin anew */
};

/* Frames count from the page's first; times are microseconds of one clock. */
struct latency {
	uint32_t rate;
	uint64_t target_frames;
	uint64_t period_frames;
	uint64_t begun_usec;
	enum latency_kind kind;
	uint64_t slot; /* number of the slot that is being filled */
	uint64_t slot_spare;
	uint64_t spares[LATENCY_SLOTS]; /* of the slots before */
	unsigned spare_count;
};

/* A page whose header arrived at NOW_USEC. TARGET_FRAMES is how much shall be
 * there when more arrives, PERIOD_FRAMES by how much that may be exceeded. */
void latency_init(struct latency *latency, uint32_t rate,
		  uint64_t target_frames, uint64_t period_frames,
		  uint64_t now_usec);

/* TOTAL_FRAMES of the page have arrived up to NOW_USEC (those that wait in the
 * kernel count as well). Returns the kind, which is also in latency->kind. Once
 * stored, always stored; live can still turn out to be stored. */
enum latency_kind latency_arrived(struct latency *latency, uint64_t now_usec,
				  uint64_t total_frames);

/* Frames are arriving, and SPARE_FRAMES of those before have not sounded yet.
 * Returns how many frames of a live page should go: 0, or the whole excess over
 * the target once it has lasted, by the smallest that was spare, for
 * LATENCY_SLOTS slots in which something arrived. */
uint64_t latency_excess(struct latency *latency, uint64_t now_usec,
			uint64_t spare_frames);

/* Frames were dropped, or the sound was interrupted: what was seen before no
 * longer counts. */
void latency_restart(struct latency *latency);
