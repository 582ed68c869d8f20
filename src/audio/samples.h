/* SPDX-License-Identifier: MIT
 * Reads, writes, measures and fades samples of any format. Pure. */
#pragma once

#include "audio/wav.h"

/* The formats are plain: see wav_plain(). */

/* The value of one sample of FORMAT at DATA, -1.0 .. 1.0. */
double samples_get(const struct wav_format *format, const void *data);

/* Makes of SIZE bytes of FORMAT, whole samples, those of wav_plain(FORMAT), in
 * place. Returns their size. */
size_t samples_to_plain(const struct wav_format *format, void *data,
			size_t size);

/* Writes VALUE (limited to -1.0 .. 1.0; NaN becomes 0) as one sample of FORMAT
 * at DATA. */
void samples_put(const struct wav_format *format, void *data, double value);

/* The values of CHANNEL in COUNT frames at DATA. */
void samples_split(const struct wav_format *format, const void *data,
		   size_t count, unsigned channel, float *values);
/* As samples_put(), for what is calculated in single precision. */
void samples_put_float(const struct wav_format *format, void *data,
		       float value);

/* The highest absolute sample of COUNT frames, 0.0 (silence) .. 1.0. */
double samples_peak(const struct wav_format *format, const void *data,
		    size_t count);

/* The mean power of COUNT frames, 0.0 .. 1.0; measures only the first frame and
 * every STRIDE-th after it. */
double samples_power(const struct wav_format *format, const void *data,
		     size_t count, size_t stride);

/* PEAK in dBFS, at least -99. */
double samples_dbfs(double peak);

enum { SAMPLES_METER_SIZE = 40 };

/* Draws PEAK as a bar of up to 30 characters on a scale from -60 to 0 dBFS, and
 * its number: "[#####---] -12 dB". At full scale, or so near to it as the
 * largest sample of A-law and mu-law, "CLIP" replaces the number. All has
 * COLUMNS characters at most; the bar is left out rather than too short. */
void samples_meter(char text[SAMPLES_METER_SIZE], size_t columns, double peak);

/* Multiplies COUNT frames in place by a gain that moves linearly from FROM to
 * TO. */
void samples_fade(const struct wav_format *format, void *data, size_t count,
		  double from, double to);
