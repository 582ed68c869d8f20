/* SPDX-License-Identifier: MIT
 * When each frame of a page shall sound, by the schedule in its header: by a
 * wall clock that can be trusted, else by when its frames arrive. Pure: no
 * clock, no I/O. Times are CLOCK_MONOTONIC in nanoseconds. */
#pragma once

#include "audio/trend.h"
#include "audio/wav.h"
#include "base/wallclock.h"

enum rendezvous_way {
	RENDEZVOUS_NONE,    /* the page has no moment to be kept */
	RENDEZVOUS_CLOCK,   /* by the wall clocks here and there */
	RENDEZVOUS_ARRIVAL, /* in band: by the earliest arrivals */
};

struct rendezvous {
	enum rendezvous_way way;
	const char *why; /* it is not by the clock; NULL: it is */
	bool settled;	 /* the first arrivals were compared */
	uint32_t rate;
	struct wav_page page;
	uint32_t error_us; /* of both clocks, while it goes by them */
	int64_t said_ns; /* when frame 0 was captured, by the server's clock */
	int64_t budget_ns;   /* from then until it sounds, --delay included */
	double least_late_s; /* the floor of the arrivals, by that clock */
	unsigned arrivals;
	struct trend trend; /* frames due over time, as they arrive */
};

/* PAGE is the page's header, read at NOW_NS with HERE. DELAY_NS is this
 * loudspeaker's own, and may be negative. DOUBTED: an earlier page of this
 * server has shown that the clocks disagree. */
enum rendezvous_doubt { RENDEZVOUS_BELIEVED, RENDEZVOUS_DOUBTED };
void rendezvous_init(struct rendezvous *rendezvous, const struct wav_page *page,
		     uint32_t rate, int64_t delay_ns,
		     const struct wallclock *here, int64_t now_ns,
		     enum rendezvous_doubt doubt);

/* FRAMES of the page, counted from its header, had arrived at NS. */
void rendezvous_arrived(struct rendezvous *rendezvous, int64_t ns,
			uint64_t frames);
/* This machine, and its CLOCK_MONOTONIC, stood still for NS. */
void rendezvous_slept(struct rendezvous *rendezvous, int64_t ns);

/* Whether it is known when frames shall sound; the next two need it. */
bool rendezvous_known(const struct rendezvous *rendezvous);
/* Which frame shall sound at NS; negative before the first. */
double rendezvous_position(const struct rendezvous *rendezvous, int64_t ns);
/* Frames a second, by this machine's clock. */
double rendezvous_rate(const struct rendezvous *rendezvous);
/* Whether the next page of this server should be DOUBTED. */
enum rendezvous_doubt rendezvous_doubt(const struct rendezvous *rendezvous);
