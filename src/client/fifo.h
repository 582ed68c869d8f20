/* SPDX-License-Identifier: MIT
 * The frames in the FIFO: those of one page that have arrived and are not yet
 * written to the card. Pure: no I/O, no clock. */
#pragma once

#include "audio/wav.h"

struct fifo {
	struct wav_format format;
	size_t frame_size; /* bytes */
	uint8_t *buffer;
	size_t capacity; /* bytes, as is what follows */
	size_t begin;
	size_t size;
	uint8_t last[WAV_FRAME_SIZE_MAX]; /* the frame that was taken last */
};

/* Room for CAPACITY_FRAMES of a valid FORMAT. 0 or -ENOMEM. */
int fifo_init(struct fifo *fifo, const struct wav_format *format,
	      size_t capacity_frames);
/* Frees; an all-zero or freed one is fine. */
void fifo_free(struct fifo *fifo);

/* Where bytes may be put (they need not be whole frames), and how many. */
void *fifo_space(struct fifo *fifo, size_t *ret_size);
void fifo_put(struct fifo *fifo, size_t size);

/* Whole frames in fifo, oldest first. */
size_t fifo_frames(const struct fifo *fifo);
const void *fifo_data(const struct fifo *fifo);

/* The oldest COUNT frames went to the card. */
void fifo_take(struct fifo *fifo, size_t count);

/* The oldest COUNT frames are not going to be heard. */
void fifo_drop(struct fifo *fifo, size_t count);

/* Raises the oldest COUNT frames (or what there is) from silence. */
void fifo_fade_in(struct fifo *fifo, size_t count);

/* Nothing follows: removes a torn frame and appends up to COUNT frames that go
 * from the newest frame (in fifo, or taken last) to silence. */
void fifo_fade_out(struct fifo *fifo, size_t count);

/* Where COUNT frames (not more than fifo_frames) in a row are the quietest: how
 * many frames come before them. *ret_power is their mean power. */
size_t fifo_quietest(const struct fifo *fifo, size_t count, double *ret_power);

/* Removes COUNT frames after the first AT ones and softens the seam over
 * FADE_COUNT frames on either side. */
void fifo_cut(struct fifo *fifo, size_t at, size_t count, size_t fade_count);
