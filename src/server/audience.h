/* SPDX-License-Identifier: MIT
 * Whom a page goes to: the zones that it holds, and in these its clients. What
 * is said to one zone here is said to all of them. */
#pragma once

#include "server/zone.h"

struct audience {
	struct zone *const *zones; /* the owner's; NULL at the end */
	struct page *page;	   /* whose clients they are */
	uint64_t held;		   /* a bit for each zone */
};

bool audience_holds(const struct audience *audience, unsigned z);

/* See zone_push() and so on: in the zones that are held. */
void audience_push(const struct audience *audience);
void audience_finish(const struct audience *audience);
bool audience_pace(const struct audience *audience,
		   const struct connection_pace *pace);
bool audience_congests(const struct audience *audience, uint64_t size);
/* The clients in zones that are held no more are still served. */
void audience_drop(const struct audience *audience, enum connection_end end);
uint64_t audience_slowest(const struct audience *audience);
uint64_t audience_skips(const struct audience *audience);

/* For names of files: "-all", or of some of the ZONES "-first+second". */
void audience_label(const struct audience *audience, uint64_t zones,
		    char *label, size_t size);
