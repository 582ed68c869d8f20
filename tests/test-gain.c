/* SPDX-License-Identifier: MIT
 * Sounds of every format become louder or quieter, and never too loud. */
#include "audio/gain.h"

#include <math.h>
#include <stdint.h>

#include "audio/samples.h"
#include "test.h"

enum { RATE = 48000, AHEAD = RATE * 5 / 1000 };

static const struct wav_format floats = {WAV_FLOAT, 32, 1, RATE};
static struct gain *gain;

static void teardown(void)
{
	gain = gain_free(gain);
}

FIXTURE(NULL, teardown);

static void begin(const struct wav_format *format, double db)
{
	gain = gain_free(gain);
	ck_assert_int_eq(gain_new(&gain, format, db), 0);
}

/* Amplifies the COUNT frames of DATA in pieces, the held ones included, in
 * place. */
static void amplify(const struct wav_format *format, void *data, size_t count,
		    size_t piece)
{
	const size_t size = wav_frame_size(format);
	uint8_t *to = data;
	uint8_t *held = malloc(piece * size);
	void *rest = NULL;
	size_t n;

	ck_assert_ptr_nonnull(held);
	for (size_t i = 0; i < count; i += piece) {
		const size_t part = MIN(piece, count - i);

		memcpy(held, (uint8_t *)data + i * size, part * size);
		n = gain_apply(gain, held, part);
		ck_assert_uint_le(n, part);
		memcpy(to, held, n * size);
		to += n * size;
	}
	free(held);
	n = gain_drain(gain, &rest);
	ck_assert_uint_le(n, AHEAD * (format->rate / RATE + 1));
	if (n > 0)
		memcpy(to, rest, n * size);
	ck_assert_uint_eq((size_t)(to - (uint8_t *)data) / size + n, count);
	ck_assert_uint_eq(gain_drain(gain, &rest), 0);
}

static double sine(double amplitude, double hertz, size_t i)
{
	return amplitude * sin(2 * M_PI * hertz * (double)i / RATE);
}

static const struct wav_format formats[] = {
    {WAV_PCM, 8, 1, RATE},  {WAV_PCM, 16, 2, RATE},   {WAV_PCM, 24, 1, RATE},
    {WAV_PCM, 32, 6, RATE}, {WAV_FLOAT, 32, 2, RATE}, {WAV_ALAW, 8, 1, RATE},
    {WAV_MULAW, 8, 1, RATE}};

/* Fills COUNT frames with a tone in all channels. */
static void put_tone(const struct wav_format *format, uint8_t *data,
		     size_t count, double amplitude)
{
	for (size_t i = 0; i < count; i++)
		for (unsigned c = 0; c < format->channels;
		     c++, data += format->bits / 8)
			samples_put(format, data, sine(amplitude, 997, i));
}

TEST(the_level_changes_by_so_much_in_every_format)
{
	static const double dbs[] = {-20, -6.0206, 6, 12.5};
	static uint8_t data[9600 * 24];

	for (size_t i = 0; i < ARRAY_SIZE(formats) * ARRAY_SIZE(dbs); i++) {
		const struct wav_format *format = &formats[i / ARRAY_SIZE(dbs)];
		const double db = dbs[i % ARRAY_SIZE(dbs)];

		begin(format, db);
		put_tone(format, data, 9600, 0.2);
		amplify(format, data, 9600, 441);
		ck_assert_double_eq_tol(samples_peak(format, data, 9600),
					0.2 * pow(10, db / 20), 0.03);
		ck_assert_double_eq_tol(
		    10 * log10(samples_power(format, data, 9600, 1)),
		    10 * log10(0.02) + db, format->bits == 8 ? 0.4 : 0.01);
	}
}

TEST(frames_stay_in_their_place)
{
	static float data[5000], original[5000];

	for (size_t piece = 1; piece <= 5000; piece = piece * 3 + 1) {
		begin(&floats, 6);
		for (size_t i = 0; i < 5000; i++)
			data[i] = original[i] =
			    (float)sine(0.1, 300 + (double)i, i);
		amplify(&floats, data, 5000, piece);
		for (size_t i = 0; i < 5000; i++)
			ck_assert_double_eq_tol(
			    (double)data[i], (double)original[i] * pow(10, 0.3),
			    1e-6);
	}
}

TEST(nothing_exceeds_full_scale_in_any_format)
{
	static uint8_t data[9600 * 24];

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		const struct wav_format *format = &formats[i];

		begin(format, 40);
		put_tone(format, data, 9600, 0.9);
		amplify(format, data, 9600, 960);
		ck_assert_double_eq_tol(samples_peak(format, data, 9600),
					GAIN_CEILING, 0.02);
		/* It is still that tone, not a square. */
		if (format->bits > 8)
			ck_assert_double_le(
			    samples_power(format, data + 240 * 2, 4800, 1),
			    0.55);
	}
}

TEST(a_wave_that_wraps_would_change_its_sign)
{
	static const struct wav_format s16 = {WAV_PCM, 16, 1, RATE};
	static int16_t data[4800], original[4800];
	unsigned seed = 1;

	for (size_t i = 0; i < 4800; i++) {
		seed = seed * 1103515245 + 12345;
		data[i] = original[i] = (int16_t)(seed >> 16);
	}
	data[7] = original[7] = INT16_MIN;
	data[4000] = original[4000] = INT16_MAX;
	begin(&s16, 40);
	amplify(&s16, data, 4800, 333);
	for (size_t i = 0; i < 4800; i++) {
		ck_assert_int_ge((int)data[i] * original[i], 0);
		ck_assert_int_le(abs(data[i]), (int)(GAIN_CEILING * 32768) + 1);
	}
}

TEST(the_gain_sinks_smoothly_before_an_impulse_and_rises_after_it)
{
	static float data[RATE];
	const size_t at = RATE / 2;
	const double quiet = 0.01, loud = quiet * 10;

	begin(&floats, 20);
	for (size_t i = 0; i < RATE; i++)
		data[i] = (float)quiet;
	data[at] = 1; /* it wants 10 times as much as there is */
	amplify(&floats, data, RATE, 480);
	ck_assert_double_eq_tol((double)data[at], GAIN_CEILING, 1e-3);
	/* It is not touched sooner than is needed, */
	ck_assert_double_eq_tol((double)data[at - AHEAD - 1], loud, 1e-6);
	/* there is no step, */
	for (size_t i = at - AHEAD; i < at + RATE / 4; i++)
		if (i != at && i != at - 1)
			ck_assert_double_le(
			    fabs((double)(data[i + 1] - data[i])),
			    loud / AHEAD + 1e-6);
	ck_assert_double_le((double)data[at - 1], 0.1 * loud + 0.01);
	/* it recovers, and is back in time. */
	ck_assert_double_gt((double)data[at + RATE / 5], 0.5 * loud);
	ck_assert_double_lt((double)data[at + RATE / 50], 0.5 * loud);
	ck_assert_double_gt((double)data[RATE - 1], 0.9 * loud);
}

TEST(peaks_in_every_distance_are_caught)
{
	static float data[4 * AHEAD];

	for (size_t first = 0; first < 2 * AHEAD; first += 7) {
		for (size_t second = 1; second < 2 * AHEAD; second += 13) {
			memset(data, 0, sizeof(data));
			data[first] = 1;
			data[first + second] = -0.3F;
			begin(&floats, 20);
			amplify(&floats, data, 4 * AHEAD, 100);
			ck_assert_double_le(
			    samples_peak(&floats, data, 4 * AHEAD),
			    GAIN_CEILING + 1e-6);
			ck_assert_double_ge((double)data[first],
					    0.09 * GAIN_CEILING);
		}
	}
}

TEST(the_channels_keep_their_balance)
{
	static const struct wav_format stereo = {WAV_FLOAT, 32, 2, RATE};
	static float data[2 * 4800];

	for (size_t i = 0; i < 4800; i++) {
		data[2 * i] = (float)sine(0.8, 440, i);
		data[2 * i + 1] = data[2 * i] / 4;
	}
	begin(&stereo, 12);
	amplify(&stereo, data, 4800, 480);
	for (size_t i = 0; i < 4800; i++)
		ck_assert_double_eq_tol((double)data[2 * i],
					4 * (double)data[2 * i + 1], 1e-6);
}

TEST(nothing_is_held_back_when_it_becomes_quieter)
{
	float data[100] = {1, -1};
	void *rest;

	begin(&floats, -60);
	ck_assert_uint_eq(gain_apply(gain, data, 100), 100);
	ck_assert_uint_eq(gain_drain(gain, &rest), 0);
	ck_assert_double_eq_tol((double)data[0], 0.001, 1e-9);
	ck_assert_double_eq_tol((double)data[1], -0.001, 1e-9);
}

TEST(after_a_gap_it_begins_anew)
{
	float data[AHEAD + 50] = {0};
	void *rest;

	begin(&floats, 6);
	data[3] = 0.25F;
	ck_assert_uint_eq(gain_apply(gain, data, 10), 0);
	ck_assert_uint_eq(gain_drain(gain, &rest), 10);
	ck_assert_double_eq_tol((double)((float *)rest)[3], 0.25 * pow(10, 0.3),
				1e-6);
	ck_assert_uint_eq(gain_apply(gain, data, AHEAD + 50), 50);
	ck_assert_double_eq_tol((double)data[3], 0.25 * pow(10, 0.3), 1e-6);
}

TEST(what_is_no_number_is_silence)
{
	float data[10] = {NAN, INFINITY, -INFINITY};
	void *rest;

	begin(&floats, 40);
	ck_assert_uint_eq(gain_apply(gain, data, 10), 0);
	ck_assert_uint_eq(gain_drain(gain, &rest), 10);
	ck_assert(((float *)rest)[0] == 0);
	ck_assert_double_eq_tol((double)((float *)rest)[1], GAIN_CEILING, 1e-3);
	ck_assert_double_eq_tol((double)((float *)rest)[2], -GAIN_CEILING,
				1e-3);
}
