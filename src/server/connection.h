/* SPDX-License-Identifier: MIT
 * One client of a server: its socket, its cursor on a tape, and its receipt.
 * Runs in the loop. Knows neither zones nor other clients. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "server/tape.h"
#include "server/vitals.h"

struct peers;
struct poller;
struct receipt;
struct tls_keys;

enum connection_state {
	CONNECTION_HANDSHAKE, /* has yet to prove its key */
	CONNECTION_WAITING,   /* waits for a page */
	CONNECTION_ON_AIR,    /* a page is being sent */
	CONNECTION_CLOSING,   /* all is sent; the peer has yet to take it */
	CONNECTION_OWING,     /* was sent all of its page; owes a receipt */
};

/* Why a connection ended. */
enum connection_end {
	CONNECTION_DONE,       /* was sent all of its page, and owes nothing */
	CONNECTION_LEFT,       /* went away while it waited */
	CONNECTION_LOST,       /* broke or closed during a page */
	CONNECTION_STUCK,      /* took nothing for too long */
	CONNECTION_CRAWLED,    /* took too little for too long */
	CONNECTION_ABUSED,     /* sent data that no client sends */
	CONNECTION_UNPROVEN,   /* has no key, or a wrong one */
	CONNECTION_TOO_SLOW,   /* the handshake took too long */
	CONNECTION_REFUSED,    /* there are too many clients */
	CONNECTION_LOCKED_OUT, /* its key was taken away */
};

struct connection_stats {
	uint64_t sent;	  /* bytes of samples */
	uint64_t skips;	  /* jumps to the newest frame, or to the end */
	uint64_t skipped; /* bytes of samples that the jumps left out */
};

struct connection;

struct connection_callbacks {
	/* The handshake is done, the state is WAITING. Not called without keys,
	 * since then the state is WAITING from the beginning. */
	void (*on_ready)(struct connection *connection, void *userdata);
	/* The client lags too far behind, and the page ends for it: with
	 * CONNECTION_ENDS of the feed. */
	void (*on_shed)(struct connection *connection, void *userdata);
	/* The peer has taken all of the page: the state is OWING. */
	void (*on_sent)(struct connection *connection, void *userdata);
	/* Called once after on_sent(), with the receipt, or NULL: there will be
	 * none. Then the connection ends. */
	void (*on_receipt)(struct connection *connection,
			   const struct receipt *receipt, void *userdata);
	/* It has said, for the first time or otherwise than before, how its
	 * card is. */
	void (*on_card)(struct connection *connection, void *userdata);
	/* Called once, also from within the functions below. The connection
	 * does nothing more; the owner frees it later, not in this call. */
	void (*on_end)(struct connection *connection, enum connection_end end,
		       void *userdata);
};

/* Takes over FD (non-blocking), also on error. With KEYS (or NULL) it speaks
 * TLS. KEYS, POLLER, PEERS and CALLBACKS must outlive it. 0 or negative errno.
 */
int connection_new(struct connection **ret, struct poller *poller, int fd,
		   struct tls_keys *keys, struct peers *peers,
		   const struct sockaddr_storage *peer,
		   const struct connection_callbacks *callbacks,
		   void *userdata);
/* Closes the socket without a callback. Takes NULL; returns NULL. */
struct connection *connection_free(struct connection *connection);

/* How the clients of a page are sent it. Offsets and sizes are in bytes. */
enum connection_pacing {
	CONNECTION_UNPACED, /* all that the tape has */
	CONNECTION_PACED,   /* as far as connection_pace() says */
};
/* What becomes of a client that is further behind than max_lag. One that keeps
 * a schedule would not see that something was left out. */
enum connection_lagging {
	CONNECTION_SKIPS, /* to the newest frame */
	CONNECTION_ENDS,  /* with a whole frame, and is to come again */
};
struct connection_feed {
	/* As long as the tape grows; 0: it may lag. */
	uint64_t max_lag;
	enum connection_lagging lagging;
	enum connection_pacing pacing;
	/* How far a client that speaks version 2 may be ahead of what is due.
	 */
	uint64_t lead_max;
	const struct wav_page *page; /* in the header, or NULL */
};

/* Begins to send TAPE from OFFSET (the first byte of a frame): a header for
 * what remains, then the samples. Holds a reference until all is sent. The
 * state must be WAITING. */
void connection_attach(struct connection *connection, struct tape *tape,
		       uint64_t offset, const struct connection_feed *feed);

/* The state of a paced page. */
struct connection_pace {
	uint64_t due;	     /* what a live page would have sent by now */
	uint64_t end;	     /* nobody is sent more before it is due */
	uint64_t quiet;	     /* the lead grows only after so much of the page */
	uint64_t growth;     /* of the lead, since the last call */
	uint64_t behind_max; /* who is further behind what is due is dropped */
};
/* Sends what PACE allows. Whether the client's lead can still grow. */
bool connection_pace(struct connection *connection,
		     const struct connection_pace *pace);
/* Whether more than SIZE bytes wait for the client or for its acknowledgement.
 * A client that has said so ten times is merely slow, and does not any more. */
bool connection_congests(struct connection *connection, uint64_t size);

/* Sends what the tape has gained. To be called after tape_append() and
 * tape_end(). */
void connection_push(struct connection *connection);

/* Ends the page for this client at the end of the frame that it has begun. */
void connection_finish(struct connection *connection);

/* In state OWING: waits for the receipt by means of POLLER. */
void connection_move(struct connection *connection, struct poller *poller);

/* Looks whether the peer has acknowledged the whole page. Ends the connection
 * when it has taken nothing for 10 s, or when its receipt does not come. To be
 * called about once a second. */
void connection_check_progress(struct connection *connection,
			       uint64_t now_usec);

/* Ends the connection for the owner's reason. */
void connection_drop(struct connection *connection, enum connection_end how);
/* Ends the connection when its key was removed. */
void connection_check_key(struct connection *connection);

enum connection_state connection_state(const struct connection *connection);
/* Whether on_shed() was called. */
bool connection_is_shed(const struct connection *connection);
/* The tape that is being sent, or NULL. */
const struct tape *connection_tape(const struct connection *connection);
/* The first byte of the tape that it still needs. */
uint64_t connection_offset(const struct connection *connection);
/* Up to where its machine has taken the page: what waits here for its
 * acknowledgement is not counted. */
uint64_t connection_taken(const struct connection *connection);
const struct connection_stats *
connection_stats(const struct connection *connection);
/* When it connected, CLOCK_MONOTONIC. */
uint64_t connection_since_usec(const struct connection *connection);
/* "192.0.2.1:40000", owned by the connection. */
const char *connection_peer(const struct connection *connection);
/* The name of its key, or NULL without keys or before the handshake. */
const char *connection_identity(const struct connection *connection);
/* Whether the peer is known to speak version 2 of the protocol: it has agreed
 * to, or a receipt has come from its address. */
bool connection_speaks_2(const struct connection *connection);
/* In on_receipt() without a receipt: how it ends; ABUSED if what it said is no
 * receipt. */
enum connection_end connection_how(const struct connection *connection);
/* In on_receipt() without a receipt: whether the peer has closed, rather than
 * been given up. */
bool connection_peer_closed(const struct connection *connection);
/* What it says of itself; NULL when it has not agreed to do so. */
const struct vitals *connection_vitals(const struct connection *connection);
/* Why the handshake failed, for a person, or "". */
const char *connection_problem(const struct connection *connection);
