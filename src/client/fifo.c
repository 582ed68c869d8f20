/* SPDX-License-Identifier: MIT
 * A contiguous byte queue rather than a ring, so that the card and the
 * functions of samples.h can take many frames at once. */
#include "client/fifo.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "audio/samples.h"
#include "base/util.h"

/* A quiet place is searched for in steps of 2 ms. */
#define BLOCKS_PER_SECOND 500
/* In windows of STRIDE_LEAST frames or more, looks at every STRIDEth frame. */
#define STRIDE_LEAST 2048
#define STRIDE 8
/* When there is less room, in bytes, it grows, or moves what it holds. */
#define ROOM_LEAST ((size_t)64 * 1024)

int fifo_init(struct fifo *fifo, const struct wav_format *format,
	      size_t capacity_frames)
{
	*fifo = (struct fifo){
	    .format = *format,
	    .frame_size = wav_frame_size(format),
	};
	fifo->capacity = fifo->capacity_max =
	    capacity_frames * fifo->frame_size;
	fifo->buffer = malloc(fifo->capacity);
	if (!fifo->buffer)
		return -ENOMEM;
	memset(fifo->last, wav_silence(format), sizeof(fifo->last));
	return 0;
}

void fifo_let_grow(struct fifo *fifo, size_t most_frames)
{
	fifo->capacity_max =
	    MAX(fifo->capacity, most_frames * fifo->frame_size);
}

void fifo_keep(struct fifo *fifo, size_t count)
{
	fifo->kept_max = count * fifo->frame_size;
	fifo->kept = MIN(fifo->kept, fifo->kept_max);
}

void fifo_free(struct fifo *fifo)
{
	free(fifo->buffer);
	*fifo = (struct fifo){0};
}

static void close_up(struct fifo *fifo)
{
	if (fifo->begin > fifo->kept)
		memmove(fifo->buffer, fifo->buffer + fifo->begin - fifo->kept,
			fifo->kept + fifo->size);
	fifo->begin = fifo->kept;
}

static size_t room(const struct fifo *fifo)
{
	return fifo->capacity - fifo->begin - fifo->size;
}

/* Without memory it stays as it is: whoever fills it waits then. */
static void grow(struct fifo *fifo)
{
	const size_t capacity = MIN(2 * fifo->capacity, fifo->capacity_max);
	uint8_t *buffer = realloc(fifo->buffer, capacity);

	if (!buffer)
		return;
	fifo->buffer = buffer;
	fifo->capacity = capacity;
}

/* A move must free at least half of what it moves, and twice as much where
 * there is still room: otherwise a full FIFO would be moved for each chunk. */
void *fifo_space(struct fifo *fifo, size_t *ret_size)
{
	const size_t gone = fifo->begin - fifo->kept;
	const size_t held = fifo->kept + fifo->size;
	const bool tight = room(fifo) < ROOM_LEAST;

	if (gone >= (tight ? held / 2 : 2 * held))
		close_up(fifo);
	else if (tight && fifo->capacity < fifo->capacity_max)
		grow(fifo);
	*ret_size = room(fifo);
	return fifo->buffer + fifo->begin + fifo->size;
}

void fifo_put(struct fifo *fifo, size_t size)
{
	assert(size <= room(fifo));
	fifo->size += size;
}

size_t fifo_frames(const struct fifo *fifo)
{
	return fifo->frame_size ? fifo->size / fifo->frame_size : 0;
}

const void *fifo_data(const struct fifo *fifo)
{
	return fifo->buffer + fifo->begin;
}

static uint8_t *frame_at(const struct fifo *fifo, size_t index)
{
	return fifo->buffer + fifo->begin + index * fifo->frame_size;
}

void fifo_take(struct fifo *fifo, size_t count)
{
	const size_t size = count * fifo->frame_size;

	assert(count <= fifo_frames(fifo));
	if (count > 0)
		memcpy(fifo->last, frame_at(fifo, count - 1), fifo->frame_size);
	fifo->begin += size;
	fifo->size -= size;
	fifo->kept = MIN(fifo->kept + size, fifo->kept_max);
}

size_t fifo_untake(struct fifo *fifo, size_t count)
{
	size_t size;

	count = MIN(count, fifo->kept / fifo->frame_size);
	size = count * fifo->frame_size;
	fifo->begin -= size;
	fifo->size += size;
	fifo->kept -= size;
	return count;
}

void fifo_drop(struct fifo *fifo, size_t count)
{
	assert(count <= fifo_frames(fifo));
	fifo->begin += count * fifo->frame_size;
	fifo->size -= count * fifo->frame_size;
	/* What was taken is no longer what comes before the rest. */
	if (count > 0)
		fifo->kept = 0;
}

void fifo_fade_in(struct fifo *fifo, size_t count)
{
	count = MIN(count, fifo_frames(fifo));
	if (count > 0)
		samples_fade(&fifo->format, frame_at(fifo, 0), count, 0, 1);
}

void fifo_fade_out(struct fifo *fifo, size_t count)
{
	const size_t frames = fifo_frames(fifo);
	uint8_t *tail;

	fifo->size = frames * fifo->frame_size;
	if (frames > 0)
		memcpy(fifo->last, frame_at(fifo, frames - 1),
		       fifo->frame_size);
	close_up(fifo);
	tail = frame_at(fifo, frames);
	count = MIN(count, room(fifo) / fifo->frame_size);
	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++)
		memcpy(tail + i * fifo->frame_size, fifo->last,
		       fifo->frame_size);
	samples_fade(&fifo->format, tail, count, 1, 0);
	fifo->size += count * fifo->frame_size;
}

void fifo_fade_away(struct fifo *fifo, size_t count)
{
	count = MIN(count, fifo_frames(fifo));
	fifo->size = count * fifo->frame_size;
	if (count > 0)
		samples_fade(&fifo->format, frame_at(fifo, 0), count, 1, 0);
}

static size_t block_frames(const struct fifo *fifo)
{
	return fifo->format.rate / BLOCKS_PER_SECOND;
}

/* The energy of COUNT frames from AT on. Every STRIDEth frame is enough to tell
 * a pause from speech. */
static double energy(const struct fifo *fifo, size_t at, size_t count,
		     size_t stride)
{
	return samples_power(&fifo->format, frame_at(fifo, at), count, stride) *
	       (double)count;
}

size_t fifo_quietest(const struct fifo *fifo, size_t count, double *ret_power)
{
	const size_t block = block_frames(fifo);
	const size_t frames = fifo_frames(fifo);
	const size_t stride = count >= STRIDE_LEAST ? STRIDE : 1;
	size_t best_at = 0;
	double sum = 0, best;

	assert(count <= frames);
	if (count == 0) {
		*ret_power = 0;
		return 0;
	}
	/* A window of COUNT frames slides over the FIFO block by block. */
	sum = energy(fifo, 0, count, stride);
	best = sum;
	for (size_t at = 0; at + block + count <= frames; at += block) {
		sum -= energy(fifo, at, block, stride);
		sum += energy(fifo, at + count, block, stride);
		if (sum < best) {
			best = sum;
			best_at = at + block;
		}
	}
	/* Rounding can leave a running sum a hair below zero. */
	*ret_power = best > 0 ? best / (double)count : 0;
	return best_at;
}

void fifo_cut(struct fifo *fifo, size_t at, size_t count, size_t fade_count)
{
	const size_t frames = fifo_frames(fifo);
	const size_t before = MIN(at, fade_count);
	const size_t after = MIN(frames - at - count, fade_count);

	assert(at <= frames && count <= frames - at);
	if (before > 0)
		samples_fade(&fifo->format, frame_at(fifo, at - before), before,
			     1, 0);
	if (after > 0)
		samples_fade(&fifo->format, frame_at(fifo, at + count), after,
			     0, 1);
	memmove(frame_at(fifo, at), frame_at(fifo, at + count),
		fifo->size - (at + count) * fifo->frame_size);
	fifo->size -= count * fifo->frame_size;
}
