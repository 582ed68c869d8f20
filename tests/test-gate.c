/* SPDX-License-Identifier: MIT
 * Who is let in, what is counted, and how little is said of it. */
#include "server/gate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <systemd/sd-event.h>

#include "base/log.h"
#include "capture.h"
#include "server/poller.h"
#include "test.h"

enum { MAX_CLIENTS = 4, MAX_PER_ADDRESS = 2, A_DESCRIPTOR = 3 };

static struct gate_stats stats;
static struct gate *gate;
static struct peer *peers[16];
static unsigned entered;
static char said[16384];

static void setup(void)
{
	stats = (struct gate_stats){0};
	entered = 0;
	log_set_level(LOG_INFO);
	ck_assert_int_eq(gate_new(&gate, MAX_CLIENTS, MAX_PER_ADDRESS, &stats),
			 0);
}

static void teardown(void)
{
	while (entered > 0)
		peer_leave(peers[--entered]);
	gate_free(gate);
}

FIXTURE(setup, teardown);

static int enter(const char *from, int fd, unsigned clients)
{
	struct sockaddr_storage address = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	int r;

	v4->sin_family = AF_INET;
	v4->sin_port = htons(40000);
	ck_assert_int_eq(inet_pton(AF_INET, from, &v4->sin_addr), 1);
	r = gate_enter(gate, fd, &address, clients, &peers[entered]);
	if (r == 0)
		entered++;
	return r;
}

static unsigned lines(const char *text)
{
	unsigned count = 0;

	for (; *text; text++)
		count += *text == '\n';
	return count;
}

/* A connection that has ended END-wise, COUNT times. */
static void note_ends(enum connection_end end, int count)
{
	static const struct connection_callbacks none;
	const struct sockaddr_storage local = {.ss_family = AF_UNIX};
	struct connection *connection;
	struct poller *poller;
	sd_event *event;
	int fds[2];

	ck_assert_int_ge(sd_event_new(&event), 0);
	ck_assert_int_eq(poller_new(&poller, event), 0);
	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	ck_assert_int_eq(connection_new(&connection, poller, fds[0], NULL,
					&local, &none, NULL),
			 0);
	while (count-- > 0)
		gate_note_end(gate, end, connection);
	connection_free(connection);
	poller_free(poller);
	sd_event_unref(event);
	close(fds[1]);
}

TEST(there_is_room_for_so_many)
{
	struct capture err = capture_begin(STDERR_FILENO);

	ck_assert_int_eq(enter("192.0.2.1", A_DESCRIPTOR, 0), 0);
	ck_assert_int_eq(enter("192.0.2.2", A_DESCRIPTOR, MAX_CLIENTS - 1), 0);
	ck_assert_int_eq(enter("192.0.2.3", A_DESCRIPTOR, MAX_CLIENTS),
			 -EUSERS);
	capture_end(err, said, sizeof(said));
	check_line(said, (const char *const[]){"there are 4 already",
					       "--max-clients", NULL});
	ck_assert_uint_eq(stats.refused, 1);
	ck_assert_uint_eq(stats.refused_address, 0);
}

TEST(an_address_has_its_share)
{
	struct capture err = capture_begin(STDERR_FILENO);

	ck_assert_int_eq(enter("192.0.2.1", A_DESCRIPTOR, 0), 0);
	ck_assert_int_eq(enter("192.0.2.1", A_DESCRIPTOR, 1), 0);
	ck_assert_int_eq(enter("192.0.2.1", A_DESCRIPTOR, 2), -EUSERS);
	ck_assert_int_eq(enter("192.0.2.2", A_DESCRIPTOR, 2), 0);
	capture_end(err, said, sizeof(said));
	check_line(said, (const char *const[]){"192.0.2.1:40000", "2 conn",
					       "--max-per-address", NULL});
	ck_assert_uint_eq(stats.refused, 0);
	ck_assert_uint_eq(stats.refused_address, 1);
	peer_leave(peers[--entered]);
	peer_leave(peers[--entered]);
	ck_assert_int_eq(enter("192.0.2.1", A_DESCRIPTOR, 1), 0);
}

TEST(a_page_finds_descriptors)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 256;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	gate_free(gate);
	ck_assert_int_eq(gate_new(&gate, MAX_CLIENTS, MAX_PER_ADDRESS, &stats),
			 0);
	ck_assert_int_eq(enter("192.0.2.1", 223, 0), 0);
	ck_assert_int_eq(enter("192.0.2.1", 224, 0), -EMFILE);
	/* Nobody was to blame. */
	ck_assert_uint_eq(stats.refused + stats.refused_address, 0);
}

TEST(few_descriptors_are_not_all_kept)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 40;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	gate_free(gate);
	ck_assert_int_eq(gate_new(&gate, MAX_CLIENTS, MAX_PER_ADDRESS, &stats),
			 0);
	ck_assert_int_eq(enter("192.0.2.1", 29, 0), 0);
	ck_assert_int_eq(enter("192.0.2.1", 30, 0), -EMFILE);
}

TEST(a_flood_is_counted_and_not_logged)
{
	struct capture err = capture_begin(STDERR_FILENO);

	for (int i = 0; i < 10000; i++)
		ck_assert(!gate_has_room(gate, MAX_CLIENTS));
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
	ck_assert_msg(gate_tell(gate), "it has yet to tell how many more");
}

TEST(who_goes_in_order_is_not_mentioned)
{
	struct capture err = capture_begin(STDERR_FILENO);

	gate_note_accepted(gate);
	note_ends(CONNECTION_DONE, 1);
	note_ends(CONNECTION_LEFT, 1);
	note_ends(CONNECTION_LOST, 1);
	ck_assert(!gate_tell(gate));
	gate_tell_totals(gate);
	capture_end(err, said, sizeof(said));
	ck_assert_str_eq(said, "");
	ck_assert_uint_eq(stats.accepted, 1);
}

TEST(a_pause_has_its_remedy)
{
	struct capture err = capture_begin(STDERR_FILENO);

	gate_note_pause(gate, 990, -EMFILE);
	gate_note_pause(gate, 991, -EMFILE);
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
