/* SPDX-License-Identifier: MIT
 * Owns listeners, zones, connections and pages, and decides which page gets
 * which zone. Runs in the loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "bus/names.h"
#include "server/connection.h"
#include "server/gate.h"
#include "server/page.h"

struct server_config {
	struct page_config page;
	double seconds; /* a page's duration, when it names none; 0: no end */
	int chime_fd;	/* before every microphone page: chime_open(), or -1 */
	uint32_t max_clients;
	uint32_t max_per_address;    /* connections; 0: server_new() chooses */
	struct transport_keys *keys; /* of the clients, or NULL: plain */
};

struct server_stats {
	struct gate_stats gate;
	uint64_t pages; /* that began */
};

/* What the console, the bus and systemd are told. */
struct server_observer {
	/* A page entered info->state. */
	void (*on_page)(void *userdata, const struct page_info *info);
	/* A client came or went. */
	void (*on_clients)(void *userdata);
};

struct server;

/* CONFIG's strings, keys and descriptor must outlive the server. 0 or negative
 * errno. */
int server_new(struct server **ret, sd_event *event,
	       const struct server_config *config);
/* Ends what is left at once. Takes NULL; returns NULL. */
struct server *server_free(struct server *server);

/* Takes over a listening socket (also on error) for the zone NAME, which is
 * made when it is new. 0, -E2BIG beyond BUS_ZONES_MAX, or negative errno. */
int server_add_listener(struct server *server, int fd, const char *name);
/* At most 4 observers; OBSERVER must outlive the server. 0 or -E2BIG. */
int server_observe(struct server *server,
		   const struct server_observer *observer, void *userdata);

/* Begins to prepare a page, which begins or waits when it is prepared; both
 * from the loop, after this. Takes over WISH's descriptors, also on error.
 * *ret_id names it for everything that follows; the observers are told what
 * becomes of it. -EBUSY: a page of equal or higher priority has one of the
 * zones; -ENOENT: no such zone; -E2BIG: BUS_PAGES_MAX; -ESHUTDOWN: after
 * server_close(). */
int server_page(struct server *server, const struct page_request *wish,
		uint32_t *ret_id);
/* Ends a page, or all with id 0. How many it ended; -ENOENT: no such page. */
int server_stop(struct server *server, uint32_t id);
/* No page is asked for any more; those that would have to wait are given up. */
void server_close(struct server *server);

/* Pages that are not done. */
unsigned server_page_count(const struct server *server);
/* The n-th of them, in the order in which they were asked for. */
bool server_page_at(const struct server *server, unsigned n,
		    struct page_info *ret);
/* The highest sample of a page since the last call, 0.0 .. 1.0. */
double server_take_peak(struct server *server, uint32_t id);
/* The page that ended last and reached its speech, whole and in memory, or
 * NULL. Borrowed. */
const struct tape *server_last_tape(const struct server *server);

unsigned server_zone_count(const struct server *server);
const char *server_zone_name(const struct server *server, unsigned zone);
unsigned server_zone_clients(const struct server *server, unsigned zone);
/* The zone's number, or -ENOENT. */
int server_find_zone(const struct server *server, const char *name);

unsigned server_client_count(const struct server *server);
const struct server_stats *server_stats(const struct server *server);
const struct server_config *server_config(const struct server *server);
/* Calls each for every client. */
void server_each_client(const struct server *server,
			void (*each)(void *userdata, const char *zone,
				     const struct connection *connection),
			void *userdata);
