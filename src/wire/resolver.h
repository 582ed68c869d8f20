/* SPDX-License-Identifier: MIT
 * Looks up host names without blocking the loop: getaddrinfo() blocks for as
 * long as DNS does, so it runs in a thread that shares only a pipe with the
 * loop. */
#pragma once

#include "wire/net.h"

enum { RESOLVER_ADDRESSES_MAX = 8 };

struct resolver_result {
	int error; /* 0 or an error for net_strerror() */
	uint32_t count;
	struct resolver_address {
		socklen_t size;
		struct sockaddr_storage address;
	} addresses[RESOLVER_ADDRESSES_MAX];
};

/* Looks up a literal address at once. 0 and *ret, whose error may be set; or
 * -EINVAL when the host is a name or has a %SCOPE: use resolver_start(). */
int resolver_literal(const struct net_endpoint *endpoint,
		     struct resolver_result *ret);

/* Begins a lookup. Returns a descriptor that becomes readable when the lookup
 * is over, or negative errno. To abandon the lookup, close the descriptor. */
int resolver_start(const struct net_endpoint *endpoint);

/* Reads the result from FD, which stays open. 0 and *ret; -EAGAIN when there is
 * no result yet; or another negative errno. */
int resolver_take(int fd, struct resolver_result *ret);
