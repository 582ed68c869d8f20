/* SPDX-License-Identifier: MIT
 * The line that a counter follows, when it is told late but never early: the
 * position of a card, frames that have arrived, frames that were captured. Of
 * each slot of time only the sample that is least late is used. Pure: no clock,
 * no I/O. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* No quartz is further off its nominal rate, and the resampler is made for no
 * more: what would turn a line beyond that is no clock, but a stranger. */
#define TREND_DRIFT_MAX 2000e-6

/* How fast a line follows what it is told. */
struct trend_pace {
	double slot_max_s;		 /* the length of a slot, at the end */
	double loop_max_hz, loop_min_hz; /* the loop's bandwidth */
	double wander; /* the part by which a rate changes in a slot */
};
extern const struct trend_pace trend_of_card, trend_of_arrivals;

struct trend {
	const struct trend_pace *pace;
	double nominal;	   /* frames a second .. */
	double rate;	   /* .. and estimated, which is near it */
	double position;   /* of the line .. */
	int64_t ns;	   /* .. at this time */
	double age_s;	   /* how long it has been learning */
	unsigned slots;	   /* that have ended since the last restart */
	int64_t slot_ns;   /* begin of the slot; undefined until BEGUN */
	double least_late; /* in the slot: the greatest residual, frames */
	double usual_late; /* how great it was in slots before */
	unsigned doubted;  /* slots in a row that were later than believed */
	unsigned held;	   /* .. and that would have turned it too far */
	bool begun, told;  /* since the restart; in this slot */
};

/* RATE is what the counter is taken to run at, frames a second. It never gets
 * further from NOMINAL than a clock can be. */
void trend_init(struct trend *trend, const struct trend_pace *pace,
		double nominal, double rate);
/* The counter begins anew at the same rate: after an xrun, for instance. */
void trend_restart(struct trend *trend);

/* POSITION was told at NS, which never goes back. */
void trend_add(struct trend *trend, int64_t ns, double position);
/* FRAMES more lie between what was told before and what will be. */
void trend_shift(struct trend *trend, double frames);

/* The position at NS, and when a position is reached. The line must have been
 * told something. */
double trend_position(const struct trend *trend, int64_t ns);
int64_t trend_time(const struct trend *trend, double position);
/* What the line is wrong by, in seconds, as far as it can know. */
double trend_doubt(const struct trend *trend);

/* By which part of its rate whatever follows the line should run faster, when
 * it is ERROR_S behind it and the line is AGE_S old. */
double trend_pull(double error_s, double age_s);
