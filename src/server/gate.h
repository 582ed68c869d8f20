/* SPDX-License-Identifier: MIT
 * The door of a server: who may come in, and what is said of those who may
 * not, or should not have. Counts all of them and logs few. In the loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "server/connection.h"
#include "server/peers.h"

struct gate_stats {
	uint64_t accepted;	  /* clients */
	uint64_t refused;	  /* beyond max_clients */
	uint64_t refused_address; /* beyond max_per_address */
	uint64_t unproven;	  /* had no key, or a wrong one */
	uint64_t abused;	  /* sent data, which no client does */
	uint64_t stuck;		  /* took nothing, or too little, of a page */
};

struct gate;

/* Counts into STATS, which must outlive it. Keeps some of the descriptors that
 * the process may have free of clients. 0 or negative errno. */
int gate_new(struct gate **ret, unsigned max_clients, unsigned max_per_address,
	     struct gate_stats *stats);
/* When the last who entered has left. Takes NULL; returns NULL. */
struct gate *gate_free(struct gate *gate);

/* Lets in the connection FD from ADDRESS beside CLIENTS others. 0, and *ret is
 * for peer_leave(); -EUSERS: there are too many; -EMFILE: it would take a
 * descriptor that a page needs; or -ENOMEM. */
int gate_enter(struct gate *gate, int fd,
	       const struct sockaddr_storage *address, unsigned clients,
	       struct peer **ret);
/* The same question for one that has entered already, and needed a while to
 * prove who it is. */
bool gate_has_room(struct gate *gate, unsigned clients);

/* These happened. */
void gate_note_accepted(struct gate *gate);
void gate_note_end(struct gate *gate, enum connection_end end,
		   const struct connection *connection);
void gate_note_pause(struct gate *gate, unsigned clients, int error);

/* Tells how many messages were held back in the last minute. To be called about
 * once a second while it returns true, and after each of the above. */
bool gate_tell(struct gate *gate);
/* One line about all that was turned away since the start, if any was. */
void gate_tell_totals(const struct gate *gate);
