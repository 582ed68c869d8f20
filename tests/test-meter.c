/* SPDX-License-Identifier: MIT
 * The client's level meter on a terminal, byte for byte. */
#include "client/meter.h"

#include "capture.h"
#include "test.h"

enum { TEXT_SIZE = 4096 };

/* Turns wrapping at the edge of the terminal off. */
#define BEGIN "\r\033[?7l"
#define END "\033[K\033[?7h"

static const struct meter_reading quiet = {.what = "buffering"};

static char text[TEXT_SIZE];

/* TEXT gets the line. */
static const char *draw(const struct meter_reading *reading)
{
	struct capture capture = capture_begin(STDOUT_FILENO);

	meter_draw(reading);
	capture_end(capture, text, sizeof(text));
	return text;
}

TEST(silence_is_an_empty_bar)
{
	ck_assert_str_eq(draw(&quiet),
			 BEGIN "   0.0 s [------------------------------] "
			       "-99.0 dBFS  buffer    0 ms  latency    0 ms  "
			       "buffering" END);
}

TEST(full_scale_is_a_full_bar)
{
	const struct meter_reading reading = {
	    .what = "playing",
	    .peak = 1,
	    .fill_ms = 123.4,
	    .latency_ms = 99.6,
	    .seconds = 3599.96,
	};

	ck_assert_str_eq(draw(&reading),
			 BEGIN "3600.0 s [##############################]   "
			       "0.0 dBFS  buffer  123 ms  latency  100 ms  "
			       "playing" END);
}

TEST(level_never_moves_what_comes_after_it)
{
	struct meter_reading reading = quiet;
	size_t length;

	length = strlen(draw(&reading));
	for (int i = 0; i <= 32; i++) {
		reading.peak = i / 32.0;
		ck_assert_uint_eq(strlen(draw(&reading)), length);
	}
}

TEST(half_of_the_scale_is_half_of_the_bar)
{
	const struct meter_reading reading = {
	    .what = "playing", .peak = 0.0316228 /* -30 of -60 dBFS */};

	ck_assert_ptr_nonnull(strstr(
	    draw(&reading), "[###############---------------] -30.0 dBFS"));
}

TEST(long_pages_and_big_buffers_stay_one_line)
{
	const struct meter_reading reading = {
	    .what = "waiting for the hook",
	    .peak = 1,
	    .fill_ms = 1e6,
	    .latency_ms = 1e6,
	    .seconds = 1e7,
	};
	draw(&reading);
	ck_assert_ptr_null(strchr(text, '\n'));
	ck_assert_ptr_nonnull(strstr(text, "10000000.0 s ["));
	ck_assert_ptr_nonnull(strstr(text, "buffer 1000000 ms"));
	ck_assert_ptr_nonnull(strstr(text, "waiting for the hook" END));
}

TEST(clearing_empties_the_line)
{
	struct capture capture = capture_begin(STDOUT_FILENO);
	meter_clear();
	capture_end(capture, text, sizeof(text));
	ck_assert_str_eq(text, "\r\033[K");
}

/* No part of a line may stay in stdio's buffer. */
TEST(lines_are_there_at_once)
{
	struct capture capture = capture_begin(STDOUT_FILENO);
	struct stat drawn, cleared;

	meter_draw(&quiet);
	ck_assert_int_eq(fstat(STDOUT_FILENO, &drawn), 0);
	meter_clear();
	ck_assert_int_eq(fstat(STDOUT_FILENO, &cleared), 0);
	capture_end(capture, text, sizeof(text));
	ck_assert_uint_eq((size_t)cleared.st_size, strlen(text));
	ck_assert_uint_eq((size_t)drawn.st_size,
			  strlen(text) - strlen("\r\033[K"));
}
