/* SPDX-License-Identifier: MIT
 * The loudspeaker on the virtual card. Either the card's clock is stopped and
 * the test chooses the time, or the card plays and the test waits as a client
 * does. */
#include "client/speaker.h"

#include <poll.h>

#include "base/log.h"
#include "capture.h"
#include "card.h"
#include "test.h"

enum {
	RATE = 48000,
	MS = RATE / 1000, /* frames */
	FADE = 5 * MS,
	TARGET = 100 * MS,
	LOUD = 12000,
	FRAMES = 4 * RATE,
	PATIENCE_USEC = 30 * 1000000,
};

static const struct wav_format cd48 = {WAV_PCM, 16, 2, RATE};
static const struct wav_format mono = {WAV_PCM, 16, 1, RATE};
static struct speaker_config config;
static struct speaker speaker;
static uint64_t now, put_bytes;
static uint32_t numbers[FRAMES], played[2 * FRAMES];

static void setup(void)
{
	log_set_level(LOG_EMERG);
	card_setup(0);
	for (uint32_t i = 0; i < FRAMES; i++)
		numbers[i] = i + 1;
	config =
	    (struct speaker_config){.device = "patient", .latency_ms = 100};
	speaker_init(&speaker, &config);
	now = now_usec();
	put_bytes = 0;
}

static void teardown(void)
{
	speaker_close(&speaker);
	card_teardown();
}

FIXTURE(setup, teardown);

/* --- a client --- */

static void configure(const struct speaker_config *wanted)
{
	speaker_close(&speaker);
	speaker_init(&speaker, wanted);
}

static void use(const char *options, uint32_t latency_ms)
{
	card_add("awkward", options);
	config.device = "awkward";
	config.latency_ms = latency_ms;
	configure(&config);
}

static void begin(const struct wav_format *format, enum speaker_begin how)
{
	put_bytes = 0;
	ck_assert_int_eq(speaker_begin(&speaker, format, how, now), 0);
	ck_assert_int_eq(speaker.state, SPEAKER_WAITING);
}

/* Puts as many bytes as there is room for; returns how many. */
static size_t put(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	size_t done = 0, space;

	while (done < size) {
		void *to = speaker_space(&speaker, &space);

		if (space == 0)
			break;
		if (space > size - done)
			space = size - done;
		memcpy(to, bytes + done, space);
		speaker_put(&speaker, space);
		done += space;
	}
	put_bytes += done;
	speaker_arrived(&speaker, now, put_bytes);
	return done;
}

static void put_all(const void *data, size_t size)
{
	ck_assert_uint_eq(put(data, size), size);
}

static void put_constant(int16_t value, size_t frames)
{
	static int16_t samples[2 * FRAMES];

	for (size_t i = 0; i < 2 * frames; i++)
		samples[i] = value;
	put_all(samples, frames * 4);
}

/* One pass of a client's loop; QUEUED bytes wait in the kernel. */
static void turn(size_t queued)
{
	speaker_look(&speaker, now, queued);
	speaker_step(&speaker, now);
}

static void turn_at(uint64_t then, size_t queued)
{
	now = then;
	turn(queued);
}

/* Runs until STATE, by the real clock. */
static void run_until(enum speaker_state state)
{
	const uint64_t limit = now_usec() + PATIENCE_USEC;

	for (;;) {
		uint64_t deadline;

		turn_at(now_usec(), 0);
		if (speaker.state == state)
			return;
		ck_assert_msg(now < limit, "still '%s', not %d",
			      speaker_state_name(&speaker), state);
		deadline = speaker_deadline(&speaker, now);
		ck_assert_uint_ne(deadline, UINT64_MAX);
		if (deadline > now)
			(void)poll(NULL, 0, (int)((deadline - now) / 1000 + 1));
	}
}

/* Plays a page of the numbers 1 .. COUNT, which arrives at once. */
static void play_numbers(size_t count)
{
	begin(&cd48, SPEAKER_FRESH);
	put_all(numbers, count * 4);
	speaker_end(&speaker, SPEAKER_COMPLETE, now);
	speaker_allow(&speaker, now);
	run_until(SPEAKER_DONE);
}

/* Returns at which frame the card played the numbers; there must be only
 * silence before and after them. */
static size_t find_numbers(size_t count)
{
	const size_t total = card_played(played, sizeof(played)) / 4;
	size_t first = 0, end;

	while (first < total && played[first] == 0)
		first++;
	ck_assert_uint_le(first + count, total);
	ck_assert_mem_eq(&played[first], numbers, count * 4);
	for (end = first + count; end < total; end++)
		if (played[end] != 0)
			break;
	ck_assert_uint_eq(end, total);
	return first;
}

/* The left sample of a frame that was played. */
static int left(size_t frame)
{
	int16_t sample;

	memcpy(&sample, &played[frame], sizeof(sample));
	return sample;
}

/* --- before it sounds --- */

TEST(idle_speaker_wants_nothing)
{
	turn(0);
	speaker_allow(&speaker, now);
	speaker_end(&speaker, SPEAKER_TAKEN_OVER, now);
	ck_assert_int_eq(speaker.state, SPEAKER_IDLE);
	ck_assert_uint_eq(speaker_deadline(&speaker, now), UINT64_MAX);
	ck_assert_double_eq(speaker_fill_ms(&speaker), 0);
	ck_assert_double_eq(speaker_behind_ms(&speaker), 0);
	ck_assert_double_eq(speaker_take_peak(&speaker), 0);
	ck_assert_str_eq(speaker_state_name(&speaker), "idle");
	ck_assert_uint_eq(card_count("open"), 0);
}

TEST(page_is_collected_until_it_is_allowed)
{
	size_t space;

	begin(&cd48, SPEAKER_FRESH);
	speaker_space(&speaker, &space);
	ck_assert_uint_ge(space, TARGET * 4);
	put_all(numbers, TARGET * 4);
	turn_at(now + 10 * USEC_PER_SEC, 1);
	ck_assert_int_eq(speaker.state, SPEAKER_WAITING);
	ck_assert_uint_eq(speaker_deadline(&speaker, now), UINT64_MAX);
	ck_assert_str_eq(speaker_state_name(&speaker), "waiting for the hook");
	ck_assert_double_eq(speaker_fill_ms(&speaker), 100);
	ck_assert_uint_eq(card_count("open"), 0);
	speaker_allow(&speaker, now);
	ck_assert_uint_eq(card_count("open"), 1);
}

/* However long the latency and large the frames, the FIFO holds them. */
TEST(room_is_for_more_than_the_latency)
{
	static const struct wav_format widest = {
	    WAV_FLOAT, 32, WAV_CHANNELS_MAX, WAV_RATE_MAX};
	const struct speaker_config longest = {
	    .device = "patient", .latency_ms = 5000, .delay_ms = 1000};
	size_t space;

	configure(&longest);
	begin(&widest, SPEAKER_FRESH);
	speaker_space(&speaker, &space);
	ck_assert_uint_ge(space / WAV_FRAME_SIZE_MAX, 6 * WAV_RATE_MAX);
}

TEST(live_page_waits_for_its_latency)
{
	card_command("stalled");
	begin(&cd48, SPEAKER_FRESH);
	speaker_allow(&speaker, now);
	ck_assert_int_eq(speaker.state, SPEAKER_FILLING);
	turn(0);
	put_all(numbers, TARGET * 4 - 4);
	turn_at(now + 99999, 0);
	ck_assert_int_eq(speaker.state, SPEAKER_FILLING);
	/* One frame is missing; then the first has not waited enough. */
	ck_assert_uint_eq(speaker_deadline(&speaker, now), now + 1);
	turn_at(now + 1, 0);
	ck_assert_int_eq(speaker.state, SPEAKER_FILLING);
	put_all(numbers, 4);
	turn(0);
	ck_assert_int_eq(speaker.state, SPEAKER_PLAYING);
	ck_assert_double_eq(speaker_fill_ms(&speaker), 100);
}

TEST(delay_is_added_to_the_latency)
{
	const struct speaker_config later = {
	    .device = "patient", .latency_ms = 100, .delay_ms = 50};

	configure(&later);
	card_command("stalled");
	begin(&cd48, SPEAKER_FRESH);
	put_all(numbers, 150 * MS * 4);
	speaker_allow(&speaker, now);
	turn_at(now + 149999, 0);
	ck_assert_int_eq(speaker.state, SPEAKER_FILLING);
	turn_at(now + 1, 0);
	ck_assert_int_eq(speaker.state, SPEAKER_PLAYING);
}

TEST(no_latency_at_all_is_one_frame)
{
	const struct speaker_config none = {.device = "patient"};

	configure(&none);
	card_command("stalled");
	begin(&cd48, SPEAKER_FRESH);
	speaker_allow(&speaker, now);
	turn(0);
	ck_assert_int_eq(speaker.state, SPEAKER_FILLING);
	put_all(numbers, 4);
	turn_at(now + 1000, 0);
	ck_assert_int_eq(speaker.state, SPEAKER_PLAYING);
}

/* --- it sounds --- */

TEST(page_sounds_bit_by_bit)
{
	const size_t count = 300 * MS + 7;

	play_numbers(count);
	ck_assert_uint_eq(find_numbers(count), 0);
	ck_assert_uint_eq(speaker.stats.written_frames, count);
	ck_assert_uint_eq(speaker.stats.dropped_frames, 0);
	ck_assert_uint_eq(speaker.stats.xruns, 0);
	ck_assert_uint_eq(speaker.stats.starvations, 0);
	ck_assert_uint_eq(speaker.stats.card_losses, 0);
	ck_assert_uint_gt(speaker.stats.written_frames, 0);
	ck_assert_double_gt(speaker_behind_ms(&speaker), 0);
	ck_assert_str_eq(speaker_state_name(&speaker), "done");
	speaker_finish(&speaker);
	ck_assert_int_eq(speaker.state, SPEAKER_IDLE);
	ck_assert_uint_eq(card_count("close"), 1);
}

TEST_LOOP(short_pages_sound, 0, 5)
{
	static const size_t counts[] = {1, 2, FADE, TARGET - 1, TARGET + 1};

	play_numbers(counts[_i]);
	find_numbers(counts[_i]);
	ck_assert_uint_gt(speaker.stats.written_frames, 0);
}

TEST(page_without_a_frame_is_done_at_once)
{
	begin(&cd48, SPEAKER_FRESH);
	speaker_allow(&speaker, now);
	put_all(numbers, 3); /* a torn one is none */
	speaker_end(&speaker, SPEAKER_COMPLETE, now);
	turn(0);
	ck_assert_int_eq(speaker.state, SPEAKER_DONE);
	ck_assert_uint_eq(speaker_deadline(&speaker, now), now);
	ck_assert_uint_eq(speaker.stats.written_frames, 0);
	ck_assert_uint_eq(card_count("start"), 0);
}

TEST(frames_may_come_in_pieces)
{
	const uint8_t *bytes = (const uint8_t *)numbers;
	const size_t size = 50 * MS * 4;

	begin(&cd48, SPEAKER_FRESH);
	for (size_t done = 0, n; done < size; done += n) {
		n = done % 11 + 1;
		if (n > size - done)
			n = size - done;
		put_all(bytes + done, n);
	}
	speaker_allow(&speaker, now);
	speaker_end(&speaker, SPEAKER_COMPLETE, now);
	run_until(SPEAKER_DONE);
	find_numbers(50 * MS);
}

TEST(silence_goes_before_a_page)
{
	config.lead_in_ms = 250;
	configure(&config);
	play_numbers(50 * MS);
	ck_assert_uint_eq(find_numbers(50 * MS), 250 * MS);
	ck_assert_uint_eq(speaker.stats.written_frames, 50 * MS);
}

TEST(page_that_breaks_off_is_faded)
{
	size_t total;

	begin(&cd48, SPEAKER_FRESH);
	put_constant(LOUD, 50 * MS);
	put_all(numbers, 3); /* a torn frame */
	speaker_end(&speaker, SPEAKER_BROKEN_OFF, now);
	/* A second call changes nothing. */
	speaker_end(&speaker, SPEAKER_TAKEN_OVER, now);
	speaker_allow(&speaker, now);
	run_until(SPEAKER_DONE);
	total = card_played(played, sizeof(played)) / 4;
	ck_assert_uint_ge(total, 50 * MS + FADE);
	for (size_t i = 0; i < 50 * MS; i++)
		if (left(i) != LOUD)
			ck_abort_msg("frame %zu is %d", i, left(i));
	for (size_t i = 50 * MS; i < total; i++)
		if (left(i) > left(i - 1) || left(i) < 0 ||
		    left(i - 1) - left(i) > 2 * LOUD / FADE)
			ck_abort_msg("%d comes after %d", left(i), left(i - 1));
	ck_assert_int_eq(left(total - 1), 0);
}

TEST(page_that_is_joined_is_faded_in)
{
	begin(&cd48, SPEAKER_RESUMED);
	put_constant(LOUD, 50 * MS);
	speaker_end(&speaker, SPEAKER_COMPLETE, now);
	speaker_allow(&speaker, now);
	run_until(SPEAKER_DONE);
	ck_assert_uint_ge(card_played(played, sizeof(played)) / 4, 50 * MS);
	ck_assert_int_lt(left(0), 2 * LOUD / FADE);
	for (size_t i = 1; i < FADE; i++)
		if (left(i) < left(i - 1) ||
		    left(i) - left(i - 1) > 2 * LOUD / FADE)
			ck_abort_msg("%d comes after %d", left(i), left(i - 1));
	for (size_t i = FADE; i < 50 * MS; i++)
		if (left(i) != LOUD)
			ck_abort_msg("frame %zu is %d", i, left(i));
}

/* Too much of it is behind the ring to be taken back. */
TEST(page_that_is_taken_over_ends_with_its_ring)
{
	const size_t ring = TARGET + 250 * MS; /* as requested */
	uint64_t written;

	use("patient 1 delay 200", 100);
	begin(&cd48, SPEAKER_FRESH);
	put_all(numbers, 2 * RATE * 4);
	speaker_allow(&speaker, now);
	run_until(SPEAKER_PLAYING);
	turn_at(now_usec(), 1);
	ck_assert_int_eq(speaker.state, SPEAKER_PLAYING);
	written = speaker.stats.written_frames;
	ck_assert_uint_ge(written, ring);
	ck_assert_uint_lt(written, 2 * RATE);
	speaker_end(&speaker, SPEAKER_TAKEN_OVER, now);
	run_until(SPEAKER_DONE);
	/* The fade is written too. */
	ck_assert_uint_eq(speaker.stats.written_frames, written + FADE);
	card_played(played, sizeof(played));
	ck_assert_mem_eq(played, numbers, written * 4);
}

TEST_LOOP(page_that_is_taken_over_unheard_is_done, 0, 2)
{
	if (_i)
		card_command("unplugged");
	begin(&cd48, SPEAKER_FRESH);
	put_all(numbers, RATE * 4);
	if (_i)
		speaker_allow(&speaker, now);
	ck_assert_int_eq(speaker.state, _i ? SPEAKER_OPENING : SPEAKER_WAITING);
	speaker_end(&speaker, SPEAKER_TAKEN_OVER, now);
	ck_assert_int_eq(speaker.state, SPEAKER_DONE);
	ck_assert_uint_eq(speaker.stats.written_frames, 0);
	ck_assert_uint_eq(card_count("start"), 0);
}

TEST_LOOP(peak_is_of_what_was_written_since, 0, 2)
{
	config.meter = _i;
	configure(&config);
	card_command("stalled");
	begin(&cd48, SPEAKER_FRESH);
	put_constant(-16384, 10 * MS);
	speaker_end(&speaker, SPEAKER_COMPLETE, now);
	speaker_allow(&speaker, now);
	ck_assert_double_eq(speaker_take_peak(&speaker), 0);
	turn(0);
	ck_assert_double_eq_tol(speaker_take_peak(&speaker), _i ? 0.5 : 0,
				1e-4);
	ck_assert_double_eq(speaker_take_peak(&speaker), 0);
}

TEST(peak_of_a_page_is_not_that_of_the_next)
{
	config.meter = true;
	configure(&config);
	play_numbers(10 * MS);
	speaker_finish(&speaker);
	begin(&cd48, SPEAKER_FRESH);
	ck_assert_double_eq(speaker_take_peak(&speaker), 0);
}

/* --- one page after the other --- */

TEST_LOOP(card_is_closed_between_pages_unless_held, 0, 2)
{
	config.hold = _i;
	configure(&config);
	for (unsigned i = 1; i <= 3; i++) {
		play_numbers(10 * MS);
		ck_assert_uint_eq(speaker.stats.written_frames, 10 * MS);
		speaker_finish(&speaker);
		ck_assert_uint_eq(card_count("close"), _i ? 0 : i);
	}
	ck_assert_uint_eq(card_count("open"), _i ? 1 : 3);
	/* Another format needs the card to be opened again. */
	begin(&mono, SPEAKER_FRESH);
	speaker_allow(&speaker, now);
	ck_assert_uint_eq(card_count("open"), _i ? 2 : 4);
	ck_assert_uint_eq(card_count("close"), _i ? 1 : 3);
}

TEST(held_card_that_went_is_taken_again)
{
	config.hold = true;
	configure(&config);
	play_numbers(10 * MS);
	speaker_finish(&speaker);
	card_command("unplugged");
	begin(&cd48, SPEAKER_FRESH);
	put_all(numbers, TARGET * 4);
	speaker_allow(&speaker, now);
	run_until(SPEAKER_OPENING);
	ck_assert_uint_eq(speaker.stats.card_losses, 1);
	ck_assert_uint_eq(speaker.stats.dropped_frames, 0);
	card_revoke("unplugged");
	run_until(SPEAKER_PLAYING);
	speaker_end(&speaker, SPEAKER_COMPLETE, now_usec());
	run_until(SPEAKER_DONE);
	ck_assert_uint_eq(speaker.stats.written_frames, TARGET);
	ck_assert_uint_eq(card_count("open"), 2);
}

TEST(closing_silences_at_once)
{
	begin(&cd48, SPEAKER_FRESH);
	put_all(numbers, 2 * RATE * 4);
	speaker_allow(&speaker, now);
	turn(1);
	ck_assert_int_eq(speaker.state, SPEAKER_PLAYING);
	speaker_close(&speaker);
	ck_assert_int_eq(speaker.state, SPEAKER_IDLE);
	ck_assert_uint_eq(card_count("close"), 1);
	speaker_close(&speaker);
	/* The speaker can be used again. */
	begin(&cd48, SPEAKER_FRESH);
	speaker_allow(&speaker, now);
	ck_assert_int_eq(speaker.state, SPEAKER_FILLING);
}

/* --- no card --- */

TEST(missing_card_is_told_of_once)
{
	char text[4096];
	struct capture capture;

	card_command("unplugged");
	log_set_level(LOG_NOTICE);
	capture = capture_begin(STDERR_FILENO);
	begin(&cd48, SPEAKER_FRESH);
	speaker_allow(&speaker, now);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(speaker.state, SPEAKER_OPENING);
		ck_assert_uint_le(speaker_deadline(&speaker, now),
				  now + 200000);
		turn_at(speaker_deadline(&speaker, now), 0);
	}
	capture_end(capture, text, sizeof(text));
	check_line(text, (const char *const[]){"'patient'", "No such device",
					       "trying again", NULL});
	ck_assert_str_eq(speaker_state_name(&speaker), "waiting for the card");
	/* The card arrives. */
	card_revoke("unplugged");
	capture = capture_begin(STDERR_FILENO);
	turn_at(speaker.retry_usec - 1, 0);
	ck_assert_int_eq(speaker.state, SPEAKER_OPENING);
	turn_at(speaker.retry_usec, 0);
	ck_assert_int_eq(speaker.state, SPEAKER_FILLING);
	capture_end(capture, text, sizeof(text));
	check_line(text, (const char *const[]){"'patient' is back", NULL});
}

TEST(stored_page_waits_five_seconds_for_a_card)
{
	card_command("unplugged");
	begin(&cd48, SPEAKER_FRESH);
	put_all(numbers, RATE * 4);
	speaker_allow(&speaker, now);
	now += USEC_PER_SEC;
	speaker_end(&speaker, SPEAKER_COMPLETE, now);
	turn_at(now + 5 * USEC_PER_SEC - 1, 0);
	ck_assert_int_eq(speaker.state, SPEAKER_OPENING);
	turn_at(now + 1, 0);
	ck_assert_int_eq(speaker.state, SPEAKER_DONE);
	ck_assert_uint_eq(speaker.stats.dropped_frames, RATE);
	ck_assert_uint_eq(speaker.stats.written_frames, 0);
}

/* MSEC of VALUE arrive at the pace of speech. */
static void speak(int16_t value, unsigned msec)
{
	for (unsigned i = 0; i < msec / 100; i++) {
		now += 100000;
		put_constant(value, 100 * MS);
		turn(1);
	}
}

TEST_LOOP(page_without_a_card_gives_way_unless_it_is_stored, 0, 2)
{
	const uint32_t frames = _i ? FRAMES : RATE / 10;

	card_command("busy");
	begin(&cd48, SPEAKER_FRESH);
	put(numbers, frames * 4);
	ck_assert_int_eq(speaker.latency.kind,
			 _i ? LATENCY_STORED : LATENCY_UNKNOWN);
	/* It may still be waiting for a hook. */
	speaker_give_way(&speaker, now);
	ck_assert_int_eq(speaker.state, SPEAKER_WAITING);
	speaker_allow(&speaker, now);
	speaker_give_way(&speaker, now); /* or come */
	ck_assert_int_eq(speaker.state, SPEAKER_OPENING);
	speaker_end(&speaker, SPEAKER_COMPLETE, now);
	speaker_give_way(&speaker, now);
	if (_i) {
		ck_assert_int_eq(speaker.state, SPEAKER_OPENING);
	} else {
		ck_assert_int_eq(speaker.state, SPEAKER_DONE);
		ck_assert_uint_eq(speaker.stats.dropped_frames, frames);
	}
	ck_assert_uint_eq(speaker.stats.written_frames, 0);
}

TEST(live_page_without_a_card_is_not_collected)
{
	const struct wav_format format = cd48;

	card_command("unplugged");
	begin(&format, SPEAKER_FRESH);
	speaker_allow(&speaker, now);
	speak(LOUD, 2500);
	ck_assert_int_eq(speaker.latency.kind, LATENCY_LIVE);
	ck_assert_double_eq(speaker_fill_ms(&speaker), 100);
	ck_assert_uint_eq(speaker.stats.dropped_frames, 2400 * MS);
	speaker_end(&speaker, SPEAKER_COMPLETE, now);
	turn(0);
	ck_assert_int_eq(speaker.state, SPEAKER_DONE);
	ck_assert_uint_eq(speaker.stats.dropped_frames, 2500 * MS);
}

/* --- a card that fails --- */

/* Plays a stored page until the ring is full and the rest is in the FIFO. */
static void play_on_a_stopped_clock(void)
{
	card_command("stalled");
	begin(&cd48, SPEAKER_FRESH);
	put_all(numbers, RATE * 4);
	speaker_allow(&speaker, now);
	turn(1);
	ck_assert_int_eq(speaker.state, SPEAKER_PLAYING);
	ck_assert_uint_gt(speaker.stats.written_frames, TARGET);
	ck_assert_uint_gt(fifo_frames(&speaker.fifo), 0);
}

TEST(card_without_progress_for_two_seconds_is_lost)
{
	uint64_t written;

	play_on_a_stopped_clock();
	written = speaker.stats.written_frames;
	turn_at(now + 2 * USEC_PER_SEC - 1, 1);
	ck_assert_int_eq(speaker.state, SPEAKER_PLAYING);
	turn_at(now + 1, 1);
	ck_assert_int_eq(speaker.state, SPEAKER_OPENING);
	ck_assert_uint_eq(speaker.stats.card_losses, 1);
	ck_assert_uint_eq(speaker.stats.dropped_frames, written);
	ck_assert_uint_eq(card_count("close"), 1);
}

TEST(unplugged_card_is_taken_again)
{
	uint64_t written, lost;

	play_on_a_stopped_clock();
	written = speaker.stats.written_frames;
	card_command("unplugged");
	turn(1);
	ck_assert_int_eq(speaker.state, SPEAKER_OPENING);
	ck_assert_uint_eq(speaker.stats.card_losses, 1);
	ck_assert_uint_eq(speaker.stats.dropped_frames, written);
	lost = fifo_frames(&speaker.fifo);
	card_revoke("unplugged");
	card_revoke("stalled");
	run_until(SPEAKER_PLAYING);
	speaker_end(&speaker, SPEAKER_COMPLETE, now_usec());
	run_until(SPEAKER_DONE);
	ck_assert_uint_eq(speaker.stats.written_frames, written + lost);
	ck_assert_uint_eq(written + lost, RATE);
	ck_assert_uint_eq(speaker.stats.card_losses, 1);
}

TEST(xrun_is_counted_and_the_page_goes_on)
{
	play_on_a_stopped_clock();
	card_command("xrun");
	turn(1);
	ck_assert_uint_eq(speaker.stats.xruns, 1);
	ck_assert_uint_eq(speaker.stats.starvations, 0);
	ck_assert_uint_eq(speaker.stats.card_losses, 0);
	ck_assert_int_eq(speaker.state, SPEAKER_PLAYING);
	ck_assert_uint_eq(card_count("start"), 2);
}

TEST(suspended_card_is_waited_for)
{
	uint64_t written;

	play_on_a_stopped_clock();
	written = speaker.stats.written_frames;
	card_command("asleep");
	card_command("suspend");
	turn(1);
	ck_assert_int_eq(speaker.state, SPEAKER_RECOVERING);
	ck_assert_str_eq(speaker_state_name(&speaker), "card resuming");
	ck_assert_uint_eq(speaker.stats.suspends, 1);
	ck_assert_uint_eq(speaker_deadline(&speaker, now), now + 50000);
	for (int i = 0; i < 10; i++)
		turn_at(speaker_deadline(&speaker, now), 1);
	ck_assert_int_eq(speaker.state, SPEAKER_RECOVERING);
	card_revoke("asleep");
	turn_at(speaker_deadline(&speaker, now), 1);
	ck_assert_int_eq(speaker.state, SPEAKER_FILLING);
	/* Only now it is known that the card has forgotten its ring. */
	ck_assert_uint_eq(speaker.stats.dropped_frames, written);
	turn(1);
	ck_assert_int_eq(speaker.state, SPEAKER_PLAYING);
	ck_assert_uint_eq(speaker.stats.suspends, 1);
	ck_assert_uint_eq(speaker.stats.card_losses, 0);
}

TEST(card_that_does_not_wake_up_is_lost)
{
	uint64_t suspended;

	play_on_a_stopped_clock();
	card_command("asleep");
	card_command("suspend");
	turn(1);
	suspended = now;
	turn_at(suspended + 5 * USEC_PER_SEC - 1, 1);
	ck_assert_int_eq(speaker.state, SPEAKER_RECOVERING);
	turn_at(suspended + 5 * USEC_PER_SEC + 49999, 1);
	ck_assert_int_eq(speaker.state, SPEAKER_OPENING);
	ck_assert_uint_eq(speaker.stats.card_losses, 1);
}

/* --- late, and too late --- */

TEST(page_that_stops_coming_starves_and_goes_on)
{
	const uint64_t began = now;

	begin(&cd48, SPEAKER_FRESH);
	speaker_allow(&speaker, now);
	put_constant(LOUD, TARGET);
	run_until(SPEAKER_PLAYING);
	run_until(SPEAKER_FILLING);
	ck_assert_uint_eq(speaker.stats.starvations, 1);
	ck_assert_uint_eq(speaker.stats.xruns, 0);
	now = now_usec();
	put_constant(LOUD, TARGET);
	run_until(SPEAKER_PLAYING);
	speaker_end(&speaker, SPEAKER_COMPLETE, now_usec());
	run_until(SPEAKER_DONE);
	ck_assert_uint_eq(speaker.stats.starvations, 1);
	ck_assert_uint_gt(speaker.stats.starved_usec, 0);
	ck_assert_uint_eq(speaker_heard_frames(&speaker), 2 * TARGET);
	ck_assert_uint_le(speaker.stats.starved_usec, now - began);
	ck_assert_uint_eq(speaker.stats.dropped_frames, 0);
}

TEST(latency_grows_by_what_a_gap_has_lasted)
{
	struct reserve reserve;

	reserve_init(&reserve, 100, 1000);
	speaker.reserve = &reserve;
	begin(&cd48, SPEAKER_FRESH);
	speaker_allow(&speaker, now);
	put_constant(LOUD, TARGET);
	run_until(SPEAKER_PLAYING);
	run_until(SPEAKER_FILLING);
	ck_assert_uint_eq(speaker.target_frames, TARGET);
	/* What piled up is played at once, though the target is not there. */
	put_constant(LOUD, 3 * TARGET / 2);
	turn_at(speaker.starved_since_usec + 200000, 1);
	ck_assert_int_eq(speaker.state, SPEAKER_PLAYING);
	ck_assert_uint_eq(reserve.now_ms, 345);
	ck_assert_uint_eq(speaker.target_frames, 345 * MS);
	ck_assert_uint_eq(speaker.stats.dropped_frames, 0);
	run_until(SPEAKER_FILLING);
	speaker_end(&speaker, SPEAKER_COMPLETE, now_usec());
	run_until(SPEAKER_DONE);
	ck_assert_uint_eq(reserve.now_ms, 345);
}

TEST(card_that_goes_while_a_page_starves_is_taken_again)
{
	const uint64_t began = now;

	begin(&cd48, SPEAKER_FRESH);
	speaker_allow(&speaker, now);
	put_constant(LOUD, TARGET);
	run_until(SPEAKER_PLAYING);
	run_until(SPEAKER_FILLING);
	card_command("unplugged");
	now = now_usec();
	put_constant(LOUD, TARGET);
	run_until(SPEAKER_OPENING);
	/* Since then the silence is the card's fault, not starvation. */
	ck_assert_uint_le(speaker.stats.starved_usec, now - began);
	ck_assert(!speaker.starving);
	ck_assert_uint_eq(speaker.stats.card_losses, 1);
	card_revoke("unplugged");
	run_until(SPEAKER_PLAYING);
	speaker_end(&speaker, SPEAKER_COMPLETE, now_usec());
	run_until(SPEAKER_DONE);
	ck_assert_uint_eq(speaker.stats.written_frames, 2 * TARGET);
	ck_assert_uint_eq(speaker.stats.starvations, 1);
}

TEST(page_that_ends_while_it_starves_is_done)
{
	begin(&cd48, SPEAKER_FRESH);
	speaker_allow(&speaker, now);
	put_constant(LOUD, TARGET);
	run_until(SPEAKER_PLAYING);
	run_until(SPEAKER_FILLING);
	speaker_end(&speaker, SPEAKER_BROKEN_OFF, now_usec());
	run_until(SPEAKER_DONE);
	ck_assert_uint_eq(speaker.stats.starvations, 1);
	ck_assert_uint_eq(speaker.stats.written_frames, TARGET);
}

/* Delayed speech arrives at once, so that what follows is late; runs until the
 * speaker notices the excess. */
static void be_late(int16_t value)
{
	card_command("stalled");
	begin(&cd48, SPEAKER_FRESH);
	speak(value, 2100);
	ck_assert_int_eq(speaker.latency.kind, LATENCY_LIVE);
	speaker_allow(&speaker, now);
	for (int i = 0; i < 50; i++) {
		now += 20000;
		put_constant(value, MS);
		turn(1);
		if (speaker.cut.excess_frames > 0)
			break;
	}
	/* While it had to wait, 500 ms beyond the latency were kept. */
	ck_assert_uint_gt(speaker.cut.excess_frames, 400 * MS);
	ck_assert_uint_le(speaker.cut.excess_frames, 510 * MS);
	ck_assert_uint_eq(speaker.stats.dropped_frames, 1500 * MS);
	/* Frames in the ring cannot be dropped, but later ones can. */
	put_constant(value, TARGET + 10 * MS);
}

static void check_caught_up(void)
{
	ck_assert_uint_gt(speaker.stats.dropped_frames, 1900 * MS);
	ck_assert_double_lt(speaker_fill_ms(&speaker), 400);
	ck_assert_double_ge(speaker_fill_ms(&speaker), 100);
}

/* Also behind the silence that is played for an amplifier. */
TEST(live_page_that_is_held_up_keeps_its_newest_frames)
{
	struct speaker_config slow = config;

	slow.lead_in_ms = 1200;
	configure(&slow);
	card_command("stalled");
	begin(&cd48, SPEAKER_FRESH);
	speaker_allow(&speaker, now);
	speak(LOUD, 600);
	ck_assert_int_eq(speaker.state, SPEAKER_PLAYING);
	ck_assert_uint_gt(speaker.silence_frames, 0);
	ck_assert_uint_eq(speaker.stats.written_frames, 0);
	ck_assert_uint_eq(speaker.stats.dropped_frames,
			  speaker.card.ring.fill_frames);
	speak(LOUD, 1000);
	ck_assert_uint_eq(speaker.stats.dropped_frames,
			  1000 * MS + speaker.card.ring.fill_frames);
}

TEST(late_page_catches_up_in_a_pause)
{
	be_late(0);
	turn(1);
	check_caught_up();
}

TEST(late_page_without_a_pause_catches_up_after_a_while)
{
	uint64_t noticed;

	be_late(LOUD);
	noticed = now;
	turn(1);
	turn_at(noticed + 499999, 1);
	ck_assert_uint_eq(speaker.stats.dropped_frames, 1500 * MS);
	turn_at(noticed + 500000, 1);
	check_caught_up();
}

TEST(stored_page_is_never_late)
{
	play_on_a_stopped_clock();
	for (int i = 0; i < 30; i++)
		turn_at(now + 50000, 1);
	ck_assert_uint_eq(speaker.stats.dropped_frames, 0);
}

/* --- recordings --- */

static void begin_recording(void)
{
	begin(&cd48, SPEAKER_FRESH);
	speaker_keep_all(&speaker, 2 * USEC_PER_SEC);
	ck_assert_int_eq(speaker.latency.kind, LATENCY_PLAYED);
}

/* Finds the numbers FIRST .. LAST in a row from frame AT on; returns where they
 * end. */
static size_t find_row(size_t at, uint32_t first, uint32_t last)
{
	const size_t total = card_played(played, sizeof(played)) / 4;

	while (at < total && played[at] != first)
		at++;
	ck_assert_msg(at + last - first < total, "%u is not there", first);
	ck_assert_mem_eq(&played[at], &numbers[first - 1],
			 (last - first + 1) * 4);
	return at + last - first + 1;
}

TEST(recording_waits_for_its_latency_like_a_live_page)
{
	card_command("stalled");
	begin_recording();
	put_all(numbers, RATE * 4);
	speaker_allow(&speaker, now);
	turn_at(now + 99999, 1);
	ck_assert_int_eq(speaker.state, SPEAKER_FILLING);
	turn_at(now + 1, 1);
	ck_assert_int_eq(speaker.state, SPEAKER_PLAYING);
}

TEST(recording_that_must_wait_is_kept)
{
	begin_recording();
	put_all(numbers, sizeof(numbers));
	turn_at(now + 5 * USEC_PER_SEC, 1);
	ck_assert_int_eq(speaker.latency.kind, LATENCY_PLAYED);
	ck_assert_uint_gt(speaker.fifo.capacity, sizeof(numbers));
	speaker_end(&speaker, SPEAKER_COMPLETE, now);
	speaker_allow(&speaker, now);
	run_until(SPEAKER_DONE);
	find_numbers(FRAMES);
	speaker_finish(&speaker);
	ck_assert_ptr_null(speaker.fifo.buffer);
}

TEST(recording_that_waits_for_too_long_is_told_of)
{
	static uint8_t second[RATE * 4];

	begin_recording();
	for (int i = 0; i < 31; i++)
		put_all(second, sizeof(second));
	ck_assert(!speaker_is_behind(&speaker));
	put_all(second, sizeof(second));
	ck_assert(speaker_is_behind(&speaker));
	speaker_end(&speaker, SPEAKER_STOPPED, now);
	ck_assert_int_eq(speaker.state, SPEAKER_DONE);
	ck_assert_uint_eq(speaker.stats.dropped_frames, 32 * RATE);
	speaker_finish(&speaker);
	begin(&cd48, SPEAKER_FRESH);
	ck_assert_uint_lt(speaker.fifo.capacity, 1 << 20);
}

/* Of the widest format, 64 MiB are less than 30 s. */
TEST(bytes_of_a_recording_are_limited_too)
{
	static const struct wav_format widest = {
	    WAV_FLOAT, 32, WAV_CHANNELS_MAX, WAV_RATE_MAX};
	static uint8_t bytes[1 << 20];

	begin(&widest, SPEAKER_FRESH);
	speaker_keep_all(&speaker, 0);
	for (int i = 0; i < 63; i++)
		put_all(bytes, sizeof(bytes));
	ck_assert(!speaker_is_behind(&speaker));
	put_all(bytes, sizeof(bytes));
	ck_assert(speaker_is_behind(&speaker));
}

TEST(recording_that_starves_loses_and_alters_nothing)
{
	const uint32_t count = RATE;
	size_t at;

	begin_recording();
	speaker_allow(&speaker, now);
	put_all(numbers, TARGET * 4);
	run_until(SPEAKER_PLAYING);
	run_until(SPEAKER_FILLING);
	ck_assert_uint_eq(speaker.stats.starvations, 1);
	now = now_usec();
	put_all(&numbers[TARGET], (count - TARGET) * 4);
	speaker_end(&speaker, SPEAKER_COMPLETE, now);
	run_until(SPEAKER_DONE);
	at = find_row(0, 1, TARGET);
	find_row(at, TARGET + 1, count);
	ck_assert_uint_eq(speaker_heard_frames(&speaker), count);
	ck_assert_uint_eq(speaker.stats.dropped_frames, 0);
}

/* What was in the ring of a card that goes is played by the one that comes. */
TEST_LOOP(recording_survives_its_card, 0, 4)
{
	static const char *const faults[] = {"unplugged", "suspend", "suspend",
					     "stalled"};
	size_t total, at = 0, back;

	if (_i == 2)
		use("patient 1 resume 1", 100);
	begin_recording();
	put_all(numbers, RATE * 4);
	speaker_end(&speaker, SPEAKER_COMPLETE, now);
	speaker_allow(&speaker, now);
	run_until(SPEAKER_PLAYING);
	for (int i = 0; i < 5; i++) {
		(void)poll(NULL, 0, 20);
		turn_at(now_usec(), 0);
	}
	card_command(faults[_i]);
	if (_i == 0 || _i == 3) {
		run_until(SPEAKER_OPENING);
		card_revoke(faults[_i]);
	}
	run_until(SPEAKER_DONE);
	ck_assert_uint_eq(speaker.stats.suspends, _i == 1 || _i == 2);
	ck_assert_uint_eq(speaker.stats.dropped_frames, 0);
	ck_assert_uint_eq(speaker.stats.card_losses, _i == 0 || _i == 3);
	total = card_played(played, sizeof(played)) / 4;
	/* A ramp has other numbers, and some come twice. */
	for (uint32_t n = 1; n <= RATE; n++) {
		for (back = at; at < total && played[at] != n; at++)
			;
		ck_assert_msg(at < total, "%u is not behind %zu", n, back);
	}
}

/* What is played again on another card is still the same part of the page, and
 * sounds at its own moment. */
TEST_LOOP(recording_on_schedule_keeps_its_place, 0, 2)
{
	static const char *const faults[] = {"unplugged", "suspend"};
	const struct wav_page page = {
	    .flags = WAV_PAGE_PLAYED | WAV_PAGE_SCHEDULE | WAV_PAGE_REAL_TIME,
	    .budget_us = 300 * 1000,
	    .ahead_us = 2000 * 1000,
	};

	begin(&cd48, SPEAKER_FRESH);
	ck_assert_int_eq(
	    speaker_schedule(&speaker, &page, now, 0, RENDEZVOUS_BELIEVED), 0);
	speaker_keep_all(&speaker, page.ahead_us);
	speaker_timed_arrival(&speaker, (int64_t)now * 1000, MS);
	put_all(numbers, RATE * 4);
	speaker_allow(&speaker, now);
	while (speaker.stats.written_frames < 50 * MS)
		run_until(SPEAKER_PLAYING);
	card_command(faults[_i]);
	if (_i == 0) {
		run_until(SPEAKER_OPENING);
		card_revoke(faults[_i]);
	} else {
		while (speaker.stats.suspends == 0)
			turn_at(now_usec(), 0);
	}
	speaker_end(&speaker, SPEAKER_COMPLETE, now);
	run_until(SPEAKER_DONE);
	ck_assert(speaker.instep.on);
	ck_assert_uint_eq(speaker.instep.next, RATE);
}

/* --- what is stopped --- */

/* How many frames but silence the card has played. */
static size_t count_sound(void)
{
	const size_t total = card_played(played, sizeof(played)) / 4;
	size_t count = 0;

	for (size_t i = 0; i < total; i++)
		count += played[i] != 0;
	return count;
}

/* Also one that gives way to another: recorded, stored, live or young. */
TEST_LOOP(page_that_is_stopped_is_silent_at_once, 0, 5)
{
	const size_t total = _i < 3 ? RATE : 2 * TARGET;

	card_command("stalled");
	begin(&cd48, SPEAKER_FRESH);
	if (_i == 1 || _i == 2)
		speaker_keep_all(&speaker, 2 * USEC_PER_SEC);
	if (_i == 3)
		speaker.latency.kind = LATENCY_LIVE;
	put_constant(LOUD, total);
	speaker_allow(&speaker, now);
	turn_at(now + 100000, 1);
	ck_assert_int_eq(speaker.state, SPEAKER_PLAYING);
	ck_assert_uint_ge(speaker.card.ring.fill_frames, TARGET);
	speaker_end(&speaker, _i >= 2 ? SPEAKER_TAKEN_OVER : SPEAKER_STOPPED,
		    now);
	/* All but 15 ms are out of the ring again. */
	turn(0);
	ck_assert_uint_eq(speaker.stats.written_frames, 15 * MS);
	ck_assert_uint_eq(speaker.stats.dropped_frames, total - 15 * MS);
	card_revoke("stalled");
	run_until(SPEAKER_DONE);
	ck_assert_uint_le(count_sound(), 15 * MS);
	ck_assert_uint_gt(count_sound(), 10 * MS);
	for (size_t i = 0; i < 10 * MS; i++)
		ck_assert_int_eq(left(i), LOUD);
	for (size_t i = 10 * MS; i < 15 * MS; i++)
		if (left(i) > left(i - 1) ||
		    left(i - 1) - left(i) > 2 * LOUD / FADE)
			ck_abort_msg("%d comes after %d", left(i), left(i - 1));
	ck_assert_uint_eq(speaker_heard_frames(&speaker), 15 * MS);
}

/* Too much is behind its ring, or it does not give that back. */
TEST_LOOP(card_that_gives_nothing_back_is_stopped, 0, 2)
{
	if (_i)
		use("patient 1 delay 200", 100);
	else
		use("patient 1 handed_on 1", 100);
	begin_recording();
	put_constant(LOUD, RATE);
	speaker_allow(&speaker, now);
	run_until(SPEAKER_PLAYING);
	turn_at(now_usec(), 1);
	speaker_end(&speaker, SPEAKER_STOPPED, now);
	ck_assert_int_eq(speaker.state, SPEAKER_DONE);
	ck_assert_uint_eq(card_count("close"), 1);
	ck_assert_int_ne(speaker_card(&speaker), RECEIPT_CARD_MISSING);
	ck_assert_uint_eq(speaker_heard_frames(&speaker) +
			      speaker.stats.dropped_frames,
			  RATE);
}

/* Another page waits for it, or it is not to be heard. */
TEST_LOOP(recording_that_is_over_does_not_come_back_with_its_card, 0, 2)
{
	begin_recording();
	put_constant(LOUD, RATE);
	speaker_allow(&speaker, now);
	run_until(SPEAKER_PLAYING);
	turn_at(now_usec(), 1);
	card_command("stalled");
	speaker_end(&speaker, _i ? SPEAKER_TAKEN_OVER : SPEAKER_STOPPED, now);
	turn_at(now_usec(), 0);
	card_command("unplugged");
	run_until(SPEAKER_DONE);
	ck_assert_uint_eq(speaker.stats.card_losses, 1);
	ck_assert_uint_eq(card_count("open"), 1);
}

TEST_LOOP(page_that_is_stopped_before_it_sounds_is_not_heard, 0, 4)
{
	if (_i == 1)
		card_command("unplugged");
	if (_i == 2)
		config.lead_in_ms = 1000;
	configure(&config);
	begin_recording();
	put_constant(LOUD, _i == 3 ? TARGET / 2 : RATE);
	if (_i > 0)
		speaker_allow(&speaker, now);
	if (_i == 2)
		run_until(SPEAKER_PLAYING);
	speaker_end(&speaker, SPEAKER_STOPPED, now);
	run_until(SPEAKER_DONE);
	ck_assert_uint_eq(count_sound(), 0);
	ck_assert_uint_eq(speaker_heard_frames(&speaker), 0);
}

/* --- awkward cards --- */

/* A delay behind the ring, known at once or later, and a position in steps. */
TEST_LOOP(all_of_a_page_is_heard_behind_the_ring, 0, 8)
{
	static const char *const options[] = {
	    "patient 1 delay 300",
	    "patient 1 delay 300 timing 0",
	    "patient 1 delay 100 timing 200",
	    "patient 1 delay 100 step -1",
	};
	const size_t count = _i % 2 ? 50 * MS : 900 * MS;

	use(options[_i / 2], 100);
	play_numbers(count);
	find_numbers(count);
	ck_assert_uint_eq(speaker_heard_frames(&speaker), count);
	ck_assert_uint_eq(speaker.stats.xruns, 0);
	ck_assert_uint_eq(speaker.stats.card_losses, 0);
	ck_assert_uint_eq(card_count("start"), 1);
	/* The next page begins anew. */
	speaker_finish(&speaker);
	begin(&cd48, SPEAKER_FRESH);
	ck_assert_uint_eq(speaker_heard_frames(&speaker), 0);
}

TEST(silence_before_a_page_is_not_heard_of_it)
{
	config.lead_in_ms = 100;
	configure(&config);
	card_command("stalled");
	begin(&cd48, SPEAKER_FRESH);
	put_all(numbers, RATE * 4);
	speaker_allow(&speaker, now);
	turn(1);
	ck_assert_int_eq(speaker.state, SPEAKER_PLAYING);
	card_command("unplugged");
	turn(1);
	ck_assert_int_eq(speaker.state, SPEAKER_OPENING);
	ck_assert_uint_eq(speaker_heard_frames(&speaker), 0);
}

TEST_LOOP(card_that_stops_half_way_has_played_so_much, 0, 2)
{
	use(_i ? "stall_after 500 delay 100" : "stall_after 500", 100);
	begin(&cd48, SPEAKER_FRESH);
	put_all(numbers, RATE * 4);
	speaker_end(&speaker, SPEAKER_COMPLETE, now);
	speaker_allow(&speaker, now);
	run_until(SPEAKER_OPENING);
	ck_assert_uint_eq(speaker.stats.card_losses, 1);
	ck_assert_uint_eq(speaker_heard_frames(&speaker),
			  (_i ? 400 : 500) * MS);
	ck_assert_uint_eq(speaker_heard_frames(&speaker) +
			      speaker.stats.dropped_frames,
			  speaker.stats.written_frames);
}

TEST(reserve_is_what_is_in_the_ring)
{
	use("delay 300", 100);
	card_command("stalled");
	begin(&cd48, SPEAKER_FRESH);
	put_all(numbers, TARGET * 4);
	speaker_allow(&speaker, now);
	turn_at(now + 100000, 1);
	ck_assert_int_eq(speaker.state, SPEAKER_PLAYING);
	turn(1);
	ck_assert_uint_eq(speaker.stats.written_frames, TARGET);
	ck_assert_double_eq(speaker_fill_ms(&speaker), 100);
	/* But the page is late by all of it. */
	ck_assert_double_eq(speaker_behind_ms(&speaker), 400);
	ck_assert_uint_eq(speaker.cut.excess_frames, 0);
}

/* The card has told of 480 frames in the ring, and runs empty. */
TEST_LOOP(position_in_steps_raises_the_target_once, 0, 2)
{
	const uint32_t latency_ms = _i ? 100 : 5;
	const uint32_t target = latency_ms * MS, raised = _i ? 0 : 1024;
	struct capture capture;
	char text[1024];

	use("step -1 period_bytes_min 4096 period_bytes_max 4096", latency_ms);
	card_command("stalled");
	log_set_level(LOG_NOTICE);
	capture = capture_begin(STDERR_FILENO);
	begin(&cd48, SPEAKER_FRESH);
	speaker_allow(&speaker, now);
	put_all(numbers, TARGET * 4);
	turn_at(now + latency_ms * 1000, 1);
	ck_assert_int_eq(speaker.state, SPEAKER_PLAYING);
	card_command("xrun");
	turn(1);
	capture_end(capture, text, sizeof(text));
	ck_assert_uint_eq(speaker.stats.xruns, 1);
	ck_assert_uint_eq(speaker.target_frames, target + raised);
	if (raised)
		check_line(text, (const char *const[]){"'awkward'",
						       "steps of up to 21.3 ms",
						       NULL});
	else
		ck_assert_str_eq(text, "");
	/* It is the card's, not the page's. */
	speaker_finish(&speaker);
	begin(&cd48, SPEAKER_FRESH);
	ck_assert_uint_eq(speaker.target_frames, target + raised);
}
