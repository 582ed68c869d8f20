/* SPDX-License-Identifier: MIT
 * Where frames of a live page that are too many are left out. */
#include "client/cut.h"

#include "test.h"

enum { RATE = 8000, FADE = 8, HALF_A_SECOND = 500000 };

#define NOW UINT64_C(1000000)

static const struct wav_format format = {WAV_PCM, 16, 1, RATE};

static struct fifo fifo;
static struct cut cut;

/* 1000 loud frames, with so many quiet ones behind the first 300. */
static void fill(size_t quiet)
{
	int16_t *samples;
	size_t size;

	ck_assert_int_eq(fifo_init(&fifo, &format, 4000), 0);
	samples = fifo_space(&fifo, &size);
	ck_assert_uint_ge(size, 2000);
	for (size_t i = 0; i < 1000; i++)
		samples[i] = i >= 300 && i < 300 + quiet
				 ? 0
				 : (int16_t)(i % 2 ? 20000 : -20000);
	fifo_put(&fifo, 2000);
	cut = (struct cut){.excess_frames = 200};
}

static void teardown(void)
{
	fifo_free(&fifo);
}

FIXTURE(NULL, teardown);

static size_t try(enum cut_patience patience, uint64_t now)
{
	return cut_excess(&cut, &fifo, patience, FADE, now);
}

TEST(pause_in_speech_is_taken_at_once)
{
	fill(250);
	ck_assert_uint_eq(try(CUT_PATIENT, NOW), 200);
	ck_assert_uint_eq(fifo_frames(&fifo), 800);
	ck_assert_uint_eq(cut.excess_frames, 0);
	ck_assert_int_eq(((const int16_t *)fifo_data(&fifo))[0], -20000);
	ck_assert_uint_eq(try(CUT_IN_TIME, NOW + HALF_A_SECOND), 0);
}

TEST(without_a_pause_it_is_cut_half_a_second_later)
{
	fill(0);
	ck_assert_uint_eq(try(CUT_IN_TIME, NOW), 0);
	ck_assert_uint_eq(try(CUT_IN_TIME, NOW + HALF_A_SECOND - 1), 0);
	ck_assert_uint_eq(try(CUT_IN_TIME, NOW + HALF_A_SECOND), 200);
	ck_assert_uint_eq(fifo_frames(&fifo), 800);
}

TEST(patience_has_no_end)
{
	fill(100); /* too short a pause */
	ck_assert_uint_eq(try(CUT_PATIENT, NOW), 0);
	ck_assert_uint_eq(try(CUT_PATIENT, NOW + 20 * HALF_A_SECOND), 0);
	ck_assert_uint_eq(try(CUT_IN_TIME, NOW + 20 * HALF_A_SECOND), 200);
}

TEST(excess_that_has_gone_is_not_waited_for)
{
	fill(0);
	ck_assert_uint_eq(try(CUT_IN_TIME, NOW), 0);
	cut.excess_frames = 0;
	ck_assert_uint_eq(try(CUT_IN_TIME, NOW + HALF_A_SECOND), 0);
	cut.excess_frames = 200;
	ck_assert_uint_eq(try(CUT_IN_TIME, NOW + HALF_A_SECOND), 0);
}

TEST(more_than_there_is_cannot_be_dropped)
{
	fill(1000);
	cut.excess_frames = 5000;
	ck_assert_uint_eq(try(CUT_IN_TIME, NOW), 0);
	ck_assert_uint_eq(try(CUT_IN_TIME, NOW + HALF_A_SECOND), 1000);
	cut.excess_frames = 1;
	ck_assert_uint_eq(try(CUT_IN_TIME, NOW), 0);
	ck_assert_uint_eq(try(CUT_IN_TIME, NOW + HALF_A_SECOND), 0);
}
