/* SPDX-License-Identifier: MIT
 * How many connections each address has, and no more than a limit. Knows
 * nothing of what they are. */
#pragma once

#include <sys/socket.h>

struct peers;
struct peer;

/* 0 or negative errno. */
int peers_new(struct peers **ret, unsigned max_per_address);
/* After the last peer_leave(). Takes NULL; returns NULL. */
struct peers *peers_free(struct peers *peers);

/* Counts one connection more from ADDRESS. IPv4 in IPv6 is IPv4; an IPv6
 * network of 64 bits is one address, since one machine has all of it at will;
 * all local sockets are one. 0, -EUSERS when it has the limit already, or
 * -ENOMEM. *ret is given back with peer_leave(). */
int peers_enter(struct peers *peers, const struct sockaddr_storage *address,
		struct peer **ret);
/* One connection less. Takes NULL. */
void peer_leave(struct peer *peer);
