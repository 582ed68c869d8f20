/* SPDX-License-Identifier: MIT
 * The frames of a FIFO: order, torn frames, fades, and the quietest place. */
#include "client/fifo.h"

#include "test.h"

static const struct wav_format stereo = {WAV_PCM, 16, 2, 10000};
static const struct wav_format mono = {WAV_PCM, 16, 1, 10000};
static struct fifo fifo;

static void teardown(void)
{
	fifo_free(&fifo);
}

FIXTURE(NULL, teardown);

static void put(const void *data, size_t size)
{
	size_t room;
	void *space = fifo_space(&fifo, &room);

	ck_assert_uint_ge(room, size);
	memcpy(space, data, size);
	fifo_put(&fifo, size);
}

static int16_t sample(size_t index)
{
	return ((const int16_t *)fifo_data(&fifo))[index];
}

/* COUNT mono frames of VALUE. */
static void put_level(int16_t value, size_t count)
{
	for (size_t i = 0; i < count; i++)
		put(&value, sizeof(value));
}

TEST(frames_come_out_in_order_whatever_the_pieces)
{
	uint8_t next_in = 0, next_out = 0;

	ck_assert_int_eq(fifo_init(&fifo, &stereo, 25), 0);
	for (int round = 0; round < 1000; round++) {
		uint8_t bytes[13] = {0};
		size_t room, frames;

		fifo_space(&fifo, &room);
		for (size_t i = 0; i < sizeof(bytes) && i < room; i++)
			bytes[i] = next_in++;
		put(bytes, room < sizeof(bytes) ? room : sizeof(bytes));
		frames = fifo_frames(&fifo) * 2 / 3;
		for (size_t i = 0; i < frames * 4; i++)
			ck_assert_uint_eq(
			    ((const uint8_t *)fifo_data(&fifo))[i], next_out++);
		fifo_take(&fifo, frames);
	}
}

TEST(half_its_room_is_always_there_when_half_is_taken)
{
	size_t room;
	uint8_t bytes[400] = {0};

	ck_assert_int_eq(fifo_init(&fifo, &stereo, 100), 0);
	put(bytes, 400);
	fifo_space(&fifo, &room);
	ck_assert_uint_eq(room, 0);
	fifo_take(&fifo, 50);
	fifo_space(&fifo, &room);
	ck_assert_uint_eq(room, 200);
}

TEST(fade_out_goes_from_the_newest_whole_frame_to_silence)
{
	const int16_t frames[] = {500, -500, 1000, -1000, 7777};

	ck_assert_int_eq(fifo_init(&fifo, &stereo, 100), 0);
	put(frames, sizeof(frames)); /* the last frame is torn */
	fifo_fade_out(&fifo, 50);
	ck_assert_uint_eq(fifo_frames(&fifo), 52);
	ck_assert_int_eq(sample(2), 1000);
	for (size_t i = 2; i < 52; i++) {
		ck_assert_int_le(sample(2 * i), sample(2 * (i - 1)) + 500);
		ck_assert_int_ge(sample(2 * i), 0);
		ck_assert_int_le(abs(sample(2 * i) + sample(2 * i + 1)), 1);
	}
	ck_assert_int_lt(sample(2 * 51), 40);
}

TEST(fade_out_of_an_empty_fifo_begins_at_what_was_taken_last)
{
	ck_assert_int_eq(fifo_init(&fifo, &mono, 100), 0);
	put_level(8000, 10);
	fifo_take(&fifo, 10);
	fifo_fade_out(&fifo, 20);
	ck_assert_uint_eq(fifo_frames(&fifo), 20);
	ck_assert_int_gt(sample(0), 7000);
	ck_assert_int_lt(sample(19), 800);
}

TEST(fade_out_fits_a_full_fifo)
{
	ck_assert_int_eq(fifo_init(&fifo, &mono, 10), 0);
	put_level(8000, 10);
	fifo_fade_out(&fifo, 20);
	ck_assert_uint_eq(fifo_frames(&fifo), 10);
	ck_assert_int_eq(sample(9), 8000);
}

TEST(fade_in_rises_from_silence_and_is_no_longer_than_asked)
{
	ck_assert_int_eq(fifo_init(&fifo, &mono, 100), 0);
	put_level(8000, 100);
	fifo_fade_in(&fifo, 40);
	ck_assert_int_lt(sample(0), 400);
	for (size_t i = 1; i < 40; i++)
		ck_assert_int_ge(sample(i), sample(i - 1));
	ck_assert_int_eq(sample(40), 8000);
	fifo_take(&fifo, 90);
	fifo_fade_in(&fifo, 40);
	ck_assert_int_lt(sample(0), 800);
}

TEST(quietest_place_is_the_pause_between_words)
{
	double power;
	size_t at;

	ck_assert_int_eq(fifo_init(&fifo, &mono, 10000), 0);
	put_level(9000, 3000);
	put_level(10, 1000);
	put_level(5000, 3000);
	at = fifo_quietest(&fifo, 800, &power);
	ck_assert_uint_ge(at, 3000);
	ck_assert_uint_le(at, 3200);
	ck_assert_double_lt(power, 1e-5);
	at = fifo_quietest(&fifo, 2000, &power);
	ck_assert_uint_ge(at, 2980);
	ck_assert_double_gt(power, 1e-5);
}

TEST(long_pause_is_found_too)
{
	double power;
	size_t at;

	ck_assert_int_eq(fifo_init(&fifo, &mono, 20000), 0);
	put_level(9000, 7001);
	put_level(10, 4000);
	put_level(5000, 6000);
	at = fifo_quietest(&fifo, 3001, &power);
	ck_assert_uint_ge(at, 7001);
	ck_assert_uint_le(at, 8000);
	ck_assert_double_lt(power, 1e-5);
}

TEST(quietest_place_of_all_frames_is_all_of_them)
{
	double power;

	ck_assert_int_eq(fifo_init(&fifo, &mono, 100), 0);
	put_level(9000, 70);
	ck_assert_uint_eq(fifo_quietest(&fifo, 70, &power), 0);
	ck_assert_uint_eq(fifo_quietest(&fifo, 0, &power), 0);
}

TEST(cut_removes_what_was_asked_and_softens_the_seam)
{
	ck_assert_int_eq(fifo_init(&fifo, &mono, 1000), 0);
	put_level(8000, 300);
	put_level(1, 100);
	put_level(-8000, 300);
	fifo_cut(&fifo, 300, 100, 50);
	ck_assert_uint_eq(fifo_frames(&fifo), 600);
	ck_assert_int_eq(sample(249), 8000);
	ck_assert_int_eq(sample(350), -8000);
	for (size_t i = 250; i < 350; i++)
		ck_assert_int_le(abs(sample(i) - sample(i - 1)), 400);
}

TEST(cut_at_either_end_has_no_seam_there)
{
	ck_assert_int_eq(fifo_init(&fifo, &mono, 1000), 0);
	put_level(8000, 300);
	fifo_cut(&fifo, 0, 100, 50);
	ck_assert_int_lt(sample(0), 400);
	fifo_cut(&fifo, 100, 100, 50);
	ck_assert_uint_eq(fifo_frames(&fifo), 100);
	ck_assert_int_lt(sample(99), 400);
	fifo_cut(&fifo, 0, 100, 50);
	ck_assert_uint_eq(fifo_frames(&fifo), 0);
}

/* --- frames that were taken --- */

TEST(what_was_taken_last_is_put_back_whatever_happens_between)
{
	uint32_t next_in = 0, next_out = 0;
	size_t kept = 0;

	ck_assert_int_eq(fifo_init(&fifo, &stereo, 100 + 30), 0);
	fifo_keep(&fifo, 30);
	ck_assert_uint_eq(fifo_untake(&fifo, 1), 0);
	for (uint32_t round = 0; round < 1000; round++) {
		size_t frames, back;

		for (unsigned i = 0; i < 1 + round % 40; i++, next_in++)
			put(&next_in, sizeof(next_in));
		frames = fifo_frames(&fifo) * (round % 4) / 3;
		for (size_t i = 0; i < frames; i++)
			ck_assert_uint_eq(
			    ((const uint32_t *)fifo_data(&fifo))[i],
			    next_out++);
		fifo_take(&fifo, frames);
		kept = MIN(kept + frames, (size_t)30);
		back = fifo_untake(&fifo, round % 50);
		ck_assert_uint_eq(back, MIN(kept, (size_t)(round % 50)));
		kept -= back;
		next_out -= (uint32_t)back;
		if (fifo_frames(&fifo) > 10) {
			kept = MIN(kept + fifo_frames(&fifo), (size_t)30);
			fifo_take(&fifo, fifo_frames(&fifo));
			next_out = next_in;
		}
	}
}

TEST(what_comes_before_a_gap_is_not_put_back)
{
	ck_assert_int_eq(fifo_init(&fifo, &mono, 100), 0);
	fifo_keep(&fifo, 10);
	put_level(1, 20);
	fifo_take(&fifo, 5);
	fifo_drop(&fifo, 0);
	ck_assert_uint_eq(fifo_untake(&fifo, 2), 2);
	fifo_drop(&fifo, 3);
	ck_assert_uint_eq(fifo_untake(&fifo, 2), 0);
	ck_assert_uint_eq(fifo_frames(&fifo), 14);
}

TEST(fade_away_leaves_the_oldest_frames)
{
	ck_assert_int_eq(fifo_init(&fifo, &mono, 100), 0);
	put_level(10000, 20);
	put_level(5, 20);
	put("x", 1);
	fifo_fade_away(&fifo, 10);
	ck_assert_uint_eq(fifo_frames(&fifo), 10);
	for (size_t i = 1; i < 10; i++)
		ck_assert_int_lt(sample(i), sample(i - 1));
	ck_assert_int_ge(sample(9), 0);
	ck_assert_int_le(sample(0), 10000);
	fifo_fade_away(&fifo, 20);
	ck_assert_uint_eq(fifo_frames(&fifo), 10);
	fifo_fade_away(&fifo, 0);
	ck_assert_uint_eq(fifo_frames(&fifo), 0);
}

/* --- growth --- */

TEST(it_grows_by_need_up_to_a_limit)
{
	enum { MOST = 100000 };
	uint32_t next_in = 0;
	size_t room = 0;

	ck_assert_int_eq(fifo_init(&fifo, &stereo, 100), 0);
	fifo_keep(&fifo, 10);
	fifo_let_grow(&fifo, MOST);
	ck_assert_uint_eq(fifo.capacity, 400);
	while (fifo_space(&fifo, &room), room >= 4) {
		uint32_t *space = fifo_space(&fifo, &room);

		for (size_t i = 0; i < room / 4; i++)
			space[i] = next_in++;
		fifo_put(&fifo, room / 4 * 4);
	}
	ck_assert_uint_eq(next_in, MOST);
	ck_assert_uint_eq(fifo_frames(&fifo), MOST);
	/* At the limit the place of what was taken is used again, once that is
	 * worth a move of the rest. */
	fifo_take(&fifo, 20000);
	fifo_space(&fifo, &room);
	ck_assert_uint_eq(room, 0);
	fifo_take(&fifo, 20000);
	fifo_space(&fifo, &room);
	ck_assert_uint_eq(room, 39990 * 4);
	for (uint32_t i = 0; i < MOST - 40000; i++)
		ck_assert_uint_eq(((const uint32_t *)fifo_data(&fifo))[i],
				  i + 40000);
	fifo_keep(&fifo, 0);
	ck_assert_uint_eq(fifo_untake(&fifo, 1), 0);
	fifo_free(&fifo);
	ck_assert_uint_eq(fifo.capacity, 0);
}

TEST(silence_of_every_format_ends_a_fade)
{
	static const struct wav_format formats[] = {
	    {WAV_PCM, 8, 1, 8000},    {WAV_PCM, 16, 1, 8000},
	    {WAV_PCM, 24, 2, 8000},   {WAV_PCM, 32, 2, 8000},
	    {WAV_FLOAT, 32, 2, 8000}, {WAV_ALAW, 8, 1, 8000},
	    {WAV_MULAW, 8, 1, 8000},  {WAV_PCM, 32, 32, 384000},
	};

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		uint8_t silence[WAV_FRAME_SIZE_MAX];
		size_t frame_size = wav_frame_size(&formats[i]);

		ck_assert_int_eq(fifo_init(&fifo, &formats[i], 50), 0);
		memset(silence, wav_silence(&formats[i]), sizeof(silence));
		put(silence, frame_size);
		fifo_fade_out(&fifo, 40);
		ck_assert_uint_eq(fifo_frames(&fifo), 41);
		for (size_t n = 0; n < 41; n++)
			ck_assert_mem_eq((const uint8_t *)fifo_data(&fifo) +
					     n * frame_size,
					 silence, frame_size);
		fifo_free(&fifo);
	}
}
