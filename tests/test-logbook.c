/* SPDX-License-Identifier: MIT
 * Which ledgers are kept, and which are complete. */
#include "server/logbook.h"

#include "test.h"

static struct logbook logbook;

static void setup(void)
{
	logbook_init(&logbook);
}

static void teardown(void)
{
	logbook_clear(&logbook);
}

FIXTURE(setup, teardown);

static struct ledger *begin(uint32_t page)
{
	struct ledger *ledger;

	ck_assert_int_eq(logbook_begin(&logbook, page, 100000, &ledger), 0);
	return ledger;
}

static void end(struct ledger *ledger)
{
	ledger_set_length(ledger, 8000, 8000, 0);
	logbook_end(&logbook, ledger, LOGBOOK_KEEP);
}

/* The page that is complete, or 0. */
static uint32_t next(void)
{
	const struct ledger *ledger = logbook_next_complete(&logbook);

	return ledger ? ledger->page : 0;
}

TEST(a_page_is_complete_when_it_has_ended_and_all_have_answered)
{
	struct ledger *ledger = begin(1);
	struct ledger_entry *entry =
	    ledger_join(ledger, "lobby", "hall", "192.0.2.1:1", 0);

	ck_assert_uint_eq(next(), 0);
	ck_assert(!logbook_waits(&logbook));
	ledger_end(ledger, entry, LEDGER_SENT, 8000, 0);
	end(ledger);
	ck_assert(logbook_waits(&logbook));
	ck_assert_uint_eq(next(), 0);
	ledger_silent(ledger, entry, LEDGER_NO_RECEIPT);
	ck_assert(!logbook_waits(&logbook));
	ck_assert_uint_eq(next(), 1);
	ck_assert_uint_eq(next(), 0);
	ck_assert_ptr_eq(logbook_find(&logbook, 1), ledger);
}
END_TEST

TEST(answers_before_the_end_do_not_complete_a_page)
{
	struct ledger *ledger = begin(1);
	struct ledger_entry *entry =
	    ledger_join(ledger, "lobby", "hall", "192.0.2.1:1", 0);

	ledger_end(ledger, entry, LEDGER_SENT, 8000, 0);
	ledger_silent(ledger, entry, LEDGER_NO_RECEIPT);
	ck_assert_uint_eq(next(), 0);
	end(ledger);
	ck_assert_uint_eq(next(), 1);
}
END_TEST

TEST(a_page_that_never_began_is_forgotten)
{
	logbook_end(&logbook, begin(1), LOGBOOK_FORGET);
	ck_assert_uint_eq(next(), 0);
	ck_assert_ptr_null(logbook_find(&logbook, 1));
}
END_TEST

TEST(the_last_16_pages_are_kept)
{
	struct ledger *open = begin(1);
	struct ledger_entry *entry =
	    ledger_join(open, "lobby", "hall", "[::1]:1", 0);

	for (uint32_t page = 2; page <= 21; page++) {
		end(begin(page));
		ck_assert_uint_eq(next(), page);
		logbook_trim(&logbook);
	}
	ck_assert_ptr_null(logbook_find(&logbook, 5));
	ck_assert_ptr_nonnull(logbook_find(&logbook, 6));
	ck_assert_ptr_nonnull(logbook_find(&logbook, 21));
	ck_assert_ptr_eq(logbook_find(&logbook, 1), open);
	end(open);
	ledger_end(open, entry, LEDGER_LOST, 0, 0);
	ck_assert_uint_eq(next(), 1);
	logbook_trim(&logbook);
	ck_assert_ptr_null(logbook_find(&logbook, 1));
}
END_TEST

TEST(large_ledgers_are_kept_within_a_budget)
{
	for (uint32_t page = 1; page <= 10; page++) {
		struct ledger *ledger = begin(page);

		for (unsigned i = 0; i < 5000; i++)
			ledger_end(
			    ledger,
			    ledger_join(ledger, "lobby", "hall", "[::1]:1", 0),
			    LEDGER_LOST, 0, 0);
		end(ledger);
		ck_assert_uint_eq(next(), page);
		logbook_trim(&logbook);
	}
	ck_assert_ptr_nonnull(logbook_find(&logbook, 10));
	ck_assert_ptr_null(logbook_find(&logbook, 5));
}
END_TEST

TEST(the_last_answer_of_a_loudspeaker_is_found)
{
	const struct receipt receipt = {.result = RECEIPT_COMPLETE,
					.heard_frames = 8000};
	struct ledger *ledgers[3];
	struct ledger_player player;

	for (uint32_t i = 0; i < 3; i++) {
		struct ledger_entry *entry;

		ledgers[i] = begin(i + 1);
		entry =
		    ledger_join(ledgers[i], "lobby", "hall", "192.0.2.1:1", 0);
		if (i < 2) {
			ledger_end(ledgers[i], entry, LEDGER_SENT, 8000, 0);
			end(ledgers[i]);
			ledger_receipt(ledgers[i], entry, &receipt);
		}
	}
	ck_assert_ptr_eq(
	    logbook_last(&logbook, "lobby", "hall", "192.0.2.1:2", &player),
	    ledgers[1]);
	ck_assert_int_eq(player.heard, LEDGER_ALL);
	ck_assert_ptr_null(
	    logbook_last(&logbook, "lobby", "yard", "192.0.2.1:2", &player));
}
END_TEST
