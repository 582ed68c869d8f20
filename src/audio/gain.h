/* SPDX-License-Identifier: MIT
 * Makes a sound louder or quieter. What would exceed full scale is limited: the
 * gain sinks smoothly ahead of a peak, for all channels alike, and rises again
 * after it. No I/O. */
#pragma once

#include <stddef.h>

#include "audio/wav.h"

#define GAIN_DB_MIN (-60.0)
#define GAIN_DB_MAX 40.0
/* The highest sample that is let through: a bit below that at which a meter
 * says CLIP. */
#define GAIN_CEILING 0.97

struct gain;

/* FORMAT is plain, see wav_plain(); DB is not 0. 0 or -ENOMEM. */
int gain_new(struct gain **ret, const struct wav_format *format, double db);

/* Takes COUNT frames at DATA and puts there those that are ready, in the same
 * order: as many, less the few milliseconds that a limiter looks ahead. Returns
 * how many. */
size_t gain_apply(struct gain *gain, void *data, size_t count);

/* How many frames of those that have come are held back from then on. */
size_t gain_ahead(const struct gain *gain);

/* The frames that are held back, *ret, valid until the next call. Returns how
 * many; then it holds none. */
size_t gain_drain(struct gain *gain, void **ret);

/* Takes NULL; returns NULL. */
struct gain *gain_free(struct gain *gain);
