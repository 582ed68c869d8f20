/* SPDX-License-Identifier: MIT
 * What a connection makes of what its peer says after a page, and before: plain
 * with 0, TLS with 1. The loop runs only when a test says so. */
#include <sys/mman.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "base/log.h"
#include "server/connection.h"
#include "server/peers.h"
#include "server/poller.h"
#include "test.h"
#include "wire/receipt.h"
#include "wire/tls.h"
#include "wire/transport.h"

enum { FRAMES = 8192, PIECE = 4 * FRAMES, GARBAGE_SIZE_MAX = 4096 };

#define RECEIPT                                                                \
	"intercom-receipt 1 name=hall result=complete arrived=8192 "           \
	"heard=8192 dropped=0 starved_ms=0 card=ready\n"

static const struct wav_format cd = {WAV_PCM, 16, 2, 44100};
static sd_event *event;
static struct poller *poller;
static struct peers *peers;
static struct tape *page;
static struct tls_keys *server_keys, *client_keys;
static struct connection *connection;
static struct transport *peer;
static int ready, sents, receipts, ends;
static enum connection_end end;
static struct receipt receipt; /* all zero: none came */
static uint8_t piece[PIECE];

static void on_ready(struct connection *c, void *userdata)
{
	ready++;
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

static void on_end(struct connection *c, enum connection_end how,
		   void *userdata)
{
	end = how;
	ends++;
}

static const struct connection_callbacks callbacks = {
    .on_ready = on_ready,
    .on_sent = on_sent,
    .on_receipt = on_receipt,
    .on_end = on_end,
};

static void setup(void)
{
	log_set_level(LOG_CRIT);
	signal(SIGPIPE, SIG_IGN);
	ready = sents = receipts = ends = 0;
	receipt = (struct receipt){0};
	ck_assert_int_ge(sd_event_new(&event), 0);
	ck_assert_int_eq(poller_new(&poller, event), 0);
	ck_assert_int_eq(peers_new(&peers, 4), 0);
	ck_assert_int_eq(tape_new(&page, NULL, &cd, WAV_ENDLESS), 0);
}

static void teardown(void)
{
	connection = connection_free(connection);
	peer = transport_free(peer);
	server_keys = tls_keys_free(server_keys);
	client_keys = tls_keys_free(client_keys);
	tape_unref(page);
	peers_free(peers);
	poller_free(poller);
	sd_event_unref(event);
}

FIXTURE(setup, teardown);

static struct tls_keys *make_keys(const char *who, enum keyfile_role role)
{
	const int fd = memfd_create("keys", MFD_CLOEXEC);
	char path[64], problem[KEYFILE_PROBLEM_SIZE];
	struct tls_keys *keys = NULL;
	struct keyfile *file;
	const char *why;

	ck_assert(fd >= 0 && fchmod(fd, 0600) == 0);
	ck_assert_int_gt(dprintf(fd, "%s lobby %064x\n", who, 1), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ck_assert_int_eq(keyfile_open(&file, path, role, problem), 0);
	ck_assert_int_eq(tls_keys_new(&keys, file, &why), 0);
	return keys;
}

static void run(void)
{
	while (sd_event_run(event, 0) > 0)
		continue;
}

/* A connection whose peer waits for a page. */
static void begin(int tls)
{
	const struct sockaddr_storage nobody = {.ss_family = AF_UNIX};
	int fds[2];

	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	if (tls) {
		server_keys = make_keys("server", KEYFILE_SERVER);
		client_keys = make_keys("client", KEYFILE_CLIENT);
	}
	ck_assert_int_eq(connection_new(&connection, poller, fds[0],
					server_keys, peers, &nobody, &callbacks,
					NULL),
			 0);
	ck_assert_int_eq(
	    tls ? transport_new_client(&peer, fds[1], client_keys, "host")
		: transport_new_plain(&peer, fds[1]),
	    0);
	while (tls && ready == 0) {
		(void)transport_handshake(peer);
		run();
	}
	ck_assert_int_eq(connection_state(connection), CONNECTION_WAITING);
}

static void say(const char *text, size_t size)
{
	ck_assert_int_eq(transport_send(peer, text, size, TRANSPORT_NO_MORE),
			 (ssize_t)size);
}

static void hang_up(void)
{
	(void)transport_shutdown(peer);
	peer = transport_free(peer);
}

static void attach(void)
{
	connection_attach(
	    connection, page, 0,
	    &(struct connection_feed){.pacing = CONNECTION_UNPACED});
}

static void grow(void)
{
	ck_assert_int_eq(tape_append(page, piece, sizeof(piece)), 0);
	connection_push(connection);
}

/* Ends the page; the peer takes all of it, and its end. */
static void finish(void)
{
	uint8_t heard[4096];
	ssize_t n;

	tape_end(page);
	connection_push(connection);
	while ((n = transport_recv(peer, heard, sizeof(heard))) != 0) {
		ck_assert(n > 0 || n == -EAGAIN);
		run();
	}
}

/* Sends a page of FRAMES, which the peer takes. */
static void send_page(int tls)
{
	begin(tls);
	attach();
	grow();
	finish();
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
	ck_assert_uint_eq(receipt.heard_frames, FRAMES);
	ck_assert_str_eq(receipt.name, "hall");
	ck_assert_int_eq(ends, 1);
	ck_assert_int_eq(end, CONNECTION_DONE);
}

TEST(page_is_sent_when_its_end_is_acknowledged)
{
	uint8_t heard[PIECE];

	begin(0);
	attach();
	grow();
	tape_end(page);
	connection_push(connection);
	run();
	ck_assert_int_eq(sents, 0);
	while (transport_recv(peer, heard, sizeof(heard)) > 0)
		continue;
	run();
	ck_assert_int_eq(sents, 1);
	ck_assert_int_eq(receipts, 0);
	ck_assert_int_eq(sd_event_run(event, 0), 0); /* it does not spin */
}

TEST_LOOP(receipt_is_taken_and_ends_the_connection, 0, 2)
{
	send_page(_i);
	say(RECEIPT, strlen(RECEIPT));
	run();
	expect_receipt();
}

TEST_LOOP(receipt_may_come_with_the_close, 0, 2)
{
	send_page(_i);
	say(RECEIPT, strlen(RECEIPT));
	hang_up();
	run();
	expect_receipt();
}

/* All is found at once, before the page was seen to be taken. */
TEST_LOOP(receipt_may_come_with_the_acknowledgement, 0, 2)
{
	uint8_t heard[2 * PIECE];

	begin(_i);
	attach();
	grow();
	tape_end(page);
	connection_push(connection);
	while (transport_recv(peer, heard, sizeof(heard)) > 0)
		continue;
	say(RECEIPT, strlen(RECEIPT));
	hang_up();
	run();
	ck_assert_int_eq(sents, 1);
	expect_receipt();
}

TEST_LOOP(receipt_may_come_in_bytes, 0, 2)
{
	send_page(_i);
	for (size_t i = 0; i < strlen(RECEIPT); i++) {
		ck_assert_int_eq(ends, 0);
		say(&RECEIPT[i], 1);
		run();
	}
	expect_receipt();
}

/* With TLS many records come at once. */
TEST_LOOP(bytes_may_come_all_at_once, 0, 2)
{
	send_page(_i);
	for (size_t i = 0; i < strlen(RECEIPT); i++)
		say(&RECEIPT[i], 1);
	run();
	expect_receipt();
}

TEST_LOOP(peer_that_closes_gives_no_receipt, 0, 2)
{
	send_page(_i);
	hang_up();
	run();
	expect_no_receipt(CONNECTION_DONE);
	ck_assert(connection_peer_closed(connection));
}

TEST_LOOP(peer_that_vanishes_gives_no_receipt, 0, 2)
{
	send_page(_i);
	peer = transport_free(peer);
	run();
	expect_no_receipt(CONNECTION_DONE);
	ck_assert(connection_peer_closed(connection));
}

TEST_LOOP(torn_receipt_is_none, 0, 2)
{
	send_page(_i);
	say(RECEIPT, strlen(RECEIPT) - 1);
	hang_up();
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

TEST_LOOP(what_cannot_be_a_receipt_is_abuse, 0, 2 * ARRAY_SIZE(lies))
{
	const char *lie = lies[_i / 2];

	send_page(_i % 2);
	say(lie, strlen(lie));
	run();
	expect_no_receipt(CONNECTION_ABUSED);
}

TEST_LOOP(flood_after_the_page_is_abuse, 0, 2)
{
	char flood[RECEIPT_SIZE_MAX];

	memset(flood, 'x', sizeof(flood));
	send_page(_i);
	say(flood, sizeof(flood) - 1);
	run();
	ck_assert_int_eq(ends, 0);
	say(flood, 1);
	run();
	expect_no_receipt(CONNECTION_ABUSED);
}

TEST_LOOP(receipt_that_comes_too_early_is_garbage, 0, 2)
{
	begin(_i);
	attach();
	run();
	say(RECEIPT, strlen(RECEIPT));
	grow();
	finish();
	ck_assert_int_eq(ends, 0);
	hang_up();
	run();
	ck_assert_int_eq(sents, 1);
	expect_no_receipt(CONNECTION_DONE);
}

TEST_LOOP(beginning_that_comes_too_early_is_no_part_of_a_receipt, 0, 2)
{
	begin(_i);
	attach();
	run();
	say(RECEIPT, 20);
	grow();
	finish();
	say(&RECEIPT[20], strlen(RECEIPT) - 20);
	hang_up();
	run();
	expect_no_receipt(CONNECTION_ABUSED);
}

TEST_LOOP(flood_right_before_the_end_is_abuse, 0, 2)
{
	begin(_i);
	attach();
	grow();
	say((char *)piece, GARBAGE_SIZE_MAX + 1);
	tape_end(page);
	connection_push(connection);
	ck_assert_int_eq(ends, 1);
	ck_assert_int_eq(end, CONNECTION_ABUSED);
	ck_assert_int_eq(receipts, 0);
}

TEST_LOOP(receipt_is_waited_for_until_30_s_after_the_last_frame, 0, 2)
{
	const uint64_t before = now_usec();

	send_page(_i);
	connection_check_progress(connection, before + 30 * USEC_PER_SEC);
	ck_assert_int_eq(ends, 0);
	connection_check_progress(connection, now_usec() + 31 * USEC_PER_SEC);
	expect_no_receipt(CONNECTION_DONE);
	ck_assert(!connection_peer_closed(connection));
}

/* A page that was recorded before sounds for longer than it is sent. */
TEST(stored_page_is_waited_for_as_long_as_it_sounds)
{
	const uint64_t before = now_usec();
	uint64_t length;

	begin(0);
	while (page->size < 20 * PIECE)
		grow();
	length = frames_to_usec(page->size / 4, cd.rate);
	attach();
	finish();
	run();
	ck_assert_int_eq(sents, 1);
	connection_check_progress(connection,
				  before + length + 30 * USEC_PER_SEC - 1);
	ck_assert_int_eq(ends, 0);
	connection_check_progress(connection,
				  now_usec() + length + 30 * USEC_PER_SEC);
	expect_no_receipt(CONNECTION_DONE);
}

TEST(local_peer_is_never_known)
{
	send_page(0);
	say(RECEIPT, strlen(RECEIPT));
	run();
	expect_receipt();
	ck_assert(!connection_speaks_2(connection));
}
