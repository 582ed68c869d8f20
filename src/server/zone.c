/* SPDX-License-Identifier: MIT
 * Accepts clients, and sends a page to them in one pass over a list. */
#include "server/zone.h"

#include <errno.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/util.h"
#include "server/ledger.h"
#include "server/poller.h"
#include "server/timer.h"
#include "wire/tls.h"

#define HANDSHAKE_USEC (5 * USEC_PER_SEC)

/* How long accepting pauses when descriptors or memory run out. */
#define PAUSE_USEC USEC_PER_SEC

enum {
	/* Limits one wake-up, so that a flood of connections does not delay
	 * the sound. */
	ACCEPTS_MAX = 32,
	/* A client in the handshake costs 10 kB. In a flood the oldest is
	 * dropped: an honest client is done within milliseconds. */
	SHAKING_MAX = 128,
	/* An address with so many drives out its own oldest. */
	SHAKING_PER_ADDRESS_MAX = SHAKING_MAX / 2,
};

struct client {
	TAILQ_ENTRY(client) entry;
	struct zone *zone;
	struct client_set *set; /* where it is listed */
	struct connection *connection;
	struct gate_place place;
	struct page *page; /* that is sent to it, or NULL */
	/* Of the page: */
	struct ledger *ledger;
	struct ledger_entry *ledger_entry;
	size_t frame_size;
	unsigned round; /* in which it was served last */
};

static void take_out(struct client *client)
{
	if (client->zone->first == client)
		client->zone->first = TAILQ_NEXT(client, entry);
	TAILQ_REMOVE(&client->set->list, client, entry);
	client->set->count--;
}

static void put_into(struct client_set *set, struct client *client)
{
	TAILQ_INSERT_TAIL(&set->list, client, entry);
	set->count++;
	client->set = set;
}

static void move(struct client_set *set, struct client *client)
{
	take_out(client);
	put_into(set, client);
}

static void enable_listeners(struct zone *zone, int enable)
{
	for (unsigned i = 0; i < zone->listener_count; i++)
		(void)sd_event_source_set_enabled(zone->listeners[i], enable);
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata)
{
	enable_listeners(userdata, SD_EVENT_ON);
	return 0;
}

static void pause_accepting(struct zone *zone)
{
	enable_listeners(zone, SD_EVENT_OFF);
	timer_start(zone->pause_timer, PAUSE_USEC);
}

static void note_end(const struct client *client, enum ledger_end end)
{
	const struct connection *connection = client->connection;
	const uint64_t offset = end == LEDGER_LOST
				    ? connection_taken(connection)
				    : connection_offset(connection);

	ledger_end(client->ledger, client->ledger_entry, end,
		   offset / client->frame_size,
		   connection_stats(connection)->skipped / client->frame_size);
}

static void on_shed(struct connection *connection, void *userdata)
{
	const struct client *client = userdata;

	log_debug("The page is ended for %s, which lags: it can come again",
		  connection_peer(connection));
	ledger_shed(client->ledger, client->ledger_entry,
		    connection_offset(connection) / client->frame_size);
}

static void on_sent(struct connection *connection, void *userdata)
{
	struct client *client = userdata;
	struct zone *zone = client->zone;

	if (!connection_is_shed(connection))
		note_end(client, LEDGER_SENT);
	move(&zone->owing, client);
	gate_owe(zone->gate, &client->place, connection);
	zone->callbacks->on_end(zone->userdata, client->page, CONNECTION_DONE,
				connection);
	connection_move(connection, zone->gate->debts);
}

static enum ledger_silence silence_of(const struct connection *connection)
{
	if (connection_how(connection) == CONNECTION_ABUSED)
		return LEDGER_REFUSED;
	/* Who has agreed to version 2 gives them, unless it has died. */
	return connection_peer_closed(connection) &&
		       !connection_vitals(connection)
		   ? LEDGER_NO_RECEIPT
		   : LEDGER_TIMED_OUT;
}

static void on_receipt(struct connection *connection,
		       const struct receipt *receipt, void *userdata)
{
	const struct client *client = userdata;
	const struct zone *zone = client->zone;

	if (receipt)
		ledger_receipt(client->ledger, client->ledger_entry, receipt);
	else
		ledger_silent(client->ledger, client->ledger_entry,
			      silence_of(connection));
	zone->callbacks->on_receipt(zone->userdata, client->page, connection,
				    receipt);
}

static void on_end(struct connection *connection, enum connection_end end,
		   void *userdata)
{
	struct client *client = userdata;
	struct zone *zone = client->zone;
	const bool owed = client->set == &zone->owing;

	move(&zone->ended, client);
	gate_leave(zone->gate, &client->place);
	gate_note_end(zone->gate, end, connection);
	if (!owed && connection_is_shed(connection))
		ledger_silent(client->ledger, client->ledger_entry,
			      LEDGER_TIMED_OUT);
	else if (!owed && client->page)
		note_end(client, LEDGER_LOST);
	if (!owed)
		zone->callbacks->on_end(zone->userdata, client->page, end,
					connection);
}

static void admit(struct client *client)
{
	struct zone *zone = client->zone;

	if (gate_admit(zone->gate, &client->place) == 0)
		zone->callbacks->on_accepted(zone->userdata, zone);
	else
		connection_drop(client->connection, CONNECTION_REFUSED);
}

static void on_ready(struct connection *connection, void *userdata)
{
	struct client *client = userdata;

	move(&client->zone->waiting, client);
	admit(client);
}

static void on_card(struct connection *connection, void *userdata)
{
	const struct client *client = userdata;

	client->zone->callbacks->on_card(client->zone->userdata);
}

static const struct connection_callbacks connection_callbacks = {
    .on_ready = on_ready,
    .on_card = on_card,
    .on_shed = on_shed,
    .on_sent = on_sent,
    .on_receipt = on_receipt,
    .on_end = on_end,
};

/* Set for the oldest; the others have more time. It fails only for want of
 * kernel memory, and even then SHAKING_MAX bounds the set. */
static void set_shaking_timer(struct zone *zone)
{
	const struct client *first = TAILQ_FIRST(&zone->shaking.list);

	if (first)
		timer_set(zone->shaking_timer,
			  connection_since_usec(first->connection) +
			      HANDSHAKE_USEC);
	else
		timer_stop(zone->shaking_timer);
}

static int on_shaking_timer(sd_event_source *source, uint64_t usec,
			    void *userdata)
{
	struct zone *zone = userdata;
	const uint64_t before = now_usec() - HANDSHAKE_USEC;
	const struct client *first;

	while ((first = TAILQ_FIRST(&zone->shaking.list)) &&
	       connection_since_usec(first->connection) <= before)
		connection_drop(first->connection, CONNECTION_TOO_SLOW);
	set_shaking_timer(zone);
	return 0;
}

/* The client that gives way to a new one from ADDRESS: the oldest from there
 * when ADDRESS has its share, else the oldest of all when there are too many,
 * else NULL. */
static struct client *one_too_many(const struct zone *zone,
				   const struct gate_address *address)
{
	struct client *client, *oldest = NULL;
	unsigned count = 0;

	TAILQ_FOREACH (client, &zone->shaking.list, entry) {
		if (client->place.address != address)
			continue;
		if (count++ == 0)
			oldest = client;
	}
	if (count >= SHAKING_PER_ADDRESS_MAX)
		return oldest;
	return zone->shaking.count >= SHAKING_MAX
		   ? TAILQ_FIRST(&zone->shaking.list)
		   : NULL;
}

static void begin_shaking(struct zone *zone, struct client *client)
{
	struct client *victim = one_too_many(zone, client->place.address);

	if (victim)
		connection_drop(victim->connection, CONNECTION_TOO_SLOW);
	put_into(&zone->shaking, client);
	if (zone->shaking.count == 1)
		set_shaking_timer(zone);
}

/* Takes over FD, and PLACE when it returns 0. */
static int add_client(struct zone *zone, int fd,
		      const struct sockaddr_storage *address,
		      const struct gate_place *place)
{
	struct client *client = calloc(1, sizeof(*client));
	int r;

	if (!client) {
		fd_close(fd);
		return -ENOMEM;
	}
	client->zone = zone;
	tls_keys_refresh(zone->keys);
	r = connection_new(&client->connection, zone->poller, fd, zone->keys,
			   zone->gate->peers, address, &connection_callbacks,
			   client);
	if (r < 0) {
		free(client);
		return r;
	}
	client->place = *place;
	if (zone->keys) {
		begin_shaking(zone, client);
		return 0;
	}
	put_into(&zone->waiting, client);
	admit(client);
	return 0;
}

static bool exhausted(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOBUFS ||
	       error == -ENOMEM || error == -ENOSPC;
}

/* Takes over FD. 0 or negative errno. */
static int let_in(struct zone *zone, int fd,
		  const struct sockaddr_storage *address)
{
	struct gate_place place;
	int r;

	r = gate_enter(zone->gate, fd, address, &place);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	r = add_client(zone, fd, address, &place);
	if (r < 0)
		gate_leave(zone->gate, &place);
	return r;
}

/* Accepts one connection: 1; or 0 when there is none, or accepting pauses. */
static int accept_one(struct zone *zone, int listener)
{
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address);
	int fd, r;

	fd = accept4(listener, (struct sockaddr *)&address, &size,
		     SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	r = fd < 0 ? -errno : let_in(zone, fd, &address);
	if (exhausted(r)) {
		gate_note_pause(zone->gate, r);
		pause_accepting(zone);
		return 0;
	}
	return 1; /* also when it was refused or had gone (accept(2)) */
}

static int on_listener(sd_event_source *source, int fd, uint32_t revents,
		       void *userdata)
{
	for (int i = 0; i < ACCEPTS_MAX; i++)
		if (accept_one(userdata, fd) == 0)
			break;
	return 0;
}

int zone_new(struct zone **ret, sd_event *event, const char *name,
	     struct gate *gate, struct tls_keys *keys,
	     const struct zone_callbacks *callbacks, void *userdata)
{
	struct zone *zone = calloc(1, sizeof(*zone));
	int r;

	if (!zone)
		return -ENOMEM;
	zone->event = event;
	zone->gate = gate;
	zone->keys = keys;
	zone->callbacks = callbacks;
	zone->userdata = userdata;
	TAILQ_INIT(&zone->shaking.list);
	TAILQ_INIT(&zone->waiting.list);
	TAILQ_INIT(&zone->active.list);
	TAILQ_INIT(&zone->owing.list);
	TAILQ_INIT(&zone->ended.list);
	zone->name = strdup(name);
	r = zone->name ? poller_new(&zone->poller, event) : -ENOMEM;
	if (r == 0)
		r = timer_new(&zone->shaking_timer, event, on_shaking_timer,
			      zone);
	if (r >= 0)
		r = timer_new(&zone->pause_timer, event, on_pause_over, zone);
	if (r < 0) {
		zone_free(zone);
		return r;
	}
	*ret = zone;
	return 0;
}

static void free_clients(struct zone *zone, struct client_set *set)
{
	struct client *client;

	while ((client = TAILQ_FIRST(&set->list))) {
		take_out(client);
		gate_leave(zone->gate, &client->place);
		connection_free(client->connection);
		free(client);
	}
}

void zone_reap(struct zone *zone)
{
	if (TAILQ_EMPTY(&zone->ended.list))
		return;
	free_clients(zone, &zone->ended);
	/* Their descriptors may be what accepting has waited for. */
	enable_listeners(zone, SD_EVENT_ON);
}

struct zone *zone_free(struct zone *zone)
{
	if (!zone)
		return NULL;
	free_clients(zone, &zone->ended);
	free_clients(zone, &zone->owing);
	free_clients(zone, &zone->active);
	free_clients(zone, &zone->waiting);
	free_clients(zone, &zone->shaking);
	for (unsigned i = 0; i < zone->listener_count; i++)
		sd_event_source_disable_unref(zone->listeners[i]);
	sd_event_source_disable_unref(zone->shaking_timer);
	sd_event_source_disable_unref(zone->pause_timer);
	poller_free(zone->poller);
	free(zone->name);
	free(zone);
	return NULL;
}

int zone_add_listener(struct zone *zone, int fd)
{
	sd_event_source *source;
	int r;

	if (zone->listener_count == ZONE_LISTENERS_MAX) {
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

/* Remembers when CLIENT, which was on the air, was told that its page ends. */
static void note_told(struct zone *zone, const struct client *client)
{
	const struct tape *tape = connection_tape(client->connection);

	if (!tape || tape->ended)
		zone->end_usec = now_usec();
}

void zone_attach(struct zone *zone, struct page *page, struct ledger *ledger,
		 struct tape *tape, uint64_t offset,
		 const struct connection_feed *feed)
{
	const size_t frame_size = wav_frame_size(&tape->format);
	struct client *client;

	while ((client = TAILQ_FIRST(&zone->waiting.list))) {
		client->page = page;
		client->ledger = ledger;
		client->ledger_entry = ledger_join(
		    ledger, zone->name, connection_identity(client->connection),
		    connection_peer(client->connection), offset / frame_size);
		client->frame_size = frame_size;
		move(&zone->active, client);
		connection_attach(client->connection, tape, offset, feed);
		note_told(zone, client);
	}
}

/* CLIENT or the first one behind it that is sent PAGE. The loops below fetch
 * the next one in advance, since a client that ends leaves the list. */
static struct client *on_air(struct client *client, const struct page *page)
{
	while (client &&
	       (client->page != page ||
		connection_state(client->connection) != CONNECTION_ON_AIR))
		client = TAILQ_NEXT(client, entry);
	return client;
}

/* Serves CLIENT and those behind it, up to the first that was served in this
 * round. PACE is NULL where there is none. */
static bool serve_from(struct zone *zone, const struct page *page,
		       struct client *client,
		       const struct connection_pace *pace)
{
	struct client *next;
	bool grows = false;

	for (; (client = on_air(client, page)); client = next) {
		next = TAILQ_NEXT(client, entry);
		if (client->round == zone->round)
			break;
		client->round = zone->round;
		if (pace)
			grows |= connection_pace(client->connection, pace);
		else
			connection_push(client->connection);
		note_told(zone, client);
	}
	return grows;
}

static bool serve(struct zone *zone, const struct page *page,
		  const struct connection_pace *pace)
{
	struct client *first =
	    zone->first ? zone->first : TAILQ_FIRST(&zone->active.list);
	bool grows;

	zone->first = first ? TAILQ_NEXT(first, entry) : NULL;
	zone->round++;
	grows = serve_from(zone, page, first, pace);
	return serve_from(zone, page, TAILQ_FIRST(&zone->active.list), pace) ||
	       grows;
}

void zone_push(struct zone *zone, const struct page *page)
{
	(void)serve(zone, page, NULL);
}

void zone_finish(struct zone *zone, const struct page *page)
{
	struct client *client = TAILQ_FIRST(&zone->active.list), *next;

	for (; (client = on_air(client, page)); client = next) {
		next = TAILQ_NEXT(client, entry);
		connection_finish(client->connection);
		zone->end_usec = now_usec();
	}
}

bool zone_pace(struct zone *zone, const struct page *page,
	       const struct connection_pace *pace)
{
	return serve(zone, page, pace);
}

bool zone_congests(struct zone *zone, const struct page *page, uint64_t size)
{
	struct client *client = TAILQ_FIRST(&zone->active.list);
	bool congests = false;

	for (; (client = on_air(client, page));
	     client = TAILQ_NEXT(client, entry))
		congests |= connection_congests(client->connection, size);
	return congests;
}

/* The same whatever is left to be sent to it. */
static struct client *of_page(struct client *client, const struct page *page)
{
	while (client && client->page != page)
		client = TAILQ_NEXT(client, entry);
	return client;
}

void zone_drop(struct zone *zone, const struct page *page,
	       enum connection_end end)
{
	struct client *client = TAILQ_FIRST(&zone->active.list), *next;

	for (; (client = of_page(client, page)); client = next) {
		next = TAILQ_NEXT(client, entry);
		connection_drop(client->connection, end);
	}
}

uint64_t zone_slowest(const struct zone *zone, const struct page *page)
{
	uint64_t slowest = UINT64_MAX;
	const struct client *client;

	TAILQ_FOREACH (client, &zone->active.list, entry) {
		uint64_t offset;

		if (client->page != page ||
		    !connection_tape(client->connection))
			continue;
		offset = connection_offset(client->connection);
		if (offset < slowest)
			slowest = offset;
	}
	return slowest;
}

uint64_t zone_skips(const struct zone *zone, const struct page *page)
{
	const struct client *client;
	uint64_t skips = 0;

	TAILQ_FOREACH (client, &zone->active.list, entry)
		if (client->page == page)
			skips += connection_stats(client->connection)->skips;
	return skips;
}

static void check_progress(const struct client_set *set, uint64_t now)
{
	struct client *client, *next;

	for (client = TAILQ_FIRST(&set->list); client; client = next) {
		next = TAILQ_NEXT(client, entry);
		connection_check_progress(client->connection, now);
	}
}

void zone_check_progress(struct zone *zone, uint64_t now)
{
	check_progress(&zone->owing, now);
	check_progress(&zone->active, now);
}

void zone_check_keys(struct zone *zone)
{
	struct client_set *const sets[] = {&zone->active, &zone->waiting};
	struct client *client, *next;

	if (!zone->keys)
		return;
	tls_keys_refresh(zone->keys);
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		for (client = TAILQ_FIRST(&sets[i]->list); client;
		     client = next) {
			next = TAILQ_NEXT(client, entry);
			connection_check_key(client->connection);
		}
	}
}

void zone_each_client(const struct zone *zone,
		      void (*each)(void *userdata, const char *zone,
				   const struct connection *connection),
		      void *userdata)
{
	const struct client_set *const sets[] = {&zone->active, &zone->waiting};
	const struct client *client;

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		TAILQ_FOREACH (client, &sets[i]->list, entry)
			each(userdata, zone->name, client->connection);
}
