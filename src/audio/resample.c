/* SPDX-License-Identifier: MIT
 * The kernel is a sinc with a Kaiser window, tabulated at 256 phases between
 * two frames and interpolated between these. It cuts off at half the rate
 * exactly: at such small steps nothing else would alias. */
#include "audio/resample.h"

#include <errno.h>
#include <math.h>

#include "audio/samples.h"
#include "base/util.h"

enum {
	PHASES = 256,
	BEFORE = RESAMPLE_TAPS - RESAMPLE_AHEAD - 1, /* frames a kernel needs */
	CAPACITY = 1024,
	LANES = 4,
};

/* The window's shape: its side lobes are at -100 dB. */
#define KAISER_BETA 10.0

typedef float lanes __attribute__((vector_size(sizeof(float) * LANES)));

struct resample {
	struct wav_format format;
	size_t frame_size;
	int64_t whole; /* the position's number of a frame .. */
	double part;   /* .. and 0 <= part < 1 of the way to the next */
	int64_t first; /* number of the oldest frame here */
	size_t count;
	lanes kernel[PHASES + 1][RESAMPLE_TAPS / LANES];
	uint8_t *raw;  /* CAPACITY frames as they came */
	float *values; /* the same, CAPACITY of each channel */
};

static double bessel_i0(double x)
{
	double sum = 1, term = 1;

	for (int k = 1; term > sum * 1e-17; k++) {
		term *= x * x / (4.0 * k * k);
		sum += term;
	}
	return sum;
}

static double kernel_at(double x)
{
	const double part = x / RESAMPLE_AHEAD;

	if (fabs(part) >= 1)
		return 0;
	return (x == 0 ? 1 : sin(M_PI * x) / (M_PI * x)) *
	       bessel_i0(KAISER_BETA * sqrt(1 - part * part)) /
	       bessel_i0(KAISER_BETA);
}

static void make_kernel(struct resample *r)
{
	for (int phase = 0; phase <= PHASES; phase++)
		for (int tap = 0; tap < RESAMPLE_TAPS; tap++)
			r->kernel[phase][tap / LANES][tap % LANES] =
			    (float)kernel_at(tap - BEFORE -
					     (double)phase / PHASES);
}

int resample_new(struct resample **ret, const struct wav_format *format)
{
	struct resample *r = aligned_alloc(sizeof(lanes), sizeof(*r));

	if (!r)
		return -ENOMEM;
	*r = (struct resample){.format = *format,
			       .frame_size = wav_frame_size(format)};
	r->raw = malloc(CAPACITY * r->frame_size);
	r->values = malloc(CAPACITY * format->channels * sizeof(*r->values));
	if (!r->raw || !r->values) {
		resample_free(r);
		return -ENOMEM;
	}
	make_kernel(r);
	resample_seek(r, 0);
	*ret = r;
	return 0;
}

struct resample *resample_free(struct resample *r)
{
	if (!r)
		return NULL;
	free(r->raw);
	free(r->values);
	free(r);
	return NULL;
}

/* Forgets the frames that no kernel will need. */
static void forget(struct resample *r)
{
	const int64_t passed = r->whole - BEFORE - r->first;
	const size_t count = passed > 0 ? MIN((size_t)passed, r->count) : 0;

	r->first += (int64_t)count;
	r->count -= count;
	memmove(r->raw, r->raw + count * r->frame_size,
		r->count * r->frame_size);
	for (unsigned c = 0; c < r->format.channels; c++) {
		float *values = r->values + (size_t)c * CAPACITY;

		memmove(values, values + count, r->count * sizeof(*values));
	}
}

size_t resample_put(struct resample *r, const void *data, size_t count)
{
	forget(r);
	count = MIN(count, CAPACITY - r->count);
	memcpy(r->raw + r->count * r->frame_size, data, count * r->frame_size);
	for (unsigned c = 0; c < r->format.channels; c++)
		samples_split(&r->format, data, count, c,
			      r->values + (size_t)c * CAPACITY + r->count);
	r->count += count;
	return count;
}

size_t resample_put_silence(struct resample *r, size_t count)
{
	uint8_t silence[64 * WAV_FRAME_SIZE_MAX];
	size_t done = 0, n;

	memset(silence, wav_silence(&r->format), sizeof(silence));
	do {
		n = resample_put(r, silence, MIN(count - done, (size_t)64));
		done += n;
	} while (n > 0);
	return done;
}

/* The kernel for the present part of a frame. */
static void interpolate(const struct resample *r,
			lanes kernel[RESAMPLE_TAPS / LANES])
{
	const double phase = r->part * PHASES;
	const int index = (int)phase;
	const float rest = (float)(phase - index);

	for (int i = 0; i < RESAMPLE_TAPS / LANES; i++) {
		const lanes low = r->kernel[index][i];

		kernel[i] = low + (r->kernel[index + 1][i] - low) * rest;
	}
}

static float convolve(const lanes kernel[RESAMPLE_TAPS / LANES],
		      const float *values)
{
	lanes sum = {0}, some;

	for (int i = 0; i < RESAMPLE_TAPS / LANES; i++) {
		memcpy(&some, values + (size_t)i * LANES, sizeof(some));
		sum += kernel[i] * some;
	}
	return sum[0] + sum[1] + sum[2] + sum[3];
}

static void take_one(const struct resample *r, uint8_t *frame)
{
	const size_t at = (size_t)(r->whole - BEFORE - r->first);
	const size_t sample_size = r->format.bits / 8;
	lanes kernel[RESAMPLE_TAPS / LANES];

	if (r->part == 0) {
		memcpy(frame, r->raw + (at + BEFORE) * r->frame_size,
		       r->frame_size);
		return;
	}
	interpolate(r, kernel);
	for (unsigned c = 0; c < r->format.channels; c++)
		samples_put_float(
		    &r->format, frame + c * sample_size,
		    convolve(kernel, r->values + (size_t)c * CAPACITY + at));
}

size_t resample_take(struct resample *r, void *data, size_t count, double step)
{
	uint8_t *frame = data;
	size_t done = 0;

	while (done < count &&
	       r->whole + RESAMPLE_AHEAD < r->first + (int64_t)r->count) {
		take_one(r, frame);
		r->part += step;
		r->whole += (int64_t)floor(r->part);
		r->part -= floor(r->part);
		frame += r->frame_size;
		done++;
	}
	return done;
}

double resample_position(const struct resample *r)
{
	return (double)r->whole + r->part;
}

int64_t resample_next(const struct resample *r)
{
	return r->first + (int64_t)r->count;
}

void resample_seek(struct resample *r, double position)
{
	const double whole = floor(position);

	r->whole = (int64_t)whole;
	r->part = position - whole;
	r->count = BEFORE + (r->part > 0);
	r->first = r->whole - BEFORE;
	memset(r->raw, wav_silence(&r->format), r->count * r->frame_size);
	for (unsigned c = 0; c < r->format.channels; c++)
		memset(r->values + (size_t)c * CAPACITY, 0,
		       r->count * sizeof(*r->values));
}
