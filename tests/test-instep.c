/* SPDX-License-Identifier: MIT
 * A page on schedule, on a card that is only calculated. */
#include "client/instep.h"

#include <math.h>
#include <string.h>

#include "test.h"

enum { RATE = 48000, BUDGET_MS = 120, CHUNK = 480, MS_FRAMES = RATE / 1000 };

#define MS INT64_C(1000000)
#define BEGIN (INT64_C(5000) * 1000 * MS)

static const struct wav_format format = {WAV_PCM, 16, 1, RATE};

static struct instep instep;
static struct instep_order order;
static struct fifo fifo;
static uint64_t written, arrived;
static int16_t played[16 * RATE]; /* what the card was given */
static double card_ppm;
static double card_step;   /* frames, in which its position is told */
static int64_t card_begun; /* 0: it does not run */
static uint64_t skipped;

static void begin(uint8_t flags, uint64_t first)
{
	const struct wav_page page = {
	    .flags = WAV_PAGE_SCHEDULE | WAV_PAGE_REAL_TIME | flags,
	    .budget_us = BUDGET_MS * 1000,
	};

	written = arrived = skipped = 0;
	card_ppm = 100;
	card_step = 1;
	card_begun = BEGIN;
	ck_assert_int_eq(fifo_init(&fifo, &format, 4 * RATE), 0);
	fifo_keep(&fifo, RATE);
	ck_assert_int_eq(instep_begin(&instep, &format, &page, 0, first, 0, 0,
				      RENDEZVOUS_BELIEVED),
			 0);
}

static void teardown(void)
{
	instep_end(&instep);
	instep_end(&instep);
	fifo_free(&fifo);
}

FIXTURE(NULL, teardown);

/* What each frame of the page is: no two neighbours are the same. */
static int16_t sample(uint64_t frame)
{
	return (int16_t)lrint(20000 * sin((double)frame * 0.01));
}

static void put(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t size;
		int16_t *space = fifo_space(&fifo, &size);

		ck_assert_uint_ge(size, sizeof(*space));
		*space = sample(arrived++);
		fifo_put(&fifo, sizeof(*space));
	}
}

static double sounded_at(int64_t ns)
{
	return (double)(ns - card_begun) * 1e-9 * RATE * (1 + card_ppm * 1e-6);
}

static uint64_t told_at(int64_t ns)
{
	const double sounded = fmax(0, sounded_at(ns));

	return (uint64_t)(floor(sounded / card_step) * card_step);
}

/* Writes as the speaker does; false when the page has left its schedule. */
static bool write_all_now(int64_t ns)
{
	for (;;) {
		const double fill = (double)written - sounded_at(ns);
		const double lead = fmax(0, instep.lead_frames - fill);
		const double room = fmax(0, 2 * BUDGET_MS * MS_FRAMES - fill);

		ck_assert_uint_lt(written, sizeof(played) / sizeof(*played));
		if (room < 1)
			return true;
		instep_next(&instep, &fifo, written, (size_t)room, &order);
		switch (order.what) {
		case INSTEP_NOTHING:
			return true;
		case INSTEP_SILENCE:
			written += MIN((uint64_t)lead, order.count);
			if ((uint64_t)lead < order.count)
				return true;
			break;
		case INSTEP_BEGIN:
			fifo_drop(&fifo, (size_t)order.count);
			instep_skipped(&instep, (size_t)order.count);
			skipped += order.count;
			break;
		case INSTEP_FRAMES:
			memcpy(played + written, order.data,
			       order.count * sizeof(*played));
			written += order.count;
			instep_written(&instep, (size_t)order.count);
			break;
		case INSTEP_LEAVE:
			return false;
		}
	}
}

/* Runs from FROM_MS to TO_MS after the header; chunks arrive at once when they
 * are spoken. */
static bool run(int from_ms, int to_ms)
{
	for (int ms = from_ms; ms < to_ms; ms++) {
		const int64_t ns = BEGIN + ms * MS;

		if (ms % 10 == 0 && ms > 0) {
			put(CHUNK);
			instep_arrived(&instep, ns, arrived);
		}
		instep_look(&instep, ns, told_at(ns));
		if (!write_all_now(ns))
			return false;
	}
	return true;
}

/* The frame of the page that the card is given as its frame AT, by a search
 * near where it is expected. */
static double page_frame(uint64_t at)
{
	const double when = (double)at / (RATE * (1 + card_ppm * 1e-6)) +
			    (double)(card_begun - BEGIN) * 1e-9;
	const double expected = (when - BUDGET_MS * 1e-3) * RATE;
	double best = 1e9, found = 0;

	for (double x = expected - 100; x < expected + 100; x += 0.05) {
		double error = 0;

		for (int i = -40; i <= 40; i += 8)
			error += fabs(20000 * sin((x + i) * 0.01) -
				      played[(int64_t)at + i]);
		if (error < best) {
			best = error;
			found = x - expected;
		}
	}
	return found;
}

TEST(the_page_sounds_when_it_shall)
{
	begin(0, 0);
	ck_assert(instep.on);
	ck_assert(run(0, 8000));
	/* The moment is by arrivals: a chunk's after its first frame. */
	for (int s = 2; s < 7; s++)
		ck_assert_double_lt(fabs(page_frame((uint64_t)s * RATE)), 8);
	ck_assert_uint_eq(skipped, 0);
	ck_assert_uint_lt(instep_error_us(&instep), 1000);
	ck_assert_double_eq_tol(instep_card_rate(&instep), 1 + 100e-6, 10e-6);
}

TEST(no_frame_is_lost_or_doubled)
{
	begin(0, 0);
	ck_assert(run(0, 2000));
	instep.ended = true;
	ck_assert(run(2001, 2009));
	card_begun -= 1000 * MS; /* so there is room for the rest */
	while (fifo_frames(&fifo) > 0 || instep_holds_frames(&instep))
		ck_assert(write_all_now(BEGIN + 2009 * MS));
	ck_assert_double_eq_tol(instep.took, (double)arrived, 1);
	ck_assert_uint_eq(instep_page_frames(&instep, instep.written), arrived);
}

TEST(a_page_that_is_late_leaves_the_schedule_whole)
{
	begin(0, 0);
	card_begun = BEGIN + 300 * MS;
	for (int ms = 10; ms < 300; ms += 10) {
		put(CHUNK);
		instep_arrived(&instep, BEGIN + ms * MS, arrived);
	}
	ck_assert(!run(301, 400));
	ck_assert_double_eq_tol(order.late_s, 0.3 - 0.12, 0.04);
	instep_leave(&instep, &fifo);
	ck_assert(!instep.on);
	ck_assert_uint_eq(fifo_frames(&fifo), arrived);
	ck_assert_int_eq(*(const int16_t *)fifo_data(&fifo), sample(0));
}

TEST(a_page_that_is_joined_later_skips)
{
	begin(0, 4800);
	arrived = 4800;
	ck_assert(run(100, 1000));
	ck_assert(instep.on);
}

/* The card is gone from 1.0 to 1.3 s; what was in its ring has sounded. */
static void interrupt(void)
{
	instep_restart(&instep, &fifo);
	written = 0;
	memset(played, 0, sizeof(played));
	card_begun = BEGIN + 1300 * MS;
	for (int ms = 1000; ms <= 1300; ms += 10) {
		put(CHUNK);
		instep_arrived(&instep, BEGIN + ms * MS, arrived);
	}
}

TEST(after_an_interruption_what_is_late_is_skipped)
{
	begin(0, 0);
	ck_assert(run(0, 1000));
	interrupt();
	ck_assert(run(1301, 3000));
	/* What should have sounded from 1.12 to 1.33 s. */
	ck_assert_double_eq_tol((double)skipped, 0.21 * RATE, 0.02 * RATE);
}

TEST(of_a_recording_nothing_is_skipped)
{
	begin(WAV_PAGE_PLAYED, 0);
	ck_assert(run(0, 1000));
	interrupt();
	ck_assert(run(1301, 3000));
	ck_assert_uint_eq(skipped, 0);
	ck_assert_double_gt(instep.follow.error_s, 0.1);
}

/* Nothing arrives. */
static void run_silent(int from_ms, int to_ms)
{
	for (int ms = from_ms; ms < to_ms; ms++) {
		const int64_t ns = BEGIN + ms * MS;

		instep_look(&instep, ns, (uint64_t)sounded_at(ns));
		ck_assert(write_all_now(ns));
		ck_assert_int_eq(order.what, INSTEP_SILENCE);
	}
}

TEST(in_a_gap_the_page_is_sought_again)
{
	begin(0, 0);
	ck_assert(run(0, 1000));
	instep_starve(&instep, &fifo);
	fifo_drop(&fifo, fifo_frames(&fifo));
	ck_assert(!instep_holds_frames(&instep));
	run_silent(1000, 1300);
	put(29 * CHUNK);
	instep_arrived(&instep, BEGIN + 1299 * MS, arrived);
	ck_assert(run(1300, 2000));
	ck_assert_uint_gt(skipped, 0);
	ck_assert_int_ne(order.what, INSTEP_SILENCE);
}

TEST(a_card_without_a_clock_leaves_the_schedule)
{
	bool kept = true;

	begin(0, 0);
	for (int ms = 0; ms < 500 && kept; ms++) {
		put(MS_FRAMES);
		instep_arrived(&instep, BEGIN + ms * MS, arrived);
		card_begun = BEGIN;
		instep_look(&instep, BEGIN + ms * MS, written);
		instep_next(&instep, &fifo, written, 1000, &order);
		kept = order.what != INSTEP_LEAVE;
		if (order.what == INSTEP_SILENCE)
			written += MIN(order.count, instep.lead_frames);
	}
	ck_assert(!kept);
	ck_assert_double_eq(order.late_s, 0);
}

TEST(a_page_that_is_stored_needs_clocks)
{
	const struct wav_page page = {
	    .flags = WAV_PAGE_SCHEDULE,
	    .budget_us = BUDGET_MS * 1000,
	};

	ck_assert_int_eq(fifo_init(&fifo, &format, RATE), 0);
	ck_assert_int_eq(instep_begin(&instep, &format, &page, 0, 0, 0, 0,
				      RENDEZVOUS_BELIEVED),
			 0);
	ck_assert(!instep.on);
	ck_assert(instep_error_us(&instep) == UINT64_MAX);
	ck_assert_uint_eq(instep_page_frames(&instep, 7), 7);
}

TEST(data_that_is_always_late_leaves_the_schedule)
{
	bool kept = true;

	begin(0, 0);
	/* By the clock: what arrives does not move the moment. */
	instep.rendezvous.way = RENDEZVOUS_CLOCK;
	instep.rendezvous.settled = true;
	instep.rendezvous.said_ns = BEGIN;
	ck_assert(run(0, 1000));
	instep_starve(&instep, &fifo);
	fifo_drop(&fifo, fifo_frames(&fifo));
	run_silent(1000, 1500);
	/* From now on by half a second. */
	for (int ms = 1500; ms < 4000 && kept; ms++) {
		const int64_t ns = BEGIN + ms * MS;

		put(MS_FRAMES);
		instep_arrived(&instep, ns, arrived);
		instep_look(&instep, ns, (uint64_t)sounded_at(ns));
		kept = write_all_now(ns);
	}
	ck_assert(!kept);
	ck_assert_double_gt(order.late_s, 0.1);
}

/* As dmix does, and cards that tell it once a period. */
TEST_LOOP(a_card_may_tell_its_position_in_steps, 0, 3)
{
	static const int ms[] = {10, 21, 46};

	begin(0, 0);
	card_step = ms[_i] * MS_FRAMES;
	ck_assert(run(0, 8000));
	for (int s = 5; s < 7; s++)
		ck_assert_double_lt(fabs(page_frame((uint64_t)s * RATE)),
				    MS_FRAMES);
}

/* What lies behind the ring grows or shrinks: a sound server moves a stream to
 * another card, radio needs more time. */
TEST_LOOP(a_card_whose_delay_changes_is_found_again, 0, 4)
{
	static const int by_ms[] = {10, -10, 60, -60};
	static const int at_ms[] = {700, 2500, 2500, 700};

	begin(0, 0);
	ck_assert(run(0, at_ms[_i]));
	card_begun += by_ms[_i] * MS;
	ck_assert(run(at_ms[_i], 12000));
	ck_assert_double_lt(fabs(page_frame(11 * RATE)), 2 * MS_FRAMES);
}

/* A stranger's frames come as slowly as he likes. The page is not read
 * backwards. */
TEST(frames_that_trickle_in_do_not_turn_the_page_back)
{
	begin(0, 0);
	ck_assert(run(0, 600));
	for (int ms = 600; ms < 15000; ms++) {
		const int64_t ns = BEGIN + ms * MS;

		put(ms % 10 == 0);
		instep_arrived(&instep, ns, arrived);
		instep_look(&instep, ns, told_at(ns));
		if (!write_all_now(ns))
			break;
		ck_assert_double_gt(instep.rendezvous.trend.rate, RATE * 0.9);
	}
}

TEST(a_page_that_leaves_its_schedule_does_not_claim_to_be_on_it)
{
	begin(0, 0);
	ck_assert(run(0, 2000));
	ck_assert_uint_lt(instep_error_us(&instep), 1000);
	instep.rendezvous.way = RENDEZVOUS_NONE;
	ck_assert(!run(2000, 2100));
	ck_assert(instep_error_us(&instep) == UINT64_MAX);
}

/* In band, the first tenths of a second may be off by more than all that
 * follows. */
TEST(a_short_page_knows_that_it_knows_little)
{
	uint64_t after_us;

	begin(0, 0);
	ck_assert(run(0, 300));
	after_us = instep_error_us(&instep);
	ck_assert_uint_ge(after_us, 500);
	ck_assert(run(300, 8000));
	ck_assert_uint_lt(instep_error_us(&instep), after_us / 2);
}

TEST(a_card_whose_positions_are_late_is_a_doubt)
{
	uint64_t exact_us;

	begin(0, 0);
	ck_assert(run(0, 5000));
	instep.follow.card.usual_late = 0;
	exact_us = instep_error_us(&instep);
	instep.follow.card.usual_late = MS_FRAMES;
	ck_assert_uint_eq(instep_error_us(&instep), exact_us + 1000);
}

TEST(a_suspend_is_found_by_itself)
{
	begin(0, 0);
	ck_assert(run(0, 500));
	instep.asleep_ns -= 1000 * MS;
	instep_woke(&instep);
	instep_woke(&instep);
	ck_assert_double_eq_tol(
	    rendezvous_position(&instep.rendezvous, BEGIN + 500 * MS),
	    (0.5 + 1.0 - BUDGET_MS * 1e-3) * RATE, 100);
}
