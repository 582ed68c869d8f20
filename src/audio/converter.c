/* SPDX-License-Identifier: MIT
 * Only a change of the rate goes through floats of 32 bits. */
#include "audio/converter.h"

#include <errno.h>
#include <samplerate.h>
#include <stdlib.h>

#include "audio/samples.h"
#include "base/util.h"

enum { PIECE_FRAMES = 4096 }; /* of the result, at a time */

struct room {
	void *memory;
	size_t frames;
};

struct converter {
	struct wav_format from, to;
	SRC_STATE *resampler; /* NULL: the rates are equal */
	double ratio;
	uint64_t taken, given; /* frames */
	struct room samples;   /* before resampling: floats in TO's channels */
	float *resampled;      /* PIECE_FRAMES */
	struct room data;      /* of the format TO */
};

uint64_t converter_frames(uint64_t count, uint32_t from, uint32_t to)
{
	if (from == to || count == WAV_ENDLESS)
		return count;
	if (count / from >= UINT64_MAX / to)
		return WAV_ENDLESS;
	return count / from * to + (count % from * to + from / 2) / from;
}

int converter_new(struct converter **ret, const struct wav_format *from,
		  const struct wav_format *to)
{
	struct converter *c = calloc(1, sizeof(*c));
	int error = 0;

	if (!c)
		return -ENOMEM;
	c->from = *from;
	c->to = *to;
	c->ratio = (double)to->rate / from->rate;
	if (from->rate != to->rate && !src_is_valid_ratio(c->ratio)) {
		converter_free(c);
		return -EOPNOTSUPP;
	}
	if (from->rate != to->rate) {
		c->resampler =
		    src_new(SRC_SINC_MEDIUM_QUALITY, to->channels, &error);
		c->resampled =
		    malloc(sizeof(float) * PIECE_FRAMES * to->channels);
		if (!c->resampler || !c->resampled) {
			converter_free(c);
			return -ENOMEM;
		}
	}
	*ret = c;
	return 0;
}

struct converter *converter_free(struct converter *c)
{
	if (!c)
		return NULL;
	if (c->resampler)
		src_delete(c->resampler);
	free(c->samples.memory);
	free(c->resampled);
	free(c->data.memory);
	free(c);
	return NULL;
}

/* --- channels --- */

/* One channel goes to all, all go to one as their mean; else those beyond are
 * dropped or silent. */
static double mixed_sample(const struct converter *c, const uint8_t *frame,
			   unsigned channel)
{
	const size_t sample_size = c->from.bits / 8;
	double sum = 0;

	if (c->from.channels == 1)
		return samples_get(&c->from, frame);
	if (c->to.channels > 1)
		return channel < c->from.channels
			   ? samples_get(&c->from,
					 frame + channel * sample_size)
			   : 0;
	for (unsigned i = 0; i < c->from.channels; i++)
		sum += samples_get(&c->from, frame + i * sample_size);
	return sum / c->from.channels;
}

/* --- room --- */

static int make_room(struct room *room, size_t frames, size_t frame_size)
{
	void *larger;

	if (frames <= room->frames)
		return 0;
	larger = reallocarray(room->memory, frames, frame_size);
	if (!larger)
		return -ENOMEM;
	*room = (struct room){larger, frames};
	return 0;
}

static int make_data_room(struct converter *c, size_t frames)
{
	return make_room(&c->data, frames, wav_frame_size(&c->to));
}

static int make_samples_room(struct converter *c, size_t frames)
{
	return make_room(&c->samples, frames, sizeof(float) * c->to.channels);
}

/* --- samples --- */

static ssize_t put_directly(struct converter *c, const uint8_t *data,
			    size_t count)
{
	const size_t from_size = wav_frame_size(&c->from);
	const size_t to_size = c->to.bits / 8;
	uint8_t *to;

	if (make_data_room(c, count) < 0)
		return -ENOMEM;
	to = c->data.memory;
	for (size_t i = 0; i < count; i++, data += from_size)
		for (unsigned k = 0; k < c->to.channels; k++, to += to_size)
			samples_put(&c->to, to, mixed_sample(c, data, k));
	return (ssize_t)count;
}

/* Appends COUNT resampled frames to the HAVE ones in the data. */
static int append_resampled(struct converter *c, size_t have, size_t count)
{
	const size_t size = c->to.bits / 8;
	const size_t channels = c->to.channels;
	uint8_t *to;

	if (make_data_room(c, have + count) < 0)
		return -ENOMEM;
	to = c->data.memory;
	for (size_t i = 0; i < count * channels; i++)
		samples_put(&c->to, to + (have * channels + i) * size,
			    (double)c->resampled[i]);
	return 0;
}

/* Resamples COUNT frames of c->samples, the last ones with END 1. */
static ssize_t resample(struct converter *c, size_t count, int end)
{
	SRC_DATA data = {
	    .data_in = c->samples.memory,
	    .input_frames = (long)count,
	    .data_out = c->resampled,
	    .output_frames = PIECE_FRAMES,
	    .src_ratio = c->ratio,
	    .end_of_input = end,
	};
	size_t have = 0;

	do {
		if (src_process(c->resampler, &data) != 0)
			return -EIO;
		if (append_resampled(c, have, (size_t)data.output_frames_gen) <
		    0)
			return -ENOMEM;
		have += (size_t)data.output_frames_gen;
		data.data_in += (size_t)data.input_frames_used * c->to.channels;
		data.input_frames -= data.input_frames_used;
	} while (data.input_frames > 0 ||
		 data.output_frames_gen == PIECE_FRAMES);
	return (ssize_t)have;
}

static ssize_t put_resampled(struct converter *c, const uint8_t *data,
			     size_t count)
{
	const size_t from_size = wav_frame_size(&c->from);
	float *to;

	if (make_samples_room(c, count) < 0)
		return -ENOMEM;
	to = c->samples.memory;
	for (size_t i = 0; i < count; i++, data += from_size)
		for (unsigned k = 0; k < c->to.channels; k++)
			*to++ = (float)mixed_sample(c, data, k);
	return resample(c, count, 0);
}

/* Never more than all that was put is to become. */
static ssize_t give(struct converter *c, ssize_t count, void **ret)
{
	const uint64_t left =
	    converter_frames(c->taken, c->from.rate, c->to.rate) - c->given;

	if (count < 0)
		return count;
	count = (ssize_t)MIN((uint64_t)count, left);
	c->given += (uint64_t)count;
	*ret = c->data.memory;
	return count;
}

ssize_t converter_put(struct converter *c, const void *data, size_t count,
		      void **ret)
{
	c->taken += count;
	return give(c,
		    c->resampler ? put_resampled(c, data, count)
				 : put_directly(c, data, count),
		    ret);
}

/* What the resampler is short of, a frame or so, becomes silence. */
static ssize_t pad(struct converter *c, void **ret)
{
	const size_t frames = 64;

	if (make_data_room(c, frames) < 0)
		return -ENOMEM;
	memset(c->data.memory, wav_silence(&c->to),
	       frames * wav_frame_size(&c->to));
	return give(c, (ssize_t)frames, ret);
}

ssize_t converter_end(struct converter *c, void **ret)
{
	ssize_t count;

	if (!c->resampler)
		return 0;
	if (make_samples_room(c, 1) < 0)
		return -ENOMEM;
	count = give(c, resample(c, 0, 1), ret);
	return count != 0 ? count : pad(c, ret);
}
