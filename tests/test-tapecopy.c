/* SPDX-License-Identifier: MIT
 * The last page as a file: sealed, whole, and in pieces between other events.
 */
#include "server/tapecopy.h"

#include "test.h"

enum { PIECE = 1 << 20, PATIENCE_STEPS = 100000 };

static const struct wav_format cd = {WAV_PCM, 16, 2, 44100};
static sd_event *event;
static struct tape *page;
static struct tapecopy *copy;
static uint8_t piece[PIECE];
static int result_fd, calls;

static void on_done(void *userdata, int fd)
{
	ck_assert_ptr_eq(userdata, &calls);
	calls++;
	result_fd = fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	copy = tapecopy_free(copy);
}

static void setup(void)
{
	for (size_t i = 0; i < sizeof(piece); i++)
		piece[i] = (uint8_t)(i * 13 + i / 509);
	calls = 0;
	result_fd = -1;
	ck_assert_int_ge(sd_event_new(&event), 0);
	ck_assert_int_eq(tape_new(&page, NULL, &cd, WAV_ENDLESS), 0);
}

static void teardown(void)
{
	copy = tapecopy_free(copy);
	page = tape_unref(page);
	fd_close(result_fd);
	event = sd_event_unref(event);
}

FIXTURE(setup, teardown);

/* Makes a page of COUNT pieces of SIZE bytes each, and ends it. */
static void fill(int count, size_t size)
{
	for (int i = 0; i < count; i++)
		ck_assert_int_eq(tape_append(page, piece, size), 0);
	tape_end(page);
}

static void begin(void)
{
	ck_assert_int_eq(tapecopy_new(&copy, event, page, on_done, &calls), 0);
}

static unsigned export_page(void)
{
	unsigned steps = 0;

	begin();
	while (calls == 0 && steps < PATIENCE_STEPS) {
		ck_assert_int_gt(sd_event_run(event, UINT64_MAX), 0);
		steps++;
	}
	ck_assert_int_eq(calls, 1);
	ck_assert_int_ge(result_fd, 0);
	return steps;
}

static void read_at(void *buffer, size_t size, off_t offset)
{
	ck_assert_int_eq(pread(result_fd, buffer, size, offset), (ssize_t)size);
}

/* The header must state SIZE bytes of samples; returns the header's size. */
static off_t check_header(uint64_t size)
{
	uint8_t header[WAV_HEADER_SIZE_MAX];
	struct wav_parser parser;
	ssize_t n;

	read_at(header, 44, 0);
	wav_parser_init(&parser);
	n = wav_parser_feed(&parser, header, 44);
	ck_assert_int_eq(n, 44);
	ck_assert(parser.done);
	ck_assert(wav_format_equal(&parser.format, &cd));
	ck_assert_uint_eq(parser.data_size, size);
	return n;
}

TEST(nobody_can_change_the_file)
{
	fill(1, 1000);
	export_page();
	ck_assert_int_eq(pwrite(result_fd, "x", 1, 0), -1);
	ck_assert_int_eq(ftruncate(result_fd, 0), -1);
	ck_assert_int_eq(lseek(result_fd, 0, SEEK_CUR), 0);
}

TEST(a_long_page_leaves_the_loop_time_for_others)
{
	fill(16, PIECE);
	ck_assert_uint_ge(export_page(), 16);
	check_header(16 * PIECE);
}

TEST(of_an_endless_page_the_rest_is_exported)
{
	uint64_t left;

	for (int i = 0; i < 80; i++)
		ck_assert_int_eq(tape_append(page, piece, PIECE), 0);
	tape_forget(page, 50 * PIECE);
	tape_end(page);
	left = page->size - page->first;
	ck_assert_uint_lt(left, page->size);
	export_page();
	check_header(left / 4 * 4);
}

TEST(the_page_may_go_meanwhile)
{
	fill(1, PIECE);
	begin();
	page = tape_unref(page);
	while (calls == 0)
		ck_assert_int_gt(sd_event_run(event, UINT64_MAX), 0);
	check_header(PIECE);
}

TEST(an_empty_page_has_nothing_to_export)
{
	tape_end(page);
	ck_assert_int_eq(tapecopy_new(&copy, event, page, on_done, &calls),
			 -ENODATA);
}

TEST(an_export_that_is_given_up_calls_nobody)
{
	fill(1, PIECE);
	begin();
	copy = tapecopy_free(copy);
	ck_assert_int_eq(sd_event_run(event, 0), 0);
	ck_assert_int_eq(calls, 0);
}
