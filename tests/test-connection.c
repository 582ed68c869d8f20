/* SPDX-License-Identifier: MIT
 * The socket and the cursor of one client: header, samples, lag, end. The loop
 * runs only when a test says so. */
#include "server/connection.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "server/peers.h"
#include "server/poller.h"
#include "test.h"

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
static int own, peer, ends, sents, receipts, sheds;
static struct peers *peers;
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

static void on_shed(struct connection *c, void *userdata)
{
	ck_assert_int_eq(connection_state(c), CONNECTION_ON_AIR);
	sheds++;
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
	ck_assert_ptr_null(given);
	ck_assert_int_eq(sents, 1);
	receipts++;
}

static const struct connection_callbacks callbacks = {
    .on_ready = on_ready,
    .on_shed = on_shed,
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
	ends = sents = receipts = sheds = 0;
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

static void attach(struct tape *tape, uint64_t offset, uint64_t max_lag)
{
	const struct connection_feed feed = {
	    .max_lag = max_lag,
	    .pacing = CONNECTION_UNPACED,
	};

	connection_attach(connection, tape, offset, &feed);
}

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
	attach(page, 0, MAX_LAG);
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
	ck_assert_int_eq(sents, 1);
	ck_assert_int_eq(receipts, 1);
}

TEST(a_client_that_reads_again_gets_what_it_missed)
{
	attach(page, 0, MAX_LAG);
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
	attach(page, 0, MAX_LAG);
	for (int i = 0; i < 64; i++)
		append_piece();
	connection_push(connection);
	ck_assert_uint_ge(connection_offset(connection), 256 << 10);
	ck_assert_uint_eq(connection_stats(connection)->skips, 0);
}

TEST(a_client_that_lags_skips_whole_frames)
{
	const struct connection_stats *stats = connection_stats(connection);

	attach(page, 0, MAX_LAG);
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

/* What it was sent is whole frames, without a gap. */
TEST(a_client_of_a_schedule_that_lags_is_ended)
{
	const struct connection_feed feed = {
	    .max_lag = MAX_LAG,
	    .lagging = CONNECTION_ENDS,
	    .pacing = CONNECTION_UNPACED,
	};
	size_t samples;

	connection_attach(connection, page, 0, &feed);
	fill_socket();
	while (sheds == 0)
		grow();
	ck_assert(connection_is_shed(connection));
	ck_assert_uint_gt(page->size - connection_offset(connection), MAX_LAG);
	while (sents == 0) {
		ck_assert_uint_eq(ends, 0);
		hear();
		ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
		append_piece();
		connection_push(connection);
	}
	hear();
	ck_assert_uint_eq(sheds, 1);
	ck_assert_uint_eq(connection_stats(connection)->skips, 1);
	samples = heard_size - 44;
	ck_assert_uint_eq(samples % 4, 0);
	for (size_t at = 0; at < samples; at += sizeof(piece))
		ck_assert_mem_eq(heard + 44 + at, piece,
				 MIN(sizeof(piece), samples - at));
}

/* With many clients the loop may learn late that a socket has room again. */
TEST(a_client_that_has_room_again_skips_nothing)
{
	attach(page, 0, MAX_LAG);
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
	attach(page, 0, MAX_LAG);
	fill_socket();
	connection_finish(connection);
	hear_to_the_end();
	ck_assert_uint_eq((heard_size - HEADER_SIZE) % 4, 0);
	ck_assert_uint_lt(heard_size - HEADER_SIZE, page->size);
}

TEST(a_peer_that_leaves_during_a_page_is_lost)
{
	attach(page, 0, MAX_LAG);
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
	attach(page, PIECE, MAX_LAG);
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
	attach(fixed, PIECE, MAX_LAG);
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
	attach(page, 0, 0);
	for (int i = 0; i < 10; i++)
		connection_push(connection);
	hear_to_the_end();
	expect_all_heard();
	ck_assert_uint_eq(stats->skips, 0);
}

TEST(a_client_that_takes_nothing_is_stuck)
{
	attach(page, 0, MAX_LAG);
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
	attach(page, 0, MAX_LAG);
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
	attach(page, 0, MAX_LAG);
	ck_assert_int_eq(shutdown(peer, SHUT_WR), 0);
	while (sd_event_run(event, 0) > 0)
		continue;
	grow();
	end_page();
	ck_assert_int_eq(ends, 0);
	hear();
	expect_all_heard();
	run_until_ended();
	ck_assert_int_eq(end, CONNECTION_DONE);
	ck_assert_int_eq(sents, 1);
}

/* Over TCP, to a peer that takes no more than its kernel does. */
static void begin_tcp(int size_max)
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const struct linger reset = {.l_onoff = 1};
	socklen_t length = sizeof(address);
	_cleanup_close_ int listener =
	    socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	connection = connection_free(connection);
	close(peer);
	peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &size_max,
				    sizeof(size_max)),
			 0);
	ck_assert_int_eq(
	    setsockopt(peer, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, length),
			 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(
	    getsockname(listener, (struct sockaddr *)&address, &length), 0);
	ck_assert_int_eq(connect(peer, (struct sockaddr *)&address, length), 0);
	own = accept4(listener, (struct sockaddr *)&address, &length,
		      SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(own, 0);
	ck_assert_int_eq(
	    connection_new(&connection, poller, own, NULL, peers,
			   &(struct sockaddr_storage){.ss_family = AF_UNIX},
			   &callbacks, NULL),
	    0);
}

/* With 1 the peer has said before that it sends no more. */
TEST_LOOP(a_peer_that_resets_before_it_has_all_is_lost, 0, 2)
{
	begin_tcp(4096);
	append_piece();
	attach(page, 0, MAX_LAG);
	if (_i)
		ck_assert_int_eq(shutdown(peer, SHUT_WR), 0);
	while (sd_event_run(event, 0) > 0)
		continue;
	end_page();
	ck_assert_int_eq(connection_state(connection), CONNECTION_CLOSING);
	ck_assert_int_eq(ends, 0);
	peer = fd_close(peer);
	run_until_ended();
	ck_assert_int_eq(end, CONNECTION_LOST);
	ck_assert_int_eq(sents, 0);
}

TEST_LOOP(a_peer_that_resets_when_it_has_all_is_none_the_less_reached, 0, 2)
{
	begin_tcp(1 << 20);
	append_piece();
	attach(page, 0, MAX_LAG);
	if (_i)
		ck_assert_int_eq(shutdown(peer, SHUT_WR), 0);
	end_page();
	while (sents == 0)
		ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
	peer = fd_close(peer);
	run_until_ended();
	ck_assert_int_eq(end, CONNECTION_DONE);
}

TEST(a_reset_during_a_page_is_a_loss)
{
	/* Unread input makes close() a reset. */
	attach(page, 0, MAX_LAG);
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
	attach(page, 0, MAX_LAG);
	connection_drop(connection, CONNECTION_CRAWLED);
	ck_assert_int_eq(end, CONNECTION_CRAWLED);
	connection_drop(connection, CONNECTION_REFUSED);
	ck_assert_int_eq(ends, 1);
	ck_assert_int_eq(end, CONNECTION_CRAWLED);
}

/* --- paced pages --- */

static const struct wav_page description = {
    .flags = WAV_PAGE_PLAYED | WAV_PAGE_REAL_TIME,
    .ahead_us = 2000000,
};

/* Of a tape, all of which is there. */
static void attach_paced(uint64_t offset)
{
	const struct connection_feed feed = {
	    .pacing = CONNECTION_PACED,
	    .lead_max = 3 * PIECE,
	    .page = &description,
	};

	for (int i = 0; i < 64; i++)
		append_piece();
	connection_attach(connection, page, offset, &feed);
}

static void pace(uint64_t due)
{
	const struct connection_pace now = {
	    .due = due,
	    .end = page->size,
	    .growth = PIECE,
	    .behind_max = 8 * PIECE,
	};

	(void)connection_pace(connection, &now);
}

/* Until the socket takes no more. */
static void fill_socket_paced(void)
{
	uint64_t due = 0;

	while (connection_offset(connection) == due)
		pace(due += PIECE);
	pace(due + 4 * PIECE);
}

TEST(a_paced_page_goes_out_as_it_becomes_due)
{
	attach_paced(0);
	connection_push(connection);
	hear();
	/* The RIFF chunk tells that it is played. */
	ck_assert_uint_eq(heard_size, HEADER_SIZE + 32);
	ck_assert_mem_eq(heard + 36, "page", 4);
	ck_assert_uint_eq(heard[45], WAV_PAGE_PLAYED | WAV_PAGE_REAL_TIME);
	for (int i = 1; i <= 16; i++) {
		pace((uint64_t)i * PIECE);
		ck_assert_uint_eq(connection_offset(connection),
				  (uint64_t)i * PIECE);
		hear();
	}
	/* The end that is there is not due yet. */
	end_page();
	ck_assert_int_eq(connection_state(connection), CONNECTION_ON_AIR);
	ck_assert_uint_eq(connection_offset(connection), 16 * PIECE);
	for (uint64_t due = 17 * PIECE; due <= page->size; due += PIECE) {
		pace(due);
		hear();
	}
	ck_assert_int_eq(connection_state(connection), CONNECTION_CLOSING);
}

TEST(a_paced_page_stops_at_once)
{
	attach_paced(4 * PIECE);
	pace(6 * PIECE);
	connection_finish(connection);
	ck_assert_int_eq(connection_state(connection), CONNECTION_CLOSING);
	hear();
	ck_assert_uint_eq(heard_size, HEADER_SIZE + 32 + 2 * PIECE);
}

TEST(a_client_too_far_behind_what_is_due_is_dropped)
{
	attach_paced(0);
	fill_socket_paced();
	ck_assert_int_eq(ends, 0);
	pace(connection_offset(connection) + 8 * PIECE);
	ck_assert_int_eq(ends, 0);
	pace(connection_offset(connection) + 8 * PIECE + 4);
	ck_assert_int_eq(ends, 1);
	ck_assert_int_eq(end, CONNECTION_CRAWLED);
	pace(page->size);
	ck_assert_int_eq(ends, 1);
}

TEST(a_client_congests_only_so_often)
{
	attach_paced(0);
	ck_assert(!connection_congests(connection, 3 * PIECE));
	fill_socket_paced();
	for (int i = 0; i < 10; i++)
		ck_assert(connection_congests(connection, 3 * PIECE));
	ck_assert(!connection_congests(connection, 3 * PIECE));
}
