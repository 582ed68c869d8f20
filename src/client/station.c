/* SPDX-License-Identifier: MIT
 * Owns the saver. The session belongs to the client. */
#include "client/station.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"

enum {
	DISCARD_READS = 32,
	DISCARD_TICK_USEC = 100 * 1000,
};

bool station_has_page(const struct station *station)
{
	return session_state(station->session) == SESSION_PAGE;
}

void station_lose_file(struct station *station, int error)
{
	/* -EPIPE: the recorder's error was logged already. */
	if (error != -EPIPE)
		log_warning("Cannot save the page as '%s': %s", station->save,
			    error == -EAGAIN ? "The disk is too slow"
					     : strerror(-error));
	station->saver = saver_free(station->saver);
}

void station_begin_page(struct station *station, uint64_t target_usec)
{
	const struct session_page *page = session_page(station->session);
	const uint32_t rate = page->format.rate;
	int r;

	station->seen_page = page->number;
	station->muted = station->turned_to = false;
	/* Unless it gets a turn, the page of another server is heard. */
	station->receipt = (struct receipt){
	    .result = RECEIPT_TAKEN_OVER,
	    .sync_us = RECEIPT_UNKNOWN,
	};
	snprintf(station->receipt.name, sizeof(station->receipt.name), "%s",
		 station->name);
	latency_init(&station->probe, rate, usec_to_frames(target_usec, rate),
		     0, page->begun_usec);
	if (!station->recorder)
		return;
	r = saver_start(&station->saver, station->recorder, &page->format);
	if (r < 0)
		log_warning("Cannot save the page as '%s': %s", station->save,
			    strerror(-r));
}

size_t station_room(const struct station *station, size_t size)
{
	return station->saver ? MIN(size, saver_room(station->saver)) : size;
}

void station_finish_file(struct station *station)
{
	station->saver = saver_finish(station->saver);
}

ssize_t station_read(struct station *station, void *buffer, size_t size,
		     uint64_t now_usec)
{
	const ssize_t n =
	    session_read(station->session, buffer, size, now_usec);
	int r;

	if (n > 0 && station->saver) {
		r = saver_write(station->saver, buffer, (size_t)n);
		if (r < 0)
			station_lose_file(station, r);
	} else if (n == 0) {
		station_finish_file(station);
	}
	return n;
}

void station_discard(struct station *station, uint64_t now_usec)
{
	uint8_t scratch[16384];

	station->discard_usec = now_usec + DISCARD_TICK_USEC;
	for (int i = 0; i < DISCARD_READS; i++) {
		const size_t size = station_room(station, sizeof(scratch));
		ssize_t n;

		if (size == 0) {
			session_hold_off(station->session, now_usec);
			return;
		}
		n = station_read(station, scratch, size, now_usec);
		if (n == 0 && !station->turned_to && !station->muted)
			log_info("Page from %s was not heard: a server listed "
				 "earlier has priority",
				 session_name(station->session));
		if (n <= 0)
			return;
	}
}
