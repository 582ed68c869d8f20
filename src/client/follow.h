/* SPDX-License-Identifier: MIT
 * Makes a card keep the rendezvous: what to write next so that the page sounds
 * when it shall. Pure: no clock, no samples. */
#pragma once

#include "client/rendezvous.h"

struct follow {
	uint32_t rate;
	struct trend card; /* frames sounded over time */
	bool seeks;	   /* the page has yet to begin, or to come back */
	bool keeps_all;	   /* what is late is not skipped, but played faster */
	bool told;	  /* the card has told its position since the restart */
	int64_t first_ns; /* then */
	double first;
	double error_s; /* how late the page was at the last order */
};

/* RATE is nominal, CARD_RATE what the card was found to run at earlier, or 0.
 */
void follow_init(struct follow *follow, uint32_t rate, double card_rate);
/* The card has begun anew, after an xrun for instance. */
void follow_restart(struct follow *follow);
/* It goes on, but what lies behind its ring is FRAMES less than before. */
void follow_moved(struct follow *follow, double frames);

/* SOUNDED frames had sounded at NS, by the card. */
void follow_look(struct follow *follow, int64_t ns, double sounded);
/* Whether the card's position runs as time does. */
bool follow_has_clock(const struct follow *follow);

/* What to write behind the WRITTEN frames of a page that stands at POSITION:
 * silence of so many frames (more, and the page begins late), the page from
 * another position, or the page as it goes on, at a STEP. */
struct follow_order {
	enum { FOLLOW_SILENCE, FOLLOW_SEEK, FOLLOW_STEP } what;
	double frames;	 /* of silence */
	double position; /* to seek */
	double late;	 /* the page at SEEK: frames */
	double step;	 /* of SEEK and STEP */
};
void follow_next(struct follow *follow, const struct rendezvous *rendezvous,
		 uint64_t written, double position, struct follow_order *ret);
