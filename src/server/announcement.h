/* SPDX-License-Identifier: MIT
 * A page in the making: a source, an optional chime before it, and the page
 * that they fill. Runs in the loop. Knows neither zones nor clients. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "audio/chime.h"
#include "audio/microphone.h"
#include "server/tape.h"

enum announcement_state {
	ANNOUNCEMENT_OPENING, /* the device or the file is being opened */
	ANNOUNCEMENT_CHIME,   /* the chime goes out, the microphone is open */
	ANNOUNCEMENT_SPEECH,  /* what is said now goes out */
	ANNOUNCEMENT_ENDED,   /* the page is complete */
};

/* Why a page has ended. */
enum announcement_end {
	ANNOUNCEMENT_COMPLETE,	/* its time was up, or its file at the end */
	ANNOUNCEMENT_STOPPED,	/* somebody stopped it */
	ANNOUNCEMENT_PREEMPTED, /* a page of higher priority */
	ANNOUNCEMENT_NO_DEVICE, /* the microphone could not be opened */
	ANNOUNCEMENT_NOT_AUDIO, /* the file is no WAV file */
	ANNOUNCEMENT_FAILED,	/* the microphone, file or memory gave out */
};
/* "complete", "stopped" .. */
const char *announcement_end_name(enum announcement_end end);

struct announcement_info {
	enum announcement_state state;
	enum announcement_end end; /* when state is ENDED */
	int error;		   /* negative errno, when it failed */
	const char *reason;	   /* why it failed, for a person; or "" */
	struct wav_format format;  /* once open */
	uint64_t frames;	   /* so far */
	uint64_t planned_frames;   /* in all, or WAV_ENDLESS */
	uint64_t chime_frames;	   /* of these, the chime */
	uint64_t overruns;
	uint64_t overrun_frames; /* replaced by silence */
};

struct announcement_callbacks {
	void (*on_opened)(void *userdata); /* the page exists and is empty */
	void (*on_speech)(void *userdata); /* from now on speech goes out */
	void (*on_grown)(void *userdata);  /* samples were appended */
	/* For the first time on_grown took longer than a chunk lasts for some
	 * turns in a row; meanwhile it is called less often, for more samples.
	 * May be NULL. */
	void (*on_slow)(void *userdata, uint64_t took_usec);
	void (*on_ended)(void *userdata);    /* state is ENDED */
	void (*on_released)(void *userdata); /* the device is closed too */
};

struct announcement;

/* A page from the microphone: as many whole chunks as fit into SECONDS, behind
 * CHIME (or NULL; must be in the format of CONFIG; a reference is taken).
 * SECONDS 0 has no end. 0 or negative errno. */
int announcement_new_microphone(struct announcement **ret, sd_event *event,
				const struct microphone_config *config,
				double seconds, struct chime *chime,
				const struct announcement_callbacks *callbacks,
				void *userdata);
/* A page from a WAV file or a pipe with one. Takes over FD, also on error. */
enum announcement_pace { ANNOUNCEMENT_PACED, ANNOUNCEMENT_AT_ONCE };
int announcement_new_file(struct announcement **ret, sd_event *event, int fd,
			  enum announcement_pace pace,
			  const struct announcement_callbacks *callbacks,
			  void *userdata);
/* Waits for the source's thread, 0.1 s at most when it was not released. Not
 * from within a callback. Takes NULL; returns NULL. */
struct announcement *announcement_free(struct announcement *announcement);

/* Ends the page for this reason; on_ended is called from within. Nothing when
 * it has ended already. */
void announcement_stop(struct announcement *announcement,
		       enum announcement_end end);

void announcement_info(const struct announcement *announcement,
		       struct announcement_info *ret);
/* The page, or NULL while the source is being opened. Borrowed. */
struct tape *announcement_tape(const struct announcement *announcement);
/* Whether the device or file is closed. */
bool announcement_released(const struct announcement *announcement);
/* The highest sample since the last call, 0.0 .. 1.0. */
double announcement_take_peak(struct announcement *announcement);

/* Frames of a page of SECONDS: whole chunks only, as the Python scripts did
 * it: floor(rate / chunk * seconds) * chunk. */
uint64_t announcement_frames(uint32_t rate, uint32_t chunk_frames,
			     double seconds);
