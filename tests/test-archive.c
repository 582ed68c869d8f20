/* SPDX-License-Identifier: MIT
 * Pages are kept as files; the oldest make room for new ones. */
#include "server/archive.h"
#include "tape-reader.h"

#include <limits.h>
#include <sys/resource.h>

#include "base/log.h"
#include "folder.h"
#include "test.h"

#define PATIENCE_USEC (60 * USEC_PER_SEC)

static const struct wav_format cd = {WAV_PCM, 16, 2, 44100};
static struct archive_config config;
static struct tape *page;
static struct archive_writer *writer;
static int log_fd = -1; /* reads what goes to stderr */

static void setup(void)
{
	int fds[2];

	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	folder_setup("archive");
	config = (struct archive_config){.dir = folder};
	ck_assert_int_eq(tape_new(&page, &cd, WAV_ENDLESS), 0);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	close(fds[1]);
	log_fd = fds[0];
}

static void teardown(void)
{
	writer = archive_free(writer);
	page = tape_unref(page);
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

/* The only file must be a WAV file of DATA; returns its name. */
static const char *check_only_file(const void *data, size_t size)
{
	static char name[NAME_MAX + 1];

	ck_assert_int_eq(count_files(name), 1);
	check_wav(name, &cd, data, size);
	return name;
}

/* "20300102-030405-LABEL.wav" */
static void check_name(const char *name, const char *end)
{
	ck_assert_uint_eq(strlen(name), 15 + strlen(end));
	ck_assert_uint_eq(strspn(name, "0123456789"), 8);
	ck_assert_int_eq(name[8], '-');
	ck_assert_uint_eq(strspn(name + 9, "0123456789"), 6);
	ck_assert_str_eq(name + 15, end);
}

static void begin(const char *label)
{
	ck_assert_int_eq(archive_begin(&writer, &config, label, page), 0);
}

static void grow(const void *data, size_t size)
{
	ck_assert_int_eq(tape_append(page, data, size), 0);
	archive_push(writer, page->size);
}

static void wait_until(bool (*condition)(void))
{
	const uint64_t end = now_usec() + PATIENCE_USEC;

	while (!condition()) {
		ck_assert_msg(now_usec() < end, "waited in vain");
		usleep(1000);
	}
}

static bool is_done(void)
{
	return archive_done(writer);
}

static bool is_written(void)
{
	return archive_offset(writer) == page->size;
}

static void end_and_wait(void)
{
	tape_end(page);
	archive_push(writer, page->size);
	wait_until(is_done);
	ck_assert_uint_eq(archive_offset(writer), UINT64_MAX);
	writer = archive_free(writer);
}

/* --- writing --- */

TEST(page_becomes_a_file_while_it_grows)
{
	char name[NAME_MAX + 1];

	begin("lobby+yard");
	grow("abcd", 4);
	wait_until(is_written);
	ck_assert(!archive_done(writer));
	ck_assert_int_eq(count_files(name), 1);
	ck_assert_int_eq(name[0], '.');
	grow("efghijkl", 8);
	wait_until(is_written);
	end_and_wait();
	check_name(check_only_file("abcdefghijkl", 12), "-lobby+yard.wav");
	ck_assert_int_eq(count_of(logged(), "Archived "), 1);
}

TEST(page_that_was_there_before_is_written_whole)
{
	grow("abcdefgh", 8);
	begin("all");
	end_and_wait();
	check_only_file("abcdefgh", 8);
}

TEST(page_without_samples_is_a_file)
{
	begin("all");
	end_and_wait();
	check_only_file("", 0);
}

/* Sends far more orders than the socket holds, and reads no answer. */
TEST(nothing_is_lost_when_the_queue_is_full)
{
	enum { PIECES = 20000, PIECE = 404 };
	static uint8_t data[PIECES * PIECE];

	for (size_t i = 0; i < PIECES * PIECE; i++)
		data[i] = (uint8_t)(i * 31 + i / 251);
	begin("all");
	for (size_t i = 0; i < PIECES; i++)
		grow(data + i * PIECE, PIECE);
	tape_end(page);
	archive_push(writer, page->size);
	writer = archive_free(writer);
	check_only_file(data, PIECES * PIECE);
}

TEST(page_that_is_freed_early_is_kept_so_far)
{
	begin("all");
	ck_assert_int_eq(tape_append(page, "abcdefgh", 8), 0);
	writer = archive_free(writer);
	check_only_file("abcdefgh", 8);
}

TEST(no_writer_needs_nothing)
{
	archive_push(NULL, page->size);
	ck_assert(archive_done(NULL));
	ck_assert_uint_eq(archive_offset(NULL), UINT64_MAX);
	ck_assert_ptr_null(archive_free(NULL));
}

/* All pages begin within a second or two and have the same label. */
TEST(pages_of_the_same_second_get_a_file_each)
{
	enum { PAGES = 10 };
	struct archive_writer *writers[PAGES];

	grow("abcd", 4);
	for (int i = 0; i < PAGES; i++)
		ck_assert_int_eq(
		    archive_begin(&writers[i], &config, "all", page), 0);
	for (int i = 0; i < PAGES; i++)
		archive_free(writers[i]);
	ck_assert_int_eq(count_files(NULL), PAGES);
	ck_assert_int_eq(count_of(logged(), "Archived "), PAGES);
}

TEST(what_is_given_up_leaves_nothing)
{
	begin("all");
	grow("abcd", 4);
	wait_until(is_written);
	archive_give_up(writer);
	ck_assert_uint_eq(archive_offset(writer), UINT64_MAX);
	wait_until(is_done);
	archive_push(writer, page->size);
	writer = archive_free(writer);
	ck_assert_int_eq(count_files(NULL), 0);
	ck_assert_str_eq(logged(), ""); /* the caller logs the reason */
}

/* The memory of the page is needed until the thread is done. */
TEST(giving_up_after_the_end_keeps_the_file)
{
	static uint8_t data[16 << 20];
	uint64_t offset;

	memset(data, 'x', sizeof(data));
	ck_assert_int_eq(tape_append(page, data, sizeof(data)), 0);
	tape_end(page);
	begin("all");
	archive_push(writer, page->size);
	archive_give_up(writer);
	offset = archive_offset(writer);
	ck_assert(offset != UINT64_MAX || archive_done(writer));
	wait_until(is_done);
	writer = archive_free(writer);
	check_only_file(data, sizeof(data));
}

/* --- disks that do not do it --- */

TEST(full_disk_costs_the_file_and_is_logged_once)
{
	static uint8_t samples[200000];
	const char *text;
	uint8_t back[4];
	rlim_t before;

	begin("all");
	ck_assert_int_eq(tape_append(page, samples, sizeof(samples)), 0);
	/* The limit applies to the memfd of the page, too. */
	before = limit_file_size(100000);
	archive_push(writer, page->size);
	wait_until(is_done);
	ck_assert_uint_eq(archive_offset(writer), UINT64_MAX);
	limit_file_size(before);
	for (int i = 0; i < 10; i++)
		grow("abcd", 4);
	end_and_wait();
	text = logged();
	ck_assert_int_eq(count_of(text, "could not be archived"), 1);
	ck_assert_int_eq(count_of(text, "\n"), 1);
	ck_assert_ptr_nonnull(strstr(text, strerror(EFBIG)));
	ck_assert_ptr_nonnull(strstr(text, folder));
	ck_assert_int_eq(count_files(NULL), 0);
	ck_assert_int_eq(read_tape(page, sizeof(samples), back, 4), 4);
	ck_assert_mem_eq(back, "abcd", 4);
}

TEST(folder_that_is_gone_costs_the_file_and_is_logged_once)
{
	const char *text;

	config.dir = path_of("none");
	begin("all");
	grow("abcd", 4);
	wait_until(is_done);
	end_and_wait();
	text = logged();
	ck_assert_int_eq(count_of(text, "could not be archived"), 1);
	ck_assert_int_eq(count_of(text, "\n"), 1);
	ck_assert_ptr_nonnull(strstr(text, strerror(ENOENT)));
}

TEST(name_that_is_too_long_costs_the_file)
{
	char label[NAME_MAX + 1];

	memset(label, 'x', NAME_MAX);
	label[NAME_MAX] = '\0';
	begin(label);
	end_and_wait();
	ck_assert_ptr_nonnull(strstr(logged(), strerror(ENAMETOOLONG)));
	ck_assert_int_eq(count_files(NULL), 0);
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
	/* The order is that of the times, not of the names. */
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
	put(FIRST, 5000, 1000);
	config.limit_size = 2000;
	begin("all");
	grow("abcd", 4);
	ck_assert(file_exists(FIRST));
	end_and_wait();
	ck_assert(!file_exists(FIRST));
	check_only_file("abcd", 4);
}

/* --- at the start --- */

TEST(partial_files_are_repaired_and_that_is_said)
{
	uint8_t whole[WAV_HEADER_SIZE_MAX + 8];
	const size_t size = wav_encode(whole, &cd, WAV_ENDLESS);
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
