/* SPDX-License-Identifier: MIT
 * Samples that wait in memory for the disk. */
#include "client/saver.h"

#include <poll.h>

#include "base/log.h"
#include "folder.h"
#include "test.h"

#define PATIENCE_USEC (20 * USEC_PER_SEC)

static const struct wav_format format = {WAV_PCM, 16, 2, 44100};
static struct recorder *recorder;
static struct saver *saver;

static void setup(void)
{
	log_set_level(LOG_EMERG);
	signal(SIGPIPE, SIG_IGN);
	folder_setup("saver");
}

static void teardown(void)
{
	saver = saver_free(saver);
	recorder = recorder_free(recorder, now_usec() + PATIENCE_USEC);
	folder_teardown();
}

FIXTURE(setup, teardown);
TIME_LIMIT(60);

static void start(const char *path)
{
	ck_assert_int_eq(saver_open(&recorder, path), 0);
	ck_assert_int_eq(saver_start(&saver, recorder, &format), 0);
}

static void put(const void *data, size_t size)
{
	ck_assert_int_eq(saver_write(saver, data, size), 0);
}

static void finish(void)
{
	saver = saver_finish(saver);
	recorder = recorder_free(recorder, now_usec() + PATIENCE_USEC);
}

TEST(page_becomes_a_file)
{
	start(path_of("page.wav"));
	put("abcd", 4);
	put("efgh", 4);
	finish();
	check_wav("page.wav", &format, "abcdefgh", 8);
	ck_assert_int_eq(count_files(NULL), 1);
}

TEST(what_is_not_finished_leaves_nothing)
{
	start(path_of("page.wav"));
	put("abcd", 4);
	while (count_files(NULL) == 0)
		poll(NULL, 0, 1);
	saver = saver_free(saver);
	recorder = recorder_free(recorder, now_usec() + PATIENCE_USEC);
	ck_assert_int_eq(count_files(NULL), 0);
}

TEST(place_that_does_not_exist_loses_the_file_and_no_more)
{
	static const uint8_t samples[4096];
	int r = 0;

	start(path_of("none/page.wav"));
	while (r == 0 || r == -EAGAIN) {
		r = saver_write(saver, samples, sizeof(samples));
		recorder_dispatch(recorder);
	}
	ck_assert_int_eq(r, -EPIPE);
	ck_assert_uint_eq(saver_room(saver), SIZE_MAX);
	finish();
}

/* Far more than may wait: what is written is given back. */
TEST(room_is_never_promised_in_vain)
{
	enum { PIECE = 3 << 19 };
	static uint8_t all[40 * PIECE];
	size_t size = 0;

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)(i * 7 + i / 255);
	start(path_of("page.wav"));
	while (size < sizeof(all)) {
		size_t room = MIN(saver_room(saver), PIECE);

		room = MIN(room, sizeof(all) - size);
		ck_assert_uint_le(saver_room(saver), 4 << 20);
		put(all + size, room);
		size += room;
		recorder_dispatch(recorder);
	}
	finish();
	check_wav("page.wav", &format, all, sizeof(all));
}
