/* SPDX-License-Identifier: MIT
 * Which page gets which zone, and the microphone. Pure: pages in, verdicts out.
 * Knows neither clients nor sound. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum arbiter_microphone {
	ARBITER_NO_MICROPHONE,
	ARBITER_MICROPHONE, /* shared with other pages, as far as is known */
	ARBITER_MICROPHONE_ALONE, /* was found busy: cannot be shared */
};

enum arbiter_verdict {
	ARBITER_KEEP,	/* holds what it has, but for the zones in .lost */
	ARBITER_WAIT,	/* not yet */
	ARBITER_BEGIN,	/* has its zones, and may open the microphone */
	ARBITER_REFUSE, /* does not wait, and would have to */
	ARBITER_END,	/* gives the microphone to a page of higher priority */
};

struct arbiter_page {
	int priority;	/* the higher number wins; of equal ones the first */
	uint64_t zones; /* a bit each: those that it holds, or waits for */
	bool holds;	/* on the air, or about to be; else it waits */
	bool queues;	/* waits for pages of equal or higher priority */
	enum arbiter_microphone microphone;
	/* The outcome. */
	enum arbiter_verdict verdict;
	uint64_t lost; /* zones that go to a page of higher priority */
};

enum arbiter_device {
	ARBITER_DEVICE_READY,
	ARBITER_DEVICE_CLOSING, /* a page that is over still has it open */
};

/* Sets the outcome of COUNT pages, which are in the order of their age. A page
 * begins when it can have all of its zones at once: they are held by pages of
 * lower priority or by none, and no page before it waits for one of them. */
void arbiter_decide(struct arbiter_page *pages, size_t count,
		    enum arbiter_device device);
