/* SPDX-License-Identifier: MIT
 * The card of a loudspeaker: its PCM, and what is known of its ring. Opens it,
 * writes to it, and tells what has sounded; recovers it as far as it can be.
 * Whether the page goes on then, and with what, is the speaker's matter. */
#pragma once

#include "audio/pcm.h"
#include "base/backoff.h"

/* Frames since the page got the card, or since the card was last recovered. The
 * fill of the ring says how much may be written, the delay how late a frame
 * written now will sound; what has sounded is a third number, which grows only
 * while the card takes frames: a card may stand still. */
struct card_ring {
	uint64_t written;
	uint64_t page_frames;	/* of these, frames of the page */
	uint64_t page_end;	/* "written" after the last of them */
	uint64_t fill_frames;	/* in the ring, as of looked_usec, and .. */
	uint64_t delay_frames;	/* .. until a frame sounds; both with what was
				   written since */
	uint64_t taken;		/* out of the ring by the card */
	uint64_t played;	/* how many have sounded */
	uint64_t progress_usec; /* when "taken" last grew */
	uint64_t looked_usec;
	uint64_t unknown_usec; /* since when the end waits for a delay; or 0 */
};

struct card {
	const char *device;
	struct pcm *pcm;	  /* NULL: not open */
	struct wav_format format; /* that the PCM was opened with */
	struct card_ring ring;
	struct backoff backoff;	     /* between attempts to open it */
	int error;		     /* the one logged last, 0 for none */
	uint64_t step_usec;	     /* in which it tells its position, or 0 */
	bool suspended;		     /* until it has recovered */
	uint64_t recover_limit_usec; /* then it is lost; 0: not recovering */
};

/* Opens it, unless it is, for FORMAT. Logs an error once, and when it is back.
 * 0, or an error of pcm_open(). */
int card_open(struct card *card, const struct wav_format *format,
	      uint32_t period_frames, uint32_t buffer_frames);
/* Silences it at once and closes it. Takes a closed one. */
void card_close(struct card *card);
/* Logs why it is gone, and closes it. */
void card_lose(struct card *card, int error);
/* Forgets what was written: the ring is empty, or is about to be. */
void card_begin_ring(struct card *card);

/* As pcm_write(). */
ssize_t card_write(struct card *card, const void *data, size_t count);
/* As pcm_write(), but writes COUNT (> 0) frames of silence. */
ssize_t card_write_silence(struct card *card, size_t count);
/* The last COUNT frames that were written are of the page. */
void card_count_page(struct card *card, size_t count);
/* 0, or negative errno. */
int card_start(struct card *card, uint64_t now_usec);

/* Looks where it stands. 0, -ETIMEDOUT when it has stood still for too long, or
 * an error of pcm_look(). */
int card_look(struct card *card, struct pcm_position *ret, uint64_t now_usec);
/* The same before it runs. */
int card_look_first(struct card *card);
/* The ring has run empty: all in it has sounded for which there was time since
 * the card was last seen to take frames. */
void card_note_empty(struct card *card, uint64_t now_usec);
/* Whether it ran empty although there were frames in the ring by what it last
 * told: so it tells its position in steps, of which TARGET_FRAMES must hold
 * two. Logged, once. */
bool card_learn_step(struct card *card, uint64_t target_frames,
		     uint64_t now_usec);

/* Makes an empty or suspended ring writable again, so that card_begin_ring() is
 * due. 0, -EAGAIN while that goes on, or another negative errno when the card
 * is lost. *ret_forgotten: what was in a suspended ring will not sound. */
int card_recover(struct card *card, bool *ret_forgotten, uint64_t now_usec);

/* Of the page: how many frames in the ring have sounded. */
uint64_t card_heard_frames(const struct card *card);
/* How many lie behind the ring: constant for most cards. */
uint64_t card_behind_frames(const struct card *card);
/* Whether all of the page has sounded. Before ALSA can tell a delay, a short
 * page only seems to have: then the next look decides. */
bool card_page_has_sounded(struct card *card, uint64_t now_usec);
/* How many frames of silence are still to be written after the page, so that
 * all of it sounds. TARGET_FRAMES are enough where the delay is unknown. */
uint64_t card_padding_frames(const struct card *card, uint64_t target_frames);

/* Takes frames that have not sounded back out of the ring, so that what is left
 * can be faded and sounds for some 35 ms at most. *ret_pages: so many of them
 * are of the page. False when more remains. */
bool card_take_back(struct card *card, uint64_t *ret_pages);
