/* SPDX-License-Identifier: MIT
 * How a page went, in words, for the console and the log. Pure. */
#pragma once

#include "server/page.h"

enum { SUMMARY_SIZE = 160 };

/* "220160 frames (4.99 s), 2 clients reached, 0 lost, 0 skips, 0 overruns" */
void summary_print(char text[SUMMARY_SIZE], const struct page_info *page);
