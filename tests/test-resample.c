/* SPDX-License-Identifier: MIT
 * What resampling costs in quality: nothing at step 1, noise at -100 dB else.
 */
#include "audio/resample.h"

#include <math.h>

#include "audio/samples.h"
#include "test.h"

enum { RATE = 48000, BLOCK = 480 };

TIME_LIMIT(60);

static const struct wav_format formats[] = {
    {WAV_PCM, 8, 1, RATE},   {WAV_PCM, 16, 2, RATE},   {WAV_PCM, 24, 3, RATE},
    {WAV_PCM, 32, 2, RATE},  {WAV_FLOAT, 32, 6, RATE}, {WAV_ALAW, 8, 1, RATE},
    {WAV_MULAW, 8, 2, RATE},
};

static struct resample *new_resample(const struct wav_format *format)
{
	struct resample *resample;

	ck_assert_int_eq(resample_new(&resample, format), 0);
	return resample;
}

/* Resamples COUNT frames of DATA at what STEP says of each block, and returns
 * how many frames that made. *POSITIONS, unless NULL, are where they lay. */
static size_t run(const struct wav_format *format, const void *data,
		  size_t count, double (*step)(size_t block), void *out,
		  size_t room, double *positions)
{
	struct resample *resample = new_resample(format);
	const size_t frame_size = wav_frame_size(format);
	size_t put = 0, made = 0;

	for (size_t block = 0; made < room; block++) {
		size_t n;

		put += resample_put(resample,
				    (const uint8_t *)data + put * frame_size,
				    MIN((size_t)BLOCK, count - put));
		for (n = 0; positions && n < BLOCK && made + n < room; n++)
			positions[made + n] = resample_position(resample) +
					      (double)n * step(block);
		n = resample_take(resample, (uint8_t *)out + made * frame_size,
				  MIN((size_t)BLOCK, room - made), step(block));
		made += n;
		if (n == 0 && put == count)
			break;
	}
	resample_free(resample);
	return made;
}

static double one(size_t block)
{
	(void)block;
	return 1;
}

TEST_LOOP(step_1_copies_every_format, 0, ARRAY_SIZE(formats))
{
	const struct wav_format *format = &formats[_i];
	const size_t frame_size = wav_frame_size(format);
	enum { COUNT = 30000 };
	uint8_t *in = malloc(COUNT * frame_size);
	uint8_t *out = malloc(COUNT * frame_size);
	size_t made;

	ck_assert_ptr_nonnull(in);
	for (size_t i = 0; i < COUNT * frame_size; i++)
		in[i] = (uint8_t)rand();
	made = run(format, in, COUNT, one, out, COUNT, NULL);
	ck_assert_uint_eq(made, COUNT - RESAMPLE_AHEAD);
	ck_assert_mem_eq(in, out, made * frame_size);
	free(in);
	free(out);
}

static double wobbling(size_t block)
{
	return 1 + 1e-4 + 1e-6 * sin((double)block * 0.01);
}

/* The power that is not the sine's, which lies at known positions. */
static double noise_db(const float *samples, const double *positions,
		       size_t count, double hz)
{
	double sum = 0;

	for (size_t i = 0; i < count; i++) {
		const double error =
		    (double)samples[2 * i] -
		    0.5 * sin(2 * M_PI * hz / RATE * positions[i]);

		sum += error * error;
	}
	return 10 * log10(sum / (double)count / (0.125));
}

static const struct {
	double hz, noise_db;
} sines[] = {{1000, -110}, {10000, -105}, {16000, -95}};

TEST_LOOP(a_wobbling_step_costs_little, 0, ARRAY_SIZE(sines))
{
	static const struct wav_format format = {WAV_FLOAT, 32, 2, RATE};
	enum { COUNT = 96000, SETTLE = 64 };
	float *in = malloc(COUNT * 2 * sizeof(*in));
	float *out = malloc(COUNT * 2 * sizeof(*out));
	double *positions = malloc(COUNT * sizeof(*positions));
	size_t made;
	double noise;

	ck_assert_ptr_nonnull(in);
	for (size_t i = 0; i < COUNT; i++)
		in[2 * i] = in[2 * i + 1] =
		    (float)(0.5 *
			    sin(2 * M_PI * sines[_i].hz / RATE * (double)i));
	made = run(&format, in, COUNT, wobbling, out, COUNT, positions);
	ck_assert_uint_gt(made, COUNT - 100);
	noise = noise_db(out + 2 * SETTLE, positions + SETTLE, made - SETTLE,
			 sines[_i].hz);
	ck_assert_double_lt(noise, sines[_i].noise_db);
	free(in);
	free(out);
	free(positions);
}

TEST(positions_count_frames_for_days)
{
	static const struct wav_format format = {WAV_PCM, 8, 1, RATE};
	struct resample *resample = new_resample(&format);
	const double week = 7.0 * 86400 * RATE;
	uint8_t data[64] = {0};

	resample_seek(resample, week);
	ck_assert_int_eq(resample_next(resample), (int64_t)week);
	resample_put_silence(resample, 64);
	ck_assert_uint_eq(resample_take(resample, data, 1, 1.001), 1);
	ck_assert_double_gt(resample_position(resample), week + 1);
	resample_free(resample);
}

TEST(a_seek_continues_with_the_first_frame_not_before_it)
{
	static const struct wav_format format = {WAV_PCM, 16, 1, RATE};
	struct resample *resample = new_resample(&format);
	int16_t in[64], out[32];

	for (int i = 0; i < 64; i++)
		in[i] = (int16_t)(1000 + i);
	resample_put(resample, in, 64);
	resample_seek(resample, 99.5);
	ck_assert_int_eq(resample_next(resample), 100);
	resample_seek(resample, 100);
	ck_assert_int_eq(resample_next(resample), 100);
	ck_assert_uint_eq(resample_take(resample, out, 32, 1), 0);
	ck_assert_uint_eq(resample_put(resample, in, 64), 64);
	ck_assert_uint_eq(resample_take(resample, out, 32, 1), 32);
	ck_assert_int_eq(out[0], 1000);
	ck_assert_int_eq(out[31], 1031);
	resample_free(resample);
}

TEST(it_takes_no_more_than_it_has_room_for)
{
	static const struct wav_format format = {WAV_PCM, 16, 1, RATE};
	struct resample *resample = new_resample(&format);
	static int16_t in[4096];
	const size_t took = resample_put(resample, in, 4096);

	ck_assert_uint_gt(took, 512);
	ck_assert_uint_lt(took, 4096);
	ck_assert_uint_eq(resample_put(resample, in, 4096), 0);
	ck_assert_uint_eq(resample_put_silence(resample, 10), 0);
	resample_free(resample);
}
