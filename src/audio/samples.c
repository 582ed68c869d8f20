/* SPDX-License-Identifier: MIT
 * Converts samples one by one, but measures S16 in integers. A-law and mu-law
 * follow ITU-T G.711. */
#include "audio/samples.h"

#include <endian.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

enum {
	METER_BAR_MIN = 4,
	METER_BAR_MAX = 30,
	METER_LEVEL = 6, /* "-12 dB" */
	METER_FRAME = METER_LEVEL + 3,
};

/* The largest sample of mu-law is 0.98, those of other formats are larger. */
#define METER_CLIP 0.98

static double from_alaw(uint8_t code)
{
	int value, exponent;

	code ^= 0x55;
	exponent = code >> 4 & 7;
	value = (code & 15) << 4 | 8;
	if (exponent > 0)
		value = (value + 0x100) << (exponent - 1);
	return (code & 0x80 ? value : -value) / 32768.0;
}

static double from_mulaw(uint8_t code)
{
	int value;

	code = (uint8_t)~code;
	value = (((code & 15) << 3 | 0x84) << (code >> 4 & 7)) - 0x84;
	return (code & 0x80 ? -value : value) / 32768.0;
}

/* The code whose value is nearest. Bisects the 128 magnitudes: without the sign
 * and the inversion, the magnitude grows with the code. */
static uint8_t to_law(double value, double (*from)(uint8_t), uint8_t sign,
		      uint8_t invert)
{
	uint8_t low = 0, high = 127;
	double size = fabs(value);

	while (low < high) {
		uint8_t middle = (uint8_t)((low + high) / 2);
		double a = fabs(from((uint8_t)(middle ^ invert)));
		double b = fabs(from((uint8_t)((middle + 1) ^ invert)));

		if (size > (a + b) / 2)
			low = (uint8_t)(middle + 1);
		else
			high = middle;
	}
	return (uint8_t)((low | (value < 0 ? sign ^ 0x80 : sign)) ^ invert);
}

static double from_pcm(unsigned bits, const uint8_t *p)
{
	uint32_t word;

	switch (bits) {
	case 8:
		return (p[0] - 128) / 128.0;
	case 16:
		return (int16_t)(p[0] | p[1] << 8) / 32768.0;
	case 24:
		word = (uint32_t)p[0] << 8 | (uint32_t)p[1] << 16 |
		       (uint32_t)p[2] << 24;
		break;
	default:
		memcpy(&word, p, sizeof(word));
		word = le32toh(word);
		break;
	}
	return (int32_t)word / 2147483648.0;
}

static double from_float(const uint8_t *p)
{
	uint32_t word;
	float value;

	memcpy(&word, p, sizeof(word));
	word = le32toh(word);
	memcpy(&value, &word, sizeof(value));
	if (isnan(value))
		return 0;
	return fmax(-1, fmin(1, (double)value));
}

double samples_get(const struct wav_format *format, const void *data)
{
	switch (format->encoding) {
	case WAV_FLOAT:
		return from_float(data);
	case WAV_ALAW:
		return from_alaw(*(const uint8_t *)data);
	case WAV_MULAW:
		return from_mulaw(*(const uint8_t *)data);
	case WAV_PCM:
	case WAV_PADDED:
		break;
	}
	return from_pcm(format->bits, data);
}

static void to_pcm(unsigned bits, uint8_t *p, double value)
{
	double scale = ldexp(1, (int)bits - 1);
	int64_t whole = llrint(value * scale);

	if (whole > (int64_t)scale - 1)
		whole = (int64_t)scale - 1;
	if (bits == 8)
		whole += 128;
	for (unsigned i = 0; i < bits / 8; i++)
		p[i] = (uint8_t)((uint64_t)whole >> (8 * i));
}

void samples_put(const struct wav_format *format, void *data, double value)
{
	float single;
	uint32_t word;

	value = isnan(value) ? 0 : fmax(-1, fmin(1, value));
	switch (format->encoding) {
	case WAV_FLOAT:
		single = (float)value;
		memcpy(&word, &single, sizeof(word));
		word = htole32(word);
		memcpy(data, &word, sizeof(word));
		break;
	case WAV_ALAW:
		*(uint8_t *)data = to_law(value, from_alaw, 0x80, 0x55);
		break;
	case WAV_MULAW:
		*(uint8_t *)data = to_law(value, from_mulaw, 0, 0xff);
		break;
	case WAV_PCM:
	case WAV_PADDED:
		to_pcm(format->bits, data, value);
		break;
	}
}

/* The fourth byte is padding, whatever it holds. */
static size_t drop_padding(uint8_t *data, size_t count)
{
	for (size_t i = 0; i < count; i++)
		memmove(data + 3 * i, data + 4 * i, 3);
	return 3 * count;
}

static size_t shorten_floats(uint8_t *data, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t word;
		uint32_t half;
		double value;
		float single;

		memcpy(&word, data + 8 * i, sizeof(word));
		word = le64toh(word);
		memcpy(&value, &word, sizeof(value));
		single = (float)value;
		memcpy(&half, &single, sizeof(half));
		half = htole32(half);
		memcpy(data + 4 * i, &half, sizeof(half));
	}
	return 4 * count;
}

size_t samples_to_plain(const struct wav_format *format, void *data,
			size_t size)
{
	if (format->encoding == WAV_PADDED)
		return drop_padding(data, size / 4);
	if (format->encoding == WAV_FLOAT && format->bits == 64)
		return shorten_floats(data, size / 8);
	return size;
}

static int get_s16(const uint8_t *p)
{
	uint16_t word;

	memcpy(&word, p, sizeof(word));
	return (int16_t)le16toh(word);
}

void samples_split(const struct wav_format *format, const void *data,
		   size_t count, unsigned channel, float *values)
{
	const size_t step = wav_frame_size(format);
	const uint8_t *p = data;

	p += channel * (format->bits / 8);
	if (format->encoding == WAV_PCM && format->bits == 16)
		for (size_t i = 0; i < count; i++, p += step)
			values[i] = (float)get_s16(p) / 32768;
	else
		for (size_t i = 0; i < count; i++, p += step)
			values[i] = (float)samples_get(format, p);
}

void samples_put_float(const struct wav_format *format, void *data, float value)
{
	uint16_t word;

	if (format->encoding != WAV_PCM || format->bits != 16) {
		samples_put(format, data, (double)value);
		return;
	}
	/* Not fminf() and fmaxf(), which are calls here. */
	value *= 32768;
	value = MIN(value, 32767.0f);
	value = MAX(value, -32768.0f);
	word = htole16((uint16_t)lrintf(value));
	memcpy(data, &word, sizeof(word));
}

/* Nearly every page is S16, and integers are ten times as fast. */
static double peak_of_s16(const uint8_t *p, size_t samples)
{
	int lowest = 0, highest = 0;

	for (size_t i = 0; i < samples; i++) {
		int value = get_s16(p + i * 2);

		if (value < lowest)
			lowest = value;
		if (value > highest)
			highest = value;
	}
	return (-lowest > highest ? -lowest : highest) / 32768.0;
}

double samples_peak(const struct wav_format *format, const void *data,
		    size_t count)
{
	size_t sample_size = format->bits / 8;
	const uint8_t *p = data;
	double peak = 0;

	if (format->encoding == WAV_PCM && format->bits == 16)
		return peak_of_s16(p, count * format->channels);
	for (size_t i = 0; i < count * format->channels; i++) {
		double value = fabs(samples_get(format, p + i * sample_size));

		if (value > peak)
			peak = value;
	}
	return peak;
}

/* Nearly every page is S16, and integers are five times as fast. The sum of
 * 2^33 samples fits. */
static double sum_of_s16(const uint8_t *p, unsigned channels, size_t frames,
			 size_t step)
{
	int64_t sum = 0;

	for (size_t i = 0; i < frames; i++, p += step) {
		for (unsigned c = 0; c < channels; c++) {
			int value = get_s16(p + 2 * c);

			sum += value * value;
		}
	}
	return (double)sum / (32768.0 * 32768.0);
}

static double sum_of_any(const struct wav_format *format, const uint8_t *p,
			 size_t frames, size_t step)
{
	const size_t sample_size = format->bits / 8;
	double sum = 0;

	for (size_t i = 0; i < frames; i++, p += step) {
		for (unsigned c = 0; c < format->channels; c++) {
			const double value =
			    samples_get(format, p + c * sample_size);

			sum += value * value;
		}
	}
	return sum;
}

double samples_power(const struct wav_format *format, const void *data,
		     size_t count, size_t stride)
{
	const size_t step = stride * wav_frame_size(format);
	const size_t frames = (count + stride - 1) / stride;
	double sum;

	if (frames == 0)
		return 0;
	if (format->encoding == WAV_PCM && format->bits == 16)
		sum = sum_of_s16(data, format->channels, frames, step);
	else
		sum = sum_of_any(format, data, frames, step);
	return sum / (double)(frames * format->channels);
}

double samples_dbfs(double peak)
{
	return peak > 0 ? fmax(-99, 20 * log10(peak)) : -99;
}

static void draw_bar(char *text, size_t width, double peak)
{
	double part = (samples_dbfs(peak) + 60) / 60;
	size_t filled = part > 0 ? (size_t)(part * (double)width + 0.5) : 0;

	if (filled > width)
		filled = width;
	memset(text, '#', filled);
	memset(text + filled, '-', width - filled);
	text[width] = '\0';
}

void samples_meter(char text[SAMPLES_METER_SIZE], size_t columns, double peak)
{
	char bar[METER_BAR_MAX + 1], level[METER_LEVEL + 1];

	if (peak >= METER_CLIP)
		strcpy(level, "  CLIP");
	else
		snprintf(level, sizeof(level), "%3ld dB",
			 lround(samples_dbfs(peak)));
	*text = '\0';
	if (columns >= METER_BAR_MIN + METER_FRAME) {
		draw_bar(bar, MIN(columns - METER_FRAME, (size_t)METER_BAR_MAX),
			 peak);
		snprintf(text, SAMPLES_METER_SIZE, "[%s] %s", bar, level);
	} else if (columns >= METER_LEVEL) {
		strcpy(text, level);
	}
}

void samples_fade(const struct wav_format *format, void *data, size_t count,
		  double from, double to)
{
	size_t sample_size = format->bits / 8;
	uint8_t *p = data;

	for (size_t i = 0; i < count; i++) {
		double gain = from + (to - from) * (double)i / (double)count;

		for (unsigned c = 0; c < format->channels; c++) {
			samples_put(format, p, samples_get(format, p) * gain);
			p += sample_size;
		}
	}
}
