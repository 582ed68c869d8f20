/* SPDX-License-Identifier: MIT
 * Converts a sound piece by piece: rate by libsamplerate, channels by copying
 * or averaging. No I/O. */
#pragma once

#include <sys/types.h>

#include "audio/wav.h"

struct converter;

/* How many frames COUNT frames at the rate FROM become at the rate TO; both
 * may be WAV_ENDLESS. */
uint64_t converter_frames(uint64_t count, uint32_t from, uint32_t to);

/* Both formats are plain, see wav_plain(). 0; -EOPNOTSUPP: libsamplerate does
 * not convert these rates; or -ENOMEM. */
int converter_new(struct converter **ret, const struct wav_format *from,
		  const struct wav_format *to);

/* Converts COUNT frames. *ret, valid until the next call, is what has come of
 * them so far: frames, 0 or more, or negative errno. */
ssize_t converter_put(struct converter *converter, const void *data,
		      size_t count, void **ret);

/* No more frames come. As converter_put(), to be called until it returns 0:
 * then there were converter_frames() of all that were put, exactly. */
ssize_t converter_end(struct converter *converter, void **ret);

/* Takes NULL; returns NULL. */
struct converter *converter_free(struct converter *converter);
