/* SPDX-License-Identifier: MIT
 * The pace of a played page: draws from its source what is due soon, makes up
 * for what is missing, sends ahead of time, and ends the page when all of it is
 * due. A part of an open page, with a timer of its own in the loop. */
#pragma once

#include <systemd/sd-event.h>

#include "audio/source.h"
#include "base/util.h"
#include "server/pacer.h"

struct page;

/* It is sent in pieces of this. */
#define PLAYED_PULSE_USEC (USEC_PER_SEC / 50)
/* How far a client may fall behind what is due. */
#define PLAYED_BEHIND_USEC_MAX (30 * USEC_PER_SEC)

struct played {
	sd_event_source *pulse; /* NULL: the page is not played */
	struct pacer pacer;
	uint64_t begun_usec; /* 0 before its source is open */
	uint64_t pulse_usec; /* the last one */
	uint64_t due;	     /* bytes */
	uint64_t late;	     /* bytes to come that silence has replaced */
	uint64_t lead_max; /* bytes that a client may be ahead of what is due */
	bool lead_grows;   /* of one of the clients */
	bool source_ended; /* with all that is in the tape */
	int source_error;  /* which the page's reason explains */
};

/* Adds the timer. 0 or negative errno; played_free() frees it, also then. */
int played_new(struct page *page, sd_event *event);
void played_free(struct played *played);

/* The page has its tape: from now on its source is read when the clock says so.
 */
void played_begin(struct page *page);
/* No pulse comes any more. Also of a page that is not played. */
void played_stop(struct page *page);
/* Whether it has begun. */
bool played_runs(const struct page *page);
/* MESSAGE ends the source. What is in the tape goes out all the same, before
 * the page ends. */
void played_source_ended(struct page *page,
			 const struct source_message *message);
/* Whether a client can join, because a last second of it is not due. One that
 * was told the end of the page is back before that. */
bool played_can_be_joined(const struct page *page);
