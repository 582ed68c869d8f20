/* SPDX-License-Identifier: MIT
 * For each frame the gain that it allows; the lowest of these in the next few
 * milliseconds, from which it recovers slowly; and the mean of that over the
 * same time, which is reached when the frame that asked for it goes out. */
#include "audio/gain.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "audio/samples.h"

enum {
	AHEAD_MS = 5,
	RECOVERY_MS = 200, /* to 1/e */
};

struct limiter {
	size_t ahead;	  /* frames that are held back */
	double *frames;	  /* these, louder already: a ring */
	double *gains;	  /* as long, of the means: a ring */
	size_t at;	  /* in both rings */
	size_t held;	  /* frames in the ring */
	double sum;	  /* of gains */
	double lowest[2]; /* allowed in this block of frames, and the last */
	size_t block;	  /* frames in this block */
	double gain;	  /* before the mean */
	double recovery;  /* by each frame */
};

struct gain {
	struct wav_format format;
	double factor;
	struct limiter *limiter; /* NULL: it makes nothing louder */
	uint8_t *drained;
};

static void limiter_free(struct limiter *l)
{
	if (!l)
		return;
	free(l->frames);
	free(l->gains);
	free(l);
}

/* As if there had been silence before. */
static void limiter_reset(struct limiter *l)
{
	for (size_t i = 0; i < l->ahead; i++)
		l->gains[i] = 1;
	l->sum = (double)l->ahead;
	l->lowest[0] = l->lowest[1] = l->gain = 1;
	l->at = l->held = l->block = 0;
}

static struct limiter *limiter_new(const struct wav_format *format)
{
	struct limiter *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->ahead = (size_t)format->rate * AHEAD_MS / 1000;
	l->frames = calloc(l->ahead * format->channels, sizeof(double));
	l->gains = calloc(l->ahead, sizeof(double));
	if (!l->frames || !l->gains) {
		limiter_free(l);
		return NULL;
	}
	l->recovery = 1 - exp(-1000.0 / RECOVERY_MS / format->rate);
	limiter_reset(l);
	return l;
}

/* The lowest of at least the last "ahead" frames: those of this block and of
 * the block before. */
static double lowest_allowed(struct limiter *l, double allowed)
{
	if (l->block == l->ahead) {
		l->lowest[1] = l->lowest[0];
		l->lowest[0] = 1;
		l->block = 0;
	}
	l->block++;
	l->lowest[0] = fmin(l->lowest[0], allowed);
	return fmin(l->lowest[0], l->lowest[1]);
}

/* The gain of the frame that goes out when one with this PEAK comes in. */
static double next_gain(struct limiter *l, double peak)
{
	const double allowed = peak > GAIN_CEILING ? GAIN_CEILING / peak : 1;
	const double recovered = l->gain + (1 - l->gain) * l->recovery;

	l->gain = fmin(lowest_allowed(l, allowed), recovered);
	l->sum += l->gain - l->gains[l->at];
	l->gains[l->at] = l->gain;
	return fmin(1, l->sum / (double)l->ahead);
}

/* Writes the oldest frame of the ring with GAIN to TO. */
static void write_oldest(const struct gain *g, double gain, uint8_t *to)
{
	const struct limiter *l = g->limiter;
	const unsigned channels = g->format.channels;
	const double *frame = l->frames + l->at * channels;

	for (unsigned c = 0; c < channels; c++) {
		const double value = frame[c] * gain;

		samples_put(&g->format, to + c * (g->format.bits / 8),
			    fmax(-GAIN_CEILING, fmin(GAIN_CEILING, value)));
	}
}

/* Puts a frame (silence: NULL) into the ring, in place of the oldest one, which
 * goes to TO if there is one. Returns how many frames went there. */
static size_t exchange(struct gain *g, const uint8_t *from, uint8_t *to)
{
	struct limiter *l = g->limiter;
	const unsigned channels = g->format.channels;
	double frame[WAV_CHANNELS_MAX] = {0}, peak = 0, gain;
	const bool is_full = l->held == l->ahead;

	for (unsigned c = 0; from && c < channels; c++) {
		frame[c] =
		    samples_get(&g->format, from + c * (g->format.bits / 8)) *
		    g->factor;
		peak = fmax(peak, fabs(frame[c]));
	}
	gain = next_gain(l, peak);
	if (is_full)
		write_oldest(g, gain, to);
	memcpy(l->frames + l->at * channels, frame, channels * sizeof(double));
	l->at = (l->at + 1) % l->ahead;
	l->held += !is_full;
	return is_full;
}

static void multiply(const struct gain *g, uint8_t *p, size_t count)
{
	const size_t sample_size = g->format.bits / 8;

	for (size_t i = 0; i < count * g->format.channels; i++) {
		samples_put(&g->format, p,
			    samples_get(&g->format, p) * g->factor);
		p += sample_size;
	}
}

int gain_new(struct gain **ret, const struct wav_format *format, double db)
{
	struct gain *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->format = *format;
	g->factor = pow(10, db / 20);
	if (db > 0) {
		g->limiter = limiter_new(format);
		g->drained =
		    g->limiter
			? malloc(g->limiter->ahead * wav_frame_size(format))
			: NULL;
		if (!g->drained) {
			gain_free(g);
			return -ENOMEM;
		}
	}
	*ret = g;
	return 0;
}

size_t gain_apply(struct gain *g, void *data, size_t count)
{
	const size_t frame_size = wav_frame_size(&g->format);
	const uint8_t *from = data;
	uint8_t *to = data;

	if (!g->limiter) {
		multiply(g, data, count);
		return count;
	}
	for (size_t i = 0; i < count; i++, from += frame_size)
		to += exchange(g, from, to) * frame_size;
	return (size_t)(to - (uint8_t *)data) / frame_size;
}

size_t gain_ahead(const struct gain *g)
{
	return g->limiter ? g->limiter->ahead : 0;
}

size_t gain_drain(struct gain *g, void **ret)
{
	struct limiter *l = g->limiter;
	const size_t frame_size = wav_frame_size(&g->format);
	const size_t count = l ? l->held : 0;

	if (count == 0)
		return 0;
	/* Fewer than the ring has room for: the rest of it comes first. */
	while (l->held < l->ahead)
		(void)exchange(g, NULL, NULL);
	for (size_t i = 0; i < count; i++)
		(void)exchange(g, NULL, g->drained + i * frame_size);
	limiter_reset(l);
	*ret = g->drained;
	return count;
}

struct gain *gain_free(struct gain *g)
{
	if (!g)
		return NULL;
	limiter_free(g->limiter);
	free(g->drained);
	free(g);
	return NULL;
}
