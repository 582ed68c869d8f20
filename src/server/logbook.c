/* SPDX-License-Identifier: MIT */
#include "server/logbook.h"

#include <errno.h>
#include <stdlib.h>

enum {
	KEPT_MAX = 16,
	/* Of those that are kept, but for the newest. */
	KEPT_SIZE_MAX = 4 << 20,
};

struct record {
	TAILQ_ENTRY(record) entry;
	struct ledger *ledger;
	bool ended, returned;
};

void logbook_init(struct logbook *logbook)
{
	TAILQ_INIT(&logbook->records);
}

static void forget(struct logbook *logbook, struct record *record)
{
	TAILQ_REMOVE(&logbook->records, record, entry);
	ledger_free(record->ledger);
	free(record);
}

void logbook_clear(struct logbook *logbook)
{
	while (!TAILQ_EMPTY(&logbook->records))
		forget(logbook, TAILQ_FIRST(&logbook->records));
}

int logbook_begin(struct logbook *logbook, uint32_t page, size_t max_entries,
		  struct ledger **ret)
{
	struct record *record = calloc(1, sizeof(*record));

	if (!record)
		return -ENOMEM;
	if (ledger_new(&record->ledger, page, max_entries) < 0) {
		free(record);
		return -ENOMEM;
	}
	TAILQ_INSERT_HEAD(&logbook->records, record, entry);
	*ret = record->ledger;
	return 0;
}

void logbook_end(struct logbook *logbook, const struct ledger *ledger,
		 enum logbook_end end)
{
	struct record *record;

	TAILQ_FOREACH (record, &logbook->records, entry)
		if (record->ledger == ledger)
			break;
	if (!record)
		return;
	record->ended = true;
	if (end == LOGBOOK_FORGET && ledger_open_count(ledger) == 0)
		forget(logbook, record);
}

const struct ledger *logbook_next_complete(struct logbook *logbook)
{
	struct record *record;

	TAILQ_FOREACH (record, &logbook->records, entry) {
		if (!record->ended || record->returned ||
		    ledger_open_count(record->ledger) > 0)
			continue;
		record->returned = true;
		return record->ledger;
	}
	return NULL;
}

void logbook_trim(struct logbook *logbook)
{
	struct record *record = TAILQ_FIRST(&logbook->records), *next;
	size_t count = 0, size = 0;

	for (; record; record = next) {
		next = TAILQ_NEXT(record, entry);
		if (!record->returned)
			continue;
		count++;
		size += ledger_size(record->ledger);
		if (count > KEPT_MAX || (count > 1 && size > KEPT_SIZE_MAX))
			forget(logbook, record);
	}
}

bool logbook_waits(const struct logbook *logbook)
{
	const struct record *record;

	TAILQ_FOREACH (record, &logbook->records, entry)
		if (record->ended && ledger_open_count(record->ledger) > 0)
			return true;
	return false;
}

struct ledger *logbook_find(const struct logbook *logbook, uint32_t page)
{
	const struct record *record;

	TAILQ_FOREACH (record, &logbook->records, entry)
		if (record->ledger->page == page)
			return record->ledger;
	return NULL;
}

const struct ledger *logbook_last(const struct logbook *logbook,
				  const char *zone, const char *identity,
				  const char *peer, struct ledger_player *ret)
{
	const struct record *record;

	TAILQ_FOREACH (record, &logbook->records, entry) {
		const enum ledger_found found =
		    ledger_find(record->ledger, zone, identity, peer, ret);

		if (found != LEDGER_NONE)
			return found == LEDGER_ONE ? record->ledger : NULL;
	}
	return NULL;
}
