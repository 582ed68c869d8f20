/* SPDX-License-Identifier: MIT
 * Pages from the virtual card's microphone and from files, in a zone without
 * clients. The test intercepts zone_push(). */
#include "server/page.h"

#include <math.h>
#include <poll.h>
#include <sys/socket.h>

#include "card.h"
#include "folder.h"
#include "server/server.h"
#include "tape-reader.h"
#include "test.h"

enum {
	CHUNK = 256,
	FRAMES = 1 << 20,
	CHIME_FRAMES = 1000,
	PATIENCE_USEC = 30 * 1000000,
};

static struct page_config config = {
    .microphone = {.device = "card",
		   .format = {WAV_PCM, 16, 2, 48000},
		   .period_frames = CHUNK},
    .max_lag_seconds = 2,
};
static const struct zone_callbacks zone_callbacks; /* no clients */
static sd_event *event;
static struct gate *gate;
static struct gate_stats gate_stats;
static struct zone *zones[BUS_ZONES_MAX + 1]; /* NULL at the end */
static struct page *page;
static struct page_info info; /* when it ended */
static unsigned opened, spoken, grown, ended, done;
static uint64_t speech_began_at;
static unsigned stop_in; /* so many calls of zone_push(); 0: never */
static unsigned others;
static int slow_ms; /* how long zone_push() takes */
static uint32_t frames[FRAMES];

void __real_zone_push(struct zone *zone, const struct page *p);
void __wrap_zone_push(struct zone *zone, const struct page *p);

/* --- what is called --- */

void __wrap_zone_push(struct zone *zone, const struct page *p)
{
	ck_assert_ptr_eq(zone, zones[0]);
	grown++;
	(void)poll(NULL, 0, slow_ms);
	__real_zone_push(zone, p);
	if (stop_in && --stop_in == 0)
		page_stop(page, PAGE_STOPPED);
}

static int on_other(sd_event_source *source, int fd, uint32_t revents,
		    void *userdata)
{
	others++;
	return 0;
}

static void on_state(void *userdata, struct page *p)
{
	switch (p->info.state) {
	case PAGE_CHIME:
		ck_assert_uint_eq(opened++, 0);
		ck_assert_uint_eq(p->tape->size, 0);
		break;
	case PAGE_SPEECH:
		ck_assert_uint_eq(opened, 1);
		ck_assert_uint_eq(spoken++, 0);
		speech_began_at = page_due_frames(p);
		break;
	case PAGE_SENDING:
		ck_assert_uint_eq(ended++, 0);
		info = *page_info(p);
		break;
	case PAGE_DONE:
		ck_assert_uint_eq(done++, 0);
		break;
	case PAGE_PREPARING:
	case PAGE_QUEUED:
	case PAGE_OPENING:
		break;
	}
}

/* No other page wants the zone, so a prepared page begins at once. */
static void on_settle(void *userdata)
{
	if (page->prepared && page->info.state < PAGE_SENDING)
		page_begin(page);
}

static void on_busy(void *userdata, struct page *p)
{
	page_refuse(p);
}

static const struct page_callbacks callbacks = {
    .on_state = on_state,
    .on_busy = on_busy,
    .on_settle = on_settle,
};

static struct ledger *ledger;

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	card_setup(FRAMES);
	ck_assert_int_ge(sd_event_new(&event), 0);
	ck_assert_int_eq(gate_new(&gate, event, 1, 1, &gate_stats), 0);
	ck_assert_int_eq(zone_new(&zones[0], event, "hall", gate, NULL,
				  &zone_callbacks, NULL),
			 0);
	ck_assert_int_eq(ledger_new(&ledger, 1, 1), 0);
	opened = spoken = grown = ended = done = stop_in = 0;
	slow_ms = 0;
	config.mode = PAGE_LIVE;
}

static void teardown(void)
{
	page = page_free(page);
	zones[0] = zone_free(zones[0]);
	ledger = ledger_free(ledger);
	gate = gate_free(gate);
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

/* Runs until the microphone or the file of the page is closed, too. */
static void run_until_released(void)
{
	uint64_t end = now_usec() + PATIENCE_USEC;

	run_until(&ended);
	while (page->source) {
		ck_assert_int_ge(sd_event_run(event, PATIENCE_USEC), 0);
		ck_assert_uint_lt(now_usec(), end);
	}
}

static void begin(double seconds, int chime_fd, int file_fd)
{
	const struct page_request request = {.zones = 1,
					     .seconds = seconds,
					     .chime_fd = chime_fd,
					     .file_fd = file_fd};

	ck_assert_int_eq(page_new(&page, ledger, event, &config, zones,
				  &request, &callbacks, NULL),
			 0);
	on_settle(NULL);
}

static void talk(double seconds)
{
	begin(seconds, -1, -1);
}

static void read_page(void)
{
	const struct tape *tape = page->tape;

	ck_assert_uint_le(tape->size, sizeof(frames));
	ck_assert_int_eq(read_tape(tape, 0, frames, sizeof(frames)),
			 (ssize_t)tape->size);
}

/* Frame n is the number -n - 1. */
static int make_chime(void)
{
	uint32_t sound[CHIME_FRAMES];

	for (uint32_t i = 0; i < CHIME_FRAMES; i++)
		sound[i] = ~i;
	return memory_wav(&config.microphone.format, sizeof(sound), sound,
			  sizeof(sound));
}

/* From frame FROM on, the page must be the microphone from its frame FIRST on.
 * An overrun leaves silence, after which the page goes on in time, to within a
 * millisecond. */
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
	ck_assert_uint_eq(page_frames(44100, 1024, 5), 220160);
	ck_assert_uint_eq(page_frames(48000, 128, 0.001), 0);
	ck_assert_uint_eq(page_frames(8000, 160, 1), 8000);
	ck_assert_uint_eq(page_frames(384000, 1, 3600), UINT64_C(1382400000));
}

TEST(a_page_has_exactly_its_frames)
{
	talk(0.1);
	run_until_released();
	ck_assert_uint_eq(info.state, PAGE_SENDING);
	ck_assert_uint_eq(done, 1);
	ck_assert_uint_eq(info.end, PAGE_COMPLETE);
	ck_assert_uint_eq(info.frames, 18 * CHUNK);
	ck_assert_uint_eq(info.planned_frames, 18 * CHUNK);
	ck_assert_uint_eq(info.chime_frames, 0);
	ck_assert_uint_eq(speech_began_at, 0);
	ck_assert_uint_gt(grown, 0);
	ck_assert(page->tape->ended);
	read_page();
	check_speech(0, info.frames, 0);
}

TEST(the_chime_goes_first_and_speech_follows_without_a_gap)
{
	begin(0.1, make_chime(), -1);
	run_until(&ended);
	ck_assert_uint_eq(info.chime_frames, CHIME_FRAMES);
	ck_assert_uint_eq(info.frames, CHIME_FRAMES + 18 * CHUNK);
	/* Speech begins when the chunk in which the chime ends has come. */
	ck_assert_uint_ge(speech_began_at, CHIME_FRAMES);
	ck_assert_uint_lt(speech_began_at, CHIME_FRAMES + CHUNK);
	read_page();
	for (uint32_t i = 0; i < CHIME_FRAMES; i++)
		ck_assert_uint_eq(frames[i], ~i);
	/* The microphone ran during the chime: its first frames are unheard. */
	check_speech(CHIME_FRAMES, 18 * CHUNK, CHIME_FRAMES);
}

TEST(a_page_without_an_end_is_stopped)
{
	talk(0);
	stop_in = 5;
	run_until_released();
	ck_assert_uint_eq(info.end, PAGE_STOPPED);
	ck_assert_uint_eq(info.planned_frames, WAV_ENDLESS);
	ck_assert_uint_gt(info.frames, 0);
	/* Nothing comes after the end. */
	ck_assert_uint_eq(page->tape->size, info.frames * 4);
	page_stop(page, PAGE_FAILED);
	ck_assert_uint_eq(ended, 1);
}

TEST(a_page_is_stopped_while_the_card_opens)
{
	talk(0);
	page_stop(page, PAGE_PREEMPTED);
	ck_assert_uint_eq(ended, 1);
	ck_assert_uint_eq(info.end, PAGE_PREEMPTED);
	run_until_released();
	ck_assert_uint_eq(opened, 0);
	ck_assert_ptr_null(page->tape);
}

TEST(an_overrun_leaves_the_page_in_time)
{
	talk(0.5);
	run_until(&grown);
	card_command("xrun");
	run_until(&ended);
	ck_assert_uint_ge(info.overruns, 1);
	ck_assert_uint_eq(info.end, PAGE_COMPLETE);
	ck_assert_uint_eq(info.frames, info.planned_frames);
	read_page();
	check_speech(0, info.frames, 0);
}

TEST(slow_serving_is_told_once_and_leaves_the_loop_to_others)
{
	sd_event_source *other;
	int fds[2];

	talk(0);
	slow_ms = 4 * CHUNK * 1000 / 48000;
	run_until(&grown);
	while (!page->told_slow)
		ck_assert_int_ge(sd_event_run(event, PATIENCE_USEC), 0);
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
	talk(1);
	run_until(&ended);
	ck_assert_uint_eq(info.end, PAGE_NO_DEVICE);
	ck_assert_ptr_nonnull(strstr(info.reason, "'card'"));
	ck_assert_uint_eq(opened, 0);
}

TEST(a_microphone_that_is_unplugged_keeps_what_it_heard)
{
	talk(0);
	run_until(&grown);
	card_command("unplugged");
	run_until(&ended);
	ck_assert_uint_eq(info.end, PAGE_FAILED);
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
	begin(0, -1, memory_wav(&mono, sizeof(sound), sound, sizeof(sound)));
	run_until_released();
	ck_assert_uint_eq(info.end, PAGE_COMPLETE);
	ck_assert(wav_format_equal(&info.format, &mono));
	ck_assert_uint_eq(info.frames, 800);
	read_page();
	ck_assert_mem_eq(frames, sound, sizeof(sound));
}

TEST(a_file_without_samples_never_opens)
{
	begin(0, -1, memory_wav(&config.microphone.format, 0, "", 0));
	run_until(&ended);
	ck_assert_uint_eq(info.end, PAGE_NOT_AUDIO);
	ck_assert_ptr_nonnull(strstr(info.reason, "it has no samples"));
	ck_assert_uint_eq(opened, 0);
}

TEST(what_is_no_wav_file_never_opens)
{
	begin(0, -1, memory_file("hello", 5));
	run_until(&ended);
	ck_assert_uint_eq(opened, 0);
	ck_assert_uint_eq(info.end, PAGE_NOT_AUDIO);
}

TEST(the_peak_is_the_highest_sample)
{
	const int16_t sound[] = {0, 0, 16384, -8192};

	begin(0, -1,
	      memory_wav(&config.microphone.format, sizeof(sound), sound,
			 sizeof(sound)));
	run_until(&ended);
	ck_assert(fabs(page_take_peak(page) - 0.5) < 0.001);
	ck_assert(page_take_peak(page) == 0); /* there was nothing since */
}

TEST(a_page_for_which_there_is_no_room_fails)
{
	struct tape_shelf shelf = {.max_size = 100000};

	config.shelf = &shelf;
	talk(60); /* of a known length: fails before it begins */
	run_until(&ended);
	ck_assert_uint_eq(opened, 0);
	ck_assert_uint_eq(info.end, PAGE_FAILED);
	ck_assert_ptr_nonnull(strstr(info.reason, "not enough memory"));
	run_until_released();
	page = page_free(page);
	opened = spoken = ended = done = 0;
	talk(0);
	run_until(&ended);
	ck_assert_uint_eq(opened, 1);
	ck_assert_uint_eq(info.end, PAGE_FAILED);
	ck_assert_ptr_nonnull(strstr(info.reason, "memory ran out"));
	run_until_released();
	page = page_free(page);
	ck_assert_uint_eq(shelf.size, 0);
}

TEST(freeing_a_page_in_progress_closes_the_card)
{
	talk(0);
	run_until(&grown);
	page = page_free(page);
	ck_assert_ptr_null(page);
	opened = spoken = ended = done = 0;
	talk(0.01);
	run_until(&ended);
	ck_assert_uint_eq(info.end, PAGE_COMPLETE);
}

TEST(a_busy_microphone_is_told_when_nobody_waits_for_it)
{
	card_command("busy");
	talk(1);
	run_until(&ended);
	ck_assert_uint_eq(info.end, PAGE_NO_DEVICE);
	ck_assert_ptr_nonnull(strstr(info.reason, "another program uses it"));
	run_until_released();
}

TEST(a_chime_that_is_none_opens_no_microphone)
{
	begin(1, memory_file("", 0), -1);
	run_until(&ended);
	ck_assert_uint_eq(info.end, PAGE_NOT_AUDIO);
	ck_assert_ptr_nonnull(strstr(info.reason, "The chime cannot be used"));
	run_until_released();
	ck_assert_uint_eq(card_count("open"), 0);
}

TEST(a_stored_page_is_not_sent_before_its_end)
{
	config.mode = PAGE_STORE;
	talk(0.1);
	run_until(&ended);
	ck_assert_uint_eq(grown, 0);
	ck_assert_uint_eq(info.frames, 18 * CHUNK);
}

TEST(every_state_and_end_has_a_name)
{
	ck_assert_str_eq(page_end_name(PAGE_COMPLETE), "complete");
	for (int state = PAGE_PREPARING; state <= PAGE_DONE; state++)
		ck_assert(*page_state_name((enum page_state)state));
	for (int end = PAGE_COMPLETE; end <= PAGE_FAILED; end++)
		ck_assert(*page_end_name((enum page_end)end));
}
