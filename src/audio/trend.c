/* SPDX-License-Identifier: MIT
 * A second-order loop whose bandwidth falls with the line's age. A mean would
 * be drawn by each late sample; the least late one of a slot is not. */
#include "audio/trend.h"

#include <math.h>

#include "base/util.h"

/* In the first slots the line is only moved, since its slope needs time to be
 * seen. */
enum { OFFSET_SLOTS = 4 };

#define SLOT_MIN_S 0.1
/* A slot is so small a part of the line's age, and so is the loop's period. */
#define SLOTS_PER_AGE 8
#define LOOP_PER_AGE 0.35
/* Above these a loop of two orders would swing. */
#define MOVE_MAX 0.7
#define TURN_MAX 0.25

/* A slot that is much later than those before it says little: a network has bad
 * minutes. So much of it is believed: */
#define BELIEF 1.5     /* times how late or early others were, .. */
#define BELIEF_SLOTS 8 /* .. over so many of them, .. */
#define UNSURE 200e-6  /* .. and what a line is wrong by after a second */

/* An error of less than so much is brought back unheard .. */
#define FINE_S 0.0005
#define FINE_PULL 300e-6
/* .. and a greater one fast: 2000 ppm are 3.5 cents. */
#define COARSE_PULL 2000e-6

const struct trend_pace trend_of_card = {
    .slot_max_s = 2,
    .loop_max_hz = 0.5,
    .loop_min_hz = 0.01,
    .wander = 3e-6,
};
const struct trend_pace trend_of_arrivals = {
    .slot_max_s = 10,
    .loop_max_hz = 0.2,
    .loop_min_hz = 0.003,
    .wander = 0.5e-6,
};

static double clamp(double value, double low, double high)
{
	return fmax(low, fmin(high, value));
}

static double seconds(int64_t from_ns, int64_t to_ns)
{
	return (double)(to_ns - from_ns) / (double)NSEC_PER_SEC;
}

void trend_init(struct trend *trend, const struct trend_pace *pace,
		double nominal, double rate)
{
	*trend = (struct trend){.pace = pace, .nominal = nominal, .rate = rate};
}

void trend_restart(struct trend *trend)
{
	trend->begun = trend->told = false;
	trend->slots = 0;
}

static double slot_length(const struct trend *trend)
{
	return clamp(trend->age_s / SLOTS_PER_AGE, SLOT_MIN_S,
		     trend->pace->slot_max_s);
}

static void begin_slot(struct trend *trend, int64_t ns)
{
	trend->slot_ns = ns;
	trend->told = false;
}

/* How late the slot of LENGTH was, as far as that is believed. The longer it
 * lasts, the more: then it is no bad minute. */
static double believed(struct trend *trend, double length)
{
	const double usual = trend->usual_late;
	const double wander =
	    (trend->pace->wander + UNSURE / trend->age_s) * trend->rate;
	const double lasts = (double)trend->doubted / BELIEF_SLOTS;
	const double most =
	    (BELIEF * usual + wander * length) * (1 + lasts * lasts);
	const double late =
	    usual > 0 ? fmax(trend->least_late, -most) : trend->least_late;

	if (late > trend->least_late) {
		trend->doubted++;
		return late;
	}
	trend->doubted = 0;
	trend->usual_late = usual > 0
				? usual + (fabs(late) - usual) / BELIEF_SLOTS
				: fabs(late);
	return late;
}

static void turn(struct trend *trend, double change)
{
	const double wished = trend->rate + change;

	trend->rate = clamp(wished, trend->nominal * (1 - TREND_DRIFT_MAX),
			    trend->nominal * (1 + TREND_DRIFT_MAX));
	trend->held = wished == trend->rate ? 0 : trend->held + 1;
}

static void end_slot(struct trend *trend, int64_t ns)
{
	const double length = seconds(trend->slot_ns, ns);
	double w, late;

	trend->age_s += length;
	trend->position = trend_position(trend, ns);
	trend->ns = ns;
	w = 2 * M_PI * length *
	    clamp(LOOP_PER_AGE / trend->age_s, trend->pace->loop_min_hz,
		  trend->pace->loop_max_hz);
	if (trend->slots++ >= OFFSET_SLOTS && trend->told) {
		late = believed(trend, length);
		trend->position += fmin(MOVE_MAX, M_SQRT2 * w) * late;
		turn(trend, fmin(TURN_MAX, w * w) * late / length);
	}
	begin_slot(trend, ns);
}

void trend_add(struct trend *trend, int64_t ns, double position)
{
	double residual;

	if (!trend->begun) {
		trend->begun = true;
		trend->position = position;
		trend->ns = ns;
		begin_slot(trend, ns);
		return;
	}
	if (seconds(trend->slot_ns, ns) >= slot_length(trend))
		end_slot(trend, ns);
	residual = position - trend_position(trend, ns);
	if (trend->slots < OFFSET_SLOTS && residual > 0) {
		trend->position += residual;
		residual = 0;
	}
	if (!trend->told || residual > trend->least_late)
		trend->least_late = residual;
	trend->told = true;
}

void trend_shift(struct trend *trend, double frames)
{
	trend->position += frames;
}

double trend_position(const struct trend *trend, int64_t ns)
{
	return trend->position + trend->rate * seconds(trend->ns, ns);
}

int64_t trend_time(const struct trend *trend, double position)
{
	return trend->ns + llrint((position - trend->position) / trend->rate *
				  (double)NSEC_PER_SEC);
}

double trend_doubt(const struct trend *trend)
{
	return trend->usual_late / trend->nominal +
	       UNSURE / fmax(trend->age_s, SLOT_MIN_S);
}

double trend_pull(double error_s, double age_s)
{
	const double tau = fmin(4, 0.5 + 0.35 * age_s);
	const double limit = fabs(error_s) > FINE_S ? COARSE_PULL : FINE_PULL;

	return clamp(error_s / tau, -limit, limit);
}
