/* SPDX-License-Identifier: MIT
 * A zone: named listening sockets and the clients that came through them. Runs
 * in the loop. Knows nothing of what is paged, or why. */
#pragma once

#include <systemd/sd-event.h>

#include "server/connection.h"
#include "server/peers.h"

struct zone;

struct zone_callbacks {
	/* Whether the connection FD from ADDRESS may come in: 0, and *ret_peer
	 * is for peer_leave(); or negative errno. -EMFILE, -ENOMEM and the like
	 * are treated as those of accept(2). */
	int (*enter)(void *userdata, int fd,
		     const struct sockaddr_storage *address,
		     struct peer **ret_peer);
	/* Whether one that has entered, and proven who it is, finds room. */
	bool (*has_room)(void *userdata);
	/* A client came, has proven who it is if there are keys, and waits. */
	void (*on_accepted)(void *userdata, struct zone *zone);
	/* A client's page is over, whatever became of it. OWNER is that of
	 * zone_attach(), or NULL for a client that waited or was yet to prove
	 * itself. */
	void (*on_end)(void *userdata, struct zone *zone, void *owner,
		       enum connection_end end,
		       const struct connection *connection);
	/* Accepting failed for want of descriptors or memory and pauses: call
	 * zone_resume() after a while. */
	void (*on_exhausted)(void *userdata, int error);
};

/* CALLBACKS and KEYS (or NULL: plain connections) must outlive the zone. 0 or
 * negative errno. */
int zone_new(struct zone **ret, sd_event *event, const char *name,
	     struct transport_keys *keys,
	     const struct zone_callbacks *callbacks, void *userdata);
/* Closes all. Takes NULL; returns NULL. */
struct zone *zone_free(struct zone *zone);

/* Takes over a listening socket, also on error. */
int zone_add_listener(struct zone *zone, int fd);
/* Stops accepting until zone_resume(). */
void zone_pause(struct zone *zone);
void zone_resume(struct zone *zone);

const char *zone_name(const struct zone *zone);
/* Without those that have yet to prove who they are. */
unsigned zone_client_count(const struct zone *zone);
/* Those that are not merely waiting. */
unsigned zone_active_count(const struct zone *zone);

/* Attaches every client that waits; returns how many. See connection_attach().
 * OWNER is any non-NULL pointer that names this page to the caller. */
unsigned zone_attach(struct zone *zone, void *owner, struct tape *tape,
		     uint64_t offset, uint64_t max_lag);
/* These concern the clients attached with OWNER. */
void zone_push(struct zone *zone, const void *owner);
void zone_finish(struct zone *zone, const void *owner);
/* Ends those that have not ended yet. */
void zone_drop(struct zone *zone, const void *owner, enum connection_end end);
/* The lowest offset that any of them still needs, or UINT64_MAX. */
uint64_t zone_slowest(const struct zone *zone, const void *owner);
/* Their skips so far. */
uint64_t zone_skips(const struct zone *zone, const void *owner);

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
