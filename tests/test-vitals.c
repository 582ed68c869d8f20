/* SPDX-License-Identifier: MIT
 * Lines of a client in whatever pieces, and what of them is garbage. */
#include "server/vitals.h"

#include "test.h"

#define S USEC_PER_SEC
#define READY "intercom-status 1 card=ready\n"
#define BUSY "intercom-status 1 card=busy version=2.0\n"

static struct vitals vitals;

static void setup(void)
{
	vitals = (struct vitals){0};
}

FIXTURE(setup, NULL);

static size_t feed(const char *text, uint64_t now)
{
	return vitals_feed(&vitals, text, strlen(text), now);
}

TEST(line_is_no_garbage)
{
	ck_assert_uint_eq(feed(READY, 7 * S), 0);
	ck_assert_int_eq(vitals.said.card, RECEIPT_CARD_READY);
	ck_assert_uint_eq(vitals.said_usec, 7 * S);
	ck_assert_uint_eq(feed(BUSY, 12 * S), 0);
	ck_assert_int_eq(vitals.said.card, RECEIPT_CARD_BUSY);
	ck_assert_uint_eq(vitals.said_usec, 12 * S);
}

TEST(line_may_come_in_any_pieces)
{
	for (const char *c = BUSY; *c; c++) {
		ck_assert_uint_eq(vitals.said_usec, 0);
		ck_assert_uint_eq(vitals_feed(&vitals, c, 1, S), 0);
	}
	ck_assert_uint_eq(vitals.said_usec, S);
	ck_assert_str_eq(vitals.said.version, "2.0");
}

TEST(more_than_one_in_5_s_is_garbage)
{
	ck_assert_uint_eq(feed(READY, 10 * S), 0);
	ck_assert_uint_eq(feed(BUSY, 15 * S - 1), strlen(BUSY));
	ck_assert_int_eq(vitals.said.card, RECEIPT_CARD_READY);
	ck_assert_uint_eq(vitals.said_usec, 10 * S);
	ck_assert_uint_eq(feed(BUSY, 15 * S), 0);
	ck_assert_uint_eq(feed(READY READY, 30 * S), strlen(READY));
}

TEST(years_of_lines_are_no_garbage)
{
	for (uint64_t now = S; now < 100000 * S; now += 55 * S)
		ck_assert_uint_eq(feed(READY, now), 0);
}

TEST(other_lines_are_garbage)
{
	static const char receipt[] = "intercom-receipt 1 result=complete\n";

	ck_assert_uint_eq(feed("GET / HTTP/1.1\r\n\r\n", S), 18);
	ck_assert_uint_eq(feed(receipt, S), strlen(receipt));
	ck_assert_uint_eq(vitals.said_usec, 0);
	ck_assert_uint_eq(feed(READY, S), 0);
}

TEST(line_above_512_bytes_is_garbage)
{
	char text[LINE_SIZE_MAX + 100];

	memset(text, 'x', sizeof(text));
	memcpy(text, "intercom-status 1 a=", 20);
	text[sizeof(text) - 1] = '\n';
	ck_assert_uint_eq(vitals_feed(&vitals, text, LINE_SIZE_MAX - 1, S), 0);
	ck_assert_uint_eq(vitals_feed(&vitals, "xx", 2, S), LINE_SIZE_MAX + 1);
	ck_assert_uint_eq(vitals_feed(&vitals, "x\n", 2, S), 2);
	ck_assert_uint_eq(vitals_feed(&vitals, text, sizeof(text), S),
			  sizeof(text));
	ck_assert_uint_eq(feed(READY, S), 0);
}

TEST(what_begins_no_line_is_garbage_at_once)
{
	ck_assert_uint_eq(feed("intercom-", S), 0);
	ck_assert_uint_eq(feed("receipt 1", S), strlen("intercom-receipt 1"));
	ck_assert_uint_eq(feed(READY, S), strlen(READY)); /* its rest */
	ck_assert_uint_eq(feed(READY, S), 0);
}

TEST(line_of_512_bytes_is_none)
{
	char text[LINE_SIZE_MAX + 1];

	memset(text, 'x', LINE_SIZE_MAX);
	memcpy(text, "intercom-status 1 a=", 20);
	strcpy(text + LINE_SIZE_MAX - 1, "\n");
	ck_assert_uint_eq(feed(text, S), 0);
	ck_assert_uint_eq(vitals.said_usec, S);
}
