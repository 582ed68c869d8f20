/* SPDX-License-Identifier: MIT
 * The ledgers of the pages in progress, of those that loudspeakers have yet to
 * answer for, and of the last ones. Pure. */
#pragma once

#include <stdbool.h>
#include <sys/queue.h>

#include "server/ledger.h"

struct logbook {
	TAILQ_HEAD(, record) records; /* the newest first */
};

/* How a page has ended. */
enum logbook_end {
	LOGBOOK_KEEP,	/* its receipts are of interest */
	LOGBOOK_FORGET, /* it never began */
};

void logbook_init(struct logbook *logbook);
/* To be called when no connection has an entry any more. */
void logbook_clear(struct logbook *logbook);

/* Begins the ledger of PAGE; it stays the logbook's. 0 or -ENOMEM. */
int logbook_begin(struct logbook *logbook, uint32_t page, size_t max_entries,
		  struct ledger **ret);
/* The page has ended: nobody joins LEDGER any more, which may be freed now, if
 * nothing in it is open. */
void logbook_end(struct logbook *logbook, const struct ledger *ledger,
		 enum logbook_end end);
/* A ledger whose page has ended and that everybody has answered for, or NULL.
 * Returns each one once. */
const struct ledger *logbook_next_complete(struct logbook *logbook);
/* Forgets the oldest of those that were returned, if there are too many. */
void logbook_trim(struct logbook *logbook);
/* Whether an answer for a page that has ended may still come. */
bool logbook_waits(const struct logbook *logbook);

/* The ledger of PAGE, or NULL. */
struct ledger *logbook_find(const struct logbook *logbook, uint32_t page);
/* What the loudspeaker of a connection, see ledger_join(), last said of a page:
 * its ledger and *ret, see ledger_find(); or NULL, also when it cannot be told
 * from others. */
const struct ledger *logbook_last(const struct logbook *logbook,
				  const char *zone, const char *identity,
				  const char *peer, struct ledger_player *ret);
