/* SPDX-License-Identifier: MIT
 * The loudspeaker and the page that has it: runs the hooks, sets the volume,
 * reads the samples, ends the page at --max-duration, reports the result. Runs
 * in the client's loop; the client decides whose turn it is. */
#pragma once

#include "client/configuration.h"
#include "client/hook.h"
#include "client/keeper.h"
#include "client/station.h"

/* Sums over all pages. */
struct turn_totals {
	uint64_t pages, complete, written_frames, xruns, starvations;
	uint64_t starved_ms, dropped_ms, suspends, card_losses;
};

struct turn {
	const struct client_config *config;
	struct speaker speaker;
	struct keeper *keeper;
	struct hook hook;
	struct turn_totals totals;
	uint64_t meter_usec; /* when to draw the meter again */
	int64_t asleep_ns;   /* wallclock_asleep_ns(), as far as is known */

	/* The page; all but the station stays valid after its end. */
	struct station *station; /* NULL: nobody's turn */
	bool open;		 /* samples are still read */
	bool before;		 /* must not sound before --before has ended */
	enum receipt_result result;
	struct session_page page; /* copied at the beginning and at the end */
	uint64_t first;		  /* bytes received before this turn */
	struct receipt receipt;	  /* of earlier turns of this page */
	uint64_t late_frames;	  /* the oldest that wait: not to be heard */
	uint64_t begun_usec;
};

/* CONFIG must outlive the turn, and its strings the program. 0 or negative
 * errno. */
int turn_init(struct turn *turn, const struct client_config *config);
/* Silences the card at once and restores the volume. A page that this stops
 * gets its --after hook, which may still run afterwards. */
void turn_close(struct turn *turn);

/* Begins the turn of STATION, which has a page; there must be no turn, and no
 * hook running. A page that there is no memory for is muted. One that has been
 * read before is joined at its newest frame; if it has ended, no turn is begun.
 */
void turn_begin(struct turn *turn, struct station *station, uint64_t now_usec);
/* Ends the page in favour of another: reads no more and fades out. */
void turn_give_way(struct turn *turn, uint64_t now_usec);
/* It is NOW_USEC, and the program was to go on by DUE_USEC: it may have been
 * stopped, or the machine may have slept, which neither counts. Of a live page
 * only what is younger than the latency is heard. */
void turn_woken(struct turn *turn, uint64_t due_usec, uint64_t now_usec);
/* Does all that can be done now. True when this ended the turn; turn->result
 * says how. */
bool turn_run(struct turn *turn, uint64_t now_usec);
/* When to call turn_run() again at the latest; UINT64_MAX for never. */
uint64_t turn_deadline(const struct turn *turn, uint64_t now_usec);
/* Whether turn_run() would read samples of STATION now. */
enum session_wanted turn_wants(struct turn *turn,
			       const struct station *station);
