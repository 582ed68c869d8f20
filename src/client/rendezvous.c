/* SPDX-License-Identifier: MIT
 * No frame arrives before it was captured: this is checked of two clocks that
 * both claim to be right, and without such clocks the earliest arrivals are the
 * clock, as with any RTP receiver. */
#include "client/rendezvous.h"

#include <math.h>
#include <stdlib.h>

#include "base/util.h"

enum {
	AWAY_SECONDS_MAX = 5,
	COMPARED_MAX = 2,    /* arrivals, of which one must be in time */
	LEAD_BEGIN_MS = 200, /* a played page is sent in real time so long */
};

/* How late the earliest frames may arrive by clocks that agree: of the first
 * frames, and of a whole page. */
#define EARLY_S 0.0005
#define FIRST_LATE_S 0.020
#define PAGE_LATE_S 0.005

/* A played page is sent at most so fast until it is its lead ahead. */
#define LEAD_SPEED 1.5

static int64_t us_to_ns(uint32_t us)
{
	return (int64_t)us * 1000;
}

static bool has(const struct rendezvous *r, enum wav_page_flags flag)
{
	return r->page.flags & flag;
}

static void choose(struct rendezvous *r, const struct wallclock *here,
		   int64_t now_ns, enum rendezvous_doubt doubt)
{
	const int64_t away_ns = r->page.sound_ns - here->offset_ns - now_ns;

	r->way = RENDEZVOUS_ARRIVAL;
	if (!has(r, WAV_PAGE_CLOCK_TRUSTED) ||
	    r->page.clock_error_us > WALLCLOCK_ERROR_US_MAX)
		r->why = "the server's clock is not synchronised";
	else if (here->denied)
		r->why = "this program may not ask whether the clock here is "
			 "synchronised: intercom(7), IN STEP";
	else if (!here->trusted)
		r->why = "this machine's clock is not synchronised";
	else if (llabs(away_ns) > AWAY_SECONDS_MAX * (int64_t)NSEC_PER_SEC)
		r->why = "the clocks are seconds apart";
	else if (doubt == RENDEZVOUS_DOUBTED)
		r->why = "the last page has shown that the clocks disagree";
	else
		r->way = RENDEZVOUS_CLOCK;
}

/* Without a clock a page can be in step only if it arrives in real time. */
static void need_arrivals(struct rendezvous *r)
{
	if (r->way == RENDEZVOUS_ARRIVAL && !has(r, WAV_PAGE_REAL_TIME))
		r->way = RENDEZVOUS_NONE;
}

void rendezvous_init(struct rendezvous *r, const struct wav_page *page,
		     uint32_t rate, int64_t delay_ns,
		     const struct wallclock *here, int64_t now_ns,
		     enum rendezvous_doubt doubt)
{
	const int64_t budget_ns = us_to_ns(page->budget_us);
	/* A stranger's number: what is calculated with it must not overflow. */
	const int64_t positive_ns = MAX(page->sound_ns, INT64_C(0));
	const int64_t sound_ns = MIN(positive_ns, INT64_MAX / 2);

	*r = (struct rendezvous){
	    .rate = rate,
	    .page = *page,
	    .said_ns = sound_ns - budget_ns - here->offset_ns,
	    .error_us = WALLCLOCK_ERROR_UNKNOWN,
	    .least_late_s = INFINITY,
	};
	r->page.sound_ns = sound_ns;
	r->budget_ns = MAX(budget_ns + delay_ns, 0);
	trend_init(&r->trend, &trend_of_arrivals, rate, rate);
	if (!has(r, WAV_PAGE_SCHEDULE) ||
	    budget_ns > AWAY_SECONDS_MAX * (int64_t)NSEC_PER_SEC) {
		r->why = "it has no schedule";
		return;
	}
	choose(r, here, now_ns, doubt);
	need_arrivals(r);
	if (r->way == RENDEZVOUS_CLOCK)
		r->error_us = page->clock_error_us + here->error_us;
}

/* Frames that were due at the latest when FRAMES were sent. */
static double least_due(const struct rendezvous *r, double frames)
{
	const double ahead = r->page.ahead_us * 1e-6 * r->rate;
	const double begin = LEAD_BEGIN_MS * 1e-3 * r->rate;

	if (ahead <= 0 || frames <= begin)
		return frames;
	return fmax(begin + (frames - begin) / LEAD_SPEED, frames - ahead);
}

/* How late FRAMES arrive, by the server's word; of a stored page only the first
 * frames tell. */
static double lateness(const struct rendezvous *r, int64_t ns, double frames)
{
	const double due =
	    has(r, WAV_PAGE_REAL_TIME) ? least_due(r, frames) : 0;

	return (double)(ns - r->said_ns) / (double)NSEC_PER_SEC - due / r->rate;
}

/* Compares the clocks with the first arrivals. */
static void compare(struct rendezvous *r)
{
	if (r->settled || r->way != RENDEZVOUS_CLOCK)
		return;
	if (r->least_late_s >= -EARLY_S && r->least_late_s <= FIRST_LATE_S) {
		r->settled = true;
	} else if (r->least_late_s < -EARLY_S || r->arrivals >= COMPARED_MAX ||
		   !has(r, WAV_PAGE_REAL_TIME)) {
		r->settled = true;
		r->way = RENDEZVOUS_ARRIVAL;
		r->why = "the clocks disagree with when its frames arrive";
		need_arrivals(r);
	}
}

/* Whether FRAMES of a page arrive while its lead grows: how many were due then
 * can only be guessed. */
static bool is_guess(const struct rendezvous *r, double frames)
{
	const double ahead = r->page.ahead_us * 1e-6 * r->rate;

	return ahead > 0 && frames > LEAD_BEGIN_MS * 1e-3 * r->rate &&
	       frames < ahead * LEAD_SPEED / (LEAD_SPEED - 1);
}

void rendezvous_arrived(struct rendezvous *r, int64_t ns, uint64_t frames)
{
	if (r->way == RENDEZVOUS_NONE)
		return;
	r->arrivals++;
	r->least_late_s =
	    fmin(r->least_late_s, lateness(r, ns, (double)frames));
	/* A guess is better than a page that never begins. */
	if (!r->trend.begun || !is_guess(r, (double)frames))
		trend_add(&r->trend, ns, least_due(r, (double)frames));
	compare(r);
}

void rendezvous_slept(struct rendezvous *r, int64_t ns)
{
	r->said_ns -= ns;
	trend_shift(&r->trend, (double)ns / (double)NSEC_PER_SEC * r->rate);
}

bool rendezvous_known(const struct rendezvous *r)
{
	if (r->way == RENDEZVOUS_ARRIVAL)
		return r->trend.begun;
	return r->way == RENDEZVOUS_CLOCK && r->settled;
}

double rendezvous_position(const struct rendezvous *r, int64_t ns)
{
	const int64_t spoken_ns = ns - r->budget_ns;

	if (r->way == RENDEZVOUS_ARRIVAL)
		return trend_position(&r->trend, spoken_ns);
	return (double)(spoken_ns - r->said_ns) / (double)NSEC_PER_SEC *
	       r->rate;
}

double rendezvous_rate(const struct rendezvous *r)
{
	return r->way == RENDEZVOUS_ARRIVAL ? r->trend.rate : r->rate;
}

enum rendezvous_doubt rendezvous_doubt(const struct rendezvous *r)
{
	if (r->arrivals == 0 ||
	    (r->least_late_s >= -EARLY_S && r->least_late_s <= PAGE_LATE_S))
		return RENDEZVOUS_BELIEVED;
	return RENDEZVOUS_DOUBTED;
}
