/* SPDX-License-Identifier: MIT
 * Addresses and sockets: listening (inherited or bound), connecting, options.
 * No loop, no state. */
#pragma once

#include <netdb.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/util.h"

#define NET_DEFAULT_PORT "2348"

enum {
	NET_HOST_SIZE = 256, /* a host name and its 0 */
	NET_PORT_SIZE = 32,
	NET_ZONE_SIZE = VALID_NAME_SIZE,
	NET_ADDRESS_SIZE = 64,	/* what net_address_name() writes */
	NET_LISTENERS_MAX = 16, /* sockets for one --listen */
};

/* HOST, HOST:PORT, ADDRESS:PORT, [V6], [V6]:PORT or a bare V6 address. */
struct net_endpoint {
	char host[NET_HOST_SIZE]; /* "" for every address */
	char port[NET_PORT_SIZE]; /* a number or a service name */
};

/* Parses a client's HOST[:PORT]. 0, or -EINVAL with *ret_problem a static
 * string for the person who typed it. The port defaults to 2348. */
int net_parse_endpoint(struct net_endpoint *ret, const char *text,
		       const char **ret_problem);

/* Parses a server's [ZONE=][ADDRESS:]PORT; zone (NET_ZONE_SIZE bytes) is "all"
 * when none is given. */
int net_parse_listen(struct net_endpoint *ret, char *zone, const char *text,
		     const char **ret_problem);

/* Binds and listens on every address that the endpoint stands for (at most
 * NET_LISTENERS_MAX; non-blocking, close-on-exec). With no host: one socket
 * for IPv6 and one for IPv4. Returns how many sockets were put into fds; on
 * error none is left open and the result is a negative errno, or a positive
 * getaddrinfo code negated and below NET_GAI_BASE. */
int net_listen(const struct net_endpoint *endpoint, int fds[NET_LISTENERS_MAX]);

/* Words for the error of net_listen, net_resolve or net_connect. */
const char *net_strerror(int error);

/* Looks the endpoint's addresses up (this may block for as long as DNS does).
 * *ret is freed with freeaddrinfo(). 0 or an error for net_strerror. */
int net_resolve(const struct net_endpoint *endpoint, struct addrinfo **ret);

/* Begins a non-blocking connection to one address. Returns the fd (writable
 * when done; then ask net_connect_result), or negative errno. A positive
 * rcvbuf_size is set before connecting, in bytes. */
int net_connect(const struct addrinfo *address, int rcvbuf_size);

/* What became of the connection: 0 or negative errno. */
int net_connect_result(int fd);

/* Options of a connection. Failures are not errors: a peer may have gone.
 * Sender: TCP_NODELAY, TCP_NOTSENT_LOWAT, keep-alive and TCP_USER_TIMEOUT so
 * that a dead peer is noticed within USER_TIMEOUT_MS. */
void net_setup_sender(int fd, unsigned user_timeout_ms);
/* A sender of what is there already, whom it does not hurt that a stalled peer
 * has swallowed some of it: fewer, larger writes. */
void net_setup_bulk(int fd);
/* Receiver: keep-alive so that a dead peer is noticed within 25 s. */
void net_setup_receiver(int fd);

/* The address as "192.0.2.1:2348" or "[2001:db8::1]:2348"; name takes
 * NET_ADDRESS_SIZE bytes. A v4 address in v6 is written as v4. */
void net_address_name(const struct sockaddr_storage *address, char *name);

/* Raises the soft limit of descriptors to the hard one; returns the limit. */
uint64_t net_raise_nofile(void);
