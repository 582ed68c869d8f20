/* SPDX-License-Identifier: MIT
 * Rooms in simulated time: clients' rendezvous and follow on cards, clocks and
 * a network that are only calculated, so that days take seconds. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { ROOMS_MAX = 8 };

enum room_card {
	ROOM_CARD_EXACT, /* tells its position as it is */
	ROOM_CARD_USB,	 /* in steps of 1 ms */
	ROOM_CARD_BATCH, /* in steps of 20 ms, by its interrupts */
	ROOM_CARD_MIXED, /* one of each, and so on */
};

struct rooms {
	unsigned count;
	double card_ppm[ROOMS_MAX];
	enum room_card card;
	bool known;	       /* the cards' rates are, from an earlier page */
	bool clocks;	       /* are synchronised .. */
	double clock_us;       /* .. within so much */
	double clock_ppm;      /* or they run free, within so much */
	double microphone_ppm; /* not retimed */
	double seconds;
	unsigned seed;
};

/* Of one sound a second, how far apart the rooms are, in microseconds. */
struct rooms_skew {
	double first; /* word: 0.3 s */
	double worst_of_10_s;
	double last_above_100; /* seconds after the beginning; 0: never */
	double median, p95, p999, max_after_60_s;
	double clocks_median, clocks_max; /* the clocks alone */
	double latency_ms;		  /* of the first room's last sound */
};

void rooms_run(const struct rooms *rooms, struct rooms_skew *ret);
