/* SPDX-License-Identifier: MIT
 * Reads a stream of frames at a step of 1 +- 0.002, which may change all the
 * time: a windowed sinc whose zeros are the frames themselves, so that at whole
 * positions the frames are copied, bit by bit. Pure: no clock, no I/O. */
#pragma once

#include "audio/wav.h"

enum {
	RESAMPLE_TAPS = 32,
	RESAMPLE_AHEAD = RESAMPLE_TAPS / 2, /* frames needed after a position */
};

struct resample;

/* The first frame put is number 0; before it was silence. 0 or -ENOMEM. */
int resample_new(struct resample **ret, const struct wav_format *format);
/* Takes NULL; returns NULL. */
struct resample *resample_free(struct resample *resample);

/* Takes up to COUNT frames, as many as it has room for, and returns how many.
 */
size_t resample_put(struct resample *resample, const void *data, size_t count);
/* The same for silence. */
size_t resample_put_silence(struct resample *resample, size_t count);
/* Writes up to COUNT frames, each STEP after the one before it, and returns how
 * many: fewer when frames are wanting. */
size_t resample_take(struct resample *resample, void *data, size_t count,
		     double step);

/* The position of the next frame to be taken: number and part of a frame. */
double resample_position(const struct resample *resample);
/* The number of the next frame to be put. */
int64_t resample_next(const struct resample *resample);
/* Forgets what was put and continues at POSITION (0 or later): the next frame
 * put is the first one not before it. */
void resample_seek(struct resample *resample, double position);
