/* SPDX-License-Identifier: MIT
 * A zone: a name, its listening sockets and the clients that came through them.
 * Runs in the loop. Never looks into a page. */
#pragma once

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "server/connection.h"
#include "server/gate.h"

struct ledger;
struct page;
struct receipt;
struct zone;

struct zone_callbacks {
	/* A client was admitted and waits for a page. */
	void (*on_accepted)(void *userdata, const struct zone *zone);
	/* The card of a client has changed, or is known now. */
	void (*on_card)(void *userdata);
	/* A connection has ended, or with CONNECTION_DONE all of PAGE was sent.
	 * PAGE is that of zone_attach(), or NULL when it had none. */
	void (*on_end)(void *userdata, struct page *page,
		       enum connection_end end,
		       const struct connection *connection);
	/* Called once after on_end() with CONNECTION_DONE: what a client says
	 * of PAGE, or NULL when it says nothing. */
	void (*on_receipt)(void *userdata, struct page *page,
			   const struct connection *connection,
			   const struct receipt *receipt);
};

enum { ZONE_LISTENERS_MAX = 64 };

struct client_set {
	TAILQ_HEAD(, client) list; /* in order of arrival */
	unsigned count;
};

struct zone {
	char *name;
	unsigned expected; /* loudspeakers; 0: nobody is missed */
	sd_event *event;
	struct poller *poller; /* of the clients' sockets */
	struct gate *gate;
	struct tls_keys *keys;
	sd_event_source *listeners[ZONE_LISTENERS_MAX];
	unsigned listener_count;
	sd_event_source *shaking_timer, *pause_timer;
	/* Clients in the handshake, without a page, with a page, those that
	 * only owe its receipt, and ended: to be freed. */
	struct client_set shaking, waiting, active, owing, ended;
	uint64_t end_usec;    /* when a client was last told that a page ends */
	struct client *first; /* of the active ones, in the next round; or NULL:
				 the oldest */
	unsigned round;	      /* counts zone_push() and zone_pace() */
	const struct zone_callbacks *callbacks;
	void *userdata;
};

/* GATE, CALLBACKS and KEYS (NULL: plain connections) must outlive the zone. 0
 * or negative errno. */
int zone_new(struct zone **ret, sd_event *event, const char *name,
	     struct gate *gate, struct tls_keys *keys,
	     const struct zone_callbacks *callbacks, void *userdata);
/* Closes all sockets without a callback. Takes NULL; returns NULL. */
struct zone *zone_free(struct zone *zone);

/* Takes over a listening socket, also on error. 0, -E2BIG beyond
 * ZONE_LISTENERS_MAX, or negative errno. */
int zone_add_listener(struct zone *zone, int fd);

/* Attaches every waiting client to PAGE and its tape, see connection_attach(),
 * and notes in LEDGER what becomes of them. LEDGER must outlive those that have
 * an open entry. zone_check_keys() first ends those whose keys were removed. */
void zone_attach(struct zone *zone, struct page *page, struct ledger *ledger,
		 struct tape *tape, uint64_t offset,
		 const struct connection_feed *feed);
/* The following concern the clients of PAGE; see connection_push() etc. */
/* Each round begins with another client, so that none is always the last. */
void zone_push(struct zone *zone, const struct page *page);
void zone_finish(struct zone *zone, const struct page *page);
/* Whether the lead of one of them can still grow. */
bool zone_pace(struct zone *zone, const struct page *page,
	       const struct connection_pace *pace);
bool zone_congests(struct zone *zone, const struct page *page, uint64_t size);
/* Ends their connections. */
void zone_drop(struct zone *zone, const struct page *page,
	       enum connection_end end);
/* The lowest offset that one of them still needs, or UINT64_MAX. */
uint64_t zone_slowest(const struct zone *zone, const struct page *page);
/* The sum of their skips so far. */
uint64_t zone_skips(const struct zone *zone, const struct page *page);

/* connection_check_progress() of every client with a page or a receipt to give.
 */
void zone_check_progress(struct zone *zone, uint64_t now_usec);
/* Ends the clients whose keys were removed. */
void zone_check_keys(struct zone *zone);
/* Frees the clients that have ended. Not from within a callback. */
void zone_reap(struct zone *zone);

/* Calls EACH for every admitted client. */
void zone_each_client(const struct zone *zone,
		      void (*each)(void *userdata, const char *zone,
				   const struct connection *connection),
		      void *userdata);
