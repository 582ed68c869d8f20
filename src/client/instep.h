/* SPDX-License-Identifier: MIT
 * A page that is on schedule: joins when it shall sound (rendezvous), what the
 * card does (follow) and the stretching of the page (resample). Says what the
 * speaker is to write next. Knows no card. */
#pragma once

#include "client/fifo.h"
#include "client/follow.h"

struct resample;

struct instep {
	bool on; /* all else is only valid then, but for the statistics */
	struct wav_format format;
	struct rendezvous rendezvous;
	struct follow follow;
	struct resample *resample;
	uint64_t first;	      /* of its frames that is to be heard */
	uint64_t next;	      /* number of the FIFO's first frame */
	uint32_t lead_frames; /* of silence in the ring until the page begins */
	bool begun;	      /* a frame of the page was written */
	bool ended;	      /* no more frames will come */
	bool late;	      /* what has arrived is late .. */
	uint64_t late_since;  /* .. since so much was written */
	int64_t off_since_ns; /* the card is off its line since then; 0: no */
	double off;	      /* .. by so many frames at its best */
	int64_t asleep_ns;    /* wallclock_asleep_ns(), as far as is known */
	uint8_t *made; /* frames for the card that it has not taken yet */
	size_t made_begin, made_frames;

	/* Stay valid until the next instep_begin(). */
	double took;	  /* frames of the page that were made .. */
	uint64_t written; /* .. into so many of the card's */
	double error_sum; /* of |how late the page was|, seconds */
	uint64_t error_count;
	const char *told; /* "why" of the way that was logged last */
};

/* A page of FORMAT with PAGE's schedule, which was read at READ_NS, begins;
 * frame number FIRST is the first to be heard. CARD_RATE is what the card runs
 * at, in parts of the nominal rate, or 0. Logs which way it goes. -ENOMEM, and
 * it is not on schedule. */
int instep_begin(struct instep *instep, const struct wav_format *format,
		 const struct wav_page *page, int64_t read_ns, uint64_t first,
		 int64_t delay_ns, double card_rate,
		 enum rendezvous_doubt doubt);
/* Frees; calling it twice is fine. */
void instep_end(struct instep *instep);

/* FRAMES of the page, counted from its header, had arrived at NS. */
void instep_arrived(struct instep *instep, int64_t ns, uint64_t frames);
/* The machine may have been suspended. */
void instep_woke(struct instep *instep);
/* SOUNDED of the frames that were written since the (re)start had sounded at
 * NS. */
void instep_look(struct instep *instep, int64_t ns, uint64_t sounded);
/* How soon to look again, in microseconds, when SOUNDED have sounded. */
uint64_t instep_look_usec(const struct instep *instep, uint64_t sounded);
/* The card has begun anew. What was not made goes back into the FIFO. */
void instep_restart(struct instep *instep, struct fifo *fifo);
/* There are no frames to be written. Those that are in the FIFO now are written
 * otherwise; the page is sought anew when others come. */
void instep_starve(struct instep *instep, struct fifo *fifo);
/* Logs why it is left, by an order INSTEP_LEAVE that is LATE_S too late. */
void instep_tell_left(const struct instep *instep, double late_s,
		      const char *device);
/* The page goes on without its schedule, with the FIFO's first frame. */
void instep_leave(struct instep *instep, struct fifo *fifo);

/* What to write behind the WRITTEN frames, of which there is room for ROOM. */
struct instep_order {
	enum {
		INSTEP_NOTHING, /* frames are wanting */
		INSTEP_SILENCE, /* COUNT frames; more, and the page is late */
		INSTEP_BEGIN,	/* the page begins, or goes on, with the FIFO's
				   first frame, once COUNT frames are skipped */
		INSTEP_FRAMES,	/* COUNT frames of DATA */
		INSTEP_LEAVE,	/* it cannot be on schedule: LATE_S too late, or
				   rendezvous.why */
	} what;
	uint64_t count;
	const void *data;
	double late_s;
};
void instep_next(struct instep *instep, struct fifo *fifo, uint64_t written,
		 size_t room, struct instep_order *ret);
/* COUNT of the frames that were made are written. */
void instep_written(struct instep *instep, size_t count);
/* COUNT frames of the FIFO will not be heard: they were dropped. */
void instep_skipped(struct instep *instep, size_t count);
/* After instep_restart(): COUNT frames that were made are in the FIFO again. */
void instep_put_back(struct instep *instep, size_t count);
/* Whether frames have yet to be made, besides those of the FIFO. */
bool instep_holds_frames(const struct instep *instep);

/* How many frames of the page COUNT of the card's are. */
uint64_t instep_page_frames(const struct instep *instep, uint64_t count);
/* How far from its moment the page was, as far as that can be known from here,
 * in microseconds; UINT64_MAX when it was not on schedule. */
uint64_t instep_error_us(const struct instep *instep);
/* What the card ran at, in parts of the nominal rate; 0: not known. */
double instep_card_rate(const struct instep *instep);
