/* SPDX-License-Identifier: MIT
 * Judges the waiting pages by falling priority and, among equals, by age. Each
 * sees what those before it have taken and reserved. */
#include "server/arbiter.h"

struct court {
	struct arbiter_page *pages;
	size_t count;
	enum arbiter_device device;
	uint64_t reserved;	/* zones that pages judged before got or need */
	bool microphone_wanted; /* a page judged before waits for it alone */
};

static bool has_zones(const struct arbiter_page *page)
{
	return (page->holds && page->verdict == ARBITER_KEEP) ||
	       page->verdict == ARBITER_BEGIN;
}

static bool has_microphone(const struct arbiter_page *page)
{
	return has_zones(page) && page->microphone != ARBITER_NO_MICROPHONE;
}

/* Whether a page of equal or higher priority has what PAGE needs. */
static bool is_busy(const struct court *court, const struct arbiter_page *page)
{
	for (size_t i = 0; i < court->count; i++) {
		const struct arbiter_page *other = &court->pages[i];

		if (other->priority < page->priority || !has_zones(other))
			continue;
		if (other->zones & ~other->lost & page->zones)
			return true;
		if (page->microphone == ARBITER_MICROPHONE_ALONE &&
		    has_microphone(other))
			return true;
	}
	return false;
}

/* Ends the pages that have the microphone; is_busy() has made sure that all are
 * of lower priority. True when there were any: they have yet to close it. */
static bool take_microphone(const struct court *court)
{
	bool taken = false;

	for (size_t i = 0; i < court->count; i++) {
		struct arbiter_page *other = &court->pages[i];

		if (!has_microphone(other))
			continue;
		other->verdict = ARBITER_END;
		taken = true;
	}
	return taken;
}

static bool waits_for_microphone(struct court *court,
				 const struct arbiter_page *page)
{
	if (page->microphone == ARBITER_NO_MICROPHONE)
		return false;
	if (court->device == ARBITER_DEVICE_CLOSING || court->microphone_wanted)
		return true;
	return page->microphone == ARBITER_MICROPHONE_ALONE &&
	       take_microphone(court);
}

static void take_zones(const struct court *court,
		       const struct arbiter_page *page)
{
	for (size_t i = 0; i < court->count; i++) {
		struct arbiter_page *other = &court->pages[i];

		if (other != page && has_zones(other))
			other->lost |= other->zones & page->zones;
	}
}

static enum arbiter_verdict judge(struct court *court,
				  struct arbiter_page *page)
{
	bool busy = is_busy(court, page) || court->reserved & page->zones;

	if (busy)
		return page->queues ? ARBITER_WAIT : ARBITER_REFUSE;
	if (waits_for_microphone(court, page))
		return ARBITER_WAIT;
	take_zones(court, page);
	return ARBITER_BEGIN;
}

/* The waiting page to be judged after LAST, or NULL after the last one. */
static struct arbiter_page *next_waiting(const struct court *court,
					 const struct arbiter_page *last)
{
	struct arbiter_page *next = NULL;

	for (size_t i = 0; i < court->count; i++) {
		struct arbiter_page *page = &court->pages[i];

		if (page->holds || (next && next->priority >= page->priority))
			continue;
		if (!last || page->priority < last->priority ||
		    (page->priority == last->priority && page > last))
			next = page;
	}
	return next;
}

void arbiter_decide(struct arbiter_page *pages, size_t count,
		    enum arbiter_device device)
{
	struct court court = {pages, count, device, 0, false};
	struct arbiter_page *page = NULL;

	for (size_t i = 0; i < count; i++) {
		pages[i].verdict = pages[i].holds ? ARBITER_KEEP : ARBITER_WAIT;
		pages[i].lost = 0;
	}
	while ((page = next_waiting(&court, page))) {
		page->verdict = judge(&court, page);
		if (page->verdict == ARBITER_REFUSE)
			continue;
		court.reserved |= page->zones;
		if (page->verdict == ARBITER_WAIT &&
		    page->microphone == ARBITER_MICROPHONE_ALONE)
			court.microphone_wanted = true;
	}
}
