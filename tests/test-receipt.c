/* SPDX-License-Identifier: MIT
 * Receipts: the line of the protocol, what a stranger may say, what cannot be
 * true. */
#include "wire/receipt.h"

#include "test.h"

#define HEAD "intercom-receipt 1"

static const struct receipt hall = {
    .name = "hall",
    .result = RECEIPT_COMPLETE,
    .arrived_frames = 220160,
    .heard_frames = 220160,
    .dropped_frames = 0,
    .starved_ms = 0,
    .sync_us = RECEIPT_UNKNOWN,
    .card = RECEIPT_CARD_READY,
};
static const char hall_line[] =
    HEAD " name=hall result=complete arrived=220160 heard=220160 dropped=0 "
	 "starved_ms=0 card=ready\n";

static struct receipt got;

static int parse(const char *line)
{
	return receipt_parse(&got, line, strlen(line));
}

TEST(line_is_that_of_the_protocol)
{
	char line[RECEIPT_SIZE_MAX];
	const size_t size = receipt_format(line, &hall);

	ck_assert_uint_eq(size, strlen(hall_line));
	ck_assert_mem_eq(line, hall_line, size);
}

TEST(page_on_schedule_says_how_far_from_it_it_was)
{
	struct receipt receipt = hall;
	char line[RECEIPT_SIZE_MAX];

	receipt.sync_us = 85;
	line[receipt_format(line, &receipt) - 1] = '\0';
	ck_assert_ptr_nonnull(strstr(line, " sync_us=85 "));
	ck_assert_int_eq(parse(hall_line), 0);
	ck_assert(got.sync_us == RECEIPT_UNKNOWN);
	ck_assert_int_eq(parse(HEAD " sync_us=85\n"), 0);
	ck_assert(got.sync_us == 85);
}

TEST(line_says_all_that_was_given)
{
	ck_assert_int_eq(parse(hall_line), 0);
	ck_assert_str_eq(got.name, "hall");
	ck_assert_int_eq(got.result, RECEIPT_COMPLETE);
	ck_assert_uint_eq(got.arrived_frames, 220160);
	ck_assert_uint_eq(got.heard_frames, 220160);
	ck_assert_uint_eq(got.dropped_frames, 0);
	ck_assert_uint_eq(got.starved_ms, 0);
	ck_assert_int_eq(got.card, RECEIPT_CARD_READY);
}

TEST(what_is_missing_is_unknown)
{
	ck_assert_int_eq(parse(HEAD "\n"), 0);
	ck_assert_str_eq(got.name, "");
	ck_assert_int_eq(got.result, RECEIPT_RESULT_UNKNOWN);
	ck_assert(got.arrived_frames == RECEIPT_UNKNOWN);
	ck_assert(got.heard_frames == RECEIPT_UNKNOWN);
	ck_assert(got.dropped_frames == RECEIPT_UNKNOWN);
	ck_assert(got.starved_ms == RECEIPT_UNKNOWN);
	ck_assert_int_eq(got.card, RECEIPT_CARD_UNKNOWN);
}

TEST(what_a_later_version_says_is_skipped)
{
	ck_assert_int_eq(parse(HEAD " error_ns=-17 result=postponed heard=5 "
				    "card=warming color=%F0%9F%94%8A\n"),
			 0);
	ck_assert_int_eq(got.result, RECEIPT_RESULT_UNKNOWN);
	ck_assert_int_eq(got.card, RECEIPT_CARD_UNKNOWN);
	ck_assert_uint_eq(got.heard_frames, 5);
}

TEST_LOOP(every_result_is_read_again, 0, RECEIPT_GROUP + 1)
{
	struct receipt receipt = hall;
	char line[RECEIPT_SIZE_MAX];

	receipt.result = (enum receipt_result)_i;
	ck_assert_int_eq(
	    receipt_parse(&got, line, receipt_format(line, &receipt)), 0);
	ck_assert_int_eq((int)got.result, _i);
}

TEST_LOOP(every_card_is_read_again, 0, RECEIPT_CARD_MISSING + 1)
{
	struct receipt receipt = hall;
	char line[RECEIPT_SIZE_MAX];

	receipt.card = (enum receipt_card)_i;
	ck_assert_int_eq(
	    receipt_parse(&got, line, receipt_format(line, &receipt)), 0);
	ck_assert_int_eq((int)got.card, _i);
	ck_assert_int_eq((int)receipt_card_of(receipt_card_name(got.card)), _i);
}

TEST(longest_receipt_has_room)
{
	struct receipt receipt = {
	    .result = RECEIPT_TAKEN_OVER,
	    .arrived_frames = UINT64_MAX - 1,
	    .heard_frames = UINT64_MAX / 2,
	    .dropped_frames = UINT64_MAX / 2,
	    .starved_ms = UINT64_MAX - 1,
	    .sync_us = UINT64_MAX - 1,
	    .card = RECEIPT_CARD_MISSING,
	};
	char line[RECEIPT_SIZE_MAX];

	memset(receipt.name, '%', sizeof(receipt.name) - 1);
	ck_assert_int_eq(
	    receipt_parse(&got, line, receipt_format(line, &receipt)), 0);
	ck_assert_str_eq(got.name, receipt.name);
	ck_assert(got.starved_ms == UINT64_MAX - 1);
	ck_assert_int_eq(got.card, RECEIPT_CARD_MISSING);
}

TEST(name_cannot_command_a_terminal)
{
	ck_assert_int_eq(parse(HEAD " name=a%1B[2Jb%0Ac%7Fd%C2%9Be%FFf\n"), 0);
	ck_assert_str_eq(got.name, "a?[2Jb?c?d??e?f");
}

static const char *const refused[] = {
    "GET / HTTP/1.1\n",
    "intercom-receipt 2 name=hall\n",
    "intercom-status 1 card=ready\n",
    HEAD " name=hall",
    HEAD " heard=\n",
    HEAD " heard=-1\n",
    HEAD " heard=18446744073709551616\n",
    HEAD " starved_ms=1.5\n",
    HEAD " arrived=5 heard=6\n",
    HEAD " arrived=5 dropped=6\n",
    HEAD " arrived=5 heard=3 dropped=3\n",
    HEAD " arrived=5 heard=18446744073709551614 dropped=9\n",
    HEAD " name=a2345678901234567890123456789012345678901234567890123456789012"
	 "345\n",
};

TEST_LOOP(what_is_none_or_cannot_be_true_is_refused, 0, ARRAY_SIZE(refused))
{
	got = hall;
	ck_assert_int_eq(parse(refused[_i]), -EBADMSG);
	ck_assert_str_eq(got.name, "hall");
	ck_assert_uint_eq(got.heard_frames, hall.heard_frames);
}
