/* SPDX-License-Identifier: MIT
 * A zone: named listening sockets and the clients that came through them. Runs
 * in the loop. Knows nothing of what is paged, or why. */
#pragma once

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "server/connection.h"
#include "server/gate.h"

struct page;
struct zone;

struct zone_callbacks {
	/* A client came, has proven who it is if there are keys, and waits. */
	void (*on_accepted)(void *userdata, const struct zone *zone);
	/* A connection is over, whatever became of it. PAGE is that of
	 * zone_attach(), or NULL for one that waited or was yet to prove
	 * itself. */
	void (*on_end)(void *userdata, struct page *page,
		       enum connection_end end,
		       const struct connection *connection);
};

enum { ZONE_LISTENERS_MAX = 64 };

struct client_set {
	TAILQ_HEAD(, client) list; /* in the order of their coming */
	unsigned count;
};

struct zone {
	char *name;
	sd_event *event;
	struct poller *poller; /* of the clients */
	struct gate *gate;
	struct transport_keys *keys;
	sd_event_source *listeners[ZONE_LISTENERS_MAX];
	unsigned listener_count;
	sd_event_source *shaking_timer, *pause_timer;
	/* Those that have yet to prove who they are, have no page, have one,
	 * and are to be freed. */
	struct client_set shaking, waiting, active, ended;
	const struct zone_callbacks *callbacks;
	void *userdata;
};

/* GATE, CALLBACKS and KEYS (or NULL: plain connections) must outlive the zone.
 * 0 or negative errno. */
int zone_new(struct zone **ret, sd_event *event, const char *name,
	     struct gate *gate, struct transport_keys *keys,
	     const struct zone_callbacks *callbacks, void *userdata);
/* Closes all. Takes NULL; returns NULL. */
struct zone *zone_free(struct zone *zone);

/* Takes over a listening socket, also on error. */
int zone_add_listener(struct zone *zone, int fd);

/* Attaches every client that waits, and whose key is still there, to PAGE and
 * its tape. See connection_attach(). */
void zone_attach(struct zone *zone, struct page *page, struct tape *tape,
		 uint64_t offset, uint64_t max_lag);
/* These concern the clients of PAGE. */
void zone_push(struct zone *zone, const struct page *page);
void zone_finish(struct zone *zone, const struct page *page);
/* Ends those that have not ended yet. */
void zone_drop(struct zone *zone, const struct page *page,
	       enum connection_end end);
/* The lowest offset that any of them still needs, or UINT64_MAX. */
uint64_t zone_slowest(const struct zone *zone, const struct page *page);
/* Their skips so far. */
uint64_t zone_skips(const struct zone *zone, const struct page *page);

/* See connection_check_progress(), for all clients. */
void zone_check_progress(struct zone *zone, uint64_t before_usec);
/* Ends the clients whose keys are no more. */
void zone_check_keys(struct zone *zone);
/* Frees the clients that have ended. Not from within a callback. */
void zone_reap(struct zone *zone);

void zone_each_client(const struct zone *zone,
		      void (*each)(void *userdata, const char *zone,
				   const struct connection *connection),
		      void *userdata);
