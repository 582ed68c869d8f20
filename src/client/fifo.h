/* SPDX-License-Identifier: MIT
 * The frames in hand: those of one page that have arrived and are not yet
 * written to the card. Pure: no I/O, no clock. */
#pragma once

#include "audio/wav.h"

struct hand {
	struct wav_format format;
	size_t frame_size; /* bytes */
	uint8_t *buffer;
	size_t capacity; /* bytes, as is what follows */
	size_t begin;
	size_t size;
	uint8_t last[WAV_FRAME_SIZE_MAX]; /* the frame that was taken last */
};

/* Room for CAPACITY_FRAMES of a valid FORMAT. 0 or -ENOMEM. */
int hand_init(struct hand *hand, const struct wav_format *format,
	      size_t capacity_frames);
/* Frees; an all-zero or freed hand is fine. */
void hand_free(struct hand *hand);

/* Where bytes may be put (they need not be whole frames), and how many. */
void *hand_space(struct hand *hand, size_t *ret_size);
void hand_put(struct hand *hand, size_t size);

/* Whole frames in hand, oldest first. */
size_t hand_frames(const struct hand *hand);
const void *hand_data(const struct hand *hand);

/* The oldest COUNT frames went to the card. */
void hand_take(struct hand *hand, size_t count);

/* The oldest COUNT frames are not going to be heard. */
void hand_drop(struct hand *hand, size_t count);

/* Raises the oldest COUNT frames (or what there is) from silence. */
void hand_fade_in(struct hand *hand, size_t count);

/* Nothing follows: removes a torn frame and appends up to COUNT frames that go
 * from the newest frame (in hand, or taken last) to silence. */
void hand_fade_out(struct hand *hand, size_t count);

/* Where COUNT frames (not more than hand_frames) in a row are the quietest: how
 * many frames come before them. *ret_power is their mean power. */
size_t hand_quietest(const struct hand *hand, size_t count, double *ret_power);

/* Removes COUNT frames after the first AT ones and softens the seam over
 * FADE_COUNT frames on either side. */
void hand_cut(struct hand *hand, size_t at, size_t count, size_t fade_count);
