/* SPDX-License-Identifier: MIT
 * The loudspeaker of a client: takes the frames of one page after the other,
 * opens the card for each, keeps its ring filled, and comes back from all that
 * can happen to a card. Never blocks and never logs a period. */
#pragma once

#include "audio/pcm.h"
#include "base/backoff.h"
#include "client/fifo.h"
#include "client/latency.h"

struct speaker_config {
	const char *device;
	uint32_t latency_ms;	/* how long frames wait before they sound */
	uint32_t delay_ms;	/* later than that, to be in step with others */
	uint32_t lead_in_ms;	/* silence before a page */
	uint32_t period_frames; /* wished; 0: a quarter of the latency */
	bool hold;		/* keep the card open between pages */
	bool meter;		/* speaker_take_peak() is going to be asked */
};

enum speaker_state {
	SPEAKER_IDLE,	    /* no page */
	SPEAKER_WAITING,    /* a page is collected; it may not sound yet */
	SPEAKER_OPENING,    /* the card is not there: tried again and again */
	SPEAKER_RECOVERING, /* the card resumes */
	SPEAKER_FILLING,    /* collecting until there is enough to start */
	SPEAKER_PLAYING,
	SPEAKER_DRAINING, /* all is written; the last frame has yet to sound */
	SPEAKER_DONE,	  /* the page has sounded, or cannot */
};

/* Of one page. */
struct speaker_stats {
	uint64_t written_frames; /* of the page, to the card */
	uint64_t dropped_frames; /* too late, or lost with the card */
	uint64_t xruns;	      /* the ring ran empty although data was there */
	uint64_t starvations; /* the ring ran empty since none was there */
	uint64_t starved_usec;
	uint64_t suspends;
	uint64_t card_losses;
	uint64_t behind_sum, behind_count; /* for speaker_behind_ms() */
};

/* Frames since the ring was last empty. How late a frame is that is written now
 * and what has sounded are two numbers: a card may stand still. */
struct speaker_ring {
	uint64_t written;
	uint64_t page_end;	/* of those written, where the page ends */
	uint64_t delay_frames;	/* when last asked */
	uint64_t played;	/* how far they had sounded .. */
	uint64_t progress_usec; /* .. then */
};

struct speaker {
	struct speaker_config config;
	enum speaker_state state;
	struct pcm *pcm;	  /* NULL: not open */
	struct wav_format format; /* of the page */
	struct wav_format pcm_format;
	struct fifo fifo;
	struct latency latency;
	struct backoff backoff;
	struct speaker_stats stats;
	uint32_t target_frames;
	uint32_t silence_frames; /* still to be written before the page */
	bool ended;		 /* nothing more will be put */
	bool fade_in;		 /* the next start is a rejoining */
	bool starving;		 /* since starved_since_usec */
	int card_error;		 /* what was last logged, 0 for none */
	uint64_t ended_usec;
	uint64_t starved_since_usec;
	uint64_t retry_usec; /* in OPENING and RECOVERING */
	uint64_t recover_limit_usec;
	uint64_t collecting_usec; /* since when frames wait; 0: none has come */
	bool arriving;		  /* when last looked .. */
	uint64_t spare_frames;	  /* .. and what was in the FIFO then */
	uint64_t excess_frames;	  /* of a live page, that should go */
	uint64_t cut_limit_usec;  /* until when to wait for a quiet place */
	struct speaker_ring ring;
	double peak; /* of what was written since speaker_take_peak() */
};

void speaker_init(struct speaker *speaker, const struct speaker_config *config);

/* Silences and closes at once. */
void speaker_close(struct speaker *speaker);

/* Begins to collect a page of a valid FORMAT, which has come since BEGUN_USEC;
 * in state IDLE only. RESUMED: it is joined in the middle, so it is faded in.
 * 0 or -ENOMEM. */
enum speaker_begin { SPEAKER_FRESH, SPEAKER_RESUMED };
int speaker_begin(struct speaker *speaker, const struct wav_format *format,
		  enum speaker_begin begin, uint64_t begun_usec);

/* From now on the page may sound: opens the card. */
void speaker_allow(struct speaker *speaker, uint64_t now_usec);

/* Looks at the ring, before new data is put: QUEUED_BYTES of the page are
 * waiting in the kernel. */
void speaker_look(struct speaker *speaker, uint64_t now_usec,
		  size_t queued_bytes);

/* Room for more bytes, and that they were put there. ARRIVED_BYTES is how many
 * of the page there have been in all, with those still in the kernel. */
void *speaker_space(struct speaker *speaker, size_t *ret_size);
void speaker_put(struct speaker *speaker, size_t size);
void speaker_arrived(struct speaker *speaker, uint64_t now_usec,
		     uint64_t arrived_bytes);

/* The page has ended. BROKEN_OFF: what is left is heard and faded. TAKEN_OVER:
 * only what is in the ring is heard, and faded. Later calls do nothing. */
enum speaker_end {
	SPEAKER_COMPLETE,
	SPEAKER_BROKEN_OFF,
	SPEAKER_TAKEN_OVER,
};
void speaker_end(struct speaker *speaker, enum speaker_end end,
		 uint64_t now_usec);

/* Another page waits: one that has ended and still waits for a missing card
 * gives way to it. Of a stored page nothing is lost by waiting, so it stays. */
void speaker_give_way(struct speaker *speaker);

/* Does what is to be done now. */
void speaker_step(struct speaker *speaker, uint64_t now_usec);

/* When to call speaker_step again at the latest; UINT64_MAX when idle. */
uint64_t speaker_deadline(const struct speaker *speaker, uint64_t now_usec);

/* After DONE: back to IDLE, closes the card unless it is held. */
void speaker_finish(struct speaker *speaker);

/* The mean of how far behind the newest frame the page was, for people. */
double speaker_behind_ms(const struct speaker *speaker);
/* How full the ring and the FIFO are now. */
double speaker_fill_ms(const struct speaker *speaker);
double speaker_take_peak(struct speaker *speaker);
/* The state in a word or three. */
const char *speaker_state_name(const struct speaker *speaker);
