/* SPDX-License-Identifier: MIT
 * The microphone of the virtual card as a source. */
#include "audio/microphone.h"

#include <math.h>

#include "base/wallclock.h"
#include "card.h"
#include "folder.h"
#include "source-reader.h"
#include "test.h"

enum { CHUNK = 256, FRAMES = 1 << 20 };

static const struct microphone_config config = {
    .device = "card",
    .format = {WAV_PCM, 16, 2, 48000},
    .period_frames = CHUNK,
};
static struct source *source;
static uint8_t heard[1 << 16];

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	card_setup(FRAMES);
}

static void teardown(void)
{
	source = source_free(source);
	card_teardown();
}

FIXTURE(setup, teardown);

/* The next message after SOURCE_PREPARED (answered at once), with its samples
 * in "heard". 0 at the end. */
static int next_chunk(struct source_message *message)
{
	size_t have = 0;
	int r = next_message(source, message);

	while (r == 1 && message->type == SOURCE_SAMPLES &&
	       have < message->u.samples.size)
		have +=
		    next_samples(source, heard + have, sizeof(heard) - have);
	return r;
}

static void start_after(int chime_fd, const struct microphone_config *wish,
			struct source_message *first)
{
	ck_assert_int_eq(microphone_start(&source, wish, chime_fd), 0);
	ck_assert_int_eq(next_chunk(first), 1);
}

static void start(const struct microphone_config *wish,
		  struct source_message *first)
{
	start_after(-1, wish, first);
}

/* COUNT chunks: each comes once, whole and in order. */
static void check_chunks(int count)
{
	struct source_message message;
	uint32_t expected = 0, size;

	for (int i = 0; i < count; i++) {
		const uint32_t *frames = (const uint32_t *)(void *)heard;

		ck_assert_int_eq(next_chunk(&message), 1);
		if (message.type == SOURCE_GAP) { /* the machine was busy */
			expected += (uint32_t)message.u.gap.frames;
			continue;
		}
		ck_assert_int_eq(message.type, SOURCE_SAMPLES);
		/* A gap cuts the chunk before it. */
		size = message.u.samples.size / 4;
		ck_assert_uint_le(size, CHUNK);
		ck_assert_uint_eq(frames[0], expected);
		ck_assert_uint_eq(frames[size - 1], expected + size - 1);
		expected += size;
	}
}

TEST(every_chunk_comes_once_and_in_order)
{
	struct source_message message;

	start(&config, &message);
	ck_assert_int_eq(message.type, SOURCE_OPENED);
	ck_assert(wav_format_equal(&message.u.opened.format, &config.format));
	ck_assert_uint_eq(message.u.opened.period_frames, CHUNK);
	ck_assert_uint_eq(message.u.opened.size, WAV_ENDLESS);
	check_chunks(20);
}

/* Position in steps of USB's 1 ms and of a period; periods longer and shorter
 * than a chunk; a card that gives nothing for a second. */
TEST_LOOP(awkward_cards_give_every_chunk_once_and_in_order, 0, 6)
{
	static const char *const options[] = {
	    "patient 1 step 48",
	    "patient 1 step -1",
	    "patient 1 step -1 period_bytes_min 4096",
	    "patient 1 step -1 period_bytes_max 256",
	    "patient 1 period_bytes_max 256 buffer_bytes_max 2048",
	    "patient 1 start_delay 1000",
	};
	struct microphone_config wish = config;
	struct source_message message;

	card_add("awkward", options[_i]);
	wish.device = "awkward";
	start(&wish, &message);
	ck_assert_int_eq(message.type, SOURCE_OPENED);
	check_chunks(100);
	ck_assert_uint_eq(card_count("start"), 1);
}

TEST(an_overrun_is_a_gap_of_its_length)
{
	struct source_message message;
	const uint32_t *frames = (const uint32_t *)(void *)heard;
	uint64_t next = 0;
	int gaps = 0;

	start(&config, &message);
	ck_assert_int_eq(next_chunk(&message), 1);
	card_command("xrun");
	while (gaps == 0) {
		next = frames[0] + message.u.samples.size / 4;
		ck_assert_int_eq(next_chunk(&message), 1);
		if (message.type == SOURCE_GAP) {
			gaps++;
			next += message.u.gap.frames;
		}
	}
	ck_assert_int_eq(next_chunk(&message), 1);
	ck_assert_int_eq(message.type, SOURCE_SAMPLES);
	/* The gap is how far the card's clock went, to within a period. */
	ck_assert_uint_le(frames[0], next + CHUNK);
	ck_assert_uint_ge(frames[0] + CHUNK, next);
}

TEST(a_missing_card_is_named_with_a_reason)
{
	struct source_message message;

	card_command("unplugged");
	start(&config, &message);
	ck_assert_int_eq(message.type, SOURCE_ENDED);
	ck_assert_int_eq(message.u.ended.error, -ENODEV);
	ck_assert_ptr_nonnull(strstr(message.u.ended.reason, "'card'"));
	ck_assert_ptr_nonnull(strstr(message.u.ended.reason, strerror(ENODEV)));
	ck_assert_int_eq(next_chunk(&message), 0);
}

TEST(a_busy_card_is_named_with_a_reason)
{
	struct source_message message;

	card_command("busy");
	start(&config, &message);
	ck_assert_int_eq(message.type, SOURCE_BUSY);
	ck_assert_int_eq(message.u.ended.error, -EBUSY);
}

TEST(a_card_that_is_unplugged_ends_it)
{
	struct source_message message;

	start(&config, &message);
	ck_assert_int_eq(next_chunk(&message), 1);
	card_command("unplugged");
	do
		ck_assert_int_eq(next_chunk(&message), 1);
	while (message.type != SOURCE_ENDED);
	ck_assert_int_lt(message.u.ended.error, 0);
	ck_assert_ptr_nonnull(strstr(message.u.ended.reason, "'card'"));
}

TEST(a_card_that_stands_still_is_left)
{
	struct source_message message;

	start(&config, &message);
	ck_assert_int_eq(next_chunk(&message), 1);
	card_command("stalled");
	do
		ck_assert_int_eq(next_chunk(&message), 1);
	while (message.type != SOURCE_ENDED);
	ck_assert_int_lt(message.u.ended.error, 0);
}

TEST(stopping_closes_the_card)
{
	struct source_message message;

	start(&config, &message);
	source = source_free(source);
	/* The card is free again: like hardware, it can be opened only once. */
	start(&config, &message);
	ck_assert_int_eq(message.type, SOURCE_OPENED);
}

TEST(the_name_of_the_device_may_go_meanwhile)
{
	struct source_message message;
	struct microphone_config wish = config;
	char name[] = "card";

	wish.device = name;
	ck_assert_int_eq(microphone_start(&source, &wish, -1), 0);
	memset(name, 'x', sizeof(name) - 1);
	ck_assert_int_eq(next_chunk(&message), 1);
	ck_assert_int_eq(message.type, SOURCE_OPENED);
}

/* --- gain --- */

/* Reads until COUNT frames have come, which are those of the card from FROM on
 * times FACTOR. The left channel counts them. */
static void check_amplified(size_t count, uint32_t from, double factor)
{
	struct source_message message;

	while (count > 0) {
		const int16_t *samples = (const int16_t *)(void *)heard;
		size_t size;

		ck_assert_int_eq(next_chunk(&message), 1);
		if (message.type == SOURCE_GAP) { /* the machine was busy */
			from += (uint32_t)message.u.gap.frames;
			continue;
		}
		ck_assert_int_eq(message.type, SOURCE_SAMPLES);
		size = MIN(count, (size_t)message.u.samples.size / 4);
		for (size_t i = 0; i < size; i++, from++) {
			ck_assert_int_eq(samples[2 * i],
					 lrint((double)from * factor));
			ck_assert_int_eq(samples[2 * i + 1], 0);
		}
		count -= size;
	}
}

TEST(speech_becomes_quieter)
{
	struct microphone_config wish = config;
	struct source_message message;

	wish.gain_db = -20;
	start(&wish, &message);
	check_amplified(4000, 0, 0.1);
}

TEST(speech_becomes_louder)
{
	struct microphone_config wish = config;
	struct source_message message;

	wish.gain_db = 20;
	start(&wish, &message);
	check_amplified(2900, 0, 10); /* what the limiter lets through */
}

TEST(the_chime_stays_as_it_is)
{
	struct microphone_config wish = config;
	struct source_message message;
	uint8_t chime[300 * 4];
	size_t have = 0;

	memset(chime, 'x', sizeof(chime));
	wish.gain_db = 20;
	start_after(
	    memory_wav(&config.format, sizeof(chime), chime, sizeof(chime)),
	    &wish, &message);
	ck_assert_int_eq(message.type, SOURCE_OPENED);
	while (have < sizeof(chime)) {
		ck_assert_int_eq(next_chunk(&message), 1);
		if (message.type != SOURCE_SAMPLES)
			continue;
		ck_assert_mem_eq(
		    heard, chime,
		    MIN(sizeof(chime) - have, (size_t)message.u.samples.size));
		have += message.u.samples.size;
	}
	ck_assert_uint_eq(have, sizeof(chime)); /* the rest is held back */
	check_amplified(1000, 300, 10);
}

static uint64_t frames_of(const struct source_message *message)
{
	return message->type == SOURCE_GAP ? message->u.gap.frames
					   : message->u.samples.size / 4;
}

/* A chime as well: else its frames would come sooner than said, or the others
 * later. */
TEST(what_a_limiter_holds_back_is_said)
{
	struct microphone_config wish = config;
	struct source_message message;
	uint8_t chime[2000 * 4] = {0};
	int64_t start_ns, due;
	uint64_t frames = 0, held;

	wish.gain_db = 20;
	wish.clock = MICROPHONE_MONOTONIC;
	start_after(
	    memory_wav(&config.format, sizeof(chime), chime, sizeof(chime)),
	    &wish, &message);
	ck_assert_int_eq(message.type, SOURCE_OPENED);
	start_ns = message.u.opened.start_ns;
	held = message.u.opened.held_frames;
	ck_assert_uint_eq(held, 16 + 240);
	while (frames < 6000) {
		ck_assert_int_eq(next_chunk(&message), 1);
		frames += frames_of(&message);
		due = (wallclock_monotonic_ns() - start_ns) * 48 / 1000000;
		ck_assert_int_le((int64_t)(frames + held), due + 48);
	}
}

/* In 3 s a fast card gives 230 frames too many; nor must an overrun show. */
TEST_LOOP(retimed_frames_do_not_come_before_their_time, 0, 2)
{
	struct microphone_config wish = config;
	struct source_message message;
	int64_t start_ns, due;
	uint64_t frames = 0;
	unsigned gaps = 0;

	card_add("fast", _i == 0 ? "drift 1500" : "drift 50");
	wish.device = "fast";
	wish.clock = MICROPHONE_MONOTONIC;
	start(&wish, &message);
	start_ns = message.u.opened.start_ns;
	for (int i = 0; i < 600; i++) {
		if (_i == 1 && i == 200)
			card_command("xrun");
		ck_assert_int_eq(next_chunk(&message), 1);
		frames += frames_of(&message);
		gaps += message.type == SOURCE_GAP;
		due = (wallclock_monotonic_ns() - start_ns) * 48 / 1000000;
		ck_assert_int_le((int64_t)frames, due + 48);
	}
	ck_assert_uint_ge(gaps, (unsigned)_i);
}
