/* SPDX-License-Identifier: MIT
 * Pages that become files beside the loop. */
#include "audio/recorder.h"

#include <poll.h>
#include <sys/mman.h>

#include "base/io.h"
#include "base/log.h"
#include "folder.h"
#include "test.h"

#define PATIENCE_USEC (60 * USEC_PER_SEC)

static const struct wav_format cd = {WAV_PCM, 16, 2, 44100};
static struct recorder *recorder;
static struct recorder_config config;
static struct recording *page;
static int samples_fd, kept, lost, lost_error, check_result;
static uint64_t size;
static char kept_path[PATH_MAX];
static int gate[2]; /* the check waits for it */

static int check(const void *userdata)
{
	char byte;

	if (userdata)
		(void)!read(gate[0], &byte, 1);
	return check_result;
}

static void on_file(const struct recorder_config *of, const char *path,
		    int error)
{
	ck_assert_str_eq(of->path, config.path);
	kept += error == 0;
	lost += error < 0;
	lost_error = error;
	snprintf(kept_path, sizeof(kept_path), "%s", path);
}

static void open_recorder(const char *path)
{
	config.path = path;
	ck_assert_int_eq(recorder_new(&recorder, &config), 0);
}

static void setup(void)
{
	log_set_level(LOG_EMERG);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	folder_setup("recorder");
	config = (struct recorder_config){
	    .path = folder,
	    .kind = RECORDER_DIRECTORY_OR_FILE,
	    .backlog_max = 64 << 20,
	    .check = check,
	    .on_file = on_file,
	};
	kept = lost = check_result = 0;
	samples_fd = -1;
}

static void teardown(void)
{
	page = recording_release(page);
	recorder = recorder_free(recorder, now_usec() + PATIENCE_USEC);
	samples_fd = fd_close(samples_fd);
	folder_teardown();
}

FIXTURE(setup, teardown);
TIME_LIMIT(60);

static void dispatch_once(void)
{
	struct pollfd fd = {.fd = recorder_fd(recorder), .events = POLLIN};

	ck_assert_int_eq(poll(&fd, 1, (int)(PATIENCE_USEC / 1000)), 1);
	recorder_dispatch(recorder);
}

static void begin(const char *label)
{
	fd_close(samples_fd);
	samples_fd = memfd_create("test", MFD_CLOEXEC);
	size = 0;
	ck_assert_int_eq(
	    recording_begin(&page, recorder, label, &cd, dup(samples_fd)), 0);
}

static void grow(const void *data, size_t length)
{
	ck_assert_int_eq(pwrite_all(samples_fd, data, length, (off_t)size), 0);
	size += length;
	recording_push(page, size);
}

static void finish(void)
{
	recording_finish(page);
	ck_assert(!recorder_is_idle(recorder));
	while (!recorder_is_idle(recorder))
		dispatch_once();
	ck_assert_uint_eq(recording_offset(page), UINT64_MAX);
	page = recording_release(page);
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

TEST(page_becomes_a_file_while_it_grows)
{
	char name[NAME_MAX + 1];

	open_recorder(folder);
	begin("-lobby+yard");
	grow("abcd", 4);
	while (recording_offset(page) < 4)
		dispatch_once();
	ck_assert_int_eq(count_files(name), 1);
	ck_assert_int_eq(name[0], '.');
	ck_assert(recorder_is_idle(recorder)); /* nobody waits for it */
	grow("efghijkl", 8);
	finish();
	ck_assert_int_eq(count_files(name), 1);
	check_name(name, "-lobby+yard.wav");
	check_wav(name, &cd, "abcdefghijkl", 12);
	ck_assert_int_eq(kept, 1);
	ck_assert_str_eq(kept_path, path_of(name));
}

TEST(page_without_samples_is_a_file)
{
	char name[NAME_MAX + 1];

	open_recorder(folder);
	begin("");
	finish();
	ck_assert_int_eq(count_files(name), 1);
	check_name(name, ".wav");
	check_wav(name, &cd, "", 0);
}

/* Far more than one order copies, and no answer is read meanwhile. */
TEST(nothing_is_lost_when_much_comes_at_once)
{
	enum { PIECES = 20000, PIECE = 404 };
	static uint8_t data[PIECES * PIECE];

	for (size_t i = 0; i < PIECES * PIECE; i++)
		data[i] = (uint8_t)(i * 31 + i / 251);
	open_recorder(path_of("page.wav"));
	begin("");
	for (size_t i = 0; i < PIECES; i++)
		grow(data + i * PIECE, PIECE);
	finish();
	check_wav("page.wav", &cd, data, PIECES * PIECE);
}

TEST(next_page_replaces_the_file)
{
	open_recorder(path_of("page.wav"));
	for (int i = 0; i < 3; i++) {
		begin("");
		grow(&"1234abcd"[i], 4);
		finish();
	}
	check_wav("page.wav", &cd, "34ab", 4);
	ck_assert_int_eq(count_files(NULL), 1);
	ck_assert_int_eq(kept, 3);
}

TEST(pages_of_the_same_second_get_a_file_each)
{
	enum { COUNT = 10 };

	open_recorder(folder);
	for (int i = 0; i < COUNT; i++) {
		begin("");
		grow("abcd", 4);
		page = recording_release(page);
	}
	recorder = recorder_free(recorder, now_usec() + PATIENCE_USEC);
	ck_assert_int_eq(kept, COUNT);
	ck_assert_int_eq(count_files(NULL), COUNT);
}

TEST(what_is_discarded_leaves_nothing)
{
	open_recorder(folder);
	begin("");
	grow("abcd", 4);
	while (recording_offset(page) < 4)
		dispatch_once();
	recording_discard(page);
	ck_assert_uint_eq(recording_offset(page), UINT64_MAX);
	while (!recorder_is_idle(recorder))
		dispatch_once();
	ck_assert_int_eq(count_files(NULL), 0);
	ck_assert_int_eq(kept + lost, 0);
}

TEST(discarding_after_the_end_keeps_the_file)
{
	open_recorder(folder);
	begin("");
	grow("abcd", 4);
	recording_finish(page);
	recording_discard(page);
	page = recording_release(page);
	recorder = recorder_free(recorder, now_usec() + PATIENCE_USEC);
	ck_assert_int_eq(kept, 1);
	ck_assert_int_eq(count_files(NULL), 1);
}

TEST(no_page_needs_nothing)
{
	recording_push(NULL, 1);
	recording_finish(NULL);
	recording_discard(NULL);
	ck_assert_ptr_null(recording_release(NULL));
	ck_assert_uint_eq(recording_offset(NULL), UINT64_MAX);
	ck_assert_int_eq(recorder_fd(NULL), -1);
	ck_assert(recorder_is_idle(NULL));
	recorder_dispatch(NULL);
	ck_assert_ptr_null(recorder_free(NULL, 0));
}

/* --- disks that do not do it --- */

TEST(full_disk_costs_the_file_and_is_told_once)
{
	static uint8_t samples[200000];
	rlim_t before;

	open_recorder(folder);
	begin("");
	ck_assert_int_eq(pwrite_all(samples_fd, samples, sizeof(samples), 0),
			 0);
	before = limit_file_size(100000);
	size = sizeof(samples);
	recording_push(page, size);
	while (recording_offset(page) != UINT64_MAX)
		dispatch_once();
	limit_file_size(before);
	ck_assert_int_eq(lost, 1);
	ck_assert_int_eq(lost_error, -EFBIG);
	for (int i = 0; i < 10; i++)
		grow("abcd", 4);
	page = recording_release(page);
	ck_assert_int_eq(count_files(NULL), 0);
	begin("");
	finish();
	ck_assert_int_eq(kept, 1);
	ck_assert_int_eq(lost, 1);
}

TEST(label_that_is_too_long_costs_nothing_else)
{
	char label[2 * NAME_MAX];

	memset(label, 'x', sizeof(label) - 1);
	label[sizeof(label) - 1] = '\0';
	open_recorder(folder);
	begin(label);
	finish();
	ck_assert_int_eq(lost_error, -ENAMETOOLONG);
	ck_assert_int_eq(count_files(NULL), 0);
}

TEST(folder_that_vanishes_does_not_become_a_file)
{
	open_recorder(folder);
	ck_assert_int_eq(rmdir(folder), 0);
	begin("");
	finish();
	ck_assert_int_eq(lost_error, -ENOENT);
	ck_assert_int_eq(access(folder, F_OK), -1);
	ck_assert_int_eq(mkdir(folder, 0700), 0);
	begin("");
	finish();
	ck_assert_int_eq(count_files(NULL), 1);
}

TEST(path_with_a_slash_at_the_end_is_a_directory)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/", path_of("none"));
	open_recorder(path);
	ck_assert_int_eq(mkdir(path_of("none"), 0700), 0);
	begin("");
	finish();
	ck_assert_int_eq(kept, 1);
	ck_assert_int_eq(unlink(kept_path), 0);
}

TEST(what_fails_the_check_is_refused)
{
	check_result = -ENOTDIR;
	ck_assert_int_eq(recorder_new(&recorder, &config), -ENOTDIR);
}

/* The check stands for whatever does not return. */
TEST(disk_that_hangs_costs_no_more_than_some_pages)
{
	enum { COUNT = 1000 };
	int begun = 0;

	ck_assert_int_eq(pipe(gate), 0);
	config.userdata = gate;
	open_recorder(folder);
	for (int i = 0; i < COUNT; i++) {
		begin("");
		begun += page != NULL;
		grow("abcd", 4);
		page = recording_release(page);
	}
	samples_fd = fd_close(samples_fd);
	/* No descriptor is left of those that are over. */
	ck_assert_int_lt(dup(0), 40);
	ck_assert_int_gt(begun, 10);
	ck_assert_int_lt(begun, 200);
	ck_assert(!recorder_is_idle(recorder));
	close(gate[1]);
	while (!recorder_is_idle(recorder))
		dispatch_once();
	ck_assert_int_eq(kept, begun);
	begin("");
	ck_assert_ptr_nonnull(page);
	finish();
}

TEST(memory_that_waits_for_the_disk_is_bounded)
{
	static uint8_t data[1 << 20];
	int begun = 0;

	ck_assert_int_eq(pipe(gate), 0);
	config.userdata = gate;
	config.backlog_max = 4 << 20;
	open_recorder(folder);
	for (int i = 0; i < 20; i++) {
		begin("");
		begun += page != NULL;
		grow(data, sizeof(data));
		page = recording_release(page);
	}
	ck_assert_int_eq(begun, 5);
	close(gate[1]);
}

TEST(end_does_not_wait_longer_than_it_may)
{
	ck_assert_int_eq(pipe(gate), 0);
	config.userdata = gate;
	open_recorder(folder);
	begin("");
	page = recording_release(page);
	recorder = recorder_free(recorder, now_usec() + 1000);
	ck_assert_int_eq(kept, 0);
	close(gate[1]);
}
