/* SPDX-License-Identifier: MIT
 * Files that are kept beside the sound. */
#include "client/saver.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/util.h"
#include "folder.h"
#include "test.h"

enum { PATIENCE_MS = 20000 };

static const struct wav_format format = {WAV_PCM, 16, 2, 44100};
static struct saver *saver;

static void setup(void)
{
	log_set_level(LOG_EMERG);
	signal(SIGPIPE, SIG_IGN);
	folder_setup("saver");
}

static void teardown(void)
{
	saver = saver_free(saver, PATIENCE_MS);
	folder_teardown();
}

FIXTURE(setup, teardown);
TIME_LIMIT(60);

static void wait_done(void)
{
	struct pollfd fd = {.fd = saver_fd(saver)};

	ck_assert_int_gt(poll(&fd, 1, PATIENCE_MS), 0);
}

static void finish(void)
{
	saver_finish(saver);
	wait_done();
	ck_assert(saver_done(saver));
	saver = saver_free(saver, 0);
}

static void start(const char *path)
{
	ck_assert_int_eq(saver_start(&saver, path, &format), 0);
}

static void put(const void *data, size_t size)
{
	ck_assert_int_eq(saver_write(saver, data, size), 0);
}

TEST(page_becomes_a_file)
{
	start(path_of("page.wav"));
	put("abcd", 4);
	ck_assert(!saver_done(saver));
	put("efgh", 4);
	finish();
	check_wav("page.wav", &format, "abcdefgh", 8);
	ck_assert_int_eq(count_files(NULL), 1);
}

TEST(next_page_replaces_the_file)
{
	for (int i = 0; i < 3; i++) {
		start(path_of("page.wav"));
		put(&"1234abcd"[i], 4);
		finish();
	}
	check_wav("page.wav", &format, "34ab", 4);
	ck_assert_int_eq(count_files(NULL), 1);
}

TEST(what_is_not_finished_leaves_nothing)
{
	start(path_of("page.wav"));
	put("abcd", 4);
	saver = saver_free(saver, PATIENCE_MS);
	ck_assert_int_eq(count_files(NULL), 0);
}

TEST(place_that_does_not_exist_loses_the_file_and_no_more)
{
	static const uint8_t samples[4096];
	int r = 0;

	start(path_of("none/page.wav"));
	wait_done();
	while (r == 0)
		r = saver_write(saver, samples, sizeof(samples));
	ck_assert_int_eq(r, -EPIPE);
}

TEST(room_is_never_promised_in_vain)
{
	static const uint8_t samples[1 << 20];
	size_t room;

	start(path_of("page.wav"));
	for (int i = 0; i < 1000; i++) {
		room = saver_room(saver);
		ck_assert_uint_le(room, sizeof(samples));
		put(samples, room);
	}
	finish();
}

TEST(path_with_a_slash_at_the_end_is_a_directory)
{
	ck_assert(saver_path_is_directory("none/"));
	ck_assert(!saver_path_is_directory("none"));
	ck_assert(!saver_path_is_directory(""));
}
