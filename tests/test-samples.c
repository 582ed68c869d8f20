/* SPDX-License-Identifier: MIT
 * Samples and their values, for every code of the short formats and at the
 * ends of the long ones. */
#include "audio/samples.h"

#include <math.h>

#include "test.h"

#define TINY 1e-12

static const struct wav_format u8 = {WAV_PCM, 8, 1, 8000};
static const struct wav_format s16 = {WAV_PCM, 16, 1, 8000};
static const struct wav_format s24 = {WAV_PCM, 24, 1, 8000};
static const struct wav_format s32 = {WAV_PCM, 32, 1, 8000};
static const struct wav_format floats = {WAV_FLOAT, 32, 1, 8000};
static const struct wav_format alaw = {WAV_ALAW, 8, 1, 8000};
static const struct wav_format mulaw = {WAV_MULAW, 8, 1, 8000};
static const struct wav_format *const all[] = {&u8,	&s16,  &s24,  &s32,
					       &floats, &alaw, &mulaw};

/* --- PCM --- */

TEST(every_sample_of_8_and_16_bits_comes_back)
{
	for (int i = 0; i < 256; i++) {
		const uint8_t code = (uint8_t)i;
		uint8_t back;
		const double value = samples_get(&u8, &code);

		ck_assert_double_eq_tol(value, (i - 128) / 128.0, TINY);
		samples_put(&u8, &back, value);
		ck_assert_uint_eq(back, code);
	}
	for (int i = -32768; i < 32768; i++) {
		const uint8_t bytes[2] = {(uint8_t)i, (uint8_t)(i >> 8)};
		uint8_t back[2];
		const double value = samples_get(&s16, bytes);

		ck_assert_double_eq_tol(value, i / 32768.0, TINY);
		samples_put(&s16, back, value);
		ck_assert_mem_eq(back, bytes, 2);
	}
}

/* BYTES must decode to VALUE, and VALUE encode to BYTES. */
static void check_sample(const struct wav_format *format, const char *bytes,
			 double value)
{
	char back[5] = "zzzzz";

	ck_assert_double_eq_tol(samples_get(format, bytes), value, TINY);
	samples_put(format, back, value);
	ck_assert_mem_eq(back, bytes, format->bits / 8);
	for (size_t i = format->bits / 8; i < sizeof(back); i++)
		ck_assert_int_eq(back[i], 'z');
}

TEST(samples_of_24_and_32_bits_are_little_endian_with_a_sign)
{
	check_sample(&s24, "\0\0\0", 0);
	check_sample(&s24, "\1\0\0", ldexp(1, -23));
	check_sample(&s24, "\xff\xff\xff", -ldexp(1, -23));
	check_sample(&s24, "\0\0\x40", 0.5);
	check_sample(&s24, "\x56\x34\x12", 0x123456 / 8388608.0);
	check_sample(&s24, "\xff\xff\x7f", 1 - ldexp(1, -23));
	check_sample(&s24, "\0\0\x80", -1);
	check_sample(&s32, "\0\0\0\0", 0);
	check_sample(&s32, "\1\0\0\0", ldexp(1, -31));
	check_sample(&s32, "\xff\xff\xff\xff", -ldexp(1, -31));
	check_sample(&s32, "\x78\x56\x34\x12", 0x12345678 / 2147483648.0);
	check_sample(&s32, "\xff\xff\xff\x7f", 1 - ldexp(1, -31));
	check_sample(&s32, "\0\0\0\x80", -1);
	check_sample(&floats, "\0\0\0\0", 0);
	check_sample(&floats, "\0\0\0\x3f", 0.5);
	check_sample(&floats, "\0\0\x80\x3f", 1);
	check_sample(&floats, "\0\0\x80\xbf", -1);
}

/* --- values outside --- */

TEST(floats_beyond_full_scale_are_limited)
{
	static const struct {
		float stored;
		double value;
	} cases[] = {
	    {1.0000001F, 1}, {-1.5F, -1},     {3.4e38F, 1}, {-3.4e38F, -1},
	    {INFINITY, 1},   {-INFINITY, -1}, {NAN, 0},	    {-NAN, 0},
	    {-0.0F, 0},	     {1e-40F, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		ck_assert_double_eq_tol(samples_get(&floats, &cases[i].stored),
					cases[i].value, TINY);
}

TEST(values_beyond_full_scale_are_limited)
{
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		uint8_t most[4], least[4], back[4];

		samples_put(all[i], most, 1);
		samples_put(all[i], least, -1);
		ck_assert_double_gt(samples_get(all[i], most), 0.95);
		ck_assert_double_lt(samples_get(all[i], least), -0.95);
		samples_put(all[i], back, 1.01);
		ck_assert_mem_eq(back, most, all[i]->bits / 8);
		samples_put(all[i], back, INFINITY);
		ck_assert_mem_eq(back, most, all[i]->bits / 8);
		samples_put(all[i], back, -1e300);
		ck_assert_mem_eq(back, least, all[i]->bits / 8);
		samples_put(all[i], back, -INFINITY);
		ck_assert_mem_eq(back, least, all[i]->bits / 8);
	}
}

TEST(what_is_not_a_number_is_silence)
{
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		uint8_t silent[4], back[4] = {1, 1, 1, 1};

		memset(silent, wav_silence(all[i]), sizeof(silent));
		samples_put(all[i], back, NAN);
		ck_assert_mem_eq(back, silent, all[i]->bits / 8);
		samples_put(all[i], back, -NAN);
		ck_assert_mem_eq(back, silent, all[i]->bits / 8);
	}
}

TEST(silence_is_stored_as_silence)
{
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		uint8_t silent[4], back[4];

		memset(silent, wav_silence(all[i]), sizeof(silent));
		/* A-law has no zero: its least value is 8 of 32768. */
		ck_assert_double_le(fabs(samples_get(all[i], silent)),
				    8 / 32768.0);
		samples_put(all[i], back, 0);
		ck_assert_mem_eq(back, silent, all[i]->bits / 8);
		samples_put(all[i], back, -0.0);
		if (all[i] != &floats)
			ck_assert_mem_eq(back, silent, all[i]->bits / 8);
	}
}

/* --- G.711 --- */

/* The values, out of 32768, of the 128 codes of one sign, as in ITU-T G.711:
 * each is the middle of its interval. Table 1 counts to 4096, in steps of 2 in
 * the first two segments, which then double. */
static void alaw_values(int values[128])
{
	int decision = 0;

	for (int n = 0; n < 128; n++) {
		const int step = n < 32 ? 2 : 2 << (n / 16 - 1);

		values[n] = (decision + decision + step) / 2 * 8;
		decision += step;
	}
	ck_assert_int_eq(decision, 4096);
}

/* Table 2 counts to 8159: the first interval is 1 wide and stands for 0, then
 * come 15 steps of 2 and seven times 16 steps that double. */
static void mulaw_values(int values[128])
{
	int decision = 1;

	values[0] = 0;
	for (int n = 1; n < 128; n++) {
		const int step = 2 << (n / 16);

		values[n] = (decision + decision + step) / 2 * 4;
		decision += step;
	}
	ck_assert_int_eq(decision, 8159);
}

TEST(alaw_is_that_of_g711)
{
	int values[128];

	alaw_values(values);
	for (int n = 0; n < 128; n++) {
		/* The even bits are inverted. */
		const uint8_t plus = (uint8_t)((0x80 | n) ^ 0x55);
		const uint8_t minus = (uint8_t)(n ^ 0x55);

		ck_assert_double_eq_tol(samples_get(&alaw, &plus),
					values[n] / 32768.0, TINY);
		ck_assert_double_eq_tol(samples_get(&alaw, &minus),
					-values[n] / 32768.0, TINY);
	}
}

TEST(mulaw_is_that_of_g711)
{
	int values[128];

	mulaw_values(values);
	for (int n = 0; n < 128; n++) {
		/* All bits of the magnitude are inverted. */
		const uint8_t plus = (uint8_t)(0xff - n);
		const uint8_t minus = (uint8_t)(0x7f - n);

		ck_assert_double_eq_tol(samples_get(&mulaw, &plus),
					values[n] / 32768.0, TINY);
		ck_assert_double_eq_tol(samples_get(&mulaw, &minus),
					-values[n] / 32768.0, TINY);
	}
}

TEST(every_code_of_both_laws_comes_back)
{
	for (int i = 0; i < 256; i++) {
		const uint8_t code = (uint8_t)i;
		uint8_t back;

		samples_put(&alaw, &back, samples_get(&alaw, &code));
		ck_assert_uint_eq(back, code);
		samples_put(&mulaw, &back, samples_get(&mulaw, &code));
		/* There are two zeros; the positive one is written. */
		ck_assert_uint_eq(back, code == 0x7f ? 0xff : code);
	}
}

static double least_distance(const struct wav_format *law, double value)
{
	double least = 2;

	for (int i = 0; i < 256; i++) {
		const uint8_t code = (uint8_t)i;

		least = fmin(least, fabs(samples_get(law, &code) - value));
	}
	return least;
}

TEST(nearest_code_of_a_law_is_stored)
{
	for (int i = -32768; i < 32768; i += 13) {
		const double value = i / 32768.0;
		uint8_t code;

		samples_put(&alaw, &code, value);
		ck_assert_double_le(fabs(samples_get(&alaw, &code) - value),
				    least_distance(&alaw, value) + TINY);
		samples_put(&mulaw, &code, value);
		ck_assert_double_le(fabs(samples_get(&mulaw, &code) - value),
				    least_distance(&mulaw, value) + TINY);
	}
}

/* --- many samples --- */

enum { FRAMES = 100, CHANNELS = 3 };

/* FRAMES of FORMAT with CHANNELS: silence but for one sample. */
static void fill(struct wav_format *format, uint8_t *data, size_t loud,
		 double value)
{
	const size_t sample_size = format->bits / 8;

	format->channels = CHANNELS;
	for (size_t i = 0; i < (size_t)FRAMES * CHANNELS; i++)
		samples_put(format, data + i * sample_size,
			    i == loud ? value : 0);
}

TEST(padded_samples_become_those_of_3_bytes)
{
	static const struct wav_format padded = {WAV_PADDED, 32, 1, 8000};
	uint8_t data[] = {1, 2, 3, 0xff, 4, 5, 0x86, 0, 7, 8, 9, 0x55, 42};

	ck_assert_uint_eq(samples_to_plain(&padded, data, 12), 9);
	ck_assert_mem_eq(data, "\1\2\3\4\5\x86\7\10\11", 9);
	ck_assert_uint_eq(data[12], 42);
	ck_assert_uint_eq(samples_to_plain(&padded, data, 0), 0);
}

TEST(long_floats_become_the_nearest_short_ones)
{
	static const struct wav_format longs = {WAV_FLOAT, 64, 1, 8000};
	static const double values[] = {0,     -0.0,   0.1,	 -1.5, 1e-320,
					1e300, -1e300, INFINITY, NAN};
	uint8_t data[sizeof(values)];

	memcpy(data, values, sizeof(values));
	ck_assert_uint_eq(samples_to_plain(&longs, data, sizeof(data)),
			  sizeof(data) / 2);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		const float expected = (float)values[i];
		float got;

		memcpy(&got, data + 4 * i, sizeof(got));
		ck_assert(got == expected || (isnan(got) && isnan(expected)));
	}
}

TEST(plain_samples_stay_as_they_are)
{
	static const struct wav_format packed = {WAV_PCM, 24, 1, 8000};
	uint8_t data[] = "abcdefghi";

	ck_assert_uint_eq(samples_to_plain(&packed, data, 9), 9);
	ck_assert_str_eq((char *)data, "abcdefghi");
}

TEST(peak_is_the_loudest_sample_of_any_channel)
{
	for (size_t f = 0; f < ARRAY_SIZE(all); f++) {
		struct wav_format format = *all[f];
		uint8_t data[FRAMES * CHANNELS * 4];

		for (size_t at = 0; at < (size_t)FRAMES * CHANNELS; at++) {
			fill(&format, data, at, 0.5);
			ck_assert_double_eq_tol(
			    samples_peak(&format, data, FRAMES), 0.5, 0.02);
			fill(&format, data, at, -0.5);
			ck_assert_double_eq_tol(
			    samples_peak(&format, data, FRAMES), 0.5, 0.02);
			ck_assert_double_le(
			    samples_peak(&format, data, at / CHANNELS),
			    8 / 32768.0);
		}
		ck_assert_double_eq_tol(samples_peak(&format, data, 0), 0,
					TINY);
	}
}

TEST(power_is_the_mean_of_the_squares)
{
	for (size_t f = 0; f < ARRAY_SIZE(all); f++) {
		struct wav_format format = *all[f];
		uint8_t data[FRAMES * CHANNELS * 4];
		double value;

		fill(&format, data, 7, -0.5);
		value = samples_power(&format, data, FRAMES, 1);
		ck_assert_double_eq_tol(value, 0.25 / (FRAMES * CHANNELS),
					1e-4);
		fill(&format, data, 7, -1);
		value = samples_power(&format, data, FRAMES, 1);
		ck_assert_double_eq_tol(value, 1.0 / (FRAMES * CHANNELS), 3e-4);
		ck_assert_double_eq_tol(samples_power(&format, data, 0, 1), 0,
					TINY);
	}
}

/* Of 100 frames with a stride of 8 the 13 at 0, 8 .. 96 are heard. */
TEST(power_with_a_stride_is_that_of_some_frames)
{
	for (size_t f = 0; f < ARRAY_SIZE(all); f++) {
		struct wav_format format = *all[f];
		uint8_t data[FRAMES * CHANNELS * 4];

		for (size_t at = 0; at < (size_t)FRAMES * CHANNELS; at++) {
			const double heard = at / CHANNELS % 8 ? 0 : 0.25;

			fill(&format, data, at, 0.5);
			ck_assert_double_eq_tol(
			    samples_power(&format, data, FRAMES, 8),
			    heard / (13 * CHANNELS), 5e-4);
		}
		ck_assert_double_eq_tol(
		    samples_power(&format, data, FRAMES, 1000), 0, 1e-6);
	}
}

TEST(power_of_full_scale_is_one)
{
	static int16_t loud[4096];
	const struct wav_format format = {WAV_PCM, 16, 4, 48000};

	for (size_t i = 0; i < ARRAY_SIZE(loud); i++)
		loud[i] = INT16_MIN;
	ck_assert_double_eq_tol(samples_power(&format, loud, 1024, 1), 1, TINY);
	ck_assert_double_eq_tol(samples_peak(&format, loud, 1024), 1, TINY);
}

TEST(fade_goes_linearly_and_stays_within_its_frames)
{
	for (size_t f = 0; f < ARRAY_SIZE(all); f++) {
		struct wav_format format = *all[f];
		const size_t sample_size = format.bits / 8;
		uint8_t data[(FRAMES + 1) * CHANNELS * 4], first[4];

		format.channels = CHANNELS;
		samples_put(&format, first, -0.5);
		for (size_t i = 0; i < (FRAMES + 1) * (size_t)CHANNELS; i++)
			samples_put(&format, data + i * sample_size, -0.5);
		samples_fade(&format, data, FRAMES, 1, 0);
		ck_assert_mem_eq(data, first, sample_size);
		for (size_t i = 0; i < (size_t)FRAMES * CHANNELS; i++)
			ck_assert_double_eq_tol(
			    samples_get(&format, data + i * sample_size),
			    -0.5 * (1 - (double)(i / CHANNELS) / FRAMES), 0.03);
		for (size_t i = 0; i < CHANNELS; i++)
			ck_assert_mem_eq(data + (FRAMES * CHANNELS + i) *
						    sample_size,
					 first, sample_size);
	}
}

TEST(fade_of_nothing_is_nothing)
{
	uint8_t data[] = {1, 2, 3, 4};

	samples_fade(&s16, data, 0, 0, 1);
	ck_assert_mem_eq(data, "\1\2\3\4", 4);
}

/* --- for a person --- */

TEST(decibels_end_at_99_below)
{
	ck_assert_double_eq_tol(samples_dbfs(1), 0, TINY);
	ck_assert_double_eq_tol(samples_dbfs(0.5), -6.0206, 1e-4);
	ck_assert_double_eq_tol(samples_dbfs(0.001), -60, 1e-9);
	ck_assert_double_eq_tol(samples_dbfs(1e-9), -99, TINY);
	ck_assert_double_eq_tol(samples_dbfs(0), -99, TINY);
}

TEST(meter_grows_with_the_level)
{
	static const struct {
		double peak;
		const char *meter;
	} cases[] = {
	    {0, "[------] -99 dB"},	 {0.001, "[------] -60 dB"},
	    {0.0316, "[###---] -30 dB"}, {0.5, "[#####-]  -6 dB"},
	    {0.97, "[######]   0 dB"},	 {0.98, "[######]   CLIP"},
	    {1, "[######]   CLIP"},	 {1.1, "[######]   CLIP"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[SAMPLES_METER_SIZE];

		samples_meter(text, 15, cases[i].peak);
		ck_assert_str_eq(text, cases[i].meter);
	}
}

TEST(meter_fits_any_width)
{
	char text[SAMPLES_METER_SIZE];

	for (size_t columns = 0; columns < 100; columns++)
		for (double peak = 0; peak < 1.1; peak += 0.07) {
			samples_meter(text, columns, peak);
			ck_assert_uint_le(strlen(text), columns);
			ck_assert(columns < 6 || *text);
			ck_assert((columns >= 13) == (*text == '['));
		}
	ck_assert_uint_eq(strlen(text), SAMPLES_METER_SIZE - 1);
}
