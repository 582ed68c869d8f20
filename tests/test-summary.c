/* SPDX-License-Identifier: MIT
 * The sentence of who has heard a page, word by word. */
#include "server/summary.h"

#include "test.h"

enum { PLAYERS_MAX = 100 };

static struct ledger_player players[PLAYERS_MAX];
static struct ledger_list list;

static void setup(void)
{
	list = (struct ledger_list){.players = players};
}

FIXTURE(setup, NULL);

/* Those that are alike are added one after the other, as in a ledger's list. */
static void add(const char *label, enum ledger_heard heard, const char *reason)
{
	struct ledger_player *player = &players[list.player_count++];

	*player = (struct ledger_player){
	    .heard = heard, .identity = label, .name = ""};
	strcpy(player->label, label);
	strcpy(player->reason, reason);
	list.counts[heard]++;
	list.total += heard != LEDGER_EXCUSED;
}

static void add_anonymous(enum ledger_heard heard, const char *reason)
{
	add("192.0.2.1", heard, reason);
	players[list.player_count - 1].anonymous = true;
}

static void add_many(unsigned count, enum ledger_heard heard,
		     const char *reason)
{
	for (unsigned i = 0; i < count; i++) {
		char label[16];

		snprintf(label, sizeof(label), "room-%u", i + 1);
		add(label, heard, reason);
	}
}

static void assert_says(const char *sentence)
{
	_cleanup_free_ char *text = summary_heard(&list);

	ck_assert_str_eq(text, sentence);
}

TEST(nobody)
{
	assert_says("no loudspeaker was on the air");
}
END_TEST

TEST(nobody_who_was_to_play_it)
{
	add("hall", LEDGER_EXCUSED, "its own microphone was open");
	assert_says("no loudspeaker was to play it");
}
END_TEST

TEST(what_the_manual_shows)
{
	add("gym", LEDGER_UNHEARD, "the card is busy");
	add_anonymous(LEDGER_UNREPORTED, LEDGER_GIVES_NONE);
	add("hall", LEDGER_ALL, "");
	add("yard", LEDGER_ALL, "");
	assert_says("hall and yard heard all of it; gym: the card is busy; "
		    "1 player gives no receipts");
}
END_TEST

TEST(one_who_heard_all)
{
	add("hall", LEDGER_ALL, "");
	add("lab", LEDGER_EXCUSED, "its own microphone was open");
	assert_says("hall heard all of it");
}
END_TEST

TEST(many_who_heard_all_are_counted)
{
	add_many(4, LEDGER_ALL, "");
	assert_says("room-1, room-2, room-3 and room-4 heard all of it");
	add("room-5", LEDGER_ALL, "");
	assert_says("5 loudspeakers heard all of it");
}
END_TEST

TEST(many_with_one_reason_are_named_in_part)
{
	add_many(3, LEDGER_UNHEARD, "the card is busy");
	assert_says("room-1, room-2 and room-3: the card is busy");
	setup();
	add_many(50, LEDGER_UNHEARD, "the card is busy");
	assert_says("room-1, room-2, room-3 and 47 more: the card is busy");
}
END_TEST

TEST(those_that_do_not_tell)
{
	add("hall", LEDGER_UNREPORTED, LEDGER_GIVES_NONE);
	add("yard", LEDGER_UNREPORTED, LEDGER_GIVES_NONE);
	add_anonymous(LEDGER_UNREPORTED, LEDGER_GIVES_NONE);
	add_anonymous(LEDGER_UNREPORTED, LEDGER_GIVES_NONE);
	add("gym", LEDGER_UNREPORTED, LEDGER_HAS_NOT_ANSWERED);
	add("lab", LEDGER_PENDING, LEDGER_HAS_YET_TO_ANSWER);
	add("pub", LEDGER_PENDING, LEDGER_HAS_YET_TO_ANSWER);
	assert_says("hall and yard give no receipts; "
		    "2 players give no receipts; gym has not answered; "
		    "lab and pub have not answered yet");
}
END_TEST

TEST(too_many_reasons_are_counted)
{
	for (unsigned i = 0; i < 9; i++) {
		char reason[32];

		snprintf(reason, sizeof(reason), "all from %u.0 s on", i + 2);
		add("hall", LEDGER_PARTLY, reason);
	}
	list.total += 5;
	assert_says("hall: all from 2.0 s on; hall: all from 3.0 s on; "
		    "hall: all from 4.0 s on; hall: all from 5.0 s on; "
		    "hall: all from 6.0 s on; hall: all from 7.0 s on; "
		    "hall: all from 8.0 s on; hall: all from 9.0 s on; "
		    "6 more did not hear all of it, or did not tell");
}
END_TEST

TEST(those_without_an_entry_are_counted)
{
	list.total = 12;
	assert_says("12 more did not hear all of it, or did not tell");
}
END_TEST
