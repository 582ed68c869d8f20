/* SPDX-License-Identifier: MIT
 * Who has heard how much of a page, case by case. */
#include "server/ledger.h"

#include "test.h"

enum { RATE = 8000, LENGTH = 5 * RATE };

static struct ledger *ledger;
static struct ledger_list list;

static void setup(void)
{
	ck_assert_int_eq(ledger_new(&ledger, 7, 100), 0);
	ledger_set_length(ledger, RATE, LENGTH, 0);
}

static void teardown(void)
{
	ledger_list_clear(&list);
	ledger = ledger_free(ledger);
}

FIXTURE(setup, teardown);

static struct ledger_entry *join_at(const char *identity, const char *peer,
				    uint64_t frame)
{
	return ledger_join(ledger, "lobby", identity, peer, frame);
}

static struct ledger_entry *join_in(const char *zone, const char *identity)
{
	return ledger_join(ledger, zone, identity, "192.0.2.1:40000", 0);
}

static struct ledger_entry *join(const char *identity)
{
	return join_at(identity, "192.0.2.1:40000", 0);
}

static void sent(struct ledger_entry *entry)
{
	ledger_end(ledger, entry, LEDGER_SENT, LENGTH, 0);
}

static void lost(struct ledger_entry *entry, uint64_t frame)
{
	ledger_end(ledger, entry, LEDGER_LOST, frame, 0);
}

static struct receipt told(const char *name, enum receipt_result result,
			   uint64_t heard)
{
	struct receipt receipt = {
	    .result = result,
	    .arrived_frames = LENGTH,
	    .heard_frames = heard,
	    .card = RECEIPT_CARD_READY,
	};

	strcpy(receipt.name, name);
	return receipt;
}

static void tell(struct ledger_entry *entry, struct receipt receipt)
{
	ledger_receipt(ledger, entry, &receipt);
}

static void heard_all(struct ledger_entry *entry, const char *name)
{
	sent(entry);
	tell(entry, told(name, RECEIPT_COMPLETE, LENGTH));
}

static const struct ledger_list *look(void)
{
	ledger_list_clear(&list);
	ck_assert_int_eq(ledger_list(ledger, &list), 0);
	return &list;
}

/* The only loudspeaker. */
static const struct ledger_player *only(void)
{
	ck_assert_uint_eq(look()->player_count, 1);
	return &list.players[0];
}

static void assert_only(enum ledger_heard heard, const char *reason)
{
	const struct ledger_player *player = only();

	ck_assert_str_eq(player->reason, reason);
	ck_assert_str_eq(ledger_heard_name(player->heard),
			 ledger_heard_name(heard));
	ck_assert_uint_eq(list.counts[heard], 1);
	ck_assert_uint_eq(list.total, heard != LEDGER_EXCUSED);
}

TEST(nobody_is_an_empty_list)
{
	ck_assert_uint_eq(look()->player_count, 0);
	ck_assert_uint_eq(list.total, 0);
	ck_assert_uint_eq(list.page, 7);
	ck_assert_uint_eq(ledger_open_count(ledger), 0);
}
END_TEST

TEST(one_that_played_all_of_it_heard_all)
{
	heard_all(join("hall"), "raspberrypi");
	assert_only(LEDGER_ALL, "");
	ck_assert_str_eq(only()->label, "hall");
	ck_assert_str_eq(only()->name, "raspberrypi");
	ck_assert_str_eq(only()->address, "192.0.2.1");
	ck_assert_uint_eq(only()->heard_frames, LENGTH);
}
END_TEST

TEST(until_it_tells_it_is_pending)
{
	struct ledger_entry *entry = join("hall");

	ck_assert_uint_eq(ledger_open_count(ledger), 1);
	assert_only(LEDGER_PENDING, "has not answered yet");
	sent(entry);
	ck_assert_uint_eq(ledger_open_count(ledger), 1);
	assert_only(LEDGER_PENDING, "has not answered yet");
	tell(entry, told("", RECEIPT_COMPLETE, LENGTH));
	ck_assert_uint_eq(ledger_open_count(ledger), 0);
}
END_TEST

static const struct {
	struct receipt receipt;
	enum ledger_heard heard;
	const char *reason;
} receipts[] = {
    {{.result = RECEIPT_COMPLETE, .heard_frames = LENGTH - 200},
     LEDGER_ALL,
     ""},
    {{.result = RECEIPT_COMPLETE, .heard_frames = RECEIPT_UNKNOWN},
     LEDGER_ALL,
     ""},
    {{.result = RECEIPT_COMPLETE, .heard_frames = UINT64_MAX - 1},
     LEDGER_ALL,
     ""},
    {{.result = RECEIPT_COMPLETE,
      .heard_frames = RECEIPT_UNKNOWN,
      .dropped_frames = RECEIPT_UNKNOWN},
     LEDGER_UNREPORTED,
     "its receipt does not say how much was heard"},
    {{.result = RECEIPT_COMPLETE,
      .heard_frames = LENGTH - 81,
      .dropped_frames = 81},
     LEDGER_PARTLY,
     "all but 11 ms (sound came too late)"},
    {{.result = RECEIPT_COMPLETE,
      .heard_frames = RECEIPT_UNKNOWN,
      .dropped_frames = RATE},
     LEDGER_PARTLY,
     "4.0 of 5.0 s (sound came too late)"},
    {{.result = RECEIPT_COMPLETE, .heard_frames = 2 * RATE},
     LEDGER_PARTLY,
     "2.0 of 5.0 s (the card did not play)"},
    {{.result = RECEIPT_COMPLETE,
      .heard_frames = 2 * RATE,
      .card = RECEIPT_CARD_MISSING},
     LEDGER_PARTLY,
     "2.0 of 5.0 s (the card is missing or broken)"},
    {{.result = RECEIPT_COMPLETE, .heard_frames = 0},
     LEDGER_UNHEARD,
     "the card did not play"},
    {{.result = RECEIPT_UNHEARD,
      .heard_frames = LENGTH,
      .card = RECEIPT_CARD_BUSY},
     LEDGER_UNHEARD,
     "the card is busy"},
    {{.result = RECEIPT_UNHEARD, .card = RECEIPT_CARD_READY},
     LEDGER_UNHEARD,
     "the card did not play"},
    {{.result = RECEIPT_CUT_SHORT, .heard_frames = RATE},
     LEDGER_PARTLY,
     "1.0 of 5.0 s (the page was cut short)"},
    {{.result = RECEIPT_TAKEN_OVER, .heard_frames = RATE},
     LEDGER_PARTLY,
     "1.0 of 5.0 s (another page took the loudspeaker)"},
    {{.result = RECEIPT_TAKEN_OVER, .heard_frames = 0},
     LEDGER_UNHEARD,
     "another page took the loudspeaker"},
    {{.result = RECEIPT_LIMIT, .heard_frames = RATE},
     LEDGER_PARTLY,
     "1.0 of 5.0 s (--max-duration ended it there)"},
    {{.result = RECEIPT_STOPPED, .heard_frames = RATE},
     LEDGER_PARTLY,
     "1.0 of 5.0 s (its program was ended)"},
    {{.result = RECEIPT_RESULT_UNKNOWN, .heard_frames = RECEIPT_UNKNOWN},
     LEDGER_UNREPORTED,
     "its receipt does not say how much was heard"},
    {{.result = RECEIPT_RESULT_UNKNOWN, .heard_frames = LENGTH},
     LEDGER_PARTLY,
     "5.0 of 5.0 s (its receipt does not say what became of it)"},
    {{.result = RECEIPT_RELAYED},
     LEDGER_UNREPORTED,
     "passes it on, and does not know who heard it"},
    {{.result = RECEIPT_HUSHED}, LEDGER_EXCUSED, "its own microphone was open"},
    {{.result = RECEIPT_GROUP}, LEDGER_EXCUSED, "sends to a group"},
};

TEST_LOOP(a_receipt_says_how_much_was_heard, 0, ARRAY_SIZE(receipts))
{
	struct ledger_entry *entry = join("hall");

	sent(entry);
	tell(entry, receipts[_i].receipt);
	assert_only(receipts[_i].heard, receipts[_i].reason);
}
END_TEST

TEST(a_page_shorter_than_a_step_of_the_card_is_not_heard_by_that)
{
	struct ledger_entry *entry = join("hall");

	ledger_set_length(ledger, RATE, RATE / 25, 0);
	ledger_end(ledger, entry, LEDGER_SENT, RATE / 25, 0);
	tell(entry, told("", RECEIPT_COMPLETE, 0));
	assert_only(LEDGER_UNHEARD, "the card did not play");
}
END_TEST

TEST(frames_that_the_server_left_out_are_missing)
{
	struct ledger_entry *entry = join("hall");

	ledger_end(ledger, entry, LEDGER_SENT, LENGTH, RATE);
	tell(entry, told("", RECEIPT_COMPLETE, LENGTH - RATE));
	assert_only(LEDGER_PARTLY, "4.0 of 5.0 s (the network was too slow)");
}
END_TEST

TEST(a_late_joiner_heard_all_from_then_on)
{
	struct ledger_entry *entry =
	    join_at("hall", "192.0.2.1:1", 31 * RATE / 10);

	heard_all(entry, "");
	assert_only(LEDGER_PARTLY, "all from 3.1 s on");
}
END_TEST

TEST(who_joined_within_the_first_second_heard_all)
{
	heard_all(join_at("hall", "192.0.2.1:1", RATE), "");
	assert_only(LEDGER_ALL, "");
}
END_TEST

TEST(a_zone_that_was_taken_away_heard_all_up_to_then)
{
	struct ledger_entry *entry = join("hall");

	ledger_end(ledger, entry, LEDGER_SENT, 2 * RATE, 0);
	tell(entry, told("", RECEIPT_COMPLETE, 2 * RATE));
	assert_only(LEDGER_PARTLY, "all up to 2.0 s");
}
END_TEST

TEST(a_lost_one_did_not_hear_it)
{
	lost(join("hall"), 2 * RATE);
	assert_only(LEDGER_UNHEARD, "lost after 2.0 s");
	ck_assert_uint_eq(ledger_open_count(ledger), 0);
}
END_TEST

TEST_LOOP(silence_is_told_by_its_kind, 0, 3)
{
	static const enum ledger_silence kinds[] = {
	    LEDGER_NO_RECEIPT, LEDGER_TIMED_OUT, LEDGER_REFUSED};
	static const char *const reasons[] = {"gives no receipts",
					      "has not answered",
					      "its answer is no true receipt"};
	struct ledger_entry *entry = join("hall");

	sent(entry);
	ledger_silent(ledger, entry, kinds[_i]);
	assert_only(LEDGER_UNREPORTED, reasons[_i]);
}
END_TEST

/* --- merging --- */

TEST(who_was_cut_off_and_came_back_is_one)
{
	lost(join("hall"), RATE);
	heard_all(join_at("hall", "198.51.100.1:9", 2 * RATE), "hall");
	assert_only(LEDGER_PARTLY, "cut off, then all from 2.0 s on");
}
END_TEST

TEST(who_came_back_before_the_server_noticed_is_one)
{
	struct ledger_entry *first = join("hall");
	struct ledger_entry *second = join_at("hall", "192.0.2.1:2", RATE / 2);

	lost(first, 2 * RATE);
	heard_all(second, "hall");
	assert_only(LEDGER_ALL, "");
}
END_TEST

/* Each way in which three connections can overlap. */
TEST_LOOP(who_was_cut_off_twice_is_one, 0, 3)
{
	struct ledger_entry *first = join("hall"), *second, *third;

	if (_i == 0)
		lost(first, RATE);
	second = join_at("hall", "192.0.2.1:2", 2 * RATE);
	if (_i == 1)
		lost(second, 3 * RATE);
	third = join_at("hall", "192.0.2.1:3", 4 * RATE);
	if (_i != 1)
		lost(second, 4 * RATE);
	if (_i != 0)
		lost(first, 4 * RATE);
	heard_all(third, "hall");
	assert_only(LEDGER_PARTLY, "cut off, then all from 4.0 s on");
}
END_TEST

TEST(without_a_key_the_address_tells_who_came_back)
{
	lost(join(NULL), RATE);
	heard_all(join_at(NULL, "192.0.2.9:1", 2 * RATE), "yard");
	ck_assert_uint_eq(look()->player_count, 2);
	heard_all(join_at(NULL, "192.0.2.1:2", 2 * RATE), "hall");
	ck_assert_uint_eq(look()->player_count, 2);
	ck_assert_str_eq(list.players[0].label, "yard (192.0.2.9)");
	ck_assert_str_eq(list.players[1].label, "hall (192.0.2.1)");
}
END_TEST

TEST(a_lost_one_is_not_taken_for_its_neighbour_behind_one_address)
{
	struct ledger_entry *first = join(NULL), *second = join(NULL);

	heard_all(second, "hall");
	lost(first, RATE);
	ck_assert_uint_eq(look()->player_count, 2);
	ck_assert_uint_eq(list.counts[LEDGER_UNHEARD], 1);
	ck_assert_uint_eq(list.counts[LEDGER_ALL], 1);
}
END_TEST

TEST(one_return_does_not_stand_for_two_that_were_lost)
{
	struct ledger_entry *first = join(NULL), *second = join(NULL);

	lost(first, RATE);
	lost(second, RATE);
	heard_all(join_at(NULL, "192.0.2.1:2", 2 * RATE), "hall");
	ck_assert_uint_eq(look()->player_count, 2);
	ck_assert_uint_eq(list.counts[LEDGER_UNHEARD], 1);
	ck_assert_uint_eq(list.counts[LEDGER_PARTLY], 1);
}
END_TEST

TEST(a_loudspeaker_in_two_zones_is_one_and_its_best_counts)
{
	struct ledger_entry *lobby = join("hall");
	struct ledger_entry *yard = join_in("yard", "hall");

	heard_all(lobby, "hall");
	sent(yard);
	tell(yard, told("hall", RECEIPT_TAKEN_OVER, 0));
	assert_only(LEDGER_ALL, "");
}
END_TEST

/* Such as two cards of a machine. */
TEST(two_of_a_name_in_one_zone_are_two)
{
	struct ledger_entry *first = join(NULL), *second = join(NULL);

	heard_all(first, "hall");
	sent(second);
	tell(second, told("hall", RECEIPT_UNHEARD, 0));
	ck_assert_uint_eq(look()->player_count, 2);
	ck_assert_uint_eq(list.counts[LEDGER_ALL], 1);
	ck_assert_uint_eq(list.counts[LEDGER_UNHEARD], 1);
}
END_TEST

TEST(two_of_a_name_in_two_zones_are_two)
{
	struct ledger_entry *busy[2], *taken;

	heard_all(join(NULL), "hall");
	busy[0] = join(NULL);
	taken = join_in("yard", NULL);
	busy[1] = join_in("yard", NULL);
	sent(taken);
	tell(taken, told("hall", RECEIPT_TAKEN_OVER, RATE));
	for (size_t i = 0; i < ARRAY_SIZE(busy); i++) {
		sent(busy[i]);
		tell(busy[i], told("hall", RECEIPT_UNHEARD, 0));
	}
	ck_assert_uint_eq(look()->player_count, 2);
	ck_assert_uint_eq(list.counts[LEDGER_ALL], 1);
	ck_assert_uint_eq(list.counts[LEDGER_UNHEARD], 1);
}
END_TEST

TEST(loudspeakers_that_share_a_key_are_told_apart)
{
	struct ledger_entry *hall = join("loudspeaker");
	struct ledger_entry *gym = join_at("loudspeaker", "192.0.2.2:1", 0);

	heard_all(hall, "pi");
	sent(gym);
	tell(gym, told("pi", RECEIPT_UNHEARD, 0));
	ck_assert_uint_eq(look()->player_count, 2);
	ck_assert_str_eq(list.players[0].label, "loudspeaker/pi (192.0.2.2)");
	ck_assert_str_eq(list.players[1].label, "loudspeaker/pi (192.0.2.1)");
}
END_TEST

TEST(a_name_does_not_prove_an_identity)
{
	heard_all(join("hall"), "hall");
	heard_all(join(NULL), "hall");
	ck_assert_uint_eq(look()->player_count, 2);
	ck_assert_str_eq(list.players[0].label, "hall");
	ck_assert_str_eq(list.players[1].label, "hall (192.0.2.1)");
}
END_TEST

TEST(players_without_names_are_not_one)
{
	heard_all(join(NULL), "");
	heard_all(join(NULL), "");
	ck_assert_uint_eq(look()->player_count, 2);
	ck_assert_str_eq(list.players[0].label, "192.0.2.1");
}
END_TEST

/* --- the list --- */

TEST(those_that_failed_come_first)
{
	struct ledger_entry *entry;

	heard_all(join("b"), "");
	heard_all(join("a"), "");
	heard_all(join_at("late", "192.0.2.1:1", 2 * RATE), "");
	entry = join("old");
	sent(entry);
	ledger_silent(ledger, entry, LEDGER_NO_RECEIPT);
	lost(join("gone"), RATE);
	join("slow");
	entry = join("mute");
	sent(entry);
	tell(entry, told("", RECEIPT_HUSHED, 0));
	look();
	ck_assert_uint_eq(list.player_count, 7);
	ck_assert_uint_eq(list.total, 6);
	for (size_t i = 0; i < list.player_count; i++) {
		static const char *const names[] = {
		    "gone", "late", "old", "slow", "a", "b", "mute"};

		ck_assert_str_eq(list.players[i].label, names[i]);
	}
}
END_TEST

TEST(addresses_lose_their_ports)
{
	static const char *const peers[][2] = {
	    {"192.0.2.1:40000", "192.0.2.1"},
	    {"[2001:db8::1]:40000", "2001:db8::1"},
	    {"[fe80::1%eth0]:1", "fe80::1%eth0"},
	    {"local", "local"},
	    {"", ""},
	    {":", ""},
	    {"]:1", "]"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		join_at("x", peers[i][0], 0);
		ck_assert_str_eq(only()->address, peers[i][1]);
		teardown();
		setup();
	}
}
END_TEST

TEST(names_that_are_not_names_are_quoted)
{
	heard_all(join(NULL), "Main hall");
	heard_all(join(NULL), "gym\" and hall heard all");
	look();
	ck_assert_str_eq(list.players[0].label, "\"Main hall\" (192.0.2.1)");
	ck_assert_str_eq(list.players[1].label,
			 "\"gym' and hall heard all\" (192.0.2.1)");
}
END_TEST

TEST(the_longest_names_fit)
{
	char name[RECEIPT_NAME_SIZE], identity[64], peer[64];

	memset(name, ' ', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	memset(identity, 'i', sizeof(identity));
	identity[sizeof(identity) - 1] = '\0';
	memset(peer, 'p', sizeof(peer));
	peer[sizeof(peer) - 1] = '\0';
	heard_all(join_at(identity, peer, 0), name);
	heard_all(join_at(identity, "192.0.2.1:1", 0), name);
	look();
	ck_assert_uint_eq(strlen(list.players[1].label),
			  63 + 1 + 64 + 2 + 3 + 63);
}
END_TEST

/* --- how much it takes --- */

static const char *const shed_peers[] = {"192.0.2.1:40000", "192.0.2.1:40001"};

static struct receipt told_half(enum receipt_result result)
{
	struct receipt receipt = told("", result, LENGTH / 2 - RATE / 2);

	receipt.arrived_frames = LENGTH / 2 - RATE / 2;
	return receipt;
}

/* It lags by a second in the middle. Its first receipt comes before or after
 * its second one, or it gives none. */
TEST_LOOP(who_was_shed_and_came_back_is_one, 0, 4)
{
	const uint64_t gap = LENGTH / 2 - RATE / 2;
	struct ledger_entry *first = join_at(NULL, shed_peers[0], 0), *second;

	ledger_shed(ledger, first, gap);
	ck_assert_str_eq(only()->reason, LEDGER_HAS_YET_TO_ANSWER);
	if (_i == 0)
		tell(first, told_half(RECEIPT_CUT_SHORT));
	second = join_at(NULL, shed_peers[1], gap + RATE);
	ck_assert_uint_eq(ledger_open_count(ledger), _i == 0 ? 1 : 2);
	if (_i == 1)
		tell(first, told_half(RECEIPT_CUT_SHORT));
	if (_i == 3)
		ledger_silent(ledger, first, LEDGER_NO_RECEIPT);
	ck_assert_str_eq(only()->reason, LEDGER_HAS_YET_TO_ANSWER);
	sent(second);
	tell(second, told_half(RECEIPT_COMPLETE));
	if (_i == 2)
		tell(first, told_half(RECEIPT_COMPLETE));
	ck_assert_uint_eq(ledger_open_count(ledger), 0);
	assert_only(LEDGER_PARTLY,
		    _i == 3 ? "2.0 of 5.0 s (the network was too slow)"
			    : "4.0 of 5.0 s (the network was too slow)");
}

/* Of its connections, and of all loudspeakers, the greatest that is told. */
TEST(how_far_from_its_moment_it_was)
{
	struct ledger_entry *first = join("hall");
	struct receipt receipt = told_half(RECEIPT_COMPLETE);

	ck_assert(look()->sync_us == RECEIPT_UNKNOWN);
	ledger_shed(ledger, first, LENGTH / 2);
	receipt.sync_us = 230;
	tell(first, receipt);
	first = join("hall");
	sent(first);
	receipt.sync_us = RECEIPT_UNKNOWN;
	tell(first, receipt);
	ck_assert_uint_eq(only()->sync_us, 230);
	first = join("yard");
	sent(first);
	receipt.sync_us = 85;
	tell(first, receipt);
	ck_assert_uint_eq(look()->player_count, 2);
	ck_assert_str_eq(list.players[0].identity, "yard");
	ck_assert_uint_eq(list.players[0].sync_us, 85);
	ck_assert_uint_eq(list.sync_us, 230);
}
END_TEST

TEST(who_was_shed_and_stayed_away_heard_it_up_to_then)
{
	struct ledger_entry *entry = join("hall");

	ledger_shed(ledger, entry, 2 * RATE);
	tell(entry, told("", RECEIPT_COMPLETE, 2 * RATE));
	assert_only(LEDGER_PARTLY, "all up to 2.0 s");
}

/* Its first connection may still answer. */
TEST_LOOP(who_was_shed_and_is_lost_then_leaves_nothing_behind, 0, 2)
{
	struct ledger_entry *first = join_at(NULL, shed_peers[0], 0), *second;

	ledger_shed(ledger, first, RATE);
	second = join_at(NULL, shed_peers[1], 2 * RATE);
	if (_i == 0)
		tell(first, told_half(RECEIPT_CUT_SHORT));
	lost(second, 3 * RATE);
	if (_i == 1)
		tell(first, told_half(RECEIPT_CUT_SHORT));
	ck_assert_uint_eq(ledger_open_count(ledger), 0);
	if (_i == 0)
		assert_only(LEDGER_UNHEARD, "lost after 3.0 s");
	else
		assert_only(LEDGER_PARTLY,
			    "2.0 of 5.0 s (the page was cut short)");
}

TEST(one_that_comes_and_goes_takes_no_room)
{
	size_t size;

	lost(join_at(NULL, "192.0.2.1:1", 1), 2);
	size = ledger_size(ledger);
	for (uint64_t i = 0; i < 10000; i++)
		lost(join_at(NULL, "192.0.2.1:1", i + 2), i + 3);
	ck_assert_uint_eq(ledger_size(ledger), size);
	assert_only(LEDGER_UNHEARD, "lost after 1.3 s");
}
END_TEST

TEST(a_crowd_that_comes_and_goes_is_counted_and_not_kept)
{
	struct ledger_entry *honest = join_at("hall", "192.0.2.1:1", 0);

	for (unsigned i = 0; i < 5000; i++) {
		char peer[64];

		snprintf(peer, sizeof(peer), "[2001:db8::%x]:1", i);
		lost(join_at(NULL, peer, 1), RATE);
	}
	heard_all(honest, "hall");
	look();
	ck_assert_uint_eq(list.player_count, 100);
	ck_assert_uint_eq(list.counts[LEDGER_UNHEARD], 5000);
	ck_assert_uint_eq(list.counts[LEDGER_ALL], 1);
	ck_assert_uint_eq(list.total, 5001);
	ck_assert_uint_lt(ledger_size(ledger), 65536);
}
END_TEST

TEST(those_that_there_is_no_room_for_are_counted)
{
	struct ledger_entry *entries[103];

	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		entries[i] = join(NULL);
	ck_assert_ptr_null(entries[100]);
	ck_assert_uint_eq(ledger_open_count(ledger), 103);
	lost(entries[100], RATE);
	sent(entries[101]);
	tell(entries[101], told("", RECEIPT_COMPLETE, LENGTH));
	sent(entries[102]);
	ledger_silent(ledger, entries[102], LEDGER_NO_RECEIPT);
	ck_assert_uint_eq(ledger_open_count(ledger), 100);
	look();
	ck_assert_uint_eq(list.counts[LEDGER_PENDING], 100);
	ck_assert_uint_eq(list.counts[LEDGER_UNHEARD], 1);
	ck_assert_uint_eq(list.counts[LEDGER_UNREPORTED], 2);
	ck_assert_uint_eq(list.total, 103);
}
END_TEST

/* --- one connection --- */

static struct ledger_player found;

static bool find(const char *identity, const char *peer)
{
	return ledger_find(ledger, "lobby", identity, peer, &found) ==
	       LEDGER_ONE;
}

TEST(a_loudspeaker_is_found_again_at_its_next_connection)
{
	heard_all(join("hall"), "pi");
	ck_assert(find("hall", "192.0.2.1:41000"));
	ck_assert_str_eq(found.label, "hall");
	ck_assert_int_eq(found.heard, LEDGER_ALL);
	ck_assert(!find("hall", "192.0.2.2:41000"));
	ck_assert(!find("yard", "192.0.2.1:41000"));
	ck_assert(!find(NULL, "192.0.2.1:41000"));
}
END_TEST

TEST(what_is_pending_is_not_found)
{
	struct ledger_entry *entry = join(NULL);

	ck_assert(!find(NULL, "192.0.2.1:41000"));
	sent(entry);
	ck_assert(!find(NULL, "192.0.2.1:41000"));
	ledger_silent(ledger, entry, LEDGER_NO_RECEIPT);
	ck_assert(find(NULL, "192.0.2.1:41000"));
	ck_assert_str_eq(found.reason, "gives no receipts");
}
END_TEST

TEST(one_in_a_zone_that_the_page_was_not_for_is_not_found)
{
	heard_all(join_in("yard", NULL), "hall");
	ck_assert(!find(NULL, "192.0.2.1:41000"));
}
END_TEST

TEST(of_a_loudspeaker_in_two_zones_the_best_is_found)
{
	struct ledger_entry *lobby = join(NULL), *yard = join_in("yard", NULL);

	sent(lobby);
	tell(lobby, told("hall", RECEIPT_TAKEN_OVER, 0));
	heard_all(yard, "hall");
	ck_assert(find(NULL, "192.0.2.1:41000"));
	ck_assert_int_eq(found.heard, LEDGER_ALL);
}
END_TEST

/* The newest page that one was sent tells of it, or nothing does. */
TEST_LOOP(of_two_loudspeakers_at_one_address_none_is_found, 0, 2)
{
	heard_all(join(NULL), "hall");
	heard_all(join(NULL), _i ? "hall" : "gym");
	ck_assert_int_eq(
	    ledger_find(ledger, "lobby", NULL, "192.0.2.1:41000", &found),
	    LEDGER_SEVERAL);
}
END_TEST
