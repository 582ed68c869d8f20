/* SPDX-License-Identifier: MIT
 * Heartbeats: the line of the protocol, and what a stranger may say. */
#include "wire/heartbeat.h"

#include "test.h"

#define HEAD "intercom-status 1"

static struct heartbeat got;

static int parse(const char *line)
{
	return heartbeat_parse(&got, line, strlen(line));
}

TEST(line_is_that_of_the_protocol)
{
	static const struct heartbeat hall = {RECEIPT_CARD_READY, "2.0", 100};
	static const char expected[] =
	    HEAD " card=ready version=2.0 latency_ms=100\n";
	char line[LINE_SIZE_MAX];
	const size_t size = heartbeat_format(line, &hall);

	ck_assert_uint_eq(size, strlen(expected));
	ck_assert_mem_eq(line, expected, size);
	ck_assert_int_eq(parse(expected), 0);
	ck_assert_int_eq(got.card, RECEIPT_CARD_READY);
	ck_assert_str_eq(got.version, "2.0");
	ck_assert_uint_eq(got.latency_ms, 100);
}

TEST(what_is_missing_is_unknown_and_stays_so)
{
	char line[LINE_SIZE_MAX];
	size_t size;

	ck_assert_int_eq(parse(HEAD "\n"), 0);
	ck_assert_int_eq(got.card, RECEIPT_CARD_UNKNOWN);
	ck_assert_str_eq(got.version, "");
	ck_assert(got.latency_ms == HEARTBEAT_LATENCY_UNKNOWN);
	size = heartbeat_format(line, &got);
	ck_assert_int_eq(heartbeat_parse(&got, line, size), 0);
	ck_assert(got.latency_ms == HEARTBEAT_LATENCY_UNKNOWN);
}

TEST(words_of_later_versions_are_skipped)
{
	ck_assert_int_eq(parse(HEAD " fan=off card=on-fire version=9\n"), 0);
	ck_assert_int_eq(got.card, RECEIPT_CARD_UNKNOWN);
	ck_assert_str_eq(got.version, "9");
}

TEST(version_cannot_command_a_terminal)
{
	ck_assert_int_eq(parse(HEAD " version=%1b[2J%c3%a9\n"), 0);
	ck_assert_str_eq(got.version, "?[2J\xc3\xa9");
}

static const char *const wrong[] = {
    "intercom-receipt 1 card=ready\n",
    "intercom-status 2 card=ready\n",
    HEAD " card=ready",
    HEAD " card\n",
    HEAD " card=ready\nx\n",
    HEAD " latency_ms=-1\n",
    HEAD " latency_ms=\n",
    HEAD " latency_ms=4294967295\n",
    HEAD " latency_ms=99999999999999999999\n",
    HEAD " version=123456789012345678901234567890123\n",
    "",
};

TEST_LOOP(other_lines_are_refused, 0, ARRAY_SIZE(wrong))
{
	ck_assert_int_eq(parse(wrong[_i]), -EBADMSG);
}
