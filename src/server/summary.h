/* SPDX-License-Identifier: MIT
 * How a page went, in words, for the console, the log and the bus. Pure. */
#pragma once

#include "server/ledger.h"
#include "server/page.h"

enum { SUMMARY_SIZE = 160 };

/* "220160 frames (4.99 s), 2 clients reached, 0 lost, 0 skips, 0 overruns" */
void summary_print(char text[SUMMARY_SIZE], const struct page_info *page);

/* "hall and yard heard all of it; gym: the card is busy; 1 player gives no
 * receipts". Names few of many. The caller frees it; NULL when out of memory.
 */
char *summary_heard(const struct ledger_list *list);
