/* SPDX-License-Identifier: MIT
 * Owns listeners, zones, connections and pages, and decides which page gets
 * which zone. Runs in the loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "bus/names.h"
#include "server/announcement.h"
#include "server/archive.h"
#include "server/connection.h"
#include "server/gate.h"

enum server_mode {
	SERVER_LIVE,  /* each chunk is sent as it is captured */
	SERVER_STORE, /* the page is recorded whole, then sent */
};

struct server_config {
	struct microphone_config microphone; /* period_frames must not be 0 */
	double seconds; /* a page's duration, when it names none; 0: no end */
	enum server_mode mode;
	uint32_t max_clients;
	uint32_t max_per_address; /* connections; 0: server_new() chooses */
	double max_lag_seconds;
	struct chime *chime; /* before every microphone page, or NULL */
	struct archive_config archive; /* with dir NULL: none is kept */
	struct transport_keys *keys;   /* of the clients, or NULL: plain */
};

/* What somebody wants to be paged. */
enum server_when_busy { SERVER_REFUSE, SERVER_QUEUE };
struct server_request {
	uint64_t zones; /* a bit for each zone; 0: all */
	int priority;
	enum server_when_busy when_busy;
	double seconds;	     /* microphone: duration, 0 without end */
	struct chime *chime; /* microphone: or NULL; a reference is taken */
	int file_fd;	     /* a WAV file to play, or -1 for the microphone */
};

enum server_page_state {
	SERVER_PAGE_QUEUED,
	SERVER_PAGE_OPENING,
	SERVER_PAGE_CHIME,
	SERVER_PAGE_SPEECH,  /* on air; in store mode: being recorded */
	SERVER_PAGE_SENDING, /* complete; slow clients still take it */
	SERVER_PAGE_DONE,
};
const char *server_page_state_name(enum server_page_state state);

struct server_page_info {
	uint32_t id; /* from 1 on */
	enum server_page_state state;
	bool is_file;
	int priority;
	uint64_t zones;			 /* asked for */
	struct announcement_info source; /* without a source: zeros, and
						 how it ended */
	uint32_t clients;		 /* that receive it now */
	uint32_t reached;		 /* got it to its end */
	uint32_t lost;			 /* broke, left or were dropped */
	uint64_t skips;			 /* jumps of clients that lagged */
};

struct server_stats {
	struct gate_stats gate;
	uint64_t pages; /* that began */
};

/* What the terminal, the bus and the supervisor are told. */
struct server_observer {
	/* A page entered info->state. */
	void (*on_page)(void *userdata, const struct server_page_info *info);
	/* A client came or went. */
	void (*on_clients)(void *userdata);
};

struct server;

/* config's strings, chime and keys must outlive the server. 0 or negative
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

/* Begins a page, or puts it in the queue; either from the loop, after this.
 * Takes over request->file_fd, also on error. *ret_id names it for everything
 * that follows; what becomes of it, the observers are told. -EBUSY: a page of
 * equal or higher priority has one of the zones; -ENOENT: no such zone; -E2BIG:
 * BUS_PAGES_MAX; -ESHUTDOWN: after server_close(). */
int server_page(struct server *server, const struct server_request *request,
		uint32_t *ret_id);
/* Ends a page, or all with id 0. How many it ended; -ENOENT: no such page. */
int server_stop(struct server *server, uint32_t id);
/* No page begins any more; those in the queue are given up. */
void server_close(struct server *server);

/* Pages that are in the queue, in progress or being sent. */
unsigned server_page_count(const struct server *server);
/* The n-th of them, in the order in which they were asked for. */
bool server_page_at(const struct server *server, unsigned n,
		    struct server_page_info *ret);
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
