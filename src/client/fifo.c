/* SPDX-License-Identifier: MIT
 * A byte queue in one piece, so that the card and the level functions can take
 * many frames at once. */
#include "client/fifo.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "audio/samples.h"
#include "base/util.h"

/* Quiet places are looked for in steps of so many blocks a second. */
#define BLOCKS_PER_SECOND 500
/* Of so many frames each so-manieth is looked at. */
#define STRIDE_LEAST 2048
#define STRIDE 8

int hand_init(struct hand *hand, const struct wav_format *format,
	      size_t capacity_frames)
{
	*hand = (struct hand){
	    .format = *format,
	    .frame_size = wav_frame_size(format),
	};
	hand->capacity = capacity_frames * hand->frame_size;
	hand->buffer = malloc(hand->capacity);
	if (!hand->buffer)
		return -ENOMEM;
	memset(hand->last, wav_silence(format), sizeof(hand->last));
	return 0;
}

void hand_free(struct hand *hand)
{
	free(hand->buffer);
	*hand = (struct hand){0};
}

void *hand_space(struct hand *hand, size_t *ret_size)
{
	if (hand->begin > 0 &&
	    (hand->size == 0 || hand->begin >= hand->capacity / 2)) {
		memmove(hand->buffer, hand->buffer + hand->begin, hand->size);
		hand->begin = 0;
	}
	*ret_size = hand->capacity - hand->begin - hand->size;
	return hand->buffer + hand->begin + hand->size;
}

void hand_put(struct hand *hand, size_t size)
{
	assert(size <= hand->capacity - hand->begin - hand->size);
	hand->size += size;
}

size_t hand_frames(const struct hand *hand)
{
	return hand->frame_size ? hand->size / hand->frame_size : 0;
}

const void *hand_data(const struct hand *hand)
{
	return hand->buffer + hand->begin;
}

static uint8_t *frame_at(const struct hand *hand, size_t index)
{
	return hand->buffer + hand->begin + index * hand->frame_size;
}

void hand_take(struct hand *hand, size_t count)
{
	if (count > 0)
		memcpy(hand->last, frame_at(hand, count - 1), hand->frame_size);
	hand_drop(hand, count);
}

void hand_drop(struct hand *hand, size_t count)
{
	assert(count <= hand_frames(hand));
	hand->begin += count * hand->frame_size;
	hand->size -= count * hand->frame_size;
}

void hand_fade_in(struct hand *hand, size_t count)
{
	if (count > hand_frames(hand))
		count = hand_frames(hand);
	if (count > 0)
		level_fade(&hand->format, frame_at(hand, 0), count, 0, 1);
}

void hand_fade_out(struct hand *hand, size_t count)
{
	const uint8_t *newest;
	uint8_t *tail;
	size_t room;

	hand->size = hand_frames(hand) * hand->frame_size;
	newest =
	    hand->size ? frame_at(hand, hand_frames(hand) - 1) : hand->last;
	memmove(hand->last, newest, hand->frame_size);
	if (hand->begin > 0)
		memmove(hand->buffer, hand->buffer + hand->begin, hand->size);
	hand->begin = 0;

	tail = hand->buffer + hand->size;
	room = (hand->capacity - hand->size) / hand->frame_size;
	if (count > room)
		count = room;
	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++)
		memcpy(tail + i * hand->frame_size, hand->last,
		       hand->frame_size);
	level_fade(&hand->format, tail, count, 1, 0);
	hand->size += count * hand->frame_size;
}

static size_t block_frames(const struct hand *hand)
{
	return hand->format.rate / BLOCKS_PER_SECOND;
}

/* The energy of COUNT frames from AT on. A pause is told from speech by a part
 * of its frames as well. */
static double energy(const struct hand *hand, size_t at, size_t count,
		     size_t stride)
{
	return level_power(&hand->format, frame_at(hand, at), count, stride) *
	       (double)count;
}

size_t hand_quietest(const struct hand *hand, size_t count, double *ret_power)
{
	const size_t block = block_frames(hand);
	const size_t frames = hand_frames(hand);
	const size_t stride = count >= STRIDE_LEAST ? STRIDE : 1;
	size_t best_at = 0;
	double sum = 0, best;

	assert(count <= frames);
	if (count == 0) {
		*ret_power = 0;
		return 0;
	}
	/* A window of COUNT frames that moves on block by block. */
	sum = energy(hand, 0, count, stride);
	best = sum;
	for (size_t at = 0; at + block + count <= frames; at += block) {
		sum -= energy(hand, at, block, stride);
		sum += energy(hand, at + count, block, stride);
		if (sum < best) {
			best = sum;
			best_at = at + block;
		}
	}
	/* Sums of differences can end a hair below zero. */
	*ret_power = best > 0 ? best / (double)count : 0;
	return best_at;
}

void hand_cut(struct hand *hand, size_t at, size_t count, size_t fade_count)
{
	const size_t frames = hand_frames(hand);
	size_t before, after;

	assert(at <= frames && count <= frames - at);
	before = at < fade_count ? at : fade_count;
	after = frames - at - count;
	if (after > fade_count)
		after = fade_count;
	if (before > 0)
		level_fade(&hand->format, frame_at(hand, at - before), before,
			   1, 0);
	if (after > 0)
		level_fade(&hand->format, frame_at(hand, at + count), after, 0,
			   1);
	memmove(frame_at(hand, at), frame_at(hand, at + count),
		hand->size - (at + count) * hand->frame_size);
	hand->size -= count * hand->frame_size;
}
