/* SPDX-License-Identifier: MIT
 * Pages in the making, from the virtual card's microphone and from files. */
#include "server/announcement.h"
#include "tape-reader.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "card.h"
#include "test.h"

enum {
	CHUNK = 256,
	FRAMES = 1 << 20,
	CHIME_FRAMES = 1000,
	PATIENCE_USEC = 30 * 1000000,
};

static const struct microphone_config config = {
    .device = "card",
    .format = {WAV_PCM, 16, 2, 48000},
    .period_frames = CHUNK,
};
static sd_event *event;
static struct announcement *page;
static struct announcement_info info;
static unsigned opened, spoken, grown, ended, released;
static uint64_t speech_began_at;
static unsigned stop_in; /* calls of on_grown; 0: never */
static unsigned slow, others;
static int slow_ms; /* what on_grown takes */
static uint32_t frames[FRAMES];

/* --- what is called --- */

static void on_opened(void *userdata)
{
	(void)userdata;
	ck_assert_uint_eq(opened++, 0);
	ck_assert_ptr_nonnull(announcement_tape(page));
	ck_assert_uint_eq(tape_size(announcement_tape(page)), 0);
}

static void on_speech(void *userdata)
{
	(void)userdata;
	ck_assert_uint_eq(opened, 1);
	ck_assert_uint_eq(spoken++, 0);
	speech_began_at = tape_size(announcement_tape(page)) / 4;
}

static void on_grown(void *userdata)
{
	(void)userdata;
	grown++;
	(void)poll(NULL, 0, slow_ms);
	if (stop_in && --stop_in == 0)
		announcement_stop(page, ANNOUNCEMENT_STOPPED);
}

static void on_slow(void *userdata, uint64_t took_usec)
{
	(void)userdata;
	ck_assert_uint_eq(slow++, 0);
	ck_assert_uint_ge(took_usec, CHUNK * 1000000 / 48000);
}

static int on_other(sd_event_source *source, int fd, uint32_t revents,
		    void *userdata)
{
	(void)source;
	(void)fd;
	(void)revents;
	(void)userdata;
	others++;
	return 0;
}

static void on_ended(void *userdata)
{
	(void)userdata;
	ck_assert_uint_eq(ended++, 0);
	announcement_info(page, &info);
}

static void on_released(void *userdata)
{
	(void)userdata;
	ck_assert_uint_eq(ended, 1);
	ck_assert_uint_eq(released++, 0);
	ck_assert(announcement_released(page));
}

static const struct announcement_callbacks callbacks = {
    .on_opened = on_opened,
    .on_speech = on_speech,
    .on_grown = on_grown,
    .on_slow = on_slow,
    .on_ended = on_ended,
    .on_released = on_released,
};

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	card_setup(FRAMES);
	ck_assert_int_ge(sd_event_new(&event), 0);
	opened = spoken = grown = ended = released = stop_in = slow = 0;
	slow_ms = 0;
}

static void teardown(void)
{
	page = announcement_free(page);
	event = sd_event_unref(event);
	card_teardown();
}

FIXTURE(setup, teardown);

/* --- helpers --- */

static void run_until(const unsigned *count)
{
	uint64_t end = now_usec() + PATIENCE_USEC;

	while (*count == 0) {
		ck_assert_int_ge(sd_event_run(event, PATIENCE_USEC), 0);
		ck_assert_uint_lt(now_usec(), end);
	}
}

static void talk(double seconds, struct chime *chime)
{
	ck_assert_int_eq(announcement_new_microphone(&page, event, &config,
						     seconds, chime, &callbacks,
						     NULL),
			 0);
}

static void read_page(void)
{
	const struct tape *p = announcement_tape(page);

	ck_assert_uint_le(tape_size(p), sizeof(frames));
	ck_assert_int_eq(read_tape(p, 0, frames, sizeof(frames)),
			 (ssize_t)tape_size(p));
}

static int wav_of(const struct wav_format *format, const void *data,
		  size_t size)
{
	uint8_t header[WAV_HEADER_SIZE_MAX];
	size_t header_size = wav_encode(header, format, size);
	int fd = memfd_create("test", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, header, header_size), (ssize_t)header_size);
	ck_assert_int_eq(write(fd, data, size), (ssize_t)size);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* Frame n is the number -n - 1. */
static struct chime *load_chime(void)
{
	char problem[CHIME_PROBLEM_SIZE];
	uint32_t sound[CHIME_FRAMES];
	struct chime *chime;
	int fd;

	for (uint32_t i = 0; i < CHIME_FRAMES; i++)
		sound[i] = ~i;
	fd = wav_of(&config.format, sound, sizeof(sound));
	ck_assert_msg(chime_load(&chime, fd, &config.format, problem) == 0,
		      "%s", problem);
	close(fd);
	return chime;
}

/* From frame FROM on the page is the microphone from its frame FIRST on; where
 * an overrun was it is silent, and then goes on in time, which is measured to
 * a millisecond. */
static void check_speech(uint64_t from, uint64_t count, uint32_t first)
{
	const int64_t tolerance = info.overruns ? 48 : 0;
	int64_t expected = first;

	for (uint64_t i = from; i < from + count; i++, expected++) {
		if (frames[i] == 0 && info.overruns > 0)
			continue;
		if ((int64_t)frames[i] > expected + tolerance ||
		    (int64_t)frames[i] < expected - tolerance)
			ck_abort_msg("frame %ju is %u", (uintmax_t)i,
				     frames[i]);
	}
}

/* --- tests --- */

TEST(whole_chunks_of_the_time_are_counted_as_by_the_scripts)
{
	ck_assert_uint_eq(announcement_frames(44100, 1024, 5), 220160);
	ck_assert_uint_eq(announcement_frames(48000, 128, 0.001), 0);
	ck_assert_uint_eq(announcement_frames(8000, 160, 1), 8000);
	ck_assert_uint_eq(announcement_frames(384000, 1, 3600),
			  UINT64_C(1382400000));
}

TEST(a_page_has_exactly_its_frames)
{
	talk(0.1, NULL);
	run_until(&released);
	ck_assert_uint_eq(info.state, ANNOUNCEMENT_ENDED);
	ck_assert_uint_eq(info.end, ANNOUNCEMENT_COMPLETE);
	ck_assert_uint_eq(info.frames, 18 * CHUNK);
	ck_assert_uint_eq(info.planned_frames, 18 * CHUNK);
	ck_assert_uint_eq(info.chime_frames, 0);
	ck_assert_uint_eq(speech_began_at, 0);
	ck_assert_uint_gt(grown, 0);
	ck_assert(tape_ended(announcement_tape(page)));
	read_page();
	check_speech(0, info.frames, 0);
}

TEST(the_chime_goes_first_and_speech_follows_without_a_gap)
{
	struct chime *chime = load_chime();

	talk(0.1, chime);
	chime_unref(chime);
	run_until(&ended);
	ck_assert_uint_eq(info.chime_frames, CHIME_FRAMES);
	ck_assert_uint_eq(info.frames, CHIME_FRAMES + 18 * CHUNK);
	ck_assert_uint_eq(speech_began_at, CHIME_FRAMES);
	read_page();
	for (uint32_t i = 0; i < CHIME_FRAMES; i++)
		ck_assert_uint_eq(frames[i], ~i);
	/* The microphone ran meanwhile: its time is the page's. */
	check_speech(CHIME_FRAMES, 18 * CHUNK, CHIME_FRAMES);
}

TEST(a_page_without_an_end_is_stopped)
{
	talk(0, NULL);
	stop_in = 5;
	run_until(&released);
	ck_assert_uint_eq(info.end, ANNOUNCEMENT_STOPPED);
	ck_assert_uint_eq(info.planned_frames, WAV_ENDLESS);
	ck_assert_uint_gt(info.frames, 0);
	/* Nothing comes after the end. */
	ck_assert_uint_eq(tape_size(announcement_tape(page)), info.frames * 4);
	announcement_stop(page, ANNOUNCEMENT_FAILED);
	ck_assert_uint_eq(ended, 1);
}

TEST(a_page_is_stopped_while_the_card_opens)
{
	talk(0, NULL);
	announcement_stop(page, ANNOUNCEMENT_PREEMPTED);
	ck_assert_uint_eq(ended, 1);
	ck_assert_uint_eq(info.end, ANNOUNCEMENT_PREEMPTED);
	run_until(&released);
	ck_assert_uint_eq(opened, 0);
	ck_assert_ptr_null(announcement_tape(page));
}

TEST(an_overrun_leaves_the_page_in_time)
{
	talk(0.5, NULL);
	run_until(&grown);
	card_command("xrun");
	run_until(&ended);
	ck_assert_uint_ge(info.overruns, 1);
	ck_assert_uint_eq(info.end, ANNOUNCEMENT_COMPLETE);
	ck_assert_uint_eq(info.frames, info.planned_frames);
	read_page();
	check_speech(0, info.frames, 0);
}

TEST(slow_serving_is_told_once_and_leaves_the_loop_to_others)
{
	sd_event_source *other;
	int fds[2];

	talk(0, NULL);
	slow_ms = 4 * CHUNK * 1000 / 48000;
	run_until(&slow);
	/* A socket that always has room. */
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	ck_assert_int_ge(
	    sd_event_add_io(event, &other, fds[0], EPOLLOUT, on_other, NULL),
	    0);
	others = 0;
	grown = 0;
	while (grown < 5)
		ck_assert_int_ge(sd_event_run(event, PATIENCE_USEC), 0);
	ck_assert_uint_ge(others, 4);
	sd_event_source_unref(other);
	close(fds[0]);
	close(fds[1]);
}

TEST(a_missing_microphone_is_no_device)
{
	card_command("unplugged");
	talk(1, NULL);
	run_until(&ended);
	ck_assert_uint_eq(info.end, ANNOUNCEMENT_NO_DEVICE);
	ck_assert_int_eq(info.error, -ENODEV);
	ck_assert_ptr_nonnull(strstr(info.reason, "'card'"));
	ck_assert_uint_eq(opened, 0);
}

TEST(a_microphone_that_is_unplugged_keeps_what_it_heard)
{
	talk(0, NULL);
	run_until(&grown);
	card_command("unplugged");
	run_until(&ended);
	ck_assert_uint_eq(info.end, ANNOUNCEMENT_FAILED);
	ck_assert_uint_gt(info.frames, 0);
	ck_assert(*info.reason);
	read_page();
	check_speech(0, info.frames, 0);
}

TEST(a_file_becomes_a_page_in_its_own_format)
{
	const struct wav_format mono = {WAV_PCM, 16, 1, 8000};
	uint16_t sound[800];

	for (unsigned i = 0; i < ARRAY_SIZE(sound); i++)
		sound[i] = (uint16_t)i;
	ck_assert_int_eq(announcement_new_file(
			     &page, event, wav_of(&mono, sound, sizeof(sound)),
			     ANNOUNCEMENT_AT_ONCE, &callbacks, NULL),
			 0);
	run_until(&released);
	ck_assert_uint_eq(info.end, ANNOUNCEMENT_COMPLETE);
	ck_assert(wav_format_equal(&info.format, &mono));
	ck_assert_uint_eq(info.frames, 800);
	read_page();
	ck_assert_mem_eq(frames, sound, sizeof(sound));
}

TEST(a_file_without_samples_is_complete_at_once)
{
	ck_assert_int_eq(
	    announcement_new_file(&page, event, wav_of(&config.format, "", 0),
				  ANNOUNCEMENT_PACED, &callbacks, NULL),
	    0);
	run_until(&ended);
	ck_assert_uint_eq(info.end, ANNOUNCEMENT_COMPLETE);
	ck_assert_uint_eq(info.frames, 0);
	ck_assert_uint_eq(opened, 1);
}

TEST(what_is_no_wav_file_never_opens)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	ck_assert_int_eq(write(fd, "hello", 5), 5);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	ck_assert_int_eq(announcement_new_file(&page, event, fd,
					       ANNOUNCEMENT_PACED, &callbacks,
					       NULL),
			 0);
	run_until(&ended);
	ck_assert_uint_eq(opened, 0);
	ck_assert_uint_eq(info.end, ANNOUNCEMENT_NOT_AUDIO);
	ck_assert_int_eq(info.error, -EBADMSG);
}

TEST(the_peak_is_that_since_it_was_last_asked_for)
{
	const int16_t sound[] = {0, 0, 16384, -8192};

	ck_assert_int_eq(
	    announcement_new_file(&page, event,
				  wav_of(&config.format, sound, sizeof(sound)),
				  ANNOUNCEMENT_AT_ONCE, &callbacks, NULL),
	    0);
	run_until(&ended);
	ck_assert(fabs(announcement_take_peak(page) - 0.5) < 0.001);
	ck_assert(announcement_take_peak(page) == 0.0);
}

TEST(freeing_a_page_in_progress_closes_the_card)
{
	talk(0, NULL);
	run_until(&grown);
	page = announcement_free(page);
	ck_assert_ptr_null(page);
	opened = spoken = ended = 0;
	talk(0.01, NULL);
	run_until(&ended);
	ck_assert_uint_eq(info.end, ANNOUNCEMENT_COMPLETE);
}

TEST(every_end_has_a_name)
{
	ck_assert_str_eq(announcement_end_name(ANNOUNCEMENT_COMPLETE),
			 "complete");
	for (int end = ANNOUNCEMENT_COMPLETE; end <= ANNOUNCEMENT_FAILED; end++)
		ck_assert(*announcement_end_name((enum announcement_end)end));
}
