/* SPDX-License-Identifier: MIT */
#include "server/summary.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/util.h"

void summary_print(char text[SUMMARY_SIZE], const struct page_info *page)
{
	snprintf(text, SUMMARY_SIZE,
		 "%" PRIu64 " frames (%.2f s), %u client%s reached, %u lost, "
		 "%" PRIu64 " skip%s, %" PRIu64 " overrun%s",
		 page->frames, wav_seconds(&page->format, page->frames),
		 page->reached, plural_s(page->reached), page->lost,
		 page->skips, plural_s(page->skips), page->overruns,
		 plural_s(page->overruns));
}
