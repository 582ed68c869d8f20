/* SPDX-License-Identifier: MIT
 * The PCM on the virtual card (vcard.h). A test makes a file to cause a fault
 * in the next call, so that there is no race. */
#include "audio/pcm.h"

#include <dirent.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "base/log.h"
#include "card.h"
#include "test.h"

enum {
	INPUT_FRAMES = 1 << 20,
	PERIOD = 64,
	WAIT_MS = 20,
	PATIENCE_MS = 20000,
	HALF_A_SECOND = 24000, /* frames: no test is delayed so long */
};

static const struct wav_format cd48 = {WAV_PCM, 16, 2, 48000};
static const struct wav_format slow = {WAV_PCM, 16, 2, 8000};

static void setup(void)
{
	card_setup(INPUT_FRAMES);
	card_configure("pcm.card.hint { show on "
		       "description \"A card\nfor tests\" }\n");
	card_add("resumable", "resume 1 hint { show on "
			      "description \"A mouth|IOIDInput\" }");
	card_add("narrow",
		 "format S16_LE rate 48000 channels 2 "
		 "hint { show on description \"An ear|IOIDOutput\" }");
	card_configure("pcm.disk { type file slave.pcm null file \"%s\" "
		       "format raw }\n",
		       card_path("disk.raw"));
}

FIXTURE(setup, card_teardown);
TIME_LIMIT(60);

/* --- helpers --- */

static struct pcm *open_sized(const char *device, enum pcm_direction direction,
			      const struct wav_format *format,
			      uint32_t buffer_frames)
{
	const struct pcm_config config = {
	    .device = device,
	    .format = *format,
	    .period_frames = PERIOD,
	    .buffer_frames = buffer_frames,
	};
	const char *step = "none";
	struct pcm *pcm = NULL;
	int r = pcm_open(&pcm, direction, &config, &step);

	ck_assert_msg(r == 0, "%s: %s: %s", device, step, pcm_strerror(r));
	return pcm;
}

static struct pcm *open_capture(const char *device)
{
	struct pcm *pcm = open_sized(device, PCM_CAPTURE, &cd48, 480000);

	ck_assert_int_eq(pcm_start(pcm), 0);
	return pcm;
}

static int open_error(const char *device, const struct wav_format *format,
		      const char **ret_step)
{
	const struct pcm_config config = {.device = device, .format = *format};
	struct pcm *pcm = NULL;
	int r = pcm_open(&pcm, PCM_CAPTURE, &config, ret_step);

	ck_assert_ptr_null(pcm);
	return r;
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Reads COUNT frames; a gap is a failure. */
static void read_frames(struct pcm *pcm, uint32_t *frames, size_t count)
{
	uint64_t gap;

	for (size_t have = 0; have < count;) {
		ssize_t n = pcm_read(pcm, frames + have, count - have,
				     PATIENCE_MS, &gap);

		ck_assert_int_gt(n, 0);
		ck_assert_uint_eq(gap, 0);
		have += (size_t)n;
	}
}

static void assert_consecutive(const uint32_t *frames, size_t count)
{
	for (size_t i = 1; i < count; i++)
		ck_assert_uint_eq(frames[i], frames[0] + i);
}

/* Lets time pass, as a reader that is busy elsewhere. */
static void let_pass(uint64_t usec)
{
	uint64_t end = now_usec() + usec;

	while (now_usec() < end)
		poll(NULL, 0, 1);
}

static void write_frames(struct pcm *pcm, const uint32_t *frames, size_t count)
{
	for (size_t have = 0; have < count;) {
		ssize_t n = pcm_write(pcm, frames + have, count - have);

		ck_assert_int_ge(n, 0);
		if (n == 0)
			poll(NULL, 0, 1);
		have += (size_t)n;
	}
}

static ssize_t pcm_delay(struct pcm *pcm)
{
	struct pcm_position position;
	const int r = pcm_look(pcm, &position);

	return r < 0 ? r : (ssize_t)position.delay_frames;
}

static void wait_for_underrun(struct pcm *pcm)
{
	uint64_t end = now_usec() + PATIENCE_MS * UINT64_C(1000);

	while (pcm_delay(pcm) >= 0) {
		ck_assert_uint_lt(now_usec(), end);
		poll(NULL, 0, 1);
	}
	ck_assert_int_eq(pcm_delay(pcm), -EPIPE);
}

static void number(uint32_t *frames, size_t count)
{
	for (size_t i = 0; i < count; i++)
		frames[i] = 0x10000 + (uint32_t)i;
}

/* Writes frames and then starts the card, as a page does. */
static void play_frames(struct pcm *pcm, const uint32_t *frames, size_t count)
{
	write_frames(pcm, frames, count);
	ck_assert_int_eq(pcm_start(pcm), 0);
}

/* Reads the frames that reached the loudspeaker, or the file NAME. */
static size_t load(const char *name, uint32_t *frames, size_t max)
{
	return card_read(name, frames, max * sizeof(*frames)) / sizeof(*frames);
}

/* --- opening --- */

TEST_LOOP(every_format_is_obtained_exactly, 0, 7)
{
	static const struct wav_format formats[] = {
	    {WAV_PCM, 8, 1, 4000},	{WAV_PCM, 16, 2, 44100},
	    {WAV_PCM, 24, 6, 96000},	{WAV_PCM, 32, 32, 48000},
	    {WAV_FLOAT, 32, 1, 384000}, {WAV_ALAW, 8, 1, 8000},
	    {WAV_MULAW, 8, 2, 11025},
	};
	static uint8_t buffer[PERIOD * WAV_FRAME_SIZE_MAX];
	const struct wav_format *format = &formats[_i];
	struct pcm *pcm = open_sized("card", PCM_CAPTURE, format, 0);
	uint64_t gap;

	ck_assert_int_eq(pcm_start(pcm), 0);
	ck_assert_int_gt(pcm_read(pcm, buffer, PERIOD, PATIENCE_MS, &gap), 0);
	pcm_close(pcm);
	pcm = open_sized("card", PCM_PLAYBACK, format, 0);
	ck_assert_int_eq(pcm_write(pcm, buffer, PERIOD), PERIOD);
	pcm_close(pcm);
}

TEST(sizes_are_as_obtained)
{
	struct pcm *pcm = open_sized("card", PCM_PLAYBACK, &cd48, 1024);

	ck_assert_uint_eq(pcm_period_frames(pcm), PERIOD);
	ck_assert_uint_eq(pcm_buffer_frames(pcm), 1024);
	pcm_close(pcm);
}

TEST(sizes_may_be_left_open)
{
	const struct pcm_config config = {.device = "card", .format = cd48};
	struct pcm *pcm;

	ck_assert_int_eq(pcm_open(&pcm, PCM_CAPTURE, &config, NULL), 0);
	ck_assert_uint_gt(pcm_period_frames(pcm), 0);
	ck_assert_uint_ge(pcm_buffer_frames(pcm), 2 * pcm_period_frames(pcm));
	pcm_close(pcm);
}

TEST(missing_device_is_named_as_such)
{
	const char *step = NULL;
	int r = open_error("no-such-card", &cd48, &step);

	ck_assert_int_eq(r, -ENOENT);
	ck_assert_str_eq(step, "open");
	ck_assert_str_eq(pcm_strerror(r), "No such file or directory");
}

TEST(unplugged_card_cannot_be_opened_until_it_returns)
{
	const char *step = NULL;
	int r;

	card_command("unplugged");
	r = open_error("card", &cd48, &step);
	ck_assert_int_eq(r, -ENODEV);
	ck_assert_str_eq(step, "open");
	card_revoke("unplugged");
	pcm_close(open_capture("card"));
}

TEST(device_in_use_is_busy)
{
	struct pcm *pcm = open_capture("card");

	ck_assert_int_eq(open_error("card", &cd48, NULL), -EBUSY);
	pcm = pcm_close(pcm);
	ck_assert_ptr_null(pcm);
	pcm_close(open_capture("card"));
	card_command("busy");
	ck_assert_int_eq(open_error("card", &cd48, NULL), -EBUSY);
}

TEST(format_that_the_card_lacks_is_named)
{
	const struct wav_format other_rate = {WAV_PCM, 16, 2, 44100};
	const struct wav_format other_channels = {WAV_PCM, 16, 1, 48000};
	const struct wav_format other_samples = {WAV_FLOAT, 32, 2, 48000};
	const char *step = NULL;

	ck_assert_int_eq(open_error("narrow", &other_rate, &step), -EINVAL);
	ck_assert_str_eq(step, "rate");
	ck_assert_int_eq(open_error("narrow", &other_channels, &step), -EINVAL);
	ck_assert_str_eq(step, "channels");
	ck_assert_int_eq(open_error("narrow", &other_samples, &step), -EINVAL);
	ck_assert_str_eq(step, "sample format");
}

TEST(plug_converts_what_the_card_lacks)
{
	const struct wav_format other = {WAV_FLOAT, 32, 1, 16000};
	struct pcm *pcm = open_sized("plug:narrow", PCM_CAPTURE, &other, 4000);
	static float samples[1024];
	uint64_t gap;

	ck_assert_int_eq(pcm_start(pcm), 0);
	ck_assert_int_gt(pcm_read(pcm, samples, 1024, PATIENCE_MS, &gap), 0);
	pcm_close(pcm);
}

TEST(failed_open_leaves_no_descriptor)
{
	const struct wav_format other = {WAV_PCM, 16, 2, 44100};
	int before;

	/* Once more, since alsa-lib may have cached something. */
	ck_assert_int_eq(open_error("narrow", &other, NULL), -EINVAL);
	before = count_fds();
	ck_assert_int_eq(open_error("narrow", &other, NULL), -EINVAL);
	ck_assert_int_eq(open_error("no-such-card", &cd48, NULL), -ENOENT);
	card_command("busy");
	ck_assert_int_eq(open_error("card", &cd48, NULL), -EBUSY);
	ck_assert_int_eq(count_fds(), before);
}

TEST(close_leaves_no_descriptor)
{
	int before;

	pcm_close(open_capture("card"));
	before = count_fds();
	pcm_close(open_capture("card"));
	pcm_close(open_capture("plug:card"));
	ck_assert_int_eq(count_fds(), before);
	ck_assert_ptr_null(pcm_close(NULL));
}

static size_t stderr_of_a_failed_open(int log_level)
{
	int saved = dup(STDERR_FILENO);
	int fd = memfd_create("stderr", MFD_CLOEXEC);
	struct stat st;

	ck_assert_int_ge(fd, 0);
	log_set_level(log_level);
	dup2(fd, STDERR_FILENO);
	open_error("no-such-card", &cd48, NULL);
	dup2(saved, STDERR_FILENO);
	close(saved);
	ck_assert_int_eq(fstat(fd, &st), 0);
	close(fd);
	return (size_t)st.st_size;
}

TEST(alsa_speaks_only_when_debugging)
{
	ck_assert_uint_eq(stderr_of_a_failed_open(LOG_INFO), 0);
	ck_assert_uint_gt(stderr_of_a_failed_open(LOG_DEBUG), 0);
	log_set_level(LOG_INFO);
}

/* --- capture --- */

static const char *const devices[] = {"card", "plug:card"};

TEST_LOOP(captured_frames_are_those_of_the_card, 0, 2)
{
	struct pcm *pcm = open_capture(devices[_i]);
	static uint32_t frames[4800];

	read_frames(pcm, frames, 4800);
	ck_assert_uint_eq(frames[0], 0);
	assert_consecutive(frames, 4800);
	pcm_close(pcm);
}

TEST_LOOP(odd_reads_lose_nothing, 0, 2)
{
	struct pcm *pcm = open_capture(devices[_i]);
	static uint32_t frames[2000];

	for (size_t have = 0, count = 1; have < 2000; have += count) {
		count = count * 7 % 151 + 1;
		if (count > 2000 - have)
			count = 2000 - have;
		read_frames(pcm, frames + have, count);
	}
	ck_assert_uint_eq(frames[0], 0);
	assert_consecutive(frames, 2000);
	pcm_close(pcm);
}

TEST_LOOP(stalled_card_times_out_and_goes_on, 0, 2)
{
	struct pcm *pcm = open_capture(devices[_i]);
	static uint32_t frames[1000];
	uint64_t gap;

	read_frames(pcm, frames, 500);
	card_command("stalled");
	while (pcm_read(pcm, frames, 1000, 0, &gap) > 0)
		;
	ck_assert_int_eq(pcm_read(pcm, frames, 10, WAIT_MS, &gap), 0);
	ck_assert_uint_eq(gap, 0);
	ck_assert_int_eq(pcm_read(pcm, frames, 1000, WAIT_MS, &gap), 0);
	card_revoke("stalled");
	read_frames(pcm, frames, 1000);
	assert_consecutive(frames, 1000);
	pcm_close(pcm);
}

TEST(capture_that_was_not_started_times_out)
{
	struct pcm *pcm = open_sized("card", PCM_CAPTURE, &cd48, 4800);
	uint32_t frame;
	uint64_t gap = 1;

	ck_assert_int_eq(pcm_read(pcm, &frame, 1, WAIT_MS, &gap), 0);
	ck_assert_uint_eq(gap, 0);
	ck_assert_int_eq(pcm_start(pcm), 0);
	read_frames(pcm, &frame, 1);
	ck_assert_uint_eq(frame, 0);
	pcm_close(pcm);
}

TEST(rest_of_a_period_is_read_when_the_time_is_over)
{
	struct pcm *pcm = open_capture("card");
	static uint32_t frames[48000];
	uint64_t gap;
	ssize_t n;

	read_frames(pcm, frames, 1);
	card_command("stalled");
	/* All pending frames must be read, even less than a period. */
	while ((n = pcm_read(pcm, frames, 48000, 0, &gap)) > 0)
		;
	ck_assert_int_eq(n, 0);
	card_revoke("stalled");
	read_frames(pcm, frames, 1);
	pcm_close(pcm);
}

/* Lets the ring run over. Returns the gap as pcm_read() reports it; *ret_lost
 * is the gap in the numbers of the frames. */
static uint64_t overrun(struct pcm *pcm, uint64_t *ret_lost)
{
	uint64_t buffer = pcm_buffer_frames(pcm), before, gap, longest;
	uint32_t last, first;

	before = now_usec();
	read_frames(pcm, &last, 1);
	let_pass(frames_to_usec(2 * buffer, 48000));
	ck_assert_int_eq(pcm_read(pcm, &first, 1, PATIENCE_MS, &gap), 0);
	longest = usec_to_frames(now_usec() - before, 48000) + buffer;
	ck_assert_uint_ge(gap, buffer);
	ck_assert_uint_le(gap, longest);
	read_frames(pcm, &first, 1);
	*ret_lost = first - last - 1;
	return gap;
}

TEST(gap_of_an_overrun_is_what_the_page_lost)
{
	struct pcm *pcm = open_sized("card", PCM_CAPTURE, &cd48, HALF_A_SECOND);

	ck_assert_int_eq(pcm_start(pcm), 0);
	for (int i = 0; i < 2; i++) {
		uint64_t lost, gap = overrun(pcm, &lost);

		/* The clock is read in microseconds and not at the same time as
		 * the card's. */
		ck_assert_uint_ge(gap + 2, lost);
	}
	pcm_close(pcm);
}

TEST(overrun_before_the_first_frame_is_a_gap_too)
{
	struct pcm *pcm = open_sized("card", PCM_CAPTURE, &cd48, HALF_A_SECOND);
	uint64_t before = now_usec(), gap;
	uint32_t frame;

	ck_assert_int_eq(pcm_start(pcm), 0);
	let_pass(frames_to_usec(2 * HALF_A_SECOND, 48000));
	ck_assert_int_eq(pcm_read(pcm, &frame, 1, PATIENCE_MS, &gap), 0);
	ck_assert_uint_ge(gap, HALF_A_SECOND);
	ck_assert_uint_le(gap, usec_to_frames(now_usec() - before, 48000));
	read_frames(pcm, &frame, 1);
	ck_assert_uint_ge(gap + 2, frame);
	pcm_close(pcm);
}

TEST_LOOP(second_overrun_without_a_frame_is_a_lost_card, 0, 2)
{
	struct pcm *pcm = open_capture(devices[_i]);
	uint32_t frame;
	uint64_t gap;

	card_command("stalled");
	card_command("xrun");
	ck_assert_int_eq(pcm_read(pcm, &frame, 1, PATIENCE_MS, &gap), 0);
	card_command("xrun");
	ck_assert_int_eq(pcm_read(pcm, &frame, 1, PATIENCE_MS, &gap), -EIO);
	ck_assert_uint_eq(gap, 0);
	pcm_close(pcm);
}

TEST_LOOP(overruns_with_frames_between_go_on, 0, 2)
{
	struct pcm *pcm = open_capture(devices[_i]);
	uint32_t frame;
	uint64_t gap;

	for (int i = 0; i < 10; i++) {
		card_command("xrun");
		ck_assert_int_eq(pcm_read(pcm, &frame, 1, PATIENCE_MS, &gap),
				 0);
		read_frames(pcm, &frame, 1);
	}
	pcm_close(pcm);
}

TEST_LOOP(unplugged_while_capturing_is_gone, 0, 2)
{
	struct pcm *pcm = open_capture(devices[_i]);
	static uint32_t frames[100];
	uint64_t gap;

	read_frames(pcm, frames, 100);
	card_command("unplugged");
	ck_assert_int_eq(pcm_read(pcm, frames, 100, PATIENCE_MS, &gap),
			 -ENODEV);
	card_revoke("unplugged");
	/* A disconnected PCM stays disconnected. */
	ck_assert_int_eq(pcm_read(pcm, frames, 100, PATIENCE_MS, &gap),
			 -ENODEV);
	ck_assert_int_eq(pcm_start(pcm), -ENODEV);
	pcm_close(pcm);
	pcm = open_capture(devices[_i]);
	read_frames(pcm, frames, 100);
	pcm_close(pcm);
}

TEST_LOOP(capture_recovers_from_a_suspend, 0, 2)
{
	static const char *const cards[] = {"card", "resumable"};
	struct pcm *pcm = open_capture(cards[_i]);
	uint64_t before = now_usec(), gap;
	uint32_t last, first;

	read_frames(pcm, &last, 1);
	card_command("suspend");
	let_pass(5000);
	ck_assert_int_eq(pcm_read(pcm, &first, 1, PATIENCE_MS, &gap), 0);
	ck_assert_uint_ge(gap, usec_to_frames(5000, 48000));
	ck_assert_uint_le(gap, usec_to_frames(now_usec() - before, 48000) +
				   pcm_buffer_frames(pcm));
	read_frames(pcm, &first, 1);
	ck_assert_uint_gt(first, last);
	ck_assert_uint_ge(gap + 2, first - last - 1);
	pcm_close(pcm);
}

TEST(capture_waits_for_a_card_that_sleeps)
{
	struct pcm *pcm = open_capture("card");
	uint32_t frame;
	uint64_t gap;

	read_frames(pcm, &frame, 1);
	card_command("asleep");
	card_command("suspend");
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(pcm_read(pcm, &frame, 1, WAIT_MS, &gap), 0);
		ck_assert_uint_eq(gap, 0);
	}
	card_revoke("asleep");
	ck_assert_int_eq(pcm_read(pcm, &frame, 1, WAIT_MS, &gap), 0);
	ck_assert_uint_ge(gap, usec_to_frames(3 * WAIT_MS * 1000, 48000));
	read_frames(pcm, &frame, 1);
	pcm_close(pcm);
}

TEST(null_card_captures_at_once)
{
	struct pcm *pcm = open_capture("null");
	static uint32_t frames[100];

	read_frames(pcm, frames, 100);
	pcm_close(pcm);
}

/* --- playback --- */

TEST_LOOP(what_is_written_is_played, 0, 2)
{
	struct pcm *pcm = open_sized(devices[_i], PCM_PLAYBACK, &slow, 8000);
	static uint32_t frames[12000], played[12001];

	number(frames, 12000);
	play_frames(pcm, frames, 12000);
	wait_for_underrun(pcm);
	ck_assert_uint_eq(load("out.raw", played, 12001), 12000);
	ck_assert_mem_eq(played, frames, sizeof(frames));
	pcm_close(pcm);
}

TEST_LOOP(playback_waits_for_its_start, 0, 2)
{
	struct pcm *pcm = open_sized(devices[_i], PCM_PLAYBACK, &cd48, 960);
	static const uint32_t silence[480];

	write_frames(pcm, silence, 480);
	let_pass(frames_to_usec(2 * 480, 48000));
	ck_assert_int_eq(pcm_delay(pcm), 480);
	ck_assert_int_eq(pcm_room(pcm), 480);
	ck_assert_int_eq(pcm_start(pcm), 0);
	wait_for_underrun(pcm);
	pcm_close(pcm);
}

TEST_LOOP(short_page_is_started_by_hand, 0, 2)
{
	struct pcm *pcm = open_sized(devices[_i], PCM_PLAYBACK, &cd48, 960);
	static uint32_t frames[100], played[101];
	int again;

	number(frames, 100);
	write_frames(pcm, frames, 100);
	ck_assert_int_eq(pcm_start(pcm), 0);
	/* 0 while it runs, -EPIPE when it has already played all. */
	again = pcm_start(pcm);
	ck_assert_msg(again == 0 || again == -EPIPE, "%d", again);
	wait_for_underrun(pcm);
	ck_assert_uint_eq(load("out.raw", played, 101), 100);
	ck_assert_mem_eq(played, frames, sizeof(frames));
	pcm_close(pcm);
}

TEST_LOOP(full_ring_takes_nothing_and_does_not_block, 0, 2)
{
	struct pcm *pcm = open_sized(devices[_i], PCM_PLAYBACK, &cd48, 960);
	static const uint32_t silence[2000];

	card_command("stalled");
	ck_assert_int_eq(pcm_write(pcm, silence, 2000), 960);
	ck_assert_int_eq(pcm_write(pcm, silence, 2000), 0);
	ck_assert_int_eq(pcm_room(pcm), 0);
	ck_assert_int_eq(pcm_write(pcm, silence, 0), 0);
	pcm_close(pcm);
}

TEST_LOOP(underruns_are_told_and_recovered, 0, 2)
{
	struct pcm *pcm = open_sized(devices[_i], PCM_PLAYBACK, &cd48, 960);
	static uint32_t frames[96], played[10 * 96 + 1];

	number(frames, 96);
	for (int i = 0; i < 10; i++) {
		play_frames(pcm, frames, 96);
		wait_for_underrun(pcm);
		ck_assert_int_eq(pcm_write(pcm, frames, 96), -EPIPE);
		ck_assert_int_eq(pcm_room(pcm), -EPIPE);
		ck_assert_int_eq(pcm_recover(pcm), 0);
		ck_assert_int_eq(pcm_delay(pcm), 0);
	}
	ck_assert_uint_eq(load("out.raw", played, ARRAY_SIZE(played)), 10 * 96);
	ck_assert_mem_eq(played + 9 * 96, frames, sizeof(frames));
	pcm_close(pcm);
}

TEST_LOOP(second_underrun_without_a_frame_is_a_lost_card, 0, 2)
{
	/* Three seconds of sound: no time for them to have been played. */
	struct pcm *pcm = open_sized(devices[_i], PCM_PLAYBACK, &slow, 32000);
	static const uint32_t silence[24000];

	card_command("stalled");
	play_frames(pcm, silence, 24000);
	card_command("xrun");
	ck_assert_int_eq(pcm_delay(pcm), -EPIPE);
	ck_assert_int_eq(pcm_recover(pcm), 0);
	play_frames(pcm, silence, 24000);
	card_command("xrun");
	ck_assert_int_eq(pcm_write(pcm, silence, 1), -EPIPE);
	ck_assert_int_eq(pcm_recover(pcm), -EIO);
	ck_assert_int_eq(pcm_recover(pcm), -EIO);
	pcm_close(pcm);
}

TEST(recover_without_a_fault_does_nothing)
{
	struct pcm *pcm = open_sized("card", PCM_PLAYBACK, &cd48, 960);
	static const uint32_t silence[100];

	write_frames(pcm, silence, 100);
	ck_assert_int_eq(pcm_recover(pcm), 0);
	ck_assert_int_eq(pcm_recover(pcm), 0);
	ck_assert_int_eq(pcm_delay(pcm), 100);
	pcm_close(pcm);
}

TEST_LOOP(unplugged_while_playing_is_gone, 0, 2)
{
	struct pcm *pcm = open_sized(devices[_i], PCM_PLAYBACK, &slow, 8000);
	static const uint32_t silence[8000];

	card_command("stalled");
	play_frames(pcm, silence, 4000);
	card_command("unplugged");
	ck_assert_int_eq(pcm_delay(pcm), -ENODEV);
	ck_assert_int_eq(pcm_write(pcm, silence, 10), -ENODEV);
	ck_assert_int_eq(pcm_room(pcm), -ENODEV);
	ck_assert_int_eq(pcm_start(pcm), -ENODEV);
	ck_assert_int_eq(pcm_recover(pcm), -ENODEV);
	pcm_close(pcm);
}

TEST_LOOP(stalled_playback_stands_still_and_goes_on, 0, 2)
{
	struct pcm *pcm = open_sized(devices[_i], PCM_PLAYBACK, &cd48, 960);
	static uint32_t frames[960], played[961];

	number(frames, 960);
	card_command("stalled");
	play_frames(pcm, frames, 960);
	let_pass(frames_to_usec(2 * 960, 48000));
	ck_assert_int_eq(pcm_delay(pcm), 960);
	card_revoke("stalled");
	wait_for_underrun(pcm);
	ck_assert_uint_eq(load("out.raw", played, 961), 960);
	ck_assert_mem_eq(played, frames, sizeof(frames));
	pcm_close(pcm);
}

TEST(playback_is_prepared_anew_after_a_suspend)
{
	struct pcm *pcm = open_sized("card", PCM_PLAYBACK, &slow, 8000);
	static const uint32_t silence[4000];

	card_command("stalled");
	play_frames(pcm, silence, 4000);
	card_command("suspend");
	ck_assert_int_eq(pcm_write(pcm, silence, 1), -ESTRPIPE);
	ck_assert_int_eq(pcm_delay(pcm), -ESTRPIPE);
	ck_assert_int_eq(pcm_recover(pcm), 0);
	ck_assert_int_eq(pcm_delay(pcm), 0);
	play_frames(pcm, silence, 4000);
	pcm_close(pcm);
}

TEST(playback_that_can_resume_goes_on_where_it_was)
{
	struct pcm *pcm = open_sized("resumable", PCM_PLAYBACK, &cd48, 960);
	static uint32_t frames[960], played[961];

	number(frames, 960);
	card_command("stalled");
	play_frames(pcm, frames, 960);
	card_command("suspend");
	ck_assert_int_eq(pcm_room(pcm), -ESTRPIPE);
	ck_assert_int_eq(pcm_recover(pcm), 0);
	card_revoke("stalled");
	wait_for_underrun(pcm);
	ck_assert_uint_eq(load("out.raw", played, 961), 960);
	ck_assert_mem_eq(played, frames, sizeof(frames));
	ck_assert_int_eq(pcm_recover(pcm), 0);
	pcm_close(pcm);
}

TEST(card_that_sleeps_is_tried_again_later)
{
	struct pcm *pcm = open_sized("card", PCM_PLAYBACK, &slow, 8000);
	static const uint32_t silence[4000];

	card_command("stalled");
	play_frames(pcm, silence, 4000);
	card_command("asleep");
	card_command("suspend");
	ck_assert_int_eq(pcm_delay(pcm), -ESTRPIPE);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(pcm_recover(pcm), -EAGAIN);
	card_revoke("asleep");
	ck_assert_int_eq(pcm_recover(pcm), 0);
	pcm_close(pcm);
}

TEST(file_card_is_bit_exact)
{
	struct pcm *pcm = open_sized("disk", PCM_PLAYBACK, &cd48, 960);
	static uint32_t frames[960], written[961];

	number(frames, 960);
	write_frames(pcm, frames, 960);
	ck_assert_int_eq(pcm_start(pcm), 0);
	pcm_close(pcm);
	ck_assert_uint_eq(load("disk.raw", written, 961), 960);
	ck_assert_mem_eq(written, frames, sizeof(frames));
}

/* --- words and lists --- */

TEST(errors_have_words)
{
	static const int errors[] = {0,	      -ENODEV, -EPIPE,	-ESTRPIPE,
				     -EBADFD, -EINVAL, -500000, INT_MIN + 1};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		ck_assert_ptr_nonnull(pcm_strerror(errors[i]));
	ck_assert_str_eq(pcm_strerror(-ENODEV), "No such device");
}

static char *list(enum pcm_direction direction)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	ck_assert_int_eq(pcm_list(f, direction), 0);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

TEST(list_names_the_devices_of_a_direction)
{
	char *inputs = list(PCM_CAPTURE), *outputs = list(PCM_PLAYBACK);

	ck_assert_ptr_nonnull(
	    strstr(inputs, "card\n    A card\n    for tests\n"));
	ck_assert_ptr_nonnull(
	    strstr(outputs, "card\n    A card\n    for tests\n"));
	ck_assert_ptr_nonnull(strstr(inputs, "resumable\n    A mouth\n"));
	ck_assert_ptr_null(strstr(outputs, "resumable"));
	ck_assert_ptr_nonnull(strstr(outputs, "narrow\n    An ear\n"));
	ck_assert_ptr_null(strstr(inputs, "narrow"));
	free(inputs);
	free(outputs);
}
