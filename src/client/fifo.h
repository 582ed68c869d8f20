/* SPDX-License-Identifier: MIT
 * The frames of one page that have arrived and are not yet written to the card.
 * Pure: no I/O, no clock. */
#pragma once

#include "audio/wav.h"

struct fifo {
	struct wav_format format;
	size_t frame_size; /* bytes */
	uint8_t *buffer;
	size_t capacity; /* bytes, as are the next five */
	size_t capacity_max;
	size_t begin;
	size_t size;
	size_t kept; /* in front of "begin": were taken, newest last */
	size_t kept_max;
	uint8_t last[WAV_FRAME_SIZE_MAX]; /* the frame taken last */
};

/* Allocates room for CAPACITY_FRAMES of a valid FORMAT. 0 or -ENOMEM. */
int fifo_init(struct fifo *fifo, const struct wav_format *format,
	      size_t capacity_frames);
/* Lets it grow by need to room for MOST_FRAMES. */
void fifo_let_grow(struct fifo *fifo, size_t most_frames);
/* Keeps the newest COUNT of the frames that are taken, for fifo_untake(). They
 * take up room. */
void fifo_keep(struct fifo *fifo, size_t count);
/* Frees the buffer. An all-zero FIFO is fine, and so is calling it twice. */
void fifo_free(struct fifo *fifo);

/* Returns where to put new bytes, and in *ret_size how many fit. May move what
 * is in the FIFO. There is room whenever that, with what is kept, takes up no
 * more than two thirds of the capacity. */
void *fifo_space(struct fifo *fifo, size_t *ret_size);
/* SIZE bytes were put there; they need not be whole frames. */
void fifo_put(struct fifo *fifo, size_t size);

/* How many whole frames there are, and where: oldest first. */
size_t fifo_frames(const struct fifo *fifo);
const void *fifo_data(const struct fifo *fifo);

/* Removes the oldest COUNT frames: they were written to the card. */
void fifo_take(struct fifo *fifo, size_t count);

/* Puts the newest COUNT of the frames that were taken back, or as many of them
 * as are kept; returns how many. */
size_t fifo_untake(struct fifo *fifo, size_t count);

/* Removes the oldest COUNT frames: they are not going to be heard. */
void fifo_drop(struct fifo *fifo, size_t count);

/* Fades the oldest COUNT frames (or as many as there are) in from silence. */
void fifo_fade_in(struct fifo *fifo, size_t count);

/* Ends the sound: removes a torn frame and appends up to COUNT copies of the
 * newest frame (if there is none, of the one taken last), faded to silence. */
void fifo_fade_out(struct fifo *fifo, size_t count);

/* Ends the sound at once: fades the oldest COUNT frames to silence, and removes
 * all others. */
void fifo_fade_away(struct fifo *fifo, size_t count);

/* Finds the quietest COUNT frames in a row (at most fifo_frames()). Returns how
 * many frames come before them; *ret_power is their mean power. */
size_t fifo_quietest(const struct fifo *fifo, size_t count, double *ret_power);

/* Removes COUNT frames after the first AT frames, and softens the seam with a
 * fade of FADE_COUNT frames on either side. */
void fifo_cut(struct fifo *fifo, size_t at, size_t count, size_t fade_count);
