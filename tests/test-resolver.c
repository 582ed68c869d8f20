/* SPDX-License-Identifier: MIT
 * Literals are resolved at once, names by a thread. No test asks a name server.
 */
#include "wire/resolver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>

#include "test.h"

static struct resolver_result result;

static void expect_address(const char *name)
{
	char text[NET_ADDRESS_SIZE];

	ck_assert_int_eq(result.error, 0);
	ck_assert_uint_ge(result.count, 1);
	net_address_name(&result.addresses[0].address, text);
	ck_assert_str_eq(text, name);
}

/* Waits for the result, takes it, closes. */
static void take(int fd)
{
	struct pollfd item = {.fd = fd, .events = POLLIN};

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(poll(&item, 1, 60000), 1);
	ck_assert_int_eq(resolver_take(fd, &result), 0);
	close(fd);
}

TEST(a_literal_needs_no_thread)
{
	const struct net_endpoint v4 = {"192.0.2.7", "2349"};
	const struct net_endpoint v6 = {"2001:db8::7", "2348"};

	ck_assert_int_eq(resolver_literal(&v4, &result), 0);
	expect_address("192.0.2.7:2349");
	ck_assert_uint_eq(result.count, 1);
	ck_assert_uint_eq(result.addresses[0].size, sizeof(struct sockaddr_in));
	ck_assert_int_eq(resolver_literal(&v6, &result), 0);
	expect_address("[2001:db8::7]:2348");
	ck_assert_uint_eq(result.addresses[0].size,
			  sizeof(struct sockaddr_in6));
}

TEST(a_name_is_no_literal)
{
	const struct net_endpoint name = {"reception", "2348"};
	const struct net_endpoint short_form = {"127.1", "2348"};

	ck_assert_int_eq(resolver_literal(&name, &result), -EINVAL);
	ck_assert_int_eq(resolver_literal(&short_form, &result), -EINVAL);
}

TEST(a_name_is_looked_up)
{
	const struct net_endpoint localhost = {"localhost", "2348"};

	take(resolver_start(&localhost));
	ck_assert_int_eq(result.error, 0);
	ck_assert_uint_ge(result.count, 1);
	ck_assert_uint_le(result.count, RESOLVER_ADDRESSES_MAX);
}

TEST(a_bad_service_has_words)
{
	const struct net_endpoint bad = {"127.0.0.1", "no-such-service"};

	take(resolver_start(&bad));
	ck_assert_int_lt(result.error, 0);
	ck_assert_uint_eq(result.count, 0);
	ck_assert_uint_gt(strlen(net_strerror(result.error)), 0);
}

TEST(no_answer_yet_is_not_an_end_without_one)
{
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
	ck_assert_int_eq(resolver_take(fds[0], &result), -EAGAIN);
	close(fds[1]);
	ck_assert_int_eq(resolver_take(fds[0], &result), -EIO);
	close(fds[0]);
}

TEST(lookups_may_be_given_up)
{
	const struct net_endpoint localhost = {"localhost", "2348"};

	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(close(resolver_start(&localhost)), 0);
	take(resolver_start(&localhost));
	ck_assert_int_eq(result.error, 0);
}
