/* SPDX-License-Identifier: MIT
 * A server: owns the gate, the zones and the pages, has the arbiter decide
 * which page gets what, and tells observers. Runs in the loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "server/connection.h"
#include "server/gate.h"
#include "server/ledger.h"
#include "server/page.h"
#include "server/roll.h"

struct server_config {
	struct page_config page;
	double seconds; /* default duration of a page; 0: until it is stopped */
	int chime_fd;	/* of chime_open(), before a microphone page; or -1 */
	uint32_t max_clients;
	uint32_t max_per_address; /* connections; 0: server_new() chooses */
	struct tls_keys *keys;	  /* that clients prove, or NULL: plain */
};

struct server_stats {
	struct gate_stats gate;
	uint64_t pages; /* whose source was opened */
};

/* Tells the console, the bus and systemd. Each callback may be NULL. */
struct server_observer {
	/* A page entered info->state. */
	void (*on_page)(void *userdata, const struct page_info *info);
	/* A client came or went. */
	void (*on_clients)(void *userdata);
	/* A page that had begun is DONE, and all of its loudspeakers have said
	 * how much of it they heard, or are given up. */
	void (*on_heard)(void *userdata, const struct ledger_list *heard);
	/* A loudspeaker is missing or back: see roll_end(). */
	void (*on_roll)(void *userdata, const struct roll_member *member);
};

struct server;

/* The strings, keys and descriptor of CONFIG must outlive the server. 0 or
 * negative errno. */
int server_new(struct server **ret, sd_event *event,
	       const struct server_config *config);
/* Ends all pages and connections, without telling the observers. Waits for the
 * threads, see page_free(). Takes NULL; returns NULL. */
struct server *server_free(struct server *server);

/* Takes over a listening socket (also on error) for the zone NAME, which is
 * created if it is new. 0, -E2BIG beyond BUS_ZONES_MAX or ZONE_LISTENERS_MAX,
 * or another negative errno. */
int server_add_listener(struct server *server, int fd, const char *name);
/* COUNT loudspeakers are expected in the zone NAME, or with NULL in each zone
 * of which nothing was said; not for a server with keys. 0 or -ENOENT. */
int server_expect(struct server *server, const char *name, unsigned count);
/* From now on the roll is called, if anybody is expected. */
void server_call_roll(struct server *server);
/* Logs where each zone listens. */
void server_tell_listeners(const struct server *server);
/* At most 4 observers; OBSERVER must outlive the server. 0 or -E2BIG. */
int server_observe(struct server *server,
		   const struct server_observer *observer, void *userdata);

/* Begins to prepare a page. Later, from the loop, it begins, waits or is
 * refused, and the observers are told; *ret_id names it. Takes over the
 * descriptors of WISH, also on error. 0; -EBUSY: it does not queue, and a
 * page of equal or higher priority has one of its zones; -ENOENT: no such zone;
 * -E2BIG: there are BUS_PAGES_MAX pages; -ESHUTDOWN: after server_close(); or
 * another negative errno. */
int server_page(struct server *server, const struct page_request *wish,
		uint32_t *ret_id);
/* Ends the page ID, or all with 0. How many it ended; -ENOENT: there is no page
 * ID, or it has ended. */
int server_stop(struct server *server, uint32_t id);
/* Refuses new pages, stops those that wait and those that would have to. */
void server_close(struct server *server);

/* The number of pages that are not DONE. */
unsigned server_page_count(const struct server *server);
/* Copies the n-th of them, the oldest first. False when there are fewer. */
bool server_page_at(const struct server *server, unsigned n,
		    struct page_info *ret);
/* The highest sample of page ID since the last call, 0.0 to 1.0. */
double server_take_peak(struct server *server, uint32_t id);
/* The tape of the page that ended last, or NULL; pages whose source was not
 * opened do not count. Borrowed. */
const struct tape *server_last_tape(const struct server *server);

/* What the loudspeakers of page ID have said so far, of the pages in progress
 * and the last ones. As ledger_list(), and -ENOENT: there is no such page. */
int server_heard(const struct server *server, uint32_t id,
		 struct ledger_list *ret);
/* The numbers of the last page that all have answered for, without the
 * loudspeakers; or NULL. */
const struct ledger_list *server_last_heard(const struct server *server);
/* What the loudspeaker of CONNECTION, in ZONE, last said of a page: *ret, valid
 * until the loop goes on, and the page's id and rate. False: nothing. */
bool server_last_receipt(const struct server *server, const char *zone,
			 const struct connection *connection,
			 struct ledger_player *ret, uint32_t *ret_page,
			 uint32_t *ret_rate);
/* Whether an answer for a page that is DONE may still come. */
bool server_awaits_receipts(const struct server *server);

unsigned server_zone_count(const struct server *server);
const char *server_zone_name(const struct server *server, unsigned zone);
unsigned server_zone_clients(const struct server *server, unsigned zone);
/* The zone's number, or -ENOENT. */
int server_find_zone(const struct server *server, const char *name);

/* Whether the roll is called, and the roll. */
bool server_supervises(const struct server *server);
const struct roll *server_roll(const struct server *server);
/* How many loudspeakers are expected in ZONE, if the server has no keys. */
unsigned server_zone_expected(const struct server *server, unsigned zone);

unsigned server_client_count(const struct server *server);
const struct server_stats *server_stats(const struct server *server);
const struct server_config *server_config(const struct server *server);
/* Calls EACH for every admitted client. */
void server_each_client(const struct server *server,
			void (*each)(void *userdata, const char *zone,
				     const struct connection *connection),
			void *userdata);
