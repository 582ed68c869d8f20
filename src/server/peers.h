/* SPDX-License-Identifier: MIT
 * The addresses from which a receipt has come: their clients speak version 2 of
 * the protocol. Remembers a bounded number. Pure. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>

struct peers;

/* Remembers at most MAX addresses, more than 0. 0 or -ENOMEM. */
int peers_new(struct peers **ret, unsigned max);
/* Takes NULL; returns NULL. */
struct peers *peers_free(struct peers *peers);

/* Remembers ADDRESS, as net_address_v6() gives it, but no local socket; the
 * one that was added longest ago gives way. Without memory it is not known. */
void peers_add(struct peers *peers, const struct in6_addr *address);
bool peers_know(const struct peers *peers, const struct in6_addr *address);
