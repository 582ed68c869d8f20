/* SPDX-License-Identifier: MIT
 * Pages are saved as files while they sound. */
#include "client/saver.h"

#include <dirent.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "folder.h"
#include "test.h"

enum { PATIENCE_MS = 20000 };

static const struct wav_format format = {WAV_PCM, 16, 2, 44100};
static struct saver *saver;
static int done_fd;

static void setup(void)
{
	log_set_level(LOG_EMERG);
	signal(SIGPIPE, SIG_IGN);
	folder_setup("saver");
	done_fd = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_ge(done_fd, 0);
}

static void teardown(void)
{
	saver = saver_free(saver);
	done_fd = fd_close(done_fd);
	folder_teardown();
}

FIXTURE(setup, teardown);
TIME_LIMIT(60);

/* Whether a file is completed within MS. */
static bool done_within(int ms)
{
	struct pollfd fd = {.fd = done_fd, .events = POLLIN};

	return poll(&fd, 1, ms) > 0;
}

static void finish(void)
{
	eventfd_t count;

	ck_assert(!done_within(0));
	saver = saver_finish(saver);
	ck_assert(done_within(PATIENCE_MS));
	ck_assert_int_eq(eventfd_read(done_fd, &count), 0);
	ck_assert_uint_eq(count, 1);
}

static void start(const char *path)
{
	ck_assert_int_eq(saver_start(&saver, path, &format, done_fd), 0);
}

static void put(const void *data, size_t size)
{
	ck_assert_int_eq(saver_write(saver, data, size), 0);
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
	while (count_files(NULL) == 0)
		poll(NULL, 0, 1);
	saver = saver_free(saver);
	while (count_files(NULL) > 0)
		poll(NULL, 0, 1);
	ck_assert(!done_within(0));
}

TEST(place_that_does_not_exist_loses_the_file_and_no_more)
{
	static const uint8_t samples[4096];
	int r = 0;

	start(path_of("none/page.wav"));
	/* -EAGAIN until the thread has given up. */
	while (r == 0 || r == -EAGAIN)
		r = saver_write(saver, samples, sizeof(samples));
	ck_assert_int_eq(r, -EPIPE);
	finish();
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
