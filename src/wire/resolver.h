/* SPDX-License-Identifier: MIT
 * Looks host names up beside the loop: getaddrinfo() blocks for as long as DNS
 * does, so it runs in a thread that shares a pipe with the loop and no more.
 * The process must ignore SIGPIPE. */
#pragma once

#include "wire/net.h"

enum { RESOLVER_ADDRESSES_MAX = 8 };

struct resolver_result {
	int error; /* 0, or for net_strerror() */
	uint32_t count;
	struct resolver_address {
		socklen_t size;
		struct sockaddr_storage address;
	} addresses[RESOLVER_ADDRESSES_MAX];
};

/* Looks an address literal up at once: 0 and *ret filled, or -EINVAL when the
 * host is a name and needs resolver_start(). */
int resolver_literal(const struct net_endpoint *endpoint,
		     struct resolver_result *ret);

/* Begins a lookup. Returns a descriptor that becomes readable when it is over
 * (closing it gives the lookup up), or negative errno. */
int resolver_start(const struct net_endpoint *endpoint);

/* Takes the result. 0; -EAGAIN when there is none yet; or negative errno. */
int resolver_take(int fd, struct resolver_result *ret);
