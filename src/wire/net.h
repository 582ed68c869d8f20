/* SPDX-License-Identifier: MIT
 * Addresses and TCP sockets: parsing, listening, connecting, socket options.
 * Knows no loop and keeps no state. */
#pragma once

#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/util.h"

#define NET_DEFAULT_PORT "2348"

enum {
	NET_HOST_SIZE = 256, /* a host name and its final 0 */
	NET_PORT_SIZE = 32,
	NET_ZONE_SIZE = VALID_NAME_SIZE,
	NET_ADDRESS_SIZE = 64,	/* for net_address_name() */
	NET_LISTENERS_MAX = 16, /* sockets for one --listen */
};

/* From HOST, HOST:PORT, ADDRESS:PORT, [V6], [V6]:PORT or a bare V6 address. */
struct net_endpoint {
	char host[NET_HOST_SIZE]; /* "" for every address */
	char port[NET_PORT_SIZE]; /* a number or a service name */
};

/* Parses a client's HOST[:PORT]; the port defaults to 2348. 0, or -EINVAL and a
 * static string in *ret_problem for the person who typed TEXT. */
int net_parse_endpoint(struct net_endpoint *ret, const char *text,
		       const char **ret_problem);

/* Parses a server's [ZONE=][ADDRESS:]PORT likewise. ZONE takes NET_ZONE_SIZE
 * bytes and becomes "all" when TEXT names none. */
int net_parse_listen(struct net_endpoint *ret, char *zone, const char *text,
		     const char **ret_problem);

/* Binds and listens on every address of the endpoint, at most
 * NET_LISTENERS_MAX; without a host, on one socket for IPv6 and one for IPv4.
 * Returns how many sockets (non-blocking, close-on-exec) it has put into FDS;
 * or an error for net_strerror(), negative, with no socket left open. */
int net_listen(const struct net_endpoint *endpoint, int fds[NET_LISTENERS_MAX]);

/* Describes an error of net_listen(), net_resolve() or net_connect(): a
 * negative errno or a moved code of getaddrinfo(). */
const char *net_strerror(int error);

/* Looks up the endpoint's addresses, blocking for as long as DNS does. The
 * caller frees *ret with freeaddrinfo(). 0 or an error for net_strerror(). */
int net_resolve(const struct net_endpoint *endpoint, struct addrinfo **ret);

/* Begins a non-blocking connection to one address. Sets SO_RCVBUF to
 * RCVBUF_SIZE bytes if that is positive. Returns a descriptor that becomes
 * writable when net_connect_result() has the outcome, or negative errno. */
int net_connect(const struct addrinfo *address, int rcvbuf_size);

/* The outcome of net_connect(): 0 or negative errno. */
int net_connect_result(int fd);

/* The next three set options of a connection and ignore failures, since the
 * peer may have gone. Receiver: sends without delay, and notices a dead peer
 * within 20 s, by keep-alive, or by what is not acknowledged. */
void net_setup_receiver(int fd);
/* Sender: the same, and keeps little unsent data in the kernel. */
void net_setup_sender(int fd);
/* After net_setup_sender(), for a page that is there already: fewer, larger
 * writes, at the cost of more unsent data in the kernel. */
void net_setup_bulk(int fd);

/* Writes the address as "192.0.2.1:2348" (also when mapped into IPv6) or
 * "[2001:db8::1]:2348" or "[fe80::1%eth0]:2348". NAME takes NET_ADDRESS_SIZE
 * bytes. */
void net_address_name(const struct sockaddr_storage *address, char *name);

/* The IP address in *RET, one of IPv4 mapped into IPv6. False: it has none, and
 * *RET is one of multicast, from which nobody connects. */
bool net_address_v6(const struct sockaddr_storage *address,
		    struct in6_addr *ret);

/* Raises the soft limit of open descriptors to the hard one, if it may. */
void net_raise_nofile(void);
