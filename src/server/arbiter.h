/* SPDX-License-Identifier: MIT
 * Decides which page gets which zone and the microphone. Pure: pages in,
 * verdicts out. Knows neither clients nor sound. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum arbiter_microphone {
	ARBITER_NO_MICROPHONE,
	ARBITER_MICROPHONE,	  /* can be shared, as far as is known */
	ARBITER_MICROPHONE_ALONE, /* was found busy: it cannot be shared */
};

enum arbiter_verdict {
	ARBITER_KEEP,	/* keeps what it holds, except the zones in .lost */
	ARBITER_WAIT,	/* goes on waiting */
	ARBITER_BEGIN,	/* gets its zones, and may open the microphone */
	ARBITER_REFUSE, /* what it needs is busy, and it does not queue */
	ARBITER_END,	/* ends, for another page needs the microphone */
};

struct arbiter_page {
	int priority;	/* the higher number wins; of equals, the older */
	uint64_t zones; /* that it holds or waits for, a bit each */
	bool holds;	/* has its zones; else it waits for them */
	bool queues;	/* waits for pages of equal or higher priority */
	enum arbiter_microphone microphone;
	/* Set by arbiter_decide(). */
	enum arbiter_verdict verdict;
	uint64_t lost; /* zones that pages of higher priority take */
};

enum arbiter_device {
	ARBITER_DEVICE_READY,
	ARBITER_DEVICE_CLOSING, /* a page that has ended still has it open */
};

/* Judges COUNT pages, the oldest first. A page begins when it can have all of
 * its zones at once: each is free or held by a page of lower priority, and no
 * page that goes before it waits for one of them. */
void arbiter_decide(struct arbiter_page *pages, size_t count,
		    enum arbiter_device device);
