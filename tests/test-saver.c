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
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/util.h"
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

/* Whether a file is done within MS. */
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

/* The file NAME is a header and then DATA. */
static void check_file(const char *name, const void *data, size_t size)
{
	uint8_t header[WAV_HEADER_SIZE_MAX], read_back[4096];
	const size_t header_size = wav_encode(header, &format, size);
	int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(read(fd, read_back, sizeof(read_back)),
			 (int)(header_size + size));
	ck_assert_mem_eq(read_back, header, header_size);
	ck_assert_mem_eq(read_back + header_size, data, size);
	close(fd);
}

TEST(page_becomes_a_file)
{
	ck_assert_int_eq(
	    saver_start(&saver, path_of("page.wav"), &format, done_fd), 0);
	ck_assert_int_eq(saver_write(saver, "abcd", 4), 0);
	ck_assert_int_eq(saver_write(saver, "efgh", 4), 0);
	finish();
	check_file("page.wav", "abcdefgh", 8);
	ck_assert_int_eq(count_files(NULL), 1);
}

TEST(next_page_replaces_the_file)
{
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(
		    saver_start(&saver, path_of("page.wav"), &format, done_fd),
		    0);
		ck_assert_int_eq(saver_write(saver, &"1234abcd"[i], 4), 0);
		finish();
	}
	check_file("page.wav", "34ab", 4);
	ck_assert_int_eq(count_files(NULL), 1);
}

TEST(directory_gets_a_file_for_each_page)
{
	char name[NAME_MAX + 1];

	ck_assert(saver_path_is_directory(folder));
	for (int i = 1; i <= 3; i++) {
		ck_assert_int_eq(saver_start(&saver, folder, &format, done_fd),
				 0);
		ck_assert_int_eq(saver_write(saver, "abcd", 4), 0);
		finish();
		ck_assert_int_eq(count_files(name), i);
		check_file(name, "abcd", 4);
	}
}

TEST(page_without_samples_is_a_file)
{
	ck_assert_int_eq(
	    saver_start(&saver, path_of("page.wav"), &format, done_fd), 0);
	finish();
	check_file("page.wav", "", 0);
}

TEST(what_is_not_finished_leaves_nothing)
{
	ck_assert_int_eq(
	    saver_start(&saver, path_of("page.wav"), &format, done_fd), 0);
	ck_assert_int_eq(saver_write(saver, "abcd", 4), 0);
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

	ck_assert_int_eq(
	    saver_start(&saver, path_of("none/page.wav"), &format, done_fd), 0);
	/* Without room, until the thread has given up. */
	while (r == 0 || r == -EAGAIN)
		r = saver_write(saver, samples, sizeof(samples));
	ck_assert_int_eq(r, -EPIPE);
	finish();
}

TEST(room_is_never_promised_in_vain)
{
	static const uint8_t samples[1 << 20];
	size_t room;

	ck_assert_int_eq(
	    saver_start(&saver, path_of("page.wav"), &format, done_fd), 0);
	for (int i = 0; i < 1000; i++) {
		room = saver_room(saver);
		ck_assert_uint_le(room, sizeof(samples));
		ck_assert_int_eq(saver_write(saver, samples, room), 0);
	}
	finish();
}

TEST(path_with_a_slash_at_the_end_is_a_directory)
{
	ck_assert(saver_path_is_directory("none/"));
	ck_assert(!saver_path_is_directory("none"));
	ck_assert(!saver_path_is_directory(""));
}
