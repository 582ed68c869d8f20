/* SPDX-License-Identifier: MIT
 * The loudspeaker of a client: plays one page after another. Opens the card for
 * each, keeps its ring filled, and recovers from xruns, suspends and the loss
 * of the card. Runs in the client's loop and never waits for the ring. */
#pragma once

#include "client/card.h"
#include "client/cut.h"
#include "client/fifo.h"
#include "client/instep.h"
#include "client/latency.h"
#include "client/reserve.h"
#include "wire/receipt.h"

struct speaker_config {
	const char *device;
	uint32_t latency_ms;	 /* from the arrival of a frame to its sound */
	uint32_t latency_max_ms; /* what it may grow to; less: it is fixed */
	double delay_ms;	 /* added to that, to be in step with others */
	uint32_t lead_in_ms;	 /* silence before a page */
	uint32_t period_frames;	 /* wished; 0: a quarter of both together */
	bool hold;		 /* keep the card open between pages */
	bool meter;		 /* measure for speaker_take_peak() */
};

enum speaker_state {
	SPEAKER_IDLE,	    /* no page */
	SPEAKER_WAITING,    /* collects a page that may not sound yet */
	SPEAKER_OPENING,    /* the card is missing: opening it is retried */
	SPEAKER_RECOVERING, /* the card resumes from a suspend */
	SPEAKER_FILLING,    /* collects until there is enough to start */
	SPEAKER_PLAYING,
	SPEAKER_DRAINING, /* all is written; the last frame has yet to sound */
	SPEAKER_DONE,	  /* the page has sounded, or was given up */
};

/* Counted from speaker_begin(), so for one page. */
struct speaker_stats {
	uint64_t written_frames; /* of the page (no silence) to the card */
	uint64_t heard_frames;	 /* of these; see speaker_heard_frames() */
	uint64_t dropped_frames; /* too late, or lost with the card */
	uint64_t xruns;	      /* the ring ran empty although data had arrived */
	uint64_t starvations; /* the ring ran low because no data arrived */
	uint64_t starved_usec;
	uint64_t suspends;
	uint64_t card_losses;
	uint64_t behind_sum, behind_count; /* for speaker_behind_ms() */
};

struct speaker {
	struct speaker_config config;
	enum speaker_state state;
	struct card card;
	struct wav_format format; /* of the page */
	struct fifo fifo;
	struct latency latency;
	struct reserve *reserve; /* of the page's server; NULL: latency_ms */
	struct instep instep;	 /* of a page that is on schedule */
	double card_rate;	 /* in parts of the nominal one; 0: not known */
	struct speaker_stats stats;
	uint32_t target_frames;
	size_t most_frames;	 /* of a recording that may wait in the FIFO */
	uint64_t sound_usec;	 /* when the page may sound at the earliest */
	uint32_t silence_frames; /* still to be written before the page */
	bool ended;		 /* no more frames will be put */
	bool fade_in;		 /* the next start begins inside the page */
	bool starving;		 /* since starved_since_usec */
	bool gap_known;		 /* the reserve has learnt from it */
	uint64_t ended_usec;
	uint64_t starved_since_usec;
	uint64_t retry_usec;	  /* in OPENING and RECOVERING */
	uint64_t collecting_usec; /* since when frames wait; 0: none has come */
	bool arriving;		  /* speaker_look() was told of queued bytes */
	uint64_t spare_frames;	  /* in the FIFO at speaker_look() */
	struct cut cut;		  /* of a live page */
	double peak; /* of the frames written since speaker_take_peak() */
};

void speaker_init(struct speaker *speaker, const struct speaker_config *config);

/* Silences the card at once, closes it and frees. */
void speaker_close(struct speaker *speaker);

/* Begins to collect a page of a valid FORMAT, whose frames have been arriving
 * since BEGUN_USEC; in state IDLE only. RESUMED: the page is joined in the
 * middle, so it is faded in. 0 or -ENOMEM. */
enum speaker_begin { SPEAKER_FRESH, SPEAKER_RESUMED };
int speaker_begin(struct speaker *speaker, const struct wav_format *format,
		  enum speaker_begin begin, uint64_t begun_usec);

/* After speaker_begin(): the page is a recording, whose frames arrive up to
 * AHEAD_USEC before they are due. Every frame of it is heard, however late. */
void speaker_keep_all(struct speaker *speaker, uint64_t ahead_usec);
/* After speaker_begin(): the page has a schedule, which was read at READ_USEC,
 * and the first of its frames that will be put is number FIRST behind its
 * header. Where it can be kept, it
 * is, and it takes the place of the latency. -ENOMEM: it is not. */
int speaker_schedule(struct speaker *speaker, const struct wav_page *page,
		     uint64_t read_usec, uint64_t first,
		     enum rendezvous_doubt doubt);
/* FRAMES behind the header had arrived at NS, of CLOCK_MONOTONIC. */
void speaker_timed_arrival(struct speaker *speaker, int64_t ns,
			   uint64_t frames);
/* The machine has been suspended for so long: the page has gone on. */
void speaker_slept(struct speaker *speaker, uint64_t usec);
/* After speaker_begin(): the first frame is due at DUE_USEC, so it sounds no
 * sooner than the latency after that. */
void speaker_wait_until(struct speaker *speaker, uint64_t due_usec);
/* Whether so much of a recording waits, 30 s or 64 MiB, that it can no longer
 * be kept. */
bool speaker_is_behind(const struct speaker *speaker);

/* The page may sound from now on: opens the card. */
void speaker_allow(struct speaker *speaker, uint64_t now_usec);

/* Looks at the ring; to be called before new frames are put. QUEUED_BYTES of
 * the page have arrived and are not read yet. */
void speaker_look(struct speaker *speaker, uint64_t now_usec,
		  size_t queued_bytes);

/* As fifo_space() and fifo_put(). After them, speaker_arrived() says how many
 * bytes of the page have arrived since speaker_begin(), read or not. */
void *speaker_space(struct speaker *speaker, size_t *ret_size);
void speaker_put(struct speaker *speaker, size_t size);
void speaker_arrived(struct speaker *speaker, uint64_t now_usec,
		     uint64_t arrived_bytes);

/* No more frames will be put. COMPLETE: all of the page is heard. BROKEN_OFF:
 * so is all that has been put, with a fade at its end. STOPPED: falls silent at
 * once, with a fade. TAKEN_OVER: the same where the card gives the ring back;
 * elsewhere what is in the ring is heard, then a fade. Later calls do nothing.
 */
enum speaker_end {
	SPEAKER_COMPLETE,
	SPEAKER_BROKEN_OFF,
	SPEAKER_TAKEN_OVER,
	SPEAKER_STOPPED,
};
void speaker_end(struct speaker *speaker, enum speaker_end end,
		 uint64_t now_usec);

/* Drops the oldest FRAMES of those that were put and not written; the rest is
 * faded in. */
void speaker_drop_late(struct speaker *speaker, size_t frames);

/* Another page waits: gives the present one up if it has ended and its card is
 * still missing. A stored page stays, since the other one can wait for it, and
 * a recording for 5 s. */
void speaker_give_way(struct speaker *speaker, uint64_t now_usec);

/* Does all that can be done now. */
void speaker_step(struct speaker *speaker, uint64_t now_usec);

/* When to call speaker_step() again at the latest; UINT64_MAX for never. */
uint64_t speaker_deadline(const struct speaker *speaker, uint64_t now_usec);

/* Drops the page, in any state, and becomes IDLE; closes the card unless it is
 * held. */
void speaker_finish(struct speaker *speaker);

/* How many frames of the page have sounded: played by a card whose clock moves.
 * Stays valid until the next speaker_begin(). */
uint64_t speaker_heard_frames(const struct speaker *speaker);
/* How far from its moment the page was, estimated, in microseconds; UINT64_MAX:
 * it was not on schedule. Stays valid until the next speaker_begin(). */
uint64_t speaker_error_us(const struct speaker *speaker);
/* What is known of the card from the page. Stays valid until
 * the next speaker_begin(). */
enum receipt_card speaker_card(const struct speaker *speaker);
/* The mean latency of the page so far: how long a frame waited in the FIFO, the
 * ring and behind it before it sounded; of a stored page, without the FIFO. */
double speaker_behind_ms(const struct speaker *speaker);
/* How much is in the FIFO and the ring now. */
double speaker_fill_ms(const struct speaker *speaker);
/* The peak (0.0 to 1.0) of the frames written since the last call. */
double speaker_take_peak(struct speaker *speaker);
/* The state in a few words; a static string. */
const char *speaker_state_name(const struct speaker *speaker);
