/* SPDX-License-Identifier: MIT
 * Addresses as people type them, and sockets on loopback. */
#include "wire/net.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>

#include "test.h"

enum { PATIENCE_MS = 30000 };

static struct net_endpoint endpoint;
static const char *problem;

static void check_endpoint(const char *text, const char *host, const char *port)
{
	ck_assert_msg(net_parse_endpoint(&endpoint, text, &problem) == 0,
		      "%s: %s", text, problem);
	ck_assert_str_eq(endpoint.host, host);
	ck_assert_str_eq(endpoint.port, port);
}

static void check_listen(const char *text, const char *zone, const char *host,
			 const char *port)
{
	char name[NET_ZONE_SIZE];

	ck_assert_msg(net_parse_listen(&endpoint, name, text, &problem) == 0,
		      "%s: %s", text, problem);
	ck_assert_str_eq(name, zone);
	ck_assert_str_eq(endpoint.host, host);
	ck_assert_str_eq(endpoint.port, port);
}

TEST(servers_are_named_with_and_without_a_port)
{
	check_endpoint("reception", "reception", "2348");
	check_endpoint("reception:2349", "reception", "2349");
	check_endpoint("192.0.2.1:80", "192.0.2.1", "80");
	check_endpoint("[2001:db8::1]:2349", "2001:db8::1", "2349");
	check_endpoint("[2001:db8::1]", "2001:db8::1", "2348");
	check_endpoint("2001:db8::1", "2001:db8::1", "2348");
	check_endpoint("fe80::1%eth0", "fe80::1%eth0", "2348");
	check_endpoint("[fe80::1%eth0]:80", "fe80::1%eth0", "80");
	check_endpoint("reception:http", "reception", "http");
}

TEST(what_names_no_server_is_refused_in_words)
{
	static const char *const wrong[] = {
	    "",		  ":2348",	   "host:",	   "host:0",
	    "host:65536", "host:99999999", "[2001:db8::1", "[::1]x",
	    "[::1]:",	  "[]:80",	   "a:b:c",	   "host:2348:2349",
	    "[host]",	  "host:99999",	   "::1::2",	   "%eth0::1",
	};
	char name[NET_HOST_SIZE + 10];

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		problem = NULL;
		ck_assert_msg(net_parse_endpoint(&endpoint, wrong[i],
						 &problem) == -EINVAL,
			      "%s", wrong[i]);
		ck_assert_ptr_nonnull(problem);
		ck_assert(*problem);
	}
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_eq(net_parse_endpoint(&endpoint, name, &problem),
			 -EINVAL);
}

TEST(listeners_have_a_zone_an_address_and_a_port)
{
	check_listen("2348", "all", "", "2348");
	check_listen("lobby=2349", "lobby", "", "2349");
	check_listen("192.0.2.1:2348", "all", "192.0.2.1", "2348");
	check_listen("yard=[::1]:2350", "yard", "::1", "2350");
	check_listen("a.b_c-D9=localhost:0", "a.b_c-D9", "localhost", "0");
}

TEST(what_is_no_listener_is_refused_in_words)
{
	static const char *const wrong[] = {
	    "",		 "=2348",	   "lobby=", "a b=1",
	    "a/b=2348",	 "lobby=::1:2348", "70000",  "..=",
	    "lobby=1=2", "[::1]",
	};
	char name[NET_ZONE_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		problem = NULL;
		ck_assert_msg(net_parse_listen(&endpoint, name, wrong[i],
					       &problem) == -EINVAL,
			      "%s", wrong[i]);
		ck_assert_ptr_nonnull(problem);
	}
}

TEST(zone_names_are_plain)
{
	char longest[NET_ZONE_SIZE + 1];

	ck_assert(name_valid("lobby"));
	ck_assert(name_valid("0.a_B-c"));
	ck_assert(!name_valid(""));
	ck_assert(!name_valid("a b"));
	ck_assert(!name_valid("../etc"));
	ck_assert(!name_valid("h\xc3\xb6"));
	memset(longest, 'z', sizeof(longest));
	longest[NET_ZONE_SIZE - 1] = '\0';
	ck_assert(name_valid(longest));
	longest[NET_ZONE_SIZE - 1] = 'z';
	longest[NET_ZONE_SIZE] = '\0';
	ck_assert(!name_valid(longest));
}

/* --- sockets --- */

static int listen_on(const char *host, int fds[NET_LISTENERS_MAX])
{
	snprintf(endpoint.host, sizeof(endpoint.host), "%s", host);
	strcpy(endpoint.port, "0");
	return net_listen(&endpoint, fds);
}

static struct sockaddr_in own_address(int fd)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size),
			 0);
	return address;
}

static int connect_to(const struct sockaddr_in *address, int rcvbuf_size)
{
	struct sockaddr_in copy = *address;
	const struct addrinfo info = {
	    .ai_family = AF_INET,
	    .ai_socktype = SOCK_STREAM,
	    .ai_addr = (struct sockaddr *)&copy,
	    .ai_addrlen = sizeof(copy),
	};
	struct pollfd wait;
	int fd = net_connect(&info, rcvbuf_size);

	ck_assert_int_ge(fd, 0);
	wait = (struct pollfd){.fd = fd, .events = POLLOUT};
	ck_assert_int_eq(poll(&wait, 1, PATIENCE_MS), 1);
	return fd;
}

static int number(int fd, int level, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	ck_assert_int_eq(getsockopt(fd, level, option, &value, &size), 0);
	return value;
}

TEST(a_listener_accepts_and_never_blocks)
{
	int fds[NET_LISTENERS_MAX], client, accepted;
	struct sockaddr_in address;
	struct pollfd wait;

	ck_assert_int_eq(listen_on("127.0.0.1", fds), 1);
	ck_assert_int_ne(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(accept(fds[0], NULL, NULL), -1);
	ck_assert_int_eq(errno, EAGAIN);
	address = own_address(fds[0]);
	client = connect_to(&address, 8192);
	ck_assert_int_eq(net_connect_result(client), 0);
	ck_assert_int_ne(fcntl(client, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(client, F_GETFD), FD_CLOEXEC);
	/* The kernel doubles the size for its bookkeeping, socket(7). */
	ck_assert_int_eq(number(client, SOL_SOCKET, SO_RCVBUF), 2 * 8192);
	wait = (struct pollfd){.fd = fds[0], .events = POLLIN};
	ck_assert_int_eq(poll(&wait, 1, PATIENCE_MS), 1);
	accepted = accept(fds[0], NULL, NULL);
	ck_assert_int_ge(accepted, 0);
	close(accepted);
	close(client);
	close(fds[0]);
}

TEST(a_port_that_is_taken_is_an_error_that_leaves_nothing_open)
{
	int fds[NET_LISTENERS_MAX], others[NET_LISTENERS_MAX], before, r;

	ck_assert_int_eq(listen_on("127.0.0.1", fds), 1);
	snprintf(endpoint.port, sizeof(endpoint.port), "%d",
		 ntohs(own_address(fds[0]).sin_port));
	before = dup(0);
	close(before);
	r = net_listen(&endpoint, others);
	ck_assert_int_eq(r, -EADDRINUSE);
	ck_assert_str_eq(net_strerror(r), strerror(EADDRINUSE));
	ck_assert_int_eq(dup(0), before);
	close(before);
	close(fds[0]);
}

TEST(a_host_that_nobody_knows_is_an_error_in_words)
{
	int fds[NET_LISTENERS_MAX], r;
	struct addrinfo *list;

	r = listen_on("no-such-host.invalid", fds);
	ck_assert_int_lt(r, 0);
	ck_assert(*net_strerror(r));
	ck_assert_str_ne(net_strerror(r), net_strerror(-EADDRINUSE));
	check_endpoint("no-such-host.invalid", "no-such-host.invalid", "2348");
	ck_assert_int_lt(net_resolve(&endpoint, &list), 0);
}

TEST(a_port_that_nobody_knows_is_an_error_with_a_remedy)
{
	int fds[NET_LISTENERS_MAX], r;
	struct addrinfo *list;

	check_endpoint("127.0.0.1:no-such-port", "127.0.0.1", "no-such-port");
	r = net_listen(&endpoint, fds);
	ck_assert_int_lt(r, 0);
	ck_assert_ptr_nonnull(strstr(net_strerror(r), "from 1 to 65535"));
	r = net_resolve(&endpoint, &list);
	ck_assert_int_lt(r, 0);
	ck_assert_ptr_nonnull(strstr(net_strerror(r), "from 1 to 65535"));
}

TEST(a_refused_connection_says_so)
{
	int fds[NET_LISTENERS_MAX], fd;
	struct sockaddr_in address;

	ck_assert_int_eq(listen_on("127.0.0.1", fds), 1);
	address = own_address(fds[0]);
	close(fds[0]);
	fd = connect_to(&address, 0);
	ck_assert_int_eq(net_connect_result(fd), -ECONNREFUSED);
	close(fd);
}

TEST(an_address_is_resolved)
{
	struct addrinfo *list;

	check_endpoint("127.0.0.1:99", "127.0.0.1", "99");
	ck_assert_int_eq(net_resolve(&endpoint, &list), 0);
	ck_assert_int_eq(list->ai_family, AF_INET);
	ck_assert_int_eq(ntohs(((struct sockaddr_in *)list->ai_addr)->sin_port),
			 99);
	freeaddrinfo(list);
}

TEST(connections_notice_that_their_peer_is_dead)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	net_setup_sender(fd);
	ck_assert_int_eq(number(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	ck_assert_int_eq(number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 20000);
	ck_assert_int_eq(number(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	ck_assert_int_gt(number(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 0);
	ck_assert_int_le(number(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 65536);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	net_setup_receiver(fd);
	ck_assert_int_eq(number(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	ck_assert_int_eq(number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 20000);
	ck_assert_int_le(number(fd, IPPROTO_TCP, TCP_KEEPIDLE) +
			     number(fd, IPPROTO_TCP, TCP_KEEPINTVL) *
				 number(fd, IPPROTO_TCP, TCP_KEEPCNT),
			 25);
	close(fd);
	/* Must ignore a descriptor that is no TCP socket. */
	net_setup_sender(-1);
	net_setup_receiver(-1);
}

TEST(addresses_are_written_as_they_are_typed)
{
	struct sockaddr_storage storage;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
	char name[NET_ADDRESS_SIZE];

	memset(&storage, 0, sizeof(storage));
	v4->sin_family = AF_INET;
	v4->sin_port = htons(2348);
	inet_pton(AF_INET, "192.0.2.1", &v4->sin_addr);
	net_address_name(&storage, name);
	ck_assert_str_eq(name, "192.0.2.1:2348");

	memset(&storage, 0, sizeof(storage));
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(2348);
	inet_pton(AF_INET6, "2001:db8::1", &v6->sin6_addr);
	net_address_name(&storage, name);
	ck_assert_str_eq(name, "[2001:db8::1]:2348");
	inet_pton(AF_INET6, "fe80::1", &v6->sin6_addr);
	v6->sin6_scope_id = if_nametoindex("lo");
	net_address_name(&storage, name);
	ck_assert_str_eq(name, "[fe80::1%lo]:2348");
	v6->sin6_scope_id = UINT32_MAX;
	net_address_name(&storage, name);
	ck_assert_str_eq(name, "[fe80::1%4294967295]:2348");
	v6->sin6_scope_id = 0;
	inet_pton(AF_INET6, "::ffff:192.0.2.1", &v6->sin6_addr);
	net_address_name(&storage, name);
	ck_assert_str_eq(name, "192.0.2.1:2348");

	memset(&storage, 0, sizeof(storage));
	storage.ss_family = AF_UNIX;
	net_address_name(&storage, name);
	ck_assert(*name);
}

TEST(the_limit_of_descriptors_is_raised_to_the_hard_one)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max / 2;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	net_raise_nofile();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_eq(limit.rlim_cur, limit.rlim_max);
}
