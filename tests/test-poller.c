/* SPDX-License-Identifier: MIT
 * Many sockets in one event source. */
#include "server/poller.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "test.h"

enum { MANY = 200 };

struct peer_pair {
	int here, there;
	struct poller_watch watch;
	unsigned calls;
	uint32_t events;
};

static sd_event *event;
static struct poller *poller;
static struct peer_pair pairs[MANY];
static struct peer_pair *removed_by_first;

static void on_ready(void *userdata, uint32_t events)
{
	struct peer_pair *pair = userdata;
	char byte;

	if (events & EPOLLIN)
		(void)!recv(pair->here, &byte, 1, MSG_DONTWAIT);
	pair->calls++;
	pair->events = events;
	if (removed_by_first) {
		poller_remove(poller, &removed_by_first->watch);
		removed_by_first = NULL;
	}
}

static void setup(void)
{
	ck_assert_int_ge(sd_event_new(&event), 0);
	ck_assert_int_eq(poller_new(&poller, event), 0);
	removed_by_first = NULL;
	for (int i = 0; i < MANY; i++) {
		int fds[2];

		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		pairs[i] = (struct peer_pair){.here = fds[0], .there = fds[1]};
		pairs[i].watch =
		    (struct poller_watch){fds[0], on_ready, &pairs[i]};
		ck_assert_int_eq(poller_add(poller, &pairs[i].watch), 0);
	}
}

static void teardown(void)
{
	for (int i = 0; i < MANY; i++) {
		close(pairs[i].here);
		close(pairs[i].there);
	}
	poller = poller_free(poller);
	event = sd_event_unref(event);
}

FIXTURE(setup, teardown);

static void send_byte(int i)
{
	ck_assert_int_eq(write(pairs[i].there, "x", 1), 1);
}

static unsigned calls(void)
{
	unsigned sum = 0;

	for (int i = 0; i < MANY; i++)
		sum += pairs[i].calls;
	return sum;
}

/* One turn of the loop; 0 when nothing was ready. */
static int turn(void)
{
	int r = sd_event_run(event, 0);

	ck_assert_int_ge(r, 0);
	return r;
}

TEST(only_what_is_ready_is_called)
{
	ck_assert_int_eq(turn(), 0);
	send_byte(7);
	ck_assert_int_gt(turn(), 0);
	ck_assert_uint_eq(calls(), 1);
	ck_assert_uint_eq(pairs[7].calls, 1);
	ck_assert_uint_eq(pairs[7].events, EPOLLIN);
}

TEST(all_that_are_ready_have_their_turn_before_any_has_two)
{
	unsigned turns = 0;

	for (int i = 0; i < MANY; i++)
		send_byte(i);
	while (calls() < MANY) {
		ck_assert_int_gt(turn(), 0);
		turns++;
	}
	for (int i = 0; i < MANY; i++)
		ck_assert_uint_eq(pairs[i].calls, 1);
	/* Neither one socket a turn nor all in one turn. */
	ck_assert_uint_gt(turns, 1);
	ck_assert_uint_lt(turns, MANY / 10);
}

TEST(what_is_waited_for_can_change)
{
	ck_assert_int_eq(
	    poller_change(poller, &pairs[3].watch, EPOLLIN | EPOLLOUT), 0);
	ck_assert_int_gt(turn(), 0);
	ck_assert_uint_eq(pairs[3].events, EPOLLOUT);
	ck_assert_int_eq(poller_change(poller, &pairs[3].watch, 0), 0);
	send_byte(3);
	ck_assert_int_eq(turn(), 0);
}

TEST(a_peer_that_is_gone_is_told_unasked)
{
	ck_assert_int_eq(poller_change(poller, &pairs[3].watch, 0), 0);
	close(pairs[3].there);
	pairs[3].there = dup(0);
	ck_assert_int_gt(turn(), 0);
	ck_assert_uint_ne(pairs[3].events & EPOLLHUP, 0);
}

TEST(what_is_removed_is_not_called)
{
	send_byte(5);
	poller_remove(poller, &pairs[5].watch);
	ck_assert_int_eq(turn(), 0);
}

TEST(what_another_call_removes_is_not_called)
{
	send_byte(1);
	send_byte(2);
	/* The first that is ready is the first in the list. */
	removed_by_first = &pairs[2];
	ck_assert_int_gt(turn(), 0);
	ck_assert_uint_eq(pairs[1].calls, 1);
	ck_assert_uint_eq(pairs[2].calls, 0);
}
