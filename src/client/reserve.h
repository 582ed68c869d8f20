/* SPDX-License-Identifier: MIT
 * How much sound must wait before it plays, so that this network causes no gap:
 * --latency auto. Pure: no clock, no I/O, no samples. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	RESERVE_SLOTS = 12, /* what is remembered: two minutes of sound */
	RESERVE_SLOT_SECONDS = 10,
};

struct reserve {
	uint32_t least_ms, most_ms; /* the same: it does not move */
	uint32_t now_ms;
	uint64_t slot_usec;    /* sound in the present slot */
	uint64_t arrived_usec; /* when frames came last; 0: not yet */
	uint32_t
	    needs_ms[RESERVE_SLOTS]; /* the largest of each; newest first */
};

/* Begins with LEAST_MS; grows to MOST_MS at most. */
void reserve_init(struct reserve *reserve, uint32_t least_ms, uint32_t most_ms);

/* A page begins: the time since the one before was not sound. Shrinks to what
 * the sound of the last two minutes has needed, if that is much less. */
void reserve_resume(struct reserve *reserve);

/* Frames of a live page came at NOW_USEC while SPARE_MS of earlier ones had yet
 * to sound. Shrinks likewise from time to time: true when now_ms has changed.
 */
bool reserve_arrived(struct reserve *reserve, uint64_t now_usec,
		     uint32_t spare_ms);

/* A gap of GAP_MS ends, since frames have come at last: grows by as much as
 * would have closed it. True when now_ms has changed. */
bool reserve_starved(struct reserve *reserve, uint32_t gap_ms);
