/* SPDX-License-Identifier: MIT
 * The loudspeaker, and the page that has it: from its hook and the volume, over
 * its samples and the limit, to its result. */
#pragma once

#include "client/configuration.h"
#include "client/hook.h"
#include "client/mixer.h"
#include "client/station.h"

/* The words of INTERCOM_RESULT. */
enum turn_result {
	TURN_COMPLETE,
	TURN_CUT_SHORT,	 /* the connection ended early */
	TURN_TAKEN_OVER, /* by a server that was listed earlier */
	TURN_LIMIT,	 /* --max-duration */
	TURN_UNHEARD,	 /* there was no card */
	TURN_STOPPED,	 /* the client was */
};

/* Of all pages. */
struct turn_totals {
	uint64_t pages, complete, written_frames, xruns, starvations;
	uint64_t starved_ms, dropped_ms, suspends, card_losses;
};

struct turn {
	const struct client_config *config;
	struct speaker speaker;
	struct mixer *mixer; /* NULL: not wanted */
	struct hook hook;
	struct turn_totals totals;
	uint64_t meter_usec; /* when next to draw it */

	/* The page; what follows stays after its end. */
	struct station *station; /* NULL: nobody's turn */
	bool open;		 /* samples may still come */
	bool before;		 /* waits for the hook */
	enum turn_result result;
	struct session_page page; /* its state when last looked at */
	uint64_t first;		  /* bytes that came before it was joined */
	uint64_t begun_usec;
};

/* CONFIG must outlive the turn. 0 or -ENOMEM. */
int turn_init(struct turn *turn, const struct client_config *config);
/* Silences at once and puts the volume back; the hook of a page that is stopped
 * by this may still run. */
void turn_close(struct turn *turn);

/* It is the turn of STATION, which has a page; when that cannot be played, it
 * is muted. */
void turn_begin(struct turn *turn, struct station *station, uint64_t now_usec);
/* A page that comes first is there: it is its turn soon. */
void turn_give_way(struct turn *turn, uint64_t now_usec);
/* Does what is to be done now. Whether a page has come to its end. */
bool turn_run(struct turn *turn, uint64_t now_usec);
/* When to do so again at the latest. */
uint64_t turn_deadline(const struct turn *turn, uint64_t now_usec);
/* Whether samples of STATION would be read if there were any. */
enum session_wanted turn_wants(struct turn *turn,
			       const struct station *station);
