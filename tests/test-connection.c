/* SPDX-License-Identifier: MIT
 * The socket and the cursor of one client: header, samples, lag, end. The loop
 * runs only when a test says so. */
#include "server/connection.h"

#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "server/peers.h"
#include "server/poller.h"
#include "test.h"
#include "wire/receipt.h"

enum {
	PIECE = 16384,
	MAX_LAG = 4 * PIECE,
	HEARD_SIZE_MAX = 4 << 20,
	HEADER_SIZE = 44, /* 16 bits, two channels */
};

static const struct wav_format cd = {WAV_PCM, 16, 2, 44100};
static sd_event *event;
static struct poller *poller;
static struct tape *page;
static struct connection *connection;
static int own, peer, ends, sents, receipts;
static struct peers *peers;
static struct receipt receipt; /* the last one; all zero: none came */
static enum connection_end end;
static uint8_t piece[PIECE], heard[HEARD_SIZE_MAX];
static size_t heard_size;

static void on_ready(struct connection *c, void *userdata)
{
	ck_abort_msg("it was ready from the beginning");
}

static void on_end(struct connection *c, enum connection_end how,
		   void *userdata)
{
	end = how;
	ends++;
}

static void on_sent(struct connection *c, void *userdata)
{
	ck_assert_int_eq(ends, 0);
	ck_assert_int_eq(connection_state(c), CONNECTION_OWING);
	sents++;
}

static void on_receipt(struct connection *c, const struct receipt *given,
		       void *userdata)
{
	ck_assert_int_eq(ends, 0);
	ck_assert_int_eq(sents, 1);
	if (given)
		receipt = *given;
	receipts++;
}

static const struct connection_callbacks callbacks = {
    .on_ready = on_ready,
    .on_sent = on_sent,
    .on_receipt = on_receipt,
    .on_end = on_end,
};

static void setup(void)
{
	const struct sockaddr_storage nobody = {.ss_family = AF_UNIX};
	int fds[2];

	for (size_t i = 0; i < sizeof(piece); i++)
		piece[i] = (uint8_t)(i * 31 + i / 257);
	heard_size = 0;
	ends = sents = receipts = 0;
	receipt = (struct receipt){0};
	ck_assert_int_eq(peers_new(&peers, 4), 0);
	ck_assert_int_ge(sd_event_new(&event), 0);
	ck_assert_int_eq(poller_new(&poller, event), 0);
	ck_assert_int_eq(tape_new(&page, NULL, &cd, WAV_ENDLESS), 0);
	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	own = fds[0];
	peer = fds[1];
	ck_assert_int_eq(connection_new(&connection, poller, fds[0], NULL,
					peers, &nobody, &callbacks, NULL),
			 0);
}

static void teardown(void)
{
	connection_free(connection);
	tape_unref(page);
	poller_free(poller);
	peers_free(peers);
	sd_event_unref(event);
	fd_close(peer);
}

FIXTURE(setup, teardown);

static void append_piece(void)
{
	ck_assert_int_eq(tape_append(page, piece, sizeof(piece)), 0);
}

static void end_page(void)
{
	tape_end(page);
	connection_push(connection);
}

/* Receives what has been sent so far. */
static void hear(void)
{
	ssize_t n;

	while ((n = recv(peer, heard + heard_size, HEARD_SIZE_MAX - heard_size,
			 0)) > 0)
		heard_size += (size_t)n;
}

static void run_until_ended(void)
{
	while (ends == 0)
		ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
}

static bool caught_up(void)
{
	return connection_offset(connection) == page->size;
}

/* Makes the page grow and tells the connection. */
static void grow(void)
{
	append_piece();
	connection_push(connection);
}

/* Sends until the socket takes no more. */
static void fill_socket(void)
{
	while (caught_up())
		grow();
}

static void hear_to_the_end(void)
{
	while (connection_state(connection) == CONNECTION_ON_AIR) {
		hear();
		ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
	}
	hear();
}

static void expect_all_heard(void)
{
	size_t samples = heard_size - HEADER_SIZE;

	ck_assert_uint_gt(heard_size, HEADER_SIZE);
	ck_assert_uint_eq(samples, page->size);
	for (size_t at = 0; at < samples; at += PIECE)
		ck_assert_mem_eq(heard + HEADER_SIZE + at, piece, PIECE);
}

TEST(a_page_is_a_header_and_its_samples)
{
	append_piece();
	connection_attach(connection, page, 0, MAX_LAG);
	grow();
	end_page();
	ck_assert_int_eq(connection_state(connection), CONNECTION_CLOSING);
	hear();
	expect_all_heard();
	ck_assert_mem_eq(heard, "RIFF", 4);
	ck_assert_int_eq(ends, 0);
	peer = fd_close(peer);
	run_until_ended();
	ck_assert_int_eq(end, CONNECTION_DONE);
}

TEST(a_client_that_reads_again_gets_what_it_missed)
{
	connection_attach(connection, page, 0, MAX_LAG);
	fill_socket();
	while (!caught_up()) {
		hear();
		ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
	}
	hear();
	expect_all_heard();
	ck_assert_uint_eq(connection_stats(connection)->skips, 0);
}

/* The turn of a connection is over before its socket is full. */
TEST(a_server_that_is_late_makes_nobody_skip)
{
	const int room = 1 << 20;

	ck_assert_int_eq(
	    setsockopt(own, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	connection_attach(connection, page, 0, MAX_LAG);
	for (int i = 0; i < 64; i++)
		append_piece();
	connection_push(connection);
	ck_assert_uint_ge(connection_offset(connection), 256 << 10);
	ck_assert_uint_eq(connection_stats(connection)->skips, 0);
}

TEST(a_client_that_lags_skips_whole_frames)
{
	const struct connection_stats *stats = connection_stats(connection);

	connection_attach(connection, page, 0, MAX_LAG);
	fill_socket();
	while (stats->skips == 0) {
		ck_assert_uint_le(page->size - connection_offset(connection),
				  MAX_LAG);
		grow();
	}
	ck_assert_uint_gt(stats->skipped, MAX_LAG);
	ck_assert_uint_eq(stats->skipped % 4, 0);
	ck_assert_uint_lt(page->size - connection_offset(connection), 4);
}

/* With many clients the loop may learn late that a socket has room again. */
TEST(a_client_that_has_room_again_skips_nothing)
{
	connection_attach(connection, page, 0, MAX_LAG);
	fill_socket();
	while (page->size - connection_offset(connection) <= MAX_LAG)
		append_piece();
	hear();
	connection_push(connection);
	ck_assert_uint_eq(connection_stats(connection)->skips, 0);
	ck_assert(caught_up());
	hear();
	expect_all_heard();
}

TEST(finishing_ends_at_a_whole_frame)
{
	connection_attach(connection, page, 0, MAX_LAG);
	fill_socket();
	connection_finish(connection);
	hear_to_the_end();
	ck_assert_uint_eq((heard_size - HEADER_SIZE) % 4, 0);
	ck_assert_uint_lt(heard_size - HEADER_SIZE, page->size);
}

TEST(a_peer_that_leaves_during_a_page_is_lost)
{
	connection_attach(connection, page, 0, MAX_LAG);
	peer = fd_close(peer);
	run_until_ended();
	ck_assert_int_eq(end, CONNECTION_LOST);
	grow();
	ck_assert_int_eq(ends, 1);
}

TEST(a_peer_that_talks_is_no_client)
{
	ck_assert_int_eq(send(peer, piece, 8192, 0), 8192);
	run_until_ended();
	ck_assert_int_eq(end, CONNECTION_ABUSED);
}

TEST(a_late_joiner_hears_the_rest)
{
	append_piece();
	append_piece();
	connection_attach(connection, page, PIECE, MAX_LAG);
	end_page();
	hear();
	ck_assert_uint_eq(heard_size, HEADER_SIZE + PIECE);
	ck_assert_mem_eq(heard + HEADER_SIZE, piece, PIECE);
	ck_assert_uint_eq(connection_stats(connection)->sent, PIECE);
}

TEST(a_late_joiner_is_told_what_is_still_to_come)
{
	const uint8_t one_piece[] = {0, PIECE >> 8, 0, 0};
	struct tape *fixed;

	ck_assert_int_eq(tape_new(&fixed, NULL, &cd, 2 * PIECE), 0);
	ck_assert_int_eq(tape_append(fixed, piece, PIECE), 0);
	connection_attach(connection, fixed, PIECE, MAX_LAG);
	hear();
	ck_assert_uint_eq(heard_size, HEADER_SIZE);
	ck_assert_mem_eq(heard + HEADER_SIZE - 4, one_piece, 4);
	tape_unref(fixed);
}

TEST(a_client_of_a_stored_page_never_skips)
{
	const struct connection_stats *stats = connection_stats(connection);

	for (int i = 0; i < 100; i++)
		append_piece();
	tape_end(page);
	connection_attach(connection, page, 0, 0);
	for (int i = 0; i < 10; i++)
		connection_push(connection);
	hear_to_the_end();
	expect_all_heard();
	ck_assert_uint_eq(stats->skips, 0);
}

TEST(a_client_that_takes_nothing_is_stuck)
{
	connection_attach(connection, page, 0, MAX_LAG);
	fill_socket();
	connection_check_progress(connection, 1);
	ck_assert_int_eq(ends, 0);
	connection_check_progress(connection, UINT64_MAX);
	ck_assert_int_eq(ends, 1);
	ck_assert_int_eq(end, CONNECTION_STUCK);
}

TEST(a_client_that_waits_is_never_stuck)
{
	connection_check_progress(connection, UINT64_MAX);
	connection_attach(connection, page, 0, MAX_LAG);
	grow();
	connection_check_progress(connection, UINT64_MAX);
	ck_assert_int_eq(ends, 0);
}

TEST(a_peer_that_leaves_while_it_waits_has_left)
{
	peer = fd_close(peer);
	run_until_ended();
	ck_assert_int_eq(end, CONNECTION_LEFT);
}

TEST(a_peer_that_says_no_more_still_listens)
{
	connection_attach(connection, page, 0, MAX_LAG);
	ck_assert_int_eq(shutdown(peer, SHUT_WR), 0);
	while (sd_event_run(event, 0) > 0)
		continue;
	grow();
	end_page();
	hear();
	expect_all_heard();
	ck_assert_int_eq(ends, 1);
	ck_assert_int_eq(end, CONNECTION_DONE);
}

TEST(a_reset_during_a_page_is_a_loss)
{
	/* Unread input makes close() a reset. */
	connection_attach(connection, page, 0, MAX_LAG);
	fill_socket();
	peer = fd_close(peer);
	run_until_ended();
	ck_assert_int_eq(end, CONNECTION_LOST);
	connection_finish(connection);
	connection_check_progress(connection, UINT64_MAX);
	ck_assert_int_eq(ends, 1);
}

TEST(dropping_has_the_reason_of_the_owner)
{
	connection_attach(connection, page, 0, MAX_LAG);
	connection_drop(connection, CONNECTION_CRAWLED);
	ck_assert_int_eq(end, CONNECTION_CRAWLED);
	connection_drop(connection, CONNECTION_REFUSED);
	ck_assert_int_eq(ends, 1);
	ck_assert_int_eq(end, CONNECTION_CRAWLED);
}

/* --- receipts --- */

#define RECEIPT                                                                \
	"intercom-receipt 1 name=hall result=complete arrived=8192 "           \
	"heard=8192 dropped=0 starved_ms=0 card=ready\n"

static void say(const char *text, size_t size)
{
	ck_assert_int_eq(send(peer, text, size, 0), (ssize_t)size);
}

static void run(void)
{
	while (sd_event_run(event, 0) > 0)
		continue;
}

/* Sends a page of 8192 frames, which the peer takes. */
static void send_page(void)
{
	append_piece();
	connection_attach(connection, page, 0, MAX_LAG);
	grow();
	end_page();
	hear();
	expect_all_heard();
	run();
	ck_assert_int_eq(sents, 1);
	ck_assert_int_eq(ends, 0);
	ck_assert_int_eq(connection_state(connection), CONNECTION_OWING);
}

static void expect_no_receipt(enum connection_end how)
{
	ck_assert_int_eq(receipts, 1);
	ck_assert_int_eq(receipt.result, RECEIPT_RESULT_UNKNOWN);
	ck_assert_int_eq(ends, 1);
	ck_assert_int_eq(end, how);
}

static void expect_receipt(void)
{
	ck_assert_int_eq(receipts, 1);
	ck_assert_int_eq(receipt.result, RECEIPT_COMPLETE);
	ck_assert_uint_eq(receipt.heard_frames, 8192);
	ck_assert_int_eq(ends, 1);
	ck_assert_int_eq(end, CONNECTION_DONE);
}

TEST(a_page_is_sent_when_its_end_is_acknowledged)
{
	append_piece();
	connection_attach(connection, page, 0, MAX_LAG);
	end_page();
	run();
	ck_assert_int_eq(sents, 0);
	hear();
	run();
	ck_assert_int_eq(sents, 1);
	ck_assert_int_eq(receipts, 0);
	ck_assert_int_eq(sd_event_run(event, 0), 0); /* it does not spin */
}

TEST(a_receipt_is_taken_and_ends_the_connection)
{
	send_page();
	say(RECEIPT, strlen(RECEIPT));
	run();
	expect_receipt();
	ck_assert_str_eq(receipt.name, "hall");
}

TEST(a_receipt_may_come_with_the_close)
{
	send_page();
	say(RECEIPT, strlen(RECEIPT));
	peer = fd_close(peer);
	run();
	expect_receipt();
}

/* Both are found at once, before the page was seen to be taken. */
TEST(a_receipt_may_come_with_the_acknowledgement)
{
	append_piece();
	connection_attach(connection, page, 0, MAX_LAG);
	grow();
	end_page();
	hear();
	say(RECEIPT, strlen(RECEIPT));
	peer = fd_close(peer);
	run();
	ck_assert_int_eq(sents, 1);
	expect_receipt();
}

TEST(a_receipt_may_come_in_bytes)
{
	send_page();
	for (size_t i = 0; i < strlen(RECEIPT); i++) {
		ck_assert_int_eq(ends, 0);
		say(&RECEIPT[i], 1);
		run();
	}
	expect_receipt();
}

TEST(a_peer_that_closes_gives_no_receipt)
{
	send_page();
	peer = fd_close(peer);
	run();
	expect_no_receipt(CONNECTION_DONE);
	ck_assert(connection_peer_closed(connection));
}

TEST(a_torn_receipt_is_none)
{
	send_page();
	say(RECEIPT, strlen(RECEIPT) - 1);
	peer = fd_close(peer);
	run();
	expect_no_receipt(CONNECTION_DONE);
}

static const char *const lies[] = {
    "GET / HTTP/1.1\r\n",
    "\n",
    "intercom-receipt 1 arrived=8193 heard=8193\n",
    "intercom-receipt 1 heard=8193\n",
    "intercom-receipt 1 dropped=8193\n",
    "intercom-receipt 1 arrived=8192 heard=8000 dropped=193\n",
    "intercom-receipt 1 arrived=18446744073709551614\n",
};

TEST_LOOP(what_cannot_be_a_receipt_is_abuse, 0, ARRAY_SIZE(lies))
{
	send_page();
	say(lies[_i], strlen(lies[_i]));
	run();
	expect_no_receipt(CONNECTION_ABUSED);
}

TEST(a_flood_after_the_page_is_abuse)
{
	send_page();
	memset(piece, 'x', RECEIPT_SIZE_MAX);
	say((char *)piece, RECEIPT_SIZE_MAX - 1);
	run();
	ck_assert_int_eq(ends, 0);
	say((char *)piece, 1);
	run();
	expect_no_receipt(CONNECTION_ABUSED);
}

/* The whole of it, or only its beginning. */
TEST_LOOP(a_receipt_that_comes_too_early_is_garbage, 0, 2)
{
	append_piece();
	connection_attach(connection, page, 0, MAX_LAG);
	run();
	say(RECEIPT, _i ? 20 : strlen(RECEIPT));
	if (_i)
		run();
	grow();
	end_page();
	hear();
	run();
	ck_assert_int_eq(sents, 1);
	ck_assert_int_eq(ends, 0);
	if (_i)
		say(RECEIPT + 20, strlen(RECEIPT) - 20);
	peer = fd_close(peer);
	run();
	expect_no_receipt(_i ? CONNECTION_ABUSED : CONNECTION_DONE);
}

TEST(a_flood_right_before_the_end_is_abuse)
{
	append_piece();
	connection_attach(connection, page, 0, MAX_LAG);
	say((char *)piece, 8192);
	end_page();
	ck_assert_int_eq(end, CONNECTION_ABUSED);
	ck_assert_int_eq(ends, 1);
	ck_assert_int_eq(receipts, 0);
}

TEST(a_receipt_is_waited_for_until_30_s_after_the_last_frame)
{
	const uint64_t begin = now_usec();

	send_page();
	connection_check_progress(connection, begin + 30 * USEC_PER_SEC);
	ck_assert_int_eq(ends, 0);
	connection_check_progress(connection, now_usec() + 31 * USEC_PER_SEC);
	expect_no_receipt(CONNECTION_DONE);
	ck_assert(!connection_peer_closed(connection));
}

/* A page that was recorded before sounds for longer than it is sent. */
TEST(a_stored_page_is_waited_for_as_long_as_it_sounds)
{
	const uint64_t begin = now_usec();
	uint64_t length;

	while (page->size < 20 * PIECE)
		append_piece();
	tape_end(page);
	length = frames_to_usec(page->size / 4, 44100);
	connection_attach(connection, page, 0, 0);
	hear_to_the_end();
	run();
	ck_assert_int_eq(sents, 1);
	connection_check_progress(connection,
				  begin + length + 30 * USEC_PER_SEC - 1);
	ck_assert_int_eq(ends, 0);
	connection_check_progress(connection,
				  now_usec() + length + 30 * USEC_PER_SEC);
	expect_no_receipt(CONNECTION_DONE);
}

TEST(a_local_peer_is_never_known)
{
	send_page();
	say(RECEIPT, strlen(RECEIPT));
	run();
	expect_receipt();
	ck_assert(!connection_speaks_2(connection));
}
