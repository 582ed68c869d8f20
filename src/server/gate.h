/* SPDX-License-Identifier: MIT
 * The door of a server: who may come in, how many there are, and what is said
 * of those who may not, or should not have. Counts all of them and logs few. In
 * the loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "base/ratelimit.h"
#include "server/connection.h"

struct gate_stats {
	uint64_t accepted;	  /* clients */
	uint64_t refused;	  /* beyond max_clients */
	uint64_t refused_address; /* beyond max_per_address */
	uint64_t unproven;	  /* had no key, or a wrong one */
	uint64_t abused;	  /* sent data, which no client does */
	uint64_t stuck;		  /* took nothing, or too little, of a page */
};

enum gate_event {
	GATE_FULL,
	GATE_ADDRESS_FULL,
	GATE_UNPROVEN,
	GATE_ABUSED,
	GATE_STUCK,
	GATE_LOCKED_OUT,
	GATE_PAUSED,
	GATE_EVENTS,
};

struct gate {
	unsigned max_clients, max_per_address;
	unsigned clients;	  /* that were admitted and have not left */
	void *addresses;	  /* tree of struct gate_address */
	struct gate_stats *stats; /* the owner's */
	int fd_end;		  /* the first descriptor that no client gets */
	struct ratelimit limits[GATE_EVENTS];
	sd_event_source *timer; /* when what was held back is to be told */
};

/* What a connection holds of the gate. All zero: nothing. */
struct gate_place {
	struct gate_address *address;
	bool admitted;
};

/* Counts into STATS, which must outlive it. Keeps some of the descriptors that
 * the process may have free of clients. 0 or negative errno. */
int gate_new(struct gate **ret, sd_event *event, unsigned max_clients,
	     unsigned max_per_address, struct gate_stats *stats);
/* When all have left. Takes NULL; returns NULL. */
struct gate *gate_free(struct gate *gate);

/* Lets in the connection FD from ADDRESS, which has yet to be admitted. IPv4 in
 * IPv6 is IPv4; an IPv6 network of 64 bits is one address, since one machine
 * has all of it at will; all local sockets are one. 0, and *ret is given back
 * with gate_leave(); -EUSERS: there are too many; -EMFILE: it would take a
 * descriptor that a page needs; or -ENOMEM. */
int gate_enter(struct gate *gate, int fd,
	       const struct sockaddr_storage *address, struct gate_place *ret);
/* It is a client now: has proven who it is, if there are keys. 0, or -EUSERS:
 * others were quicker. */
int gate_admit(struct gate *gate, struct gate_place *place);
/* Gives the place back, and clears it. */
void gate_leave(struct gate *gate, struct gate_place *place);

/* A connection has ended: counted and logged, if there is something to say. */
void gate_note_end(struct gate *gate, enum connection_end end,
		   const struct connection *connection);
/* Accepting pauses for want of descriptors or memory. */
void gate_note_pause(struct gate *gate, int error);
/* One line about all that was turned away since the start, if any was. Takes
 * NULL. */
void gate_tell_totals(const struct gate *gate);
