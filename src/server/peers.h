/* SPDX-License-Identifier: MIT
 * The addresses from which a receipt has come: their clients speak version 2 of
 * the protocol. Remembers a bounded number. Pure. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

struct peers;

/* Remembers at most MAX addresses, more than 0. 0 or -ENOMEM. */
int peers_new(struct peers **ret, unsigned max);
/* Takes NULL; returns NULL. */
struct peers *peers_free(struct peers *peers);

/* Remembers ADDRESS, whatever its port; the one that was added longest ago
 * gives way. Local sockets have no address. Without memory it is not known. */
void peers_add(struct peers *peers, const struct sockaddr_storage *address);
/* Whether ADDRESS is remembered. An IPv4 address mapped into IPv6 is IPv4. */
bool peers_know(const struct peers *peers,
		const struct sockaddr_storage *address);
