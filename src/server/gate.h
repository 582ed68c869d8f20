/* SPDX-License-Identifier: MIT
 * The door of a server: limits how many clients come in, counts those that are
 * turned away or dropped, and logs few of them, so that strangers cannot fill
 * the log. Knows who gave receipts. Runs in the loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "base/ratelimit.h"
#include "server/connection.h"

struct gate_stats {
	uint64_t accepted;	  /* admitted as clients */
	uint64_t refused;	  /* beyond max_clients */
	uint64_t refused_address; /* beyond max_per_address */
	uint64_t unproven;	  /* no key, a wrong one or no handshake */
	uint64_t abused;	  /* sent data that no client sends */
	uint64_t stuck;		  /* took nothing or too little of a page */
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
	unsigned clients;	  /* admitted, and not yet gone */
	unsigned owing;		  /* clients before, they owe a receipt */
	uint64_t owed;		  /* receipts so far */
	void *addresses;	  /* tree of struct gate_address */
	struct peers *peers;	  /* that gave a receipt */
	struct poller *debts;	  /* of the sockets of those that owe one */
	struct gate_stats *stats; /* the owner's */
	int fd_end;		  /* clients get only descriptors below it */
	struct ratelimit limits[GATE_EVENTS];
	sd_event_source *timer; /* for the messages that were held back */
};

/* What a connection occupies here. All zero: nothing. */
struct gate_place {
	struct gate_address *address;
	bool admitted;
	struct connection *owing; /* NULL: it does not, the rest is unused */
	uint64_t number;	  /* in the order of gate_owe() */
	TAILQ_ENTRY(gate_place) entry;
};

/* Counts into STATS, which must outlive the gate. Reserves some of the
 * process's descriptors for everything but clients. 0 or negative errno. */
int gate_new(struct gate **ret, sd_event *event, unsigned max_clients,
	     unsigned max_per_address, struct gate_stats *stats);
/* To be called when all have left. Takes NULL; returns NULL. */
struct gate *gate_free(struct gate *gate);

/* Lets in the connection FD from ADDRESS; gate_admit() makes it a client. An
 * IPv4 address mapped into IPv6 counts as IPv4, an IPv6 /64 network as one
 * address (one machine may use all of it), and so do all local sockets. 0, and
 * *ret is to be given back with gate_leave(); -EUSERS: there are too many;
 * -EMFILE: FD is one of the reserved descriptors; or -ENOMEM. */
int gate_enter(struct gate *gate, int fd,
	       const struct sockaddr_storage *address, struct gate_place *ret);
/* Makes the connection a client, once it has proven its key, if there are keys.
 * 0, or -EUSERS: the last places were taken meanwhile. */
int gate_admit(struct gate *gate, struct gate_place *place);
/* The client of PLACE, which must not move from now on, only owes a receipt: it
 * is no client any more. When there are max_clients of them already, or
 * descriptors run out, another one is dropped: of the address that has most,
 * the one that has owed longest. */
void gate_owe(struct gate *gate, struct gate_place *place,
	      struct connection *connection);
/* Gives PLACE back and clears it. */
void gate_leave(struct gate *gate, struct gate_place *place);

/* Counts and logs the end of a connection that was at fault. (A key that was
 * removed is only logged.) */
void gate_note_end(struct gate *gate, enum connection_end end,
		   const struct connection *connection);
/* Logs that accepting pauses for want of descriptors or memory. */
void gate_note_pause(struct gate *gate, int error);
/* Logs one line about all that were turned away since the start, if any. Takes
 * NULL. */
void gate_tell_totals(const struct gate *gate);
