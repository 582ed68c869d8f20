/* SPDX-License-Identifier: MIT
 * Clients connect to a zone, are attached, served and removed. Real sockets on
 * loopback; the loop runs only while a test waits. */
#include "server/zone.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "server/page.h"
#include "server/peers.h"
#include "test.h"
#include "wire/net.h"
#include "wire/receipt.h"

enum {
	PIECE = 4096,
	CLIENTS = 5,
	HEADER_SIZE = 44,
};

static const struct wav_format cd = {WAV_PCM, 16, 2, 44100};
static sd_event *event;
static struct gate *gate;
static struct gate_stats stats;
static struct zone *zone;
static struct tape *tape;
static struct ledger *ledger;
static struct sockaddr_storage address;
static int clients[CLIENTS];
static unsigned accepted, ended, told;
static const struct page *last_page;
static enum connection_end last_end;
static struct receipt last_receipt;
static uint8_t piece[PIECE];
static struct page alice, bob; /* only their addresses are used */
static const struct connection_feed feed = {.pacing = CONNECTION_UNPACED};

static void on_accepted(void *userdata, const struct zone *z)
{
	ck_assert_ptr_eq(z, zone);
	accepted++;
}

static void on_end(void *userdata, struct page *owner, enum connection_end end,
		   const struct connection *connection)
{
	ck_assert_ptr_nonnull(connection);
	last_page = owner;
	last_end = end;
	ended++;
}

static void on_receipt(void *userdata, struct page *owner,
		       const struct connection *connection,
		       const struct receipt *receipt)
{
	ck_assert_uint_gt(ended, told);
	last_page = owner;
	last_receipt = (struct receipt){0};
	if (receipt)
		last_receipt = *receipt;
	told++;
}

static const struct zone_callbacks callbacks = {
    .on_accepted = on_accepted,
    .on_end = on_end,
    .on_receipt = on_receipt,
};

static void listen_on_loopback(void)
{
	struct net_endpoint endpoint = {"127.0.0.1", "0"};
	int fds[NET_LISTENERS_MAX];
	socklen_t size = sizeof(address);

	ck_assert_int_eq(net_listen(&endpoint, fds), 1);
	ck_assert_int_eq(
	    getsockname(fds[0], (struct sockaddr *)&address, &size), 0);
	ck_assert_int_eq(zone_add_listener(zone, fds[0]), 0);
}

static void setup(void)
{
	memset(clients, -1, sizeof(clients));
	for (size_t i = 0; i < sizeof(piece); i++)
		piece[i] = (uint8_t)(i * 7);
	ck_assert_int_ge(sd_event_new(&event), 0);
	ck_assert_int_eq(gate_new(&gate, event, CLIENTS, CLIENTS, &stats), 0);
	ck_assert_int_eq(
	    zone_new(&zone, event, "lobby", gate, NULL, &callbacks, NULL), 0);
	ck_assert_int_eq(tape_new(&tape, NULL, &cd, WAV_ENDLESS), 0);
	ck_assert_int_eq(ledger_new(&ledger, 1, CLIENTS), 0);
	listen_on_loopback();
}

static void teardown(void)
{
	zone_free(zone);
	ledger_free(ledger);
	gate_free(gate);
	tape_unref(tape);
	sd_event_unref(event);
	for (int i = 0; i < CLIENTS; i++)
		fd_close(clients[i]);
}

FIXTURE(setup, teardown);

static int connect_client(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address,
				 sizeof(struct sockaddr_in)),
			 0);
	return fd;
}

static void wait_for(const unsigned *counter, unsigned value)
{
	while (*counter < value)
		ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
}

static void come(int first, int count)
{
	for (int i = first; i < first + count; i++)
		clients[i] = connect_client();
	wait_for(&accepted, accepted + (unsigned)count);
}

static void append_piece(void)
{
	ck_assert_int_eq(tape_append(tape, piece, sizeof(piece)), 0);
}

/* Reads to the end and checks that the samples are PIECEs; returns the size. */
static size_t hear_all(int fd)
{
	uint8_t heard[HEADER_SIZE + 4 * PIECE];
	size_t size = 0;
	ssize_t n;

	while ((n = recv(fd, heard + size, sizeof(heard) - size, 0)) > 0)
		size += (size_t)n;
	ck_assert_uint_ge(size, HEADER_SIZE);
	ck_assert_mem_eq(heard, "RIFF", 4);
	for (size_t at = HEADER_SIZE; at < size; at += PIECE)
		ck_assert_mem_eq(heard + at, piece, PIECE);
	return size;
}

TEST(those_that_came_wait_at_no_cost)
{
	come(0, CLIENTS);
	ck_assert_uint_eq(zone->waiting.count + zone->active.count, CLIENTS);
	ck_assert_uint_eq(zone->active.count, 0);
	ck_assert_int_eq(sd_event_run(event, 0), 0);
}

TEST(a_page_goes_to_all_that_wait)
{
	come(0, 3);
	append_piece();
	zone_attach(zone, &alice, ledger, tape, 0, &feed);
	ck_assert_uint_eq(zone->active.count, 3);
	append_piece();
	zone_push(zone, &alice);
	ck_assert_uint_eq(zone_slowest(zone, &alice), 2 * PIECE);
	tape_end(tape);
	zone_push(zone, &alice);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(hear_all(clients[i]),
				  HEADER_SIZE + 2 * PIECE);
		clients[i] = fd_close(clients[i]);
	}
	wait_for(&ended, 3);
	ck_assert_ptr_eq(last_page, &alice);
	ck_assert_int_eq(last_end, CONNECTION_DONE);
	ck_assert_uint_eq(zone->waiting.count + zone->active.count, 0);
	wait_for(&told, 3);
	ck_assert_uint_eq(zone->owing.count, 0);
	zone_reap(zone);
}

/* Sends a page of one piece to clients 0 to COUNT - 1, which take it. */
static void send_page(int count)
{
	zone_attach(zone, &alice, ledger, tape, 0, &feed);
	append_piece();
	tape_end(tape);
	zone_push(zone, &alice);
	for (int i = 0; i < count; i++)
		ck_assert_uint_eq(hear_all(clients[i]), HEADER_SIZE + PIECE);
	wait_for(&ended, ended + (unsigned)count);
}

static void say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), 0),
			 (ssize_t)strlen(text));
}

TEST(who_owes_a_receipt_is_no_client_any_more)
{
	come(0, CLIENTS);
	send_page(CLIENTS);
	ck_assert_int_eq(last_end, CONNECTION_DONE);
	ck_assert_uint_eq(zone->owing.count, CLIENTS);
	ck_assert_uint_eq(gate->clients, 0);
	for (int i = 0; i < CLIENTS; i++)
		say(clients[i], "intercom-receipt 1 result=complete heard=9\n");
	wait_for(&told, CLIENTS);
	ck_assert_ptr_eq(last_page, &alice);
	ck_assert_int_eq(last_receipt.result, RECEIPT_COMPLETE);
	ck_assert_uint_eq(last_receipt.heard_frames, 9);
	ck_assert_uint_eq(zone->owing.count, 0);
	ck_assert_uint_eq(ended, CLIENTS);
	ck_assert_uint_eq(gate->owing, 0);
}

TEST(receipt_makes_an_address_known)
{
	struct in6_addr known;

	ck_assert(net_address_v6(&address, &known));
	come(0, 1);
	send_page(1);
	ck_assert(!peers_know(gate->peers, &known));
	say(clients[0], "intercom-receipt 1\n");
	wait_for(&told, 1);
	ck_assert(peers_know(gate->peers, &known));
}

TEST(who_owes_makes_room_for_who_owes_later)
{
	int old[CLIENTS];

	come(0, CLIENTS);
	send_page(CLIENTS);
	memcpy(old, clients, sizeof(old));
	tape_unref(tape);
	ck_assert_int_eq(tape_new(&tape, NULL, &cd, WAV_ENDLESS), 0);
	come(0, 2);
	send_page(2);
	ck_assert_uint_eq(told, 2);
	ck_assert_int_eq(last_receipt.result, RECEIPT_RESULT_UNKNOWN);
	ck_assert_uint_eq(zone->owing.count, CLIENTS);
	ck_assert_uint_eq(gate->owing, CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		close(old[i]);
	wait_for(&told, CLIENTS);
	ck_assert_uint_eq(zone->owing.count, 2);
}

TEST(descriptors_of_who_owes_go_to_who_comes)
{
	int old[CLIENTS], next;

	come(0, CLIENTS);
	send_page(CLIENTS);
	memcpy(old, clients, sizeof(old));
	next = dup(0);
	close(next);
	gate->fd_end = next + 4; /* both ends of two connections */
	come(0, 2);
	ck_assert_uint_eq(told, 2);
	ck_assert_uint_eq(zone->waiting.count, 2);
	ck_assert_uint_eq(zone->owing.count, CLIENTS - 2);
	for (int i = 0; i < CLIENTS; i++)
		close(old[i]);
}

TEST(freeing_waits_for_no_receipt)
{
	come(0, 1);
	send_page(1);
	zone = zone_free(zone);
	ck_assert_uint_eq(told, 0);
	ck_assert_uint_eq(gate->owing, 0);
}

TEST(who_comes_later_hears_the_rest)
{
	come(0, 1);
	zone_attach(zone, &alice, ledger, tape, 0, &feed);
	append_piece();
	zone_push(zone, &alice);
	come(1, 1);
	zone_attach(zone, &alice, ledger, tape, tape->size, &feed);
	append_piece();
	tape_end(tape);
	zone_push(zone, &alice);
	ck_assert_uint_eq(hear_all(clients[0]), HEADER_SIZE + 2 * PIECE);
	ck_assert_uint_eq(hear_all(clients[1]), HEADER_SIZE + PIECE);
}

static const struct connection *order[64]; /* of what was served */
static unsigned served;

void __real_connection_push(struct connection *connection);
void __wrap_connection_push(struct connection *connection);

void __wrap_connection_push(struct connection *connection)
{
	if (served < ARRAY_SIZE(order))
		order[served] = connection;
	served++;
	__real_connection_push(connection);
}

static void check_round(const struct connection *const *round, size_t count,
			const struct connection *first)
{
	ck_assert_ptr_eq(round[0], first);
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i; j++)
			ck_assert_ptr_ne(round[i], round[j]);
}

/* Each is served once in each round, and another one is the first. */
TEST(nobody_is_always_the_last)
{
	come(0, 3);
	zone_attach(zone, &alice, ledger, tape, 0, &feed);
	served = 0;
	for (int i = 0; i < 4; i++) {
		append_piece();
		zone_push(zone, &alice);
	}
	ck_assert_uint_eq(served, 12);
	for (unsigned i = 0; i < 4; i++)
		check_round(order + (size_t)i * 3, 3, order[i % 3]);
}

static void reset(int fd)
{
	const struct linger linger = {.l_onoff = 1};

	ck_assert_int_eq(
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	fd_close(fd);
}

/* Also when the one that would be first has gone. */
TEST(whose_turn_it_is_may_have_left)
{
	come(0, 4);
	zone_attach(zone, &alice, ledger, tape, 0, &feed);
	append_piece();
	zone_push(zone, &alice);
	reset(clients[1]);
	clients[1] = -1;
	wait_for(&ended, 1);
	zone_reap(zone);
	served = 0;
	for (int i = 0; i < 3; i++)
		zone_push(zone, &alice);
	ck_assert_uint_eq(served, 9);
	for (unsigned i = 0; i < 3; i++)
		check_round(order + (size_t)i * 3, 3, order[i]);
}

TEST(owners_do_not_disturb_each_other)
{
	struct tape *other;

	ck_assert_int_eq(tape_new(&other, NULL, &cd, WAV_ENDLESS), 0);
	come(0, 1);
	zone_attach(zone, &alice, ledger, tape, 0, &feed);
	come(1, 1);
	zone_attach(zone, &bob, ledger, other, 0, &feed);
	append_piece();
	zone_push(zone, &bob);
	ck_assert_uint_eq(zone_slowest(zone, &alice), 0);
	zone_finish(zone, &bob);
	ck_assert_uint_eq(hear_all(clients[1]), HEADER_SIZE);
	zone_push(zone, &alice);
	zone_drop(zone, &bob, CONNECTION_CRAWLED);
	ck_assert_uint_eq(ended, 1);
	ck_assert_ptr_eq(last_page, &bob);
	ck_assert_int_eq(last_end, CONNECTION_CRAWLED);
	ck_assert_uint_eq(zone->active.count, 1);
	ck_assert_uint_eq(zone_slowest(zone, &bob), UINT64_MAX);
	ck_assert_uint_eq(zone_skips(zone, &alice), 0);
	tape_end(tape);
	zone_push(zone, &alice);
	ck_assert_uint_eq(hear_all(clients[0]), HEADER_SIZE + PIECE);
	tape_unref(other);
}

TEST(who_leaves_while_waiting_has_no_owner)
{
	come(0, 2);
	clients[0] = fd_close(clients[0]);
	wait_for(&ended, 1);
	ck_assert_ptr_null(last_page);
	ck_assert_int_eq(last_end, CONNECTION_LEFT);
	ck_assert_uint_eq(zone->waiting.count + zone->active.count, 1);
	zone_reap(zone);
	zone_attach(zone, &alice, ledger, tape, 0, &feed);
}

TEST(who_may_not_enter_is_closed)
{
	char byte;

	gate->max_clients = 0;
	clients[0] = connect_client();
	while (recv(clients[0], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN)
		ck_assert_int_ge(sd_event_run(event, 1000), 0);
	ck_assert_uint_eq(accepted, 0);
	ck_assert_uint_eq(zone->waiting.count, 0);
	gate->max_clients = CLIENTS;
	come(1, 1);
	ck_assert_uint_eq(zone->waiting.count, 1);
	ck_assert_uint_eq(gate->clients, 1);
}

TEST(without_descriptors_accepting_pauses_and_resumes)
{
	const int fd_end = gate->fd_end;

	gate->fd_end = 0;
	clients[0] = connect_client();
	while (gate->limits[GATE_PAUSED].told == 0)
		ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
	clients[1] = connect_client();
	/* The zone neither spins nor accepts. */
	ck_assert_int_eq(sd_event_run(event, 100000), 0);
	gate->fd_end = fd_end;
	wait_for(&accepted, 1);
	ck_assert_uint_eq(zone->waiting.count, 1);
}

TEST(the_stuck_are_ended_and_the_others_are_not)
{
	come(0, 2);
	zone_attach(zone, &alice, ledger, tape, 0, &feed);
	/* Sends more than the two socket buffers hold. */
	for (int i = 0; i < 16384 && zone_slowest(zone, &alice) == tape->size;
	     i++) {
		uint8_t drain[65536];

		append_piece();
		zone_push(zone, &alice);
		while (recv(clients[0], drain, sizeof(drain), MSG_DONTWAIT) > 0)
			continue;
	}
	ck_assert_uint_lt(zone_slowest(zone, &alice), tape->size);
	zone_check_progress(zone, UINT64_MAX);
	ck_assert_uint_eq(ended, 1);
	ck_assert_int_eq(last_end, CONNECTION_STUCK);
	ck_assert_uint_eq(zone->active.count, 1);
}

TEST(freeing_closes_all)
{
	char byte;

	come(0, 2);
	zone_attach(zone, &alice, ledger, tape, 0, &feed);
	come(2, 1);
	zone = zone_free(zone);
	ck_assert_uint_eq(gate->clients, 0);
	ck_assert_int_eq(recv(clients[2], &byte, 1, 0), 0);
	clients[3] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(clients[3], (struct sockaddr *)&address,
				 sizeof(struct sockaddr_in)),
			 -1);
}

TEST(the_end_of_a_page_is_remembered_when_somebody_hears_it)
{
	zone_finish(zone, &alice);
	zone_push(zone, &alice);
	ck_assert_uint_eq(zone->end_usec, 0);
	clients[0] = connect_client();
	wait_for(&accepted, 1);
	zone_attach(zone, &alice, ledger, tape, 0, &feed);
	zone_push(zone, &alice);
	ck_assert_uint_eq(zone->end_usec, 0);
	zone_finish(zone, &alice);
	ck_assert_uint_gt(zone->end_usec, 0);
}
