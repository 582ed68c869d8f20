/* SPDX-License-Identifier: MIT
 * What is one address, and how many connections it may have. */
#include "server/peers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/util.h"
#include "test.h"

enum { LIMIT = 3 };

static struct sockaddr_storage address_of(const char *text)
{
	struct sockaddr_storage address = {0};
	struct sockaddr_in *v4 = (void *)&address;
	struct sockaddr_in6 *v6 = (void *)&address;
	static in_port_t port;

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

static int enter(struct peers *peers, const char *text, struct peer **ret)
{
	const struct sockaddr_storage address = address_of(text);

	return peers_enter(peers, &address, ret);
}

static struct peers *new_peers(unsigned limit)
{
	struct peers *peers;

	ck_assert_int_eq(peers_new(&peers, limit), 0);
	return peers;
}

TEST(address_has_so_many_and_no_more)
{
	struct peers *peers = new_peers(LIMIT);
	struct peer *held[LIMIT], *none = NULL;

	for (int i = 0; i < LIMIT; i++)
		ck_assert_int_eq(enter(peers, "192.0.2.1", &held[i]), 0);
	ck_assert_int_eq(enter(peers, "192.0.2.1", &none), -EUSERS);
	ck_assert_ptr_null(none);
	peer_leave(held[1]);
	ck_assert_int_eq(enter(peers, "192.0.2.1", &held[1]), 0);
	ck_assert_int_eq(enter(peers, "192.0.2.1", &none), -EUSERS);
	for (int i = 0; i < LIMIT; i++)
		peer_leave(held[i]);
	peers_free(peers);
}

/* Whether what has LIMIT connections from A lets one from B in. */
static bool apart(const char *a, const char *b)
{
	struct peers *peers = new_peers(LIMIT);
	struct peer *held[LIMIT], *other = NULL;
	int r;

	for (int i = 0; i < LIMIT; i++)
		ck_assert_int_eq(enter(peers, a, &held[i]), 0);
	r = enter(peers, b, &other);
	ck_assert(r == 0 || r == -EUSERS);
	for (int i = 0; i < LIMIT; i++)
		peer_leave(held[i]);
	peer_leave(other);
	peers_free(peers);
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

/* Under a sanitizer this also tells that all are forgotten again. */
TEST(ten_thousand_addresses_come_and_go)
{
	static struct peer *held[10000];
	struct peers *peers = new_peers(2);
	struct peer *none;
	char text[32];

	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 10000; i++)
			ck_assert_int_eq(
			    enter(peers, nth(i / 2, text), &held[i]), 0);
		for (unsigned i = 0; i < 5000; i++)
			ck_assert_int_eq(enter(peers, nth(i, text), &none),
					 -EUSERS);
		for (unsigned i = 0; i < 10000; i++)
			peer_leave(held[i * 7919 % 10000]);
	}
	peers_free(peers);
}

TEST(nobody_leaves)
{
	peer_leave(NULL);
	ck_assert_ptr_null(peers_free(NULL));
}
