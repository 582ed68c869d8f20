/* SPDX-License-Identifier: MIT
 * Runs in the loop. */
#include "server/audience.h"

#include <stdio.h>

#include "base/util.h"

bool audience_holds(const struct audience *a, unsigned z)
{
	return a->held & UINT64_C(1) << z;
}

void audience_push(const struct audience *a)
{
	for (unsigned z = 0; a->zones[z]; z++)
		if (audience_holds(a, z))
			zone_push(a->zones[z], a->page);
}

void audience_finish(const struct audience *a)
{
	for (unsigned z = 0; a->zones[z]; z++)
		if (audience_holds(a, z))
			zone_finish(a->zones[z], a->page);
}

bool audience_pace(const struct audience *a, const struct connection_pace *pace)
{
	bool grows = false;

	for (unsigned z = 0; a->zones[z]; z++)
		if (audience_holds(a, z))
			grows |= zone_pace(a->zones[z], a->page, pace);
	return grows;
}

bool audience_congests(const struct audience *a, uint64_t size)
{
	bool congested = false;

	for (unsigned z = 0; a->zones[z]; z++)
		if (audience_holds(a, z))
			congested |= zone_congests(a->zones[z], a->page, size);
	return congested;
}

void audience_drop(const struct audience *a, enum connection_end end)
{
	for (unsigned z = 0; a->zones[z]; z++)
		zone_drop(a->zones[z], a->page, end);
}

uint64_t audience_slowest(const struct audience *a)
{
	uint64_t slowest = UINT64_MAX;

	for (unsigned z = 0; a->zones[z]; z++)
		slowest = MIN(slowest, zone_slowest(a->zones[z], a->page));
	return slowest;
}

uint64_t audience_skips(const struct audience *a)
{
	uint64_t skips = 0;

	for (unsigned z = 0; a->zones[z]; z++)
		skips += zone_skips(a->zones[z], a->page);
	return skips;
}

void audience_label(const struct audience *a, uint64_t zones, char *label,
		    size_t size)
{
	size_t length = 0;
	bool all = true;

	for (unsigned z = 0; a->zones[z]; z++)
		all = all && zones & UINT64_C(1) << z;
	snprintf(label, size, "-all");
	if (all)
		return;
	for (unsigned z = 0; a->zones[z] && length < size; z++)
		if (zones & UINT64_C(1) << z)
			length += (size_t)snprintf(
			    label + length, size - length, "%s%s",
			    length ? "+" : "-", a->zones[z]->name);
}
