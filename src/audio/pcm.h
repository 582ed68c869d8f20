/* SPDX-License-Identifier: MIT
 * A PCM of ALSA: open, negotiate, read, write, recover. The only module that
 * knows asoundlib. A pcm belongs to one thread at a time. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "audio/wav.h"

enum pcm_direction { PCM_PLAYBACK, PCM_CAPTURE };

struct pcm_config {
	const char *device;	  /* ALSA's name: "default", "plughw:1" .. */
	struct wav_format format; /* must be valid */
	/* Wished; 0: 20 ms, or a quarter of the buffer. */
	uint32_t period_frames;
	uint32_t buffer_frames; /* wished; 0: 500 ms, at least 4 periods */
};

struct pcm;

/* Opens (non-blocking) and prepares. The format is obtained exactly or not at
 * all; period and buffer are as near as the device has. Returns 0, or an
 * ALSA/negative errno: -ENOENT/-ENODEV missing, -EBUSY in use, -EINVAL the
 * device cannot do the format. *ret_step, when not NULL, says which step
 * failed ("open", "rate" ..) as a static string. */
int pcm_open(struct pcm **ret, enum pcm_direction direction,
	     const struct pcm_config *config, const char **ret_step);

/* Stops at once and closes. Takes NULL; returns NULL. */
struct pcm *pcm_close(struct pcm *pcm);

uint32_t pcm_period_frames(const struct pcm *pcm); /* as obtained */
uint32_t pcm_buffer_frames(const struct pcm *pcm); /* as obtained */

/* Words for an error of any function here (static string, never NULL). */
const char *pcm_strerror(int error);
/* What can be done about an error of pcm_open(). */
const char *pcm_remedy(enum pcm_direction direction, int error);

/* Starts capture, or playback of what has been written. 0, also when it runs
 * already, or negative errno. */
int pcm_start(struct pcm *pcm);

/* --- capture --- */

/* Reads up to COUNT frames that are there, waiting up to TIMEOUT_MS for the
 * first (in snd_pcm_wait). Returns frames (> 0), 0 when the time passed
 * without any, or negative errno when the device is lost. An overrun is
 * recovered inside: the call then returns 0 and *ret_gap_frames is how many
 * frames the page lost (from the last frame that was read to the restart, by
 * CLOCK_MONOTONIC); otherwise *ret_gap_frames is 0. Two recoveries with no
 * frame between them are -EIO: the card is lost. */
ssize_t pcm_read(struct pcm *pcm, void *buffer, size_t count, int timeout_ms,
		 uint64_t *ret_gap_frames);

/* --- playback; nothing here ever blocks --- */

/* Writes up to COUNT frames as far as the ring has room now. Returns frames
 * written (0: the ring is full), -EPIPE when the ring has run empty (call
 * pcm_recover), -ESTRPIPE when suspended (call pcm_recover), or another
 * negative errno when the device is lost. */
ssize_t pcm_write(struct pcm *pcm, const void *buffer, size_t count);

/* Frames from the next one written to the loudspeaker: what is in the ring and
 * in the hardware. 0 or more, or as pcm_write. */
ssize_t pcm_delay(struct pcm *pcm);

/* Frames that pcm_write would take now, or as pcm_write. */
ssize_t pcm_room(struct pcm *pcm);

/* After -EPIPE or -ESTRPIPE: makes the PCM ready to be written and started
 * anew. 0; -EAGAIN while a resume is still under way (call again in a while,
 * not at once); another negative errno, or -EIO when this is the second
 * recovery without a frame PLAYED between (the card is lost: close it). */
int pcm_recover(struct pcm *pcm);

/* --- listing --- */

/* Prints the PCMs of a direction with their descriptions, as arecord -L. */
int pcm_list(FILE *out, enum pcm_direction direction);
