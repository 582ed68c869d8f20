/* SPDX-License-Identifier: MIT
 * The client's level meter, at every width that a terminal may have. */
#include "client/meter.h"

#include "test.h"

static const struct meter_reading quiet = {.what = "buffering",
					   .error_us = UINT64_MAX};
static const struct meter_reading loud = {
    .what = "playing",
    .peak = 1,
    .fill_ms = 123.4,
    .latency_ms = 99.6,
    .error_us = UINT64_MAX,
    .seconds = 3599.96,
};

static char text[METER_SIZE];

static const char *draw(const struct meter_reading *reading, unsigned columns)
{
	meter_text(text, reading, columns);
	return text;
}

TEST(wide_terminal_shows_all)
{
	ck_assert_str_eq(draw(&quiet, 131),
			 "   0.0 s [------------------------------] -99 dB  "
			 "buffer   0 ms  latency   0 ms  buffering");
	ck_assert_str_eq(draw(&loud, 131),
			 "3600.0 s [##############################]   CLIP  "
			 "buffer 123 ms  latency 100 ms  playing");
}

TEST(common_terminal_has_a_shorter_bar)
{
	ck_assert_str_eq(draw(&loud, 79),
			 "3600.0 s [#####################]   CLIP  "
			 "buffer 123 ms  latency 100 ms  playing");
}

TEST(page_on_schedule_tells_how_far_from_it_it_is)
{
	struct meter_reading reading = loud;

	reading.error_us = 85;
	ck_assert_ptr_nonnull(
	    strstr(draw(&reading, 100), "100 ms  in step +-85 us  playing"));
	ck_assert_ptr_null(strstr(draw(&reading, 60), "step"));
	ck_assert_ptr_nonnull(strstr(draw(&reading, 60), "playing"));
}

TEST(narrow_terminal_keeps_level_and_latency)
{
	ck_assert_str_eq(draw(&quiet, 59),
			 "   0.0 s [--------------] -99 dB  latency   0 ms  "
			 "buffering");
	ck_assert_str_eq(draw(&loud, 39),
			 "3600.0 s [#####]   CLIP  latency 100 ms");
}

TEST(line_fits_every_width)
{
	struct meter_reading reading = loud;

	reading.what = "waiting for the hook";
	for (unsigned columns = 38; columns < 200; columns++) {
		ck_assert_uint_le(strlen(draw(&reading, columns)), columns);
		ck_assert_ptr_nonnull(strstr(text, "latency 100 ms"));
	}
}

TEST(level_never_moves_what_comes_after_it)
{
	struct meter_reading reading = quiet;
	size_t length = strlen(draw(&reading, 79));

	for (int i = 0; i <= 32; i++) {
		reading.peak = i / 32.0;
		ck_assert_uint_eq(strlen(draw(&reading, 79)), length);
	}
}

TEST(long_pages_and_big_buffers_stay_one_line)
{
	const struct meter_reading reading = {
	    .what = "waiting for the hook",
	    .peak = 1,
	    .fill_ms = 1e6,
	    .latency_ms = 1e6,
	    .error_us = UINT64_MAX,
	    .seconds = 1e7,
	};

	ck_assert_str_eq(
	    draw(&reading, 131),
	    "10000000.0 s [##############################]   CLIP  "
	    "buffer 1000000 ms  latency 1000000 ms  "
	    "waiting for the hook");
}
