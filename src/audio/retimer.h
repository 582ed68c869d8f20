/* SPDX-License-Identifier: MIT
 * Turns what a capture card gives, at its own rate, into a stream of exactly
 * RATE frames a second of CLOCK_MONOTONIC. Pure: no clock, no I/O. */
#pragma once

#include <stdbool.h>

#include "audio/resample.h"

/* Frames that must have been captured after one that is taken. */
enum { RETIMER_AHEAD = RESAMPLE_AHEAD };

struct retimer;

/* 0 or -ENOMEM. */
int retimer_new(struct retimer **ret, const struct wav_format *format);
/* Takes NULL; returns NULL. */
struct retimer *retimer_free(struct retimer *retimer);

/* Frame 0 of the output is what was captured at NS. Without this call it is the
 * first frame that is read. */
void retimer_start(struct retimer *retimer, int64_t ns);
/* The card, which is yet to begin, has captured nothing by NS. Returns how many
 * frames of silence are due until then. */
uint64_t retimer_await(struct retimer *retimer, int64_t ns);
/* COUNT frames were read from the card, which had captured WAITING more by NS:
 * call it before they are put. Returns how many frames of silence are due
 * before them: 0, unless the card began after the start, or frames were lost.
 * Those that have no time left are dropped as they are put. */
uint64_t retimer_read(struct retimer *retimer, int64_t ns, size_t count,
		      uint64_t waiting);
/* The card has lost frames: before the next that are read. */
void retimer_lost(struct retimer *retimer);
/* Whether the card has stood still or jumped, though it tells of no loss: call
 * retimer_lost(), or what follows is at another time than it was captured. */
bool retimer_is_astray(const struct retimer *retimer);

/* Takes up to COUNT of the frames and returns how many; take what is there when
 * it takes none. */
size_t retimer_put(struct retimer *retimer, const void *data, size_t count);
/* Writes up to COUNT frames and returns how many; fewer: more must be put. */
size_t retimer_take(struct retimer *retimer, void *data, size_t count);
