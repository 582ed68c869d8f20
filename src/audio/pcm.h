/* SPDX-License-Identifier: MIT
 * An ALSA PCM: open, negotiate, read, write, recover. No other module of audio
 * includes asoundlib. Only one thread at a time may use a pcm. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "audio/wav.h"

enum pcm_direction { PCM_PLAYBACK, PCM_CAPTURE };

struct pcm_config {
	const char *device;	  /* ALSA's name: "default", "hw:CARD=x" */
	struct wav_format format; /* must be valid */
	/* Wanted; 0: a quarter of buffer_frames, or 20 ms if that is 0. */
	uint32_t period_frames;
	uint32_t buffer_frames; /* wanted; 0: 500 ms, at least 4 periods */
};

struct pcm;

/* Opens (non-blocking) and prepares. The format is exact, or the call fails;
 * period and buffer are as near as the device can come. 0, or a negative errno:
 * -ENOENT or -ENODEV for no such device, -EBUSY for one in use, -EINVAL when
 * the device cannot do the format. On error *ret_step, if ret_step is not NULL,
 * names the step that failed ("open", "rate" ..), as a static string. */
int pcm_open(struct pcm **ret, enum pcm_direction direction,
	     const struct pcm_config *config, const char **ret_step);

/* Stops at once and closes. Takes NULL; returns NULL. */
struct pcm *pcm_close(struct pcm *pcm);

uint32_t pcm_period_frames(const struct pcm *pcm); /* as obtained */
uint32_t pcm_buffer_frames(const struct pcm *pcm); /* as obtained */

/* Describes an error of any function here, as a static string. */
const char *pcm_strerror(int error);
/* Tells a person how to remedy an error of pcm_open(), as a static string. */
const char *pcm_remedy(enum pcm_direction direction, int error);

/* Starts capture, or playback of the frames written so far. 0, also when the
 * PCM runs already, or negative errno. */
int pcm_start(struct pcm *pcm);

/* Has alsa-lib's own messages logged for debugging, not printed. */
void pcm_silence_alsa(void);

/* --- capture --- */

/* Waits up to TIMEOUT_MS for COUNT frames or a period, whichever is less, and
 * reads up to COUNT frames. Returns frames (> 0), 0 when the time passed
 * without any, or negative errno when the device is lost. Recovers from an
 * overrun or a suspend: the call then returns 0 and *ret_gap_frames is how many
 * frames were lost (from the last frame read to the restart, by
 * CLOCK_MONOTONIC); otherwise it is 0. A second recovery without a frame since
 * the first is -EIO: the card is lost. */
ssize_t pcm_read(struct pcm *pcm, void *buffer, size_t count, int timeout_ms,
		 uint64_t *ret_gap_frames);

/* After a read: how many frames more had been captured by *ret_usec of
 * CLOCK_MONOTONIC. */
uint64_t pcm_waiting_frames(const struct pcm *pcm, uint64_t *ret_usec);

/* --- playback; nothing here ever blocks --- */

/* Writes up to COUNT frames, as many as the ring has room for. Returns frames
 * written (0: the ring is full); -EPIPE when the ring has run empty or
 * -ESTRPIPE when the device was suspended (call pcm_recover() after both); or
 * another negative errno when the device is lost. */
ssize_t pcm_write(struct pcm *pcm, const void *buffer, size_t count);

/* Where playback stands. What lies behind the ring (Bluetooth, a DSP, a sound
 * server, the network) is delay, and takes no room in the ring. */
struct pcm_position {
	uint64_t ring_frames;  /* written, and not yet taken by the card */
	uint64_t delay_frames; /* how much later a frame written now sounds */
	int64_t ns; /* CLOCK_MONOTONIC of both; 0: ALSA does not tell */
};

/* One look at both. Before the PCM runs, and where ALSA cannot tell a delay,
 * that is what the ring holds. 0, or an error as of pcm_write(). */
int pcm_look(struct pcm *pcm, struct pcm_position *ret);
/* Whether ALSA can tell the delay now. Some cannot in the first moments. */
bool pcm_delay_known(const struct pcm *pcm);

/* Takes back up to COUNT of the frames that were written last, of those that
 * are still in the ring. Returns how many. 0: the device cannot, and the ring
 * may be spoilt. */
size_t pcm_rewind(struct pcm *pcm, size_t count);

/* How many frames pcm_write() would take now, or an error as of pcm_write(). */
ssize_t pcm_room(struct pcm *pcm);

/* After -EPIPE or -ESTRPIPE: makes the PCM ready to be written and started
 * again. 0; -EAGAIN while a resume is under way (call again later); -EIO when
 * no frame was PLAYED since the last recovery, so the card is lost; or another
 * negative errno. */
int pcm_recover(struct pcm *pcm);

/* --- listing --- */

/* Prints the PCMs of a direction with their descriptions, as arecord -L does. 0
 * or negative errno; whether OUT has failed is the caller's to see. */
int pcm_list(FILE *out, enum pcm_direction direction);
