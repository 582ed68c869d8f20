/* SPDX-License-Identifier: MIT
 * A microphone of its own rate becomes one of exactly the nominal rate. */
#include "audio/retimer.h"

#include <math.h>

#include "test.h"

enum { RATE = 48000, PERIOD = 1024 };

#define START_NS INT64_C(7000000000)

TIME_LIMIT(60);

static const struct wav_format format = {WAV_PCM, 16, 1, RATE};
static struct retimer *retimer;
static uint64_t made, losses;

static void setup(void)
{
	ck_assert_int_eq(retimer_new(&retimer, &format), 0);
	made = losses = 0;
}

static void teardown(void)
{
	retimer_free(retimer);
}

FIXTURE(setup, teardown);

static void take_all(void)
{
	int16_t out[256];
	size_t n;

	while ((n = retimer_take(retimer, out, 256)) > 0)
		made += n;
}

/* PERIODS of a card that is fast by PPM, from FROM_S on, each read up to 1 ms
 * late. Returns when the last was read, in seconds. */
static double capture(double from_s, int periods, double ppm)
{
	static const int16_t data[PERIOD];
	const double period_s = PERIOD / (RATE * (1 + ppm * 1e-6));
	double t = from_s;

	for (int i = 1; i <= periods; i++) {
		const double read_s =
		    from_s + i * period_s + 1e-3 * (i * 37 % 100) / 100;
		size_t put = 0;

		t = from_s + i * period_s;
		made += retimer_read(retimer, START_NS + llrint(read_s * 1e9),
				     PERIOD, 0);
		while (put < PERIOD) {
			put += retimer_put(retimer, data + put, PERIOD - put);
			take_all();
		}
		if (!retimer_is_astray(retimer))
			continue;
		retimer_lost(retimer);
		losses++;
	}
	return t;
}

/* With sanitizers an hour would take too long. */
TEST_LOOP(ten_minutes_have_the_nominal_number_of_frames, 0, 3)
{
	static const double ppm[] = {100, -100, 0};
	const double t = capture(0, 600 * RATE / PERIOD, ppm[_i]);

	/* 16 frames are ahead of the output; 5 ms are the start's. */
	ck_assert_double_eq_tol((double)made, t * RATE, 240);
}

TEST_LOOP(a_minute_is_on_its_line, 0, 2)
{
	const double ppm = _i ? 100 : -100;
	double early = 0, late = 0, t = 0;

	for (int second = 0; second < 120; second++) {
		const double off =
		    (t = capture(t, 47, ppm), (double)made - t * RATE);

		if (second < 20)
			continue;
		early = early == 0 ? off : fmin(early, off);
		late = late == 0 ? off : fmax(late, off);
	}
	/* 0.1 ms; a block is decided at once. */
	ck_assert_double_lt(late - early, 64 + 5);
}

TEST(a_loss_becomes_silence_of_its_length)
{
	double t = capture(0, 1000, 50);
	const double before = (double)made - t * RATE;

	retimer_lost(retimer);
	t = capture(t + 0.5, 1000, 50);
	ck_assert_double_eq_tol((double)made - t * RATE, before, 64 + 5);
}

/* Without an overrun, as with packets that get lost on the USB. */
TEST(a_card_that_has_stood_still_is_back_on_its_line)
{
	double t = capture(0, 1000, 50);
	const double before = (double)made - t * RATE;

	t = capture(t + 0.4, 50, 50);
	ck_assert_uint_eq(losses, 1);
	ck_assert_double_eq_tol((double)made - t * RATE, before, 64 + 5);
}

/* Frames that come in no time have no place in a page. */
TEST_LOOP(a_card_that_has_jumped_is_back_on_its_line, 0, 2)
{
	const int periods = _i ? 1000 : 3;
	double t = capture(0, periods, 50);
	const double before = (double)made - t * RATE;

	t = capture(t - 0.4, 50, 50);
	ck_assert_uint_eq(losses, 1);
	ck_assert_double_eq_tol((double)made - t * RATE, before, 64 + 48);
}

/* By more than a quartz can be: the rate was not what the card says. */
TEST_LOOP(a_card_of_another_rate_is_kept_on_the_line, 0, 2)
{
	double t = 0, off;

	for (int i = 0; i < 600; i++) {
		off = (t = capture(t, 2, _i ? 8000 : -8000),
		       (double)made - t * RATE);
		ck_assert_double_le(fabs(off), 0.012 * RATE);
	}
	ck_assert_uint_gt(losses, 5);
}

/* It is no fault of the card when it is read late. */
TEST_LOOP(a_quartz_and_a_busy_machine_lose_nothing, 0, 4)
{
	static const double ppm[] = {300, -300, 1000, -1000};
	static const int16_t data[PERIOD];

	for (int i = 1; i < 3000; i++) {
		const double t =
		    i * (double)PERIOD / (RATE * (1 + ppm[_i] * 1e-6));
		const double late_s = i % 7 ? 0.030 : 0.001;

		made += retimer_read(
		    retimer, START_NS + llrint((t + late_s) * 1e9), PERIOD, 0);
		ck_assert_uint_eq(retimer_put(retimer, data, PERIOD / 2),
				  PERIOD / 2);
		take_all();
		ck_assert_uint_eq(retimer_put(retimer, data, PERIOD / 2),
				  PERIOD / 2);
		take_all();
		ck_assert(!retimer_is_astray(retimer));
	}
}

TEST(samples_pass_through)
{
	int16_t in[PERIOD], out[64];
	size_t n;

	for (int i = 0; i < PERIOD; i++)
		in[i] = 1000;
	ck_assert_uint_eq(retimer_read(retimer, START_NS, PERIOD, 0), 0);
	ck_assert_uint_gt(retimer_put(retimer, in, PERIOD), 512);
	n = retimer_take(retimer, out, 64);
	ck_assert_uint_eq(n, 64);
	ck_assert_int_eq(out[0], 1000);
}

/* Nobody waits for it: what has begun before the silence ended is dropped. */
TEST(a_card_that_begins_late_is_awaited_with_silence)
{
	static const int16_t data[PERIOD];
	const double captured_s = (double)PERIOD / RATE;

	retimer_start(retimer, START_NS);
	ck_assert_uint_eq(retimer_await(retimer, START_NS - 1), 0);
	ck_assert_uint_eq(retimer_await(retimer, START_NS + 200000000), 9600);
	ck_assert_uint_eq(retimer_await(retimer, START_NS + 200000000), 0);
	ck_assert_uint_eq(retimer_await(retimer, START_NS + 201000000), 48);
	made = 9648;
	/* It began at 0.2 s. */
	made += retimer_read(
	    retimer, START_NS + llrint((0.2 + captured_s) * 1e9), PERIOD, 0);
	ck_assert_uint_eq(made, 9648);
	ck_assert_double_eq_tol((double)retimer_put(retimer, data, PERIOD), 48,
				2);
}

/* However late its first frames are read. */
TEST_LOOP(a_card_that_begins_late_begins_with_silence, 0, 2)
{
	const uint64_t waiting = _i ? 777 : 0;
	const double captured_s = (double)(PERIOD + waiting) / RATE;

	retimer_start(retimer, START_NS);
	ck_assert_double_eq_tol(
	    (double)retimer_read(retimer,
				 START_NS + llrint((0.3 + captured_s) * 1e9),
				 PERIOD, waiting),
	    0.3 * RATE, 1);
}
