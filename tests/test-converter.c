/* SPDX-License-Identifier: MIT
 * Sounds that are converted in pieces; test-chime has what comes of them. */
#include "audio/converter.h"

#include <math.h>

#include "audio/samples.h"
#include "test.h"

enum { FRAMES = 22050 };

static struct converter *converter;

static void teardown(void)
{
	converter = converter_free(converter);
}

FIXTURE(NULL, teardown);

/* Appends N frames to RESULT, of which there are HAVE. */
static size_t collect(float *result, size_t have, const void *data, ssize_t n)
{
	ck_assert_int_ge(n, 0);
	if (n > 0)
		memcpy(result + have, data, (size_t)n * sizeof(float));
	return have + (size_t)n;
}

/* Converts the COUNT frames at DATA in pieces; returns the frames. */
static size_t convert(const struct wav_format *from,
		      const struct wav_format *to, const float *data,
		      size_t count, size_t piece, float *result)
{
	size_t have = 0;
	void *out = NULL;
	ssize_t n;

	ck_assert_int_eq(converter_new(&converter, from, to), 0);
	for (size_t i = 0; i < count; i += piece) {
		n = converter_put(converter, data + i, MIN(piece, count - i),
				  &out);
		have = collect(result, have, out, n);
	}
	while ((n = converter_end(converter, &out)) > 0)
		have = collect(result, have, out, n);
	ck_assert_int_eq(n, 0);
	converter = converter_free(converter);
	return have;
}

static const struct wav_format slow = {WAV_FLOAT, 32, 1, 22050};
static const struct wav_format fast = {WAV_FLOAT, 32, 1, 48000};

TEST(pieces_become_what_the_whole_becomes)
{
	static float sound[FRAMES], whole[2 * FRAMES + 9900],
	    pieces[2 * FRAMES + 9900];
	size_t count;

	for (size_t i = 0; i < FRAMES; i++)
		sound[i] =
		    0.5F * (float)sin(2 * M_PI * 441 * (double)i / FRAMES);
	count = convert(&slow, &fast, sound, FRAMES, FRAMES, whole);
	ck_assert_uint_eq(count, 48000);
	ck_assert_uint_eq(convert(&slow, &fast, sound, FRAMES, 441, pieces),
			  48000);
	for (size_t i = 0; i < count; i++)
		ck_assert_float_eq_tol(whole[i], pieces[i], 1e-6F);
	/* And it is still that tone, in its place. */
	for (size_t i = 1000; i < 47000; i++)
		ck_assert_float_eq_tol(
		    whole[i],
		    0.5F * (float)sin(2 * M_PI * 441 * (double)i / 48000),
		    0.01F);
}

TEST(frames_are_as_many_as_was_promised)
{
	static float sound[2000], result[200000];
	static const uint32_t rates[] = {4000, 8000, 11025, 44100, 384000};

	for (size_t i = 0; i < ARRAY_SIZE(rates) * ARRAY_SIZE(rates); i++) {
		const struct wav_format from = {WAV_FLOAT, 32, 1,
						rates[i % ARRAY_SIZE(rates)]};
		const struct wav_format to = {WAV_FLOAT, 32, 1,
					      rates[i / ARRAY_SIZE(rates)]};

		for (size_t count = 1; count <= 2000; count += 333)
			ck_assert_uint_eq(
			    convert(&from, &to, sound, count, 80, result),
			    converter_frames(count, from.rate, to.rate));
	}
}

TEST(numbers_of_frames_do_not_overflow)
{
	ck_assert_uint_eq(converter_frames(WAV_ENDLESS, 48000, 8000),
			  WAV_ENDLESS);
	ck_assert_uint_eq(converter_frames(WAV_ENDLESS, 8000, 8000),
			  WAV_ENDLESS);
	ck_assert_uint_eq(converter_frames(UINT64_MAX / 2, 4000, 384000),
			  WAV_ENDLESS);
	ck_assert_uint_eq(converter_frames(3, 8000, 4000), 2);
	ck_assert_uint_eq(converter_frames(UINT64_C(1) << 50, 44100, 44100),
			  UINT64_C(1) << 50);
}

TEST(thirty_two_bits_keep_their_value_when_the_rate_stays)
{
	static const struct wav_format mono = {WAV_PCM, 32, 1, 48000};
	static const struct wav_format stereo = {WAV_PCM, 32, 2, 48000};
	static const int32_t values[] = {0x12345678, -0x12345679};
	int32_t *out;
	void *data;

	ck_assert_int_eq(converter_new(&converter, &mono, &stereo), 0);
	ck_assert_int_eq(converter_put(converter, values, 2, &data), 2);
	out = data;
	ck_assert(out[0] == values[0] && out[1] == values[0]);
	ck_assert(out[2] == values[1] && out[3] == values[1]);
	ck_assert_int_eq(converter_end(converter, &data), 0);
}
