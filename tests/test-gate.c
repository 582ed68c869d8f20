/* SPDX-License-Identifier: MIT
 * Which clients are let in, what is counted, and how few lines are logged. */
#include "server/gate.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <systemd/sd-event.h>

#include "base/log.h"
#include "capture.h"
#include "server/poller.h"
#include "test.h"

enum { MAX_CLIENTS = 4, MAX_PER_ADDRESS = 2, A_DESCRIPTOR = 3 };

static struct gate_stats stats;
static struct gate *gate;
static struct gate_place places[16];
static unsigned entered;
static sd_event *event;
static char said[16384];

static void make_gate(unsigned max_clients, unsigned max_per_address)
{
	gate = gate_free(gate);
	ck_assert_int_eq(
	    gate_new(&gate, event, max_clients, max_per_address, &stats), 0);
}

static void setup(void)
{
	stats = (struct gate_stats){0};
	entered = 0;
	log_set_level(LOG_INFO);
	ck_assert_int_ge(sd_event_new(&event), 0);
	make_gate(MAX_CLIENTS, MAX_PER_ADDRESS);
}

static void teardown(void)
{
	while (entered > 0)
		gate_leave(gate, &places[--entered]);
	gate_free(gate);
	sd_event_unref(event);
}

FIXTURE(setup, teardown);

static struct sockaddr_storage address_of(const char *text)
{
	struct sockaddr_storage address = {0};
	struct sockaddr_in *v4 = (void *)&address;
	struct sockaddr_in6 *v6 = (void *)&address;
	static in_port_t port = 39999;

	if (!*text) {
		address.ss_family = AF_UNIX;
	} else if (strchr(text, ':')) {
		address.ss_family = AF_INET6;
		v6->sin6_port = htons(++port);
		ck_assert_int_eq(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
	} else {
		address.ss_family = AF_INET;
		v4->sin_port = htons(++port);
		ck_assert_int_eq(inet_pton(AF_INET, text, &v4->sin_addr), 1);
	}
	return address;
}

static int enter(const char *from, int fd)
{
	const struct sockaddr_storage address = address_of(from);
	int r = gate_enter(gate, fd, &address, &places[entered]);

	if (r == 0)
		entered++;
	return r;
}

/* Enters and is admitted at once, like a client without TLS. */
static int come(const char *from)
{
	int r = enter(from, A_DESCRIPTOR);

	return r < 0 ? r : gate_admit(gate, &places[entered - 1]);
}

static unsigned lines(const char *text)
{
	unsigned count = 0;

	for (; *text; text++)
		count += *text == '\n';
	return count;
}

/* Notes COUNT connections that have ended in the way END. */
static void note_ends(enum connection_end end, int count)
{
	static const struct connection_callbacks none;
	const struct sockaddr_storage local = {.ss_family = AF_UNIX};
	struct connection *connection;
	struct poller *poller;
	int fds[2];

	ck_assert_int_eq(poller_new(&poller, event), 0);
	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	ck_assert_int_eq(connection_new(&connection, poller, fds[0], NULL, NULL,
					&local, &none, NULL),
			 0);
	while (count-- > 0)
		gate_note_end(gate, end, connection);
	connection_free(connection);
	poller_free(poller);
	close(fds[1]);
}

/* --- who owes a receipt --- */

static struct connection *debtors[8];
static int debtor_ends[8][2];
static struct poller *debtors_poller;
static char dropped[64];

static void on_dropped(struct connection *connection, enum connection_end end,
		       void *userdata)
{
	const size_t i = (size_t)((struct gate_place *)userdata - places);

	ck_assert_int_eq(end, CONNECTION_DONE);
	snprintf(dropped + strlen(dropped), sizeof(dropped) - strlen(dropped),
		 "%zu ", i);
	gate_leave(gate, userdata);
}

/* The client that came last owes a receipt from now on. */
static void owe(void)
{
	static const struct connection_callbacks callbacks = {.on_end =
								  on_dropped};
	const struct sockaddr_storage local = {.ss_family = AF_UNIX};
	const unsigned i = entered - 1;

	if (!debtors_poller)
		ck_assert_int_eq(poller_new(&debtors_poller, event), 0);
	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, debtor_ends[i]),
	    0);
	ck_assert_int_eq(connection_new(&debtors[i], debtors_poller,
					debtor_ends[i][0], NULL, NULL, &local,
					&callbacks, &places[i]),
			 0);
	gate_owe(gate, &places[i], debtors[i]);
}

static void free_debtors(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(debtors); i++) {
		if (!debtors[i])
			continue;
		debtors[i] = connection_free(debtors[i]);
		close(debtor_ends[i][1]);
	}
	debtors_poller = poller_free(debtors_poller);
}

TEST(who_owes_takes_no_place)
{
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(come("192.0.2.1"), 0);
		owe();
	}
	ck_assert_uint_eq(gate->clients, 0);
	ck_assert_uint_eq(gate->owing, 3);
	ck_assert_int_eq(come("192.0.2.1"), 0);
	ck_assert_int_eq(come("192.0.2.1"), 0);
	ck_assert_int_eq(come("192.0.2.1"), -EUSERS);
	ck_assert_str_eq(dropped, "");
	free_debtors();
}

TEST(of_the_address_that_owes_most_the_oldest_goes)
{
	static const char *const from[] = {"192.0.2.1", "192.0.2.2",
					   "192.0.2.2", "192.0.2.3"};

	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		ck_assert_int_eq(come(from[i]), 0);
		owe();
	}
	ck_assert_int_eq(come("192.0.2.4"), 0);
	ck_assert_str_eq(dropped, "");
	owe();
	ck_assert_str_eq(dropped, "1 ");
	ck_assert_uint_eq(gate->owing, MAX_CLIENTS);
	/* Now each has one: the oldest of all. */
	ck_assert_int_eq(come("192.0.2.5"), 0);
	owe();
	ck_assert_str_eq(dropped, "1 0 ");
	free_debtors();
}

TEST(who_comes_for_the_last_descriptors_takes_a_debtors_place)
{
	ck_assert_int_eq(come("192.0.2.1"), 0);
	owe();
	ck_assert_int_eq(enter("192.0.2.2", gate->fd_end - 200), 0);
	ck_assert_str_eq(dropped, "");
	ck_assert_int_eq(enter("192.0.2.2", gate->fd_end - 1), 0);
	ck_assert_str_eq(dropped, "0 ");
	ck_assert_int_eq(enter("192.0.2.3", gate->fd_end - 1), 0);
	ck_assert_str_eq(dropped, "0 ");
	free_debtors();
}

TEST(there_is_room_for_so_many)
{
	struct capture err = capture_begin(STDERR_FILENO);

	ck_assert_int_eq(come("192.0.2.1"), 0);
	ck_assert_int_eq(come("192.0.2.2"), 0);
	ck_assert_int_eq(come("192.0.2.3"), 0);
	/* This client has entered, but another one is admitted before it. */
	ck_assert_int_eq(enter("192.0.2.4", A_DESCRIPTOR), 0);
	ck_assert_int_eq(come("192.0.2.5"), 0);
	ck_assert_int_eq(gate_admit(gate, &places[3]), -EUSERS);
	ck_assert_int_eq(come("192.0.2.6"), -EUSERS);
	capture_end(err, said, sizeof(said));
	check_line(said, (const char *const[]){"there are 4 already",
					       "--max-clients", NULL});
	ck_assert_uint_eq(gate->clients, MAX_CLIENTS);
	ck_assert_uint_eq(stats.accepted, MAX_CLIENTS);
	ck_assert_uint_eq(stats.refused, 2);
	ck_assert_uint_eq(stats.refused_address, 0);
}

TEST(an_address_has_its_share)
{
	struct capture err = capture_begin(STDERR_FILENO);

	ck_assert_int_eq(come("192.0.2.1"), 0);
	ck_assert_int_eq(come("192.0.2.1"), 0);
	ck_assert_int_eq(come("192.0.2.1"), -EUSERS);
	ck_assert_int_eq(come("192.0.2.2"), 0);
	capture_end(err, said, sizeof(said));
	check_line(said, (const char *const[]){"192.0.2.1:4000", "2 conn",
					       "--max-per-address", NULL});
	ck_assert_uint_eq(stats.refused, 0);
	ck_assert_uint_eq(stats.refused_address, 1);
	gate_leave(gate, &places[0]);
	ck_assert_uint_eq(gate->clients, 2);
	ck_assert_int_eq(come("192.0.2.1"), 0);
}

TEST(a_page_finds_descriptors)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 256;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	make_gate(MAX_CLIENTS, MAX_PER_ADDRESS);
	ck_assert_int_eq(enter("192.0.2.1", 223), 0);
	ck_assert_int_eq(enter("192.0.2.1", 224), -EMFILE);
	/* A lack of descriptors is not the client's fault. */
	ck_assert_uint_eq(stats.refused + stats.refused_address, 0);
}

TEST(few_descriptors_are_not_all_kept)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 40;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	make_gate(MAX_CLIENTS, MAX_PER_ADDRESS);
	ck_assert_int_eq(enter("192.0.2.1", 29), 0);
	ck_assert_int_eq(enter("192.0.2.1", 30), -EMFILE);
}

TEST(a_flood_is_counted_and_not_logged)
{
	struct capture err = capture_begin(STDERR_FILENO);

	gate->max_clients = 0;
	for (int i = 0; i < 10000; i++)
		ck_assert_int_eq(come("192.0.2.1"), -EUSERS);
	note_ends(CONNECTION_ABUSED, 1000);
	note_ends(CONNECTION_STUCK, 500);
	note_ends(CONNECTION_CRAWLED, 500);
	note_ends(CONNECTION_TOO_SLOW, 700);
	capture_end(err, said, sizeof(said));
	ck_assert_uint_eq(lines(said), 1 + 3 + 10 + 5);
	ck_assert_uint_eq(stats.refused, 10000);
	ck_assert_uint_eq(stats.abused, 1000);
	ck_assert_uint_eq(stats.stuck, 1000);
	ck_assert_uint_eq(stats.unproven, 700);
	ck_assert_int_eq(sd_event_source_get_enabled(gate->timer, NULL), 1);
}

TEST(who_goes_in_order_is_not_mentioned)
{
	struct capture err = capture_begin(STDERR_FILENO);

	ck_assert_int_eq(come("192.0.2.1"), 0);
	note_ends(CONNECTION_DONE, 1);
	note_ends(CONNECTION_LEFT, 1);
	note_ends(CONNECTION_LOST, 1);
	ck_assert_int_eq(sd_event_source_get_enabled(gate->timer, NULL), 0);
	gate_tell_totals(gate);
	capture_end(err, said, sizeof(said));
	ck_assert_str_eq(said, "");
	ck_assert_uint_eq(stats.accepted, 1);
}

TEST(a_pause_has_its_remedy)
{
	struct capture err = capture_begin(STDERR_FILENO);

	gate->clients = 990;
	gate_note_pause(gate, -EMFILE);
	gate_note_pause(gate, -EMFILE);
	capture_end(err, said, sizeof(said));
	check_line(said, (const char *const[]){"at 990 clients",
					       "Too many open files",
					       "LimitNOFILE=", NULL});
}

TEST(the_end_tells_the_totals_in_one_line)
{
	struct capture err;

	stats = (struct gate_stats){7, 11, 13, 17, 19, 23};
	err = capture_begin(STDERR_FILENO);
	gate_tell_totals(gate);
	capture_end(err, said, sizeof(said));
	check_line(said, (const char *const[]){
			     "11 beyond --max-clients",
			     "13 beyond --max-per-address", "17 without a key",
			     "19 that sent data", "23 that took", NULL});
}

/* Whether a gate that is full for A lets B in. */
static bool apart(const char *a, const char *b)
{
	int r;

	make_gate(9, 1);
	ck_assert_int_eq(come(a), 0);
	r = come(b);
	ck_assert(r == 0 || r == -EUSERS);
	while (entered > 0)
		gate_leave(gate, &places[--entered]);
	return r == 0;
}

TEST(addresses_are_told_apart)
{
	static const char *const all[] = {
	    "192.0.2.1", "192.0.2.2",	      "127.0.0.1",   "0.0.0.0",
	    "",		 "2001:db8:0:1::1",   "::1",	     "fe80::1",
	    "1::",	 "ffff:ffff:ffff::1", "2001:db8::1",
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (size_t j = 0; j < ARRAY_SIZE(all); j++)
			ck_assert_msg(apart(all[i], all[j]) == (i != j),
				      "'%s' and '%s'", all[i], all[j]);
}

TEST(v4_in_v6_is_v4)
{
	ck_assert(!apart("192.0.2.1", "::ffff:192.0.2.1"));
	ck_assert(!apart("::ffff:192.0.2.1", "192.0.2.1"));
	ck_assert(apart("192.0.2.1", "::ffff:192.0.2.2"));
}

TEST(v6_network_is_one_address)
{
	ck_assert(!apart("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:1"));
	ck_assert(apart("2001:db8:0:1::1", "2001:db8:0:2::1"));
}

static const char *nth(unsigned n, char text[32])
{
	snprintf(text, 32, "10.%u.%u.%u", n >> 16, n >> 8 & 255, n & 255);
	return text;
}

/* Under AddressSanitizer this also checks that all are freed again. */
TEST(ten_thousand_addresses_come_and_go)
{
	static struct gate_place held[10000];
	struct gate_place none;
	char text[32];

	make_gate(10000, 2);
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 20000; i++) {
			const struct sockaddr_storage address =
			    address_of(nth(i % 10000 / 2, text));

			ck_assert_int_eq(
			    gate_enter(gate, A_DESCRIPTOR, &address,
				       i < 10000 ? &held[i] : &none),
			    i < 10000 ? 0 : -EUSERS);
		}
		for (unsigned i = 0; i < 10000; i++)
			gate_leave(gate, &held[i * 7919 % 10000]);
	}
	ck_assert_ptr_null(gate->addresses);
}
