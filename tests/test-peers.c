/* SPDX-License-Identifier: MIT
 * Which addresses are remembered, and for how long. */
#include "server/peers.h"

#include <arpa/inet.h>

#include "test.h"
#include "wire/net.h"

enum { MAX_PEERS = 3 };

static struct peers *peers;

static void setup(void)
{
	ck_assert_int_eq(peers_new(&peers, MAX_PEERS), 0);
}

static void teardown(void)
{
	peers_free(peers);
}

FIXTURE(setup, teardown);

/* Each time with another port. */
static struct sockaddr_storage address_of(const char *text)
{
	struct sockaddr_storage address = {.ss_family = AF_UNIX};
	struct sockaddr_in *v4 = (void *)&address;
	struct sockaddr_in6 *v6 = (void *)&address;
	static in_port_t port = 39999;

	if (strchr(text, ':')) {
		*v6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
					    .sin6_port = htons(++port)};
		ck_assert_int_eq(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
	} else if (*text) {
		*v4 = (struct sockaddr_in){.sin_family = AF_INET,
					   .sin_port = htons(++port)};
		ck_assert_int_eq(inet_pton(AF_INET, text, &v4->sin_addr), 1);
	}
	return address;
}

static void add(const char *text)
{
	const struct sockaddr_storage address = address_of(text);
	struct in6_addr host;

	(void)net_address_v6(&address, &host);
	peers_add(peers, &host);
}

static bool know(const char *text)
{
	const struct sockaddr_storage address = address_of(text);
	struct in6_addr host;

	(void)net_address_v6(&address, &host);
	return peers_know(peers, &host);
}

TEST(who_was_added_is_known_at_any_port)
{
	ck_assert(!know("192.0.2.1"));
	add("192.0.2.1");
	add("2001:db8::1");
	ck_assert(know("192.0.2.1"));
	ck_assert(know("2001:db8::1"));
	ck_assert(!know("192.0.2.2"));
	ck_assert(!know("2001:db8::2")); /* another machine of the network */
}

TEST(mapped_address_is_that_of_ipv4)
{
	add("::ffff:192.0.2.1");
	ck_assert(know("192.0.2.1"));
	add("192.0.2.2");
	ck_assert(know("::ffff:192.0.2.2"));
}

TEST(local_socket_has_no_address)
{
	add("");
	ck_assert(!know(""));
}

TEST(who_was_added_longest_ago_is_forgotten)
{
	add("192.0.2.1");
	add("192.0.2.2");
	add("192.0.2.3");
	add("192.0.2.1");
	add("192.0.2.4");
	ck_assert(know("192.0.2.1"));
	ck_assert(!know("192.0.2.2"));
	ck_assert(know("192.0.2.3"));
	ck_assert(know("192.0.2.4"));
}

TEST(thousands_leave_the_last_few)
{
	char text[32];

	for (int i = 0; i < 10000; i++) {
		snprintf(text, sizeof(text), "10.0.%d.%d", i / 256, i % 256);
		add(text);
		ck_assert(know(text));
	}
	ck_assert(know("10.0.39.13"));
	ck_assert(!know("10.0.39.12"));
}
