/* SPDX-License-Identifier: MIT
 * Which files of an archive must go, and what is done at the start. */
#include "server/archive.h"

#include <limits.h>

#include "base/log.h"
#include "folder.h"
#include "test.h"

static const struct wav_format cd = {WAV_PCM, 16, 2, 44100};
static struct archive_config config;
static struct recorder *recorder;
static int log_fd = -1; /* what goes to stderr */

static void setup(void)
{
	int fds[2];

	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	folder_setup("archive");
	config = (struct archive_config){.dir = folder};
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	close(fds[1]);
	log_fd = fds[0];
}

static void teardown(void)
{
	folder_teardown();
	close(log_fd);
}

FIXTURE(setup, teardown);

/* What was logged since the last time. */
static const char *logged(void)
{
	static char text[16384];
	const ssize_t n = read(log_fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static int count_of(const char *text, const char *part)
{
	int count = 0;

	for (text = strstr(text, part); text; text = strstr(text + 1, part))
		count++;
	return count;
}

/* --- limits --- */

/* A file of SIZE bytes that is AGE_SECONDS old. */
static void put(const char *name, off_t size, time_t age_seconds)
{
	_cleanup_close_ int fd =
	    open(path_of(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	const time_t then = time(NULL) - age_seconds;
	const struct timespec times[2] = {{.tv_sec = then}, {.tv_sec = then}};

	ck_assert_int_eq(ftruncate(fd, size), 0);
	ck_assert_int_eq(futimens(fd, times), 0);
}

#define FIRST "20010101-000000-all.wav"
#define SECOND "20020101-000000-lobby+yard.wav"
#define THIRD "20030101-000000-all-2.wav"

static void check(void)
{
	ck_assert_int_eq(archive_check(&config), 0);
}

TEST(without_limits_all_stay)
{
	put(FIRST, 1 << 30, 1000000000);
	check();
	ck_assert(file_exists(FIRST));
	ck_assert_str_eq(logged(), "");
}

TEST(oldest_go_above_a_size)
{
	/* In the order of time, not of names. */
	put(THIRD, 1000, 3000);
	put(FIRST, 1000, 2000);
	put(SECOND, 1000, 1000);
	config.limit_size = 3000;
	check();
	ck_assert_int_eq(count_files(NULL), 3);
	config.limit_size = 2999;
	check();
	ck_assert(!file_exists(THIRD));
	ck_assert_int_eq(count_files(NULL), 2);
	config.limit_size = 999;
	check();
	ck_assert_int_eq(count_files(NULL), 0);
	ck_assert_int_eq(count_of(logged(), "Removed "), 3);
}

TEST(files_go_above_an_age)
{
	put(FIRST, 10, 7200);
	put(SECOND, 10, 4000);
	put(THIRD, 10, 3000);
	config.limit_seconds = 3600;
	check();
	ck_assert(file_exists(THIRD));
	ck_assert_int_eq(count_files(NULL), 1);
	ck_assert_int_eq(count_of(logged(), "Removed "), 2);
}

TEST(file_from_the_future_is_not_old)
{
	put(FIRST, 10, -86400);
	config.limit_seconds = 1;
	check();
	ck_assert(file_exists(FIRST));
}

TEST(both_limits_hold)
{
	put(FIRST, 10, 7200);
	put(SECOND, 5000, 1000);
	put(THIRD, 10, 10);
	config.limit_seconds = 3600;
	config.limit_size = 4000;
	check();
	ck_assert(file_exists(THIRD));
	ck_assert_int_eq(count_files(NULL), 1);
}

TEST(files_of_others_are_neither_counted_nor_removed)
{
	static const char *const others[] = {
	    "chime.wav",
	    "20010101-000000-all.mp3",
	    "20010101-000000-.wav",
	    "20010101-000000.wav",
	    "2001010-000000-all.wav",
	    "200101010-000000-all.wav",
	    "20010101-00000-all.wav",
	    "20010101_000000-all.wav",
	    "x20010101-000000-all.wav",
	    ".20010101-000000-all.wav",
	    "20010101-000000-all.wav.bak",
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		put(others[i], 5000, 100000);
	ck_assert_int_eq(mkdir(path_of(FIRST), 0700), 0);
	ck_assert_int_eq(symlink("chime.wav", path_of(SECOND)), 0);
	put(THIRD, 1000, 1000);
	config.limit_size = 1000;
	config.limit_seconds = 2000;
	check();
	ck_assert_int_eq(count_files(NULL), (int)ARRAY_SIZE(others) + 3);
	config.limit_size = 999;
	check();
	ck_assert(!file_exists(THIRD));
	ck_assert_int_eq(count_files(NULL), (int)ARRAY_SIZE(others) + 2);
}

TEST(limits_hold_for_a_thousand_files)
{
	char name[64];

	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "20010101-%06d-all.wav", i);
		put(name, 100, 2000 - i);
	}
	config.limit_size = 30000;
	check();
	ck_assert_int_eq(count_files(NULL), 300);
	ck_assert(file_exists("20010101-000999-all.wav"));
	ck_assert(file_exists("20010101-000700-all.wav"));
	ck_assert(!file_exists("20010101-000699-all.wav"));
}

TEST(page_that_was_kept_makes_older_ones_go)
{
	struct recording *page;

	put(FIRST, 5000, 1000);
	config.limit_size = 2000;
	ck_assert_int_eq(archive_open(&recorder, &config), 0);
	put(SECOND, 5000, 1000);
	ck_assert_int_eq(recording_begin(&page, recorder, "-all", &cd,
					 memory_file("abcd", 4)),
			 0);
	recording_push(page, 4);
	recording_release(page);
	recorder = recorder_free(recorder, UINT64_MAX);
	while (file_exists(SECOND))
		usleep(1000);
	ck_assert_int_eq(count_files(NULL), 1);
	ck_assert_int_eq(count_of(logged(), "Archived "), 1);
}

/* --- at the start --- */

TEST(partial_files_are_repaired_and_that_is_said)
{
	uint8_t whole[WAV_HEADER_SIZE_MAX + 8];
	const size_t size = wav_encode(whole, &cd, WAV_ENDLESS, NULL);
	const char *parts[] = {".20010101-000000-all.wav.abcdef.part",
			       ".20010101-000000-all.wav.ghijkl.part"};

	memcpy(whole + size, "abcdefg", 7);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		put_file(parts[i], whole, size + 7);
	check();
	check_wav("20010101-000000-all.wav", &cd, "abcd", 4);
	check_wav("20010101-000000-all-2.wav", &cd, "abcd", 4);
	ck_assert_ptr_nonnull(strstr(logged(), "Repaired 2 files that"));
	ck_assert_int_eq(count_files(NULL), 2);
	check();
	ck_assert_str_eq(logged(), "");
}

TEST(what_is_no_folder_that_can_be_written_is_refused)
{
	put("file", 10, 0);
	config.dir = path_of("none");
	ck_assert_int_eq(archive_check(&config), -ENOENT);
	ck_assert_int_eq(chmod(path_of("file"), 0700), 0);
	config.dir = path_of("file");
	ck_assert_int_eq(archive_check(&config), -ENOTDIR);
	config.dir = folder;
	ck_assert_int_eq(chmod(folder, 0500), 0);
	ck_assert_int_eq(archive_check(&config), geteuid() ? -EACCES : 0);
	ck_assert_int_eq(chmod(folder, 0700), 0);
}
