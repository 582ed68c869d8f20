/* SPDX-License-Identifier: MIT
 * Accepts clients and fans a page out to them, one pass over a list. */
#include "zone.h"

#include <errno.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "log.h"
#include "util.h"

enum {
	LISTENERS_MAX = 64,
	/* Of one wake-up, so that a flood does not hold up the sound. */
	ACCEPTS_MAX = 32,
};

struct client {
	TAILQ_ENTRY(client) entry;
	struct zone *zone;
	struct connection *connection;
	void *owner;
};
TAILQ_HEAD(client_list, client);

struct zone {
	sd_event *event;
	char *name;
	sd_event_source *listeners[LISTENERS_MAX];
	unsigned listener_count;
	struct client_list waiting, active, ended;
	unsigned waiting_count, active_count;
	const struct zone_callbacks *callbacks;
	void *userdata;
};

static void on_end(struct connection *connection, enum connection_end end,
		   void *userdata)
{
	struct client *client = userdata;
	struct zone *zone = client->zone;
	void *owner = client->owner;

	if (owner) {
		TAILQ_REMOVE(&zone->active, client, entry);
		zone->active_count--;
	} else {
		TAILQ_REMOVE(&zone->waiting, client, entry);
		zone->waiting_count--;
	}
	TAILQ_INSERT_TAIL(&zone->ended, client, entry);
	zone->callbacks->on_end(zone->userdata, zone, owner, end, connection);
}

/* Takes over FD. */
static int add_client(struct zone *zone, int fd,
		      const struct sockaddr_storage *peer)
{
	struct client *client = calloc(1, sizeof(*client));
	int r;

	if (!client) {
		fd_close(fd);
		return -ENOMEM;
	}
	client->zone = zone;
	r = connection_new(&client->connection, zone->event, fd, peer, on_end,
			   client);
	if (r < 0) {
		free(client);
		return r;
	}
	TAILQ_INSERT_TAIL(&zone->waiting, client, entry);
	zone->waiting_count++;
	zone->callbacks->on_accepted(zone->userdata, zone);
	return 0;
}

static bool exhausted(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOBUFS ||
	       error == -ENOMEM || error == -ENOSPC;
}

/* Accepts one. 1; 0 when there is none (or not now). */
static int accept_one(struct zone *zone, int listener)
{
	struct sockaddr_storage peer = {0};
	socklen_t size = sizeof(peer);
	int fd, r;

	fd = accept4(listener, (struct sockaddr *)&peer, &size,
		     SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	r = fd < 0 ? -errno : 0;
	if (r == 0 && !zone->callbacks->may_accept(zone->userdata)) {
		fd_close(fd);
		return 1;
	}
	if (r == 0)
		r = add_client(zone, fd, &peer);
	if (exhausted(r)) {
		zone->callbacks->on_exhausted(zone->userdata, r);
		return 0;
	}
	return 1; /* else the peer had gone already (accept(2)) */
}

static int on_listener(sd_event_source *source, int fd, uint32_t revents,
		       void *userdata)
{
	(void)source;
	(void)revents;
	for (int i = 0; i < ACCEPTS_MAX; i++)
		if (accept_one(userdata, fd) == 0)
			break;
	return 0;
}

int zone_new(struct zone **ret, sd_event *event, const char *name,
	     const struct zone_callbacks *callbacks, void *userdata)
{
	struct zone *zone = calloc(1, sizeof(*zone));

	if (!zone)
		return -ENOMEM;
	zone->name = strdup(name);
	if (!zone->name) {
		free(zone);
		return -ENOMEM;
	}
	zone->event = event;
	zone->callbacks = callbacks;
	zone->userdata = userdata;
	TAILQ_INIT(&zone->waiting);
	TAILQ_INIT(&zone->active);
	TAILQ_INIT(&zone->ended);
	*ret = zone;
	return 0;
}

static void free_client(struct client_list *list, struct client *client)
{
	TAILQ_REMOVE(list, client, entry);
	connection_free(client->connection);
	free(client);
}

static void free_clients(struct client_list *list)
{
	while (!TAILQ_EMPTY(list))
		free_client(list, TAILQ_FIRST(list));
}

void zone_reap(struct zone *zone)
{
	free_clients(&zone->ended);
}

struct zone *zone_free(struct zone *zone)
{
	if (!zone)
		return NULL;
	free_clients(&zone->ended);
	free_clients(&zone->active);
	free_clients(&zone->waiting);
	for (unsigned i = 0; i < zone->listener_count; i++)
		sd_event_source_disable_unref(zone->listeners[i]);
	free(zone->name);
	free(zone);
	return NULL;
}

int zone_add_listener(struct zone *zone, int fd)
{
	sd_event_source *source;
	int r;

	if (zone->listener_count == LISTENERS_MAX) {
		fd_close(fd);
		return -E2BIG;
	}
	r = sd_event_add_io(zone->event, &source, fd, EPOLLIN, on_listener,
			    zone);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	(void)sd_event_source_set_io_fd_own(source, 1);
	zone->listeners[zone->listener_count++] = source;
	return 0;
}

static void enable_listeners(struct zone *zone, int enable)
{
	for (unsigned i = 0; i < zone->listener_count; i++)
		(void)sd_event_source_set_enabled(zone->listeners[i], enable);
}

void zone_pause(struct zone *zone)
{
	enable_listeners(zone, SD_EVENT_OFF);
}

void zone_resume(struct zone *zone)
{
	enable_listeners(zone, SD_EVENT_ON);
}

const char *zone_name(const struct zone *zone)
{
	return zone->name;
}

unsigned zone_client_count(const struct zone *zone)
{
	return zone->waiting_count + zone->active_count;
}

unsigned zone_active_count(const struct zone *zone)
{
	return zone->active_count;
}

unsigned zone_attach(struct zone *zone, void *owner, struct page *page,
		     uint64_t offset, uint64_t max_lag)
{
	unsigned count = zone->waiting_count;
	struct client *client;

	while ((client = TAILQ_FIRST(&zone->waiting))) {
		TAILQ_REMOVE(&zone->waiting, client, entry);
		zone->waiting_count--;
		client->owner = owner;
		TAILQ_INSERT_TAIL(&zone->active, client, entry);
		zone->active_count++;
		connection_attach(client->connection, page, offset, max_lag);
	}
	return count;
}

/* Does something to each client of OWNER; a client may end in it. */
static void each_of(struct zone *zone, const void *owner,
		    void (*act)(struct connection *connection))
{
	struct client *client, *next;

	for (client = TAILQ_FIRST(&zone->active); client; client = next) {
		next = TAILQ_NEXT(client, entry);
		if (client->owner == owner)
			act(client->connection);
	}
}

void zone_push(struct zone *zone, const void *owner)
{
	each_of(zone, owner, connection_push);
}

void zone_finish(struct zone *zone, const void *owner)
{
	each_of(zone, owner, connection_finish);
}

uint64_t zone_slowest(const struct zone *zone, const void *owner)
{
	uint64_t slowest = UINT64_MAX;
	const struct client *client;

	TAILQ_FOREACH(client, &zone->active, entry)
	{
		uint64_t offset;

		if (client->owner != owner ||
		    !connection_page(client->connection))
			continue;
		offset = connection_offset(client->connection);
		if (offset < slowest)
			slowest = offset;
	}
	return slowest;
}

uint64_t zone_skips(const struct zone *zone, const void *owner)
{
	const struct client *client;
	uint64_t skips = 0;

	TAILQ_FOREACH(client, &zone->active, entry)
	if (client->owner == owner)
		skips += connection_stats(client->connection)->skips;
	return skips;
}

void zone_check_progress(struct zone *zone, uint64_t before_usec)
{
	struct client *client, *next;

	for (client = TAILQ_FIRST(&zone->active); client; client = next) {
		next = TAILQ_NEXT(client, entry);
		connection_check_progress(client->connection, before_usec);
	}
}

void zone_each_client(const struct zone *zone,
		      void (*each)(void *userdata, const char *zone,
				   const struct connection *connection),
		      void *userdata)
{
	const struct client_list *const lists[] = {&zone->active,
						   &zone->waiting};
	const struct client *client;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		TAILQ_FOREACH(client, lists[i], entry)
	each(userdata, zone->name, client->connection);
}
