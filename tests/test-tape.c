/* SPDX-License-Identifier: MIT
 * Samples in a memfd: appended, sent, read, given back. Offsets beyond 4 GB are
 * reached by writing and forgetting, in constant memory. */
#include "server/tape.h"

#include <sys/socket.h>

#include "tape-reader.h"
#include "test.h"
#include "wire/transport.h"

enum { PIECE = 4 << 20 };

static const struct wav_format cd = {WAV_PCM, 16, 2, 44100};
static struct tape *page;
static struct transport *transport;
static int peer; /* the other end of the connection */
static uint8_t piece[PIECE], heard[PIECE];

static void setup(void)
{
	int fds[2];

	signal(SIGPIPE, SIG_IGN); /* sendfile has no MSG_NOSIGNAL */
	for (size_t i = 0; i < sizeof(piece); i++)
		piece[i] = (uint8_t)(i * 31 + i / 257);
	ck_assert_int_eq(tape_new(&page, NULL, &cd, WAV_ENDLESS), 0);
	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	ck_assert_int_eq(transport_new_plain(&transport, fds[0]), 0);
	peer = fds[1];
}

static void teardown(void)
{
	transport = transport_free(transport);
	fd_close(peer);
	page = tape_unref(page);
}

FIXTURE(setup, teardown);

static void make_planned(uint64_t size)
{
	tape_unref(page);
	ck_assert_int_eq(tape_new(&page, NULL, &cd, size), 0);
}

/* Bytes of memory that the tape occupies. */
static uint64_t memory(void)
{
	_cleanup_close_ int fd = tape_dup(page);
	struct stat st;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

TEST(a_new_page_is_empty)
{
	ck_assert_uint_eq(page->size, 0);
	ck_assert_uint_eq(page->first, 0);
	ck_assert_uint_eq(page->planned_size, WAV_ENDLESS);
	ck_assert(wav_format_equal(&page->format, &cd));
	ck_assert(!page->ended);
	ck_assert_int_eq(read_tape(page, 0, heard, sizeof(heard)), 0);
}

/* All tapes have 4 pieces of room. */
TEST(all_tapes_together_are_bounded)
{
	struct tape_shelf shelf = {.max_size = 4 * PIECE};
	struct tape *one, *two, *none;

	ck_assert_int_eq(tape_new(&one, &shelf, &cd, WAV_ENDLESS), 0);
	ck_assert_int_eq(tape_append(one, piece, PIECE), 0);
	ck_assert_int_eq(tape_new(&two, &shelf, &cd, 3 * PIECE), 0);
	ck_assert_int_eq(tape_append(one, piece, 1), -ENOMEM);
	ck_assert_uint_eq(one->size, PIECE);
	ck_assert_int_eq(tape_new(&none, &shelf, &cd, 1), -ENOMEM);
	/* What is planned is there. */
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(tape_append(two, piece, PIECE), 0);
	/* The last page makes room for others, once nobody else needs it. */
	tape_shelf_keep(&shelf, two);
	two = tape_unref(two);
	ck_assert_int_eq(tape_append(one, piece, PIECE), 0);
	ck_assert_ptr_null(shelf.last);
	ck_assert_uint_eq(shelf.size, 2 * PIECE);
	tape_unref(one);
	ck_assert_uint_eq(shelf.size, 0);
}

TEST(memory_that_is_given_back_is_room_again)
{
	struct tape_shelf shelf = {.max_size = TAPE_KEEP_SIZE + PIECE};
	struct tape *tape;

	ck_assert_int_eq(tape_new(&tape, &shelf, &cd, WAV_ENDLESS), 0);
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(tape_append(tape, piece, PIECE), 0);
		if (tape->size > TAPE_KEEP_SIZE)
			tape_forget(tape, tape->size - TAPE_KEEP_SIZE);
	}
	tape_unref(tape);
	ck_assert_uint_eq(shelf.size, 0);
}

TEST(what_is_appended_is_read_at_any_offset)
{
	ck_assert_int_eq(tape_append(page, piece, 1000), 0);
	ck_assert_int_eq(tape_append(page, piece + 1000, 3000), 0);
	ck_assert_uint_eq(page->size, 4000);
	ck_assert_int_eq(read_tape(page, 0, heard, sizeof(heard)), 4000);
	ck_assert_mem_eq(heard, piece, 4000);
	ck_assert_int_eq(read_tape(page, 999, heard, 2), 2);
	ck_assert_mem_eq(heard, piece + 999, 2);
	ck_assert_int_eq(read_tape(page, 4000, heard, 1), 0);
}

TEST(nothing_is_no_growth)
{
	ck_assert_int_eq(tape_append(page, piece, 0), 0);
	ck_assert_uint_eq(page->size, 0);
}

TEST(a_planned_page_has_its_memory_from_the_start)
{
	make_planned(1 << 20);
	ck_assert_uint_ge(memory(), 1 << 20);
	ck_assert_uint_eq(page->size, 0);
	ck_assert_int_eq(tape_append(page, piece, 1 << 20), 0);
	ck_assert_uint_eq(page->planned_size, 1 << 20);
}

TEST(a_long_plan_is_no_promise_of_memory)
{
	make_planned(TAPE_KEEP_SIZE * 1000);
	ck_assert_uint_le(memory(), TAPE_KEEP_SIZE);
}

TEST(the_end_is_told)
{
	tape_end(page);
	ck_assert(page->ended);
}

TEST(sending_stops_at_the_edge_and_goes_on_behind_it)
{
	uint64_t offset = 0;

	ck_assert_int_eq(tape_append(page, piece, 300), 0);
	ck_assert_int_eq(tape_send(page, transport, &offset, SIZE_MAX / 4),
			 300);
	ck_assert_uint_eq(offset, 300);
	ck_assert_int_eq(tape_send(page, transport, &offset, 100), 0);
	ck_assert_int_eq(tape_append(page, piece + 300, 300), 0);
	ck_assert_int_eq(tape_send(page, transport, &offset, 100), 100);
	ck_assert_uint_eq(offset, 400);
	ck_assert_int_eq(read(peer, heard, sizeof(heard)), 400);
	ck_assert_mem_eq(heard, piece, 400);
}

/* Up to 1000 bytes from OFFSET on must be sent as they were appended. */
static void expect_sent(uint64_t offset)
{
	uint64_t after = offset, left = page->size - offset;
	size_t size = left < 1000 ? (size_t)left : 1000;

	ck_assert_int_eq(tape_send(page, transport, &after, 1000),
			 (ssize_t)size);
	ck_assert_uint_eq(after, offset + size);
	ck_assert_int_eq(read(peer, heard, sizeof(heard)), (ssize_t)size);
	ck_assert_mem_eq(heard, piece + offset, size);
}

TEST(old_and_new_samples_are_sent_as_appended)
{
	static const size_t sizes[] = {1, 3528, 16383, 16384, 16385, 70000, 7};
	static const uint64_t behind[] = {1,	 2,	4,     3529,
					  16383, 16384, 16385, 20000};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		ck_assert_int_eq(
		    tape_append(page, piece + page->size, sizes[i]), 0);
		expect_sent(0);
		for (size_t b = 0; b < ARRAY_SIZE(behind); b++)
			if (behind[b] <= page->size)
				expect_sent(page->size - behind[b]);
	}
}

TEST(a_full_socket_loses_nothing)
{
	uint64_t offset = 0, taken = 0;
	ssize_t n;

	ck_assert_int_eq(tape_append(page, piece, PIECE), 0);
	while ((n = tape_send(page, transport, &offset, PIECE)) > 0)
		;
	ck_assert_int_eq(n, -EAGAIN);
	ck_assert_uint_lt(offset, PIECE);
	while (taken < PIECE) {
		n = read(peer, heard + taken, sizeof(heard) - taken);
		ck_assert_int_gt(n, 0);
		taken += (uint64_t)n;
		(void)tape_send(page, transport, &offset, PIECE);
	}
	ck_assert_uint_eq(offset, PIECE);
	ck_assert_mem_eq(heard, piece, PIECE);
}

TEST(a_peer_that_is_gone_is_an_error)
{
	uint64_t offset = 0;

	peer = fd_close(peer);
	ck_assert_int_eq(tape_append(page, piece, 300), 0);
	ck_assert_int_eq(tape_send(page, transport, &offset, 300), -EPIPE);
	ck_assert_uint_eq(offset, 0);
}

TEST(a_second_descriptor_reads_without_the_page)
{
	_cleanup_close_ int fd = tape_dup(page);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(tape_append(page, piece, 500), 0);
	page = tape_unref(page);
	ck_assert_int_eq(pread(fd, heard, 500, 0), 500);
	ck_assert_mem_eq(heard, piece, 500);
}

TEST(each_reference_keeps_it)
{
	struct tape *other = tape_ref(page);

	ck_assert_int_eq(tape_append(page, piece, 500), 0);
	tape_unref(page);
	page = other;
	ck_assert_uint_eq(page->size, 500);
}

TEST(a_short_page_forgets_nothing)
{
	ck_assert_int_eq(tape_append(page, piece, PIECE), 0);
	tape_forget(page, PIECE);
	ck_assert_uint_eq(page->first, 0);
	ck_assert_int_eq(read_tape(page, 0, heard, PIECE), PIECE);
	ck_assert_mem_eq(heard, piece, PIECE);
}

TEST(hours_take_constant_memory_beyond_4_gb)
{
	const uint64_t end = (UINT64_C(4) << 30) + 4 * TAPE_KEEP_SIZE;
	uint64_t most = 0;

	for (uint64_t size = 0; size < end; size += PIECE) {
		memcpy(piece, &size, sizeof(size));
		ck_assert_int_eq(tape_append(page, piece, PIECE), 0);
		if (size > TAPE_KEEP_SIZE)
			tape_forget(page, size - TAPE_KEEP_SIZE);
		if (memory() > most)
			most = memory();
	}
	ck_assert_uint_eq(page->size, end);
	ck_assert_uint_le(most, 2 * TAPE_KEEP_SIZE + 4 * PIECE);
	ck_assert_uint_gt(page->first, UINT32_MAX);
	for (uint64_t offset = end - TAPE_KEEP_SIZE; offset < end;
	     offset += PIECE) {
		uint64_t number;

		ck_assert_uint_ge(offset, page->first);
		ck_assert_int_eq(
		    read_tape(page, offset, &number, sizeof(number)),
		    sizeof(number));
		ck_assert_uint_eq(number, offset);
	}
}

TEST(forgetting_never_goes_back_nor_beyond_the_end)
{
	uint64_t first;

	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(tape_append(page, piece, PIECE), 0);
	tape_forget(page, 15 * PIECE);
	first = page->first;
	ck_assert_uint_le(first, 15 * PIECE);
	ck_assert_uint_gt(first, 0);
	tape_forget(page, PIECE);
	ck_assert_uint_eq(page->first, first);
	ck_assert_int_eq(read_tape(page, 15 * PIECE, heard, PIECE), PIECE);
	ck_assert_mem_eq(heard, piece, PIECE);
}
